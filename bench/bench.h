/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instructions per page: systems that bring the pages of a store into memory and
 * back, and cases that touch those pages.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#define PAGE		4096UL
#define STORE_PAGES	65536UL
#define STORE_BYTES	(STORE_PAGES * PAGE)
/* Pages touched before anything is measured. */
#define WARM		64UL

/**
 * struct testcase - what is done to the pages
 * @random: touch them in random order, with MADV_RANDOM
 * @cached: another process has brought them in
 * @batch: write to so many, then msync() all; 0: only read
 * @threads: so many touch them, each its own part; 0: one
 * @outstanding: while @others wait for pages that nobody brings
 * @succession: all are waited for at once, of a pager that is killed; a successor's
 *	time is measured, until it has been asked for them
 * @pages: how many are touched in a round
 * @rounds: each with a mapping of its own
 */
struct testcase {
	const char *name;
	bool random;
	bool cached;
	unsigned int batch;
	unsigned int threads;
	bool outstanding;
	size_t others;
	bool succession;
	size_t pages;
	unsigned int rounds;
};

struct counts {
	uint64_t idle;		/* clock ticks, waits for I/O included */
	uint64_t read_kib;	/* of block devices: the store, and what stands on it */
	uint64_t written_kib;
	uint64_t requests;
	uint64_t watches;
	uint64_t watching;	/* what the watches cost: CPU time, like cost */
	uint64_t cost;		/* instructions; by the clock, nanoseconds */
};

/**
 * struct system - a system under test
 * @name: as the report calls it
 * @can: whether it has this case; NULL: it has all, but for the two that say so
 * @holds: it has the outstanding case: it brings no page that is_held()
 * @devices: through so many block devices go pages that are brought in; 0: one
 * @start: begin with nothing in memory
 * @map: its memory, in the process that calls
 * @requests: how often it had to ask; NULL: what note_request() counted
 * @stop: end what was started; NULL: it ends with the process
 * @succeed: kill the pager when it was asked for all pages, measure how its successor
 *	is asked for each, and supply them; NULL: it has no succession
 */
struct system {
	const char *name;
	bool (*can)(const struct testcase *t);
	bool holds;
	unsigned int devices;
	void (*start)(const struct testcase *t);
	char *(*map)(const struct testcase *t);
	uint64_t (*requests)(void);
	void (*stop)(const struct testcase *t);
	void (*succeed)(const struct testcase *t, uint64_t *cost, struct counts *counts);
};

extern const struct system mmap_system;
extern const struct system uffd_system;
extern const struct system uffd_process_system;
extern const struct system uffd_batched_system;
extern const struct system uffd_sigbus_system;
extern const struct system uffd_minor_system;
extern const struct system fuse_system;
extern const struct system fuse_uring_system;
extern const struct system ublk_system;
extern const struct system extpager_copy_system;
extern const struct system extpager_file_system;
extern const struct system extpager_delegate_system;
extern const struct system extpager_watched_system;
extern const struct system pagerd_copy_system;
extern const struct system pagerd_file_system;
extern const struct system pagerd_delegate_system;
extern const struct system pagerd_copying_system;
extern const struct system pagerd_telling_system;
extern const struct system extpager_slow_system;
extern const struct system extpager_shifted_system;

/* bench.c */
/* How many threads peers have that serve: more than one where the store lets them wait. */
extern unsigned int servers;
/* What happens between these two is measured. */
void begin_counting(struct counts *c, const struct system *s);
void end_counting(struct counts *c, const struct system *s);

/* fuse.c: have a mounted file system read ahead and cache writes as at its best. */
void fuse_tune(const char *mountpoint);

/* store.c */
void store_open(const char *path);
const char *store_path(void);
int store_open_flags(int flags);
void store_fill(uint64_t offset, uint64_t length);
uint64_t store_word(uint64_t index);
void store_read(void *buf, size_t length, uint64_t offset);
void store_write(const void *buf, size_t length, uint64_t offset);
void store_sync(void);

/* util.c */
/* Faults of the caller's that went to a device. */
uint64_t major_faults(void);
/* Memory that is there: no fault of the bench's own is counted. */
void *resident(size_t length);
/* Memory that processes forked from here on share. */
void *shared(size_t length);
/* Those who bring pages in and back say so, from whatever process. */
void note_request(void);
uint64_t requests_noted(void);
/* And those who read statistics meanwhile. */
void note_watch(uint64_t cost);
uint64_t watches_noted(uint64_t *cost);
/* Is this one of the pages that others are left to wait for? */
bool is_held(const struct testcase *t, uint64_t offset);
/* As the case needs to open what it maps: a mapping that cannot be written costs less. */
int open_flags(const struct testcase *t);
/* Let the files opened from now on of devices named so be read ahead so far. */
void set_readahead(const char *bdi, size_t bytes);
void *map_file(int fd, const struct testcase *t);
noreturn void die(const char *what);

#endif
