// SPDX-License-Identifier: GPL-2.0-only
/* Sizes and times as people write and read them; strict in what is taken. */
#include "units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{ "", 1 }, { "B", 1 },
	{ "K", 1ULL << 10 }, { "KiB", 1ULL << 10 }, { "k", 1ULL << 10 },
	{ "M", 1ULL << 20 }, { "MiB", 1ULL << 20 },
	{ "G", 1ULL << 30 }, { "GiB", 1ULL << 30 },
	{ "T", 1ULL << 40 }, { "TiB", 1ULL << 40 },
	{ "P", 1ULL << 50 }, { "PiB", 1ULL << 50 },
	{ "E", 1ULL << 60 }, { "EiB", 1ULL << 60 },
};

static const struct unit time_units[] = {
	{ "ms", 1 },
	{ "s", 1000 },
	{ "m", 60 * 1000 }, { "min", 60 * 1000 },
	{ "h", 3600 * 1000 },
	{ "d", 24 * 3600 * 1000 },
};

static const struct unit *unit_find(const struct unit *units, size_t nr, const char *name)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		if (!strcmp(units[i].name, name))
			return &units[i];
	}
	return NULL;
}

/* Digits [. digits], then at most one space; leaves @text at the unit. */
static int parse_number(const char **text, uint64_t *whole, uint64_t *part, uint64_t *scale)
{
	const char *s = *text;

	*whole = 0;
	*part = 0;
	*scale = 1;
	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(*whole, 10, whole) ||
		    __builtin_add_overflow(*whole, (uint64_t)(*s - '0'), whole))
			return -ERANGE;
	}
	if (*s == '.') {
		s++;
		if (*s < '0' || *s > '9')
			return -EINVAL;
		for (; *s >= '0' && *s <= '9'; s++) {
			if (*scale >= 1000)
				return -EINVAL;
			*scale *= 10;
			*part = *part * 10 + (uint64_t)(*s - '0');
		}
	}
	if (*s == ' ' && s[1])
		s++;
	*text = s;
	return 0;
}

static int parse_scaled(const char *text, const struct unit *units, size_t nr, uint64_t *value)
{
	uint64_t whole, part, scale, rest;
	const struct unit *unit;
	int ret;

	ret = parse_number(&text, &whole, &part, &scale);
	if (ret)
		return ret;
	unit = unit_find(units, nr, text);
	if (!unit)
		return -EINVAL;
	if (__builtin_mul_overflow(whole, unit->factor, &whole))
		return -ERANGE;
	/* part < 1000 and, for the biggest unit, factor = 2^60: split to fit. */
	rest = part * (unit->factor / scale) + part * (unit->factor % scale) / scale;
	if (part && (unit->factor == 1 || !rest))
		return -EINVAL;
	if (__builtin_add_overflow(whole, rest, value))
		return -ERANGE;
	return 0;
}

int units_parse_size(const char *text, uint64_t *bytes)
{
	return parse_scaled(text, size_units, ARRAY_SIZE(size_units), bytes);
}

int units_parse_time(const char *text, uint32_t *ms)
{
	uint64_t value;
	int ret;

	if (!strcmp(text, "0")) {
		*ms = 0;
		return 0;
	}
	ret = parse_scaled(text, time_units, ARRAY_SIZE(time_units), &value);
	if (ret)
		return ret;
	if (value > UINT32_MAX)
		return -ERANGE;
	*ms = (uint32_t)value;
	return 0;
}

const char *units_format_size(uint64_t bytes, char *buf, size_t len)
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	uint64_t unit = 1, tenths;
	size_t i = 0;

	while (i + 1 < ARRAY_SIZE(names) && bytes / unit >= 1024) {
		unit <<= 10;
		i++;
	}
	/* unit is 2^60 at most, so rest * 10 below fits into 64 bits. */
	tenths = ((bytes % unit) * 10 + unit / 2) / unit;
	if (bytes % unit == 0)
		snprintf(buf, len, "%" PRIu64 " %s", bytes / unit, names[i]);
	else if (tenths == 10 && bytes / unit == 1023 && i + 1 < ARRAY_SIZE(names))
		snprintf(buf, len, "1.0 %s", names[i + 1]);
	else if (tenths == 10)
		snprintf(buf, len, "%" PRIu64 ".0 %s", bytes / unit + 1, names[i]);
	else
		snprintf(buf, len, "%" PRIu64 ".%" PRIu64 " %s", bytes / unit, tenths, names[i]);
	return buf;
}

const char *units_format_time(uint64_t ms, char *buf, size_t len)
{
	if (ms == 0)
		snprintf(buf, len, "0 s");
	else if (ms % (3600 * 1000) == 0)
		snprintf(buf, len, "%" PRIu64 " h", ms / (3600 * 1000));
	else if (ms % (60 * 1000) == 0)
		snprintf(buf, len, "%" PRIu64 " min", ms / (60 * 1000));
	else if (ms % 1000 == 0)
		snprintf(buf, len, "%" PRIu64 " s", ms / 1000);
	else
		snprintf(buf, len, "%" PRIu64 " ms", ms);
	return buf;
}

const char *units_write_size(uint64_t bytes, char *buf, size_t len)
{
	static const char names[] = "KMGTPE";
	size_t i = 0;

	while (bytes && bytes % 1024 == 0 && names[i]) {
		bytes /= 1024;
		i++;
	}
	snprintf(buf, len, "%" PRIu64 "%.1s", bytes, i ? &names[i - 1] : "");
	return buf;
}

const char *units_write_time(uint64_t ms, char *buf, size_t len)
{
	static const struct unit units[] = {
		{ "h", 3600 * 1000 },
		{ "m", 60 * 1000 },
		{ "s", 1000 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(units); i++) {
		if (ms && ms % units[i].factor == 0) {
			snprintf(buf, len, "%" PRIu64 "%s", ms / units[i].factor, units[i].name);
			return buf;
		}
	}
	snprintf(buf, len, "%" PRIu64 "ms", ms);
	return buf;
}
