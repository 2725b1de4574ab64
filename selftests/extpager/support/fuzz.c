// SPDX-License-Identifier: GPL-2.0-only
/* Choices, values and counts of the fuzzers; and the ioctls. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

#define RANGES	16		/* of one call */

const char *const fuzz_op_names[FUZZ_NR_OPS] = {
#define X(name) #name,
	FUZZ_OPS(X)
#undef X
};

/* The node itself leads to the first. */
const char *const fuzz_names[FUZZ_NAMES] = { "default", "fuzz-1", "fuzz-2" };

void fuzz_me(struct fuzz_me *me, struct fuzzer *shared, unsigned int slot)
{
	*me = (struct fuzz_me){
		.f = shared->f, .shared = shared, .slot = &shared->slot[slot],
		.random = shared->random + slot,
	};
	me->slot->tid = gettid();
	me->arena = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	mprotect(me->arena + PAGE, 3 * PAGE, PROT_NONE);
	me->file = memfd_create("fuzz", MFD_CLOEXEC);
	ftruncate(me->file, FUZZ_BYTES);
	me->ranges = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	mprotect((uint8_t *)me->ranges + PAGE, PAGE, PROT_NONE);
	me->ranges += PAGE / sizeof(*me->ranges) - RANGES;
}

uint64_t fuzz_pick(struct fuzz_me *me, uint64_t n)
{
	return test_random(&me->random) % n;
}

uint64_t fuzz_value(struct fuzz_me *me, unsigned int width)
{
	static const uint64_t ends[] = {
		0, 1, 2, 8, 63, 64, 255, 256, 4095, 4096, 0x7fff, 0xffff, 262144, FUZZ_BYTES,
		EXTPAGER_REQUEST_MAX, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX,
	};
	uint64_t value = ends[fuzz_pick(me, sizeof(ends) / sizeof(ends[0]))];

	switch (fuzz_pick(me, 6)) {
	case 0:
		value = test_random(&me->random);
		break;
	case 1:
		value = 1ULL << fuzz_pick(me, 8 * width);
		break;
	case 2:
		value += fuzz_pick(me, 3) - 1;
		break;
	case 3:
		value = -value;
		break;
	}
	return width < 8 ? value & ((1ULL << 8 * width) - 1) : value;
}

const char *fuzz_name(struct fuzz_me *me)
{
	return fuzz_names[fuzz_pick(me, FUZZ_NAMES)];
}

struct extpager_event fuzz_event(struct fuzz_me *me)
{
	return fuzz_pick(me, 16) ? me->f->seen[fuzz_pick(me, FUZZ_SEEN)] : me->f->honest;
}

void fuzz_saw(struct fuzz_me *me, const struct extpager_event *ev)
{
	me->f->seen[__atomic_fetch_add(&me->f->nr_seen, 1, __ATOMIC_RELAXED) % FUZZ_SEEN] = *ev;
}

void fuzz_keep(struct fuzz_me *me, int fd)
{
	int *place = &me->fd[fuzz_pick(me, FUZZ_FDS)];

	if (*place > 0)
		close(*place);
	*place = fd;
}

int fuzz_some_fd(struct fuzz_me *me)
{
	return me->fd[fuzz_pick(me, FUZZ_FDS)];
}

void fuzz_begin(struct fuzz_me *me, enum fuzz_op op)
{
	me->slot->op = op;
	__atomic_store_n(&me->slot->begun, now_ms(), __ATOMIC_RELEASE);
}

void fuzz_end(struct fuzz_me *me, enum fuzz_op op, int error)
{
	__atomic_store_n(&me->slot->begun, 0, __ATOMIC_RELEASE);
	if (error < 0 || error >= FUZZ_ERRNOS)
		error = FUZZ_ERRNOS - 1;
	__atomic_add_fetch(&me->f->count[op][error], 1, __ATOMIC_RELAXED);
	coverage_take(me->f->coverage);
}

void fuzz_wrong(struct fuzz *f, const char *what, uint64_t number)
{
	if (!__atomic_exchange_n(&f->is_wrong, 1, __ATOMIC_SEQ_CST))
		snprintf(f->wrong, sizeof(f->wrong), "%s (%#llx)", what,
			 (unsigned long long)number);
}

/* ---- ioctls ---- */

enum kind {
	K_ZERO, K_VERSION, K_QUEUES, K_ENTRIES, K_QUEUE, K_FEW, K_TIME, K_NAME, K_OBJECT, K_BYTES,
	K_OPEN, K_RDONLY, K_SERVED, K_FD, K_FILE, K_ONE, K_RANGES, K_NR_RANGES, K_GENERATION,
};

struct field {
	uint16_t kind, offset, width;
};

struct call {
	enum fuzz_op op;
	unsigned int weight;
	unsigned long cmd;
	size_t size, out_fd;
	struct field field[6];		/* but @size, and what the kernel fills in */
};

#define FIELD(_struct, member, kind)						\
	{ kind, offsetof(struct _struct, member), sizeof(((struct _struct *)0)->member) }

#define DELEGATE_FIELDS(flags_kind)					\
	FIELD(extpager_delegate, flags, flags_kind),			\
	FIELD(extpager_delegate, object, K_OBJECT),			\
	FIELD(extpager_delegate, ranges, K_RANGES),			\
	FIELD(extpager_delegate, nr_ranges, K_NR_RANGES),		\
	FIELD(extpager_delegate, generation, K_GENERATION)

static const struct call calls[] = {
	{ FUZZ_SETUP, 3, EXTPAGER_IOC_SETUP, sizeof(struct extpager_setup), 0, {
		FIELD(extpager_setup, abi_version, K_VERSION),
		FIELD(extpager_setup, features, K_ZERO),
		FIELD(extpager_setup, nr_queues, K_QUEUES),
		FIELD(extpager_setup, ring_entries, K_ENTRIES),
		FIELD(extpager_setup, flags, K_ZERO),
		FIELD(extpager_setup, reserved, K_ZERO) } },
	{ FUZZ_ENTER, 6, EXTPAGER_IOC_ENTER, sizeof(struct extpager_enter), 0, {
		FIELD(extpager_enter, queue, K_QUEUE),
		FIELD(extpager_enter, to_submit, K_FEW),
		FIELD(extpager_enter, min_complete, K_FEW),
		FIELD(extpager_enter, timeout_ns, K_TIME) } },
	{ FUZZ_ATTACH, 8, EXTPAGER_IOC_ATTACH, sizeof(struct extpager_attach), 0, {
		FIELD(extpager_attach, flags, K_ZERO),
		FIELD(extpager_attach, name, K_SERVED) } },
	{ FUZZ_DETACH, 1, EXTPAGER_IOC_DETACH, sizeof(struct extpager_detach), 0, {
		FIELD(extpager_detach, flags, K_ZERO),
		FIELD(extpager_detach, object, K_OBJECT) } },
	{ FUZZ_CREATE, 3, EXTPAGER_IOC_OBJECT_CREATE, sizeof(struct extpager_object_create),
		offsetof(struct extpager_object_create, out_fd), {
		FIELD(extpager_object_create, flags, K_RDONLY),
		FIELD(extpager_object_create, bytes, K_BYTES),
		FIELD(extpager_object_create, reserved, K_ZERO) } },
	{ FUZZ_OPEN, 4, EXTPAGER_IOC_OPEN, sizeof(struct extpager_open),
		offsetof(struct extpager_open, out_fd), {
		FIELD(extpager_open, flags, K_OPEN),
		FIELD(extpager_open, object, K_OBJECT),
		FIELD(extpager_open, name, K_NAME),
		FIELD(extpager_open, reserved, K_ZERO) } },
	{ FUZZ_WAKE, 3, EXTPAGER_IOC_WAKE, sizeof(struct extpager_wake), 0, {
		FIELD(extpager_wake, flags, K_ZERO) } },
	{ FUZZ_FAILURES, 3, EXTPAGER_IOC_FAILURES, sizeof(struct extpager_failures), 0, {
		FIELD(extpager_failures, flags, K_ZERO),
		FIELD(extpager_failures, object, K_OBJECT),
		FIELD(extpager_failures, reserved, K_ZERO) } },
	{ FUZZ_REGISTER, 6, EXTPAGER_IOC_REGISTER, sizeof(struct extpager_register), 0, {
		FIELD(extpager_register, flags, K_ZERO),
		FIELD(extpager_register, fd, K_FD),
		FIELD(extpager_register, reserved, K_ZERO) } },
	{ FUZZ_UNREGISTER, 2, EXTPAGER_IOC_UNREGISTER, sizeof(struct extpager_unregister), 0, {
		FIELD(extpager_unregister, flags, K_ZERO),
		FIELD(extpager_unregister, file, K_FILE),
		FIELD(extpager_unregister, reserved, K_ZERO) } },
	{ FUZZ_DELEGATE, 4, EXTPAGER_IOC_DELEGATE, sizeof(struct extpager_delegate), 0, {
		DELEGATE_FIELDS(K_ZERO) } },
	{ FUZZ_REVOKE, 2, EXTPAGER_IOC_DELEGATE, sizeof(struct extpager_delegate), 0, {
		DELEGATE_FIELDS(K_ONE) } },
	{ FUZZ_ACCEPT, 2, EXTPAGER_IOC_ACCEPT, sizeof(struct extpager_accept), 0, {
		FIELD(extpager_accept, flags, K_ZERO) } },
	{ FUZZ_UNKNOWN_CALL, 2, EXTPAGER_IOC_WAKE, sizeof(struct extpager_wake), 0, { } },
};

#define NR_CALLS (sizeof(calls) / sizeof(calls[0]))

static const struct call *pick_call(struct fuzz_me *me)
{
	unsigned int all = 0, i, at;

	for (i = 0; i < NR_CALLS; i++)
		all += calls[i].weight;
	at = fuzz_pick(me, all);
	for (i = 0; at >= calls[i].weight; i++)
		at -= calls[i].weight;
	return &calls[i];
}

static unsigned int open_flags(struct fuzz_me *me)
{
	static const unsigned int bits[] = { O_APPEND, O_SYNC, O_DSYNC, O_NOATIME, O_CLOEXEC };
	static const unsigned int modes[] = { O_RDWR, O_RDWR, O_RDONLY, O_WRONLY };
	unsigned int flags = modes[fuzz_pick(me, 4)];

	if (fuzz_pick(me, 8))
		flags |= O_NONBLOCK;
	if (!fuzz_pick(me, 4))
		flags |= bits[fuzz_pick(me, sizeof(bits) / sizeof(bits[0]))];
	return flags;
}

/* What the field is for. */
static uint64_t right_value(struct fuzz_me *me, enum kind kind)
{
	switch (kind) {
	case K_VERSION:
		return EXTPAGER_ABI_VERSION;
	case K_QUEUES:
		return fuzz_pick(me, 4);
	case K_ENTRIES:
		return 1 << fuzz_pick(me, 9);
	case K_QUEUE:
		return fuzz_pick(me, me->p ? me->p->nr_queues : 1);
	case K_FEW:
		return fuzz_pick(me, 4);
	case K_TIME:
		return fuzz_pick(me, 3) * 1000000;
	case K_OBJECT:
		return me->about.object;
	case K_GENERATION:
		return me->about.generation;
	case K_BYTES:
		return 1 + fuzz_pick(me, FUZZ_BYTES);
	case K_OPEN:
		return open_flags(me);
	case K_RDONLY:
		return !fuzz_pick(me, 4);
	case K_FD:
		return fuzz_pick(me, 2) ? me->f->device :
		       fuzz_pick(me, 4) ? me->file : fuzz_some_fd(me);
	case K_FILE:
		return 1 + fuzz_pick(me, 8);
	case K_ONE:
		return 1;
	case K_RANGES:
		/* Or in an object, be it the caller's own. */
		return (uintptr_t)(fuzz_pick(me, 16) ? (uint8_t *)me->ranges : me->map);
	case K_NR_RANGES:
		return 1 + fuzz_pick(me, RANGES);
	default:
		return 0;
	}
}

/* A target that is served, and well, cannot be taken from its pager. */
static void put_name(struct fuzz_me *me, char *name, bool served, bool spoil)
{
	strcpy(name, served && !fuzz_pick(me, 8) ? FUZZ_HONEST : fuzz_name(me));
	if (!spoil)
		return;
	if (fuzz_pick(me, 2))
		memset(name, 'x', EXTPAGER_NAME_MAX + fuzz_pick(me, 2));
	else
		name[fuzz_pick(me, EXTPAGER_NAME_MAX + 1)] = fuzz_value(me, 1);
}

static void put_field(struct fuzz_me *me, void *arg, const struct field *f, bool spoil)
{
	uint64_t value;

	if (f->kind == K_NAME || f->kind == K_SERVED) {
		put_name(me, arg + f->offset, f->kind == K_SERVED, spoil);
		return;
	}
	value = spoil ? fuzz_value(me, f->width) : right_value(me, f->kind);
	memcpy(arg + f->offset, &value, f->width);
}

static uint32_t other_size(struct fuzz_me *me, uint32_t size)
{
	const uint32_t sizes[] = { 0, 4, size - 1, size + 1, size + 8, PAGE, PAGE + 1, ~0U };

	return sizes[fuzz_pick(me, sizeof(sizes) / sizeof(sizes[0]))];
}

/* Where the struct lies, more often than not where it can be read and written. */
static void *place(struct fuzz_me *me, const void *arg, size_t size)
{
	uint8_t *page = me->arena, *frozen = page + 2 * PAGE;

	switch (fuzz_pick(me, 32)) {
	case 0:
		return NULL;
	case 1:
		return (void *)-PAGE;
	case 2:
		mprotect(frozen, PAGE, PROT_READ | PROT_WRITE);
		memcpy(frozen, arg, size);
		mprotect(frozen, PAGE, PROT_READ);
		return frozen;
	case 3:		/* all but its last byte */
		memcpy(page + PAGE - size + 1, arg, size - 1);
		return page + PAGE - size + 1;
	case 4:		/* and not a byte more */
		memcpy(page + PAGE - size, arg, size);
		return page + PAGE - size;
	default:
		memset(page, fuzz_pick(me, 4) ? 0 : 1, PAGE);
		memcpy(page, arg, size);
		return page;
	}
}

/* One after another, as many as there may be; now and then a word of one is another. */
static void put_ranges(struct fuzz_me *me, bool revoke)
{
	struct extpager_range *r = me->ranges;
	uint64_t at = 0, *word;

	for (; r < me->ranges + RANGES; r++) {
		*r = (struct extpager_range){ };
		at += fuzz_pick(me, 8);
		r->offset = at * PAGE;
		at += 1 + fuzz_pick(me, 8);
		r->length = at * PAGE - r->offset;
		if (revoke)
			continue;
		r->pos = fuzz_pick(me, 4) ? r->offset : fuzz_pick(me, FUZZ_BYTES / 512) * 512;
		r->file = fuzz_pick(me, 8) ? me->lent : (int)right_value(me, K_FILE);
		r->flags = fuzz_pick(me, 4) ? 0 : EXTPAGER_RANGE_RDONLY;
	}
	if (fuzz_pick(me, 4))
		return;
	word = (uint64_t *)me->ranges + fuzz_pick(me, RANGES * sizeof(*r) / sizeof(*word));
	switch (fuzz_pick(me, 3)) {
	case 0:
		*word += PAGE * (fuzz_pick(me, 2) ? 1 : -1ULL);
		break;
	case 1:
		*word ^= 1ULL << fuzz_pick(me, 64);
		break;
	default:
		*word = fuzz_value(me, 8);
	}
}

static unsigned long other_command(struct fuzz_me *me)
{
	unsigned long cmd = calls[fuzz_pick(me, NR_CALLS)].cmd;

	switch (fuzz_pick(me, 4)) {
	case 0:
		return cmd ^ fuzz_pick(me, 256) << _IOC_NRSHIFT;
	case 1:
		return cmd ^ (1 + fuzz_pick(me, 3)) << _IOC_DIRSHIFT;
	case 2:
		return cmd ^ (1 + fuzz_pick(me, 255)) << _IOC_TYPESHIFT;
	default:
		return cmd ^ (1 + fuzz_pick(me, 1023)) << _IOC_SIZESHIFT;
	}
}

static void do_call(struct fuzz_me *me, int fd, const struct call *c)
{
	uint8_t arg[512] __attribute__((aligned(8)));
	unsigned int i, nr = 0, spoilt = ~0U;
	unsigned long cmd = c->cmd;
	void *at;

	memset(arg, fuzz_pick(me, 2) ? 0 : 0xa5, sizeof(arg));
	if (c->cmd == EXTPAGER_IOC_DELEGATE)
		put_ranges(me, c->op == FUZZ_REVOKE);
	while (nr < sizeof(c->field) / sizeof(c->field[0]) && c->field[nr].width)
		nr++;
	if (nr && !fuzz_pick(me, 2))
		spoilt = fuzz_pick(me, nr);
	for (i = 0; i < nr; i++)
		put_field(me, arg, &c->field[i], i == spoilt || !fuzz_pick(me, 16));
	/* A target is opened by its name, an object by its id. */
	if (c->op == FUZZ_OPEN && fuzz_pick(me, 4))
		((struct extpager_open *)arg)->object = 0;
	*(uint32_t *)arg = fuzz_pick(me, 16) ? c->size : other_size(me, c->size);
	if (c->op == FUZZ_UNKNOWN_CALL)
		cmd = other_command(me);
	at = place(me, arg, c->size);
	if (FUZZ(me, c->op, ioctl(fd, cmd, at)) < 0)
		return;
	if (c->out_fd)
		fuzz_keep(me, *(int32_t *)(at + c->out_fd));
	/* To be destroyed before its first use, if it comes to that. */
	if (c->op == FUZZ_CREATE)
		fuzz_saw(me, &(struct extpager_event){
			.object = ((struct extpager_object_create *)at)->out_object });
}

void fuzz_call(struct fuzz_me *me, int fd)
{
	me->about = fuzz_event(me);
	do_call(me, fd, pick_call(me));
}

void fuzz_delegate(struct fuzz_me *me, int fd, const struct extpager_event *ev)
{
	enum fuzz_op op = fuzz_pick(me, 3) ? FUZZ_DELEGATE : FUZZ_REVOKE;
	const struct call *c = calls;

	while (c->op != op)
		c++;
	me->about = *ev;
	do_call(me, fd, c);
}

void fuzz_call_plain(struct fuzz_me *me)
{
	if (!me->plain || !fuzz_pick(me, 4)) {
		if (me->plain > 0)
			close(me->plain);
		me->plain = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
	}
	fuzz_call(me, me->plain);
}
