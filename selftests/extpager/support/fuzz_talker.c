// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who talks to the netlink family: each command with attributes of its policy, some of
 * them spoiled. As root of the targets that anything may happen to; as nobody of the
 * one that is served well, too, which must not come to any harm.
 */
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "genl.h"

static const struct attribute {
	uint8_t cmd;
	uint16_t type;
	enum { FLAG, U32, U64, NUL_STRING } is;
	uint64_t least, most;
} attributes[] = {
#define TAKES(cmd, attr, type, least, most) { cmd, attr, type, least, most },
#include "policy.h"
#undef TAKES
};

#define NR_ATTRIBUTES (sizeof(attributes) / sizeof(attributes[0]))

struct talker {
	struct fuzz_me me;
	bool root;
	size_t room;			/* for an answer: longer dumps come in pieces */
	struct socket s;
};

static const char *some_name(struct talker *t, uint8_t cmd)
{
	static char name[32];
	bool asks = cmd == EXTPAGER_CMD_TARGET_GET || cmd == EXTPAGER_CMD_STATS_GET;

	if ((asks || !t->root) && fuzz_pick(&t->me, 2))
		return FUZZ_HONEST;
	/* Those that are in use do not go too often. */
	if (fuzz_pick(&t->me, 8) < (cmd == EXTPAGER_CMD_TARGET_DEL ? 1 : 6))
		return fuzz_name(&t->me);
	snprintf(name, sizeof(name), "fuzz-more-%u", (unsigned int)fuzz_pick(&t->me, 8));
	return name;
}

/*
 * Near the least, an end of what is allowed, one beyond, or anything. The longest times
 * make nobody wait for long: they are soon set back.
 */
static uint64_t some_number(struct fuzz_me *me, const struct attribute *a)
{
	uint64_t n;

	switch (fuzz_pick(me, 8)) {
	case 0:
		return a->least;
	case 1:
		return a->most;
	case 2:
		return a->least - 1;
	case 3:
		return a->most + 1;
	case 4:
		return fuzz_value(me, a->is == U32 ? 4 : 8);
	default:
		n = a->most - a->least;
		return a->least + fuzz_pick(me, n < 500 ? n + 1 : 500);
	}
}

static void put_any(struct talker *t, struct message *m, uint16_t type, size_t len)
{
	char bytes[1200];
	size_t i;

	for (i = 0; i < len; i++)
		bytes[i] = fuzz_value(&t->me, 1);
	put(m, type, bytes, len);
}

static void put_right(struct talker *t, struct message *m, const struct attribute *a)
{
	char text[1100];
	size_t len;

	switch (a->is) {
	case FLAG:
		put_flag(m, a->type);
		break;
	case U32:
		put_u32(m, a->type, some_number(&t->me, a));
		break;
	case U64:
		put_u64(m, a->type, some_number(&t->me, a));
		break;
	case NUL_STRING:
		if (a->type == EXTPAGER_A_TARGET_NAME) {
			put_string(m, a->type, some_name(t, a->cmd));
			break;
		}
		len = fuzz_pick(&t->me, 8) ? fuzz_pick(&t->me, 40) :
		      a->most - 1 + fuzz_pick(&t->me, 3);
		memset(text, 's', len);
		text[len] = 0;
		put_string(m, a->type, text);
	}
}

/* Of the wrong kind, length or place, without an end, with a length that lies, or in a nest. */
static void put_wrong(struct talker *t, struct message *m, const struct attribute *a)
{
	struct nlattr *attr = (void *)((char *)m + NLMSG_ALIGN(m->nh.nlmsg_len));
	struct fuzz_me *me = &t->me;

	switch (fuzz_pick(me, 7)) {
	case 0:
		put_any(t, m, a->type, fuzz_pick(me, 20));
		break;
	case 1:
		put_any(t, m, a->type, fuzz_pick(me, 1200));
		break;
	case 2:
		put_any(t, m, fuzz_pick(me, EXTPAGER_A_TARGET_MAX + 3), fuzz_pick(me, 9));
		break;
	case 3:
		put_any(t, m, fuzz_value(me, 2), fuzz_pick(me, 9));
		break;
	case 4:
		put_right(t, m, a);
		attr->nla_type |= fuzz_pick(me, 2) ? NLA_F_NESTED : NLA_F_NET_BYTEORDER;
		break;
	case 5:
		put_right(t, m, a);
		attr->nla_len = fuzz_value(me, 2);
		break;
	default:
		put(m, a->type | NLA_F_NESTED, NULL, 0);
		put_right(t, m, a);
		put_right(t, m, &attributes[fuzz_pick(me, NR_ATTRIBUTES)]);
		attr->nla_len = (char *)m + m->nh.nlmsg_len - (char *)attr;
	}
}

/* All needed and some others, in any order; twice now and then, or another command's. */
static void put_attributes(struct talker *t, struct message *m, uint8_t cmd, bool spoil)
{
	unsigned int i, at = fuzz_pick(&t->me, NR_ATTRIBUTES);

	for (i = 0; i < NR_ATTRIBUTES; i++) {
		const struct attribute *a = &attributes[(at + i) % NR_ATTRIBUTES];
		bool needed = a->type <= EXTPAGER_A_TARGET_BYTES;

		if (m->nh.nlmsg_len > sizeof(*m) / 2)
			break;
		/* Not its name: one that may be asked for must not be deleted. */
		if (a->cmd != cmd && (!spoil || a->type == EXTPAGER_A_TARGET_NAME ||
				      fuzz_pick(&t->me, 16)))
			continue;
		if (fuzz_pick(&t->me, 16) >= (needed ? 15 : 3))
			continue;
		if (spoil && !fuzz_pick(&t->me, 4))
			put_wrong(t, m, a);
		else
			put_right(t, m, a);
		if (spoil && !fuzz_pick(&t->me, 8))
			put_right(t, m, a);
	}
}

static enum fuzz_op op_of(uint8_t cmd)
{
	return cmd <= EXTPAGER_CMD_MAX ? FUZZ_CMD_UNSPEC + cmd : FUZZ_UNKNOWN_CMD;
}

static bool changes(uint8_t cmd)
{
	return cmd == EXTPAGER_CMD_TARGET_ADD || cmd == EXTPAGER_CMD_TARGET_DEL ||
	       cmd == EXTPAGER_CMD_TARGET_SET;
}

/* What has come, without waiting: the kernel answers before send() returns. */
static void take_answers(struct talker *t, enum fuzz_op op, uint8_t cmd)
{
	struct socket *s = &t->s;
	struct nlmsghdr *nh;
	ssize_t len, left;

	do {
		fuzz_begin(&t->me, op);
		len = recv(s->fd, s->buf, t->room, MSG_DONTWAIT);
		t->me.slot->begun = 0;
		for (left = len, nh = (void *)s->buf; left > 0 && NLMSG_OK(nh, left);
		     nh = NLMSG_NEXT(nh, left)) {
			int error = nh->nlmsg_type == NLMSG_ERROR || nh->nlmsg_type == NLMSG_DONE ?
				    *(int *)NLMSG_DATA(nh) : 1;

			if (error > 0)
				continue;
			fuzz_end(&t->me, op, -error);
			if (!error && !t->root && nh->nlmsg_type == NLMSG_ERROR && changes(cmd))
				fuzz_wrong(t->me.f, "nobody may do what only root may", cmd);
		}
	} while (len > 0 || (len < 0 && errno == ENOBUFS));
}

static void say(struct talker *t)
{
	static const uint16_t flags[] = {
		NLM_F_ACK, NLM_F_ACK, NLM_F_ACK, NLM_F_ACK | NLM_F_DUMP, NLM_F_DUMP,
		NLM_F_ACK | NLM_F_ECHO,
	};
	struct fuzz_me *me = &t->me;
	uint8_t cmd = fuzz_pick(me, 32) ? fuzz_pick(me, EXTPAGER_CMD_MAX + 1) : fuzz_value(me, 1);
	struct message m = message(t->s.family, cmd);
	enum fuzz_op op = op_of(cmd);

	put_attributes(t, &m, cmd, fuzz_pick(me, 2));
	m.nh.nlmsg_flags |= flags[fuzz_pick(me, 6)];
	m.nh.nlmsg_seq = ++t->s.seq;
	if (!fuzz_pick(me, 32))
		m.gh.version = fuzz_value(me, 1);
	if (!fuzz_pick(me, 32))
		m.gh.reserved = fuzz_value(me, 2);
	fuzz_begin(me, op);
	if (send(t->s.fd, &m, m.nh.nlmsg_len, 0) < 0)
		fuzz_end(me, op, errno);
	take_answers(t, op, cmd);
}

/* Headers that lie, and several messages at once, the last of them cut. */
static void say_frames(struct talker *t)
{
	struct fuzz_me *me = &t->me;
	char bytes[3 * sizeof(struct message)];
	unsigned int n = 1 + fuzz_pick(me, 3);
	size_t len = 0;

	while (n--) {
		uint8_t cmd = fuzz_pick(me, EXTPAGER_CMD_MAX + 1);
		struct message m = message(t->s.family, cmd);

		put_attributes(t, &m, cmd, true);
		memcpy(bytes + len, &m, m.nh.nlmsg_len);
		((struct nlmsghdr *)(bytes + len))->nlmsg_flags |= fuzz_value(me, 2);
		if (!fuzz_pick(me, 3))
			((struct nlmsghdr *)(bytes + len))->nlmsg_len = fuzz_value(me, 2);
		len += NLMSG_ALIGN(m.nh.nlmsg_len);
	}
	if (!fuzz_pick(me, 3))
		len = fuzz_pick(me, len) + 1;
	fuzz_begin(me, FUZZ_FRAMES);
	fuzz_end(me, FUZZ_FRAMES, send(t->s.fd, bytes, len, 0) < 0 ? errno : 0);
	take_answers(t, FUZZ_FRAMES, EXTPAGER_CMD_UNSPEC);
}

static void talk_on(struct talker *t)
{
	if (!open_socket(&t->s))
		return;
	t->room = fuzz_pick(&t->me, 2) ? sizeof(t->s.buf) : PAGE;
	/* One who does not read what has happened in time. */
	if (!fuzz_pick(&t->me, 2))
		subscribe(&t->s);
	for (;;) {
		if (fuzz_pick(&t->me, 8))
			say(t);
		else
			say_frames(t);
		if (!t->root && !fuzz_pick(&t->me, 4))
			fuzz_call_plain(&t->me);
		if (!t->root && !fuzz_pick(&t->me, 4))
			fuzz_deed(&t->me);
		test_pause();
	}
}

int fuzz_talker(void *arg)
{
	static struct talker t = { .root = true };

	fuzz_me(&t.me, arg, 0);
	coverage_begin();
	talk_on(&t);
	return 1;
}

int fuzz_nobody(void *arg)
{
	static struct talker t;

	fuzz_me(&t.me, arg, 0);
	coverage_begin();
	if (setgroups(0, NULL) || setgid(FUZZ_NOBODY) || setuid(FUZZ_NOBODY))
		return 1;
	talk_on(&t);
	return 1;
}
