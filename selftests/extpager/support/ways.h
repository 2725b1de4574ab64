/* SPDX-License-Identifier: GPL-2.0-only */
/* The three ways to a target: the ioctl OPEN, the bare device, a path. */
#ifndef SELFTEST_WAYS_H
#define SELFTEST_WAYS_H

#include <stdbool.h>
#include <stdio.h>

#include "pager.h"

/* The device has only one target to offer, so that is the one all ways lead to. */
#define TARGET "default"

enum way { BY_OPEN, BY_DEVICE, BY_PATH, WAYS };

extern const char *const way_names[WAYS];

/* The target, and nothing left of an earlier test's; 0 or -errno. */
int ways_add(const struct target_options *o);
/* open(2) flags; an fd or -errno. */
int way_open(enum way way, int flags);
/* Unmounts what target_path() mounted; 0 or -errno. */
int ways_umount(void);
/* A private mount of the path file system at a directory of its own. */
bool ways_mount(const char *directory);
/*
 * The end of a test, pagers stopped and fds closed: unmounts, deletes the
 * target and waits until nothing keeps the module. Else says what does.
 */
bool ways_end(void);
/* References to the module: 0 when rmmod would work. */
long module_references(void);

/* For code in a client: say what is wrong, and where, and fail. */
#define CHECK(cond) do {								\
	if (!(cond)) {									\
		printf("# %s:%d: not so: %s (%m)\n", __FILE__, __LINE__, #cond);	\
		fflush(stdout);								\
		return 1;								\
	}										\
} while (0)

#endif
