// SPDX-License-Identifier: GPL-2.0-only
/* A target as the file that pagerd adds it from. */
#include "pagerctl.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "setting.h"

/* inih takes lines of up to 198 bytes; a longer value goes on after a tab. */
#define PIECE_MAX	150

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Blanks at a line's ends are lost, and what begins with # or ; is a comment. */
static bool may_cut(const char *at)
{
	return !is_blank(at[-1]) && !is_blank(at[0]) && at[0] != '#' && at[0] != ';';
}

/* Return: how much of @text goes into one line; 0: it cannot be cut. */
static size_t piece(const char *text)
{
	size_t len = strlen(text);

	if (len <= PIECE_MAX)
		return len;
	for (len = PIECE_MAX; len && !may_cut(text + len); len--)
		;
	return len;
}

static bool can_be_said(const char *text)
{
	size_t len = strlen(text);

	if (!len || is_blank(text[0]) || is_blank(text[len - 1]) || strpbrk(text, "\n\r"))
		return false;
	for (; *text; text += len) {
		len = piece(text);
		if (!len)
			return false;
	}
	return true;
}

static void print_value(const char *key, const char *text)
{
	size_t len = piece(text);

	printf("%s = %.*s\n", key, (int)len, text);
	for (text += len; *text; text += len) {
		len = piece(text);
		printf("\t%.*s\n", (int)len, text);
	}
}

/* Numbers are what the kernel has; names are for who reads them. */
static void print_names(const struct extpager_target *t)
{
	const struct passwd *user = getpwuid(t->uid);
	const struct group *group;

	if (user)
		printf("# uid %u is %s\n", t->uid, user->pw_name);
	group = getgrgid(t->gid);
	if (group)
		printf("# gid %u is %s\n", t->gid, group->gr_name);
	user = t->pager_uid != EXTPAGER_NO_UID ? getpwuid(t->pager_uid) : NULL;
	if (user)
		printf("# pager-uid %u is %s\n", t->pager_uid, user->pw_name);
}

int print_conf(const struct extpager_target *t)
{
	char text[SETTING_MAX];
	size_t i;

	if (!(t->set & EXTPAGER_SET_STORE))
		return fail("target '%s': the kernel does not tell you its store: needs CAP_SYS_ADMIN; be root",
			    t->name);
	if (t->store[0] && !can_be_said(t->store))
		return fail("target '%s': no file can say the store '%s': write blanks in its path as %%20",
			    t->name, t->store);
	printf("# /etc/extpager/targets.d/%s.conf: makes the target permanent.\n", t->name);
	print_names(t);
	printf("[target]\n");
	for (i = 0; i < SETTINGS; i++) {
		if (t->set & settings[i].bit &&
		    !(settings[i].kind == SETTING_STORE && !t->store[0]))
			print_value(settings[i].name, setting_format(&settings[i], t, text));
	}
	return 0;
}
