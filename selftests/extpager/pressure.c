// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pagers that need each other to give memory back: two that keep pages in each other's
 * objects, with little memory for them and their clients, too. Whatever comes, nobody
 * hangs, nobody is killed, and no byte is wrong.
 */
/* vm: swap=64M timeout=400 kernels=6.1,6.12 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/crowd.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/worker.h"

#define CGROUP	"/sys/fs/cgroup/extpager-pressure"
/* For an order of a worker, through a small door of a slow machine. */
#define WORK_MS	100000
/* How long nothing may move while somebody works. */
#define STILL_MS 15000

static long oom_kills(void)
{
	return read_number("/proc/vmstat", "oom_kill");
}

/*
 * What is theirs alone they lock, as a pager should: to bring that back the kernel does not
 * wait until swap has what it is being given, but kills.
 */
static bool join(void)
{
	return write_file(CGROUP "/cgroup.procs", "0") && !mlockall(MCL_CURRENT | MCL_ONFAULT);
}

static long do_join(struct order *o)
{
	return join() && !munlock(o->map, o->bytes) ? 0 : -errno;
}

/* Eight pages at a time, so that the buffer is small; 0 or -errno. */
static long do_write_all(struct order *o)
{
	struct order piece = *o;
	long ret;

	piece.length = 8 * PAGE;
	for (; piece.offset < o->offset + o->length; piece.offset += piece.length) {
		ret = do_write(&piece);
		if (ret != (long)piece.length)
			return ret < 0 ? ret : -EIO;
	}
	return 0;
}

/* ---- two pagers that keep pages in each other's objects ---- */

/*
 * An object of theirs has three parts, and a page more. OWN and LENT lie in its pager's
 * memory, the latter for the other pager: what its own object has in CHAINED lies there. The
 * last page of each lies in the last page of the other one.
 */
#define PART	(4 * MIB)
#define CHAINED	PART
#define LENT	(2 * PART)
#define CIRCLE	(3 * PART)
#define BYTES	(CIRCLE + PAGE)

static const char *const names[2] = { "left", "right" };

/*
 * What can be answered at once must not wait behind what needs the other pager, nor that
 * behind a barrier: a thread for each, with a queue for its replies.
 */
enum role { AT_ONCE, BY_THE_OTHER, BARRIERS, ROLES };

struct chained {
	struct pager p;
	uint8_t *store;			/* its memory, and the other one's object */
	int other;			/* an fd of that */
	bool circle;			/* the last page was returned since the last barrier */
	int work[ROLES][2];		/* pipes of events */
};

static struct chained chained;		/* in each pager's process */

static int reply_as(enum role role, const struct extpager_event *ev, unsigned int op,
		    unsigned int error, bool data)
{
	struct extpager_reply re = reply_to(ev, op);

	re.error = error;
	if (data || op == EXTPAGER_RE_ERROR) {
		re.offset = ev->offset;
		re.length = ev->length;
	}
	if (data)
		re.addr = (uintptr_t)chained.store + ev->offset;
	return pager_reply_on(&chained.p, role, &re);
}

static void take_return(enum role role, const struct extpager_event *ev)
{
	int ret = reply_as(role, ev, EXTPAGER_RE_RETURN_FETCH, 0, true);

	if (ev->offset + ev->length > CIRCLE)
		__atomic_store_n(&chained.circle, true, __ATOMIC_SEQ_CST);
	/* It went to the spill, and comes again. */
	if (ret == -ENOENT)
		return;
	reply_as(role, ev, EXTPAGER_RE_RETURN_DONE, ret ? EIO : 0, false);
}

#define RETURNED (SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)

/*
 * What is kept with the other pager has to get there. An fsync would have it ask this one for
 * the same, since barriers are for whole objects: so it is only for the page that is to make
 * that circle.
 */
static void make_barrier(const struct extpager_event *ev)
{
	int ret = sync_file_range(chained.other, LENT, PART, RETURNED);

	if (__atomic_exchange_n(&chained.circle, false, __ATOMIC_SEQ_CST))
		ret |= msync(chained.store + CIRCLE, PAGE, MS_SYNC);
	reply_as(BARRIERS, ev, EXTPAGER_RE_SYNC_DONE, ret ? EIO : 0, false);
}

static void answer(enum role role, const struct extpager_event *ev)
{
	switch (ev->op) {
	case EXTPAGER_EV_DATA_REQUEST:
		if (reply_as(role, ev, EXTPAGER_RE_SUPPLY, 0, true) == -EFAULT)
			reply_as(role, ev, EXTPAGER_RE_ERROR, EIO, false);
		break;
	case EXTPAGER_EV_DATA_RETURN:
		take_return(role, ev);
		break;
	case EXTPAGER_EV_SYNC:
		make_barrier(ev);
		break;
	}
}

static enum role role_of(const struct extpager_event *ev)
{
	uint64_t end = ev->offset + ev->length;

	if (ev->op == EXTPAGER_EV_SYNC)
		return BARRIERS;
	return end > CIRCLE || (ev->offset < LENT && end > CHAINED) ? BY_THE_OTHER : AT_ONCE;
}

static void *work(void *arg)
{
	enum role role = (uintptr_t)arg;
	struct extpager_event ev;

	while (read(chained.work[role][0], &ev, sizeof(ev)) == sizeof(ev))
		answer(role, &ev);
	return NULL;
}

/* A part of its store is one of the other's object. Nothing is read ahead of it, or round it. */
static bool keep_with_the_other(uint64_t offset, uint64_t length, uint64_t there)
{
	void *map = mmap(chained.store + offset, length, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, chained.other, there);

	return map != MAP_FAILED && !madvise(map, length, MADV_RANDOM);
}

struct chained_args {
	const char *name;
	uint8_t *store;
	int other;			/* an fd of the other one's object */
	volatile int ready;
	bool squeezed;			/* in the cgroup */
};

/*
 * As a pager should, it begins as an I/O flusher; but not in little memory: it pays for pages
 * of the other one's object, and for their spill, and only I/O makes room for these.
 */
static bool chained_begin(const struct chained_args *a)
{
	enum role role;
	pthread_t t;

	for (role = BY_THE_OTHER; role < ROLES; role++)
		/* So much is never asked at once that this thread would wait for the others. */
		if (pipe(chained.work[role]) ||
		    fcntl(chained.work[role][0], F_SETPIPE_SZ, MIB) < 0 ||
		    pthread_create(&t, NULL, work, (void *)(uintptr_t)role))
			return false;
	if (pager_open(&chained.p, ROLES, 0))
		return false;
	if (a->squeezed ? !join() : prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		return false;
	return keep_with_the_other(CHAINED, PART, LENT) &&
	       keep_with_the_other(CIRCLE, PAGE, CIRCLE) &&
	       !pager_attach(&chained.p, a->name, NULL, NULL);
}

static int serve_chained(void *arg)
{
	struct chained_args *a = arg;
	struct extpager_event ev;
	enum role role;

	chained.store = a->store;
	chained.other = a->other;
	if (!chained_begin(a))
		return 1;
	a->ready = 1;
	for (;;) {
		if (!pager_event(&chained.p, &ev, 1000))
			continue;
		role = role_of(&ev);
		if (ev.op == EXTPAGER_EV_INIT)
			pager_ready(&chained.p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE);
		else if (role == AT_ONCE)
			answer(role, &ev);
		else if (write(chained.work[role][1], &ev, sizeof(ev)) != sizeof(ev))
			return 2;
	}
}

FIXTURE(pair)
{
	struct chained_args *args;	/* two, shared */
	struct client pager[2];
	struct worker w[2];
	int fd[2];
	long oom_kills;
	uint64_t still_ms;		/* the longest time in which nothing moved */
};

FIXTURE_SETUP(pair)
{
	unsigned int i;

	self->args = shared_memory(PAGE);
	self->oom_kills = oom_kills();
	ASSERT_LE(0, self->oom_kills);
	mkdir(CGROUP, 0755);
	for (i = 0; i < 2; i++) {
		if (target_state(names[i]))
			target_gone(names[i]);
		self->args[i].name = names[i];
		/* Touched here, so that nobody else pays for it. */
		self->args[i].store = shared_memory(BYTES);
		memset(self->args[i].store, 0, BYTES);
	}
}

FIXTURE_TEARDOWN(pair)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		client_kill(&self->pager[i]);
	for (i = 0; i < 2; i++) {
		worker_stop(&self->w[i]);
		close(self->fd[i]);
		EXPECT_TRUE(target_gone(names[i]));
		munmap(self->args[i].store, BYTES);
	}
	munmap(self->args, PAGE);
	EXPECT_TRUE(WAIT_FOR(SOON, !rmdir(CGROUP)));
}

static bool pair_start(FIXTURE_DATA(pair) *self, const struct target_options *o, bool squeezed)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		if (target_add(names[i], o))
			return false;
		self->fd[i] = target_open(names[i], O_RDWR | O_NONBLOCK);
		if (self->fd[i] < 0)
			return false;
	}
	for (i = 0; i < 2; i++) {
		self->args[i].other = self->fd[!i];
		self->args[i].squeezed = squeezed;
		self->pager[i] = client_start(serve_chained, &self->args[i]);
	}
	for (i = 0; i < 2; i++)
		if (!WAIT_FOR(SOON, self->args[i].ready) ||
		    !worker_start(&self->w[i], self->fd[i], BYTES))
			return false;
	return true;
}

/* Pages that went anywhere. */
static uint64_t moved(void)
{
	static const int kinds[] = {
		EXTPAGER_A_STATS_PAGES_REQUESTED, EXTPAGER_A_STATS_PAGES_COPIED,
		EXTPAGER_A_STATS_PAGES_RETURNED, EXTPAGER_A_STATS_PAGES_SPILLED,
		EXTPAGER_A_STATS_PAGES_UNSPILLED,
	};
	unsigned int i, k;
	uint64_t n = 0;

	for (i = 0; i < 2; i++)
		for (k = 0; k < ARRAY_SIZE(kinds); k++)
			n += target_stat(names[i], kinds[k]);
	return n;
}

static bool is_dead(const struct client *c)
{
	siginfo_t info = { };

	return waitid(P_PID, c->pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid;
}

/* Who is waited for in vain. */
static bool anybody_is_dead(FIXTURE_DATA(pair) *self)
{
	return is_dead(&self->pager[0]) || is_dead(&self->pager[1]) ||
	       is_dead(&self->w[0].c) || is_dead(&self->w[1].c);
}

/*
 * Both of the pair's clients do it at once; 0 if both of them got it done. However slow the
 * machine, something moves.
 */
static long both(FIXTURE_DATA(pair) *self, long (*what)(struct order *o), uint64_t offset,
		 uint64_t length, uint64_t seed)
{
	uint64_t was = 0, now, since = now_ms();
	unsigned int i;
	long ret = 0;

	for (i = 0; i < 2; i++)
		worker_begin(&self->w[i], what, offset, length, seed + i);
	while (worker_busy(&self->w[0]) || worker_busy(&self->w[1])) {
		if (anybody_is_dead(self))
			return -ECHILD;
		now = moved();
		if (now != was)
			since = now_ms();
		else if (now_ms() - since > STILL_MS)
			return WORKER_BUSY;
		if (now_ms() - since > self->still_ms)
			self->still_ms = now_ms() - since;
		was = now;
		test_pause();
	}
	for (i = 0; i < 2; i++)
		ret = worker_end(&self->w[i], 0) ?: ret;
	return ret;
}

/* Pages of the range that the pagers do not have, wherever they keep them. */
static unsigned int stores_wrong(FIXTURE_DATA(pair) *self, uint64_t offset, uint64_t length,
				 uint64_t seed)
{
	unsigned int i, wrong = 0;
	uint64_t at;

	for (i = 0; i < 2; i++)
		for (at = offset; at < offset + length; at += PAGE)
			wrong += !page_is(at < CHAINED ? self->args[i].store + at :
					  self->args[!i].store + at - CHAINED + LENT,
					  seed + i, at / PAGE);
	return wrong;
}

/* ---- both are full ---- */

#define QUOTA	(512 * 1024UL)
/* So slow, a pager is given so much patience. */
#define SLOW_MS		3000
#define PATIENCE_MS	5000

static void pagers_signal(FIXTURE_DATA(pair) *self, int sig)
{
	kill(self->pager[0].pid, sig);
	kill(self->pager[1].pid, sig);
}

static bool both_home(void)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		if (target_dirty(names[i]) || target_spilled(names[i]) ||
		    target_state(names[i]) != EXTPAGER_STATE_LIVE)
			return false;
	return true;
}

static uint64_t both_spilled(void)
{
	return target_stat("left", EXTPAGER_A_STATS_PAGES_SPILLED) +
	       target_stat("right", EXTPAGER_A_STATS_PAGES_SPILLED);
}

/*
 * All that may be dirty in either object is for the other one to keep. That such a pager
 * was slow before, and came back, is no reason to wait for it.
 */
TEST_F_TIMEOUT(pair, full_quotas_of_both_are_a_circle_that_the_spill_ends, 100)
{
	uint64_t spilled, waits[2];
	unsigned int i;

	PARTIAL(91, 95);
	ASSERT_TRUE(pair_start(self, &(struct target_options){ .bytes = BYTES, .quota = QUOTA },
			       false));
	pagers_signal(self, SIGSTOP);
	EXPECT_EQ(0, both(self, do_write_all, 0, 2 * QUOTA, 10));
	usleep(SLOW_MS * 1000);
	pagers_signal(self, SIGCONT);
	ASSERT_TRUE(WAIT_FOR(WORK_MS, both_home()));

	pagers_signal(self, SIGSTOP);
	spilled = both_spilled();
	for (i = 0; i < 2; i++) {
		waits[i] = target_stat(names[i], EXTPAGER_A_STATS_QUOTA_WAITS);
		worker_begin(&self->w[i], do_write_all, CHAINED, 2 * QUOTA, 10 + i);
	}
	for (i = 0; i < 2; i++)
		ASSERT_TRUE(WAIT_FOR(SOON, target_stat(names[i], EXTPAGER_A_STATS_QUOTA_WAITS) >
					   waits[i]));
	EXPECT_EQ(spilled, both_spilled());
	pagers_signal(self, SIGCONT);
	EXPECT_TRUE(WAIT_FOR(PATIENCE_MS / 2, both_spilled() > spilled));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, worker_end(&self->w[i], WORK_MS));
	/* The second time for what the first one has put into the other object. */
	EXPECT_EQ(0, both(self, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, both(self, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, stores_wrong(self, 0, 2 * QUOTA, 10));
	EXPECT_EQ(0, stores_wrong(self, CHAINED, 2 * QUOTA, 10));
	EXPECT_EQ(0, target_stat("left", EXTPAGER_A_STATS_TIMEOUTS));
	EXPECT_EQ(0, target_stat("right", EXTPAGER_A_STATS_TIMEOUTS));
}

/* Four of them, and what they work on is twice what they have. */
TEST_F_TIMEOUT(pair, in_little_memory_every_byte_is_right, 250)
{
	BEHAVIOURS(54, 60);
	ASSERT_TRUE(write_file(CGROUP "/memory.max", "8M"));
	ASSERT_TRUE(pair_start(self, &(struct target_options){ .bytes = BYTES }, true));
	ASSERT_EQ(0, both(self, do_join, 0, 0, 0));
	ASSERT_EQ(0, both(self, do_write_all, 0, 2 * PART, 10));
	ASSERT_EQ(0, both(self, do_check, PART / 2, PART, 10));
	/* Pages that have to come before they are written, from both parts. */
	ASSERT_EQ(0, both(self, do_store, PART / 2, PART, 20));
	ASSERT_EQ(0, both(self, do_read, 0, PART / 2, 10));
	ASSERT_EQ(0, both(self, do_read, PART / 2, PART, 20));
	/* The second time for what the first one has put into the other object. */
	ASSERT_EQ(0, both(self, do_fsync, 0, 0, 0));
	ASSERT_EQ(0, both(self, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, stores_wrong(self, 0, PART / 2, 10));
	EXPECT_EQ(0, stores_wrong(self, PART / 2, PART, 20));
	EXPECT_EQ(0, stores_wrong(self, PART + PART / 2, PART / 2, 10));
	EXPECT_LT(0, read_number(CGROUP "/memory.events", "max"));
	EXPECT_EQ(0, read_number(CGROUP "/memory.events", "oom_kill"));
	EXPECT_EQ(self->oom_kills, oom_kills());
	EXPECT_EQ(0, target_stat("left", EXTPAGER_A_STATS_TIMEOUTS));
	EXPECT_EQ(0, target_stat("right", EXTPAGER_A_STATS_TIMEOUTS));
	printf("# nothing moved for %lu ms at most\n", self->still_ms);
}

static unsigned int short_ms(void)
{
	return on_debug_kernel() ? 4000 : 1500;
}

/* ---- each needs of the other what that one needs of it ---- */

/* Long after the last deadline that can be due. */
static unsigned int over_ms(void)
{
	return 10 * short_ms();
}

#define SHORT .bytes = BYTES, .page_in_ms = short_ms(), .return_ms = short_ms(),	\
	      .sync_ms = short_ms()

static int sync_all(void *unused)
{
	sync();
	return 0;
}

/*
 * They answer everything else as ever, with each other's help too, and the machine goes on:
 * but for the deadlines of what is in the circle.
 */
static bool unharmed(FIXTURE_DATA(pair) *self, uint64_t seed)
{
	struct client c = client_start(sync_all, NULL);

	return client_result(&c, over_ms()) == 0 &&
	       !both(self, do_write_all, PART - 8 * PAGE, 16 * PAGE, seed) &&
	       !both(self, do_forget, PART - 8 * PAGE, 16 * PAGE, 0) &&
	       !both(self, do_read, PART - 8 * PAGE, 16 * PAGE, seed) &&
	       self->oom_kills == oom_kills();
}

TEST_F_TIMEOUT(pair, a_circle_of_page_ins_ends_by_the_deadline, 100)
{
	struct order *touch;
	uint64_t start;

	BEHAVIOURS(95);
	ASSERT_TRUE(pair_start(self, &(struct target_options){ SHORT }, false));
	touch = self->w[0].order;
	/* Begun on one side, and on both. */
	start = ticked_ms();
	ASSERT_EQ(0, worker_do(&self->w[0], do_touch_read, CIRCLE, PAGE, 0));
	EXPECT_EQ(BUS_ADRERR, touch->code);
	EXPECT_EQ(CIRCLE, touch->where);
	EXPECT_LE(short_ms(), ticked_ms() - start);
	/* They are due within a tick, and the first one frees the other's pager. */
	EXPECT_LE(1, target_stat("left", EXTPAGER_A_STATS_TIMEOUTS) +
		     target_stat("right", EXTPAGER_A_STATS_TIMEOUTS));
	EXPECT_TRUE(unharmed(self, 1));

	worker_begin(&self->w[0], do_touch_read, CIRCLE, PAGE, 0);
	worker_begin(&self->w[1], do_read, CIRCLE, PAGE, 0);
	EXPECT_EQ(0, worker_end(&self->w[0], over_ms()));
	EXPECT_EQ(BUS_ADRERR, touch->code);
	EXPECT_EQ(-EIO, worker_end(&self->w[1], over_ms()));
	EXPECT_TRUE(unharmed(self, 3));
}

/* fsync wants the other one's, which wants the first one's again. */
TEST_F_TIMEOUT(pair, a_circle_of_barriers_ends_by_the_deadline, 100)
{
	uint64_t start;

	BEHAVIOURS(95);
	ASSERT_TRUE(pair_start(self, &(struct target_options){ SHORT }, false));
	ASSERT_EQ((long)PAGE, worker_do(&self->w[0], do_write, CIRCLE, PAGE, 1));
	start = ticked_ms();
	EXPECT_EQ(-EIO, worker_do(&self->w[0], do_fsync, 0, 0, 0));
	EXPECT_LE(short_ms(), ticked_ms() - start);
	/* They are due within a tick, and the first one frees the other's pager. */
	EXPECT_LE(1, target_stat("left", EXTPAGER_A_STATS_TIMEOUTS) +
		     target_stat("right", EXTPAGER_A_STATS_TIMEOUTS));
	EXPECT_TRUE(unharmed(self, 1));
	/* Nor is what they pass round lost. */
	EXPECT_EQ(0, worker_do(&self->w[0], do_read, CIRCLE, PAGE, 1));
}

/* With a deadline that nobody would wait for. */
TEST_F(pair, a_circle_ends_when_a_pager_is_killed)
{
	BEHAVIOURS(95);
	ASSERT_TRUE(pair_start(self, &(struct target_options){ .bytes = BYTES, .policy = "fail",
							       .page_in_ms = 600000 }, false));
	worker_begin(&self->w[0], do_touch_read, CIRCLE, PAGE, 0);
	ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(self->pager[0].pid) == 1 &&
				   tasks_waiting(self->pager[1].pid) == 1));
	client_kill(&self->pager[1]);
	EXPECT_EQ(0, worker_end(&self->w[0], SOON));
	EXPECT_EQ(BUS_ADRERR, self->w[0].order->code);
	EXPECT_EQ(0, target_stat("left", EXTPAGER_A_STATS_TIMEOUTS));
	/* The other one serves on, what it can. */
	EXPECT_EQ(0, worker_do(&self->w[0], do_read_zeros, 0, 4 * PAGE, 0));
}

TEST_HARNESS_MAIN
