// SPDX-License-Identifier: GPL-2.0-only
/*
 * The io_uring of one thread.
 *
 * The poll of the port's fd is multishot: once armed, each event that is posted
 * after the thread looked at its queue leaves a completion, so none is slept
 * over, and an event that another thread is slow to take does not make this one
 * spin, as a level-triggered poll would. Completions are run only when asked
 * for (DEFER_TASKRUN): they do not interrupt a thread that sleeps in ENTER.
 */
#include "engine.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

int engine_init(struct engine *e, unsigned int entries, int poll_fd)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_CQSIZE,
		.cq_entries = entries * 4,
	};
	int ret;

	memset(e, 0, sizeof(*e));
	e->poll_fd = poll_fd;
	ret = io_uring_queue_init_params(entries, &e->ring, &params);
	if (ret == -EINVAL) {
		/* Before Linux 6.1. */
		params.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CQSIZE;
		ret = io_uring_queue_init_params(entries, &e->ring, &params);
	}
	return ret;
}

void engine_exit(struct engine *e)
{
	io_uring_queue_exit(&e->ring);
}

void engine_lend(struct engine *e, void *memory, size_t bytes)
{
	const struct iovec all = { .iov_base = memory, .iov_len = bytes };

	if (io_uring_register_buffers(&e->ring, &all, 1))
		return;
	e->lent = memory;
	e->lent_bytes = bytes;
}

struct io_uring_sqe *engine_begin(struct engine *e)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&e->ring);

	if (!sqe) {
		io_uring_submit(&e->ring);
		sqe = io_uring_get_sqe(&e->ring);
	}
	return sqe;
}

void engine_go(struct engine *e, struct io_uring_sqe *sqe, struct engine_op *op)
{
	io_uring_sqe_set_data(sqe, op);
	e->in_flight++;
}

static bool is_lent(const struct engine *e, const void *buf, unsigned int bytes)
{
	uintptr_t at = (uintptr_t)buf - (uintptr_t)e->lent;

	return at < e->lent_bytes && bytes <= e->lent_bytes - at;
}

void engine_prep_read(struct engine *e, struct io_uring_sqe *sqe, int fd, void *buf,
		      unsigned int bytes, uint64_t offset)
{
	if (is_lent(e, buf, bytes))
		io_uring_prep_read_fixed(sqe, fd, buf, bytes, offset, 0);
	else
		io_uring_prep_read(sqe, fd, buf, bytes, offset);
}

void engine_prep_write(struct engine *e, struct io_uring_sqe *sqe, int fd, const void *buf,
		       unsigned int bytes, uint64_t offset)
{
	if (is_lent(e, buf, bytes))
		io_uring_prep_write_fixed(sqe, fd, buf, bytes, offset, 0);
	else
		io_uring_prep_write(sqe, fd, buf, bytes, offset);
}

static void engine_arm(struct engine *e)
{
	struct io_uring_sqe *sqe;

	if (e->polling || e->poll_fd < 0)
		return;
	sqe = engine_begin(e);
	if (!sqe)
		return;
	io_uring_prep_poll_multishot(sqe, e->poll_fd, POLLIN);
	io_uring_sqe_set_data(sqe, NULL);
	e->polling = true;
}

int engine_run(struct engine *e, bool wait)
{
	struct io_uring_cqe *cqe;
	int ret;

	if (wait) {
		engine_arm(e);
		ret = io_uring_submit_and_wait(&e->ring, !io_uring_cq_ready(&e->ring));
	} else {
		ret = io_uring_submit_and_get_events(&e->ring);
	}
	/* Too many completions pending, or no memory: what is done makes room. */
	if (ret == -EBUSY || ret == -EAGAIN)
		ret = io_uring_get_events(&e->ring);

	while (!io_uring_peek_cqe(&e->ring, &cqe)) {
		struct engine_op *op = io_uring_cqe_get_data(cqe);
		int res = cqe->res;
		bool more = cqe->flags & IORING_CQE_F_MORE;

		io_uring_cqe_seen(&e->ring, cqe);
		if (!op) {
			e->polling = more;
			continue;
		}
		e->in_flight--;
		op->done(op, res);
	}
	return ret < 0 ? ret : 0;
}
