/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Internal types of extpager.
 *
 * A *target* is a super block and bdi of its own, the settings that go with
 * them and a table of requests. A named target has one object; the unnamed
 * objects of a port share one target without a name. An *object* is an inode
 * with its own page cache. A *request* is something the pager is asked. A
 * *port* is the pager's end: queues of events and replies.
 *
 * Lock order, outer to inner:
 *	handle->lock (mutex: becoming a port)
 *	port->lock (mutex: attach, detach, set-up, death) -> ports_lock
 *	queue->submit (mutex: one taker of replies)
 *	inode lock -> mmap lock -> invalidate_lock -> folio lock
 *	target->lock (spinlock: states, requests, objects)
 *	queue->lock (spinlock: the ring's kernel side)
 *	gate bucket locks; i_lock of an object's inode (its attributes)
 * Of the fourth line ENTER takes the mmap lock, for its own buffers, and the
 * others only by trylock. extpager_targets_lock is taken with none of these held.
 */
#ifndef EXTPAGER_H
#define EXTPAGER_H

#include <linux/atomic.h>
#include <linux/backing-dev.h>
#include <linux/blk_types.h>
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/kobject.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mount.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <linux/extpager.h>
#include <linux/extpager_netlink.h>

#include "compat/compat.h"

struct extpager_delegations;
struct extpager_port;
struct extpager_queue;
struct extpager_target;
struct sk_buff;

/* ---- settings of a target, as configured over netlink ---- */

enum extpager_phase {
	EXTPAGER_PHASE_HANDSHAKE,
	EXTPAGER_PHASE_PAGE_IN,
	EXTPAGER_PHASE_RETURN,
	EXTPAGER_PHASE_SYNC,
	EXTPAGER_PHASES,
};

struct extpager_settings {
	char name[EXTPAGER_NAME_MAX + 1];
	u64 bytes;
	char *store;			/* owned; NULL for a port's target */
	kuid_t uid;
	kgid_t gid;
	umode_t mode;
	bool read_only;
	kuid_t pager_uid;		/* INVALID_UID: nobody */
	u32 policy;
	u64 quota;			/* bytes */
	u32 timeout_ms[EXTPAGER_PHASES];
	u32 action[EXTPAGER_PHASES];	/* enum extpager_action, at the timeout */
	u64 spill_limit;		/* bytes */
	u32 grace_ms;
};

#define EXTPAGER_ACTIONS_DEFAULT {					\
	[EXTPAGER_PHASE_HANDSHAKE]	= EXTPAGER_ACTION_ERROR,	\
	[EXTPAGER_PHASE_PAGE_IN]	= EXTPAGER_ACTION_ERROR,	\
	[EXTPAGER_PHASE_RETURN]		= EXTPAGER_ACTION_SPILL,	\
	[EXTPAGER_PHASE_SYNC]		= EXTPAGER_ACTION_ERROR,	\
}

/* ---- requests ---- */

/*
 *	        alloc          submit            answer, deadline, withdraw
 *	FREE ----------> NEW ----------> PENDING --------------------------> ENDED
 *	 ^                |               |    ^                              ^ |
 *	 |    abandon     |    pager lost,|    |resend                        | |
 *	 +----------------+        overdue|    |                              | |
 *	 |                |               v    |            given up          | |
 *	 |                +------------> PARKED ------------------------------+ |
 *	 |                 zeroed range: a record first, then sent              |
 *	 +----------------------------------------------------------------------+
 *	                        last reference dropped
 */
enum extpager_request_state {
	EXTPAGER_REQUEST_FREE,
	EXTPAGER_REQUEST_NEW,		/* the maker's alone */
	EXTPAGER_REQUEST_PENDING,	/* the pager is to answer */
	EXTPAGER_REQUEST_PARKED,	/* a record of what is to be asked again, no folios */
	EXTPAGER_REQUEST_ENDED,		/* @error says how */
};

#define EXTPAGER_INLINE_FOLIOS	32
#define EXTPAGER_BATCH		32
#define EXTPAGER_RUN_PAGES	(EXTPAGER_RUN_BYTES >> PAGE_SHIFT)
static_assert(EXTPAGER_RUN_PAGES <= EXTPAGER_BATCH);
#define EXTPAGER_REQUEST_PAGES	(EXTPAGER_REQUEST_MAX >> PAGE_SHIFT)

struct extpager_request {
	/* const while the target lives */
	struct extpager_target *target;
	u16 slot;

	/* const from submit to end */
	struct extpager_object *object;	/* NULL if no answer is wanted */
	u64 object_id;
	u32 attributes;
	u8 op;
	u64 tag;
	pgoff_t index;
	unsigned int nr;		/* pages, for data requests and returns */
	loff_t length;			/* bytes; ends at the object's size */
	loff_t wanted;
	u64 covers;			/* SYNC: object->returned when it was sent */
	u32 access;
	struct folio **folios;		/* inline_folios, or kvmalloc'ed; by their first page */
	bool large;			/* some may stand for several pages */

	/* protected by target->lock; written in request.c only */
	enum extpager_request_state state;
	u16 flags;			/* EXTPAGER_EVF_* */
	u32 generation;
	int error;
	bool announced;			/* a zeroed range that is not sent yet */
	bool abandoned;			/* and whose maker was killed */
	bool overdue;			/* a record that a silent pager is not asked for again */
	bool warned;			/* half of its deadline is over */
	bool detached;			/* a return whose pages have gone another way */
	unsigned int refs;		/* one while unanswered, one a claim or waiter */
	unsigned int claims;		/* RETURN_FETCHes under way */
	bool gave_up;			/* pages of large folios, which are asked for anew */
	unsigned int left;		/* pages neither supplied, failed nor given back */
	unsigned int nr_reading;	/* of them, that the kernel reads, lost ones too */
	unsigned int nr_writing;	/* parts of a return that the kernel writes */
	int write_error;		/* of those that are written */
	struct list_head reads;		/* claims that the kernel fills */
	struct list_head written;	/* in target->written, if @nr_writing */
	unsigned long deadline;		/* jiffies */
	unsigned long due;		/* jiffies: looked at, at half of it and at its end */
	struct list_head node;		/* free, pending[] or parked */

	u64 sent;			/* ns; const from submit to end */
	/* const from submit to end; of a page-in asked again: the record's */
	unsigned long made;		/* jiffies */
	pid_t pid;			/* its maker, in the initial namespace */
	char comm[TASK_COMM_LEN];

	/* protected by queue->lock */
	struct list_head backlog;
	struct extpager_queue *queue;	/* that it was posted to */
	bool in_ring;
	u32 ring_index;			/* if @in_ring */

	struct folio *inline_folios[EXTPAGER_INLINE_FOLIOS];
};

/* Folios taken out of a DATA_REQUEST: the taker supplies, fails or returns them. */
struct extpager_claim {
	struct extpager_request *req;
	unsigned int first;		/* index in req->folios of the batch */
	unsigned int span;		/* pages; ends at a hole behind folios, too */
	unsigned int nr;		/* of them, in folios of the batch */
	bool gave_up;			/* large folios, of which it was to be a part, were */
	bool reading;			/* the kernel does, and has a reference of each */
	/* then, protected by target->lock */
	bool lost;			/* they are not in the cache any more */
	struct list_head node;		/* in req->reads, unless lost or split off */
	struct folio *folios[EXTPAGER_BATCH];	/* NULL where answered, or of the one before */
};

/* ---- objects ---- */

enum extpager_object_state {
	EXTPAGER_OBJECT_IDLE,		/* not in use, nothing in the cache */
	EXTPAGER_OBJECT_INIT,		/* INIT is out, or waits for a pager */
	EXTPAGER_OBJECT_READY,
	EXTPAGER_OBJECT_FAILED,		/* READY said @error */
	EXTPAGER_OBJECT_GONE,		/* destroyed; resident pages stay readable */
};

struct extpager_object {
	struct inode inode;
	struct extpager_target *target;	/* pinned by the super block */
	u64 id;
	bool read_only;
	atomic_t opens;
	bool found;			/* the last page looked for at random was here: a hint */
	struct delayed_work work;	/* terminate, destroy, attributes */

	/* protected by target->lock */
	enum extpager_object_state state;
	u32 generation;
	u32 attributes;
	int error;
	bool init_sent;			/* in this state INIT */
	bool terminating;		/* the cache is being emptied: openers wait */
	bool initialised;		/* some pager said READY since the object was idle */
	bool destroy, discard;
	bool attributes_ack;
	union {
		struct {
			u32 zeros;	/* zeroed ranges not yet acknowledged */
			u32 has_lost;	/* @lost is not empty; under its lock */
		};
		u64 exceptions;		/* both, for who misses a page */
	};
	u64 returned;			/* RETURN_DONEs so far */
	u64 synced;			/* of these, covered by a SYNC_DONE */
	u64 flushed;			/* of @written, covered by a flush of the devices */
	atomic64_t written;		/* delegated writes so far; no lock */
	unsigned int nr_writing;	/* returns that the kernel writes, given up or not */
	atomic_t write_errors;		/* each is in the mapping's errseq too */
	unsigned long retry_at;		/* jiffies: background returns pause until then */
	unsigned long large_at;		/* and its pager is asked for single pages */
	u64 nr_failures;
	struct extpager_delegations __rcu *delegations;	/* delegate.c; set under the lock */
	struct extpager_spill *spill;	/* spill.c; set once, read if @nr_spilled */
	atomic_long_t nr_spilled;	/* pages */
	struct xarray accepted;		/* by user: the pager that he accepted, accept.c */
	struct xarray lost;		/* lost.c: pages, under its own lock */
	struct extpager_failure failures[EXTPAGER_FAILURES_MAX];	/* a ring */
};

/* Leaves room for rounding up to pages, and to requests. */
#define EXTPAGER_BYTES_MAX	(LLONG_MAX & ~0xfffffULL)

/* In target->objects: may want an INIT. Set whenever one that does comes to want it. */
#define EXTPAGER_INIT_WANTED	XA_MARK_1

static inline struct extpager_object *extpager_object(struct inode *inode)
{
	return container_of(inode, struct extpager_object, inode);
}

/* Bytes in memory. */
static inline u64 extpager_object_resident(const struct extpager_object *obj)
{
	return (u64)READ_ONCE(obj->inode.i_mapping->nrpages) << PAGE_SHIFT;
}

/*
 * Asked after a page was marked dirty: either this sees the object go, and the
 * writer is told, or extpager_object_end() sees the page, and the object stays.
 */
static inline bool extpager_object_gone(const struct extpager_object *obj)
{
	/* Pairs with extpager_object_end(). */
	smp_mb();
	return READ_ONCE(obj->state) == EXTPAGER_OBJECT_GONE;
}

/* For who syncs: errseq alone does not tell apart two errors that nobody has seen. */
static inline void extpager_object_write_error(struct extpager_object *obj, int error)
{
	mapping_set_error(obj->inode.i_mapping, error);
	atomic_inc(&obj->write_errors);
}

/* Has the store something that may not survive power loss? */
static inline bool extpager_object_unsynced(const struct extpager_object *obj)
{
	return READ_ONCE(obj->returned) != READ_ONCE(obj->synced);
}

/* The same of what was written without its pager. */
static inline bool extpager_object_unflushed(const struct extpager_object *obj)
{
	return atomic64_read(&obj->written) != READ_ONCE(obj->flushed);
}

static inline struct extpager_object *extpager_file_object(struct file *file)
{
	return extpager_object(file->f_mapping->host);
}

/* Does the kernel itself have content of the object that its pager has not? */
static inline bool extpager_object_keeps(const struct extpager_object *obj)
{
	return READ_ONCE(obj->zeros) || atomic_long_read(&obj->nr_spilled);
}

/* May a missing page be one that its pager is not to be asked for? */
static inline bool extpager_object_excepts(const struct extpager_object *obj)
{
	return READ_ONCE(obj->exceptions) || atomic_long_read(&obj->nr_spilled);
}

/* ---- latencies ---- */

/* Of [2^(n-1), 2^n) us, bucket 0 below 1 us, the last one without an end: 67 s on. */
#define EXTPAGER_BUCKETS	28

struct extpager_histogram {
	atomic64_t sum;			/* ns */
	atomic64_t bucket[EXTPAGER_BUCKETS];
};

/* ---- targets ---- */

#define EXTPAGER_CHUNK_REQUESTS	64
#define EXTPAGER_CHUNKS		512
#define EXTPAGER_RESERVE	16	/* requests kept for page-outs and barriers */
#define EXTPAGER_RETURNS_MAX	64	/* page-outs under way at once */

struct extpager_target {
	/*
	 * @users may touch its objects' inodes: the registry, a port, workers,
	 * calls under way. With the last one the mount goes. @ref keeps the
	 * memory: one for all users, one for the super block, which lives as
	 * long as files are open.
	 */
	refcount_t users;
	refcount_t ref;
	struct work_struct unmount_work;
	struct rcu_work free_work;
	u32 id;
	struct vfsmount *mnt;
	struct super_block *sb;
	bool named;
	kuid_t to_accept;		/* its pager, by others who map; or INVALID_UID; no lock */
	struct kobject kobj;		/* in sysfs, if named; ends before @users does */
	struct completion kobj_released;

	spinlock_t lock;		/* states, requests, objects */

	/* protected by @lock; read without it as a hint */
	struct extpager_settings settings;	/* name, bytes, read_only: const */
	enum extpager_target_state state;
	bool draining;
	bool orphaning;			/* the lost pager's requests are being parked */
	bool grace_over;
	bool slow;			/* half a deadline has passed, and no answer since */
	bool store_used;		/* an INIT was sent since the store was named */
	struct extpager_port *port;
	struct xarray objects;		/* by the lower half of their ids */
	unsigned int nr_objects;
	u32 next_object;		/* protected by the array's own lock */

	/* the table of requests, protected by @lock */
	struct extpager_request *chunks[EXTPAGER_CHUNKS];
	unsigned int nr_chunks;
	struct list_head free;
	unsigned int nr_free;
	struct list_head pending[EXTPAGER_PHASES];	/* by @due */
	unsigned int nr_pending[EXTPAGER_PHASES];
	unsigned int nr_detached;	/* and returns given up that the kernel writes yet */
	struct list_head written;	/* returns that the kernel is writing */
	struct list_head parked;
	bool any_overdue;		/* of them; else none has to be looked at */
	struct task_struct *resender;	/* wakes the pager for many requests at once */
	unsigned long probe_at;		/* jiffies: one that is overdue is asked again */
	bool tick_armed;
	unsigned long tick_at;		/* jiffies */
	bool discard;

	atomic_long_t nr_spilled;	/* pages, of all objects */
	struct extpager_object *spilling;	/* spill_work is at it; set under @lock */
	bool spill_full;		/* it took no more when it was last tried */
	bool squeezed;			/* a writer waits, and nothing is answered; under @lock */
	unsigned long stalled_at;	/* jiffies; under @lock */
	unsigned long patience;		/* jiffies that a writer waits until it is squeezed */

	struct delayed_work deadline_work;
	struct delayed_work grace_work;
	struct delayed_work resend_work;
	struct delayed_work spill_work;
	struct work_struct flush_work;
	struct delayed_work drain_work;

	/* parked accesses, openers, quota waiters, fsync: any change of state */
	wait_queue_head_t wait;
	u64 spin;			/* ns, of who waits for a page; spin.c */

	atomic64_t stats[__EXTPAGER_A_STATS_MAX];
	struct extpager_histogram queued[EXTPAGER_PHASES], answering[EXTPAGER_PHASES];
	struct extpager_histogram waking;	/* from page-ins */
};

/*
 * For lockdep a pager is a lock: who waits for one takes it, who answers holds
 * it. So a lock that is held across the wait and taken for the answer is found
 * although the way from one to the other leads through user space.
 */
#ifdef CONFIG_LOCKDEP
extern struct lockdep_map extpager_pager_map;

static inline void extpager_waits_for_pager(void)
{
	lock_map_acquire(&extpager_pager_map);
	lock_map_release(&extpager_pager_map);
}

static inline void extpager_pager_answers(void)
{
	lock_map_acquire(&extpager_pager_map);
}

static inline void extpager_pager_answered(void)
{
	lock_map_release(&extpager_pager_map);
}
#else
static inline void extpager_waits_for_pager(void) { }
static inline void extpager_pager_answers(void) { }
static inline void extpager_pager_answered(void) { }
#endif

#define extpager_count(t, what) \
	atomic64_inc(&(t)->stats[EXTPAGER_A_STATS_##what])
#define extpager_count_add(t, what, n) \
	atomic64_add(n, &(t)->stats[EXTPAGER_A_STATS_##what])

static inline bool extpager_target_live(const struct extpager_target *t)
{
	enum extpager_target_state state = READ_ONCE(t->state);

	return state == EXTPAGER_STATE_LIVE || state == EXTPAGER_STATE_STALLED;
}

static inline unsigned int extpager_target_asked(const struct extpager_target *t,
						 enum extpager_phase phase)
{
	/* A hint: it changes under the lock, by plain adds, since they are one instruction. */
	return data_race(READ_ONCE(t->nr_pending[phase]));
}

/* ---- ports ---- */

struct extpager_region {
	struct page **pages;
	unsigned int nr;
	void *addr;
};

/* What finds no room in a ring: page-outs, and the few others, wait for no page-in. */
enum extpager_class {
	EXTPAGER_CLASS_FIRST,
	EXTPAGER_CLASS_PAGE_IN,
	EXTPAGER_CLASSES
};

struct extpager_queue {
	struct extpager_port *port;
	u32 index;
	u32 entries;
	struct extpager_region kernel_mem, user_mem;
	struct extpager_kernel_region *kernel;	/* the pager can only read it */
	struct extpager_event *events;
	struct extpager_user_region *user;	/* the pager writes it: hostile */
	struct extpager_reply *replies;

	wait_queue_head_t wait;
	bool kicked;			/* WAKE: the sleep is over */
	u32 awaits;			/* so many events does a thread wait for, or 0: a hint */
	u64 spin;			/* ns; spin.c */

	spinlock_t lock;		/* the event ring's kernel side */
	/* protected by @lock; kernel->event_tail and flags are copies */
	u32 event_tail;
	u64 nr_events;			/* like nr_replies and nr_bad, of all pagers of the port */
	struct list_head backlog[EXTPAGER_CLASSES];
	u32 nr_backlog;
	u32 seen;			/* events before this one the pager has */
	u64 *seen_at;			/* ns: since when, by place in the ring */

	struct mutex submit;		/* one taker of replies at a time */
	/* protected by @submit; kernel->reply_head is a copy */
	u32 reply_head;
	u64 nr_replies, nr_bad;
};

struct extpager_port {
	refcount_t ref;
	struct rcu_head rcu;
	u32 id;
	struct mutex lock;		/* attach, detach, set-up, death */
	struct file *rings;		/* inner file that the ring mappings pin */
	struct extpager_target *own;	/* of the unnamed objects */
	struct xarray targets;		/* attached, @own too, or FORMER; by id; under @lock */
	unsigned int nr_targets;
	struct xarray files;		/* registered ones; under @lock, read under RCU */
	u32 next_file;
	unsigned int nr_files;
	struct workqueue_struct *files_wq;	/* reads files; made for the first one */
	struct work_struct free_work;

	struct extpager_queue *queues;	/* const after SETUP */
	unsigned int nr_queues;
	u32 ring_entries;
	wait_queue_head_t poll;

	/* The pager: an address space. @mm is compared, never used, once !@alive. */
	struct mm_struct *mm;
	bool alive;
	bool large;			/* it has asked for large folios */
	bool notifier_set;
	struct mmu_notifier notifier;
	struct work_struct death_work;
	kuid_t uid;
	struct pid *pid;		/* changes under the lock of the list of ports */

	/* A bit a queue: does a thread wait there, for one event? A hint, written at each wait. */
	unsigned long attended ____cacheline_aligned_in_smp;
};

/* ---- the state of an open /dev/extpager ---- */

struct extpager_handle {
	struct mutex lock;		/* becoming a port or a client */
	struct extpager_port *port;	/* once SETUP was called */
	struct file *inner;		/* once it was used as a client of `default` */
	errseq_t wb_err;		/* of `default` when the node was opened */
	bool wb_err_set;
};

/* main.c */
extern struct workqueue_struct *extpager_wq;
extern struct workqueue_struct *extpager_slow_wq;
extern struct workqueue_struct *extpager_spill_wq;
extern struct workqueue_struct *extpager_read_wq;
extern bool extpager_unprivileged_pagers;

/* chardev.c */
int extpager_chardev_init(void);
void extpager_chardev_exit(void);
long extpager_copy_arg(void *arg, const void __user *uarg, u32 known);

/* port.c */
struct extpager_port *extpager_port_setup(struct extpager_port *port,
					  struct extpager_setup *arg);
void extpager_port_release(struct extpager_port *port);
void extpager_port_put(struct extpager_port *port);
int extpager_port_attach(struct extpager_port *port, struct extpager_attach *arg);
int extpager_port_detach(struct extpager_port *port, u64 object);
int extpager_port_create(struct extpager_port *port,
			 struct extpager_object_create *arg, struct file **filep);
struct extpager_target *extpager_port_target(struct extpager_port *port, u64 object);
bool extpager_port_has_detached(struct extpager_port *port, u64 object);
bool extpager_port_forget(struct extpager_port *port, struct extpager_target *t);
bool extpager_port_is_caller(const struct extpager_port *port);
int extpager_port_mmap(struct extpager_port *port, struct vm_area_struct *vma);
int extpager_port_for_each(int (*fn)(struct extpager_port *port, void *arg),
			   unsigned long *cursor, void *arg);

/* accept.c */
bool extpager_may_map(struct extpager_object *obj);
long extpager_accept(struct extpager_object *obj, const struct extpager_accept *arg);

/* ring.c */
int extpager_queue_init(struct extpager_queue *q, struct extpager_port *port,
			u32 index, u32 entries);
void extpager_queue_destroy(struct extpager_queue *q);
void extpager_queue_reset(struct extpager_queue *q);
size_t extpager_kernel_region_len(u32 entries);
size_t extpager_user_region_len(u32 entries);
int extpager_queue_mmap(struct extpager_queue *q, struct vm_area_struct *vma, bool user);
struct extpager_queue *extpager_queue_divert(struct extpager_queue *own,
					     const struct extpager_request *req);
bool extpager_queue_post(struct extpager_queue *q, struct extpager_request *req);
void extpager_queue_withdraw(struct extpager_queue *q, struct extpager_request *req);
u64 extpager_queue_seen_at(const struct extpager_request *req);
void extpager_queue_wake(struct extpager_queue *q);
void extpager_queue_kick(struct extpager_queue *q);
bool extpager_queue_readable(struct extpager_queue *q);
long extpager_queue_enter(struct extpager_queue *q, const struct extpager_enter *arg);

/* backing.c: files that a pager has registered */
struct extpager_backing {
	refcount_t ref;
	struct rcu_head rcu;
	struct file *file;
	struct block_device *bdev;	/* the file's, or NULL: a regular file */
	const struct cred *cred;	/* of who registered it, whoever opened it */
	struct mem_cgroup *memcg;	/* and its: pays for what is memory itself; or NULL */
	u32 align;

	atomic_t nr_writing;		/* writes that go by it */
	bool gone;			/* no more of them */

	spinlock_t lock;		/* of what follows, for a regular file */
	struct {
		unsigned int nr;	/* at work */
		struct list_head waiting;
	} jobs[2];			/* ITER_DEST: reads; ITER_SOURCE: writes */
};

/* A piece of work on a regular file. */
struct extpager_file_job {
	struct list_head node;
	struct work_struct work;
	struct workqueue_struct *wq;
};

int extpager_backing_register(struct extpager_port *port, struct extpager_register *arg);
int extpager_backing_unregister(struct extpager_port *port, u32 file);
void extpager_backings_forget(struct extpager_port *port);
struct extpager_backing *extpager_backing_get(struct extpager_port *port, u32 file);
void extpager_backing_put(struct extpager_backing *backing);
int extpager_backing_check(const struct extpager_backing *backing, u64 pos, u64 bytes);
unsigned int extpager_backing_pages(const struct extpager_backing *backing, u64 pos, u64 bytes);
struct extpager_backing *extpager_backing_write_get(struct extpager_port *port, u32 file);
void extpager_backing_write_ref(struct extpager_backing *backing);
void extpager_backing_write_put(struct extpager_backing *backing);
void extpager_file_job_begin(struct extpager_backing *backing, unsigned int direction,
			     struct extpager_file_job *job);
void extpager_file_job_ended(struct extpager_backing *backing, unsigned int direction);
int extpager_file_io(const struct extpager_backing *backing, unsigned int direction, u64 pos,
		     struct bio_vec *vec, unsigned int nr, u32 bytes, u32 needed);

/* transfer.c: the kernel fills folios from a backing by itself */
struct extpager_transfer;

int extpager_transfer_init(void);
void extpager_transfer_exit(void);
struct extpager_transfer *extpager_transfer_alloc(struct extpager_port *port,
						  struct extpager_object *obj,
						  struct extpager_backing *backing,
						  unsigned int nr);
void extpager_transfer_free(struct extpager_transfer *tr);
struct extpager_claim *extpager_transfer_claim(struct extpager_transfer *tr);
void extpager_transfer_read(struct extpager_transfer *tr, u64 pos);
void extpager_transfer_tell(const struct extpager_object *obj, pgoff_t index, unsigned int nr,
			    int error);
int extpager_transfer_error(int error);

/* writeout.c: and writes them there */
int extpager_writeout_init(void);
void extpager_writeout_exit(void);
unsigned int extpager_writeout_parts(const struct extpager_request *req);
void extpager_writeout(struct extpager_port *port, struct extpager_request *req,
		       struct extpager_backing *backing, u64 pos);

/* delegate.c: which ranges the kernel reads and writes by itself */
int extpager_delegate(struct extpager_port *port, const struct extpager_delegate *arg);
void extpager_delegations_ready(struct extpager_object *obj, int error);
void extpager_delegations_end(struct extpager_object *obj);
void extpager_delegations_quiesce(struct extpager_object *obj);
void extpager_delegations_free(struct extpager_object *obj);
bool extpager_delegates_some(struct extpager_object *obj);
void __extpager_delegated_meanwhile(struct extpager_object *obj, pgoff_t index, unsigned int nr);
bool __extpager_delegated(struct extpager_object *obj, pgoff_t index, bool write);
pgoff_t extpager_delegated_pages(struct extpager_object *obj, pgoff_t index, bool write);

/* delegate-io.c: and how */
struct extpager_delegated_run {
	struct extpager_object *obj;
	blk_opf_t opf;
	struct bio *bio;		/* not sent yet; or NULL */
	pgoff_t next, last;		/* what may join it: up to the range's end */
	u32 align;			/* of the device */
};

int extpager_delegate_init(void);
void extpager_delegate_exit(void);
bool __extpager_delegated_read(struct extpager_delegated_run *run, struct folio *folio,
			       unsigned int pages);
void __extpager_delegated_write(struct extpager_object *obj, pgoff_t index, pgoff_t last,
				xa_mark_t tag, struct writeback_control *wbc);
void extpager_delegated_submit(struct extpager_delegated_run *run);
int extpager_delegated_flush(struct extpager_object *obj);

/* Is anything? Who has no use for it is not to pay for it. */
static inline bool extpager_delegates(const struct extpager_object *obj)
{
	return unlikely(rcu_access_pointer(obj->delegations));
}

static inline bool extpager_delegated_read(struct extpager_delegated_run *run,
					   struct folio *folio, unsigned int pages)
{
	return extpager_delegates(run->obj) && __extpager_delegated_read(run, folio, pages);
}

static inline void extpager_delegated_write(struct extpager_object *obj, pgoff_t index,
					    pgoff_t last, xa_mark_t tag,
					    struct writeback_control *wbc)
{
	if (extpager_delegates(obj))
		__extpager_delegated_write(obj, index, last, tag, wbc);
}

/* Dirty, it does not go to the pager. */
static inline bool extpager_delegated_for_write(struct extpager_object *obj, pgoff_t index)
{
	return extpager_delegates(obj) && __extpager_delegated(obj, index, true);
}

/* reply.c */
bool extpager_error_is_legal(u32 error);
void extpager_reply_handle(struct extpager_port *port, struct extpager_reply *re);

static inline bool extpager_request_is_zero(const struct extpager_request *req)
{
	return req->flags & EXTPAGER_EVF_ZERO;
}

/* The pager must answer it; TERMINATE and ATTRIBUTES only tell. */
static inline bool extpager_request_wants_reply(const struct extpager_request *req)
{
	return req->op != EXTPAGER_EV_TERMINATE && req->op != EXTPAGER_EV_ATTRIBUTES;
}

static inline bool extpager_request_overlaps(const struct extpager_request *req,
					     const struct extpager_object *obj,
					     pgoff_t first, pgoff_t last)
{
	return req->object == obj && req->index <= last && req->index + req->nr > first;
}

/* request.c */
int extpager_requests_init(struct extpager_target *t);
void extpager_requests_destroy(struct extpager_target *t);
struct extpager_request *extpager_request_alloc(struct extpager_object *obj, u8 op,
						unsigned int nr);
bool extpager_request_enlarge(struct extpager_request *req, unsigned int nr);
void extpager_request_get(struct extpager_request *req);
void extpager_request_put(struct extpager_request *req);
bool extpager_request_may_submit(struct extpager_request *req);
bool extpager_request_recorded(struct extpager_object *obj, u8 op, pgoff_t index,
			       unsigned int nr);
bool extpager_page_detached(struct extpager_object *obj, pgoff_t index);
bool extpager_page_overdue(struct extpager_object *obj, pgoff_t index);
int extpager_request_submit(struct extpager_request *req);
void extpager_request_posted(struct extpager_request *req, u64 tag);
int extpager_request_wait(struct extpager_request *req);
int extpager_request_claim(struct extpager_target *t, const struct extpager_reply *re,
			   pgoff_t index, unsigned int nr, struct extpager_claim *claim);
bool extpager_request_take(struct extpager_object *obj, pgoff_t index, pgoff_t nr,
			   u32 generation, struct extpager_claim *claim);
void extpager_claim_split(struct extpager_claim *claim, struct extpager_claim *head);
void extpager_request_lose_reads(struct extpager_object *obj, pgoff_t index, pgoff_t nr);
bool extpager_request_is_answered(const struct extpager_request *req);
void extpager_claim_end(struct extpager_claim *claim, unsigned int done, int error);
int extpager_request_hold(struct extpager_target *t, const struct extpager_reply *re,
			  struct extpager_request **reqp);
void extpager_request_unhold(struct extpager_request *req);
bool extpager_request_write(struct extpager_request *req, unsigned int parts);
bool extpager_request_written(struct extpager_request *req, int error);
bool extpager_range_written(const struct extpager_object *obj, pgoff_t first, pgoff_t last);
int extpager_request_answer(struct extpager_target *t, const struct extpager_reply *re);
/* and, with target->lock held, but for settle: */
enum extpager_request_state extpager_request_close(struct extpager_request *req,
						   enum extpager_request_state state, int error);
enum extpager_request_state extpager_request_returned(struct extpager_request *req, int error);
enum extpager_request_state extpager_request_overdue(struct extpager_request *req);
void extpager_request_settle(struct extpager_request *req, enum extpager_request_state state);
void extpager_request_detach(struct extpager_request *req);
void extpager_request_park(struct extpager_request *req);
void extpager_request_resend(struct extpager_request *req, u16 flags);

/* failure.c */
void extpager_failure_note(struct extpager_object *obj, u8 op, pgoff_t index, u64 length,
			   int error);
long extpager_failures_get(struct extpager_object *obj, struct extpager_failures *arg);
long extpager_failures_ioctl(struct extpager_object *obj, void __user *uarg);

/* latency.c */
void extpager_latency_answered(struct extpager_request *req, enum extpager_phase phase, u64 now);
void extpager_latency_woken(struct extpager_target *t, u64 woken);
int extpager_latency_put(struct sk_buff *skb, struct extpager_target *t);

/* pending.c */
struct extpager_pending {
	u8 op;
	u32 place;
	u16 flags;
	u64 object, offset, length;
	u64 age_ms;
	u64 left_ms;			/* until its deadline; if @place is not PARKED */
	pid_t pid;
	char comm[TASK_COMM_LEN];
};

bool extpager_pending_next(struct extpager_target *t, unsigned long *slot,
			   struct extpager_pending *p);
int extpager_pending_put(struct sk_buff *skb, const struct extpager_pending *p, bool privileged);

/* zero.c */
int extpager_request_announce_zero(struct extpager_request *req);
void extpager_request_abandon_zero(struct extpager_request *req);
bool extpager_zeros_finish(struct extpager_target *t);
bool extpager_zero_is_held(struct extpager_request *req);
bool extpager_zeros_expire(struct extpager_target *t, unsigned long *at);
void extpager_request_send_zero(struct extpager_request *req);
bool extpager_zeros_overlap(struct extpager_object *obj, pgoff_t first, pgoff_t last);
int extpager_zeros_status(struct extpager_object *obj, pgoff_t first, pgoff_t last);

/* succession.c */
void extpager_requests_orphan(struct extpager_target *t);
void extpager_requests_give_up(struct extpager_target *t, struct extpager_object *obj,
			       int error, bool zeros);
void extpager_requests_withdraw(struct extpager_object *obj);
void extpager_requests_cancel(struct extpager_object *obj, int error);
void extpager_requests_resend(struct extpager_target *t);
void extpager_requests_again(struct extpager_target *t);
bool extpager_requests_probe(struct extpager_target *t, unsigned long *at);

/* deadline.c */
void extpager_deadline_arm(struct extpager_target *t, unsigned long deadline);
void extpager_deadlines_shorten(struct extpager_target *t);
void extpager_deadline_work(struct work_struct *work);

/* object.c */
int extpager_object_cache_init(void);
void extpager_object_cache_destroy(void);
extern const struct super_operations extpager_object_sops;
extern const struct dentry_operations extpager_object_dops;
struct extpager_object *extpager_object_create(struct extpager_target *t, u64 bytes,
					       umode_t mode, bool read_only);
void extpager_object_attributes_changed(struct extpager_object *obj);
struct file *extpager_object_file(struct extpager_object *obj, int flags);
void extpager_object_use(struct extpager_object *obj);
int extpager_object_wait_ready(struct extpager_object *obj);
int extpager_object_opened(struct extpager_object *obj);
void extpager_object_closed(struct extpager_object *obj);
void extpager_object_init_unsent(struct extpager_object *obj);
void extpager_object_written(struct extpager_object *obj);
void extpager_object_init_done(struct extpager_object *obj, int error, u32 attributes,
			       bool expired);
int extpager_object_status(struct extpager_object *obj);
bool extpager_objects_send_init(struct extpager_target *t);
void extpager_object_set_attributes(struct extpager_object *obj, u32 attributes);
void extpager_object_destroy(struct extpager_object *obj, bool discard);
int extpager_object_end(struct extpager_object *obj, bool discard);
struct extpager_object *extpager_object_find(struct extpager_target *t, u64 id);
struct extpager_object *extpager_object_next(struct extpager_target *t,
					     struct extpager_object *last);

/* mapping.c: the page cache's side of an object */
extern const struct address_space_operations extpager_aops;
enum extpager_page_state {
	EXTPAGER_PAGE_ABSENT,
	EXTPAGER_PAGE_COMING,
	EXTPAGER_PAGE_HERE,
};

enum extpager_page_state extpager_page_state(struct address_space *mapping, pgoff_t index);

static inline bool extpager_page_uptodate(struct address_space *mapping, pgoff_t index)
{
	return extpager_page_state(mapping, index) == EXTPAGER_PAGE_HERE;
}

int extpager_request_page(struct extpager_object *obj, pgoff_t index, bool try_hard);
/* Reclaims, but has nobody killed. */
#define EXTPAGER_GFP_SPARING	(__GFP_RETRY_MAYFAIL | __GFP_NOWARN)
bool extpager_await_memory(unsigned long *since);
void extpager_request_pages(struct extpager_object *obj, pgoff_t index, pgoff_t nr);
void extpager_wake_absent(struct extpager_object *obj, pgoff_t index, pgoff_t nr);
void extpager_folio_supplied(struct extpager_object *obj, struct folio *folio);
void extpager_folio_failed(struct extpager_object *obj, struct folio *folio);
void extpager_folio_refused(struct extpager_object *obj, struct folio *folio, int error);
void extpager_folio_returned(struct extpager_object *obj, struct folio *folio, int error);
int extpager_push(struct extpager_object *obj, u32 generation, pgoff_t index,
		  const void __user *buf);
void extpager_send_range(struct extpager_object *obj, pgoff_t first, pgoff_t last,
			 struct writeback_control *wbc);
int extpager_return_range(struct extpager_object *obj, pgoff_t index, pgoff_t last,
			  xa_mark_t tag, struct writeback_control *wbc);
void extpager_zero_pages(struct extpager_object *obj, pgoff_t first, pgoff_t nr);

/* large.c */
void extpager_large_allow(struct extpager_object *obj);
bool extpager_large_wanted(struct extpager_object *obj, struct folio *folio);
void extpager_large_pause(struct extpager_object *obj);
void extpager_large_resume(struct extpager_object *obj);
bool extpager_page_large(struct extpager_object *obj, pgoff_t index);
void extpager_split(struct extpager_object *obj, pgoff_t index);

/* sync.c: who waits until what is dirty is in the store */
bool extpager_range_returning(struct extpager_object *obj, pgoff_t first, pgoff_t last);
int extpager_wait_returned(struct extpager_object *obj, pgoff_t index, pgoff_t last);
int extpager_wait_zeros(struct extpager_object *obj, pgoff_t first, pgoff_t last);
int extpager_return_sync(struct extpager_object *obj, loff_t start, loff_t end, bool barrier);
bool extpager_sync_needs_pager(struct extpager_object *obj, pgoff_t first, pgoff_t last);
bool extpager_object_clean(struct extpager_object *obj);
unsigned long extpager_object_dirty_pages(struct extpager_object *obj);

/* spill.c: dirty pages that the pager does not take */
/* What becomes of one; whoever traces it goes by the numbers. */
enum extpager_spill_event {
	EXTPAGER_SPILL_TAKES = 1,	/* it stands there from now on */
	EXTPAGER_SPILL_GIVES,		/* it was read from there */
	EXTPAGER_SPILL_REFUSES,		/* it stays dirty */
};

bool extpager_target_spills(const struct extpager_target *t);
void extpager_spill_kick(struct extpager_target *t);
void extpager_spill_work(struct work_struct *work);
bool __extpager_spilled(struct extpager_object *obj, pgoff_t index);
int extpager_spill_read(struct extpager_object *obj, struct folio *folio);
void __extpager_spill_acknowledged(struct extpager_object *obj, pgoff_t index);
void extpager_spill_drop(struct extpager_object *obj, pgoff_t first, pgoff_t last);
unsigned long extpager_spill_only(struct extpager_object *obj);
bool extpager_spill_resent(struct extpager_object *obj, pgoff_t index);
bool extpager_spill_goes_first(struct extpager_object *obj);
void extpager_spill_quiesce(struct extpager_object *obj);
void extpager_spill_discard(struct extpager_object *obj);
void extpager_spill_free(struct extpager_object *obj);

/* Is the spill the place where the page's content is, or was when the cache's was clean? */
static inline bool extpager_spilled(struct extpager_object *obj, pgoff_t index)
{
	return unlikely(atomic_long_read(&obj->nr_spilled)) && __extpager_spilled(obj, index);
}

/* lost.c: dirty pages whose memory broke, or their swap */
int extpager_error_remove(EXTPAGER_ERROR_REMOVE_ARGS);
void extpager_lost_note(struct extpager_object *obj, pgoff_t index, const char *why, int error);
bool __extpager_lost(struct extpager_object *obj, pgoff_t index);
void __extpager_lost_forget(struct extpager_object *obj, pgoff_t first, pgoff_t last);

static inline bool extpager_lost(struct extpager_object *obj, pgoff_t index)
{
	return unlikely(READ_ONCE(obj->has_lost)) && __extpager_lost(obj, index);
}

/* Of pages [first, last] there is new content. */
static inline void extpager_lost_forget(struct extpager_object *obj, pgoff_t first, pgoff_t last)
{
	if (unlikely(READ_ONCE(obj->has_lost)))
		__extpager_lost_forget(obj, first, last);
}

/* Missing, it comes without anybody's being asked: its reader waits for a device alone. */
static inline bool extpager_needs_no_pager(struct extpager_object *obj, pgoff_t index)
{
	return extpager_delegates(obj) && __extpager_delegated(obj, index, false) &&
	       !extpager_spilled(obj, index);
}

static inline void extpager_delegated_meanwhile(struct extpager_object *obj, pgoff_t index,
						unsigned int nr)
{
	if (unlikely(extpager_delegates(obj)))
		__extpager_delegated_meanwhile(obj, index, nr);
}

/* Who paid for the folio pays for what is done for it; to be put. */
static inline struct mem_cgroup *extpager_folio_payer(struct folio *folio)
{
	struct mem_cgroup *memcg = NULL;

#ifdef CONFIG_MEMCG
	if (mem_cgroup_disabled())
		return NULL;
	rcu_read_lock();
	memcg = folio_memcg(folio);
	if (memcg && !css_tryget(&memcg->css))
		memcg = NULL;
	rcu_read_unlock();
#endif
	return memcg;
}

/* copy.c */
int extpager_copy_in(struct extpager_object *obj, struct folio *folio, pgoff_t index,
		     const void __user *buf);
int extpager_copy_out(struct folio *folio, size_t offset, void __user *buf, size_t len);

/* spin.c */
extern unsigned int extpager_spin_us;
bool extpager_spin_on(const u64 *length, u64 since);
void extpager_spin_learn(u64 *length, u64 since);

/*
 * Could somebody else run meanwhile, and has the caller time that is nobody else's? Workers have
 * not: what is queued behind one waits until it sleeps.
 */
static inline bool extpager_spins(void)
{
	if (num_online_cpus() == 1 || !READ_ONCE(extpager_spin_us) ||
	    current->flags & (PF_KTHREAD | PF_IO_WORKER))
		return false;
	/* Who waits for a lock of his may lend him his own at any time. */
	return data_race(current->prio) >= MAX_RT_PRIO;
}

/* gate.c: where accesses wait for the pager */
struct extpager_waiter {
	struct hlist_node node;
	struct extpager_object *object;
	pgoff_t index;
	struct task_struct *task;
	unsigned long since;		/* jiffies */
	u64 woken;			/* ns: when the page's fate was known */
	u32 access;
	int error;
	bool done;
	bool asked;
};

void extpager_gate_init(void);
void extpager_gate_exit(void);
void extpager_gate_enter(struct extpager_waiter *w, struct extpager_object *obj, pgoff_t index,
			 u32 access);
void extpager_drop_leftover(struct extpager_object *obj, pgoff_t index);
bool extpager_gate_told(struct extpager_waiter *w, long timeout);
int extpager_gate_leave(struct extpager_waiter *w);
vm_fault_t extpager_fault(struct vm_fault *vmf);
vm_fault_t extpager_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end);
vm_fault_t extpager_page_mkwrite(struct vm_fault *vmf);
int extpager_gate_page(struct extpager_object *obj, struct file *file, pgoff_t index,
		       pgoff_t nr, u32 access);
int extpager_gate_dirty(struct extpager_object *obj);
bool extpager_gate_wanted(struct extpager_object *obj, pgoff_t index, unsigned int nr,
			  pgoff_t *wanted, u32 *access);
u64 extpager_gate_wake(struct extpager_object *obj, pgoff_t index, unsigned int nr, int error);
bool extpager_gate_waits(const struct extpager_object *obj, pgoff_t index, unsigned int nr);
bool extpager_gate_sweep(struct extpager_target *t);

/* file.c */
extern const struct file_operations extpager_object_fops;
extern const struct inode_operations extpager_object_iops;

/* target.c */
struct extpager_target *extpager_target_create(const struct extpager_settings *s, bool named);
void extpager_target_publish(struct extpager_target *t);
int extpager_target_add(struct extpager_settings *s, struct netlink_ext_ack *extack);
int extpager_target_del(const char *name, bool discard, struct netlink_ext_ack *extack);
struct extpager_target *extpager_target_find(const char *name);
struct extpager_target *extpager_target_find_announced(const char *name);
struct extpager_target *extpager_target_next(u32 *id);
struct extpager_object *extpager_target_object(struct extpager_target *t);
bool extpager_target_get(struct extpager_target *t);
void extpager_target_put(struct extpager_target *t);
void extpager_target_destroy(struct extpager_target *t);
int extpager_target_attach(struct extpager_target *t, struct extpager_port *port);
void extpager_target_orphan(struct extpager_target *t, struct extpager_port *port);
void extpager_target_settings_changed(struct extpager_target *t);
void extpager_target_stalled(struct extpager_target *t, enum extpager_phase phase);
void extpager_target_squeezed(struct extpager_target *t, struct extpager_object *obj);
void extpager_target_answered(struct extpager_target *t, u16 op);
void extpager_target_written(struct extpager_target *t);
bool extpager_target_missed(const struct extpager_target *t);
u64 extpager_target_dirty(struct extpager_target *t);
u64 extpager_target_spilled(struct extpager_target *t);
u64 extpager_target_quota(struct extpager_target *t);
bool extpager_target_over_quota(struct extpager_target *t);
bool extpager_target_full(struct extpager_target *t);
unsigned long extpager_memcg_share(struct mem_cgroup *memcg);
u32 extpager_target_reported_state(struct extpager_target *t);
u32 extpager_target_pending(const struct extpager_target *t);
bool extpager_pager_uid_known(kuid_t uid);

/* refusal.c */
enum extpager_call {
	EXTPAGER_CALL_IOCTL,
	EXTPAGER_CALL_COMMAND,		/* of netlink */
	EXTPAGER_CALL_KINDS
};

extern const struct attribute_group *extpager_device_groups[];
void extpager_count_refusal(enum extpager_call kind, long ret);

/* A call's end: counts it if it was refused, and returns @ret. */
static inline long extpager_call_ends(enum extpager_call kind, long ret)
{
	if (unlikely(ret < 0))
		extpager_count_refusal(kind, ret);
	return ret;
}

/* sysfs.c */
int extpager_sysfs_init(void);
void extpager_sysfs_exit(void);
int extpager_sysfs_add(struct extpager_target *t);
void extpager_sysfs_remove(struct extpager_target *t);

/* pathfs.c */
int extpager_pathfs_init(void);
void extpager_pathfs_exit(void);

/* netlink.c */
int extpager_netlink_init(void);
void extpager_netlink_exit(void);
void extpager_notify(struct extpager_target *t, u32 event);

#endif /* EXTPAGER_H */
