// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory objects: inodes of a target's super block, and their life between
 * the pager's INIT and TERMINATE.
 *
 *	          use                 READY              last close, no MAY_CACHE
 *	IDLE ------------> INIT ----------------> READY ----------------------> IDLE
 *	  ^                 |  ^                    |
 *	  |    deadline     |  |     pager lost     |
 *	  +-----------------+  +--------------------+
 *	                    |
 *	                    | READY(error)
 *	                    v
 *	                  FAILED, until the last close
 *
 * and from any of them to GONE.
 */
#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/file.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/statfs.h>

#include "extpager.h"

static struct kmem_cache *object_cache;

static void object_init_once(void *p)
{
	struct extpager_object *obj = p;

	inode_init_once(&obj->inode);
}

int extpager_object_cache_init(void)
{
	object_cache = kmem_cache_create("extpager_object", sizeof(struct extpager_object), 0,
					 SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT, object_init_once);
	return object_cache ? 0 : -ENOMEM;
}

void extpager_object_cache_destroy(void)
{
	kmem_cache_destroy(object_cache);
}

/* ---- the super block ---- */

static void object_work(struct work_struct *work);

static struct inode *object_alloc_inode(struct super_block *sb)
{
	struct extpager_object *obj = alloc_inode_sb(sb, object_cache, GFP_KERNEL);

	if (!obj)
		return NULL;
	obj->target = sb->s_fs_info;
	obj->id = 0;
	obj->read_only = false;
	atomic_set(&obj->opens, 0);
	obj->found = false;
	INIT_DELAYED_WORK(&obj->work, object_work);
	obj->state = EXTPAGER_OBJECT_IDLE;
	obj->generation = 0;
	obj->attributes = 0;
	obj->error = 0;
	obj->initialised = false;
	obj->init_sent = false;
	obj->destroy = false;
	obj->discard = false;
	obj->attributes_ack = false;
	obj->exceptions = 0;
	obj->returned = 0;
	obj->synced = 0;
	obj->flushed = 0;
	atomic64_set(&obj->written, 0);
	obj->nr_writing = 0;
	atomic_set(&obj->write_errors, 0);
	obj->terminating = false;
	obj->retry_at = jiffies;
	obj->large_at = jiffies;
	obj->nr_failures = 0;
	RCU_INIT_POINTER(obj->delegations, NULL);
	obj->spill = NULL;
	atomic_long_set(&obj->nr_spilled, 0);
	xa_init_flags(&obj->accepted, XA_FLAGS_ACCOUNT);
	xa_init(&obj->lost);
	return &obj->inode;
}

static void object_evict_inode(struct inode *inode)
{
	truncate_inode_pages_final(inode->i_mapping);
	clear_inode(inode);
	extpager_delegations_free(extpager_object(inode));
	extpager_spill_free(extpager_object(inode));
	xa_destroy(&extpager_object(inode)->accepted);
	xa_destroy(&extpager_object(inode)->lost);
}

static void object_free_inode(struct inode *inode)
{
	kmem_cache_free(object_cache, extpager_object(inode));
}

/**
 * extpager_object_next() - walk over the objects of a target
 * @t: target
 * @last: the last one, its reference is dropped; or NULL
 *
 * Return: the next one with a reference for iput(), or NULL.
 */
struct extpager_object *extpager_object_next(struct extpager_target *t,
					     struct extpager_object *last)
{
	unsigned long nr = last ? lower_32_bits(last->id) : 0;
	struct extpager_object *obj;

	cond_resched();
	spin_lock(&t->lock);
	obj = xa_find_after(&t->objects, &nr, ULONG_MAX, XA_PRESENT);
	if (obj)
		ihold(&obj->inode);
	spin_unlock(&t->lock);
	if (last)
		iput(&last->inode);
	return obj;
}

/* syncfs and sync: in the caller's context, so only as long as its own deadlines. */
static int object_sync_fs(struct super_block *sb, int wait)
{
	struct extpager_target *t = sb->s_fs_info;
	struct extpager_object *obj = NULL;
	int ret = 0;

	if (!wait || !t)
		return 0;
	while ((obj = extpager_object_next(t, obj))) {
		/*
		 * Without a pager the pages stay dirty; sync must not wait for the
		 * next one, nor once more for one that has just missed a deadline.
		 */
		if ((!extpager_target_missed(t) && !extpager_object_status(obj)) ||
		    !extpager_sync_needs_pager(obj, 0, ULONG_MAX))
			ret = extpager_return_sync(obj, 0, LLONG_MAX, true) ?: ret;
		else if (extpager_delegated_flush(obj) || !extpager_object_clean(obj))
			ret = -EIO;
	}
	return ret;
}

const struct super_operations extpager_object_sops = {
	.alloc_inode	= object_alloc_inode,
	.free_inode	= object_free_inode,
	.drop_inode	= inode_just_drop,
	.evict_inode	= object_evict_inode,
	.sync_fs	= object_sync_fs,
	.statfs		= simple_statfs,
};

/* What /proc/PID/maps shows; dynamic_dname() is not exported. */
static char *object_dname(struct dentry *dentry, char *buffer, int buflen)
{
	struct inode *inode = d_inode(dentry);
	struct extpager_object *obj = extpager_object(inode);
	char name[EXTPAGER_NAME_MAX + 32];
	int len;

	if (obj->target->named)
		len = scnprintf(name, sizeof(name), "/extpager:%s", obj->target->settings.name);
	else
		len = scnprintf(name, sizeof(name), "/extpager:%#llx", obj->id);
	if (len + 1 > buflen)
		return ERR_PTR(-ENAMETOOLONG);
	return memcpy(buffer + buflen - len - 1, name, len + 1);
}

const struct dentry_operations extpager_object_dops = {
	.d_dname	= object_dname,
	.d_delete	= always_delete_dentry,
};

/**
 * extpager_object_create() - a new object of a target
 * @t: target; its super block is up
 * @bytes: size
 * @mode: permission bits
 * @read_only: no client may write
 *
 * Return: the object with a reference for iput(), beside the target's; or an
 * ERR_PTR.
 */
struct extpager_object *extpager_object_create(struct extpager_target *t, u64 bytes,
					       umode_t mode, bool read_only)
{
	struct extpager_object *obj;
	struct inode *inode;
	int ret;
	u32 nr;

	/* Rounding a size up to a page must not overflow. */
	if (!bytes || bytes > EXTPAGER_BYTES_MAX)
		return ERR_PTR(-EFBIG);
	inode = new_inode(t->sb);
	if (!inode)
		return ERR_PTR(-ENOMEM);
	/* Nobody finds it there before it is complete. */
	ret = xa_alloc_cyclic(&t->objects, &nr, NULL, xa_limit_32b, &t->next_object,
			      GFP_KERNEL_ACCOUNT);
	if (ret < 0) {
		iput(inode);
		return ERR_PTR(ret);
	}
	obj = extpager_object(inode);
	obj->id = (u64)t->id << 32 | nr;
	obj->read_only = read_only;
	inode->i_ino = get_next_ino();
	inode->i_mode = S_IFREG | mode;
	inode->i_uid = t->settings.uid;
	inode->i_gid = t->settings.gid;
	inode->i_flags |= S_PRIVATE;
	i_size_write(inode, bytes);
	inode->i_blocks = DIV_ROUND_UP_ULL(bytes, 512);
	simple_inode_init_ts(inode);
	inode->i_op = &extpager_object_iops;
	inode->i_fop = &extpager_object_fops;
	inode->i_mapping->a_ops = &extpager_aops;
	mapping_set_gfp_mask(inode->i_mapping, GFP_HIGHUSER_MOVABLE);
	/* Write-back passes over inodes that are not hashed. */
	insert_inode_hash(inode);
	ihold(inode);

	spin_lock(&t->lock);
	xa_store(&t->objects, nr, obj, GFP_NOWAIT);	/* the entry is there */
	WRITE_ONCE(t->nr_objects, t->nr_objects + 1);
	spin_unlock(&t->lock);
	return obj;
}

/**
 * extpager_object_find() - an object of a target, by id
 * @t: target
 * @id: object id
 *
 * Return: the object with a reference for iput(), or NULL.
 */
struct extpager_object *extpager_object_find(struct extpager_target *t, u64 id)
{
	struct extpager_object *obj;

	spin_lock(&t->lock);
	obj = xa_load(&t->objects, lower_32_bits(id));
	if (obj && obj->id == id)
		ihold(&obj->inode);
	else
		obj = NULL;
	spin_unlock(&t->lock);
	return obj;
}

/* Owner and mode were changed by some way in: they are the target's. */
void extpager_object_attributes_changed(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;

	if (!t->named)
		return;
	spin_lock(&t->lock);
	spin_lock(&obj->inode.i_lock);
	t->settings.uid = obj->inode.i_uid;
	t->settings.gid = obj->inode.i_gid;
	t->settings.mode = obj->inode.i_mode & 0777;
	spin_unlock(&obj->inode.i_lock);
	spin_unlock(&t->lock);
}

/**
 * extpager_object_file() - open an object
 * @obj: object
 * @flags: open(2) flags
 *
 * Return: a regular file that pins the object's mount, or an ERR_PTR.
 */
struct file *extpager_object_file(struct extpager_object *obj, int flags)
{
	struct path path;
	struct file *file;

	ihold(&obj->inode);
	path.dentry = d_obtain_alias(&obj->inode);
	if (IS_ERR(path.dentry))
		return ERR_CAST(path.dentry);
	path.mnt = mntget(obj->target->mnt);
	file = dentry_open(&path, flags & (O_ACCMODE | O_NONBLOCK | O_NOATIME | O_LARGEFILE |
					   O_APPEND | O_DSYNC | __O_SYNC | O_DIRECT),
			   current_cred());
	path_put(&path);
	return file;
}

/* ---- states ---- */

/* target->lock held: in the state INIT, it wants one now. */
void extpager_object_init_unsent(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;

	obj->init_sent = false;
	if (obj->state == EXTPAGER_OBJECT_INIT)
		xa_set_mark(&t->objects, lower_32_bits(obj->id), EXTPAGER_INIT_WANTED);
}

/* target->lock held: the kernel has written a return, and maybe the last one. */
void extpager_object_written(struct extpager_object *obj)
{
	if (obj->nr_writing || obj->state != EXTPAGER_OBJECT_INIT || obj->init_sent)
		return;
	extpager_object_init_unsent(obj);
	mod_delayed_work(extpager_wq, &obj->target->resend_work, 0);
}

/* Have object_work() look; not once the target is gone. The caller has the inode. */
static void object_kick(struct extpager_object *obj, unsigned long delay)
{
	if (!extpager_target_get(obj->target))
		return;
	ihold(&obj->inode);
	if (queue_delayed_work(extpager_slow_wq, &obj->work, delay))
		return;
	/* Neither is the last one. */
	iput(&obj->inode);
	extpager_target_put(obj->target);
}

/**
 * extpager_object_use() - the object is going to be touched
 * @obj: object
 *
 * Has INIT sent if this is the first use. Does not wait.
 */
void extpager_object_use(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;
	bool first = false;

	if (READ_ONCE(obj->state) != EXTPAGER_OBJECT_IDLE)
		return;
	spin_lock(&t->lock);
	if (obj->state == EXTPAGER_OBJECT_IDLE) {
		WRITE_ONCE(obj->state, EXTPAGER_OBJECT_INIT);
		extpager_object_init_unsent(obj);
		first = true;
	}
	spin_unlock(&t->lock);
	if (first)
		mod_delayed_work(extpager_wq, &t->resend_work, 0);
}

/**
 * extpager_object_status() - can the object's pager be asked?
 * @obj: object
 *
 * Return: 0; -EAGAIN: not now, wait; else why it never will be.
 */
int extpager_object_status(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;

	switch (READ_ONCE(obj->state)) {
	case EXTPAGER_OBJECT_GONE:
		return -ENODEV;
	case EXTPAGER_OBJECT_FAILED:
		return READ_ONCE(obj->error);
	default:
		break;
	}
	/* Nobody waits for what is going to be dropped. */
	if ((READ_ONCE(t->draining) && READ_ONCE(t->discard)) ||
	    (READ_ONCE(obj->destroy) && READ_ONCE(obj->discard)))
		return -ENODEV;
	if (READ_ONCE(t->state) == EXTPAGER_STATE_ORPHANED &&
	    (READ_ONCE(t->grace_over) || READ_ONCE(t->settings.policy) == EXTPAGER_POLICY_FAIL))
		return -EIO;
	if (READ_ONCE(obj->state) == EXTPAGER_OBJECT_READY && extpager_target_live(t))
		return 0;
	return -EAGAIN;
}

/* No deadline ends the wait: that for a successor, and where the target has it so. */
static bool object_waits_on(struct extpager_object *obj)
{
	const struct extpager_target *t = obj->target;

	return READ_ONCE(t->state) == EXTPAGER_STATE_ORPHANED ||
	       READ_ONCE(t->settings.action[EXTPAGER_PHASE_HANDSHAKE]) == EXTPAGER_ACTION_WAIT;
}

/**
 * extpager_object_wait_ready() - sleep until the pager can be asked
 * @obj: object
 *
 * Before the handshake the wait is bounded by its deadline, unless its action is
 * to wait on, after the loss of a pager by the grace time. Killable; no locks may
 * be held that a pager needs.
 *
 * Return: 0, -EINTR, -ETIMEDOUT or the reason why it never will be.
 */
int extpager_object_wait_ready(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;
	u32 ms = READ_ONCE(t->settings.timeout_ms[EXTPAGER_PHASE_HANDSHAKE]);
	/* From the next tick: never less than it says. */
	long left = 1 + msecs_to_jiffies(ms);
	int ret;

	ret = extpager_object_status(obj);
	if (ret != -EAGAIN)
		return ret;
	extpager_waits_for_pager();
	for (;;) {
		bool on = object_waits_on(obj);
		long wait = on ? MAX_SCHEDULE_TIMEOUT : left;

		/* Anew if an INIT that somebody else waited for has expired. */
		extpager_object_use(obj);
		wait = wait_event_killable_timeout(t->wait,
						   extpager_object_status(obj) != -EAGAIN ||
						   READ_ONCE(obj->state) == EXTPAGER_OBJECT_IDLE ||
						   object_waits_on(obj) != on,
						   wait);
		if (wait < 0)
			return -EINTR;
		ret = extpager_object_status(obj);
		if (ret != -EAGAIN)
			return ret;
		if (!on) {
			left = wait;
			/* Its own INIT's deadline is its own, give or take a moment. */
			if (left < (READ_ONCE(obj->state) == EXTPAGER_OBJECT_IDLE ? HZ / 10 : 1))
				return -ETIMEDOUT;
		}
	}
}

/**
 * extpager_object_init_done() - INIT was answered, or its deadline passed
 * @obj: object
 * @error: 0, or a negative errno
 * @attributes: EXTPAGER_ATTR_*
 * @expired: it was the deadline
 *
 * Context: target->lock held.
 */
void extpager_object_init_done(struct extpager_object *obj, int error, u32 attributes,
			       bool expired)
{
	struct extpager_target *t = obj->target;

	lockdep_assert_held(&t->lock);
	if (obj->state != EXTPAGER_OBJECT_INIT)
		return;
	obj->init_sent = false;
	WRITE_ONCE(obj->error, error);
	extpager_delegations_ready(obj, error);
	if (!error) {
		obj->attributes = attributes;
		obj->initialised = true;
		WRITE_ONCE(obj->state, EXTPAGER_OBJECT_READY);
		extpager_large_resume(obj);
		if (!list_empty(&t->parked))
			mod_delayed_work(extpager_wq, &t->resend_work, 0);
		if (atomic_long_read(&obj->nr_spilled))
			extpager_spill_kick(t);
		if (!atomic_read(&obj->opens))
			object_kick(obj, 0);
	} else if (expired && !obj->initialised) {
		WRITE_ONCE(obj->state, EXTPAGER_OBJECT_IDLE);
	} else if (obj->initialised) {
		/* Clients have lived through one pager: they wait for a better one. */
		extpager_object_init_unsent(obj);
		/* What is due earlier stays so. */
		queue_delayed_work(extpager_wq, &t->resend_work, HZ);
	} else {
		WRITE_ONCE(obj->state, EXTPAGER_OBJECT_FAILED);
	}
	wake_up_all(&t->wait);
}

/* target->lock held: the next object that wants an INIT. */
static struct extpager_object *init_wanted(struct extpager_target *t)
{
	struct extpager_object *obj;
	unsigned long nr;

	if (!t->port || !extpager_target_live(t))
		return NULL;
	xa_for_each_marked(&t->objects, nr, obj, EXTPAGER_INIT_WANTED) {
		xa_clear_mark(&t->objects, nr, EXTPAGER_INIT_WANTED);
		/* What the kernel writes for an earlier pager comes before, too. */
		if (obj->state == EXTPAGER_OBJECT_INIT && !obj->init_sent && !obj->terminating &&
		    !obj->nr_writing)
			return obj;
	}
	return NULL;
}

/**
 * extpager_objects_send_init() - send the INITs that are due
 * @t: target
 *
 * Context: the target's worker.
 * Return: false if memory was short: come back.
 */
bool extpager_objects_send_init(struct extpager_target *t)
{
	struct extpager_request *req;
	struct extpager_object *obj;

	for (;;) {
		spin_lock(&t->lock);
		obj = init_wanted(t);
		if (obj) {
			WRITE_ONCE(obj->generation, obj->generation + 1);
			obj->init_sent = true;
			t->store_used = true;
			ihold(&obj->inode);
		}
		spin_unlock(&t->lock);
		if (!obj)
			return true;
		req = extpager_request_alloc(obj, EXTPAGER_EV_INIT, 0);
		if (req) {
			req->length = i_size_read(&obj->inode);
			req->flags = (obj->read_only ? EXTPAGER_EVF_RDONLY : 0) |
				     (obj->initialised ? EXTPAGER_EVF_RESENT : 0);
			if (extpager_request_submit(req)) {
				extpager_request_put(req);
				req = NULL;
			}
		}
		if (!req) {
			spin_lock(&t->lock);
			extpager_object_init_unsent(obj);
			spin_unlock(&t->lock);
		}
		iput(&obj->inode);
		if (!req)
			return false;
	}
}

/* ---- opens and the end of use ---- */

/* Waits while the cache is being emptied, which does not depend on the pager. */
int extpager_object_opened(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;

	spin_lock(&t->lock);
	atomic_inc(&obj->opens);
	spin_unlock(&t->lock);
	return wait_event_killable(t->wait, !READ_ONCE(obj->terminating)) ? -EINTR : 0;
}

void extpager_object_closed(struct extpager_object *obj)
{
	if (atomic_dec_and_test(&obj->opens))
		object_kick(obj, 0);
}

/* Tell the pager something that wants no answer; nobody, if there is none. */
static void object_tell(struct extpager_request *req)
{
	if (extpager_request_submit(req))
		extpager_request_put(req);
}

static bool object_unused(struct extpager_object *obj)
{
	return !atomic_read(&obj->opens) && !(obj->attributes & EXTPAGER_ATTR_MAY_CACHE);
}

/*
 * Nobody uses the object and its pager does not want pages kept. What is dirty
 * is returned first; only then, and if still nobody came, does it end.
 */
static void object_terminate(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;
	struct extpager_request *req = NULL;
	bool end = false;

	if (!extpager_return_sync(obj, 0, LLONG_MAX, true) && extpager_object_clean(obj))
		req = extpager_request_alloc(obj, EXTPAGER_EV_TERMINATE, 0);
	if (!req) {
		object_kick(obj, HZ);
		return;
	}
	spin_lock(&t->lock);
	/* Somebody may have opened, written and closed it since. */
	if (obj->state == EXTPAGER_OBJECT_READY && object_unused(obj) && !obj->nr_writing &&
	    extpager_object_clean(obj)) {
		/* Openers wait from here on. */
		WRITE_ONCE(obj->state, EXTPAGER_OBJECT_INIT);
		WRITE_ONCE(obj->terminating, true);
		obj->initialised = false;
		end = true;
	}
	spin_unlock(&t->lock);
	if (!end) {
		extpager_request_put(req);
		object_kick(obj, HZ);
		return;
	}
	extpager_requests_cancel(obj, -EAGAIN);
	/* Before: what is delegated can be read in any state. */
	extpager_delegations_quiesce(obj);
	filemap_invalidate_lock(obj->inode.i_mapping);
	truncate_inode_pages(obj->inode.i_mapping, 0);
	filemap_invalidate_unlock(obj->inode.i_mapping);
	object_tell(req);
	spin_lock(&t->lock);
	extpager_object_init_unsent(obj);
	WRITE_ONCE(obj->terminating, false);
	if (obj->state == EXTPAGER_OBJECT_INIT && !atomic_read(&obj->opens))
		WRITE_ONCE(obj->state, EXTPAGER_OBJECT_IDLE);
	spin_unlock(&t->lock);
	mod_delayed_work(extpager_wq, &t->resend_work, 0);
	wake_up_all(&t->wait);
}

/* Not while dirty pages keep the object from its end: that is tried again. */
static bool attributes_in_force(struct extpager_object *obj)
{
	struct extpager_target *t = obj->target;
	bool tell;

	spin_lock(&t->lock);
	tell = obj->attributes_ack &&
	       !(obj->state == EXTPAGER_OBJECT_READY && object_unused(obj));
	if (tell)
		WRITE_ONCE(obj->attributes_ack, false);
	spin_unlock(&t->lock);
	return tell;
}

static void object_work(struct work_struct *work)
{
	struct extpager_object *obj = container_of(to_delayed_work(work), struct extpager_object,
						   work);
	struct extpager_target *t = obj->target;
	struct extpager_request *req;
	bool terminate, forget, later, destroy, discard;

	spin_lock(&t->lock);
	forget = obj->state == EXTPAGER_OBJECT_FAILED && !atomic_read(&obj->opens);
	if (forget)
		WRITE_ONCE(obj->state, EXTPAGER_OBJECT_IDLE);
	terminate = obj->state == EXTPAGER_OBJECT_READY && object_unused(obj);
	destroy = obj->destroy;
	discard = obj->discard;
	later = !discard && (t->state == EXTPAGER_STATE_STALLED ||
			     (t->nr_detached && obj->nr_writing));
	spin_unlock(&t->lock);

	/*
	 * Workers are few: they do not wait for a pager, nor, as no pager is blamed for that,
	 * for a file, that has missed a deadline.
	 */
	if (later && (terminate || destroy)) {
		filemap_flush(obj->inode.i_mapping);
		object_kick(obj, HZ);
	} else if (destroy) {
		if (extpager_object_end(obj, discard))
			object_kick(obj, HZ);
	} else if (terminate) {
		object_terminate(obj);
	}
	if (READ_ONCE(obj->attributes_ack)) {
		req = extpager_request_alloc(obj, EXTPAGER_EV_ATTRIBUTES, 0);
		if (!req)
			object_kick(obj, HZ);
		else if (attributes_in_force(obj))
			object_tell(req);
		else
			extpager_request_put(req);
	}
	iput(&obj->inode);
	extpager_target_put(t);
}

void extpager_object_set_attributes(struct extpager_object *obj, u32 attributes)
{
	struct extpager_target *t = obj->target;

	spin_lock(&t->lock);
	obj->attributes = attributes;
	WRITE_ONCE(obj->attributes_ack, true);
	spin_unlock(&t->lock);
	object_kick(obj, 0);
}

void extpager_object_destroy(struct extpager_object *obj, bool discard)
{
	struct extpager_target *t = obj->target;

	spin_lock(&t->lock);
	WRITE_ONCE(obj->destroy, true);
	WRITE_ONCE(obj->discard, obj->discard || discard);
	spin_unlock(&t->lock);
	object_kick(obj, 0);
}

/**
 * extpager_object_end() - end an object for good
 * @obj: object
 * @discard: drop dirty pages instead of returning them
 *
 * Resident pages stay readable for those who have it open.
 *
 * Context: a worker; waits for the pager, within its deadlines.
 * Return: 0, or nothing changed: -EBUSY: dirty pages could not be returned; -EAGAIN: the
 * kernel is writing what was returned, be it ever so long: come back.
 */
int extpager_object_end(struct extpager_object *obj, bool discard)
{
	struct extpager_target *t = obj->target;
	enum extpager_object_state was;
	struct extpager_request *req;
	struct extpager_port *port;

	if (READ_ONCE(obj->state) == EXTPAGER_OBJECT_GONE)
		return 0;
	if (!discard && !extpager_object_clean(obj)) {
		int status;

		extpager_object_use(obj);
		status = extpager_object_status(obj);
		/* A pager that is there is given its time to be READY. */
		if (status && !(status == -EAGAIN && extpager_target_live(t)) &&
		    extpager_sync_needs_pager(obj, 0, ULONG_MAX))
			return -EBUSY;
		if (extpager_return_sync(obj, 0, LLONG_MAX, true) || !extpager_object_clean(obj))
			return -EBUSY;
	}
	/* A port that is closed ends its objects whether there is memory or not. */
	req = extpager_request_alloc(obj, EXTPAGER_EV_TERMINATE, 0);
	if (!req && !discard)
		return -EBUSY;
	spin_lock(&t->lock);
	if (obj->state == EXTPAGER_OBJECT_GONE) {
		spin_unlock(&t->lock);
		if (req)
			extpager_request_put(req);
		return 0;
	}
	/* The pager may give to others what it had written to. A port that is closed has none. */
	if (obj->nr_writing && (t->named || t->port)) {
		spin_unlock(&t->lock);
		if (req)
			extpager_request_put(req);
		if (discard)
			extpager_requests_cancel(obj, -ENODEV);
		return -EAGAIN;
	}
	was = obj->state;
	port = t->port;
	WRITE_ONCE(obj->state, EXTPAGER_OBJECT_GONE);
	spin_unlock(&t->lock);
	/* Pairs with those who dirty a page and then look: see extpager_object_gone(). */
	smp_mb();
	if (!discard && !extpager_object_clean(obj)) {
		spin_lock(&t->lock);
		/* A pager that came meanwhile wants an INIT first. */
		if (was == EXTPAGER_OBJECT_READY && t->port != port)
			was = EXTPAGER_OBJECT_INIT;
		WRITE_ONCE(obj->state, was);
		extpager_object_init_unsent(obj);
		spin_unlock(&t->lock);
		mod_delayed_work(extpager_wq, &t->resend_work, 0);
		wake_up_all(&t->wait);
		extpager_request_put(req);
		return -EBUSY;
	}

	extpager_requests_cancel(obj, -ENODEV);
	extpager_spill_quiesce(obj);
	/* The pager may give to others what it had delegated. */
	extpager_delegations_quiesce(obj);
	if (discard && !extpager_object_clean(obj)) {
		extpager_count_add(t, PAGES_DISCARDED, extpager_object_dirty_pages(obj));
		truncate_inode_pages(obj->inode.i_mapping, 0);
	}
	extpager_spill_discard(obj);
	/* Who asked for the end is told of it, even if there never was a beginning. */
	if (req && (was == EXTPAGER_OBJECT_READY || READ_ONCE(obj->destroy)))
		object_tell(req);
	else if (req)
		extpager_request_put(req);
	spin_lock(&t->lock);
	xa_erase(&t->objects, lower_32_bits(obj->id));
	WRITE_ONCE(t->nr_objects, t->nr_objects - 1);
	spin_unlock(&t->lock);
	wake_up_all(&t->wait);
	remove_inode_hash(&obj->inode);
	iput(&obj->inode);
	return 0;
}
