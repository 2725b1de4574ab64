// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving bytes between a folio and a pager's buffer. Folios are copied with
 * page faults off: a fault of the pager could need this very pager.
 */
#include <linux/highmem.h>
#include <linux/uaccess.h>

#include "extpager.h"

/* The folio's page at @offset; @len: up to PAGE_SIZE. Returns the bytes that are missing. */
static unsigned long copy_page_in(struct folio *folio, size_t offset, const void __user *buf,
				  size_t len)
{
	void *kaddr = kmap_local_folio(folio, offset);
	unsigned long missing;

	pagefault_disable();
	/* A constant size needs no check of the object it is copied to. */
	if (likely(len == PAGE_SIZE))
		missing = __copy_from_user_inatomic(kaddr, buf, PAGE_SIZE);
	else
		missing = __copy_from_user_inatomic(kaddr, buf, len);
	pagefault_enable();
	kunmap_local(kaddr);
	return missing;
}

/**
 * extpager_copy_in() - fill a folio that nobody else can see or has unlocked
 * @obj: its object; what lies beyond its size is zeroed
 * @folio: of any size, locked
 * @index: its place in the object
 * @buf: the pager's buffer, NULL for zeros
 *
 * Return: 0, or -EAGAIN: fault the buffer in and try again.
 */
int extpager_copy_in(struct extpager_object *obj, struct folio *folio, pgoff_t index,
		     const void __user *buf)
{
	loff_t left = i_size_read(&obj->inode) - ((loff_t)index << PAGE_SHIFT);
	size_t len = left < (loff_t)folio_size(folio) ? max_t(loff_t, left, 0) : folio_size(folio);
	size_t done = 0;

	if (!buf) {
		folio_zero_range(folio, 0, folio_size(folio));
		return 0;
	}
	if (!access_ok(buf, len))
		return -EAGAIN;
	do {
		if (copy_page_in(folio, done, buf + done, min(len - done, PAGE_SIZE)))
			return -EAGAIN;
		done += PAGE_SIZE;
	} while (done < len);
	if (len < folio_size(folio))
		folio_zero_range(folio, len, folio_size(folio) - len);
	flush_dcache_folio(folio);
	return 0;
}

/**
 * extpager_copy_out() - read a folio that is under write-back
 * @folio: order 0
 * @offset: first byte
 * @buf: the pager's buffer
 * @len: bytes
 *
 * Return: 0, or -EAGAIN: fault the buffer in and try again.
 */
int extpager_copy_out(struct folio *folio, size_t offset, void __user *buf, size_t len)
{
	unsigned long missing;
	void *kaddr;

	if (!access_ok(buf, len))
		return -EAGAIN;
	kaddr = kmap_local_folio(folio, 0);
	pagefault_disable();
	missing = __copy_to_user_inatomic(buf, kaddr + offset, len);
	pagefault_enable();
	kunmap_local(kaddr);
	return missing ? -EAGAIN : 0;
}
