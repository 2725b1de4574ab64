// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ranges and devices in use. Called by the control thread alone, as it alone
 * opens and closes stores: no lock.
 */
#include "store-range.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

struct store_range {
	LIST_ENTRY(store_range) link;
	dev_t dev;
	ino_t ino;
	bool block;
	uint64_t start, end;
	bool read_only;
	char owner[64];
};

struct store_claim {
	LIST_ENTRY(store_claim) link;
	dev_t dev;
	int fd;
	unsigned int users;
};

static LIST_HEAD(, store_range) ranges = LIST_HEAD_INITIALIZER(ranges);
static LIST_HEAD(, store_claim) claims = LIST_HEAD_INITIALIZER(claims);

int store_range_take(const struct stat *st, uint64_t start, uint64_t length,
		     const struct store_want *want, struct store_range **out,
		     char *why, size_t len)
{
	bool block = S_ISBLK(st->st_mode);
	dev_t dev = block ? st->st_rdev : st->st_dev;
	ino_t ino = block ? 0 : st->st_ino;
	uint64_t end = start + length;
	struct store_range *range;

	LIST_FOREACH(range, &ranges, link) {
		if (range->block != block || range->dev != dev || range->ino != ino)
			continue;
		if (end <= range->start || start >= range->end)
			continue;
		if (range->read_only && want->read_only)
			continue;
		return store_refuse(-EBUSY, why, len,
				    "overlaps the store of target '%s': give each its own offset= and length=",
				    range->owner);
	}
	range = calloc(1, sizeof(*range));
	if (!range)
		return store_refuse(-ENOMEM, why, len, "no memory");
	range->dev = dev;
	range->ino = ino;
	range->block = block;
	range->start = start;
	range->end = end;
	range->read_only = want->read_only;
	snprintf(range->owner, sizeof(range->owner), "%s", want->owner);
	LIST_INSERT_HEAD(&ranges, range, link);
	*out = range;
	return 0;
}

void store_range_drop(struct store_range *range)
{
	LIST_REMOVE(range, link);
	free(range);
}

int store_claim_take(const char *path, struct store_claim **out, int *fd,
		     char *why, size_t len)
{
	struct store_claim *claim;
	struct stat st;
	int ret;

	if (stat(path, &st)) {
		ret = -errno;
		return store_refuse(ret, why, len, "%s", strerror(-ret));
	}
	if (!S_ISBLK(st.st_mode))
		return store_refuse(-ENOTBLK, why, len, "not a block device%s",
				    S_ISREG(st.st_mode) ? ": a file is written file:" : "");
	LIST_FOREACH(claim, &claims, link) {
		if (claim->dev == st.st_rdev) {
			claim->users++;
			goto out;
		}
	}
	claim = calloc(1, sizeof(*claim));
	if (!claim)
		return store_refuse(-ENOMEM, why, len, "no memory");
	claim->fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (claim->fd < 0) {
		ret = -errno;
		free(claim);
		if (ret == -EBUSY)
			return store_refuse(ret, why, len,
					    "the device is in use: mounted, part of another device, or a partition of it is, or another program has it");
		return store_refuse(ret, why, len, "%s", strerror(-ret));
	}
	claim->dev = st.st_rdev;
	claim->users = 1;
	LIST_INSERT_HEAD(&claims, claim, link);
out:
	*out = claim;
	*fd = claim->fd;
	return 0;
}

void store_claim_drop(struct store_claim *claim)
{
	if (--claim->users)
		return;
	LIST_REMOVE(claim, link);
	close(claim->fd);
	free(claim);
}
