// SPDX-License-Identifier: GPL-2.0-only
/*
 * mmap-load FILE EXPECTED OFFSET BYTES SEED ROUNDS: a part of FILE under the
 * load of a program that does to its pages whatever mmap's relatives can do,
 * page by page in random order. What the part must then hold goes to EXPECTED.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/pager.h"

#define NR(a) (sizeof(a) / sizeof((a)[0]))

struct load {
	int fd;
	off_t offset;
	size_t pages;
	uint64_t random;
	uint8_t *map, *model;
	size_t *order;
};

static const int advices[] = {
	MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_COLD,
	MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
};
static const int syncs[] = { MS_ASYNC, MS_ASYNC, MS_INVALIDATE, MS_SYNC };

static size_t pick(struct load *l, size_t n)
{
	return test_random(&l->random) % n;
}

static void must(bool good, const char *what, size_t page)
{
	if (good)
		return;
	printf("%s of page %zu: %m\n", what, page);
	exit(1);
}

static void must_match(struct load *l, size_t page, const char *when)
{
	must(!memcmp(l->map + page * PAGE, l->model + page * PAGE, PAGE), when, page);
}

static void store(struct load *l, size_t page)
{
	size_t at = pick(l, PAGE), n = 1 + pick(l, PAGE - at), i;

	for (i = at; i < at + n; i++)
		l->model[page * PAGE + i] = test_random(&l->random);
	memcpy(l->map + page * PAGE + at, l->model + page * PAGE + at, n);
}

static void work_on(struct load *l, size_t page)
{
	uint8_t *at = l->map + page * PAGE;
	unsigned char here;

	must(!mprotect(at, PAGE, PROT_READ), "mprotect(PROT_READ)", page);
	must_match(l, page, "bytes, read-only,");
	must(!mprotect(at, PAGE, PROT_READ | PROT_WRITE), "mprotect(PROT_WRITE)", page);
	store(l, page);
	must(!munmap(at, PAGE), "munmap", page);
	must(mincore(at, PAGE, &here) == -1 && errno == ENOMEM, "mincore without a mapping", page);
	must(mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, l->fd,
		  l->offset + page * PAGE) == at, "mmap(MAP_FIXED)", page);
	must(!mincore(at, PAGE, &here), "mincore", page);
	must_match(l, page, "bytes, mapped again,");
	must(!madvise(at, PAGE, advices[pick(l, NR(advices))]), "madvise", page);
	must(!msync(at, PAGE, syncs[pick(l, NR(syncs))]), "msync", page);
	must_match(l, page, "bytes, after advice,");
}

static void shuffle(struct load *l)
{
	size_t i, j, swap;

	for (i = l->pages - 1; i > 0; i--) {
		j = pick(l, i + 1);
		swap = l->order[i];
		l->order[i] = l->order[j];
		l->order[j] = swap;
	}
}

int main(int argc, char **argv)
{
	struct load l;
	size_t bytes, i;
	int rounds, expected;

	if (argc != 7)
		return 2;
	l.fd = open(argv[1], O_RDWR);
	expected = open(argv[2], O_WRONLY);
	l.offset = strtoll(argv[3], NULL, 0);
	bytes = strtoull(argv[4], NULL, 0);
	l.pages = bytes / PAGE;
	l.random = strtoull(argv[5], NULL, 0);
	l.map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, l.fd, l.offset);
	l.model = malloc(bytes);
	l.order = calloc(l.pages, sizeof(*l.order));
	must(l.fd >= 0 && expected >= 0 && l.map != MAP_FAILED && l.model && l.order, "start", 0);
	for (i = 0; i < bytes; i++)
		l.model[i] = test_random(&l.random);
	memcpy(l.map, l.model, bytes);
	for (i = 0; i < l.pages; i++)
		l.order[i] = i;
	for (rounds = atoi(argv[6]); rounds > 0; rounds--) {
		shuffle(&l);
		for (i = 0; i < l.pages; i++)
			work_on(&l, l.order[i]);
		for (i = 0; i < l.pages; i++)
			must_match(&l, i, "bytes, after a round,");
	}
	must(pwrite(expected, l.model, bytes, l.offset) == (ssize_t)bytes, "keeping", 0);
	return 0;
}
