/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stores: where the content of targets lives. Asynchronous; knows no port, no
 * request and no page. One store serves one target.
 */
#ifndef PAGERD_STORE_H
#define PAGERD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"
#include "uri.h"

struct store;

enum store_op {
	STORE_READ = 1,
	STORE_WRITE,		/* done: the bytes survive this process, if not volatile */
	STORE_WRITE_ZEROS,	/* the range reads as zeros from now on */
	STORE_FLUSH,		/* done: what was done before it began survives power loss */
};

/**
 * struct store_io - one operation
 * @store: on what
 * @op: what
 * @engine: of the submitting thread
 * @offset: first byte; a multiple of the store's @block
 * @length: bytes; a multiple of @block, unless it ends at the target's end
 * @buf: READ, WRITE: aligned to 4096, with room up to the next multiple of
 *	@block, which a store may use as it likes
 * @done: called in the submitting thread, perhaps before store_submit()
 *	returns; may reuse or free the io
 * @error: out: 0 or a negative errno
 * @data: out: READ: the content: @buf, or memory of the store's own that stays
 *	until @done returned; NULL: zeros, all of it
 * @eop, @pos, @step, @priv: the store's own while it has the io
 *
 * Operations run in any order. The caller keeps writes in flight from
 * overlapping each other.
 */
struct store_io {
	struct store *store;
	enum store_op op;
	struct engine *engine;
	uint64_t offset;
	uint64_t length;
	void *buf;
	void (*done)(struct store_io *io);

	int error;
	const void *data;

	struct engine_op eop;
	uint64_t pos;
	unsigned int step;
	void *priv;
};

/**
 * struct store_want - what a target asks of the store it gets
 * @owner: the target's name, for messages
 * @bytes: the target's size: the store must be at least as long
 * @read_only: nothing will be written
 * @used: the target was served before, perhaps by another process: what the
 *	store carries is its content, and what a volatile one carried is lost
 */
struct store_want {
	const char *owner;
	uint64_t bytes;
	bool read_only;
	bool used;
};

/**
 * struct store_ops - a kind of store
 * @open: make a store: set its members beside @ops. On failure say @why, in
 *	words that name the thing and the mend. May sleep. Return: 0 or -errno.
 * @close: free it. Nothing is in flight.
 * @submit: begin an operation; must not sleep for long.
 */
struct store_ops {
	int (*open)(const struct store_uri *uri, const struct store_want *want,
		    struct store **store, char *why, size_t len);
	void (*close)(struct store *store);
	void (*submit)(struct store_io *io);
};

/**
 * struct store - an open store; the head of each kind's own struct
 * @ops: its kind
 * @bytes: how much it holds
 * @block: unit of its operations, a power of 2, 4096 at most
 * @read_only: writes fail with EROFS
 * @is_volatile: content is lost with this process
 * @is_plain: its bytes lie in a file as they are, so that the kernel can read and write them:
 * @is_device: and that file is a block device
 * @fd: open file
 * @start: of the store's first byte in it
 */
struct store {
	const struct store_ops *ops;
	uint64_t bytes;
	unsigned int block;
	bool read_only;
	bool is_volatile;
	bool is_plain;
	bool is_device;
	int fd;
	uint64_t start;
};

#define STORE_BLOCK_MAX	4096

extern const struct store_ops store_block_ops;
extern const struct store_ops store_file_ops;
extern const struct store_ops store_zero_ops;
extern const struct store_ops store_mem_ops;

/** Open what @text names. Return: 0 or -errno with @why. */
int store_open(const char *text, const struct store_want *want,
	       struct store **store, char *why, size_t len);
void store_close(struct store *store);
void store_submit(struct store_io *io);

/** For stores: end @io. */
static inline void store_done(struct store_io *io, int error)
{
	io->error = error;
	io->done(io);
}

/** For stores: say @fmt in @why. Return: @ret. */
int store_refuse(int ret, char *why, size_t len, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif /* PAGERD_STORE_H */
