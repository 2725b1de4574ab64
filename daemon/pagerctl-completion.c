// SPDX-License-Identifier: GPL-2.0-only
/*
 * pagerctl completion bash: a script whose words are those of the tables of
 * commands and options, so that it cannot tell anything else.
 */
#include "pagerctl.h"

#include <stdio.h>
#include <string.h>

#include "uri.h"

/* Of a word "--name=VALUE" the shell sees three: "--name", "=" and "VALUE". */
static const char start[] =
"# bash completion of pagerctl; made by `pagerctl completion bash`\n"
"\n"
"_pagerctl()\n"
"{\n"
"	local cur=${COMP_WORDS[COMP_CWORD]} at=$((COMP_CWORD - 1))\n"
"	local option='' noun='' verb='' name='' verbs='' options='' takes='' word value\n"
"\n"
"	if [ \"$cur\" = = ]; then cur=''\n"
"	elif [ \"${COMP_WORDS[at]}\" = = ]; then at=$((at - 1)); fi\n"
"	[[ ${COMP_WORDS[at]} == --* ]] && option=${COMP_WORDS[at]}\n"
"	for word in \"${COMP_WORDS[@]:1:COMP_CWORD - 1}\"; do\n"
"		if [[ $word == -* ]]; then continue\n"
"		elif [ -z \"$noun\" ]; then noun=$word\n"
"		elif [ -z \"$verb\" ]; then verb=$word; fi\n"
"	done\n"
"	case $noun in\n";

static const char end[] =
"	local everywhere='--json --help --version' words=0 skip=''\n"
"	for word in \"${COMP_WORDS[@]:1:COMP_CWORD - 1}\"; do\n"
"		if [ \"$word\" = = ]; then :\n"
"		elif [ -n \"$skip\" ]; then skip=''\n"
"		elif [[ \" $options\" == *\" $word=\"* ]]; then skip=yes\n"
"		elif [[ $word != -* ]]; then words=$((words + 1)); fi\n"
"	done\n"
"	[ $words -gt $((${#verbs} > 0 ? 2 : 1)) ] && name=given\n"
"	for word in $options; do\n"
"		value=${word#\"$option\"=}\n"
"		if [ -z \"$option\" ] || [ \"$value\" = \"$word\" ]; then continue; fi\n"
"		case $value in\n"
"		USER) mapfile -t COMPREPLY < <(compgen -u -- \"$cur\") ;;\n"
"		GROUP) mapfile -t COMPREPLY < <(compgen -g -- \"$cur\") ;;\n"
"		URI)\n"
"			mapfile -t COMPREPLY < <(compgen -W \"$stores\" -- \"$cur\")\n"
"			compopt -o nospace 2> /dev/null ;;\n"
"		*'|'*) mapfile -t COMPREPLY < <(compgen -W \"${value//|/ }\" -X '[A-Z]*' -- \"$cur\") ;;\n"
"		esac\n"
"		return\n"
"	done\n"
"	if [[ $cur == -* ]]; then\n"
"		word=\n"
"		for value in $options; do word+=\" ${value%%=*}\"; done\n"
"		mapfile -t COMPREPLY < <(compgen -W \"$word $everywhere\" -- \"$cur\")\n"
"	elif [ -z \"$noun\" ]; then\n"
"		mapfile -t COMPREPLY < <(compgen -W \"$nouns\" -- \"$cur\")\n"
"	elif [ -z \"$verb\" ] && [ -n \"$verbs\" ]; then\n"
"		mapfile -t COMPREPLY < <(compgen -W \"$verbs\" -- \"$cur\")\n"
"	elif [ -n \"$takes\" ] && [ -z \"$name\" ]; then\n"
"		mapfile -t COMPREPLY < <(compgen -W \"$(pagerctl target list 2> /dev/null |\n"
"			awk 'NR > 1 { print $1 }')\" -- \"$cur\")\n"
"	fi\n"
"}\n"
"complete -o default -F _pagerctl pagerctl\n";

static void print_option(const char *name, const char *arg, const char *help, void *unused)
{
	(void)help;
	(void)unused;
	printf(" --%s%s%s", name, arg ? "=" : "", arg ? arg : "");
}

static bool first_of_noun(size_t i)
{
	return !i || strcmp(commands[i].noun, commands[i - 1].noun);
}

/* What follows the command; a name that there is, unless it is to be made. */
static void print_command(const struct command *command)
{
	printf("options='");
	options_each(command->options, print_option, NULL);
	printf("'");
	if (command->name != NAME_NONE && !(command->options & FOR_ADD))
		printf(" takes=name");
}

/* Commands of one noun stand together in the table. */
static size_t print_noun(size_t i)
{
	const char *noun = commands[i].noun;
	size_t first = i;

	printf("\t%s)\n", noun);
	if (!commands[i].verb) {
		printf("\t\t");
		print_command(&commands[i]);
		printf(" ;;\n");
		return i + 1;
	}
	printf("\t\tverbs='");
	for (; i < nr_commands && !strcmp(commands[i].noun, noun); i++)
		printf(" %s", commands[i].verb);
	printf("'\n\t\tcase $verb in\n");
	for (i = first; i < nr_commands && !strcmp(commands[i].noun, noun); i++) {
		printf("\t\t%s) ", commands[i].verb);
		print_command(&commands[i]);
		printf(" ;;\n");
	}
	printf("\t\tesac ;;\n");
	return i;
}

int completion_bash(struct args *args)
{
	size_t i;
	int kind;

	(void)args;
	fputs(start, stdout);
	for (i = 0; i < nr_commands;)
		i = print_noun(i);
	printf("\tesac\n\tlocal nouns='");
	for (i = 0; i < nr_commands; i++) {
		if (first_of_noun(i))
			printf(" %s", commands[i].noun);
	}
	printf("' stores='");
	for (kind = STORE_BLOCK; kind <= STORE_MEM; kind++)
		printf(" %s:", store_kind_name(kind));
	printf("'\n%s", end);
	return ferror(stdout) ? EXIT_FAILED : 0;
}
