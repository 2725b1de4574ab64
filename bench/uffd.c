// SPDX-License-Identifier: GPL-2.0-only
/*
 * userfaultfd at its best: a thread of the client's own that blocks in read(2),
 * no huge pages that would be cleared in vain, one ioctl that fills and wakes.
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

static int uffd;
static char *memory;
static size_t unit;
static uint64_t served;
static pthread_t thread;

static void *serve(void *buf)
{
	struct uffd_msg msg;

	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		uint64_t start = (uintptr_t)memory;
		uint64_t offset = (msg.arg.pagefault.address - start) / unit * unit;
		struct uffdio_copy copy = {
			.dst = start + offset,
			.src = (uintptr_t)buf,
			.len = unit,
		};

		served++;
		store_read(buf, unit, offset);
		if (ioctl(uffd, UFFDIO_COPY, &copy))
			die("UFFDIO_COPY");
	}
	die("read of the userfaultfd");
}

static void start(unsigned int run)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	unit = run * PAGE;
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		die("userfaultfd");
	memory = mmap(NULL, STORE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || madvise(memory, STORE_BYTES, MADV_NOHUGEPAGE))
		die("memory");
	reg.range.start = (uintptr_t)memory;
	reg.range.len = STORE_BYTES;
	if (ioctl(uffd, UFFDIO_REGISTER, &reg))
		die("UFFDIO_REGISTER");
	if (pthread_create(&thread, NULL, serve, resident(unit)))
		die("thread");
}

static char *map(void)
{
	return memory;
}

static uint64_t requests(void)
{
	return served;
}

/* The thread ends with the process. */
static void stop(void)
{
}

const struct source uffd_source = { "userfaultfd", start, map, requests, stop };
