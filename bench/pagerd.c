// SPDX-License-Identifier: GPL-2.0-only
/*
 * extpager as pagerd serves it: many reads of the store at once, by a thread for
 * each CPU. The store is read and written by pagerd, which copies, or by the
 * kernel, which is told where the bytes lie: of each page when it is asked for,
 * or of all beforehand.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <extpager.h>
#include <extpager-control.h>

#include "bench.h"

#define TARGET		"bench"

static pid_t pagerd;
static int fd;
static struct extpager_ctl *control;

/* The library's functions return -errno. */
static void check(int ret, const char *what)
{
	if (ret >= 0)
		return;
	errno = -ret;
	die(what);
}

static void add_target(const struct testcase *t)
{
	struct extpager_target target = {
		.size = sizeof(target),
		.set = EXTPAGER_SET_STORE | EXTPAGER_SET_BYTES | EXTPAGER_SET_READ_ONLY,
		.name = TARGET,
		.bytes = STORE_BYTES,
		.read_only = !t->batch,
	};

	snprintf(target.store, sizeof(target.store), "block:%s?length=%lu", store_path(),
		 STORE_BYTES);
	check(extpager_target_add(control, &target), "extpager_target_add");
}

static void wait_until_live(void)
{
	struct extpager_target target = { .size = sizeof(target) };

	do {
		usleep(1000);
		check(extpager_target_get(control, TARGET, &target), "extpager_target_get");
		if (waitpid(pagerd, NULL, WNOHANG))
			die("pagerd");
	} while (strcmp(extpager_state_name(target.state), "live"));
}

static void start_pagerd(const struct testcase *t, char *option)
{
	char *const argv[] = { "pagerd", "--only", TARGET, option, NULL };

	check(extpager_ctl_open(&control), "extpager_ctl_open");
	add_target(t);
	pagerd = fork();
	if (pagerd < 0)
		die("fork");
	if (!pagerd) {
		/* What it says is not for the host. */
		if (freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr))
			execvp(*argv, argv);
		_exit(127);
	}
	wait_until_live();
	fd = extpager_client_open(TARGET, open_flags(t));
	check(fd, "extpager_client_open");
}

static void start_copy(const struct testcase *t)
{
	start_pagerd(t, "--no-kernel-reads");
}

static void start_file(const struct testcase *t)
{
	start_pagerd(t, "--no-delegate");
}

/* As it serves devices when it is told nothing. */
static void start_delegated(const struct testcase *t)
{
	start_pagerd(t, NULL);
}

static char *map(const struct testcase *t)
{
	return map_file(fd, t);
}

/* Pages that are here cost the same whoever brought them. */
static bool is_of_pages(const struct testcase *t)
{
	return !t->cached || t->batch;
}

static int find(const struct extpager_stats *s, void *value)
{
	for (unsigned int i = 0; i < s->nr; i++)
		if (!strcmp(s->counter[i].name, "data-requests") ||
		    !strcmp(s->counter[i].name, "data-returns"))
			*(uint64_t *)value += s->counter[i].value;
	return 0;
}

static uint64_t requests(void)
{
	uint64_t value = 0;

	check(extpager_stats_get(control, TARGET, find, &value), "extpager_stats_get");
	return value;
}

/* Faults that no pager was asked for. */
static uint64_t unasked(void)
{
	return major_faults() - requests();
}

static void stop(const struct testcase *t)
{
	struct extpager_target target = { .size = sizeof(target) };
	int ret;

	kill(pagerd, SIGKILL);
	waitpid(pagerd, NULL, 0);
	check(extpager_target_del(control, TARGET, true), "extpager_target_del");
	/* The name is free when a worker is done. */
	do {
		usleep(1000);
		ret = extpager_target_get(control, TARGET, &target);
	} while (!ret);
	if (ret != -ENOENT)
		check(ret, "extpager_target_get");
	extpager_ctl_close(control);
}

const struct system pagerd_copy_system = {
	.name = "extpager-copy",
	.start = start_copy,
	.map = map,
	.requests = requests,
	.stop = stop,
};

const struct system pagerd_file_system = {
	.name = "extpager-file",
	.start = start_file,
	.map = map,
	.requests = requests,
	.stop = stop,
};

const struct system pagerd_delegate_system = {
	.name = "extpager-delegate",
	.start = start_delegated,
	.map = map,
	.requests = unasked,
	.stop = stop,
};

/* Where instructions are counted, beside a pager that does no more than it must. */
const struct system pagerd_copying_system = {
	.name = "pagerd-copy",
	.can = is_of_pages,
	.start = start_copy,
	.map = map,
	.requests = requests,
	.stop = stop,
};

const struct system pagerd_telling_system = {
	.name = "pagerd-file",
	.can = is_of_pages,
	.start = start_file,
	.map = map,
	.requests = requests,
	.stop = stop,
};
