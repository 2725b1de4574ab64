// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel moves pages together, for free memory in one piece; those of objects as well,
 * while they are read, written and returned.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/crew.h"
#include "support/object.h"

#define NAME	"moved"
#define BYTES	(8 * MIB)
#define PAGES	(BYTES / PAGE)
#define WORKERS	3
#define SEED	1

static volatile int *enough;	/* shared: those who work on are to end */

FIXTURE(moved)
{
	struct crew crew;
};

FIXTURE_SETUP(moved)
{
	enough = shared_memory(PAGE);
	ASSERT_TRUE(crew_start(&self->crew, NAME, BYTES, SEED, WORKERS));
}

FIXTURE_TEARDOWN(moved)
{
	EXPECT_TRUE(crew_stop(&self->crew));
	munmap((void *)enough, PAGE);
}

/*
 * Every third page, from @seed on, is this worker's: it writes versions of them and looks
 * what they are. How often, or -EIO: a wrong byte.
 */
static long do_use(struct order *o)
{
	uint64_t version[PAGES / WORKERS + 1] = { }, random = test_seed(o->seed), i;
	struct order page = *o;
	long n;

	page.length = PAGE;
	for (n = 0; !*enough; n++) {
		i = test_random(&random) % (PAGES / WORKERS);
		page.offset = (i * WORKERS + o->seed) * PAGE;
		page.seed = version[i] ? 100 + version[i] : SEED;
		switch (test_random(&random) % 5) {
		case 0:
			page.seed = 100 + ++version[i];
			if (do_write(&page) != (long)PAGE)
				return -EIO;
			break;
		case 1:
			page.seed = 100 + ++version[i];
			if (do_store(&page))
				return -EIO;
			break;
		case 2:
			if (do_read(&page))
				return -EIO;
			break;
		case 3:
			if (do_check(&page))
				return -EIO;
			break;
		default:
			if (n % 64 == 0 && do_fsync(&page))
				return -EIO;
		}
	}
	if (do_fsync(&page))
		return -EIO;
	for (i = 0; i < PAGES / WORKERS; i++)
		if (!page_is(o->store + (i * WORKERS + o->seed) * PAGE,
			     version[i] ? 100 + version[i] : SEED, i * WORKERS + o->seed))
			return -EIO;
	return n;
}

/* Where a page is; 0: nowhere, as one that is being moved. */
static uint64_t frame_at(int pagemap, const uint8_t *page)
{
	uint64_t entry;

	if (pread(pagemap, &entry, 8, (uintptr_t)page / PAGE * 8) != 8 || !(entry >> 63))
		return 0;
	return entry & ((1ULL << 55) - 1);
}

/* Where the pages of a mapping are; how many are not where they were. */
static unsigned int look_where(const uint8_t *map, uint64_t *frame)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	unsigned int i, moved = 0;
	uint64_t now;

	for (i = 0; pagemap >= 0 && i < PAGES; i++) {
		now = frame_at(pagemap, map + i * PAGE);
		if (!now)
			continue;
		moved += frame[i] && frame[i] != now;
		frame[i] = now;
	}
	close(pagemap);
	return moved;
}

struct place {
	uint64_t frame;
	uint8_t *page;
};

static int by_frame(const void *a, const void *b)
{
	const struct place *p = a, *q = b;

	return p->frame < q->frame ? -1 : p->frame > q->frame;
}

/*
 * Here and there in the lower half of much memory there is a free page, and as many as the
 * object has: the kernel makes room from below.
 */
static uint8_t *make_holes(size_t bytes)
{
	uint8_t *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	size_t i, pages = bytes / PAGE, step = pages / 2 / PAGES;
	struct place *place = calloc(pages, sizeof(*place));
	int pagemap = open("/proc/self/pagemap", O_RDONLY);

	if (map == MAP_FAILED || !place || pagemap < 0)
		return NULL;
	madvise(map, bytes, MADV_NOHUGEPAGE);
	for (i = 0; i < pages; i++) {
		place[i].page = map + i * PAGE;
		*place[i].page = 1;
		place[i].frame = frame_at(pagemap, place[i].page);
	}
	close(pagemap);
	qsort(place, pages, sizeof(*place), by_frame);
	for (i = 0; i < pages / 2; i += step)
		madvise(place[i].page, PAGE, MADV_DONTNEED);
	free(place);
	return map;
}

TEST_F_TIMEOUT(moved, pages_are_moved_under_load_and_every_byte_is_right, 150)
{
	size_t spread = (on_debug_kernel() ? 64 : 256) * MIB;
	unsigned int i, n, moved = 0, rounds = on_debug_kernel() ? 3 : 10;
	uint64_t *frame = calloc(PAGES, sizeof(*frame)), end;
	uint8_t *map, *holes;

	BEHAVIOURS(130);
	holes = make_holes(spread);
	ASSERT_TRUE(holes);
	map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, self->crew.fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	/* So that a page is moved if it is elsewhere, and was not brought in once more. */
	ASSERT_EQ(0, mlock(map, BYTES));
	munmap(holes, spread);
	look_where(map, frame);
	for (i = 0; i < WORKERS; i++)
		worker_begin(&self->crew.w[i], do_use, 0, BYTES, i);
	end = now_ms() + 2 * SOON;
	for (n = 0; (n < rounds || !moved) && now_ms() < end; n++) {
		ASSERT_TRUE(write_file("/proc/sys/vm/compact_memory", "1"));
		moved += look_where(map, frame);
	}
	*enough = 1;
	for (i = 0; i < WORKERS; i++)
		EXPECT_LT(0, worker_end(&self->crew.w[i], 2 * SOON));
	printf("# %u pages moved in %u rounds\n", moved, n);
	EXPECT_LT(0, moved);
	EXPECT_EQ(PAGES, self->crew.s.stats->pages_requested);
	munmap(map, BYTES);
	free(frame);
}

TEST_HARNESS_MAIN
