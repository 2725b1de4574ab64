// SPDX-License-Identifier: GPL-2.0-only
/* The store's device, mapped as it is: what no pager at all costs. */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "bench.h"

#define READAHEAD	(2UL << 20)

static int fd;

/* Open all the while: the last close would drop the device's page cache. */
static void start(const struct testcase *t)
{
	static int keeper = -1;
	char bdi[32];
	struct stat st;

	if (keeper < 0)
		keeper = store_open_flags(O_RDONLY);
	if (fstat(keeper, &st))
		die("fstat");
	snprintf(bdi, sizeof(bdi), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	set_readahead(bdi, READAHEAD);
	fd = store_open_flags(open_flags(t));
	if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		die("posix_fadvise");
}

static char *map(const struct testcase *t)
{
	return map_file(fd, t);
}

const struct system mmap_system = {
	.name = "mmap",
	.start = start,
	.map = map,
	.requests = major_faults,
};
