// SPDX-License-Identifier: GPL-2.0-only
/*
 * Delegated ranges: the pager has said once where their content lies, and is asked no
 * more. It is read and written by bios of our own, in the context of who misses a page or
 * writes it back; they end by themselves, so nobody waits at the gate for them.
 *
 * An object's ranges stand in a table that never changes: a call makes a new one, and puts
 * it in the old one's place. Every bio counts as a user of the table that it goes by. So
 * does a table's predecessor, if it was replaced: when a table has no users any more, no
 * transfer that goes by it or by any before it is under way. That is the barrier.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/highmem.h>
#include <linux/pagevec.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/writeback.h>

#include "extpager.h"

struct delegation {
	pgoff_t first, last;
	u64 pos;			/* in the file, of the first page */
	struct extpager_backing *backing;
	bool read_only;
};

#define DEVICES_MAX	32

struct extpager_delegations {
	refcount_t ref;			/* all users together, and who waits for their end */
	refcount_t users;		/* the object, the predecessor, bios */
	struct completion over;		/* no users are left */
	struct extpager_delegations *next;	/* the successor, of which this is a user */
	struct rcu_work free_work;
	u32 generation;			/* of the object */
	bool unflushed;			/* its devices are for the pager to flush; set once */
	unsigned int nr_devices;
	struct block_device *devices[DEVICES_MAX];	/* that are written to */
	unsigned int nr;
	struct delegation range[];
};

/* ---- tables ---- */

static struct extpager_delegations *table_alloc(unsigned int nr, u32 generation)
{
	struct extpager_delegations *d;

	d = kvzalloc(struct_size(d, range, nr), GFP_KERNEL_ACCOUNT);
	if (!d)
		return NULL;
	refcount_set(&d->ref, 1);
	refcount_set(&d->users, 1);
	init_completion(&d->over);
	d->generation = generation;
	return d;
}

static void table_free(struct extpager_delegations *d)
{
	unsigned int i;

	for (i = 0; i < d->nr; i++)
		extpager_backing_put(d->range[i].backing);
	kvfree(d);
}

static void table_free_work(struct work_struct *work)
{
	table_free(container_of(to_rcu_work(work), struct extpager_delegations, free_work));
}

/* Any context: the last one may be an interrupt's. Devices are closed where one may sleep. */
static void table_put(struct extpager_delegations *d)
{
	if (!d || !refcount_dec_and_test(&d->ref))
		return;
	INIT_RCU_WORK(&d->free_work, table_free_work);
	queue_rcu_work(extpager_slow_wq, &d->free_work);
}

static void table_unuse(struct extpager_delegations *d)
{
	while (d && refcount_dec_and_test(&d->users)) {
		struct extpager_delegations *next = d->next;

		complete_all(&d->over);
		table_put(d);
		d = next;
	}
}

/* The range that has the page, or the first one behind it; @d->nr: none. */
static unsigned int table_find(const struct extpager_delegations *d, pgoff_t index)
{
	unsigned int low = 0, high = d->nr;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;

		if (d->range[mid].last < index)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static const struct delegation *table_lookup(const struct extpager_delegations *d, pgoff_t index)
{
	unsigned int i = table_find(d, index);

	return i < d->nr && d->range[i].first <= index ? &d->range[i] : NULL;
}

static void range_begin_at(struct delegation *range, pgoff_t index)
{
	range->pos += (u64)(index - range->first) << PAGE_SHIFT;
	range->first = index;
}

static bool table_flushes(const struct extpager_delegations *d, const struct block_device *bdev)
{
	unsigned int i;

	for (i = 0; i < min(d->nr_devices, DEVICES_MAX); i++)
		if (d->devices[i] == bdev)
			return true;
	return false;
}

/*
 * There is room, but for devices: too many are counted. Neighbours that go on where the last
 * one ends are one with it.
 */
static void table_add(struct extpager_delegations *d, const struct delegation *range)
{
	struct delegation *prev = d->nr ? &d->range[d->nr - 1] : NULL;

	if (prev && prev->last + 1 == range->first && prev->backing == range->backing &&
	    prev->read_only == range->read_only &&
	    prev->pos + ((u64)(range->first - prev->first) << PAGE_SHIFT) == range->pos) {
		prev->last = range->last;
		return;
	}
	refcount_inc(&range->backing->ref);
	d->range[d->nr++] = *range;
	if (!range->read_only && !table_flushes(d, range->backing->bdev)) {
		if (d->nr_devices < DEVICES_MAX)
			d->devices[d->nr_devices] = range->backing->bdev;
		d->nr_devices++;
	}
}

/* The old ranges but for the given ones, which take their place unless they have no file. */
static void table_merge(struct extpager_delegations *d, const struct extpager_delegations *old,
			const struct delegation *given, unsigned int nr)
{
	const struct delegation *end = old ? old->range + old->nr : NULL;
	const struct delegation *next = old ? old->range : NULL;
	struct delegation cur = { .first = 1 };		/* none: it ends before it begins */
	unsigned int i;

	for (i = 0; i < nr; i++) {
		const struct delegation *g = &given[i];

		for (;;) {
			if (cur.first > cur.last) {
				if (next == end)
					break;
				cur = *next++;
			}
			if (cur.first < g->first) {
				struct delegation before = cur;

				before.last = min(cur.last, g->first - 1);
				table_add(d, &before);
				range_begin_at(&cur, before.last + 1);
			} else if (cur.first <= g->last) {
				range_begin_at(&cur, min(cur.last, g->last) + 1);
			} else {
				break;
			}
		}
		if (g->backing)
			table_add(d, g);
	}
	if (cur.first <= cur.last)
		table_add(d, &cur);
	while (next != end)
		table_add(d, next++);
}

/* ---- the object's table ---- */

static struct extpager_delegations *object_table(struct extpager_object *obj)
{
	return rcu_dereference_protected(obj->delegations,
					 lockdep_is_held(&obj->target->lock));
}

/* Will whoever syncs by @d flush all devices that were written to by @old? */
static bool flushes_all(const struct extpager_delegations *d,
			const struct extpager_delegations *old)
{
	unsigned int i;

	for (i = 0; i < old->nr_devices; i++)
		if (!d || !table_flushes(d, old->devices[i]))
			return false;
	return true;
}

/* target->lock held. What was written so far is for the pager's next SYNC. */
static void leave_to_pager(struct extpager_object *obj)
{
	WRITE_ONCE(obj->flushed, atomic64_read(&obj->written));
	WRITE_ONCE(obj->returned, obj->returned + 1);
}

/* target->lock held. */
static void object_set_table(struct extpager_object *obj, struct extpager_delegations *d)
{
	struct extpager_delegations *old = object_table(obj);

	if (old && d) {
		/* Nobody sees it yet. */
		refcount_inc(&d->users);
		old->next = d;
	}
	rcu_assign_pointer(obj->delegations, d);
	if (!old || flushes_all(d, old))
		return;
	WRITE_ONCE(old->unflushed, true);
	/* Pairs with write_end_io(). */
	smp_mb();
	if (extpager_object_unflushed(obj))
		leave_to_pager(obj);
}

/* With a reference, or NULL. */
static struct extpager_delegations *object_get_table(struct extpager_object *obj)
{
	struct extpager_delegations *d;

	spin_lock(&obj->target->lock);
	d = object_table(obj);
	if (d)
		refcount_inc(&d->ref);
	spin_unlock(&obj->target->lock);
	return d;
}

/**
 * extpager_delegations_end() - nothing is delegated any more
 * @obj: object
 *
 * What is under way goes on.
 *
 * Context: target->lock held.
 */
void extpager_delegations_end(struct extpager_object *obj)
{
	struct extpager_delegations *old = object_table(obj);

	lockdep_assert_held(&obj->target->lock);
	if (!old)
		return;
	object_set_table(obj, NULL);
	table_unuse(old);
}

/*
 * INIT was answered, or not in time: what another pager delegated does not bind one that is
 * READY, and what this one did comes to nothing if it is not. target->lock held.
 */
void extpager_delegations_ready(struct extpager_object *obj, int error)
{
	struct extpager_delegations *d = object_table(obj);
	bool own = d && d->generation == obj->generation;

	if (d && own == !!error)
		extpager_delegations_end(obj);
}

/* The same as its end, and nothing is under way any more. Waits for devices. */
void extpager_delegations_quiesce(struct extpager_object *obj)
{
	struct extpager_delegations *d = object_get_table(obj);

	if (!d)
		return;
	spin_lock(&obj->target->lock);
	extpager_delegations_end(obj);
	spin_unlock(&obj->target->lock);
	wait_for_completion(&d->over);
	table_put(d);
}

/* The inode goes, and with its pages what was under way. */
void extpager_delegations_free(struct extpager_object *obj)
{
	/* The mount's root has no target. */
	if (!rcu_access_pointer(obj->delegations))
		return;
	spin_lock(&obj->target->lock);
	extpager_delegations_end(obj);
	spin_unlock(&obj->target->lock);
}

bool __extpager_delegated(struct extpager_object *obj, pgoff_t index, bool write)
{
	const struct extpager_delegations *d;
	const struct delegation *range = NULL;
	bool found;

	rcu_read_lock();
	d = rcu_dereference(obj->delegations);
	if (d)
		range = table_lookup(d, index);
	found = range && !(write && range->read_only);
	rcu_read_unlock();
	return found;
}

/**
 * extpager_delegated_pages() - how many pages are delegated from one on?
 * @obj: object
 * @index: the first of them
 * @write: and when they are dirty, too
 *
 * Return: pages, of neighbouring ranges together; 0: it is not.
 */
pgoff_t extpager_delegated_pages(struct extpager_object *obj, pgoff_t index, bool write)
{
	const struct extpager_delegations *d;
	pgoff_t next = index;
	unsigned int i;

	rcu_read_lock();
	d = rcu_dereference(obj->delegations);
	for (i = d ? table_find(d, index) : 0; d && i < d->nr && d->range[i].first <= next; i++) {
		if (write && d->range[i].read_only)
			break;
		next = d->range[i].last + 1;
	}
	rcu_read_unlock();
	return next - index;
}

/* ---- DELEGATE ---- */

/* One range of the caller's; a file comes with a reference. */
static int check_range(struct extpager_port *port, const struct extpager_object *obj,
		       const struct extpager_range *range, bool revoke, struct delegation *out)
{
	u64 size = i_size_read(&obj->inode);
	struct block_device *bdev;
	int ret;

	if (!PAGE_ALIGNED(range->offset) || !range->length)
		return -EINVAL;
	if (range->offset >= size || range->length > PAGE_ALIGN(size) - range->offset)
		return -ERANGE;
	if (!PAGE_ALIGNED(range->length) && range->offset + range->length != size)
		return -EINVAL;
	out->first = range->offset >> PAGE_SHIFT;
	out->last = (range->offset + range->length - 1) >> PAGE_SHIFT;
	if (revoke)
		return range->pos || range->file || range->flags ? -EINVAL : 0;
	if (range->flags & ~EXTPAGER_RANGE_RDONLY)
		return -EOPNOTSUPP;
	out->pos = range->pos;
	out->read_only = range->flags & EXTPAGER_RANGE_RDONLY;
	out->backing = extpager_backing_get(port, range->file);
	if (!out->backing)
		return -EBADF;
	bdev = out->backing->bdev;
	if (!bdev)
		return -EOPNOTSUPP;
	ret = extpager_backing_check(out->backing, range->pos,
				     min(range->length, size - range->offset));
	if (ret || out->read_only)
		return ret;
	if (!(out->backing->file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (bdev_read_only(bdev))
		return -EROFS;
	if (bdev_stable_writes(bdev) || bdev_is_zoned(bdev))
		return -EOPNOTSUPP;
	/* Bytes behind the object's end are not ours. */
	return IS_ALIGNED(min(range->offset + range->length, size), out->backing->align) ?
	       0 : -EINVAL;
}

/* Return: the ranges, as many as @arg says, or an ERR_PTR. */
static struct delegation *take_ranges(struct extpager_port *port, struct extpager_object *obj,
				      const struct extpager_delegate *arg)
{
	const struct extpager_range __user *from = u64_to_user_ptr(arg->ranges);
	bool revoke = arg->flags & EXTPAGER_DELEGATE_REVOKE;
	struct delegation *given;
	unsigned int i;
	int ret = 0;

	given = kvcalloc(arg->nr_ranges, sizeof(*given), GFP_KERNEL_ACCOUNT);
	if (!given)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < arg->nr_ranges && !ret; i++) {
		struct extpager_range range;

		if (copy_from_user(&range, &from[i], sizeof(range)))
			ret = -EFAULT;
		ret = ret ?: check_range(port, obj, &range, revoke, &given[i]);
		if (!ret && i && given[i].first <= given[i - 1].last)
			ret = -EINVAL;
		if (fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}
	if (!ret)
		return given;
	for (i = 0; i < arg->nr_ranges; i++)
		if (given[i].backing)
			extpager_backing_put(given[i].backing);
	kvfree(given);
	return ERR_PTR(ret);
}

/* target->lock held: may the port's pager say what becomes of the object? */
static int may_delegate(const struct extpager_port *port, const struct extpager_object *obj,
			u32 generation)
{
	if (READ_ONCE(obj->target->port) != port ||
	    !(obj->state == EXTPAGER_OBJECT_READY ||
	      (obj->state == EXTPAGER_OBJECT_INIT && obj->init_sent)))
		return -ENOENT;
	return obj->generation == generation ? 0 : -ESTALE;
}

/*
 * Put a table with the given ranges in the place of the present one.
 * Return: that one with a reference, NULL: there was none; or an ERR_PTR.
 */
static struct extpager_delegations *
replace_table(struct extpager_port *port, struct extpager_object *obj,
	      const struct delegation *given, const struct extpager_delegate *arg)
{
	struct extpager_target *t = obj->target;
	struct extpager_delegations *old, *d;
	unsigned int nr;
	bool current_one;
	int ret;

	do {
		const struct extpager_delegations *base;

		old = object_get_table(obj);
		base = old && old->generation == arg->generation ? old : NULL;
		/* Each may split one of the old ones. */
		nr = (base ? base->nr : 0) + 2 * arg->nr_ranges;
		d = table_alloc(nr, arg->generation);
		ret = d ? 0 : -ENOMEM;
		if (d)
			table_merge(d, base, given, arg->nr_ranges);
		if (d && (d->nr > EXTPAGER_RANGES_MAX || d->nr_devices > DEVICES_MAX))
			ret = -ENOSPC;
		spin_lock(&t->lock);
		current_one = object_table(obj) == old;
		ret = ret ?: may_delegate(port, obj, arg->generation);
		if (!ret && current_one)
			object_set_table(obj, d);
		spin_unlock(&t->lock);
		if (!ret && current_one)
			break;
		if (d)
			table_free(d);
		if (old)
			table_put(old);
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
	} while (!ret);
	if (ret)
		return ERR_PTR(ret);
	if (old)
		table_unuse(old);
	return old;
}

/* What a pager was asked for is asked for again, and no pager then. */
static void ask_anew(struct extpager_object *obj, const struct delegation *range)
{
	struct extpager_claim claim;

	cond_resched();
	if (!extpager_target_asked(obj->target, EXTPAGER_PHASE_PAGE_IN))
		return;
	while (extpager_request_take(obj, range->first, range->last - range->first + 1, 0, &claim))
		extpager_claim_end(&claim, claim.span, -EAGAIN);
	extpager_request_lose_reads(obj, range->first, range->last - range->first + 1);
}

static int delegate(struct extpager_port *port, struct extpager_object *obj,
		    const struct extpager_delegate *arg)
{
	struct extpager_delegations *old;
	struct delegation *given;
	unsigned int i;
	int ret = 0;

	given = take_ranges(port, obj, arg);
	if (IS_ERR(given))
		return PTR_ERR(given);
	old = replace_table(port, obj, given, arg);
	if (IS_ERR(old)) {
		ret = PTR_ERR(old);
		old = NULL;
	}
	for (i = 0; i < arg->nr_ranges; i++) {
		if (!given[i].backing)
			continue;
		if (!ret && !fatal_signal_pending(current))
			ask_anew(obj, &given[i]);
		extpager_backing_put(given[i].backing);
	}
	kvfree(given);
	if (!ret) {
		/* And what a silent pager is not asked for any more. */
		spin_lock(&obj->target->lock);
		extpager_requests_again(obj->target);
		spin_unlock(&obj->target->lock);
	}
	if (old) {
		if (wait_for_completion_killable(&old->over))
			ret = -EINTR;
		table_put(old);
	}
	return ret;
}

/**
 * extpager_delegate() - EXTPAGER_IOC_DELEGATE
 * @port: the caller's
 * @arg: hostile
 *
 * Waits for devices, not for clients.
 */
int extpager_delegate(struct extpager_port *port, const struct extpager_delegate *arg)
{
	struct extpager_object *obj;
	struct extpager_target *t;
	int ret = -ENOENT;

	if (arg->flags & ~EXTPAGER_DELEGATE_REVOKE)
		return -EOPNOTSUPP;
	if (!arg->nr_ranges || arg->nr_ranges > EXTPAGER_RANGES_MAX)
		return -EINVAL;
	t = extpager_port_target(port, arg->object);
	if (!t)
		return -ENOENT;
	obj = extpager_object_find(t, arg->object);
	if (obj) {
		ret = delegate(port, obj, arg);
		iput(&obj->inode);
	}
	extpager_target_put(t);
	return ret;
}

/* ---- bios ---- */

/* One is under construction; of pages that follow each other in object and file. */
struct delegated_io {
	struct extpager_delegations *table;
	struct extpager_object *obj;	/* as long as one of its folios is locked, or returned */
	pgoff_t first;
	int error;
	struct work_struct work;
	struct bio bio;			/* its vectors follow */
};

static struct bio_set delegated_ios;

/* The bio, with its place in the table, for a page on; NULL if that is not delegated. */
static bool io_begin(struct extpager_delegated_run *run, pgoff_t index, unsigned int pages)
{
	bool write = op_is_write(run->opf);
	struct extpager_object *obj = run->obj;
	const struct delegation *range;
	struct extpager_delegations *d;
	struct block_device *bdev = NULL;
	struct delegated_io *io;
	struct bio *bio;
	u64 pos = 0;

	rcu_read_lock();
	do {
		d = rcu_dereference(obj->delegations);
		range = d ? table_lookup(d, index) : NULL;
		if (range && write && range->read_only)
			range = NULL;
		/* Of one without users another has taken the place. */
	} while (range && !refcount_inc_not_zero(&d->users));
	if (range) {
		bdev = range->backing->bdev;
		pos = range->pos + ((u64)(index - range->first) << PAGE_SHIFT);
		run->last = range->last;
		run->align = range->backing->align;
	}
	rcu_read_unlock();
	if (!bdev)
		return false;
	/* From a reserve, if need be: what is under way gives it back. */
	bio = bio_alloc_bioset(bdev, min_t(unsigned int, pages, BIO_MAX_VECS), run->opf, GFP_NOIO,
			       &delegated_ios);
	bio->bi_iter.bi_sector = pos >> SECTOR_SHIFT;
	io = container_of(bio, struct delegated_io, bio);
	io->table = d;
	io->obj = obj;
	io->first = index;
	run->bio = bio;
	run->next = index;
	return true;
}

/* Bytes of a page that are inside the object. */
static unsigned int folio_bytes(const struct extpager_object *obj, const struct folio *folio)
{
	return min_t(u64, PAGE_SIZE, i_size_read(&obj->inode) - folio_pos((struct folio *)folio));
}

static void io_free(struct delegated_io *io)
{
	struct extpager_delegations *d = io->table;

	bio_put(&io->bio);
	/* Last: when nobody uses a table the module may go. */
	table_unuse(d);
}

static void tell_failure(const struct extpager_object *obj, const struct bio *bio,
			 const char *what, int error)
{
	const struct folio *folio = page_folio(bio->bi_io_vec->bv_page);

	if (obj->target->named)
		pr_warn_ratelimited("target %s: its store cannot be %s at %llu, %u pages: %d\n",
				    obj->target->settings.name, what,
				    (u64)folio->index << PAGE_SHIFT, bio->bi_vcnt, error);
}

/* Object and target are freed after a grace period. */
static void read_wake_work(struct work_struct *work)
{
	struct delegated_io *io = container_of(work, struct delegated_io, work);

	extpager_gate_wake(io->obj, io->first, io->bio.bi_vcnt, -EAGAIN);
	io_free(io);
}

/* Whoever waits for a page that could not be read tries again, for that page alone. */
static void read_end_io(struct bio *bio)
{
	struct delegated_io *io = container_of(bio, struct delegated_io, bio);
	int error = blk_status_to_errno(bio->bi_status);
	struct extpager_object *obj = io->obj;
	struct folio_iter fi;

	/* Until then the module stays, wherever this is run. */
	rcu_read_lock();
	if (error) {
		extpager_count_add(obj->target, PAGES_FAILED, bio->bi_vcnt);
		tell_failure(obj, bio, "read", error);
	} else {
		extpager_count_add(obj->target, PAGES_READ, bio->bi_vcnt);
	}
	bio_for_each_folio_all(fi, bio) {
		unsigned int bytes = folio_bytes(obj, fi.folio);

		if (!error) {
			if (unlikely(bytes < PAGE_SIZE))
				folio_zero_segment(fi.folio, bytes, PAGE_SIZE);
			flush_dcache_folio(fi.folio);
			folio_mark_uptodate(fi.folio);
		}
		/* With the last one the object may go. */
		folio_unlock(fi.folio);
	}
	/* Who came to the gate while it was not delegated, or is not any more. */
	if (unlikely(extpager_gate_waits(obj, io->first, bio->bi_vcnt))) {
		INIT_WORK(&io->work, read_wake_work);
		queue_work(extpager_read_wq, &io->work);
	} else {
		io_free(io);
	}
	rcu_read_unlock();
}

/*
 * With an error they stay dirty, as what a pager does not take. @in_worker: else nothing has
 * failed, and nothing of it stands in the spill.
 */
static void write_end(struct delegated_io *io, bool in_worker)
{
	struct extpager_object *obj = io->obj;
	struct extpager_target *t = obj->target;
	struct bio *bio = &io->bio;
	struct folio_iter fi;

	/* Object and target are freed after a grace period. */
	rcu_read_lock();
	if (io->error) {
		extpager_count(t, RETURNS_FAILED);
		tell_failure(obj, bio, "written", io->error);
		WRITE_ONCE(obj->retry_at, jiffies + HZ);
		extpager_object_write_error(obj, extpager_transfer_error(io->error));
	} else {
		extpager_count_add(t, PAGES_WRITTEN, bio->bi_vcnt);
	}
	bio_for_each_folio_all(fi, bio) {
		if (unlikely(in_worker))
			extpager_folio_returned(obj, fi.folio, io->error);
		else
			folio_end_writeback(fi.folio);
	}
	if (wq_has_sleeper(&t->wait))
		wake_up_all(&t->wait);
	io_free(io);
	rcu_read_unlock();
}

static void write_end_work(struct work_struct *work)
{
	struct delegated_io *io = container_of(work, struct delegated_io, work);
	struct extpager_object *obj = io->obj;

	if (!io->error && READ_ONCE(io->table->unflushed)) {
		spin_lock(&obj->target->lock);
		leave_to_pager(obj);
		spin_unlock(&obj->target->lock);
	}
	write_end(io, true);
}

static void write_end_io(struct bio *bio)
{
	struct delegated_io *io = container_of(bio, struct delegated_io, bio);

	io->error = blk_status_to_errno(bio->bi_status);
	if (!io->error)
		atomic64_inc(&io->obj->written);
	/* Pairs with object_set_table(): either sees what the other one did. */
	smp_mb__after_atomic();
	/* Only then is there more to do than an interrupt may. */
	if (likely(!io->error && !atomic_long_read(&io->obj->nr_spilled) &&
		   !READ_ONCE(io->table->unflushed))) {
		write_end(io, false);
		return;
	}
	INIT_WORK(&io->work, write_end_work);
	queue_work(extpager_read_wq, &io->work);
}

/* Send what has been gathered. */
void extpager_delegated_submit(struct extpager_delegated_run *run)
{
	struct bio *bio = run->bio;

	if (!bio)
		return;
	run->bio = NULL;
	bio->bi_end_io = op_is_write(run->opf) ? write_end_io : read_end_io;
	submit_bio(bio);
}

/*
 * A folio that is to be read, locked, or written, under write-back, if it is delegated;
 * @pages: it and those that may follow.
 */
static bool run_add(struct extpager_delegated_run *run, struct folio *folio, unsigned int pages)
{
	pgoff_t index = folio->index;
	unsigned int bytes;
	struct bio *bio = run->bio;

	if (bio && (index != run->next || index > run->last || bio->bi_vcnt == bio->bi_max_vecs)) {
		extpager_delegated_submit(run);
		bio = NULL;
	}
	if (!bio && !io_begin(run, index, pages))
		return false;
	bio = run->bio;
	run->next = index + 1;
	bytes = folio_bytes(run->obj, folio);
	/* To be written, a range ends with a block. */
	if (unlikely(bytes < PAGE_SIZE))
		bytes = round_up(bytes, run->align);
	__bio_add_page(bio, folio_page(folio, 0), bytes, 0);
	return true;
}

/* ---- reads ---- */

/**
 * __extpager_delegated_read() - a missing page is read without its pager
 * @run: gathers what goes together; at last, or before anything is waited for,
 *	extpager_delegated_submit() has it read
 * @folio: locked, of the cache
 * @pages: it and those that may follow
 *
 * Return: false if a pager is to be asked.
 */
bool __extpager_delegated_read(struct extpager_delegated_run *run, struct folio *folio,
			       unsigned int pages)
{
	return run_add(run, folio, pages);
}

/* ---- writes ---- */

/* Folio locked: is it one that goes without its pager? */
static bool may_write(struct extpager_object *obj, struct folio *folio)
{
	pgoff_t index = folio->index;

	return folio->mapping == obj->inode.i_mapping && folio_test_dirty(folio) &&
	       !folio_test_writeback(folio) && __extpager_delegated(obj, index, true) &&
	       !extpager_zeros_overlap(obj, index, index) && !extpager_page_detached(obj, index);
}

/* From this folio of the batch on, how many follow each other? */
static unsigned int neighbours(const struct folio_batch *batch, unsigned int i)
{
	unsigned int n = 1;

	while (i + n < batch->nr && batch->folios[i + n]->index == batch->folios[i]->index + n)
		n++;
	return n;
}

/* @pages: it and those that may follow. */
static bool write_folio(struct extpager_delegated_run *run, struct folio *folio,
			unsigned int pages)
{
	if (!may_write(run->obj, folio) || !folio_clear_dirty_for_io(folio))
		return false;
	folio_start_writeback(folio);
	if (run_add(run, folio, pages))
		return true;
	/* It was taken back meanwhile. */
	extpager_folio_returned(run->obj, folio, -EAGAIN);
	return false;
}

/**
 * __extpager_delegated_write() - write dirty pages of a range that are delegated
 * @obj: object
 * @index: first page
 * @last: last page
 * @tag: PAGECACHE_TAG_DIRTY or PAGECACHE_TAG_TOWRITE
 * @wbc: NULL, or what write-back wants
 *
 * Waits for devices at most. What is being written already stays dirty, and keeps its tag.
 */
void __extpager_delegated_write(struct extpager_object *obj, pgoff_t index, pgoff_t last,
				xa_mark_t tag, struct writeback_control *wbc)
{
	bool sync = wbc && wbc->sync_mode == WB_SYNC_ALL, full = false;
	struct extpager_delegated_run run = {
		.obj = obj,
		.opf = REQ_OP_WRITE | (sync ? REQ_SYNC : 0),
	};
	struct folio_batch batch;
	struct blk_plug plug;
	unsigned int i;

	folio_batch_init(&batch);
	blk_start_plug(&plug);
	while (!full && filemap_get_folios_tag(obj->inode.i_mapping, &index, last, tag, &batch)) {
		for (i = 0; i < folio_batch_count(&batch) && !full; i++) {
			struct folio *folio = batch.folios[i];

			if (!folio_trylock(folio)) {
				if (!sync)
					continue;
				/* Whoever holds it may wait for what this run holds. */
				extpager_delegated_submit(&run);
				folio_lock(folio);
			}
			if (write_folio(&run, folio, neighbours(&batch, i)) && wbc &&
			    --wbc->nr_to_write <= 0 && !sync)
				full = true;
			folio_unlock(folio);
		}
		folio_batch_release(&batch);
		cond_resched();
	}
	extpager_delegated_submit(&run);
	blk_finish_plug(&plug);
}

/**
 * extpager_delegated_flush() - have what was written survive power loss
 * @obj: object
 *
 * Return: 0 or -EIO.
 */
int extpager_delegated_flush(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;
	struct extpager_delegations *d;
	u64 written = atomic64_read(&obj->written);
	unsigned int i;
	int ret = 0;

	if (!extpager_object_unflushed(obj))
		return 0;
	d = object_get_table(obj);
	if (!d)
		return 0;
	for (i = 0; i < d->nr_devices && !ret; i++)
		ret = blkdev_issue_flush(d->devices[i]);
	spin_lock(&t->lock);
	/* If another one has taken its place since, that has seen to what is not flushed. */
	if (!ret && object_table(obj) == d && (s64)(written - obj->flushed) > 0)
		WRITE_ONCE(obj->flushed, written);
	spin_unlock(&t->lock);
	table_put(d);
	return ret ? -EIO : 0;
}

int extpager_delegate_init(void)
{
	return bioset_init(&delegated_ios, BIO_POOL_SIZE, offsetof(struct delegated_io, bio),
			   BIOSET_NEED_BVECS);
}

void extpager_delegate_exit(void)
{
	bioset_exit(&delegated_ios);
}
