// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Ring logic. Indexes are free-running u32: their difference is a count even
 * after they wrapped, and "full" needs no entry kept empty. What an index
 * hands over is ordered by a release store of it and an acquire load on the
 * other side; each function names its partner there.
 */
#include <errno.h>
#include <string.h>

#include "ring.h"

_Static_assert(sizeof(struct extpager_event) == 64, "event entry");
_Static_assert(sizeof(struct extpager_reply) == 64, "reply entry");
_Static_assert(sizeof(struct extpager_kernel_region) == 192, "kernel region");
_Static_assert(sizeof(struct extpager_user_region) == 128, "user region");

static uint32_t load_acquire(const uint32_t *index)
{
	return __atomic_load_n(index, __ATOMIC_ACQUIRE);
}

static void store_release(uint32_t *index, uint32_t value)
{
	__atomic_store_n(index, value, __ATOMIC_RELEASE);
}

static bool fits(uint32_t off, uint32_t mask, uint64_t len)
{
	uint64_t entries = (uint64_t)mask + 1;

	return !(entries & mask) && !(off % 64) && off + entries * 64 <= len;
}

/**
 * xp_ring_init - take up the rings where the kernel says they are
 * @ring: to be filled; borrows the regions
 * @kr: the kernel region, read-only
 * @kernel_len: its length
 * @ur: the user region
 * @user_len: its length
 *
 * Replies that a predecessor wrote and nobody took are dropped: the buffers
 * they name are not ours.
 *
 * Return: 0, or -EPROTO if the offsets lead out of the regions.
 */
int xp_ring_init(struct xp_ring *ring, const struct extpager_kernel_region *kr,
		 uint64_t kernel_len, struct extpager_user_region *ur, uint64_t user_len)
{
	if (kernel_len < sizeof(*kr) || user_len < sizeof(*ur) ||
	    !fits(kr->events_off, kr->event_mask, kernel_len) ||
	    !fits(kr->replies_off, kr->reply_mask, user_len))
		return -EPROTO;

	ring->kr = kr;
	ring->ur = ur;
	ring->event_mask = kr->event_mask;
	ring->reply_mask = kr->reply_mask;
	ring->events = (const void *)((const char *)kr + kr->events_off);
	ring->replies = (void *)((char *)ur + kr->replies_off);
	ring->event_head = ur->event_head;
	ring->reply_tail = kr->reply_head;
	store_release(&ur->reply_tail, ring->reply_tail);
	return 0;
}

/** xp_ring_flags - EXTPAGER_KF_* as they are now. */
uint32_t xp_ring_flags(const struct xp_ring *ring)
{
	return __atomic_load_n(&ring->kr->flags, __ATOMIC_RELAXED);
}

/** xp_ring_unread - events to consume; pairs with the kernel's release of event_tail. */
uint32_t xp_ring_unread(const struct xp_ring *ring)
{
	return load_acquire(&ring->kr->event_tail) - ring->event_head;
}

/** xp_ring_peek - the oldest unread event; only if xp_ring_unread() said there is one. */
const struct extpager_event *xp_ring_peek(const struct xp_ring *ring)
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
void xp_ring_consume(struct xp_ring *ring)
{
	store_release(&ring->ur->event_head, ++ring->event_head);
}

/** xp_ring_reply_head - replies taken; acquire: their outcomes are there to be read. */
uint32_t xp_ring_reply_head(const struct xp_ring *ring)
{
	return load_acquire(&ring->kr->reply_head);
}

/** xp_ring_pending - replies written and not taken; any thread may ask. */
uint32_t xp_ring_pending(const struct xp_ring *ring)
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
bool xp_ring_put(struct xp_ring *ring, const struct extpager_reply *reply)
{
	uint32_t tail = ring->reply_tail;

	if (tail - xp_ring_reply_head(ring) > ring->reply_mask)
		return false;
	ring->replies[tail & ring->reply_mask] = *reply;
	__atomic_store_n(&ring->reply_tail, tail + 1, __ATOMIC_RELAXED);
	store_release(&ring->ur->reply_tail, tail + 1);
	return true;
}

/** xp_ring_reply - entry number @pos: its outcome, once reply_head has passed it. */
const struct extpager_reply *xp_ring_reply(const struct xp_ring *ring, uint32_t pos)
{
	return &ring->replies[pos & ring->reply_mask];
}
