/* SPDX-License-Identifier: GPL-2.0-only */
/* The end: dirty pages are written back, and what is being written is, for a bounded time. */
#ifndef PAGERD_SHUTDOWN_H
#define PAGERD_SHUTDOWN_H

#include "control.h"

/**
 * shutdown_flush - have every served target write back and flush
 *
 * The queue threads go on serving meanwhile. Logs what is left after
 * @timeout_ms. Return: how many targets have something left.
 */
unsigned int shutdown_flush(struct control *c, unsigned int timeout_ms);

/**
 * shutdown_writes - wait until the kernel has written what it was told to
 *
 * When the queue threads have ended. Return: to how many stores it is still writing after
 * @timeout_ms.
 */
unsigned int shutdown_writes(struct control *c, unsigned int timeout_ms);

#endif /* PAGERD_SHUTDOWN_H */
