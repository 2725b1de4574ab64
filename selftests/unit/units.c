// SPDX-License-Identifier: GPL-2.0-only
/* Sizes and times: what is taken, what is refused, how they are shown. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../daemon/units.c"

static void sizes_are_parsed(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{ "0", 0 }, { "1", 1 }, { "4096", 4096 }, { "4096B", 4096 },
		{ "1K", 1024 }, { "1k", 1024 }, { "64KiB", 65536 }, { "64M", 64ULL << 20 },
		{ "64 MiB", 64ULL << 20 }, { "1.5G", 3ULL << 29 }, { "0.5K", 512 },
		{ "0.001K", 1 }, { "2T", 2ULL << 40 }, { "1PiB", 1ULL << 50 },
		{ "15E", 15ULL << 60 },
		{ "1.999E", (1ULL << 60) + 999 * ((1ULL << 60) / 1000) +
			    999 * ((1ULL << 60) % 1000) / 1000 },
		{ "18446744073709551615", UINT64_MAX }, { "007", 7 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t bytes = 0xdead;

		assert_int_equal(units_parse_size(cases[i].text, &bytes), 0);
		assert_int_equal(bytes, cases[i].bytes);
	}
}

static void wrong_sizes_are_refused(void **state)
{
	static const struct {
		const char *text;
		int ret;
	} cases[] = {
		{ "", -EINVAL }, { " ", -EINVAL }, { "M", -EINVAL }, { "-1", -EINVAL },
		{ "+1", -EINVAL }, { " 1", -EINVAL }, { "1 ", -EINVAL }, { "1  K", -EINVAL },
		{ "64MB", -EINVAL }, { "64m", -EINVAL }, { "1.5", -EINVAL }, { "1.5B", -EINVAL },
		{ "1.", -EINVAL }, { "1.K", -EINVAL }, { ".5K", -EINVAL }, { "1.2345K", -EINVAL },
		{ "0x10", -EINVAL }, { "1e3", -EINVAL }, { "1,5K", -EINVAL }, { "1K1", -EINVAL },
		{ "18446744073709551616", -ERANGE }, { "16E", -ERANGE }, { "16383P", 0 },
		{ "16384P", -ERANGE }, { "15.999E", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t bytes;

		assert_int_equal(units_parse_size(cases[i].text, &bytes), cases[i].ret);
	}
}

static void times(void **state)
{
	static const struct {
		const char *text;
		int ret;
		uint32_t ms;
	} cases[] = {
		{ "0", 0, 0 }, { "0s", 0, 0 }, { "500ms", 0, 500 }, { "30s", 0, 30000 },
		{ "1.5s", 0, 1500 }, { "5m", 0, 300000 }, { "5min", 0, 300000 },
		{ "2 h", 0, 7200000 },
		{ "49d", 0, 49U * 24 * 3600 * 1000 }, { "50d", -ERANGE, 0 },
		{ "4294967295ms", 0, UINT32_MAX }, { "4294967296ms", -ERANGE, 0 },
		{ "30", -EINVAL, 0 }, { "", -EINVAL, 0 }, { "s", -EINVAL, 0 },
		{ "-1s", -EINVAL, 0 },
		{ "1.5ms", -EINVAL, 0 }, { "1M", -EINVAL, 0 }, { "1s1", -EINVAL, 0 },
		{ "00", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t ms = 0xdead;

		assert_int_equal(units_parse_time(cases[i].text, &ms), cases[i].ret);
		if (!cases[i].ret)
			assert_int_equal(ms, cases[i].ms);
	}
}

static void sizes_are_shown(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B" }, { 1, "1 B" }, { 1023, "1023 B" }, { 1024, "1 KiB" },
		{ 1536, "1.5 KiB" }, { 1025, "1.0 KiB" }, { 2047, "2.0 KiB" },
		{ 64ULL << 20, "64 MiB" }, { (1ULL << 20) - 1, "1.0 MiB" },
		{ 3ULL << 29, "1.5 GiB" }, { 1ULL << 40, "1 TiB" }, { 1ULL << 60, "1 EiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};
	char buf[UNITS_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(units_format_size(cases[i].bytes, buf, sizeof(buf)),
				    cases[i].text);
}

static void times_are_shown(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {
		{ 0, "0 s" }, { 1, "1 ms" }, { 1500, "1500 ms" }, { 30000, "30 s" },
		{ 90000, "90 s" }, { 300000, "5 min" }, { 7200000, "2 h" },
	};
	char buf[UNITS_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(units_format_time(cases[i].ms, buf, sizeof(buf)),
				    cases[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_parsed),
		cmocka_unit_test(wrong_sizes_are_refused),
		cmocka_unit_test(times),
		cmocka_unit_test(sizes_are_shown),
		cmocka_unit_test(times_are_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
