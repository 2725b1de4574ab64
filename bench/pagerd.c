// SPDX-License-Identifier: GPL-2.0-only
/*
 * extpager as pagerd serves it, for the machine with a clock: many reads of the
 * store at once, by a thread for each CPU. The store is read by pagerd, which
 * supplies copies, or by the kernel, which is told where the bytes lie: of each
 * page when it is asked for, or of all beforehand.
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
#define ASKED		"data-requests"

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

static void add_target(void)
{
	struct extpager_target target = {
		.size = sizeof(target),
		.set = EXTPAGER_SET_STORE | EXTPAGER_SET_BYTES | EXTPAGER_SET_READ_ONLY,
		.name = TARGET,
		.bytes = STORE_BYTES,
		.read_only = true,
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

static void start_pagerd(char *option)
{
	char *const argv[] = { "pagerd", "--only", TARGET, option, NULL };

	check(extpager_ctl_open(&control), "extpager_ctl_open");
	add_target();
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
	fd = extpager_client_open(TARGET, O_RDONLY);
	check(fd, "extpager_client_open");
}

static void start_copy(const struct testcase *t)
{
	start_pagerd("--no-kernel-reads");
}

static void start_file(const struct testcase *t)
{
	start_pagerd("--no-delegate");
}

/* As it serves devices when it is told nothing. */
static void start_delegated(const struct testcase *t)
{
	start_pagerd(NULL);
}

static char *map(const struct testcase *t)
{
	return map_file(fd, t);
}

static int find(const struct extpager_stats *s, void *value)
{
	for (unsigned int i = 0; i < s->nr; i++)
		if (!strcmp(s->counter[i].name, ASKED))
			*(uint64_t *)value = s->counter[i].value;
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
