// SPDX-License-Identifier: LGPL-2.1-or-later
/* Counters, histograms and ports over netlink: read only. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <netlink/genl/genl.h>

#include "ctl.h"
#include "names.h"

#define COUNTERS_MAX \
	(sizeof(((struct extpager_stats *)0)->counter) / sizeof(struct extpager_counter))
#define LATENCIES_MAX \
	(sizeof(((struct extpager_stats *)0)->latency) / sizeof(struct extpager_latency))
#define BUCKETS_MAX \
	(sizeof(((struct extpager_latency *)0)->bucket) / sizeof(uint64_t))
#define QUEUES_MAX \
	(sizeof(((struct extpager_port_info *)0)->queue) / sizeof(struct extpager_queue_info))

_Static_assert(EXTPAGER_A_STATS_MAX - EXTPAGER_A_STATS_PAD <= (int)COUNTERS_MAX,
	       "room for every counter");

static uint32_t get_u32(struct nlattr *const *tb, int attr)
{
	return tb[attr] ? nla_get_u32(tb[attr]) : 0;
}

static uint64_t get_u64(struct nlattr *const *tb, int attr)
{
	return tb[attr] ? nla_get_u64(tb[attr]) : 0;
}

static struct nla_policy latency_policy[EXTPAGER_A_LATENCY_MAX + 1] = {
	[EXTPAGER_A_LATENCY_OP] = { .type = NLA_U32 },
	[EXTPAGER_A_LATENCY_PHASE] = { .type = NLA_U32 },
	[EXTPAGER_A_LATENCY_SUM] = { .type = NLA_U64 },
};

static int parse_latency(struct nlattr *nest, struct extpager_latency *l)
{
	struct nlattr *tb[EXTPAGER_A_LATENCY_MAX + 1], *buckets;
	int ret = nla_parse_nested(tb, EXTPAGER_A_LATENCY_MAX, nest, latency_policy);

	if (ret < 0)
		return xp_nl_errno(ret);
	l->request = xp_request_name(get_u32(tb, EXTPAGER_A_LATENCY_OP));
	l->phase = xp_phase_name(get_u32(tb, EXTPAGER_A_LATENCY_PHASE));
	l->sum_ns = get_u64(tb, EXTPAGER_A_LATENCY_SUM);
	buckets = tb[EXTPAGER_A_LATENCY_BUCKETS];
	if (!buckets)
		return 0;
	l->nr = nla_len(buckets) / sizeof(uint64_t);
	if (l->nr > BUCKETS_MAX)
		l->nr = BUCKETS_MAX;
	memcpy(l->bucket, nla_data(buckets), l->nr * sizeof(uint64_t));
	for (unsigned int i = 0; i < l->nr; i++)
		l->count += l->bucket[i];
	return 0;
}

static int parse_stats(struct nlmsghdr *nlh, void *arg)
{
	struct nlattr *tb[EXTPAGER_A_STATS_MAX + 1], *nest;
	struct extpager_stats *s = xp_list_add(arg);
	int ret, rest;

	if (!s)
		return -ENOMEM;
	ret = genlmsg_parse(nlh, 0, tb, EXTPAGER_A_STATS_MAX, NULL);
	if (ret < 0)
		return xp_nl_errno(ret);
	if (tb[EXTPAGER_A_STATS_NAME])
		nla_strlcpy(s->target, tb[EXTPAGER_A_STATS_NAME], sizeof(s->target));
	if (tb[EXTPAGER_A_STATS_PORT])
		s->port = nla_get_u32(tb[EXTPAGER_A_STATS_PORT]);
	for (unsigned int attr = 0; attr <= EXTPAGER_A_STATS_MAX; attr++) {
		const char *name = xp_counter_name(attr);

		if (!name || !tb[attr] || nla_len(tb[attr]) < (int)sizeof(uint64_t))
			continue;
		s->counter[s->nr].name = name;
		s->counter[s->nr++].value = nla_get_u64(tb[attr]);
	}
	/* The same attribute once for each histogram: the table keeps only one. */
	nlmsg_for_each_attr(nest, nlh, GENL_HDRLEN, rest) {
		if (nla_type(nest) != EXTPAGER_A_STATS_LATENCY ||
		    s->nr_latencies == LATENCIES_MAX)
			continue;
		ret = parse_latency(nest, &s->latency[s->nr_latencies++]);
		if (ret)
			return ret;
	}
	return 0;
}

static int stats_of(struct extpager_ctl *c, const char *name, struct xp_list *list)
{
	struct nl_msg *msg;
	int ret;

	if (!name)
		return xp_list_fill(c, EXTPAGER_CMD_STATS_GET, list, parse_stats);
	msg = xp_ctl_msg(c, EXTPAGER_CMD_STATS_GET, 0);
	if (!msg)
		return -ENOMEM;
	ret = nla_put_string(msg, EXTPAGER_A_STATS_NAME, name);
	if (ret) {
		nlmsg_free(msg);
		return xp_nl_errno(ret);
	}
	return xp_ctl_talk(c, msg, parse_stats, list);
}

int extpager_stats_get(struct extpager_ctl *c, const char *name,
		       int (*cb)(const struct extpager_stats *s, void *arg), void *arg)
{
	struct xp_list list = { .item_size = sizeof(struct extpager_stats) };
	const struct extpager_stats *s;
	int ret;

	ret = stats_of(c, name, &list);
	s = (const void *)list.items;
	for (size_t i = 0; !ret && i < list.nr; i++)
		ret = cb(&s[i], arg);
	free(list.items);
	return ret;
}

static struct nla_policy queue_policy[EXTPAGER_A_QUEUE_MAX + 1] = {
	[EXTPAGER_A_QUEUE_INDEX] = { .type = NLA_U32 },
	[EXTPAGER_A_QUEUE_ENTRIES] = { .type = NLA_U32 },
	[EXTPAGER_A_QUEUE_EVENTS] = { .type = NLA_U64 },
	[EXTPAGER_A_QUEUE_REPLIES] = { .type = NLA_U64 },
	[EXTPAGER_A_QUEUE_BAD_REPLIES] = { .type = NLA_U64 },
	[EXTPAGER_A_QUEUE_BACKLOG] = { .type = NLA_U32 },
};

static struct nla_policy port_policy[EXTPAGER_A_PORT_MAX + 1] = {
	[EXTPAGER_A_PORT_ID] = { .type = NLA_U32 },
	[EXTPAGER_A_PORT_PID] = { .type = NLA_U32 },
	[EXTPAGER_A_PORT_UID] = { .type = NLA_U32 },
	[EXTPAGER_A_PORT_ALIVE] = { .type = NLA_FLAG },
	[EXTPAGER_A_PORT_TARGETS] = { .type = NLA_U32 },
	[EXTPAGER_A_PORT_OBJECTS] = { .type = NLA_U32 },
	[EXTPAGER_A_PORT_QUEUE] = { .type = NLA_NESTED },
};

static int parse_queue(struct nlattr *nest, struct extpager_queue_info *q)
{
	struct nlattr *tb[EXTPAGER_A_QUEUE_MAX + 1];
	int ret = nla_parse_nested(tb, EXTPAGER_A_QUEUE_MAX, nest, queue_policy);

	if (ret < 0)
		return xp_nl_errno(ret);
	q->index = get_u32(tb, EXTPAGER_A_QUEUE_INDEX);
	q->entries = get_u32(tb, EXTPAGER_A_QUEUE_ENTRIES);
	q->backlog = get_u32(tb, EXTPAGER_A_QUEUE_BACKLOG);
	q->events = get_u64(tb, EXTPAGER_A_QUEUE_EVENTS);
	q->replies = get_u64(tb, EXTPAGER_A_QUEUE_REPLIES);
	q->bad_replies = get_u64(tb, EXTPAGER_A_QUEUE_BAD_REPLIES);
	return 0;
}

static int parse_port(struct nlmsghdr *nlh, void *arg)
{
	struct extpager_port_info *info = xp_list_add(arg);
	struct nlattr *tb[EXTPAGER_A_PORT_MAX + 1], *nest;
	int ret, rest;

	if (!info)
		return -ENOMEM;
	ret = genlmsg_parse(nlh, 0, tb, EXTPAGER_A_PORT_MAX, port_policy);
	if (ret < 0)
		return xp_nl_errno(ret);
	info->id = get_u32(tb, EXTPAGER_A_PORT_ID);
	info->pid = get_u32(tb, EXTPAGER_A_PORT_PID);
	info->uid = get_u32(tb, EXTPAGER_A_PORT_UID);
	info->targets = get_u32(tb, EXTPAGER_A_PORT_TARGETS);
	info->objects = get_u32(tb, EXTPAGER_A_PORT_OBJECTS);
	info->alive = tb[EXTPAGER_A_PORT_ALIVE];
	/* The same attribute once for each queue: the table keeps only one. */
	nlmsg_for_each_attr(nest, nlh, GENL_HDRLEN, rest) {
		if (nla_type(nest) != EXTPAGER_A_PORT_QUEUE || info->nr_queues == QUEUES_MAX)
			continue;
		ret = parse_queue(nest, &info->queue[info->nr_queues++]);
		if (ret)
			return ret;
	}
	return 0;
}

int extpager_port_list(struct extpager_ctl *c,
		       int (*cb)(const struct extpager_port_info *i, void *arg), void *arg)
{
	struct xp_list list = { .item_size = sizeof(struct extpager_port_info) };
	const struct extpager_port_info *info;
	int ret;

	ret = xp_list_fill(c, EXTPAGER_CMD_PORT_GET, &list, parse_port);
	info = (const void *)list.items;
	for (size_t i = 0; !ret && i < list.nr; i++)
		ret = cb(&info[i], arg);
	free(list.items);
	return ret;
}
