// SPDX-License-Identifier: GPL-2.0-only
/*
 * FUSE at its best: a file system of one file, its root, served by one process
 * that reads the store straight into what it replies and writes it straight from
 * what it was sent; writes are cached, its page cache is kept.
 */
#define FUSE_USE_VERSION 314
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define MOUNTPOINT	"/tmp/fuse"
#define FOREVER		1e6
#define REQUEST_MAX	(1UL << 20)	/* what libfuse negotiates */
#define READAHEAD	REQUEST_MAX
#define WRITE_HEAD	80		/* what comes before the data of a WRITE */

static pid_t server;
static int fd;
static __thread char *reply;

static void fs_init(void *unused, struct fuse_conn_info *conn)
{
	conn->want |= conn->capable & FUSE_CAP_WRITEBACK_CACHE;
}

static void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct stat st = {
		.st_ino = ino,
		.st_mode = S_IFREG | 0600,
		.st_nlink = 1,
		.st_size = STORE_BYTES,
	};

	fuse_reply_attr(req, &st, FOREVER);
}

static void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	fs_getattr(req, ino, fi);
}

static void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	note_request();
	store_read(reply, size, off);
	fuse_reply_buf(req, reply, size);
}

static void fs_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	note_request();
	store_write(buf, size, off);
	fuse_reply_write(req, size);
}

static void fs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	note_request();
	store_sync();
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops ops = {
	.init = fs_init,
	.getattr = fs_getattr,
	.setattr = fs_setattr,
	.open = fs_open,
	.read = fs_read,
	.write = fs_write,
	.fsync = fs_fsync,
};

static void *serve_requests(void *arg)
{
	struct fuse_session *session = arg;
	/* So that data to be written lies at a page's start, as O_DIRECT wants it. */
	struct fuse_buf buf = {
		.mem = (char *)resident(REQUEST_MAX + 2 * PAGE) + PAGE - WRITE_HEAD,
	};
	int n;

	reply = resident(REQUEST_MAX);
	while (!fuse_session_exited(session)) {
		n = fuse_session_receive_buf(session, &buf);
		if (n > 0)
			fuse_session_process_buf(session, &buf);
		else if (n != -EINTR)
			break;
	}
	_exit(0);
}

static noreturn void serve(struct fuse_session *session)
{
	pthread_t thread;

	for (unsigned int i = 1; i < servers; i++)
		if (pthread_create(&thread, NULL, serve_requests, session))
			die("thread");
	serve_requests(session);
	_exit(1);
}

static void set_bdi(const char *bdi, const char *name, const char *value)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/bdi/%s/%s", bdi, name);
	if (access(path, F_OK) && errno == ENOENT)
		return;
	file = fopen(path, "we");
	if (!file || fputs(value, file) < 0 || fclose(file))
		die(path);
}

/* The kernel's default limits such a device's dirty pages to so few that it stalls. */
void fuse_tune(const char *mountpoint)
{
	char bdi[32];
	struct stat st;

	if (stat(mountpoint, &st))
		die(mountpoint);
	snprintf(bdi, sizeof(bdi), "%u:%u", major(st.st_dev), minor(st.st_dev));
	set_readahead(bdi, READAHEAD);
	set_bdi(bdi, "max_ratio", "100");
	/* New kernels have a second limit, that of the device alone. */
	set_bdi(bdi, "strict_limit", "0");
}

static void start(const struct testcase *t)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session;
	int mountpoint = open(MOUNTPOINT, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);

	if (mountpoint < 0)
		die(MOUNTPOINT);
	close(mountpoint);
	if (fuse_opt_add_arg(&args, "bench"))
		die("FUSE");
	session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!session || fuse_session_mount(session, MOUNTPOINT))
		die("FUSE");
	server = fork();
	if (server < 0)
		die("fork");
	if (!server)
		serve(session);
	close(fuse_session_fd(session));
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
	return map_file(fd, t);
}

static void stop(const struct testcase *t)
{
	umount2(MOUNTPOINT, MNT_DETACH);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}

const struct system fuse_system = {
	.name = "fuse",
	.start = start,
	.map = map,
	.stop = stop,
};
