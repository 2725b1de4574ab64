// SPDX-License-Identifier: GPL-2.0-only
/*
 * Content that the kernel reads and writes by itself, from and to files and devices that the
 * pager has registered: the right bytes and no others, whatever happens to the pager, the
 * file or the device meanwhile.
 */
/* vm: swap=64M idle=1 timeout=300 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/crowd.h"
#include "support/ext4.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/swap.h"

#define NAME	"backing"
#define PAGES	512UL
#define BYTES	(PAGES * PAGE)
#define FILE_PATH "/tmp/backing"
#define BEGIN	(3 * MIB)	/* where the object begins in its file or device */
/* ms that a slow device takes: what is to be over before takes a slow kernel longer, too. */
#define SLOW	(on_debug_kernel() ? 4500U : 1500U)
#define LONG	30000		/* ms: a deadline that no pause makes anybody miss */

FIXTURE(backing)
{
	struct pager p;
	uint64_t object;
	int fd;			/* of the object */
	int file;		/* registered, or -1 */
	bool device;
};

/* A new file with @pages of @seed from @base on, open as @flags say. */
static int make_file(uint64_t base, uint64_t pages, uint64_t seed, int flags)
{
	int fd = open(FILE_PATH, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && fill_pages(fd, base, pages, seed);

	if (fd >= 0)
		close(fd);
	return ok ? open(FILE_PATH, flags | O_CLOEXEC) : -1;
}

static bool open_object(struct pager *p, uint64_t bytes, uint64_t *object, int *fd)
{
	struct target_options o = { .bytes = bytes, .policy = "hold" };
	struct extpager_event ev;

	if (target_add(NAME, &o))
		return false;
	*fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	if (*fd < 0 || pager_attach(p, NAME, object, NULL))
		return false;
	/* Of the test's last object TERMINATE may be there. */
	do {
		if (!pager_event(p, &ev, SOON))
			return false;
	} while (ev.op == EXTPAGER_EV_TERMINATE);
	return ev.op == EXTPAGER_EV_INIT && !pager_ready(p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE);
}

FIXTURE_SETUP(backing)
{
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	self->fd = -1;
}

FIXTURE_TEARDOWN(backing)
{
	if (self->fd >= 0)
		close(self->fd);
	pager_close(&self->p);
	if (target_state(NAME))
		EXPECT_TRUE(target_gone(NAME));
	unlink(FILE_PATH);
	if (self->device)
		EXPECT_TRUE(WAIT_FOR(SOON, flaky_remove()));
}

#define OBJECT(bytes) ASSERT_TRUE(open_object(&self->p, bytes, &self->object, &self->fd))
#define READ_COUNT() target_stat(NAME, EXTPAGER_A_STATS_PAGES_READ)

/* Ask for pages [index, index + nr) and take the request for all of them. */
static bool ask(struct pager *p, int fd, uint64_t index, uint64_t nr, struct extpager_event *ev)
{
	return !prefetch(fd, index, nr) && next_request(p, ev) && ev->offset == index * PAGE;
}

/* ---- the right bytes ---- */

TEST_F(backing, a_device_is_read_without_the_pager)
{
	struct extpager_event ev;
	struct crowd *c;
	int fd;

	PARTIAL(115);
	ASSERT_TRUE(disk_ready());
	OBJECT(BYTES);
	fd = open(DISK, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	/* In the device's page cache: registration writes it out. */
	ASSERT_TRUE(fill_pages(fd, BEGIN, PAGES, 7));
	self->file = pager_use(&self->p, fd);
	ASSERT_LT(0, self->file);

	c = crowd_new(self->fd, BYTES, 7, 1);
	c->access[0].offset = 100 * PAGE;
	crowd_start(c);
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, self->file, BEGIN));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_TRUE(c->access[0].right);
	crowd_free(c);
	EXPECT_TRUE(WAIT_FOR(SOON, READ_COUNT() == 1));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_PAGES_COPIED));

	/* More than one transfer. */
	ASSERT_TRUE(ask(&self->p, self->fd, 200, 128, &ev));
	EXPECT_EQ(128 * PAGE, ev.length);
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, self->file, BEGIN));
	EXPECT_TRUE(pages_are(self->fd, 200, 128, 7));
	EXPECT_EQ(129, READ_COUNT());
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

TEST_F(backing, a_file_is_read_by_a_worker_from_any_byte_on)
{
	struct extpager_event ev;

	PARTIAL(115);
	OBJECT(BYTES);
	self->file = pager_use(&self->p, make_file(123, PAGES, 8, O_RDONLY));
	ASSERT_LT(0, self->file);
	ASSERT_TRUE(ask(&self->p, self->fd, 10, 100, &ev));
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, self->file, 123));
	EXPECT_TRUE(pages_are(self->fd, 10, 100, 8));
	EXPECT_EQ(100, READ_COUNT());
}

/* What lies behind the object's end in the file is not the object's. */
TEST_F(backing, the_last_page_ends_in_zeros)
{
	uint64_t bytes = 5 * PAGE + 100;
	int way, fds[2], file;
	struct extpager_event ev;
	uint8_t *map, page[PAGE];

	ASSERT_TRUE(disk_ready());
	fds[0] = make_file(BEGIN, PAGES, 9, O_RDONLY);
	fds[1] = open(DISK, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fds[0]);
	ASSERT_TRUE(fill_pages(fds[1], BEGIN, PAGES, 9));
	for (way = 0; way < 2; way++) {
		OBJECT(bytes);
		file = pager_use(&self->p, fds[way]);
		ASSERT_LT(0, file);
		ASSERT_TRUE(ask(&self->p, self->fd, 4, 2, &ev));
		EXPECT_EQ(PAGE + 100, ev.length);
		ASSERT_EQ(0, pager_supply_file(&self->p, &ev, file, BEGIN));
		ASSERT_TRUE(WAIT_FOR(SOON, page_is_here(self->fd, 5)));
		map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->fd, 5 * PAGE);
		ASSERT_NE(MAP_FAILED, map);
		fill_page(page, 9, 5);
		memset(page + 100, 0, PAGE - 100);
		EXPECT_EQ(0, memcmp(map, page, PAGE));
		munmap(map, PAGE);
		EXPECT_TRUE(pages_are(self->fd, 4, 1, 9));
		close(self->fd);
		self->fd = -1;
		ASSERT_TRUE(target_gone(NAME));
	}
}

/* Where the pager has answered already the file is not asked. */
TEST_F(backing, a_request_may_be_answered_in_many_ways)
{
	struct extpager_event ev, part;
	uint8_t page[PAGE];

	OBJECT(BYTES);
	self->file = pager_use(&self->p, make_file(0, PAGES, 8, O_RDONLY));
	ASSERT_LT(0, self->file);
	ASSERT_TRUE(ask(&self->p, self->fd, 0, 24, &ev));
	/* The first, a middle and the last page by copy and zeros, two from the file. */
	ASSERT_EQ(0, pager_supply_part(&self->p, &ev, 7, 0, 2 * PAGE));
	ASSERT_EQ(0, pager_supply_part(&self->p, &ev, 7, 10 * PAGE, PAGE));
	part = ev;
	part.offset = 20 * PAGE;
	part.length = PAGE;
	ASSERT_EQ(0, pager_supply_zero(&self->p, &part));
	part.offset = 12 * PAGE;
	part.length = 2 * PAGE;
	ASSERT_EQ(0, pager_supply_file(&self->p, &part, self->file, 0));
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, self->file, 0));
	EXPECT_TRUE(pages_are(self->fd, 0, 2, 7));
	EXPECT_TRUE(pages_are(self->fd, 2, 8, 8));
	EXPECT_TRUE(pages_are(self->fd, 10, 1, 7));
	EXPECT_TRUE(pages_are(self->fd, 11, 9, 8));
	ASSERT_EQ((ssize_t)PAGE, pread(self->fd, page, PAGE, 20 * PAGE));
	EXPECT_TRUE(page_is_zero(page));
	EXPECT_TRUE(pages_are(self->fd, 21, 3, 8));
	EXPECT_EQ(-ENOENT, pager_supply_file(&self->p, &ev, self->file, 0));
	EXPECT_EQ(20, READ_COUNT());
}

/* ---- what cannot be read ---- */

static unsigned int errors_of(struct crowd *c, int error)
{
	unsigned int i, n = 0;

	for (i = 0; i < c->nr; i++)
		n += c->access[i].ended && c->access[i].error == error;
	return n;
}

TEST_F(backing, one_bad_block_is_one_bad_page)
{
	struct extpager_event ev;
	struct crowd *c;
	int fd;

	self->device = true;
	ASSERT_TRUE(flaky_make(8 * MIB, 0));
	fd = open(FLAKY, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(fill_pages(fd, BEGIN, PAGES, 7));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_TRUE(flaky_page_fails(BEGIN / PAGE + 105));
	OBJECT(BYTES);
	self->file = pager_use(&self->p, fd);
	ASSERT_LT(0, self->file);
	ASSERT_TRUE(ask(&self->p, self->fd, 90, 30, &ev));
	c = crowd_new(self->fd, BYTES, 7, 1);
	c->access[0].offset = 105 * PAGE;
	c->access[0].how = BY_READ;
	crowd_start(c);
	ASSERT_TRUE(crowd_waits(c, 1, SOON));
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, self->file, BEGIN));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(1, errors_of(c, EIO));
	crowd_free(c);
	EXPECT_TRUE(pages_are(self->fd, 90, 15, 7));
	EXPECT_TRUE(pages_are(self->fd, 106, 14, 7));
	EXPECT_EQ(29, READ_COUNT());
	EXPECT_EQ(1, target_stat(NAME, EXTPAGER_A_STATS_PAGES_FAILED));
}

/* ---- pagers and files that go ---- */

static bool make_slow(int *fd)
{
	if (!flaky_make(8 * MIB, SLOW))
		return false;
	*fd = open(FLAKY, O_RDWR | O_CLOEXEC);
	return *fd >= 0 && fill_pages(*fd, BEGIN, PAGES, 7);
}

#define OBJECT_ON_SLOW_DEVICE() do {							\
	int __fd;									\
											\
	self->device = true;								\
	ASSERT_TRUE(make_slow(&__fd));							\
	OBJECT(BYTES);									\
	self->file = pager_use(&self->p, __fd);						\
	ASSERT_LT(0, self->file);							\
} while (0)

/* Take the request of a client's for page @index, and have the slow device read it. */
static bool begin_reading(struct pager *p, struct crowd *c, int file, uint64_t index)
{
	struct extpager_event ev;

	c->access[0].offset = index * PAGE;
	c->access[0].how = BY_READ;
	crowd_start(c);
	return next_request(p, &ev) && crowd_waits(c, 1, SOON) &&
	       !pager_supply_file(p, &ev, file, BEGIN);
}

TEST_F(backing, a_successor_is_asked_for_what_was_being_read)
{
	struct extpager_event ev;
	struct crowd *c;
	struct pager next;
	uint64_t begin;
	int fd, file;

	OBJECT_ON_SLOW_DEVICE();
	fd = make_file(BEGIN, PAGES, 8, O_RDONLY);
	c = crowd_new(self->fd, BYTES, 8, 1);
	begin = now_ms();
	ASSERT_TRUE(begin_reading(&self->p, c, self->file, 9));
	EXPECT_EQ(0, pager_unregister(&self->p, self->file));
	EXPECT_EQ(-ENOENT, pager_unregister(&self->p, self->file));
	/* The crowd has its port, too: closing it alone would end nothing. */
	EXPECT_EQ(0, pager_detach(&self->p, self->object));
	pager_close(&self->p);
	EXPECT_EQ(EXTPAGER_STATE_ORPHANED, target_state(NAME));

	/* The successor's names are its own, and it has to register by itself. */
	ASSERT_EQ(0, pager_open(&next, 1, 0));
	file = pager_use(&next, fd);
	ASSERT_LT(0, file);
	ASSERT_EQ(0, pager_attach(&next, NAME, NULL, NULL));
	ASSERT_TRUE(pager_expect(&next, EXTPAGER_EV_INIT, &ev, SOON));
	ASSERT_EQ(0, pager_ready(&next, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	ASSERT_TRUE(next_request(&next, &ev));
	EXPECT_EQ(9 * PAGE, ev.offset);
	EXPECT_TRUE(ev.flags & EXTPAGER_EVF_RESENT);
	EXPECT_EQ(-EBADF, pager_supply_file(&next, &ev, file + 1, BEGIN));
	ASSERT_EQ(0, pager_supply_file(&next, &ev, file, BEGIN));
	EXPECT_EQ(0, crowd_join(c, SOON));
	/* Its bytes, and not those that come late from the predecessor's device. */
	EXPECT_TRUE(c->access[0].right);
	EXPECT_GT(begin + SLOW, c->access[0].end_ms);
	EXPECT_FALSE(WAIT_FOR(begin + SLOW + 200 - now_ms(), READ_COUNT() != 1));
	EXPECT_TRUE(pages_are(self->fd, 9, 1, 8));
	crowd_free(c);
	pager_close(&next);
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
}

/* Who takes a port over finds none of its predecessor's files. */
static int hand_over(void *arg)
{
	struct pager *p = arg, q;
	int fd = dup(p->fd);

	if (fd < 0 || pager_open_fd(&q, fd, 1, 0))
		return 1;
	return pager_unregister(&q, 1) == -ENOENT ? 0 : 2;
}

static int die_with_a_file(void *arg)
{
	struct pager *p = arg;

	if (pager_open_fd(p, p->fd, 1, 0))
		return 1;
	return pager_use(p, make_file(0, 1, 8, O_RDONLY)) == 1 ? 0 : 2;
}

TEST_F(backing, files_end_with_the_pager_and_not_with_the_port)
{
	struct pager shared = { .fd = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC) };
	struct client c;

	ASSERT_LE(0, shared.fd);
	c = client_start(die_with_a_file, &shared);
	ASSERT_EQ(0, client_result(&c, SOON));
	c = client_start(hand_over, &shared);
	EXPECT_EQ(0, client_result(&c, SOON));
	close(shared.fd);
}

TEST_F(backing, a_target_can_be_deleted_while_it_is_read)
{
	struct extpager_event ev;
	uint64_t begin;

	OBJECT_ON_SLOW_DEVICE();
	ASSERT_TRUE(ask(&self->p, self->fd, 0, 64, &ev));
	begin = now_ms();
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, self->file, BEGIN));
	close(self->fd);
	self->fd = -1;
	EXPECT_TRUE(target_gone(NAME));
	EXPECT_GT(begin + SLOW, now_ms());
}

static int punch(void *arg)
{
	int fd = *(int *)arg;

	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10 * PAGE, 20 * PAGE) ?
	       errno : 0;
}

TEST_F(backing, a_hole_does_not_wait_for_what_is_being_read)
{
	struct extpager_event ev;
	uint8_t page[PAGE];
	struct client c;
	uint64_t begin;

	PARTIAL(65);
	OBJECT_ON_SLOW_DEVICE();
	ASSERT_TRUE(ask(&self->p, self->fd, 0, 64, &ev));
	begin = now_ms();
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, self->file, BEGIN));
	c = client_start(punch, &self->fd);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	EXPECT_TRUE(ev.flags & EXTPAGER_EVF_ZERO);
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_GT(begin + SLOW, now_ms());
	EXPECT_TRUE(pages_are(self->fd, 40, 1, 7));
	/* Nor does it come over the hole. */
	EXPECT_FALSE(page_is_here(self->fd, 15));
	ASSERT_EQ((ssize_t)PAGE, pwrite(self->fd, page, PAGE, 15 * PAGE));
}

/* ---- a device or a file that takes too long ---- */

TEST_F(backing, at_the_deadline_nobody_waits_any_longer)
{
	struct target_options o = { .page_in_ms = 300, .page_in_action = EXTPAGER_ACTION_ERROR };
	struct extpager_event ev;
	struct crowd *c;
	uint64_t begin;

	OBJECT_ON_SLOW_DEVICE();
	c = crowd_new(self->fd, BYTES, 7, 1);
	begin = now_ms();
	ASSERT_TRUE(begin_reading(&self->p, c, self->file, 9));
	/* It holds for what is asked already, and only for what the pager has answered. */
	ASSERT_EQ(0, target_set(NAME, &o));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(1, errors_of(c, EIO));
	EXPECT_GT(begin + SLOW, c->access[0].end_ms);
	crowd_free(c);
	/* It is the device that was late, and not the pager. */
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_WARNINGS));

	/* The next one asks anew, and is not kept waiting by the last. */
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .page_in_ms = LONG }));
	c = crowd_new(self->fd, BYTES, 7, 1);
	c->access[0].offset = 9 * PAGE;
	crowd_start(c);
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_TRUE(c->access[0].right);
	EXPECT_GT(begin + SLOW, c->access[0].end_ms);
	crowd_free(c);
	EXPECT_FALSE(WAIT_FOR(begin + SLOW + 200 - now_ms(), READ_COUNT()));
	EXPECT_TRUE(pages_are(self->fd, 9, 1, 7));
}

#define WAITERS	6

/* A pager that has answered need not show that it lives: all is asked again, and at once. */
TEST_F(backing, by_action_wait_it_is_asked_for_anew_at_the_deadline)
{
	struct target_options o = { .page_in_ms = 300, .page_in_action = EXTPAGER_ACTION_WAIT };
	struct extpager_event ev[WAITERS];
	struct crowd *c;
	uint64_t begin;
	unsigned int i;

	OBJECT_ON_SLOW_DEVICE();
	c = crowd_new(self->fd, BYTES, 7, WAITERS);
	for (i = 0; i < WAITERS; i++)
		c->access[i].offset = 40 * i * PAGE;
	begin = now_ms();
	crowd_start(c);
	for (i = 0; i < WAITERS; i++) {
		ASSERT_TRUE(next_request(&self->p, &ev[0]));
		ASSERT_EQ(0, pager_supply_file(&self->p, &ev[0], self->file, BEGIN));
	}
	/* For these, which the pager has answered, and not for what it is asked anew. */
	ASSERT_EQ(0, target_set(NAME, &o));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .page_in_ms = LONG }));
	for (i = 0; i < WAITERS; i++)
		ASSERT_TRUE(next_request(&self->p, &ev[i]));
	/* One each deadline would take longer. */
	EXPECT_GT(begin + SLOW, now_ms());
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
	for (i = 0; i < WAITERS; i++)
		ASSERT_EQ(0, pager_supply(&self->p, &ev[i], 7));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(WAITERS, crowd_right(c));
	crowd_free(c);
}

/*
 * The write holds the lock of the very file that its buffer is to come from:
 * only the deadline can end that.
 */
TEST_F(backing, a_write_to_the_file_from_its_own_mapping_ends)
{
	struct target_options o = { .page_in_ms = 500, .page_in_action = EXTPAGER_ACTION_ERROR };
	struct extpager_event ev;
	struct client c;
	struct knot k = { .index = 40 };

	PARTIAL(141);
	ASSERT_TRUE(ext4_make(64, 6));
	OBJECT(64 * PAGE);
	k.object = self->fd;
	k.file = open(ON_EXT4, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, k.file);
	self->file = pager_use(&self->p, open(ON_EXT4, O_RDONLY | O_DIRECT | O_CLOEXEC));
	ASSERT_LT(0, self->file);
	c = client_start(write_from_mapping, &k);
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, self->file, 0));
	ASSERT_EQ(0, target_set(NAME, &o));
	EXPECT_EQ(EFAULT, client_result(&c, SOON));
	/* What can be read is, if not in that time. */
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .page_in_ms = LONG }));
	ASSERT_TRUE(ask(&self->p, self->fd, 40, 1, &ev));
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, self->file, 0));
	EXPECT_TRUE(pages_are(self->fd, 40, 1, 6));
	close(k.file);
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(0, pager_unregister(&self->p, self->file));
	EXPECT_TRUE(ext4_remove());
}

static int shorten(void *arg)
{
	return ftruncate(((struct knot *)arg)->file, 19 * PAGE + 50) ? errno : 0;
}

/* Nothing is made up for bytes that the file has not when it is read. */
TEST_F(backing, a_file_that_is_too_short_fails_where_it_ends)
{
	struct extpager_event ev, held;
	struct client writer, other;
	struct knot k = { .index = 40 };
	struct crowd *c;

	ASSERT_TRUE(ext4_make(64, 8));
	OBJECT(64 * PAGE);
	k.object = self->fd;
	k.file = open(ON_EXT4, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, k.file);
	self->file = pager_use(&self->p, open(ON_EXT4, O_RDONLY | O_DIRECT | O_CLOEXEC));
	ASSERT_LT(0, self->file);
	/* One has the file's lock until it gets its page; then it is made shorter, then read. */
	writer = client_start(write_from_mapping, &k);
	ASSERT_TRUE(next_request(&self->p, &held));
	other = client_start(shorten, &k);
	ASSERT_TRUE(WAIT_FOR(SOON, client_stands(&other)));
	ASSERT_TRUE(ask(&self->p, self->fd, 10, 20, &ev));
	c = crowd_new(self->fd, 64 * PAGE, 8, 2);
	c->access[0].offset = 19 * PAGE;
	c->access[1].offset = 25 * PAGE;
	c->access[1].how = c->access[0].how = BY_READ;
	crowd_start(c);
	ASSERT_TRUE(crowd_waits(c, 2, SOON));
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, self->file, 0));
	ASSERT_TRUE(WAIT_FOR(SOON, worker_stands("extpager_files")));
	ASSERT_EQ(0, pager_supply(&self->p, &held, 8));
	EXPECT_EQ(0, client_result(&writer, SOON));
	EXPECT_EQ(0, client_result(&other, SOON));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(2, errors_of(c, EIO));
	crowd_free(c);
	EXPECT_TRUE(pages_are(self->fd, 10, 9, 8));
	EXPECT_EQ(11, target_stat(NAME, EXTPAGER_A_STATS_PAGES_FAILED));
	close(k.file);
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(0, pager_unregister(&self->p, self->file));
	EXPECT_TRUE(ext4_remove());
}

/* ---- what is returned is written without the pager, too ---- */

#define STAT(what) target_stat(NAME, EXTPAGER_A_STATS_##what)

static int sync_it(void *arg)
{
	struct io *io = arg;

	return fsync(io->fd) ? errno : 0;
}

static int write_and_sync(void *arg)
{
	return write_pages(arg) ? 99 : sync_it(arg);
}

/* A client that writes pages [index, index + nr) of @seed's pattern, and syncs. */
static struct client writer(int fd, uint64_t index, uint64_t nr, uint64_t seed)
{
	struct io io = { fd, index * PAGE, nr * PAGE, seed };

	return client_start(write_and_sync, &io);
}

static struct client syncer(int fd)
{
	struct io io = { .fd = fd };

	return client_start(sync_it, &io);
}

static bool next_return(struct pager *p, struct extpager_event *ev)
{
	return pager_expect(p, EXTPAGER_EV_DATA_RETURN, ev, SOON);
}

/* Have all that is returned written, until SYNC comes. */
static bool returns_are_written(struct pager *p, int file, uint64_t base,
				struct extpager_event *sync)
{
	while (pager_event(p, sync, SOON) && sync->op == EXTPAGER_EV_DATA_RETURN)
		if (pager_return_file(p, sync, file, base))
			return false;
	return sync->op == EXTPAGER_EV_SYNC;
}

/* What lies there, past the cache of a device. */
static bool stored(const char *path, uint64_t base, uint64_t index, uint64_t nr, uint64_t seed)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | (strncmp(path, "/dev/", 5) ? 0 : O_DIRECT));
	uint8_t *page = aligned_alloc(PAGE, PAGE);
	bool ok = fd >= 0;
	uint64_t i;

	for (i = index; ok && i < index + nr; i++)
		ok = pread(fd, page, PAGE, base + i * PAGE) == (ssize_t)PAGE &&
		     page_is(page, seed, i);
	free(page);
	close(fd);
	return ok;
}

TEST_F(backing, a_return_is_written_to_a_device)
{
	struct extpager_event ev;
	struct client c;
	int fd;

	PARTIAL(115);
	ASSERT_TRUE(disk_ready());
	OBJECT(BYTES);
	fd = open(DISK, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(fill_pages(fd, BEGIN, PAGES, 7));
	self->file = pager_use(&self->p, fd);
	ASSERT_LT(0, self->file);
	/* More than goes into one bio. */
	c = writer(self->fd, 100, 300, 9);
	ASSERT_TRUE(returns_are_written(&self->p, self->file, BEGIN, &ev));
	/* The barrier comes after what it covers. */
	EXPECT_TRUE(stored(DISK, BEGIN, 100, 300, 9));
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, QUIET));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_TRUE(stored(DISK, BEGIN, 99, 1, 7));
	EXPECT_TRUE(stored(DISK, BEGIN, 400, 1, 7));
	EXPECT_EQ(300, STAT(PAGES_WRITTEN));
	EXPECT_EQ(300, STAT(PAGES_RETURNED));
	EXPECT_EQ(0, STAT(BAD_REPLIES));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

#define END 100			/* bytes of the last page that are the object's */

static int write_the_end(void *arg)
{
	struct io *io = arg;
	uint8_t page[PAGE];

	fill_page(page, io->seed, io->offset / PAGE);
	return pwrite(io->fd, page, END, io->offset) == END ? sync_it(io) : 99;
}

/* It becomes longer, as by any write, but not longer than the object. */
TEST_F(backing, a_return_is_written_to_a_file_from_any_byte_on)
{
	struct io end = { .offset = 300 * PAGE, .seed = 9 };
	uint8_t page[PAGE], is[PAGE];
	struct extpager_event ev;
	struct client c;
	struct stat st;
	int fd;

	PARTIAL(115);
	OBJECT(300 * PAGE + END);
	self->file = pager_use(&self->p, make_file(123, 1, 8, O_RDWR));
	ASSERT_LT(0, self->file);
	c = writer(self->fd, 2, 298, 9);
	ASSERT_TRUE(returns_are_written(&self->p, self->file, 123, &ev));
	EXPECT_TRUE(stored(FILE_PATH, 123, 2, 298, 9));
	EXPECT_TRUE(stored(FILE_PATH, 123, 0, 1, 8));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_EQ(298, STAT(PAGES_WRITTEN));
	end.fd = self->fd;
	c = client_start(write_the_end, &end);
	ASSERT_TRUE(returns_are_written(&self->p, self->file, 123, &ev));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
	fd = open(FILE_PATH, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(123 + 300 * PAGE + END, st.st_size);
	fill_page(page, 9, 300);
	EXPECT_EQ(END, pread(fd, is, END, 123 + 300 * PAGE));
	EXPECT_EQ(0, memcmp(page, is, END));
	close(fd);
}

/* Past the cache of its file system as it was opened, but for a part of a block. */
TEST_F(backing, a_return_is_written_directly)
{
	struct io end = { .offset = 64 * PAGE, .seed = 9 };
	struct extpager_event ev;
	uint8_t page[PAGE], is[END];
	struct client c;
	int fd;

	ASSERT_TRUE(ext4_make(8, 6));
	OBJECT(64 * PAGE + END);
	self->file = pager_use(&self->p, open(ON_EXT4, O_RDWR | O_DIRECT | O_CLOEXEC));
	ASSERT_LT(0, self->file);
	c = writer(self->fd, 4, 60, 9);
	ASSERT_TRUE(returns_are_written(&self->p, self->file, 0, &ev));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_TRUE(stored(ON_EXT4, 0, 0, 4, 6));
	EXPECT_TRUE(stored(ON_EXT4, 0, 4, 60, 9));
	end.fd = self->fd;
	c = client_start(write_the_end, &end);
	ASSERT_TRUE(returns_are_written(&self->p, self->file, 0, &ev));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
	fill_page(page, 9, 64);
	fd = open(ON_EXT4, O_RDONLY | O_CLOEXEC);
	EXPECT_EQ(END, pread(fd, is, END, 64 * PAGE));
	EXPECT_EQ(0, memcmp(page, is, END));
	EXPECT_EQ(0, pread(fd, is, 1, 64 * PAGE + END));
	close(fd);
	EXPECT_EQ(0, STAT(RETURNS_FAILED));
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(0, pager_unregister(&self->p, self->file));
	EXPECT_TRUE(ext4_remove());
}

TEST_F(backing, what_cannot_be_written_is_a_return_that_failed)
{
	struct extpager_event ev;
	struct client c;
	int fd;

	BEHAVIOURS(59);
	self->device = true;
	ASSERT_TRUE(flaky_make(8 * MIB, 0));
	fd = open(FLAKY, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	OBJECT(BYTES);
	self->file = pager_use(&self->p, fd);
	ASSERT_LT(0, self->file);
	ASSERT_TRUE(flaky_fail(8 * MIB, true));
	c = writer(self->fd, 10, 20, 9);
	ASSERT_TRUE(next_return(&self->p, &ev));
	EXPECT_EQ(20 * PAGE, ev.length);
	ASSERT_EQ(0, pager_return_file(&self->p, &ev, self->file, BEGIN));
	EXPECT_EQ(EIO, client_result(&c, SOON));
	EXPECT_EQ(20 * PAGE, target_dirty(NAME));
	EXPECT_EQ(1, STAT(RETURNS_FAILED));
	EXPECT_EQ(0, STAT(PAGES_RETURNED));
	EXPECT_EQ(0, STAT(PAGES_WRITTEN));
	ASSERT_TRUE(flaky_fail(8 * MIB, false));
	c = syncer(self->fd);
	ASSERT_TRUE(returns_are_written(&self->p, self->file, BEGIN, &ev));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_TRUE(stored(FLAKY, BEGIN, 10, 20, 9));
}

/*
 * Have the slow device write a page of @seed that a client waits for; when it began. To the
 * pager it is answered.
 */
static uint64_t begin_writing(struct pager *p, int fd, int file, struct client *c, uint64_t seed)
{
	struct extpager_event ev;
	uint64_t begin;

	*c = writer(fd, 9, 1, seed);
	if (!next_return(p, &ev))
		return 0;
	begin = now_ms();
	return !pager_return_file(p, &ev, file, BEGIN) &&
	       pager_return_file(p, &ev, file, BEGIN) == -ENOENT &&
	       pager_fetch(p, &ev, p->buffer) == -ENOENT &&
	       pager_return_done(p, &ev, 0) == -ENOENT ? begin : 0;
}

/* The next return of the page, which has @seed's pattern: not before the first one is over. */
#define RETURNED_AGAIN(p, begin, seed, flag) do {					\
	uint8_t __page[PAGE];								\
	struct extpager_event __ev;							\
											\
	ASSERT_TRUE(next_return(p, &__ev));						\
	EXPECT_LE((begin) + SLOW, now_ms());						\
	EXPECT_EQ(9 * PAGE, __ev.offset);						\
	EXPECT_EQ(flag, __ev.flags);							\
	ASSERT_EQ(0, pager_fetch(p, &__ev, __page));					\
	EXPECT_TRUE(page_is(__page, seed, 9));						\
	ASSERT_EQ(0, pager_return_done(p, &__ev, 0));					\
} while (0)

#define SYNCED(p, c) do {								\
	struct extpager_event __sync;							\
											\
	ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_SYNC, &__sync, SOON));			\
	ASSERT_EQ(0, pager_sync_done(p, &__sync, 0));					\
	EXPECT_EQ(0, client_result(c, SOON));						\
} while (0)

static bool write_range(int fd, uint64_t index, uint64_t nr, uint64_t seed)
{
	return !write_pages(&(struct io){ fd, index * PAGE, nr * PAGE, seed });
}

/* The next return is of these pages; have it written. */
static bool returns(struct pager *p, int file, uint64_t index, uint64_t nr)
{
	struct extpager_event ev;

	return next_return(p, &ev) && ev.offset == index * PAGE && ev.length == nr * PAGE &&
	       !ev.flags && !pager_return_file(p, &ev, file, BEGIN);
}

/* One that a reader has in the cache, too: it is no part of what is written. */
TEST_F(backing, dirty_neighbours_are_written_in_one_return)
{
	struct extpager_event ev;
	struct client c;
	int disk;

	BEHAVIOURS(62);
	ASSERT_TRUE(disk_ready());
	OBJECT(2 * BYTES);
	disk = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
	ASSERT_LE(0, disk);
	ASSERT_TRUE(fill_pages(disk, BEGIN, 2 * PAGES, 7));
	self->file = pager_use(&self->p, open(DISK, O_RDWR | O_CLOEXEC));
	ASSERT_LT(0, self->file);
	/* As many as a return may have, and the rest. */
	ASSERT_EQ(EXTPAGER_REQUEST_MAX, PAGES * PAGE);
	ASSERT_TRUE(fill_pages(self->fd, 0, PAGES + 100, 9));
	c = syncer(self->fd);
	EXPECT_TRUE(returns(&self->p, self->file, 0, PAGES));
	EXPECT_TRUE(returns(&self->p, self->file, PAGES, 100));
	SYNCED(&self->p, &c);
	EXPECT_TRUE(stored(DISK, BEGIN, 0, PAGES + 100, 9));

	/* A clean page, and one that is not here, stay what they are on the disk. */
	ASSERT_TRUE(ask(&self->p, self->fd, 708, 1, &ev));
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, self->file, BEGIN));
	ASSERT_TRUE(pages_are(self->fd, 708, 1, 7));
	ASSERT_TRUE(write_range(self->fd, 700, 8, 9));
	ASSERT_TRUE(write_range(self->fd, 709, 5, 9));
	ASSERT_TRUE(write_range(self->fd, 715, 2, 9));
	EXPECT_FALSE(page_is_here(self->fd, 714));
	c = syncer(self->fd);
	EXPECT_TRUE(returns(&self->p, self->file, 700, 8));
	EXPECT_TRUE(returns(&self->p, self->file, 709, 5));
	EXPECT_TRUE(returns(&self->p, self->file, 715, 2));
	SYNCED(&self->p, &c);
	EXPECT_TRUE(stored(DISK, BEGIN, 700, 8, 9));
	EXPECT_TRUE(stored(DISK, BEGIN, 708, 1, 7));
	EXPECT_TRUE(stored(DISK, BEGIN, 709, 5, 9));
	EXPECT_TRUE(stored(DISK, BEGIN, 714, 1, 7));
	EXPECT_TRUE(stored(DISK, BEGIN, 715, 2, 9));
	EXPECT_EQ(5, STAT(DATA_RETURNS));
	EXPECT_EQ(PAGES + 100 + 15, STAT(PAGES_WRITTEN));
	close(disk);
}

TEST_F(backing, what_is_written_to_a_page_meanwhile_is_returned_after_it)
{
	struct client first, next;
	struct extpager_event ev;
	uint8_t page[PAGE];
	uint64_t begin;

	OBJECT_ON_SLOW_DEVICE();
	begin = begin_writing(&self->p, self->fd, self->file, &first, 8);
	ASSERT_LT(0, begin);
	next = writer(self->fd, 9, 1, 9);
	/* The first one's barrier comes before or after. */
	while (STAT(PAGES_RETURNED) < 2) {
		ASSERT_TRUE(pager_event(&self->p, &ev, SOON));
		EXPECT_LE(begin + SLOW, now_ms());
		if (ev.op == EXTPAGER_EV_SYNC) {
			ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
			continue;
		}
		ASSERT_EQ(EXTPAGER_EV_DATA_RETURN, ev.op);
		ASSERT_EQ(0, pager_fetch(&self->p, &ev, page));
		EXPECT_TRUE(page_is(page, 9, 9));
		ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	}
	EXPECT_EQ(0, serve_client(&self->p, &next, 7, NULL));
	EXPECT_EQ(0, serve_client(&self->p, &first, 7, NULL));
	EXPECT_EQ(1, STAT(PAGES_WRITTEN));
	EXPECT_EQ(2, STAT(PAGES_RETURNED));
}

/* When the pager has answered, so that it is the device alone that can be late. */
#define IMPATIENT() \
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){				\
		.return_ms = 300, .return_action = EXTPAGER_ACTION_ERROR }))
#define PATIENT() ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .return_ms = SOON }))

TEST_F(backing, a_return_that_is_not_written_in_time_has_failed)
{
	struct client c;
	uint64_t begin;

	OBJECT_ON_SLOW_DEVICE();
	begin = begin_writing(&self->p, self->fd, self->file, &c, 8);
	ASSERT_LT(0, begin);
	IMPATIENT();
	EXPECT_EQ(EIO, client_result(&c, SOON));
	EXPECT_GT(begin + SLOW, now_ms());
	/* It is the device that was late, and not the pager. */
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
	EXPECT_EQ(0, STAT(WARNINGS));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	PATIENT();
	/* A newer one would be overtaken by it. */
	c = writer(self->fd, 9, 1, 9);
	RETURNED_AGAIN(&self->p, begin, 9, 0);
	SYNCED(&self->p, &c);
	EXPECT_EQ(1, STAT(PAGES_RETURNED));
	EXPECT_EQ(0, target_dirty(NAME));
}

/* Nor do its bytes come to lie where a hole has been made since. */
TEST_F(backing, a_hole_is_told_when_what_was_there_is_written)
{
	struct extpager_event ev;
	struct client c;
	uint64_t begin;

	PARTIAL(65);
	OBJECT_ON_SLOW_DEVICE();
	begin = now_ms();
	c = writer(self->fd, 15, 1, 8);
	ASSERT_TRUE(next_return(&self->p, &ev));
	ASSERT_EQ(0, pager_return_file(&self->p, &ev, self->file, BEGIN));
	IMPATIENT();
	EXPECT_EQ(EIO, client_result(&c, SOON));
	PATIENT();
	c = client_start(punch, &self->fd);
	ASSERT_TRUE(next_return(&self->p, &ev));
	EXPECT_TRUE(ev.flags & EXTPAGER_EVF_ZERO);
	EXPECT_LE(begin + SLOW, now_ms());
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_EQ(0, target_dirty(NAME));
}

TEST_F(backing, a_hole_is_not_waited_for_longer_than_its_deadline)
{
	struct extpager_event ev;
	struct client c;
	uint64_t begin;

	OBJECT_ON_SLOW_DEVICE();
	begin = now_ms();
	c = writer(self->fd, 15, 1, 8);
	ASSERT_TRUE(next_return(&self->p, &ev));
	ASSERT_EQ(0, pager_return_file(&self->p, &ev, self->file, BEGIN));
	IMPATIENT();
	EXPECT_EQ(EIO, client_result(&c, SOON));
	c = client_start(punch, &self->fd);
	EXPECT_EQ(EIO, client_result(&c, SOON));
	EXPECT_GT(begin + SLOW, now_ms());
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
	PATIENT();
	/* It is told all the same. */
	ASSERT_TRUE(next_return(&self->p, &ev));
	EXPECT_TRUE(ev.flags & EXTPAGER_EVF_ZERO);
	EXPECT_LE(begin + SLOW, now_ms());
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	EXPECT_TRUE(WAIT_FOR(SOON, !target_dirty(NAME)));
}

/* The pager is silent otherwise: another page is asked for in vain. */
#define STALLED(p, fd, action) do {							\
	struct extpager_event __ev;							\
											\
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){				\
		.page_in_ms = 200, .page_in_action = EXTPAGER_ACTION_ERROR,		\
		.return_ms = SOON, .return_action = action }));				\
	ASSERT_TRUE(ask(p, fd, 100, 1, &__ev));						\
	ASSERT_TRUE(WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_STALLED));	\
} while (0)

/* Its page went to the spill before it was written, and its deadline is not over. */
TEST_F(backing, a_hole_in_what_was_withdrawn_is_told_when_it_is_written)
{
	struct client first, hole;
	struct extpager_event ev;
	uint64_t begin;

	OBJECT_ON_SLOW_DEVICE();
	begin = now_ms();
	first = writer(self->fd, 15, 1, 8);
	ASSERT_TRUE(next_return(&self->p, &ev));
	ASSERT_EQ(0, pager_return_file(&self->p, &ev, self->file, BEGIN));
	STALLED(&self->p, self->fd, EXTPAGER_ACTION_SPILL);
	ASSERT_TRUE(WAIT_FOR(SOON, target_spilled(NAME) == PAGE));
	EXPECT_GT(begin + SLOW, now_ms());
	hole = client_start(punch, &self->fd);
	ASSERT_TRUE(next_return(&self->p, &ev));
	EXPECT_TRUE(ev.flags & EXTPAGER_EVF_ZERO);
	EXPECT_LE(begin + SLOW, now_ms());
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&hole, SOON));
	EXPECT_EQ(0, serve_client(&self->p, &first, 7, NULL));
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_EQ(0, target_spilled(NAME));
}

#define GIVEN_UP	200UL		/* pages; more than the quota of who comes later */

/* Nothing of what fills the quota is pending, nor can be returned. */
TEST_F(backing, a_writer_does_not_wait_for_what_was_given_up)
{
	struct io more = { .offset = 300 * PAGE, .length = PAGE, .seed = 9 };
	struct extpager_event ev;
	uint64_t returned = 0;
	struct client c;

	OBJECT_ON_SLOW_DEVICE();
	c = writer(self->fd, 0, GIVEN_UP, 8);
	while (returned < GIVEN_UP * PAGE) {
		ASSERT_TRUE(next_return(&self->p, &ev));
		ASSERT_EQ(0, pager_return_file(&self->p, &ev, self->file, BEGIN));
		returned += ev.length;
	}
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){
		.return_ms = 300, .return_action = EXTPAGER_ACTION_SPILL }));
	EXPECT_EQ(EIO, client_result(&c, SOON));
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .quota = MIB / 2 }));
	more.fd = self->fd;
	c = client_start(write_pages, &more);
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_LT(0, target_spilled(NAME));
}

TEST_F(backing, what_is_written_is_no_life_of_its_pager)
{
	struct client c;
	uint64_t begin;

	OBJECT_ON_SLOW_DEVICE();
	begin = begin_writing(&self->p, self->fd, self->file, &c, 8);
	ASSERT_LT(0, begin);
	STALLED(&self->p, self->fd, EXTPAGER_ACTION_ERROR);
	EXPECT_GT(begin + SLOW, now_ms());
	ASSERT_TRUE(WAIT_FOR(SOON, STAT(PAGES_RETURNED) == 1));
	EXPECT_FALSE(WAIT_FOR(QUIET, target_state(NAME) != EXTPAGER_STATE_STALLED));
	SYNCED(&self->p, &c);
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
}

#define RUN	100UL		/* pages of a return; two of them are more than the quota */

TEST_F(backing, what_is_written_leaves_the_quota_once)
{
	struct io more = { .offset = 5 * RUN * PAGE, .length = PAGE, .seed = 9 };
	struct extpager_event ev;
	struct client c;
	uint64_t i;

	ASSERT_TRUE(disk_ready());
	OBJECT(2 * BYTES);
	self->file = pager_use(&self->p, open(DISK, O_RDWR | O_CLOEXEC));
	ASSERT_LT(0, self->file);
	for (i = 0; i < 4; i++)
		ASSERT_TRUE(fill_pages(self->fd, i * (RUN + 10) * PAGE, RUN, 9));
	/* Nothing goes elsewhere. */
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){
		.quota = MIB / 2, .return_action = EXTPAGER_ACTION_ERROR }));
	more.fd = self->fd;
	c = client_start(write_pages, &more);
	ASSERT_TRUE(WAIT_FOR(SOON, STAT(QUOTA_WAITS) == 1));
	for (i = 0; i < 4; i++) {
		ASSERT_TRUE(next_return(&self->p, &ev));
		EXPECT_EQ(RUN * PAGE, ev.length);
		ASSERT_EQ(0, pager_return_file(&self->p, &ev, self->file, BEGIN));
		ASSERT_TRUE(WAIT_FOR(SOON, STAT(PAGES_RETURNED) == (i + 1) * RUN));
		/* It is full yet, and less than a quota has gone. */
		if (!i)
			EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 500));
	}
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_EQ(4 * RUN, STAT(PAGES_WRITTEN));
}

/* An object of the port's own, whose first bytes a client writes. */
#define OWN_OBJECT_ON_SLOW_DEVICE(generation) do {					\
	int __fd;									\
											\
	self->device = true;								\
	ASSERT_TRUE(make_slow(&__fd));							\
	self->file = pager_use(&self->p, __fd);						\
	ASSERT_LT(0, self->file);							\
	self->fd = pager_create(&self->p, BYTES, 0, &self->object);			\
	ASSERT_LE(0, self->fd);								\
	ASSERT_NE(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->fd, 0));	\
	ASSERT_TRUE(object_ready(&self->p, generation));				\
} while (0)

static int discard(struct pager *p, uint64_t object, uint32_t generation)
{
	struct extpager_reply re = {
		.op = EXTPAGER_RE_DESTROY, .flags = EXTPAGER_REF_DISCARD,
		.object = object, .generation = generation,
	};

	return pager_reply(p, &re);
}

TEST_F(backing, an_object_that_is_discarded_ends_when_it_is_written)
{
	struct extpager_event ev;
	uint32_t generation;
	struct client c;
	uint64_t begin;

	OWN_OBJECT_ON_SLOW_DEVICE(&generation);
	begin = begin_writing(&self->p, self->fd, self->file, &c, 8);
	ASSERT_LT(0, begin);
	ASSERT_EQ(0, discard(&self->p, self->object, generation));
	/* Nobody waits for what is dropped. */
	EXPECT_LT(0, client_result(&c, SOON));
	EXPECT_GT(begin + SLOW, now_ms());
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_TERMINATE, &ev, SOON));
	EXPECT_LE(begin + SLOW, now_ms());
}

TEST_F(backing, the_end_of_a_port_does_not_wait_for_what_is_written)
{
	uint32_t generation;
	struct client c;
	uint64_t begin;

	OWN_OBJECT_ON_SLOW_DEVICE(&generation);
	begin = begin_writing(&self->p, self->fd, self->file, &c, 8);
	ASSERT_LT(0, begin);
	ASSERT_EQ(0, discard(&self->p, self->object, generation));
	/* The client has the port, too. */
	EXPECT_LT(0, client_result(&c, SOON));
	pager_close(&self->p);
	EXPECT_GT(begin + SLOW, now_ms());
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
}

TEST_F(backing, a_successor_begins_when_it_is_written)
{
	struct extpager_event ev;
	struct pager next;
	struct client c;
	uint64_t begin;

	PARTIAL(93);
	OBJECT_ON_SLOW_DEVICE();
	begin = begin_writing(&self->p, self->fd, self->file, &c, 8);
	ASSERT_LT(0, begin);
	EXPECT_EQ(0, pager_detach(&self->p, self->object));
	pager_close(&self->p);
	EXPECT_EQ(EXTPAGER_STATE_ORPHANED, target_state(NAME));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	ASSERT_EQ(0, pager_open(&next, 1, 0));
	ASSERT_EQ(0, pager_attach(&next, NAME, NULL, NULL));
	EXPECT_GT(begin + SLOW, now_ms());
	ASSERT_TRUE(pager_expect(&next, EXTPAGER_EV_INIT, &ev, SOON));
	EXPECT_LE(begin + SLOW, now_ms());
	ASSERT_EQ(0, pager_ready(&next, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	/* Nobody knows whether it was written well. */
	RETURNED_AGAIN(&next, begin, 8, EXTPAGER_EVF_RESENT);
	SYNCED(&next, &c);
	EXPECT_EQ(1, STAT(PAGES_RETURNED));
	pager_close(&next);
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
}

TEST_F(backing, a_file_is_given_back_when_all_is_written)
{
	struct extpager_event ev;
	struct client c;
	uint64_t begin;

	OBJECT_ON_SLOW_DEVICE();
	begin = begin_writing(&self->p, self->fd, self->file, &c, 8);
	ASSERT_LT(0, begin);
	EXPECT_EQ(0, pager_unregister(&self->p, self->file));
	EXPECT_LE(begin + SLOW, now_ms());
	EXPECT_TRUE(stored(FLAKY, BEGIN, 9, 1, 8));
	EXPECT_EQ(-ENOENT, pager_unregister(&self->p, self->file));
	SYNCED(&self->p, &c);
	c = writer(self->fd, 9, 1, 9);
	ASSERT_TRUE(next_return(&self->p, &ev));
	EXPECT_EQ(-EBADF, pager_return_file(&self->p, &ev, self->file, BEGIN));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	SYNCED(&self->p, &c);
}

/* Its blocks may be another's then. */
TEST_F(backing, a_target_that_is_discarded_ends_when_it_is_written)
{
	struct client c;
	uint64_t begin;

	OBJECT_ON_SLOW_DEVICE();
	begin = begin_writing(&self->p, self->fd, self->file, &c, 8);
	ASSERT_LT(0, begin);
	close(self->fd);
	self->fd = -1;
	EXPECT_TRUE(target_gone(NAME));
	EXPECT_LE(begin + SLOW, now_ms());
	EXPECT_LT(0, client_result(&c, SOON));
}

/* ---- what is refused ---- */

static int reg(struct pager *p, int fd, uint32_t flags, uint32_t reserved)
{
	struct extpager_register r = {
		.size = sizeof(r), .fd = fd, .flags = flags, .reserved = reserved,
	};

	return ioctl(p->fd, EXTPAGER_IOC_REGISTER, &r) ? -errno : 0;
}

TEST_F(backing, what_is_no_file_to_read_is_not_registered)
{
	struct extpager_register *frozen = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int pipes[2], fd, i, last = 0;

	BEHAVIOURS(109);
	OBJECT(BYTES);
	ASSERT_EQ(0, pipe(pipes));
	fd = make_file(0, 1, 8, O_WRONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBADF, reg(&self->p, -1, 0, 0));
	EXPECT_EQ(-EBADF, reg(&self->p, 999, 0, 0));
	EXPECT_EQ(-EBADF, reg(&self->p, fd, 0, 0));
	close(fd);
	EXPECT_EQ(-EINVAL, reg(&self->p, pipes[0], 0, 0));
	EXPECT_EQ(-EINVAL, reg(&self->p, self->p.fd, 0, 0));
	EXPECT_EQ(-ELOOP, reg(&self->p, self->fd, 0, 0));
	fd = open(target_path(NAME), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	EXPECT_LE(0, fd);
	EXPECT_EQ(-ELOOP, reg(&self->p, fd, 0, 0));
	close(fd);
	fd = open("/tmp", O_RDONLY | O_CLOEXEC);
	EXPECT_EQ(-EINVAL, reg(&self->p, fd, 0, 0));
	close(fd);
	fd = open("/proc/sys/kernel/hostname", O_RDONLY | O_CLOEXEC);
	EXPECT_EQ(-EOPNOTSUPP, reg(&self->p, fd, 0, 0));
	close(fd);
	fd = make_file(0, 1, 8, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EOPNOTSUPP, reg(&self->p, fd, 1, 0));
	EXPECT_EQ(-EINVAL, reg(&self->p, fd, 0, 1));
	/* One whose name could not be told has none, and takes nobody's place. */
	ASSERT_NE(MAP_FAILED, frozen);
	*frozen = (struct extpager_register){ .size = sizeof(*frozen), .fd = fd };
	ASSERT_EQ(0, mprotect(frozen, PAGE, PROT_READ));
	EXPECT_EQ(-EFAULT, ioctl(self->p.fd, EXTPAGER_IOC_REGISTER, frozen) ? -errno : 0);
	for (i = 0; i < EXTPAGER_FILES_MAX; i++) {
		int name = pager_register(&self->p, fd);

		ASSERT_LT(last, name);
		last = name;
	}
	EXPECT_EQ(-ENOSPC, reg(&self->p, fd, 0, 0));
	EXPECT_EQ(0, pager_unregister(&self->p, last));
	EXPECT_EQ(last + 1, pager_register(&self->p, fd));
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

TEST_F(backing, a_supply_that_cannot_be_is_refused_and_can_be_given_anew)
{
	struct extpager_reply re;
	struct extpager_event ev;
	int device;

	BEHAVIOURS(109);
	ASSERT_TRUE(disk_ready());
	OBJECT(BYTES);
	self->file = pager_use(&self->p, make_file(0, PAGES, 8, O_RDONLY));
	device = pager_use(&self->p, open(DISK, O_RDONLY | O_CLOEXEC));
	ASSERT_LT(0, self->file);
	ASSERT_LT(0, device);
	ASSERT_TRUE(ask(&self->p, self->fd, 0, 8, &ev));
#define REFUSED(error, change) do {							\
	re = reply_to(&ev, EXTPAGER_RE_SUPPLY);						\
	re.flags = EXTPAGER_REF_FILE;							\
	re.length = ev.length;								\
	re.file = self->file;								\
	change;										\
	EXPECT_EQ(-(error), pager_reply(&self->p, &re)) { TH_LOG("%s", #change); }	\
	EXPECT_EQ(0, re.out_done);							\
} while (0)
	REFUSED(EBADF, re.file = 0);
	REFUSED(EBADF, re.file = 77);
	REFUSED(EINVAL, re.flags |= EXTPAGER_REF_ZERO);
	REFUSED(EINVAL, re.flags = 0; re.addr = (uintptr_t)self->p.buffer);
	REFUSED(EINVAL, re.tag = 0);
	REFUSED(EINVAL, re.addr = ~0ULL);
	REFUSED(EINVAL, re.addr = (1ULL << 63) - PAGE);
	REFUSED(EINVAL, re.file = device; re.addr = 100);
	REFUSED(ERANGE, re.file = device; re.addr = 512 * MIB - PAGE);
	REFUSED(ERANGE, re.file = device; re.addr = 1ULL << 62);
	REFUSED(ERANGE, re.offset = 4 * PAGE);
	REFUSED(ENOENT, re.tag++);
	REFUSED(ESTALE, re.generation++);
	REFUSED(EINVAL, re.op = EXTPAGER_RE_ERROR; re.error = EIO);
	REFUSED(EINVAL, re.op = EXTPAGER_RE_ERROR; re.error = EIO; re.flags = 0);
	ASSERT_EQ(0, pager_supply_file(&self->p, &ev, self->file, 0));
	EXPECT_TRUE(pages_are(self->fd, 0, 8, 8));
#undef REFUSED
}

/* Who waits does not learn of what its pager tries. */
TEST_F(backing, a_file_that_nothing_can_be_supplied_from_is_refused_and_the_waiter_goes_on)
{
	int device, fd, own, others, i;
	struct extpager_event ev;
	uint64_t object;
	struct crowd *c;
	struct pager q;

	BEHAVIOURS(139);
	ASSERT_TRUE(disk_ready());
	OBJECT(BYTES);
	ASSERT_EQ(0, pager_open(&q, 1, 0));
	own = pager_create(&self->p, BYTES, 0, NULL);
	others = pager_create(&q, BYTES, 0, &object);
	ASSERT_LE(0, own);
	ASSERT_LE(0, others);
	ASSERT_TRUE(ask(&self->p, self->fd, 10, 20, &ev));
	c = crowd_new(self->fd, BYTES, 8, 3);
	c->access[0].offset = 10 * PAGE;
	c->access[1].offset = 19 * PAGE;
	c->access[2].offset = 29 * PAGE;
	c->access[2].how = BY_READ;
	crowd_start(c);
	ASSERT_TRUE(crowd_waits(c, 3, SOON));

	/* Objects: of this port, of another one, a target's by either way in. */
	EXPECT_EQ(-ELOOP, pager_register(&self->p, own));
	EXPECT_EQ(-ELOOP, pager_register(&self->p, others));
	EXPECT_EQ(-ELOOP, pager_register(&q, own));
	EXPECT_EQ(-ELOOP, pager_register(&q, self->fd));
	EXPECT_EQ(-ELOOP, pager_register(&self->p, self->fd));
	EXPECT_EQ(-ELOOP, pager_use(&self->p, pager_reopen(&q, object, O_RDONLY)));
	EXPECT_EQ(-ELOOP, pager_use(&self->p, open(target_path(NAME), O_RDONLY | O_CLOEXEC |
								      O_NONBLOCK)));
	/* What is not readable. */
	EXPECT_EQ(-EBADF, pager_use(&self->p, make_file(0, 30, 8, O_WRONLY)));
	EXPECT_EQ(-EBADF, pager_use(&self->p, open(DISK, O_WRONLY | O_CLOEXEC)));
	EXPECT_EQ(-EBADF, pager_use(&self->p, open(FILE_PATH, O_PATH | O_CLOEXEC)));
	/* So none of these has a name, and what has none supplies nothing. */
	for (i = 0; i < 12; i++)
		EXPECT_EQ(-EBADF, pager_supply_file(&self->p, &ev, i, 0));

	/* What is too short. */
	fd = open(DISK, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	device = pager_register(&self->p, fd);
	ASSERT_LT(0, device);
	EXPECT_EQ(-ERANGE, pager_supply_file(&self->p, &ev, device,
					     lseek(fd, 0, SEEK_END) - 29 * PAGE));
	close(fd);
	self->file = pager_use(&self->p, make_file(0, 11, 8, O_RDONLY));
	ASSERT_LT(0, self->file);
	EXPECT_EQ(-ERANGE, pager_supply_file(&self->p, &ev, self->file, 1));
	ASSERT_EQ(0, truncate(FILE_PATH, 3 * PAGE));
	EXPECT_EQ(-ERANGE, pager_supply_file(&self->p, &ev, self->file, 0));
	EXPECT_EQ(0, crowd_ended(c));
	EXPECT_EQ(0, READ_COUNT());

	/* What it has comes from it; the rest is to be answered yet, as it always could be. */
	self->file = pager_use(&self->p, make_file(0, 20, 8, O_RDONLY));
	ASSERT_LT(0, self->file);
	EXPECT_EQ(-ERANGE, pager_supply_file(&self->p, &ev, self->file, 0));
	EXPECT_TRUE(WAIT_FOR(SOON, crowd_ended(c) == 2));
	EXPECT_TRUE(pages_are(self->fd, 10, 10, 8));
	EXPECT_EQ(10, READ_COUNT());
	EXPECT_FALSE(c->access[2].ended);
	ASSERT_EQ(0, pager_supply_part(&self->p, &ev, 8, 20 * PAGE, 10 * PAGE));
	EXPECT_EQ(0, crowd_join(c, SOON));
	EXPECT_EQ(3, crowd_right(c));
	crowd_free(c);
	EXPECT_TRUE(pages_are(self->fd, 20, 10, 8));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_PAGES_FAILED));
	close(others);
	close(own);
	pager_close(&q);
}

static int punch_the_first(void *arg)
{
	return fallocate(*(int *)arg, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE);
}

TEST_F(backing, a_return_that_cannot_be_written_so_is_refused)
{
	struct io end = { .offset = 8 * PAGE, .seed = 9 };
	int device, rdonly, append, rdonly_device;
	struct extpager_reply re;
	struct extpager_event ev;
	uint8_t page[8 * PAGE];
	struct client c;

	BEHAVIOURS(109);
	ASSERT_TRUE(disk_ready());
	OBJECT(8 * PAGE + END);
	self->file = pager_use(&self->p, make_file(0, 8, 8, O_RDWR));
	rdonly = pager_use(&self->p, open(FILE_PATH, O_RDONLY | O_CLOEXEC));
	append = pager_use(&self->p, open(FILE_PATH, O_RDWR | O_APPEND | O_CLOEXEC));
	device = pager_use(&self->p, open(DISK, O_RDWR | O_CLOEXEC));
	rdonly_device = pager_use(&self->p, open(DISK, O_RDONLY | O_CLOEXEC));
	ASSERT_LT(0, self->file);
	ASSERT_LT(0, rdonly);
	ASSERT_LT(0, append);
	ASSERT_LT(0, device);
	ASSERT_LT(0, rdonly_device);
	c = writer(self->fd, 0, 8, 9);
	ASSERT_TRUE(next_return(&self->p, &ev));
#define REFUSED(error, change) do {							\
	re = reply_to(&ev, EXTPAGER_RE_RETURN_DONE);					\
	re.flags = EXTPAGER_REF_FILE;							\
	re.offset = ev.offset;								\
	re.length = ev.length;								\
	re.file = self->file;								\
	change;										\
	EXPECT_EQ(-(error), pager_reply(&self->p, &re)) { TH_LOG("%s", #change); }	\
	EXPECT_EQ(0, re.out_done);							\
} while (0)
	REFUSED(EBADF, re.file = 0);
	REFUSED(EBADF, re.file = 77);
	REFUSED(EBADF, re.file = rdonly);
	REFUSED(EBADF, re.file = rdonly_device);
	REFUSED(EBADF, re.file = append);
	REFUSED(EINVAL, re.flags = 0);
	REFUSED(EINVAL, re.flags |= EXTPAGER_REF_ZERO);
	REFUSED(EINVAL, re.error = EIO);
	REFUSED(EINVAL, re.attributes = 1);
	REFUSED(EINVAL, re.addr = ~0ULL);
	REFUSED(EINVAL, re.addr = (1ULL << 63) - PAGE);
	REFUSED(EINVAL, re.file = device; re.addr = 100);
	REFUSED(ERANGE, re.file = device; re.addr = 512 * MIB - PAGE);
	REFUSED(ERANGE, re.length = 0);
	REFUSED(ERANGE, re.length = PAGE);
	REFUSED(ERANGE, re.offset = PAGE; re.length -= PAGE);
	REFUSED(ERANGE, re.length += PAGE);
	REFUSED(ENOENT, re.tag++);
	REFUSED(ENOENT, re.tag = 0);
	REFUSED(ESTALE, re.generation++);
	REFUSED(EINVAL, re.op = EXTPAGER_RE_RETURN_FETCH; re.addr = (uintptr_t)page);
	REFUSED(EINVAL, re.op = EXTPAGER_RE_SYNC_DONE);
	/* It is still to be answered. */
	ASSERT_EQ(0, pager_fetch(&self->p, &ev, page));
	EXPECT_TRUE(page_is(page + 7 * PAGE, 9, 7));
	ASSERT_EQ(0, pager_return_file(&self->p, &ev, self->file, 0));
	SYNCED(&self->p, &c);
	EXPECT_TRUE(stored(FILE_PATH, 0, 0, 8, 9));

	/* A device is written in whole blocks, and what is behind the end is not the object's. */
	end.fd = self->fd;
	c = client_start(write_the_end, &end);
	ASSERT_TRUE(next_return(&self->p, &ev));
	REFUSED(EINVAL, re.file = device; re.addr = BEGIN);
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	SYNCED(&self->p, &c);

	/* There is nothing to write of a hole. */
	c = client_start(punch_the_first, &self->fd);
	ASSERT_TRUE(next_return(&self->p, &ev));
	REFUSED(ERANGE, re.length = PAGE);
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
}

TEST_HARNESS_MAIN
