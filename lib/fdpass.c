// SPDX-License-Identifier: LGPL-2.1-or-later
/* File descriptors over UNIX sockets, one with each message. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <extpager.h>

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int))];
};

/* A stream socket may take a part; the fd went with its first byte. */
static int send_rest(int sock, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(sock, data, len, MSG_NOSIGNAL);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		data += n;
		len -= n;
	}
	return 0;
}

int extpager_send_fd(int sock, int fd, const void *data, size_t len)
{
	char nothing = 0;
	struct iovec iov = {
		.iov_base = len ? (void *)data : &nothing,
		.iov_len = len ? len : 1,
	};
	union control control = { .buf = { 0 } };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	ssize_t n;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));

	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return len ? send_rest(sock, (const char *)data + n, len - n) : 0;
}

/* Take the first fd of the message; close all others, a hostile peer may send them. */
static int take_fd(struct msghdr *msg)
{
	int fd = -1;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t nr;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		nr = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < nr; i++) {
			int one;

			memcpy(&one, CMSG_DATA(cmsg) + i * sizeof(one), sizeof(one));
			if (fd < 0)
				fd = one;
			else
				close(one);
		}
	}
	return fd;
}

int extpager_recv_fd(int sock, void *data, size_t *len)
{
	size_t room = len ? *len : 0;
	char nothing = 0;
	struct iovec iov = {
		.iov_base = room ? data : &nothing,
		.iov_len = room ? room : 1,
	};
	union control control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n;
	int fd;

	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	fd = take_fd(&msg);
	if (fd < 0)
		return n ? -ENOMSG : -ECONNRESET;
	if (len)
		*len = room ? n : 0;
	return fd;
}
