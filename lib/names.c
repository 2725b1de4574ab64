// SPDX-License-Identifier: LGPL-2.1-or-later
/* Names of what netlink reports as numbers, as tools print them. */
#include <extpager.h>
#include <linux/extpager.h>
#include <linux/extpager_netlink.h>

#include "names.h"

#define NR(table)	(sizeof(table) / sizeof(*(table)))

static const char *name_of(const char *const *names, size_t nr_names, unsigned int nr)
{
	return nr < nr_names && names[nr] ? names[nr] : "unknown";
}

static const char *const state_names[] = {
	[EXTPAGER_STATE_NEW] = "new",
	[EXTPAGER_STATE_LIVE] = "live",
	[EXTPAGER_STATE_STALLED] = "stalled",
	[EXTPAGER_STATE_ORPHANED] = "orphaned",
	[EXTPAGER_STATE_DRAINING] = "draining",
	[EXTPAGER_STATE_DEAD] = "dead",
};

static const char *const policy_names[] = {
	[EXTPAGER_POLICY_HOLD] = "hold",
	[EXTPAGER_POLICY_FAIL] = "fail",
	[EXTPAGER_POLICY_SPILL] = "spill",
};

static const char *const action_names[] = {
	[EXTPAGER_ACTION_WAIT] = "wait",
	[EXTPAGER_ACTION_ERROR] = "error",
	[EXTPAGER_ACTION_SPILL] = "spill",
};

static const char *const event_names[] = {
	[EXTPAGER_EVENT_ADDED] = "added",
	[EXTPAGER_EVENT_CHANGED] = "changed",
	[EXTPAGER_EVENT_DELETED] = "deleted",
	[EXTPAGER_EVENT_ATTACHED] = "attached",
	[EXTPAGER_EVENT_ORPHANED] = "orphaned",
	[EXTPAGER_EVENT_STALLED] = "stalled",
	[EXTPAGER_EVENT_RECOVERED] = "recovered",
	[EXTPAGER_EVENT_SLOW] = "slow",
};

/* By attribute of STATS_GET; NULL for those that are no counters. */
static const char *const counter_names[] = {
	[EXTPAGER_A_STATS_INITS] = "inits",
	[EXTPAGER_A_STATS_DATA_REQUESTS] = "data-requests",
	[EXTPAGER_A_STATS_PAGES_REQUESTED] = "pages-requested",
	[EXTPAGER_A_STATS_PAGES_COPIED] = "pages-copied",
	[EXTPAGER_A_STATS_PAGES_ZEROED] = "pages-zeroed",
	[EXTPAGER_A_STATS_PAGES_PUSHED] = "pages-pushed",
	[EXTPAGER_A_STATS_PAGES_FAILED] = "pages-failed",
	[EXTPAGER_A_STATS_DATA_RETURNS] = "data-returns",
	[EXTPAGER_A_STATS_PAGES_RETURNED] = "pages-returned",
	[EXTPAGER_A_STATS_RETURNS_FAILED] = "returns-failed",
	[EXTPAGER_A_STATS_SYNCS] = "syncs",
	[EXTPAGER_A_STATS_SYNCS_FAILED] = "syncs-failed",
	[EXTPAGER_A_STATS_TERMINATES] = "terminates",
	[EXTPAGER_A_STATS_RESENT] = "resent",
	[EXTPAGER_A_STATS_TIMEOUTS] = "timeouts",
	[EXTPAGER_A_STATS_BAD_REPLIES] = "bad-replies",
	[EXTPAGER_A_STATS_GATE_WAITS] = "gate-waits",
	[EXTPAGER_A_STATS_QUOTA_WAITS] = "quota-waits",
	[EXTPAGER_A_STATS_ORPHANED] = "orphaned",
	[EXTPAGER_A_STATS_BACKLOGGED] = "backlogged",
	[EXTPAGER_A_STATS_PAGES_DISCARDED] = "pages-discarded",
	[EXTPAGER_A_STATS_PAGES_SPILLED] = "pages-spilled",
	[EXTPAGER_A_STATS_PAGES_UNSPILLED] = "pages-unspilled",
	[EXTPAGER_A_STATS_SPILLS_FAILED] = "spills-failed",
	[EXTPAGER_A_STATS_WARNINGS] = "warnings",
	[EXTPAGER_A_STATS_OVERLAPS] = "overlaps",
	[EXTPAGER_A_STATS_PAGES_READ] = "pages-read",
	[EXTPAGER_A_STATS_PAGES_WRITTEN] = "pages-written",
	[EXTPAGER_A_STATS_DIVERTED] = "diverted",
	[EXTPAGER_A_STATS_LATENCY] = NULL,
};

_Static_assert(NR(counter_names) == EXTPAGER_A_STATS_MAX + 1,
	       "a counter without a name");

/* As the options of pagerctl name their deadlines. */
static const char *const request_names[] = {
	[EXTPAGER_EV_INIT] = "handshake",
	[EXTPAGER_EV_DATA_REQUEST] = "page-in",
	[EXTPAGER_EV_DATA_RETURN] = "return",
	[EXTPAGER_EV_SYNC] = "sync",
};

static const char *const phase_names[] = {
	[EXTPAGER_LATENCY_QUEUED] = "queued",
	[EXTPAGER_LATENCY_PAGER] = "pager",
	[EXTPAGER_LATENCY_WAKING] = "waking",
};

static const char *const place_names[] = {
	[EXTPAGER_PENDING_QUEUED] = "queued",
	[EXTPAGER_PENDING_PAGER] = "pager",
	[EXTPAGER_PENDING_PARKED] = "parked",
};

const char *extpager_state_name(unsigned int state)
{
	return name_of(state_names, NR(state_names), state);
}

const char *extpager_policy_name(unsigned int policy)
{
	return name_of(policy_names, NR(policy_names), policy);
}

const char *extpager_action_name(unsigned int action)
{
	return name_of(action_names, NR(action_names), action);
}

const char *extpager_event_name(unsigned int event)
{
	return name_of(event_names, NR(event_names), event);
}

/** xp_counter_name - by attribute of STATS_GET. Return: NULL if it is no counter. */
const char *xp_counter_name(unsigned int attr)
{
	return attr <= EXTPAGER_A_STATS_MAX ? counter_names[attr] : NULL;
}

/** xp_request_name - by enum extpager_event_op, of those that want an answer. */
const char *xp_request_name(unsigned int op)
{
	return name_of(request_names, NR(request_names), op);
}

/** xp_phase_name - by enum extpager_latency_phase. */
const char *xp_phase_name(unsigned int phase)
{
	return name_of(phase_names, NR(phase_names), phase);
}

/** xp_place_name - by enum extpager_pending_place. */
const char *xp_place_name(unsigned int place)
{
	return name_of(place_names, NR(place_names), place);
}
