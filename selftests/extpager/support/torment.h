/* SPDX-License-Identifier: GPL-2.0-only */
/* What the clients of `make torture` do, at random, until they are killed or told to stop. */
#ifndef SELFTEST_TORMENT_H
#define SELFTEST_TORMENT_H

#include "stamp.h"

enum deed {
	LOAD, READ, STORE, WRITE, PUNCH, FSYNC, MSYNC, PRIVATE, ADVISE, DROP, REMAP, FORK, REPLACE,
	DEEDS
};

extern const char *const deed_names[DEEDS];

/* Shared by the clients and whoever watches them. */
struct torment {
	struct model *model;
	int stop;
	uint64_t done[DEEDS];		/* deeds, of all clients */
	uint64_t failed, sigbus;	/* deeds that met a pager in trouble */
	uint64_t bytes_written, bytes_read;
	const char *target, *cgroup;
};

/* One client; shared with it, so that it can be seen what it is about. */
struct tormented {
	struct torment *t;
	unsigned int number;		/* the writer it is, or WRITERS and more: one that reads */
	uint64_t random;		/* the state that it starts with */
	uint64_t beats;			/* deeds begun */
	enum deed deed;			/* the present one */
};

/* For client_start(); 0 if it was told to stop and all was well. */
int torment_client(void *tormented);
/* What may come of a pager that is stopped, or dies too often. */
bool torment_allows(int error);

#endif
