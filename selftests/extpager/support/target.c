// SPDX-License-Identifier: GPL-2.0-only
/* Targets, through libextpager's control side. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <extpager.h>

#include "pager.h"

static int with_ctl(int (*fn)(struct extpager_ctl *c, void *arg), void *arg)
{
	struct extpager_ctl *c;
	int ret = extpager_ctl_open(&c);

	if (ret)
		return ret;
	ret = fn(c, arg);
	extpager_ctl_close(c);
	return ret;
}

static int do_add(struct extpager_ctl *c, void *arg)
{
	return extpager_target_add(c, arg);
}

static int do_set(struct extpager_ctl *c, void *arg)
{
	return extpager_target_set(c, arg);
}

static uint32_t policy_of(const char *name)
{
	uint32_t policy = EXTPAGER_HOLD;

	/* Of an unknown name a value that the kernel refuses. */
	while (policy <= EXTPAGER_SPILL && strcmp(extpager_policy_name(policy), name))
		policy++;
	return policy;
}

#define SET(flag, member, value) do {				\
	if ((value) != 0) {					\
		t.set |= EXTPAGER_SET_##flag;			\
		t.member = (value);				\
	}							\
} while (0)

/* What is 0 or NULL is not set. */
static struct extpager_target from_options(const char *name, const struct target_options *o)
{
	struct extpager_target t = { .size = sizeof(t) };

	snprintf(t.name, sizeof(t.name), "%s", name);
	SET(BYTES, bytes, o->bytes);
	if (o->policy)
		SET(POLICY, policy, policy_of(o->policy));
	SET(HANDSHAKE, handshake_ms, o->handshake_ms);
	SET(PAGE_IN, page_in_ms, o->page_in_ms);
	SET(RETURN, return_ms, o->return_ms);
	SET(SYNC, sync_ms, o->sync_ms);
	SET(GRACE, grace_ms, o->grace_ms);
	SET(HANDSHAKE_ACTION, handshake_action, o->handshake_action);
	SET(PAGE_IN_ACTION, page_in_action, o->page_in_action);
	SET(RETURN_ACTION, return_action, o->return_action);
	SET(QUOTA, quota, o->quota);
	SET(SPILL_LIMIT, spill_limit, o->spill_limit);
	if (o->no_spill)
		t.set |= EXTPAGER_SET_SPILL_LIMIT;
	SET(READ_ONLY, read_only, o->read_only);
	SET(MODE, mode, o->mode);
	SET(PAGER_UID, pager_uid, (uint32_t)o->pager_uid);
#undef SET
	return t;
}

int target_add(const char *name, const struct target_options *o)
{
	struct extpager_target t = from_options(name, o);

	return with_ctl(do_add, &t);
}

int target_set(const char *name, const struct target_options *o)
{
	struct extpager_target t = from_options(name, o);

	return with_ctl(do_set, &t);
}

struct del { const char *name; bool discard; };

static int do_del(struct extpager_ctl *c, void *arg)
{
	struct del *d = arg;

	return extpager_target_del(c, d->name, d->discard);
}

int target_del(const char *name, bool discard)
{
	return with_ctl(do_del, &(struct del){ name, discard });
}

struct get { const char *name; struct extpager_target t; };

static int do_get(struct extpager_ctl *c, void *arg)
{
	struct get *g = arg;

	g->t.size = sizeof(g->t);
	return extpager_target_get(c, g->name, &g->t);
}

bool target_gone(const char *name)
{
	struct get g = { .name = name };

	target_del(name, true);
	return WAIT_FOR(20000, with_ctl(do_get, &g) == -ENOENT);
}

unsigned int target_state(const char *name)
{
	struct get g = { .name = name };

	return with_ctl(do_get, &g) ? 0 : g.t.state;
}

uint64_t target_dirty(const char *name)
{
	struct get g = { .name = name };

	return with_ctl(do_get, &g) ? UINT64_MAX : g.t.dirty;
}

uint64_t target_spilled(const char *name)
{
	struct get g = { .name = name };

	return with_ctl(do_get, &g) ? UINT64_MAX : g.t.spilled;
}

bool target_spill_full(const char *name)
{
	struct get g = { .name = name };

	return !with_ctl(do_get, &g) && g.t.spill_full;
}

struct stat_query { const char *name; unsigned int attribute; uint64_t value; };

static int take_stat(const struct extpager_stats *s, void *arg)
{
	struct stat_query *q = arg;
	unsigned int i = q->attribute - EXTPAGER_A_STATS_INITS;

	if (i < s->nr)
		q->value = s->counter[i].value;
	return 0;
}

static int do_stat(struct extpager_ctl *c, void *arg)
{
	struct stat_query *q = arg;

	return extpager_stats_get(c, q->name, take_stat, q);
}

uint64_t target_stat(const char *name, unsigned int attribute)
{
	struct stat_query q = { name, attribute, UINT64_MAX };

	with_ctl(do_stat, &q);
	return q.value;
}

int target_open(const char *name, int flags)
{
	return extpager_client_open(name, flags);
}

static bool is_mounted(const char *dir, const char *parent)
{
	struct stat a, b;

	return !stat(dir, &a) && !stat(parent, &b) && a.st_dev != b.st_dev;
}

const char *target_path(const char *name)
{
	static char path[256];

	mkdir("/run/extpager", 0755);
	mkdir("/run/extpager/targets", 0755);
	if (!is_mounted("/run/extpager/targets", "/run/extpager"))
		mount("none", "/run/extpager/targets", EXTPAGER_FS_TYPE, 0, NULL);
	snprintf(path, sizeof(path), "/run/extpager/targets/%s", name);
	return path;
}
