// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ranges that a pager has handed over: what is missing of them and what becomes dirty is
 * the kernel's business and the device's alone, until they are taken back.
 */
/* vm: swap=64M */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/crowd.h"
#include "support/ext4.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/swap.h"

#define NAME	"delegate"
#define PAGES	512UL
#define BYTES	(PAGES * PAGE)
#define BEGIN	(3 * MIB)	/* where the object begins on its device */
#define SLOW	1500		/* ms that a slow device takes */
#define LONG	30000		/* ms that nobody waits in vain */

FIXTURE(delegate)
{
	struct pager p;
	struct extpager_event init;
	uint64_t object;
	int fd;			/* of the object */
	int disk;		/* a fd of the device, that passes its cache by */
	int file;		/* the device as it is registered */
	bool device;		/* a flaky one was made */
};

static bool attach(struct pager *p, struct extpager_event *init)
{
	if (pager_attach(p, NAME, NULL, NULL))
		return false;
	/* Of the test's last object TERMINATE may be there. */
	do {
		if (!pager_event(p, init, SOON))
			return false;
	} while (init->op == EXTPAGER_EV_TERMINATE);
	return init->op == EXTPAGER_EV_INIT;
}

/* An object whose INIT is not answered yet, and @path, with pages of @seed, registered. */
static bool begin(FIXTURE_DATA(delegate) *self, const char *path, struct target_options *o,
		  uint64_t seed)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	o->bytes = o->bytes ?: BYTES;
	o->policy = o->policy ?: "hold";
	self->disk = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || self->disk < 0 || !fill_pages(fd, BEGIN, PAGES, seed) || target_add(NAME, o))
		return false;
	self->fd = target_open(NAME, (o->read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK);
	if (self->fd < 0 || !attach(&self->p, &self->init))
		return false;
	self->object = self->init.object;
	self->file = pager_use(&self->p, fd);
	return self->file > 0;
}

FIXTURE_SETUP(delegate)
{
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	self->fd = -1;
	self->disk = -1;
}

FIXTURE_TEARDOWN(delegate)
{
	if (self->fd >= 0)
		close(self->fd);
	if (self->disk >= 0)
		close(self->disk);
	pager_close(&self->p);
	if (target_state(NAME))
		EXPECT_TRUE(target_gone(NAME));
	if (self->device)
		EXPECT_TRUE(WAIT_FOR(SOON, flaky_remove()));
}

#define BEGIN_ON_DISK(...) do {								\
	struct target_options __o = { __VA_ARGS__ };					\
											\
	ASSERT_TRUE(disk_ready());							\
	ASSERT_TRUE(begin(self, DISK, &__o, 7));					\
} while (0)

#define BEGIN_ON_FLAKY(delay_ms, ...) do {						\
	struct target_options __o = { __VA_ARGS__ };					\
											\
	self->device = true;								\
	ASSERT_TRUE(flaky_make(8 * MIB, delay_ms));					\
	ASSERT_TRUE(begin(self, FLAKY, &__o, 7));					\
} while (0)

#define STAT(what) target_stat(NAME, EXTPAGER_A_STATS_##what)

/* Pages [index, index + nr), which lie @base pages behind BEGIN. */
static struct extpager_range pages_at(FIXTURE_DATA(delegate) *self, uint64_t index, uint64_t nr,
				      uint64_t base)
{
	return (struct extpager_range){
		.offset = index * PAGE,
		.length = nr * PAGE,
		.pos = BEGIN + base * PAGE,
		.file = self->file,
	};
}

static int hand_over(FIXTURE_DATA(delegate) *self, const struct extpager_range *range,
		     unsigned int nr)
{
	return pager_delegate(&self->p, self->object, self->init.generation, 0, range, nr);
}

static int all_handed_over(FIXTURE_DATA(delegate) *self)
{
	struct extpager_range all = pages_at(self, 0, PAGES, 0);

	return hand_over(self, &all, 1);
}

static int take_back(FIXTURE_DATA(delegate) *self, uint64_t index, uint64_t nr)
{
	struct extpager_range range = { .offset = index * PAGE, .length = nr * PAGE };

	return pager_delegate(&self->p, self->object, self->init.generation,
			      EXTPAGER_DELEGATE_REVOKE, &range, 1);
}

static int ready(FIXTURE_DATA(delegate) *self)
{
	return pager_ready(&self->p, &self->init, 0, EXTPAGER_ATTR_MAY_CACHE);
}

static bool on_disk(FIXTURE_DATA(delegate) *self, uint64_t index, uint64_t base, uint64_t seed)
{
	uint8_t *page = aligned_alloc(PAGE, PAGE);
	bool ok = pread(self->disk, page, PAGE, BEGIN + (base + index) * PAGE) == (ssize_t)PAGE &&
		  page_is(page, seed, index);

	free(page);
	return ok;
}

static bool reads(FIXTURE_DATA(delegate) *self, uint64_t index, uint64_t seed)
{
	uint8_t page[PAGE];

	return pread(self->fd, page, PAGE, index * PAGE) == (ssize_t)PAGE &&
	       page_is(page, seed, index);
}

static bool writes(FIXTURE_DATA(delegate) *self, uint64_t index, uint64_t seed)
{
	uint8_t page[PAGE];

	fill_page(page, seed, index);
	return pwrite(self->fd, page, PAGE, index * PAGE) == (ssize_t)PAGE;
}

/* The disk's statistics: numbers in a row. */
#define READ_IOS	0
#define FLUSH_IOS	15

static long disk_stat(unsigned int which)
{
	FILE *file = fopen("/sys/block/nvme0n1/stat", "r");
	long n = -1;
	unsigned int i;

	if (file) {
		for (i = 0; i <= which; i++)
			if (fscanf(file, "%ld", &n) != 1)
				n = -1;
		fclose(file);
	}
	return n;
}

/* How often the disk was told to make safe what is in its cache. */
static long flushes(void)
{
	return disk_stat(FLUSH_IOS);
}

/* ---- nobody is asked ---- */

TEST_F(delegate, a_range_is_read_and_written_without_its_pager)
{
	uint8_t *map, page[PAGE];
	long before;

	BEHAVIOURS(136);
	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	/* One page alone, a fault with its neighbours, a long read; then a part of a page. */
	ASSERT_EQ(0, madvise(map, BYTES / 2, MADV_RANDOM));
	EXPECT_TRUE(page_is(map + 100 * PAGE, 7, 100));
	EXPECT_FALSE(page_is_here(self->fd, 101));
	EXPECT_TRUE(page_is(map + 300 * PAGE, 7, 300));
	/* The one is woken for before the other is told to be here. */
	EXPECT_TRUE(WAIT_FOR(SOON, page_is_here(self->fd, 301)));
	EXPECT_TRUE(pages_are(self->fd, 300, 2, 7));
	EXPECT_TRUE(reads(self, 10, 7));
	ASSERT_EQ(1, pwrite(self->fd, "x", 1, 200 * PAGE + 5));
	fill_page(map + 101 * PAGE, 9, 101);
	ASSERT_TRUE(writes(self, 400, 9));
	before = flushes();
	ASSERT_LE(0, before);
	ASSERT_EQ(0, fsync(self->fd));
	EXPECT_LT(before, flushes());
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_TRUE(on_disk(self, 101, 0, 9));
	EXPECT_TRUE(on_disk(self, 400, 0, 9));
	fill_page(page, 7, 200);
	page[5] = 'x';
	EXPECT_EQ(0, memcmp(map + 200 * PAGE, page, PAGE));
	EXPECT_EQ(3, STAT(PAGES_WRITTEN));
	EXPECT_EQ(3, STAT(PAGES_RETURNED));
	EXPECT_EQ(0, STAT(DATA_RETURNS));
	EXPECT_LT(32, STAT(PAGES_READ));
	/* And from the device again. */
	munmap(map, BYTES);
	/* One that a CPU has in hand is passed over; the advice has it put down. */
	ASSERT_TRUE(WAIT_FOR(SOON, (posix_fadvise(self->fd, 101 * PAGE, PAGE,
						  POSIX_FADV_DONTNEED),
				    drop_caches(), !page_is_here(self->fd, 101))));
	EXPECT_TRUE(reads(self, 101, 9));
	EXPECT_TRUE(reads(self, 102, 7));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	EXPECT_EQ(0, STAT(DATA_REQUESTS));
	EXPECT_EQ(0, STAT(DATA_RETURNS));
	EXPECT_EQ(0, STAT(SYNCS));
}

TEST_F(delegate, it_outlives_its_pager)
{
	struct target_options o = { .grace_ms = 1, .policy = "fail" };

	PARTIAL(138);
	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	ASSERT_EQ(0, target_set(NAME, &o));
	ASSERT_TRUE(writes(self, 1, 9));
	pager_close(&self->p);
	ASSERT_TRUE(WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_ORPHANED));
	EXPECT_TRUE(reads(self, 50, 7));
	EXPECT_TRUE(writes(self, 2, 9));
	ASSERT_EQ(2, pwrite(self->fd, "xy", 2, 60 * PAGE));
	ASSERT_EQ(0, fsync(self->fd));
	ASSERT_EQ(0, syncfs(self->fd));
	EXPECT_TRUE(on_disk(self, 1, 0, 9));
	EXPECT_TRUE(on_disk(self, 2, 0, 9));
	/* Nor is one needed for the end. */
	EXPECT_TRUE(writes(self, 3, 9));
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, target_del(NAME, false));
	EXPECT_TRUE(WAIT_FOR(SOON, !target_state(NAME)));
	EXPECT_TRUE(on_disk(self, 3, 0, 9));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
}

#define WORKED	32UL		/* pages of a piece of work */

/* What a client did to pages of the range, and what it took. */
struct work {
	int fd;
	uint64_t first;
	long read;		/* requests to the disk */
	uint64_t waits;		/* at the gate */
};

/* Each page by itself, read and touched; half of them are then written. */
static int do_work(void *arg)
{
	struct work *w = arg;
	uint8_t page[PAGE], *map;
	uint64_t i;

	map = mmap(NULL, WORKED * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd,
		   w->first * PAGE);
	if (map == MAP_FAILED || madvise(map, WORKED * PAGE, MADV_RANDOM) ||
	    posix_fadvise(w->fd, 0, 0, POSIX_FADV_RANDOM))
		return 1;
	for (i = 0; i < WORKED; i++) {
		if (i % 2 && pread(w->fd, page, PAGE, (w->first + i) * PAGE) != (ssize_t)PAGE)
			return 2;
		if (!page_is(i % 2 ? page : map + i * PAGE, 7, w->first + i))
			return 3;
		if (i < WORKED / 2)
			fill_page(map + i * PAGE, 9, w->first + i);
	}
	return sync_file_range(w->fd, w->first * PAGE, WORKED * PAGE,
			       SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			       SYNC_FILE_RANGE_WAIT_AFTER) ? 4 : 0;
}

static bool works(FIXTURE_DATA(delegate) *self, uint64_t first, struct work *result)
{
	struct work *w = shared_memory(sizeof(*w));
	uint64_t waits = STAT(GATE_WAITS), i;
	long read = disk_stat(READ_IOS);
	struct client c;
	bool ok;

	w->fd = self->fd;
	w->first = first;
	c = client_start(do_work, w);
	ok = !client_result(&c, SOON);
	client_kill(&c);
	w->read = disk_stat(READ_IOS) - read;
	w->waits = STAT(GATE_WAITS) - waits;
	for (i = first; ok && i < first + WORKED / 2; i++)
		ok = on_disk(self, i, 0, 9);
	*result = *w;
	munmap(w, sizeof(*w));
	return ok;
}

#define HALF	(PAGES / 2)

static int half_handed_over(FIXTURE_DATA(delegate) *self)
{
	struct extpager_range half = pages_at(self, 0, HALF, 0);

	return hand_over(self, &half, 1);
}

/* Another pager, which hands over the same. */
#define SUCCEED() do {									\
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));					\
	ASSERT_TRUE(attach(&self->p, &self->init));					\
	self->file = pager_use(&self->p, open(DISK, O_RDWR | O_CLOEXEC));		\
	ASSERT_LT(0, self->file);							\
	ASSERT_EQ(0, half_handed_over(self));						\
	ASSERT_EQ(0, ready(self));							\
} while (0)

#define DIES() do {									\
	pager_close(&self->p);								\
	ASSERT_TRUE(WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_ORPHANED));	\
} while (0)

/* A fault, a read and a store of what is not delegated. */
static struct crowd *others_begin(FIXTURE_DATA(delegate) *self, uint64_t first)
{
	struct crowd *c = crowd_new(self->fd, BYTES, 8, 3);
	unsigned int i;

	for (i = 0; i < 3; i++)
		c->access[i].offset = (first + i) * PAGE;
	c->access[1].how = BY_READ;
	c->access[2].how = BY_STORE;
	crowd_start(c);
	return c;
}

/* With as many requests to the disk, and nobody at the gate. */
#define AS_FAST(first) do {								\
	struct work __w;								\
											\
	ASSERT_TRUE(works(self, first, &__w));						\
	EXPECT_EQ((long)WORKED, __w.read);						\
	EXPECT_EQ(0, __w.waits);							\
} while (0)

TEST_F(delegate, with_its_pager_dead_it_is_as_fast_and_the_rest_waits_by_policy)
{
	struct extpager_event ev;
	struct crowd *c;
	unsigned int i;

	BEHAVIOURS(138);
	BEGIN_ON_DISK();
	ASSERT_EQ(0, half_handed_over(self));
	ASSERT_EQ(0, ready(self));
	AS_FAST(0);

	/* By policy hold they wait for the next one. */
	DIES();
	c = others_begin(self, 300);
	ASSERT_TRUE(crowd_waits(c, 3, SOON));
	AS_FAST(1 * WORKED);
	EXPECT_EQ(0, crowd_ended(c));
	SUCCEED();
	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(next_request(&self->p, &ev));
		EXPECT_LE(300 * PAGE, ev.offset);
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 8));
	}
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(3, crowd_right(c));
	crowd_free(c);

	/* But not for ever. */
	DIES();
	c = others_begin(self, 310);
	ASSERT_TRUE(crowd_waits(c, 3, SOON));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .grace_ms = 1 }));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(EIO, c->access[1].error);
	EXPECT_EQ(0, crowd_right(c));
	crowd_free(c);
	AS_FAST(2 * WORKED);

	/* By policy fail they do not wait. */
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .policy = "fail",
								.grace_ms = LONG }));
	SUCCEED();
	DIES();
	c = others_begin(self, 320);
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(EIO, c->access[1].error);
	EXPECT_EQ(0, crowd_right(c));
	crowd_free(c);
	AS_FAST(3 * WORKED);

	/* By policy spill they do, but for what is dirty, which is spilled. */
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .policy = "spill" }));
	SUCCEED();
	ASSERT_TRUE(writes(self, 330, 9));
	ASSERT_TRUE(writes(self, 7 * WORKED, 9));
	DIES();
	/* And the page that was stored to. */
	ASSERT_TRUE(WAIT_FOR(SOON, target_spilled(NAME) == 2 * PAGE));
	drop_caches();
	EXPECT_TRUE(reads(self, 330, 9));
	c = others_begin(self, 340);
	ASSERT_TRUE(crowd_waits(c, 3, SOON));
	AS_FAST(4 * WORKED);
	EXPECT_EQ(0, crowd_ended(c));
	crowd_free(c);
	ASSERT_EQ(0, sync_file_range(self->fd, 0, HALF * PAGE, SYNC_FILE_RANGE_WRITE |
				     SYNC_FILE_RANGE_WAIT_AFTER));
	EXPECT_TRUE(on_disk(self, 7 * WORKED, 0, 9));
	EXPECT_EQ(2, STAT(PAGES_SPILLED));
	EXPECT_TRUE(on_disk(self, 330, 0, 7));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
}

/* More dirty pages than the target may have: the device makes room, and no pager. */
static int write_much(void *arg)
{
	FIXTURE_DATA(delegate) *self = arg;
	uint64_t i;

	for (i = 0; i < 4 * PAGES; i++)
		if (!writes(self, i % PAGES, 20 + i / PAGES))
			return 1;
	return fsync(self->fd) ? 2 : 0;
}

TEST_F(delegate, a_full_quota_is_made_emptier_by_the_device)
{
	struct client c;
	uint64_t i;

	BEGIN_ON_DISK(.quota = MIB / 2);
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	pager_close(&self->p);
	ASSERT_TRUE(WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_ORPHANED));
	c = client_start(write_much, self);
	EXPECT_EQ(0, client_result(&c, SOON));
	for (i = 0; i < PAGES; i++)
		ASSERT_TRUE(on_disk(self, i, 0, 23));
	EXPECT_EQ(0, STAT(PAGES_SPILLED));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
}

/* ---- which bytes ---- */

/* What was delegated once, and is no more, is no reason to wait for who is dead. */
TEST_F(delegate, taken_back_it_lets_no_writer_wait_for_a_pager_that_failed)
{
	struct client c;

	BEGIN_ON_DISK(.quota = MIB / 2, .policy = "fail", .return_ms = 10 * LONG);
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	ASSERT_EQ(0, take_back(self, 0, PAGES));
	pager_close(&self->p);
	ASSERT_TRUE(WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_ORPHANED));
	c = client_start(write_much, self);
	EXPECT_EQ(1, client_result(&c, SOON));
	client_kill(&c);
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
}

TEST_F(delegate, each_range_has_its_place)
{
	/* Read forwards, and never where the object's own page would be. */
	struct extpager_range r[] = {
		pages_at(self, 0, 10, 100), pages_at(self, 10, 20, 110),
		pages_at(self, 40, 60, 200), pages_at(self, 100, 28, 0),
	};
	struct extpager_event ev;
	uint8_t page[PAGE];
	unsigned int i, n;

	PARTIAL(136);
	BEGIN_ON_DISK();
	for (i = 0; i < 4; i++)
		r[i].file = self->file;
	ASSERT_EQ(0, hand_over(self, r, 4));
	ASSERT_EQ(0, ready(self));
	/* In two halves, with other pages in the middle. */
	r[0] = pages_at(self, 60, 10, 300);
	ASSERT_EQ(0, hand_over(self, r, 1));
	ASSERT_EQ(0, take_back(self, 5, 3));
	for (i = 0; i < 128; i++) {
		uint64_t at = i < 5 || (i >= 8 && i < 30) ? 100 + i :
			      i >= 60 && i < 70 ? 300 + i - 60 :
			      i >= 40 && i < 100 ? 200 + i - 40 :
			      i >= 100 ? i - 100 : PAGES;

		if (at == PAGES)
			continue;
		ASSERT_EQ((ssize_t)PAGE, pread(self->fd, page, PAGE, i * PAGE));
		ASSERT_TRUE(page_is(page, 7, at)) { TH_LOG("page %u", i); }
	}
	/* Readahead went on into what is the pager's: just that is asked for. */
	n = 0;
	while (pager_event(&self->p, &ev, QUIET)) {
		ASSERT_EQ(EXTPAGER_EV_DATA_REQUEST, ev.op);
		for (i = ev.offset / PAGE; i < (ev.offset + ev.length) / PAGE; i++)
			EXPECT_TRUE((i >= 5 && i < 8) || (i >= 30 && i < 40) || i >= 128);
		n++;
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	}
	/* Written, they go where they came from. */
	fill_page(page, 9, 0);
	ASSERT_EQ((ssize_t)PAGE, pwrite(self->fd, page, PAGE, 62 * PAGE));
	ASSERT_EQ((ssize_t)PAGE, pwrite(self->fd, page, PAGE, 99 * PAGE));
	ASSERT_EQ(0, fsync(self->fd));
	ASSERT_EQ((ssize_t)PAGE, pread(self->disk, self->p.buffer, PAGE, BEGIN + 302 * PAGE));
	EXPECT_EQ(0, memcmp(self->p.buffer, page, PAGE));
	ASSERT_EQ((ssize_t)PAGE, pread(self->disk, self->p.buffer, PAGE, BEGIN + 259 * PAGE));
	EXPECT_EQ(0, memcmp(self->p.buffer, page, PAGE));
	ASSERT_EQ((ssize_t)PAGE, pread(self->disk, self->p.buffer, PAGE, BEGIN + 303 * PAGE));
	EXPECT_TRUE(page_is(self->p.buffer, 7, 303));
}

TEST_F(delegate, the_last_page_ends_in_zeros_and_what_lies_behind_it_stays)
{
	uint64_t bytes = 5 * PAGE + 1024;
	struct extpager_range r;
	uint8_t *map, page[PAGE];

	BEGIN_ON_DISK(.bytes = bytes);
	r = pages_at(self, 0, 6, 0);
	r.length = bytes;
	ASSERT_EQ(0, hand_over(self, &r, 1));
	ASSERT_EQ(0, ready(self));
	map = mmap(NULL, 6 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	fill_page(page, 7, 5);
	EXPECT_EQ(0, memcmp(map + 5 * PAGE, page, 1024));
	EXPECT_TRUE(!map[5 * PAGE + 1024] && !memcmp(map + 5 * PAGE + 1024,
						     map + 5 * PAGE + 1025, PAGE - 1025));
	memset(map + 5 * PAGE, 0x55, PAGE);
	ASSERT_EQ(0, msync(map, 6 * PAGE, MS_SYNC));
	ASSERT_EQ((ssize_t)PAGE, pread(self->disk, self->p.buffer, PAGE, BEGIN + 5 * PAGE));
	EXPECT_EQ(0, memcmp(self->p.buffer, map + 5 * PAGE, 1024));
	EXPECT_EQ(0, memcmp((uint8_t *)self->p.buffer + 1024, page + 1024, PAGE - 1024));
	munmap(map, 6 * PAGE);
}

/* The object ends inside a block, which can be read, but not written. */
TEST_F(delegate, what_lies_behind_the_end_does_not_show)
{
	uint64_t bytes = 5 * PAGE + 1000;
	struct extpager_range r;
	uint8_t *map, page[PAGE];

	BEGIN_ON_DISK(.bytes = bytes);
	r = pages_at(self, 0, 6, 0);
	r.length = bytes;
	EXPECT_EQ(-EINVAL, hand_over(self, &r, 1));
	r.flags = EXTPAGER_RANGE_RDONLY;
	ASSERT_EQ(0, hand_over(self, &r, 1));
	ASSERT_EQ(0, ready(self));
	map = mmap(NULL, 6 * PAGE, PROT_READ, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	fill_page(page, 7, 5);
	memset(page + 1000, 0, PAGE - 1000);
	EXPECT_EQ(0, memcmp(map + 5 * PAGE, page, PAGE));
	munmap(map, 6 * PAGE);
}

TEST_F(delegate, what_is_dirty_of_a_read_only_range_is_its_pagers)
{
	struct extpager_range r;
	struct extpager_event ev;

	BEGIN_ON_DISK();
	r = pages_at(self, 0, PAGES, 0);
	r.flags = EXTPAGER_RANGE_RDONLY;
	ASSERT_EQ(0, hand_over(self, &r, 1));
	ASSERT_EQ(0, ready(self));
	EXPECT_TRUE(reads(self, 5, 7));
	ASSERT_TRUE(writes(self, 5, 9));
	ASSERT_EQ(0, sync_file_range(self->fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	EXPECT_EQ(5 * PAGE, ev.offset);
	EXPECT_EQ(PAGE, ev.length);
	ASSERT_EQ(0, take_back(self, 5, 1));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	EXPECT_TRUE(on_disk(self, 5, 0, 7));
	EXPECT_EQ(0, STAT(PAGES_WRITTEN));
	ASSERT_EQ(0, posix_fadvise(self->fd, 5 * PAGE, PAGE, POSIX_FADV_DONTNEED));
	ASSERT_TRUE(WAIT_FOR(SOON, (drop_caches(), !page_is_here(self->fd, 5))));
	ASSERT_EQ(0, prefetch(self->fd, 5, 1));
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 9));
	EXPECT_TRUE(pages_are(self->fd, 5, 1, 9));
}

static int punch_and_sync(void *arg)
{
	int fd = *(int *)arg;

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10 * PAGE, 20 * PAGE))
		return 1;
	return fsync(fd) ? 2 : 0;
}

TEST_F(delegate, a_hole_is_told_to_the_pager_and_reads_as_zeros_at_once)
{
	struct extpager_event ev;
	uint8_t page[PAGE];
	struct client c;

	BEHAVIOURS(62);
	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	ASSERT_TRUE(writes(self, 12, 9));
	c = client_start(punch_and_sync, &self->fd);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	EXPECT_TRUE(ev.flags & EXTPAGER_EVF_ZERO);
	EXPECT_EQ(10 * PAGE, ev.offset);
	/* Not what the device has, as long as the pager has not answered; nor over it. */
	ASSERT_EQ((ssize_t)PAGE, pread(self->fd, page, PAGE, 12 * PAGE));
	EXPECT_TRUE(page_is_zero(page));
	ASSERT_TRUE(writes(self, 13, 9));
	ASSERT_EQ(0, sync_file_range(self->fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	EXPECT_TRUE(on_disk(self, 13, 0, 7));
	EXPECT_TRUE(reads(self, 40, 7));
	memset(self->p.buffer, 0, 20 * PAGE);
	ASSERT_EQ((ssize_t)(20 * PAGE), pwrite(self->disk, self->p.buffer, 20 * PAGE,
					       BEGIN + 10 * PAGE));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, SOON));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_TRUE(on_disk(self, 13, 0, 9));
}

/* ---- from one to the other ---- */

TEST_F(delegate, what_a_pager_was_asked_for_comes_from_the_device)
{
	struct extpager_event ev, again;
	struct crowd *c;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, ready(self));
	c = crowd_new(self->fd, BYTES, 7, 3);
	c->access[0].offset = 9 * PAGE;
	c->access[1].offset = 99 * PAGE;
	c->access[1].how = BY_READ;
	c->access[2].offset = 199 * PAGE;
	c->access[2].how = BY_STORE;
	crowd_start(c);
	ASSERT_TRUE(crowd_waits(c, 3, SOON));
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_EQ(0, all_handed_over(self));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(3, crowd_right(c));
	crowd_free(c);
	/* It is over; the two others may be in the ring. */
	EXPECT_EQ(-ENOENT, pager_supply(&self->p, &ev, 8));
	while (pager_event(&self->p, &again, QUIET))
		EXPECT_EQ(-ENOENT, pager_supply(&self->p, &again, 8));
	EXPECT_TRUE(reads(self, 9, 7));
}

TEST_F(delegate, what_is_taken_back_is_asked_for_and_returned)
{
	struct extpager_event ev;
	uint64_t start;

	BEHAVIOURS(137);
	BEGIN_ON_FLAKY(SLOW);
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	/* A read is under way, and a write: both end before the range is the pager's. */
	ASSERT_TRUE(writes(self, 30, 9));
	start = now_ms();
	ASSERT_EQ(0, prefetch(self->fd, 10, 1));
	ASSERT_EQ(0, sync_file_range(self->fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	ASSERT_EQ(0, take_back(self, 0, 100));
	EXPECT_LE(start + SLOW, now_ms());
	EXPECT_TRUE(page_is_here(self->fd, 10));
	EXPECT_EQ(1, STAT(PAGES_WRITTEN));
	EXPECT_EQ(0, target_dirty(NAME));

	ASSERT_TRUE(writes(self, 30, 10));
	ASSERT_TRUE(writes(self, 130, 10));
	ASSERT_EQ(0, sync_file_range(self->fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	EXPECT_EQ(30 * PAGE, ev.offset);
	EXPECT_EQ(PAGE, ev.length);
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	ASSERT_EQ(0, prefetch(self->fd, 50, 1));
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(50 * PAGE, ev.offset);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 8));
	EXPECT_TRUE(pages_are(self->fd, 50, 1, 8));
	EXPECT_TRUE(WAIT_FOR(SOON, STAT(PAGES_WRITTEN) == 2));
	EXPECT_TRUE(on_disk(self, 30, 0, 9));
	EXPECT_TRUE(on_disk(self, 130, 0, 10));
}

#define TOGGLES		test_rounds(400, 40, 20)
#define STRIDE		2UL

/* What those who read as ranges are handed over do, and when. */
struct readers {
	int fd;
	volatile unsigned int go;	/* a round each */
	volatile unsigned int here;	/* how many have ended all rounds until now */
	volatile int error;
};

/* Somewhere in between, for whom a race is to be found. */
static void pass_time(uint64_t turns)
{
	for (; turns; turns--)
		__asm__ volatile("" ::: "memory");
}

/* All of the last round is done: the next one begins. */
static void next_round(struct readers *r, unsigned int *round)
{
	__atomic_add_fetch(&r->here, 1, __ATOMIC_RELAXED);
	while (r->go == *round)
		sched_yield();
	++*round;
}

static void read_one(struct readers *r, uint64_t index)
{
	uint8_t page[PAGE];

	if (pread(r->fd, page, PAGE, index * PAGE) != (ssize_t)PAGE)
		r->error = errno;
	else if (!page_is(page, 7, index))
		r->error = EILSEQ;
}

static int read_as_handed_over(void *arg)
{
	struct readers *r = arg;
	uint64_t random = getpid(), i;
	unsigned int round = 0;

	for (;;) {
		next_round(r, &round);
		pass_time(test_random(&random) % 20000);
		for (i = PAGES - STRIDE; i > PAGES - 64; i -= STRIDE)
			read_one(r, i);
	}
	return 0;
}

/* Who finds it handed over while the page is still on its way from the pager is sent round. */
TEST_F(delegate, a_read_as_it_is_handed_over_is_no_error)
{
	struct readers *r = shared_memory(sizeof(*r));
	unsigned int i, round, rounds = TOGGLES;
	struct client c[3];
	struct extpager_event ev;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, ready(self));
	ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_RANDOM));
	r->fd = self->fd;
	for (i = 0; i < ARRAY_SIZE(c); i++)
		c[i] = client_start(read_as_handed_over, r);
	for (round = 0; round < rounds && !r->error; round++) {
		ASSERT_TRUE(WAIT_FOR(SOON, r->here == (round + 1) * ARRAY_SIZE(c)));
		ASSERT_EQ(0, take_back(self, 0, PAGES));
		ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_DONTNEED));
		/* A request each: it takes a while to have them all back. */
		for (i = 0; i < PAGES; i += STRIDE)
			ASSERT_EQ(0, prefetch(self->fd, i, 1));
		r->go++;
		ASSERT_EQ(0, all_handed_over(self));
		while (pager_event_on(&self->p, 0, &ev))
			continue;
	}
	EXPECT_TRUE(WAIT_FOR(SOON, r->here == (round + 1) * ARRAY_SIZE(c)));
	EXPECT_EQ(0, r->error) TH_LOG("round %u: %s", round, strerror(r->error));
	for (i = 0; i < ARRAY_SIZE(c); i++)
		client_kill(&c[i]);
	munmap(r, sizeof(*r));
}

/* Asks for all pages, then wants some of them, first those that it asked for first. */
static int ask_as_handed_over(void *arg)
{
	struct readers *r = arg;
	unsigned int round = 0;
	uint64_t i;

	for (;;) {
		next_round(r, &round);
		prefetch(r->fd, 0, PAGES);
		for (i = 0; i < PAGES; i += 16)
			read_one(r, i);
	}
	return 0;
}

/* Those of one request are looked at one by one: it may come when some are handed over. */
TEST_F(delegate, a_request_that_comes_as_it_is_handed_over_needs_no_pager)
{
	struct readers *r = shared_memory(sizeof(*r));
	unsigned int round, rounds = test_rounds(2000, 200, 50);
	uint64_t asked, turns = 1000000, step = 0;
	bool late = false, was_late;
	struct extpager_event ev;
	struct client c;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, ready(self));
	r->fd = self->fd;
	c = client_start(ask_as_handed_over, r);
	for (round = 0; round < rounds && !r->error; round++) {
		ASSERT_TRUE(WAIT_FOR(SOON, r->here == round + 1));
		ASSERT_EQ(0, take_back(self, 0, PAGES));
		ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_DONTNEED));
		asked = STAT(PAGES_REQUESTED);
		r->go++;
		pass_time(turns);
		ASSERT_EQ(0, all_handed_over(self));
		ASSERT_TRUE(WAIT_FOR(SOON, r->here == round + 2)) TH_LOG("round %u", round);
		/* It is neither too late nor too early in between. */
		was_late = late;
		late = STAT(PAGES_REQUESTED) > asked;
		if (late != was_late)
			step = !step ? turns / 4 : step / 2 > turns / 128 ? step / 2 : turns / 128;
		turns = !step ? 2 * turns : !late ? turns + step :
			turns > 2 * step ? turns - step : turns / 2;
		ASSERT_GT(1ULL << 30, turns) TH_LOG("never too late");
		while (pager_event_on(&self->p, 0, &ev))
			continue;
	}
	EXPECT_EQ(0, r->error) TH_LOG("round %u: %s", round, strerror(r->error));
	client_kill(&c);
	munmap(r, sizeof(*r));
}

static void *take_all_back(void *arg)
{
	FIXTURE_DATA(delegate) *self = arg;

	return (void *)(long)take_back(self, 0, PAGES);
}

/* Who comes while the last read by what was delegated is under way: it is told of its end. */
TEST_F(delegate, who_comes_as_it_is_taken_back_is_not_forgotten)
{
	struct extpager_event ev;
	uint64_t next = 100;
	pthread_t thread;
	struct crowd *c;
	void *ret;

	/* All of this, until somebody waits, is to be over before. */
	BEGIN_ON_FLAKY(2 * SLOW);
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	ASSERT_EQ(0, prefetch(self->fd, 10, 1));
	ASSERT_EQ(0, pthread_create(&thread, NULL, take_all_back, self));
	/* It is the pager's when it is asked: for one that nobody has begun to read. */
	ASSERT_TRUE(WAIT_FOR(SOON, (prefetch(self->fd, next++, 1), STAT(DATA_REQUESTS))));
	EXPECT_FALSE(page_is_here(self->fd, 10));
	c = crowd_new(self->fd, BYTES, 7, 1);
	c->access[0].offset = 10 * PAGE;
	crowd_start(c);
	EXPECT_TRUE(crowd_waits(c, 1, SOON));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(1, crowd_right(c));
	crowd_free(c);
	pthread_join(thread, &ret);
	EXPECT_EQ(NULL, ret);
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(0, pager_supply(&self->p, &ev, 7));
}

/* Reads a page that is not here, again and again; each time it comes or fails. */
static int read_absent(void *arg)
{
	struct readers *r = arg;
	uint8_t page[PAGE];
	uint64_t i = 0;

	for (;; i = (i + 1) % PAGES) {
		ssize_t n = pread(r->fd, page, PAGE, i * PAGE);

		if (n < 0 ? errno != EIO : !page_is(page, 7, i))
			r->error = n < 0 ? errno : EILSEQ;
		__atomic_add_fetch(&r->here, 1, __ATOMIC_RELAXED);
		posix_fadvise(r->fd, i * PAGE, PAGE, POSIX_FADV_DONTNEED);
	}
	return 0;
}

/* Fails what is asked for until the readers have got on; false: they ask, and ask again. */
static bool fails_until(FIXTURE_DATA(delegate) *self, struct readers *r, unsigned int here)
{
	unsigned int failed = 0;
	struct extpager_event ev;

	while (r->here < here && failed < 1000)
		if (pager_event(&self->p, &ev, QUIET) &&
		    !pager_error(&self->p, &ev, ev.offset, ev.length, EIO))
			failed++;
	return r->here >= here;
}

/* Who finds it taken back between the look and the read is told what the pager says. */
TEST_F(delegate, a_read_as_it_is_taken_back_fails_with_its_pager)
{
	struct readers *r = shared_memory(sizeof(*r));
	unsigned int round, rounds = test_rounds(10000, 2000, 500);
	uint64_t random = test_seed(7);
	struct client c;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, ready(self));
	ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_RANDOM));
	r->fd = self->fd;
	c = client_start(read_absent, r);
	for (round = 0; round < rounds && !r->error; round++) {
		unsigned int here = r->here;

		ASSERT_EQ(0, all_handed_over(self));
		/* No pager is asked any more. */
		ASSERT_TRUE(WAIT_FOR(SOON, r->here > here)) TH_LOG("round %u", round);
		pass_time(test_random(&random) % 20000);
		ASSERT_EQ(0, take_back(self, 0, PAGES));
		ASSERT_TRUE(fails_until(self, r, r->here + 2)) TH_LOG("round %u", round);
	}
	EXPECT_EQ(0, r->error) TH_LOG("round %u: %s", round, strerror(r->error));
	client_kill(&c);
	munmap(r, sizeof(*r));
}

/* What a pager pushes may be older than what the kernel has written. */
TEST_F(delegate, nothing_is_pushed_where_the_kernel_writes)
{
	uint32_t done;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	EXPECT_EQ(-EEXIST, pager_push(&self->p, self->object, self->init.generation, 8, 50 * PAGE,
				      4 * PAGE, &done));
	EXPECT_TRUE(reads(self, 51, 7));
}

static int fsync_client(void *arg)
{
	return fsync(*(int *)arg) ? 1 : 0;
}

/* Who flushes the device for what was written before? The pager, whose it is again. */
TEST_F(delegate, what_was_written_before_is_in_the_next_sync)
{
	struct extpager_event ev;
	struct client c;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	ASSERT_TRUE(writes(self, 1, 9));
	ASSERT_EQ(0, sync_file_range(self->fd, 0, 0, SYNC_FILE_RANGE_WRITE |
				     SYNC_FILE_RANGE_WAIT_AFTER));
	ASSERT_EQ(0, take_back(self, 0, PAGES));
	c = client_start(fsync_client, &self->fd);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, SOON));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
}

/* What another one handed over binds no pager that is READY. */
TEST_F(delegate, a_successor_begins_anew)
{
	struct extpager_range r;
	struct extpager_event ev;
	struct pager next;
	int file;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	EXPECT_TRUE(reads(self, 1, 7));
	EXPECT_EQ(0, pager_detach(&self->p, self->object));
	ASSERT_EQ(0, pager_open(&next, 1, 0));
	ASSERT_TRUE(attach(&next, &ev));
	EXPECT_LT(self->init.generation, ev.generation);
	/* Until it is, nobody has to wait for it. */
	EXPECT_TRUE(reads(self, 100, 7));
	file = pager_use(&next, open(DISK, O_RDWR | O_CLOEXEC));
	ASSERT_LT(0, file);
	r = pages_at(self, 200, 100, 0);
	r.file = file;
	EXPECT_EQ(-ESTALE, pager_delegate(&next, self->object, self->init.generation, 0, &r, 1));
	EXPECT_EQ(-ENOENT, hand_over(self, &r, 1));
	ASSERT_EQ(0, pager_delegate(&next, self->object, ev.generation, 0, &r, 1));
	ASSERT_EQ(0, pager_ready(&next, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	ASSERT_EQ(0, prefetch(self->fd, 150, 1));
	ASSERT_TRUE(next_request(&next, &ev));
	EXPECT_EQ(150 * PAGE, ev.offset);
	ASSERT_EQ(0, pager_supply(&next, &ev, 8));
	EXPECT_TRUE(pages_are(self->fd, 150, 1, 8));
	ASSERT_EQ(0, prefetch(self->fd, 201, 1));
	ASSERT_TRUE(WAIT_FOR(SOON, page_is_here(self->fd, 201)));
	ASSERT_EQ((ssize_t)PAGE, pread(self->fd, next.buffer, PAGE, 201 * PAGE));
	EXPECT_TRUE(page_is(next.buffer, 7, 1));

	/* And one that hands over nothing is asked for all. */
	EXPECT_EQ(0, pager_detach(&next, self->object));
	ASSERT_TRUE(attach(&next, &ev));
	ASSERT_EQ(0, pager_ready(&next, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	ASSERT_EQ(0, prefetch(self->fd, 220, 1));
	ASSERT_TRUE(next_request(&next, &ev));
	ASSERT_EQ(0, pager_supply(&next, &ev, 8));
	pager_close(&next);
}

/* In use no more, it is no range of anybody's. */
/* Whoever delegated that: afterwards the blocks are the pager's. */
TEST_F(delegate, a_successor_that_takes_all_back_waits_for_what_is_under_way)
{
	struct extpager_range all = { .length = BYTES };
	struct extpager_event ev;
	struct pager next;

	BEHAVIOURS(137);
	/* All of this is to be over before. */
	BEGIN_ON_FLAKY(2 * SLOW);
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	ASSERT_EQ(0, pager_open(&next, 1, 0));
	ASSERT_TRUE(writes(self, 30, 9));
	ASSERT_EQ(0, sync_file_range(self->fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	ASSERT_EQ(0, pager_detach(&self->p, self->object));
	ASSERT_TRUE(attach(&next, &ev));
	ASSERT_EQ(0, pager_ready(&next, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	EXPECT_EQ(0, STAT(PAGES_WRITTEN));
	ASSERT_EQ(0, pager_delegate(&next, self->object, ev.generation,
				    EXTPAGER_DELEGATE_REVOKE, &all, 1));
	EXPECT_EQ(1, STAT(PAGES_WRITTEN));
	pager_close(&next);
}

TEST_F(delegate, with_the_last_use_it_ends)
{
	struct extpager_event ev;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, pager_ready(&self->p, &self->init, 0, 0));
	ASSERT_TRUE(writes(self, 1, 9));
	close(self->fd);
	self->fd = -1;
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_TERMINATE, &ev, SOON));
	EXPECT_TRUE(on_disk(self, 1, 0, 9));
	EXPECT_EQ(-ENOENT, all_handed_over(self));
	self->fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &self->init, SOON));
	ASSERT_EQ(0, ready(self));
	ASSERT_EQ(0, prefetch(self->fd, 1, 1));
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 8));
	EXPECT_TRUE(pages_are(self->fd, 1, 1, 8));
}

/* Written out by whoever: what nobody can have flushed any more does not hold the end up. */
TEST_F(delegate, after_the_last_use_nothing_is_left_to_make_durable)
{
	struct extpager_event ev;
	long before;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, pager_ready(&self->p, &self->init, 0, 0));
	ASSERT_TRUE(writes(self, 1, 9));
	ASSERT_EQ(0, sync_file_range(self->fd, 0, 0, SYNC_FILE_RANGE_WRITE |
				     SYNC_FILE_RANGE_WAIT_AFTER));
	before = flushes();
	close(self->fd);
	self->fd = -1;
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_TERMINATE, &ev, SOON));
	EXPECT_LT(before, flushes());
	pager_close(&self->p);
	ASSERT_TRUE(WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_ORPHANED));
	EXPECT_EQ(0, target_del(NAME, false));
	EXPECT_TRUE(WAIT_FOR(SOON, !target_state(NAME)));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
}

/* What is refused or not in time is as if nothing had been said. */
TEST_F(delegate, it_comes_to_nothing_if_its_pager_is_not_ready)
{
	struct crowd *c;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	EXPECT_TRUE(reads(self, 1, 7));
	ASSERT_EQ(0, pager_ready(&self->p, &self->init, EACCES, 0));
	EXPECT_EQ(-ENOENT, all_handed_over(self));
	c = crowd_new(self->fd, BYTES, 7, 1);
	c->access[0].offset = 100 * PAGE;
	c->access[0].how = BY_READ;
	crowd_start(c);
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(EACCES, c->access[0].error);
	crowd_free(c);
}

/* ---- a device that is written to from a mapping of what lies on it ---- */

static bool knot_ends(struct knot *k, uint64_t index, uint64_t to)
{
	struct client c;

	k->index = index;
	k->pos = BEGIN + to * PAGE;
	c = client_start(write_from_mapping, k);
	return !client_result(&c, SOON);
}

TEST_F(delegate, a_write_to_the_device_from_a_mapping_of_its_target_ends)
{
	struct knot cached, direct;

	PARTIAL(141);
	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	cached.object = direct.object = self->fd;
	direct.file = self->disk;
	cached.file = open(DISK, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, cached.file);
	EXPECT_TRUE(knot_ends(&cached, 40, 100));
	EXPECT_TRUE(knot_ends(&direct, 41, 101));
	/* To where it comes from, and is to be written to. */
	EXPECT_TRUE(knot_ends(&cached, 42, 42));
	EXPECT_TRUE(knot_ends(&direct, 43, 43));
	ASSERT_TRUE(writes(self, 44, 9));
	ASSERT_TRUE(writes(self, 45, 9));
	EXPECT_TRUE(knot_ends(&cached, 44, 44));
	EXPECT_TRUE(knot_ends(&direct, 45, 45));
	ASSERT_EQ(0, fsync(cached.file));
	EXPECT_EQ((ssize_t)PAGE, pread(self->disk, self->p.buffer, PAGE, BEGIN + 100 * PAGE));
	EXPECT_TRUE(page_is(self->p.buffer, 7, 40));
	EXPECT_EQ((ssize_t)PAGE, pread(self->disk, self->p.buffer, PAGE, BEGIN + 101 * PAGE));
	EXPECT_TRUE(page_is(self->p.buffer, 7, 41));
	EXPECT_TRUE(on_disk(self, 42, 0, 7));
	EXPECT_TRUE(on_disk(self, 43, 0, 7));
	EXPECT_TRUE(on_disk(self, 44, 0, 9));
	EXPECT_TRUE(on_disk(self, 45, 0, 9));
	EXPECT_EQ(0, fsync(self->fd));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	close(cached.file);
}

/*
 * A loop device whose file's lock the writer has: through the file's cache it reads without
 * that. If it reads past it, the writer waits for itself.
 */
TEST_F(delegate, a_write_to_the_file_behind_the_device_from_a_mapping_ends_or_is_killed)
{
	struct target_options o = { };
	struct client c;
	struct knot k;
	int file, loop;
	char path[32];

	BEHAVIOURS(141);
	ASSERT_TRUE(ext4_make(0, 0));
	file = open(ON_EXT4, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, 8 * MIB));
	loop = loop_over(file);
	ASSERT_LE(0, loop);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", loop);
	ASSERT_TRUE(begin(self, path, &o, 7));
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	k.object = self->fd;
	ASSERT_EQ(0, ioctl(loop, LOOP_SET_DIRECT_IO, 0UL));
	k.file = loop;
	EXPECT_TRUE(knot_ends(&k, 38, 98));
	k.file = self->disk;
	EXPECT_TRUE(knot_ends(&k, 39, 99));
	k.file = file;
	EXPECT_TRUE(knot_ends(&k, 40, 100));
	EXPECT_TRUE(knot_ends(&k, 41, 41));

	ASSERT_EQ(0, ioctl(loop, LOOP_SET_DIRECT_IO, 1UL));
	k.index = 42;
	k.pos = 0;
	c = client_start(write_from_mapping, &k);
	ASSERT_TRUE(WAIT_FOR(SOON, client_stands(&c)));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, QUIET));
	EXPECT_TRUE(client_stands(&c));
	kill(c.pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, client_result(&c, SOON));
	/* With the lock the device goes on. */
	EXPECT_TRUE(reads(self, 42, 7));
	EXPECT_TRUE(writes(self, 43, 9));
	EXPECT_EQ(0, fsync(self->fd));
	EXPECT_TRUE(on_disk(self, 43, 0, 9));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));

	close(self->fd);
	self->fd = -1;
	close(self->disk);
	self->disk = -1;
	pager_close(&self->p);
	EXPECT_TRUE(target_gone(NAME));
	close(loop);
	close(file);
	EXPECT_TRUE(ext4_remove());
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
}

/* ---- a device that fails to flush: its file's pager does, the loop device says so ---- */

#define BELOW	"below"

TEST_F(delegate, a_flush_that_fails_in_sync_is_told_to_who_syncs_next)
{
	struct target_options o = { }, below = { .bytes = 8 * MIB };
	struct server s = { };
	char path[32];
	int file, loop;

	/* It has no part of our port, which would keep the loop device. */
	pager_close(&self->p);
	ASSERT_EQ(0, target_add(BELOW, &below));
	ASSERT_TRUE(server_start(&s, BELOW, below.bytes, 1));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	file = target_open(BELOW, O_RDWR);
	ASSERT_LE(0, file);
	loop = loop_over(file);
	ASSERT_LE(0, loop);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", loop);
	ASSERT_TRUE(begin(self, path, &o, 7));
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	ASSERT_TRUE(writes(self, 1, 9));
	ASSERT_EQ(0, sync_file_range(self->fd, 0, 0, SYNC_FILE_RANGE_WRITE |
				     SYNC_FILE_RANGE_WAIT_AFTER));
	*s.sync_error = EIO;
	/* As sync(2), which has nobody to tell, does it. */
	EXPECT_EQ(-1, syncfs(self->fd));
	EXPECT_EQ(EIO, errno);
	*s.sync_error = 0;
	EXPECT_EQ(-1, fsync(self->fd));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, fsync(self->fd));
	EXPECT_TRUE(on_disk(self, 1, 0, 9));

	close(self->fd);
	self->fd = -1;
	close(self->disk);
	self->disk = -1;
	pager_close(&self->p);
	EXPECT_TRUE(target_gone(NAME));
	close(loop);
	close(file);
	server_stop(&s);
	EXPECT_TRUE(target_gone(BELOW));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
}

/* ---- in large folios ---- */

/* The object, mapped, whose reader says that he reads it in order. */
static uint8_t *map_in_order(FIXTURE_DATA(delegate) *self, uint64_t nr)
{
	uint8_t *map = mmap(NULL, nr * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);

	if (map == MAP_FAILED || madvise(map, nr * PAGE, MADV_SEQUENTIAL))
		return NULL;
	return map;
}

/* Are these pages [first, end) of the device? */
static bool all_are_at(const uint8_t *pages, uint64_t first, uint64_t end)
{
	for (; first < end; first++, pages += PAGE)
		if (!page_is(pages, 7, first))
			return false;
	return true;
}

static bool all_are(const uint8_t *map, uint64_t first, uint64_t end)
{
	return all_are_at(map + first * PAGE, first, end);
}

/* One that is read in order, and so in large folios. */
static uint8_t *map_large(FIXTURE_DATA(delegate) *self)
{
	uint8_t *map = map_in_order(self, PAGES);

	if (!map || !all_are(map, 0, PAGES) || !some_are_large(map, PAGES, PAGES / 2))
		return NULL;
	return map;
}

TEST_F(delegate, a_store_makes_one_page_of_a_large_folio_dirty)
{
	uint8_t *map, page[PAGE];
	uint64_t read;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	map = map_large(self);
	ASSERT_NE(NULL, map);
	read = STAT(PAGES_READ);
	/* By a store, and by a write(2) of less than a page. */
	fill_page(map + 301 * PAGE, 9, 301);
	EXPECT_EQ(PAGE, target_dirty(NAME));
	ASSERT_EQ(1, pwrite(self->fd, "x", 1, 410 * PAGE + 5));
	EXPECT_EQ(2 * PAGE, target_dirty(NAME));
	EXPECT_EQ(0, in_large_folios(map + 301 * PAGE, 1));
	EXPECT_TRUE(page_is(map + 301 * PAGE, 9, 301));
	fill_page(page, 7, 410);
	page[5] = 'x';
	EXPECT_EQ(0, memcmp(map + 410 * PAGE, page, PAGE));
	/* Their neighbours have stayed, and most of the others as they were. */
	EXPECT_TRUE(all_are(map, 0, 301) && all_are(map, 302, 410) && all_are(map, 411, PAGES));
	EXPECT_EQ(read, STAT(PAGES_READ));
	EXPECT_TRUE(some_are_large(map, PAGES, 1));
	ASSERT_EQ(0, fsync(self->fd));
	EXPECT_EQ(2, STAT(PAGES_WRITTEN));
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_TRUE(on_disk(self, 300, 0, 7));
	EXPECT_TRUE(on_disk(self, 301, 0, 9));
	EXPECT_TRUE(on_disk(self, 302, 0, 7));
	munmap(map, BYTES);
}

/* Nor is more than that returned to a pager, when it is his again. */
TEST_F(delegate, a_store_to_a_large_folio_that_was_taken_back_is_one_page_returned)
{
	const uint64_t written[] = { 301, 410 };
	struct extpager_event ev;
	uint8_t *map, page[PAGE];
	unsigned int i;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	map = map_large(self);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, take_back(self, 0, PAGES));
	for (i = 0; i < ARRAY_SIZE(written); i++)
		fill_page(map + written[i] * PAGE, 9, written[i]);
	EXPECT_EQ(ARRAY_SIZE(written) * PAGE, target_dirty(NAME));
	ASSERT_EQ(0, sync_file_range(self->fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	for (i = 0; i < ARRAY_SIZE(written); i++) {
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
		EXPECT_EQ(written[i] * PAGE, ev.offset);
		EXPECT_EQ(PAGE, ev.length);
		ASSERT_EQ(0, pager_fetch(&self->p, &ev, page));
		EXPECT_TRUE(page_is(page, 9, written[i]));
		ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	}
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	EXPECT_EQ(ARRAY_SIZE(written), STAT(PAGES_RETURNED));
	EXPECT_EQ(0, STAT(PAGES_WRITTEN));
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_TRUE(all_are(map, 0, 301) && all_are(map, 302, 410) && all_are(map, 411, PAGES));
	munmap(map, BYTES);
}

/* The first page, too: where its folio begins nothing can be cut off. */
TEST_F(delegate, each_page_of_a_large_folio_can_be_written)
{
	uint64_t i, written = 0;
	uint8_t *map;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	map = map_large(self);
	ASSERT_NE(NULL, map);
	for (i = 0; i + 3 < PAGES; i += 3) {
		fill_page(map + i * PAGE, 9, i);
		written++;
	}
	for (i = 0; i + 3 < PAGES; i += 3) {
		ASSERT_TRUE(page_is(map + i * PAGE, 9, i));
		ASSERT_TRUE(all_are(map, i + 1, i + 3));
	}
	ASSERT_EQ(0, fsync(self->fd));
	EXPECT_EQ(written, STAT(PAGES_WRITTEN));
	for (i = 0; i + 3 < PAGES; i += 3) {
		ASSERT_TRUE(on_disk(self, i, 0, 9));
		ASSERT_TRUE(on_disk(self, i + 1, 0, 7));
	}
	munmap(map, BYTES);
}

#define GAP	301		/* pages that are the pager's, up to ... */
#define GAP_END	310

static int read_gap(void *arg)
{
	uint8_t page[PAGE];
	uint64_t i;

	for (i = GAP; i < GAP_END; i++)
		if (pread(*(int *)arg, page, PAGE, i * PAGE) != (ssize_t)PAGE ||
		    !page_is(page, 8, i))
			return 1;
	return 0;
}

/* What begins in the middle of one, and what ends there. */
TEST_F(delegate, a_large_folio_is_of_one_range)
{
	struct extpager_range r[3];
	uint8_t *map, page[PAGE];
	unsigned int requests = 0;
	struct client c;
	uint64_t i;

	BEGIN_ON_DISK();
	r[0] = pages_at(self, 0, 203, 0);
	r[1] = pages_at(self, 203, GAP - 203, 100);
	r[2] = pages_at(self, GAP_END, PAGES - GAP_END, GAP_END);
	ASSERT_EQ(0, hand_over(self, r, 3));
	ASSERT_EQ(0, ready(self));
	/* Who reads ahead over it asks for the pager's pages, and for no others. */
	ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_SEQUENTIAL));
	for (i = 0; i < GAP; i++) {
		ASSERT_EQ((ssize_t)PAGE, pread(self->fd, page, PAGE, i * PAGE));
		ASSERT_TRUE(page_is(page, 7, i < 203 ? i : i - 103)) { TH_LOG("page %lu", i); }
	}
	c = client_start(read_gap, &self->fd);
	EXPECT_EQ(0, serve_client(&self->p, &c, 8, &requests));
	EXPECT_EQ(GAP_END - GAP, STAT(PAGES_REQUESTED));
	map = map_in_order(self, PAGES);
	ASSERT_NE(NULL, map);
	EXPECT_TRUE(all_are(map, 0, 203));
	EXPECT_TRUE(all_are(map, GAP_END, PAGES));
	for (i = 203; i < GAP; i++)
		ASSERT_TRUE(page_is(map + i * PAGE, 7, i - 103));
	EXPECT_TRUE(some_are_large(map, PAGES, 1));
	munmap(map, BYTES);
}

TEST_F(delegate, a_large_folio_at_the_end_ends_in_zeros)
{
	uint64_t i, bytes = 103 * PAGE + 1000;
	struct extpager_range r;
	uint8_t *map, page[PAGE];

	/* In the midst of a block: it can be read only. */
	BEGIN_ON_DISK(.bytes = bytes);
	r = pages_at(self, 0, 104, 0);
	r.length = bytes;
	r.flags = EXTPAGER_RANGE_RDONLY;
	ASSERT_EQ(0, hand_over(self, &r, 1));
	ASSERT_EQ(0, ready(self));
	map = map_in_order(self, 104);
	ASSERT_NE(NULL, map);
	ASSERT_TRUE(all_are(map, 0, 103));
	fill_page(page, 7, 103);
	EXPECT_EQ(0, memcmp(map + 103 * PAGE, page, 1000));
	for (i = 1000; i < PAGE; i++)
		ASSERT_EQ(0, map[103 * PAGE + i]);
	EXPECT_TRUE(some_are_large(map + 103 * PAGE, 1, 1));
	munmap(map, 104 * PAGE);
}

TEST_F(delegate, a_hole_in_a_large_folio_leaves_its_neighbours)
{
	struct extpager_event ev;
	struct client c;
	uint8_t *map;
	uint64_t i;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	map = map_large(self);
	ASSERT_NE(NULL, map);
	c = client_start(punch_and_sync, &self->fd);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	EXPECT_TRUE(ev.flags & EXTPAGER_EVF_ZERO);
	EXPECT_EQ(10 * PAGE, ev.offset);
	EXPECT_EQ(20 * PAGE, ev.length);
	EXPECT_TRUE(all_are(map, 0, 10));
	EXPECT_TRUE(all_are(map, 30, PAGES));
	for (i = 10; i < 30; i++)
		ASSERT_TRUE(page_is_zero(map + i * PAGE));
	/* Missing they are zeros, too, and their neighbours the device's. */
	munmap(map, BYTES);
	ASSERT_TRUE(WAIT_FOR(SOON, (posix_fadvise(self->fd, 0, 0, POSIX_FADV_DONTNEED),
				    drop_caches(), !page_is_here(self->fd, 12))));
	map = map_in_order(self, PAGES);
	ASSERT_NE(NULL, map);
	EXPECT_TRUE(all_are(map, 0, 10));
	for (i = 10; i < 30; i++)
		ASSERT_TRUE(page_is_zero(map + i * PAGE));
	EXPECT_TRUE(all_are(map, 30, PAGES));
	memset(self->p.buffer, 0, 20 * PAGE);
	ASSERT_EQ((ssize_t)(20 * PAGE), pwrite(self->disk, self->p.buffer, 20 * PAGE,
					       BEGIN + 10 * PAGE));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, SOON));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
	munmap(map, BYTES);
}

#define LAST	40		/* pages that are delegated */

/* From each of the last ones on, over their end. */
static int read_over_the_end(void *arg)
{
	uint8_t *buf = malloc(64 * PAGE);
	uint64_t i;

	for (i = GAP - LAST; i < GAP; i++)
		if (pread(*(int *)arg, buf, 64 * PAGE, i * PAGE) != (ssize_t)((GAP - i) * PAGE) ||
		    !all_are_at(buf, i, GAP))
			return 1;
	return 0;
}

/* It ends where the pager's pages begin, and they are asked for at the gate. */
TEST_F(delegate, a_read_that_begins_in_a_large_folio_ends_with_what_is_here)
{
	struct extpager_range r;
	struct extpager_event ev;
	unsigned int requests = 0;
	uint64_t end, waits;
	uint8_t *map;
	struct client c;
	int result;

	BEGIN_ON_DISK();
	r = pages_at(self, 0, GAP, 0);
	ASSERT_EQ(0, hand_over(self, &r, 1));
	ASSERT_EQ(0, ready(self));
	map = map_in_order(self, GAP);
	ASSERT_NE(NULL, map);
	ASSERT_TRUE(all_are(map, 0, GAP - 1));
	/* What its reading ahead asked for. */
	while (pager_event(&self->p, &ev, QUIET))
		ASSERT_EQ(0, pager_error(&self->p, &ev, ev.offset, ev.length, EIO));
	ASSERT_TRUE(some_are_large(map, GAP, GAP / 2));
	waits = STAT(GATE_WAITS);
	c = client_start(read_over_the_end, &self->fd);
	end = now_ms() + SOON;
	do {
		result = client_result(&c, 0);
		if (pager_event(&self->p, &ev, 1)) {
			ASSERT_EQ(0, pager_error(&self->p, &ev, ev.offset, ev.length, EIO));
			requests++;
		}
	} while (result == CLIENT_RUNNING && now_ms() < end);
	EXPECT_EQ(0, result);
	/* There, and not again and again. */
	EXPECT_LE(waits + LAST, STAT(GATE_WAITS));
	EXPECT_GT(4 * LAST, requests);
	munmap(map, GAP * PAGE);
}

static int store(void *arg)
{
	fill_page(*(uint8_t **)arg + 301 * PAGE, 9, 301);
	return 0;
}

static int look_around(void *arg)
{
	uint8_t *map = *(uint8_t **)arg;

	return !page_is(map + 301 * PAGE, 9, 301) || !all_are(map, 290, 301) ||
	       !all_are(map, 302, 310);
}

/* The kernel cannot split what others have references of: it comes anew, as it would at first. */
TEST_F(delegate, a_store_to_a_large_folio_in_use_asks_who_has_the_page)
{
	unsigned int requests = 0;
	uint8_t *map, page[PAGE];
	struct client c;
	uint64_t waits;
	int pinned;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	map = map_large(self);
	ASSERT_NE(NULL, map);
	ASSERT_TRUE(pin(map + 300 * PAGE, &pinned));
	/* Delegated, of its device; by itself, though it is read in order. */
	c = client_start(store, &map);
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	c = client_start(look_around, &map);
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_EQ(0, STAT(DATA_REQUESTS));
	EXPECT_EQ((ssize_t)PAGE, read(pinned, page, PAGE));
	EXPECT_TRUE(page_is(page, 7, 300));
	close(pinned);
	ASSERT_EQ(0, fsync(self->fd));

	/* Then of its pager: whoever writes waits at the gate. */
	munmap(map, BYTES);
	ASSERT_TRUE(WAIT_FOR(SOON, (posix_fadvise(self->fd, 0, 0, POSIX_FADV_DONTNEED),
				    drop_caches(), !page_is_here(self->fd, 301))));
	fill_page(self->p.buffer, 7, 301);
	ASSERT_EQ((ssize_t)PAGE, pwrite(self->disk, self->p.buffer, PAGE, BEGIN + 301 * PAGE));
	map = map_large(self);
	ASSERT_NE(NULL, map);
	ASSERT_TRUE(pin(map + 300 * PAGE, &pinned));
	ASSERT_EQ(0, take_back(self, 0, PAGES));
	waits = STAT(GATE_WAITS);
	c = client_start(store, &map);
	EXPECT_EQ(0, serve_client(&self->p, &c, 7, &requests));
	EXPECT_EQ(kernel_version() < 612 ? 0 : 1, requests);
	EXPECT_EQ(requests, STAT(GATE_WAITS) - waits);
	EXPECT_EQ(PAGE, target_dirty(NAME));
	c = client_start(look_around, &map);
	EXPECT_EQ(0, serve_client(&self->p, &c, 7, NULL));
	close(pinned);
	munmap(map, BYTES);
}

struct hurried {
	int fd;
	volatile bool enough;
};

/* All of it, over and over. */
static int read_on(void *arg)
{
	const struct hurried *h = arg;
	uint8_t *buf = malloc(BYTES);

	while (!h->enough)
		if (pread(h->fd, buf, BYTES, 0) != (ssize_t)BYTES)
			return 1;
	return 0;
}

TEST_F(delegate, stores_to_large_folios_get_on_while_others_read_them)
{
	struct hurried *h = shared_memory(sizeof(*h));
	struct client reader[2];
	unsigned int i;
	uint8_t *map;
	uint64_t end;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	map = map_large(self);
	ASSERT_NE(NULL, map);
	h->fd = self->fd;
	for (i = 0; i < ARRAY_SIZE(reader); i++)
		reader[i] = client_start(read_on, h);
	end = now_ms() + SOON;
	for (i = 0; i < PAGES && now_ms() < end; i += 4)
		fill_page(map + i * PAGE, 9, i);
	EXPECT_LE(PAGES, i);
	h->enough = true;
	for (i = 0; i < ARRAY_SIZE(reader); i++)
		EXPECT_EQ(0, client_result(&reader[i], SOON));
	for (i = 0; i < PAGES; i += 4) {
		ASSERT_TRUE(page_is(map + i * PAGE, 9, i));
		ASSERT_TRUE(all_are(map, i + 1, i + 4));
	}
	munmap(map, BYTES);
	munmap(h, sizeof(*h));
}

static int read_in_order(void *arg)
{
	uint8_t page[PAGE];
	uint64_t i;

	if (posix_fadvise(*(int *)arg, 0, 0, POSIX_FADV_SEQUENTIAL))
		return 1;
	for (i = 0; i < PAGES; i++)
		if (pread(*(int *)arg, page, PAGE, i * PAGE) != (ssize_t)PAGE ||
		    !page_is(page, 7, i))
			return 1;
	return 0;
}

/* Large folios are not to a pager's cost: he is asked as much at once as if there were none. */
TEST_F(delegate, what_was_delegated_once_is_asked_for_in_no_smaller_pieces)
{
	unsigned int before = 0, after = 0;
	struct client c;

	BEGIN_ON_DISK();
	ASSERT_EQ(0, ready(self));
	c = client_start(read_in_order, &self->fd);
	ASSERT_EQ(0, serve_client(&self->p, &c, 7, &before));
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, take_back(self, 0, PAGES));
	ASSERT_TRUE(WAIT_FOR(SOON, (posix_fadvise(self->fd, 0, 0, POSIX_FADV_DONTNEED),
				    drop_caches(), !page_is_here(self->fd, 12))));
	c = client_start(read_in_order, &self->fd);
	ASSERT_EQ(0, serve_client(&self->p, &c, 7, &after));
	EXPECT_LE(after, before + 1) { TH_LOG("%u requests, then %u", before, after); }
}

static long huge_kib(void)
{
	return read_number("/proc/self/smaps_rollup", "FilePmdMapped:");
}

#define HUGE_BYTES	(3 * MIB)

/*
 * All of an object of HUGE_BYTES handed over and mapped, its first 2 MiB as one; the kernel maps
 * so only what does not reach to the end. 2 MiB of memory in one piece may not be there at once.
 */
static uint8_t *map_huge(FIXTURE_DATA(delegate) *self)
{
	struct extpager_range r = pages_at(self, 0, HUGE_BYTES / PAGE, 0);
	uint8_t *map;

	if (hand_over(self, &r, 1) || ready(self))
		return NULL;
	map = mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	if (map == MAP_FAILED || (uintptr_t)map % (2 * MIB) ||
	    madvise(map, HUGE_BYTES, MADV_HUGEPAGE))
		return NULL;
	return WAIT_FOR(SOON, (madvise(map, HUGE_BYTES, MADV_DONTNEED),
			       posix_fadvise(self->fd, 0, 0, POSIX_FADV_DONTNEED),
			       drop_caches(), page_is(map + 100 * PAGE, 7, 100)) &&
			huge_kib() == 2048) ? map : NULL;
}

TEST_F(delegate, an_aligned_2_mib_is_mapped_as_one_and_read_as_one)
{
	uint8_t *map;

	if (kernel_version() < 612)
		SKIP(return, "no large folios before 6.12");
	BEGIN_ON_DISK(.bytes = HUGE_BYTES);
	map = map_huge(self);
	ASSERT_NE(NULL, map);
	EXPECT_TRUE(all_are(map, 0, PAGES));
	EXPECT_EQ((long)PAGES, in_large_folios(map, PAGES));
	/* The first store ends that, for that page alone. */
	fill_page(map + 77 * PAGE, 9, 77);
	EXPECT_EQ(PAGE, target_dirty(NAME));
	EXPECT_EQ(0, huge_kib());
	EXPECT_TRUE(all_are(map, 0, 77) && all_are(map, 78, PAGES));
	EXPECT_TRUE(page_is(map + 77 * PAGE, 9, 77));
	ASSERT_EQ(0, fsync(self->fd));
	EXPECT_EQ(1, STAT(PAGES_WRITTEN));
	munmap(map, HUGE_BYTES);
}

/* The kernel would complain if the object were one for small pages only by then. */
TEST_F(delegate, two_mib_that_came_as_one_can_go_when_they_are_the_pagers)
{
	uint8_t *map;

	if (kernel_version() < 612)
		SKIP(return, "no large folios before 6.12");
	BEGIN_ON_DISK(.bytes = HUGE_BYTES);
	map = map_huge(self);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, take_back(self, 0, HUGE_BYTES / PAGE));
	EXPECT_EQ((long)PAGES, in_large_folios(map, PAGES));
	munmap(map, HUGE_BYTES);
	EXPECT_TRUE(WAIT_FOR(SOON, (posix_fadvise(self->fd, 0, 0, POSIX_FADV_DONTNEED),
				    drop_caches(), !page_is_here(self->fd, 100))));
}

/* ---- a device that fails ---- */

TEST_F(delegate, a_bad_block_in_a_large_folio_is_one_bad_page)
{
	uint8_t *map, page[PAGE];
	uint64_t i;

	BEGIN_ON_FLAKY(0);
	ASSERT_TRUE(flaky_page_fails(BEGIN / PAGE + 205));
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_SEQUENTIAL));
	for (i = 0; i < PAGES; i++)
		EXPECT_EQ(i != 205, reads(self, i, 7)) { TH_LOG("page %lu", i); }
	ASSERT_TRUE(WAIT_FOR(SOON, (posix_fadvise(self->fd, 0, 0, POSIX_FADV_DONTNEED),
				    drop_caches(), !page_is_here(self->fd, 12))));
	map = map_in_order(self, PAGES);
	ASSERT_NE(NULL, map);
	EXPECT_TRUE(all_are(map, 0, 205));
	EXPECT_EQ(BUS_ADRERR, try_read(map + 205 * PAGE, NULL));
	EXPECT_TRUE(all_are(map, 206, PAGES));
	EXPECT_EQ(-1, pread(self->fd, page, PAGE, 205 * PAGE));
	EXPECT_EQ(EIO, errno);
	for (i = 204; i < 207; i += 2)
		EXPECT_TRUE(reads(self, i, 7));
	EXPECT_TRUE(some_are_large(map, 205, 1));
	EXPECT_EQ(0, STAT(DATA_REQUESTS));
	munmap(map, BYTES);
}

TEST_F(delegate, a_bad_block_is_one_bad_page)
{
	uint8_t page[PAGE];
	unsigned int i;

	BEGIN_ON_FLAKY(0);
	ASSERT_TRUE(flaky_page_fails(BEGIN / PAGE + 105));
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	for (i = 90; i < 120; i++) {
		if (i == 105)
			continue;
		ASSERT_TRUE(reads(self, i, 7));
	}
	EXPECT_EQ(-1, pread(self->fd, page, PAGE, 105 * PAGE));
	EXPECT_EQ(EIO, errno);
	EXPECT_LE(1, STAT(PAGES_FAILED));
	/* It is overwritten without having been read. */
	EXPECT_TRUE(writes(self, 105, 9));
	EXPECT_TRUE(reads(self, 105, 9));
}

/* Of what is read together all fail; who waits for a good page of them reads that anew. */
TEST_F(delegate, a_bad_block_fails_no_write_to_its_neighbours)
{
	BEGIN_ON_FLAKY(SLOW);
	ASSERT_TRUE(flaky_page_fails(BEGIN / PAGE + 105));
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	ASSERT_EQ(0, prefetch(self->fd, 90, 30));
	EXPECT_EQ(4, pwrite(self->fd, "part", 4, 100 * PAGE));
	EXPECT_LE(1, STAT(PAGES_FAILED));
	EXPECT_TRUE(reads(self, 101, 7));
}

TEST_F(delegate, what_cannot_be_written_stays_dirty_and_is_written_later)
{
	BEHAVIOURS(59);
	BEGIN_ON_FLAKY(0);
	ASSERT_EQ(0, all_handed_over(self));
	ASSERT_EQ(0, ready(self));
	ASSERT_TRUE(writes(self, 5, 9));
	ASSERT_TRUE(flaky_fail(8 * MIB, true));
	EXPECT_EQ(-1, fsync(self->fd));
	EXPECT_EQ(EIO, errno);
	EXPECT_LT(0, target_dirty(NAME));
	drop_caches();
	EXPECT_TRUE(reads(self, 5, 9));
	ASSERT_TRUE(flaky_fail(8 * MIB, false));
	EXPECT_EQ(0, fsync(self->fd));
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_TRUE(on_disk(self, 5, 0, 9));
	EXPECT_LT(0, STAT(RETURNS_FAILED));
}

/* ---- what is refused ---- */

TEST_F(delegate, a_range_that_cannot_be_is_refused)
{
	struct extpager_range r, two[2], *many;
	unsigned int i;
	int file, rdonly;

	BEHAVIOURS(109);
	BEGIN_ON_DISK(.bytes = BYTES + 100);
	ASSERT_EQ(0, ready(self));
	rdonly = pager_use(&self->p, open(DISK, O_RDONLY | O_CLOEXEC));
	ASSERT_LT(0, rdonly);
	file = pager_use(&self->p, open("/tmp/delegate", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	ASSERT_LT(0, file);
	unlink("/tmp/delegate");
#define REFUSED(error, change) do {							\
	r = pages_at(self, 8, 8, 0);							\
	change;										\
	EXPECT_EQ(-(error), hand_over(self, &r, 1)) { TH_LOG("%s", #change); }		\
} while (0)
	REFUSED(EINVAL, r.offset += 512);
	REFUSED(EINVAL, r.length += 512);
	REFUSED(EINVAL, r.length = 0);
	REFUSED(EINVAL, r.pos += 100);
	REFUSED(EINVAL, r.pos = ~511ULL);
	REFUSED(ERANGE, r.pos = 1ULL << 50);
	REFUSED(ERANGE, r.offset = BYTES + PAGE);
	REFUSED(ERANGE, r.length = BYTES);
	REFUSED(ERANGE, r.length = ~0ULL << 12);
	REFUSED(EBADF, r.file = 0);
	REFUSED(EBADF, r.file = 99);
	REFUSED(EBADF, r.file = rdonly);
	REFUSED(EOPNOTSUPP, r.file = file);
	REFUSED(EOPNOTSUPP, r.flags = 2);
	/* A device is written in whole blocks. */
	REFUSED(EINVAL, (r.offset = BYTES, r.length = 100));
	r.flags = EXTPAGER_RANGE_RDONLY;
	EXPECT_EQ(0, hand_over(self, &r, 1));
	r.file = rdonly;
	EXPECT_EQ(0, hand_over(self, &r, 1));

	two[0] = pages_at(self, 8, 8, 0);
	two[1] = pages_at(self, 15, 8, 0);
	EXPECT_EQ(-EINVAL, hand_over(self, two, 2));
	two[1] = pages_at(self, 2, 4, 0);
	EXPECT_EQ(-EINVAL, hand_over(self, two, 2));
	/* All or none. */
	two[1] = pages_at(self, 16, 8, 0);
	two[1].file = 0;
	EXPECT_EQ(-EBADF, hand_over(self, two, 2));
	EXPECT_EQ(-EFAULT, hand_over(self, NULL, 2));
	EXPECT_EQ(-EINVAL, hand_over(self, two, 0));
	EXPECT_EQ(-EINVAL, hand_over(self, two, EXTPAGER_RANGES_MAX + 1));
	EXPECT_EQ(-EOPNOTSUPP, pager_delegate(&self->p, self->object, self->init.generation, 2,
					      two, 1));
	EXPECT_EQ(-EINVAL, pager_delegate(&self->p, self->object, self->init.generation,
					  EXTPAGER_DELEGATE_REVOKE, two, 1));
	EXPECT_EQ(-ENOENT, pager_delegate(&self->p, self->object + 1, self->init.generation, 0,
					  two, 1));
	EXPECT_EQ(-ENOENT, pager_delegate(&self->p, 0, self->init.generation, 0, two, 1));
	EXPECT_EQ(-ESTALE, pager_delegate(&self->p, self->object, self->init.generation + 1, 0,
					  two, 1));
	/* Nothing of all this is in force: page 8 is the pager's. */
	ASSERT_EQ(0, take_back(self, 0, PAGES));
	EXPECT_EQ(0, STAT(PAGES_READ));

	/* As many as there may be, and no more: every other page. */
	many = calloc(PAGES / 2, sizeof(*many));
	for (i = 0; i < PAGES / 2; i++)
		many[i] = pages_at(self, 2 * i, 1, 0);
	EXPECT_EQ(0, hand_over(self, many, PAGES / 2));
	EXPECT_TRUE(reads(self, 0, 7));
	free(many);
}

TEST_HARNESS_MAIN
