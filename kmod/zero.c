// SPDX-License-Identifier: GPL-2.0-only
/*
 * Zeroed ranges: DATA_RETURNs without folios. One stands among the parked
 * records from the moment its pages read as zeros, is sent when none of them is
 * being returned any more, and ends when the pager acknowledged it. Meanwhile
 * its pages are neither asked for nor returned.
 */
#include "extpager.h"

/*
 * From here on the range reads as zeros. Who looks at object->zeros holds the
 * invalidate_lock (to ask for or push a page) or the page's lock (to return it);
 * extpager_zero_pages() then takes the one, and each of the others.
 */
int extpager_request_announce_zero(struct extpager_request *req)
{
	struct extpager_target *t = req->target;

	spin_lock(&t->lock);
	if (req->object->state == EXTPAGER_OBJECT_GONE) {
		spin_unlock(&t->lock);
		return -ENODEV;
	}
	req->refs++;		/* the caller's */
	req->flags |= EXTPAGER_EVF_ZERO;
	req->announced = true;
	WRITE_ONCE(req->object->zeros, req->object->zeros + 1);
	extpager_request_park(req);
	spin_unlock(&t->lock);
	return 0;
}

/* Its maker is being killed: the worker brings it to its end. */
void extpager_request_abandon_zero(struct extpager_request *req)
{
	struct extpager_target *t = req->target;

	spin_lock(&t->lock);
	req->abandoned = true;
	spin_unlock(&t->lock);
	mod_delayed_work(extpager_wq, &t->resend_work, 0);
}

/* target->lock held: the next range that was abandoned, with references. */
static struct extpager_request *abandoned_first(struct extpager_target *t)
{
	struct extpager_request *req;

	list_for_each_entry(req, &t->parked, node) {
		if (!req->announced || !req->abandoned)
			continue;
		req->refs++;
		ihold(&req->object->inode);
		return req;
	}
	return NULL;
}

/**
 * extpager_zeros_finish() - bring abandoned zeroed ranges to their end
 * @t: target
 *
 * Context: the target's worker; does not wait for the pager.
 * Return: false if something is in the way: come back.
 */
bool extpager_zeros_finish(struct extpager_target *t)
{
	struct extpager_request *req;
	bool done = true;

	do {
		struct extpager_object *obj;

		spin_lock(&t->lock);
		req = abandoned_first(t);
		spin_unlock(&t->lock);
		if (!req)
			break;
		obj = req->object;
		done = !extpager_range_returning(obj, req->index, req->index + req->nr - 1);
		if (done)
			extpager_request_send_zero(req);
		extpager_request_put(req);
		iput(&obj->inode);
	} while (done);
	return done;
}

/*
 * target->lock held: older bytes are not to come after the zeros. Does nothing but the
 * kernel's own writing of them keep a zeroed range from being sent?
 */
bool extpager_zero_is_held(struct extpager_request *req)
{
	return extpager_request_may_submit(req) &&
	       extpager_range_written(req->object, req->index, req->index + req->nr - 1);
}

static unsigned long zero_deadline(const struct extpager_target *t)
{
	return jiffies + 1 + msecs_to_jiffies(t->settings.timeout_ms[EXTPAGER_PHASE_RETURN]);
}

/**
 * extpager_zeros_expire() - end the patience with what keeps zeroed ranges from being sent
 * @t: target
 * @at: out: when to come again, in jiffies
 *
 * It is as if they had been sent, and not been answered in time.
 *
 * Context: target->lock held.
 * Return: false if none is held.
 */
bool extpager_zeros_expire(struct extpager_target *t, unsigned long *at)
{
	unsigned long latest = zero_deadline(t);
	struct extpager_request *req;
	bool held = false, expired = false;

	list_for_each_entry(req, &t->parked, node) {
		if (!extpager_request_is_zero(req) || req->announced || req->error ||
		    !extpager_zero_is_held(req))
			continue;
		/* Settings may have changed. */
		if (time_before(latest, req->deadline))
			req->deadline = latest;
		if (time_before(jiffies, req->deadline)) {
			if (!held || time_before(req->deadline, *at))
				*at = req->deadline;
			held = true;
			continue;
		}
		req->error = -EIO;
		expired = true;
		extpager_count(t, TIMEOUTS);
		extpager_count(t, RETURNS_FAILED);
		extpager_failure_note(req->object, req->op, req->index, req->length, -EIO);
		extpager_object_write_error(req->object, -EIO);
	}
	if (expired)
		wake_up_all(&t->wait);
	return held;
}

/* To the pager, or to the records for its successor. */
void extpager_request_send_zero(struct extpager_request *req)
{
	struct extpager_target *t = req->target;

	/* No page of the range is in the cache, and none comes but as zeros. */
	extpager_spill_drop(req->object, req->index, req->index + req->nr - 1);
	spin_lock(&t->lock);
	req->announced = false;
	if (req->state == EXTPAGER_REQUEST_PARKED && extpager_zero_is_held(req)) {
		/* extpager_request_written() sends it, or the deadline work tells of it. */
		req->deadline = zero_deadline(t);
		extpager_deadline_arm(t, req->deadline);
	} else if (req->state == EXTPAGER_REQUEST_PARKED && extpager_request_may_submit(req)) {
		extpager_request_resend(req, 0);
	} else if (req->state == EXTPAGER_REQUEST_PARKED) {
		int error = extpager_object_status(req->object);

		/* Nobody may come to end it: the caller does not wait. */
		if (error && error != -EAGAIN)
			req->error = error;
	}
	spin_unlock(&t->lock);
}

static bool zero_overlaps(const struct extpager_request *req, const struct extpager_object *obj,
			  pgoff_t first, pgoff_t last)
{
	return extpager_request_is_zero(req) && extpager_request_overlaps(req, obj, first, last);
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
		if (zero_overlaps(req, obj, first, last))
			found = true;
	list_for_each_entry(req, &t->parked, node)
		if (zero_overlaps(req, obj, first, last))
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
		if (zero_overlaps(req, obj, first, last))
			ret = -EAGAIN;
	list_for_each_entry(req, &t->parked, node)
		if (zero_overlaps(req, obj, first, last))
			ret = ret ?: req->error ?: -EAGAIN;
	spin_unlock(&t->lock);
	return ret;
}
