// SPDX-License-Identifier: LGPL-2.1-or-later
/* Passing file descriptors over a socketpair, also with a peer that misbehaves. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <extpager.h>

static int pair[2], passed;

static int begin(void **state)
{
	(void)state;
	passed = open("/dev/null", O_RDONLY);
	return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || passed < 0;
}

static int end(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	close(passed);
	return 0;
}

static int lowest_free_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void assert_same_file(int a, int b)
{
	struct stat sa, sb;

	assert_int_equal(fstat(a, &sa), 0);
	assert_int_equal(fstat(b, &sb), 0);
	assert_int_equal(sa.st_rdev, sb.st_rdev);
	assert_int_equal(sa.st_ino, sb.st_ino);
}

static void with_data(void **state)
{
	char buf[16];
	size_t len = sizeof(buf);
	int fd;

	(void)state;
	assert_int_equal(extpager_send_fd(pair[0], passed, "hello", 5), 0);
	fd = extpager_recv_fd(pair[1], buf, &len);
	assert_true(fd >= 0);
	assert_int_not_equal(fd, passed);
	assert_same_file(fd, passed);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(len, 5);
	assert_memory_equal(buf, "hello", 5);
	close(fd);
}

static void without_data(void **state)
{
	size_t len = 0;
	int fd;

	(void)state;
	assert_int_equal(extpager_send_fd(pair[0], passed, NULL, 0), 0);
	assert_int_equal(extpager_send_fd(pair[0], passed, NULL, 0), 0);
	fd = extpager_recv_fd(pair[1], NULL, &len);
	assert_true(fd >= 0);
	assert_int_equal(len, 0);
	close(fd);
	fd = extpager_recv_fd(pair[1], NULL, NULL);
	assert_true(fd >= 0);
	close(fd);
}

#define LOTS	(1U << 20)

static void *drain(void *arg)
{
	static char buf[LOTS];
	size_t got = sizeof(buf);
	int fd = extpager_recv_fd(pair[1], buf, &got);
	ssize_t n;

	*(int *)arg = fd;
	for (; got < LOTS; got += n) {
		n = read(pair[1], buf + got, LOTS - got);
		if (n <= 0)
			break;
	}
	for (size_t i = 0; i < LOTS; i++)
		if (buf[i] != (char)i)
			got = 0;
	return (void *)got;
}

static void more_data_than_the_socket_holds(void **state)
{
	static char data[LOTS];
	pthread_t thread;
	void *got;
	int fd;

	(void)state;
	for (size_t i = 0; i < LOTS; i++)
		data[i] = (char)i;
	assert_int_equal(pthread_create(&thread, NULL, drain, &fd), 0);
	assert_int_equal(extpager_send_fd(pair[0], passed, data, LOTS), 0);
	pthread_join(thread, &got);
	assert_int_equal((size_t)got, LOTS);
	assert_true(fd >= 0);
	close(fd);
}

static void data_without_an_fd(void **state)
{
	char buf[4];
	size_t len = sizeof(buf);

	(void)state;
	assert_int_equal(write(pair[0], "x", 1), 1);
	assert_int_equal(extpager_recv_fd(pair[1], buf, &len), -ENOMSG);
}

static void peer_has_gone(void **state)
{
	(void)state;
	close(pair[0]);
	assert_int_equal(extpager_recv_fd(pair[1], NULL, NULL), -ECONNRESET);
	/* And no SIGPIPE. */
	assert_int_equal(extpager_send_fd(pair[1], passed, NULL, 0), -EPIPE);
	pair[0] = -1;
}

static void bad_arguments(void **state)
{
	(void)state;
	assert_int_equal(extpager_send_fd(pair[0], -1, NULL, 0), -EBADF);
	assert_int_equal(extpager_send_fd(-1, passed, NULL, 0), -EBADF);
	assert_int_equal(extpager_recv_fd(-1, NULL, NULL), -EBADF);
}

static void surplus_fds_do_not_stay_open(void **state)
{
	int fds[3] = { passed, passed, passed }, before, fd;
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(fds))];
	} control = { .buf = { 0 } };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	(void)state;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(cmsg), fds, sizeof(fds));
	assert_int_equal(sendmsg(pair[0], &msg, 0), 1);

	before = lowest_free_fd();
	fd = extpager_recv_fd(pair[1], NULL, NULL);
	assert_int_equal(fd, before);
	close(fd);
	assert_int_equal(lowest_free_fd(), before);
	for (int i = before; i < before + 4; i++)
		assert_int_equal(fcntl(i, F_GETFD), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(with_data, begin, end),
		cmocka_unit_test_setup_teardown(without_data, begin, end),
		cmocka_unit_test_setup_teardown(more_data_than_the_socket_holds, begin, end),
		cmocka_unit_test_setup_teardown(data_without_an_fd, begin, end),
		cmocka_unit_test_setup_teardown(peer_has_gone, begin, end),
		cmocka_unit_test_setup_teardown(bad_arguments, begin, end),
		cmocka_unit_test_setup_teardown(surplus_fds_do_not_stay_open, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
