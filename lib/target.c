// SPDX-License-Identifier: LGPL-2.1-or-later
/* Targets over netlink: add, set, delete, get, list, and the news of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/socket.h>

#include "ctl.h"
#include "sized.h"

_Static_assert((int)EXTPAGER_HOLD == (int)EXTPAGER_POLICY_HOLD, "same policy");
_Static_assert((int)EXTPAGER_FAIL == (int)EXTPAGER_POLICY_FAIL, "same policy");
_Static_assert((int)EXTPAGER_SPILL == (int)EXTPAGER_POLICY_SPILL, "same policy");
_Static_assert((int)EXTPAGER_ACT_WAIT == (int)EXTPAGER_ACTION_WAIT, "same action");
_Static_assert((int)EXTPAGER_ACT_ERROR == (int)EXTPAGER_ACTION_ERROR, "same action");
_Static_assert((int)EXTPAGER_ACT_SPILL == (int)EXTPAGER_ACTION_SPILL, "same action");

static struct nla_policy policy[EXTPAGER_A_TARGET_MAX + 1] = {
	[EXTPAGER_A_TARGET_NAME] = { .type = NLA_STRING },
	[EXTPAGER_A_TARGET_BYTES] = { .type = NLA_U64 },
	[EXTPAGER_A_TARGET_STORE] = { .type = NLA_STRING },
	[EXTPAGER_A_TARGET_UID] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_GID] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_MODE] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_READ_ONLY] = { .type = NLA_FLAG },
	[EXTPAGER_A_TARGET_PAGER_UID] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_POLICY] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_QUOTA] = { .type = NLA_U64 },
	[EXTPAGER_A_TARGET_HANDSHAKE_MS] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_PAGE_IN_MS] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_RETURN_MS] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_SYNC_MS] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_GRACE_MS] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_HANDSHAKE_ACTION] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_PAGE_IN_ACTION] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_RETURN_ACTION] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_SPILL_LIMIT] = { .type = NLA_U64 },
	[EXTPAGER_A_TARGET_STATE] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_OBJECT] = { .type = NLA_U64 },
	[EXTPAGER_A_TARGET_GENERATION] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_PORT] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_DIRTY] = { .type = NLA_U64 },
	[EXTPAGER_A_TARGET_SPILLED] = { .type = NLA_U64 },
	[EXTPAGER_A_TARGET_SPILL_FULL] = { .type = NLA_FLAG },
	[EXTPAGER_A_TARGET_OPENS] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_PENDING] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_STORE_USED] = { .type = NLA_FLAG },
	[EXTPAGER_A_TARGET_EVENT] = { .type = NLA_U32 },
	[EXTPAGER_A_TARGET_RESIDENT] = { .type = NLA_U64 },
};

/* Members of struct extpager_target that are numbers. */
struct member {
	size_t offset;
	unsigned int set;	/* EXTPAGER_SET_*, 0 = told by the kernel only */
};

#define MEMBER(name, set)	{ offsetof(struct extpager_target, name), set }

static const struct member members[EXTPAGER_A_TARGET_MAX + 1] = {
	[EXTPAGER_A_TARGET_BYTES] = MEMBER(bytes, EXTPAGER_SET_BYTES),
	[EXTPAGER_A_TARGET_UID] = MEMBER(uid, EXTPAGER_SET_UID),
	[EXTPAGER_A_TARGET_GID] = MEMBER(gid, EXTPAGER_SET_GID),
	[EXTPAGER_A_TARGET_MODE] = MEMBER(mode, EXTPAGER_SET_MODE),
	[EXTPAGER_A_TARGET_PAGER_UID] = MEMBER(pager_uid, EXTPAGER_SET_PAGER_UID),
	[EXTPAGER_A_TARGET_POLICY] = MEMBER(policy, EXTPAGER_SET_POLICY),
	[EXTPAGER_A_TARGET_QUOTA] = MEMBER(quota, EXTPAGER_SET_QUOTA),
	[EXTPAGER_A_TARGET_HANDSHAKE_MS] = MEMBER(handshake_ms, EXTPAGER_SET_HANDSHAKE),
	[EXTPAGER_A_TARGET_PAGE_IN_MS] = MEMBER(page_in_ms, EXTPAGER_SET_PAGE_IN),
	[EXTPAGER_A_TARGET_RETURN_MS] = MEMBER(return_ms, EXTPAGER_SET_RETURN),
	[EXTPAGER_A_TARGET_SYNC_MS] = MEMBER(sync_ms, EXTPAGER_SET_SYNC),
	[EXTPAGER_A_TARGET_GRACE_MS] = MEMBER(grace_ms, EXTPAGER_SET_GRACE),
	[EXTPAGER_A_TARGET_HANDSHAKE_ACTION] = MEMBER(handshake_action,
						      EXTPAGER_SET_HANDSHAKE_ACTION),
	[EXTPAGER_A_TARGET_PAGE_IN_ACTION] = MEMBER(page_in_action, EXTPAGER_SET_PAGE_IN_ACTION),
	[EXTPAGER_A_TARGET_RETURN_ACTION] = MEMBER(return_action, EXTPAGER_SET_RETURN_ACTION),
	[EXTPAGER_A_TARGET_SPILL_LIMIT] = MEMBER(spill_limit, EXTPAGER_SET_SPILL_LIMIT),
	[EXTPAGER_A_TARGET_STATE] = MEMBER(state, 0),
	[EXTPAGER_A_TARGET_OBJECT] = MEMBER(object, 0),
	[EXTPAGER_A_TARGET_GENERATION] = MEMBER(generation, 0),
	[EXTPAGER_A_TARGET_PORT] = MEMBER(port, 0),
	[EXTPAGER_A_TARGET_DIRTY] = MEMBER(dirty, 0),
	[EXTPAGER_A_TARGET_RESIDENT] = MEMBER(resident, 0),
	[EXTPAGER_A_TARGET_SPILLED] = MEMBER(spilled, 0),
	[EXTPAGER_A_TARGET_OPENS] = MEMBER(opens, 0),
	[EXTPAGER_A_TARGET_PENDING] = MEMBER(pending, 0),
};

static int put_member(struct nl_msg *msg, int attr, const char *at)
{
	uint64_t wide;
	uint32_t word;

	if (policy[attr].type == NLA_U64) {
		memcpy(&wide, at, sizeof(wide));
		return nla_put_u64(msg, attr, wide);
	}
	memcpy(&word, at, sizeof(word));
	return nla_put_u32(msg, attr, word);
}

static void get_member(char *at, int attr, const struct nlattr *nla)
{
	uint64_t wide;
	uint32_t word;

	if (policy[attr].type == NLA_U64) {
		wide = nla_get_u64(nla);
		memcpy(at, &wide, sizeof(wide));
	} else {
		word = nla_get_u32(nla);
		memcpy(at, &word, sizeof(word));
	}
}

static int put_target(struct nl_msg *msg, const struct extpager_target *t)
{
	int ret;

	ret = nla_put_string(msg, EXTPAGER_A_TARGET_NAME, t->name);
	if (!ret && t->set & EXTPAGER_SET_STORE)
		ret = nla_put_string(msg, EXTPAGER_A_TARGET_STORE, t->store);
	if (!ret && t->set & EXTPAGER_SET_READ_ONLY && t->read_only)
		ret = nla_put_flag(msg, EXTPAGER_A_TARGET_READ_ONLY);
	for (int attr = 0; !ret && attr <= EXTPAGER_A_TARGET_MAX; attr++)
		if (t->set & members[attr].set)
			ret = put_member(msg, attr, (const char *)t + members[attr].offset);
	return ret;
}

static int get_target(struct nlmsghdr *nlh, struct extpager_target *t, unsigned int *event)
{
	struct nlattr *tb[EXTPAGER_A_TARGET_MAX + 1];
	int ret;

	ret = genlmsg_parse(nlh, 0, tb, EXTPAGER_A_TARGET_MAX, policy);
	if (ret < 0)
		return xp_nl_errno(ret);
	memset(t, 0, sizeof(*t));
	t->size = sizeof(*t);
	if (tb[EXTPAGER_A_TARGET_NAME])
		nla_strlcpy(t->name, tb[EXTPAGER_A_TARGET_NAME], sizeof(t->name));
	if (tb[EXTPAGER_A_TARGET_STORE]) {
		nla_strlcpy(t->store, tb[EXTPAGER_A_TARGET_STORE], sizeof(t->store));
		t->set |= EXTPAGER_SET_STORE;
	}
	t->read_only = tb[EXTPAGER_A_TARGET_READ_ONLY];
	t->pager_uid = EXTPAGER_NO_UID;
	t->set |= EXTPAGER_SET_READ_ONLY | EXTPAGER_SET_PAGER_UID;
	t->store_used = tb[EXTPAGER_A_TARGET_STORE_USED];
	t->spill_full = tb[EXTPAGER_A_TARGET_SPILL_FULL];
	for (int attr = 0; attr <= EXTPAGER_A_TARGET_MAX; attr++) {
		if (!members[attr].offset || !tb[attr])
			continue;
		get_member((char *)t + members[attr].offset, attr, tb[attr]);
		t->set |= members[attr].set;
	}
	if (event)
		*event = tb[EXTPAGER_A_TARGET_EVENT] ? nla_get_u32(tb[EXTPAGER_A_TARGET_EVENT]) : 0;
	return 0;
}

/* ADD and SET. */
static int configure(struct extpager_ctl *c, int cmd, const struct extpager_target *caller)
{
	struct extpager_target t;
	struct nl_msg *msg;
	int ret;

	c->message[0] = '\0';
	ret = xp_copy_sized(&t, sizeof(t), caller, caller->size);
	if (ret)
		return ret;
	if (!memchr(t.name, '\0', sizeof(t.name)) || !memchr(t.store, '\0', sizeof(t.store)))
		return -EINVAL;
	if (cmd == EXTPAGER_CMD_TARGET_SET && t.set & EXTPAGER_SET_READ_ONLY && !t.read_only) {
		strcpy(c->message, "read-only cannot be taken back");
		return -EINVAL;
	}
	msg = xp_ctl_msg(c, cmd, 0);
	if (!msg)
		return -ENOMEM;
	ret = put_target(msg, &t);
	if (ret) {
		nlmsg_free(msg);
		return xp_nl_errno(ret);
	}
	return xp_ctl_talk(c, msg, NULL, NULL);
}

int extpager_target_add(struct extpager_ctl *c, const struct extpager_target *t)
{
	return configure(c, EXTPAGER_CMD_TARGET_ADD, t);
}

int extpager_target_set(struct extpager_ctl *c, const struct extpager_target *t)
{
	return configure(c, EXTPAGER_CMD_TARGET_SET, t);
}

int extpager_target_del(struct extpager_ctl *c, const char *name, bool discard)
{
	struct nl_msg *msg = xp_ctl_msg(c, EXTPAGER_CMD_TARGET_DEL, 0);
	int ret;

	if (!msg)
		return -ENOMEM;
	ret = nla_put_string(msg, EXTPAGER_A_TARGET_NAME, name);
	if (!ret && discard)
		ret = nla_put_flag(msg, EXTPAGER_A_TARGET_DISCARD);
	if (ret) {
		nlmsg_free(msg);
		return xp_nl_errno(ret);
	}
	return xp_ctl_talk(c, msg, NULL, NULL);
}

static int parse_one(struct nlmsghdr *nlh, void *arg)
{
	return get_target(nlh, arg, NULL);
}

int extpager_target_get(struct extpager_ctl *c, const char *name, struct extpager_target *t)
{
	struct extpager_target got = { .size = sizeof(got) };
	struct nl_msg *msg;
	int ret;

	if (t->size < sizeof(t->size))
		return -EINVAL;
	msg = xp_ctl_msg(c, EXTPAGER_CMD_TARGET_GET, 0);
	if (!msg)
		return -ENOMEM;
	ret = nla_put_string(msg, EXTPAGER_A_TARGET_NAME, name);
	if (ret) {
		nlmsg_free(msg);
		return xp_nl_errno(ret);
	}
	ret = xp_ctl_talk(c, msg, parse_one, &got);
	if (ret)
		return ret;
	got.size = t->size;
	if (t->size > sizeof(got))
		memset((char *)t + sizeof(got), 0, t->size - sizeof(got));
	memcpy(t, &got, t->size < sizeof(got) ? t->size : sizeof(got));
	return 0;
}

static int parse_listed(struct nlmsghdr *nlh, void *arg)
{
	struct extpager_target *t = xp_list_add(arg);

	return t ? get_target(nlh, t, NULL) : -ENOMEM;
}

int extpager_target_list(struct extpager_ctl *c,
			 int (*cb)(const struct extpager_target *t, void *arg), void *arg)
{
	struct xp_list list = { .item_size = sizeof(struct extpager_target) };
	const struct extpager_target *t;
	int ret;

	ret = xp_list_fill(c, EXTPAGER_CMD_TARGET_GET, &list, parse_listed);
	t = (const void *)list.items;
	for (size_t i = 0; !ret && i < list.nr; i++)
		ret = cb(&t[i], arg);
	free(list.items);
	return ret;
}

/* ---- News ---------------------------------------------------------------- */

struct reader {
	int (*cb)(unsigned int event, const struct extpager_target *t, void *arg);
	void *arg;
	int ret;
};

static int on_news(struct nl_msg *msg, void *arg)
{
	struct reader *reader = arg;
	struct extpager_target t;
	unsigned int event;

	if (((struct genlmsghdr *)nlmsg_data(nlmsg_hdr(msg)))->cmd != EXTPAGER_CMD_EVENT)
		return NL_OK;
	reader->ret = get_target(nlmsg_hdr(msg), &t, &event);
	if (!reader->ret)
		reader->ret = reader->cb(event, &t, reader->arg);
	return reader->ret ? NL_STOP : NL_OK;
}

int extpager_ctl_subscribe(struct extpager_ctl *c)
{
	struct nl_sock *sk;
	int ret;

	if (c->events)
		return 0;
	sk = nl_socket_alloc();
	if (!sk)
		return -ENOMEM;
	ret = genl_connect(sk);
	if (ret < 0)
		goto err;
	ret = genl_ctrl_resolve_grp(sk, EXTPAGER_FAMILY_NAME, EXTPAGER_MCGRP_EVENTS);
	if (ret < 0)
		goto err;
	ret = nl_socket_add_membership(sk, ret);
	if (ret < 0)
		goto err;
	/* News answer nothing, so they follow no sequence. */
	nl_socket_disable_seq_check(sk);
	ret = nl_socket_set_nonblocking(sk);
	if (ret < 0)
		goto err;
	c->events = sk;
	return 0;

err:
	nl_socket_free(sk);
	return xp_nl_errno(ret);
}

int extpager_ctl_fd(const struct extpager_ctl *c)
{
	return c->events ? nl_socket_get_fd(c->events) : -ENOTCONN;
}

int extpager_ctl_read(struct extpager_ctl *c,
		      int (*cb)(unsigned int event, const struct extpager_target *t, void *arg),
		      void *arg)
{
	struct reader reader = { .cb = cb, .arg = arg };
	int ret = 0;

	if (!c->events)
		return -ENOTCONN;
	nl_socket_modify_cb(c->events, NL_CB_VALID, NL_CB_CUSTOM, on_news, &reader);
	while (ret >= 0 && !reader.ret)
		ret = nl_recvmsgs_default(c->events);
	if (reader.ret)
		return reader.ret;
	/* libnl tells a socket that overflowed from no memory by nothing. */
	if (ret == -NLE_NOMEM)
		return -ENOBUFS;
	return ret == -NLE_AGAIN ? 0 : xp_nl_errno(ret);
}
