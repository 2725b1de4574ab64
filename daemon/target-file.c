// SPDX-License-Identifier: GPL-2.0-only
#include "target-file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SECTION		"target"

struct reading {
	struct target_file *file;
	void (*complain)(const char *path, unsigned int line, const char *text, void *arg);
	void *arg;
};

static int take(const struct conf_line *line, void *arg, char *why, size_t len)
{
	const struct setting *s = setting_find(line->key, strlen(line->key));
	struct target_file *f = ((struct reading *)arg)->file;
	char detail[SETTING_MAX + 256];

	if (!s) {
		snprintf(why, len, "there is no setting '%s'", line->key);
		return -EINVAL;
	}
	if (f->lines[s - settings]) {
		snprintf(why, len, "'%s' is said twice, first in line %u", s->name,
			 f->lines[s - settings]);
		return -EINVAL;
	}
	f->lines[s - settings] = line->line;
	if (!setting_parse(s, line->value, &f->target, detail, sizeof(detail)))
		return 0;
	snprintf(why, len, "%s: %s", s->name, detail);
	return -EINVAL;
}

static void complain(const char *path, unsigned int line, const char *text, void *arg)
{
	struct reading *r = arg;

	r->complain(path, line, text, r->arg);
}

unsigned int target_file_read(struct target_file *f,
			      void (*tell)(const char *path, unsigned int line,
					   const char *text, void *arg), void *arg)
{
	struct reading r = { .file = f, .complain = tell, .arg = arg };
	const struct conf_reader reader = {
		.section = SECTION, .take = take, .complain = complain, .arg = &r,
	};
	unsigned int mistakes = conf_read(f->path, &reader);
	char why[SETTING_MAX + 256];

	if (!mistakes && settings_imply(&f->target, why, sizeof(why))) {
		tell(f->path, 0, why, arg);
		mistakes++;
	}
	return mistakes;
}

bool target_file_differs(const struct target_file *f, const struct setting *s,
			 const struct extpager_target *have)
{
	if (!f->lines[s - settings])
		return false;
	/* The unprivileged are told no stores. */
	if (s->kind == SETTING_STORE && !(have->set & s->bit))
		return false;
	return !(have->set & s->bit) || !setting_equal(s, &f->target, have);
}
