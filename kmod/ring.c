// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues: an event ring that only the kernel writes, a reply ring that the
 * pager writes, and the sleep of a pager that has nothing to do. What the
 * pager can write - its two indexes, its flags and the replies - is read once
 * and checked. This file knows requests only as what an event is made of, and
 * when the pager has got it.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "extpager.h"

#define EVENTS_OFF	256
#define REPLIES_OFF	128

static_assert(sizeof(struct extpager_event) == 64);
static_assert(sizeof(struct extpager_reply) == 64);
static_assert(sizeof(struct extpager_kernel_region) <= EVENTS_OFF);
static_assert(sizeof(struct extpager_user_region) <= REPLIES_OFF);
/* port->attended */
static_assert(EXTPAGER_QUEUES_MAX <= BITS_PER_LONG);

size_t extpager_kernel_region_len(u32 entries)
{
	return PAGE_ALIGN(EVENTS_OFF + entries * sizeof(struct extpager_event));
}

size_t extpager_user_region_len(u32 entries)
{
	return PAGE_ALIGN(REPLIES_OFF + entries * sizeof(struct extpager_reply));
}

static void region_free(struct extpager_region *region)
{
	unsigned int i;

	if (region->addr)
		vunmap(region->addr);
	for (i = 0; i < region->nr; i++)
		__free_page(region->pages[i]);
	kvfree(region->pages);
	memset(region, 0, sizeof(*region));
}

/* Charged to the pager's memory cgroup, which vmalloc_user() would not do. */
static int region_alloc(struct extpager_region *region, size_t len)
{
	unsigned int nr = len >> PAGE_SHIFT;

	region->pages = kvcalloc(nr, sizeof(*region->pages), GFP_KERNEL_ACCOUNT);
	if (!region->pages)
		return -ENOMEM;
	for (region->nr = 0; region->nr < nr; region->nr++) {
		region->pages[region->nr] = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!region->pages[region->nr])
			goto err;
	}
	region->addr = vmap(region->pages, nr, VM_MAP, PAGE_KERNEL);
	if (region->addr)
		return 0;
err:
	region_free(region);
	return -ENOMEM;
}

int extpager_queue_init(struct extpager_queue *q, struct extpager_port *port,
			u32 index, u32 entries)
{
	unsigned int i;
	int ret;

	q->port = port;
	q->index = index;
	q->entries = entries;
	init_waitqueue_head(&q->wait);
	spin_lock_init(&q->lock);
	for (i = 0; i < EXTPAGER_CLASSES; i++)
		INIT_LIST_HEAD(&q->backlog[i]);
	mutex_init(&q->submit);

	q->seen_at = kvcalloc(entries, sizeof(*q->seen_at), GFP_KERNEL_ACCOUNT);
	if (!q->seen_at)
		return -ENOMEM;
	ret = region_alloc(&q->kernel_mem, extpager_kernel_region_len(entries));
	if (ret)
		goto err_seen;
	ret = region_alloc(&q->user_mem, extpager_user_region_len(entries));
	if (ret)
		goto err_kernel;
	q->kernel = q->kernel_mem.addr;
	q->events = q->kernel_mem.addr + EVENTS_OFF;
	q->user = q->user_mem.addr;
	q->replies = q->user_mem.addr + REPLIES_OFF;
	q->kernel->event_mask = entries - 1;
	q->kernel->reply_mask = entries - 1;
	q->kernel->events_off = EVENTS_OFF;
	q->kernel->replies_off = REPLIES_OFF;
	return 0;

err_kernel:
	region_free(&q->kernel_mem);
err_seen:
	kvfree(q->seen_at);
	return ret;
}

void extpager_queue_destroy(struct extpager_queue *q)
{
	region_free(&q->kernel_mem);
	region_free(&q->user_mem);
	kvfree(q->seen_at);
}

/* A successor takes the port over: it finds empty rings. */
void extpager_queue_reset(struct extpager_queue *q)
{
	mutex_lock(&q->submit);
	spin_lock(&q->lock);
	q->event_tail = 0;
	WRITE_ONCE(q->seen, 0);
	q->reply_head = 0;
	WRITE_ONCE(q->user->event_head, 0);
	WRITE_ONCE(q->user->reply_tail, 0);
	WRITE_ONCE(q->user->flags, 0);
	WRITE_ONCE(q->kernel->event_tail, 0);
	WRITE_ONCE(q->kernel->reply_head, 0);
	WRITE_ONCE(q->kernel->flags, 0);
	WRITE_ONCE(q->kicked, false);
	spin_unlock(&q->lock);
	mutex_unlock(&q->submit);
}

int extpager_queue_mmap(struct extpager_queue *q, struct vm_area_struct *vma, bool user)
{
	struct extpager_region *region = user ? &q->user_mem : &q->kernel_mem;
	unsigned long nr = vma_pages(vma);

	if (nr != region->nr)
		return -EINVAL;
	if (!user) {
		if (vma->vm_flags & VM_WRITE)
			return -EPERM;
		vm_flags_clear(vma, VM_MAYWRITE);
	}
	vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	return vm_insert_pages(vma, vma->vm_start, region->pages, &nr);
}

/* ---- which queue ---- */

static u32 queue_unread(const struct extpager_queue *q)
{
	return READ_ONCE(q->kernel->event_tail) - READ_ONCE(q->user->event_head);
}

/**
 * extpager_queue_divert() - where is an event taken sooner?
 * @own: the queue of the CPU that caused it
 * @req: what it will be made of
 *
 * If an event stands in its own queue whose thread is busy elsewhere, or one more does than what
 * its thread was woken for: at the next queue at which a thread waits, for one, and none stands. A
 * thread that has been woken and has not run yet still waits; so does one that spins.
 *
 * Context: target->lock held. Looks at 64 queues at most; but at a second one only if the
 * first was given an event a moment ago.
 */
struct extpager_queue *extpager_queue_divert(struct extpager_queue *own,
					     const struct extpager_request *req)
{
	u32 unread = queue_unread(own) + READ_ONCE(own->nr_backlog);
	struct extpager_queue *q;
	unsigned long attended;

	/* Who waits for several would wait on. */
	if (likely(!unread) || unread <= READ_ONCE(own->awaits))
		return own;
	/* Bit 0 becomes that of its own queue: who begins there do not all find the same one. */
	attended = ror64(READ_ONCE(own->port->attended), own->index);
	for (; attended; attended &= attended - 1) {
		q = &own->port->queues[(own->index + __ffs(attended)) % BITS_PER_LONG];
		if (q != own && !queue_unread(q) && !READ_ONCE(q->nr_backlog)) {
			extpager_count(req->target, DIVERTED);
			return q;
		}
	}
	return own;
}

/* ---- events ---- */

/* queue->lock held; false if the ring is full, or if its index is nonsense. */
static bool ring_has_room(const struct extpager_queue *q)
{
	/* Pairs with the pager's release store after it read the entries. */
	u32 used = q->event_tail - smp_load_acquire(&q->user->event_head);

	return used < q->entries;
}

/* queue->lock held. */
static void ring_put(struct extpager_queue *q, struct extpager_request *req)
{
	struct extpager_event *ev = &q->events[q->event_tail & (q->entries - 1)];

	WRITE_ONCE(req->ring_index, q->event_tail);
	WRITE_ONCE(req->in_ring, true);
	ev->op = req->op;
	ev->flags = req->flags;
	ev->generation = req->generation;
	ev->tag = req->op == EXTPAGER_EV_TERMINATE || req->op == EXTPAGER_EV_ATTRIBUTES ?
		  0 : req->tag;
	ev->object = req->object_id;
	ev->offset = (u64)req->index << PAGE_SHIFT;
	ev->length = req->length;
	ev->wanted = req->wanted;
	ev->access = req->access;
	ev->attributes = req->attributes;
	ev->reserved = 0;
	q->event_tail++;
	q->nr_events++;
	/* Pairs with the pager's acquire load before it reads the entries. */
	smp_store_release(&q->kernel->event_tail, q->event_tail);
}

static enum extpager_class event_class(const struct extpager_request *req)
{
	return req->op == EXTPAGER_EV_DATA_REQUEST ? EXTPAGER_CLASS_PAGE_IN : EXTPAGER_CLASS_FIRST;
}

/* queue->lock held: does nothing stand before an event of this class? */
static bool backlog_lets(const struct extpager_queue *q, enum extpager_class class)
{
	return !q->nr_backlog || (class == EXTPAGER_CLASS_FIRST && list_empty(&q->backlog[class]));
}

/* queue->lock held. */
static struct extpager_request *backlog_first(struct extpager_queue *q)
{
	unsigned int i;

	for (i = 0; i < EXTPAGER_CLASSES; i++)
		if (!list_empty(&q->backlog[i]))
			return list_first_entry(&q->backlog[i], struct extpager_request, backlog);
	return NULL;
}

/* queue->lock held: one left the backlog. */
static void backlog_del(struct extpager_queue *q, struct extpager_request *req)
{
	list_del_init(&req->backlog);
	WRITE_ONCE(q->nr_backlog, q->nr_backlog - 1);
	if (!q->nr_backlog)
		WRITE_ONCE(q->kernel->flags, q->kernel->flags & ~EXTPAGER_KF_BACKLOG);
}

/**
 * extpager_queue_post() - give the pager an event
 * @q: queue
 * @req: what it is made of
 *
 * Needs no memory and never waits: with the ring full, @req stands in the
 * queue's backlog until the pager enters.
 *
 * Context: target->lock held.
 * Return: true if the event is in the ring.
 */
bool extpager_queue_post(struct extpager_queue *q, struct extpager_request *req)
{
	enum extpager_class class = event_class(req);
	bool posted;

	req->queue = q;
	req->in_ring = false;
	spin_lock(&q->lock);
	posted = backlog_lets(q, class) && ring_has_room(q);
	if (posted) {
		ring_put(q, req);
	} else {
		list_add_tail(&req->backlog, &q->backlog[class]);
		WRITE_ONCE(q->nr_backlog, q->nr_backlog + 1);
		WRITE_ONCE(q->kernel->flags, q->kernel->flags | EXTPAGER_KF_BACKLOG);
		extpager_count(req->target, BACKLOGGED);
	}
	spin_unlock(&q->lock);
	return posted;
}

/* target->lock held. */
void extpager_queue_withdraw(struct extpager_queue *q, struct extpager_request *req)
{
	spin_lock(&q->lock);
	if (!list_empty(&req->backlog))
		backlog_del(q, req);
	spin_unlock(&q->lock);
}

static void backlog_flush(struct extpager_queue *q)
{
	struct extpager_request *req;
	bool more = true, told;
	u64 tag;

	/* Keeps the requests' table while no lock does. */
	rcu_read_lock();
	while (more) {
		spin_lock(&q->lock);
		req = backlog_first(q);
		more = req && ring_has_room(q);
		if (more) {
			/* Once it is not in the backlog, it may end and be another request. */
			tag = req->tag;
			told = !extpager_request_wants_reply(req);
			ring_put(q, req);
			backlog_del(q, req);
		}
		spin_unlock(&q->lock);
		if (more && told)
			extpager_request_posted(req, tag);
	}
	rcu_read_unlock();
}

/* Move backlogged events into the ring as far as it has room. */
static inline void queue_flush_backlog(struct extpager_queue *q)
{
	if (unlikely(READ_ONCE(q->nr_backlog)))
		backlog_flush(q);
}

/*
 * Whoever posted is about to wait, so that its CPU is free; if it spins first, only until this
 * thread wants to run there.
 *
 * Context: RCU read side or target->lock, which keep the port.
 */
void extpager_queue_wake(struct extpager_queue *q)
{
	if (wq_has_sleeper(&q->wait))
		wake_up_interruptible_sync(&q->wait);
	/* wq_has_sleeper() above was the barrier for this one, too. */
	if (waitqueue_active(&q->port->poll) &&
	    !(READ_ONCE(q->user->flags) & EXTPAGER_UF_NO_WAKEUP))
		wake_up_interruptible_poll(&q->port->poll, EPOLLIN | EPOLLRDNORM);
}

/*
 * The pager has the events before @index: from here on they are in its hands.
 * @index may come from the pager, who then tells lies of itself.
 */
static void queue_seen(struct extpager_queue *q, u32 index)
{
	u32 nr;
	u64 now;

	if ((s32)(index - READ_ONCE(q->seen)) <= 0)
		return;
	now = ktime_get_ns();
	spin_lock(&q->lock);
	if ((s32)(q->event_tail - index) < 0)
		index = q->event_tail;
	/* Another thread may have been here with a later one. */
	if ((s32)(index - q->seen) > 0) {
		for (nr = min(index - q->seen, q->entries); nr; nr--)
			WRITE_ONCE(q->seen_at[(index - nr) & (q->entries - 1)], now);
		/* Pairs with extpager_queue_seen_at(). */
		smp_store_release(&q->seen, index);
	}
	spin_unlock(&q->lock);
}

/**
 * extpager_queue_seen_at() - since when has the pager had the event of a request?
 * @req: request, PENDING
 *
 * Context: target->lock held.
 * Return: ns; 0: it is not known to have it. Of an event whose place in the ring
 * has been used again, when it was sent: the pager had it long before now.
 */
u64 extpager_queue_seen_at(const struct extpager_request *req)
{
	const struct extpager_queue *q = req->queue;
	u32 index = READ_ONCE(req->ring_index);

	/* Pairs with queue_seen(), for @seen_at. */
	if (!READ_ONCE(req->in_ring) || (s32)(smp_load_acquire(&q->seen) - index) <= 0)
		return 0;
	if (READ_ONCE(q->kernel->event_tail) - index > q->entries)
		return req->sent;
	return READ_ONCE(q->seen_at[index & (q->entries - 1)]);
}

bool extpager_queue_readable(struct extpager_queue *q)
{
	queue_flush_backlog(q);
	if (!queue_unread(q))
		return false;
	/* Others may poll its fd. */
	if (extpager_port_is_caller(q->port))
		queue_seen(q, READ_ONCE(q->kernel->event_tail));
	return true;
}

/* ---- ENTER ---- */

/* Is the request still to be answered? Whoever sleeps over that lets its clients wait. */
static bool must_be_answered_anew(int result)
{
	return result && result != -ENOENT && result != -ESTALE;
}

/* Sets @refused if the pager has to look at what was taken. */
static long queue_submit(struct extpager_queue *q, u32 to_submit, bool *refused)
{
	u32 avail, n = 0;

	if (mutex_lock_killable(&q->submit))
		return -EINTR;
	/* Pairs with the pager's release store after it wrote the entries. */
	avail = smp_load_acquire(&q->user->reply_tail) - q->reply_head;
	if (avail > q->entries) {
		mutex_unlock(&q->submit);
		return -EPROTO;
	}
	to_submit = min(to_submit, avail);
	while (n < to_submit) {
		struct extpager_reply *slot = &q->replies[q->reply_head & (q->entries - 1)];
		struct extpager_reply re;

		memcpy(&re, slot, sizeof(re));
		/* From here on only the copy counts. */
		barrier();
		re.out_done = 0;
		re.out_result = 0;
		extpager_reply_handle(q->port, &re);
		if (re.out_result) {
			q->nr_bad++;
			WRITE_ONCE(q->kernel->bad_replies, q->nr_bad);
			*refused |= must_be_answered_anew(re.out_result);
		}
		WRITE_ONCE(slot->out_done, re.out_done);
		WRITE_ONCE(slot->out_result, re.out_result);
		q->reply_head++;
		q->nr_replies++;
		n++;
		/* Pairs with the pager's acquire load before it reads outcomes. */
		smp_store_release(&q->kernel->reply_head, q->reply_head);
		if (fatal_signal_pending(current))
			break;
		if (!(n & 15))
			cond_resched();
	}
	mutex_unlock(&q->submit);
	return n;
}

static bool queue_wait_over(struct extpager_queue *q, u32 min_complete)
{
	/* Another thread may have made room. */
	queue_flush_backlog(q);
	return queue_unread(q) >= min_complete || READ_ONCE(q->kicked) ||
	       !READ_ONCE(q->port->alive);
}

/* End the queue's present sleep, or the next one. */
void extpager_queue_kick(struct extpager_queue *q)
{
	WRITE_ONCE(q->kicked, true);
	wake_up_all(&q->wait);
}

/*
 * Look for events for a while. When that began, in ns. It is not in the wait queue: who posts
 * one finds nobody to wake.
 */
static noinline u64 queue_spin(struct extpager_queue *q, u32 min_complete)
{
	u64 since = ktime_get_ns();

	while (!queue_wait_over(q, min_complete) && !signal_pending(current) &&
	       extpager_spin_on(&q->spin, since))
		;
	return since;
}

static int queue_wait(struct extpager_queue *q, const struct extpager_enter *arg)
{
	u32 want = min(arg->min_complete, q->entries);
	bool attends = q->port->nr_queues > 1 && !queue_wait_over(q, want);
	long ret;

	if (queue_unread(q) > q->entries)
		return -EPROTO;
	/*
	 * Who waits for several takes none at once. Of two threads that wait here the first to
	 * leave clears it: the other is passed over, no more.
	 */
	if (attends)
		WRITE_ONCE(q->awaits, want);
	if (attends && want == 1)
		set_bit(q->index, &q->port->attended);
	if (arg->timeout_ns == ~0ULL) {
		u64 since = extpager_spins() ? queue_spin(q, want) : 0;

		/* Looks before it sleeps: an event may have come after the last look. */
		ret = wait_event_interruptible(q->wait, queue_wait_over(q, want));
		if (since)
			extpager_spin_learn(&q->spin, since);
	} else {
		ktime_t timeout = ns_to_ktime(min_t(u64, arg->timeout_ns, KTIME_MAX));

		ret = wait_event_interruptible_hrtimeout(q->wait, queue_wait_over(q, want),
							 timeout);
	}
	if (attends && want == 1)
		clear_bit(q->index, &q->port->attended);
	if (attends)
		WRITE_ONCE(q->awaits, 0);
	if (unlikely(READ_ONCE(q->kicked)) && xchg(&q->kicked, false) && queue_unread(q) < want)
		ret = -EINTR;
	return ret == -ERESTARTSYS ? -EINTR : ret;
}

/**
 * extpager_queue_enter() - take replies, then wait for events
 * @q: queue of the calling pager
 * @arg: a copy of the pager's argument
 *
 * Context: the pager, no locks held.
 * Return: replies taken, or a negative errno if none was.
 */
long extpager_queue_enter(struct extpager_queue *q, const struct extpager_enter *arg)
{
	bool refused = false;
	long taken = 0;
	int ret = 0;

	if (arg->to_submit) {
		/* It may have read them without having come by, and answer them now. */
		queue_seen(q, READ_ONCE(q->user->event_head));
		taken = queue_submit(q, arg->to_submit, &refused);
		if (taken < 0)
			return taken;
	}
	queue_flush_backlog(q);
	if (arg->min_complete && !refused)
		ret = queue_wait(q, arg);
	queue_seen(q, READ_ONCE(q->kernel->event_tail));
	if (!READ_ONCE(q->port->alive))
		ret = -ESHUTDOWN;
	return taken ? taken : ret;
}
