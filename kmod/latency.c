// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long requests took, as histograms of a target. Two times of a request
 * are its pager's doing alone: when it was sent, and when it was answered. The
 * one between is when the kernel knows that the pager has got the event, for it
 * reads the ring without a word: it came back from ENTER or poll while the event
 * was in the ring, or came to answer with its index past it.
 */
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <net/netlink.h>

#include "extpager.h"

static void histogram_add(struct extpager_histogram *h, u64 from, u64 to)
{
	u64 ns = to > from ? to - from : 0;
	unsigned int bucket = fls64(div_u64(ns, NSEC_PER_USEC));

	atomic64_add(ns, &h->sum);
	atomic64_inc(&h->bucket[min_t(unsigned int, bucket, EXTPAGER_BUCKETS - 1)]);
}

/**
 * extpager_latency_answered() - the pager has answered all of a request
 * @req: in no backlog any more
 * @phase: which sort of request it is
 * @now: when, in ns
 *
 * What ended in another way took the time of whatever ended it, and is not counted.
 */
void extpager_latency_answered(struct extpager_request *req, enum extpager_phase phase, u64 now)
{
	struct extpager_target *t = req->target;
	/* It may have answered what it was not seen to read. */
	u64 seen = extpager_queue_seen_at(req) ?: now;

	histogram_add(&t->queued[phase], req->sent, seen);
	histogram_add(&t->answering[phase], seen, now);
}

/**
 * extpager_latency_woken() - a waiter of the gate runs
 * @t: target
 * @woken: when its page's fate was known, in ns
 */
void extpager_latency_woken(struct extpager_target *t, u64 woken)
{
	histogram_add(&t->waking, woken, ktime_get_ns());
}

/* ---- netlink ---- */

static int put_histogram(struct sk_buff *skb, struct extpager_histogram *h, u32 op, u32 phase)
{
	u64 bucket[EXTPAGER_BUCKETS], any = 0;
	struct nlattr *nest;
	unsigned int i;

	for (i = 0; i < EXTPAGER_BUCKETS; i++)
		any |= bucket[i] = atomic64_read(&h->bucket[i]);
	if (!any)
		return 0;
	nest = nla_nest_start(skb, EXTPAGER_A_STATS_LATENCY);
	if (!nest ||
	    nla_put_u32(skb, EXTPAGER_A_LATENCY_OP, op) ||
	    nla_put_u32(skb, EXTPAGER_A_LATENCY_PHASE, phase) ||
	    nla_put_u64_64bit(skb, EXTPAGER_A_LATENCY_SUM, atomic64_read(&h->sum),
			      EXTPAGER_A_LATENCY_PAD) ||
	    nla_put(skb, EXTPAGER_A_LATENCY_BUCKETS, sizeof(bucket), bucket))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static const u32 event_op[EXTPAGER_PHASES] = {
	[EXTPAGER_PHASE_HANDSHAKE]	= EXTPAGER_EV_INIT,
	[EXTPAGER_PHASE_PAGE_IN]	= EXTPAGER_EV_DATA_REQUEST,
	[EXTPAGER_PHASE_RETURN]		= EXTPAGER_EV_DATA_RETURN,
	[EXTPAGER_PHASE_SYNC]		= EXTPAGER_EV_SYNC,
};

/* Those in which anything was counted, as nests of a message of STATS_GET. */
int extpager_latency_put(struct sk_buff *skb, struct extpager_target *t)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < EXTPAGER_PHASES && !ret; i++)
		ret = put_histogram(skb, &t->queued[i], event_op[i], EXTPAGER_LATENCY_QUEUED) ?:
		      put_histogram(skb, &t->answering[i], event_op[i], EXTPAGER_LATENCY_PAGER);
	return ret ?: put_histogram(skb, &t->waking, EXTPAGER_EV_DATA_REQUEST,
				    EXTPAGER_LATENCY_WAKING);
}
