/* SPDX-License-Identifier: GPL-2.0-only */
/* Sizes and times as people write and read them. */
#ifndef EXTPAGER_UNITS_H
#define EXTPAGER_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* Room that any formatted value fits into. */
#define UNITS_MAX	32

/**
 * units_parse_size - "4096", "64M", "64MiB", "1.5G" as bytes
 *
 * Units are powers of 1024; "MB" and the like are refused, as they mean two
 * things. Return: 0, -EINVAL, -ERANGE (above 2^64 - 1).
 */
int units_parse_size(const char *text, uint64_t *bytes);

/**
 * units_parse_time - "500ms", "30s", "5m", "2h" as milliseconds
 *
 * The unit must be given, but for 0. Return: 0, -EINVAL, -ERANGE (above
 * 2^32 - 1 ms, 49 days).
 */
int units_parse_time(const char *text, uint32_t *ms);

/** "64 MiB"; rounded to one decimal if it is not a whole number of units. */
const char *units_format_size(uint64_t bytes, char *buf, size_t len);

/** "30 s", in the largest unit that says it exactly. */
const char *units_format_time(uint64_t ms, char *buf, size_t len);

/** As units_parse_size() and units_parse_time() take it, exact, without a blank. */
const char *units_write_size(uint64_t bytes, char *buf, size_t len);
const char *units_write_time(uint64_t ms, char *buf, size_t len);

#endif /* EXTPAGER_UNITS_H */
