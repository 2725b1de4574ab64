// SPDX-License-Identifier: GPL-2.0-only
/* What all systems need. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "bench.h"

noreturn void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *anonymous(size_t length, int flags)
{
	void *p = mmap(NULL, length, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_POPULATE,
		       -1, 0);

	if (p == MAP_FAILED)
		die("memory");
	return p;
}

void *resident(size_t length)
{
	return anonymous(length, MAP_PRIVATE);
}

void *shared(size_t length)
{
	return anonymous(length, MAP_SHARED);
}

static uint64_t *noted;

/* Before the first process forks. */
__attribute__((constructor)) static void make_noted(void)
{
	noted = shared(PAGE);
}

void note_request(void)
{
	__atomic_fetch_add(&noted[0], 1, __ATOMIC_RELAXED);
}

uint64_t requests_noted(void)
{
	return noted[0];
}

void note_watch(uint64_t cost)
{
	/* Who looks in between finds a cost too many, not one that is missing. */
	noted[2] += cost;
	noted[1]++;
}

uint64_t watches_noted(uint64_t *cost)
{
	uint64_t watches = noted[1];

	*cost = noted[2];
	return watches;
}

void set_readahead(const char *bdi, size_t bytes)
{
	char pattern[128];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "/sys/class/bdi/%s/read_ahead_kb", bdi);
	if (glob(pattern, 0, NULL, &found))
		die(pattern);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		FILE *file = fopen(found.gl_pathv[i], "we");

		if (!file || fprintf(file, "%zu", bytes / 1024) < 0 || fclose(file))
			die(found.gl_pathv[i]);
	}
	globfree(&found);
}

/* They are at the store's end. */
bool is_held(const struct testcase *t, uint64_t offset)
{
	return t->outstanding && offset / PAGE >= STORE_PAGES - t->others;
}

int open_flags(const struct testcase *t)
{
	return t->batch ? O_RDWR : O_RDONLY;
}

void *map_file(int fd, const struct testcase *t)
{
	int prot = t->batch ? PROT_READ | PROT_WRITE : PROT_READ;
	void *p = mmap(NULL, STORE_BYTES, prot, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

uint64_t major_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_majflt;
}
