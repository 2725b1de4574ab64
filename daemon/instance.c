// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lock is of an open file: the kernel drops it when pagerd dies, however
 * it does. That two pagerds would not harm each other (a target has one pager)
 * does not make it useful: each target would go to whichever comes first.
 */
#include "instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define RUN_DIR		"/run/extpager"
/* Of its own, since the unprivileged user of the service makes files in it. */
#define LOCK_DIR	RUN_DIR "/pagerd"
#define LOCK_PATH	LOCK_DIR "/lock"

int instance_claim(bool shared)
{
	char text[32] = "";
	ssize_t len;
	int fd;

	if ((mkdir(RUN_DIR, 0755) && errno != EEXIST) ||
	    (mkdir(LOCK_DIR, 0755) && errno != EEXIST))
		log_debug("%s: %s", LOCK_DIR, strerror(errno));
	fd = open(LOCK_PATH, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		log_warn("%s: %s: cannot see if another pagerd lives", LOCK_PATH, strerror(errno));
		return 0;
	}
	if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB)) {
		len = pread(fd, text, sizeof(text) - 1, 0);
		if (len > 0)
			text[strcspn(text, "\n")] = '\0';
		log_err("another pagerd lives (pid %s): stop it first, or give each its own targets with --only",
			len > 0 ? text : "unknown");
		close(fd);
		return -EBUSY;
	}
	len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	(void)!ftruncate(fd, 0);
	(void)!pwrite(fd, text, (size_t)len, 0);
	return 0;
}
