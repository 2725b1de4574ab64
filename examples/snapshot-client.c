// SPDX-License-Identifier: MIT
/*
 * snapshot-client SOCKET: maps the image of a snapshot-pager privately, writes
 * all of it to standard output, then writes into each page of its mapping and
 * makes sure that nobody else sees that.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <extpager.h>

static void die(const char *what, int error)
{
	fprintf(stderr, "snapshot-client: %s: %s\n", what, strerror(error));
	exit(1);
}

static int fetch_fd(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		die(path, ENAMETOOLONG);
	strcpy(addr.sun_path, path);
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)))
		die(path, errno);
	fd = extpager_recv_fd(sock, NULL, NULL);
	if (fd < 0)
		die(path, -fd);
	close(sock);
	return fd;
}

int main(int argc, char **argv)
{
	struct stat st;
	char *map, c;
	int fd, ret;

	if (argc != 2)
		die("usage: snapshot-client SOCKET", EINVAL);
	fd = fetch_fd(argv[1]);
	if (fstat(fd, &st))
		die("fstat", errno);
	/* Whoever it is whom we have wait for pages: we came to this socket. */
	ret = extpager_accept(fd);
	if (ret)
		die("accept", -ret);
	map = extpager_client_map(fd, st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	if (map == MAP_FAILED)
		die("mmap", errno);
	if (fwrite(map, 1, st.st_size, stdout) != (size_t)st.st_size || fflush(stdout))
		die("standard output", errno);

	for (off_t i = 0; i < st.st_size; i += getpagesize()) {
		map[i]++;
		if (pread(fd, &c, 1, i) != 1)
			die("pread", errno);
		if (c == map[i])
			die("a private write is seen by others", EIO);
	}
	return 0;
}
