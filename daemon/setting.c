// SPDX-License-Identifier: GPL-2.0-only
/* The table of a target's settings, and how their values are read and written. */
#include "setting.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"
#include "uri.h"

#define AT(field)	offsetof(struct extpager_target, field)

const struct setting settings[SETTINGS] = {
	{ "store", "URI", SETTING_STORE, EXTPAGER_SET_STORE, AT(store), false,
	  "where its content lives" },
	{ "size", "SIZE", SETTING_SIZE, EXTPAGER_SET_BYTES, AT(bytes), true,
	  "its size; default: that of the store" },
	{ "uid", "USER", SETTING_UID, EXTPAGER_SET_UID, AT(uid), false,
	  "owner" },
	{ "gid", "GROUP", SETTING_GID, EXTPAGER_SET_GID, AT(gid), false,
	  "group" },
	{ "mode", "MODE", SETTING_MODE, EXTPAGER_SET_MODE, AT(mode), false,
	  "permission bits, octal" },
	{ "read-only", NULL, SETTING_FLAG, EXTPAGER_SET_READ_ONLY, AT(read_only), true,
	  "clients may only read" },
	{ "pager-uid", "USER|none", SETTING_PAGER, EXTPAGER_SET_PAGER_UID, AT(pager_uid), false,
	  "who may be its pager without CAP_SYS_ADMIN" },
	{ "policy", "hold|fail|spill", SETTING_POLICY, EXTPAGER_SET_POLICY, AT(policy), false,
	  "a pause, or errors, while there is no pager" },
	{ "quota", "SIZE", SETTING_SIZE, EXTPAGER_SET_QUOTA, AT(quota), false,
	  "most bytes dirty at a time" },
	{ "spill-limit", "SIZE|unlimited", SETTING_LIMIT, EXTPAGER_SET_SPILL_LIMIT,
	  AT(spill_limit), false, "most bytes in the spill" },
	{ "handshake-timeout", "TIME", SETTING_TIME, EXTPAGER_SET_HANDSHAKE, AT(handshake_ms),
	  false, "for the pager to become ready" },
	{ "page-in-timeout", "TIME", SETTING_TIME, EXTPAGER_SET_PAGE_IN, AT(page_in_ms), false,
	  "for a read" },
	{ "return-timeout", "TIME", SETTING_TIME, EXTPAGER_SET_RETURN, AT(return_ms), false,
	  "for a write-back" },
	{ "sync-timeout", "TIME", SETTING_TIME, EXTPAGER_SET_SYNC, AT(sync_ms), false,
	  "for a flush" },
	{ "handshake-action", "wait|error", SETTING_ACTION, EXTPAGER_SET_HANDSHAKE_ACTION,
	  AT(handshake_action), false, "when no pager is ready in time" },
	{ "page-in-action", "wait|error", SETTING_ACTION, EXTPAGER_SET_PAGE_IN_ACTION,
	  AT(page_in_action), false, "when a read is late" },
	{ "return-action", "error|spill", SETTING_ACTION, EXTPAGER_SET_RETURN_ACTION,
	  AT(return_action), false, "when a write-back is late" },
	{ "grace", "TIME", SETTING_TIME, EXTPAGER_SET_GRACE, AT(grace_ms), false,
	  "how long clients wait for a new pager" },
};

static int __attribute__((format(printf, 3, 4)))
refuse(char *why, size_t len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

const struct setting *setting_find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < SETTINGS; i++) {
		if (strlen(settings[i].name) == len && !memcmp(settings[i].name, name, len))
			return &settings[i];
	}
	return NULL;
}

/* Of settings whose values are words. */
static const char *(*names_of(const struct setting *s))(unsigned int nr)
{
	return s->kind == SETTING_POLICY ? extpager_policy_name : extpager_action_name;
}

/* ---- reading ----------------------------------------------------------- */

int setting_parse_flag(const char *text, bool *flag)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(words[i], text)) {
			*flag = i & 1;
			return 0;
		}
	}
	return -EINVAL;
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

/* Not "nobody", who is a user of many systems. */
static bool parse_pager(const char *text, uint32_t *uid)
{
	if (strcmp(text, "none"))
		return parse_uid(text, uid);
	*uid = EXTPAGER_NO_UID;
	return true;
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

/* One of the words that @words parts by |; its number is where @name has it. */
static bool parse_word(const char *text, const char *words, const char *(*name)(unsigned int nr),
		       uint32_t *value)
{
	size_t len = strlen(text), word;

	for (;; words += word + 1) {
		word = strcspn(words, "|");
		if (word == len && !memcmp(words, text, len))
			break;
		if (!words[word])
			return false;
	}
	for (*value = 1; strcmp(name(*value), text); ++*value)
		;
	return true;
}

static bool parse_limit(const char *text, uint64_t *limit)
{
	if (strcmp(text, "unlimited"))
		return !units_parse_size(text, limit);
	*limit = EXTPAGER_NO_LIMIT;
	return true;
}

static int parse_store(const char *text, char *store, char *why, size_t len)
{
	struct store_uri uri;
	char detail[256];

	if (store_uri_parse(text, &uri, detail, sizeof(detail)))
		return refuse(why, len, "'%s': %s", text, detail);
	/* The parser has bounded it. */
	strcpy(store, text);
	return 0;
}

static int parse_value(const struct setting *s, const char *text, void *at, char *why, size_t len)
{
	switch (s->kind) {
	case SETTING_FLAG:
		if (setting_parse_flag(text, at))
			return refuse(why, len, "'%s' is neither yes nor no", text);
		return 0;
	case SETTING_STORE:
		return parse_store(text, at, why, len);
	case SETTING_SIZE:
		if (units_parse_size(text, at) || !*(uint64_t *)at)
			return refuse(why, len, "'%s' is no size; write it as 4096, 64M or 1G",
				      text);
		return 0;
	case SETTING_TIME:
		if (units_parse_time(text, at))
			return refuse(why, len, "'%s' is no time; write it as 500ms, 30s or 5m",
				      text);
		return 0;
	case SETTING_UID:
		return parse_uid(text, at) ? 0 : refuse(why, len, "there is no user '%s'", text);
	case SETTING_PAGER:
		return parse_pager(text, at) ? 0 :
			refuse(why, len, "there is no user '%s'; if there is to be none: 'none'",
			       text);
	case SETTING_GID:
		return parse_gid(text, at) ? 0 : refuse(why, len, "there is no group '%s'", text);
	case SETTING_MODE:
		if (!parse_u32(text, 8, 0777, at))
			return refuse(why, len, "'%s' is not octal, 777 at most", text);
		return 0;
	case SETTING_LIMIT:
		if (!parse_limit(text, at))
			return refuse(why, len,
				      "'%s' is no size; write it as 64M, 0 or unlimited", text);
		return 0;
	case SETTING_POLICY:
	case SETTING_ACTION:
		if (!parse_word(text, s->arg, names_of(s), at))
			return refuse(why, len, "'%s' is none of %s", text, s->arg);
		return 0;
	}
	return -EINVAL;
}

int setting_parse(const struct setting *s, const char *text, struct extpager_target *t,
		  char *why, size_t len)
{
	int ret = parse_value(s, text, (char *)t + s->offset, why, len);

	if (!ret)
		t->set |= s->bit;
	return ret;
}

/* ---- writing ----------------------------------------------------------- */

static uint32_t value_u32(const struct setting *s, const struct extpager_target *t)
{
	uint32_t value;

	memcpy(&value, (const char *)t + s->offset, sizeof(value));
	return value;
}

static uint64_t value_u64(const struct setting *s, const struct extpager_target *t)
{
	uint64_t value;

	memcpy(&value, (const char *)t + s->offset, sizeof(value));
	return value;
}

const char *setting_format(const struct setting *s, const struct extpager_target *t, char *buf)
{
	switch (s->kind) {
	case SETTING_FLAG:
		strcpy(buf, *(const bool *)((const char *)t + s->offset) ? "yes" : "no");
		break;
	case SETTING_STORE:
		snprintf(buf, SETTING_MAX, "%s", (const char *)t + s->offset);
		break;
	case SETTING_LIMIT:
		if (value_u64(s, t) == EXTPAGER_NO_LIMIT) {
			strcpy(buf, "unlimited");
			break;
		}
		/* fall through */
	case SETTING_SIZE:
		units_write_size(value_u64(s, t), buf, SETTING_MAX);
		break;
	case SETTING_TIME:
		units_write_time(value_u32(s, t), buf, SETTING_MAX);
		break;
	case SETTING_PAGER:
		if (value_u32(s, t) == EXTPAGER_NO_UID) {
			strcpy(buf, "none");
			break;
		}
		/* fall through */
	case SETTING_UID:
	case SETTING_GID:
		snprintf(buf, SETTING_MAX, "%" PRIu32, value_u32(s, t));
		break;
	case SETTING_MODE:
		snprintf(buf, SETTING_MAX, "%04o", value_u32(s, t));
		break;
	case SETTING_POLICY:
	case SETTING_ACTION:
		strcpy(buf, names_of(s)(value_u32(s, t)));
		break;
	}
	return buf;
}

bool setting_equal(const struct setting *s, const struct extpager_target *a,
		   const struct extpager_target *b)
{
	char one[SETTING_MAX], other[SETTING_MAX];

	/* What is written is exact. */
	return !strcmp(setting_format(s, a, one), setting_format(s, b, other));
}

/* ---- a new target ------------------------------------------------------ */

int settings_imply(struct extpager_target *t, char *why, size_t len)
{
	struct store_uri uri;
	char detail[256];

	if (!(t->set & EXTPAGER_SET_STORE)) {
		if (t->set & EXTPAGER_SET_BYTES)
			return 0;
		return refuse(why, len, "needs a store, or a size if a pager of yours serves it");
	}
	if (store_uri_parse(t->store, &uri, detail, sizeof(detail)))
		return refuse(why, len, "store '%s': %s", t->store, detail);
	/* Zeros cannot be written, and are lost with nobody. */
	if (uri.kind == STORE_ZERO) {
		t->set |= EXTPAGER_SET_READ_ONLY;
		t->read_only = true;
	}
	/* Memory of pagerd: a successor would not have it. */
	if (uri.kind == STORE_MEM) {
		if ((t->set & EXTPAGER_SET_POLICY) && t->policy != EXTPAGER_FAIL)
			return refuse(why, len,
				      "a mem: store is lost with pagerd, so the policy can only be 'fail'");
		t->set |= EXTPAGER_SET_POLICY;
		t->policy = EXTPAGER_FAIL;
	}
	return 0;
}

int settings_measure(struct extpager_target *t, char *why, size_t len)
{
	struct store_uri uri;
	int ret;

	if (t->set & EXTPAGER_SET_BYTES)
		return 0;
	store_uri_parse(t->store, &uri, why, len);
	ret = store_uri_size(&uri, &t->bytes, why, len);
	if (!ret)
		t->set |= EXTPAGER_SET_BYTES;
	return ret;
}

bool target_name_ok(const char *name)
{
	size_t len = strlen(name);

	return len && len < sizeof(((struct extpager_target *)0)->name) &&
	       name[0] != '.' && name[0] != '-' &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
	       len;
}
