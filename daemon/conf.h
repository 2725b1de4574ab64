/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Configuration files: where they are, which of them count, and what stands in
 * them. Knows no setting. A file in /etc replaces one of the same name in /run,
 * and that one in /usr/lib; an empty one, or a link to /dev/null, says that
 * there is none.
 */
#ifndef PAGERD_CONF_H
#define PAGERD_CONF_H

#include <limits.h>
#include <stddef.h>

/**
 * struct conf_line - a value as the file says it
 * @path: of the file
 * @line: its number, where the value begins
 */
struct conf_line {
	const char *path;
	unsigned int line;
	const char *key;
	const char *value;
};

/**
 * struct conf_reader - who reads files
 * @section: the only section that its files may have
 * @take: a value. If it cannot be, says why. Return: 0 or -EINVAL.
 * @complain: told of each mistake; @line is 0 if it is the whole file's
 */
struct conf_reader {
	const char *section;
	int (*take)(const struct conf_line *line, void *arg, char *why, size_t len);
	void (*complain)(const char *path, unsigned int line, const char *text, void *arg);
	void *arg;
};

/**
 * conf_find - the file that counts
 * @root: in front of /etc, /run and /usr/lib; "" = the system's
 * @name: below extpager/ there
 * @path: out: the file
 *
 * Return: 0; -ENOENT: there is none, or it is masked.
 */
int conf_find(const char *root, const char *name, char path[PATH_MAX]);

/**
 * conf_list - the files of a directory that count
 * @root: as above
 * @directory: below extpager/
 * @fn: called with each path and its name without ".conf", by name
 * @complain: a directory that cannot be read
 */
void conf_list(const char *root, const char *directory,
	       void (*fn)(const char *path, const char *name, void *arg),
	       void (*complain)(const char *path, unsigned int line, const char *text, void *arg),
	       void *arg);

/** Read a file to its end. Return: number of mistakes. */
unsigned int conf_read(const char *path, const struct conf_reader *reader);

#endif /* PAGERD_CONF_H */
