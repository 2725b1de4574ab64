// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large folios: several pages that were read, and are looked for and mapped, as one.
 * They are clean. What becomes dirty is a page by itself, so that it is counted, returned,
 * written and spilled as one page, whatever was read with it.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>

#include "extpager.h"

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

/**
 * extpager_split() - have a page be a folio of its own
 * @obj: object
 * @index: page, which is here, in a large folio
 *
 * No function that splits is exported. But the kernel splits what the end of a truncated
 * range cuts, and of an empty range it truncates nothing. What it cannot split, because
 * somebody has a reference, it drops, clean as it is: the caller has none. The cut is
 * in the middle of a pair of pages, for with a pair each large folio begins, and an empty
 * range at the object's beginning would be everything.
 *
 * Context: may sleep; waits for who has the folio's lock; for the return of the page, if it
 * was split, written to and returned since it was looked at. Reclaim, for the cache's own
 * memory, does not wait for a pager.
 */
void extpager_split(struct extpager_object *obj, pgoff_t index)
{
	loff_t cut = (loff_t)(index | 1) << PAGE_SHIFT;
	unsigned int nofs = memalloc_nofs_save();

	truncate_inode_pages_range(obj->inode.i_mapping, cut, cut - 1);
	memalloc_nofs_restore(nofs);
}
