// SPDX-License-Identifier: GPL-2.0-only
/* A pager whose store is a seed a page. */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stamper.h"

uint64_t page_stamp(const void *page, uint64_t index)
{
	uint64_t zero[PAGE / 8], first, seed;

	/* What is left of the first word when all but the seed is taken out. */
	memcpy(&first, page, sizeof(first));
	fill_page(zero, 0, index);
	seed = (first ^ zero[0]) >> 40;
	return page_is(page, seed, index) ? seed : STAMP_NONE;
}

static void serve_request(struct stamper *s, struct pager *p, const struct extpager_event *ev)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_SUPPLY);
	uint64_t first = ev->offset / PAGE, i;

	s->stats->requests++;
	for (i = 0; i * PAGE < ev->length; i++)
		fill_page((char *)p->buffer + i * PAGE, s->stamp[first + i], first + i);
	re.offset = ev->offset;
	re.length = ev->length;
	re.addr = (uintptr_t)p->buffer;
	pager_reply(p, &re);
}

static void serve_return(struct stamper *s, struct pager *p, const struct extpager_event *ev)
{
	uint64_t first = ev->offset / PAGE, i;

	s->stats->returns++;
	/* It may have been withdrawn while this process stood still. */
	if (pager_fetch(p, ev, p->buffer))
		return;
	for (i = 0; i * PAGE < ev->length; i++)
		s->stamp[first + i] = page_stamp((char *)p->buffer + i * PAGE, first + i);
	s->stats->pages_returned += i;
	pager_return_done(p, ev, 0);
}

static void serve(struct stamper *s, struct pager *p)
{
	struct extpager_event ev;

	for (;;) {
		if (!pager_event(p, &ev, 1000))
			continue;
		s->stats->resent += !!(ev.flags & EXTPAGER_EVF_RESENT);
		switch (ev.op) {
		case EXTPAGER_EV_INIT:
			pager_ready(p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE);
			break;
		case EXTPAGER_EV_DATA_REQUEST:
			serve_request(s, p, &ev);
			break;
		case EXTPAGER_EV_DATA_RETURN:
			serve_return(s, p, &ev);
			break;
		case EXTPAGER_EV_SYNC:
			pager_sync_done(p, &ev, 0);
			break;
		}
	}
}

bool stamper_restart(struct stamper *s, const char *target)
{
	pid_t parent = getpid();
	struct pager p;
	int ready[2];
	char ok = 0;

	if (pipe(ready))
		return false;
	s->pid = fork();
	if (!s->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		close(ready[0]);
		/* As a pager should be: never out of memory, nor killed for it. */
		write_file("/proc/self/oom_score_adj", "-1000");
		if (pager_open(&p, 1, 0) || mlockall(MCL_CURRENT) ||
		    !WAIT_FOR(10000, !pager_attach(&p, target, NULL, NULL)) ||
		    write(ready[1], "y", 1) != 1)
			_exit(1);
		close(ready[1]);
		serve(s, &p);
	}
	close(ready[1]);
	if (read(ready[0], &ok, 1) != 1)
		ok = 0;
	close(ready[0]);
	return ok == 'y';
}

bool stamper_start(struct stamper *s, const char *target, uint64_t bytes)
{
	memset(s, 0, sizeof(*s));
	s->pages = bytes / PAGE;
	s->stamp = shared_memory(s->pages * sizeof(*s->stamp));
	s->stats = shared_memory(PAGE);
	return s->stamp && s->stats && stamper_restart(s, target);
}

void stamper_freeze(struct stamper *s)
{
	kill(s->pid, SIGSTOP);
	waitpid(s->pid, NULL, WUNTRACED);
}

void stamper_thaw(struct stamper *s)
{
	kill(s->pid, SIGCONT);
}

void stamper_kill(struct stamper *s)
{
	if (s->pid <= 0)
		return;
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

void stamper_stop(struct stamper *s)
{
	stamper_kill(s);
	munmap(s->stamp, s->pages * sizeof(*s->stamp));
	munmap(s->stats, PAGE);
}

uint64_t stamper_wrong(const struct stamper *s, uint64_t offset, uint64_t length, uint64_t seed)
{
	uint64_t i, wrong = 0;

	for (i = offset / PAGE; i < (offset + length) / PAGE; i++)
		wrong += s->stamp[i] != seed;
	return wrong;
}
