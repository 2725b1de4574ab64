// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel tells of an object's pages is true, and what it is told of
 * them - lock these, I shall need those - it does, as with any file.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kernel-page-flags.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <extpager.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/worker.h"

#define NAME	"memory"
#define BYTES	(16 * MIB)
#define WORKERS	2
#define SEED	1
#define PAGES	16UL
#define LENGTH	(PAGES * PAGE)
#define KIB(pages) ((long)((pages) * PAGE / 1024))

FIXTURE(memory)
{
	struct server s;
	int fd;
	struct worker w[WORKERS];
};

FIXTURE_SETUP(memory)
{
	unsigned int i;

	target_gone(NAME);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES, .mode = 0644 }));
	ASSERT_TRUE(server_start(&self->s, NAME, BYTES, SEED));
	self->fd = target_open(NAME, O_RDWR);
	ASSERT_LE(0, self->fd);
	for (i = 0; i < WORKERS; i++)
		ASSERT_TRUE(worker_start(&self->w[i], self->fd, BYTES));
}

FIXTURE_TEARDOWN(memory)
{
	unsigned int i;

	for (i = 0; i < WORKERS; i++)
		if (self->w[i].order)
			worker_stop(&self->w[i]);
	close(self->fd);
	server_stop(&self->s);
	EXPECT_TRUE(target_gone(NAME));
}

/*
 * Pages that a CPU has in hand are on no list yet, and passed over. This puts them
 * there; it drops none that is mapped. It takes some off a list again to move them,
 * so who needs all of them there tries until they were.
 */
static void put_on_lists(void)
{
	drop_caches();
}

/* ---- orders ---- */

static long do_mlock(struct order *o)
{
	return mlock(o->map + o->offset, o->length) ? -errno : 0;
}

static long do_munlock(struct order *o)
{
	return munlock(o->map + o->offset, o->length) ? -errno : 0;
}

/* The advice is in @seed. */
static long do_advise(struct order *o)
{
	return madvise(o->map + o->offset, o->length, o->seed) ? -errno : 0;
}

static long advise(struct worker *w, int advice)
{
	return worker_do(w, do_advise, 0, LENGTH, advice);
}

static long resident(struct worker *w)
{
	return worker_do(w, do_resident, 0, LENGTH, 0);
}

/* Pages of the range whose flags in /proc/kpageflags have all of @seed, a mask. */
static long do_count_flags(struct order *o)
{
	return pages_flagged((uint8_t *)o->map + o->offset, o->length / PAGE, o->seed);
}

static long flagged(struct worker *w, uint64_t mask)
{
	return worker_do(w, do_count_flags, 0, LENGTH, mask);
}

#define FLAG(name) (1ULL << KPF_##name)

/* The sum of a field over a worker's mappings of the target, in KiB. */
static long smaps_kib(struct worker *w, const char *field)
{
	char path[64], line[512];
	bool ours = false;
	long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", w->c.pid);
	f = fopen(path, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "-") && strstr(line, " rw-s "))
			ours = strstr(line, "extpager:" NAME);
		else if (ours && !strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
			kib += strtol(line + strlen(field) + 1, NULL, 10);
		else if (!strncmp(line, "VmFlags", 7))
			ours = false;
	}
	fclose(f);
	return kib;
}

/* ---- locking ---- */

/* Have the kernel take back what it can of everything these tests have. */
static void reclaim(void)
{
	write_file("/sys/fs/cgroup/test/memory.reclaim", "64M");
}

TEST_F(memory, locked_pages_survive_reclaim_and_others_do_not)
{
	struct worker *locker = &self->w[0], *other = &self->w[1];
	uint64_t asked;

	PARTIAL(123);
	ASSERT_EQ(0, worker_do(locker, do_mlock, 0, LENGTH, 0));
	EXPECT_EQ(PAGES, self->s.stats->pages_requested);
	EXPECT_EQ(KIB(PAGES), smaps_kib(locker, "Locked"));
	EXPECT_TRUE(WAIT_FOR(SOON, (put_on_lists(),
				    flagged(locker, FLAG(UNEVICTABLE)) == (long)PAGES)));
	ASSERT_EQ(0, worker_do(other, do_check, MIB, LENGTH, SEED));
	ASSERT_EQ(PAGES, worker_do(other, do_resident, MIB, LENGTH, 0));
	asked = self->s.stats->pages_requested;
	EXPECT_TRUE(WAIT_FOR(SOON, (reclaim(),
				    worker_do(other, do_resident, MIB, LENGTH, 0) == 0)));
	EXPECT_EQ(PAGES, resident(locker));
	EXPECT_EQ(0, worker_do(locker, do_check, 0, LENGTH, SEED));
	EXPECT_EQ(0, worker_do(other, do_check, 0, LENGTH, SEED));
	EXPECT_EQ(asked, self->s.stats->pages_requested);

	/* As long as anybody holds them; then they go, and come in again. */
	ASSERT_EQ(0, worker_do(locker, do_munlock, 0, LENGTH, 0));
	EXPECT_EQ(0, smaps_kib(locker, "Locked"));
	EXPECT_TRUE(WAIT_FOR(SOON, (reclaim(), resident(locker) == 0)));
	EXPECT_EQ(0, worker_do(locker, do_check, 0, LENGTH, SEED));
	EXPECT_EQ(asked + PAGES, self->s.stats->pages_requested);
}

TEST_F(memory, locking_with_a_pager_that_fails_says_so)
{
	struct worker *w = &self->w[0];
	uint64_t wrong = self->s.stats->requests;

	PARTIAL(123);
	ASSERT_EQ(0, worker_do(w, do_check, 0, PAGE, SEED));
	server_kill(&self->s);
	ASSERT_TRUE(WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_ORPHANED));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .policy = "fail" }));
	EXPECT_EQ(-ENOMEM, worker_do(w, do_mlock, 0, LENGTH, 0));
	/* What is here stays right. */
	EXPECT_EQ(0, worker_do(w, do_check, 0, PAGE, SEED));
	EXPECT_EQ(wrong + 1, self->s.stats->requests);
}

/* ---- telling ---- */

TEST_F(memory, residence_dirt_and_sharing_are_told_truly)
{
	struct worker *w = &self->w[0], *other = &self->w[1];

	BEHAVIOURS(124);
	EXPECT_EQ(0, resident(w));
	EXPECT_EQ(0, smaps_kib(w, "Rss"));
	ASSERT_EQ(0, worker_do(w, do_check, 0, 8 * PAGE, SEED));
	ASSERT_EQ(0, worker_do(w, do_store, 0, 4 * PAGE, 2));
	EXPECT_EQ(8, resident(w));
	EXPECT_EQ(KIB(8), smaps_kib(w, "Rss"));
	EXPECT_EQ(KIB(4), smaps_kib(w, "Private_Dirty"));
	EXPECT_EQ(KIB(4), smaps_kib(w, "Private_Clean"));
	EXPECT_EQ(8, flagged(w, FLAG(UPTODATE) | FLAG(MMAP)));
	EXPECT_EQ(0, flagged(w, FLAG(ANON)));
	EXPECT_EQ(4, flagged(w, FLAG(DIRTY)));
	EXPECT_EQ(4 * PAGE, target_dirty(NAME));

	/* In nobody's page tables, but here. */
	EXPECT_EQ(8, resident(other));
	EXPECT_EQ(0, smaps_kib(other, "Rss"));
	/* A touch maps its resident neighbours as well. */
	ASSERT_EQ(0, worker_do(other, do_check, 0, 4 * PAGE, 2));
	EXPECT_EQ(KIB(8), smaps_kib(other, "Rss"));
	EXPECT_EQ(KIB(4), smaps_kib(other, "Shared_Dirty"));
	EXPECT_EQ(KIB(4), smaps_kib(w, "Shared_Dirty"));
	EXPECT_EQ(0, smaps_kib(w, "Private_Dirty"));
	EXPECT_EQ(KIB(4), smaps_kib(w, "Pss"));

	ASSERT_EQ(0, worker_do(w, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, flagged(w, FLAG(DIRTY)));
	EXPECT_EQ(0, smaps_kib(w, "Shared_Dirty"));
	EXPECT_EQ(KIB(8), smaps_kib(w, "Shared_Clean"));
}

/* How many pages mincore(2) calls resident, for a user who has the file open for reading. */
struct reader {
	int fd;
	uid_t uid;
};

static int told_resident(void *arg)
{
	const struct reader *r = arg;
	uint8_t vec[PAGES];
	unsigned int i, nr = 0;
	void *map;

	if (setresgid(r->uid, r->uid, r->uid) || setresuid(r->uid, r->uid, r->uid))
		return 99;
	map = mmap(NULL, LENGTH, PROT_READ, MAP_SHARED, r->fd, 0);
	if (map == MAP_FAILED || mincore(map, LENGTH, vec))
		return 98;
	for (i = 0; i < PAGES; i++)
		nr += vec[i] & 1;
	return nr;
}

static bool set_owner(uid_t uid)
{
	struct extpager_target t = { .size = sizeof(t), .name = NAME, .set = EXTPAGER_SET_UID,
				     .uid = uid };
	struct extpager_ctl *c;
	bool ok;

	if (extpager_ctl_open(&c))
		return false;
	ok = !extpager_target_set(c, &t);
	extpager_ctl_close(c);
	return ok;
}

/* As of any file: who owns it may know, who may only read it is told that all is here. */
TEST_F(memory, strangers_are_not_told_what_is_resident)
{
	struct reader owner = { .uid = 1000 }, stranger = { .uid = 1001 };
	int fd = target_open(NAME, O_RDONLY);
	struct client c;

	BEHAVIOURS(124);
	ASSERT_LE(0, fd);
	owner.fd = fd;
	stranger.fd = fd;
	ASSERT_EQ(0, worker_do(&self->w[0], do_check, 0, 4 * PAGE, SEED));
	/* It is root's yet. */
	c = client_start(told_resident, &owner);
	EXPECT_EQ((int)PAGES, client_result(&c, SOON));
	ASSERT_TRUE(set_owner(owner.uid));
	c = client_start(told_resident, &owner);
	EXPECT_EQ(4, client_result(&c, SOON));
	c = client_start(told_resident, &stranger);
	EXPECT_EQ((int)PAGES, client_result(&c, SOON));
	close(fd);
}

/* ---- advice ---- */

TEST_F(memory, populating_brings_pages_in_and_maps_them)
{
	struct worker *reader = &self->w[0], *writer = &self->w[1];

	BEHAVIOURS(125);
	ASSERT_EQ(0, advise(reader, MADV_POPULATE_READ));
	EXPECT_EQ(PAGES, self->s.stats->pages_requested);
	EXPECT_EQ(KIB(PAGES), smaps_kib(reader, "Rss"));
	EXPECT_EQ(0, target_dirty(NAME));
	/* Ready to be stored to, and so taken for dirty. */
	ASSERT_EQ(0, advise(writer, MADV_POPULATE_WRITE));
	EXPECT_EQ(PAGES, self->s.stats->pages_requested);
	EXPECT_EQ(KIB(PAGES), smaps_kib(writer, "Rss"));
	EXPECT_EQ(LENGTH, target_dirty(NAME));
	EXPECT_EQ(0, worker_do(writer, do_fsync, 0, 0, 0));
	EXPECT_EQ(PAGES, self->s.stats->pages_returned);
	EXPECT_EQ(0, worker_do(reader, do_check, 0, LENGTH, SEED));
}

TEST_F(memory, what_is_not_needed_leaves_the_process_alone)
{
	struct worker *w = &self->w[0], *other = &self->w[1];

	BEHAVIOURS(125);
	ASSERT_EQ(0, worker_do(w, do_store, 0, LENGTH, 2));
	ASSERT_EQ(0, worker_do(other, do_check, 0, LENGTH, 2));
	ASSERT_EQ(0, advise(w, MADV_DONTNEED));
	EXPECT_EQ(0, smaps_kib(w, "Rss"));
	EXPECT_EQ(KIB(PAGES), smaps_kib(other, "Rss"));
	EXPECT_EQ(PAGES, resident(w));
	EXPECT_EQ(LENGTH, target_dirty(NAME));
	EXPECT_EQ(0, worker_do(w, do_check, 0, LENGTH, 2));
	EXPECT_EQ(PAGES, self->s.stats->pages_requested);
}

TEST_F(memory, cold_pages_stay_and_are_not_taken_for_used)
{
	struct worker *w = &self->w[0];

	BEHAVIOURS(125);
	ASSERT_EQ(0, worker_do(w, do_check, 0, LENGTH, SEED));
	EXPECT_EQ(KIB(PAGES), smaps_kib(w, "Referenced"));
	EXPECT_TRUE(WAIT_FOR(SOON, (put_on_lists(), advise(w, MADV_COLD) == 0 &&
				    smaps_kib(w, "Referenced") == 0)));
	EXPECT_EQ(PAGES, resident(w));
	EXPECT_EQ(KIB(PAGES), smaps_kib(w, "Rss"));
	EXPECT_EQ(0, worker_do(w, do_check, 0, LENGTH, SEED));
	EXPECT_EQ(PAGES, self->s.stats->pages_requested);
}

TEST_F(memory, pages_are_put_out_once_they_are_clean)
{
	struct worker *w = &self->w[0];
	long left = PAGES;
	uint64_t asked;

	BEHAVIOURS(125);
	ASSERT_EQ(0, worker_do(w, do_store, 0, LENGTH, 2));
	*self->s.stop = 1;
	ASSERT_EQ(0, advise(w, MADV_PAGEOUT));
	EXPECT_EQ(PAGES, resident(w));
	*self->s.stop = 0;
	ASSERT_EQ(0, worker_do(w, do_fsync, 0, 0, 0));
	EXPECT_EQ(PAGES, self->s.stats->pages_requested);
	/* Mapped, or what puts them on lists drops them itself. */
	EXPECT_TRUE(WAIT_FOR(SOON, worker_do(w, do_check, 0, LENGTH, 2) == 0 &&
			     (put_on_lists(), advise(w, MADV_PAGEOUT) == 0) &&
			     (left = resident(w)) < (long)PAGES));
	asked = self->s.stats->pages_requested;
	EXPECT_EQ(0, worker_do(w, do_check, 0, LENGTH, 2));
	EXPECT_EQ(asked + PAGES - left, self->s.stats->pages_requested);
}

TEST_F(memory, advice_says_how_much_to_ask_for)
{
	struct worker *w = &self->w[0];
	uint64_t asked;

	BEHAVIOURS(125);
	ASSERT_EQ(0, worker_do(w, do_advise, 0, BYTES, MADV_RANDOM));
	ASSERT_EQ(0, worker_do(w, do_check, 100 * PAGE, PAGE, SEED));
	EXPECT_EQ(1, self->s.stats->pages_requested);
	ASSERT_EQ(0, worker_do(w, do_advise, 0, BYTES, MADV_SEQUENTIAL));
	ASSERT_EQ(0, worker_do(w, do_check, 1000 * PAGE, PAGE, SEED));
	asked = self->s.stats->pages_requested;
	EXPECT_LE(16, asked);
	EXPECT_EQ(0, worker_do(w, do_resident, 999 * PAGE, PAGE, 0));
	ASSERT_EQ(0, worker_do(w, do_advise, 2048 * PAGE, LENGTH, MADV_WILLNEED));
	EXPECT_TRUE(WAIT_FOR(SOON, worker_do(w, do_resident, 2048 * PAGE, LENGTH, 0) ==
				   (long)PAGES));
	EXPECT_EQ(asked + PAGES, self->s.stats->pages_requested);
	EXPECT_EQ(0, worker_do(w, do_check, 2048 * PAGE, LENGTH, SEED));
	EXPECT_EQ(asked + PAGES, self->s.stats->pages_requested);
}

TEST_HARNESS_MAIN
