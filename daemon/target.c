// SPDX-License-Identifier: GPL-2.0-only
/* The table of targets that are being served. */
#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <extpager.h>

#define BUCKETS		256
#define STACK_BYTES	(64U << 10)
#define PATIENCE_MS	100	/* of the control thread with the kernel's writing */

LIST_HEAD(target_bucket, target);

static pthread_rwlock_t table_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct target_bucket table[BUCKETS];

static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;
static STAILQ_HEAD(, target) idle = STAILQ_HEAD_INITIALIZER(idle);
static int wake_fd = -1;

static struct target_bucket *bucket(uint64_t object)
{
	return &table[object % BUCKETS];
}

static void wake_control(void)
{
	uint64_t one = 1;

	(void)!write(wake_fd, &one, sizeof(one));
}

int target_table_init(void)
{
	wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return wake_fd < 0 ? -errno : wake_fd;
}

struct target *target_new(const char *name, struct store *store)
{
	struct target *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->store = store;
	atomic_init(&t->refs, 1);
	pthread_mutex_init(&t->lock, NULL);
	LIST_INIT(&t->writes);
	return t;
}

void target_table_lock(void)
{
	pthread_rwlock_wrlock(&table_lock);
}

void target_table_unlock(void)
{
	pthread_rwlock_unlock(&table_lock);
}

void target_insert(struct target *t, uint64_t object, uint64_t bytes)
{
	t->object = object;
	t->bytes = bytes;
	LIST_INSERT_HEAD(bucket(object), t, link);
}

void target_remove(struct target *t)
{
	pthread_rwlock_wrlock(&table_lock);
	LIST_REMOVE(t, link);
	pthread_rwlock_unlock(&table_lock);
	target_put(t);
}

struct target *target_find(uint64_t object)
{
	struct target *t;

	pthread_rwlock_rdlock(&table_lock);
	LIST_FOREACH(t, bucket(object), link) {
		if (t->object == object) {
			atomic_fetch_add(&t->refs, 1);
			break;
		}
	}
	pthread_rwlock_unlock(&table_lock);
	return t;
}

static void idle_add(struct target *t)
{
	pthread_mutex_lock(&idle_lock);
	STAILQ_INSERT_TAIL(&idle, t, idle_link);
	pthread_mutex_unlock(&idle_lock);
	wake_control();
}

void target_put(struct target *t)
{
	if (atomic_fetch_sub(&t->refs, 1) > 1)
		return;
	/* Closing may take long: not in a queue thread. */
	idle_add(t);
}

static void *take_write_file_away(void *arg)
{
	struct target *t = arg;

	extpager_unregister(t->port, t->write_file);
	t->write_file = 0;
	idle_add(t);
	return NULL;
}

/*
 * The kernel may be writing there, be it ever so long, and a store that is stuck is not to
 * keep others from being served. Afterwards the target is idle again.
 */
static void end_writing(struct target *t)
{
	struct timespec until;
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	ret = pthread_create(&thread, &attr, take_write_file_away, t);
	pthread_attr_destroy(&attr);
	if (ret) {
		take_write_file_away(t);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += PATIENCE_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until))
		pthread_detach(thread);
}

void target_reap(void)
{
	struct target *t;
	uint64_t count;

	(void)!read(wake_fd, &count, sizeof(count));
	for (;;) {
		pthread_mutex_lock(&idle_lock);
		t = STAILQ_FIRST(&idle);
		if (t)
			STAILQ_REMOVE_HEAD(&idle, idle_link);
		pthread_mutex_unlock(&idle_lock);
		if (!t)
			break;
		if (t->write_file) {
			end_writing(t);
			continue;
		}
		if (t->file)
			extpager_unregister(t->port, t->file);
		if (t->store)
			store_close(t->store);
		pthread_mutex_destroy(&t->lock);
		free(t);
	}
}

void target_hand_over(struct target *t, uint32_t generation)
{
	struct extpager_delegation range = {
		.length = t->delegable,
		.pos = t->store->start,
		.file = t->file,
		.flags = t->store->read_only ? EXTPAGER_DELEGATE_RDONLY : 0,
	};

	/* What the kernel does not take, an older one or of such a device, it asks for. */
	if (t->delegable && !extpager_delegate(t->port, t->object, generation, &range, 1))
		atomic_store(&t->generation, generation);
}

void target_take_back(struct target *t)
{
	uint32_t generation = atomic_exchange(&t->generation, 0);

	if (generation)
		extpager_revoke(t->port, t->object, generation, 0, t->delegable);
}

bool target_write_begin(struct target *t, struct target_write *w, uint64_t start, uint64_t length)
{
	struct target_write *other;
	bool clear = true;

	w->start = start;
	w->end = start + length;
	pthread_mutex_lock(&t->lock);
	LIST_FOREACH(other, &t->writes, link) {
		if (other->start < w->end && w->start < other->end) {
			clear = false;
			break;
		}
	}
	if (clear)
		LIST_INSERT_HEAD(&t->writes, w, link);
	pthread_mutex_unlock(&t->lock);
	return clear;
}

void target_write_end(struct target *t, struct target_write *w)
{
	pthread_mutex_lock(&t->lock);
	LIST_REMOVE(w, link);
	pthread_mutex_unlock(&t->lock);
}

/* Locked; the first note since the last look wakes the control thread. */
static bool trouble_first(struct target *t)
{
	return !t->trouble.count && !t->trouble.overlap;
}

void target_note(struct target *t, enum store_op op, uint64_t offset, int error)
{
	bool first;

	pthread_mutex_lock(&t->lock);
	first = trouble_first(t);
	t->trouble.count++;
	t->trouble.op = op;
	t->trouble.offset = offset;
	t->trouble.error = error;
	pthread_mutex_unlock(&t->lock);
	if (first)
		wake_control();
}

void target_note_overlap(struct target *t, uint64_t offset)
{
	bool first;

	pthread_mutex_lock(&t->lock);
	first = trouble_first(t);
	t->trouble.overlap = true;
	t->trouble.offset = offset;
	pthread_mutex_unlock(&t->lock);
	if (first)
		wake_control();
}

struct target_trouble target_trouble(struct target *t)
{
	struct target_trouble trouble;

	pthread_mutex_lock(&t->lock);
	trouble = t->trouble;
	memset(&t->trouble, 0, sizeof(t->trouble));
	pthread_mutex_unlock(&t->lock);
	return trouble;
}
