/* SPDX-License-Identifier: GPL-2.0-only */
/* Tells the service manager, if there is one, how pagerd is. */
#ifndef PAGERD_NOTIFY_H
#define PAGERD_NOTIFY_H

/** Send "READY=1", "STATUS=..." and the like; no-op without a manager. */
void notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif /* PAGERD_NOTIFY_H */
