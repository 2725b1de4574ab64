// SPDX-License-Identifier: GPL-2.0-only
/*
 * Histograms of latencies: each phase gets the time that was spent in it, once
 * for each request that the pager answered, and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/stats.h"

#define NAME	"timed"
#define BYTES	(2 * MIB)
#define ENTRIES	4		/* soon full */
/* What the pager lets pass, and what a machine that is busy may add. */
#define MS	1000000ULL
#define WHILE	60
#define BUSY	2000

FIXTURE(latency)
{
	struct pager p;
	uint64_t object;
	int fd;
};

FIXTURE_SETUP(latency)
{
	struct target_options o = { .bytes = BYTES };
	struct extpager_event ev;

	ASSERT_TRUE(target_gone(NAME));
	ASSERT_EQ(0, target_add(NAME, &o));
	ASSERT_EQ(0, pager_open(&self->p, 1, ENTRIES));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, &self->object, NULL));
	self->fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
}

FIXTURE_TEARDOWN(latency)
{
	close(self->fd);
	EXPECT_TRUE(target_gone(NAME));
	pager_close(&self->p);
}

struct access {
	int fd;
	unsigned int page;
};

static int read_one(void *arg)
{
	struct access *a = arg;
	char page[PAGE];

	posix_fadvise(a->fd, 0, 0, POSIX_FADV_RANDOM);
	return pread(a->fd, page, PAGE, a->page * PAGE) == (ssize_t)PAGE ? 0 : errno;
}

static int write_and_sync(void *arg)
{
	struct access *a = arg;
	int ret = write_pages(&(struct io){ a->fd, a->page * PAGE, PAGE, 7 });

	return ret ? ret : fsync(a->fd) ? errno : 0;
}

/* An event stands in the ring; looked at without a word to the kernel. */
static bool event_stands(struct pager *p)
{
	return __atomic_load_n(&p->queue[0].kernel->event_tail, __ATOMIC_ACQUIRE) !=
	       p->queue[0].event_head;
}

static void look(struct pager *p)
{
	poll(&(struct pollfd){ .fd = p->fd, .events = POLLIN }, 1, 0);
}

/* Poll while there is an event. */
#define LOOK() do {									\
	ASSERT_TRUE(WAIT_FOR(SOON, event_stands(&self->p)));				\
	look(&self->p);									\
} while (0)

static void let_pass(unsigned int ms)
{
	usleep(ms * 1000);
}

static uint64_t count(const char *request, const char *phase)
{
	struct extpager_latency l;

	return latency_get(NAME, request, phase, &l) ? l.count : ~0ULL;
}

/* The one time of a histogram that has but one is in the bucket that it belongs to. */
static bool one_is_in_its_bucket(const struct extpager_latency *l)
{
	uint64_t us = l->sum_ns / 1000;
	unsigned int i = 0;

	while (i + 1 < l->nr && us >= 1ULL << i)
		i++;
	return l->count == 1 && l->nr && l->bucket[i] == 1;
}

/* One time of so many ms, and a busy machine's more. */
#define EXPECT_ONE(request, phase, ms) do {						\
	struct extpager_latency l_;							\
											\
	ASSERT_TRUE(latency_get(NAME, request, phase, &l_));				\
	EXPECT_TRUE(one_is_in_its_bucket(&l_)) {					\
		TH_LOG("%s, %s: %llu, in all %llu ns", request, phase,			\
		       (long long)l_.count, (long long)l_.sum_ns);			\
	}										\
	EXPECT_LE((ms) * MS, l_.sum_ns) {						\
		TH_LOG("%s, %s", request, phase);					\
	}										\
	EXPECT_GT(((ms) + BUSY) * MS, l_.sum_ns) {					\
		TH_LOG("%s, %s", request, phase);					\
	}										\
} while (0)

#define EXPECT_COUNT(n, request, phase)							\
	EXPECT_EQ(n, count(request, phase)) {						\
		TH_LOG("%s, %s", request, phase);					\
	}

#define NEXT(what)	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_##what, &ev, SOON))

TEST_F(latency, each_phase_of_a_page_in_gets_its_time)
{
	struct access a = { self->fd, 5 };
	struct extpager_event ev;
	struct client c;
	uint64_t start, end;

	PARTIAL(115);
	EXPECT_ONE("handshake", "queued", 0);
	EXPECT_ONE("handshake", "pager", 0);
	EXPECT_COUNT(0, "page-in", "queued");
	start = now_ms();
	c = client_start(read_one, &a);
	ASSERT_TRUE(WAIT_FOR(SOON, event_stands(&self->p)));
	let_pass(WHILE);
	look(&self->p);
	let_pass(3 * WHILE);
	NEXT(DATA_REQUEST);
	/* Asked for, and in the pager: nothing is counted before the answer. */
	EXPECT_COUNT(0, "page-in", "queued");
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	ASSERT_EQ(0, client_result(&c, SOON));
	end = now_ms();
	EXPECT_ONE("page-in", "queued", WHILE);
	EXPECT_ONE("page-in", "pager", 3 * WHILE);
	EXPECT_ONE("page-in", "waking", 0);
	EXPECT_LE(4 * WHILE, end - start);
}

TEST_F(latency, a_pager_that_reads_the_ring_alone_has_the_event_when_it_answers)
{
	struct access a = { self->fd, 5 };
	struct extpager_event ev;
	struct client c;

	PARTIAL(115);
	c = client_start(read_one, &a);
	ASSERT_TRUE(WAIT_FOR(SOON, event_stands(&self->p)));
	ASSERT_TRUE(pager_event_on(&self->p, 0, &ev));
	let_pass(WHILE);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	ASSERT_EQ(0, client_result(&c, SOON));
	EXPECT_ONE("page-in", "queued", WHILE);
	EXPECT_ONE("page-in", "pager", 0);
}

/* ENTER, to submit what is about something else, comes back with the event in the ring. */
TEST_F(latency, an_event_is_the_pagers_when_enter_returns)
{
	struct access a = { self->fd, 5 };
	struct extpager_event ev;
	struct client c;

	PARTIAL(115);
	c = client_start(read_one, &a);
	ASSERT_TRUE(WAIT_FOR(SOON, event_stands(&self->p)));
	let_pass(WHILE);
	ASSERT_EQ(-ESTALE, pager_reply(&self->p, &(struct extpager_reply){
		.op = EXTPAGER_RE_READY, .object = self->object }));
	let_pass(2 * WHILE);
	ASSERT_TRUE(pager_event_on(&self->p, 0, &ev));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	ASSERT_EQ(0, client_result(&c, SOON));
	EXPECT_ONE("page-in", "queued", WHILE);
	EXPECT_ONE("page-in", "pager", 2 * WHILE);
}

TEST_F(latency, returns_and_barriers_have_histograms_of_their_own)
{
	struct access a = { self->fd, 5 };
	struct extpager_event ev;
	struct client c;

	PARTIAL(115);
	c = client_start(write_and_sync, &a);
	/* Read without a word to the kernel it would count as queued. */
	LOOK();
	NEXT(DATA_RETURN);
	let_pass(WHILE);
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	LOOK();
	NEXT(SYNC);
	let_pass(2 * WHILE);
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	ASSERT_EQ(0, client_result(&c, SOON));
	EXPECT_ONE("return", "queued", 0);
	EXPECT_ONE("return", "pager", WHILE);
	EXPECT_ONE("sync", "queued", 0);
	EXPECT_ONE("sync", "pager", 2 * WHILE);
	EXPECT_COUNT(0, "page-in", "queued");
	EXPECT_COUNT(0, "return", "waking");
}

#define WAITERS	5

/* Waiters count each, the request they share once; what nobody answered does not. */
TEST_F(latency, what_is_counted_is_answered)
{
	struct access a = { self->fd, 5 };
	struct client c[WAITERS], later;
	struct extpager_event ev, first;
	unsigned int i;

	PARTIAL(115);
	for (i = 0; i < WAITERS; i++)
		c[i] = client_start(read_one, &a);
	NEXT(DATA_REQUEST);
	ASSERT_TRUE(WAIT_FOR(SOON, target_stat(NAME, EXTPAGER_A_STATS_GATE_WAITS) == WAITERS));
	ASSERT_EQ(0, pager_error(&self->p, &ev, ev.offset, ev.length, ENOSPC));
	for (i = 0; i < WAITERS; i++)
		ASSERT_EQ(ENOSPC, client_result(&c[i], SOON));
	EXPECT_COUNT(1, "page-in", "queued");
	EXPECT_COUNT(1, "page-in", "pager");
	EXPECT_COUNT(WAITERS, "page-in", "waking");

	/* The pager goes with the event unread, and comes back: sent twice, answered once. */
	later = client_start(read_one, &a);
	ASSERT_TRUE(WAIT_FOR(SOON, event_stands(&self->p)));
	/* Who is answered before it waits does not wait. */
	ASSERT_TRUE(WAIT_FOR(SOON, target_stat(NAME, EXTPAGER_A_STATS_GATE_WAITS) == WAITERS + 1));
	ASSERT_EQ(0, pager_detach(&self->p, self->object));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, NULL, NULL));
	NEXT(DATA_REQUEST);
	first = ev;
	NEXT(INIT);
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	NEXT(DATA_REQUEST);
	/* Too late for the one, which is refused. */
	EXPECT_EQ(-ESTALE, pager_supply(&self->p, &first, 7));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	ASSERT_EQ(0, client_result(&later, SOON));
	EXPECT_COUNT(2, "page-in", "queued");
	EXPECT_COUNT(2, "page-in", "pager");
	EXPECT_COUNT(WAITERS + 1, "page-in", "waking");
	EXPECT_COUNT(2, "handshake", "pager");
}

/* More than the ring holds: those in the backlog are queued until they can be read. */
TEST_F(latency, what_finds_the_ring_full_stays_queued)
{
	struct client c[ENTRIES + 2];
	struct access a[ENTRIES + 2];
	struct extpager_latency l;
	struct extpager_event ev;
	unsigned int i;

	PARTIAL(115);
	for (i = 0; i < ENTRIES + 2; i++) {
		a[i] = (struct access){ self->fd, 10 * i };
		c[i] = client_start(read_one, &a[i]);
	}
	ASSERT_TRUE(WAIT_FOR(SOON, target_stat(NAME, EXTPAGER_A_STATS_BACKLOGGED) == 2));
	look(&self->p);
	let_pass(WHILE);
	for (i = 0; i < ENTRIES + 2; i++) {
		NEXT(DATA_REQUEST);
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	}
	for (i = 0; i < ENTRIES + 2; i++)
		ASSERT_EQ(0, client_result(&c[i], SOON));
	ASSERT_TRUE(latency_get(NAME, "page-in", "queued", &l));
	EXPECT_EQ(ENTRIES + 2, l.count);
	EXPECT_LE(2 * WHILE * MS, l.sum_ns);
	ASSERT_TRUE(latency_get(NAME, "page-in", "pager", &l));
	EXPECT_EQ(ENTRIES + 2, l.count);
	EXPECT_LE(ENTRIES * WHILE * MS, l.sum_ns);
}

TEST_HARNESS_MAIN
