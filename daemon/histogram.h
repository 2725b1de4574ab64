/* SPDX-License-Identifier: GPL-2.0-only */
/* Histograms of latencies as people read them. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

#include <extpager.h>

#define HISTOGRAM_TEXT	16

/** "830 ns", "4.1 us", "16 ms", "67 s": two digits that matter. Return: @text. */
const char *histogram_time(uint64_t ns, char *text);
/** Where bucket @i begins. Return: @text. */
const char *histogram_bound(unsigned int i, char *text);
/** What @part of the times are below, as far as buckets tell. Return: @text. */
const char *histogram_quantile(const struct extpager_latency *l, double part, char *text);
/** The buckets in which something is: from @first, below @end. */
void histogram_range(const struct extpager_latency *l, unsigned int *first, unsigned int *end);

#endif /* HISTOGRAM_H */
