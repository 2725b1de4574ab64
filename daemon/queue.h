/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One thread a queue of the port: its engine, its buffers and the work that
 * waits for one. Nothing here is shared between threads but @stop
 * and @rounds.
 */
#ifndef PAGERD_QUEUE_H
#define PAGERD_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include <extpager.h>

#include "engine.h"
#include "job.h"

struct queue {
	struct extpager *port;
	unsigned int index;
	pthread_t thread;
	bool started;
	atomic_bool stop;
	/* of its loop: it lives while this changes */
	atomic_uint rounds;

	/* the thread's own */
	struct engine engine;
	struct jobs jobs;
};

extern struct extpager_ops queue_ops;

/**
 * queues_start - a thread for each queue of @port
 * @user: what was given to extpager_open() with queue_ops: the array, made by
 *	queues_alloc()
 *
 * Return: 0 or -errno.
 */
struct queue *queues_alloc(unsigned int nr);
int queues_start(struct queue *queues, struct extpager *port);

/** End the present sleep of the queue's thread; lost if it does not sleep. */
void queue_kick(struct queue *q);

/**
 * queues_stop - end the threads when what they have in flight is done
 * @timeout_ms: or after this time
 *
 * Return: how many have not ended.
 */
unsigned int queues_stop(struct queue *queues, unsigned int nr, unsigned int timeout_ms);

/** Readable when a thread ended by itself: the port cannot be served any more. */
int queues_failed_fd(void);

#endif /* PAGERD_QUEUE_H */
