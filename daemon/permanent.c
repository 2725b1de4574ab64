// SPDX-License-Identifier: GPL-2.0-only
/* Reads targets.d, adds, compares, reports. The control thread's alone. */
#include "permanent.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <linux/extpager_netlink.h>

#include "clock.h"
#include "conf.h"
#include "log.h"
#include "setting.h"
#include "target-file.h"

#define RETRY_MS	3000

/**
 * struct permanent - a file
 * @path: of it
 * @file: what it says
 * @said: what was logged last, so that it is not said each time
 * @retry_at: when to try to add it again; 0: there is nothing to do
 */
struct permanent {
	STAILQ_ENTRY(permanent) link;
	char *path;
	struct target_file file;
	char said[1024];
	uint64_t retry_at;
};

static STAILQ_HEAD(, permanent) files = STAILQ_HEAD_INITIALIZER(files);

/* ---- reading ----------------------------------------------------------- */

static void complain(const char *path, unsigned int line, const char *text, void *arg)
{
	(void)arg;
	if (line)
		log_err("%s:%u: %s", path, line, text);
	else
		log_err("%s: %s", path, text);
}

static void permanent_free_one(struct permanent *p)
{
	free(p->path);
	free(p);
}

static void add_file(const char *path, const char *name, void *arg)
{
	struct control *c = arg;
	struct permanent *p;

	if (!target_name_ok(name)) {
		log_err("%s: '%s' cannot be a target's name: " TARGET_NAME_RULE, path, name);
		return;
	}
	if (!control_wants(c, name))
		return;
	p = calloc(1, sizeof(*p));
	if (p)
		p->path = strdup(path);
	if (!p || !p->path) {
		free(p);
		return;
	}
	p->file.path = p->path;
	p->file.target.size = sizeof(p->file.target);
	snprintf(p->file.target.name, sizeof(p->file.target.name), "%s", name);
	if (target_file_read(&p->file, complain, NULL)) {
		log_err("target '%s': %s is left out: mend it and reload pagerd", name, path);
		permanent_free_one(p);
		return;
	}
	STAILQ_INSERT_TAIL(&files, p, link);
}

/* ---- comparing --------------------------------------------------------- */

/* As a shell would take it. */
static void quote(const char *text, char *buf, size_t len)
{
	size_t at = 0;

	if (!strpbrk(text, " \t'\"\\?*[]&|;<>()$`~#!{}")) {
		snprintf(buf, len, "%s", text);
		return;
	}
	buf[at++] = '\'';
	for (; *text && at + 6 < len; text++) {
		if (*text == '\'')
			at += (size_t)sprintf(buf + at, "'\\''");
		else
			buf[at++] = *text;
	}
	buf[at++] = '\'';
	buf[at] = '\0';
}

static void report_setting(const struct permanent *p, const struct setting *s,
			   const struct extpager_target *have)
{
	char says[SETTING_MAX], has[SETTING_MAX] = "nothing", quoted[4 * SETTING_MAX];
	const char *name = p->file.target.name;

	setting_format(s, &p->file.target, says);
	if (have->set & s->bit)
		setting_format(s, have, has);
	quote(says, quoted, sizeof(quoted));
	/* A store cannot be changed under the pager that serves from it. */
	if (s->fixed || s->kind == SETTING_STORE)
		log_warn("target '%s': %s:%u says %s = %s, the kernel has %s: mend the file, or `pagerctl target del %s` and reload pagerd",
			 name, p->file.path, p->file.lines[s - settings], s->name, says, has, name);
	else
		log_warn("target '%s': %s:%u says %s = %s, the kernel has %s: mend the file, or `pagerctl target set %s --%s %s`",
			 name, p->file.path, p->file.lines[s - settings], s->name, says, has, name,
			 s->name, quoted);
}

static void compare(const struct permanent *p, const struct extpager_target *have)
{
	size_t i;

	for (i = 0; i < SETTINGS; i++) {
		if (target_file_differs(&p->file, &settings[i], have))
			report_setting(p, &settings[i], have);
	}
}

/* ---- adding ------------------------------------------------------------ */

/* Say something about a target, unless it was the last thing that was said. */
static void __attribute__((format(printf, 3, 4)))
say(struct permanent *p, int priority, const char *fmt, ...)
{
	char text[sizeof(p->said)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!strcmp(text, p->said))
		return;
	strcpy(p->said, text);
	log_message(priority, "target '%s': %s", p->file.target.name, text);
}

static void retry_later(struct permanent *p)
{
	p->retry_at = now_ms() + RETRY_MS;
}

static void try_adding(struct control *c, struct permanent *p)
{
	char why[SETTING_MAX + 512];
	int ret;

	if (settings_measure(&p->file.target, why, sizeof(why))) {
		say(p, LOG_WARNING, "not added: %s says no size, and %s; it is tried again",
		    p->file.path, why);
		retry_later(p);
		return;
	}
	ret = extpager_target_add(c->ctl, &p->file.target);
	switch (ret) {
	case 0:
		say(p, LOG_INFO, "added, as %s says", p->file.path);
		break;
	case -EPERM:
		say(p, LOG_ERR,
		    "not added: pagerd may not add targets: it needs CAP_SYS_ADMIN; grant it and restart pagerd, or as root do what %s says with pagerctl",
		    p->file.path);
		break;
	case -EEXIST:
		/* Added just now, or still being deleted. */
		retry_later(p);
		break;
	default:
		say(p, LOG_ERR, "not added: the kernel refuses what %s says: %s", p->file.path,
		    extpager_ctl_error(c->ctl)[0] ? extpager_ctl_error(c->ctl) : strerror(-ret));
	}
}

static void consider(struct control *c, struct permanent *p)
{
	struct extpager_target have = { .size = sizeof(have) };
	int ret = extpager_target_get(c->ctl, p->file.target.name, &have);

	p->retry_at = 0;
	if (ret == -ENOENT)
		try_adding(c, p);
	else if (ret)
		log_warn("target '%s': cannot be asked for: %s", p->file.target.name,
			 strerror(-ret));
	else if (have.state == EXTPAGER_STATE_DRAINING || have.state == EXTPAGER_STATE_DEAD)
		retry_later(p);
	else
		compare(p, &have);
}

void permanent_load(struct control *c, const char *root)
{
	struct permanent *p;

	permanent_free();
	conf_list(root, TARGET_FILES, add_file, complain, c);
	STAILQ_FOREACH(p, &files, link)
		consider(c, p);
}

void permanent_retry(struct control *c)
{
	uint64_t now = now_ms();
	struct permanent *p;

	STAILQ_FOREACH(p, &files, link) {
		if (p->retry_at && p->retry_at <= now)
			consider(c, p);
	}
}

int permanent_timeout(void)
{
	uint64_t now = now_ms(), first = UINT64_MAX;
	struct permanent *p;

	STAILQ_FOREACH(p, &files, link) {
		if (p->retry_at && p->retry_at < first)
			first = p->retry_at;
	}
	if (first == UINT64_MAX)
		return -1;
	return first <= now ? 0 : (int)(first - now);
}

void permanent_free(void)
{
	struct permanent *p;

	while ((p = STAILQ_FIRST(&files))) {
		STAILQ_REMOVE_HEAD(&files, link);
		permanent_free_one(p);
	}
}
