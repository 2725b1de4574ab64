/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A target that an honest pager serves, and workers that have it open and mapped: what
 * a test of the page cache begins with.
 */
#ifndef SELFTEST_CREW_H
#define SELFTEST_CREW_H

#include "pager.h"
#include "worker.h"

#define CREW_MAX 4

struct crew {
	const char *target;
	struct server s;
	int fd;				/* that the workers have, too */
	unsigned int nr;
	struct worker w[CREW_MAX];
};

/* A new target of @bytes, with the pattern of @seed, and @nr workers. */
bool crew_start(struct crew *c, const char *target, uint64_t bytes, uint64_t seed,
		unsigned int nr);
/* True if the target is gone then. */
bool crew_stop(struct crew *c);

#endif
