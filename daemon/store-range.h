/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which ranges of which files and devices the stores of this process use, so
 * that two targets cannot use the same bytes.
 */
#ifndef PAGERD_STORE_RANGE_H
#define PAGERD_STORE_RANGE_H

#include "store.h"

#include <sys/stat.h>

struct store_range;
struct store_claim;

/**
 * store_range_take - note that @want's target uses bytes of the file @st
 *
 * Read-only targets may share. Return: 0, -EBUSY with @why, -ENOMEM.
 */
int store_range_take(const struct stat *st, uint64_t start, uint64_t length,
		     const struct store_want *want, struct store_range **range,
		     char *why, size_t len);
void store_range_drop(struct store_range *range);

/**
 * store_claim_take - exclusive use of the block device @path for this process
 * @claim: out: shared by all stores on the device
 * @fd: out: the claim's fd, opened for reading through the page cache
 *
 * Return: 0 or -errno with @why.
 */
int store_claim_take(const char *path, struct store_claim **claim, int *fd,
		     char *why, size_t len);
void store_claim_drop(struct store_claim *claim);

#endif /* PAGERD_STORE_RANGE_H */
