// SPDX-License-Identifier: GPL-2.0-only
/* What is asked and not yet answered, for whoever wants to know why it takes so long. */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <net/netlink.h>

#include "extpager.h"

static u32 place_of(const struct extpager_request *req)
{
	if (req->state == EXTPAGER_REQUEST_PARKED)
		return EXTPAGER_PENDING_PARKED;
	return extpager_queue_seen_at(req) ? EXTPAGER_PENDING_PAGER : EXTPAGER_PENDING_QUEUED;
}

/* target->lock held. */
static void describe(const struct extpager_request *req, struct extpager_pending *p)
{
	unsigned long now = jiffies;

	p->op = req->op;
	p->place = place_of(req);
	p->flags = req->flags;
	p->object = req->object_id;
	p->offset = (u64)req->index << PAGE_SHIFT;
	p->length = req->length;
	p->age_ms = jiffies_to_msecs(now - req->made);
	p->left_ms = time_after(req->deadline, now) ? jiffies_to_msecs(req->deadline - now) : 0;
	p->pid = req->pid;
	memcpy(p->comm, req->comm, sizeof(p->comm));
}

/**
 * extpager_pending_next() - walk over what a target's pager has not answered
 * @t: target
 * @slot: in: 0 or where the last one left it; out: behind the one found
 * @p: out: the request, as it is now
 *
 * Return: false if there are no more.
 */
bool extpager_pending_next(struct extpager_target *t, unsigned long *slot,
			   struct extpager_pending *p)
{
	bool found = false, more = true;

	/* The lock is not kept for longer than a chunk takes. */
	while (!found && more) {
		unsigned long chunk = *slot / EXTPAGER_CHUNK_REQUESTS;

		spin_lock(&t->lock);
		more = chunk < t->nr_chunks;
		while (more && !found && *slot / EXTPAGER_CHUNK_REQUESTS == chunk) {
			const struct extpager_request *req =
				&t->chunks[chunk][*slot % EXTPAGER_CHUNK_REQUESTS];

			++*slot;
			found = extpager_request_wants_reply(req) &&
				(req->state == EXTPAGER_REQUEST_PENDING ||
				 req->state == EXTPAGER_REQUEST_PARKED);
			if (found)
				describe(req, p);
		}
		spin_unlock(&t->lock);
	}
	return found;
}

/* In the reader's pid namespace; 0: it does not show there, or has ended. */
static u32 reader_pid(const struct extpager_pending *p)
{
	struct task_struct *task;
	u32 shown = 0;

	rcu_read_lock();
	task = pid_task(find_pid_ns(p->pid, &init_pid_ns), PIDTYPE_PID);
	/* One that is younger than the request has got the number of one that ended. */
	if (task && div_u64(ktime_get_ns() - task->start_time, NSEC_PER_MSEC) +
		    jiffies_to_msecs(2) >= p->age_ms)
		shown = task_pid_vnr(task);
	rcu_read_unlock();
	return shown;
}

/* Who asks, and for which pages, is told to those who may see everybody's doings. */
int extpager_pending_put(struct sk_buff *skb, const struct extpager_pending *p, bool privileged)
{
	int ret;

	ret = nla_put_u32(skb, EXTPAGER_A_REQUEST_OP, p->op) ?:
	      nla_put_u32(skb, EXTPAGER_A_REQUEST_PLACE, p->place) ?:
	      nla_put_u32(skb, EXTPAGER_A_REQUEST_FLAGS, p->flags) ?:
	      nla_put_u64_64bit(skb, EXTPAGER_A_REQUEST_AGE_MS, p->age_ms,
				EXTPAGER_A_REQUEST_PAD);
	if (!ret && p->place != EXTPAGER_PENDING_PARKED)
		ret = nla_put_u64_64bit(skb, EXTPAGER_A_REQUEST_LEFT_MS, p->left_ms,
					EXTPAGER_A_REQUEST_PAD);
	if (!ret && privileged)
		ret = nla_put_u64_64bit(skb, EXTPAGER_A_REQUEST_OBJECT, p->object,
					EXTPAGER_A_REQUEST_PAD) ?:
		      nla_put_u64_64bit(skb, EXTPAGER_A_REQUEST_OFFSET, p->offset,
					EXTPAGER_A_REQUEST_PAD) ?:
		      nla_put_u64_64bit(skb, EXTPAGER_A_REQUEST_LENGTH, p->length,
					EXTPAGER_A_REQUEST_PAD) ?:
		      nla_put_u32(skb, EXTPAGER_A_REQUEST_PID, reader_pid(p)) ?:
		      nla_put_string(skb, EXTPAGER_A_REQUEST_COMM, p->comm);
	return ret;
}
