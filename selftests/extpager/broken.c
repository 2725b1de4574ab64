// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page whose memory breaks is taken out of use by the kernel, which is not built for
 * that everywhere: not in Debian's 6.1 for virtual machines.
 */
/* vm: kernels=6.12,debug */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/crew.h"
#include "support/object.h"

#define NAME	"broken"
#define BYTES	MIB
#define WORKERS	3
#define SEED	1
/* A page of the tests with one. */
#define ONE	5
#define AT	(ONE * PAGE)

static const uint8_t *store;

FIXTURE(broken)
{
	struct crew crew;
	long interval;
};

FIXTURE_SETUP(broken)
{
	ASSERT_TRUE(crew_start(&self->crew, NAME, BYTES, SEED, WORKERS));
	store = self->crew.s.store;
	/* Nobody writes back by himself. */
	self->interval = writeback_interval(AN_HOUR);
}

FIXTURE_TEARDOWN(broken)
{
	writeback_interval(self->interval);
	EXPECT_TRUE(crew_stop(&self->crew));
}

static long broken_kib(void)
{
	return read_number("/proc/meminfo", "HardwareCorrupted");
}

/* The frame of a page breaks; who has it in use may be killed for it, this one as well. */
static int break_page(void *fd)
{
	volatile uint8_t *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, *(int *)fd, AT);

	if (page == MAP_FAILED)
		return 1;
	(void)*page;
	return madvise((void *)page, PAGE, MADV_HWPOISON) ? errno : 0;
}

TEST_F(broken, a_clean_page_that_breaks_is_asked_for_again)
{
	struct worker *w = self->crew.w;
	struct client c;
	uint64_t asked;
	long broken = broken_kib();

	PARTIAL(129);
	EXPECT_EQ(0, worker_do(&w[0], do_check, AT, PAGE, SEED));
	EXPECT_EQ(0, worker_do(&w[1], do_read, AT, PAGE, SEED));
	asked = self->crew.s.stats->pages_requested;
	c = client_start(break_page, &self->crew.fd);
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_EQ(broken + (long)PAGE / 1024, broken_kib());
	EXPECT_EQ(0, worker_do(&w[0], do_resident, AT, PAGE, 0));
	/* Nobody has noticed. */
	EXPECT_EQ(0, worker_do(&w[0], do_check, AT, PAGE, SEED));
	EXPECT_EQ(0, worker_do(&w[1], do_read, AT, PAGE, SEED));
	EXPECT_EQ(asked + 1, self->crew.s.stats->pages_requested);
	EXPECT_EQ(0, worker_do(&w[0], do_fsync, 0, 0, 0));
}

/*
 * What was written is nowhere any more. As with the kernel's own file systems the page is
 * the store's older one then, and fsync is who says so, once; who has it mapped may not
 * take the one for the other.
 */
TEST_F(broken, a_dirty_page_that_breaks_is_lost_and_not_in_silence)
{
	struct worker *w = self->crew.w;
	struct client c;

	PARTIAL(129);
	ASSERT_EQ(0, worker_do(&w[0], do_store, AT, PAGE, 2));
	ASSERT_EQ(0, worker_do(&w[1], do_check, AT, PAGE, 2));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	c = client_start(break_page, &self->crew.fd);
	EXPECT_NE(CLIENT_RUNNING, client_result(&c, SOON));
	EXPECT_EQ(0, worker_do(&w[0], do_touch_read, AT, PAGE, 0));
	EXPECT_EQ(BUS_MCEERR_AR, w[0].order->code);
	EXPECT_EQ(AT, w[0].order->where);
	EXPECT_EQ(0, worker_do(&w[1], do_touch_write, AT, PAGE, 0));
	EXPECT_EQ(BUS_MCEERR_AR, w[1].order->code);
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_EQ(0, self->crew.s.stats->pages_returned);
	EXPECT_EQ(-EIO, worker_do(&w[2], do_fsync, 0, 0, 0));
	EXPECT_EQ(0, worker_do(&w[2], do_fsync, 0, 0, 0));
	EXPECT_EQ(0, worker_do(&w[2], do_read, AT, PAGE, SEED));

	/* Written anew it is as any. */
	ASSERT_EQ((long)PAGE, worker_do(&w[2], do_write, AT, PAGE, 3));
	EXPECT_EQ(0, worker_do(&w[2], do_check, AT, PAGE, 3));
	EXPECT_EQ(0, worker_do(&w[2], do_fsync, 0, 0, 0));
	EXPECT_TRUE(page_is(store + AT, 3, ONE));
}

TEST_HARNESS_MAIN
