// SPDX-License-Identifier: GPL-2.0-only
/* vm: kernels=6.12 timeout=240 */
/*
 * How long clients pause when pagerd is killed and another one is started at once:
 * told for each round beside the time which that one took to start, for the runner to
 * draw. Only the bytes are judged, and that nobody gets an error.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <extpager.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"

#define NAME	"pauses"
#define PAGES	4096UL
#define BYTES	(PAGES * PAGE)
#define CLIENTS	4
/* Of a client, between a successor's start and the next kill. */
#define TOUCHES	20
/* By what the longest pause should be longer than the successor's start, at most. */
#define GOAL_MS	100

/* Shared with the test. */
struct toucher {
	int fd;
	unsigned int number;
	volatile bool *stop;
	volatile uint64_t touches;
	volatile uint64_t longest_ns;	/* that one of them took */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* ---- a client: the pages of its number are its own ---- */

static int touch(struct toucher *t, uint8_t *page, uint64_t index, uint64_t *seed, bool write)
{
	uint64_t begin = now_ns(), took;

	if (!page_is(page, *seed, index))
		return 1;
	if (write) {
		fill_page(page, ++*seed, index);
		if (msync(page, PAGE, MS_SYNC))
			return 2;
	}
	took = now_ns() - begin;
	if (took > t->longest_ns)
		t->longest_ns = took;
	t->touches++;
	/* It comes from the pager again. */
	madvise(page, PAGE, MADV_DONTNEED);
	posix_fadvise(t->fd, index * PAGE, PAGE, POSIX_FADV_DONTNEED);
	return 0;
}

static int touch_on(void *arg)
{
	static uint64_t seed[PAGES];
	struct toucher *t = arg;
	uint64_t random = test_seed(t->number), index;
	bool write;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	int ret = 0;

	if (map == MAP_FAILED || madvise(map, BYTES, MADV_RANDOM))
		return 3;
	while (!ret && !*t->stop) {
		index = test_random(&random) % (PAGES / CLIENTS) * CLIENTS + t->number;
		write = test_random(&random) % 4 == 0;
		ret = touch(t, map + index * PAGE, index, &seed[index], write);
	}
	for (index = t->number; !ret && index < PAGES; index += CLIENTS)
		ret = touch(t, map + index * PAGE, index, &seed[index], false);
	return ret;
}

/* ---- pagerd ---- */

static pid_t pagerd_start(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (!freopen("/tmp/pauses.log", "a", stderr))
		_exit(1);
	execlp("pagerd", "pagerd", NULL);
	_exit(1);
}

static int is_attached(unsigned int event, const struct extpager_target *t, void *unused)
{
	return event == EXTPAGER_EVENT_ATTACHED && !strcmp(t->name, NAME);
}

/* @not_yet: when it was last seen not to be, which may be long before it is told. */
static bool wait_attached(struct extpager_ctl *c, uint64_t *not_yet)
{
	struct pollfd pfd = { .fd = extpager_ctl_fd(c), .events = POLLIN };
	uint64_t end = now_ms() + SOON, now;
	int ret = 0;

	while (!ret && now_ms() < end) {
		now = now_ns();
		if (poll(&pfd, 1, 10) == 1)
			ret = extpager_ctl_read(c, is_attached, NULL);
		else
			*not_yet = now;
	}
	return ret == 1;
}

/* ---- the test ---- */

FIXTURE(pauses)
{
	struct extpager_ctl *c;
	pid_t pagerd;
	int fd;
	volatile bool *stop;
	struct toucher *t;		/* CLIENTS */
	struct client client[CLIENTS];
};

FIXTURE_SETUP(pauses)
{
	struct extpager_target target = {
		.size = sizeof(target),
		.set = EXTPAGER_SET_BYTES | EXTPAGER_SET_STORE,
		.name = NAME,
		.bytes = BYTES,
	};
	uint8_t page[PAGE];
	uint64_t i, not_yet;

	ASSERT_TRUE(disk_ready());
	ASSERT_TRUE(target_gone(NAME));
	ASSERT_EQ(0, extpager_ctl_open(&self->c));
	ASSERT_EQ(0, extpager_ctl_subscribe(self->c));
	snprintf(target.store, sizeof(target.store), "block:%s?length=%lu&force=1", DISK, BYTES);
	ASSERT_EQ(0, extpager_target_add(self->c, &target));
	self->pagerd = pagerd_start();
	ASSERT_TRUE(wait_attached(self->c, &not_yet));
	self->fd = target_open(NAME, O_RDWR);
	ASSERT_LE(0, self->fd);
	for (i = 0; i < PAGES; i++) {
		fill_page(page, 0, i);
		ASSERT_EQ((ssize_t)PAGE, pwrite(self->fd, page, PAGE, i * PAGE));
	}
	ASSERT_EQ(0, fsync(self->fd));
	ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_DONTNEED));

	self->stop = shared_memory(PAGE);
	self->t = shared_memory(CLIENTS * sizeof(*self->t));
	for (i = 0; i < CLIENTS; i++) {
		self->t[i] = (struct toucher){ .fd = self->fd, .number = i, .stop = self->stop };
		self->client[i] = client_start(touch_on, &self->t[i]);
	}
}

FIXTURE_TEARDOWN(pauses)
{
	unsigned int i;
	int status;

	for (i = 0; i < CLIENTS; i++)
		client_kill(&self->client[i]);
	close(self->fd);
	kill(self->pagerd, SIGTERM);
	EXPECT_EQ(self->pagerd, waitpid(self->pagerd, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(target_gone(NAME));
	extpager_ctl_close(self->c);
	unlink("/tmp/pauses.log");
}

/* All clients get on, by so many touches each. */
static bool get_on(FIXTURE_DATA(pauses) *self, unsigned int touches)
{
	unsigned int i;

	for (i = 0; i < CLIENTS; i++) {
		uint64_t last = self->t[i].touches + touches;

		if (!WAIT_FOR(SOON, self->t[i].touches >= last)) {
			printf("# client %u: %d\n", i, client_result(&self->client[i], 0));
			return false;
		}
	}
	return true;
}

static double longest_ms(const struct toucher *t)
{
	uint64_t longest = 0;
	unsigned int i;

	for (i = 0; i < CLIENTS; i++)
		if (t[i].longest_ns > longest)
			longest = t[i].longest_ns;
	return longest / 1e6;
}

TEST_F_TIMEOUT(pauses, a_successor_started_at_once_ends_the_pause, 200)
{
	unsigned int rounds = test_rounds(100, 20, 20), late = 0, i, j;
	uint64_t random = test_seed(CLIENTS);

	BEHAVIOURS(86);
	printf("# histogram %s: pause start more\n", NAME);
	for (i = 0; i < rounds; i++) {
		double start, pause;
		uint64_t begin, not_yet;

		ASSERT_TRUE(get_on(self, TOUCHES + test_random(&random) % TOUCHES));
		for (j = 0; j < CLIENTS; j++)
			self->t[j].longest_ns = 0;
		kill(self->pagerd, SIGKILL);
		ASSERT_EQ(self->pagerd, waitpid(self->pagerd, NULL, 0));
		begin = now_ns();
		not_yet = begin;
		self->pagerd = pagerd_start();
		ASSERT_TRUE(wait_attached(self->c, &not_yet));
		start = (now_ns() - begin) / 1e6;
		ASSERT_TRUE(get_on(self, TOUCHES));

		pause = longest_ms(self->t);
		printf("# sample %s %.1f %.1f %.1f\n", NAME, pause, start, pause - start);
		fflush(stdout);
		late += pause - start > GOAL_MS;
		/* Else nobody needed pagerd. That it is there may be noticed later than by them. */
		EXPECT_LT((not_yet - begin) / 2e6, pause);
	}
	printf("# %u of %u times the longest pause was more than %u ms longer than the start\n",
	       late, rounds, GOAL_MS);

	*self->stop = true;
	for (i = 0; i < CLIENTS; i++)
		EXPECT_EQ(0, client_result(&self->client[i], SOON));
	EXPECT_EQ(0, fsync(self->fd));
}

TEST_HARNESS_MAIN
