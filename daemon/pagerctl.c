// SPDX-License-Identifier: GPL-2.0-only
/* pagerctl: the table of commands, and how the right one is found. */
#include "pagerctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "version.h"

bool want_json;

const struct command commands[] = {
	{ "target", "add", NAME_MUST, FOR_ADD, target_add,
	  "target add NAME --store URI [--size SIZE] [options]", "make a target" },
	{ "target", "set", NAME_MUST, FOR_SET, target_set,
	  "target set NAME options", "change a target" },
	{ "target", "del", NAME_MUST, FOR_DEL, target_del,
	  "target del NAME [--discard] [--wait TIME | --no-wait]", "delete a target" },
	{ "target", "show", NAME_MUST, FOR_SHOW, target_show,
	  "target show NAME [--conf]", "all about a target" },
	{ "target", "list", NAME_NONE, 0, target_list,
	  "target list", "the targets there are" },
	{ "pager", "list", NAME_NONE, 0, pager_list,
	  "pager list", "the pagers there are" },
	{ "stats", NULL, NAME_MAY, 0, stats_show,
	  "stats [NAME]", "counters of all targets, or of one" },
	{ "latency", NULL, NAME_MAY, FOR_LATENCY, latency_show,
	  "latency [NAME] [--svg FILE]", "how long requests take, as histograms" },
	{ "pending", NULL, NAME_MAY, 0, pending_list,
	  "pending [NAME]", "requests that are not answered yet" },
	{ "top", NULL, NAME_NONE, FOR_TOP, top,
	  "top [-n COUNT] [--interval TIME]", "what targets do, again and again" },
	{ "metrics", NULL, NAME_NONE, 0, metrics,
	  "metrics", "all that is counted, as OpenMetrics text" },
	{ "doctor", NULL, NAME_NONE, 0, doctor,
	  "doctor", "what is wrong here, and the mend" },
	{ "monitor", NULL, NAME_NONE, 0, monitor,
	  "monitor", "tell changes of targets as they come" },
	{ "completion", "bash", NAME_NONE, 0, completion_bash,
	  "completion bash", "a script that lets bash complete all this" },
};

const size_t nr_commands = sizeof(commands) / sizeof(commands[0]);

static const char uris[] =
"\n"
"Stores (pagerd opens them):\n"
"  block:/dev/DEVICE[?offset=SIZE&length=SIZE&force=1]   a block device\n"
"  nvme:/dev/nvmeXnY[?offset=SIZE&length=SIZE&force=1]   an NVMe namespace\n"
"  file:/PATH[?offset=SIZE&length=SIZE&create=1]         a regular file\n"
"  mem:                                                  memory, lost with pagerd\n"
"  zero:                                                 zeros, read-only\n"
"\n"
"Sizes: 4096, 64K, 64MiB, 1.5G (powers of 1024). Times: 500ms, 30s, 5m, 1h.\n";

static void print_help(const char *noun)
{
	size_t i;

	printf("Usage: pagerctl [-j] %s\n\n", noun ? noun : "COMMAND");
	for (i = 0; i < nr_commands; i++) {
		const struct command *c = &commands[i];

		if (noun && strcmp(c->noun, noun))
			continue;
		if (strlen(c->usage) <= 36)
			printf("  %-36s %s\n", c->usage, c->summary);
		else
			printf("  %s\n%39s%s\n", c->usage, "", c->summary);
	}
	printf("\n  -j, --json   machine-readable output\n"
	       "  --help       this text, or that of a command\n"
	       "  --version    the version\n");
	if (!noun || !strcmp(noun, "target"))
		fputs(uris, stdout);
	printf("\nExit status: 0 done, 1 failed, 2 wrong usage.\n");
}

static void print_command_help(const struct command *command)
{
	printf("Usage: pagerctl [-j] %s\n\n", command->usage);
	options_help(command->options);
	if (command->options & (FOR_ADD | FOR_SET))
		fputs(uris, stdout);
}

static bool is_help(const char *arg)
{
	return !strcmp(arg, "--help") || !strcmp(arg, "-h") || !strcmp(arg, "help");
}

/* Options that mean the same everywhere. Return: whether @arg was one. */
static bool take_global(const char *arg)
{
	if (!strcmp(arg, "-j") || !strcmp(arg, "--json")) {
		want_json = true;
		return true;
	}
	if (!strcmp(arg, "--version") || !strcmp(arg, "-V")) {
		printf("pagerctl %s\n", EXTPAGER_VERSION);
		exit(EXIT_SUCCESS);
	}
	return false;
}

static const struct command *find_command(const char *noun, const char *verb)
{
	bool noun_known = false;
	size_t i;

	for (i = 0; i < nr_commands; i++) {
		if (strcmp(commands[i].noun, noun))
			continue;
		noun_known = true;
		if (!commands[i].verb || (verb && !strcmp(commands[i].verb, verb)))
			return &commands[i];
	}
	if (!noun_known)
		usage_error(NULL, "there is no command '%s'", noun);
	if (!verb)
		usage_error(NULL, "%s: what about it?", noun);
	usage_error(NULL, "%s: there is no command '%s'", noun, verb);
}

int main(int argc, char **argv)
{
	struct args args = { .target.size = sizeof(args.target) };
	const struct command *command;
	int i, nr = 0;

	/* Global options may stand anywhere: take them out. */
	for (i = 1; i < argc; i++) {
		if (!take_global(argv[i]))
			argv[nr++] = argv[i];
	}
	argv[nr] = NULL;
	if (!nr) {
		print_help(NULL);
		return EXIT_USAGE;
	}
	if (is_help(argv[0])) {
		print_help(NULL);
		return EXIT_SUCCESS;
	}
	if (argv[0][0] == '-')
		usage_error(NULL, "there is no option '%s'", argv[0]);
	if (nr > 1 && is_help(argv[1])) {
		for (i = 0; i < (int)nr_commands; i++) {
			if (strcmp(commands[i].noun, argv[0]))
				continue;
			if (commands[i].verb)
				print_help(argv[0]);
			else
				print_command_help(&commands[i]);
			return EXIT_SUCCESS;
		}
	}
	command = find_command(argv[0], argv[1]);
	i = command->verb ? 2 : 1;
	if (nr > i && (!strcmp(argv[nr - 1], "--help") || !strcmp(argv[nr - 1], "-h"))) {
		print_command_help(command);
		return EXIT_SUCCESS;
	}
	options_parse(nr - i, argv + i, command->options, command->usage,
		      command->name == NAME_MUST, command->name != NAME_NONE, &args);
	return command->run(&args);
}
