// SPDX-License-Identifier: GPL-2.0-only
/* How failures travel: from the pager's errno to the access that asked. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <extpager.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/pager.h"
#include "support/worker.h"

#define NAME "errors"
#define BYTES (4 * MIB)
#define WORKERS 16

static const unsigned int legal_errors[] = {
	EIO, ENODATA, EBADMSG, ENOSPC, EDQUOT, EROFS, EACCES, ETIMEDOUT,
};

#define for_each_error(e) \
	for (e = legal_errors; e < legal_errors + ARRAY_SIZE(legal_errors); e++)

FIXTURE(errors)
{
	struct pager p;
	uint64_t object;
	int fd;
	struct worker w[WORKERS];
};

FIXTURE_SETUP(errors)
{
	struct target_options o = { .bytes = BYTES };
	struct extpager_event ev;

	target_gone(NAME);
	ASSERT_EQ(0, target_add(NAME, &o));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, &self->object, NULL));
	self->fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, 5000));
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
	ASSERT_TRUE(worker_start(&self->w[0], self->fd, BYTES));
}

FIXTURE_TEARDOWN(errors)
{
	unsigned int i;

	for (i = 0; i < WORKERS; i++)
		if (self->w[i].order)
			worker_stop(&self->w[i]);
	close(self->fd);
	pager_close(&self->p);
	EXPECT_TRUE(target_gone(NAME));
}

/* The page at @offset is asked for, with others perhaps. */
static bool wanted(struct pager *p, struct extpager_event *ev, uint64_t offset)
{
	return pager_expect(p, EXTPAGER_EV_DATA_REQUEST, ev, 10000) &&
	       ev->wanted == offset / PAGE * PAGE;
}

/* It is, and that is all. */
static bool asked_for(struct pager *p, struct extpager_event *ev, uint64_t offset)
{
	return wanted(p, ev, offset) && ev->offset == ev->wanted && ev->length == PAGE;
}

static int fail(struct pager *p, const struct extpager_event *ev, unsigned int error)
{
	return pager_error(p, ev, ev->offset, ev->length, error);
}

static bool has_memory_failure(void)
{
	return !access("/proc/sys/vm/memory_failure_recovery", F_OK);
}

/* ---- accesses besides those that all workers know ---- */

static long do_touch_private(struct order *o)
{
	uint8_t *shared = o->map;
	long ret;

	o->map = mmap(NULL, o->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, o->fd, 0);
	ret = madvise(o->map, o->bytes, MADV_RANDOM) ?: do_touch_write(o);
	munmap(o->map, o->bytes);
	o->map = shared;
	return ret;
}

/* One byte: a copy of more may come in parts. */
static long do_read_by_gup(struct order *o)
{
	char byte;
	struct iovec local = { &byte, 1 }, remote = { o->map + o->offset, 1 };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) < 0 ? -errno : 0;
}

static long do_write_by_gup(struct order *o)
{
	char byte = 1;
	struct iovec local = { &byte, 1 }, remote = { o->map + o->offset, 1 };

	return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) < 0 ? -errno : 0;
}

static long do_copy_from_user(struct order *o)
{
	int fds[2];
	long ret;

	if (pipe(fds))
		return -errno;
	ret = write(fds[1], o->map + o->offset, 1) < 0 ? -errno : 0;
	close(fds[0]);
	close(fds[1]);
	return ret;
}

static long do_copy_to_user(struct order *o)
{
	int fds[2];
	long ret;

	if (pipe(fds) || write(fds[1], "x", 1) != 1)
		return -errno;
	ret = read(fds[0], o->map + o->offset, 1) < 0 ? -errno : 0;
	close(fds[0]);
	close(fds[1]);
	return ret;
}

static uint8_t *page_of(struct order *o)
{
	return o->map + o->offset / PAGE * PAGE;
}

static long do_populate_read(struct order *o)
{
	return madvise(page_of(o), PAGE, MADV_POPULATE_READ) ? -errno : 0;
}

static long do_populate_write(struct order *o)
{
	return madvise(page_of(o), PAGE, MADV_POPULATE_WRITE) ? -errno : 0;
}

/* mmap(2) has no way to tell of it, as with files. */
static long do_map_populate(struct order *o)
{
	void *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, o->fd,
		       o->offset / PAGE * PAGE);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, PAGE);
	return 0;
}

static long do_mlock(struct order *o)
{
	return mlock(page_of(o), PAGE) ? -errno : 0;
}

static long do_read_byte(struct order *o)
{
	char byte;

	return pread(o->fd, &byte, 1, o->offset) < 0 ? -errno : 0;
}

static long do_splice_byte(struct order *o)
{
	loff_t at = o->offset;
	int fds[2];
	long ret;

	if (pipe(fds))
		return -errno;
	ret = splice(o->fd, &at, fds[1], NULL, 1, 0) < 0 ? -errno : 0;
	close(fds[0]);
	close(fds[1]);
	return ret;
}

static long do_write_byte(struct order *o)
{
	return pwrite(o->fd, "x", 1, o->offset) < 0 ? -errno : 0;
}

/* In one call, with the readahead of a file that nobody advised on. */
static long do_read_ahead(struct order *o)
{
	char buf[8 * PAGE];
	ssize_t n;

	posix_fadvise(o->fd, 0, 0, POSIX_FADV_NORMAL);
	n = pread(o->fd, buf, sizeof(buf), o->offset);
	return n < 0 ? -errno : n;
}

static long do_read_two_pages(struct order *o)
{
	char buf[2 * PAGE];
	ssize_t n = pread(o->fd, buf, sizeof(buf), o->offset);

	return n < 0 ? -errno : n;
}

/* From here on this worker's faults read around, as they do unadvised. */
static long do_normal(struct order *o)
{
	return madvise(o->map, o->bytes, MADV_NORMAL) ? -errno : 0;
}

/* ---- how the errors arrive ---- */

struct touch_case {
	const char *name;
	long (*what)(struct order *o);
	unsigned int access;
};

static const struct touch_case touches[] = {
	{ "read", do_touch_read, EXTPAGER_ACCESS_READ },
	{ "write", do_touch_write, EXTPAGER_ACCESS_WRITE },
	{ "private write", do_touch_private, EXTPAGER_ACCESS_WRITE },
};

TEST_F(errors, mapped_access_gets_sigbus_at_its_address)
{
	uint64_t offset = 37 * PAGE + 1234;
	struct worker *w = &self->w[0];
	const struct touch_case *t;
	struct extpager_event ev;
	const unsigned int *e;

	BEHAVIOURS(34);
	for (t = touches; t < touches + ARRAY_SIZE(touches); t++) {
		for_each_error(e) {
			if (*e == EBADMSG)
				continue;
			worker_begin(w, t->what, offset, 1, 0);
			ASSERT_TRUE(asked_for(&self->p, &ev, offset)) TH_LOG("%s", t->name);
			EXPECT_EQ(t->access, ev.access);
			ASSERT_EQ(0, fail(&self->p, &ev, *e));
			ASSERT_EQ(0, worker_end(w, WORKER_MS));
			EXPECT_EQ(BUS_ADRERR, w->order->code) TH_LOG("%s", t->name);
			EXPECT_EQ(offset, w->order->where) TH_LOG("%s", t->name);
			offset += PAGE;
		}
	}
	EXPECT_TRUE(pager_silent(&self->p, 20));
	EXPECT_EQ(0, target_dirty(NAME));
}

struct copy_case {
	const char *name;
	long (*what)(struct order *o);
	long errno_io, errno_integrity;
	bool tries_again;		/* copying a byte at a time, on 6.1 */
};

/*
 * Whoever asks the kernel to touch the page gets EFAULT, whatever the pager's
 * errno. The kernel's own exceptions: populating says EHWPOISON of a damaged
 * page; mlock(2) says ENOMEM of whatever it cannot bring in.
 */
static const struct copy_case copies[] = {
	{ "process_vm_readv", do_read_by_gup, EFAULT, EFAULT },
	{ "process_vm_writev", do_write_by_gup, EFAULT, EFAULT },
	{ "write from the mapping", do_copy_from_user, EFAULT, EFAULT, true },
	{ "read into the mapping", do_copy_to_user, EFAULT, EFAULT, true },
	{ "MADV_POPULATE_READ", do_populate_read, EFAULT, EHWPOISON },
	{ "MADV_POPULATE_WRITE", do_populate_write, EFAULT, EHWPOISON },
	{ "MAP_POPULATE", do_map_populate, 0, 0 },
	{ "mlock", do_mlock, ENOMEM, ENOMEM },
};

TEST_F(errors, kernel_access_and_prefault_get_efault)
{
	struct worker *w = &self->w[0];
	uint64_t offset = 5 * PAGE + 17;
	struct extpager_event ev;
	const struct copy_case *c;
	const unsigned int *e;

	BEHAVIOURS(34);
	for (c = copies; c < copies + ARRAY_SIZE(copies); c++) {
		for_each_error(e) {
			long want = *e == EBADMSG ? c->errno_integrity : c->errno_io;

			worker_begin(w, c->what, offset, 1, 0);
			ASSERT_TRUE(wanted(&self->p, &ev, offset)) TH_LOG("%s", c->name);
			ASSERT_EQ(0, fail(&self->p, &ev, *e));
			while (c->tries_again && worker_end(w, 20) == WORKER_BUSY)
				if (pager_event(&self->p, &ev, 0))
					fail(&self->p, &ev, *e);
			ASSERT_EQ(-want, worker_end(w, WORKER_MS)) TH_LOG("%s", c->name);
			offset += PAGE;
		}
	}
	EXPECT_TRUE(pager_silent(&self->p, 20));
	EXPECT_EQ(0, target_dirty(NAME));
}

TEST_F(errors, read_and_write_get_the_pagers_own_errno)
{
	static long (*const reads[])(struct order *o) = { do_read_byte, do_splice_byte };
	struct worker *w = &self->w[0];
	struct extpager_event ev;
	const unsigned int *e;
	unsigned int i;

	BEHAVIOURS(34, 38);
	for_each_error(e) {
		for (i = 0; i < ARRAY_SIZE(reads); i++) {
			worker_begin(w, reads[i], 3 * PAGE + 7, 1, 0);
			ASSERT_TRUE(asked_for(&self->p, &ev, 3 * PAGE));
			EXPECT_EQ(EXTPAGER_ACCESS_READ, ev.access);
			ASSERT_EQ(0, fail(&self->p, &ev, *e));
			EXPECT_EQ(-(long)*e, worker_end(w, WORKER_MS));
		}
		/* A part of a page has to be merged with the rest of it. */
		worker_begin(w, do_write_byte, 3 * PAGE + 7, 1, 0);
		ASSERT_TRUE(asked_for(&self->p, &ev, 3 * PAGE));
		EXPECT_EQ(EXTPAGER_ACCESS_WRITE, ev.access);
		ASSERT_EQ(0, fail(&self->p, &ev, *e));
		EXPECT_EQ(-(long)*e, worker_end(w, WORKER_MS));
	}
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_TRUE(pager_silent(&self->p, 20));
}

TEST_F(errors, read_up_to_a_failed_page_is_short)
{
	struct worker *w = &self->w[0];
	struct extpager_event ev;

	BEHAVIOURS(34);
	worker_begin(w, do_read_two_pages, 8 * PAGE, 2 * PAGE, 0);
	ASSERT_TRUE(asked_for(&self->p, &ev, 8 * PAGE));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 1));
	ASSERT_TRUE(asked_for(&self->p, &ev, 9 * PAGE));
	ASSERT_EQ(0, fail(&self->p, &ev, EDQUOT));
	EXPECT_EQ((long)PAGE, worker_end(w, WORKER_MS));
	worker_begin(w, do_read_two_pages, 9 * PAGE, PAGE, 0);
	ASSERT_TRUE(asked_for(&self->p, &ev, 9 * PAGE));
	ASSERT_EQ(0, fail(&self->p, &ev, EDQUOT));
	EXPECT_EQ(-EDQUOT, worker_end(w, WORKER_MS));
}

TEST_F(errors, a_read_of_a_window_that_failed_asks_no_more)
{
	struct worker *w = &self->w[0];
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(34, 37);
	for (i = 0; i < 3; i++) {
		worker_begin(w, do_read_ahead, i * 100 * PAGE, 8 * PAGE, 0);
		ASSERT_TRUE(wanted(&self->p, &ev, i * 100 * PAGE));
		/* Not just the page. */
		EXPECT_LE(8 * PAGE, ev.length);
		ASSERT_EQ(0, fail(&self->p, &ev, EDQUOT));
		EXPECT_EQ(-EDQUOT, worker_end(w, WORKER_MS));
		EXPECT_TRUE(pager_silent(&self->p, 20));
	}
	/* The next read does. */
	worker_begin(w, do_read_ahead, 100 * PAGE, 8 * PAGE, 0);
	ASSERT_TRUE(wanted(&self->p, &ev, 100 * PAGE));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 1));
	EXPECT_EQ((long)(8 * PAGE), worker_end(w, WORKER_MS));
}

TEST_F(errors, damaged_data_is_told_from_a_failed_device)
{
	/* A kernel without memory failures knows no other code than this. */
	int damaged = has_memory_failure() ? BUS_MCEERR_AR : BUS_ADRERR;
	struct worker *w = &self->w[0];
	struct extpager_event ev;

	BEHAVIOURS(38);
	worker_begin(w, do_touch_read, 9 * PAGE + 99, 1, 0);
	ASSERT_TRUE(asked_for(&self->p, &ev, 9 * PAGE));
	ASSERT_EQ(0, fail(&self->p, &ev, EBADMSG));
	ASSERT_EQ(0, worker_end(w, WORKER_MS));
	EXPECT_EQ(damaged, w->order->code);
	EXPECT_EQ(9 * PAGE + 99, w->order->where);

	worker_begin(w, do_touch_read, 9 * PAGE + 99, 1, 0);
	ASSERT_TRUE(asked_for(&self->p, &ev, 9 * PAGE));
	ASSERT_EQ(0, fail(&self->p, &ev, EIO));
	ASSERT_EQ(0, worker_end(w, WORKER_MS));
	EXPECT_EQ(BUS_ADRERR, w->order->code);

	/* It was the data, not the memory: the page can come in again. */
	worker_begin(w, do_check, 9 * PAGE, PAGE, 4);
	ASSERT_TRUE(asked_for(&self->p, &ev, 9 * PAGE));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 4));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
}

/* ---- which access they concern ---- */

static bool two_wait_in_one_window(struct pager *p, struct worker *a, uint64_t a_page,
				   struct worker *b, uint64_t b_page, struct extpager_event *ev)
{
	uint64_t waits = target_stat(NAME, EXTPAGER_A_STATS_GATE_WAITS);

	if (worker_do(a, do_normal, 0, 0, 0) || worker_do(b, do_normal, 0, 0, 0))
		return false;
	worker_begin(a, do_touch_read, a_page * PAGE, 1, 0);
	if (!pager_expect(p, EXTPAGER_EV_DATA_REQUEST, ev, 10000))
		return false;
	worker_begin(b, do_touch_read, b_page * PAGE, 1, 0);
	return WAIT_FOR(10000, target_stat(NAME, EXTPAGER_A_STATS_GATE_WAITS) == waits + 2) &&
	       ev->offset <= a_page * PAGE && b_page * PAGE < ev->offset + ev->length;
}

TEST_F(errors, part_of_a_range_fails_those_who_need_it)
{
	struct worker *a = &self->w[0], *b = &self->w[1];
	struct extpager_event ev;

	BEHAVIOURS(35);
	ASSERT_TRUE(worker_start(b, self->fd, BYTES));
	ASSERT_TRUE(two_wait_in_one_window(&self->p, a, 16, b, 20, &ev));
	ASSERT_EQ(0, pager_error(&self->p, &ev, 16 * PAGE, PAGE, EIO));
	ASSERT_EQ(0, worker_end(a, WORKER_MS));
	EXPECT_EQ(BUS_ADRERR, a->order->code);
	EXPECT_TRUE(worker_busy(b));

	/* Another part nobody waits for; then all that is left. */
	ASSERT_EQ(0, pager_error(&self->p, &ev, 17 * PAGE, 2 * PAGE, EIO));
	EXPECT_TRUE(worker_busy(b));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 1));
	ASSERT_EQ(0, worker_end(b, WORKER_MS));
	EXPECT_EQ(0, b->order->code);
	EXPECT_EQ(0, worker_do(b, do_check, 19 * PAGE, 2 * PAGE, 1));
	EXPECT_EQ(0, worker_do(b, do_check, 0, 16 * PAGE, 1));
	EXPECT_TRUE(pager_silent(&self->p, 0));
}

TEST_F(errors, failures_of_many_pages_reach_each_of_them)
{
	struct extpager_event ev[WORKERS];
	unsigned int i;

	BEHAVIOURS(35, 37);
	for (i = 1; i < WORKERS; i++)
		ASSERT_TRUE(worker_start(&self->w[i], self->fd, BYTES));
	for (i = 0; i < WORKERS; i++) {
		worker_begin(&self->w[i], do_touch_read, i * 3 * PAGE, 1, 0);
		ASSERT_TRUE(asked_for(&self->p, &ev[i], i * 3 * PAGE));
	}
	for (i = 0; i < WORKERS; i++)
		ASSERT_EQ(0, fail(&self->p, &ev[i], i % 2 ? EBADMSG : EIO));
	for (i = 0; i < WORKERS; i++) {
		bool integrity = i % 2 && has_memory_failure();

		ASSERT_EQ(0, worker_end(&self->w[i], WORKER_MS)) TH_LOG("page %u", i * 3);
		EXPECT_EQ(integrity ? BUS_MCEERR_AR : BUS_ADRERR, self->w[i].order->code);
	}
	EXPECT_TRUE(pager_silent(&self->p, 20));
}

TEST_F(errors, failure_of_pages_nobody_wants_is_nothing)
{
	struct extpager_event ev = { .object = self->object };
	struct worker *w = &self->w[0];

	BEHAVIOURS(36);
	worker_begin(w, do_check, 40 * PAGE, PAGE, 1);
	ASSERT_TRUE(asked_for(&self->p, &ev, 40 * PAGE));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 1));
	ASSERT_EQ(0, worker_end(w, WORKER_MS));

	/* Pages that are not here, and one that is. */
	ev.tag = 0;
	EXPECT_EQ(0, pager_error(&self->p, &ev, 32 * PAGE, 32 * PAGE, EIO));
	EXPECT_EQ(0, worker_do(w, do_check, 40 * PAGE, PAGE, 1));
	EXPECT_EQ(0, worker_do(w, do_read, 40 * PAGE, PAGE, 1));
	EXPECT_TRUE(pager_silent(&self->p, 20));
	worker_begin(w, do_check, 41 * PAGE, PAGE, 2);
	ASSERT_TRUE(asked_for(&self->p, &ev, 41 * PAGE));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 2));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
}

TEST_F(errors, prefetched_page_that_failed_is_asked_for_when_wanted)
{
	struct worker *w = &self->w[0];
	struct extpager_event ev;

	BEHAVIOURS(36, 37);
	ASSERT_EQ(0, worker_do(w, do_normal, 0, 0, 0));
	worker_begin(w, do_touch_read, 16 * PAGE, 1, 0);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, 10000));
	ASSERT_LT(20 * PAGE, ev.offset + ev.length);
	ASSERT_EQ(0, pager_error(&self->p, &ev, 20 * PAGE, PAGE, EIO));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 1));
	ASSERT_EQ(0, worker_end(w, WORKER_MS));
	EXPECT_EQ(0, w->order->code);

	worker_begin(w, do_check, 20 * PAGE, PAGE, 2);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, 10000));
	EXPECT_EQ(20 * PAGE, ev.wanted);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 2));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
}

TEST_F(errors, failed_access_asks_once_and_the_next_one_anew)
{
	struct worker *w = &self->w[0];
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(37);
	for (i = 0; i < 20; i++) {
		worker_begin(w, do_touch_read, 3 * PAGE, 1, 0);
		ASSERT_TRUE(asked_for(&self->p, &ev, 3 * PAGE));
		ASSERT_EQ(0, fail(&self->p, &ev, EIO));
		ASSERT_EQ(0, worker_end(w, WORKER_MS));
		ASSERT_EQ(BUS_ADRERR, w->order->code);
		ASSERT_TRUE(pager_silent(&self->p, 0));
	}
	EXPECT_EQ(20, target_stat(NAME, EXTPAGER_A_STATS_DATA_REQUESTS));
	EXPECT_EQ(20, target_stat(NAME, EXTPAGER_A_STATS_PAGES_FAILED));
	worker_begin(w, do_check, 3 * PAGE, PAGE, 1);
	ASSERT_TRUE(asked_for(&self->p, &ev, 3 * PAGE));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 1));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
}

/* What the access was told of is over once it has its page. */
TEST_F(errors, a_failure_is_forgotten_if_the_page_comes_all_the_same)
{
	struct worker *w = &self->w[0];
	struct extpager_event ev;
	uint32_t done;

	PARTIAL(37);
	worker_begin(w, do_touch_read, 3 * PAGE, 1, 0);
	ASSERT_TRUE(asked_for(&self->p, &ev, 3 * PAGE));
	/* It is told, and stopped before it can come again. */
	ASSERT_EQ(0, kill(w->c.pid, SIGSTOP));
	ASSERT_EQ(0, fail(&self->p, &ev, EIO));
	ASSERT_TRUE(WAIT_FOR(WORKER_MS, client_is_stopped(&w->c)));
	ASSERT_EQ(0, pager_push(&self->p, self->object, ev.generation, 1, 3 * PAGE, PAGE, &done));
	ASSERT_EQ(PAGE, done);
	ASSERT_EQ(0, kill(w->c.pid, SIGCONT));
	ASSERT_EQ(0, worker_end(w, WORKER_MS));
	ASSERT_EQ(0, w->order->code);

	ASSERT_TRUE(worker_evicts(w, 3 * PAGE, PAGE));
	worker_begin(w, do_touch_read, 3 * PAGE, 1, 0);
	ASSERT_TRUE(asked_for(&self->p, &ev, 3 * PAGE));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 1));
	ASSERT_EQ(0, worker_end(w, WORKER_MS));
	EXPECT_EQ(0, w->order->code);
}

TEST_F(errors, failing_twice_is_harmless)
{
	struct worker *w = &self->w[0];
	struct extpager_event ev, untagged;

	BEHAVIOURS(39);
	worker_begin(w, do_touch_read, 3 * PAGE, 1, 0);
	ASSERT_TRUE(asked_for(&self->p, &ev, 3 * PAGE));
	untagged = ev;
	untagged.tag = 0;
	ASSERT_EQ(0, fail(&self->p, &ev, EIO));
	EXPECT_EQ(-ENOENT, fail(&self->p, &ev, EIO));
	EXPECT_EQ(-ENOENT, fail(&self->p, &ev, EBADMSG));
	EXPECT_EQ(0, fail(&self->p, &untagged, EBADMSG));
	EXPECT_EQ(-ENOENT, pager_supply(&self->p, &ev, 9));
	ASSERT_EQ(0, worker_end(w, WORKER_MS));
	EXPECT_EQ(BUS_ADRERR, w->order->code);
	EXPECT_EQ(0, worker_do(w, do_resident, 3 * PAGE, PAGE, 0));

	/* The old tag cannot touch the next request either. */
	untagged = ev;
	worker_begin(w, do_check, 3 * PAGE, PAGE, 1);
	ASSERT_TRUE(asked_for(&self->p, &ev, 3 * PAGE));
	EXPECT_NE(untagged.tag, ev.tag);
	EXPECT_EQ(-ENOENT, fail(&self->p, &untagged, EIO));
	EXPECT_EQ(-ENOENT, pager_supply(&self->p, &untagged, 9));
	EXPECT_TRUE(worker_busy(w));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 1));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
}

/* ---- what is no legal answer ---- */

/* @good with one thing changed is refused with @want and does nothing. */
#define REFUSED(want, good, change) do {				\
	struct extpager_reply re = (good);				\
	change;								\
	EXPECT_EQ(want, pager_reply(&self->p, &re)) TH_LOG(#change);	\
	EXPECT_EQ(0, re.out_done) TH_LOG(#change);			\
	refused++;							\
} while (0)

TEST_F(errors, illegal_failures_and_supplies_change_nothing)
{
	struct extpager_reply fail, supply;
	struct worker *w = &self->w[0];
	struct extpager_event ev;
	unsigned int refused = 0, error;

	BEHAVIOURS(41);
	ASSERT_EQ(0, worker_do(w, do_normal, 0, 0, 0));
	worker_begin(w, do_check, 64 * PAGE, PAGE, 1);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, 10000));
	ASSERT_LT(2 * PAGE, ev.length);
	fail = reply_to(&ev, EXTPAGER_RE_ERROR);
	fail.offset = ev.offset;
	fail.length = ev.length;
	fail.error = EIO;
	supply = reply_to(&ev, EXTPAGER_RE_SUPPLY);
	supply.offset = ev.offset;
	supply.length = ev.length;
	supply.addr = (uintptr_t)self->p.buffer;

	for (error = 0; error < 140; error++) {
		unsigned int i;

		for (i = 0; i < ARRAY_SIZE(legal_errors) && legal_errors[i] != error; i++)
			;
		if (i == ARRAY_SIZE(legal_errors))
			REFUSED(-EINVAL, fail, re.error = error);
	}
	REFUSED(-EINVAL, fail, re.error = 4096);
	REFUSED(-EINVAL, fail, re.error = -EIO);
	REFUSED(-EINVAL, fail, re.error = ~0U);
	REFUSED(-EINVAL, fail, re.error = EIO + (1U << 16));
	REFUSED(-EINVAL, fail, re.flags = EXTPAGER_REF_ZERO);
	REFUSED(-EINVAL, fail, re.flags = 1 << 15);
	REFUSED(-EINVAL, fail, re.addr = (uintptr_t)self->p.buffer);
	REFUSED(-EINVAL, fail, re.attributes = 1);
	REFUSED(-EINVAL, fail, re.file = 1);
	REFUSED(-EINVAL, fail, re.offset++);
	REFUSED(-EINVAL, fail, re.offset += 512);
	REFUSED(-EINVAL, fail, re.length = 0);
	REFUSED(-EINVAL, fail, re.length = 1);
	REFUSED(-EINVAL, fail, re.length--);
	REFUSED(-EINVAL, fail, re.length = EXTPAGER_REQUEST_MAX + PAGE);
	REFUSED(-EINVAL, fail, re.length = ~0U);
	REFUSED(-ERANGE, fail, re.length += PAGE);
	REFUSED(-ERANGE, fail, re.offset -= PAGE);
	REFUSED(-ERANGE, fail, re.offset += PAGE);
	REFUSED(-ERANGE, fail, re.offset += ev.length);
	REFUSED(-ERANGE, fail, re.offset = BYTES - PAGE);
	REFUSED(-ERANGE, fail, re.offset = BYTES);
	REFUSED(-ERANGE, fail, re.offset = -PAGE);
	REFUSED(-ERANGE, fail, (re.offset = 1ULL << 63, re.length = PAGE));

	REFUSED(-EINVAL, supply, re.error = EIO);
	REFUSED(-EINVAL, supply, re.flags = EXTPAGER_REF_ZERO);	/* and an address */
	REFUSED(-EINVAL, supply, re.flags = EXTPAGER_REF_DISCARD);
	REFUSED(-EINVAL, supply, re.attributes = 1);
	REFUSED(-EINVAL, supply, re.file = ~0U);
	REFUSED(-EINVAL, supply, re.offset += 8);
	REFUSED(-EINVAL, supply, re.length = 0);
	REFUSED(-EINVAL, supply, re.length -= 7);
	REFUSED(-ERANGE, supply, re.length += PAGE);
	REFUSED(-ERANGE, supply, re.offset = BYTES);
	REFUSED(-ERANGE, supply, re.offset = -PAGE);
	REFUSED(-EFAULT, supply, re.addr = 0);
	REFUSED(-EFAULT, supply, re.addr = PAGE);
	REFUSED(-EFAULT, supply, re.addr = -PAGE);
	REFUSED(-EFAULT, supply, re.addr = 1ULL << 63);

	REFUSED(-EINVAL, fail, re.op = 0);
	REFUSED(-EINVAL, fail, re.op = EXTPAGER_RE_DESTROY + 1);
	REFUSED(-EINVAL, fail, re.op = 0xffff);
	REFUSED(-ESTALE, fail, re.generation--);
	REFUSED(-ESTALE, fail, re.generation = ~0U);
	REFUSED(-ESTALE, fail, (re.tag = 0, re.generation++));
	REFUSED(-ENOENT, fail, re.tag++);
	REFUSED(-ENOENT, fail, re.tag += 1ULL << 16);
	REFUSED(-ENOENT, fail, re.tag = ~0ULL);
	REFUSED(-ENOENT, fail, re.object++);
	REFUSED(-ENOENT, fail, re.object = 0);
	REFUSED(-ENOENT, fail, re.object = ~0ULL);
	/* Answers of other ops do not fit the request. */
	REFUSED(-ENOENT, reply_to(&ev, EXTPAGER_RE_READY), (void)0);
	REFUSED(-ENOENT, reply_to(&ev, EXTPAGER_RE_RETURN_DONE), (void)0);
	REFUSED(-ENOENT, reply_to(&ev, EXTPAGER_RE_SYNC_DONE), (void)0);
	REFUSED(-ENOENT, supply, re.op = EXTPAGER_RE_RETURN_FETCH);

	EXPECT_EQ(refused, self->p.queue[0].kernel->bad_replies);
	EXPECT_TRUE(worker_busy(w));
	EXPECT_TRUE(pager_silent(&self->p, 0));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_PAGES_FAILED));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_PAGES_COPIED));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 1));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
	EXPECT_EQ(0, worker_do(w, do_check, ev.offset, ev.length, 1));
}

TEST_F(errors, illegal_answers_to_a_return_change_nothing)
{
	struct worker *w = &self->w[0];
	struct extpager_reply done, fetch;
	uint8_t *page = self->p.buffer;
	struct extpager_event ev, sync;
	unsigned int refused = 0;

	BEHAVIOURS(41);
	ASSERT_EQ((long)PAGE, worker_do(w, do_write, 7 * PAGE, PAGE, 3));
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, 10000));
	done = reply_to(&ev, EXTPAGER_RE_RETURN_DONE);
	fetch = reply_to(&ev, EXTPAGER_RE_RETURN_FETCH);
	fetch.offset = ev.offset;
	fetch.length = ev.length;
	fetch.addr = (uintptr_t)page;
	memset(page, 0xa5, 2 * PAGE);

	REFUSED(-EINVAL, done, re.error = EPERM);
	REFUSED(-EINVAL, done, re.error = ~0U);
	REFUSED(-EINVAL, done, re.offset = ev.offset);
	REFUSED(-EINVAL, done, re.length = PAGE);
	REFUSED(-EINVAL, done, re.addr = 8);
	REFUSED(-EINVAL, done, re.attributes = 1);
	REFUSED(-EINVAL, done, re.flags = 1);
	REFUSED(-EINVAL, done, re.file = 1);
	REFUSED(-ENOENT, done, re.op = EXTPAGER_RE_SYNC_DONE);
	REFUSED(-ESTALE, done, re.generation++);
	REFUSED(-ENOENT, done, re.tag = 0);
	REFUSED(-EINVAL, fetch, re.length = 0);
	REFUSED(-EINVAL, fetch, re.error = EIO);
	REFUSED(-EINVAL, fetch, re.flags = 1);
	REFUSED(-ERANGE, fetch, re.length++);
	REFUSED(-ERANGE, fetch, re.offset--);
	REFUSED(-ERANGE, fetch, re.offset++);
	REFUSED(-ERANGE, fetch, re.offset = ~0ULL);
	REFUSED(-ERANGE, fetch, re.offset = 0);
	REFUSED(-EFAULT, fetch, re.addr = 0);
	REFUSED(-EFAULT, fetch, re.addr = -PAGE);
	REFUSED(-ENOENT, fetch, re.op = EXTPAGER_RE_SUPPLY);
	REFUSED(-ENOENT, fetch, (re.op = EXTPAGER_RE_ERROR, re.addr = 0, re.error = EIO));

	EXPECT_EQ(refused, self->p.queue[0].kernel->bad_replies);
	EXPECT_EQ(0xa5, page[0]);
	EXPECT_EQ(0, memcmp(page, page + 1, 2 * PAGE - 1));
	EXPECT_TRUE(worker_busy(w));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	ASSERT_EQ(0, pager_fetch(&self->p, &ev, page));
	EXPECT_TRUE(page_is(page, 3, 7));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &sync, 10000));
	REFUSED(-EINVAL, reply_to(&sync, EXTPAGER_RE_SYNC_DONE), re.error = EINVAL);
	EXPECT_TRUE(worker_busy(w));
	ASSERT_EQ(0, pager_sync_done(&self->p, &sync, 0));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
}

/*
 * A pager may fetch over what its store has. Whatever comes of it, no byte there is anything
 * but what it was or what was fetched: not where the buffer has to be faulted in, either.
 */
TEST_F(errors, a_buffer_has_old_bytes_or_fetched_ones)
{
	struct worker *w = &self->w[0];
	struct extpager_event ev, sync;
	struct extpager_reply fetch;
	uint8_t *map, *buffer, *want = self->p.buffer;
	unsigned int i, at;

	map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	buffer = map + PAGE - 100;
	memset(map, 0xa5, 2 * PAGE);
	ASSERT_EQ((long)PAGE, worker_do(w, do_write, 7 * PAGE, PAGE, 3));
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, 10000));
	fetch = reply_to(&ev, EXTPAGER_RE_RETURN_FETCH);
	ASSERT_EQ(0, pager_fetch(&self->p, &ev, want));
	/* From a byte on that is none of zero, which the kernel might put there. */
	while (!*want)
		want++;
	fetch.offset = ev.offset + (want - (uint8_t *)self->p.buffer);
	fetch.length = 200;
	fetch.addr = (uintptr_t)buffer;

	/* Its end is not to be written; its beginning is not mapped yet, or is. */
	ASSERT_EQ(0, mprotect(map + PAGE, PAGE, PROT_READ));
	for (i = 0; i < 2; i++) {
		if (!i)
			ASSERT_EQ(0, madvise(map, 2 * PAGE, MADV_DONTNEED));
		EXPECT_EQ(-EFAULT, pager_reply(&self->p, &fetch));
		for (at = 0; at < 100; at++) {
			EXPECT_TRUE(buffer[at] == 0xa5 || buffer[at] == want[at]) {
				TH_LOG("round %u: byte %u is %#x", i, at, buffer[at]);
			}
		}
		EXPECT_EQ(0xa5, map[PAGE]);
	}
	ASSERT_EQ(0, mprotect(map, 2 * PAGE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, madvise(map, 2 * PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, pager_reply(&self->p, &fetch));
	EXPECT_EQ(0, memcmp(buffer, want, fetch.length));
	EXPECT_EQ(0xa5, buffer[-1]);
	EXPECT_EQ(0xa5, buffer[fetch.length]);
	munmap(map, 2 * PAGE);
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &sync, 10000));
	ASSERT_EQ(0, pager_sync_done(&self->p, &sync, 0));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
}

/* ---- what failed last ---- */

static int failures_of(int fd, uint64_t object, struct extpager_failures *f)
{
	*f = (struct extpager_failures){ .size = sizeof(*f), .object = object };
	return ioctl(fd, EXTPAGER_IOC_FAILURES, f) ? -errno : 0;
}

static uint64_t real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

#define EXPECT_FAILURE(_f, _op, _page, _error) do {		\
	EXPECT_EQ(_op, (_f)->op);				\
	EXPECT_EQ((_page) * PAGE, (_f)->offset);		\
	EXPECT_EQ(PAGE, (_f)->length);				\
	EXPECT_EQ(_error, (int)(_f)->error);			\
} while (0)

TEST_F(errors, the_last_failures_are_told_to_client_and_pager)
{
	struct worker *w = &self->w[0];
	struct extpager_failures f, of_pager;
	struct extpager_client_failure told[2];
	struct extpager_event ev;
	uint64_t before = real_ns();
	unsigned int i;

	BEHAVIOURS(40);
	ASSERT_EQ(0, failures_of(self->fd, 0, &f));
	EXPECT_EQ(0, f.out_nr);
	worker_begin(w, do_touch_read, 3 * PAGE, 1, 0);
	ASSERT_TRUE(asked_for(&self->p, &ev, 3 * PAGE));
	ASSERT_EQ(0, fail(&self->p, &ev, EBADMSG));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
	ASSERT_EQ(0, failures_of(self->fd, 0, &f));
	ASSERT_EQ(1, f.out_nr);
	EXPECT_EQ(1, f.out_total);
	EXPECT_FAILURE(&f.out_failure[0], EXTPAGER_EV_DATA_REQUEST, 3, EBADMSG);
	EXPECT_LE(before, f.out_failure[0].time_ns);
	EXPECT_GE(real_ns(), f.out_failure[0].time_ns);
	ASSERT_EQ(0, failures_of(self->p.fd, self->object, &of_pager));
	of_pager.object = 0;
	EXPECT_EQ(0, memcmp(&f, &of_pager, sizeof(f)));
	ASSERT_EQ(1, extpager_client_failures(self->fd, told, 2));
	EXPECT_STREQ("page-in", told[0].request);
	EXPECT_EQ(3 * PAGE, told[0].offset);
	EXPECT_EQ(EBADMSG, told[0].error);
	EXPECT_EQ(f.out_failure[0].time_ns, told[0].time_ns);

	/* What cannot be written back, and what missed its deadline. */
	ASSERT_EQ((long)PAGE, worker_do(w, do_write, 5 * PAGE, PAGE, 1));
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, 10000));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, ENOSPC));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, 10000));
	ASSERT_EQ(0, failures_of(self->fd, 0, &f));
	EXPECT_EQ(2, f.out_nr);
	EXPECT_FAILURE(&f.out_failure[0], EXTPAGER_EV_DATA_RETURN, 5, ENOSPC);
	EXPECT_FAILURE(&f.out_failure[1], EXTPAGER_EV_DATA_REQUEST, 3, EBADMSG);
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	while (worker_busy(w))
		if (pager_event(&self->p, &ev, 20))
			ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(-ENOSPC, worker_end(w, WORKER_MS));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .page_in_ms = 300 }));
	worker_begin(w, do_touch_read, 7 * PAGE, 1, 0);
	ASSERT_TRUE(asked_for(&self->p, &ev, 7 * PAGE));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
	ASSERT_EQ(0, failures_of(self->fd, 0, &f));
	EXPECT_EQ(3, f.out_nr);
	EXPECT_FAILURE(&f.out_failure[0], EXTPAGER_EV_DATA_REQUEST, 7, EIO);

	/* Many push the oldest out. */
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .page_in_ms = 30000 }));
	for (i = 0; i < EXTPAGER_FAILURES_MAX; i++) {
		worker_begin(w, do_touch_read, (100 + i) * PAGE, 1, 0);
		ASSERT_TRUE(asked_for(&self->p, &ev, (100 + i) * PAGE));
		ASSERT_EQ(0, fail(&self->p, &ev, EIO));
		EXPECT_EQ(0, worker_end(w, WORKER_MS));
	}
	ASSERT_EQ(0, failures_of(self->fd, 0, &f));
	EXPECT_EQ(EXTPAGER_FAILURES_MAX, f.out_nr);
	EXPECT_EQ(3 + EXTPAGER_FAILURES_MAX, f.out_total);
	for (i = 0; i < EXTPAGER_FAILURES_MAX; i++)
		EXPECT_FAILURE(&f.out_failure[i], EXTPAGER_EV_DATA_REQUEST,
			       100 + EXTPAGER_FAILURES_MAX - 1 - i, EIO);

	EXPECT_EQ(-EINVAL, failures_of(self->fd, self->object, &f));
	EXPECT_EQ(-ENOENT, failures_of(self->p.fd, self->object + 1, &f));
	EXPECT_EQ(-ENOENT, failures_of(self->p.fd, 0, &f));
	f = (struct extpager_failures){ .size = sizeof(f), .flags = 1 };
	EXPECT_EQ(-1, ioctl(self->fd, EXTPAGER_IOC_FAILURES, &f));
	EXPECT_EQ(EOPNOTSUPP, errno);
	f = (struct extpager_failures){ .size = sizeof(f) - 1 };
	EXPECT_EQ(-1, ioctl(self->fd, EXTPAGER_IOC_FAILURES, &f));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(self->fd, EXTPAGER_IOC_WAKE, &f));
	EXPECT_EQ(ENOTTY, errno);
}

TEST_HARNESS_MAIN
