// SPDX-License-Identifier: LGPL-2.1-or-later
/* Opening and closing a port: set-up, mappings, sizes of the caller's structs. */
#include "fake-kernel.h"

static const struct extpager_ops no_ops = { .size = sizeof(no_ops) };

static void defaults(void **state)
{
	struct extpager *p;

	(void)state;
	assert_int_equal(extpager_open(&p, NULL, &no_ops, NULL), 0);
	assert_int_equal(extpager_fd(p), FAKE_FD);
	assert_int_equal(extpager_port(p), 3);
	assert_int_equal(extpager_nr_queues(p), 1);
	assert_int_equal(extpager_page_size(p), FAKE_PAGE);
	assert_int_equal(fake.maps, 2);
	assert_int_equal(fake.open, 1);
	extpager_close(p);
	assert_int_equal(fake.maps, 0);
	assert_int_equal(fake.open, 0);
	extpager_close(NULL);
}

static void queues_and_an_inherited_fd(void **state)
{
	const struct extpager_params params = {
		.size = sizeof(params),
		.nr_queues = 3,
		.ring_entries = 16,
		.port_fd = FAKE_FD,
	};
	struct extpager *p;

	(void)state;
	fake.open = 1;
	assert_int_equal(extpager_open(&p, &params, &no_ops, NULL), 0);
	assert_int_equal(fake.open, 1);
	assert_int_equal(fake.entries, 16);
	assert_int_equal(extpager_nr_queues(p), 3);
	assert_int_equal(fake.maps, 6);
	assert_int_equal(extpager_dispatch(p, 3, 0), -EINVAL);
	assert_int_equal(extpager_submit(p, 3), -EINVAL);
	assert_int_equal(extpager_run_queue(p, 3), -EINVAL);
	extpager_close(p);
	assert_int_equal(fake.maps, 0);
	assert_int_equal(fake.open, 0);
}

static void refused(void **state)
{
	const struct extpager_params inherited = { .size = sizeof(inherited), .port_fd = FAKE_FD };
	struct extpager *p;

	(void)state;
	fake.setup_error = -EPERM;
	assert_int_equal(extpager_open(&p, NULL, &no_ops, NULL), -EPERM);
	assert_int_equal(fake.open, 0);
	/* The fd of a predecessor stays the caller's. */
	fake.open = 1;
	assert_int_equal(extpager_open(&p, &inherited, &no_ops, NULL), -EPERM);
	assert_int_equal(fake.open, 1);
}

static void sizes(void **state)
{
	struct {
		struct extpager_ops ops;
		void *later;
	} newer = { .ops.size = sizeof(newer) };
	struct extpager_ops older = { .size = offsetof(struct extpager_ops, sync) };
	struct extpager_ops none = { .size = 0 };
	struct extpager_params bad = { .size = 4 };
	struct extpager_params unknown = { .size = sizeof(unknown), .flags = 2 };
	struct extpager *p;

	(void)state;
	assert_int_equal(extpager_open(&p, NULL, &newer.ops, NULL), 0);
	extpager_close(p);
	newer.later = &newer;
	assert_int_equal(extpager_open(&p, NULL, &newer.ops, NULL), -E2BIG);
	assert_int_equal(extpager_open(&p, NULL, &older, NULL), 0);
	extpager_close(p);
	assert_int_equal(extpager_open(&p, NULL, &none, NULL), -EINVAL);
	assert_int_equal(extpager_open(&p, &bad, &no_ops, NULL), -EINVAL);
	assert_int_equal(extpager_open(&p, &unknown, &no_ops, NULL), -EINVAL);
	assert_int_equal(fake.open, 0);
}

static void names_too_long(void **state)
{
	struct extpager *p;
	char name[65];

	(void)state;
	memset(name, 'n', 64);
	name[64] = '\0';
	assert_int_equal(extpager_open(&p, NULL, &no_ops, NULL), 0);
	assert_int_equal(extpager_attach(p, name, NULL, NULL), -ENAMETOOLONG);
	assert_int_equal(extpager_client_open(name, 0), -ENAMETOOLONG);
	name[63] = '\0';
	assert_int_equal(extpager_attach(p, name, NULL, NULL), -ENOTTY);
	assert_int_equal(extpager_client_open(name, 0), -ENOTTY);
	assert_int_equal(extpager_object_open(p, 0, 0), -ENOENT);
	assert_int_equal(extpager_client_failures(FAKE_FD, NULL, 0), -ENOTTY);
	assert_int_equal(extpager_accept(FAKE_FD), -ENOTTY);
	extpager_close(p);
	assert_int_equal(fake.open, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(defaults, fake_boot),
		cmocka_unit_test_setup(queues_and_an_inherited_fd, fake_boot),
		cmocka_unit_test_setup(refused, fake_boot),
		cmocka_unit_test_setup(sizes, fake_boot),
		cmocka_unit_test_setup(names_too_long, fake_boot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
