// SPDX-License-Identifier: GPL-2.0-only
/*
 * Delegated pages are read and written by bios of our own, in the context of who misses
 * one or writes it back; they end by themselves, so nobody waits at the gate for them.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/highmem.h>
#include <linux/writeback.h>

#include "delegate.h"

/* One is under construction; of pages that follow each other in object and file. */
struct delegated_io {
	struct extpager_delegations *table;
	struct extpager_object *obj;	/* as long as one of its folios is locked, or returned */
	pgoff_t first;
	unsigned int pages;
	int error;
	struct work_struct work;
	struct bio bio;			/* its vectors follow */
};

static struct bio_set delegated_ios;

/*
 * The bio, with its place in the table, for a folio's @nr pages on, if all of them are
 * delegated in one range; @folios: so many may go with it.
 */
static bool io_begin(struct extpager_delegated_run *run, pgoff_t index, unsigned int nr,
		     unsigned int folios)
{
	bool write = op_is_write(run->opf);
	struct extpager_object *obj = run->obj;
	const struct delegated_range *range;
	struct extpager_delegations *d;
	struct block_device *bdev = NULL;
	struct delegated_io *io;
	struct bio *bio;
	u64 pos = 0;

	rcu_read_lock();
	do {
		d = rcu_dereference(obj->delegations);
		range = d ? table_lookup(d, index) : NULL;
		if (range && (range->last - index < nr - 1 || (write && range->read_only)))
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
	bio = bio_alloc_bioset(bdev, min_t(unsigned int, folios, BIO_MAX_VECS), run->opf, GFP_NOIO,
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

/* Bytes of a folio that are inside the object. */
static unsigned int folio_bytes(const struct extpager_object *obj, struct folio *folio)
{
	return min_t(u64, folio_size(folio), i_size_read(&obj->inode) - folio_pos(folio));
}

static void io_free(struct delegated_io *io)
{
	struct extpager_delegations *d = io->table;

	bio_put(&io->bio);
	/* Last: when nobody uses a table the module may go. */
	extpager_delegations_unuse(d);
}

static void tell_failure(const struct delegated_io *io, const char *what, int error)
{
	const struct extpager_target *t = io->obj->target;

	if (t->named)
		pr_warn_ratelimited("target %s: its store cannot be %s at %llu, %u pages: %d\n",
				    t->settings.name, what, (u64)io->first << PAGE_SHIFT,
				    io->pages, error);
}

/* Object and target are freed after a grace period. */
static void read_wake_work(struct work_struct *work)
{
	struct delegated_io *io = container_of(work, struct delegated_io, work);

	extpager_gate_wake(io->obj, io->first, io->pages, -EAGAIN);
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
		extpager_count_add(obj->target, PAGES_FAILED, io->pages);
		tell_failure(io, "read", error);
	} else {
		extpager_count_add(obj->target, PAGES_READ, io->pages);
	}
	bio_for_each_folio_all(fi, bio) {
		unsigned int bytes = folio_bytes(obj, fi.folio);

		if (!error) {
			if (unlikely(bytes < folio_size(fi.folio)))
				folio_zero_segment(fi.folio, bytes, folio_size(fi.folio));
			flush_dcache_folio(fi.folio);
			folio_mark_uptodate(fi.folio);
		}
		/* With the last one the object may go. */
		folio_unlock(fi.folio);
	}
	/* Who came to the gate while it was not delegated, or is not any more. */
	if (unlikely(extpager_gate_waits(obj, io->first, io->pages))) {
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
		tell_failure(io, "written", io->error);
		WRITE_ONCE(obj->retry_at, jiffies + HZ);
		extpager_object_write_error(obj, extpager_transfer_error(io->error));
	} else {
		extpager_count_add(t, PAGES_WRITTEN, io->pages);
		extpager_count_add(t, PAGES_RETURNED, io->pages);
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
		extpager_delegated_leave_to_pager(obj);
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
	struct delegated_io *io;

	if (!bio)
		return;
	run->bio = NULL;
	io = container_of(bio, struct delegated_io, bio);
	io->pages = run->next - io->first;
	bio->bi_end_io = op_is_write(run->opf) ? write_end_io : read_end_io;
	submit_bio(bio);
}

/*
 * A folio that is to be read, locked, or written, under write-back, if it is delegated, in
 * one piece; @pages: its own and those that may follow.
 */
static bool run_add(struct extpager_delegated_run *run, struct folio *folio, unsigned int pages)
{
	unsigned int bytes, nr = folio_nr_pages(folio);
	pgoff_t index = folio->index, last = index + nr - 1;
	struct bio *bio = run->bio;

	if (bio && (index != run->next || last > run->last || bio->bi_vcnt == bio->bi_max_vecs)) {
		extpager_delegated_submit(run);
		bio = NULL;
	}
	/* Those that follow are most likely as large. */
	if (!bio && !io_begin(run, index, nr, DIV_ROUND_UP(pages, nr)))
		return false;
	bio = run->bio;
	run->next = last + 1;
	bytes = folio_bytes(run->obj, folio);
	/* To be written, a range ends with a block. */
	if (unlikely(bytes < folio_size(folio)))
		bytes = round_up(bytes, run->align);
	__bio_add_page(bio, folio_page(folio, 0), bytes, 0);
	return true;
}

/* ---- reads ---- */

/**
 * __extpager_delegated_read() - what is missing is read without its pager
 * @run: gathers what goes together; at last, or before anything is waited for,
 *	extpager_delegated_submit() has it read
 * @folio: locked, of the cache
 * @pages: its own and those that may follow
 *
 * Return: false if a pager is to be asked, for some of its pages at least.
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
 * A failure also stands in the mapping's errseq: who calls sync(2) is told nothing, and the
 * next flush may succeed, with what the device had lost before.
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
	d = extpager_delegations_get(obj);
	if (!d)
		return 0;
	for (i = 0; i < d->nr_devices && !ret; i++)
		ret = blkdev_issue_flush(d->devices[i]);
	spin_lock(&t->lock);
	/* If another one has taken its place since, that has seen to what is not flushed. */
	if (!ret && extpager_delegations_of(obj) == d && (s64)(written - obj->flushed) > 0)
		WRITE_ONCE(obj->flushed, written);
	spin_unlock(&t->lock);
	extpager_delegations_put(d);
	if (!ret)
		return 0;
	extpager_object_write_error(obj, -EIO);
	return -EIO;
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
