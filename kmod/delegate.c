// SPDX-License-Identifier: GPL-2.0-only
/*
 * Delegated ranges: the pager has said once where their content lies, and is asked no
 * more. This is the table of them, and the call that changes it.
 *
 * An object's ranges stand in a table that never changes: a call makes a new one, and puts
 * it in the old one's place. Every bio counts as a user of the table that it goes by. So
 * does a table's predecessor, if it was replaced: when a table has no users any more, no
 * transfer that goes by it or by any before it is under way. That is the barrier.
 */
#include <linux/blkdev.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "delegate.h"

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

	kvfree(d->nothing);
	for (i = 0; i < d->nr; i++)
		extpager_backing_put(d->range[i].backing);
	kvfree(d);
}

static void table_free_work(struct work_struct *work)
{
	table_free(container_of(to_rcu_work(work), struct extpager_delegations, free_work));
}

/* Any context: the last one may be an interrupt's. Devices are closed where one may sleep. */
void extpager_delegations_put(struct extpager_delegations *d)
{
	if (!d || !refcount_dec_and_test(&d->ref))
		return;
	INIT_RCU_WORK(&d->free_work, table_free_work);
	queue_rcu_work(extpager_slow_wq, &d->free_work);
}

void extpager_delegations_unuse(struct extpager_delegations *d)
{
	while (d && refcount_dec_and_test(&d->users)) {
		struct extpager_delegations *next = d->next;

		complete_all(&d->over);
		extpager_delegations_put(d);
		d = next;
	}
}

static void range_begin_at(struct delegated_range *range, pgoff_t index)
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
static void table_add(struct extpager_delegations *d, const struct delegated_range *range)
{
	struct delegated_range *prev = d->nr ? &d->range[d->nr - 1] : NULL;

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
			const struct delegated_range *given, unsigned int nr)
{
	const struct delegated_range *end = old ? old->range + old->nr : NULL;
	const struct delegated_range *next = old ? old->range : NULL;
	struct delegated_range cur = { .first = 1 };		/* none: it ends before it begins */
	unsigned int i;

	for (i = 0; i < nr; i++) {
		const struct delegated_range *g = &given[i];

		for (;;) {
			if (cur.first > cur.last) {
				if (next == end)
					break;
				cur = *next++;
			}
			if (cur.first < g->first) {
				struct delegated_range before = cur;

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

struct extpager_delegations *extpager_delegations_of(struct extpager_object *obj)
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
void extpager_delegated_leave_to_pager(struct extpager_object *obj)
{
	WRITE_ONCE(obj->flushed, atomic64_read(&obj->written));
	WRITE_ONCE(obj->returned, obj->returned + 1);
}

/* target->lock held. */
static void object_set_table(struct extpager_object *obj, struct extpager_delegations *d)
{
	struct extpager_delegations *old = extpager_delegations_of(obj);

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
		extpager_delegated_leave_to_pager(obj);
}

/* With a reference, or NULL. */
struct extpager_delegations *extpager_delegations_get(struct extpager_object *obj)
{
	struct extpager_delegations *d;

	spin_lock(&obj->target->lock);
	d = extpager_delegations_of(obj);
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
	struct extpager_delegations *old = extpager_delegations_of(obj);

	lockdep_assert_held(&obj->target->lock);
	if (!old)
		return;
	object_set_table(obj, NULL);
	extpager_delegations_unuse(old);
}

/*
 * INIT was answered, or not in time: what another pager delegated does not bind one that is
 * READY, and what this one did comes to nothing if it is not. target->lock held.
 */
void extpager_delegations_ready(struct extpager_object *obj, int error)
{
	struct extpager_delegations *d = extpager_delegations_of(obj);
	bool own = d && d->generation == obj->generation;

	if (!d || own != !!error || !d->nothing)
		return;
	/* An empty one in its place: who revokes, or ends use, waits for what is under way. */
	object_set_table(obj, d->nothing);
	d->nothing = NULL;
	extpager_delegations_unuse(d);
}

/* The same as its end, and nothing is under way any more. Waits for devices. */
void extpager_delegations_quiesce(struct extpager_object *obj)
{
	struct extpager_delegations *d = extpager_delegations_get(obj);

	if (!d)
		return;
	spin_lock(&obj->target->lock);
	extpager_delegations_end(obj);
	spin_unlock(&obj->target->lock);
	wait_for_completion(&d->over);
	extpager_delegations_put(d);
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

/* Is anything delegated now? extpager_delegates() may tell of what was. */
bool extpager_delegates_some(struct extpager_object *obj)
{
	const struct extpager_delegations *d;
	bool some;

	rcu_read_lock();
	d = rcu_dereference(obj->delegations);
	some = d && d->nr;
	rcu_read_unlock();
	return some;
}

bool __extpager_delegated(struct extpager_object *obj, pgoff_t index, bool write)
{
	const struct extpager_delegations *d;
	const struct delegated_range *range = NULL;
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
		       const struct extpager_range *range, bool revoke, struct delegated_range *out)
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
static struct delegated_range *take_ranges(struct extpager_port *port, struct extpager_object *obj,
					   const struct extpager_delegate *arg)
{
	const struct extpager_range __user *from = u64_to_user_ptr(arg->ranges);
	bool revoke = arg->flags & EXTPAGER_DELEGATE_REVOKE;
	struct delegated_range *given;
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
	      const struct delegated_range *given, const struct extpager_delegate *arg)
{
	struct extpager_target *t = obj->target;
	struct extpager_delegations *old, *d;
	unsigned int nr;
	bool current_one;
	int ret;

	do {
		const struct extpager_delegations *base;

		old = extpager_delegations_get(obj);
		base = old && old->generation == arg->generation ? old : NULL;
		/* Each may split one of the old ones. */
		nr = (base ? base->nr : 0) + 2 * arg->nr_ranges;
		d = table_alloc(nr, arg->generation);
		if (d)
			d->nothing = table_alloc(0, arg->generation);
		ret = d && d->nothing ? 0 : -ENOMEM;
		if (d)
			table_merge(d, base, given, arg->nr_ranges);
		if (d && (d->nr > EXTPAGER_RANGES_MAX || d->nr_devices > DEVICES_MAX))
			ret = -ENOSPC;
		spin_lock(&t->lock);
		current_one = extpager_delegations_of(obj) == old;
		ret = ret ?: may_delegate(port, obj, arg->generation);
		if (!ret && current_one)
			object_set_table(obj, d);
		spin_unlock(&t->lock);
		if (!ret && current_one)
			break;
		if (d)
			table_free(d);
		if (old)
			extpager_delegations_put(old);
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
	} while (!ret);
	if (ret)
		return ERR_PTR(ret);
	if (old)
		extpager_delegations_unuse(old);
	return old;
}

/* What a pager was asked for is asked for again, and no pager then. */
static void ask_anew(struct extpager_object *obj, const struct delegated_range *range)
{
	struct extpager_claim claim;

	cond_resched();
	if (!extpager_target_asked(obj->target, EXTPAGER_PHASE_PAGE_IN))
		return;
	while (extpager_request_take(obj, range->first, range->last - range->first + 1, 0, &claim))
		extpager_claim_end(&claim, claim.span, -EAGAIN);
	extpager_request_lose_reads(obj, range->first, range->last - range->first + 1);
}

/*
 * A pager has just been asked for pages, by somebody who may have looked before the table was
 * replaced. Either ask_anew() has found the request, or the table is to be seen here.
 */
void __extpager_delegated_meanwhile(struct extpager_object *obj, pgoff_t index, unsigned int nr)
{
	struct delegated_range page;

	for (; nr; nr--, index++) {
		page.first = index;
		page.last = index;
		if (extpager_needs_no_pager(obj, index))
			ask_anew(obj, &page);
	}
}

static int delegate(struct extpager_port *port, struct extpager_object *obj,
		    const struct extpager_delegate *arg)
{
	struct extpager_delegations *old;
	struct delegated_range *given;
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
		/* Even if the caller is about to die: what it was asked for is never supplied. */
		if (!ret)
			ask_anew(obj, &given[i]);
		extpager_backing_put(given[i].backing);
	}
	kvfree(given);
	if (!ret) {
		if (!(arg->flags & EXTPAGER_DELEGATE_REVOKE))
			extpager_large_allow(obj);
		/* And what a silent pager is not asked for any more. */
		spin_lock(&obj->target->lock);
		extpager_requests_again(obj->target);
		spin_unlock(&obj->target->lock);
	}
	if (old) {
		if (wait_for_completion_killable(&old->over))
			ret = -EINTR;
		extpager_delegations_put(old);
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
