// SPDX-License-Identifier: GPL-2.0-only
/*
 * Corners where several things happen to an object at once: a punch that is
 * killed, an end while it is being asked anew, settings changed under a wait.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <extpager.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/crowd.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/worker.h"

#define NAME "corner"
#define BYTES (2 * MIB)
#define WORKERS 3

FIXTURE(corners)
{
	struct pager p;
	uint64_t object;
	uint32_t generation;
	int fd;
	struct worker w[WORKERS];
	long interval;
};

FIXTURE_SETUP(corners)
{
	unsigned int i;

	/* Dirty pages go when a test has them go. */
	self->interval = writeback_interval(AN_HOUR);
	ASSERT_LT(0, self->interval);
	ASSERT_TRUE(target_gone(NAME));
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES }));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, &self->object, NULL));
	self->fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_TRUE(object_ready(&self->p, &self->generation));
	for (i = 0; i < WORKERS; i++)
		ASSERT_TRUE(worker_start(&self->w[i], self->fd, BYTES));
}

FIXTURE_TEARDOWN(corners)
{
	unsigned int i;

	EXPECT_EQ(AN_HOUR, writeback_interval(self->interval));
	for (i = 0; i < WORKERS; i++)
		worker_stop(&self->w[i]);
	close(self->fd);
	pager_close(&self->p);
	EXPECT_TRUE(target_gone(NAME));
}

/* The next event is a return of just this, not of zeros. */
static bool returns(struct pager *p, struct extpager_event *ev, uint64_t offset, uint64_t seed)
{
	return pager_expect(p, EXTPAGER_EV_DATA_RETURN, ev, SOON) &&
	       !(ev->flags & EXTPAGER_EVF_ZERO) && ev->offset == offset && ev->length == PAGE &&
	       !pager_fetch(p, ev, p->buffer) && page_is(p->buffer, seed, offset / PAGE);
}

/* Answers barriers and returns until @w has ended. */
static long serve_worker(struct pager *p, struct worker *w)
{
	uint64_t end = now_ms() + SOON;
	struct extpager_event ev;

	while (worker_busy(w) && now_ms() < end) {
		if (!pager_event(p, &ev, 1))
			continue;
		if (ev.op == EXTPAGER_EV_SYNC)
			pager_sync_done(p, &ev, 0);
		else if (ev.op == EXTPAGER_EV_DATA_RETURN)
			pager_return_done(p, &ev, 0);
		else if (ev.op == EXTPAGER_EV_DATA_REQUEST)
			pager_supply(p, &ev, 99);
	}
	return worker_end(w, 0);
}

/* The bdis of target @name, or of ports' objects; each stays as long as one of those does. */
static unsigned int bdis(const char *name)
{
	unsigned int nr = 0;
	char pattern[100];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "/sys/class/bdi/extpager-%s.*", name);
	if (!glob(pattern, 0, NULL, &found))
		nr = found.gl_pathc;
	globfree(&found);
	return nr;
}

static dev_t device_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_dev;
}

TEST_F(corners, a_punch_that_was_killed_spares_what_is_written_after_it)
{
	struct worker *syncer = &self->w[0], *puncher = &self->w[1], *writer = &self->w[2];
	struct pager *p = &self->p;
	struct extpager_event ev;

	BEHAVIOURS(65, 99);
	ASSERT_EQ((long)(4 * PAGE), worker_do(writer, do_write, 0, 4 * PAGE, 1));
	worker_begin(writer, do_fsync, 0, 0, 0);
	ASSERT_EQ(0, serve_worker(p, writer));
	/* A return of page 1 is under way: the punch waits for it, and is killed. */
	ASSERT_EQ((long)PAGE, worker_do(writer, do_write, PAGE, PAGE, 2));
	worker_begin(syncer, do_fsync, 0, 0, 0);
	ASSERT_TRUE(returns(p, &ev, PAGE, 2));
	worker_begin(puncher, do_punch, 0, 4 * PAGE, 0);
	ASSERT_TRUE(WAIT_FOR(SOON, worker_do(writer, do_check_zeros, 0, 4 * PAGE, 0) == 0));
	ASSERT_TRUE(worker_busy(puncher));
	worker_stop(puncher);

	/* What is written now is no part of what was punched. */
	ASSERT_EQ((long)PAGE, worker_do(writer, do_write, 2 * PAGE, PAGE, 3));
	EXPECT_EQ(0, worker_do(writer, do_store, 3 * PAGE, PAGE, 4));
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	ASSERT_TRUE(WAIT_FOR(SOON, pager_event(p, &ev, 1) &&
			     (ev.op != EXTPAGER_EV_SYNC || pager_sync_done(p, &ev, 0))));
	ASSERT_EQ(EXTPAGER_EV_DATA_RETURN, ev.op);
	EXPECT_TRUE(ev.flags & EXTPAGER_EVF_ZERO);
	EXPECT_EQ(4 * PAGE, ev.length);
	EXPECT_EQ(0, worker_do(writer, do_check, 2 * PAGE, PAGE, 3));
	EXPECT_EQ(0, worker_do(writer, do_check, 3 * PAGE, PAGE, 4));
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	EXPECT_EQ(0, serve_worker(p, syncer));

	worker_begin(writer, do_fsync, 0, 0, 0);
	ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	EXPECT_EQ(2 * PAGE, ev.offset);
	ASSERT_EQ(2 * PAGE, ev.length);
	ASSERT_EQ(0, pager_fetch(p, &ev, p->buffer));
	EXPECT_TRUE(page_is(p->buffer, 3, 2));
	EXPECT_TRUE(page_is((uint8_t *)p->buffer + PAGE, 4, 3));
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	EXPECT_EQ(0, serve_worker(p, writer));
}

/* A store that answers no return: writers wait at the quota, but not for ever. */
TEST_F(corners, a_writer_over_quota_is_told_when_nothing_is_taken_any_more)
{
	struct worker *w = &self->w[0];

	PARTIAL(145);
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .quota = MIB, .return_ms = 500 }));
	worker_begin(w, do_write, 0, BYTES, 5);
	ASSERT_TRUE(WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_STALLED));
	EXPECT_LT(0, worker_end(w, SOON));		/* short, as the rest was not taken */
	EXPECT_GE(2 * MIB, target_dirty(NAME));
	/* A page that was on its way when it was counted may have left room for one. */
	EXPECT_TRUE(WAIT_FOR(SOON, worker_do(w, do_write, BYTES - PAGE, PAGE, 5) == -EIO));
	/* And it goes on once something is: in a deadline that no pause makes it miss. */
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .return_ms = 30000 }));
	worker_begin(w, do_fsync, 0, 0, 0);
	EXPECT_NE(WORKER_BUSY, serve_worker(&self->p, w));
	worker_begin(w, do_fsync, 0, 0, 0);
	EXPECT_EQ(0, serve_worker(&self->p, w));
	EXPECT_EQ((long)PAGE, worker_do(w, do_write, 0, PAGE, 6));
}

TEST_F(corners, a_deadline_that_is_lowered_holds_for_what_is_asked_already)
{
	struct worker *w = &self->w[0];
	struct extpager_event ev;

	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .page_in_ms = 86400000 }));
	worker_begin(w, do_touch_read, 0, PAGE, 0);
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .page_in_ms = 100 }));
	ASSERT_EQ(0, worker_end(w, SOON));
	EXPECT_EQ(BUS_ADRERR, w->order->code);
}

TEST_F(corners, a_grace_time_begins_when_the_policy_is_changed_to_hold)
{
	struct worker *w = &self->w[0];

	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .policy = "fail" }));
	ASSERT_EQ(0, pager_detach(&self->p, self->object));
	ASSERT_EQ(0, worker_do(w, do_touch_read, 0, PAGE, 0));
	EXPECT_EQ(BUS_ADRERR, w->order->code);
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .policy = "hold",
								.grace_ms = 500 }));
	ASSERT_EQ(0, worker_do(w, do_touch_read, 0, PAGE, 0));
	EXPECT_EQ(BUS_ADRERR, w->order->code);
}

TEST_F(corners, a_failure_without_a_tag_reaches_requests_in_any_order)
{
	struct worker *late = &self->w[0], *early = &self->w[1];
	struct extpager_event ev[2], range;
	struct extpager_reply re;

	BEHAVIOURS(35);
	worker_begin(late, do_touch_read, 10 * PAGE, PAGE, 0);
	ASSERT_TRUE(next_request(&self->p, &ev[0]));
	worker_begin(early, do_touch_read, 2 * PAGE, PAGE, 0);
	ASSERT_TRUE(next_request(&self->p, &ev[1]));
	range = ev[0];
	range.tag = 0;
	re = reply_to(&range, EXTPAGER_RE_ERROR);
	re.offset = 0;
	re.length = 20 * PAGE;
	re.error = EIO;
	EXPECT_EQ(0, pager_reply(&self->p, &re));
	EXPECT_EQ(2 * PAGE, re.out_done);
	EXPECT_EQ(0, worker_end(late, SOON));
	EXPECT_EQ(BUS_ADRERR, late->order->code);
	EXPECT_EQ(0, worker_end(early, SOON));
	EXPECT_EQ(BUS_ADRERR, early->order->code);
}

TEST_F(corners, syncfs_says_so_when_there_is_no_pager_to_return_to)
{
	BEHAVIOURS(133);
	ASSERT_EQ((long)PAGE, worker_do(&self->w[0], do_write, 0, PAGE, 1));
	ASSERT_EQ(0, pager_detach(&self->p, self->object));
	errno = 0;
	EXPECT_EQ(-1, syncfs(self->fd));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(PAGE, target_dirty(NAME));
}

TEST_F(corners, a_second_deletion_that_discards_does_not_wait_for_the_first)
{
	struct extpager_event ev;

	ASSERT_EQ((long)PAGE, worker_do(&self->w[0], do_write, 0, PAGE, 1));
	ASSERT_EQ(0, target_del(NAME, false));
	/* The first one waits for the return. */
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	EXPECT_EQ(EXTPAGER_STATE_DRAINING, target_state(NAME));
	ASSERT_EQ(-EALREADY, target_del(NAME, true));
	EXPECT_TRUE(WAIT_FOR(SOON, target_state(NAME) == 0));
	EXPECT_EQ(-ENOENT, pager_return_done(&self->p, &ev, 0));
}

TEST_F(corners, nor_for_a_successor)
{
	struct extpager_event ev;

	ASSERT_EQ((long)PAGE, worker_do(&self->w[0], do_write, 0, PAGE, 1));
	ASSERT_EQ(0, target_del(NAME, false));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	ASSERT_EQ(0, pager_detach(&self->p, self->object));
	ASSERT_EQ(-EALREADY, target_del(NAME, true));
	EXPECT_TRUE(WAIT_FOR(SOON, target_state(NAME) == 0));
}

/* It is there, and will be READY at once. */
TEST_F(corners, a_deletion_waits_for_a_successor_that_is_not_ready_yet)
{
	struct extpager_event ev;

	ASSERT_EQ((long)PAGE, worker_do(&self->w[0], do_write, 0, PAGE, 1));
	ASSERT_EQ(0, pager_detach(&self->p, self->object));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, &self->object, NULL));
	ASSERT_EQ(0, target_del(NAME, false));
	EXPECT_FALSE(WAIT_FOR(500, target_state(NAME) != EXTPAGER_STATE_DRAINING));
	ASSERT_TRUE(object_ready(&self->p, &self->generation));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_SYNC, &ev, SOON));
	ASSERT_EQ(0, pager_sync_done(&self->p, &ev, 0));
	EXPECT_TRUE(WAIT_FOR(SOON, target_state(NAME) == 0));
}

/* Else one that is stuck would hold up the other's write-back and syncfs. */
TEST_F(corners, each_target_has_a_super_block_and_a_bdi_of_its_own)
{
	int fd;

	PARTIAL(147);
	ASSERT_EQ(0, target_add("other", &(struct target_options){ .bytes = BYTES }));
	fd = target_open("other", O_RDWR | O_NONBLOCK);
	EXPECT_LE(0, fd);
	EXPECT_NE(device_of(self->fd), device_of(fd));
	/* Workers unmount what earlier tests called so. */
	EXPECT_TRUE(WAIT_FOR(SOON, bdis(NAME) == 1));
	EXPECT_EQ(1, bdis("other"));
	close(fd);
	EXPECT_TRUE(target_gone("other"));
	EXPECT_TRUE(WAIT_FOR(SOON, bdis("other") == 0));
	EXPECT_EQ(1, bdis(NAME));
}

TEST_F(corners, detaching_takes_the_whole_name_of_an_object)
{
	EXPECT_EQ(-ENOENT, pager_detach(&self->p, self->object + 1));
	EXPECT_EQ(0, pager_detach(&self->p, self->object));
	EXPECT_EQ(-ENOENT, pager_detach(&self->p, self->object));
}

/* Nobody has it open: its requests are kept all the same. */
static bool ready_to_cache(struct pager *p)
{
	struct extpager_event ev;

	return pager_expect(p, EXTPAGER_EV_INIT, &ev, SOON) &&
	       !pager_ready(p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE);
}

/* Many times over, a successor is asked anew what nobody wants any more. */
TEST_F_TIMEOUT(corners, deleting_a_target_while_its_successor_is_asked, 120)
{
	unsigned int rounds = test_rounds(200, 40, 15), i;

	PARTIAL(89);
	for (i = 0; i < rounds; i++) {
		struct extpager_event ev;
		struct crowd *c;
		unsigned int k;
		int fd;

		ASSERT_EQ(0, target_add("brief", &(struct target_options){ .bytes = BYTES }));
		ASSERT_EQ(0, pager_attach(&self->p, "brief", NULL, NULL));
		fd = target_open("brief", O_RDWR | O_NONBLOCK);
		ASSERT_LE(0, fd);
		ASSERT_TRUE(ready_to_cache(&self->p));
		c = crowd_new(fd, BYTES, 1, 16);
		for (k = 0; k < c->nr; k++)
			c->access[k].offset = k * 8 * PAGE;
		crowd_start(c);
		ASSERT_TRUE(crowd_waits(c, c->nr, SOON));
		for (k = 0; k < c->nr; k++)
			ASSERT_TRUE(next_request(&self->p, &ev));
		client_kill(&c->client);
		close(fd);
		ASSERT_EQ(0, pager_detach(&self->p, ev.object));
		ASSERT_EQ(0, pager_attach(&self->p, "brief", NULL, NULL));
		ASSERT_TRUE(ready_to_cache(&self->p));
		ASSERT_EQ(0, target_del("brief", true));
		ASSERT_TRUE(WAIT_FOR(SOON, target_state("brief") == 0));
		while (pager_event(&self->p, &ev, 0))
			;
		crowd_free(c);
	}
}

/* ---- objects of the pager's own ---- */

FIXTURE(own)
{
	struct pager p;
};

FIXTURE_SETUP(own)
{
	ASSERT_EQ(0, pager_open(&self->p, 2, 0));
}

FIXTURE_TEARDOWN(own)
{
	pager_close(&self->p);
}

static int destroy(struct pager *p, uint64_t object, uint32_t generation, unsigned int flags)
{
	struct extpager_event ev = { .object = object, .generation = generation };
	struct extpager_reply re = reply_to(&ev, EXTPAGER_RE_DESTROY);

	re.flags = flags;
	return pager_reply(p, &re);
}

TEST_F(own, whole_pages_that_were_written_first_are_returned)
{
	struct io io = { .length = 2 * PAGE, .seed = 7 };
	struct pager *p = &self->p;
	struct extpager_event ev;
	struct client c;
	uint64_t object;

	BEHAVIOURS(1, 54);
	io.fd = pager_create(p, BYTES, 0, &object);
	ASSERT_LE(0, io.fd);
	/* Nothing had to be read. */
	c = client_start(write_pages, &io);
	EXPECT_EQ(0, client_result(&c, SOON));
	close(io.fd);
	ASSERT_TRUE(object_ready(p, NULL));
	ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	EXPECT_EQ(0, ev.offset);
	ASSERT_EQ(2 * PAGE, ev.length);
	ASSERT_EQ(0, pager_fetch(p, &ev, p->buffer));
	EXPECT_TRUE(page_is(p->buffer, 7, 0));
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_SYNC, &ev, SOON));
	ASSERT_EQ(0, pager_sync_done(p, &ev, 0));
	EXPECT_TRUE(pager_expect(p, EXTPAGER_EV_TERMINATE, &ev, SOON));
}

TEST_F(own, an_object_that_was_never_used_ends_with_a_word)
{
	struct extpager_event ev;
	uint64_t object;
	int fd;

	fd = pager_create(&self->p, BYTES, 0, &object);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, destroy(&self->p, object, 0, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_TERMINATE, &ev, SOON));
	EXPECT_EQ(object, ev.object);
	close(fd);
}

TEST_F(own, objects_of_a_port_share_a_super_block_and_a_bdi)
{
	struct pager other;
	int fd[3], i;

	ASSERT_TRUE(WAIT_FOR(SOON, bdis("port") == 1));
	ASSERT_EQ(0, pager_open(&other, 1, 0));
	for (i = 0; i < 3; i++) {
		fd[i] = pager_create(i < 2 ? &self->p : &other, BYTES, 0, NULL);
		ASSERT_LE(0, fd[i]);
		EXPECT_NE(0, device_of(fd[i]));
	}
	EXPECT_EQ(device_of(fd[0]), device_of(fd[1]));
	EXPECT_NE(device_of(fd[0]), device_of(fd[2]));
	EXPECT_EQ(2, bdis("port"));
	for (i = 0; i < 3; i++)
		close(fd[i]);
	pager_close(&other);
}

/* The end of the port comes while the worker waits for the object's barrier. */
TEST_F(own, an_end_that_waits_for_the_pager_ends_with_it)
{
	struct io io = { .length = PAGE, .seed = 7 };
	struct pager *p = &self->p;
	uint32_t generation;
	struct extpager_event ev;
	struct client c;
	uint64_t object;

	BEHAVIOURS(10);
	ASSERT_TRUE(WAIT_FOR(SOON, bdis("port") == 1));
	io.fd = pager_create(p, BYTES, 0, &object);
	ASSERT_LE(0, io.fd);
	c = client_start(write_pages, &io);
	EXPECT_EQ(0, client_result(&c, SOON));
	close(io.fd);
	ASSERT_TRUE(object_ready(p, &generation));
	ASSERT_EQ(0, destroy(p, object, generation, 0));
	ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
	ASSERT_EQ(0, pager_return_done(p, &ev, 0));
	ASSERT_TRUE(pager_expect(p, EXTPAGER_EV_SYNC, &ev, SOON));
	pager_close(p);
	EXPECT_TRUE(WAIT_FOR(SOON, bdis("port") == 0));
	ASSERT_EQ(0, pager_open(p, 2, 0));
}

struct guesser {
	struct pager *p;
	volatile uint64_t next;
	volatile bool stop;
};

static void *guess(void *arg)
{
	struct guesser *g = arg;

	while (!g->stop)
		destroy(g->p, g->next, 0, EXTPAGER_REF_DISCARD);
	return NULL;
}

/* Ids can be foretold: what is only being made may be destroyed already. */
TEST_F_TIMEOUT(own, an_object_that_is_being_made_can_be_destroyed, 120)
{
	unsigned int rounds = test_rounds(20000, 3000, 500), i;
	struct guesser g = { .p = &self->p };
	struct extpager_event ev;
	pthread_t thread;
	uint64_t object;
	int fd;

	BEHAVIOURS(109);
	PARTIAL(89);
	fd = pager_create(&self->p, BYTES, 0, &object);
	ASSERT_LE(0, fd);
	close(fd);
	g.next = object + 1;
	ASSERT_EQ(0, pthread_create(&thread, NULL, guess, &g));
	for (i = 0; i < rounds; i++) {
		fd = pager_create(&self->p, BYTES, 0, &object);
		if (fd >= 0)
			close(fd);
		else
			object = g.next;
		g.next = object + 1;
		while (pager_event(&self->p, &ev, 0))
			;
	}
	g.stop = true;
	pthread_join(thread, NULL);
}

#define RACE	"race"

/* One of the threads of a pager; @stop is for those that go on as long as others do. */
struct racer {
	struct pager *p;
	unsigned int queue, rounds, done;
	int failed;		/* the first errno that is none of the race's */
	volatile bool stop;
	pthread_t thread;
};

/* Objects are made, used and given up at once, while their INIT is taken. */
static void *make_and_close(void *arg)
{
	struct racer *r = arg;

	for (; r->done < r->rounds && !r->failed; r->done++) {
		int fd = pager_create(r->p, BYTES, 0, NULL);
		void *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

		if (fd < 0)
			r->failed = -fd;
		else if (map == MAP_FAILED)
			r->failed = errno;
		else
			munmap(map, PAGE);
		close(fd);
	}
	return NULL;
}

/* And a target changes hands, with somebody at its door. */
static void *attach_and_detach(void *arg)
{
	struct racer *r = arg;

	for (; !r->stop && !r->failed; r->done++) {
		uint64_t object = 0;
		int ret = pager_attach(r->p, RACE, &object, NULL), fd;

		fd = target_open(RACE, O_RDWR | O_NONBLOCK);
		if (!ret)
			ret = pager_detach(r->p, object);
		if (ret)
			r->failed = -ret;
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

/* Every second object is destroyed as soon as it is ready; what is over is no failure. */
static void answer(struct racer *r, const struct extpager_event *ev)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_READY);
	int ret = pager_reply_on(r->p, r->queue, &re);

	if (ret && ret != -ENOENT && ret != -ESTALE)
		r->failed = -ret;
	if (r->done % 2)
		return;
	re = reply_to(ev, EXTPAGER_RE_DESTROY);
	re.tag = 0;
	re.flags = EXTPAGER_REF_DISCARD;
	pager_reply_on(r->p, r->queue, &re);
}

static void *take_events(void *arg)
{
	struct racer *r = arg;
	struct extpager_enter enter = {
		.size = sizeof(enter), .queue = r->queue, .min_complete = 1,
		.timeout_ns = 10000000,
	};
	struct extpager_event ev;
	bool stop = false;

	while (!stop && !r->failed) {
		stop = r->stop;
		while (pager_event_on(r->p, r->queue, &ev)) {
			r->done++;
			if (ev.op == EXTPAGER_EV_INIT)
				answer(r, &ev);
		}
		if (!stop)
			ioctl(r->p->fd, EXTPAGER_IOC_ENTER, &enter);
	}
	return NULL;
}

TEST_F_TIMEOUT(own, making_closing_detaching_and_taking_events_race, 240)
{
	static void *(*const what[])(void *) = {
		make_and_close, make_and_close, attach_and_detach, take_events, take_events,
	};
	struct racer r[ARRAY_SIZE(what)];
	unsigned int rounds = test_rounds(10000, 2000, 1000), i;

	BEHAVIOURS_IF(rounds >= 10000, 89);
	ASSERT_EQ(0, target_add(RACE, &(struct target_options){ .bytes = BYTES }));
	for (i = 0; i < ARRAY_SIZE(what); i++) {
		r[i] = (struct racer){ .p = &self->p, .queue = i % 2, .rounds = rounds / 2 };
		ASSERT_EQ(0, pthread_create(&r[i].thread, NULL, what[i], &r[i]));
	}
	for (i = 0; i < ARRAY_SIZE(what); i++) {
		r[i].stop = i >= 2;
		pthread_join(r[i].thread, NULL);
		EXPECT_EQ(0, r[i].failed) { TH_LOG("thread %u", i); }
	}
	EXPECT_EQ(rounds, r[0].done + r[1].done);
	EXPECT_LT(0, r[2].done);
	/* INIT at least of each that was not given up before. */
	EXPECT_LT(0, r[3].done);
	EXPECT_LT(0, r[4].done);
	TH_LOG("%u objects, %u times attached, %u events", rounds, r[2].done,
	       r[3].done + r[4].done);
	EXPECT_TRUE(target_gone(RACE));
}

TEST_HARNESS_MAIN
