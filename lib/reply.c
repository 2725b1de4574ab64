// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The pager's answers. Each checks its arguments, becomes one entry of the
 * reply ring of the request's queue, and notes what it has answered.
 *
 * Answers without a buffer are deferred if they are given inside a callback:
 * the dispatching thread enters the kernel anyway when the callbacks are done.
 */
#include <errno.h>

#include "port.h"

enum when {
	NOW,		/* submit and tell the outcome */
	LATER,		/* leave it for the next ENTER */
	AFTER_CALLBACK,	/* LATER inside a callback, and of who defers; else NOW */
};

/* Errors of the protocol; clients would not know what to make of others. */
static uint32_t protocol_error(int error)
{
	switch (error) {
	case 0:
	case EIO:
	case ENODATA:
	case EBADMSG:
	case ENOSPC:
	case EDQUOT:
	case EROFS:
	case EACCES:
	case ETIMEDOUT:
		return error;
	default:
		return EIO;
	}
}

static void fill(const struct extpager_req *req, struct extpager_reply *reply)
{
	reply->generation = req->ev.generation;
	reply->tag = req->ev.tag;
	reply->object = req->ev.object;
}

/* A deferred reply whose outcome nobody wants to be told. */
static const struct xp_deferred unwatched = { .is = true };

bool extpager_refused(int ret)
{
	return ret == -EINVAL || ret == -ERANGE || ret == -EFAULT || ret == -ENOMEM ||
	       ret == -EBADF;
}

/* Give @reply for @req; q->lock held. A deferred one counts as taken. */
static int give(struct extpager_req *req, struct extpager_reply *reply, enum when when,
		const struct xp_deferred *how)
{
	int ret;

	if (req->over)
		return -ENOENT;
	fill(req, reply);
	if (when == AFTER_CALLBACK)
		when = xp_dispatching == req->q || xp_deferring == req->q ? LATER : NOW;
	if (when == LATER)
		ret = xp_queue_defer(req->q, reply, how);
	else
		ret = xp_queue_answer(req->q, reply);
	if (ret && !extpager_refused(ret))
		req->over = true;
	return ret;
}

/* A part of a DATA_REQUEST gets content, zeros or an error. */
static int answer_part(struct extpager_req *req, struct extpager_reply *reply,
		       uint64_t length, enum when when)
{
	struct xp_queue *q = req->q;
	bool whole;
	int ret;

	pthread_mutex_lock(&q->lock);
	if (req->ev.op != EXTPAGER_EV_DATA_REQUEST) {
		ret = req->ev.op ? -EINVAL : -ENOENT;
		goto unlock;
	}
	/* As nearly always. */
	whole = !req->in_parts && reply->offset == req->ev.offset && length == req->ev.length;
	if (!whole) {
		ret = xp_req_range(req, reply->offset, length);
		if (ret)
			goto unlock;
		if (xp_req_answered(req, reply->offset, length)) {
			ret = -ENOENT;
			goto unlock;
		}
	}
	reply->length = length;
	ret = give(req, reply, when, &unwatched);
	if (extpager_refused(ret))
		length = reply->out_done - reply->out_done % q->p->page_size;
	if (whole && !extpager_refused(ret))
		xp_req_free(req);
	else if (length)
		xp_req_answer(req, reply->offset, length);
unlock:
	pthread_mutex_unlock(&q->lock);
	return ret;
}

int extpager_supply(struct extpager_req *req, uint64_t offset,
		    const void *buf, size_t length)
{
	struct extpager_reply reply = {
		.op = EXTPAGER_RE_SUPPLY,
		.offset = offset,
		.addr = (uintptr_t)buf,
	};

	return answer_part(req, &reply, length, NOW);
}

int extpager_supply_deferred(struct extpager_req *req, uint64_t offset,
			     const void *buf, size_t length)
{
	struct extpager_reply reply = {
		.op = EXTPAGER_RE_SUPPLY,
		.offset = offset,
		.addr = (uintptr_t)buf,
	};

	return answer_part(req, &reply, length, LATER);
}

int extpager_supply_zero(struct extpager_req *req, uint64_t offset, uint64_t length)
{
	struct extpager_reply reply = {
		.op = EXTPAGER_RE_SUPPLY,
		.flags = EXTPAGER_REF_ZERO,
		.offset = offset,
	};

	return answer_part(req, &reply, length, AFTER_CALLBACK);
}

int extpager_supply_file(struct extpager_req *req, uint64_t offset, uint64_t length,
			 unsigned int file, uint64_t pos)
{
	struct extpager_reply reply = {
		.op = EXTPAGER_RE_SUPPLY,
		.flags = EXTPAGER_REF_FILE,
		.offset = offset,
		.addr = pos,
		.file = file,
	};

	return answer_part(req, &reply, length, AFTER_CALLBACK);
}

int extpager_error(struct extpager_req *req, uint64_t offset, uint64_t length, int error)
{
	struct extpager_reply reply = {
		.op = EXTPAGER_RE_ERROR,
		.offset = offset,
		.error = protocol_error(error),
	};

	if (error <= 0)
		return -EINVAL;
	return answer_part(req, &reply, length, AFTER_CALLBACK);
}

/* The one answer that ends a request of @op; if deferred and refused, it does not. */
static int answer_whole(struct extpager_req *req, struct extpager_reply *reply, uint16_t op,
			enum when when, const struct xp_deferred *how)
{
	struct xp_queue *q = req->q;
	int ret;

	pthread_mutex_lock(&q->lock);
	if (req->ev.op != op) {
		ret = req->ev.op ? -EINVAL : -ENOENT;
		goto unlock;
	}
	ret = give(req, reply, when, how);
	if (ret ? !extpager_refused(ret) : !how->ends)
		xp_req_free(req);
unlock:
	pthread_mutex_unlock(&q->lock);
	return ret;
}

int extpager_ready(struct extpager_req *req, int error, uint32_t attributes)
{
	struct extpager_reply reply = {
		.op = EXTPAGER_RE_READY,
		.error = protocol_error(error),
		.attributes = error ? 0 : attributes,
	};

	if (error < 0)
		return -EINVAL;
	return answer_whole(req, &reply, EXTPAGER_EV_INIT, AFTER_CALLBACK, &unwatched);
}

int extpager_return_done(struct extpager_req *req, int error)
{
	struct extpager_reply reply = {
		.op = EXTPAGER_RE_RETURN_DONE,
		.error = protocol_error(error),
	};

	if (error < 0)
		return -EINVAL;
	return answer_whole(req, &reply, EXTPAGER_EV_DATA_RETURN, AFTER_CALLBACK, &unwatched);
}

static int return_file(struct extpager_req *req, unsigned int file, uint64_t pos,
		       enum when when, const struct xp_deferred *how)
{
	struct extpager_reply reply = {
		.op = EXTPAGER_RE_RETURN_DONE,
		.flags = EXTPAGER_REF_FILE,
		.offset = req->ev.offset,
		.length = req->ev.length,
		.addr = pos,
		.file = file,
	};

	return answer_whole(req, &reply, EXTPAGER_EV_DATA_RETURN, when, how);
}

/* At once: if it is refused the caller has the bytes to fetch. */
int extpager_return_file(struct extpager_req *req, unsigned int file, uint64_t pos)
{
	return return_file(req, file, pos, NOW, &unwatched);
}

int extpager_return_file_deferred(struct extpager_req *req, unsigned int file, uint64_t pos,
				  int *result)
{
	const struct xp_deferred how = { .is = true, .result = result, .ends = req };

	return result ? return_file(req, file, pos, LATER, &how) : -EINVAL;
}

int extpager_sync_done(struct extpager_req *req, int error)
{
	struct extpager_reply reply = {
		.op = EXTPAGER_RE_SYNC_DONE,
		.error = protocol_error(error),
	};

	if (error < 0)
		return -EINVAL;
	return answer_whole(req, &reply, EXTPAGER_EV_SYNC, AFTER_CALLBACK, &unwatched);
}

static int fetch(struct extpager_req *req, uint64_t offset, void *buf, size_t length,
		 enum when when, const struct xp_deferred *how)
{
	struct extpager_reply reply = {
		.op = EXTPAGER_RE_RETURN_FETCH,
		.offset = offset,
		.length = length,
		.addr = (uintptr_t)buf,
	};
	struct xp_queue *q = req->q;
	int ret;

	if (length > UINT32_MAX)
		return -ERANGE;
	pthread_mutex_lock(&q->lock);
	if (req->ev.op != EXTPAGER_EV_DATA_RETURN)
		ret = req->ev.op ? -EINVAL : -ENOENT;
	else
		ret = give(req, &reply, when, how);
	pthread_mutex_unlock(&q->lock);
	return ret;
}

int extpager_fetch(struct extpager_req *req, uint64_t offset, void *buf, size_t length)
{
	return fetch(req, offset, buf, length, NOW, &unwatched);
}

int extpager_fetch_deferred(struct extpager_req *req, uint64_t offset, void *buf, size_t length,
			    int *result)
{
	const struct xp_deferred how = { .is = true, .result = result };

	return result ? fetch(req, offset, buf, length, LATER, &how) : -EINVAL;
}

int extpager_submit(struct extpager *p, unsigned int queue)
{
	struct xp_queue *q;
	int ret;

	if (queue >= p->nr_queues)
		return -EINVAL;
	q = &p->queues[queue];
	pthread_mutex_lock(&q->lock);
	ret = xp_queue_submit(q);
	pthread_mutex_unlock(&q->lock);
	return ret;
}

/* A reply that belongs to no request is submitted at once. */
static int command(struct extpager *p, struct extpager_reply *reply)
{
	struct xp_queue *q = xp_queue_any(p);
	int ret;

	pthread_mutex_lock(&q->lock);
	ret = xp_queue_answer(q, reply);
	pthread_mutex_unlock(&q->lock);
	return ret;
}

ssize_t extpager_push(struct extpager *p, uint64_t object, uint32_t generation,
		      uint64_t offset, const void *buf, size_t length)
{
	struct extpager_reply reply = {
		.op = EXTPAGER_RE_SUPPLY,
		.flags = buf ? 0 : EXTPAGER_REF_ZERO,
		.generation = generation,
		.object = object,
		.offset = offset,
		.length = length,
		.addr = (uintptr_t)buf,
	};
	int ret;

	if (length > EXTPAGER_REQUEST_MAX)
		return -ERANGE;
	ret = command(p, &reply);
	return reply.out_done ? (ssize_t)reply.out_done : ret;
}

int extpager_set_attributes(struct extpager *p, uint64_t object, uint32_t attributes)
{
	struct extpager_reply reply = {
		.op = EXTPAGER_RE_ATTRIBUTES,
		.generation = xp_object_generation(p, object),
		.object = object,
		.attributes = attributes,
	};

	return command(p, &reply);
}

int extpager_object_destroy(struct extpager *p, uint64_t object, bool discard)
{
	struct extpager_reply reply = {
		.op = EXTPAGER_RE_DESTROY,
		.flags = discard ? EXTPAGER_REF_DISCARD : 0,
		.generation = xp_object_generation(p, object),
		.object = object,
	};

	return command(p, &reply);
}
