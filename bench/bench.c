// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench DEVICE [CASE [SYSTEM]] - instructions per touched page, one line of
 * JSON for each case and system.
 *
 * For a machine that counts: under QEMU's -icount shift=0,sleep=off the time
 * stamp counter advances by one with each instruction. All runs on one CPU, so
 * a touch's cost has the pager's part in it.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#include "bench.h"

#define WARM	64UL

static const struct testcase {
	const char *name;
	bool random;		/* order of touches, and MADV_RANDOM */
	bool cached;		/* in memory already, but not in this process's page tables */
	unsigned int run;	/* pages a system brings at once, if it has a say in it */
	size_t pages;
	unsigned int rounds;	/* each with a mapping of its own */
} testcases[] = {
	{ "rand4k", true, false, 1, 4096, 1 },
	{ "seq", false, false, 32, 16384, 1 },
	{ "cached", true, true, 1, 4096, 8 },
	{ "cached-around", false, true, 32, 16384, 8 },
};

static const struct source *const sources[] = { &device_source, &uffd_source, &copy_source };

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof(*(a)))

/* ---- what is touched, and in which order ---- */

static uint64_t random_state = 88172645463325252;

static uint64_t random_word(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Indexes of 64-bit words, each of another page: WARM untimed, then the timed. */
static uint64_t *make_touches(const struct testcase *t)
{
	uint64_t *touches = resident(STORE_PAGES * sizeof(*touches));

	for (size_t i = 0; i < STORE_PAGES; i++)
		touches[i] = i;
	for (size_t i = 0; t->random && i < WARM + t->pages; i++) {
		size_t j = i + random_word() % (STORE_PAGES - i);
		uint64_t page = touches[j];

		touches[j] = touches[i];
		touches[i] = page;
	}
	for (size_t i = 0; i < STORE_PAGES; i++)
		touches[i] = touches[i] * (PAGE / 8) + random_word() % (PAGE / 8);
	return touches;
}

/* ---- what the kernel counts ---- */

/* The sum of the numbers @first to @last behind @key in a file of /proc. */
static uint64_t proc_number(const char *path, const char *key, int first, int last)
{
	FILE *file = fopen(path, "re");
	uint64_t sum = 0;
	char line[4096];

	if (!file)
		die(path);
	while (fgets(line, sizeof(line), file)) {
		size_t len = strlen(key);
		char *p = line + len;

		if (strncmp(line, key, len) || *p != ' ')
			continue;
		for (int i = 0; i <= last; i++) {
			uint64_t value = strtoull(p, &p, 10);

			sum += i < first ? 0 : value;
		}
		break;
	}
	fclose(file);
	return sum;
}

struct counts {
	uint64_t idle;		/* clock ticks, waits for I/O included */
	uint64_t store_kib;	/* read from block devices; there is but the store */
	uint64_t requests;
};

/* Subtract what was counted so far, or add it: twice called, the difference is left. */
static void count(struct counts *c, const struct source *s, int sign)
{
	c->idle += sign * proc_number("/proc/stat", "cpu", 3, 4);
	c->store_kib += sign * proc_number("/proc/vmstat", "pgpgin", 0, 0);
	c->requests += sign * s->requests();
}

/* ---- measuring ---- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t touch_all(const char *memory, const uint64_t *touches, size_t n)
{
	const uint64_t *words = (const void *)memory;
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += __atomic_load_n(&words[touches[i]], __ATOMIC_RELAXED);
	return sum;
}

/* One round: adds what each touch costs to @cost, and returns the sum of the words. */
static uint64_t time_touches(const struct testcase *t, const struct source *s,
			     const uint64_t *touches, uint64_t *cost, struct counts *counts)
{
	char *memory = s->map();
	const uint64_t *words = (const void *)memory;
	uint64_t sum, end;

	if (t->random && madvise(memory, STORE_BYTES, MADV_RANDOM))
		die("madvise");
	sum = touch_all(memory, touches, WARM);
	touches += WARM;
	count(counts, s, -1);
	end = __rdtsc();
	for (size_t i = 0; i < t->pages; i++) {
		uint64_t start = end;

		sum += __atomic_load_n(&words[touches[i]], __ATOMIC_RELAXED);
		end = __rdtsc();
		cost[i] = end - start;
	}
	count(counts, s, 1);
	if (t->rounds > 1)
		munmap(memory, STORE_BYTES);
	return sum;
}

static int measure(const struct testcase *t, const struct source *s, const uint64_t *touches)
{
	size_t n = t->pages * t->rounds;
	uint64_t *cost = resident(n * sizeof(*cost)), total = 0, want = 0;
	struct counts counts = { 0 };
	bool good = true;

	for (size_t i = 0; i < WARM + t->pages; i++)
		want += store_word(touches[i]);
	for (unsigned int i = 0; i < t->rounds; i++)
		good &= time_touches(t, s, touches, cost + i * t->pages, &counts) == want;

	for (size_t i = 0; i < n; i++)
		total += cost[i];
	qsort(cost, n, sizeof(*cost), compare);
	printf("{\"case\": \"%s\", \"system\": \"%s\", \"pages\": %zu, ", t->name, s->name, n);
	printf("\"instructions_per_page\": %.1f, \"p50\": %lu, \"p99\": %lu, ",
	       (double)total / n, cost[n / 2], cost[n * 99 / 100]);
	printf("\"requests\": %lu, \"store_kib\": %lu, \"idle\": %lu, \"sum\": %s}\n",
	       counts.requests, counts.store_kib, counts.idle, good ? "true" : "false");
	fflush(stdout);
	return !good;
}

/* In a child, so that nothing is left of it. */
static int run(const struct testcase *t, const struct source *s)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		die("fork");
	if (!pid) {
		uint64_t *touches = make_touches(t);

		s->start(t->run);
		if (t->cached) {
			/* Bring the pages in here, and measure in yet another process. */
			touch_all(s->map(), touches, WARM + t->pages);
			pid = fork();
			if (pid < 0)
				die("fork");
			if (pid) {
				if (waitpid(pid, &status, 0) != pid)
					die("waitpid");
				s->stop();
				_exit(status != 0);
			}
		}
		status = measure(t, s, touches);
		if (!t->cached)
			s->stop();
		_exit(status);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	return status != 0;
}

/* Does the machine count instructions? */
static void calibrate(void)
{
	uint64_t loops = 1000000, count = loops, begin = __rdtsc(), ticks;

	asm volatile("1: dec %0\n\tjnz 1b" : "+r"(count));
	ticks = __rdtsc() - begin;
	if (ticks < 2 * loops || ticks > 2 * loops + loops / 20) {
		fprintf(stderr, "bench: %lu instructions took %lu ticks: not under -icount\n",
			2 * loops, ticks);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	int bad = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: bench DEVICE [CASE [SYSTEM]]\n");
		return 2;
	}
	calibrate();
	store_open(argv[1]);
	for (size_t i = 0; i < ARRAY_SIZE(testcases); i++) {
		if (argc > 2 && strcmp(argv[2], testcases[i].name))
			continue;
		for (size_t j = 0; j < ARRAY_SIZE(sources); j++) {
			/* What userfaultfd brought in is nobody else's. */
			if (testcases[i].cached && sources[j] == &uffd_source)
				continue;
			if (argc > 3 && strcmp(argv[3], sources[j]->name))
				continue;
			bad |= run(&testcases[i], sources[j]);
		}
	}
	return bad;
}
