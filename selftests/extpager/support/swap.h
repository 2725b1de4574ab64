/* SPDX-License-Identifier: GPL-2.0-only */
/* Swap that a test makes. */
#ifndef SELFTEST_SWAP_H
#define SELFTEST_SWAP_H

#include <stdint.h>

/* The first page of a swap area, as mkswap writes it. */
void swap_header(uint8_t *page, uint64_t bytes);

/* A device with memory behind it, until it is told to fail; it takes @delay_ms for all. */
#define FLAKY	"/dev/nullb0"

bool flaky_make(uint64_t bytes, unsigned int delay_ms);
bool flaky_fail(uint64_t bytes, bool fails);
/* One page of it cannot be read. */
bool flaky_page_fails(uint64_t index);
bool flaky_remove(void);
/* Swap on one, before any other. */
bool flaky_swap_on(uint64_t bytes, unsigned int delay_ms);

#endif
