// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/nowait gets a page of its caller without waiting, as KVM first tries to
 * for a vCPU: write() the page that is the buffer to read from, read() the one
 * to write to. Nothing is copied; the result is get_user_pages_unlocked()'s own.
 * ioctl(0) pins a page as drivers do that write to it for as long as they like, and
 * lets it go. ioctl(1) holds the lock against page-ins of a file until it is killed,
 * as a task that the scheduler has forgotten in the middle of a punch.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>

static bool locked;
module_param(locked, bool, 0444);
MODULE_PARM_DESC(locked, "whether an ioctl(1) holds its lock");

static ssize_t get_page_nowait(const char __user *address, unsigned int flags)
{
	struct page *page;
	ssize_t ret;

	ret = get_user_pages_unlocked((unsigned long)address, 1, &page, FOLL_NOWAIT | flags);
	if (ret == 1)
		put_page(page);
	return ret;
}

static ssize_t nowait_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	return get_page_nowait(from, 0);
}

static ssize_t nowait_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	return get_page_nowait(to, FOLL_WRITE);
}

static long hold_lock(int fd)
{
	struct file *file = fget(fd);

	if (!file)
		return -EBADF;
	filemap_invalidate_lock(file->f_mapping);
	locked = true;
	while (!fatal_signal_pending(current))
		schedule_timeout_killable(HZ);
	locked = false;
	filemap_invalidate_unlock(file->f_mapping);
	fput(file);
	return 0;
}

static long nowait_ioctl(struct file *file, unsigned int cmd, unsigned long address)
{
	struct page *page;
	int ret;

	if (cmd == 1)
		return hold_lock(address);
	ret = pin_user_pages_fast(address, 1, FOLL_WRITE | FOLL_LONGTERM, &page);
	if (ret == 1)
		unpin_user_page(page);
	return ret;
}

static const struct file_operations nowait_fops = {
	.owner = THIS_MODULE,
	.read = nowait_read,
	.write = nowait_write,
	.unlocked_ioctl = nowait_ioctl,
};

static struct miscdevice nowait = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "nowait",
	.fops = &nowait_fops,
};
module_misc_device(nowait);
MODULE_DESCRIPTION("Faults that must not wait, for a test of extpager");
MODULE_LICENSE("GPL");
