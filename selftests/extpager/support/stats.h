/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters of targets, ports and queues, as netlink tells them. */
#ifndef SELFTEST_STATS_H
#define SELFTEST_STATS_H

#include <extpager.h>

#include "pager.h"

/* Counters are indexed by EXTPAGER_A_STATS_*. */
#define STATS EXTPAGER_A_STATS_LATENCY

/* All of @target's, or if that is NULL of the unnamed objects of @port. */
bool stats_get(const char *target, uint32_t port, uint64_t *stats);
/* A histogram of @target's, empty if there is none yet; false if it cannot be told. */
bool latency_get(const char *target, const char *request, const char *phase,
		 struct extpager_latency *latency);
/* The name of a counter, once some were told. */
const char *stat_name(unsigned int attribute);
/* False if there is no such port. */
bool port_info(uint32_t port, struct extpager_port_info *info);
/* How many ports and targets there are. */
unsigned int ports_and_targets(void);

#endif
