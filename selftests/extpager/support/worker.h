/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A client that does what it is told, one thing at a time, while the test goes
 * on as its pager. It has one file open and mapped for as long as it lives.
 */
#ifndef SELFTEST_WORKER_H
#define SELFTEST_WORKER_H

#include "pager.h"

struct order {
	long (*what)(struct order *o);	/* a result, or -errno */
	int fd;
	uint8_t *map;			/* all of the file, shared */
	uint64_t bytes;			/* of the file */
	const uint8_t *store;		/* of a crew: what its pager has */
	uint64_t offset, length;	/* bytes that the order is about */
	uint64_t seed;			/* pattern of their pages */
	int code;			/* touch: SIGBUS's si_code, 0 if none came */
	uint64_t where;			/* touch: SIGBUS's address, as an offset in the file */
	long result;
	int state;
};

struct worker {
	struct client c;
	struct order *order;		/* shared with the process */
};

/* @fd is inherited and mapped as far as its mode allows; the file is @bytes long. */
bool worker_start(struct worker *w, int fd, uint64_t bytes);
/* Kills it if it still lives. */
void worker_stop(struct worker *w);

#define WORKER_BUSY (-10000L)
#define WORKER_MS 20000

/* Give an order; the last one must have ended. */
void worker_begin(struct worker *w, long (*what)(struct order *o), uint64_t offset,
		  uint64_t length, uint64_t seed);
bool worker_busy(struct worker *w);
/* Its result if it ends within @ms, else WORKER_BUSY. */
long worker_end(struct worker *w, unsigned int ms);
/* Begin, and wait WORKER_MS for the end. */
long worker_do(struct worker *w, long (*what)(struct order *o), uint64_t offset,
	       uint64_t length, uint64_t seed);
/* Has it drop clean pages; one that a CPU has in hand is passed over, so it may take some tries. */
bool worker_evicts(struct worker *w, uint64_t offset, uint64_t length);

/* ---- orders: 0, a count or -errno ---- */

long do_write(struct order *o);		/* write(2) whole pages; bytes written */
long do_store(struct order *o);		/* the same through the mapping; 0 */
long do_read(struct order *o);		/* read(2); how many pages are not of the pattern */
long do_check(struct order *o);		/* through the mapping; likewise */
long do_read_zeros(struct order *o);	/* how many pages are not zero, by read(2) */
long do_check_zeros(struct order *o);	/* likewise through the mapping */
long do_fsync(struct order *o);
long do_msync(struct order *o);
long do_punch(struct order *o);
long do_forget(struct order *o);	/* unmap for a moment, then POSIX_FADV_DONTNEED */
long do_resident(struct order *o);	/* pages that mincore(2) says are here */
long do_touch_read(struct order *o);	/* one byte at @offset; 0, see @code */
long do_touch_write(struct order *o);

#endif
