// SPDX-License-Identifier: GPL-2.0-only
/*
 * The three ways to a target - an fd by the ioctl OPEN, the bare device, a
 * path - are one: what is done one way is seen every other way.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/pager.h"
#include "support/ways.h"

/* It ends inside a page. */
#define BYTES	(4 * MIB - 100)
#define SEED	3

FIXTURE(ways)
{
	struct server server;
	int fd[WAYS];
	uint8_t *map[WAYS];
};

FIXTURE_SETUP(ways)
{
	struct target_options o = { .bytes = BYTES };
	int w;

	ASSERT_EQ(0, ways_add(&o));
	ASSERT_TRUE(server_start(&self->server, TARGET, BYTES, SEED));
	for (w = 0; w < WAYS; w++) {
		self->fd[w] = way_open(w, O_RDWR);
		ASSERT_LE(0, self->fd[w]) TH_LOG("%s", way_names[w]);
		self->map[w] = mmap(NULL, BYTES + PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
				    self->fd[w], 0);
		ASSERT_NE(MAP_FAILED, self->map[w]) TH_LOG("%s", way_names[w]);
	}
}

FIXTURE_TEARDOWN(ways)
{
	int w;

	for (w = 0; w < WAYS; w++) {
		munmap(self->map[w], BYTES + PAGE);
		close(self->fd[w]);
	}
	server_stop(&self->server);
	EXPECT_TRUE(ways_end());
}

/* ---- contents ---- */

/* Everybody sees @n bytes of @want at @at, by read and by mapping. */
static int all_see(const int *fd, uint8_t *const *map, off_t at, const void *want, size_t n)
{
	uint8_t got[512];
	int w;

	for (w = 0; w < WAYS; w++) {
		if (pread(fd[w], got, n, at) != (ssize_t)n || memcmp(got, want, n)) {
			printf("# read by %s at %ld\n", way_names[w], (long)at);
			return 1;
		}
		if (memcmp(map[w] + at, want, n)) {
			printf("# mapped by %s at %ld\n", way_names[w], (long)at);
			return 1;
		}
	}
	return 0;
}

TEST_F(ways, what_is_written_one_way_is_read_every_way_at_once)
{
	unsigned int round, rounds = test_rounds(2000, 200, 30);
	uint64_t random = test_seed(1);
	uint8_t data[300];
	size_t i;
	int w;

	BEHAVIOURS(149);
	for (round = 0; round < rounds; round++) {
		for (w = 0; w < 2 * WAYS; w++) {
			size_t n = 1 + test_random(&random) % sizeof(data);
			off_t at = test_random(&random) % (BYTES - n);

			for (i = 0; i < n; i++)
				data[i] = test_random(&random);
			if (w < WAYS) {
				ASSERT_EQ(n, pwrite(self->fd[w], data, n, at));
			} else {
				memcpy(self->map[w - WAYS] + at, data, n);
			}
			ASSERT_EQ(0, all_see(self->fd, self->map, at, data, n))
				TH_LOG("%s by %s, round %u", w < WAYS ? "written" : "stored",
				       way_names[w % WAYS], round);
			if (test_random(&random) % 8)
				continue;
			/* Each way's fsync puts it into the store, from where it comes again. */
			ASSERT_EQ(0, fsync(self->fd[round % WAYS]));
			ASSERT_EQ(0, memcmp(self->server.store + at, data, n))
				TH_LOG("after fsync by %s", way_names[round % WAYS]);
			ASSERT_EQ(0, posix_fadvise(self->fd[round % WAYS], 0, 0,
						   POSIX_FADV_DONTNEED));
			ASSERT_EQ(0, all_see(self->fd, self->map, at, data, n));
		}
	}
	ASSERT_EQ(0, fsync(self->fd[BY_DEVICE]));
	EXPECT_EQ(0, memcmp(self->server.store, self->map[BY_PATH], BYTES));
}

/* A small file's last bytes and what lies beyond. */
TEST_F(ways, the_end_is_at_the_same_place)
{
	struct stat st;
	uint8_t b[8];
	int w;

	BEHAVIOURS(149);
	for (w = 0; w < WAYS; w++) {
		int fd = self->fd[w];

		EXPECT_EQ(BYTES, lseek(fd, 0, SEEK_END));
		EXPECT_EQ(BYTES - 7, lseek(fd, -7, SEEK_CUR));
		EXPECT_EQ(7, read(fd, b, sizeof(b)));
		EXPECT_EQ(0, read(fd, b, sizeof(b)));
		EXPECT_EQ(5000, lseek(fd, 5000, SEEK_DATA));
		EXPECT_EQ(BYTES, lseek(fd, 5000, SEEK_HOLE));
		EXPECT_EQ(-1, lseek(fd, BYTES, SEEK_DATA));
		EXPECT_EQ(ENXIO, errno);
		EXPECT_EQ(-1, lseek(fd, -1, SEEK_SET));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(2, pwrite(fd, "12345678", 8, BYTES - 2));
		EXPECT_EQ(-1, pwrite(fd, "12345678", 8, BYTES));
		EXPECT_EQ(ENOSPC, errno);
		ASSERT_EQ(0, fstat(fd, &st));
		/* The device's stat is the node's. */
		if (w != BY_DEVICE) {
			EXPECT_EQ(BYTES, st.st_size);
			EXPECT_EQ((BYTES + 511) / 512, st.st_blocks);
			EXPECT_TRUE(S_ISREG(st.st_mode));
		}
	}
	/* What a mapping has beyond the end is zeros, and goes nowhere. */
	for (w = 0; w < WAYS; w++) {
		EXPECT_EQ(0, self->map[w][BYTES]);
		EXPECT_NE(0, try_read(self->map[w] + 4 * MIB, NULL));
	}
}

static bool times_are(int fd, struct timespec atime, struct timespec mtime)
{
	struct stat st;

	return !fstat(fd, &st) &&
	       st.st_mtim.tv_sec == mtime.tv_sec && st.st_mtim.tv_nsec == mtime.tv_nsec &&
	       st.st_atim.tv_sec == atime.tv_sec && st.st_atim.tv_nsec == atime.tv_nsec;
}

TEST_F(ways, times_agree)
{
	struct stat open, path;
	int w, how;

	BEHAVIOURS(149);
	for (w = 0; w < WAYS; w++) {
		for (how = 0; how < 2; how++) {
			/* Set by one, the old time is seen by the other. */
			struct timespec old[2] = { { 1000 + w, 17 }, { 2000 + w, 0 } };
			int by = (w + how) % 2 ? BY_OPEN : BY_PATH;

			/* So that the next store is one into a clean page. */
			ASSERT_EQ(0, fsync(self->fd[BY_OPEN]));
			ASSERT_EQ(0, futimens(self->fd[by], old));
			ASSERT_TRUE(times_are(self->fd[BY_OPEN], old[0], old[1]));
			ASSERT_TRUE(times_are(self->fd[BY_PATH], old[0], old[1]));
			if (how) {
				self->map[w][w * PAGE]++;
			} else {
				ASSERT_EQ(1, pwrite(self->fd[w], "x", 1, w * PAGE));
			}
			ASSERT_EQ(0, fstat(self->fd[BY_OPEN], &open));
			ASSERT_EQ(0, fstat(self->fd[BY_PATH], &path));
			EXPECT_LT(3000, open.st_mtim.tv_sec)
				TH_LOG("%s by %s", how ? "stored" : "written", way_names[w]);
			EXPECT_EQ(open.st_mtim.tv_sec, path.st_mtim.tv_sec);
			EXPECT_EQ(open.st_mtim.tv_nsec, path.st_mtim.tv_nsec);
			EXPECT_EQ(open.st_ctim.tv_sec, path.st_ctim.tv_sec);
			EXPECT_EQ(open.st_ctim.tv_nsec, path.st_ctim.tv_nsec);
		}
	}
}

TEST_F(ways, an_access_of_any_way_is_seen_by_every_way)
{
	struct stat open, path;
	uint8_t b;
	int w, by;

	BEHAVIOURS(149);
	for (w = 0; w < WAYS; w++) {
		for (by = BY_OPEN; by < WAYS; by += BY_PATH) {
			struct timespec old[2] = { { 1000 + w, 17 }, { 2000 + by, 0 } };

			ASSERT_EQ(0, futimens(self->fd[by], old));
			/* A path's relatime goes by the times that it showed last. */
			ASSERT_EQ(0, fstat(self->fd[BY_PATH], &path));
			ASSERT_EQ(1, pread(self->fd[w], &b, 1, w * PAGE));
			ASSERT_EQ(0, fstat(self->fd[BY_OPEN], &open));
			ASSERT_EQ(0, fstat(self->fd[BY_PATH], &path));
			EXPECT_LT(3000, open.st_atim.tv_sec)
				TH_LOG("set by %s, read by %s", way_names[by], way_names[w]);
			EXPECT_EQ(open.st_atim.tv_sec, path.st_atim.tv_sec);
			EXPECT_EQ(open.st_atim.tv_nsec, path.st_atim.tv_nsec);
			EXPECT_EQ(2000 + by, open.st_mtim.tv_sec);
			EXPECT_EQ(2000 + by, path.st_mtim.tv_sec);
		}
	}
}

/* ---- mappings ---- */

TEST_F(ways, mappings_are_made_and_dropped_any_number_of_times)
{
	uint64_t random = test_seed(2);
	unsigned int i;
	int w;

	BEHAVIOURS(148);
	for (w = 0; w < WAYS; w++) {
		for (i = 0; i < 100; i++) {
			off_t at = test_random(&random) % 1000 * PAGE;
			uint8_t *map = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
					    self->fd[w], at);

			ASSERT_NE(MAP_FAILED, map) TH_LOG("%s, %uth", way_names[w], i);
			memset(map + PAGE - 1, i + 1, 2);
			ASSERT_EQ(i + 1, self->map[(w + 1) % WAYS][at + PAGE]);
			ASSERT_EQ(0, munmap(map, 8 * PAGE));
		}
	}
	ASSERT_EQ(0, fsync(self->fd[BY_PATH]));
	EXPECT_EQ(0, memcmp(self->server.store, self->map[BY_OPEN], BYTES));
}

/* Alone: each time the last mapping of the fd, and of the object, goes. */
TEST(a_lone_mapping_is_made_and_dropped_any_number_of_times)
{
	struct target_options o = { .bytes = BYTES };
	uint64_t random = test_seed(3);
	struct server server;
	uint8_t *model;
	unsigned int i;
	int w, fd;

	BEHAVIOURS(148);
	ASSERT_EQ(0, ways_add(&o));
	ASSERT_TRUE(server_start(&server, TARGET, BYTES, SEED));
	model = malloc(BYTES);
	memcpy(model, server.store, BYTES);
	for (w = 0; w < WAYS; w++) {
		fd = way_open(w, O_RDWR);
		ASSERT_LE(0, fd);
		for (i = 0; i < 100; i++) {
			off_t at = test_random(&random) % 1000 * PAGE;
			uint8_t *map = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
					    fd, at);

			ASSERT_NE(MAP_FAILED, map) TH_LOG("%s, %uth", way_names[w], i);
			ASSERT_EQ(0, memcmp(map, model + at, 8 * PAGE))
				TH_LOG("%s, %uth", way_names[w], i);
			memset(map + PAGE - 1, i + 1, 2);
			memset(model + at + PAGE - 1, i + 1, 2);
			ASSERT_EQ(0, munmap(map, 8 * PAGE));
			if (i % 10)
				continue;
			ASSERT_EQ(0, fsync(fd));
			ASSERT_EQ(0, memcmp(server.store, model, BYTES))
				TH_LOG("%s, %uth", way_names[w], i);
		}
		ASSERT_EQ(0, fsync(fd));
		close(fd);
		EXPECT_EQ(0, memcmp(server.store, model, BYTES));
	}
	free(model);
	server_stop(&server);
	EXPECT_TRUE(ways_end());
}

#define NEIGHBOURS 16

TEST_F(ways, adjacent_mappings_of_all_ways_are_one_memory)
{
	uint8_t *area = mmap(NULL, NEIGHBOURS * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
	long references = module_references();
	unsigned int i, round;

	BEHAVIOURS(148);
	ASSERT_NE(MAP_FAILED, area);
	for (round = 0; round < WAYS + 1; round++) {
		/* One way alone, whose mappings may merge; in the end mixed. */
		for (i = 0; i < NEIGHBOURS; i++) {
			int fd = self->fd[round < WAYS ? round : i % WAYS];

			ASSERT_EQ(area + i * PAGE,
				  mmap(area + i * PAGE, PAGE, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_FIXED, fd, i * PAGE));
		}
		/* Split and mend, as malloc and garbage collectors do. */
		ASSERT_EQ(0, mprotect(area + 3 * PAGE, 5 * PAGE, PROT_READ));
		ASSERT_EQ(0, mprotect(area, NEIGHBOURS * PAGE, PROT_READ | PROT_WRITE));
		memset(area, round + 1, NEIGHBOURS * PAGE);
		for (i = 0; i < WAYS; i++)
			ASSERT_EQ(0, memcmp(area, self->map[i], NEIGHBOURS * PAGE));
		ASSERT_EQ(0, munmap(area + 5 * PAGE, 2 * PAGE));
		ASSERT_EQ(area, mmap(area, NEIGHBOURS * PAGE, PROT_NONE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	}
	munmap(area, NEIGHBOURS * PAGE);
	EXPECT_EQ(references, module_references());
}

TEST_F(ways, a_read_only_fd_maps_no_writable_memory)
{
	int w;

	BEHAVIOURS(128, 149);
	for (w = 0; w < WAYS; w++) {
		int fd = way_open(w, O_RDONLY), wfd = way_open(w, O_WRONLY);
		uint8_t *map, old;

		ASSERT_LE(0, fd);
		ASSERT_LE(0, wfd);
		EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, wfd, 0));
		EXPECT_EQ(EACCES, errno);
		EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
		EXPECT_EQ(EACCES, errno);
		map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		EXPECT_EQ(-1, mprotect(map, PAGE, PROT_READ | PROT_WRITE));
		EXPECT_EQ(EACCES, errno);
		EXPECT_EQ(-1, pwrite(fd, "x", 1, 0));
		EXPECT_EQ(EBADF, errno);
		munmap(map, PAGE);
		/* Its private copy is another matter. */
		map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		old = map[0];
		map[0]++;
		EXPECT_EQ(old, self->map[w][0]);
		munmap(map, PAGE);
		close(fd);
		close(wfd);
	}
}

/* The buffer of a read or write is a mapping of the very pages. */
TEST_F(ways, a_buffer_may_be_the_same_pages)
{
	uint8_t page[PAGE];
	int a, b;

	BEHAVIOURS(149);
	for (a = 0; a < WAYS; a++) {
		for (b = 0; b < WAYS; b++) {
			ASSERT_EQ(0, fsync(self->fd[a]));
			drop_caches();
			ASSERT_EQ(PAGE, pwrite(self->fd[a], self->map[b] + 7 * PAGE, PAGE,
					       7 * PAGE));
			EXPECT_TRUE(page_is(self->map[a] + 7 * PAGE, SEED, 7));
			ASSERT_EQ(PAGE, pread(self->fd[a], self->map[b] + 7 * PAGE, PAGE,
					      7 * PAGE));
			EXPECT_TRUE(page_is(self->map[b] + 7 * PAGE, SEED, 7));
			/* Half a page further, over a boundary. */
			fill_page(page, SEED, 9);
			ASSERT_EQ(PAGE, pwrite(self->fd[a], self->map[b] + 9 * PAGE, PAGE,
					       20 * PAGE + 2048));
			ASSERT_EQ(0, memcmp(self->map[b] + 20 * PAGE + 2048, page, PAGE));
		}
	}
}

/* ---- futexes ---- */

struct sleeper {
	int fd;
	off_t at;
};

static int sleep_on_futex(void *arg)
{
	struct sleeper *s = arg;
	uint32_t *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd,
			     s->at / PAGE * PAGE);

	CHECK(map != MAP_FAILED);
	map += s->at % PAGE / 4;
	while (!__atomic_load_n(map, __ATOMIC_ACQUIRE))
		syscall(SYS_futex, map, FUTEX_WAIT, 0, NULL, NULL, 0);
	return 0;
}

TEST_F(ways, a_futex_is_shared_between_any_two_ways)
{
	int a, b;

	BEHAVIOURS(149);
	for (a = 0; a < WAYS; a++) {
		for (b = 0; b < WAYS; b++) {
			struct sleeper s = { self->fd[a], (100 + 3 * a + b) * PAGE + 64 };
			uint32_t *word = (uint32_t *)(self->map[b] + s.at);
			struct client c;

			*word = 0;
			c = client_start(sleep_on_futex, &s);
			/* Woken without a change, it sleeps again: so it was the futex. */
			ASSERT_TRUE(WAIT_FOR(5000, syscall(SYS_futex, word, FUTEX_WAKE, 1,
							   NULL, NULL, 0) == 1))
				TH_LOG("sleeps by %s, woken by %s", way_names[a], way_names[b]);
			__atomic_store_n(word, 1, __ATOMIC_RELEASE);
			syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
			EXPECT_EQ(0, client_result(&c, 5000));
			client_kill(&c);
		}
	}
}

/* ---- not waiting ---- */

static ssize_t read_nowait(int fd, void *buf, size_t n, off_t at)
{
	struct iovec iov = { buf, n };

	return preadv2(fd, &iov, 1, at, RWF_NOWAIT);
}

TEST_F(ways, a_read_that_may_not_wait_says_eagain_until_the_data_are_here)
{
	struct iovec iov = { "y", 1 };
	uint8_t page[PAGE];
	int w;

	BEHAVIOURS(149);
	for (w = 0; w < WAYS; w++) {
		off_t at = (200 + 200 * w) * PAGE;

		*self->server.stop = 1;
		EXPECT_EQ(-1, read_nowait(self->fd[w], page, PAGE, at));
		EXPECT_EQ(EAGAIN, errno);
		EXPECT_EQ(-1, read_nowait(self->fd[w], page, PAGE, at));
		EXPECT_EQ(EAGAIN, errno);
		*self->server.stop = 0;
		/* Whether a try asks for them is the kernel's choice; this does. */
		ASSERT_EQ(0, posix_fadvise(self->fd[w], at, PAGE, POSIX_FADV_WILLNEED));
		EXPECT_TRUE(WAIT_FOR(5000, read_nowait(self->fd[w], page, PAGE, at) == PAGE))
			TH_LOG("%s", way_names[w]);
		EXPECT_TRUE(page_is(page, SEED, at / PAGE));
		/* A write that may not wait is left to somebody who may. */
		EXPECT_EQ(-1, pwritev2(self->fd[w], &iov, 1, at, RWF_NOWAIT));
		EXPECT_EQ(EAGAIN, errno);
	}
}

TEST_F(ways, there_is_no_direct_io)
{
	int w;

	BEHAVIOURS(149);
	EXPECT_EQ(-EOPNOTSUPP, way_open(BY_OPEN, O_RDWR | O_DIRECT));
	EXPECT_EQ(-EINVAL, way_open(BY_PATH, O_RDWR | O_DIRECT));
	EXPECT_EQ(-EINVAL, way_open(BY_DEVICE, O_RDWR | O_DIRECT));
	for (w = 0; w < WAYS; w++) {
		EXPECT_EQ(-1, fcntl(self->fd[w], F_SETFL, O_DIRECT)) TH_LOG("%s", way_names[w]);
		EXPECT_EQ(EINVAL, errno);
	}
}

TEST(an_open_that_may_not_wait_does_not_wait_for_a_pager)
{
	struct target_options o = { .bytes = MIB, .handshake_ms = 1000 };
	uint64_t begin, ticked;
	char c;
	int w, fd;

	BEHAVIOURS(149);
	ASSERT_EQ(0, ways_add(&o));
	for (w = 0; w < WAYS; w++) {
		/* Who waits is told ETIMEDOUT, since nobody answers. */
		begin = now_ms();
		ticked = ticked_ms();
		fd = way_open(w, O_RDWR | O_NONBLOCK);
		EXPECT_LE(0, fd) TH_LOG("%s", way_names[w]);
		EXPECT_GT(1000, now_ms() - begin);
		/* Its data are waited for as any file's are: as long as the INIT of its open. */
		EXPECT_EQ(-1, read(fd, &c, 1));
		EXPECT_EQ(ETIMEDOUT, errno);
		EXPECT_LE(1000, ticked_ms() - ticked);
		close(fd);
		if (w == BY_DEVICE)
			continue;
		ticked = ticked_ms();
		EXPECT_EQ(-ETIMEDOUT, way_open(w, O_RDWR));
		EXPECT_LE(1000, ticked_ms() - ticked);
	}
	EXPECT_TRUE(ways_end());
}

/* ---- synchronous writes ---- */

TEST_F(ways, a_synchronous_write_is_in_the_store_when_it_returns)
{
	struct iovec iov = { "abcd", 4 };
	uint64_t syncs;
	int w, fd;

	BEHAVIOURS(149);
	for (w = 0; w < WAYS; w++) {
		off_t at = w * 10 * PAGE + 4094;

		fd = way_open(w, O_RDWR | O_DSYNC);
		ASSERT_LE(0, fd);
		syncs = self->server.stats->syncs;
		ASSERT_EQ(4, pwrite(fd, "sync", 4, at));
		EXPECT_EQ(0, memcmp(self->server.store + at, "sync", 4))
			TH_LOG("O_DSYNC by %s", way_names[w]);
		EXPECT_LT(syncs, self->server.stats->syncs);
		ASSERT_EQ(4, pwritev2(self->fd[w], &iov, 1, at, RWF_DSYNC));
		EXPECT_EQ(0, memcmp(self->server.store + at, "abcd", 4))
			TH_LOG("RWF_DSYNC by %s", way_names[w]);
		/* msync too; and without it nothing need be there. */
		memcpy(self->map[w] + at, "mmap", 4);
		ASSERT_EQ(0, msync(self->map[w] + at / PAGE * PAGE, 2 * PAGE, MS_SYNC));
		EXPECT_EQ(0, memcmp(self->server.store + at, "mmap", 4))
			TH_LOG("msync by %s", way_names[w]);
		close(fd);
	}
	/* syncfs: of the device it would be devtmpfs's. */
	for (w = 0; w < WAYS; w += BY_PATH) {
		memcpy(self->map[w] + w, "sync", 4);
		ASSERT_EQ(0, syncfs(self->fd[w]));
		EXPECT_EQ(0, memcmp(self->server.store + w, "sync", 4))
			TH_LOG("syncfs by %s", way_names[w]);
	}
	memcpy(self->map[BY_DEVICE] + 77, "SYNC", 4);
	sync();
	EXPECT_EQ(0, memcmp(self->server.store + 77, "SYNC", 4));
}

/* ---- errors of write-back ---- */

/*
 * Here the test is the pager: it fails returns with *error, or takes them to
 * the store, as the client says.
 */
FIXTURE(failing)
{
	struct pager p;
	uint8_t *store;
	volatile unsigned int *error;
};

FIXTURE_SETUP(failing)
{
	struct target_options o = { .bytes = MIB };

	ASSERT_EQ(0, ways_add(&o));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	ASSERT_EQ(0, pager_attach(&self->p, TARGET, NULL, NULL));
	self->store = shared_memory(MIB);
	self->error = shared_memory(PAGE);
}

FIXTURE_TEARDOWN(failing)
{
	pager_close(&self->p);
	EXPECT_TRUE(ways_end());
}

static int serve_client(struct pager *p, struct client *c, uint8_t *store,
			const volatile unsigned int *error)
{
	struct extpager_reply re;
	struct extpager_event ev;
	unsigned int fate;
	int result;

	while ((result = client_result(c, 0)) == CLIENT_RUNNING) {
		if (!pager_event(p, &ev, 10))
			continue;
		switch (ev.op) {
		case EXTPAGER_EV_INIT:
			pager_ready(p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE);
			break;
		case EXTPAGER_EV_DATA_REQUEST:
			re = reply_to(&ev, EXTPAGER_RE_SUPPLY);
			re.offset = ev.offset;
			re.length = ev.length;
			re.addr = (uintptr_t)store + ev.offset;
			pager_reply(p, &re);
			break;
		case EXTPAGER_EV_DATA_RETURN:
			fate = *error;
			if (!fate && pager_fetch(p, &ev, store + ev.offset))
				fate = EIO;
			pager_return_done(p, &ev, fate);
			break;
		case EXTPAGER_EV_SYNC:
			pager_sync_done(p, &ev, 0);
			break;
		}
	}
	return result;
}

struct report_arg {
	uint8_t *store;
	volatile unsigned int *error;
	enum way writer;
	bool by_mapping;
};

/* Error @call now, and only now. */
#define CHECK_ONCE(error, call) do {			\
	errno = 0;					\
	CHECK((call) == -1 && errno == (error));	\
	errno = 0;					\
	CHECK((call) == 0);				\
} while (0)

static int report_errors(void *arg)
{
	struct report_arg *a = arg;
	int first[WAYS], second[WAYS], dupped[WAYS], mapped[WAYS], closed, late, w;
	uint8_t *map[WAYS], *lone[WAYS];

	for (w = 0; w < WAYS; w++) {
		CHECK((first[w] = way_open(w, O_RDWR)) >= 0);
		CHECK((second[w] = way_open(w, O_RDWR)) >= 0);
		CHECK((mapped[w] = way_open(w, O_RDWR)) >= 0);
		CHECK((closed = way_open(w, O_RDWR)) >= 0);
		CHECK((dupped[w] = dup(first[w])) >= 0);
		map[w] = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, mapped[w], 0);
		lone[w] = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, closed, 0);
		CHECK(map[w] != MAP_FAILED && lone[w] != MAP_FAILED);
		close(closed);
		CHECK(fsync(first[w]) == 0 && fsync(second[w]) == 0);
	}
	/* Opened before the error, used for the first time after it. */
	CHECK((late = open(EXTPAGER_DEVICE, O_RDWR)) >= 0);

	w = a->writer;
	*a->error = ENOSPC;
	if (a->by_mapping)
		memcpy(map[w], "stored", 6);
	else
		CHECK(pwrite(first[w], "stored", 6, 0) == 6);
	CHECK(fsync(first[w]) == -1 && errno == ENOSPC);
	/* The page is still dirty, and goes at the second try. */
	CHECK(memcmp(a->store, "stored", 6));
	*a->error = 0;
	CHECK(fsync(first[w]) == 0);
	CHECK(!memcmp(a->store, "stored", 6));
	CHECK(fsync(dupped[w]) == 0);

	CHECK_ONCE(ENOSPC, fsync(late));
	CHECK_ONCE(ENOSPC, fsync(second[w]));
	for (w = 0; w < WAYS; w++) {
		if (w != (int)a->writer) {
			CHECK_ONCE(ENOSPC, fdatasync(first[w]));
			CHECK(fsync(dupped[w]) == 0);
			CHECK_ONCE(ENOSPC, fsync(second[w]));
		}
		CHECK_ONCE(ENOSPC, msync(map[w], PAGE, MS_SYNC));
		CHECK(fsync(mapped[w]) == 0);
		CHECK_ONCE(ENOSPC, msync(lone[w] + PAGE, PAGE, MS_SYNC));
		/* The node is devtmpfs's, whose syncfs knows nothing of it. */
		if (w != BY_DEVICE) {
			CHECK_ONCE(ENOSPC, syncfs(first[w]));
			CHECK_ONCE(ENOSPC, syncfs(second[w]));
			CHECK(syncfs(dupped[w]) == 0);
		}
		/* Who comes after all that has nothing to be told. */
		close(second[w]);
		CHECK((second[w] = way_open(w, O_RDWR)) >= 0);
		CHECK(fsync(second[w]) == 0 && syncfs(second[w]) == 0);
	}
	return 0;
}

TEST_F(failing, a_failed_return_is_reported_once_per_open_of_each_way)
{
	int how;

	BEHAVIOURS(149);
	for (how = 0; how < 2 * WAYS; how++) {
		struct report_arg a = { self->store, self->error, how % WAYS, how >= WAYS };
		struct client c;

		memset(self->store, 0, PAGE);
		c = client_start(report_errors, &a);
		ASSERT_EQ(0, serve_client(&self->p, &c, self->store, self->error))
			TH_LOG("%s by %s", a.by_mapping ? "stored" : "written",
			       way_names[a.writer]);
	}
}

/* The error is taken note of by nobody but syncfs. */
static int report_to_syncfs(void *arg)
{
	struct report_arg *a = arg;
	int open, path, again;

	CHECK((open = way_open(BY_OPEN, O_RDWR)) >= 0);
	CHECK((path = way_open(BY_PATH, O_RDWR)) >= 0);
	CHECK((again = way_open(BY_PATH, O_RDWR)) >= 0);
	*a->error = ENOSPC;
	CHECK(pwrite(a->writer == BY_OPEN ? open : path, "stored", 6, 0) == 6);
	CHECK(syncfs(a->writer == BY_OPEN ? open : path) == -1 && errno == ENOSPC);
	*a->error = 0;
	CHECK(syncfs(a->writer == BY_OPEN ? open : path) == 0);
	CHECK(!memcmp(a->store, "stored", 6));
	CHECK_ONCE(ENOSPC, syncfs(a->writer == BY_OPEN ? path : open));
	CHECK_ONCE(ENOSPC, syncfs(again));
	CHECK_ONCE(ENOSPC, fsync(open));
	CHECK_ONCE(ENOSPC, fsync(path));
	return 0;
}

TEST_F(failing, syncfs_itself_reports_what_it_could_not_return)
{
	int w;

	BEHAVIOURS(149);
	for (w = 0; w < WAYS; w += BY_PATH) {
		struct report_arg a = { self->store, self->error, w, false };
		struct client c;

		memset(self->store, 0, PAGE);
		c = client_start(report_to_syncfs, &a);
		ASSERT_EQ(0, serve_client(&self->p, &c, self->store, self->error))
			TH_LOG("%s", way_names[w]);
	}
}

static int write_synchronously(void *arg)
{
	struct report_arg *a = arg;
	struct iovec iov = { "x", 1 };
	int w, fd;

	for (w = 0; w < WAYS; w++) {
		CHECK((fd = way_open(w, O_RDWR | O_DSYNC)) >= 0);
		*a->error = EDQUOT;
		CHECK(pwrite(fd, "x", 1, 0) == -1 && errno == EDQUOT);
		CHECK(pwritev2(fd, &iov, 1, 5000, RWF_DSYNC) == -1 && errno == EDQUOT);
		*a->error = 0;
		CHECK(pwrite(fd, "x", 1, 0) == 1);
		close(fd);
	}
	return 0;
}

TEST_F(failing, a_synchronous_write_has_the_pagers_error)
{
	struct report_arg a = { self->store, self->error, 0, false };
	struct client c = client_start(write_synchronously, &a);

	BEHAVIOURS(149);
	EXPECT_EQ(0, serve_client(&self->p, &c, self->store, self->error));
}

/* ---- the last reference ---- */

static int unload(void)
{
	return syscall(SYS_delete_module, "extpager", O_NONBLOCK) ? -errno : 0;
}

/* With everything else gone, the thing at @way lives, and with it the module. */
static void lives_alone(struct __test_metadata *_metadata, enum way way, bool mapping)
{
	struct target_options o = { .bytes = MIB };
	struct server server;
	uint8_t *map = NULL;
	uint8_t page[PAGE];
	int fd;

	ASSERT_EQ(0, module_references());
	ASSERT_EQ(0, ways_add(&o));
	ASSERT_TRUE(server_start(&server, TARGET, MIB, SEED));
	fd = way_open(way, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(PAGE, pread(fd, page, PAGE, PAGE));
	ASSERT_EQ(6, pwrite(fd, "stored", 6, 0));
	if (mapping) {
		map = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		ASSERT_EQ(0, memcmp(map, "stored", 6));
		close(fd);
	}
	/* The deletion is not held up; what was dirty is in the store. */
	ASSERT_EQ(0, target_del(TARGET, false));
	ASSERT_TRUE(WAIT_FOR(10000, !target_state(TARGET)));
	EXPECT_EQ(0, memcmp(server.store, "stored", 6));
	server_stop(&server);
	if (way == BY_PATH) {
		/* Of the path, it is the mount that is held. */
		EXPECT_EQ(-EBUSY, ways_umount());
		ASSERT_EQ(0, umount2("/run/extpager/targets", MNT_DETACH));
	}
	EXPECT_LT(0, module_references());
	EXPECT_EQ(-EWOULDBLOCK, unload());

	/* What is here can be read; what is not, never will be. */
	if (mapping) {
		EXPECT_EQ(0, memcmp(map, "stored", 6));
		EXPECT_TRUE(page_is(map + PAGE, SEED, 1));
		EXPECT_NE(0, try_read(map + 200 * PAGE, NULL));
		EXPECT_NE(0, try_write(map, 1, NULL));
		munmap(map, MIB);
	} else {
		EXPECT_EQ(PAGE, pread(fd, page, PAGE, PAGE));
		EXPECT_TRUE(page_is(page, SEED, 1));
		EXPECT_EQ(-1, pread(fd, page, PAGE, 200 * PAGE));
		EXPECT_EQ(ENODEV, errno);
		EXPECT_EQ(-1, pwrite(fd, "x", 1, 0));
		EXPECT_EQ(ENODEV, errno);
		EXPECT_EQ(0, fsync(fd));
		close(fd);
	}
	EXPECT_TRUE(ways_end());
}

TEST(an_fd_of_each_way_keeps_target_and_module)
{
	int w;

	BEHAVIOURS(149);
	for (w = 0; w < WAYS; w++) {
		TH_LOG("%s", way_names[w]);
		lives_alone(_metadata, w, false);
	}
}

TEST(a_lone_mapping_of_each_way_keeps_target_and_module)
{
	int w;

	BEHAVIOURS(149);
	for (w = 0; w < WAYS; w++) {
		TH_LOG("%s", way_names[w]);
		lives_alone(_metadata, w, true);
	}
}

TEST_HARNESS_MAIN
