// SPDX-License-Identifier: GPL-2.0-only
/*
 * pagerd's jobs between a library and a store that are played here: the store
 * keeps operations until the test ends them, the library notes each answer.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../daemon/job.c"
#include "../../daemon/target.c"

#define OBJECT	7

/* ---- The library -------------------------------------------------------- */

struct extpager_req {
	uint64_t object, offset, length, wanted;
	bool zero;
	/* what came of it */
	uint64_t supplied, zeroed, failed, fetched;
	uint64_t first_supply;
	int error;
	bool ended;
	int refuse;		/* next supply or fetch returns this */
	/* what the kernel was told to read */
	unsigned int file;
	uint64_t pos;
	/* and to write */
	unsigned int written_to;
	int refuse_file;
	struct extpager_req *anew;	/* sent when it has been written */
};

static struct jobs jobs;

/* What is deferred, until it is submitted. */
static struct deferred {
	enum { FETCH, SUPPLY, RETURN_FILE } what;
	struct extpager_req *req;
	uint64_t offset;
	void *buf;
	size_t length;
	unsigned int file;
	int *result;
} deferred[256];
static unsigned int nr_deferred, nr_submitted;

static void defer(const struct deferred *d)
{
	assert_true(nr_deferred < 256);
	deferred[nr_deferred++] = *d;
	if (d->result)
		*d->result = -EINPROGRESS;
}

uint64_t extpager_req_object(const struct extpager_req *req) { return req->object; }
uint64_t extpager_req_offset(const struct extpager_req *req) { return req->offset; }
uint64_t extpager_req_length(const struct extpager_req *req) { return req->length; }
uint64_t extpager_req_wanted(const struct extpager_req *req) { return req->wanted; }
bool extpager_req_zero(const struct extpager_req *req) { return req->zero; }

static void answered(struct extpager_req *req)
{
	assert_false(req->ended);
	assert_true(req->supplied + req->zeroed + req->failed <= req->length);
	req->ended = req->supplied + req->zeroed + req->failed == req->length;
}

int extpager_supply(struct extpager_req *req, uint64_t offset, const void *buf, size_t length)
{
	assert_non_null(buf);
	assert_true(offset >= req->offset && offset + length <= req->offset + req->length);
	if (req->refuse == -EFAULT)
		return req->refuse;
	/* The store put the offset there. */
	assert_memory_equal(buf, &offset, sizeof(offset));
	if (!req->supplied)
		req->first_supply = offset;
	req->supplied += length;
	answered(req);
	return req->refuse;
}

int extpager_supply_zero(struct extpager_req *req, uint64_t offset, uint64_t length)
{
	(void)offset;
	req->zeroed += length;
	answered(req);
	return 0;
}

int extpager_supply_file(struct extpager_req *req, uint64_t offset, uint64_t length,
			 unsigned int file, uint64_t pos)
{
	if (req->refuse)
		return req->refuse;
	assert_int_equal(offset, req->offset);
	req->file = file;
	req->pos = pos;
	req->supplied += length;
	answered(req);
	return 0;
}

int extpager_return_file(struct extpager_req *req, unsigned int file, uint64_t pos)
{
	if (req->refuse_file)
		return req->refuse_file;
	assert_false(req->ended);
	req->ended = true;
	req->written_to = file;
	req->pos = pos;
	if (req->anew)
		job_data_return(&jobs, req->anew);
	return 0;
}

static unsigned int unregistered;
/* Held: the kernel is writing to the file. */
static pthread_mutex_t stuck = PTHREAD_MUTEX_INITIALIZER;
static int wake;

int extpager_unregister(struct extpager *p, unsigned int file)
{
	(void)p;
	pthread_mutex_lock(&stuck);
	unregistered = file;
	pthread_mutex_unlock(&stuck);
	return 0;
}

static struct extpager_delegation delegated;
static uint32_t delegated_in;
static uint64_t revoked;

int extpager_delegate(struct extpager *p, uint64_t object, uint32_t generation,
		      const struct extpager_delegation *ranges, size_t nr)
{
	(void)p;
	(void)object;
	assert_int_equal(nr, 1);
	delegated = *ranges;
	delegated_in = generation;
	return delegated.file == 6 ? -EOPNOTSUPP : 0;
}

int extpager_revoke(struct extpager *p, uint64_t object, uint32_t generation, uint64_t offset,
		    uint64_t length)
{
	(void)p;
	(void)object;
	assert_int_equal(generation, delegated_in);
	assert_int_equal(offset, 0);
	revoked = length;
	return 0;
}

int extpager_error(struct extpager_req *req, uint64_t offset, uint64_t length, int error)
{
	(void)offset;
	req->failed += length;
	req->error = error;
	answered(req);
	return 0;
}

int extpager_fetch(struct extpager_req *req, uint64_t offset, void *buf, size_t length)
{
	assert_false(req->ended);
	if (req->refuse)
		return req->refuse;
	memcpy(buf, &offset, sizeof(offset));
	req->fetched += length;
	return 0;
}

int extpager_return_done(struct extpager_req *req, int error)
{
	assert_false(req->ended);
	req->ended = true;
	req->error = error;
	return 0;
}

int extpager_sync_done(struct extpager_req *req, int error)
{
	return extpager_return_done(req, error);
}

int extpager_supply_deferred(struct extpager_req *req, uint64_t offset, const void *buf,
			     size_t length)
{
	defer(&(struct deferred){ .what = SUPPLY, .req = req, .offset = offset,
				  .buf = (void *)buf, .length = length });
	return 0;
}

int extpager_fetch_deferred(struct extpager_req *req, uint64_t offset, void *buf, size_t length,
			    int *result)
{
	defer(&(struct deferred){ .what = FETCH, .req = req, .offset = offset, .buf = buf,
				  .length = length, .result = result });
	return 0;
}

int extpager_return_file_deferred(struct extpager_req *req, unsigned int file, uint64_t pos,
				  int *result)
{
	defer(&(struct deferred){ .what = RETURN_FILE, .req = req, .offset = pos, .file = file,
				  .result = result });
	return 0;
}

static void submit(const struct deferred *d)
{
	int ret;

	switch (d->what) {
	case FETCH:
		*d->result = extpager_fetch(d->req, d->offset, d->buf, d->length);
		break;
	case RETURN_FILE:
		*d->result = extpager_return_file(d->req, d->file, d->offset);
		break;
	case SUPPLY:
		ret = extpager_supply(d->req, d->offset, d->buf, d->length);
		if (ret && ret != -ENOENT)
			extpager_error(d->req, d->offset, d->length, EIO);
		break;
	}
}

int extpager_submit(struct extpager *p, unsigned int queue)
{
	(void)p;
	assert_int_equal(queue, 3);
	nr_submitted += nr_deferred != 0;
	for (unsigned int i = 0; i < nr_deferred; i++)
		submit(&deferred[i]);
	nr_deferred = 0;
	return 0;
}

bool extpager_refused(int ret)
{
	return ret == -EBADF || ret == -EFAULT;
}

size_t extpager_page_size(const struct extpager *p)
{
	(void)p;
	return 4096;
}

/* ---- The store ----------------------------------------------------------- */

static struct store_io *held[256];
static unsigned int nr_held;
static bool at_once, as_zeros;
static uint64_t bad_offset;		/* at once: reads of this byte fail */
static uint64_t written;
static unsigned int nr_closed;

static void end_io(struct store_io *io, int error)
{
	if (io->op == STORE_READ)
		memcpy(io->buf, &io->offset, sizeof(io->offset));
	if (io->op == STORE_WRITE) {
		assert_memory_equal(io->buf, &io->offset, sizeof(io->offset));
		written += io->length;
	}
	io->data = as_zeros ? NULL : io->buf;
	store_done(io, error);
}

void engine_lend(struct engine *e, void *memory, size_t bytes)
{
	(void)e;
	(void)memory;
	(void)bytes;
}

void store_submit(struct store_io *io)
{
	if (at_once)
		end_io(io, io->offset <= bad_offset && bad_offset < io->offset + io->length ?
		       -ENODATA : 0);
	else
		held[nr_held++] = io;
}

void store_close(struct store *store)
{
	(void)store;
	nr_closed++;
}

/* As a queue's thread does in a round. */
static void settle(void)
{
	assert_int_equal(jobs_settle(&jobs), 0);
	assert_int_equal(extpager_submit(NULL, jobs.queue), 0);
}

/* End the oldest. */
static void release(int error)
{
	struct store_io *io = held[0];

	assert_true(nr_held > 0);
	memmove(held, held + 1, --nr_held * sizeof(held[0]));
	end_io(io, error);
	settle();
}

static void take(void (*job)(struct jobs *jobs, struct extpager_req *req),
		 struct extpager_req *req)
{
	job(&jobs, req);
	settle();
}

static unsigned int count(enum store_op op)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < nr_held; i++)
		n += held[i]->op == op;
	return n;
}

/* ---- Fixture -------------------------------------------------------------- */

static struct target *target;
static struct store store;

static int setup(void **state)
{
	(void)state;
	wake = target_table_init();
	assert_true(wake >= 0);
	assert_int_equal(jobs_init(&jobs, NULL, NULL, 3), 0);
	target = target_new("t", &store);
	target_table_lock();
	target_insert(target, OBJECT, 1 << 30);
	target_table_unlock();
	nr_held = 0;
	nr_closed = 0;
	written = 0;
	at_once = false;
	as_zeros = false;
	bad_offset = UINT64_MAX;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	/* All is given back: buffers, ranges, references. */
	assert_int_equal(nr_held, 0);
	assert_int_equal(nr_deferred, 0);
	for (struct piece *piece = STAILQ_FIRST(&jobs.supplied); piece;
	     piece = STAILQ_NEXT(piece, link))
		jobs.nr_free++;
	assert_int_equal(jobs.nr_free, PIECES);
	assert_true(LIST_EMPTY(&target->writes));
	assert_int_equal(atomic_load(&target->refs), 1);
	target_remove(target);
	target_reap();
	assert_int_equal(nr_closed, 1);
	jobs_exit(&jobs);
	close(wake_fd);
	return 0;
}

static struct extpager_req request(uint64_t offset, uint64_t length)
{
	return (struct extpager_req){
		.object = OBJECT, .offset = offset, .length = length, .wanted = UINT64_MAX,
	};
}

/* ---- Tests ---------------------------------------------------------------- */

static void small_request(void **state)
{
	struct extpager_req req = request(8192, 4096);

	(void)state;
	take(job_data_request, &req);
	assert_int_equal(nr_held, 1);
	assert_int_equal(held[0]->offset, 8192);
	assert_int_equal(held[0]->length, 4096);
	release(0);
	assert_true(req.ended);
	assert_int_equal(req.supplied, 4096);
}

/* A store that the kernel knows is read by it; what it refuses is for us to read. */
static void the_kernel_reads(void **state)
{
	struct store plain = { .block = 512, .is_plain = true, .start = 1 << 20 };
	struct target *t = target_new("p", &plain);
	struct extpager_req req = request(8192, 2 << 20);

	(void)state;
	t->file = 5;
	target_table_lock();
	target_insert(t, OBJECT + 1, 1 << 30);
	target_table_unlock();
	req.object = OBJECT + 1;
	take(job_data_request, &req);
	assert_int_equal(nr_held, 0);
	assert_true(req.ended);
	assert_int_equal(req.file, 5);
	assert_int_equal(req.pos, (1 << 20) + 8192);

	req = request(4096, 4096);
	req.object = OBJECT + 1;
	req.refuse = -EBADF;
	take(job_data_request, &req);
	assert_int_equal(nr_held, 1);
	req.refuse = 0;
	release(0);
	assert_true(req.ended);

	/* Too late is no refusal, nor is the port's end: the request is gone. */
	req = request(4096, 4096);
	req.object = OBJECT + 1;
	req.refuse = -ESHUTDOWN;
	take(job_data_request, &req);
	assert_int_equal(nr_held, 0);
	target_remove(t);
	target_reap();
	assert_int_equal(unregistered, 5);
	nr_closed = 0;
}

/* And what is dirty of it is written by it, if it goes in whole blocks. */
static void the_kernel_writes(void **state)
{
	struct store plain = { .block = 512, .is_plain = true, .start = 1 << 20 };
	struct target *t = target_new("p", &plain);
	struct extpager_req req = request(8192, 2 << 20), other = request(4096, 8192), again;

	(void)state;
	t->file = 5;
	t->write_file = 6;
	target_table_lock();
	target_insert(t, OBJECT + 1, 1 << 30);
	target_table_unlock();
	req.object = OBJECT + 1;
	take(job_data_return, &req);
	assert_int_equal(nr_held, 0);
	assert_true(req.ended);
	assert_int_equal(req.written_to, 6);
	assert_int_equal(req.pos, (1 << 20) + 8192);
	assert_true(LIST_EMPTY(&t->writes));

	/* Its pages may be dirty and returned anew, to any thread, before it was told so. */
	again = request(8192, 4096);
	again.object = OBJECT + 1;
	req = request(8192, 4096);
	req.object = OBJECT + 1;
	req.anew = &again;
	take(job_data_return, &req);
	assert_true(req.ended && again.ended);
	assert_int_equal(again.error, 0);
	assert_int_equal(again.written_to, 6);

	/* What it refuses is for us to write. */
	req = request(8192, 4096);
	req.object = OBJECT + 1;
	req.refuse_file = -EBADF;
	take(job_data_return, &req);
	assert_int_equal(count(STORE_WRITE), 1);
	release(0);
	assert_true(req.ended);
	assert_int_equal(req.fetched, 4096);

	/* So is the end inside a block, and a hole. */
	req = request(8192, 4100);
	req.object = OBJECT + 1;
	take(job_data_return, &req);
	assert_int_equal(count(STORE_WRITE), 1);
	/* Not beside a write of ours that the kernel has given up. */
	other.object = OBJECT + 1;
	take(job_data_return, &other);
	assert_true(other.ended);
	assert_int_equal(other.error, ETIMEDOUT);
	assert_int_equal(other.written_to, 0);
	release(0);
	assert_true(req.ended);
	assert_int_equal(req.error, 0);
	req = request(8192, 4096);
	req.object = OBJECT + 1;
	req.zero = true;
	take(job_data_return, &req);
	assert_int_equal(count(STORE_WRITE_ZEROS), 1);
	release(0);
	assert_true(req.ended);

	/* Too late is no refusal: the request is gone. */
	req = request(4096, 4096);
	req.object = OBJECT + 1;
	req.refuse_file = -ENOENT;
	take(job_data_return, &req);
	assert_int_equal(nr_held, 0);
	assert_int_equal(req.fetched, 0);
	/* A store that it is writing to keeps nobody waiting, and is closed afterwards. */
	pthread_mutex_lock(&stuck);
	target_remove(t);
	target_reap();
	assert_int_equal(nr_closed, 0);
	pthread_mutex_unlock(&stuck);
	assert_true(poll(&(struct pollfd){ wake, POLLIN, 0 }, 1, 10000) == 1);
	target_reap();
	assert_int_equal(nr_closed, 1);
	nr_closed = 0;
}

/* A device is handed over, as far as it can be; what the kernel refuses is not taken back. */
static void a_device_is_handed_over(void **state)
{
	struct store device = { .block = 512, .is_plain = true, .is_device = true, .start = 4096 };
	struct target *t = target_new("d", &device);

	(void)state;
	target_hand_over(t, 1);
	assert_int_equal(delegated_in, 0);
	t->delegable = 1 << 20;
	t->file = 5;
	target_hand_over(t, 7);
	assert_int_equal(delegated_in, 7);
	assert_int_equal(delegated.offset, 0);
	assert_int_equal(delegated.length, 1 << 20);
	assert_int_equal(delegated.pos, 4096);
	assert_int_equal(delegated.file, 5);
	assert_int_equal(delegated.flags, 0);
	target_take_back(t);
	assert_int_equal(revoked, 1 << 20);
	revoked = 0;
	target_take_back(t);
	device.read_only = true;
	t->file = 6;
	target_hand_over(t, 8);
	assert_int_equal(delegated.flags, EXTPAGER_DELEGATE_RDONLY);
	target_take_back(t);
	assert_int_equal(revoked, 0);
	t->file = 0;
	target_put(t);
	target_reap();
	nr_closed = 0;
}

static void wanted_piece_comes_first(void **state)
{
	(void)state;
	for (unsigned int piece = 0; piece < 8; piece++) {
		struct extpager_req req = request(4096, (2 << 20) - 100);

		req.wanted = piece * PIECE_BYTES + 8192;
		take(job_data_request, &req);
		/* They begin at multiples of their size, all but the first. */
		assert_int_equal(nr_held, 9);
		while (nr_held)
			release(0);
		assert_true(req.ended);
		assert_int_equal(req.supplied, req.length);
		assert_int_equal(req.first_supply, piece ? piece * PIECE_BYTES : 4096);
	}
}

static void zeros_need_no_copy(void **state)
{
	struct extpager_req req = request(0, 2 << 20);

	(void)state;
	at_once = true;
	as_zeros = true;
	take(job_data_request, &req);
	assert_int_equal(req.zeroed, 2 << 20);
	assert_true(req.ended);
}

static void a_part_fails(void **state)
{
	struct extpager_req req = request(0, PIECE_BYTES * 2);

	(void)state;
	take(job_data_request, &req);
	release(-ETIMEDOUT);
	assert_int_equal(req.error, ETIMEDOUT);
	assert_int_equal(req.failed, PIECE_BYTES);
	release(0);
	assert_true(req.ended);
	assert_int_equal(req.supplied, PIECE_BYTES);
	assert_int_equal(target_trouble(target).count, 1);
	assert_int_equal(target_trouble(target).count, 0);
}

/* Not its neighbours, which readahead asked for. */
static void one_page_is_bad(void **state)
{
	struct extpager_req req = request(4096, PIECE_BYTES * 2 - 100);
	struct extpager_req held_back = request(0, 8192);

	(void)state;
	at_once = true;
	bad_offset = PIECE_BYTES;
	take(job_data_request, &req);
	assert_true(req.ended);
	assert_int_equal(req.error, ENODATA);
	assert_int_equal(req.failed, 4096);
	assert_int_equal(req.supplied, req.length - 4096);
	assert_int_equal(target_trouble(target).count, 1);

	at_once = false;
	take(job_data_request, &held_back);
	release(-EIO);
	assert_int_equal(nr_held, 1);
	release(-EILSEQ);
	assert_int_equal(held_back.error, EBADMSG);
	assert_int_equal(nr_held, 1);
	release(0);
	assert_true(held_back.ended);
	assert_int_equal(held_back.supplied, 4096);
	target_trouble(target);
}

static void supplies_that_come_too_late(void **state)
{
	struct extpager_req req = request(0, PIECE_BYTES * 2), refused = req;

	(void)state;
	req.refuse = -ENOENT;
	take(job_data_request, &req);
	release(0);
	release(0);
	assert_true(req.ended);
	/* Refused: the answer is an error then. */
	refused.refuse = -EFAULT;
	take(job_data_request, &refused);
	release(0);
	release(0);
	assert_true(refused.ended);
	assert_int_equal(refused.error, EIO);
}

static void returns(void **state)
{
	struct extpager_req req = request(4096, (1 << 20) + 1);

	(void)state;
	take(job_data_return, &req);
	assert_int_equal(nr_held, 5);
	while (nr_held > 1)
		release(0);
	/* Not before the last write is done. */
	assert_false(req.ended);
	release(0);
	assert_true(req.ended);
	assert_int_equal(req.error, 0);
	assert_int_equal(written, req.length);
}

/* However many there are, as long as there are buffers. */
static void many_are_one_system_call(void **state)
{
	enum { N = PIECES - PIECES / 4 };
	struct extpager_req out[N], in[N];

	(void)state;
	nr_submitted = 0;
	for (unsigned int i = 0; i < N; i++) {
		out[i] = request(i * 8192ULL, 4096);
		job_data_return(&jobs, &out[i]);
	}
	assert_int_equal(nr_held, 0);
	settle();
	assert_int_equal(nr_held, N);
	assert_int_equal(nr_submitted, 1);
	while (nr_held)
		release(0);
	assert_true(out[N - 1].ended);
	nr_submitted = 0;
	for (unsigned int i = 0; i < N; i++) {
		in[i] = request(i * 8192ULL, 4096);
		job_data_request(&jobs, &in[i]);
	}
	while (nr_held) {
		struct store_io *io = held[--nr_held];

		end_io(io, 0);
	}
	assert_int_equal(nr_submitted, 0);
	settle();
	assert_int_equal(nr_submitted, 1);
	for (unsigned int i = 0; i < N; i++)
		assert_true(in[i].ended);
}

/* A buffer that the kernel has not read from yet is not for others. */
static void what_is_supplied_later_stays(void **state)
{
	enum { N = 2 * PIECES };
	struct extpager_req in[N];

	(void)state;
	at_once = true;
	for (unsigned int i = 0; i < N; i++) {
		in[i] = request(i * 8192ULL, 4096);
		/* Supplying looks whether the bytes are those that were read. */
		job_data_request(&jobs, &in[i]);
	}
	assert_true(jobs.nr_free < PIECES / 2);
	settle();
	for (unsigned int i = 0; i < N; i++)
		assert_int_equal(in[i].supplied, 4096);
}

static void a_return_fails_once(void **state)
{
	struct extpager_req req = request(0, 2 << 20);

	(void)state;
	take(job_data_return, &req);
	release(-ENOSPC);
	while (nr_held)
		release(-EIO);
	assert_true(req.ended);
	assert_int_equal(req.error, ENOSPC);
	assert_int_equal(target_trouble(target).count, 1);
}

static void a_return_is_withdrawn(void **state)
{
	struct extpager_req req = request(0, 2 << 20);

	(void)state;
	req.refuse = -ENOENT;
	take(job_data_return, &req);
	assert_int_equal(nr_held, 0);
	assert_true(req.ended);
}

/* The kernel has given it up, and sends it anew before anybody here was told. */
static void one_that_is_over_is_in_nobodys_way(void **state)
{
	struct extpager_req old = request(4096, 4096), new = old;

	(void)state;
	old.refuse = -ENOENT;
	job_data_return(&jobs, &old);
	job_data_return(&jobs, &new);
	settle();
	assert_true(old.ended);
	assert_int_equal(nr_held, 1);
	release(0);
	assert_true(new.ended);
	assert_int_equal(new.error, 0);
	assert_false(target_trouble(target).overlap);
}

static void zero_returns(void **state)
{
	struct extpager_req req = request(4096, 1ULL << 40);

	(void)state;
	req.zero = true;
	take(job_data_return, &req);
	assert_int_equal(count(STORE_WRITE_ZEROS), 1);
	assert_int_equal(held[0]->length, 1ULL << 40);
	release(-EROFS);
	assert_int_equal(req.error, EROFS);
	assert_int_equal(req.fetched, 0);
	target_trouble(target);
}

static void overlapping_returns(void **state)
{
	struct extpager_req a = request(0, 8192);
	struct extpager_req b = request(4096, 4096);
	struct extpager_req c = request(8192, 4096);

	(void)state;
	take(job_data_return, &a);
	/* Sent anew while the first is still being written: to be sent later. */
	take(job_data_return, &b);
	assert_true(b.ended);
	assert_int_equal(b.error, ETIMEDOUT);
	assert_true(target_trouble(target).overlap);
	take(job_data_return, &c);
	assert_int_equal(nr_held, 2);
	release(0);
	release(0);
	b = request(4096, 4096);
	take(job_data_return, &b);
	release(0);
	assert_int_equal(b.error, 0);
}

static void syncs(void **state)
{
	struct extpager_req req = request(0, 1 << 20);

	(void)state;
	take(job_sync, &req);
	assert_int_equal(count(STORE_FLUSH), 1);
	release(-EIO);
	assert_int_equal(req.error, EIO);
	target_trouble(target);
}

static void unknown_objects(void **state)
{
	struct extpager_req req = request(0, 4096), ret = req, sync = req;

	(void)state;
	req.object = OBJECT + 256;
	ret.object = OBJECT + 256;
	sync.object = OBJECT + 256;
	take(job_data_request, &req);
	take(job_data_return, &ret);
	take(job_sync, &sync);
	assert_true(req.ended && ret.ended && sync.ended);
	assert_true(req.error == EIO && ret.error == EIO && sync.error == EIO);
}

/* Page-outs pass page-ins that wait for buffers, and the other way round. */
static void classes(void **state)
{
	enum { N = 64 };
	struct extpager_req in[N], out[N];
	unsigned int i;

	(void)state;
	for (i = 0; i < N; i++) {
		in[i] = request((uint64_t)i << 21, 2 << 20);
		take(job_data_request, &in[i]);
	}
	assert_int_equal(count(STORE_READ), PIECES - leave[CLASS_REQUEST]);
	for (i = 0; i < N; i++) {
		out[i] = request((uint64_t)(i + N) << 21, 2 << 20);
		take(job_data_return, &out[i]);
	}
	assert_int_equal(count(STORE_WRITE), leave[CLASS_REQUEST] - leave[CLASS_RETURN]);
	assert_int_equal(jobs.nr_free, leave[CLASS_RETURN]);
	/* What the reads give back goes to the returns first. */
	for (i = 0; i < PIECES; i++) {
		unsigned int writes = count(STORE_WRITE);

		if (held[0]->op != STORE_READ)
			break;
		release(0);
		assert_int_equal(count(STORE_WRITE), writes + 1);
	}
	while (nr_held)
		release(0);
	for (i = 0; i < N; i++) {
		assert_true(in[i].ended);
		assert_true(out[i].ended);
		assert_int_equal(in[i].supplied, 2 << 20);
		assert_int_equal(out[i].error, 0);
	}
	assert_int_equal(written, (uint64_t)N << 21);
}

/* A target that goes while requests are out is closed by the last of them. */
static void target_goes_first(void **state)
{
	struct store other = { .block = 1 };
	struct extpager_req req = request(0, 4096);
	struct target *t = target_new("o", &other);

	(void)state;
	target_table_lock();
	target_insert(t, OBJECT + 1, 4096);
	target_table_unlock();
	req.object = OBJECT + 1;
	take(job_data_request, &req);
	target_remove(t);
	target_reap();
	assert_int_equal(nr_closed, 0);
	assert_null(target_find(OBJECT + 1));
	release(0);
	target_reap();
	assert_int_equal(nr_closed, 1);
	nr_closed = 0;
}

int main(void)
{
#define TEST(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(small_request),
		TEST(the_kernel_reads),
		TEST(the_kernel_writes),
		TEST(a_device_is_handed_over),
		TEST(wanted_piece_comes_first),
		TEST(zeros_need_no_copy),
		TEST(a_part_fails),
		TEST(one_page_is_bad),
		TEST(supplies_that_come_too_late),
		TEST(returns),
		TEST(many_are_one_system_call),
		TEST(what_is_supplied_later_stays),
		TEST(a_return_fails_once),
		TEST(a_return_is_withdrawn),
		TEST(one_that_is_over_is_in_nobodys_way),
		TEST(zero_returns),
		TEST(overlapping_returns),
		TEST(syncs),
		TEST(unknown_objects),
		TEST(classes),
		TEST(target_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
