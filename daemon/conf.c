// SPDX-License-Identifier: GPL-2.0-only
/*
 * inih takes lines apart. What it does not tell is seen here on their way into
 * it: line numbers, lines that it would cut, and which lines go on an earlier one.
 */
#include "conf.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <ini.h>

#define SUFFIX		".conf"
/* More than any value needs. */
#define VALUE_MAX	4096

static const char *const roots[] = { "/etc", "/run", "/usr/lib" };
#define NR_ROOTS	(sizeof(roots) / sizeof(roots[0]))

/* ---- which files count ------------------------------------------------- */

static bool is_null_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

static bool is_empty(const struct stat *st)
{
	return S_ISREG(st->st_mode) && !st->st_size;
}

int conf_find(const char *root, const char *name, char path[PATH_MAX])
{
	struct stat st;
	size_t i;

	for (i = 0; i < NR_ROOTS; i++) {
		if (snprintf(path, PATH_MAX, "%s%s/extpager/%s", root, roots[i], name) >= PATH_MAX)
			return -ENOENT;
		if (lstat(path, &st))
			continue;
		/* A link to nowhere counts: reading it tells. */
		if (!stat(path, &st) && (is_null_device(&st) || is_empty(&st)))
			return -ENOENT;
		return 0;
	}
	return -ENOENT;
}

struct names {
	char **name;
	size_t nr;
};

static bool add_name(struct names *all, const char *name)
{
	char **grown = reallocarray(all->name, all->nr + 1, sizeof(*grown));

	if (!grown)
		return false;
	all->name = grown;
	all->name[all->nr] = strdup(name);
	if (!all->name[all->nr])
		return false;
	all->nr++;
	return true;
}

static bool is_conf(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > strlen(SUFFIX) &&
	       !strcmp(name + len - strlen(SUFFIX), SUFFIX);
}

/* Return: 0, or why some names are missing. */
static int read_directory(const char *path, struct names *all)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int ret = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (!ret && (errno = 0, entry = readdir(dir))) {
		if (is_conf(entry->d_name) && !add_name(all, entry->d_name))
			ret = -ENOMEM;
	}
	if (!ret)
		ret = -errno;
	closedir(dir);
	return ret;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void conf_list(const char *root, const char *directory,
	       void (*fn)(const char *path, const char *name, void *arg),
	       void (*complain)(const char *path, unsigned int line, const char *text, void *arg),
	       void *arg)
{
	struct names all = { 0 };
	char path[PATH_MAX], name[NAME_MAX + 1], below[PATH_MAX];
	size_t i;

	for (i = 0; i < NR_ROOTS; i++) {
		int ret;

		snprintf(path, sizeof(path), "%s%s/extpager/%s", root, roots[i], directory);
		ret = read_directory(path, &all);
		if (ret)
			complain(path, 0, strerror(-ret), arg);
	}
	if (all.nr)
		qsort(all.name, all.nr, sizeof(*all.name), by_name);
	for (i = 0; i < all.nr; i++) {
		bool again = i && !strcmp(all.name[i], all.name[i - 1]);

		snprintf(below, sizeof(below), "%s/%s", directory, all.name[i]);
		if (again || conf_find(root, below, path))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(strlen(all.name[i]) - strlen(SUFFIX)),
			 all.name[i]);
		fn(path, name, arg);
	}
	for (i = 0; i < all.nr; i++)
		free(all.name[i]);
	free(all.name);
}

/* ---- what stands in them ----------------------------------------------- */

/**
 * struct parse - a file that is being read
 * @line: number of the line that inih has
 * @indented: it begins with a blank: it goes on the value before
 * @key, @value: the last value, until a line that is not indented ends it
 * @at: where it began
 */
struct parse {
	const struct conf_reader *reader;
	const char *path;
	FILE *file;
	unsigned int line;
	unsigned int mistakes;
	bool indented;
	bool pending;
	char key[64];
	char value[VALUE_MAX];
	unsigned int at;
};

static void mistake(struct parse *p, unsigned int line, const char *text)
{
	p->mistakes++;
	p->reader->complain(p->path, line, text, p->reader->arg);
}

static void flush_value(struct parse *p)
{
	struct conf_line line = {
		.path = p->path, .line = p->at, .key = p->key, .value = p->value,
	};
	char why[VALUE_MAX + 512];

	if (p->pending && p->reader->take(&line, p->reader->arg, why, sizeof(why)))
		mistake(p, p->at, why);
	p->pending = false;
}

/* One line, whole or not at all: inih would take the rest of a cut one for a line. */
static char *read_line(char *buf, int room, void *arg)
{
	struct parse *p = arg;
	size_t len;
	int c;

	if (!fgets(buf, room, p->file))
		return NULL;
	p->line++;
	p->indented = isblank((unsigned char)buf[0]);
	if (!p->indented)
		flush_value(p);
	len = strlen(buf);
	if (feof(p->file) || (len && buf[len - 1] == '\n'))
		return buf;
	if (len + 1 < (size_t)room) {
		mistake(p, p->line, "has a zero byte: this is no text");
	} else {
		char text[128];

		snprintf(text, sizeof(text),
			 "is longer than %d bytes: go on in a new line that begins with a blank",
			 room - 2);
		mistake(p, p->line, text);
		do
			c = fgetc(p->file);
		while (c != '\n' && c != EOF);
	}
	strcpy(buf, "#\n");
	return buf;
}

static int on_value(void *arg, const char *section, const char *key, const char *value)
{
	struct parse *p = arg;
	char text[256];

	if (p->indented && p->pending) {
		if (strlen(p->value) + strlen(value) < sizeof(p->value))
			strcat(p->value, value);
		else
			mistake(p, p->line, "the value is too long");
		return 1;
	}
	if (strcmp(section, p->reader->section)) {
		snprintf(text, sizeof(text), "'%.60s' is in section [%.60s]; it belongs into [%s]",
			 key, section, p->reader->section);
		mistake(p, p->line, text);
		return 1;
	}
	snprintf(p->key, sizeof(p->key), "%s", key);
	/* inih has bounded it by the line. */
	snprintf(p->value, sizeof(p->value), "%s", value);
	p->at = p->line;
	p->pending = true;
	return 1;
}

static FILE *open_regular(struct parse *p)
{
	int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	FILE *file;

	if (fd < 0) {
		mistake(p, 0, errno == ENOENT ? "is a link to nowhere" : strerror(errno));
		return NULL;
	}
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		mistake(p, 0, "is no regular file");
		close(fd);
		return NULL;
	}
	file = fdopen(fd, "r");
	if (!file) {
		mistake(p, 0, strerror(errno));
		close(fd);
	}
	return file;
}

unsigned int conf_read(const char *path, const struct conf_reader *reader)
{
	struct parse p = { .reader = reader, .path = path };
	int ret;

	p.file = open_regular(&p);
	if (!p.file)
		return p.mistakes;
	/* A store's path may have any character. */
	ini_allow_inline_comments = false;
	ret = ini_parse_stream(read_line, &p, on_value, &p);
	flush_value(&p);
	if (ret > 0)
		mistake(&p, (unsigned int)ret, "is neither [section], key = value nor # comment");
	else if (ret < 0 || ferror(p.file))
		mistake(&p, 0, "cannot be read");
	fclose(p.file);
	return p.mistakes;
}
