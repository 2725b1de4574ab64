// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Dispatching: which callback gets what, the library's answers where there is
 * none, when answers are submitted, and how a run ends.
 */
#include "fake-kernel.h"

static struct extpager *port;

static void open_port(const struct extpager_ops *ops, void *user)
{
	const struct extpager_params params = {
		.size = sizeof(params),
		.nr_queues = 1,
		.ring_entries = 8,
	};

	assert_int_equal(extpager_open(&port, &params, ops, user), 0);
}

static void assert_taken(unsigned int i, unsigned int op, uint64_t tag, unsigned int error)
{
	assert_true(i < fake.nr_taken);
	assert_int_equal(fake.taken[i].op, op);
	assert_int_equal(fake.taken[i].tag, tag);
	assert_int_equal(fake.taken[i].error, error);
	assert_int_equal(fake.taken[i].generation, 5);
	assert_int_equal(fake.taken[i].object, 9);
	assert_int_equal(fake.taken[i].file, 0);
}

static void answers_without_callbacks(void **state)
{
	static const struct extpager_ops ops = { .size = sizeof(ops) };

	(void)state;
	open_port(&ops, NULL);
	fake_post_op(0, EXTPAGER_EV_INIT, 1, 0, 1 << 20);
	fake_post_op(0, EXTPAGER_EV_DATA_REQUEST, 2, 8192, 8192);
	fake_post_op(0, EXTPAGER_EV_DATA_RETURN, 3, 0, 4096);
	fake_post_op(0, EXTPAGER_EV_SYNC, 4, 0, 1 << 20);
	fake_post_op(0, EXTPAGER_EV_TERMINATE, 0, 0, 0);
	fake_post_op(0, EXTPAGER_EV_ATTRIBUTES, 0, 0, 0);
	assert_int_equal(extpager_dispatch(port, 0, 0), 6);

	assert_int_equal(fake.nr_taken, 4);
	assert_taken(0, EXTPAGER_RE_READY, 1, 0);
	assert_int_equal(fake.taken[0].attributes, EXTPAGER_ATTR_MAY_CACHE);
	assert_taken(1, EXTPAGER_RE_ERROR, 2, ENODATA);
	assert_int_equal(fake.taken[1].offset, 8192);
	assert_int_equal(fake.taken[1].length, 8192);
	assert_taken(2, EXTPAGER_RE_RETURN_DONE, 3, EROFS);
	assert_taken(3, EXTPAGER_RE_SYNC_DONE, 4, 0);
	/* Nothing to wait for, all answers together: one system call. */
	assert_int_equal(fake.nr_enter, 1);
	extpager_close(port);
}

static void events_of_a_newer_kernel_are_skipped(void **state)
{
	static const struct extpager_ops ops = { .size = sizeof(ops) };

	(void)state;
	open_port(&ops, NULL);
	fake_post_op(0, 1000, 1, 0, 4096);
	fake_post_op(0, 0, 2, 0, 4096);
	fake_post_op(0, EXTPAGER_EV_SYNC, 3, 0, 4096);
	assert_int_equal(extpager_dispatch(port, 0, 0), 3);
	assert_int_equal(fake.nr_taken, 1);
	assert_taken(0, EXTPAGER_RE_SYNC_DONE, 3, 0);
	extpager_close(port);
}

struct calls {
	unsigned int nr;
	uint64_t object;
	uint32_t generation;
	uint32_t attributes;
	unsigned int stop_after;
};

static void see_init(struct extpager *p, struct extpager_req *req, void *user)
{
	struct calls *calls = user;

	calls->nr++;
	assert_ptr_equal(p, port);
	assert_int_equal(extpager_req_object(req), 9);
	assert_int_equal(extpager_req_length(req), 1 << 20);
	assert_int_equal(extpager_req_generation(req), 5);
	assert_int_equal(extpager_req_wanted(req), UINT64_MAX);
	assert_true(extpager_req_resent(req));
	assert_true(extpager_req_rdonly(req));
	assert_false(extpager_req_zero(req));
	assert_int_equal(extpager_ready(req, 0, 0), 0);
}

static void see_request(struct extpager *p, struct extpager_req *req, void *user)
{
	struct calls *calls = user;

	(void)p;
	calls->nr++;
	assert_int_equal(extpager_req_offset(req), 4096);
	assert_int_equal(extpager_req_length(req), 12288);
	assert_int_equal(extpager_req_wanted(req), 8192);
	assert_int_equal(extpager_req_queue(req), 0);
	assert_true(extpager_req_write(req));
	assert_true(extpager_req_prefetch(req));
	assert_null(extpager_req_user(req));
	extpager_req_set_user(req, calls);
	assert_ptr_equal(extpager_req_user(req), calls);
	assert_int_equal(extpager_supply_zero(req, 4096, 12288), 0);
}

static void see_return(struct extpager *p, struct extpager_req *req, void *user)
{
	struct calls *calls = user;

	(void)p;
	calls->nr++;
	assert_true(extpager_req_zero(req));
	assert_int_equal(extpager_return_done(req, 0), 0);
}

static void see_terminate(struct extpager *p, uint64_t object, uint32_t generation, void *user)
{
	struct calls *calls = user;

	(void)p;
	calls->nr++;
	calls->object = object;
	calls->generation = generation;
}

static void see_attributes(struct extpager *p, uint64_t object, uint32_t attributes, void *user)
{
	struct calls *calls = user;

	(void)p;
	(void)object;
	calls->nr++;
	calls->attributes = attributes;
}

static const struct extpager_ops see_ops = {
	.size = sizeof(see_ops),
	.init = see_init,
	.data_request = see_request,
	.data_return = see_return,
	.terminate = see_terminate,
	.attributes = see_attributes,
};

static void callbacks_get_what_the_event_says(void **state)
{
	struct calls calls = { 0 };

	(void)state;
	open_port(&see_ops, &calls);
	fake_post(0, &(struct extpager_event){
		.op = EXTPAGER_EV_INIT,
		.flags = EXTPAGER_EVF_RESENT | EXTPAGER_EVF_RDONLY,
		.generation = 5, .tag = 1, .object = 9, .length = 1 << 20, .wanted = 0,
	});
	fake_post(0, &(struct extpager_event){
		.op = EXTPAGER_EV_DATA_REQUEST, .flags = EXTPAGER_EVF_PREFETCH,
		.generation = 5, .tag = 2, .object = 9, .offset = 4096, .length = 12288,
		.wanted = 8192, .access = EXTPAGER_ACCESS_WRITE,
	});
	fake_post(0, &(struct extpager_event){
		.op = EXTPAGER_EV_DATA_RETURN, .flags = EXTPAGER_EVF_ZERO,
		.generation = 5, .tag = 3, .object = 9, .length = 1ULL << 40,
	});
	fake_post(0, &(struct extpager_event){
		.op = EXTPAGER_EV_TERMINATE, .generation = 5, .object = 9,
	});
	fake_post(0, &(struct extpager_event){
		.op = EXTPAGER_EV_ATTRIBUTES, .object = 9,
		.attributes = EXTPAGER_ATTR_MAY_CACHE,
	});
	assert_int_equal(extpager_dispatch(port, 0, -1), 5);
	assert_int_equal(calls.nr, 5);
	assert_int_equal(calls.object, 9);
	assert_int_equal(calls.generation, 5);
	assert_int_equal(calls.attributes, EXTPAGER_ATTR_MAY_CACHE);
	assert_int_equal(fake.nr_taken, 3);
	assert_int_equal(fake.taken[0].attributes, 0);
	assert_int_equal(fake.taken[1].flags, EXTPAGER_REF_ZERO);
	assert_int_equal(fake.taken[1].addr, 0);
	extpager_close(port);
}

static void waiting(void **state)
{
	static const struct extpager_ops ops = { .size = sizeof(ops) };

	(void)state;
	open_port(&ops, NULL);
	assert_int_equal(extpager_dispatch(port, 0, 0), 0);
	assert_int_equal(fake.nr_enter, 0);
	assert_int_equal(extpager_dispatch(port, 0, 20), 0);
	assert_int_equal(fake.nr_enter, 1);
	fake.interrupt = 1;
	assert_int_equal(extpager_dispatch(port, 0, -1), -EINTR);
	/* What the kernel holds back comes with an ENTER. */
	fake_kr(0)->flags = EXTPAGER_KF_BACKLOG;
	assert_int_equal(extpager_dispatch(port, 0, 0), 0);
	assert_int_equal(fake.nr_enter, 3);
	fake_kr(0)->flags = 0;
	fake_set_dead(0);
	fake_post_op(0, EXTPAGER_EV_SYNC, 1, 0, 4096);
	assert_int_equal(extpager_dispatch(port, 0, 0), -ESHUTDOWN);
	assert_int_equal(extpager_run(port), -ESHUTDOWN);
	extpager_close(port);
}

static void count_and_stop(struct extpager *p, struct extpager_req *req, void *user)
{
	struct calls *calls = user;

	assert_int_equal(extpager_sync_done(req, 0), 0);
	if (++calls->nr == calls->stop_after)
		extpager_stop(p);
	else
		fake_post_op(0, EXTPAGER_EV_SYNC, calls->nr + 1, 0, 4096);
}

static void a_run_enters_once_a_round(void **state)
{
	static const struct extpager_ops ops = { .size = sizeof(ops), .sync = count_and_stop };
	struct calls calls = { .stop_after = 10 };

	(void)state;
	open_port(&ops, &calls);
	fake_post_op(0, EXTPAGER_EV_SYNC, 1, 0, 4096);
	assert_int_equal(extpager_run(port), 0);
	assert_int_equal(calls.nr, 10);
	assert_int_equal(fake.nr_taken, 10);
	/* Nine that submit and look for more, one at the end. */
	assert_int_equal(fake.nr_enter, 10);
	/* Stopped is stopped. */
	assert_int_equal(extpager_run(port), 0);
	extpager_close(port);
}

static void *run(void *arg)
{
	*(int *)arg = extpager_run(port);
	return NULL;
}

static void another_thread_stops_a_run(void **state)
{
	static const struct extpager_ops ops = { .size = sizeof(ops) };
	const struct timespec pause = { .tv_nsec = 1000000 };
	unsigned int taken = 0;
	pthread_t thread;
	int ret = -1;

	(void)state;
	open_port(&ops, NULL);
	fake.interrupt = 1;
	assert_int_equal(pthread_create(&thread, NULL, run, &ret), 0);
	fake_post_op(0, EXTPAGER_EV_SYNC, 1, 0, 4096);
	/* A run that begins stopped takes nothing. */
	while (!taken) {
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&fake.lock);
		taken = fake.nr_taken;
		pthread_mutex_unlock(&fake.lock);
	}
	extpager_stop(port);
	pthread_join(thread, NULL);
	assert_int_equal(ret, 0);
	assert_int_equal(fake.nr_taken, 1);
	extpager_close(port);
}

static struct extpager_req *kept[64];
static unsigned int nr_kept;

static void keep(struct extpager *p, struct extpager_req *req, void *user)
{
	(void)p;
	(void)user;
	kept[nr_kept++] = req;
}

static void requests_outlive_their_callback(void **state)
{
	static const struct extpager_ops ops = {
		.size = sizeof(ops), .init = keep, .data_request = keep, .sync = keep,
	};

	(void)state;
	nr_kept = 0;
	open_port(&ops, NULL);
	/* More than the library's pool begins with. */
	for (unsigned int i = 0; i < 60; i++) {
		fake_post_op(0, EXTPAGER_EV_SYNC, i + 1, 0, 4096);
		assert_int_equal(extpager_dispatch(port, 0, 0), 1);
	}
	/* Outside the callback an answer is submitted at once. */
	for (unsigned int i = 60; i-- > 30; ) {
		assert_int_equal(extpager_sync_done(kept[i], 0), 0);
		assert_int_equal(fake.taken[fake.nr_taken - 1].tag, i + 1);
	}
	assert_int_equal(fake.nr_taken, 30);
	/* Those that are left are freed with the port. */
	extpager_close(port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(answers_without_callbacks, fake_boot),
		cmocka_unit_test_setup(events_of_a_newer_kernel_are_skipped, fake_boot),
		cmocka_unit_test_setup(callbacks_get_what_the_event_says, fake_boot),
		cmocka_unit_test_setup(waiting, fake_boot),
		cmocka_unit_test_setup(a_run_enters_once_a_round, fake_boot),
		cmocka_unit_test_setup(another_thread_stops_a_run, fake_boot),
		cmocka_unit_test_setup(requests_outlive_their_callback, fake_boot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
