// SPDX-License-Identifier: GPL-2.0-only
/* Histograms in words, and drawn. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail

#include "../../daemon/histogram.c"
#include "../../daemon/pagerctl-output.c"
#include "../../daemon/pagerctl-svg.c"

static void times(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} table[] = {
		{ 0, "0 ns" }, { 999, "999 ns" }, { 1000, "1.0 us" }, { 9949, "9.9 us" },
		{ 9950, "10 us" }, { 999499, "999 us" }, { 999500, "1.0 ms" },
		{ 1024000, "1.0 ms" }, { 67108864000, "67 s" }, { 123456000000000, "123456 s" },
	};
	char text[HISTOGRAM_TEXT];
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_string_equal(histogram_time(table[i].ns, text), table[i].text);
	assert_string_equal(histogram_bound(0, text), "0");
	assert_string_equal(histogram_bound(1, text), "1.0 us");
	assert_string_equal(histogram_bound(2, text), "2.0 us");
	assert_string_equal(histogram_bound(27, text), "67 s");
}

static struct extpager_latency latency(const char *request, const char *phase)
{
	return (struct extpager_latency){ .request = request, .phase = phase, .nr = 28 };
}

static void quantiles(void **state)
{
	struct extpager_latency l = latency("page-in", "pager");
	unsigned int first, end;
	char text[HISTOGRAM_TEXT];

	(void)state;
	l.bucket[3] = 98;	/* below 8 us */
	l.bucket[5] = 2;	/* below 32 us */
	l.count = 100;
	histogram_range(&l, &first, &end);
	assert_int_equal(first, 3);
	assert_int_equal(end, 6);
	assert_string_equal(histogram_quantile(&l, 0.5, text), "8.0 us");
	assert_string_equal(histogram_quantile(&l, 0.98, text), "8.0 us");
	assert_string_equal(histogram_quantile(&l, 0.99, text), "32 us");
	l.bucket[27] = 100;
	l.count = 200;
	assert_string_equal(histogram_quantile(&l, 0.99, text), "no bound");
	histogram_range(&l, &first, &end);
	assert_int_equal(end, 28);
}

#define FILE_NAME	"/tmp/extpager-unit-it's.svg"

static char *content(const char *name)
{
	static char text[1 << 20];
	FILE *file = fopen(name, "r");
	size_t len;

	assert_non_null(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	text[len] = 0;
	fclose(file);
	return text;
}

static void sample(struct extpager_stats *s)
{
	unsigned int i;

	memset(s, 0, sizeof(*s));
	strcpy(s->target, "some_target.1");
	s->latency[0] = latency("page-in", "queued");
	s->latency[1] = latency("page-in", "pager");
	s->latency[2] = latency("return", "pager");
	s->latency[3] = latency("page-in", "waking");
	s->nr_latencies = 4;
	for (i = 0; i < 4; i++) {
		s->latency[i].bucket[3 + i] = 10 * (i + 1);
		s->latency[i].bucket[7 + i] = 1;
		s->latency[i].count = 10 * (i + 1) + 1;
	}
}

static void drawn(void **state)
{
	static struct extpager_stats s;
	const char *svg;

	(void)state;
	sample(&s);
	unlink(FILE_NAME);
	assert_int_equal(latency_svg(&s, FILE_NAME), 0);
	svg = content(FILE_NAME);
	assert_non_null(strstr(svg, "<svg"));
	assert_non_null(strstr(svg, "</svg>"));
	/* One picture each of page-ins and returns; a name is no formula. */
	svg = strstr(svg, "page-in of some_target.1");
	assert_non_null(svg);
	assert_null(strstr(svg + 1, "page-in of some_target.1"));
	svg = content(FILE_NAME);
	assert_non_null(strstr(svg, "return of some_target.1"));
	assert_non_null(strstr(svg, ">queued<"));
	assert_non_null(strstr(svg, ">waking<"));
	assert_non_null(strstr(svg, ">4.0 us<"));
	assert_null(strstr(svg, ">1.0 us<"));
}

/* What cannot be drawn leaves the file of an earlier time, and no other. */
static void not_drawn(void **state)
{
	static struct extpager_stats s;
	char *path = strdup(getenv("PATH"));

	(void)state;
	sample(&s);
	assert_int_equal(latency_svg(&s, FILE_NAME), 0);
	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(latency_svg(&s, FILE_NAME), EXIT_FAILED);
	setenv("PATH", path, 1);
	free(path);
	assert_non_null(strstr(content(FILE_NAME), "</svg>"));
	s.nr_latencies = 0;
	assert_int_equal(latency_svg(&s, FILE_NAME), EXIT_FAILED);
	assert_int_equal(latency_svg(&s, "/nonexistent/x.svg"), EXIT_FAILED);
	assert_int_equal(unlink(FILE_NAME), 0);
	assert_int_equal(system("! ls /tmp/extpager-unit-it\\'s.svg.* 2> /dev/null"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times),
		cmocka_unit_test(quantiles),
		cmocka_unit_test(drawn),
		cmocka_unit_test(not_drawn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
