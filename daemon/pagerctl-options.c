// SPDX-License-Identifier: GPL-2.0-only
/* Options: a target's settings and the few that are the commands' own. */
#include "pagerctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "setting.h"
#include "units.h"

/* Where a value goes, in struct args, says what it is. */
enum option_kind {
	OPTION_FLAG,
	OPTION_TIME,
	OPTION_COUNT,
	OPTION_FILE,
};

/* Which commands take which options beside a target's settings. */
static const struct option {
	const char *name;
	char letter;		/* -x is the same; 0: none */
	const char *arg;	/* NULL: a flag */
	enum option_kind kind;
	unsigned int commands;
	size_t offset;		/* in struct args */
	const char *help;
} options[] = {
	{ "discard", 0, NULL, OPTION_FLAG, FOR_DEL, offsetof(struct args, discard),
	  "give up dirty pages" },
	{ "wait", 0, "TIME", OPTION_TIME, FOR_DEL, offsetof(struct args, wait_ms),
	  "for the deletion to end; default: 30s" },
	{ "no-wait", 0, NULL, OPTION_FLAG, FOR_DEL, offsetof(struct args, no_wait),
	  "only begin the deletion" },
	{ "conf", 0, NULL, OPTION_FLAG, FOR_SHOW, offsetof(struct args, conf),
	  "print the file that makes the target permanent" },
	{ "svg", 0, "FILE", OPTION_FILE, FOR_LATENCY, offsetof(struct args, file),
	  "draw it there; needs gnuplot" },
	{ "interval", 0, "TIME", OPTION_TIME, FOR_TOP, offsetof(struct args, interval_ms),
	  "between two tables; default: 2s" },
	{ "count", 'n', "COUNT", OPTION_COUNT, FOR_TOP, offsetof(struct args, count),
	  "end after so many tables" },
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

static bool takes_setting(const struct setting *s, unsigned int command)
{
	return command & FOR_ADD || (command & FOR_SET && !s->fixed);
}

void options_each(unsigned int command,
		  void (*fn)(const char *name, const char *arg, const char *help, void *to),
		  void *to)
{
	size_t i;

	for (i = 0; i < SETTINGS; i++) {
		if (takes_setting(&settings[i], command))
			fn(settings[i].name, settings[i].arg, settings[i].help, to);
	}
	for (i = 0; i < NR_OPTIONS; i++) {
		if (options[i].commands & command)
			fn(options[i].name, options[i].arg, options[i].help, to);
	}
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

static void help_line(const char *name, const char *arg, const char *help, void *unused)
{
	const struct option *option = find_option(name, strlen(name));
	char left[64], letter[8] = "";

	(void)unused;
	if (option && option->letter)
		snprintf(letter, sizeof(letter), "-%c, ", option->letter);
	snprintf(left, sizeof(left), "%s--%s %s", letter, name, arg ? arg : "");
	printf("  %-29s %s\n", left, help);
}

void options_help(unsigned int command)
{
	options_each(command, help_line, NULL);
	printf("  %-29s %s\n", "-j, --json", "machine-readable output");
}

static void take_setting(const struct setting *s, const char *text, const char *usage,
			 struct extpager_target *t)
{
	char why[SETTING_MAX + 512];

	if (setting_parse(s, text, t, why, sizeof(why)))
		usage_error(usage, "--%s: %s", s->name, why);
}

static void take_count(const struct option *option, const char *text, const char *usage,
		       uint32_t *count)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || !value || value > UINT32_MAX)
		usage_error(usage, "--%s: '%s' is no number from 1 on", option->name, text);
	*count = value;
}

static void take_option(const struct option *option, const char *text, const char *usage,
			struct args *args)
{
	void *at = (char *)args + option->offset;

	switch (option->kind) {
	case OPTION_FLAG:
		*(bool *)at = true;
		break;
	case OPTION_TIME:
		if (units_parse_time(text, at))
			usage_error(usage, "--%s: '%s' is no time; write it as 500ms, 30s or 5m",
				    option->name, text);
		break;
	case OPTION_COUNT:
		take_count(option, text, usage, at);
		break;
	case OPTION_FILE:
		if (!*text)
			usage_error(usage, "--%s needs a file's name", option->name);
		*(const char **)at = text;
	}
}

/* The long name of "-x". */
static const char *name_of_letter(const char *word, unsigned int command, const char *usage)
{
	size_t i;

	for (i = 0; i < NR_OPTIONS; i++) {
		if (options[i].letter && options[i].commands & command &&
		    word[1] == options[i].letter && !word[2])
			return options[i].name;
	}
	usage_error(usage, "there is no option '%s'", word);
}

/* Return: how many words were taken. */
static int parse_option(int argc, char **argv, unsigned int command, const char *usage,
			struct args *args)
{
	const char *name = argv[0][1] == '-' ? argv[0] + 2 :
			   name_of_letter(argv[0], command, usage);
	const char *value = strchr(name, '='), *arg;
	size_t len = value ? (size_t)(value - name) : strlen(name);
	const struct option *option = find_option(name, len);
	const struct setting *setting = setting_find(name, len);
	uint32_t bit;
	int taken = 1;

	if (setting && setting->fixed && command & FOR_SET)
		usage_error(usage, "--%s cannot be changed: delete the target and add it anew",
			    setting->name);
	if (!(setting && takes_setting(setting, command)) &&
	    !(option && option->commands & command))
		usage_error(usage, "there is no option '--%.*s'", (int)len, name);
	bit = setting ? 1U << (setting - settings) : 1U << (SETTINGS + (option - options));
	arg = setting ? setting->arg : option->arg;
	if (args->given & bit)
		usage_error(usage, "--%.*s is given twice", (int)len, name);
	args->given |= bit;

	if (!arg && value)
		usage_error(usage, "--%.*s takes no value", (int)len, name);
	if (value) {
		value++;
	} else if (arg) {
		if (argc < 2)
			usage_error(usage, "--%s needs a %s", name, arg);
		value = argv[1];
		taken = 2;
	}
	if (setting)
		take_setting(setting, arg ? value : "yes", usage, &args->target);
	else
		take_option(option, value, usage, args);
	return taken;
}

static void take_name(const char *name, const char *usage, struct args *args)
{
	if (args->name)
		usage_error(usage, "'%s' is one argument too many", name);
	if (!target_name_ok(name))
		usage_error(usage, "'%s' cannot be a target's name: " TARGET_NAME_RULE, name);
	strcpy(args->target.name, name);
	args->name = args->target.name;
}

void options_parse(int argc, char **argv, unsigned int command, const char *usage,
		   bool name_needed, bool name_allowed, struct args *args)
{
	while (argc > 0) {
		int taken = 1;

		if (argv[0][0] == '-' && argv[0][1] && strcmp(argv[0], "--"))
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
