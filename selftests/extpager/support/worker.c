// SPDX-License-Identifier: GPL-2.0-only
/* Clients that take orders. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "worker.h"

enum { IDLE, ORDERED, DONE };

static int order_state(struct order *o)
{
	return __atomic_load_n(&o->state, __ATOMIC_ACQUIRE);
}

static void set_state(struct order *o, int state)
{
	__atomic_store_n(&o->state, state, __ATOMIC_RELEASE);
}

static int work(void *arg)
{
	struct order *o = arg;
	int writable = (fcntl(o->fd, F_GETFL) & O_ACCMODE) == O_RDWR ? PROT_WRITE : 0;

	o->map = mmap(NULL, o->bytes, PROT_READ | writable, MAP_SHARED, o->fd, 0);
	/* Only what is touched is asked for: events are easier to foretell. */
	if (o->map == MAP_FAILED || madvise(o->map, o->bytes, MADV_RANDOM) ||
	    posix_fadvise(o->fd, 0, 0, POSIX_FADV_RANDOM))
		return 1;
	for (set_state(o, DONE);; set_state(o, DONE)) {
		while (order_state(o) != ORDERED)
			test_pause();
		o->result = o->what(o);
	}
}

bool worker_start(struct worker *w, int fd, uint64_t bytes)
{
	w->order = shared_memory(sizeof(*w->order));
	if (!w->order)
		return false;
	w->order->fd = fd;
	w->order->bytes = bytes;
	w->c = client_start(work, w->order);
	return worker_end(w, WORKER_MS) == 0;
}

void worker_stop(struct worker *w)
{
	client_kill(&w->c);
	if (w->order)
		munmap(w->order, sizeof(*w->order));
	w->order = NULL;
}

void worker_begin(struct worker *w, long (*what)(struct order *o), uint64_t offset,
		  uint64_t length, uint64_t seed)
{
	struct order *o = w->order;

	if (order_state(o) != DONE)
		abort();
	o->what = what;
	o->offset = offset;
	o->length = length;
	o->seed = seed;
	set_state(o, ORDERED);
}

bool worker_busy(struct worker *w)
{
	return order_state(w->order) != DONE;
}

long worker_end(struct worker *w, unsigned int ms)
{
	return WAIT_FOR(ms, !worker_busy(w)) ? w->order->result : WORKER_BUSY;
}

long worker_do(struct worker *w, long (*what)(struct order *o), uint64_t offset,
	       uint64_t length, uint64_t seed)
{
	worker_begin(w, what, offset, length, seed);
	return worker_end(w, WORKER_MS);
}

bool worker_evicts(struct worker *w, uint64_t offset, uint64_t length)
{
	return WAIT_FOR(WORKER_MS, worker_do(w, do_forget, offset, length, 0) == 0 &&
			worker_do(w, do_resident, offset, length, 0) == 0);
}

/* ---- orders ---- */

static long errno_if(int failed)
{
	return failed ? -errno : 0;
}

long do_write(struct order *o)
{
	uint8_t *buf = malloc(o->length + PAGE);
	uint64_t at;
	ssize_t n;

	for (at = 0; at < o->length; at += PAGE)
		fill_page(buf + at, o->seed, (o->offset + at) / PAGE);
	n = pwrite(o->fd, buf, o->length, o->offset);
	at = errno;
	free(buf);
	return n < 0 ? -(long)at : n;
}

long do_store(struct order *o)
{
	uint64_t at;

	for (at = o->offset; at < o->offset + o->length; at += PAGE)
		fill_page(o->map + at, o->seed, at / PAGE);
	return 0;
}

static long read_wrong(struct order *o, bool zeros)
{
	uint8_t page[PAGE];
	long wrong = 0;
	uint64_t at;

	for (at = o->offset; at < o->offset + o->length; at += PAGE) {
		if (pread(o->fd, page, PAGE, at) != (ssize_t)PAGE)
			return -errno;
		wrong += zeros ? !page_is_zero(page) : !page_is(page, o->seed, at / PAGE);
	}
	return wrong;
}

long do_read(struct order *o)
{
	return read_wrong(o, false);
}

long do_read_zeros(struct order *o)
{
	return read_wrong(o, true);
}

static long map_wrong(struct order *o, bool zeros)
{
	long wrong = 0;
	uint64_t at;

	for (at = o->offset; at < o->offset + o->length; at += PAGE)
		wrong += zeros ? !page_is_zero(o->map + at) :
				 !page_is(o->map + at, o->seed, at / PAGE);
	return wrong;
}

long do_check(struct order *o)
{
	return map_wrong(o, false);
}

long do_check_zeros(struct order *o)
{
	return map_wrong(o, true);
}

long do_fsync(struct order *o)
{
	return errno_if(fsync(o->fd));
}

long do_msync(struct order *o)
{
	return errno_if(msync(o->map + o->offset, o->length, MS_SYNC));
}

long do_punch(struct order *o)
{
	return errno_if(fallocate(o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				  o->offset, o->length));
}

long do_forget(struct order *o)
{
	if (madvise(o->map + o->offset, o->length, MADV_DONTNEED))
		return -errno;
	return -posix_fadvise(o->fd, o->offset, o->length, POSIX_FADV_DONTNEED);
}

long do_resident(struct order *o)
{
	uint64_t i, nr = (o->length + PAGE - 1) / PAGE;
	unsigned char *vec = malloc(nr);
	long here = 0;

	if (mincore(o->map + o->offset, o->length, vec))
		here = -errno;
	for (i = 0; here >= 0 && i < nr; i++)
		here += vec[i] & 1;
	free(vec);
	return here;
}

static long touch(struct order *o, bool write)
{
	void *where = o->map;

	o->code = write ? try_write(o->map + o->offset, o->seed, &where) :
			  try_read(o->map + o->offset, &where);
	o->where = (uint8_t *)where - o->map;
	return 0;
}

long do_touch_read(struct order *o)
{
	return touch(o, false);
}

long do_touch_write(struct order *o)
{
	return touch(o, true);
}
