// SPDX-License-Identifier: GPL-2.0-only
/*
 * extpager by COPY: a pager in a process of its own reads the store into its
 * buffer; one ENTER supplies that and waits for the next request.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <extpager.h>

#include "bench.h"

#define ENTRIES		16
#define REQUEST_MAX	(2UL << 20)

static pid_t pager;
static int object;
static uint64_t *served;		/* shared by client and pager */

/* A deferred supply's buffer is reused after as many callbacks as entries. */
static void data_request(struct extpager *p, struct extpager_req *req, void *buffers)
{
	char *buf = (char *)buffers + (*served)++ % ENTRIES * REQUEST_MAX;
	uint64_t offset = extpager_req_offset(req);
	uint64_t length = extpager_req_length(req);

	(void)p;
	store_read(buf, length, offset);
	extpager_supply_deferred(req, offset, buf, length);
}

static noreturn void be_pager(int sock)
{
	const struct extpager_params params = {
		.size = sizeof(params),
		.nr_queues = 1,
		.ring_entries = ENTRIES,
	};
	const struct extpager_ops ops = { .size = sizeof(ops), .data_request = data_request };
	struct extpager *p;
	int ret, fd;

	ret = extpager_open(&p, &params, &ops, resident(ENTRIES * REQUEST_MAX));
	if (!ret) {
		fd = extpager_object_create(p, STORE_BYTES, EXTPAGER_CREATE_RDONLY, NULL);
		ret = fd < 0 ? fd : extpager_send_fd(sock, fd, NULL, 0);
		close(fd);
	}
	if (!ret)
		ret = extpager_run(p);
	errno = -ret;
	die("pager");
}

static void start(unsigned int run)
{
	int sock[2];

	(void)run;
	served = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (served == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM, 0, sock))
		die("socketpair");
	pager = fork();
	if (pager < 0)
		die("fork");
	if (!pager) {
		close(sock[0]);
		be_pager(sock[1]);
	}
	close(sock[1]);
	object = extpager_recv_fd(sock[0], NULL, NULL);
	if (object < 0) {
		errno = -object;
		die("extpager_recv_fd");
	}
	close(sock[0]);
}

static char *map(void)
{
	char *p = mmap(NULL, STORE_BYTES, PROT_READ, MAP_SHARED, object, 0);

	if (p == MAP_FAILED)
		die("mmap of the object");
	return p;
}

static uint64_t requests(void)
{
	return *served;
}

static void stop(void)
{
	kill(pager, SIGKILL);
	waitpid(pager, NULL, 0);
}

const struct source copy_source = { "extpager-copy", start, map, requests, stop };
