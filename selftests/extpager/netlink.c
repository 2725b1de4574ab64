// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family, over a bare socket: what it refuses and says of
 * it, who may do what, dumps, events and garbage.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/genl.h"
#include "support/pager.h"

#define NAME "netlink"
#define BYTES MIB
#define LONG 20000
#define NOBODY 65534

/* A command with the attributes that the statements after @cmd put into `m`. */
#define TELL(cmd, ...) ({								\
	struct message m = message(self->s.family, EXTPAGER_CMD_##cmd);			\
											\
	__VA_ARGS__;									\
	talk(&self->s, &m, 0, NULL, NULL); })

#define name_it(text) put_string(&m, EXTPAGER_A_TARGET_NAME, text)
#define size_it() put_u64(&m, EXTPAGER_A_TARGET_BYTES, BYTES)
#define with_u32(attr, value) put_u32(&m, EXTPAGER_A_TARGET_##attr, value)
#define with_u64(attr, value) put_u64(&m, EXTPAGER_A_TARGET_##attr, value)
#define with_flag(attr) put_flag(&m, EXTPAGER_A_TARGET_##attr)

#define REFUSED_COMMANDS "/sys/class/extpager/extpager/refused_commands"

/* Refused with an errno, and with words; and counted. */
#define EXPECT_REFUSED(errno_, cmd, ...) do {						\
	long before_ = read_number(REFUSED_COMMANDS, NULL);				\
											\
	EXPECT_EQ(-(errno_), TELL(cmd, ##__VA_ARGS__)) {				\
		TH_LOG("of: %s %s", #cmd, #__VA_ARGS__);				\
	}										\
	EXPECT_NE(0, strlen(self->s.why)) {						\
		TH_LOG("no word of: %s %s", #cmd, #__VA_ARGS__);			\
	}										\
	EXPECT_EQ(before_ + 1, read_number(REFUSED_COMMANDS, NULL)) {			\
		TH_LOG("not counted: %s %s", #cmd, #__VA_ARGS__);			\
	}										\
} while (0)

FIXTURE(netlink)
{
	struct socket s;
};

FIXTURE_SETUP(netlink)
{
	if (target_state(NAME))
		target_gone(NAME);
	ASSERT_TRUE(open_socket(&self->s));
	ASSERT_NE(0, self->s.group);
}

FIXTURE_TEARDOWN(netlink)
{
	close(self->s.fd);
	EXPECT_TRUE(target_gone(NAME));
}

/* ---- refusals ---- */

TEST_F(netlink, refused_commands_are_counted)
{
	long before = read_number(REFUSED_COMMANDS, NULL);
	struct message m;

	BEHAVIOURS(41);
	ASSERT_LE(0, before);
	EXPECT_EQ(0, TELL(TARGET_ADD, name_it(NAME), size_it()));
	EXPECT_EQ(0, TELL(TARGET_GET, name_it(NAME)));
	EXPECT_EQ(0, TELL(STATS_GET, put_string(&m, EXTPAGER_A_STATS_NAME, NAME)));
	EXPECT_EQ(before, read_number(REFUSED_COMMANDS, NULL));
	EXPECT_REFUSED(EEXIST, TARGET_ADD, name_it(NAME), size_it());
	EXPECT_EQ(before + 1, read_number(REFUSED_COMMANDS, NULL));
	EXPECT_REFUSED(ENOENT, TARGET_SET, name_it("no-such"));
	EXPECT_REFUSED(ENOENT, TARGET_GET, name_it("no-such"));
	EXPECT_REFUSED(ENOENT, TARGET_DEL, name_it("no-such"));
	EXPECT_REFUSED(ENOENT, STATS_GET, put_string(&m, EXTPAGER_A_STATS_NAME, "no-such"));
	EXPECT_EQ(before + 5, read_number(REFUSED_COMMANDS, NULL));
	/* What is wrong with them is their form. */
	EXPECT_REFUSED(EINVAL, TARGET_GET, put(&m, EXTPAGER_A_TARGET_NAME, "abc", 3));
	EXPECT_REFUSED(EINVAL, TARGET_GET, name_it(NAME), m.gh.reserved = 1);
	EXPECT_REFUSED(EINVAL, TARGET_GET, name_it(NAME), m.nh.nlmsg_flags |= NLM_F_ROOT);
	EXPECT_REFUSED(EINVAL, TARGET_GET, name_it(NAME), m.nh.nlmsg_len += NLA_HDRLEN - 1);
	m = message(self->s.family, EXTPAGER_CMD_PORT_GET);
	put_u32(&m, EXTPAGER_A_PORT_ID, 1);
	EXPECT_EQ(-EINVAL, talk(&self->s, &m, NLM_F_DUMP, NULL, NULL));
	EXPECT_EQ(before + 10, read_number(REFUSED_COMMANDS, NULL));
}

TEST_F(netlink, names_that_are_none_are_refused)
{
	static const char *const bad[] = {
		"", ".", ".hidden", "-option", "a/b", "a b", "a\n", "a:b", "\xc3\xa9", "\xe9t\xe9",
		"a\x7f", "a\x01", "\xff",
	};
	static const char *const good[] = { "a", "_", "0", "A-z.0_9", "a." };
	char longest[EXTPAGER_NAME_MAX + 2];
	unsigned int i;

	BEHAVIOURS(41);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_REFUSED(EINVAL, TARGET_ADD, name_it(bad[i]), size_it());
		EXPECT_REFUSED(EINVAL, TARGET_DEL, name_it(bad[i]));
		EXPECT_REFUSED(EINVAL, TARGET_SET, name_it(bad[i]));
		EXPECT_REFUSED(EINVAL, TARGET_GET, name_it(bad[i]));
		EXPECT_REFUSED(EINVAL, STATS_GET, name_it(bad[i]));
	}
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = 0;
	EXPECT_REFUSED(EINVAL, TARGET_ADD, name_it(longest), size_it());
	/* Without its end. */
	EXPECT_REFUSED(EINVAL, TARGET_ADD, put(&m, EXTPAGER_A_TARGET_NAME, "abc", 3), size_it());
	EXPECT_REFUSED(EINVAL, TARGET_ADD, put(&m, EXTPAGER_A_TARGET_NAME, "", 0), size_it());
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		EXPECT_EQ(0, TELL(TARGET_ADD, name_it(good[i]), size_it()));
		EXPECT_TRUE(target_gone(good[i]));
	}
	longest[EXTPAGER_NAME_MAX] = 0;
	EXPECT_EQ(0, TELL(TARGET_ADD, name_it(longest), size_it()));
	EXPECT_TRUE(target_gone(longest));
}

TEST_F(netlink, values_out_of_range_and_of_wrong_lengths_are_refused)
{
	static const uint16_t timeouts[] = {
		EXTPAGER_A_TARGET_HANDSHAKE_MS, EXTPAGER_A_TARGET_PAGE_IN_MS,
		EXTPAGER_A_TARGET_RETURN_MS, EXTPAGER_A_TARGET_SYNC_MS, EXTPAGER_A_TARGET_GRACE_MS,
	};
	static const struct {
		uint16_t attr;
		uint32_t least, most;
	} actions[] = {
		{ EXTPAGER_A_TARGET_HANDSHAKE_ACTION, EXTPAGER_ACTION_WAIT, EXTPAGER_ACTION_ERROR },
		{ EXTPAGER_A_TARGET_PAGE_IN_ACTION, EXTPAGER_ACTION_WAIT, EXTPAGER_ACTION_ERROR },
		{ EXTPAGER_A_TARGET_RETURN_ACTION, EXTPAGER_ACTION_ERROR, EXTPAGER_ACTION_SPILL },
	};
	char store[EXTPAGER_STORE_MAX + 2];
	unsigned int i;

	BEHAVIOURS(41);
#define ADD name_it(NAME), size_it()
	EXPECT_REFUSED(EINVAL, TARGET_ADD);
	EXPECT_REFUSED(EINVAL, TARGET_ADD, size_it());
	EXPECT_REFUSED(EINVAL, TARGET_ADD, name_it(NAME));
	EXPECT_REFUSED(ERANGE, TARGET_ADD, name_it(NAME), with_u64(BYTES, 0));
	EXPECT_REFUSED(ERANGE, TARGET_ADD, name_it(NAME), with_u64(BYTES, ~0ULL));
	EXPECT_REFUSED(ERANGE, TARGET_ADD, name_it(NAME), with_u64(BYTES, INT64_MAX));
	EXPECT_REFUSED(EINVAL, TARGET_ADD, name_it(NAME), with_u32(BYTES, BYTES));
	EXPECT_REFUSED(EINVAL, TARGET_ADD, name_it(NAME),
		       put(&m, EXTPAGER_A_TARGET_BYTES, "0123456789", 10));
	EXPECT_REFUSED(EINVAL, TARGET_ADD, ADD, with_u32(UID, ~0U));
	EXPECT_REFUSED(EINVAL, TARGET_ADD, ADD, with_u32(GID, ~0U));
	EXPECT_REFUSED(EINVAL, TARGET_ADD, ADD, with_u64(UID, 0));
	EXPECT_REFUSED(ERANGE, TARGET_ADD, ADD, with_u32(MODE, 01000));
	EXPECT_REFUSED(ERANGE, TARGET_ADD, ADD, with_u32(POLICY, 0));
	EXPECT_REFUSED(ERANGE, TARGET_ADD, ADD, with_u32(POLICY, EXTPAGER_POLICY_SPILL + 1));
	EXPECT_REFUSED(ERANGE, TARGET_ADD, ADD, with_u64(QUOTA, 4096));
	EXPECT_REFUSED(ERANGE, TARGET_ADD, ADD, with_u64(QUOTA, ~0ULL));
	EXPECT_REFUSED(ERANGE, TARGET_ADD, ADD, put(&m, EXTPAGER_A_TARGET_READ_ONLY, "x", 1));
	for (i = 0; i < ARRAY_SIZE(timeouts); i++) {
		EXPECT_REFUSED(ERANGE, TARGET_ADD, ADD, put_u32(&m, timeouts[i], 0));
		EXPECT_REFUSED(ERANGE, TARGET_ADD, ADD, put_u32(&m, timeouts[i], 86400001));
		EXPECT_REFUSED(EINVAL, TARGET_ADD, ADD, put(&m, timeouts[i], "x", 1));
	}
	EXPECT_REFUSED(ERANGE, TARGET_ADD, ADD, with_u64(SPILL_LIMIT, 1ULL << 63));
	EXPECT_REFUSED(EINVAL, TARGET_ADD, ADD, with_u32(SPILL_LIMIT, 0));
	for (i = 0; i < ARRAY_SIZE(actions); i++) {
		EXPECT_REFUSED(ERANGE, TARGET_ADD, ADD,
			       put_u32(&m, actions[i].attr, actions[i].least - 1));
		EXPECT_REFUSED(ERANGE, TARGET_ADD, ADD,
			       put_u32(&m, actions[i].attr, actions[i].most + 1));
		EXPECT_REFUSED(EINVAL, TARGET_ADD, ADD, put_u64(&m, actions[i].attr, 2));
	}
	memset(store, 's', sizeof(store));
	store[sizeof(store) - 1] = 0;
	EXPECT_REFUSED(EINVAL, TARGET_ADD, ADD, put_string(&m, EXTPAGER_A_TARGET_STORE, store));
	store[EXTPAGER_STORE_MAX] = 0;
	EXPECT_EQ(0, TELL(TARGET_ADD, ADD, put_string(&m, EXTPAGER_A_TARGET_STORE, store)));
	/* The ends of the ranges. */
	EXPECT_EQ(0, TELL(TARGET_SET, name_it(NAME), with_u64(SPILL_LIMIT, 0),
			  with_u32(POLICY, EXTPAGER_POLICY_SPILL)));
	EXPECT_EQ(0, TELL(TARGET_SET, name_it(NAME), with_u64(SPILL_LIMIT, INT64_MAX)));
	for (i = 0; i < ARRAY_SIZE(actions); i++) {
		EXPECT_EQ(0, TELL(TARGET_SET, name_it(NAME),
				  put_u32(&m, actions[i].attr, actions[i].least)));
		EXPECT_EQ(0, TELL(TARGET_SET, name_it(NAME),
				  put_u32(&m, actions[i].attr, actions[i].most)));
	}
#undef ADD
}

TEST_F(netlink, attributes_that_do_not_belong_are_refused)
{
	uint16_t type;

	BEHAVIOURS(41);
#define ADD name_it(NAME), size_it()
	EXPECT_REFUSED(EINVAL, TARGET_ADD, ADD, with_flag(DISCARD));
	EXPECT_REFUSED(EINVAL, TARGET_ADD, ADD, put_u32(&m, 200, 0));
	EXPECT_REFUSED(EINVAL, TARGET_ADD, ADD, put_u32(&m, 0x3fff, 0));
	/* What the kernel alone tells. */
	for (type = EXTPAGER_A_TARGET_STATE; type <= EXTPAGER_A_TARGET_MAX; type++)
		EXPECT_REFUSED(EINVAL, TARGET_ADD, ADD, put_u32(&m, type, 0));
	EXPECT_EQ(0, target_state(NAME));
	ASSERT_EQ(0, TELL(TARGET_ADD, ADD));
	EXPECT_REFUSED(EINVAL, TARGET_DEL, name_it(NAME), size_it());
	EXPECT_REFUSED(EINVAL, TARGET_DEL, name_it(NAME), with_u32(STATE, 0));
	EXPECT_REFUSED(EINVAL, TARGET_GET, name_it(NAME), size_it());
	EXPECT_REFUSED(EINVAL, STATS_GET, name_it(NAME), put_u64(&m, EXTPAGER_A_STATS_INITS, 0));
	EXPECT_REFUSED(EINVAL, TARGET_GET);
	EXPECT_REFUSED(EINVAL, STATS_GET);
	EXPECT_REFUSED(EINVAL, TARGET_DEL);
	EXPECT_REFUSED(EINVAL, TARGET_SET);
	/* What is fixed for the target's life. */
	EXPECT_REFUSED(EINVAL, TARGET_SET, name_it(NAME), size_it());
	EXPECT_REFUSED(EINVAL, TARGET_SET, name_it(NAME), with_flag(READ_ONLY));
	EXPECT_REFUSED(EINVAL, TARGET_SET, name_it(NAME), with_flag(DISCARD));
	EXPECT_EQ(0, TELL(TARGET_SET, name_it(NAME), with_u32(MODE, 0640)));
#undef ADD
}

TEST_F(netlink, a_dump_with_attributes_that_do_not_belong_is_refused)
{
	static const uint8_t cmds[] = { EXTPAGER_CMD_TARGET_GET, EXTPAGER_CMD_STATS_GET,
					EXTPAGER_CMD_PORT_GET, EXTPAGER_CMD_REQUEST_GET };
	unsigned int i;

	BEHAVIOURS(41);
	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		struct message m = message(self->s.family, cmds[i]);

		put_u32(&m, 100, 0);
		EXPECT_EQ(-EINVAL, talk(&self->s, &m, NLM_F_DUMP, NULL, NULL)) {
			TH_LOG("of command %u", cmds[i]);
		}
		EXPECT_NE(0, strlen(self->s.why));
	}
}

/* One dirty page: a target of it cannot simply go. */
static int dirty_a_page(void *arg)
{
	char page[PAGE] = { 1 };

	return pwrite(*(int *)arg, page, PAGE, 0) == (ssize_t)PAGE ? 0 : 1;
}

TEST_F(netlink, what_the_state_of_a_target_forbids_is_refused)
{
	struct extpager_event ev;
	struct pager p;
	struct client c;
	int fd;

	BEHAVIOURS(41, 90);
	EXPECT_REFUSED(ENOENT, TARGET_DEL, name_it(NAME));
	EXPECT_REFUSED(ENOENT, TARGET_SET, name_it(NAME), with_u32(MODE, 0600));
	EXPECT_REFUSED(ENOENT, TARGET_GET, name_it(NAME));
	EXPECT_REFUSED(ENOENT, STATS_GET, name_it(NAME));
	ASSERT_EQ(0, TELL(TARGET_ADD, name_it(NAME), size_it()));
	EXPECT_REFUSED(EEXIST, TARGET_ADD, name_it(NAME), size_it());
	EXPECT_EQ(0, TELL(TARGET_SET, name_it(NAME), put_string(&m, EXTPAGER_A_TARGET_STORE,
								"mem:")));

	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, pager_open(&p, 1, 0));
	ASSERT_EQ(0, pager_attach(&p, NAME, NULL, NULL));
	ASSERT_TRUE(pager_expect(&p, EXTPAGER_EV_INIT, &ev, LONG));
	ASSERT_EQ(0, pager_ready(&p, &ev, 0, 0));
	EXPECT_REFUSED(EBUSY, TARGET_SET, name_it(NAME), put_string(&m, EXTPAGER_A_TARGET_STORE,
								    "zero:"));
	c = client_start(dirty_a_page, &fd);
	ASSERT_EQ(0, client_result(&c, LONG));
	pager_close(&p);
	EXPECT_REFUSED(EBUSY, TARGET_DEL, name_it(NAME));
	EXPECT_EQ(EXTPAGER_STATE_ORPHANED, target_state(NAME));
	EXPECT_EQ(PAGE, target_dirty(NAME));

	/* With a pager it goes once the page was returned. */
	ASSERT_EQ(0, pager_open(&p, 1, 0));
	ASSERT_EQ(0, pager_attach(&p, NAME, NULL, NULL));
	ASSERT_TRUE(pager_expect(&p, EXTPAGER_EV_INIT, &ev, LONG));
	ASSERT_EQ(0, pager_ready(&p, &ev, 0, 0));
	EXPECT_EQ(0, TELL(TARGET_DEL, name_it(NAME)));
	EXPECT_EQ(EXTPAGER_STATE_DRAINING, target_state(NAME));
	EXPECT_REFUSED(EALREADY, TARGET_DEL, name_it(NAME));
	EXPECT_EQ(-ESHUTDOWN, target_open(NAME, O_RDWR));
	ASSERT_TRUE(pager_expect(&p, EXTPAGER_EV_DATA_RETURN, &ev, LONG));
	ASSERT_EQ(0, pager_return_done(&p, &ev, 0));
	ASSERT_TRUE(pager_expect(&p, EXTPAGER_EV_SYNC, &ev, LONG));
	ASSERT_EQ(0, pager_sync_done(&p, &ev, 0));
	EXPECT_TRUE(WAIT_FOR(LONG, !target_state(NAME)));
	close(fd);

	/* And if nobody is to have it. */
	ASSERT_EQ(0, TELL(TARGET_ADD, name_it(NAME), size_it()));
	ASSERT_EQ(0, pager_attach(&p, NAME, NULL, NULL));
	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	do {
		ASSERT_TRUE(pager_event(&p, &ev, LONG));
	} while (ev.op != EXTPAGER_EV_INIT);
	ASSERT_EQ(0, pager_ready(&p, &ev, 0, 0));
	c = client_start(dirty_a_page, &fd);
	ASSERT_EQ(0, client_result(&c, LONG));
	pager_close(&p);
	EXPECT_EQ(0, TELL(TARGET_DEL, name_it(NAME), with_flag(DISCARD)));
	EXPECT_TRUE(WAIT_FOR(LONG, !target_state(NAME)));
	close(fd);
}

/* ---- who may ---- */

struct seen {
	unsigned int messages;
	bool store, pid;
};

static void look_at_target(struct nlmsghdr *nh, void *arg)
{
	struct seen *seen = arg;

	seen->messages++;
	seen->store |= !!find(nh, EXTPAGER_A_TARGET_STORE);
}

static void look_at_port(struct nlmsghdr *nh, void *arg)
{
	struct seen *seen = arg;

	seen->messages++;
	seen->pid |= !!find(nh, EXTPAGER_A_PORT_PID);
}

/* 0 if all three are refused as they should be, with words. */
static int try_to_configure(struct socket *s, int want)
{
	static const uint8_t cmds[] = { EXTPAGER_CMD_TARGET_ADD, EXTPAGER_CMD_TARGET_SET,
					EXTPAGER_CMD_TARGET_DEL };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		struct message m = message(s->family, cmds[i]);

		if (cmds[i] == EXTPAGER_CMD_TARGET_ADD) {
			name_it(NAME "-new");
			size_it();
		} else {
			name_it(NAME);
		}
		if (talk(s, &m, 0, NULL, NULL) != want)
			return 1 + i;
		if (want && !strlen(s->why))
			return 11 + i;
	}
	return 0;
}

/* 0 if one and all targets, and ports, are told, as to the privileged or not. */
static int try_to_look(struct socket *s, bool privileged)
{
	static const struct {
		uint8_t cmd;
		bool one;
		take_fn take;
	} looks[] = {
		{ EXTPAGER_CMD_TARGET_GET, true, look_at_target },
		{ EXTPAGER_CMD_TARGET_GET, false, look_at_target },
		{ EXTPAGER_CMD_PORT_GET, false, look_at_port },
	};
	struct seen seen;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(looks); i++) {
		struct message m = message(s->family, looks[i].cmd);

		if (looks[i].one)
			name_it(NAME);
		seen = (struct seen){ };
		if (talk(s, &m, looks[i].one ? 0 : NLM_F_DUMP, looks[i].take, &seen))
			return 21 + i;
		if (seen.messages < 1 || (seen.store || seen.pid) != privileged)
			return 31 + i;
	}
	return 0;
}

static bool drop_to_nobody(void)
{
	return !setgroups(0, NULL) && !setgid(NOBODY) && !setuid(NOBODY);
}

static bool keep_only(unsigned int cap)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { };

	data[cap / 32].effective = 1U << cap % 32;
	data[cap / 32].permitted = 1U << cap % 32;
	return !syscall(SYS_capset, &head, data);
}

static int as_nobody(void *arg)
{
	struct socket *s = arg;

	if (!drop_to_nobody() || !open_socket(s))
		return 99;
	return try_to_configure(s, -EPERM) ?: try_to_look(s, false);
}

/* A socket that somebody privileged has opened lends nobody his rights. */
static int as_nobody_on_an_inherited_socket(void *arg)
{
	if (!drop_to_nobody())
		return 99;
	return try_to_configure(arg, -EPERM) ?: try_to_look(arg, false);
}

static int as_network_administrator(void *arg)
{
	struct socket *s = arg;

	if (!keep_only(CAP_NET_ADMIN) || !open_socket(s))
		return 99;
	return try_to_configure(s, -EPERM) ?: try_to_look(s, false);
}

static int as_root_of_another_namespace(void *arg)
{
	struct socket *s = arg;

	if (unshare(CLONE_NEWUSER) || !open_socket(s))
		return 99;
	return try_to_configure(s, -EPERM) ?: try_to_look(s, false);
}

static int as_system_administrator(void *arg)
{
	struct socket *s = arg;

	if (!keep_only(CAP_SYS_ADMIN) || !open_socket(s))
		return 99;
	return try_to_look(s, true) ?: try_to_configure(s, 0);
}

TEST_F(netlink, only_the_systems_administrator_configures_and_sees_stores_and_pids)
{
	static int (*const others[])(void *arg) = {
		as_nobody, as_nobody_on_an_inherited_socket, as_network_administrator,
		as_root_of_another_namespace,
	};
	struct client c;
	struct pager p;
	unsigned int i;

	ASSERT_EQ(0, pager_open(&p, 1, 0));
	ASSERT_EQ(0, TELL(TARGET_ADD, name_it(NAME), size_it(),
			  put_string(&m, EXTPAGER_A_TARGET_STORE, "nbd://user:word@host/")));
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		c = client_start(others[i], &self->s);
		EXPECT_EQ(0, client_result(&c, LONG)) {
			TH_LOG("other %u", i);
		}
	}
	EXPECT_EQ(0, target_state(NAME "-new"));
	EXPECT_EQ(EXTPAGER_STATE_NEW, target_state(NAME));
	c = client_start(as_system_administrator, &self->s);
	EXPECT_EQ(0, client_result(&c, LONG));
	EXPECT_TRUE(target_gone(NAME "-new"));
	pager_close(&p);
}

/* ---- dumps ---- */

#define MANY 200

struct census {
	unsigned int seen[MANY];
	unsigned int strangers;
	unsigned int unfinished;	/* without an object, and not because it goes */
};

static void count_target(struct nlmsghdr *nh, void *arg)
{
	const struct genlmsghdr *gh = NLMSG_DATA(nh);
	struct nlattr *name = find(nh, EXTPAGER_A_TARGET_NAME);
	struct census *census = arg;
	unsigned int i;

	if (gh->cmd == EXTPAGER_CMD_TARGET_GET)
		census->unfinished += !number_of(find(nh, EXTPAGER_A_TARGET_OBJECT)) &&
				      number_of(find(nh, EXTPAGER_A_TARGET_STATE)) ==
				      EXTPAGER_STATE_NEW;
	if (name && sscanf((char *)(name + 1), "many-%u", &i) == 1 && i < MANY)
		census->seen[i]++;
	else
		census->strangers++;
}

/* Targets that come and go. */
static int come_and_go(void *arg)
{
	unsigned int i;
	char name[32];

	for (i = 0;; i++) {
		struct target_options options = { .bytes = BYTES };

		snprintf(name, sizeof(name), "churn-%u", i % 7);
		if (target_add(name, &options) || !target_gone(name))
			return 1;
	}
}

TEST_F_TIMEOUT(netlink, dumps_show_every_target_once_while_others_come_and_go, 120)
{
	unsigned int i, round, rounds = test_rounds(500, 30, 5);
	static struct census census;
	struct client c = { };
	char name[32];

	PARTIAL(135);
	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "many-%u", i);
		if (target_state(name))
			target_gone(name);
		ASSERT_EQ(0, TELL(TARGET_ADD, name_it(name), size_it()));
	}
	for (round = 0; round < 2 * rounds; round++) {
		struct message m = message(self->s.family, round % 2 ? EXTPAGER_CMD_TARGET_GET :
					   EXTPAGER_CMD_STATS_GET);

		if (round == rounds)
			c = client_start(come_and_go, NULL);
		memset(&census, 0, sizeof(census));
		ASSERT_EQ(0, talk(&self->s, &m, NLM_F_DUMP, count_target, &census));
		for (i = 0; i < MANY; i++)
			ASSERT_EQ(1, census.seen[i]);
		if (round < rounds)
			ASSERT_EQ(0, census.strangers);
	}
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 0));
	client_kill(&c);
	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "many-%u", i);
		EXPECT_EQ(0, TELL(TARGET_DEL, name_it(name)));
	}
	for (i = 0; i < 7; i++) {
		snprintf(name, sizeof(name), "churn-%u", i);
		EXPECT_TRUE(target_gone(name));
	}
	/* Those deleted go in the background. */
	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "many-%u", i);
		EXPECT_TRUE(WAIT_FOR(LONG, !target_state(name)));
	}
}

/* Pagers tell targets of one name apart by their objects. */
TEST_F(netlink, a_target_has_its_object_when_it_is_first_listed)
{
	unsigned int i, rounds = test_rounds(20000, 2000, 500);
	static struct census census;
	struct client c;
	char name[32];

	c = client_start(come_and_go, NULL);
	for (i = 0; i < rounds; i++) {
		struct message m = message(self->s.family, EXTPAGER_CMD_TARGET_GET);

		ASSERT_EQ(0, talk(&self->s, &m, NLM_F_DUMP, count_target, &census));
	}
	EXPECT_LT(rounds / 100, census.strangers);
	EXPECT_EQ(0, census.unfinished);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 0));
	client_kill(&c);
	for (i = 0; i < 7; i++) {
		snprintf(name, sizeof(name), "churn-%u", i);
		EXPECT_TRUE(target_gone(name));
	}
}

/* ---- events ---- */

struct told {
	unsigned int event, state;
	bool store;
};

/* The next event about NAME; event 0 if none comes. */
static struct told next_event(struct socket *s)
{
	struct pollfd pfd = { .fd = s->fd, .events = POLLIN };
	struct told told = { };

	while (poll(&pfd, 1, LONG) == 1) {
		ssize_t len = recv(s->fd, s->buf, sizeof(s->buf), 0);
		struct nlmsghdr *nh = (void *)s->buf;
		struct nlattr *name;

		if (len < 0 || !NLMSG_OK(nh, len))
			break;
		name = find(nh, EXTPAGER_A_TARGET_NAME);
		if (((struct genlmsghdr *)NLMSG_DATA(nh))->cmd != EXTPAGER_CMD_EVENT || !name)
			break;
		if (strcmp((char *)(name + 1), NAME))
			continue;
		told.event = number_of(find(nh, EXTPAGER_A_TARGET_EVENT));
		told.state = number_of(find(nh, EXTPAGER_A_TARGET_STATE));
		told.store = find(nh, EXTPAGER_A_TARGET_STORE);
		break;
	}
	return told;
}

#define EXPECT_EVENT(event_, state_) do {						\
	struct told told = next_event(&listener);					\
											\
	EXPECT_EQ(EXTPAGER_EVENT_##event_, told.event);					\
	EXPECT_EQ(EXTPAGER_STATE_##state_, told.state);					\
	EXPECT_FALSE(told.store);							\
} while (0)

static int read_a_page(void *arg)
{
	char page[PAGE];

	return pread(*(int *)arg, page, PAGE, 0) < 0 ? errno : 0;
}

TEST_F(netlink, events_come_in_the_order_of_what_has_happened)
{
	static struct socket listener;
	struct extpager_event ev;
	struct client c;
	struct pager p;
	int fd;

	ASSERT_TRUE(open_socket(&listener));
	ASSERT_TRUE(subscribe(&listener));
	ASSERT_EQ(0, TELL(TARGET_ADD, name_it(NAME), size_it(),
			  put_string(&m, EXTPAGER_A_TARGET_STORE, "mem:")));
	EXPECT_EVENT(ADDED, NEW);
	ASSERT_EQ(0, TELL(TARGET_SET, name_it(NAME), with_u32(PAGE_IN_MS, 200)));
	EXPECT_EVENT(CHANGED, NEW);
	/* Refusals are no events. */
	EXPECT_REFUSED(EEXIST, TARGET_ADD, name_it(NAME), size_it());
	EXPECT_REFUSED(ERANGE, TARGET_SET, name_it(NAME), with_u32(MODE, ~0U));
	ASSERT_EQ(0, pager_open(&p, 1, 0));
	ASSERT_EQ(0, pager_attach(&p, NAME, NULL, NULL));
	EXPECT_EVENT(ATTACHED, LIVE);

	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(pager_expect(&p, EXTPAGER_EV_INIT, &ev, LONG));
	ASSERT_EQ(0, pager_ready(&p, &ev, 0, 0));
	c = client_start(read_a_page, &fd);
	EXPECT_EVENT(SLOW, LIVE);
	EXPECT_EVENT(STALLED, STALLED);
	EXPECT_EQ(EIO, client_result(&c, LONG));
	ASSERT_TRUE(pager_expect(&p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
	/* No pause makes the next one late. */
	ASSERT_EQ(0, TELL(TARGET_SET, name_it(NAME), with_u32(PAGE_IN_MS, LONG)));
	EXPECT_EVENT(CHANGED, STALLED);
	c = client_start(read_a_page, &fd);
	do {
		ASSERT_TRUE(pager_expect(&p, EXTPAGER_EV_DATA_REQUEST, &ev, LONG));
	} while (pager_supply_zero(&p, &ev));
	EXPECT_EQ(0, client_result(&c, LONG));
	EXPECT_EVENT(RECOVERED, LIVE);
	close(fd);

	pager_close(&p);
	EXPECT_EVENT(ORPHANED, ORPHANED);
	ASSERT_EQ(0, pager_open(&p, 1, 0));
	ASSERT_EQ(0, pager_attach(&p, NAME, NULL, NULL));
	EXPECT_EVENT(ATTACHED, LIVE);
	ASSERT_EQ(0, TELL(TARGET_DEL, name_it(NAME), with_flag(DISCARD)));
	EXPECT_EVENT(CHANGED, DRAINING);
	EXPECT_EVENT(DELETED, DEAD);
	pager_close(&p);
	close(listener.fd);
}

/* ---- garbage ---- */

/* Anything that has a header; half of it in attributes that make sense. */
static struct message garbage(uint16_t family, uint64_t *random)
{
	struct message m = message(family, test_random(random) % 10);
	unsigned int i, n = test_random(random) % 6;

	m.gh.version = test_random(random) % 3;
	for (i = 0; i < n; i++) {
		uint64_t r = test_random(random);
		unsigned int len = r % 5 ? (r >> 8) % 20 : (r >> 8) % 1100;
		uint16_t type = (r >> 32) % (EXTPAGER_A_TARGET_MAX + 3);
		char bytes[1100];
		unsigned int j;

		if (r & 0x1000000)
			type |= (r >> 48) & (NLA_F_NESTED | NLA_F_NET_BYTEORDER);
		for (j = 0; j < len; j++)
			bytes[j] = r & 0x2000000 ? test_random(random) : 'a' + j % 3;
		if (len && r & 0x4000000)
			bytes[len - 1] = 0;
		put(&m, type, bytes, r & 0x8000000 ? (len & 1 ? 4 : 8) : len);
		/* A length that lies. */
		if (!(r >> 57)) {
			struct nlattr *attr = (void *)m.attributes;

			attr->nla_len = r >> 40;
		}
	}
	return m;
}

/* Sound in every word, but of a target that is not there. */
static struct message misdirected(uint16_t family, uint64_t *random)
{
	static const uint8_t cmds[] = {
		EXTPAGER_CMD_TARGET_DEL, EXTPAGER_CMD_TARGET_SET, EXTPAGER_CMD_TARGET_GET,
		EXTPAGER_CMD_STATS_GET,
	};
	struct message m = message(family, cmds[test_random(random) % ARRAY_SIZE(cmds)]);
	char name[16] = "";
	unsigned int i, len = 1 + test_random(random) % (sizeof(name) - 1);

	/* Letters that no garbage is made of. */
	for (i = 0; i < len; i++)
		name[i] = 'd' + test_random(random) % 20;
	put_string(&m, m.gh.cmd == EXTPAGER_CMD_STATS_GET ? EXTPAGER_A_STATS_NAME :
							    EXTPAGER_A_TARGET_NAME, name);
	if (m.gh.cmd == EXTPAGER_CMD_TARGET_SET) {
		with_u32(GRACE_MS, test_random(random) % 100000);
		with_u64(QUOTA, MIB + test_random(random) % MIB);
	}
	return m;
}

/* What the header documents of every command. */
#define OF_ALL	EINVAL, ERANGE, EOPNOTSUPP

static bool is_documented(unsigned int cmd, int error)
{
	static const int errors[][8] = {
		[EXTPAGER_CMD_TARGET_ADD] = { OF_ALL, EPERM, EEXIST, ENODEV },
		[EXTPAGER_CMD_TARGET_DEL] = { OF_ALL, EPERM, ENOENT, EBUSY, EALREADY },
		[EXTPAGER_CMD_TARGET_SET] = { OF_ALL, EPERM, ENOENT, EBUSY },
		[EXTPAGER_CMD_TARGET_GET] = { OF_ALL, ENOENT },
		[EXTPAGER_CMD_STATS_GET] = { OF_ALL, ENOENT },
		[EXTPAGER_CMD_PORT_GET] = { OF_ALL },
		[EXTPAGER_CMD_REQUEST_GET] = { OF_ALL },
	};
	unsigned int i;

	if (cmd >= ARRAY_SIZE(errors) || !errors[cmd][0])
		return error == EOPNOTSUPP;
	for (i = 0; i < ARRAY_SIZE(errors[cmd]) && errors[cmd][i]; i++)
		if (errors[cmd][i] == error)
			return true;
	return false;
}

/* All that is told of a target, byte by byte. */
struct account {
	size_t len[2];
	char text[2][4096];
	unsigned int n;
};

static void take_down(struct nlmsghdr *nh, void *arg)
{
	struct account *a = arg;

	a->len[a->n] = nh->nlmsg_len - NLMSG_HDRLEN;
	if (a->len[a->n] <= sizeof(a->text[0]))
		memcpy(a->text[a->n], NLMSG_DATA(nh), a->len[a->n]);
	a->n++;
}

/* Settings and state, and the counters. */
static bool take_account(struct socket *s, struct account *a)
{
	static const uint8_t cmds[] = { EXTPAGER_CMD_TARGET_GET, EXTPAGER_CMD_STATS_GET };
	unsigned int i;

	memset(a, 0, sizeof(*a));
	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		struct message m = message(s->family, cmds[i]);

		name_it(NAME);
		if (talk(s, &m, 0, take_down, a) || a->n != i + 1 ||
		    a->len[i] > sizeof(a->text[0]))
			return false;
	}
	return true;
}

static void remove_target(struct nlmsghdr *nh, void *arg)
{
	struct nlattr *name = find(nh, EXTPAGER_A_TARGET_NAME);
	unsigned int *bad = arg;
	const char *c = name ? (char *)(name + 1) : "";

	/* What came of garbage has a good name. */
	if (!*c || strspn(c, "abcdefghijklmnopqrstuvwxyz") != strlen(c) ||
	    !number_of(find(nh, EXTPAGER_A_TARGET_BYTES)))
		++*bad;
	target_del(c, true);
}

TEST_F_TIMEOUT(netlink, garbage_is_refused_and_harms_nothing, 120)
{
	unsigned int i, taken = 0, bad = 0, rounds = test_rounds(200000, 4000, 1000);
	long refused = read_number(REFUSED_COMMANDS, NULL);
	struct message m = message(self->s.family, EXTPAGER_CMD_TARGET_GET);
	static struct account before, after;
	uint64_t random = test_seed(41);
	struct extpager_event ev;
	struct pager p;
	int fd;

	BEHAVIOURS(41);
	/* A bystander, in use, whose name no garbage has. */
	ASSERT_EQ(0, TELL(TARGET_ADD, name_it(NAME), size_it(),
			  put_string(&m, EXTPAGER_A_TARGET_STORE, "mem:")));
	ASSERT_EQ(0, pager_open(&p, 1, 0));
	ASSERT_EQ(0, pager_attach(&p, NAME, NULL, NULL));
	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(pager_expect(&p, EXTPAGER_EV_INIT, &ev, LONG));
	ASSERT_EQ(0, pager_ready(&p, &ev, 0, 0));
	ASSERT_TRUE(take_account(&self->s, &before));

	for (i = 0; i < rounds; i++) {
		struct message g = garbage(self->s.family, &random);
		int ret = talk(&self->s, &g, random & 0x700 ? 0 : NLM_F_DUMP, NULL, NULL);

		if (!(i % 4)) {
			struct message sound = misdirected(self->s.family, &random);

			ASSERT_EQ(-ENOENT, talk(&self->s, &sound, 0, NULL, NULL));
			ASSERT_NE(0, strlen(self->s.why));
			refused++;
		}
		taken += !ret;
		if (!ret)
			continue;
		ASSERT_TRUE(is_documented(g.gh.cmd, -ret)) {
			TH_LOG("message %u, command %u: %d", i, g.gh.cmd, ret);
		}
		/* What is no command is refused before it comes to the family. */
		ASSERT_TRUE(ret == -EOPNOTSUPP || strlen(self->s.why)) {
			TH_LOG("no word of message %u, command %u: %d", i, g.gh.cmd, ret);
		}
		refused += ret != -EOPNOTSUPP;
	}
	EXPECT_EQ(refused, read_number(REFUSED_COMMANDS, NULL));
	/* Not all of it is nonsense, or it would try nothing. */
	EXPECT_LT(0, taken);
	EXPECT_GT(rounds, taken);

	ASSERT_TRUE(take_account(&self->s, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	EXPECT_TRUE(pager_silent(&p, 50));
	close(fd);
	pager_close(&p);
	EXPECT_EQ(0, talk(&self->s, &m, NLM_F_DUMP, remove_target, &bad));
	EXPECT_EQ(0, bad);
}

TEST_HARNESS_MAIN
