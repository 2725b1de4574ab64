// SPDX-License-Identifier: GPL-2.0-only
/*
 * Only the kernel can begin a write-back, so each target is opened and fsync'ed
 * like a client would; and it says that it has written to a store when its file's name
 * is taken away. Each in a thread of its own: one that is stuck keeps no other
 * from being flushed, nor pagerd from ending.
 */
#include "shutdown.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "units.h"

#define STACK_BYTES	(64U << 10)

struct flush {
	LIST_ENTRY(flush) link;
	int (*what)(const struct flush *f);
	char name[64];
	struct extpager *port;
	uint64_t object;
	unsigned int file;
	pthread_t thread;
	bool started;
	bool ended;
	int ret;
};

LIST_HEAD(flush_list, flush);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static pthread_once_t changed_once = PTHREAD_ONCE_INIT;

static int flush_target(const struct flush *f)
{
	int fd, ret = 0;

	/* Any fd will do for fsync, and as its pager we may have one. */
	fd = extpager_object_open(f->port, f->object, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return fd;
	if (fsync(fd))
		ret = -errno;
	close(fd);
	return ret;
}

static void *flush_main(void *arg)
{
	struct flush *f = arg;
	int ret = f->what(f);

	pthread_mutex_lock(&lock);
	f->ret = ret;
	f->ended = true;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static int take_file_away(const struct flush *f)
{
	return extpager_unregister(f->port, f->file);
}

struct adding {
	struct flush_list *list;
	struct extpager *port;
};

static void add(const struct target *t, struct adding *adding,
		int (*what)(const struct flush *f))
{
	struct flush *f = calloc(1, sizeof(*f));

	if (!f)
		return;
	f->what = what;
	snprintf(f->name, sizeof(f->name), "%s", t->name);
	f->port = adding->port;
	f->object = t->object;
	f->file = t->write_file;
	LIST_INSERT_HEAD(adding->list, f, link);
}

static void add_flush(const struct target *t, void *arg)
{
	if (!t->store->read_only && !t->store->is_volatile)
		add(t, arg, flush_target);
}

static void add_file(const struct target *t, void *arg)
{
	if (t->write_file)
		add(t, arg, take_file_away);
}

static bool all_ended(const struct flush_list *list)
{
	const struct flush *f;

	LIST_FOREACH(f, list, link) {
		if (f->started && !f->ended)
			return false;
	}
	return true;
}

/* Once: threads that are stuck may have it yet. */
static void init_changed(void)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&changed, &monotonic);
}

static void run_all(struct flush_list *list)
{
	pthread_attr_t attr;
	struct flush *f;

	pthread_once(&changed_once, init_changed);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	LIST_FOREACH(f, list, link)
		f->started = !pthread_create(&f->thread, &attr, flush_main, f);
}

static void wait_for_all(const struct flush_list *list, unsigned int timeout_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&lock);
	while (!all_ended(list)) {
		if (pthread_cond_timedwait(&changed, &lock, &until) == ETIMEDOUT)
			break;
	}
	pthread_mutex_unlock(&lock);
}

/* Return: whether something is left. */
static bool tell(struct control *c, const struct flush *f)
{
	struct extpager_target t = { .size = sizeof(t) };
	char size[UNITS_MAX];
	uint64_t left;

	if (extpager_target_get(c->ctl, f->name, &t))
		return false;
	left = t.dirty + t.spilled;
	if (f->ended && f->ret && (left || f->ret != -EAGAIN))
		log_warn("target '%s': flush: %s", f->name, strerror(-f->ret));
	if (!left) {
		log_debug("target '%s': nothing is left", f->name);
		return false;
	}
	log_warn("target '%s': %s are not written back: the kernel %s (policy %s)", f->name,
		 units_format_size(left, size, sizeof(size)),
		 t.policy == EXTPAGER_FAIL ? "gives them up" : "keeps them for the next pager",
		 extpager_policy_name(t.policy));
	return true;
}

/* @is_left: is something of it? */
static unsigned int end_all(struct flush_list *list, struct control *c,
			    bool (*is_left)(struct control *c, const struct flush *f))
{
	unsigned int left = 0;
	struct flush *f;

	pthread_mutex_lock(&lock);
	while ((f = LIST_FIRST(list))) {
		LIST_REMOVE(f, link);
		left += is_left(c, f);
		/* A thread that is stuck still has its entry; we exit soon. */
		if (!f->started || f->ended)
			free(f);
	}
	pthread_mutex_unlock(&lock);
	return left;
}

static unsigned int all_targets(struct control *c, unsigned int timeout_ms,
				void (*add_one)(const struct target *t, void *arg),
				bool (*is_left)(struct control *c, const struct flush *f))
{
	struct flush_list list = LIST_HEAD_INITIALIZER(list);
	struct adding adding = { .list = &list, .port = c->port };

	control_for_each(add_one, &adding);
	run_all(&list);
	wait_for_all(&list, timeout_ms);
	return end_all(&list, c, is_left);
}

unsigned int shutdown_flush(struct control *c, unsigned int timeout_ms)
{
	return all_targets(c, timeout_ms, add_flush, tell);
}

static bool still_writes(struct control *c, const struct flush *f)
{
	(void)c;
	return f->started && !f->ended;
}

unsigned int shutdown_writes(struct control *c, unsigned int timeout_ms)
{
	return all_targets(c, timeout_ms, add_file, still_writes);
}
