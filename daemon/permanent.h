/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The targets that files below targets.d name. The kernel's table is the truth:
 * what is missing there is added, what differs is told, nothing is removed.
 */
#ifndef PAGERD_PERMANENT_H
#define PAGERD_PERMANENT_H

#include "control.h"

/**
 * permanent_load - read the files anew and compare them with the kernel's table
 * @root: in front of /etc, /run and /usr/lib; "" = the system's
 *
 * A file with mistakes is told and left out. A target whose size only its store
 * knows, and the store is not there yet, is tried again: see permanent_timeout().
 */
void permanent_load(struct control *c, const char *root);

/** Add those that could not be added so far. */
void permanent_retry(struct control *c);

/** Milliseconds until permanent_retry() has something to do, -1 = never. */
int permanent_timeout(void);

/** Forget what was read. */
void permanent_free(void);

#endif /* PAGERD_PERMANENT_H */
