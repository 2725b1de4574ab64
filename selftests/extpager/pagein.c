// SPDX-License-Identifier: GPL-2.0-only
/* How pages come in: what is asked, and what the answer does. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/borrow.h"
#include "support/crowd.h"
#include "support/object.h"
#include "support/pager.h"

#define BYTES		(64 * MIB)

/* A ready object; the test maps it too, but touches only what is there. */
FIXTURE(pagein)
{
	struct pager p;
	uint64_t object;
	uint32_t generation;
	int fd;
	uint8_t *map;
};

FIXTURE_SETUP(pagein)
{
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	self->fd = pager_create(&self->p, BYTES, 0, &self->object);
	ASSERT_LE(0, self->fd);
	self->map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	ASSERT_TRUE(object_ready(&self->p, &self->generation));
}

FIXTURE_TEARDOWN(pagein)
{
	munmap(self->map, BYTES);
	close(self->fd);
	pager_close(&self->p);
}

/* ---- one page ---- */

TEST_F(pagein, one_touch_is_one_request)
{
	struct crowd *c = crowd_new(self->fd, BYTES, 7, 1);
	struct extpager_event ev;

	BEHAVIOURS(12);
	c->access[0].offset = 5000 * PAGE;
	crowd_start(c);
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(self->object, ev.object);
	EXPECT_EQ(self->generation, ev.generation);
	EXPECT_NE(0, ev.tag);
	EXPECT_EQ(0, ev.flags);
	EXPECT_EQ(5000 * PAGE, ev.offset);
	EXPECT_EQ(PAGE, ev.length);
	EXPECT_EQ(5000 * PAGE, ev.wanted);
	EXPECT_EQ(EXTPAGER_ACCESS_READ, ev.access);
	ASSERT_TRUE(crowd_waits(c, 1, SOON));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_TRUE(c->access[0].right);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	crowd_free(c);
}

TEST_F(pagein, a_store_asks_for_write_access)
{
	struct crowd *c = crowd_new(self->fd, BYTES, 7, 1);
	struct extpager_event ev;

	BEHAVIOURS(12);
	c->access[0].offset = 3 * PAGE;
	c->access[0].how = BY_STORE;
	crowd_start(c);
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(3 * PAGE, ev.offset);
	EXPECT_EQ(PAGE, ev.length);
	EXPECT_TRUE(ev.access & EXTPAGER_ACCESS_WRITE);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_TRUE(c->access[0].right);
	crowd_free(c);
}

/* 32 threads on page @index: touches, stores and reads, and one that splices. */
static struct crowd *mixed_crowd(int fd, uint64_t bytes, uint64_t seed, uint64_t index)
{
	struct crowd *c = crowd_new(fd, bytes, seed, 32);
	unsigned int i;

	/* For the reads: just this page. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	for (i = 0; i < c->nr; i++) {
		c->access[i].offset = index * PAGE;
		c->access[i].how = i % 4 == 0 ? BY_READ : i % 4 == 1 ? BY_STORE : BY_TOUCH;
	}
	c->access[4].how = BY_SPLICE;
	return c;
}

TEST_F(pagein, a_crowd_on_one_page_makes_one_request)
{
	struct crowd *c = mixed_crowd(self->fd, BYTES, 9, 77);
	struct extpager_event ev;

	BEHAVIOURS(13);
	crowd_start(c);
	ASSERT_TRUE(crowd_waits(c, 32, SOON));
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(77 * PAGE, ev.offset);
	EXPECT_EQ(PAGE, ev.length);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	EXPECT_EQ(0, crowd_ended(c));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 9));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(32, crowd_right(c));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	crowd_free(c);
}

/* Every member was told @error, and where. */
static unsigned int crowd_failed(const struct crowd *c, int error)
{
	unsigned int i, n = 0;

	for (i = 0; i < c->nr; i++) {
		const struct access *a = &c->access[i];

		if (a->how == BY_READ || a->how == BY_SPLICE)
			n += a->error == error;
		else
			n += a->error == -BUS_ADRERR && a->where == a->offset;
	}
	return n;
}

TEST_F(pagein, a_crowd_on_one_page_shares_one_failure)
{
	struct crowd *c = mixed_crowd(self->fd, BYTES, 9, 78);
	struct extpager_event ev;

	BEHAVIOURS(13);
	crowd_start(c);
	ASSERT_TRUE(crowd_waits(c, 32, SOON));
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_EQ(0, pager_error(&self->p, &ev, ev.offset, ev.length, ENODATA));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(32, crowd_failed(c, ENODATA));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	crowd_free(c);

	/* Who comes later asks anew. */
	c = crowd_new(self->fd, BYTES, 9, 1);
	c->access[0].offset = 78 * PAGE;
	crowd_start(c);
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 9));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(1, crowd_right(c));
	crowd_free(c);
}

static bool asks_for(const struct extpager_event *ev, uint64_t index)
{
	return ev->offset <= index * PAGE && ev->offset + ev->length > index * PAGE;
}

static void silent_pager(struct __test_metadata *_metadata, int advice, int file_advice)
{
	unsigned int deadline = on_debug_kernel() ? 4000 : 1500, requests = 1, wanted, i;
	struct target_options o = { .bytes = MIB, .page_in_ms = deadline };
	struct extpager_event ev;
	struct crowd *c;
	struct pager p;
	uint64_t asked;
	int fd;

	target_gone("silent");
	ASSERT_EQ(0, target_add("silent", &o));
	ASSERT_EQ(0, pager_open(&p, 1, 0));
	ASSERT_EQ(0, pager_attach(&p, "silent", NULL, NULL));
	fd = target_open("silent", O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(object_ready(&p, NULL));
	c = mixed_crowd(fd, MIB, 9, 11);
	c->advice = advice;
	posix_fadvise(fd, 0, 0, file_advice);
	crowd_start(c);
	ASSERT_TRUE(next_request(&p, &ev));
	asked = now_ms();
	ASSERT_TRUE(crowd_waits(c, 32, deadline / 2));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(32, crowd_failed(c, EIO));
	for (i = 0; i < 32; i++) {
		EXPECT_LE(c->access[i].end_ms, asked + deadline * 3 / 2);
		/* It was asked up to a little before it was read. */
		EXPECT_GE(c->access[i].end_ms, asked + deadline / 2);
	}
	EXPECT_EQ(-ENOENT, pager_supply(&p, &ev, 9));
	/* What was asked for around the page came in any order. */
	for (wanted = asks_for(&ev, 11); pager_event(&p, &ev, QUIET); requests++) {
		EXPECT_EQ(EXTPAGER_EV_DATA_REQUEST, ev.op);
		wanted += asks_for(&ev, 11);
	}
	EXPECT_EQ(1, wanted);
	if (advice == MADV_RANDOM)
		EXPECT_EQ(1, requests);
	EXPECT_TRUE(WAIT_FOR(SOON,
			     target_stat("silent", EXTPAGER_A_STATS_TIMEOUTS) == requests));
	crowd_free(c);
	close(fd);
	EXPECT_TRUE(target_gone("silent"));
	pager_close(&p);
}

TEST(silent_pager_fails_a_crowd_in_one_deadline)
{
	BEHAVIOURS(13);
	silent_pager(_metadata, MADV_RANDOM, POSIX_FADV_RANDOM);
}

/* Readahead asks for more, and tells nobody what came of it. */
TEST(silent_pager_fails_a_crowd_that_reads_ahead_in_one_deadline)
{
	BEHAVIOURS(13);
	silent_pager(_metadata, MADV_NORMAL, POSIX_FADV_NORMAL);
}

/* ---- many pages ---- */

#define MANY 257		/* more than a ring holds by default */

static void shuffle(unsigned int *order, unsigned int nr, uint64_t *random)
{
	unsigned int i, j, swap;

	for (i = nr - 1; i > 0; i--) {
		j = test_random(random) % (i + 1);
		swap = order[i];
		order[i] = order[j];
		order[j] = swap;
	}
}

TEST_F_TIMEOUT(pagein, outstanding_faults_are_answered_in_any_order, 110)
{
	uint64_t random = test_seed(14);
	struct extpager_event ev[MANY];
	unsigned int order[MANY];
	unsigned int round, i;

	BEHAVIOURS(14);
	for (round = 0; round < 3; round++) {
		struct crowd *c = crowd_new(self->fd, BYTES, 14 + round, MANY);
		uint64_t first = 1000 * round;
		bool seen[3 * MANY] = { };

		for (i = 0; i < MANY; i++)
			c->access[i].offset = (first + 3 * i) * PAGE;
		crowd_start(c);
		/* The ring is full and one is left: all ask. To look at each takes its time. */
		ASSERT_TRUE(WAIT_FOR(SOON, self->p.queue[0].kernel->flags & EXTPAGER_KF_BACKLOG));
		ASSERT_TRUE(crowd_waits(c, MANY, SOON));
		for (i = 0; i < MANY; i++) {
			uint64_t page;

			ASSERT_TRUE(next_request(&self->p, &ev[i]));
			ASSERT_EQ(PAGE, ev[i].length);
			ASSERT_EQ(ev[i].offset, ev[i].wanted);
			page = ev[i].offset / PAGE - first;
			ASSERT_GT(3 * MANY, page);
			ASSERT_EQ(0, page % 3);
			ASSERT_FALSE(seen[page]);
			seen[page] = true;
			order[i] = round == 1 ? MANY - 1 - i : i;
		}
		ASSERT_TRUE(pager_silent(&self->p, QUIET));
		if (round == 2)
			shuffle(order, MANY, &random);
		for (i = 0; i < MANY; i++)
			ASSERT_EQ(0, pager_supply(&self->p, &ev[order[i]], 14 + round));
		EXPECT_EQ(0, crowd_join(c, SOON));
		EXPECT_EQ(MANY, crowd_right(c));
		crowd_free(c);
	}
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

TEST_F(pagein, one_supply_wakes_all_its_waiters)
{
	struct crowd *c = crowd_new(self->fd, BYTES, 19, 32);
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(19);
	ASSERT_EQ(0, prefetch(self->fd, 64, 32));
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(64 * PAGE, ev.offset);
	EXPECT_EQ(32 * PAGE, ev.length);
	for (i = 0; i < 32; i++)
		c->access[i].offset = (64 + i) * PAGE;
	crowd_start(c);
	ASSERT_TRUE(crowd_waits(c, 32, SOON));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 19));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(32, crowd_right(c));
	crowd_free(c);
}

TEST_F(pagein, one_push_wakes_the_waiters_of_many_requests)
{
	struct crowd *c = crowd_new(self->fd, BYTES, 19, 16);
	struct extpager_event ev;
	unsigned int i;
	uint32_t done;

	BEHAVIOURS(19);
	for (i = 0; i < 16; i++)
		c->access[i].offset = (200 + i) * PAGE;
	crowd_start(c);
	ASSERT_TRUE(crowd_waits(c, 16, SOON));
	ASSERT_EQ(0, pager_push(&self->p, self->object, self->generation, 19, 200 * PAGE,
				16 * PAGE, &done));
	EXPECT_EQ(16 * PAGE, done);
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(16, crowd_right(c));
	/* The requests have been answered: nothing is left of them but their events. */
	for (i = 0; i < 16; i++) {
		ASSERT_TRUE(next_request(&self->p, &ev));
		EXPECT_EQ(-ENOENT, pager_supply(&self->p, &ev, 666));
	}
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	for (i = 0; i < 16; i++)
		EXPECT_TRUE(page_is(self->map + (200 + i) * PAGE, 19, 200 + i));
	crowd_free(c);
}

TEST_F(pagein, parts_of_an_answer_wake_progressively)
{
	struct crowd *c = crowd_new(self->fd, BYTES, 20, 32);
	uint64_t random = test_seed(19);
	struct extpager_event ev;
	unsigned int order[32];
	unsigned int i;

	BEHAVIOURS(19);
	ASSERT_EQ(0, prefetch(self->fd, 300, 32));
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_EQ(32 * PAGE, ev.length);
	for (i = 0; i < 32; i++) {
		order[i] = i;
		c->access[i].offset = (300 + i) * PAGE;
	}
	shuffle(order, 32, &random);
	crowd_start(c);
	ASSERT_TRUE(crowd_waits(c, 32, SOON));
	for (i = 0; i < 32; i++) {
		uint64_t offset = (300 + order[i]) * PAGE;

		ASSERT_EQ(0, pager_supply_part(&self->p, &ev, 20, offset, PAGE));
		ASSERT_TRUE(WAIT_FOR(SOON, c->access[order[i]].ended));
		ASSERT_EQ(i + 1, crowd_ended(c));
		ASSERT_EQ(i + 1, crowd_right(c));
	}
	EXPECT_EQ(0, crowd_join(c, SOON));
	/* All of it was answered. */
	EXPECT_EQ(-ENOENT, pager_supply(&self->p, &ev, 20));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	crowd_free(c);
}

/* ---- pages nobody asked for ---- */

TEST_F(pagein, pushed_pages_are_not_asked_for)
{
	struct crowd *c = crowd_new(self->fd, BYTES, 15, 48);
	unsigned int i;
	uint32_t done;

	BEHAVIOURS(15);
	ASSERT_EQ(0, pager_push(&self->p, self->object, self->generation, 15, 100 * PAGE,
				16 * PAGE, &done));
	EXPECT_EQ(16 * PAGE, done);
	posix_fadvise(self->fd, 0, 0, POSIX_FADV_RANDOM);
	for (i = 0; i < 48; i++) {
		c->access[i].offset = (100 + i % 16) * PAGE;
		c->access[i].how = i < 16 ? BY_TOUCH : i < 32 ? BY_READ : BY_STORE;
	}
	crowd_start(c);
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(48, crowd_right(c));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	crowd_free(c);
}

TEST_F(pagein, push_overtakes_an_unread_request)
{
	struct crowd *c = crowd_new(self->fd, BYTES, 16, 1);
	struct extpager_event ev;
	uint32_t done;

	BEHAVIOURS(16);
	c->access[0].offset = 9 * PAGE;
	crowd_start(c);
	ASSERT_TRUE(crowd_waits(c, 1, SOON));
	ASSERT_EQ(0, pager_push(&self->p, self->object, self->generation, 16, 9 * PAGE, PAGE,
				&done));
	EXPECT_EQ(PAGE, done);
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(1, crowd_right(c));
	/* Only now is the event read; the answer comes too late and harms nothing. */
	if (pager_event(&self->p, &ev, QUIET)) {
		EXPECT_EQ(EXTPAGER_EV_DATA_REQUEST, ev.op);
		EXPECT_EQ(-ENOENT, pager_supply(&self->p, &ev, 666));
		EXPECT_EQ(-ENOENT, pager_error(&self->p, &ev, ev.offset, ev.length, EIO));
	}
	EXPECT_TRUE(page_is(self->map + 9 * PAGE, 16, 9));
	crowd_free(c);
}

TEST_F(pagein, push_into_an_unread_range_wakes_its_waiter_only)
{
	struct crowd *c = crowd_new(self->fd, BYTES, 16, 2);
	struct extpager_event ev;
	unsigned int i;
	uint32_t done;

	BEHAVIOURS(16);
	ASSERT_EQ(0, prefetch(self->fd, 32, 8));
	c->access[0].offset = 33 * PAGE;
	c->access[1].offset = 38 * PAGE;
	crowd_start(c);
	ASSERT_TRUE(crowd_waits(c, 2, SOON));
	ASSERT_EQ(0, pager_push(&self->p, self->object, self->generation, 16, 33 * PAGE, PAGE,
				&done));
	EXPECT_EQ(PAGE, done);
	ASSERT_TRUE(WAIT_FOR(SOON, c->access[0].ended));
	EXPECT_TRUE(c->access[0].right);
	EXPECT_FALSE(c->access[1].ended);
	/* The rest is still to be answered, and what was pushed stays. */
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(8 * PAGE, ev.length);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 17));
	EXPECT_EQ(0, crowd_join(c, SOON));
	for (i = 32; i < 40; i++)
		EXPECT_TRUE(page_is(self->map + i * PAGE, i == 33 ? 16 : 17, i));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	crowd_free(c);
}

TEST_F(pagein, push_leaves_resident_pages_alone)
{
	unsigned int i;
	uint32_t done;

	BEHAVIOURS(17);
	ASSERT_EQ(0, pager_push(&self->p, self->object, self->generation, 1, 4 * PAGE, 4 * PAGE,
				&done));
	EXPECT_EQ(4 * PAGE, done);
	ASSERT_EQ(0, pager_push(&self->p, self->object, self->generation, 2, 0, 16 * PAGE, &done));
	EXPECT_EQ(12 * PAGE, done);
	for (i = 0; i < 16; i++)
		EXPECT_TRUE(page_is(self->map + i * PAGE, i >= 4 && i < 8 ? 1 : 2, i));
	/* A run that ends on a page that is there did some good all the same. */
	ASSERT_EQ(0, pager_push(&self->p, self->object, self->generation, 3, 30 * PAGE, PAGE,
				&done));
	ASSERT_EQ(0, pager_push(&self->p, self->object, self->generation, 4, 29 * PAGE, 2 * PAGE,
				&done));
	EXPECT_EQ(PAGE, done);
	EXPECT_EQ(-EEXIST, pager_push(&self->p, self->object, self->generation, 5, 0, 16 * PAGE,
				      &done));
	EXPECT_EQ(0, done);
	EXPECT_TRUE(page_is(self->map + 29 * PAGE, 4, 29));
	EXPECT_TRUE(page_is(self->map + 30 * PAGE, 3, 30));
	EXPECT_TRUE(page_is(self->map, 2, 0));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

TEST_F(pagein, old_bytes_never_replace_dirty_ones)
{
	struct io io = { self->fd, 50 * PAGE, PAGE, 18 };
	struct io inside = { self->fd, 70 * PAGE, PAGE, 18 };
	struct crowd *c = crowd_new(self->fd, BYTES, 1, 1);
	struct extpager_event ev;
	struct client client;
	uint32_t done;

	BEHAVIOURS(18);
	/* Written as a whole, never asked for. */
	client = client_start(write_pages, &io);
	EXPECT_EQ(0, client_result(&client, SOON));
	EXPECT_EQ(-EEXIST, pager_push(&self->p, self->object, self->generation, 1, 50 * PAGE,
				      PAGE, &done));
	EXPECT_EQ(0, done);
	EXPECT_TRUE(page_is(self->map + 50 * PAGE, 18, 50));

	/* Written while it was being asked for: the write comes after the supply. */
	ASSERT_EQ(0, prefetch(self->fd, 64, 32));
	ASSERT_TRUE(next_request(&self->p, &ev));
	client = client_start(write_pages, &inside);
	c->access[0].offset = 71 * PAGE;
	crowd_start(c);
	ASSERT_TRUE(crowd_waits(c, 1, SOON));
	ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(client.pid) == 1));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 1));
	EXPECT_EQ(0, client_result(&client, SOON));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(1, crowd_right(c));
	EXPECT_TRUE(page_is(self->map + 70 * PAGE, 18, 70));
	EXPECT_EQ(-ENOENT, pager_supply(&self->p, &ev, 1));
	EXPECT_EQ(-EEXIST, pager_push(&self->p, self->object, self->generation, 1, 70 * PAGE,
				      PAGE, &done));
	EXPECT_TRUE(page_is(self->map + 70 * PAGE, 18, 70));
	crowd_free(c);
}

/* ---- ranges ---- */

TEST_F(pagein, a_resident_page_splits_a_request)
{
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(21);
	ASSERT_EQ(0, pager_push(&self->p, self->object, self->generation, 1, 10 * PAGE, PAGE,
				NULL));
	ASSERT_EQ(0, prefetch(self->fd, 0, 20));
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(0, ev.offset);
	EXPECT_EQ(10 * PAGE, ev.length);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 2));
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(11 * PAGE, ev.offset);
	EXPECT_EQ(9 * PAGE, ev.length);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 2));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	for (i = 0; i < 20; i++)
		EXPECT_TRUE(page_is(self->map + i * PAGE, i == 10 ? 1 : 2, i));
}

TEST_F(pagein, overlapping_ranges_ask_for_each_page_once)
{
	static const struct { uint64_t index, nr; } range[] = {
		{ 16, 32 }, { 0, 32 }, { 32, 32 }, { 0, 80 }, { 8, 40 },
	};
	struct crowd *c = crowd_new(self->fd, BYTES, 22, 80);
	struct extpager_event ev[80];
	unsigned int asked[80] = { }, i, nr = 0;
	uint64_t page;

	BEHAVIOURS(22);
	for (i = 0; i < ARRAY_SIZE(range); i++)
		ASSERT_EQ(0, prefetch(self->fd, range[i].index, range[i].nr));
	for (i = 0; i < 80; i++)
		c->access[i].offset = i * PAGE;
	crowd_start(c);
	ASSERT_TRUE(crowd_waits(c, 80, SOON));
	while (nr < 80 && pager_event(&self->p, &ev[nr], QUIET)) {
		ASSERT_EQ(EXTPAGER_EV_DATA_REQUEST, ev[nr].op);
		ASSERT_GE(80 * PAGE, ev[nr].offset + ev[nr].length);
		for (page = 0; page < ev[nr].length / PAGE; page++)
			asked[ev[nr].offset / PAGE + page]++;
		nr++;
	}
	EXPECT_EQ(4, nr);
	for (i = 0; i < 80; i++)
		EXPECT_EQ(1, asked[i]);
	while (nr--)
		EXPECT_EQ(0, pager_supply(&self->p, &ev[nr], 22));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(80, crowd_right(c));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	crowd_free(c);
}

/* Bytes [0, length) by one pread(), and by mapping up to the end of the last page. */
static int check_object(void *arg)
{
	struct io *io = arg;
	size_t pages = (io->length + PAGE - 1) / PAGE, tail = pages * PAGE - io->length;
	uint8_t *want = calloc(pages, PAGE), *buf = malloc(pages * PAGE);
	uint8_t *map = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, io->fd, 0);
	size_t i;

	if (!want || !buf || map == MAP_FAILED)
		return 2;
	for (i = 0; i < pages; i++)
		fill_page(want + i * PAGE, io->seed, i);
	memset(want + io->length, 0, tail);
	if (memcmp(map, want, pages * PAGE))
		return 3;
	if (pread(io->fd, buf, pages * PAGE, 0) != (ssize_t)io->length)
		return 4;
	if (memcmp(buf, want, io->length))
		return 5;
	return pread(io->fd, buf, PAGE, io->length) ? 6 : 0;
}

/* Runs of odd lengths, with the last page ending after @tail bytes if that is not 0. */
static void odd_runs(struct __test_metadata *_metadata, struct pager *p, unsigned int tail)
{
	static const unsigned int run[] = { 2, 3, 5, 7, 37, 13, 23 };
	struct io io = { .length = 90 * PAGE - (tail ? PAGE - tail : 0), .seed = 20 + tail };
	struct extpager_event ev;
	struct client client;
	uint64_t index = 0;
	unsigned int i;
	void *map;

	io.fd = pager_create(p, io.length, 0, NULL);
	ASSERT_LE(0, io.fd);
	map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, io.fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_TRUE(object_ready(p, NULL));
	for (i = 0; i < ARRAY_SIZE(run); i++) {
		uint64_t offset = index * PAGE, length = run[i] * PAGE, at, part;

		if (offset + length > io.length)
			length = io.length - offset;
		ASSERT_EQ(0, prefetch(io.fd, index, run[i]));
		ASSERT_TRUE(next_request(p, &ev));
		EXPECT_EQ(offset, ev.offset);
		EXPECT_EQ(length, ev.length);
		/* One at a time, two, three, ... */
		for (at = offset; at < offset + length; at += part) {
			part = (1 + i) * PAGE;
			if (part > offset + length - at)
				part = offset + length - at;
			ASSERT_EQ(0, pager_supply_part(p, &ev, io.seed, at, part));
		}
		EXPECT_EQ(-ENOENT, pager_supply(p, &ev, 666));
		index += run[i];
	}
	client = client_start(check_object, &io);
	EXPECT_EQ(0, client_result(&client, SOON));
	EXPECT_TRUE(pager_silent(p, QUIET));
	munmap(map, PAGE);
	close(io.fd);
	ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_TERMINATE, &ev, SOON));
}

TEST_F(pagein, odd_lengths_and_offsets_land)
{
	BEHAVIOURS(20, 28);
	odd_runs(_metadata, &self->p, 0);
	odd_runs(_metadata, &self->p, 1);
	odd_runs(_metadata, &self->p, 123);
	odd_runs(_metadata, &self->p, 4095);
}

/* ---- zeros, and the end ---- */

static int page_resident(const uint8_t *map, uint64_t index)
{
	unsigned char here = 2;

	return mincore((void *)(map + index * PAGE), PAGE, &here) ? -1 : here & 1;
}

static int zero_by_touch(void *arg)
{
	struct io *io = arg;
	uint8_t *map = mmap(NULL, io->length, PROT_READ, MAP_SHARED, io->fd, io->offset);
	size_t i;

	for (i = 0; i < io->length; i += PAGE)
		if (!page_is_zero(map + i))
			return 1;
	return 0;
}

TEST_F(pagein, zeros_need_no_bytes_and_are_resident)
{
	struct io io = { self->fd, 40 * PAGE, 8 * PAGE, 0 };
	struct extpager_event ev;
	struct client client;
	unsigned int i;

	BEHAVIOURS(23);
	for (i = 40; i < 48; i++)
		EXPECT_EQ(0, page_resident(self->map, i));
	ASSERT_EQ(0, prefetch(self->fd, 40, 8));
	client = client_start(zero_by_touch, &io);
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(8 * PAGE, ev.length);
	ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(client.pid) == 1));
	ASSERT_EQ(0, pager_supply_zero(&self->p, &ev));
	EXPECT_EQ(0, client_result(&client, SOON));
	for (i = 40; i < 48; i++)
		EXPECT_EQ(1, page_resident(self->map, i));
	client = client_start(zero_by_touch, &io);
	EXPECT_EQ(0, client_result(&client, SOON));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	EXPECT_EQ(-EEXIST, pager_push(&self->p, self->object, self->generation, 1, 40 * PAGE,
				      8 * PAGE, NULL));
	EXPECT_TRUE(page_is_zero(self->map + 44 * PAGE));
}

TEST_F(pagein, what_lies_beyond_the_end_reads_as_zeros)
{
	static const struct { bool push; size_t length; } way[] = {
		{ false, PAGE }, { false, 100 }, { true, PAGE }, { true, 100 },
	};
	struct extpager_event ev;
	struct client client;
	unsigned int i;

	BEHAVIOURS(28);
	for (i = 0; i < ARRAY_SIZE(way); i++) {
		struct io io = { .length = 100, .seed = 28 };
		uint32_t generation, done;
		uint64_t object;
		void *map;

		io.fd = pager_create(&self->p, 100, 0, &object);
		ASSERT_LE(0, io.fd);
		map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, io.fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		ASSERT_TRUE(object_ready(&self->p, &generation));
		/* The pager's buffer goes on with anything but zeros. */
		if (way[i].push) {
			ASSERT_EQ(0, pager_push(&self->p, object, generation, 28, 0,
						way[i].length, &done));
			EXPECT_EQ(100, done);
			client = client_start(check_object, &io);
		} else {
			client = client_start(check_object, &io);
			ASSERT_TRUE(next_request(&self->p, &ev));
			EXPECT_EQ(0, ev.offset);
			EXPECT_EQ(100, ev.length);
			ASSERT_EQ(0, pager_supply_part(&self->p, &ev, 28, 0, way[i].length));
		}
		EXPECT_EQ(0, client_result(&client, SOON));
		EXPECT_TRUE(pager_silent(&self->p, QUIET));
		munmap(map, PAGE);
		close(io.fd);
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_TERMINATE, &ev, SOON));
	}
}

/* ---- other ways in ---- */

static int read_across(void *arg)
{
	struct io *io = arg;
	uint8_t want[PAGE * 4], got[PAGE * 4];
	uint64_t i;

	for (i = 0; i < 4; i++)
		fill_page(want + i * PAGE, io->seed, io->offset / PAGE + i);
	if (pread(io->fd, got, io->length, io->offset) != (ssize_t)io->length)
		return 1;
	return memcmp(got, want + io->offset % PAGE, io->length) ? 2 : 0;
}

static int write_across(void *arg)
{
	struct io *io = arg;
	uint8_t ones[3 * PAGE];

	memset(ones, 0x11, sizeof(ones));
	return pwrite(io->fd, ones, io->length, io->offset) != (ssize_t)io->length;
}

TEST_F(pagein, read_and_write_bring_in_what_they_need)
{
	struct io in = { self->fd, 100 * PAGE + 123, 3 * PAGE, 29 };
	struct io out = { self->fd, 200 * PAGE + 50, 2 * PAGE, 29 };
	struct extpager_event ev;
	struct client client;
	uint8_t want[3 * PAGE];
	unsigned int i;

	BEHAVIOURS(29);
	posix_fadvise(self->fd, 0, 0, POSIX_FADV_RANDOM);
	client = client_start(read_across, &in);
	for (i = 100; i < 104; i++) {
		ASSERT_TRUE(next_request(&self->p, &ev));
		EXPECT_EQ(i * PAGE, ev.offset);
		EXPECT_EQ(PAGE, ev.length);
		EXPECT_EQ(i * PAGE, ev.wanted);
		EXPECT_EQ(EXTPAGER_ACCESS_READ, ev.access);
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 29));
	}
	EXPECT_EQ(0, client_result(&client, SOON));

	/* Only the pages at both ends are merged with what was there. */
	client = client_start(write_across, &out);
	for (i = 200; i <= 202; i += 2) {
		ASSERT_TRUE(next_request(&self->p, &ev));
		EXPECT_EQ(i * PAGE, ev.offset);
		EXPECT_EQ(PAGE, ev.length);
		EXPECT_TRUE(ev.access & EXTPAGER_ACCESS_WRITE);
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 29));
	}
	EXPECT_EQ(0, client_result(&client, SOON));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	for (i = 0; i < 3; i++)
		fill_page(want + i * PAGE, 29, 200 + i);
	memset(want + 50, 0x11, 2 * PAGE);
	EXPECT_EQ(0, memcmp(self->map + 200 * PAGE, want, sizeof(want)));
}

/* The mapping itself is the buffer of a write(2) or read(2) of something else. */
static int write_into_pipe(void *arg)
{
	struct borrow *b = arg;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, b->lender->fd, 0);
	uint8_t page[PAGE];
	int pipefd[2];

	if (map == MAP_FAILED || madvise(map, BYTES, MADV_RANDOM) || pipe(pipefd))
		return 1;
	if (write(pipefd[1], map + b->offset, PAGE) != PAGE ||
	    read(pipefd[0], page, PAGE) != PAGE)
		return 2;
	return page_is(page, b->seed, b->offset / PAGE) ? 0 : 3;
}

static int read_into_mapping(void *arg)
{
	struct borrow *b = arg;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->lender->fd, 0);
	uint8_t want[PAGE], data[2000];
	int pipefd[2];

	if (map == MAP_FAILED || madvise(map, BYTES, MADV_RANDOM) || pipe(pipefd))
		return 1;
	memset(data, 'k', sizeof(data));
	if (write(pipefd[1], data, sizeof(data)) != sizeof(data) ||
	    read(pipefd[0], map + b->offset + 100, sizeof(data)) != sizeof(data))
		return 2;
	fill_page(want, b->seed, b->offset / PAGE);
	memcpy(want + 100, data, sizeof(data));
	return memcmp(map + b->offset, want, PAGE) ? 3 : 0;
}

TEST_F(pagein, the_memory_of_others_is_paged_in)
{
	static int (* const way[])(void *) = {
		borrow_readv, borrow_proc_mem, borrow_ptrace, borrow_writev,
		write_into_pipe, read_into_mapping,
	};
	struct client owner, client;
	struct extpager_event ev;
	struct lender *l;
	unsigned int i;

	BEHAVIOURS(29);
	l = lender_start(self->fd, BYTES, &owner);
	ASSERT_NE(NULL, l);
	for (i = 0; i < ARRAY_SIZE(way); i++) {
		struct borrow b = { l, (300 + i) * PAGE, 29 };

		client = client_start(way[i], &b);
		ASSERT_TRUE(next_request(&self->p, &ev));
		EXPECT_EQ(b.offset, ev.offset);
		EXPECT_EQ(PAGE, ev.length);
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 29));
		EXPECT_EQ(0, client_result(&client, SOON)) TH_LOG("way %u", i);
	}
	EXPECT_EQ(0, memcmp(self->map + 303 * PAGE, "borrowed", 8));
	EXPECT_TRUE(page_is(self->map + 304 * PAGE, 29, 304));
	EXPECT_EQ('k', self->map[305 * PAGE + 2099]);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	client_kill(&owner);
}

/* From the mapping to a disk and back to another place, without the disk's cache. */
static int direct_io(void *arg)
{
	struct io *io = arg;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, io->fd, 0);
	int disk = open(DISK, O_RDWR | O_DIRECT);
	unsigned int i;

	if (disk < 0 || map == MAP_FAILED || madvise(map, BYTES, MADV_RANDOM))
		return 1;
	if (pwrite(disk, map + io->offset, io->length, MIB) != (ssize_t)io->length)
		return 2;
	if (pread(disk, map + io->offset + MIB, io->length, MIB) != (ssize_t)io->length)
		return 3;
	for (i = 0; i < io->length / PAGE; i++)
		if (!page_is(map + io->offset + MIB + i * PAGE, io->seed, io->offset / PAGE + i))
			return 4;
	return 0;
}

TEST_F(pagein, direct_io_pins_pages_that_come_in)
{
	struct io io = { self->fd, 400 * PAGE, 5 * PAGE, 29 };
	struct client client;
	unsigned int requests = 0;

	BEHAVIOURS(29);
	ASSERT_TRUE(disk_ready());
	client = client_start(direct_io, &io);
	EXPECT_EQ(0, serve_client(&self->p, &client, 29, &requests));
	EXPECT_EQ(10, requests);
}

TEST_HARNESS_MAIN
