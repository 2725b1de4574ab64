// SPDX-License-Identifier: GPL-2.0-only
/* Errors, tables and JSON: how pagerctl talks. */
#include "pagerctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "pagerctl: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_FAILED;
}

const char *said(const struct extpager_ctl *c, int ret)
{
	const char *text = extpager_ctl_error(c);

	return text && text[0] ? text : strerror(-ret);
}

int fail_target(const char *name, const struct extpager_ctl *c, int ret)
{
	switch (ret) {
	case -ENOENT:
		return fail("target '%s': no such target; `pagerctl target list` shows those there are",
			    name);
	case -EEXIST:
		return fail("target '%s': there is one already; change it with `pagerctl target set`, or delete it first",
			    name);
	case -EPERM:
	case -EACCES:
		return fail("target '%s': not permitted: needs CAP_SYS_ADMIN; be root", name);
	default:
		return fail("target '%s': %s", name, said(c, ret));
	}
}

struct extpager_ctl *open_ctl(void)
{
	struct extpager_ctl *c;
	int ret = extpager_ctl_open(&c);

	if (!ret)
		return c;
	if (ret == -ENOENT)
		fail("extpager is not loaded: modprobe extpager");
	else
		fail("cannot talk to extpager: %s", strerror(-ret));
	exit(EXIT_FAILED);
}

void terminal_size(int *columns, int *rows)
{
	struct winsize size;

	*columns = *rows = 0;
	if (isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size)) {
		*columns = size.ws_col;
		*rows = size.ws_row;
	}
}

static void *must(void *memory)
{
	if (memory)
		return memory;
	fail("no memory");
	exit(EXIT_FAILED);
}

void table_begin(struct table *t, unsigned int columns, const char *const *names)
{
	const char *plain[TABLE_COLUMNS];
	unsigned int i;

	memset(t, 0, sizeof(*t));
	t->columns = columns;
	for (i = 0; i < columns; i++) {
		t->right[i] = names[i][0] == '>';
		plain[i] = names[i] + t->right[i];
	}
	table_row(t, plain);
}

void table_row(struct table *t, const char *const *cells)
{
	unsigned int i;

	t->cells = must(realloc(t->cells, (t->rows + 1) * sizeof(*t->cells)));
	for (i = 0; i < t->columns; i++)
		t->cells[t->rows][i] = must(strdup(cells[i]));
	t->rows++;
}

/* A line is cut where the terminal ends, which would break it; a pipe gets all. */
static void table_line(const struct table *t, char *const *cells, const int *width)
{
	char *line;
	size_t len;
	FILE *out = must(open_memstream(&line, &len));
	int columns, rows;
	unsigned int i;

	for (i = 0; i < t->columns; i++) {
		if (t->right[i])
			fprintf(out, "%*s", width[i], cells[i]);
		else if (i + 1 < t->columns)
			fprintf(out, "%-*s", width[i], cells[i]);
		else
			fputs(cells[i], out);
		if (i + 1 < t->columns)
			fputs("  ", out);
	}
	if (fclose(out))
		must(NULL);
	terminal_size(&columns, &rows);
	if (columns && len > (size_t)columns)
		line[columns] = '\0';
	puts(line);
	free(line);
}

void table_end(struct table *t)
{
	int width[TABLE_COLUMNS] = { 0 };
	unsigned int i;
	size_t row;

	for (row = 0; row < t->rows; row++) {
		for (i = 0; i < t->columns; i++) {
			int len = (int)strlen(t->cells[row][i]);

			if (len > width[i])
				width[i] = len;
		}
	}
	for (row = 0; row < t->rows; row++) {
		table_line(t, t->cells[row], width);
		for (i = 0; i < t->columns; i++)
			free(t->cells[row][i]);
	}
	free(t->cells);
}

cJSON *json_begin(void)
{
	cJSON *root = must(cJSON_CreateObject());

	cJSON_AddNumberToObject(root, "version", 1);
	return root;
}

/* Not as a double, which ends at 2^53. */
void json_u64(cJSON *object, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	cJSON_AddRawToObject(object, key, text);
}

void json_whose(cJSON *object, const struct extpager_stats *s)
{
	if (s->target[0])
		cJSON_AddStringToObject(object, "target", s->target);
	else
		json_u64(object, "port", s->port);
}

void print_whose(const struct extpager_stats *s)
{
	if (s->target[0])
		puts(s->target);
	else
		printf("unnamed objects of port %" PRIu32 "\n", s->port);
}

void json_end(cJSON *root, bool line)
{
	char *text = must(line ? cJSON_PrintUnformatted(root) : cJSON_Print(root));

	puts(text);
	fflush(stdout);
	free(text);
	cJSON_Delete(root);
}
