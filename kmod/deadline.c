// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deadlines. Requests of a phase stand in the order of their deadlines, so one
 * delayed work a target looks at the first of each.
 */
#include "extpager.h"

/*
 * target->lock held. While anything is pending the work comes by every second:
 * a later deadline needs no new timer, and a waiter that was forgotten by
 * mistake is found.
 */
void extpager_deadline_arm(struct extpager_target *t, unsigned long deadline)
{
	unsigned long at = jiffies + HZ;

	lockdep_assert_held(&t->lock);
	if (time_before(deadline, at))
		at = deadline;
	if (t->tick_armed && !time_before(at, t->tick_at))
		return;
	t->tick_armed = true;
	t->tick_at = at;
	mod_delayed_work(extpager_wq, &t->deadline_work,
			 time_after(at, jiffies) ? at - jiffies : 0);
}

/* target->lock held: no request waits longer than one that is made now. */
void extpager_deadlines_shorten(struct extpager_target *t)
{
	struct extpager_request *req;
	unsigned int i;

	for (i = 0; i < EXTPAGER_PHASES; i++) {
		unsigned long at = jiffies + msecs_to_jiffies(t->settings.timeout_ms[i]);

		list_for_each_entry(req, &t->pending[i], node)
			if (time_before(at, req->deadline))
				req->deadline = at;
		if (!list_empty(&t->pending[i]))
			extpager_deadline_arm(t, at);
	}
}

static int deadline_error(enum extpager_phase phase)
{
	return phase == EXTPAGER_PHASE_HANDSHAKE ? -ETIMEDOUT : -EIO;
}

/* target->lock held. */
static enum extpager_request_state deadline_expire(struct extpager_request *req,
						   enum extpager_phase phase)
{
	struct extpager_target *t = req->target;
	int error = deadline_error(phase);

	extpager_count(t, TIMEOUTS);
	switch (phase) {
	case EXTPAGER_PHASE_HANDSHAKE:
		extpager_object_init_done(req->object, error, 0, true);
		break;
	case EXTPAGER_PHASE_PAGE_IN:
		break;
	case EXTPAGER_PHASE_RETURN:
		if (t->settings.action[phase] != EXTPAGER_ACTION_SPILL ||
		    extpager_request_is_zero(req))
			return extpager_request_returned(req, error);
		/* The pages stay dirty, for the spill: nothing has failed yet. */
		req->object->retry_at = jiffies + HZ;
		error = -EAGAIN;
		break;
	default:
		mapping_set_error(req->object->inode.i_mapping, error);
	}
	return extpager_request_close(req, EXTPAGER_REQUEST_ENDED, error);
}

/* Ends what is overdue and sleeps until the next one may be. */
void extpager_deadline_work(struct work_struct *work)
{
	struct extpager_target *t = container_of(to_delayed_work(work), struct extpager_target,
						 deadline_work);
	enum extpager_phase missed = EXTPAGER_PHASES;	/* none */
	unsigned long next = 0;
	bool armed = false;
	unsigned int i;

	spin_lock(&t->lock);
	t->tick_armed = false;
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
			if (!extpager_request_wants_reply(req)) {
				/* It waits for room in the ring; give it another term. */
				req->deadline = jiffies + HZ;
				list_move_tail(&req->node, &t->pending[i]);
				continue;
			}
			missed = missed == EXTPAGER_PHASES ? i : missed;
			state = deadline_expire(req, i);
			spin_unlock(&t->lock);
			extpager_request_settle(req, state);
			spin_lock(&t->lock);
		}
	}
	spin_unlock(&t->lock);
	if (extpager_gate_sweep(t) && !armed) {
		next = jiffies + HZ;
		armed = true;
	}
	if (armed) {
		spin_lock(&t->lock);
		extpager_deadline_arm(t, next);
		spin_unlock(&t->lock);
	}
	if (missed != EXTPAGER_PHASES)
		extpager_target_stalled(t, missed);
}
