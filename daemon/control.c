// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each event makes the whole list be read again and compared, so that nothing
 * depends on events being complete or in order. A target that cannot be served
 * is tried again after a while, and keeps no other from being served.
 */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/extpager_netlink.h>

#include "clock.h"
#include "log.h"
#include "notify.h"

#define RETRY_MS	3000

/**
 * struct entry - a target of the kernel
 * @info: as the kernel told it last
 * @serving: what the queue threads see of it, or NULL
 * @uri: store that was tried, to see that it was changed
 * @said: what was logged last, so that it is not said each time
 * @retry_at: when to try again
 * @foreign: another port had it when we last looked
 */
struct entry {
	LIST_ENTRY(entry) link;
	struct extpager_target info;
	struct target *serving;
	char uri[STORE_URI_MAX];
	char said[1024];
	uint64_t retry_at;
	bool foreign;
	bool retry;
	bool seen;
};

static LIST_HEAD(, entry) entries = LIST_HEAD_INITIALIZER(entries);

struct target_array {
	struct extpager_target *t;
	size_t nr, room;
};

/* Say something about a target, unless it was the last thing that was said. */
static void __attribute__((format(printf, 3, 4)))
say(struct entry *e, int priority, const char *fmt, ...)
{
	char text[sizeof(e->said)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!strcmp(text, e->said))
		return;
	strcpy(e->said, text);
	log_message(priority, "target '%s': %s", e->info.name, text);
}

bool control_wants(const struct control *c, const char *name)
{
	char **only;

	if (!c->only)
		return true;
	for (only = c->only; *only; only++) {
		if (!strcmp(*only, name))
			return true;
	}
	return false;
}

static void retry_later(struct entry *e)
{
	e->retry = true;
	e->retry_at = now_ms() + RETRY_MS;
}

/* The kernel's object is gone, or no longer ours. */
static void stop_serving(struct entry *e)
{
	if (!e->serving)
		return;
	target_remove(e->serving);
	e->serving = NULL;
}

/*
 * Under policy hold the kernel trusts a successor to have what was returned.
 * Memory of this process cannot keep that promise.
 */
static int make_policy_fit(struct control *c, struct entry *e)
{
	struct extpager_target set = {
		.size = sizeof(set),
		.set = EXTPAGER_SET_POLICY,
		.policy = EXTPAGER_FAIL,
	};
	int ret;

	if (e->info.policy == EXTPAGER_FAIL)
		return 0;
	memcpy(set.name, e->info.name, sizeof(set.name));
	ret = extpager_target_set(c->ctl, &set);
	if (!ret)
		log_info("target '%s': policy is now 'fail', as its store is lost with pagerd",
			 e->info.name);
	return ret;
}

/*
 * The store was named anew after we had looked at the target and before we
 * attached; later the kernel refuses it. What was served meanwhile came from the
 * old store: name the new one again, lest it pass for one that was used.
 */
static void change_store(struct control *c, struct entry *e)
{
	struct extpager_target set = { .size = sizeof(set), .set = EXTPAGER_SET_STORE };
	int ret;

	say(e, LOG_INFO, "its store is now %s", e->info.store);
	target_take_back(e->serving);
	extpager_detach(c->port, e->serving->object);
	stop_serving(e);
	memcpy(set.name, e->info.name, sizeof(set.name));
	memcpy(set.store, e->info.store, sizeof(set.store));
	ret = extpager_target_set(c->ctl, &set);
	if (ret && ret != -EBUSY && ret != -ENOENT)
		say(e, LOG_WARNING, "cannot name its store again: %s", strerror(-ret));
}

static const char *attach_error(int ret)
{
	switch (ret) {
	case -EPERM:
		return "may not attach: needs CAP_SYS_ADMIN or to be its --pager-uid";
	case -ESHUTDOWN:
		return "is being deleted";
	case -EBUSY:
		return "another pager has it: left alone until that one goes";
	default:
		return strerror(-ret);
	}
}

static int attach(struct control *c, struct target *t, const char *name)
{
	uint64_t object, bytes;
	int ret;

	target_table_lock();
	ret = extpager_attach(c->port, name, &object, &bytes);
	if (!ret)
		target_insert(t, object, bytes);
	target_table_unlock();
	return ret;
}

/*
 * The same file, opened once more: the store's own has locks, which must end with us and
 * with what the kernel writes for us, but not with what it reads or is delegated.
 */
static int reopen(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_CLOEXEC | (flags & (O_ACCMODE | O_DIRECT)));
}

/* A device is written in whole blocks: of the last one only a part may be the target's. */
static uint64_t delegable_bytes(const struct store *store, uint64_t bytes, size_t page)
{
	return bytes % store->block ? bytes - bytes % page : bytes;
}

/* An older kernel, or a file that it is not to move bytes of: they go through us. */
static void register_store(struct control *c, struct target *t, uint64_t bytes)
{
	int fd, file, write_file;

	if (!c->kernel_reads || !t->store->is_plain)
		return;
	if (!t->store->read_only) {
		write_file = extpager_register(c->port, t->store->fd, NULL);
		t->port = c->port;
		t->write_file = write_file > 0 ? (unsigned int)write_file : 0;
	}
	fd = reopen(t->store->fd);
	file = fd < 0 ? -errno : extpager_register(c->port, fd, NULL);
	if (fd >= 0)
		close(fd);
	if (file > 0) {
		t->port = c->port;
		t->file = (unsigned int)file;
		if (c->delegate && t->store->is_device)
			t->delegable = delegable_bytes(t->store, bytes,
						       extpager_page_size(c->port));
	} else {
		log_debug("target '%s': the kernel does not read its store: %s", t->name,
			  strerror(-file));
	}
}

static void try_serving(struct control *c, struct entry *e)
{
	const struct extpager_target *info = &e->info;
	struct store_want want = {
		.owner = info->name,
		.bytes = info->bytes,
		.read_only = info->read_only,
		.used = info->store_used,
	};
	struct store *store;
	struct target *t;
	char why[1024];
	int ret;

	e->retry = false;
	snprintf(e->uri, sizeof(e->uri), "%s", info->store);
	ret = store_open(info->store, &want, &store, why, sizeof(why));
	if (ret) {
		say(e, LOG_WARNING, "not served: %s", why);
		retry_later(e);
		return;
	}
	if (store->is_volatile && make_policy_fit(c, e)) {
		say(e, LOG_WARNING,
		    "not served: its store is lost with pagerd: `pagerctl target set %s --policy fail`",
		    info->name);
		store_close(store);
		retry_later(e);
		return;
	}
	t = target_new(info->name, store);
	if (!t) {
		store_close(store);
		retry_later(e);
		return;
	}
	register_store(c, t, info->bytes);
	ret = attach(c, t, info->name);
	if (ret) {
		say(e, ret == -EBUSY || ret == -ESHUTDOWN ? LOG_INFO : LOG_WARNING, "%s",
		    attach_error(ret));
		/* Was never in the table. */
		target_put(t);
		e->foreign = ret == -EBUSY;
		retry_later(e);
		return;
	}
	e->serving = t;
	if (store->is_volatile && want.used)
		say(e, LOG_WARNING,
		    "serving %s, but its content was lost with an earlier pagerd: reads fail; delete and add it to start anew",
		    info->store);
	else
		say(e, LOG_INFO, "serving %s", info->store);
}

/* What to do about a target that the kernel has. */
static void consider(struct control *c, struct entry *e)
{
	const struct extpager_target *info = &e->info;

	if (e->serving) {
		/* The event of what this does has us look again. */
		if (strcmp(e->uri, info->store)) {
			change_store(c, e);
			return;
		}
		if (info->port == extpager_port(c->port) || info->port == 0)
			return;
		say(e, LOG_WARNING, "another pager has it now");
		stop_serving(e);
	}
	if (info->port && info->port != extpager_port(c->port)) {
		say(e, LOG_INFO, "served by port %" PRIu32 ": left alone until that one goes",
		    info->port);
		e->foreign = true;
		e->retry = false;
		return;
	}
	if (info->state == EXTPAGER_STATE_DRAINING || info->state == EXTPAGER_STATE_DEAD) {
		e->retry = false;
		return;
	}
	if (!info->store[0]) {
		say(e, LOG_INFO, "names no store: not for pagerd");
		return;
	}
	if (e->foreign || strcmp(e->uri, info->store)) {
		e->foreign = false;
		e->retry_at = 0;
	}
	if (now_ms() >= e->retry_at)
		try_serving(c, e);
}

static int collect(const struct extpager_target *t, void *arg)
{
	struct target_array *all = arg;

	if (all->nr == all->room) {
		size_t room = all->room ? all->room * 2 : 16;
		struct extpager_target *grown = realloc(all->t, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		all->t = grown;
		all->room = room;
	}
	all->t[all->nr++] = *t;
	return 0;
}

static struct entry *find_entry(const char *name)
{
	struct entry *e;

	LIST_FOREACH(e, &entries, link) {
		if (!strcmp(e->info.name, name))
			break;
	}
	return e;
}

static void drop_entry(struct entry *e)
{
	if (e->serving)
		log_info("target '%s': is gone", e->info.name);
	stop_serving(e);
	LIST_REMOVE(e, link);
	free(e);
}

static void update_entry(struct control *c, const struct extpager_target *t)
{
	struct entry *e = find_entry(t->name);

	if (e && e->info.object != t->object) {
		/* Deleted, and another one added under its name. */
		drop_entry(e);
		target_reap();
		e = NULL;
	}
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			return;
		LIST_INSERT_HEAD(&entries, e, link);
	}
	e->info = *t;
	e->seen = true;
	consider(c, e);
}

static void tell_status(void)
{
	unsigned int serving = 0, waiting = 0;
	struct entry *e;

	LIST_FOREACH(e, &entries, link) {
		serving += !!e->serving;
		waiting += !e->serving && e->retry;
	}
	notify("STATUS=serving %u targets, %u waiting for their stores", serving, waiting);
}

void control_sync(struct control *c)
{
	struct target_array all = { 0 };
	struct entry *e, *next;
	size_t i;
	int ret;

	ret = extpager_target_list(c->ctl, collect, &all);
	if (ret) {
		log_warn("cannot list targets: %s %s", strerror(-ret), extpager_ctl_error(c->ctl));
		goto out;
	}
	LIST_FOREACH(e, &entries, link)
		e->seen = false;
	/* First what is gone: its store may be wanted by what has come. */
	for (i = 0; i < all.nr; i++) {
		e = find_entry(all.t[i].name);
		if (e)
			e->seen = true;
	}
	for (e = LIST_FIRST(&entries); e; e = next) {
		next = LIST_NEXT(e, link);
		if (!e->seen)
			drop_entry(e);
	}
	target_reap();
	for (i = 0; i < all.nr; i++) {
		if (control_wants(c, all.t[i].name))
			update_entry(c, &all.t[i]);
	}
	tell_status();
out:
	free(all.t);
}

static int on_event(unsigned int event, const struct extpager_target *t, void *arg)
{
	bool *matters = arg;

	log_debug("target '%s': event %s", t->name, extpager_event_name(event));
	if (event != EXTPAGER_EVENT_STALLED && event != EXTPAGER_EVENT_RECOVERED)
		*matters = true;
	return 0;
}

void control_events(struct control *c)
{
	bool matters = false;
	int ret;

	ret = extpager_ctl_read(c->events, on_event, &matters);
	if (ret == -ENOBUFS)
		matters = true;
	else if (ret && ret != -EAGAIN && ret != -EINTR)
		log_warn("cannot read events: %s", strerror(-ret));
	if (matters)
		control_sync(c);
}

int control_timeout(void)
{
	uint64_t now = now_ms(), first = UINT64_MAX;
	struct entry *e;

	LIST_FOREACH(e, &entries, link) {
		if (e->retry && e->retry_at < first)
			first = e->retry_at;
	}
	if (first == UINT64_MAX)
		return -1;
	return first <= now ? 0 : (int)(first - now);
}

void control_notes(void)
{
	static const char *const what[] = {
		[STORE_READ] = "read", [STORE_WRITE] = "write",
		[STORE_WRITE_ZEROS] = "zeroing", [STORE_FLUSH] = "flush",
	};
	struct entry *e;

	target_reap();
	LIST_FOREACH(e, &entries, link) {
		struct target_trouble trouble;

		if (!e->serving)
			continue;
		trouble = target_trouble(e->serving);
		if (trouble.count)
			log_err("target '%s': %s of its store at %" PRIu64 " failed: %s (%u since the last such message)",
				e->info.name, what[trouble.op], trouble.offset,
				strerror(-trouble.error), trouble.count);
		if (trouble.overlap)
			log_warn("target '%s': the store is so slow that pages at %" PRIu64 " were returned anew before they were written: raise --return-timeout?",
				 e->info.name, trouble.offset);
	}
}

void control_for_each(void (*fn)(const struct target *t, void *arg), void *arg)
{
	struct entry *e;

	LIST_FOREACH(e, &entries, link) {
		if (e->serving)
			fn(e->serving, arg);
	}
}

int control_init(struct control *c, struct extpager *port, const struct options *o)
{
	int ret;

	memset(c, 0, sizeof(*c));
	c->port = port;
	c->only = o->only;
	c->kernel_reads = o->kernel_reads;
	c->delegate = o->delegate;
	ret = extpager_ctl_open(&c->ctl);
	if (ret)
		return ret;
	ret = extpager_ctl_open(&c->events);
	if (!ret)
		ret = extpager_ctl_subscribe(c->events);
	if (ret)
		control_exit(c);
	return ret;
}

void control_exit(struct control *c)
{
	struct entry *e;

	while ((e = LIST_FIRST(&entries))) {
		if (e->serving)
			extpager_detach(c->port, e->serving->object);
		stop_serving(e);
		LIST_REMOVE(e, link);
		free(e);
	}
	target_reap();
	if (c->events)
		extpager_ctl_close(c->events);
	if (c->ctl)
		extpager_ctl_close(c->ctl);
	memset(c, 0, sizeof(*c));
}
