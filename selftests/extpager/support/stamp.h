/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stamps and the model of them, for `make torture`. An object is made of cells;
 * every word of one tells object, cell, place, writer and sequence, so that whoever
 * sees it can judge it, in the cache or in the store.
 *
 * A cell has one writer at a time, which takes a new sequence for each write or hole.
 * The model has no locks, and survives whoever is killed: it says which sequence was
 * begun last, done last, and known to be in the store. What is read must lie between
 * what was done (or synced) before, and what was begun after.
 */
#ifndef SELFTEST_STAMP_H
#define SELFTEST_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "pager.h"

#define CELL		1024UL
#define CELL_WORDS	(CELL / 8)
#define PAGE_CELLS	(PAGE / CELL)
#define STAMP_BYTES	(16 * MIB)
#define CELLS		(STAMP_BYTES / CELL)
#define STAMP_PAGES	(STAMP_BYTES / PAGE)
#define WRITERS		3

/* What a private mapping was written with; it must be seen nowhere else. */
enum stamp_object { STAMP_SHARED = 1, STAMP_PRIVATE = 2 };

enum stamp_what {
	WRITE_BEGUN, WRITE_DONE, WRITE_FAILED,
	STORE_BEGUN, STORE_DONE, STORE_FAILED,
	PUNCH_BEGUN, PUNCH_DONE, PUNCH_FAILED,
	FSYNC_DONE, FSYNC_FAILED,
	MSYNC_DONE, MSYNC_FAILED,
	PAGER_KILLED, PAGER_STARTED, PAGER_STOPPED, PAGER_CONTINUED, PAGER_SLOW, PAGER_REPLACED,
	POLICY_CHANGED,
	CLIENT_KILLED, SQUEEZED, HOGGED, CACHES_DROPPED, COMPACTED, SYNCED,
	STAMP_WHATS
};

struct happening {
	uint32_t ms;			/* since the model was made */
	uint32_t sequence;
	uint16_t cell;
	uint8_t what;			/* enum stamp_what */
	uint8_t who;
};

#define HISTORY	32			/* of a page, and times four of everything else */

struct model {
	uint64_t made_ms;
	uint32_t begun[CELLS], done[CELLS], synced[CELLS];
	uint32_t hole[CELLS];		/* the last sequence that was a hole */
	struct happening history[STAMP_PAGES][HISTORY], events[4 * HISTORY];
	uint32_t history_at[STAMP_PAGES], events_at;
	int failed;			/* the first difference is being, or has been told */
	uint64_t words, words_wrong, torn;	/* verified; of them between two sequences */
};

/* Made and touched by the caller; NULL if there is no memory. */
struct model *model_new(void);
void model_free(struct model *m);
/* The store as it is before anybody wrote. */
void model_fill(uint8_t *store);
bool model_failed(const struct model *m);

unsigned int cell_writer(unsigned int cell);
void cell_fill(volatile uint64_t *words, enum stamp_object object, unsigned int cell,
	       uint32_t sequence);

/* The sequence of what is begun now; its writer calls no other of these meanwhile. */
uint32_t cell_begin(struct model *m, unsigned int cell, enum stamp_what what, unsigned int who);
void cell_end(struct model *m, unsigned int cell, uint32_t sequence, enum stamp_what what,
	      unsigned int who);
/* Something that is not of one page. */
void model_event(struct model *m, enum stamp_what what, unsigned int who);

/* What all cells must be at least, if they are looked at from now on. */
void model_done(const struct model *m, uint32_t *least, unsigned int cell, unsigned int nr);
void model_synced(const struct model *m, uint32_t *least, unsigned int cell, unsigned int nr);
/* What was done when model_done() told it is in the store now. */
void model_is_synced(struct model *m, const uint32_t *done, unsigned int cell, unsigned int nr);

/*
 * Are @nr cells from @cell on, which lie at @words, as they may be if they were
 * @least? Tells the first difference of all, with the histories of its page.
 */
bool cells_right(struct model *m, const volatile void *words, unsigned int cell, unsigned int nr,
		 const uint32_t *least, const char *where, unsigned int who);

#endif
