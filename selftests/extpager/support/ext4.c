// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "ext4.h"
#include "object.h"

bool ext4_make(uint64_t pages, uint64_t seed)
{
	int fd = open("/tmp/image", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && !ftruncate(fd, 16 * MIB);

	close(fd);
	if (!ok || system("mkfs.ext4 -q -F /tmp/image && mkdir -p /tmp/ext4") ||
	    system("modprobe -aq loop ext4 && mount -o loop /tmp/image /tmp/ext4"))
		return false;
	fd = open(ON_EXT4, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ok = fd >= 0 && fill_pages(fd, 0, pages, seed);
	close(fd);
	return ok;
}

bool ext4_remove(void)
{
	return WAIT_FOR(SOON, !umount("/tmp/ext4")) && !unlink("/tmp/image");
}
