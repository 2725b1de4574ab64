// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench [-sx] DEVICE [CASE [SYSTEM]] - instructions per page, one line of JSON for
 * each case and system. With -s, a run too short for its figures to be any good;
 * with -x, of the spoilt systems as well.
 * bench -w ROUNDS [-s] DEVICE - nanoseconds per page, in rounds of all systems.
 *
 * For a machine that counts: under QEMU's -icount shift=0,sleep=off the time
 * stamp counter advances by one with each instruction. All runs on one CPU, so
 * a touch's cost has the pager's part in it. By the clock there are two CPUs, and
 * a store that takes its time.
 */
#define _GNU_SOURCE 1
#include <cpuid.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "bench.h"
#include "marks.h"

/* Pages among which each is touched at random. */
#define SPARSE	16UL
/* What part of the pages is left in a short run. */
#define SHORT	16UL
/* CPUID leaf 7: REP MOVSB is fast (EBX), short ones too (EDX). */
#define ERMS	(1U << 9)
#define FSRM	(1U << 4)

#define OUTSTANDING(n) \
	{ .name = "outstanding", .random = true, .outstanding = true, .others = n, .pages = 256, \
	  .rounds = 1 }

static struct testcase testcases[] = {
	{ .name = "rand4k", .random = true, .pages = 4096, .rounds = 1 },
	{ .name = "rand4k-16threads", .random = true, .threads = 16, .pages = 4096, .rounds = 1 },
	{ .name = "seq", .pages = 16384, .rounds = 1 },
	{ .name = "cached", .random = true, .cached = true, .pages = 1024, .rounds = 16 },
	{ .name = "cached-seq", .cached = true, .pages = 16384, .rounds = 1 },
	{ .name = "write-msync", .random = true, .cached = true, .batch = 64, .pages = 1024,
	  .rounds = 8 },
	OUTSTANDING(0), OUTSTANDING(64), OUTSTANDING(256), OUTSTANDING(1024), OUTSTANDING(4096),
	{ .name = "succession", .random = true, .succession = true, .pages = 1000, .rounds = 1 },
};

static const struct system *const systems[] = {
	&mmap_system, &uffd_system, &uffd_process_system, &uffd_batched_system,
	&uffd_sigbus_system, &uffd_minor_system, &fuse_system, &fuse_uring_system, &ublk_system,
	&extpager_copy_system, &extpager_file_system, &extpager_delegate_system,
	&extpager_watched_system, &pagerd_copying_system, &pagerd_telling_system,
	/* Spoilt: measured only to see that their results are refused. */
	&extpager_slow_system, &extpager_shifted_system,
};

#define NR_SPOILT	2

/* By the clock. */
static struct testcase timed = {
	.name = "rand4k-4threads", .random = true, .threads = 4, .pages = 2048, .rounds = 1,
};

static const struct system *const timed_systems[] = {
	&mmap_system, &uffd_system, &uffd_process_system, &uffd_batched_system,
	&uffd_sigbus_system, &uffd_minor_system, &fuse_system, &fuse_uring_system, &ublk_system,
	&pagerd_copy_system, &pagerd_file_system, &pagerd_delegate_system,
};

static bool by_clock;
unsigned int servers = 1;

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

/* So many pages, from the store's beginning, are those of the case. */
static size_t span(const struct testcase *t)
{
	size_t pages = t->random ? t->pages * SPARSE : WARM + t->pages;

	return pages < STORE_PAGES ? pages : STORE_PAGES;
}

/* Indexes of 64-bit words, each of another page: WARM untimed, then the timed. */
static uint64_t *make_touches(const struct testcase *t)
{
	size_t pages = span(t);
	uint64_t *touches = resident(pages * sizeof(*touches));

	for (size_t i = 0; i < pages; i++)
		touches[i] = i;
	for (size_t i = 0; t->random && i < WARM + t->pages; i++) {
		size_t j = i + random_word() % (pages - i);
		uint64_t page = touches[j];

		touches[j] = touches[i];
		touches[i] = page;
	}
	for (size_t i = 0; i < pages; i++)
		touches[i] = touches[i] * (PAGE / 8) + random_word() % (PAGE / 8);
	return touches;
}

/* What is written to a word differs by this from the store's, and in each round. */
static uint64_t change(unsigned int round)
{
	return 1 + round;
}

/* ---- what the machine and its kernel count ---- */

/* Instructions, or nanoseconds. */
static uint64_t now(void)
{
	struct timespec ts;

	if (!by_clock)
		return __rdtsc();
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000UL + ts.tv_nsec;
}

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

/* Subtract what was counted so far, or add it: twice called, the difference is left. */
static void count(struct counts *c, const struct system *s, int sign)
{
	uint64_t watching;

	c->idle += sign * proc_number("/proc/stat", "cpu", 3, 4);
	c->read_kib += sign * proc_number("/proc/vmstat", "pgpgin", 0, 0);
	c->written_kib += sign * proc_number("/proc/vmstat", "pgpgout", 0, 0);
	c->requests += sign * (s->requests ? s->requests() : requests_noted());
	c->watches += sign * watches_noted(&watching);
	c->watching += sign * watching;
}

void begin_counting(struct counts *c, const struct system *s)
{
	count(c, s, -1);
	MARK(MARK_BEGIN);
	c->cost -= now();
}

void end_counting(struct counts *c, const struct system *s)
{
	c->cost += now();
	MARK(MARK_END);
	count(c, s, 1);
}

/* ---- measuring ---- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t touch_all(char *memory, const uint64_t *touches, size_t n)
{
	uint64_t *words = (void *)memory, sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += __atomic_load_n(&words[touches[i]], __ATOMIC_RELAXED);
	return sum;
}

static void bring_in(const char *memory, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		__atomic_load_n(&memory[i * PAGE], __ATOMIC_RELAXED);
	/* Readahead past them may still be under way. Idle time costs nothing. */
	sleep(1);
}

/* Sets @cost to what each touch costs; returns the sum of the words. A profile names it. */
static __attribute__((noinline))
uint64_t time_reads(const uint64_t *words, const uint64_t *touches, size_t n, uint64_t *cost)
{
	uint64_t sum = 0, end = now();

	for (size_t i = 0; i < n; i++) {
		uint64_t start = end;

		sum += __atomic_load_n(&words[touches[i]], __ATOMIC_RELAXED);
		end = now();
		cost[i] = end - start;
	}
	return sum;
}

/* Sets @cost to what a page costs on the average of each batch. */
static void time_writes(uint64_t *words, const uint64_t *touches, const struct testcase *t,
			unsigned int round, uint64_t *cost)
{
	for (size_t i = 0; i < t->pages; i += t->batch) {
		uint64_t begin = __rdtsc();

		for (size_t j = i; j < i + t->batch; j++)
			__atomic_store_n(&words[touches[j]], store_word(touches[j]) + change(round),
					 __ATOMIC_RELAXED);
		if (msync(words, STORE_BYTES, MS_SYNC))
			die("msync");
		cost[i / t->batch] = (__rdtsc() - begin) / t->batch;
	}
}

/* The sum of the words in the store, as they would be had nothing been written. */
static uint64_t sum_of_written(const uint64_t *touches, size_t n, unsigned int round)
{
	uint64_t *page = resident(PAGE), sum = 0;

	for (size_t i = 0; i < n; i++) {
		store_read(page, PAGE, touches[i] / (PAGE / 8) * PAGE);
		sum += page[touches[i] % (PAGE / 8)] - change(round);
	}
	munmap(page, PAGE);
	return sum;
}

static int wait_for(pid_t pid)
{
	int status;

	if (pid < 0)
		die("fork");
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (WIFSIGNALED(status))
		fprintf(stderr, "bench: killed by signal %d\n", WTERMSIG(status));
	return status != 0;
}

/* A thread of many that touch. */
struct reader {
	pthread_t thread;
	pthread_barrier_t *barrier;
	const uint64_t *words, *touches;
	size_t n;
	uint64_t *cost, sum;
};

static void *read_part(void *arg)
{
	struct reader *r = arg;

	pthread_barrier_wait(r->barrier);	/* all are here */
	pthread_barrier_wait(r->barrier);	/* now */
	r->sum = time_reads(r->words, r->touches, r->n, r->cost);
	pthread_barrier_wait(r->barrier);	/* all are done */
	return NULL;
}

/* As time_reads(), by threads; the cost of a touch has what others did meanwhile in it. */
static uint64_t time_threads(const struct testcase *t, const struct system *s,
			     const uint64_t *words, const uint64_t *touches, uint64_t *cost,
			     struct counts *counts)
{
	struct reader readers[t->threads];
	size_t part = t->pages / t->threads;
	pthread_barrier_t barrier;
	uint64_t sum = 0;

	pthread_barrier_init(&barrier, NULL, t->threads + 1);
	for (size_t i = 0; i < t->threads; i++) {
		readers[i] = (struct reader){
			.barrier = &barrier,
			.words = words,
			.touches = touches + i * part,
			.n = part,
			.cost = cost + i * part,
		};
		if (pthread_create(&readers[i].thread, NULL, read_part, &readers[i]))
			die("pthread_create");
	}
	pthread_barrier_wait(&barrier);
	begin_counting(counts, s);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	end_counting(counts, s);
	for (size_t i = 0; i < t->threads; i++) {
		pthread_join(readers[i].thread, NULL);
		sum += readers[i].sum;
	}
	return sum;
}

static void *read_word(void *word)
{
	return (void *)__atomic_load_n((uint64_t *)word, __ATOMIC_RELAXED);
}

/* A thread that reads but this word. */
static pthread_t start_reading(uint64_t *word)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN);
	if (pthread_create(&thread, &attr, read_word, word))
		die("pthread_create");
	return thread;
}

/* They end with the process. */
static void let_others_wait(const struct testcase *t, uint64_t *words)
{
	uint64_t before = requests_noted();

	for (size_t i = 0; i < t->others; i++)
		start_reading(words + (STORE_PAGES - 1 - i) * PAGE / sizeof(*words));
	while (requests_noted() < before + t->others)
		usleep(1000);
}

/* The sum of the words, each read by a thread of its own. */
static uint64_t sum_of_threads(uint64_t *words, const uint64_t *touches, size_t n)
{
	pthread_t *threads = resident(n * sizeof(*threads));
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		threads[i] = start_reading(&words[touches[i]]);
	for (size_t i = 0; i < n; i++) {
		void *word;

		pthread_join(threads[i], &word);
		sum += (uint64_t)word;
	}
	return sum;
}

/* Clients are another process, for this one is to be the successor. */
static uint64_t time_succession(const struct testcase *t, const struct system *s, uint64_t *words,
				const uint64_t *touches, uint64_t *cost, struct counts *counts)
{
	uint64_t *sum = shared(PAGE);
	pid_t pid = fork();

	if (!pid) {
		*sum = sum_of_threads(words, touches, t->pages);
		_exit(0);
	}
	s->succeed(t, cost, counts);
	wait_for(pid);
	return *sum;
}

/* With a mapping of its own; returns the sum of the words. */
static uint64_t time_round(const struct testcase *t, const struct system *s, unsigned int round,
			   const uint64_t *touches, uint64_t *cost, struct counts *counts)
{
	char *memory = s->map(t);
	uint64_t sum;

	if (t->random && madvise(memory, STORE_BYTES, MADV_RANDOM))
		die("madvise");
	sum = touch_all(memory, touches, WARM);
	touches += WARM;
	if (t->succession)
		return sum + time_succession(t, s, (void *)memory, touches, cost, counts);
	if (t->threads)
		return sum + time_threads(t, s, (void *)memory, touches, cost, counts);
	let_others_wait(t, (void *)memory);
	begin_counting(counts, s);
	if (t->batch)
		time_writes((void *)memory, touches, t, round, cost);
	else
		sum += time_reads((const void *)memory, touches, t->pages, cost);
	end_counting(counts, s);
	if (t->batch)
		sum += sum_of_written(touches, t->pages, round);
	/* An owner of faults keeps the memory that they are in. */
	if (t->rounds > 1)
		munmap(memory, STORE_BYTES);
	return sum;
}

static int measure(const struct testcase *t, const struct system *s, const uint64_t *touches)
{
	size_t pages = t->pages * t->rounds, costs = t->batch ? t->pages / t->batch : t->pages;
	size_t n = costs * t->rounds, devices = s->devices ? s->devices : 1;
	uint64_t *cost = resident(n * sizeof(*cost)), want = 0;
	struct counts counts = { 0 };
	bool good = true;

	for (size_t i = 0; i < WARM + t->pages; i++)
		want += store_word(touches[i]);
	for (unsigned int i = 0; i < t->rounds; i++)
		good &= time_round(t, s, i, touches, cost + i * costs, &counts) == want;
	MARK(MARK_WRITE);

	qsort(cost, n, sizeof(*cost), compare);
	printf("{\"case\": \"%s\", \"system\": \"%s\", ", t->name, s->name);
	printf("\"others\": %zu, \"pages\": %zu, ", t->others, pages);
	printf("\"%s_per_page\": %.1f, \"p50\": %lu, \"p99\": %lu, ",
	       by_clock ? "nanoseconds" : "instructions", (double)counts.cost / pages,
	       cost[n / 2], cost[n * 99 / 100]);
	printf("\"requests\": %lu, \"watches\": %lu, \"watching\": %lu, ", counts.requests,
	       counts.watches, counts.watching);
	printf("\"store_read_kib\": %lu, \"store_written_kib\": %lu, ",
	       counts.read_kib / devices, counts.written_kib / devices);
	printf("\"idle\": %lu, \"sum\": %s}\n", counts.idle, good ? "true" : "false");
	fflush(stdout);
	/* Sent while nothing is measured. */
	tcdrain(STDOUT_FILENO);
	return !good;
}

static bool has(const struct system *s, const struct testcase *t)
{
	if (t->succession || t->outstanding)
		return t->succession ? !!s->succeed : s->holds;
	return !s->can || s->can(t);
}

/* Others whose pager ends before they do get a SIGBUS: let them wait on. */
static void wait_on(int signal)
{
	for (;;)
		pause();
}

/* In a child, so that nothing is left of it. */
static int run(const struct testcase *t, const struct system *s)
{
	int status;
	pid_t pid = fork();

	if (pid)
		return wait_for(pid);

	uint64_t *touches = make_touches(t);

	s->start(t);
	if (t->cached) {
		/* Bring all pages in here, and measure in yet another process. */
		bring_in(s->map(t), span(t));
		pid = fork();
		if (!pid)
			_exit(measure(t, s, touches));
		status = wait_for(pid);
	} else {
		status = measure(t, s, touches);
	}
	if (t->outstanding)
		signal(SIGBUS, wait_on);
	if (s->stop)
		s->stop(t);
	if (t->batch)
		store_fill(0, span(t) * PAGE);
	_exit(status);
}

/* Does the machine count instructions, and does its kernel copy words at a time? */
static void calibrate(void)
{
	uint64_t loops = 1000000, count = loops, begin = __rdtsc(), ticks;
	unsigned int eax, ebx = 0, ecx, edx = 0;
	bool good = true;

	asm volatile("1: dec %0\n\tjnz 1b" : "+r"(count));
	ticks = __rdtsc() - begin;
	if (ticks < 2 * loops || ticks > 2 * loops + loops / 20) {
		fprintf(stderr, "bench: %lu instructions took %lu ticks: not under -icount\n",
			2 * loops, ticks);
		good = false;
	}
	__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx);
	if (ebx & ERMS || edx & FSRM) {
		fprintf(stderr, "bench: the CPU has ERMS or FSRM: copies would be counted by byte\n");
		good = false;
	}
	if (!good)
		exit(1);
}

/* Each round begins with another system. */
static int run_rounds(unsigned int rounds)
{
	size_t n = ARRAY_SIZE(timed_systems);
	int bad = 0;

	store_fill(0, span(&timed) * PAGE);
	for (size_t i = 0; i < rounds * n; i++) {
		const struct system *s = timed_systems[(i / n + i) % n];

		if (has(s, &timed))
			bad |= run(&timed, s);
	}
	return bad;
}

static noreturn void usage(void)
{
	fprintf(stderr, "usage: bench [-sx] DEVICE [CASE [SYSTEM]]\n"
			"       bench -w ROUNDS [-s] DEVICE\n");
	exit(2);
}

int main(int argc, char **argv)
{
	const char *name, *system;
	size_t pages = 0;
	size_t nr_systems = ARRAY_SIZE(systems) - NR_SPOILT;
	unsigned int rounds = 0;
	int opt, bad = 0;

	while ((opt = getopt(argc, argv, "sw:x")) != -1) {
		if (opt == 'x') {
			nr_systems = ARRAY_SIZE(systems);
			continue;
		}
		if (opt == 'w') {
			rounds = atoi(optarg);
			continue;
		}
		if (opt != 's')
			usage();
		timed.pages /= SHORT;
		for (size_t i = 0; i < ARRAY_SIZE(testcases); i++)
			testcases[i].pages /= SHORT;
	}
	if (optind == argc || argc > optind + 3)
		usage();
	name = argv[optind + 1];
	system = name ? argv[optind + 2] : NULL;

	if (rounds) {
		by_clock = true;
		servers = timed.threads;
		store_open(argv[optind]);
		return run_rounds(rounds);
	}
	calibrate();
	store_open(argv[optind]);
	for (size_t i = 0; i < ARRAY_SIZE(testcases); i++)
		if (pages < span(&testcases[i]))
			pages = span(&testcases[i]);
	store_fill(0, pages * PAGE);
	for (size_t i = 0; i < ARRAY_SIZE(testcases); i++) {
		if (name && strcmp(name, testcases[i].name))
			continue;
		for (size_t j = 0; j < nr_systems; j++) {
			if (system && strcmp(system, systems[j]->name))
				continue;
			if (has(systems[j], &testcases[i]))
				bad |= run(&testcases[i], systems[j]);
		}
	}
	return bad;
}
