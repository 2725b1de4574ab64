// SPDX-License-Identifier: GPL-2.0-only
/* The three ways to a target. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "ways.h"

const char *const way_names[WAYS] = { "OPEN", "/dev/extpager", "path" };

int ways_add(const struct target_options *o)
{
	umount2("/run/extpager/targets", MNT_DETACH);
	target_gone(TARGET);
	return target_add(TARGET, o);
}

int way_open(enum way way, int flags)
{
	int fd;

	if (way == BY_OPEN)
		return target_open(TARGET, flags);
	fd = open(way == BY_PATH ? target_path(TARGET) : EXTPAGER_DEVICE, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int ways_umount(void)
{
	return umount("/run/extpager/targets") && errno != EINVAL && errno != ENOENT ? -errno : 0;
}

bool ways_mount(const char *directory)
{
	mkdir(directory, 0755);
	return !mount("none", directory, EXTPAGER_FS_TYPE, 0, NULL);
}

long module_references(void)
{
	return read_number("/sys/module/extpager/refcnt", NULL);
}

bool ways_end(void)
{
	int ret = ways_umount();

	if (ret)
		printf("# unmounting the paths: %s\n", strerror(-ret));
	if (!target_gone(TARGET))
		printf("# the target does not go\n");
	/* Workers end the last mounts; on a busy emulated machine this takes a while. */
	if (WAIT_FOR(10000, !module_references()) && !ret)
		return true;
	printf("# %ld references to the module are left\n", module_references());
	return false;
}
