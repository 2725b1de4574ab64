// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel and uapi/extpager.yaml: what it says commands take are the policies that
 * the kernel's refusals tell, what it says replies and events tell is what comes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/extpager_netlink.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/genl.h"
#include "support/object.h"
#include "support/pager.h"

#define NAME	"spec"
#define BYTES	MIB

FIXTURE(spec)
{
	struct socket s;
};

FIXTURE_SETUP(spec)
{
	ASSERT_TRUE(target_gone(NAME));
	ASSERT_TRUE(open_socket(&self->s));
}

FIXTURE_TEARDOWN(spec)
{
	close(self->s.fd);
	EXPECT_TRUE(target_gone(NAME));
}

/* ---- what commands take: the kernel's policies ---- */

#define ATTRIBUTES (EXTPAGER_A_TARGET_MAX + 1)

struct rule {
	unsigned int type;		/* NL_ATTR_TYPE_*, 0 = the attribute is not taken */
	uint64_t least, most;		/* value, or most is the length */
};

static struct rule read_rule(struct nlattr *nest)
{
	size_t len = nest->nla_len - NLA_HDRLEN;
	struct rule rule = {
		.type = number_of(find_in(nest + 1, len, NL_POLICY_TYPE_ATTR_TYPE)),
		.least = number_of(find_in(nest + 1, len, NL_POLICY_TYPE_ATTR_MIN_VALUE_U)),
		.most = number_of(find_in(nest + 1, len, NL_POLICY_TYPE_ATTR_MAX_VALUE_U)),
	};
	struct nlattr *length = find_in(nest + 1, len, NL_POLICY_TYPE_ATTR_MAX_LENGTH);

	if (length)
		rule.most = number_of(length);
	return rule;
}

/* Three bytes without a 0 are an attribute of no type; its refusal tells the policy. */
static int ask_rule(struct socket *s, unsigned int cmd, unsigned int attribute, struct rule *rule)
{
	struct message m = message(s->family, cmd);
	int ret;

	put(&m, attribute, "xxx", 3);
	ret = talk(s, &m, 0, NULL, NULL);
	*rule = s->policy ? read_rule(s->policy) : (struct rule){ };
	return ret;
}

static const struct taken {
	const char *what;
	unsigned int cmd, attribute;
	struct rule rule;
} requests[] = {
#define TAKES(cmd, attribute, type, least, most) \
	{ #cmd " " #attribute, cmd, attribute, { NL_ATTR_TYPE_##type, least, most } },
#include "support/policy.h"
#undef TAKES
};

/* Known to the policy, so that the refusal can say more than "unknown". */
static bool is_refused_by_name(unsigned int cmd, unsigned int attribute)
{
	switch (attribute) {
	case EXTPAGER_A_TARGET_DISCARD:
		return cmd == EXTPAGER_CMD_TARGET_ADD || cmd == EXTPAGER_CMD_TARGET_SET;
	case EXTPAGER_A_TARGET_BYTES:
	case EXTPAGER_A_TARGET_READ_ONLY:
		return cmd == EXTPAGER_CMD_TARGET_SET;
	}
	return false;
}

static bool takes(unsigned int cmd, unsigned int attribute)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(requests); i++)
		if (requests[i].cmd == cmd && requests[i].attribute == attribute)
			return true;
	return false;
}

TEST_F(spec, the_kernels_policies_are_those_of_the_spec)
{
	unsigned int i, cmd, attribute;
	struct rule rule;

	BEHAVIOURS(41);
	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		EXPECT_GT(0, ask_rule(&self->s, requests[i].cmd, requests[i].attribute, &rule));
		EXPECT_EQ(requests[i].rule.type, rule.type) {
			TH_LOG("type of %s", requests[i].what);
		}
		EXPECT_EQ(requests[i].rule.least, rule.least) {
			TH_LOG("least of %s", requests[i].what);
		}
		EXPECT_EQ(requests[i].rule.most, rule.most) {
			TH_LOG("most of %s", requests[i].what);
		}
	}
	for (cmd = 0; cmd <= EXTPAGER_CMD_MAX; cmd++) {
		for (attribute = 1; attribute < ATTRIBUTES; attribute++) {
			EXPECT_GT(0, ask_rule(&self->s, cmd, attribute, &rule));
			EXPECT_TRUE(!rule.type || takes(cmd, attribute) ||
				    is_refused_by_name(cmd, attribute)) {
				TH_LOG("command %u takes attribute %u", cmd, attribute);
			}
		}
	}
}

/* ---- what replies and events tell ---- */

enum kind { DO, DUMP, EVENT, NEST };

static const char *const kinds[] = { "reply", "dump", "event", "nest" };

/* @cmd, or the attribute whose nest it is, tells @attribute. */
static const struct told {
	unsigned int cmd;
	enum kind kind;
	unsigned int attribute;
} told[] = {
#define TELLS(cmd, kind, attribute) { cmd, kind, attribute },
#define NESTS(nest, attribute) { nest, NEST, attribute },
#include "support/replies.h"
#undef TELLS
#undef NESTS
};

static uint64_t bits(void *first, void *end)
{
	struct nlattr *attr;
	uint64_t seen = 0;

	for (attr = attr_at(first, end); attr; attr = next_attr(attr, end))
		seen |= 1ULL << (attr->nla_type & NLA_TYPE_MASK);
	return seen;
}

struct seen {
	uint64_t attributes, queue, latency;
};

static void take_attributes(struct nlmsghdr *nh, void *arg)
{
	struct seen *seen = arg;

	seen->attributes |= bits(first_attr(nh), end_of_message(nh));
}

static void take_port(struct nlmsghdr *nh, void *arg)
{
	struct nlattr *queue = find(nh, EXTPAGER_A_PORT_QUEUE);
	struct seen *seen = arg;

	take_attributes(nh, arg);
	if (queue)
		seen->queue |= bits(queue + 1, end_of(queue));
}

static void take_stats(struct nlmsghdr *nh, void *arg)
{
	struct nlattr *latency = find(nh, EXTPAGER_A_STATS_LATENCY);
	struct seen *seen = arg;

	take_attributes(nh, arg);
	if (latency)
		seen->latency |= bits(latency + 1, end_of(latency));
}

/* Of a spill that takes no more, of which there is none here. */
static bool is_told_elsewhere(const struct told *t)
{
	return t->attribute == EXTPAGER_A_TARGET_SPILL_FULL &&
	       (t->cmd == EXTPAGER_CMD_TARGET_GET || t->cmd == EXTPAGER_CMD_EVENT);
}

static uint64_t in_spec(unsigned int cmd, enum kind kind)
{
	uint64_t want = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(told); i++)
		if (told[i].cmd == cmd && told[i].kind == kind && !is_told_elsewhere(&told[i]))
			want |= 1ULL << told[i].attribute;
	return want;
}

/* All that the spec lists has come, and no more; fillers are not listed. */
#define EXPECT_TOLD(cmd, kind, pad, seen_) do {						\
	uint64_t want_ = in_spec(cmd, kind), got_ = (seen_) & ~(1ULL << (pad));		\
											\
	EXPECT_NE(0, want_);								\
	EXPECT_EQ(want_, got_) {							\
		TH_LOG("%s: %s; missing %#llx, unlisted %#llx", #cmd, kinds[kind],	\
		       (long long)(want_ & ~got_), (long long)(got_ & ~want_));		\
	}										\
} while (0)

/* What comes once for all that can be told: every setting made, one of each thing there. */
TEST_F(spec, replies_and_events_tell_what_the_spec_says)
{
	struct message add = message(self->s.family, EXTPAGER_CMD_TARGET_ADD), m;
	static struct socket listener;
	struct nlmsghdr *nh = (void *)listener.buf;
	unsigned int i, event = 0;
	struct nlattr *name;
	struct extpager_event ev;
	struct seen seen;
	struct pager p;
	int fd, object;
	ssize_t len;

	BEHAVIOURS(41);
	ASSERT_TRUE(open_socket(&listener));
	ASSERT_TRUE(subscribe(&listener));
	put_string(&add, EXTPAGER_A_TARGET_NAME, NAME);
	put_string(&add, EXTPAGER_A_TARGET_STORE, "mem:");
	put_u64(&add, EXTPAGER_A_TARGET_BYTES, BYTES);
	put_u32(&add, EXTPAGER_A_TARGET_PAGER_UID, 1);
	put_flag(&add, EXTPAGER_A_TARGET_READ_ONLY);
	ASSERT_EQ(0, talk(&self->s, &add, 0, NULL, NULL));

	/* A port with the target, which is in use, and with an object of its own. */
	ASSERT_EQ(0, pager_open(&p, 1, 0));
	ASSERT_EQ(0, pager_attach(&p, NAME, NULL, NULL));
	fd = target_open(NAME, O_RDONLY | O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(object_ready(&p, NULL));
	object = pager_create(&p, BYTES, 0, NULL);
	ASSERT_LE(0, object);

	m = message(self->s.family, EXTPAGER_CMD_TARGET_SET);
	put_string(&m, EXTPAGER_A_TARGET_NAME, NAME);
	put_u32(&m, EXTPAGER_A_TARGET_MODE, 0600);
	ASSERT_EQ(0, talk(&self->s, &m, 0, NULL, NULL));
	seen = (struct seen){ };
	do {
		len = recv(listener.fd, listener.buf, sizeof(listener.buf), 0);
		ASSERT_TRUE(len > 0 && NLMSG_OK(nh, len));
		name = find(nh, EXTPAGER_A_TARGET_NAME);
		if (!name || strcmp((char *)(name + 1), NAME))
			continue;
		take_attributes(nh, &seen);
		event = number_of(find(nh, EXTPAGER_A_TARGET_EVENT));
	} while (event != EXTPAGER_EVENT_CHANGED);
	EXPECT_TOLD(EXTPAGER_CMD_EVENT, EVENT, EXTPAGER_A_TARGET_PAD, seen.attributes);
	close(listener.fd);

	/* A request of each: an object's INIT, a page of the target. */
	ASSERT_NE(MAP_FAILED, mmap(NULL, BYTES, PROT_READ, MAP_SHARED, object, 0));
	ASSERT_TRUE(pager_expect(&p, EXTPAGER_EV_INIT, &ev, 10000));
	ASSERT_EQ(0, posix_fadvise(fd, 0, BYTES, POSIX_FADV_WILLNEED));
	ASSERT_TRUE(pager_expect(&p, EXTPAGER_EV_DATA_REQUEST, &ev, 10000));
#define ASK(cmd, kind, pad, take) do {							\
	m = message(self->s.family, cmd);						\
	if ((kind) == DO)								\
		put_string(&m, EXTPAGER_A_TARGET_NAME, NAME);				\
	seen = (struct seen){ };							\
	ASSERT_EQ(0, talk(&self->s, &m, (kind) == DUMP ? NLM_F_DUMP : 0, take, &seen));	\
	EXPECT_TOLD(cmd, kind, pad, seen.attributes);					\
} while (0)
	ASK(EXTPAGER_CMD_REQUEST_GET, DUMP, EXTPAGER_A_REQUEST_PAD, take_attributes);
	ASK(EXTPAGER_CMD_TARGET_GET, DO, EXTPAGER_A_TARGET_PAD, take_attributes);
	ASK(EXTPAGER_CMD_TARGET_GET, DUMP, EXTPAGER_A_TARGET_PAD, take_attributes);
	ASK(EXTPAGER_CMD_STATS_GET, DUMP, EXTPAGER_A_STATS_PAD, take_stats);
	ASK(EXTPAGER_CMD_STATS_GET, DO, EXTPAGER_A_STATS_PAD, take_stats);
	EXPECT_TOLD(EXTPAGER_A_STATS_LATENCY, NEST, EXTPAGER_A_LATENCY_PAD, seen.latency);
	ASK(EXTPAGER_CMD_PORT_GET, DUMP, EXTPAGER_A_PORT_PAD, take_port);
#undef ASK
	EXPECT_TOLD(EXTPAGER_A_PORT_QUEUE, NEST, EXTPAGER_A_QUEUE_PAD, seen.queue);
	/* And there is no command that tells and was not asked. */
	for (i = 0; i < ARRAY_SIZE(told); i++)
		EXPECT_TRUE(told[i].kind == EVENT ||
			    (told[i].kind == NEST && (told[i].cmd == EXTPAGER_A_PORT_QUEUE ||
						      told[i].cmd == EXTPAGER_A_STATS_LATENCY)) ||
			    told[i].cmd == EXTPAGER_CMD_TARGET_GET ||
			    told[i].cmd == EXTPAGER_CMD_STATS_GET ||
			    told[i].cmd == EXTPAGER_CMD_REQUEST_GET ||
			    told[i].cmd == EXTPAGER_CMD_PORT_GET) {
			TH_LOG("command %u", told[i].cmd);
		}
	close(fd);
	pager_close(&p);
}

TEST_HARNESS_MAIN
