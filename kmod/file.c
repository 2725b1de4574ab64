// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of objects: what open, read, write, mmap, fsync and fallocate do, for
 * fds and for paths alike. The object is always found through f_mapping; the
 * file's own inode may be one of the path file system.
 */
#include <linux/fs.h>
#include <linux/falloc.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/uio.h>

#include "extpager.h"

/* A write takes the inode lock anew after this much; a read looks ahead this far. */
#define WRITE_CHUNK	SZ_1M
#define READ_PAGES	256
/* Longest zeroed range in one request; its pages are counted in 32 bits. */
#define ZERO_CHUNK	((loff_t)SZ_1G << 10)

/* ---- open ---- */

static int object_open(struct inode *inode, struct file *file)
{
	struct extpager_object *obj = extpager_file_object(file);
	int ret;

	if (obj->read_only && file->f_mode & FMODE_WRITE)
		return -EROFS;
	if (READ_ONCE(obj->state) == EXTPAGER_OBJECT_GONE)
		return -ENODEV;
	file->f_mode |= FMODE_NOWAIT;
	ret = extpager_object_opened(obj);
	/* What a pager made is used at the first touch, which also waits. */
	if (!ret && obj->target->named) {
		extpager_object_use(obj);
		if (!(file->f_flags & O_NONBLOCK))
			ret = extpager_object_wait_ready(obj);
	}
	if (ret)
		extpager_object_closed(obj);
	return ret;
}

static int object_release(struct inode *inode, struct file *file)
{
	extpager_object_closed(extpager_file_object(file));
	return 0;
}

static loff_t object_llseek(struct file *file, loff_t offset, int whence)
{
	loff_t size = i_size_read(file->f_mapping->host);

	return generic_file_llseek_size(file, offset, whence, size, size);
}

/* ---- mmap ---- */

static const struct vm_operations_struct object_vm_ops = {
	.fault		= extpager_fault,
	.map_pages	= extpager_map_pages,
	.page_mkwrite	= extpager_page_mkwrite,
};

static int object_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct extpager_object *obj = extpager_file_object(file);

	if (READ_ONCE(obj->state) == EXTPAGER_OBJECT_GONE)
		return -ENODEV;
	if (!extpager_may_map(obj))
		return -EPERM;
	/* mmap_lock is held: the first touch waits, not this. */
	extpager_object_use(obj);
	file_accessed(file);
	vma->vm_ops = &object_vm_ops;
	return 0;
}

/* ---- read ---- */

/* How many bytes from @pos on are here, counting at most @len. */
static size_t bytes_here(struct address_space *mapping, loff_t pos, size_t len)
{
	XA_STATE(xas, &mapping->i_pages, pos >> PAGE_SHIFT);
	pgoff_t last = (pos + len - 1) >> PAGE_SHIFT;
	struct folio *folio;
	pgoff_t n = 0;

	rcu_read_lock();
	folio = xas_load(&xas);
	/* In the midst of a large one it has gone back to the first entry. */
	xas_advance(&xas, pos >> PAGE_SHIFT);
	for (; xas.xa_index <= last && n < READ_PAGES; folio = xas_next(&xas)) {
		/* What follows a large folio's first entry is the same folio. */
		if (!xa_is_sibling(folio) &&
		    (!folio || xas_retry(&xas, folio) || xa_is_value(folio) ||
		     !extpager_peek_uptodate(folio)))
			break;
		n++;
	}
	rcu_read_unlock();
	if (!n)
		return 0;
	return min_t(u64, len, ((u64)n << PAGE_SHIFT) - offset_in_page(pos));
}

/* And how many that need no pager; of what the spill has the generic functions take care. */
static size_t bytes_delegated(struct extpager_object *obj, loff_t pos, size_t len)
{
	pgoff_t n = clamp_t(pgoff_t, extpager_delegated_pages(obj, pos >> PAGE_SHIFT, false),
			    1, READ_PAGES);

	return min_t(u64, len, ((u64)n << PAGE_SHIFT) - offset_in_page(pos));
}

/* Have the page at @pos brought in; returns how much may be read without waiting for a pager. */
static ssize_t gate_read(struct file *file, loff_t pos, size_t len)
{
	struct address_space *mapping = file->f_mapping;
	struct extpager_object *obj = extpager_file_object(file);
	loff_t size = i_size_read(mapping->host);
	pgoff_t index = pos >> PAGE_SHIFT;
	size_t here;
	int ret;

	if (pos >= size || !len)
		return len;
	len = min_t(u64, len, size - pos);
	here = bytes_here(mapping, pos, len);
	if (here)
		return here;
	if (extpager_needs_no_pager(obj, index))
		return bytes_delegated(obj, pos, len);
	ret = extpager_gate_page(obj, file, index, ((pos + len - 1) >> PAGE_SHIFT) - index + 1,
				 EXTPAGER_ACCESS_READ);
	if (ret)
		return ret;
	return bytes_here(mapping, pos, len) ?:
	       min_t(size_t, len, PAGE_SIZE - offset_in_page(pos));
}

static ssize_t object_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *file = iocb->ki_filp;
	ssize_t done = 0, ret = 0;

	if (iocb->ki_flags & (IOCB_NOWAIT | IOCB_NOIO))
		return filemap_read(iocb, to, 0);
	while (iov_iter_count(to)) {
		size_t count = iov_iter_count(to);
		ssize_t n = gate_read(file, iocb->ki_pos, count);

		if (n < 0) {
			ret = n;
			break;
		}
		iov_iter_truncate(to, n);
		ret = filemap_read(iocb, to, 0);
		iov_iter_reexpand(to, count - max_t(ssize_t, ret, 0));
		if (ret <= 0)
			break;
		done += ret;
		if (ret < n)
			break;
	}
	return done ?: ret;
}

static ssize_t object_splice_read(struct file *in, loff_t *ppos, struct pipe_inode_info *pipe,
				  size_t len, unsigned int flags)
{
	ssize_t n = gate_read(in, *ppos, len);

	return n < 0 ? n : filemap_splice_read(in, ppos, pipe, n, flags);
}

/* ---- write ---- */

/* Does [pos, pos + len) overwrite all of its page that lies in the object? */
static bool whole_page(struct extpager_object *obj, loff_t pos, size_t len)
{
	return !offset_in_page(pos) &&
	       (len == PAGE_SIZE || pos + len == i_size_read(&obj->inode));
}

/* It is as good as a new one to who overwrites all of it. */
static bool leftover_lock(struct address_space *mapping, struct folio *folio)
{
	if (!folio_trylock(folio))
		return false;
	if (folio->mapping == mapping && !folio_test_uptodate(folio) && !folio_test_large(folio))
		return true;
	folio_unlock(folio);
	return false;
}

/*
 * The page to write to, locked; -EAGAIN: the gate has to bring it in, or wait
 * for whoever has it. @how_hard: of __GFP_*, what memory is worth.
 */
static struct folio *write_begin(struct extpager_object *obj, loff_t pos, size_t len,
				 gfp_t how_hard)
{
	struct address_space *mapping = obj->inode.i_mapping;
	pgoff_t index = pos >> PAGE_SHIFT;
	gfp_t gfp = mapping_gfp_constraint(mapping, ~__GFP_FS) | how_hard;
	struct folio *folio;
	int ret;

	folio = filemap_get_folio(mapping, index);
	if (IS_ERR(folio)) {
		if (!whole_page(obj, pos, len))
			return ERR_PTR(-EAGAIN);
		folio = filemap_alloc_folio(gfp, 0, NULL);
		if (!folio)
			return ERR_PTR(-ENOMEM);
		ret = filemap_add_folio(mapping, folio, index, gfp);
		if (ret) {
			folio_put(folio);
			return ERR_PTR(ret == -EEXIST ? -EAGAIN : ret);
		}
		return folio;
	}
	/* An unlocked page not up to date is a leftover; the gate clears it away. */
	if (!folio_test_uptodate(folio)) {
		if (whole_page(obj, pos, len) && leftover_lock(mapping, folio))
			return folio;
		folio_put(folio);
		return ERR_PTR(-EAGAIN);
	}
	if (folio_test_large(folio)) {
		folio_put(folio);
		extpager_split(obj, index);
		return ERR_PTR(-EAGAIN);
	}
	folio_lock(folio);
	if (folio->mapping != mapping) {
		folio_unlock(folio);
		folio_put(folio);
		return ERR_PTR(-EAGAIN);
	}
	return folio;
}

/* Returns how much was taken, or -ENODEV; a page that stays incomplete leaves the cache again. */
static ssize_t write_end(struct extpager_object *obj, struct folio *folio, loff_t pos,
			 size_t len, size_t copied)
{
	pgoff_t index = folio->index;
	bool gone;
	int fate = 0;

	if (!folio_test_uptodate(folio)) {
		if (copied == len) {
			if (len < PAGE_SIZE)
				folio_zero_range(folio, len, PAGE_SIZE - len);
			folio_mark_uptodate(folio);
			extpager_lost_forget(obj, index, index);
		} else {
			generic_error_remove_folio(obj->inode.i_mapping, folio);
			copied = 0;
			fate = -EAGAIN;
		}
	}
	if (copied)
		folio_mark_dirty(folio);
	gone = copied && extpager_object_gone(obj);
	folio_unlock(folio);
	folio_put(folio);
	/* Somebody may have come to the gate while the page was here but empty. */
	extpager_gate_wake(obj, index, 1, fate);
	return gone ? -ENODEV : copied;
}

/* One page's worth, inode lock held. -EAGAIN: go to the gate without it. */
static ssize_t write_page(struct extpager_object *obj, loff_t pos, struct iov_iter *from,
			  gfp_t how_hard)
{
	size_t len = min_t(u64, iov_iter_count(from), PAGE_SIZE - offset_in_page(pos));
	struct folio *folio;
	ssize_t taken;
	size_t copied;

	folio = write_begin(obj, pos, len, how_hard);
	if (IS_ERR(folio))
		return PTR_ERR(folio);
	copied = copy_folio_from_iter_atomic(folio, offset_in_page(pos), len, from);
	flush_dcache_folio(folio);
	taken = write_end(obj, folio, pos, len, copied);
	if (taken < (ssize_t)copied)
		iov_iter_revert(from, copied - max_t(ssize_t, taken, 0));
	return taken ?: -EFAULT;
}

/* Everything that may wait, before the inode lock: quota, buffer, pages to merge with. */
static int write_prepare(struct extpager_object *obj, loff_t pos, struct iov_iter *from,
			 size_t chunk)
{
	size_t len = min_t(u64, chunk, iov_iter_count(from));
	loff_t end = min_t(loff_t, pos + len, i_size_read(&obj->inode));
	int ret;

	if (READ_ONCE(obj->target->draining) || READ_ONCE(obj->state) == EXTPAGER_OBJECT_GONE)
		return -ENODEV;
	/* Whole pages need no pager now, but one to be returned to. */
	extpager_object_use(obj);
	ret = extpager_gate_dirty(obj);
	if (ret)
		return ret;
	if (fault_in_iov_iter_readable(from, len) == len)
		return -EFAULT;
	if (pos >= end)
		return 0;
	if (!whole_page(obj, pos, min_t(u64, end - pos, PAGE_SIZE - offset_in_page(pos))))
		ret = extpager_gate_page(obj, NULL, pos >> PAGE_SHIFT, 1, EXTPAGER_ACCESS_WRITE);
	if (!ret && offset_in_page(end) && end >> PAGE_SHIFT != pos >> PAGE_SHIFT &&
	    end != i_size_read(&obj->inode))
		ret = extpager_gate_page(obj, NULL, end >> PAGE_SHIFT, 1, EXTPAGER_ACCESS_WRITE);
	return ret;
}

/* A device's rule: nothing fits beyond its end, and a write across it is short. */
static ssize_t write_limit(struct kiocb *iocb, struct iov_iter *from)
{
	loff_t size = i_size_read(iocb->ki_filp->f_mapping->host);
	ssize_t ret = generic_write_checks(iocb, from);

	if (ret <= 0)
		return ret;
	if (iocb->ki_pos >= size)
		return -ENOSPC;
	iov_iter_truncate(from, size - iocb->ki_pos);
	return 1;
}

/* Write what can be written under the inode lock without waiting for the pager. */
static ssize_t write_chunk(struct kiocb *iocb, struct iov_iter *from, gfp_t how_hard)
{
	struct extpager_object *obj = extpager_file_object(iocb->ki_filp);
	ssize_t done = 0, ret = 0;

	while (iov_iter_count(from) && done < WRITE_CHUNK) {
		ret = write_page(obj, iocb->ki_pos, from, how_hard);
		if (ret < 0)
			break;
		iocb->ki_pos += ret;
		done += ret;
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		if (extpager_target_over_quota(obj->target))
			break;
		cond_resched();
	}
	return done ?: ret;
}

static ssize_t object_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct file *file = iocb->ki_filp;
	struct extpager_object *obj = extpager_file_object(file);
	struct inode *inode = &obj->inode;
	gfp_t how_hard = EXTPAGER_GFP_SPARING;
	unsigned long short_since = 0;
	unsigned int stuck = 0;
	ssize_t done = 0, ret;

	if (iocb->ki_flags & IOCB_NOWAIT)
		return -EAGAIN;
	ret = write_limit(iocb, from);
	if (ret <= 0)
		return ret;
	while (iov_iter_count(from)) {
		ret = write_prepare(obj, iocb->ki_pos, from, WRITE_CHUNK);
		if (ret)
			break;
		ret = inode_lock_killable(inode);
		if (ret)
			break;
		ret = done ? 0 : file_update_time(file);
		if (!ret)
			ret = write_chunk(iocb, from, how_hard);
		inode_unlock(inode);
		if (ret == -ENOMEM && how_hard) {
			if (!extpager_await_memory(&short_since))
				how_hard = 0;
			continue;
		}
		/* The page is not here, or on its way: the gate waits for it. */
		if (ret == -EAGAIN) {
			bool whole = whole_page(obj, iocb->ki_pos,
						min_t(size_t, iov_iter_count(from), PAGE_SIZE));

			ret = extpager_gate_page(obj, NULL, iocb->ki_pos >> PAGE_SHIFT, 1,
						 EXTPAGER_ACCESS_WRITE);
			/* What is overwritten need not be read; a failed page is nobody's. */
			if (ret && !(whole && ret != -EINTR && ++stuck < 8))
				break;
			continue;
		}
		/* The buffer went again meanwhile: it is brought back. */
		if (ret == -EFAULT && ++stuck < 8)
			continue;
		if (ret < 0)
			break;
		stuck = 0;
		short_since = 0;
		done += ret;
		if (fatal_signal_pending(current))
			break;
		balance_dirty_pages_ratelimited(file->f_mapping);
	}
	if (done > 0)
		done = generic_write_sync(iocb, done);
	return done ?: ret;
}

/* ---- fsync ---- */

static int object_fsync(struct file *file, loff_t start, loff_t end, int datasync)
{
	struct extpager_object *obj = extpager_file_object(file);
	int ret, seen;

	ret = extpager_return_sync(obj, start, end, true);
	seen = file_check_and_advance_wb_err(file);
	/* -EIO here is what the errseq said, or would say once. */
	return ret == -EINTR ? ret : seen ?: ret;
}

/* ---- fallocate: holes and zeros ---- */

/* Zeros for a part of one page, through the cache. */
static int zero_partial(struct extpager_object *obj, loff_t pos, size_t len)
{
	int ret;

	do {
		struct folio *folio;

		ret = extpager_gate_dirty(obj);
		if (!ret)
			ret = extpager_gate_page(obj, NULL, pos >> PAGE_SHIFT, 1,
						 EXTPAGER_ACCESS_WRITE);
		if (ret)
			break;
		folio = write_begin(obj, pos, len, 0);
		if (IS_ERR(folio)) {
			ret = PTR_ERR(folio);
			continue;
		}
		folio_zero_range(folio, offset_in_page(pos), len);
		ret = write_end(obj, folio, pos, len, len);
	} while (ret == -EAGAIN);
	return min(ret, 0);
}

/*
 * Whole pages: from the moment the zero request is announced they read as
 * zeros, and the pager is told before this ends. Who is killed on the way
 * leaves the rest to the target's worker.
 */
static int zero_whole(struct extpager_object *obj, pgoff_t first, pgoff_t nr)
{
	loff_t start = (loff_t)first << PAGE_SHIFT;
	struct extpager_request *req;
	int ret;

	ret = extpager_object_wait_ready(obj);
	if (ret)
		return ret;
	req = extpager_request_alloc(obj, EXTPAGER_EV_DATA_RETURN, 0);
	if (!req)
		return -ENOMEM;
	req->index = first;
	req->nr = nr;
	req->length = min_t(loff_t, (loff_t)nr << PAGE_SHIFT, i_size_read(&obj->inode) - start);
	ret = extpager_request_announce_zero(req);
	if (ret) {
		extpager_request_put(req);
		return ret;
	}
	extpager_zero_pages(obj, first, nr);
	if (extpager_wait_returned(obj, first, first + nr - 1)) {
		extpager_request_abandon_zero(req);
		extpager_request_put(req);
		return -EINTR;
	}
	extpager_request_send_zero(req);
	extpager_request_put(req);
	return 0;
}

static int zero_range(struct extpager_object *obj, loff_t pos, loff_t end)
{
	loff_t first = round_up(pos, PAGE_SIZE);
	loff_t last = end == i_size_read(&obj->inode) ? round_up(end, PAGE_SIZE) :
			round_down(end, PAGE_SIZE);
	int ret = 0;

	if (first >= last)
		return offset_in_page(pos) + (end - pos) > PAGE_SIZE ?
			zero_partial(obj, pos, first - pos) ?:
			zero_partial(obj, first, end - first) :
			zero_partial(obj, pos, end - pos);
	if (pos < first)
		ret = zero_partial(obj, pos, first - pos);
	if (!ret && last < end)
		ret = zero_partial(obj, last, end - last);
	for (; !ret && first < last; first += ZERO_CHUNK)
		ret = zero_whole(obj, first >> PAGE_SHIFT,
				 min_t(loff_t, last - first, ZERO_CHUNK) >> PAGE_SHIFT);
	return ret;
}

static long object_fallocate(struct file *file, int mode, loff_t pos, loff_t len)
{
	struct extpager_object *obj = extpager_file_object(file);
	struct inode *inode = &obj->inode;
	loff_t end, size = i_size_read(inode);
	long ret;

	if (mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) &&
	    mode != FALLOC_FL_ZERO_RANGE &&
	    mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE))
		return -EOPNOTSUPP;
	if (pos + len > size && mode == FALLOC_FL_ZERO_RANGE)
		return -ENOSPC;
	if (pos >= size)
		return 0;
	if (READ_ONCE(obj->target->draining))
		return -ENODEV;
	ret = inode_lock_killable(inode);
	if (ret)
		return ret;
	ret = file_update_time(file);
	end = min(pos + len, size);
	if (!ret)
		ret = zero_range(obj, pos, end);
	inode_unlock(inode);
	/* It reads as zeros; the store's word is waited for without the lock. */
	return ret ?: extpager_wait_zeros(obj, pos >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
}

/* ---- ioctls ---- */

static long accept_ioctl(struct extpager_object *obj, void __user *uarg)
{
	struct extpager_accept arg;
	long ret = extpager_copy_arg(&arg, uarg, sizeof(arg));

	return ret ?: extpager_accept(obj, &arg);
}

static long object_ioctl(struct file *file, unsigned int cmd, unsigned long param)
{
	struct extpager_object *obj = extpager_file_object(file);
	void __user *uarg = (void __user *)param;
	long ret = -ENOTTY;

	/* The size in @cmd is the caller's struct, which may be another version's. */
	cmd &= ~IOCSIZE_MASK;
	if (cmd == (EXTPAGER_IOC_FAILURES & ~IOCSIZE_MASK))
		ret = extpager_failures_ioctl(obj, uarg);
	else if (cmd == (EXTPAGER_IOC_ACCEPT & ~IOCSIZE_MASK))
		ret = accept_ioctl(obj, uarg);
	return extpager_call_ends(EXTPAGER_CALL_IOCTL, ret);
}

const struct file_operations extpager_object_fops = {
	.owner			= THIS_MODULE,
	.open			= object_open,
	.release		= object_release,
	.llseek			= object_llseek,
	.read_iter		= object_read_iter,
	.write_iter		= object_write_iter,
	.mmap			= object_mmap,
	.fsync			= object_fsync,
	.fallocate		= object_fallocate,
	.unlocked_ioctl		= object_ioctl,
	.compat_ioctl		= compat_ptr_ioctl,
	.splice_read		= object_splice_read,
	.splice_write		= iter_file_splice_write,
	.get_unmapped_area	= thp_get_unmapped_area,
};

/* ---- attributes ---- */

/* The size is fixed; O_TRUNC is for files what it is for a device: nothing. */
static int object_setattr(struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attr)
{
	struct inode *inode = d_inode(dentry);
	int ret = setattr_prepare(idmap, dentry, attr);

	if (ret)
		return ret;
	if (attr->ia_valid & ATTR_SIZE && !(attr->ia_valid & ATTR_OPEN) &&
	    attr->ia_size != i_size_read(inode))
		return -EPERM;
	setattr_copy(idmap, inode, attr);
	extpager_object_attributes_changed(extpager_object(inode));
	return 0;
}

const struct inode_operations extpager_object_iops = {
	.setattr	= object_setattr,
};
