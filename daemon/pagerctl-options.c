// SPDX-License-Identifier: GPL-2.0-only
/* The table of options and the parser that runs over it. */
#include "pagerctl.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"
#include "uri.h"

enum kind {
	KIND_FLAG,		/* bool */
	KIND_STORE,		/* char[]: a store URI */
	KIND_SIZE,		/* uint64_t */
	KIND_TIME,		/* uint32_t: ms */
	KIND_UID,		/* uint32_t */
	KIND_GID,		/* uint32_t */
	KIND_MODE,		/* uint32_t */
	KIND_POLICY,		/* uint32_t */
};

#define TARGET(field)	(offsetof(struct args, target) + offsetof(struct extpager_target, field))
#define ARGS(field)	offsetof(struct args, field)

static const struct option {
	const char *name;
	const char *arg;
	enum kind kind;
	unsigned int commands;
	unsigned int set;	/* EXTPAGER_SET_* of the target */
	size_t offset;		/* in struct args */
	const char *help;
} options[] = {
	{ "store", "URI", KIND_STORE, FOR_ADD | FOR_SET, EXTPAGER_SET_STORE,
	  TARGET(store), "where its content lives" },
	{ "size", "SIZE", KIND_SIZE, FOR_ADD, EXTPAGER_SET_BYTES,
	  TARGET(bytes), "its size; default: that of the store" },
	{ "uid", "USER", KIND_UID, FOR_ADD | FOR_SET, EXTPAGER_SET_UID,
	  TARGET(uid), "owner" },
	{ "gid", "GROUP", KIND_GID, FOR_ADD | FOR_SET, EXTPAGER_SET_GID,
	  TARGET(gid), "group" },
	{ "mode", "MODE", KIND_MODE, FOR_ADD | FOR_SET, EXTPAGER_SET_MODE,
	  TARGET(mode), "permission bits, octal" },
	{ "read-only", NULL, KIND_FLAG, FOR_ADD | FOR_SET, EXTPAGER_SET_READ_ONLY,
	  TARGET(read_only), "clients may only read" },
	{ "pager-uid", "USER", KIND_UID, FOR_ADD | FOR_SET, EXTPAGER_SET_PAGER_UID,
	  TARGET(pager_uid), "who may be its pager without CAP_SYS_ADMIN" },
	{ "policy", "hold|fail", KIND_POLICY, FOR_ADD | FOR_SET, EXTPAGER_SET_POLICY,
	  TARGET(policy), "what clients see while there is no pager: a pause, or errors" },
	{ "quota", "SIZE", KIND_SIZE, FOR_ADD | FOR_SET, EXTPAGER_SET_QUOTA,
	  TARGET(quota), "most bytes dirty at a time" },
	{ "handshake-timeout", "TIME", KIND_TIME, FOR_ADD | FOR_SET, EXTPAGER_SET_HANDSHAKE,
	  TARGET(handshake_ms), "for the pager to become ready" },
	{ "page-in-timeout", "TIME", KIND_TIME, FOR_ADD | FOR_SET, EXTPAGER_SET_PAGE_IN,
	  TARGET(page_in_ms), "for a read" },
	{ "return-timeout", "TIME", KIND_TIME, FOR_ADD | FOR_SET, EXTPAGER_SET_RETURN,
	  TARGET(return_ms), "for a write-back" },
	{ "sync-timeout", "TIME", KIND_TIME, FOR_ADD | FOR_SET, EXTPAGER_SET_SYNC,
	  TARGET(sync_ms), "for a flush" },
	{ "grace", "TIME", KIND_TIME, FOR_ADD | FOR_SET, EXTPAGER_SET_GRACE,
	  TARGET(grace_ms), "how long clients wait for a new pager" },
	{ "discard", NULL, KIND_FLAG, FOR_DEL, 0,
	  ARGS(discard), "give up dirty pages" },
	{ "wait", "TIME", KIND_TIME, FOR_DEL, 0,
	  ARGS(wait_ms), "for the deletion to end; default: 30s" },
	{ "no-wait", NULL, KIND_FLAG, FOR_DEL, 0,
	  ARGS(no_wait), "only begin the deletion" },
};

#define NR_OPTIONS	(sizeof(options) / sizeof(options[0]))

void usage_error(const char *usage, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "pagerctl: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (usage)
		fprintf(stderr, "\nUsage: pagerctl %s\n", usage);
	else
		fprintf(stderr, "; see `pagerctl --help`\n");
	exit(EXIT_USAGE);
}

void options_help(unsigned int command)
{
	size_t i;

	for (i = 0; i < NR_OPTIONS; i++) {
		char left[64];

		if (!(options[i].commands & command))
			continue;
		snprintf(left, sizeof(left), "--%s %s", options[i].name,
			 options[i].arg ? options[i].arg : "");
		printf("  %-26s %s\n", left, options[i].help);
	}
	printf("  %-26s %s\n", "-j, --json", "machine-readable output");
}

static const struct option *find_option(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < NR_OPTIONS; i++) {
		if (strlen(options[i].name) == len && !memcmp(options[i].name, name, len))
			return &options[i];
	}
	return NULL;
}

/* All of @text as a number. */
static bool parse_u32(const char *text, int base, uint32_t most, uint32_t *value)
{
	unsigned long long number;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, base);
	if (errno || *end || number > most)
		return false;
	*value = (uint32_t)number;
	return true;
}

static bool parse_uid(const char *text, uint32_t *uid)
{
	struct passwd *user;

	if (parse_u32(text, 10, UINT32_MAX - 1, uid))
		return true;
	user = getpwnam(text);
	if (user)
		*uid = user->pw_uid;
	return user;
}

static bool parse_gid(const char *text, uint32_t *gid)
{
	struct group *group;

	if (parse_u32(text, 10, UINT32_MAX - 1, gid))
		return true;
	group = getgrnam(text);
	if (group)
		*gid = group->gr_gid;
	return group;
}

static bool parse_policy(const char *text, uint32_t *policy)
{
	if (!strcmp(text, "hold"))
		*policy = EXTPAGER_HOLD;
	else if (!strcmp(text, "fail"))
		*policy = EXTPAGER_FAIL;
	else
		return false;
	return true;
}

static void parse_store(const char *text, const char *usage, char *store)
{
	struct store_uri uri;
	char why[256];

	if (store_uri_parse(text, &uri, why, sizeof(why)))
		usage_error(usage, "store '%s': %s", text, why);
	/* The parser has bounded it. */
	strcpy(store, text);
}

static void parse_value(const struct option *option, const char *text, const char *usage,
			void *at)
{
	switch (option->kind) {
	case KIND_FLAG:
		*(bool *)at = true;
		break;
	case KIND_STORE:
		parse_store(text, usage, at);
		break;
	case KIND_SIZE:
		if (units_parse_size(text, at) || !*(uint64_t *)at)
			usage_error(usage, "--%s: '%s' is no size; write it as 4096, 64M or 1G",
				    option->name, text);
		break;
	case KIND_TIME:
		if (units_parse_time(text, at))
			usage_error(usage, "--%s: '%s' is no time; write it as 500ms, 30s or 5m",
				    option->name, text);
		break;
	case KIND_UID:
		if (!parse_uid(text, at))
			usage_error(usage, "--%s: there is no user '%s'", option->name, text);
		break;
	case KIND_GID:
		if (!parse_gid(text, at))
			usage_error(usage, "--%s: there is no group '%s'", option->name, text);
		break;
	case KIND_MODE:
		if (!parse_u32(text, 8, 0777, at))
			usage_error(usage, "--%s: '%s' is not octal, 777 at most",
				    option->name, text);
		break;
	case KIND_POLICY:
		if (!parse_policy(text, at))
			usage_error(usage, "--%s: '%s' is neither hold nor fail",
				    option->name, text);
		break;
	}
}

/* Return: how many words were taken. */
static int parse_option(int argc, char **argv, unsigned int command, const char *usage,
			struct args *args)
{
	const char *name = argv[0] + 2, *value = strchr(name, '=');
	size_t len = value ? (size_t)(value - name) : strlen(name);
	const struct option *option = find_option(name, len);
	int taken = 1;

	if (!option || !(option->commands & command))
		usage_error(usage, "there is no option '--%.*s'", (int)len, name);
	if (args->given & (1U << (option - options)))
		usage_error(usage, "--%s is given twice", option->name);
	args->given |= 1U << (option - options);

	if (option->kind == KIND_FLAG && value)
		usage_error(usage, "--%s takes no value", option->name);
	if (value) {
		value++;
	} else if (option->kind != KIND_FLAG) {
		if (argc < 2)
			usage_error(usage, "--%s needs a %s", option->name, option->arg);
		value = argv[1];
		taken = 2;
	}
	parse_value(option, value, usage, (char *)args + option->offset);
	args->target.set |= option->set;
	return taken;
}

static void take_name(const char *name, const char *usage, struct args *args)
{
	if (args->name)
		usage_error(usage, "'%s' is one argument too many", name);
	if (!name[0] || strlen(name) >= sizeof(args->target.name) || name[0] == '.' ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") !=
	    strlen(name))
		usage_error(usage, "'%s' cannot be a target's name: 1 to 63 of A-Z a-z 0-9 . _ -, not . or - first",
			    name);
	strcpy(args->target.name, name);
	args->name = args->target.name;
}

void options_parse(int argc, char **argv, unsigned int command, const char *usage,
		   bool name_needed, bool name_allowed, struct args *args)
{
	while (argc > 0) {
		int taken = 1;

		if (!strncmp(argv[0], "--", 2) && argv[0][2])
			taken = parse_option(argc, argv, command, usage, args);
		else if (argv[0][0] == '-')
			usage_error(usage, "there is no option '%s'", argv[0]);
		else if (!name_allowed)
			usage_error(usage, "'%s' is one argument too many", argv[0]);
		else
			take_name(argv[0], usage, args);
		argc -= taken;
		argv += taken;
	}
	if (name_needed && !args->name)
		usage_error(usage, "which target?");
}
