// SPDX-License-Identifier: GPL-2.0-only
/*
 * Only the kernel can begin a write-back, so each target is opened and fsync'ed
 * like a client would, in a thread of its own: one that is stuck keeps no other
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
	char name[64];
	struct extpager *port;
	uint64_t object;
	pthread_t thread;
	bool started;
	bool ended;
	int ret;
};

LIST_HEAD(flush_list, flush);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;

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
	int ret = flush_target(f);

	pthread_mutex_lock(&lock);
	f->ret = ret;
	f->ended = true;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
	return NULL;
}

struct adding {
	struct flush_list *list;
	struct extpager *port;
};

static void add_flush(const struct target *t, void *arg)
{
	struct adding *adding = arg;
	struct flush *f;

	if (t->store->read_only || t->store->is_volatile)
		return;
	f = calloc(1, sizeof(*f));
	if (!f)
		return;
	snprintf(f->name, sizeof(f->name), "%s", t->name);
	f->port = adding->port;
	f->object = t->object;
	LIST_INSERT_HEAD(adding->list, f, link);
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

unsigned int shutdown_flush(struct control *c, unsigned int timeout_ms)
{
	struct flush_list list = LIST_HEAD_INITIALIZER(list);
	struct adding adding = { .list = &list, .port = c->port };
	pthread_condattr_t monotonic;
	unsigned int left = 0;
	pthread_attr_t attr;
	struct flush *f;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&changed, &monotonic);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);

	control_for_each(add_flush, &adding);
	LIST_FOREACH(f, &list, link)
		f->started = !pthread_create(&f->thread, &attr, flush_main, f);
	wait_for_all(&list, timeout_ms);

	pthread_mutex_lock(&lock);
	while ((f = LIST_FIRST(&list))) {
		LIST_REMOVE(f, link);
		left += tell(c, f);
		/* A thread that is stuck still has its entry; we exit soon. */
		if (!f->started || f->ended)
			free(f);
	}
	pthread_mutex_unlock(&lock);
	return left;
}
