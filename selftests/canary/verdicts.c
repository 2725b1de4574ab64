// SPDX-License-Identifier: GPL-2.0
/* One test of each kind; the runner must tell them apart. */
#include "kselftest_harness.h"

TEST(passes)
{
	ASSERT_TRUE(true);
}

TEST(fails)
{
	ASSERT_TRUE(false);
}

TEST(dies)
{
	abort();
}

TEST_HARNESS_MAIN
