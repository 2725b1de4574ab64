// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family `extpager`: targets are added, changed, deleted,
 * listed and watched over it. No handler waits for a pager. The family is
 * described in uapi/extpager.yaml.
 */
#include <linux/capability.h>
#include <linux/module.h>
#include <linux/pid_namespace.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "extpager.h"

#define TIMEOUT_MAX_MS	(24 * 3600 * 1000)
#define QUOTA_MIN	(256 << 10)

static struct genl_family family;

static struct netlink_range_validation bytes_range = {
	.min = 1,
	.max = EXTPAGER_BYTES_MAX,
};

static struct netlink_range_validation quota_range = {
	.min = QUOTA_MIN,
	.max = LLONG_MAX,
};

static struct netlink_range_validation spill_range = {
	.max = LLONG_MAX,
};

static struct netlink_range_validation timeout_range = {
	.min = 1,
	.max = TIMEOUT_MAX_MS,
};

static const struct nla_policy target_policy[EXTPAGER_A_TARGET_MAX + 1] = {
	[EXTPAGER_A_TARGET_NAME] = { .type = NLA_NUL_STRING, .len = EXTPAGER_NAME_MAX },
	[EXTPAGER_A_TARGET_BYTES] = NLA_POLICY_FULL_RANGE(NLA_U64, &bytes_range),
	[EXTPAGER_A_TARGET_STORE] = { .type = NLA_NUL_STRING, .len = EXTPAGER_STORE_MAX },
	[EXTPAGER_A_TARGET_UID] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_GID] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_MODE] = NLA_POLICY_MAX(NLA_U32, 0777),
	[EXTPAGER_A_TARGET_READ_ONLY] = { .type = NLA_FLAG },
	[EXTPAGER_A_TARGET_PAGER_UID] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_POLICY] = NLA_POLICY_RANGE(NLA_U32, EXTPAGER_POLICY_HOLD,
						      EXTPAGER_POLICY_SPILL),
	[EXTPAGER_A_TARGET_QUOTA] = NLA_POLICY_FULL_RANGE(NLA_U64, &quota_range),
	[EXTPAGER_A_TARGET_HANDSHAKE_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &timeout_range),
	[EXTPAGER_A_TARGET_PAGE_IN_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &timeout_range),
	[EXTPAGER_A_TARGET_RETURN_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &timeout_range),
	[EXTPAGER_A_TARGET_SYNC_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &timeout_range),
	[EXTPAGER_A_TARGET_GRACE_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &timeout_range),
	[EXTPAGER_A_TARGET_HANDSHAKE_ACTION] = NLA_POLICY_RANGE(NLA_U32, EXTPAGER_ACTION_WAIT,
								EXTPAGER_ACTION_ERROR),
	[EXTPAGER_A_TARGET_PAGE_IN_ACTION] = NLA_POLICY_RANGE(NLA_U32, EXTPAGER_ACTION_WAIT,
							      EXTPAGER_ACTION_ERROR),
	[EXTPAGER_A_TARGET_RETURN_ACTION] = NLA_POLICY_RANGE(NLA_U32, EXTPAGER_ACTION_ERROR,
							     EXTPAGER_ACTION_SPILL),
	[EXTPAGER_A_TARGET_SPILL_LIMIT] = NLA_POLICY_FULL_RANGE(NLA_U64, &spill_range),
	[EXTPAGER_A_TARGET_DISCARD] = { .type = NLA_FLAG },
};

/* Each command refuses what is not its own. */
static const struct nla_policy del_policy[EXTPAGER_A_TARGET_MAX + 1] = {
	[EXTPAGER_A_TARGET_NAME] = { .type = NLA_NUL_STRING, .len = EXTPAGER_NAME_MAX },
	[EXTPAGER_A_TARGET_DISCARD] = { .type = NLA_FLAG },
};

static const struct nla_policy get_policy[EXTPAGER_A_TARGET_MAX + 1] = {
	[EXTPAGER_A_TARGET_NAME] = { .type = NLA_NUL_STRING, .len = EXTPAGER_NAME_MAX },
};

static const struct nla_policy stats_policy[EXTPAGER_A_STATS_MAX + 1] = {
	[EXTPAGER_A_STATS_NAME] = { .type = NLA_NUL_STRING, .len = EXTPAGER_NAME_MAX },
};

/* Without a policy nothing at all would be checked. */
static const struct nla_policy none_policy[EXTPAGER_A_PORT_ID + 1] = {
	[EXTPAGER_A_PORT_ID] = { .type = NLA_REJECT },
};

/* ---- reading requests ---- */

static bool name_is_legal(const char *name)
{
	const char *c;

	if (!*name || *name == '.' || *name == '-')
		return false;
	for (c = name; *c; c++)
		if (!(isascii(*c) && isalnum(*c)) && *c != '.' && *c != '_' && *c != '-')
			return false;
	return true;
}

/* GENL_ADMIN_PERM would be CAP_NET_ADMIN, which has no say in memory. */
static int may_configure(struct sk_buff *skb, struct genl_info *info)
{
	if (netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	NL_SET_ERR_MSG(info->extack, "CAP_SYS_ADMIN is needed to configure targets");
	return -EPERM;
}

static const char *read_name(struct genl_info *info)
{
	struct nlattr *attr = info->attrs[EXTPAGER_A_TARGET_NAME];

	if (!attr) {
		NL_SET_ERR_MSG(info->extack, "a target's name is needed");
		return ERR_PTR(-EINVAL);
	}
	if (!name_is_legal(nla_data(attr))) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr,
				    "a name has 1 to 63 of A-Z a-z 0-9 . _ - and starts with neither . nor -");
		return ERR_PTR(-EINVAL);
	}
	return nla_data(attr);
}

static int read_uid(struct genl_info *info, int which, kuid_t *uid)
{
	struct nlattr *attr = info->attrs[which];

	if (!attr)
		return 0;
	*uid = make_kuid(&init_user_ns, nla_get_u32(attr));
	if (!uid_valid(*uid)) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "not a valid uid");
		return -EINVAL;
	}
	return 0;
}

/* Unlike an owner, a pager without CAP_SYS_ADMIN may be nobody. */
static int read_pager_uid(struct genl_info *info, kuid_t *uid)
{
	struct nlattr *attr = info->attrs[EXTPAGER_A_TARGET_PAGER_UID];

	if (!attr || nla_get_u32(attr) != U32_MAX)
		return read_uid(info, EXTPAGER_A_TARGET_PAGER_UID, uid);
	*uid = INVALID_UID;
	return 0;
}

static int read_gid(struct genl_info *info, kgid_t *gid)
{
	struct nlattr *attr = info->attrs[EXTPAGER_A_TARGET_GID];

	if (!attr)
		return 0;
	*gid = make_kgid(&init_user_ns, nla_get_u32(attr));
	if (!gid_valid(*gid)) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "not a valid gid");
		return -EINVAL;
	}
	return 0;
}

static void read_u32(struct genl_info *info, int which, u32 *value)
{
	if (info->attrs[which])
		*value = nla_get_u32(info->attrs[which]);
}

static const int timeout_attr[EXTPAGER_PHASES] = {
	[EXTPAGER_PHASE_HANDSHAKE]	= EXTPAGER_A_TARGET_HANDSHAKE_MS,
	[EXTPAGER_PHASE_PAGE_IN]	= EXTPAGER_A_TARGET_PAGE_IN_MS,
	[EXTPAGER_PHASE_RETURN]		= EXTPAGER_A_TARGET_RETURN_MS,
	[EXTPAGER_PHASE_SYNC]		= EXTPAGER_A_TARGET_SYNC_MS,
};

static const int action_attr[EXTPAGER_PHASES] = {
	[EXTPAGER_PHASE_HANDSHAKE]	= EXTPAGER_A_TARGET_HANDSHAKE_ACTION,
	[EXTPAGER_PHASE_PAGE_IN]	= EXTPAGER_A_TARGET_PAGE_IN_ACTION,
	[EXTPAGER_PHASE_RETURN]		= EXTPAGER_A_TARGET_RETURN_ACTION,
	/* A barrier that is late is an error. */
};

/* What add and set have in common. */
static int read_settings(struct genl_info *info, struct extpager_settings *s)
{
	u32 mode = s->mode;
	unsigned int i;
	int ret;

	ret = read_uid(info, EXTPAGER_A_TARGET_UID, &s->uid) ?:
	      read_gid(info, &s->gid) ?:
	      read_pager_uid(info, &s->pager_uid);
	if (ret)
		return ret;
	read_u32(info, EXTPAGER_A_TARGET_MODE, &mode);
	s->mode = mode;
	read_u32(info, EXTPAGER_A_TARGET_POLICY, &s->policy);
	read_u32(info, EXTPAGER_A_TARGET_GRACE_MS, &s->grace_ms);
	for (i = 0; i < EXTPAGER_PHASES; i++) {
		read_u32(info, timeout_attr[i], &s->timeout_ms[i]);
		if (action_attr[i])
			read_u32(info, action_attr[i], &s->action[i]);
	}
	if (info->attrs[EXTPAGER_A_TARGET_QUOTA])
		s->quota = nla_get_u64(info->attrs[EXTPAGER_A_TARGET_QUOTA]);
	if (info->attrs[EXTPAGER_A_TARGET_SPILL_LIMIT])
		s->spill_limit = nla_get_u64(info->attrs[EXTPAGER_A_TARGET_SPILL_LIMIT]);
	return 0;
}

/* NULL and said so if there is no memory. */
static char *read_store(struct genl_info *info)
{
	struct nlattr *attr = info->attrs[EXTPAGER_A_TARGET_STORE];
	char *store = kstrdup(attr ? nla_data(attr) : "", GFP_KERNEL);

	if (!store)
		NL_SET_ERR_MSG(info->extack, "no memory for the store's URI");
	return store;
}

/* A quarter of the dirty pages that the whole machine may have by default. */
static u64 default_quota(void)
{
	u64 share = ((u64)totalram_pages() << PAGE_SHIFT) / 20;

	return clamp_t(u64, share, QUOTA_MIN, 64 << 20);
}

static int target_add_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct extpager_settings s = {
		.uid		= GLOBAL_ROOT_UID,
		.gid		= GLOBAL_ROOT_GID,
		.mode		= 0600,
		.pager_uid	= INVALID_UID,
		.policy		= EXTPAGER_POLICY_HOLD,
		.quota		= default_quota(),
		.timeout_ms	= { 10000, 30000, 30000, 60000 },
		.action		= EXTPAGER_ACTIONS_DEFAULT,
		.spill_limit	= LLONG_MAX,
		.grace_ms	= 300000,
	};
	const char *name;
	int ret;

	ret = may_configure(skb, info);
	if (ret)
		return ret;
	name = read_name(info);
	if (IS_ERR(name))
		return PTR_ERR(name);
	if (!info->attrs[EXTPAGER_A_TARGET_BYTES]) {
		NL_SET_ERR_MSG(info->extack, "a target's size is needed");
		return -EINVAL;
	}
	if (info->attrs[EXTPAGER_A_TARGET_DISCARD]) {
		NL_SET_ERR_MSG(info->extack, "discard belongs to deletion");
		return -EINVAL;
	}
	strscpy(s.name, name, sizeof(s.name));
	s.bytes = nla_get_u64(info->attrs[EXTPAGER_A_TARGET_BYTES]);
	s.read_only = nla_get_flag(info->attrs[EXTPAGER_A_TARGET_READ_ONLY]);
	ret = read_settings(info, &s);
	if (ret)
		return ret;
	s.store = read_store(info);
	if (!s.store)
		return -ENOMEM;
	/* A call holds no reference of the module's; the target's mount is to. */
	if (try_module_get(THIS_MODULE)) {
		ret = extpager_target_add(&s, info->extack);
		module_put(THIS_MODULE);
	} else {
		NL_SET_ERR_MSG(info->extack, "the module is being unloaded");
		ret = -ENODEV;
	}
	kfree(s.store);
	return ret;
}

static int target_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	const char *name;
	int ret;

	ret = may_configure(skb, info);
	if (ret)
		return ret;
	name = read_name(info);
	if (IS_ERR(name))
		return PTR_ERR(name);
	return extpager_target_del(name, nla_get_flag(info->attrs[EXTPAGER_A_TARGET_DISCARD]),
				   info->extack);
}

static struct extpager_target *find_target(struct genl_info *info)
{
	const char *name = read_name(info);
	struct extpager_target *t;

	if (IS_ERR(name))
		return ERR_CAST(name);
	t = extpager_target_find(name);
	if (t)
		return t;
	NL_SET_ERR_MSG(info->extack, "no such target");
	return ERR_PTR(-ENOENT);
}

static void apply_owner(struct extpager_target *t)
{
	struct extpager_object *obj = extpager_target_object(t);

	if (!obj)
		return;
	/* Pairs with extpager_object_attributes_changed(): both have the same in the end. */
	spin_lock(&t->lock);
	obj->inode.i_uid = t->settings.uid;
	obj->inode.i_gid = t->settings.gid;
	obj->inode.i_mode = S_IFREG | t->settings.mode;
	spin_unlock(&t->lock);
	iput(&obj->inode);
}

/* target->lock held; most are read without it, as whole words. */
static void apply_settings(struct extpager_target *t, const struct extpager_settings *s)
{
	struct extpager_settings *to = &t->settings;
	unsigned int i;

	to->store = s->store;
	to->uid = s->uid;
	to->gid = s->gid;
	to->mode = s->mode;
	WRITE_ONCE(to->pager_uid, s->pager_uid);
	WRITE_ONCE(to->policy, s->policy);
	WRITE_ONCE(to->quota, s->quota);
	WRITE_ONCE(to->spill_limit, s->spill_limit);
	WRITE_ONCE(to->grace_ms, s->grace_ms);
	for (i = 0; i < EXTPAGER_PHASES; i++) {
		WRITE_ONCE(to->timeout_ms[i], s->timeout_ms[i]);
		WRITE_ONCE(to->action[i], s->action[i]);
	}
}

static int target_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct extpager_settings s;
	struct extpager_target *t;
	char *store = NULL;
	int ret;

	ret = may_configure(skb, info);
	if (ret)
		return ret;
	if (info->attrs[EXTPAGER_A_TARGET_BYTES] || info->attrs[EXTPAGER_A_TARGET_READ_ONLY] ||
	    info->attrs[EXTPAGER_A_TARGET_DISCARD]) {
		NL_SET_ERR_MSG(info->extack,
			       "size and read-only are fixed for a target's life: delete and add it");
		return -EINVAL;
	}
	t = find_target(info);
	if (IS_ERR(t))
		return PTR_ERR(t);
	if (info->attrs[EXTPAGER_A_TARGET_STORE]) {
		ret = -ENOMEM;
		store = read_store(info);
		if (!store)
			goto out;
	}
	spin_lock(&t->lock);
	s = t->settings;
	ret = read_settings(info, &s);
	if (!ret && store && t->port) {
		NL_SET_ERR_MSG(info->extack, "a pager serves the target from its store now");
		ret = -EBUSY;
	}
	if (!ret) {
		if (store) {
			swap(s.store, store);
			t->store_used = false;
		}
		apply_settings(t, &s);
	}
	spin_unlock(&t->lock);
	kfree(store);
	if (ret)
		goto out;
	apply_owner(t);
	extpager_target_settings_changed(t);
	extpager_notify(t, EXTPAGER_EVENT_CHANGED);
out:
	extpager_target_put(t);
	return ret;
}

/* ---- answering ---- */

/* Everybody may know what there is; stores may name hosts and keys. */
static int put_target(struct sk_buff *skb, struct extpager_target *t, bool privileged)
{
	struct extpager_object *obj = extpager_target_object(t);
	struct extpager_settings s;
	/* A dead target's super block may be gone. */
	u64 dirty = READ_ONCE(t->state) == EXTPAGER_STATE_DEAD ? 0 : extpager_target_dirty(t);
	u64 object = 0, resident = 0;
	u32 generation = 0, opens = 0, port, i;
	bool store_used;
	int ret;

	if (obj) {
		object = obj->id;
		generation = READ_ONCE(obj->generation);
		opens = atomic_read(&obj->opens);
		resident = extpager_object_resident(obj);
		iput(&obj->inode);
	}
	spin_lock(&t->lock);
	s = t->settings;
	port = t->port ? t->port->id : 0;
	store_used = t->store_used;
	/* The store's string may be replaced once the lock is dropped. */
	ret = privileged ? nla_put_string(skb, EXTPAGER_A_TARGET_STORE, s.store) : 0;
	spin_unlock(&t->lock);

	ret = ret ?: nla_put_string(skb, EXTPAGER_A_TARGET_NAME, s.name) ?:
	      nla_put_u64_64bit(skb, EXTPAGER_A_TARGET_BYTES, s.bytes, EXTPAGER_A_TARGET_PAD) ?:
	      nla_put_u32(skb, EXTPAGER_A_TARGET_UID, from_kuid_munged(&init_user_ns, s.uid)) ?:
	      nla_put_u32(skb, EXTPAGER_A_TARGET_GID, from_kgid_munged(&init_user_ns, s.gid)) ?:
	      nla_put_u32(skb, EXTPAGER_A_TARGET_MODE, s.mode) ?:
	      nla_put_u32(skb, EXTPAGER_A_TARGET_POLICY, s.policy) ?:
	      nla_put_u64_64bit(skb, EXTPAGER_A_TARGET_QUOTA, s.quota, EXTPAGER_A_TARGET_PAD) ?:
	      nla_put_u32(skb, EXTPAGER_A_TARGET_GRACE_MS, s.grace_ms) ?:
	      nla_put_u32(skb, EXTPAGER_A_TARGET_STATE, extpager_target_reported_state(t)) ?:
	      nla_put_u64_64bit(skb, EXTPAGER_A_TARGET_OBJECT, object, EXTPAGER_A_TARGET_PAD) ?:
	      nla_put_u32(skb, EXTPAGER_A_TARGET_GENERATION, generation) ?:
	      nla_put_u32(skb, EXTPAGER_A_TARGET_PORT, port) ?:
	      nla_put_u64_64bit(skb, EXTPAGER_A_TARGET_DIRTY, dirty, EXTPAGER_A_TARGET_PAD) ?:
	      nla_put_u64_64bit(skb, EXTPAGER_A_TARGET_RESIDENT, resident,
				EXTPAGER_A_TARGET_PAD) ?:
	      nla_put_u64_64bit(skb, EXTPAGER_A_TARGET_SPILL_LIMIT, s.spill_limit,
				EXTPAGER_A_TARGET_PAD) ?:
	      nla_put_u64_64bit(skb, EXTPAGER_A_TARGET_SPILLED, extpager_target_spilled(t),
				EXTPAGER_A_TARGET_PAD) ?:
	      nla_put_u32(skb, EXTPAGER_A_TARGET_OPENS, opens) ?:
	      nla_put_u32(skb, EXTPAGER_A_TARGET_PENDING, extpager_target_pending(t));
	if (!ret && s.read_only)
		ret = nla_put_flag(skb, EXTPAGER_A_TARGET_READ_ONLY);
	if (!ret && READ_ONCE(t->spill_full))
		ret = nla_put_flag(skb, EXTPAGER_A_TARGET_SPILL_FULL);
	if (!ret && store_used)
		ret = nla_put_flag(skb, EXTPAGER_A_TARGET_STORE_USED);
	if (!ret && uid_valid(s.pager_uid))
		ret = nla_put_u32(skb, EXTPAGER_A_TARGET_PAGER_UID,
				  from_kuid_munged(&init_user_ns, s.pager_uid));
	for (i = 0; i < EXTPAGER_PHASES && !ret; i++) {
		ret = nla_put_u32(skb, timeout_attr[i], s.timeout_ms[i]);
		if (!ret && action_attr[i])
			ret = nla_put_u32(skb, action_attr[i], s.action[i]);
	}
	return ret;
}

/* A target by its name, that of a port's own objects by the port. */
static int put_identity(struct sk_buff *skb, struct extpager_target *t, int name, int port)
{
	u32 id;

	if (t->named)
		return nla_put_string(skb, name, t->settings.name);
	spin_lock(&t->lock);
	id = t->port ? t->port->id : 0;
	spin_unlock(&t->lock);
	return nla_put_u32(skb, port, id);
}

static int put_stats(struct sk_buff *skb, struct extpager_target *t)
{
	int ret, i;

	ret = put_identity(skb, t, EXTPAGER_A_STATS_NAME, EXTPAGER_A_STATS_PORT);
	for (i = EXTPAGER_A_STATS_PAD + 1; i < EXTPAGER_A_STATS_LATENCY && !ret; i++)
		ret = nla_put_u64_64bit(skb, i, atomic64_read(&t->stats[i]),
					EXTPAGER_A_STATS_PAD);
	return ret ?: extpager_latency_put(skb, t);
}

static u64 queue_count(const u64 *count)
{
	/* The ring's, by plain adds: what it is about now is good enough. */
	return data_race(READ_ONCE(*count));
}

static int put_queue(struct sk_buff *skb, struct extpager_queue *q)
{
	struct nlattr *nest = nla_nest_start(skb, EXTPAGER_A_PORT_QUEUE);

	if (!nest ||
	    nla_put_u32(skb, EXTPAGER_A_QUEUE_INDEX, q->index) ||
	    nla_put_u32(skb, EXTPAGER_A_QUEUE_ENTRIES, q->entries) ||
	    nla_put_u64_64bit(skb, EXTPAGER_A_QUEUE_EVENTS, queue_count(&q->nr_events),
			      EXTPAGER_A_QUEUE_PAD) ||
	    nla_put_u64_64bit(skb, EXTPAGER_A_QUEUE_REPLIES, queue_count(&q->nr_replies),
			      EXTPAGER_A_QUEUE_PAD) ||
	    nla_put_u64_64bit(skb, EXTPAGER_A_QUEUE_BAD_REPLIES, queue_count(&q->nr_bad),
			      EXTPAGER_A_QUEUE_PAD) ||
	    nla_put_u32(skb, EXTPAGER_A_QUEUE_BACKLOG, READ_ONCE(q->nr_backlog)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_port(struct sk_buff *skb, struct extpager_port *port, bool privileged)
{
	unsigned int i;
	int ret;

	ret = nla_put_u32(skb, EXTPAGER_A_PORT_ID, port->id) ?:
	      nla_put_u32(skb, EXTPAGER_A_PORT_UID,
			  from_kuid_munged(&init_user_ns, port->uid)) ?:
	      nla_put_u32(skb, EXTPAGER_A_PORT_TARGETS, READ_ONCE(port->nr_targets)) ?:
	      nla_put_u32(skb, EXTPAGER_A_PORT_OBJECTS, READ_ONCE(port->own->nr_objects));
	if (!ret && privileged)
		ret = nla_put_u32(skb, EXTPAGER_A_PORT_PID, pid_vnr(port->pid));
	if (!ret && READ_ONCE(port->alive))
		ret = nla_put_flag(skb, EXTPAGER_A_PORT_ALIVE);
	for (i = 0; i < port->nr_queues && !ret; i++)
		ret = put_queue(skb, &port->queues[i]);
	return ret;
}

static int reply_one(struct sk_buff *request, struct genl_info *info, u8 cmd,
		     struct extpager_target *t,
		     int (*put)(struct sk_buff *skb, struct extpager_target *t, bool privileged))
{
	struct sk_buff *skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	void *hdr;
	int ret;

	if (!skb) {
		NL_SET_ERR_MSG(info->extack, "no memory for the answer");
		return -ENOMEM;
	}
	hdr = genlmsg_put_reply(skb, info, &family, 0, cmd);
	ret = hdr ? put(skb, t, netlink_capable(request, CAP_SYS_ADMIN)) : -EMSGSIZE;
	if (ret) {
		NL_SET_ERR_MSG(info->extack, "the answer is too long");
		nlmsg_free(skb);
		return ret;
	}
	genlmsg_end(skb, hdr);
	return genlmsg_reply(skb, info);
}

static int put_stats_any(struct sk_buff *skb, struct extpager_target *t, bool privileged)
{
	return put_stats(skb, t);
}

static int target_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct extpager_target *t = find_target(info);
	int ret;

	if (IS_ERR(t))
		return PTR_ERR(t);
	ret = reply_one(skb, info, EXTPAGER_CMD_TARGET_GET, t, put_target);
	extpager_target_put(t);
	return ret;
}

static int stats_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	/* Both sets of attributes begin with the name. */
	struct extpager_target *t = find_target(info);
	int ret;

	static_assert(EXTPAGER_A_STATS_NAME == (int)EXTPAGER_A_TARGET_NAME);
	if (IS_ERR(t))
		return PTR_ERR(t);
	ret = reply_one(skb, info, EXTPAGER_CMD_STATS_GET, t, put_stats_any);
	extpager_target_put(t);
	return ret;
}

static int dump_targets(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd, bool named_only,
			int (*put)(struct sk_buff *skb, struct extpager_target *t,
				   bool privileged))
{
	bool privileged = netlink_capable(cb->skb, CAP_SYS_ADMIN);
	u32 id = cb->args[0];
	struct extpager_target *t;

	while ((t = extpager_target_next(&id))) {
		int ret = 0;

		if (t->named || !named_only) {
			void *hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
						cb->nlh->nlmsg_seq, &family, NLM_F_MULTI, cmd);

			ret = hdr ? put(skb, t, privileged) : -EMSGSIZE;
			if (!ret)
				genlmsg_end(skb, hdr);
			else if (hdr)
				genlmsg_cancel(skb, hdr);
		}
		extpager_target_put(t);
		if (ret)
			break;
		cb->args[0] = id;
	}
	return skb->len;
}

static int target_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump_targets(skb, cb, EXTPAGER_CMD_TARGET_GET, true, put_target);
}

static int stats_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump_targets(skb, cb, EXTPAGER_CMD_STATS_GET, false, put_stats_any);
}

static int dump_request(struct sk_buff *skb, struct netlink_callback *cb,
			struct extpager_target *t, const struct extpager_pending *p)
{
	void *hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &family,
				NLM_F_MULTI, EXTPAGER_CMD_REQUEST_GET);

	if (!hdr)
		return -EMSGSIZE;
	if (put_identity(skb, t, EXTPAGER_A_REQUEST_NAME, EXTPAGER_A_REQUEST_PORT) ||
	    extpager_pending_put(skb, p, netlink_capable(cb->skb, CAP_SYS_ADMIN))) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

/* args: the target behind which to go on; how far in the next one, if it is still that one. */
static int request_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	u32 id = cb->args[0];
	struct extpager_target *t;

	while ((t = extpager_target_next(&id))) {
		unsigned long slot = cb->args[2] == id ? cb->args[1] : 0;
		struct extpager_pending p;
		int ret = 0;

		cb->args[2] = id;
		cb->args[1] = slot;
		while (!ret && extpager_pending_next(t, &slot, &p)) {
			ret = dump_request(skb, cb, t, &p);
			if (!ret)
				cb->args[1] = slot;
		}
		extpager_target_put(t);
		if (ret)
			break;
		cb->args[0] = id;
	}
	return skb->len;
}

struct port_dump {
	struct sk_buff *skb;
	struct netlink_callback *cb;
};

static int dump_port(struct extpager_port *port, void *arg)
{
	struct port_dump *d = arg;
	void *hdr = genlmsg_put(d->skb, NETLINK_CB(d->cb->skb).portid, d->cb->nlh->nlmsg_seq,
				&family, NLM_F_MULTI, EXTPAGER_CMD_PORT_GET);
	int ret = hdr ? put_port(d->skb, port, netlink_capable(d->cb->skb, CAP_SYS_ADMIN)) :
			-EMSGSIZE;

	if (!ret)
		genlmsg_end(d->skb, hdr);
	else if (hdr)
		genlmsg_cancel(d->skb, hdr);
	return ret;
}

/* A port with all the queues there can be must fit. */
static int port_get_start(struct netlink_callback *cb)
{
	cb->min_dump_alloc = 8192;
	return 0;
}

static int port_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct port_dump d = { .skb = skb, .cb = cb };
	int ret = extpager_port_for_each(dump_port, (unsigned long *)&cb->args[0], &d);

	return skb->len ?: ret;
}

/* ---- events ---- */

static const struct genl_multicast_group groups[] = {
	{ .name = EXTPAGER_MCGRP_EVENTS },
};

/**
 * extpager_notify() - tell who subscribed what has become of a target
 * @t: target
 * @event: enum extpager_event_type
 *
 * Without memory the event is lost; a listener that must know lists again.
 */
void extpager_notify(struct extpager_target *t, u32 event)
{
	struct sk_buff *skb;
	void *hdr;

	if (!t->named)
		return;
	skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!skb)
		return;
	hdr = genlmsg_put(skb, 0, 0, &family, 0, EXTPAGER_CMD_EVENT);
	if (!hdr || nla_put_u32(skb, EXTPAGER_A_TARGET_EVENT, event) || put_target(skb, t, false)) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, hdr);
	/* A target is the machine's; its listener may have a network of its own. */
	rcu_read_lock();
	genlmsg_multicast_allns(&family, skb, 0, 0);
	rcu_read_unlock();
}

/* ---- the family ---- */

struct command {
	const struct nla_policy *policy;
	int maxattr;
	int (*doit)(struct sk_buff *skb, struct genl_info *info);
	int (*dumpit)(struct sk_buff *skb, struct netlink_callback *cb);
};

static const struct command commands[] = {
	[EXTPAGER_CMD_TARGET_ADD] = { target_policy, EXTPAGER_A_TARGET_DISCARD, target_add_doit },
	[EXTPAGER_CMD_TARGET_DEL] = { del_policy, EXTPAGER_A_TARGET_DISCARD, target_del_doit },
	[EXTPAGER_CMD_TARGET_SET] = { target_policy, EXTPAGER_A_TARGET_DISCARD, target_set_doit },
	[EXTPAGER_CMD_TARGET_GET] = { get_policy, EXTPAGER_A_TARGET_NAME, target_get_doit,
				      target_get_dumpit },
	[EXTPAGER_CMD_STATS_GET] = { stats_policy, EXTPAGER_A_STATS_NAME, stats_get_doit,
				     stats_get_dumpit },
	[EXTPAGER_CMD_PORT_GET] = { none_policy, EXTPAGER_A_PORT_ID, NULL, port_get_dumpit },
	[EXTPAGER_CMD_REQUEST_GET] = { none_policy, EXTPAGER_A_PORT_ID, NULL,
				       request_get_dumpit },
};

#define ATTRIBUTES (EXTPAGER_A_TARGET_DISCARD + 1)

/*
 * What the core refuses nobody counts. It is told to let everything pass, as to families
 * older than its strict checks, and the same checks are made here. A refusal tells the
 * policy to the caller, as GETPOLICY would.
 */
static const struct nla_policy any_policy[] = { [1] = { .type = NLA_UNSPEC } };
#define ANY_FORM (GENL_DONT_VALIDATE_STRICT | GENL_DONT_VALIDATE_DUMP)

static int parse(const struct nlmsghdr *nlh, struct nlattr **attrs,
		 struct netlink_ext_ack *extack)
{
	const struct genlmsghdr *hdr = nlmsg_data(nlh);
	const struct command *c = &commands[hdr->cmd];
	/* A dump's two bits have come here together. */
	u16 dump = (nlh->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP ? NLM_F_DUMP : 0;

	if (hdr->reserved || nlh->nlmsg_flags & ~(NLM_F_REQUEST | NLM_F_ACK | NLM_F_ECHO | dump)) {
		NL_SET_ERR_MSG(extack, "a flag or field of the headers that has no meaning is set");
		return -EINVAL;
	}
	return genlmsg_parse(nlh, &family, attrs, c->maxattr, c->policy, extack);
}

static int command_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *attrs[ATTRIBUTES];
	int ret = parse(info->nlhdr, attrs, info->extack);

	info->attrs = attrs;
	if (!ret)
		ret = commands[info->genlhdr->cmd].doit(skb, info);
	return extpager_call_ends(EXTPAGER_CALL_COMMAND, ret);
}

#define DUMP_PARSED 5

/* From .start, older kernels do not pass on the words of a refusal. */
static int command_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	const struct genlmsghdr *hdr = nlmsg_data(cb->nlh);
	struct nlattr *attrs[ATTRIBUTES];
	int ret;

	if (!cb->args[DUMP_PARSED]) {
		ret = parse(cb->nlh, attrs, cb->extack);
		if (ret)
			return extpager_call_ends(EXTPAGER_CALL_COMMAND, ret);
		cb->args[DUMP_PARSED] = true;
	}
	return commands[hdr->cmd].dumpit(skb, cb);
}

static const struct genl_ops ops[] = {
	{
		.cmd		= EXTPAGER_CMD_TARGET_ADD,
		.validate	= ANY_FORM,
		.doit		= command_doit,
	},
	{
		.cmd		= EXTPAGER_CMD_TARGET_DEL,
		.validate	= ANY_FORM,
		.doit		= command_doit,
	},
	{
		.cmd		= EXTPAGER_CMD_TARGET_SET,
		.validate	= ANY_FORM,
		.doit		= command_doit,
	},
	{
		.cmd		= EXTPAGER_CMD_TARGET_GET,
		.validate	= ANY_FORM,
		.doit		= command_doit,
		.dumpit		= command_dumpit,
	},
	{
		.cmd		= EXTPAGER_CMD_STATS_GET,
		.validate	= ANY_FORM,
		.doit		= command_doit,
		.dumpit		= command_dumpit,
	},
	{
		.cmd		= EXTPAGER_CMD_PORT_GET,
		.validate	= ANY_FORM,
		.start		= port_get_start,
		.dumpit		= command_dumpit,
	},
	{
		.cmd		= EXTPAGER_CMD_REQUEST_GET,
		.validate	= ANY_FORM,
		.dumpit		= command_dumpit,
	},
};

static struct genl_family family __ro_after_init = {
	.name		= EXTPAGER_FAMILY_NAME,
	.version	= EXTPAGER_FAMILY_VERSION,
	.module		= THIS_MODULE,
	.netnsok	= true,
	.parallel_ops	= true,
	.policy		= any_policy,
	.maxattr	= ARRAY_SIZE(any_policy) - 1,
	.resv_start_op	= EXTPAGER_CMD_MAX + 1,
	.ops		= ops,
	.n_ops		= ARRAY_SIZE(ops),
	.mcgrps		= groups,
	.n_mcgrps	= ARRAY_SIZE(groups),
};
MODULE_ALIAS_GENL_FAMILY(EXTPAGER_FAMILY_NAME);

int __init extpager_netlink_init(void)
{
	return genl_register_family(&family);
}

void extpager_netlink_exit(void)
{
	genl_unregister_family(&family);
}
