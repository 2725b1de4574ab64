// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads, writes, zeros and flushes of a range of an fd, as a small state
 * machine a store_io: each completion says which operation comes next.
 */
#include "store-fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store-range.h"

/* At most this much in one operation of the kernel. */
#define STEP_MAX	(1U << 30)
#define ZEROS_BYTES	(256U << 10)

enum {
	STEP_BODY,		/* whole blocks, from @pos on */
	STEP_FALLOC,		/* whole blocks, zeroed by the file system or device */
	STEP_TAIL_READ,		/* the last block, to be changed */
	STEP_TAIL_WRITE,	/* the target's end, inside a block */
	STEP_FLUSH,
};

/* Tried in this order; the first that works is kept. Both leave the length. */
static const int zero_modes[] = {
	FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
};

#define NR_ZERO_MODES	(sizeof(zero_modes) / sizeof(zero_modes[0]))

/* Never written; a page-aligned source of zeros for stores that cannot do better. */
static char __attribute__((aligned(STORE_BLOCK_MAX))) zeros[ZEROS_BYTES];

static struct store_fd *to_fd(struct store *store)
{
	return (struct store_fd *)store;
}

struct store_fd *store_fd_alloc(void)
{
	struct store_fd *fd = calloc(1, sizeof(*fd));

	if (!fd)
		return NULL;
	if (posix_memalign(&fd->last, STORE_BLOCK_MAX, STORE_BLOCK_MAX)) {
		free(fd);
		return NULL;
	}
	fd->fd = -1;
	fd->tail_fd = -1;
	return fd;
}

void store_fd_free(struct store_fd *fd)
{
	if (fd->fd >= 0)
		close(fd->fd);
	if (fd->tail_fd >= 0)
		close(fd->tail_fd);
	if (fd->range)
		store_range_drop(fd->range);
	if (fd->claim)
		store_claim_drop(fd->claim);
	free(fd->last);
	free(fd);
}

void store_fd_is_plain(struct store_fd *fd)
{
	fd->store.is_plain = true;
	fd->store.fd = fd->fd;
	fd->store.start = fd->start;
}

int store_fd_lock(struct store_fd *fd, const struct store_want *want, char *why, size_t len)
{
	struct flock lock = {
		.l_type = want->read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)fd->start,
		.l_len = (off_t)want->bytes,
	};

	if (!fcntl(fd->fd, F_OFD_SETLK, &lock))
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return store_refuse(-EBUSY, why, len,
				    "another process has locked this range: another pagerd, or one that was killed and whose last writes are not done");
	/* A file system without locks. */
	return 0;
}

static void fd_step(struct store_io *io);

/* Whole blocks of @io; a file that takes single bytes has one-byte blocks. */
static uint64_t fd_body(const struct store_io *io)
{
	return io->length - io->length % io->store->block;
}

static void *fd_buf(const struct store_io *io, uint64_t pos)
{
	return io->op == STORE_WRITE_ZEROS ? zeros : (char *)io->buf + pos;
}

static unsigned int fd_min(uint64_t bytes, uint64_t most)
{
	return (unsigned int)(bytes < most ? bytes : most);
}

/* The next step of @io, or its end. */
static void fd_next(struct store_io *io)
{
	struct store_fd *fd = to_fd(io->store);

	switch (io->step) {
	case STEP_FALLOC:
		/* A file's was zeroed to the last byte. */
		if (fd->tail_fd >= 0) {
			store_done(io, 0);
			return;
		}
		/* fall through */
	case STEP_BODY:
		if (io->op == STORE_READ || fd_body(io) == io->length) {
			store_done(io, 0);
			return;
		}
		io->step = fd->tail_fd >= 0 ? STEP_TAIL_WRITE : STEP_TAIL_READ;
		break;
	case STEP_TAIL_READ:
		io->step = STEP_TAIL_WRITE;
		break;
	default:
		store_done(io, 0);
		return;
	}
	fd_step(io);
}

/* Returns 0, or 1 if there is more to read. */
static int fd_read_done(struct store_io *io, int res)
{
	if (res == 0)
		return -EIO; /* shorter than when it was opened: no bytes to make up */
	io->pos += (unsigned int)res;
	if (io->pos >= io->length)
		return 0;
	/* A short read inside a block is the file's end, too. */
	return io->pos % io->store->block ? -EIO : 1;
}

static int fd_write_done(struct store_io *io, int res)
{
	if (res == 0)
		return -EIO;
	io->pos += (unsigned int)res;
	io->pos -= io->pos % io->store->block;
	return io->pos < fd_body(io);
}

static int fd_falloc_done(struct store_io *io, int res)
{
	struct store_fd *fd = to_fd(io->store);

	if (!res)
		return 0;
	if (res != -EOPNOTSUPP && res != -EINVAL && res != -ENOSYS && res != -ENODEV)
		return res;
	/* Two ios may come here at once: each gives up the mode that it tried. */
	if (io->pos + 1 > __atomic_load_n(&fd->zero_mode, __ATOMIC_RELAXED))
		__atomic_store_n(&fd->zero_mode, (unsigned int)io->pos + 1, __ATOMIC_RELAXED);
	return 1;
}

/* The last block of a device was read: put the target's end over it. */
static int fd_tail_read_done(struct store_io *io, int res)
{
	struct store_fd *fd = to_fd(io->store);
	uint64_t body = fd_body(io);

	if (res != (int)io->store->block)
		return -EIO;
	memcpy(fd->last, fd_buf(io, body), io->length - body);
	if (io->op == STORE_WRITE_ZEROS)
		memset(fd->last, 0, io->length - body);
	return 0;
}

static int fd_tail_write_done(struct store_io *io, int res)
{
	uint64_t want = to_fd(io->store)->tail_fd >= 0 ? io->length - fd_body(io) :
						       io->store->block;

	return res == (int)want ? 0 : -EIO;
}

static void fd_op_done(struct engine_op *op, int res)
{
	struct store_io *io = (struct store_io *)((char *)op - offsetof(struct store_io, eop));
	int ret = res;

	if (res == -EINTR || res == -EAGAIN) {
		fd_step(io);
		return;
	}
	if (res < 0 && io->step != STEP_FALLOC) {
		store_done(io, res);
		return;
	}
	switch (io->step) {
	case STEP_BODY:
		ret = io->op == STORE_READ ? fd_read_done(io, res) : fd_write_done(io, res);
		break;
	case STEP_FALLOC:
		ret = fd_falloc_done(io, res);
		break;
	case STEP_TAIL_READ:
		ret = fd_tail_read_done(io, res);
		break;
	case STEP_TAIL_WRITE:
		ret = fd_tail_write_done(io, res);
		break;
	}
	if (ret < 0)
		store_done(io, ret);
	else if (ret > 0)
		fd_step(io);
	else
		fd_next(io);
}

/* Begin the operation that @step says. */
static void fd_step(struct store_io *io)
{
	struct store_fd *fd = to_fd(io->store);
	uint64_t at = fd->start + io->offset;
	uint64_t body = fd_body(io);
	struct io_uring_sqe *sqe;
	unsigned int mode;

	sqe = engine_begin(io->engine);
	if (!sqe) {
		store_done(io, -EBUSY);
		return;
	}
	io->eop.done = fd_op_done;
again:
	switch (io->step) {
	case STEP_BODY:
		if (io->op == STORE_READ) {
			uint64_t whole = (io->length + io->store->block - 1) /
					 io->store->block * io->store->block;

			engine_prep_read(io->engine, sqe, fd->fd, fd_buf(io, io->pos),
					 fd_min(whole - io->pos, STEP_MAX), at + io->pos);
		} else {
			uint64_t most = io->op == STORE_WRITE ? STEP_MAX : ZEROS_BYTES;

			engine_prep_write(io->engine, sqe, fd->fd, fd_buf(io, io->pos),
					  fd_min(body - io->pos, most), at + io->pos);
		}
		break;
	case STEP_FALLOC:
		mode = __atomic_load_n(&fd->zero_mode, __ATOMIC_RELAXED);
		if (mode >= NR_ZERO_MODES) {
			io->step = STEP_BODY;
			io->pos = 0;
			goto again;
		}
		io->pos = mode;
		io_uring_prep_fallocate(sqe, fd->fd, zero_modes[mode], (off_t)at,
					(off_t)(fd->tail_fd >= 0 ? io->length : body));
		break;
	case STEP_TAIL_READ:
		io_uring_prep_read(sqe, fd->fd, fd->last, io->store->block, at + body);
		break;
	case STEP_TAIL_WRITE:
		if (fd->tail_fd >= 0)
			io_uring_prep_write(sqe, fd->tail_fd, fd_buf(io, body),
					    (unsigned int)(io->length - body), at + body);
		else
			io_uring_prep_write(sqe, fd->fd, fd->last, io->store->block, at + body);
		break;
	case STEP_FLUSH:
		io_uring_prep_fsync(sqe, fd->fd, IORING_FSYNC_DATASYNC);
		break;
	}
	engine_go(io->engine, sqe, &io->eop);
}

void store_fd_submit(struct store_io *io)
{
	switch (io->op) {
	case STORE_FLUSH:
		io->step = STEP_FLUSH;
		break;
	case STORE_WRITE_ZEROS:
		io->step = STEP_FALLOC;
		break;
	default:
		io->step = STEP_BODY;
	}
	if (io->op != STORE_FLUSH && !io->length) {
		store_done(io, 0);
		return;
	}
	/* Nothing but a part of the last block: straight to it. */
	if ((io->op == STORE_WRITE || io->op == STORE_WRITE_ZEROS) && !fd_body(io))
		io->step = to_fd(io->store)->tail_fd >= 0 ? STEP_TAIL_WRITE : STEP_TAIL_READ;
	fd_step(io);
}
