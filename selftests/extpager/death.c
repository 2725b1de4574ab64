// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pagers that go: by detach, close, kill or exec, with requests unread, read
 * and half answered; what their clients see, what their successors get, and
 * the deadlines that end a pager's silence.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <extpager.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/pager.h"

#define NAME "death"
#define BYTES (2 * MIB)
#define PAGES (BYTES / PAGE)
#define LONG 20000		/* ms: for what must come, however slow the machine */

/* Far below every default deadline: what comes within it came by itself. */
static unsigned int prompt(void)
{
	return on_debug_kernel() ? 10000 : 3000;
}

static struct extpager_target target_info(const char *name)
{
	struct extpager_target t = { .size = sizeof(t) };
	struct extpager_ctl *c;

	if (extpager_ctl_open(&c))
		return t;
	extpager_target_get(c, name, &t);
	extpager_ctl_close(c);
	return t;
}

static bool pending_is(unsigned int n)
{
	return WAIT_FOR(LONG, target_info(NAME).pending == n);
}

/* What is asked, or is to be asked of the next pager. */
static int count_one(const struct extpager_pending *p, void *nr)
{
	*(unsigned int *)nr += !strcmp(p->target, NAME);
	return 0;
}

static unsigned int unanswered(void)
{
	struct extpager_ctl *c;
	unsigned int nr = 0;

	if (extpager_ctl_open(&c))
		return -1;
	if (extpager_pending_list(c, count_one, &nr))
		nr = -1;
	extpager_ctl_close(c);
	return nr;
}

/* What is asked from now on has time, even on a machine that stands still for a while. */
static bool give_time(void)
{
	return !target_set(NAME, &(struct target_options){
		.handshake_ms = LONG, .page_in_ms = LONG, .return_ms = LONG, .sync_ms = LONG });
}

static bool state_becomes(unsigned int state, unsigned int ms)
{
	return WAIT_FOR(ms, target_state(NAME) == state);
}

/* ---- clients ---- */

#define WRONG 90		/* a client's result when the page is not what it should be */

struct access {
	int fd;
	uint64_t page;
	uint64_t seed;
};

static uint8_t *map_object(int fd)
{
	uint8_t *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED || madvise(map, BYTES, MADV_RANDOM))
		_exit(91);
	return map;
}

/* 0, WRONG or, by the signal, CLIENT_SIGBUS. */
static int touch(void *arg)
{
	struct access *a = arg;

	return page_is(map_object(a->fd) + a->page * PAGE, a->seed, a->page) ? 0 : WRONG;
}

/* 0, WRONG or read's errno. */
static int read_page(void *arg)
{
	struct access *a = arg;
	char page[PAGE];

	posix_fadvise(a->fd, 0, 0, POSIX_FADV_RANDOM);
	if (pread(a->fd, page, PAGE, a->page * PAGE) != (ssize_t)PAGE)
		return errno;
	return page_is(page, a->seed, a->page) ? 0 : WRONG;
}

/* 0 or write's errno; the page need not be here. */
static int write_page(void *arg)
{
	struct access *a = arg;
	char page[PAGE];

	fill_page(page, a->seed, a->page);
	return pwrite(a->fd, page, PAGE, a->page * PAGE) == (ssize_t)PAGE ? 0 : errno;
}

static int sync_object(void *arg)
{
	struct access *a = arg;

	return fsync(a->fd) ? errno : 0;
}

static int punch_page(void *arg)
{
	struct access *a = arg;

	return fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, a->page * PAGE,
			 PAGE) ? errno : 0;
}

static int open_target(void *arg)
{
	int fd = target_open(NAME, O_RDWR);

	return fd < 0 ? -fd : 0;
}

static int open_path(void *arg)
{
	return open(target_path(NAME), O_RDWR) < 0 ? errno : 0;
}

static int (*const opens[])(void *arg) = { open_target, open_path };

/*
 * A client that has no part in the test's port, whose close is to be the last
 * one. The test is the pager: its port is in port_fd.
 */
static int port_fd = -1;
static int (*client_fn)(void *arg);

static int without_port(void *arg)
{
	close(port_fd);
	return client_fn(arg);
}

static struct client client(int (*fn)(void *arg), struct access *a)
{
	client_fn = fn;
	return client_start(without_port, a);
}

/* To its end, which comes without the pager's help. */
static int run(int (*fn)(void *arg), int fd, uint64_t page, uint64_t seed)
{
	struct access a = { fd, page, seed };
	struct client c = client(fn, &a);

	return client_result(&c, LONG);
}

/* ---- the target, with the test as its pager; write-back only when somebody asks for it ---- */

FIXTURE(death)
{
	struct pager p;
	uint64_t object;
	int fd;
	long interval;
};

FIXTURE_SETUP(death)
{
	/* Left over from a test that failed. */
	if (target_state(NAME))
		target_gone(NAME);
	self->p.fd = -1;
	self->fd = -1;
	self->interval = writeback_interval(AN_HOUR);
	ASSERT_LT(0, self->interval);
}

FIXTURE_TEARDOWN(death)
{
	if (self->fd >= 0)
		close(self->fd);
	if (self->p.fd >= 0)
		pager_close(&self->p);
	EXPECT_TRUE(target_gone(NAME));
	writeback_interval(self->interval);
}

/* A port, the target attached, INIT in @ev. */
static bool attach_target(struct pager *p, uint64_t *object, struct extpager_event *ev)
{
	if (pager_open(p, 1, 0))
		return false;
	port_fd = p->fd;
	return !pager_attach(p, NAME, object, NULL) &&
	       pager_expect(p, EXTPAGER_EV_INIT, ev, LONG);
}

/* The same, and INIT answered. */
static bool take_target(struct pager *p, uint64_t *object, struct extpager_event *ev)
{
	return attach_target(p, object, ev) && !pager_ready(p, ev, 0, EXTPAGER_ATTR_MAY_CACHE);
}

static bool serve_target(struct pager *p, uint64_t *object, int *fd,
			 const struct target_options *options)
{
	struct extpager_event ev;

	if (target_add(NAME, options))
		return false;
	/* The open is the first use; a pager must not wait for itself. */
	*fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	return *fd >= 0 && take_target(p, object, &ev);
}

#define SERVE(...) ASSERT_TRUE(serve_target(&self->p, &self->object, &self->fd,		\
			&(struct target_options){ .bytes = BYTES, __VA_ARGS__ }))

/* The successor: a new port over the same target. */
#define TAKE_OVER() do {									\
	struct extpager_event __ev;								\
												\
	ASSERT_TRUE(take_target(&self->p, &self->object, &__ev));				\
	EXPECT_EQ(EXTPAGER_EVF_RESENT, __ev.flags);						\
} while (0)

/* Answer READs until @c ends; its result. */
static int serve_reads(struct pager *p, struct client *c, uint64_t seed)
{
	uint64_t end = now_ms() + LONG;
	struct extpager_event ev;
	int ret;

	while ((ret = client_result(c, 0)) == CLIENT_RUNNING && now_ms() < end)
		if (pager_event(p, &ev, 10) && ev.op == EXTPAGER_EV_DATA_REQUEST)
			pager_supply(p, &ev, seed);
	return ret;
}

static int run_served(struct pager *p, int (*fn)(void *arg), int fd, uint64_t page,
		      uint64_t seed)
{
	struct access a = { fd, page, seed };
	struct client c = client(fn, &a);

	return serve_reads(p, &c, seed);
}

static bool has_ended(const struct client *c)
{
	siginfo_t end = { };

	return !waitid(P_PID, c->pid, &end, WEXITED | WNOHANG | WNOWAIT) && end.si_pid;
}

/* The next event, unless all of @nr clients end before one comes. */
static bool event_or_end(struct pager *p, struct extpager_event *ev, const struct client *c,
			 unsigned int nr)
{
	uint64_t end = now_ms() + LONG;
	unsigned int i;

	do {
		if (pager_event(p, ev, 10))
			return true;
		for (i = 0; i < nr && has_ended(&c[i]); i++)
			;
	} while (i < nr && now_ms() < end);
	return false;
}

/* Whatever it is, well. */
static int answer(struct pager *p, const struct extpager_event *ev, uint64_t seed)
{
	switch (ev->op) {
	case EXTPAGER_EV_DATA_REQUEST:
		return pager_supply(p, ev, seed);
	case EXTPAGER_EV_DATA_RETURN:
		return pager_return_done(p, ev, 0);
	default:
		return pager_sync_done(p, ev, 0);
	}
}

/* ---- policy `fail` ---- */

FIXTURE(lost)
{
	struct pager p;
	uint64_t object;
	int fd;
};

FIXTURE_VARIANT(lost)
{
	bool read;		/* the requests were read when the pager went */
	bool detach;		/* it detached; else it closed its port */
};

FIXTURE_VARIANT_ADD(lost, unread_detach) { .detach = true };
FIXTURE_VARIANT_ADD(lost, unread_close) { };
FIXTURE_VARIANT_ADD(lost, read_detach) { .read = true, .detach = true };
FIXTURE_VARIANT_ADD(lost, read_close) { .read = true };

FIXTURE_SETUP(lost)
{
	if (target_state(NAME))
		target_gone(NAME);
	SERVE(.policy = "fail");
}

FIXTURE_TEARDOWN(lost)
{
	close(self->fd);
	if (self->p.fd >= 0)
		pager_close(&self->p);
	EXPECT_TRUE(target_gone(NAME));
}

TEST_F(lost, by_policy_fail_waiters_fail_at_once)
{
	struct access a = { self->fd, 3, 7 }, b = { self->fd, 90, 7 };
	struct client mapper, reader;
	struct extpager_event ev[2];

	BEHAVIOURS(84);
	mapper = client(touch, &a);
	reader = client(read_page, &b);
	ASSERT_TRUE(pending_is(2));
	if (variant->read) {
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev[0], LONG));
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev[1], LONG));
	}
	if (variant->detach)
		EXPECT_EQ(0, pager_detach(&self->p, self->object));
	if (!variant->detach)
		pager_close(&self->p);
	EXPECT_EQ(CLIENT_SIGBUS, client_result(&mapper, prompt()));
	EXPECT_EQ(EIO, client_result(&reader, prompt()));
	EXPECT_EQ(EXTPAGER_STATE_ORPHANED, target_state(NAME));
	EXPECT_EQ(0, unanswered());
	if (variant->read && variant->detach) {
		EXPECT_EQ(-ENOENT, pager_supply(&self->p, &ev[0], 7));
		EXPECT_EQ(-ENOENT, pager_error(&self->p, &ev[1], ev[1].offset, PAGE, EIO));
	}

	/* Nothing of it is left: with the next pager the same pages come. */
	if (variant->detach)
		pager_close(&self->p);
	TAKE_OVER();
	EXPECT_EQ(0, run_served(&self->p, touch, self->fd, 3, 7));
	EXPECT_EQ(0, run_served(&self->p, read_page, self->fd, 90, 7));
}

/*
 * What is answered after a detach is answered to nobody, in any way: the kernel has told
 * others by then, and clients may have written to the pages of a return, which are under
 * write-back no more. Nothing is lost by it, and the next pager is asked for all of it.
 */
TEST_F(death, after_a_detach_a_return_may_be_acknowledged_and_nothing_else)
{
	struct access a[2];
	struct extpager_event in, out, ev;
	struct client c[2];
	char page[PAGE];

	BEHAVIOURS(87);
	SERVE(.policy = "hold");
	ASSERT_EQ(0, run(write_page, self->fd, 8, 1));
	a[0] = (struct access){ .fd = self->fd };
	c[0] = client(sync_object, &a[0]);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &out, LONG));
	a[1] = (struct access){ self->fd, 40, 3 };
	c[1] = client(read_page, &a[1]);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &in, LONG));
	ASSERT_EQ(0, pager_detach(&self->p, self->object));
	EXPECT_EQ(0, pager_return_done(&self->p, &out, 0));
	EXPECT_EQ(-ENOENT, pager_supply(&self->p, &in, 4));
	/* The client may have written to it again: the next one is to take it. */
	EXPECT_EQ(PAGE, target_dirty(NAME));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c[0], 50));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c[1], 50));

	/* Nor when it is the pager again: that was another generation's. */
	ASSERT_TRUE(take_target(&self->p, &self->object, &ev));
	EXPECT_EQ(-ESTALE, pager_return_done(&self->p, &out, 0));
	EXPECT_EQ(-ESTALE, pager_supply(&self->p, &in, 4));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG) ||
		    ev.op == EXTPAGER_EV_DATA_REQUEST);
	do {
		EXPECT_TRUE(ev.op == EXTPAGER_EV_SYNC || ev.flags & EXTPAGER_EVF_RESENT);
		if (ev.op == EXTPAGER_EV_DATA_RETURN) {
			ASSERT_EQ(0, pager_fetch(&self->p, &ev, page));
			EXPECT_TRUE(page_is(page, 1, 8));
		}
		EXPECT_EQ(0, answer(&self->p, &ev, 3));
	} while (event_or_end(&self->p, &ev, c, ARRAY_SIZE(c)));
	EXPECT_EQ(0, client_result(&c[0], LONG));
	EXPECT_EQ(0, client_result(&c[1], LONG));
}

#define WAITERS 8

TEST_F(death, by_policy_fail_a_killed_pager_ends_all_waiters_and_resident_pages_stay)
{
	struct access a[WAITERS];
	struct client c[WAITERS];
	struct server s;
	int i;

	BEHAVIOURS(85);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES,
								.policy = "fail" }));
	ASSERT_TRUE(server_start(&s, NAME, BYTES, 5));
	self->fd = target_open(NAME, O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, run(touch, self->fd, 0, 5));
	*s.stop = 1;
	for (i = 0; i < WAITERS; i++) {
		a[i] = (struct access){ self->fd, 10 + i, 5 };
		c[i] = client(i % 2 ? touch : read_page, &a[i]);
	}
	ASSERT_TRUE(pending_is(WAITERS));
	server_kill(&s);
	for (i = 0; i < WAITERS; i++)
		EXPECT_EQ(i % 2 ? CLIENT_SIGBUS : EIO, client_result(&c[i], prompt()));
	EXPECT_EQ(EXTPAGER_STATE_ORPHANED, target_state(NAME));
	EXPECT_EQ(0, run(touch, self->fd, 0, 5));
	EXPECT_EQ(0, run(read_page, self->fd, 0, 5));
	/* What was never here fails, now too, and waits for nobody. */
	EXPECT_EQ(EIO, run(read_page, self->fd, 200, 5));
	EXPECT_EQ(CLIENT_SIGBUS, run(touch, self->fd, 200, 5));
	server_stop(&s);
}

TEST_F(death, by_policy_fail_dirty_pages_survive_and_fsync_says_so)
{
	struct access a = { };
	struct extpager_event ev;
	char page[PAGE];
	struct client c;

	BEHAVIOURS(85);
	SERVE(.policy = "fail");
	ASSERT_EQ(0, run(write_page, self->fd, 4, 9));
	pager_close(&self->p);
	EXPECT_EQ(0, run(read_page, self->fd, 4, 9));
	EXPECT_EQ(EIO, run(sync_object, self->fd, 0, 0));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	TAKE_OVER();
	a.fd = self->fd;
	c = client(sync_object, &a);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
	ASSERT_EQ(0, pager_fetch(&self->p, &ev, page));
	EXPECT_TRUE(page_is(page, 9, 4));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, LONG));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, LONG));
	EXPECT_EQ(0, target_dirty(NAME));
}

/* ---- policy `hold` ---- */

TEST_F(death, by_policy_hold_the_successor_is_asked_all_that_is_unanswered)
{
	static const uint64_t pages[] = { 1, 50, 100 };
	bool asked[ARRAY_SIZE(pages)] = { };
	struct client c[ARRAY_SIZE(pages)];
	struct access a[ARRAY_SIZE(pages)];
	struct extpager_event ev;
	uint64_t resent;
	unsigned int i, j;

	BEHAVIOURS(86);
	SERVE(.policy = "hold");
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		a[i] = (struct access){ self->fd, pages[i], 3 };
		c[i] = client(i % 2 ? read_page : touch, &a[i]);
	}
	ASSERT_TRUE(pending_is(ARRAY_SIZE(pages)));
	/* One read, the others not. */
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
	resent = target_stat(NAME, EXTPAGER_A_STATS_RESENT);
	pager_close(&self->p);
	EXPECT_EQ(EXTPAGER_STATE_ORPHANED, target_state(NAME));
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		EXPECT_EQ(CLIENT_RUNNING, client_result(&c[i], 100));
	TAKE_OVER();
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
		EXPECT_TRUE(ev.flags & EXTPAGER_EVF_RESENT);
		for (j = 0; j < ARRAY_SIZE(pages); j++)
			if (ev.offset == pages[j] * PAGE && ev.length == PAGE)
				asked[j] = true;
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 3));
	}
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		EXPECT_TRUE(asked[i]);
		EXPECT_EQ(0, client_result(&c[i], LONG));
	}
	EXPECT_TRUE(pager_silent(&self->p, 50));
	EXPECT_LE(resent + ARRAY_SIZE(pages), target_stat(NAME, EXTPAGER_A_STATS_RESENT));
	EXPECT_EQ(1, target_stat(NAME, EXTPAGER_A_STATS_ORPHANED));
}

struct taker {
	struct pager *p;
	volatile pid_t tid;
	struct extpager_event ev;
	volatile bool took;
};

static void *take_asleep(void *arg)
{
	struct taker *t = arg;

	t->tid = gettid();
	t->took = pager_event(t->p, &t->ev, LONG);
	return NULL;
}

/*
 * Woken for many requests at once, it is woken for the last of them, too. Nobody waits for
 * this one, who would ask by himself and wake it.
 */
TEST_F(death, a_successor_that_sleeps_already_is_woken_for_what_is_unanswered)
{
	struct taker t = { .p = &self->p };
	struct extpager_event ev;
	pthread_t thread;

	BEHAVIOURS(86);
	SERVE(.policy = "hold");
	ASSERT_EQ(0, posix_fadvise(self->fd, 9 * PAGE, PAGE, POSIX_FADV_WILLNEED));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
	pager_close(&self->p);
	ASSERT_TRUE(attach_target(&self->p, &self->object, &ev));
	ASSERT_EQ(0, pthread_create(&thread, NULL, take_asleep, &t));
	ASSERT_TRUE(WAIT_FOR(LONG, thread_sleeps(t.tid)));
	EXPECT_FALSE(t.took);
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_TRUE(t.took);
	EXPECT_EQ(EXTPAGER_EV_DATA_REQUEST, t.ev.op);
	EXPECT_TRUE(t.ev.flags & EXTPAGER_EVF_RESENT);
	ASSERT_EQ(0, pager_supply(&self->p, &t.ev, 3));
	EXPECT_EQ(0, run_served(&self->p, read_page, self->fd, 9, 3));
}

TEST_F(death, by_policy_hold_pages_half_returned_are_returned_to_the_successor)
{
	struct extpager_event ev;
	struct access a;
	struct client c;
	char *buf = malloc(8 * PAGE);
	uint64_t i;

	BEHAVIOURS(86);
	SERVE(.policy = "hold");
	for (i = 8; i < 16; i++)
		ASSERT_EQ(0, run(write_page, self->fd, i, 1));
	a.fd = self->fd;
	c = client(sync_object, &a);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
	EXPECT_EQ(8 * PAGE, ev.offset);
	EXPECT_EQ(8 * PAGE, ev.length);
	ASSERT_EQ(0, pager_fetch(&self->p, &ev, buf));
	pager_close(&self->p);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 100));
	EXPECT_EQ(8 * PAGE, target_dirty(NAME));
	/* Without a pager what is here is read and written as ever. */
	ASSERT_EQ(0, run(write_page, self->fd, 11, 2));
	EXPECT_EQ(0, run(touch, self->fd, 11, 2));
	EXPECT_EQ(0, run(touch, self->fd, 12, 1));

	TAKE_OVER();
	memset(buf, 0, 8 * PAGE);
	/* fsync and the successor's arrival may each send a part. */
	for (i = 0; i < 8; i += ev.length / PAGE) {
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
		EXPECT_EQ(EXTPAGER_EVF_RESENT, ev.flags);
		ASSERT_LE(8 * PAGE, ev.offset);
		ASSERT_GE(16 * PAGE, ev.offset + ev.length);
		ASSERT_EQ(0, pager_fetch(&self->p, &ev, buf + ev.offset - 8 * PAGE));
		ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	}
	for (i = 0; i < 8; i++)
		EXPECT_TRUE(page_is(buf + i * PAGE, 8 + i == 11 ? 2 : 1, 8 + i));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, LONG));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, LONG));
	EXPECT_EQ(0, target_dirty(NAME));
	free(buf);
}

TEST_F(death, by_policy_hold_a_sync_in_flight_is_asked_of_the_successor)
{
	struct access a = { };
	struct extpager_event ev;
	struct client c;

	BEHAVIOURS(86);
	SERVE(.policy = "hold");
	ASSERT_EQ(0, run(write_page, self->fd, 0, 1));
	a.fd = self->fd;
	c = client(sync_object, &a);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, LONG));
	pager_close(&self->p);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 100));
	TAKE_OVER();
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, LONG));
	EXPECT_EQ(EXTPAGER_EVF_RESENT, ev.flags);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 50));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, LONG));
}

TEST_F(death, by_policy_hold_clients_wait_while_a_successor_refuses)
{
	struct access a = { .page = 3, .seed = 1 };
	struct extpager_event ev;
	struct client c;

	BEHAVIOURS(86);
	SERVE(.policy = "hold");
	pager_close(&self->p);
	a.fd = self->fd;
	c = client(touch, &a);
	ASSERT_TRUE(attach_target(&self->p, &self->object, &ev));
	ASSERT_EQ(0, pager_ready(&self->p, &ev, EIO, 0));
	/* It has another try, a second later; or the next one has. */
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, LONG));
	EXPECT_EQ(EXTPAGER_EVF_RESENT, ev.flags);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 0));
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	EXPECT_EQ(0, serve_reads(&self->p, &c, 1));
}

TEST_F(death, by_policy_hold_a_successor_that_is_silent_is_waited_for_a_handshake)
{
	struct access a = { .page = 3, .seed = 1 };
	struct extpager_event first, ev;
	struct client c, d;

	BEHAVIOURS(86);
	SERVE(.policy = "hold", .handshake_ms = 1000);
	pager_close(&self->p);
	a.fd = self->fd;
	c = client(read_page, &a);
	d = client(touch, &a);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 1500));
	ASSERT_TRUE(attach_target(&self->p, &self->object, &first));
	EXPECT_EQ(ETIMEDOUT, client_result(&c, 1000 + prompt()));
	EXPECT_EQ(CLIENT_SIGBUS, client_result(&d, prompt()));
	/* It has another try, a second later. */
	ASSERT_TRUE(give_time());
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, LONG));
	EXPECT_EQ(-ESTALE, pager_ready(&self->p, &first, 0, EXTPAGER_ATTR_MAY_CACHE));
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	EXPECT_EQ(0, run_served(&self->p, read_page, self->fd, 3, 1));
}

TEST_F(death, by_policy_hold_a_hole_in_flight_is_told_the_successor)
{
	struct access a = { .page = 20 };
	struct extpager_event ev;
	struct client c, d;
	struct access late;

	BEHAVIOURS(86);
	SERVE(.policy = "hold");
	ASSERT_EQ(0, run(write_page, self->fd, 20, 1));
	a.fd = self->fd;
	c = client(punch_page, &a);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
	EXPECT_EQ(EXTPAGER_EVF_ZERO, ev.flags);
	pager_close(&self->p);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 100));
	TAKE_OVER();
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
	EXPECT_EQ(EXTPAGER_EVF_ZERO | EXTPAGER_EVF_RESENT, ev.flags);
	EXPECT_EQ(20 * PAGE, ev.offset);
	EXPECT_EQ(PAGE, ev.length);
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, LONG));

	/* The hole is the store's now: it is asked for it. */
	late = (struct access){ self->fd, 20, 6 };
	d = client(read_page, &late);
	EXPECT_EQ(0, serve_reads(&self->p, &d, 6));
}

/*
 * The pager goes late in its deadlines, and its successor answers late in its own; what is
 * left of them is for all else that is done meanwhile, and for a machine that stands still.
 */
TEST_F(death, by_policy_hold_deadlines_rest_without_a_pager_and_start_anew)
{
	unsigned int deadline = on_debug_kernel() ? 6000 : 4000, i;
	struct access a[3];
	struct client c[3];
	struct extpager_event ev[3];

	BEHAVIOURS(86);
	SERVE(.policy = "hold", .page_in_ms = deadline, .return_ms = deadline,
	      .sync_ms = deadline);
	ASSERT_EQ(0, run(write_page, self->fd, 4, 1));
	for (i = 0; i < ARRAY_SIZE(a); i++)
		a[i] = (struct access){ self->fd, 40, 3 };
	c[0] = client(sync_object, &a[0]);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev[0], LONG));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev[0], 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev[0], LONG));
	ASSERT_EQ(0, run(write_page, self->fd, 5, 1));
	c[1] = client(sync_object, &a[1]);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev[1], LONG));
	c[2] = client(read_page, &a[2]);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev[2], LONG));
	EXPECT_TRUE(pager_silent(&self->p, deadline * 3 / 5));
	pager_close(&self->p);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c[0], deadline * 4 / 3));
	TAKE_OVER();
	for (i = 0; i < ARRAY_SIZE(ev); i++) {
		ASSERT_TRUE(pager_event(&self->p, &ev[i], LONG));
		EXPECT_TRUE(ev[i].flags & EXTPAGER_EVF_RESENT);
	}
	EXPECT_TRUE(pager_silent(&self->p, deadline * 3 / 5));
	for (i = 0; i < ARRAY_SIZE(c); i++)
		EXPECT_EQ(CLIENT_RUNNING, client_result(&c[i], 0));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_TIMEOUTS));
	for (i = 0; i < ARRAY_SIZE(ev); i++)
		EXPECT_EQ(0, answer(&self->p, &ev[i], 3));
	/* A barrier for what came after the first. */
	while (event_or_end(&self->p, &ev[0], c, ARRAY_SIZE(c)))
		EXPECT_EQ(0, answer(&self->p, &ev[0], 3));
	for (i = 0; i < ARRAY_SIZE(c); i++)
		EXPECT_EQ(0, client_result(&c[i], LONG));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_TIMEOUTS));
}

/* Writes pages, each more than once, with an fsync now and then. */
struct writer {
	int fd;
	unsigned int writes;
	uint64_t seed;
	volatile uint64_t *version;	/* shared: of each page, 0 = as the store had it */
	volatile int *stop;
};

static int keep_writing(void *arg)
{
	struct writer *w = arg;
	uint64_t random = w->seed, n = 0;
	char page[PAGE];

	while (!*w->stop) {
		uint64_t i = test_random(&random) % PAGES;

		/* A page in four is read first, so that deaths meet page-ins too. */
		if (test_random(&random) % 4 == 0) {
			if (pread(w->fd, page, PAGE, i * PAGE) != (ssize_t)PAGE)
				return errno;
			if (!page_is(page, w->version[i] ?: 77, i))
				return WRONG;
		}
		w->version[i] = ++n + 1000;
		fill_page(page, w->version[i], i);
		if (pwrite(w->fd, page, PAGE, i * PAGE) != (ssize_t)PAGE)
			return errno;
		if (n % 32 == 0 && fsync(w->fd))
			return errno;
	}
	return fsync(w->fd) ? errno : 0;
}

TEST_F_TIMEOUT(death, by_policy_hold_many_deaths_lose_no_byte, 120)
{
	unsigned int i, deaths = test_rounds(200, 12, 4);
	uint64_t random = test_seed(86);
	struct writer w;
	struct server s;
	struct client c;

	BEHAVIOURS(86);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES,
								.policy = "hold" }));
	ASSERT_TRUE(server_start(&s, NAME, BYTES, 77));
	self->fd = target_open(NAME, O_RDWR);
	ASSERT_LE(0, self->fd);
	w.fd = self->fd;
	w.seed = random;
	w.version = shared_memory(PAGES * sizeof(*w.version));
	w.stop = shared_memory(PAGE);
	/* Deaths meet the flusher, too. */
	writeback_interval(self->interval);
	c = client_start(keep_writing, &w);
	for (i = 0; i < deaths; i++) {
		uint64_t returns = s.stats->returns;

		/* Somewhere behind the next return, with others under way. */
		ASSERT_TRUE(WAIT_FOR(LONG, s.stats->returns > returns));
		usleep(test_random(&random) % 20000);
		server_kill(&s);
		EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 0));
		ASSERT_TRUE(server_restart(&s, NAME));
	}
	*w.stop = 1;
	EXPECT_EQ(0, client_result(&c, LONG));
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_EQ(deaths, target_stat(NAME, EXTPAGER_A_STATS_ORPHANED));
	for (i = 0; i < PAGES; i++)
		ASSERT_TRUE(page_is(s.store + i * PAGE, w.version[i] ?: 77, i));
	close(self->fd);
	self->fd = -1;
	server_stop(&s);
}

TEST_F(death, when_the_grace_time_is_over_waiters_fail_and_dirty_pages_stay)
{
	struct access a, b;
	struct client mapper, syncer;
	struct extpager_event ev;
	uint64_t start;
	char page[PAGE];

	BEHAVIOURS(86);
	SERVE(.policy = "hold", .grace_ms = 1000);
	ASSERT_EQ(0, run(write_page, self->fd, 30, 4));
	a = (struct access){ self->fd, 40, 4 };
	mapper = client(touch, &a);
	ASSERT_TRUE(pending_is(1));
	start = now_ms();
	pager_close(&self->p);
	b = (struct access){ .fd = self->fd };
	syncer = client(sync_object, &b);
	EXPECT_EQ(CLIENT_SIGBUS, client_result(&mapper, LONG));
	EXPECT_LE(500, now_ms() - start);
	EXPECT_EQ(EIO, client_result(&syncer, LONG));
	EXPECT_GE(1000 + prompt(), now_ms() - start);
	/* Nobody waits for a second grace time. */
	start = now_ms();
	EXPECT_EQ(EIO, run(read_page, self->fd, 41, 4));
	EXPECT_EQ(0, run(read_page, self->fd, 30, 4));
	EXPECT_EQ(PAGE, target_dirty(NAME));

	/* A late successor is a successor. */
	TAKE_OVER();
	EXPECT_EQ(0, run_served(&self->p, touch, self->fd, 41, 4));
	syncer = client(sync_object, &b);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
	ASSERT_EQ(0, pager_fetch(&self->p, &ev, page));
	EXPECT_TRUE(page_is(page, 4, 30));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, LONG));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&syncer, LONG));
}

/* ---- opening what lost its pager ---- */

FIXTURE(orphan)
{
	struct pager p;
	uint64_t object;
	int fd;
};

FIXTURE_VARIANT(orphan)
{
	bool used;		/* somebody has it open; else nobody asked for it yet */
};

FIXTURE_VARIANT_ADD(orphan, used) { .used = true };
FIXTURE_VARIANT_ADD(orphan, unused) { };

FIXTURE_SETUP(orphan)
{
	if (target_state(NAME))
		target_gone(NAME);
	self->p.fd = -1;
	self->fd = -1;
}

FIXTURE_TEARDOWN(orphan)
{
	if (self->fd >= 0)
		close(self->fd);
	if (self->p.fd >= 0)
		pager_close(&self->p);
	EXPECT_TRUE(target_gone(NAME));
}

/* The target has had a pager, and has it no more. */
static bool lose_pager(struct pager *p, int *fd, bool used, const struct target_options *options)
{
	struct extpager_event ev;

	if (target_add(NAME, options))
		return false;
	if (used) {
		*fd = target_open(NAME, O_RDWR | O_NONBLOCK);
		if (*fd < 0 || !take_target(p, NULL, &ev))
			return false;
	} else {
		if (pager_open(p, 1, 0) || pager_attach(p, NAME, NULL, NULL))
			return false;
		port_fd = p->fd;
	}
	pager_close(p);
	return target_state(NAME) == EXTPAGER_STATE_ORPHANED;
}

#define LOSE_PAGER(...) ASSERT_TRUE(lose_pager(&self->p, &self->fd, variant->used,	\
			&(struct target_options){ .bytes = BYTES, __VA_ARGS__ }))

TEST_F(orphan, by_policy_hold_an_open_waits_for_the_successor)
{
	unsigned int handshake = on_debug_kernel() ? 2000 : 800, i;
	struct client c[ARRAY_SIZE(opens)];
	struct extpager_event ev;

	BEHAVIOURS(86);
	PARTIAL(2);
	LOSE_PAGER(.policy = "hold", .handshake_ms = handshake);
	for (i = 0; i < ARRAY_SIZE(opens); i++)
		c[i] = client(opens[i], NULL);
	/* That deadline is for a pager which is there. */
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c[0], handshake * 3 / 2));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c[1], 0));
	ASSERT_TRUE(take_target(&self->p, &self->object, &ev));
	for (i = 0; i < ARRAY_SIZE(opens); i++)
		EXPECT_EQ(0, client_result(&c[i], LONG));
}

TEST_F(orphan, by_policy_fail_an_open_fails_at_once)
{
	unsigned int i;

	BEHAVIOURS(85);
	LOSE_PAGER(.policy = "fail");
	for (i = 0; i < ARRAY_SIZE(opens); i++) {
		struct client c = client(opens[i], NULL);

		EXPECT_EQ(EIO, client_result(&c, prompt()));
	}
}

TEST_F(orphan, when_the_grace_time_is_over_an_open_fails)
{
	struct client c[ARRAY_SIZE(opens)];
	uint64_t start = now_ms();
	unsigned int i;

	BEHAVIOURS(86);
	LOSE_PAGER(.policy = "hold", .grace_ms = 600);
	for (i = 0; i < ARRAY_SIZE(opens); i++)
		c[i] = client(opens[i], NULL);
	for (i = 0; i < ARRAY_SIZE(opens); i++)
		EXPECT_EQ(EIO, client_result(&c[i], 600 + prompt()));
	EXPECT_LE(500, now_ms() - start);
	/* And for whoever comes now. */
	for (i = 0; i < ARRAY_SIZE(opens); i++) {
		c[0] = client(opens[i], NULL);
		EXPECT_EQ(EIO, client_result(&c[0], prompt()));
	}
}

/* ---- a pager that waits for itself ---- */

TEST_F(death, a_pager_that_touches_its_own_object_is_refused)
{
	struct extpager_event ev;
	uint8_t *map;
	void *where;
	char page[PAGE];
	int zero = open("/dev/zero", O_RDONLY);

	BEHAVIOURS(94);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES }));
	self->fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, &self->object, NULL));
	map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, map);

	/* Before READY, and after. */
	EXPECT_EQ(BUS_ADRERR, try_read(map, &where));
	EXPECT_EQ(-1, pread(self->fd, page, PAGE, 0));
	EXPECT_EQ(EDEADLK, errno);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, LONG));
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));

	EXPECT_EQ(BUS_ADRERR, try_read(map + 5 * PAGE + 8, &where));
	EXPECT_EQ(map + 5 * PAGE + 8, where);
	EXPECT_EQ(BUS_ADRERR, try_write(map + 5 * PAGE, 1, NULL));
	EXPECT_EQ(-1, pread(self->fd, page, PAGE, 5 * PAGE));
	EXPECT_EQ(EDEADLK, errno);
	EXPECT_EQ(-1, pwrite(self->fd, page, 100, 5 * PAGE + 100));
	EXPECT_EQ(EDEADLK, errno);
	/* By the kernel's hand: as a buffer of read(2) of another file. */
	EXPECT_EQ(-1, read(zero, map + 5 * PAGE, PAGE));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, madvise(map, PAGE, MADV_POPULATE_READ));
	EXPECT_TRUE(pager_silent(&self->p, 50));

	/* What is here it may see, like anybody else. */
	EXPECT_EQ(0, run_served(&self->p, touch, self->fd, 5, 8));
	EXPECT_TRUE(page_is(map + 5 * PAGE, 8, 5));
	EXPECT_EQ(PAGE, pread(self->fd, page, PAGE, 5 * PAGE));
	EXPECT_TRUE(page_is(page, 8, 5));
	munmap(map, BYTES);
	close(zero);
}

/*
 * A pager that keeps what it must know to write in its own object: what is here it reads
 * with a return in its hands; what is not it is told at once, and gets on without.
 */
TEST_F(death, a_pager_that_reads_its_own_object_while_it_writes_gets_on)
{
	struct access a = { };
	struct extpager_event ev;
	struct client c;
	char page[PAGE];
	uint8_t *map;

	BEHAVIOURS(69);
	SERVE(.policy = "hold");
	a.fd = self->fd;
	map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, run_served(&self->p, touch, self->fd, 5, 8));
	ASSERT_EQ(0, run(write_page, self->fd, 9, 1));
	c = client(sync_object, &a);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
	EXPECT_TRUE(page_is(map + 5 * PAGE, 8, 5));
	ASSERT_EQ(PAGE, pread(self->fd, page, PAGE, 5 * PAGE));
	/* The page in its hands as well. */
	EXPECT_TRUE(page_is(map + 9 * PAGE, 1, 9));
	EXPECT_EQ(-1, pread(self->fd, page, PAGE, 6 * PAGE));
	EXPECT_EQ(EDEADLK, errno);
	EXPECT_EQ(BUS_ADRERR, try_read(map + 6 * PAGE, NULL));
	ASSERT_EQ(0, pager_fetch(&self->p, &ev, page));
	EXPECT_TRUE(page_is(page, 1, 9));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, LONG));
	EXPECT_EQ(PAGE, pread(self->fd, page, PAGE, 9 * PAGE));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, prompt()));
	munmap(map, BYTES);
}

TEST_F(death, a_pager_that_waits_for_itself_meets_its_deadline)
{
	char page[PAGE] = { };
	struct extpager_event ev;
	uint64_t start = now_ms();

	BEHAVIOURS(94);
	SERVE(.return_ms = 300);
	ASSERT_EQ(PAGE, pwrite(self->fd, page, PAGE, 0));
	EXPECT_EQ(-1, fsync(self->fd));
	EXPECT_EQ(EIO, errno);
	EXPECT_GE(300 + prompt(), now_ms() - start);
	close(self->fd);
	self->fd = -1;
	/* Answer, so that the next generation begins with an INIT. */
	while (pager_event(&self->p, &ev, 50))
		if (ev.op == EXTPAGER_EV_DATA_RETURN)
			pager_return_done(&self->p, &ev, 0);
	pager_close(&self->p);

	ASSERT_TRUE(target_gone(NAME));
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES,
								.handshake_ms = 300 }));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, &self->object, NULL));
	EXPECT_EQ(-ETIMEDOUT, target_open(NAME, O_RDWR));
}

/* ---- a port fd that outlives its pager ---- */

/* A child that does not outlive the test, should that fail. */
static pid_t fork_tied(void)
{
	pid_t pid = fork();

	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

struct relic {
	volatile int ready;
	volatile int go_on;
	volatile int enter_errno;
	volatile pid_t holder;
};

/* Of a port fd that is not, or no longer, the caller's. */
static int enter_errno(int fd)
{
	struct extpager_enter e = { .size = sizeof(e) };

	return ioctl(fd, EXTPAGER_IOC_ENTER, &e) < 0 ? errno : 0;
}

/* In a child of the pager: hold its port fd, and try it once the pager is gone. */
static void hold_relic(struct relic *r, int fd)
{
	if (enter_errno(fd) != EPERM)
		_exit(1);
	r->holder = getpid();
	r->ready = 1;
	while (!r->go_on)
		test_pause();
	r->enter_errno = enter_errno(fd);
	r->ready = 2;
	for (;;)
		pause();
}

static void pager_with_relic(struct relic *r, bool exec)
{
	struct extpager_event ev;
	struct pager p;
	uint64_t object;

	if (!take_target(&p, &object, &ev))
		_exit(1);
	if (exec) {
		fcntl(p.fd, F_SETFD, 0);
		r->ready = 1;
		while (!r->go_on)
			test_pause();
		execlp("sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	if (!fork())
		hold_relic(r, p.fd);
	for (;;)
		pause();
}

TEST_F(death, a_killed_pager_is_dead_though_a_child_holds_its_port)
{
	struct access a = { .page = 1 };
	struct relic *r = shared_memory(PAGE);
	struct client c;
	pid_t pager;

	BEHAVIOURS(146);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES,
								.policy = "fail" }));
	self->fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	pager = fork_tied();
	if (!pager)
		pager_with_relic(r, false);
	ASSERT_TRUE(WAIT_FOR(LONG, r->ready == 1));
	a.fd = self->fd;
	c = client(touch, &a);
	ASSERT_TRUE(pending_is(1));
	kill(pager, SIGKILL);
	EXPECT_EQ(CLIENT_SIGBUS, client_result(&c, prompt()));
	EXPECT_TRUE(state_becomes(EXTPAGER_STATE_ORPHANED, prompt()));
	EXPECT_EQ(pager, waitpid(pager, NULL, 0));
	EXPECT_EQ(0, kill(r->holder, 0));
	r->go_on = 1;
	EXPECT_TRUE(WAIT_FOR(LONG, r->ready == 2));
	EXPECT_EQ(ESHUTDOWN, r->enter_errno);

	/* Another pager takes the target while the relic lives. */
	TAKE_OVER();
	EXPECT_EQ(0, run_served(&self->p, touch, self->fd, 1, 2));
	kill(r->holder, SIGKILL);
	EXPECT_EQ(r->holder, waitpid(r->holder, NULL, 0));
}

TEST_F(death, a_pager_that_crashes_with_requests_in_hand_is_dead_at_once)
{
	struct access a = { .page = 3, .seed = 1 };
	struct server s;
	struct client c;

	BEHAVIOURS(86);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES,
								.policy = "hold" }));
	ASSERT_TRUE(server_start(&s, NAME, BYTES, 1));
	self->fd = target_open(NAME, O_RDWR);
	ASSERT_LE(0, self->fd);
	*s.stop = 1;
	a.fd = self->fd;
	c = client(read_page, &a);
	ASSERT_TRUE(pending_is(1));
	ASSERT_EQ(0, kill(s.pid, SIGSEGV));
	EXPECT_TRUE(state_becomes(EXTPAGER_STATE_ORPHANED, prompt()));
	server_kill(&s);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 50));
	*s.stop = 0;
	ASSERT_TRUE(server_restart(&s, NAME));
	EXPECT_EQ(0, client_result(&c, LONG));
	EXPECT_LE(1, s.stats->resent);
	close(self->fd);
	self->fd = -1;
	server_stop(&s);
}

TEST_F(death, a_pager_that_execs_is_dead_though_it_keeps_its_port)
{
	struct access a = { .page = 1 };
	struct relic *r = shared_memory(PAGE);
	struct client c;
	pid_t pager;

	BEHAVIOURS(146);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES,
								.policy = "fail" }));
	self->fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	pager = fork_tied();
	if (!pager)
		pager_with_relic(r, true);
	ASSERT_TRUE(WAIT_FOR(LONG, r->ready == 1));
	a.fd = self->fd;
	c = client(touch, &a);
	ASSERT_TRUE(pending_is(1));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 50));
	r->go_on = 1;
	EXPECT_EQ(CLIENT_SIGBUS, client_result(&c, LONG));
	EXPECT_TRUE(state_becomes(EXTPAGER_STATE_ORPHANED, prompt()));
	EXPECT_EQ(0, waitpid(pager, NULL, WNOHANG));
	kill(pager, SIGKILL);
	EXPECT_EQ(pager, waitpid(pager, NULL, 0));
}

/* ---- a successor on the same port ---- */

struct testament {
	volatile int ready;
	struct extpager_event asked, returned;
	uint64_t object;
	int fd;			/* of the object, in the predecessor */
	uint32_t port;
};

/* A pager on an inherited port fd: one unnamed object, a request and a return read, no answer. */
static void first_pager(struct testament *t, int port)
{
	struct extpager_event ev;
	struct pager p;

	if (pager_open_fd(&p, port, 2, 32))
		_exit(1);
	t->port = p.setup.out_port;
	t->fd = pager_create(&p, BYTES, 0, &t->object);
	if (t->fd < 0)
		_exit(1);
	t->ready = 1;
	if (!pager_expect(&p, EXTPAGER_EV_INIT, &ev, LONG) || pager_ready(&p, &ev, 0, 0))
		_exit(1);
	if (!pager_expect(&p, EXTPAGER_EV_DATA_REQUEST, &t->asked, LONG))
		_exit(1);
	t->ready = 2;
	if (!pager_expect(&p, EXTPAGER_EV_DATA_RETURN, &t->returned, LONG))
		_exit(1);
	t->ready = 3;
	for (;;)
		pause();
}

static int fd_of(pid_t pid, int fd)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	int got = syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	close(pidfd);
	return got;
}

TEST_F(death, a_successor_takes_the_port_over_and_its_unnamed_objects_go_on)
{
	struct testament *t = shared_memory(PAGE);
	int port = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
	struct extpager_setup again = { .size = sizeof(again),
					.abi_version = EXTPAGER_ABI_VERSION };
	struct pollfd pfd = { .fd = port };
	struct extpager_event init, again_asked[2], ev;
	struct client reader, syncer;
	struct access a, b;
	bool returned_first;
	char page[PAGE];
	pid_t first;

	BEHAVIOURS(86, 146);
	PARTIAL(87);
	ASSERT_LE(0, port);
	first = fork_tied();
	if (!first)
		first_pager(t, port);
	ASSERT_TRUE(WAIT_FOR(LONG, t->ready == 1));
	self->fd = fd_of(first, t->fd);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, run(write_page, self->fd, 9, 1));
	a = (struct access){ self->fd, 60, 6 };
	reader = client(read_page, &a);
	ASSERT_TRUE(WAIT_FOR(LONG, t->ready == 2));
	b = (struct access){ .fd = self->fd };
	syncer = client(sync_object, &b);
	ASSERT_TRUE(WAIT_FOR(LONG, t->ready == 3));
	/* One port, one pager. */
	EXPECT_EQ(EPERM, enter_errno(port));
	EXPECT_EQ(-1, ioctl(port, EXTPAGER_IOC_SETUP, &again));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(0, poll(&pfd, 1, 0));

	kill(first, SIGKILL);
	ASSERT_EQ(first, waitpid(first, NULL, 0));
	EXPECT_EQ(ESHUTDOWN, enter_errno(port));
	EXPECT_EQ(1, poll(&pfd, 1, 0));
	EXPECT_EQ(POLLHUP, pfd.revents);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&reader, 50));
	ASSERT_EQ(0, pager_open_fd(&self->p, port, 5, 100));
	EXPECT_EQ(0, poll(&pfd, 1, 0));
	EXPECT_EQ(t->port, self->p.setup.out_port);
	EXPECT_EQ(2, self->p.setup.nr_queues);
	EXPECT_EQ(32, self->p.setup.ring_entries);

	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &init, LONG));
	EXPECT_EQ(EXTPAGER_EVF_RESENT, init.flags);
	EXPECT_EQ(t->object, init.object);
	EXPECT_EQ(t->asked.generation + 1, init.generation);
	ASSERT_EQ(0, pager_ready(&self->p, &init, 0, 0));
	/* In either order: the syncer may have its page sent before the kernel does. */
	ASSERT_TRUE(pager_event(&self->p, &again_asked[0], LONG));
	ASSERT_TRUE(pager_event(&self->p, &again_asked[1], LONG));
	EXPECT_TRUE(again_asked[0].flags & again_asked[1].flags & EXTPAGER_EVF_RESENT);
	returned_first = again_asked[0].op == EXTPAGER_EV_DATA_RETURN;
	ev = again_asked[returned_first];
	ASSERT_EQ(EXTPAGER_EV_DATA_REQUEST, ev.op);
	/* What the dead one might have said is of another time. */
	EXPECT_EQ(-ESTALE, pager_supply(&self->p, &t->asked, 66));
	EXPECT_EQ(-ESTALE, pager_return_done(&self->p, &t->returned, 0));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 6));
	EXPECT_EQ(0, client_result(&reader, LONG));

	ev = again_asked[!returned_first];
	ASSERT_EQ(EXTPAGER_EV_DATA_RETURN, ev.op);
	ASSERT_EQ(0, pager_fetch(&self->p, &ev, page));
	EXPECT_TRUE(page_is(page, 1, 9));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, LONG));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&syncer, LONG));
	/* And new ones. */
	EXPECT_LE(0, pager_create(&self->p, BYTES, 0, NULL));
}

static int look_at_port(const struct extpager_port_info *i, void *arg)
{
	return 0;
}

/* Ports that are taken over again and again while others list them. */
TEST_F_TIMEOUT(death, ports_are_listed_while_they_change_hands, 120)
{
	unsigned int i, rounds = test_rounds(2000, 100, 20);
	int port = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
	struct extpager_setup s;
	pid_t lister, pager;

	PARTIAL(89);
	ASSERT_LE(0, port);
	lister = fork_tied();
	if (!lister) {
		struct extpager_ctl *c;

		if (extpager_ctl_open(&c))
			_exit(1);
		for (;;)
			if (extpager_port_list(c, look_at_port, NULL))
				_exit(2);
	}
	for (i = 0; i < rounds; i++) {
		int status;

		pager = fork_tied();
		if (!pager) {
			s = (struct extpager_setup){ .size = sizeof(s), .nr_queues = 1,
						     .abi_version = EXTPAGER_ABI_VERSION };
			_exit(ioctl(port, EXTPAGER_IOC_SETUP, &s) ? 1 : 0);
		}
		ASSERT_EQ(pager, waitpid(pager, &status, 0));
		ASSERT_EQ(0, status);
	}
	EXPECT_EQ(0, waitpid(lister, NULL, WNOHANG));
	kill(lister, SIGKILL);
	waitpid(lister, NULL, 0);
	close(port);
}

/* ---- deadlines ---- */

TEST_F(death, an_open_without_a_pager_times_out)
{
	uint64_t start;

	BEHAVIOURS(2);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES,
								.handshake_ms = 1000 }));
	start = now_ms();
	EXPECT_EQ(-ETIMEDOUT, target_open(NAME, O_RDWR));
	/* The tick of a busy virtual machine may be late, and so the start. */
	EXPECT_LE(500, now_ms() - start);
	EXPECT_GE(1000 + prompt(), now_ms() - start);
}

TEST_F(death, an_open_with_a_silent_pager_times_out_and_the_next_one_asks_anew)
{
	struct extpager_event first, second;
	struct client c;

	BEHAVIOURS(2);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES,
								.handshake_ms = 300 }));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, &self->object, NULL));
	c = client(open_target, &(struct access){ });
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &first, LONG));
	EXPECT_EQ(ETIMEDOUT, client_result(&c, LONG));
	EXPECT_TRUE(state_becomes(EXTPAGER_STATE_STALLED, LONG));
	ASSERT_EQ(0, target_info(NAME).pending);
	EXPECT_EQ(-ENOENT, pager_ready(&self->p, &first, 0, 0));
	ASSERT_TRUE(give_time());
	c = client(open_target, &(struct access){ });
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &second, LONG));
	EXPECT_LT(first.generation, second.generation);
	EXPECT_EQ(-ESTALE, pager_ready(&self->p, &first, 0, 0));
	ASSERT_EQ(0, pager_ready(&self->p, &second, 0, 0));
	EXPECT_EQ(0, client_result(&c, LONG));
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
}

TEST_F(death, a_page_in_that_is_late_fails_and_the_next_touch_asks_again)
{
	struct access a = { .page = 2, .seed = 1 };
	struct extpager_event ev;
	struct client c, d;

	BEHAVIOURS(37);
	SERVE(.page_in_ms = 300);
	a.fd = self->fd;
	c = client(touch, &a);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
	EXPECT_EQ(CLIENT_SIGBUS, client_result(&c, prompt()));
	EXPECT_TRUE(state_becomes(EXTPAGER_STATE_STALLED, LONG));
	EXPECT_EQ(1, target_stat(NAME, EXTPAGER_A_STATS_TIMEOUTS));
	EXPECT_EQ(-ENOENT, pager_supply(&self->p, &ev, 1));
	ASSERT_TRUE(give_time());
	d = client(read_page, &a);
	EXPECT_EQ(0, serve_reads(&self->p, &d, 1));
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
}

TEST_F(death, a_return_that_is_late_stays_dirty_and_is_told_once)
{
	struct access a = { };
	struct extpager_event late, ev;
	struct client c;
	char page[PAGE];

	BEHAVIOURS(133);
	SERVE(.return_ms = 300);
	ASSERT_EQ(0, run(write_page, self->fd, 2, 1));
	a.fd = self->fd;
	c = client(sync_object, &a);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &late, LONG));
	EXPECT_EQ(EIO, client_result(&c, prompt()));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	EXPECT_EQ(-ENOENT, pager_return_done(&self->p, &late, 0));
	ASSERT_TRUE(give_time());
	c = client(sync_object, &a);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
	EXPECT_NE(late.tag, ev.tag);
	ASSERT_EQ(0, pager_fetch(&self->p, &ev, page));
	EXPECT_TRUE(page_is(page, 1, 2));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, LONG));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, LONG));
}

TEST_F(death, a_sync_that_is_late_is_told_once_and_asked_again)
{
	struct access a = { };
	struct extpager_event ev;
	struct client c;

	BEHAVIOURS(133);
	SERVE(.sync_ms = 300);
	ASSERT_EQ(0, run(write_page, self->fd, 2, 1));
	a.fd = self->fd;
	c = client(sync_object, &a);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, LONG));
	EXPECT_EQ(EIO, client_result(&c, prompt()));
	EXPECT_EQ(-ENOENT, pager_sync_done(&self->p, &ev, 0));
	ASSERT_TRUE(give_time());
	c = client(sync_object, &a);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, LONG));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, LONG));
}

/* ---- the module ---- */

static int unload(void)
{
	return syscall(SYS_delete_module, "extpager", O_NONBLOCK) ? errno : 0;
}

/* Whatever frees itself in the background has done so. */
static bool unload_works(void)
{
	return WAIT_FOR(LONG, !unload());
}

static int load(void)
{
	int fd = open("/tests/extpager.ko", O_RDONLY | O_CLOEXEC);
	int ret = syscall(SYS_finit_module, fd, "", 0) ? errno : 0;

	close(fd);
	return ret;
}

/* Each holder alone keeps the module; with none of them it goes. */
TEST_F(death, the_module_stays_while_anything_of_it_is_used)
{
	uint8_t *map, *ring;
	int fd, port;

	BEHAVIOURS(90);
	/* An earlier program may have left the path file system mounted. */
	umount(target_path(""));
	ASSERT_TRUE(unload_works());
	ASSERT_EQ(0, load());

	/* A target. */
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES }));
	EXPECT_EQ(EWOULDBLOCK, unload());

	/* An open file of a target that was deleted. */
	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(target_gone(NAME));
	EXPECT_EQ(EWOULDBLOCK, unload());

	/* A mapping whose file was closed. */
	map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_EQ(MAP_FAILED, map);
	EXPECT_EQ(ENODEV, errno);
	close(fd);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES }));
	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	close(fd);
	ASSERT_TRUE(target_gone(NAME));
	EXPECT_EQ(EWOULDBLOCK, unload());
	munmap(map, BYTES);
	ASSERT_TRUE(unload_works());
	ASSERT_EQ(0, load());

	/* A port, a ring of a port that was closed, an object of such a port. */
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	EXPECT_EQ(EWOULDBLOCK, unload());
	fd = pager_create(&self->p, BYTES, 0, NULL);
	ASSERT_LE(0, fd);
	ring = (uint8_t *)self->p.queue[0].kernel;
	port = self->p.fd;
	close(port);
	self->p.fd = -1;
	EXPECT_EQ(EWOULDBLOCK, unload());
	munmap(ring, self->p.setup.out_kernel_len);
	munmap(self->p.queue[0].user, self->p.setup.out_user_len);
	EXPECT_EQ(EWOULDBLOCK, unload());
	close(fd);
	ASSERT_TRUE(unload_works());
	ASSERT_EQ(0, load());
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	close(self->p.fd);
	self->p.fd = -1;
	EXPECT_EQ(EWOULDBLOCK, unload());
	munmap(self->p.queue[0].kernel, self->p.setup.out_kernel_len);
	munmap(self->p.queue[0].user, self->p.setup.out_user_len);
	ASSERT_TRUE(unload_works());
	ASSERT_EQ(0, load());

	/* The device node, open and no more; the mounted file system. */
	fd = open(EXTPAGER_DEVICE, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(EWOULDBLOCK, unload());
	close(fd);
	target_path("");
	EXPECT_EQ(EWOULDBLOCK, unload());
	ASSERT_EQ(0, umount(target_path("")));
	ASSERT_TRUE(unload_works());
	ASSERT_EQ(0, load());
}

TEST_HARNESS_MAIN
