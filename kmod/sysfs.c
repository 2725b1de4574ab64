// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/fs/extpager/NAME/: what a target is and has counted, one value a file, for
 * everybody. A directory is in the target's memory and goes before its name does:
 * nobody reads a file of it after that, and its name is free when the target's is.
 */
#include <linux/kobject.h>
#include <linux/sysfs.h>

#include "extpager.h"

static struct kset *targets_kset;

struct target_attribute {
	struct attribute attr;
	ssize_t (*show)(struct extpager_target *t, unsigned int what, char *buf);
	unsigned int what;
};

/* ---- what it is ---- */

static ssize_t show_state(struct extpager_target *t, unsigned int what, char *buf)
{
	static const char *const names[] = {
		[EXTPAGER_STATE_NEW]		= "new",
		[EXTPAGER_STATE_LIVE]		= "live",
		[EXTPAGER_STATE_STALLED]	= "stalled",
		[EXTPAGER_STATE_ORPHANED]	= "orphaned",
		[EXTPAGER_STATE_DRAINING]	= "draining",
		[EXTPAGER_STATE_DEAD]		= "dead",
	};

	return sysfs_emit(buf, "%s\n", names[extpager_target_reported_state(t)]);
}

static ssize_t show_policy(struct extpager_target *t, unsigned int what, char *buf)
{
	static const char *const names[] = {
		[EXTPAGER_POLICY_HOLD]	= "hold",
		[EXTPAGER_POLICY_FAIL]	= "fail",
		[EXTPAGER_POLICY_SPILL]	= "spill",
	};

	return sysfs_emit(buf, "%s\n", names[READ_ONCE(t->settings.policy)]);
}

static ssize_t show_size(struct extpager_target *t, unsigned int what, char *buf)
{
	return sysfs_emit(buf, "%llu\n", t->settings.bytes);
}

static ssize_t show_read_only(struct extpager_target *t, unsigned int what, char *buf)
{
	return sysfs_emit(buf, "%d\n", t->settings.read_only);
}

static ssize_t show_quota(struct extpager_target *t, unsigned int what, char *buf)
{
	return sysfs_emit(buf, "%llu\n", READ_ONCE(t->settings.quota));
}

static ssize_t show_dirty(struct extpager_target *t, unsigned int what, char *buf)
{
	return sysfs_emit(buf, "%llu\n", extpager_target_dirty(t));
}

static ssize_t show_spilled(struct extpager_target *t, unsigned int what, char *buf)
{
	return sysfs_emit(buf, "%llu\n", extpager_target_spilled(t));
}

static ssize_t show_pending(struct extpager_target *t, unsigned int what, char *buf)
{
	return sysfs_emit(buf, "%u\n", extpager_target_pending(t));
}

static ssize_t show_port(struct extpager_target *t, unsigned int what, char *buf)
{
	u32 port;

	spin_lock(&t->lock);
	port = t->port ? t->port->id : 0;
	spin_unlock(&t->lock);
	return sysfs_emit(buf, "%u\n", port);
}

enum { OBJECT_RESIDENT, OBJECT_OPENS, OBJECT_GENERATION };

static ssize_t show_object(struct extpager_target *t, unsigned int what, char *buf)
{
	struct extpager_object *obj = extpager_target_object(t);
	u64 value = 0;

	if (obj) {
		if (what == OBJECT_RESIDENT)
			value = extpager_object_resident(obj);
		else if (what == OBJECT_OPENS)
			value = atomic_read(&obj->opens);
		else
			value = READ_ONCE(obj->generation);
		iput(&obj->inode);
	}
	return sysfs_emit(buf, "%llu\n", value);
}

#define TARGET_ATTRIBUTE(_name, _show, _what)			\
static struct target_attribute attr_##_name = {			\
	.attr = { .name = #_name, .mode = 0444 },		\
	.show = _show,						\
	.what = _what,						\
}

TARGET_ATTRIBUTE(state, show_state, 0);
TARGET_ATTRIBUTE(policy, show_policy, 0);
TARGET_ATTRIBUTE(size, show_size, 0);
TARGET_ATTRIBUTE(read_only, show_read_only, 0);
TARGET_ATTRIBUTE(quota, show_quota, 0);
TARGET_ATTRIBUTE(dirty, show_dirty, 0);
TARGET_ATTRIBUTE(spilled, show_spilled, 0);
TARGET_ATTRIBUTE(pending, show_pending, 0);
TARGET_ATTRIBUTE(port, show_port, 0);
TARGET_ATTRIBUTE(resident, show_object, OBJECT_RESIDENT);
TARGET_ATTRIBUTE(opens, show_object, OBJECT_OPENS);
TARGET_ATTRIBUTE(generation, show_object, OBJECT_GENERATION);

static struct attribute *target_attrs[] = {
	&attr_state.attr,
	&attr_policy.attr,
	&attr_size.attr,
	&attr_read_only.attr,
	&attr_quota.attr,
	&attr_dirty.attr,
	&attr_spilled.attr,
	&attr_pending.attr,
	&attr_port.attr,
	&attr_resident.attr,
	&attr_opens.attr,
	&attr_generation.attr,
	NULL,
};

static const struct attribute_group target_group = {
	.attrs = target_attrs,
};

/* ---- what it has counted ---- */

static ssize_t show_counter(struct extpager_target *t, unsigned int what, char *buf)
{
	return sysfs_emit(buf, "%llu\n", (u64)atomic64_read(&t->stats[what]));
}

TARGET_ATTRIBUTE(inits, show_counter, EXTPAGER_A_STATS_INITS);
TARGET_ATTRIBUTE(data_requests, show_counter, EXTPAGER_A_STATS_DATA_REQUESTS);
TARGET_ATTRIBUTE(pages_requested, show_counter, EXTPAGER_A_STATS_PAGES_REQUESTED);
TARGET_ATTRIBUTE(pages_copied, show_counter, EXTPAGER_A_STATS_PAGES_COPIED);
TARGET_ATTRIBUTE(pages_zeroed, show_counter, EXTPAGER_A_STATS_PAGES_ZEROED);
TARGET_ATTRIBUTE(pages_pushed, show_counter, EXTPAGER_A_STATS_PAGES_PUSHED);
TARGET_ATTRIBUTE(pages_failed, show_counter, EXTPAGER_A_STATS_PAGES_FAILED);
TARGET_ATTRIBUTE(data_returns, show_counter, EXTPAGER_A_STATS_DATA_RETURNS);
TARGET_ATTRIBUTE(pages_returned, show_counter, EXTPAGER_A_STATS_PAGES_RETURNED);
TARGET_ATTRIBUTE(returns_failed, show_counter, EXTPAGER_A_STATS_RETURNS_FAILED);
TARGET_ATTRIBUTE(syncs, show_counter, EXTPAGER_A_STATS_SYNCS);
TARGET_ATTRIBUTE(syncs_failed, show_counter, EXTPAGER_A_STATS_SYNCS_FAILED);
TARGET_ATTRIBUTE(terminates, show_counter, EXTPAGER_A_STATS_TERMINATES);
TARGET_ATTRIBUTE(resent, show_counter, EXTPAGER_A_STATS_RESENT);
TARGET_ATTRIBUTE(timeouts, show_counter, EXTPAGER_A_STATS_TIMEOUTS);
TARGET_ATTRIBUTE(bad_replies, show_counter, EXTPAGER_A_STATS_BAD_REPLIES);
TARGET_ATTRIBUTE(gate_waits, show_counter, EXTPAGER_A_STATS_GATE_WAITS);
TARGET_ATTRIBUTE(quota_waits, show_counter, EXTPAGER_A_STATS_QUOTA_WAITS);
TARGET_ATTRIBUTE(orphaned, show_counter, EXTPAGER_A_STATS_ORPHANED);
TARGET_ATTRIBUTE(backlogged, show_counter, EXTPAGER_A_STATS_BACKLOGGED);
TARGET_ATTRIBUTE(pages_discarded, show_counter, EXTPAGER_A_STATS_PAGES_DISCARDED);
TARGET_ATTRIBUTE(pages_spilled, show_counter, EXTPAGER_A_STATS_PAGES_SPILLED);
TARGET_ATTRIBUTE(pages_unspilled, show_counter, EXTPAGER_A_STATS_PAGES_UNSPILLED);
TARGET_ATTRIBUTE(spills_failed, show_counter, EXTPAGER_A_STATS_SPILLS_FAILED);
TARGET_ATTRIBUTE(warnings, show_counter, EXTPAGER_A_STATS_WARNINGS);
TARGET_ATTRIBUTE(overlaps, show_counter, EXTPAGER_A_STATS_OVERLAPS);
TARGET_ATTRIBUTE(pages_read, show_counter, EXTPAGER_A_STATS_PAGES_READ);
TARGET_ATTRIBUTE(pages_written, show_counter, EXTPAGER_A_STATS_PAGES_WRITTEN);
TARGET_ATTRIBUTE(diverted, show_counter, EXTPAGER_A_STATS_DIVERTED);

static struct attribute *counter_attrs[] = {
	&attr_inits.attr,
	&attr_data_requests.attr,
	&attr_pages_requested.attr,
	&attr_pages_copied.attr,
	&attr_pages_zeroed.attr,
	&attr_pages_pushed.attr,
	&attr_pages_failed.attr,
	&attr_data_returns.attr,
	&attr_pages_returned.attr,
	&attr_returns_failed.attr,
	&attr_syncs.attr,
	&attr_syncs_failed.attr,
	&attr_terminates.attr,
	&attr_resent.attr,
	&attr_timeouts.attr,
	&attr_bad_replies.attr,
	&attr_gate_waits.attr,
	&attr_quota_waits.attr,
	&attr_orphaned.attr,
	&attr_backlogged.attr,
	&attr_pages_discarded.attr,
	&attr_pages_spilled.attr,
	&attr_pages_unspilled.attr,
	&attr_spills_failed.attr,
	&attr_warnings.attr,
	&attr_overlaps.attr,
	&attr_pages_read.attr,
	&attr_pages_written.attr,
	&attr_diverted.attr,
	NULL,
};

static_assert(ARRAY_SIZE(counter_attrs) - 1 ==
	      EXTPAGER_A_STATS_LATENCY - 1 - EXTPAGER_A_STATS_PAD);

static const struct attribute_group counter_group = {
	.name = "stats",
	.attrs = counter_attrs,
};

static const struct attribute_group *target_groups[] = {
	&target_group,
	&counter_group,
	NULL,
};

/* ---- directories ---- */

static ssize_t target_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	struct target_attribute *a = container_of(attr, struct target_attribute, attr);

	return a->show(container_of(kobj, struct extpager_target, kobj), a->what, buf);
}

static const struct sysfs_ops target_sysfs_ops = {
	.show = target_show,
};

static void target_kobj_release(struct kobject *kobj)
{
	complete(&container_of(kobj, struct extpager_target, kobj)->kobj_released);
}

static const struct kobj_type target_ktype = {
	.sysfs_ops	= &target_sysfs_ops,
	.default_groups	= target_groups,
	.release	= target_kobj_release,
};

/**
 * extpager_sysfs_add() - show a target
 * @t: named target, whose name no other has
 *
 * Return: 0 or -ENOMEM; extpager_sysfs_remove() is due in any case.
 */
int extpager_sysfs_add(struct extpager_target *t)
{
	t->kobj.kset = targets_kset;
	init_completion(&t->kobj_released);
	return kobject_init_and_add(&t->kobj, &target_ktype, NULL, "%s", t->settings.name);
}

/**
 * extpager_sysfs_remove() - show it no more
 * @t: target; one that was never shown is fine
 *
 * Context: may sleep; waits for those who read its files, who take target->lock.
 */
void extpager_sysfs_remove(struct extpager_target *t)
{
	if (!t->kobj.state_initialized)
		return;
	if (t->kobj.state_in_sysfs)
		kobject_del(&t->kobj);
	kobject_put(&t->kobj);
	/* Its memory is the target's: whoever holds it yet must let go first. */
	wait_for_completion(&t->kobj_released);
}

int extpager_sysfs_init(void)
{
	targets_kset = kset_create_and_add("extpager", NULL, fs_kobj);
	return targets_kset ? 0 : -ENOMEM;
}

void extpager_sysfs_exit(void)
{
	kset_unregister(targets_kset);
}
