// SPDX-License-Identifier: LGPL-2.1-or-later
/* What is asked and not yet answered, over netlink. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <netlink/genl/genl.h>

#include <linux/extpager.h>

#include "ctl.h"
#include "names.h"

static struct nla_policy policy[EXTPAGER_A_REQUEST_MAX + 1] = {
	[EXTPAGER_A_REQUEST_NAME] = { .type = NLA_STRING },
	[EXTPAGER_A_REQUEST_PORT] = { .type = NLA_U32 },
	[EXTPAGER_A_REQUEST_OP] = { .type = NLA_U32 },
	[EXTPAGER_A_REQUEST_PLACE] = { .type = NLA_U32 },
	[EXTPAGER_A_REQUEST_FLAGS] = { .type = NLA_U32 },
	[EXTPAGER_A_REQUEST_OBJECT] = { .type = NLA_U64 },
	[EXTPAGER_A_REQUEST_OFFSET] = { .type = NLA_U64 },
	[EXTPAGER_A_REQUEST_LENGTH] = { .type = NLA_U64 },
	[EXTPAGER_A_REQUEST_AGE_MS] = { .type = NLA_U64 },
	[EXTPAGER_A_REQUEST_LEFT_MS] = { .type = NLA_U64 },
	[EXTPAGER_A_REQUEST_PID] = { .type = NLA_U32 },
	[EXTPAGER_A_REQUEST_COMM] = { .type = NLA_STRING },
};

static uint32_t get_u32(struct nlattr *const *tb, int attr)
{
	return tb[attr] ? nla_get_u32(tb[attr]) : 0;
}

static uint64_t get_u64(struct nlattr *const *tb, int attr)
{
	return tb[attr] ? nla_get_u64(tb[attr]) : 0;
}

static int parse_pending(struct nlmsghdr *nlh, void *arg)
{
	struct nlattr *tb[EXTPAGER_A_REQUEST_MAX + 1];
	struct extpager_pending *p = xp_list_add(arg);
	uint32_t flags;
	int ret;

	if (!p)
		return -ENOMEM;
	ret = genlmsg_parse(nlh, 0, tb, EXTPAGER_A_REQUEST_MAX, policy);
	if (ret < 0)
		return xp_nl_errno(ret);
	if (tb[EXTPAGER_A_REQUEST_NAME])
		nla_strlcpy(p->target, tb[EXTPAGER_A_REQUEST_NAME], sizeof(p->target));
	if (tb[EXTPAGER_A_REQUEST_COMM])
		nla_strlcpy(p->comm, tb[EXTPAGER_A_REQUEST_COMM], sizeof(p->comm));
	p->port = get_u32(tb, EXTPAGER_A_REQUEST_PORT);
	p->request = xp_request_name(get_u32(tb, EXTPAGER_A_REQUEST_OP));
	p->place = xp_place_name(get_u32(tb, EXTPAGER_A_REQUEST_PLACE));
	p->pid = get_u32(tb, EXTPAGER_A_REQUEST_PID);
	p->object = get_u64(tb, EXTPAGER_A_REQUEST_OBJECT);
	p->offset = get_u64(tb, EXTPAGER_A_REQUEST_OFFSET);
	p->length = get_u64(tb, EXTPAGER_A_REQUEST_LENGTH);
	p->age_ms = get_u64(tb, EXTPAGER_A_REQUEST_AGE_MS);
	p->left_ms = get_u64(tb, EXTPAGER_A_REQUEST_LEFT_MS);
	flags = get_u32(tb, EXTPAGER_A_REQUEST_FLAGS);
	p->zero = flags & EXTPAGER_EVF_ZERO;
	p->prefetch = flags & EXTPAGER_EVF_PREFETCH;
	p->resent = flags & EXTPAGER_EVF_RESENT;
	return 0;
}

int extpager_pending_list(struct extpager_ctl *c,
			  int (*cb)(const struct extpager_pending *p, void *arg), void *arg)
{
	struct xp_list list = { .item_size = sizeof(struct extpager_pending) };
	const struct extpager_pending *p;
	int ret;

	ret = xp_list_fill(c, EXTPAGER_CMD_REQUEST_GET, &list, parse_pending);
	p = (const void *)list.items;
	for (size_t i = 0; !ret && i < list.nr; i++)
		ret = cb(&p[i], arg);
	free(list.items);
	return ret;
}
