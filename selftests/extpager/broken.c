// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page whose memory breaks is taken out of use by the kernel, which is not built for
 * that everywhere: not in Debian's 6.1 for virtual machines.
 */
/* vm: kernels=6.12,debug */
#include <errno.h>
#include <fcntl.h>
#include <linux/kernel-page-flags.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/crew.h"
#include "support/object.h"
#include "support/swap.h"

#define NAME	"broken"
#define BYTES	MIB
#define WORKERS	3
#define SEED	1
/* A page of the tests with one. */
#define ONE	5
#define AT	(ONE * PAGE)
/* So many lie in a window that is read ahead of the first. */
#define WINDOW	16

static const uint8_t *store;

/*
 * The kernel passes over a broken page that a CPU has in hand, on its way to the lists of
 * reclaim, but for those of its own.
 */
static bool on_one_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	return !sched_setaffinity(0, sizeof(one), &one);
}

static long broken_kib(void)
{
	return read_number("/proc/meminfo", "HardwareCorrupted");
}

/* The frame of a page breaks; EBUSY: the kernel left it. SIGBUS is for who has it in use. */
static int break_page(void *fd)
{
	volatile uint8_t *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, *(int *)fd, AT);

	if (page == MAP_FAILED)
		return 1;
	(void)*page;
	return madvise((void *)page, PAGE, MADV_HWPOISON) ? errno : 0;
}

static bool breaks(int *fd)
{
	long broken = broken_kib();
	struct client c = client_start(break_page, fd);
	int result = client_result(&c, SOON);

	return (result == 0 || result == CLIENT_SIGBUS) &&
	       broken_kib() == broken + (long)PAGE / 1024;
}

static long do_write_part(struct order *o)
{
	ssize_t n = pwrite(o->fd, "part", 4, o->offset + 100);

	return n < 0 ? -errno : n;
}

/* For one that did not have it mapped when it broke: there is no way to any older bytes. */
#define EXPECT_LOST(_w) do {							\
	EXPECT_EQ(-EIO, worker_do(_w, do_read, AT, PAGE, SEED));		\
	EXPECT_EQ(0, worker_do(_w, do_touch_read, AT, PAGE, 0));		\
	EXPECT_EQ(BUS_ADRERR, (_w)->order->code);				\
	EXPECT_EQ(AT, (_w)->order->where);					\
	EXPECT_EQ(0, worker_do(_w, do_touch_write, AT, PAGE, 0));		\
	EXPECT_EQ(BUS_ADRERR, (_w)->order->code);				\
	EXPECT_EQ(-EIO, worker_do(_w, do_write_part, AT, PAGE, 0));		\
	EXPECT_EQ(-EIO, worker_do(_w, do_punch, AT + 100, 200, 0));		\
	EXPECT_EQ(-EIO, worker_do(_w, do_read, AT, PAGE, SEED));		\
} while (0)

/* ---- with an honest pager ---- */

FIXTURE(broken)
{
	struct crew crew;
	long interval;
	bool swap;
};

FIXTURE_SETUP(broken)
{
	ASSERT_TRUE(on_one_cpu());
	/* Nobody writes back by himself; to say so has all written that is dirty by now. */
	self->interval = writeback_interval(AN_HOUR);
	ASSERT_TRUE(crew_start(&self->crew, NAME, BYTES, SEED, WORKERS));
	store = self->crew.s.store;
}

FIXTURE_TEARDOWN(broken)
{
	writeback_interval(self->interval);
	EXPECT_TRUE(crew_stop(&self->crew));
	if (self->swap) {
		EXPECT_TRUE(WAIT_FOR(SOON, !swapoff(FLAKY)));
		EXPECT_TRUE(WAIT_FOR(SOON, flaky_remove()));
	}
}

TEST_F(broken, a_clean_page_that_breaks_is_asked_for_again)
{
	struct worker *w = self->crew.w;
	struct client c;
	uint64_t asked;
	long broken = broken_kib();

	BEHAVIOURS(129);
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

/* What was written is nowhere any more, and what the store has is not to be taken for it. */
TEST_F(broken, a_dirty_page_that_breaks_is_lost_and_not_in_silence)
{
	struct extpager_failures f = { .size = sizeof(f) };
	struct worker *w = self->crew.w;
	int other = target_open(NAME, O_RDWR);
	uint8_t buf[WINDOW * PAGE];
	uint64_t asked;
	unsigned int i;

	BEHAVIOURS(129);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, worker_do(&w[0], do_store, AT, PAGE, 2));
	ASSERT_EQ(0, worker_do(&w[1], do_check, AT, PAGE, 2));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	asked = self->crew.s.stats->pages_requested;
	ASSERT_TRUE(breaks(&self->crew.fd));
	EXPECT_EQ(0, worker_do(&w[0], do_touch_read, AT, PAGE, 0));
	EXPECT_EQ(BUS_MCEERR_AR, w[0].order->code);
	EXPECT_EQ(AT, w[0].order->where);
	EXPECT_EQ(0, worker_do(&w[1], do_touch_write, AT, PAGE, 0));
	EXPECT_EQ(BUS_MCEERR_AR, w[1].order->code);
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_EQ(0, self->crew.s.stats->pages_returned);
	EXPECT_LOST(&w[2]);
	EXPECT_EQ(asked, self->crew.s.stats->pages_requested);
	EXPECT_EQ(-EIO, worker_do(&w[2], do_fsync, 0, 0, 0));
	EXPECT_EQ(0, worker_do(&w[2], do_fsync, 0, 0, 0));
	EXPECT_EQ(-1, fsync(other));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, fsync(other));
	ASSERT_EQ(0, ioctl(other, EXTPAGER_IOC_FAILURES, &f));
	EXPECT_EQ(1, f.out_total);
	EXPECT_EQ(EXTPAGER_EV_DATA_RETURN, f.out_failure[0].op);
	EXPECT_EQ(AT, f.out_failure[0].offset);
	EXPECT_EQ(PAGE, f.out_failure[0].length);
	EXPECT_EQ(EIO, (int)f.out_failure[0].error);

	/* Its neighbours are asked for in one go, and are right. */
	EXPECT_EQ((ssize_t)AT, pread(other, buf, sizeof(buf), 0));
	for (i = 0; i < ONE; i++)
		EXPECT_TRUE(page_is(buf + i * PAGE, SEED, i));
	EXPECT_TRUE(pages_are(other, ONE + 1, WINDOW - ONE - 1, SEED));
	EXPECT_FALSE(page_is_here(other, ONE));
	EXPECT_LOST(&w[2]);

	/* Written anew it is as any, also when it comes from the store. */
	ASSERT_EQ((long)PAGE, worker_do(&w[2], do_write, AT, PAGE, 3));
	EXPECT_EQ(0, worker_do(&w[2], do_check, AT, PAGE, 3));
	EXPECT_EQ(0, worker_do(&w[2], do_fsync, 0, 0, 0));
	EXPECT_TRUE(page_is(store + AT, 3, ONE));
	ASSERT_TRUE(worker_evicts(&w[2], AT, PAGE));
	EXPECT_EQ(0, worker_do(&w[2], do_read, AT, PAGE, 3));
	EXPECT_EQ(4, worker_do(&w[2], do_write_part, AT, PAGE, 0));
	close(other);
}

TEST_F(broken, a_lost_page_that_is_punched_is_zeros)
{
	struct worker *w = self->crew.w;

	ASSERT_EQ((long)PAGE, worker_do(&w[0], do_write, AT, PAGE, 2));
	ASSERT_TRUE(breaks(&self->crew.fd));
	EXPECT_LOST(&w[0]);
	EXPECT_EQ(0, worker_do(&w[0], do_punch, AT, PAGE, 0));
	EXPECT_EQ(0, worker_do(&w[0], do_read_zeros, AT, PAGE, 0));
	ASSERT_TRUE(worker_evicts(&w[0], AT, PAGE));
	EXPECT_EQ(0, worker_do(&w[0], do_check_zeros, AT, PAGE, 0));
	EXPECT_TRUE(page_is_zero(store + AT));
}

/* What is broken was written to a hole that the pager does not know of yet. */
TEST_F(broken, a_page_that_is_lost_in_a_hole_is_not_zeros)
{
	struct worker *w = self->crew.w;

	*self->crew.s.stop = 1;
	worker_begin(&w[0], do_punch, AT, PAGE, 0);
	ASSERT_TRUE(WAIT_FOR(SOON, target_stat(NAME, EXTPAGER_A_STATS_DATA_RETURNS) == 1));
	ASSERT_EQ((long)PAGE, worker_do(&w[1], do_write, AT, PAGE, 2));
	ASSERT_TRUE(breaks(&self->crew.fd));
	EXPECT_EQ(-EIO, worker_do(&w[1], do_read, AT, PAGE, 2));
	*self->crew.s.stop = 0;
	EXPECT_EQ(0, worker_end(&w[0], WORKER_MS));
	EXPECT_LOST(&w[1]);
}

/* The spill has a version that is older than the lost one. */
TEST_F(broken, what_was_spilled_before_does_not_come_back)
{
	struct target_options spill = { .policy = "spill" };
	struct worker *w = self->crew.w;

	self->swap = true;
	ASSERT_TRUE(flaky_swap_on(64 * MIB, 0));
	ASSERT_EQ(0, target_set(NAME, &spill));
	ASSERT_EQ((long)PAGE, worker_do(&w[0], do_write, AT, PAGE, 2));
	server_kill(&self->crew.s);
	ASSERT_TRUE(WAIT_FOR(SOON, target_spilled(NAME) == PAGE && !target_dirty(NAME)));
	/* There is a pager, to which nothing goes yet. */
	*self->crew.s.stop = 1;
	ASSERT_TRUE(server_restart(&self->crew.s, NAME));
	ASSERT_EQ((long)PAGE, worker_do(&w[0], do_write, AT, PAGE, 3));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	ASSERT_TRUE(breaks(&self->crew.fd));
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_EQ(0, target_spilled(NAME));
	*self->crew.s.stop = 0;
	EXPECT_LOST(&w[0]);
	EXPECT_EQ(-EIO, worker_do(&w[0], do_fsync, 0, 0, 0));
	EXPECT_EQ(0, worker_do(&w[0], do_fsync, 0, 0, 0));
	EXPECT_LOST(&w[0]);
	ASSERT_EQ((long)PAGE, worker_do(&w[0], do_write, AT, PAGE, 4));
	EXPECT_EQ(0, worker_do(&w[0], do_fsync, 0, 0, 0));
	EXPECT_TRUE(page_is(store + AT, 4, ONE));
}

/* ---- with the test as the pager ---- */

FIXTURE(lost)
{
	struct pager p;
	uint64_t object;
	uint32_t generation;
	int fd;
	struct worker w;
	long interval;
};

static bool attach(FIXTURE_DATA(lost) *self)
{
	return !pager_open(&self->p, 1, 0) &&
	       !pager_attach(&self->p, NAME, &self->object, NULL) &&
	       object_ready(&self->p, &self->generation);
}

static bool begin_use(FIXTURE_DATA(lost) *self)
{
	self->fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	return self->fd >= 0 && worker_start(&self->w, self->fd, BYTES);
}

static void end_use(FIXTURE_DATA(lost) *self)
{
	worker_stop(&self->w);
	close(self->fd);
}

FIXTURE_SETUP(lost)
{
	struct target_options o = { .bytes = BYTES, .policy = "hold" };

	ASSERT_TRUE(on_one_cpu());
	self->interval = writeback_interval(AN_HOUR);
	ASSERT_EQ(0, target_add(NAME, &o));
	ASSERT_TRUE(begin_use(self));
	ASSERT_TRUE(attach(self));
}

FIXTURE_TEARDOWN(lost)
{
	end_use(self);
	pager_close(&self->p);
	writeback_interval(self->interval);
	EXPECT_TRUE(target_gone(NAME));
}

TEST_F(lost, neither_a_push_nor_a_successor_nor_the_end_of_use_hides_it)
{
	struct extpager_event ev;
	uint32_t done = 0;

	BEHAVIOURS(129);
	ASSERT_EQ((long)PAGE, worker_do(&self->w, do_write, AT, PAGE, 2));
	ASSERT_TRUE(breaks(&self->fd));
	EXPECT_EQ(-EEXIST, pager_push(&self->p, self->object, self->generation, SEED, AT, PAGE,
				      &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(0, pager_push(&self->p, self->object, self->generation, SEED, AT - PAGE,
				3 * PAGE, &done));
	EXPECT_EQ(2 * PAGE, done);
	EXPECT_EQ(0, worker_do(&self->w, do_read, AT - PAGE, PAGE, SEED));
	EXPECT_EQ(0, worker_do(&self->w, do_read, AT + PAGE, PAGE, SEED));
	EXPECT_LOST(&self->w);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));

	pager_close(&self->p);
	ASSERT_TRUE(attach(self));
	EXPECT_LOST(&self->w);
	end_use(self);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_TERMINATE, &ev, SOON));
	ASSERT_TRUE(begin_use(self));
	ASSERT_TRUE(object_ready(&self->p, &self->generation));
	EXPECT_LOST(&self->w);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	ASSERT_EQ((long)PAGE, worker_do(&self->w, do_write, AT, PAGE, 3));
	EXPECT_EQ(0, worker_do(&self->w, do_check, AT, PAGE, 3));
}

/* The request for it is overdue, and the pager that is waited for is silent. */
TEST_F(lost, who_reads_it_waits_for_no_pager)
{
	struct target_options wait = { .page_in_ms = 200, .page_in_action = EXTPAGER_ACTION_WAIT };
	struct extpager_event ev;
	struct worker first;

	BEHAVIOURS(129);
	ASSERT_EQ(0, target_set(NAME, &wait));
	ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_RANDOM));
	ASSERT_TRUE(worker_start(&first, self->fd, BYTES));
	worker_begin(&first, do_read, AT, PAGE, 2);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, SOON));
	ASSERT_TRUE(WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_STALLED));
	ASSERT_EQ((long)PAGE, worker_do(&self->w, do_write, AT, PAGE, 2));
	EXPECT_EQ(0, worker_end(&first, WORKER_MS));
	ASSERT_TRUE(breaks(&self->fd));
	EXPECT_LOST(&self->w);
	worker_stop(&first);
}

/* All of it, to a disk that has @SEED's pattern. */
static bool hand_over(FIXTURE_DATA(lost) *self)
{
	struct extpager_range all = { .length = BYTES };
	int file;

	if (!disk_ready())
		return false;
	file = open(DISK, O_RDWR | O_CLOEXEC);
	if (file < 0 || !fill_pages(file, 0, BYTES / PAGE, SEED))
		return false;
	file = pager_use(&self->p, file);
	all.file = file;
	return file > 0 &&
	       !pager_delegate(&self->p, self->object, self->generation, 0, &all, 1);
}

TEST_F(lost, delegated_it_is_not_read_from_its_device)
{
	ASSERT_TRUE(hand_over(self));
	ASSERT_EQ((long)PAGE, worker_do(&self->w, do_write, AT, PAGE, 2));
	ASSERT_TRUE(breaks(&self->fd));
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_LOST(&self->w);
	EXPECT_EQ(0, worker_do(&self->w, do_read, AT - PAGE, PAGE, SEED));
	EXPECT_EQ(0, worker_do(&self->w, do_check, AT + PAGE, 3 * PAGE, SEED));
	EXPECT_EQ(-EIO, worker_do(&self->w, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, worker_do(&self->w, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_PAGES_WRITTEN));
	ASSERT_EQ((long)PAGE, worker_do(&self->w, do_write, AT, PAGE, 3));
	EXPECT_EQ(0, worker_do(&self->w, do_fsync, 0, 0, 0));
	ASSERT_TRUE(worker_evicts(&self->w, AT, PAGE));
	EXPECT_EQ(0, worker_do(&self->w, do_read, AT, PAGE, 3));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_DATA_REQUESTS));
}

/* Its neighbours are, several at once. */
TEST_F(lost, it_is_not_read_with_its_neighbours)
{
	uint8_t *map;

	ASSERT_TRUE(hand_over(self));
	ASSERT_EQ((long)PAGE, worker_do(&self->w, do_write, AT, PAGE, 2));
	ASSERT_TRUE(breaks(&self->fd));
	ASSERT_TRUE(worker_evicts(&self->w, 0, BYTES));
	/* In order, and so in folios that are the larger the longer it goes on. */
	ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_SEQUENTIAL));
	EXPECT_EQ(0, worker_do(&self->w, do_read, 0, AT, SEED));
	EXPECT_LOST(&self->w);
	EXPECT_EQ(0, worker_do(&self->w, do_read, AT + PAGE, BYTES - AT - PAGE, SEED));
	EXPECT_LOST(&self->w);
	map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	/* While one page is lost, all come singly. */
	EXPECT_TRUE(page_is(map, SEED, 0));
	EXPECT_EQ(0, pages_flagged(map, 1, 1UL << KPF_COMPOUND_HEAD));
	EXPECT_EQ(-EIO, worker_do(&self->w, do_fsync, 0, 0, 0));
	ASSERT_EQ((long)PAGE, worker_do(&self->w, do_write, AT, PAGE, 3));
	EXPECT_EQ(0, worker_do(&self->w, do_fsync, 0, 0, 0));
	munmap(map, BYTES);
	/* Then it is as all others. With each error the kernel has read less ahead. */
	ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_NORMAL));
	ASSERT_TRUE(worker_evicts(&self->w, 0, BYTES));
	EXPECT_EQ(0, worker_do(&self->w, do_read, 0, AT, SEED));
	EXPECT_EQ(0, worker_do(&self->w, do_read, AT, PAGE, 3));
	EXPECT_EQ(0, worker_do(&self->w, do_read, AT + PAGE, BYTES - AT - PAGE, SEED));
	map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_TRUE(page_is(map, SEED, 0));
	EXPECT_EQ(1, pages_flagged(map, 1, 1UL << KPF_COMPOUND_HEAD));
	munmap(map, BYTES);
}

TEST_HARNESS_MAIN
