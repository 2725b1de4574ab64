/* SPDX-License-Identifier: GPL-2.0-only */
/* The pager's first and usual steps with an object. */
#ifndef SELFTEST_OBJECT_H
#define SELFTEST_OBJECT_H

#include "pager.h"

#define SOON	20000		/* ms; what must come has come long before */
#define QUIET	50		/* ms without an event: there is none */

/* A range for a client to work on. */
struct io {
	int fd;
	uint64_t offset;
	size_t length;
	uint64_t seed;
};

/* INIT comes and is answered well; its generation, if it is asked for. */
bool object_ready(struct pager *p, uint32_t *generation);
/* The next event comes soon, and it is a DATA_REQUEST. */
bool next_request(struct pager *p, struct extpager_event *ev);
/* Have pages [index, index + nr) asked for without anybody waiting. */
int prefetch(int fd, uint64_t index, uint64_t nr);
/* Write @pages pages of @seed's pattern from byte @base on. */
bool fill_pages(int fd, uint64_t base, uint64_t pages, uint64_t seed);
/* The pager registers what @fd is, and closes it. */
int pager_use(struct pager *p, int fd);
bool page_is_here(int fd, uint64_t index);
/*
 * Of pages that the caller has mapped, and touched, those whose flags in /proc/kpageflags have
 * all of @mask; or -errno.
 */
long pages_flagged(const void *map, uint64_t nr, uint64_t mask);
/* The page's memory has a reference that is not the cache's until the pipe is closed. */
bool pin(const uint8_t *page, int *pipe_end);
long in_large_folios(const uint8_t *map, uint64_t nr);
/* At least @least pages are in large folios; where the kernel module has none, none is. */
bool some_are_large(const uint8_t *map, uint64_t nr, long least);
/* They come by themselves, and have @seed's pattern; who reads what is here asks nobody. */
bool pages_are(int fd, uint64_t index, uint64_t nr, uint64_t seed);
/* Answer everything well until @c ends; its result. Counts DATA_REQUESTs. */
int serve_client(struct pager *p, struct client *c, uint64_t seed, unsigned int *requests);
/* A page of an object that is to be written to a file. */
struct knot {
	int file;
	uint64_t pos;
	int object;
	uint64_t index;
};

/* For a client: pwrite() of a struct knot's page, from a mapping of it; 0 or errno. */
int write_from_mapping(void *knot);
/* For a client: pwrite() whole pages of the pattern of a struct io; 0 if all went. */
int write_pages(void *io);

#endif
