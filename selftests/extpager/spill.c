// SPDX-License-Identifier: GPL-2.0-only
/*
 * The spill: what becomes of dirty pages that their pager does not take. The
 * test is the pager, and mostly a bad one; clients shall notice little of it,
 * and the store shall get every byte, once and in its newest version.
 */
/* vm: swap=512M timeout=400 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include <extpager.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/stamper.h"
#include "support/stats.h"
#include "support/worker.h"

#define NAME	"spill"
#define BYTES	(8 * MIB)
#define PAGES	(BYTES / PAGE)
#define QUOTA	MIB
/* Writers look at the same time, and counts of a CPU's own are rough. */
#define SLACK	(64 * PAGE)
#define WORKERS	3
/* How long is waited for what must not happen; longer than a stall takes to be seen. */
#define NEVER_MS 300
/* The runner's swap disk. */
#define SWAP	"/dev/vdb"

/* The version of a page that its pager was told is zeros. */
#define ZEROS	(STAMP_NONE - 1)

/* A deadline that is met on a slow kernel too, unless nobody cares. */
static unsigned int short_ms(void)
{
	return on_debug_kernel() ? 3000 : 500;
}

/* Far below every default deadline: what comes within it was not waited for. */
static unsigned int prompt(void)
{
	return on_debug_kernel() ? 15000 : 5000;
}

/* ---- the pager and its store ---- */

/* A page, as it was returned. */
struct returned {
	uint64_t index, version;
	uint32_t flags;
};

struct bench {
	struct pager p;
	uint64_t object;
	uint32_t generation;
	int fd;
	struct worker w[WORKERS];

	uint64_t version[PAGES];	/* that the store has of each page; 0 at first */
	unsigned int times[PAGES];	/* that it was returned, holes not counted */
	struct returned log[8 * PAGES];	/* in order */
	unsigned int nr_log;
	unsigned int requests;		/* DATA_REQUEST events */
	unsigned int pages_requested;
	unsigned int syncs;
	unsigned int zeroed;		/* pages of holes */
	unsigned int terminates;
	unsigned int refused;		/* replies */
};

static void serve_request(struct bench *b, const struct extpager_event *ev)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_SUPPLY);
	uint64_t first = ev->offset / PAGE, nr = ev->length / PAGE, i;

	b->requests++;
	b->pages_requested += nr;
	for (i = 0; i < nr; i++) {
		uint8_t *page = (uint8_t *)b->p.buffer + i * PAGE;

		if (b->version[first + i] == ZEROS)
			memset(page, 0, PAGE);
		else
			fill_page(page, b->version[first + i], first + i);
	}
	re.offset = ev->offset;
	re.length = ev->length;
	re.addr = (uintptr_t)b->p.buffer;
	b->refused += !!pager_reply(&b->p, &re);
}

/* The store gets what the event returns; false if it was withdrawn. */
static bool keep_return(struct bench *b, const struct extpager_event *ev)
{
	uint64_t first = ev->offset / PAGE, nr = ev->length / PAGE, i, version;
	bool zero = ev->flags & EXTPAGER_EVF_ZERO;

	if (!zero && pager_fetch(&b->p, ev, b->p.buffer)) {
		b->refused++;
		return false;
	}
	for (i = 0; i < nr; i++) {
		uint8_t *page = (uint8_t *)b->p.buffer + i * PAGE;

		version = zero || page_is_zero(page) ? ZEROS : page_stamp(page, first + i);
		b->version[first + i] = version;
		b->zeroed += zero;
		b->times[first + i] += !zero;
		if (b->nr_log < ARRAY_SIZE(b->log))
			b->log[b->nr_log++] = (struct returned){ first + i, version, ev->flags };
	}
	return true;
}

static void serve_event(struct bench *b, const struct extpager_event *ev)
{
	switch (ev->op) {
	case EXTPAGER_EV_INIT:
		b->generation = ev->generation;
		pager_ready(&b->p, ev, 0, EXTPAGER_ATTR_MAY_CACHE);
		break;
	case EXTPAGER_EV_DATA_REQUEST:
		serve_request(b, ev);
		break;
	case EXTPAGER_EV_DATA_RETURN:
		if (keep_return(b, ev))
			b->refused += !!pager_return_done(&b->p, ev, 0);
		break;
	case EXTPAGER_EV_SYNC:
		b->syncs++;
		pager_sync_done(&b->p, ev, 0);
		break;
	case EXTPAGER_EV_TERMINATE:
		b->terminates++;
		break;
	}
}

/* Answers one event, if one comes soon. */
static bool serve_next(struct bench *b)
{
	struct extpager_event ev;

	if (!pager_event(&b->p, &ev, 2))
		return false;
	serve_event(b, &ev);
	return true;
}

/* Answer everything well until @cond; false if it does not come true. */
#define SERVE_UNTIL(b, cond) ({						\
	uint64_t __end = now_ms() + 2 * SOON;				\
	bool __ok;							\
	while (!(__ok = (cond)) && now_ms() < __end)			\
		serve_next(b);						\
	__ok; })

/* What @w was ordered ends, all events being answered; its result. */
static long serve_worker(struct bench *b, struct worker *w)
{
	return SERVE_UNTIL(b, !worker_busy(w)) ? worker_end(w, 0) : WORKER_BUSY;
}

/* The same from its beginning. */
static long serve_order(struct bench *b, struct worker *w, long (*what)(struct order *o),
			uint64_t offset, uint64_t length, uint64_t seed)
{
	worker_begin(w, what, offset, length, seed);
	return serve_worker(b, w);
}

/* How many pages of the range the store does not have in this version. */
static unsigned int store_wrong(const struct bench *b, uint64_t offset, uint64_t length,
				uint64_t version)
{
	unsigned int wrong = 0;
	uint64_t i;

	for (i = offset / PAGE; i < (offset + length) / PAGE; i++)
		wrong += b->version[i] != version;
	return wrong;
}

/* How many pages of the range were not returned just once. */
static unsigned int not_once(const struct bench *b, uint64_t offset, uint64_t length)
{
	unsigned int nr = 0;
	uint64_t i;

	for (i = offset / PAGE; i < (offset + length) / PAGE; i++)
		nr += b->times[i] != 1;
	return nr;
}

static bool take_target(struct bench *b)
{
	/* EBUSY until what the last pager was asked is put aside. */
	return WAIT_FOR(SOON, !pager_attach(&b->p, NAME, &b->object, NULL));
}

/* A pager is there, and READY. */
static bool take_over(struct bench *b)
{
	uint32_t last = b->generation;

	return take_target(b) && SERVE_UNTIL(b, b->generation != last);
}

/* Whatever was asked of it, it will not answer. */
static bool lose_pager(struct bench *b)
{
	return !pager_detach(&b->p, b->object) && target_state(NAME) == EXTPAGER_STATE_ORPHANED;
}

/* fsync tells of a failure once per open of the file: this worker gets one of its own. */
static long do_reopen(struct order *o)
{
	close(o->fd);
	o->fd = target_open(NAME, O_RDWR);
	return o->fd < 0 ? o->fd : posix_fadvise(o->fd, 0, 0, POSIX_FADV_RANDOM);
}

/* ---- a bench of one target ---- */

FIXTURE(spill)
{
	struct bench *b;
};

FIXTURE_SETUP(spill)
{
	if (target_state(NAME))
		target_gone(NAME);
	/* A test that failed may have taken it away. */
	swapon(SWAP, 0);
	ASSERT_LT(0, read_number("/proc/meminfo", "SwapTotal"));
	self->b = calloc(1, sizeof(*self->b));
	self->b->fd = -1;
	self->b->p.fd = -1;
}

FIXTURE_TEARDOWN(spill)
{
	unsigned int i;

	for (i = 0; i < WORKERS; i++)
		if (self->b->w[i].order)
			worker_stop(&self->b->w[i]);
	if (self->b->fd >= 0)
		close(self->b->fd);
	if (self->b->p.fd >= 0)
		pager_close(&self->b->p);
	EXPECT_TRUE(target_gone(NAME));
	free(self->b);
}

static bool bench_start(struct bench *b, const struct target_options *o)
{
	unsigned int i;

	if (target_add(NAME, o) || pager_open(&b->p, 1, 0))
		return false;
	b->fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	if (b->fd < 0 || !take_over(b))
		return false;
	for (i = 0; i < WORKERS; i++)
		if (!worker_start(&b->w[i], b->fd, BYTES))
			return false;
	return true;
}

#define START(...) ASSERT_TRUE(bench_start(self->b, &(struct target_options){		\
			.bytes = BYTES, .quota = QUOTA, __VA_ARGS__ }))

static long do_writes(struct worker *w, uint64_t offset, uint64_t length, uint64_t seed)
{
	return worker_do(w, do_write, offset, length, seed);
}

static bool spilled_is(uint64_t bytes)
{
	return WAIT_FOR(SOON, target_spilled(NAME) == bytes);
}

/* By policy `spill` all that is dirty goes there, and then nothing is dirty. */
static bool all_spilled(uint64_t bytes)
{
	return spilled_is(bytes) && WAIT_FOR(SOON, target_dirty(NAME) == 0);
}

/* A page that is just being copied may be in neither sum for a moment. */
static bool all_kept(uint64_t bytes)
{
	return WAIT_FOR(SOON, target_dirty(NAME) + target_spilled(NAME) >= bytes);
}

static bool stays_busy(struct worker *w)
{
	return !WAIT_FOR(NEVER_MS, !worker_busy(w));
}

static void say_what_is(void)
{
	printf("state %u, dirty %lu, spilled %lu\n", target_state(NAME), target_dirty(NAME),
	       target_spilled(NAME));
	fflush(stdout);
}

/*
 * The pager is silent, and @length bytes were written from the object's start
 * all the same: at least what is above the quota is spilled.
 */
static bool stall(struct bench *b, uint64_t length, uint64_t seed)
{
	uint64_t start = now_ms();
	long done = do_writes(&b->w[0], 0, length, seed);

	if (done == (long)length && target_state(NAME) == EXTPAGER_STATE_STALLED &&
	    target_spilled(NAME) + QUOTA + SLACK >= length)
		return true;
	printf("# no stall: %ld bytes written in %lu ms, ", done, (long)(now_ms() - start));
	say_what_is();
	return false;
}

/* The pager is lost, and the range is in the spill; by policy `spill`. */
static bool spill_orphaned(struct bench *b, uint64_t offset, uint64_t length, uint64_t seed)
{
	if (lose_pager(b) && do_writes(&b->w[0], offset, length, seed) == (long)length &&
	    all_spilled(length))
		return true;
	printf("# not spilled: ");
	say_what_is();
	return false;
}

/*
 * From here on the pager is a good one: everything comes to the store, and the
 * target is as if nothing had been.
 */
static bool comes_home(struct bench *b)
{
	bool unspilled = SERVE_UNTIL(b, target_spilled(NAME) == 0);
	long synced = serve_order(b, &b->w[0], do_fsync, 0, 0, 0);

	if (unspilled && !synced && !target_dirty(NAME) && !target_spilled(NAME) &&
	    target_state(NAME) == EXTPAGER_STATE_LIVE)
		return true;
	printf("# not home: unspilled %d, fsync %ld, ", unspilled, synced);
	say_what_is();
	return false;
}

/* ---- when ---- */

TEST_F(spill, writer_goes_on_when_no_return_is_answered)
{
	struct bench *b = self->b;
	uint64_t dirty, spilled;

	BEHAVIOURS(91);
	PARTIAL(145);
	START();
	ASSERT_TRUE(stall(b, 4 * MIB, 1));
	dirty = target_dirty(NAME);
	spilled = target_spilled(NAME);
	EXPECT_GE(QUOTA + SLACK, dirty);
	EXPECT_TRUE(all_kept(4 * MIB));
	EXPECT_TRUE(WAIT_FOR(SOON, spilled / PAGE <=
			     target_stat(NAME, EXTPAGER_A_STATS_PAGES_SPILLED)));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_SPILLS_FAILED));
	EXPECT_FALSE(target_spill_full(NAME));

	/* No deadline was missed for it. */
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_TIMEOUTS));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 4 * MIB, 1));
	EXPECT_EQ(0, b->requests);
	EXPECT_EQ(0, worker_do(&b->w[1], do_check, 0, 4 * MIB, 1));
}

/*
 * By a deadline that is missed: two parts, 64 pages apart. The pager may go on to
 * be asked to take the older one, which then is dirty again.
 */
#define PART	(16 * PAGE)
#define APART	(64 * PAGE)

static bool miss_deadline(struct bench *b)
{
	struct worker *w = &b->w[0];

	if (do_writes(w, 0, PART, 1) != (long)PART)
		return false;
	worker_begin(w, do_fsync, 0, 0, 0);
	return WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_STALLED) &&
	       spilled_is(PART) && do_writes(&b->w[1], APART, PART, 1) == (long)PART &&
	       spilled_is(2 * PART) && worker_end(w, WORKER_MS) == -EIO &&
	       target_state(NAME) == EXTPAGER_STATE_STALLED;
}

TEST_F(spill, missed_deadline_spills_what_is_dirty)
{
	struct bench *b = self->b;

	BEHAVIOURS(59, 91);
	PARTIAL(97);
	START(.return_ms = short_ms());
	ASSERT_TRUE(miss_deadline(b));
	EXPECT_LE(1, target_stat(NAME, EXTPAGER_A_STATS_TIMEOUTS));
	/* They can be taken now, whatever their pager says. */
	EXPECT_TRUE(worker_evicts(&b->w[1], APART, PART));
	EXPECT_EQ(0, worker_do(&b->w[1], do_check, 0, PART, 1));
	EXPECT_EQ(0, worker_do(&b->w[1], do_check, APART, PART, 1));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, PART, 1));
	EXPECT_EQ(0, store_wrong(b, APART, PART, 1));
	EXPECT_EQ(0, b->requests);
}

TEST_F(spill, by_return_action_error_nothing_is_spilled)
{
	struct worker *w = &self->b->w[0];
	struct bench *b = self->b;
	uint64_t start;
	long done;

	PARTIAL(133);
	START(.return_ms = short_ms(), .return_action = EXTPAGER_ACTION_ERROR);
	start = ticked_ms();
	worker_begin(w, do_write, 0, 2 * MIB, 1);
	EXPECT_TRUE(stays_busy(w));
	done = worker_end(w, WORKER_MS);
	EXPECT_LT(0, done);
	EXPECT_GE((long)(QUOTA + SLACK), done);
	EXPECT_LE(short_ms(), ticked_ms() - start);
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_PAGES_SPILLED));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_SPILLS_FAILED));
	EXPECT_EQ(0, target_spilled(NAME));
	/* Nor when it is lost. */
	ASSERT_TRUE(lose_pager(b));
	worker_begin(w, do_write, 2 * MIB, 2 * MIB, 1);
	EXPECT_TRUE(stays_busy(w));
	EXPECT_EQ(0, target_spilled(NAME));
	ASSERT_TRUE(take_over(b));
	EXPECT_EQ((long)(2 * MIB), serve_worker(b, w));
	/* The fsync that tells of it is the first. */
	EXPECT_EQ(-EIO, serve_order(b, w, do_fsync, 0, 0, 0));
	EXPECT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, done, 1));
	EXPECT_EQ(0, store_wrong(b, 2 * MIB, 2 * MIB, 1));
}

TEST_F(spill, by_policy_spill_all_goes_there_when_the_pager_goes)
{
	struct worker *w = &self->b->w[0];
	struct bench *b = self->b;

	BEHAVIOURS(91);
	START(.policy = "spill");
	ASSERT_EQ((long)(64 * PAGE), do_writes(w, 0, 64 * PAGE, 1));
	/* Some of them are with the pager. */
	worker_begin(w, do_msync, 0, 32 * PAGE, 0);
	ASSERT_TRUE(WAIT_FOR(SOON, target_stat(NAME, EXTPAGER_A_STATS_DATA_RETURNS) > 0));
	EXPECT_EQ(0, target_spilled(NAME));
	ASSERT_TRUE(lose_pager(b));
	EXPECT_TRUE(all_spilled(64 * PAGE));
	/* And what is written from now on, no matter how much. */
	EXPECT_EQ((long)(3 * MIB), do_writes(&b->w[1], MIB, 3 * MIB, 2));
	EXPECT_TRUE(all_spilled(64 * PAGE + 3 * MIB));
	EXPECT_TRUE(worker_busy(w));
	ASSERT_TRUE(take_over(b));
	EXPECT_EQ(0, serve_worker(b, w));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 64 * PAGE, 1));
	EXPECT_EQ(0, store_wrong(b, MIB, 3 * MIB, 2));
}

TEST_F(spill, by_policy_hold_a_writer_at_the_quota_spills)
{
	struct worker *w = &self->b->w[0];
	struct bench *b = self->b;

	BEHAVIOURS(91);
	START(.policy = "hold");
	ASSERT_EQ((long)(QUOTA / 2), do_writes(w, 0, QUOTA / 2, 1));
	ASSERT_TRUE(lose_pager(b));
	/* There is room: everybody waits for the successor. */
	EXPECT_FALSE(WAIT_FOR(NEVER_MS, target_spilled(NAME) != 0));
	EXPECT_EQ(QUOTA / 2, target_dirty(NAME));
	EXPECT_EQ((long)(2 * MIB), do_writes(w, MIB, 2 * MIB, 1));
	EXPECT_EQ(EXTPAGER_STATE_ORPHANED, target_state(NAME));
	EXPECT_LE(3 * QUOTA / 2 - SLACK, target_spilled(NAME));
	EXPECT_GE(QUOTA + SLACK, target_dirty(NAME));
	ASSERT_TRUE(take_over(b));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, QUOTA / 2, 1));
	EXPECT_EQ(0, store_wrong(b, MIB, 2 * MIB, 1));
	EXPECT_EQ(0, b->requests);
}

TEST_F(spill, by_policy_fail_nothing_goes_there_when_the_pager_goes)
{
	struct worker *w = &self->b->w[0];
	struct bench *b = self->b;
	uint64_t spilled, dirty;
	long done;

	PARTIAL(85);
	START(.policy = "fail");
	/* A pager that is only slow is another thing. */
	ASSERT_TRUE(stall(b, 2 * MIB, 1));
	ASSERT_TRUE(lose_pager(b));
	/* What was under way may have gone there. */
	do {
		spilled = target_spilled(NAME);
	} while (WAIT_FOR(NEVER_MS, target_spilled(NAME) != spilled));
	done = do_writes(w, 4 * MIB, 2 * MIB, 1);
	EXPECT_GE((long)(QUOTA + SLACK), done);
	EXPECT_EQ(-EIO, do_writes(w, 6 * MIB, PAGE, 1));
	EXPECT_FALSE(WAIT_FOR(NEVER_MS, target_spilled(NAME) != spilled));
	dirty = target_dirty(NAME);
	EXPECT_LE(QUOTA - SLACK, dirty);

	/* What is there already is served, and kept. */
	EXPECT_EQ(0, worker_do(&b->w[1], do_forget, 0, 2 * MIB, 0));
	EXPECT_EQ(0, worker_do(&b->w[1], do_check, 0, 2 * MIB, 1));
	EXPECT_EQ(-EIO, worker_do(w, do_fsync, 0, 0, 0));
	ASSERT_TRUE(take_over(b));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 2 * MIB, 1));
	if (done > 0)
		EXPECT_EQ(0, store_wrong(b, 4 * MIB, done, 1));
}

/* ---- what is there is as good as what is here ---- */

TEST_F(spill, spilled_pages_are_read_without_a_pager)
{
	struct worker *w = &self->b->w[1];
	struct bench *b = self->b;
	uint64_t start, unspilled;

	BEHAVIOURS(60, 61, 91);
	START(.policy = "spill");
	ASSERT_TRUE(spill_orphaned(b, 0, 128 * PAGE, 1));
	unspilled = target_stat(NAME, EXTPAGER_A_STATS_PAGES_UNSPILLED);
	EXPECT_TRUE(worker_evicts(w, 0, 128 * PAGE));
	start = now_ms();
	EXPECT_EQ(0, worker_do(w, do_check, 0, 32 * PAGE, 1));
	EXPECT_EQ(0, worker_do(w, do_read, 32 * PAGE, 32 * PAGE, 1));
	/* A part of it is written, by the byte that is there anyway. */
	EXPECT_EQ(0, worker_do(w, do_touch_write, 64 * PAGE, 0, 0));
	EXPECT_EQ(0, w->order->code);
	EXPECT_GE(prompt(), now_ms() - start);
	EXPECT_LE(65, worker_do(w, do_resident, 0, 128 * PAGE, 0));
	EXPECT_LE(unspilled + 65, target_stat(NAME, EXTPAGER_A_STATS_PAGES_UNSPILLED));
	/* They are still there, and still to be returned. */
	EXPECT_TRUE(all_spilled(128 * PAGE));

	/* A page that only the store has is waited for, until nobody waits any more. */
	worker_begin(&b->w[2], do_touch_read, 512 * PAGE, 0, 0);
	EXPECT_TRUE(stays_busy(&b->w[2]));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .grace_ms = 100 }));
	EXPECT_EQ(0, worker_end(&b->w[2], WORKER_MS));
	EXPECT_NE(0, b->w[2].order->code);
	EXPECT_TRUE(worker_evicts(w, 0, 128 * PAGE));
	EXPECT_EQ(0, worker_do(w, do_check, 0, 64 * PAGE, 1));
	EXPECT_EQ(0, worker_do(w, do_read, 64 * PAGE, 64 * PAGE, 1));

	ASSERT_TRUE(take_over(b));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 128 * PAGE, 1));
	EXPECT_EQ(0, b->requests);
}

/* As programs read: with what follows. */
static long do_read_on(struct order *o)
{
	posix_fadvise(o->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return do_read(o);
}

/* Every second page is in the spill, the others are the store's. */
TEST_F(spill, only_what_is_not_spilled_is_asked_for)
{
	struct worker *w = &self->b->w[1];
	struct extpager_event ev, held[64];
	unsigned int nr_held = 0, i;
	struct bench *b = self->b;
	uint64_t at, end;
	long wrong = 0;

	BEHAVIOURS(60, 61);
	/* A half of them at a time is on its way back: the other one stands in the spill alone. */
	START(.policy = "spill", .quota = 64 * PAGE);
	ASSERT_TRUE(lose_pager(b));
	for (at = 0; at < 128; at += 2)
		ASSERT_EQ((long)PAGE, do_writes(&b->w[0], at * PAGE, PAGE, 1));
	ASSERT_TRUE(all_spilled(64 * PAGE));
	ASSERT_TRUE(worker_evicts(w, 0, 128 * PAGE));
	ASSERT_TRUE(take_over(b));

	/* The pager answers page-ins, and keeps returns in hand: one from the first. */
	ASSERT_TRUE(pager_expect(&b->p, EXTPAGER_EV_DATA_RETURN, &held[nr_held], SOON));
	nr_held++;
	worker_begin(w, do_read_on, 0, 128 * PAGE, 1);
	for (end = now_ms() + SOON; worker_busy(w) && now_ms() < end;) {
		if (!pager_event(&b->p, &ev, 2))
			continue;
		if (ev.op == EXTPAGER_EV_DATA_RETURN) {
			ASSERT_GT(ARRAY_SIZE(held), nr_held);
			held[nr_held++] = ev;
			continue;
		}
		if (ev.op == EXTPAGER_EV_DATA_REQUEST)
			for (at = ev.offset / PAGE; at < (ev.offset + ev.length) / PAGE; at++)
				wrong += at < 128 && at % 2 == 0;
		serve_event(b, &ev);
	}
	EXPECT_EQ(0, wrong);
	/* Half of the pages are of the other version. */
	EXPECT_EQ(64, worker_end(w, 0));
	for (at = 0; at < 128; at++)
		EXPECT_EQ(0, worker_do(w, do_read, at * PAGE, PAGE, at % 2 ? 0 : 1));
	EXPECT_LT(0, nr_held);
	for (i = 0; i < nr_held; i++)
		serve_event(b, &held[i]);
	ASSERT_TRUE(comes_home(b));
	for (at = 0; at < 128; at++)
		EXPECT_EQ(at % 2 ? 0 : 1, b->version[at]);
}

TEST_F(spill, push_does_not_replace_a_spilled_page)
{
	struct worker *w = &self->b->w[1];
	struct bench *b = self->b;
	uint32_t done;

	BEHAVIOURS(60);
	START(.return_ms = short_ms());
	ASSERT_TRUE(miss_deadline(b));
	ASSERT_TRUE(worker_evicts(w, APART, PART));
	/* Its store is older than it knows. */
	EXPECT_EQ(-EEXIST, pager_push(&b->p, b->object, b->generation, 9, APART, PART, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(0, worker_do(w, do_check, APART, PART, 1));
	/* The place beside them is free. */
	EXPECT_EQ(0, pager_push(&b->p, b->object, b->generation, 9, APART + PART, PAGE, &done));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, APART, PART, 1));
	EXPECT_EQ(0, worker_do(w, do_check, APART + PART, PAGE, 9));
}

/* ---- the way back ---- */

/* Where in the pager's history the first or last of these pages came. */
static unsigned int place(const struct bench *b, uint64_t first, uint64_t nr, bool last)
{
	unsigned int i, found = b->nr_log;

	for (i = 0; i < b->nr_log; i++) {
		if (b->log[i].index < first || b->log[i].index >= first + nr)
			continue;
		found = i;
		if (!last)
			break;
	}
	return found;
}

TEST_F(spill, spilled_pages_are_returned_first_and_the_oldest_before_all)
{
	struct worker *w = &self->b->w[0], *syncer = &self->b->w[1];
	struct bench *b = self->b;

	BEHAVIOURS(61, 91);
	START(.policy = "spill", .spill_limit = 256 * PAGE);
	ASSERT_TRUE(spill_orphaned(b, 1000 * PAGE, 64 * PAGE, 1));
	/* More than is brought back at once. */
	ASSERT_EQ((long)(192 * PAGE), do_writes(w, 500 * PAGE, 192 * PAGE, 1));
	ASSERT_TRUE(all_spilled(256 * PAGE));
	/* For these there is no room. */
	ASSERT_EQ((long)(16 * PAGE), do_writes(w, 0, 16 * PAGE, 1));
	ASSERT_TRUE(WAIT_FOR(SOON, target_spill_full(NAME)));
	EXPECT_EQ(16 * PAGE, target_dirty(NAME));

	ASSERT_TRUE(take_over(b));
	/* Neither who flushes nor who syncs gets past what is there. */
	EXPECT_EQ(0, worker_do(w, do_forget, 0, 16 * PAGE, 0));
	EXPECT_EQ(0, serve_order(b, syncer, do_fsync, 0, 0, 0));
	ASSERT_TRUE(comes_home(b));
	EXPECT_FALSE(target_spill_full(NAME));
	EXPECT_GT(place(b, 500, 192, false), place(b, 1000, 64, true));
	EXPECT_GT(place(b, 0, 16, false), place(b, 500, 192, true));
	EXPECT_EQ(0, store_wrong(b, 1000 * PAGE, 64 * PAGE, 1));
	EXPECT_EQ(0, store_wrong(b, 500 * PAGE, 192 * PAGE, 1));
	EXPECT_EQ(0, store_wrong(b, 0, 16 * PAGE, 1));
	EXPECT_EQ(272, b->nr_log);
	EXPECT_EQ(272, target_stat(NAME, EXTPAGER_A_STATS_PAGES_RETURNED));
}

static int count_parked(const struct extpager_pending *p, void *arg)
{
	int *nr = arg;

	*nr += !strcmp(p->target, NAME) && !strcmp(p->place, "parked");
	return 0;
}

/* Requests that an earlier pager left, and that nobody has been asked again; -1: error. */
static int nr_parked(void)
{
	struct extpager_ctl *c;
	int ret, nr = 0;

	if (extpager_ctl_open(&c))
		return -1;
	ret = extpager_pending_list(c, count_parked, &nr);
	extpager_ctl_close(c);
	return ret ? -1 : nr;
}

TEST_F(spill, spilled_pages_come_again_to_the_successor_of_one_that_dies)
{
	struct extpager_event first, ev;
	struct bench *b = self->b;
	uint64_t end, nr = 0;

	BEHAVIOURS(86, 91);
	START(.policy = "spill");
	/* More than is brought back at once: what was asked before comes last. */
	ASSERT_TRUE(spill_orphaned(b, 0, 320 * PAGE, 1));
	ASSERT_TRUE(take_over(b));
	ASSERT_TRUE(pager_expect(&b->p, EXTPAGER_EV_DATA_RETURN, &first, SOON));
	/* Nobody was asked to take them before. */
	EXPECT_EQ(0, first.flags);
	ASSERT_EQ(0, pager_fetch(&b->p, &first, b->p.buffer));
	EXPECT_EQ(1, page_stamp(b->p.buffer, first.offset / PAGE));
	ASSERT_TRUE(lose_pager(b));
	/* It has detached: it may say so, and nothing comes of it. */
	EXPECT_EQ(0, pager_return_done(&b->p, &first, 0));
	EXPECT_TRUE(all_spilled(320 * PAGE));
	/* They are read and written as ever. */
	EXPECT_TRUE(worker_evicts(&b->w[1], 0, 64 * PAGE));
	EXPECT_EQ(0, worker_do(&b->w[1], do_check, 0, 64 * PAGE, 1));

	ASSERT_TRUE(take_over(b));
	/* No record says so any more. */
	EXPECT_TRUE(WAIT_FOR(SOON, nr_parked() == 0));
	for (end = now_ms() + SOON; target_spilled(NAME) && now_ms() < end;) {
		if (!pager_event(&b->p, &ev, 2))
			continue;
		if (ev.op == EXTPAGER_EV_DATA_RETURN && ev.offset < first.offset + first.length &&
		    first.offset < ev.offset + ev.length) {
			EXPECT_TRUE(ev.flags & EXTPAGER_EVF_RESENT);
			nr++;
		}
		serve_event(b, &ev);
	}
	EXPECT_LT(0, nr);
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 320 * PAGE, 1));
	EXPECT_EQ(0, not_once(b, 0, 320 * PAGE));
}

TEST_F(spill, what_each_return_acknowledges_is_freed)
{
	struct extpager_event ev;
	struct bench *b = self->b;
	uint64_t left = MIB;

	BEHAVIOURS(91);
	START(.policy = "spill");
	ASSERT_TRUE(spill_orphaned(b, 0, MIB, 1));
	ASSERT_TRUE(take_over(b));
	while (left) {
		ASSERT_TRUE(pager_expect(&b->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
		ASSERT_TRUE(keep_return(b, &ev));
		EXPECT_EQ(left, target_spilled(NAME));
		ASSERT_EQ(0, pager_return_done(&b->p, &ev, 0));
		left -= ev.length;
		EXPECT_TRUE(spilled_is(left));
	}
	EXPECT_EQ(0, store_wrong(b, 0, MIB, 1));
	/* With the last of them it is as if nothing had been. */
	ASSERT_TRUE(comes_home(b));
	EXPECT_TRUE(worker_evicts(&b->w[1], 0, 16 * PAGE));
	EXPECT_EQ(0, serve_order(b, &b->w[1], do_check, 0, 16 * PAGE, 1));
	EXPECT_EQ(16, b->pages_requested);
}

/* What failed before the call is reported by it, and is no reason to end early. */
TEST_F(spill, fsync_after_a_failure_waits_for_all_of_it)
{
	struct extpager_event ev;
	struct bench *b = self->b;

	BEHAVIOURS(91);
	/* So small that it does not go in one. */
	START(.policy = "spill", .quota = MIB / 2);
	ASSERT_TRUE(spill_orphaned(b, 0, MIB, 1));
	ASSERT_TRUE(take_over(b));
	ASSERT_TRUE(pager_expect(&b->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	ASSERT_EQ(0, pager_return_done(&b->p, &ev, EIO));
	EXPECT_EQ(MIB, target_spilled(NAME));
	worker_begin(&b->w[0], do_fsync, 0, 0, 0);
	EXPECT_TRUE(stays_busy(&b->w[0]));
	EXPECT_EQ(-EIO, serve_worker(b, &b->w[0]));
	EXPECT_EQ(0, target_spilled(NAME));
	EXPECT_EQ(0, store_wrong(b, 0, MIB, 1));
	ASSERT_TRUE(comes_home(b));
}

TEST_F(spill, page_dirtied_again_is_returned_once_in_its_newest_version)
{
	struct worker *w = &self->b->w[0];
	struct bench *b = self->b;

	BEHAVIOURS(58, 91);
	START(.policy = "spill");
	ASSERT_TRUE(spill_orphaned(b, 0, 64 * PAGE, 1));
	/* Those that are here, and those that are not. */
	EXPECT_TRUE(worker_evicts(w, 0, 32 * PAGE));
	EXPECT_EQ((long)(16 * PAGE), do_writes(w, 0, 16 * PAGE, 2));
	EXPECT_EQ(0, worker_do(w, do_store, 16 * PAGE, 16 * PAGE, 2));
	EXPECT_EQ((long)(16 * PAGE), do_writes(w, 32 * PAGE, 16 * PAGE, 2));
	EXPECT_TRUE(all_spilled(64 * PAGE));
	EXPECT_TRUE(worker_evicts(w, 0, 64 * PAGE));
	EXPECT_EQ(0, worker_do(w, do_check, 0, 48 * PAGE, 2));
	EXPECT_EQ(0, worker_do(w, do_check, 48 * PAGE, 16 * PAGE, 1));
	ASSERT_TRUE(take_over(b));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 48 * PAGE, 2));
	EXPECT_EQ(0, store_wrong(b, 48 * PAGE, 16 * PAGE, 1));
	EXPECT_EQ(0, not_once(b, 0, 64 * PAGE));
}

/* The newer version is in the cache alone when the pager comes. */
TEST_F(spill, newer_page_that_is_dirty_supersedes_its_spilled_copy)
{
	struct worker *w = &self->b->w[0];
	struct bench *b = self->b;

	BEHAVIOURS(58, 91);
	START(.policy = "spill");
	ASSERT_TRUE(spill_orphaned(b, 0, 64 * PAGE, 1));
	/* From here on the spill takes no more. */
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){
		.return_action = EXTPAGER_ACTION_ERROR, .policy = "hold" }));
	EXPECT_EQ((long)(8 * PAGE), do_writes(w, 0, 8 * PAGE, 2));
	EXPECT_EQ(0, worker_do(w, do_store, 32 * PAGE, 8 * PAGE, 2));
	EXPECT_FALSE(WAIT_FOR(NEVER_MS, target_dirty(NAME) != 16 * PAGE));
	ASSERT_TRUE(take_over(b));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 8 * PAGE, 2));
	EXPECT_EQ(0, store_wrong(b, 8 * PAGE, 24 * PAGE, 1));
	EXPECT_EQ(0, store_wrong(b, 32 * PAGE, 8 * PAGE, 2));
	EXPECT_EQ(0, store_wrong(b, 40 * PAGE, 24 * PAGE, 1));
	EXPECT_EQ(0, not_once(b, 0, 64 * PAGE));
}

TEST_F(spill, page_written_while_its_spilled_copy_is_returned_comes_again)
{
	static long (*const writes[])(struct order *o) = { do_store, do_write };
	struct worker *w = &self->b->w[0];
	struct bench *b = self->b;
	struct extpager_event ev;
	unsigned int i, evicted;
	uint64_t seed = 0;

	BEHAVIOURS(58, 60, 91);
	START(.policy = "spill");
	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		for (evicted = 0; evicted < 2; evicted++) {
			ASSERT_TRUE(spill_orphaned(b, 5 * PAGE, PAGE, ++seed));
			if (evicted)
				EXPECT_TRUE(worker_evicts(w, 5 * PAGE, PAGE));
			ASSERT_TRUE(take_over(b));
			ASSERT_TRUE(pager_expect(&b->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
			ASSERT_TRUE(keep_return(b, &ev));
			EXPECT_EQ(seed, b->version[5]);
			/* In transit it is read and written without the pager. */
			EXPECT_EQ(0, worker_do(w, do_check, 5 * PAGE, PAGE, seed));
			ASSERT_LE(0, worker_do(w, writes[i], 5 * PAGE, PAGE, ++seed));
			ASSERT_EQ(0, pager_return_done(&b->p, &ev, 0));
			EXPECT_EQ(0, worker_do(w, do_check, 5 * PAGE, PAGE, seed));
			ASSERT_TRUE(comes_home(b));
			EXPECT_EQ(seed, b->version[5]);
			EXPECT_EQ(0, worker_do(w, do_check, 5 * PAGE, PAGE, seed));
		}
	}
	EXPECT_EQ(0, b->requests);
}

TEST_F_TIMEOUT(spill, two_stalls_in_a_row, 150)
{
	struct bench *b = self->b;
	struct extpager_event ev;
	uint64_t start;

	BEHAVIOURS(91);
	START();
	ASSERT_TRUE(stall(b, 6 * MIB, 1));
	/* It wakes up, takes one thing, has another in hand, and falls asleep again. */
	ASSERT_TRUE(SERVE_UNTIL(b, target_state(NAME) == EXTPAGER_STATE_LIVE));
	ASSERT_TRUE(pager_expect(&b->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	EXPECT_EQ(0, worker_do(&b->w[1], do_check, 0, 6 * MIB, 1));
	ASSERT_TRUE(stall(b, 4 * MIB, 2));
	EXPECT_GE(6 * MIB, target_spilled(NAME));
	EXPECT_EQ(0, worker_do(&b->w[1], do_check, 0, 4 * MIB, 2));
	EXPECT_EQ(0, worker_do(&b->w[1], do_check, 4 * MIB, 2 * MIB, 1));
	start = now_ms();
	serve_event(b, &ev);
	ASSERT_TRUE(comes_home(b));
	/* Nothing that it was asked before tells of it, so it is asked anew, and at once. */
	EXPECT_GE(prompt(), now_ms() - start);
	EXPECT_EQ(0, store_wrong(b, 0, 4 * MIB, 2));
	EXPECT_EQ(0, store_wrong(b, 4 * MIB, 2 * MIB, 1));
	EXPECT_EQ(0, b->requests);
}

/* A part comes and is in hand; who wanted it in the store waits on. */
static bool takes_in_hand(struct bench *b, struct worker *w, uint64_t offset,
			  struct extpager_event *ev)
{
	if (do_writes(&b->w[0], offset, PART, 1) != (long)PART)
		return false;
	worker_begin(w, do_fsync, 0, 0, 0);
	return pager_expect(&b->p, EXTPAGER_EV_DATA_RETURN, ev, SOON) && ev->offset == offset &&
	       ev->length == PART;
}

/*
 * A pager that is late may be writing what it has: it is given no other version of it
 * before it says that it has done; which tells nothing of what is in the spill.
 */
TEST_F(spill, what_is_in_hand_at_a_stall_comes_again_when_its_pager_has_done)
{
	struct extpager_event hand[2], ev;
	struct bench *b = self->b;
	bool overtaken = false;
	uint64_t end;

	BEHAVIOURS(91);
	START();
	ASSERT_TRUE(takes_in_hand(b, &b->w[1], 0, &hand[0]));
	ASSERT_TRUE(takes_in_hand(b, &b->w[2], APART, &hand[1]));
	ASSERT_EQ((long)(4 * MIB), do_writes(&b->w[0], 0, 4 * MIB, 2));
	ASSERT_EQ(EXTPAGER_STATE_STALLED, target_state(NAME));
	ASSERT_TRUE(WAIT_FOR(SOON, target_spilled(NAME) + QUOTA + SLACK >= 4 * MIB));

	/* It wakes up, with one of them in its hands yet. */
	ASSERT_EQ(0, pager_return_done(&b->p, &hand[1], 0));
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_PAGES_RETURNED));
	EXPECT_EQ(-ENOENT, pager_return_done(&b->p, &hand[1], 0));
	for (end = now_ms() + 2 * NEVER_MS; now_ms() < end;) {
		if (!pager_event(&b->p, &ev, 10))
			continue;
		overtaken |= ev.op == EXTPAGER_EV_DATA_RETURN && ev.offset < PART;
		serve_event(b, &ev);
	}
	EXPECT_FALSE(overtaken);
	EXPECT_LE(PART, target_spilled(NAME));
	ASSERT_EQ(0, pager_return_done(&b->p, &hand[0], 0));
	ASSERT_TRUE(SERVE_UNTIL(b, !worker_busy(&b->w[1]) && !worker_busy(&b->w[2])));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 4 * MIB, 2));
	EXPECT_EQ(4 * MIB / PAGE, target_stat(NAME, EXTPAGER_A_STATS_PAGES_RETURNED));
}

/* Who has not fetched it yet has nothing in hand: it goes at once. */
TEST_F(spill, what_was_not_fetched_before_a_stall_is_given_up)
{
	struct extpager_event hand;
	struct bench *b = self->b;

	BEHAVIOURS(91);
	START();
	ASSERT_TRUE(takes_in_hand(b, &b->w[1], 0, &hand));
	ASSERT_EQ((long)(4 * MIB), do_writes(&b->w[0], 0, 4 * MIB, 2));
	ASSERT_EQ(EXTPAGER_STATE_STALLED, target_state(NAME));
	EXPECT_EQ(-ENOENT, pager_fetch(&b->p, &hand, b->p.buffer));
	EXPECT_EQ(-ENOENT, pager_return_done(&b->p, &hand, 0));
	ASSERT_TRUE(SERVE_UNTIL(b, !worker_busy(&b->w[1])));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 4 * MIB, 2));
}

/* ---- holes ---- */

/* How often the pager was given this version of a page after it was told of its hole. */
static unsigned int came_back(const struct bench *b, uint64_t offset, uint64_t length,
			      uint64_t version)
{
	const struct returned *r;
	bool told = false;
	unsigned int nr = 0;

	for (r = b->log; r < b->log + b->nr_log; r++) {
		if (r->index < offset / PAGE || r->index >= (offset + length) / PAGE)
			continue;
		told |= !!(r->flags & EXTPAGER_EVF_ZERO);
		nr += told && r->version == version;
	}
	return nr;
}

/* Behind what a silent pager may be asked to take. */
#define HOLE	(64 * PAGE)
#define HOLED	(16 * PAGE)

/* What is written there later is as ever. */
static bool hole_is_writable(struct bench *b)
{
	return do_writes(&b->w[1], HOLE + PAGE, PAGE, 3) == (long)PAGE && comes_home(b) &&
	       b->version[HOLE / PAGE + 1] == 3;
}

TEST_F(spill, hole_in_what_is_spilled_is_zeros_at_once_and_for_ever)
{
	struct worker *puncher = &self->b->w[2], *reader = &self->b->w[1];
	struct bench *b = self->b;

	BEHAVIOURS(65, 91);
	START();
	ASSERT_TRUE(stall(b, 4 * MIB, 1));
	/* Some pages are here as well, others are not. */
	EXPECT_TRUE(worker_evicts(reader, HOLE, HOLED / 2));
	worker_begin(puncher, do_punch, HOLE, HOLED, 0);
	EXPECT_TRUE(WAIT_FOR(SOON, worker_do(reader, do_read_zeros, HOLE, HOLED, 0) == 0));
	EXPECT_EQ(0, worker_do(reader, do_check_zeros, HOLE, HOLED, 0));
	EXPECT_EQ(0, worker_do(reader, do_check, 0, HOLE, 1));
	EXPECT_EQ(0, worker_do(reader, do_check, HOLE + HOLED, 4 * MIB - HOLE - HOLED, 1));
	EXPECT_TRUE(WAIT_FOR(SOON, target_spilled(NAME) <= 4 * MIB - HOLED));
	EXPECT_TRUE(worker_evicts(reader, HOLE, HOLED));
	EXPECT_EQ(0, worker_do(reader, do_read_zeros, HOLE, HOLED, 0));
	/* It is told to the store before fallocate ends. */
	EXPECT_TRUE(stays_busy(puncher));
	EXPECT_EQ(0, serve_worker(b, puncher));
	EXPECT_EQ(HOLED / PAGE, b->zeroed);
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, HOLE, HOLED, ZEROS));
	EXPECT_EQ(0, store_wrong(b, 0, HOLE, 1));
	EXPECT_EQ(0, store_wrong(b, HOLE + HOLED, 4 * MIB - HOLE - HOLED, 1));
	EXPECT_EQ(0, came_back(b, HOLE, HOLED, 1));
	EXPECT_TRUE(hole_is_writable(b));
}

/* Nobody makes one without a pager, but from the moment that one is there it is one for ever. */
TEST_F(spill, hole_that_waits_for_a_pager_is_one_when_it_has_come)
{
	struct worker *puncher = &self->b->w[2], *reader = &self->b->w[1];
	struct bench *b = self->b;

	BEHAVIOURS(65, 91);
	START(.policy = "spill");
	/* What comes first, and keeps the pager busy. */
	ASSERT_TRUE(spill_orphaned(b, MIB, MIB, 2));
	ASSERT_EQ((long)(128 * PAGE), do_writes(puncher, 0, 128 * PAGE, 1));
	ASSERT_TRUE(all_spilled(MIB + 128 * PAGE));
	EXPECT_TRUE(worker_evicts(reader, HOLE, HOLED / 2));
	worker_begin(puncher, do_punch, HOLE, HOLED, 0);
	EXPECT_TRUE(stays_busy(puncher));
	EXPECT_EQ(0, worker_do(reader, do_check, 0, HOLE, 1));
	EXPECT_EQ(0, worker_do(reader, do_check, HOLE + HOLED, 128 * PAGE - HOLE - HOLED, 1));
	ASSERT_TRUE(take_over(b));
	EXPECT_TRUE(WAIT_FOR(SOON, worker_do(reader, do_read_zeros, HOLE, HOLED, 0) == 0));
	EXPECT_TRUE(worker_evicts(reader, HOLE, HOLED));
	EXPECT_EQ(0, serve_worker(b, puncher));
	EXPECT_EQ(HOLED / PAGE, b->zeroed);
	EXPECT_EQ(0, serve_order(b, reader, do_read_zeros, HOLE, HOLED, 0));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, HOLE, HOLED, ZEROS));
	EXPECT_EQ(0, store_wrong(b, 0, HOLE, 1));
	EXPECT_EQ(0, store_wrong(b, HOLE + HOLED, 128 * PAGE - HOLE - HOLED, 1));
	EXPECT_EQ(0, store_wrong(b, MIB, MIB, 2));
	EXPECT_EQ(0, came_back(b, HOLE, HOLED, 1));
	EXPECT_TRUE(hole_is_writable(b));
}

TEST_F(spill, hole_waits_for_the_return_of_a_spilled_page_under_it)
{
	struct worker *puncher = &self->b->w[0], *reader = &self->b->w[1];
	struct bench *b = self->b;
	struct extpager_event ev;

	BEHAVIOURS(61, 65);
	START(.policy = "spill");
	ASSERT_TRUE(spill_orphaned(b, 0, 8 * PAGE, 1));
	EXPECT_TRUE(worker_evicts(reader, 0, 8 * PAGE));
	ASSERT_TRUE(take_over(b));
	ASSERT_TRUE(pager_expect(&b->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	ASSERT_EQ(8 * PAGE, ev.length);
	ASSERT_TRUE(keep_return(b, &ev));
	worker_begin(puncher, do_punch, PAGE, 2 * PAGE, 0);
	EXPECT_TRUE(WAIT_FOR(SOON, worker_do(reader, do_read_zeros, PAGE, 2 * PAGE, 0) == 0));
	EXPECT_EQ(0, worker_do(reader, do_check, 3 * PAGE, 5 * PAGE, 1));
	/* No overlap: it is not sent before the return has ended. */
	EXPECT_EQ(0, b->zeroed);
	EXPECT_TRUE(stays_busy(puncher));
	ASSERT_EQ(0, pager_return_done(&b->p, &ev, 0));
	EXPECT_EQ(0, serve_worker(b, puncher));
	EXPECT_EQ(2, b->zeroed);
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, PAGE, 2 * PAGE, ZEROS));
	EXPECT_EQ(0, store_wrong(b, 3 * PAGE, 5 * PAGE, 1));
	EXPECT_EQ(0, not_once(b, 0, 8 * PAGE));
}

TEST_F(spill, hole_that_a_stalled_pager_is_not_told_in_time_stays_a_hole)
{
	struct worker *puncher = &self->b->w[0], *reader = &self->b->w[1];
	struct bench *b = self->b;
	uint64_t start;

	BEHAVIOURS(65, 133);
	START(.return_ms = short_ms());
	ASSERT_TRUE(stall(b, 3 * MIB, 1));
	start = now_ms();
	EXPECT_EQ(-EIO, worker_do(puncher, do_punch, 0, 2 * MIB, 0));
	EXPECT_GE(2 * short_ms() + prompt(), now_ms() - start);
	EXPECT_EQ(0, worker_do(reader, do_check_zeros, 0, 2 * MIB, 0));
	EXPECT_EQ(0, worker_do(reader, do_check, 2 * MIB, MIB, 1));
	EXPECT_GE(MIB + SLACK, target_spilled(NAME));
	/* Its old content may have come before; from the hole on nothing does. */
	ASSERT_TRUE(SERVE_UNTIL(b, b->zeroed >= 2 * MIB / PAGE));
	EXPECT_EQ(0, store_wrong(b, 0, 2 * MIB, ZEROS));
	SERVE_UNTIL(b, target_spilled(NAME) == 0);
	/* Every fsync tells of the hole until it is acknowledged. */
	ASSERT_TRUE(WAIT_FOR(SOON, serve_order(b, puncher, do_fsync, 0, 0, 0) == 0));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 2 * MIB, ZEROS));
	EXPECT_EQ(0, store_wrong(b, 2 * MIB, MIB, 1));
}

/* ---- fsync, syncfs ---- */

TEST_F(spill, fsync_waits_for_the_store_until_its_deadline_and_tells_it_once_per_open)
{
	struct worker *w = &self->b->w[0], *other = &self->b->w[1];
	struct bench *b = self->b;
	uint64_t start;

	BEHAVIOURS(133);
	PARTIAL(59);
	START(.return_ms = short_ms());
	ASSERT_EQ(0, serve_order(b, other, do_reopen, 0, 0, 0));
	ASSERT_TRUE(stall(b, 2 * MIB, 1));
	start = ticked_ms();
	EXPECT_EQ(-EIO, worker_do(w, do_fsync, 0, 0, 0));
	EXPECT_LE(short_ms() - 10, ticked_ms() - start);
	EXPECT_GE(short_ms() + prompt(), ticked_ms() - start);
	EXPECT_EQ(EXTPAGER_STATE_STALLED, target_state(NAME));
	ASSERT_TRUE(SERVE_UNTIL(b, target_spilled(NAME) == 0));
	EXPECT_EQ(0, serve_order(b, w, do_fsync, 0, 0, 0));
	/* Another open file learns of it, once as well. */
	EXPECT_EQ(-EIO, serve_order(b, other, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, serve_order(b, other, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, store_wrong(b, 0, 2 * MIB, 1));
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
}

TEST_F(spill, fsync_ends_well_when_the_pager_is_back_in_time)
{
	struct worker *w = &self->b->w[0];
	struct bench *b = self->b;
	unsigned int syncs;

	BEHAVIOURS(66);
	START();
	ASSERT_TRUE(stall(b, 2 * MIB, 1));
	syncs = b->syncs;
	worker_begin(w, do_fsync, 0, 0, 0);
	EXPECT_TRUE(stays_busy(w));
	EXPECT_EQ(0, serve_worker(b, w));
	EXPECT_EQ(0, target_spilled(NAME));
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_EQ(0, store_wrong(b, 0, 2 * MIB, 1));
	EXPECT_LT(syncs, b->syncs);
}

/* All of the file is in the spill, none of it dirty or here: the store has not got it. */
TEST_F(spill, fsync_waits_for_the_successor)
{
	struct worker *w = &self->b->w[0];
	struct bench *b = self->b;
	unsigned int syncs;

	BEHAVIOURS(66, 86);
	START(.policy = "spill");
	ASSERT_TRUE(spill_orphaned(b, 0, 64 * PAGE, 1));
	ASSERT_TRUE(worker_evicts(w, 0, 64 * PAGE));
	syncs = b->syncs;
	worker_begin(w, do_fsync, 0, 0, 0);
	EXPECT_TRUE(stays_busy(w));
	ASSERT_TRUE(take_over(b));
	EXPECT_EQ(0, serve_worker(b, w));
	EXPECT_EQ(0, target_spilled(NAME));
	EXPECT_EQ(0, store_wrong(b, 0, 64 * PAGE, 1));
	EXPECT_LT(syncs, b->syncs);

	/* As long as anybody waits for one. */
	ASSERT_TRUE(spill_orphaned(b, 0, 64 * PAGE, 2));
	worker_begin(w, do_msync, 0, BYTES, 0);
	EXPECT_TRUE(stays_busy(w));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .grace_ms = 100 }));
	EXPECT_EQ(-EIO, worker_end(w, WORKER_MS));
	EXPECT_EQ(-EIO, worker_do(w, do_fsync, 0, 0, 0));
	ASSERT_TRUE(take_over(b));
	ASSERT_TRUE(SERVE_UNTIL(b, target_spilled(NAME) == 0));
	/* What was said of the open file may be said once more. */
	serve_order(b, w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 64 * PAGE, 2));
}

static long do_syncfs(struct order *o)
{
	return syncfs(o->fd) ? -errno : 0;
}

static long do_sync(struct order *o)
{
	sync();
	return 0;
}

TEST_F(spill, syncfs_and_sync_do_not_wait_for_a_pager_that_has_missed_its_time)
{
	struct worker *w = &self->b->w[0];
	struct bench *b = self->b;
	unsigned int orphaned;
	uint64_t start;

	BEHAVIOURS(133);
	START(.policy = "spill", .return_ms = short_ms());
	/* Not by its quota: until a deadline is missed it may answer yet. */
	ASSERT_TRUE(miss_deadline(b));
	/* What that fsync was told is told here as well, once. */
	EXPECT_EQ(-EIO, worker_do(w, do_syncfs, 0, 0, 0));
	for (orphaned = 0; orphaned < 2; orphaned++) {
		if (orphaned) {
			ASSERT_TRUE(lose_pager(b));
			ASSERT_TRUE(all_spilled(2 * PART));
		}
		start = now_ms();
		EXPECT_EQ(-EIO, worker_do(w, do_syncfs, 0, 0, 0));
		EXPECT_EQ(0, worker_do(w, do_sync, 0, 0, 0));
		EXPECT_GE(prompt(), now_ms() - start);
	}
	ASSERT_TRUE(take_over(b));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, serve_order(b, w, do_syncfs, 0, 0, 0));
	EXPECT_EQ(0, store_wrong(b, 0, PART, 1));
	EXPECT_EQ(0, store_wrong(b, APART, PART, 1));
}

/* ---- when there is no room ---- */

/* Of the kernel's log, from when it was opened: lines with both in them. */
static unsigned int log_lines(int kmsg, const char *a, const char *b)
{
	char record[8192];
	unsigned int nr = 0;
	ssize_t len;

	while ((len = read(kmsg, record, sizeof(record) - 1)) > 0 || errno == EPIPE) {
		if (len < 0)
			continue;
		record[len] = 0;
		nr += strstr(record, a) && strstr(record, b);
	}
	return nr;
}

static int log_from_now(void)
{
	int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	lseek(kmsg, 0, SEEK_END);
	return kmsg;
}

TEST_F(spill, at_its_limit_writers_are_paused_and_fail_as_without_a_spill)
{
	struct worker *w = &self->b->w[0];
	int kmsg = log_from_now();
	struct bench *b = self->b;
	uint64_t start;
	long done;

	BEHAVIOURS(91);
	START(.spill_limit = MIB, .return_ms = short_ms());
	start = ticked_ms();
	done = do_writes(w, 0, 4 * MIB, 1);
	EXPECT_LE(short_ms(), ticked_ms() - start);
	EXPECT_LE((long)(2 * MIB - SLACK), done);
	EXPECT_GE((long)(2 * MIB + SLACK), done);
	EXPECT_EQ(MIB, target_spilled(NAME));
	EXPECT_LE(QUOTA - SLACK, target_dirty(NAME));
	EXPECT_TRUE(target_spill_full(NAME));
	EXPECT_LT(0, target_stat(NAME, EXTPAGER_A_STATS_SPILLS_FAILED));
	/* After some pages it is tried again when the writer looks: ten times a second. */
	EXPECT_GE(100 + (ticked_ms() - start) / 20,
		  target_stat(NAME, EXTPAGER_A_STATS_SPILLS_FAILED));
	EXPECT_LE(MIB / PAGE, target_stat(NAME, EXTPAGER_A_STATS_PAGES_SPILLED));
	/* The next ones, at the same limit. */
	EXPECT_TRUE(WAIT_FOR(SOON, do_writes(w, BYTES - PAGE, PAGE, 1) == -EIO));
	EXPECT_EQ(0, worker_do(&b->w[1], do_touch_write, 0, 0, 0x5a));
	EXPECT_NE(0, b->w[1].order->code);
	EXPECT_EQ(0, worker_do(&b->w[1], do_check, 0, done, 1));
	EXPECT_EQ(1, log_lines(kmsg, "target " NAME ":", "spilled"));

	ASSERT_TRUE(SERVE_UNTIL(b, target_spilled(NAME) == 0));
	EXPECT_EQ((long)(2 * MIB), serve_order(b, w, do_write, 2 * MIB, 2 * MIB, 1));
	serve_order(b, w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(comes_home(b));
	EXPECT_TRUE(WAIT_FOR(SOON, !target_spill_full(NAME)));
	EXPECT_EQ(0, store_wrong(b, 0, done, 1));
	EXPECT_EQ(0, store_wrong(b, 2 * MIB, 2 * MIB, 1));
	close(kmsg);
}

TEST_F(spill, its_last_page_may_be_the_last_that_is_dirty)
{
	struct worker *w = &self->b->w[0];
	int kmsg = log_from_now();
	struct bench *b = self->b;

	BEHAVIOURS(91);
	START(.policy = "spill", .spill_limit = MIB);
	/* All of it fits, and that there is no more room is no news yet. */
	ASSERT_TRUE(spill_orphaned(b, 0, MIB, 1));
	EXPECT_FALSE(WAIT_FOR(NEVER_MS, target_spill_full(NAME)));
	EXPECT_EQ(0, log_lines(kmsg, "target " NAME ":", "spilled"));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_SPILLS_FAILED));
	EXPECT_EQ((long)PAGE, worker_do(w, do_write, MIB, PAGE, 1));
	EXPECT_TRUE(WAIT_FOR(SOON, target_spill_full(NAME)));
	EXPECT_FALSE(WAIT_FOR(NEVER_MS, !target_spill_full(NAME)));
	EXPECT_EQ(1, log_lines(kmsg, "target " NAME ":", "spilled"));

	ASSERT_TRUE(take_over(b));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, serve_order(b, w, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, store_wrong(b, 0, MIB + PAGE, 1));
	EXPECT_TRUE(WAIT_FOR(SOON, !target_spill_full(NAME)));
	close(kmsg);
}

TEST_F(spill, higher_limit_lets_a_paused_writer_go_on)
{
	struct worker *w = &self->b->w[0];
	struct bench *b = self->b;

	BEHAVIOURS(91);
	START(.no_spill = true);
	worker_begin(w, do_write, 0, 3 * MIB, 1);
	EXPECT_TRUE(stays_busy(w));
	EXPECT_EQ(0, target_spilled(NAME));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_PAGES_SPILLED));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .spill_limit = 8 * MIB }));
	EXPECT_EQ((long)(3 * MIB), worker_end(w, WORKER_MS));
	EXPECT_LE(2 * MIB - SLACK, target_spilled(NAME));
	EXPECT_TRUE(WAIT_FOR(SOON, !target_spill_full(NAME)));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 3 * MIB, 1));
}

#define CGROUP	"/sys/fs/cgroup/extpager-spill"
/* A fourth of it a writer may make dirty, and half of that comes back at once. */
#define CGROUP_BYTES (16 * MIB)
#define COMES_BACK (2 * MIB)

static long do_join_cgroup(struct order *o)
{
	return write_file(CGROUP "/cgroup.procs", "0") ? 0 : -errno;
}

/* What its successor is to take cannot be taken from the cgroup meanwhile. */
TEST_F(spill, what_comes_back_leaves_room_to_who_pays_for_it)
{
	struct bench *b = self->b;
	char max[32];

	BEHAVIOURS(91);
	PARTIAL(132);
	START(.policy = "spill", .quota = 8 * CGROUP_BYTES);
	mkdir(CGROUP, 0755);
	snprintf(max, sizeof(max), "%lu", CGROUP_BYTES);
	ASSERT_TRUE(write_file(CGROUP "/memory.max", max));
	ASSERT_EQ(0, worker_do(&b->w[0], do_join_cgroup, 0, 0, 0));
	ASSERT_TRUE(spill_orphaned(b, 0, 6 * MIB, 1));
	ASSERT_TRUE(take_over(b));
	EXPECT_TRUE(WAIT_FOR(SOON, target_dirty(NAME) + SLACK >= COMES_BACK));
	EXPECT_FALSE(WAIT_FOR(NEVER_MS, target_dirty(NAME) > COMES_BACK + SLACK));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 6 * MIB, 1));
	worker_stop(&b->w[0]);
	EXPECT_TRUE(WAIT_FOR(SOON, !rmdir(CGROUP)));
}

TEST_F(spill, without_swap_nothing_is_spilled)
{
	struct worker *w = &self->b->w[0];
	int kmsg = log_from_now();
	struct bench *b = self->b;

	BEHAVIOURS(91);
	START();
	ASSERT_EQ(0, swapoff(SWAP));
	worker_begin(w, do_write, 0, 3 * MIB, 1);
	EXPECT_TRUE(WAIT_FOR(SOON, target_stat(NAME, EXTPAGER_A_STATS_SPILLS_FAILED) > 0));
	EXPECT_TRUE(stays_busy(w));
	EXPECT_EQ(0, target_spilled(NAME));
	EXPECT_TRUE(target_spill_full(NAME));
	EXPECT_EQ(1, log_lines(kmsg, "target " NAME ":", "spilled"));
	EXPECT_EQ(EXTPAGER_STATE_STALLED, target_state(NAME));
	/* Swap comes, and the writer goes on. */
	ASSERT_EQ(0, swapon(SWAP, 0));
	EXPECT_EQ((long)(3 * MIB), worker_end(w, WORKER_MS));
	EXPECT_TRUE(WAIT_FOR(SOON, !target_spill_full(NAME)));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 3 * MIB, 1));

	/* Or the pager does. */
	ASSERT_EQ(0, swapoff(SWAP));
	worker_begin(w, do_write, 0, 3 * MIB, 2);
	EXPECT_TRUE(stays_busy(w));
	EXPECT_EQ((long)(3 * MIB), serve_worker(b, w));
	ASSERT_TRUE(comes_home(b));
	EXPECT_EQ(0, store_wrong(b, 0, 3 * MIB, 2));
	ASSERT_EQ(0, swapon(SWAP, 0));
	close(kmsg);
}

/* ---- the end of a target ---- */

static long shmem_kib(void)
{
	return read_number("/proc/meminfo", "Shmem:");
}

TEST_F(spill, target_with_spilled_pages_alone_is_not_deleted_without_a_pager)
{
	struct bench *b = self->b;
	uint64_t end;

	BEHAVIOURS(91);
	START(.policy = "spill");
	ASSERT_TRUE(spill_orphaned(b, 0, 2 * MIB, 1));
	ASSERT_TRUE(worker_evicts(&b->w[0], 0, 2 * MIB));
	EXPECT_EQ(-EBUSY, target_del(NAME, false));
	EXPECT_EQ(EXTPAGER_STATE_ORPHANED, target_state(NAME));
	ASSERT_TRUE(take_over(b));
	/* With one it returns them first. */
	EXPECT_EQ(0, target_del(NAME, false));
	for (end = now_ms() + SOON; target_state(NAME) && now_ms() < end;)
		serve_next(b);
	EXPECT_EQ(0, target_state(NAME));
	while (serve_next(b))
		;
	EXPECT_EQ(1, b->terminates);
	EXPECT_EQ(0, store_wrong(b, 0, 2 * MIB, 1));
	EXPECT_EQ(0, not_once(b, 0, 2 * MIB));
}

TEST_F(spill, discarding_a_target_frees_what_it_spilled)
{
	struct worker *w = &self->b->w[0];
	struct bench *b = self->b;
	long shmem;

	BEHAVIOURS(91);
	START(.policy = "spill");
	shmem = shmem_kib();
	ASSERT_TRUE(spill_orphaned(b, 0, 8 * MIB, 1));
	EXPECT_LE(shmem + 6 * 1024, shmem_kib());
	EXPECT_TRUE(worker_evicts(w, 0, MIB));
	EXPECT_TRUE(target_gone(NAME));
	/* Before the last file of it is closed, even. */
	EXPECT_TRUE(WAIT_FOR(SOON, shmem_kib() < shmem + 1024));
	EXPECT_NE(0, worker_do(w, do_read, 0, PAGE, 1));
}

/* Objects of a port have the module's settings: 64 MiB may be dirty. */
#define OWN_BYTES (72 * MIB)

static int write_own(void *fd)
{
	struct order o = { .fd = *(int *)fd, .length = MIB, .seed = 1 };

	for (o.offset = 0; o.offset < OWN_BYTES; o.offset += MIB)
		if (do_write(&o) != (long)MIB)
			return 1;
	return 0;
}

TEST_F_TIMEOUT(spill, spilled_pages_of_an_object_that_goes_are_counted_as_discarded, 150)
{
	struct extpager_reply re = { .op = EXTPAGER_RE_DESTROY, .flags = EXTPAGER_REF_DISCARD };
	struct bench *b = self->b;
	uint64_t stats[STATS];
	struct extpager_event ev;
	struct client c;
	int fd;

	PARTIAL(8);
	BEHAVIOURS(91);
	ASSERT_EQ(0, pager_open(&b->p, 1, 0));
	fd = pager_create(&b->p, OWN_BYTES, 0, &b->object);
	ASSERT_LE(0, fd);
	ASSERT_NE(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	ASSERT_TRUE(object_ready(&b->p, &b->generation));
	c = client_start(write_own, &fd);
	EXPECT_EQ(0, client_result(&c, 100000));
	re.object = b->object;
	re.generation = b->generation;
	ASSERT_EQ(0, pager_reply(&b->p, &re));
	while (pager_event(&b->p, &ev, SOON) && ev.op != EXTPAGER_EV_TERMINATE)
		;
	ASSERT_EQ(EXTPAGER_EV_TERMINATE, ev.op);
	ASSERT_TRUE(stats_get(NULL, b->p.setup.out_port, stats));
	EXPECT_LT(0, stats[EXTPAGER_A_STATS_PAGES_SPILLED]);
	EXPECT_EQ(OWN_BYTES / PAGE, stats[EXTPAGER_A_STATS_PAGES_DISCARDED]);
	close(fd);
}

/* ---- many at once ---- */

#define CHURN_PAGES	64UL

/*
 * Writes versions of pages of its own, punches them, lets go of them as often
 * as it can, and reads them back; how many it found wrong, or -errno. @seed is
 * the random state.
 */
struct churn {
	volatile bool stop;
	uint64_t version[WORKERS * CHURN_PAGES];	/* the last, as its writer knows it */
};

static struct churn *churn;		/* shared */

static long do_churn(struct order *o)
{
	uint64_t state = o->seed, *version = churn->version + o->offset / PAGE, i, written = 0;
	struct order page = *o;
	long ret, wrong = 0;

	page.length = PAGE;
	while (!churn->stop && !wrong) {
		i = test_random(&state) % CHURN_PAGES;
		page.offset = o->offset + i * PAGE;
		switch (test_random(&state) % 16) {
		case 0:
			version[i] = ZEROS;
			ret = do_punch(&page);
			break;
		case 1 ... 5:
			page.seed = version[i] = ++written;
			ret = do_store(&page);
			break;
		case 6 ... 10:
			page.seed = version[i] = ++written;
			ret = do_write(&page) == (long)PAGE ? 0 : -EIO;
			break;
		default:
			/* Starts a return if it is dirty, drops it if it is not. */
			ret = do_forget(&page);
			break;
		}
		if (ret)
			return ret;
		i = test_random(&state) % CHURN_PAGES;
		page.offset = o->offset + i * PAGE;
		page.seed = version[i];
		if (version[i] == ZEROS)
			wrong += test_random(&state) % 2 ? do_read_zeros(&page) :
							   do_check_zeros(&page);
		else
			wrong += test_random(&state) % 2 ? do_read(&page) : do_check(&page);
	}
	return wrong;
}

FIXTURE(churn)
{
	struct bench *b;
};

FIXTURE_VARIANT(churn)
{
	const char *policy;
	bool dies;		/* the pager, again and again; else it only falls asleep */
};

FIXTURE_VARIANT_ADD(churn, stalls) { .policy = "hold" };
FIXTURE_VARIANT_ADD(churn, deaths) { .policy = "spill", .dies = true };
FIXTURE_VARIANT_ADD(churn, deaths_by_policy_hold) { .policy = "hold", .dies = true };

FIXTURE_SETUP(churn)
{
	if (target_state(NAME))
		target_gone(NAME);
	swapon(SWAP, 0);
	churn = shared_memory(sizeof(*churn));
	self->b = calloc(1, sizeof(*self->b));
	/* The smallest there is, and a third of what they write to. */
	ASSERT_TRUE(bench_start(self->b, &(struct target_options){
		.bytes = BYTES, .quota = 64 * PAGE, .policy = variant->policy }));
}

FIXTURE_TEARDOWN(churn)
{
	unsigned int i;

	for (i = 0; i < WORKERS; i++)
		if (self->b->w[i].order)
			worker_stop(&self->b->w[i]);
	close(self->b->fd);
	pager_close(&self->b->p);
	EXPECT_TRUE(target_gone(NAME));
	free(self->b);
	munmap(churn, sizeof(*churn));
}

static void serve_for(struct bench *b, unsigned int ms)
{
	uint64_t end = now_ms() + ms;

	while (now_ms() < end)
		serve_next(b);
}

/* Beside what is churned, and twice the quota: so that something is in the spill from the first. */
#define ASIDE		(4 * MIB)
#define ASIDE_BYTES	(128 * PAGE)

static bool spills_first(struct bench *b, bool dies)
{
	return (!dies || lose_pager(b)) &&
	       do_writes(&b->w[0], ASIDE, ASIDE_BYTES, 1) == (long)ASIDE_BYTES &&
	       target_stat(NAME, EXTPAGER_A_STATS_PAGES_SPILLED) > 0 && (!dies || take_over(b));
}

/* Takes some returns in hand, and is not heard of for a while. */
static void hold_still(struct bench *b, uint64_t *state)
{
	struct extpager_event held[4];
	unsigned int nr = 0, wanted = test_random(state) % 5, i;
	uint64_t end = now_ms() + 50 + test_random(state) % 500;

	while (nr < wanted && now_ms() < end) {
		if (!pager_event(&b->p, &held[nr], 2))
			continue;
		if (held[nr].op == EXTPAGER_EV_DATA_RETURN)
			nr++;
		else
			serve_event(b, &held[nr]);
	}
	while (now_ms() < end)
		test_pause();
	for (i = 0; i < nr; i++)
		serve_event(b, &held[i]);
}

/* Goes with what it has in hand; the next one comes a little later. */
static bool die_and_be_replaced(struct bench *b, uint64_t *state)
{
	struct extpager_event ev;
	unsigned int i, wanted = test_random(state) % 5;

	for (i = 0; i < wanted; i++)
		if (pager_event(&b->p, &ev, 2) && ev.op == EXTPAGER_EV_DATA_RETURN)
			pager_fetch(&b->p, &ev, b->p.buffer);
	if (!lose_pager(b))
		return false;
	/* Long enough for writers to find the quota full, or not. */
	for (i = test_random(state) % 400; i; i--)
		test_pause();
	return take_over(b);
}

TEST_F_TIMEOUT(churn, loses_nothing_and_brings_nothing_back, 150)
{
	unsigned int times = test_rounds(250, 40, 15), i, page;
	uint64_t state = test_seed(91);
	struct bench *b = self->b;
	struct worker *w = b->w;

	BEHAVIOURS(58, 60, 61, 65, 91);
	ASSERT_TRUE(spills_first(b, variant->dies));
	for (i = 0; i < WORKERS; i++)
		worker_begin(&w[i], do_churn, i * CHURN_PAGES * PAGE, 0, state + 1000 * i);
	for (i = 0; i < times; i++) {
		serve_for(b, test_random(&state) % 200);
		if (!variant->dies)
			hold_still(b, &state);
		else if (!die_and_be_replaced(b, &state))
			break;
	}
	EXPECT_EQ(times, i);
	churn->stop = true;
	for (i = 0; i < WORKERS; i++)
		EXPECT_EQ(0, serve_worker(b, &w[i])) {
			TH_LOG("worker %u", i);
		}
	ASSERT_TRUE(comes_home(b));
	for (page = 0; page < WORKERS * CHURN_PAGES; page++)
		EXPECT_EQ(churn->version[page], b->version[page]) {
			TH_LOG("page %u", page);
		}
	EXPECT_EQ(0, store_wrong(b, ASIDE, ASIDE_BYTES, 1));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_SPILLS_FAILED));
}

TEST_HARNESS_MAIN
