// SPDX-License-Identifier: MIT
/*
 * snapshot-pager IMAGE SOCKET: one image, many clients, each with writes of its
 * own. Whoever connects to SOCKET is sent a descriptor of a read-only object;
 * its clients share every page that was read, however many they are, until
 * they write to a private mapping. Ends on SIGTERM.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <extpager.h>

static int image;

static void die(const char *what, int error)
{
	fprintf(stderr, "snapshot-pager: %s: %s\n", what, strerror(error));
	exit(1);
}

static void data_request(struct extpager *p, struct extpager_req *req, void *user)
{
	static char buf[2 << 20]; /* no request is longer */
	uint64_t offset = extpager_req_offset(req), length = extpager_req_length(req);

	if (pread(image, buf, length, offset) == (ssize_t)length)
		extpager_supply(req, offset, buf, length);
	else
		extpager_error(req, offset, length, EIO);
}

static int listen_at(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		die(path, ENAMETOOLONG);
	strcpy(addr.sun_path, path);
	/* Not everybody's to read? Then the directory is the place to say so. */
	umask(0);
	if (sock < 0 || bind(sock, (struct sockaddr *)&addr, sizeof(addr)) || listen(sock, 128))
		die(path, errno);
	return sock;
}

static void welcome(struct extpager *p, uint64_t object, int sock)
{
	int client = accept4(sock, NULL, NULL, SOCK_CLOEXEC);
	int fd;

	if (client < 0)
		return;
	/* One for each: descriptors that are passed on share their file offset. */
	fd = extpager_object_open(p, object, O_RDONLY);
	if (fd >= 0) {
		extpager_send_fd(client, fd, NULL, 0);
		close(fd);
	}
	close(client);
}

int main(int argc, char **argv)
{
	const struct extpager_params params = { .size = sizeof(params), .nr_queues = 1 };
	const struct extpager_ops ops = { .size = sizeof(ops), .data_request = data_request };
	struct pollfd fds[3] = { { .events = POLLIN }, { .events = POLLIN }, { .events = POLLIN } };
	struct extpager *p;
	uint64_t object;
	struct stat st;
	sigset_t term;
	int ret;

	if (argc != 3)
		die("usage: snapshot-pager IMAGE SOCKET", EINVAL);
	image = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (image < 0 || fstat(image, &st))
		die(argv[1], errno);
	ret = extpager_open(&p, &params, &ops, NULL);
	if (ret)
		die("port", -ret);
	ret = extpager_object_create(p, st.st_size, EXTPAGER_CREATE_RDONLY, &object);
	if (ret < 0)
		die("object", -ret);
	close(ret);

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	fds[0].fd = extpager_fd(p);
	fds[1].fd = listen_at(argv[2]);
	fds[2].fd = signalfd(-1, &term, SFD_CLOEXEC);
	while (!fds[2].revents && ret >= 0) {
		if (fds[1].revents)
			welcome(p, object, fds[1].fd);
		ret = extpager_dispatch(p, 0, 0);
		if (ret >= 0 && poll(fds, 3, -1) < 0)
			ret = -errno;
	}
	unlink(argv[2]);
	extpager_close(p);
	if (ret < 0)
		die("pager", -ret);
	return 0;
}
