// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file system `extpager`: one directory with a regular file for each
 * target, so that programs that know paths work unchanged. Its inodes lend the
 * object's i_mapping; everything done to such a file is done to the object.
 */
#include <linux/dcache.h>
#include <linux/errseq.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/module.h>
#include <linux/namei.h>
#include <linux/slab.h>
#include <linux/statfs.h>

#include "extpager.h"

#define PATHFS_MAGIC	0x45585446
#define PATHFS_ROOT_INO	1

/* What a path inode pins of its object; the mount last. */
struct pathfs_inode {
	struct extpager_object *object;
	struct vfsmount *mnt;
};

struct pathfs_super {
	bool dying;
	struct mutex lock;		/* @seen */
	struct xarray seen;		/* target id -> errseq that was passed on */
};

static struct extpager_object *pathfs_object(const struct inode *inode)
{
	const struct pathfs_inode *p = inode->i_private;

	return p ? p->object : NULL;
}

/* ---- attributes ---- */

/*
 * They may have been changed another way, or through another mount. Those of the object
 * count; of its own this inode has none, for whoever comes by writes them.
 */
static void attributes_from_object(struct inode *inode, struct extpager_object *obj)
{
	struct inode *from = &obj->inode;

	spin_lock(&from->i_lock);
	inode->i_uid = from->i_uid;
	inode->i_gid = from->i_gid;
	inode->i_mode = from->i_mode;
	/* The kernel reads and writes times without a lock, of this inode and of the other. */
	data_race(inode_set_mtime_to_ts(inode, inode_get_mtime(from)));
	data_race(inode_set_atime_to_ts(inode, inode_get_atime(from)));	/* likewise */
	data_race(inode_set_ctime_to_ts(inode, inode_get_ctime(from)));	/* likewise */
	spin_unlock(&from->i_lock);
}

static int pathfs_getattr(struct mnt_idmap *idmap, const struct path *path, struct kstat *stat,
			  u32 request_mask, unsigned int flags)
{
	struct inode *inode = d_inode(path->dentry);
	struct extpager_object *obj = pathfs_object(inode);

	attributes_from_object(inode, obj);
	extpager_fillattr(idmap, request_mask, inode, stat);
	stat->size = i_size_read(&obj->inode);
	stat->blocks = obj->inode.i_blocks;
	return 0;
}

/* Owner, mode and times belong to the target: all ways show them. */
static int pathfs_setattr(struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attr)
{
	struct inode *inode = d_inode(dentry);
	struct extpager_object *obj = pathfs_object(inode);
	int ret;

	attributes_from_object(inode, obj);
	ret = setattr_prepare(idmap, dentry, attr);
	if (ret)
		return ret;
	if (attr->ia_valid & ATTR_SIZE && !(attr->ia_valid & ATTR_OPEN) &&
	    attr->ia_size != i_size_read(&obj->inode))
		return -EPERM;
	spin_lock(&obj->inode.i_lock);
	setattr_copy(idmap, &obj->inode, attr);
	obj->inode.i_mode = S_IFREG | (obj->inode.i_mode & 0777);
	spin_unlock(&obj->inode.i_lock);
	attributes_from_object(inode, obj);
	extpager_object_attributes_changed(obj);
	return 0;
}

/* Both inodes: with the object's alone, every access would find a change due. */
static int pathfs_update_time(EXTPAGER_UPDATE_TIME_ARGS)
{
	struct extpager_object *obj = pathfs_object(inode);

	extpager_update_time(inode);
	inode = &obj->inode;
	extpager_update_time(inode);
	return 0;
}

static int pathfs_permission(struct mnt_idmap *idmap, struct inode *inode, int mask)
{
	struct extpager_object *obj = pathfs_object(inode);

	if (mask & MAY_NOT_BLOCK)
		return -ECHILD;
	attributes_from_object(inode, obj);
	return generic_permission(idmap, inode, mask);
}

static const struct inode_operations pathfs_file_iops = {
	.permission	= pathfs_permission,
	.getattr	= pathfs_getattr,
	.setattr	= pathfs_setattr,
	.update_time	= pathfs_update_time,
};

/* ---- the directory ---- */

static void pathfs_fill_inode(struct inode *inode, struct extpager_object *obj)
{
	i_size_write(inode, i_size_read(&obj->inode));
	attributes_from_object(inode, obj);
}

static struct inode *pathfs_inode(struct super_block *sb, struct extpager_target *t,
				  struct extpager_object *obj)
{
	struct pathfs_inode *p = kmalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	struct inode *inode;

	if (!p)
		return ERR_PTR(-ENOMEM);
	/* All openers share one inode, hence its locks. */
	inode = iget_locked(sb, PATHFS_ROOT_INO + t->id);
	if (!inode) {
		kfree(p);
		return ERR_PTR(-ENOMEM);
	}
	if (!(inode_state_read_once(inode) & I_NEW)) {
		kfree(p);
		return inode;
	}
	ihold(&obj->inode);
	p->object = obj;
	p->mnt = mntget(t->mnt);
	inode->i_private = p;
	inode->i_mapping = obj->inode.i_mapping;
	inode->i_op = &pathfs_file_iops;
	inode->i_fop = &extpager_object_fops;
	pathfs_fill_inode(inode, obj);
	unlock_new_inode(inode);
	return inode;
}

static struct dentry *pathfs_lookup(struct inode *dir, struct dentry *dentry, unsigned int flags)
{
	struct extpager_object *obj = NULL;
	struct inode *inode = NULL;
	struct extpager_target *t;
	char name[EXTPAGER_NAME_MAX + 1];

	if (dentry->d_name.len > EXTPAGER_NAME_MAX)
		return ERR_PTR(-ENAMETOOLONG);
	memcpy(name, dentry->d_name.name, dentry->d_name.len);
	name[dentry->d_name.len] = 0;
	t = extpager_target_find(name);
	if (t && !READ_ONCE(t->draining))
		obj = extpager_target_object(t);
	if (obj) {
		inode = pathfs_inode(dir->i_sb, t, obj);
		iput(&obj->inode);
	}
	if (t)
		extpager_target_put(t);
	return d_splice_alias(inode, dentry);
}

/* The target may have gone, or be another one of the same name. */
static int pathfs_d_revalidate(EXTPAGER_REVALIDATE_ARGS)
{
	const struct qstr *called = extpager_revalidate_name();
	struct inode *inode = d_inode_rcu(dentry);
	struct extpager_target *t;
	char name[EXTPAGER_NAME_MAX + 1];
	int valid = 0;

	if (flags & LOOKUP_RCU)
		return -ECHILD;
	if (IS_ROOT(dentry))
		return 1;
	if (!inode || called->len > EXTPAGER_NAME_MAX)
		return 0;
	memcpy(name, called->name, called->len);
	name[called->len] = 0;
	t = extpager_target_find(name);
	if (t) {
		valid = inode->i_ino == PATHFS_ROOT_INO + t->id && !READ_ONCE(t->draining);
		extpager_target_put(t);
	}
	return valid;
}

static const struct dentry_operations pathfs_dops = {
	.d_revalidate	= pathfs_d_revalidate,
	.d_delete	= always_delete_dentry,
};

static int pathfs_iterate(struct file *file, struct dir_context *ctx)
{
	struct extpager_target *t;
	u32 id;

	if (!dir_emit_dots(file, ctx))
		return 0;
	id = ctx->pos - 2;
	while ((t = extpager_target_next(&id))) {
		bool more = true;

		if (t->named && !READ_ONCE(t->draining))
			more = dir_emit(ctx, t->settings.name, strlen(t->settings.name),
					PATHFS_ROOT_INO + t->id, DT_REG);
		extpager_target_put(t);
		if (!more)
			break;
		ctx->pos = id + 2;
	}
	return 0;
}

static const struct file_operations pathfs_dir_fops = {
	.owner		= THIS_MODULE,
	.iterate_shared	= pathfs_iterate,
	.read		= generic_read_dir,
	.llseek		= generic_file_llseek,
};

static const struct inode_operations pathfs_dir_iops = {
	.lookup		= pathfs_lookup,
	.getattr	= simple_getattr,
};

/* ---- the super block ---- */

static void pathfs_evict_inode(struct inode *inode)
{
	struct pathfs_inode *p = inode->i_private;

	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
	if (!p)
		return;
	iput(&p->object->inode);
	mntput(p->mnt);
	kfree(p);
}

/* Write-back errors stand in the object's super block: pass each on once. */
static int pathfs_pass_error(struct super_block *sb, struct extpager_target *t)
{
	struct pathfs_super *s = sb->s_fs_info;
	errseq_t seen;
	void *entry;
	int err;

	mutex_lock(&s->lock);
	entry = xa_load(&s->seen, t->id);
	seen = entry ? (errseq_t)xa_to_value(entry) : 0;
	err = errseq_check_and_advance(&t->sb->s_wb_err, &seen);
	xa_store(&s->seen, t->id, xa_mk_value(seen), GFP_KERNEL);
	mutex_unlock(&s->lock);
	if (err)
		errseq_set(&sb->s_wb_err, err);
	return err;
}

static int pathfs_sync_fs(struct super_block *sb, int wait)
{
	struct pathfs_super *s = sb->s_fs_info;
	struct extpager_target *t;
	u32 id = 0;
	int ret = 0;

	/* An unmount does not wait for pagers: the targets go on without it. */
	if (!wait || READ_ONCE(s->dying))
		return 0;
	while ((t = extpager_target_next(&id))) {
		struct super_block *isb = t->sb;

		if (t->named) {
			down_read(&isb->s_umount);
			ret = sync_filesystem(isb) ?: ret;
			up_read(&isb->s_umount);
			pathfs_pass_error(sb, t);
		}
		extpager_target_put(t);
	}
	return ret;
}

static const struct super_operations pathfs_sops = {
	.evict_inode	= pathfs_evict_inode,
	.drop_inode	= inode_just_drop,
	.sync_fs	= pathfs_sync_fs,
	.statfs		= simple_statfs,
};

static int pathfs_fill_super(struct super_block *sb, struct fs_context *fc)
{
	struct pathfs_super *s;
	struct inode *root;

	s = kzalloc(sizeof(*s), GFP_KERNEL);
	if (!s)
		return -ENOMEM;
	mutex_init(&s->lock);
	xa_init(&s->seen);
	sb->s_fs_info = s;
	sb->s_maxbytes = MAX_LFS_FILESIZE;
	sb->s_blocksize = PAGE_SIZE;
	sb->s_blocksize_bits = PAGE_SHIFT;
	sb->s_magic = PATHFS_MAGIC;
	sb->s_op = &pathfs_sops;
	set_default_d_op(sb, &pathfs_dops);
	sb->s_time_gran = 1;
	/* sync(2) reaches the targets' own super blocks by itself. */
	sb->s_iflags |= SB_I_SKIP_SYNC;

	root = new_inode(sb);
	if (!root)
		return -ENOMEM;
	root->i_ino = PATHFS_ROOT_INO;
	root->i_mode = S_IFDIR | 0755;
	set_nlink(root, 2);
	simple_inode_init_ts(root);
	root->i_op = &pathfs_dir_iops;
	root->i_fop = &pathfs_dir_fops;
	sb->s_root = d_make_root(root);
	return sb->s_root ? 0 : -ENOMEM;
}

static int pathfs_get_tree(struct fs_context *fc)
{
	return get_tree_nodev(fc, pathfs_fill_super);
}

static const struct fs_context_operations pathfs_context_ops = {
	.get_tree	= pathfs_get_tree,
};

static int pathfs_init_fs_context(struct fs_context *fc)
{
	fc->ops = &pathfs_context_ops;
	return 0;
}

static void pathfs_kill_sb(struct super_block *sb)
{
	struct pathfs_super *s = sb->s_fs_info;

	if (s)
		WRITE_ONCE(s->dying, true);
	kill_anon_super(sb);
	if (s) {
		xa_destroy(&s->seen);
		kfree(s);
	}
}

static struct file_system_type pathfs_type = {
	.owner			= THIS_MODULE,
	.name			= EXTPAGER_FS_TYPE,
	.init_fs_context	= pathfs_init_fs_context,
	.kill_sb		= pathfs_kill_sb,
};
MODULE_ALIAS_FS(EXTPAGER_FS_TYPE);

int extpager_pathfs_init(void)
{
	return register_filesystem(&pathfs_type);
}

void extpager_pathfs_exit(void)
{
	unregister_filesystem(&pathfs_type);
}
