// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests: what a pager is asked, from the asking to the answer or the end.
 * Every change of a request's state is made in this file, under target->lock;
 * the states are drawn in extpager.h. It knows of folios only that they are
 * handed back one by one, of the ring only that it takes a request.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "extpager.h"
#include "trace.h"

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

/* The pager must answer it; TERMINATE and ATTRIBUTES only tell. */
static bool request_wants_reply(const struct extpager_request *req)
{
	return req->op != EXTPAGER_EV_TERMINATE && req->op != EXTPAGER_EV_ATTRIBUTES;
}

static bool request_is_zero(const struct extpager_request *req)
{
	return req->flags & EXTPAGER_EVF_ZERO;
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
		folios = kvcalloc(nr, sizeof(*folios), GFP_NOFS | __GFP_NOWARN | __GFP_NORETRY);
		if (!folios)
			return NULL;
	}
	spin_lock(&t->lock);
	while (t->nr_free <= keep) {
		spin_unlock(&t->lock);
		if (requests_grow(t, GFP_NOFS | __GFP_NOWARN | __GFP_NORETRY)) {
			kvfree(folios);
			return NULL;
		}
		spin_lock(&t->lock);
	}
	req = list_first_entry(&t->free, struct extpager_request, node);
	list_del_init(&req->node);
	t->nr_free--;
	request_set_state(req, EXTPAGER_REQUEST_NEW);
	spin_unlock(&t->lock);

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
	req->refs = 1;
	req->claims = 0;
	req->left = 0;
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
					 GFP_NOFS | __GFP_NOWARN | __GFP_NORETRY);

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

void extpager_request_put(struct extpager_request *req)
{
	struct extpager_target *t = req->target;
	void *folios;

	spin_lock(&t->lock);
	folios = request_put(req);
	spin_unlock(&t->lock);
	kvfree(folios);
}

/* Give a request back that was never submitted. */
void extpager_request_abandon(struct extpager_request *req)
{
	extpager_request_put(req);
}

/* ---- submission ---- */

static void deadline_arm(struct extpager_target *t, unsigned long deadline)
{
	lockdep_assert_held(&t->lock);
	if (t->deadline_armed)
		return;
	t->deadline_armed = true;
	queue_delayed_work(extpager_wq, &t->deadline_work,
			   time_after(deadline, jiffies) ? deadline - jiffies : 0);
}

/* A range that an earlier pager may have been asked for. */
static bool request_is_resent(struct extpager_request *req)
{
	struct extpager_request *old;

	list_for_each_entry(old, &req->target->parked, node)
		if (old->object == req->object && old->op == req->op &&
		    req->index < old->index + old->nr && old->index < req->index + req->nr)
			return true;
	return false;
}

/* May the pager be asked this now? */
static bool request_may_submit(struct extpager_request *req)
{
	struct extpager_target *t = req->target;

	if (!t->port || !extpager_target_live(t))
		return false;
	switch (req->op) {
	case EXTPAGER_EV_DATA_REQUEST:
	case EXTPAGER_EV_DATA_RETURN:
	case EXTPAGER_EV_SYNC:
		return req->object->state == EXTPAGER_OBJECT_READY;
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

/* target->lock held. */
static int request_submit(struct extpager_request *req)
{
	struct extpager_target *t = req->target;
	enum extpager_phase phase = request_phase(req);
	struct extpager_queue *q;
	u32 cpu;

	if (!request_may_submit(req))
		return -ENOTCONN;
	if (unlikely(!list_empty(&t->parked)) && request_is_resent(req))
		req->flags |= EXTPAGER_EVF_RESENT;
	if (unlikely(req->flags & EXTPAGER_EVF_RESENT))
		extpager_count(t, RESENT);
	req->generation = req->object->generation;
	request_set_state(req, EXTPAGER_REQUEST_PENDING);
	req->deadline = jiffies + msecs_to_jiffies(t->settings.timeout_ms[phase]);
	list_add_tail(&req->node, &t->pending[phase]);
	t->nr_pending[phase]++;
	if (request_wants_reply(req))
		deadline_arm(t, req->deadline);
	/* An object's INIT, ATTRIBUTES and TERMINATE must not overtake each other. */
	cpu = phase == EXTPAGER_PHASE_HANDSHAKE ? (u32)req->object->id : raw_smp_processor_id();
	q = &t->port->queues[cpu % t->port->nr_queues];
	if (!request_wants_reply(req)) {
		/* Nothing keeps the object once the pager need not answer. */
		req->attributes = req->object->attributes;
		req->object = NULL;
	}
	if (extpager_queue_post(q, req) && !request_wants_reply(req))
		request_told(req);
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
		req->left = request_is_zero(req) ? 0 : req->nr;
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

/* ---- ending ---- */

/*
 * target->lock held. PENDING or PARKED -> @state, which is also returned. The
 * caller then calls request_settle() without the lock, to hand back folios
 * that are left.
 */
static enum extpager_request_state request_close(struct extpager_request *req, enum extpager_request_state state,
			  int error)
{
	struct extpager_target *t = req->target;

	if (req->state == EXTPAGER_REQUEST_PENDING) {
		t->nr_pending[request_phase(req)]--;
		if (!list_empty(&req->backlog))
			extpager_queue_withdraw(req->queue, req);
	}
	list_del_init(&req->node);
	req->error = error;
	request_set_state(req, state);
	req->refs++;		/* dropped by request_settle() */
	if (state == EXTPAGER_REQUEST_PARKED)
		list_add_tail(&req->node, &t->parked);
	else if (request_is_zero(req))
		req->object->zeros--;
	return state;
}

/* Hand back what is left of a data request: @error, or park it without a word. */
static void settle_data_request(struct extpager_request *req, int error)
{
	struct extpager_target *t = req->target;
	struct extpager_object *obj = req->object;
	unsigned int i;

	for (i = 0; i < req->nr; i++) {
		struct folio *folio;

		spin_lock(&t->lock);
		folio = req->folios[i];
		if (folio) {
			req->folios[i] = NULL;
			req->left--;
		}
		spin_unlock(&t->lock);
		if (!folio)
			continue;
		extpager_folio_failed(obj, folio);
		if (error)
			extpager_gate_wake(obj, req->index + i, 1, error);
	}
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
}

/* @state is what request_close() said; drops the reference that it took. */
static void request_settle(struct extpager_request *req, enum extpager_request_state state)
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
	list_for_each_entry(obj, &t->objects, node)
		if (obj->id == re->object && obj->generation != re->generation)
			*error = -ESTALE;
	return NULL;
}

/* target->lock held. */
static void request_claim(struct extpager_request *req, unsigned int first, unsigned int span,
			  struct extpager_claim *claim)
{
	unsigned int i;

	claim->req = req;
	claim->first = first;
	claim->span = min_t(unsigned int, span, EXTPAGER_BATCH);
	claim->nr = 0;
	for (i = 0; i < claim->span; i++) {
		claim->folios[i] = req->folios[first + i];
		if (claim->folios[i]) {
			req->folios[first + i] = NULL;
			claim->nr++;
		}
	}
	req->refs++;
}

/**
 * extpager_request_claim() - take folios out of a DATA_REQUEST to fill or fail them
 * @t: target
 * @re: the pager's reply
 * @index: first page
 * @nr: pages; at most EXTPAGER_BATCH are taken at once
 * @claim: out; ended by extpager_claim_end()
 *
 * While claimed, folios belong to the caller: a deadline or the pager's death
 * passes them over, and whoever gives them back finds the request ended.
 *
 * Return: 0, -ENOENT, -ESTALE or -ERANGE.
 */
int extpager_request_claim(struct extpager_target *t, const struct extpager_reply *re,
			   pgoff_t index, unsigned int nr, struct extpager_claim *claim)
{
	struct extpager_request *req;
	int ret;

	spin_lock(&t->lock);
	req = request_find(t, re, EXTPAGER_EV_DATA_REQUEST, &ret);
	if (!req)
		goto out;
	ret = -ERANGE;
	if (index < req->index || nr > req->nr || index - req->index > req->nr - nr)
		goto out;
	request_claim(req, index - req->index, nr, claim);
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
 * @claim: out
 *
 * Return: true if some were claimed.
 */
bool extpager_request_take(struct extpager_object *obj, pgoff_t index, pgoff_t nr,
			   struct extpager_claim *claim)
{
	struct extpager_target *t = obj->target;
	struct extpager_request *req;

	spin_lock(&t->lock);
	list_for_each_entry(req, &t->pending[EXTPAGER_PHASE_PAGE_IN], node) {
		pgoff_t first, end;

		if (req->object != obj || index >= req->index + req->nr ||
		    index + nr <= req->index)
			continue;
		first = max(index, req->index);
		end = min(index + nr, req->index + req->nr);
		while (first < end && !req->folios[first - req->index])
			first++;
		if (first == end)
			continue;
		request_claim(req, first - req->index, end - first, claim);
		spin_unlock(&t->lock);
		return true;
	}
	spin_unlock(&t->lock);
	return false;
}

/**
 * extpager_claim_end() - finish claimed folios
 * @claim: from extpager_request_claim() or extpager_request_take()
 * @upto: slots before this one are done: filled, or failed if @error
 * @error: 0 or the negative errno for them
 *
 * Slots from @upto on go back to the request, or fail with it if it has ended.
 */
void extpager_claim_end(struct extpager_claim *claim, unsigned int upto, int error)
{
	struct extpager_request *req = claim->req;
	struct extpager_target *t = req->target;
	struct extpager_object *obj = req->object;
	pgoff_t index = req->index + claim->first;
	unsigned int i, done = 0;
	bool over = false;
	int over_error = 0;
	void *folios = NULL, *more;

	if (error)
		extpager_object_note_failure(obj, index, upto, error);
	for (i = 0; i < upto; i++) {
		if (!claim->folios[i])
			continue;
		if (error)
			extpager_folio_failed(obj, claim->folios[i]);
		else
			extpager_folio_supplied(obj, claim->folios[i]);
		done++;
	}
	if (done)
		extpager_gate_wake(obj, index, upto, error);

	spin_lock(&t->lock);
	if (done < claim->nr) {
		over = req->state != EXTPAGER_REQUEST_PENDING;
		over_error = req->state == EXTPAGER_REQUEST_PARKED ? -EAGAIN : req->error;
		for (i = upto; i < claim->span && !over; i++)
			req->folios[claim->first + i] = claim->folios[i];
	}
	req->left -= over ? claim->nr : done;
	if (!req->left && req->state == EXTPAGER_REQUEST_PENDING) {
		t->nr_pending[EXTPAGER_PHASE_PAGE_IN]--;
		if (!list_empty(&req->backlog))
			extpager_queue_withdraw(req->queue, req);
		list_del_init(&req->node);
		request_set_state(req, EXTPAGER_REQUEST_ENDED);
		folios = request_put(req);
	}
	spin_unlock(&t->lock);

	for (i = upto; i < claim->span && over; i++) {
		if (!claim->folios[i])
			continue;
		extpager_folio_failed(obj, claim->folios[i]);
		extpager_gate_wake(obj, index + i, 1, over_error ?: -EAGAIN);
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
 * Return: 0, -ENOENT, -ESTALE, or -ERANGE: @re asks for bytes not in it.
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
	start = (loff_t)req->index << PAGE_SHIFT;
	ret = -ERANGE;
	if (request_is_zero(req) || re->offset < start || re->length > req->length ||
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
	if (state != EXTPAGER_REQUEST_PENDING)
		settle_return(req, state == EXTPAGER_REQUEST_PARKED ? -EAGAIN : error);
	extpager_request_put(req);
}

static enum extpager_request_state answer_return(struct extpager_request *req, int error)
{
	struct extpager_target *t = req->target;
	struct extpager_object *obj = req->object;

	if (error) {
		extpager_count(t, RETURNS_FAILED);
		obj->retry_at = jiffies + HZ;
		mapping_set_error(obj->inode.i_mapping, error);
	} else {
		extpager_count_add(t, PAGES_RETURNED, req->nr);
		obj->unsynced = true;
	}
	/* A zeroed range has no dirty pages to remember it: the record stays. */
	if (error && request_is_zero(req)) {
		queue_delayed_work(extpager_wq, &t->resend_work, HZ);
		return request_close(req, EXTPAGER_REQUEST_PARKED, error);
	}
	return request_close(req, EXTPAGER_REQUEST_ENDED, error);
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
	switch (op) {
	case EXTPAGER_EV_INIT:
		extpager_object_init_done(req->object, error, re->attributes);
		state = request_close(req, EXTPAGER_REQUEST_ENDED, error);
		break;
	case EXTPAGER_EV_SYNC:
		if (error) {
			extpager_count(t, SYNCS_FAILED);
			req->object->unsynced = true;
			mapping_set_error(req->object->inode.i_mapping, error);
		}
		state = request_close(req, EXTPAGER_REQUEST_ENDED, error);
		break;
	default:
		state = answer_return(req, error);
	}
	spin_unlock(&t->lock);
	request_settle(req, state);
	return 0;
}

/* ---- waiting for a barrier or a zeroed range ---- */

static bool request_is_over(struct extpager_request *req)
{
	enum extpager_request_state state = READ_ONCE(req->state);

	return state == EXTPAGER_REQUEST_ENDED ||
	       (state == EXTPAGER_REQUEST_PARKED && READ_ONCE(req->error));
}

/**
 * extpager_request_wait() - wait for the end of a submitted SYNC or ZERO
 * @req: the caller holds a reference of its own, and keeps it
 *
 * Return: 0, the pager's error, or -EINTR if the caller is being killed; the
 * request goes on without it.
 */
int extpager_request_wait(struct extpager_request *req)
{
	int ret = wait_event_killable(req->target->wait, request_is_over(req));

	return ret ? -EINTR : READ_ONCE(req->error);
}

/* ---- zeroed ranges ----
 *
 * A zeroed range is a DATA_RETURN without folios. It stands among the parked
 * records from the moment its pages read as zeros, is sent when the cache has
 * none of them left, and ends when the pager acknowledged it.
 */

void extpager_request_announce_zero(struct extpager_request *req)
{
	struct extpager_target *t = req->target;

	spin_lock(&t->lock);
	req->flags |= EXTPAGER_EVF_ZERO;
	req->announced = true;
	WRITE_ONCE(req->object->zeros, req->object->zeros + 1);
	request_set_state(req, EXTPAGER_REQUEST_PARKED);
	list_add_tail(&req->node, &t->parked);
	spin_unlock(&t->lock);
	/* Pairs with the look at object->zeros before a page is asked for or returned. */
	smp_mb();
}

/* Before it was sent: nothing has happened. */
void extpager_request_retract_zero(struct extpager_request *req)
{
	struct extpager_target *t = req->target;

	spin_lock(&t->lock);
	if (req->state == EXTPAGER_REQUEST_PARKED) {
		request_close(req, EXTPAGER_REQUEST_ENDED, -EINTR);
		spin_unlock(&t->lock);
		request_settle(req, EXTPAGER_REQUEST_ENDED);
		return;
	}
	spin_unlock(&t->lock);
}

/* To the pager, or to the records for its successor. */
void extpager_request_send_zero(struct extpager_request *req)
{
	struct extpager_target *t = req->target;

	spin_lock(&t->lock);
	req->announced = false;
	if (req->state == EXTPAGER_REQUEST_PARKED && request_may_submit(req)) {
		list_del_init(&req->node);
		request_submit(req);
	}
	spin_unlock(&t->lock);
}

/* ---- what is under way ---- */

static bool request_overlaps(const struct extpager_request *req, const struct extpager_object *obj,
			     pgoff_t first, pgoff_t last)
{
	return req->object == obj && req->index <= last && req->index + req->nr > first;
}

/* Are pages of [first, last] with the pager? Unlocked callers get a hint. */
bool extpager_returns_pending(struct extpager_object *obj, pgoff_t first, pgoff_t last)
{
	struct extpager_target *t = obj->target;
	struct extpager_request *req;
	bool found = false;

	spin_lock(&t->lock);
	list_for_each_entry(req, &t->pending[EXTPAGER_PHASE_RETURN], node)
		if (!request_is_zero(req) && request_overlaps(req, obj, first, last)) {
			found = true;
			break;
		}
	spin_unlock(&t->lock);
	return found;
}

/* Is a part of [first, last] a zeroed range whose return is not acknowledged? */
bool extpager_zeros_overlap(struct extpager_object *obj, pgoff_t first, pgoff_t last)
{
	struct extpager_target *t = obj->target;
	struct extpager_request *req;
	bool found = false;

	if (!READ_ONCE(obj->zeros))
		return false;
	spin_lock(&t->lock);
	list_for_each_entry(req, &t->pending[EXTPAGER_PHASE_RETURN], node)
		if (request_is_zero(req) && request_overlaps(req, obj, first, last))
			found = true;
	list_for_each_entry(req, &t->parked, node)
		if (request_is_zero(req) && request_overlaps(req, obj, first, last))
			found = true;
	spin_unlock(&t->lock);
	return found;
}

/*
 * What fsync waits for: 0 if every zeroed range of [first, last] is
 * acknowledged, -EAGAIN if one is not yet, else the errno that one failed with.
 */
int extpager_zeros_status(struct extpager_object *obj, pgoff_t first, pgoff_t last)
{
	struct extpager_target *t = obj->target;
	struct extpager_request *req;
	int ret = 0;

	if (!READ_ONCE(obj->zeros))
		return 0;
	spin_lock(&t->lock);
	list_for_each_entry(req, &t->pending[EXTPAGER_PHASE_RETURN], node)
		if (request_is_zero(req) && request_overlaps(req, obj, first, last))
			ret = -EAGAIN;
	list_for_each_entry(req, &t->parked, node)
		if (request_is_zero(req) && request_overlaps(req, obj, first, last))
			ret = ret ?: req->error ?: -EAGAIN;
	spin_unlock(&t->lock);
	return ret;
}

/* Nothing of the object is with the pager, or waits for the next one. */
bool extpager_object_quiet(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;
	struct extpager_request *req;
	bool quiet = true;
	unsigned int i;

	spin_lock(&t->lock);
	for (i = 0; i < EXTPAGER_PHASES; i++)
		list_for_each_entry(req, &t->pending[i], node)
			if (req->object == obj)
				quiet = false;
	list_for_each_entry(req, &t->parked, node)
		if (req->object == obj)
			quiet = false;
	spin_unlock(&t->lock);
	return quiet;
}

/* ---- the pager is gone, and comes back ---- */

/**
 * extpager_requests_orphan() - the pager of @t is gone
 * @t: in state ORPHANED, its port already NULL
 *
 * Page-ins and page-outs become records without folios, so that nothing stays
 * locked or under write-back for the grace time; by policy `fail` they end.
 */
void extpager_requests_orphan(struct extpager_target *t)
{
	bool hold = t->settings.policy == EXTPAGER_POLICY_HOLD;
	enum extpager_request_state state;
	struct extpager_request *req;
	unsigned int i;

	for (i = 0; i < EXTPAGER_PHASES; i++) {
		for (;;) {
			spin_lock(&t->lock);
			req = list_first_entry_or_null(&t->pending[i], struct extpager_request,
						       node);
			if (!req) {
				spin_unlock(&t->lock);
				break;
			}
			if (i == EXTPAGER_PHASE_HANDSHAKE)
				state = request_close(req, EXTPAGER_REQUEST_ENDED, -ENOTCONN);
			else if (hold || request_is_zero(req))
				state = request_close(req, EXTPAGER_REQUEST_PARKED,
						      hold ? 0 : -EIO);
			else
				state = request_close(req, EXTPAGER_REQUEST_ENDED, -EIO);
			if (!hold && i != EXTPAGER_PHASE_HANDSHAKE &&
			    i != EXTPAGER_PHASE_PAGE_IN)
				mapping_set_error(req->object->inode.i_mapping, -EIO);
			if (!hold && i == EXTPAGER_PHASE_PAGE_IN)
				extpager_object_note_failure_locked(req->object, req->index,
								    req->nr, -EIO);
			spin_unlock(&t->lock);
			request_settle(req, state);
		}
	}
}

/**
 * extpager_requests_give_up() - end the records that wait for a next pager
 * @t: target
 * @obj: of this object, or NULL: of all
 * @error: for those who still wait
 *
 * Dirty pages stay dirty. Records of zeroed ranges stay too, unless @error is
 * -ESHUTDOWN: the object is going.
 */
void extpager_requests_give_up(struct extpager_target *t, struct extpager_object *obj, int error)
{
	struct extpager_request *req, *next;
	bool again;

	do {
		again = false;
		spin_lock(&t->lock);
		list_for_each_entry_safe(req, next, &t->parked, node) {
			if (obj && req->object != obj)
				continue;
			if (request_is_zero(req) && error != -ESHUTDOWN) {
				req->error = error;
				continue;
			}
			if (req->op == EXTPAGER_EV_DATA_REQUEST)
				extpager_object_note_failure_locked(req->object, req->index,
								    req->nr, error);
			request_close(req, EXTPAGER_REQUEST_ENDED, error);
			again = true;
			break;
		}
		spin_unlock(&t->lock);
		if (again) {
			if (req->op == EXTPAGER_EV_DATA_REQUEST)
				extpager_gate_wake(req->object, req->index, req->nr, error);
			request_settle(req, EXTPAGER_REQUEST_ENDED);
		}
	} while (again);
	wake_up_all(&t->wait);
}

/**
 * extpager_requests_cancel() - end all that is asked about an object
 * @obj: object that nobody may ask about any more
 * @error: for those who wait
 *
 * Dirty pages stay dirty.
 */
void extpager_requests_cancel(struct extpager_object *obj, int error)
{
	struct extpager_target *t = obj->target;
	struct extpager_request *req;
	unsigned int i;
	bool found;

	do {
		found = false;
		spin_lock(&t->lock);
		for (i = 0; i < EXTPAGER_PHASES && !found; i++)
			list_for_each_entry(req, &t->pending[i], node)
				if (req->object == obj) {
					request_close(req, EXTPAGER_REQUEST_ENDED, error);
					found = true;
					break;
				}
		spin_unlock(&t->lock);
		if (found)
			request_settle(req, EXTPAGER_REQUEST_ENDED);
	} while (found);
	extpager_requests_give_up(t, obj, -ESHUTDOWN);
}

/* target->lock held: the next record that can be asked again. */
static struct extpager_request *parked_first(struct extpager_target *t)
{
	struct extpager_request *req;

	if (!t->port || !extpager_target_live(t))
		return NULL;
	list_for_each_entry(req, &t->parked, node)
		if (!req->announced && req->object->state == EXTPAGER_OBJECT_READY)
			return req;
	return NULL;
}

/* target->lock held: a barrier or zeroed range is asked again as it stands. */
static void resend_record(struct extpager_request *req)
{
	list_del_init(&req->node);
	req->tag += 1ULL << 16;
	req->error = 0;
	req->flags |= EXTPAGER_EVF_RESENT;
	if (request_submit(req))
		list_add(&req->node, &req->target->parked);
}

/**
 * extpager_requests_resend() - ask the pager what an earlier one left unanswered
 * @t: target, with a pager
 *
 * Context: the target's worker; one at a time.
 */
void extpager_requests_resend(struct extpager_target *t)
{
	struct extpager_request *req;

	spin_lock(&t->lock);
	while ((req = parked_first(t))) {
		struct extpager_object *obj = req->object;
		u8 op = req->op;

		if (op == EXTPAGER_EV_SYNC || request_is_zero(req)) {
			resend_record(req);
			continue;
		}
		req->refs++;
		spin_unlock(&t->lock);
		/* Submitted ranges are flagged because this record still stands. */
		if (op == EXTPAGER_EV_DATA_REQUEST)
			extpager_request_pages(obj, req->index, req->nr);
		else
			extpager_return_range(obj, req->index, req->index + req->nr - 1,
					      PAGECACHE_TAG_DIRTY, NULL);
		spin_lock(&t->lock);
		if (req->state == EXTPAGER_REQUEST_PARKED && t->port && extpager_target_live(t)) {
			request_close(req, EXTPAGER_REQUEST_ENDED, 0);
			spin_unlock(&t->lock);
			request_settle(req, EXTPAGER_REQUEST_ENDED);
		} else {
			spin_unlock(&t->lock);
		}
		extpager_request_put(req);
		cond_resched();
		spin_lock(&t->lock);
	}
	spin_unlock(&t->lock);
}

/* ---- deadlines ---- */

static int deadline_error(enum extpager_phase phase)
{
	return phase == EXTPAGER_PHASE_HANDSHAKE ? -ETIMEDOUT : -EIO;
}

/* target->lock held. */
static enum extpager_request_state deadline_expire(struct extpager_request *req, enum extpager_phase phase)
{
	struct extpager_target *t = req->target;
	int error = deadline_error(phase);

	extpager_count(t, TIMEOUTS);
	switch (phase) {
	case EXTPAGER_PHASE_HANDSHAKE:
		extpager_object_init_done(req->object, error, 0);
		break;
	case EXTPAGER_PHASE_PAGE_IN:
		extpager_object_note_failure_locked(req->object, req->index, req->nr, error);
		break;
	case EXTPAGER_PHASE_RETURN:
		return answer_return(req, error);
	default:
		req->object->unsynced = true;
		mapping_set_error(req->object->inode.i_mapping, error);
	}
	return request_close(req, EXTPAGER_REQUEST_ENDED, error);
}

/* Ends what is overdue and sleeps until the next one may be. */
void extpager_deadline_work(struct work_struct *work)
{
	struct extpager_target *t = container_of(to_delayed_work(work), struct extpager_target,
						 deadline_work);
	unsigned long next = 0;
	bool armed = false, missed = false;
	unsigned int i;

	spin_lock(&t->lock);
	t->deadline_armed = false;
	for (i = 0; i < EXTPAGER_PHASES; i++) {
		enum extpager_request_state state;
		struct extpager_request *req;

		while ((req = list_first_entry_or_null(&t->pending[i], struct extpager_request,
						       node))) {
			if (time_before(jiffies, req->deadline)) {
				if (!armed || time_before(req->deadline, next))
					next = req->deadline;
				armed = true;
				break;
			}
			if (!request_wants_reply(req)) {
				/* It waits for room in the ring; give it another term. */
				req->deadline = jiffies + HZ;
				list_move_tail(&req->node, &t->pending[i]);
				continue;
			}
			missed = true;
			state = deadline_expire(req, i);
			spin_unlock(&t->lock);
			request_settle(req, state);
			spin_lock(&t->lock);
		}
	}
	if (armed)
		deadline_arm(t, next);
	spin_unlock(&t->lock);
	if (missed)
		extpager_target_stalled(t);
}
