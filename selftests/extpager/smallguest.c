// SPDX-License-Identifier: GPL-2.0-only
/*
 * A machine of 256 MiB, a client that dirties twice as much, and a pager that
 * does not take a page of it: until it is continued, or a fresh one comes. What
 * is dirty, spilled and returned is told all the while; the runner draws it.
 */
/* vm: mem=256M swap=1536M kernels=6.1,6.12 timeout=900 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/stamper.h"
#include "support/worker.h"

#define NAME	"small"
#define BYTES	(512 * MIB)
#define SAMPLE_MS 500
/* How long the writer, the way home and a bystander's round may take. */
#define PART_MS	240000
#define ROUND_MS 30000
/* How long the client may stand still while the machine does not. */
#define PAUSE_MS 15000

/* Shared with those who work. */
struct progress {
	volatile uint64_t written;	/* bytes */
	volatile unsigned int rounds;	/* of the bystander */
	volatile uint64_t longest_ms;	/* of its rounds */
	volatile uint64_t round_since;	/* ms; of the one that goes on */
};

static struct progress *progress;

FIXTURE(smallguest)
{
	struct stamper s;
	int fd;
	struct worker w;
	struct client bystander;
	uint64_t start;
	uint64_t longest_ms;		/* without anything written or returned */
};

FIXTURE_VARIANT(smallguest)
{
	const char *name;
	bool killed;
};

FIXTURE_VARIANT_ADD(smallguest, pager_stopped) { .name = "pager_stopped" };
FIXTURE_VARIANT_ADD(smallguest, pager_killed) { .name = "pager_killed", .killed = true };

/* What others do meanwhile: processes, a file, memory of one's own. */
static int live(void *unused)
{
	const size_t bytes = 4 * MIB;
	unsigned int i;

	for (;;) {
		uint64_t start = now_ms(), ms;
		uint8_t *memory;
		pid_t pid;
		int fd;

		progress->round_since = start;
		pid = fork();
		if (!pid) {
			execl("/bin/busybox", "true", NULL);
			_exit(1);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			return 1;
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			      0);
		if (memory == MAP_FAILED)
			return 2;
		memset(memory, 1, bytes);
		fd = open("/tmp/bystander", O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (fd < 0 || write(fd, memory, bytes) != (ssize_t)bytes)
			return 3;
		close(fd);
		munmap(memory, bytes);
		ms = now_ms() - start;
		if (ms > progress->longest_ms)
			progress->longest_ms = ms;
		progress->rounds++;
		for (i = 0; i < 100; i++)
			test_pause();
	}
}

FIXTURE_SETUP(smallguest)
{
	if (target_state(NAME))
		target_gone(NAME);
	/* The machine is what it is said to be. */
	ASSERT_GT(256 * 1024, read_number("/proc/meminfo", "MemTotal"));
	ASSERT_LT(2 * BYTES / 1024, read_number("/proc/meminfo", "SwapFree"));
	progress = shared_memory(sizeof(*progress));
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES,
								.grace_ms = 4 * PART_MS }));
	ASSERT_TRUE(stamper_start(&self->s, NAME, BYTES));
	self->fd = target_open(NAME, O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_TRUE(worker_start(&self->w, self->fd, BYTES));
	self->bystander = client_start(live, NULL);
	self->start = now_ms();
	self->longest_ms = 0;
}

FIXTURE_TEARDOWN(smallguest)
{
	client_kill(&self->bystander);
	worker_stop(&self->w);
	close(self->fd);
	stamper_stop(&self->s);
	EXPECT_TRUE(target_gone(NAME));
	munmap(progress, sizeof(*progress));
	unlink("/tmp/bystander");
}

/* Whole pages, for which nobody has to be asked. */
static long do_dirty_all(struct order *o)
{
	struct order part = *o;
	long ret;

	part.length = MIB;
	for (part.offset = 0; part.offset < o->bytes; part.offset += MIB) {
		ret = do_write(&part);
		if (ret != (long)MIB)
			return ret < 0 ? ret : -ENOSPC;
		progress->written += MIB;
	}
	return 0;
}

/* The first MiB of each STEP once more, through the mapping: it comes from the spill. */
#define STEP	(8 * MIB)

static long do_dirty_again(struct order *o)
{
	struct order part = *o;

	part.length = MIB;
	for (part.offset = 0; part.offset < o->bytes; part.offset += STEP) {
		do_store(&part);
		progress->written += MIB;
	}
	return 0;
}

/* How many MiB of the object are not as they were written. */
static unsigned int mib_wrong(const struct stamper *s)
{
	unsigned int wrong = 0;
	uint64_t at;

	for (at = 0; at < BYTES; at += MIB)
		wrong += stamper_wrong(s, at, MIB, at % STEP ? 1 : 2) != 0;
	return wrong;
}

/* How many pages are wrong, of two MiB of each STEP. */
static long do_check_some(struct order *o)
{
	struct order part = *o;
	long wrong = 0;

	part.length = MIB;
	for (part.offset = 0; part.offset < o->bytes; part.offset += STEP - MIB) {
		part.seed = 2;
		wrong += do_read(&part);
		part.offset += MIB;
		part.seed = 1;
		wrong += do_read(&part);
	}
	return wrong;
}

/* A row of the plot: seconds, and MiB. How far all has come. */
static uint64_t sample(uint64_t start, const char *plot)
{
	uint64_t pages = target_stat(NAME, EXTPAGER_A_STATS_PAGES_RETURNED);

	printf("# point %s %.1f %.1f %.1f %.1f %.1f\n", plot, (now_ms() - start) / 1000.0,
	       (double)progress->written / MIB, (double)target_dirty(NAME) / MIB,
	       (double)target_spilled(NAME) / MIB, (double)pages * PAGE / MIB);
	fflush(stdout);
	return progress->written + pages * PAGE;
}

/* Give the client an order, and tell what goes on until it is done; its result. */
static long watch(FIXTURE_DATA(smallguest) *self, const char *plot, long (*what)(struct order *o),
		  uint64_t seed)
{
	uint64_t end = now_ms() + PART_MS, moved = now_ms(), last = 0, now;
	long ret = WORKER_BUSY;

	worker_begin(&self->w, what, 0, BYTES, seed);
	while (ret == WORKER_BUSY && now_ms() < end &&
	       client_result(&self->w.c, 0) == CLIENT_RUNNING) {
		ret = worker_end(&self->w, SAMPLE_MS);
		now = sample(self->start, plot);
		if (now != last)
			moved = now_ms();
		last = now;
		if (now_ms() - moved > self->longest_ms)
			self->longest_ms = now_ms() - moved;
	}
	return ret;
}

static bool bystander_lives(void)
{
	return now_ms() - progress->round_since < ROUND_MS && progress->longest_ms < ROUND_MS;
}

TEST_F_TIMEOUT(smallguest, twice_the_memory_is_dirtied_and_comes_home, 600)
{
	long oom_kills = read_number("/proc/vmstat", "oom_kill");
	unsigned int rounds;

	BEHAVIOURS(91);
	PARTIAL(86, 132);
	printf("# plot %s: written dirty spilled returned\n", variant->name);
	ASSERT_LE(0, oom_kills);
	if (variant->killed)
		stamper_kill(&self->s);
	else
		stamper_freeze(&self->s);

	ASSERT_EQ(0, watch(self, variant->name, do_dirty_all, 1));
	EXPECT_EQ(variant->killed ? EXTPAGER_STATE_ORPHANED : EXTPAGER_STATE_STALLED,
		  target_state(NAME));
	/* A page that is just being copied may be in neither sum for a moment. */
	EXPECT_TRUE(WAIT_FOR(SOON, target_dirty(NAME) + target_spilled(NAME) >= BYTES));
	ASSERT_EQ(0, watch(self, variant->name, do_dirty_again, 2));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_PAGES_RETURNED));
	EXPECT_TRUE(bystander_lives());
	rounds = progress->rounds;
	EXPECT_LT(3, rounds);

	if (variant->killed)
		ASSERT_TRUE(stamper_restart(&self->s, NAME));
	if (!variant->killed)
		stamper_thaw(&self->s);
	ASSERT_EQ(0, watch(self, variant->name, do_fsync, 0));
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_EQ(0, target_spilled(NAME));
	EXPECT_EQ(0, mib_wrong(&self->s));
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
	EXPECT_TRUE(bystander_lives());
	EXPECT_LT(rounds + 3, progress->rounds);
	EXPECT_GT(PAUSE_MS, self->longest_ms);
	printf("# longest pause %lu ms; bystander: %u rounds, the longest took %lu ms\n",
	       self->longest_ms, progress->rounds, progress->longest_ms);

	/* It is the store's now, and comes from there. */
	worker_begin(&self->w, do_check_some, 0, BYTES, 0);
	EXPECT_EQ(0, worker_end(&self->w, PART_MS));
	EXPECT_EQ(oom_kills, read_number("/proc/vmstat", "oom_kill"));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_SPILLS_FAILED));
}

TEST_HARNESS_MAIN
