// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large folios that a pager is asked for: as long as it answers for all of one, nobody could
 * tell; and if it answers in parts nobody is to be told otherwise than of single pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/crowd.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/swap.h"

#define NAME	"large"
#define PAGES	512UL
#define BYTES	(PAGES * PAGE)
/* The fourth window of who reads in order is one folio; where there are none, 32. */
#define FIRST	96UL
#define WINDOW	32UL
/* The third one is two of them. */
#define TWO	64UL
#define HALF	(WINDOW / 2)
#define END	(FIRST + WINDOW)

/* Reads in order, as far as it is allowed to. */
struct reader {
	int fd;
	uint64_t pages;
	volatile uint64_t allowed;
};

FIXTURE(large)
{
	struct pager p;
	struct extpager_event init;
	int fd;			/* read-only, as who may store to it gets single pages */
	uint8_t *map;		/* for what is here */
	struct reader *r;
	struct client c;
	bool device;		/* a flaky one was made */
};

static bool attach(FIXTURE_DATA(large) *self)
{
	if (pager_attach(&self->p, NAME, NULL, NULL))
		return false;
	/* Of the test's last object TERMINATE may be there. */
	do {
		if (!pager_event(&self->p, &self->init, SOON))
			return false;
	} while (self->init.op == EXTPAGER_EV_TERMINATE);
	return self->init.op == EXTPAGER_EV_INIT &&
	       !pager_ready(&self->p, &self->init, 0, EXTPAGER_ATTR_MAY_CACHE);
}

static bool begin(FIXTURE_DATA(large) *self, struct target_options *o)
{
	o->bytes = o->bytes ?: BYTES;
	o->policy = "hold";
	if (target_add(NAME, o))
		return false;
	self->fd = target_open(NAME, O_RDONLY | O_NONBLOCK);
	if (self->fd < 0 || !attach(self))
		return false;
	self->map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, self->fd, 0);
	return self->map != MAP_FAILED && !madvise(self->map, BYTES, MADV_RANDOM);
}

#define BEGIN(...) do {									\
	struct target_options __o = { __VA_ARGS__ };					\
											\
	ASSERT_TRUE(begin(self, &__o));							\
} while (0)

FIXTURE_SETUP(large)
{
	ASSERT_EQ(0, pager_open_large(&self->p));
	self->fd = -1;
	self->map = MAP_FAILED;
}

FIXTURE_TEARDOWN(large)
{
	if (self->c.pid > 0)
		client_kill(&self->c);
	if (self->map != MAP_FAILED)
		munmap(self->map, BYTES);
	if (self->fd >= 0)
		close(self->fd);
	pager_close(&self->p);
	if (target_state(NAME))
		EXPECT_TRUE(target_gone(NAME));
	if (self->device)
		EXPECT_TRUE(WAIT_FOR(SOON, flaky_remove()));
}

static int read_in_order(void *arg)
{
	struct reader *r = arg;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, r->fd, 0);
	uint64_t i;

	if (map == MAP_FAILED || madvise(map, BYTES, MADV_SEQUENTIAL))
		return 1;
	for (i = 0; i < r->pages; i++) {
		while (i >= r->allowed)
			test_pause();
		if (!page_is(map + i * PAGE, 7, i))
			return 2;
	}
	return 0;
}

static void start_reader(FIXTURE_DATA(large) *self, uint64_t allowed)
{
	self->r = shared_memory(sizeof(*self->r));
	*self->r = (struct reader){ .fd = self->fd, .pages = PAGES, .allowed = allowed };
	self->c = client_start(read_in_order, self->r);
}

/* The window that begins at @first is asked for; nobody waits for it. */
static bool asked_for_window(FIXTURE_DATA(large) *self, uint64_t first, struct extpager_event *ev)
{
	start_reader(self, first);
	for (;;) {
		if (!next_request(&self->p, ev))
			return false;
		if (ev->offset == first * PAGE)
			return ev->length == WINDOW * PAGE;
		if (pager_supply(&self->p, ev, 7))
			return false;
	}
}

static bool asked_for_large(FIXTURE_DATA(large) *self, struct extpager_event *ev)
{
	return asked_for_window(self, FIRST, ev);
}

static bool all_are(const uint8_t *map, uint64_t first, uint64_t end)
{
	for (; first < end; first++)
		if (!page_is(map + first * PAGE, 7, first))
			return false;
	return true;
}

/* Who wants these two pages, at random, and waits for them. */
static struct crowd *two_wait(FIXTURE_DATA(large) *self, uint64_t one, uint64_t other)
{
	struct crowd *c = crowd_new(self->fd, BYTES, 7, 2);

	c->access[0].offset = one * PAGE;
	c->access[1].offset = other * PAGE;
	crowd_start(c);
	return crowd_waits(c, 2, SOON) ? c : NULL;
}

TEST_F(large, what_is_read_in_order_comes_in_large_folios)
{
	unsigned int requests = 0;

	BEGIN();
	start_reader(self, PAGES);
	EXPECT_EQ(0, serve_client(&self->p, &self->c, 7, &requests));
	EXPECT_EQ(PAGES / WINDOW, requests);
	EXPECT_TRUE(all_are(self->map, 0, PAGES));
	EXPECT_TRUE(some_are_large(self->map, PAGES, PAGES / 2));
	EXPECT_EQ(PAGES, target_stat(NAME, EXTPAGER_A_STATS_PAGES_COPIED));
	EXPECT_EQ(PAGES, target_stat(NAME, EXTPAGER_A_STATS_PAGES_REQUESTED));
}

/* It has not said that it answers for runs. */
TEST_F(large, who_does_not_ask_for_them_gets_single_pages)
{
	unsigned int requests = 0;

	pager_close(&self->p);
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	BEGIN();
	start_reader(self, PAGES);
	EXPECT_EQ(0, serve_client(&self->p, &self->c, 7, &requests));
	EXPECT_TRUE(all_are(self->map, 0, PAGES));
	EXPECT_EQ(0, in_large_folios(self->map, PAGES));
}

/* The first store to each would have it split. */
TEST_F(large, who_may_store_gets_single_pages)
{
	unsigned int requests = 0;
	uint8_t *map;
	int fd;

	BEGIN();
	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	start_reader(self, PAGES);
	EXPECT_EQ(0, serve_client(&self->p, &self->c, 7, &requests));
	EXPECT_TRUE(all_are(self->map, 0, PAGES));
	EXPECT_EQ(0, in_large_folios(self->map, PAGES));
	munmap(map, BYTES);
	close(fd);
}

/* Answer what is asked until all of @c have ended; how often it was, or -1. */
static int serve_crowd(FIXTURE_DATA(large) *self, struct crowd *c, uint64_t bad)
{
	uint64_t end = now_ms() + SOON;
	struct extpager_event ev;
	int requests = 0;

	while (crowd_ended(c) < c->nr) {
		if (now_ms() >= end)
			return -1;
		if (!pager_event(&self->p, &ev, 1))
			continue;
		if (ev.op != EXTPAGER_EV_DATA_REQUEST)
			return -1;
		requests++;
		if (bad && ev.wanted == bad * PAGE ?
		    pager_error(&self->p, &ev, ev.wanted, PAGE, EIO) :
		    pager_supply(&self->p, &ev, 7))
			return -1;
	}
	return crowd_join(c, SOON) ? -1 : requests;
}

/* Of a large folio all pages are answered at once, or are asked for again; of others not. */
static bool asked_again(int requests)
{
	return kernel_version() < 612 ? !requests : requests > 0;
}

TEST_F(large, the_page_that_is_waited_for_may_come_first)
{
	struct extpager_event ev;
	struct crowd *c;

	BEGIN();
	ASSERT_TRUE(asked_for_large(self, &ev));
	c = two_wait(self, FIRST + 5, END - 1);
	ASSERT_NE(NULL, c);
	ASSERT_EQ(0, pager_supply_part(&self->p, &ev, 7, c->access[0].offset, PAGE));
	/* Of a request that was one folio nothing is left. */
	pager_supply(&self->p, &ev, 7);
	EXPECT_TRUE(asked_again(serve_crowd(self, c, 0)));
	EXPECT_EQ(2, crowd_right(c));
	crowd_free(c);
	/* From then on it may answer as it likes. */
	if (kernel_version() < 612)
		return;
	self->r->allowed = FIRST + 1;
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_LE(ev.offset, FIRST * PAGE);
	ASSERT_EQ(0, pager_supply_part(&self->p, &ev, 7, FIRST * PAGE, PAGE));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&self->c, QUIET));
	EXPECT_TRUE(page_is_here(self->fd, FIRST));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	self->r->allowed = PAGES;
	EXPECT_EQ(0, serve_client(&self->p, &self->c, 7, NULL));
	EXPECT_TRUE(all_are(self->map, END, PAGES));
	EXPECT_EQ(0, in_large_folios(self->map + END * PAGE, PAGES - END));
}

/* It has not said how it answers. */
TEST_F(large, what_one_pager_answers_in_parts_the_next_one_may_get)
{
	struct extpager_event ev;

	BEGIN();
	ASSERT_TRUE(asked_for_large(self, &ev));
	ASSERT_EQ(0, pager_supply_part(&self->p, &ev, 7, FIRST * PAGE, PAGE));
	ASSERT_EQ(0, pager_detach(&self->p, ev.object));
	pager_close(&self->p);
	ASSERT_EQ(0, pager_open_large(&self->p));
	ASSERT_TRUE(attach(self));
	self->r->allowed = PAGES;
	EXPECT_EQ(0, serve_client(&self->p, &self->c, 7, NULL));
	EXPECT_TRUE(all_are(self->map, 0, PAGES));
	EXPECT_TRUE(some_are_large(self->map + END * PAGE, PAGES - END, (PAGES - END) / 2));
}

TEST_F(large, what_lies_behind_the_end_is_zeros)
{
	uint64_t i, bytes = 119 * PAGE + 1000;
	uint8_t page[PAGE], *last;

	BEGIN(.bytes = bytes);
	start_reader(self, PAGES);
	self->r->pages = 119;
	EXPECT_EQ(0, serve_client(&self->p, &self->c, 7, NULL));
	EXPECT_TRUE(all_are(self->map, 0, 119));
	last = self->map + 119 * PAGE;
	fill_page(page, 7, 119);
	EXPECT_EQ(0, memcmp(last, page, 1000));
	for (i = 1000; i < PAGE; i++)
		ASSERT_EQ(0, last[i]);
	EXPECT_TRUE(some_are_large(last, 1, 1));
}

TEST_F(large, each_of_several_in_a_request_is_answered_by_itself)
{
	struct extpager_event ev;

	BEGIN();
	ASSERT_TRUE(asked_for_window(self, TWO, &ev));
	ASSERT_EQ(0, pager_supply_part(&self->p, &ev, 7, (TWO + HALF) * PAGE, HALF * PAGE));
	EXPECT_TRUE(page_is_here(self->fd, TWO + HALF));
	EXPECT_FALSE(page_is_here(self->fd, TWO));
	ASSERT_EQ(0, pager_error(&self->p, &ev, TWO * PAGE, HALF * PAGE, EIO));
	EXPECT_EQ(HALF, target_stat(NAME, EXTPAGER_A_STATS_PAGES_FAILED));
	EXPECT_EQ(-ENOENT, pager_supply(&self->p, &ev, 7));
	EXPECT_TRUE(all_are(self->map, TWO + HALF, TWO + WINDOW));
	EXPECT_TRUE(some_are_large(self->map + (TWO + HALF) * PAGE, HALF, HALF));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

/* By write(2): with a mapping for it there would be no large ones. */
TEST_F(large, a_write_makes_one_page_of_it_dirty)
{
	uint8_t page[PAGE];
	int fd;

	BEGIN();
	start_reader(self, PAGES);
	EXPECT_EQ(0, serve_client(&self->p, &self->c, 7, NULL));
	EXPECT_TRUE(all_are(self->map, 0, PAGES));
	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, pwrite(fd, "x", 1, (FIRST + 5) * PAGE + 5));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	fill_page(page, 7, FIRST + 5);
	page[5] = 'x';
	EXPECT_EQ(0, memcmp(self->map + (FIRST + 5) * PAGE, page, PAGE));
	EXPECT_EQ(0, in_large_folios(self->map + (FIRST + 5) * PAGE, 1));
	EXPECT_TRUE(all_are(self->map, 0, FIRST + 5) && all_are(self->map, FIRST + 6, PAGES));
	EXPECT_EQ(PAGES, target_stat(NAME, EXTPAGER_A_STATS_PAGES_REQUESTED));
	close(fd);
}

static int write_there(void *arg)
{
	return pwrite(*(int *)arg, "x", 1, (FIRST + 5) * PAGE + 5) != 1;
}

/* Who has it pinned keeps it, and all of it is read anew. */
TEST_F(large, a_write_to_one_that_is_in_use_asks_for_the_page)
{
	uint8_t page[PAGE];
	struct client writer;
	int fd, pinned;

	BEGIN();
	start_reader(self, PAGES);
	EXPECT_EQ(0, serve_client(&self->p, &self->c, 7, NULL));
	EXPECT_TRUE(all_are(self->map, 0, PAGES));
	ASSERT_TRUE(pin(self->map + (FIRST + 7) * PAGE, &pinned));
	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	writer = client_start(write_there, &fd);
	EXPECT_EQ(0, serve_client(&self->p, &writer, 7, NULL));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	EXPECT_EQ(kernel_version() < 612 ? PAGES : PAGES + 1,
		  target_stat(NAME, EXTPAGER_A_STATS_PAGES_REQUESTED));
	EXPECT_EQ((ssize_t)PAGE, read(pinned, page, PAGE));
	EXPECT_TRUE(page_is(page, 7, FIRST + 7));
	close(pinned);
	close(fd);
}

/* Two threads of it answer for a half each, in any order. */
TEST_F(large, halves_are_both_answered_well)
{
	struct extpager_event ev;
	struct crowd *c;

	BEGIN();
	ASSERT_TRUE(asked_for_large(self, &ev));
	c = two_wait(self, FIRST + 5, END - 1);
	ASSERT_NE(NULL, c);
	EXPECT_EQ(0, pager_supply_part(&self->p, &ev, 7, (FIRST + 16) * PAGE, 16 * PAGE));
	pager_supply_part(&self->p, &ev, 7, FIRST * PAGE, 16 * PAGE);
	EXPECT_TRUE(asked_again(serve_crowd(self, c, 0)));
	EXPECT_EQ(2, crowd_right(c));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_PAGES_FAILED));
	crowd_free(c);
}

TEST_F(large, a_page_that_is_pushed_is_there)
{
	struct extpager_event ev;
	struct crowd *c;
	uint32_t done;

	BEGIN();
	ASSERT_TRUE(asked_for_large(self, &ev));
	c = two_wait(self, FIRST + 5, FIRST + 6);
	ASSERT_NE(NULL, c);
	ASSERT_EQ(0, pager_push(&self->p, ev.object, ev.generation, 7, c->access[0].offset, PAGE,
				&done));
	EXPECT_EQ(PAGE, done);
	ASSERT_TRUE(WAIT_FOR(SOON, c->access[0].ended));
	EXPECT_TRUE(c->access[0].right);
	EXPECT_FALSE(c->access[1].ended);
	pager_supply(&self->p, &ev, 7);
	EXPECT_TRUE(asked_again(serve_crowd(self, c, 0)));
	EXPECT_EQ(2, crowd_right(c));
	crowd_free(c);
}

TEST_F(large, an_error_is_for_its_page_alone)
{
	struct extpager_event ev;
	uint64_t bad = FIRST + 5;
	struct crowd *c;

	BEGIN();
	ASSERT_TRUE(asked_for_large(self, &ev));
	c = two_wait(self, bad, FIRST + 6);
	ASSERT_NE(NULL, c);
	ASSERT_EQ(0, pager_error(&self->p, &ev, bad * PAGE, PAGE, EIO));
	pager_supply(&self->p, &ev, 7);
	EXPECT_TRUE(asked_again(serve_crowd(self, c, bad)));
	EXPECT_EQ(-BUS_ADRERR, c->access[0].error);
	EXPECT_TRUE(c->access[1].right);
	EXPECT_EQ(1, target_stat(NAME, EXTPAGER_A_STATS_PAGES_FAILED));
	crowd_free(c);
}

/* It is not taken for the others, nor for that one yet. */
TEST_F(large, an_error_without_a_tag_is_for_its_page_alone)
{
	struct extpager_event ev, any;
	uint64_t bad = FIRST + 5;
	struct crowd *c;

	BEGIN();
	ASSERT_TRUE(asked_for_large(self, &ev));
	c = two_wait(self, bad, FIRST + 6);
	ASSERT_NE(NULL, c);
	any = ev;
	any.tag = 0;
	ASSERT_EQ(0, pager_error(&self->p, &any, bad * PAGE, PAGE, EIO));
	pager_supply(&self->p, &ev, 7);
	EXPECT_TRUE(asked_again(serve_crowd(self, c, bad)));
	EXPECT_EQ(-BUS_ADRERR, c->access[0].error);
	EXPECT_TRUE(c->access[1].right);
	EXPECT_EQ(1, target_stat(NAME, EXTPAGER_A_STATS_PAGES_FAILED));
	crowd_free(c);
}

/* All of it fails: each who waits is told. */
TEST_F(large, an_error_for_all_is_for_each_page)
{
	struct extpager_event ev;
	struct crowd *c;

	BEGIN();
	ASSERT_TRUE(asked_for_large(self, &ev));
	c = two_wait(self, FIRST, END - 1);
	ASSERT_NE(NULL, c);
	ASSERT_EQ(0, pager_error(&self->p, &ev, ev.offset, ev.length, EIO));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(-BUS_ADRERR, c->access[0].error);
	EXPECT_EQ(-BUS_ADRERR, c->access[1].error);
	EXPECT_EQ(WINDOW, target_stat(NAME, EXTPAGER_A_STATS_PAGES_FAILED));
	crowd_free(c);
}

/* It is told so, and may try again. */
TEST_F(large, a_buffer_that_ends_in_it_supplies_nothing_of_it)
{
	struct extpager_reply re;
	struct extpager_event ev;
	struct crowd *c;
	uint8_t *buf;
	uint64_t i;

	BEGIN();
	ASSERT_TRUE(asked_for_large(self, &ev));
	c = two_wait(self, FIRST + 5, FIRST + 6);
	ASSERT_NE(NULL, c);
	buf = mmap(NULL, WINDOW * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, buf);
	for (i = 0; i < WINDOW; i++)
		fill_page(buf + i * PAGE, 7, FIRST + i);
	ASSERT_EQ(0, mprotect(buf + 5 * PAGE, PAGE, PROT_NONE));
	re = reply_to(&ev, EXTPAGER_RE_SUPPLY);
	re.offset = ev.offset;
	re.length = ev.length;
	re.addr = (uintptr_t)buf;
	EXPECT_EQ(-EFAULT, pager_reply(&self->p, &re));
	EXPECT_EQ(kernel_version() < 612 ? 5 * PAGE : 0, re.out_done);
	EXPECT_EQ(0, crowd_ended(c));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(2, crowd_right(c));
	EXPECT_TRUE(all_are(self->map, FIRST, END));
	EXPECT_TRUE(some_are_large(self->map + FIRST * PAGE, WINDOW, WINDOW));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	munmap(buf, WINDOW * PAGE);
	crowd_free(c);
}

static int punch(void *unused)
{
	int fd = target_open(NAME, O_RDWR | O_NONBLOCK);

	return fd < 0 || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (FIRST + 5) * PAGE, 2 * PAGE);
}

static int hole_is_zero(void *arg)
{
	uint8_t page[PAGE];
	uint64_t i;

	for (i = FIRST + 5; i < FIRST + 7; i++)
		if (pread(*(int *)arg, page, PAGE, i * PAGE) != (ssize_t)PAGE ||
		    !page_is_zero(page))
			return 1;
	return 0;
}

/* The pager's answer comes too late for what is zero, and nobody waits for it. */
TEST_F(large, a_hole_in_what_is_asked_for_is_zeros_at_once)
{
	struct extpager_event ev, zero;
	struct client puncher, reader;
	struct crowd *c;

	BEGIN();
	ASSERT_TRUE(asked_for_large(self, &ev));
	c = two_wait(self, FIRST + 4, FIRST + 7);
	ASSERT_NE(NULL, c);
	puncher = client_start(punch, NULL);
	for (;;) {
		ASSERT_TRUE(pager_event(&self->p, &zero, SOON));
		if (zero.op == EXTPAGER_EV_DATA_RETURN)
			break;
		ASSERT_EQ(0, pager_supply(&self->p, &zero, 7));
	}
	EXPECT_TRUE(zero.flags & EXTPAGER_EVF_ZERO);
	/* Its request came before that, and is answered now. */
	pager_supply(&self->p, &ev, 7);
	ASSERT_LE(0, serve_crowd(self, c, 0));
	EXPECT_EQ(2, crowd_right(c));
	reader = client_start(hole_is_zero, &self->fd);
	EXPECT_EQ(0, client_result(&reader, SOON));
	ASSERT_EQ(0, pager_return_done(&self->p, &zero, 0));
	EXPECT_EQ(0, client_result(&puncher, SOON));
	reader = client_start(hole_is_zero, &self->fd);
	EXPECT_EQ(0, client_result(&reader, SOON));
	crowd_free(c);
}

/* The object's bytes on a device, which is registered; its name, or -errno. */
static int content_at(FIXTURE_DATA(large) *self, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fill_pages(fd, 0, PAGES, 7) ? pager_use(&self->p, fd) : -EIO;
}

/* Pages of the file that is registered, until @c has ended. */
static bool serve_from_file(FIXTURE_DATA(large) *self, struct crowd *c, unsigned int file)
{
	struct extpager_event ev;
	uint64_t end = now_ms() + SOON;

	while (crowd_ended(c) < c->nr && now_ms() < end)
		if (pager_event(&self->p, &ev, 1) &&
		    (ev.op != EXTPAGER_EV_DATA_REQUEST ||
		     pager_supply_file(&self->p, &ev, file, 0)))
			return false;
	return !crowd_join(c, SOON);
}

TEST_F(large, it_is_read_from_a_file_as_a_whole)
{
	struct extpager_event ev;
	struct crowd *c;
	int file;

	PARTIAL(115);
	BEGIN();
	ASSERT_TRUE(disk_ready());
	file = content_at(self, DISK);
	ASSERT_LT(0, file);
	ASSERT_TRUE(asked_for_large(self, &ev));
	c = two_wait(self, FIRST, END - 1);
	ASSERT_NE(NULL, c);
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, file, 0));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(2, crowd_right(c));
	EXPECT_TRUE(all_are(self->map, FIRST, END));
	EXPECT_TRUE(some_are_large(self->map + FIRST * PAGE, WINDOW, WINDOW));
	EXPECT_EQ(WINDOW, target_stat(NAME, EXTPAGER_A_STATS_PAGES_READ));
	crowd_free(c);
}

TEST_F(large, a_bad_block_is_of_one_of_several)
{
	struct extpager_event ev;
	struct crowd *c;
	int file;

	BEGIN();
	self->device = true;
	ASSERT_TRUE(flaky_make(8 * MIB, 0));
	file = content_at(self, FLAKY);
	ASSERT_LT(0, file);
	ASSERT_TRUE(flaky_page_fails(TWO + HALF + 3));
	ASSERT_TRUE(asked_for_window(self, TWO, &ev));
	c = two_wait(self, TWO + HALF + 3, TWO + HALF + 4);
	ASSERT_NE(NULL, c);
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, file, 0));
	ASSERT_TRUE(serve_from_file(self, c, file));
	EXPECT_EQ(-BUS_ADRERR, c->access[0].error);
	EXPECT_TRUE(c->access[1].right);
	crowd_free(c);
	EXPECT_TRUE(all_are(self->map, TWO, TWO + HALF));
	EXPECT_TRUE(some_are_large(self->map + TWO * PAGE, HALF, HALF));
}

TEST_F(large, a_bad_block_is_one_bad_page)
{
	struct extpager_event ev;
	struct crowd *c;
	int file;

	BEGIN();
	self->device = true;
	ASSERT_TRUE(flaky_make(8 * MIB, 0));
	file = content_at(self, FLAKY);
	ASSERT_LT(0, file);
	ASSERT_TRUE(flaky_page_fails(FIRST + 5));
	ASSERT_TRUE(asked_for_large(self, &ev));
	c = two_wait(self, FIRST + 5, FIRST + 6);
	ASSERT_NE(NULL, c);
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, file, 0));
	ASSERT_TRUE(serve_from_file(self, c, file));
	EXPECT_EQ(-BUS_ADRERR, c->access[0].error);
	EXPECT_TRUE(c->access[1].right);
	EXPECT_EQ(1, target_stat(NAME, EXTPAGER_A_STATS_PAGES_FAILED));
	crowd_free(c);
}

/* Then it is a part that is answered. */
TEST_F(large, a_file_that_ends_in_it_supplies_nothing_of_it)
{
	struct extpager_event ev;
	struct crowd *c;
	int file, fd;

	BEGIN();
	fd = memfd_create("short", MFD_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(fill_pages(fd, 0, FIRST + 5, 7));
	file = pager_use(&self->p, fd);
	ASSERT_LT(0, file);
	ASSERT_TRUE(asked_for_large(self, &ev));
	c = two_wait(self, FIRST + 2, FIRST + 6);
	ASSERT_NE(NULL, c);
	pager_supply_file(&self->p, &ev, file, 0);
	pager_supply(&self->p, &ev, 7);
	ASSERT_LE(0, serve_crowd(self, c, 0));
	EXPECT_EQ(2, crowd_right(c));
	crowd_free(c);
}

/* What is handed over waits for the pager no more, and the rest goes on to. */
TEST_F(large, a_part_that_is_handed_over_comes_from_there)
{
	struct extpager_range r = { .offset = (FIRST + 16) * PAGE, .length = 16 * PAGE };
	struct extpager_event ev;
	struct crowd *c;
	int file;

	BEGIN();
	ASSERT_TRUE(disk_ready());
	file = content_at(self, DISK);
	ASSERT_LT(0, file);
	r.file = file;
	r.pos = r.offset;
	ASSERT_TRUE(asked_for_large(self, &ev));
	c = two_wait(self, FIRST + 5, FIRST + 17);
	ASSERT_NE(NULL, c);
	ASSERT_EQ(0, pager_delegate(&self->p, ev.object, ev.generation, 0, &r, 1));
	ASSERT_TRUE(WAIT_FOR(SOON, c->access[1].ended));
	EXPECT_TRUE(c->access[1].right);
	EXPECT_FALSE(c->access[0].ended);
	pager_supply(&self->p, &ev, 7);
	ASSERT_LE(0, serve_crowd(self, c, 0));
	EXPECT_EQ(2, crowd_right(c));
	crowd_free(c);
}

TEST_F(large, a_successor_is_asked_for_it_again)
{
	struct extpager_event ev, again;
	struct crowd *c;

	BEGIN();
	ASSERT_TRUE(asked_for_large(self, &ev));
	c = two_wait(self, FIRST + 5, END - 1);
	ASSERT_NE(NULL, c);
	ASSERT_EQ(0, pager_detach(&self->p, ev.object));
	pager_close(&self->p);
	ASSERT_EQ(0, pager_open_large(&self->p));
	ASSERT_TRUE(attach(self));
	ASSERT_TRUE(next_request(&self->p, &again));
	EXPECT_TRUE(again.flags & EXTPAGER_EVF_RESENT);
	ASSERT_EQ(0, pager_supply(&self->p, &again, 7));
	EXPECT_LE(0, serve_crowd(self, c, 0));
	EXPECT_EQ(2, crowd_right(c));
	crowd_free(c);
}

TEST_F(large, its_deadline_is_for_all_who_wait)
{
	struct extpager_event ev;
	struct crowd *c;

	BEGIN(.page_in_ms = 3000, .page_in_action = EXTPAGER_ACTION_ERROR);
	ASSERT_TRUE(asked_for_large(self, &ev));
	c = two_wait(self, FIRST + 5, END - 1);
	ASSERT_NE(NULL, c);
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(-BUS_ADRERR, c->access[0].error);
	EXPECT_EQ(-BUS_ADRERR, c->access[1].error);
	crowd_free(c);
	EXPECT_EQ(-ENOENT, pager_supply(&self->p, &ev, 7));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	/* And then it is asked anew. */
	c = crowd_new(self->fd, BYTES, 7, 1);
	c->access[0].offset = FIRST * PAGE;
	crowd_start(c);
	EXPECT_EQ(1, serve_crowd(self, c, 0));
	EXPECT_EQ(1, crowd_right(c));
	crowd_free(c);
}

TEST_HARNESS_MAIN
