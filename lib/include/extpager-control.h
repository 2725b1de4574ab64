/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libextpager's third part: configure targets, list them, watch them. Included
 * by extpager.h, whose rules hold here too.
 */
#ifndef EXTPAGER_CONTROL_H
#define EXTPAGER_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A netlink conversation; not for two threads at once. */
struct extpager_ctl;

/**
 * enum extpager_ctl_policy - what clients see while there is no pager
 * @EXTPAGER_HOLD: a pause, for the grace time at most
 * @EXTPAGER_FAIL: errors at once
 * @EXTPAGER_SPILL: as EXTPAGER_HOLD, and the kernel spills dirty pages at once
 */
enum extpager_ctl_policy { EXTPAGER_HOLD = 1, EXTPAGER_FAIL = 2, EXTPAGER_SPILL = 3 };

/**
 * enum extpager_ctl_action - what becomes of a request at its deadline
 * @EXTPAGER_ACT_WAIT: nothing, who waits for it waits on; not of returns
 * @EXTPAGER_ACT_ERROR: who waits for it gets an error; a return stays dirty
 * @EXTPAGER_ACT_SPILL: the kernel keeps the pages in its spill; of returns only
 */
enum extpager_ctl_action {
	EXTPAGER_ACT_WAIT = 1,
	EXTPAGER_ACT_ERROR = 2,
	EXTPAGER_ACT_SPILL = 3,
};

/* Members of struct extpager_target that are meant, see @set. */
#define EXTPAGER_SET_STORE	(1U << 0)
#define EXTPAGER_SET_UID	(1U << 1)
#define EXTPAGER_SET_GID	(1U << 2)
#define EXTPAGER_SET_MODE	(1U << 3)
#define EXTPAGER_SET_READ_ONLY	(1U << 4)
#define EXTPAGER_SET_PAGER_UID	(1U << 5)
#define EXTPAGER_SET_POLICY	(1U << 6)
#define EXTPAGER_SET_QUOTA	(1U << 7)
#define EXTPAGER_SET_HANDSHAKE	(1U << 8)
#define EXTPAGER_SET_PAGE_IN	(1U << 9)
#define EXTPAGER_SET_RETURN	(1U << 10)
#define EXTPAGER_SET_SYNC	(1U << 11)
#define EXTPAGER_SET_GRACE	(1U << 12)
#define EXTPAGER_SET_BYTES	(1U << 13)
#define EXTPAGER_SET_HANDSHAKE_ACTION	(1U << 14)
#define EXTPAGER_SET_PAGE_IN_ACTION	(1U << 15)
#define EXTPAGER_SET_RETURN_ACTION	(1U << 16)
#define EXTPAGER_SET_SPILL_LIMIT	(1U << 17)

/* A pager_uid that is nobody's. */
#define EXTPAGER_NO_UID		UINT32_MAX
/* A spill_limit that is none. */
#define EXTPAGER_NO_LIMIT	INT64_MAX

/**
 * struct extpager_target - a target as it is, or as it shall be
 * @size: sizeof(struct extpager_target)
 * @set: which members below are meant (add, set) or were told (get)
 * @name: 1 to 63 of A-Z a-z 0-9 . _ -, not starting with . or -
 * @store: store URI, for pagerd; the kernel does not read it
 * @bytes: size
 * @quota: bytes that may be dirty or on their way back, at most
 * @uid: owner
 * @gid: group
 * @mode: permission bits
 * @pager_uid: who may be its pager without CAP_SYS_ADMIN; EXTPAGER_NO_UID: nobody
 * @policy: enum extpager_ctl_policy
 * @handshake_ms: for the pager to become ready
 * @page_in_ms: for a DATA_REQUEST
 * @return_ms: for a DATA_RETURN
 * @sync_ms: for a SYNC
 * @grace_ms: how long clients wait for a new pager
 * @read_only: clients may only read
 * @state: told only, as all that follow; see extpager_state_name()
 * @generation: how often it was initialised
 * @port: id of the port that serves it, or 0
 * @opens: open files and mappings' files
 * @pending: unanswered requests
 * @object: id of its object
 * @dirty: bytes dirty or on their way back
 * @store_used: a pager was asked for content since @store was named
 * @spill_limit: bytes that may be in the spill, at most; 0: nothing is spilled;
 *	EXTPAGER_NO_LIMIT
 * @spilled: bytes in the spill, which @dirty has not; told only
 * @handshake_action: at the deadline @handshake_ms: EXTPAGER_ACT_WAIT or _ERROR
 * @page_in_action: at the deadline @page_in_ms: the same
 * @return_action: at the deadline @return_ms: EXTPAGER_ACT_ERROR or _SPILL
 * @spill_full: the spill took no more when it was last tried; told only
 * @resident: bytes in memory; told only
 */
struct extpager_target {
	size_t size;
	unsigned int set;
	char name[64];
	char store[1024];
	uint64_t bytes;
	uint64_t quota;
	uint32_t uid, gid, mode, pager_uid;
	uint32_t policy;
	uint32_t handshake_ms, page_in_ms, return_ms, sync_ms, grace_ms;
	bool read_only;
	uint32_t state;
	uint32_t generation;
	uint32_t port;
	uint32_t opens;
	uint32_t pending;
	uint64_t object;
	uint64_t dirty;
	bool store_used;
	uint64_t spill_limit;
	uint64_t spilled;
	uint32_t handshake_action, page_in_action, return_action;
	bool spill_full;
	uint64_t resident;
};

/**
 * struct extpager_counter - a counter of a target
 * @name: as pagerctl prints it
 * @value: since the target was added
 */
struct extpager_counter {
	const char *name;
	uint64_t value;
};

/**
 * struct extpager_latency - how long something took, as a histogram
 * @request: of which requests: handshake, page-in, return or sync
 * @phase: what of them: queued (sent, until the pager is known to have the
 *	event), pager (from then to the end of its answer) or waking (from an
 *	answer until who waited for the page runs)
 * @count: how many there were
 * @sum_ns: how long all took together
 * @nr: how many of @bucket there are
 * @bucket: how many took less than 1 microsecond, and from there less than 2,
 *	4, 8 and so on; the last counts all above
 */
struct extpager_latency {
	const char *request, *phase;
	uint64_t count, sum_ns;
	unsigned int nr;
	uint64_t bucket[32];
};

/**
 * struct extpager_stats - the counters of a target
 * @target: its name; empty for the unnamed objects of a port
 * @port: id of that port
 * @nr: how many counters there are
 * @counter: them, in the order of linux/extpager_netlink.h
 * @nr_latencies: how many histograms there are
 * @latency: those in which anything was counted
 */
struct extpager_stats {
	char target[64];
	uint32_t port;
	unsigned int nr;
	struct extpager_counter counter[32];
	unsigned int nr_latencies;
	struct extpager_latency latency[16];
};

/**
 * struct extpager_pending - a request that is not answered yet
 * @target: its target; empty for the unnamed objects of a port
 * @port: id of that port
 * @request: handshake, page-in, return or sync
 * @place: where it is: queued (the pager is not known to have it), pager, or
 *	parked (it waits for the next pager, or to be sent again)
 * @comm: the task that caused it; empty if the caller may not know it
 * @pid: of that task; 0 also if it has ended
 * @zero: a return that says that the range is zeros
 * @prefetch: nobody waited for the pages when it was made
 * @resent: it was asked before, and may have been answered
 * @object: id of the object it is about; 0 if the caller may not know it, nor the range
 * @offset: where its range begins
 * @length: of its range; 0 if it is about the whole object
 * @age_ms: since it was made, or first asked
 * @left_ms: until its deadline; 0 while it is parked
 */
struct extpager_pending {
	char target[64];
	uint32_t port;
	const char *request, *place;
	char comm[16];
	uint32_t pid;
	bool zero, prefetch, resent;
	uint64_t object, offset, length;
	uint64_t age_ms, left_ms;
};

/**
 * struct extpager_queue_info - a queue of a port
 * @index: its number
 * @entries: of each of its rings
 * @backlog: events that wait in the kernel for room in the ring
 * @events: posted so far
 * @replies: taken so far
 * @bad_replies: of these, refused
 */
struct extpager_queue_info {
	uint32_t index, entries, backlog;
	uint64_t events, replies, bad_replies;
};

/**
 * struct extpager_port_info - a port
 * @id: its id
 * @pid: of the pager; 0 if the caller may not know it
 * @uid: of the pager
 * @targets: that it serves
 * @objects: unnamed ones that it made
 * @alive: whether its pager lives
 * @nr_queues: how many of @queue there are
 * @queue: its queues
 */
struct extpager_port_info {
	uint32_t id, pid, uid, targets, objects;
	bool alive;
	unsigned int nr_queues;
	struct extpager_queue_info queue[64];
};

/**
 * extpager_ctl_open - open a conversation with the module
 * @cp: out: the conversation
 *
 * Return: 0; -ENOENT: the module is not loaded; -ENOMEM.
 */
int extpager_ctl_open(struct extpager_ctl **cp);
/**
 * extpager_ctl_close - end a conversation
 * @c: conversation, or NULL
 */
void extpager_ctl_close(struct extpager_ctl *c);
/**
 * extpager_ctl_error - what the kernel said of the last failure
 * @c: conversation
 *
 * Return: its words, or "".
 */
const char *extpager_ctl_error(const struct extpager_ctl *c);

/**
 * extpager_target_add - make a target
 * @c: conversation
 * @t: name, bytes and what @set names; the rest has defaults
 *
 * Return: 0; -EEXIST: there is one of this name; -EPERM: needs CAP_SYS_ADMIN;
 * -EINVAL: see extpager_ctl_error().
 */
int extpager_target_add(struct extpager_ctl *c, const struct extpager_target *t);
/**
 * extpager_target_set - change a target
 * @c: conversation
 * @t: its name and what @set names
 *
 * Size and read-only are fixed for a target's life.
 *
 * Return: 0; -ENOENT; -EPERM: needs CAP_SYS_ADMIN; -EBUSY: a pager serves it
 * from its store now; -EINVAL: see extpager_ctl_error().
 */
int extpager_target_set(struct extpager_ctl *c, const struct extpager_target *t);
/**
 * extpager_target_del - begin the deletion of a target
 * @c: conversation
 * @name: the target
 * @discard: drop dirty pages; else they are returned first
 *
 * EXTPAGER_EVENT_DELETED, or -ENOENT from extpager_target_get(), tells the end.
 *
 * Return: 0; -ENOENT; -EPERM: needs CAP_SYS_ADMIN; -EBUSY: dirty pages and no
 * pager to return them to; -EALREADY: is being deleted.
 */
int extpager_target_del(struct extpager_ctl *c, const char *name, bool discard);
/**
 * extpager_target_get - all about a target
 * @c: conversation
 * @name: the target
 * @t: out; @size must be set
 *
 * Return: 0; -ENOENT: no such target.
 */
int extpager_target_get(struct extpager_ctl *c, const char *name, struct extpager_target *t);
/**
 * extpager_target_list - all targets
 * @c: conversation
 * @cb: called for each
 * @arg: given to @cb
 *
 * Return: 0; the first non-zero value of @cb, which ends the list; or a
 * negative errno.
 */
int extpager_target_list(struct extpager_ctl *c,
			 int (*cb)(const struct extpager_target *t, void *arg), void *arg);
/**
 * extpager_stats_get - the counters of one target, or of all
 * @c: conversation
 * @name: the target, or NULL
 * @cb: called for each
 * @arg: given to @cb
 *
 * Return: as extpager_target_list(); -ENOENT: no such target.
 */
int extpager_stats_get(struct extpager_ctl *c, const char *name,
		       int (*cb)(const struct extpager_stats *s, void *arg), void *arg);
/**
 * extpager_port_list - all ports
 * @c: conversation
 * @cb: called for each
 * @arg: given to @cb
 *
 * Return: as extpager_target_list().
 */
int extpager_port_list(struct extpager_ctl *c,
		       int (*cb)(const struct extpager_port_info *i, void *arg), void *arg);

/**
 * extpager_pending_list - all requests that are not answered yet
 * @c: conversation
 * @cb: called for each, in no order
 * @arg: given to @cb
 *
 * Return: as extpager_target_list().
 */
int extpager_pending_list(struct extpager_ctl *c,
			  int (*cb)(const struct extpager_pending *p, void *arg), void *arg);

/**
 * extpager_ctl_subscribe - be told changes of targets
 * @c: conversation, which goes on as before
 *
 * Then poll extpager_ctl_fd() and call extpager_ctl_read().
 *
 * Return: 0 or a negative errno.
 */
int extpager_ctl_subscribe(struct extpager_ctl *c);
/**
 * extpager_ctl_fd - what to poll for events
 * @c: conversation
 *
 * Return: the fd, which stays the conversation's.
 */
int extpager_ctl_fd(const struct extpager_ctl *c);
/**
 * extpager_ctl_read - deliver the events that have come
 * @c: conversation that subscribed
 * @cb: called for each; its event is enum extpager_event_type, and the target
 *	may tell no more than its name
 * @arg: given to @cb
 *
 * Return: 0, also if none had come; -ENOBUFS: some were lost, list again; or
 * the first non-zero value of @cb.
 */
int extpager_ctl_read(struct extpager_ctl *c,
		      int (*cb)(unsigned int event, const struct extpager_target *t, void *arg),
		      void *arg);
/**
 * extpager_state_name - name of a target's state
 * @state: enum extpager_target_state
 *
 * Return: the name, or "unknown".
 */
const char *extpager_state_name(unsigned int state);
/**
 * extpager_policy_name - name of a policy
 * @policy: enum extpager_ctl_policy
 *
 * Return: the name, or "unknown".
 */
const char *extpager_policy_name(unsigned int policy);
/**
 * extpager_action_name - name of what a deadline does
 * @action: enum extpager_ctl_action
 *
 * Return: the name, or "unknown".
 */
const char *extpager_action_name(unsigned int action);
/**
 * extpager_event_name - name of an event's type
 * @event: enum extpager_event_type
 *
 * Return: the name, or "unknown".
 */
const char *extpager_event_name(unsigned int event);

#ifdef __cplusplus
}
#endif

#endif /* EXTPAGER_CONTROL_H */
