// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many objects a port may have. Making so many takes the debug kernel minutes,
 * and shows it nothing else.
 */
/* vm: kernels=6.1,6.12 */
#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/pager.h"

#define OBJECTS_MAX 65536
#define SOON 5000

static int create(struct pager *p, uint64_t *object)
{
	struct extpager_object_create c = { .size = sizeof(c), .bytes = PAGE };

	if (ioctl(p->fd, EXTPAGER_IOC_OBJECT_CREATE, &c))
		return -errno;
	*object = c.out_object;
	return close(c.out_fd);
}

TEST(a_port_has_so_many_and_no_more)
{
	struct extpager_reply destroy = { .op = EXTPAGER_RE_DESTROY };
	struct pager p;
	uint64_t object;
	unsigned int i;

	BEHAVIOURS(41);
	ASSERT_EQ(0, pager_open(&p, 1, 16));
	for (i = 0; i < OBJECTS_MAX; i++) {
		ASSERT_EQ(0, create(&p, &object)) {
			TH_LOG("object %u", i);
		}
	}
	ASSERT_EQ(-ENOSPC, create(&p, &object));
	destroy.object = object;
	ASSERT_EQ(0, pager_reply(&p, &destroy));
	ASSERT_TRUE(WAIT_FOR(SOON, !create(&p, &object)));
	EXPECT_EQ(-ENOSPC, create(&p, &object));
	pager_close(&p);
}

TEST_HARNESS_MAIN
