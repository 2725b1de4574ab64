// SPDX-License-Identifier: MIT
/* memory-pager TARGET: a whole pager, whose store is memory and ends with it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <extpager.h>

static struct extpager *pager;
static char *store;

/* Pages are missing: here they are. */
static void data_request(struct extpager *p, struct extpager_req *req, void *user)
{
	uint64_t offset = extpager_req_offset(req);

	extpager_supply(req, offset, store + offset, extpager_req_length(req));
}

/* Dirty pages come back, or a range that is zeros from now on. */
static void data_return(struct extpager *p, struct extpager_req *req, void *user)
{
	uint64_t offset = extpager_req_offset(req), length = extpager_req_length(req);
	int ret = 0;

	if (extpager_req_zero(req))
		memset(store + offset, 0, length);
	else
		ret = extpager_fetch(req, offset, store + offset, length);
	extpager_return_done(req, ret ? EIO : 0);
}

static void stop(int sig)
{
	extpager_stop(pager);
}

int main(int argc, char **argv)
{
	const struct extpager_params params = { .size = sizeof(params), .nr_queues = 1 };
	const struct extpager_ops ops = { .size = sizeof(ops), .data_request = data_request,
					  .data_return = data_return };
	uint64_t bytes;
	int ret;

	ret = extpager_open(&pager, &params, &ops, NULL);
	if (!ret)
		ret = extpager_attach(pager, argc == 2 ? argv[1] : "", NULL, &bytes);
	if (!ret) {
		signal(SIGTERM, stop);
		store = calloc(1, bytes);
		ret = store ? extpager_run(pager) : -ENOMEM;
	}
	if (ret)
		fprintf(stderr, "memory-pager: %s\n", strerror(-ret));
	extpager_close(pager);
	return ret != 0;
}
