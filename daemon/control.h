/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control thread's view: which targets the kernel has, which of them this
 * pagerd serves, and what to do about the others. Not for other threads.
 */
#ifndef PAGERD_CONTROL_H
#define PAGERD_CONTROL_H

#include <stdbool.h>

#include <extpager.h>

#include "options.h"
#include "target.h"

/**
 * struct control
 * @port: where targets are attached to
 * @events: subscribed conversation
 * @ctl: conversation for questions
 * @only: names to serve, NULL-terminated; NULL = all
 * @kernel_reads: let the kernel read and write plain stores by itself
 * @delegate: and have it read and write devices without being asked
 */
struct control {
	struct extpager *port;
	struct extpager_ctl *events;
	struct extpager_ctl *ctl;
	char **only;
	bool kernel_reads, delegate;
};

/** Open the conversations and subscribe. Return: 0 or -errno. */
int control_init(struct control *c, struct extpager *port, const struct options *o);

/** Whether the target called @name is for this pagerd. */
bool control_wants(const struct control *c, const char *name);

/** Make what is served agree with the kernel's list. */
void control_sync(struct control *c);

/** Take events; call control_sync() if they matter. */
void control_events(struct control *c);

/** Milliseconds until some store should be tried again, -1 = never. */
int control_timeout(void);

/** Log what the queue threads have noted; free what is unused. */
void control_notes(void);

/** Calls @fn for each target that is served. */
void control_for_each(void (*fn)(const struct target *t, void *arg), void *arg);

/** Stop serving: detach and close everything. */
void control_exit(struct control *c);

#endif /* PAGERD_CONTROL_H */
