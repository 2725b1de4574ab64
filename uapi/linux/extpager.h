/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * extpager: external pagers for Linux.
 *
 * The kernel manages memory, a pager - a user-space program that holds a
 * *port* - manages content. This header is the whole binary interface of
 * /dev/extpager: the ioctls, the two rings of a queue, the events that the
 * kernel posts and the replies that a pager gives. What each side may rely on
 * is in PROTOCOL.md beside it; targets are configured over generic netlink,
 * see extpager_netlink.h.
 *
 * Conventions: every ioctl struct starts with @size, the caller's sizeof.
 * A field or flag marked reserved must be 0. Offsets and lengths are bytes.
 * Fields named out_ are written by the kernel.
 *
 * errno of every ioctl, besides those listed at each:
 *   ENOTTY      unknown command, or a port command on an fd that is no port
 *   E2BIG       @size is larger than the kernel's and the tail is not zero, or
 *               larger than a page
 *   EINVAL      @size too small, a reserved field set, a value out of range, a
 *               name without its NUL
 *   EOPNOTSUPP  a flag that this kernel does not know
 *   EFAULT      the struct cannot be read, or written after the command was done
 *   EPERM       a port command by somebody who is not the pager
 *   ESHUTDOWN   a port command, and the port has no living pager
 *   EINTR, ENOMEM, EMFILE, ENFILE as everywhere
 */
#ifndef _UAPI_LINUX_EXTPAGER_H
#define _UAPI_LINUX_EXTPAGER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define EXTPAGER_DEVICE		"/dev/extpager"
#define EXTPAGER_FS_TYPE	"extpager"
#define EXTPAGER_ABI_VERSION	1
#define EXTPAGER_NAME_MAX	63
#define EXTPAGER_REQUEST_MAX	(2U << 20)
#define EXTPAGER_RUN_BYTES	(128U << 10)
#define EXTPAGER_QUEUES_MAX	64
#define EXTPAGER_RING_MAX	4096

#define EXTPAGER_IOC_MAGIC	0xEB

/**
 * struct extpager_setup - make this fd a port (EXTPAGER_IOC_SETUP)
 * @size: sizeof(struct extpager_setup)
 * @abi_version: EXTPAGER_ABI_VERSION that the caller was built for
 * @features: in: features wanted; out: those granted (wanted & known)
 * @nr_queues: in: queues wanted, 0 = one per online CPU; out: queues made
 * @ring_entries: in: entries per ring, 0 = 256; out: rounded up to a power of 2
 * @flags: must be 0
 * @out_page_size: the kernel's page size, the unit of every supply
 * @out_kernel_off: mmap offset of queue 0's kernel region
 * @out_kernel_len: length of one kernel region (read-only)
 * @out_user_off: mmap offset of queue 0's user region
 * @out_user_len: length of one user region (read-write)
 * @out_stride: offset from queue n's regions to queue n+1's
 * @out_port: the port's id, as netlink reports it
 * @reserved: must be 0
 *
 * The address space that calls SETUP *is* the pager: when it goes (exit, kill
 * or exec) the pager is dead, whoever else still holds the fd. A successor
 * that got the fd (a UNIX socket, systemd's fd store) calls SETUP again to
 * take the port over: queues and ring sizes stay what they were, whatever is
 * wanted, both rings are empty, and targets are to be attached again.
 *
 * EPERM: neither CAP_SYS_ADMIN, nor any target's pager-uid, nor
 * unprivileged_pagers=1. EBUSY: the port has a living pager, or the fd is
 * already used as a client. EPROTONOSUPPORT: unknown @abi_version.
 */
struct extpager_setup {
	__u32 size;
	__u32 abi_version;
	__aligned_u64 features;
	__u32 nr_queues;
	__u32 ring_entries;
	__u32 flags;
	__u32 out_page_size;
	__aligned_u64 out_kernel_off;
	__aligned_u64 out_kernel_len;
	__aligned_u64 out_user_off;
	__aligned_u64 out_user_len;
	__aligned_u64 out_stride;
	__u32 out_port;
	__u32 reserved;
};

#define EXTPAGER_FEATURE_FILES		(1ULL << 0) /* REGISTER, and replies flagged FILE */
#define EXTPAGER_FEATURE_DELEGATE	(1ULL << 1) /* DELEGATE */
#define EXTPAGER_FEATURE_LARGE		(1ULL << 2) /* asked for runs of pages: see DATA_REQUEST */
#define EXTPAGER_FEATURES_KNOWN		(EXTPAGER_FEATURE_FILES | EXTPAGER_FEATURE_DELEGATE | \
					 EXTPAGER_FEATURE_LARGE)

/**
 * struct extpager_enter - submit replies and wait for events (EXTPAGER_IOC_ENTER)
 * @size: sizeof(struct extpager_enter)
 * @queue: index of the queue
 * @to_submit: how many replies to take from the reply ring, oldest first
 * @min_complete: sleep until that many events are unread, unless a reply was refused
 *	with another errno than ENOENT and ESTALE; 0 = do not sleep
 * @timeout_ns: longest sleep in nanoseconds; ~0 = no limit
 *
 * Returns the number of replies taken. Each has its outcome in its own
 * @out_result and @out_done fields, so one refused reply harms no other.
 *
 * If no reply was taken: EINTR: a signal or WAKE came. ETIME: @timeout_ns
 * passed. ESHUTDOWN: the port ended. EPROTO: an index of the queue was
 * overwritten with a value that cannot be.
 */
struct extpager_enter {
	__u32 size;
	__u32 queue;
	__u32 to_submit;
	__u32 min_complete;
	__aligned_u64 timeout_ns;
};

/**
 * struct extpager_attach - become the pager of a target (EXTPAGER_IOC_ATTACH)
 * @size: sizeof(struct extpager_attach)
 * @flags: must be 0
 * @name: NUL-terminated name of the target
 * @out_object: id of the target's object, as events name it
 * @out_bytes: the object's size
 *
 * INIT follows at the target's first use, or at once if it is in use, flagged
 * RESENT if an earlier pager was READY. Waits until the target's addition was
 * announced over netlink.
 *
 * ENOENT: no such target. EBUSY: a port is attached, be it this one, or what
 * was lost with the last one is still being put aside. EPERM: neither
 * CAP_SYS_ADMIN nor the target's pager-uid. ESHUTDOWN: the target is gone.
 */
struct extpager_attach {
	__u32 size;
	__u32 flags;
	char name[EXTPAGER_NAME_MAX + 1];
	__aligned_u64 out_object;
	__aligned_u64 out_bytes;
};

/**
 * struct extpager_detach - stop being the pager of a target (EXTPAGER_IOC_DETACH)
 * @size: sizeof(struct extpager_detach)
 * @flags: must be 0
 * @object: id from ATTACH
 *
 * What is unanswered is treated as at the pager's death, by the target's
 * policy. A later RETURN_DONE is legal, but its pages are the next pager's to take; no
 * other later answer is. What is to count is answered before. ENOENT: the port is not
 * attached to it.
 */
struct extpager_detach {
	__u32 size;
	__u32 flags;
	__aligned_u64 object;
};

/**
 * struct extpager_object_create - make an unnamed object (EXTPAGER_IOC_OBJECT_CREATE)
 * @size: sizeof(struct extpager_object_create)
 * @flags: EXTPAGER_OBJECT_RDONLY: clients can neither write nor map it shared and writable
 * @bytes: the object's size, at least 1
 * @out_object: id of the object
 * @out_fd: a close-on-exec fd of it, to be passed to clients
 * @reserved: must be 0
 *
 * The object lives until DESTROY or the end of the port, which comes with the
 * last close of its fd, not with the pager's death.
 * ENOSPC: the port has its limit of objects. EFBIG: @bytes too large.
 */
struct extpager_object_create {
	__u32 size;
	__u32 flags;
	__aligned_u64 bytes;
	__aligned_u64 out_object;
	__s32 out_fd;
	__u32 reserved;
};

#define EXTPAGER_OBJECT_RDONLY	(1U << 0)

/**
 * struct extpager_open - a new fd of an object (EXTPAGER_IOC_OPEN)
 * @size: sizeof(struct extpager_open)
 * @flags: open(2) flags: access mode, O_NONBLOCK, O_APPEND, O_SYNC, O_DSYNC,
 *	O_NOATIME, O_LARGEFILE, O_CLOEXEC (always set)
 * @object: 0, or on a port: id of an object that it serves, whatever its mode
 * @name: if @object is 0: NUL-terminated name of a target
 * @out_fd: the fd, a regular file
 * @reserved: must be 0
 *
 * Waits killably until the target's pager said READY, unless O_NONBLOCK. An
 * unnamed object is opened at once; its first touch waits.
 * ENOENT, EACCES, EROFS as open(2). ETIMEDOUT: no READY in time. EIO: the pager
 * was lost, and nobody is to wait for the next one. ESHUTDOWN, ENODEV: the
 * target is being deleted. Else the errno that the pager gave with READY.
 */
struct extpager_open {
	__u32 size;
	__u32 flags;
	__aligned_u64 object;
	char name[EXTPAGER_NAME_MAX + 1];
	__s32 out_fd;
	__u32 reserved;
};

/**
 * struct extpager_wake - end the pager's sleep (EXTPAGER_IOC_WAKE)
 * @size: sizeof(struct extpager_wake)
 * @flags: must be 0
 *
 * The present sleep of one ENTER of each queue, or its next one if none sleeps
 * now, ends: with EINTR, unless replies were taken or there are events enough.
 * For a pager that wants its threads to look at something.
 */
struct extpager_wake {
	__u32 size;
	__u32 flags;
};

/**
 * struct extpager_failure - something asked of a pager that failed
 * @time_ns: when, in nanoseconds of CLOCK_REALTIME
 * @offset: first byte of what failed
 * @length: bytes
 * @op: enum extpager_event_op: what was asked; of a dirty page whose memory broke,
 *	what never can be: DATA_RETURN
 * @error: positive errno: the pager's, EIO for a missed deadline (of INIT:
 *	ETIMEDOUT) and for broken memory, or why nobody can be asked any more
 */
struct extpager_failure {
	__aligned_u64 time_ns;
	__aligned_u64 offset;
	__aligned_u64 length;
	__u32 op;
	__u32 error;
};

#define EXTPAGER_FAILURES_MAX	8

/**
 * struct extpager_failures - the last failures of an object (EXTPAGER_IOC_FAILURES)
 * @size: sizeof(struct extpager_failures)
 * @flags: must be 0
 * @object: on a port: id of an object that it serves; else 0
 * @out_total: failures since the object was made
 * @out_nr: how many of @out_failure are set
 * @reserved: must be 0
 * @out_failure: the last ones, newest first
 *
 * For any fd of the object, and for its pager. ENOENT: the port serves no such
 * object. EINVAL: an object was named and this is no port. On /dev/extpager that
 * nobody has used yet also ENXIO: there is no target `default`; EACCES, EROFS,
 * ESHUTDOWN, ENODEV: as OPEN of it.
 */
struct extpager_failures {
	__u32 size;
	__u32 flags;
	__aligned_u64 object;
	__aligned_u64 out_total;
	__u32 out_nr;
	__u32 reserved;
	struct extpager_failure out_failure[EXTPAGER_FAILURES_MAX];
};

/**
 * struct extpager_register - let the kernel read and write a file (EXTPAGER_IOC_REGISTER)
 * @size: sizeof(struct extpager_register)
 * @flags: must be 0
 * @fd: a regular file or a block device, open for reading; for writing too, if it is
 *	to be written
 * @out_file: names it in replies flagged FILE; never 0, and never another's again
 * @out_align: what @addr in such a reply must be a multiple of: the blocks of a
 *	device, 1 for a file. O_DIRECT, a file has needs of its own.
 * @reserved: must be 0
 *
 * The port keeps the file open until UNREGISTER or the end of the pager, and longer
 * what is delegated: a device that was opened with O_EXCL stays claimed. What others
 * wrote to a device through its page cache is written out first and leaves that cache;
 * what they write so later may not be seen.
 *
 * EBADF: no such fd, or not open for reading. EINVAL: neither kind of file.
 * EOPNOTSUPP: a file that cannot be read so, or of proc or sysfs, or blocks larger
 * than a page. ELOOP: an object of extpager, or a file stacked on others. EPERM
 * also: a regular file, and unprivileged_pagers=1 alone let the port be made.
 * ENOSPC: the port has its limit of files. EIO: what others wrote could not be
 * written out.
 */
struct extpager_register {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 out_file;
	__u32 out_align;
	__u32 reserved;
};

#define EXTPAGER_FILES_MAX	2048

/**
 * struct extpager_unregister - take a file's name away (EXTPAGER_IOC_UNREGISTER)
 * @size: sizeof(struct extpager_unregister)
 * @flags: must be 0
 * @file: from REGISTER
 * @reserved: must be 0
 *
 * Waits until what RETURN_DONEs flagged FILE have ordered is written, or could not be.
 * Reads under way and what is delegated go on, and keep the file open. ENOENT: no
 * such file. EINTR: the wait was cut short, the name is gone.
 */
struct extpager_unregister {
	__u32 size;
	__u32 flags;
	__u32 file;
	__u32 reserved;
};

/**
 * struct extpager_range - a part of an object, and where its content lies
 * @offset: first byte, page-aligned
 * @length: bytes, not 0: whole pages, or up to the object's end
 * @pos: of @offset in the file: a multiple of REGISTER's @out_align
 * @file: from REGISTER
 * @flags: EXTPAGER_RANGE_*
 *
 * To be revoked, a range has @offset and @length alone.
 */
struct extpager_range {
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 pos;
	__u32 file;
	__u32 flags;
};

#define EXTPAGER_RANGE_RDONLY	(1U << 0) /* what becomes dirty is returned to the pager */

/**
 * struct extpager_delegate - hand ranges over, or take them back (EXTPAGER_IOC_DELEGATE)
 * @size: sizeof(struct extpager_delegate)
 * @flags: EXTPAGER_DELEGATE_REVOKE: take back whatever is delegated of the ranges
 * @object: id of the object
 * @ranges: address of an array of struct extpager_range, ascending, none overlapping
 *	another
 * @nr_ranges: how many, at most EXTPAGER_RANGES_MAX
 * @generation: of the object, from INIT
 *
 * Of a delegated page no pager is asked: the kernel reads and writes the file by
 * itself, also when the pager is slow or dead. All ranges are delegated, or none;
 * they replace what was delegated there, and what is asked for of them is asked no
 * more. From INIT on, that is before READY too; until a pager takes them back or
 * another one is READY, or the object is used no more. A hole in a range that is
 * written to is returned as ever, flagged ZERO.
 *
 * Waits until no transfer is under way that went by what was delegated before. What
 * has been written there is covered by the next SYNC.
 *
 * ENOENT: the port has no such object, or it is not in use. ESTALE: @generation is
 * over. EINVAL also: ranges out of order; one that is not read-only and ends within
 * a block of the device. ERANGE: beyond the object's or the device's end. EBADF: a
 * file that is not registered, or not open for writing and the range not read-only.
 * EOPNOTSUPP also: a regular file; to be written, a zoned device, one that needs
 * stable pages. EROFS: the device is read-only. ENOSPC: more than EXTPAGER_RANGES_MAX
 * ranges would be delegated, or more than 32 devices written. EINTR: the wait was cut
 * short, all the rest was done.
 */
struct extpager_delegate {
	__u32 size;
	__u32 flags;
	__aligned_u64 object;
	__aligned_u64 ranges;
	__u32 nr_ranges;
	__u32 generation;
};

#define EXTPAGER_DELEGATE_REVOKE	(1U << 0)
#define EXTPAGER_RANGES_MAX		65536

/**
 * struct extpager_accept - accept an object's pager (EXTPAGER_IOC_ACCEPT)
 * @size: sizeof(struct extpager_accept)
 * @flags: must be 0
 *
 * On any fd of the object. Whoever maps an unnamed object is at its pager's mercy
 * with every touch of that memory. So if the pager had no CAP_SYS_ADMIN at SETUP,
 * mmap by users (effective uids) other than its own, root too, fails with EPERM
 * until they have accepted it: each user for itself, for this object, until it ends
 * or a pager that is yet another user takes the port over. Read, write and mappings
 * that are there need no such step. Where mmap needs none, neither does this
 * anything. EINVAL also: this is a port. On /dev/extpager that nobody has used yet
 * also ENXIO, EACCES, EROFS, ESHUTDOWN, ENODEV, as FAILURES.
 */
struct extpager_accept {
	__u32 size;
	__u32 flags;
};

#define EXTPAGER_IOC_SETUP \
	_IOWR(EXTPAGER_IOC_MAGIC, 0x00, struct extpager_setup)
#define EXTPAGER_IOC_ENTER \
	_IOW(EXTPAGER_IOC_MAGIC, 0x01, struct extpager_enter)
#define EXTPAGER_IOC_ATTACH \
	_IOWR(EXTPAGER_IOC_MAGIC, 0x02, struct extpager_attach)
#define EXTPAGER_IOC_DETACH \
	_IOW(EXTPAGER_IOC_MAGIC, 0x03, struct extpager_detach)
#define EXTPAGER_IOC_OBJECT_CREATE \
	_IOWR(EXTPAGER_IOC_MAGIC, 0x04, struct extpager_object_create)
#define EXTPAGER_IOC_OPEN \
	_IOWR(EXTPAGER_IOC_MAGIC, 0x05, struct extpager_open)
#define EXTPAGER_IOC_WAKE \
	_IOW(EXTPAGER_IOC_MAGIC, 0x06, struct extpager_wake)
#define EXTPAGER_IOC_FAILURES \
	_IOWR(EXTPAGER_IOC_MAGIC, 0x07, struct extpager_failures)
#define EXTPAGER_IOC_REGISTER \
	_IOWR(EXTPAGER_IOC_MAGIC, 0x08, struct extpager_register)
#define EXTPAGER_IOC_UNREGISTER \
	_IOW(EXTPAGER_IOC_MAGIC, 0x09, struct extpager_unregister)
#define EXTPAGER_IOC_DELEGATE \
	_IOW(EXTPAGER_IOC_MAGIC, 0x0a, struct extpager_delegate)
#define EXTPAGER_IOC_ACCEPT \
	_IOW(EXTPAGER_IOC_MAGIC, 0x0b, struct extpager_accept)

/**
 * enum extpager_event_op - what the kernel tells a pager
 * @EXTPAGER_EV_INIT: the object is used for the first time in this generation;
 *	@length is its size. Wants READY.
 * @EXTPAGER_EV_DATA_REQUEST: pages are missing. Wants SUPPLY or ERROR for all
 *	of @offset, @length, in any number of parts. Of a port with
 *	EXTPAGER_FEATURE_LARGE parts had better begin and end at multiples of
 *	EXTPAGER_RUN_BYTES: a run of pages between two of them may come or fail as one,
 *	and is asked for again, page by page, if a part of it is answered alone.
 * @EXTPAGER_EV_DATA_RETURN: dirty pages come back (or, flagged ZERO, a range
 *	that now reads as zeros). Wants RETURN_DONE.
 * @EXTPAGER_EV_SYNC: make every return of the object that was done before
 *	this event survive power loss. Wants SYNC_DONE.
 * @EXTPAGER_EV_TERMINATE: the object is no longer used; comes after its last
 *	RETURN_DONE. Wants nothing; the next use sends INIT anew.
 * @EXTPAGER_EV_ATTRIBUTES: ATTRIBUTES replies have taken effect, one or more;
 *	comes after the TERMINATE that they bring about. Wants nothing.
 */
enum extpager_event_op {
	EXTPAGER_EV_INIT = 1,
	EXTPAGER_EV_DATA_REQUEST = 2,
	EXTPAGER_EV_DATA_RETURN = 3,
	EXTPAGER_EV_SYNC = 4,
	EXTPAGER_EV_TERMINATE = 5,
	EXTPAGER_EV_ATTRIBUTES = 6,
};

/* Event flags. */
#define EXTPAGER_EVF_RESENT	(1U << 0) /* was sent before, and may have been answered */
#define EXTPAGER_EVF_ZERO	(1U << 1) /* DATA_RETURN: the range reads as zeros */
#define EXTPAGER_EVF_PREFETCH	(1U << 2) /* DATA_REQUEST: nobody waited when it was made */
#define EXTPAGER_EVF_RDONLY	(1U << 3) /* INIT: the object cannot be written */

/* Event access: what the waiting access wants. */
#define EXTPAGER_ACCESS_READ	(1U << 0)
#define EXTPAGER_ACCESS_WRITE	(1U << 1)

#define EXTPAGER_WANTED_NONE	(~0ULL)

/**
 * struct extpager_event - one entry of the event ring, 64 bytes
 * @op: enum extpager_event_op
 * @flags: EXTPAGER_EVF_*
 * @generation: of the object, larger with every INIT; a reply must repeat it
 * @tag: names the request in replies; 0 if none is wanted
 * @object: id of the object
 * @offset: first byte
 * @length: bytes, at most EXTPAGER_REQUEST_MAX but for INIT, ZERO and SYNC. Ends
 *	at the object's size even if that is inside a page. TERMINATE,
 *	ATTRIBUTES: 0
 * @wanted: DATA_REQUEST: offset of the page that somebody waits for, or
 *	EXTPAGER_WANTED_NONE
 * @access: DATA_REQUEST: EXTPAGER_ACCESS_*, READ if nobody waits
 * @attributes: ATTRIBUTES: EXTPAGER_ATTR_* now in force
 * @reserved: 0
 */
struct extpager_event {
	__u16 op;
	__u16 flags;
	__u32 generation;
	__aligned_u64 tag;
	__aligned_u64 object;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 wanted;
	__u32 access;
	__u32 attributes;
	__aligned_u64 reserved;
};

/**
 * enum extpager_reply_op - what a pager answers
 * @EXTPAGER_RE_READY: answers INIT. @error 0 and @attributes, or an errno that
 *	fails the opening and every access.
 * @EXTPAGER_RE_SUPPLY: content for all or a part of a DATA_REQUEST, from @addr,
 *	or zeros with EXTPAGER_REF_ZERO. With EXTPAGER_REF_FILE the kernel reads it
 *	from a registered file: the pager has answered, and what comes of it is
 *	between the file and the clients. With @tag 0 it is a *push*: it fills
 *	pages of @object nobody asked for, and leaves those that are there.
 * @EXTPAGER_RE_ERROR: fails all or a part of a DATA_REQUEST with @error. With
 *	@tag 0 and @object, whatever is asked for of the range.
 * @EXTPAGER_RE_RETURN_FETCH: copies bytes of a DATA_RETURN to @addr; as often
 *	as wanted until RETURN_DONE.
 * @EXTPAGER_RE_RETURN_DONE: ends a DATA_RETURN. @error 0 promises that the
 *	bytes survive the pager's death; else they stay dirty. With EXTPAGER_REF_FILE
 *	the kernel writes them to a registered file: the pager has answered, and the
 *	return ends when they are written, or could not be.
 * @EXTPAGER_RE_SYNC_DONE: ends a SYNC. @error 0 promises that what was
 *	returned before survives power loss.
 * @EXTPAGER_RE_ATTRIBUTES: change the object's @attributes; the event
 *	ATTRIBUTES tells when they are in force. @tag must be 0.
 * @EXTPAGER_RE_DESTROY: end an unnamed object: dirty pages are returned first,
 *	or dropped with EXTPAGER_REF_DISCARD; the event TERMINATE tells when, if
 *	the object was READY. @tag must be 0.
 */
enum extpager_reply_op {
	EXTPAGER_RE_READY = 1,
	EXTPAGER_RE_SUPPLY = 2,
	EXTPAGER_RE_ERROR = 3,
	EXTPAGER_RE_RETURN_FETCH = 4,
	EXTPAGER_RE_RETURN_DONE = 5,
	EXTPAGER_RE_SYNC_DONE = 6,
	EXTPAGER_RE_ATTRIBUTES = 7,
	EXTPAGER_RE_DESTROY = 8,
};

/* Reply flags. */
#define EXTPAGER_REF_ZERO	(1U << 0) /* SUPPLY: zeros, @addr must be 0 */
#define EXTPAGER_REF_DISCARD	(1U << 1) /* DESTROY: drop dirty pages */
#define EXTPAGER_REF_FILE	(1U << 2) /* SUPPLY, RETURN_DONE: @file at @addr; @tag is not 0 */

/* Attributes of an object, given with READY or ATTRIBUTES. */
#define EXTPAGER_ATTR_MAY_CACHE	(1U << 0) /* keep pages after the last close and munmap */

/**
 * struct extpager_reply - one entry of the reply ring, 64 bytes
 * @op: enum extpager_reply_op
 * @flags: EXTPAGER_REF_*
 * @generation: the event's; for replies with @tag 0 the object's last one, 0
 *	before its first INIT
 * @tag: the event's, or 0
 * @object: the event's object, or any object of the port if @tag is 0
 * @offset: first byte: absolute, page-aligned for SUPPLY and ERROR
 * @length: bytes: whole pages, or up to the object's end; RETURN_FETCH: any
 *	that lie in the request; RETURN_DONE: none, or flagged FILE all of it. At
 *	most EXTPAGER_REQUEST_MAX
 * @addr: address of the buffer (SUPPLY, RETURN_FETCH); flagged FILE: the first
 *	byte in the file, a multiple of REGISTER's @out_align
 * @error: positive errno or 0 (READY, ERROR, RETURN_DONE, SYNC_DONE): EIO,
 *	ENODATA, EBADMSG, ENOSPC, EDQUOT, EROFS, EACCES, ETIMEDOUT
 * @attributes: EXTPAGER_ATTR_* (READY, ATTRIBUTES)
 * @out_done: bytes supplied, failed or copied, whatever @out_result; a push
 *	counts those it installed, FILE those whose reading or writing has begun
 * @out_result: 0, or a negative errno that says why nothing (more) was done:
 *	ENOENT   no such request is unanswered, no such object of this port, or a
 *	         push to one that is not READY
 *	ESTALE   @generation is over
 *	EINVAL   wrong op, flag, error, alignment, length, or a field that must
 *	         be 0; DESTROY of a target's object
 *	ERANGE   the range leaves the request, the object, the registered device, or
 *	         the file that is to be read; or it is not all of the DATA_RETURN that
 *	         is to be written
 *	EEXIST   a push met only pages that are there, or delegated for writing
 *	EAGAIN   a push met a client's lock, nothing more was done: ask no more,
 *	         it is no error to be late
 *	EFAULT   @addr cannot be read or written, or is NULL
 *	ENOMEM   no memory for a push
 *	EBADF    @file is not registered, or cannot be written so: opened read-only or
 *	         to append, swap, or a device that is read-only, zoned, or needs stable pages
 * @file: EXTPAGER_REF_FILE: which one; else 0
 */
struct extpager_reply {
	__u16 op;
	__u16 flags;
	__u32 generation;
	__aligned_u64 tag;
	__aligned_u64 object;
	__aligned_u64 offset;
	__u32 length;
	__u32 error;
	__aligned_u64 addr;
	__u32 attributes;
	__s32 out_result;
	__u32 out_done;
	__u32 file;
};

/**
 * struct extpager_kernel_region - head of a queue's read-only mapping
 * @event_tail: free-running: events posted so far. The pager loads it with
 *	acquire before it reads entries.
 * @flags: EXTPAGER_KF_*
 * @reply_head: free-running: replies taken so far, stored with release after
 *	their outcome was written
 * @event_mask: entries - 1
 * @reply_mask: entries - 1
 * @events_off: offset of the event entries in this region
 * @replies_off: offset of the reply entries in the user region
 * @bad_replies: replies refused so far: those whose @out_result is not 0
 */
struct extpager_kernel_region {
	__u32 event_tail;
	__u32 flags;
	__u32 pad0[14];
	__u32 reply_head;
	__u32 pad1[15];
	__u32 event_mask;
	__u32 reply_mask;
	__u32 events_off;
	__u32 replies_off;
	__aligned_u64 bad_replies;
	__u32 pad2[10];
};

#define EXTPAGER_KF_BACKLOG	(1U << 0) /* events wait in the kernel: ENTER to get them */
#define EXTPAGER_KF_DEAD	(1U << 1) /* the port has ended, or its pager is dead */

/**
 * struct extpager_user_region - head of a queue's read-write mapping
 * @event_head: free-running: events consumed so far, stored with release
 *	after the entries were read
 * @flags: EXTPAGER_UF_*
 * @reply_tail: free-running: replies written so far, stored with release
 */
struct extpager_user_region {
	__u32 event_head;
	__u32 flags;
	__u32 pad0[14];
	__u32 reply_tail;
	__u32 pad1[15];
};

#define EXTPAGER_UF_NO_WAKEUP	(1U << 0) /* the pager looks by itself: do not wake poll */

#endif /* _UAPI_LINUX_EXTPAGER_H */
