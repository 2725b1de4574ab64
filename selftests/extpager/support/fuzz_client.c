// SPDX-License-Identifier: GPL-2.0-only
/* Clients of the targets that liars serve: whatever a program may do to a file. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuzz.h"

#define PATHS	"/run/extpager/targets"

static char buffer[FUZZ_BYTES];

static off_t some_offset(struct fuzz_me *me)
{
	if (!fuzz_pick(me, 16))
		return fuzz_value(me, 8);
	return fuzz_pick(me, 2) ? fuzz_pick(me, FUZZ_BYTES) :
	       fuzz_pick(me, FUZZ_BYTES / PAGE) * PAGE;
}

static size_t some_length(struct fuzz_me *me)
{
	/* A few of these and the quota is full. */
	if (!fuzz_pick(me, 16))
		return 1 + fuzz_pick(me, FUZZ_BYTES);
	return fuzz_pick(me, 2) ? PAGE : 1 + fuzz_pick(me, 8 * PAGE);
}

static void open_some(struct fuzz_me *me)
{
	static const int others[] = { O_TRUNC, O_CREAT | O_EXCL, O_DIRECT, O_PATH, O_APPEND };
	struct extpager_open o = { .size = sizeof(o), .flags = O_RDWR | O_NONBLOCK };
	int flags = O_RDWR | O_NONBLOCK | O_CLOEXEC;
	const char *name = fuzz_name(me);
	char path[100];
	int fd;

	switch (fuzz_pick(me, 3)) {
	case 0:
		fd = FUZZ(me, FUZZ_OPEN_PATH, open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC));
		break;
	case 1:
		if (!fuzz_pick(me, 8))
			flags |= others[fuzz_pick(me, 5)];
		snprintf(path, sizeof(path), PATHS "/%s", name);
		fd = FUZZ(me, FUZZ_OPEN_PATH, open(path, flags, 0600));
		break;
	default:
		strcpy(o.name, name);
		if (!me->plain)
			me->plain = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
		fd = FUZZ(me, FUZZ_OPEN, ioctl(me->plain, EXTPAGER_IOC_OPEN, &o)) ? -1 : o.out_fd;
	}
	if (fd > 0)
		fuzz_keep(me, fd);
}

/* What cannot be mapped has ended, more often than not: others come in its place. */
static void map_some(struct fuzz_me *me, int fd)
{
	if (me->map && me->map != MAP_FAILED)
		munmap(me->map, FUZZ_BYTES);
	me->map = (void *)FUZZ(me, FUZZ_MAP,
			       mmap(NULL, FUZZ_BYTES, PROT_READ | PROT_WRITE,
				    fuzz_pick(me, 4) ? MAP_SHARED : MAP_PRIVATE, fd,
				    fuzz_pick(me, 8) ? 0 : fuzz_value(me, 4) & -PAGE));
	if (me->map == MAP_FAILED)
		open_some(me);
}

/* SIGBUS stands for EFAULT. */
static void touch(struct fuzz_me *me, bool store)
{
	enum fuzz_op op = store ? FUZZ_STORE : FUZZ_LOAD;
	uint8_t *p = me->map + fuzz_pick(me, FUZZ_BYTES);
	int mem;

	/* As a debugger, for whom the fault cannot be tried again without the lock. */
	if (!fuzz_pick(me, 8)) {
		mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
		if (store)
			FUZZ(me, op, pwrite(mem, buffer, 1, (uintptr_t)p));
		else
			FUZZ(me, op, pread(mem, buffer, 1, (uintptr_t)p));
		close(mem);
		return;
	}
	fuzz_begin(me, op);
	fuzz_end(me, op, (store ? try_write(p, 1, NULL) : try_read(p, NULL)) ? EFAULT : 0);
}

static void advise(struct fuzz_me *me, int fd)
{
	static const int advices[] = {
		MADV_DONTNEED, MADV_WILLNEED, MADV_PAGEOUT, MADV_COLD, MADV_RANDOM,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_REMOVE, MADV_SEQUENTIAL,
	};

	if (fuzz_pick(me, 2))
		FUZZ(me, FUZZ_ADVISE, (errno = posix_fadvise(fd, some_offset(me), some_length(me),
							     fuzz_pick(me, 6))) ? -1 : 0);
	else if (me->map && me->map != MAP_FAILED)
		FUZZ(me, FUZZ_ADVISE, madvise(me->map + fuzz_pick(me, FUZZ_BYTES / PAGE) * PAGE,
					      PAGE, advices[fuzz_pick(me, 9)]));
}

static void punch(struct fuzz_me *me, int fd)
{
	const int modes[] = {
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, fuzz_value(me, 1),
	};
	int mode = modes[fuzz_pick(me, 8) ? 0 : fuzz_pick(me, 4)];

	FUZZ(me, FUZZ_PUNCH, fallocate(fd, mode, some_offset(me), some_length(me)));
}

static void transfer(struct fuzz_me *me, int fd, bool write)
{
	static const int others[] = { RWF_NOWAIT, RWF_DSYNC, RWF_SYNC, RWF_HIPRI, RWF_APPEND };
	int flags = fuzz_pick(me, 4) ? 0 : others[fuzz_pick(me, 5)];
	struct iovec iov = { buffer, some_length(me) };

	if (write)
		FUZZ(me, FUZZ_WRITE, pwritev2(fd, &iov, 1, some_offset(me), flags));
	else
		FUZZ(me, FUZZ_READ, preadv2(fd, &iov, 1, some_offset(me), flags));
}

/* Out of the file into a pipe, and half the time back again. */
static void splice_some(struct fuzz_me *me, int fd)
{
	off_t from = some_offset(me), to = some_offset(me);
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return;
	if (FUZZ(me, FUZZ_SPLICE, splice(fd, &from, ends[1], NULL, some_length(me), 0)) > 0 &&
	    fuzz_pick(me, 2))
		FUZZ(me, FUZZ_SPLICE, splice(ends[0], NULL, fd, &to, some_length(me), 0));
	close(ends[0]);
	close(ends[1]);
}

/* Of the target behind the fd, or of all of them. */
static void sync_some(struct fuzz_me *me, int fd)
{
	switch (fuzz_pick(me, 8)) {
	case 0:
		FUZZ(me, FUZZ_FSYNC, syncfs(fd));
		break;
	case 1:
		FUZZ(me, FUZZ_FSYNC, sync_file_range(fd, some_offset(me), some_length(me),
						     fuzz_pick(me, 8)));
		break;
	case 2:
		FUZZ(me, FUZZ_FSYNC, fdatasync(fd));
		break;
	default:
		FUZZ(me, FUZZ_FSYNC, fsync(fd));
	}
}

/* What anybody may look at: sysfs, the directory, the name of a mapped file. */
static void look(struct fuzz_me *me, int fd)
{
	static const char *const files[] = {
		"state", "policy", "size", "read_only", "quota", "dirty", "spilled", "pending",
		"port", "resident", "opens", "generation", "stats/inits",
	};
	char path[100];
	DIR *dir;

	switch (fuzz_pick(me, 3)) {
	case 0:
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		FUZZ(me, FUZZ_LOOK, readlink(path, buffer, PAGE));
		return;
	case 1:
		dir = (DIR *)FUZZ(me, FUZZ_LOOK, opendir(PATHS) ?: (void *)-1L);
		if ((long)dir == -1)
			return;
		while (FUZZ(me, FUZZ_LOOK, readdir(dir)))
			;
		closedir(dir);
		return;
	}
	snprintf(path, sizeof(path), "/sys/fs/extpager/%s/%s", fuzz_name(me),
		 files[fuzz_pick(me, sizeof(files) / sizeof(files[0]))]);
	fd = FUZZ(me, FUZZ_LOOK, open(path, O_RDONLY | O_CLOEXEC));
	if (fd < 0)
		return;
	FUZZ(me, FUZZ_LOOK, read(fd, buffer, PAGE));
	close(fd);
}

/* Of a target, by whatever way; the node's are for all who come after. */
static void change(struct fuzz_me *me, int fd)
{
	struct stat st;

	if (FUZZ(me, FUZZ_ATTRIBUTE, fstat(fd, &st)) || S_ISCHR(st.st_mode))
		return;
	switch (fuzz_pick(me, 3)) {
	case 0:
		FUZZ(me, FUZZ_ATTRIBUTE, fchmod(fd, 0600 | fuzz_value(me, 2)));
		break;
	case 1:
		FUZZ(me, FUZZ_ATTRIBUTE, fchown(fd, fuzz_pick(me, 2) ? -1 : 0,
						fuzz_value(me, 4)));
		break;
	default:
		FUZZ(me, FUZZ_ATTRIBUTE, futimens(fd, NULL));
	}
}

void fuzz_deed(struct fuzz_me *me)
{
	struct pollfd pfd;
	int fd = fuzz_some_fd(me);

	if (fd <= 0 || !fuzz_pick(me, 64)) {
		open_some(me);
		return;
	}
	if (!me->map || me->map == MAP_FAILED || !fuzz_pick(me, 64)) {
		map_some(me, fd);
		return;
	}
	switch (fuzz_pick(me, 20)) {
	case 0: case 1:
		transfer(me, fd, false);
		break;
	case 2: case 3: case 4:
		transfer(me, fd, true);
		break;
	case 5: case 6: case 7:
		if (me->map != MAP_FAILED)
			touch(me, false);
		break;
	case 8: case 9: case 10:
		if (me->map != MAP_FAILED)
			touch(me, true);
		break;
	case 11:
		sync_some(me, fd);
		break;
	case 12:
		FUZZ(me, FUZZ_MSYNC, msync(me->map, FUZZ_BYTES, MS_SYNC));
		break;
	case 13:
		punch(me, fd);
		break;
	case 14:
		advise(me, fd);
		break;
	case 15:
		splice_some(me, fd);
		break;
	case 16:
		pfd = (struct pollfd){ .fd = fd, .events = fuzz_value(me, 2) };
		FUZZ(me, FUZZ_POLL, poll(&pfd, 1, fuzz_pick(me, 2)));
		break;
	case 17:
		change(me, fd);
		break;
	case 18:
		look(me, fd);
		break;
	default:
		if (fuzz_pick(me, 2))
			FUZZ(me, FUZZ_TRUNCATE, ftruncate(fd, fuzz_value(me, 4)));
		else
			FUZZ(me, FUZZ_SEEK, lseek(fd, some_offset(me), fuzz_pick(me, 5)));
		fuzz_call(me, fd);
	}
}

int fuzz_client(void *arg)
{
	struct fuzz_me me;

	fuzz_me(&me, arg, 0);
	coverage_begin();
	for (;;)
		fuzz_deed(&me);
	return 0;
}
