// SPDX-License-Identifier: GPL-2.0-only
/* The store: a RAM disk, filled with words that tell their place. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define FILL	(1UL << 20)

static const char *device;
static int store_fd;

int store_open_flags(int flags)
{
	int fd = open(device, flags | O_CLOEXEC);

	if (fd < 0)
		die(device);
	return fd;
}

const char *store_path(void)
{
	return device;
}

/** store_word - the content of the store, by the index of its 64-bit words. */
uint64_t store_word(uint64_t index)
{
	return (index + 1) * 0x9e3779b97f4a7c15;
}

/* Past the device's page cache. */
void store_read(void *buf, size_t length, uint64_t offset)
{
	if (pread(store_fd, buf, length, offset) != (ssize_t)length)
		die("read of the store");
}

void store_write(const void *buf, size_t length, uint64_t offset)
{
	if (pwrite(store_fd, buf, length, offset) != (ssize_t)length)
		die("write to the store");
}

void store_sync(void)
{
	if (fdatasync(store_fd))
		die("sync of the store");
}

void store_fill(uint64_t offset, uint64_t length)
{
	uint64_t *buf = resident(FILL), index = offset / sizeof(*buf), end = offset + length;

	while (offset < end) {
		uint64_t part = end - offset < FILL ? end - offset : FILL;

		for (size_t i = 0; i < part / sizeof(*buf); i++)
			buf[i] = store_word(index++);
		store_write(buf, part, offset);
		offset += part;
	}
	munmap(buf, FILL);
}

void store_open(const char *path)
{
	device = path;
	store_fd = store_open_flags(O_RDWR | O_DIRECT);
	if (lseek(store_fd, 0, SEEK_END) < (off_t)STORE_BYTES) {
		errno = ENOSPC;
		die(path);
	}
}
