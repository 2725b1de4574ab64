// SPDX-License-Identifier: GPL-2.0-only
/* The store: a RAM disk, every word of which tells its place. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define FILL	(1UL << 20)

static const char *store_path;
static int store_fd;

noreturn void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

void *resident(size_t length)
{
	void *p = mmap(NULL, length, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		die("memory");
	return p;
}

int store_open_flags(int flags)
{
	int fd = open(store_path, flags | O_CLOEXEC);

	if (fd < 0)
		die(store_path);
	return fd;
}

/** store_word - the content of the store, by the index of its 64-bit words. */
uint64_t store_word(uint64_t index)
{
	return (index + 1) * 0x9e3779b97f4a7c15;
}

void store_read(void *buf, size_t length, uint64_t offset)
{
	if (pread(store_fd, buf, length, offset) != (ssize_t)length)
		die("pread");
}

void store_open(const char *path)
{
	uint64_t *buf = resident(FILL), index = 0;

	store_path = path;
	store_fd = store_open_flags(O_RDWR | O_DIRECT);
	if (lseek(store_fd, 0, SEEK_END) < (off_t)STORE_BYTES)
		die("the store is too small");
	for (uint64_t offset = 0; offset < STORE_BYTES; offset += FILL) {
		for (size_t i = 0; i < FILL / sizeof(*buf); i++)
			buf[i] = store_word(index++);
		if (pwrite(store_fd, buf, FILL, offset) != FILL)
			die("pwrite");
	}
	munmap(buf, FILL);
}
