// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * How replies reach the kernel. A reply is either *answered*: submitted at
 * once, its outcome read by the caller; or *deferred*: left in the ring for
 * the next ENTER of whatever thread, its outcome seen by xp_queue_reap() only.
 * Of requests it knows that one may end by a deferred reply.
 *
 * Several threads may reply over one queue. q->lock orders them and is held
 * over the ENTER of an answered reply, so that its entry is not reused before
 * its outcome was read. A dispatching thread that waits for events does not
 * hold it. That thread's ENTER may take replies that another one wrote, and
 * the other way round; all that counts is how far reply_head has come:
 *
 *	dispatching thread		another thread
 *	pending = 3
 *					put; pending = 4
 *					ENTER(4): takes all four
 *	ENTER(3, wait): takes none
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <sched.h>

#include "port.h"

/* ENTER, with errno as return value. Does not need q->lock. */
int xp_enter(struct xp_queue *q, uint32_t to_submit, uint32_t min_complete,
	     uint64_t timeout_ns)
{
	struct extpager_enter enter = {
		.size = sizeof(enter),
		.queue = q->index,
		.to_submit = to_submit,
		.min_complete = min_complete,
		.timeout_ns = timeout_ns,
	};

	return xp_sys->ioctl(q->p->fd, EXTPAGER_IOC_ENTER, &enter);
}

/* Nobody knows of a deferred supply that was refused: end the clients' wait. */
static void fail_supply(struct xp_queue *q, const struct extpager_reply *supply)
{
	uint32_t done = supply->out_done - supply->out_done % q->p->page_size;
	struct extpager_reply error = {
		.op = EXTPAGER_RE_ERROR,
		.generation = supply->generation,
		.tag = supply->tag,
		.object = supply->object,
		.offset = supply->offset + done,
		.length = supply->length - done,
		.error = EIO,
	};

	q->deferred[q->ring.reply_tail & q->ring.reply_mask] =
		(struct xp_deferred){ .is = true };
	xp_ring_put(&q->ring, &error);
}

/**
 * xp_queue_reap - look at the outcome of deferred replies
 * @q: queue, locked
 *
 * A supply that was refused is followed by an ERROR for what it left, so that
 * the clients get their error now and not at the deadline. -ENOENT and -ESTALE
 * are no refusal: nobody waits any more.
 */
void xp_queue_reap(struct xp_queue *q)
{
	uint32_t head = xp_ring_reply_head(&q->ring);

	while (q->reaped != head) {
		uint32_t pos = q->reaped++;
		const struct xp_deferred *d = &q->deferred[pos & q->ring.reply_mask];
		struct extpager_reply reply;

		if (!d->is)
			continue;
		reply = *xp_ring_reply(&q->ring, pos);
		if (d->result)
			*d->result = reply.out_result;
		if (d->ends && !extpager_refused(reply.out_result))
			xp_req_free(d->ends);
		/* There is room: the entry just reaped is free. */
		if (reply.op == EXTPAGER_RE_SUPPLY && reply.out_result &&
		    reply.out_result != -ENOENT && reply.out_result != -ESTALE)
			fail_supply(q, &reply);
	}
}

/**
 * xp_queue_submit - hand all replies of the queue to the kernel
 * @q: queue, locked
 *
 * Return: 0 or a negative errno; then what was not taken stays in the ring.
 */
int xp_queue_submit(struct xp_queue *q)
{
	uint32_t pending;

	/* Also of what other threads' ENTERs took; reaping may add to what is pending. */
	while (xp_queue_reap(q), (pending = xp_ring_pending(&q->ring))) {
		int ret = xp_enter(q, pending, 0, 0);

		if (ret == -EINTR)
			continue;
		if (ret < 0)
			return ret;
		/* The tail stood still under q->lock: no fewer is no progress. */
		if (xp_ring_pending(&q->ring) == pending)
			return -EPROTO;
	}
	return 0;
}

/* An entry is free when its outcome was looked at, which is after the kernel took it. */
static int put(struct xp_queue *q, const struct extpager_reply *reply,
	       const struct xp_deferred *deferred)
{
	while (xp_queue_reap(q), q->ring.reply_tail - q->reaped > q->ring.reply_mask) {
		int ret = xp_queue_submit(q);

		if (ret)
			return ret;
	}
	q->deferred[q->ring.reply_tail & q->ring.reply_mask] = *deferred;
	return xp_ring_put(&q->ring, reply) ? 0 : -EPROTO;
}

/**
 * xp_queue_defer - write a reply that the next ENTER takes
 * @q: queue, locked
 * @reply: to be copied
 * @how: what becomes of its outcome; its result is -EINPROGRESS until then
 *
 * Return: 0, or why replies before it could not be submitted.
 */
int xp_queue_defer(struct xp_queue *q, const struct extpager_reply *reply,
		   const struct xp_deferred *how)
{
	if (how->result)
		*how->result = -EINPROGRESS;
	return put(q, reply, how);
}

/**
 * xp_queue_answer - submit a reply, and all before it, and tell its outcome
 * @q: queue, locked
 * @reply: in: the reply; out: out_result and out_done
 *
 * Return: out_result, or why the reply could not be submitted.
 */
int xp_queue_answer(struct xp_queue *q, struct extpager_reply *reply)
{
	const struct extpager_reply *entry;
	uint32_t pos;
	int ret;

	ret = put(q, reply, &(struct xp_deferred){ .is = false });
	if (ret)
		return ret;
	pos = q->ring.reply_tail - 1;
	entry = xp_ring_reply(&q->ring, pos);

	/* What reaping adds may fill the ring anew, but never this entry. */
	do {
		uint32_t pending = xp_ring_pending(&q->ring);

		if (!pending)
			break;
		ret = xp_enter(q, pending, 0, 0);
		if (ret == -EINTR)
			continue;
		if (ret < 0)
			return ret;
		if (xp_ring_pending(&q->ring) == pending)
			return -EPROTO;
	} while ((int32_t)(xp_ring_reply_head(&q->ring) - pos) <= 0);

	reply->out_result = entry->out_result;
	reply->out_done = entry->out_done;
	ret = xp_queue_submit(q);
	return reply->out_result ? reply->out_result : ret;
}

/**
 * xp_queue_any - the queue for a reply that belongs to no request
 * @p: port
 *
 * The one this thread dispatches, else the one of this CPU: pushes of several
 * threads do not contend for one lock.
 */
struct xp_queue *xp_queue_any(struct extpager *p)
{
	int cpu;

	if (xp_dispatching && xp_dispatching->p == p)
		return xp_dispatching;
	if (xp_deferring && xp_deferring->p == p)
		return xp_deferring;
	cpu = sched_getcpu();
	return &p->queues[cpu < 0 ? 0 : (unsigned int)cpu % p->nr_queues];
}
