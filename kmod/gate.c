// SPDX-License-Identifier: GPL-2.0-only
/*
 * The gate: where accesses wait for a pager. A waiter holds no folio, no
 * invalidate_lock and, wherever the caller allows it, no fault lock; it can be
 * killed, and it is ended by the request's answer or deadline; or goes on beyond
 * that, if the target says so, with nobody being asked. Only when the page is
 * here is the kernel's generic function called. Hits do not come by: map_pages is
 * the kernel's own but for its range after a wait.
 *
 * Waiters stand in a hash by (object, page). A page that is asked for wakes
 * them with its fate; one whose object or target is not ready sleeps on the
 * target's queue first.
 */
#include <linux/hash.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "extpager.h"
#include "trace.h"

#define GATE_BITS	10
/* As mm/filemap.c: stop reading around when misses outnumber hits by this. */
#define GATE_LOTSAMISS	100

struct gate_bucket {
	spinlock_t lock;		/* @waiters */
	struct hlist_head waiters;
};

static struct gate_bucket gate[1 << GATE_BITS];

/*
 * A fault that waited without its lock learns its page's failure only when the
 * task comes again, which it does at once. Until then it is kept here, for that
 * task alone: whoever begins later asks anew.
 */
struct gate_failure {
	struct hlist_node node;
	const struct task_struct *task;	/* compared only */
	u64 born;			/* its start_time: tasks' memory is used again */
	u64 object;
	pgoff_t index;
	int error;
	unsigned long expires;
};

/* Longer than any retry takes; of tasks that never came back. */
#define FAILURE_LIFE	(5 * HZ)

static struct gate_bucket failures[1 << GATE_BITS];
static atomic_t nr_failures;

/*
 * Who waits at a quota. A pager that does, because its store is in somebody's object, gives
 * nothing back meanwhile: not even what that one's pager may wait for.
 */
struct quota_waiter {
	struct hlist_node node;
	const struct mm_struct *mm;	/* compared only */
	unsigned long since;		/* jiffies */
};

/* So long a pager has waited when nobody waits for it any more. */
#define PAGER_PATIENCE	(HZ / 10)

static struct gate_bucket at_quota[1 << GATE_BITS];

static void buckets_init(struct gate_bucket *b, unsigned int nr)
{
	for (; nr; nr--, b++) {
		spin_lock_init(&b->lock);
		INIT_HLIST_HEAD(&b->waiters);
	}
}

void extpager_gate_init(void)
{
	buckets_init(gate, ARRAY_SIZE(gate));
	buckets_init(failures, ARRAY_SIZE(failures));
	buckets_init(at_quota, ARRAY_SIZE(at_quota));
}

/* Nothing can wait any more. */
void extpager_gate_exit(void)
{
	struct gate_failure *f;
	struct hlist_node *next;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(failures); i++)
		hlist_for_each_entry_safe(f, next, &failures[i].waiters, node)
			kfree(f);
}

static struct gate_bucket *gate_bucket(const struct extpager_object *obj, pgoff_t index)
{
	return &gate[(hash_ptr(obj, GATE_BITS) + index) & (ARRAY_SIZE(gate) - 1)];
}

/* ---- waiters ---- */

static void waiter_add(struct extpager_waiter *w, struct extpager_object *obj, pgoff_t index,
		       u32 access)
{
	struct gate_bucket *b = gate_bucket(obj, index);

	w->object = obj;
	w->index = index;
	w->access = access;
	w->task = current;
	w->since = jiffies;
	w->woken = 0;
	w->error = 0;
	w->done = false;
	w->asked = false;
	spin_lock(&b->lock);
	hlist_add_head(&w->node, &b->waiters);
	spin_unlock(&b->lock);
	/* Pairs with gate_wake(): it sees the waiter, or the waiter sees the page. */
	smp_mb();
}

/*
 * Has an earlier pager been asked for the page? Then the present one is, in its turn, by the
 * target's worker: who asked by itself would get ahead of others, or let them pass. What the
 * kernel has or has lost has no turn; nor has anything if no worker comes.
 */
static bool comes_in_turn(struct extpager_object *obj, pgoff_t index)
{
	struct extpager_target *t = obj->target;

	return unlikely(!list_empty(&t->parked)) && !READ_ONCE(obj->zeros) &&
	       !extpager_spilled(obj, index) && !extpager_lost(obj, index) &&
	       extpager_request_recorded(obj, EXTPAGER_EV_DATA_REQUEST, index, 1) &&
	       work_busy(&t->resend_work.work);
}

/* For the waiter itself: need it not ask for the page any more? */
static bool waiter_asked(const struct extpager_waiter *w)
{
	/* Others say so at any time; to see it too late costs a look more. */
	return data_race(w->asked);
}

static void waiter_count(const struct extpager_waiter *w)
{
	extpager_count(w->object->target, GATE_WAITS);
	/* Somebody else's request brings its page. */
	if (unlikely(!READ_ONCE(w->asked)))
		extpager_count(w->object->target, OVERLAPS);
}

/**
 * extpager_gate_enter() - be told the fate of a page, while waiting elsewhere
 * @w: the waiter, until extpager_gate_leave()
 * @obj: object
 * @index: page
 * @access: EXTPAGER_ACCESS_*
 */
void extpager_gate_enter(struct extpager_waiter *w, struct extpager_object *obj, pgoff_t index,
			 u32 access)
{
	waiter_add(w, obj, index, access);
}

/**
 * extpager_gate_told() - wait for the page's fate, but not for ever
 * @w: the waiter
 * @timeout: jiffies
 *
 * Return: false if it was not told; too early, if the caller is being killed.
 */
bool extpager_gate_told(struct extpager_waiter *w, long timeout)
{
	set_current_state(TASK_KILLABLE);
	/* Pairs with extpager_gate_wake(). */
	if (!smp_load_acquire(&w->done))
		schedule_timeout(timeout);
	__set_current_state(TASK_RUNNING);
	/* As above. */
	return smp_load_acquire(&w->done);
}

/* After this nobody touches @w any more. */
static void waiter_del(struct extpager_waiter *w)
{
	struct gate_bucket *b = gate_bucket(w->object, w->index);

	spin_lock(&b->lock);
	if (!w->done)
		hlist_del(&w->node);
	spin_unlock(&b->lock);
}

/**
 * extpager_gate_leave() - end what extpager_gate_enter() began
 * @w: the waiter
 *
 * Return: the failure that it was told of; -EAGAIN: of none.
 */
int extpager_gate_leave(struct extpager_waiter *w)
{
	waiter_del(w);
	return w->done && w->error ? w->error : -EAGAIN;
}

/* Look for its fate for a while. When that began, in ns. */
static noinline u64 waiter_spin(const struct extpager_waiter *w)
{
	const u64 *length = &w->object->target->spin;
	u64 since = ktime_get_ns();

	while (!READ_ONCE(w->done) && !fatal_signal_pending(current) &&
	       extpager_spin_on(length, since))
		;
	return since;
}

/* The page's fate, or -EINTR. */
static int waiter_wait(struct extpager_waiter *w)
{
	struct extpager_target *t = w->object->target;
	u64 since = 0;
	int ret = 0;

	extpager_waits_for_pager();
	/* Of whom nothing is pending nobody looks whether he was forgotten. */
	if (unlikely(!waiter_asked(w)) && !READ_ONCE(t->tick_armed)) {
		spin_lock(&t->lock);
		extpager_deadline_arm(t, jiffies + HZ);
		spin_unlock(&t->lock);
	}
	if (extpager_spins())
		since = waiter_spin(w);
	for (;;) {
		set_current_state(TASK_KILLABLE);
		/* Pairs with extpager_gate_wake(), for @woken. */
		if (smp_load_acquire(&w->done))
			break;
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	if (since)
		extpager_spin_learn(&t->spin, since);
	if (!ret && w->woken)
		extpager_latency_woken(t, w->woken);
	return ret;
}

/**
 * extpager_gate_wake() - tell waiters the fate of pages
 * @obj: object
 * @index: first page
 * @nr: pages
 * @error: 0: here; -EAGAIN: ask again; else the failure
 *
 * The pages' new state must be visible before.
 *
 * Return: when, in ns; 0 if nobody was told.
 */
u64 extpager_gate_wake(struct extpager_object *obj, pgoff_t index, unsigned int nr, int error)
{
	pgoff_t end = index + nr;
	u64 now = 0;

	/* Pairs with waiter_add(). */
	smp_mb();
	for (; index < end; index++) {
		struct gate_bucket *b = gate_bucket(obj, index);
		struct extpager_waiter *w;
		struct hlist_node *next;

		if (hlist_empty(&b->waiters))
			continue;
		spin_lock(&b->lock);
		hlist_for_each_entry_safe(w, next, &b->waiters, node) {
			if (w->object != obj || w->index != index)
				continue;
			hlist_del(&w->node);
			w->error = error;
			now = now ?: ktime_get_ns();
			/* Only a fate ends the wait; to be sent round again is none. */
			w->woken = error == -EAGAIN ? 0 : now;
			/* Pairs with waiter_wait(). */
			smp_store_release(&w->done, true);
			/* The waiter cannot leave before it has the bucket's lock. */
			wake_up_process(w->task);
		}
		spin_unlock(&b->lock);
	}
	return now;
}

/**
 * extpager_gate_waits() - may somebody wait for one of these pages?
 * @obj: object; compared only
 * @index: first page
 * @nr: pages
 *
 * The pages' new state must be visible before. Any context.
 */
bool extpager_gate_waits(const struct extpager_object *obj, pgoff_t index, unsigned int nr)
{
	/* Pairs with waiter_add(). */
	smp_mb();
	for (; nr; nr--, index++)
		if (!hlist_empty(&gate_bucket(obj, index)->waiters))
			return true;
	return false;
}

/* target->lock held: does a waiter wait for something that will not come by itself? */
static bool waiter_forgotten(const struct extpager_waiter *w)
{
	struct extpager_object *obj = w->object;
	int status = extpager_object_status(obj);
	bool absent, coming;
	struct folio *folio;

	/* It may not have come to ask yet. */
	if (time_before(jiffies, w->since + HZ))
		return false;
	/* Parked for a successor; but one that is there must say READY in time. */
	if (status == -EAGAIN)
		return extpager_target_live(obj->target);
	if (status)
		return true;
	rcu_read_lock();
	folio = xa_load(&obj->inode.i_mapping->i_pages, w->index);
	absent = !folio || xa_is_value(folio);
	coming = !absent && extpager_peek_locked(folio);
	rcu_read_unlock();
	/* Zeros are to be had of a silent pager's page, too. */
	if (absent && !READ_ONCE(obj->zeros))
		coming = extpager_page_overdue(obj, w->index);
	return !coming;
}

/**
 * extpager_gate_sweep() - send forgotten waiters round again
 * @t: of this target
 *
 * Nobody should be forgotten; should it happen, it costs a second.
 *
 * Return: true if there are waiters.
 */
bool extpager_gate_sweep(struct extpager_target *t)
{
	struct extpager_waiter *w;
	struct hlist_node *next;
	bool found = false;
	unsigned int i;

	/* Pairs with waiter_add(): who is not seen has seen the clock stand. */
	smp_mb();
	for (i = 0; i < ARRAY_SIZE(gate); i++) {
		if (hlist_empty(&gate[i].waiters))
			continue;
		spin_lock(&t->lock);
		spin_lock(&gate[i].lock);
		hlist_for_each_entry_safe(w, next, &gate[i].waiters, node) {
			if (w->object->target != t)
				continue;
			found = true;
			if (!waiter_forgotten(w))
				continue;
			hlist_del(&w->node);
			w->error = -EAGAIN;
			/* Pairs with waiter_wait(). */
			smp_store_release(&w->done, true);
			wake_up_process(w->task);
		}
		spin_unlock(&gate[i].lock);
		spin_unlock(&t->lock);
	}
	return found;
}

/**
 * extpager_gate_wanted() - does somebody wait for one of these pages?
 * @obj: object
 * @index: first page
 * @nr: pages
 * @wanted: out: the first such page
 * @access: out: EXTPAGER_ACCESS_* of its waiters
 *
 * All who do know from now on that they need not ask.
 *
 * Return: true if so.
 */
bool extpager_gate_wanted(struct extpager_object *obj, pgoff_t index, unsigned int nr,
			  pgoff_t *wanted, u32 *access)
{
	pgoff_t end = index + nr;
	bool found = false;

	for (; index < end; index++) {
		struct gate_bucket *b = gate_bucket(obj, index);
		struct extpager_waiter *w;

		if (hlist_empty(&b->waiters))
			continue;
		spin_lock(&b->lock);
		hlist_for_each_entry(w, &b->waiters, node) {
			if (w->object != obj || w->index != index)
				continue;
			WRITE_ONCE(w->asked, true);
			if (!found)
				*wanted = index;
			if (*wanted == index)
				*access |= w->access;
			found = true;
		}
		spin_unlock(&b->lock);
	}
	return found;
}

/* ---- failures that a retry is to find ---- */

static struct gate_bucket *failure_bucket(void)
{
	return &failures[hash_ptr(current, GATE_BITS)];
}

/* bucket lock held: the caller's failure, if there is one; others' die of age. */
static struct gate_failure *failure_take(struct gate_bucket *b)
{
	struct gate_failure *f, *mine = NULL;
	struct hlist_node *next;

	hlist_for_each_entry_safe(f, next, &b->waiters, node) {
		if (f->task != current && time_before(jiffies, f->expires))
			continue;
		hlist_del(&f->node);
		atomic_dec(&nr_failures);
		if (f->task == current && f->born == current->start_time && !mine)
			mine = f;
		else
			kfree(f);
	}
	return mine;
}

static void failure_note(struct extpager_object *obj, pgoff_t index, int error)
{
	struct gate_failure *f = kmalloc(sizeof(*f), GFP_KERNEL | __GFP_NOWARN);
	struct gate_bucket *b = failure_bucket();

	/* Without memory the retry asks again. */
	if (!f)
		return;
	f->task = current;
	f->born = current->start_time;
	f->object = obj->id;
	f->index = index;
	f->error = error;
	f->expires = jiffies + FAILURE_LIFE;
	spin_lock(&b->lock);
	kfree(failure_take(b));
	hlist_add_head(&f->node, &b->waiters);
	atomic_inc(&nr_failures);
	spin_unlock(&b->lock);
}

/* Somebody has brought the page: it has not failed. Or the caller is elsewhere, and asks anew. */
static void failure_forget(void)
{
	struct gate_bucket *b = failure_bucket();

	if (likely(!atomic_read(&nr_failures)))
		return;
	spin_lock(&b->lock);
	kfree(failure_take(b));
	spin_unlock(&b->lock);
}

/* What the caller's first try of this page came to; told once. */
static int failure_of(struct extpager_object *obj, pgoff_t index)
{
	struct gate_bucket *b = failure_bucket();
	struct gate_failure *f;
	int error = 0;

	if (hlist_empty(&b->waiters))
		return 0;
	spin_lock(&b->lock);
	f = failure_take(b);
	spin_unlock(&b->lock);
	if (f && f->object == obj->id && f->index == index && time_before(jiffies, f->expires))
		error = f->error;
	kfree(f);
	return error;
}

/* ---- asking ---- */

/* A page that some read left behind, unlocked and not up to date, is given up. */
void extpager_drop_leftover(struct extpager_object *obj, pgoff_t index)
{
	struct folio *folio = filemap_get_folio(obj->inode.i_mapping, index);

	if (IS_ERR(folio))
		return;
	if (folio_trylock(folio)) {
		if (folio->mapping == obj->inode.i_mapping && !folio_test_uptodate(folio))
			generic_error_remove_folio(obj->inode.i_mapping, folio);
		folio_unlock(folio);
	}
	folio_put(folio);
}

/* The kernel's own choice of what to read at a fault, see do_sync_mmap_readahead(). */
static void ask_for_fault(struct extpager_object *obj, struct file *file, pgoff_t index,
			  vm_flags_t vm_flags)
{
	struct address_space *mapping = obj->inode.i_mapping;
	struct file_ra_state *ra = &file->f_ra;
	DEFINE_READAHEAD(rac, file, ra, mapping, index);
	pgoff_t pages = DIV_ROUND_UP(i_size_read(&obj->inode), PAGE_SIZE);
	unsigned int miss, size, ahead;
	pgoff_t start;

	if (vm_flags & VM_RAND_READ || !ra->ra_pages) {
		extpager_request_page(obj, index, false);
		return;
	}
	if (vm_flags & VM_SEQ_READ) {
		if (!index) {
			page_cache_sync_ra(&rac, ra->ra_pages);
			return;
		}
		/* Elsewhere it would read once, and look ahead no more. */
		start = index;
	} else {
		miss = READ_ONCE(ra->mmap_miss);
		if (miss < GATE_LOTSAMISS * 10)
			WRITE_ONCE(ra->mmap_miss, ++miss);
		if (miss > GATE_LOTSAMISS) {
			extpager_request_page(obj, index, false);
			return;
		}
		start = index > ra->ra_pages / 2 ? index - ra->ra_pages / 2 : 0;
	}
	/* Others may share @ra: what is asked for comes from here. */
	size = min_t(pgoff_t, ra->ra_pages, pages - start);
	ahead = vm_flags & VM_SEQ_READ ? size / 2 : size / 4;
	WRITE_ONCE(ra->start, start);
	WRITE_ONCE(ra->size, size);
	WRITE_ONCE(ra->async_size, ahead);
	rac._index = start;
	page_cache_ra_unbounded(&rac, size, ahead);
}

/*
 * The page on its way may be the mark at which the next window is due. By the
 * time the fault is tried again, filemap_fault() looks ahead no more.
 */
static void look_ahead(struct extpager_object *obj, struct file *file, pgoff_t index,
		       vm_flags_t vm_flags)
{
	struct address_space *mapping = obj->inode.i_mapping;
	struct file_ra_state *ra = &file->f_ra;
	DEFINE_READAHEAD(rac, file, ra, mapping, index);
	struct folio *folio;

	if (vm_flags & VM_RAND_READ || !ra->ra_pages)
		return;
	folio = filemap_get_folio(mapping, index);
	if (IS_ERR(folio))
		return;
	if (folio_test_readahead(folio))
		page_cache_async_ra(&rac, folio, ra->ra_pages);
	folio_put(folio);
}

static bool page_absent(struct extpager_object *obj, pgoff_t index)
{
	void *entry = xa_load(&obj->inode.i_mapping->i_pages, index);

	return !entry || xa_is_value(entry);
}

/* ---- the pager itself ---- */

/* A pager that waits for itself waits for ever. */
static bool is_own_pager(struct extpager_object *obj, const struct mm_struct *mm)
{
	const struct extpager_port *port;
	bool own;

	/* Ports are freed after a grace period. */
	rcu_read_lock();
	port = READ_ONCE(obj->target->port);
	own = port && READ_ONCE(port->alive) && READ_ONCE(port->mm) == mm;
	rcu_read_unlock();
	return own;
}

/* ---- faults ---- */

static vm_fault_t fault_error(int error)
{
	if (error == -EBADMSG)
		return VM_FAULT_HWPOISON;
	if (error == -ENOMEM)
		return VM_FAULT_OOM;
	return VM_FAULT_SIGBUS;
}

struct gate_fault {
	struct vm_fault *vmf;
	struct file *pinned;	/* set once the fault lock was dropped */
};

/*
 * Whoever may retry waits without the fault lock; mmap, fork and munmap go on.
 * RETRY_NOWAIT does not wait at all: on 6.1 and 6.12 it comes from KVM alone,
 * which has a vCPU's fault tried so before a worker waits for the page; and from
 * a module of the tests, since no other system call leads there.
 */
static void gate_unlock(struct gate_fault *gf)
{
	unsigned int flags = gf->vmf->flags;

	if (gf->pinned || !(flags & FAULT_FLAG_ALLOW_RETRY) || flags & FAULT_FLAG_RETRY_NOWAIT)
		return;
	gf->pinned = get_file(gf->vmf->vma->vm_file);
	release_fault_lock(gf->vmf);
}

/* Whether a writer can be waiting in vain for room: what is delegated needs no pager. */
static int writer_status(struct extpager_object *obj)
{
	int status = extpager_object_status(obj);

	return status == -EIO && extpager_delegates_some(obj) ? -EAGAIN : status;
}

/* Wait for room in the target's quota. */
static int gate_fault_dirty(struct extpager_object *obj, struct gate_fault *gf)
{
	int ret;

	if (!extpager_target_over_quota(obj->target))
		return 0;
	/* What will not change is said with the lock held. */
	ret = writer_status(obj);
	if (ret && ret != -EAGAIN)
		return ret;
	if (gf->vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return -EAGAIN;
	gate_unlock(gf);
	return extpager_gate_dirty(obj);
}

static u32 fault_access(const struct vm_fault *vmf)
{
	return vmf->flags & FAULT_FLAG_WRITE ? EXTPAGER_ACCESS_WRITE : EXTPAGER_ACCESS_READ;
}

/* A page in the spill needs no pager, but swap, and perhaps memory. */
static int gate_fault_spilled(struct extpager_object *obj, struct gate_fault *gf)
{
	int ret;

	if (gf->vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return -EAGAIN;
	gate_unlock(gf);
	ret = extpager_request_page(obj, gf->vmf->pgoff, true);
	return ret == -EEXIST ? 0 : ret;
}

/* @again: it could not be asked for before. */
static int gate_fault_page(struct extpager_object *obj, struct gate_fault *gf, bool again)
{
	struct vm_fault *vmf = gf->vmf;
	struct file *file = vmf->vma->vm_file;
	vm_flags_t vm_flags = vmf->vma->vm_flags;
	u32 access = fault_access(vmf);
	bool nowait = vmf->flags & FAULT_FLAG_RETRY_NOWAIT;
	pgoff_t index = vmf->pgoff;
	enum extpager_page_state state;
	struct extpager_waiter w;
	bool asked = true;
	int ret;

	/* Memory may be waited for then. */
	again = again && !nowait;
	if (again)
		gate_unlock(gf);
	if (extpager_spilled(obj, index))
		return gate_fault_spilled(obj, gf);
	ret = extpager_object_status(obj);
	if (ret == -EAGAIN) {
		if (nowait)
			return -EAGAIN;
		gate_unlock(gf);
		ret = extpager_object_wait_ready(obj);
		if (!ret && gf->pinned)
			return 0;
	}
	if (ret)
		return ret;

	waiter_add(&w, obj, index, access);
	if (comes_in_turn(obj, index) && page_absent(obj, index))
		goto wait;
	/* Random accesses most likely find nothing: ask first, and see if it was so. */
	if (vm_flags & VM_RAND_READ && !extpager_request_page(obj, index, again) &&
	    waiter_asked(&w))
		goto wait;
	state = extpager_page_state(obj->inode.i_mapping, index);
	if (state == EXTPAGER_PAGE_HERE) {
		waiter_del(&w);
		return 0;
	}
	if (state == EXTPAGER_PAGE_COMING) {
		look_ahead(obj, file, index, vm_flags);
		extpager_drop_leftover(obj, index);
		state = extpager_page_state(obj->inode.i_mapping, index);
	}
	if (state == EXTPAGER_PAGE_ABSENT) {
		ret = 0;
		if (again)
			ret = extpager_request_page(obj, index, true);
		else
			ask_for_fault(obj, file, index, vm_flags);
		if (ret == -ENOMEM) {
			waiter_del(&w);
			return ret;
		}
		/* Readahead does not say what came of it. */
		asked = waiter_asked(&w) || READ_ONCE(w.done) || !page_absent(obj, index);
	}
wait:
	if (!nowait)
		gate_unlock(gf);
	if (nowait || !asked) {
		waiter_del(&w);
		return -EAGAIN;
	}
	waiter_count(&w);
	ret = waiter_wait(&w);
	waiter_del(&w);
	return ret ?: w.error;
}

static vm_fault_t gate_fault(struct extpager_object *obj, struct vm_fault *vmf, bool here,
			     bool dirties)
{
	struct gate_fault gf = { .vmf = vmf };
	bool again = vmf->flags & FAULT_FLAG_TRIED;
	int ret = 0;

	if ((loff_t)vmf->pgoff << PAGE_SHIFT >= i_size_read(&obj->inode))
		return VM_FAULT_SIGBUS;
	if (is_own_pager(obj, vmf->vma->vm_mm))
		return here && !dirties ? filemap_fault(vmf) : VM_FAULT_SIGBUS;
	/*
	 * The second try of an access whose page failed: it learns that, and asks
	 * no more. FAULT_FLAG_TRIED does not tell: populating retries without it.
	 */
	ret = failure_of(obj, vmf->pgoff);
	if (!ret && dirties)
		ret = gate_fault_dirty(obj, &gf);
	while (!ret && !gf.pinned && !here) {
		ret = gate_fault_page(obj, &gf, again);
		if (ret == -EAGAIN && !(vmf->flags & FAULT_FLAG_RETRY_NOWAIT)) {
			/* It could not be asked for: have a breath, no tight loop. */
			again = true;
			schedule_timeout_killable(1);
			ret = fatal_signal_pending(current) ? -EINTR : 0;
			/* It may have been delegated meanwhile. */
			here = extpager_needs_no_pager(obj, vmf->pgoff);
			continue;
		}
		here = !ret;
	}
	trace_extpager_gate(obj, vmf->pgoff, fault_access(vmf), ret);
	if (gf.pinned) {
		/* A dying task needs no error, and another may get its memory. */
		if (ret && ret != -EAGAIN && ret != -EINTR && !fatal_signal_pending(current))
			failure_note(obj, vmf->pgoff, ret);
		fput(gf.pinned);
		return VM_FAULT_RETRY | VM_FAULT_MAJOR;
	}
	if (ret == -EAGAIN)
		return VM_FAULT_RETRY;
	return ret ? fault_error(ret) : filemap_fault(vmf);
}

/* A page that is here, in a large folio, becomes one by itself. False: its pager has it. */
static bool split_here(struct extpager_object *obj, pgoff_t index)
{
	/* Then page_mkwrite refuses, and its neighbours stay. */
	if (READ_ONCE(obj->state) == EXTPAGER_OBJECT_GONE || READ_ONCE(obj->target->draining))
		return true;
	extpager_split(obj, index);
	if (extpager_page_uptodate(obj->inode.i_mapping, index))
		return true;
	/* Somebody had a reference, and all of it went. */
	if (!extpager_needs_no_pager(obj, index))
		return false;
	/* Or those who read its neighbours would have it in a large one again. */
	extpager_request_page(obj, index, false);
	return true;
}

/**
 * extpager_fault() - vm_operations_struct.fault of an object's mapping
 * @vmf: fault
 *
 * Return: as any fault handler. RETRY comes with the fault lock dropped, but
 * for RETRY_NOWAIT.
 */
vm_fault_t extpager_fault(struct vm_fault *vmf)
{
	struct extpager_object *obj = extpager_file_object(vmf->vma->vm_file);
	bool dirties = vmf->flags & FAULT_FLAG_WRITE && vmf->vma->vm_flags & VM_SHARED;
	bool here = extpager_page_uptodate(obj->inode.i_mapping, vmf->pgoff);

	if (!here) {
		if (READ_ONCE(obj->found))
			WRITE_ONCE(obj->found, false);
		here = extpager_needs_no_pager(obj, vmf->pgoff);
	}
	if (here && dirties && unlikely(extpager_page_large(obj, vmf->pgoff))) {
		/* It may have to wait. */
		if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
			return VM_FAULT_RETRY;
		here = split_here(obj, vmf->pgoff);
	}
	if (here && (!dirties || !extpager_target_over_quota(obj->target))) {
		failure_forget();
		return filemap_fault(vmf);
	}
	return gate_fault(obj, vmf, here, dirties);
}

/**
 * extpager_map_pages() - vm_operations_struct.map_pages: fault-around
 * @vmf: fault
 * @start: first page
 * @end: last page
 *
 * The kernel's own, but for random accesses to a page that is not here, or was
 * not at the first try: they do not look for its neighbours. While they find
 * their pages here, it is not asked again whether they do.
 *
 * Return: as filemap_map_pages().
 */
vm_fault_t extpager_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	struct vm_area_struct *vma = vmf->vma;
	struct extpager_object *obj = extpager_file_object(vma->vm_file);
	vm_fault_t ret;

	if (vma->vm_flags & VM_RAND_READ) {
		/* It came meanwhile: nearly always. */
		if (vmf->flags & FAULT_FLAG_TRIED) {
			start = vmf->pgoff;
			end = vmf->pgoff;
		} else if (!READ_ONCE(obj->found)) {
			if (!extpager_page_uptodate(obj->inode.i_mapping, vmf->pgoff))
				return 0;
			WRITE_ONCE(obj->found, true);
		}
	}
	ret = filemap_map_pages(vmf, start, end);
	if (ret & VM_FAULT_NOPAGE)
		failure_forget();
	return ret;
}

/**
 * extpager_page_mkwrite() - a clean page of a shared mapping is written to
 * @vmf: fault
 *
 * Its flags do not tell which lock is held, so it never waits for the pager:
 * if the page may not be dirtied now, it goes from the page tables and the
 * access comes back through extpager_fault().
 */
vm_fault_t extpager_page_mkwrite(struct vm_fault *vmf)
{
	struct file *file = vmf->vma->vm_file;
	struct extpager_object *obj = extpager_file_object(file);
	struct address_space *mapping = obj->inode.i_mapping;
	struct folio *folio = page_folio(vmf->page);

	if (READ_ONCE(obj->state) == EXTPAGER_OBJECT_GONE || READ_ONCE(obj->target->draining))
		return VM_FAULT_SIGBUS;
	/* Nor is a large folio split here, since the caller has a reference of it. */
	if (folio_test_large(folio) || extpager_target_over_quota(obj->target)) {
		unmap_mapping_pages(mapping, vmf->pgoff, 1, false);
		return VM_FAULT_NOPAGE;
	}
	failure_forget();
	file_update_time(file);
	folio_lock(folio);
	if (folio->mapping != mapping) {
		folio_unlock(folio);
		return VM_FAULT_NOPAGE;
	}
	folio_mark_dirty(folio);
	if (unlikely(extpager_object_gone(obj))) {
		folio_unlock(folio);
		return VM_FAULT_SIGBUS;
	}
	return VM_FAULT_LOCKED;
}

/* ---- read, write, splice ---- */

/* Wait for a device. 0: look if it is here, or ask again. */
static int read_delegated(struct extpager_object *obj, pgoff_t index)
{
	struct folio *folio;
	bool own, failed;
	int ret;

	extpager_drop_leftover(obj, index);
	ret = extpager_request_page(obj, index, true);
	if (ret && ret != -EEXIST && ret != -EAGAIN)
		return ret;
	own = !ret;
	folio = filemap_get_folio(obj->inode.i_mapping, index);
	if (IS_ERR(folio))
		return schedule_timeout_killable(1), fatal_signal_pending(current) ? -EINTR : 0;
	ret = folio_wait_locked_killable(folio) ? -EINTR : 0;
	/* One that has left the cache was still on its way from a pager: no device has failed. */
	failed = !ret && !folio_test_uptodate(folio) &&
		 READ_ONCE(folio->mapping) == obj->inode.i_mapping;
	/*
	 * Of what others read another page may be the bad one, or nobody has begun to; and what
	 * was taken back its pager may have failed.
	 */
	if (failed && own && !folio_test_large(folio) && extpager_needs_no_pager(obj, index))
		ret = -EIO;
	folio_put(folio);
	/* Whoever overwrites all of it need not have read it. */
	if (failed)
		extpager_drop_leftover(obj, index);
	return ret;
}

/**
 * extpager_gate_page() - have a page brought in
 * @obj: object
 * @file: whose readahead state to use, or NULL: just the page
 * @index: page, inside the object
 * @nr: pages the caller is going to want
 * @access: EXTPAGER_ACCESS_*
 *
 * Context: no locks that a pager could need.
 * Return: 0 when the page was here, -EINTR, -EDEADLK: the caller is the
 * pager, or the pager's error.
 */
int extpager_gate_page(struct extpager_object *obj, struct file *file, pgoff_t index,
		       pgoff_t nr, u32 access)
{
	struct address_space *mapping = obj->inode.i_mapping;
	struct extpager_waiter w;
	bool again = false, in_turn;
	int ret = 0;

	while (!extpager_page_uptodate(mapping, index)) {
		if (extpager_needs_no_pager(obj, index)) {
			ret = read_delegated(obj, index);
			if (ret)
				break;
			continue;
		}
		if (is_own_pager(obj, current->mm))
			return -EDEADLK;
		/* For what is in the spill no pager is needed. */
		ret = extpager_spilled(obj, index) ? 0 : extpager_object_wait_ready(obj);
		if (ret)
			break;
		waiter_add(&w, obj, index, access);
		if (!page_absent(obj, index))
			extpager_drop_leftover(obj, index);
		in_turn = comes_in_turn(obj, index);
		if (!in_turn && page_absent(obj, index)) {
			if (!again && file && file->f_ra.ra_pages &&
			    !(file->f_mode & FMODE_RANDOM)) {
				DEFINE_READAHEAD(rac, file, &file->f_ra, mapping, index);

				page_cache_sync_ra(&rac, nr);
			} else {
				ret = extpager_request_page(obj, index, again);
			}
		}
		if (ret == -ENOMEM && again) {
			waiter_del(&w);
			break;
		}
		ret = 0;
		if (!extpager_page_uptodate(mapping, index)) {
			/* A page that has just failed is gone before its waiter is told. */
			if (!in_turn && page_absent(obj, index) && !READ_ONCE(w.asked) &&
			    !READ_ONCE(w.done)) {
				/* It could not be asked for: have a breath. */
				again = true;
				waiter_del(&w);
				schedule_timeout_killable(1);
				if (fatal_signal_pending(current))
					return -EINTR;
				continue;
			}
			waiter_count(&w);
			ret = waiter_wait(&w);
		}
		waiter_del(&w);
		ret = ret ?: w.error;
		if (ret == -EAGAIN) {
			schedule_timeout_killable(1);
			ret = fatal_signal_pending(current) ? -EINTR : 0;
		}
		if (ret)
			break;
	}
	trace_extpager_gate(obj, index, access, ret);
	return ret;
}

static struct gate_bucket *quota_bucket(const struct mm_struct *mm)
{
	return &at_quota[hash_ptr(mm, GATE_BITS)];
}

static void quota_waiter_add(struct quota_waiter *w)
{
	struct gate_bucket *b = quota_bucket(current->mm);

	w->mm = current->mm;
	w->since = jiffies;
	spin_lock(&b->lock);
	hlist_add_head(&w->node, &b->waiters);
	spin_unlock(&b->lock);
}

static void quota_waiter_del(struct quota_waiter *w)
{
	struct gate_bucket *b = quota_bucket(w->mm);

	spin_lock(&b->lock);
	hlist_del(&w->node);
	spin_unlock(&b->lock);
}

/* Does the target's pager itself wait at some quota? */
static bool pager_at_quota(struct extpager_target *t)
{
	const struct extpager_port *port;
	const struct mm_struct *mm;
	struct quota_waiter *w;
	struct gate_bucket *b;
	bool found = false;

	/* Ports are freed after a grace period. */
	rcu_read_lock();
	port = READ_ONCE(t->port);
	mm = port && READ_ONCE(port->alive) ? READ_ONCE(port->mm) : NULL;
	rcu_read_unlock();
	if (!mm)
		return false;
	b = quota_bucket(mm);
	spin_lock(&b->lock);
	hlist_for_each_entry(w, &b->waiters, node)
		if (w->mm == mm && time_after_eq(jiffies, w->since + PAGER_PATIENCE))
			found = true;
	spin_unlock(&b->lock);
	return found;
}

/*
 * Nothing was taken since @since: is that long enough? A pager may have proved slow, not
 * stuck; but one that waits itself is not to be waited for.
 */
static bool quota_waited(struct extpager_target *t, unsigned long since)
{
	return time_after_eq(jiffies, since + READ_ONCE(t->patience)) ||
	       (time_after_eq(jiffies, since + PAGER_PATIENCE) && pager_at_quota(t));
}

/* Pages that have left the quota for good, or for the spill. */
static u64 pages_gone(struct extpager_target *t)
{
	return atomic64_read(&t->stats[EXTPAGER_A_STATS_PAGES_RETURNED]) +
	       atomic64_read(&t->stats[EXTPAGER_A_STATS_PAGES_SPILLED]);
}

/* A device is just slow; but others may have pages with the pager. */
static bool needs_pager(struct extpager_target *t, struct extpager_object *obj)
{
	return extpager_target_asked(t, EXTPAGER_PHASE_RETURN) ||
	       extpager_sync_needs_pager(obj, 0, ULONG_MAX);
}

/* Until the target may have one more dirty page; 0 or an error. */
static int quota_wait(struct extpager_target *t, struct extpager_object *obj)
{
	u32 state, was = READ_ONCE(t->state);
	unsigned long since = jiffies;
	u64 first = pages_gone(t), seen = first, now;
	int ret, status = 0;

	do {
		queue_work(extpager_wq, &t->flush_work);
		/* Truncation lowers the count without a word: look now and then. */
		ret = wait_event_killable_timeout(t->wait, !extpager_target_full(t) ||
						  ((status = writer_status(obj)) &&
						   status != -EAGAIN), HZ / 10);
		if (ret < 0)
			return -EINTR;
		now = pages_gone(t);
		if (now - first >= extpager_target_quota(t))
			return 0;
		state = READ_ONCE(t->state);
		/* A stall is no news; a pager that comes or goes is. */
		if (now != seen || (state != was && writer_status(obj)))
			since = jiffies;
		else if (extpager_object_status(obj) != -EAGAIN &&
			 jiffies_to_msecs(jiffies - since) >
			 2 * READ_ONCE(t->settings.timeout_ms[EXTPAGER_PHASE_RETURN]) &&
			 needs_pager(t, obj))
			return -EIO;
		if (!ret && quota_waited(t, since) && needs_pager(t, obj))
			extpager_target_squeezed(t, obj);
		seen = now;
		was = state;
	} while (!ret);
	return status == -EAGAIN ? 0 : status;
}

/**
 * extpager_gate_dirty() - wait until the target may have one more dirty page
 * @obj: object
 *
 * Who has seen as many pages go as it may have dirty goes on in any case:
 * it is others, with a larger share, who keep the target full.
 *
 * Return: 0, -EINTR, -EDEADLK: the caller is the pager; -ENODEV, -EIO: the
 * object or its pager are gone for good, or nothing is taken any more.
 */
int extpager_gate_dirty(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;
	struct quota_waiter w;
	int ret;

	if (!extpager_target_over_quota(t))
		return 0;
	if (is_own_pager(obj, current->mm))
		return -EDEADLK;
	extpager_count(t, QUOTA_WAITS);
	extpager_waits_for_pager();
	quota_waiter_add(&w);
	ret = quota_wait(t, obj);
	quota_waiter_del(&w);
	return ret;
}
