/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of pagerctl share. */
#ifndef PAGERCTL_H
#define PAGERCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <extpager.h>

enum {
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

/* Which command takes an option. */
enum {
	FOR_ADD = 1 << 0,
	FOR_SET = 1 << 1,
	FOR_DEL = 1 << 2,
	FOR_SHOW = 1 << 3,
	FOR_LATENCY = 1 << 4,
	FOR_TOP = 1 << 5,
};

/**
 * struct args - a command's arguments
 * @name: the one argument that is no option, or NULL
 * @target: what the options say of a target
 * @discard: drop dirty pages
 * @no_wait: do not wait for the end of a deletion
 * @conf: print a configuration file
 * @wait_ms: how long to wait for it, 0 = default
 * @interval_ms: between two looks, 0 = default
 * @count: of looks, 0 = no end
 * @file: to write, or NULL
 * @given: bit of each option that was given, by the tables
 */
struct args {
	const char *name;
	struct extpager_target target;
	bool discard;
	bool no_wait;
	bool conf;
	uint32_t wait_ms;
	uint32_t interval_ms;
	uint32_t count;
	const char *file;
	uint32_t given;
};

enum name_rule {
	NAME_NONE,
	NAME_MAY,
	NAME_MUST,
};

/**
 * struct command - a command
 * @noun: its first word
 * @verb: its second word; NULL: the noun is all
 * @name: whether a target's name follows
 * @options: which options it takes, FOR_*
 * @run: does it. Return: exit code.
 * @usage: how it is written
 * @summary: one line
 */
struct command {
	const char *noun;
	const char *verb;
	enum name_rule name;
	unsigned int options;
	int (*run)(struct args *args);
	const char *usage;
	const char *summary;
};

/* The one table; help and completion are made from it. */
extern const struct command commands[];
extern const size_t nr_commands;

/* Global: -j. */
extern bool want_json;

/* ---- pagerctl-options.c ---- */

/** Parse @argv after noun and verb; exits with 2 on a mistake. */
void options_parse(int argc, char **argv, unsigned int command, const char *usage,
		   bool name_needed, bool name_allowed, struct args *args);
/** Call @fn for each option that @command takes; @arg is NULL for flags. */
void options_each(unsigned int command,
		  void (*fn)(const char *name, const char *arg, const char *help, void *to),
		  void *to);
/** Print the options that @command takes. */
void options_help(unsigned int command);
/** Mistake of the caller: exits with 2. */
void usage_error(const char *usage, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), noreturn));

/* ---- pagerctl-output.c ---- */

/** "pagerctl: ..." Return: EXIT_FAILED. */
int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** What is wrong with a target, in words with a mend. Return: EXIT_FAILED. */
int fail_target(const char *name, const struct extpager_ctl *c, int ret);
/** A conversation with the kernel, or exit. */
struct extpager_ctl *open_ctl(void);

#define TABLE_COLUMNS	12

/** A text table whose columns are as wide as their widest cell. */
struct table {
	unsigned int columns;
	size_t rows;
	char *(*cells)[TABLE_COLUMNS];
	bool right[TABLE_COLUMNS];
};

/** Names that begin with '>' are of columns aligned to the right. */
void table_begin(struct table *t, unsigned int columns, const char *const *names);
/** Append a row of @t->columns strings. */
void table_row(struct table *t, const char *const *cells);
void table_end(struct table *t);
/** Of the terminal that stdout is; both 0 if it is none. */
void terminal_size(int *columns, int *rows);

/** {"version":1}, or exit. */
cJSON *json_begin(void);
void json_u64(cJSON *object, const char *key, uint64_t value);
/* Whose statistics these are: a target's, or those of a port's unnamed objects. */
void json_whose(cJSON *object, const struct extpager_stats *s);
void print_whose(const struct extpager_stats *s);
/** Print and free; @line: on one line. */
void json_end(cJSON *root, bool line);

/* ---- commands: each returns the exit code ---- */
int target_add(struct args *args);
int target_set(struct args *args);
int target_del(struct args *args);
int target_show(struct args *args);
int target_list(struct args *args);
int pager_list(struct args *args);
int stats_show(struct args *args);
int latency_show(struct args *args);
int pending_list(struct args *args);
int top(struct args *args);
int metrics(struct args *args);
int doctor(struct args *args);
int monitor(struct args *args);
int completion_bash(struct args *args);

/** What the kernel said of a failure @ret, or the errno in words. */
const char *said(const struct extpager_ctl *c, int ret);
/** Draw histograms into a file. Return: exit code. */
int latency_svg(const struct extpager_stats *stats, const char *file);

/** The file that makes @t permanent, to stdout. Return: exit code. */
int print_conf(const struct extpager_target *t);
/** A target as a JSON object. */
cJSON *target_json(const struct extpager_target *t);

#endif /* PAGERCTL_H */
