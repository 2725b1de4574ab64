// SPDX-License-Identifier: GPL-2.0-only
/*
 * Until it is in the store: who waits for dirty pages to be taken, for spilled
 * ones and zeroed ranges to follow, and for the pager's barrier.
 */
#include <linux/rcupdate_wait.h>
#include <linux/sched/signal.h>
#include <linux/writeback.h>

#include "extpager.h"

static bool range_tagged(struct address_space *mapping, pgoff_t first, pgoff_t last)
{
	unsigned long index = first;

	return xa_find(&mapping->i_pages, &index, last, PAGECACHE_TAG_TOWRITE);
}

/* Is a page of [first, last] being returned, or about to be sent? */
bool extpager_range_returning(struct extpager_object *obj, pgoff_t first, pgoff_t last)
{
	unsigned long index = first;

	return xa_find(&obj->inode.i_mapping->i_pages, &index, last, PAGECACHE_TAG_WRITEBACK);
}

/* Wait for each page that is being returned now; -EINTR: the caller is being killed. */
int extpager_wait_returned(struct extpager_object *obj, pgoff_t index, pgoff_t last)
{
	struct address_space *mapping = obj->inode.i_mapping;
	struct folio_batch batch;
	unsigned int i;
	int ret = 0;

	extpager_waits_for_pager();
	folio_batch_init(&batch);
	while (!ret && filemap_get_folios_tag(mapping, &index, last, PAGECACHE_TAG_WRITEBACK,
					      &batch)) {
		for (i = 0; i < folio_batch_count(&batch) && !ret; i++)
			ret = folio_wait_writeback_killable(batch.folios[i]);
		folio_batch_release(&batch);
		cond_resched();
	}
	return ret ? -EINTR : 0;
}

/* One call's patience: until nothing was acknowledged for a whole deadline of returns. */
struct sync_wait {
	unsigned long since;		/* jiffies */
	u64 taken;
	int errors;
};

/* By the pager, or the devices that it has handed over to. */
static u64 pages_taken(struct extpager_object *obj)
{
	return READ_ONCE(obj->returned) + atomic64_read(&obj->written);
}

static void sync_begin(struct extpager_object *obj, struct sync_wait *w)
{
	w->since = jiffies;
	w->taken = pages_taken(obj);
}

/* Did something fail since the call? What failed before is no reason to give up. */
static int sync_failed(struct extpager_object *obj, const struct sync_wait *w)
{
	return atomic_read(&obj->write_errors) == w->errors ? 0 :
	       errseq_check(&obj->inode.i_mapping->wb_err, 0);
}

/* If so, all who sync are to hear of it, once. */
static int sync_overdue(struct extpager_object *obj, struct sync_wait *w)
{
	if (pages_taken(obj) != w->taken)
		sync_begin(obj, w);
	if (jiffies_to_msecs(jiffies - w->since) <
	    READ_ONCE(obj->target->settings.timeout_ms[EXTPAGER_PHASE_RETURN]))
		return 0;
	extpager_object_write_error(obj, -EIO);
	return -EIO;
}

/*
 * Send what is tagged and wait for all of the range. -EAGAIN: the pager went; an
 * error: of a zeroed range that keeps pages back, or of a pager that takes
 * nothing, which is not waited for once more.
 */
static int return_tagged(struct extpager_object *obj, pgoff_t first, pgoff_t last,
			 struct sync_wait *w)
{
	struct address_space *mapping = obj->inode.i_mapping;
	struct writeback_control wbc = {
		.sync_mode = WB_SYNC_ALL,
		.nr_to_write = LONG_MAX,
	};
	int ret;

	tag_pages_for_writeback(mapping, first, last);
	for (;;) {
		if (extpager_return_range(obj, first, last, PAGECACHE_TAG_TOWRITE, &wbc))
			return -EAGAIN;
		if (extpager_wait_returned(obj, first, last))
			return -EINTR;
		if (extpager_object_status(obj))
			return -EAGAIN;
		if (!range_tagged(mapping, first, last))
			return 0;
		ret = extpager_zeros_status(obj, first, last);
		if (ret && ret != -EAGAIN)
			return ret;
		ret = sync_failed(obj, w);
		if (ret && extpager_target_missed(obj->target))
			return ret;
		ret = sync_overdue(obj, w);
		if (ret)
			return ret;
		if (schedule_timeout_killable(1), fatal_signal_pending(current))
			return -EINTR;
	}
}

static bool in_spill(struct extpager_object *obj)
{
	return atomic_long_read(&obj->nr_spilled);
}

/*
 * Wait until nothing of the object is to be returned before what is dirty
 * (extpager_spill_goes_first), or nothing is in the spill; as return_tagged().
 */
static int wait_unspilled(struct extpager_object *obj, bool (*left)(struct extpager_object *obj),
			  struct sync_wait *w)
{
	struct extpager_target *t = obj->target;
	int ret;

	if (left(obj))
		extpager_waits_for_pager();
	while (left(obj)) {
		if (extpager_object_status(obj))
			return -EAGAIN;
		ret = sync_failed(obj, w) ?: sync_overdue(obj, w);
		if (ret)
			return ret;
		/* What has come back from there may wait for its turn. */
		queue_work(extpager_wq, &t->flush_work);
		ret = wait_event_killable_timeout(t->wait,
						  !left(obj) || extpager_object_status(obj),
						  HZ / 10);
		if (ret < 0)
			return -EINTR;
	}
	return 0;
}

/* A failure is seen once: soon the range is asked again. */
static bool zeros_settled(struct extpager_object *obj, pgoff_t first, pgoff_t last, int *status)
{
	*status = extpager_zeros_status(obj, first, last);
	return *status != -EAGAIN;
}

/**
 * extpager_wait_zeros() - wait for zeroed ranges to be acknowledged
 * @obj: object
 * @first: first page
 * @last: last page
 *
 * Return: 0, -EINTR, -ENODEV: the object went; or what one of them failed with,
 * which goes on to be asked.
 */
int extpager_wait_zeros(struct extpager_object *obj, pgoff_t first, pgoff_t last)
{
	int status;

	extpager_waits_for_pager();
	if (wait_event_killable(obj->target->wait, zeros_settled(obj, first, last, &status)))
		return -EINTR;
	if (!status && READ_ONCE(obj->state) == EXTPAGER_OBJECT_GONE)
		return -ENODEV;
	return status;
}

static int barrier_request(struct extpager_object *obj)
{
	struct extpager_request *req;
	unsigned long short_since = 0;
	int ret;

	if (!extpager_object_unsynced(obj))
		return 0;
	while (!(req = extpager_request_alloc(obj, EXTPAGER_EV_SYNC, 0)))
		if (!extpager_await_memory(&short_since))
			return fatal_signal_pending(current) ? -EINTR : -ENOMEM;
	req->length = i_size_read(&obj->inode);
	extpager_request_get(req);
	ret = extpager_request_submit(req);
	if (ret) {
		extpager_request_put(req);
		ret = -EAGAIN;
	} else {
		ret = extpager_request_wait(req);
	}
	extpager_request_put(req);
	return ret;
}

/**
 * extpager_sync_needs_pager() - is there anything of a range that only the pager can store?
 * @obj: object
 * @first: first page
 * @last: last page, or ULONG_MAX
 */
bool extpager_sync_needs_pager(struct extpager_object *obj, pgoff_t first, pgoff_t last)
{
	pgoff_t pages = DIV_ROUND_UP(i_size_read(&obj->inode), PAGE_SIZE);

	if (!extpager_delegates(obj) || extpager_object_keeps(obj) || extpager_object_unsynced(obj))
		return true;
	last = min(last, pages - 1);
	return first <= last && (extpager_delegated_pages(obj, first, true) < last - first + 1 ||
				 range_tagged(obj->inode.i_mapping, first, last));
}

/* Write what is delegated of the range, and wait for that. 0 or -EINTR. */
static int write_delegated(struct extpager_object *obj, pgoff_t first, pgoff_t last)
{
	struct address_space *mapping = obj->inode.i_mapping;
	struct writeback_control wbc = {
		.sync_mode = WB_SYNC_ALL,
		.nr_to_write = LONG_MAX,
	};
	int ret, turn;

	tag_pages_for_writeback(mapping, first, last);
	/* What was being written, and is dirty again, has its turn after that. */
	for (turn = 0; turn < 2; turn++) {
		extpager_delegated_write(obj, first, last, PAGECACHE_TAG_TOWRITE, &wbc);
		ret = extpager_wait_returned(obj, first, last);
		if (ret || !range_tagged(mapping, first, last))
			return ret;
	}
	return 0;
}

/**
 * extpager_return_sync() - return all that is dirty now and wait for it
 * @obj: object
 * @start: first byte
 * @end: last byte
 * @barrier: also ask the store for durability
 *
 * Waits killably, through the loss of a pager too as its target's policy says.
 *
 * Return: 0, -EINTR, or the error of the barrier or of the wait for a pager.
 * Failed returns stand in the mapping's errseq.
 */
int extpager_return_sync(struct extpager_object *obj, loff_t start, loff_t end, bool barrier)
{
	pgoff_t first = start >> PAGE_SHIFT, last = end >> PAGE_SHIFT;
	struct sync_wait w = { .errors = atomic_read(&obj->write_errors) };
	bool asks;
	int ret, zeros;

	do {
		ret = 0;
		asks = true;
		if (extpager_delegates(obj)) {
			/* Before anything else: of this no pager is to be waited for. */
			ret = write_delegated(obj, first, last) ?: extpager_delegated_flush(obj);
			if (ret)
				break;
			asks = extpager_sync_needs_pager(obj, first, last);
		}
		if (asks && !extpager_object_clean(obj)) {
			ret = extpager_object_wait_ready(obj);
			if (ret)
				break;
			zeros = extpager_wait_zeros(obj, first, last);
			sync_begin(obj, &w);
			ret = zeros == -EINTR ? zeros :
			      wait_unspilled(obj, extpager_spill_goes_first, &w) ?:
			      return_tagged(obj, first, last, &w) ?:
			      wait_unspilled(obj, in_spill, &w) ?: zeros;
		}
		if (!ret && barrier && asks)
			ret = barrier_request(obj);
		if (!ret && barrier)
			ret = extpager_delegated_flush(obj);
		/* It was taken back meanwhile, and what was written is for the pager to flush. */
		if (!ret && barrier && !asks && extpager_object_unsynced(obj))
			ret = -EAGAIN;
	} while (ret == -EAGAIN);
	return ret;
}

/* Nothing dirty, nothing being returned, nothing to make durable. */
bool extpager_object_clean(struct extpager_object *obj)
{
	struct xarray *pages = &obj->inode.i_mapping->i_pages;
	bool marked;

	/* A page on its way from one mark to the other has at least one. */
	xa_lock_irq(pages);
	marked = xa_marked(pages, PAGECACHE_TAG_DIRTY) || xa_marked(pages, PAGECACHE_TAG_WRITEBACK);
	xa_unlock_irq(pages);
	return !marked && !extpager_object_unsynced(obj) && !extpager_object_unflushed(obj) &&
	       !extpager_object_keeps(obj);
}

/* Pages that only the kernel has: dirty, being returned, or in the spill. */
unsigned long extpager_object_dirty_pages(struct extpager_object *obj)
{
	XA_STATE(xas, &obj->inode.i_mapping->i_pages, 0);
	unsigned long nr = 0;
	void *entry;

	rcu_read_lock();
	xas_for_each(&xas, entry, ULONG_MAX) {
		if (xas_retry(&xas, entry))
			continue;
		nr += xas_get_mark(&xas, PAGECACHE_TAG_DIRTY) ||
		      xas_get_mark(&xas, PAGECACHE_TAG_WRITEBACK);
		if (need_resched()) {
			xas_pause(&xas);
			cond_resched_rcu();
		}
	}
	rcu_read_unlock();
	return nr + extpager_spill_only(obj);
}
