// SPDX-License-Identifier: GPL-2.0-only
/*
 * block: and nvme: - a range of a block device, opened for exclusive use and
 * refused if it seems to hold somebody's data.
 */
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "store-fd.h"
#include "store-range.h"

static bool sysfs_has(dev_t dev, const char *attribute)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev), minor(dev), attribute);
	return !access(path, F_OK);
}

static bool is_nvme_namespace(dev_t dev)
{
	char path[128], target[512];
	const char *name;
	ssize_t len;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	len = readlink(path, target, sizeof(target) - 1);
	if (len <= 0)
		return false;
	target[len] = '\0';
	name = strrchr(target, '/');
	return name && !strncmp(name, "/nvme", 5) && !sysfs_has(dev, "partition");
}

/*
 * What is on bytes @start to @start + @length, by libblkid. Return: 0 if it
 * knows nothing there, 1 and @what, or -errno.
 */
static int find_signature(int fd, uint64_t start, uint64_t length, char *what, size_t len)
{
	const char *type = NULL;
	blkid_probe probe;
	int ret;

	probe = blkid_new_probe();
	if (!probe)
		return -ENOMEM;
	ret = -EIO;
	if (blkid_probe_set_device(probe, fd, (blkid_loff_t)start, (blkid_loff_t)length))
		goto out;
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE);
	blkid_probe_enable_partitions(probe, 1);
	switch (blkid_do_safeprobe(probe)) {
	case 0:
		if (blkid_probe_lookup_value(probe, "TYPE", &type, NULL) &&
		    blkid_probe_lookup_value(probe, "PTTYPE", &type, NULL))
			type = "unknown";
		snprintf(what, len, "%s", type);
		ret = 1;
		break;
	case 1:
		ret = 0;
		break;
	case -2:
		snprintf(what, len, "several kinds");
		ret = 1;
		break;
	}
out:
	blkid_free_probe(probe);
	return ret;
}

/* Neither the range nor the device as a whole may carry anything known. */
static int check_signatures(int fd, uint64_t start, uint64_t length, char *why, size_t len)
{
	char what[64];
	int ret;

	ret = find_signature(fd, start, length, what, sizeof(what));
	if (!ret && start)
		ret = find_signature(fd, 0, 0, what, sizeof(what));
	if (ret < 0)
		return store_refuse(ret, why, len, "cannot look for signatures: %s; force=1 does not look",
				    strerror(-ret));
	if (ret)
		return store_refuse(-EEXIST, why, len,
				    "it holds data (signature: %s): wipefs(8) it, or say force=1 if that is the target's own content",
				    what);
	return 0;
}

static int block_open_io(const struct store_uri *uri, const struct store_want *want,
			 struct store_fd *fd, char *why, size_t len)
{
	struct stat claimed, opened;
	int ret;

	fd->fd = open(uri->path, (want->read_only ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC);
	if (fd->fd < 0) {
		ret = -errno;
		return store_refuse(ret, why, len, "%s%s", strerror(-ret),
				    ret == -EACCES || ret == -EROFS || ret == -EPERM ?
				    ": may not be written; add the target with --read-only?" : "");
	}
	if (fstat(fd->fd, &opened) || stat(uri->path, &claimed) ||
	    !S_ISBLK(opened.st_mode) || opened.st_rdev != claimed.st_rdev)
		return store_refuse(-EAGAIN, why, len, "was replaced while it was opened");
	if (uri->kind == STORE_NVME && !is_nvme_namespace(opened.st_rdev))
		return store_refuse(-ENODEV, why, len,
				    "not an NVMe namespace: write block: for other devices and partitions");
	return 0;
}

/* The range in bytes; both ends on blocks of the device. */
static int block_measure(const struct store_uri *uri, struct store_fd *fd, char *why, size_t len)
{
	uint64_t bytes;
	int sector;

	if (ioctl(fd->fd, BLKGETSIZE64, &bytes) || ioctl(fd->fd, BLKSSZGET, &sector))
		return store_refuse(-EIO, why, len, "has no size");
	if (sector > STORE_BLOCK_MAX)
		return store_refuse(-EOPNOTSUPP, why, len,
				    "blocks of %d bytes are too large", sector);
	if (uri->offset % (unsigned int)sector || uri->length % (unsigned int)sector)
		return store_refuse(-EINVAL, why, len,
				    "offset and length must be multiples of the device's blocks of %d bytes",
				    sector);
	if (uri->offset > bytes || uri->length > bytes - uri->offset)
		return store_refuse(-ERANGE, why, len,
				    "the device ends at %llu, before offset + length",
				    (unsigned long long)bytes);
	fd->start = uri->offset;
	fd->store.block = (unsigned int)sector;
	fd->store.bytes = uri->length ? uri->length : bytes - uri->offset;
	return 0;
}

static int block_open(const struct store_uri *uri, const struct store_want *want,
		      struct store **out, char *why, size_t len)
{
	struct store_fd *fd = store_fd_alloc();
	struct stat st;
	int claim_fd, ret;

	if (!fd)
		return store_refuse(-ENOMEM, why, len, "no memory");
	ret = store_claim_take(uri->path, &fd->claim, &claim_fd, why, len);
	if (ret)
		goto err_free;
	ret = block_open_io(uri, want, fd, why, len);
	if (ret)
		goto err_free;
	ret = block_measure(uri, fd, why, len);
	if (ret)
		goto err_free;
	if (fstat(claim_fd, &st)) {
		ret = store_refuse(-errno, why, len, "%s", strerror(errno));
		goto err_free;
	}
	ret = store_range_take(&st, fd->start, want->bytes, want, &fd->range, why, len);
	if (ret)
		goto err_free;
	ret = store_fd_lock(fd, want, why, len);
	if (ret)
		goto err_free;
	/* Nothing is written to a read-only one, so nothing can be lost. */
	if (!uri->force && !want->used && !want->read_only) {
		ret = check_signatures(claim_fd, fd->start, fd->store.bytes, why, len);
		if (ret)
			goto err_free;
	}
	fd->store.ops = &store_block_ops;
	store_fd_is_plain(fd);
	fd->store.is_device = true;
	fd->store.read_only = want->read_only;
	*out = &fd->store;
	return 0;

err_free:
	store_fd_free(fd);
	return ret;
}

static void block_close(struct store *store)
{
	store_fd_free((struct store_fd *)store);
}

const struct store_ops store_block_ops = {
	.open = block_open,
	.close = block_close,
	.submit = store_fd_submit,
};
