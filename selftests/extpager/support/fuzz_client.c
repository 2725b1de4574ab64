// SPDX-License-Identifier: GPL-2.0-only
/* Clients of the targets that liars serve: whatever a program may do to a file. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

static off_t some_offset(struct fuzz_me *me)
{
	if (!fuzz_pick(me, 16))
		return fuzz_value(me, 8);
	return fuzz_pick(me, 2) ? fuzz_pick(me, FUZZ_BYTES) :
	       fuzz_pick(me, FUZZ_BYTES / PAGE) * PAGE;
}

static size_t some_length(struct fuzz_me *me)
{
	return fuzz_pick(me, 2) ? PAGE : 1 + fuzz_pick(me, 8 * PAGE);
}

static void open_some(struct fuzz_me *me)
{
	struct extpager_open o = { .size = sizeof(o), .flags = O_RDWR | O_NONBLOCK };
	const char *name = fuzz_name(me);
	char path[100];
	int fd;

	switch (fuzz_pick(me, 3)) {
	case 0:
		fd = FUZZ(me, FUZZ_OPEN_PATH, open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC));
		break;
	case 1:
		snprintf(path, sizeof(path), "/run/extpager/targets/%s", name);
		fd = FUZZ(me, FUZZ_OPEN_PATH, open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC));
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

	fuzz_begin(me, op);
	fuzz_end(me, op, (store ? try_write(p, 1, NULL) : try_read(p, NULL)) ? EFAULT : 0);
}

static void advise(struct fuzz_me *me, int fd)
{
	static const int advices[] = {
		MADV_DONTNEED, MADV_WILLNEED, MADV_PAGEOUT, MADV_COLD, MADV_RANDOM,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE,
	};

	if (fuzz_pick(me, 2))
		FUZZ(me, FUZZ_ADVISE, (errno = posix_fadvise(fd, some_offset(me), some_length(me),
							     fuzz_pick(me, 6))) ? -1 : 0);
	else if (me->map && me->map != MAP_FAILED)
		FUZZ(me, FUZZ_ADVISE, madvise(me->map + fuzz_pick(me, FUZZ_BYTES / PAGE) * PAGE,
					      PAGE, advices[fuzz_pick(me, 7)]));
}

static void punch(struct fuzz_me *me, int fd)
{
	int mode = fuzz_pick(me, 8) ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE :
				      fuzz_value(me, 1);

	FUZZ(me, FUZZ_PUNCH, fallocate(fd, mode, some_offset(me), some_length(me)));
}

void fuzz_deed(struct fuzz_me *me)
{
	static char buffer[8 * PAGE];
	int fd = fuzz_some_fd(me);

	if (fd <= 0 || !fuzz_pick(me, 64)) {
		open_some(me);
		return;
	}
	if (!me->map || me->map == MAP_FAILED || !fuzz_pick(me, 64)) {
		map_some(me, fd);
		return;
	}
	switch (fuzz_pick(me, 16)) {
	case 0: case 1:
		FUZZ(me, FUZZ_READ, pread(fd, buffer, some_length(me), some_offset(me)));
		break;
	case 2: case 3: case 4:
		FUZZ(me, FUZZ_WRITE, pwrite(fd, buffer, some_length(me), some_offset(me)));
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
		FUZZ(me, FUZZ_FSYNC, fsync(fd));
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
