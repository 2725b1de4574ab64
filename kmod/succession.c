// SPDX-License-Identifier: GPL-2.0-only
/*
 * One pager goes, the next one comes: what is unanswered becomes records, and
 * records are asked again, or given up. So are those of a pager that is there
 * but silent.
 */
#include <linux/sched.h>
#include <linux/writeback.h>

#include "extpager.h"

/* So many events that a pager reads at a time cost it no switch each. */
#define RESENT_A_WAKE 64

/*
 * target->lock held: from the order in which they are due to that in which they were
 * asked. Of those that were warned of, the oldest, newer ones may be due before.
 */
static void oldest_first(struct list_head *pending)
{
	struct extpager_request *req, *next;
	LIST_HEAD(warned);

	list_for_each_entry_safe(req, next, pending, node)
		if (req->warned)
			list_move_tail(&req->node, &warned);
	list_splice(&warned, pending);
}

/**
 * extpager_requests_orphan() - the pager of @t is gone
 * @t: in state ORPHANED, its port already NULL
 *
 * Page-ins and page-outs become records without folios, so that nothing stays
 * locked or under write-back for the grace time; by policy `fail` they end. The next
 * pager is asked for them in the order in which this one was.
 */
void extpager_requests_orphan(struct extpager_target *t)
{
	bool hold = READ_ONCE(t->settings.policy) != EXTPAGER_POLICY_FAIL;
	struct extpager_request *req;
	unsigned int i;

	if (!hold)
		extpager_requests_give_up(t, NULL, -EIO, false);
	for (i = 0; i < EXTPAGER_PHASES; i++) {
		spin_lock(&t->lock);
		oldest_first(&t->pending[i]);
		spin_unlock(&t->lock);
		for (;;) {
			spin_lock(&t->lock);
			req = list_first_entry_or_null(&t->pending[i], struct extpager_request,
						       node);
			if (!req) {
				spin_unlock(&t->lock);
				break;
			}
			enum extpager_request_state state = EXTPAGER_REQUEST_ENDED;
			int error = hold ? 0 : -EIO;

			if (i == EXTPAGER_PHASE_HANDSHAKE)
				error = -ENOTCONN;
			else if (hold || extpager_request_is_zero(req))
				state = EXTPAGER_REQUEST_PARKED;
			extpager_request_close(req, state, error);
			if (!hold && i != EXTPAGER_PHASE_HANDSHAKE &&
			    i != EXTPAGER_PHASE_PAGE_IN)
				extpager_object_write_error(req->object, -EIO);
			spin_unlock(&t->lock);
			extpager_request_settle(req, state);
		}
	}
}

/**
 * extpager_requests_give_up() - end the records that wait for a next pager
 * @t: target
 * @obj: of this object, or NULL: of all
 * @error: for those who still wait
 * @zeros: zeroed ranges too; else their records stay, with @error
 *
 * Dirty pages stay dirty.
 */
void extpager_requests_give_up(struct extpager_target *t, struct extpager_object *obj, int error,
			       bool zeros)
{
	struct extpager_request *req, *next;
	bool again;

	do {
		again = false;
		spin_lock(&t->lock);
		list_for_each_entry_safe(req, next, &t->parked, node) {
			if (obj && req->object != obj)
				continue;
			if (extpager_request_is_zero(req) && !zeros) {
				req->error = error;
				continue;
			}
			extpager_request_close(req, EXTPAGER_REQUEST_ENDED, error);
			again = true;
			break;
		}
		spin_unlock(&t->lock);
		if (again) {
			if (req->op == EXTPAGER_EV_DATA_REQUEST)
				extpager_gate_wake(req->object, req->index, req->nr, error);
			extpager_request_settle(req, EXTPAGER_REQUEST_ENDED);
		}
	} while (again);
	wake_up_all(&t->wait);
}

/**
 * extpager_requests_withdraw() - have what is being returned go another way
 * @obj: object of a target that is STALLED
 *
 * Of returns that were made before it stalled the pages are dirty again. Later
 * ones are to show whether the pager is back.
 */
void extpager_requests_withdraw(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;
	struct extpager_request *req;
	bool found;

	spin_lock(&t->lock);
	do {
		found = false;
		/* One that is lost is somebody else's to end. */
		if (t->state != EXTPAGER_STATE_STALLED)
			break;
		list_for_each_entry(req, &t->pending[EXTPAGER_PHASE_RETURN], node) {
			if (req->object != obj || extpager_request_is_zero(req) || req->claims ||
			    req->detached || !time_before(req->made, t->stalled_at))
				continue;
			extpager_request_detach(req);
			found = true;
			break;
		}
	} while (found);
	spin_unlock(&t->lock);
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
					extpager_request_close(req, EXTPAGER_REQUEST_ENDED, error);
					found = true;
					break;
				}
		spin_unlock(&t->lock);
		if (found)
			extpager_request_settle(req, EXTPAGER_REQUEST_ENDED);
	} while (found);
	extpager_requests_give_up(t, obj, error, true);
}

/* target->lock held: the next record that can be asked again. */
static struct extpager_request *parked_first(struct extpager_target *t)
{
	struct extpager_request *req;

	if (!t->port || !extpager_target_live(t))
		return NULL;
	list_for_each_entry(req, &t->parked, node)
		if (!req->announced && !req->overdue &&
		    req->object->state == EXTPAGER_OBJECT_READY &&
		    !(extpager_request_is_zero(req) && extpager_zero_is_held(req)))
			return req;
	return NULL;
}

/* target->lock held. */
static void wake_pager(struct extpager_target *t)
{
	unsigned int i;

	for (i = 0; t->port && i < t->port->nr_queues; i++)
		extpager_queue_wake(&t->port->queues[i]);
}

/**
 * extpager_requests_resend() - ask the pager what an earlier one left unanswered
 * @t: target, with a pager
 *
 * Context: the target's worker; one at a time.
 */
void extpager_requests_resend(struct extpager_target *t)
{
	/* Whoever has a page's lock may be about to return it, and sees the record. */
	struct writeback_control wbc = { .sync_mode = WB_SYNC_ALL, .nr_to_write = LONG_MAX };
	struct extpager_request *req;
	unsigned int nr = 0;

	spin_lock(&t->lock);
	while ((req = parked_first(t))) {
		struct extpager_object *obj = req->object;
		u8 op = req->op;
		bool waits = op == EXTPAGER_EV_DATA_RETURN;

		/* For pages that the pager has: it must not sleep then. */
		t->resender = waits ? NULL : current;
		if (waits || !(++nr % RESENT_A_WAKE))
			wake_pager(t);
		if (op == EXTPAGER_EV_SYNC || extpager_request_is_zero(req)) {
			extpager_request_resend(req, EXTPAGER_EVF_RESENT);
			continue;
		}
		req->refs++;
		ihold(&obj->inode);
		spin_unlock(&t->lock);
		/* Submitted ranges are flagged because this record still stands. */
		if (op == EXTPAGER_EV_DATA_REQUEST)
			extpager_request_pages(obj, req->index, req->nr);
		else
			extpager_send_range(obj, req->index, req->index + req->nr - 1, &wbc);
		spin_lock(&t->lock);
		if (req->state == EXTPAGER_REQUEST_PARKED && t->port && extpager_target_live(t)) {
			/* Whatever has not been handed back yet stays dirty, or is asked anew. */
			extpager_request_close(req, EXTPAGER_REQUEST_ENDED, -EAGAIN);
			spin_unlock(&t->lock);
			extpager_request_settle(req, EXTPAGER_REQUEST_ENDED);
			/* Now that no record keeps them waiting for their turn. */
			if (op == EXTPAGER_EV_DATA_REQUEST)
				extpager_wake_absent(obj, req->index, req->nr);
		} else {
			spin_unlock(&t->lock);
		}
		extpager_request_put(req);
		iput(&obj->inode);
		cond_resched();
		spin_lock(&t->lock);
	}
	t->resender = NULL;
	wake_pager(t);
	spin_unlock(&t->lock);
}

/* target->lock held: the pager shows life, there is another, or nobody is to wait any more. */
void extpager_requests_again(struct extpager_target *t)
{
	struct extpager_request *req;

	if (!t->any_overdue)
		return;
	WRITE_ONCE(t->any_overdue, false);
	list_for_each_entry(req, &t->parked, node)
		req->overdue = false;
	mod_delayed_work(extpager_wq, &t->resend_work, 0);
}

/**
 * extpager_requests_probe() - now and then ask a silent pager again
 * @t: target
 * @at: out: when to come again, in jiffies
 *
 * It may have lost what it was asked. One record is enough to notice: the oldest,
 * a deadline after the last one became overdue.
 *
 * Context: target->lock held.
 * Return: false if no record is overdue.
 */
bool extpager_requests_probe(struct extpager_target *t, unsigned long *at)
{
	u32 ms = t->settings.timeout_ms[EXTPAGER_PHASE_PAGE_IN];
	struct extpager_request *req;

	list_for_each_entry(req, &t->parked, node)
		if (req->overdue)
			break;
	if (!t->port || list_entry_is_head(req, &t->parked, node))
		return false;
	if (!time_before(jiffies, t->probe_at)) {
		req->overdue = false;
		t->probe_at = jiffies + msecs_to_jiffies(ms);
		mod_delayed_work(extpager_wq, &t->resend_work, 0);
	}
	*at = t->probe_at;
	return true;
}
