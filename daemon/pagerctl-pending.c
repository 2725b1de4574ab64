// SPDX-License-Identifier: GPL-2.0-only
/* pagerctl pending: who waits for what, and for how long already. */
#include "pagerctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

struct list {
	const char *target;	/* NULL: all */
	size_t nr;
	struct extpager_pending *items;
};

static int collect(const struct extpager_pending *p, void *arg)
{
	struct list *list = arg;
	struct extpager_pending *items;

	if (list->target && strcmp(list->target, p->target))
		return 0;
	items = reallocarray(list->items, list->nr + 1, sizeof(*items));
	if (!items)
		return fail("no memory");
	list->items = items;
	items[list->nr++] = *p;
	return 0;
}

static int by_age(const void *a, const void *b)
{
	const struct extpager_pending *one = a, *two = b;

	return one->age_ms < two->age_ms ? 1 : -(one->age_ms > two->age_ms);
}

static const char *time_text(uint64_t ms, char *text)
{
	snprintf(text, UNITS_MAX, "%" PRIu64 ".%u s", ms / 1000, (unsigned int)(ms % 1000 / 100));
	return text;
}

static void print_text(const struct list *list)
{
	static const char *const names[] = {
		"TARGET", "REQUEST", "PLACE", ">AGE", ">LEFT", ">OFFSET", ">LENGTH", ">PID",
		"TASK", "FLAGS",
	};
	struct table table;
	size_t i;

	table_begin(&table, sizeof(names) / sizeof(names[0]), names);
	for (i = 0; i < list->nr; i++) {
		const struct extpager_pending *p = &list->items[i];
		char name[64], age[UNITS_MAX], left[UNITS_MAX], offset[24], pid[16];
		char length[UNITS_MAX];
		char flags[4] = "";
		const char *const cells[] = {
			name, p->request, p->place, time_text(p->age_ms, age),
			p->left_ms ? time_text(p->left_ms, left) : "-", offset, length,
			pid, p->comm[0] ? p->comm : "-", flags,
		};

		if (p->target[0])
			snprintf(name, sizeof(name), "%s", p->target);
		else
			snprintf(name, sizeof(name), "port %" PRIu32, p->port);
		strcpy(offset, "-");
		strcpy(length, "-");
		if (p->object) {
			snprintf(offset, sizeof(offset), "%" PRIu64, p->offset);
			units_format_size(p->length, length, sizeof(length));
		}
		if (p->pid)
			snprintf(pid, sizeof(pid), "%" PRIu32, p->pid);
		else
			strcpy(pid, "-");
		snprintf(flags, sizeof(flags), "%s%s%s", p->zero ? "z" : "",
			 p->prefetch ? "p" : "", p->resent ? "r" : "");
		table_row(&table, cells);
	}
	table_end(&table);
}

static void print_json(const struct list *list)
{
	cJSON *root = json_begin(), *array = cJSON_AddArrayToObject(root, "pending");
	size_t i;

	for (i = 0; i < list->nr; i++) {
		const struct extpager_pending *p = &list->items[i];
		cJSON *item = cJSON_CreateObject();

		if (p->target[0])
			cJSON_AddStringToObject(item, "target", p->target);
		else
			json_u64(item, "port", p->port);
		cJSON_AddStringToObject(item, "request", p->request);
		cJSON_AddStringToObject(item, "place", p->place);
		if (p->object) {
			json_u64(item, "object", p->object);
			json_u64(item, "offset", p->offset);
			json_u64(item, "length", p->length);
		}
		json_u64(item, "age_ms", p->age_ms);
		if (p->left_ms)
			json_u64(item, "left_ms", p->left_ms);
		cJSON_AddBoolToObject(item, "zero", p->zero);
		cJSON_AddBoolToObject(item, "prefetch", p->prefetch);
		cJSON_AddBoolToObject(item, "resent", p->resent);
		if (p->pid)
			json_u64(item, "pid", p->pid);
		if (p->comm[0])
			cJSON_AddStringToObject(item, "task", p->comm);
		cJSON_AddItemToArray(array, item);
	}
	json_end(root, false);
}

int pending_list(struct args *args)
{
	struct extpager_target t = { .size = sizeof(t) };
	struct list list = { .target = args->name };
	struct extpager_ctl *c = open_ctl();
	int ret = 0;

	/* An empty list would hide a name that was mistyped. */
	if (args->name)
		ret = extpager_target_get(c, args->name, &t);
	if (ret) {
		ret = fail_target(args->name, c, ret);
	} else {
		ret = extpager_pending_list(c, collect, &list);
		if (ret < 0)
			ret = fail("cannot list requests: %s", said(c, ret));
	}
	if (!ret) {
		qsort(list.items, list.nr, sizeof(*list.items), by_age);
		if (want_json)
			print_json(&list);
		else
			print_text(&list);
	}
	free(list.items);
	extpager_ctl_close(c);
	return ret;
}
