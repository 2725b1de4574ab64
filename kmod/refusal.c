// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls refused, counted for the whole machine: garbage names no target.
 */
#include <linux/device.h>
#include <linux/sysfs.h>

#include "extpager.h"

static atomic64_t refusals[EXTPAGER_CALL_KINDS];

/* Neither a wait that was interrupted nor one that is over has been refused. */
void extpager_count_refusal(enum extpager_call kind, long ret)
{
	if (ret != -EINTR && ret != -ETIME)
		atomic64_inc(&refusals[kind]);
}

static ssize_t refused_ioctls_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lld\n", atomic64_read(&refusals[EXTPAGER_CALL_IOCTL]));
}
static DEVICE_ATTR_RO(refused_ioctls);

static ssize_t refused_commands_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lld\n", atomic64_read(&refusals[EXTPAGER_CALL_COMMAND]));
}
static DEVICE_ATTR_RO(refused_commands);

static struct attribute *refusal_attrs[] = {
	&dev_attr_refused_ioctls.attr,
	&dev_attr_refused_commands.attr,
	NULL,
};

static const struct attribute_group refusal_group = {
	.attrs = refusal_attrs,
};

/* Of the device, in /sys/class/extpager/extpager/. */
const struct attribute_group *extpager_device_groups[] = {
	&refusal_group,
	NULL,
};
