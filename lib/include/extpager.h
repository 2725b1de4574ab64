/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libextpager: write pagers, be a client of them, configure targets.
 *
 * Every function that can fail returns 0 (or what it says) or a negative
 * errno. The library starts no threads, prints nothing, installs no signal
 * handlers and never exits.
 */
#ifndef EXTPAGER_H
#define EXTPAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The pager's side ------------------------------------------------ */

/** A port: the right to answer for targets and for objects of one's own. */
struct extpager;
/** An unanswered INIT, DATA_REQUEST, DATA_RETURN or SYNC. */
struct extpager_req;

/**
 * struct extpager_params - how to open a port; zero means default
 * @size: sizeof(struct extpager_params)
 * @nr_queues: queues, default one per online CPU
 * @ring_entries: entries of each ring, default 256
 * @port_fd: a port fd inherited from a predecessor, or 0 to open the device
 *	(an inherited fd that is 0 must be dup'ed first)
 */
struct extpager_params {
	size_t size;
	unsigned int nr_queues;
	unsigned int ring_entries;
	int port_fd;
};

/**
 * struct extpager_ops - what the kernel asks of a pager
 *
 * Callbacks run in the thread that called extpager_dispatch() for the queue
 * the event came over. A request may be answered inside its callback or later,
 * from any thread; it is valid until it was answered to its end. A callback
 * left NULL is answered by the library as said at each.
 *
 * A request ends when the pager has answered *all* of it, also if some answer
 * returned -ENOENT, -ESTALE or -ESHUTDOWN because the kernel has given it up:
 * several threads may answer parts of one request, and none may find it freed.
 * A pager that has no answer for the rest calls extpager_req_drop(). Refused
 * answers (-EINVAL, -ERANGE, -EFAULT) do not count; give another.
 *
 * Answers given inside a callback by the thread that runs it are submitted
 * together when the callbacks are done, as said at each; extpager_submit() does
 * it earlier. Those return 0, and nobody learns whether the request was over.
 */
struct extpager_ops {
	/** sizeof(struct extpager_ops) */
	size_t size;
	/**
	 * First use of an object. Replies: extpager_ready(). Default: ready
	 * with attribute MAY_CACHE.
	 */
	void (*init)(struct extpager *p, struct extpager_req *req, void *user);
	/**
	 * Pages are missing. Replies: any mix of extpager_supply(),
	 * extpager_supply_zero() and extpager_error() until the whole range is
	 * answered. Default: ENODATA.
	 */
	void (*data_request)(struct extpager *p, struct extpager_req *req, void *user);
	/**
	 * Dirty pages come back; if extpager_req_zero(req), the range is now
	 * zeros. Replies: extpager_fetch() as often as wanted, then
	 * extpager_return_done(). Default: EROFS.
	 */
	void (*data_return)(struct extpager *p, struct extpager_req *req, void *user);
	/** A barrier. Replies: extpager_sync_done(). Default: done. */
	void (*sync)(struct extpager *p, struct extpager_req *req, void *user);
	/** The object is used no more. No reply. Default: nothing. */
	void (*terminate)(struct extpager *p, uint64_t object, uint32_t generation, void *user);
	/** Attributes are in force. No reply. Default: nothing. */
	void (*attributes)(struct extpager *p, uint64_t object, uint32_t attributes, void *user);
};

/**
 * extpager_open - open a port
 * @pp: out: the port
 * @params: NULL for defaults
 * @ops: callbacks; copied
 * @user: given to each callback
 *
 * Return: 0; -ENOENT, -ENODEV: the module is not loaded; -EPERM: may not be
 * a pager; -EPROTONOSUPPORT: the module speaks another version; -EINVAL,
 * -E2BIG: a @size is wrong. On failure an inherited fd stays the caller's.
 */
int extpager_open(struct extpager **pp, const struct extpager_params *params,
		  const struct extpager_ops *ops, void *user);

/**
 * Close the port and its fd. Requests unanswered are left to the targets'
 * policy and must not be touched any more.
 */
void extpager_close(struct extpager *p);

/** The port's fd: poll it, or leave it to a successor. Owned by @p. */
int extpager_fd(const struct extpager *p);
/** The port's id, as netlink and pagerctl show it. */
unsigned int extpager_port(const struct extpager *p);
/** Number of queues. */
unsigned int extpager_nr_queues(const struct extpager *p);
/** The kernel's page size, the unit of supplies. */
size_t extpager_page_size(const struct extpager *p);

/**
 * extpager_dispatch - wait for events, run callbacks, submit answers
 * @p: port
 * @queue: one thread at a time may dispatch a queue
 * @timeout_ms: longest wait for the first event; 0 = do not wait, -1 = no limit
 *
 * All answers are submitted when it returns: an event loop that polls
 * extpager_fd() and then dispatches each queue without waiting is correct.
 *
 * Return: number of events handled, 0 at the time-out; -EINTR; -ESHUTDOWN:
 * the port was taken over; -EPROTO: the rings were overwritten; -ENOMEM:
 * nothing was lost, call again.
 */
int extpager_dispatch(struct extpager *p, unsigned int queue, int timeout_ms);

/**
 * extpager_run_queue - dispatch one queue until extpager_stop()
 * @p: port
 * @queue: a pager has one thread for each queue that does this
 *
 * Cheaper than extpager_dispatch() in a loop: one system call submits the
 * answers of one round and waits for the next. Signals do not end it.
 *
 * Return: 0 after extpager_stop(), or an error of extpager_dispatch().
 */
int extpager_run_queue(struct extpager *p, unsigned int queue);
/** extpager_run_queue() of queue 0, for a port with one queue. */
int extpager_run(struct extpager *p);
/**
 * Make extpager_run() and every extpager_run_queue() of the port return now,
 * and those of the future at once. Safe in a signal handler, in a
 * callback and from any thread.
 */
void extpager_stop(struct extpager *p);

/** Become the pager of a named target. Return: 0 or as EXTPAGER_IOC_ATTACH. */
int extpager_attach(struct extpager *p, const char *target,
		    uint64_t *object, uint64_t *bytes);
int extpager_detach(struct extpager *p, uint64_t object);

#define EXTPAGER_CREATE_RDONLY	(1U << 0)
/**
 * extpager_object_create - make an unnamed object
 * @p: port
 * @bytes: size
 * @flags: EXTPAGER_CREATE_RDONLY
 * @object: out: its id
 *
 * Return: an fd for clients (the caller closes it), or a negative errno.
 */
int extpager_object_create(struct extpager *p, uint64_t bytes,
			   unsigned int flags, uint64_t *object);
/** A new fd of an object of one's own. @flags as open(2). */
int extpager_object_open(struct extpager *p, uint64_t object, int flags);
/** End an object; terminate() tells when it has. @discard drops dirty pages. */
int extpager_object_destroy(struct extpager *p, uint64_t object, bool discard);

/* What a request is about. Valid until it is answered to its end. */
uint64_t extpager_req_object(const struct extpager_req *req);
uint64_t extpager_req_offset(const struct extpager_req *req);
uint64_t extpager_req_length(const struct extpager_req *req);
/** Offset of the page that somebody waits for, or UINT64_MAX. */
uint64_t extpager_req_wanted(const struct extpager_req *req);
uint32_t extpager_req_generation(const struct extpager_req *req);
unsigned int extpager_req_queue(const struct extpager_req *req);
/** The access that waits wants to write. */
bool extpager_req_write(const struct extpager_req *req);
/** An earlier pager may have seen, or even done, this request. */
bool extpager_req_resent(const struct extpager_req *req);
/** DATA_REQUEST: nobody waited when it was made. */
bool extpager_req_prefetch(const struct extpager_req *req);
/** DATA_RETURN: the range is zeros; nothing to fetch. */
bool extpager_req_zero(const struct extpager_req *req);
/** INIT: the object cannot be written. */
bool extpager_req_rdonly(const struct extpager_req *req);
/** A word of the pager's own. */
void extpager_req_set_user(struct extpager_req *req, void *user);
void *extpager_req_user(const struct extpager_req *req);
/**
 * Forget a request without answering the rest of it: after -ENOENT, or to let
 * the deadline decide. No other thread may be answering it.
 */
void extpager_req_drop(struct extpager_req *req);

#define EXTPAGER_MAY_CACHE	(1U << 0)
/*
 * Errors that pagers answer with are positive errnos of the protocol: EIO,
 * ENODATA, EBADMSG, ENOSPC, EDQUOT, EROFS, EACCES, ETIMEDOUT; any other is sent
 * as EIO.
 */
/**
 * Answer INIT: @error 0 and attributes, or a positive errno. Ends @req. Inside
 * the callback: submitted later.
 */
int extpager_ready(struct extpager_req *req, int error, uint32_t attributes);
/**
 * extpager_supply - content for a part or all of a DATA_REQUEST
 * @req: request; it ends when all of its range is answered
 * @offset: absolute, page-aligned, inside the request
 * @buf: stays untouched until the call returns; may be reused then
 * @length: whole pages, or up to the object's end
 *
 * Submitted at once.
 *
 * Return: 0; -ENOENT, -ESTALE: the request is over (deadline, withdrawn, pager
 * replaced) or this part was answered: nothing to do about it; -ESHUTDOWN: the
 * port is; -EINVAL, -ERANGE, -EFAULT.
 */
int extpager_supply(struct extpager_req *req, uint64_t offset,
		    const void *buf, size_t length);
/**
 * extpager_supply_deferred - extpager_supply() without a system call of its own
 * @req: request
 * @offset: as extpager_supply()
 * @buf: see below
 * @length: as extpager_supply()
 *
 * The fast way for pagers whose content lies in memory: the system call that
 * waits for the next events, or submits a later answer, also submits this one.
 * @buf stays untouched until the queue was submitted: until extpager_submit()
 * or extpager_dispatch() of it returned, or, under extpager_run_queue(), for as
 * many callbacks as the ring has entries. If the answer is refused (-EFAULT)
 * the clients get EIO. Outside the callbacks the caller sees to it that one of
 * these calls follows, as a dispatching thread does by its next dispatch.
 *
 * Return: 0; -ENOENT if known to be over; -EINVAL, -ERANGE; and if the ring was
 * full and had to be submitted, an error of that.
 */
int extpager_supply_deferred(struct extpager_req *req, uint64_t offset,
			     const void *buf, size_t length);
/** Zeros for a part or all of a DATA_REQUEST. Inside the callback: submitted later. */
int extpager_supply_zero(struct extpager_req *req, uint64_t offset, uint64_t length);
/** Fail a part of a DATA_REQUEST. Inside the callback: submitted later. */
int extpager_error(struct extpager_req *req, uint64_t offset, uint64_t length, int error);
/** Copy bytes of a DATA_RETURN. Does not end it, even if it fails. Submitted at once. */
int extpager_fetch(struct extpager_req *req, uint64_t offset, void *buf, size_t length);
/**
 * @error 0: the bytes survive this process. Ends @req. Inside the callback:
 * submitted later.
 */
int extpager_return_done(struct extpager_req *req, int error);
/**
 * @error 0: all returned before survives power loss. Ends @req. Inside the
 * callback: submitted later.
 */
int extpager_sync_done(struct extpager_req *req, int error);
/** Submit now what was to be submitted later. */
int extpager_submit(struct extpager *p, unsigned int queue);

/**
 * extpager_push - supply pages nobody asked for
 * @p: port
 * @object: one of the port's objects
 * @generation: of its last INIT
 * @offset: page-aligned
 * @buf: NULL for zeros
 * @length: whole pages, or up to the object's end; 2 MiB at most
 *
 * Pages that are there are left alone. Return: bytes installed, -EEXIST: all
 * there; -EAGAIN: in the way of a client, drop it; -ENOENT, -ESTALE, -ENOMEM.
 */
ssize_t extpager_push(struct extpager *p, uint64_t object, uint32_t generation,
		      uint64_t offset, const void *buf, size_t length);
/** Change attributes; attributes() tells when they are in force. */
int extpager_set_attributes(struct extpager *p, uint64_t object, uint32_t attributes);

/* ---- The client's side ------------------------------------------------ */

/** A new fd of a target, a regular file. @flags as open(2). */
int extpager_client_open(const char *target, int flags);
/**
 * extpager_client_map - map all or a part of an object's fd
 *
 * As mmap(2), and MADV_DONTDUMP for private mappings, so that a core dump does
 * not read the whole object. Return: address, or MAP_FAILED with errno set.
 */
void *extpager_client_map(int fd, size_t length, int prot, int flags, off_t offset);
/**
 * Pass @fd with @len bytes of @data over a UNIX socket; the Mach way to hand out
 * a capability. With @len 0 a zero byte goes along, as sockets want one. The
 * caller keeps its @fd.
 */
int extpager_send_fd(int sock, int fd, const void *data, size_t len);
/**
 * Receive one; returns the fd (close-on-exec); *len is the room, then what came.
 * @len may be NULL. -ENOMSG: data came without an fd; -ECONNRESET: the peer has
 * closed the socket.
 */
int extpager_recv_fd(int sock, void *data, size_t *len);

/* ---- Configuring targets ----------------------------------------------- */

/** A netlink conversation; not for two threads at once. */
struct extpager_ctl;

enum extpager_ctl_policy { EXTPAGER_HOLD = 1, EXTPAGER_FAIL = 2 };

/** Members of struct extpager_target that are meant, see @set. */
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

/**
 * struct extpager_target - a target as it is, or as it shall be
 * @size: sizeof(struct extpager_target)
 * @set: which members below are meant (add, set) or were told (get)
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
	/* Told by the kernel only. */
	uint32_t state;
	uint32_t generation;
	uint32_t port;
	uint32_t opens;
	uint32_t pending;
	uint64_t object;
	uint64_t dirty;
};

/** Counters of a target, by name and value, in the order of the uapi header. */
struct extpager_counter {
	const char *name;
	uint64_t value;
};

struct extpager_stats {
	char target[64];	/* empty for the unnamed objects of a port */
	uint32_t port;
	unsigned int nr;
	struct extpager_counter counter[32];
};

struct extpager_queue_info {
	uint32_t index, entries, backlog;
	uint64_t events, replies, bad_replies;
};

struct extpager_port_info {
	uint32_t id, pid, uid, targets, objects;
	bool alive;
	unsigned int nr_queues;
	struct extpager_queue_info queue[64];
};

/** Open a conversation. -ENOENT: the module is not loaded. */
int extpager_ctl_open(struct extpager_ctl **cp);
void extpager_ctl_close(struct extpager_ctl *c);
/** What the kernel said of the last failure, or "". */
const char *extpager_ctl_error(const struct extpager_ctl *c);

int extpager_target_add(struct extpager_ctl *c, const struct extpager_target *t);
int extpager_target_set(struct extpager_ctl *c, const struct extpager_target *t);
/** Begins the deletion; EXTPAGER_EVENT_DELETED, or -ENOENT from get, tells the end. */
int extpager_target_del(struct extpager_ctl *c, const char *name, bool discard);
int extpager_target_get(struct extpager_ctl *c, const char *name, struct extpager_target *t);
/** Calls @cb for each target; stops at and returns its first non-zero value. */
int extpager_target_list(struct extpager_ctl *c,
			 int (*cb)(const struct extpager_target *t, void *arg), void *arg);
/** @name NULL: all. */
int extpager_stats_get(struct extpager_ctl *c, const char *name,
		       int (*cb)(const struct extpager_stats *s, void *arg), void *arg);
int extpager_port_list(struct extpager_ctl *c,
		       int (*cb)(const struct extpager_port_info *i, void *arg), void *arg);

/** Subscribe to changes of targets; then poll extpager_ctl_fd() and call extpager_ctl_read(). */
int extpager_ctl_subscribe(struct extpager_ctl *c);
int extpager_ctl_fd(const struct extpager_ctl *c);
/**
 * Deliver what has come. @event is enum extpager_event_type. -ENOBUFS: some
 * were lost, list again.
 */
int extpager_ctl_read(struct extpager_ctl *c,
		      int (*cb)(unsigned int event, const struct extpager_target *t, void *arg),
		      void *arg);
/** Name of a target state, policy or event type, "unknown" else. */
const char *extpager_state_name(unsigned int state);
const char *extpager_policy_name(unsigned int policy);
const char *extpager_event_name(unsigned int event);

#ifdef __cplusplus
}
#endif

#endif /* EXTPAGER_H */
