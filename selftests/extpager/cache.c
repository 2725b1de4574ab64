// SPDX-License-Identifier: GPL-2.0-only
/* An object is in the page cache as any file is, and obeys its rules. */
/* vm: timeout=240 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/crew.h"

#define NAME "cache"
#define BYTES (32 * MIB)
#define WORKERS 4
#define SEED 1

FIXTURE(cache)
{
	struct crew crew;
};

static const uint8_t *store;

FIXTURE_SETUP(cache)
{
	ASSERT_TRUE(crew_start(&self->crew, NAME, BYTES, SEED, WORKERS));
	store = self->crew.s.store;
}

FIXTURE_TEARDOWN(cache)
{
	EXPECT_TRUE(crew_stop(&self->crew));
}

/* How many pages of the range the store does not have as @seed. */
static unsigned int store_wrong(uint64_t offset, uint64_t length, uint64_t seed)
{
	unsigned int wrong = 0;
	uint64_t at;

	for (at = offset; at < offset + length; at += PAGE)
		wrong += !page_is(store + at, seed, at / PAGE);
	return wrong;
}

/* ---- dropping ---- */

static long do_drop_caches(struct order *o)
{
	drop_caches();
	return 0;
}

/* A page that a CPU has in hand is passed over, so it may take more than one try. */
static bool drops_all_but(struct worker *w, long (*drop)(struct order *o), long rest)
{
	return WAIT_FOR(WORKER_MS, worker_do(w, drop, 0, 16 * PAGE, 0) == 0 &&
			worker_do(w, do_resident, 0, 16 * PAGE, 0) == rest);
}

TEST_F(cache, clean_pages_are_dropped_when_told)
{
	static long (*const drops[])(struct order *o) = { do_forget, do_drop_caches };
	struct worker *w = &self->crew.w[0], *other = &self->crew.w[1];
	uint64_t asked;
	unsigned int i;

	BEHAVIOURS(126);
	for (i = 0; i < ARRAY_SIZE(drops); i++) {
		/* Alone, or its neighbours would be mapped with it. */
		ASSERT_EQ(0, worker_do(other, do_check, 5 * PAGE, PAGE, SEED));
		ASSERT_EQ(0, worker_do(w, do_read, 0, 16 * PAGE, SEED));
		ASSERT_EQ(16, worker_do(w, do_resident, 0, 16 * PAGE, 0));
		EXPECT_TRUE(drops_all_but(w, drops[i], 1));
		EXPECT_EQ(1, worker_do(w, do_resident, 5 * PAGE, PAGE, 0));
		ASSERT_EQ(0, worker_do(other, do_forget, 5 * PAGE, PAGE, 0));
		EXPECT_TRUE(drops_all_but(w, drops[i], 0));
		asked = self->crew.s.stats->pages_requested;
		EXPECT_EQ(0, worker_do(w, do_read, 0, 16 * PAGE, SEED));
		EXPECT_EQ(16, self->crew.s.stats->pages_requested - asked);
		EXPECT_TRUE(drops_all_but(w, do_forget, 0));
	}
}

TEST_F(cache, dirty_pages_are_not_dropped)
{
	struct worker *w = &self->crew.w[0], *other = &self->crew.w[1];

	BEHAVIOURS(126);
	*self->crew.s.stop = 1;
	ASSERT_EQ((long)(16 * PAGE), worker_do(w, do_write, 0, 16 * PAGE, 2));
	ASSERT_EQ(0, worker_do(w, do_forget, 0, 16 * PAGE, 0));
	drop_caches();
	EXPECT_EQ(16, worker_do(w, do_resident, 0, 16 * PAGE, 0));
	EXPECT_EQ(0, worker_do(other, do_read, 0, 16 * PAGE, 2));
	EXPECT_EQ(16, store_wrong(0, 16 * PAGE, 2));
	*self->crew.s.stop = 0;
	EXPECT_EQ(0, worker_do(w, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, store_wrong(0, 16 * PAGE, 2));
	EXPECT_TRUE(drops_all_but(w, do_forget, 0));
	EXPECT_EQ(0, worker_do(other, do_check, 0, 16 * PAGE, 2));
}

/* ---- sharing ---- */

/* A field of a process's mapping of the target, in KiB. */
static long smaps_kib(pid_t pid, const char *field)
{
	char path[64], line[512];
	bool ours = false;
	long kib = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	f = fopen(path, "r");
	while (f && kib < 0 && fgets(line, sizeof(line), f)) {
		if (strstr(line, "extpager:" NAME))
			ours = true;
		else if (ours && !strncmp(line, field, strlen(field)))
			kib = strtol(line + strlen(field) + 1, NULL, 10);
	}
	if (f)
		fclose(f);
	return kib;
}

TEST_F(cache, processes_share_the_physical_pages)
{
	unsigned int pages = 64, kib = pages * PAGE / 1024, i;

	BEHAVIOURS(127);
	ASSERT_EQ(0, worker_do(&self->crew.w[0], do_check, 0, pages * PAGE, SEED));
	EXPECT_EQ(kib, smaps_kib(self->crew.w[0].c.pid, "Pss"));
	EXPECT_EQ(kib, smaps_kib(self->crew.w[0].c.pid, "Private_Clean"));
	ASSERT_EQ(0, worker_do(&self->crew.w[1], do_check, 0, pages * PAGE, SEED));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(kib, smaps_kib(self->crew.w[i].c.pid, "Rss"));
		EXPECT_EQ(kib / 2, smaps_kib(self->crew.w[i].c.pid, "Pss"));
		EXPECT_EQ(kib, smaps_kib(self->crew.w[i].c.pid, "Shared_Clean"));
		EXPECT_EQ(0, smaps_kib(self->crew.w[i].c.pid, "Private_Clean"));
	}
	for (i = 2; i < WORKERS; i++)
		ASSERT_EQ(0, worker_do(&self->crew.w[i], do_check, 0, pages * PAGE, SEED));
	EXPECT_EQ(kib / 4, smaps_kib(self->crew.w[0].c.pid, "Pss"));
	EXPECT_EQ(pages, self->crew.s.stats->pages_requested);
	EXPECT_EQ(1, self->crew.s.stats->inits);
}

/* From here on the worker's mapping is a private one. */
static long do_go_private(struct order *o)
{
	munmap(o->map, o->bytes);
	o->map = mmap(NULL, o->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, o->fd, 0);
	return o->map == MAP_FAILED || madvise(o->map, o->bytes, MADV_RANDOM) ? -errno : 0;
}

TEST_F(cache, private_mapping_keeps_its_writes_and_sees_those_of_others)
{
	struct worker *w = self->crew.w, *shared = &w[0], *private = &w[1], *later = &w[2];

	BEHAVIOURS(49, 107);
	ASSERT_EQ(0, worker_do(private, do_go_private, 0, 0, 0));
	ASSERT_EQ(0, worker_do(private, do_check, 0, 8 * PAGE, SEED));
	ASSERT_EQ(0, worker_do(private, do_store, 0, 4 * PAGE, 2));
	/* One that was never read before it is written. */
	ASSERT_EQ(0, worker_do(private, do_store, 8 * PAGE, PAGE, 2));
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_EQ(0, worker_do(shared, do_check, 0, 9 * PAGE, SEED));
	EXPECT_EQ(0, worker_do(shared, do_read, 0, 9 * PAGE, SEED));
	EXPECT_EQ(0, worker_do(private, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, worker_do(private, do_msync, 0, 9 * PAGE, 0));
	EXPECT_EQ(0, self->crew.s.stats->returns);

	ASSERT_EQ(0, worker_do(shared, do_store, 0, 9 * PAGE, 3));
	EXPECT_EQ(0, worker_do(private, do_check, 0, 4 * PAGE, 2));
	EXPECT_EQ(0, worker_do(private, do_check, 4 * PAGE, 4 * PAGE, 3));
	EXPECT_EQ(0, worker_do(private, do_check, 8 * PAGE, PAGE, 2));
	EXPECT_EQ(0, worker_do(shared, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, store_wrong(0, 9 * PAGE, 3));
	EXPECT_EQ(9, self->crew.s.stats->pages_returned);

	/* Its own copies are no cache: dropping caches takes nothing of them. */
	ASSERT_EQ(0, worker_do(shared, do_forget, 0, 9 * PAGE, 0));
	drop_caches();
	EXPECT_EQ(0, worker_do(private, do_check, 0, 4 * PAGE, 2));
	ASSERT_EQ(0, worker_do(later, do_go_private, 0, 0, 0));
	EXPECT_EQ(0, worker_do(later, do_check, 0, 9 * PAGE, 3));
	/* MADV_DONTNEED throws them away, and the object is seen again. */
	ASSERT_EQ(0, worker_do(private, do_forget, 0, 9 * PAGE, 0));
	EXPECT_EQ(0, worker_do(private, do_check, 0, 9 * PAGE, 3));
}

/* ---- pressure ---- */

#define CGROUP "/sys/fs/cgroup/extpager-cache"

struct squeeze {
	int fd;
	uint64_t bytes, seed;
	bool by_map;
};

/* Writes more than its memory cgroup may have, and reads it back. */
static int write_in_cgroup(void *arg)
{
	struct squeeze *q = arg;
	struct order o = { .fd = q->fd, .bytes = q->bytes, .length = q->bytes,
			   .seed = q->seed };

	if (!write_file(CGROUP "/cgroup.procs", "0"))
		return 10;
	o.map = mmap(NULL, q->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, q->fd, 0);
	if (o.map == MAP_FAILED)
		return 11;
	if (q->by_map) {
		do_store(&o);
	} else {
		o.length = MIB;
		for (o.offset = 0; o.offset < q->bytes; o.offset += MIB)
			if (do_write(&o) != (long)MIB)
				return 12;
		o.offset = 0;
		o.length = q->bytes;
	}
	if (do_check(&o))
		return 13;
	return do_fsync(&o) ? 14 : 0;
}

TEST_F_TIMEOUT(cache, writer_in_a_small_cgroup_gets_through, 200)
{
	struct squeeze q = { .fd = self->crew.fd, .bytes = 32 * MIB };
	struct client c;
	int i;

	BEHAVIOURS(54);
	PARTIAL(104, 132);
	mkdir(CGROUP, 0755);
	ASSERT_TRUE(write_file(CGROUP "/memory.max", "16M"));
	for (i = 0; i < 2; i++) {
		q.by_map = i;
		q.seed = 2 + i;
		q.bytes = on_debug_kernel() ? 20 * MIB : 32 * MIB;
		c = client_start(write_in_cgroup, &q);
		EXPECT_EQ(0, client_result(&c, 90000)) TH_LOG("by_map %d", i);
		client_kill(&c);
		EXPECT_EQ(0, store_wrong(0, q.bytes, q.seed));
		EXPECT_EQ(0, target_dirty(NAME));
		EXPECT_EQ(0, read_number(CGROUP "/memory.events", "oom_kill"));
	}
	EXPECT_EQ(0, rmdir(CGROUP));
}

/* ---- many at once ---- */

#define STORM_PAGES 64

/*
 * Every fourth page, from @seed on, is this worker's. It writes versions of
 * them and has ranges synced that hold others' pages too; when msync says that
 * it is done, its own bytes must be in the store.
 */
static long do_msync_storm(struct order *o)
{
	uint64_t version[STORM_PAGES] = { }, state = test_seed(o->seed), i;
	struct order page = *o;
	unsigned int round;

	for (round = 0; round < o->length; round++) {
		uint64_t first = test_random(&state) % STORM_PAGES;
		uint64_t nr = 1 + test_random(&state) % (STORM_PAGES - first);

		for (i = o->seed; i < STORM_PAGES; i += WORKERS) {
			if (test_random(&state) % 4)
				continue;
			page.offset = i * PAGE;
			page.length = PAGE;
			page.seed = 100 + ++version[i];
			if (test_random(&state) % 2)
				do_store(&page);
			else if (do_write(&page) != (long)PAGE)
				return -EIO;
		}
		page.offset = first * PAGE;
		page.length = nr * PAGE;
		if (do_msync(&page))
			return -EIO;
		for (i = o->seed; i < first + nr; i += WORKERS)
			if (i >= first && version[i] &&
			    !page_is(o->store + i * PAGE, 100 + version[i], i))
				return round + 1;
	}
	return 0;
}

TEST_F_TIMEOUT(cache, overlapping_msyncs_all_keep_their_word, 100)
{
	unsigned int rounds = test_rounds(5000, 300, 40), i;

	BEHAVIOURS(66, 67);
	for (i = 0; i < WORKERS; i++)
		worker_begin(&self->crew.w[i], do_msync_storm, 0, rounds, i);
	for (i = 0; i < WORKERS; i++)
		EXPECT_EQ(0, worker_end(&self->crew.w[i], 80000));
	EXPECT_LT(rounds, self->crew.s.stats->pages_returned);
}

/* ---- limits ---- */

/* What writing at the end of a file of fixed size comes to. */
struct at_end {
	long before, across, at, beyond, nothing;
};

static long write_at(int fd, const char *buf, size_t len, uint64_t offset)
{
	ssize_t n = pwrite(fd, buf, len, offset);

	return n < 0 ? -errno : n;
}

static struct at_end write_at_end(int fd, uint64_t size)
{
	static char buf[8192];

	memset(buf, 'e', sizeof(buf));
	return (struct at_end){
		.before = write_at(fd, buf, 512, size - 512),
		.across = write_at(fd, buf, 8192, size - 512),
		.at = write_at(fd, buf, 1, size),
		.beyond = write_at(fd, buf, 8192, size + MIB),
		.nothing = write_at(fd, buf, 0, size),
	};
}

TEST_F(cache, writing_beyond_the_end_is_as_on_a_device)
{
	struct at_end here = write_at_end(self->crew.fd, BYTES), device;
	uint64_t size;
	int fd;

	BEHAVIOURS(128);
	EXPECT_EQ(512, here.before);
	EXPECT_EQ(512, here.across);
	EXPECT_EQ(-ENOSPC, here.at);
	EXPECT_EQ(-ENOSPC, here.beyond);
	EXPECT_EQ(0, here.nothing);
	EXPECT_EQ(0, worker_do(&self->crew.w[0], do_fsync, 0, 0, 0));
	EXPECT_EQ(0, memcmp(store + BYTES - 2, "ee", 2));
	EXPECT_NE('e', store[BYTES - 513]);

	ASSERT_TRUE(disk_ready());
	fd = open(DISK, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, BLKGETSIZE64, &size));
	device = write_at_end(fd, size);
	EXPECT_EQ(0, memcmp(&device, &here, sizeof(here)));
	close(fd);
}

static volatile sig_atomic_t xfsz;

static void on_xfsz(int sig)
{
	xfsz++;
}

static int write_past_limit(void *arg)
{
	struct rlimit limit = { 2 * PAGE, 2 * PAGE };
	int fd = *(int *)arg;
	char buf[PAGE];

	memset(buf, 'l', sizeof(buf));
	signal(SIGXFSZ, on_xfsz);
	if (setrlimit(RLIMIT_FSIZE, &limit))
		return 1;
	if (write_at(fd, buf, PAGE, PAGE) != (long)PAGE || xfsz)
		return 2;
	if (write_at(fd, buf, PAGE, 2 * PAGE - 10) != 10 || xfsz)
		return 3;
	if (write_at(fd, buf, PAGE, 2 * PAGE) != -EFBIG || xfsz != 1)
		return 4;
	return write_at(fd, buf, 1, 5 * PAGE) == -EFBIG && xfsz == 2 ? 0 : 5;
}

TEST_F(cache, file_size_limit_is_obeyed)
{
	struct client c = client_start(write_past_limit, &self->crew.fd);

	BEHAVIOURS(128);
	EXPECT_EQ(0, client_result(&c, 10000));
	EXPECT_EQ(0, worker_do(&self->crew.w[0], do_fsync, 0, 0, 0));
	EXPECT_EQ('l', store[2 * PAGE - 1]);
	EXPECT_EQ(0, store_wrong(2 * PAGE, 4 * PAGE, SEED));
}

/* Every way to write through an fd that is not for it; which one was let in, or 0. */
static int write_unpermitted(void *arg)
{
	int fd = *(int *)arg;
	char *map;

	if (write_at(fd, "x", 1, 0) != -EBADF)
		return 1;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) != -1 ||
	    errno != EBADF)
		return 2;
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map != MAP_FAILED || errno != EACCES)
		return 3;
	map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || !page_is(map, SEED, 0))
		return 4;
	if (mprotect(map, PAGE, PROT_READ | PROT_WRITE) != -1 || errno != EACCES)
		return 5;
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return 6;
	*map = 'x';
	return *map == 'x' ? 0 : 7;
}

TEST_F(cache, read_only_fds_cannot_write)
{
	int fd = target_open(NAME, O_RDONLY);
	struct client c;

	BEHAVIOURS(128);
	ASSERT_LE(0, fd);
	c = client_start(write_unpermitted, &fd);
	EXPECT_EQ(0, client_result(&c, 10000));
	close(fd);
	EXPECT_EQ(0, self->crew.s.stats->returns);
	EXPECT_EQ(0, store_wrong(0, PAGE, SEED));
}

TEST(read_only_target_cannot_be_opened_for_writing)
{
	struct target_options o = { .bytes = 3 * PAGE, .read_only = true };
	struct server s;
	struct client c;
	int fd;

	BEHAVIOURS(128);
	target_gone("sealed");
	ASSERT_EQ(0, target_add("sealed", &o));
	ASSERT_TRUE(server_start(&s, "sealed", o.bytes, SEED));
	EXPECT_EQ(-EROFS, target_open("sealed", O_RDWR));
	EXPECT_EQ(-EROFS, target_open("sealed", O_WRONLY));
	EXPECT_EQ(-1, open(target_path("sealed"), O_RDWR));
	EXPECT_EQ(EROFS, errno);
	fd = target_open("sealed", O_RDONLY);
	ASSERT_LE(0, fd);
	c = client_start(write_unpermitted, &fd);
	EXPECT_EQ(0, client_result(&c, 10000));
	close(fd);
	EXPECT_EQ(0, s.stats->returns);
	server_stop(&s);
	EXPECT_TRUE(target_gone("sealed"));
}

TEST(size_need_not_be_whole_pages)
{
	struct target_options o = { .bytes = 3 * PAGE + 100 };
	char buf[2 * PAGE];
	struct server s;
	int fd;

	BEHAVIOURS(128);
	PARTIAL(28);
	target_gone("odd");
	ASSERT_EQ(0, target_add("odd", &o));
	ASSERT_TRUE(server_start(&s, "odd", o.bytes, SEED));
	fd = target_open("odd", O_RDWR);
	ASSERT_LE(0, fd);
	memset(buf, 'o', sizeof(buf));
	EXPECT_EQ(110, write_at(fd, buf, sizeof(buf), 3 * PAGE - 10));
	EXPECT_EQ(-ENOSPC, write_at(fd, buf, 1, 3 * PAGE + 100));
	EXPECT_EQ(-ENOSPC, write_at(fd, buf, 1, 3 * PAGE + 101));
	EXPECT_EQ(100, pread(fd, buf, sizeof(buf), 3 * PAGE));
	EXPECT_EQ(0, pread(fd, buf, sizeof(buf), 3 * PAGE + 100));
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ('o', s.store[3 * PAGE - 10]);
	EXPECT_EQ('o', s.store[3 * PAGE + 99]);
	/* The store beyond the end was neither asked for nor written. */
	EXPECT_NE('o', s.store[3 * PAGE - 11]);
	EXPECT_NE('o', s.store[3 * PAGE + 100]);
	close(fd);
	server_stop(&s);
	EXPECT_TRUE(target_gone("odd"));
}

TEST_HARNESS_MAIN
