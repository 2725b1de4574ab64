// SPDX-License-Identifier: GPL-2.0-only
/*
 * pagerctl metrics: everything that is counted, as OpenMetrics text. There a
 * family of samples stands together, so all targets are asked first.
 */
#include "pagerctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/extpager_netlink.h>

struct all {
	size_t nr_targets, nr_stats, nr_ports;
	struct extpager_target *targets;
	struct extpager_stats *stats;
	struct extpager_port_info *ports;
};

/* By the counter's name; a family of each. */
static const struct {
	const char *counter;
	const char *help;
} counter_help[] = {
	{ "inits", "INIT events" },
	{ "data-requests", "Requests for pages" },
	{ "pages-requested", "Pages asked for" },
	{ "pages-copied", "Pages supplied by copy" },
	{ "pages-zeroed", "Pages supplied as zeros" },
	{ "pages-pushed", "Pages supplied unasked" },
	{ "pages-failed", "Pages failed by the pager" },
	{ "data-returns", "Returns of dirty pages and zeroed ranges" },
	{ "pages-returned", "Pages that have come back to the store" },
	{ "returns-failed", "Returns that ended with an error" },
	{ "syncs", "Barriers" },
	{ "syncs-failed", "Barriers that ended with an error" },
	{ "terminates", "TERMINATE events" },
	{ "resent", "Requests that a successor was asked again" },
	{ "timeouts", "Requests ended by a deadline" },
	{ "bad-replies", "Refused replies of the pager" },
	{ "gate-waits", "Accesses that waited for a page" },
	{ "quota-waits", "Writers that waited for the quota" },
	{ "orphaned", "Pagers lost" },
	{ "backlogged", "Events that found the ring full" },
	{ "pages-discarded", "Dirty pages given up" },
	{ "pages-spilled", "Pages put into the spill" },
	{ "pages-unspilled", "Pages taken from the spill" },
	{ "spills-failed", "Pages that the spill did not take" },
	{ "warnings", "Requests that half of a deadline passed over" },
	{ "overlaps", "Accesses that waited for a page that had been asked for already" },
	{ "pages-read", "Pages that the kernel read from a registered file" },
	{ "pages-written", "Pages of these that the kernel wrote by itself" },
	{ "diverted", "Events that went to an idle queue, as their own was busy" },
};

/* ---- asking ------------------------------------------------------------ */

static int append(void **items, size_t *nr, const void *item, size_t size)
{
	char *grown = reallocarray(*items, *nr + 1, size);

	if (!grown)
		return fail("no memory");
	memcpy(grown + *nr * size, item, size);
	*items = grown;
	++*nr;
	return 0;
}

static int take_target(const struct extpager_target *t, void *arg)
{
	struct all *all = arg;

	return append((void **)&all->targets, &all->nr_targets, t, sizeof(*t));
}

static int take_stats(const struct extpager_stats *s, void *arg)
{
	struct all *all = arg;

	return append((void **)&all->stats, &all->nr_stats, s, sizeof(*s));
}

static int take_port(const struct extpager_port_info *i, void *arg)
{
	struct all *all = arg;

	return append((void **)&all->ports, &all->nr_ports, i, sizeof(*i));
}

/* ---- telling ----------------------------------------------------------- */

static void family(const char *name, const char *type, const char *unit, const char *help)
{
	printf("# TYPE extpager_%s %s\n", name, type);
	if (unit)
		printf("# UNIT extpager_%s %s\n", name, unit);
	printf("# HELP extpager_%s %s.\n", name, help);
}

/* Of the unnamed objects of a port, its number stands for the name. */
static void labels(const struct extpager_stats *s)
{
	if (s->target[0])
		printf("target=\"%s\"", s->target);
	else
		printf("port=\"%" PRIu32 "\"", s->port);
}

enum gauge { SIZE, RESIDENT, DIRTY, QUOTA, SPILLED, SPILL_LIMIT, SPILL_FULL,
	     PENDING, OPENS, ATTACHED };

static uint64_t gauge_of(const struct extpager_target *t, enum gauge gauge)
{
	switch (gauge) {
	case SIZE:
		return t->bytes;
	case RESIDENT:
		return t->resident;
	case DIRTY:
		return t->dirty;
	case QUOTA:
		return t->quota;
	case SPILLED:
		return t->spilled;
	case SPILL_LIMIT:
		return t->spill_limit;
	case SPILL_FULL:
		return t->spill_full;
	case PENDING:
		return t->pending;
	case OPENS:
		return t->opens;
	default:
		return t->port != 0;
	}
}

static void print_gauge(const struct all *all, enum gauge gauge, const char *name,
			const char *unit, const char *help)
{
	size_t i;

	family(name, "gauge", unit, help);
	for (i = 0; i < all->nr_targets; i++)
		printf("extpager_%s{target=\"%s\"} %" PRIu64 "\n", name, all->targets[i].name,
		       gauge_of(&all->targets[i], gauge));
}

static void print_states(const struct all *all)
{
	unsigned int state;
	size_t i;

	family("target_state", "stateset", NULL, "What state a target is in");
	for (i = 0; i < all->nr_targets; i++) {
		for (state = EXTPAGER_STATE_NEW; state <= EXTPAGER_STATE_DEAD; state++)
			printf("extpager_target_state{target=\"%s\",extpager_target_state=\"%s\"} %d\n",
			       all->targets[i].name, extpager_state_name(state),
			       all->targets[i].state == state);
	}
}

static void print_counter(const struct all *all, const char *counter, const char *help)
{
	unsigned int j;
	char name[64];
	size_t i;

	snprintf(name, sizeof(name), "%s", counter);
	for (i = 0; name[i]; i++) {
		if (name[i] == '-')
			name[i] = '_';
	}
	family(name, "counter", NULL, help);
	for (i = 0; i < all->nr_stats; i++) {
		for (j = 0; j < all->stats[i].nr; j++) {
			if (strcmp(all->stats[i].counter[j].name, counter))
				continue;
			printf("extpager_%s_total{", name);
			labels(&all->stats[i]);
			printf("} %" PRIu64 "\n", all->stats[i].counter[j].value);
		}
	}
}

static void print_histogram(const struct extpager_stats *s, const struct extpager_latency *l)
{
	uint64_t below = 0;
	unsigned int i;

	for (i = 0; i < l->nr; i++) {
		below += l->bucket[i];
		printf("extpager_request_seconds_bucket{");
		labels(s);
		printf(",request=\"%s\",phase=\"%s\",le=\"", l->request, l->phase);
		if (i + 1 < l->nr)
			printf("%.9g\"} %" PRIu64 "\n", (double)(1ULL << i) / 1e6, below);
		else
			printf("+Inf\"} %" PRIu64 "\n", below);
	}
	printf("extpager_request_seconds_count{");
	labels(s);
	printf(",request=\"%s\",phase=\"%s\"} %" PRIu64 "\n", l->request, l->phase, below);
	printf("extpager_request_seconds_sum{");
	labels(s);
	printf(",request=\"%s\",phase=\"%s\"} %" PRIu64 ".%09" PRIu64 "\n", l->request, l->phase,
	       l->sum_ns / 1000000000, l->sum_ns % 1000000000);
}

static void print_histograms(const struct all *all)
{
	unsigned int j;
	size_t i;

	family("request_seconds", "histogram", "seconds",
	       "How long answered requests were queued, in the pager, and waking");
	for (i = 0; i < all->nr_stats; i++) {
		for (j = 0; j < all->stats[i].nr_latencies; j++)
			print_histogram(&all->stats[i], &all->stats[i].latency[j]);
	}
}

static void print_pagers(const struct all *all)
{
	size_t i;

	family("pager_alive", "gauge", NULL, "Whether the pager of a port lives");
	for (i = 0; i < all->nr_ports; i++)
		printf("extpager_pager_alive{port=\"%" PRIu32 "\"} %d\n", all->ports[i].id,
		       all->ports[i].alive);
}

static void print_all(const struct all *all)
{
	size_t i;

	print_states(all);
	print_gauge(all, ATTACHED, "target_attached", NULL, "Whether a pager is attached");
	print_gauge(all, SIZE, "target_size_bytes", "bytes", "Size of a target");
	print_gauge(all, RESIDENT, "target_resident_bytes", "bytes", "In memory");
	print_gauge(all, DIRTY, "target_dirty_bytes", "bytes", "Dirty or on their way back");
	print_gauge(all, QUOTA, "target_quota_bytes", "bytes", "Dirty at a time, at most");
	print_gauge(all, SPILLED, "target_spilled_bytes", "bytes", "In the spill");
	print_gauge(all, SPILL_LIMIT, "target_spill_limit_bytes", "bytes",
		    "In the spill, at most");
	print_gauge(all, SPILL_FULL, "target_spill_full", NULL, "Whether the spill takes no more");
	print_gauge(all, PENDING, "target_pending_requests", NULL, "Unanswered requests");
	print_gauge(all, OPENS, "target_opens", NULL, "Open files and mappings");
	for (i = 0; i < sizeof(counter_help) / sizeof(counter_help[0]); i++)
		print_counter(all, counter_help[i].counter, counter_help[i].help);
	print_histograms(all);
	print_pagers(all);
	printf("# EOF\n");
}

int metrics(struct args *args)
{
	struct extpager_ctl *c;
	struct all all = { 0 };
	int ret;

	(void)args;
	if (want_json)
		usage_error("metrics", "OpenMetrics is no JSON; `pagerctl -j stats` is");
	c = open_ctl();
	ret = extpager_target_list(c, take_target, &all);
	if (!ret)
		ret = extpager_stats_get(c, NULL, take_stats, &all);
	if (!ret)
		ret = extpager_port_list(c, take_port, &all);
	if (!ret)
		print_all(&all);
	else if (ret < 0)
		ret = fail("cannot read statistics: %s", said(c, ret));
	free(all.targets);
	free(all.stats);
	free(all.ports);
	extpager_ctl_close(c);
	return ret ? ret : fflush(stdout) ? EXIT_FAILED : 0;
}
