// SPDX-License-Identifier: GPL-2.0-only
/* Which queue of its port an event comes over. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/stats.h"

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

/* ---- spill-over: a queue whose thread is busy, and one whose thread is idle ---- */

struct servant {
	struct pager *p;
	unsigned int queue, min_complete;
	unsigned int cpu;		/* where it is to run */
	bool first;			/* there before others */
	volatile bool busy;		/* what it has taken it keeps, as long as that */
	volatile bool ends;
	volatile pid_t tid;
	volatile unsigned int taken;	/* of others than INIT */
};

static bool answer(struct pager *p, unsigned int queue, const struct extpager_event *ev)
{
	static const unsigned int op[] = {
		[EXTPAGER_EV_INIT] = EXTPAGER_RE_READY,
		[EXTPAGER_EV_DATA_REQUEST] = EXTPAGER_RE_SUPPLY,
		[EXTPAGER_EV_DATA_RETURN] = EXTPAGER_RE_RETURN_DONE,
		[EXTPAGER_EV_SYNC] = EXTPAGER_RE_SYNC_DONE,
	};
	struct extpager_reply re = reply_to(ev, op[ev->op]);

	if (ev->op == EXTPAGER_EV_INIT) {
		re.attributes = EXTPAGER_ATTR_MAY_CACHE;
	} else if (ev->op == EXTPAGER_EV_DATA_REQUEST) {
		re.flags = EXTPAGER_REF_ZERO;
		re.offset = ev->offset;
		re.length = ev->length;
	}
	return !pager_reply_on(p, queue, &re);
}

static bool comes_first(int priority)
{
	struct sched_param param = { .sched_priority = priority };

	return !pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
}

/* Sleeps in ENTER of one queue, and serves that alone. */
static void *servant_main(void *arg)
{
	struct servant *s = arg;
	struct extpager_enter enter = { .size = sizeof(enter), .queue = s->queue,
					.min_complete = s->min_complete, .timeout_ns = ~0ULL };
	struct extpager_event ev;

	if (!stay_on(s->cpu) || (s->first && !comes_first(1)))
		return NULL;
	s->tid = gettid();
	while (!s->ends) {
		ioctl(s->p->fd, EXTPAGER_IOC_ENTER, &enter);
		while (pager_event_on(s->p, s->queue, &ev)) {
			s->taken += ev.op != EXTPAGER_EV_INIT;
			while (s->busy && ev.op != EXTPAGER_EV_INIT)
				test_pause();
			if (!answer(s->p, s->queue, &ev))
				return NULL;
		}
	}
	return s;
}

#define NAME	"spill-over"
#define QUEUES	3		/* of its port: one that no CPU calls its own */

/* Has a CPU for itself. */
struct hog {
	pthread_t thread;
	unsigned int cpu;
	bool started;
	volatile bool runs, stop;
};

static void hog_ends(struct hog *h)
{
	h->stop = true;
	if (h->started)
		pthread_join(h->thread, NULL);
	h->started = false;
}

FIXTURE(spill_over)
{
	struct pager p;
	struct servant servant[QUEUES];
	pthread_t thread[QUEUES];
	struct hog hog;
	struct pinned a;
	int opened;
	pthread_t opener;
	/* The queue of the clients' CPU, and those that come next, in their order. */
	struct servant *own, *next, *last;
};

FIXTURE_VARIANT(spill_over)
{
	unsigned int cpu;		/* of the clients */
};

FIXTURE_VARIANT_ADD(spill_over, from_the_first_cpu) { .cpu = 0 };
FIXTURE_VARIANT_ADD(spill_over, from_the_second_cpu) { .cpu = 1 };

FIXTURE_SETUP(spill_over)
{
	unsigned int i;

	ASSERT_EQ(CPUS, sysconf(_SC_NPROCESSORS_ONLN));
	ASSERT_EQ(0, pager_open(&self->p, QUEUES, 0));
	ASSERT_EQ(QUEUES, self->p.nr_queues);
	self->a.cpu = variant->cpu;
	self->a.fd = pager_create(&self->p, BYTES, 0, NULL);
	ASSERT_LE(0, self->a.fd);
	ASSERT_NE(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->a.fd, 0));
	ASSERT_TRUE(object_ready(&self->p, NULL));
	for (i = 0; i < QUEUES; i++)
		self->servant[i] = (struct servant){ .p = &self->p, .queue = i,
						       .cpu = variant->cpu, .min_complete = 1 };
	self->own = &self->servant[variant->cpu];
	self->next = &self->servant[(variant->cpu + 1) % QUEUES];
	self->last = &self->servant[(variant->cpu + 2) % QUEUES];
}

FIXTURE_TEARDOWN(spill_over)
{
	struct extpager_wake wake = { .size = sizeof(wake) };
	unsigned int i;
	void *ended;

	hog_ends(&self->hog);
	for (i = 0; i < QUEUES; i++) {
		self->servant[i].busy = false;
		self->servant[i].ends = true;
	}
	ioctl(self->p.fd, EXTPAGER_IOC_WAKE, &wake);
	for (i = 0; i < QUEUES; i++) {
		if (!self->servant[i].tid)
			continue;
		pthread_join(self->thread[i], &ended);
		EXPECT_NE(NULL, ended);
	}
	if (self->opened > 0)
		close(self->opened);
	pager_close(&self->p);
	if (target_state(NAME))
		EXPECT_TRUE(target_gone(NAME));
}

static bool servant_starts(struct servant *s, pthread_t *thread)
{
	return !pthread_create(thread, NULL, servant_main, s) &&
	       WAIT_FOR(SOON, thread_sleeps(s->tid));
}

static uint64_t diverted(const struct pager *p)
{
	uint64_t stats[STATS];

	return stats_get(NULL, p->setup.out_port, stats) ? stats[EXTPAGER_A_STATS_DIVERTED] :
							     UINT64_MAX;
}

static uint32_t unread(const struct pager *p, const struct servant *s)
{
	const struct queue *q = &p->queue[s->queue];

	return __atomic_load_n(&q->kernel->event_tail, __ATOMIC_ACQUIRE) - q->event_head;
}

/* One of their CPU does something else to another page. */
#define BEGIN(what_) ({									\
	self->a.page++;									\
	self->a.what = what_;								\
	client_start(pinned_main, &self->a); })
#define DO(what_) ({ struct client c_ = BEGIN(what_); client_result(&c_, SOON); })

/* One has an event in hand, another waits for it: so much it may be behind. */
#define BECOMES_BUSY(c) do {								\
	unsigned int taken_ = self->own->taken;						\
											\
	self->own->busy = true;								\
	(c)[0] = BEGIN(READ);								\
	ASSERT_TRUE(WAIT_FOR(SOON, self->own->taken == taken_ + 1));			\
	(c)[1] = BEGIN(READ);								\
	ASSERT_TRUE(WAIT_FOR(SOON, unread(&self->p, self->own) == 1));			\
} while (0)

#define ALL_START() do {								\
	unsigned int i_;								\
											\
	for (i_ = 0; i_ < QUEUES; i_++)							\
		ASSERT_TRUE(servant_starts(&self->servant[i_], &self->thread[i_]));	\
} while (0)

TEST_F(spill_over, an_idle_queue_gets_what_stands_behind_a_busy_thread)
{
	struct client c[2];
	uint64_t object;
	unsigned int i;
	int fd;

	ALL_START();
	/* None is busy: its own. */
	ASSERT_EQ(0, DO(READ));
	EXPECT_EQ(1, self->own->taken);
	BECOMES_BUSY(c);
	EXPECT_EQ(0, diverted(&self->p));
	for (i = 0; i < 5; i++) {
		ASSERT_TRUE(WAIT_FOR(SOON, thread_sleeps(self->next->tid)));
		ASSERT_EQ(0, DO(i < 4 ? READ : PUNCH));
		EXPECT_EQ(i + 1, self->next->taken);
	}
	EXPECT_EQ(5, diverted(&self->p));

	/* But not what must not overtake. */
	do {
		fd = pager_create(&self->p, BYTES, 0, &object);
		ASSERT_LE(0, fd);
	} while ((uint32_t)object % QUEUES != variant->cpu);
	ASSERT_TRUE(WAIT_FOR(SOON, thread_sleeps(self->next->tid)));
	ASSERT_NE(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_TRUE(WAIT_FOR(SOON, unread(&self->p, self->own) == 2));

	self->own->busy = false;
	for (i = 0; i < ARRAY_SIZE(c); i++)
		EXPECT_EQ(0, client_result(&c[i], SOON));
	/* When all is done it has its own again. */
	ASSERT_TRUE(WAIT_FOR(SOON, !unread(&self->p, self->own) &&
			     thread_sleeps(self->own->tid)));
	ASSERT_EQ(0, DO(READ));
	EXPECT_EQ(4, self->own->taken);
	EXPECT_EQ(5, diverted(&self->p));
}

TEST_F(spill_over, a_queue_is_idle_if_its_thread_waits)
{
	struct client c[5];
	unsigned int i;

	ALL_START();
	BECOMES_BUSY(c);
	/* The next one is, too, but not the one after that, */
	self->next->busy = true;
	c[2] = BEGIN(READ);
	ASSERT_TRUE(WAIT_FOR(SOON, self->next->taken == 1));
	ASSERT_EQ(0, DO(READ));
	EXPECT_EQ(1, self->last->taken);
	EXPECT_EQ(2, diverted(&self->p));
	/* and now all are. */
	self->last->busy = true;
	ASSERT_TRUE(WAIT_FOR(SOON, thread_sleeps(self->last->tid)));
	c[3] = BEGIN(READ);
	ASSERT_TRUE(WAIT_FOR(SOON, self->last->taken == 2));
	EXPECT_EQ(3, diverted(&self->p));
	c[4] = BEGIN(READ);
	ASSERT_TRUE(WAIT_FOR(SOON, unread(&self->p, self->own) == 2));
	EXPECT_EQ(3, diverted(&self->p));

	for (i = 0; i < QUEUES; i++)
		self->servant[i].busy = false;
	for (i = 0; i < ARRAY_SIZE(c); i++)
		EXPECT_EQ(0, client_result(&c[i], SOON));
}

/* ---- and threads that have been woken, but have no CPU yet ---- */

/* Nothing else runs on its CPU; what is fair to others is not to those of less priority. */
static void *hog_main(void *arg)
{
	struct hog *h = arg;

	if (stay_on(h->cpu) && comes_first(2))
		for (h->runs = true; !h->stop; )
			;
	return NULL;
}

TEST_F(spill_over, a_thread_that_has_been_woken_has_one_event_more_or_less)
{
	struct client c[4];
	unsigned int i;

	self->hog.cpu = !variant->cpu;
	/* All of these are to run where nothing can. */
	self->own->cpu = self->next->cpu = self->hog.cpu;
	self->own->first = self->next->first = true;
	ALL_START();
	ASSERT_TRUE(stay_on(variant->cpu));
	self->hog.started = !pthread_create(&self->hog.thread, NULL, hog_main, &self->hog);
	ASSERT_TRUE(WAIT_FOR(SOON, self->hog.runs));

	/* It takes both when it runs; */
	for (i = 0; i < 2; i++) {
		c[i] = BEGIN(READ);
		ASSERT_TRUE(WAIT_FOR(SOON, unread(&self->p, self->own) == i + 1));
	}
	EXPECT_EQ(0, diverted(&self->p));
	/* what comes then goes where none stands, */
	c[2] = BEGIN(READ);
	ASSERT_TRUE(WAIT_FOR(SOON, unread(&self->p, self->next) == 1));
	/* each to another one. */
	c[3] = BEGIN(READ);
	EXPECT_EQ(0, client_result(&c[3], SOON));
	EXPECT_EQ(1, self->last->taken);
	EXPECT_EQ(2, diverted(&self->p));

	hog_ends(&self->hog);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, client_result(&c[i], SOON));
	EXPECT_EQ(2, self->own->taken);
	EXPECT_EQ(1, self->next->taken);
}

/* ---- an heir ---- */

static void *open_it(void *fd)
{
	*(int *)fd = target_open(NAME, O_RDWR);
	return NULL;
}

/* It is told in the order of their coming, which other queues' threads would change. */
TEST_F(spill_over, what_an_heir_is_told_is_not_diverted)
{
	struct target_options options = { .bytes = BYTES };
	unsigned int i, told;
	struct client c[4];
	uint64_t object;
	struct pager lost;

	ASSERT_EQ(0, target_add(NAME, &options));
	ASSERT_EQ(0, pager_open(&lost, 1, 0));
	ASSERT_EQ(0, pager_attach(&lost, NAME, &object, NULL));
	ASSERT_EQ(0, pthread_create(&self->opener, NULL, open_it, &self->opened));
	ASSERT_TRUE(object_ready(&lost, NULL));
	ASSERT_EQ(0, pthread_join(self->opener, NULL));
	ASSERT_LE(0, self->opened);
	self->a.fd = self->opened;
	for (i = 0; i < ARRAY_SIZE(c); i++) {
		c[i] = BEGIN(READ);
		ASSERT_TRUE(WAIT_FOR(SOON,
				     target_stat(NAME, EXTPAGER_A_STATS_DATA_REQUESTS) == i + 1));
	}
	ASSERT_EQ(0, pager_detach(&lost, object));
	pager_close(&lost);

	for (i = 0; i < QUEUES; i++)
		self->servant[i].busy = true;
	ALL_START();
	ASSERT_TRUE(WAIT_FOR(SOON, !pager_attach(&self->p, NAME, NULL, NULL)));
	EXPECT_TRUE(WAIT_FOR(SOON, ({
		for (told = 0, i = 0; i < QUEUES; i++)
			told += self->servant[i].taken + unread(&self->p, &self->servant[i]);
		told == ARRAY_SIZE(c);
	})));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_DIVERTED));

	for (i = 0; i < QUEUES; i++)
		self->servant[i].busy = false;
	for (i = 0; i < ARRAY_SIZE(c); i++)
		EXPECT_EQ(0, client_result(&c[i], SOON));
}

/* What its thread waits for comes, though another one is idle. */
TEST_F(spill_over, who_waits_for_several_events_gets_them)
{
	struct client c[2];
	unsigned int i;

	self->own->min_complete = 2;
	ALL_START();
	for (i = 0; i < 2; i++) {
		c[i] = BEGIN(READ);
		ASSERT_TRUE(WAIT_FOR(SOON, unread(&self->p, self->own) == i + 1 ||
				     self->own->taken));
	}
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, client_result(&c[i], SOON));
	EXPECT_EQ(2, self->own->taken);
	EXPECT_EQ(0, diverted(&self->p));
}

/* An event that is not taken at once had better stay where it belongs. */
TEST_F(spill_over, who_waits_for_several_events_is_not_idle)
{
	struct extpager_event ev;
	struct client c[2];
	unsigned int i;

	self->next->min_complete = 2;
	ASSERT_TRUE(servant_starts(self->next, &self->thread[self->next->queue]));
	for (i = 0; i < 2; i++) {
		c[i] = BEGIN(READ);
		ASSERT_TRUE(WAIT_FOR(SOON, unread(&self->p, self->own) == i + 1));
	}
	EXPECT_EQ(0, diverted(&self->p));
	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(pager_event_on(&self->p, self->own->queue, &ev));
		ASSERT_TRUE(answer(&self->p, self->own->queue, &ev));
		EXPECT_EQ(0, client_result(&c[i], SOON));
	}
}

TEST_HARNESS_MAIN
