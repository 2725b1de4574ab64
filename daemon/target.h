/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Targets that are being served: what the queue threads find an event's object
 * by. The control thread inserts and removes, queue threads look up.
 */
#ifndef PAGERD_TARGET_H
#define PAGERD_TARGET_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "store.h"

/** A range of a target that is being written. */
struct target_write {
	LIST_ENTRY(target_write) link;
	uint64_t start, end;
};

/** Failures since the control thread last looked. */
struct target_trouble {
	unsigned int count;
	enum store_op op;
	uint64_t offset;
	int error;
	bool overlap;
};

struct target {
	/* const while it is in the table */
	char name[64];
	uint64_t object;
	uint64_t bytes;
	struct store *store;
	/* The port knows the store by these names, for the kernel to move bytes; 0: it does not. */
	struct extpager *port;
	unsigned int file;		/* read, and delegated */
	unsigned int write_file;	/* its own fd, whose lock lasts while the kernel writes */
	uint64_t delegable;		/* bytes that it may read and write unasked */

	atomic_uint generation;		/* of the object, when that was delegated; 0: it is not */
	/* the table's, each request's; the last one hands it to the control thread */
	atomic_uint refs;

	pthread_mutex_t lock;
	/* protected by @lock */
	LIST_HEAD(, target_write) writes;
	struct target_trouble trouble;

	/* protected by the table's lock */
	LIST_ENTRY(target) link;
	STAILQ_ENTRY(target) idle_link;
};

/** Prepare the table. Return: an eventfd that is readable when the control
 * thread should call target_reap() or target_trouble(), or -errno.
 */
int target_table_init(void);

/** Return: NULL without memory. Owns @store from now on. */
struct target *target_new(const char *name, struct store *store);

/*
 * The control thread holds the table for writing from before ATTACH until the
 * target is in it: events may come before ATTACH has returned, and their
 * look-up waits for that.
 */
void target_table_lock(void);
void target_insert(struct target *t, uint64_t object, uint64_t bytes);
void target_table_unlock(void);

/** Out of the table; freed when its last request is done. */
void target_remove(struct target *t);

/** For queue threads. Return: the target with a reference, or NULL. */
struct target *target_find(uint64_t object);
void target_put(struct target *t);

/**
 * target_reap - close the stores of targets that nothing uses any more
 *
 * Control thread. One that the kernel is writing to is closed by a later call.
 */
void target_reap(void);

/**
 * target_write_begin - note that a range is being written
 *
 * Return: false if an earlier write overlaps. That happens if the kernel gave
 * up a return at its deadline and sends the pages anew while the store still
 * works on the old bytes; they must not come to rest on top of the new ones.
 */
bool target_write_begin(struct target *t, struct target_write *w, uint64_t start, uint64_t length);
void target_write_end(struct target *t, struct target_write *w);

/**
 * target_hand_over - have the kernel read and write the store without asking
 * @generation: of INIT, which is not answered yet
 *
 * As much of it as can be; what cannot is asked for.
 */
void target_hand_over(struct target *t, uint32_t generation);
/** Have it ask again. */
void target_take_back(struct target *t);

/** Leave a note for the log. */
void target_note(struct target *t, enum store_op op, uint64_t offset, int error);
void target_note_overlap(struct target *t, uint64_t offset);
/** Take the notes. */
struct target_trouble target_trouble(struct target *t);

#endif /* PAGERD_TARGET_H */
