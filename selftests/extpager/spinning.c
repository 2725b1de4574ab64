// SPDX-License-Identifier: GPL-2.0-only
/*
 * Spinning before a sleep: it spares the wake-ups between two CPUs, and keeps nobody. The
 * pager is on one CPU, its client on the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"

#define BYTES	(4 * MIB)
#define PARAMETER "/sys/module/extpager/parameters/spin_us"
#define HERE	0		/* the test's CPU */
#define THERE	1
#define DEFAULT_US 50
/* So long somebody spins whom nothing ends, and so soon one who is ended has; ms. */
#define LONG	2000
#define PROMPT	100
/* Whatever else runs on his CPU for a moment ends it, too, though not as soon. */
#define TRIALS	10
#define MOSTLY	8

/* A pager's thread, which serves until it is told to stop. */
struct spinner {
	struct pager *p;
	pthread_t thread;
	volatile pid_t tid;
	volatile unsigned int served;
	volatile unsigned int ended;	/* so often ENTER was, by WAKE or a signal */
	volatile bool stop;
};

/* One that does nothing, all the time. */
struct busy {
	pthread_t thread;
	bool started;
	volatile bool runs, stop;
};

FIXTURE(spinning)
{
	struct pager p;
	int fd;
	struct spinner spinner;
	struct busy busy;
};

static bool set_spin_us(unsigned long us)
{
	return write_number(PARAMETER, us);
}

FIXTURE_SETUP(spinning)
{
	ASSERT_EQ(2, sysconf(_SC_NPROCESSORS_ONLN));
	ASSERT_TRUE(set_spin_us(DEFAULT_US));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	self->fd = pager_create(&self->p, BYTES, 0, NULL);
	ASSERT_LE(0, self->fd);
	ASSERT_NE(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->fd, 0));
	ASSERT_TRUE(object_ready(&self->p, NULL));
	ASSERT_TRUE(stay_on(HERE));
}

static int enter(struct pager *p)
{
	struct extpager_enter enter = { .size = sizeof(enter), .min_complete = 1,
					.timeout_ns = ~0ULL };

	return ioctl(p->fd, EXTPAGER_IOC_ENTER, &enter) ? errno : 0;
}

static bool supply(struct pager *p)
{
	struct extpager_event ev;

	return pager_event_on(p, 0, &ev) && ev.op == EXTPAGER_EV_DATA_REQUEST &&
	       !pager_supply_zero(p, &ev);
}

/* ---- what it is for ---- */

#define ROUNDS	400

struct reader {
	int fd;
	unsigned int pages;
	volatile long slept;		/* so often it did */
	volatile bool here;
};

static long sleeps(void)
{
	struct rusage use;

	return getrusage(RUSAGE_THREAD, &use) ? -1 : use.ru_nvcsw;
}

/* Page by page, each of which has to be asked for. */
static int read_there(void *arg)
{
	struct reader *r = arg;
	char page[PAGE];
	unsigned int i;
	long before;

	if (!stay_on(THERE))
		return 99;
	posix_fadvise(r->fd, 0, 0, POSIX_FADV_RANDOM);
	r->here = true;
	before = sleeps();
	for (i = 0; i < r->pages; i++)
		if (pread(r->fd, page, PAGE, i * PAGE) != (ssize_t)PAGE)
			return errno;
	r->slept = sleeps() - before;
	return 0;
}

/* How often the two sleep while one reads ROUNDS pages of the other. */
#define PLAY(us, pager, client) do {							\
	struct reader *r_ = shared_memory(sizeof(*r_));					\
	unsigned int i_;								\
	struct client c_;								\
											\
	*r_ = (struct reader){ .fd = self->fd, .pages = ROUNDS };			\
	posix_fadvise(self->fd, 0, 0, POSIX_FADV_DONTNEED);				\
	ASSERT_TRUE(set_spin_us(us));							\
	c_ = client_start(read_there, r_);						\
	pager = sleeps();								\
	for (i_ = 0; i_ < ROUNDS; i_++) {						\
		ASSERT_EQ(0, enter(&self->p));						\
		ASSERT_TRUE(supply(&self->p));						\
	}										\
	pager = sleeps() - pager;							\
	ASSERT_EQ(0, client_result(&c_, SOON));						\
	client = r_->slept;								\
	printf("# spin_us=%lu: of %u waits the pager slept %ld, its client %ld\n",	\
	       (unsigned long)(us), ROUNDS, pager, client);				\
} while (0)

/* ---- a pager of its own ---- */

static void *spin_there(void *arg)
{
	struct spinner *s = arg;

	if (!stay_on(THERE))
		return NULL;
	s->tid = gettid();
	while (!s->stop) {
		if (enter(s->p) == EINTR)
			s->ended++;
		else if (supply(s->p))
			s->served++;
		else
			return NULL;
	}
	return s;
}

static bool event_is_served(struct spinner *s, int fd)
{
	unsigned int served = s->served;

	return !prefetch(fd, served, 1) && WAIT_FOR(SOON, s->served > served);
}

/* In the end it spins for @us: each event comes a little later than it looked for the last one. */
static bool spinner_learns(struct spinner *s, struct pager *p, int fd, unsigned long us)
{
	unsigned long wait;

	s->p = p;
	if (!set_spin_us(us) || pthread_create(&s->thread, NULL, spin_there, s) ||
	    !WAIT_FOR(SOON, s->tid))
		return false;
	for (wait = 20; wait < us; wait *= 2) {
		usleep(wait);
		if (!event_is_served(s, fd))
			return false;
	}
	return true;
}

/* What else there is to do on its CPU makes it sleep now and then: try a few times. */
static bool spinner_spins(struct spinner *s, int fd)
{
	unsigned int i;

	for (i = 0; i < 50; i++) {
		usleep(20000);
		if (!thread_sleeps(s->tid))
			return true;
		if (!event_is_served(s, fd))
			return false;
	}
	return false;
}

static bool spinner_is_told(struct spinner *s, bool by_signal)
{
	struct extpager_wake wake = { .size = sizeof(wake) };
	unsigned int ended = s->ended;

	if (!by_signal)
		return !ioctl(s->p->fd, EXTPAGER_IOC_WAKE, &wake) &&
		       WAIT_FOR(SOON, s->ended > ended);
	/* One that comes between two waits ends none. */
	return WAIT_FOR(SOON, pthread_kill(s->thread, SIGUSR1) || s->ended > ended);
}

static bool spinner_ends(struct spinner *s)
{
	void *result;

	s->stop = true;
	return spinner_is_told(s, false) && !pthread_join(s->thread, &result) && result == s;
}

static void busy_ends(struct busy *b)
{
	b->stop = true;
	if (b->started)
		pthread_join(b->thread, NULL);
	b->started = false;
}

FIXTURE_TEARDOWN(spinning)
{
	busy_ends(&self->busy);
	EXPECT_TRUE(!self->spinner.tid || spinner_ends(&self->spinner));
	EXPECT_TRUE(set_spin_us(DEFAULT_US));
	close(self->fd);
	pager_close(&self->p);
}

TEST_F(spinning, pager_and_client_need_not_wake_each_other)
{
	long pager, client;

	PLAY(0, pager, client);
	EXPECT_LT(ROUNDS / 2, pager);
	EXPECT_LT(ROUNDS / 2, client);
	/* Longer than any answer takes, as soon as that is learnt. */
	PLAY(LONG * 1000, pager, client);
	EXPECT_GT(ROUNDS / 4, pager);
	EXPECT_GT(ROUNDS / 4, client);
	/* Nothing is as short as this. */
	PLAY(1, pager, client);
	EXPECT_LT(ROUNDS / 2, pager);
	EXPECT_LT(ROUNDS / 2, client);
}

/* ---- that it ends ---- */

static void nothing(int signal)
{
}

TEST_F(spinning, a_pager_that_spins_is_ended_at_once)
{
	const struct sigaction handler = { .sa_handler = nothing };
	struct spinner *s = &self->spinner;
	unsigned int i, by_signal, prompt;
	uint64_t begin, took;

	ASSERT_EQ(0, sigaction(SIGUSR1, &handler, NULL));
	ASSERT_TRUE(spinner_learns(s, &self->p, self->fd, 2 * LONG * 1000));
	for (by_signal = 0; by_signal < 2; by_signal++) {
		for (took = 0, prompt = 0, i = 0; i < TRIALS; i++) {
			ASSERT_TRUE(spinner_spins(s, self->fd));
			begin = now_ms();
			ASSERT_TRUE(spinner_is_told(s, by_signal));
			prompt += now_ms() - begin < PROMPT;
			took += now_ms() - begin;
		}
		printf("# told %u times to end by %s: %u times it did at once; all in %llu ms\n", i,
		       by_signal ? "a signal" : "WAKE", prompt, (long long)took);
		EXPECT_LE(MOSTLY, prompt);
	}
}

/* What @nr events take of its CPU, @us after one another, in ns. */
static uint64_t spinner_uses(struct spinner *s, int fd, unsigned int nr, unsigned long us)
{
	struct timespec before, after;
	clockid_t clock;

	if (pthread_getcpuclockid(s->thread, &clock) || clock_gettime(clock, &before))
		return 0;
	while (nr--) {
		if (!event_is_served(s, fd))
			return 0;
		usleep(us);
	}
	clock_gettime(clock, &after);
	return (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
}

TEST_F(spinning, who_has_slept_long_does_not_spin_the_next_time)
{
	struct spinner *s = &self->spinner;
	uint64_t spinning, sleeping;

	ASSERT_TRUE(spinner_learns(s, &self->p, self->fd, LONG * 1000));
	ASSERT_TRUE(spinner_spins(s, self->fd));
	spinning = spinner_uses(s, self->fd, 10, 50 * 1000);
	/* Before this one it still does. */
	ASSERT_LT(0, spinner_uses(s, self->fd, 1, (LONG + 100) * 1000));
	sleeping = spinner_uses(s, self->fd, 3, (LONG + 100) * 1000);
	printf("# ten short waits: %llu us, three long ones: %llu us\n",
	       (long long)spinning / 1000, (long long)sleeping / 1000);
	EXPECT_LT(0, sleeping);
	EXPECT_LT(3 * sleeping, spinning);
}

static void *keep_busy_there(void *arg)
{
	struct busy *b = arg;

	for (b->runs = stay_on(THERE); !b->stop; )
		;
	return NULL;
}

TEST_F(spinning, nobody_spins_where_others_want_to_run)
{
	struct spinner *s = &self->spinner;
	uint64_t spinning, sleeping;

	ASSERT_TRUE(spinner_learns(s, &self->p, self->fd, LONG * 1000));
	ASSERT_TRUE(spinner_spins(s, self->fd));
	self->busy.started = !pthread_create(&self->busy.thread, NULL, keep_busy_there,
					     &self->busy);
	ASSERT_TRUE(WAIT_FOR(SOON, self->busy.runs));
	spinning = spinner_uses(s, self->fd, 50, 10000);
	ASSERT_TRUE(set_spin_us(0));
	sleeping = spinner_uses(s, self->fd, 50, 10000);
	printf("# beside another: %llu us spinning, %llu not\n",
	       (long long)spinning / 1000, (long long)sleeping / 1000);
	EXPECT_LT(0, sleeping);
	/* Fifty waits, each of which may spin till the other's turn. */
	EXPECT_GT(2 * sleeping + 50 * 1000000, spinning);
}

TEST_F(spinning, a_client_that_spins_is_killed_at_once)
{
	struct reader *r = shared_memory(sizeof(*r));
	unsigned int i, killed = 0, prompt = 0;
	uint64_t begin, took = 0;
	unsigned long wait;
	struct client c;

	*r = (struct reader){ .fd = self->fd, .pages = BYTES / PAGE };
	ASSERT_TRUE(set_spin_us(2 * LONG * 1000));
	c = client_start(read_there, r);
	for (wait = 20; wait < 2 * LONG * 1000; wait *= 2) {
		ASSERT_EQ(0, enter(&self->p));
		usleep(wait);
		ASSERT_TRUE(supply(&self->p));
	}
	for (i = 0; i < 5 * TRIALS && killed < TRIALS; i++) {
		ASSERT_EQ(0, enter(&self->p));
		usleep(20000);
		if (!client_stands(&c)) {
			begin = now_ms();
			ASSERT_EQ(0, kill(c.pid, SIGKILL));
			ASSERT_EQ(-SIGKILL, client_result(&c, SOON));
			prompt += now_ms() - begin < PROMPT;
			took += now_ms() - begin;
			killed++;
			/* The next one wants other pages. */
			ASSERT_TRUE(supply(&self->p));
			c = client_start(read_there, r);
			continue;
		}
		ASSERT_TRUE(supply(&self->p));
	}
	printf("# %u killed, %u ended at once; all in %llu ms\n", killed, prompt, (long long)took);
	EXPECT_EQ(TRIALS, killed);
	EXPECT_LE(MOSTLY, prompt);
	client_kill(&c);
}

TEST_HARNESS_MAIN
