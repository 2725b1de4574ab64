// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Answers: in parts, twice, refused, too late, deferred, more than the ring
 * holds, and from many threads.
 */
#include <stdatomic.h>

#include "fake-kernel.h"

#define PAGES(n)	((uint64_t)(n) * FAKE_PAGE)

static struct extpager *port;
#define KEPT	4
static struct extpager_req *req, *kept[KEPT];	/* the last one, and those before */
static unsigned int nr_kept;
static char content[PAGES(64)];

static void keep(struct extpager *p, struct extpager_req *r, void *user)
{
	(void)p;
	(void)user;
	req = r;
	kept[nr_kept++ % KEPT] = r;
}

static const struct extpager_ops keep_ops = {
	.size = sizeof(keep_ops),
	.init = keep,
	.data_request = keep,
	.data_return = keep,
	.sync = keep,
};

static void open_port(const struct extpager_ops *ops, unsigned int entries, void *user)
{
	const struct extpager_params params = {
		.size = sizeof(params),
		.nr_queues = 1,
		.ring_entries = entries,
	};

	assert_int_equal(extpager_open(&port, &params, ops, user), 0);
}

/* A request that the callback has left to be answered; *req is it. */
static void ask(unsigned int op, uint64_t offset, uint64_t length)
{
	static uint64_t tag;

	fake_post_op(0, op, ++tag, offset, length);
	assert_int_equal(extpager_dispatch(port, 0, 0), 1);
	fake.nr_taken = 0;
	fake.nr_enter = 0;
}

/* The pool gives what was freed last: a request that has ended comes again. */
static void assert_ended(struct extpager_req *old)
{
	ask(EXTPAGER_EV_SYNC, 0, 4096);
	assert_ptr_equal(req, old);
	assert_int_equal(extpager_sync_done(req, 0), 0);
}

static void assert_not_ended(struct extpager_req *old)
{
	ask(EXTPAGER_EV_SYNC, 0, 4096);
	assert_ptr_not_equal(req, old);
	assert_int_equal(extpager_sync_done(req, 0), 0);
}

static void in_parts(void **state)
{
	struct extpager_req *r;

	(void)state;
	open_port(&keep_ops, 8, NULL);
	/* The last page is the object's last and not whole. */
	ask(EXTPAGER_EV_DATA_REQUEST, PAGES(10), PAGES(100) + 100);
	r = req;
	assert_int_equal(extpager_supply(r, PAGES(12), content, PAGES(20)), 0);
	assert_int_equal(fake.taken[0].op, EXTPAGER_RE_SUPPLY);
	assert_int_equal(fake.taken[0].offset, PAGES(12));
	assert_int_equal(fake.taken[0].length, PAGES(20));
	assert_int_equal(fake.taken[0].addr, (uintptr_t)content);
	assert_int_equal(extpager_error(r, PAGES(10), PAGES(2), EBADMSG), 0);
	assert_int_equal(fake.taken[1].error, EBADMSG);
	assert_int_equal(extpager_supply_zero(r, PAGES(32), PAGES(78)), 0);
	assert_int_equal(fake.nr_taken, 3);
	assert_int_equal(fake.nr_enter, 3);
	assert_not_ended(r);
	assert_int_equal(extpager_supply(r, PAGES(110), content, 100), 0);
	assert_ended(r);
	extpager_close(port);
}

static void twice(void **state)
{
	struct extpager_req *r;

	(void)state;
	open_port(&keep_ops, 8, NULL);
	ask(EXTPAGER_EV_DATA_REQUEST, 0, PAGES(4));
	r = req;
	assert_int_equal(extpager_supply(r, 0, content, PAGES(2)), 0);
	assert_int_equal(extpager_supply(r, 0, content, PAGES(2)), -ENOENT);
	assert_int_equal(extpager_error(r, PAGES(1), PAGES(1), EIO), -ENOENT);
	assert_int_equal(fake.nr_taken, 1);
	/* Overlapping is the kernel's to judge; what was answered counts once. */
	assert_int_equal(extpager_supply(r, PAGES(1), content, PAGES(2)), 0);
	assert_not_ended(r);
	assert_int_equal(extpager_supply(r, PAGES(3), content, PAGES(1)), 0);
	/* Not allowed, and found out as long as the memory is not reused. */
	assert_int_equal(extpager_supply(r, PAGES(3), content, PAGES(1)), -ENOENT);
	assert_int_equal(extpager_sync_done(r, 0), -ENOENT);
	assert_ended(r);
	extpager_close(port);
}

static void bad_arguments(void **state)
{
	struct extpager_req *r;

	(void)state;
	open_port(&keep_ops, 8, NULL);
	ask(EXTPAGER_EV_DATA_REQUEST, PAGES(4), PAGES(4));
	r = req;
	assert_int_equal(extpager_supply(r, PAGES(4), content, 0), -EINVAL);
	assert_int_equal(extpager_supply(r, PAGES(4) + 1, content, PAGES(1)), -EINVAL);
	assert_int_equal(extpager_supply(r, PAGES(4), content, 100), -EINVAL);
	assert_int_equal(extpager_supply(r, PAGES(3), content, PAGES(1)), -ERANGE);
	assert_int_equal(extpager_supply(r, PAGES(8), content, PAGES(1)), -ERANGE);
	assert_int_equal(extpager_supply(r, PAGES(7), content, PAGES(2)), -ERANGE);
	assert_int_equal(extpager_supply_zero(r, PAGES(4), UINT64_MAX), -ERANGE);
	assert_int_equal(extpager_error(r, PAGES(4), PAGES(4), 0), -EINVAL);
	assert_int_equal(extpager_error(r, PAGES(4), PAGES(4), -EIO), -EINVAL);
	assert_int_equal(extpager_ready(r, 0, 0), -EINVAL);
	assert_int_equal(extpager_return_done(r, 0), -EINVAL);
	assert_int_equal(extpager_sync_done(r, -1), -EINVAL);
	assert_int_equal(extpager_fetch(r, PAGES(4), content, 1), -EINVAL);
	assert_int_equal(fake.nr_enter, 0);
	assert_not_ended(r);
	/* An errno that the protocol has not is sent as EIO. */
	assert_int_equal(extpager_error(r, PAGES(4), PAGES(4), EPIPE), 0);
	assert_int_equal(fake.taken[fake.nr_taken - 1].error, EIO);
	assert_ended(r);
	extpager_close(port);
}

static int verdict;
static uint32_t verdict_done;

static void judge(struct extpager_reply *reply)
{
	reply->out_result = verdict;
	if (verdict)
		reply->out_done = verdict_done;
	verdict = 0;
	verdict_done = 0;
}

static void refused(void **state)
{
	struct extpager_req *r;

	(void)state;
	open_port(&keep_ops, 8, NULL);
	fake.judge = judge;
	ask(EXTPAGER_EV_DATA_REQUEST, 0, PAGES(4));
	r = req;
	verdict = -EFAULT;
	verdict_done = PAGES(3);
	assert_int_equal(extpager_supply(r, 0, content, PAGES(4)), -EFAULT);
	assert_not_ended(r);
	assert_int_equal(extpager_error(r, PAGES(3), PAGES(1), EIO), 0);
	assert_ended(r);

	ask(EXTPAGER_EV_DATA_RETURN, 0, PAGES(4));
	r = req;
	verdict = -EINVAL;
	assert_int_equal(extpager_return_done(r, 0), -EINVAL);
	assert_not_ended(r);
	assert_int_equal(extpager_return_done(r, 0), 0);
	assert_ended(r);
	extpager_close(port);
}

static void too_late(void **state)
{
	struct extpager_req *r;

	(void)state;
	open_port(&keep_ops, 8, NULL);
	fake.judge = judge;
	ask(EXTPAGER_EV_DATA_REQUEST, 0, PAGES(4));
	r = req;
	verdict = -ENOENT;
	assert_int_equal(extpager_supply(r, 0, content, PAGES(1)), -ENOENT);
	/* Others may be answering parts: the request stays until they have. */
	assert_not_ended(r);
	fake.nr_taken = 0;
	assert_int_equal(extpager_supply(r, PAGES(2), content, PAGES(2)), -ENOENT);
	assert_int_equal(extpager_error(r, PAGES(1), PAGES(1), EIO), -ENOENT);
	assert_int_equal(fake.nr_taken, 0);
	assert_ended(r);

	ask(EXTPAGER_EV_DATA_REQUEST, 0, PAGES(4));
	r = req;
	verdict = -ESTALE;
	assert_int_equal(extpager_supply(r, 0, content, PAGES(1)), -ESTALE);
	extpager_req_drop(r);
	assert_ended(r);

	ask(EXTPAGER_EV_SYNC, 0, PAGES(4));
	r = req;
	verdict = -ENOENT;
	assert_int_equal(extpager_sync_done(r, EIO), -ENOENT);
	assert_ended(r);
	extpager_close(port);
}

static void a_return_is_fetched_and_then_done(void **state)
{
	struct extpager_req *r;
	char buf[512];

	(void)state;
	open_port(&keep_ops, 8, NULL);
	fake.judge = judge;
	ask(EXTPAGER_EV_DATA_RETURN, PAGES(8), PAGES(4));
	r = req;
	assert_int_equal(extpager_fetch(r, PAGES(8) + 100, buf, sizeof(buf)), 0);
	assert_int_equal(extpager_fetch(r, PAGES(8) + 100, buf, sizeof(buf)), 0);
	assert_int_equal(fake.taken[1].op, EXTPAGER_RE_RETURN_FETCH);
	assert_int_equal(fake.taken[1].offset, PAGES(8) + 100);
	assert_int_equal(fake.taken[1].length, sizeof(buf));
	assert_int_equal(fake.taken[1].addr, (uintptr_t)buf);
	verdict = -ENOENT;
	assert_int_equal(extpager_fetch(r, PAGES(8), buf, sizeof(buf)), -ENOENT);
	assert_not_ended(r);
	assert_int_equal(extpager_return_done(r, 0), -ENOENT);
	assert_ended(r);
	extpager_close(port);
}

static void an_interrupted_enter_is_repeated(void **state)
{
	(void)state;
	open_port(&keep_ops, 8, NULL);
	ask(EXTPAGER_EV_SYNC, 0, PAGES(4));
	fake.interrupt = 3;
	assert_int_equal(extpager_sync_done(req, 0), 0);
	assert_int_equal(fake.nr_enter, 4);
	assert_int_equal(fake.nr_taken, 1);
	extpager_close(port);
}

static void supply_deferred(struct extpager *p, struct extpager_req *r, void *user)
{
	uint64_t offset = extpager_req_offset(r);
	unsigned int before = fake.nr_taken;

	(void)p;
	(void)user;
	assert_int_equal(extpager_supply_deferred(r, offset, content, PAGES(4)), 0);
	assert_int_equal(fake.nr_taken, before);
}

static const struct extpager_ops deferring_ops = {
	.size = sizeof(deferring_ops),
	.data_request = supply_deferred,
};

static void deferred(void **state)
{
	(void)state;
	open_port(&deferring_ops, 8, NULL);
	for (int i = 0; i < 8; i++)
		fake_post_op(0, EXTPAGER_EV_DATA_REQUEST, i + 1, PAGES(8 * i), PAGES(4));
	assert_int_equal(extpager_dispatch(port, 0, -1), 8);
	assert_int_equal(fake.nr_taken, 8);
	assert_int_equal(fake.nr_enter, 1);
	for (int i = 0; i < 8; i++)
		assert_int_equal(fake.taken[i].tag, i + 1);
	extpager_close(port);
}

static void refuse_some(struct extpager_reply *reply)
{
	if (reply->op != EXTPAGER_RE_SUPPLY)
		return;
	reply->out_result = reply->tag == 1 ? -EFAULT : reply->tag == 2 ? -ENOENT : 0;
	reply->out_done = reply->out_result ? PAGES(1) : reply->length;
}

static void a_deferred_supply_that_is_refused_fails(void **state)
{
	(void)state;
	open_port(&deferring_ops, 8, NULL);
	fake.judge = refuse_some;
	for (int i = 0; i < 3; i++)
		fake_post_op(0, EXTPAGER_EV_DATA_REQUEST, i + 1, PAGES(8 * i), PAGES(4));
	assert_int_equal(extpager_dispatch(port, 0, -1), 3);
	/* Only the rest of the one that could not be read, and only once. */
	assert_int_equal(fake.nr_taken, 4);
	assert_int_equal(fake.taken[3].op, EXTPAGER_RE_ERROR);
	assert_int_equal(fake.taken[3].tag, 1);
	assert_int_equal(fake.taken[3].error, EIO);
	assert_int_equal(fake.taken[3].offset, PAGES(1));
	assert_int_equal(fake.taken[3].length, PAGES(3));
	extpager_close(port);
}

static void supply_file(struct extpager *p, struct extpager_req *r, void *user)
{
	uint64_t offset = extpager_req_offset(r);

	(void)p;
	(void)user;
	assert_int_equal(extpager_supply_file(r, offset, PAGES(1), 6, 1000), 0);
	assert_int_equal(extpager_supply_file(r, offset + PAGES(1), PAGES(3), 7, offset), 0);
}

static void refuse_the_file(struct extpager_reply *reply)
{
	reply->out_result = reply->op == EXTPAGER_RE_SUPPLY && reply->file == 7 ? -EBADF : 0;
	reply->out_done = reply->out_result ? 0 : reply->length;
}

static void a_file_is_named_and_its_refusal_fails(void **state)
{
	const struct extpager_ops ops = { .size = sizeof(ops), .data_request = supply_file };

	(void)state;
	open_port(&ops, 8, NULL);
	fake.judge = refuse_the_file;
	fake_post_op(0, EXTPAGER_EV_DATA_REQUEST, 1, PAGES(8), PAGES(4));
	assert_int_equal(extpager_dispatch(port, 0, -1), 1);
	assert_int_equal(fake.nr_taken, 3);
	assert_int_equal(fake.taken[0].op, EXTPAGER_RE_SUPPLY);
	assert_int_equal(fake.taken[0].flags, EXTPAGER_REF_FILE);
	assert_int_equal(fake.taken[0].file, 6);
	assert_int_equal(fake.taken[0].addr, 1000);
	assert_int_equal(fake.taken[0].length, PAGES(1));
	assert_int_equal(fake.taken[2].op, EXTPAGER_RE_ERROR);
	assert_int_equal(fake.taken[2].file, 0);
	assert_int_equal(fake.taken[2].offset, PAGES(9));
	assert_int_equal(fake.taken[2].length, PAGES(3));
	extpager_close(port);

	/* Outside a callback the caller is told, and has another try. */
	open_port(&keep_ops, 8, NULL);
	ask(EXTPAGER_EV_DATA_REQUEST, 0, PAGES(4));
	assert_int_equal(extpager_supply_file(req, 0, PAGES(4), 7, 0), -EBADF);
	assert_int_equal(extpager_supply_file(req, 0, PAGES(4), 6, 0), 0);
	extpager_close(port);
}

static void return_to_file(struct extpager *p, struct extpager_req *r, void *user)
{
	(void)p;
	(void)user;
	/* At once, so that it can be told: inside a callback, too. */
	assert_int_equal(extpager_return_file(r, 7, 512), -EBADF);
	assert_int_equal(extpager_return_file(r, 6, 1000), 0);
}

static void refuse_to_write(struct extpager_reply *reply)
{
	reply->out_result = reply->op == EXTPAGER_RE_RETURN_DONE && reply->file == 7 ? -EBADF : 0;
}

static void a_return_is_for_the_kernel_to_write(void **state)
{
	const struct extpager_ops ops = { .size = sizeof(ops), .data_return = return_to_file };

	(void)state;
	open_port(&ops, 8, NULL);
	fake.judge = refuse_to_write;
	fake_post_op(0, EXTPAGER_EV_DATA_RETURN, 1, PAGES(8), PAGES(4));
	assert_int_equal(extpager_dispatch(port, 0, -1), 1);
	assert_int_equal(fake.nr_taken, 2);
	assert_int_equal(fake.taken[1].op, EXTPAGER_RE_RETURN_DONE);
	assert_int_equal(fake.taken[1].flags, EXTPAGER_REF_FILE);
	assert_int_equal(fake.taken[1].file, 6);
	assert_int_equal(fake.taken[1].addr, 1000);
	assert_int_equal(fake.taken[1].offset, PAGES(8));
	assert_int_equal(fake.taken[1].length, PAGES(4));
	extpager_close(port);

	open_port(&keep_ops, 8, NULL);
	ask(EXTPAGER_EV_DATA_REQUEST, 0, PAGES(4));
	assert_int_equal(extpager_return_file(req, 6, 0), -EINVAL);
	extpager_close(port);
}

static void judge_fetches(struct extpager_reply *reply)
{
	reply->out_result = reply->op == EXTPAGER_RE_RETURN_FETCH ? -EFAULT : 0;
}

static void fetches_are_one_system_call(void **state)
{
	struct extpager_req *r;
	int result[3] = { 1, 1, 1 };
	char buf[3][512];

	(void)state;
	open_port(&keep_ops, 8, NULL);
	fake.judge = judge;
	ask(EXTPAGER_EV_DATA_RETURN, PAGES(8), PAGES(4));
	r = req;
	verdict = -EFAULT;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(extpager_fetch_deferred(r, PAGES(8) + i, buf[i], 512,
							 &result[i]), 0);
		assert_int_equal(result[i], -EINPROGRESS);
	}
	assert_int_equal(fake.nr_enter, 0);
	assert_int_equal(extpager_submit(port, 0), 0);
	assert_int_equal(fake.nr_enter, 1);
	assert_int_equal(fake.nr_taken, 3);
	assert_int_equal(fake.taken[2].op, EXTPAGER_RE_RETURN_FETCH);
	assert_int_equal(fake.taken[2].offset, PAGES(8) + 2);
	assert_int_equal(fake.taken[2].length, 512);
	assert_int_equal(fake.taken[2].addr, (uintptr_t)buf[2]);
	assert_int_equal(result[0], -EFAULT);
	assert_int_equal(result[1] | result[2], 0);
	assert_not_ended(r);
	assert_int_equal(extpager_return_done(r, 0), 0);
	assert_ended(r);
	/* Whose outcome is told is told nothing later. */
	result[0] = 1;
	assert_int_equal(extpager_submit(port, 0), 0);
	assert_int_equal(result[0], 1);

	ask(EXTPAGER_EV_DATA_REQUEST, 0, PAGES(4));
	assert_int_equal(extpager_fetch_deferred(req, 0, buf[0], 512, &result[0]), -EINVAL);
	extpager_req_drop(req);
	ask(EXTPAGER_EV_DATA_RETURN, 0, PAGES(4));
	assert_int_equal(extpager_fetch_deferred(req, 0, buf[0], 512, NULL), -EINVAL);
	verdict = -ENOENT;
	assert_int_equal(extpager_fetch(req, 0, buf[0], 512), -ENOENT);
	assert_int_equal(extpager_fetch_deferred(req, 0, buf[0], 512, &result[0]), -ENOENT);
	extpager_close(port);
}

/* Another thread's system call took it. */
static void an_outcome_is_told_whoever_submits(void **state)
{
	struct extpager_enter enter = { .size = sizeof(enter), .to_submit = 1 };
	char buf[512];
	int result;

	(void)state;
	open_port(&keep_ops, 8, NULL);
	fake.judge = judge;
	ask(EXTPAGER_EV_DATA_RETURN, 0, PAGES(4));
	verdict = -ESTALE;
	assert_int_equal(extpager_fetch_deferred(req, 0, buf, 512, &result), 0);
	assert_int_equal(fake_enter(&enter), 1);
	assert_int_equal(extpager_submit(port, 0), 0);
	assert_int_equal(result, -ESTALE);
	extpager_close(port);
}

/* The kernel takes an entry between two looks of who wants it for a reply of his own. */
static void *take_one_by_one(void *stop)
{
	struct extpager_enter enter = { .size = sizeof(enter), .to_submit = 1 };

	while (!atomic_load((atomic_bool *)stop))
		fake_enter(&enter);
	return NULL;
}

static void no_outcome_is_overwritten(void **state)
{
	enum { ROUNDS = 2000000 };
	static int result[ROUNDS];
	atomic_bool stop = false;
	pthread_t other;
	char buf[16];

	(void)state;
	open_port(&keep_ops, 4, NULL);
	ask(EXTPAGER_EV_DATA_RETURN, 0, PAGES(4));
	fake.judge = judge_fetches;
	assert_int_equal(pthread_create(&other, NULL, take_one_by_one, &stop), 0);
	for (int i = 0; i < ROUNDS; i++)
		assert_int_equal(extpager_fetch_deferred(req, 0, buf, sizeof(buf), &result[i]), 0);
	assert_int_equal(extpager_submit(port, 0), 0);
	atomic_store(&stop, true);
	pthread_join(other, NULL);
	for (int i = 0; i < ROUNDS; i++)
		assert_int_equal(result[i], -EFAULT);
	extpager_close(port);
}

static void returns_by_file_are_one_system_call(void **state)
{
	struct extpager_req *r[3];
	int result[3];

	(void)state;
	open_port(&keep_ops, 8, NULL);
	fake.judge = judge;
	for (int i = 0; i < 3; i++)
		fake_post_op(0, EXTPAGER_EV_DATA_RETURN, i + 1, PAGES(8 * i), PAGES(4));
	assert_int_equal(extpager_dispatch(port, 0, 0), 3);
	for (int i = 0; i < 3; i++) {
		r[i] = kept[(nr_kept - 3 + i) % KEPT];
		assert_int_equal(extpager_req_offset(r[i]), PAGES(8 * i));
		assert_int_equal(extpager_return_file_deferred(r[i], 6, 1000, &result[i]), 0);
	}
	fake.nr_enter = 0;
	verdict = -EBADF;
	assert_int_equal(extpager_submit(port, 0), 0);
	assert_int_equal(fake.nr_enter, 1);
	assert_int_equal(fake.nr_taken, 3);
	assert_int_equal(fake.taken[1].op, EXTPAGER_RE_RETURN_DONE);
	assert_int_equal(fake.taken[1].flags, EXTPAGER_REF_FILE);
	assert_int_equal(fake.taken[1].file, 6);
	assert_int_equal(fake.taken[1].addr, 1000);
	assert_int_equal(fake.taken[1].offset, PAGES(8));
	assert_int_equal(fake.taken[1].length, PAGES(4));
	/* What is refused is the pager's still. */
	assert_int_equal(result[0], -EBADF);
	assert_int_equal(result[1] | result[2], 0);
	assert_int_equal(extpager_return_done(r[1], 0), -ENOENT);
	assert_not_ended(r[0]);
	assert_int_equal(extpager_return_done(r[0], 0), 0);
	assert_ended(r[0]);

	/* Too late is the end of it. */
	ask(EXTPAGER_EV_DATA_RETURN, 0, PAGES(4));
	r[0] = req;
	verdict = -ENOENT;
	assert_int_equal(extpager_return_file_deferred(r[0], 6, 0, &result[0]), 0);
	assert_int_equal(extpager_submit(port, 0), 0);
	assert_int_equal(result[0], -ENOENT);
	assert_ended(r[0]);
	ask(EXTPAGER_EV_SYNC, 0, PAGES(4));
	assert_int_equal(extpager_return_file_deferred(req, 6, 0, &result[0]), -EINVAL);
	assert_int_equal(extpager_sync_done(req, 0), 0);
	ask(EXTPAGER_EV_DATA_RETURN, 0, PAGES(4));
	assert_int_equal(extpager_return_file_deferred(req, 6, 0, NULL), -EINVAL);
	extpager_close(port);
}

static void who_defers_submits_when_he_comes_back(void **state)
{
	(void)state;
	open_port(&keep_ops, 8, NULL);
	assert_int_equal(extpager_defer(port, 1), -EINVAL);
	assert_int_equal(extpager_defer(port, 0), 0);
	ask(EXTPAGER_EV_DATA_RETURN, 0, PAGES(4));
	assert_int_equal(extpager_return_done(req, 0), 0);
	ask(EXTPAGER_EV_SYNC, 0, PAGES(4));
	/* By the dispatch that this one came with. */
	assert_int_equal(fake_kr(0)->reply_head, 1);
	assert_int_equal(extpager_sync_done(req, 0), 0);
	assert_int_equal(fake.nr_enter, 0);
	fake_post_op(0, EXTPAGER_EV_DATA_REQUEST, 99, 0, PAGES(4));
	assert_int_equal(extpager_dispatch(port, 0, -1), 1);
	assert_int_equal(fake.nr_enter, 1);
	assert_int_equal(fake.nr_taken, 1);
	assert_int_equal(extpager_supply_zero(req, 0, PAGES(4)), 0);
	assert_int_equal(fake.nr_taken, 1);
	assert_int_equal(extpager_submit(port, 0), 0);
	assert_int_equal(fake.nr_taken, 2);

	assert_int_equal(extpager_defer(NULL, 0), 0);
	ask(EXTPAGER_EV_SYNC, 0, PAGES(4));
	assert_int_equal(extpager_sync_done(req, 0), 0);
	assert_int_equal(fake.nr_taken, 1);

	/* It ends with the port. */
	assert_int_equal(extpager_defer(port, 0), 0);
	extpager_close(port);
	open_port(&keep_ops, 8, NULL);
	ask(EXTPAGER_EV_SYNC, 0, PAGES(4));
	assert_int_equal(extpager_sync_done(req, 0), 0);
	assert_int_equal(fake.nr_taken, 1);
	extpager_close(port);
}

static void deferred_outside_a_callback(void **state)
{
	(void)state;
	open_port(&keep_ops, 8, NULL);
	ask(EXTPAGER_EV_DATA_REQUEST, 0, PAGES(4));
	assert_int_equal(extpager_supply_deferred(req, 0, content, PAGES(2)), 0);
	assert_int_equal(fake.nr_taken, 0);
	/* An answer that is submitted takes those before it along. */
	assert_int_equal(extpager_supply(req, PAGES(2), content, PAGES(1)), 0);
	assert_int_equal(fake.nr_taken, 2);
	assert_int_equal(fake.nr_enter, 1);
	assert_int_equal(extpager_supply_deferred(req, PAGES(3), content, PAGES(1)), 0);
	assert_int_equal(extpager_submit(port, 0), 0);
	assert_int_equal(fake.nr_taken, 3);
	assert_int_equal(extpager_submit(port, 0), 0);
	assert_int_equal(fake.nr_enter, 2);

	ask(EXTPAGER_EV_DATA_REQUEST, 0, PAGES(4));
	assert_int_equal(extpager_supply_deferred(req, 0, content, PAGES(4)), 0);
	assert_int_equal(extpager_dispatch(port, 0, 0), 0);
	assert_int_equal(fake.nr_taken, 1);

	ask(EXTPAGER_EV_DATA_REQUEST, 0, PAGES(4));
	assert_int_equal(extpager_supply_deferred(req, 0, content, PAGES(4)), 0);
	extpager_close(port);
	assert_int_equal(fake.nr_taken, 1);
}

static void zero_page_by_page(struct extpager *p, struct extpager_req *r, void *user)
{
	uint64_t offset = extpager_req_offset(r), end = offset + extpager_req_length(r);

	(void)p;
	(void)user;
	for (; offset < end; offset += FAKE_PAGE)
		assert_int_equal(extpager_supply_zero(r, offset, FAKE_PAGE), 0);
}

static void refuse_odd(struct extpager_reply *reply)
{
	if (reply->op == EXTPAGER_RE_SUPPLY && reply->offset / FAKE_PAGE % 2) {
		reply->out_result = -EFAULT;
		reply->out_done = 0;
	}
}

static void more_answers_than_the_ring_holds(void **state)
{
	static const struct extpager_ops ops = {
		.size = sizeof(ops), .data_request = zero_page_by_page,
	};
	unsigned int errors = 0;

	(void)state;
	open_port(&ops, 4, NULL);
	for (int i = 0; i < 4; i++)
		fake_post_op(0, EXTPAGER_EV_DATA_REQUEST, i + 1, 0, PAGES(30));
	assert_int_equal(extpager_dispatch(port, 0, 0), 4);
	assert_int_equal(fake.nr_taken, 120);
	assert_int_equal(fake.nr_enter, 30);

	/* The library's own errors find room in the full ring. */
	fake.judge = refuse_odd;
	fake.nr_taken = 0;
	for (int i = 0; i < 4; i++)
		fake_post_op(0, EXTPAGER_EV_DATA_REQUEST, i + 1, 0, PAGES(30));
	assert_int_equal(extpager_dispatch(port, 0, 0), 4);
	for (unsigned int i = 0; i < fake.nr_taken; i++)
		errors += fake.taken[i].op == EXTPAGER_RE_ERROR;
	assert_int_equal(errors, 60);
	assert_int_equal(fake.nr_taken, 180);
	extpager_close(port);
}

static void replies_without_a_request(void **state)
{
	(void)state;
	open_port(&keep_ops, 8, NULL);
	fake.judge = judge;
	/* Before its first INIT an object has no generation. */
	assert_int_equal(extpager_object_destroy(port, 9, true), 0);
	assert_int_equal(fake.taken[0].op, EXTPAGER_RE_DESTROY);
	assert_int_equal(fake.taken[0].flags, EXTPAGER_REF_DISCARD);
	assert_int_equal(fake.taken[0].generation, 0);
	ask(EXTPAGER_EV_INIT, 0, PAGES(100));
	assert_int_equal(extpager_ready(req, EROFS, EXTPAGER_MAY_CACHE), 0);
	assert_int_equal(fake.taken[0].error, EROFS);
	assert_int_equal(fake.taken[0].attributes, 0);
	fake.nr_taken = 0;
	assert_int_equal(extpager_set_attributes(port, 9, EXTPAGER_MAY_CACHE), 0);
	assert_int_equal(fake.taken[0].op, EXTPAGER_RE_ATTRIBUTES);
	assert_int_equal(fake.taken[0].generation, 5);
	assert_int_equal(fake.taken[0].attributes, EXTPAGER_ATTR_MAY_CACHE);

	assert_int_equal(extpager_push(port, 9, 5, PAGES(3), content, PAGES(2)), PAGES(2));
	assert_int_equal(fake.taken[1].op, EXTPAGER_RE_SUPPLY);
	assert_int_equal(fake.taken[1].tag, 0);
	assert_int_equal(fake.taken[1].flags, 0);
	assert_int_equal(extpager_push(port, 9, 5, PAGES(3), NULL, PAGES(2)), PAGES(2));
	assert_int_equal(fake.taken[2].flags, EXTPAGER_REF_ZERO);
	verdict = -EEXIST;
	assert_int_equal(extpager_push(port, 9, 5, PAGES(3), content, PAGES(2)), -EEXIST);
	verdict = -EAGAIN;
	verdict_done = PAGES(1);
	assert_int_equal(extpager_push(port, 9, 5, PAGES(3), content, PAGES(2)), PAGES(1));
	assert_int_equal(extpager_push(port, 9, 5, 0, content, EXTPAGER_REQUEST_MAX + 1), -ERANGE);
	extpager_close(port);
}

/* ---- Threads --------------------------------------------------------------- */

#define WORKERS		4U
#define REQUESTS	200U
#define PARTS		(WORKERS * 4)

/* Requests on their way from the callbacks to the workers. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct extpager_req *reqs[REQUESTS];
	unsigned int nr;
} handed = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void hand_out(struct extpager *p, struct extpager_req *r, void *user)
{
	(void)p;
	(void)user;
	pthread_mutex_lock(&handed.lock);
	handed.reqs[handed.nr++] = r;
	pthread_cond_broadcast(&handed.changed);
	pthread_mutex_unlock(&handed.lock);
}

/* Answers its share of each request; the last one to answer ends it. */
static void *worker(void *arg)
{
	unsigned int me = (uintptr_t)arg;
	uintptr_t wrong = 0;

	for (unsigned int i = 0; i < REQUESTS; i++) {
		struct extpager_req *r;

		pthread_mutex_lock(&handed.lock);
		while (handed.nr <= i)
			pthread_cond_wait(&handed.changed, &handed.lock);
		r = handed.reqs[i];
		pthread_mutex_unlock(&handed.lock);
		for (unsigned int part = me; part < PARTS; part += WORKERS) {
			int ret = part % 3 ? extpager_supply(r, PAGES(part), content, PAGES(1)) :
					     extpager_supply_zero(r, PAGES(part), PAGES(1));

			wrong += ret && ret != -ENOENT;
		}
	}
	return (void *)wrong;
}

/* The kernel gives up some requests half-way. */
static void forget_some(struct extpager_reply *reply)
{
	if (reply->tag % 10 == 3 && reply->offset == PAGES(5))
		reply->out_result = -ENOENT;
}

static void *dispatcher(void *arg)
{
	return (void *)(intptr_t)extpager_run(arg);
}

static void many_threads_answer_parts(void **state)
{
	static const struct extpager_ops ops = {
		.size = sizeof(ops), .data_request = hand_out,
	};
	const struct timespec pause = { .tv_nsec = 1000000 };
	pthread_t workers[WORKERS], dispatching;
	void *ret;

	(void)state;
	handed.nr = 0;
	open_port(&ops, 8, NULL);
	fake.judge = forget_some;
	assert_int_equal(pthread_create(&dispatching, NULL, dispatcher, port), 0);
	for (uintptr_t i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&workers[i], NULL, worker, (void *)i), 0);
	for (unsigned int i = 0; i < REQUESTS; i++) {
		while (fake_unread(0) == fake.entries)
			nanosleep(&pause, NULL);
		/* SYNC is answered by the library, deferred, in between. */
		fake_post_op(0, EXTPAGER_EV_DATA_REQUEST, i + 1, 0, PAGES(PARTS));
		while (fake_unread(0) == fake.entries)
			nanosleep(&pause, NULL);
		fake_post_op(0, EXTPAGER_EV_SYNC, REQUESTS + i + 1, 0, PAGES(PARTS));
	}
	for (unsigned int i = 0; i < WORKERS; i++) {
		pthread_join(workers[i], &ret);
		assert_null(ret);
	}
	extpager_stop(port);
	pthread_join(dispatching, &ret);
	assert_null(ret);
	/* Of each forgotten request fewer replies than parts were sent. */
	assert_true(fake.nr_taken <= REQUESTS * (PARTS + 1));
	assert_true(fake.nr_taken >= REQUESTS * 9 / 10 * PARTS + REQUESTS);
	extpager_close(port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(in_parts, fake_boot),
		cmocka_unit_test_setup(twice, fake_boot),
		cmocka_unit_test_setup(bad_arguments, fake_boot),
		cmocka_unit_test_setup(refused, fake_boot),
		cmocka_unit_test_setup(too_late, fake_boot),
		cmocka_unit_test_setup(a_return_is_fetched_and_then_done, fake_boot),
		cmocka_unit_test_setup(an_interrupted_enter_is_repeated, fake_boot),
		cmocka_unit_test_setup(deferred, fake_boot),
		cmocka_unit_test_setup(a_deferred_supply_that_is_refused_fails, fake_boot),
		cmocka_unit_test_setup(a_file_is_named_and_its_refusal_fails, fake_boot),
		cmocka_unit_test_setup(a_return_is_for_the_kernel_to_write, fake_boot),
		cmocka_unit_test_setup(fetches_are_one_system_call, fake_boot),
		cmocka_unit_test_setup(an_outcome_is_told_whoever_submits, fake_boot),
		cmocka_unit_test_setup(no_outcome_is_overwritten, fake_boot),
		cmocka_unit_test_setup(returns_by_file_are_one_system_call, fake_boot),
		cmocka_unit_test_setup(who_defers_submits_when_he_comes_back, fake_boot),
		cmocka_unit_test_setup(deferred_outside_a_callback, fake_boot),
		cmocka_unit_test_setup(more_answers_than_the_ring_holds, fake_boot),
		cmocka_unit_test_setup(replies_without_a_request, fake_boot),
		cmocka_unit_test_setup(many_threads_answer_parts, fake_boot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
