// SPDX-License-Identifier: GPL-2.0-only
/* Configuration files: which count, what is read from them, and how mistakes are told. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../daemon/conf.c"

static char root[32];
/* What was told, a line each. */
static char told[16384];

static void __attribute__((format(printf, 1, 2))) tell(const char *fmt, ...)
{
	size_t len = strlen(told);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(told + len, sizeof(told) - len, fmt, ap);
	va_end(ap);
}

static void complain(const char *path, unsigned int line, const char *text, void *arg)
{
	(void)arg;
	assert_memory_equal(path, root, strlen(root));
	tell("!%s:%u: %s\n", path + strlen(root), line, text);
}

static int take(const struct conf_line *line, void *arg, char *why, size_t len)
{
	(void)arg;
	if (!strcmp(line->key, "bad")) {
		snprintf(why, len, "will not have '%s'", line->value);
		return -EINVAL;
	}
	tell("%u %s=%s\n", line->line, line->key, line->value);
	return 0;
}

static void found(const char *path, const char *name, void *arg)
{
	(void)arg;
	tell("%s %s\n", name, path + strlen(root));
}

static const char *at(const char *path)
{
	static char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	return full;
}

static void write_bytes(const char *path, const char *text, size_t len)
{
	FILE *file = fopen(at(path), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	fclose(file);
}

static void write_file(const char *path, const char *text)
{
	write_bytes(path, text, strlen(text));
}

static int setup(void **state)
{
	static const char *const dirs[] = {
		"etc", "etc/extpager", "etc/extpager/targets.d", "run", "run/extpager",
		"run/extpager/targets.d", "usr", "usr/lib", "usr/lib/extpager",
		"usr/lib/extpager/targets.d",
	};

	(void)state;
	strcpy(root, "/tmp/extpager-conf-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		mkdir(at(dirs[i]), 0755);
	told[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

static unsigned int read_conf(const char *text)
{
	const struct conf_reader reader = {
		.section = "target", .take = take, .complain = complain,
	};
	char path[PATH_MAX];

	write_file("etc/extpager/x.conf", text);
	assert_int_equal(conf_find(root, "x.conf", path), 0);
	return conf_read(path, &reader);
}

static void values_and_their_lines(void **state)
{
	(void)state;
	assert_int_equal(read_conf("# a comment\n"
				   "; another\n"
				   "[target]\n"
				   "store = file:/a;b # c?create=1\n"
				   "\n"
				   "  size=1M\t\n"
				   "empty =\n"
				   "last: 5"), 0);
	assert_string_equal(told, "4 store=file:/a;b # c?create=1\n"
				  "6 store=size=1M\n"
				  "7 empty=\n"
				  "8 last=5\n");
}

static void a_long_value_goes_on(void **state)
{
	char text[1200], want[1200];

	(void)state;
	snprintf(text, sizeof(text), "[target]\nstore = %0180d\n\t%0180d\n %050d\nsize = 1\n",
		 1, 2, 3);
	snprintf(want, sizeof(want), "2 store=%0180d%0180d%050d\n5 size=1\n", 1, 2, 3);
	assert_int_equal(read_conf(text), 0);
	assert_string_equal(told, want);
}

static void a_line_too_long_is_not_cut(void **state)
{
	char text[1200];

	(void)state;
	snprintf(text, sizeof(text), "[target]\nstore = %0300d\nsize = 1\n", 1);
	assert_int_equal(read_conf(text), 1);
	assert_string_equal(told, "!/etc/extpager/x.conf:2: is longer than 198 bytes: go on in a new line that begins with a blank\n"
				  "3 size=1\n");
}

static void a_line_just_short_enough(void **state)
{
	char text[300], want[300];

	(void)state;
	snprintf(text, sizeof(text), "[target]\ns=%0196d\nsize = 1\n", 1);
	snprintf(want, sizeof(want), "2 s=%0196d\n3 size=1\n", 1);
	assert_int_equal(read_conf(text), 0);
	assert_string_equal(told, want);
}

static void mistakes_are_told_and_the_rest_is_read(void **state)
{
	(void)state;
	assert_int_equal(read_conf("size = 0\n"
				   "[target]\n"
				   "bad = value\n"
				   "nonsense\n"
				   "size = 1\n"
				   "[pagerd]\n"
				   "queues = 2\n"), 4);
	assert_string_equal(told,
			    "!/etc/extpager/x.conf:1: 'size' is in section []; it belongs into [target]\n"
			    "!/etc/extpager/x.conf:3: will not have 'value'\n"
			    "5 size=1\n"
			    "!/etc/extpager/x.conf:7: 'queues' is in section [pagerd]; it belongs into [target]\n"
			    "!/etc/extpager/x.conf:4: is neither [section], key = value nor # comment\n");
}

static void a_zero_byte_is_no_text(void **state)
{
	static const char text[] = "[target]\nsize = 1\0 2\nmode = 3\n";
	const struct conf_reader reader = {
		.section = "target", .take = take, .complain = complain,
	};
	char path[PATH_MAX];

	(void)state;
	write_bytes("etc/extpager/x.conf", text, sizeof(text) - 1);
	conf_find(root, "x.conf", path);
	assert_int_equal(conf_read(path, &reader), 1);
	assert_string_equal(told, "!/etc/extpager/x.conf:2: has a zero byte: this is no text\n"
				  "3 mode=3\n");
}

static void what_is_no_file_is_told(void **state)
{
	const struct conf_reader reader = {
		.section = "target", .take = take, .complain = complain,
	};
	char path[PATH_MAX];

	(void)state;
	assert_int_equal(symlink("nowhere", at("etc/extpager/x.conf")), 0);
	assert_int_equal(conf_find(root, "x.conf", path), 0);
	assert_int_equal(conf_read(path, &reader), 1);
	unlink(at("etc/extpager/x.conf"));
	mkdir(at("etc/extpager/x.conf"), 0755);
	assert_int_equal(conf_find(root, "x.conf", path), 0);
	assert_int_equal(conf_read(path, &reader), 1);
	assert_string_equal(told, "!/etc/extpager/x.conf:0: is a link to nowhere\n"
				  "!/etc/extpager/x.conf:0: is no regular file\n");
}

static void the_higher_directory_wins(void **state)
{
	char path[PATH_MAX];

	(void)state;
	assert_int_equal(conf_find(root, "pagerd.conf", path), -ENOENT);
	write_file("usr/lib/extpager/pagerd.conf", "x");
	assert_int_equal(conf_find(root, "pagerd.conf", path), 0);
	assert_string_equal(path + strlen(root), "/usr/lib/extpager/pagerd.conf");
	write_file("run/extpager/pagerd.conf", "x");
	assert_int_equal(conf_find(root, "pagerd.conf", path), 0);
	assert_string_equal(path + strlen(root), "/run/extpager/pagerd.conf");
	write_file("etc/extpager/pagerd.conf", "");
	assert_int_equal(conf_find(root, "pagerd.conf", path), -ENOENT);
}

static void a_directory_is_listed(void **state)
{
	(void)state;
	write_file("usr/lib/extpager/targets.d/a.conf", "x");
	write_file("usr/lib/extpager/targets.d/b.conf", "x");
	write_file("usr/lib/extpager/targets.d/c.conf", "x");
	write_file("usr/lib/extpager/targets.d/d.conf", "x");
	write_file("run/extpager/targets.d/b.conf", "x");
	write_file("run/extpager/targets.d/c.conf", "x");
	write_file("etc/extpager/targets.d/b.conf", "x");
	write_file("etc/extpager/targets.d/z.conf", "x");
	/* Masked by an empty one and by a link to /dev/null; and what is no .conf. */
	write_file("etc/extpager/targets.d/c.conf", "");
	assert_int_equal(symlink("/dev/null", at("etc/extpager/targets.d/d.conf")), 0);
	write_file("etc/extpager/targets.d/e.conf~", "x");
	write_file("etc/extpager/targets.d/.conf", "x");
	write_file("etc/extpager/targets.d/.hidden.conf", "x");
	conf_list(root, "targets.d", found, complain, NULL);
	assert_string_equal(told, "a /usr/lib/extpager/targets.d/a.conf\n"
				  "b /etc/extpager/targets.d/b.conf\n"
				  "z /etc/extpager/targets.d/z.conf\n");
}

static void a_directory_that_is_none_keeps_no_other(void **state)
{
	(void)state;
	rmdir(at("run/extpager/targets.d"));
	write_file("run/extpager/targets.d", "x");
	write_file("usr/lib/extpager/targets.d/a.conf", "x");
	conf_list(root, "targets.d", found, complain, NULL);
	assert_string_equal(told, "!/run/extpager/targets.d:0: Not a directory\n"
				  "a /usr/lib/extpager/targets.d/a.conf\n");
}

int main(void)
{
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(values_and_their_lines),
		TEST(a_long_value_goes_on),
		TEST(a_line_too_long_is_not_cut),
		TEST(a_line_just_short_enough),
		TEST(mistakes_are_told_and_the_rest_is_read),
		TEST(a_zero_byte_is_no_text),
		TEST(what_is_no_file_is_told),
		TEST(the_higher_directory_wins),
		TEST(a_directory_is_listed),
		TEST(a_directory_that_is_none_keeps_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
