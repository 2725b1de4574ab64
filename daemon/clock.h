/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef EXTPAGER_CLOCK_H
#define EXTPAGER_CLOCK_H

#include <stdint.h>
#include <time.h>

/** Milliseconds of the clock that nobody sets. */
static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

#endif /* EXTPAGER_CLOCK_H */
