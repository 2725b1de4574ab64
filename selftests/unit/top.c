// SPDX-License-Identifier: GPL-2.0-only
/* pagerctl top: what two looks at the counters come to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail

#include <linux/extpager_netlink.h>

#include "../../daemon/pagerctl-output.c"
#include "../../daemon/pagerctl-top.c"
#include "../../daemon/units.c"

bool want_json;

/* A target and its counters, of which the last is for nobody here. */
static void see(struct look *look, const char *name, uint64_t base)
{
	struct extpager_target t = { .state = EXTPAGER_STATE_LIVE, .dirty = 8192, .quota = 1 << 20,
				     .spilled = 4096, .pending = 3, .port = 7 };
	struct extpager_stats stats = { .nr = 6, .counter = {
		{ .name = "gate-waits", .value = base }, { .name = "pages-copied", .value = base },
		{ .name = "pages-zeroed", .value = 2 * base },
		{ .name = "pages-pushed", .value = 4 * base },
		{ .name = "pages-returned", .value = 5 * base },
		{ .name = "data-requests", .value = 1000000 },
	} };

	strcpy(t.name, name);
	strcpy(stats.target, name);
	assert_int_equal(take_target(&t, look), 0);
	assert_int_equal(take_stats(&stats, look), 0);
}

static void rates(void **state)
{
	struct look before = { .at_ms = 1000 }, now = { .at_ms = 3000 };
	uint64_t page = sysconf(_SC_PAGESIZE);
	struct line *lines;

	(void)state;
	see(&before, "a", 100);
	see(&before, "again", 500);
	see(&before, "busy", 0);
	see(&now, "a", 110);
	/* Another one of its name; and one that was not there. */
	see(&now, "again", 400);
	see(&now, "busy", 1000);
	see(&now, "new", 50);
	lines = compare(&before, &now);
	assert_string_equal(lines[0].now->name, "busy");
	assert_int_equal(lines[0].faults, 500);
	assert_int_equal(lines[0].supplied, 3500 * page);
	assert_int_equal(lines[0].returned, 2500 * page);
	assert_string_equal(lines[1].now->name, "a");
	assert_int_equal(lines[1].faults, 5);
	assert_int_equal(lines[1].supplied, 35 * page);
	assert_int_equal(lines[1].returned, 25 * page);
	assert_string_equal(lines[2].now->name, "again");
	assert_string_equal(lines[3].now->name, "new");
	assert_int_equal(lines[2].faults + lines[2].supplied + lines[2].returned, 0);
	assert_int_equal(lines[3].faults + lines[3].supplied + lines[3].returned, 0);
	free(lines);

	/* Those that are no rates, of the last look. */
	assert_int_equal(now.samples[0].dirty, 8192);
	assert_int_equal(now.samples[0].quota, 1 << 20);
	assert_int_equal(now.samples[0].spilled, 4096);
	assert_int_equal(now.samples[0].pending, 3);
	assert_int_equal(now.samples[0].port, 7);
	free(before.samples);
	free(now.samples);
}

/* What is written to stdout. */
static const char *printed(void (*print)(const struct line *lines), const struct line *lines)
{
	static char text[4096];
	FILE *file = tmpfile();
	int kept = dup(STDOUT_FILENO);
	size_t len;

	assert_non_null(file);
	fflush(stdout);
	dup2(fileno(file), STDOUT_FILENO);
	print(lines);
	fflush(stdout);
	dup2(kept, STDOUT_FILENO);
	close(kept);
	rewind(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	text[len] = 0;
	fclose(file);
	return text;
}

static void as_table(const struct line *lines)
{
	print_table(lines, 1, false);
}

static void as_json(const struct line *lines)
{
	print_json(lines, 1, 2000);
}

static void columns(void **state)
{
	struct sample s = { .name = "db", .state = EXTPAGER_STATE_LIVE, .dirty = 8192,
			    .quota = 1 << 20, .spilled = 4096, .pending = 3, .port = 7 };
	struct line line = { .now = &s, .faults = 11, .supplied = 1 << 20, .returned = 65536 };
	static const char *const words[] = {
		"db", "live", "11", "1 MiB", "64 KiB", "8 KiB", "4 KiB", "3",
	};
	const char *text;
	unsigned int i;

	(void)state;
	text = strchr(printed(as_table, &line), '\n');
	for (i = 0; i < sizeof(words) / sizeof(*words); i++) {
		assert_non_null(text);
		text = strstr(text, words[i]);
		if (!text)
			print_error("no %s\n", words[i]);
		assert_non_null(text);
		text += strlen(words[i]);
	}

	text = printed(as_json, &line);
	assert_non_null(strstr(text, "\"interval_ms\":2000"));
	assert_non_null(strstr(text, "\"faults_per_s\":11,\"supplied_bytes_per_s\":1048576,"));
	assert_non_null(strstr(text, "\"returned_bytes_per_s\":65536,\"dirty\":8192,"));
	assert_non_null(strstr(text, "\"quota\":1048576,\"spilled\":4096,\"pending\":3"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates),
		cmocka_unit_test(columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
