// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who pays for what a pager does not take: its writer's memory cgroup, in memory
 * and in swap, and never more than it may have. Whatever comes, nobody is killed.
 */
/* vm: swap=512M kernels=6.1,6.12 timeout=400 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/stamper.h"
#include "support/swap.h"
#include "support/worker.h"

#define NAME	"charged"
/* Counts of a CPU's own are rough. */
#define SLACK	(64 * PAGE)
#define CGROUP	"/sys/fs/cgroup/extpager-charged"
/* How long is waited for what must not happen: that a writer gets through. */
#define NEVER_MS 3000

static unsigned int short_ms(void)
{
	return 500;
}

/* A client in a memory cgroup, with a pager that is a process. */
FIXTURE(charged)
{
	struct stamper s;
	int fd;
	struct worker w, reclaimer;
};

#define BIG	(128 * MIB)

FIXTURE_SETUP(charged)
{
	if (target_state(NAME))
		target_gone(NAME);
	ASSERT_LT(0, read_number("/proc/meminfo", "SwapTotal"));
	mkdir(CGROUP, 0755);
	ASSERT_TRUE(write_file(CGROUP "/memory.max", "64M"));
	ASSERT_TRUE(write_file(CGROUP "/memory.swap.max", "max"));
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BIG }));
	ASSERT_TRUE(stamper_start(&self->s, NAME, BIG));
	self->fd = target_open(NAME, O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_TRUE(worker_start(&self->w, self->fd, BIG));
	ASSERT_TRUE(worker_start(&self->reclaimer, self->fd, BIG));
}

FIXTURE_TEARDOWN(charged)
{
	worker_stop(&self->w);
	worker_stop(&self->reclaimer);
	close(self->fd);
	stamper_stop(&self->s);
	EXPECT_TRUE(target_gone(NAME));
	/* What swap has of it need not be read for that. */
	if (!access(FLAKY, F_OK)) {
		EXPECT_TRUE(WAIT_FOR(SOON, !swapoff(FLAKY)));
		EXPECT_TRUE(WAIT_FOR(SOON, flaky_remove()));
	}
	EXPECT_TRUE(WAIT_FOR(SOON, !rmdir(CGROUP)));
}

static long do_join_cgroup(struct order *o)
{
	return write_file(CGROUP "/cgroup.procs", "0") ? 0 : -errno;
}

/* MiB by MiB; the bytes that went. */
static long do_write_on(struct order *o)
{
	struct order part = *o;
	uint64_t end = o->offset + o->length;
	long n = 0;

	part.length = MIB;
	for (; part.offset < end; part.offset += MIB) {
		n = do_write(&part);
		if (n != (long)MIB)
			return n < 0 ? n : (long)(part.offset - o->offset) + n;
	}
	return o->length;
}

static long cgroup_number(const char *file, const char *key)
{
	char path[128];

	snprintf(path, sizeof(path), CGROUP "/%s", file);
	return read_number(path, key);
}

/* What the cgroup is charged for: in memory, without what is clean, and in swap. */
static uint64_t spill_charge(void)
{
	return cgroup_number("memory.stat", "shmem") + cgroup_number("memory.swap.current", NULL);
}

#define CGROUP_MS 100000	/* ms: for 128 MiB through a small door of a slow machine */

/* All comes home after @what, with the pager alive. */
static bool all_home(struct stamper *s, struct worker *w, uint64_t length, uint64_t seed)
{
	worker_begin(w, do_fsync, 0, 0, 0);
	return worker_end(w, CGROUP_MS) == 0 && target_spilled(NAME) == 0 &&
	       target_dirty(NAME) == 0 && stamper_wrong(s, 0, length, seed) == 0;
}

TEST_F_TIMEOUT(charged, writer_whose_pager_is_stopped_goes_on_at_its_own_cost, 250)
{
	struct worker *w = &self->w;
	uint64_t length = BIG, spilled;

	BEHAVIOURS(91, 145);
	ASSERT_EQ(0, worker_do(w, do_join_cgroup, 0, 0, 0));
	stamper_freeze(&self->s);
	worker_begin(w, do_write_on, 0, length, 1);
	EXPECT_EQ((long)length, worker_end(w, CGROUP_MS));
	EXPECT_EQ(EXTPAGER_STATE_STALLED, target_state(NAME));
	spilled = target_spilled(NAME);
	/* A quarter of the cgroup may be dirty. */
	EXPECT_LE(length - 16 * MIB - SLACK, spilled);
	EXPECT_LE(spilled, spill_charge() + SLACK);
	EXPECT_GE((long)(64 * MIB), cgroup_number("memory.current", NULL));
	EXPECT_EQ(0, cgroup_number("memory.events", "oom_kill"));
	/* Its pages are read where they are. */
	EXPECT_EQ(0, worker_do(w, do_read, 0, 4 * MIB, 1));
	stamper_thaw(&self->s);
	EXPECT_TRUE(all_home(&self->s, w, length, 1));
	EXPECT_EQ(0, cgroup_number("memory.events", "oom_kill"));
	/* And nobody pays any more, but for what the writer itself has in swap. */
	EXPECT_TRUE(WAIT_FOR(SOON, spill_charge() < 4 * MIB));
}

/* Nothing is spilled: so it is a pause, and no more. */
TEST_F_TIMEOUT(charged, writer_whose_pager_is_stopped_is_paused_without_a_spill, 250)
{
	struct worker *w = &self->w;
	uint64_t length = BIG;

	BEHAVIOURS(145);
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .no_spill = true,
								.return_ms = 60000 }));
	ASSERT_EQ(0, worker_do(w, do_join_cgroup, 0, 0, 0));
	stamper_freeze(&self->s);
	worker_begin(w, do_write_on, 0, length, 1);
	EXPECT_TRUE(WAIT_FOR(SOON, target_stat(NAME, EXTPAGER_A_STATS_QUOTA_WAITS) > 0));
	EXPECT_FALSE(WAIT_FOR(NEVER_MS, !worker_busy(w)));
	EXPECT_GE(16 * MIB + SLACK, target_dirty(NAME));
	EXPECT_EQ(0, target_spilled(NAME));
	EXPECT_EQ(0, cgroup_number("memory.events", "oom_kill"));
	stamper_thaw(&self->s);
	EXPECT_EQ((long)length, worker_end(w, CGROUP_MS));
	EXPECT_TRUE(all_home(&self->s, w, length, 1));
	EXPECT_EQ(0, cgroup_number("memory.events", "oom_kill"));
}

/* What is spilled cannot be put into swap, and fills the cgroup. */
TEST_F_TIMEOUT(charged, writer_that_may_not_swap_is_paused_and_not_killed, 250)
{
	struct worker *w = &self->w;
	uint64_t length = BIG;

	BEHAVIOURS(91, 145);
	ASSERT_TRUE(write_file(CGROUP "/memory.max", "32M"));
	ASSERT_TRUE(write_file(CGROUP "/memory.swap.max", "0"));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .return_ms = 60000 }));
	ASSERT_EQ(0, worker_do(w, do_join_cgroup, 0, 0, 0));
	stamper_freeze(&self->s);
	worker_begin(w, do_write_on, 0, length, 1);
	EXPECT_TRUE(WAIT_FOR(CGROUP_MS / 2, target_spill_full(NAME)));
	EXPECT_FALSE(WAIT_FOR(NEVER_MS, !worker_busy(w)));
	EXPECT_LT(0, target_stat(NAME, EXTPAGER_A_STATS_SPILLS_FAILED));
	EXPECT_GE(32 * MIB, target_spilled(NAME));
	EXPECT_EQ(0, cgroup_number("memory.events", "oom_kill"));
	stamper_thaw(&self->s);
	EXPECT_EQ((long)length, worker_end(w, CGROUP_MS));
	EXPECT_TRUE(all_home(&self->s, w, length, 1));
	EXPECT_TRUE(WAIT_FOR(SOON, !target_spill_full(NAME)));
	EXPECT_EQ(0, cgroup_number("memory.events", "oom_kill"));
}

/* Ask for everything back until no page of the range is here, or for some seconds. */
static long do_reclaim(struct order *o)
{
	bool gone = WAIT_FOR(5000, (write_file(CGROUP "/memory.reclaim", "32M"),
				    do_resident(o) == 0));

	return gone ? 0 : do_resident(o);
}

/* Ask once for more than there is; how long it took, in ms. */
static long do_reclaim_once(struct order *o)
{
	uint64_t start = now_ms();

	write_file(CGROUP "/memory.reclaim", "32M");
	return now_ms() - start;
}

TEST_F(charged, reclaim_does_not_wait_for_a_pager_that_is_stopped)
{
	struct worker *w = &self->w;
	uint64_t start;

	BEHAVIOURS(54, 97);
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .return_ms = 8 * short_ms() }));
	ASSERT_EQ(0, worker_do(w, do_join_cgroup, 0, 0, 0));
	stamper_freeze(&self->s);
	ASSERT_EQ((long)(4 * MIB), worker_do(w, do_write, 0, 4 * MIB, 1));
	/* As long as it may yet take them, at most. */
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
	EXPECT_GE(8 * (long)short_ms() + 5000,
		  worker_do(&self->reclaimer, do_reclaim_once, 0, 0, 0));
	/* And then not at all. */
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .return_ms = short_ms() }));
	EXPECT_EQ(-EIO, worker_do(w, do_fsync, 0, 0, 0));
	EXPECT_TRUE(WAIT_FOR(SOON, target_spilled(NAME) == 4 * MIB));
	start = now_ms();
	/* The oldest of them it may be asked to take all the while, in one request. */
	EXPECT_EQ(0, worker_do(&self->reclaimer, do_reclaim, 2 * MIB, 2 * MIB, 0));
	EXPECT_GE(10000, now_ms() - start);
	EXPECT_EQ(0, worker_do(w, do_check, 0, 4 * MIB, 1));
	EXPECT_LE(4 * MIB, spill_charge() + SLACK);
	/* From here on it is given the time that it takes. */
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .return_ms = 60000 }));
	stamper_thaw(&self->s);
	EXPECT_TRUE(all_home(&self->s, w, 4 * MIB, 1));
}

/* A client that is gone when its pages are: all that its cgroup pays for is the spill's. */
static int write_in_cgroup(void *fd)
{
	struct order o = { .fd = *(int *)fd, .length = 4 * MIB, .seed = 1 };

	return do_join_cgroup(&o) || do_write(&o) != (long)(4 * MIB);
}

/* What it wrote is all in the spill, and its pager stopped. */
static bool spilled_for_cgroup(FIXTURE_DATA(charged) *self)
{
	struct client c;

	stamper_freeze(&self->s);
	c = client_start(write_in_cgroup, &self->fd);
	return client_result(&c, SOON) == 0 &&
	       worker_do(&self->reclaimer, do_fsync, 0, 0, 0) == -EIO &&
	       WAIT_FOR(SOON, target_spilled(NAME) == 4 * MIB);
}

/* And all of that but what the pager is asked to take is in swap. */
static bool swapped_for_cgroup(FIXTURE_DATA(charged) *self)
{
	return !target_set(NAME, &(struct target_options){ .return_ms = short_ms() }) &&
	       spilled_for_cgroup(self) &&
	       WAIT_FOR(SOON, (write_file(CGROUP "/memory.reclaim", "8M"),
			       cgroup_number("memory.stat", "file") < (long)MIB));
}

TEST_F_TIMEOUT(charged, spilled_pages_come_home_through_little_memory, 150)
{
	struct worker *w = &self->reclaimer;
	char max[32];

	BEHAVIOURS(91);
	ASSERT_TRUE(swapped_for_cgroup(self));
	/* There is little room for it. */
	ASSERT_TRUE(write_file(CGROUP "/memory.swap.max", "0"));
	snprintf(max, sizeof(max), "%ld", cgroup_number("memory.current", NULL));
	ASSERT_TRUE(write_file(CGROUP "/memory.max", max));
	/* It takes a while, bit by bit. */
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .return_ms = 60000 }));
	stamper_thaw(&self->s);
	EXPECT_TRUE(all_home(&self->s, w, 4 * MIB, 1));
}

/* The spill's pages are returned before others, as long as they can be. */
TEST_F_TIMEOUT(charged, spilled_pages_that_have_no_memory_to_come_home_hold_up_no_others, 150)
{
	struct worker *w = &self->reclaimer;
	uint64_t other = 64 * MIB;

	BEHAVIOURS(91);
	ASSERT_TRUE(swapped_for_cgroup(self));
	ASSERT_TRUE(write_file(CGROUP "/memory.max", "0"));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .return_ms = 60000 }));
	stamper_thaw(&self->s);
	/* Somebody else's. */
	ASSERT_EQ((long)MIB, worker_do(w, do_write, other, MIB, 2));
	worker_begin(w, do_fsync, 0, 0, 0);
	EXPECT_TRUE(WAIT_FOR(SOON, stamper_wrong(&self->s, other, MIB, 2) == 0));
	EXPECT_LT(0, target_spilled(NAME));
	ASSERT_TRUE(write_file(CGROUP "/memory.max", "max"));
	EXPECT_EQ(0, worker_end(w, CGROUP_MS));
	EXPECT_EQ(0, target_spilled(NAME));
	EXPECT_EQ(0, stamper_wrong(&self->s, 0, 4 * MIB, 1));
}

#define SWAP_BYTES	(64 * MIB)
#define SLOW_SWAP_MS	400

/*
 * As when a disk loses what it has acknowledged. What of it is in memory yet is
 * not lost; the first of it the pager is asked to take all the while.
 */
TEST_F_TIMEOUT(charged, what_swap_cannot_give_back_is_told_and_lost, 150)
{
	/* Nobody whose own memory may be lost. */
	struct worker *w = &self->reclaimer;
	uint64_t lost, at = 4 * MIB;
	long ret = 0;

	BEHAVIOURS(91);
	ASSERT_TRUE(flaky_swap_on(SWAP_BYTES, 0));
	ASSERT_EQ((long)(4 * MIB), worker_do(w, do_write, 0, 4 * MIB, 2));
	ASSERT_EQ(0, worker_do(w, do_fsync, 0, 0, 0));
	ASSERT_TRUE(worker_evicts(w, 0, 4 * MIB));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .return_ms = short_ms() }));
	ASSERT_TRUE(spilled_for_cgroup(self));
	ASSERT_TRUE(WAIT_FOR(SOON, (write_file(CGROUP "/memory.reclaim", "8M"),
				    cgroup_number("memory.current", NULL) < (long)MIB)));
	ASSERT_TRUE(flaky_fail(SWAP_BYTES, true));
	while (!ret && at > 2 * MIB) {
		at -= PAGE;
		ret = worker_do(w, do_read, at, PAGE, 1);
	}
	EXPECT_EQ(-EIO, ret);

	/* From here on the pager is given the time that it takes. */
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .return_ms = 60000 }));
	stamper_thaw(&self->s);
	ASSERT_TRUE(WAIT_FOR(SOON, target_spilled(NAME) == 0 && target_dirty(NAME) == 0));
	EXPECT_EQ(-EIO, worker_do(w, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, worker_do(w, do_fsync, 0, 0, 0));
	lost = stamper_wrong(&self->s, 0, 4 * MIB, 1);
	EXPECT_LE(2 * MIB / PAGE, lost);
	EXPECT_EQ(4 * MIB / PAGE - lost, stamper_wrong(&self->s, 0, 4 * MIB, 2));
	/* Nobody takes what the store has for it; it can be written anew. */
	EXPECT_EQ(-EIO, worker_do(w, do_read, at, PAGE, 1));
	ASSERT_EQ((long)(4 * MIB), worker_do(w, do_write, 0, 4 * MIB, 3));
	EXPECT_TRUE(all_home(&self->s, w, 4 * MIB, 3));
	ASSERT_TRUE(flaky_fail(SWAP_BYTES, false));
	EXPECT_EQ(0, swapoff(FLAKY));
	EXPECT_TRUE(WAIT_FOR(SOON, flaky_remove()));
}

/* From one page; what is its own stays here, for the kernel would kill for it. */
static long do_write_from_a_page(struct order *o)
{
	static uint8_t page[PAGE];
	uint64_t at;

	if (mlockall(MCL_CURRENT | MCL_ONFAULT) || munlock(o->map, o->bytes))
		return -errno;
	for (at = o->offset; at < o->offset + o->length; at += PAGE) {
		fill_page(page, o->seed, at / PAGE);
		if (pwrite(o->fd, page, PAGE, at) != (ssize_t)PAGE)
			return -errno;
	}
	return 0;
}

/*
 * All that its cgroup has is soon on its way to swap, where it stays for a while; the kernel
 * does not wait for that before it kills.
 */
TEST_F_TIMEOUT(charged, writer_waits_for_swap_that_is_slow, 150)
{
	struct worker *w = &self->w;
	uint64_t length = 24 * MIB;

	BEHAVIOURS(91);
	ASSERT_TRUE(flaky_swap_on(SWAP_BYTES, SLOW_SWAP_MS));
	ASSERT_TRUE(write_file(CGROUP "/memory.max", "8M"));
	ASSERT_EQ(0, worker_do(w, do_join_cgroup, 0, 0, 0));
	stamper_freeze(&self->s);
	worker_begin(w, do_write_from_a_page, 0, length, 1);
	EXPECT_EQ(0, worker_end(w, CGROUP_MS));
	EXPECT_LT(0, cgroup_number("memory.events", "max"));
	EXPECT_EQ(0, worker_do(w, do_read, 0, 4 * PAGE, 1));
	EXPECT_EQ(0, cgroup_number("memory.events", "oom_kill"));
}

TEST_HARNESS_MAIN
