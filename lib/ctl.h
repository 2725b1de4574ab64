/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A netlink conversation, as the files that speak over it share it. */
#ifndef XP_CTL_H
#define XP_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <extpager.h>
#include <linux/extpager_netlink.h>

struct extpager_ctl {
	struct nl_sock *sk;		/* requests */
	struct nl_sock *events;		/* NULL until subscribed */
	int family;

	/* the exchange that runs */
	bool done;
	int error;			/* what the kernel said, negative errno */
	int (*parse)(struct nlmsghdr *nlh, void *arg);
	void *parse_arg;

	char message[256];		/* of the last failure */
};

struct nl_msg *xp_ctl_msg(struct extpager_ctl *c, int cmd, int flags);
int xp_ctl_talk(struct extpager_ctl *c, struct nl_msg *msg,
		int (*parse)(struct nlmsghdr *nlh, void *arg), void *arg);
int xp_nl_errno(int nlerr);

/* What a dump brings is collected first: callbacks may use the conversation. */
struct xp_list {
	size_t item_size;
	size_t nr;
	size_t room;
	char *items;
};

void *xp_list_add(struct xp_list *list);
int xp_list_fill(struct extpager_ctl *c, int cmd, struct xp_list *list,
		 int (*parse)(struct nlmsghdr *nlh, void *arg));

#endif /* XP_CTL_H */
