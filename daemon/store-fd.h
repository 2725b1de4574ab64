/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What block: and file: have in common: a byte range of a file descriptor,
 * read and written through io_uring.
 */
#ifndef PAGERD_STORE_FD_H
#define PAGERD_STORE_FD_H

#include "store.h"

struct store_range;
struct store_claim;

/**
 * struct store_fd - a range of a file or a block device
 * @store: @block is @align, the unit of I/O on @fd
 * @fd: where; O_DIRECT unless @align is 1
 * @tail_fd: file whose last block need not be whole: the same through the
 *	page cache; -1: the last block is read, changed and written
 * @start: first byte of the range
 * @last: one block, for the target's last
 * @zero_mode: index of the fallocate() mode that has not failed yet
 * @range: entry in the list of ranges in use
 * @claim: exclusive use of the device; block: only
 */
struct store_fd {
	struct store store;
	int fd;
	int tail_fd;
	uint64_t start;
	void *last;
	unsigned int zero_mode;
	struct store_range *range;
	struct store_claim *claim;
};

/** Allocate one, all fds -1. */
struct store_fd *store_fd_alloc(void);
/** Close the fds, give up the range, free. */
void store_fd_free(struct store_fd *fd);
/** Its bytes lie in the file as they are. */
void store_fd_is_plain(struct store_fd *fd);
void store_fd_submit(struct store_io *io);

/**
 * store_fd_lock - keep other processes off the range
 *
 * The lock is of the open file, so it outlives a killed pagerd until its last
 * write has reached the store: a successor cannot be overtaken by it.
 */
int store_fd_lock(struct store_fd *fd, const struct store_want *want, char *why, size_t len);

#endif /* PAGERD_STORE_FD_H */
