/* SPDX-License-Identifier: GPL-2.0-only */
/* What is found wrong with a set-up. */
#ifndef DOCTOR_H
#define DOCTOR_H

#include <stdbool.h>
#include <sys/types.h>

#include <extpager.h>

/**
 * enum finding_level - how bad it is
 * @PROBLEM: something does not work, or will not after the next start
 * @HINT: it works, but may not be what was meant
 */
enum finding_level { PROBLEM, HINT };

/** What is known of the machine; the checks of targets want to know as well. */
struct machine {
	struct extpager_ctl *ctl;	/* NULL: there is no module */
	pid_t pagerd;			/* 0: none runs; -1: one does, its pid is not told */
	bool privileged;
};

/** Tell what is wrong, by the slug @check, with @target (or NULL), and the mend. */
void finding(enum finding_level level, const char *check, const char *target, const char *mend,
	     const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* doctor-machine.c */
void check_machine(struct machine *m);
/* doctor-targets.c */
void check_targets(const struct machine *m);

#endif /* DOCTOR_H */
