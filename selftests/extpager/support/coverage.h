/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which places of the module threads have come to: there is one at each branch, where the
 * kernel has KCOV and the module was built for it. Counted is what a thread does itself: not
 * what workers do for it, nor how it is torn down when it is killed, nor its last call then.
 */
#ifndef SELFTEST_COVERAGE_H
#define SELFTEST_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

#define COVERAGE_BYTES	(1 << 20)	/* of the module's text, at most */

/* Shared by those who are counted. */
struct coverage {
	uint64_t text;			/* where it is */
	uint32_t reached;		/* different places */
	uint8_t at[COVERAGE_BYTES];	/* by the offset from @text */
};

/* NULL without memory. */
struct coverage *coverage_new(void);
bool coverage_possible(void);
/* The thread is counted from now on, if that is possible. At this moment it is root. */
void coverage_begin(void);
/* Adds what the thread has reached since it was last asked. */
void coverage_take(struct coverage *c);
/* The reached offsets, as a list in JSON. */
void coverage_print(const struct coverage *c);

#endif
