// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The rings of a queue, over plain memory: indexes that wrap, full and empty
 * rings, and a kernel and a pager in two threads (for ThreadSanitizer).
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "../../lib/ring.h"

#define ENTRIES	8U

static struct memory {
	struct extpager_kernel_region kr;
	unsigned char pad[64];
	struct extpager_event events[ENTRIES];
	struct extpager_user_region ur;
	struct extpager_reply replies[ENTRIES];
} mem;

#define KERNEL_LEN	offsetof(struct memory, ur)
#define USER_LEN	(sizeof(mem) - KERNEL_LEN)

static struct xp_ring ring;

/* The indexes of both rings start at @index, say just before they wrap. */
static void start_at(uint32_t index)
{
	memset(&mem, 0, sizeof(mem));
	mem.kr.event_tail = index;
	mem.ur.event_head = index;
	mem.kr.reply_head = index;
	mem.ur.reply_tail = index;
	mem.kr.event_mask = ENTRIES - 1;
	mem.kr.reply_mask = ENTRIES - 1;
	mem.kr.events_off = offsetof(struct memory, events);
	mem.kr.replies_off = offsetof(struct memory, replies) - KERNEL_LEN;
	assert_int_equal(xp_ring_init(&ring, &mem.kr, KERNEL_LEN, &mem.ur, USER_LEN), 0);
}

static void post(uint64_t tag)
{
	uint32_t tail = mem.kr.event_tail;

	mem.events[tail & (ENTRIES - 1)].tag = tag;
	__atomic_store_n(&mem.kr.event_tail, tail + 1, __ATOMIC_RELEASE);
}

static uint64_t consume(void)
{
	uint64_t tag = xp_ring_peek(&ring)->tag;

	xp_ring_consume(&ring);
	return tag;
}

static void events_in_order_past_the_wrap(void **state)
{
	(void)state;
	start_at(-5U);
	assert_int_equal(xp_ring_unread(&ring), 0);
	for (uint64_t i = 0; i < 4 * ENTRIES; i += 3) {
		for (int j = 0; j < 3; j++)
			post(i + j);
		assert_int_equal(xp_ring_unread(&ring), 3);
		for (int j = 0; j < 3; j++) {
			assert_int_equal(consume(), i + j);
			assert_int_equal(mem.ur.event_head, (uint32_t)(-5U + i + j + 1));
		}
		assert_int_equal(xp_ring_unread(&ring), 0);
	}
}

static void full_event_ring_is_not_empty(void **state)
{
	(void)state;
	start_at(-3U);
	for (uint64_t i = 0; i < ENTRIES; i++)
		post(i);
	assert_int_equal(xp_ring_unread(&ring), ENTRIES);
	for (uint64_t i = 0; i < ENTRIES; i++)
		assert_int_equal(consume(), i);
	assert_int_equal(xp_ring_unread(&ring), 0);
}

static void consuming_some_makes_room_for_as_many(void **state)
{
	(void)state;
	start_at(-2U);
	for (uint64_t i = 0; i < ENTRIES; i++)
		post(i);
	assert_int_equal(consume(), 0);
	assert_int_equal(consume(), 1);
	post(ENTRIES);
	assert_int_equal(xp_ring_unread(&ring), ENTRIES - 1);
	for (uint64_t i = 2; i <= ENTRIES; i++)
		assert_int_equal(consume(), i);
}

static void reply_ring_fills_and_empties(void **state)
{
	struct extpager_reply reply = { .op = EXTPAGER_RE_READY };

	(void)state;
	start_at(-3U);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		reply.tag = i;
		assert_int_equal(xp_ring_pending(&ring), i);
		assert_true(xp_ring_put(&ring, &reply));
		assert_int_equal(mem.ur.reply_tail, -3U + i + 1);
	}
	reply.tag = 99;
	assert_false(xp_ring_put(&ring, &reply));
	assert_int_equal(xp_ring_pending(&ring), ENTRIES);
	for (uint32_t i = 0; i < ENTRIES; i++)
		assert_int_equal(xp_ring_reply(&ring, -3U + i)->tag, i);

	mem.kr.reply_head++;
	assert_true(xp_ring_put(&ring, &reply));
	assert_int_equal(xp_ring_reply(&ring, -3U + ENTRIES)->tag, 99);
	assert_false(xp_ring_put(&ring, &reply));
}

static void a_predecessors_replies_are_dropped(void **state)
{
	(void)state;
	start_at(7);
	mem.ur.reply_tail = 10;
	assert_int_equal(xp_ring_init(&ring, &mem.kr, KERNEL_LEN, &mem.ur, USER_LEN), 0);
	assert_int_equal(xp_ring_pending(&ring), 0);
	assert_int_equal(mem.ur.reply_tail, 7);
}

static void offsets_that_leave_the_region_are_refused(void **state)
{
	(void)state;
	start_at(0);
	assert_int_equal(xp_ring_init(&ring, &mem.kr, KERNEL_LEN - 1, &mem.ur, USER_LEN), -EPROTO);
	assert_int_equal(xp_ring_init(&ring, &mem.kr, KERNEL_LEN, &mem.ur, USER_LEN - 1), -EPROTO);
	assert_int_equal(xp_ring_init(&ring, &mem.kr, 10, &mem.ur, USER_LEN), -EPROTO);
	mem.kr.event_mask = ENTRIES;
	assert_int_equal(xp_ring_init(&ring, &mem.kr, KERNEL_LEN, &mem.ur, USER_LEN), -EPROTO);
	start_at(0);
	mem.kr.reply_mask = ~0U;
	assert_int_equal(xp_ring_init(&ring, &mem.kr, KERNEL_LEN, &mem.ur, USER_LEN), -EPROTO);
}

#define ROUNDS	20000U

/* The kernel's half: posts events, and takes as many replies as it posted. */
static void *kernel_main(void *arg)
{
	uint32_t tail = mem.kr.event_tail, head = mem.kr.reply_head;
	uint64_t posted = 0, taken = 0, wrong = 0;

	while (taken < ROUNDS) {
		if (posted < ROUNDS && tail - __atomic_load_n(&mem.ur.event_head,
							      __ATOMIC_ACQUIRE) < ENTRIES) {
			mem.events[tail & (ENTRIES - 1)].tag = posted;
			mem.events[tail & (ENTRIES - 1)].reserved = ~posted++;
			__atomic_store_n(&mem.kr.event_tail, ++tail, __ATOMIC_RELEASE);
		}
		if (__atomic_load_n(&mem.ur.reply_tail, __ATOMIC_ACQUIRE) != head) {
			struct extpager_reply *reply = &mem.replies[head & (ENTRIES - 1)];

			wrong += reply->tag != taken || reply->offset != ~taken;
			taken++;
			reply->out_done = taken;
			__atomic_store_n(&mem.kr.reply_head, ++head, __ATOMIC_RELEASE);
		}
	}
	*(uint64_t *)arg = wrong;
	return NULL;
}

static void two_threads(void **state)
{
	uint64_t wrong = 0, kernel_wrong = 0, seen = 0;
	uint32_t looked;
	pthread_t kernel;

	(void)state;
	start_at(-1000U);
	looked = mem.kr.reply_head;
	assert_int_equal(pthread_create(&kernel, NULL, kernel_main, &kernel_wrong), 0);
	while (seen < ROUNDS) {
		struct extpager_reply reply = { .op = EXTPAGER_RE_READY };
		struct extpager_event ev;

		if (!xp_ring_unread(&ring))
			continue;
		ev = *xp_ring_peek(&ring);
		xp_ring_consume(&ring);
		wrong += ev.tag != seen || ev.reserved != ~seen;
		seen++;
		reply.tag = ev.tag;
		reply.offset = ~ev.tag;
		/* Outcomes are read before their entries are used again. */
		for (; looked != xp_ring_reply_head(&ring); looked++)
			wrong += xp_ring_reply(&ring, looked)->out_done != looked + 1000U + 1;
		while (xp_ring_pending(&ring) == ENTRIES)
			;
		for (; looked != xp_ring_reply_head(&ring); looked++)
			wrong += xp_ring_reply(&ring, looked)->out_done != looked + 1000U + 1;
		wrong += !xp_ring_put(&ring, &reply);
	}
	pthread_join(kernel, NULL);
	assert_int_equal(wrong, 0);
	assert_int_equal(kernel_wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_in_order_past_the_wrap),
		cmocka_unit_test(full_event_ring_is_not_empty),
		cmocka_unit_test(consuming_some_makes_room_for_as_many),
		cmocka_unit_test(reply_ring_fills_and_empties),
		cmocka_unit_test(a_predecessors_replies_are_dropped),
		cmocka_unit_test(offsets_that_leave_the_region_are_refused),
		cmocka_unit_test(two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
