// SPDX-License-Identifier: GPL-2.0-only
/* Which queue of its port an event comes over. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"

#define BYTES	MIB
#define CPUS	2		/* of the machine, and queues of the port */

FIXTURE(queues)
{
	struct pager p;
};

FIXTURE_SETUP(queues)
{
	ASSERT_EQ(CPUS, sysconf(_SC_NPROCESSORS_ONLN));
	ASSERT_EQ(0, pager_open(&self->p, CPUS, 0));
	ASSERT_EQ(CPUS, self->p.nr_queues);
}

FIXTURE_TEARDOWN(queues)
{
	pager_close(&self->p);
}

struct pinned {
	unsigned int cpu;
	int fd;
	unsigned int page;
	enum { READ, WRITE_AND_SYNC, PUNCH, READ_AND_CLOSE } what;
	volatile bool may_go;
};

/* Does one thing to one page, all of it on one CPU. */
static int pinned_main(void *arg)
{
	struct pinned *a = arg;
	off_t offset = a->page * PAGE;
	char page[PAGE] = { 1 };

	if (!stay_on(a->cpu))
		return 99;
	posix_fadvise(a->fd, 0, 0, POSIX_FADV_RANDOM);
	switch (a->what) {
	case READ:
		return pread(a->fd, page, PAGE, offset) == (ssize_t)PAGE ? 0 : errno;
	case WRITE_AND_SYNC:
		return pwrite(a->fd, page, PAGE, offset) == (ssize_t)PAGE && !fsync(a->fd) ?
		       0 : errno;
	case PUNCH:
		return fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
				 PAGE) ? errno : 0;
	case READ_AND_CLOSE:
		if (pread(a->fd, page, PAGE, offset) != (ssize_t)PAGE)
			return errno;
		while (!a->may_go)
			test_pause();
		return close(a->fd) ? errno : 0;
	}
	return 98;
}

/* The next event is of @op and came over queue @queue_. */
#define COMES(op_, queue_) do {								\
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_##op_, &ev, SOON)) {		\
		TH_LOG("no %s", #op_);							\
	}										\
	EXPECT_EQ(queue_, self->p.last_queue) {						\
		TH_LOG("%s", #op_);							\
	}										\
} while (0)

TEST_F(queues, data_and_barriers_use_the_queue_of_the_cpu_that_caused_them)
{
	unsigned int round, rounds = 4;
	struct pinned a = { };
	struct extpager_event ev;
	struct client c;

	BEHAVIOURS(114);
	a.fd = pager_create(&self->p, BYTES, 0, NULL);
	ASSERT_LE(0, a.fd);
	ASSERT_NE(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, a.fd, 0));
	ASSERT_TRUE(object_ready(&self->p, NULL));
	for (round = 0; round < rounds * CPUS; round++) {
		a.cpu = round % CPUS;
		a.page = round;
		a.what = READ;
		c = client_start(pinned_main, &a);
		COMES(DATA_REQUEST, a.cpu);
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
		ASSERT_EQ(0, client_result(&c, SOON));

		a.what = WRITE_AND_SYNC;
		c = client_start(pinned_main, &a);
		COMES(DATA_RETURN, a.cpu);
		ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
		COMES(SYNC, a.cpu);
		ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
		ASSERT_EQ(0, client_result(&c, SOON));

		a.what = PUNCH;
		c = client_start(pinned_main, &a);
		COMES(DATA_RETURN, a.cpu);
		EXPECT_EQ(EXTPAGER_EVF_ZERO, ev.flags);
		ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
		ASSERT_EQ(0, client_result(&c, SOON));
	}
}

/* Else INIT of a new life could be read before TERMINATE of the last one. */
TEST_F(queues, the_life_of_one_object_uses_one_queue_whoever_lives_it)
{
	struct extpager_reply re = { .op = EXTPAGER_RE_ATTRIBUTES };
	unsigned int i, round, queue = 0, used[CPUS] = { };
	struct pinned *a = shared_memory(PAGE);
	struct extpager_event ev;
	struct client c;
	uint64_t object;
	void *map;
	int fd;

	BEHAVIOURS(4, 114);
	for (i = 0; i < 2 * CPUS; i++) {
		for (round = 0; round < 2 * CPUS; round++) {
			/* Born on one CPU, ended on the other. */
			ASSERT_TRUE(stay_on(round % CPUS));
			fd = round ? pager_reopen(&self->p, object, O_RDWR | O_NONBLOCK) :
				     pager_create(&self->p, BYTES, 0, &object);
			ASSERT_LE(0, fd);
			map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
			ASSERT_NE(MAP_FAILED, map);
			ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
			EXPECT_EQ(object, ev.object);
			if (!round)
				queue = self->p.last_queue;
			EXPECT_EQ(queue, self->p.last_queue);
			ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));

			*a = (struct pinned){ .cpu = (round + 1) % CPUS, .fd = fd,
					      .what = READ_AND_CLOSE };
			c = client_start(pinned_main, a);
			COMES(DATA_REQUEST, a->cpu);
			ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
			munmap(map, PAGE);
			close(fd);
			re.object = object;
			re.generation = ev.generation;
			ASSERT_EQ(0, pager_reply(&self->p, &re));
			COMES(ATTRIBUTES, queue);
			a->may_go = true;
			COMES(TERMINATE, queue);
			ASSERT_EQ(0, client_result(&c, SOON));
		}
		used[queue]++;
	}
	/* Objects are spread over the queues. */
	for (i = 0; i < CPUS; i++)
		EXPECT_EQ(2, used[i]);
}

/* All are with the pager at once; who is answered goes on, whoever came first. */
TEST_F(queues, different_ranges_and_objects_are_with_the_pager_at_once)
{
	struct extpager_event ev[2 * CPUS];
	struct pinned a = { .what = READ };
	struct client c[2 * CPUS];
	int fd[2];
	int i;

	BEHAVIOURS(114);
	for (i = 0; i < 2; i++) {
		fd[i] = pager_create(&self->p, BYTES, 0, NULL);
		ASSERT_LE(0, fd[i]);
		ASSERT_NE(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd[i], 0));
		ASSERT_TRUE(object_ready(&self->p, NULL));
	}
	/* Each object from each CPU. */
	for (i = 0; i < 2 * CPUS; i++) {
		a.fd = fd[i / CPUS];
		a.cpu = i % CPUS;
		a.page = 10 * i;
		c[i] = client_start(pinned_main, &a);
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev[i], SOON));
		EXPECT_EQ(a.cpu, self->p.last_queue);
		EXPECT_EQ(a.page * PAGE, ev[i].offset);
	}
	for (i = 2 * CPUS; i-- > 0; ) {
		ASSERT_EQ(0, pager_supply(&self->p, &ev[i], 7));
		ASSERT_EQ(0, client_result(&c[i], SOON));
		if (i)
			EXPECT_EQ(CLIENT_RUNNING, client_result(&c[i - 1], 0));
	}
}

TEST_F(queues, overlapping_ranges_of_one_object_keep_their_order)
{
	struct pinned first = { .cpu = 0, .page = 7, .what = WRITE_AND_SYNC };
	struct pinned second = { .cpu = 1, .page = 7, .what = WRITE_AND_SYNC };
	struct pinned beside = { .cpu = 1, .page = 9, .what = READ };
	struct extpager_event ev, returned;
	struct client c[3];

	BEHAVIOURS(114);
	first.fd = second.fd = beside.fd = pager_create(&self->p, BYTES, 0, NULL);
	ASSERT_LE(0, first.fd);
	ASSERT_NE(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, first.fd, 0));
	ASSERT_TRUE(object_ready(&self->p, NULL));
	c[0] = client_start(pinned_main, &first);
	COMES(DATA_RETURN, 0);
	returned = ev;
	/* Neither the page's next return nor a barrier, though a queue is idle, ... */
	c[1] = client_start(pinned_main, &second);
	EXPECT_TRUE(pager_silent(&self->p, 4 * QUIET));
	/* ... which serves another page meanwhile. */
	c[2] = client_start(pinned_main, &beside);
	COMES(DATA_REQUEST, 1);
	EXPECT_EQ(9 * PAGE, ev.offset);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	ASSERT_EQ(0, client_result(&c[2], SOON));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c[0], 0));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c[1], 0));

	ASSERT_EQ(0, pager_return_done(&self->p, &returned, 0));
	ASSERT_TRUE(pager_event(&self->p, &ev, SOON));
	if (ev.op == EXTPAGER_EV_SYNC) {		/* the first one's */
		ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
		ASSERT_TRUE(pager_event(&self->p, &ev, SOON));
	}
	ASSERT_EQ(EXTPAGER_EV_DATA_RETURN, ev.op);
	EXPECT_EQ(7 * PAGE, ev.offset);
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	EXPECT_EQ(0, serve_client(&self->p, &c[1], 7, NULL));
	EXPECT_EQ(0, serve_client(&self->p, &c[0], 7, NULL));
}

struct sleeper {
	int port;
	volatile pid_t tid;
	volatile bool woken;
};

static void *sleep_in_poll(void *arg)
{
	struct sleeper *s = arg;
	struct pollfd pfd = { .fd = s->port, .events = POLLIN };

	s->tid = gettid();
	s->woken = poll(&pfd, 1, SOON) == 1;
	return NULL;
}

/* A pager that looks into its rings by itself need not be woken. */
TEST_F(queues, who_asks_not_to_be_woken_is_not_until_he_takes_it_back)
{
	struct pinned a = { .what = READ };
	struct sleeper s = { .port = self->p.fd };
	struct queue *q = &self->p.queue[0];
	struct extpager_event ev;
	struct client c[2];
	pthread_t thread;

	a.fd = pager_create(&self->p, BYTES, 0, NULL);
	ASSERT_LE(0, a.fd);
	ASSERT_NE(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, a.fd, 0));
	ASSERT_TRUE(object_ready(&self->p, NULL));
	__atomic_store_n(&q->user->flags, EXTPAGER_UF_NO_WAKEUP, __ATOMIC_SEQ_CST);
	ASSERT_EQ(0, pthread_create(&thread, NULL, sleep_in_poll, &s));
	ASSERT_TRUE(WAIT_FOR(SOON, thread_sleeps(s.tid)));
	c[0] = client_start(pinned_main, &a);
	/* The event is there for whoever looks. */
	ASSERT_TRUE(WAIT_FOR(SOON, q->kernel->event_tail != q->event_head));
	EXPECT_FALSE(WAIT_FOR(4 * QUIET, s.woken));
	ASSERT_TRUE(pager_event(&self->p, &ev, 0));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	ASSERT_EQ(0, client_result(&c[0], SOON));

	__atomic_store_n(&q->user->flags, 0, __ATOMIC_SEQ_CST);
	EXPECT_FALSE(s.woken);
	a.page = 9;
	c[1] = client_start(pinned_main, &a);
	EXPECT_TRUE(WAIT_FOR(SOON / 4, s.woken));
	pthread_join(thread, NULL);
	ASSERT_TRUE(pager_event(&self->p, &ev, SOON));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	EXPECT_EQ(0, client_result(&c[1], SOON));
}

TEST_HARNESS_MAIN
