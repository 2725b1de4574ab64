/* SPDX-License-Identifier: GPL-2.0-only */
/* What pagerd and the service manager, if there is one, tell each other. */
#ifndef PAGERD_NOTIFY_H
#define PAGERD_NOTIFY_H

#include <stdint.h>

/** Send "READY=1", "STATUS=..." and the like; no-op without a manager. */
void notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Give the manager a copy of the port, which outlives this process. */
void notify_store_port(int fd);
/** Have it drop the copy. */
void notify_drop_port(void);

/** The copy that a predecessor left, the caller's to close; -1 = none. */
int notify_stored_port(void);

/** How often the manager wants a sign of life, in microseconds; 0 = never. */
uint64_t notify_watchdog_usec(void);

#endif /* PAGERD_NOTIFY_H */
