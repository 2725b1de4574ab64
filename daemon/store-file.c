// SPDX-License-Identifier: GPL-2.0-only
/*
 * file: - a range of a regular file. Past the page cache if the file system
 * can; the end of a target that ends inside a block always goes through it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "store-fd.h"
#include "store-range.h"

/* The file systems of extpager's own objects. */
#define OBJECTS_MAGIC	0x45585450
#define PATHS_MAGIC	0x45585446

/* Serving a target from another one: write-back would wait for itself. */
static bool is_target(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && (fs.f_type == OBJECTS_MAGIC || fs.f_type == PATHS_MAGIC);
}

static int file_refuse(char *why, size_t len, const struct store_uri *uri)
{
	int ret = -errno;

	return store_refuse(ret, why, len, "%s%s", strerror(-ret),
			    ret == -ENOENT && !uri->create ? ": create=1 makes it" : "");
}

/* With create=1: as long as the target needs it. */
static int file_extend(const struct store_uri *uri, const struct store_want *want,
		       int fd, struct stat *st, char *why, size_t len)
{
	uint64_t end;

	if (__builtin_add_overflow(uri->offset, uri->length ? uri->length : want->bytes, &end) ||
	    end > INT64_MAX)
		return store_refuse(-EFBIG, why, len, "offset and size are too large for a file");
	if (!uri->create || want->read_only || (uint64_t)st->st_size >= end)
		return 0;
	if (ftruncate(fd, (off_t)end) || fsync(fd))
		return file_refuse(why, len, uri);
	st->st_size = (off_t)end;
	return 0;
}

/* O_DIRECT, if the file system has it with blocks that we can keep to. */
static int file_open_direct(const struct store_uri *uri, int access, int buffered)
{
	unsigned int align = STORE_BLOCK_MAX;
	int fd;

	if (uri->offset % STORE_BLOCK_MAX)
		return -1;
	fd = open(uri->path, access | O_DIRECT | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -1;
#ifdef STATX_DIOALIGN
	{
		struct statx stx;

		if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) &&
		    (stx.stx_mask & STATX_DIOALIGN))
			align = stx.stx_dio_offset_align;
	}
#endif
	if (align && align <= STORE_BLOCK_MAX) {
		struct stat a, b;

		if (!fstat(fd, &a) && !fstat(buffered, &b) &&
		    a.st_dev == b.st_dev && a.st_ino == b.st_ino)
			return fd;
	}
	close(fd);
	return -1;
}

static int file_open_io(const struct store_uri *uri, const struct store_want *want,
			struct store_fd *fd, struct stat *st, char *why, size_t len)
{
	int access = want->read_only ? O_RDONLY : O_RDWR;
	int buffered, ret;

	buffered = open(uri->path, access | (uri->create && !want->read_only ? O_CREAT : 0) |
			O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
	if (buffered < 0)
		return file_refuse(why, len, uri);
	fd->fd = buffered;
	if (fstat(buffered, st))
		return file_refuse(why, len, uri);
	if (!S_ISREG(st->st_mode))
		return store_refuse(-EINVAL, why, len, "not a regular file%s",
				    S_ISBLK(st->st_mode) ? ": a device is written block:" : "");
	if (is_target(buffered))
		return store_refuse(-ELOOP, why, len, "is a target itself");
	ret = file_extend(uri, want, buffered, st, why, len);
	if (ret)
		return ret;

	fd->store.block = 1;
	ret = file_open_direct(uri, access, buffered);
	if (ret >= 0) {
		fd->fd = ret;
		fd->tail_fd = buffered;
		fd->store.block = STORE_BLOCK_MAX;
	}
	return 0;
}

static int file_open(const struct store_uri *uri, const struct store_want *want,
		     struct store **out, char *why, size_t len)
{
	struct store_fd *fd = store_fd_alloc();
	struct stat st;
	uint64_t size;
	int ret;

	if (!fd)
		return store_refuse(-ENOMEM, why, len, "no memory");
	ret = file_open_io(uri, want, fd, &st, why, len);
	if (ret)
		goto err_free;
	size = (uint64_t)st.st_size;
	if (uri->offset > size || uri->length > size - uri->offset) {
		ret = store_refuse(-ERANGE, why, len,
				   "the file ends at %llu, before offset + length%s",
				   (unsigned long long)size,
				   want->read_only ? "" : ": create=1 makes it longer");
		goto err_free;
	}
	fd->start = uri->offset;
	fd->store.bytes = uri->length ? uri->length : size - uri->offset;
	ret = store_range_take(&st, fd->start, want->bytes, want, &fd->range, why, len);
	if (ret)
		goto err_free;
	ret = store_fd_lock(fd, want, why, len);
	if (ret)
		goto err_free;
	fd->store.ops = &store_file_ops;
	store_fd_is_plain(fd);
	fd->store.read_only = want->read_only;
	*out = &fd->store;
	return 0;

err_free:
	store_fd_free(fd);
	return ret;
}

static void file_close(struct store *store)
{
	store_fd_free((struct store_fd *)store);
}

const struct store_ops store_file_ops = {
	.open = file_open,
	.close = file_close,
	.submit = store_fd_submit,
};
