// SPDX-License-Identifier: GPL-2.0-only
/* vm: timeout=900 */
/*
 * Four processes read, write, map, punch and drop one object at random, by all
 * ways at once, and a model in memory says what each of them must find. At the
 * end of every round the pager's store, after one fsync, is the model.
 *
 * Operations exclude each other where their bytes overlap, in units of a
 * sector: neighbours within a page do run at the same time.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/pager.h"
#include "support/ways.h"

#define BYTES	(2 * MIB - 1000)	/* ends inside a page, and inside a sector */
#define PAGES	512
#define SECTOR	512UL
#define SECTORS	(2 * MIB / SECTOR)
#define LONGEST	(3 * PAGE)
#define WORKERS	4
#define ROUNDS	4
#define SEED	9

struct shared {
	pthread_mutex_t lock[SECTORS];
	uint8_t model[2 * MIB];
	volatile bool failed;
	volatile unsigned int done;	/* operations, all workers */
};

struct worker {
	struct shared *s;
	unsigned int number, operations;
	bool punch;
	uint64_t random;

	int fd[WAYS];
	uint8_t *map[WAYS];		/* shared */
	uint8_t *private;		/* of one way, made anew now and then */
	bool own[PAGES];		/* pages of it that this worker has written */
	uint8_t *copy;			/* and their bytes */
	uint8_t buf[LONGEST];
};

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t pick(struct worker *w, size_t n)
{
	return test_random(&w->random) % n;
}

/* ---- ranges, and who has them ---- */

struct range {
	off_t at;
	size_t n;
};

static struct range pick_range(struct worker *w)
{
	struct range r;

	/* A quarter of them on one page, where they meet. */
	r.n = 1 + pick(w, pick(w, 4) ? LONGEST : 64);
	r.at = pick(w, 4) ? pick(w, BYTES - r.n) : 100 * PAGE + pick(w, PAGE);
	return r;
}

/* In ascending order, so that nobody waits in a circle. */
static void lock_range(struct shared *s, struct range r)
{
	size_t i;

	for (i = r.at / SECTOR; i <= (r.at + r.n - 1) / SECTOR; i++)
		pthread_mutex_lock(&s->lock[i]);
}

static void unlock_range(struct shared *s, struct range r)
{
	size_t i;

	for (i = r.at / SECTOR; i <= (r.at + r.n - 1) / SECTOR; i++)
		pthread_mutex_unlock(&s->lock[i]);
}

/* ---- operations; the range is the worker's ---- */

static bool mismatch(struct worker *w, struct range r, const char *what, enum way way,
		     const uint8_t *got, const uint8_t *want)
{
	size_t i = 0;

	if (!memcmp(got, want, r.n))
		return false;
	/* What is mapped may have come right meanwhile. */
	while (i < r.n - 1 && got[i] == want[i])
		i++;
	printf("# %s by %s, worker %u: byte %ld of [%ld, %ld) is %02x, not %02x\n", what,
	       way_names[way], w->number, (long)r.at + i, (long)r.at, (long)(r.at + r.n),
	       got[i], want[i]);
	fflush(stdout);
	return true;
}

static bool failed_call(const char *what, enum way way, struct range r)
{
	printf("# %s by %s of [%ld, %ld): %m\n", what, way_names[way], (long)r.at,
	       (long)(r.at + r.n));
	fflush(stdout);
	return true;
}

static bool do_read(struct worker *w, struct range r, enum way way)
{
	if (pread(w->fd[way], w->buf, r.n, r.at) != (ssize_t)r.n)
		return failed_call("read", way, r);
	return mismatch(w, r, "read", way, w->buf, w->s->model + r.at);
}

static bool do_load(struct worker *w, struct range r, enum way way)
{
	return mismatch(w, r, "loaded", way, w->map[way] + r.at, w->s->model + r.at);
}

static void make_up(struct worker *w, struct range r)
{
	size_t i, n;

	for (i = 0; i < r.n; i += n) {
		uint64_t word = test_random(&w->random);

		n = least(r.n - i, sizeof(word));
		memcpy(w->s->model + r.at + i, &word, n);
	}
}

static bool do_write(struct worker *w, struct range r, enum way way)
{
	make_up(w, r);
	if (pwrite(w->fd[way], w->s->model + r.at, r.n, r.at) != (ssize_t)r.n)
		return failed_call("write", way, r);
	return false;
}

static bool do_store(struct worker *w, struct range r, enum way way)
{
	make_up(w, r);
	memcpy(w->map[way] + r.at, w->s->model + r.at, r.n);
	return false;
}

static bool do_punch(struct worker *w, struct range r, enum way way)
{
	int mode = FALLOC_FL_KEEP_SIZE |
		   (pick(w, 2) ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);

	/* The device has no fallocate. */
	if (way == BY_DEVICE)
		way = BY_OPEN;
	memset(w->s->model + r.at, 0, r.n);
	return fallocate(w->fd[way], mode, r.at, r.n) && failed_call("punch", way, r);
}

/* A private mapping shows the object's bytes but in pages that it wrote. */
static bool do_private_load(struct worker *w, struct range r)
{
	size_t i, n;

	for (i = 0; i < r.n; i += n) {
		off_t at = r.at + i;
		struct range part = { at, n = least(r.n - i, PAGE - at % PAGE) };

		if (mismatch(w, part, w->own[at / PAGE] ? "own" : "private", BY_OPEN,
			     w->private + at, (w->own[at / PAGE] ? w->copy : w->s->model) + at))
			return true;
	}
	return false;
}

static bool do_private_store(struct worker *w, struct range page)
{
	off_t at = page.at + pick(w, page.n);
	size_t i, n = 1 + pick(w, page.at + page.n - at);

	/* What it did not write it keeps as it was at the first write. */
	if (!w->own[page.at / PAGE])
		memcpy(w->copy + page.at, w->s->model + page.at, page.n);
	w->own[page.at / PAGE] = true;
	for (i = 0; i < n; i++)
		w->private[at + i] = w->copy[at + i] = test_random(&w->random);
	return mismatch(w, page, "private", BY_OPEN, w->private + page.at, w->copy + page.at);
}

static bool map_privately(struct worker *w)
{
	if (w->private)
		munmap(w->private, BYTES);
	w->private = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE,
			  w->fd[pick(w, WAYS)], 0);
	memset(w->own, 0, sizeof(w->own));
	return w->private == MAP_FAILED;
}

/* Nothing of this changes a byte. */
static bool do_harmless(struct worker *w, enum way way)
{
	off_t at = pick(w, PAGES) * PAGE;
	size_t n = (1 + pick(w, 64)) * PAGE;

	if (at + n > BYTES)
		n = PAGE;
	switch (pick(w, 16)) {
	case 0:
		return fsync(w->fd[way]);
	case 1:
		return msync(w->map[way] + at, n, MS_SYNC);
	case 2:
		return madvise(w->map[way] + at, n, MADV_PAGEOUT) && errno != EINVAL;
	case 3:
		return madvise(w->private + at, n, MADV_WILLNEED);
	case 4:
		munmap(w->map[way], BYTES);
		w->map[way] = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
				   w->fd[way], 0);
		return w->map[way] == MAP_FAILED;
	case 5:
		return map_privately(w);
	case 6 ... 9:
		return madvise(w->map[way] + at, n, MADV_DONTNEED);
	default:
		return posix_fadvise(w->fd[way], at, n, POSIX_FADV_DONTNEED);
	}
}

static bool operate(struct worker *w)
{
	struct range r = pick_range(w);
	enum way way = pick(w, WAYS);
	unsigned int what = pick(w, 100);
	bool bad = false;

	if (what < 15 && do_harmless(w, way))
		return failed_call("advice", way, r);
	if (what < 15)
		return false;
	if (what < 20) {
		r.at = r.at / PAGE * PAGE;
		r.n = least(PAGE, BYTES - r.at);
	}
	lock_range(w->s, r);
	if (what < 20)
		bad = do_private_store(w, r);
	else if (what < 35)
		bad = do_private_load(w, r);
	else if (what < 55)
		bad = do_read(w, r, way);
	else if (what < 70)
		bad = do_load(w, r, way);
	else if (what < 73 && w->punch)
		bad = do_punch(w, r, way);
	else if (what < 86)
		bad = do_write(w, r, way);
	else
		bad = do_store(w, r, way);
	unlock_range(w->s, r);
	return bad;
}

static int work(void *arg)
{
	struct worker *w = arg;
	unsigned int i;

	for (i = 0; i < WAYS; i++) {
		CHECK((w->fd[i] = way_open(i, O_RDWR)) >= 0);
		w->map[i] = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd[i], 0);
		CHECK(w->map[i] != MAP_FAILED);
	}
	CHECK((w->copy = malloc(2 * MIB)) != NULL);
	CHECK(!map_privately(w));
	for (i = 0; i < w->operations && !w->s->failed; i++) {
		if (operate(w)) {
			printf("# worker %u, operation %u\n", w->number, i);
			fflush(stdout);
			w->s->failed = true;
			return 1;
		}
		__atomic_add_fetch(&w->s->done, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

/* ---- the test ---- */

FIXTURE(exerciser)
{
	struct server server;
	struct shared *s;
};

FIXTURE_SETUP(exerciser)
{
	struct target_options o = { .bytes = BYTES };
	pthread_mutexattr_t attr;
	size_t i;

	ASSERT_EQ(0, ways_add(&o));
	ASSERT_TRUE(server_start(&self->server, TARGET, BYTES, SEED));
	self->s = shared_memory(sizeof(*self->s));
	ASSERT_NE(NULL, self->s);
	memcpy(self->s->model, self->server.store, BYTES);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	for (i = 0; i < SECTORS; i++)
		pthread_mutex_init(&self->s->lock[i], &attr);
}

FIXTURE_TEARDOWN(exerciser)
{
	server_stop(&self->server);
	EXPECT_TRUE(ways_end());
}

/* Now and then the pager is killed, and another takes its place. */
static bool torment(struct server *s, uint64_t *random, unsigned int *kills)
{
	if (test_random(random) % 4)
		return true;
	server_kill(s);
	++*kills;
	return server_restart(s, TARGET);
}

/* How much is killed and written in a round is chance: there are rounds until it is enough. */
static bool lent_enough(const struct server *s, unsigned int kills)
{
	return kills > ROUNDS && s->stats->taken_back > 10 &&
	       target_stat(TARGET, EXTPAGER_A_STATS_PAGES_WRITTEN) > PAGES;
}

enum {
	PUNCH = 1,
	LENT = 2,		/* the pager delegates and takes back, and is killed */
};

static void run(struct __test_metadata *_metadata, FIXTURE_DATA(exerciser) *self,
		unsigned int all, unsigned int how)
{
	unsigned int operations = all / ROUNDS / WORKERS, kills = 0;
	bool punch = how & PUNCH, lent = how & LENT;
	uint64_t begin = now_ms(), random = test_seed(how);
	struct client client[WORKERS];
	unsigned int round, i;
	int fd = way_open(BY_OPEN, O_RDWR);

	ASSERT_LE(0, fd);
	/* Mounts the paths: workers that did so at once would leave one mount each. */
	close(way_open(BY_PATH, O_RDWR));
	for (round = 0; round < ROUNDS || (lent && round < 10 * ROUNDS &&
					   !lent_enough(&self->server, kills)); round++) {
		int result[WORKERS], running = WORKERS;

		for (i = 0; i < WORKERS; i++) {
			struct worker w = {
				.s = self->s, .number = i, .operations = operations,
				.punch = punch,
				.random = test_seed((how * ROUNDS + round) * WORKERS + i),
			};

			client[i] = client_start(work, &w);
			result[i] = CLIENT_RUNNING;
		}
		while (running) {
			drop_caches();
			ASSERT_TRUE(!lent || torment(&self->server, &random, &kills));
			for (i = 0; i < WORKERS; i++) {
				if (result[i] != CLIENT_RUNNING)
					continue;
				result[i] = client_result(&client[i], 20);
				if (result[i] != CLIENT_RUNNING)
					running--;
				if (result[i] > 0 || result[i] < CLIENT_RUNNING)
					self->s->failed = true;
			}
			/* A worker that died has locks that the others wait for. */
			for (i = 0; i < WORKERS && self->s->failed; i++)
				client_kill(&client[i]);
		}
		for (i = 0; i < WORKERS; i++)
			ASSERT_EQ(0, result[i]) TH_LOG("worker %u, round %u", i, round);
		ASSERT_EQ(0, fsync(fd));
		for (i = 0; i < BYTES; i++)
			ASSERT_EQ(self->s->model[i], self->server.store[i])
				TH_LOG("byte %u of the store after round %u", i, round);
	}
	/* All was done, and it was no walk in the cache. */
	EXPECT_EQ(operations * WORKERS * round, self->s->done);
	EXPECT_LT(PAGES, self->server.stats->pages_requested);
	EXPECT_LT(PAGES, self->server.stats->pages_returned);
	EXPECT_EQ(punch, self->server.stats->zeros > 0);
	TH_LOG("%u operations in %lu s, %lu pages requested, %lu returned, %lu ranges zeroed",
	       self->s->done, (unsigned long)(now_ms() - begin) / 1000,
	       self->server.stats->pages_requested, self->server.stats->pages_returned,
	       self->server.stats->zeros);
	if (lent) {
		TH_LOG("%u pagers killed, %lu ranges delegated, %lu taken back, %lu pages read, %lu written",
		       kills, self->server.stats->lent, self->server.stats->taken_back,
		       target_stat(TARGET, EXTPAGER_A_STATS_PAGES_READ),
		       target_stat(TARGET, EXTPAGER_A_STATS_PAGES_WRITTEN));
		EXPECT_LT(ROUNDS, kills);
		EXPECT_EQ(0, self->server.stats->refused);
		EXPECT_LT(10, self->server.stats->taken_back);
		EXPECT_LT(PAGES, target_stat(TARGET, EXTPAGER_A_STATS_PAGES_WRITTEN));
	}
	close(fd);
}

#define MANY		1000000

static unsigned int usual_operations(void)
{
	return test_rounds(MANY, MANY / 10, MANY / 50);
}

/* Both tests together make 10^6, or 10^5 on the debug kernel. */
static bool enough(unsigned int operations)
{
	return operations >= (on_debug_kernel() ? MANY / 20 : MANY / 2);
}

TEST_F_TIMEOUT(exerciser, four_processes_agree_with_a_model, 2400)
{
	unsigned int all = usual_operations();

	BEHAVIOURS_IF(enough(all), 121);
	run(_metadata, self, all, 0);
}

TEST_F_TIMEOUT(exerciser, and_when_holes_are_punched, 2400)
{
	unsigned int all = usual_operations();

	BEHAVIOURS_IF(enough(all), 121);
	run(_metadata, self, all, PUNCH);
}

/* Copied, read from a file, delegated, delegated for reading, and taken back: side by side. */
TEST_F_TIMEOUT(exerciser, and_when_ranges_are_delegated_and_pagers_killed, 2400)
{
	server_kill(&self->server);
	ASSERT_TRUE(server_lends(&self->server));
	ASSERT_TRUE(server_restart(&self->server, TARGET));
	run(_metadata, self, test_rounds(MANY, 30000, 4000), PUNCH | LENT);
}

TEST_HARNESS_MAIN
