/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One thread's asynchronous operations: an io_uring, and the wait for both its
 * completions and a port's events. Knows neither stores nor requests.
 */
#ifndef PAGERD_ENGINE_H
#define PAGERD_ENGINE_H

#include <liburing.h>
#include <stdbool.h>

/** An operation in flight; embedded in what it belongs to. */
struct engine_op {
	/** Called in the engine's thread. @res: as the system call's, or -errno. */
	void (*done)(struct engine_op *op, int res);
};

/**
 * struct engine - used by the thread that called engine_init() only
 * @ring: the thread's ring
 * @in_flight: operations begun and not done, without the poll
 * @poll_fd: fd whose readiness ends a wait, too
 * @polling: the poll is armed
 */
struct engine {
	struct io_uring ring;
	unsigned int in_flight;
	int poll_fd;
	bool polling;
};

/** Must be called in the thread that will use it. Return: 0 or -errno. */
int engine_init(struct engine *e, unsigned int entries, int poll_fd);
void engine_exit(struct engine *e);

/**
 * engine_begin - a submission entry for @op, to be filled with io_uring_prep_*()
 *
 * The caller calls engine_go() on it after preparing it. Return: NULL if the
 * ring takes no more.
 */
struct io_uring_sqe *engine_begin(struct engine *e);
void engine_go(struct engine *e, struct io_uring_sqe *sqe, struct engine_op *op);

/**
 * engine_run - submit what was begun and call done() of what has completed
 * @wait: sleep until something has completed or poll_fd is ready
 *
 * Return: 0 or -errno (-EINTR: a signal).
 */
int engine_run(struct engine *e, bool wait);

#endif /* PAGERD_ENGINE_H */
