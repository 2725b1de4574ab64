/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The system calls that the pager's and the client's side make, as a table, so
 * that the unit tests run the library without a kernel module. Each returns a
 * negative errno instead of setting errno.
 */
#ifndef XP_SYS_H
#define XP_SYS_H

#include <stddef.h>
#include <sys/types.h>

struct xp_sys {
	int (*open)(const char *path, int flags);
	int (*close)(int fd);
	int (*ioctl)(int fd, unsigned long cmd, void *arg);
	int (*mmap)(void **addr, size_t len, int prot, int fd, off_t off);
	int (*munmap)(void *addr, size_t len);
};

/* The kernel, unless a test put its own table here before extpager_open(). */
extern const struct xp_sys *xp_sys;

#endif /* XP_SYS_H */
