// SPDX-License-Identifier: GPL-2.0-only
/* How much is asked for: the kernel's readahead and what advice does to it. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/crowd.h"
#include "support/object.h"
#include "support/pager.h"

#define BYTES		(64 * MIB)

/* A ready object; the test maps it too, but touches only what is there. */
FIXTURE(readahead)
{
	struct pager p;
	uint64_t object;
	uint32_t generation;
	int fd;
	uint8_t *map;
};

FIXTURE_SETUP(readahead)
{
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	self->fd = pager_create(&self->p, BYTES, 0, &self->object);
	ASSERT_LE(0, self->fd);
	self->map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	ASSERT_TRUE(object_ready(&self->p, &self->generation));
}

FIXTURE_TEARDOWN(readahead)
{
	munmap(self->map, BYTES);
	close(self->fd);
	pager_close(&self->p);
}

TEST_F(readahead, an_unadvised_touch_asks_around_it)
{
	struct crowd *c = crowd_new(self->fd, BYTES, 31, 1);
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(31);
	c->advice = MADV_NORMAL;
	c->access[0].offset = 5000 * PAGE;
	crowd_start(c);
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(4984 * PAGE, ev.offset);
	EXPECT_EQ(32 * PAGE, ev.length);
	EXPECT_EQ(5000 * PAGE, ev.wanted);
	EXPECT_EQ(0, ev.flags);
	/* The page that is waited for may come first. */
	ASSERT_EQ(0, pager_supply_part(&self->p, &ev, 31, ev.wanted, PAGE));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(1, crowd_right(c));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 31));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	for (i = 4984; i < 5016; i++)
		EXPECT_TRUE(page_is(self->map + i * PAGE, 31, i));
	crowd_free(c);
}

TEST_F(readahead, random_advice_shrinks_the_window_to_the_page)
{
	static const uint64_t page[] = { 0, 5000, 5001, 16383 };
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(31);
	for (i = 0; i < ARRAY_SIZE(page); i++) {
		struct crowd *c = crowd_new(self->fd, BYTES, 31, 1);

		c->access[0].offset = page[i] * PAGE;
		crowd_start(c);
		ASSERT_TRUE(next_request(&self->p, &ev));
		EXPECT_EQ(page[i] * PAGE, ev.offset);
		EXPECT_EQ(PAGE, ev.length);
		EXPECT_EQ(page[i] * PAGE, ev.wanted);
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 31));
		EXPECT_EQ(0, crowd_join(c, SOON));
		EXPECT_EQ(1, crowd_right(c));
		crowd_free(c);
	}
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

/* Reads on as far as it is allowed to. */
struct reader {
	int fd;
	uint64_t pages;
	volatile uint64_t allowed;
};

static int read_on(void *arg)
{
	struct reader *r = arg;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, r->fd, 0);
	uint64_t i;

	if (map == MAP_FAILED || madvise(map, BYTES, MADV_SEQUENTIAL))
		return 1;
	for (i = 0; i < r->pages; i++) {
		while (i >= r->allowed)
			test_pause();
		if (!page_is(map + i * PAGE, 31, i))
			return 2;
	}
	return 0;
}

TEST_F(readahead, sequential_advice_looks_ahead)
{
	struct reader *r = shared_memory(sizeof(*r));
	struct extpager_event ev;
	struct client client;
	uint64_t window;

	BEHAVIOURS(31);
	*r = (struct reader){ .fd = self->fd, .pages = 256, .allowed = 32 };
	client = client_start(read_on, r);
	for (window = 0; window < 8; window++) {
		ASSERT_TRUE(next_request(&self->p, &ev));
		/* Never behind the reader, never twice, never a hole. */
		EXPECT_EQ(window * 32 * PAGE, ev.offset);
		EXPECT_EQ(32 * PAGE, ev.length);
		/* All but the first are asked for before they are reached. */
		EXPECT_EQ(window ? EXTPAGER_EVF_PREFETCH : 0, ev.flags);
		EXPECT_EQ(window ? EXTPAGER_WANTED_NONE : 0, ev.wanted);
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 31));
		r->allowed = (window + 1) * 32;
	}
	EXPECT_EQ(0, client_result(&client, SOON));
}

/* Unadvised half of the same window lies behind the page. */
TEST_F(readahead, sequential_advice_asks_for_nothing_behind)
{
	static const struct { int advice; uint64_t page, first; } touch[] = {
		{ MADV_NORMAL, 5000, 4984 },
		{ MADV_SEQUENTIAL, 8000, 8000 },
	};
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(31);
	for (i = 0; i < ARRAY_SIZE(touch); i++) {
		struct crowd *c = crowd_new(self->fd, BYTES, 31, 1);

		c->advice = touch[i].advice;
		c->access[0].offset = touch[i].page * PAGE;
		crowd_start(c);
		ASSERT_TRUE(next_request(&self->p, &ev));
		EXPECT_EQ(touch[i].first * PAGE, ev.offset);
		/* The window is the file's, which only posix_fadvise() enlarges. */
		EXPECT_EQ(32 * PAGE, ev.length);
		EXPECT_EQ(touch[i].page * PAGE, ev.wanted);
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 31));
		EXPECT_EQ(0, crowd_join(c, SOON));
		EXPECT_EQ(1, crowd_right(c));
		crowd_free(c);
	}
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

/* A reader that is faster than its pager: when it comes to a window, the next one is due. */
TEST_F(readahead, a_sequential_reader_that_waits_has_the_next_window_asked_for)
{
	struct reader *r = shared_memory(sizeof(*r));
	struct extpager_event ev[9];
	struct client client;
	uint64_t window;

	BEHAVIOURS(31);
	*r = (struct reader){ .fd = self->fd, .pages = 7 * 32, .allowed = 7 * 32 };
	client = client_start(read_on, r);
	ASSERT_TRUE(next_request(&self->p, &ev[0]));
	EXPECT_EQ(0, ev[0].wanted);
	ASSERT_EQ(0, pager_supply(&self->p, &ev[0], 31));
	ASSERT_TRUE(next_request(&self->p, &ev[1]));
	for (window = 1; window < 7; window++) {
		EXPECT_EQ(EXTPAGER_EVF_PREFETCH, ev[window].flags);
		/* It waits for this one, and the next is on its way too. */
		ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(client.pid) == 1));
		ASSERT_TRUE(next_request(&self->p, &ev[window + 1]));
		EXPECT_EQ((window + 1) * 32 * PAGE, ev[window + 1].offset);
		EXPECT_EQ(32 * PAGE, ev[window + 1].length);
		ASSERT_EQ(0, pager_supply(&self->p, &ev[window], 31));
	}
	EXPECT_EQ(0, client_result(&client, SOON));
	ASSERT_EQ(0, pager_supply(&self->p, &ev[7], 31));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

TEST_F(readahead, sequential_files_have_twice_the_window)
{
	struct crowd *c = crowd_new(self->fd, BYTES, 31, 1);
	struct extpager_event ev;

	BEHAVIOURS(31);
	ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_SEQUENTIAL));
	c->advice = MADV_NORMAL;
	c->access[0].offset = 5000 * PAGE;
	crowd_start(c);
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(4968 * PAGE, ev.offset);
	EXPECT_EQ(64 * PAGE, ev.length);
	EXPECT_EQ(5000 * PAGE, ev.wanted);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 31));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(1, crowd_right(c));
	crowd_free(c);
}

/* Of one call Linux takes as much as the device takes at once: 2 MiB. */
TEST_F(readahead, a_range_that_will_be_needed_comes_in_long_runs)
{
	struct crowd *c = crowd_new(self->fd, BYTES, 31, 1);
	struct extpager_event ev;
	uint64_t at;

	BEHAVIOURS(31);
	for (at = 0; at < 8 * MIB; at += 2 * MIB) {
		ASSERT_EQ(0, at % (4 * MIB) ? madvise(self->map + at, 5 * MIB, MADV_WILLNEED) :
					      prefetch(self->fd, at / PAGE, 5 * MIB / PAGE));
		ASSERT_TRUE(next_request(&self->p, &ev));
		EXPECT_EQ(at, ev.offset);
		EXPECT_EQ(2 * MIB, ev.length);
		EXPECT_EQ(EXTPAGER_EVF_PREFETCH, ev.flags);
		EXPECT_EQ(EXTPAGER_WANTED_NONE, ev.wanted);
		EXPECT_TRUE(pager_silent(&self->p, QUIET));
		/* It is answered in parts as any other. */
		ASSERT_EQ(0, pager_supply_part(&self->p, &ev, 31, at + MIB, MIB));
		ASSERT_EQ(0, pager_supply_part(&self->p, &ev, 31, at, MIB));
		EXPECT_EQ(-ENOENT, pager_supply(&self->p, &ev, 31));
	}
	c->access[0].offset = 3 * MIB;
	crowd_start(c);
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(1, crowd_right(c));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	crowd_free(c);
}

static int page_resident(const uint8_t *map, uint64_t index)
{
	unsigned char here = 2;

	return mincore((void *)(map + index * PAGE), PAGE, &here) ? -1 : here & 1;
}

static int map_and_go(void *arg)
{
	struct io *io = arg;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, io->fd, 0);
	uint64_t i;

	if (map == MAP_FAILED)
		return 1;
	/* With faults around it, of which the absent pages are no part. */
	for (i = io->offset; i < io->offset + io->length; i += PAGE)
		if (!page_is(map + i, io->seed, i / PAGE))
			return 2;
	return munmap(map, BYTES) ? 3 : 0;
}

TEST_F(readahead, mapping_what_is_partly_here_asks_for_nothing)
{
	struct io io = { self->fd, 0, 0, 33 };
	struct client client;

	BEHAVIOURS(33);
	ASSERT_EQ(0, pager_push(&self->p, self->object, self->generation, 33, 20 * PAGE,
				5 * PAGE, NULL));
	client = client_start(map_and_go, &io);
	EXPECT_EQ(0, client_result(&client, SOON));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	io.offset = 20 * PAGE;
	io.length = 5 * PAGE;
	client = client_start(map_and_go, &io);
	EXPECT_EQ(0, client_result(&client, SOON));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	EXPECT_EQ(0, page_resident(self->map, 19));
	EXPECT_EQ(1, page_resident(self->map, 20));
	EXPECT_EQ(0, page_resident(self->map, 25));
}

TEST_HARNESS_MAIN
