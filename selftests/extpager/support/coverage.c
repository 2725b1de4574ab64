// SPDX-License-Identifier: GPL-2.0-only
/* Collects what KCOV has written down. */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcov.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "coverage.h"
#include "pager.h"

#define KCOV	"/sys/kernel/debug/kcov"
#define WORDS	16384		/* for places between two takes; what is beyond is lost */

/* How many places, and which. */
static __thread uint64_t *trace;

struct coverage *coverage_new(void)
{
	struct coverage *c = shared_memory(sizeof(*c));
	FILE *f = fopen("/sys/module/extpager/sections/.text", "r");

	if (c && (!f || fscanf(f, "%" SCNx64, &c->text) != 1))
		c->text = 0;
	if (f)
		fclose(f);
	return c;
}

bool coverage_possible(void)
{
	return !access(KCOV, F_OK);
}

/* The mapping keeps the file; a child has its parent's, and must get its own. */
void coverage_begin(void)
{
	int fd = open(KCOV, O_RDWR | O_CLOEXEC);

	trace = NULL;
	if (fd < 0)
		return;
	if (!ioctl(fd, KCOV_INIT_TRACE, WORDS)) {
		trace = mmap(NULL, WORDS * sizeof(*trace), PROT_READ | PROT_WRITE, MAP_SHARED,
			     fd, 0);
		if (trace == MAP_FAILED || ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC))
			trace = NULL;
	}
	close(fd);
}

void coverage_take(struct coverage *c)
{
	uint64_t i, at, nr = trace ? __atomic_load_n(trace, __ATOMIC_ACQUIRE) : 0;

	for (i = 1; i <= nr; i++) {
		at = trace[i] - c->text;
		if (at < COVERAGE_BYTES && !c->at[at] &&
		    !__atomic_exchange_n(&c->at[at], 1, __ATOMIC_RELAXED))
			__atomic_add_fetch(&c->reached, 1, __ATOMIC_RELAXED);
	}
	if (nr)
		__atomic_store_n(trace, 0, __ATOMIC_RELEASE);
}

void coverage_print(const struct coverage *c)
{
	const char *next = "[";
	unsigned int at;

	for (at = 0; at < COVERAGE_BYTES; at++)
		if (c->at[at]) {
			printf("%s%u", next, at);
			next = ",";
		}
	printf("%s]", c->reached ? "" : "[");
}
