// SPDX-License-Identifier: GPL-2.0-only
/*
 * userfaultfd at its best: no huge pages that would be cleared in vain, one ioctl
 * that fills and wakes. In five ways: a thread of the client's own that blocks in
 * read(2) and brings single pages; that of another process, as pagers of others'
 * memory are; the first with many messages a read and, when
 * touches are in order, many pages an ioctl; that with the pages of shared memory,
 * into which the store is read by way of another mapping (MINOR and CONTINUE),
 * so that nothing is copied; and no thread at all, but a handler of SIGBUS where
 * the fault is, for single pages.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define BATCH		512		/* pages an ioctl: 2 MiB */
#define MESSAGES	16

static int uffd, memfd;
static const struct testcase *testcase;
static char *memory;
static char *other_mapping;		/* of the same pages; NULL: they are copied */
static size_t unit;			/* bytes an ioctl */
static unsigned int messages;		/* a read */

static void bring_copy(uint64_t start, uint64_t offset, char *buffer)
{
	struct uffdio_copy copy = {
		.dst = start + offset,
		.src = (uintptr_t)buffer,
		.len = unit,
	};

	store_read(buffer, unit, offset);
	if (ioctl(uffd, UFFDIO_COPY, &copy))
		die("UFFDIO_COPY");
}

static void bring_in_place(uint64_t start, uint64_t offset)
{
	struct uffdio_continue cont = { .range = { .start = start + offset, .len = unit } };

	store_read(other_mapping + offset, unit, offset);
	if (ioctl(uffd, UFFDIO_CONTINUE, &cont))
		die("UFFDIO_CONTINUE");
}

static void bring(uint64_t address, char *buffer)
{
	uint64_t start = (uintptr_t)memory;
	uint64_t offset = (address - start) / unit * unit;

	note_request();
	if (is_held(testcase, offset))
		return;
	if (other_mapping)
		bring_in_place(start, offset);
	else
		bring_copy(start, offset, buffer);
}

static void *serve(void *buffer)
{
	struct uffd_msg msgs[MESSAGES];
	ssize_t n;

	while ((n = read(uffd, msgs, messages * sizeof(*msgs))) > 0)
		for (size_t i = 0; i < n / sizeof(*msgs); i++)
			bring(msgs[i].arg.pagefault.address, buffer);
	die("read of the userfaultfd");
}

/* Several threads may be here at once. */
static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	char buffer[PAGE] __attribute__((aligned(PAGE)));

	bring((uintptr_t)info->si_addr, buffer);
}

static void map_missing(const struct testcase *t, uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	bool minor = features & UFFD_FEATURE_MINOR_SHMEM;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	testcase = t;
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		die("userfaultfd");
	/* Only what shmem holds can be mapped twice, or by another process. */
	memfd = -1;
	if (t->cached || minor) {
		memfd = memfd_create("userfaultfd", MFD_CLOEXEC);
		if (memfd < 0 || ftruncate(memfd, STORE_BYTES))
			die("memfd_create");
		flags = MAP_SHARED;
	}
	memory = mmap(NULL, STORE_BYTES, PROT_READ, flags, memfd, 0);
	if (memory == MAP_FAILED || madvise(memory, STORE_BYTES, MADV_NOHUGEPAGE))
		die("memory");
	if (minor) {
		other_mapping = mmap(NULL, STORE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memfd,
				     0);
		if (other_mapping == MAP_FAILED)
			die("memory");
		reg.mode |= UFFDIO_REGISTER_MODE_MINOR;
	}
	reg.range.start = (uintptr_t)memory;
	reg.range.len = STORE_BYTES;
	if (ioctl(uffd, UFFDIO_REGISTER, &reg))
		die("UFFDIO_REGISTER");
	unit = PAGE;
	messages = 1;
}

static void start_threads(void)
{
	pthread_t thread;

	for (unsigned int i = 0; i < servers; i++) {
		errno = pthread_create(&thread, NULL, serve, resident(unit));
		if (errno)
			die("thread");
	}
}

static void start(const struct testcase *t)
{
	map_missing(t, 0);
	start_threads();
}

/* Its memory is a copy of ours, but the faults are ours. */
static void start_process(const struct testcase *t)
{
	pid_t pid;

	map_missing(t, 0);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	start_threads();
	for (;;)
		pause();
}

static void start_many(const struct testcase *t, uint64_t features)
{
	map_missing(t, features);
	unit *= t->random && !t->cached ? 1 : BATCH;
	messages = MESSAGES;
	start_threads();
}

static void start_batched(const struct testcase *t)
{
	start_many(t, 0);
}

static void start_minor(const struct testcase *t)
{
	start_many(t, UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MISSING_SHMEM);
}

static void start_sigbus(const struct testcase *t)
{
	const struct sigaction action = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	map_missing(t, UFFD_FEATURE_SIGBUS);
	if (sigaction(SIGBUS, &action, NULL))
		die("sigaction");
}

/* At first the memory whose faults are ours, later what is there already. */
static char *map(const struct testcase *t)
{
	static bool mapped;

	if (mapped)
		return map_file(memfd, t);
	mapped = t->cached;
	return memory;
}

/* It cannot tell when a page is to go back. */
static bool can_any(const struct testcase *t)
{
	return !t->batch;
}

/* Once in memory, pages are the same whoever brought them. */
static bool can_bring(const struct testcase *t)
{
	return can_any(t) && !t->cached;
}

const struct system uffd_system = {
	.name = "userfaultfd",
	.can = can_bring,
	.holds = true,
	.start = start,
	.map = map,
};

const struct system uffd_process_system = {
	.name = "userfaultfd-process",
	.can = can_bring,
	.start = start_process,
	.map = map,
};

const struct system uffd_batched_system = {
	.name = "userfaultfd-batched",
	.can = can_any,
	.start = start_batched,
	.map = map,
};

const struct system uffd_sigbus_system = {
	.name = "userfaultfd-sigbus",
	.can = can_bring,
	.start = start_sigbus,
	.map = map,
};

const struct system uffd_minor_system = {
	.name = "userfaultfd-minor",
	.can = can_bring,
	.start = start_minor,
	.map = map,
};
