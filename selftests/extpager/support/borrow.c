// SPDX-License-Identifier: GPL-2.0-only
/* Memory of another process: process_vm_readv(), /proc/PID/mem, ptrace(). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "borrow.h"
#include "object.h"

static int lend(void *arg)
{
	struct lender *l = arg;
	uint8_t *map = mmap(NULL, l->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);

	if (map == MAP_FAILED || madvise(map, l->bytes, MADV_RANDOM))
		return 1;
	l->pid = getpid();
	l->map = map;
	return pause();
}

struct lender *lender_start(int fd, uint64_t bytes, struct client *client)
{
	struct lender *l = shared_memory(sizeof(*l));

	l->fd = fd;
	l->bytes = bytes;
	*client = client_start(lend, l);
	return WAIT_FOR(SOON, l->map) ? l : NULL;
}

int borrow_readv(void *arg)
{
	struct borrow *b = arg;
	uint8_t page[PAGE];
	struct iovec local = { page, PAGE }, remote = { b->lender->map + b->offset, PAGE };

	if (process_vm_readv(b->lender->pid, &local, 1, &remote, 1, 0) != PAGE)
		return 1;
	return page_is(page, b->seed, b->offset / PAGE) ? 0 : 2;
}

int borrow_writev(void *arg)
{
	struct borrow *b = arg;
	struct iovec local = { "borrowed", 8 }, remote = { b->lender->map + b->offset, 8 };

	return process_vm_writev(b->lender->pid, &local, 1, &remote, 1, 0) != 8;
}

int borrow_proc_mem(void *arg)
{
	struct borrow *b = arg;
	uint8_t page[PAGE];
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", b->lender->pid);
	fd = open(path, O_RDONLY);
	if (pread(fd, page, PAGE, (uintptr_t)b->lender->map + b->offset) != PAGE)
		return 1;
	return page_is(page, b->seed, b->offset / PAGE) ? 0 : 2;
}

int borrow_ptrace(void *arg)
{
	struct borrow *b = arg;
	uint64_t want[PAGE / 8];
	long word;

	fill_page(want, b->seed, b->offset / PAGE);
	if (ptrace(PTRACE_SEIZE, b->lender->pid, NULL, NULL) ||
	    ptrace(PTRACE_INTERRUPT, b->lender->pid, NULL, NULL) ||
	    waitpid(b->lender->pid, NULL, __WALL) != b->lender->pid)
		return 1;
	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, b->lender->pid, b->lender->map + b->offset, NULL);
	return !errno && (uint64_t)word == want[0] ? 0 : 2;
}
