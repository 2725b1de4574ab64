// SPDX-License-Identifier: GPL-2.0-only
/* An honest pager in a process of its own. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pager.h"

#define count(s, what, n) __atomic_add_fetch(&(s)->stats->what, n, __ATOMIC_RELAXED)

static uint64_t pages(const struct server *s)
{
	return (s->bytes + PAGE - 1) / PAGE;
}

/* The same bytes whichever way they go: from here, or by the kernel's hand. */
static void supply(struct server *s, struct pager *p, const struct extpager_event *ev,
		   bool by_file)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_SUPPLY);

	if (by_file) {
		count(s, by_file, 1);
		pager_supply_file(p, ev, s->registered, 0);
		return;
	}
	re.offset = ev->offset;
	re.length = ev->length;
	re.addr = (uintptr_t)s->store + ev->offset;
	pager_reply(p, &re);
}

static void serve_request(struct server *s, struct pager *p, const struct extpager_event *ev,
			  uint64_t *random)
{
	struct extpager_event part = *ev;
	uint64_t pages = (ev->length + PAGE - 1) / PAGE, cut = test_random(random) % pages;

	count(s, requests, 1);
	count(s, pages_requested, pages);
	if (cut) {
		part.length = cut * PAGE;
		supply(s, p, &part, test_random(random) % 2);
		part.offset += part.length;
		part.length = ev->length - part.length;
	}
	supply(s, p, &part, test_random(random) % 2);
}

/* ---- what is delegated ---- */

/* A device is written in whole blocks: the last page may be the object's only in part. */
static struct extpager_range some_pages(const struct server *s, uint64_t *random)
{
	uint64_t all = s->bytes / PAGE, first = test_random(random) % all;
	uint64_t nr = 1 + test_random(random) % 64;

	return (struct extpager_range){
		.offset = first * PAGE,
		.length = (nr < all - first ? nr : all - first) * PAGE,
	};
}

static int lend(struct server *s, struct pager *p, const struct extpager_event *ev,
		uint64_t *random)
{
	struct extpager_range range = some_pages(s, random);

	range.pos = range.offset;
	range.file = s->lent;
	range.flags = test_random(random) % 4 ? 0 : EXTPAGER_RANGE_RDONLY;
	count(s, lent, 1);
	return pager_delegate(p, ev->object, ev->generation, 0, &range, 1);
}

static int take_back(struct server *s, struct pager *p, const struct extpager_event *ev,
		     struct extpager_range range)
{
	count(s, taken_back, 1);
	return pager_delegate(p, ev->object, ev->generation, EXTPAGER_DELEGATE_REVOKE, &range, 1);
}

/*
 * Refused for anything but the object's end, a test would be left without what it is to
 * test. Return: did it go?
 */
static bool went(struct server *s, int ret)
{
	if (ret && ret != -ESTALE && ret != -ENOENT) {
		count(s, refused, 1);
		_exit(1);
	}
	return !ret;
}

static void lend_or_take_back(struct server *s, struct pager *p, const struct extpager_event *ev,
			      uint64_t *random)
{
	if (ev->op == EXTPAGER_EV_TERMINATE || test_random(random) % 4)
		return;
	went(s, test_random(random) % 2 ? lend(s, p, ev, random) :
		take_back(s, p, ev, some_pages(s, random)));
}

/* Of what is delegated for reading alone the device must not have older bytes. */
static bool take_dirty_back(struct server *s, struct pager *p, const struct extpager_event *ev)
{
	return !s->device || ev->flags & EXTPAGER_EVF_ZERO ||
	       !take_back(s, p, ev, (struct extpager_range){
			.offset = ev->offset, .length = ev->length });
}

/*
 * What the kernel writes to the device and has it flush comes to the platter by no SYNC of
 * ours. One that lends nothing has it catch up when no such transfer is under way any more.
 */
static void platter_follows(struct server *s, struct pager *p, const struct extpager_event *ev)
{
	const struct extpager_range all = { .length = s->bytes };

	if (s->device) {
		*s->behind = 1;
	} else if (*s->behind && went(s, take_back(s, p, ev, all))) {
		memcpy(s->platter, s->store, pages(s) * PAGE);
		*s->behind = 0;
	}
}

static void serve_init(struct server *s, struct pager *p, const struct extpager_event *ev,
		       uint64_t *random)
{
	unsigned int i;

	count(s, inits, 1);
	if (s->platter)
		platter_follows(s, p, ev);
	for (i = 0; s->device && i < 8; i++)
		went(s, lend(s, p, ev, random));
	pager_ready(p, ev, 0, EXTPAGER_ATTR_MAY_CACHE);
}

/*
 * The bytes come by the kernel's hand, too: but when, only a barrier tells, so that a
 * platter could not know which of them are not there yet.
 */
static bool return_by_file(struct server *s, struct pager *p, const struct extpager_event *ev,
			   uint64_t *random)
{
	if (s->cached || ev->flags & EXTPAGER_EVF_ZERO || test_random(random) % 2 ||
	    !take_dirty_back(s, p, ev))
		return false;
	count(s, by_file, 1);
	return !pager_return_file(p, ev, s->registered, 0);
}

static void serve_return(struct server *s, struct pager *p, const struct extpager_event *ev,
			 uint64_t *random)
{
	count(s, returns, 1);
	count(s, pages_returned, (ev->length + PAGE - 1) / PAGE);
	if (return_by_file(s, p, ev, random))
		return;
	if (ev->flags & EXTPAGER_EVF_ZERO) {
		count(s, zeros, 1);
		memset(s->store + ev->offset, 0, ev->length);
	} else if (pager_fetch(p, ev, s->store + ev->offset)) {
		return;
	}
	if (s->cached)
		memset(s->cached + ev->offset / PAGE, 1, (ev->length + PAGE - 1) / PAGE);
	if (take_dirty_back(s, p, ev))
		pager_return_done(p, ev, 0);
}

static void serve_sync(struct server *s, struct pager *p, const struct extpager_event *ev)
{
	uint64_t i;

	count(s, syncs, 1);
	for (i = 0; s->platter && i < pages(s); i++)
		if (s->cached[i]) {
			memcpy(s->platter + i * PAGE, s->store + i * PAGE, PAGE);
			s->cached[i] = 0;
		}
	pager_sync_done(p, ev, *s->sync_error);
}

static void hold_still(struct server *s, uint64_t *random)
{
	unsigned int ms = *s->slow ? test_random(random) % *s->slow : 0;

	while (*s->stop || ms) {
		test_pause();
		if (ms)
			ms--;
	}
}

/* Until it is killed, or told to leave. */
static void serve(struct server *s, struct pager *p, uint64_t object)
{
	uint64_t random = test_seed(s->started);
	struct extpager_event ev;

	while (*s->leave != getpid()) {
		while (*s->stop)
			test_pause();
		if (!pager_event(p, &ev, *s->slow ? 1 : 100))
			continue;
		hold_still(s, &random);
		if (ev.flags & EXTPAGER_EVF_RESENT)
			count(s, resent, 1);
		switch (ev.op) {
		case EXTPAGER_EV_INIT:
			serve_init(s, p, &ev, &random);
			break;
		case EXTPAGER_EV_DATA_REQUEST:
			serve_request(s, p, &ev, &random);
			break;
		case EXTPAGER_EV_DATA_RETURN:
			serve_return(s, p, &ev, &random);
			break;
		case EXTPAGER_EV_SYNC:
			serve_sync(s, p, &ev);
			break;
		case EXTPAGER_EV_TERMINATE:
			count(s, terminates, 1);
			break;
		}
		if (s->device)
			lend_or_take_back(s, p, &ev, &random);
	}
	pager_detach(p, object);
}

/* Busy: what the lost pager left unanswered is still being put aside. */
static bool attach(struct pager *p, const char *target, uint64_t *object)
{
	int ret;

	WAIT_FOR(20000, (ret = pager_attach(p, target, object, NULL)) != -EBUSY);
	return !ret;
}

/* Each second one may be asked for runs, though it answers as it likes. */
static int open_port(const struct server *s, struct pager *p)
{
	if (s->port)
		return pager_open_fd(p, s->port, 1, 0);
	return s->started % 2 ? pager_open_large(p) : pager_open(p, 1, 0);
}

/* In the new process; says so in @tell once its port is open, and once it is attached. */
static void server_main(struct server *s, const char *target, int tell)
{
	struct pager p;
	uint64_t object;

	if (open_port(s, &p))
		return;
	s->registered = pager_register(&p, s->fd);
	s->lent = s->device ? pager_register(&p, s->device) : 0;
	if (s->registered < 0 || s->lent < 0)
		return;
	if (write(tell, "o", 1) != 1 || !attach(&p, target, &object))
		return;
	if (write(tell, "a", 1) != 1)
		return;
	close(tell);
	serve(s, &p, object);
}

static pid_t server_fork(struct server *s, const char *target, int *told)
{
	pid_t parent = getpid(), pid;
	int pipefd[2];

	if (pipe(pipefd))
		return -1;
	s->started++;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		close(pipefd[0]);
		server_main(s, target, pipefd[1]);
		_exit(0);
	}
	close(pipefd[1]);
	*told = pipefd[0];
	return pid;
}

static bool tells(int told, char what)
{
	char said;

	return read(told, &said, 1) == 1 && said == what;
}

bool server_restart(struct server *s, const char *target)
{
	bool ok;
	int told;

	s->pid = server_fork(s, target, &told);
	if (s->pid < 0)
		return false;
	ok = tells(told, 'o') && tells(told, 'a');
	close(told);
	return ok;
}

bool server_replace(struct server *s, const char *target)
{
	pid_t old = s->pid;
	bool ok;
	int told;

	s->port = 0;
	s->pid = server_fork(s, target, &told);
	if (s->pid < 0)
		return false;
	ok = tells(told, 'o');
	*s->leave = old;
	waitpid(old, NULL, 0);
	ok = ok && tells(told, 'a');
	close(told);
	return ok;
}

bool server_make(struct server *s, uint64_t bytes, uint64_t seed, bool platter)
{
	uint64_t i;

	memset(s, 0, sizeof(*s));
	s->bytes = bytes;
	s->fd = memfd_create("store", MFD_CLOEXEC);
	if (s->fd < 0 || ftruncate(s->fd, pages(s) * PAGE))
		return false;
	s->store = mmap(NULL, pages(s) * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (s->store == MAP_FAILED)
		return false;
	s->stats = shared_memory(PAGE);
	if (platter) {
		s->platter = shared_memory(pages(s) * PAGE);
		s->cached = shared_memory(pages(s));
	}
	if (!s->stats || (platter && (!s->platter || !s->cached)))
		return false;
	s->stop = (volatile int *)((char *)s->stats + PAGE / 2);
	s->slow = (volatile unsigned int *)(s->stop + 1);
	s->leave = s->stop + 2;
	s->behind = s->stop + 3;
	s->sync_error = s->stop + 4;
	for (i = 0; i < pages(s); i++) {
		fill_page(s->store + i * PAGE, seed, i);
		if (platter)
			fill_page(s->platter + i * PAGE, seed, i);
	}
	return true;
}

bool server_lends(struct server *s)
{
	s->device = loop_over(s->fd);
	return s->device > 0;
}

bool server_start(struct server *s, const char *target, uint64_t bytes, uint64_t seed)
{
	return server_make(s, bytes, seed, false) && server_restart(s, target);
}

void server_kill(struct server *s)
{
	if (s->pid <= 0)
		return;
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

void server_stop(struct server *s)
{
	server_kill(s);
	if (s->platter) {
		munmap(s->platter, pages(s) * PAGE);
		munmap(s->cached, pages(s));
	}
	munmap(s->store, pages(s) * PAGE);
	if (s->device)
		close(s->device);
	close(s->fd);
	munmap(s->stats, PAGE);
}
