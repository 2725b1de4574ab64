// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Requests: a pool for each queue, what is answered of each, and the accessors.
 * A request ends, and its memory goes back to the pool, when the *pager* has
 * answered all of its range, even if the kernel had given it up before: so a
 * thread that answers one part never meets a request that another has freed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "port.h"

#define CHUNK_REQS	32

struct xp_req_chunk {
	struct xp_req_chunk *next;
	struct extpager_req reqs[CHUNK_REQS];
};

static int pool_grow(struct xp_queue *q)
{
	struct xp_req_chunk *chunk = calloc(1, sizeof(*chunk));

	if (!chunk)
		return -ENOMEM;
	chunk->next = q->chunks;
	q->chunks = chunk;
	for (int i = 0; i < CHUNK_REQS; i++) {
		chunk->reqs[i].q = q;
		chunk->reqs[i].next_free = q->free;
		q->free = &chunk->reqs[i];
	}
	return 0;
}

static unsigned int pages(const struct extpager_req *req, uint64_t length)
{
	size_t page_size = req->q->p->page_size;

	return (length + page_size - 1) / page_size;
}

/** xp_req_new - the request of an event. Return: NULL without memory. */
struct extpager_req *xp_req_new(struct xp_queue *q, const struct extpager_event *ev)
{
	struct extpager_req *req;

	if (!q->free && pool_grow(q))
		return NULL;
	req = q->free;
	q->free = req->next_free;
	req->ev = *ev;
	req->user = NULL;
	req->over = false;
	req->in_parts = false;
	return req;
}

/** xp_req_free - back to the pool. */
void xp_req_free(struct extpager_req *req)
{
	req->ev.op = 0;
	req->next_free = req->q->free;
	req->q->free = req;
}

/** xp_req_pool_free - at close; ends the requests that are left. */
void xp_req_pool_free(struct xp_queue *q)
{
	while (q->chunks) {
		struct xp_req_chunk *chunk = q->chunks;

		q->chunks = chunk->next;
		free(chunk);
	}
	q->free = NULL;
}

/** xp_req_range - is this a part of a DATA_REQUEST that can be answered? */
int xp_req_range(const struct extpager_req *req, uint64_t offset, uint64_t length)
{
	uint64_t end = req->ev.offset + req->ev.length;
	uint64_t mask = req->q->p->page_size - 1;

	if (!length || (offset & mask))
		return -EINVAL;
	if (offset < req->ev.offset || offset >= end || length > end - offset)
		return -ERANGE;
	if ((length & mask) && offset + length != end)
		return -EINVAL;
	return 0;
}

/** xp_req_answered - has the pager answered all of this part before? */
bool xp_req_answered(const struct extpager_req *req, uint64_t offset, uint64_t length)
{
	unsigned int page = (offset - req->ev.offset) / req->q->p->page_size;
	unsigned int end = page + pages(req, length);

	if (!req->in_parts)
		return false;
	for (; page < end; page++)
		if (!(req->answered[page / 64] & (1ULL << page % 64)))
			return false;
	return true;
}

/** xp_req_answer - note a part of a DATA_REQUEST as answered; may end it. */
void xp_req_answer(struct extpager_req *req, uint64_t offset, uint64_t length)
{
	unsigned int page = (offset - req->ev.offset) / req->q->p->page_size;
	unsigned int end = page + pages(req, length);

	if (!req->in_parts) {
		req->in_parts = true;
		req->left = pages(req, req->ev.length);
		memset(req->answered, 0, (req->left + 63) / 64 * sizeof(uint64_t));
	}
	for (; page < end; page++) {
		uint64_t bit = 1ULL << page % 64;

		req->left -= !(req->answered[page / 64] & bit);
		req->answered[page / 64] |= bit;
	}
	if (!req->left)
		xp_req_free(req);
}

uint64_t extpager_req_object(const struct extpager_req *req)
{
	return req->ev.object;
}

uint64_t extpager_req_offset(const struct extpager_req *req)
{
	return req->ev.offset;
}

uint64_t extpager_req_length(const struct extpager_req *req)
{
	return req->ev.length;
}

uint64_t extpager_req_wanted(const struct extpager_req *req)
{
	return req->ev.op == EXTPAGER_EV_DATA_REQUEST ? req->ev.wanted : EXTPAGER_WANTED_NONE;
}

uint32_t extpager_req_generation(const struct extpager_req *req)
{
	return req->ev.generation;
}

unsigned int extpager_req_queue(const struct extpager_req *req)
{
	return req->q->index;
}

bool extpager_req_write(const struct extpager_req *req)
{
	return req->ev.access & EXTPAGER_ACCESS_WRITE;
}

bool extpager_req_resent(const struct extpager_req *req)
{
	return req->ev.flags & EXTPAGER_EVF_RESENT;
}

bool extpager_req_prefetch(const struct extpager_req *req)
{
	return req->ev.flags & EXTPAGER_EVF_PREFETCH;
}

bool extpager_req_zero(const struct extpager_req *req)
{
	return req->ev.flags & EXTPAGER_EVF_ZERO;
}

bool extpager_req_rdonly(const struct extpager_req *req)
{
	return req->ev.flags & EXTPAGER_EVF_RDONLY;
}

void extpager_req_set_user(struct extpager_req *req, void *user)
{
	req->user = user;
}

void *extpager_req_user(const struct extpager_req *req)
{
	return req->user;
}

void extpager_req_drop(struct extpager_req *req)
{
	struct xp_queue *q = req->q;

	pthread_mutex_lock(&q->lock);
	xp_req_free(req);
	pthread_mutex_unlock(&q->lock);
}
