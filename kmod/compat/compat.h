/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The main sources are written for the newest kernel that the tests boot.
 * Here, and only here, older kernels get its names. Each shim says from which
 * version on it is not needed.
 */
#ifndef EXTPAGER_COMPAT_H
#define EXTPAGER_COMPAT_H

#include <linux/version.h>
#include <linux/backing-dev.h>
#include <linux/blkdev.h>
#include <linux/device/class.h>
#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/uio.h>
#include <net/genetlink.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 1, 0)
#include <linux/pagevec.h>
#else
#include <linux/folio_batch.h>
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "extpager needs Linux 6.1 or newer"
#endif

/* 6.18: flags of pages have a type. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0)
#define extpager_flags(folio) (&(folio)->flags)
#else
#define extpager_flags(folio) (&(folio)->flags.f)
#endif

/* Looks at a folio without a reference, which may be part of another one by now. */
static inline bool extpager_peek_uptodate(struct folio *folio)
{
	return test_bit(PG_uptodate, extpager_flags(folio));
}

static inline bool extpager_peek_locked(struct folio *folio)
{
	return test_bit(PG_locked, extpager_flags(folio));
}

static inline bool extpager_peek_large(struct folio *folio)
{
	return test_bit(PG_head, extpager_flags(folio));
}

/*
 * mapping_set_large_folios() is for an inode that nobody uses yet: it does not expect that
 * others set flags at the same time. Before 6.12, where it is a range of orders, there are
 * none: some of 6.1's own lose track of pages when large folios are split or leave. It is
 * never lowered: huge pages of a mapping that supports none are counted, of others not, and
 * when they leave it has to be the same as when they came.
 */
#ifdef AS_FOLIO_ORDER_MASK
#define EXTPAGER_ORDER_MAX MAX_PAGECACHE_ORDER
#else
#define EXTPAGER_ORDER_MAX 0
#endif

static inline void extpager_mapping_allow_large(struct address_space *mapping, unsigned int order)
{
#ifdef AS_FOLIO_ORDER_MASK
	unsigned long was, orders = (unsigned long)order << AS_FOLIO_ORDER_MAX;

#ifdef CONFIG_READ_ONLY_THP_FOR_FS
	if (filemap_nr_thps(mapping))
		return;
#endif
	do {
		was = READ_ONCE(mapping->flags);
		if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) ||
		    mapping_max_folio_order(mapping) >= order)
			return;
	} while (cmpxchg(&mapping->flags, was, (was & ~AS_FOLIO_ORDER_MASK) | orders) != was);
#endif
}

/* 6.10: modules may ask how often a folio is mapped, here one of a single page. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
static inline int extpager_folio_mapcount(struct folio *folio)
{
	return atomic_read(&folio->_mapcount) + 1;
}
#define folio_mapcount extpager_folio_mapcount
#endif

/* 6.3: a miss is an error pointer, not NULL. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
static inline struct folio *extpager_filemap_get_folio(struct address_space *mapping,
						       pgoff_t index)
{
	struct folio *folio = filemap_get_folio(mapping, index);

	return folio ? folio : ERR_PTR(-ENOENT);
}
#define filemap_get_folio extpager_filemap_get_folio
#endif

/* 6.4: faults may hold a VMA lock instead of mmap_lock. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
static inline void release_fault_lock(struct vm_fault *vmf)
{
	mmap_read_unlock(vmf->vma->vm_mm);
}
#endif

/* 6.3: vm_flags is changed through helpers. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/* 6.5: reading into a pipe has a page-cache version. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define filemap_splice_read generic_file_splice_read
#endif

/* 6.8: error_remove_folio replaces error_remove_page. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
static inline int generic_error_remove_folio(struct address_space *mapping,
					     struct folio *folio)
{
	return generic_error_remove_page(mapping, &folio->page);
}
#define error_remove_folio error_remove_page
#define EXTPAGER_ERROR_REMOVE_ARGS struct address_space *mapping, struct page *page
#define extpager_error_remove_folio() page_folio(page)
#else
#define EXTPAGER_ERROR_REMOVE_ARGS struct address_space *mapping, struct folio *error_folio
#define extpager_error_remove_folio() error_folio
#endif

/* 6.12: inode locks have a killable helper. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
static inline int __must_check inode_lock_killable(struct inode *inode)
{
	return down_write_killable(&inode->i_rwsem);
}
#endif

/* 6.8: it tells the file system by itself that a write is under way. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
static inline ssize_t extpager_iocb_iter_write(struct file *file, struct kiocb *iocb,
					       struct iov_iter *iter)
{
	ssize_t ret;

	file_start_write(file);
	ret = vfs_iocb_iter_write(file, iocb, iter);
	file_end_write(file);
	return ret;
}
#define vfs_iocb_iter_write extpager_iocb_iter_write
#endif

/* 6.7: an inode says for itself that its pages must not change while they are written. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
static inline bool extpager_mapping_stable_writes(const struct address_space *mapping)
{
	return mapping->host->i_sb->s_iflags & SB_I_STABLE_WRITES;
}
#define mapping_stable_writes extpager_mapping_stable_writes
#endif

/* 6.7: inode times are read and set through accessors (Debian's 6.1 has those of ctime). */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
static inline void simple_inode_init_ts(struct inode *inode)
{
	inode->i_ctime = current_time(inode);
	inode->i_mtime = inode->i_ctime;
	inode->i_atime = inode->i_ctime;
}

static inline struct timespec64 inode_get_mtime(const struct inode *inode)
{
	return inode->i_mtime;
}

static inline struct timespec64 inode_get_atime(const struct inode *inode)
{
	return inode->i_atime;
}

static inline struct timespec64 inode_set_mtime_to_ts(struct inode *inode,
						      struct timespec64 ts)
{
	inode->i_mtime = ts;
	return ts;
}

static inline struct timespec64 inode_set_atime_to_ts(struct inode *inode,
						      struct timespec64 ts)
{
	inode->i_atime = ts;
	return ts;
}
#endif

/* 6.3: mount id maps replace user namespaces in inode operations. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define mnt_idmap user_namespace
#define nop_mnt_idmap init_user_ns
static inline struct user_namespace *file_mnt_idmap(struct file *file)
{
	return file_mnt_user_ns(file);
}
#endif

/* 6.6: generic_fillattr() takes the request mask. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
#define extpager_fillattr(idmap, mask, inode, stat) generic_fillattr(idmap, inode, stat)
#else
#define extpager_fillattr(idmap, mask, inode, stat) generic_fillattr(idmap, mask, inode, stat)
#endif

/* 6.6: update_time gets no time; 7.0: but is told which it is. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
#define EXTPAGER_UPDATE_TIME_ARGS struct inode *inode, struct timespec64 *now, int flags
#define extpager_update_time(inode) generic_update_time(inode, now, flags)
#elif LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
#define EXTPAGER_UPDATE_TIME_ARGS struct inode *inode, int flags
#define extpager_update_time(inode) generic_update_time(inode, flags)
#else
#define EXTPAGER_UPDATE_TIME_ARGS struct inode *inode, enum fs_update_time type, unsigned int flags
#define extpager_update_time(inode) generic_update_time(inode, type, flags)
#endif

/* 6.14: what is looked up is told beside the dentry, whose name may change. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 14, 0)
#define EXTPAGER_REVALIDATE_ARGS struct dentry *dentry, unsigned int flags
#define extpager_revalidate_name() (&dentry->d_name)
#else
#define EXTPAGER_REVALIDATE_ARGS \
	struct inode *dir, const struct qstr *qname, struct dentry *dentry, unsigned int flags
#define extpager_revalidate_name() qname
#endif

/* 6.17: a super block's dentry operations have a setter. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
static inline void set_default_d_op(struct super_block *sb, const struct dentry_operations *ops)
{
	sb->s_d_op = ops;
}
#endif

/* 6.17: a workqueue says so if it has workers for each CPU. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
#define WQ_PERCPU 0
#endif

/* 6.18: atomic copies take folios, and inodes are dropped under another name. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0)
#define inode_just_drop generic_delete_inode
#endif
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
#define copy_folio_from_iter_atomic(folio, offset, bytes, iter) \
	copy_page_from_iter_atomic(folio_page(folio, 0), offset, bytes, iter)
#endif

/* 6.19: an inode's state is read by a function, and folios may follow a memory policy. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
#define inode_state_read_once(inode) READ_ONCE((inode)->i_state)

static inline struct folio *extpager_filemap_alloc_folio(gfp_t gfp, unsigned int order)
{
	return filemap_alloc_folio(gfp, order);
}
#undef filemap_alloc_folio
#define filemap_alloc_folio(gfp, order, policy) extpager_filemap_alloc_folio(gfp, order)
#endif

/* 7.1: a mapping's flags have a type. */
#ifndef mk_vma_flags
#define mk_vma_flags(bit) BIT(bit)
#define VMA_NORESERVE_BIT ilog2(VM_NORESERVE)
#endif

/* Does the kernel make its files up? 7.1: the type says so, not each super block. */
static inline bool extpager_sb_restricted(const struct super_block *sb)
{
#ifdef SB_I_USERNS_VISIBLE
	return sb->s_iflags & SB_I_USERNS_VISIBLE;
#else
	return sb->s_type->fs_flags & FS_USERNS_MOUNT_RESTRICTED;
#endif
}

/* 6.4: a class has no owner. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define extpager_class_create(name) class_create(THIS_MODULE, name)
#else
#define extpager_class_create(name) class_create(name)
#endif
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define EXTPAGER_DEVNODE_ARGS struct device *dev, umode_t *mode
#else
#define EXTPAGER_DEVNODE_ARGS const struct device *dev, umode_t *mode
#endif

#endif /* EXTPAGER_COMPAT_H */
