// SPDX-License-Identifier: GPL-2.0-only
/*
 * FUSE over io_uring at its best: the file system of fuse.c, whose requests come as
 * completions, with a queue and a thread for each CPU. One system call submits the
 * transfer from or to the store and the reply after it, and waits for what is asked
 * next. From 6.14 on; libfuse of Debian 12 knows nothing of it.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define DEVICE		"/dev/fuse"
#define MOUNTPOINT	"/tmp/fuse-uring"
#define SWITCH		"/sys/module/fuse/parameters/enable_uring"
#define FOREVER		1000000		/* seconds */
#define REQUEST_MAX	(1UL << 20)
#define DEPTH		16U
#define OVER_IO_URING	(1U << 9)	/* of the flags' upper half */

/* Commands, and what goes with them: <linux/fuse.h> of a newer kernel has these. */
enum { REGISTER = 1, COMMIT_AND_FETCH = 2 };

struct command {
	uint64_t flags;
	uint64_t commit_id;
	uint16_t queue;
	uint8_t unused[62];
};

struct header {
	union {
		struct fuse_in_header in;
		struct fuse_out_header out;
		char room[128];
	};
	union {
		struct fuse_read_in read;
		struct fuse_write_in write;
		char op_room[128];
	};
	uint64_t flags;
	uint64_t commit_id;
	uint32_t payload_bytes;
	uint32_t unused[3];
};

/* Files as the rings name them. */
enum { ASKING, STORE, NR_FILES };
/* In a completion's user_data, beside the entry's number: of the store's part. */
#define OF_STORE	(1UL << 32)

static pid_t server;
static int fd, asking;
static char *memory;

/* ---- the server ---- */

struct queue {
	unsigned int id;
	struct io_uring ring;
	struct header *headers;
	char *payloads;
};

static char *payload_of(const struct queue *q, unsigned int entry)
{
	return q->payloads + entry * REQUEST_MAX;
}

static struct io_uring_sqe *command(struct queue *q, unsigned int op, unsigned int entry)
{
	const struct command cmd = {
		.commit_id = q->headers[entry].commit_id,
		.queue = q->id,
	};
	struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, ASKING, NULL, 0, 0);
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->cmd_op = op;
	sqe->user_data = entry;
	memcpy(sqe->cmd, &cmd, sizeof(cmd));
	return sqe;
}

/* What is said of a request whose transfer, if it has one, is submitted before. */
static void reply(struct queue *q, unsigned int entry, int error, size_t bytes)
{
	struct header *h = &q->headers[entry];
	uint64_t unique = h->in.unique;

	h->out = (struct fuse_out_header){
		.len = sizeof(h->out) + bytes,
		.error = error,
		.unique = unique,
	};
	h->payload_bytes = bytes;
	command(q, COMMIT_AND_FETCH, entry);
}

static void reply_attr(struct queue *q, unsigned int entry)
{
	*(struct fuse_attr_out *)payload_of(q, entry) = (struct fuse_attr_out){
		.attr_valid = FOREVER,
		.attr = {
			.ino = FUSE_ROOT_ID,
			.size = STORE_BYTES,
			.mode = S_IFREG | 0600,
			.nlink = 1,
			.blksize = PAGE,
		},
	};
	reply(q, entry, 0, sizeof(struct fuse_attr_out));
}

/* A transfer that fails or is short breaks the link, and is told of. */
static void before_reply(struct io_uring_sqe *sqe, unsigned int entry)
{
	note_request();
	sqe->flags |= IOSQE_FIXED_FILE | IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = OF_STORE | entry;
}

static void serve_request(struct queue *q, unsigned int entry)
{
	struct header *h = &q->headers[entry];
	char *payload = payload_of(q, entry);
	struct io_uring_sqe *sqe;

	switch (h->in.opcode) {
	case FUSE_READ:
		sqe = io_uring_get_sqe(&q->ring);
		io_uring_prep_read_fixed(sqe, STORE, payload, h->read.size, h->read.offset, entry);
		before_reply(sqe, entry);
		reply(q, entry, 0, h->read.size);
		break;
	case FUSE_WRITE:
		sqe = io_uring_get_sqe(&q->ring);
		io_uring_prep_write_fixed(sqe, STORE, payload, h->write.size, h->write.offset,
					  entry);
		before_reply(sqe, entry);
		*(struct fuse_write_out *)payload =
			(struct fuse_write_out){ .size = h->write.size };
		reply(q, entry, 0, sizeof(struct fuse_write_out));
		break;
	case FUSE_FSYNC:
		sqe = io_uring_get_sqe(&q->ring);
		io_uring_prep_fsync(sqe, STORE, IORING_FSYNC_DATASYNC);
		before_reply(sqe, entry);
		reply(q, entry, 0, 0);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		reply_attr(q, entry);
		break;
	case FUSE_OPEN:
		*(struct fuse_open_out *)payload =
			(struct fuse_open_out){ .open_flags = FOPEN_KEEP_CACHE };
		reply(q, entry, 0, sizeof(struct fuse_open_out));
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
		reply(q, entry, 0, 0);
		break;
	default:
		reply(q, entry, -ENOSYS, 0);
	}
}

static void completed(struct queue *q, const struct io_uring_cqe *cqe)
{
	if (cqe->res == -ENOTCONN)
		_exit(0);
	if (cqe->user_data & OF_STORE || cqe->res < 0) {
		errno = cqe->res < 0 ? -cqe->res : EIO;
		die("FUSE over io_uring");
	}
	serve_request(q, cqe->user_data);
}

static void open_ring(struct queue *q)
{
	const int files[NR_FILES] = {
		[ASKING] = asking,
		[STORE] = store_open_flags(O_RDWR | O_DIRECT),
	};
	struct iovec iov[DEPTH];
	int ret;

	q->headers = resident(DEPTH * sizeof(*q->headers));
	q->payloads = resident(DEPTH * REQUEST_MAX);
	for (unsigned int i = 0; i < DEPTH; i++)
		iov[i] = (struct iovec){ payload_of(q, i), REQUEST_MAX };
	ret = io_uring_queue_init(2 * DEPTH, &q->ring, IORING_SETUP_SINGLE_ISSUER |
				  IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SQE128);
	if (!ret)
		ret = io_uring_register_files(&q->ring, files, NR_FILES);
	if (!ret)
		ret = io_uring_register_buffers(&q->ring, iov, DEPTH);
	errno = -ret;
	if (ret)
		die("io_uring");
}

static void *serve_queue(void *arg)
{
	struct queue q = { .id = (uintptr_t)arg };
	struct iovec areas[DEPTH][2];
	struct io_uring_cqe *cqe;

	open_ring(&q);
	for (unsigned int i = 0; i < DEPTH; i++) {
		struct io_uring_sqe *sqe = command(&q, REGISTER, i);

		areas[i][0] = (struct iovec){ &q.headers[i], sizeof(q.headers[i]) };
		areas[i][1] = (struct iovec){ payload_of(&q, i), REQUEST_MAX };
		sqe->addr = (uintptr_t)areas[i];
		sqe->len = 2;
	}
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

/* This one request still comes by read(2). */
static void answer_init(void)
{
	static char request[FUSE_MIN_READ_BUFFER];
	const struct fuse_in_header *in = (void *)request;
	struct {
		struct fuse_out_header head;
		struct fuse_init_out init;
	} out = {
		.head.len = sizeof(out),
		.init = {
			.major = FUSE_KERNEL_VERSION,
			.minor = FUSE_KERNEL_MINOR_VERSION,
			.max_readahead = REQUEST_MAX,
			.flags = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_WRITEBACK_CACHE |
				 FUSE_MAX_PAGES | FUSE_INIT_EXT,
			.flags2 = OVER_IO_URING,
			.max_background = DEPTH,
			.max_write = REQUEST_MAX,
			.max_pages = REQUEST_MAX / PAGE,
			.time_gran = 1,
		},
	};

	if (read(asking, request, sizeof(request)) < (ssize_t)sizeof(*in) ||
	    in->opcode != FUSE_INIT)
		die("FUSE");
	out.head.unique = in->unique;
	if (write(asking, &out, sizeof(out)) != sizeof(out))
		die("FUSE");
}

static noreturn void serve(uintptr_t queues)
{
	pthread_t thread;

	answer_init();
	while (--queues)
		if (pthread_create(&thread, NULL, serve_queue, (void *)queues))
			die("thread");
	serve_queue(NULL);
	_exit(1);
}

/* ---- the file system ---- */

static void set(const char *path, const char *value)
{
	FILE *file = fopen(path, "we");

	if (!file || fputs(value, file) < 0 || fclose(file))
		die(path);
}

static void mount_it(void)
{
	int mountpoint = open(MOUNTPOINT, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	char options[128];

	if (mountpoint < 0)
		die(MOUNTPOINT);
	close(mountpoint);
	set(SWITCH, "Y");
	asking = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (asking < 0)
		die(DEVICE);
	snprintf(options, sizeof(options), "fd=%d,rootmode=100600,user_id=0,group_id=0", asking);
	if (mount("bench", MOUNTPOINT, "fuse", MS_NOSUID | MS_NODEV, options))
		die(MOUNTPOINT);
}

static void start(const struct testcase *t)
{
	mount_it();
	server = fork();
	if (server < 0)
		die("fork");
	if (!server)
		serve(sysconf(_SC_NPROCESSORS_CONF));
	close(asking);
	fuse_tune(MOUNTPOINT);
	/* A kernel that caches writes does not ask for the size. */
	if (truncate(MOUNTPOINT, STORE_BYTES))
		die(MOUNTPOINT);
	fd = open(MOUNTPOINT, open_flags(t) | O_CLOEXEC);
	if (fd < 0)
		die(MOUNTPOINT);
}

static char *map(const struct testcase *t)
{
	memory = map_file(fd, t);
	return memory;
}

static void stop(const struct testcase *t)
{
	munmap(memory, STORE_BYTES);
	close(fd);
	umount2(MOUNTPOINT, MNT_DETACH);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}

/* Pages that are here are as those of FUSE. */
static bool can(const struct testcase *t)
{
	return !access(SWITCH, F_OK) && (!t->cached || t->batch);
}

const struct system fuse_uring_system = {
	.name = "fuse-uring",
	.can = can,
	.start = start,
	.map = map,
	.stop = stop,
};
