/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A crowd: a client process whose threads access an object all at once, and
 * what became of each access. It lies in memory that the test shares.
 */
#ifndef SELFTEST_CROWD_H
#define SELFTEST_CROWD_H

#include "pager.h"

enum access_how {
	BY_TOUCH,			/* read through the mapping */
	BY_STORE,			/* write through it the byte that is there anyway */
	BY_READ,			/* pread() of the page */
	BY_SPLICE,			/* splice() of it into a pipe */
};

struct access {
	enum access_how how;
	uint64_t offset;		/* of a whole page of the object */

	bool right;			/* the page has the crowd's pattern */
	int error;			/* errno, or of a mapping -si_code of SIGBUS */
	uint64_t where;			/* offset in the object that SIGBUS told */
	uint64_t end_ms;
	volatile bool ended;
};

struct crowd {
	int fd;
	uint64_t bytes;
	uint64_t seed;
	int advice;			/* madvise() of the whole mapping */
	struct client client;
	unsigned int nr;
	struct access access[];
};

/* @nr accesses, all BY_TOUCH of page 0 until they are changed, MADV_RANDOM. */
struct crowd *crowd_new(int fd, uint64_t bytes, uint64_t seed, unsigned int nr);
void crowd_start(struct crowd *c);
/* Waits until @nr threads of it sleep for the pager. */
bool crowd_waits(struct crowd *c, unsigned int nr, unsigned int ms);
unsigned int crowd_ended(const struct crowd *c);
/* Accesses that ended and brought the right bytes. */
unsigned int crowd_right(const struct crowd *c);
/* All threads ended; client_result() of the process. */
int crowd_join(struct crowd *c, unsigned int ms);
void crowd_free(struct crowd *c);

/* How many threads of @pid sleep inside the module: in the gate, or in open. */
unsigned int tasks_waiting(pid_t pid);

#endif
