// SPDX-License-Identifier: GPL-2.0-only
/*
 * One target's pager holds still, with reads, writes and an fsync waiting for
 * it: others do not notice.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/pager.h"
#include "support/ways.h"

#define BYTES	(16 * MIB)
/* What no neighbour may take, nor come near: the stuck one's deadlines. */
#define SOON	(on_debug_kernel() ? 12000 : 4000)
#define LATE	40000
#define QUOTA	MIB

struct stuck {
	int fd;
	off_t at;
};

FIXTURE(neighbours)
{
	struct server stuck, well;
	int fd;				/* of the stuck one */
	struct client reader, faulter, syncer, writer;
	uint64_t alone_ms;		/* use_file() of the other one without all this */
	bool goes_on;
};

static int read_stuck(void *arg)
{
	struct stuck *s = arg;
	char page[PAGE];

	CHECK(pread(s->fd, page, PAGE, s->at) == PAGE);
	CHECK(page_is(page, 1, s->at / PAGE));
	return 0;
}

static int touch_stuck(void *arg)
{
	struct stuck *s = arg;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, s->fd, 0);

	CHECK(map != MAP_FAILED);
	CHECK(page_is(map + s->at, 1, s->at / PAGE));
	return 0;
}

static int sync_stuck(void *arg)
{
	struct stuck *s = arg;

	CHECK(fsync(s->fd) == 0);
	return 0;
}

/* Twice what its target may have dirty. */
static int fill_stuck(void *arg)
{
	struct stuck *s = arg;
	static char data[2 * QUOTA];

	memset(data, 'd', sizeof(data));
	CHECK(pwrite(s->fd, data, sizeof(data), s->at) == sizeof(data));
	return 0;
}

/* @call is well, and soon. */
#define CHECK_SOON(call) do {							\
	uint64_t __begin = now_ms(), __took;					\
										\
	CHECK(call);								\
	__took = now_ms() - __begin;						\
	if (__took > SOON) {							\
		printf("# %s took %lu ms\n", #call, (unsigned long)__took);	\
		fflush(stdout);							\
		return 1;							\
	}									\
} while (0)

/* What programs do with files. The argument is an open file's. */
static int use_file(void *arg)
{
	int fd = *(int *)arg;
	static char data[4 * MIB], back[4 * MIB];
	uint8_t *map;

	memset(data, 'w', sizeof(data));
	CHECK_SOON(pwrite(fd, data, sizeof(data), 4 * MIB) == sizeof(data));
	CHECK_SOON(fsync(fd) == 0);
	CHECK_SOON(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
	CHECK_SOON(pread(fd, back, sizeof(back), 4 * MIB) == sizeof(back));
	CHECK(!memcmp(data, back, sizeof(data)));
	map = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	CHECK_SOON((memset(map, 'm', MIB), true));
	CHECK_SOON(msync(map, MIB, MS_SYNC) == 0);
	CHECK_SOON((memset(map, 'n', MIB), true));
	CHECK_SOON(syncfs(fd) == 0);
	CHECK_SOON(munmap(map, 8 * MIB) == 0);
	return 0;
}

/* How long it took, if it went well. */
static uint64_t use_file_ms(int fd)
{
	uint64_t begin = now_ms();
	struct client c = client_start(use_file, &fd);
	int result = client_result(&c, 30000);

	client_kill(&c);
	return result ? UINT64_MAX : now_ms() - begin;
}

/* The best of three: another machine may have the CPUs for a while. */
static uint64_t best_use_file_ms(int fd)
{
	uint64_t best = UINT64_MAX, ms;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		ms = use_file_ms(fd);
		if (ms < best)
			best = ms;
	}
	return best;
}

FIXTURE_SETUP(neighbours)
{
	struct target_options o = { .bytes = BYTES, .page_in_ms = LATE, .return_ms = LATE,
				    .sync_ms = LATE };
	struct target_options stuck = o;
	int fd;

	umount2("/run/extpager/targets", MNT_DETACH);
	target_gone("stuck");
	target_gone("well");
	stuck.quota = QUOTA;
	ASSERT_EQ(0, target_add("stuck", &stuck));
	ASSERT_EQ(0, target_add("well", &o));
	ASSERT_TRUE(server_start(&self->stuck, "stuck", BYTES, 1));
	ASSERT_TRUE(server_start(&self->well, "well", BYTES, 2));
	self->fd = target_open("stuck", O_RDWR);
	ASSERT_LE(0, self->fd);

	fd = target_open("well", O_RDWR);
	ASSERT_LE(0, fd);
	self->alone_ms = best_use_file_ms(fd);
	ASSERT_GT(30000, self->alone_ms);
	memset(self->well.store, 0, BYTES);
	close(fd);

	*self->stuck.stop = 1;
	self->writer = client_start(fill_stuck, &(struct stuck){ self->fd, 0 });
	ASSERT_TRUE(WAIT_FOR(10000, target_stat("stuck", EXTPAGER_A_STATS_QUOTA_WAITS) >= 1));
	self->reader = client_start(read_stuck, &(struct stuck){ self->fd, 8 * MIB });
	self->faulter = client_start(touch_stuck, &(struct stuck){ self->fd, 12 * MIB });
	self->syncer = client_start(sync_stuck, &(struct stuck){ self->fd, 0 });
	/* All of them wait: for room, for two data requests and for a return. */
	ASSERT_TRUE(WAIT_FOR(10000, target_stat("stuck", EXTPAGER_A_STATS_GATE_WAITS) >= 2 &&
			     target_stat("stuck", EXTPAGER_A_STATS_DATA_RETURNS) >= 1));
}

/* They have waited till now, and have what they want once it goes on. */
static void go_on(struct __test_metadata *_metadata, FIXTURE_DATA(neighbours) *self)
{
	EXPECT_EQ(CLIENT_RUNNING, client_result(&self->reader, 0));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&self->faulter, 0));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&self->syncer, 0));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&self->writer, 0));
	EXPECT_LE(QUOTA / 2, target_dirty("stuck"));
	*self->stuck.stop = 0;
	EXPECT_EQ(0, client_result(&self->reader, 20000));
	EXPECT_EQ(0, client_result(&self->faulter, 20000));
	EXPECT_EQ(0, client_result(&self->syncer, 20000));
	EXPECT_EQ(0, client_result(&self->writer, 20000));
	EXPECT_EQ(0, fsync(self->fd));
	EXPECT_EQ('d', self->stuck.store[2 * QUOTA - 1]);
	self->goes_on = true;
}

FIXTURE_TEARDOWN(neighbours)
{
	if (!self->goes_on)
		go_on(_metadata, self);
	close(self->fd);
	EXPECT_EQ(0, target_del("stuck", false));
	EXPECT_EQ(0, target_del("well", false));
	EXPECT_TRUE(target_gone("stuck"));
	EXPECT_TRUE(target_gone("well"));
	server_stop(&self->stuck);
	server_stop(&self->well);
	EXPECT_TRUE(ways_end());
}

/* Full speed: what the machine itself does to a few seconds, and no more. */
static uint64_t at_full_speed(uint64_t alone_ms)
{
	return 2 * alone_ms + (on_debug_kernel() ? 1000 : 300);
}

TEST_F(neighbours, another_target_is_not_delayed)
{
	int fd = target_open("well", O_RDWR), path;
	uint64_t ms, again;

	BEHAVIOURS(147);
	ASSERT_LE(0, fd);
	ms = best_use_file_ms(fd);
	TH_LOG("%lu ms, alone %lu ms", (unsigned long)ms, (unsigned long)self->alone_ms);
	EXPECT_EQ('n', self->well.store[MIB - 1]);
	EXPECT_EQ('w', self->well.store[8 * MIB - 1]);

	/* Nor are opening, looking at and listing one of them, by whatever way. */
	path = open(target_path("well"), O_RDWR);
	ASSERT_LE(0, path);
	EXPECT_EQ(1, pwrite(path, "p", 1, 15 * MIB));
	EXPECT_EQ(0, fsync(path));
	EXPECT_EQ('p', self->well.store[15 * MIB]);
	close(path);

	/* The machine may be busier than it was before. */
	if (ms > at_full_speed(self->alone_ms)) {
		go_on(_metadata, self);
		again = best_use_file_ms(fd);
		TH_LOG("alone again %lu ms", (unsigned long)again);
		ASSERT_GT(30000, again);
		if (again > self->alone_ms)
			self->alone_ms = again;
	}
	close(fd);
	EXPECT_GE(at_full_speed(self->alone_ms), ms);
}

TEST_F(neighbours, a_target_comes_and_goes)
{
	struct target_options o = { .bytes = MIB };
	uint64_t begin = now_ms();
	struct server server;
	char page[PAGE];
	int fd;

	BEHAVIOURS(147);
	target_gone("other");
	ASSERT_EQ(0, target_add("other", &o));
	ASSERT_TRUE(server_start(&server, "other", MIB, 4));
	fd = target_open("other", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(PAGE, pread(fd, page, PAGE, 0));
	EXPECT_EQ(PAGE, pwrite(fd, page, PAGE, PAGE));
	close(fd);
	EXPECT_EQ(0, target_del("other", false));
	EXPECT_TRUE(WAIT_FOR(SOON, !target_state("other")));
	EXPECT_EQ(0, memcmp(server.store + PAGE, page, PAGE));
	EXPECT_GT(SOON, now_ms() - begin);
	server_stop(&server);
}

TEST_F(neighbours, other_file_systems_are_not_delayed)
{
	int tmpfs, ext4;
	struct client c;

	BEHAVIOURS(147);
	tmpfs = open("/dev/shm/neighbour", O_RDWR | O_CREAT | O_TRUNC, 0600);
	ASSERT_LE(0, tmpfs);
	ASSERT_EQ(0, ftruncate(tmpfs, BYTES));
	c = client_start(use_file, &tmpfs);
	EXPECT_EQ(0, client_result(&c, 30000)) TH_LOG("tmpfs");
	client_kill(&c);
	close(tmpfs);
	unlink("/dev/shm/neighbour");

	ASSERT_TRUE(disk_ready());
	ASSERT_EQ(0, system("mkfs.ext4 -q -F " DISK " 64M"));
	mkdir("/tmp/neighbour", 0700);
	ASSERT_EQ(0, mount(DISK, "/tmp/neighbour", "ext4", 0, NULL));
	ext4 = open("/tmp/neighbour/file", O_RDWR | O_CREAT, 0600);
	ASSERT_LE(0, ext4);
	ASSERT_EQ(0, ftruncate(ext4, BYTES));
	c = client_start(use_file, &ext4);
	EXPECT_EQ(0, client_result(&c, 30000)) TH_LOG("ext4");
	client_kill(&c);
	close(ext4);
	EXPECT_EQ(0, umount("/tmp/neighbour"));
}

static int syncfs_path(void *arg)
{
	int fd = open(arg, O_RDONLY);

	CHECK(fd >= 0);
	return syncfs(fd) ? errno : 0;
}

/*
 * All paths are of one file system, and syncfs is for all of it: this one does
 * wait for the stuck target, but nobody else waits for it.
 */
TEST_F(neighbours, syncfs_of_a_path_waits_for_all_targets_alone)
{
	int fd = target_open("well", O_RDWR);
	struct client c, other;
	char path[256];
	int opened;

	PARTIAL(147);
	ASSERT_LE(0, fd);
	strcpy(path, target_path("well"));
	c = client_start(syncfs_path, path);
	other = client_start(use_file, &fd);
	EXPECT_EQ(0, client_result(&other, 30000));
	client_kill(&other);
	opened = open(path, O_RDWR);
	EXPECT_LE(0, opened);
	EXPECT_EQ(1, pwrite(opened, "x", 1, 0));
	EXPECT_EQ(0, fsync(opened));
	close(opened);
	close(fd);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 0));
	go_on(_metadata, self);
	EXPECT_EQ(0, client_result(&c, 20000));
}

/* Their deadlines bound it, as they bound a syncfs of their own. */
TEST(syncfs_of_a_path_ends_by_the_deadlines_of_the_others)
{
	unsigned int deadline = on_debug_kernel() ? 2000 : 1000;
	struct target_options o = { .bytes = MIB, .return_ms = deadline, .sync_ms = deadline,
				    .return_action = EXTPAGER_ACTION_ERROR };
	struct target_options usual = { .bytes = MIB };
	struct server stuck, well;
	char page[PAGE] = { 1 };
	struct client c;
	int fd, path;

	PARTIAL(133, 147);
	target_gone("stuck");
	target_gone("well");
	ASSERT_EQ(0, target_add("stuck", &o));
	ASSERT_EQ(0, target_add("well", &usual));
	ASSERT_TRUE(server_start(&stuck, "stuck", MIB, 1));
	ASSERT_TRUE(server_start(&well, "well", MIB, 2));
	fd = target_open("stuck", O_RDWR);
	ASSERT_LE(0, fd);
	*stuck.stop = 1;
	ASSERT_EQ(PAGE, pwrite(fd, page, PAGE, 0));
	path = open(target_path("well"), O_RDWR);
	ASSERT_LE(0, path);
	ASSERT_EQ(PAGE, pwrite(path, page, PAGE, 0));
	c = client_start(syncfs_path, (void *)target_path("well"));
	EXPECT_EQ(EIO, client_result(&c, 4 * deadline + SOON));
	EXPECT_EQ(PAGE, target_dirty("stuck"));
	/* What could be done was. */
	EXPECT_EQ(0, target_dirty("well"));
	EXPECT_EQ(1, well.store[0]);

	/* From now on nothing is to be late. */
	ASSERT_EQ(0, target_set("stuck", &(struct target_options){ .return_ms = LATE,
								   .sync_ms = LATE }));
	*stuck.stop = 0;
	EXPECT_EQ(EIO, fsync(fd) ? errno : 0);
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(1, stuck.store[0]);
	close(path);
	close(fd);
	EXPECT_TRUE(target_gone("stuck"));
	EXPECT_TRUE(target_gone("well"));
	server_stop(&stuck);
	server_stop(&well);
	EXPECT_TRUE(ways_end());
}

TEST_HARNESS_MAIN
