/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A port of the module, in memory: SETUP, mmap and ENTER for the library's
 * table of system calls. It takes replies as the module does - serialised for
 * each queue, oldest first, outcome before reply_head, never more than there
 * are - and keeps them for the test to look at.
 */
#ifndef FAKE_KERNEL_H
#define FAKE_KERNEL_H

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <extpager.h>
#include <linux/extpager.h>

#include "../../lib/sys.h"

#define FAKE_PAGE	4096U
#define FAKE_FD		77
#define FAKE_QUEUES	4
#define FAKE_LOG	4096
#define FAKE_EVENTS_OFF	256
#define FAKE_REPLIES_OFF 128
#define FAKE_REGION	(1U << 16)

struct fake_queue {
	_Alignas(64) unsigned char kernel[FAKE_REGION];
	_Alignas(64) unsigned char user[FAKE_REGION];
	pthread_mutex_t submit;
	uint32_t event_tail;
};

static struct fake_kernel {
	struct fake_queue queues[FAKE_QUEUES];
	unsigned int nr_queues;
	uint32_t entries;
	int setup_error;
	int open;			/* fds */
	int maps;

	/* protected by lock */
	pthread_mutex_t lock;
	pthread_cond_t posted;
	unsigned int nr_enter;
	unsigned int interrupt;		/* fail that many ENTERs with EINTR */
	struct extpager_reply taken[FAKE_LOG];
	unsigned int nr_taken;

	/* What the kernel thinks of a reply: fills out_result and out_done. */
	bool kicked;
	void (*judge)(struct extpager_reply *reply);
} fake;

static inline struct extpager_kernel_region *fake_kr(unsigned int q)
{
	return (void *)fake.queues[q].kernel;
}

static inline struct extpager_user_region *fake_ur(unsigned int q)
{
	return (void *)fake.queues[q].user;
}

static inline uint32_t fake_unread(unsigned int q)
{
	return __atomic_load_n(&fake_kr(q)->event_tail, __ATOMIC_ACQUIRE) -
	       __atomic_load_n(&fake_ur(q)->event_head, __ATOMIC_ACQUIRE);
}

/* Posting to a full ring is the test's mistake: there is no backlog here. */
static inline void fake_post(unsigned int q, const struct extpager_event *ev)
{
	struct extpager_event *events = (void *)(fake.queues[q].kernel + FAKE_EVENTS_OFF);

	assert_true(fake_unread(q) < fake.entries);
	events[fake.queues[q].event_tail++ & (fake.entries - 1)] = *ev;
	__atomic_store_n(&fake_kr(q)->event_tail, fake.queues[q].event_tail, __ATOMIC_RELEASE);
	pthread_mutex_lock(&fake.lock);
	pthread_cond_broadcast(&fake.posted);
	pthread_mutex_unlock(&fake.lock);
}

static inline void fake_post_op(unsigned int q, unsigned int op, uint64_t tag,
				uint64_t offset, uint64_t length)
{
	fake_post(q, &(struct extpager_event){
		.op = op,
		.generation = 5,
		.tag = tag,
		.object = 9,
		.offset = offset,
		.length = length,
		.wanted = op == EXTPAGER_EV_DATA_REQUEST ? offset : EXTPAGER_WANTED_NONE,
		.access = EXTPAGER_ACCESS_READ,
	});
}

static inline void fake_set_dead(unsigned int q)
{
	__atomic_or_fetch(&fake_kr(q)->flags, EXTPAGER_KF_DEAD, __ATOMIC_RELAXED);
}

static inline int fake_setup(struct extpager_setup *setup)
{
	uint32_t entries = setup->ring_entries ? setup->ring_entries : 256;

	assert_int_equal(setup->size, sizeof(*setup));
	assert_int_equal(setup->abi_version, EXTPAGER_ABI_VERSION);
	if (fake.setup_error)
		return fake.setup_error;
	fake.nr_queues = setup->nr_queues ? setup->nr_queues : 1;
	fake.entries = entries;
	for (unsigned int i = 0; i < fake.nr_queues; i++) {
		fake_kr(i)->event_mask = entries - 1;
		fake_kr(i)->reply_mask = entries - 1;
		fake_kr(i)->events_off = FAKE_EVENTS_OFF;
		fake_kr(i)->replies_off = FAKE_REPLIES_OFF;
	}
	setup->nr_queues = fake.nr_queues;
	setup->ring_entries = entries;
	setup->out_page_size = FAKE_PAGE;
	setup->out_kernel_off = 0;
	setup->out_kernel_len = FAKE_REGION;
	setup->out_user_off = FAKE_REGION;
	setup->out_user_len = FAKE_REGION;
	setup->out_stride = 2 * FAKE_REGION;
	setup->out_port = 3;
	return 0;
}

static inline int fake_take(unsigned int q, uint32_t to_submit)
{
	struct extpager_reply *replies = (void *)(fake.queues[q].user + FAKE_REPLIES_OFF);
	uint32_t head, n, taken = 0;

	pthread_mutex_lock(&fake.queues[q].submit);
	head = fake_kr(q)->reply_head;
	n = __atomic_load_n(&fake_ur(q)->reply_tail, __ATOMIC_ACQUIRE) - head;
	assert_true(n <= fake.entries);
	for (; taken < to_submit && taken < n; taken++, head++) {
		struct extpager_reply *slot = &replies[head & (fake.entries - 1)];
		struct extpager_reply reply = *slot;

		reply.out_result = 0;
		reply.out_done = reply.length;
		if (fake.judge)
			fake.judge(&reply);
		slot->out_result = reply.out_result;
		slot->out_done = reply.out_done;
		pthread_mutex_lock(&fake.lock);
		if (fake.nr_taken < FAKE_LOG)
			fake.taken[fake.nr_taken] = reply;
		fake.nr_taken++;
		pthread_mutex_unlock(&fake.lock);
		__atomic_store_n(&fake_kr(q)->reply_head, head + 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&fake.queues[q].submit);
	return taken;
}

static inline int fake_wait(const struct extpager_enter *enter)
{
	struct timespec until;
	int ret = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += enter->timeout_ns == ~0ULL ? 10 : enter->timeout_ns / 1000000000;
	until.tv_nsec += enter->timeout_ns == ~0ULL ? 0 : enter->timeout_ns % 1000000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&fake.lock);
	while (fake_unread(enter->queue) < enter->min_complete && !fake.kicked && !ret)
		ret = pthread_cond_timedwait(&fake.posted, &fake.lock, &until);
	if (fake.kicked)
		ret = EINTR;
	fake.kicked = false;
	pthread_mutex_unlock(&fake.lock);
	return ret == EINTR ? -EINTR : ret ? -ETIME : 0;
}

static inline int fake_wake(void)
{
	pthread_mutex_lock(&fake.lock);
	fake.kicked = true;
	pthread_cond_broadcast(&fake.posted);
	pthread_mutex_unlock(&fake.lock);
	return 0;
}

static inline int fake_enter(const struct extpager_enter *enter)
{
	int taken = 0, ret = 0;
	bool interrupt;

	assert_int_equal(enter->size, sizeof(*enter));
	assert_true(enter->queue < fake.nr_queues);
	pthread_mutex_lock(&fake.lock);
	fake.nr_enter++;
	interrupt = fake.interrupt && fake.interrupt--;
	pthread_mutex_unlock(&fake.lock);
	if (interrupt)
		return -EINTR;
	if (enter->to_submit)
		taken = fake_take(enter->queue, enter->to_submit);
	if (enter->min_complete)
		ret = fake_wait(enter);
	return taken ? taken : ret;
}

static inline int fake_ioctl(int fd, unsigned long cmd, void *arg)
{
	assert_int_equal(fd, FAKE_FD);
	switch (cmd) {
	case EXTPAGER_IOC_SETUP:
		return fake_setup(arg);
	case EXTPAGER_IOC_ENTER:
		return fake_enter(arg);
	case EXTPAGER_IOC_WAKE:
		return fake_wake();
	default:
		return -ENOTTY;
	}
}

static inline int fake_open(const char *path, int flags)
{
	(void)flags;
	assert_string_equal(path, EXTPAGER_DEVICE);
	fake.open++;
	return FAKE_FD;
}

static inline int fake_close(int fd)
{
	assert_int_equal(fd, FAKE_FD);
	fake.open--;
	return 0;
}

static inline int fake_mmap(void **addr, size_t len, int prot, int fd, off_t off)
{
	unsigned int q = off / (2 * FAKE_REGION);

	(void)prot;
	assert_int_equal(fd, FAKE_FD);
	assert_int_equal(len, FAKE_REGION);
	assert_true(q < fake.nr_queues);
	*addr = off % (2 * FAKE_REGION) ? fake.queues[q].user : fake.queues[q].kernel;
	fake.maps++;
	return 0;
}

static inline int fake_munmap(void *addr, size_t len)
{
	(void)addr;
	assert_int_equal(len, FAKE_REGION);
	fake.maps--;
	return 0;
}

/* For cmocka's set-up: an empty kernel, and the library calls it. */
static inline int fake_boot(void **state)
{
	static const struct xp_sys sys = {
		.open = fake_open,
		.close = fake_close,
		.ioctl = fake_ioctl,
		.mmap = fake_mmap,
		.munmap = fake_munmap,
	};

	(void)state;
	memset(&fake, 0, sizeof(fake));
	pthread_mutex_init(&fake.lock, NULL);
	pthread_cond_init(&fake.posted, NULL);
	for (int i = 0; i < FAKE_QUEUES; i++)
		pthread_mutex_init(&fake.queues[i].submit, NULL);
	xp_sys = &sys;
	return 0;
}

#endif /* FAKE_KERNEL_H */
