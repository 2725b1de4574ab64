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

/* The only ioctl of an object's own fd. */
static long object_ioctl(struct file *file, unsigned int cmd, unsigned long param)
{
	struct extpager_failures arg;
	void __user *uarg = (void __user *)param;
	long ret;

	/* The size in @cmd is the caller's struct, which may be another version's. */
	if (_IOC_TYPE(cmd) != EXTPAGER_IOC_MAGIC || _IOC_DIR(cmd) != (_IOC_READ | _IOC_WRITE) ||
	    _IOC_NR(cmd) != _IOC_NR(EXTPAGER_IOC_FAILURES))
		return -ENOTTY;
	ret = extpager_copy_arg(&arg, uarg, sizeof(arg));
	if (ret)
		return ret;
	ret = arg.object ? -EINVAL : extpager_failures_get(extpager_file_object(file), &arg);
	if (ret)
		return ret;
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
}

long extpager_object_ioctl(struct file *file, unsigned int cmd, unsigned long param)
{
	return extpager_call_ends(EXTPAGER_CALL_IOCTL, object_ioctl(file, cmd, param));
}
