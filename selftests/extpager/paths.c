// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file system of targets: its directory, who may open what, what becomes
 * of a name whose target goes or comes again, and of the mount.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/pager.h"
#include "support/ways.h"

#define BYTES	MIB
#define SEED	5
#define NOBODY	65534

FIXTURE(paths)
{
	struct server server;
};

FIXTURE_SETUP(paths)
{
	struct target_options o = { .bytes = BYTES, .mode = 0600 };

	ASSERT_EQ(0, ways_add(&o));
	ASSERT_TRUE(server_start(&self->server, TARGET, BYTES, SEED));
}

FIXTURE_TEARDOWN(paths)
{
	server_stop(&self->server);
	EXPECT_TRUE(ways_end());
}

/* ---- who may ---- */

static int become_nobody(void)
{
	return setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY);
}

struct want {
	int read, write;		/* errno of reading, of opening for both */
};

/* The device itself is everybody's: it tells at the first use. */
static int way_use(enum way way, int flags)
{
	int fd = way_open(way, flags), ret = 0;
	char c;

	if (fd < 0)
		return -fd;
	if (pread(fd, &c, 1, 0) != 1)
		ret = errno;
	close(fd);
	return ret;
}

static int try_ways(void *arg)
{
	struct want *want = arg;
	int w;

	CHECK(!become_nobody());
	for (w = 0; w < WAYS; w++) {
		int read = way_use(w, O_RDONLY), write = way_use(w, O_RDWR);

		if (read != want->read || write != want->write) {
			printf("# %s: %d to read, %d to write\n", way_names[w], read, write);
			return 1;
		}
	}
	return 0;
}

static int others_get(int read, int write)
{
	struct client c = client_start(try_ways, &(struct want){ read, write });

	return client_result(&c, 20000);
}

TEST_F(paths, the_mode_bits_hold_for_every_way)
{
	char path[256];
	struct stat st;
	int fd;

	strcpy(path, target_path(TARGET));
	ASSERT_EQ(0, others_get(EACCES, EACCES));

	ASSERT_EQ(0, chmod(path, 0644));
	ASSERT_EQ(0, others_get(0, EACCES));
	ASSERT_EQ(0, chmod(path, 0666));
	ASSERT_EQ(0, others_get(0, 0));
	/* The owner has the owner's bits, also after everybody has closed it. */
	ASSERT_EQ(0, chmod(path, 0600));
	ASSERT_EQ(0, chown(path, NOBODY, NOBODY));
	ASSERT_EQ(0, others_get(0, 0));
	ASSERT_EQ(0, chmod(path, 0400));
	ASSERT_EQ(0, others_get(0, EACCES));

	fd = way_open(BY_OPEN, O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(S_IFREG | 0400, st.st_mode);
	EXPECT_EQ(NOBODY, st.st_uid);
	EXPECT_EQ(NOBODY, st.st_gid);
	close(fd);
}

TEST_F(paths, fchmod_of_any_fd_is_seen_by_every_way)
{
	struct stat st;
	char path[256];
	int open, held;

	strcpy(path, target_path(TARGET));
	open = way_open(BY_OPEN, O_RDWR);
	/* Somebody has the path open, so that its inode stays. */
	held = way_open(BY_PATH, O_RDWR);
	ASSERT_LE(0, open);
	ASSERT_LE(0, held);
	ASSERT_EQ(0, fchmod(held, 0644));
	EXPECT_EQ(0, others_get(0, EACCES));
	ASSERT_EQ(0, fchmod(open, 0666));
	EXPECT_EQ(0, others_get(0, 0));
	ASSERT_EQ(0, stat(path, &st));
	EXPECT_EQ(S_IFREG | 0666, st.st_mode);
	ASSERT_EQ(0, fchmod(open, 0600));
	EXPECT_EQ(0, others_get(EACCES, EACCES));
	ASSERT_EQ(0, fchown(open, NOBODY, NOBODY));
	EXPECT_EQ(0, others_get(0, 0));
	ASSERT_EQ(0, fstat(held, &st));
	EXPECT_EQ(S_IFREG | 0600, st.st_mode);
	EXPECT_EQ(NOBODY, st.st_uid);
	close(open);
	close(held);
}

static int look_on(void *arg)
{
	struct stat st;

	for (;;)
		if (stat(arg, &st) || access(arg, R_OK))
			return 1;
}

/* Whoever looks brings the path's picture up to date, at any time. */
TEST_F(paths, those_who_look_do_not_undo_a_change)
{
	unsigned int i, lost = 0, rounds = test_rounds(100000, 5000, 1000);
	struct client looking[2];
	int open = way_open(BY_OPEN, O_RDWR);
	struct stat st;
	char path[256];

	BEHAVIOURS(149);
	ASSERT_LE(0, open);
	strcpy(path, target_path(TARGET));
	for (i = 0; i < 2; i++)
		looking[i] = client_start(look_on, path);
	for (i = 0; i < rounds; i++) {
		unsigned int mode = i % 2 ? 0600 : 0644;

		ASSERT_EQ(0, chmod(path, mode));
		ASSERT_EQ(0, fstat(open, &st));
		lost += (st.st_mode & 0777) != mode;
	}
	EXPECT_EQ(0, lost);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(CLIENT_RUNNING, client_result(&looking[i], 0));
		client_kill(&looking[i]);
	}
	close(open);
}

/* Nobody looks between the changes: a path has no old picture of its own to put back. */
TEST_F(paths, a_change_by_path_takes_no_other_ways_change_back)
{
	const struct timespec old[2] = { { 1000, 0 }, { 2000, 0 } };
	int open = way_open(BY_OPEN, O_RDWR), held = way_open(BY_PATH, O_RDWR), fd;
	struct stat st;

	BEHAVIOURS(149);
	ASSERT_LE(0, open);
	ASSERT_LE(0, held);
	ASSERT_EQ(0, futimens(held, old));
	ASSERT_EQ(0, fchown(open, NOBODY, NOBODY));
	ASSERT_EQ(0, fchmod(held, 0640));
	ASSERT_EQ(0, fstat(open, &st));
	EXPECT_EQ(NOBODY, st.st_uid);
	EXPECT_EQ(NOBODY, st.st_gid);
	EXPECT_EQ(S_IFREG | 0640, st.st_mode);
	EXPECT_EQ(2000, st.st_mtim.tv_sec);

	ASSERT_EQ(0, fchmod(open, 0604));
	ASSERT_EQ(1, pwrite(open, "x", 1, 0));
	ASSERT_EQ(0, fchown(held, 0, 0));
	ASSERT_EQ(0, fstat(open, &st));
	EXPECT_EQ(0, st.st_uid);
	EXPECT_EQ(0, st.st_gid);
	EXPECT_EQ(S_IFREG | 0604, st.st_mode);
	EXPECT_LT(2000, st.st_mtim.tv_sec);

	/* Nor has a target that all have closed, and that comes again. */
	ASSERT_EQ(0, futimens(held, old));
	ASSERT_EQ(1, pwrite(open, "x", 1, 0));
	close(open);
	ASSERT_EQ(0, fchmod(held, 0644));
	close(held);
	fd = way_open(BY_OPEN, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_LT(2000, st.st_mtim.tv_sec);
	EXPECT_EQ(S_IFREG | 0644, st.st_mode);
	close(fd);
}

static int change_as_nobody(void *arg)
{
	const char *path = arg;
	int fd, again;
	char proc[64];

	CHECK(!become_nobody());
	CHECK(chmod(path, 0666) == -1 && errno == EPERM);
	CHECK(chown(path, NOBODY, NOBODY) == -1 && errno == EPERM);
	CHECK(unlink(path) == -1);
	CHECK((fd = way_open(BY_OPEN, O_RDONLY)) >= 0);
	CHECK(fchmod(fd, 0666) == -1 && errno == EPERM);
	/* A read-only fd does not become a writable one by way of /proc. */
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	again = open(proc, O_RDWR);
	CHECK(again == -1 && errno == EACCES);
	CHECK((again = open(proc, O_RDONLY)) >= 0);
	return 0;
}

TEST_F(paths, others_can_neither_change_the_mode_nor_get_round_it)
{
	char path[256];
	struct client c;

	strcpy(path, target_path(TARGET));
	ASSERT_EQ(0, chmod(path, 0644));
	c = client_start(change_as_nobody, path);
	EXPECT_EQ(0, client_result(&c, 10000));
}

/* Root may do anything with files, but nothing that a directory of targets has not. */
TEST_F(paths, the_directory_is_nobodys_to_change)
{
	char path[256], other[256];
	struct stat st;

	strcpy(path, target_path(TARGET));
	strcpy(other, target_path("other"));
	EXPECT_EQ(-1, unlink(path));
	EXPECT_EQ(-1, rename(path, other));
	EXPECT_EQ(-1, link(path, other));
	EXPECT_EQ(-1, mkdir(other, 0755));
	EXPECT_EQ(-1, open(other, O_RDWR | O_CREAT, 0644));
	/* The size is fixed; O_TRUNC does what it does to a device. */
	EXPECT_EQ(-1, truncate(path, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(0, truncate(path, BYTES));
	EXPECT_EQ(0, close(open(path, O_RDWR | O_TRUNC)));
	EXPECT_EQ(0, close(open(path, O_RDWR | O_CREAT, 0644)));
	EXPECT_EQ(-1, open(path, O_RDWR | O_CREAT | O_EXCL, 0644));
	EXPECT_EQ(EEXIST, errno);
	ASSERT_EQ(0, stat(path, &st));
	EXPECT_EQ(BYTES, st.st_size);
}

TEST_F(paths, a_read_only_target_is_so_by_every_way)
{
	struct target_options o = { .bytes = BYTES, .read_only = true };
	int w, fd;
	char c;

	BEHAVIOURS(128);
	ASSERT_EQ(0, ways_add(&o));
	server_kill(&self->server);
	ASSERT_TRUE(server_restart(&self->server, TARGET));
	for (w = 0; w < WAYS; w++) {
		EXPECT_EQ(0, way_use(w, O_RDONLY)) TH_LOG("%s", way_names[w]);
		EXPECT_EQ(EROFS, way_use(w, O_RDWR)) TH_LOG("%s", way_names[w]);
	}
	/* No way round by the device, whose own open succeeds. */
	fd = way_open(BY_DEVICE, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, pwrite(fd, "x", 1, 0));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-1, pread(fd, &c, 1, 0));
	close(fd);
}

/* ---- names ---- */

static bool is_listed(const char *name)
{
	DIR *dir = opendir(target_path("."));
	struct dirent *entry;
	bool found = false;

	while (dir && (entry = readdir(dir)))
		found |= !strcmp(entry->d_name, name) && entry->d_type == DT_REG;
	if (dir)
		closedir(dir);
	return found;
}

#define MANY 300

TEST_F(paths, the_directory_lists_each_target_once)
{
	struct target_options o = { .bytes = PAGE };
	unsigned int i, seen[MANY] = {}, many = on_debug_kernel() ? 50 : MANY;
	struct dirent *entry;
	char name[32];
	DIR *dir;

	for (i = 0; i < many; i++) {
		snprintf(name, sizeof(name), "listed-%u", i);
		target_gone(name);
		ASSERT_EQ(0, target_add(name, &o));
	}
	ASSERT_TRUE(is_listed(TARGET));
	/* One goes meanwhile: the others are neither lost nor told twice. */
	dir = opendir(target_path("."));
	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		struct stat st;

		if (sscanf(entry->d_name, "listed-%u", &i) != 1)
			continue;
		if (!i)
			EXPECT_TRUE(target_gone("listed-1"));
		ASSERT_GT(many, i);
		EXPECT_EQ(0, seen[i]++);
		if (i == 1)
			continue;
		ASSERT_EQ(0, stat(target_path(entry->d_name), &st));
		EXPECT_EQ(entry->d_ino, st.st_ino);
	}
	closedir(dir);
	for (i = 0; i < many; i++) {
		snprintf(name, sizeof(name), "listed-%u", i);
		if (i != 1)
			EXPECT_EQ(1, seen[i]);
		EXPECT_TRUE(target_gone(name));
		EXPECT_FALSE(is_listed(name));
	}
}

TEST_F(paths, a_deleted_target_has_no_path_though_it_is_open)
{
	struct target_options o = { .bytes = 2 * BYTES };
	char path[256], page[PAGE];
	struct stat old, new;
	struct server other;
	int fd, again;

	BEHAVIOURS(149);
	strcpy(path, target_path(TARGET));
	fd = open(path, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &old));
	ASSERT_EQ(PAGE, pread(fd, page, PAGE, 0));
	ASSERT_EQ(0, target_del(TARGET, false));
	ASSERT_TRUE(WAIT_FOR(10000, !target_state(TARGET)));

	EXPECT_EQ(-1, open(path, O_RDWR));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, stat(path, &new));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_FALSE(is_listed(TARGET));
	EXPECT_EQ(-ENOENT, way_open(BY_OPEN, O_RDWR));
	again = way_open(BY_DEVICE, O_RDWR);
	ASSERT_LE(0, again);
	EXPECT_EQ(-1, read(again, page, 1));
	EXPECT_EQ(ENXIO, errno);
	close(again);

	/* The next one of that name is another one. */
	ASSERT_EQ(0, target_add(TARGET, &o));
	ASSERT_TRUE(server_start(&other, TARGET, 2 * BYTES, SEED + 1));
	again = open(path, O_RDWR);
	ASSERT_LE(0, again);
	ASSERT_EQ(0, fstat(again, &new));
	EXPECT_EQ(2 * BYTES, new.st_size);
	EXPECT_NE(old.st_ino, new.st_ino);
	ASSERT_EQ(PAGE, pread(again, page, PAGE, 0));
	EXPECT_TRUE(page_is(page, SEED + 1, 0));
	ASSERT_EQ(PAGE, pread(fd, page, PAGE, 0));
	EXPECT_TRUE(page_is(page, SEED, 0));
	ASSERT_EQ(0, fstat(fd, &new));
	EXPECT_EQ(BYTES, new.st_size);
	/* What is done to the old one's mode is nothing to the new one. */
	ASSERT_EQ(0, fchmod(fd, 0606));
	ASSERT_EQ(0, fstat(again, &new));
	EXPECT_NE(S_IFREG | 0606, new.st_mode);
	close(fd);
	close(again);
	server_stop(&other);
}

TEST_F(paths, a_name_that_was_missing_is_found_once_it_is_there)
{
	struct target_options o = { .bytes = PAGE };
	struct stat st;
	char path[256];

	target_gone("late");
	strcpy(path, target_path("late"));
	EXPECT_EQ(-1, stat(path, &st));
	EXPECT_EQ(ENOENT, errno);
	ASSERT_EQ(0, target_add("late", &o));
	EXPECT_EQ(0, stat(path, &st));
	EXPECT_TRUE(target_gone("late"));
	EXPECT_EQ(-1, stat(path, &st));
	EXPECT_EQ(ENOENT, errno);
}

/* ---- the mount ---- */

TEST_F(paths, a_mount_in_use_is_busy)
{
	uint8_t *map;
	int fd;

	BEHAVIOURS(149);
	ASSERT_TRUE(ways_mount("/tmp/targets"));
	fd = open("/tmp/targets/" TARGET, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, umount("/tmp/targets"));
	EXPECT_EQ(EBUSY, errno);
	map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	close(fd);
	EXPECT_EQ(-1, umount("/tmp/targets"));
	EXPECT_EQ(EBUSY, errno);

	/* Out of sight it goes on, page-ins and all. */
	ASSERT_EQ(0, umount2("/tmp/targets", MNT_DETACH));
	EXPECT_TRUE(page_is(map + 100 * PAGE, SEED, 100));
	memcpy(map, "stored", 6);
	EXPECT_EQ(0, msync(map, PAGE, MS_SYNC));
	EXPECT_EQ(0, memcmp(self->server.store, "stored", 6));
	munmap(map, BYTES);

	/* With nobody there it goes, and the next mount is like the first. */
	ASSERT_TRUE(ways_mount("/tmp/targets"));
	EXPECT_EQ(0, access("/tmp/targets/" TARGET, F_OK));
	EXPECT_EQ(0, umount("/tmp/targets"));
	EXPECT_EQ(0, rmdir("/tmp/targets"));
}

TEST_F(paths, two_mounts_show_the_same_targets)
{
	int here, there;
	struct stat st;
	char c;

	BEHAVIOURS(149);
	ASSERT_TRUE(ways_mount("/tmp/targets"));
	here = way_open(BY_PATH, O_RDWR);
	there = open("/tmp/targets/" TARGET, O_RDWR);
	ASSERT_LE(0, here);
	ASSERT_LE(0, there);
	ASSERT_EQ(1, pwrite(here, "x", 1, 7));
	ASSERT_EQ(1, pread(there, &c, 1, 7));
	EXPECT_EQ('x', c);
	ASSERT_EQ(0, fchmod(here, 0640));
	ASSERT_EQ(0, fstat(there, &st));
	EXPECT_EQ(S_IFREG | 0640, st.st_mode);
	close(here);
	close(there);
	EXPECT_EQ(0, umount("/tmp/targets"));
}

/* Dirty pages are the target's affair: an unmount does not wait for a pager. */
TEST_F(paths, an_unmount_does_not_wait_for_a_pager)
{
	uint64_t begin;
	int fd;

	ASSERT_TRUE(ways_mount("/tmp/targets"));
	fd = open("/tmp/targets/" TARGET, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(5, pwrite(fd, "dirty", 5, 0));
	*self->server.stop = 1;
	close(fd);
	begin = now_ms();
	EXPECT_EQ(0, umount("/tmp/targets"));
	EXPECT_GT(5000, now_ms() - begin);
	*self->server.stop = 0;
	fd = way_open(BY_OPEN, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(0, memcmp(self->server.store, "dirty", 5));
	close(fd);
}

TEST_HARNESS_MAIN
