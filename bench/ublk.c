// SPDX-License-Identifier: GPL-2.0-only
/*
 * ublk at its best: a block device whose requests a process serves, with a queue
 * and a thread for each CPU. One system call submits the transfer to or from the
 * store and the answer after it, and waits for what is asked next. Buffers and
 * files are registered; no scheduler is in the way.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/ublk_cmd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define CONTROL		"/dev/ublk-control"
#define CHAR_DEVICE	"/dev/ublkc0"
#define DEVICE		"/dev/ublkb0"
#define QUEUE		"/sys/block/ublkb0/queue/"
#define DEPTH		16U		/* descriptions of them fit in a page */
#define REQUEST_MAX	(2UL << 20)
#define SECTOR		512

/* Files as the rings name them. */
enum { ASKING, STORE, NR_FILES };
/* In a completion's user_data, beside the tag: of the store's part. */
#define OF_STORE	(1UL << 32)

static pid_t server;
static int fd, asking;
static char *memory;

/* ---- the server ---- */

struct queue {
	unsigned int id;
	struct io_uring ring;
	const struct ublksrv_io_desc *asked;	/* by tag */
	char *buffers;
};

static char *buffer_of(const struct queue *q, unsigned int tag)
{
	return q->buffers + tag * REQUEST_MAX;
}

/* Says what became of the last request, if any, and asks for another. */
static void fetch(struct queue *q, unsigned int op, unsigned int tag, int result)
{
	const struct ublksrv_io_cmd cmd = {
		.q_id = q->id,
		.tag = tag,
		.result = result,
		.addr = (uintptr_t)buffer_of(q, tag),
	};
	struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, ASKING, NULL, 0, 0);
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->cmd_op = op;
	sqe->user_data = tag;
	memcpy(sqe->cmd, &cmd, sizeof(cmd));
}

static void serve_request(struct queue *q, unsigned int tag)
{
	const struct ublksrv_io_desc *asked = &q->asked[tag];
	struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);
	unsigned int length = asked->nr_sectors * SECTOR;
	uint64_t offset = asked->start_sector * SECTOR;
	char *buf = buffer_of(q, tag);

	note_request();
	switch (ublksrv_get_op(asked)) {
	case UBLK_IO_OP_READ:
		io_uring_prep_read_fixed(sqe, STORE, buf, length, offset, tag);
		break;
	case UBLK_IO_OP_WRITE:
		io_uring_prep_write_fixed(sqe, STORE, buf, length, offset, tag);
		break;
	case UBLK_IO_OP_FLUSH:
		io_uring_prep_fsync(sqe, STORE, IORING_FSYNC_DATASYNC);
		length = 0;
		break;
	default:
		die("request of ublk");
	}
	/* A transfer that fails or is short breaks the link, and is told of. */
	sqe->flags |= IOSQE_FIXED_FILE | IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = OF_STORE | tag;
	fetch(q, UBLK_IO_COMMIT_AND_FETCH_REQ, tag, length);
}

static void completed(struct queue *q, const struct io_uring_cqe *cqe)
{
	if (cqe->res == UBLK_IO_RES_ABORT)
		_exit(0);
	if (cqe->user_data & OF_STORE || cqe->res != UBLK_IO_RES_OK) {
		errno = -cqe->res;
		die("ublk");
	}
	serve_request(q, cqe->user_data);
}

static void open_ring(struct queue *q)
{
	const int files[NR_FILES] = {
		[ASKING] = asking,
		[STORE] = store_open_flags(O_RDWR | O_DIRECT),
	};
	size_t stride = UBLK_MAX_QUEUE_DEPTH * sizeof(*q->asked);
	struct iovec iov[DEPTH];
	int ret;

	q->buffers = resident(DEPTH * REQUEST_MAX);
	for (unsigned int tag = 0; tag < DEPTH; tag++)
		iov[tag] = (struct iovec){ buffer_of(q, tag), REQUEST_MAX };
	ret = io_uring_queue_init(2 * DEPTH, &q->ring,
				  IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
	if (!ret)
		ret = io_uring_register_files(&q->ring, files, NR_FILES);
	if (!ret)
		ret = io_uring_register_buffers(&q->ring, iov, DEPTH);
	errno = -ret;
	if (ret)
		die("io_uring");
	q->asked = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, asking,
			UBLKSRV_CMD_BUF_OFFSET + q->id * stride);
	if (q->asked == MAP_FAILED)
		die(CHAR_DEVICE);
}

static void *serve_queue(void *arg)
{
	struct queue q = { .id = (uintptr_t)arg };
	struct io_uring_cqe *cqe;

	open_ring(&q);
	for (unsigned int tag = 0; tag < DEPTH; tag++)
		fetch(&q, UBLK_IO_FETCH_REQ, tag, 0);
	for (;;) {
		int ret = io_uring_submit_and_wait(&q.ring, 1);
		unsigned int head, n = 0;

		if (ret < 0 && ret != -EINTR) {
			errno = -ret;
			die("io_uring");
		}
		io_uring_for_each_cqe(&q.ring, head, cqe) {
			completed(&q, cqe);
			n++;
		}
		io_uring_cq_advance(&q.ring, n);
	}
}

static noreturn void serve(uintptr_t queues)
{
	pthread_t thread;

	/* All queues share it: it opens but once. */
	asking = open(CHAR_DEVICE, O_RDWR | O_CLOEXEC);
	if (asking < 0)
		die(CHAR_DEVICE);
	while (--queues)
		if (pthread_create(&thread, NULL, serve_queue, (void *)queues))
			die("thread");
	serve_queue(NULL);
	_exit(1);
}

/* ---- the device ---- */

static void control(unsigned int op, void *buf, size_t length, uint64_t data)
{
	const struct ublksrv_ctrl_cmd cmd = {
		.queue_id = -1,
		.addr = (uintptr_t)buf,
		.len = length,
		.data = { data },
	};
	int dev = open(CONTROL, O_RDWR | O_CLOEXEC), ret;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring ring;

	if (dev < 0)
		die(CONTROL);
	ret = io_uring_queue_init(1, &ring, IORING_SETUP_SQE128);
	if (!ret) {
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_rw(IORING_OP_URING_CMD, sqe, dev, NULL, 0, 0);
		sqe->cmd_op = op;
		memcpy(sqe->cmd, &cmd, sizeof(cmd));
		io_uring_submit(&ring);
		ret = io_uring_wait_cqe(&ring, &cqe);
	}
	if (!ret)
		ret = cqe->res;
	if (ret < 0) {
		errno = -ret;
		die(CONTROL);
	}
	io_uring_queue_exit(&ring);
	close(dev);
}

static void add_device(unsigned int queues)
{
	struct ublksrv_ctrl_dev_info info = {
		.nr_hw_queues = queues,
		.queue_depth = DEPTH,
		.max_io_buf_bytes = REQUEST_MAX,
	};
	struct ublk_params params = {
		.len = sizeof(params),
		.types = UBLK_PARAM_TYPE_BASIC,
		.basic = {
			.attrs = UBLK_ATTR_VOLATILE_CACHE,	/* the server is to flush */
			.logical_bs_shift = 9,
			.physical_bs_shift = 9,
			.max_sectors = REQUEST_MAX / SECTOR,
			.dev_sectors = STORE_BYTES / SECTOR,
		},
	};

	control(UBLK_CMD_ADD_DEV, &info, sizeof(info), 0);
	control(UBLK_CMD_SET_PARAMS, &params, sizeof(params), 0);
}

static void tune(void)
{
	FILE *file = fopen(QUEUE "scheduler", "we");
	char bdi[32];
	struct stat st;

	if (!file || fputs("none", file) < 0 || fclose(file))
		die(QUEUE);
	if (stat(DEVICE, &st))
		die(DEVICE);
	snprintf(bdi, sizeof(bdi), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	set_readahead(bdi, REQUEST_MAX);
}

static void start(const struct testcase *t)
{
	unsigned int queues = sysconf(_SC_NPROCESSORS_ONLN);

	add_device(queues);
	server = fork();
	if (server < 0)
		die("fork");
	if (!server)
		serve(queues);
	control(UBLK_CMD_START_DEV, NULL, 0, server);
	tune();
	fd = open(DEVICE, open_flags(t) | O_CLOEXEC);
	if (fd < 0)
		die(DEVICE);
}

static char *map(const struct testcase *t)
{
	memory = map_file(fd, t);
	return memory;
}

/* The device stays until nobody maps it. */
static void stop(const struct testcase *t)
{
	munmap(memory, STORE_BYTES);
	close(fd);
	control(UBLK_CMD_STOP_DEV, NULL, 0, 0);
	waitpid(server, NULL, 0);
	control(UBLK_CMD_DEL_DEV, NULL, 0, 0);
}

/* 6.1 has none; pages that are here are as those of any device. */
static bool can(const struct testcase *t)
{
	return !access(CONTROL, F_OK) && (!t->cached || t->batch);
}

const struct system ublk_system = {
	.name = "ublk",
	.can = can,
	.devices = 2,
	.start = start,
	.map = map,
	.stop = stop,
};
