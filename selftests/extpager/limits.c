// SPDX-License-Identifier: GPL-2.0-only
/*
 * What cannot be done with a target, as the README says it: a page cache whose
 * pages must be asked for before they are dirtied cannot lend them for good,
 * nor be somebody else's to fill. Each refusal leaves the mapping as it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <liburing.h>
#include <linux/userfaultfd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/pager.h"
#include "support/swap.h"
#include "support/ways.h"

#define BYTES	MIB
#define SEED	4

/* Newer than the headers of the machine that builds this. */
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

/* Write-back only when somebody asks for it. */
FIXTURE(limits)
{
	struct server server;
	long interval;
	int fd;
	uint8_t *shared, *private;
};

FIXTURE_SETUP(limits)
{
	struct target_options o = { .bytes = BYTES };

	self->interval = writeback_interval(AN_HOUR);
	ASSERT_LT(0, self->interval);
	ASSERT_EQ(0, ways_add(&o));
	ASSERT_TRUE(server_start(&self->server, TARGET, BYTES, SEED));
	self->fd = target_open(TARGET, O_RDWR);
	ASSERT_LE(0, self->fd);
	self->shared = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	self->private = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->private);
}

FIXTURE_TEARDOWN(limits)
{
	munmap(self->shared, BYTES);
	munmap(self->private, BYTES);
	close(self->fd);
	server_stop(&self->server);
	EXPECT_TRUE(ways_end());
	writeback_interval(self->interval);
}

/* ---- pages pinned for a moment ---- */

#define SECTOR	512UL
#define PIECE	(5 * PAGE + SECTOR)	/* ends inside a page */
#define FROM	(16 * PAGE)
#define TO	(64 * PAGE + SECTOR)	/* begins inside one */
#define PRIVATE	(128 * PAGE)

/* A byte of the device tells its place. */
static uint8_t at(unsigned long i)
{
	return i * 31 + i / 251;
}

/*
 * A device without a cache reads from and writes into pages that are nowhere yet:
 * into part of the first and of the last, whose other bytes stay the pager's.
 */
TEST_F(limits, direct_io_of_a_device_reads_and_dirties_the_right_bytes)
{
	uint8_t *buffer = aligned_alloc(PAGE, 6 * PAGE);
	uint8_t *expected = malloc(BYTES);
	unsigned long i;
	int disk;

	BEHAVIOURS(122);
	ASSERT_TRUE(disk_ready());
	disk = open(DISK, O_RDWR | O_DIRECT);
	ASSERT_LE(0, disk);
	memcpy(expected, self->server.store, BYTES);
	EXPECT_EQ(0, madvise(self->shared, BYTES, MADV_RANDOM));

	/* Out of the mapping. */
	ASSERT_EQ((ssize_t)PIECE, pwrite(disk, self->shared + FROM, PIECE, MIB));
	ASSERT_EQ((ssize_t)PIECE, pread(disk, buffer, PIECE, MIB));
	EXPECT_EQ(0, memcmp(buffer, expected + FROM, PIECE));
	EXPECT_EQ(6, self->server.stats->pages_requested);
	EXPECT_EQ(0, target_dirty(TARGET));

	/* Into it; and into a private one, which is nobody else's. */
	for (i = 0; i < PIECE; i++)
		buffer[i] = at(i);
	ASSERT_EQ((ssize_t)PIECE, pwrite(disk, buffer, PIECE, MIB));
	ASSERT_EQ((ssize_t)PIECE, pread(disk, self->shared + TO, PIECE, MIB));
	ASSERT_EQ((ssize_t)PIECE, pread(disk, self->private + PRIVATE, PIECE, MIB));
	memcpy(expected + TO, buffer, PIECE);
	EXPECT_EQ(6 * PAGE, target_dirty(TARGET));
	EXPECT_EQ(0, memcmp(self->shared, expected, BYTES));
	EXPECT_EQ(0, memcmp(self->private + PRIVATE, buffer, PIECE));
	ASSERT_EQ(0, fsync(self->fd));
	EXPECT_EQ(0, target_dirty(TARGET));
	EXPECT_EQ(0, memcmp(self->server.store, expected, BYTES));

	/* What was returned is watched again: the same once more dirties it anew. */
	ASSERT_EQ((ssize_t)SECTOR, pread(disk, self->shared + TO, SECTOR, MIB + SECTOR));
	memcpy(expected + TO, buffer + SECTOR, SECTOR);
	EXPECT_EQ(PAGE, target_dirty(TARGET));
	ASSERT_EQ(0, msync(self->shared, BYTES, MS_SYNC));
	EXPECT_EQ(0, memcmp(self->server.store, expected, BYTES));
	close(disk);
}

/* ---- pages pinned for long ---- */

static int register_buffer(void *addr)
{
	struct iovec buffer = { addr, 4 * PAGE };
	struct io_uring ring;
	int ret = io_uring_queue_init(2, &ring, 0);

	if (ret)
		return ret;
	ret = io_uring_register_buffers(&ring, &buffer, 1);
	io_uring_queue_exit(&ring);
	return ret;
}

TEST_F(limits, a_shared_mapping_cannot_be_pinned_for_long)
{
	/* 6.1 has a rule of io_uring's own: no buffer in a file's mapping at all. */
	int refused = kernel_version() < 602 ? -EOPNOTSUPP : -EFAULT;

	BEHAVIOURS(122);
	ASSERT_EQ(0, register_buffer(aligned_alloc(PAGE, 4 * PAGE)));
	EXPECT_EQ(refused, register_buffer(self->shared));
	/* Neither when the pages are here and dirty. */
	memset(self->shared, 1, 4 * PAGE);
	EXPECT_EQ(refused, register_buffer(self->shared));
	EXPECT_EQ(0, fsync(self->fd));
	EXPECT_EQ(1, self->server.store[4 * PAGE - 1]);
	EXPECT_EQ(0, madvise(self->shared, 4 * PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, posix_fadvise(self->fd, 0, 4 * PAGE, POSIX_FADV_DONTNEED));
	EXPECT_EQ(1, self->shared[PAGE]);
	/* A private mapping's own copies are pinned instead. */
	EXPECT_EQ(kernel_version() < 602 ? refused : 0, register_buffer(self->private));
	EXPECT_TRUE(page_is(self->private + 5 * PAGE, SEED, 5));
}

/* ---- userfaultfd ---- */

static int uffd_open(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api)) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

static int uffd_register(int uffd, void *addr, uint64_t mode)
{
	struct uffdio_register r = { .range = { (uintptr_t)addr, BYTES }, .mode = mode };

	return ioctl(uffd, UFFDIO_REGISTER, &r) ? -errno : 0;
}

TEST_F(limits, userfaultfd_does_not_get_a_mapping)
{
	static const uint64_t modes[] = {
		UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_MINOR, UFFDIO_REGISTER_MODE_WP,
		UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};
	void *anonymous = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);
	int uffd = uffd_open(0);
	unsigned int i;

	BEHAVIOURS(122);
	ASSERT_LE(0, uffd);
	/* It works where it may. */
	ASSERT_EQ(0, uffd_register(uffd, anonymous, UFFDIO_REGISTER_MODE_MISSING));
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		EXPECT_EQ(-EINVAL, uffd_register(uffd, self->shared, modes[i])) {
			TH_LOG("mode %u, shared", i);
		}
		EXPECT_EQ(-EINVAL, uffd_register(uffd, self->private, modes[i])) {
			TH_LOG("mode %u, private", i);
		}
	}
	close(uffd);
	EXPECT_TRUE(page_is(self->shared + PAGE, SEED, 1));
	EXPECT_TRUE(page_is(self->private + PAGE, SEED, 1));
	munmap(anonymous, BYTES);
}

/* From 6.7 on writes can be tracked in any mapping: nobody waits for anybody then. */
TEST_F(limits, asynchronous_write_protection_of_userfaultfd_tracks_and_harms_nothing)
{
	int uffd = uffd_open(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED);
	struct uffdio_writeprotect wp = { .range = { (uintptr_t)self->shared, BYTES },
					  .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	BEHAVIOURS(122);
	if (kernel_version() < 607) {
		EXPECT_EQ(-EINVAL, uffd);
		return;
	}
	ASSERT_LE(0, uffd);
	EXPECT_EQ(0, uffd_register(uffd, self->shared, UFFDIO_REGISTER_MODE_WP));
	EXPECT_EQ(-EINVAL, uffd_register(uffd, self->private, UFFDIO_REGISTER_MODE_MISSING));
	/* One page here, one dirty, the others not asked for yet. */
	EXPECT_TRUE(page_is(self->shared, SEED, 0));
	fill_page(self->shared + PAGE, 9, 1);
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_WRITEPROTECT, &wp));
	fill_page(self->shared, 9, 0);
	fill_page(self->shared + PAGE, 10, 1);
	fill_page(self->shared + 2 * PAGE, 9, 2);
	EXPECT_TRUE(page_is(self->shared + 3 * PAGE, SEED, 3));
	EXPECT_EQ(0, msync(self->shared, BYTES, MS_SYNC));
	EXPECT_TRUE(page_is(self->server.store, 9, 0));
	EXPECT_TRUE(page_is(self->server.store + PAGE, 10, 1));
	EXPECT_TRUE(page_is(self->server.store + 2 * PAGE, 9, 2));
	/* And the next write is seen again. */
	fill_page(self->shared, 11, 0);
	EXPECT_EQ(0, msync(self->shared, BYTES, MS_SYNC));
	EXPECT_TRUE(page_is(self->server.store, 11, 0));
	close(uffd);
}

/* ---- swap ---- */

#define DISK "/dev/nvme0n1"

TEST_F(limits, swap_does_not_go_onto_a_target)
{
	uint8_t *page = aligned_alloc(PAGE, PAGE);
	int disk = open(DISK, O_RDWR | O_SYNC);

	PARTIAL(131);
	ASSERT_LE(0, disk);
	swap_header(page, BYTES);
	ASSERT_EQ(PAGE, pwrite(disk, page, PAGE, 0));
	close(disk);
	/* The same header is good on a disk. */
	ASSERT_EQ(0, swapon(DISK, 0));
	ASSERT_EQ(0, swapoff(DISK));
	disk = open(DISK, O_RDWR | O_SYNC);
	ASSERT_EQ(PAGE, pwrite(disk, self->server.store + BYTES - PAGE, PAGE, 0));
	close(disk);

	ASSERT_EQ(PAGE, pwrite(self->fd, page, PAGE, 0));
	EXPECT_EQ(-1, swapon(target_path(TARGET), 0));
	EXPECT_EQ(EINVAL, errno);
	/* It can still be written, which a swap file cannot. */
	EXPECT_EQ(PAGE, pwrite(self->fd, page, PAGE, PAGE));
	EXPECT_EQ(0, fsync(self->fd));
	EXPECT_EQ(0, memcmp(self->server.store + PAGE, page, PAGE));
	free(page);
}

TEST_HARNESS_MAIN
