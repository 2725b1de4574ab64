// SPDX-License-Identifier: GPL-2.0-only
/* How long a store is: a look from outside, for pagerctl. Claims nothing. */
#include "uri.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int path_size(const struct store_uri *uri, uint64_t *bytes)
{
	struct stat st;
	int fd, ret = 0;

	fd = open(uri->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		ret = -errno;
	else if (S_ISREG(st.st_mode))
		*bytes = (uint64_t)st.st_size;
	else if (!S_ISBLK(st.st_mode))
		ret = -EINVAL;
	else if (ioctl(fd, BLKGETSIZE64, bytes))
		ret = -errno;
	close(fd);
	return ret;
}

int store_uri_size(const struct store_uri *uri, uint64_t *bytes, char *why, size_t len)
{
	uint64_t whole;
	int ret;

	if (uri->length) {
		*bytes = uri->length;
		return 0;
	}
	if (!uri->path[0]) {
		snprintf(why, len, "a %s: store has no size of its own",
			 store_kind_name(uri->kind));
		return -ENODATA;
	}
	ret = path_size(uri, &whole);
	if (ret) {
		snprintf(why, len, "%s: %s", uri->path,
			 ret == -EINVAL ? "neither a file nor a block device" : strerror(-ret));
		return ret;
	}
	if (whole <= uri->offset) {
		snprintf(why, len, "%s: ends before the offset", uri->path);
		return -ENODATA;
	}
	*bytes = whole - uri->offset;
	return 0;
}
