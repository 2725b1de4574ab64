// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pagers that lie, and callers that do not read the manual: forged replies,
 * scribbled rings, wrong structs, other people's objects. Each is refused with
 * its errno and counted, and those who wait get their right bytes afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <extpager.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/pager.h"
#include "support/stats.h"

#define NAME "hostile"
#define BYTES (2 * MIB)
#define PAGES (BYTES / PAGE)
#define LONG 20000
#define NOBODY 65534
#define BAD_ADDRESS 0x10UL	/* page 0 is never mapped */

/* ---- clients ---- */

#define WRONG 90

struct access {
	int fd;
	uint64_t page;
	uint64_t seed;
	unsigned int pages;	/* to read, one by one; 0 = one */
};

static int read_pages(void *arg)
{
	struct access *a = arg;
	unsigned int i;
	char page[PAGE];

	posix_fadvise(a->fd, 0, 0, POSIX_FADV_RANDOM);
	for (i = 0; i < (a->pages ?: 1); i++) {
		if (pread(a->fd, page, PAGE, (a->page + i) * PAGE) != (ssize_t)PAGE)
			return errno;
		if (!page_is(page, a->seed, a->page + i))
			return WRONG;
	}
	return 0;
}

/* 16 pages at once, in one request. */
static int read_run(void *arg)
{
	struct access *a = arg;
	char *buf = malloc(16 * PAGE);
	unsigned int i;

	if (pread(a->fd, buf, 16 * PAGE, a->page * PAGE) != (ssize_t)(16 * PAGE))
		return errno;
	for (i = 0; i < 16; i++)
		if (!page_is(buf + i * PAGE, a->seed, a->page + i))
			return WRONG;
	return 0;
}

static int write_and_sync(void *arg)
{
	struct access *a = arg;
	char page[PAGE];

	fill_page(page, a->seed, a->page);
	if (pwrite(a->fd, page, PAGE, a->page * PAGE) != (ssize_t)PAGE)
		return errno;
	return fsync(a->fd) ? errno : 0;
}

/* ---- a port with one unnamed object, READY ---- */

FIXTURE(hostile)
{
	struct pager p;
	uint64_t object;
	uint32_t generation;
	int fd;
};

/* The first use, which has INIT sent. */
static int use(void *arg)
{
	struct access *a = arg;

	return mmap(NULL, PAGE, PROT_READ, MAP_SHARED, a->fd, 0) == MAP_FAILED;
}

static bool serve_object(struct pager *p, unsigned int entries, int *fd, uint64_t *object,
			 uint32_t *generation)
{
	struct access a = { };
	struct extpager_event ev;
	struct client c;

	if (pager_open(p, 1, entries))
		return false;
	*fd = pager_create(p, BYTES, 0, object);
	if (*fd < 0)
		return false;
	a.fd = *fd;
	c = client_start(use, &a);
	if (!pager_expect(p, EXTPAGER_EV_INIT, &ev, LONG))
		return false;
	*generation = ev.generation;
	return !pager_ready(p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE) && !client_result(&c, LONG);
}

FIXTURE_SETUP(hostile)
{
	ASSERT_TRUE(serve_object(&self->p, 0, &self->fd, &self->object, &self->generation));
}

FIXTURE_TEARDOWN(hostile)
{
	close(self->fd);
	pager_close(&self->p);
}

static uint64_t bad_replies(const struct pager *p)
{
	return __atomic_load_n(&p->queue[0].kernel->bad_replies, __ATOMIC_RELAXED);
}

/*
 * A reply to the event `ev`, a full SUPPLY but for what the arguments after
 * @error change in `re`: refused with it, done nothing, counted.
 */
#define EXPECT_REFUSED(errno_, ...) do {						\
	struct extpager_reply re = reply_to(&ev, EXTPAGER_RE_SUPPLY);			\
	uint64_t bad_before = bad_replies(&self->p);					\
											\
	re.offset = ev.offset;								\
	re.length = ev.length;								\
	re.addr = (uintptr_t)self->p.buffer;						\
	__VA_ARGS__;									\
	EXPECT_EQ(-(errno_), pager_reply(&self->p, &re)) {				\
		TH_LOG("the reply was: %s", #__VA_ARGS__);				\
	}										\
	EXPECT_EQ(0, re.out_done);							\
	EXPECT_EQ(bad_before + 1, bad_replies(&self->p));				\
} while (0)

/* The same for the replies that have neither range nor buffer. */
#define EXPECT_ANSWER_REFUSED(errno_, op_, ...)						\
	EXPECT_REFUSED(errno_, re.op = (op_), re.offset = 0, re.length = 0, re.addr = 0, \
		       ##__VA_ARGS__)

/* ---- replies ---- */

TEST_F(hostile, forged_supplies_are_refused_and_the_waiter_gets_its_bytes)
{
	struct access a = { self->fd, 32, 7, 0 };
	struct client c = client_start(read_run, &a);
	struct extpager_event ev;

	BEHAVIOURS(41, 109);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
	ASSERT_LE(16 * PAGE, ev.length);
	/* Who is it about? */
	EXPECT_REFUSED(ENOENT, re.tag ^= 1);
	EXPECT_REFUSED(ENOENT, re.tag += 1ULL << 16);
	EXPECT_REFUSED(ENOENT, re.tag = ~0ULL);
	EXPECT_REFUSED(ENOENT, re.tag = 0xffff);
	EXPECT_REFUSED(ENOENT, re.object++);
	EXPECT_REFUSED(ENOENT, re.object += 1ULL << 32);
	EXPECT_REFUSED(ENOENT, re.object = 0);
	EXPECT_REFUSED(ENOENT, re.object = ~0ULL);
	EXPECT_REFUSED(ESTALE, re.generation++);
	EXPECT_REFUSED(ESTALE, re.generation--);
	EXPECT_REFUSED(ESTALE, re.generation--, re.tag = 0);
	/* What does it want? */
	EXPECT_REFUSED(EINVAL, re.op = 0);
	EXPECT_REFUSED(EINVAL, re.op = EXTPAGER_RE_DESTROY + 1);
	EXPECT_REFUSED(EINVAL, re.op = 0xffff);
	EXPECT_REFUSED(EINVAL, re.flags = EXTPAGER_REF_DISCARD);
	EXPECT_REFUSED(EINVAL, re.flags = 0x8000);
	EXPECT_REFUSED(EINVAL, re.flags = EXTPAGER_REF_ZERO);
	EXPECT_REFUSED(EINVAL, re.file = 1);
	EXPECT_REFUSED(EINVAL, re.error = EIO);
	EXPECT_REFUSED(EINVAL, re.attributes = EXTPAGER_ATTR_MAY_CACHE);
	/* Where? */
	EXPECT_REFUSED(EINVAL, re.offset++);
	EXPECT_REFUSED(EINVAL, re.length = 0);
	EXPECT_REFUSED(EINVAL, re.length = 100);
	EXPECT_REFUSED(EINVAL, re.length = EXTPAGER_REQUEST_MAX + PAGE);
	EXPECT_REFUSED(EINVAL, re.length = ~0U);
	EXPECT_REFUSED(ERANGE, re.length += PAGE);
	EXPECT_REFUSED(ERANGE, re.offset -= PAGE);
	EXPECT_REFUSED(ERANGE, re.offset += ev.length);
	EXPECT_REFUSED(ERANGE, re.offset = BYTES);
	EXPECT_REFUSED(ERANGE, re.offset = BYTES - PAGE, re.length = 2 * PAGE);
	EXPECT_REFUSED(ERANGE, re.offset = -PAGE);
	EXPECT_REFUSED(ERANGE, re.offset = 1ULL << 63);
	/* From where? */
	EXPECT_REFUSED(EFAULT, re.addr = 0);
	EXPECT_REFUSED(EFAULT, re.addr = BAD_ADDRESS);
	EXPECT_REFUSED(EFAULT, re.addr = ~0ULL - PAGE + 1);
	EXPECT_REFUSED(EFAULT, re.addr = 1ULL << 63);

	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 0));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	EXPECT_EQ(0, client_result(&c, LONG));
	/* It is over. */
	EXPECT_REFUSED(ENOENT, re.flags = 0);
	EXPECT_REFUSED(ENOENT, re.op = EXTPAGER_RE_ERROR, re.addr = 0, re.error = EIO);
	EXPECT_EQ(0, read_run(&a));
}

TEST_F(hostile, forged_errors_are_refused_and_the_waiter_gets_its_bytes)
{
	static const unsigned int illegal[] = { 0, EPERM, EINTR, ENOMEM, EINVAL, EAGAIN, 4095,
						4096, ~0U, -EIO };
	struct access a = { self->fd, 3, 7, 0 };
	struct client c = client_start(read_pages, &a);
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(41, 109);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
	for (i = 0; i < ARRAY_SIZE(illegal); i++)
		EXPECT_REFUSED(EINVAL, re.op = EXTPAGER_RE_ERROR, re.addr = 0,
			       re.error = illegal[i]);
	EXPECT_REFUSED(EINVAL, re.op = EXTPAGER_RE_ERROR, re.error = EIO);
	EXPECT_REFUSED(EINVAL, re.op = EXTPAGER_RE_ERROR, re.error = EIO, re.addr = 0,
		       re.flags = EXTPAGER_REF_ZERO);
	EXPECT_REFUSED(EINVAL, re.op = EXTPAGER_RE_ERROR, re.error = EIO, re.addr = 0,
		       re.offset += 8);
	EXPECT_REFUSED(ERANGE, re.op = EXTPAGER_RE_ERROR, re.error = EIO, re.addr = 0,
		       re.offset += ev.length);
	EXPECT_REFUSED(ESTALE, re.op = EXTPAGER_RE_ERROR, re.error = EIO, re.addr = 0,
		       re.generation++);
	EXPECT_REFUSED(ESTALE, re.op = EXTPAGER_RE_ERROR, re.error = EIO, re.addr = 0,
		       re.generation++, re.tag = 0);
	/* Answers to other questions. */
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_READY);
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_RETURN_DONE);
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_SYNC_DONE);
	EXPECT_REFUSED(ENOENT, re.op = EXTPAGER_RE_RETURN_FETCH);
	EXPECT_ANSWER_REFUSED(EINVAL, EXTPAGER_RE_DESTROY);
	EXPECT_ANSWER_REFUSED(EINVAL, EXTPAGER_RE_ATTRIBUTES);
	EXPECT_ANSWER_REFUSED(EINVAL, EXTPAGER_RE_ATTRIBUTES, re.tag = 0, re.attributes = ~0U);
	EXPECT_ANSWER_REFUSED(EINVAL, EXTPAGER_RE_DESTROY, re.tag = 0, re.attributes = 1);
	EXPECT_ANSWER_REFUSED(ESTALE, EXTPAGER_RE_DESTROY, re.tag = 0, re.generation++);

	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 0));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	EXPECT_EQ(0, client_result(&c, LONG));
}

TEST_F(hostile, forged_returns_are_refused_and_the_right_bytes_come_back)
{
	struct access a = { self->fd, 3, 9, 0 };
	struct client c = client_start(write_and_sync, &a);
	struct extpager_event ev;
	char page[PAGE];

	BEHAVIOURS(41, 109);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
	EXPECT_EQ(PAGE, ev.length);
#define FETCH re.op = EXTPAGER_RE_RETURN_FETCH
	EXPECT_REFUSED(ENOENT, FETCH, re.tag++);
	EXPECT_REFUSED(ENOENT, FETCH, re.tag = 0);
	EXPECT_REFUSED(ENOENT, FETCH, re.object++);
	EXPECT_REFUSED(ESTALE, FETCH, re.generation--);
	EXPECT_REFUSED(EINVAL, FETCH, re.length = 0);
	EXPECT_REFUSED(EINVAL, FETCH, re.length = ~0U);
	EXPECT_REFUSED(EINVAL, FETCH, re.flags = EXTPAGER_REF_ZERO);
	EXPECT_REFUSED(EINVAL, FETCH, re.error = EIO);
	EXPECT_REFUSED(ERANGE, FETCH, re.length++);
	EXPECT_REFUSED(ERANGE, FETCH, re.offset++);
	EXPECT_REFUSED(ERANGE, FETCH, re.offset--);
	EXPECT_REFUSED(ERANGE, FETCH, re.offset = 0);
	EXPECT_REFUSED(ERANGE, FETCH, re.offset = -1ULL);
	EXPECT_REFUSED(ERANGE, FETCH, re.offset += PAGE, re.length = 1);
	EXPECT_REFUSED(EFAULT, FETCH, re.addr = 0);
	EXPECT_REFUSED(EFAULT, FETCH, re.addr = BAD_ADDRESS);
	EXPECT_REFUSED(EFAULT, FETCH, re.addr = (uintptr_t)self->p.queue[0].kernel);
	EXPECT_REFUSED(EFAULT, FETCH, re.addr = -PAGE);
	EXPECT_REFUSED(ENOENT, re.flags = 0);
	EXPECT_ANSWER_REFUSED(EINVAL, EXTPAGER_RE_RETURN_DONE, re.error = ENOMEM);
	EXPECT_ANSWER_REFUSED(EINVAL, EXTPAGER_RE_RETURN_DONE, re.length = 1);
	EXPECT_ANSWER_REFUSED(EINVAL, EXTPAGER_RE_RETURN_DONE, re.attributes = 1);
	EXPECT_ANSWER_REFUSED(ESTALE, EXTPAGER_RE_RETURN_DONE, re.generation++);
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_RETURN_DONE, re.tag += 1 << 16);
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_SYNC_DONE);
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_READY);

	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 0));
	memset(page, 0, PAGE);
	ASSERT_EQ(0, pager_fetch(&self->p, &ev, page));
	EXPECT_TRUE(page_is(page, 9, 3));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_RETURN_DONE);
	EXPECT_REFUSED(ENOENT, FETCH);
#undef FETCH
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, LONG));
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_RETURN_DONE);
	EXPECT_ANSWER_REFUSED(EINVAL, EXTPAGER_RE_SYNC_DONE, re.error = EINTR);
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_SYNC_DONE);
	EXPECT_EQ(0, client_result(&c, LONG));
}

/* On a named target, which counts too. */
TEST_F(hostile, forged_handshakes_are_refused_and_counted)
{
	struct target_options options = { .bytes = BYTES };
	struct extpager_event ev;
	uint64_t object;
	int fd;

	BEHAVIOURS(41, 109);
	if (target_state(NAME))
		target_gone(NAME);
	ASSERT_EQ(0, target_add(NAME, &options));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, &object, NULL));
	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, LONG));
	EXPECT_ANSWER_REFUSED(EINVAL, EXTPAGER_RE_READY, re.attributes = 2);
	EXPECT_ANSWER_REFUSED(EINVAL, EXTPAGER_RE_READY, re.error = ENOENT);
	EXPECT_ANSWER_REFUSED(EINVAL, EXTPAGER_RE_READY, re.offset = PAGE);
	EXPECT_ANSWER_REFUSED(ESTALE, EXTPAGER_RE_READY, re.generation++);
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_READY, re.tag++);
	/* Nothing is pushed before it. */
	EXPECT_REFUSED(ENOENT, re.tag = 0, re.length = PAGE);
	EXPECT_EQ(6, target_stat(NAME, EXTPAGER_A_STATS_BAD_REPLIES));
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_READY);
	/* A target is deleted over netlink, not by its pager. */
	EXPECT_ANSWER_REFUSED(EINVAL, EXTPAGER_RE_DESTROY, re.tag = 0);
	EXPECT_EQ(8, target_stat(NAME, EXTPAGER_A_STATS_BAD_REPLIES));
	close(fd);
	EXPECT_TRUE(target_gone(NAME));
}

static int punch(void *arg)
{
	struct access *a = arg;

	return fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, a->page * PAGE,
			 (a->pages ?: 1) * PAGE) ? errno : 0;
}

static int read_zeros(void *arg)
{
	struct access *a = arg;
	char page[PAGE];

	posix_fadvise(a->fd, 0, 0, POSIX_FADV_RANDOM);
	if (pread(a->fd, page, PAGE, a->page * PAGE) != (ssize_t)PAGE)
		return errno;
	return page_is_zero(page) ? 0 : WRONG;
}

TEST_F(hostile, an_answer_after_the_request_was_withdrawn_does_nothing)
{
	struct access a = { self->fd, 3, 7, 0 };
	struct client reader = client_start(read_zeros, &a), puncher;
	struct extpager_event request, ev;

	BEHAVIOURS(109);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &request, LONG));
	puncher = client_start(punch, &a);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
	EXPECT_EQ(EXTPAGER_EVF_ZERO, ev.flags);
	EXPECT_EQ(0, client_result(&reader, LONG));
	ev = request;
	EXPECT_REFUSED(ENOENT, re.flags = 0);
	EXPECT_REFUSED(ENOENT, re.op = EXTPAGER_RE_ERROR, re.addr = 0, re.error = EIO);
	/* Nor does a push of what is a hole now. */
	EXPECT_REFUSED(EEXIST, re.tag = 0);
	reader = client_start(read_zeros, &a);
	EXPECT_EQ(0, client_result(&reader, LONG));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&puncher, 0));
	client_kill(&puncher);
}

TEST_F(hostile, the_answer_to_a_killed_client_is_kept_for_the_next)
{
	struct access a = { self->fd, 3, 7, 0 };
	struct client c = client_start(read_pages, &a);
	struct extpager_event ev;

	BEHAVIOURS(99);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
	client_kill(&c);
	EXPECT_EQ(0, pager_supply(&self->p, &ev, 7));
	EXPECT_EQ(0, read_pages(&a));
	EXPECT_TRUE(pager_silent(&self->p, 50));
}

TEST_F(hostile, a_part_answered_twice_keeps_the_first_bytes)
{
	struct access a = { self->fd, 0, 7, 0 };
	struct client c = client_start(read_run, &a);
	struct extpager_event ev;
	unsigned int first;

	BEHAVIOURS(39, 109);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
	ASSERT_EQ(0, ev.offset);
	ASSERT_LE(16 * PAGE, ev.length);
	ASSERT_EQ(0, pager_supply_part(&self->p, &ev, 7, 2 * PAGE, 5 * PAGE));
	/* Of these nothing is asked any more, though the request is not over. */
	fill_page(self->p.buffer, 8, 0);
	for (first = 2; first < 7; first++) {
#define PART re.offset = first * PAGE, re.length = (7 - first) * PAGE
		EXPECT_REFUSED(ENOENT, PART);
		EXPECT_REFUSED(ENOENT, PART, re.flags = EXTPAGER_REF_ZERO, re.addr = 0);
		EXPECT_REFUSED(ENOENT, PART, re.op = EXTPAGER_RE_ERROR, re.addr = 0,
			       re.error = EIO);
#undef PART
	}
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 0));
	/* A part that is asked for still may come together with one that is not. */
	ASSERT_EQ(0, pager_supply_part(&self->p, &ev, 7, 6 * PAGE, 2 * PAGE));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	EXPECT_EQ(0, client_result(&c, LONG));
}

/* The pager's buffer is itself a mapping of the object that it is to fill. */
TEST_F(hostile, a_buffer_in_the_objects_own_mapping_is_refused_unless_it_is_here)
{
	struct access a = { self->fd, 3, 7, 0 };
	char *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	struct client c = client_start(read_pages, &a);
	struct extpager_event ev;
	uint32_t done;

	BEHAVIOURS(94, 109);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
	EXPECT_REFUSED(EFAULT, re.addr = (uintptr_t)map + 3 * PAGE);
	EXPECT_REFUSED(EFAULT, re.addr = (uintptr_t)map + 4 * PAGE);
	EXPECT_REFUSED(EFAULT, re.addr = (uintptr_t)map + BYTES - PAGE / 2);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 0));

	ASSERT_EQ(0, pager_push(&self->p, self->object, self->generation, 5, 4 * PAGE, PAGE,
				&done));
	fill_page(map + 4 * PAGE, 7, 3);
	struct extpager_reply re = reply_to(&ev, EXTPAGER_RE_SUPPLY);

	re.offset = ev.offset;
	re.length = PAGE;
	re.addr = (uintptr_t)map + 4 * PAGE;
	EXPECT_EQ(0, pager_reply(&self->p, &re));
	EXPECT_EQ(0, client_result(&c, LONG));
	munmap(map, BYTES);
}

/* ---- other pagers ---- */

TEST_F(hostile, what_is_another_ports_cannot_be_answered_or_opened)
{
	struct access a = { self->fd, 3, 7, 0 }, written = { self->fd, 9, 9, 0 };
	struct client reader = client_start(read_pages, &a), writer;
	struct extpager_event request, init, returned, ev;
	struct target_options options = { .bytes = BYTES };
	struct pager owner = self->p, stranger;
	uint64_t object;
	char page[PAGE];
	int fd, own;

	/* LOCK, which it is about too, does not exist yet. */
	PARTIAL(108);
	if (target_state(NAME))
		target_gone(NAME);
	ASSERT_EQ(0, target_add(NAME, &options));
	ASSERT_EQ(0, pager_attach(&owner, NAME, &object, NULL));
	ASSERT_TRUE(pager_expect(&owner, EXTPAGER_EV_DATA_REQUEST, &request, LONG));
	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(pager_expect(&owner, EXTPAGER_EV_INIT, &init, LONG));
	writer = client_start(write_and_sync, &written);
	ASSERT_TRUE(pager_expect(&owner, EXTPAGER_EV_DATA_RETURN, &returned, LONG));

	/* It knows all of the owner's tags. */
	ASSERT_EQ(0, pager_open(&stranger, 1, 0));
	self->p = stranger;
	ev = request;
	EXPECT_REFUSED(ENOENT, re.flags = 0);
	EXPECT_REFUSED(ENOENT, re.op = EXTPAGER_RE_ERROR, re.addr = 0, re.error = EIO);
	EXPECT_REFUSED(ENOENT, re.tag = 0);
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_ATTRIBUTES, re.tag = 0);
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_DESTROY, re.tag = 0);
	ev = init;
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_READY);
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_READY, re.error = EIO);
	ev = returned;
	memset(stranger.buffer, 0, PAGE);
	EXPECT_REFUSED(ENOENT, re.op = EXTPAGER_RE_RETURN_FETCH);
	EXPECT_TRUE(page_is_zero(stranger.buffer));
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_RETURN_DONE);
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_RETURN_DONE, re.error = EIO);
	EXPECT_EQ(-ENOENT, pager_reopen(&stranger, self->object, O_RDWR));
	EXPECT_EQ(-ENOENT, pager_reopen(&stranger, object, O_RDONLY | O_NONBLOCK));
	EXPECT_EQ(-ENOENT, pager_detach(&stranger, object));
	EXPECT_EQ(-ENOENT, pager_detach(&stranger, self->object));
	EXPECT_EQ(-EBUSY, pager_attach(&stranger, NAME, NULL, NULL));
	stranger = self->p;

	/* All is as it was, down to the barrier after the return. */
	ASSERT_EQ(0, pager_fetch(&owner, &returned, page));
	EXPECT_TRUE(page_is(page, 9, 9));
	ASSERT_EQ(0, pager_return_done(&owner, &returned, 0));
	ASSERT_TRUE(pager_expect(&owner, EXTPAGER_EV_SYNC, &ev, LONG));
	self->p = stranger;
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_SYNC_DONE);
	EXPECT_ANSWER_REFUSED(ENOENT, EXTPAGER_RE_SYNC_DONE, re.error = EIO);
	pager_close(&self->p);
	self->p = owner;
	EXPECT_EQ(CLIENT_RUNNING, client_result(&writer, 0));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&writer, LONG));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&reader, 0));
	ASSERT_EQ(0, pager_supply(&self->p, &request, 7));
	EXPECT_EQ(0, client_result(&reader, LONG));
	ASSERT_EQ(0, pager_ready(&self->p, &init, 0, 0));
	EXPECT_EQ(0, bad_replies(&self->p));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_BAD_REPLIES));

	/* Unnamed objects end with DESTROY; they are not detached. */
	EXPECT_EQ(-ENOENT, pager_detach(&self->p, self->object));
	EXPECT_EQ(-EBUSY, pager_attach(&self->p, NAME, NULL, NULL));
	/* What it serves it may open, for fsync. */
	own = pager_reopen(&self->p, object, O_RDONLY | O_NONBLOCK);
	EXPECT_LE(0, own);
	close(own);
	EXPECT_EQ(0, pager_detach(&self->p, object));
	EXPECT_EQ(-ENOENT, pager_reopen(&self->p, object, O_RDONLY | O_NONBLOCK));
	EXPECT_EQ(-ENOENT, pager_detach(&self->p, object));
	close(fd);
	EXPECT_TRUE(target_gone(NAME));
}

TEST_F(hostile, a_read_only_object_cannot_be_written_by_any_way)
{
	int fd = pager_create(&self->p, BYTES, EXTPAGER_OBJECT_RDONLY, &self->object);
	char path[64];
	void *map;

	BEHAVIOURS(128);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, write(fd, path, 1));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(-EROFS, pager_reopen(&self->p, self->object, O_RDWR));
	EXPECT_EQ(-EROFS, pager_reopen(&self->p, self->object, O_WRONLY));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	EXPECT_EQ(-1, open(path, O_RDWR));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	EXPECT_EQ(EACCES, errno);
	map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, mprotect(map, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	munmap(map, PAGE);
	close(fd);
}

/* ---- rings ---- */

static int enter(int fd, uint32_t to_submit, uint32_t min_complete, uint64_t timeout_ns)
{
	struct extpager_enter e = { sizeof(e), 0, to_submit, min_complete, timeout_ns };
	int ret = ioctl(fd, EXTPAGER_IOC_ENTER, &e);

	return ret < 0 ? -errno : ret;
}

/* In a child: does touching it kill? */
static int touch_byte(void *arg)
{
	return *(volatile char *)arg * 0;
}

static bool all_zero(const void *from, size_t bytes)
{
	const char *p = from;
	size_t i;

	for (i = 0; i < bytes; i++)
		if (p[i])
			return false;
	return true;
}

/* But for what it says about itself, and the rings' use so far. */
static bool kernel_region_is_blank(const struct pager *p, const struct queue *q)
{
	struct extpager_kernel_region head = *q->kernel;
	size_t used = head.events_off + head.event_tail * sizeof(struct extpager_event);

	head.event_tail = head.event_mask = head.reply_head = head.reply_mask = 0;
	head.events_off = head.replies_off = 0;
	return all_zero(&head, sizeof(head)) &&
	       all_zero(q->kernel + 1, q->kernel->events_off - sizeof(head)) &&
	       all_zero((char *)q->kernel + used, p->setup.out_kernel_len - used);
}

TEST_F(hostile, rings_hold_nothing_but_what_the_pager_is_told)
{
	struct access a = { .page = 9, .seed = 9 }, b = { .page = 20, .seed = 9 };
	struct extpager_event ev;
	struct client c, writer;
	unsigned int i;
	struct pager p;

	BEHAVIOURS(110);
#define EXPECT_BLANK() do {								\
	for (i = 0; i < 2; i++)								\
		EXPECT_TRUE(kernel_region_is_blank(&p, &p.queue[i]));			\
} while (0)
#define TAKE(op) do {									\
	ASSERT_TRUE(pager_expect(&p, op, &ev, LONG));					\
	EXPECT_EQ(0, ev.reserved);							\
	EXPECT_BLANK();									\
} while (0)
	ASSERT_EQ(0, pager_open(&p, 2, 32));
	EXPECT_BLANK();
	for (i = 0; i < 2; i++)
		EXPECT_TRUE(all_zero(p.queue[i].user, p.setup.out_user_len));
	a.fd = b.fd = pager_create(&p, BYTES, 0, NULL);
	ASSERT_LE(0, a.fd);
	c = client_start(use, &a);
	TAKE(EXTPAGER_EV_INIT);
	ASSERT_EQ(0, pager_ready(&p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	EXPECT_EQ(0, client_result(&c, LONG));
	writer = client_start(write_and_sync, &a);
	TAKE(EXTPAGER_EV_DATA_RETURN);
	ASSERT_EQ(0, pager_return_done(&p, &ev, 0));
	TAKE(EXTPAGER_EV_SYNC);
	ASSERT_EQ(0, pager_sync_done(&p, &ev, 0));
	EXPECT_EQ(0, client_result(&writer, LONG));
	c = client_start(read_pages, &b);
	TAKE(EXTPAGER_EV_DATA_REQUEST);
	ASSERT_EQ(0, pager_supply(&p, &ev, 9));
	EXPECT_EQ(0, client_result(&c, LONG));
	EXPECT_BLANK();
	close(a.fd);
	pager_close(&p);
#undef TAKE
#undef EXPECT_BLANK
}

TEST_F(hostile, the_kernels_region_cannot_be_written)
{
	struct extpager_setup *s = &self->p.setup;
	struct queue *q = &self->p.queue[0];
	uint32_t tail = q->kernel->event_tail;
	struct client c;
	char path[100];
	int mem;

	BEHAVIOURS(110);
	EXPECT_EQ(-1, mprotect(q->kernel, s->out_kernel_len, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
#define MAP(len, prot, flags, off) mmap(NULL, len, prot, flags, self->p.fd, off)
	EXPECT_EQ(MAP_FAILED, MAP(s->out_kernel_len, PROT_READ | PROT_WRITE, MAP_SHARED,
				  s->out_kernel_off));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(MAP_FAILED, MAP(s->out_kernel_len, PROT_READ | PROT_WRITE, MAP_PRIVATE,
				  s->out_kernel_off));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, MAP(s->out_kernel_len + PAGE, PROT_READ, MAP_SHARED,
				  s->out_kernel_off));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, MAP(s->out_user_len - PAGE, PROT_READ, MAP_SHARED,
				  s->out_user_off));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, MAP(PAGE, PROT_READ, MAP_SHARED, s->out_kernel_off + PAGE));
	EXPECT_EQ(EINVAL, errno);
	/* There is one queue. */
	EXPECT_EQ(MAP_FAILED, MAP(s->out_kernel_len, PROT_READ, MAP_SHARED, s->out_stride));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, MAP(s->out_kernel_len, PROT_READ, MAP_SHARED,
				  ~0ULL / s->out_stride * s->out_stride & ~(PAGE - 1)));
#undef MAP
	EXPECT_EQ(MAP_FAILED, mremap(q->user, s->out_user_len, s->out_user_len * 2,
				     MREMAP_MAYMOVE));
	/* Not by the back doors either. */
	mem = open("/proc/self/mem", O_RDWR);
	ASSERT_LE(0, mem);
	EXPECT_EQ(-1, pwrite(mem, &tail, sizeof(tail), (uintptr_t)q->kernel));
	close(mem);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (long)q->kernel,
		 (long)q->kernel + (long)s->out_kernel_len);
	EXPECT_EQ(0, access(path, F_OK));
	EXPECT_EQ(-1, open(path, O_RDWR));
	EXPECT_EQ(-1, open(path, O_RDONLY));
	/* A child is not the pager, and has none of its rings. */
	c = client_start(touch_byte, q->kernel);
	EXPECT_EQ(-SIGSEGV, client_result(&c, LONG));
	c = client_start(touch_byte, q->user);
	EXPECT_EQ(-SIGSEGV, client_result(&c, LONG));
	EXPECT_EQ(tail, q->kernel->event_tail);
	EXPECT_EQ(0, enter(self->p.fd, 0, 0, 0));
}

TEST_F(hostile, enter_takes_no_more_replies_than_there_are)
{
	struct queue *q = &self->p.queue[0];
	uint64_t bad = bad_replies(&self->p);

	BEHAVIOURS(110);
	EXPECT_EQ(0, enter(self->p.fd, ~0U, 0, 0));
	EXPECT_EQ(0, enter(self->p.fd, 1, 0, 0));
	memset(&q->replies[q->reply_tail & q->kernel->reply_mask], 0, 64);
	__atomic_store_n(&q->user->reply_tail, ++q->reply_tail, __ATOMIC_RELEASE);
	EXPECT_EQ(1, enter(self->p.fd, ~0U, 0, 0));
	EXPECT_EQ(0, enter(self->p.fd, ~0U, 0, 0));
	EXPECT_EQ(bad + 1, bad_replies(&self->p));
	EXPECT_EQ(q->reply_tail, q->kernel->reply_head);
	EXPECT_EQ(-ETIME, enter(self->p.fd, 0, 1, 1000));
	EXPECT_EQ(-ETIME, enter(self->p.fd, 0, ~0U, 0));
}

TEST_F(hostile, a_scribbled_index_is_a_protocol_error_and_can_be_mended)
{
	static const uint32_t wrong[] = { 0x80000000, 0xffffffff, 257, 1000 };
	struct access a = { self->fd, 3, 7, 0 };
	struct queue *q = &self->p.queue[0];
	struct extpager_event ev;
	struct client c;
	unsigned int i;

	BEHAVIOURS(110);
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		q->user->reply_tail = q->reply_tail + wrong[i];
		EXPECT_EQ(-EPROTO, enter(self->p.fd, 1, 0, 0));
		EXPECT_EQ(-EPROTO, enter(self->p.fd, ~0U, 1, ~0ULL));
	}
	q->user->reply_tail = q->reply_tail;
	/* Events that find such a ring wait in the kernel. */
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		/* One less than it was would be a value that can be. */
		q->user->event_head = q->event_head + wrong[i] + 2;
		EXPECT_EQ(-EPROTO, enter(self->p.fd, 0, 1, ~0ULL));
	}
	c = client_start(read_pages, &a);
	EXPECT_TRUE(WAIT_FOR(LONG, __atomic_load_n(&q->kernel->flags, __ATOMIC_RELAXED) &
			     EXTPAGER_KF_BACKLOG));
	EXPECT_EQ(-EPROTO, enter(self->p.fd, 0, 1, ~0ULL));
	EXPECT_EQ(q->event_head, q->kernel->event_tail);
	q->user->event_head = q->event_head;
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
	EXPECT_EQ(0, q->kernel->flags & EXTPAGER_KF_BACKLOG);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	EXPECT_EQ(0, client_result(&c, LONG));
}

/* Another thread of the pager writes anything anywhere it can. */
struct scribbler {
	struct pager *p;
	volatile bool stop;
	uint64_t random;
	struct extpager_event last;
};

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	struct queue *q = &s->p->queue[0];
	volatile uint64_t *words = (void *)q->user;
	size_t nr = s->p->setup.out_user_len / 8;

	while (!s->stop) {
		uint64_t r = test_random(&s->random);
		volatile struct extpager_reply *re = &q->replies[(r >> 8) & q->kernel->reply_mask];

		switch (r & 7) {
		case 0:
			words[(r >> 8) % nr] = test_random(&s->random);
			break;
		case 1:
			re->op = (r >> 20) % 10;
			break;
		case 2:
			re->tag = s->last.tag + ((r >> 20) & 3);
			break;
		case 3:
			re->length = (r >> 20) % 5 * PAGE;
			break;
		case 4:
			re->addr = r & 0x100000 ? (uintptr_t)s->p->buffer : r;
			break;
		case 5:
			re->offset = s->last.offset + (r >> 20) % 3 * PAGE;
			break;
		case 6:
			q->user->event_head = q->kernel->event_tail - (r >> 20) % 3;
			break;
		case 7:
			q->user->reply_tail += (r >> 20) % 3;
			break;
		}
	}
	return NULL;
}

/* What the pages then hold is the pager's own affair. */
static int read_on(void *arg)
{
	struct access *a = arg;
	uint64_t random = a->seed;
	char page[PAGE];

	posix_fadvise(a->fd, 0, 0, POSIX_FADV_RANDOM);
	for (;;)
		if (pread(a->fd, page, PAGE, test_random(&random) % PAGES * PAGE) < 0 &&
		    errno == EBADF)
			return errno;
}

TEST_F(hostile, a_scribbling_thread_harms_nobody_but_its_own_objects)
{
	struct access a = { self->fd, 0, 1, 0 }, fresh = { .page = 3, .seed = 7 };
	uint64_t end = now_ms() + test_rounds(60000, 1500, 4000);
	struct scribbler s = { .p = &self->p, .random = test_seed(110) };
	struct queue *q = &self->p.queue[0];
	struct extpager_event ev;
	unsigned int rounds = 0;
	uint32_t generation;
	struct pager honest;
	pthread_t thread;
	uint64_t object;
	struct client c;
	int fd;

	BEHAVIOURS(110);
	c = client_start(read_on, &a);
	ASSERT_TRUE(pager_event(&self->p, &s.last, LONG));
	ASSERT_EQ(0, pthread_create(&thread, NULL, scribble, &s));
	/* However little of the time the machine gives it. */
	while (now_ms() < end || rounds <= 100) {
		struct extpager_reply re = reply_to(&s.last, EXTPAGER_RE_SUPPLY);
		int ret;

		re.offset = s.last.offset;
		re.length = s.last.length;
		re.addr = (uintptr_t)self->p.buffer;
		q->replies[q->kernel->reply_head & q->kernel->reply_mask] = re;
		q->user->reply_tail = q->kernel->reply_head + 1;
		ret = enter(self->p.fd, 16, 0, 0);
		ASSERT_TRUE(ret >= 0 || ret == -EPROTO);
		/* The last one posted, wherever the head may point. */
		s.last = q->events[(q->kernel->event_tail - 1) & q->kernel->event_mask];
		rounds++;
	}
	s.stop = true;
	pthread_join(thread, NULL);
	EXPECT_LT(100, rounds);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 0));
	client_kill(&c);

	/* Another port of the same process knows nothing of it. */
	ASSERT_TRUE(serve_object(&honest, 0, &fd, &object, &generation));
	fresh.fd = fd;
	c = client_start(read_pages, &fresh);
	ASSERT_TRUE(pager_expect(&honest, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
	ASSERT_EQ(0, pager_supply(&honest, &ev, 7));
	EXPECT_EQ(0, client_result(&c, LONG));
	close(fd);
	pager_close(&honest);
}

/* ---- a full ring ---- */

#define MANY 100

/* Every other page: each is a request of its own, and nobody waits yet. */
static int ask_for_many(void *arg)
{
	struct access *a = arg;
	struct access one = { a->fd, 0, a->seed, 0 };
	unsigned int i;
	int ret = 0;

	for (i = 0; i < MANY; i++)
		if (posix_fadvise(a->fd, 2 * i * PAGE, PAGE, POSIX_FADV_WILLNEED))
			return 91;
	for (i = 0; i < MANY && !ret && a->pages; i++) {
		one.page = 2 * i;
		ret = read_pages(&one);
	}
	return ret;
}

FIXTURE(full)
{
	struct pager p;
	uint64_t object;
	uint32_t generation;
	int fd;
};

FIXTURE_VARIANT(full) { unsigned int entries; };
FIXTURE_VARIANT_ADD(full, of_16) { 16 };
FIXTURE_VARIANT_ADD(full, of_1) { 1 };

FIXTURE_SETUP(full)
{
	ASSERT_TRUE(serve_object(&self->p, variant->entries, &self->fd, &self->object,
				 &self->generation));
	ASSERT_EQ(variant->entries, self->p.setup.ring_entries);
}

FIXTURE_TEARDOWN(full)
{
	close(self->fd);
	pager_close(&self->p);
}

/* Of the port's own objects. */
static uint64_t returns_asked(const struct pager *p)
{
	uint64_t stats[STATS];

	return stats_get(NULL, p->setup.out_port, stats) ? stats[EXTPAGER_A_STATS_DATA_RETURNS] : 0;
}

static uint32_t unread(const struct pager *p)
{
	const struct queue *q = &p->queue[0];

	return __atomic_load_n(&q->kernel->event_tail, __ATOMIC_ACQUIRE) - q->event_head;
}

TEST_F(full, events_that_find_no_room_come_when_there_is_some)
{
	struct access a = { self->fd, 0, 7, 1 };
	struct client c = client_start(ask_for_many, &a);
	struct extpager_event ev;
	bool asked[PAGES] = { };
	unsigned int i;

	BEHAVIOURS(109);
	EXPECT_TRUE(WAIT_FOR(LONG, unread(&self->p) == variant->entries &&
			     self->p.queue[0].kernel->flags & EXTPAGER_KF_BACKLOG));
	/* More than fit are never waited for. */
	EXPECT_EQ(0, enter(self->p.fd, 0, variant->entries + 1, ~0ULL));
	for (i = 0; i < MANY; i++) {
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
		ASSERT_EQ(PAGE, ev.length);
		ASSERT_FALSE(asked[ev.offset / PAGE]);
		asked[ev.offset / PAGE] = true;
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	}
	EXPECT_EQ(0, client_result(&c, LONG));
	EXPECT_EQ(0, self->p.queue[0].kernel->flags & EXTPAGER_KF_BACKLOG);
	EXPECT_TRUE(pager_silent(&self->p, 50));
}

struct port_query {
	uint32_t id;
	uint32_t backlog;
};

static int take_backlog(const struct extpager_port_info *i, void *arg)
{
	struct port_query *q = arg;

	if (i->id == q->id)
		q->backlog = i->queue[0].backlog;
	return 0;
}

/* Events that found no room, as netlink tells. */
static uint32_t backlog_of(const struct pager *p)
{
	struct port_query q = { p->setup.out_port, ~0U };
	struct extpager_ctl *c;

	if (!extpager_ctl_open(&c)) {
		extpager_port_list(c, take_backlog, &q);
		extpager_ctl_close(c);
	}
	return q.backlog;
}

TEST_F(full, a_return_does_not_wait_behind_page_ins)
{
	struct access a = { self->fd, 0, 7, 0 }, dirty = { self->fd, 1, 9, 0 };
	struct client c = client_start(ask_for_many, &a);
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(109);
	ASSERT_EQ(0, client_result(&c, LONG));
	c = client_start(write_and_sync, &dirty);
	ASSERT_TRUE(WAIT_FOR(LONG, backlog_of(&self->p) == MANY - variant->entries + 1));
	/* The ring's own, then it before all the others. */
	for (i = 0; i < variant->entries; i++) {
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	}
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	for (i = variant->entries; i <= MANY; i++) {
		ASSERT_TRUE(pager_event(&self->p, &ev, LONG));
		ASSERT_EQ(0, ev.op == EXTPAGER_EV_SYNC ? pager_sync_done(&self->p, &ev, 0) :
			     pager_supply(&self->p, &ev, 7));
	}
	EXPECT_EQ(0, client_result(&c, LONG));
}

TEST_F(full, requests_withdrawn_before_they_were_posted_never_come)
{
	struct access a = { self->fd, 0, 7, 0 }, all = { self->fd, 0, 0, 2 * MANY };
	struct client c = client_start(ask_for_many, &a);
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(109);
	ASSERT_EQ(0, client_result(&c, LONG));
	ASSERT_TRUE(self->p.queue[0].kernel->flags & EXTPAGER_KF_BACKLOG);
	c = client_start(punch, &all);
	/* What was in the ring was asked; of the rest only the hole is told, once all are gone. */
	EXPECT_TRUE(WAIT_FOR(LONG, returns_asked(&self->p) == 1 && backlog_of(&self->p) == 1));
	for (i = 0; i < variant->entries; i++) {
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
		EXPECT_EQ(-ENOENT, pager_supply(&self->p, &ev, 8));
	}
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
	EXPECT_EQ(EXTPAGER_EVF_ZERO, ev.flags);
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, LONG));
	EXPECT_TRUE(pager_silent(&self->p, 50));
	EXPECT_EQ(0, self->p.queue[0].kernel->flags & EXTPAGER_KF_BACKLOG);
}

TEST_F(full, a_backlog_that_was_withdrawn_leaves_no_flag)
{
	struct queue *q = &self->p.queue[0];
	struct target_options options = { .bytes = BYTES };
	struct access a = { };
	struct extpager_event ev;
	uint64_t object;
	struct client c;
	int fd;

	if (target_state(NAME))
		target_gone(NAME);
	ASSERT_EQ(0, target_add(NAME, &options));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, &object, NULL));
	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, LONG));
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	a.fd = fd;
	c = client_start(ask_for_many, &a);
	ASSERT_EQ(0, client_result(&c, LONG));
	EXPECT_TRUE(q->kernel->flags & EXTPAGER_KF_BACKLOG);
	/* Deadlines end them all, in the ring or not; none before this. */
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .page_in_ms = 300 }));
	EXPECT_TRUE(WAIT_FOR(LONG, target_stat(NAME, EXTPAGER_A_STATS_TIMEOUTS) == MANY));
	/* The last one is counted before it leaves. */
	EXPECT_TRUE(WAIT_FOR(LONG, !backlog_of(&self->p)));
	EXPECT_EQ(0, enter(self->p.fd, 0, 0, 0));
	EXPECT_EQ(0, q->kernel->flags & EXTPAGER_KF_BACKLOG);
	close(fd);
	EXPECT_TRUE(target_gone(NAME));
}

/* ---- closing in the middle ---- */

struct sleeper {
	int fd;
	int ret;
	volatile pid_t tid;
};

static void *sleep_in_enter(void *arg)
{
	struct sleeper *s = arg;

	s->tid = gettid();
	s->ret = enter(s->fd, 0, 1, 2000000000);
	return NULL;
}

static bool is_in_enter(const struct sleeper *s)
{
	char path[40], stack[2000] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stack", s->tid);
	fd = s->tid ? open(path, O_RDONLY) : -1;
	if (fd >= 0 && read(fd, stack, sizeof(stack) - 1) < 0)
		stack[0] = 0;
	if (fd >= 0)
		close(fd);
	return strstr(stack, "extpager_queue_enter");
}

static int port_fd;

static int read_without_port(void *arg)
{
	close(port_fd);
	return read_pages(arg);
}

TEST_F(hostile, closing_the_port_ends_those_who_wait_for_its_objects)
{
	struct access a = { self->fd, 3, 7, 0 };
	struct sleeper s = { .fd = self->p.fd };
	struct extpager_event ev;
	struct client c;
	pthread_t thread;
	int ret;

	BEHAVIOURS(84);
	port_fd = self->p.fd;
	c = client_start(read_without_port, &a);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
	ASSERT_EQ(0, pthread_create(&thread, NULL, sleep_in_enter, &s));
	ASSERT_TRUE(WAIT_FOR(1500, is_in_enter(&s)));
	/* Not the end of the port before the sleeper leaves it. */
	pager_close(&self->p);
	EXPECT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(-ETIME, s.ret);
	ret = client_result(&c, LONG);
	EXPECT_EQ(ENODEV, ret);
	EXPECT_EQ(ENODEV, read_pages(&a));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
}

/* Who has it mapped yet can see that nothing more comes. */
TEST_F(hostile, a_ring_outlives_its_port_and_says_so)
{
	struct extpager_kernel_region *kernel;
	struct pager p;

	BEHAVIOURS(110);
	ASSERT_EQ(0, pager_open(&p, 1, 16));
	kernel = mmap(NULL, p.setup.out_kernel_len, PROT_READ, MAP_SHARED, p.fd,
		      p.setup.out_kernel_off);
	ASSERT_NE(MAP_FAILED, kernel);
	EXPECT_FALSE(kernel->flags & EXTPAGER_KF_DEAD);
	pager_close(&p);
	EXPECT_TRUE(WAIT_FOR(LONG, *(volatile uint32_t *)&kernel->flags & EXTPAGER_KF_DEAD));
	munmap(kernel, p.setup.out_kernel_len);
}

/* ---- ioctls ---- */

FIXTURE(calls)
{
	struct pager p;
};

FIXTURE_SETUP(calls)
{
	ASSERT_EQ(0, pager_open(&self->p, 1, 16));
}

FIXTURE_TEARDOWN(calls)
{
	pager_close(&self->p);
}

static int call(int fd, unsigned long cmd, void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

#define SET_SIZE(arg, n) (*(uint32_t *)(arg) = (n))

/*
 * A struct of any version: shorter than ours is wrong, longer is right as
 * long as the rest is zero, and says what ours says, @want.
 */
#define TEST_LENGTH(_struct, cmd, want, ...) do {					\
	char *page = self->p.buffer, *end = page + 2 * PAGE;				\
	struct _struct arg = { .size = sizeof(arg), ##__VA_ARGS__ };			\
	size_t size = sizeof(arg);							\
											\
	memset(page, 0, 4 * PAGE);							\
	memcpy(page, &arg, size);							\
	EXPECT_EQ(want, call(self->p.fd, cmd, page));					\
	memcpy(page, &arg, size);							\
	SET_SIZE(page, 0);								\
	EXPECT_EQ(-EINVAL, call(self->p.fd, cmd, page));				\
	SET_SIZE(page, size - 1);							\
	EXPECT_EQ(-EINVAL, call(self->p.fd, cmd, page));				\
	SET_SIZE(page, size + 8);							\
	EXPECT_EQ(want, call(self->p.fd, cmd, page));					\
	memcpy(page, &arg, size);							\
	SET_SIZE(page, PAGE);								\
	EXPECT_EQ(want, call(self->p.fd, cmd, page));					\
	memcpy(page, &arg, size);							\
	SET_SIZE(page, size + 8);							\
	page[size + 7] = 1;								\
	EXPECT_EQ(-E2BIG, call(self->p.fd, cmd, page));					\
	page[size + 7] = 0;								\
	SET_SIZE(page, PAGE + 1);							\
	EXPECT_EQ(-E2BIG, call(self->p.fd, cmd, page));					\
	SET_SIZE(page, ~0U);								\
	EXPECT_EQ(-E2BIG, call(self->p.fd, cmd, page));					\
	EXPECT_EQ(-EFAULT, call(self->p.fd, cmd, NULL));				\
	EXPECT_EQ(-EFAULT, call(self->p.fd, cmd, (void *)-PAGE));			\
	/* The struct's last byte lies on a page that is not there. */			\
	mprotect(end, PAGE, PROT_NONE);							\
	memcpy(end - size + 1, &arg, size - 1);						\
	EXPECT_EQ(-EFAULT, call(self->p.fd, cmd, end - size + 1));			\
	mprotect(end, PAGE, PROT_READ | PROT_WRITE);					\
} while (0)

TEST_F(calls, structs_of_other_sizes_are_taken_or_refused_as_promised)
{
	BEHAVIOURS(41);
	TEST_LENGTH(extpager_setup, EXTPAGER_IOC_SETUP, -EBUSY,
		    .abi_version = EXTPAGER_ABI_VERSION);
	TEST_LENGTH(extpager_enter, EXTPAGER_IOC_ENTER, 0);
	TEST_LENGTH(extpager_attach, EXTPAGER_IOC_ATTACH, -ENOENT, .name = "no-such");
	TEST_LENGTH(extpager_detach, EXTPAGER_IOC_DETACH, -ENOENT, .object = 1);
	TEST_LENGTH(extpager_object_create, EXTPAGER_IOC_OBJECT_CREATE, -EOPNOTSUPP,
		    .bytes = PAGE, .flags = 1 << 30);
	TEST_LENGTH(extpager_open, EXTPAGER_IOC_OPEN, -ENOENT, .name = "no-such");
	TEST_LENGTH(extpager_wake, EXTPAGER_IOC_WAKE, 0);
	TEST_LENGTH(extpager_failures, EXTPAGER_IOC_FAILURES, -ENOENT, .object = 1);
	TEST_LENGTH(extpager_register, EXTPAGER_IOC_REGISTER, -EBADF, .fd = -1);
	TEST_LENGTH(extpager_unregister, EXTPAGER_IOC_UNREGISTER, -ENOENT, .file = 1);
	TEST_LENGTH(extpager_delegate, EXTPAGER_IOC_DELEGATE, -ENOENT, .object = 1,
		    .nr_ranges = 1);
	TEST_LENGTH(extpager_accept, EXTPAGER_IOC_ACCEPT, -EINVAL);
}

TEST_F(calls, unknown_calls_and_port_calls_on_other_fds_are_not_known)
{
	char *arg = self->p.buffer;
	int fd = open(EXTPAGER_DEVICE, O_RDWR);
	unsigned int nr;

	BEHAVIOURS(41);
	ASSERT_LE(0, fd);
	memset(arg, 0, PAGE);
	SET_SIZE(arg, 256);
	for (nr = _IOC_NR(EXTPAGER_IOC_ACCEPT) + 1; nr < 256; nr++) {
		EXPECT_EQ(-ENOTTY, call(self->p.fd, _IOC(_IOC_READ | _IOC_WRITE,
							 EXTPAGER_IOC_MAGIC, nr, 64), arg));
	}
	EXPECT_EQ(-ENOTTY, call(self->p.fd, _IOWR(0xEC, 1, struct extpager_enter), arg));
	EXPECT_EQ(-ENOTTY, call(self->p.fd, _IO(EXTPAGER_IOC_MAGIC, 1), arg));
	EXPECT_EQ(-ENOTTY, call(self->p.fd, TCGETS, arg));
	/* The size in the number is that of some version's struct. */
	EXPECT_EQ(0, call(self->p.fd, _IOW(EXTPAGER_IOC_MAGIC, 1, char[256]), arg));

	EXPECT_EQ(-ENOTTY, call(fd, EXTPAGER_IOC_ENTER, arg));
	EXPECT_EQ(-ENOTTY, call(fd, EXTPAGER_IOC_WAKE, arg));
	EXPECT_EQ(-ENOTTY, call(fd, EXTPAGER_IOC_ATTACH, arg));
	EXPECT_EQ(-ENOTTY, call(fd, EXTPAGER_IOC_DETACH, arg));
	EXPECT_EQ(-ENOTTY, call(fd, EXTPAGER_IOC_OBJECT_CREATE, arg));
	((struct extpager_open *)arg)->object = 1;
	EXPECT_EQ(-ENOTTY, call(fd, EXTPAGER_IOC_OPEN, arg));
	close(fd);
}

#define SETUP_OF(version, ...) ({							\
	struct extpager_setup s = { .size = sizeof(s), .abi_version = (version),	\
				    ##__VA_ARGS__ };					\
	int f = open(EXTPAGER_DEVICE, O_RDWR), r = call(f, EXTPAGER_IOC_SETUP, &s);	\
											\
	close(f);									\
	setup = s;									\
	r; })
#define SETUP(...) SETUP_OF(EXTPAGER_ABI_VERSION, __VA_ARGS__)

TEST_F(calls, setup_checks_its_arguments_and_says_what_it_made)
{
	struct target_options options = { .bytes = BYTES };
	struct extpager_setup setup;
	int fd;

	BEHAVIOURS(41);
	EXPECT_EQ(-EPROTONOSUPPORT, SETUP_OF(0));
	EXPECT_EQ(-EPROTONOSUPPORT, SETUP_OF(EXTPAGER_ABI_VERSION + 1));
	EXPECT_EQ(-EOPNOTSUPP, SETUP(.flags = 1));
	EXPECT_EQ(-EINVAL, SETUP(.reserved = 1));
	EXPECT_EQ(-EINVAL, SETUP(.nr_queues = EXTPAGER_QUEUES_MAX + 1));
	EXPECT_EQ(-EINVAL, SETUP(.ring_entries = EXTPAGER_RING_MAX + 1));
	EXPECT_EQ(-EINVAL, SETUP(.ring_entries = ~0U));
	EXPECT_EQ(0, SETUP(.nr_queues = 3, .ring_entries = 5, .features = ~0ULL));
	EXPECT_EQ(3, setup.nr_queues);
	EXPECT_EQ(8, setup.ring_entries);
	EXPECT_EQ(EXTPAGER_FEATURES_KNOWN, setup.features);
	EXPECT_EQ(PAGE, setup.out_page_size);
	EXPECT_EQ(0, SETUP(.flags = 0));
	EXPECT_EQ(256, setup.ring_entries);
	EXPECT_EQ(sysconf(_SC_NPROCESSORS_ONLN), setup.nr_queues);

	/* What was used as a client is a client. */
	if (target_state("default"))
		target_gone("default");
	ASSERT_EQ(0, target_add("default", &options));
	fd = open(EXTPAGER_DEVICE, O_RDWR);
	EXPECT_EQ(BYTES, lseek(fd, 0, SEEK_END));
	setup.size = sizeof(setup);
	EXPECT_EQ(-EBUSY, call(fd, EXTPAGER_IOC_SETUP, &setup));
	close(fd);
	EXPECT_TRUE(target_gone("default"));
	/* And what is a port is no client. */
	EXPECT_EQ(-1, pread(self->p.fd, &setup, 1, 0));
	EXPECT_EQ(EINVAL, errno);
}

#define CALL(cmd, _struct, ...) ({							\
	struct _struct s = { .size = sizeof(s), ##__VA_ARGS__ };			\
											\
	call(self->p.fd, cmd, &s); })

TEST_F(calls, the_others_check_their_arguments_too)
{
	struct target_options options = { .bytes = BYTES, .read_only = true };
	struct extpager_attach a = { .size = sizeof(a) };
	struct extpager_open o = { .size = sizeof(o) };

	BEHAVIOURS(41);
	EXPECT_EQ(-EINVAL, CALL(EXTPAGER_IOC_ENTER, extpager_enter, .queue = 1));
	EXPECT_EQ(-EINVAL, CALL(EXTPAGER_IOC_ENTER, extpager_enter, .queue = ~0U));
	EXPECT_EQ(-EOPNOTSUPP, CALL(EXTPAGER_IOC_ATTACH, extpager_attach, .flags = 1,
				    .name = NAME));
	EXPECT_EQ(-ENOENT, CALL(EXTPAGER_IOC_ATTACH, extpager_attach, .name = ""));
	memset(a.name, 'x', sizeof(a.name));
	EXPECT_EQ(-EINVAL, call(self->p.fd, EXTPAGER_IOC_ATTACH, &a));
	EXPECT_EQ(-EOPNOTSUPP, CALL(EXTPAGER_IOC_DETACH, extpager_detach, .flags = 1,
				    .object = 1));
	EXPECT_EQ(-EOPNOTSUPP, CALL(EXTPAGER_IOC_WAKE, extpager_wake, .flags = 1));
	EXPECT_EQ(-EOPNOTSUPP, CALL(EXTPAGER_IOC_WAKE, extpager_wake, .flags = 1U << 31));
	/* What was refused wakes nobody. */
	EXPECT_EQ(-ETIME, enter(self->p.fd, 0, 1, 0));
	EXPECT_EQ(0, CALL(EXTPAGER_IOC_WAKE, extpager_wake));
	EXPECT_EQ(-EINTR, enter(self->p.fd, 0, 1, ~0ULL));
	EXPECT_EQ(-ENOENT, CALL(EXTPAGER_IOC_FAILURES, extpager_failures));
	EXPECT_EQ(-ENOENT, CALL(EXTPAGER_IOC_FAILURES, extpager_failures, .object = ~0ULL));
#define CREATE(...) CALL(EXTPAGER_IOC_OBJECT_CREATE, extpager_object_create, __VA_ARGS__)
	EXPECT_EQ(-EINVAL, CREATE(.bytes = 0));
	EXPECT_EQ(-EINVAL, CREATE(.bytes = PAGE, .reserved = 1));
	EXPECT_EQ(-EOPNOTSUPP, CREATE(.bytes = PAGE, .flags = EXTPAGER_OBJECT_RDONLY | 2));
	EXPECT_EQ(-EFBIG, CREATE(.bytes = 1ULL << 63));
	EXPECT_EQ(-EFBIG, CREATE(.bytes = ~0ULL));
#define OPEN(...) CALL(EXTPAGER_IOC_OPEN, extpager_open, __VA_ARGS__)
	EXPECT_EQ(-EINVAL, OPEN(.name = NAME, .reserved = 1));
	EXPECT_EQ(-EINVAL, OPEN(.name = NAME, .flags = O_ACCMODE));
	EXPECT_EQ(-EOPNOTSUPP, OPEN(.name = NAME, .flags = O_CREAT));
	EXPECT_EQ(-EOPNOTSUPP, OPEN(.name = NAME, .flags = O_DIRECTORY));
	EXPECT_EQ(-EOPNOTSUPP, OPEN(.name = NAME, .flags = 1U << 31));
	EXPECT_EQ(-ENOENT, OPEN(.object = ~0ULL));
	memset(o.name, 'x', sizeof(o.name));
	EXPECT_EQ(-EINVAL, call(self->p.fd, EXTPAGER_IOC_OPEN, &o));
	if (target_state(NAME))
		target_gone(NAME);
	ASSERT_EQ(0, target_add(NAME, &options));
	EXPECT_EQ(-EROFS, OPEN(.name = NAME, .flags = O_RDWR | O_NONBLOCK));
	EXPECT_TRUE(target_gone(NAME));
}

/* Whoever is not the pager has no use of the port. */
static int use_port(void *arg)
{
	struct extpager_object_create create = { .size = sizeof(create), .bytes = PAGE };
	struct extpager_detach detach = { .size = sizeof(detach), .object = 1 };
	struct extpager_attach attach = { .size = sizeof(attach), .name = NAME };
	struct extpager_setup setup = { .size = sizeof(setup),
					.abi_version = EXTPAGER_ABI_VERSION };
	struct extpager_open open = { .size = sizeof(open), .object = 1 };
	struct extpager_wake wake = { .size = sizeof(wake) };
	struct extpager_failures failures = { .size = sizeof(failures), .object = 1 };
	struct extpager_register reg = { .size = sizeof(reg), .fd = 0 };
	struct extpager_unregister unreg = { .size = sizeof(unreg), .file = 1 };
	struct extpager_delegate delegate = { .size = sizeof(delegate), .object = 1 };
	struct pager *p = arg;

	if (enter(p->fd, 0, 0, 0) != -EPERM)
		return 1;
	if (call(p->fd, EXTPAGER_IOC_ATTACH, &attach) != -EPERM)
		return 2;
	if (call(p->fd, EXTPAGER_IOC_DETACH, &detach) != -EPERM)
		return 3;
	if (call(p->fd, EXTPAGER_IOC_OBJECT_CREATE, &create) != -EPERM)
		return 4;
	if (call(p->fd, EXTPAGER_IOC_OPEN, &open) != -EPERM)
		return 5;
	if (call(p->fd, EXTPAGER_IOC_SETUP, &setup) != -EBUSY)
		return 6;
	if (mmap(NULL, p->setup.out_kernel_len, PROT_READ, MAP_SHARED, p->fd,
		 p->setup.out_kernel_off) != MAP_FAILED || errno != EPERM)
		return 7;
	if (call(p->fd, EXTPAGER_IOC_WAKE, &wake) != -EPERM)
		return 8;
	if (call(p->fd, EXTPAGER_IOC_FAILURES, &failures) != -EPERM)
		return 9;
	if (call(p->fd, EXTPAGER_IOC_REGISTER, &reg) != -EPERM)
		return 10;
	if (call(p->fd, EXTPAGER_IOC_UNREGISTER, &unreg) != -EPERM)
		return 11;
	if (call(p->fd, EXTPAGER_IOC_DELEGATE, &delegate) != -EPERM)
		return 12;
	return 0;
}

TEST_F(calls, a_child_of_the_pager_is_not_the_pager)
{
	struct client c = client_start(use_port, &self->p);

	PARTIAL(108);
	EXPECT_EQ(0, client_result(&c, LONG));
	/* Nor has it woken the pager. */
	EXPECT_EQ(-ETIME, enter(self->p.fd, 0, 1, 0));
}

/* ---- who may be a pager ---- */

static bool become_nobody(void)
{
	return !setgroups(0, NULL) && !setgid(NOBODY) && !setuid(NOBODY);
}

/* As nobody: errno of SETUP, or 0, and then of ATTACH to two targets. */
struct attempt {
	int setup, attach, other, create, file;
};

static int try_as_nobody(void *arg)
{
	struct attempt *a = arg;
	struct pager p;

	if (!become_nobody())
		return 1;
	a->setup = pager_open(&p, 1, 0);
	if (a->setup)
		return 0;
	a->attach = pager_attach(&p, NAME, NULL, NULL);
	a->other = pager_attach(&p, NAME "-other", NULL, NULL);
	a->create = pager_create(&p, BYTES, 0, NULL);
	a->file = pager_register(&p, memfd_create(NAME, MFD_CLOEXEC));
	return 0;
}

static bool attempt(struct attempt *a)
{
	struct client c;

	memset(a, 0xff, sizeof(*a));
	c = client_start(try_as_nobody, a);
	return !client_result(&c, LONG);
}

#define PARAMETER "/sys/module/extpager/parameters/unprivileged_pagers"

TEST(a_pager_is_privileged_or_named_by_a_target_or_let)
{
	struct target_options plain = { .bytes = BYTES },
			      theirs = { .bytes = BYTES, .pager_uid = NOBODY },
			      nobodys = { .pager_uid = EXTPAGER_NO_UID };
	struct attempt *a = shared_memory(PAGE);

	if (target_state(NAME))
		target_gone(NAME);
	ASSERT_EQ(0, target_add(NAME "-other", &plain));
	ASSERT_TRUE(attempt(a));
	EXPECT_EQ(-EPERM, a->setup);

	ASSERT_TRUE(write_file(PARAMETER, "1"));
	ASSERT_TRUE(attempt(a));
	EXPECT_EQ(0, a->setup);
	EXPECT_EQ(-ENOENT, a->attach);
	EXPECT_EQ(-EPERM, a->other);
	EXPECT_LE(0, a->create);
	/* A file costs threads of the kernel's. */
	EXPECT_EQ(-EPERM, a->file);
	ASSERT_TRUE(write_file(PARAMETER, "0"));
	ASSERT_TRUE(attempt(a));
	EXPECT_EQ(-EPERM, a->setup);

	ASSERT_EQ(0, target_add(NAME, &theirs));
	ASSERT_TRUE(attempt(a));
	EXPECT_EQ(0, a->setup);
	EXPECT_EQ(0, a->attach);
	EXPECT_EQ(-EPERM, a->other);
	EXPECT_LT(0, a->file);
	/* It can be taken back. */
	ASSERT_EQ(0, target_set(NAME, &nobodys));
	ASSERT_TRUE(attempt(a));
	EXPECT_EQ(-EPERM, a->setup);
	EXPECT_TRUE(target_gone(NAME));
	EXPECT_TRUE(target_gone(NAME "-other"));
}

/* As nobody: a target's file is opened as any file. */
static int open_as_nobody(void *arg)
{
	int flags = *(int *)arg, fd;

	if (!become_nobody())
		return 99;
	fd = target_open(NAME, flags | O_NONBLOCK);
	return fd < 0 ? -fd : 0;
}

static int try_open(int flags)
{
	struct client c = client_start(open_as_nobody, &flags);

	return client_result(&c, LONG);
}

TEST(a_target_is_opened_by_those_whom_its_mode_lets)
{
	struct target_options options = { .bytes = BYTES };

	if (target_state(NAME))
		target_gone(NAME);
	ASSERT_EQ(0, target_add(NAME, &options));
	EXPECT_EQ(EACCES, try_open(O_RDONLY));
	EXPECT_EQ(EACCES, try_open(O_RDWR));
	EXPECT_TRUE(target_gone(NAME));
	options.mode = 0604;
	ASSERT_EQ(0, target_add(NAME, &options));
	EXPECT_EQ(0, try_open(O_RDONLY));
	EXPECT_EQ(EACCES, try_open(O_WRONLY));
	EXPECT_EQ(EACCES, try_open(O_RDWR));
	EXPECT_TRUE(target_gone(NAME));
}

TEST_HARNESS_MAIN
