/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A test says here which of the numbered behaviours it shows. The runner reads
 * the diagnostic lines and writes build/report/behaviours.json.
 *
 *	TEST(first_use_emits_one_init)
 *	{
 *		BEHAVIOURS(1);
 *		PARTIAL(13);	shown, but for a part that does not exist yet
 */
#ifndef EXTPAGER_BEHAVIOURS_H
#define EXTPAGER_BEHAVIOURS_H

#include <stdio.h>

/* Flushed, since a test may die or fork before stdio gets round to it. */
#define BEHAVIOURS_SAY(...) do { printf(__VA_ARGS__); fflush(stdout); } while (0)
#define BEHAVIOURS(...) BEHAVIOURS_SAY("# behaviours %s\n", #__VA_ARGS__)
#define PARTIAL(...) BEHAVIOURS_SAY("# partial %s\n", #__VA_ARGS__)
/* Shown whole, if the number of rounds or the limit is that of the behaviour. */
#define BEHAVIOURS_IF(whole, ...)						\
	BEHAVIOURS_SAY("# %s %s\n", (whole) ? "behaviours" : "partial", #__VA_ARGS__)

#endif
