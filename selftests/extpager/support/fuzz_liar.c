// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pager that answers well, and lies: in any word of a reply, in the indexes of its
 * rings, and in its calls. Two threads do it to one port, and to each other.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fuzz.h"

/* ---- replies ---- */

#define WORD(member) \
	{ offsetof(struct extpager_reply, member), sizeof(((struct extpager_reply *)0)->member) }

static const struct {
	unsigned int offset, width;
} words[] = {
	WORD(op), WORD(flags), WORD(generation), WORD(tag), WORD(object), WORD(offset),
	WORD(length), WORD(error), WORD(attributes), WORD(file), WORD(out_result),
	WORD(out_done),
};

/* No random ones: a pager that has bytes written into its own stack only harms itself. */
static uint64_t any_address(struct fuzz_me *me)
{
	const struct queue *q = &me->p->queue[fuzz_pick(me, me->p->nr_queues)];
	uint8_t *buffer = me->p->buffer;
	void *const addresses[] = {
		NULL, (void *)PAGE, me->arena, me->arena + PAGE - 8, me->arena + PAGE,
		me->arena + 2 * PAGE, q->kernel, q->user, (void *)-PAGE, (void *)INT64_MIN,
		buffer + 1, buffer + EXTPAGER_REQUEST_MAX - PAGE, me->map, me->map + PAGE,
	};

	return (uintptr_t)addresses[fuzz_pick(me, sizeof(addresses) / sizeof(addresses[0]))];
}

/* Another value for one word: one that it had in another place, one near, or any. */
static void spoil(struct fuzz_me *me, struct extpager_reply *re)
{
	unsigned int i = fuzz_pick(me, sizeof(words) / sizeof(words[0]) + 1);
	struct extpager_event other = fuzz_event(me);
	uint64_t value = 0;

	if (i == sizeof(words) / sizeof(words[0])) {
		re->addr = any_address(me);
		return;
	}
	memcpy(&value, (char *)re + words[i].offset, words[i].width);
	switch (fuzz_pick(me, 4)) {
	case 0:
		re->tag = other.tag;
		return;
	case 1:
		re->tag = fuzz_pick(me, 2) ? 0 : re->tag;
		re->object = other.object;
		re->generation = other.generation;
		return;
	case 2:
		value += (fuzz_pick(me, 2) ? PAGE : 1) * (fuzz_pick(me, 2) ? 1 : -1ULL);
		break;
	default:
		value = fuzz_value(me, words[i].width);
	}
	memcpy((char *)re + words[i].offset, &value, words[i].width);
}

static enum fuzz_op reply_op(const struct extpager_reply *re)
{
	bool known = re->op >= EXTPAGER_RE_READY && re->op <= EXTPAGER_RE_DESTROY;

	if (re->op == EXTPAGER_RE_SUPPLY && re->flags & EXTPAGER_REF_FILE)
		return FUZZ_SUPPLY_FILE;
	return known ? FUZZ_READY + re->op - EXTPAGER_RE_READY : FUZZ_REPLY_UNKNOWN;
}

static void say(struct fuzz_me *me, struct extpager_reply *re)
{
	enum fuzz_op op = reply_op(re);

	fuzz_begin(me, op);
	fuzz_end(me, op, -pager_reply_on(me->p, fuzz_pick(me, me->p->nr_queues), re));
}

/* Half of what comes before the truth is true as well. */
static void say_and_lie(struct fuzz_me *me, const struct extpager_reply *right)
{
	unsigned int lies = fuzz_pick(me, 3);
	struct extpager_reply re;

	while (lies--) {
		re = *right;
		spoil(me, &re);
		if (!fuzz_pick(me, 3))
			spoil(me, &re);
		say(me, &re);
	}
	re = *right;
	if (fuzz_pick(me, 8))
		say(me, &re);
}

static void answer_request(struct fuzz_me *me, const struct extpager_event *ev)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_SUPPLY);

	re.offset = ev->offset;
	re.length = ev->length;
	if (ev->length > PAGE && !fuzz_pick(me, 4))
		re.length = PAGE;
	switch (fuzz_pick(me, 8)) {
	case 0:
		re.op = EXTPAGER_RE_ERROR;
		re.error = fuzz_pick(me, 2) ? EIO : EBADMSG;
		break;
	case 1:
		re.flags = EXTPAGER_REF_ZERO;
		break;
	case 2:
		re.flags = EXTPAGER_REF_FILE;
		re.file = 1 + fuzz_pick(me, 4);
		re.addr = fuzz_pick(me, FUZZ_BYTES) & (fuzz_pick(me, 2) ? -512 : -1);
		break;
	case 3:
		re.tag = 0;
		/* fallthrough */
	default:
		re.addr = (uintptr_t)me->p->buffer;
	}
	say_and_lie(me, &re);
}

static void answer_return(struct fuzz_me *me, const struct extpager_event *ev)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_RETURN_FETCH);

	if (!(ev->flags & EXTPAGER_EVF_ZERO) && fuzz_pick(me, 4)) {
		re.offset = ev->offset;
		re.length = 1 + fuzz_pick(me, ev->length);
		re.addr = (uintptr_t)me->p->buffer + fuzz_pick(me, 2);
		say_and_lie(me, &re);
	}
	re = reply_to(ev, EXTPAGER_RE_RETURN_DONE);
	re.error = fuzz_pick(me, 6) ? 0 : ENOSPC;
	say_and_lie(me, &re);
}

/* What no event asked for. */
static void say_something(struct fuzz_me *me)
{
	static const unsigned int ops[] = {
		EXTPAGER_RE_SUPPLY, EXTPAGER_RE_ERROR, EXTPAGER_RE_ATTRIBUTES, EXTPAGER_RE_DESTROY,
	};
	struct extpager_event ev = fuzz_event(me);
	struct extpager_reply re = reply_to(&ev, ops[fuzz_pick(me, 4)]);

	re.tag = 0;
	if (re.op == EXTPAGER_RE_ATTRIBUTES) {
		re.attributes = fuzz_pick(me, 2);
	} else if (re.op == EXTPAGER_RE_DESTROY) {
		re.flags = fuzz_pick(me, 2) ? EXTPAGER_REF_DISCARD : 0;
	} else {
		re.offset = fuzz_pick(me, FUZZ_BYTES / PAGE) * PAGE;
		re.length = (1 + fuzz_pick(me, 4)) * PAGE;
	}
	if (re.op == EXTPAGER_RE_SUPPLY)
		re.addr = (uintptr_t)me->p->buffer;
	if (re.op == EXTPAGER_RE_ERROR)
		re.error = EIO;
	say_and_lie(me, &re);
}

static void answer(struct fuzz_me *me, const struct extpager_event *ev)
{
	struct extpager_reply re = { };

	fuzz_saw(me, ev);
	/* Of what an event is about, before it is answered: be it INIT, a request or a return. */
	if (!fuzz_pick(me, 4))
		fuzz_delegate(me, me->p->fd, ev);
	switch (ev->op) {
	case EXTPAGER_EV_INIT:
		re = reply_to(ev, EXTPAGER_RE_READY);
		re.attributes = fuzz_pick(me, 2);
		re.error = fuzz_pick(me, 64) ? 0 : EACCES;
		break;
	case EXTPAGER_EV_DATA_REQUEST:
		answer_request(me, ev);
		return;
	case EXTPAGER_EV_DATA_RETURN:
		answer_return(me, ev);
		return;
	case EXTPAGER_EV_SYNC:
		re = reply_to(ev, EXTPAGER_RE_SYNC_DONE);
		break;
	default:
		say_something(me);
		return;
	}
	say_and_lie(me, &re);
}

static void mend(struct fuzz_me *me, struct queue *q);

/* The threads, which know of no lock, may have gone past the end. */
static bool is_lost(const struct queue *q)
{
	return q->kernel->event_tail - q->event_head > q->kernel->event_mask + 1;
}

static void serve_one(struct fuzz_me *me)
{
	struct extpager_enter enter = {
		.size = sizeof(enter), .min_complete = 1, .timeout_ns = 5000000,
	};
	struct extpager_event ev;
	unsigned int i;

	for (i = 0; i < me->p->nr_queues; i++) {
		if (is_lost(&me->p->queue[i]))
			mend(me, &me->p->queue[i]);
		if (pager_event_on(me->p, i, &ev)) {
			answer(me, &ev);
			return;
		}
	}
	enter.queue = fuzz_pick(me, me->p->nr_queues);
	FUZZ(me, FUZZ_ENTER, ioctl(me->p->fd, EXTPAGER_IOC_ENTER, &enter));
}

/* ---- rings ---- */

static struct queue *some_queue(struct fuzz_me *me, struct extpager_enter *enter)
{
	*enter = (struct extpager_enter){
		.size = sizeof(*enter), .queue = fuzz_pick(me, me->p->nr_queues),
		.to_submit = fuzz_pick(me, 4) ? fuzz_pick(me, 8) : fuzz_value(me, 4),
		.min_complete = fuzz_pick(me, 2), .timeout_ns = 1000000,
	};
	return &me->p->queue[enter->queue];
}

/* Without this nothing would go on. Events may get lost, or come twice. */
static void mend(struct fuzz_me *me, struct queue *q)
{
	q->reply_tail = q->kernel->reply_head;
	q->event_head = q->kernel->event_tail - fuzz_pick(me, 2);
	__atomic_store_n(&q->user->reply_tail, q->reply_tail, __ATOMIC_RELEASE);
	__atomic_store_n(&q->user->event_head, q->event_head, __ATOMIC_RELEASE);
	q->user->flags = 0;
}

static void scribble(struct fuzz_me *me)
{
	struct pollfd pfd = { .fd = me->p->fd, .events = POLLIN };
	struct extpager_enter enter;
	struct queue *q = some_queue(me, &enter);
	uint32_t *word = (uint32_t *)q->user, *heads[] = {
		&q->user->event_head, &q->user->reply_tail, &q->user->flags,
		word + fuzz_pick(me, me->p->setup.out_user_len / 4),
	};

	word = heads[fuzz_pick(me, 4)];
	if (fuzz_pick(me, 2))
		*word = fuzz_value(me, 4);
	else
		*word += fuzz_pick(me, 2 * me->p->setup.ring_entries) -
			 me->p->setup.ring_entries;
	FUZZ(me, FUZZ_SCRIBBLE, ioctl(me->p->fd, EXTPAGER_IOC_ENTER, &enter));
	poll(&pfd, 1, fuzz_pick(me, 2));
	if (fuzz_pick(me, 8))
		mend(me, q);
}

/* Replies of which no word means anything. */
static void babble(struct fuzz_me *me)
{
	struct extpager_enter enter;
	struct queue *q = some_queue(me, &enter);
	unsigned int i, n = 1 + fuzz_pick(me, 8);
	uint64_t *word;

	while (n--) {
		word = (uint64_t *)&q->replies[q->reply_tail++ & q->kernel->reply_mask];
		for (i = 0; i < sizeof(struct extpager_reply) / 8; i++)
			word[i] = fuzz_value(me, 8);
	}
	__atomic_store_n(&q->user->reply_tail, q->reply_tail, __ATOMIC_RELEASE);
	FUZZ(me, FUZZ_REPLIES_AT_RANDOM, ioctl(me->p->fd, EXTPAGER_IOC_ENTER, &enter));
	mend(me, q);
}

static void map_anything(struct fuzz_me *me)
{
	const struct extpager_setup *s = &me->p->setup;
	uint64_t offset = fuzz_pick(me, 2) ? fuzz_value(me, 8) & -PAGE :
			  fuzz_pick(me, 2 * s->nr_queues) * s->out_stride +
			  fuzz_pick(me, 2) * s->out_kernel_len;
	uint64_t length = fuzz_pick(me, 4) ? s->out_kernel_len : fuzz_value(me, 4) | 1;
	int prot = fuzz_pick(me, 8), flags = fuzz_pick(me, 4) ? MAP_SHARED : MAP_PRIVATE;
	void *p;

	p = (void *)FUZZ(me, FUZZ_MAP, mmap(NULL, length, prot, flags, me->p->fd, offset));
	if (p != MAP_FAILED)
		munmap(p, length);
	if (!mprotect(me->p->queue[0].kernel, s->out_kernel_len, PROT_READ | PROT_WRITE))
		fuzz_wrong(me->f, "a kernel region can be made writable", s->out_port);
}

/* ---- a client of the liar's own objects ---- */

static int child(void *arg)
{
	struct fuzz_me *parent = arg, me;
	unsigned int i;

	fuzz_me(&me, parent->shared, FUZZ_CHILD);
	coverage_begin();
	me.random ^= parent->random;
	memcpy(me.fd, parent->fd, sizeof(me.fd));
	for (i = 0; i < 200; i++) {
		/* It has the port, and is not its pager. */
		if (!fuzz_pick(&me, 16))
			fuzz_call(&me, parent->p->fd);
		else
			fuzz_deed(&me);
	}
	return 0;
}

static void beget(struct fuzz_me *me)
{
	if (me->child.pid > 0) {
		if (client_result(&me->child, 0) == CLIENT_RUNNING)
			return;
		__atomic_store_n(&me->shared->slot[FUZZ_CHILD].begun, 0, __ATOMIC_RELEASE);
	}
	me->child = client_start(child, me);
}

/* ---- the liar ---- */

static void lie(struct fuzz_me *me)
{
	switch (fuzz_pick(me, 24)) {
	case 0:
		scribble(me);
		break;
	case 1:
		babble(me);
		break;
	case 2:
		map_anything(me);
		break;
	case 3:
		say_something(me);
		break;
	case 4:
		/* The other thread has none: they would share the slot. */
		if (me->slot == me->shared->slot)
			beget(me);
		break;
	case 5: case 6: case 7:
		fuzz_call(me, me->p->fd);
		break;
	case 8:
		if (fuzz_pick(me, 2))
			fuzz_call(me, fuzz_some_fd(me));
		else
			fuzz_call_plain(me);
		break;
	default:
		serve_one(me);
	}
}

static void *lie_on(void *arg)
{
	struct fuzz_me *me = arg;
	unsigned int i, fd;

	me->slot->tid = gettid();
	/* A buffer of its may be an object's, even one of its own. */
	me->map = MAP_FAILED;
	for (i = 0; me->map == MAP_FAILED && i < FUZZ_NAMES; i++) {
		fd = target_open(fuzz_names[i], O_RDWR | O_NONBLOCK);
		me->map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
	}
	for (;;)
		lie(me);
	return NULL;
}

static void *lie_beside(void *arg)
{
	coverage_begin();
	return lie_on(arg);
}

int fuzz_liar(void *arg)
{
	static struct fuzz_me me, other;
	struct fuzzer *shared = arg;
	static struct pager p;
	pthread_t thread;
	unsigned int i, queues;

	fuzz_me(&me, shared, 0);
	fuzz_me(&other, shared, 1);
	coverage_begin();
	signal(SIGBUS, SIG_IGN);
	queues = 1 + fuzz_pick(&me, 3);
	if (shared->port <= 0 || !fuzz_pick(&me, 2) ||
	    pager_open_fd(&p, shared->port, queues, 1 << fuzz_pick(&me, 9)))
		if (pager_open(&p, queues, 1 << fuzz_pick(&me, 9)))
			return 1;
	me.p = other.p = &p;
	me.lent = other.lent = pager_register(&p, me.f->device);
	for (i = 0; i < FUZZ_NAMES; i++)
		pager_attach(&p, fuzz_names[i], NULL, NULL);
	if (pthread_create(&thread, NULL, lie_beside, &other))
		return 2;
	lie_on(&me);
	return 0;
}
