/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tells the service manager that every queue thread lives. Those alone: while
 * they do, clients are served, whatever the control thread waits for (a device
 * that does not let itself be opened, say), and a restart would not help it.
 */
#ifndef PAGERD_WATCHDOG_H
#define PAGERD_WATCHDOG_H

#include <stdint.h>

#include "queue.h"

/** Begin, if the manager wants it. Return: 0 or -errno. */
int watchdog_start(struct queue *queues, unsigned int nr);

/** No more: the threads are going to end. Waits for its own. */
void watchdog_stop(void);

#endif /* PAGERD_WATCHDOG_H */
