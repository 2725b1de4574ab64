// SPDX-License-Identifier: GPL-2.0-only
/* pagerctl pager list, stats, monitor. */
#include "pagerctl.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "units.h"

/* ---- pager list -------------------------------------------------------- */

static int port_json(const struct extpager_port_info *info, void *arg)
{
	cJSON *port = cJSON_CreateObject(), *queues;
	unsigned int i;

	json_u64(port, "port", info->id);
	if (info->pid)
		json_u64(port, "pid", info->pid);
	json_u64(port, "uid", info->uid);
	cJSON_AddBoolToObject(port, "alive", info->alive);
	json_u64(port, "targets", info->targets);
	json_u64(port, "objects", info->objects);
	queues = cJSON_AddArrayToObject(port, "queues");
	for (i = 0; i < info->nr_queues; i++) {
		const struct extpager_queue_info *q = &info->queue[i];
		cJSON *queue = cJSON_CreateObject();

		json_u64(queue, "index", q->index);
		json_u64(queue, "entries", q->entries);
		json_u64(queue, "events", q->events);
		json_u64(queue, "replies", q->replies);
		json_u64(queue, "bad_replies", q->bad_replies);
		json_u64(queue, "backlog", q->backlog);
		cJSON_AddItemToArray(queues, queue);
	}
	cJSON_AddItemToArray(arg, port);
	return 0;
}

static const char *number(uint64_t value, char *buf)
{
	snprintf(buf, UNITS_MAX, "%" PRIu64, value);
	return buf;
}

static int port_row(const struct extpager_port_info *info, void *arg)
{
	uint64_t events = 0, bad = 0, backlog = 0;
	char text[8][UNITS_MAX];
	unsigned int i;

	for (i = 0; i < info->nr_queues; i++) {
		events += info->queue[i].events;
		bad += info->queue[i].bad_replies;
		backlog += info->queue[i].backlog;
	}
	{
		const struct passwd *user = getpwuid(info->uid);
		const char *const cells[] = {
			number(info->id, text[0]),
			info->pid ? number(info->pid, text[1]) : "-",
			user ? user->pw_name : number(info->uid, text[2]),
			!info->alive ? "gone" : backlog ? "behind" : "alive",
			number(info->targets, text[3]),
			number(info->objects, text[4]),
			number(info->nr_queues, text[5]),
			number(events, text[6]),
			number(bad, text[7]),
		};

		table_row(arg, cells);
	}
	return 0;
}

int pager_list(struct args *args)
{
	static const char *const names[] = {
		">PORT", ">PID", "USER", "STATE", ">TARGETS", ">OBJECTS", ">QUEUES",
		">EVENTS", ">REFUSED",
	};
	struct extpager_ctl *c = open_ctl();
	int ret;

	(void)args;
	if (want_json) {
		cJSON *root = json_begin();
		cJSON *array = cJSON_AddArrayToObject(root, "pagers");

		ret = extpager_port_list(c, port_json, array);
		if (!ret)
			json_end(root, false);
	} else {
		struct table table;

		table_begin(&table, sizeof(names) / sizeof(names[0]), names);
		ret = extpager_port_list(c, port_row, &table);
		if (!ret)
			table_end(&table);
	}
	if (ret)
		ret = fail("cannot list pagers: %s", said(c, ret));
	extpager_ctl_close(c);
	return ret;
}

/* ---- stats ------------------------------------------------------------- */

static int stats_json(const struct extpager_stats *s, void *arg)
{
	cJSON *stats = cJSON_CreateObject(), *counters;
	unsigned int i;

	json_whose(stats, s);
	counters = cJSON_AddObjectToObject(stats, "counters");
	for (i = 0; i < s->nr; i++)
		json_u64(counters, s->counter[i].name, s->counter[i].value);
	cJSON_AddItemToArray(arg, stats);
	return 0;
}

static int stats_text(const struct extpager_stats *s, void *arg)
{
	unsigned int i;

	(void)arg;
	print_whose(s);
	for (i = 0; i < s->nr; i++)
		printf("  %-20s %12" PRIu64 "\n", s->counter[i].name, s->counter[i].value);
	return 0;
}

int stats_show(struct args *args)
{
	struct extpager_ctl *c = open_ctl();
	int ret;

	if (want_json) {
		cJSON *root = json_begin();
		cJSON *array = cJSON_AddArrayToObject(root, "stats");

		ret = extpager_stats_get(c, args->name, stats_json, array);
		if (!ret)
			json_end(root, false);
	} else {
		ret = extpager_stats_get(c, args->name, stats_text, NULL);
	}
	if (ret && args->name)
		ret = fail_target(args->name, c, ret);
	else if (ret)
		ret = fail("cannot read statistics: %s", said(c, ret));
	extpager_ctl_close(c);
	return ret;
}

/* ---- monitor ----------------------------------------------------------- */

static int tell_event(unsigned int event, const struct extpager_target *t, void *arg)
{
	struct timespec now;
	char text[64];
	struct tm tm;

	(void)arg;
	clock_gettime(CLOCK_REALTIME, &now);
	if (want_json) {
		cJSON *root = json_begin();

		json_u64(root, "time_ms", (uint64_t)now.tv_sec * 1000 +
			 (uint64_t)now.tv_nsec / 1000000);
		cJSON_AddStringToObject(root, "event", extpager_event_name(event));
		cJSON_AddItemToObject(root, "target", target_json(t));
		json_end(root, true);
		return 0;
	}
	localtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf("%s.%03ld  %-10s %s", text, now.tv_nsec / 1000000,
	       extpager_event_name(event), t->name);
	if (t->state)
		printf("  (%s)", extpager_state_name(t->state));
	putchar('\n');
	fflush(stdout);
	return 0;
}

/* Events were lost: what a watcher believes may be wrong. */
static void tell_lost(void)
{
	if (want_json) {
		cJSON *root = json_begin();

		cJSON_AddStringToObject(root, "event", "lost");
		json_end(root, true);
	} else {
		printf("events were lost: see `pagerctl target list`\n");
		fflush(stdout);
	}
}

int monitor(struct args *args)
{
	struct extpager_ctl *c = open_ctl();
	struct pollfd fd = { .events = POLLIN };
	int ret;

	(void)args;
	ret = extpager_ctl_subscribe(c);
	if (ret)
		return fail("cannot subscribe to events: %s", said(c, ret));
	fd.fd = extpager_ctl_fd(c);
	for (;;) {
		if (poll(&fd, 1, -1) < 0 && errno != EINTR)
			return fail("cannot wait for events: %s", strerror(errno));
		ret = extpager_ctl_read(c, tell_event, NULL);
		if (ret == -ENOBUFS)
			tell_lost();
		else if (ret && ret != -EAGAIN && ret != -EINTR)
			return fail("cannot read events: %s", said(c, ret));
		if (ferror(stdout))
			return EXIT_FAILED;
	}
}
