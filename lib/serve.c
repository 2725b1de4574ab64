// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Events become callbacks. Owns the order of submit, wait and call, and the
 * answers to events that the pager has no callback for.
 */
#include <errno.h>

#include "port.h"

#define FOREVER		(~0ULL)

/* The queue whose callbacks this thread runs just now, and the one of extpager_defer(). */
_Thread_local struct xp_queue *xp_dispatching, *xp_deferring;

static void call_request(struct extpager *p, struct extpager_req *req)
{
	const struct extpager_ops *ops = &p->ops;

	switch (req->ev.op) {
	case EXTPAGER_EV_INIT:
		if (ops->init)
			ops->init(p, req, p->user);
		else
			extpager_ready(req, 0, EXTPAGER_MAY_CACHE);
		break;
	case EXTPAGER_EV_DATA_REQUEST:
		if (ops->data_request)
			ops->data_request(p, req, p->user);
		else
			extpager_error(req, req->ev.offset, req->ev.length, ENODATA);
		break;
	case EXTPAGER_EV_DATA_RETURN:
		if (ops->data_return)
			ops->data_return(p, req, p->user);
		else
			extpager_return_done(req, EROFS);
		break;
	case EXTPAGER_EV_SYNC:
		if (ops->sync)
			ops->sync(p, req, p->user);
		else
			extpager_sync_done(req, 0);
		break;
	}
}

/* An event that asks for nothing. */
static void call_notice(struct xp_queue *q)
{
	const struct extpager_event ev = *xp_ring_peek(&q->ring);
	struct extpager *p = q->p;

	xp_ring_consume(&q->ring);
	switch (ev.op) {
	case EXTPAGER_EV_TERMINATE:
		if (p->ops.terminate)
			p->ops.terminate(p, ev.object, ev.generation, p->user);
		break;
	case EXTPAGER_EV_ATTRIBUTES:
		if (p->ops.attributes)
			p->ops.attributes(p, ev.object, ev.attributes, p->user);
		break;
	default:
		/* A newer kernel's, that nobody has asked for. */
		break;
	}
}

/* Return: 0, or -ENOMEM and the event stays unread. */
static int handle_event(struct xp_queue *q)
{
	const struct extpager_event *ev = xp_ring_peek(&q->ring);
	struct extpager *p = q->p;
	struct extpager_req *req;

	switch (ev->op) {
	case EXTPAGER_EV_INIT:
		if (xp_object_seen(p, ev->object, ev->generation))
			return -ENOMEM;
		/* fall through */
	case EXTPAGER_EV_DATA_REQUEST:
	case EXTPAGER_EV_DATA_RETURN:
	case EXTPAGER_EV_SYNC:
		pthread_mutex_lock(&q->lock);
		req = xp_req_new(q, ev);
		pthread_mutex_unlock(&q->lock);
		if (!req)
			return -ENOMEM;
		xp_ring_consume(&q->ring);
		call_request(p, req);
		return 0;
	default:
		call_notice(q);
		return 0;
	}
}

/* Submit what is deferred and wait in one ENTER, if either is needed. */
static int enter(struct xp_queue *q, uint64_t timeout_ns)
{
	uint32_t pending = xp_ring_pending(&q->ring);
	bool wait = timeout_ns && !xp_ring_unread(&q->ring);
	int ret;

	if (!pending && !wait && !(xp_ring_flags(&q->ring) & EXTPAGER_KF_BACKLOG))
		return 0;
	ret = xp_enter(q, pending, wait, timeout_ns);
	if (ret < 0 && ret != -ETIME)
		return ret;
	if (pending && xp_ring_bad(&q->ring) != q->bad_replies) {
		pthread_mutex_lock(&q->lock);
		q->bad_replies = xp_ring_bad(&q->ring);
		xp_queue_reap(q);
		pthread_mutex_unlock(&q->lock);
	}
	/* A signal that came after replies were taken is not told. */
	if (wait && timeout_ns == FOREVER && !xp_ring_unread(&q->ring) &&
	    !(xp_ring_flags(&q->ring) & EXTPAGER_KF_DEAD))
		return -EINTR;
	return 0;
}

static int call_back(struct xp_queue *q)
{
	struct xp_queue *outer = xp_dispatching;
	uint32_t unread = xp_ring_unread(&q->ring);
	int ret = 0, n = 0;

	xp_dispatching = q;
	while (unread-- && !ret) {
		ret = handle_event(q);
		n += !ret;
	}
	xp_dispatching = outer;
	return n ? n : ret;
}

/* One round that leaves answers deferred. Return: as extpager_dispatch(). */
static int dispatch(struct xp_queue *q, uint64_t timeout_ns)
{
	int ret;

	ret = enter(q, timeout_ns);
	if (ret < 0)
		return ret;
	if (xp_ring_flags(&q->ring) & EXTPAGER_KF_DEAD)
		return -ESHUTDOWN;
	return call_back(q);
}

int extpager_dispatch(struct extpager *p, unsigned int queue, int timeout_ms)
{
	uint64_t timeout_ns = timeout_ms < 0 ? FOREVER : timeout_ms * 1000000ULL;
	int ret, err;

	if (queue >= p->nr_queues)
		return -EINVAL;
	ret = dispatch(&p->queues[queue], timeout_ns);
	/* Who defers comes again. */
	if (ret < 0 || xp_deferring == &p->queues[queue])
		return ret;
	/* Who knows when we are called again: leave nothing behind. */
	err = extpager_submit(p, queue);
	return err ? err : ret;
}

int extpager_defer(struct extpager *p, unsigned int queue)
{
	if (p && queue >= p->nr_queues)
		return -EINVAL;
	xp_deferring = p ? &p->queues[queue] : NULL;
	return 0;
}

int extpager_run_queue(struct extpager *p, unsigned int queue)
{
	int ret = 0;

	if (queue >= p->nr_queues)
		return -EINVAL;
	while (!atomic_load_explicit(&p->stop, memory_order_relaxed)) {
		ret = dispatch(&p->queues[queue], FOREVER);
		if (ret < 0 && ret != -EINTR)
			return ret;
	}
	return extpager_submit(p, queue);
}

int extpager_run(struct extpager *p)
{
	return extpager_run_queue(p, 0);
}

void extpager_stop(struct extpager *p)
{
	struct extpager_wake wake = { .size = sizeof(wake) };

	atomic_store(&p->stop, true);
	/* Each run sees the flag before it sleeps, or its sleep ends. */
	xp_sys->ioctl(p->fd, EXTPAGER_IOC_WAKE, &wake);
}
