// SPDX-License-Identifier: GPL-2.0-only
/*
 * pagerctl top: what targets do, from two looks at their counters. On a
 * terminal one table over the last one, else one after the other.
 */
#include "pagerctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "units.h"

#define INTERVAL_MS	2000
/* Columns beside the name, and those of a terminal that does not say. */
#define OTHERS		70
#define COLUMNS		80

/* One target at one moment. */
struct sample {
	char name[64];
	uint64_t faults, supplied, returned;	/* pages the last two */
	uint64_t dirty, quota, spilled;
	uint32_t state, pending, port;
};

struct look {
	uint64_t at_ms;
	size_t nr;
	struct sample *samples;
};

/* A target and what it did since the look before. */
struct line {
	const struct sample *now;
	uint64_t faults, supplied, returned;	/* a second; bytes the last two */
};

static void *grow(void *items, size_t nr, size_t size)
{
	items = reallocarray(items, nr, size);
	if (!items) {
		fail("no memory");
		exit(EXIT_FAILED);
	}
	return items;
}

static int take_target(const struct extpager_target *t, void *arg)
{
	struct look *look = arg;
	struct sample *s;

	look->samples = grow(look->samples, look->nr + 1, sizeof(*s));
	s = memset(&look->samples[look->nr++], 0, sizeof(*s));
	strcpy(s->name, t->name);
	s->dirty = t->dirty;
	s->quota = t->quota;
	s->spilled = t->spilled;
	s->state = t->state;
	s->pending = t->pending;
	s->port = t->port;
	return 0;
}

static struct sample *find(const struct look *look, const char *name)
{
	size_t i;

	for (i = 0; i < look->nr; i++) {
		if (!strcmp(look->samples[i].name, name))
			return &look->samples[i];
	}
	return NULL;
}

static int take_stats(const struct extpager_stats *stats, void *arg)
{
	struct sample *s = stats->target[0] ? find(arg, stats->target) : NULL;
	unsigned int i;

	for (i = 0; s && i < stats->nr; i++) {
		const struct extpager_counter *c = &stats->counter[i];

		if (!strcmp(c->name, "gate-waits"))
			s->faults = c->value;
		else if (!strcmp(c->name, "pages-returned"))
			s->returned = c->value;
		else if (!strcmp(c->name, "pages-copied") || !strcmp(c->name, "pages-zeroed") ||
			 !strcmp(c->name, "pages-pushed") || !strcmp(c->name, "pages-read"))
			s->supplied += c->value;
	}
	return 0;
}

static void look_at(struct extpager_ctl *c, struct look *look)
{
	int ret;

	memset(look, 0, sizeof(*look));
	ret = extpager_target_list(c, take_target, look);
	if (!ret)
		ret = extpager_stats_get(c, NULL, take_stats, look);
	look->at_ms = now_ms();
	if (ret) {
		fail("cannot read statistics: %s", said(c, ret));
		exit(EXIT_FAILED);
	}
}

/* A target of this name may be another one by now, with counters from 0. */
static uint64_t rate(uint64_t before, uint64_t now, uint64_t unit, uint64_t ms)
{
	return now < before ? 0 : (now - before) * unit * 1000 / ms;
}

static int busiest_first(const void *a, const void *b)
{
	const struct line *one = a, *two = b;
	uint64_t left = one->supplied + one->returned, right = two->supplied + two->returned;

	if (left != right)
		return left < right ? 1 : -1;
	return strcmp(one->now->name, two->now->name);
}

static struct line *compare(const struct look *before, const struct look *now)
{
	struct line *lines = grow(NULL, now->nr + 1, sizeof(*lines));
	uint64_t ms = now->at_ms > before->at_ms ? now->at_ms - before->at_ms : 1;
	uint64_t page = sysconf(_SC_PAGESIZE);
	size_t i;

	for (i = 0; i < now->nr; i++) {
		const struct sample *s = &now->samples[i], *old = find(before, s->name);

		lines[i] = (struct line){ .now = s };
		if (!old)
			continue;
		lines[i].faults = rate(old->faults, s->faults, 1, ms);
		lines[i].supplied = rate(old->supplied, s->supplied, page, ms);
		lines[i].returned = rate(old->returned, s->returned, page, ms);
	}
	qsort(lines, now->nr, sizeof(*lines), busiest_first);
	return lines;
}

static void print_json(const struct line *lines, size_t nr, uint64_t ms)
{
	cJSON *root = json_begin(), *array;
	struct timespec now;
	size_t i;

	clock_gettime(CLOCK_REALTIME, &now);
	json_u64(root, "time_ms", (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
	json_u64(root, "interval_ms", ms);
	array = cJSON_AddArrayToObject(root, "targets");
	for (i = 0; i < nr; i++) {
		const struct sample *s = lines[i].now;
		cJSON *item = cJSON_CreateObject();

		cJSON_AddStringToObject(item, "name", s->name);
		cJSON_AddStringToObject(item, "state", extpager_state_name(s->state));
		json_u64(item, "port", s->port);
		json_u64(item, "faults_per_s", lines[i].faults);
		json_u64(item, "supplied_bytes_per_s", lines[i].supplied);
		json_u64(item, "returned_bytes_per_s", lines[i].returned);
		json_u64(item, "dirty", s->dirty);
		json_u64(item, "quota", s->quota);
		json_u64(item, "spilled", s->spilled);
		json_u64(item, "pending", s->pending);
		cJSON_AddItemToArray(array, item);
	}
	json_end(root, true);
}

static void print_table(const struct line *lines, size_t nr, bool live)
{
	const char *end = live ? "\033[K\n" : "\n";
	char text[4][UNITS_MAX], line[160];
	int columns, rows, name;
	size_t i, shown = nr;

	terminal_size(&columns, &rows);
	if (!columns)
		columns = COLUMNS;
	name = columns > OTHERS + 8 ? columns - OTHERS - 1 : 8;
	if (name > 24)
		name = 24;
	if (live && rows > 2 && shown > (size_t)rows - 2)
		shown = rows - 2;
	if (live)
		fputs("\033[H", stdout);
	snprintf(line, sizeof(line), "%-*s %-8s %8s %10s %10s %10s %10s %7s", name, "TARGET",
		 "STATE", "FAULTS/s", "SUPPLIED/s", "RETURNED/s", "DIRTY", "SPILLED", "PENDING");
	printf("%.*s%s", columns, line, end);
	for (i = 0; i < shown; i++) {
		const struct line *l = &lines[i];

		snprintf(line, sizeof(line),
			 "%-*.*s %-8s %8" PRIu64 " %10s %10s %10s %10s %7" PRIu32, name, name,
			 l->now->name, extpager_state_name(l->now->state), l->faults,
			 units_format_size(l->supplied, text[0], sizeof(text[0])),
			 units_format_size(l->returned, text[1], sizeof(text[1])),
			 units_format_size(l->now->dirty, text[2], sizeof(text[2])),
			 units_format_size(l->now->spilled, text[3], sizeof(text[3])),
			 l->now->pending);
		printf("%.*s%s", columns, line, end);
	}
	fputs(live ? "\033[J" : "\n", stdout);
	fflush(stdout);
}

static void sleep_ms(uint32_t ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

int top(struct args *args)
{
	bool live = !want_json && isatty(STDOUT_FILENO);
	uint32_t interval = args->interval_ms ? args->interval_ms : INTERVAL_MS, n;
	struct extpager_ctl *c = open_ctl();
	struct look before, now;
	struct line *lines;

	look_at(c, &before);
	if (live)
		fputs("\033[H\033[J", stdout);
	for (n = 0; !args->count || n < args->count; n++) {
		sleep_ms(interval);
		look_at(c, &now);
		lines = compare(&before, &now);
		if (want_json)
			print_json(lines, now.nr, now.at_ms - before.at_ms);
		else
			print_table(lines, now.nr, live);
		free(lines);
		free(before.samples);
		before = now;
		if (ferror(stdout))
			return EXIT_FAILED;
	}
	free(before.samples);
	extpager_ctl_close(c);
	return 0;
}
