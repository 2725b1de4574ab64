// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests: what a pager is asked, from the asking to the answer or the end.
 * Every change of a request's state is made in this file, under target->lock;
 * the states are drawn in extpager.h. It knows of folios only how many pages they have and
 * that they are handed back one by one, of the ring only that it takes a request.
 */
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "extpager.h"
#include "trace.h"

/* Whoever asks pays. Page-out has a reserve: no need to try hard. */
#define REQUEST_GFP	(GFP_NOFS | __GFP_ACCOUNT | __GFP_NOWARN | __GFP_NORETRY)

static enum extpager_phase request_phase(const struct extpager_request *req)
{
	switch (req->op) {
	case EXTPAGER_EV_DATA_REQUEST:
		return EXTPAGER_PHASE_PAGE_IN;
	case EXTPAGER_EV_DATA_RETURN:
		return EXTPAGER_PHASE_RETURN;
	case EXTPAGER_EV_SYNC:
		return EXTPAGER_PHASE_SYNC;
	default:
		return EXTPAGER_PHASE_HANDSHAKE;
	}
}

static void request_set_state(struct extpager_request *req, enum extpager_request_state state)
{
	lockdep_assert_held(&req->target->lock);
	trace_extpager_request(req, state);
	WRITE_ONCE(req->state, state);
}

/* ---- the table ---- */

static int requests_grow(struct extpager_target *t, gfp_t gfp)
{
	struct extpager_request *chunk;
	unsigned int i;

	chunk = kvcalloc(EXTPAGER_CHUNK_REQUESTS, sizeof(*chunk), gfp);
	if (!chunk)
		return -ENOMEM;
	spin_lock(&t->lock);
	if (t->nr_chunks == EXTPAGER_CHUNKS) {
		spin_unlock(&t->lock);
		kvfree(chunk);
		return -ENOMEM;
	}
	for (i = 0; i < EXTPAGER_CHUNK_REQUESTS; i++) {
		struct extpager_request *req = &chunk[i];

		req->target = t;
		req->slot = t->nr_chunks * EXTPAGER_CHUNK_REQUESTS + i;
		req->tag = req->slot;
		req->state = EXTPAGER_REQUEST_FREE;
		req->folios = req->inline_folios;
		INIT_LIST_HEAD(&req->backlog);
		INIT_LIST_HEAD(&req->reads);
		INIT_LIST_HEAD(&req->written);
		list_add_tail(&req->node, &t->free);
	}
	t->nr_free += EXTPAGER_CHUNK_REQUESTS;
	t->chunks[t->nr_chunks++] = chunk;
	spin_unlock(&t->lock);
	return 0;
}

int extpager_requests_init(struct extpager_target *t)
{
	unsigned int i;

	INIT_LIST_HEAD(&t->free);
	INIT_LIST_HEAD(&t->parked);
	INIT_LIST_HEAD(&t->written);
	for (i = 0; i < EXTPAGER_PHASES; i++)
		INIT_LIST_HEAD(&t->pending[i]);
	return requests_grow(t, GFP_KERNEL_ACCOUNT);
}

void extpager_requests_destroy(struct extpager_target *t)
{
	unsigned int i;

	for (i = 0; i < t->nr_chunks; i++)
		kvfree(t->chunks[i]);
}

/**
 * extpager_request_alloc() - a request in state NEW
 * @obj: object it is about
 * @op: enum extpager_event_op
 * @nr: pages
 *
 * The last requests of the table are kept for page-outs and barriers, so that
 * these never wait behind page-ins.
 *
 * Context: may sleep, does no I/O.
 * Return: the request or NULL if there is none to be had.
 */
struct extpager_request *extpager_request_alloc(struct extpager_object *obj, u8 op,
						unsigned int nr)
{
	struct extpager_target *t = obj->target;
	unsigned int keep = op == EXTPAGER_EV_DATA_REQUEST ? EXTPAGER_RESERVE : 0;
	struct extpager_request *req;
	struct folio **folios = NULL;

	if (nr > EXTPAGER_INLINE_FOLIOS) {
		folios = kvcalloc(nr, sizeof(*folios), REQUEST_GFP);
		if (!folios)
			return NULL;
	}
	spin_lock(&t->lock);
	while (t->nr_free <= keep) {
		spin_unlock(&t->lock);
		if (requests_grow(t, REQUEST_GFP)) {
			kvfree(folios);
			return NULL;
		}
		spin_lock(&t->lock);
	}
	req = list_first_entry(&t->free, struct extpager_request, node);
	list_del_init(&req->node);
	t->nr_free--;
	req->tag += 1ULL << 16;
	req->object = obj;
	req->object_id = obj->id;
	req->attributes = 0;
	req->op = op;
	req->flags = 0;
	req->index = 0;
	req->nr = nr;
	req->length = 0;
	req->wanted = -1;
	req->access = 0;
	req->error = 0;
	req->announced = false;
	req->abandoned = false;
	req->overdue = false;
	req->detached = false;
	req->made = jiffies;
	req->pid = task_pid_nr(current);
	/* Another thread may be renaming this one; it ends in a 0 all the same. */
	data_race(memcpy(req->comm, current->comm, sizeof(req->comm)));
	req->refs = 1;
	req->claims = 0;
	req->large = false;
	req->gave_up = false;
	req->nr_reading = 0;
	req->left = 0;
	/* Now: a trace of it tells who it is, not who it was. */
	request_set_state(req, EXTPAGER_REQUEST_NEW);
	spin_unlock(&t->lock);
	if (folios)
		req->folios = folios;
	return req;
}

/**
 * extpager_request_enlarge() - room for more folios
 * @req: in state NEW, with its inline folios
 * @nr: folios wanted
 *
 * Return: false if there is no memory.
 */
bool extpager_request_enlarge(struct extpager_request *req, unsigned int nr)
{
	struct folio **folios = kvcalloc(nr, sizeof(*folios),
					 REQUEST_GFP);

	if (!folios)
		return false;
	memcpy(folios, req->inline_folios, sizeof(req->inline_folios));
	req->folios = folios;
	return true;
}

/* target->lock held; returns an array to kvfree() after unlocking. */
static void *request_free(struct extpager_request *req)
{
	struct extpager_target *t = req->target;
	void *folios = NULL;

	if (req->folios != req->inline_folios) {
		folios = req->folios;
		req->folios = req->inline_folios;
	}
	request_set_state(req, EXTPAGER_REQUEST_FREE);
	list_add(&req->node, &t->free);
	t->nr_free++;
	return folios;
}

/* target->lock held; returns an array to kvfree() after unlocking. */
static void *request_put(struct extpager_request *req)
{
	return --req->refs ? NULL : request_free(req);
}

/* For the maker, before it submits: it will wait for the end. */
void extpager_request_get(struct extpager_request *req)
{
	req->refs++;
}

/* Also gives back one that was never submitted. */
void extpager_request_put(struct extpager_request *req)
{
	struct extpager_target *t = req->target;
	void *folios;

	spin_lock(&t->lock);
	folios = request_put(req);
	spin_unlock(&t->lock);
	kvfree(folios);
}

/* ---- submission ---- */

/* target->lock held: was a part of the range asked before, and not answered? */
static struct extpager_request *range_record(struct extpager_object *obj, u8 op, pgoff_t index,
					     unsigned int nr)
{
	struct extpager_request *old;

	list_for_each_entry(old, &obj->target->parked, node)
		if (old->op == op &&
		    extpager_request_overlaps(old, obj, index, index + nr - 1))
			return old;
	return NULL;
}

/* The same, for who has not got the lock. */
bool extpager_request_recorded(struct extpager_object *obj, u8 op, pgoff_t index, unsigned int nr)
{
	struct extpager_target *t = obj->target;
	bool found;

	if (list_empty(&t->parked))
		return false;
	spin_lock(&t->lock);
	found = range_record(obj, op, index, nr);
	spin_unlock(&t->lock);
	return found;
}

/* Has the pager been given the page, and may it, or the kernel for it, be writing it yet? */
bool extpager_page_detached(struct extpager_object *obj, pgoff_t index)
{
	struct extpager_target *t = obj->target;
	struct extpager_request *req;
	bool found = false;

	if (likely(!READ_ONCE(t->nr_detached)))
		return false;
	spin_lock(&t->lock);
	list_for_each_entry(req, &t->pending[EXTPAGER_PHASE_RETURN], node)
		if (req->detached && extpager_request_overlaps(req, obj, index, index))
			found = true;
	list_for_each_entry(req, &t->written, written)
		if (req->state != EXTPAGER_REQUEST_PENDING &&
		    extpager_request_overlaps(req, obj, index, index))
			found = true;
	spin_unlock(&t->lock);
	return found;
}

/* target->lock held: is the kernel writing pages of the range to where a pager had it? */
bool extpager_range_written(const struct extpager_object *obj, pgoff_t first, pgoff_t last)
{
	struct extpager_request *req;

	list_for_each_entry(req, &obj->target->written, written)
		if (extpager_request_overlaps(req, obj, first, last))
			return true;
	return false;
}

/* target->lock held: who wants the page waits until its silent pager shows life. */
bool extpager_page_overdue(struct extpager_object *obj, pgoff_t index)
{
	struct extpager_request *old;

	if (!obj->target->any_overdue)
		return false;
	list_for_each_entry(old, &obj->target->parked, node)
		if (old->overdue && extpager_request_overlaps(old, obj, index, index))
			return true;
	return false;
}

/* May the pager be asked this now? */
bool extpager_request_may_submit(struct extpager_request *req)
{
	struct extpager_target *t = req->target;

	if (!t->port || !extpager_target_live(t))
		return false;
	switch (req->op) {
	case EXTPAGER_EV_DATA_REQUEST:
	case EXTPAGER_EV_DATA_RETURN:
	case EXTPAGER_EV_SYNC:
		return req->object->state == EXTPAGER_OBJECT_READY;
	case EXTPAGER_EV_INIT:
		return req->object->state == EXTPAGER_OBJECT_INIT;
	default:
		return true;
	}
}

/* target->lock held. The pager has been told; nothing more is to come. */
static void request_told(struct extpager_request *req)
{
	list_del_init(&req->node);
	req->target->nr_pending[request_phase(req)]--;
	request_set_state(req, EXTPAGER_REQUEST_ENDED);
	request_put(req);
}

static void request_count(struct extpager_request *req)
{
	struct extpager_target *t = req->target;

	switch (req->op) {
	case EXTPAGER_EV_DATA_REQUEST:
		extpager_count(t, DATA_REQUESTS);
		extpager_count_add(t, PAGES_REQUESTED, req->nr);
		break;
	case EXTPAGER_EV_DATA_RETURN:
		extpager_count(t, DATA_RETURNS);
		break;
	case EXTPAGER_EV_SYNC:
		extpager_count(t, SYNCS);
		break;
	case EXTPAGER_EV_INIT:
		extpager_count(t, INITS);
		break;
	case EXTPAGER_EV_TERMINATE:
		extpager_count(t, TERMINATES);
		break;
	}
}

/* target->lock held: a page-in asked again is as old as its record, and for who wanted that. */
static void request_succeeds(struct extpager_request *req)
{
	struct extpager_request *old = range_record(req->object, req->op, req->index, req->nr);

	if (!old)
		return;
	req->flags |= EXTPAGER_EVF_RESENT;
	if (req->op != EXTPAGER_EV_DATA_REQUEST)
		return;
	req->made = old->made;
	req->pid = old->pid;
	memcpy(req->comm, old->comm, sizeof(req->comm));
}

/* target->lock held. */
static int request_submit(struct extpager_request *req)
{
	struct extpager_target *t = req->target;
	enum extpager_phase phase = request_phase(req);
	unsigned long wait = msecs_to_jiffies(t->settings.timeout_ms[phase]);
	struct extpager_queue *q;
	u32 cpu;

	if (!extpager_request_may_submit(req))
		return -ENOTCONN;
	if (unlikely(!list_empty(&t->parked)) && req->nr)
		request_succeeds(req);
	if (unlikely(req->flags & EXTPAGER_EVF_RESENT))
		extpager_count(t, RESENT);
	request_count(req);
	req->generation = req->object->generation;
	req->covers = req->object->returned;
	req->sent = ktime_get_ns();
	request_set_state(req, EXTPAGER_REQUEST_PENDING);
	/* This tick has begun: nobody is told before the time is up. */
	req->deadline = jiffies + 1 + wait;
	req->due = req->deadline - wait / 2;
	req->warned = false;
	list_add_tail(&req->node, &t->pending[phase]);
	t->nr_pending[phase]++;
	if (extpager_request_wants_reply(req))
		extpager_deadline_arm(t, req->due);
	/* An object's INIT, ATTRIBUTES and TERMINATE must not overtake each other. */
	cpu = phase == EXTPAGER_PHASE_HANDSHAKE ? (u32)req->object->id : raw_smp_processor_id();
	q = &t->port->queues[cpu % t->port->nr_queues];
	/* Nor, as far as it is ours to say, those of which an heir is told in their order. */
	if (t->port->nr_queues > 1 && phase != EXTPAGER_PHASE_HANDSHAKE &&
	    likely(!(req->flags & EXTPAGER_EVF_RESENT)))
		q = extpager_queue_divert(q, req);
	if (!extpager_request_wants_reply(req)) {
		/* Nothing keeps the object once the pager need not answer. */
		req->attributes = req->object->attributes;
		req->object = NULL;
	}
	if (extpager_queue_post(q, req) && !extpager_request_wants_reply(req))
		request_told(req);
	if (likely(t->resender != current))
		extpager_queue_wake(q);
	return 0;
}

/**
 * extpager_request_submit() - ask the pager
 * @req: in state NEW
 *
 * After success the request belongs to whoever answers it.
 *
 * Context: any that may take target->lock.
 * Return: 0, or -ENOTCONN: nobody can be asked now; @req is still the caller's.
 */
int extpager_request_submit(struct extpager_request *req)
{
	struct extpager_target *t = req->target;
	int ret;

	if (req->op == EXTPAGER_EV_DATA_REQUEST || req->op == EXTPAGER_EV_DATA_RETURN)
		req->left = extpager_request_is_zero(req) ? 0 : req->nr;
	spin_lock(&t->lock);
	ret = request_submit(req);
	spin_unlock(&t->lock);
	return ret;
}

/**
 * extpager_request_posted() - a backlogged event that wants no answer is in the ring
 * @req: may have ended, and be another request, by now
 * @tag: what it was
 *
 * Context: RCU read side, which keeps the table; no queue->lock.
 */
void extpager_request_posted(struct extpager_request *req, u64 tag)
{
	struct extpager_target *t = req->target;

	spin_lock(&t->lock);
	if (req->tag == tag && req->state == EXTPAGER_REQUEST_PENDING)
		request_told(req);
	spin_unlock(&t->lock);
}

/* ---- slots ---- */

/* Pages that the folio in slot @i stands for. The caller has the folio, or target->lock. */
static unsigned int slot_pages(const struct extpager_request *req, unsigned int i)
{
	struct folio *folio = req->folios[i];

	return unlikely(req->large) && folio ? folio_nr_pages(folio) : 1;
}

/* target->lock held: in which slot is the folio of page @i, if it is not answered yet? */
static unsigned int page_slot(const struct extpager_request *req, unsigned int i)
{
	unsigned int back;

	if (likely(!req->large))
		return i;
	for (back = 0; back < EXTPAGER_BATCH && back <= i; back++)
		if (req->folios[i - back])
			return slot_pages(req, i - back) > back ? i - back : i;
	return i;
}

/* ---- ending ---- */

/*
 * target->lock held. PENDING or PARKED -> @state, which is also returned. The
 * caller then calls extpager_request_settle() without the lock, to hand back folios
 * that are left.
 */
enum extpager_request_state extpager_request_close(struct extpager_request *req,
						   enum extpager_request_state state, int error)
{
	struct extpager_target *t = req->target;

	if (req->state == EXTPAGER_REQUEST_PENDING) {
		t->nr_pending[request_phase(req)]--;
		/* What the kernel is writing goes on to be in the way of other returns. */
		if (unlikely(req->detached || req->nr_writing))
			WRITE_ONCE(t->nr_detached,
				   t->nr_detached - req->detached + !!req->nr_writing);
		if (!list_empty(&req->backlog))
			extpager_queue_withdraw(req->queue, req);
	}
	list_del_init(&req->node);
	req->error = error;
	/* What is told of an object that has ended belongs to none. */
	if (req->object)
		extpager_failure_note(req->object, req->op, req->index, req->length, error);
	request_set_state(req, state);
	req->refs++;		/* dropped by extpager_request_settle() */
	if (state == EXTPAGER_REQUEST_PARKED)
		list_add_tail(&req->node, &t->parked);
	else if (extpager_request_is_zero(req))
		WRITE_ONCE(req->object->zeros, req->object->zeros - 1);
	return state;
}

/* target->lock held: has the pager answered all of it, and the kernel not moved it yet? */
bool extpager_request_is_answered(const struct extpager_request *req)
{
	return req->nr_writing || (req->nr_reading && req->nr_reading == req->left);
}

/*
 * target->lock held. The deadline of a DATA_REQUEST is over, and those who want
 * its pages wait on: it becomes a record, that keeps them from asking anew. What
 * nobody wants ends.
 */
enum extpager_request_state extpager_request_overdue(struct extpager_request *req)
{
	pgoff_t wanted;
	u32 access = 0;

	/* Of one that was answered, and is not read yet, the pager is no further asked for life. */
	if (extpager_request_is_answered(req) ||
	    !extpager_gate_wanted(req->object, req->index, req->nr, &wanted, &access))
		return extpager_request_close(req, EXTPAGER_REQUEST_ENDED, -EAGAIN);
	req->overdue = true;
	WRITE_ONCE(req->target->any_overdue, true);
	return extpager_request_close(req, EXTPAGER_REQUEST_PARKED, 0);
}

/* target->lock held: a claim of pages @first to @last that the kernel is reading. */
static struct extpager_claim *claim_read(const struct extpager_request *req, pgoff_t first,
					 pgoff_t last)
{
	struct extpager_claim *claim;

	list_for_each_entry(claim, &req->reads, node)
		if (req->index + claim->first <= last &&
		    req->index + claim->first + claim->span > first)
			return claim;
	return NULL;
}

/*
 * What the kernel is reading of pages @first to @last leaves the cache, and its bytes
 * come to nobody. Who waits for it gets @error; without one he waits on.
 */
static void lose_reads(struct extpager_request *req, pgoff_t first, pgoff_t last, int error)
{
	struct extpager_target *t = req->target;
	struct folio *folios[EXTPAGER_BATCH];
	struct extpager_claim *claim;
	unsigned int i, span;
	pgoff_t index;

	for (;;) {
		spin_lock(&t->lock);
		claim = claim_read(req, first, last);
		if (!claim) {
			spin_unlock(&t->lock);
			return;
		}
		list_del_init(&claim->node);
		claim->lost = true;
		index = req->index + claim->first;
		span = claim->span;
		for (i = 0; i < span; i++) {
			folios[i] = claim->folios[i];
			if (folios[i])
				folio_get(folios[i]);
		}
		spin_unlock(&t->lock);
		for (i = 0; i < span; i++) {
			unsigned int nr;

			if (!folios[i])
				continue;
			nr = folio_nr_pages(folios[i]);
			extpager_folio_failed(req->object, folios[i]);
			folio_put(folios[i]);
			if (error)
				extpager_gate_wake(req->object, index + i, nr, error);
		}
	}
}

/* What has been delegated meanwhile waits for no pager, and fails with none. */
static int fate_of_page(struct extpager_object *obj, pgoff_t index, int error)
{
	return unlikely(extpager_needs_no_pager(obj, index)) ? -EAGAIN : error;
}

/* Hand back what is left of a data request: @error, or park it without a word. */
static void settle_data_request(struct extpager_request *req, int error)
{
	struct extpager_target *t = req->target;
	struct extpager_object *obj = req->object;
	unsigned int i, nr;
	int fate;

	for (i = 0; i < req->nr; i++) {
		struct folio *folio;
		pgoff_t index = req->index + i;

		spin_lock(&t->lock);
		folio = req->folios[i];
		nr = slot_pages(req, i);
		if (folio) {
			req->folios[i] = NULL;
			req->left -= nr;
		}
		spin_unlock(&t->lock);
		if (!folio)
			continue;
		extpager_folio_refused(obj, folio, fate_of_page(obj, index, error));
		for (; nr; nr--, index++) {
			fate = fate_of_page(obj, index, error);
			if (fate)
				extpager_gate_wake(obj, index, 1, fate);
		}
	}
	lose_reads(req, 0, -1, error);
}

/* Nobody fetches any more: the pages leave write-back, dirty if @error. */
static void settle_return(struct extpager_request *req, int error)
{
	struct extpager_target *t = req->target;
	unsigned int i;

	spin_lock(&t->lock);
	if (req->claims || !req->left) {
		spin_unlock(&t->lock);
		return;
	}
	req->left = 0;
	spin_unlock(&t->lock);
	for (i = 0; i < req->nr; i++)
		extpager_folio_returned(req->object, req->folios[i], error);
	/* What failed may go to the spill, or more may come from there. */
	if (atomic_long_read(&t->nr_spilled) || (error && extpager_target_spills(t)))
		extpager_spill_kick(t);
}

/* @state is what extpager_request_close() said; drops the reference that it took. */
void extpager_request_settle(struct extpager_request *req, enum extpager_request_state state)
{
	bool parked = state == EXTPAGER_REQUEST_PARKED;
	bool wake = req->op != EXTPAGER_EV_DATA_REQUEST;
	struct extpager_target *t = req->target;
	void *folios = NULL;

	if (req->op == EXTPAGER_EV_DATA_REQUEST)
		settle_data_request(req, parked ? 0 : req->error);
	else if (req->op == EXTPAGER_EV_DATA_RETURN)
		settle_return(req, parked ? -EAGAIN : req->error);

	spin_lock(&t->lock);
	/* What has ended is the pager's no more; a record goes on to be. */
	if (!parked)
		req->refs--;
	folios = request_put(req);
	spin_unlock(&t->lock);
	kvfree(folios);
	if (wake)
		wake_up_all(&t->wait);
}

/* ---- answers ---- */

/* target->lock held. */
static struct extpager_request *request_find(struct extpager_target *t,
					     const struct extpager_reply *re, u8 op, int *error)
{
	unsigned int slot = re->tag & 0xffff;
	struct extpager_request *req;
	struct extpager_object *obj;

	*error = -ENOENT;
	if (slot / EXTPAGER_CHUNK_REQUESTS < t->nr_chunks) {
		req = &t->chunks[slot / EXTPAGER_CHUNK_REQUESTS][slot % EXTPAGER_CHUNK_REQUESTS];
		if (req->tag == re->tag && req->state == EXTPAGER_REQUEST_PENDING &&
		    req->object_id == re->object && req->op == op) {
			if (req->generation == re->generation)
				return req;
			*error = -ESTALE;
			return NULL;
		}
	}
	obj = xa_load(&t->objects, lower_32_bits(re->object));
	if (obj && obj->id == re->object && obj->generation != re->generation)
		*error = -ESTALE;
	return NULL;
}

/*
 * target->lock held. False: what is wanted begins or ends within a large folio, and the
 * claim is of all of that: to be given up, and tried again.
 */
static bool request_claim(struct extpager_request *req, unsigned int first, unsigned int span,
			  struct extpager_claim *claim)
{
	unsigned int i, nr, slot = page_slot(req, first);
	bool whole = slot == first && slot_pages(req, slot) <= span;

	claim->req = req;
	claim->first = slot;
	claim->span = whole ? min_t(unsigned int, span, EXTPAGER_BATCH) : slot_pages(req, slot);
	claim->nr = 0;
	claim->reading = false;
	claim->lost = false;
	req->gave_up |= !whole;
	claim->gave_up = req->gave_up;
	for (i = 0; i < claim->span; i += nr) {
		struct folio *folio = req->folios[slot + i];

		nr = slot_pages(req, slot + i);
		if (folio ? i + nr > claim->span : claim->nr) {
			claim->span = i;
			break;
		}
		claim->folios[i] = folio;
		if (!folio)
			continue;
		req->folios[slot + i] = NULL;
		claim->nr += nr;
		if (unlikely(nr > 1))
			memset(claim->folios + i + 1, 0, (nr - 1) * sizeof(folio));
	}
	req->refs++;
	return whole;
}

/* A large folio is here as a whole or not at all: its pages are asked for anew. */
static void claim_give_up(struct extpager_claim *claim)
{
	extpager_claim_end(claim, claim->span, -EAGAIN);
}

/* target->lock held. */
static void claim_reads(struct extpager_claim *claim)
{
	unsigned int i;

	for (i = 0; i < claim->span; i++)
		if (claim->folios[i])
			folio_get(claim->folios[i]);
	claim->reading = true;
	claim->req->nr_reading += claim->nr;
	list_add(&claim->node, &claim->req->reads);
}

/**
 * extpager_request_claim() - take folios out of a DATA_REQUEST to fill or fail them
 * @t: target
 * @re: the pager's reply
 * @index: first page
 * @nr: pages; at most EXTPAGER_BATCH are taken at once
 * @claim: out; ended by extpager_claim_end(); stays where it is if the kernel reads
 *
 * While claimed, folios belong to the caller: a deadline or the pager's death
 * passes them over, and whoever gives them back finds the request ended.
 *
 * Return: 0, -ENOENT, -ESTALE or -ERANGE; @claim->gave_up is set in any case.
 */
int extpager_request_claim(struct extpager_target *t, const struct extpager_reply *re,
			   pgoff_t index, unsigned int nr, struct extpager_claim *claim)
{
	struct extpager_request *req;
	int ret;

	claim->gave_up = false;
again:
	spin_lock(&t->lock);
	req = request_find(t, re, EXTPAGER_EV_DATA_REQUEST, &ret);
	if (!req)
		goto out;
	ret = -ERANGE;
	if (index < req->index || nr > req->nr || index - req->index > req->nr - nr)
		goto out;
	if (unlikely(!request_claim(req, index - req->index, nr, claim))) {
		spin_unlock(&t->lock);
		/* Only a part of it is answered. The others had better come one by one. */
		extpager_large_pause(req->object);
		claim_give_up(claim);
		goto again;
	}
	if (re->flags & EXTPAGER_REF_FILE)
		claim_reads(claim);
	ret = 0;
out:
	spin_unlock(&t->lock);
	return ret;
}

/**
 * extpager_request_take() - claim pages of whatever DATA_REQUEST asks for them
 * @obj: object
 * @index: first page
 * @nr: pages
 * @generation: the taker's idea of it; 0: any
 * @claim: out
 *
 * Return: true if some were claimed; @claim->gave_up is set in any case.
 */
bool extpager_request_take(struct extpager_object *obj, pgoff_t index, pgoff_t nr,
			   u32 generation, struct extpager_claim *claim)
{
	struct extpager_target *t = obj->target;
	struct extpager_request *req;
	bool gave_up = false;

again:
	spin_lock(&t->lock);
	list_for_each_entry(req, &t->pending[EXTPAGER_PHASE_PAGE_IN], node) {
		unsigned int first, slot, end;
		bool whole;

		if (req->object != obj || index >= req->index + req->nr ||
		    index + nr <= req->index)
			continue;
		if (generation && req->generation != generation)
			continue;
		first = max(index, req->index) - req->index;
		end = min(index + nr, req->index + req->nr) - req->index;
		for (slot = page_slot(req, first); slot < end && !req->folios[slot]; slot++)
			;
		if (slot == end)
			continue;
		first = max(first, slot);
		whole = request_claim(req, first, end - first, claim);
		spin_unlock(&t->lock);
		if (likely(whole)) {
			claim->gave_up = gave_up;
			return true;
		}
		claim_give_up(claim);
		gave_up = true;
		goto again;
	}
	spin_unlock(&t->lock);
	claim->gave_up = gave_up;
	return false;
}

/* Pages of the folio in slot @i. */
static unsigned int claim_pages(const struct extpager_claim *claim, unsigned int i)
{
	return unlikely(claim->req->large) ? folio_nr_pages(claim->folios[i]) : 1;
}

/**
 * extpager_claim_split() - take the first folio, or hole, off a claim
 * @claim: of several
 * @head: out: a claim of that alone, to be ended by itself
 */
void extpager_claim_split(struct extpager_claim *claim, struct extpager_claim *head)
{
	struct extpager_target *t = claim->req->target;
	unsigned int nr = claim->folios[0] ? claim_pages(claim, 0) : 1;

	head->req = claim->req;
	head->first = claim->first;
	head->span = nr;
	head->nr = claim->folios[0] ? nr : 0;
	head->reading = claim->reading;
	INIT_LIST_HEAD(&head->node);
	memcpy(head->folios, claim->folios, nr * sizeof(claim->folios[0]));
	spin_lock(&t->lock);
	head->lost = claim->lost;
	claim->req->refs++;
	claim->first += nr;
	claim->span -= nr;
	claim->nr -= head->nr;
	memmove(claim->folios, claim->folios + nr, claim->span * sizeof(claim->folios[0]));
	spin_unlock(&t->lock);
}

/**
 * extpager_request_lose_reads() - have nobody wait for what the kernel reads
 * @obj: object
 * @index: first page
 * @nr: pages
 *
 * Pages of the range that are being read leave the cache, and neighbours that are read
 * with them; who waits for one tries anew.
 */
void extpager_request_lose_reads(struct extpager_object *obj, pgoff_t index, pgoff_t nr)
{
	struct extpager_target *t = obj->target;
	struct extpager_request *req;

	spin_lock(&t->lock);
again:
	list_for_each_entry(req, &t->pending[EXTPAGER_PHASE_PAGE_IN], node) {
		if (req->object != obj || !claim_read(req, index, index + nr - 1))
			continue;
		req->refs++;
		spin_unlock(&t->lock);
		lose_reads(req, index, index + nr - 1, -EAGAIN);
		extpager_request_put(req);
		spin_lock(&t->lock);
		goto again;
	}
	spin_unlock(&t->lock);
}

/* No more reading; was it in vain? */
static bool claim_stop_reading(struct extpager_claim *claim)
{
	struct extpager_target *t = claim->req->target;

	if (!claim->reading)
		return false;
	spin_lock(&t->lock);
	list_del_init(&claim->node);
	claim->req->nr_reading -= claim->nr;
	spin_unlock(&t->lock);
	return claim->lost;
}

/**
 * extpager_claim_end() - finish claimed folios
 * @claim: from extpager_request_claim() or extpager_request_take()
 * @done: slots before this one are done: filled, or failed if @error; all, if the
 *	kernel has read
 * @error: 0 or the negative errno for them
 *
 * Slots from @done on go back to the request, or fail with it if it has ended.
 */
void extpager_claim_end(struct extpager_claim *claim, unsigned int done, int error)
{
	struct extpager_request *req = claim->req;
	struct extpager_target *t = req->target;
	struct extpager_object *obj = req->object;
	/* Holes come first: of them others are told, who may have asked again. */
	unsigned int i, nr = 0, holes = claim->span - claim->nr, first = claim->first + holes;
	bool over = false;
	int over_error = 0;
	bool lost = claim_stop_reading(claim);
	void *folios = NULL, *more;
	u64 now = 0;

	for (i = 0; i < done; i++) {
		if (!claim->folios[i])
			continue;
		nr += claim_pages(claim, i);
		if (unlikely(lost))
			error = 0;
		else if (error)
			extpager_folio_refused(obj, claim->folios[i], error);
		else
			extpager_folio_supplied(obj, claim->folios[i]);
	}
	if (nr && !lost)
		now = extpager_gate_wake(obj, req->index + first, nr, error);

	spin_lock(&t->lock);
	if (unlikely(error) && nr)
		extpager_failure_note(obj, req->op, req->index + first,
				      min(req->length - ((u64)first << PAGE_SHIFT),
					  (u64)nr << PAGE_SHIFT), error);
	if (nr < claim->nr) {
		over = req->state != EXTPAGER_REQUEST_PENDING;
		over_error = req->state == EXTPAGER_REQUEST_PARKED ? -EAGAIN : req->error;
		for (i = done; i < claim->span && !over; i++)
			req->folios[claim->first + i] = claim->folios[i];
	}
	req->left -= over ? claim->nr : nr;
	if (!req->left && req->state == EXTPAGER_REQUEST_PENDING) {
		t->nr_pending[EXTPAGER_PHASE_PAGE_IN]--;
		if (!list_empty(&req->backlog))
			extpager_queue_withdraw(req->queue, req);
		list_del_init(&req->node);
		request_set_state(req, EXTPAGER_REQUEST_ENDED);
		extpager_latency_answered(req, EXTPAGER_PHASE_PAGE_IN, now ?: ktime_get_ns());
		folios = request_put(req);
	}
	if (likely(!over)) {
		more = request_put(req);
		spin_unlock(&t->lock);
		if (unlikely(folios || more)) {
			kvfree(folios);
			kvfree(more);
		}
		return;
	}
	spin_unlock(&t->lock);

	for (i = done; i < claim->span && over; i++) {
		if (!claim->folios[i])
			continue;
		nr = claim_pages(claim, i);
		extpager_folio_refused(obj, claim->folios[i], over_error);
		extpager_gate_wake(obj, req->index + claim->first + i, nr,
				   over_error ?: -EAGAIN);
	}
	spin_lock(&t->lock);
	more = request_put(req);
	spin_unlock(&t->lock);
	kvfree(folios);
	kvfree(more);
}

/**
 * extpager_request_hold() - keep the folios of a DATA_RETURN under write-back to copy them
 * @t: target
 * @re: the pager's reply
 * @reqp: out; ended by extpager_request_unhold()
 *
 * Return: 0, -ENOENT, -ESTALE, or -ERANGE: @re is about bytes not in it.
 */
int extpager_request_hold(struct extpager_target *t, const struct extpager_reply *re,
			  struct extpager_request **reqp)
{
	struct extpager_request *req;
	loff_t start;
	int ret;

	spin_lock(&t->lock);
	req = request_find(t, re, EXTPAGER_EV_DATA_RETURN, &ret);
	if (!req)
		goto out;
	ret = -ENOENT;
	/* It was answered; its end, if it was detached too, is when it is written. */
	if (req->nr_writing)
		goto out;
	if (unlikely(req->detached)) {
		/* What it has no bytes of it does not write. */
		extpager_request_close(req, EXTPAGER_REQUEST_ENDED, -EAGAIN);
		spin_unlock(&t->lock);
		extpager_request_settle(req, EXTPAGER_REQUEST_ENDED);
		return -ENOENT;
	}
	start = (loff_t)req->index << PAGE_SHIFT;
	ret = -ERANGE;
	if (extpager_request_is_zero(req) || re->offset < start || re->length > req->length ||
	    re->offset - start > req->length - re->length)
		goto out;
	req->refs++;
	req->claims++;
	*reqp = req;
	ret = 0;
out:
	spin_unlock(&t->lock);
	return ret;
}

void extpager_request_unhold(struct extpager_request *req)
{
	struct extpager_target *t = req->target;
	enum extpager_request_state state;
	int error;

	spin_lock(&t->lock);
	req->claims--;
	state = req->state;
	error = req->error;
	spin_unlock(&t->lock);
	if (state != EXTPAGER_REQUEST_PENDING) {
		settle_return(req, state == EXTPAGER_REQUEST_PARKED ? -EAGAIN : error);
		wake_up_all(&t->wait);
	}
	extpager_request_put(req);
}

/**
 * extpager_request_write() - the kernel is going to write a DATA_RETURN by itself
 * @req: held by extpager_request_hold()
 * @parts: so many times extpager_request_written() will be called
 *
 * From here on no answer is taken. Should it end before it is written, nothing else of its
 * range is returned until it is.
 *
 * Return: false if somebody else has answered it, or it has ended.
 */
bool extpager_request_write(struct extpager_request *req, unsigned int parts)
{
	struct extpager_target *t = req->target;
	bool ours;

	spin_lock(&t->lock);
	/* Who ends an object has seen to it that nothing is written. */
	ours = req->state == EXTPAGER_REQUEST_PENDING && !req->detached && !req->nr_writing &&
	       req->object->state != EXTPAGER_OBJECT_GONE;
	if (ours) {
		req->nr_writing = parts;
		req->write_error = 0;
		req->refs++;
		list_add_tail(&req->written, &t->written);
		WRITE_ONCE(req->object->nr_writing, req->object->nr_writing + 1);
	}
	spin_unlock(&t->lock);
	return ours;
}

/**
 * extpager_request_written() - a part of a DATA_RETURN is written, or could not be
 * @req: from extpager_request_write(); the caller has its object
 * @error: 0 or a negative errno that clients may be given
 *
 * The last part acknowledges it as RETURN_DONE does.
 *
 * Return: true if it did.
 */
bool extpager_request_written(struct extpager_request *req, int error)
{
	struct extpager_object *obj = req->object;
	struct extpager_target *t = req->target;
	enum extpager_request_state state = EXTPAGER_REQUEST_ENDED;
	bool asked, waited;

	spin_lock(&t->lock);
	req->write_error = req->write_error ?: error;
	error = req->write_error;
	if (--req->nr_writing) {
		spin_unlock(&t->lock);
		return false;
	}
	list_del_init(&req->written);
	asked = req->state == EXTPAGER_REQUEST_PENDING;
	/* Its pages have left write-back, and may be dirty anew, or zeroed, since. */
	waited = !asked || req->detached;
	if (asked) {
		state = extpager_request_returned(req, error);
		extpager_latency_answered(req, EXTPAGER_PHASE_RETURN, ktime_get_ns());
	} else {
		WRITE_ONCE(t->nr_detached, t->nr_detached - 1);
	}
	WRITE_ONCE(obj->nr_writing, obj->nr_writing - 1);
	extpager_object_written(obj);
	spin_unlock(&t->lock);
	if (asked)
		extpager_request_settle(req, state);
	if (waited) {
		queue_work(extpager_wq, &t->flush_work);
		mod_delayed_work(extpager_wq, &t->resend_work, 0);
		wake_up_all(&t->wait);
	}
	extpager_request_put(req);
	return asked && !error;
}

enum extpager_request_state extpager_request_returned(struct extpager_request *req, int error)
{
	struct extpager_target *t = req->target;
	struct extpager_object *obj = req->object;

	/* Its pages come again, whatever became of this. */
	if (unlikely(req->detached))
		return extpager_request_close(req, EXTPAGER_REQUEST_ENDED, -EAGAIN);
	if (error) {
		extpager_count(t, RETURNS_FAILED);
		WRITE_ONCE(obj->retry_at, jiffies + HZ);
		extpager_object_write_error(obj, error);
	} else {
		extpager_count_add(t, PAGES_RETURNED, req->nr);
		WRITE_ONCE(obj->returned, obj->returned + 1);
	}
	/* A zeroed range has no dirty pages to remember it: the record stays. */
	if (error && extpager_request_is_zero(req)) {
		queue_delayed_work(extpager_wq, &t->resend_work, HZ);
		return extpager_request_close(req, EXTPAGER_REQUEST_PARKED, error);
	}
	return extpager_request_close(req, EXTPAGER_REQUEST_ENDED, error);
}

/**
 * extpager_request_answer() - READY, RETURN_DONE and SYNC_DONE
 * @t: target
 * @re: the pager's reply, its @error checked
 *
 * Return: 0, -ENOENT or -ESTALE.
 */
int extpager_request_answer(struct extpager_target *t, const struct extpager_reply *re)
{
	u8 op = re->op == EXTPAGER_RE_READY ? EXTPAGER_EV_INIT :
		re->op == EXTPAGER_RE_SYNC_DONE ? EXTPAGER_EV_SYNC : EXTPAGER_EV_DATA_RETURN;
	enum extpager_request_state state;
	int ret, error = -(int)re->error;
	struct extpager_request *req;

	spin_lock(&t->lock);
	req = request_find(t, re, op, &ret);
	if (!req) {
		spin_unlock(&t->lock);
		return ret;
	}
	if (req->nr_writing) {
		spin_unlock(&t->lock);
		return -ENOENT;
	}
	switch (op) {
	case EXTPAGER_EV_INIT:
		extpager_object_init_done(req->object, error, re->attributes, false);
		state = extpager_request_close(req, EXTPAGER_REQUEST_ENDED, error);
		break;
	case EXTPAGER_EV_SYNC:
		if (error) {
			extpager_count(t, SYNCS_FAILED);
			extpager_object_write_error(req->object, error);
		} else if (req->covers > req->object->synced) {
			WRITE_ONCE(req->object->synced, req->covers);
		}
		state = extpager_request_close(req, EXTPAGER_REQUEST_ENDED, error);
		break;
	default:
		state = extpager_request_returned(req, error);
	}
	extpager_latency_answered(req, request_phase(req), ktime_get_ns());
	spin_unlock(&t->lock);
	extpager_request_settle(req, state);
	return 0;
}

/* ---- waiting for a barrier ---- */

/* Parked it waits for a successor, unless it has an error: none will come. */
static bool request_is_over(struct extpager_request *req, int *error)
{
	enum extpager_request_state state;

	spin_lock(&req->target->lock);
	state = req->state;
	*error = req->error;
	spin_unlock(&req->target->lock);
	return state == EXTPAGER_REQUEST_ENDED || (state == EXTPAGER_REQUEST_PARKED && *error);
}

/**
 * extpager_request_wait() - wait for the end of a submitted SYNC
 * @req: the caller holds a reference of its own, and keeps it
 *
 * Return: 0, the pager's error, or -EINTR if the caller is being killed; the
 * request goes on without it.
 */
int extpager_request_wait(struct extpager_request *req)
{
	int error;

	extpager_waits_for_pager();
	if (wait_event_killable(req->target->wait, request_is_over(req, &error)))
		return -EINTR;
	return error;
}

/* ---- records: what waits for the next pager, or for life in this one ---- */

/*
 * The pages of a return go another way; no other of them is sent before it is
 * answered, for its pager may be writing them. target->lock held, and dropped
 * for a time; nobody fetches.
 */
void extpager_request_detach(struct extpager_request *req)
	__releases(&req->target->lock) __acquires(&req->target->lock)
{
	struct extpager_target *t = req->target;
	unsigned int i;

	req->detached = true;
	WRITE_ONCE(t->nr_detached, t->nr_detached + 1);
	req->left = 0;
	req->refs++;
	spin_unlock(&t->lock);
	for (i = 0; i < req->nr; i++)
		extpager_folio_returned(req->object, req->folios[i], -EAGAIN);
	extpager_request_put(req);
	spin_lock(&t->lock);
}

/* A new request becomes a record without having been sent. */
void extpager_request_park(struct extpager_request *req)
{
	request_set_state(req, EXTPAGER_REQUEST_PARKED);
	list_add_tail(&req->node, &req->target->parked);
}

/* A barrier's or zeroed range's record is asked again as it stands. */
void extpager_request_resend(struct extpager_request *req, u16 flags)
{
	list_del_init(&req->node);
	req->tag += 1ULL << 16;
	req->error = 0;
	req->flags |= flags;
	if (request_submit(req))
		list_add(&req->node, &req->target->parked);
}
