// SPDX-License-Identifier: GPL-2.0-only
/* Messages to stderr, with <priority> in front when it is the journal. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool log_verbose;
static bool log_journal;

void log_init(bool verbose)
{
	log_verbose = verbose;
	log_journal = getenv("JOURNAL_STREAM") && !isatty(STDERR_FILENO);
}

void log_message(int priority, const char *fmt, ...)
{
	char line[4096];
	va_list ap;
	int at = 0;

	if (priority >= LOG_DEBUG && !log_verbose)
		return;
	if (log_journal)
		at = snprintf(line, sizeof(line), "<%d>", priority);
	else
		at = snprintf(line, sizeof(line), "pagerd: ");
	va_start(ap, fmt);
	vsnprintf(line + at, sizeof(line) - (size_t)at, fmt, ap);
	va_end(ap);
	/* One write a line: lines of several threads do not mix. */
	dprintf(STDERR_FILENO, "%s\n", line);
}
