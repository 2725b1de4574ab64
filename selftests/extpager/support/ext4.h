/* SPDX-License-Identifier: GPL-2.0-only */
/* A file of a file system whose writers hold a lock of it, that direct readers want, too. */
#ifndef SELFTEST_EXT4_H
#define SELFTEST_EXT4_H

#include <stdbool.h>
#include <stdint.h>

#define ON_EXT4	"/tmp/ext4/file"

/* With @pages of @seed. */
bool ext4_make(uint64_t pages, uint64_t seed);
/* Once nobody has the file open any more. */
bool ext4_remove(void);

#endif
