// SPDX-License-Identifier: GPL-2.0-only
/*
 * The spill: what Mach called double paging to the default pager. Dirty pages
 * that a pager does not take are copied to a file of the kernel's own, which
 * swap backs; they end write-back clean and can be reclaimed.
 *
 * A page stands in the spill from its copy until a return of it is
 * acknowledged. As long as it does, a cached page that is dirty or being
 * returned is newer than the copy, a clean one is the same, and of a page that
 * is not in the cache the copy is the content: no pager is asked. To be
 * returned it becomes a dirty page of the cache again, and goes the way of all.
 *
 * One worker a target copies, brings back and frees. A page's standing changes
 * only while nobody else can have its folio: under write-back, which is the
 * worker's or the return's that is acknowledged; or, of a zeroed range, when
 * the cache has none of its pages.
 */
#include <linux/highmem.h>
#include <linux/memcontrol.h>
#include <linux/ratelimit.h>
#include <linux/sched/mm.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/swap.h>

#include "extpager.h"
#include "trace.h"

/* A page's entry: what it says counts; marks are for who looks for some of them. */
#define SPILL_LIVE	xa_mk_value(1)	/* it stands in the spill */
#define SPILL_OVER	xa_mk_value(0)	/* it does not; its memory is to be freed */
#define SPILL_STALE	XA_MARK_0	/* OVER */
#define SPILL_IN_RUN	XA_MARK_1
#define SPILL_RESENT	XA_MARK_2	/* an earlier pager may have been given it */

/* Pages on their way back at once, in any memory cgroup. */
#define UNSPILL_PAGES	1024ULL
/* Of which a pager that has missed a deadline is asked to take so many. */
#define PROBE_PAGES	16
/* Swap that is left to others, in pages. */
#define SWAP_RESERVE	1024
/* How often the worker tries to have a page of the spill in memory: as the kernel would. */
#define MEMORY_TRIES	16
#define SPILL_GFP	(GFP_NOFS | EXTPAGER_GFP_SPARING | __GFP_ACCOUNT)

/* Neighbours that were spilled one after the other; those of a list, in order. */
struct spill_run {
	struct list_head node;
	pgoff_t index;
	unsigned int nr;
};

/* Made by the worker at the first page; goes with the inode. */
struct extpager_spill {
	struct file *file;
	struct xarray pages;
	struct list_head runs;		/* oldest first; written by the worker alone */
	bool starved;			/* no memory to bring pages back */
	long resident;			/* pages in memory, as counted in all_resident */
	u64 share;			/* the least of those that paid for what stands in it */
	unsigned long probe_at;		/* jiffies: not before */
};

/* Of all spills: what has to find a place in swap yet. */
static atomic_long_t all_resident;

/**
 * extpager_target_spills() - do dirty pages go to the spill now?
 * @t: target
 */
bool extpager_target_spills(const struct extpager_target *t)
{
	bool spill = READ_ONCE(t->settings.action[EXTPAGER_PHASE_RETURN]) == EXTPAGER_ACTION_SPILL;

	switch (READ_ONCE(t->state)) {
	case EXTPAGER_STATE_STALLED:
		return spill;
	case EXTPAGER_STATE_ORPHANED:
		switch (READ_ONCE(t->settings.policy)) {
		case EXTPAGER_POLICY_SPILL:
			return true;
		case EXTPAGER_POLICY_HOLD:
			return spill && READ_ONCE(t->squeezed);
		}
		return false;
	default:
		return false;
	}
}

/* Have the worker look; from any context. */
void extpager_spill_kick(struct extpager_target *t)
{
	mod_delayed_work(extpager_spill_wq, &t->spill_work, 0);
}

/* ---- one page ---- */

bool __extpager_spilled(struct extpager_object *obj, pgoff_t index)
{
	struct extpager_spill *s = READ_ONCE(obj->spill);

	return s && xa_load(&s->pages, index) == SPILL_LIVE;
}

/*
 * The spill's page with a reference, or an ERR_PTR: rather that than somebody's end. Where
 * reclaim may not write out shared memory it fails before its time, and is tried again where
 * it may.
 *
 * It reclaims but once for a page: the kernel reads from swap, and a few neighbours with it,
 * under a plug. What reclaim sends to swap meanwhile waits in there until that ends, and is
 * looked for in vain. Who tries again sleeps before.
 */
static struct page *spill_try_page(struct extpager_spill *s, pgoff_t index)
{
	return shmem_read_mapping_page_gfp(s->file->f_mapping, index,
					   GFP_HIGHUSER_MOVABLE | __GFP_NORETRY | __GFP_NOWARN);
}

/* For the worker, whom nobody sends round again. */
static struct page *spill_get_page(struct extpager_spill *s, pgoff_t index)
{
	unsigned int tries = MEMORY_TRIES;
	struct page *page;

	while ((page = spill_try_page(s, index)) == ERR_PTR(-ENOMEM) && --tries)
		schedule_timeout_uninterruptible(1);
	return page;
}

/**
 * extpager_spill_read() - fill a locked folio of the cache from the spill
 * @obj: object
 * @folio: order 0, of a page that stands in the spill
 *
 * Return: 0, -EAGAIN: no memory now; or the error of swap.
 */
int extpager_spill_read(struct extpager_object *obj, struct folio *folio)
{
	struct page *page = spill_try_page(obj->spill, folio->index);

	if (IS_ERR(page))
		return PTR_ERR(page) == -ENOMEM ? -EAGAIN : PTR_ERR(page);
	copy_highpage(folio_page(folio, 0), page);
	put_page(page);
	extpager_count(obj->target, PAGES_UNSPILLED);
	trace_extpager_spill(obj, folio->index, 1, EXTPAGER_SPILL_GIVES, 0);
	return 0;
}

static void spill_leave(struct extpager_object *obj, pgoff_t index)
{
	struct xarray *pages = &obj->spill->pages;

	/* The slot is there: nothing is allocated. */
	if (xa_cmpxchg(pages, index, SPILL_LIVE, SPILL_OVER, GFP_NOWAIT) != SPILL_LIVE)
		return;
	xa_clear_mark(pages, index, SPILL_RESENT);
	xa_set_mark(pages, index, SPILL_STALE);
	atomic_long_dec(&obj->target->nr_spilled);
	/* The worker frees what was acknowledged; of the last page nobody else tells it. */
	if (atomic_long_dec_and_test(&obj->nr_spilled))
		extpager_spill_kick(obj->target);
}

/* Is the page's return one of which an earlier pager may know? */
bool extpager_spill_resent(struct extpager_object *obj, pgoff_t index)
{
	return extpager_spilled(obj, index) &&
	       xa_get_mark(&obj->spill->pages, index, SPILL_RESENT);
}

/* Are there pages in the spill that are to be returned before what is dirty? */
bool extpager_spill_goes_first(struct extpager_object *obj)
{
	struct extpager_spill *s = READ_ONCE(obj->spill);

	return s && atomic_long_read(&obj->nr_spilled) && !list_empty(&s->runs) &&
	       !READ_ONCE(s->starved);
}

/* A return of the page was acknowledged; it is under write-back yet. */
void __extpager_spill_acknowledged(struct extpager_object *obj, pgoff_t index)
{
	if (READ_ONCE(obj->spill))
		spill_leave(obj, index);
}

/**
 * extpager_spill_drop() - pages of the spill that nobody wants any more
 * @obj: object
 * @first: first page
 * @last: last page
 *
 * The cache has none of them, and none comes: the range is zeroed, or the
 * object gone. The worker frees their memory.
 */
void extpager_spill_drop(struct extpager_object *obj, pgoff_t first, pgoff_t last)
{
	struct extpager_spill *s = READ_ONCE(obj->spill);
	unsigned long index;
	void *entry;

	if (!s || !atomic_long_read(&obj->nr_spilled))
		return;
	xa_for_each_range(&s->pages, index, entry, first, last) {
		spill_leave(obj, index);
		cond_resched();
	}
}

/* Pages that only the spill has. */
unsigned long extpager_spill_only(struct extpager_object *obj)
{
	struct xarray *cache = &obj->inode.i_mapping->i_pages;
	struct extpager_spill *s = READ_ONCE(obj->spill);
	unsigned long index, nr = 0;
	void *entry;

	if (!s || !atomic_long_read(&obj->nr_spilled))
		return 0;
	xa_for_each(&s->pages, index, entry) {
		nr += entry == SPILL_LIVE && !xa_get_mark(cache, index, PAGECACHE_TAG_DIRTY) &&
		      !xa_get_mark(cache, index, PAGECACHE_TAG_WRITEBACK);
		cond_resched();
	}
	return nr;
}

/* ---- into the spill ---- */

/* Nobody looks for it. */
static void forget_page(struct extpager_spill *s, pgoff_t index)
{
	loff_t start = (loff_t)index << PAGE_SHIFT;

	shmem_truncate_range(file_inode(s->file), start, start + PAGE_SIZE - 1);
	xa_erase(&s->pages, index);
}

static struct extpager_spill *spill_create(struct extpager_object *obj)
{
	struct extpager_spill *s = kzalloc(sizeof(*s), SPILL_GFP);

	if (!s)
		return NULL;
	s->file = shmem_file_setup("extpager-spill", PAGE_ALIGN(i_size_read(&obj->inode)),
				   mk_vma_flags(VMA_NORESERVE_BIT));
	if (IS_ERR(s->file)) {
		kfree(s);
		return NULL;
	}
	xa_init(&s->pages);
	INIT_LIST_HEAD(&s->runs);
	s->probe_at = jiffies;
	s->share = U64_MAX;
	/* Who reads the pointer finds what it points to. */
	smp_store_release(&obj->spill, s);
	return s;
}

#ifdef CONFIG_MEMCG
/* Pages that a memory cgroup may yet have in swap; of version 1 it is too few, if anything. */
static long memcg_swap_room(struct mem_cgroup *memcg)
{
	long room = LONG_MAX;

	for (; memcg; memcg = parent_mem_cgroup(memcg))
		room = min_t(long, room, (long)READ_ONCE(memcg->swap.max) -
					 (long)page_counter_read(&memcg->swap));
	return room;
}
#else
static long memcg_swap_room(struct mem_cgroup *memcg)
{
	return LONG_MAX;
}
#endif

/* How much of the object's spill is in memory? */
static long count_resident(struct extpager_object *obj)
{
	struct extpager_spill *s = obj->spill;
	long resident;

	if (!s)
		return 0;
	resident = atomic_long_read(&obj->nr_spilled) -
		   (long)READ_ONCE(SHMEM_I(file_inode(s->file))->swapped);
	resident = max(resident, 0L);
	atomic_long_add(resident - s->resident, &all_resident);
	s->resident = resident;
	return resident;
}

/*
 * Is there room for a page more? Not in memory alone: what the spill has there
 * must have a place in swap, for @memcg too. 0, or why not.
 */
static int spill_has_room(struct extpager_object *obj, struct mem_cgroup *memcg)
{
	struct extpager_target *t = obj->target;
	long resident = count_resident(obj);

	if (atomic_long_read(&t->nr_spilled) >= READ_ONCE(t->settings.spill_limit) >> PAGE_SHIFT)
		return -EDQUOT;
	return get_nr_swap_pages() - SWAP_RESERVE > atomic_long_read(&all_resident) &&
	       memcg_swap_room(memcg) > resident ? 0 : -ENOSPC;
}

/* The page is going to be in a run, if it is not in one yet. */
static int run_add(struct extpager_spill *s, pgoff_t index)
{
	struct spill_run *run;

	if (xa_get_mark(&s->pages, index, SPILL_IN_RUN))
		return 0;
	run = list_empty(&s->runs) ? NULL : list_last_entry(&s->runs, struct spill_run, node);
	if (run && run->index + run->nr == index && run->nr < EXTPAGER_REQUEST_PAGES) {
		run->nr++;
		return 0;
	}
	run = kmalloc(sizeof(*run), SPILL_GFP);
	if (!run)
		return -ENOMEM;
	run->index = index;
	run->nr = 1;
	list_add_tail(&run->node, &s->runs);
	return 0;
}

/*
 * A place for a page in the spill: all that may fail, or reclaim, while nobody
 * waits for the folio. The file's page with a reference, or an ERR_PTR.
 */
static struct page *make_place(struct extpager_object *obj, pgoff_t index,
			       struct mem_cgroup *memcg)
{
	struct extpager_spill *s;
	int ret;

	if (!obj->spill && !spill_create(obj))
		return ERR_PTR(-ENOMEM);
	s = obj->spill;
	ret = extpager_spilled(obj, index) ? 0 : spill_has_room(obj, memcg);
	if (ret)
		return ERR_PTR(ret);
	if (!xa_load(&s->pages, index)) {
		ret = xa_err(xa_store(&s->pages, index, SPILL_OVER, SPILL_GFP));
		if (ret)
			return ERR_PTR(ret);
		xa_set_mark(&s->pages, index, SPILL_STALE);
	}
	ret = run_add(s, index);
	if (ret)
		return ERR_PTR(ret);
	xa_set_mark(&s->pages, index, SPILL_IN_RUN);
	s->share = min_t(u64, s->share, extpager_memcg_share(memcg));
	return spill_get_page(s, index);
}

/* Folio under write-back: whoever writes to it meanwhile makes it dirty again. */
static void copy_out(struct extpager_object *obj, struct folio *folio, struct page *page)
{
	struct extpager_spill *s = obj->spill;
	pgoff_t index = folio->index;

	lock_page(page);
	copy_highpage(page, folio_page(folio, 0));
	/* A clean page of shared memory is dropped by reclaim. */
	set_page_dirty(page);
	unlock_page(page);

	if (extpager_request_recorded(obj, EXTPAGER_EV_DATA_RETURN, index, 1))
		xa_set_mark(&s->pages, index, SPILL_RESENT);
	if (__extpager_spilled(obj, index))
		return;
	xa_clear_mark(&s->pages, index, SPILL_STALE);
	xa_store(&s->pages, index, SPILL_LIVE, GFP_NOWAIT);
	atomic_long_inc(&obj->nr_spilled);
	atomic_long_inc(&obj->target->nr_spilled);
	extpager_count(obj->target, PAGES_SPILLED);
	trace_extpager_spill(obj, index, 1, EXTPAGER_SPILL_TAKES, 0);
}

/* @error: why something was not spilled when it was last tried; 0: all was. */
static void spill_is_full(struct extpager_target *t, int error)
{
	bool was = t->spill_full;

	WRITE_ONCE(t->spill_full, error);
	if (error && !was && t->named)
		pr_warn_ratelimited("target %s: nothing more is spilled: %s\n", t->settings.name,
				    error == -EDQUOT ? "its limit is reached" :
				    error == -ENOSPC ? "no free swap" : "no memory");
}

/* Folio locked: is it a dirty page that a return could take? */
static bool may_spill(struct extpager_object *obj, struct folio *folio)
{
	return folio->mapping == obj->inode.i_mapping && folio_test_dirty(folio) &&
	       !folio_test_writeback(folio) &&
	       !extpager_zeros_overlap(obj, folio->index, folio->index) &&
	       !extpager_delegated_for_write(obj, folio->index) &&
	       folio_clear_dirty_for_io(folio);
}

/* Returns 0, or why a page stays dirty. */
static int spill_folio(struct extpager_object *obj, struct folio *folio)
{
	struct mem_cgroup *memcg, *old;
	struct page *page;

	/* Without the lock: a look, to be repeated. */
	if (!folio_test_dirty(folio) || folio_test_writeback(folio) ||
	    extpager_delegated_for_write(obj, folio->index))
		return 0;
	memcg = extpager_folio_payer(folio);
	old = set_active_memcg(memcg);
	page = make_place(obj, folio->index, memcg);
	set_active_memcg(old);
	mem_cgroup_put(memcg);
	if (IS_ERR(page)) {
		extpager_count(obj->target, SPILLS_FAILED);
		trace_extpager_spill(obj, folio->index, 1, EXTPAGER_SPILL_REFUSES, PTR_ERR(page));
		return PTR_ERR(page);
	}
	/* Whoever holds it will be done with it by the next time. */
	if (folio_trylock(folio)) {
		bool may = may_spill(obj, folio);

		if (may)
			folio_start_writeback(folio);
		folio_unlock(folio);
		if (may) {
			copy_out(obj, folio, page);
			/* Who waits for it is to see that it is not any more. */
			WRITE_ONCE(obj->target->spill_full, false);
			folio_end_writeback(folio);
		}
	}
	put_page(page);
	return 0;
}

/* Something is dirty or being returned; a hint, since the worker comes again in a second. */
static bool may_be_dirty(struct address_space *mapping)
{
	/* The kernel's own looks at the marks are plain, and these change at any time. */
	return data_race(mapping_tagged(mapping, PAGECACHE_TAG_DIRTY) ||
			 mapping_tagged(mapping, PAGECACHE_TAG_WRITEBACK));
}

/* 0, or why nothing more is taken. One that is full refuses nothing while nothing is dirty. */
static int spill_refuses(struct extpager_object *obj)
{
	int error = spill_has_room(obj, NULL);

	return error && may_be_dirty(obj->inode.i_mapping) ? error : 0;
}

/* 0, or why something stays dirty. */
static int spill_object(struct extpager_object *obj)
{
	struct address_space *mapping = obj->inode.i_mapping;
	struct extpager_target *t = obj->target;
	int ret = 0, full = spill_refuses(obj);
	struct folio_batch batch;
	pgoff_t index = 0;
	unsigned int i;

	if (full) {
		extpager_count(t, SPILLS_FAILED);
		trace_extpager_spill(obj, 0, 0, EXTPAGER_SPILL_REFUSES, full);
	} else {
		/* What the pager has not taken by now is not waited for. */
		extpager_requests_withdraw(obj);
	}
	folio_batch_init(&batch);
	while (!full && extpager_target_spills(t) &&
	       filemap_get_folios_tag(mapping, &index, -1, PAGECACHE_TAG_DIRTY, &batch)) {
		/* One payer's trouble is not the others'. */
		for (i = 0; i < folio_batch_count(&batch); i++)
			ret = spill_folio(obj, batch.folios[i]) ?: ret;
		folio_batch_release(&batch);
		full = spill_refuses(obj);
		wake_up_all(&t->wait);
		cond_resched();
	}
	return full ?: ret;
}

/* ---- and back ---- */

/*
 * Swap could not give it back: as when a disk loses what it acknowledged. It is lost, unless
 * it is in the cache by now. That it is cannot be noted without its place there.
 */
static int spill_lose(struct extpager_object *obj, pgoff_t index, int error)
{
	struct address_space *mapping = obj->inode.i_mapping;
	struct folio *folio;
	int ret = -ENOMEM;

	/* What is lost of a range that is zeroed is forgotten when nobody has this lock. */
	if (!filemap_invalidate_trylock_shared(mapping))
		return ret;
	folio = filemap_alloc_folio(SPILL_GFP, 0, NULL);
	if (!folio)
		goto out_unlock;
	ret = filemap_add_folio(mapping, folio, index, SPILL_GFP);
	if (ret)
		goto out_put;
	if (extpager_spilled(obj, index) && !extpager_zeros_overlap(obj, index, index)) {
		extpager_object_write_error(obj, -EIO);
		extpager_lost_note(obj, index, "swap failed", error);
	}
	extpager_folio_failed(obj, folio);
	extpager_gate_wake(obj, index, 1, -EAGAIN);
out_put:
	folio_put(folio);
out_unlock:
	filemap_invalidate_unlock_shared(mapping);
	return ret == -EEXIST ? 0 : ret;
}

/* Bring a page into the cache at the cost of who paid for it in the spill. */
static int unspill_read(struct extpager_object *obj, pgoff_t index)
{
	struct page *page = spill_get_page(obj->spill, index);
	struct mem_cgroup *memcg, *old;
	int ret = PTR_ERR_OR_ZERO(page);

	if (ret && ret != -ENOMEM)
		return spill_lose(obj, index, ret);
	if (ret)
		return ret;
	memcg = extpager_folio_payer(page_folio(page));
	old = set_active_memcg(memcg);
	ret = extpager_request_page(obj, index, false);
	set_active_memcg(old);
	mem_cgroup_put(memcg);
	put_page(page);
	return ret == -EEXIST ? 0 : ret == -EAGAIN ? -ENOMEM : ret;
}

/* Make a page that stands in the spill a dirty one of the cache. */
static int unspill_page(struct extpager_object *obj, pgoff_t index)
{
	struct address_space *mapping = obj->inode.i_mapping;
	bool done = false;

	/* Clean, it may go again before it has been marked. */
	while (!done && extpager_spilled(obj, index) &&
	       !extpager_zeros_overlap(obj, index, index)) {
		struct folio *folio = filemap_get_folio(mapping, index);

		if (IS_ERR(folio)) {
			int ret = unspill_read(obj, index);

			if (ret)
				return ret == -ENOMEM ? ret : 0;
			continue;
		}
		if (folio_test_large(folio)) {
			folio_put(folio);
			extpager_split(obj, index);
			/* Unless somebody is reading it. */
			schedule_timeout_uninterruptible(1);
			continue;
		}
		folio_lock(folio);
		done = folio->mapping == mapping && folio_test_uptodate(folio);
		if (done && !folio_test_writeback(folio) && extpager_spilled(obj, index))
			folio_mark_dirty(folio);
		folio_unlock(folio);
		folio_put(folio);
		cond_resched();
	}
	return 0;
}

/* The run's first pages are in it no more; with the last ones it goes. */
static void run_shorten(struct extpager_spill *s, struct spill_run *run, unsigned int nr)
{
	for (; nr; nr--, run->nr--)
		xa_clear_mark(&s->pages, run->index++, SPILL_IN_RUN);
	if (run->nr)
		return;
	list_del(&run->node);
	kfree(run);
}

/* How many of the run's first pages do not stand in the spill any more? */
static unsigned int run_over(struct extpager_object *obj, const struct spill_run *run)
{
	unsigned int i;

	for (i = 0; i < run->nr; i++)
		if (extpager_spilled(obj, run->index + i))
			break;
	return i;
}

/* Have pages returned. False: not all of them went. */
static bool unspill_pages(struct extpager_object *obj, pgoff_t first, unsigned int nr)
{
	unsigned long index = first;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < nr && !ret; i++)
		ret = unspill_page(obj, first + i);
	WRITE_ONCE(obj->spill->starved, ret);
	/* The part that is there, in any case: it makes room for the rest. */
	extpager_send_range(obj, first, first + nr - 1, NULL);
	/* No memory, no request was to be had, or somebody has a page's lock. */
	return !ret && !xa_find(&obj->inode.i_mapping->i_pages, &index, first + nr - 1,
			PAGECACHE_TAG_DIRTY);
}

/*
 * Pages on their way back do not wait at the quota, and nobody can take them: they are
 * half as many as who paid for them may make dirty.
 */
static s64 unspill_most(struct extpager_object *obj)
{
	u64 quota = READ_ONCE(obj->target->settings.quota) >> PAGE_SHIFT;

	return min3(quota / 2, obj->spill->share / 2, UNSPILL_PAGES);
}

/*
 * Oldest first, few at a time. A pager that has missed a deadline is asked to
 * take the oldest; what becomes of that tells whether it is back.
 */
static void unspill_object(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;
	struct extpager_spill *s = obj->spill;
	bool probe = READ_ONCE(t->state) == EXTPAGER_STATE_STALLED;
	s64 most = probe ? PROBE_PAGES : unspill_most(obj);
	u32 ms = READ_ONCE(t->settings.timeout_ms[EXTPAGER_PHASE_RETURN]);
	struct spill_run *run;

	if (extpager_object_status(obj)) {
		/* It may be that nobody has asked for its pager yet. */
		if (atomic_long_read(&obj->nr_spilled))
			extpager_object_use(obj);
		return;
	}
	while ((run = list_first_entry_or_null(&s->runs, struct spill_run, node))) {
		s64 room = most - wb_stat_sum(&t->sb->s_bdi->wb, WB_WRITEBACK);
		unsigned int over = run_over(obj, run);

		if (over) {
			run_shorten(s, run, over);
			continue;
		}
		if (room <= 0 || extpager_target_asked(t, EXTPAGER_PHASE_RETURN) >=
				 (probe ? 1 : EXTPAGER_RETURNS_MAX))
			return;
		/* Between two that a silent one is asked nobody finds the pages being returned. */
		if (extpager_target_missed(t) && time_before(jiffies, s->probe_at))
			return;
		if (probe)
			s->probe_at = jiffies + HZ + msecs_to_jiffies(ms);
		room = min_t(s64, room, run->nr);
		if (!unspill_pages(obj, run->index, room) || probe)
			return;
		/* Should they come back unanswered, they are dirty pages like any other. */
		run_shorten(s, run, room);
		cond_resched();
	}
	s->share = U64_MAX;
}

/* ---- the worker ---- */

static void free_stale(struct extpager_spill *s)
{
	unsigned long index;
	void *entry;

	xa_for_each_marked(&s->pages, index, entry, SPILL_STALE) {
		forget_page(s, index);
		cond_resched();
	}
}

/* Who ended it gives up what it has in the spill. */
static bool spill_begin(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;
	bool here;

	spin_lock(&t->lock);
	here = obj->state != EXTPAGER_OBJECT_GONE;
	if (here)
		WRITE_ONCE(t->spilling, obj);
	spin_unlock(&t->lock);
	return here;
}

static void spill_end(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;
	bool gone;

	spin_lock(&t->lock);
	/* Pairs with extpager_spill_quiesce(). */
	smp_store_release(&t->spilling, NULL);
	gone = obj->state == EXTPAGER_OBJECT_GONE;
	spin_unlock(&t->lock);
	if (gone)
		wake_up_all(&t->wait);
}

void extpager_spill_work(struct work_struct *work)
{
	struct extpager_target *t = container_of(to_delayed_work(work), struct extpager_target,
						 spill_work);
	struct extpager_object *obj = NULL;
	int full = 0;

	while ((obj = extpager_object_next(t, obj))) {
		if (!spill_begin(obj))
			continue;
		if (extpager_target_spills(t))
			full = spill_object(obj) ?: full;
		if (obj->spill) {
			free_stale(obj->spill);
			unspill_object(obj);
			/* Or what has gone would go on to take others' room. */
			count_resident(obj);
		}
		spill_end(obj);
	}
	spill_is_full(t, extpager_target_spills(t) ? full : 0);
	wake_up_all(&t->wait);
	/* Answers and write-back set it going, too. */
	if (extpager_target_spills(t) || atomic_long_read(&t->nr_spilled))
		queue_delayed_work(extpager_spill_wq, &t->spill_work, HZ);
}

/**
 * extpager_spill_quiesce() - the worker lets go of an object that is GONE
 * @obj: object
 *
 * Context: may sleep, not the worker.
 */
void extpager_spill_quiesce(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;

	/* Pairs with spill_end(). */
	wait_event(t->wait, smp_load_acquire(&t->spilling) != obj);
}

/* Of an object that the worker has let go of: all that it has in the spill goes. */
void extpager_spill_discard(struct extpager_object *obj)
{
	extpager_spill_drop(obj, 0, ULONG_MAX);
	if (obj->spill)
		free_stale(obj->spill);
	count_resident(obj);
}

/* The inode goes: nobody looks any more. */
void extpager_spill_free(struct extpager_object *obj)
{
	struct extpager_spill *s = obj->spill;
	struct spill_run *run, *next;

	if (!s)
		return;
	extpager_spill_drop(obj, 0, ULONG_MAX);
	list_for_each_entry_safe(run, next, &s->runs, node)
		kfree(run);
	xa_destroy(&s->pages);
	atomic_long_sub(s->resident, &all_resident);
	fput(s->file);
	kfree(s);
}
