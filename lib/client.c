// SPDX-License-Identifier: LGPL-2.1-or-later
/* The client's side: an object is a regular file, so there is little to do. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include <extpager.h>
#include <linux/extpager.h>

#include "names.h"
#include "sys.h"

int extpager_client_open(const char *target, int flags)
{
	struct extpager_open open = { .size = sizeof(open), .flags = flags };
	int fd, ret;

	if (strlen(target) > EXTPAGER_NAME_MAX)
		return -ENAMETOOLONG;
	strcpy(open.name, target);
	fd = xp_sys->open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fd;
	ret = xp_sys->ioctl(fd, EXTPAGER_IOC_OPEN, &open);
	xp_sys->close(fd);
	return ret < 0 ? ret : open.out_fd;
}

int extpager_accept(int fd)
{
	struct extpager_accept arg = { .size = sizeof(arg) };

	return xp_sys->ioctl(fd, EXTPAGER_IOC_ACCEPT, &arg);
}

int extpager_client_failures(int fd, struct extpager_client_failure *failure, unsigned int nr)
{
	struct extpager_failures arg = { .size = sizeof(arg) };
	int ret = xp_sys->ioctl(fd, EXTPAGER_IOC_FAILURES, &arg);
	unsigned int i;

	if (ret < 0)
		return ret;
	for (i = 0; i < nr && i < arg.out_nr && i < EXTPAGER_FAILURES_MAX; i++) {
		failure[i] = (struct extpager_client_failure){
			.time_ns = arg.out_failure[i].time_ns,
			.offset = arg.out_failure[i].offset,
			.length = arg.out_failure[i].length,
			.request = xp_request_name(arg.out_failure[i].op),
			.error = arg.out_failure[i].error,
		};
	}
	return i;
}

void *extpager_client_map(int fd, size_t length, int prot, int flags, off_t offset)
{
	void *addr = mmap(NULL, length, prot, flags, fd, offset);
	int saved = errno;

	if (addr != MAP_FAILED && (flags & MAP_TYPE) == MAP_PRIVATE) {
		madvise(addr, length, MADV_DONTDUMP);
		errno = saved;
	}
	return addr;
}
