// SPDX-License-Identifier: GPL-2.0-only
/* sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3). */
#include "notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#define PORT_NAME	"port"

void notify(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* A manager that does not listen is no reason to fail. */
	sd_notify(0, text);
}

void notify_store_port(int fd)
{
	/*
	 * A port whose pager is dead says POLLHUP, at which the manager would
	 * drop it by itself, just when a successor needs it.
	 */
	sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDPOLL=0\nFDNAME=" PORT_NAME, &fd, 1);
}

void notify_drop_port(void)
{
	sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" PORT_NAME);
}

int notify_stored_port(void)
{
	char **names = NULL;
	int i, nr, port = -1;

	nr = sd_listen_fds_with_names(1, &names);
	for (i = 0; i < nr; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		if (port < 0 && !strcmp(names[i], PORT_NAME))
			port = fd;
		else
			close(fd);
		free(names[i]);
	}
	free(names);
	return port;
}

uint64_t notify_watchdog_usec(void)
{
	uint64_t usec;

	return sd_watchdog_enabled(1, &usec) > 0 ? usec : 0;
}
