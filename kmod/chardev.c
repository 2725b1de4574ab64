// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/extpager: one node for pagers and clients. It becomes a port by SETUP;
 * else what is done with it is done with the target `default`, through an
 * inner file opened at the first such use. A region, not a miscdevice: no
 * global lock is held across an open that may wait.
 */
#include <linux/cdev.h>
#include <linux/cred.h>
#include <linux/device.h>
#include <linux/fadvise.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/uaccess.h>

#include "extpager.h"

#define DEFAULT_TARGET	"default"

static dev_t device_number;
static struct cdev device_cdev;
static struct class *device_class;

/* ---- opening objects ---- */

/* As a file's permission check at open. */
static int may_open_object(struct extpager_object *obj, int flags)
{
	int mask = 0;

	if ((flags & O_ACCMODE) != O_WRONLY)
		mask |= MAY_READ;
	if ((flags & O_ACCMODE) != O_RDONLY)
		mask |= MAY_WRITE;
	return inode_permission(&nop_mnt_idmap, &obj->inode, mask);
}

static struct file *open_target(const char *name, int flags)
{
	struct extpager_target *t = extpager_target_find(name);
	struct extpager_object *obj;
	struct file *file;
	int ret;

	if (!t)
		return ERR_PTR(-ENOENT);
	obj = extpager_target_object(t);
	file = ERR_PTR(-ESHUTDOWN);
	if (obj && !READ_ONCE(t->draining)) {
		ret = may_open_object(obj, flags);
		file = ret ? ERR_PTR(ret) : extpager_object_file(obj, flags);
	}
	if (obj)
		iput(&obj->inode);
	extpager_target_put(t);
	return file;
}

/* Modes say nothing to its pager, which has all the content anyway. */
static struct file *open_served_object(struct extpager_port *port, u64 id, int flags)
{
	struct extpager_target *t = extpager_port_target(port, id);
	struct extpager_object *obj;
	struct file *file;

	if (!t)
		return ERR_PTR(-ENOENT);
	obj = extpager_object_find(t, id);
	file = ERR_PTR(-ENOENT);
	if (obj) {
		file = READ_ONCE(t->draining) ? ERR_PTR(-ESHUTDOWN) :
						extpager_object_file(obj, flags);
		iput(&obj->inode);
	}
	extpager_target_put(t);
	return file;
}

/* ---- the client's side: forwarded to `default` ---- */

/* One inner file an open, so that errors are reported once and advice is its own. */
static struct file *handle_inner(struct file *file)
{
	struct extpager_handle *h = file->private_data;
	struct file *inner = READ_ONCE(h->inner);
	const struct cred *cred;

	if (inner)
		return inner;
	if (READ_ONCE(h->port))
		return ERR_PTR(-EINVAL);
	/*
	 * By the rights of who opened the node, not of who uses the fd first.
	 * mmap_lock may be held: the first touch waits for the pager, not this.
	 */
	cred = override_creds(file->f_cred);
	inner = open_target(DEFAULT_TARGET, (file->f_flags & (O_ACCMODE | O_NOATIME | O_LARGEFILE |
							      O_APPEND)) | O_NONBLOCK);
	revert_creds(cred);
	if (IS_ERR(inner))
		return PTR_ERR(inner) == -ENOENT ? ERR_PTR(-ENXIO) : inner;
	spin_lock(&inner->f_lock);
	inner->f_flags &= ~O_NONBLOCK;
	spin_unlock(&inner->f_lock);
	if (h->wb_err_set)
		inner->f_wb_err = h->wb_err;
	if (cmpxchg(&h->inner, NULL, inner)) {
		fput(inner);
		inner = READ_ONCE(h->inner);
	}
	return inner;
}

/* The I/O never goes on after the call, so the caller's kiocb can be lent. */
static ssize_t dev_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *file = iocb->ki_filp, *inner = handle_inner(file);
	ssize_t ret;

	if (IS_ERR(inner))
		return PTR_ERR(inner);
	iocb->ki_filp = inner;
	ret = inner->f_op->read_iter(iocb, to);
	iocb->ki_filp = file;
	return ret;
}

static ssize_t dev_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct file *file = iocb->ki_filp, *inner = handle_inner(file);
	ssize_t ret;

	if (IS_ERR(inner))
		return PTR_ERR(inner);
	iocb->ki_filp = inner;
	ret = inner->f_op->write_iter(iocb, from);
	iocb->ki_filp = file;
	return ret;
}

static ssize_t dev_splice_read(struct file *file, loff_t *ppos, struct pipe_inode_info *pipe,
			       size_t len, unsigned int flags)
{
	struct file *inner = handle_inner(file);

	return IS_ERR(inner) ? PTR_ERR(inner) :
	       inner->f_op->splice_read(inner, ppos, pipe, len, flags);
}

static loff_t dev_llseek(struct file *file, loff_t offset, int whence)
{
	struct file *inner = handle_inner(file);
	loff_t size;

	if (IS_ERR(inner))
		return PTR_ERR(inner);
	size = i_size_read(inner->f_mapping->host);
	return generic_file_llseek_size(file, offset, whence, size, size);
}

static int dev_fsync(struct file *file, loff_t start, loff_t end, int datasync)
{
	struct file *inner = handle_inner(file);

	return IS_ERR(inner) ? PTR_ERR(inner) : vfs_fsync_range(inner, start, end, datasync);
}

static int dev_fadvise(struct file *file, loff_t offset, loff_t len, int advice)
{
	struct file *inner = handle_inner(file);

	return IS_ERR(inner) ? PTR_ERR(inner) : vfs_fadvise(inner, offset, len, advice);
}

static int dev_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct extpager_handle *h = file->private_data;
	struct extpager_port *port = READ_ONCE(h->port);
	struct file *inner;

	if (port)
		return extpager_port_mmap(port, vma);
	inner = handle_inner(file);
	if (IS_ERR(inner))
		return PTR_ERR(inner);
	vma_set_file(vma, inner);
	return inner->f_op->mmap(inner, vma);
}

/* ---- ioctls ---- */

union ioctl_arg {
	struct extpager_setup setup;
	struct extpager_enter enter;
	struct extpager_attach attach;
	struct extpager_detach detach;
	struct extpager_object_create create;
	struct extpager_open open;
	struct extpager_wake wake;
	struct extpager_failures failures;
	struct extpager_register reg;
	struct extpager_unregister unreg;
	struct extpager_delegate delegate;
	struct extpager_accept accept;
};

static long ioctl_setup(struct file *file, union ioctl_arg *arg, struct file **newfile)
{
	struct extpager_handle *h = file->private_data;
	struct extpager_port *port;
	long ret = 0;

	if (mutex_lock_killable(&h->lock))
		return -EINTR;
	if (READ_ONCE(h->inner)) {
		ret = -EBUSY;
	} else {
		port = extpager_port_setup(h->port, &arg->setup);
		if (IS_ERR(port))
			ret = PTR_ERR(port);
		else
			WRITE_ONCE(h->port, port);
	}
	mutex_unlock(&h->lock);
	return ret;
}

/* The caller's port, or why it is not one. */
static struct extpager_port *ioctl_port(struct file *file)
{
	struct extpager_handle *h = file->private_data;
	struct extpager_port *port = READ_ONCE(h->port);

	if (!port)
		return ERR_PTR(-ENOTTY);
	if (!READ_ONCE(port->alive))
		return ERR_PTR(-ESHUTDOWN);
	return READ_ONCE(port->mm) == current->mm ? port : ERR_PTR(-EPERM);
}

static long ioctl_enter(struct file *file, union ioctl_arg *arg, struct file **newfile)
{
	struct extpager_port *port = ioctl_port(file);
	struct extpager_enter *enter = &arg->enter;

	if (IS_ERR(port))
		return PTR_ERR(port);
	if (enter->queue >= port->nr_queues)
		return -EINVAL;
	return extpager_queue_enter(&port->queues[array_index_nospec(enter->queue,
								     port->nr_queues)], enter);
}

static long ioctl_attach(struct file *file, union ioctl_arg *arg, struct file **newfile)
{
	struct extpager_port *port = ioctl_port(file);

	if (IS_ERR(port))
		return PTR_ERR(port);
	if (arg->attach.flags)
		return -EOPNOTSUPP;
	return extpager_port_attach(port, &arg->attach);
}

static long ioctl_detach(struct file *file, union ioctl_arg *arg, struct file **newfile)
{
	struct extpager_port *port = ioctl_port(file);

	if (IS_ERR(port))
		return PTR_ERR(port);
	if (arg->detach.flags)
		return -EOPNOTSUPP;
	return extpager_port_detach(port, arg->detach.object);
}

static long ioctl_create(struct file *file, union ioctl_arg *arg, struct file **newfile)
{
	struct extpager_port *port = ioctl_port(file);

	if (IS_ERR(port))
		return PTR_ERR(port);
	return extpager_port_create(port, &arg->create, newfile);
}

static long ioctl_wake(struct file *file, union ioctl_arg *arg, struct file **newfile)
{
	struct extpager_port *port = ioctl_port(file);
	unsigned int i;

	if (IS_ERR(port))
		return PTR_ERR(port);
	if (arg->wake.flags)
		return -EOPNOTSUPP;
	for (i = 0; i < port->nr_queues; i++)
		extpager_queue_kick(&port->queues[i]);
	return 0;
}

static long ioctl_register(struct file *file, union ioctl_arg *arg, struct file **newfile)
{
	struct extpager_port *port = ioctl_port(file);

	if (IS_ERR(port))
		return PTR_ERR(port);
	if (arg->reg.flags)
		return -EOPNOTSUPP;
	return arg->reg.reserved ? -EINVAL : extpager_backing_register(port, &arg->reg);
}

static long ioctl_unregister(struct file *file, union ioctl_arg *arg, struct file **newfile)
{
	struct extpager_port *port = ioctl_port(file);

	if (IS_ERR(port))
		return PTR_ERR(port);
	if (arg->unreg.flags)
		return -EOPNOTSUPP;
	return arg->unreg.reserved ? -EINVAL :
	       extpager_backing_unregister(port, arg->unreg.file);
}

static long ioctl_delegate(struct file *file, union ioctl_arg *arg, struct file **newfile)
{
	struct extpager_port *port = ioctl_port(file);

	return IS_ERR(port) ? PTR_ERR(port) : extpager_delegate(port, &arg->delegate);
}

static long ioctl_failures(struct file *file, union ioctl_arg *arg, struct file **newfile)
{
	struct extpager_handle *h = file->private_data;
	struct extpager_port *port;
	struct extpager_object *obj;
	struct extpager_target *t;
	struct file *inner;
	long ret = -ENOENT;

	if (!READ_ONCE(h->port)) {
		inner = arg->failures.object ? ERR_PTR(-EINVAL) : handle_inner(file);
		return IS_ERR(inner) ? PTR_ERR(inner) :
		       extpager_failures_get(extpager_file_object(inner), &arg->failures);
	}
	port = ioctl_port(file);
	if (IS_ERR(port))
		return PTR_ERR(port);
	t = extpager_port_target(port, arg->failures.object);
	if (!t)
		return -ENOENT;
	obj = extpager_object_find(t, arg->failures.object);
	if (obj) {
		ret = extpager_failures_get(obj, &arg->failures);
		iput(&obj->inode);
	}
	extpager_target_put(t);
	return ret;
}

static long ioctl_accept(struct file *file, union ioctl_arg *arg, struct file **newfile)
{
	struct file *inner = handle_inner(file);

	return IS_ERR(inner) ? PTR_ERR(inner) :
	       extpager_accept(extpager_file_object(inner), &arg->accept);
}

#define OPEN_FLAGS	(O_ACCMODE | O_NONBLOCK | O_CLOEXEC | O_LARGEFILE | O_APPEND |	\
			 O_DSYNC | __O_SYNC | O_NOATIME)

static long ioctl_open(struct file *file, union ioctl_arg *arg, struct file **newfile)
{
	struct extpager_open *open = &arg->open;
	struct extpager_port *port = NULL;

	if (open->reserved || (open->flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if (open->flags & ~OPEN_FLAGS)
		return -EOPNOTSUPP;
	if (strnlen(open->name, sizeof(open->name)) == sizeof(open->name))
		return -EINVAL;
	if (open->object) {
		port = ioctl_port(file);
		if (IS_ERR(port))
			return PTR_ERR(port);
		*newfile = open_served_object(port, open->object, open->flags);
	} else {
		*newfile = open_target(open->name, open->flags | O_LARGEFILE);
	}
	return PTR_ERR_OR_ZERO(*newfile);
}

/*
 * @fd: offset of the out_fd that a @newfile goes to, 0 if there is none.
 * Every struct grows at its end only; @size is that of ABI version 1.
 */
static const struct ioctl_op {
	unsigned int cmd;
	unsigned int size;
	unsigned int fd;
	bool answers;
	long (*fn)(struct file *file, union ioctl_arg *arg, struct file **newfile);
} ioctl_ops[] = {
#define IOCTL_OP(_cmd, _type, _fd, _answers, _fn)			\
	[_IOC_NR(_cmd)] = {						\
		.cmd = _cmd, .size = sizeof(struct _type), .fd = _fd,	\
		.answers = _answers, .fn = _fn,				\
	}
	IOCTL_OP(EXTPAGER_IOC_SETUP, extpager_setup, 0, true, ioctl_setup),
	IOCTL_OP(EXTPAGER_IOC_ENTER, extpager_enter, 0, false, ioctl_enter),
	IOCTL_OP(EXTPAGER_IOC_ATTACH, extpager_attach, 0, true, ioctl_attach),
	IOCTL_OP(EXTPAGER_IOC_DETACH, extpager_detach, 0, false, ioctl_detach),
	IOCTL_OP(EXTPAGER_IOC_OBJECT_CREATE, extpager_object_create,
		 offsetof(struct extpager_object_create, out_fd), true, ioctl_create),
	IOCTL_OP(EXTPAGER_IOC_OPEN, extpager_open,
		 offsetof(struct extpager_open, out_fd), true, ioctl_open),
	IOCTL_OP(EXTPAGER_IOC_WAKE, extpager_wake, 0, false, ioctl_wake),
	IOCTL_OP(EXTPAGER_IOC_FAILURES, extpager_failures, 0, true, ioctl_failures),
	IOCTL_OP(EXTPAGER_IOC_REGISTER, extpager_register, 0, true, ioctl_register),
	IOCTL_OP(EXTPAGER_IOC_UNREGISTER, extpager_unregister, 0, false, ioctl_unregister),
	IOCTL_OP(EXTPAGER_IOC_DELEGATE, extpager_delegate, 0, false, ioctl_delegate),
	IOCTL_OP(EXTPAGER_IOC_ACCEPT, extpager_accept, 0, false, ioctl_accept),
};

static const struct ioctl_op *ioctl_find(unsigned int cmd)
{
	unsigned int nr = _IOC_NR(cmd);

	if (_IOC_TYPE(cmd) != EXTPAGER_IOC_MAGIC || nr >= ARRAY_SIZE(ioctl_ops))
		return NULL;
	nr = array_index_nospec(nr, ARRAY_SIZE(ioctl_ops));
	/* The size in @cmd is the caller's struct, which may be another version's. */
	return _IOC_DIR(cmd) == _IOC_DIR(ioctl_ops[nr].cmd) ? &ioctl_ops[nr] : NULL;
}

/* In @arg the caller's struct of @known bytes, its first ABI's size; 0 or an errno. */
long extpager_copy_arg(void *arg, const void __user *uarg, u32 known)
{
	u32 size;

	if (get_user(size, (const u32 __user *)uarg))
		return -EFAULT;
	if (size < known)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(arg, known, uarg, size);
}

static long do_ioctl(struct file *file, unsigned int cmd, unsigned long param)
{
	const struct ioctl_op *op = ioctl_find(cmd);
	void __user *uarg = (void __user *)param;
	struct file *newfile = NULL;
	union ioctl_arg arg;
	int fd = -1;
	long ret;

	if (!op)
		return -ENOTTY;
	/* The busiest call: a constant size is copied faster. */
	if (cmd == EXTPAGER_IOC_ENTER && !copy_from_user(&arg.enter, uarg, sizeof(arg.enter)) &&
	    arg.enter.size == sizeof(arg.enter))
		return ioctl_enter(file, &arg, &newfile);
	ret = extpager_copy_arg(&arg, uarg, op->size);
	if (ret)
		return ret;
	if (op->fd) {
		fd = get_unused_fd_flags(O_CLOEXEC);
		if (fd < 0)
			return fd;
	}
	ret = op->fn(file, &arg, &newfile);
	if (IS_ERR(newfile))
		newfile = NULL;
	if (newfile)
		*(s32 *)((void *)&arg + op->fd) = fd;
	if (ret >= 0 && op->answers && copy_to_user(uarg, &arg, op->size)) {
		/* Nobody could name it: an object ends, a target is detached, a file forgotten. */
		if (op->fn == ioctl_create)
			extpager_object_destroy(extpager_file_object(newfile), true);
		if (op->fn == ioctl_attach)
			extpager_port_detach(ioctl_port(file), arg.attach.out_object);
		if (op->fn == ioctl_register)
			extpager_backing_unregister(ioctl_port(file), arg.reg.out_file);
		ret = -EFAULT;
	}
	if (newfile && ret >= 0) {
		fd_install(fd, newfile);
	} else {
		if (newfile)
			fput(newfile);
		if (fd >= 0)
			put_unused_fd(fd);
	}
	return ret;
}

static long dev_ioctl(struct file *file, unsigned int cmd, unsigned long param)
{
	return extpager_call_ends(EXTPAGER_CALL_IOCTL, do_ioctl(file, cmd, param));
}

/* ---- the node ---- */

static int dev_open(struct inode *inode, struct file *file)
{
	struct extpager_handle *h = kzalloc(sizeof(*h), GFP_KERNEL_ACCOUNT);
	struct extpager_object *obj = NULL;
	struct extpager_target *t;

	if (!h)
		return -ENOMEM;
	mutex_init(&h->lock);
	/* An error between now and the first use is this open's to report. */
	t = extpager_target_find(DEFAULT_TARGET);
	if (t)
		obj = extpager_target_object(t);
	if (obj) {
		h->wb_err = filemap_sample_wb_err(obj->inode.i_mapping);
		h->wb_err_set = true;
		iput(&obj->inode);
	}
	if (t)
		extpager_target_put(t);
	file->private_data = h;
	file->f_mode |= FMODE_NOWAIT | FMODE_ATOMIC_POS;
	return 0;
}

static int dev_release(struct inode *inode, struct file *file)
{
	struct extpager_handle *h = file->private_data;

	if (h->port)
		extpager_port_release(h->port);
	if (h->inner)
		fput(h->inner);
	kfree(h);
	return 0;
}

static __poll_t dev_poll(struct file *file, poll_table *wait)
{
	struct extpager_handle *h = file->private_data;
	struct extpager_port *port = READ_ONCE(h->port);
	__poll_t mask = 0;
	unsigned int i;

	if (!port)
		return DEFAULT_POLLMASK;
	poll_wait(file, &port->poll, wait);
	if (!READ_ONCE(port->alive))
		return EPOLLHUP | EPOLLIN;
	for (i = 0; i < port->nr_queues; i++)
		if (extpager_queue_readable(&port->queues[i]))
			mask = EPOLLIN | EPOLLRDNORM;
	return mask;
}

static const struct file_operations dev_fops = {
	.owner		= THIS_MODULE,
	.open		= dev_open,
	.release	= dev_release,
	.unlocked_ioctl	= dev_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.poll		= dev_poll,
	.mmap		= dev_mmap,
	.llseek		= dev_llseek,
	.read_iter	= dev_read_iter,
	.write_iter	= dev_write_iter,
	.splice_read	= dev_splice_read,
	.splice_write	= iter_file_splice_write,
	.fsync		= dev_fsync,
	.fadvise	= dev_fadvise,
};

static char *device_devnode(EXTPAGER_DEVNODE_ARGS)
{
	/* Targets have owners and modes of their own. */
	if (mode)
		*mode = 0666;
	return NULL;
}

int extpager_chardev_init(void)
{
	struct device *dev;
	int ret;

	ret = alloc_chrdev_region(&device_number, 0, 1, "extpager");
	if (ret)
		return ret;
	cdev_init(&device_cdev, &dev_fops);
	device_cdev.owner = THIS_MODULE;
	device_class = extpager_class_create("extpager");
	if (IS_ERR(device_class)) {
		ret = PTR_ERR(device_class);
		goto err_region;
	}
	device_class->devnode = device_devnode;
	ret = cdev_add(&device_cdev, device_number, 1);
	if (ret)
		goto err_class;
	dev = device_create_with_groups(device_class, NULL, device_number, NULL,
					extpager_device_groups, "extpager");
	if (IS_ERR(dev)) {
		ret = PTR_ERR(dev);
		goto err_cdev;
	}
	return 0;

err_cdev:
	cdev_del(&device_cdev);
err_class:
	class_destroy(device_class);
err_region:
	unregister_chrdev_region(device_number, 1);
	return ret;
}

void extpager_chardev_exit(void)
{
	device_destroy(device_class, device_number);
	cdev_del(&device_cdev);
	class_destroy(device_class);
	unregister_chrdev_region(device_number, 1);
}
