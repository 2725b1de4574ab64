// SPDX-License-Identifier: GPL-2.0-only
/* pagerctl doctor: goes through all that is known to go wrong, and says the mend. */
#include "pagerctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "doctor.h"

static struct {
	cJSON *list;		/* NULL: they are told as text */
	unsigned int nr[2];	/* by level */
} found;

void finding(enum finding_level level, const char *check, const char *target, const char *mend,
	     const char *fmt, ...)
{
	const char *word = level == PROBLEM ? "problem" : "hint";
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	found.nr[level]++;
	if (found.list) {
		cJSON *item = cJSON_CreateObject();

		cJSON_AddStringToObject(item, "level", word);
		cJSON_AddStringToObject(item, "check", check);
		if (target)
			cJSON_AddStringToObject(item, "target", target);
		cJSON_AddStringToObject(item, "what", text);
		cJSON_AddStringToObject(item, "mend", mend);
		cJSON_AddItemToArray(found.list, item);
	} else if (target) {
		printf("%s: target '%s': %s\n  mend: %s\n", word, target, text, mend);
	} else {
		printf("%s: %s\n  mend: %s\n", word, text, mend);
	}
}

int doctor(struct args *args)
{
	struct machine m = { 0 };
	unsigned int problems, hints;
	cJSON *root = NULL;

	(void)args;
	if (want_json) {
		root = json_begin();
		found.list = cJSON_AddArrayToObject(root, "findings");
	}
	check_machine(&m);
	check_targets(&m);
	extpager_ctl_close(m.ctl);
	problems = found.nr[PROBLEM];
	hints = found.nr[HINT];
	if (root)
		json_end(root, false);
	else if (!problems && !hints)
		printf("nothing is wrong\n");
	else
		printf("%u problem%s, %u hint%s\n", problems, problems == 1 ? "" : "s", hints,
		       hints == 1 ? "" : "s");
	return problems ? EXIT_FAILED : 0;
}
