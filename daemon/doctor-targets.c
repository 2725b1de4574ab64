// SPDX-License-Identifier: GPL-2.0-only
/* pagerctl doctor: the targets that there are, and those that files name. */
#include "doctor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <linux/extpager_netlink.h>

#include "target-file.h"
#include "units.h"
#include "uri.h"

#define MEND_MAX	(2 * SETTING_MAX)

struct targets {
	const struct machine *machine;
	struct extpager_target *have;
	size_t nr;
	unsigned int files;
};

static int take_target(const struct extpager_target *t, void *arg)
{
	struct targets *all = arg;
	struct extpager_target *have = reallocarray(all->have, all->nr + 1, sizeof(*have));

	if (!have)
		return -ENOMEM;
	all->have = have;
	have[all->nr++] = *t;
	return 0;
}

static const struct extpager_target *find(const struct targets *all, const char *name)
{
	size_t i;

	for (i = 0; i < all->nr; i++) {
		if (!strcmp(all->have[i].name, name))
			return &all->have[i];
	}
	return NULL;
}

/* ---- targets that there are -------------------------------------------- */

static bool is_for_pagerd(const struct extpager_target *t)
{
	return !(t->set & EXTPAGER_SET_STORE) || t->store[0];
}

/* Return: whether the store can be there. */
static bool check_store(const struct extpager_target *t)
{
	struct store_uri uri;
	char why[1024];
	struct stat st;

	if (!(t->set & EXTPAGER_SET_STORE) || !t->store[0])
		return true;
	if (store_uri_parse(t->store, &uri, why, sizeof(why))) {
		finding(PROBLEM, "store", t->name,
			"pagerctl target set it --store to a URI that pagerctl(8) lists",
			"its store %s: %s", t->store, why);
		return false;
	}
	if (uri.path[0] && !uri.create && stat(uri.path, &st)) {
		finding(PROBLEM, "store", t->name,
			"bring it back, or name another with pagerctl target set --store",
			"its store %s: %s", t->store, strerror(errno));
		return false;
	}
	return true;
}

static void check_pager(const struct machine *m, const struct extpager_target *t)
{
	char mend[MEND_MAX];

	if (t->port || t->state == EXTPAGER_STATE_DRAINING)
		return;
	if (!check_store(t))
		return;
	if (!is_for_pagerd(t)) {
		finding(PROBLEM, "no-pager", t->name, "start the pager that it is for",
			"no pager serves it, and it names no store for pagerd");
	} else if (!m->pagerd) {
		finding(PROBLEM, "no-pager", t->name, "systemctl start pagerd, or run pagerd",
			"no pager serves it: pagerd does not run");
	} else {
		snprintf(mend, sizeof(mend),
			 "journalctl -u pagerd | grep \"'%s'\" says why", t->name);
		finding(PROBLEM, "no-pager", t->name, mend,
			"no pager serves it, though pagerd runs");
	}
}

static void check_work(const struct extpager_target *t)
{
	char mend[MEND_MAX], dirty[UNITS_MAX], quota[UNITS_MAX];

	snprintf(mend, sizeof(mend),
		 "pagerctl pending %s tells what hangs; see to its store, or restart its pager",
		 t->name);
	if (t->state == EXTPAGER_STATE_STALLED)
		finding(PROBLEM, "stalled", t->name, mend,
			"its pager does not answer: a deadline was missed, or writers wait");
	if (t->quota && t->dirty >= t->quota - t->quota / 8) {
		snprintf(mend, sizeof(mend),
			 "pagerctl latency %s tells how slow its store is; pagerctl target set %s --quota SIZE lets writers go further",
			 t->name, t->name);
		finding(HINT, "quota", t->name, mend,
			"writers are held up: %s are dirty, of at most %s",
			units_format_size(t->dirty, dirty, sizeof(dirty)),
			units_format_size(t->quota, quota, sizeof(quota)));
	}
}

/* What is in the spill is nowhere else, and the spill is memory and swap. */
static void check_spill(const struct extpager_target *t)
{
	char mend[MEND_MAX], spilled[UNITS_MAX], limit[SETTING_MAX];

	units_format_size(t->spilled, spilled, sizeof(spilled));
	if (t->spilled && !t->port)
		finding(PROBLEM, "spilled", t->name, "start its pager, which gets them first",
			"%s that were written to it are in its spill, which is lost with the machine",
			spilled);
	if (t->spill_full) {
		snprintf(mend, sizeof(mend),
			 "see to its pager; meanwhile add swap, or pagerctl target set %s --spill-limit SIZE",
			 t->name);
		finding(PROBLEM, "spill-full", t->name, mend,
			"its spill takes no more: %s are in it, its limit is %s", spilled,
			setting_format(setting_find("spill-limit", strlen("spill-limit")), t,
				       limit));
	}
}

/* ---- targets that files name ------------------------------------------- */

static void complain(const char *path, unsigned int line, const char *text, void *arg)
{
	(void)arg;
	if (line)
		finding(PROBLEM, "conf", NULL, "mend the file and systemctl reload pagerd",
			"%s:%u: %s", path, line, text);
	else
		finding(PROBLEM, "conf", NULL, "mend the file and systemctl reload pagerd",
			"%s: %s", path, text);
}

static void compare(const struct target_file *f, const struct extpager_target *have)
{
	char mend[MEND_MAX], says[SETTING_MAX], has[SETTING_MAX];
	size_t i;

	for (i = 0; i < SETTINGS; i++) {
		const struct setting *s = &settings[i];

		if (!target_file_differs(f, s, have))
			continue;
		setting_format(s, &f->target, says);
		if (have->set & s->bit)
			setting_format(s, have, has);
		else
			strcpy(has, "nothing");
		if (s->fixed || s->kind == SETTING_STORE)
			snprintf(mend, sizeof(mend),
				 "mend the file, or pagerctl target del %s and systemctl reload pagerd",
				 have->name);
		else
			snprintf(mend, sizeof(mend),
				 "mend the file, or pagerctl target set %s --%s '%s'", have->name,
				 s->name, says);
		finding(PROBLEM, "conf-differs", have->name, mend,
			"%s:%u says %s = %s, the kernel has %s", f->path, f->lines[i], s->name,
			says, has);
	}
}

static void check_file(const char *path, const char *name, void *arg)
{
	struct target_file f = { .path = path, .target.size = sizeof(f.target) };
	const struct extpager_target *have;
	struct targets *all = arg;

	all->files++;
	if (!target_name_ok(name)) {
		complain(path, 0, "its name cannot be a target's: " TARGET_NAME_RULE, NULL);
		return;
	}
	strcpy(f.target.name, name);
	if (target_file_read(&f, complain, NULL) || !all->machine->ctl)
		return;
	have = find(all, name);
	if (have)
		compare(&f, have);
	else
		finding(PROBLEM, "conf-missing", name,
			all->machine->pagerd ?
			"systemctl reload pagerd; journalctl -u pagerd says if it cannot" :
			"systemctl start pagerd, or run pagerd",
			"%s names it, but it is not there", path);
}

static void check_saved(const struct extpager_target *t)
{
	char name[NAME_MAX + 1], path[PATH_MAX], mend[MEND_MAX];

	if (!is_for_pagerd(t))
		return;
	snprintf(name, sizeof(name), TARGET_FILES "/%s.conf", t->name);
	if (!conf_find("", name, path))
		return;
	snprintf(mend, sizeof(mend),
		 "pagerctl target show %s --conf > /etc/extpager/" TARGET_FILES "/%s.conf", t->name,
		 t->name);
	finding(HINT, "unsaved", t->name, mend, "no file names it: after a reboot it is gone");
}

void check_targets(const struct machine *m)
{
	struct targets all = { .machine = m };
	size_t i;
	int ret = m->ctl ? extpager_target_list(m->ctl, take_target, &all) : 0;

	if (ret)
		finding(PROBLEM, "netlink", NULL, "try again", "targets cannot be listed: %s",
			strerror(-ret));
	for (i = 0; i < all.nr; i++) {
		check_pager(m, &all.have[i]);
		check_work(&all.have[i]);
		check_spill(&all.have[i]);
		check_saved(&all.have[i]);
	}
	conf_list("", TARGET_FILES, check_file, complain, &all);
	if (m->ctl && !ret && !all.nr && !all.files)
		finding(HINT, "no-targets", NULL,
			"pagerctl target add NAME --store URI, see pagerctl(8)",
			"there are no targets, and no files that name any");
	free(all.have);
}
