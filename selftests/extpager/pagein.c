// SPDX-License-Identifier: GPL-2.0-only
/* How pages come in: what is asked, and what the answer does. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/pager.h"

FIXTURE(pagein)
{
	struct pager p;
	uint64_t object;
	int fd;
};

FIXTURE_SETUP(pagein)
{
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	self->fd = pager_create(&self->p, 16 * MIB, 0, &self->object);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(pagein)
{
	close(self->fd);
	pager_close(&self->p);
}

struct touch {
	int fd;
	uint64_t offset;
	uint64_t seed;
	int advice;
};

static int touch_page(void *arg)
{
	struct touch *t = arg;
	uint8_t *map = mmap(NULL, 16 * MIB, PROT_READ, MAP_SHARED, t->fd, 0);

	if (map == MAP_FAILED || madvise(map, 16 * MIB, t->advice))
		return 2;
	return page_is(map + t->offset, t->seed, t->offset / PAGE) ? 0 : 1;
}

TEST_F(pagein, one_touch_is_one_request)
{
	struct touch t = { self->fd, 5000 * PAGE % (16 * MIB), 7, MADV_RANDOM };
	struct client c = client_start(touch_page, &t);
	struct extpager_event ev;

	BEHAVIOURS(1, 12);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, 5000));
	EXPECT_EQ(self->object, ev.object);
	EXPECT_EQ(16 * MIB, ev.length);
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_REQUEST, &ev, 5000));
	EXPECT_EQ(self->object, ev.object);
	EXPECT_EQ(t.offset, ev.offset);
	EXPECT_EQ(PAGE, ev.length);
	EXPECT_EQ(t.offset, ev.wanted);
	EXPECT_EQ(EXTPAGER_ACCESS_READ, ev.access);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 7));
	EXPECT_EQ(0, client_result(&c, 5000));
	EXPECT_TRUE(pager_silent(&self->p, 50));
}

TEST_HARNESS_MAIN
