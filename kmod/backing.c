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
#include <linux/magic.h>
#include <linux/memcontrol.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/wait_bit.h>

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
	put_cred(backing->cred);
	mem_cgroup_put(backing->memcg);
	kfree_rcu(backing, rcu);
}

/**
 * extpager_backing_check() - may these bytes be read?
 * @backing: where
 * @pos: first byte
 * @bytes: how many; up to the end of the last one's block is read
 *
 * Return: 0, -EINVAL: @pos is inside a block or beyond all files; -ERANGE: the
 * device ends before. A file may become longer.
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

/**
 * extpager_backing_pages() - how many pages of these are there?
 * @backing: where
 * @pos: first byte
 * @bytes: checked; of the last page, just those of the object
 *
 * A file that is made shorter from now on is found out by reading.
 */
unsigned int extpager_backing_pages(const struct extpager_backing *backing, u64 pos, u64 bytes)
{
	u64 size = backing->bdev ? pos + bytes : i_size_read(file_inode(backing->file));

	if (size >= pos + bytes)
		return DIV_ROUND_UP(bytes, PAGE_SIZE);
	return size > pos ? (size - pos) >> PAGE_SHIFT : 0;
}

static int check_file(struct file *file)
{
	umode_t mode = file_inode(file)->i_mode;

	if (!(file->f_mode & FMODE_READ))
		return -EBADF;
	if (!S_ISREG(mode) && !S_ISBLK(mode))
		return -EINVAL;
	/* Those of proc, sysfs, cgroup, debugfs and the like say what is so for who reads them. */
	if (!file->f_op->read_iter || file->f_mapping->a_ops == &empty_aops ||
	    (S_ISREG(mode) && (extpager_sb_restricted(file_inode(file)->i_sb) ||
			       file_inode(file)->i_sb->s_iflags & SB_I_NOEXEC)))
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
	INIT_LIST_HEAD(&backing->jobs[ITER_DEST].waiting);
	INIT_LIST_HEAD(&backing->jobs[ITER_SOURCE].waiting);
	if (S_ISBLK(file_inode(file)->i_mode))
		ret = use_device(backing);
	if (ret) {
		kfree(backing);
		return ERR_PTR(ret);
	}
	backing->cred = get_current_cred();
	if (file_inode(file)->i_sb->s_magic == TMPFS_MAGIC)
		backing->memcg = get_mem_cgroup_from_mm(current->mm);
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
	WRITE_ONCE(backing->gone, true);
	extpager_backing_put(backing);
	return true;
}

/* Waits until what the kernel writes by it is written: the pager has other plans. */
int extpager_backing_unregister(struct extpager_port *port, u32 file)
{
	struct extpager_backing *backing;
	bool found;
	int ret;

	backing = extpager_backing_get(port, file);
	if (!backing)
		return -ENOENT;
	mutex_lock(&port->lock);
	found = backing_remove(port, file);
	mutex_unlock(&port->lock);
	/* Pairs with extpager_backing_write_get(): it sees this, or this its write. */
	smp_mb();
	ret = found ? wait_var_event_killable(&backing->nr_writing,
					      !atomic_read(&backing->nr_writing)) : -ENOENT;
	extpager_backing_put(backing);
	return ret == -ERESTARTSYS ? -EINTR : ret;
}

/* port->lock held: the pager is gone. */
void extpager_backings_forget(struct extpager_port *port)
{
	struct extpager_backing *backing;
	unsigned long file;

	xa_for_each(&port->files, file, backing)
		backing_remove(port, file);
}

/* ---- writes ---- */

static bool may_write(const struct extpager_backing *backing)
{
	const struct file *file = backing->file;

	if (!(file->f_mode & FMODE_WRITE) || !file->f_op->write_iter ||
	    file->f_flags & O_APPEND || IS_SWAPFILE(file->f_mapping->host))
		return false;
	/* A page may change while it is written. */
	return !backing->bdev || !(bdev_read_only(backing->bdev) || bdev_is_zoned(backing->bdev) ||
				   bdev_stable_writes(backing->bdev));
}

/**
 * extpager_backing_write_get() - a file that the kernel is going to write to
 * @port: the pager's
 * @file: its name
 *
 * Return: to be given to extpager_backing_write_put(), which UNREGISTER waits for; NULL:
 * there is no such file, or it is not to be written so.
 */
struct extpager_backing *extpager_backing_write_get(struct extpager_port *port, u32 file)
{
	struct extpager_backing *backing = extpager_backing_get(port, file);

	if (!backing)
		return NULL;
	atomic_inc(&backing->nr_writing);
	/* Pairs with extpager_backing_unregister(). */
	smp_mb__after_atomic();
	if (!READ_ONCE(backing->gone) && may_write(backing))
		return backing;
	extpager_backing_write_put(backing);
	return NULL;
}

/* For one more write; the caller has one of its own. */
void extpager_backing_write_ref(struct extpager_backing *backing)
{
	atomic_inc(&backing->nr_writing);
	refcount_inc(&backing->ref);
}

void extpager_backing_write_put(struct extpager_backing *backing)
{
	if (atomic_dec_and_test(&backing->nr_writing))
		wake_up_var(&backing->nr_writing);
	extpager_backing_put(backing);
}

/* ---- work on regular files ---- */

/* So many jobs of a kind on one file at a time: if it hangs, so many threads do. */
#define FILE_JOBS_MAX	16

/**
 * extpager_file_job_begin() - have a regular file worked on
 * @backing: the file
 * @direction: ITER_DEST: it is read; ITER_SOURCE: written. Neither waits for the other.
 * @job: its @wq runs its @work, now or when it is its turn
 */
void extpager_file_job_begin(struct extpager_backing *backing, unsigned int direction,
			     struct extpager_file_job *job)
{
	spin_lock(&backing->lock);
	if (backing->jobs[direction].nr < FILE_JOBS_MAX) {
		backing->jobs[direction].nr++;
		queue_work(job->wq, &job->work);
	} else {
		list_add_tail(&job->node, &backing->jobs[direction].waiting);
	}
	spin_unlock(&backing->lock);
}

/* The next one takes the place. */
void extpager_file_job_ended(struct extpager_backing *backing, unsigned int direction)
{
	struct extpager_file_job *next;

	spin_lock(&backing->lock);
	next = list_first_entry_or_null(&backing->jobs[direction].waiting,
					struct extpager_file_job, node);
	if (next) {
		list_del(&next->node);
		queue_work(next->wq, &next->work);
	} else {
		backing->jobs[direction].nr--;
	}
	spin_unlock(&backing->lock);
}

/*
 * Past the cache of its file system go whole pages alone, and where it is known that a page
 * may change while it is written: others sum, compress or mirror what they are given.
 */
static bool write_directly(const struct file *file, u32 bytes)
{
	const struct super_block *sb = file_inode(file)->i_sb;

	return PAGE_ALIGNED(bytes) && !mapping_stable_writes(file->f_mapping) &&
	       (sb->s_magic == EXT4_SUPER_MAGIC || sb->s_magic == XFS_SUPER_MAGIC);
}

/**
 * extpager_file_io() - read or write a regular file
 * @backing: the file
 * @direction: ITER_DEST: read it; ITER_SOURCE: write
 * @pos: first byte in it
 * @vec: pages
 * @nr: so many vectors
 * @bytes: of all of them
 * @needed: of these, as many as there must be
 *
 * Context: a worker that nothing which the file system needs waits for.
 * Return: 0, or why fewer than @needed bytes were read or written.
 */
int extpager_file_io(const struct extpager_backing *backing, unsigned int direction, u64 pos,
		     struct bio_vec *vec, unsigned int nr, u32 bytes, u32 needed)
{
	/* It may be another's file; its pager does not get that one's privileges by it. */
	const struct cred *cred = override_creds(backing->cred);
	bool write = direction == ITER_SOURCE;
	struct mem_cgroup *memcg = write ? NULL : extpager_folio_payer(page_folio(vec->bv_page));
	/* Who dirtied pages must not fail, or be killed, for what makes his memory free. */
	struct mem_cgroup *old = set_active_memcg(write ? backing->memcg : memcg);
	struct file *file = backing->file;
	unsigned int noio = memalloc_noio_save();
	struct iov_iter iter;
	struct kiocb iocb;
	ssize_t ret = 0;
	u32 got = 0;

	/* What is dirty elsewhere, our own pages above all, is not to slow it down. */
	if (write)
		current->flags |= PF_LOCAL_THROTTLE;
	iov_iter_bvec(&iter, direction, vec, nr, bytes);
	init_sync_kiocb(&iocb, file);
	iocb.ki_pos = pos;
	/* O_APPEND may have been set since it was looked at. */
	if (write)
		iocb.ki_flags &= ~IOCB_APPEND;
	if (write && !write_directly(file, bytes))
		iocb.ki_flags &= ~IOCB_DIRECT;
	while (got < needed) {
		ret = write ? vfs_iocb_iter_write(file, &iocb, &iter) :
			      vfs_iocb_iter_read(file, &iocb, &iter);
		if (ret <= 0)
			break;
		got += ret;
	}
	if (write)
		current->flags &= ~PF_LOCAL_THROTTLE;
	memalloc_noio_restore(noio);
	set_active_memcg(old);
	mem_cgroup_put(memcg);
	revert_creds(cred);
	/* There are no bytes to make up. */
	return got >= needed ? 0 : ret < 0 ? ret : -EIO;
}
