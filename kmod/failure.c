// SPDX-License-Identifier: GPL-2.0-only
/*
 * The last failures of an object: an errno in a signal handler or from a
 * barrier says little, and whoever asks later what happened asks here.
 */
#include <linux/ktime.h>
#include <linux/uaccess.h>

#include "extpager.h"

/**
 * extpager_failure_note() - remember that something asked of the pager failed
 * @obj: object
 * @op: EXTPAGER_EV_*
 * @index: first page
 * @length: bytes
 * @error: negative errno; 0 and -EAGAIN are no failures
 *
 * Context: target->lock held.
 */
void extpager_failure_note(struct extpager_object *obj, u8 op, pgoff_t index, u64 length,
			   int error)
{
	struct extpager_failure *f;

	lockdep_assert_held(&obj->target->lock);
	if (!error || error == -EAGAIN)
		return;
	f = &obj->failures[obj->nr_failures++ % EXTPAGER_FAILURES_MAX];
	f->time_ns = ktime_get_real_ns();
	f->offset = (u64)index << PAGE_SHIFT;
	f->length = length;
	f->op = op;
	f->error = -error;
}

/* Newest first; 0 or an errno. */
long extpager_failures_get(struct extpager_object *obj, struct extpager_failures *arg)
{
	struct extpager_target *t = obj->target;
	unsigned int i, nr;

	if (arg->flags)
		return -EOPNOTSUPP;
	if (arg->reserved)
		return -EINVAL;
	memset(arg->out_failure, 0, sizeof(arg->out_failure));
	spin_lock(&t->lock);
	nr = min_t(u64, obj->nr_failures, EXTPAGER_FAILURES_MAX);
	for (i = 0; i < nr; i++)
		arg->out_failure[i] =
			obj->failures[(obj->nr_failures - 1 - i) % EXTPAGER_FAILURES_MAX];
	arg->out_nr = nr;
	arg->out_total = obj->nr_failures;
	spin_unlock(&t->lock);
	return 0;
}

/* The same on an object's own fd. */
long extpager_failures_ioctl(struct extpager_object *obj, void __user *uarg)
{
	struct extpager_failures arg;
	long ret;

	ret = extpager_copy_arg(&arg, uarg, sizeof(arg));
	if (ret)
		return ret;
	ret = arg.object ? -EINVAL : extpager_failures_get(obj, &arg);
	if (ret)
		return ret;
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
}
