// SPDX-License-Identifier: GPL-2.0-only
/*
 * Targets: their names, super blocks, states and quotas.
 *
 *	      attach              deadline missed
 *	NEW ---------> LIVE ----------------------> STALLED
 *	                ^ |  <----------------------   |
 *	         attach | |  any answer not refused    |
 *	                | | pager lost                 | pager lost
 *	                | v                            |
 *	              ORPHANED <-----------------------+
 *
 * DRAINING is shown while a deletion returns dirty pages, DEAD after it.
 */
#include <linux/cred.h>
#include <linux/memcontrol.h>
#include <linux/module.h>
#include <linux/pseudo_fs.h>
#include <linux/ratelimit.h>
#include <linux/slab.h>
#include <linux/sched/mm.h>

#include "extpager.h"

/* How long a writer waits at the quota for an answer before its target is STALLED. */
#define PATIENCE_MIN	((unsigned long)HZ / 10)
#define PATIENCE_MAX	(5UL * HZ)

#define EXTPAGER_OBJECTS_MAGIC	0x45585450

/* Targets that are being added: one at a time, from its name to its announcement. */
static DEFINE_MUTEX(extpager_targets_lock);

static DEFINE_XARRAY_ALLOC1(targets);
static u32 next_target;

/* ---- super blocks ---- */

static int objects_init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *ctx = init_pseudo(fc, EXTPAGER_OBJECTS_MAGIC);

	if (!ctx)
		return -ENOMEM;
	ctx->ops = &extpager_object_sops;
	ctx->dops = &extpager_object_dops;
	return 0;
}

static void target_put_memory(struct extpager_target *t);

static void objects_kill_sb(struct super_block *sb)
{
	struct extpager_target *t = sb->s_fs_info;

	kill_anon_super(sb);
	if (t)
		target_put_memory(t);
}

/* One super block and bdi a target: its flusher, dirty share and sync are its own. */
static struct file_system_type objects_fs_type = {
	.owner			= THIS_MODULE,
	.name			= "extpager_objects",
	.init_fs_context	= objects_init_fs_context,
	.kill_sb		= objects_kill_sb,
};

/* ---- references ---- */

static void target_free(struct work_struct *work)
{
	struct extpager_target *t = container_of(to_rcu_work(work), struct extpager_target,
						 free_work);

	/* Files that outlived the target may have set them going again. */
	cancel_delayed_work_sync(&t->deadline_work);
	cancel_delayed_work_sync(&t->grace_work);
	cancel_delayed_work_sync(&t->resend_work);
	cancel_delayed_work_sync(&t->spill_work);
	cancel_work_sync(&t->flush_work);
	extpager_requests_destroy(t);
	kfree(t->settings.store);
	kfree(t);
}

static void target_put_memory(struct extpager_target *t)
{
	if (!refcount_dec_and_test(&t->ref))
		return;
	INIT_RCU_WORK(&t->free_work, target_free);
	queue_rcu_work(extpager_wq, &t->free_work);
}

static void unmount_work(struct work_struct *work)
{
	struct extpager_target *t = container_of(work, struct extpager_target, unmount_work);

	kern_unmount(t->mnt);
	/*
	 * Who waited for this may now unload the module, unless files are open. Of a
	 * target that got no object nobody was told that it was there.
	 */
	if (t->state == EXTPAGER_STATE_DEAD && t->named && t->next_object)
		extpager_notify(t, EXTPAGER_EVENT_DELETED);
	target_put_memory(t);
}

bool extpager_target_get(struct extpager_target *t)
{
	return refcount_inc_not_zero(&t->users);
}

/* Any context; the caller holds no inode of the target's any more. */
void extpager_target_put(struct extpager_target *t)
{
	if (refcount_dec_and_test(&t->users))
		/* The kernel waits there for a queue of its own that reclaim does not wait for. */
		queue_work(extpager_slow_wq, &t->unmount_work);
}

/* ---- workers ---- */

static void resend_work(struct work_struct *work)
{
	struct extpager_target *t = container_of(to_delayed_work(work), struct extpager_target,
						 resend_work);

	if (!extpager_objects_send_init(t) || !extpager_zeros_finish(t))
		queue_delayed_work(extpager_wq, &t->resend_work, HZ / 10);
	extpager_requests_resend(t);
}

static void grace_work(struct work_struct *work)
{
	struct extpager_target *t = container_of(to_delayed_work(work), struct extpager_target,
						 grace_work);
	bool over = false;

	spin_lock(&t->lock);
	if (t->state == EXTPAGER_STATE_ORPHANED) {
		WRITE_ONCE(t->grace_over, true);
		over = true;
	}
	spin_unlock(&t->lock);
	if (over)
		extpager_requests_give_up(t, NULL, -EIO, false);
}

static void flush_pages_work(struct work_struct *work)
{
	struct extpager_target *t = container_of(work, struct extpager_target, flush_work);
	struct extpager_object *obj = NULL;

	while ((obj = extpager_object_next(t, obj)))
		filemap_flush(obj->inode.i_mapping);
}

static void drain_work(struct work_struct *work)
{
	struct extpager_target *t = container_of(to_delayed_work(work), struct extpager_target,
						 drain_work);
	struct extpager_object *obj = extpager_target_object(t);
	bool discard, again;
	int ret = 0;

	/* Whoever waits may lose patience, and say discard. */
	do {
		discard = READ_ONCE(t->discard);
		if (obj)
			ret = extpager_object_end(obj, discard);
		spin_lock(&t->lock);
		again = ret && !discard && t->discard;
		if (ret && ret != -EAGAIN && !again)
			WRITE_ONCE(t->draining, false);
		spin_unlock(&t->lock);
	} while (again);
	if (ret == -EAGAIN) {
		/* Workers are few: they do not wait for a file. */
		iput(&obj->inode);
		queue_delayed_work(extpager_slow_wq, &t->drain_work, HZ / 10);
		return;
	}
	if (ret) {
		pr_warn("target %s: not deleted, %llu dirty bytes could not be returned\n",
			t->settings.name, extpager_target_dirty(t) + extpager_target_spilled(t));
		extpager_notify(t, EXTPAGER_EVENT_CHANGED);
		iput(&obj->inode);
	} else {
		if (obj)
			iput(&obj->inode);
		extpager_target_destroy(t);
	}
	extpager_target_put(t);
}

/* ---- create and destroy ---- */

/**
 * extpager_target_create() - a target without objects, which nobody finds yet
 * @s: settings; on success @s->store belongs to the target
 * @named: it is to be found by name
 *
 * Return: the target, its reference is for extpager_target_destroy(); or an
 * ERR_PTR.
 */
struct extpager_target *extpager_target_create(const struct extpager_settings *s, bool named)
{
	struct extpager_target *t;
	int ret;

	t = kzalloc(sizeof(*t), GFP_KERNEL_ACCOUNT);
	if (!t)
		return ERR_PTR(-ENOMEM);
	refcount_set(&t->users, 1);
	refcount_set(&t->ref, 1);
	INIT_WORK(&t->unmount_work, unmount_work);
	spin_lock_init(&t->lock);
	t->named = named;
	t->to_accept = INVALID_UID;
	t->state = EXTPAGER_STATE_NEW;
	t->patience = PATIENCE_MIN;
	xa_init_flags(&t->objects, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	init_waitqueue_head(&t->wait);
	INIT_DELAYED_WORK(&t->deadline_work, extpager_deadline_work);
	INIT_DELAYED_WORK(&t->grace_work, grace_work);
	INIT_DELAYED_WORK(&t->resend_work, resend_work);
	INIT_DELAYED_WORK(&t->spill_work, extpager_spill_work);
	INIT_WORK(&t->flush_work, flush_pages_work);
	INIT_DELAYED_WORK(&t->drain_work, drain_work);

	ret = extpager_requests_init(t);
	if (ret)
		goto err_free;
	ret = xa_alloc_cyclic(&targets, &t->id, NULL, XA_LIMIT(1, INT_MAX), &next_target,
			      GFP_KERNEL);
	if (ret < 0)
		goto err_requests;
	t->mnt = kern_mount(&objects_fs_type);
	if (IS_ERR(t->mnt)) {
		ret = PTR_ERR(t->mnt);
		goto err_id;
	}
	t->sb = t->mnt->mnt_sb;
	t->sb->s_fs_info = t;
	refcount_inc(&t->ref);		/* dropped by kill_sb */
	/* The id, because an old one of the same name may still be open. */
	ret = super_setup_bdi_name(t->sb, "extpager-%s.%u", named ? s->name : "port", t->id);
	if (ret)
		goto err_mount;
	t->sb->s_bdi->io_pages = EXTPAGER_REQUEST_PAGES;
	t->settings = *s;
	return t;

err_mount:
	xa_erase(&targets, t->id);
	extpager_target_put(t);
	return ERR_PTR(ret);
err_id:
	xa_erase(&targets, t->id);
err_requests:
	extpager_requests_destroy(t);
err_free:
	kfree(t);
	return ERR_PTR(ret);
}

/* From here on others find it, by name and in lists. */
void extpager_target_publish(struct extpager_target *t)
{
	/* Its id is reserved: nothing is allocated. */
	xa_store(&targets, t->id, t, GFP_KERNEL);
}

/**
 * extpager_target_destroy() - a target whose objects have all ended goes
 * @t: target
 *
 * Its super block stays until the last file of it is closed.
 *
 * Context: no locks; waits for the target's workers, so none of them calls it
 * but drain_work.
 */
void extpager_target_destroy(struct extpager_target *t)
{
	struct extpager_port *port = NULL;

	/* First: when its name is free, it is free there as well. */
	extpager_sysfs_remove(t);
	xa_erase(&targets, t->id);

	rcu_read_lock();
	spin_lock(&t->lock);
	WRITE_ONCE(t->state, EXTPAGER_STATE_DEAD);
	if (t->port && refcount_inc_not_zero(&t->port->ref))
		port = t->port;
	spin_unlock(&t->lock);
	rcu_read_unlock();
	if (port) {
		/* TERMINATE may still stand in a backlog: it names no object. */
		extpager_port_forget(port, t);
		extpager_port_put(port);
	}
	extpager_requests_give_up(t, NULL, -ENODEV, false);
	cancel_delayed_work_sync(&t->deadline_work);
	cancel_delayed_work_sync(&t->grace_work);
	cancel_delayed_work_sync(&t->resend_work);
	cancel_delayed_work_sync(&t->spill_work);
	cancel_work_sync(&t->flush_work);
	wake_up_all(&t->wait);
	extpager_target_put(t);
}

/* ---- names ---- */

/* With a reference, or NULL. Takes no lock: mmap_lock may be held. */
struct extpager_target *extpager_target_find(const char *name)
{
	struct extpager_target *t, *found = NULL;
	unsigned long id;

	rcu_read_lock();
	xa_for_each(&targets, id, t) {
		if (t->named && !strcmp(t->settings.name, name) && extpager_target_get(t)) {
			found = t;
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

/**
 * extpager_target_next() - walk over all targets
 * @id: in: 0 or the last one's id; out: the id found
 *
 * Return: the next target with a reference, or NULL.
 */
struct extpager_target *extpager_target_next(u32 *id)
{
	unsigned long index = *id;
	struct extpager_target *t;

	rcu_read_lock();
	do {
		t = xa_find_after(&targets, &index, ULONG_MAX, XA_PRESENT);
	} while (t && !extpager_target_get(t));
	rcu_read_unlock();
	*id = index;
	return t;
}

/* The one object of a named target with a reference, or NULL once it is gone. */
struct extpager_object *extpager_target_object(struct extpager_target *t)
{
	struct extpager_object *obj;
	unsigned long nr = 0;

	spin_lock(&t->lock);
	obj = xa_find(&t->objects, &nr, ULONG_MAX, XA_PRESENT);
	if (obj)
		ihold(&obj->inode);
	spin_unlock(&t->lock);
	return obj;
}

/* May @uid be a pager because some target says so? */
bool extpager_pager_uid_known(kuid_t uid)
{
	struct extpager_target *t;
	bool known = false;
	unsigned long id;

	rcu_read_lock();
	xa_for_each(&targets, id, t) {
		kuid_t pager_uid = READ_ONCE(t->settings.pager_uid);

		if (t->named && uid_valid(pager_uid) && uid_eq(pager_uid, uid))
			known = true;
	}
	rcu_read_unlock();
	return known;
}

/**
 * extpager_target_add() - make a named target
 * @s: checked settings; the target takes @s->store, leaving NULL
 * @extack: where refusals are explained
 */
int extpager_target_add(struct extpager_settings *s, struct netlink_ext_ack *extack)
{
	struct extpager_object *obj;
	struct extpager_target *t;
	int ret;

	mutex_lock(&extpager_targets_lock);
	t = extpager_target_find(s->name);
	if (t) {
		extpager_target_put(t);
		mutex_unlock(&extpager_targets_lock);
		NL_SET_ERR_MSG(extack, "a target of this name exists");
		return -EEXIST;
	}
	t = extpager_target_create(s, true);
	if (IS_ERR(t)) {
		mutex_unlock(&extpager_targets_lock);
		NL_SET_ERR_MSG(extack, "no memory for the target");
		return PTR_ERR(t);
	}
	s->store = NULL;
	ret = extpager_sysfs_add(t);
	if (!ret) {
		obj = extpager_object_create(t, s->bytes, s->mode, s->read_only);
		ret = PTR_ERR_OR_ZERO(obj);
	}
	if (ret) {
		extpager_target_destroy(t);
		NL_SET_ERR_MSG(extack, "no memory for the target's object");
	} else {
		/* With its object: to pagers a target with another one is another target. */
		extpager_target_publish(t);
		extpager_notify(t, EXTPAGER_EVENT_ADDED);
		iput(&obj->inode);
	}
	mutex_unlock(&extpager_targets_lock);
	return ret;
}

/* As extpager_target_find(), and the target's being there has been told. */
struct extpager_target *extpager_target_find_announced(const char *name)
{
	struct extpager_target *t;

	mutex_lock(&extpager_targets_lock);
	t = extpager_target_find(name);
	mutex_unlock(&extpager_targets_lock);
	return t;
}

/**
 * extpager_target_del() - begin the deletion of a target
 * @name: its name
 * @discard: give dirty pages up
 * @extack: where refusals are explained
 *
 * Dirty pages are returned first, by a worker; EVENT_DELETED tells the end.
 */
int extpager_target_del(const char *name, bool discard, struct netlink_ext_ack *extack)
{
	struct extpager_target *t = extpager_target_find_announced(name);
	struct extpager_object *obj;
	int ret = 0;

	if (!t) {
		NL_SET_ERR_MSG(extack, "no such target");
		return -ENOENT;
	}
	obj = extpager_target_object(t);
	spin_lock(&t->lock);
	if (t->draining) {
		/* Patience may end: a second call may say discard. */
		WRITE_ONCE(t->discard, t->discard || discard);
		ret = -EALREADY;
		NL_SET_ERR_MSG(extack, "the target is being deleted");
	} else if (obj && !discard && !extpager_target_live(t) && !extpager_object_clean(obj) &&
		   extpager_sync_needs_pager(obj, 0, ULONG_MAX)) {
		ret = -EBUSY;
		NL_SET_ERR_MSG(extack, "dirty pages and no pager to return them to: start one, or discard");
	} else {
		WRITE_ONCE(t->discard, discard);
		WRITE_ONCE(t->draining, true);
	}
	spin_unlock(&t->lock);
	if (obj) {
		/* What is dropped is not waited for; the worker may be doing that. */
		if (discard)
			extpager_requests_cancel(obj, -ENODEV);
		iput(&obj->inode);
	}
	wake_up_all(&t->wait);
	if (ret) {
		extpager_target_put(t);
		return ret;
	}
	extpager_notify(t, EXTPAGER_EVENT_CHANGED);
	/* takes over the reference */
	queue_delayed_work(extpager_slow_wq, &t->drain_work, 0);
	return 0;
}

/* ---- a pager comes and goes ---- */

/* Context: port->lock. */
int extpager_target_attach(struct extpager_target *t, struct extpager_port *port)
{
	bool again = false;
	int ret = 0;

	spin_lock(&t->lock);
	/* While it drains a pager is just what is needed. */
	if (t->state == EXTPAGER_STATE_DEAD) {
		ret = -ESHUTDOWN;
	} else if (t->port || t->orphaning) {
		ret = -EBUSY;
	} else {
		again = t->state == EXTPAGER_STATE_ORPHANED;
		WRITE_ONCE(t->port, port);
		WRITE_ONCE(t->grace_over, false);
		WRITE_ONCE(t->squeezed, false);
		WRITE_ONCE(t->slow, false);
		extpager_requests_again(t);
		WRITE_ONCE(t->state, EXTPAGER_STATE_LIVE);
	}
	spin_unlock(&t->lock);
	if (ret)
		return ret;
	cancel_delayed_work(&t->grace_work);
	mod_delayed_work(extpager_wq, &t->resend_work, 0);
	extpager_spill_kick(t);
	wake_up_all(&t->wait);
	if (t->named)
		pr_info_ratelimited("target %s: served %sby %s, pid %d, port %u\n",
				    t->settings.name, again ? "again " : "", current->comm,
				    task_tgid_nr(current), port->id);
	extpager_notify(t, EXTPAGER_EVENT_ATTACHED);
	return 0;
}

/**
 * extpager_target_orphan() - the pager of a target is gone
 * @t: target
 * @port: the port that was attached
 *
 * Context: port->lock; may sleep.
 */
void extpager_target_orphan(struct extpager_target *t, struct extpager_port *port)
{
	struct extpager_object *obj;
	unsigned long nr;
	bool hold;

	spin_lock(&t->lock);
	if (t->port != port) {
		spin_unlock(&t->lock);
		return;
	}
	WRITE_ONCE(t->port, NULL);
	t->orphaning = true;
	WRITE_ONCE(t->squeezed, false);
	hold = t->settings.policy != EXTPAGER_POLICY_FAIL;
	if (t->state != EXTPAGER_STATE_DEAD)
		WRITE_ONCE(t->state, EXTPAGER_STATE_ORPHANED);
	xa_for_each(&t->objects, nr, obj) {
		if (obj->state == EXTPAGER_OBJECT_READY)
			WRITE_ONCE(obj->state, EXTPAGER_OBJECT_INIT);
		extpager_object_init_unsent(obj);
	}
	spin_unlock(&t->lock);
	extpager_count(t, ORPHANED);
	extpager_requests_orphan(t);
	if (READ_ONCE(t->state) != EXTPAGER_STATE_DEAD) {
		if (hold)
			mod_delayed_work(extpager_wq, &t->grace_work,
					 msecs_to_jiffies(READ_ONCE(t->settings.grace_ms)));
		if (t->named)
			pr_warn_ratelimited("target %s: lost its pager, port %u: clients %s\n",
					    t->settings.name, port->id,
					    hold ? "wait for the next one" : "get errors");
		extpager_notify(t, EXTPAGER_EVENT_ORPHANED);
	}
	/* Nobody attaches, stops the grace time and tells of it before this. */
	spin_lock(&t->lock);
	t->orphaning = false;
	spin_unlock(&t->lock);
	if (extpager_target_spills(t))
		extpager_spill_kick(t);
	wake_up_all(&t->wait);
}

/* Those who wait see the new settings; the grace time begins anew. */
void extpager_target_settings_changed(struct extpager_target *t)
{
	spin_lock(&t->lock);
	extpager_deadlines_shorten(t);
	if (t->state == EXTPAGER_STATE_ORPHANED && !t->grace_over &&
	    t->settings.policy != EXTPAGER_POLICY_FAIL)
		mod_delayed_work(extpager_wq, &t->grace_work,
				 msecs_to_jiffies(t->settings.grace_ms));
	spin_unlock(&t->lock);
	if (extpager_target_spills(t))
		extpager_spill_kick(t);
	wake_up_all(&t->wait);
}

/* target->lock held. */
static void target_stall(struct extpager_target *t)
{
	t->stalled_at = jiffies;
	WRITE_ONCE(t->state, EXTPAGER_STATE_STALLED);
}

/* @phase: of the first deadline that was missed. */
void extpager_target_stalled(struct extpager_target *t, enum extpager_phase phase)
{
	static const char *const names[EXTPAGER_PHASES] = {
		"handshake", "page-in", "return", "sync",
	};
	bool changed;

	spin_lock(&t->lock);
	changed = t->state == EXTPAGER_STATE_LIVE;
	if (changed)
		target_stall(t);
	if (t->state == EXTPAGER_STATE_STALLED)
		WRITE_ONCE(t->squeezed, false);
	spin_unlock(&t->lock);
	if (extpager_target_spills(t))
		extpager_spill_kick(t);
	if (!changed)
		return;
	if (t->named)
		pr_warn_ratelimited("target %s: its pager missed the %s deadline of %u ms\n",
				    t->settings.name, names[phase],
				    READ_ONCE(t->settings.timeout_ms[phase]));
	extpager_notify(t, EXTPAGER_EVENT_STALLED);
}

/**
 * extpager_target_squeezed() - a writer waits at the quota, and no return is answered
 * @t: target
 * @obj: object that it writes to
 *
 * What is asked of the pager, or of the next one, may be answered yet; dirty
 * pages go to the spill meanwhile, if they may.
 */
void extpager_target_squeezed(struct extpager_target *t, struct extpager_object *obj)
{
	bool changed = false, stalled = false;

	if (READ_ONCE(t->squeezed) || !READ_ONCE(t->settings.spill_limit) ||
	    READ_ONCE(t->settings.action[EXTPAGER_PHASE_RETURN]) != EXTPAGER_ACTION_SPILL)
		return;
	spin_lock(&t->lock);
	/* Of what was given up while the kernel writes it nothing is pending, nor can be. */
	stalled = t->state == EXTPAGER_STATE_LIVE &&
		  (t->nr_pending[EXTPAGER_PHASE_RETURN] || t->nr_detached ||
		   obj->state == EXTPAGER_OBJECT_INIT);
	changed = stalled || t->state == EXTPAGER_STATE_ORPHANED;
	if (stalled)
		target_stall(t);
	if (changed) {
		WRITE_ONCE(t->squeezed, true);
		WRITE_ONCE(t->patience, max(t->patience / 2, PATIENCE_MIN));
	}
	spin_unlock(&t->lock);
	if (changed)
		extpager_spill_kick(t);
	if (stalled)
		extpager_notify(t, EXTPAGER_EVENT_STALLED);
}

/* Has the pager missed a deadline, and not answered since? */
bool extpager_target_missed(const struct extpager_target *t)
{
	return READ_ONCE(t->state) == EXTPAGER_STATE_STALLED && !READ_ONCE(t->squeezed);
}

/* target->lock held: twice as long as it took this time, within reason. */
static unsigned long target_patience(const struct extpager_target *t)
{
	unsigned long took = jiffies - t->stalled_at + t->patience;
	u32 deadline = t->settings.timeout_ms[EXTPAGER_PHASE_RETURN];

	return clamp_t(unsigned long, 2 * took, PATIENCE_MIN,
		       min_t(unsigned long, PATIENCE_MAX, msecs_to_jiffies(deadline / 2)));
}

/* target->lock held. */
static void target_unstall(struct extpager_target *t)
{
	/* It was slow, not stuck: next time it is given longer. */
	if (t->squeezed)
		WRITE_ONCE(t->patience, target_patience(t));
	WRITE_ONCE(t->state, EXTPAGER_STATE_LIVE);
	WRITE_ONCE(t->squeezed, false);
}

/* What is there goes back; and nothing is too much for it any more. */
static void target_recovered(struct extpager_target *t)
{
	extpager_spill_kick(t);
	extpager_notify(t, EXTPAGER_EVENT_RECOVERED);
}

/* @op: of a reply that was taken, or 0. A full quota only a return's answer makes emptier. */
void extpager_target_answered(struct extpager_target *t, u16 op)
{
	bool changed;

	spin_lock(&t->lock);
	changed = t->state == EXTPAGER_STATE_STALLED &&
		  (!t->squeezed || op == EXTPAGER_RE_RETURN_DONE ||
		   !(t->nr_pending[EXTPAGER_PHASE_RETURN] || atomic_long_read(&t->nr_spilled)));
	if (changed)
		target_unstall(t);
	WRITE_ONCE(t->slow, false);
	extpager_requests_again(t);
	spin_unlock(&t->lock);
	if (changed)
		target_recovered(t);
}

/*
 * The kernel has written a return: a quota that was full is emptier now, but the pager has
 * shown no life. Context: reclaim may wait for the caller.
 */
void extpager_target_written(struct extpager_target *t)
{
	unsigned int noio;
	bool changed;

	if (likely(!READ_ONCE(t->squeezed)))
		return;
	spin_lock(&t->lock);
	changed = t->state == EXTPAGER_STATE_STALLED && t->squeezed;
	if (changed)
		target_unstall(t);
	spin_unlock(&t->lock);
	if (!changed)
		return;
	noio = memalloc_noio_save();
	target_recovered(t);
	memalloc_noio_restore(noio);
}

u32 extpager_target_reported_state(struct extpager_target *t)
{
	u32 state = READ_ONCE(t->state);

	return READ_ONCE(t->draining) && state != EXTPAGER_STATE_DEAD ?
	       EXTPAGER_STATE_DRAINING : state;
}

u32 extpager_target_pending(const struct extpager_target *t)
{
	unsigned int i, n = 0;

	for (i = 0; i < EXTPAGER_PHASES; i++)
		n += extpager_target_asked(t, i);
	return n;
}

/* ---- the dirty quota ---- */

/* Bytes dirty or being returned. */
u64 extpager_target_dirty(struct extpager_target *t)
{
	struct bdi_writeback *wb = &t->sb->s_bdi->wb;

	return (u64)(wb_stat_sum(wb, WB_RECLAIMABLE) + wb_stat_sum(wb, WB_WRITEBACK)) <<
	       PAGE_SHIFT;
}

/* Bytes in the spill; of some the cache may have newer ones. */
u64 extpager_target_spilled(struct extpager_target *t)
{
	return (u64)atomic_long_read(&t->nr_spilled) << PAGE_SHIFT;
}

/* Below this no quota is looked up: a writer in the smallest cgroup has as much. */
#define QUOTA_FLOOR	64

#ifdef CONFIG_MEMCG
/* A quarter of what a memory cgroup is allowed, with those that it is in: pages. */
unsigned long extpager_memcg_share(struct mem_cgroup *memcg)
{
	unsigned long max = PAGE_COUNTER_MAX;

	for (; memcg; memcg = parent_mem_cgroup(memcg))
		max = min(max, READ_ONCE(memcg->memory.max));
	return max_t(unsigned long, max / 4, QUOTA_FLOOR);
}

static unsigned long callers_share(void)
{
	struct mem_cgroup *memcg;
	unsigned long share;

	if (!current->mm)
		return PAGE_COUNTER_MAX;
	memcg = get_mem_cgroup_from_mm(current->mm);
	share = extpager_memcg_share(memcg);
	mem_cgroup_put(memcg);
	return share;
}
#else
unsigned long extpager_memcg_share(struct mem_cgroup *memcg)
{
	return LONG_MAX;
}

static unsigned long callers_share(void)
{
	return LONG_MAX;
}
#endif

/* How many pages of the target the caller may find dirty, and dirty one more. */
u64 extpager_target_quota(struct extpager_target *t)
{
	u64 quota = READ_ONCE(t->settings.quota) >> PAGE_SHIFT;

	return min_t(u64, quota, callers_share());
}

/**
 * extpager_target_over_quota() - may the caller not dirty one more page?
 * @t: target
 *
 * From half the quota on, write-back is set going.
 */
bool extpager_target_over_quota(struct extpager_target *t)
{
	struct bdi_writeback *wb = &t->sb->s_bdi->wb;
	s64 dirty = wb_stat(wb, WB_RECLAIMABLE) + wb_stat(wb, WB_WRITEBACK);
	s64 quota;

	if (dirty + 2 * (s64)wb_stat_error() < QUOTA_FLOOR)
		return false;
	quota = READ_ONCE(t->settings.quota) >> PAGE_SHIFT;
	if (2 * dirty > QUOTA_FLOOR)
		quota = min_t(s64, quota, callers_share());
	if (dirty > quota / 2)
		queue_work(extpager_wq, &t->flush_work);
	if (dirty + 2 * (s64)wb_stat_error() < quota)
		return false;
	return wb_stat_sum(wb, WB_RECLAIMABLE) + wb_stat_sum(wb, WB_WRITEBACK) >= quota;
}

/* For who waits until it is not, and sets nothing going by looking. */
bool extpager_target_full(struct extpager_target *t)
{
	return extpager_target_dirty(t) >> PAGE_SHIFT >= extpager_target_quota(t);
}
