// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an administrator sees from outside: tracepoints follow every request
 * from its birth to its end, and counters count what happened, no less, no more.
 *
 * On one CPU: tracepoints patch the running kernel's code, which an emulator with
 * several does not always see in time (an int3 oops).
 */
/* vm: smp=1 swap=64M */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/stats.h"

#define NAME		"observed"
#define QUOTA		(256UL << 10)
#define QUOTA_PAGES	(QUOTA / PAGE)
#define BYTES		(2 * MIB)
#define ENTRIES		4		/* soon full */

/* ---- clients ---- */

struct access {
	int fd;
	unsigned int first, pages, step;	/* step: of prefetches */
};

/* Each page asked for by itself; 0 or errno. */
static int read_pages(void *arg)
{
	struct access *a = arg;
	unsigned int i;
	char page[PAGE];

	posix_fadvise(a->fd, 0, 0, POSIX_FADV_RANDOM);
	for (i = 0; i < a->pages; i++)
		if (pread(a->fd, page, PAGE, (a->first + i) * PAGE) != (ssize_t)PAGE)
			return errno;
	return 0;
}

/* Asks for pages that nobody waits for; as a client, since it is not the pager's to do. */
static int prefetch_pages(void *arg)
{
	struct access *a = arg;
	unsigned int i;

	for (i = 0; i < a->pages; i++)
		if (prefetch(a->fd, a->first + i * a->step, 1))
			return 1;
	return 0;
}

static int write_some(void *arg)
{
	struct access *a = arg;

	return write_pages(&(struct io){ a->fd, a->first * PAGE, a->pages * PAGE, 7 });
}

static int sync_file(void *arg)
{
	return fsync(*(int *)arg) ? errno : 0;
}

static int punch(void *arg)
{
	struct access *a = arg;

	return fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, a->first * PAGE,
			 a->pages * PAGE) ? errno : 0;
}

/*
 * ---- a target with its pager, READY; write-back only when somebody asks for it ----
 * Nothing is spilled: whether a slow machine's pager seems stuck is a matter of luck.
 */

FIXTURE(observe)
{
	struct pager p;
	uint64_t object;
	uint32_t generation;
	int fd;
	long interval;
};

FIXTURE_SETUP(observe)
{
	struct target_options o = { .bytes = BYTES, .quota = QUOTA, .no_spill = true };
	struct extpager_event ev;

	self->interval = writeback_interval(AN_HOUR);
	ASSERT_LT(0, self->interval);
	ASSERT_TRUE(target_gone(NAME));
	ASSERT_EQ(0, target_add(NAME, &o));
	ASSERT_EQ(0, pager_open(&self->p, 1, ENTRIES));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, &self->object, NULL));
	self->fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
	self->generation = ev.generation;
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
}

FIXTURE_TEARDOWN(observe)
{
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_TRUE(target_gone(NAME));
	pager_close(&self->p);
	EXPECT_EQ(AN_HOUR, writeback_interval(self->interval));
}

/* The pager's next event, which is an @op; for a client that waits for what comes of it. */
#define NEXT(what)									\
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_##what, &ev, SOON)) {		\
		TH_LOG("no %s, but %u", #what, ev.op);					\
	}

/* ---- tracepoints ---- */

#define TRACING "/sys/kernel/tracing/"

static bool trace_begin(void)
{
	/* Opening it for writing empties the buffer. */
	return write_file(TRACING "trace", "\n") && write_file(TRACING "events/extpager/enable", "1");
}

static bool trace_end(void)
{
	return write_file(TRACING "events/extpager/enable", "0");
}

/*
 * What became of the request @tag, as "FREE->NEW NEW->PENDING ...", in the order
 * of the trace; @op: all of it must be told of that.
 */
static void transitions(uint64_t tag, const char *op, char *text, size_t room)
{
	FILE *trace = fopen(TRACING "trace", "r");
	char line[1024], want[64], *at;
	char name[32], change[64];
	size_t len = 0;

	text[0] = 0;
	snprintf(want, sizeof(want), " tag=%#" PRIx64 " ", tag);
	while (trace && fgets(line, sizeof(line), trace)) {
		at = strstr(line, "extpager_request:");
		at = at ? strstr(at, want) : NULL;
		if (!at)
			continue;
		if (sscanf(at + strlen(want), "op=%31s flags=%*s index=%*u nr=%*u %63s", name,
			   change) != 2 || strcmp(name, op))
			snprintf(change, sizeof(change), "(%.40s?)", at + strlen(want));
		len += snprintf(text + len, len < room ? room - len : 0, "%s%s", len ? " " : "",
				change);
	}
	if (trace)
		fclose(trace);
}

/* The fate of accesses to a page at the gate, as "access/result ...". */
static void waits(uint64_t object, uint64_t index, char *text, size_t room)
{
	FILE *trace = fopen(TRACING "trace", "r");
	char line[1024], want[96], *at;
	unsigned int access;
	size_t len = 0;
	int result;

	text[0] = 0;
	snprintf(want, sizeof(want), "extpager_gate: object=%#" PRIx64 " index=%" PRIu64 " ",
		 object, index);
	while (trace && fgets(line, sizeof(line), trace)) {
		at = strstr(line, want);
		if (at && sscanf(at + strlen(want), "access=%x result=%d", &access, &result) == 2)
			len += snprintf(text + len, len < room ? room - len : 0, "%s%u/%d",
					len ? " " : "", access, result);
	}
	if (trace)
		fclose(trace);
}

#define WHOLE_LIFE "FREE->NEW NEW->PENDING PENDING->ENDED ENDED->FREE"

#define EXPECT_LIFE(want, ev, op) do {							\
	char life[512];									\
											\
	transitions((ev).tag, op, life, sizeof(life));					\
	EXPECT_STREQ(want, life);							\
} while (0)

TEST_F(observe, a_page_in_and_a_page_out_are_traced_from_birth_to_end)
{
	struct extpager_event ev, request, ret, sync;
	struct access a = { self->fd, 5, 1, 1 };
	char fate[128];
	struct client c;

	PARTIAL(115);
	ASSERT_TRUE(trace_begin());
	c = client_start(read_pages, &a);
	NEXT(DATA_REQUEST);
	request = ev;
	/* It stands, and is told as far as it came. */
	EXPECT_LIFE("FREE->NEW NEW->PENDING", request, "DATA_REQUEST");
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	ASSERT_EQ(0, client_result(&c, SOON));

	c = client_start(write_some, &a);
	ASSERT_EQ(0, client_result(&c, SOON));
	c = client_start(sync_file, &self->fd);
	NEXT(DATA_RETURN);
	ret = ev;
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	NEXT(SYNC);
	sync = ev;
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	ASSERT_EQ(0, client_result(&c, SOON));
	ASSERT_TRUE(trace_end());

	EXPECT_LIFE(WHOLE_LIFE, request, "DATA_REQUEST");
	EXPECT_LIFE(WHOLE_LIFE, ret, "DATA_RETURN");
	EXPECT_LIFE(WHOLE_LIFE, sync, "SYNC");
	waits(self->object, 5, fate, sizeof(fate));
	EXPECT_STREQ("1/0", fate);
}

TEST_F(observe, what_a_lost_pager_left_is_traced_through_parking)
{
	struct access a = { self->fd, 5, 1, 1 };
	struct extpager_event ev, request;
	struct client c;

	PARTIAL(115);
	ASSERT_TRUE(trace_begin());
	c = client_start(prefetch_pages, &a);
	ASSERT_EQ(0, client_result(&c, SOON));
	NEXT(DATA_REQUEST);
	request = ev;
	ASSERT_EQ(0, pager_detach(&self->p, self->object));
	EXPECT_LIFE("FREE->NEW NEW->PENDING PENDING->PARKED", request, "DATA_REQUEST");
	ASSERT_EQ(0, pager_attach(&self->p, NAME, NULL, NULL));
	NEXT(INIT);
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	NEXT(DATA_REQUEST);
	EXPECT_NE(request.tag, ev.tag);
	EXPECT_TRUE(ev.flags & EXTPAGER_EVF_RESENT);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	/* The record goes when it was asked for again. */
	c = client_start(read_pages, &a);
	ASSERT_EQ(0, client_result(&c, SOON));
	ASSERT_TRUE(target_gone(NAME));
	ASSERT_TRUE(trace_end());
	EXPECT_LIFE("FREE->NEW NEW->PENDING PENDING->PARKED PARKED->ENDED ENDED->FREE", request,
		    "DATA_REQUEST");
	EXPECT_LIFE(WHOLE_LIFE, ev, "DATA_REQUEST");
}

/* A fault waits without its lock, and comes again when the page is here. */
static int touch_page(void *arg)
{
	struct access *a = arg;
	volatile uint8_t *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);

	if (map == MAP_FAILED || madvise((void *)map, BYTES, MADV_RANDOM))
		return 1;
	map[a->first * PAGE] = 1;
	return 0;
}

TEST_F(observe, an_access_and_its_error_are_traced_at_the_gate)
{
	struct access a = { self->fd, 9, 1, 1 };
	struct extpager_event ev;
	char fate[128];
	struct client c;

	PARTIAL(115);
	ASSERT_TRUE(trace_begin());
	c = client_start(touch_page, &a);
	NEXT(DATA_REQUEST);
	ASSERT_EQ(0, pager_error(&self->p, &ev, ev.offset, ev.length, EDQUOT));
	EXPECT_EQ(CLIENT_SIGBUS, client_result(&c, SOON));
	c = client_start(read_pages, &a);
	NEXT(DATA_REQUEST);
	ASSERT_EQ(0, pager_error(&self->p, &ev, ev.offset, ev.length, EBADMSG));
	EXPECT_EQ(EBADMSG, client_result(&c, SOON));
	ASSERT_TRUE(trace_end());
	waits(self->object, 9, fate, sizeof(fate));
	/* The fault, its second try that only learns of it, the read. */
	snprintf(fate + strlen(fate), sizeof(fate) - strlen(fate), " ");
	EXPECT_STREQ("2/-122 2/-122 1/-74 ", fate);
}

/* In each way: read(2), a touch and a store through a mapping. */
static int use_page(void *arg)
{
	struct access *a = arg;
	volatile uint8_t *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, a->fd, 0);

	if (map == MAP_FAILED || read_pages(a))
		return 1;
	(void)map[a->first * PAGE];
	return touch_page(a);
}

/* Whoever finds the page pays nothing for the others' waits. */
TEST_F(observe, a_page_that_is_here_does_not_meet_the_gate)
{
	struct access a = { self->fd, 5, 1, 1 };
	struct extpager_event ev;
	char fate[128];
	struct client c;

	PARTIAL(115);
	ASSERT_TRUE(trace_begin());
	c = client_start(read_pages, &a);
	NEXT(DATA_REQUEST);
	ASSERT_TRUE(WAIT_FOR(SOON, target_stat(NAME, EXTPAGER_A_STATS_GATE_WAITS) == 1));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	ASSERT_EQ(0, client_result(&c, SOON));
	c = client_start(use_page, &a);
	EXPECT_EQ(0, client_result(&c, SOON));
	ASSERT_TRUE(trace_end());
	/* The first read alone. */
	waits(self->object, 5, fate, sizeof(fate));
	EXPECT_STREQ("1/0", fate);
	EXPECT_EQ(1, target_stat(NAME, EXTPAGER_A_STATS_GATE_WAITS));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_QUOTA_WAITS));
}

/* ---- counters ---- */

static bool stats_are(const char *target, uint32_t port, const uint64_t *want, uint64_t *is)
{
	return stats_get(target, port, is) && !memcmp(is, want, STATS * sizeof(*is));
}

/*
 * All the counters: some are raised a moment after what they count was told,
 * so they are waited for. One that is wrong stays so.
 */
#define EXPECT_STATS(target, port, want) do {						\
	uint64_t is_[STATS];								\
	unsigned int i_;								\
											\
	if (!WAIT_FOR(2000, stats_are(target, port, want, is_))) {			\
		ASSERT_TRUE(stats_get(target, port, is_));				\
		for (i_ = EXTPAGER_A_STATS_INITS; i_ < STATS; i_++)			\
			EXPECT_EQ((want)[i_], is_[i_]) {				\
				TH_LOG("%s", stat_name(i_));				\
			}								\
	}										\
} while (0)

static bool set_page_in_ms(unsigned int ms)
{
	struct extpager_target t = { .size = sizeof(t), .set = EXTPAGER_SET_PAGE_IN,
				     .page_in_ms = ms };
	struct extpager_ctl *c;
	bool ok;

	strcpy(t.name, NAME);
	if (extpager_ctl_open(&c))
		return false;
	ok = !extpager_target_set(c, &t);
	extpager_ctl_close(c);
	return ok;
}

/* Counters by what was traced of @object; what cannot be told from it stays 0. */
static void count_trace(uint64_t object, uint64_t *told)
{
	static const struct {
		const char *op;
		unsigned int sent, failed;
	} ops[] = {
		{ "INIT", EXTPAGER_A_STATS_INITS, 0 },
		/* Its pages' errors end it well: they are told at the gate. */
		{ "DATA_REQUEST", EXTPAGER_A_STATS_DATA_REQUESTS, EXTPAGER_A_STATS_TIMEOUTS },
		{ "DATA_RETURN", EXTPAGER_A_STATS_DATA_RETURNS, EXTPAGER_A_STATS_RETURNS_FAILED },
		{ "SYNC", EXTPAGER_A_STATS_SYNCS, EXTPAGER_A_STATS_SYNCS_FAILED },
		{ "TERMINATE", EXTPAGER_A_STATS_TERMINATES, 0 },
	};
	FILE *trace = fopen(TRACING "trace", "r");
	char line[1024], want[64], op[32], change[64], *at;
	unsigned int flags, nr, i;
	int error;

	memset(told, 0, STATS * sizeof(*told));
	snprintf(want, sizeof(want), ": object=%#" PRIx64 " ", object);
	while (trace && fgets(line, sizeof(line), trace)) {
		at = strstr(line, want);
		if (!at)
			continue;
		*at = 0;
		at += strlen(want);
		if (strstr(line, "extpager_slow")) {
			told[EXTPAGER_A_STATS_WARNINGS]++;
		} else if (strstr(line, "extpager_gate") &&
			   sscanf(at, "index=%*u access=%*x result=%d", &error) == 1) {
			told[EXTPAGER_A_STATS_PAGES_FAILED] += error != 0;
		} else if (strstr(line, "extpager_spill") &&
			   sscanf(at, "index=%*u nr=%u %63s error=%d", &nr, change, &error) == 3) {
			told[EXTPAGER_A_STATS_PAGES_SPILLED] += strcmp(change, "spilled") ? 0 : nr;
			told[EXTPAGER_A_STATS_PAGES_UNSPILLED] +=
				strcmp(change, "unspilled") ? 0 : nr;
			/* That nothing was tried counts, too. */
			told[EXTPAGER_A_STATS_SPILLS_FAILED] += error != 0;
		} else if (strstr(line, "extpager_request") &&
			   sscanf(at, "tag=%*x op=%31s flags=%x index=%*u nr=%u %63s error=%d", op,
				  &flags, &nr, change, &error) == 5) {
			for (i = 0; i < ARRAY_SIZE(ops) - 1 && strcmp(op, ops[i].op); i++)
				;
			if (strstr(change, "->PENDING")) {
				told[ops[i].sent]++;
				told[EXTPAGER_A_STATS_RESENT] += !!(flags & EXTPAGER_EVF_RESENT);
				told[EXTPAGER_A_STATS_PAGES_REQUESTED] +=
					strcmp(op, "DATA_REQUEST") ? 0 : nr;
			} else if (!strcmp(change, "PENDING->ENDED")) {
				told[ops[i].failed] += error != 0;
				told[EXTPAGER_A_STATS_PAGES_COPIED] +=
					error || strcmp(op, "DATA_REQUEST") ? 0 : nr;
				told[EXTPAGER_A_STATS_PAGES_RETURNED] +=
					error || strcmp(op, "DATA_RETURN") ? 0 : nr;
			}
		}
	}
	if (trace)
		fclose(trace);
	/* Whoever came too late learns of it there as well. */
	told[EXTPAGER_A_STATS_PAGES_FAILED] -= told[EXTPAGER_A_STATS_TIMEOUTS];
	told[0] = 0;
}

/* Those of @counted that are traced; of answers it is not told by what. */
#define EXPECT_TRACED(object, counted) do {						\
	static const unsigned int traced_[] = {						\
		EXTPAGER_A_STATS_INITS, EXTPAGER_A_STATS_DATA_REQUESTS,			\
		EXTPAGER_A_STATS_PAGES_REQUESTED, EXTPAGER_A_STATS_PAGES_FAILED,	\
		EXTPAGER_A_STATS_DATA_RETURNS, EXTPAGER_A_STATS_PAGES_RETURNED,		\
		EXTPAGER_A_STATS_RETURNS_FAILED, EXTPAGER_A_STATS_SYNCS,		\
		EXTPAGER_A_STATS_SYNCS_FAILED, EXTPAGER_A_STATS_TERMINATES,		\
		EXTPAGER_A_STATS_RESENT, EXTPAGER_A_STATS_TIMEOUTS,			\
		EXTPAGER_A_STATS_PAGES_SPILLED, EXTPAGER_A_STATS_PAGES_UNSPILLED,	\
		EXTPAGER_A_STATS_SPILLS_FAILED, EXTPAGER_A_STATS_WARNINGS,		\
	};										\
	uint64_t told_[STATS];								\
	unsigned int i_;								\
											\
	count_trace(object, told_);							\
	for (i_ = 0; i_ < ARRAY_SIZE(traced_); i_++)					\
		EXPECT_EQ(told_[traced_[i_]], (counted)[traced_[i_]]) {			\
			TH_LOG("%s", stat_name(traced_[i_]));				\
		}									\
	EXPECT_EQ(told_[EXTPAGER_A_STATS_PAGES_COPIED],					\
		  (counted)[EXTPAGER_A_STATS_PAGES_COPIED] +				\
		  (counted)[EXTPAGER_A_STATS_PAGES_ZEROED] +				\
		  (counted)[EXTPAGER_A_STATS_PAGES_READ] +				\
		  (counted)[EXTPAGER_A_STATS_PAGES_FAILED]);				\
} while (0)

#define WAITS_AT_THE_GATE(n) \
	ASSERT_TRUE(WAIT_FOR(SOON, target_stat(NAME, EXTPAGER_A_STATS_GATE_WAITS) == (n)))
#define COUNT(what, n) (want[EXTPAGER_A_STATS_##what] += (n))
#define CLIENT(fn, arg) (c = client_start(fn, arg))
#define ENDS(result) ASSERT_EQ(result, client_result(&c, SOON))

#define JOINED		12		/* a page */

TEST_F_TIMEOUT(observe, every_counter_counts_a_known_sequence, 120)
{
	uint64_t want[STATS] = { }, bad = 0;
	struct extpager_port_info info;
	struct extpager_event ev;
	struct extpager_reply re;
	struct access a;
	struct extpager_event held[QUOTA_PAGES + 1];
	unsigned int i, pages, nr_held = 0;
	uint64_t end;
	int result;
	struct client c, joins[2];
	char fate[128];
	uint32_t done;

	PARTIAL(115);
	BEHAVIOURS(109);
	/* The fixture's. */
	COUNT(INITS, 1);
	EXPECT_STATS(NAME, 0, want);
	ASSERT_TRUE(trace_begin());

	/* A page of each kind of answer: a copy, zeros, an error. */
	a = (struct access){ self->fd, 0, 3, 1 };
	CLIENT(read_pages, &a);
	/* Who is answered before it waits does not wait. */
	WAITS_AT_THE_GATE(1);
	NEXT(DATA_REQUEST);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	WAITS_AT_THE_GATE(2);
	NEXT(DATA_REQUEST);
	ASSERT_EQ(0, pager_supply_zero(&self->p, &ev));
	WAITS_AT_THE_GATE(3);
	NEXT(DATA_REQUEST);
	ASSERT_EQ(0, pager_error(&self->p, &ev, ev.offset, ev.length, ENOSPC));
	ENDS(ENOSPC);
	COUNT(DATA_REQUESTS, 3);
	COUNT(PAGES_REQUESTED, 3);
	COUNT(GATE_WAITS, 3);
	COUNT(PAGES_COPIED, 1);
	COUNT(PAGES_ZEROED, 1);
	COUNT(PAGES_FAILED, 1);
	EXPECT_STATS(NAME, 0, want);

	/* Three want one page: the first one asks, the others join it. */
	a = (struct access){ self->fd, JOINED, 1, 1 };
	CLIENT(read_pages, &a);
	WAITS_AT_THE_GATE(4);
	for (i = 0; i < ARRAY_SIZE(joins); i++)
		joins[i] = client_start(read_pages, &a);
	WAITS_AT_THE_GATE(6);
	NEXT(DATA_REQUEST);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	ENDS(0);
	for (i = 0; i < ARRAY_SIZE(joins); i++)
		ASSERT_EQ(0, client_result(&joins[i], SOON));
	COUNT(DATA_REQUESTS, 1);
	COUNT(PAGES_REQUESTED, 1);
	COUNT(PAGES_COPIED, 1);
	COUNT(GATE_WAITS, 3);
	COUNT(OVERLAPS, 2);
	EXPECT_STATS(NAME, 0, want);

	/* Three pages pushed; the second time they are there, which is refused. */
	ASSERT_EQ(0, pager_push(&self->p, self->object, self->generation, 7, 4 * PAGE, 3 * PAGE,
				&done));
	ASSERT_EQ(-EEXIST, pager_push(&self->p, self->object, self->generation, 7, 4 * PAGE,
				      3 * PAGE, &done));
	/* Another that overlaps them installs one. */
	ASSERT_EQ(0, pager_push(&self->p, self->object, self->generation, 7, 6 * PAGE, 2 * PAGE,
				&done));
	COUNT(PAGES_PUSHED, 4);
	COUNT(BAD_REPLIES, 1);
	bad++;
	EXPECT_STATS(NAME, 0, want);

	/* A return that fails once, then a barrier that does. */
	a = (struct access){ self->fd, 0, 2, 1 };
	CLIENT(write_some, &a);
	ENDS(0);
	CLIENT(sync_file, &self->fd);
	NEXT(DATA_RETURN);
	ASSERT_EQ(2 * PAGE, ev.length);
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, EIO));
	ENDS(EIO);
	COUNT(DATA_RETURNS, 1);
	COUNT(RETURNS_FAILED, 1);
	EXPECT_STATS(NAME, 0, want);
	CLIENT(sync_file, &self->fd);
	NEXT(DATA_RETURN);
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	NEXT(SYNC);
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, EIO));
	ENDS(EIO);
	COUNT(DATA_RETURNS, 1);
	COUNT(PAGES_RETURNED, 2);
	COUNT(SYNCS, 1);
	COUNT(SYNCS_FAILED, 1);
	EXPECT_STATS(NAME, 0, want);

	/* A hole of two pages is a return, too. */
	a = (struct access){ self->fd, 4, 2, 1 };
	CLIENT(punch, &a);
	NEXT(DATA_RETURN);
	ASSERT_EQ(EXTPAGER_EVF_ZERO, ev.flags);
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	ENDS(0);
	CLIENT(sync_file, &self->fd);
	NEXT(SYNC);
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	ENDS(0);
	COUNT(DATA_RETURNS, 1);
	COUNT(PAGES_RETURNED, 2);
	COUNT(SYNCS, 1);
	EXPECT_STATS(NAME, 0, want);

	/* More requests than the ring has entries; answers that are forged. */
	a = (struct access){ self->fd, 100, ENTRIES + 3, 2 };
	CLIENT(prefetch_pages, &a);
	ENDS(0);
	COUNT(DATA_REQUESTS, ENTRIES + 3);
	COUNT(PAGES_REQUESTED, ENTRIES + 3);
	COUNT(BACKLOGGED, 3);
	EXPECT_STATS(NAME, 0, want);
	ASSERT_TRUE(port_info(self->p.setup.out_port, &info));
	EXPECT_EQ(3, info.queue[0].backlog);
	for (i = 0; i < ENTRIES + 3; i++) {
		NEXT(DATA_REQUEST);
		ASSERT_EQ(0, pager_supply_zero(&self->p, &ev));
		ASSERT_EQ(-ENOENT, pager_supply_zero(&self->p, &ev));
		bad++;
	}
	COUNT(PAGES_ZEROED, ENTRIES + 3);
	COUNT(BAD_REPLIES, ENTRIES + 3);
	EXPECT_STATS(NAME, 0, want);
	/* Of an object that is none the queue alone can tell. */
	re = reply_to(&ev, EXTPAGER_RE_RETURN_DONE);
	re.object = 0;
	ASSERT_EQ(-ENOENT, pager_reply(&self->p, &re));
	bad++;
	EXPECT_STATS(NAME, 0, want);

	/*
	 * A writer that fills the quota waits for it once. While pages go from
	 * dirty to write-back their number is not exact: it may wait before it
	 * is full as well, and the last page may get in with the others.
	 */
	a = (struct access){ self->fd, 200, QUOTA_PAGES + 1, 1 };
	CLIENT(write_some, &a);
	/* Taken at once, lest the ring be full, and answered when it waits. */
	for (end = now_ms() + SOON; !target_stat(NAME, EXTPAGER_A_STATS_QUOTA_WAITS);) {
		ASSERT_GT(end, now_ms());
		nr_held += pager_event(&self->p, &held[nr_held], 1);
		ASSERT_GT(ARRAY_SIZE(held), nr_held);
	}
	/* Of what is written after such a wait nothing may come by itself. */
	for (pages = 0; (result = client_result(&c, 0)) == CLIENT_RUNNING;) {
		if (nr_held)
			ev = held[--nr_held];
		else if (!pager_event(&self->p, &ev, 10))
			continue;
		ASSERT_EQ(EXTPAGER_EV_DATA_RETURN, ev.op);
		ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
		COUNT(DATA_RETURNS, 1);
		pages += ev.length / PAGE;
	}
	ASSERT_EQ(0, result);
	COUNT(QUOTA_WAITS, target_stat(NAME, EXTPAGER_A_STATS_QUOTA_WAITS) == 2 ? 2 : 1);
	CLIENT(sync_file, &self->fd);
	for (; pages < QUOTA_PAGES + 1; pages += ev.length / PAGE) {
		if (nr_held)
			ev = held[--nr_held];
		else
			NEXT(DATA_RETURN);
		ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
		COUNT(DATA_RETURNS, 1);
	}
	ASSERT_EQ(QUOTA_PAGES + 1, pages);
	NEXT(SYNC);
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	ENDS(0);
	COUNT(PAGES_RETURNED, QUOTA_PAGES + 1);
	COUNT(SYNCS, 1);
	EXPECT_STATS(NAME, 0, want);

	/* A deadline, and the answer that comes too late. */
	ASSERT_TRUE(set_page_in_ms(200));
	a = (struct access){ self->fd, 400, 1, 1 };
	CLIENT(read_pages, &a);
	NEXT(DATA_REQUEST);
	ENDS(EIO);
	ASSERT_EQ(-ENOENT, pager_supply(&self->p, &ev, 7));
	bad++;
	ASSERT_TRUE(set_page_in_ms(30000));
	COUNT(DATA_REQUESTS, 1);
	COUNT(PAGES_REQUESTED, 1);
	COUNT(GATE_WAITS, 1);
	COUNT(WARNINGS, 1);
	COUNT(TIMEOUTS, 1);
	COUNT(BAD_REPLIES, 1);
	EXPECT_STATS(NAME, 0, want);

	/* A pager that goes, and the next one. */
	a = (struct access){ self->fd, 410, 1, 1 };
	CLIENT(prefetch_pages, &a);
	ENDS(0);
	NEXT(DATA_REQUEST);
	ASSERT_EQ(0, pager_detach(&self->p, self->object));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, NULL, NULL));
	NEXT(INIT);
	ASSERT_EQ(EXTPAGER_EVF_RESENT, ev.flags);
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
	NEXT(DATA_REQUEST);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	COUNT(ORPHANED, 1);
	COUNT(INITS, 1);
	COUNT(DATA_REQUESTS, 2);
	COUNT(PAGES_REQUESTED, 2);
	COUNT(PAGES_COPIED, 1);
	COUNT(RESENT, 2);
	EXPECT_STATS(NAME, 0, want);

	/* Nobody uses it, and nothing is to be kept. */
	close(self->fd);
	self->fd = -1;
	NEXT(TERMINATE);
	COUNT(TERMINATES, 1);
	EXPECT_STATS(NAME, 0, want);
	ASSERT_TRUE(trace_end());
	waits(self->object, JOINED, fate, sizeof(fate));
	EXPECT_STREQ("1/0 1/0 1/0", fate);
	/* All but the fixture's. */
	want[EXTPAGER_A_STATS_INITS]--;
	EXPECT_TRACED(self->object, want);

	/* The queue has taken and posted what this pager wrote and read. */
	ASSERT_TRUE(pager_silent(&self->p, QUIET));
	ASSERT_TRUE(port_info(self->p.setup.out_port, &info));
	EXPECT_EQ(1, info.nr_queues);
	EXPECT_EQ(1, info.targets);
	EXPECT_EQ(0, info.objects);
	EXPECT_EQ(0, info.queue[0].index);
	EXPECT_EQ(ENTRIES, info.queue[0].entries);
	EXPECT_EQ(0, info.queue[0].backlog);
	EXPECT_EQ(self->p.queue[0].event_head, info.queue[0].events);
	EXPECT_EQ(self->p.queue[0].reply_tail, info.queue[0].replies);
	EXPECT_EQ(bad, info.queue[0].bad_replies);
	EXPECT_EQ(bad, self->p.queue[0].kernel->bad_replies);
}

/* Pages that the spill has room for, that are read from it, and that it refuses. */
#define SPILLED		24
#define READ		5
#define REFUSED		4
#define RESIDENT	"/sys/fs/extpager/" NAME "/resident"

TEST_F_TIMEOUT(observe, what_the_spill_takes_gives_and_refuses_is_counted, 120)
{
	/* Only a pager that is gone has pages spilled, not one that is slow. */
	struct target_options o = { .policy = "spill", .spill_limit = SPILLED * PAGE,
				    .return_action = EXTPAGER_ACTION_ERROR };
	uint64_t want[STATS] = { }, refused;
	struct extpager_event ev;
	unsigned int pages;
	struct access a;
	struct client c;

	PARTIAL(115);
	ASSERT_EQ(0, target_set(NAME, &o));
	ASSERT_TRUE(trace_begin());
	a = (struct access){ self->fd, 0, SPILLED + REFUSED, 1 };
	CLIENT(write_some, &a);
	ENDS(0);
	COUNT(INITS, 1);
	EXPECT_STATS(NAME, 0, want);
	ASSERT_EQ(0, pager_detach(&self->p, self->object));
	ASSERT_TRUE(WAIT_FOR(SOON, target_spilled(NAME) == SPILLED * PAGE &&
				   target_spill_full(NAME)));
	EXPECT_EQ(SPILLED, target_stat(NAME, EXTPAGER_A_STATS_PAGES_SPILLED));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_PAGES_UNSPILLED));
	/* Each is read from there once: for an access, or to be returned. */
	ASSERT_TRUE(WAIT_FOR(SOON, (drop_caches(), read_number(RESIDENT, NULL) ==
						   (long)(REFUSED * PAGE))));
	a = (struct access){ self->fd, 2, READ, 1 };
	CLIENT(read_pages, &a);
	ENDS(0);
	EXPECT_EQ(READ, target_stat(NAME, EXTPAGER_A_STATS_PAGES_UNSPILLED));

	ASSERT_EQ(0, pager_attach(&self->p, NAME, NULL, NULL));
	NEXT(INIT);
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	for (pages = 0; pages < SPILLED; pages += ev.length / PAGE) {
		NEXT(DATA_RETURN);
		ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
		COUNT(DATA_RETURNS, 1);
	}
	EXPECT_EQ(SPILLED, pages);
	CLIENT(sync_file, &self->fd);
	NEXT(DATA_RETURN);
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	NEXT(SYNC);
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	ENDS(0);
	ASSERT_TRUE(trace_end());
	/* It is tried each second, as long as the pager is gone. */
	refused = target_stat(NAME, EXTPAGER_A_STATS_SPILLS_FAILED);
	EXPECT_LE(REFUSED, refused);
	COUNT(ORPHANED, 1);
	COUNT(INITS, 1);
	COUNT(RESENT, 1);
	COUNT(PAGES_SPILLED, SPILLED);
	COUNT(PAGES_UNSPILLED, SPILLED);
	COUNT(SPILLS_FAILED, refused);
	COUNT(DATA_RETURNS, 1);
	COUNT(PAGES_RETURNED, SPILLED + REFUSED);
	COUNT(SYNCS, 1);
	EXPECT_STATS(NAME, 0, want);
	want[EXTPAGER_A_STATS_INITS]--;
	EXPECT_TRACED(self->object, want);
}

/* ---- pages that the kernel moves by itself ---- */

#define BIOS	TRACING "events/block/block_bio_queue/enable"

/* Pages that a device was told to read or write, by its own tracepoint. */
static void count_bios(dev_t device, uint64_t *read, uint64_t *written)
{
	FILE *trace = fopen(TRACING "trace", "r");
	char line[1024], want[64], flags[16], *at;
	unsigned int sectors;

	*read = *written = 0;
	snprintf(want, sizeof(want), "block_bio_queue: %u,%u ", major(device), minor(device));
	while (trace && fgets(line, sizeof(line), trace)) {
		at = strstr(line, want);
		if (!at || sscanf(at + strlen(want), "%15s %*u + %u", flags, &sectors) != 2)
			continue;
		*(flags[0] == 'R' ? read : written) += sectors * 512 / PAGE;
	}
	if (trace)
		fclose(trace);
}

static unsigned int lines_traced(const char *text)
{
	FILE *trace = fopen(TRACING "trace", "r");
	unsigned int n = 0;
	char line[1024];

	while (trace && fgets(line, sizeof(line), trace))
		n += !!strstr(line, text);
	if (trace)
		fclose(trace);
	return n;
}

static int write_back(void *arg)
{
	return sync_file_range(*(int *)arg, 0, 0, SYNC_FILE_RANGE_WRITE |
						 SYNC_FILE_RANGE_WAIT_AFTER) ? errno : 0;
}

static bool none_is_here(int fd, unsigned int first, unsigned int pages)
{
	while (pages && !page_is_here(fd, first + pages - 1))
		pages--;
	return !pages;
}

#define SUPPLY(fn) do {									\
	NEXT(DATA_REQUEST);								\
	ASSERT_EQ(0, fn);								\
	COUNT(DATA_REQUESTS, 1);							\
	COUNT(PAGES_REQUESTED, 1);							\
	COUNT(GATE_WAITS, 1);								\
} while (0)
#define RETURN_PAGES(nr) do {								\
	unsigned int left_ = (nr);							\
											\
	for (; left_; left_ -= ev.length / PAGE) {					\
		NEXT(DATA_RETURN);							\
		ASSERT_GE(left_, ev.length / PAGE);					\
		ASSERT_EQ(0, pager_return_file(&self->p, &ev, file, AT));		\
		COUNT(DATA_RETURNS, 1);							\
	}										\
	COUNT(PAGES_RETURNED, nr);							\
	COUNT(PAGES_WRITTEN, nr);							\
	NEXT(SYNC);									\
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));				\
	COUNT(SYNCS, 1);								\
} while (0)

#define AT	(3 * MIB)	/* where the object begins on the disk */

TEST_F_TIMEOUT(observe, what_the_kernel_moves_is_counted, 120)
{
	struct target_options spill = { .policy = "spill", .spill_limit = 64 * PAGE,
					.return_action = EXTPAGER_ACTION_ERROR };
	struct extpager_range range = { .offset = 100 * PAGE, .length = 100 * PAGE,
					.pos = AT + 100 * PAGE };
	uint64_t want[STATS] = { }, read, written;
	struct client c, joins[2];
	struct extpager_event ev;
	struct access a;
	struct stat st;
	unsigned int i;
	int fd, file;

	BEHAVIOURS(115);
	ASSERT_TRUE(disk_ready());
	fd = open(DISK, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	ASSERT_TRUE(fill_pages(fd, AT, BYTES / PAGE, 7));
	file = pager_use(&self->p, fd);
	ASSERT_LT(0, file);
	COUNT(INITS, 1);
	EXPECT_STATS(NAME, 0, want);
	ASSERT_TRUE(trace_begin());
	ASSERT_TRUE(write_file(BIOS, "1"));

	/* Read from the device, copied, failed, and too late. */
	a = (struct access){ self->fd, 0, 8, 1 };
	CLIENT(read_pages, &a);
	for (i = 1; i <= 8; i++) {
		WAITS_AT_THE_GATE(i);
		if (i < 7)
			SUPPLY(pager_supply_file(&self->p, &ev, file, AT));
		else if (i == 7)
			SUPPLY(pager_supply(&self->p, &ev, 7));
		else
			SUPPLY(pager_error(&self->p, &ev, ev.offset, ev.length, ENOSPC));
	}
	ENDS(ENOSPC);
	COUNT(PAGES_READ, 6);
	COUNT(PAGES_COPIED, 1);
	COUNT(PAGES_FAILED, 1);
	EXPECT_STATS(NAME, 0, want);
	ASSERT_TRUE(set_page_in_ms(200));
	a = (struct access){ self->fd, 400, 1, 1 };
	CLIENT(read_pages, &a);
	ENDS(EIO);
	ASSERT_TRUE(set_page_in_ms(30000));
	SUPPLY(-(pager_supply_file(&self->p, &ev, file, AT) != -ENOENT));
	COUNT(WARNINGS, 1);
	COUNT(TIMEOUTS, 1);
	COUNT(BAD_REPLIES, 1);
	EXPECT_STATS(NAME, 0, want);

	/* Three want one page. */
	a = (struct access){ self->fd, JOINED, 1, 1 };
	CLIENT(read_pages, &a);
	WAITS_AT_THE_GATE(10);
	for (i = 0; i < ARRAY_SIZE(joins); i++)
		joins[i] = client_start(read_pages, &a);
	WAITS_AT_THE_GATE(12);
	SUPPLY(pager_supply_file(&self->p, &ev, file, AT));
	ENDS(0);
	for (i = 0; i < ARRAY_SIZE(joins); i++)
		ASSERT_EQ(0, client_result(&joins[i], SOON));
	COUNT(GATE_WAITS, 2);
	COUNT(OVERLAPS, 2);
	COUNT(PAGES_READ, 1);
	EXPECT_STATS(NAME, 0, want);

	/* Written to it, at once and out of the spill. */
	a = (struct access){ self->fd, 20, 7, 1 };
	CLIENT(write_some, &a);
	ENDS(0);
	CLIENT(sync_file, &self->fd);
	RETURN_PAGES(7);
	ENDS(0);
	EXPECT_STATS(NAME, 0, want);
	ASSERT_EQ(0, target_set(NAME, &spill));
	a = (struct access){ self->fd, 30, 3, 1 };
	CLIENT(write_some, &a);
	ENDS(0);
	ASSERT_EQ(0, pager_detach(&self->p, self->object));
	ASSERT_TRUE(WAIT_FOR(SOON, target_spilled(NAME) == 3 * PAGE));
	ASSERT_TRUE(WAIT_FOR(SOON, (drop_caches(), none_is_here(self->fd, 30, 3))));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, NULL, NULL));
	NEXT(INIT);
	range.file = file;
	self->generation = ev.generation;
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
	CLIENT(sync_file, &self->fd);
	RETURN_PAGES(3);
	ENDS(0);
	COUNT(ORPHANED, 1);
	COUNT(INITS, 1);
	COUNT(RESENT, 1);
	COUNT(PAGES_SPILLED, 3);
	COUNT(PAGES_UNSPILLED, 3);
	EXPECT_STATS(NAME, 0, want);
	want[EXTPAGER_A_STATS_INITS]--;
	EXPECT_TRACED(self->object, want);
	want[EXTPAGER_A_STATS_INITS]++;
	EXPECT_EQ(want[EXTPAGER_A_STATS_OVERLAPS],
		  lines_traced(" index=12 access=") -
		  lines_traced(" op=DATA_REQUEST flags=0x0 index=12 nr=1 NEW->PENDING"));

	/* Delegated, of which no event tells. */
	ASSERT_EQ(0, pager_delegate(&self->p, self->object, self->generation, 0, &range, 1));
	a = (struct access){ self->fd, 100, 9, 1 };
	CLIENT(read_pages, &a);
	ENDS(0);
	a = (struct access){ self->fd, 150, 5, 1 };
	CLIENT(write_some, &a);
	ENDS(0);
	CLIENT(write_back, &self->fd);
	ENDS(0);
	COUNT(PAGES_READ, 9);
	COUNT(PAGES_WRITTEN, 5);
	COUNT(PAGES_RETURNED, 5);
	EXPECT_STATS(NAME, 0, want);
	ASSERT_TRUE(write_file(BIOS, "0"));
	ASSERT_TRUE(trace_end());
	count_bios(st.st_rdev, &read, &written);
	EXPECT_EQ(want[EXTPAGER_A_STATS_PAGES_READ], read);
	EXPECT_EQ(want[EXTPAGER_A_STATS_PAGES_WRITTEN], written);
}

/* Two objects of one port, which share its counters; one goes with its pages. */
TEST_F(observe, only_the_pages_of_the_object_that_goes_are_counted_as_discarded)
{
	uint32_t port = self->p.setup.out_port;
	uint64_t want[STATS] = { }, object[2];
	struct access a[2] = { { .pages = 3 }, { .pages = 5 } };
	struct extpager_reply re = { .op = EXTPAGER_RE_DESTROY, .flags = EXTPAGER_REF_DISCARD };
	struct extpager_event ev;
	struct client c;
	unsigned int i;

	PARTIAL(8);
	for (i = 0; i < 2; i++) {
		a[i].fd = pager_create(&self->p, BYTES, 0, &object[i]);
		ASSERT_LE(0, a[i].fd);
		ASSERT_NE(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, a[i].fd, 0));
		NEXT(INIT);
		ASSERT_EQ(object[i], ev.object);
		ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
		CLIENT(write_some, &a[i]);
		ENDS(0);
	}
	COUNT(INITS, 2);
	EXPECT_STATS(NULL, port, want);
	re.object = object[0];
	re.generation = 1;
	ASSERT_EQ(0, pager_reply(&self->p, &re));
	NEXT(TERMINATE);
	ASSERT_EQ(object[0], ev.object);
	COUNT(TERMINATES, 1);
	COUNT(PAGES_DISCARDED, 3);
	EXPECT_STATS(NULL, port, want);

	/* Pages that the pager has in hand are given up as well. */
	CLIENT(sync_file, &a[1].fd);
	NEXT(DATA_RETURN);
	ASSERT_EQ(5 * PAGE, ev.length);
	re.object = object[1];
	ASSERT_EQ(0, pager_reply(&self->p, &re));
	NEXT(TERMINATE);
	EXPECT_NE(CLIENT_RUNNING, client_result(&c, SOON));
	COUNT(DATA_RETURNS, 1);
	COUNT(TERMINATES, 1);
	COUNT(PAGES_DISCARDED, 5);
	EXPECT_STATS(NULL, port, want);
	close(a[0].fd);
	close(a[1].fd);
}

/* The first pager of a port: so many objects with their INITs, and one answer that is bad. */
#define OBJECTS 5

static int serve_and_exit(void *arg)
{
	struct extpager_reply bad = { .op = EXTPAGER_RE_SYNC_DONE };
	struct pager p;
	unsigned int i;
	int fd;

	if (pager_open_fd(&p, *(int *)arg, 1, ENTRIES))
		return 1;
	for (i = 0; i < OBJECTS; i++) {
		fd = pager_create(&p, BYTES, 0, NULL);
		if (fd < 0 || mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ||
		    !object_ready(&p, NULL))
			return 2;
	}
	return pager_reply(&p, &bad) == -ENOENT ? 0 : 3;
}

/* What the pager has taken is all that the kernel has counted after its predecessor's. */
static bool counted_as_taken(struct pager *p, struct extpager_port_info *info)
{
	struct extpager_event ev;

	while (pager_event(p, &ev, QUIET))
		;
	return port_info(p->setup.out_port, info) &&
	       info->queue[0].events == OBJECTS + p->queue[0].event_head;
}

TEST(a_queues_counters_go_on_when_the_port_is_taken_over)
{
	int port = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
	struct extpager_port_info info;
	struct client c;
	struct pager p;

	PARTIAL(115);
	ASSERT_LE(0, port);
	CLIENT(serve_and_exit, &port);
	ENDS(0);
	ASSERT_EQ(0, pager_open_fd(&p, port, 1, ENTRIES));
	EXPECT_EQ(-ENOENT, pager_reply(&p, &(struct extpager_reply){ .op = EXTPAGER_RE_READY }));
	EXPECT_TRUE(WAIT_FOR(SOON, counted_as_taken(&p, &info)));
	EXPECT_TRUE(info.alive);
	EXPECT_EQ(OBJECTS, info.objects);
	/* The rings are new and their indexes with them, the counters are not. */
	EXPECT_EQ(1, p.queue[0].reply_tail);
	EXPECT_EQ(OBJECTS + 1 + 1, info.queue[0].replies);
	EXPECT_EQ(2, info.queue[0].bad_replies);
	EXPECT_EQ(2, p.queue[0].kernel->bad_replies);
	pager_close(&p);
}

TEST_HARNESS_MAIN
