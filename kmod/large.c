// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large folios: several pages that were read, and are looked for and mapped, as one.
 * They are clean. What becomes dirty is a page by itself, so that it is counted, returned,
 * written and spilled as one page, whatever was read with it. A pager is asked for the
 * pages of a large one as for others, and answers for all of them; if it does not, they are
 * asked for anew, and for a time each by itself.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>

#include "extpager.h"

/* So long a pager that has answered for a part of a large folio, or failed it, gets none. */
#define LARGE_PAUSE	(60 * HZ)

/* Large folios of what may be stored to would soon be single ones. */
static bool pager_gets_large(struct extpager_object *obj)
{
	const struct extpager_port *port;
	bool large;

	/* Ports are freed after a grace period. */
	rcu_read_lock();
	port = READ_ONCE(obj->target->port);
	large = port && READ_ONCE(port->large);
	rcu_read_unlock();
	return large && !mapping_writably_mapped(obj->inode.i_mapping) &&
	       time_after_eq(jiffies, READ_ONCE(obj->large_at));
}

/**
 * extpager_large_allow() - have the kernel read ahead in large folios, if that is of use
 * @obj: object
 *
 * Of what is delegated they may be as large as can be, else as its pager has been told. That
 * stays so: what comes large later, and is of no use so, is read page by page.
 */
void extpager_large_allow(struct extpager_object *obj)
{
	struct address_space *mapping = obj->inode.i_mapping;

	if (extpager_delegates_some(obj))
		extpager_mapping_allow_large(mapping, EXTPAGER_ORDER_MAX);
	else if (pager_gets_large(obj))
		extpager_mapping_allow_large(mapping, min(ilog2(EXTPAGER_RUN_PAGES),
							  EXTPAGER_ORDER_MAX));
}

/**
 * extpager_large_wanted() - is a pager to be asked for it as a whole?
 * @obj: object, which has no exceptions
 * @folio: large, and not delegated as a whole
 */
bool extpager_large_wanted(struct extpager_object *obj, struct folio *folio)
{
	return folio_nr_pages(folio) <= EXTPAGER_RUN_PAGES && !extpager_delegates_some(obj) &&
	       !READ_ONCE(obj->target->any_overdue) && pager_gets_large(obj);
}

/* Its pager had better be asked for single pages. */
void extpager_large_pause(struct extpager_object *obj)
{
	WRITE_ONCE(obj->large_at, jiffies + LARGE_PAUSE);
}

/* It is another pager. */
void extpager_large_resume(struct extpager_object *obj)
{
	WRITE_ONCE(obj->large_at, jiffies);
}

/* A hint, as extpager_page_state(). */
bool extpager_page_large(struct extpager_object *obj, pgoff_t index)
{
	XA_STATE(xas, &obj->inode.i_mapping->i_pages, index);
	struct folio *folio;
	bool large;

	rcu_read_lock();
	do {
		folio = xas_load(&xas);
	} while (xas_retry(&xas, folio));
	large = folio && !xa_is_value(folio) && extpager_peek_large(folio);
	rcu_read_unlock();
	return large;
}

/* So long somebody else's references are waited for. */
#define SPLIT_PATIENCE	(HZ / 50)

/* Is the page here in a large folio? @idle: out: whose only user is who maps it. */
static bool large_here(struct extpager_object *obj, pgoff_t index, bool *idle)
{
	struct folio *folio = filemap_get_folio(obj->inode.i_mapping, index);
	bool large;

	*idle = false;
	if (IS_ERR(folio))
		return false;
	large = folio_test_large(folio) && folio_test_uptodate(folio);
	if (large && folio_trylock(folio)) {
		*idle = folio_ref_count(folio) - folio_mapcount(folio) ==
			folio_nr_pages(folio) + 1;
		folio_unlock(folio);
	}
	folio_put(folio);
	return large;
}

/**
 * extpager_split() - have a page that is here, in a large folio, be a folio of its own
 * @obj: object
 * @index: page
 *
 * No function that splits is exported. But the kernel splits what the end of a truncated
 * range cuts, and of an empty range it truncates nothing. What it cannot split, because
 * somebody has a reference, it drops, clean as it is: the caller has none. Most references
 * are short, and with a page its neighbours go, so they are waited for a little. The cut is
 * in the middle of a pair of pages, for with a pair each large folio begins, and an empty
 * range at the object's beginning would be everything.
 *
 * What is not here, or on its way, is left alone: the caller looks again.
 *
 * Context: may sleep; waits for who has the folio's lock. Only if the folio goes after it was
 * looked at, for who is reading the page, or having it returned, by then. Reclaim, for the
 * cache's own memory, does not wait for a pager.
 */
void extpager_split(struct extpager_object *obj, pgoff_t index)
{
	loff_t cut = (loff_t)(index | 1) << PAGE_SHIFT;
	unsigned long end = jiffies + SPLIT_PATIENCE;
	unsigned int nofs;
	bool idle;

	for (;;) {
		if (!large_here(obj, index, &idle))
			return;
		if (idle || time_after_eq(jiffies, end))
			break;
		schedule_timeout_uninterruptible(1);
	}
	nofs = memalloc_nofs_save();
	truncate_inode_pages_range(obj->inode.i_mapping, cut, cut - 1);
	memalloc_nofs_restore(nofs);
}
