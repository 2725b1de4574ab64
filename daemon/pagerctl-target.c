// SPDX-License-Identifier: GPL-2.0-only
/* pagerctl target add, set, del, show, list. */
#include "pagerctl.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/extpager_netlink.h>

#include "clock.h"
#include "setting.h"
#include "units.h"

/* A look at a deletion this often, beside events: dirty bytes have none. */
#define LOOK_MS		200
#define WAIT_MS		30000

/* ---- add, set ---------------------------------------------------------- */

/* What the store says of the target, as far as the caller did not. */
static int fill_from_store(struct extpager_target *t)
{
	char why[SETTING_MAX + 512];

	if (settings_imply(t, why, sizeof(why)))
		usage_error(NULL, "target '%s': %s", t->name, why);
	if (settings_measure(t, why, sizeof(why)))
		return fail("target '%s': %s; say its size with --size", t->name, why);
	return 0;
}

static int report(struct extpager_ctl *c, const char *name)
{
	struct extpager_target t = { .size = sizeof(t) };
	cJSON *root;

	if (!want_json)
		return 0;
	if (extpager_target_get(c, name, &t))
		return 0;
	root = json_begin();
	cJSON_AddItemToObject(root, "target", target_json(&t));
	json_end(root, false);
	return 0;
}

int target_add(struct args *args)
{
	struct extpager_target *t = &args->target;
	struct extpager_ctl *c;
	int ret;

	ret = fill_from_store(t);
	if (ret)
		return ret;
	c = open_ctl();
	ret = extpager_target_add(c, t);
	if (ret)
		ret = fail_target(t->name, c, ret);
	else
		ret = report(c, t->name);
	extpager_ctl_close(c);
	return ret;
}

int target_set(struct args *args)
{
	struct extpager_ctl *c;
	int ret;

	if (!args->target.set)
		usage_error("target set NAME options", "target '%s': set what?", args->name);
	c = open_ctl();
	ret = extpager_target_set(c, &args->target);
	if (ret)
		ret = fail_target(args->name, c, ret);
	else
		ret = report(c, args->name);
	extpager_ctl_close(c);
	return ret;
}

/* ---- del --------------------------------------------------------------- */

static int ignore_event(unsigned int event, const struct extpager_target *t, void *arg)
{
	(void)event;
	(void)t;
	(void)arg;
	return 0;
}

/* Sleep until something may have changed. */
static void await_change(struct extpager_ctl *events, uint64_t left_ms)
{
	struct pollfd fd = { .fd = extpager_ctl_fd(events), .events = POLLIN };

	if (poll(&fd, 1, left_ms < LOOK_MS ? (int)left_ms : LOOK_MS) > 0)
		extpager_ctl_read(events, ignore_event, NULL);
}

/* What its store does not have yet. */
static const char *unsaved(const struct extpager_target *t, char buf[UNITS_MAX])
{
	return units_format_size(t->dirty + t->spilled, buf, UNITS_MAX);
}

static void show_progress(const struct extpager_target *t)
{
	char size[UNITS_MAX];

	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r%s: %s dirty \033[K", t->name, unsaved(t, size));
}

static void end_progress(void)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
}

/* Until the target @object is gone. Return: exit code. */
static int await_end(struct extpager_ctl *c, struct extpager_ctl *events, const char *name,
		     uint64_t object, uint32_t wait_ms)
{
	uint64_t end = now_ms() + wait_ms, now;
	char size[UNITS_MAX], limit[UNITS_MAX];
	struct extpager_target t;
	int ret;

	for (;;) {
		t = (struct extpager_target){ .size = sizeof(t) };
		ret = extpager_target_get(c, name, &t);
		/* Without an object it is nearly gone, but has its name still. */
		if (ret == -ENOENT || (!ret && t.object && t.object != object)) {
			end_progress();
			return 0;
		}
		if (ret) {
			end_progress();
			return fail_target(name, c, ret);
		}
		if (t.state != EXTPAGER_STATE_DRAINING && t.state != EXTPAGER_STATE_DEAD) {
			end_progress();
			return fail("target '%s': not deleted: %s could not be returned to its store; see what pagerd says, or give them up with --discard",
				    name, unsaved(&t, size));
		}
		now = now_ms();
		if (now >= end)
			break;
		show_progress(&t);
		await_change(events, end - now);
	}
	end_progress();
	return fail("target '%s': not gone after %s: %s dirty, opened by %" PRIu32 ", %s; the deletion goes on",
		    name, units_format_time(wait_ms, limit, sizeof(limit)),
		    unsaved(&t, size), t.opens,
		    t.port ? "its pager is there" : "it has no pager: start pagerd");
}

int target_del(struct args *args)
{
	struct extpager_target t = { .size = sizeof(t) };
	struct extpager_ctl *c, *events;
	int ret;

	if (args->no_wait && args->wait_ms)
		usage_error("target del NAME [--discard] [--wait TIME | --no-wait]",
			    "--wait and --no-wait exclude each other");
	c = open_ctl();
	events = open_ctl();
	/* Subscribed before: the end is not missed. */
	ret = extpager_ctl_subscribe(events);
	if (!ret)
		ret = extpager_target_get(c, args->name, &t);
	if (!ret)
		ret = extpager_target_del(c, args->name, args->discard);
	if (ret == -EBUSY && !args->discard)
		ret = fail("target '%s': has dirty pages and no pager to return them to: start pagerd, or give them up with --discard",
			   args->name);
	else if (ret && ret != -EALREADY)
		ret = fail_target(args->name, c, ret);
	else if (args->no_wait)
		ret = 0;
	else
		ret = await_end(c, events, args->name, t.object,
				args->wait_ms ? args->wait_ms : WAIT_MS);
	extpager_ctl_close(events);
	extpager_ctl_close(c);
	return ret;
}

/* ---- show, list -------------------------------------------------------- */

cJSON *target_json(const struct extpager_target *t)
{
	cJSON *object = cJSON_CreateObject();

	cJSON_AddStringToObject(object, "name", t->name);
	cJSON_AddStringToObject(object, "state", extpager_state_name(t->state));
	/* An event may tell no more than what has changed. */
	if (!(t->set & EXTPAGER_SET_BYTES))
		return object;
	json_u64(object, "bytes", t->bytes);
	if (t->set & EXTPAGER_SET_STORE)
		cJSON_AddStringToObject(object, "store", t->store);
	cJSON_AddBoolToObject(object, "store_used", t->store_used);
	json_u64(object, "dirty", t->dirty);
	json_u64(object, "quota", t->quota);
	json_u64(object, "resident", t->resident);
	json_u64(object, "spilled", t->spilled);
	json_u64(object, "spill_limit", t->spill_limit);
	cJSON_AddBoolToObject(object, "spill_full", t->spill_full);
	json_u64(object, "port", t->port);
	json_u64(object, "object", t->object);
	json_u64(object, "generation", t->generation);
	json_u64(object, "opens", t->opens);
	json_u64(object, "pending", t->pending);
	json_u64(object, "uid", t->uid);
	json_u64(object, "gid", t->gid);
	json_u64(object, "mode", t->mode);
	if (t->pager_uid != EXTPAGER_NO_UID)
		json_u64(object, "pager_uid", t->pager_uid);
	cJSON_AddBoolToObject(object, "read_only", t->read_only);
	cJSON_AddStringToObject(object, "policy", extpager_policy_name(t->policy));
	json_u64(object, "handshake_timeout_ms", t->handshake_ms);
	json_u64(object, "page_in_timeout_ms", t->page_in_ms);
	json_u64(object, "return_timeout_ms", t->return_ms);
	json_u64(object, "sync_timeout_ms", t->sync_ms);
	cJSON_AddStringToObject(object, "handshake_action",
				extpager_action_name(t->handshake_action));
	cJSON_AddStringToObject(object, "page_in_action",
				extpager_action_name(t->page_in_action));
	cJSON_AddStringToObject(object, "return_action",
				extpager_action_name(t->return_action));
	json_u64(object, "grace_ms", t->grace_ms);
	return object;
}

static void show_text(const char *key, const char *value)
{
	printf("  %-18s %s\n", key, value);
}

static void show_size(const char *key, uint64_t bytes)
{
	char text[UNITS_MAX];

	printf("  %-18s %s\n", key, units_format_size(bytes, text, sizeof(text)));
}

static void show_time(const char *key, uint64_t ms)
{
	char text[UNITS_MAX];

	printf("  %-18s %s\n", key, units_format_time(ms, text, sizeof(text)));
}

static void show_number(const char *key, uint64_t value)
{
	printf("  %-18s %" PRIu64 "\n", key, value);
}

/* In the spill, and whether more would go there. */
static void show_spill(const struct extpager_target *t)
{
	char text[UNITS_MAX];

	printf("  %-18s %s%s\n", "spilled", units_format_size(t->spilled, text, sizeof(text)),
	       t->spill_full ? ", full" : "");
	if (t->spill_limit == EXTPAGER_NO_LIMIT)
		show_text("spill-limit", "unlimited");
	else
		show_size("spill-limit", t->spill_limit);
}

static void show_user(const char *key, uint32_t uid)
{
	const struct passwd *user = getpwuid(uid);

	printf("  %-18s %" PRIu32 "%s%s%s\n", key, uid, user ? " (" : "",
	       user ? user->pw_name : "", user ? ")" : "");
}

static void show_target(const struct extpager_target *t)
{
	const struct group *group = getgrgid(t->gid);

	printf("%s\n", t->name);
	show_text("state", extpager_state_name(t->state));
	printf("  %-18s", "size");
	{
		char text[UNITS_MAX];

		printf(" %s (%" PRIu64 " bytes)\n",
		       units_format_size(t->bytes, text, sizeof(text)), t->bytes);
	}
	if (t->set & EXTPAGER_SET_STORE)
		show_text("store", t->store);
	if (t->port)
		show_number("pager", t->port);
	else
		show_text("pager", "none");
	show_size("resident", t->resident);
	show_size("dirty", t->dirty);
	show_size("quota", t->quota);
	show_spill(t);
	show_number("opened", t->opens);
	show_number("pending requests", t->pending);
	show_user("owner", t->uid);
	printf("  %-18s %" PRIu32 "%s%s%s\n", "group", t->gid, group ? " (" : "",
	       group ? group->gr_name : "", group ? ")" : "");
	printf("  %-18s %04o\n", "mode", t->mode);
	show_text("read-only", t->read_only ? "yes" : "no");
	if (t->pager_uid != EXTPAGER_NO_UID)
		show_user("pager-uid", t->pager_uid);
	show_text("policy", extpager_policy_name(t->policy));
	show_time("handshake-timeout", t->handshake_ms);
	show_time("page-in-timeout", t->page_in_ms);
	show_time("return-timeout", t->return_ms);
	show_time("sync-timeout", t->sync_ms);
	show_text("handshake-action", extpager_action_name(t->handshake_action));
	show_text("page-in-action", extpager_action_name(t->page_in_action));
	show_text("return-action", extpager_action_name(t->return_action));
	show_time("grace", t->grace_ms);
	show_number("object", t->object);
	show_number("generation", t->generation);
}

int target_show(struct args *args)
{
	struct extpager_target t = { .size = sizeof(t) };
	struct extpager_ctl *c;
	int ret;

	if (args->conf && want_json)
		usage_error("target show NAME [--conf]", "--conf and --json exclude each other");
	c = open_ctl();
	ret = extpager_target_get(c, args->name, &t);
	if (ret) {
		ret = fail_target(args->name, c, ret);
	} else if (args->conf) {
		ret = print_conf(&t);
	} else if (want_json) {
		cJSON *root = json_begin();

		cJSON_AddItemToObject(root, "target", target_json(&t));
		json_end(root, false);
	} else {
		show_target(&t);
	}
	extpager_ctl_close(c);
	return ret;
}

static int add_json(const struct extpager_target *t, void *arg)
{
	cJSON_AddItemToArray(arg, target_json(t));
	return 0;
}

static int add_row(const struct extpager_target *t, void *arg)
{
	char size[UNITS_MAX], dirty[UNITS_MAX], spilled[UNITS_MAX];
	char port[UNITS_MAX], opens[UNITS_MAX];
	const char *const cells[] = {
		t->name,
		extpager_state_name(t->state),
		units_format_size(t->bytes, size, sizeof(size)),
		units_format_size(t->dirty, dirty, sizeof(dirty)),
		units_format_size(t->spilled, spilled, sizeof(spilled)),
		opens,
		port,
		t->read_only ? "ro" : "rw",
		t->set & EXTPAGER_SET_STORE ? t->store : "-",
	};

	snprintf(opens, sizeof(opens), "%" PRIu32, t->opens);
	if (t->port)
		snprintf(port, sizeof(port), "%" PRIu32, t->port);
	else
		strcpy(port, "-");
	table_row(arg, cells);
	return 0;
}

int target_list(struct args *args)
{
	static const char *const names[] = {
		"NAME", "STATE", ">SIZE", ">DIRTY", ">SPILLED", ">OPEN", ">PAGER", "ACCESS",
		"STORE",
	};
	struct extpager_ctl *c = open_ctl();
	int ret;

	(void)args;
	if (want_json) {
		cJSON *root = json_begin();
		cJSON *array = cJSON_AddArrayToObject(root, "targets");

		ret = extpager_target_list(c, add_json, array);
		if (!ret)
			json_end(root, false);
	} else {
		struct table table;

		table_begin(&table, sizeof(names) / sizeof(names[0]), names);
		ret = extpager_target_list(c, add_row, &table);
		if (!ret)
			table_end(&table);
	}
	if (ret)
		ret = fail("cannot list targets: %s",
			   extpager_ctl_error(c)[0] ? extpager_ctl_error(c) : strerror(-ret));
	extpager_ctl_close(c);
	return ret;
}
