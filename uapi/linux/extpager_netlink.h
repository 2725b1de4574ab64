/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* The generic netlink family that configures targets; uapi/extpager.yaml documents it. */
#ifndef _UAPI_LINUX_EXTPAGER_NETLINK_H
#define _UAPI_LINUX_EXTPAGER_NETLINK_H

#define EXTPAGER_FAMILY_NAME	"extpager"
#define EXTPAGER_FAMILY_VERSION	1

#define EXTPAGER_MCGRP_EVENTS	"events"

#define EXTPAGER_STORE_MAX	1023

enum extpager_policy {
	EXTPAGER_POLICY_HOLD = 1,
	EXTPAGER_POLICY_FAIL = 2,
	EXTPAGER_POLICY_SPILL = 3,	/* hold, and dirty pages are spilled at once */
};

/* What a deadline does to those who wait. */
enum extpager_action {
	EXTPAGER_ACTION_WAIT = 1,	/* nothing: they wait on; handshake and page-in */
	EXTPAGER_ACTION_ERROR = 2,
	EXTPAGER_ACTION_SPILL = 3,	/* the kernel keeps the page's bytes; returns */
};

enum extpager_target_state {
	EXTPAGER_STATE_NEW = 1,
	EXTPAGER_STATE_LIVE = 2,
	EXTPAGER_STATE_STALLED = 3,
	EXTPAGER_STATE_ORPHANED = 4,
	EXTPAGER_STATE_DRAINING = 5,
	EXTPAGER_STATE_DEAD = 6,
};

enum extpager_event_type {
	EXTPAGER_EVENT_ADDED = 1,
	EXTPAGER_EVENT_CHANGED = 2,
	EXTPAGER_EVENT_DELETED = 3,
	EXTPAGER_EVENT_ATTACHED = 4,
	EXTPAGER_EVENT_ORPHANED = 5,
	EXTPAGER_EVENT_STALLED = 6,
	EXTPAGER_EVENT_RECOVERED = 7,
	EXTPAGER_EVENT_SLOW = 8,	/* half a deadline is over */
};

enum extpager_latency_phase {
	EXTPAGER_LATENCY_QUEUED = 1,	/* from the sending until the pager has the event */
	EXTPAGER_LATENCY_PAGER = 2,	/* from then on to the end of its answer */
	EXTPAGER_LATENCY_WAKING = 3,	/* from an answer until who waited for the page runs */
};

enum extpager_pending_place {
	EXTPAGER_PENDING_QUEUED = 1,	/* sent; the pager is not known to have the event */
	EXTPAGER_PENDING_PAGER = 2,	/* in the pager's hands */
	EXTPAGER_PENDING_PARKED = 3,	/* waits for the next pager, or to be sent again */
};

/*
 * errno of every command, besides those listed at each:
 *   EINVAL      an attribute is missing, does not belong to the command or has
 *               the wrong length, or a name or id that is none
 *   ERANGE      a value out of range, or a string too long
 *   EOPNOTSUPP  no such command, or no dump, or nothing but a dump, of it
 *   ENOMEM      as everywhere
 * The family says in words what it refuses, and why (NETLINK_EXT_ACK).
 *
 * TARGET_ADD, _DEL and _SET: EPERM: no CAP_SYS_ADMIN in the initial user
 * namespace.
 * TARGET_ADD: EEXIST: there is one of that name. ENODEV: the module is being
 * unloaded.
 * TARGET_DEL: ENOENT: there is none. EBUSY: dirty pages, and no pager. EALREADY:
 * it is being deleted.
 * TARGET_SET: ENOENT. EBUSY: a pager is attached, and serves it from its store.
 * TARGET_GET, STATS_GET: ENOENT, if one is asked for.
 */
enum {
	EXTPAGER_CMD_UNSPEC,
	EXTPAGER_CMD_TARGET_ADD,
	EXTPAGER_CMD_TARGET_DEL,
	EXTPAGER_CMD_TARGET_SET,
	EXTPAGER_CMD_TARGET_GET,
	EXTPAGER_CMD_STATS_GET,
	EXTPAGER_CMD_PORT_GET,
	EXTPAGER_CMD_EVENT,
	EXTPAGER_CMD_REQUEST_GET,

	__EXTPAGER_CMD_MAX,
	EXTPAGER_CMD_MAX = __EXTPAGER_CMD_MAX - 1
};

/* Attributes of a target, of TARGET_* and EVENT. */
enum {
	EXTPAGER_A_TARGET_UNSPEC,
	EXTPAGER_A_TARGET_NAME,		/* string: 1-63 of [A-Za-z0-9._-], not first . or - */
	EXTPAGER_A_TARGET_BYTES,	/* u64: size; fixed for the target's life */
	EXTPAGER_A_TARGET_STORE,	/* string: store URI, opaque to the kernel */
	EXTPAGER_A_TARGET_UID,		/* u32: owner */
	EXTPAGER_A_TARGET_GID,		/* u32 */
	EXTPAGER_A_TARGET_MODE,		/* u32: permission bits, 0777 at most */
	EXTPAGER_A_TARGET_READ_ONLY,	/* flag */
	EXTPAGER_A_TARGET_PAGER_UID,	/* u32: who may attach without CAP_SYS_ADMIN */
	EXTPAGER_A_TARGET_POLICY,	/* u32: enum extpager_policy */
	EXTPAGER_A_TARGET_QUOTA,	/* u64: bytes dirty or being returned, at most */
	EXTPAGER_A_TARGET_HANDSHAKE_MS,	/* u32: attach and READY */
	EXTPAGER_A_TARGET_PAGE_IN_MS,	/* u32 */
	EXTPAGER_A_TARGET_RETURN_MS,	/* u32 */
	EXTPAGER_A_TARGET_SYNC_MS,	/* u32 */
	EXTPAGER_A_TARGET_GRACE_MS,	/* u32: how long clients wait for a successor */
	EXTPAGER_A_TARGET_HANDSHAKE_ACTION,	/* u32: enum extpager_action: WAIT, ERROR */
	EXTPAGER_A_TARGET_PAGE_IN_ACTION,	/* u32: WAIT, ERROR */
	EXTPAGER_A_TARGET_RETURN_ACTION,	/* u32: ERROR, SPILL */
	EXTPAGER_A_TARGET_SPILL_LIMIT,	/* u64: bytes in the spill, at most; 0: none */
	EXTPAGER_A_TARGET_DISCARD,	/* flag: TARGET_DEL drops dirty pages */
	EXTPAGER_A_TARGET_STATE,	/* u32: enum extpager_target_state */
	EXTPAGER_A_TARGET_OBJECT,	/* u64: id of its object */
	EXTPAGER_A_TARGET_GENERATION,	/* u32: of its object */
	EXTPAGER_A_TARGET_PORT,		/* u32: attached port, 0 = none */
	EXTPAGER_A_TARGET_DIRTY,	/* u64: bytes dirty or being returned */
	EXTPAGER_A_TARGET_SPILLED,	/* u64: bytes in the spill, not yet acknowledged */
	EXTPAGER_A_TARGET_SPILL_FULL,	/* flag: no room for something dirty: limit, swap, memory */
	EXTPAGER_A_TARGET_OPENS,	/* u32: open files and mappings' files */
	EXTPAGER_A_TARGET_PENDING,	/* u32: unanswered requests */
	EXTPAGER_A_TARGET_STORE_USED,	/* flag: a pager served it from this store */
	EXTPAGER_A_TARGET_EVENT,	/* u32: enum extpager_event_type, of EVENT */
	EXTPAGER_A_TARGET_RESIDENT,	/* u64: bytes in memory */
	EXTPAGER_A_TARGET_PAD,

	__EXTPAGER_A_TARGET_MAX,
	EXTPAGER_A_TARGET_MAX = __EXTPAGER_A_TARGET_MAX - 1
};

/* Attributes of STATS_GET: the target's name and u64 counters since it was added. */
enum {
	EXTPAGER_A_STATS_UNSPEC,
	EXTPAGER_A_STATS_NAME,		/* string; absent for the unnamed objects of a port */
	EXTPAGER_A_STATS_PORT,		/* u32: port of unnamed objects */
	EXTPAGER_A_STATS_PAD,
	EXTPAGER_A_STATS_INITS,		/* INIT events */
	EXTPAGER_A_STATS_DATA_REQUESTS,	/* DATA_REQUEST events */
	EXTPAGER_A_STATS_PAGES_REQUESTED,
	EXTPAGER_A_STATS_PAGES_COPIED,	/* supplied by copy */
	EXTPAGER_A_STATS_PAGES_ZEROED,	/* supplied as zeros */
	EXTPAGER_A_STATS_PAGES_PUSHED,
	EXTPAGER_A_STATS_PAGES_FAILED,	/* failed by ERROR */
	EXTPAGER_A_STATS_DATA_RETURNS,	/* DATA_RETURN events */
	EXTPAGER_A_STATS_PAGES_RETURNED,	/* acknowledged, or written where delegated */
	EXTPAGER_A_STATS_RETURNS_FAILED,
	EXTPAGER_A_STATS_SYNCS,
	EXTPAGER_A_STATS_SYNCS_FAILED,
	EXTPAGER_A_STATS_TERMINATES,
	EXTPAGER_A_STATS_RESENT,
	EXTPAGER_A_STATS_TIMEOUTS,	/* requests ended by a deadline */
	EXTPAGER_A_STATS_BAD_REPLIES,	/* replies refused */
	EXTPAGER_A_STATS_GATE_WAITS,	/* accesses that waited for a page */
	EXTPAGER_A_STATS_QUOTA_WAITS,	/* writers that waited for the quota */
	EXTPAGER_A_STATS_ORPHANED,	/* pagers lost */
	EXTPAGER_A_STATS_BACKLOGGED,	/* events that found the ring full */
	EXTPAGER_A_STATS_PAGES_DISCARDED,	/* dirty pages given up */
	EXTPAGER_A_STATS_PAGES_SPILLED,	/* put into the spill */
	EXTPAGER_A_STATS_PAGES_UNSPILLED,	/* taken from it, for an access or a return */
	EXTPAGER_A_STATS_SPILLS_FAILED,	/* pages kept dirty: no limit, swap or memory left */
	EXTPAGER_A_STATS_WARNINGS,	/* requests that half of a deadline passed over */
	EXTPAGER_A_STATS_OVERLAPS,	/* of gate waits: what others had asked for already */
	EXTPAGER_A_STATS_PAGES_READ,	/* supplied from a registered file, or delegated */
	EXTPAGER_A_STATS_PAGES_WRITTEN,	/* of these, by the kernel */
	EXTPAGER_A_STATS_DIVERTED,	/* events for a queue that was busy, to an idle one */
	EXTPAGER_A_STATS_LATENCY,	/* nest, one a histogram */

	__EXTPAGER_A_STATS_MAX,
	EXTPAGER_A_STATS_MAX = __EXTPAGER_A_STATS_MAX - 1
};

/* A histogram of times. */
enum {
	EXTPAGER_A_LATENCY_UNSPEC,
	EXTPAGER_A_LATENCY_OP,		/* u32: EXTPAGER_EV_*: of which requests */
	EXTPAGER_A_LATENCY_PHASE,	/* u32: enum extpager_latency_phase */
	EXTPAGER_A_LATENCY_SUM,		/* u64: of all times, ns */
	EXTPAGER_A_LATENCY_BUCKETS,	/* binary: u64 each: below 1, 2, 4 ... us; last: above */
	EXTPAGER_A_LATENCY_PAD,

	__EXTPAGER_A_LATENCY_MAX,
	EXTPAGER_A_LATENCY_MAX = __EXTPAGER_A_LATENCY_MAX - 1
};

/* Attributes of PORT_GET. */
enum {
	EXTPAGER_A_PORT_UNSPEC,
	EXTPAGER_A_PORT_ID,		/* u32 */
	EXTPAGER_A_PORT_PID,		/* u32: in the reader's pid namespace; for CAP_SYS_ADMIN */
	EXTPAGER_A_PORT_UID,		/* u32 */
	EXTPAGER_A_PORT_ALIVE,		/* flag */
	EXTPAGER_A_PORT_TARGETS,	/* u32: attached */
	EXTPAGER_A_PORT_OBJECTS,	/* u32: unnamed objects */
	EXTPAGER_A_PORT_QUEUE,		/* nest, one a queue */
	EXTPAGER_A_PORT_PAD,

	__EXTPAGER_A_PORT_MAX,
	EXTPAGER_A_PORT_MAX = __EXTPAGER_A_PORT_MAX - 1
};

/* Attributes of REQUEST_GET: what is asked, and not yet answered. */
enum {
	EXTPAGER_A_REQUEST_UNSPEC,
	EXTPAGER_A_REQUEST_NAME,	/* string: the target; absent for a port's objects */
	EXTPAGER_A_REQUEST_PORT,	/* u32: port of unnamed objects */
	EXTPAGER_A_REQUEST_OP,		/* u32: EXTPAGER_EV_* */
	EXTPAGER_A_REQUEST_PLACE,	/* u32: enum extpager_pending_place */
	EXTPAGER_A_REQUEST_FLAGS,	/* u32: EXTPAGER_EVF_* */
	EXTPAGER_A_REQUEST_OBJECT,	/* u64: id */
	EXTPAGER_A_REQUEST_OFFSET,	/* u64: bytes */
	EXTPAGER_A_REQUEST_LENGTH,	/* u64: bytes; 0 if it is about the whole object */
	EXTPAGER_A_REQUEST_AGE_MS,	/* u64: since it was made */
	EXTPAGER_A_REQUEST_LEFT_MS,	/* u64: until its deadline; absent while it is parked */
	EXTPAGER_A_REQUEST_PID,		/* u32: the task that caused it; for CAP_SYS_ADMIN */
	EXTPAGER_A_REQUEST_COMM,	/* string: its name then; for CAP_SYS_ADMIN */
	EXTPAGER_A_REQUEST_PAD,

	__EXTPAGER_A_REQUEST_MAX,
	EXTPAGER_A_REQUEST_MAX = __EXTPAGER_A_REQUEST_MAX - 1
};

enum {
	EXTPAGER_A_QUEUE_UNSPEC,
	EXTPAGER_A_QUEUE_INDEX,		/* u32 */
	EXTPAGER_A_QUEUE_ENTRIES,	/* u32 */
	EXTPAGER_A_QUEUE_EVENTS,	/* u64: posted */
	EXTPAGER_A_QUEUE_REPLIES,	/* u64: taken */
	EXTPAGER_A_QUEUE_BAD_REPLIES,	/* u64: refused */
	EXTPAGER_A_QUEUE_BACKLOG,	/* u32: events waiting for ring space */
	EXTPAGER_A_QUEUE_PAD,

	__EXTPAGER_A_QUEUE_MAX,
	EXTPAGER_A_QUEUE_MAX = __EXTPAGER_A_QUEUE_MAX - 1
};

#endif /* _UAPI_LINUX_EXTPAGER_NETLINK_H */
