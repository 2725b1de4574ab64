/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a file below targets.d says of a target. Shared by pagerd, which adds
 * targets from them, and pagerctl, which finds those that differ.
 */
#ifndef TARGET_FILE_H
#define TARGET_FILE_H

#include "conf.h"
#include "setting.h"

#define TARGET_FILES	"targets.d"

/**
 * struct target_file - a file
 * @path: of it
 * @target: what it says; name and size are set before it is read
 * @lines: where it says so, by setting; 0: it does not
 */
struct target_file {
	const char *path;
	struct extpager_target target;
	unsigned int lines[SETTINGS];
};

/** Read it to its end; @complain is told of each mistake. Return: how many there are. */
unsigned int target_file_read(struct target_file *f,
			      void (*complain)(const char *path, unsigned int line,
					       const char *text, void *arg), void *arg);
/** Does it say another value of a setting than the kernel has in @have? */
bool target_file_differs(const struct target_file *f, const struct setting *s,
			 const struct extpager_target *have);

#endif /* TARGET_FILE_H */
