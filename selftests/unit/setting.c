// SPDX-License-Identifier: GPL-2.0-only
/* Settings of a target: what is written is read back, and mistakes have words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../daemon/setting.c"
#include "../../daemon/units.c"
#include "../../daemon/uri-size.c"
#define refuse uri_refuse
#include "../../daemon/uri.c"

static const struct setting *find(const char *name)
{
	const struct setting *s = setting_find(name, strlen(name));

	assert_non_null(s);
	return s;
}

static void every_setting_has_a_name_and_a_bit_of_its_own(void **state)
{
	unsigned int bits = 0;

	(void)state;
	for (size_t i = 0; i < SETTINGS; i++) {
		assert_ptr_equal(find(settings[i].name), &settings[i]);
		assert_int_equal(bits & settings[i].bit, 0);
		bits |= settings[i].bit;
	}
	/* All there are. */
	assert_int_equal(bits, 2 * EXTPAGER_SET_SPILL_LIMIT - 1);
	assert_null(setting_find("stor", 4));
	assert_null(setting_find("sizes", 5));
}

static void what_is_written_is_read_back(void **state)
{
	static const struct {
		const char *name, *text, *written;
	} cases[] = {
		{ "store", "file:/a b?create=1", "file:/a b?create=1" },
		{ "size", "1.5M", "1536K" }, { "size", "5001", "5001" }, { "size", "1E", "1E" },
		{ "size", "1023K", "1023K" }, { "size", "1024K", "1M" },
		{ "uid", "root", "0" }, { "uid", "4294967294", "4294967294" },
		{ "gid", "root", "0" }, { "mode", "640", "0640" }, { "mode", "0", "0000" },
		{ "read-only", "yes", "yes" }, { "read-only", "true", "yes" },
		{ "read-only", "off", "no" }, { "pager-uid", "7", "7" },
		{ "pager-uid", "none", "none" },
		{ "policy", "hold", "hold" }, { "policy", "fail", "fail" },
		{ "policy", "spill", "spill" }, { "handshake-action", "wait", "wait" },
		{ "page-in-action", "error", "error" }, { "return-action", "spill", "spill" },
		{ "spill-limit", "1.5G", "1536M" }, { "spill-limit", "0", "0" },
		{ "spill-limit", "unlimited", "unlimited" },
		{ "spill-limit", "9223372036854775807", "unlimited" },
		{ "quota", "64M", "64M" }, { "handshake-timeout", "1500ms", "1500ms" },
		{ "page-in-timeout", "90s", "90s" }, { "return-timeout", "120s", "2m" },
		{ "sync-timeout", "24h", "24h" }, { "grace", "0", "0ms" },
	};
	char buf[SETTING_MAX], why[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct extpager_target t = { .size = sizeof(t) }, again = { .size = sizeof(again) };
		const struct setting *s = find(cases[i].name);

		assert_int_equal(setting_parse(s, cases[i].text, &t, why, sizeof(why)), 0);
		assert_int_equal(t.set, s->bit);
		assert_string_equal(setting_format(s, &t, buf), cases[i].written);
		assert_int_equal(setting_parse(s, buf, &again, why, sizeof(why)), 0);
		assert_memory_equal(&t, &again, sizeof(t));
		assert_true(setting_equal(s, &t, &again));
	}
}

static void mistakes_have_words(void **state)
{
	static const struct {
		const char *name, *text, *why;
	} cases[] = {
		{ "store", "wrong:",
		  "'wrong:': unknown scheme 'wrong'; there are block, nvme, file, zero, mem" },
		{ "size", "0", "'0' is no size; write it as 4096, 64M or 1G" },
		{ "quota", "1MB", "'1MB' is no size; write it as 4096, 64M or 1G" },
		{ "uid", "no-such-user", "there is no user 'no-such-user'" },
		{ "gid", "4294967295", "there is no group '4294967295'" },
		{ "mode", "1777", "'1777' is not octal, 777 at most" },
		{ "read-only", "maybe", "'maybe' is neither yes nor no" },
		{ "read-only", "", "'' is neither yes nor no" },
		{ "policy", "hol", "'hol' is none of hold|fail|spill" },
		{ "policy", "", "'' is none of hold|fail|spill" },
		{ "policy", "hold|fail", "'hold|fail' is none of hold|fail|spill" },
		{ "page-in-action", "spill", "'spill' is none of wait|error" },
		{ "return-action", "wait", "'wait' is none of error|spill" },
		{ "spill-limit", "none",
		  "'none' is no size; write it as 64M, 0 or unlimited" },
		{ "grace", "5", "'5' is no time; write it as 500ms, 30s or 5m" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct extpager_target t = { .size = sizeof(t) };
		char why[256] = "";

		assert_int_equal(setting_parse(find(cases[i].name), cases[i].text, &t, why,
					       sizeof(why)), -EINVAL);
		assert_string_equal(why, cases[i].why);
		assert_int_equal(t.set, 0);
	}
}

static void different_values_differ(void **state)
{
	struct extpager_target a = { .size = sizeof(a), .bytes = 4096, .store = "mem:" };
	struct extpager_target b = { .size = sizeof(b), .bytes = 4097, .store = "mem:x" };

	(void)state;
	assert_false(setting_equal(find("size"), &a, &b));
	assert_false(setting_equal(find("store"), &a, &b));
	assert_true(setting_equal(find("mode"), &a, &b));
	b.read_only = true;
	assert_false(setting_equal(find("read-only"), &a, &b));
}

static void the_store_implies(void **state)
{
	struct extpager_target t = { .size = sizeof(t) };
	char why[256];

	(void)state;
	assert_int_equal(settings_imply(&t, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "needs a store, or a size"));
	t.set = EXTPAGER_SET_BYTES;
	assert_int_equal(settings_imply(&t, why, sizeof(why)), 0);

	t.set = EXTPAGER_SET_STORE;
	strcpy(t.store, "zero:");
	assert_int_equal(settings_imply(&t, why, sizeof(why)), 0);
	assert_true(t.set & EXTPAGER_SET_READ_ONLY && t.read_only);

	t.set = EXTPAGER_SET_STORE;
	strcpy(t.store, "mem:");
	assert_int_equal(settings_imply(&t, why, sizeof(why)), 0);
	assert_true(t.set & EXTPAGER_SET_POLICY && t.policy == EXTPAGER_FAIL);
	t.policy = EXTPAGER_HOLD;
	assert_int_equal(settings_imply(&t, why, sizeof(why)), -EINVAL);
	t.policy = EXTPAGER_SPILL;
	assert_int_equal(settings_imply(&t, why, sizeof(why)), -EINVAL);
	assert_int_equal(settings_measure(&t, why, sizeof(why)), -ENODATA);

	strcpy(t.store, "file:/nonexistent/store");
	assert_int_equal(settings_measure(&t, why, sizeof(why)), -ENOENT);
	assert_string_equal(why, "/nonexistent/store: No such file or directory");
}

static void names(void **state)
{
	static const char longest[] =
		"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg";
	char longer[sizeof(longest) + 1];

	(void)state;
	assert_true(target_name_ok("a"));
	assert_true(target_name_ok("A-1._"));
	assert_int_equal(strlen(longest), 63);
	assert_true(target_name_ok(longest));
	assert_false(target_name_ok(""));
	assert_false(target_name_ok(".a"));
	assert_false(target_name_ok("-a"));
	assert_false(target_name_ok("a/b"));
	assert_false(target_name_ok("a b"));
	strcpy(longer, longest);
	strcat(longer, "g");
	assert_false(target_name_ok(longer));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_setting_has_a_name_and_a_bit_of_its_own),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(mistakes_have_words),
		cmocka_unit_test(different_values_differ),
		cmocka_unit_test(the_store_implies),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
