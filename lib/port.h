/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the pager's side share: the port, its queues and the
 * requests. Not installed.
 */
#ifndef XP_PORT_H
#define XP_PORT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <extpager.h>

#include "ring.h"
#include "sys.h"

/* The smallest page is 4 KiB, so no DATA_REQUEST has more pages than this. */
#define XP_REQ_PAGES	(EXTPAGER_REQUEST_MAX / 4096)

/* A request, from its event to the pager's last answer. */
struct extpager_req {
	/* const from event to end; op is 0 while the request is free */
	struct xp_queue *q;
	struct extpager_event ev;

	/* the pager's own */
	void *user;

	/* protected by q->lock */
	struct extpager_req *next_free;
	bool over;		/* the kernel knows it no more */
	bool in_parts;		/* a part of a DATA_REQUEST is answered; then only: */
	unsigned int left;	/* pages of it unanswered */
	uint64_t answered[XP_REQ_PAGES / 64];
};

/* Of a reply whose outcome no caller waits for. */
struct xp_deferred {
	bool is;
	int *result;			/* NULL, or who is told */
	struct extpager_req *ends;	/* NULL, or what ends by it, unless it is refused */
};

struct xp_req_chunk;

struct xp_queue {
	/* const after open */
	struct extpager *p;
	unsigned int index;
	void *kernel_map;
	void *user_map;

	/* events: the dispatching thread's; replies: protected by lock */
	struct xp_ring ring;

	pthread_mutex_t lock;
	/* protected by lock */
	uint64_t bad_replies;		/* the dispatching thread's: refusals known of */
	uint32_t reaped;		/* replies whose outcome was looked at */
	struct xp_deferred *deferred;	/* by entry */
	struct extpager_req *free;
	struct xp_req_chunk *chunks;
} __attribute__((aligned(64)));

struct xp_object;
#define XP_OBJECT_BUCKETS	64

struct extpager {
	/* const after open */
	int fd;
	unsigned int port_id;
	size_t page_size;
	size_t kernel_len;
	size_t user_len;
	unsigned int nr_queues;
	struct xp_queue *queues;
	struct extpager_ops ops;
	void *user;

	atomic_bool stop;

	pthread_mutex_t lock;
	/* protected by lock */
	struct xp_object *objects[XP_OBJECT_BUCKETS];
};

/* queue.c: replies on their way to the kernel */
int xp_enter(struct xp_queue *q, uint32_t to_submit, uint32_t min_complete,
	     uint64_t timeout_ns);
int xp_queue_defer(struct xp_queue *q, const struct extpager_reply *reply,
		   const struct xp_deferred *how);
int xp_queue_answer(struct xp_queue *q, struct extpager_reply *reply);
int xp_queue_submit(struct xp_queue *q);
void xp_queue_reap(struct xp_queue *q);
struct xp_queue *xp_queue_any(struct extpager *p);

/* serve.c: the queues whose callbacks this thread runs, and over which it defers answers */
extern _Thread_local struct xp_queue *xp_dispatching, *xp_deferring;

/* request.c: with q->lock held */
struct extpager_req *xp_req_new(struct xp_queue *q, const struct extpager_event *ev);
void xp_req_free(struct extpager_req *req);
int xp_req_range(const struct extpager_req *req, uint64_t offset, uint64_t length);
bool xp_req_answered(const struct extpager_req *req, uint64_t offset, uint64_t length);
void xp_req_answer(struct extpager_req *req, uint64_t offset, uint64_t length);
void xp_req_pool_free(struct xp_queue *q);

/* object.c: the generation that replies without a request must name */
int xp_object_seen(struct extpager *p, uint64_t object, uint32_t generation);
uint32_t xp_object_generation(struct extpager *p, uint64_t object);
void xp_object_forget(struct extpager *p, uint64_t object);
void xp_object_forget_all(struct extpager *p);

#endif /* XP_PORT_H */
