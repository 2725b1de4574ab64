// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deadlines. A request is looked at twice: at half of its deadline, when a
 * warning is given, and at its end. Those of a phase stand in the order of when
 * they are due, so one delayed work a target looks at the first of each.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/ratelimit.h>

#include "extpager.h"
#include "trace.h"

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

/* target->lock held: to its place, which is the last one unless settings have changed. */
static void deadline_move(struct extpager_request *req, enum extpager_phase phase,
			  unsigned long due)
{
	struct list_head *pending = &req->target->pending[phase];
	struct extpager_request *before;

	req->due = due;
	list_del(&req->node);
	list_for_each_entry_reverse(before, pending, node)
		if (!time_after(before->due, due))
			break;
	list_add(&req->node, &before->node);
}

/* target->lock held: no request waits longer than one that is made now. */
void extpager_deadlines_shorten(struct extpager_target *t)
{
	struct extpager_request *req;
	unsigned int i;

	for (i = 0; i < EXTPAGER_PHASES; i++) {
		unsigned long wait = msecs_to_jiffies(t->settings.timeout_ms[i]);
		unsigned long at = jiffies + 1 + wait, half = at - wait / 2;

		list_for_each_entry(req, &t->pending[i], node) {
			if (time_before(at, req->deadline))
				req->deadline = at;
			/* One that was warned of, too: the order stays. */
			if (time_before(half, req->due))
				req->due = half;
		}
		if (!list_empty(&t->pending[i]))
			extpager_deadline_arm(t, half);
	}
	if (t->settings.action[EXTPAGER_PHASE_PAGE_IN] != EXTPAGER_ACTION_WAIT)
		extpager_requests_again(t);
}

/* target->lock held. True if it is the first one since the pager's last answer. */
static bool deadline_warn(struct extpager_request *req)
{
	struct extpager_target *t = req->target;
	bool first = !t->slow;

	WRITE_ONCE(t->slow, true);
	extpager_count(t, WARNINGS);
	trace_extpager_slow(req, div_u64(ktime_get_ns() - req->sent, NSEC_PER_MSEC));
	return first;
}

static void deadline_tell(struct extpager_target *t, enum extpager_phase phase)
{
	static const char *const names[EXTPAGER_PHASES] = {
		"a handshake", "a page-in", "a return", "a sync",
	};

	if (t->named)
		pr_warn_ratelimited("target %s: its pager has not answered %s for %u ms, half of its deadline\n",
				    t->settings.name, names[phase],
				    READ_ONCE(t->settings.timeout_ms[phase]) / 2);
	extpager_notify(t, EXTPAGER_EVENT_SLOW);
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
		if (t->settings.action[phase] != EXTPAGER_ACTION_WAIT)
			break;
		t->probe_at = jiffies + msecs_to_jiffies(t->settings.timeout_ms[phase]);
		return extpager_request_overdue(req);
	case EXTPAGER_PHASE_RETURN:
		if (t->settings.action[phase] != EXTPAGER_ACTION_SPILL ||
		    extpager_request_is_zero(req))
			return extpager_request_returned(req, error);
		/* The pages stay dirty, for the spill: nothing has failed yet. */
		WRITE_ONCE(req->object->retry_at, jiffies + HZ);
		error = -EAGAIN;
		break;
	default:
		extpager_object_write_error(req->object, error);
	}
	return extpager_request_close(req, EXTPAGER_REQUEST_ENDED, error);
}

/* Warns of what is slow, ends what is overdue and sleeps until the next one may be. */
void extpager_deadline_work(struct work_struct *work)
{
	struct extpager_target *t = container_of(to_delayed_work(work), struct extpager_target,
						 deadline_work);
	enum extpager_phase missed = EXTPAGER_PHASES, slow = EXTPAGER_PHASES;	/* none */
	unsigned long next = 0, at;
	bool armed = false, answered;
	unsigned int i;

	spin_lock(&t->lock);
	t->tick_armed = false;
	for (i = 0; i < EXTPAGER_PHASES; i++) {
		enum extpager_request_state state;
		struct extpager_request *req;

		while ((req = list_first_entry_or_null(&t->pending[i], struct extpager_request,
						       node))) {
			if (time_before(jiffies, req->due)) {
				if (!armed || time_before(req->due, next))
					next = req->due;
				armed = true;
				break;
			}
			if (!extpager_request_wants_reply(req)) {
				/* It waits for room in the ring; give it another term. */
				deadline_move(req, i, jiffies + HZ);
				continue;
			}
			/* It is no pager's fault if a file takes long. */
			answered = extpager_request_is_answered(req);
			if (!req->warned && !answered && deadline_warn(req))
				slow = i;
			req->warned = true;
			if (time_before(jiffies, req->deadline)) {
				deadline_move(req, i, req->deadline);
				continue;
			}
			if (missed == EXTPAGER_PHASES && !answered)
				missed = i;
			state = deadline_expire(req, i);
			spin_unlock(&t->lock);
			extpager_request_settle(req, state);
			spin_lock(&t->lock);
		}
	}
	if (extpager_requests_probe(t, &at)) {
		if (!armed || time_before(at, next))
			next = at;
		armed = true;
	}
	if (unlikely(!list_empty(&t->written)) && extpager_zeros_expire(t, &at)) {
		if (!armed || time_before(at, next))
			next = at;
		armed = true;
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
	if (slow != EXTPAGER_PHASES)
		deadline_tell(t, slow);
	if (missed != EXTPAGER_PHASES)
		extpager_target_stalled(t, missed);
}
