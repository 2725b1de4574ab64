/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a process in the page-out path owes the kernel: to need no page-out
 * itself. Each step that is not permitted is a warning, not a failure.
 */
#ifndef PAGERD_PROTECT_H
#define PAGERD_PROTECT_H

#include <stdbool.h>

/** Whole process: OOM protection and, if @lock_memory, locked memory. */
void protect_process(bool lock_memory);

/** The calling thread (and those it makes): allocations must not start I/O. */
void protect_thread(void);

#endif /* PAGERD_PROTECT_H */
