// SPDX-License-Identifier: GPL-2.0-only
/* Generic netlink over a bare socket: messages as they are, wrong ones too. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <linux/extpager_netlink.h>

#include "genl.h"

/* ---- messages ---- */

struct message message(uint16_t family, uint8_t cmd)
{
	return (struct message){
		.nh = {
			.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN),
			.nlmsg_type = family,
			.nlmsg_flags = NLM_F_REQUEST,
		},
		.gh = { .cmd = cmd, .version = EXTPAGER_FAMILY_VERSION },
	};
}

void put(struct message *m, uint16_t type, const void *data, size_t len)
{
	struct nlattr *attr = (void *)((char *)m + NLMSG_ALIGN(m->nh.nlmsg_len));

	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + len;
	if (len)
		memcpy(attr + 1, data, len);
	m->nh.nlmsg_len = NLMSG_ALIGN(m->nh.nlmsg_len) + NLA_ALIGN(attr->nla_len);
}

void put_u32(struct message *m, uint16_t type, uint32_t value)
{
	put(m, type, &value, sizeof(value));
}

void put_u64(struct message *m, uint16_t type, uint64_t value)
{
	put(m, type, &value, sizeof(value));
}

void put_string(struct message *m, uint16_t type, const char *text)
{
	put(m, type, text, strlen(text) + 1);
}

void put_flag(struct message *m, uint16_t type)
{
	put(m, type, NULL, 0);
}

struct nlattr *attr_at(void *at, void *end)
{
	struct nlattr *attr = at;

	return at + NLA_HDRLEN <= end && attr->nla_len >= NLA_HDRLEN ? attr : NULL;
}

struct nlattr *next_attr(struct nlattr *attr, void *end)
{
	return attr_at((void *)attr + NLA_ALIGN(attr->nla_len), end);
}

void *end_of(struct nlattr *nest)
{
	return (void *)nest + nest->nla_len;
}

struct nlattr *find_in(void *start, size_t len, uint16_t type)
{
	struct nlattr *attr = attr_at(start, start + len);

	while (attr && (attr->nla_type & NLA_TYPE_MASK) != type)
		attr = next_attr(attr, start + len);
	return attr;
}

void *end_of_message(struct nlmsghdr *nh)
{
	return (void *)nh + nh->nlmsg_len;
}

struct nlattr *first_attr(struct nlmsghdr *nh)
{
	return attr_at(NLMSG_DATA(nh) + GENL_HDRLEN, end_of_message(nh));
}

struct nlattr *find(struct nlmsghdr *nh, uint16_t type)
{
	return find_in(NLMSG_DATA(nh) + GENL_HDRLEN, nh->nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN),
		       type);
}

uint64_t number_of(const struct nlattr *attr)
{
	uint64_t value = 0;

	if (attr)
		memcpy(&value, attr + 1, attr->nla_len - NLA_HDRLEN);
	return value;
}

/* ---- a conversation ---- */

/* Of an ERROR, which quotes the message, or of the end of a dump. */
static void take_refusal(struct socket *s, struct nlmsghdr *nh)
{
	struct nlmsgerr *err = NLMSG_DATA(nh);
	size_t len, skip = sizeof(err->error);
	struct nlattr *text;

	if (!(nh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (nh->nlmsg_type == NLMSG_ERROR)
		skip += nh->nlmsg_flags & NLM_F_CAPPED ? sizeof(err->msg) :
							 NLMSG_ALIGN(err->msg.nlmsg_len);
	len = nh->nlmsg_len - NLMSG_HDRLEN - skip;
	text = find_in((char *)err + skip, len, NLMSGERR_ATTR_MSG);
	if (text)
		snprintf(s->why, sizeof(s->why), "%s", (char *)(text + 1));
	s->policy = find_in((char *)err + skip, len, NLMSGERR_ATTR_POLICY);
}

int talk(struct socket *s, struct message *m, unsigned int flags, take_fn take, void *arg)
{
	s->why[0] = 0;
	s->policy = NULL;
	m->nh.nlmsg_flags |= flags | NLM_F_ACK;
	m->nh.nlmsg_seq = ++s->seq;
	if (send(s->fd, m, m->nh.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t len = recv(s->fd, s->buf, sizeof(s->buf), 0);
		struct nlmsghdr *nh = (void *)s->buf;

		if (len < 0)
			return -errno;
		for (; NLMSG_OK(nh, len); nh = NLMSG_NEXT(nh, len)) {
			if (nh->nlmsg_seq != s->seq)
				continue;
			if (nh->nlmsg_type == NLMSG_DONE || nh->nlmsg_type == NLMSG_ERROR) {
				take_refusal(s, nh);
				return ((struct nlmsgerr *)NLMSG_DATA(nh))->error;
			}
			if (take)
				take(nh, arg);
		}
	}
}

static void take_family(struct nlmsghdr *nh, void *arg)
{
	struct nlattr *groups = find(nh, CTRL_ATTR_MCAST_GROUPS);
	struct nlattr *group = groups ? groups + 1 : NULL;	/* the only one */
	struct socket *s = arg;

	s->family = number_of(find(nh, CTRL_ATTR_FAMILY_ID));
	if (group)
		s->group = number_of(find_in(group + 1, group->nla_len - NLA_HDRLEN,
					     CTRL_ATTR_MCAST_GRP_ID));
}

bool open_socket(struct socket *s)
{
	struct message m = message(GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	struct timeval limit = { .tv_sec = ANSWER_MS / 1000 };
	int one = 1;

	s->seq = 0;
	s->family = 0;
	s->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	setsockopt(s->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	put_string(&m, CTRL_ATTR_FAMILY_NAME, EXTPAGER_FAMILY_NAME);
	return !talk(s, &m, 0, take_family, s) && s->family;
}

bool subscribe(struct socket *s)
{
	return s->group && !setsockopt(s->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &s->group,
				       sizeof(s->group));
}
