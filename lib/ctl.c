// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One request and its answer over generic netlink. Owns the socket, turns
 * libnl's errors into errnos at this one place, and keeps what the kernel had
 * to say. Knows no attribute.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/socket.h>

#include "ctl.h"

#define DUMP_TRIES	8

/** xp_nl_errno - a negative errno for a negative error of libnl. */
int xp_nl_errno(int nlerr)
{
	switch (nlerr < 0 ? -nlerr : nlerr) {
	case NLE_SUCCESS:
		return 0;
	case NLE_INTR:
		return -EINTR;
	case NLE_AGAIN:
		return -EAGAIN;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_EXIST:
		return -EEXIST;
	case NLE_INVAL:
		return -EINVAL;
	case NLE_RANGE:
		return -ERANGE;
	case NLE_MSGSIZE:
		return -EMSGSIZE;
	case NLE_OPNOTSUPP:
		return -EOPNOTSUPP;
	case NLE_OBJ_NOTFOUND:
	case NLE_NODEV:
		return -ENOENT;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_BUSY:
		return -EBUSY;
	case NLE_DUMP_INTR:
		return -EAGAIN;
	case NLE_PROTO_MISMATCH:
	case NLE_AF_NOSUPPORT:
		return -EPROTONOSUPPORT;
	default:
		return -EIO;
	}
}

/* The kernel's words follow the error, after the request if that is repeated. */
static void keep_message(struct extpager_ctl *c, struct nlmsghdr *nlh, size_t skip)
{
	struct nlattr *attr;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS) || (int)skip > nlmsg_datalen(nlh))
		return;
	attr = nla_find((void *)((char *)nlmsg_data(nlh) + skip), nlmsg_datalen(nlh) - skip,
			NLMSGERR_ATTR_MSG);
	if (attr)
		nla_strlcpy(c->message, attr, sizeof(c->message));
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *err, void *arg)
{
	struct nlmsghdr *nlh = (void *)((char *)err - NLMSG_HDRLEN);
	struct extpager_ctl *c = arg;
	size_t skip = sizeof(*err);

	(void)from;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN(err->msg.nlmsg_len) - NLMSG_HDRLEN;
	keep_message(c, nlh, skip);
	c->error = err->error;
	c->done = true;
	return NL_STOP;
}

static int on_ack(struct nl_msg *msg, void *arg)
{
	struct extpager_ctl *c = arg;

	(void)msg;
	c->done = true;
	return NL_STOP;
}

/* The end of a dump may bring an error of its own. */
static int on_finish(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	struct extpager_ctl *c = arg;
	int error = 0;

	if (nlmsg_datalen(nlh) >= (int)sizeof(error))
		memcpy(&error, nlmsg_data(nlh), sizeof(error));
	if (error < 0) {
		keep_message(c, nlh, sizeof(error));
		c->error = error;
	}
	c->done = true;
	return NL_STOP;
}

static int on_valid(struct nl_msg *msg, void *arg)
{
	struct extpager_ctl *c = arg;

	if (c->parse && !c->error)
		c->error = c->parse(nlmsg_hdr(msg), c->parse_arg);
	return NL_OK;
}

int extpager_ctl_open(struct extpager_ctl **cp)
{
	struct extpager_ctl *c = calloc(1, sizeof(*c));
	int one = 1, ret;

	if (!c)
		return -ENOMEM;
	c->sk = nl_socket_alloc();
	if (!c->sk) {
		free(c);
		return -ENOMEM;
	}
	ret = genl_connect(c->sk);
	if (ret < 0)
		goto err;
	/* Without it errors are plain errnos, no more. */
	setsockopt(nl_socket_get_fd(c->sk), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	ret = genl_ctrl_resolve(c->sk, EXTPAGER_FAMILY_NAME);
	if (ret < 0)
		goto err;
	c->family = ret;
	nl_socket_modify_err_cb(c->sk, NL_CB_CUSTOM, on_error, c);
	nl_socket_modify_cb(c->sk, NL_CB_ACK, NL_CB_CUSTOM, on_ack, c);
	nl_socket_modify_cb(c->sk, NL_CB_FINISH, NL_CB_CUSTOM, on_finish, c);
	nl_socket_modify_cb(c->sk, NL_CB_VALID, NL_CB_CUSTOM, on_valid, c);
	*cp = c;
	return 0;

err:
	extpager_ctl_close(c);
	return xp_nl_errno(ret);
}

void extpager_ctl_close(struct extpager_ctl *c)
{
	if (!c)
		return;
	nl_socket_free(c->events);
	nl_socket_free(c->sk);
	free(c);
}

const char *extpager_ctl_error(const struct extpager_ctl *c)
{
	return c->message;
}

/** xp_ctl_msg - begin a request; xp_ctl_talk() frees it. Return: NULL without memory. */
struct nl_msg *xp_ctl_msg(struct extpager_ctl *c, int cmd, int flags)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (msg && !genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, c->family, 0, flags, cmd,
				EXTPAGER_FAMILY_VERSION)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

/**
 * xp_ctl_talk - send a request and take its answer
 * @c: conversation
 * @msg: request; freed
 * @parse: called for each message of the answer; a failure of it is returned
 * @arg: its argument
 *
 * Return: 0, what the kernel said, or why it could not be asked.
 */
int xp_ctl_talk(struct extpager_ctl *c, struct nl_msg *msg,
		int (*parse)(struct nlmsghdr *nlh, void *arg), void *arg)
{
	int ret;

	c->done = false;
	c->error = 0;
	c->message[0] = '\0';
	c->parse = parse;
	c->parse_arg = arg;
	ret = nl_send_auto(c->sk, msg);
	nlmsg_free(msg);
	while (ret >= 0 && !c->done)
		ret = nl_recvmsgs_default(c->sk);
	if (c->error)
		return c->error;
	return ret < 0 ? xp_nl_errno(ret) : 0;
}

/** xp_list_add - a new zeroed item at the end. Return: NULL without memory. */
void *xp_list_add(struct xp_list *list)
{
	if (list->nr == list->room) {
		size_t room = list->room ? 2 * list->room : 16;
		char *items = reallocarray(list->items, room, list->item_size);

		if (!items)
			return NULL;
		list->items = items;
		list->room = room;
	}
	return memset(list->items + list->nr++ * list->item_size, 0, list->item_size);
}

/**
 * xp_list_fill - dump
 * @c: conversation
 * @cmd: command to dump
 * @list: empty; its items are the caller's to free, also after a failure
 * @parse: adds an item for each message; gets @list as argument
 *
 * A dump that a change has torn is done anew.
 *
 * Return: 0, a negative errno, -EAGAIN if it is torn every time.
 */
int xp_list_fill(struct extpager_ctl *c, int cmd, struct xp_list *list,
		 int (*parse)(struct nlmsghdr *nlh, void *arg))
{
	int ret = -EAGAIN;

	for (int i = 0; i < DUMP_TRIES && ret == -EAGAIN; i++) {
		struct nl_msg *msg = xp_ctl_msg(c, cmd, NLM_F_DUMP);

		if (!msg)
			return -ENOMEM;
		list->nr = 0;
		ret = xp_ctl_talk(c, msg, parse, list);
	}
	return ret;
}
