// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is not to be had. Of each operation the first allocation fails, then
 * the second, and so on until it does not make so many; a copy from or to user
 * memory counts as one. Each time the operation succeeds or says why not, succeeds
 * when it is tried again, and leaves nothing behind: no request, no reference to
 * the module, and the right bytes. Leaks and splats are the runner's to find.
 */
/* vm: swap=64M kernels=debug timeout=600 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/genl.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/ways.h"
#include "support/worker.h"

#define SYSFS	"/sys/fs/extpager/" TARGET "/"
#define OTHER	"failnth"	/* a target beside the one that is served */
#define PAGES	128
#define BYTES	(PAGES * PAGE)
#define SEED	5
#define SOME	48		/* pages of an operation on many; a request grows for them */
#define RUN	(SOME * PAGE)
#define AT	(40 * PAGE)	/* where operations on the object begin */
#define MOST	2000		/* no operation allocates so often */
#define FIRST	4		/* so many allocations fail in any run */
#define NOBODY	65534
#define SOMEBODY 1000
#define UNPRIVILEGED "/sys/module/extpager/parameters/unprivileged_pagers"
#define SPILL_MS 60000		/* the spill tries again every second */

/* What operations work on, and what they make. */
struct bench {
	struct server server;	/* of the target that all ways lead to */
	struct socket s, listener;
	unsigned int added, deleted;	/* how often the other target was, and is told to be */
	int fd;			/* of the object */
	uint8_t *map;		/* all of it, shared */
	uint8_t *want, *got;	/* its bytes as they shall be, as they are */
	int made;		/* fd, 0 if there is none */
	uint8_t *made_map;	/* NULL if there is none */
	size_t made_len;
	int pipe[2];
	/* The test as a pager of an object of its own. */
	struct pager p;
	int own;		/* fd of the object */
	struct worker w;	/* who uses it */
	struct extpager_event ev;
	uint64_t object, other;
	uint32_t generation;
	uint64_t seed;
	int file;		/* registered by it */
	int nth;		/* /proc/thread-self/fail-nth */
};

struct operation {
	const char *name;
	int (*run)(struct bench *b);	/* 0 or -errno */
	bool (*before)(struct bench *b);
	bool (*after)(struct bench *b);
	int may;			/* errno that it may end with beside the usual */
	int done;			/* that of a second try if the first one was heard */
};

/* ---- failures ---- */

static bool set(const char *what, const char *setting, const char *value)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", what, setting);
	return write_file(path, value);
}

static bool set_number(const char *what, const char *setting, unsigned long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%#lx", value);
	return set(what, setting, text);
}

/* Allocations fail whatever they may wait for; nothing is said of it. */
static bool set_up_failures(struct bench *b)
{
	b->nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	return b->nth >= 0 &&
	       set("failslab", "ignore-gfp-wait", "N") && set("failslab", "verbose", "0") &&
	       set("fail_page_alloc", "ignore-gfp-wait", "N") &&
	       set("fail_page_alloc", "ignore-gfp-highmem", "N") &&
	       set("fail_page_alloc", "min-order", "0") &&
	       set("fail_page_alloc", "verbose", "0") && set("fail_usercopy", "verbose", "0");
}

static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };

static bool set_range(const char *start_setting, unsigned long start,
		      const char *end_setting, unsigned long end)
{
	bool ok = true;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		ok = ok && set_number(kinds[i], start_setting, start) &&
		     set_number(kinds[i], end_setting, end);
	return ok;
}

/* Only what has a caller between @start and @end is made to fail, or counted. */
static bool only_below(unsigned long start, unsigned long end)
{
	return set_range("require-start", start, "require-end", end);
}

static bool not_below(unsigned long start, unsigned long end)
{
	return set_range("reject-start", start, "reject-end", end);
}

/* @percent of the allocations that the module makes in whatever task, workers too. */
static bool fail_at_random(unsigned int percent)
{
	unsigned long size = read_number("/sys/module/extpager/coresize", NULL), text = 0;
	FILE *f = fopen("/sys/module/extpager/sections/.text", "r");
	unsigned int i;

	if (!f || fscanf(f, "%lx", &text) != 1 || !only_below(text, text + size))
		return false;
	fclose(f);
	for (i = 0; i < 2; i++)
		if (!set_number(kinds[i], "times", -1U) ||
		    !set_number(kinds[i], "probability", percent))
			return false;
	return true;
}

static bool fail_no_more(void)
{
	return set("failslab", "probability", "0") && set("fail_page_alloc", "probability", "0") &&
	       only_below(0, ~0UL) && not_below(0, 0);
}

static bool arm(struct bench *b, unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	return pwrite(b->nth, text, len, 0) == len;
}

/* Has something failed since? To ask is a copy, too: should it fail, nothing had before. */
static bool disarm(struct bench *b)
{
	char text[16] = "";
	bool hit = pread(b->nth, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;

	if (pwrite(b->nth, "0", 1, 0) != 1)
		pwrite(b->nth, "0", 1, 0);
	return hit;
}

static bool complain(const struct operation *op, unsigned int n, const char *what, int result)
{
	printf("# %s, allocation %u: %s (%s)\n", op->name, n, what,
	       result < 0 ? strerror(-result) : "-");
	fflush(stdout);
	return false;
}

static bool is_sane(const struct operation *op, int result)
{
	return result == -ENOMEM || result == -EFAULT || result == -op->may;
}

/* Each, or in a usual run some of those of a long operation; every time others. */
static unsigned int next_of(unsigned int n, uint64_t *random)
{
	return n + (n < FIRST ? 1 : 1 + test_random(random) % test_rounds(1, 1, 32));
}

static bool sweep(struct bench *b, const struct operation *op)
{
	unsigned int n, misses = 0, failed = 0, refused = 0;
	long references = module_references();
	uint64_t random = test_seed(110);

	for (n = 1; n < MOST && misses < 3; n = next_of(n, &random)) {
		int result, again = 0;
		bool hit;

		if (op->before && !op->before(b))
			return complain(op, n, "what comes before failed", 0);
		if (!arm(b, n))
			return complain(op, n, "cannot be made to fail", -errno);
		result = op->run(b);
		hit = disarm(b);
		if (result && !hit)
			return complain(op, n, "an error for nothing", result);
		if (result && !is_sane(op, result))
			return complain(op, n, "an odd error", result);
		if (result)
			again = op->run(b);
		if (again && again != -op->done)
			return complain(op, n, "the second try failed", again);
		if (op->after && !op->after(b))
			return complain(op, n, "what comes after failed", result);
		if (!WAIT_FOR(SOON, !read_number(SYSFS "pending", NULL)))
			return complain(op, n, "a request is left", result);
		misses = hit ? 0 : misses + 1;
		failed += hit;
		refused += !!result;
	}
	printf("# count %s: failed=%u refused=%u\n", op->name, failed, refused);
	fflush(stdout);
	if (misses < 3 || !failed)
		return complain(op, n, "never went through, or never failed", 0);
	/* Of what came before some may have been on its way out. */
	return WAIT_FOR(SOON, module_references() <= references) ||
	       complain(op, n, "references to the module are left", 0);
}

static int errno_if(bool failed)
{
	return failed ? -errno : 0;
}

/* What was moved of @len bytes: less is an error like any other. */
static int errno_of(ssize_t n, size_t len)
{
	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EFAULT;
}

static bool unmake(struct bench *b)
{
	bool ok = true;

	if (b->made_map)
		ok = !munmap(b->made_map, b->made_len);
	if (b->made)
		ok = !close(b->made) && ok;
	b->made_map = NULL;
	b->made = 0;
	return ok;
}

/* How many of them did not bear it: says which, and why. */
static unsigned int sweep_all(struct bench *b, const struct operation *op, unsigned int nr)
{
	unsigned int bad = 0;

	for (; nr; nr--, op++) {
		bad += !sweep(b, op);
		unmake(b);
	}
	return bad;
}

#define EXPECT_BORNE(ops) EXPECT_EQ(0, sweep_all(self->b, ops, ARRAY_SIZE(ops)))

static int open_path(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int make_fd(struct bench *b, int fd)
{
	if (fd < 0)
		return fd;
	b->made = fd;
	return 0;
}

static int make_map(struct bench *b, size_t len, int prot, int flags, int fd, off_t offset)
{
	void *map = mmap(NULL, len, prot, flags, fd, offset);

	if (map == MAP_FAILED)
		return -errno;
	b->made_map = map;
	b->made_len = len;
	return 0;
}

/* ---- clients: what the served target's object can be asked for ---- */

/* No page of it is in memory. */
static bool cold(struct bench *b)
{
	return !madvise(b->map, BYTES, MADV_DONTNEED) && !fsync(b->fd) &&
	       !madvise(b->map, BYTES, MADV_NORMAL) &&
	       WAIT_FOR(SOON, (posix_fadvise(b->fd, 0, 0, POSIX_FADV_DONTNEED),
			       !read_number(SYSFS "resident", NULL)));
}

static bool cold_random(struct bench *b)
{
	return cold(b) && !madvise(b->map, BYTES, MADV_RANDOM);
}

/* Every byte is what was written last, in memory and in the store. */
static bool right(struct bench *b)
{
	return pread(b->fd, b->got, BYTES, 0) == (ssize_t)BYTES &&
	       !memcmp(b->got, b->want, BYTES) && !fsync(b->fd) &&
	       !memcmp(b->server.store, b->want, BYTES);
}

static bool warm(struct bench *b)
{
	return cold(b) && right(b);
}

/* New bytes are to be written at AT. */
static bool cold_and_new(struct bench *b)
{
	unsigned int i;

	b->seed++;
	for (i = 0; i < SOME; i++)
		fill_page(b->want + AT + i * PAGE, b->seed, AT / PAGE + i);
	return cold(b);
}

static bool dirty(struct bench *b)
{
	return cold_and_new(b) && pwrite(b->fd, b->want + AT, RUN, AT) == (ssize_t)RUN;
}

/* An access is tried again by itself until there is memory. */
static int touched(int code)
{
	return code ? -EIO : 0;
}

static int run_load(struct bench *b)
{
	return touched(try_read(b->map + AT, NULL));
}

/* What is there already, so that no byte changes. */
static int run_store(struct bench *b)
{
	return touched(try_write(b->map + AT, b->want[AT], NULL));
}

static bool warm_private(struct bench *b)
{
	return warm(b) && !make_map(b, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, b->fd, 0);
}

static int run_store_private(struct bench *b)
{
	return touched(try_write(b->made_map + AT, ~b->want[AT], NULL));
}

static bool unmake_right(struct bench *b)
{
	return unmake(b) && right(b);
}

static int run_advise(struct bench *b)
{
	return errno_if(madvise(b->map + AT, RUN, MADV_WILLNEED));
}

static int run_populate_read(struct bench *b)
{
	return errno_if(madvise(b->map + AT, RUN, MADV_POPULATE_READ));
}

static int run_populate_write(struct bench *b)
{
	return errno_if(madvise(b->map + AT, RUN, MADV_POPULATE_WRITE));
}

static int run_mlock(struct bench *b)
{
	return errno_if(mlock(b->map + AT, RUN));
}

static bool unlock_right(struct bench *b)
{
	return !munlock(b->map + AT, RUN) && right(b);
}

static int run_mmap(struct bench *b)
{
	return make_map(b, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
}

static int run_mmap_populate(struct bench *b)
{
	return make_map(b, RUN, PROT_READ, MAP_SHARED | MAP_POPULATE, b->fd, AT);
}

static int run_read_new(struct bench *b)
{
	return errno_of(pread(b->fd, b->got + AT, RUN, AT), RUN);
}

static int run_read_page(struct bench *b)
{
	return errno_of(pread(b->fd, b->got, PAGE, AT), PAGE);
}

static int run_read(struct bench *b)
{
	return errno_of(pread(b->fd, b->got, RUN, AT + 100), RUN);
}

/* It is asked for, and not waited for. */
static int run_read_nowait(struct bench *b)
{
	struct iovec iov = { b->got, PAGE };
	ssize_t n = preadv2(b->fd, &iov, 1, AT, RWF_NOWAIT);

	return n < 0 && errno == EAGAIN ? 0 : errno_of(n, PAGE);
}

static int run_splice(struct bench *b)
{
	loff_t at = AT;

	return errno_of(splice(b->fd, &at, b->pipe[1], NULL, PAGE, SPLICE_F_NONBLOCK), PAGE);
}

/* Also in it may be what came before the copy that failed. */
static bool pipe_right(struct bench *b)
{
	unsigned int pages = 0;

	for (; read(b->pipe[0], b->got, PAGE) == (ssize_t)PAGE; pages++)
		if (memcmp(b->got, b->want + AT, PAGE))
			return false;
	return pages && right(b);
}

static int run_write(struct bench *b)
{
	return errno_of(pwrite(b->fd, b->want + AT, RUN, AT), RUN);
}

static int run_write_part(struct bench *b)
{
	/* The middle, and what lies around it. */
	return errno_of(pwrite(b->fd, b->want + AT + 100, RUN - 200, AT + 100), RUN - 200) ?:
	       errno_of(pwrite(b->fd, b->want + AT, 100, AT), 100) ?:
	       errno_of(pwrite(b->fd, b->want + AT + RUN - 100, 100, AT + RUN - 100), 100);
}

static int run_fsync(struct bench *b)
{
	return errno_if(fsync(b->fd));
}

static int run_msync(struct bench *b)
{
	return errno_if(msync(b->map, BYTES, MS_SYNC));
}

static int run_syncfs(struct bench *b)
{
	return errno_if(syncfs(b->fd));
}

static int run_sync_range(struct bench *b)
{
	return errno_if(sync_file_range(b->fd, 0, 0, SYNC_FILE_RANGE_WRITE |
					SYNC_FILE_RANGE_WAIT_AFTER));
}

static int run_willneed(struct bench *b)
{
	return -posix_fadvise(b->fd, AT, RUN, POSIX_FADV_WILLNEED);
}

static int run_failures(struct bench *b)
{
	struct extpager_failures f = { .size = sizeof(f) };

	return errno_if(ioctl(b->fd, EXTPAGER_IOC_FAILURES, &f));
}

static int read_opened(struct bench *b, int fd)
{
	int ret = make_fd(b, fd);

	ret = ret ?: errno_of(pread(b->made, b->got, PAGE, AT), PAGE);
	if (ret)
		unmake(b);
	return ret;
}

static int run_by_open(struct bench *b)
{
	return read_opened(b, target_open(TARGET, O_RDWR));
}

static int run_by_device(struct bench *b)
{
	return read_opened(b, open_path(EXTPAGER_DEVICE));
}

static int run_by_path(struct bench *b)
{
	return read_opened(b, open_path("/run/extpager/targets/" TARGET));
}

static const struct operation client_ops[] = {
	{ "open by ioctl and read", run_by_open, .before = cold, .after = unmake_right },
	{ "open the device and read", run_by_device, .before = cold, .after = unmake_right },
	{ "open by path and read", run_by_path, .before = cold, .after = unmake_right },
	{ "mmap", run_mmap, .after = unmake },
	{ "mmap, populated", run_mmap_populate, .before = cold, .after = unmake_right },
	{ "load", run_load, .before = cold, .after = right },
	{ "load, at random", run_load, .before = cold_random, .after = right },
	{ "load what is here", run_load, .before = warm, .after = right },
	{ "store", run_store, .before = cold, .after = right },
	{ "store, at random", run_store, .before = cold_random, .after = right },
	{ "store to what is here", run_store, .before = warm, .after = right },
	{ "store to a private mapping", run_store_private, .before = warm_private,
	  .after = unmake_right },
	{ "madvise WILLNEED", run_advise, .before = cold, .after = right },
	{ "madvise POPULATE_READ", run_populate_read, .before = cold, .after = right },
	{ "madvise POPULATE_WRITE", run_populate_write, .before = cold, .after = right },
	{ "mlock", run_mlock, .before = cold, .after = unlock_right, .may = EAGAIN },
};

static const struct operation file_ops[] = {
	{ "read a page", run_read_page, .before = cold, .after = right },
	{ "read", run_read, .before = cold, .after = right },
	{ "read without waiting", run_read_nowait, .before = cold, .after = right },
	{ "splice", run_splice, .before = cold, .after = pipe_right },
	{ "write", run_write, .before = cold_and_new, .after = right },
	{ "write parts of pages", run_write_part, .before = cold_and_new, .after = right },
	{ "fadvise WILLNEED", run_willneed, .before = cold, .after = right },
	{ "fsync", run_fsync, .before = dirty, .after = right },
	{ "msync", run_msync, .before = dirty, .after = right },
	{ "syncfs", run_syncfs, .before = dirty, .after = right },
	{ "sync_file_range", run_sync_range, .before = dirty, .after = right },
	{ "FAILURES", run_failures, .may = 0 },
};

/* ---- the administrator: netlink, the path file system, sysfs ---- */

#define MOUNTPOINT	"/run/failnth"

/* How often the target was told of, in an answer. */
static void count_it(struct nlmsghdr *nh, void *arg)
{
	struct nlattr *name = find(nh, EXTPAGER_A_TARGET_NAME);

	if (name && !strcmp((char *)(name + 1), TARGET))
		++*(unsigned int *)arg;
}

/* An answer may be lost; what is left of it must not be taken for the next one. */
static int tell(struct bench *b, struct message *m, unsigned int flags, bool tells)
{
	unsigned int told = 0;
	int ret = talk(&b->s, m, flags, count_it, &told);

	if (!ret)
		return tells && told != 1 ? -EPROTO : 0;
	close(b->s.fd);
	return open_socket(&b->s) ? ret : -EPROTO;
}

static int run_add(struct bench *b)
{
	struct message m = message(b->s.family, EXTPAGER_CMD_TARGET_ADD);

	put_string(&m, EXTPAGER_A_TARGET_NAME, OTHER);
	put_string(&m, EXTPAGER_A_TARGET_STORE, "mem:");
	put_u64(&m, EXTPAGER_A_TARGET_BYTES, BYTES);
	return tell(b, &m, 0, false);
}

/* How often it was told that the other target is gone. */
static unsigned int told_deleted(struct bench *b)
{
	struct nlmsghdr *nh = (void *)b->listener.buf;

	while (recv(b->listener.fd, nh, sizeof(b->listener.buf), MSG_DONTWAIT) > 0) {
		struct nlattr *name = find(nh, EXTPAGER_A_TARGET_NAME);

		b->deleted += name && !strcmp((char *)(name + 1), OTHER) &&
			      number_of(find(nh, EXTPAGER_A_TARGET_EVENT)) ==
			      EXTPAGER_EVENT_DELETED;
	}
	return b->deleted;
}

/* Once; of one that could not be made nothing is told. */
static bool other_there(struct bench *b)
{
	b->added++;
	return target_state(OTHER) == EXTPAGER_STATE_NEW && target_gone(OTHER) &&
	       WAIT_FOR(SOON, told_deleted(b) >= b->added) && b->deleted == b->added;
}

static bool add_other(struct bench *b)
{
	return !target_add(OTHER, &(struct target_options){ .bytes = BYTES });
}

static int run_del(struct bench *b)
{
	struct message m = message(b->s.family, EXTPAGER_CMD_TARGET_DEL);

	put_string(&m, EXTPAGER_A_TARGET_NAME, OTHER);
	put_flag(&m, EXTPAGER_A_TARGET_DISCARD);
	return tell(b, &m, 0, false);
}

/* The first try was heard if the target is on its way out, or gone. */
static int run_del_once(struct bench *b)
{
	int ret = run_del(b);

	return ret == -EALREADY ? -ENOENT : ret;
}

static bool other_gone(struct bench *b)
{
	return WAIT_FOR(SOON, !target_state(OTHER));
}

static int run_set(struct bench *b)
{
	struct message m = message(b->s.family, EXTPAGER_CMD_TARGET_SET);

	put_string(&m, EXTPAGER_A_TARGET_NAME, TARGET);
	put_u32(&m, EXTPAGER_A_TARGET_SYNC_MS, 50000);
	return tell(b, &m, 0, false);
}

static int ask(struct bench *b, uint8_t cmd, bool one, bool tells)
{
	struct message m = message(b->s.family, cmd);

	if (one)
		put_string(&m, EXTPAGER_A_TARGET_NAME, TARGET);
	return tell(b, &m, one ? 0 : NLM_F_DUMP, tells);
}

static int run_get(struct bench *b)
{
	return ask(b, EXTPAGER_CMD_TARGET_GET, true, true);
}

static int run_list(struct bench *b)
{
	return ask(b, EXTPAGER_CMD_TARGET_GET, false, true);
}

static int run_stats(struct bench *b)
{
	return ask(b, EXTPAGER_CMD_STATS_GET, true, true);
}

static int run_list_stats(struct bench *b)
{
	return ask(b, EXTPAGER_CMD_STATS_GET, false, true);
}

static int run_list_ports(struct bench *b)
{
	return ask(b, EXTPAGER_CMD_PORT_GET, false, false);
}

static int run_list_requests(struct bench *b)
{
	return ask(b, EXTPAGER_CMD_REQUEST_GET, false, false);
}

static bool mountpoint(struct bench *b)
{
	return !mkdir(MOUNTPOINT, 0755) || errno == EEXIST;
}

static int run_mount(struct bench *b)
{
	return errno_if(mount("none", MOUNTPOINT, EXTPAGER_FS_TYPE, 0, NULL));
}

/* Whatever was mounted is, all of it. */
static bool unmounted(struct bench *b)
{
	bool ok = !umount(MOUNTPOINT);

	while (!umount(MOUNTPOINT))
		;
	return ok && errno == EINVAL;
}

static bool mounted(struct bench *b)
{
	return mountpoint(b) && !run_mount(b);
}

static int run_umount(struct bench *b)
{
	return errno_if(umount(MOUNTPOINT));
}

static int run_stat(struct bench *b)
{
	struct stat st;

	return stat(MOUNTPOINT "/" TARGET, &st) ? -errno : st.st_size == BYTES ? 0 : -EPROTO;
}

static int run_chmod(struct bench *b)
{
	return errno_if(chmod(MOUNTPOINT "/" TARGET, 0640));
}

static int run_readdir(struct bench *b)
{
	DIR *dir = opendir(MOUNTPOINT);
	unsigned int found = 0;
	struct dirent *entry;
	int error;

	if (!dir)
		return -errno;
	errno = 0;
	while ((entry = readdir(dir)))
		found += !strcmp(entry->d_name, TARGET);
	error = errno;
	closedir(dir);
	return error ? -error : found == 1 ? 0 : -EPROTO;
}

static int run_sysfs(struct bench *b)
{
	static const char *const files[] = { "state", "dirty", "generation", "stats/inits" };
	char path[64], text[32];
	unsigned int i;
	int ret = 0;

	for (i = 0; i < ARRAY_SIZE(files) && !ret; i++) {
		int fd;

		snprintf(path, sizeof(path), SYSFS "%s", files[i]);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			return -errno;
		ret = read(fd, text, sizeof(text)) < 1 ? -errno : 0;
		close(fd);
	}
	return ret;
}

static const struct operation admin_ops[] = {
	{ "add a target", run_add, .after = other_there, .may = ENOBUFS, .done = EEXIST },
	{ "delete a target", run_del_once, .before = add_other, .after = other_gone,
	  .may = ENOBUFS, .done = ENOENT },
	{ "change a target", run_set, .may = ENOBUFS },
	{ "ask for a target", run_get, .may = ENOBUFS },
	{ "list targets", run_list, .may = ENOBUFS },
	{ "ask for counters", run_stats, .may = ENOBUFS },
	{ "list counters", run_list_stats, .may = ENOBUFS },
	{ "list ports", run_list_ports, .may = ENOBUFS },
	{ "list requests", run_list_requests, .may = ENOBUFS },
	{ "mount", run_mount, .before = mountpoint, .after = unmounted },
	{ "look at a path", run_stat, .before = mounted, .after = unmounted },
	{ "list paths", run_readdir, .before = mounted, .after = unmounted },
	{ "change a path", run_chmod, .before = mounted, .after = unmounted },
	{ "unmount", run_umount, .before = mounted, .done = EINVAL },
	{ "read sysfs", run_sysfs, .may = 0 },
};

/* ---- the pager ---- */

static int setup(int fd)
{
	struct extpager_setup s = { .size = sizeof(s), .abi_version = EXTPAGER_ABI_VERSION,
				    .nr_queues = 2, .ring_entries = 16 };

	return errno_if(ioctl(fd, EXTPAGER_IOC_SETUP, &s));
}

static int run_open_node(struct bench *b)
{
	return make_fd(b, open_path(EXTPAGER_DEVICE));
}

/* What SETUP made cannot be made again if its answer was lost: that is seen on a new fd. */
static int run_setup(struct bench *b)
{
	int ret = run_open_node(b) ?: setup(b->made);

	if (ret)
		unmake(b);
	return ret;
}

static int adopt(void *arg)
{
	return -setup(*(int *)arg);
}

static bool orphaned_port(struct bench *b)
{
	struct client c;

	if (run_open_node(b))
		return false;
	c = client_start(adopt, &b->made);
	return !client_result(&c, SOON);
}

static int run_take_over(struct bench *b)
{
	return setup(b->made);
}

static int run_map_ring(struct bench *b)
{
	return make_map(b, b->p.setup.out_kernel_len, PROT_READ, MAP_SHARED, b->p.fd,
			b->p.setup.out_kernel_off);
}

static int run_attach(struct bench *b)
{
	return pager_attach(&b->p, OTHER, &b->other, NULL);
}

static bool detached(struct bench *b)
{
	return !pager_detach(&b->p, b->other) && target_state(OTHER) == EXTPAGER_STATE_ORPHANED;
}

static bool attached(struct bench *b)
{
	return !run_attach(b);
}

static int run_detach(struct bench *b)
{
	return pager_detach(&b->p, b->other);
}

static int run_create(struct bench *b)
{
	return make_fd(b, pager_create(&b->p, BYTES, 0, &b->other));
}

static bool created(struct bench *b)
{
	return !run_create(b);
}

static int run_destroy(struct bench *b)
{
	struct extpager_reply re = { .op = EXTPAGER_RE_DESTROY, .flags = EXTPAGER_REF_DISCARD,
				     .object = b->other };

	return pager_reply(&b->p, &re);
}

static bool destroyed(struct bench *b)
{
	return !run_destroy(b) && unmake(b);
}

static int run_accept(struct bench *b)
{
	struct extpager_accept a = { .size = sizeof(a) };

	return errno_if(ioctl(b->made, EXTPAGER_IOC_ACCEPT, &a));
}

/* By another user, so that for the next one there is something to allocate. */
static bool created_and_accepted(struct bench *b)
{
	return created(b) && !seteuid(SOMEBODY) && !run_accept(b) && !seteuid(0);
}

/* The object, used now, is left to the port's end. */
static bool accepted(struct bench *b)
{
	return !make_map(b, BYTES, PROT_READ, MAP_SHARED, b->made, 0) && unmake(b);
}

static int run_reopen(struct bench *b)
{
	return make_fd(b, pager_reopen(&b->p, b->object, O_RDWR));
}

static int run_port_failures(struct bench *b)
{
	struct extpager_failures f = { .size = sizeof(f), .object = b->object };

	return errno_if(ioctl(b->p.fd, EXTPAGER_IOC_FAILURES, &f));
}

static int run_wake(struct bench *b)
{
	struct extpager_wake wake = { .size = sizeof(wake) };

	return errno_if(ioctl(b->p.fd, EXTPAGER_IOC_WAKE, &wake));
}

/* Sleeps a little, and is either woken by the one before or in vain. */
static int run_enter(struct bench *b)
{
	struct extpager_enter e = { .size = sizeof(e), .min_complete = 1, .timeout_ns = 1000000 };
	int ret = errno_if(ioctl(b->p.fd, EXTPAGER_IOC_ENTER, &e));

	return ret == -ETIME || ret == -EINTR ? 0 : ret;
}

/* Others are of the past: of objects that are gone, or told only. */
static bool next_of_op(struct bench *b, unsigned int op)
{
	while (pager_event(&b->p, &b->ev, SOON))
		if (b->ev.op == op)
			return true;
	return false;
}

/* The named target is used for the first time since its pager came. */
static bool init_comes(struct bench *b)
{
	return attached(b) && !make_fd(b, target_open(OTHER, O_RDWR | O_NONBLOCK)) &&
	       next_of_op(b, EXTPAGER_EV_INIT);
}

static int run_ready(struct bench *b)
{
	return pager_ready(&b->p, &b->ev, 0, EXTPAGER_ATTR_MAY_CACHE);
}

static bool ready_and_detached(struct bench *b)
{
	int fd = target_open(OTHER, O_RDWR);	/* waits for READY */

	return fd >= 0 && !close(fd) && unmake(b) && detached(b);
}

/* Pages are missing, and nobody waits for them. */
static bool request_comes(struct bench *b)
{
	return worker_evicts(&b->w, 0, RUN) && !prefetch(b->own, 0, SOME) &&
	       next_of_op(b, EXTPAGER_EV_DATA_REQUEST) && b->ev.length == RUN;
}

static bool evicted(struct bench *b)
{
	return worker_evicts(&b->w, 0, RUN);
}

static int run_supply(struct bench *b)
{
	return pager_supply(&b->p, &b->ev, b->seed);
}

static bool supplied(struct bench *b)
{
	return worker_do(&b->w, do_read, 0, RUN, b->seed) == 0;
}

/* A file with the run's bytes, or all of the object's. */
static bool file_of(struct bench *b, uint64_t pages)
{
	b->made = memfd_create("failnth", MFD_CLOEXEC);
	return fill_pages(b->made, 0, pages, b->seed);
}

static bool file_made(struct bench *b)
{
	return file_of(b, SOME);
}

static int run_register(struct bench *b)
{
	b->file = pager_register(&b->p, b->made);
	return b->file < 0 ? b->file : 0;
}

static bool registered(struct bench *b)
{
	return !pager_unregister(&b->p, b->file) && unmake(b);
}

static bool request_for_file_comes(struct bench *b)
{
	return file_made(b) && !run_register(b) && request_comes(b);
}

static int run_supply_file(struct bench *b)
{
	return pager_supply_file(&b->p, &b->ev, b->file, 0);
}

static bool supplied_from_file(struct bench *b)
{
	return supplied(b) && registered(b);
}

static int run_supply_zeros(struct bench *b)
{
	return pager_supply_zero(&b->p, &b->ev);
}

static bool supplied_zeros(struct bench *b)
{
	return worker_do(&b->w, do_read_zeros, 0, RUN, 0) == 0;
}

static int run_error(struct bench *b)
{
	return pager_error(&b->p, &b->ev, b->ev.offset, b->ev.length, EIO);
}

static bool none_here(struct bench *b)
{
	return worker_do(&b->w, do_resident, 0, RUN, 0) == 0;
}

static int run_push(struct bench *b)
{
	return pager_push(&b->p, b->object, b->generation, b->seed, 0, RUN, NULL);
}

static bool return_comes(struct bench *b)
{
	if (worker_do(&b->w, do_write, 0, RUN, ++b->seed) != (long)RUN)
		return false;
	worker_begin(&b->w, do_fsync, 0, 0, 0);
	return next_of_op(b, EXTPAGER_EV_DATA_RETURN);
}

static int run_fetch(struct bench *b)
{
	return pager_fetch(&b->p, &b->ev, b->p.buffer);
}

static int run_return_done(struct bench *b)
{
	return pager_return_done(&b->p, &b->ev, 0);
}

static bool return_for_file_comes(struct bench *b)
{
	return file_made(b) && !run_register(b) && return_comes(b);
}

static int run_return_file(struct bench *b)
{
	return pager_return_file(&b->p, &b->ev, b->file, 0);
}

/* The store has them by now, or would. */
static bool synced(struct bench *b)
{
	return WAIT_FOR(SOON, !worker_busy(&b->w) || (pager_event(&b->p, &b->ev, 1) &&
			(b->ev.op == EXTPAGER_EV_SYNC ? pager_sync_done(&b->p, &b->ev, 0) :
			 b->ev.op == EXTPAGER_EV_DATA_RETURN ?
			 pager_return_done(&b->p, &b->ev, 0) : 0, false))) &&
	       worker_end(&b->w, 0) == 0 && supplied(b);
}

static bool fetched(struct bench *b)
{
	uint64_t i, first = b->ev.offset / PAGE;

	for (i = 0; i < b->ev.length / PAGE; i++)
		if (!page_is((uint8_t *)b->p.buffer + i * PAGE, b->seed, first + i))
			return false;
	return !run_return_done(b) && synced(b);
}

static bool written_to_file(struct bench *b)
{
	uint8_t page[PAGE];
	uint64_t i;

	if (!synced(b))
		return false;
	for (i = 0; i < RUN / PAGE; i++)
		if (pread(b->made, page, PAGE, i * PAGE) != (ssize_t)PAGE ||
		    !page_is(page, b->seed, i))
			return false;
	return registered(b);
}

static bool sync_comes(struct bench *b)
{
	return return_comes(b) && !run_return_done(b) && next_of_op(b, EXTPAGER_EV_SYNC);
}

static int run_sync_done(struct bench *b)
{
	return pager_sync_done(&b->p, &b->ev, 0);
}

static int run_attributes(struct bench *b)
{
	struct extpager_reply re = { .op = EXTPAGER_RE_ATTRIBUTES, .object = b->object,
				     .generation = b->generation,
				     .attributes = EXTPAGER_ATTR_MAY_CACHE };

	return pager_reply(&b->p, &re);
}

static bool in_force(struct bench *b)
{
	return next_of_op(b, EXTPAGER_EV_ATTRIBUTES);
}

/* ---- one request more than there are ---- */

#define REQUESTS 48	/* page-ins in a target's first table; the rest is kept for others */

/* A fresh target whose pager has been asked so much that the next request needs memory. */
static bool nearly_full(struct bench *b)
{
	unsigned int i;

	if (!target_gone(OTHER) || !add_other(b) || !init_comes(b) || run_ready(b))
		return false;
	for (i = 0; i < REQUESTS; i++)
		if (prefetch(b->made, 2 * i, 1) || !next_of_op(b, EXTPAGER_EV_DATA_REQUEST))
			return false;
	return true;
}

static int run_ask_for_more(struct bench *b)
{
	return -prefetch(b->made, 2 * REQUESTS, 1);
}

/* It was, or is now. */
static bool asked_for_more(struct bench *b)
{
	return (pager_event(&b->p, &b->ev, QUIET) || (!run_ask_for_more(b) &&
		pager_event(&b->p, &b->ev, SOON))) && b->ev.offset == 2 * REQUESTS * PAGE &&
	       !pager_supply_zero(&b->p, &b->ev) && unmake(b) && target_gone(OTHER) &&
	       add_other(b);
}

/* ---- what is delegated ---- */

/* The device that the pager has registered holds its object from the first byte on. */
static struct extpager_range handed(const struct bench *b, uint64_t first, uint64_t nr)
{
	return (struct extpager_range){
		.offset = first * PAGE, .length = nr * PAGE, .pos = first * PAGE, .file = b->file,
	};
}

static int delegate(struct bench *b, unsigned int flags, const struct extpager_range *range,
		    unsigned int nr)
{
	return pager_delegate(&b->p, b->object, b->generation, flags, range, nr);
}

/* A file of its own, of which the device is all that keeps it. */
static bool device_made(struct bench *b)
{
	if (!file_of(b, PAGES))
		return false;
	b->file = pager_use(&b->p, loop_over(b->made));
	return b->file > 0 && unmake(b);
}

static bool none_delegated(struct bench *b)
{
	struct extpager_range all = { .length = BYTES };

	return evicted(b) && !delegate(b, EXTPAGER_DELEGATE_REVOKE, &all, 1);
}

static bool one_delegated(struct bench *b)
{
	struct extpager_range all = handed(b, 0, PAGES);

	return none_delegated(b) && !delegate(b, 0, &all, 1);
}

static bool none_delegated_and_asked_for(struct bench *b)
{
	return none_delegated(b) && request_comes(b);
}

/* In the middle of another, whose other parts stay. */
static int run_delegate_one(struct bench *b)
{
	struct extpager_range range = handed(b, 1, 1);

	range.flags = EXTPAGER_RANGE_RDONLY;
	return delegate(b, 0, &range, 1);
}

#define RANGES	(SOME / 2)	/* the table for them is in one piece, which may not be had */

/* Each is otherwise than its neighbours, so that all have a place in the table. */
static int run_delegate(struct bench *b)
{
	struct extpager_range range[RANGES];
	unsigned int i;

	for (i = 0; i < RANGES; i++) {
		range[i] = handed(b, 2 * i, i < RANGES - 1 ? 2 : PAGES - 2 * i);
		range[i].flags = i % 2 ? EXTPAGER_RANGE_RDONLY : 0;
	}
	return delegate(b, 0, range, RANGES);
}

static bool all_delegated(struct bench *b)
{
	return supplied(b) && pager_silent(&b->p, 0);
}

static int run_revoke(struct bench *b)
{
	struct extpager_range range[RANGES];
	unsigned int i;

	for (i = 0; i < RANGES; i++)
		range[i] = (struct extpager_range){ .offset = 2 * i * PAGE, .length = PAGE };
	return delegate(b, EXTPAGER_DELEGATE_REVOKE, range, RANGES);
}

/* Those that were taken back are asked for, and no others. */
static bool every_other_delegated(struct bench *b)
{
	unsigned int i;

	if (prefetch(b->own, 0, SOME))
		return false;
	for (i = 0; i < RANGES; i++)
		if (!next_of_op(b, EXTPAGER_EV_DATA_REQUEST) || b->ev.offset != 2 * i * PAGE ||
		    b->ev.length != PAGE || run_supply(b))
			return false;
	return all_delegated(b);
}

/*
 * What the served target's object has lies on a device, and its pager is gone: whatever is
 * asked for of it from now on comes from there, and goes there.
 */
static bool target_delegated(struct bench *b)
{
	struct extpager_range all = { .length = BYTES };
	bool ok;

	server_kill(&b->server);
	if (pager_open(&b->p, 1, 0))
		return false;
	b->file = pager_use(&b->p, loop_over(b->server.fd));
	all.file = b->file;
	ok = b->file > 0 && WAIT_FOR(SOON, !pager_attach(&b->p, TARGET, NULL, NULL)) &&
	     next_of_op(b, EXTPAGER_EV_INIT) &&
	     !pager_delegate(&b->p, b->ev.object, b->ev.generation, 0, &all, 1) && !run_ready(b);
	pager_close(&b->p);
	return ok && WAIT_FOR(SOON, target_state(TARGET) == EXTPAGER_STATE_ORPHANED);
}

static const struct operation delegate_ops[] = {
	{ "DELEGATE of one range", run_delegate_one, .before = one_delegated,
	  .after = all_delegated },
	{ "DELEGATE of many", run_delegate, .before = one_delegated, .after = all_delegated },
	{ "DELEGATE of what was asked for", run_delegate, .before = none_delegated_and_asked_for,
	  .after = all_delegated },
	{ "REVOKE", run_revoke, .before = one_delegated, .after = every_other_delegated },
};

static const struct operation delegated_ops[] = {
	{ "load what is delegated", run_load, .before = cold, .after = right },
	{ "load it, at random", run_load, .before = cold_random, .after = right },
	{ "store to it", run_store, .before = cold, .after = right },
	{ "store to what of it is here", run_store, .before = warm, .after = right },
	{ "read it", run_read, .before = cold, .after = right },
	{ "write it", run_write, .before = cold_and_new, .after = right },
	{ "write parts of its pages", run_write_part, .before = cold_and_new, .after = right },
	{ "fsync of it", run_fsync, .before = dirty, .after = right },
	{ "msync of it", run_msync, .before = dirty, .after = right },
	{ "sync_file_range of it", run_sync_range, .before = dirty, .after = right },
};

static const struct operation port_ops[] = {
	{ "open the node", run_open_node, .after = unmake },
	{ "SETUP", run_setup, .after = unmake },
	{ "SETUP of an orphaned port", run_take_over, .before = orphaned_port, .after = unmake,
	  .done = EBUSY },
	{ "map a ring", run_map_ring, .after = unmake },
	{ "ATTACH", run_attach, .after = detached },
	{ "DETACH", run_detach, .before = attached, .done = ENOENT },
	{ "CREATE", run_create, .after = destroyed },
	{ "DESTROY", run_destroy, .before = created, .after = unmake, .done = ENOENT },
	{ "OPEN of an object served", run_reopen, .after = unmake },
	{ "FAILURES of an object served", run_port_failures, .may = 0 },
	{ "WAKE", run_wake, .may = 0 },
	{ "REGISTER", run_register, .before = file_made, .after = registered },
	{ "ENTER", run_enter, .may = 0 },
	{ "ACCEPT", run_accept, .before = created_and_accepted, .after = accepted, .may = 0 },
};

static const struct operation reply_ops[] = {
	{ "READY", run_ready, .before = init_comes, .after = ready_and_detached, .done = ENOENT },
	{ "SUPPLY", run_supply, .before = request_comes, .after = supplied, .done = ENOENT },
	{ "SUPPLY of zeros", run_supply_zeros, .before = request_comes, .after = supplied_zeros,
	  .done = ENOENT },
	{ "SUPPLY of a file", run_supply_file, .before = request_for_file_comes,
	  .after = supplied_from_file, .done = ENOENT },
	{ "ERROR", run_error, .before = request_comes, .after = none_here, .done = ENOENT },
	{ "a push", run_push, .before = evicted, .after = supplied, .done = EEXIST },
	{ "RETURN_FETCH", run_fetch, .before = return_comes, .after = fetched },
	{ "RETURN_DONE", run_return_done, .before = return_comes, .after = synced, .done = ENOENT },
	{ "RETURN_DONE to a file", run_return_file, .before = return_for_file_comes,
	  .after = written_to_file, .done = ENOENT },
	{ "SYNC_DONE", run_sync_done, .before = sync_comes, .after = synced, .done = ENOENT },
	{ "ask for more", run_ask_for_more, .before = nearly_full, .after = asked_for_more },
	{ "ATTRIBUTES", run_attributes, .after = in_force },
};

/* ---- tests ---- */

/* An object of the test's own is used, and ready. */
static bool own_begins(struct bench *b)
{
	if (pager_open(&b->p, 1, 0))
		return false;
	b->own = pager_create(&b->p, BYTES, 0, &b->object);
	if (b->own < 0 || !worker_start(&b->w, b->own, BYTES) ||
	    !next_of_op(b, EXTPAGER_EV_INIT))
		return false;
	b->generation = b->ev.generation;
	return !run_ready(b);
}

static void own_ends(struct bench *b)
{
	worker_stop(&b->w);
	close(b->own);
	pager_close(&b->p);
}

FIXTURE(failnth)
{
	struct bench *b;
};

FIXTURE_SETUP(failnth)
{
	struct bench *b = self->b = calloc(1, sizeof(*b));

	target_gone(OTHER);
	umount(MOUNTPOINT);
	ASSERT_EQ(0, ways_add(&(struct target_options){ .bytes = BYTES }));
	ASSERT_TRUE(server_start(&b->server, TARGET, BYTES, SEED));
	ASSERT_TRUE(open_socket(&b->s));
	b->fd = target_open(TARGET, O_RDWR);
	ASSERT_LE(0, b->fd);
	b->map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
	ASSERT_NE(MAP_FAILED, b->map);
	b->want = malloc(BYTES);
	b->got = malloc(BYTES);
	memcpy(b->want, b->server.store, BYTES);
	b->seed = SEED;
	ASSERT_EQ(0, pipe2(b->pipe, O_CLOEXEC | O_NONBLOCK));
	target_path(TARGET);
	ASSERT_TRUE(set_up_failures(b));
}

FIXTURE_TEARDOWN(failnth)
{
	struct bench *b = self->b;

	EXPECT_TRUE(fail_no_more());
	unmake(b);
	close(b->pipe[0]);
	close(b->pipe[1]);
	munmap(b->map, BYTES);
	close(b->fd);
	close(b->s.fd);
	server_stop(&b->server);
	target_gone(OTHER);
	EXPECT_TRUE(ways_end());
	free(b->want);
	free(b->got);
	close(b->nth);
	free(b);
}

TEST_F_TIMEOUT(failnth, mapped_accesses_and_opens_bear_failed_allocations, 250)
{
	EXPECT_BORNE(client_ops);
}

TEST_F_TIMEOUT(failnth, reads_writes_and_syncs_bear_failed_allocations, 250)
{
	EXPECT_BORNE(file_ops);
}

TEST_F_TIMEOUT(failnth, administration_bears_failed_allocations, 250)
{
	ASSERT_TRUE(open_socket(&self->b->listener));
	ASSERT_TRUE(subscribe(&self->b->listener));
	EXPECT_BORNE(admin_ops);
	close(self->b->listener.fd);
}

TEST_F_TIMEOUT(failnth, ports_bear_failed_allocations, 250)
{
	struct bench *b = self->b;

	ASSERT_TRUE(add_other(b));
	/* So that there is something to be accepted. */
	ASSERT_TRUE(write_file(UNPRIVILEGED, "1"));
	ASSERT_EQ(0, seteuid(NOBODY));
	ASSERT_EQ(0, pager_open(&b->p, 1, 0));
	ASSERT_EQ(0, seteuid(0));
	ASSERT_TRUE(write_file(UNPRIVILEGED, "0"));
	b->own = pager_create(&b->p, BYTES, 0, &b->object);
	ASSERT_LE(0, b->own);
	EXPECT_BORNE(port_ops);
	close(b->own);
	pager_close(&b->p);
}

TEST_F_TIMEOUT(failnth, replies_bear_failed_allocations, 250)
{
	struct bench *b = self->b;

	ASSERT_TRUE(add_other(b));
	ASSERT_TRUE(own_begins(b));
	EXPECT_BORNE(reply_ops);
	own_ends(b);
}

TEST_F_TIMEOUT(failnth, delegating_bears_failed_allocations, 250)
{
	struct bench *b = self->b;

	ASSERT_TRUE(own_begins(b));
	ASSERT_TRUE(device_made(b));
	EXPECT_BORNE(delegate_ops);
	own_ends(b);
}

TEST_F_TIMEOUT(failnth, delegated_pages_bear_failed_allocations, 250)
{
	ASSERT_TRUE(target_delegated(self->b));
	EXPECT_BORNE(delegated_ops);
}

/* ---- the workers: of the spill above all ---- */

/* Until it goes, which it does sooner or later; each error on the way is one of memory. */
static bool goes(struct bench *b, int (*run)(struct bench *b), int may)
{
	uint64_t end = now_ms() + SPILL_MS;
	int ret;

	while ((ret = run(b)) && now_ms() < end)
		if (ret != -ENOMEM && ret != -may)
			return false;
	return !ret;
}

/* Some the pager is asked to take all the while. */
static bool nearly_cold(struct bench *b)
{
	posix_fadvise(b->fd, 0, 0, POSIX_FADV_DONTNEED);
	return read_number(SYSFS "resident", NULL) <= (long)RUN / 2;
}

/* With a pager that holds still, and then goes on. */
TEST_F_TIMEOUT(failnth, spill_bears_failed_allocations, 250)
{
	struct bench *b = self->b;

	ASSERT_EQ(0, target_set(TARGET, &(struct target_options){ .return_ms = 500 }));
	ASSERT_TRUE(cold_and_new(b));
	*b->server.stop = 1;
	ASSERT_TRUE(fail_at_random(10));
	EXPECT_TRUE(goes(b, run_write, EFAULT));	/* a part of it went */
	/* Nothing can be spilled; who waits for a deadline is told so. */
	ASSERT_TRUE(fail_at_random(100));
	EXPECT_EQ(-EIO, run_fsync(b));
	EXPECT_TRUE(WAIT_FOR(SPILL_MS,
			     read_number(SYSFS "stats/spills_failed", NULL) > 0));
	EXPECT_EQ(0, read_number(SYSFS "stats/pages_spilled", NULL));
	ASSERT_TRUE(fail_at_random(10));
	EXPECT_TRUE(WAIT_FOR(SPILL_MS, target_spilled(TARGET) == RUN));
	EXPECT_TRUE(WAIT_FOR(SPILL_MS, nearly_cold(b)));
	EXPECT_TRUE(goes(b, run_read_new, EFAULT));
	EXPECT_LT(0, read_number(SYSFS "stats/pages_unspilled", NULL));
	EXPECT_EQ(0, memcmp(b->got + AT, b->want + AT, RUN));
	*b->server.stop = 0;
	EXPECT_TRUE(WAIT_FOR(SPILL_MS, !target_spilled(TARGET)));
	EXPECT_TRUE(goes(b, run_fsync, EIO));
	EXPECT_TRUE(fail_no_more());
	EXPECT_TRUE(right(b));
}

/* ---- the module ---- */

static int load(void)
{
	int fd = open("/tests/extpager.ko", O_RDONLY | O_CLOEXEC);
	int ret = errno_if(syscall(SYS_finit_module, fd, "", 0));

	close(fd);
	return ret;
}

/* Whatever frees itself in the background has done so. */
static bool unload_works(void)
{
	return WAIT_FOR(SOON, !syscall(SYS_delete_module, "extpager", O_NONBLOCK));
}

/* Where a function of the kernel begins and ends. */
static bool find_function(const char *what, unsigned long *start, unsigned long *end)
{
	FILE *f = fopen("/proc/kallsyms", "r");
	char name[128];

	*start = *end = 0;
	while (f && !*end && fscanf(f, "%lx %*c %127s%*[^\n]", end, name) == 2) {
		if (!*start && !strcmp(name, what))
			*start = *end;
		if (*end <= *start || !*start)
			*end = 0;
	}
	if (f)
		fclose(f);
	return *start && *end;
}

/*
 * What its initialization allocates, not what the loader does before. The kernel's
 * own leak, of a cache's name when its directory in sysfs cannot be made, is spared.
 */
static bool only_in_initcalls(void)
{
	unsigned long start, end;

	return find_function("do_one_initcall", &start, &end) && only_below(start, end) &&
	       find_function("sysfs_slab_add", &start, &end) && not_below(start, end);
}

FIXTURE(unloaded)
{
	struct bench *b;
};

FIXTURE_SETUP(unloaded)
{
	self->b = calloc(1, sizeof(*self->b));
	ASSERT_TRUE(set_up_failures(self->b));
	ASSERT_TRUE(only_in_initcalls());
	ASSERT_TRUE(unload_works());
}

FIXTURE_TEARDOWN(unloaded)
{
	EXPECT_TRUE(fail_no_more());
	EXPECT_EQ(0, load());
	EXPECT_LE(0, open_path(EXTPAGER_DEVICE));
	close(self->b->nth);
	free(self->b);
}

TEST_F_TIMEOUT(unloaded, loading_bears_failed_allocations, 250)
{
	unsigned int n, misses = 0, failed = 0, refused = 0;
	uint64_t random = test_seed(111);

	for (n = 1; n < MOST && misses < 3; n = next_of(n, &random)) {
		bool hit;
		int ret;

		ASSERT_TRUE(arm(self->b, n));
		ret = load();
		hit = disarm(self->b);
		ASSERT_TRUE(!ret || (hit && ret == -ENOMEM)) {
			TH_LOG("allocation %u: %s", n, strerror(-ret));
		}
		ASSERT_TRUE(ret || unload_works());
		misses = hit ? 0 : misses + 1;
		failed += hit;
		refused += !!ret;
	}
	printf("# count load the module: failed=%u refused=%u\n", failed, refused);
	fflush(stdout);
	EXPECT_EQ(3, misses);
	EXPECT_LT(0, refused);
}

TEST_HARNESS_MAIN
