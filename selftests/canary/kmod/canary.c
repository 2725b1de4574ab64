// SPDX-License-Identifier: GPL-2.0
/*
 * A module that misbehaves on request, to prove that the runner notices:
 *	echo warn >/sys/module/canary/parameters/act
 */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/workqueue.h>

static DEFINE_MUTEX(lock_a);
static DEFINE_MUTEX(lock_b);

/* Two orders, never at once: no deadlock, but lockdep must complain. */
static void invert_locks(void)
{
	mutex_lock(&lock_a);
	mutex_lock(&lock_b);
	mutex_unlock(&lock_b);
	mutex_unlock(&lock_a);

	mutex_lock(&lock_b);
	mutex_lock(&lock_a);
	mutex_unlock(&lock_a);
	mutex_unlock(&lock_b);
}

static void use_after_free(void)
{
	volatile char *p = kmalloc(64, GFP_KERNEL);

	if (!p)
		return;
	kfree((void *)p);
	p[8]++;
}

static void *leaked;

/* More than one: a stale pointer on some stack may hide one of them. */
static void leak(void)
{
	int i;

	for (i = 0; i < 16; i++)
		leaked = kmalloc(64, GFP_KERNEL);
	leaked = NULL;
}

static void spin(void *unused)
{
	for (;;)
		cpu_relax();
}

/* Nothing wakes it: only the hung task detector can tell. */
static void hang(void)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule();
}

static int raced;

static void race(struct work_struct *unused)
{
	unsigned long end = jiffies + HZ;

	while (time_before(jiffies, end)) {
		raced++;
		barrier();
	}
}

static void race_two(void)
{
	struct work_struct one, other;

	INIT_WORK_ONSTACK(&one, race);
	INIT_WORK_ONSTACK(&other, race);
	queue_work(system_unbound_wq, &one);
	queue_work(system_unbound_wq, &other);
	flush_work(&one);
	flush_work(&other);
	destroy_work_on_stack(&one);
	destroy_work_on_stack(&other);
}

static void *volatile nowhere;

static int act(const char *value, const struct kernel_param *kp)
{
	if (sysfs_streq(value, "warn"))
		WARN(1, "canary\n");
	else if (sysfs_streq(value, "lockdep"))
		invert_locks();
	else if (sysfs_streq(value, "kasan"))
		use_after_free();
	else if (sysfs_streq(value, "leak"))
		leak();
	else if (sysfs_streq(value, "kcsan"))
		race_two();
	else if (sysfs_streq(value, "panic"))
		panic("canary");
	else if (sysfs_streq(value, "bug"))
		BUG();
	else if (sysfs_streq(value, "oops"))
		*(volatile char *)nowhere = 1;
	else if (sysfs_streq(value, "hang"))
		hang();
	else if (sysfs_streq(value, "pin"))
		__module_get(THIS_MODULE);
	else if (sysfs_streq(value, "freeze"))
		on_each_cpu(spin, NULL, 0);
	else if (!sysfs_streq(value, "nothing"))
		return -EINVAL;
	return 0;
}

static const struct kernel_param_ops act_ops = { .set = act };
module_param_cb(act, &act_ops, NULL, 0200);
MODULE_PARM_DESC(act,
		 "warn, lockdep, kasan, leak, kcsan, panic, bug, oops, hang, pin, freeze or nothing");

static int __init canary_init(void)
{
	return 0;
}

static void __exit canary_exit(void)
{
}

module_init(canary_init);
module_exit(canary_exit);
MODULE_DESCRIPTION("Provokes the failures that the test runner must notice");
MODULE_LICENSE("GPL");
