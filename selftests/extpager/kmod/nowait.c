// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/nowait gets a page of its caller without waiting, as KVM first tries to
 * for a vCPU: write() the page that is the buffer to read from, read() the one
 * to write to. Nothing is copied; the result is get_user_pages_unlocked()'s own.
 * Any ioctl() pins a page as drivers do that write to it for as long as they like,
 * and lets it go.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>

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

static long nowait_ioctl(struct file *file, unsigned int cmd, unsigned long address)
{
	struct page *page;
	int ret;

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
