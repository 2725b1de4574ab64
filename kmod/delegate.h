/* SPDX-License-Identifier: GPL-2.0-only */
/* What delegate.c, the table of ranges, and delegate-io.c, which moves pages by it, share. */
#ifndef EXTPAGER_DELEGATE_H
#define EXTPAGER_DELEGATE_H

#include "extpager.h"

struct delegated_range {
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
	struct extpager_delegations *nothing;	/* for when it ends before its object's use */
	struct rcu_work free_work;
	u32 generation;			/* of the object */
	bool unflushed;			/* its devices are for the pager to flush; set once */
	unsigned int nr_devices;
	struct block_device *devices[DEVICES_MAX];	/* that are written to */
	unsigned int nr;
	struct delegated_range range[];
};

/* The range that has the page, or the first one behind it; @d->nr: none. */
static inline unsigned int table_find(const struct extpager_delegations *d, pgoff_t index)
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

static inline const struct delegated_range *table_lookup(const struct extpager_delegations *d,
							 pgoff_t index)
{
	unsigned int i = table_find(d, index);

	return i < d->nr && d->range[i].first <= index ? &d->range[i] : NULL;
}

struct extpager_delegations *extpager_delegations_of(struct extpager_object *obj);
struct extpager_delegations *extpager_delegations_get(struct extpager_object *obj);
void extpager_delegations_put(struct extpager_delegations *d);
void extpager_delegations_unuse(struct extpager_delegations *d);
void extpager_delegated_leave_to_pager(struct extpager_object *obj);

#endif /* EXTPAGER_DELEGATE_H */
