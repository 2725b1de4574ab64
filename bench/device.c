// SPDX-License-Identifier: GPL-2.0-only
/* The store's device, mapped as it is: what no pager at all costs. */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"

static int fd;

/* Open all the while: the last close would drop the device's page cache. */
static void start(unsigned int run)
{
	(void)run;
	fd = store_open_flags(O_RDONLY);
	if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		die("posix_fadvise");
}

static char *map(void)
{
	char *p = mmap(NULL, STORE_BYTES, PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		die("mmap of the device");
	return p;
}

static uint64_t requests(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_majflt;
}

static void stop(void)
{
	close(fd);
}

const struct source device_source = { "mmap", start, map, requests, stop };
