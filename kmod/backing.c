// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files that a pager has registered: where content lies ready, so that the
 * kernel can move it by itself. They end with the pager; what is being read
 * keeps its file a little longer.
 */
#include <linux/blkdev.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/slab.h>

#include "extpager.h"

struct extpager_backing *extpager_backing_get(struct extpager_port *port, u32 file)
{
	struct extpager_backing *backing;

	rcu_read_lock();
	backing = xa_load(&port->files, file);
	if (backing && !refcount_inc_not_zero(&backing->ref))
		backing = NULL;
	rcu_read_unlock();
	return backing;
}

void extpager_backing_put(struct extpager_backing *backing)
{
	if (!refcount_dec_and_test(&backing->ref))
		return;
	fput(backing->file);
	kfree_rcu(backing, rcu);
}

/**
 * extpager_backing_check() - may these bytes be read?
 * @backing: where
 * @pos: first byte
 * @bytes: how many; up to the end of the last one's block is read
 *
 * Return: 0, -EINVAL: @pos is inside a block or beyond all files; -ERANGE: the
 * device ends before. A file's end is found by reading.
 */
int extpager_backing_check(const struct extpager_backing *backing, u64 pos, u64 bytes)
{
	u64 end;

	if (!IS_ALIGNED(pos, backing->align) ||
	    check_add_overflow(pos, round_up(bytes, backing->align), &end) || end > LLONG_MAX)
		return -EINVAL;
	if (backing->bdev && end > bdev_nr_bytes(backing->bdev))
		return -ERANGE;
	return 0;
}

static int check_file(struct file *file)
{
	umode_t mode = file_inode(file)->i_mode;

	if (!(file->f_mode & FMODE_READ))
		return -EBADF;
	if (!S_ISREG(mode) && !S_ISBLK(mode))
		return -EINVAL;
	/* Those of proc and sysfs say what is so for who reads them. */
	if (!file->f_op->read_iter ||
	    (S_ISREG(mode) && file_inode(file)->i_sb->s_iflags & SB_I_USERNS_VISIBLE))
		return -EOPNOTSUPP;
	/* Stacked on each other they would wait for pagers in a worker. */
	if (file->f_mapping->a_ops == &extpager_aops ||
	    (S_ISREG(mode) && file_inode(file)->i_sb->s_stack_depth))
		return -ELOOP;
	/* Each has threads of the kernel's. */
	if (S_ISREG(mode) && !capable(CAP_SYS_ADMIN) &&
	    !extpager_pager_uid_known(current_euid()))
		return -EPERM;
	return 0;
}

/* What others have in the device's page cache is to be seen by who passes it by. */
static int use_device(struct extpager_backing *backing)
{
	struct block_device *bdev = I_BDEV(backing->file->f_mapping->host);

	backing->bdev = bdev;
	backing->align = bdev_logical_block_size(bdev);
	if (backing->align > PAGE_SIZE)
		return -EOPNOTSUPP;
	if (sync_blockdev(bdev))
		return -EIO;
	invalidate_bdev(bdev);
	return 0;
}

static struct extpager_backing *backing_create(struct file *file)
{
	struct extpager_backing *backing;
	int ret = check_file(file);

	if (ret)
		return ERR_PTR(ret);
	backing = kzalloc(sizeof(*backing), GFP_KERNEL_ACCOUNT);
	if (!backing)
		return ERR_PTR(-ENOMEM);
	refcount_set(&backing->ref, 1);
	backing->file = file;
	backing->align = 1;
	spin_lock_init(&backing->lock);
	INIT_LIST_HEAD(&backing->waiting);
	if (S_ISBLK(file_inode(file)->i_mode))
		ret = use_device(backing);
	if (ret) {
		kfree(backing);
		return ERR_PTR(ret);
	}
	return backing;
}

/* port->lock held. */
static int backing_insert(struct extpager_port *port, struct extpager_backing *backing, u32 *id)
{
	int ret;

	if (!READ_ONCE(port->alive))
		return -ESHUTDOWN;
	if (port->nr_files == EXTPAGER_FILES_MAX)
		return -ENOSPC;
	if (!backing->bdev && !port->files_wq) {
		/* Of the port alone: a file that hangs keeps nobody else's from being read. */
		port->files_wq = alloc_workqueue("extpager_files/%u", WQ_MEM_RECLAIM | WQ_UNBOUND,
						 0, port->id);
		if (!port->files_wq)
			return -ENOMEM;
	}
	ret = xa_alloc_cyclic(&port->files, id, backing, XA_LIMIT(1, U32_MAX), &port->next_file,
			      GFP_KERNEL_ACCOUNT);
	if (ret < 0)
		return ret;
	port->nr_files++;
	return 0;
}

int extpager_backing_register(struct extpager_port *port, struct extpager_register *arg)
{
	struct extpager_backing *backing;
	struct file *file = fget(arg->fd);
	int ret;

	if (!file)
		return -EBADF;
	backing = backing_create(file);
	if (IS_ERR(backing)) {
		fput(file);
		return PTR_ERR(backing);
	}
	arg->out_align = backing->align;
	mutex_lock(&port->lock);
	ret = backing_insert(port, backing, &arg->out_file);
	mutex_unlock(&port->lock);
	if (ret)
		extpager_backing_put(backing);
	return ret;
}

/* port->lock held. */
static bool backing_remove(struct extpager_port *port, u32 file)
{
	struct extpager_backing *backing = xa_erase(&port->files, file);

	if (!backing)
		return false;
	port->nr_files--;
	extpager_backing_put(backing);
	return true;
}

int extpager_backing_unregister(struct extpager_port *port, u32 file)
{
	bool found;

	mutex_lock(&port->lock);
	found = backing_remove(port, file);
	mutex_unlock(&port->lock);
	return found ? 0 : -ENOENT;
}

/* port->lock held: the pager is gone. */
void extpager_backings_forget(struct extpager_port *port)
{
	struct extpager_backing *backing;
	unsigned long file;

	xa_for_each(&port->files, file, backing)
		backing_remove(port, file);
}
