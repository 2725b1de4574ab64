/* SPDX-License-Identifier: GPL-2.0-only */
/* pagerd's options: the command line, then pagerd.conf for those not given there. */
#ifndef PAGERD_OPTIONS_H
#define PAGERD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct options
 * @only: names to serve, NULL-terminated; NULL = all
 * @config_root: in front of the directories with configuration, "" = none
 * @given: bit of each option that the command line has, by the table
 * @argc, @argv: the command line
 */
struct options {
	unsigned int nr_queues;
	uint32_t shutdown_ms;
	bool lock_memory;
	bool kernel_reads;
	bool delegate;
	bool verbose;
	char **only;
	const char *config_root;
	unsigned int given;
	int argc;
	char **argv;
};

/** Read both. Exits on a mistake in the command line; tells one in the file. */
void options_init(struct options *o, int argc, char **argv);

/** Read the file again; tells what only a restart can change. */
void options_reload(struct options *o);

void options_free(struct options *o);

#endif /* PAGERD_OPTIONS_H */
