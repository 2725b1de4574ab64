// SPDX-License-Identifier: GPL-2.0-only
/* The life of an object: INIT, READY, use, TERMINATE, and again. */
/* vm: timeout=240 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/crowd.h"
#include "support/object.h"
#include "support/pager.h"

#define BYTES		MIB

/* The pager of a target that nobody used yet. */
FIXTURE(lifecycle)
{
	struct pager p;
	uint64_t object;
};

FIXTURE_SETUP(lifecycle)
{
	struct target_options o = { .bytes = BYTES };

	/* A test that failed may have left it. */
	ASSERT_TRUE(target_gone("life"));
	ASSERT_EQ(0, target_add("life", &o));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	ASSERT_EQ(0, pager_attach(&self->p, "life", &self->object, NULL));
}

FIXTURE_TEARDOWN(lifecycle)
{
	EXPECT_TRUE(target_gone("life"));
	pager_close(&self->p);
}

/* ---- users ---- */

/* What a client process does with an object, step by step, and how far it is. */
struct user {
	const char *target;		/* opened by this name, */
	bool by_path;			/* through the path file system, */
	int fd;				/* or, without a name, inherited */
	int flags;			/* of open() */
	enum { STORE = 1, KEEP_MAPPED = 2, KEEP_OPEN = 4 } options;
	unsigned int first, pages;	/* to be touched */
	uint64_t seed;

	volatile int opened, mapped, touched;
	volatile int error;		/* errno of open() or of read() */
	volatile bool may_go;		/* set by the test */
};

static int user_open(struct user *u)
{
	if (!u->target)
		return u->fd;
	if (u->by_path) {
		int fd = open(target_path(u->target), u->flags);

		return fd < 0 ? -errno : fd;
	}
	return target_open(u->target, u->flags);
}

/* Opens, maps, touches, closes, waits, unmaps. */
static int user_main(void *arg)
{
	struct user *u = arg;
	uint8_t *map, want[PAGE];
	unsigned int i;
	int fd;

	fd = user_open(u);
	if (fd < 0) {
		u->error = -fd;
		return 1;
	}
	u->opened = true;
	map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || madvise(map, BYTES, MADV_RANDOM))
		return 2;
	u->mapped = true;
	for (i = u->first; i < u->first + u->pages; i++) {
		uint8_t *page = map + i * PAGE;

		fill_page(want, u->seed, i);
		if (u->options & STORE)
			memcpy(page, want, PAGE);
		if (memcmp(page, want, PAGE))
			return 3;
	}
	u->touched = true;
	if (!(u->options & KEEP_OPEN))
		close(fd);
	if (u->options & (KEEP_MAPPED | KEEP_OPEN))
		while (!u->may_go)
			test_pause();
	return munmap(map, BYTES) ? 4 : 0;
}

static struct user *user_new(const char *target, int flags)
{
	struct user *u = shared_memory(sizeof(*u));

	u->target = target;
	u->flags = flags;
	return u;
}

/* A user of pages [first, first + pages) comes and goes. */
static int use(struct pager *p, unsigned int options, unsigned int first, unsigned int pages,
	       uint64_t seed, unsigned int *requests)
{
	struct user *u = user_new("life", O_RDWR);
	struct client c;

	u->options = options;
	u->first = first;
	u->pages = pages;
	u->seed = seed;
	c = client_start(user_main, u);
	return serve_client(p, &c, seed, requests);
}

/* ---- INIT ---- */

TEST_F(lifecycle, the_first_use_of_a_target_emits_one_init)
{
	struct extpager_event ev;
	struct client c[3];
	struct user *u[3];
	unsigned int i;

	BEHAVIOURS(1);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	for (i = 0; i < 3; i++)
		u[i] = user_new("life", O_RDWR);
	u[1]->by_path = true;
	for (i = 0; i < 2; i++) {
		c[i] = client_start(user_main, u[i]);
		ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(c[i].pid) == 1));
	}
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
	EXPECT_EQ(self->object, ev.object);
	EXPECT_EQ(BYTES, ev.length);
	EXPECT_EQ(0, ev.offset);
	EXPECT_EQ(0, ev.flags);
	EXPECT_NE(0, ev.tag);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	/* KEEP_OPEN comes too late for these two: hold the object in use. */
	u[2]->options = KEEP_OPEN;
	c[2] = client_start(user_main, u[2]);
	ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(c[2].pid) == 1));
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, client_result(&c[i], SOON));
	EXPECT_TRUE(WAIT_FOR(SOON, u[2]->touched));
	/* One who comes now does not wait. */
	EXPECT_EQ(0, use(&self->p, 0, 0, 0, 0, NULL));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	EXPECT_EQ(1, target_stat("life", EXTPAGER_A_STATS_INITS));
	client_kill(&c[2]);
}

TEST_F(lifecycle, the_first_mapping_of_a_pagers_fd_emits_one_init)
{
	struct extpager_event ev;
	struct client c[2];
	struct user *u[2];
	uint64_t object;
	unsigned int i;
	int fd;

	BEHAVIOURS(1, 2);
	fd = pager_create(&self->p, BYTES, 0, &object);
	ASSERT_LE(0, fd);
	/* Neither making it nor opening it again is use. */
	close(pager_reopen(&self->p, object, O_RDONLY));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	for (i = 0; i < 2; i++) {
		u[i] = user_new(NULL, 0);
		u[i]->fd = fd;
		u[i]->pages = 1;
		u[i]->seed = 1;
		c[i] = client_start(user_main, u[i]);
		/* mmap() does not wait, the first touch does. */
		ASSERT_TRUE(WAIT_FOR(SOON, u[i]->mapped));
		ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(c[i].pid) == 1));
	}
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
	EXPECT_EQ(object, ev.object);
	EXPECT_EQ(BYTES, ev.length);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	EXPECT_FALSE(u[0]->touched || u[1]->touched);
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(object, ev.object);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 1));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, client_result(&c[i], SOON));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	close(fd);
}

static int read_byte(void *arg)
{
	struct user *u = arg;
	uint8_t byte;
	ssize_t n = pread(u->fd, &byte, 1, u->first * PAGE);

	u->error = n < 0 ? errno : 0;
	return n != 1;
}

TEST_F(lifecycle, the_first_read_of_a_pagers_fd_emits_one_init)
{
	struct user *u = user_new(NULL, 0);
	struct extpager_event ev;
	struct client c;

	BEHAVIOURS(1);
	u->fd = pager_create(&self->p, BYTES, 0, NULL);
	ASSERT_LE(0, u->fd);
	posix_fadvise(u->fd, 0, 0, POSIX_FADV_RANDOM);
	c = client_start(read_byte, u);
	ASSERT_TRUE(object_ready(&self->p, NULL));
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 1));
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	close(u->fd);
}

/* ---- opening waits for READY ---- */

FIXTURE(opening)
{
	struct pager p;
	struct user *u;
};

FIXTURE_VARIANT(opening)
{
	bool by_path;
};

FIXTURE_VARIANT_ADD(opening, by_ioctl) { .by_path = false };
FIXTURE_VARIANT_ADD(opening, by_path) { .by_path = true };

/* For those whom it is to end; the others have the usual one, and are not in a hurry. */
static unsigned int short_deadline(void)
{
	return on_debug_kernel() ? 4000 : 2000;
}

static int shorten_deadline(void)
{
	return target_set("hand", &(struct target_options){ .handshake_ms = short_deadline() });
}

FIXTURE_SETUP(opening)
{
	struct target_options o = { .bytes = BYTES };

	ASSERT_TRUE(target_gone("hand"));
	ASSERT_EQ(0, target_add("hand", &o));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	ASSERT_EQ(0, pager_attach(&self->p, "hand", NULL, NULL));
	self->u = user_new("hand", O_RDWR);
	self->u->by_path = variant->by_path;
}

FIXTURE_TEARDOWN(opening)
{
	EXPECT_TRUE(target_gone("hand"));
	pager_close(&self->p);
}

TEST_F(opening, succeeds_only_after_ready)
{
	struct client c = client_start(user_main, self->u);
	struct extpager_event ev;

	BEHAVIOURS(2);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
	ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(c.pid) == 1));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, QUIET));
	EXPECT_FALSE(self->u->opened);
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_TRUE(self->u->opened);
}

TEST_F(opening, nonblocking_returns_at_once_and_the_first_touch_waits)
{
	struct extpager_event ev;
	struct client c;

	BEHAVIOURS(2);
	self->u->flags |= O_NONBLOCK;
	self->u->pages = 1;
	self->u->seed = 2;
	c = client_start(user_main, self->u);
	ASSERT_TRUE(WAIT_FOR(SOON, self->u->mapped));
	ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(c.pid) == 1));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	EXPECT_FALSE(self->u->touched);
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 2));
	EXPECT_EQ(0, client_result(&c, SOON));
}

TEST_F(opening, a_waiting_open_dies_at_once)
{
	unsigned int limit = on_debug_kernel() ? 1000 : 100, i;
	uint64_t start, best = UINT64_MAX;
	struct extpager_event ev;

	BEHAVIOURS(2);
	for (i = 0; i < 3 && best > limit; i++) {
		struct client c = client_start(user_main, self->u);

		ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(c.pid) == 1));
		start = now_ms();
		kill(c.pid, SIGKILL);
		ASSERT_EQ(-SIGKILL, client_result(&c, SOON));
		if (now_ms() - start < best)
			best = now_ms() - start;
	}
	EXPECT_GE(limit, best);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
}

TEST_F(opening, ends_at_the_deadline)
{
	unsigned int limit = short_deadline() * 3 / 2, i;
	uint64_t began, ticked, took, best = UINT64_MAX;
	struct extpager_event ev;
	struct client c;

	BEHAVIOURS(2);
	ASSERT_EQ(0, shorten_deadline());
	for (i = 0; i < 3 && best > limit; i++) {
		began = now_ms();
		ticked = ticked_ms();
		c = client_start(user_main, self->u);
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
		EXPECT_EQ(1, client_result(&c, SOON));
		took = now_ms() - began;
		EXPECT_EQ(ETIMEDOUT, self->u->error);
		EXPECT_LE(short_deadline() - 10, ticked_ms() - ticked);
		/* The question has a deadline of its own, a moment sooner or later. */
		EXPECT_TRUE(WAIT_FOR(SOON,
				     target_stat("hand", EXTPAGER_A_STATS_TIMEOUTS) == i + 1));
		EXPECT_GT(0, pager_ready(&self->p, &ev, 0, 0));
		if (took < best)
			best = took;
	}
	EXPECT_GE(limit, best);
	/* The next one begins from the start. */
	c = client_start(user_main, self->u);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
}

TEST_F(opening, who_comes_late_asks_again_when_the_first_question_expires)
{
	struct client early, late;
	struct extpager_event ev;
	struct user *u = user_new("hand", O_RDWR);

	BEHAVIOURS(2);
	ASSERT_EQ(0, shorten_deadline());
	early = client_start(user_main, self->u);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
	EXPECT_TRUE(pager_silent(&self->p, short_deadline() / 2));
	u->by_path = variant->by_path;
	late = client_start(user_main, u);
	EXPECT_EQ(1, client_result(&early, SOON));
	EXPECT_EQ(ETIMEDOUT, self->u->error);
	/* The late one has half of its time left. */
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, short_deadline() / 3));
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
	EXPECT_EQ(0, client_result(&late, SOON));
}

TEST_F(opening, a_pager_that_goes_fails_it_by_policy_fail)
{
	struct extpager_event ev;
	struct client c;

	BEHAVIOURS(2);
	ASSERT_EQ(0, target_set("hand", &(struct target_options){ .policy = "fail" }));
	c = client_start(user_main, self->u);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
	ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(c.pid) == 1));
	ASSERT_EQ(0, pager_detach(&self->p, ev.object));
	EXPECT_EQ(1, client_result(&c, SOON));
	EXPECT_EQ(EIO, self->u->error);
	/* Nor does the next one wait. */
	self->u->error = 0;
	c = client_start(user_main, self->u);
	EXPECT_EQ(1, client_result(&c, SOON));
	EXPECT_EQ(EIO, self->u->error);
}

TEST_F(opening, a_deletion_fails_it)
{
	struct extpager_event ev;
	struct client c = client_start(user_main, self->u);

	BEHAVIOURS(2);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
	ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(c.pid) == 1));
	ASSERT_EQ(0, target_del("hand", false));
	EXPECT_EQ(1, client_result(&c, SOON));
	EXPECT_EQ(ENODEV, self->u->error);
}

TEST_F(opening, ready_with_an_error_fails_it_with_that_error)
{
	static const int error[] = { EACCES, EIO, EROFS };
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(3);
	for (i = 0; i < ARRAY_SIZE(error); i++) {
		uint64_t end = now_ms() + SOON;
		struct client c;

		/* The last failure is told until its openers have gone. */
		do {
			c = client_start(user_main, self->u);
			ASSERT_TRUE(WAIT_FOR(SOON, pager_event(&self->p, &ev, 1) ||
						   client_result(&c, 0) != CLIENT_RUNNING));
			ASSERT_GT(end, now_ms());
		} while (!c.pid);
		ASSERT_EQ(EXTPAGER_EV_INIT, ev.op);
		ASSERT_EQ(0, pager_ready(&self->p, &ev, error[i], 0));
		EXPECT_EQ(1, client_result(&c, SOON));
		EXPECT_EQ(error[i], self->u->error);
		EXPECT_FALSE(self->u->opened);
	}
}

TEST_F(lifecycle, ready_with_an_error_fails_what_waits_and_what_comes_later)
{
	struct crowd *c;
	struct extpager_event ev;
	unsigned int i, round;
	int fd;

	BEHAVIOURS(3);
	fd = pager_create(&self->p, BYTES, 0, NULL);
	ASSERT_LE(0, fd);
	for (round = 0; round < 2; round++) {
		c = crowd_new(fd, BYTES, 3, 6);
		for (i = 0; i < 6; i++) {
			c->access[i].offset = i / 3 * PAGE;
			c->access[i].how = i % 3 == 0 ? BY_TOUCH : i % 3 == 1 ? BY_STORE : BY_READ;
		}
		crowd_start(c);
		if (!round) {
			ASSERT_TRUE(crowd_waits(c, 6, SOON));
			ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
			ASSERT_EQ(0, pager_ready(&self->p, &ev, ENODATA, 0));
		}
		EXPECT_EQ(0, crowd_join(c, SOON));
		for (i = 0; i < 6; i++) {
			const struct access *a = &c->access[i];

			EXPECT_EQ(i % 3 == 2 ? ENODATA : -BUS_ADRERR, a->error);
			EXPECT_EQ(i % 3 == 2 ? 0 : a->offset, a->where);
		}
		EXPECT_TRUE(pager_silent(&self->p, QUIET));
		crowd_free(c);
	}
	close(fd);
}

/* ---- a waiting open is nobody else's business ---- */

/* A thread opens while the main thread goes on with the address space. */
struct two_threads {
	struct user *u;
	volatile bool waits;		/* the test: the opener waits */
	volatile bool went_on;
};

static void *open_thread(void *arg)
{
	struct two_threads *t = arg;
	int fd = user_open(t->u);

	t->u->opened = fd >= 0;
	return NULL;
}

static int two_threads_main(void *arg)
{
	struct two_threads *t = arg;
	pthread_t thread;
	uint8_t *map;

	if (pthread_create(&thread, NULL, open_thread, t))
		return 1;
	while (!t->waits)
		test_pause();
	map = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED || mprotect(map, MIB, PROT_READ) || munmap(map, MIB))
		return 2;
	if (read_number("/proc/self/smaps_rollup", "Rss:") <= 0)
		return 3;
	t->went_on = true;
	pthread_join(thread, NULL);
	return !t->u->opened;
}

TEST_F(opening, holds_no_mmap_lock)
{
	struct two_threads *t = shared_memory(sizeof(*t));
	struct extpager_event ev;
	struct client c;

	BEHAVIOURS(2);
	t->u = self->u;
	c = client_start(two_threads_main, t);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
	ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(c.pid) == 1));
	t->waits = true;
	EXPECT_TRUE(WAIT_FOR(short_deadline() / 2, t->went_on));
	EXPECT_FALSE(self->u->opened);
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
}

struct device_opens {
	volatile int opened, misc;
};

static int open_devices(void *arg)
{
	/* The first of them are miscdevices, which share a lock. */
	static const char * const path[] = {
		"/dev/fuse", "/dev/loop-control", "/dev/hpet", "/dev/cpu_dma_latency",
		"/dev/vga_arbiter", "/dev/null", "/dev/ptmx", "/dev/nvme0n1",
		EXTPAGER_DEVICE,
	};
	struct device_opens *d = arg;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(path); i++) {
		int fd = open(path[i], O_RDWR | O_NONBLOCK | O_NOCTTY);

		if (fd < 0)
			continue;
		close(fd);
		d->opened++;
		d->misc += i < 5;
	}
	return 0;
}

TEST_F(lifecycle, a_waiting_open_blocks_no_other_open)
{
	struct device_opens *d = shared_memory(sizeof(*d));
	struct target_options o = { .bytes = BYTES };
	struct extpager_event waiting, ev;
	struct user *u[4];
	struct client c[4], devices;
	struct pager other;
	unsigned int i;

	BEHAVIOURS(142, 2);
	ASSERT_LE(0, system("modprobe -aq loop fuse"));
	ASSERT_EQ(0, target_add("second", &o));
	for (i = 0; i < 4; i++) {
		u[i] = user_new(i < 2 ? "life" : "second", O_RDWR);
		u[i]->by_path = i % 2;
	}
	/* Two wait for the first target, */
	for (i = 0; i < 2; i++) {
		c[i] = client_start(user_main, u[i]);
		ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(c[i].pid) == 1));
	}
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &waiting, SOON));

	/* meanwhile devices are opened, another pager comes, */
	devices = client_start(open_devices, d);
	EXPECT_EQ(0, client_result(&devices, SOON / 4));
	EXPECT_LE(6, d->opened);
	EXPECT_LE(2, d->misc);
	ASSERT_EQ(0, pager_open(&other, 1, 0));
	ASSERT_EQ(0, pager_attach(&other, "second", NULL, NULL));

	/* its target is opened, and the waiting one by who does not wait. */
	for (i = 2; i < 4; i++) {
		c[i] = client_start(user_main, u[i]);
		ASSERT_TRUE(object_ready(&other, NULL));
		EXPECT_EQ(0, client_result(&c[i], SOON / 4));
		ASSERT_TRUE(pager_expect(&other, EXTPAGER_EV_TERMINATE, &ev, SOON));
	}
	i = target_open("life", O_RDONLY | O_NONBLOCK);
	EXPECT_LE(0, (int)i);
	close(i);

	/* The pager's own. */
	i = pager_create(&self->p, BYTES, 0, NULL);
	EXPECT_LE(0, (int)i);
	close(i);

	EXPECT_FALSE(u[0]->opened || u[1]->opened);
	ASSERT_EQ(0, pager_ready(&self->p, &waiting, 0, 0));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, client_result(&c[i], SOON));
	EXPECT_TRUE(target_gone("second"));
	pager_close(&other);
}

/* ---- the end of use ---- */

/* Answer returns and syncs until TERMINATE; how many pages came back. */
static int pages_until_terminate(struct pager *p, struct extpager_event *ev)
{
	int pages = 0;

	while (pager_event(p, ev, SOON)) {
		if (ev->op == EXTPAGER_EV_TERMINATE)
			return pages;
		if (ev->op == EXTPAGER_EV_DATA_RETURN) {
			pages += ev->length / PAGE;
			pager_return_done(p, ev, 0);
		} else if (ev->op != EXTPAGER_EV_SYNC || pager_sync_done(p, ev, 0)) {
			break;
		}
	}
	return -1;
}

TEST_F(lifecycle, the_last_unmap_emits_terminate_after_every_return)
{
	struct user *u = user_new("life", O_RDWR);
	struct extpager_event ev;
	unsigned int i, requests = 0;
	uint32_t generation;
	struct client c;
	uint8_t page[PAGE];

	BEHAVIOURS(4);
	u->options = STORE | KEEP_MAPPED;
	u->pages = 3;
	u->seed = 4;
	c = client_start(user_main, u);
	ASSERT_TRUE(object_ready(&self->p, &generation));
	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(next_request(&self->p, &ev));
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 1));
	}
	ASSERT_TRUE(WAIT_FOR(SOON, u->touched));
	/* It is closed, but mapped. */
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	u->may_go = true;
	EXPECT_EQ(0, client_result(&c, SOON));

	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	EXPECT_EQ(0, ev.offset);
	EXPECT_EQ(3 * PAGE, ev.length);
	EXPECT_EQ(generation, ev.generation);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	/* A return that failed is no return: it comes again, before the end. */
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, EIO));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	EXPECT_EQ(3 * PAGE, ev.length);
	ASSERT_EQ(0, pager_fetch(&self->p, &ev, self->p.buffer));
	for (i = 0; i < 3; i++) {
		memcpy(page, self->p.buffer + i * PAGE, PAGE);
		EXPECT_TRUE(page_is(page, 4, i));
	}
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	EXPECT_EQ(0, pages_until_terminate(&self->p, &ev));
	EXPECT_EQ(self->object, ev.object);
	EXPECT_EQ(generation, ev.generation);
	EXPECT_EQ(0, ev.tag);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	EXPECT_EQ(1, target_stat("life", EXTPAGER_A_STATS_TERMINATES));

	/* The next use begins from the start, and nothing is left of the cache. */
	u->options = 0;
	c = client_start(user_main, u);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
	EXPECT_LT(generation, ev.generation);
	EXPECT_EQ(0, ev.flags);
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
	EXPECT_EQ(0, serve_client(&self->p, &c, 4, &requests));
	EXPECT_EQ(3, requests);
}

/* The target in the state READY(MAY_CACHE), unused, with @pages pages of @seed. */
static uint32_t cached(struct __test_metadata *_metadata, struct pager *p, unsigned int options,
		       unsigned int pages, uint64_t seed)
{
	struct user *u = user_new("life", O_RDWR);
	unsigned int requests = 0;
	struct extpager_event ev;
	struct client c;

	u->options = options;
	u->pages = pages;
	u->seed = seed;
	c = client_start(user_main, u);
	ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_INIT, &ev, SOON));
	ASSERT_EQ(0, pager_ready(p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	ASSERT_EQ(0, serve_client(p, &c, seed, &requests));
	ASSERT_EQ(pages, requests);
	ASSERT_TRUE(pager_silent(p, QUIET));
	return ev.generation;
}

static int set_attributes(struct pager *p, uint64_t object, uint32_t generation,
			  unsigned int attributes)
{
	struct extpager_event ev = { .object = object, .generation = generation };
	struct extpager_reply re = reply_to(&ev, EXTPAGER_RE_ATTRIBUTES);

	re.attributes = attributes;
	return pager_reply(p, &re);
}

TEST_F(lifecycle, cached_pages_survive_the_last_unmap)
{
	unsigned int requests = 0;

	BEHAVIOURS(5);
	cached(_metadata, &self->p, 0, 8, 5);
	EXPECT_EQ(0, use(&self->p, 0, 0, 8, 5, &requests));
	EXPECT_EQ(0, requests);
	/* Without a new INIT, and with one request for what was not there. */
	EXPECT_EQ(0, use(&self->p, 0, 0, 9, 5, &requests));
	EXPECT_EQ(1, requests);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	EXPECT_EQ(1, target_stat("life", EXTPAGER_A_STATS_INITS));
	EXPECT_EQ(0, target_stat("life", EXTPAGER_A_STATS_TERMINATES));
}

TEST_F(lifecycle, forbidding_the_cache_of_an_unused_object_terminates_it_first)
{
	unsigned int requests = 0;
	struct extpager_event ev;
	uint32_t generation;

	BEHAVIOURS(6);
	generation = cached(_metadata, &self->p, 0, 8, 5);
	ASSERT_EQ(0, set_attributes(&self->p, self->object, generation, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_TERMINATE, &ev, SOON));
	EXPECT_EQ(generation, ev.generation);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_ATTRIBUTES, &ev, SOON));
	EXPECT_EQ(self->object, ev.object);
	EXPECT_EQ(0, ev.attributes);
	EXPECT_EQ(0, ev.tag);
	/* The pages went with it. */
	generation = cached(_metadata, &self->p, 0, 8, 6);
	/* Allowing what is allowed changes nothing, and is acknowledged. */
	ASSERT_EQ(0, set_attributes(&self->p, self->object, generation, EXTPAGER_ATTR_MAY_CACHE));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_ATTRIBUTES, &ev, SOON));
	EXPECT_EQ(EXTPAGER_ATTR_MAY_CACHE, ev.attributes);
	EXPECT_EQ(0, use(&self->p, 0, 0, 8, 6, &requests));
	EXPECT_EQ(0, requests);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

TEST_F(lifecycle, forbidding_the_cache_of_an_object_in_use_waits_for_its_end)
{
	struct user *u = user_new("life", O_RDWR);
	struct extpager_event ev;
	uint32_t generation;
	struct client c;

	BEHAVIOURS(6, 4);
	generation = cached(_metadata, &self->p, 0, 1, 5);
	u->options = KEEP_MAPPED;
	u->pages = 1;
	u->seed = 5;
	c = client_start(user_main, u);
	ASSERT_TRUE(WAIT_FOR(SOON, u->touched));
	ASSERT_EQ(0, set_attributes(&self->p, self->object, generation, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_ATTRIBUTES, &ev, SOON));
	EXPECT_EQ(0, ev.attributes);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	u->may_go = true;
	EXPECT_EQ(0, client_result(&c, SOON));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_TERMINATE, &ev, SOON));
	EXPECT_EQ(generation, ev.generation);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

TEST_F(lifecycle, dirty_cached_pages_come_back_before_the_cache_is_forbidden)
{
	struct extpager_event ev;
	uint32_t generation;

	BEHAVIOURS(6, 4);
	generation = cached(_metadata, &self->p, STORE, 4, 6);
	ASSERT_EQ(0, set_attributes(&self->p, self->object, generation, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	EXPECT_EQ(4 * PAGE, ev.length);
	/* Failing once delays all that follows. */
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, EIO));
	EXPECT_EQ(4, pages_until_terminate(&self->p, &ev));
	EXPECT_EQ(generation, ev.generation);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_ATTRIBUTES, &ev, SOON));
	EXPECT_EQ(0, ev.attributes);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

/* ---- again and again ---- */

struct comer {
	uint64_t random;
	volatile bool stop;
};

/* Uses the target and leaves it, over and over. */
static int come_and_go(void *arg)
{
	struct comer *comer = arg;
	uint8_t *map;
	bool right;
	int fd;

	while (!comer->stop) {
		uint64_t index = test_random(&comer->random) % (BYTES / PAGE);

		fd = target_open("life", O_RDONLY);
		if (fd < 0)
			return 1;
		map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
		close(fd);
		if (map == MAP_FAILED || madvise(map, BYTES, MADV_RANDOM))
			return 2;
		right = page_is(map + index * PAGE, 7, index);
		munmap(map, BYTES);
		if (!right)
			return 3;
		/* Now and then long enough for the end to come. */
		if (test_random(&comer->random) % 4 == 0)
			test_pause();
	}
	return 0;
}

TEST_F_TIMEOUT(lifecycle, terminate_comes_before_the_next_init, 220)
{
	unsigned int rounds = test_rounds(10000, 500, 500), terminates = 0, i;
	struct comer *comer = shared_memory(2 * sizeof(*comer));
	uint32_t generation = 0;
	struct client c[2];
	enum { IDLE, ASKED, LIVE } state = IDLE;

	BEHAVIOURS_IF(rounds == test_rounds(10000, 10000, 500), 7);
	for (i = 0; i < 2; i++) {
		comer[i].random = test_seed(70 + i);
		c[i] = client_start(come_and_go, &comer[i]);
	}
	while (terminates < rounds || state != IDLE) {
		struct extpager_event ev;

		ASSERT_TRUE(pager_event(&self->p, &ev, SOON));
		switch (ev.op) {
		case EXTPAGER_EV_INIT:
			ASSERT_EQ(IDLE, state);
			ASSERT_LT(generation, ev.generation);
			generation = ev.generation;
			ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
			state = LIVE;
			break;
		case EXTPAGER_EV_DATA_REQUEST:
			ASSERT_EQ(LIVE, state);
			ASSERT_EQ(generation, ev.generation);
			ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
			break;
		case EXTPAGER_EV_TERMINATE:
			ASSERT_EQ(LIVE, state);
			ASSERT_EQ(generation, ev.generation);
			state = IDLE;
			terminates++;
			if (terminates >= rounds)
				comer[0].stop = comer[1].stop = true;
			break;
		default:
			ASSERT_EQ(0, ev.op);
		}
	}
	/* A last one may still come. */
	for (i = 0; i < 2; i++) {
		struct extpager_event ev;

		while (client_result(&c[i], 0) == CLIENT_RUNNING) {
			if (!pager_event(&self->p, &ev, 1))
				continue;
			if (ev.op == EXTPAGER_EV_INIT)
				pager_ready(&self->p, &ev, 0, 0);
			else if (ev.op == EXTPAGER_EV_DATA_REQUEST)
				pager_supply(&self->p, &ev, 7);
		}
	}
}

/* ---- many objects ---- */

static long live_objects(void)
{
	/* Gives unused memory back first, so that what is left is in use. */
	write_file("/sys/kernel/slab/extpager_object/shrink", "1");
	return read_number("/sys/kernel/slab/extpager_object/objects", NULL);
}

/* Of this program and its clients, which are alone in their cgroup. */
static long cached_pages(void)
{
	return read_number("/sys/fs/cgroup/test/memory.stat", "file ") / (long)PAGE;
}

/* What earlier tests left may still be going, and cgroups count up to seconds late. */
static bool comes_to_rest(long *objects, long *pages)
{
	uint64_t since = now_ms();

	*objects = *pages = -1;
	return WAIT_FOR(SOON, ({
		long o = live_objects(), p = cached_pages();

		if (o != *objects || p != *pages)
			since = now_ms();
		*objects = o;
		*pages = p;
		now_ms() - since > 3000;
	}));
}

static int destroy(struct pager *p, uint64_t object, uint32_t generation)
{
	struct extpager_event ev = { .object = object, .generation = generation };
	struct extpager_reply re = reply_to(&ev, EXTPAGER_RE_DESTROY);

	return pager_reply(p, &re);
}

/* One of 256 pages, all of them in the cache and one of them written. */
static void create_and_destroy(struct __test_metadata *_metadata, struct pager *p, uint64_t seed)
{
	uint32_t generation, done;
	struct extpager_event ev;
	uint64_t object;
	struct crowd *c;
	int fd;

	fd = pager_create(p, BYTES, 0, &object);
	ASSERT_LE(0, fd);
	c = crowd_new(fd, BYTES, seed, 1);
	c->access[0].how = BY_STORE;
	crowd_start(c);
	ASSERT_TRUE(object_ready(p, &generation));
	ASSERT_TRUE(next_request(p, &ev));
	ASSERT_EQ(0, pager_supply(p, &ev, seed));
	ASSERT_EQ(0, pager_push(p, object, generation, seed, PAGE, BYTES - PAGE, &done));
	ASSERT_EQ(BYTES - PAGE, done);
	ASSERT_EQ(0, crowd_join(c, SOON));
	ASSERT_EQ(1, crowd_right(c));
	crowd_free(c);
	/* The page that was written comes back before the end. */
	ASSERT_EQ(0, destroy(p, object, generation));
	ASSERT_EQ(1, pages_until_terminate(p, &ev));
	ASSERT_EQ(object, ev.object);
	EXPECT_GT(0, pager_reopen(p, object, O_RDONLY));
	close(fd);
}

TEST_F_TIMEOUT(lifecycle, destroyed_objects_leave_nothing, 110)
{
	long objects, pages;
	unsigned int i;

	BEHAVIOURS(10);
	/* So that all that programs and libraries need is in the cache. */
	create_and_destroy(_metadata, &self->p, 64);
	ASSERT_TRUE(comes_to_rest(&objects, &pages));
	ASSERT_LT(0, objects);
	ASSERT_LT(0, pages);
	for (i = 0; i < 64; i++)
		create_and_destroy(_metadata, &self->p, i);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	EXPECT_TRUE(WAIT_FOR(SOON, live_objects() == objects))
		TH_LOG("%ld objects, not %ld", live_objects(), objects);
	EXPECT_TRUE(WAIT_FOR(SOON, cached_pages() <= pages + 16))
		TH_LOG("%ld pages, not %ld", cached_pages(), pages);
}

#define OBJECTS		8
#define OBJECT_PAGES	16

TEST_F(lifecycle, objects_of_one_pager_get_their_own_pages)
{
	struct extpager_event ev[OBJECTS * OBJECT_PAGES], swap;
	unsigned int asked[OBJECTS][OBJECT_PAGES] = { }, i, j;
	uint64_t object[OBJECTS], random = test_seed(11);
	struct crowd *c[OBJECTS];
	int fd[OBJECTS];

	BEHAVIOURS(11);
	for (i = 0; i < OBJECTS; i++) {
		fd[i] = pager_create(&self->p, BYTES, 0, &object[i]);
		ASSERT_LE(0, fd[i]);
		c[i] = crowd_new(fd[i], BYTES, 110 + i, OBJECT_PAGES);
		for (j = 0; j < OBJECT_PAGES; j++)
			c[i]->access[j].offset = j * PAGE;
		crowd_start(c[i]);
	}
	for (i = 0; i < OBJECTS * OBJECT_PAGES; i++) {
		ASSERT_TRUE(pager_event(&self->p, &ev[i], SOON));
		if (ev[i].op == EXTPAGER_EV_INIT) {
			ASSERT_EQ(0, pager_ready(&self->p, &ev[i--], 0, 0));
			continue;
		}
		ASSERT_EQ(EXTPAGER_EV_DATA_REQUEST, ev[i].op);
		for (j = 0; j < OBJECTS && object[j] != ev[i].object; j++)
			;
		ASSERT_GT(OBJECTS, j);
		ASSERT_EQ(PAGE, ev[i].length);
		ASSERT_EQ(0, asked[j][ev[i].offset / PAGE]++);
	}
	/* All of them wait; they are answered in any order. */
	for (i = 0; i < OBJECTS; i++)
		ASSERT_TRUE(crowd_waits(c[i], OBJECT_PAGES, SOON));
	for (i = OBJECTS * OBJECT_PAGES - 1; i > 0; i--) {
		j = test_random(&random) % (i + 1);
		swap = ev[i];
		ev[i] = ev[j];
		ev[j] = swap;
	}
	for (i = 0; i < OBJECTS * OBJECT_PAGES; i++) {
		for (j = 0; object[j] != ev[i].object; j++)
			;
		ASSERT_EQ(0, pager_supply(&self->p, &ev[i], 110 + j));
	}
	for (i = 0; i < OBJECTS; i++) {
		EXPECT_EQ(0, crowd_join(c[i], SOON));
		EXPECT_EQ(OBJECT_PAGES, crowd_right(c[i]));
		crowd_free(c[i]);
		close(fd[i]);
	}
}

TEST_HARNESS_MAIN
