// SPDX-License-Identifier: GPL-2.0-only
/* How dirty pages go back to a pager that the test itself plays. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/pager.h"
#include "support/worker.h"

#define NAME "writeback"
#define BYTES (8 * MIB)
#define WORKERS 3
#define EVENT_MS 10000
/* How long is waited for what must not happen. */
#define NEVER_MS 100

struct byhand {
	struct pager p;
	uint64_t object;
	int fd;
	struct worker w[WORKERS];
};

static bool answer_init(struct pager *p)
{
	struct extpager_event ev;

	return pager_expect(p, EXTPAGER_EV_INIT, &ev, EVENT_MS) && !pager_ready(p, &ev, 0, 0);
}

static bool byhand_start(struct byhand *b, const struct target_options *o, unsigned int queues)
{
	unsigned int i;

	target_gone(NAME);
	if (target_add(NAME, o) || pager_open(&b->p, queues, 0) ||
	    pager_attach(&b->p, NAME, &b->object, NULL))
		return false;
	b->fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	if (b->fd < 0 || !answer_init(&b->p))
		return false;
	for (i = 0; i < WORKERS; i++)
		if (!worker_start(&b->w[i], b->fd, o->bytes))
			return false;
	return true;
}

static bool byhand_stop(struct byhand *b)
{
	unsigned int i;

	for (i = 0; i < WORKERS; i++)
		if (b->w[i].order)
			worker_stop(&b->w[i]);
	close(b->fd);
	pager_close(&b->p);
	return target_gone(NAME);
}

/* A DATA_RETURN of just this range comes, and its bytes are the pattern of @seed. */
static bool takes_return(struct pager *p, struct extpager_event *ev, uint64_t offset,
			 uint64_t length, uint64_t seed)
{
	uint64_t at;

	if (!pager_expect(p, EXTPAGER_EV_DATA_RETURN, ev, EVENT_MS) ||
	    ev->flags & EXTPAGER_EVF_ZERO || ev->offset != offset || ev->length != length ||
	    pager_fetch(p, ev, p->buffer))
		return false;
	for (at = 0; at < length; at += PAGE)
		if (!page_is((uint8_t *)p->buffer + at, seed, (offset + at) / PAGE))
			return false;
	return true;
}

static bool answers_return(struct pager *p, uint64_t offset, uint64_t length, uint64_t seed)
{
	struct extpager_event ev;

	return takes_return(p, &ev, offset, length, seed) && !pager_return_done(p, &ev, 0);
}

static bool takes_zeros(struct pager *p, struct extpager_event *ev, uint64_t offset,
			uint64_t length)
{
	return pager_expect(p, EXTPAGER_EV_DATA_RETURN, ev, EVENT_MS) &&
	       ev->flags & EXTPAGER_EVF_ZERO && ev->offset == offset && ev->length == length;
}

static bool answers_sync(struct pager *p)
{
	struct extpager_event ev;

	return pager_expect(p, EXTPAGER_EV_SYNC, &ev, EVENT_MS) && !pager_sync_done(p, &ev, 0);
}

static bool answers_request(struct pager *p, uint64_t offset, uint64_t seed)
{
	struct extpager_event ev;

	return pager_expect(p, EXTPAGER_EV_DATA_REQUEST, &ev, EVENT_MS) &&
	       ev.offset == offset && ev.length == PAGE && !pager_supply(p, &ev, seed);
}

/* Answers what @w's order brings until it has ended: barriers, and returns of nothing but zeros. */
static bool answers_zeros_until_end(struct pager *p, struct worker *w)
{
	uint64_t end = now_ms() + EVENT_MS, at;
	struct extpager_event ev;

	while (worker_busy(w) && now_ms() < end) {
		if (!pager_event(p, &ev, 1))
			continue;
		if (ev.op == EXTPAGER_EV_SYNC) {
			pager_sync_done(p, &ev, 0);
			continue;
		}
		if (ev.op != EXTPAGER_EV_DATA_RETURN || pager_fetch(p, &ev, p->buffer))
			return false;
		for (at = 0; at < ev.length; at += PAGE)
			if (!page_is_zero((uint8_t *)p->buffer + at))
				return false;
		pager_return_done(p, &ev, 0);
	}
	return !worker_busy(w);
}

/* The next event, unless both end before one comes. */
static bool event_or_end(struct pager *p, struct extpager_event *ev, struct worker *a,
			 struct worker *b)
{
	uint64_t end = now_ms() + EVENT_MS;

	do {
		if (pager_event(p, ev, 10))
			return true;
	} while ((worker_busy(a) || worker_busy(b)) && now_ms() < end);
	return false;
}

/* @w gets these pages to the store: clean pages of @seed are in the cache. */
static bool writes_out(struct pager *p, struct worker *w, uint64_t offset, uint64_t length,
		       uint64_t seed)
{
	if (worker_do(w, do_write, offset, length, seed) != (long)length)
		return false;
	worker_begin(w, do_fsync, 0, 0, 0);
	return answers_return(p, offset, length, seed) && answers_sync(p) &&
	       worker_end(w, WORKER_MS) == 0;
}

static bool stays_busy(struct worker *w)
{
	return !WAIT_FOR(NEVER_MS, !worker_busy(w));
}

/* fsync tells of a failure once per open of the file: this worker gets one of its own. */
static long do_reopen(struct order *o)
{
	close(o->fd);
	o->fd = target_open(NAME, O_RDWR);
	return o->fd < 0 ? o->fd : 0;
}

/* Write-back only when somebody asks for it. */
FIXTURE(writeback)
{
	struct byhand b;
	long interval;
};

FIXTURE_SETUP(writeback)
{
	self->interval = writeback_interval(AN_HOUR);
	ASSERT_LT(0, self->interval);
	ASSERT_TRUE(byhand_start(&self->b, &(struct target_options){ .bytes = BYTES }, 1));
}

FIXTURE_TEARDOWN(writeback)
{
	EXPECT_TRUE(byhand_stop(&self->b));
	writeback_interval(self->interval);
}

/* ---- what fsync and msync wait for ---- */

TEST_F(writeback, sync_waits_for_every_return_and_the_barrier)
{
	static long (*const syncs[])(struct order *o) = { do_fsync, do_msync };
	struct worker *w = &self->b.w[0];
	struct pager *p = &self->b.p;
	struct extpager_event ev[3], sync;
	unsigned int i, s;

	BEHAVIOURS(66);
	for (s = 0; s < ARRAY_SIZE(syncs); s++) {
		for (i = 0; i < 3; i++)
			ASSERT_EQ((long)PAGE,
				  worker_do(w, do_write, (2 * i + 1) * PAGE, PAGE, s + 1));
		ASSERT_EQ(3 * PAGE, target_dirty(NAME));
		worker_begin(w, syncs[s], 0, BYTES, 0);
		for (i = 0; i < 3; i++)
			ASSERT_TRUE(takes_return(p, &ev[i], (2 * i + 1) * PAGE, PAGE, s + 1));
		for (i = 0; i < 3; i++) {
			EXPECT_TRUE(pager_silent(p, NEVER_MS));
			EXPECT_TRUE(worker_busy(w));
			ASSERT_EQ(0, pager_return_done(p, &ev[(i + 1) % 3], 0));
		}
		ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_SYNC, &sync, EVENT_MS));
		EXPECT_EQ(0, target_dirty(NAME));
		EXPECT_TRUE(stays_busy(w));
		ASSERT_EQ(0, pager_sync_done(p, &sync, 0));
		EXPECT_EQ(0, worker_end(w, WORKER_MS));

		/* Now there is nothing to ask for. */
		EXPECT_EQ(0, worker_do(w, syncs[s], 0, BYTES, 0));
		EXPECT_TRUE(pager_silent(p, 0));
	}
}

TEST_F(writeback, sync_waits_for_a_return_that_others_began)
{
	struct worker *a = &self->b.w[0], *b = &self->b.w[1];
	struct pager *p = &self->b.p;
	struct extpager_event ev;

	BEHAVIOURS(66, 67);
	ASSERT_EQ((long)(8 * PAGE), worker_do(a, do_write, 0, 8 * PAGE, 1));
	worker_begin(a, do_msync, 0, 8 * PAGE, 0);
	ASSERT_TRUE(takes_return(p, &ev, 0, 8 * PAGE, 1));
	/* Half of its range is with the pager already, half is not dirty yet. */
	ASSERT_EQ((long)(4 * PAGE), worker_do(b, do_write, 8 * PAGE, 4 * PAGE, 2));
	worker_begin(b, do_msync, 4 * PAGE, 8 * PAGE, 0);
	ASSERT_TRUE(answers_return(p, 8 * PAGE, 4 * PAGE, 2));
	EXPECT_TRUE(pager_silent(p, NEVER_MS));
	EXPECT_TRUE(worker_busy(a));
	EXPECT_TRUE(worker_busy(b));
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	while (event_or_end(p, &ev, a, b)) {
		ASSERT_EQ(EXTPAGER_EV_SYNC, ev.op);
		ASSERT_EQ(0, pager_sync_done(p, &ev, 0));
	}
	EXPECT_EQ(0, worker_end(a, WORKER_MS));
	EXPECT_EQ(0, worker_end(b, WORKER_MS));
	EXPECT_EQ(12, target_stat(NAME, EXTPAGER_A_STATS_PAGES_RETURNED));
}

TEST_F(writeback, sync_waits_for_a_barrier_that_others_began)
{
	struct worker *a = &self->b.w[0], *b = &self->b.w[1];
	struct pager *p = &self->b.p;
	struct extpager_event first, ev;

	BEHAVIOURS(66, 67);
	ASSERT_EQ((long)PAGE, worker_do(a, do_write, 0, PAGE, 1));
	worker_begin(a, do_fsync, 0, 0, 0);
	ASSERT_TRUE(answers_return(p, 0, PAGE, 1));
	ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_SYNC, &first, EVENT_MS));
	/* What was returned does not survive power loss yet, whoever asks. */
	worker_begin(b, do_fsync, 0, 0, 0);
	EXPECT_TRUE(stays_busy(b));
	ASSERT_EQ(0, pager_sync_done(p, &first, 0));
	while (event_or_end(p, &ev, a, b)) {
		ASSERT_EQ(EXTPAGER_EV_SYNC, ev.op);
		ASSERT_EQ(0, pager_sync_done(p, &ev, 0));
	}
	EXPECT_EQ(0, worker_end(a, WORKER_MS));
	EXPECT_EQ(0, worker_end(b, WORKER_MS));
}

TEST_F(writeback, failed_barrier_is_reported_and_made_good)
{
	struct worker *w = &self->b.w[0];
	struct pager *p = &self->b.p;
	struct extpager_event ev;

	BEHAVIOURS(66);
	ASSERT_EQ((long)PAGE, worker_do(w, do_write, 0, PAGE, 1));
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(answers_return(p, 0, PAGE, 1));
	ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_SYNC, &ev, EVENT_MS));
	ASSERT_EQ(0, pager_sync_done(p, &ev, ENOSPC));
	EXPECT_EQ(-ENOSPC, worker_end(w, WORKER_MS));
	/* The bytes are with the pager, but not safe: only the barrier comes again. */
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(answers_sync(p));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
	EXPECT_EQ(1, target_stat(NAME, EXTPAGER_A_STATS_PAGES_RETURNED));
}

TEST_F(writeback, client_killed_in_fsync_leaves_at_once)
{
	struct worker *w = &self->b.w[0];
	struct pager *p = &self->b.p;
	struct extpager_event ev;
	uint64_t start;

	PARTIAL(30, 99);
	ASSERT_EQ((long)PAGE, worker_do(w, do_write, 0, PAGE, 1));
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(takes_return(p, &ev, 0, PAGE, 1));
	start = now_ms();
	client_kill(&w->c);
	EXPECT_GT(on_debug_kernel() ? 2000 : 500, now_ms() - start);
	/* Its bytes are on their way all the same. */
	EXPECT_EQ(0, worker_do(&self->b.w[1], do_check, 0, PAGE, 1));
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	EXPECT_TRUE(WAIT_FOR(5000, target_dirty(NAME) == 0));
}

/* ---- pages in transit ---- */

TEST_F(writeback, write_during_write_back_leaves_the_page_dirty)
{
	static long (*const writes[])(struct order *o) = { do_store, do_write };
	struct worker *a = &self->b.w[0], *b = &self->b.w[1];
	struct pager *p = &self->b.p;
	struct extpager_reply fetch;
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(58);
	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		uint64_t old = 2 * i + 1, new = 2 * i + 2;
		uint8_t *copy = p->buffer;

		ASSERT_EQ((long)(3 * PAGE), worker_do(a, do_write, 4 * PAGE, 3 * PAGE, old));
		worker_begin(a, do_fsync, 0, 0, 0);
		ASSERT_TRUE(takes_return(p, &ev, 4 * PAGE, 3 * PAGE, old));
		/* The pager does not delay the writer, nor is the copy it has changed. */
		ASSERT_LE(0, worker_do(b, writes[i], 5 * PAGE, PAGE, new));
		EXPECT_TRUE(page_is(copy + PAGE, old, 5));
		/* Another copy is as the pages are by then, be it of one of them. */
		ASSERT_EQ(0, pager_fetch(p, &ev, copy));
		EXPECT_TRUE(page_is(copy, old, 4));
		EXPECT_TRUE(page_is(copy + PAGE, new, 5));
		EXPECT_TRUE(page_is(copy + 2 * PAGE, old, 6));
		memset(copy, 0, 3 * PAGE);
		fetch = reply_to(&ev, EXTPAGER_RE_RETURN_FETCH);
		fetch.offset = 5 * PAGE;
		fetch.length = PAGE;
		fetch.addr = (uintptr_t)copy;
		ASSERT_EQ(0, pager_reply(p, &fetch));
		EXPECT_EQ(PAGE, fetch.out_done);
		EXPECT_TRUE(page_is(copy, new, 5));
		EXPECT_TRUE(page_is_zero(copy + PAGE));
		ASSERT_EQ(0, pager_return_done(p, &ev, 0));
		EXPECT_EQ(-ENOENT, pager_reply(p, &fetch));
		ASSERT_TRUE(answers_sync(p));
		ASSERT_EQ(0, worker_end(a, WORKER_MS));
		EXPECT_EQ(PAGE, target_dirty(NAME));
		worker_begin(a, do_fsync, 0, 0, 0);
		ASSERT_TRUE(answers_return(p, 5 * PAGE, PAGE, new));
		ASSERT_TRUE(answers_sync(p));
		ASSERT_EQ(0, worker_end(a, WORKER_MS));
		EXPECT_EQ(0, target_dirty(NAME));
	}
}

TEST_F(writeback, page_in_transit_is_read_from_memory)
{
	struct worker *a = &self->b.w[0], *b = &self->b.w[1];
	struct pager *p = &self->b.p;
	struct extpager_event ev;

	BEHAVIOURS(60, 126);
	ASSERT_EQ((long)(4 * PAGE), worker_do(a, do_write, 0, 4 * PAGE, 1));
	worker_begin(a, do_fsync, 0, 0, 0);
	ASSERT_TRUE(takes_return(p, &ev, 0, 4 * PAGE, 1));
	EXPECT_EQ(0, worker_do(b, do_check, 0, 4 * PAGE, 1));
	EXPECT_EQ(0, worker_do(b, do_read, 0, 4 * PAGE, 1));
	drop_caches();
	EXPECT_EQ(0, worker_do(b, do_forget, 0, 4 * PAGE, 0));
	EXPECT_EQ(4, worker_do(b, do_resident, 0, 4 * PAGE, 0));
	EXPECT_EQ(0, worker_do(b, do_check, 0, 4 * PAGE, 1));
	EXPECT_TRUE(pager_silent(p, 0));

	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	ASSERT_TRUE(answers_sync(p));
	ASSERT_EQ(0, worker_end(a, WORKER_MS));
	EXPECT_TRUE(worker_evicts(b, 0, 4 * PAGE));
	worker_begin(b, do_check, 2 * PAGE, PAGE, 1);
	ASSERT_TRUE(answers_request(p, 2 * PAGE, 1));
	EXPECT_EQ(0, worker_end(b, WORKER_MS));
}

TEST_F(writeback, mapping_is_watched_again_after_each_return)
{
	struct worker *w = &self->b.w[0];
	struct pager *p = &self->b.p;
	uint64_t seed;

	BEHAVIOURS(44, 68);
	ASSERT_TRUE(writes_out(p, w, 0, PAGE, 1));
	ASSERT_EQ(0, worker_do(w, do_check, 0, PAGE, 1));
	for (seed = 2; seed < 10; seed++) {
		EXPECT_EQ(0, target_dirty(NAME));
		ASSERT_EQ(0, worker_do(w, do_store, 0, PAGE, seed));
		EXPECT_EQ(PAGE, target_dirty(NAME));
		worker_begin(w, do_msync, 0, PAGE, 0);
		ASSERT_TRUE(answers_return(p, 0, PAGE, seed));
		ASSERT_TRUE(answers_sync(p));
		ASSERT_EQ(0, worker_end(w, WORKER_MS));
	}
}

/* ---- clusters ---- */

TEST_F(writeback, contiguous_pages_come_back_together)
{
	struct worker *w = &self->b.w[0];
	struct pager *p = &self->b.p;
	uint64_t start = 3 * PAGE;

	BEHAVIOURS(62);
	ASSERT_EQ((long)(5 * MIB), worker_do(w, do_write, start, 5 * MIB, 1));
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(answers_return(p, start, 2 * MIB, 1));
	ASSERT_TRUE(answers_return(p, start + 2 * MIB, 2 * MIB, 1));
	ASSERT_TRUE(answers_return(p, start + 4 * MIB, MIB, 1));
	ASSERT_TRUE(answers_sync(p));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));

	/* A clean page between dirty ones stays where it is; pages 6 and 7 are its neighbours. */
	ASSERT_EQ((long)(2 * PAGE), worker_do(w, do_write, 6 * PAGE, 2 * PAGE, 2));
	ASSERT_EQ((long)(3 * PAGE), worker_do(w, do_write, 9 * PAGE, 3 * PAGE, 2));
	/* An absent one parts them as well. */
	ASSERT_EQ((long)PAGE, worker_do(w, do_write, 1 * PAGE, PAGE, 2));
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(answers_return(p, 1 * PAGE, PAGE, 2));
	ASSERT_TRUE(answers_return(p, 6 * PAGE, 2 * PAGE, 2));
	ASSERT_TRUE(answers_return(p, 9 * PAGE, 3 * PAGE, 2));
	ASSERT_TRUE(answers_sync(p));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
}

/* ---- pressure ---- */

#define CGROUP "/sys/fs/cgroup/extpager-writeback"

static long do_join_cgroup(struct order *o)
{
	return write_file(CGROUP "/cgroup.procs", "0") ? 0 : -errno;
}

/* Ask for everything back until no page of the range is here, or for two seconds. */
static long do_reclaim(struct order *o)
{
	bool gone = WAIT_FOR(2000, (write_file(CGROUP "/memory.reclaim", "8M"),
				    do_resident(o) == 0));

	return gone ? 0 : do_resident(o);
}

TEST_F(writeback, pressure_returns_dirty_pages_and_then_takes_them)
{
	struct worker *a = &self->b.w[0], *reclaimer = &self->b.w[1];
	unsigned int nr = 256, returned = 0;
	struct pager *p = &self->b.p;
	uint64_t at;
	long left;

	BEHAVIOURS(54, 126);
	/* What reclaim leaves behind the flusher comes for by itself. */
	writeback_interval(self->interval);
	mkdir(CGROUP, 0755);
	ASSERT_EQ(0, worker_do(a, do_join_cgroup, 0, 0, 0));
	ASSERT_EQ((long)(nr * PAGE), worker_do(a, do_write, 0, nr * PAGE, 1));
	worker_begin(reclaimer, do_reclaim, 0, nr * PAGE, 0);
	while (returned < nr) {
		struct extpager_event ev;

		ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_DATA_RETURN, &ev, EVENT_MS));
		/* Dirty bytes, never a hole, for the first time. */
		ASSERT_EQ(0, ev.flags);
		ASSERT_EQ(0, pager_fetch(p, &ev, p->buffer));
		for (at = 0; at < ev.length; at += PAGE)
			EXPECT_TRUE(page_is((uint8_t *)p->buffer + at, 1,
					    (ev.offset + at) / PAGE));
		/* Until the pager has said that it is done, they cannot be taken. */
		if (!returned)
			EXPECT_EQ((long)nr, worker_end(reclaimer, WORKER_MS));
		ASSERT_EQ(0, pager_return_done(p, &ev, 0));
		/* The flusher's rough count of dirty pages may let it stop short. */
		if (!returned)
			worker_begin(reclaimer, do_reclaim, 0, nr * PAGE, 0);
		returned += ev.length / PAGE;
	}
	EXPECT_EQ(nr, returned);
	left = worker_end(reclaimer, WORKER_MS);
	if (left)
		left = worker_do(reclaimer, do_reclaim, 0, nr * PAGE, 0);
	EXPECT_EQ(0, left);
	worker_begin(a, do_check, 77 * PAGE, PAGE, 1);
	ASSERT_TRUE(answers_request(p, 77 * PAGE, 1));
	EXPECT_EQ(0, worker_end(a, WORKER_MS));
	worker_stop(a);
	EXPECT_EQ(0, rmdir(CGROUP));
}

/* ---- failing returns ---- */

TEST_F(writeback, failed_return_is_offered_again_and_told_once_per_open)
{
	struct worker *a = &self->b.w[0], *b = &self->b.w[1], *c = &self->b.w[2];
	static const unsigned int errors[] = { EIO, ENOSPC, EDQUOT };
	struct pager *p = &self->b.p;
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(59);
	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		ASSERT_EQ(0, worker_do(a, do_reopen, 0, 0, 0));
		ASSERT_EQ(0, worker_do(b, do_reopen, 0, 0, 0));
		ASSERT_EQ((long)PAGE, worker_do(a, do_write, 2 * PAGE, PAGE, i + 1));
		worker_begin(a, do_fsync, 0, 0, 0);
		ASSERT_TRUE(takes_return(p, &ev, 2 * PAGE, PAGE, i + 1));
		ASSERT_EQ(0, pager_return_done(p, &ev, errors[i]));
		EXPECT_EQ(-(long)errors[i], worker_end(a, WORKER_MS));
		EXPECT_EQ(PAGE, target_dirty(NAME));
		EXPECT_EQ(0, worker_do(b, do_check, 2 * PAGE, PAGE, i + 1));

		/* The same bytes again; @b had the file open, so it hears of it too. */
		worker_begin(b, do_fsync, 0, 0, 0);
		ASSERT_TRUE(answers_return(p, 2 * PAGE, PAGE, i + 1));
		ASSERT_TRUE(answers_sync(p));
		EXPECT_EQ(-(long)errors[i], worker_end(b, WORKER_MS));
		EXPECT_EQ(0, target_dirty(NAME));

		/* Each was told; who opens now never had a part in it. */
		EXPECT_EQ(0, worker_do(a, do_fsync, 0, 0, 0));
		EXPECT_EQ(0, worker_do(b, do_fsync, 0, 0, 0));
		ASSERT_EQ(0, worker_do(c, do_reopen, 0, 0, 0));
		EXPECT_EQ(0, worker_do(c, do_fsync, 0, 0, 0));
		EXPECT_TRUE(pager_silent(p, 0));
	}
	EXPECT_EQ(ARRAY_SIZE(errors), target_stat(NAME, EXTPAGER_A_STATS_RETURNS_FAILED));
}

TEST_F(writeback, failed_return_does_not_lose_what_was_written_meanwhile)
{
	struct worker *a = &self->b.w[0], *b = &self->b.w[1];
	struct pager *p = &self->b.p;
	struct extpager_event ev;

	BEHAVIOURS(58, 59);
	ASSERT_EQ((long)PAGE, worker_do(a, do_write, 2 * PAGE, PAGE, 1));
	worker_begin(a, do_fsync, 0, 0, 0);
	ASSERT_TRUE(takes_return(p, &ev, 2 * PAGE, PAGE, 1));
	ASSERT_EQ(0, worker_do(b, do_store, 2 * PAGE, PAGE, 2));
	ASSERT_EQ(0, pager_return_done(p, &ev, EIO));
	EXPECT_EQ(-EIO, worker_end(a, WORKER_MS));
	worker_begin(a, do_fsync, 0, 0, 0);
	ASSERT_TRUE(answers_return(p, 2 * PAGE, PAGE, 2));
	ASSERT_TRUE(answers_sync(p));
	EXPECT_EQ(0, worker_end(a, WORKER_MS));
	EXPECT_EQ(0, target_dirty(NAME));
}

/* The kernel's flusher, in a hurry. */
static const char *const hurries[] = {
	"/proc/sys/vm/dirty_writeback_centisecs",
	"/proc/sys/vm/dirty_expire_centisecs",
};

FIXTURE(hurried)
{
	struct byhand b;
	long before[ARRAY_SIZE(hurries)];
};

FIXTURE_SETUP(hurried)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(hurries); i++) {
		self->before[i] = read_number(hurries[i], NULL);
		ASSERT_LT(10, self->before[i]);
	}
	ASSERT_TRUE(byhand_start(&self->b, &(struct target_options){ .bytes = BYTES }, 1));
	for (i = 0; i < ARRAY_SIZE(hurries); i++)
		EXPECT_TRUE(write_file(hurries[i], "10"));
}

FIXTURE_TEARDOWN(hurried)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(hurries); i++)
		EXPECT_TRUE(write_number(hurries[i], self->before[i]));
	EXPECT_TRUE(byhand_stop(&self->b));
}

TEST_F(hurried, failed_return_comes_again_by_itself_but_not_at_once)
{
	struct pager *p = &self->b.p;
	struct extpager_event ev;
	uint64_t failed;

	BEHAVIOURS(59);
	ASSERT_EQ((long)PAGE, worker_do(&self->b.w[0], do_write, PAGE, PAGE, 1));
	ASSERT_TRUE(takes_return(p, &ev, PAGE, PAGE, 1));
	failed = now_ms();
	ASSERT_EQ(0, pager_return_done(p, &ev, EIO));
	ASSERT_TRUE(takes_return(p, &ev, PAGE, PAGE, 1));
	EXPECT_LE(900, now_ms() - failed);
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	EXPECT_EQ(0, target_dirty(NAME));
}

/* ---- holes ---- */

TEST_F(writeback, punched_range_reads_as_zeros_before_it_is_acknowledged)
{
	struct worker *a = &self->b.w[0], *b = &self->b.w[1];
	struct pager *p = &self->b.p;
	struct extpager_reply fetch;
	struct extpager_event ev;

	BEHAVIOURS(65);
	ASSERT_TRUE(writes_out(p, a, 0, 8 * PAGE, 1));
	ASSERT_EQ((long)PAGE, worker_do(a, do_write, 3 * PAGE, PAGE, 2));
	worker_begin(a, do_punch, 2 * PAGE, 3 * PAGE, 0);
	/* The page that was dirty is given up, not returned. */
	ASSERT_TRUE(takes_zeros(p, &ev, 2 * PAGE, 3 * PAGE));
	EXPECT_EQ(0, worker_do(b, do_check_zeros, 2 * PAGE, 3 * PAGE, 0));
	EXPECT_EQ(0, worker_do(b, do_read_zeros, 2 * PAGE, 3 * PAGE, 0));
	EXPECT_EQ(0, worker_do(b, do_check, 0, 2 * PAGE, 1));
	EXPECT_EQ(0, worker_do(b, do_check, 5 * PAGE, 3 * PAGE, 1));
	EXPECT_TRUE(pager_silent(p, 0));
	EXPECT_TRUE(worker_busy(a));

	/* There is nothing to fetch. */
	fetch = reply_to(&ev, EXTPAGER_RE_RETURN_FETCH);
	fetch.offset = ev.offset;
	fetch.length = PAGE;
	fetch.addr = (uintptr_t)p->buffer;
	EXPECT_EQ(-ERANGE, pager_reply(p, &fetch));
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	EXPECT_EQ(0, worker_end(a, WORKER_MS));

	/* The store has the zeros from now on; pages read meanwhile may come as well. */
	worker_begin(b, do_fsync, 0, 0, 0);
	ASSERT_TRUE(answers_zeros_until_end(p, b));
	EXPECT_EQ(0, worker_end(b, 0));
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_TRUE(worker_evicts(b, 2 * PAGE, 3 * PAGE));
	worker_begin(b, do_check_zeros, 3 * PAGE, PAGE, 0);
	ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_DATA_REQUEST, &ev, EVENT_MS));
	EXPECT_EQ(3 * PAGE, ev.offset);
	ASSERT_EQ(0, pager_supply_zero(p, &ev));
	EXPECT_EQ(0, worker_end(b, WORKER_MS));
}

TEST_F(writeback, late_write_survives_the_hole_it_is_made_in)
{
	struct worker *a = &self->b.w[0], *b = &self->b.w[1];
	struct pager *p = &self->b.p;
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS(65);
	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(writes_out(p, a, 0, 4 * PAGE, 1));
		worker_begin(a, do_punch, 0, 4 * PAGE, 0);
		ASSERT_TRUE(takes_zeros(p, &ev, 0, 4 * PAGE));
		ASSERT_EQ(0, worker_do(b, do_store, PAGE, PAGE, 2));
		worker_begin(b, do_fsync, 0, 0, 0);
		/* The zeros go first; fsync waits for both. */
		EXPECT_TRUE(pager_silent(p, NEVER_MS));
		EXPECT_TRUE(worker_busy(b));
		ASSERT_EQ(0, pager_return_done(p, &ev, 0));
		ASSERT_EQ(0, worker_end(a, WORKER_MS));
		ASSERT_TRUE(answers_return(p, PAGE, PAGE, 2));
		ASSERT_TRUE(answers_sync(p));
		EXPECT_EQ(0, worker_end(b, WORKER_MS));
		EXPECT_EQ(0, worker_do(b, do_check, PAGE, PAGE, 2));
	}
}

TEST_F(writeback, fsync_covers_a_hole)
{
	struct worker *a = &self->b.w[0], *b = &self->b.w[1];
	struct pager *p = &self->b.p;
	struct extpager_event ev;

	BEHAVIOURS(65, 66);
	worker_begin(a, do_punch, 4 * PAGE, 2 * MIB + 8 * PAGE, 0);
	/* One event, however long: there are no bytes to move. */
	ASSERT_TRUE(takes_zeros(p, &ev, 4 * PAGE, 2 * MIB + 8 * PAGE));
	worker_begin(b, do_fsync, 0, 0, 0);
	EXPECT_TRUE(pager_silent(p, NEVER_MS));
	EXPECT_TRUE(worker_busy(b));
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	EXPECT_EQ(0, worker_end(a, WORKER_MS));
	ASSERT_TRUE(answers_sync(p));
	EXPECT_EQ(0, worker_end(b, WORKER_MS));
}

TEST_F(writeback, failed_hole_is_offered_again)
{
	struct worker *a = &self->b.w[0], *b = &self->b.w[1];
	struct pager *p = &self->b.p;
	struct extpager_event ev;

	BEHAVIOURS(65);
	ASSERT_TRUE(writes_out(p, a, 0, 4 * PAGE, 1));
	worker_begin(a, do_punch, 0, 4 * PAGE, 0);
	ASSERT_TRUE(takes_zeros(p, &ev, 0, 4 * PAGE));
	ASSERT_EQ(0, pager_return_done(p, &ev, EIO));
	EXPECT_EQ(-EIO, worker_end(a, WORKER_MS));
	/* Nobody asked for it a second time, but the zeros stand. */
	EXPECT_EQ(0, worker_do(b, do_check_zeros, 0, 4 * PAGE, 0));
	ASSERT_TRUE(takes_zeros(p, &ev, 0, 4 * PAGE));
	worker_begin(b, do_fsync, 0, 0, 0);
	EXPECT_TRUE(stays_busy(b));
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	ASSERT_TRUE(answers_zeros_until_end(p, b));
	/* It is the same open file, and its fsync was never told of the first failure. */
	EXPECT_EQ(-EIO, worker_end(b, 0));
	EXPECT_EQ(0, worker_do(b, do_fsync, 0, 0, 0));
	EXPECT_TRUE(worker_evicts(b, 0, 4 * PAGE));
	worker_begin(b, do_check_zeros, 0, PAGE, 0);
	ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_DATA_REQUEST, &ev, EVENT_MS));
	ASSERT_EQ(0, pager_supply_zero(p, &ev));
	EXPECT_EQ(0, worker_end(b, WORKER_MS));
}

TEST_F(writeback, hole_waits_for_the_return_under_it)
{
	struct worker *a = &self->b.w[0], *b = &self->b.w[1];
	struct pager *p = &self->b.p;
	struct extpager_event ev;

	BEHAVIOURS(61, 65);
	ASSERT_EQ((long)(4 * PAGE), worker_do(a, do_write, 0, 4 * PAGE, 1));
	worker_begin(a, do_fsync, 0, 0, 0);
	ASSERT_TRUE(takes_return(p, &ev, 0, 4 * PAGE, 1));
	worker_begin(b, do_punch, PAGE, PAGE, 0);
	EXPECT_TRUE(pager_silent(p, NEVER_MS));
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	/* In whatever order the barrier and the zeros come. */
	while (event_or_end(p, &ev, a, b)) {
		if (ev.op == EXTPAGER_EV_SYNC) {
			ASSERT_EQ(0, pager_sync_done(p, &ev, 0));
		} else {
			EXPECT_EQ(EXTPAGER_EV_DATA_RETURN, ev.op);
			EXPECT_TRUE(ev.flags & EXTPAGER_EVF_ZERO);
			EXPECT_EQ(PAGE, ev.offset);
			ASSERT_EQ(0, pager_return_done(p, &ev, 0));
		}
	}
	EXPECT_EQ(0, worker_end(a, 0));
	EXPECT_EQ(0, worker_end(b, 0));
}

TEST_F(writeback, hole_inside_pages_dirties_their_edges)
{
	struct worker *w = &self->b.w[0];
	uint8_t *page = self->b.p.buffer;
	struct pager *p = &self->b.p;
	struct extpager_event ev;
	uint8_t want[2 * PAGE];

	BEHAVIOURS(65);
	ASSERT_TRUE(writes_out(p, w, 0, 2 * PAGE, 1));
	/* Across a border, no whole page. */
	ASSERT_EQ(0, worker_do(w, do_punch, PAGE - 100, 300, 0));
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_DATA_RETURN, &ev, EVENT_MS));
	EXPECT_EQ(0, ev.flags & EXTPAGER_EVF_ZERO);
	EXPECT_EQ(0, ev.offset);
	ASSERT_EQ(2 * PAGE, ev.length);
	ASSERT_EQ(0, pager_fetch(p, &ev, page));
	fill_page(want, 1, 0);
	fill_page(want + PAGE, 1, 1);
	memset(want + PAGE - 100, 0, 300);
	EXPECT_EQ(0, memcmp(want, page, 2 * PAGE));
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	ASSERT_TRUE(answers_sync(p));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
}

/* ---- order, with many queues ---- */

#define QUEUES 4

FIXTURE(queues)
{
	struct byhand b;
};

FIXTURE_SETUP(queues)
{
	ASSERT_TRUE(byhand_start(&self->b, &(struct target_options){ .bytes = BYTES }, QUEUES));
}

FIXTURE_TEARDOWN(queues)
{
	EXPECT_TRUE(byhand_stop(&self->b));
}

#define CHURN_PAGES 16

/*
 * Writes versions of its own pages, lets go of them as often as it can, and
 * reads them back; how many it found wrong. @seed is the random state and
 * @length the number of rounds.
 */
static long do_churn(struct order *o)
{
	uint64_t version[CHURN_PAGES] = { }, state = o->seed, at;
	struct order page = *o;
	unsigned int round, i;
	long wrong = 0;

	for (round = 0; round < o->length && !wrong; round++) {
		i = test_random(&state) % CHURN_PAGES;
		at = o->offset + i * PAGE;
		page.offset = at;
		page.length = PAGE;
		if (test_random(&state) % 2) {
			page.seed = ++version[i];
			if (do_write(&page) != (long)PAGE)
				return -EIO;
		}
		if (test_random(&state) % 4 == 0 && do_fsync(&page))
			return -EIO;
		/* Starts a return if it is dirty, drops it if it is not. */
		if (do_forget(&page))
			return -EIO;
		page.seed = version[i];
		wrong += test_random(&state) % 2 ? do_read(&page) : do_check(&page);
	}
	return wrong;
}

/* What all the pager's threads know. */
struct churn_store {
	pthread_mutex_t lock;
	bool in_transit[BYTES / PAGE];	/* with a thread, whose bytes are newer */
	uint8_t *bytes;
	volatile bool stop;
};

/* One of them, with a queue of its own. */
struct churn_thread {
	struct pager *p;
	unsigned int queue;
	struct churn_store *s;
	uint64_t random;
	struct extpager_event held[16];	/* returns, unanswered */
	unsigned int nr_held;

	unsigned int requests, returns;
	unsigned int overtaken;		/* pages asked for while they were in transit */
	unsigned int refused;		/* replies */
	pthread_t thread;
};

enum transit { LOOK, BEGIN, END };

/* How many pages of the range were in transit till now. */
static unsigned int transit(struct churn_store *s, const struct extpager_event *ev,
			    enum transit what)
{
	unsigned int nr = 0;
	uint64_t at;

	pthread_mutex_lock(&s->lock);
	for (at = ev->offset; at < ev->offset + ev->length; at += PAGE) {
		nr += s->in_transit[at / PAGE];
		if (what != LOOK)
			s->in_transit[at / PAGE] = what == BEGIN;
	}
	pthread_mutex_unlock(&s->lock);
	return nr;
}

static void churn_reply(struct churn_thread *t, const struct extpager_event *ev, unsigned int op)
{
	struct extpager_reply re = reply_to(ev, op);

	if (op == EXTPAGER_RE_SUPPLY || op == EXTPAGER_RE_RETURN_FETCH) {
		re.offset = ev->offset;
		re.length = ev->length;
		re.addr = (uintptr_t)t->s->bytes + ev->offset;
	}
	t->refused += !!pager_reply_on(t->p, t->queue, &re);
}

/* As late as it dares: the store is up to date before the pager says that it is. */
static void release_return(struct churn_thread *t)
{
	struct extpager_event ev = t->held[0];

	memmove(t->held, t->held + 1, --t->nr_held * sizeof(ev));
	churn_reply(t, &ev, EXTPAGER_RE_RETURN_FETCH);
	transit(t->s, &ev, END);
	churn_reply(t, &ev, EXTPAGER_RE_RETURN_DONE);
}

static void serve_churn(struct churn_thread *t, const struct extpager_event *ev)
{
	switch (ev->op) {
	case EXTPAGER_EV_DATA_RETURN:
		t->returns++;
		t->overtaken += transit(t->s, ev, BEGIN);
		t->held[t->nr_held++] = *ev;
		break;
	case EXTPAGER_EV_DATA_REQUEST:
		t->requests++;
		t->overtaken += transit(t->s, ev, LOOK);
		churn_reply(t, ev, EXTPAGER_RE_SUPPLY);
		break;
	case EXTPAGER_EV_SYNC:
		churn_reply(t, ev, EXTPAGER_RE_SYNC_DONE);
		break;
	}
}

static void *churn_main(void *arg)
{
	struct churn_thread *t = arg;
	bool idle = false;

	while (!t->s->stop) {
		struct extpager_event ev;
		bool any = t->nr_held < ARRAY_SIZE(t->held) &&
			   pager_event_on(t->p, t->queue, &ev);

		if (any)
			serve_churn(t, &ev);
		else if (!idle)
			test_pause();
		/* With nothing else to do it still lets a moment pass. */
		if (t->nr_held && (any ? test_random(&t->random) % 4 == 0 : idle))
			release_return(t);
		idle = !any && !idle;
	}
	return NULL;
}

static bool any_busy(struct worker *w)
{
	return worker_busy(&w[0]) || worker_busy(&w[1]) || worker_busy(&w[2]);
}

static unsigned int churned(const struct churn_thread *t)
{
	unsigned int i, events = 0;

	for (i = 0; i < QUEUES; i++)
		events += __atomic_load_n(&t[i].requests, __ATOMIC_RELAXED) +
			  __atomic_load_n(&t[i].returns, __ATOMIC_RELAXED);
	return events;
}

/* They take no longer than @ms, and get on all the time. */
static bool churns_to_its_end(struct worker *w, const struct churn_thread *t, unsigned int ms)
{
	uint64_t end = now_ms() + ms;
	unsigned int events;

	while (any_busy(w)) {
		events = churned(t);
		if (!WAIT_FOR(20000, churned(t) != events || !any_busy(w)) || now_ms() >= end)
			return false;
	}
	return true;
}

TEST_F_TIMEOUT(queues, page_under_return_is_never_asked_for, 300)
{
	unsigned int rounds = test_rounds(20000, 1500, 150), i, page, requests = 0, returns = 0;
	unsigned int with_requests = 0, with_returns = 0;
	struct churn_store *s = calloc(1, sizeof(*s));
	struct churn_thread t[QUEUES];
	uint64_t state = test_seed(61);
	struct worker *w = self->b.w;

	BEHAVIOURS(60, 61);
	ASSERT_EQ(QUEUES, self->b.p.nr_queues);
	pthread_mutex_init(&s->lock, NULL);
	s->bytes = aligned_alloc(PAGE, BYTES);
	for (page = 0; page < WORKERS * CHURN_PAGES; page++)
		fill_page(s->bytes + page * PAGE, 0, page);
	for (i = 0; i < QUEUES; i++) {
		t[i] = (struct churn_thread){ .p = &self->b.p, .queue = i, .s = s,
					      .random = state + 100 + i };
		ASSERT_EQ(0, pthread_create(&t[i].thread, NULL, churn_main, &t[i]));
	}
	for (i = 0; i < WORKERS; i++)
		worker_begin(&w[i], do_churn, i * CHURN_PAGES * PAGE, rounds, state + i);
	/* Only the many rounds have more than a check's time. */
	EXPECT_TRUE(churns_to_its_end(w, t, rounds > 1500 ? 280000 : 90000));
	s->stop = true;
	for (i = 0; i < QUEUES; i++) {
		pthread_join(t[i].thread, NULL);
		EXPECT_EQ(0, t[i].overtaken);
		EXPECT_EQ(0, t[i].refused);
		requests += t[i].requests;
		returns += t[i].returns;
		with_requests += t[i].requests > 0;
		with_returns += t[i].returns > 0;
	}
	for (i = 0; i < WORKERS; i++)
		EXPECT_EQ(0, worker_end(&w[i], 0));
	/* It was about something, and for more than one of them. */
	EXPECT_LT(rounds / 10, requests);
	EXPECT_LT(rounds / 10, returns);
	EXPECT_LT(1, with_requests);
	EXPECT_LT(1, with_returns);
	free(s->bytes);
	free(s);
}

/* ---- deadlines ---- */

FIXTURE(impatient)
{
	struct byhand b;
	unsigned int ms;
};

/* What is to be late was; what is asked from now on has time. */
static bool give_time(void)
{
	return !target_set(NAME, &(struct target_options){
		.return_ms = WORKER_MS, .sync_ms = WORKER_MS });
}

FIXTURE_SETUP(impatient)
{
	/* In it other things are answered first, and the machine may stand still for a while. */
	self->ms = on_debug_kernel() ? 3000 : 1500;
	ASSERT_TRUE(byhand_start(&self->b, &(struct target_options){
		.bytes = BYTES, .return_ms = self->ms, .sync_ms = self->ms }, 1));
}

FIXTURE_TEARDOWN(impatient)
{
	EXPECT_TRUE(byhand_stop(&self->b));
}

TEST_F(impatient, return_that_is_overdue_stays_dirty_and_is_retried)
{
	struct worker *w = &self->b.w[0];
	struct pager *p = &self->b.p;
	struct extpager_event ev, again;
	uint64_t start;

	BEHAVIOURS(59);
	PARTIAL(133);
	ASSERT_EQ((long)PAGE, worker_do(w, do_write, PAGE, PAGE, 1));
	start = ticked_ms();
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(takes_return(p, &ev, PAGE, PAGE, 1));
	EXPECT_EQ(-EIO, worker_end(w, self->ms + WORKER_MS));
	EXPECT_LE(self->ms - 10, ticked_ms() - start);
	EXPECT_TRUE(WAIT_FOR(2000, target_state(NAME) == EXTPAGER_STATE_STALLED));
	EXPECT_EQ(1, target_stat(NAME, EXTPAGER_A_STATS_TIMEOUTS));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	EXPECT_EQ(0, worker_do(w, do_check, PAGE, PAGE, 1));

	ASSERT_TRUE(give_time());
	/* Late is as if never, but a sign of life. */
	EXPECT_EQ(-ENOENT, pager_fetch(p, &ev, p->buffer));
	EXPECT_EQ(-ENOENT, pager_return_done(p, &ev, 0));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));

	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(takes_return(p, &again, PAGE, PAGE, 1));
	EXPECT_NE(ev.tag, again.tag);
	ASSERT_EQ(0, pager_return_done(p, &again, 0));
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
	ASSERT_TRUE(answers_sync(p));
	/* This open file was told already. */
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
	EXPECT_EQ(0, target_dirty(NAME));
}

TEST_F(impatient, barrier_that_is_overdue_fails_and_is_asked_again)
{
	struct worker *w = &self->b.w[0];
	struct pager *p = &self->b.p;
	struct extpager_event ev;

	BEHAVIOURS(66);
	PARTIAL(133);
	ASSERT_EQ((long)PAGE, worker_do(w, do_write, PAGE, PAGE, 1));
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(answers_return(p, PAGE, PAGE, 1));
	ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_SYNC, &ev, EVENT_MS));
	EXPECT_EQ(-EIO, worker_end(w, self->ms + WORKER_MS));
	EXPECT_TRUE(WAIT_FOR(2000, target_state(NAME) == EXTPAGER_STATE_STALLED));
	EXPECT_EQ(-ENOENT, pager_sync_done(p, &ev, 0));
	ASSERT_TRUE(give_time());
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(answers_sync(p));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
	EXPECT_EQ(0, worker_do(w, do_fsync, 0, 0, 0));
	EXPECT_TRUE(pager_silent(p, 0));
}

TEST_F(impatient, hole_that_is_overdue_stays_a_hole)
{
	struct worker *a = &self->b.w[0], *b = &self->b.w[1];
	struct pager *p = &self->b.p;
	struct extpager_event ev;

	BEHAVIOURS(65);
	ASSERT_TRUE(writes_out(p, a, 0, 2 * PAGE, 1));
	worker_begin(a, do_punch, 0, 2 * PAGE, 0);
	ASSERT_TRUE(takes_zeros(p, &ev, 0, 2 * PAGE));
	EXPECT_EQ(-EIO, worker_end(a, self->ms + WORKER_MS));
	/* It comes again, a second later. */
	ASSERT_TRUE(give_time());
	EXPECT_EQ(-ENOENT, pager_return_done(p, &ev, 0));
	EXPECT_EQ(0, worker_do(b, do_check_zeros, 0, 2 * PAGE, 0));
	ASSERT_TRUE(takes_zeros(p, &ev, 0, 2 * PAGE));
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	EXPECT_TRUE(WAIT_FOR(2000, target_state(NAME) == EXTPAGER_STATE_LIVE));
}

/* ---- the quota ---- */

#define QUOTA MIB
/* Writers look at the same time; each may be a page over. */
#define QUOTA_SLACK (4 * PAGE)

FIXTURE(quota)
{
	struct byhand b;
};

FIXTURE_SETUP(quota)
{
	ASSERT_TRUE(byhand_start(&self->b, &(struct target_options){
		.bytes = BYTES, .quota = QUOTA }, 1));
}

FIXTURE_TEARDOWN(quota)
{
	EXPECT_TRUE(byhand_stop(&self->b));
}

/* Answers what comes until @w has ended; how many bytes were returned, all right. */
static uint64_t serve_until_end(struct pager *p, struct worker *w, uint64_t seed)
{
	uint64_t returned = 0, end = now_ms() + 30000, at;
	struct extpager_event ev;

	while (worker_busy(w) && now_ms() < end) {
		if (!pager_event(p, &ev, 1))
			continue;
		switch (ev.op) {
		case EXTPAGER_EV_DATA_REQUEST:
			pager_supply(p, &ev, seed - 1);
			break;
		case EXTPAGER_EV_SYNC:
			pager_sync_done(p, &ev, 0);
			break;
		case EXTPAGER_EV_DATA_RETURN:
			pager_fetch(p, &ev, p->buffer);
			for (at = 0; at < ev.length; at += PAGE)
				if (page_is((uint8_t *)p->buffer + at, seed,
					    (ev.offset + at) / PAGE))
					returned += PAGE;
			pager_return_done(p, &ev, 0);
		}
	}
	return returned;
}

/* Whether @w stands before a full quota, with returns unanswered. */
static bool is_paused(struct worker *w, uint64_t waits)
{
	return WAIT_FOR(WORKER_MS, target_stat(NAME, EXTPAGER_A_STATS_QUOTA_WAITS) > waits) &&
	       stays_busy(w);
}

/*
 * So many bytes are dirty, when the flusher rests: on its way to write-back a page counts
 * for neither, or for both, since the two sums are not read in one.
 */
static bool dirty_is(uint64_t least, uint64_t most)
{
	uint64_t dirty;
	bool is = WAIT_FOR(WORKER_MS, (dirty = target_dirty(NAME)) >= least && dirty <= most);

	if (!is)
		printf("# %lu bytes are dirty\n", (unsigned long)dirty);
	return is;
}

TEST_F(quota, writer_is_paused_at_the_quota_and_goes_on)
{
	struct worker *a = &self->b.w[0], *b = &self->b.w[1];
	struct pager *p = &self->b.p;
	uint64_t returned;

	PARTIAL(53, 92, 145);
	worker_begin(a, do_write, 0, 4 * MIB, 1);
	ASSERT_TRUE(is_paused(a, 0));
	EXPECT_TRUE(dirty_is(QUOTA / 2, QUOTA + QUOTA_SLACK));

	/* Who only reads is not concerned. */
	worker_begin(b, do_check, BYTES - PAGE, PAGE, 7);
	for (;;) {
		struct extpager_event ev;

		ASSERT_TRUE(pager_event(p, &ev, EVENT_MS));
		if (ev.op == EXTPAGER_EV_DATA_REQUEST) {
			ASSERT_EQ(0, pager_supply(p, &ev, 7));
			break;
		}
		/* A return that fails leaves the quota as full as it was. */
		ASSERT_EQ(EXTPAGER_EV_DATA_RETURN, ev.op);
		ASSERT_EQ(0, pager_return_done(p, &ev, EIO));
	}
	EXPECT_EQ(0, worker_end(b, WORKER_MS));

	returned = serve_until_end(p, a, 1);
	EXPECT_EQ((long)(4 * MIB), worker_end(a, 0));
	EXPECT_LE(3 * MIB - QUOTA_SLACK, returned);
	EXPECT_TRUE(dirty_is(4 * MIB - returned, 4 * MIB - returned));
	worker_begin(b, do_fsync, 0, 0, 0);
	returned += serve_until_end(p, b, 1);
	EXPECT_EQ(4 * MIB, returned);
	EXPECT_EQ(0, target_dirty(NAME));
}

TEST_F(quota, mapped_writer_is_paused_at_the_quota_and_goes_on)
{
	struct worker *a = &self->b.w[0], *b = &self->b.w[1];
	struct pager *p = &self->b.p;
	struct extpager_event ev = { }, held[64];
	unsigned int nr_held = 0;

	PARTIAL(53, 145);
	worker_begin(a, do_store, 0, 2 * MIB, 1);
	/* Pages come in and none goes out, until it stands. */
	while (pager_event(p, &ev, NEVER_MS) || !target_stat(NAME, EXTPAGER_A_STATS_QUOTA_WAITS)) {
		if (ev.op == EXTPAGER_EV_DATA_REQUEST) {
			pager_supply(p, &ev, 0);
		} else if (ev.op == EXTPAGER_EV_DATA_RETURN) {
			ASSERT_GT(ARRAY_SIZE(held), nr_held);
			held[nr_held++] = ev;
		}
		ev.op = 0;
	}
	ASSERT_TRUE(is_paused(a, 0));
	EXPECT_TRUE(dirty_is(0, QUOTA + QUOTA_SLACK));
	ASSERT_LT(0, nr_held);
	while (nr_held) {
		ev = held[--nr_held];
		ASSERT_EQ(0, pager_fetch(p, &ev, p->buffer));
		EXPECT_TRUE(page_is(p->buffer, 1, ev.offset / PAGE));
		ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	}
	serve_until_end(p, a, 1);
	EXPECT_EQ(0, worker_end(a, 0));
	worker_begin(b, do_fsync, 0, 0, 0);
	serve_until_end(p, b, 1);
	EXPECT_EQ(0, worker_end(b, 0));
	EXPECT_EQ(0, worker_do(b, do_check, 0, 2 * MIB, 1));
	EXPECT_EQ(0, target_dirty(NAME));
}

TEST_F(quota, paused_writer_can_be_killed)
{
	struct worker *w = &self->b.w[0];
	uint64_t start;

	PARTIAL(30, 99, 145);
	worker_begin(w, do_write, 0, 4 * MIB, 1);
	ASSERT_TRUE(is_paused(w, 0));
	start = now_ms();
	client_kill(&w->c);
	EXPECT_GT(on_debug_kernel() ? 2000 : 500, now_ms() - start);
}

/* ---- the pager goes in the middle of it ---- */

FIXTURE(policy_fail)
{
	struct byhand b;
};

FIXTURE_SETUP(policy_fail)
{
	ASSERT_TRUE(byhand_start(&self->b, &(struct target_options){
		.bytes = BYTES, .policy = "fail" }, 1));
}

FIXTURE_TEARDOWN(policy_fail)
{
	EXPECT_TRUE(byhand_stop(&self->b));
}

TEST_F(policy_fail, fsync_fails_and_the_page_stays_for_the_successor)
{
	struct worker *w = &self->b.w[0];
	struct pager *p = &self->b.p;
	struct extpager_event ev;

	PARTIAL(85);
	ASSERT_EQ((long)PAGE, worker_do(w, do_write, PAGE, PAGE, 1));
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(takes_return(p, &ev, PAGE, PAGE, 1));
	ASSERT_EQ(0, pager_detach(p, self->b.object));
	EXPECT_EQ(-EIO, worker_end(w, WORKER_MS));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	EXPECT_EQ(0, worker_do(w, do_check, PAGE, PAGE, 1));

	ASSERT_EQ(0, pager_attach(p, NAME, NULL, NULL));
	ASSERT_TRUE(answer_init(p));
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(answers_return(p, PAGE, PAGE, 1));
	ASSERT_TRUE(answers_sync(p));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
	EXPECT_EQ(0, target_dirty(NAME));
}

TEST_F(writeback, fsync_waits_for_the_successor_by_policy_hold)
{
	struct worker *w = &self->b.w[0];
	struct pager *p = &self->b.p;
	struct extpager_event ev;

	PARTIAL(86);
	ASSERT_EQ((long)PAGE, worker_do(w, do_write, PAGE, PAGE, 1));
	worker_begin(w, do_fsync, 0, 0, 0);
	ASSERT_TRUE(takes_return(p, &ev, PAGE, PAGE, 1));
	ASSERT_EQ(0, pager_detach(p, self->b.object));
	EXPECT_TRUE(stays_busy(w));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	ASSERT_EQ(0, pager_attach(p, NAME, NULL, NULL));
	ASSERT_TRUE(answer_init(p));
	ASSERT_TRUE(takes_return(p, &ev, PAGE, PAGE, 1));
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	ASSERT_TRUE(answers_sync(p));
	EXPECT_EQ(0, worker_end(w, WORKER_MS));
	EXPECT_EQ(0, target_dirty(NAME));
}

TEST_HARNESS_MAIN
