// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lost pages: their memory broke while they were dirty, or the swap that the spill has them
 * in, so that what was written is nowhere any more. The store has something older, which
 * nobody is to take for it: a lost page cannot be read until all of it is written anew, or
 * zeroed. That outlasts the pager, and TERMINATE; it ends with the object.
 *
 * A page is lost while it is not in the cache: it is noted before its folio leaves, and
 * forgotten when the one that takes its place is whole, both under the folio's lock. A range
 * that is being zeroed is forgotten once no page of it can be asked for.
 */
#include "extpager.h"

/* The lock of the array held. */
static void lost_changed(struct extpager_object *obj)
{
	WRITE_ONCE(obj->has_lost, !xa_empty(&obj->lost));
}

/*
 * Under the lock of its folio. Never fails: to forget it would be to take the store's older
 * page for it.
 */
void extpager_lost_note(struct extpager_object *obj, pgoff_t index, const char *why, int error)
{
	loff_t bytes = i_size_read(&obj->inode) - ((loff_t)index << PAGE_SHIFT);
	struct extpager_target *t = obj->target;

	xa_lock(&obj->lost);
	__xa_store(&obj->lost, index, xa_mk_value(0), GFP_NOIO | __GFP_NOFAIL);
	lost_changed(obj);
	xa_unlock(&obj->lost);
	/* What stands there is older, too, and is not to come back. */
	extpager_spill_drop(obj, index, index);
	spin_lock(&t->lock);
	extpager_failure_note(obj, EXTPAGER_EV_DATA_RETURN, index,
			      min_t(loff_t, PAGE_SIZE, bytes), -EIO);
	spin_unlock(&t->lock);
	if (t->named)
		pr_err_ratelimited("target %s: what was written to page %lu is lost, %s: %d\n",
				   t->settings.name, index, why, error);
}

/*
 * The memory of a page of the cache is broken. From the kernel's own handling of that: the
 * folio is locked, not under write-back, unmapped, and dirty if any of its mappings was. If
 * it is, the kernel has EIO said to who syncs.
 */
int extpager_error_remove(EXTPAGER_ERROR_REMOVE_ARGS)
{
	struct folio *folio = extpager_error_remove_folio();

	if (folio->mapping == mapping && folio_test_dirty(folio))
		extpager_lost_note(extpager_object(mapping->host), folio->index,
				   "its memory broke", -EHWPOISON);
	return generic_error_remove_folio(mapping, folio);
}

bool __extpager_lost(struct extpager_object *obj, pgoff_t index)
{
	return xa_load(&obj->lost, index);
}

void __extpager_lost_forget(struct extpager_object *obj, pgoff_t first, pgoff_t last)
{
	unsigned long index;
	void *entry;

	xa_lock(&obj->lost);
	xa_for_each_range(&obj->lost, index, entry, first, last)
		__xa_erase(&obj->lost, index);
	lost_changed(obj);
	xa_unlock(&obj->lost);
}
