/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The settings of a target by name. pagerctl takes them as options, files below
 * targets.d as keys: one table, so that they are the same words.
 */
#ifndef EXTPAGER_SETTING_H
#define EXTPAGER_SETTING_H

#include <stdbool.h>
#include <stddef.h>

#include <extpager.h>

/* Room that any setting's value fits into: a store URI is the longest. */
#define SETTING_MAX	1024

enum setting_kind {
	SETTING_FLAG,		/* bool: yes or no */
	SETTING_STORE,		/* char[]: a store URI */
	SETTING_SIZE,		/* uint64_t, not 0 */
	SETTING_LIMIT,		/* uint64_t: a size, also 0, or EXTPAGER_NO_LIMIT */
	SETTING_TIME,		/* uint32_t: ms */
	SETTING_UID,		/* uint32_t */
	SETTING_PAGER,		/* uint32_t: a user or EXTPAGER_NO_UID */
	SETTING_GID,		/* uint32_t */
	SETTING_MODE,		/* uint32_t */
	SETTING_POLICY,		/* uint32_t: one of the words that its arg shows */
	SETTING_ACTION,		/* the same */
};

/**
 * struct setting - one setting of a target
 * @name: the option without its dashes, and the key
 * @arg: what its value is called in help; NULL for flags
 * @kind: how its value is read and written
 * @bit: EXTPAGER_SET_* of it
 * @offset: in struct extpager_target
 * @fixed: cannot be changed once there is the target
 * @help: one line
 */
struct setting {
	const char *name;
	const char *arg;
	enum setting_kind kind;
	unsigned int bit;
	size_t offset;
	bool fixed;
	const char *help;
};

#define SETTINGS	18
extern const struct setting settings[SETTINGS];

/** By the first @len bytes of @name. Return: NULL if there is none. */
const struct setting *setting_find(const char *name, size_t len);

/** "yes", "no" and the like. Return: 0 or -EINVAL. */
int setting_parse_flag(const char *text, bool *flag);

/**
 * setting_parse - put @text's value into @t, and its bit into @t->set
 * @why: out: what is wrong, in words that name @text, if it fails
 *
 * Return: 0 or -EINVAL.
 */
int setting_parse(const struct setting *s, const char *text, struct extpager_target *t,
		  char *why, size_t len);

/**
 * setting_format - what setting_parse() would take for the value in @t
 * @buf: room for SETTING_MAX bytes
 *
 * Numbers are exact and users are numbers. Return: @buf.
 */
const char *setting_format(const struct setting *s, const struct extpager_target *t, char *buf);

/** Whether both targets have the same value. */
bool setting_equal(const struct setting *s, const struct extpager_target *a,
		   const struct extpager_target *b);

/**
 * settings_imply - what a new target's store says of its other settings
 * @t: with the settings that were given; others are added
 * @why: out: what does not go together, if it fails
 *
 * Return: 0 or -EINVAL.
 */
int settings_imply(struct extpager_target *t, char *why, size_t len);

/**
 * settings_measure - take the size from the store, unless it was given
 *
 * After settings_imply(). Return: 0 or as store_uri_size(), with @why.
 */
int settings_measure(struct extpager_target *t, char *why, size_t len);

/** Whether @name can be a target's. */
bool target_name_ok(const char *name);

/* What target_name_ok() wants, for messages. */
#define TARGET_NAME_RULE	"1 to 63 of A-Z a-z 0-9 . _ -, not . or - first"

#endif /* EXTPAGER_SETTING_H */
