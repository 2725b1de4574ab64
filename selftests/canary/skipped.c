// SPDX-License-Identifier: GPL-2.0
/* All tests skip themselves, for which the harness exits with success. */
#include "kselftest_harness.h"

TEST(skips)
{
	SKIP(return, "the canary always skips");
}

TEST_HARNESS_MAIN
