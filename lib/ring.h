/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two rings of a queue over plain memory: events are consumed, replies are
 * produced. Makes no system calls and takes no locks: one thread at a time may
 * consume events, one at a time may produce replies, and they may be two.
 */
#ifndef XP_RING_H
#define XP_RING_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/extpager.h>

struct xp_ring {
	/* const after xp_ring_init() */
	const struct extpager_kernel_region *kr;
	struct extpager_user_region *ur;
	const struct extpager_event *events;
	struct extpager_reply *replies;
	uint32_t event_mask;
	uint32_t reply_mask;

	/* the consumer's: what ur->event_head says */
	uint32_t event_head;

	/* the producer's: what ur->reply_tail says */
	uint32_t reply_tail;
};

int xp_ring_init(struct xp_ring *ring, const struct extpager_kernel_region *kr,
		 uint64_t kernel_len, struct extpager_user_region *ur, uint64_t user_len);

static inline uint32_t xp_load_acquire(const uint32_t *index)
{
	return __atomic_load_n(index, __ATOMIC_ACQUIRE);
}

static inline void xp_store_release(uint32_t *index, uint32_t value)
{
	__atomic_store_n(index, value, __ATOMIC_RELEASE);
}

/** xp_ring_flags - EXTPAGER_KF_* as they are now. */
static inline uint32_t xp_ring_flags(const struct xp_ring *ring)
{
	return __atomic_load_n(&ring->kr->flags, __ATOMIC_RELAXED);
}

/** xp_ring_unread - events to consume; pairs with the kernel's release of event_tail. */
static inline uint32_t xp_ring_unread(const struct xp_ring *ring)
{
	return xp_load_acquire(&ring->kr->event_tail) - ring->event_head;
}

/** xp_ring_peek - the oldest unread event; only if xp_ring_unread() said there is one. */
static inline const struct extpager_event *xp_ring_peek(const struct xp_ring *ring)
{
	return &ring->events[ring->event_head & ring->event_mask];
}

/**
 * xp_ring_consume - give the oldest event's entry back
 * @ring: ring
 *
 * The release keeps the reads of the entry before the store; it pairs with the
 * kernel's acquire of event_head before it writes the entry anew.
 */
static inline void xp_ring_consume(struct xp_ring *ring)
{
	xp_store_release(&ring->ur->event_head, ++ring->event_head);
}

/** xp_ring_reply_head - replies taken; acquire: their outcomes are there to be read. */
static inline uint32_t xp_ring_reply_head(const struct xp_ring *ring)
{
	return xp_load_acquire(&ring->kr->reply_head);
}

/** xp_ring_pending - replies written and not taken; any thread may ask. */
static inline uint32_t xp_ring_pending(const struct xp_ring *ring)
{
	/* Head first: it never passes the tail that is loaded after it. */
	uint32_t head = xp_ring_reply_head(ring);

	return __atomic_load_n(&ring->reply_tail, __ATOMIC_RELAXED) - head;
}

/**
 * xp_ring_put - write a reply
 * @ring: ring
 * @reply: is copied; it becomes entry number reply_tail of before the call
 *
 * The release of reply_tail pairs with the kernel's acquire at ENTER.
 *
 * Return: false if the ring is full.
 */
static inline bool xp_ring_put(struct xp_ring *ring, const struct extpager_reply *reply)
{
	uint32_t tail = ring->reply_tail;

	if (tail - xp_ring_reply_head(ring) > ring->reply_mask)
		return false;
	ring->replies[tail & ring->reply_mask] = *reply;
	__atomic_store_n(&ring->reply_tail, tail + 1, __ATOMIC_RELAXED);
	xp_store_release(&ring->ur->reply_tail, tail + 1);
	return true;
}

/** xp_ring_reply - entry number @pos: its outcome, once reply_head has passed it. */
static inline const struct extpager_reply *xp_ring_reply(const struct xp_ring *ring, uint32_t pos)
{
	return &ring->replies[pos & ring->reply_mask];
}

/** xp_ring_bad - replies refused so far. */
static inline uint64_t xp_ring_bad(const struct xp_ring *ring)
{
	return __atomic_load_n(&ring->kr->bad_replies, __ATOMIC_RELAXED);
}

#endif /* XP_RING_H */
