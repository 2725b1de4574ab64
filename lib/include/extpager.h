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

/* A port: the right to answer for targets and for objects of one's own. */
struct extpager;
/* An unanswered INIT, DATA_REQUEST, DATA_RETURN or SYNC. */
struct extpager_req;

/*
 * Pages may be asked for in runs, which each lie between two multiples of 128 KiB and are best
 * answered as a whole: one that is answered in parts is asked for again, page by page.
 */
#define EXTPAGER_PORT_LARGE	(1U << 0)

/**
 * struct extpager_params - how to open a port; zero means default
 * @size: sizeof(struct extpager_params)
 * @nr_queues: queues, default one per online CPU
 * @ring_entries: entries of each ring, default 256
 * @port_fd: a port fd inherited from a predecessor, or 0 to open the device
 *	(an inherited fd that is 0 must be dup'ed first)
 * @flags: EXTPAGER_PORT_LARGE or 0
 */
struct extpager_params {
	size_t size;
	unsigned int nr_queues;
	unsigned int ring_entries;
	int port_fd;
	uint64_t flags;
};

/**
 * struct extpager_ops - what the kernel asks of a pager
 * @size: sizeof(struct extpager_ops)
 * @init: first use of an object. Replies: extpager_ready(). Default: ready
 *	with attribute MAY_CACHE.
 * @data_request: pages are missing. Replies: any mix of extpager_supply(),
 *	extpager_supply_zero() and extpager_error() until the whole range is
 *	answered. Default: ENODATA.
 * @data_return: dirty pages come back; if extpager_req_zero(), the range is
 *	now zeros. Replies: extpager_fetch() as often as wanted, then
 *	extpager_return_done(); or extpager_return_file(). Default: EROFS.
 * @sync: a barrier. Replies: extpager_sync_done(). Default: done.
 * @terminate: the object is used no more. No reply. Default: nothing.
 * @attributes: attributes are in force. No reply. Default: nothing.
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
	size_t size;
	void (*init)(struct extpager *p, struct extpager_req *req, void *user);
	void (*data_request)(struct extpager *p, struct extpager_req *req, void *user);
	void (*data_return)(struct extpager *p, struct extpager_req *req, void *user);
	void (*sync)(struct extpager *p, struct extpager_req *req, void *user);
	void (*terminate)(struct extpager *p, uint64_t object, uint32_t generation, void *user);
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
 * -E2BIG: a @size is wrong; -EINVAL: a flag is. On failure an inherited fd stays the caller's.
 */
int extpager_open(struct extpager **pp, const struct extpager_params *params,
		  const struct extpager_ops *ops, void *user);

/**
 * extpager_close - close a port and its fd
 * @p: port, or NULL
 *
 * Requests unanswered are left to the targets' policy and must not be touched
 * any more.
 */
void extpager_close(struct extpager *p);

/**
 * extpager_fd - the port's fd: poll it, or leave it to a successor
 * @p: port
 *
 * Return: the fd, which stays the port's.
 */
int extpager_fd(const struct extpager *p);
/**
 * extpager_port - the port's id, as netlink and pagerctl show it
 * @p: port
 *
 * Return: the id, never 0.
 */
unsigned int extpager_port(const struct extpager *p);
/**
 * extpager_nr_queues - how many queues a port has
 * @p: port
 *
 * Return: their number; they are numbered from 0.
 */
unsigned int extpager_nr_queues(const struct extpager *p);
/**
 * extpager_page_size - the kernel's page size, the unit of supplies
 * @p: port
 *
 * Return: bytes.
 */
size_t extpager_page_size(const struct extpager *p);

/**
 * extpager_dispatch - wait for events, run callbacks, submit answers
 * @p: port
 * @queue: one thread at a time may dispatch a queue
 * @timeout_ms: longest wait for the first event; 0 = do not wait, -1 = no limit
 *
 * All answers are submitted when it returns, unless the thread defers them: an event loop
 * that polls extpager_fd() and then dispatches each queue without waiting is correct.
 *
 * Return: number of events handled, 0 at the time-out; -EINTR; -ESHUTDOWN:
 * the port was taken over; -EPROTO: the rings were overwritten; -ENOMEM:
 * nothing was lost, call again.
 */
int extpager_dispatch(struct extpager *p, unsigned int queue, int timeout_ms);

/**
 * extpager_defer - submit this thread's answers over a queue later, as inside a callback
 * @p: port; NULL: no more
 * @queue: that this thread dispatches; in place of an earlier one
 *
 * For a thread that answers outside the callbacks, as the ends of its I/O come in, and always
 * comes back: its next extpager_dispatch() submits all answers in the system call that waits
 * for events. Before it sleeps elsewhere, when it has fetches deferred, and at last, it calls
 * extpager_submit(). Ends with the port, for the thread that closes it.
 *
 * Return: 0; -EINVAL: no such queue.
 */
int extpager_defer(struct extpager *p, unsigned int queue);

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
/**
 * extpager_run - extpager_run_queue() of queue 0, for a port with one queue
 * @p: port
 *
 * Return: as extpager_run_queue().
 */
int extpager_run(struct extpager *p);
/**
 * extpager_stop - end the loops of a port
 * @p: port
 *
 * Makes extpager_run() and every extpager_run_queue() of the port return now,
 * and those of the future at once. Safe in a signal handler, in a
 * callback and from any thread.
 */
void extpager_stop(struct extpager *p);

/**
 * extpager_attach - become the pager of a named target
 * @p: port
 * @target: its name
 * @object: out: id of its object, as requests name it; may be NULL
 * @bytes: out: its size; may be NULL
 *
 * Return: 0; -ENOENT: no such target; -EBUSY: another port is attached;
 * -EPERM: neither CAP_SYS_ADMIN nor the target's pager-uid; -ESHUTDOWN: the
 * target is being deleted; -ENAMETOOLONG.
 */
int extpager_attach(struct extpager *p, const char *target,
		    uint64_t *object, uint64_t *bytes);
/**
 * extpager_detach - stop being the pager of a target
 * @p: port
 * @object: its object
 *
 * What is unanswered is left to the target's policy; no later answer counts. That to a
 * return is legal still, but its pages are the next pager's to take.
 *
 * Return: 0; -ENOENT: the port is not attached to it.
 */
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
/**
 * extpager_object_open - a new fd of an object that the port serves
 * @p: port
 * @object: its id, of a target too, whatever the target's mode
 * @flags: as open(2)
 *
 * Return: the fd (close-on-exec, the caller closes it), or a negative errno.
 */
int extpager_object_open(struct extpager *p, uint64_t object, int flags);
/**
 * extpager_object_destroy - end an object of one's own
 * @p: port
 * @object: its id
 * @discard: drop dirty pages; else they are returned first
 *
 * The callback terminate() tells when it has ended.
 *
 * Return: 0; -ENOENT: no such object of this port.
 */
int extpager_object_destroy(struct extpager *p, uint64_t object, bool discard);

/* What a request is about. Valid until it is answered to its end. */

/**
 * extpager_req_object - the object that a request is about
 * @req: request
 *
 * Return: its id.
 */
uint64_t extpager_req_object(const struct extpager_req *req);
/**
 * extpager_req_offset - where a request's range begins
 * @req: request
 *
 * Return: bytes from the object's start.
 */
uint64_t extpager_req_offset(const struct extpager_req *req);
/**
 * extpager_req_length - how long a request's range is
 * @req: request
 *
 * Return: bytes; the range may end at the object's end inside a page. INIT: the
 * object's size.
 */
uint64_t extpager_req_length(const struct extpager_req *req);
/**
 * extpager_req_wanted - the page that somebody waits for
 * @req: a DATA_REQUEST
 *
 * Return: its offset, or UINT64_MAX.
 */
uint64_t extpager_req_wanted(const struct extpager_req *req);
/**
 * extpager_req_generation - the object's generation, counted by INITs
 * @req: request
 *
 * Return: the generation.
 */
uint32_t extpager_req_generation(const struct extpager_req *req);
/**
 * extpager_req_queue - the queue that a request came over
 * @req: request
 *
 * Return: its number.
 */
unsigned int extpager_req_queue(const struct extpager_req *req);
/**
 * extpager_req_write - does the access that waits want to write?
 * @req: a DATA_REQUEST
 *
 * Return: whether it does.
 */
bool extpager_req_write(const struct extpager_req *req);
/**
 * extpager_req_resent - may an earlier pager have seen a request, or even done it?
 * @req: request
 *
 * Return: whether it may.
 */
bool extpager_req_resent(const struct extpager_req *req);
/**
 * extpager_req_prefetch - did nobody wait when a request was made?
 * @req: a DATA_REQUEST
 *
 * Return: whether nobody did.
 */
bool extpager_req_prefetch(const struct extpager_req *req);
/**
 * extpager_req_zero - is the range zeros from now on, with nothing to fetch?
 * @req: a DATA_RETURN
 *
 * Return: whether it is.
 */
bool extpager_req_zero(const struct extpager_req *req);
/**
 * extpager_req_rdonly - can the object not be written?
 * @req: an INIT
 *
 * Return: whether it is read-only.
 */
bool extpager_req_rdonly(const struct extpager_req *req);
/**
 * extpager_req_set_user - keep a word of the pager's own with a request
 * @req: request
 * @user: the word
 */
void extpager_req_set_user(struct extpager_req *req, void *user);
/**
 * extpager_req_user - the word kept by extpager_req_set_user()
 * @req: request
 *
 * Return: the word, or NULL.
 */
void *extpager_req_user(const struct extpager_req *req);
/**
 * extpager_req_drop - forget a request without answering the rest of it
 * @req: request; ends
 *
 * After -ENOENT, or to let the deadline decide. No other thread may be
 * answering it.
 */
void extpager_req_drop(struct extpager_req *req);

#define EXTPAGER_MAY_CACHE	(1U << 0)
/*
 * Errors that pagers answer with are positive errnos of the protocol: EIO,
 * ENODATA, EBADMSG, ENOSPC, EDQUOT, EROFS, EACCES, ETIMEDOUT; any other is sent
 * as EIO.
 */
/**
 * extpager_refused - is an answer's error one after which the request is to be answered otherwise?
 * @ret: what the answer returned: 0 or negative
 *
 * Return: whether it is: of an error that is none of the kernel's refusals the request has ended.
 */
bool extpager_refused(int ret);
/**
 * extpager_ready - answer INIT
 * @req: an INIT; ends
 * @error: 0, or a positive errno, which fails the opening and every access
 * @attributes: EXTPAGER_MAY_CACHE: keep pages after the last close
 *
 * Inside the callback, and of a thread that defers: submitted later.
 *
 * Return: 0; -ENOENT, -ESTALE: too late; -ESHUTDOWN: the port is over.
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
 * @buf stays untouched until the queue was submitted: until extpager_submit() of
 * it returned, or extpager_dispatch() (the next one, if its thread defers), or,
 * under extpager_run_queue(), for as many callbacks as the ring has entries. If
 * the answer is refused (-EFAULT) the clients get EIO. Outside the callbacks the
 * caller sees to it that one of these calls follows, as a dispatching thread does
 * by its next dispatch.
 *
 * Return: 0; -ENOENT if known to be over; -EINVAL, -ERANGE; and if the ring was
 * full and had to be submitted, an error of that.
 */
int extpager_supply_deferred(struct extpager_req *req, uint64_t offset,
			     const void *buf, size_t length);
/**
 * extpager_supply_zero - zeros for a part or all of a DATA_REQUEST
 * @req: request; it ends when all of its range is answered
 * @offset: as extpager_supply()
 * @length: as extpager_supply()
 *
 * Inside the callback, and of a thread that defers: submitted later.
 *
 * Return: as extpager_supply().
 */
int extpager_supply_zero(struct extpager_req *req, uint64_t offset, uint64_t length);
/**
 * extpager_supply_file - let the kernel read a part or all of a DATA_REQUEST
 * @req: request; it ends when all of its range is answered
 * @offset: as extpager_supply()
 * @length: as extpager_supply()
 * @file: from extpager_register()
 * @pos: where the content begins in it, a multiple of what extpager_register() told
 *
 * No byte passes through this process, which has answered: what comes of the
 * reading is between the file and the clients. What cannot be read is EIO to
 * them. Inside the callback, and of a thread that defers: submitted later; what
 * is refused then, a file's missing end too, is EIO to the clients.
 *
 * Return: as extpager_supply(); -EBADF: no such file; -EINVAL: @pos; -ERANGE:
 * the device or the file ends before; what the file has is answered.
 */
int extpager_supply_file(struct extpager_req *req, uint64_t offset, uint64_t length,
			 unsigned int file, uint64_t pos);
/**
 * extpager_error - fail a part or all of a DATA_REQUEST
 * @req: request; it ends when all of its range is answered
 * @offset: as extpager_supply()
 * @length: as extpager_supply()
 * @error: a positive errno; EBADMSG says that the content is damaged
 *
 * Inside the callback, and of a thread that defers: submitted later.
 *
 * Return: as extpager_supply().
 */
int extpager_error(struct extpager_req *req, uint64_t offset, uint64_t length, int error);
/**
 * extpager_fetch - copy bytes of a DATA_RETURN
 * @req: request; stays, even if this fails
 * @offset: absolute, inside the request
 * @buf: where to
 * @length: bytes
 *
 * As often as wanted. Submitted at once.
 *
 * Return: 0; -ENOENT, -ESTALE: the request is over: nothing to write any more;
 * -ESHUTDOWN; -EINVAL, -ERANGE, -EFAULT.
 */
int extpager_fetch(struct extpager_req *req, uint64_t offset, void *buf, size_t length);
/**
 * extpager_fetch_deferred - extpager_fetch() without a system call of its own
 * @req: request; stays
 * @offset: as extpager_fetch()
 * @buf: as extpager_fetch(); has the bytes when @result is 0
 * @length: bytes
 * @result: out: -EINPROGRESS, and when the queue was submitted, what extpager_fetch() returns
 *
 * Several of them are one system call: that of extpager_submit(), which the caller makes after
 * the callbacks, before it waits for events. Until that has returned 0, or the port is closed,
 * which submits too, @buf and @result belong to the library.
 *
 * Return: 0: @result will tell; -ENOENT: the request is known to be over; -EINVAL, -ERANGE; and
 * if the ring was full and had to be submitted, an error of that.
 */
int extpager_fetch_deferred(struct extpager_req *req, uint64_t offset, void *buf, size_t length,
			    int *result);
/**
 * extpager_return_done - end a DATA_RETURN
 * @req: request; ends
 * @error: 0 promises that the bytes survive this process; else a positive
 *	errno: they stay dirty and come again
 *
 * Inside the callback, and of a thread that defers: submitted later.
 *
 * Return: 0; -ENOENT, -ESTALE: too late, they come again; -ESHUTDOWN.
 */
int extpager_return_done(struct extpager_req *req, int error);
/**
 * extpager_return_file - let the kernel write all of a DATA_RETURN
 * @req: request; ends, unless this is refused
 * @file: from extpager_register(), of a file open for writing
 * @pos: where its first byte belongs in it, a multiple of what extpager_register() told
 *
 * No byte passes through this process, which has answered. The kernel says nothing of what
 * comes of the writing; what it cannot write comes again. A SYNC that covers the return comes
 * after it was written, and it is for this process to have the file survive power loss.
 * extpager_unregister() waits for it. Submitted at once.
 *
 * Return: 0; -ENOENT, -ESTALE: too late, they come again; -ESHUTDOWN. Refused: -EBADF: no
 * such file, or not to be written so; -EINVAL: @pos, or of a device the request ends inside
 * a block; -ERANGE: the device ends before, or the request is of zeros.
 */
int extpager_return_file(struct extpager_req *req, unsigned int file, uint64_t pos);
/**
 * extpager_return_file_deferred - extpager_return_file() without a system call of its own
 * @req: request; not to be used until @result tells; it has ended then, unless this was refused
 * @file: as extpager_return_file()
 * @pos: as extpager_return_file()
 * @result: as of extpager_fetch_deferred()
 *
 * Return: 0: @result will tell; else as extpager_return_file().
 */
int extpager_return_file_deferred(struct extpager_req *req, unsigned int file, uint64_t pos,
				  int *result);
/**
 * extpager_sync_done - end a SYNC
 * @req: request; ends
 * @error: 0 promises that all that was returned before it survives power loss;
 *	else a positive errno
 *
 * Inside the callback, and of a thread that defers: submitted later.
 *
 * Return: 0; -ENOENT, -ESTALE: too late; -ESHUTDOWN.
 */
int extpager_sync_done(struct extpager_req *req, int error);
/**
 * extpager_submit - submit now what was to be submitted later
 * @p: port
 * @queue: whose answers
 *
 * Return: 0 or an error of extpager_dispatch().
 */
int extpager_submit(struct extpager *p, unsigned int queue);

/**
 * extpager_register - name a file for extpager_supply_file() and extpager_return_file()
 * @p: port
 * @fd: a regular file or block device, open for reading, and for writing if it is to be
 *	written; may be closed afterwards
 * @align: NULL, or out: what positions in it must be a multiple of
 *
 * The name ends with extpager_unregister() or this process.
 *
 * Return: its name, above 0; -ENOTTY, -EOPNOTSUPP: this kernel, or this file, cannot
 * do it; -EBADF, -EINVAL, -ELOOP: it is no such file; -EPERM: a regular file, of a
 * pager whom the module's parameter unprivileged_pagers alone lets be one; -ENOSPC:
 * too many of them; -EIO: what others wrote to the device could not be written out.
 */
int extpager_register(struct extpager *p, int fd, unsigned int *align);
/**
 * extpager_unregister - take a file's name away
 * @p: port
 * @file: from extpager_register()
 *
 * What is being read goes on. What extpager_return_file() has ordered to be written there is
 * written, or could not be, when this returns.
 *
 * Return: 0; -ENOENT: no such file.
 */
int extpager_unregister(struct extpager *p, unsigned int file);
/**
 * struct extpager_delegation - a range of an object, and where its content lies
 * @offset: first byte, page-aligned
 * @length: bytes: whole pages, or up to the object's end
 * @pos: of @offset in the file, a multiple of what extpager_register() told
 * @file: from extpager_register()
 * @flags: EXTPAGER_DELEGATE_RDONLY: what becomes dirty is returned to this process
 */
struct extpager_delegation {
	uint64_t offset;
	uint64_t length;
	uint64_t pos;
	uint32_t file;
	uint32_t flags;
};

#define EXTPAGER_DELEGATE_RDONLY	1U
#define EXTPAGER_DELEGATIONS_MAX	65536

/**
 * extpager_delegate - have the kernel read and write ranges by itself
 * @p: port
 * @object: one of the port's objects
 * @generation: of its last INIT
 * @ranges: ascending, none overlapping another
 * @nr: how many, EXTPAGER_DELEGATIONS_MAX at most
 *
 * Of these ranges nothing is asked from now on, nor after this process; until they are
 * revoked, the object is used no more, or a successor says that it is ready. From the
 * callback init() on, before extpager_ready() too. All of them are delegated, or none.
 * A request may come that was made before; and holes come as zeroed ranges, always.
 *
 * Return: 0; -ENOTTY, -EOPNOTSUPP: this kernel, or this file, cannot do it; -ENOENT,
 * -ESTALE: the object is not in use, or in another generation; -EBADF: no such file, or
 * it is not open for writing; -EINVAL, -ERANGE, -EROFS, -ENOSPC, -ENOMEM.
 */
int extpager_delegate(struct extpager *p, uint64_t object, uint32_t generation,
		      const struct extpager_delegation *ranges, size_t nr);
/**
 * extpager_revoke - take a range back
 * @p: port
 * @object: one of the port's objects
 * @generation: of its last INIT
 * @offset: first byte, page-aligned
 * @length: bytes: whole pages, or up to the object's end
 *
 * Waits until the kernel neither reads nor writes there any more. What it wrote is in
 * the next sync().
 *
 * Return: as extpager_delegate().
 */
int extpager_revoke(struct extpager *p, uint64_t object, uint32_t generation,
		    uint64_t offset, uint64_t length);
/**
 * extpager_push - supply pages nobody asked for
 * @p: port
 * @object: one of the port's objects
 * @generation: of its last INIT
 * @offset: page-aligned
 * @buf: NULL for zeros
 * @length: whole pages, or up to the object's end; 2 MiB at most
 *
 * Pages that are there are left alone.
 *
 * Return: bytes installed; -EEXIST: all are there; -EAGAIN: in the way of a
 * client, drop it; -ENOENT, -ESTALE, -ENOMEM.
 */
ssize_t extpager_push(struct extpager *p, uint64_t object, uint32_t generation,
		      uint64_t offset, const void *buf, size_t length);
/**
 * extpager_set_attributes - change the attributes of an object
 * @p: port
 * @object: one of the port's objects
 * @attributes: EXTPAGER_MAY_CACHE or 0
 *
 * The callback attributes() tells when they are in force.
 *
 * Return: 0; -ENOENT: no such object of this port.
 */
int extpager_set_attributes(struct extpager *p, uint64_t object, uint32_t attributes);

/* ---- The client's side ------------------------------------------------ */

/**
 * extpager_client_open - open a target by its name
 * @target: name
 * @flags: as open(2)
 *
 * Waits until the target has a pager that is ready, unless O_NONBLOCK.
 *
 * Return: a new fd (close-on-exec) of a regular file; or as open(2): -ENOENT,
 * -EACCES, -EROFS; -ETIMEDOUT: no pager was ready in time; -ESHUTDOWN: the
 * target is being deleted; the errno with which its pager said READY.
 */
int extpager_client_open(const char *target, int flags);
/**
 * struct extpager_client_failure - something asked of the pager that failed
 * @time_ns: when, in nanoseconds of CLOCK_REALTIME
 * @offset: first byte of what failed
 * @length: bytes
 * @request: what was asked: "handshake", "page-in", "return" or "sync"
 * @error: positive errno: the pager's, EIO for a missed deadline (of the
 *	handshake: ETIMEDOUT), or why nobody can be asked any more
 */
struct extpager_client_failure {
	uint64_t time_ns, offset, length;
	const char *request;
	int error;
};

/**
 * extpager_client_failures - what failed last of an object
 * @fd: fd of the object
 * @failure: room for them, newest first
 * @nr: for how many; the kernel keeps no more than 8
 *
 * Return: how many there are, or a negative errno; -ENOTTY: @fd is no object's.
 */
int extpager_client_failures(int fd, struct extpager_client_failure *failure,
			     unsigned int nr);

/**
 * extpager_accept - accept the pager of an object whose fd was passed to us
 * @fd: fd of the object
 *
 * A pager has who maps its objects wait, or get SIGBUS, at any touch. So those that
 * an unprivileged pager of another user made are mapped (else EPERM) by users that
 * have accepted it: ours, from now on, has this one. Where that is not needed, as for
 * a target's fd, it does nothing.
 *
 * Return: 0 or a negative errno; -ENOTTY: @fd is no object's.
 */
int extpager_accept(int fd);

/**
 * extpager_client_map - map all or a part of an object's fd
 * @fd: of an object
 * @length: bytes
 * @prot: as mmap(2)
 * @flags: as mmap(2)
 * @offset: where in the object
 *
 * As mmap(2), and MADV_DONTDUMP for private mappings, so that a core dump does
 * not read the whole object.
 *
 * Return: address, or MAP_FAILED with errno set.
 */
void *extpager_client_map(int fd, size_t length, int prot, int flags, off_t offset);
/**
 * extpager_send_fd - pass an fd over a UNIX socket
 * @sock: socket
 * @fd: what to pass; the caller keeps its own
 * @data: bytes that go along
 * @len: how many; with 0 a zero byte goes along, as sockets want one
 *
 * The Mach way to hand out a capability.
 *
 * Return: 0 or a negative errno of sendmsg(2).
 */
int extpager_send_fd(int sock, int fd, const void *data, size_t len);
/**
 * extpager_recv_fd - receive an fd from a UNIX socket
 * @sock: socket
 * @data: where bytes that came along go
 * @len: the room there, then what came; may be NULL
 *
 * Return: the fd (close-on-exec); -ENOMSG: data came without an fd;
 * -ECONNRESET: the peer has closed the socket; an errno of recvmsg(2).
 */
int extpager_recv_fd(int sock, void *data, size_t *len);

#ifdef __cplusplus
}
#endif

/* Configuring targets. */
#include <extpager-control.h>

#endif /* EXTPAGER_H */
