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

uint32_t xp_ring_flags(const struct xp_ring *ring);

uint32_t xp_ring_unread(const struct xp_ring *ring);
const struct extpager_event *xp_ring_peek(const struct xp_ring *ring);
void xp_ring_consume(struct xp_ring *ring);

uint32_t xp_ring_reply_head(const struct xp_ring *ring);
uint32_t xp_ring_pending(const struct xp_ring *ring);
bool xp_ring_put(struct xp_ring *ring, const struct extpager_reply *reply);
const struct extpager_reply *xp_ring_reply(const struct xp_ring *ring, uint32_t pos);

#endif /* XP_RING_H */
