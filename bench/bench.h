/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instructions per page: systems that bring the pages of a store into memory,
 * and cases that touch those pages.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#define PAGE		4096UL
#define STORE_PAGES	65536UL
#define STORE_BYTES	(STORE_PAGES * PAGE)

/**
 * struct source - a system under test
 * @name: as the report calls it
 * @start: begin with nothing in memory; bring @run pages at a time if the
 *	system has a say in it, else the kernel's readahead decides
 * @map: its memory, in the process that calls; NULL if there is no second mapping
 * @requests: how often its user-space part was asked, or for want of one, how
 *	many faults went to the device
 * @stop: end what was started
 */
struct source {
	const char *name;
	void (*start)(unsigned int run);
	char *(*map)(void);
	uint64_t (*requests)(void);
	void (*stop)(void);
};

extern const struct source device_source;
extern const struct source uffd_source;
extern const struct source copy_source;

/* store.c */
void store_open(const char *path);
int store_open_flags(int flags);
uint64_t store_word(uint64_t index);
void store_read(void *buf, size_t length, uint64_t offset);

/* Memory that is there: no fault of the bench's own is counted. */
void *resident(size_t length);
noreturn void die(const char *what);

#endif
