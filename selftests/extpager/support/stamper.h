/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A pager for more data than the machine has memory. Of each page its store has
 * only the seed of the pattern, and it judges every byte that is returned.
 */
#ifndef SELFTEST_STAMPER_H
#define SELFTEST_STAMPER_H

#include "pager.h"

/* The stamp of bytes of no pattern: of a page that is just being written. */
#define STAMP_NONE	UINT64_MAX

struct stamper_stats {
	uint64_t requests, returns, pages_returned, resent;
};

struct stamper {
	pid_t pid;
	uint64_t pages;
	uint64_t *stamp;		/* shared with the pager; all 0 at first */
	struct stamper_stats *stats;	/* shared */
};

/* Serve @target of @bytes; true when it is attached. */
bool stamper_start(struct stamper *s, const char *target, uint64_t bytes);
/* A fresh pager over the same store. */
bool stamper_restart(struct stamper *s, const char *target);
void stamper_freeze(struct stamper *s);	/* SIGSTOP; it has stopped */
void stamper_thaw(struct stamper *s);	/* SIGCONT */
void stamper_kill(struct stamper *s);	/* SIGKILL and reap */
void stamper_stop(struct stamper *s);	/* kill and free */
/* How many pages of the range the store does not have with @seed. */
uint64_t stamper_wrong(const struct stamper *s, uint64_t offset, uint64_t length, uint64_t seed);

/* The seed of a page of a pattern, or STAMP_NONE. */
uint64_t page_stamp(const void *page, uint64_t index);

#endif
