/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One thread's asynchronous operations: an io_uring, and the wait for both its
 * completions and a port's events. Knows neither stores nor requests.
 */
#ifndef PAGERD_ENGINE_H
#define PAGERD_ENGINE_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
 * @lent: memory that the kernel knows; NULL: none
 * @lent_bytes: of it
 */
struct engine {
	struct io_uring ring;
	unsigned int in_flight;
	int poll_fd;
	bool polling;
	void *lent;
	size_t lent_bytes;
};

/** Must be called in the thread that will use it. Return: 0 or -errno. */
int engine_init(struct engine *e, unsigned int entries, int poll_fd);
void engine_exit(struct engine *e);

/**
 * engine_lend - have the kernel know memory, which it else looks up for each operation
 * @memory: not NULL; stays where it is until engine_exit()
 * @bytes: of it
 *
 * Once. Where it may not (RLIMIT_MEMLOCK), operations take a little longer.
 */
void engine_lend(struct engine *e, void *memory, size_t bytes);

/**
 * engine_begin - a submission entry for @op, to be filled with io_uring_prep_*()
 *
 * The caller calls engine_go() on it after preparing it. Return: NULL if the
 * ring takes no more.
 */
struct io_uring_sqe *engine_begin(struct engine *e);
void engine_go(struct engine *e, struct io_uring_sqe *sqe, struct engine_op *op);

/* As io_uring_prep_read() and _write(), from and to memory that may have been lent. */
void engine_prep_read(struct engine *e, struct io_uring_sqe *sqe, int fd, void *buf,
		      unsigned int bytes, uint64_t offset);
void engine_prep_write(struct engine *e, struct io_uring_sqe *sqe, int fd, const void *buf,
		       unsigned int bytes, uint64_t offset);

/**
 * engine_run - submit what was begun and call done() of what has completed
 * @wait: sleep until something has completed or poll_fd is ready
 *
 * Return: 0 or -errno (-EINTR: a signal).
 */
int engine_run(struct engine *e, bool wait);

#endif /* PAGERD_ENGINE_H */
