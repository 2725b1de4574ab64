/* SPDX-License-Identifier: GPL-2.0-only */
/* A process that maps an object, and others that get at its memory from outside. */
#ifndef SELFTEST_BORROW_H
#define SELFTEST_BORROW_H

#include "pager.h"

struct lender {
	int fd;
	uint64_t bytes;
	pid_t pid;
	uint8_t *volatile map;
};

/* Maps @bytes of @fd and sleeps until it is killed; NULL if that failed. */
struct lender *lender_start(int fd, uint64_t bytes, struct client *client);

/* What a borrower is to get: the page at @offset, of the pattern of @seed. */
struct borrow {
	struct lender *lender;
	uint64_t offset;
	uint64_t seed;
};

/* For clients; 0 if the right bytes came. */
int borrow_readv(void *borrow);		/* process_vm_readv() */
int borrow_proc_mem(void *borrow);	/* /proc/PID/mem */
int borrow_ptrace(void *borrow);	/* PTRACE_PEEKDATA */
/* Stores "borrowed" there by process_vm_writev(). */
int borrow_writev(void *borrow);

#endif
