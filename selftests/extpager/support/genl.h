/* SPDX-License-Identifier: GPL-2.0-only */
/* Generic netlink over a bare socket: messages as they are, wrong ones too. */
#ifndef SELFTEST_GENL_H
#define SELFTEST_GENL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

#define ANSWER_MS 20000		/* the kernel has answered long before */

/* ---- messages ---- */

struct message {
	struct nlmsghdr nh;
	struct genlmsghdr gh;
	char attributes[8192];
};

struct message message(uint16_t family, uint8_t cmd);
void put(struct message *m, uint16_t type, const void *data, size_t len);
void put_u32(struct message *m, uint16_t type, uint32_t value);
void put_u64(struct message *m, uint16_t type, uint64_t value);
void put_string(struct message *m, uint16_t type, const char *text);
void put_flag(struct message *m, uint16_t type);

/* The attribute at @at, if there is one before @end. */
struct nlattr *attr_at(void *at, void *end);
struct nlattr *next_attr(struct nlattr *attr, void *end);
void *end_of(struct nlattr *nest);
struct nlattr *find_in(void *start, size_t len, uint16_t type);
/* The same in a message: the first of its attributes, their end, the one of @type. */
struct nlattr *first_attr(struct nlmsghdr *nh);
void *end_of_message(struct nlmsghdr *nh);
struct nlattr *find(struct nlmsghdr *nh, uint16_t type);
uint64_t number_of(const struct nlattr *attr);

/* ---- a conversation ---- */

struct socket {
	int fd;
	uint16_t family;
	uint32_t group;		/* of events */
	uint32_t seq;
	char why[256];		/* the kernel's words for the last refusal */
	struct nlattr *policy;	/* of the attribute that was refused, in @buf; or NULL */
	char buf[65536];
};

typedef void (*take_fn)(struct nlmsghdr *nh, void *arg);

/* To the family `extpager`. */
bool open_socket(struct socket *s);
/* 0 or -errno; @take sees every message of the answer. */
int talk(struct socket *s, struct message *m, unsigned int flags, take_fn take, void *arg);
/* Events will come. */
bool subscribe(struct socket *s);

#endif
