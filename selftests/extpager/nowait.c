// SPDX-License-Identifier: GPL-2.0-only
/*
 * What only other drivers do: faults that must not wait (KVM has a vCPU's tried so
 * before a worker waits for the page), and pins for long (VFIO, RDMA). No system call
 * leads there, but a module of the tests does.
 */
/* vm: module=nowait */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"

#define NAME	"nowait"
#define BYTES	(4 * MIB)
#define SEED	29

struct attempt {
	int device;
	uint8_t *page;
	uint64_t index;
	bool write;
	bool touch;		/* have it in the page tables before, to be read */
};

/* Waits for ever if the fault has left mmap_lock held, or gave up what was not its own. */
static bool memory_is_free(void)
{
	void *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t child;

	if (p == MAP_FAILED || munmap(p, PAGE))
		return false;
	child = fork();
	if (!child)
		_exit(0);
	return waitpid(child, NULL, 0) == child;
}

/* How many pages there were, none or one. */
static int get_page(void *arg)
{
	struct attempt *a = arg;
	ssize_t n;

	if (a->touch && !page_is(a->page, SEED, a->index))
		return 10;
	n = a->write ? read(a->device, a->page, 1) : write(a->device, a->page, 1);
	if (!memory_is_free())
		return 11;
	if (n < 0 || n > 1)
		return 12;
	return n && !page_is(a->page, SEED, a->index) ? 13 : n;
}

/* The page's mapping is inherited: the test itself is the pager, and may not touch. */
FIXTURE(nowait)
{
	struct pager p;
	uint64_t object;
	int device, fd;
	uint8_t *map;
	long interval;
};

FIXTURE_SETUP(nowait)
{
	/* A test that failed has left them. */
	system("rmmod nowait 2>/dev/null");
	target_gone(NAME);
	ASSERT_EQ(0, system("insmod /tests/helpers/nowait.ko"));
	/* Nothing but a page-in is to be seen. */
	self->interval = writeback_interval(AN_HOUR);
	ASSERT_LT(0, self->interval);
	self->device = open("/dev/nowait", O_RDWR);
	ASSERT_LE(0, self->device);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES }));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, &self->object, NULL));
	self->fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	self->map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	ASSERT_EQ(0, madvise(self->map, BYTES, MADV_RANDOM));
}

FIXTURE_TEARDOWN(nowait)
{
	EXPECT_EQ(AN_HOUR, writeback_interval(self->interval));
	munmap(self->map, BYTES);
	close(self->fd);
	pager_close(&self->p);
	EXPECT_TRUE(target_gone(NAME));
	close(self->device);
	EXPECT_EQ(0, system("rmmod nowait"));
}

static int try(const FIXTURE_DATA(nowait) *self, uint64_t index, bool write, bool touch)
{
	struct attempt a = { self->device, self->map + index * PAGE, index, write, touch };
	struct client c = client_start(get_page, &a);
	int result = client_result(&c, SOON);

	client_kill(&c);
	return result;
}

TEST_F(nowait, an_absent_page_is_asked_for_once_and_not_waited_for)
{
	static const struct { uint64_t index; int advice; bool write; } page[] = {
		{ 5, MADV_RANDOM, false }, { 6, MADV_RANDOM, true },
		{ 100, MADV_NORMAL, false }, { 200, MADV_NORMAL, true },
	};
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(29);
	ASSERT_TRUE(object_ready(&self->p, NULL));
	for (i = 0; i < ARRAY_SIZE(page); i++) {
		ASSERT_EQ(0, madvise(self->map, BYTES, page[i].advice));
		ASSERT_EQ(0, try(self, page[i].index, page[i].write, false));
		ASSERT_TRUE(next_request(&self->p, &ev));
		EXPECT_EQ(page[i].index * PAGE, ev.wanted);
		EXPECT_EQ(page[i].advice == MADV_RANDOM, ev.length == PAGE);
		EXPECT_EQ(page[i].write ? EXTPAGER_ACCESS_WRITE : EXTPAGER_ACCESS_READ, ev.access);
		ASSERT_EQ(0, try(self, page[i].index, page[i].write, false));
		EXPECT_TRUE(pager_silent(&self->p, QUIET));
		EXPECT_EQ(i + 1, target_stat(NAME, EXTPAGER_A_STATS_DATA_REQUESTS));
		ASSERT_EQ(0, pager_supply(&self->p, &ev, SEED));
		ASSERT_EQ(1, try(self, page[i].index, page[i].write, false));
	}
	EXPECT_EQ(2 * PAGE, target_dirty(NAME));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_GATE_WAITS));
}

TEST_F(nowait, a_pager_that_is_not_ready_is_not_waited_for)
{
	struct extpager_event ev;

	ASSERT_EQ(0, try(self, 5, false, false));
	ASSERT_EQ(0, try(self, 5, true, false));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_DATA_REQUESTS));
	ASSERT_TRUE(object_ready(&self->p, NULL));
	ASSERT_EQ(0, try(self, 5, false, false));
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, SEED));
	ASSERT_EQ(1, try(self, 5, false, false));
}

TEST_F(nowait, a_full_quota_is_not_waited_for)
{
	struct target_options full = { .quota = MIB / 4 }, ample = { .quota = 64 * MIB };
	struct io io = { self->fd, MIB, MIB, SEED };
	struct client writer;
	uint32_t generation, done;

	ASSERT_TRUE(object_ready(&self->p, &generation));
	ASSERT_EQ(0, pager_push(&self->p, self->object, generation, SEED, 0, PAGE, &done));
	writer = client_start(write_pages, &io);
	ASSERT_EQ(0, client_result(&writer, SOON));
	/* Far above it, so that nothing in between looks like room. */
	ASSERT_EQ(0, target_set(NAME, &full));

	EXPECT_EQ(1, try(self, 0, false, false));
	EXPECT_EQ(0, try(self, 0, true, false));
	EXPECT_EQ(0, try(self, 0, true, true));
	/* One that is not here is not even asked for. */
	EXPECT_EQ(0, try(self, 1, true, false));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_QUOTA_WAITS));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_DATA_REQUESTS));
	EXPECT_EQ(MIB, target_dirty(NAME));

	ASSERT_EQ(0, target_set(NAME, &ample));
	EXPECT_EQ(1, try(self, 0, true, true));
	EXPECT_EQ(MIB + PAGE, target_dirty(NAME));
}

static int pin_page(void *arg)
{
	struct attempt *a = arg;
	int ret;

	a->page[0] = 1;
	ret = ioctl(a->device, 0, a->page);
	return ret < 0 ? errno : ret;
}

/* 6.1 does not know that such a page may be cleaned under who writes to it. */
TEST_F(nowait, a_pin_for_long_is_refused_but_on_6_1)
{
	struct attempt a = { .device = self->device, .page = self->map };
	uint32_t generation, done;
	struct client c;

	BEHAVIOURS(122);
	ASSERT_TRUE(object_ready(&self->p, &generation));
	ASSERT_EQ(0, pager_push(&self->p, self->object, generation, SEED, 0, PAGE, &done));
	c = client_start(pin_page, &a);
	EXPECT_EQ(kernel_version() < 602 ? 1 : EFAULT, client_result(&c, SOON));
	EXPECT_EQ(PAGE, target_dirty(NAME));
}

static int hold_lock(void *arg)
{
	const FIXTURE_DATA(nowait) *self = arg;

	return ioctl(self->device, 1, self->fd);
}

static bool is_locked(void)
{
	char text[2] = "";
	int fd = open("/sys/module/nowait/parameters/locked", O_RDONLY);

	if (fd < 0 || read(fd, text, 1) != 1)
		text[0] = 0;
	close(fd);
	return text[0] == 'Y';
}

TEST_F(nowait, a_push_does_not_wait_for_a_clients_lock)
{
	uint32_t generation, done;
	struct client holder;

	ASSERT_TRUE(object_ready(&self->p, &generation));
	holder = client_start(hold_lock, self);
	EXPECT_TRUE(WAIT_FOR(SOON, is_locked()));
	EXPECT_EQ(-EAGAIN, pager_push(&self->p, self->object, generation, SEED, 0, PAGE, &done));
	EXPECT_EQ(0, done);
	client_kill(&holder);
	EXPECT_TRUE(WAIT_FOR(SOON, !is_locked()));
	EXPECT_EQ(0, pager_push(&self->p, self->object, generation, SEED, 0, PAGE, &done));
	EXPECT_EQ(PAGE, done);
}

TEST_HARNESS_MAIN
