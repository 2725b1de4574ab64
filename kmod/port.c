// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ports: the pager's end. The pager is the address space that called SETUP,
 * and its death is told by an mmu notifier, not by the close of an fd that a
 * child or a service manager may hold.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/log2.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "extpager.h"

#define PORT_OBJECTS_MAX	65536
#define RING_ENTRIES_DEFAULT	256

static DEFINE_XARRAY_ALLOC1(ports);
static DEFINE_MUTEX(ports_lock);
static u32 next_port;

/* ---- references ---- */

static void port_free(struct rcu_head *rcu)
{
	kfree(container_of(rcu, struct extpager_port, rcu));
}

static void port_free_work(struct work_struct *work)
{
	struct extpager_port *port = container_of(work, struct extpager_port, free_work);

	destroy_workqueue(port->files_wq);
	call_rcu(&port->rcu, port_free);
}

void extpager_port_put(struct extpager_port *port)
{
	unsigned int i;

	if (!refcount_dec_and_test(&port->ref))
		return;
	for (i = 0; i < port->nr_queues; i++)
		extpager_queue_destroy(&port->queues[i]);
	kvfree(port->queues);
	put_pid(port->pid);
	xa_destroy(&port->targets);
	xa_destroy(&port->files);
	/* The last one may be a worker of that queue. */
	if (port->files_wq)
		queue_work(extpager_slow_wq, &port->free_work);
	else
		call_rcu(&port->rcu, port_free);
}

/* ---- attached targets ---- */

/* In the place of a target that the port has detached from. */
#define FORMER	xa_mk_value(0)

/* The target of an object id, if it is this port's, with a reference. */
struct extpager_target *extpager_port_target(struct extpager_port *port, u64 object)
{
	struct extpager_target *t;

	rcu_read_lock();
	t = xa_load(&port->targets, object >> 32);
	if (t && (xa_is_value(t) || !extpager_target_get(t)))
		t = NULL;
	rcu_read_unlock();
	return t;
}

/* Did it once serve the target of an object id, and then detach from it? */
bool extpager_port_has_detached(struct extpager_port *port, u64 object)
{
	return xa_load(&port->targets, object >> 32) == FORMER;
}

/* port->lock held. */
static int port_add_target(struct extpager_port *port, struct extpager_target *t)
{
	void *before = xa_load(&port->targets, t->id);
	int ret;

	if (before && before != FORMER)
		return -EBUSY;
	ret = xa_err(xa_store(&port->targets, t->id, t, GFP_KERNEL));
	if (ret)
		return ret;
	ret = extpager_target_attach(t, port);
	if (ret)
		xa_store(&port->targets, t->id, before, GFP_KERNEL);
	else
		refcount_inc(&t->users);	/* the caller has one */
	return ret;
}

/* port->lock held. @place is what takes its place: NULL or FORMER. */
static bool port_remove_target(struct extpager_port *port, struct extpager_target *t, void *place)
{
	if (xa_load(&port->targets, t->id) != t)
		return false;
	/* The slot is there: nothing is allocated. */
	xa_store(&port->targets, t->id, place, GFP_NOWAIT);
	extpager_target_orphan(t, port);
	if (t->named)
		WRITE_ONCE(port->nr_targets, port->nr_targets - 1);
	extpager_target_put(t);
	return true;
}

/* The port serves @t no more; false if it did not. */
bool extpager_port_forget(struct extpager_port *port, struct extpager_target *t)
{
	bool found;

	mutex_lock(&port->lock);
	found = port_remove_target(port, t, NULL);
	mutex_unlock(&port->lock);
	return found;
}

int extpager_port_attach(struct extpager_port *port, struct extpager_attach *arg)
{
	struct extpager_object *obj;
	struct extpager_target *t;
	int ret;

	if (strnlen(arg->name, sizeof(arg->name)) == sizeof(arg->name))
		return -EINVAL;
	t = extpager_target_find_announced(arg->name);
	if (!t)
		return -ENOENT;
	ret = -EPERM;
	if (!capable(CAP_SYS_ADMIN) &&
	    !uid_eq(READ_ONCE(t->settings.pager_uid), current_euid()))
		goto out_put;
	obj = extpager_target_object(t);
	ret = -ESHUTDOWN;
	if (!obj)
		goto out_put;
	arg->out_object = obj->id;
	arg->out_bytes = i_size_read(&obj->inode);
	iput(&obj->inode);

	mutex_lock(&port->lock);
	ret = -ESHUTDOWN;
	if (READ_ONCE(port->alive))
		ret = port_add_target(port, t);
	if (!ret)
		WRITE_ONCE(port->nr_targets, port->nr_targets + 1);
	mutex_unlock(&port->lock);
out_put:
	extpager_target_put(t);
	return ret;
}

int extpager_port_detach(struct extpager_port *port, u64 object)
{
	struct extpager_target *t = extpager_port_target(port, object);
	struct extpager_object *obj;
	int ret = -ENOENT;

	if (!t)
		return ret;
	obj = t->named ? extpager_object_find(t, object) : NULL;
	if (obj) {
		mutex_lock(&port->lock);
		if (port_remove_target(port, t, FORMER))
			ret = 0;
		mutex_unlock(&port->lock);
		iput(&obj->inode);
	}
	extpager_target_put(t);
	return ret;
}

/* ---- life and death of the pager ---- */

bool extpager_port_is_caller(const struct extpager_port *port)
{
	return READ_ONCE(port->alive) && READ_ONCE(port->mm) == current->mm;
}

static void port_wake(struct extpager_port *port)
{
	unsigned int i;

	for (i = 0; i < port->nr_queues; i++) {
		struct extpager_queue *q = &port->queues[i];

		spin_lock(&q->lock);
		WRITE_ONCE(q->kernel->flags, q->kernel->flags | EXTPAGER_KF_DEAD);
		spin_unlock(&q->lock);
		wake_up_all(&q->wait);
	}
	wake_up_interruptible_poll(&port->poll, EPOLLIN | EPOLLHUP);
}

/* port->lock held: everything attached loses its pager. */
static void port_orphan_all(struct extpager_port *port)
{
	unsigned long id;
	void *entry;

	extpager_backings_forget(port);
	xa_for_each(&port->targets, id, entry)
		if (entry != FORMER)
			port_remove_target(port, entry, NULL);
	port_wake(port);
}

static void port_death_work(struct work_struct *work)
{
	struct extpager_port *port = container_of(work, struct extpager_port, death_work);

	mutex_lock(&port->lock);
	if (!READ_ONCE(port->alive))
		port_orphan_all(port);
	mutex_unlock(&port->lock);
	extpager_port_put(port);
}

/* exit, kill or exec: the address space goes. */
static void port_mm_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct extpager_port *port = container_of(mn, struct extpager_port, notifier);

	if (!xchg(&port->alive, false))
		return;
	refcount_inc(&port->ref);
	if (!queue_work(extpager_wq, &port->death_work))
		extpager_port_put(port);
}

static const struct mmu_notifier_ops port_notifier_ops = {
	.release	= port_mm_release,
};

/* port->lock held; the caller becomes the pager. */
static int port_adopt(struct extpager_port *port)
{
	int ret;

	if (port->notifier_set) {
		mmu_notifier_unregister(&port->notifier, port->mm);
		port->notifier_set = false;
	}
	port->notifier.ops = &port_notifier_ops;
	WRITE_ONCE(port->mm, current->mm);
	ret = mmu_notifier_register(&port->notifier, current->mm);
	if (ret)
		return ret;
	port->notifier_set = true;
	mutex_lock(&ports_lock);
	put_pid(port->pid);
	port->pid = get_pid(task_tgid(current));
	mutex_unlock(&ports_lock);
	port->uid = current_euid();
	WRITE_ONCE(port->own->to_accept, capable(CAP_SYS_ADMIN) ? INVALID_UID : port->uid);
	WRITE_ONCE(port->alive, true);
	return 0;
}

/* No owner: alloc_file_pseudo() takes none, and the mount pins the module. */
static const struct file_operations rings_fops = { };

/* An inode of the port's own, so that nobody else's mappings share it. */
static struct file *rings_file(struct extpager_target *own)
{
	struct inode *inode = new_inode(own->sb);
	struct file *file;

	if (!inode)
		return ERR_PTR(-ENOMEM);
	inode->i_ino = get_next_ino();
	inode->i_mode = S_IFREG | 0600;
	inode->i_flags |= S_PRIVATE;
	file = alloc_file_pseudo(inode, own->mnt, "extpager-rings", O_RDWR, &rings_fops);
	if (IS_ERR(file))
		iput(inode);
	return file;
}

static bool may_be_pager(void)
{
	return capable(CAP_SYS_ADMIN) || extpager_unprivileged_pagers ||
	       extpager_pager_uid_known(current_euid());
}

static const struct extpager_settings own_settings = {
	.uid		= GLOBAL_ROOT_UID,
	.gid		= GLOBAL_ROOT_GID,
	.mode		= 0600,
	.pager_uid	= INVALID_UID,
	.policy		= EXTPAGER_POLICY_HOLD,
	.quota		= 64 << 20,
	.timeout_ms	= { 10000, 30000, 30000, 60000 },
	.action		= EXTPAGER_ACTIONS_DEFAULT,
	.spill_limit	= LLONG_MAX,
	.grace_ms	= 300000,
};

static struct extpager_port *port_create(const struct extpager_setup *arg)
{
	u32 nr = arg->nr_queues ?: min_t(u32, num_online_cpus(), EXTPAGER_QUEUES_MAX);
	u32 entries = roundup_pow_of_two(arg->ring_entries ?: RING_ENTRIES_DEFAULT);
	struct extpager_settings settings = own_settings;
	struct extpager_port *port;
	int ret = -ENOMEM;

	port = kzalloc(sizeof(*port), GFP_KERNEL_ACCOUNT);
	if (!port)
		return ERR_PTR(-ENOMEM);
	refcount_set(&port->ref, 1);
	mutex_init(&port->lock);
	xa_init(&port->targets);
	xa_init_flags(&port->files, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	INIT_WORK(&port->free_work, port_free_work);
	init_waitqueue_head(&port->poll);
	INIT_WORK(&port->death_work, port_death_work);
	port->ring_entries = entries;
	port->queues = kvcalloc(nr, sizeof(*port->queues), GFP_KERNEL_ACCOUNT);
	if (!port->queues)
		goto err_put;
	while (port->nr_queues < nr) {
		ret = extpager_queue_init(&port->queues[port->nr_queues], port,
					  port->nr_queues, entries);
		if (ret)
			goto err_put;
		port->nr_queues++;
	}
	settings.uid = current_fsuid();
	settings.gid = current_fsgid();
	port->own = extpager_target_create(&settings, false);
	if (IS_ERR(port->own)) {
		ret = PTR_ERR(port->own);
		port->own = NULL;
		goto err_put;
	}
	extpager_target_publish(port->own);
	port->rings = rings_file(port->own);
	if (IS_ERR(port->rings)) {
		ret = PTR_ERR(port->rings);
		goto err_own;
	}
	ret = xa_alloc_cyclic(&ports, &port->id, port, XA_LIMIT(1, INT_MAX), &next_port,
			      GFP_KERNEL);
	if (ret < 0)
		goto err_rings;
	return port;

err_rings:
	fput(port->rings);
err_own:
	extpager_target_destroy(port->own);
err_put:
	extpager_port_put(port);
	return ERR_PTR(ret);
}

static void port_answer(const struct extpager_port *port, struct extpager_setup *arg)
{
	arg->features &= EXTPAGER_FEATURES_KNOWN;
	arg->nr_queues = port->nr_queues;
	arg->ring_entries = port->ring_entries;
	arg->out_page_size = PAGE_SIZE;
	arg->out_kernel_off = 0;
	arg->out_kernel_len = extpager_kernel_region_len(port->ring_entries);
	arg->out_user_off = arg->out_kernel_len;
	arg->out_user_len = extpager_user_region_len(port->ring_entries);
	arg->out_stride = arg->out_kernel_len + arg->out_user_len;
	arg->out_port = port->id;
}

/**
 * extpager_port_setup() - make the caller the pager of a port
 * @port: NULL, or a port whose pager is dead
 * @arg: the ioctl's argument, filled in
 *
 * Return: the port or an ERR_PTR.
 */
struct extpager_port *extpager_port_setup(struct extpager_port *port,
					  struct extpager_setup *arg)
{
	bool created = !port;
	unsigned int i;
	int ret;

	if (arg->flags)
		return ERR_PTR(-EOPNOTSUPP);
	if (arg->reserved || arg->nr_queues > EXTPAGER_QUEUES_MAX ||
	    arg->ring_entries > EXTPAGER_RING_MAX)
		return ERR_PTR(-EINVAL);
	if (arg->abi_version != EXTPAGER_ABI_VERSION)
		return ERR_PTR(-EPROTONOSUPPORT);
	if (!may_be_pager())
		return ERR_PTR(-EPERM);
	if (!port) {
		port = port_create(arg);
		if (IS_ERR(port))
			return port;
	}
	mutex_lock(&port->lock);
	ret = -EBUSY;
	if (READ_ONCE(port->alive))
		goto err_unlock;
	if (!created) {
		/* The predecessor's death may be known, but not dealt with yet. */
		port_orphan_all(port);
		for (i = 0; i < port->nr_queues; i++)
			extpager_queue_reset(&port->queues[i]);
	}
	ret = port_adopt(port);
	if (ret)
		goto err_unlock;
	ret = port_add_target(port, port->own);
	if (ret) {
		WRITE_ONCE(port->alive, false);
		goto err_unlock;
	}
	port_answer(port, arg);
	WRITE_ONCE(port->large, arg->features & EXTPAGER_FEATURE_LARGE);
	mutex_unlock(&port->lock);
	return port;

err_unlock:
	mutex_unlock(&port->lock);
	if (created)
		extpager_port_release(port);
	return ERR_PTR(ret);
}

/* The last fd of the port is closed: its unnamed objects end with it. */
void extpager_port_release(struct extpager_port *port)
{
	struct extpager_object *obj;

	WRITE_ONCE(port->alive, false);
	mutex_lock(&ports_lock);
	xa_erase(&ports, port->id);
	mutex_unlock(&ports_lock);
	mutex_lock(&port->lock);
	if (port->notifier_set)
		mmu_notifier_unregister(&port->notifier, port->mm);
	port->notifier_set = false;
	port_orphan_all(port);
	mutex_unlock(&port->lock);
	while ((obj = extpager_target_object(port->own))) {
		extpager_object_end(obj, true);
		iput(&obj->inode);
		/* A worker may be ending it, too. */
		cond_resched();
	}
	fput(port->rings);
	extpager_target_destroy(port->own);
	extpager_port_put(port);
}

/**
 * extpager_port_for_each() - look at the ports there are
 * @fn: called with the list locked; non-zero ends the walk
 * @cursor: in: id after which to begin; out: id at which it ended
 * @arg: for @fn
 */
int extpager_port_for_each(int (*fn)(struct extpager_port *port, void *arg),
			   unsigned long *cursor, void *arg)
{
	struct extpager_port *port;
	int ret = 0;

	mutex_lock(&ports_lock);
	while (!ret) {
		unsigned long next = *cursor;

		port = xa_find_after(&ports, &next, ULONG_MAX, XA_PRESENT);
		if (!port)
			break;
		ret = fn(port, arg);
		if (!ret)
			*cursor = next;
	}
	mutex_unlock(&ports_lock);
	return ret;
}

/* ---- what a pager does with its port ---- */

int extpager_port_create(struct extpager_port *port, struct extpager_object_create *arg,
			 struct file **filep)
{
	bool read_only = arg->flags & EXTPAGER_OBJECT_RDONLY;
	struct extpager_target *own = port->own;
	struct extpager_object *obj;
	struct file *file;

	if (!arg->bytes || arg->reserved)
		return -EINVAL;
	if (arg->flags & ~EXTPAGER_OBJECT_RDONLY)
		return -EOPNOTSUPP;
	if (READ_ONCE(own->nr_objects) >= PORT_OBJECTS_MAX)
		return -ENOSPC;
	obj = extpager_object_create(own, arg->bytes, read_only ? 0400 : 0600, read_only);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	file = extpager_object_file(obj, read_only ? O_RDONLY : O_RDWR);
	if (IS_ERR(file)) {
		extpager_object_end(obj, true);
	} else {
		arg->out_object = obj->id;
		*filep = file;
	}
	iput(&obj->inode);
	return PTR_ERR_OR_ZERO(file);
}

int extpager_port_mmap(struct extpager_port *port, struct vm_area_struct *vma)
{
	u64 kernel = extpager_kernel_region_len(port->ring_entries);
	u64 stride = kernel + extpager_user_region_len(port->ring_entries);
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 index = div64_u64(offset, stride);
	bool user;

	offset -= index * stride;
	user = offset == kernel;
	if (!extpager_port_is_caller(port))
		return -EPERM;
	if (index >= port->nr_queues || (offset && !user) || !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	vma_set_file(vma, port->rings);
	return extpager_queue_mmap(&port->queues[index], vma, user);
}
