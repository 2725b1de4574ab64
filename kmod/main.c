// SPDX-License-Identifier: GPL-2.0-only
/* Loading and unloading. */
#include <linux/module.h>
#include <linux/reboot.h>

#include "extpager.h"

bool extpager_unprivileged_pagers;
module_param_named(unprivileged_pagers, extpager_unprivileged_pagers, bool, 0644);
MODULE_PARM_DESC(unprivileged_pagers,
		 "let any user make a port, for objects of its own (default: no)");

#ifdef CONFIG_LOCKDEP
struct lockdep_map extpager_pager_map =
	STATIC_LOCKDEP_MAP_INIT("extpager_pager", &extpager_pager_map);
#endif

/* Progress under memory pressure may hang on these workers; none waits for a pager. */
struct workqueue_struct *extpager_wq;
/* These wait for memory and swap. */
struct workqueue_struct *extpager_spill_wq;
/* Clients wait for these, and they for devices at most. */
struct workqueue_struct *extpager_read_wq;
/* And these for pagers: what they wait for is ended by the others. */
struct workqueue_struct *extpager_slow_wq;

/* Nobody can be asked any more: what is dirty now goes with the machine. */
static int say_what_is_lost(struct notifier_block *nb, unsigned long action, void *data)
{
	struct extpager_target *t;
	u32 id = 0;

	while ((t = extpager_target_next(&id))) {
		/* A dead target's super block may be gone. */
		u64 dirty = t->state == EXTPAGER_STATE_DEAD ? 0 :
			    extpager_target_dirty(t) + extpager_target_spilled(t);

		if (dirty && t->named)
			pr_warn("target %s: %llu dirty bytes were not returned and are lost\n",
				t->settings.name, dirty);
		extpager_target_put(t);
	}
	return NOTIFY_DONE;
}

static struct notifier_block at_reboot = { .notifier_call = say_what_is_lost };

static int __init extpager_init(void)
{
	int ret;

	extpager_gate_init();
	extpager_wq = alloc_workqueue("extpager", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!extpager_wq)
		return -ENOMEM;
	extpager_slow_wq = alloc_workqueue("extpager_slow", WQ_UNBOUND, 0);
	extpager_spill_wq = alloc_workqueue("extpager_spill", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	extpager_read_wq = alloc_workqueue("extpager_read",
					   WQ_MEM_RECLAIM | WQ_HIGHPRI | WQ_PERCPU, 0);
	ret = -ENOMEM;
	if (!extpager_slow_wq || !extpager_spill_wq || !extpager_read_wq)
		goto err_queues;
	ret = extpager_transfer_init();
	if (ret)
		goto err_queues;
	ret = extpager_writeout_init();
	if (ret)
		goto err_transfer;
	ret = extpager_delegate_init();
	if (ret)
		goto err_writeout;
	ret = extpager_object_cache_init();
	if (ret)
		goto err_delegate;
	ret = extpager_pathfs_init();
	if (ret)
		goto err_cache;
	ret = extpager_sysfs_init();
	if (ret)
		goto err_pathfs;
	ret = extpager_chardev_init();
	if (ret)
		goto err_sysfs;
	/* Last: it lets targets be added, and nothing can fail any more. */
	ret = extpager_netlink_init();
	if (ret)
		goto err_chardev;
	register_reboot_notifier(&at_reboot);
	pr_info("loaded, ABI version %u\n", EXTPAGER_ABI_VERSION);
	return 0;

err_chardev:
	extpager_chardev_exit();
err_sysfs:
	extpager_sysfs_exit();
err_pathfs:
	extpager_pathfs_exit();
err_cache:
	extpager_object_cache_destroy();
err_delegate:
	extpager_delegate_exit();
err_writeout:
	extpager_writeout_exit();
err_transfer:
	extpager_transfer_exit();
err_queues:
	if (extpager_read_wq)
		destroy_workqueue(extpager_read_wq);
	if (extpager_spill_wq)
		destroy_workqueue(extpager_spill_wq);
	if (extpager_slow_wq)
		destroy_workqueue(extpager_slow_wq);
	destroy_workqueue(extpager_wq);
	return ret;
}

static void __exit extpager_exit(void)
{
	unregister_reboot_notifier(&at_reboot);
	extpager_netlink_exit();
	extpager_chardev_exit();
	extpager_sysfs_exit();
	extpager_pathfs_exit();
	/* Targets and ports free themselves after a grace period, on the queue. */
	flush_workqueue(extpager_wq);
	/* And what was delegated, at the end of the last interrupt that was part of it. */
	synchronize_rcu();
	flush_workqueue(extpager_read_wq);
	rcu_barrier();
	destroy_workqueue(extpager_slow_wq);
	flush_workqueue(extpager_wq);
	rcu_barrier();
	destroy_workqueue(extpager_wq);
	destroy_workqueue(extpager_spill_wq);
	destroy_workqueue(extpager_read_wq);
	rcu_barrier();
	extpager_delegate_exit();
	extpager_writeout_exit();
	extpager_transfer_exit();
	extpager_object_cache_destroy();
	extpager_gate_exit();
}

module_init(extpager_init);
module_exit(extpager_exit);

MODULE_DESCRIPTION("External pagers: memory objects whose content a user process manages");
MODULE_AUTHOR("The extpager authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1");
