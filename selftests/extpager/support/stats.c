// SPDX-License-Identifier: GPL-2.0-only
/* Counters of targets, ports and queues, as netlink tells them. */
#include <string.h>

#include "stats.h"

static char names[STATS][32];

struct stats_query {
	const char *target;
	uint32_t port;
	uint64_t *stats;
	bool found;
};

static int take_stats(const struct extpager_stats *s, void *arg)
{
	struct stats_query *q = arg;
	unsigned int i;

	if (q->target ? strcmp(s->target, q->target) : s->target[0] || s->port != q->port)
		return 0;
	memset(q->stats, 0, STATS * sizeof(*q->stats));
	for (i = 0; i < s->nr && i + EXTPAGER_A_STATS_INITS < STATS; i++) {
		q->stats[i + EXTPAGER_A_STATS_INITS] = s->counter[i].value;
		strncpy(names[i + EXTPAGER_A_STATS_INITS], s->counter[i].name,
			sizeof(names[0]) - 1);
	}
	/* One that is not told is a failure. */
	q->found = i + EXTPAGER_A_STATS_INITS == STATS;
	return 0;
}

bool stats_get(const char *target, uint32_t port, uint64_t *stats)
{
	struct stats_query q = { target, port, stats, false };
	struct extpager_ctl *c;

	if (extpager_ctl_open(&c))
		return false;
	extpager_stats_get(c, target, take_stats, &q);
	extpager_ctl_close(c);
	return q.found;
}

struct latency_query {
	const char *request, *phase;
	struct extpager_latency *latency;
};

static int take_latency(const struct extpager_stats *s, void *arg)
{
	struct latency_query *q = arg;
	unsigned int i;

	for (i = 0; i < s->nr_latencies; i++)
		if (!strcmp(s->latency[i].request, q->request) &&
		    !strcmp(s->latency[i].phase, q->phase))
			*q->latency = s->latency[i];
	return 0;
}

bool latency_get(const char *target, const char *request, const char *phase,
		 struct extpager_latency *latency)
{
	struct latency_query q = { request, phase, latency };
	struct extpager_ctl *c;
	bool ok;

	memset(latency, 0, sizeof(*latency));
	if (extpager_ctl_open(&c))
		return false;
	ok = !extpager_stats_get(c, target, take_latency, &q);
	extpager_ctl_close(c);
	return ok;
}

const char *stat_name(unsigned int attribute)
{
	return names[attribute];
}

struct port_query {
	uint32_t port;
	bool found;
	struct extpager_port_info *info;
};

static int take_port(const struct extpager_port_info *i, void *arg)
{
	struct port_query *q = arg;

	if (i->id == q->port) {
		*q->info = *i;
		q->found = true;
	}
	return 0;
}

bool port_info(uint32_t port, struct extpager_port_info *info)
{
	struct port_query q = { port, false, info };
	struct extpager_ctl *c;

	if (extpager_ctl_open(&c))
		return false;
	extpager_port_list(c, take_port, &q);
	extpager_ctl_close(c);
	return q.found;
}

static int count_port(const struct extpager_port_info *i, void *arg)
{
	++*(unsigned int *)arg;
	return 0;
}

static int count_target(const struct extpager_target *t, void *arg)
{
	++*(unsigned int *)arg;
	return 0;
}

unsigned int ports_and_targets(void)
{
	struct extpager_ctl *c;
	unsigned int nr = 0;

	if (extpager_ctl_open(&c))
		return ~0U;
	extpager_port_list(c, count_port, &nr);
	extpager_target_list(c, count_target, &nr);
	extpager_ctl_close(c);
	return nr;
}
