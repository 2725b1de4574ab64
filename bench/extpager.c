// SPDX-License-Identifier: GPL-2.0-only
/*
 * extpager by COPY: a pager in a process of its own reads the store into its
 * buffer; one ENTER supplies that and waits for the next request.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <extpager.h>

#include "bench.h"

#define ENTRIES		16
#define REQUEST_MAX	(2UL << 20)
#define READAHEAD	REQUEST_MAX

static pid_t pager;
static int object;
static char *buffers;

/* A deferred supply's buffer is reused after as many callbacks as entries. */
static char *next_buffer(void)
{
	static unsigned int n;

	return buffers + n++ % ENTRIES * REQUEST_MAX;
}

static void data_request(struct extpager *p, struct extpager_req *req, void *unused)
{
	uint64_t offset = extpager_req_offset(req), length = extpager_req_length(req);
	char *buf = next_buffer();

	note_request();
	store_read(buf, length, offset);
	extpager_supply_deferred(req, offset, buf, length);
}

static void data_return(struct extpager *p, struct extpager_req *req, void *unused)
{
	uint64_t offset = extpager_req_offset(req), length = extpager_req_length(req);
	char *buf = next_buffer();
	int ret = extpager_fetch(req, offset, buf, length);

	note_request();
	if (!ret)
		store_write(buf, length, offset);
	extpager_return_done(req, -ret);
}

static void sync_request(struct extpager *p, struct extpager_req *req, void *unused)
{
	note_request();
	store_sync();
	extpager_sync_done(req, 0);
}

static noreturn void be_pager(int sock, const struct testcase *t)
{
	const struct extpager_params params = {
		.size = sizeof(params),
		.nr_queues = 1,
		.ring_entries = ENTRIES,
	};
	const struct extpager_ops ops = {
		.size = sizeof(ops),
		.data_request = data_request,
		.data_return = data_return,
		.sync = sync_request,
	};
	struct extpager *p;
	int ret, fd;

	buffers = resident(ENTRIES * REQUEST_MAX);
	ret = extpager_open(&p, &params, &ops, NULL);
	if (!ret) {
		uint64_t id;

		fd = extpager_object_create(p, STORE_BYTES, t->batch ? 0 : EXTPAGER_CREATE_RDONLY,
					    &id);
		if (fd >= 0) {
			close(fd);
			set_readahead("extpager-port.*", READAHEAD);
			fd = extpager_object_open(p, id, open_flags(t));
		}
		ret = fd < 0 ? fd : extpager_send_fd(sock, fd, NULL, 0);
		close(fd);
	}
	if (!ret)
		ret = extpager_run(p);
	errno = -ret;
	die("pager");
}

static void start(const struct testcase *t)
{
	int sock[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sock))
		die("socketpair");
	pager = fork();
	if (pager < 0)
		die("fork");
	if (!pager) {
		close(sock[0]);
		be_pager(sock[1], t);
	}
	close(sock[1]);
	object = extpager_recv_fd(sock[0], NULL, NULL);
	if (object < 0) {
		errno = -object;
		die("extpager_recv_fd");
	}
	close(sock[0]);
}

static char *map(const struct testcase *t)
{
	return map_file(object, t);
}

static void stop(void)
{
	kill(pager, SIGKILL);
	waitpid(pager, NULL, 0);
}

const struct system extpager_copy_system = { "extpager-copy", NULL, start, map, NULL, stop };
