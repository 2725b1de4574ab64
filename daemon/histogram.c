// SPDX-License-Identifier: GPL-2.0-only
#include "histogram.h"

#include <stdio.h>

const char *histogram_time(uint64_t ns, char *text)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double value = (double)ns;
	unsigned int unit = 0;

	while (value >= 999.5 && unit < 3) {
		value /= 1000;
		unit++;
	}
	snprintf(text, HISTOGRAM_TEXT, value < 9.95 && unit ? "%.1f %s" : "%.0f %s", value,
		 units[unit]);
	return text;
}

static uint64_t bound_ns(unsigned int i)
{
	return i ? 1000ULL << (i - 1) : 0;
}

const char *histogram_bound(unsigned int i, char *text)
{
	return i ? histogram_time(bound_ns(i), text) : "0";
}

const char *histogram_quantile(const struct extpager_latency *l, double part, char *text)
{
	uint64_t below = 0;
	unsigned int i;

	for (i = 0; i + 1 < l->nr; i++) {
		below += l->bucket[i];
		if ((double)below >= part * (double)l->count)
			return histogram_time(bound_ns(i + 1), text);
	}
	return "no bound";
}

void histogram_range(const struct extpager_latency *l, unsigned int *first, unsigned int *end)
{
	unsigned int i;

	*first = l->nr;
	*end = 0;
	for (i = 0; i < l->nr; i++) {
		if (!l->bucket[i])
			continue;
		if (i < *first)
			*first = i;
		*end = i + 1;
	}
}
