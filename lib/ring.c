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
	xp_store_release(&ur->reply_tail, ring->reply_tail);
	return 0;
}
