// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page cache's side of an object: address_space_operations. Missing pages
 * become data requests, dirty ones data returns. It knows requests, not rings.
 */
#include <linux/sched/signal.h>
#include <linux/writeback.h>

#include "extpager.h"

static loff_t range_bytes(struct extpager_object *obj, pgoff_t index, pgoff_t nr)
{
	loff_t start = (loff_t)index << PAGE_SHIFT;

	return min_t(loff_t, (loff_t)nr << PAGE_SHIFT, i_size_read(&obj->inode) - start);
}

static pgoff_t object_pages(struct extpager_object *obj)
{
	return DIV_ROUND_UP(i_size_read(&obj->inode), PAGE_SIZE);
}

/**
 * extpager_page_state() - is the page here?
 * @mapping: of an object
 * @index: page
 *
 * A hint: the page may come or go at any time. The folio is looked at without
 * a reference; should it be another one by then, the answer is a stale hint.
 */
enum extpager_page_state extpager_page_state(struct address_space *mapping, pgoff_t index)
{
	enum extpager_page_state state = EXTPAGER_PAGE_ABSENT;
	XA_STATE(xas, &mapping->i_pages, index);
	struct folio *folio;

	rcu_read_lock();
	do {
		folio = xas_load(&xas);
	} while (xas_retry(&xas, folio));
	if (folio && !xa_is_value(folio))
		state = extpager_peek_uptodate(folio) ? EXTPAGER_PAGE_HERE : EXTPAGER_PAGE_COMING;
	rcu_read_unlock();
	return state;
}

static bool page_absent(struct address_space *mapping, pgoff_t index)
{
	void *entry = xa_load(&mapping->i_pages, index);

	return !entry || xa_is_value(entry);
}

/* ---- folios come back from their request ---- */

void extpager_folio_supplied(struct extpager_object *obj, struct folio *folio)
{
	folio_mark_uptodate(folio);
	folio_unlock(folio);
}

/* It leaves the cache, so that the next access asks anew. */
void extpager_folio_failed(struct extpager_object *obj, struct folio *folio)
{
	/* The cache's reference may be the last one. */
	folio_get(folio);
	generic_error_remove_folio(obj->inode.i_mapping, folio);
	folio_unlock(folio);
	folio_put(folio);
}

/*
 * Its pager has failed it, or is to be asked again: -EAGAIN. Who waits for the lock of one that
 * failed is in a generic function, and would take one that left for truncated, and have it
 * asked for again, and so on: for him it stays, and read_folio asks, and tells. The gate clears
 * away what nobody wants.
 */
void extpager_folio_refused(struct extpager_object *obj, struct folio *folio, int error)
{
	bool failed = error && error != -EAGAIN, large = folio_test_large(folio);

	/* Who waits for a large one is told when its pages are asked for one by one. */
	if (unlikely(failed && large))
		extpager_large_pause(obj);
	if (unlikely(failed && !large && folio_test_waiters(folio)))
		folio_unlock(folio);
	else
		extpager_folio_failed(obj, folio);
}

/* Who syncs is to send it, even if a writer has only begun to mark it dirty. */
static void tag_for_sync(struct address_space *mapping, pgoff_t index)
{
	unsigned long flags;

	xa_lock_irqsave(&mapping->i_pages, flags);
	__xa_set_mark(&mapping->i_pages, index, PAGECACHE_TAG_TOWRITE);
	xa_unlock_irqrestore(&mapping->i_pages, flags);
}

/*
 * A locked page that is clean has nothing to be sent: the tag came from somebody who marks
 * pages dirty without their lock, after they were written. Who syncs would wait for it.
 */
static void untag_clean(struct address_space *mapping, struct folio *folio)
{
	unsigned long flags;

	xa_lock_irqsave(&mapping->i_pages, flags);
	/* Who marks it dirty from here on tags it when we have unlocked. */
	if (!folio_test_dirty(folio)) {
		__xa_clear_mark(&mapping->i_pages, folio->index, PAGECACHE_TAG_DIRTY);
		__xa_clear_mark(&mapping->i_pages, folio->index, PAGECACHE_TAG_TOWRITE);
	}
	xa_unlock_irqrestore(&mapping->i_pages, flags);
}

/* With an error the page stays dirty; under write-back nobody can take it away. */
void extpager_folio_returned(struct extpager_object *obj, struct folio *folio, int error)
{
	struct address_space *mapping = obj->inode.i_mapping;

	if (error)
		filemap_dirty_folio(mapping, folio);
	else if (unlikely(atomic_long_read(&obj->nr_spilled)))
		__extpager_spill_acknowledged(obj, folio->index);
	/* Nothing was said of it: who waits for its return goes on waiting. */
	if (error == -EAGAIN)
		tag_for_sync(mapping, folio->index);
	folio_end_writeback(folio);
}

/* ---- page-in ---- */

/*
 * A locked page of the cache that the pager is not to be asked for: it is lost, of a
 * zeroed range that the pager does not know of yet, or in the spill. False: it is;
 * else the page is here, or gone with an @error.
 */
static bool __folio_kept(struct extpager_object *obj, struct folio *folio, int *error)
{
	pgoff_t index = folio->index;

	*error = 0;
	/* What was lost was written after the range was zeroed, or spilled. */
	if (extpager_lost(obj, index))
		*error = -EIO;
	else if (extpager_zeros_overlap(obj, index, index))
		folio_zero_range(folio, 0, folio_size(folio));
	else if (extpager_spilled(obj, index))
		*error = extpager_spill_read(obj, folio);
	else
		return false;
	if (*error)
		extpager_folio_failed(obj, folio);
	else
		extpager_folio_supplied(obj, folio);
	extpager_gate_wake(obj, index, 1, *error);
	return true;
}

/* In every miss's way: not a call. */
static __always_inline bool folio_kept(struct extpager_object *obj, struct folio *folio,
				       int *error)
{
	return unlikely(extpager_object_excepts(obj)) && __folio_kept(obj, folio, error);
}

/* Requests for pages of the range are answered here: with zeros. */
static void serve_zeros(struct extpager_object *obj, pgoff_t first, pgoff_t nr)
{
	struct extpager_claim claim;
	unsigned int i;

	while (extpager_request_take(obj, first, nr, 0, &claim)) {
		for (i = 0; i < claim.span; i++)
			if (claim.folios[i])
				folio_zero_range(claim.folios[i], 0, folio_size(claim.folios[i]));
		extpager_claim_end(&claim, claim.span, 0);
	}
	extpager_request_lose_reads(obj, first, nr);
}

/*
 * What is being returned cannot leave; it is zeros from now on. What leaves may be a large
 * folio with neighbours, which are as clean.
 */
static void zero_folio(struct extpager_object *obj, struct folio *folio, pgoff_t first,
		       pgoff_t last)
{
	bool large = folio_test_large(folio);

	first = max(first, folio->index);
	last = min(last, folio_next_index(folio) - 1);
	/* Who holds it copies; or waits for a device, or for an answer that is given here. */
	while (!folio_trylock(folio)) {
		serve_zeros(obj, first, last - first + 1);
		schedule_timeout_uninterruptible(1);
	}
	if (folio->mapping == obj->inode.i_mapping) {
		if (folio_test_writeback(folio))
			folio_zero_range(folio, 0, folio_size(folio));
		else
			generic_error_remove_folio(obj->inode.i_mapping, folio);
	} else if (!large && PageHWPoison(folio_page(folio, 0))) {
		/* Its memory broke while we waited: what is lost of it is no more, either. */
		extpager_lost_forget(obj, folio->index, folio->index);
	}
	folio_unlock(folio);
}

/**
 * extpager_zero_pages() - have an announced zeroed range read as zeros
 * @obj: object
 * @first: first page
 * @nr: pages
 *
 * Afterwards no page of the range holds anything but zeros, or what was
 * written since, and none can become a request or a return until the range is
 * acknowledged. Returns under way go on.
 *
 * Context: inode lock; does not wait for the pager.
 */
void extpager_zero_pages(struct extpager_object *obj, pgoff_t first, pgoff_t nr)
{
	struct address_space *mapping = obj->inode.i_mapping;
	pgoff_t last = first + nr - 1, index = first;
	unsigned int i, patience = HZ / 10;
	struct folio_batch batch;

	/*
	 * Whoever asked for pages before it could know of the range has them in
	 * the cache after this. Never queue: readers behind would wait, too. But those of
	 * delegated pages hold it while they wait for a device, and there may always be one.
	 */
	while (!down_write_trylock(&mapping->invalidate_lock)) {
		if (extpager_delegates(obj) && !patience--) {
			down_write(&mapping->invalidate_lock);
			break;
		}
		schedule_timeout_uninterruptible(1);
	}
	up_write(&mapping->invalidate_lock);
	extpager_lost_forget(obj, first, last);
	serve_zeros(obj, first, nr);
	folio_batch_init(&batch);
	while (filemap_get_folios(mapping, &index, last, &batch)) {
		for (i = 0; i < folio_batch_count(&batch); i++)
			zero_folio(obj, batch.folios[i], first, last);
		folio_batch_release(&batch);
		cond_resched();
	}
}

/* The pager was asked for it, in vain, and is not asked again before it shows life. */
static bool page_is_overdue(struct extpager_object *obj, pgoff_t index)
{
	struct extpager_target *t = obj->target;
	bool overdue;

	spin_lock(&t->lock);
	overdue = extpager_page_overdue(obj, index);
	spin_unlock(&t->lock);
	return overdue;
}

/* True if @folio is not to be asked for and gone: who wants it waits at the gate. */
static bool __folio_is_overdue(struct extpager_object *obj, struct folio *folio)
{
	pgoff_t wanted, index = folio->index;
	u32 access = 0;

	if (!page_is_overdue(obj, index))
		return false;
	extpager_gate_wanted(obj, index, 1, &wanted, &access);
	extpager_folio_failed(obj, folio);
	/* Meanwhile the record may have been asked again, and found the page here. */
	if (!page_is_overdue(obj, index))
		extpager_gate_wake(obj, index, 1, -EAGAIN);
	return true;
}

static __always_inline bool folio_is_overdue(struct extpager_object *obj, struct folio *folio)
{
	return unlikely(READ_ONCE(obj->target->any_overdue)) && __folio_is_overdue(obj, folio);
}

/* @req has all its folios; on failure they are given up. */
static int submit_data_request(struct extpager_object *obj, struct extpager_request *req,
			       pgoff_t index, unsigned int nr)
{
	pgoff_t wanted = index;
	unsigned int i;
	int ret;

	req->index = index;
	req->nr = nr;
	req->length = range_bytes(obj, index, nr);
	req->access = 0;
	if (extpager_gate_wanted(obj, index, nr, &wanted, &req->access)) {
		req->wanted = (loff_t)wanted << PAGE_SHIFT;
	} else {
		req->wanted = -1;
		req->access = EXTPAGER_ACCESS_READ;
		req->flags |= EXTPAGER_EVF_PREFETCH;
	}
	ret = extpager_request_submit(req);
	if (!ret) {
		extpager_delegated_meanwhile(obj, index, nr);
		return 0;
	}
	for (i = 0; i < nr; i++)
		if (req->folios[i])
			extpager_folio_failed(obj, req->folios[i]);
	extpager_request_put(req);
	extpager_gate_wake(obj, index, nr, -EAGAIN);
	return ret;
}

static struct extpager_request *data_request_alloc(struct extpager_object *obj, unsigned int nr)
{
	struct extpager_request *req = NULL;

	if (nr > EXTPAGER_INLINE_FOLIOS)
		req = extpager_request_alloc(obj, EXTPAGER_EV_DATA_REQUEST, nr);
	return req ?: extpager_request_alloc(obj, EXTPAGER_EV_DATA_REQUEST,
					     min_t(unsigned int, nr, EXTPAGER_INLINE_FOLIOS));
}

/* Neighbours that are missing; at any time some of them are gathered, and not asked for yet. */
struct page_in {
	struct extpager_object *obj;
	struct extpager_delegated_run run;
	struct extpager_request *req;
	pgoff_t index;
	unsigned int nr, room;		/* of @req, if there are any */
	pgoff_t mark;			/* at which the next window is due */
};

static void page_in_request(struct page_in *in)
{
	if (in->nr)
		submit_data_request(in->obj, in->req, in->index, in->nr);
	in->nr = 0;
}

static void page_in_send(struct page_in *in)
{
	extpager_delegated_submit(&in->run);
	page_in_request(in);
}

/* A locked folio of @nr pages that a pager is to be asked for. */
static __always_inline void page_in_gather(struct page_in *in, struct folio *folio,
					   unsigned int nr, unsigned int left)
{
	struct extpager_object *obj = in->obj;

	if (nr > 1 && in->nr + nr > in->room)
		page_in_request(in);
	if (!in->nr) {
		in->index = folio->index;
		/* Nothing is kept waiting for memory. */
		extpager_delegated_submit(&in->run);
		in->req = data_request_alloc(obj, min_t(unsigned int, left,
							EXTPAGER_REQUEST_PAGES));
		if (!in->req) {
			extpager_folio_failed(obj, folio);
			extpager_gate_wake(obj, in->index, nr, -EAGAIN);
			return;
		}
		in->room = in->req->nr;
	}
	in->req->folios[in->nr++] = folio;
	if (nr > 1) {
		in->req->large = true;
		memset(in->req->folios + in->nr, 0, (nr - 1) * sizeof(folio));
		in->nr += nr - 1;
	}
	if (in->nr == in->room)
		page_in_request(in);
}

/*
 * A folio of one page, locked and in the cache; it ends up asked for, zero or gone. @left: it
 * and those that may follow.
 */
static __always_inline void page_in_add(struct page_in *in, struct folio *folio,
					unsigned int left)
{
	struct extpager_object *obj = in->obj;
	int error;

	if (folio_kept(obj, folio, &error) || extpager_delegated_read(&in->run, folio, left) ||
	    folio_is_overdue(obj, folio))
		page_in_request(in);
	else
		page_in_gather(in, folio, 1, left);
}

/* A locked page of the cache, or NULL: somebody else's is there, or there is no memory. */
static struct folio *add_page(struct address_space *mapping, pgoff_t index, gfp_t gfp)
{
	struct folio *folio = filemap_alloc_folio(gfp, 0, NULL);

	if (!folio)
		return NULL;
	if (filemap_add_folio(mapping, folio, index, gfp)) {
		folio_put(folio);
		return NULL;
	}
	/* Locked, it stays in the cache. */
	folio_put(folio);
	return folio;
}

/*
 * A large folio, locked and in the cache, whose pages do not come as one: others take its
 * place. @left: its own and those that may follow.
 */
static void page_in_singly(struct page_in *in, struct folio *folio, unsigned int left)
{
	struct address_space *mapping = in->obj->inode.i_mapping;
	gfp_t gfp = (readahead_gfp_mask(mapping) & ~__GFP_FS) | __GFP_NOWARN;
	bool marked = folio_test_readahead(folio);
	unsigned int nr = folio_nr_pages(folio);
	pgoff_t index = folio->index;

	extpager_folio_failed(in->obj, folio);
	for (; nr; nr--, left--, index++) {
		folio = add_page(mapping, index, gfp & ~__GFP_DIRECT_RECLAIM);
		if (!folio && page_absent(mapping, index)) {
			/* Nothing is kept waiting for memory. */
			page_in_send(in);
			folio = add_page(mapping, index, gfp);
		}
		if (folio) {
			if (marked && index == in->mark)
				folio_set_readahead(folio);
			page_in_add(in, folio, left);
			continue;
		}
		page_in_request(in);
		if (page_absent(mapping, index))
			extpager_gate_wake(in->obj, index, 1, -EAGAIN);
	}
}

/*
 * All of a large folio is in one place of a device, or to be had from a pager; or not: then
 * its pages are to be had from several.
 */
static void page_in_large(struct page_in *in, struct folio *folio, unsigned int left)
{
	bool excepted = extpager_object_excepts(in->obj);

	if (!excepted && extpager_delegated_read(&in->run, folio, left))
		page_in_request(in);
	else if (!excepted && extpager_large_wanted(in->obj, folio))
		page_in_gather(in, folio, folio_nr_pages(folio), left);
	else
		page_in_singly(in, folio, left);
}

/* The folios are locked and in the cache; each ends up asked for, zero or gone. */
static void extpager_readahead(struct readahead_control *rac)
{
	struct extpager_object *obj = extpager_object(rac->mapping->host);
	struct page_in in = {
		.obj = obj,
		.run = { .obj = obj, .opf = REQ_OP_READ },
		/* Others who read by the same file change it: a mark is a hint. */
		.mark = data_race(rac->ra->start + rac->ra->size - rac->ra->async_size),
	};
	unsigned int left, nr;
	struct folio *folio;

	/* From the next window on. */
	extpager_large_allow(obj);
	for (left = readahead_count(rac); (folio = readahead_folio(rac)); left -= nr) {
		/* Once it is being read it is not ours. */
		nr = folio_nr_pages(folio);
		if (likely(nr == 1))
			page_in_add(&in, folio, left);
		else
			page_in_large(&in, folio, left);
	}
	page_in_send(&in);
}

/* A locked page of the cache is read without its pager, if it is delegated. */
static bool folio_delegated(struct extpager_object *obj, struct folio *folio)
{
	struct extpager_delegated_run run = { .obj = obj, .opf = REQ_OP_READ };

	if (!extpager_delegated_read(&run, folio, 1))
		return false;
	extpager_delegated_submit(&run);
	return true;
}

/* Ask for a missing page; @gfp: for itself. */
static int request_page(struct extpager_object *obj, pgoff_t index, gfp_t gfp)
{
	struct address_space *mapping = obj->inode.i_mapping;
	struct extpager_request *req;
	struct folio *folio;
	int ret = -ENOMEM, error;

	filemap_invalidate_lock_shared(mapping);
	folio = filemap_alloc_folio(gfp, 0, NULL);
	if (!folio)
		goto unlock;
	ret = filemap_add_folio(mapping, folio, index, gfp);
	if (ret) {
		folio_put(folio);
		goto unlock;
	}
	/* Locked, it stays in the cache. */
	folio_put(folio);
	if (folio_kept(obj, folio, &error)) {
		ret = error;
		goto unlock;
	}
	if (folio_delegated(obj, folio) || folio_is_overdue(obj, folio))
		goto unlock;
	req = extpager_request_alloc(obj, EXTPAGER_EV_DATA_REQUEST, 1);
	if (req) {
		req->folios[0] = folio;
		submit_data_request(obj, req, index, 1);
	} else {
		extpager_folio_failed(obj, folio);
		extpager_gate_wake(obj, index, 1, -EAGAIN);
	}
unlock:
	filemap_invalidate_unlock_shared(mapping);
	return ret;
}

/* So long memory may be on its way to swap, or to a pager. */
#define MEMORY_PATIENCE	(5 * HZ)

/**
 * extpager_await_memory() - there was none to be had without having somebody killed
 * @since: 0 at first
 *
 * A memory cgroup may be full of pages that are being written: to swap, where the spill has
 * them go, or by a pager. The kernel does not wait for them, but has somebody killed.
 *
 * Context: wherever swap may be waited for.
 * Return: false if it went on for too long, or the caller is being killed.
 */
bool extpager_await_memory(unsigned long *since)
{
	if (!*since)
		*since = jiffies | 1;
	schedule_timeout_killable(1);
	return time_before(jiffies, *since + MEMORY_PATIENCE) && !fatal_signal_pending(current);
}

/**
 * extpager_request_page() - ask for one missing page, without readahead's pains
 * @obj: object
 * @index: page inside it
 * @try_hard: reclaim, wait for memory or, at last, have something killed, rather than fail
 *
 * Does not wait for the pager.
 * Return: 0, -EEXIST: it is in the cache; -ENOMEM; of a page in the spill
 * -EAGAIN, or why swap failed; or -EIO: it is lost.
 */
int extpager_request_page(struct extpager_object *obj, pgoff_t index, bool try_hard)
{
	struct address_space *mapping = obj->inode.i_mapping;
	gfp_t gfp = mapping_gfp_mask(mapping);
	unsigned long short_since = 0;
	int ret;

	if (!try_hard)
		return request_page(obj, index, (readahead_gfp_mask(mapping) & ~__GFP_FS) |
						__GFP_NOWARN);
	do {
		ret = request_page(obj, index, gfp | EXTPAGER_GFP_SPARING);
		if (ret != -ENOMEM)
			return ret;
	} while (extpager_await_memory(&short_since));
	return request_page(obj, index, gfp);
}

/* All of it could not be read, so nobody knows which page is bad. */
static void read_singly(struct extpager_object *obj, struct folio *folio)
{
	struct page_in in = { .obj = obj, .run = { .obj = obj, .opf = REQ_OP_READ } };

	page_in_singly(&in, folio, folio_nr_pages(folio));
	page_in_send(&in);
}

/* Whoever is told nothing looks so often whether there is still something to wait for. */
#define FOLIO_PATIENCE	(HZ / 10)

/*
 * Who punches tries to have the invalidate_lock, or waits for it. It is given up once for a
 * folio, which is marked: not every caller of read_folio lets go of it, and who did not wait
 * would never be told.
 */
static bool must_let_go(struct extpager_object *obj, struct folio *folio)
{
	return !folio_test_checked(folio) &&
	       (READ_ONCE(obj->zeros) ||
		rwsem_is_contended(&obj->inode.i_mapping->invalidate_lock));
}

/*
 * Ask a pager for a locked folio, and wait: of one that has left the cache the caller could
 * not tell a pager that went from one that failed. 0: it is here; -EAGAIN: it may be asked
 * for again, or others want the invalidate_lock that the caller holds.
 */
static int request_folio(struct extpager_object *obj, struct folio *folio)
{
	bool locked = true;
	pgoff_t index = folio->index;
	struct extpager_request *req;
	struct extpager_waiter w;
	int ret;

	req = extpager_request_alloc(obj, EXTPAGER_EV_DATA_REQUEST, 1);
	if (!req) {
		extpager_folio_failed(obj, folio);
		extpager_gate_wake(obj, index, 1, -EAGAIN);
		return -EAGAIN;
	}
	req->folios[0] = folio;
	extpager_gate_enter(&w, obj, index, EXTPAGER_ACCESS_READ);
	ret = submit_data_request(obj, req, index, 1);
	/* A page that fails is unlocked before its waiter is told. */
	while (!ret && locked && !fatal_signal_pending(current)) {
		locked = folio_test_locked(folio);
		if (must_let_go(obj, folio)) {
			folio_set_checked(folio);
			break;
		}
		if (extpager_gate_told(&w, FOLIO_PATIENCE))
			break;
	}
	ret = extpager_gate_leave(&w);
	if (folio_test_uptodate(folio))
		return 0;
	if (ret == -EAGAIN && !extpager_needs_no_pager(obj, index))
		ret = extpager_object_status(obj) ?: ret;
	return ret;
}

/*
 * The gate asks through readahead and waits by itself; this is for the rare
 * page that went between the gate and the generic function, and for what a device
 * could not read. A pause must not become an error then: AOP_TRUNCATED_PAGE sends the
 * caller round again.
 */
static int extpager_read_folio(struct file *file, struct folio *folio)
{
	struct extpager_object *obj = extpager_object(folio->mapping->host);
	int ret = 0;

	if (folio_test_large(folio)) {
		read_singly(obj, folio);
		goto again;
	}
	if (folio_kept(obj, folio, &ret) && ret != -EAGAIN)
		return ret;
	if (!ret && folio_delegated(obj, folio))
		return 0;
	if (!ret && !folio_is_overdue(obj, folio)) {
		ret = request_folio(obj, folio);
		if (ret != -EAGAIN)
			return ret;
	}
again:
	if (fatal_signal_pending(current))
		return -EINTR;
	schedule_timeout_killable(1);
	return AOP_TRUNCATED_PAGE;
}

/**
 * extpager_request_pages() - ask for what is missing of a range
 * @obj: object
 * @index: first page
 * @nr: pages
 *
 * Does not wait. Some may not have been asked for: see extpager_wake_absent().
 */
void extpager_request_pages(struct extpager_object *obj, pgoff_t index, pgoff_t nr)
{
	struct address_space *mapping = obj->inode.i_mapping;
	pgoff_t pages = object_pages(obj);

	if (index >= pages)
		return;
	nr = min(nr, pages - index);
	if (nr > 1) {
		struct file_ra_state ra = { };
		DEFINE_READAHEAD(rac, NULL, &ra, mapping, index);

		page_cache_ra_unbounded(&rac, nr, 0);
	} else {
		extpager_request_page(obj, index, false);
	}
}

/**
 * extpager_wake_absent() - have those who wait for what is missing try by themselves
 * @obj: object
 * @index: first page
 * @nr: pages
 */
void extpager_wake_absent(struct extpager_object *obj, pgoff_t index, pgoff_t nr)
{
	for (; nr; nr--, index++)
		if (page_absent(obj->inode.i_mapping, index))
			extpager_gate_wake(obj, index, 1, -EAGAIN);
}

/**
 * extpager_push() - install a page that nobody asked for
 * @obj: object
 * @generation: the pager's idea of it
 * @index: page inside it
 * @buf: the pager's buffer, NULL for zeros
 *
 * Context: ENTER; waits for nothing.
 * Return: 0; -EEXIST: it is here; -EAGAIN: a client is in the way; -EFAULT:
 * fault @buf in and try again; -ESTALE; -ENOMEM.
 */
int extpager_push(struct extpager_object *obj, u32 generation, pgoff_t index,
		  const void __user *buf)
{
	struct address_space *mapping = obj->inode.i_mapping;
	gfp_t gfp = mapping_gfp_mask(mapping) | __GFP_NORETRY | __GFP_NOWARN;
	struct folio *folio;
	int ret;

	if (extpager_page_state(mapping, index) == EXTPAGER_PAGE_COMING)
		extpager_drop_leftover(obj, index);
	if (!page_absent(mapping, index))
		return -EEXIST;
	if (!filemap_invalidate_trylock_shared(mapping))
		return -EAGAIN;
	/* TERMINATE empties the cache with this lock held. */
	ret = -ESTALE;
	if (READ_ONCE(obj->state) != EXTPAGER_OBJECT_READY ||
	    READ_ONCE(obj->generation) != generation)
		goto out_unlock;
	ret = -ENOMEM;
	folio = filemap_alloc_folio(gfp, 0, NULL);
	if (!folio)
		goto out_unlock;
	ret = -EFAULT;
	if (extpager_copy_in(obj, folio, index, buf))
		goto out_put;
	ret = filemap_add_folio(mapping, folio, index, gfp);
	if (ret)
		goto out_put;
	/*
	 * Of what the kernel writes by itself the pager cannot know how old its bytes are. What
	 * was here until now has left its mark.
	 */
	if (extpager_zeros_overlap(obj, index, index) || extpager_spilled(obj, index) ||
	    extpager_lost(obj, index) || extpager_delegated_for_write(obj, index)) {
		ret = -EEXIST;
		extpager_folio_failed(obj, folio);
	} else {
		extpager_folio_supplied(obj, folio);
	}
	extpager_gate_wake(obj, index, 1, ret ? -EAGAIN : 0);
out_put:
	folio_put(folio);
out_unlock:
	filemap_invalidate_unlock_shared(mapping);
	return ret;
}

/* ---- page-out ---- */

struct return_run {
	struct extpager_object *obj;
	struct extpager_request *req;
	unsigned int room;
};

static void run_send(struct return_run *run)
{
	struct extpager_request *req = run->req;
	struct extpager_object *obj = run->obj;
	unsigned int i;

	if (!req)
		return;
	run->req = NULL;
	if (!req->nr) {
		extpager_request_put(req);
		return;
	}
	req->length = range_bytes(obj, req->index, req->nr);
	if (!extpager_request_submit(req))
		return;
	for (i = 0; i < req->nr; i++)
		extpager_folio_returned(obj, req->folios[i], -EAGAIN);
	extpager_request_put(req);
}

/* Room for one more page at @index, in this run or a new one. */
static bool run_extend(struct return_run *run, pgoff_t index)
{
	struct extpager_target *t = run->obj->target;
	struct extpager_request *req = run->req;

	if (req && (index != req->index + req->nr || req->nr == EXTPAGER_REQUEST_PAGES)) {
		run_send(run);
		req = NULL;
	}
	if (req && req->nr == run->room) {
		if (extpager_request_enlarge(req, EXTPAGER_REQUEST_PAGES)) {
			run->room = EXTPAGER_REQUEST_PAGES;
		} else {
			run_send(run);
			req = NULL;
		}
	}
	if (req)
		return true;
	if (extpager_target_asked(t, EXTPAGER_PHASE_RETURN) >= EXTPAGER_RETURNS_MAX)
		return false;
	req = extpager_request_alloc(run->obj, EXTPAGER_EV_DATA_RETURN, 0);
	if (!req)
		return false;
	req->index = index;
	run->req = req;
	run->room = EXTPAGER_INLINE_FOLIOS;
	return true;
}

/* Folio locked; true if it went with the run. */
static bool run_add(struct return_run *run, struct folio *folio, bool *full)
{
	struct extpager_object *obj = run->obj;
	struct address_space *mapping = obj->inode.i_mapping;
	pgoff_t index = folio->index;

	if (folio->mapping != mapping)
		return false;
	if (unlikely(!folio_test_dirty(folio))) {
		untag_clean(mapping, folio);
		return false;
	}
	if (folio_test_writeback(folio) || extpager_zeros_overlap(obj, index, index) ||
	    extpager_page_detached(obj, index) || extpager_delegated_for_write(obj, index))
		return false;
	if (!run_extend(run, index)) {
		*full = true;
		return false;
	}
	if (!folio_clear_dirty_for_io(folio))
		return false;
	/* The record may be gone when the run is sent. */
	if (unlikely(extpager_request_recorded(obj, EXTPAGER_EV_DATA_RETURN, index, 1) ||
		     extpager_spill_resent(obj, index)))
		run->req->flags |= EXTPAGER_EVF_RESENT;
	folio_start_writeback(folio);
	run->req->folios[run->req->nr++] = folio;
	return true;
}

/* Without waiting for the pager: what cannot go now stays dirty, and keeps its tag. */
static void send_range(struct extpager_object *obj, pgoff_t index, pgoff_t last, xa_mark_t tag,
		       struct writeback_control *wbc)
{
	bool sync = wbc && wbc->sync_mode == WB_SYNC_ALL;
	struct return_run run = { .obj = obj };
	bool full = false;
	struct folio_batch batch;
	unsigned int i;

	folio_batch_init(&batch);
	while (!full && filemap_get_folios_tag(obj->inode.i_mapping, &index, last, tag, &batch)) {
		for (i = 0; i < folio_batch_count(&batch) && !full; i++) {
			struct folio *folio = batch.folios[i];

			if (!folio_trylock(folio)) {
				if (!sync)
					continue;
				/* Whoever holds it may wait for what this run holds. */
				run_send(&run);
				folio_lock(folio);
			}
			if (run_add(&run, folio, &full) && wbc && --wbc->nr_to_write <= 0 &&
			    !sync)
				full = true;
			folio_unlock(folio);
		}
		folio_batch_release(&batch);
		cond_resched();
	}
	run_send(&run);
}

/* Give dirty pages to the pager even if others go to the spill meanwhile. */
void extpager_send_range(struct extpager_object *obj, pgoff_t first, pgoff_t last,
			 struct writeback_control *wbc)
{
	extpager_delegated_write(obj, first, last, PAGECACHE_TAG_DIRTY, wbc);
	send_range(obj, first, last, PAGECACHE_TAG_DIRTY, wbc);
}

/**
 * extpager_return_range() - have dirty pages of a range written, or give them to the
 * pager or the spill
 * @obj: object
 * @index: first page
 * @last: last page
 * @tag: PAGECACHE_TAG_DIRTY or PAGECACHE_TAG_TOWRITE
 * @wbc: NULL, or what write-back wants
 *
 * Never waits for the pager: pages that cannot go now - already being
 * returned, no request to be had, no pager - stay dirty and keep their tag.
 *
 * Return: 0, or -ENOTCONN: there is no pager to give them to.
 */
int extpager_return_range(struct extpager_object *obj, pgoff_t index, pgoff_t last,
			  xa_mark_t tag, struct writeback_control *wbc)
{
	struct extpager_target *t = obj->target;
	bool spill = extpager_target_spills(t);

	extpager_delegated_write(obj, index, last, tag, wbc);
	/* It takes all that is dirty; what it cannot take is for the pager. */
	if (spill) {
		extpager_spill_kick(t);
		spill = !READ_ONCE(t->spill_full);
	}
	if (extpager_object_status(obj)) {
		/* Whole pages may have been written before anybody had to ask. */
		extpager_object_use(obj);
		return -ENOTCONN;
	}
	if (!spill)
		send_range(obj, index, last, tag, wbc);
	return 0;
}

static int extpager_writepages(struct address_space *mapping, struct writeback_control *wbc)
{
	struct extpager_object *obj = extpager_object(mapping->host);
	bool sync = wbc->sync_mode == WB_SYNC_ALL;
	pgoff_t index, last;
	xa_mark_t tag = PAGECACHE_TAG_DIRTY;

	/* After a failure the flusher pauses; who syncs does not. */
	if (!sync && time_before(jiffies, READ_ONCE(obj->retry_at))) {
		if (extpager_target_spills(obj->target))
			extpager_spill_kick(obj->target);
		return 0;
	}
	if (wbc->range_cyclic) {
		index = 0;
		last = -1;
	} else {
		index = wbc->range_start >> PAGE_SHIFT;
		last = wbc->range_end >> PAGE_SHIFT;
	}
	if (sync || wbc->tagged_writepages) {
		tag_pages_for_writeback(mapping, index, last);
		tag = PAGECACHE_TAG_TOWRITE;
	}
	if (!sync && extpager_spill_goes_first(obj)) {
		extpager_delegated_write(obj, index, last, tag, wbc);
		extpager_spill_kick(obj->target);
		return 0;
	}
	extpager_return_range(obj, index, last, tag, wbc);
	return 0;
}

/* What is dirty is a page by itself: see large.c. */
static bool extpager_dirty_folio(struct address_space *mapping, struct folio *folio)
{
	VM_WARN_ON_ONCE_FOLIO(folio_test_large(folio), folio);
	return filemap_dirty_folio(mapping, folio);
}

const struct address_space_operations extpager_aops = {
	.read_folio	= extpager_read_folio,
	.readahead	= extpager_readahead,
	.writepages	= extpager_writepages,
	.dirty_folio	= extpager_dirty_folio,
	.migrate_folio	= filemap_migrate_folio,
	.error_remove_folio = extpager_error_remove,
};
