// SPDX-License-Identifier: GPL-2.0-only
/* pagerctl latency: histograms as bars of text. */
#include "pagerctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "histogram.h"

#define BAR	42

static void print_bars(const struct extpager_latency *l)
{
	unsigned int first, end, i;
	uint64_t most = 1;
	char from[HISTOGRAM_TEXT], to[HISTOGRAM_TEXT];

	histogram_range(l, &first, &end);
	for (i = first; i < end; i++) {
		if (l->bucket[i] > most)
			most = l->bucket[i];
	}
	for (i = first; i < end; i++) {
		/* What was counted shows, be it ever so little. */
		int bar = (int)((double)l->bucket[i] * BAR / (double)most + 0.5);

		if (l->bucket[i] && !bar)
			bar = 1;
		if (i + 1 == l->nr)
			strcpy(to, "");
		else
			histogram_bound(i + 1, to);
		printf("  %7s - %-7s %10" PRIu64 " |%.*s\n", histogram_bound(i, from), to,
		       l->bucket[i], bar, "##########################################");
	}
}

static void print_histogram(const struct extpager_latency *l)
{
	char mean[HISTOGRAM_TEXT], half[HISTOGRAM_TEXT], most[HISTOGRAM_TEXT];

	printf("\n%s, %s: %" PRIu64 ", mean %s, half below %s, 99%% below %s\n",
	       l->request, l->phase, l->count, histogram_time(l->sum_ns / l->count, mean),
	       histogram_quantile(l, 0.5, half), histogram_quantile(l, 0.99, most));
	print_bars(l);
}

static int show_text(const struct extpager_stats *s, void *arg)
{
	unsigned int i;

	(void)arg;
	print_whose(s);
	if (!s->nr_latencies)
		printf("\nno request was answered yet\n");
	for (i = 0; i < s->nr_latencies; i++)
		print_histogram(&s->latency[i]);
	putchar('\n');
	return 0;
}

static int show_json(const struct extpager_stats *s, void *arg)
{
	cJSON *item = cJSON_CreateObject(), *list;
	unsigned int i, j;

	json_whose(item, s);
	list = cJSON_AddArrayToObject(item, "histograms");
	for (i = 0; i < s->nr_latencies; i++) {
		const struct extpager_latency *l = &s->latency[i];
		cJSON *histogram = cJSON_CreateObject(), *buckets;

		cJSON_AddStringToObject(histogram, "request", l->request);
		cJSON_AddStringToObject(histogram, "phase", l->phase);
		json_u64(histogram, "count", l->count);
		json_u64(histogram, "sum_ns", l->sum_ns);
		buckets = cJSON_AddArrayToObject(histogram, "buckets");
		for (j = 0; j < l->nr; j++) {
			cJSON *bucket = cJSON_CreateObject();

			/* The last one has no end. */
			if (j + 1 < l->nr)
				json_u64(bucket, "below_us", 1ULL << j);
			json_u64(bucket, "count", l->bucket[j]);
			cJSON_AddItemToArray(buckets, bucket);
		}
		cJSON_AddItemToArray(list, histogram);
	}
	cJSON_AddItemToArray(arg, item);
	return 0;
}

static int draw(const struct extpager_stats *s, void *arg)
{
	const struct args *args = arg;

	return latency_svg(s, args->file);
}

int latency_show(struct args *args)
{
	struct extpager_ctl *c;
	int ret;

	if (args->file && !args->name)
		usage_error("latency NAME --svg FILE", "--svg draws one target: which?");
	if (args->file && want_json)
		usage_error("latency NAME --svg FILE", "--svg and --json exclude each other");
	c = open_ctl();
	if (args->file) {
		ret = extpager_stats_get(c, args->name, draw, args);
	} else if (want_json) {
		cJSON *root = json_begin();
		cJSON *array = cJSON_AddArrayToObject(root, "latencies");

		ret = extpager_stats_get(c, args->name, show_json, array);
		if (!ret)
			json_end(root, false);
	} else {
		ret = extpager_stats_get(c, args->name, show_text, NULL);
	}
	if (ret < 0 && args->name)
		ret = fail_target(args->name, c, ret);
	else if (ret < 0)
		ret = fail("cannot read statistics: %s", said(c, ret));
	extpager_ctl_close(c);
	return ret;
}
