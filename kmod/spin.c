// SPDX-License-Identifier: GPL-2.0-only
/*
 * Spinning before a sleep. Of pager and client each waits for the other; if that one runs,
 * on another CPU, its answer is often here sooner than a sleeper could be woken, and nobody
 * need wake him. So who is about to sleep looks for a while first, as long as nothing else
 * wants his CPU. How long is learnt, as the halt polling of KVM does: twice as long after a
 * sleep that was short, not at all after one that was not.
 *
 * A length belongs to whoever waits the same way, several threads maybe: it is a hint, and
 * has no lock.
 */
#include <linux/cpumask.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>

#include "extpager.h"

#define SPIN_FIRST_NS	(10 * NSEC_PER_USEC)

unsigned int extpager_spin_us = 50;
module_param_named(spin_us, extpager_spin_us, uint, 0644);
MODULE_PARM_DESC(spin_us,
		 "microseconds that pagers and clients spin at most before they sleep (default: 50; 0: never)");

static u64 spin_max(void)
{
	return (u64)READ_ONCE(extpager_spin_us) * NSEC_PER_USEC;
}

/**
 * extpager_spin_on() - is it worth another look?
 * @length: how long it was last time, in ns
 * @since: when the wait began, in ns
 *
 * The caller looks, also for his signals, before he asks.
 *
 * Return: false: sleep.
 */
bool extpager_spin_on(const u64 *length, u64 since)
{
	u64 most = min(READ_ONCE(*length), spin_max());

	cpu_relax();
	return most && !need_resched() && single_task_running() && ktime_get_ns() - since < most;
}

/**
 * extpager_spin_learn() - the wait is over: how long is the next one to spin?
 * @length: to be changed, in ns
 * @since: when that began, in ns
 */
void extpager_spin_learn(u64 *length, u64 since)
{
	u64 took = ktime_get_ns() - since, max = spin_max(), now = READ_ONCE(*length);
	u64 next = took >= max ? 0 : took > now ? min(max(2 * now, SPIN_FIRST_NS), max) : now;

	/* Others read it all the time. */
	if (next != now)
		WRITE_ONCE(*length, next);
}
