// SPDX-License-Identifier: GPL-2.0-only
/* An honest pager in a process of its own. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pager.h"

#define count(s, what, n) __atomic_add_fetch(&(s)->stats->what, n, __ATOMIC_RELAXED)

static void serve_request(struct server *s, struct pager *p, const struct extpager_event *ev)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_SUPPLY);

	count(s, requests, 1);
	count(s, pages_requested, (ev->length + PAGE - 1) / PAGE);
	re.offset = ev->offset;
	re.length = ev->length;
	re.addr = (uintptr_t)s->store + ev->offset;
	pager_reply(p, &re);
}

static void serve_return(struct server *s, struct pager *p, const struct extpager_event *ev)
{
	count(s, returns, 1);
	count(s, pages_returned, (ev->length + PAGE - 1) / PAGE);
	if (ev->flags & EXTPAGER_EVF_ZERO) {
		count(s, zeros, 1);
		memset(s->store + ev->offset, 0, ev->length);
	} else if (pager_fetch(p, ev, s->store + ev->offset)) {
		return;
	}
	pager_return_done(p, ev, 0);
}

static void serve(struct server *s, struct pager *p)
{
	struct extpager_event ev;

	for (;;) {
		while (*s->stop)
			test_pause();
		if (!pager_event(p, &ev, 100))
			continue;
		while (*s->stop)
			test_pause();
		if (ev.flags & EXTPAGER_EVF_RESENT)
			count(s, resent, 1);
		switch (ev.op) {
		case EXTPAGER_EV_INIT:
			count(s, inits, 1);
			pager_ready(p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE);
			break;
		case EXTPAGER_EV_DATA_REQUEST:
			serve_request(s, p, &ev);
			break;
		case EXTPAGER_EV_DATA_RETURN:
			serve_return(s, p, &ev);
			break;
		case EXTPAGER_EV_SYNC:
			count(s, syncs, 1);
			pager_sync_done(p, &ev, 0);
			break;
		case EXTPAGER_EV_TERMINATE:
			count(s, terminates, 1);
			break;
		}
	}
}

bool server_restart(struct server *s, const char *target)
{
	pid_t parent = getpid();
	struct pager p;
	int pipefd[2];
	char ok = 0;

	if (pipe(pipefd))
		return false;
	s->pid = fork();
	if (!s->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		close(pipefd[0]);
		if (pager_open(&p, 1, 0) || pager_attach(&p, target, NULL, NULL))
			_exit(1);
		if (write(pipefd[1], "y", 1) != 1)
			_exit(1);
		close(pipefd[1]);
		serve(s, &p);
	}
	close(pipefd[1]);
	if (read(pipefd[0], &ok, 1) != 1)
		ok = 0;
	close(pipefd[0]);
	return ok == 'y';
}

bool server_start(struct server *s, const char *target, uint64_t bytes, uint64_t seed)
{
	uint64_t rounded = (bytes + PAGE - 1) / PAGE * PAGE, i;

	memset(s, 0, sizeof(*s));
	s->bytes = bytes;
	s->store = shared_memory(rounded);
	s->stats = shared_memory(PAGE);
	s->stop = (volatile int *)((char *)s->stats + PAGE / 2);
	for (i = 0; i < rounded / PAGE; i++)
		fill_page(s->store + i * PAGE, seed, i);
	return server_restart(s, target);
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
	munmap(s->store, (s->bytes + PAGE - 1) / PAGE * PAGE);
	munmap(s->stats, PAGE);
}
