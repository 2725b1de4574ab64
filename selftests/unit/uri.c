// SPDX-License-Identifier: GPL-2.0-only
/* Store URIs: each part is read, and each mistake has words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../daemon/units.c"
#include "../../daemon/uri-size.c"
#include "../../daemon/uri.c"

static void good_ones(void **state)
{
	static const struct {
		const char *text;
		struct store_uri uri;
	} cases[] = {
		{ "block:/dev/nvme0n1", { .kind = STORE_BLOCK, .path = "/dev/nvme0n1" } },
		{ "nvme:/dev/nvme0n1", { .kind = STORE_NVME, .path = "/dev/nvme0n1" } },
		{ "block:/dev/sda?offset=1M&length=256M&force=1",
		  { .kind = STORE_BLOCK, .path = "/dev/sda", .offset = 1 << 20,
		    .length = 256 << 20, .force = true } },
		{ "block:/dev/sda?force=0", { .kind = STORE_BLOCK, .path = "/dev/sda" } },
		{ "file:/a/b.img?create=1&offset=0",
		  { .kind = STORE_FILE, .path = "/a/b.img", .create = true } },
		{ "file:/with%3fmark%25%26", { .kind = STORE_FILE, .path = "/with?mark%&" } },
		{ "file:/a:b", { .kind = STORE_FILE, .path = "/a:b" } },
		{ "zero:", { .kind = STORE_ZERO } },
		{ "mem:", { .kind = STORE_MEM } },
	};
	struct store_uri uri;
	char why[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct store_uri *want = &cases[i].uri;

		assert_int_equal(store_uri_parse(cases[i].text, &uri, why, sizeof(why)), 0);
		assert_int_equal(uri.kind, want->kind);
		assert_string_equal(uri.path, want->path);
		assert_int_equal(uri.offset, want->offset);
		assert_int_equal(uri.length, want->length);
		assert_int_equal(uri.force, want->force);
		assert_int_equal(uri.create, want->create);
	}
}

static void bad_ones(void **state)
{
	static const struct {
		const char *text;
		const char *why;	/* a part of it */
	} cases[] = {
		{ "", "no scheme" },
		{ "/dev/sda", "no scheme" },
		{ "disk:/dev/sda", "unknown scheme 'disk'" },
		{ ":/dev/sda", "unknown scheme ''" },
		{ "BLOCK:/dev/sda", "unknown scheme" },
		{ "block:", "absolute path" },
		{ "block:dev/sda", "absolute path" },
		{ "mem:/x", "takes no path" },
		{ "mem:?length=1", "no option 'length'" },
		{ "zero:?force=1", "no option 'force'" },
		{ "file:/x?force=1", "no option 'force'" },
		{ "block:/x?create=1", "no option 'create'" },
		{ "block:/x?colour=red", "no option 'colour'" },
		{ "block:/x?", "option=value" },
		{ "block:/x?offset", "option=value" },
		{ "block:/x?offset=", "option=value" },
		{ "block:/x?=1", "option=value" },
		{ "block:/x?offset=1&", "option=value" },
		{ "block:/x?offset=1&offset=2", "twice" },
		{ "block:/x?offset=1MB", "is no size" },
		{ "block:/x?offset=-1", "is no size" },
		{ "block:/x?length=0", "must not be 0" },
		{ "block:/x?force=yes", "0 or 1" },
		{ "block:/x?offset=15E&length=2E", "too large" },
		{ "file:/x%", "%25" },
		{ "file:/x%4", "%25" },
		{ "file:/x%zz", "%25" },
		{ "file:/x%00y", "%25" },
	};
	struct store_uri uri;
	char why[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		why[0] = '\0';
		assert_int_equal(store_uri_parse(cases[i].text, &uri, why, sizeof(why)), -EINVAL);
		if (!strstr(why, cases[i].why))
			fail_msg("'%s': '%s' does not say '%s'", cases[i].text, why, cases[i].why);
	}
}

static void length_is_bounded(void **state)
{
	char text[STORE_URI_MAX + 1] = "file:/", why[256];
	struct store_uri uri;

	(void)state;
	memset(text + 6, 'a', STORE_URI_MAX - 1 - 6);
	text[STORE_URI_MAX - 1] = '\0';
	assert_int_equal(store_uri_parse(text, &uri, why, sizeof(why)), 0);
	text[STORE_URI_MAX - 1] = 'a';
	text[STORE_URI_MAX] = '\0';
	assert_int_equal(store_uri_parse(text, &uri, why, sizeof(why)), -EINVAL);
	/* Words that do not fit are cut, and end. */
	assert_int_equal(store_uri_parse("disk:/x", &uri, why, 8), -EINVAL);
	assert_int_equal(strlen(why), 7);
}

static void names_agree(void **state)
{
	(void)state;
	assert_string_equal(store_kind_name(STORE_BLOCK), "block");
	assert_string_equal(store_kind_name(STORE_MEM), "mem");
	assert_string_equal(store_kind_name(0), "unknown");
}

static void sizes_from_outside(void **state)
{
	char path[] = "/tmp/extpager-uri-XXXXXX";
	struct store_uri uri = { .kind = STORE_FILE };
	uint64_t bytes = 0;
	char why[256];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 10000), 0);
	strcpy(uri.path, path);
	assert_int_equal(store_uri_size(&uri, &bytes, why, sizeof(why)), 0);
	assert_int_equal(bytes, 10000);
	uri.offset = 4096;
	assert_int_equal(store_uri_size(&uri, &bytes, why, sizeof(why)), 0);
	assert_int_equal(bytes, 10000 - 4096);
	uri.offset = 10000;
	assert_int_equal(store_uri_size(&uri, &bytes, why, sizeof(why)), -ENODATA);
	uri.offset = 0;
	uri.length = 512;
	assert_int_equal(store_uri_size(&uri, &bytes, why, sizeof(why)), 0);
	assert_int_equal(bytes, 512);
	uri.length = 0;
	close(fd);
	unlink(path);
	assert_int_equal(store_uri_size(&uri, &bytes, why, sizeof(why)), -ENOENT);

	uri = (struct store_uri){ .kind = STORE_MEM };
	assert_int_equal(store_uri_size(&uri, &bytes, why, sizeof(why)), -ENODATA);
	assert_non_null(strstr(why, "no size of its own"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_ones),
		cmocka_unit_test(bad_ones),
		cmocka_unit_test(length_is_bounded),
		cmocka_unit_test(names_agree),
		cmocka_unit_test(sizes_from_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
