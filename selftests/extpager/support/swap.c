// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/types.h>
#include <unistd.h>

#include "object.h"
#include "swap.h"

#define CONFIG	"/sys/kernel/config"
#define NODE	CONFIG "/nullb/nullb0"

void swap_header(uint8_t *page, uint64_t bytes)
{
	uint32_t *info = (uint32_t *)(page + 1024);

	memset(page, 0, PAGE);
	info[0] = 1;
	info[1] = bytes / PAGE - 1;
	memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
}

/* A number of the device's, to be written before it has power. */
static bool set_up(const char *what, unsigned long n)
{
	char path[64];

	snprintf(path, sizeof(path), NODE "/%s", what);
	return write_number(path, n);
}

bool flaky_make(uint64_t bytes, unsigned int delay_ms)
{

	if (system("modprobe null_blk nr_devices=0"))
		return false;
	mount("none", CONFIG, "configfs", 0, NULL);
	return !mkdir(NODE, 0755) && set_up("size", bytes / MIB) && set_up("memory_backed", 1) &&
	       /*
		* A timer ends each request, or it ends before it was begun; the default
		* of the depth, or as many are taken as there may be.
		*/
	       set_up("irqmode", delay_ms ? 2 : 0) &&
	       set_up("completion_nsec", delay_ms * 1000000UL) &&
	       set_up("hw_queue_depth", delay_ms ? 4096 : 64) &&
	       set_up("power", 1);
}

/* The kernel's table has entries of so many sectors; 6.1 missorts longer ranges. */
#define PART	512

bool flaky_fail(uint64_t bytes, bool fails)
{
	uint64_t sector;
	char range[64];

	for (sector = 0; sector < bytes / 512; sector += PART) {
		snprintf(range, sizeof(range), "%c%llu-%llu", fails ? '+' : '-',
			 (unsigned long long)sector, (unsigned long long)sector + PART - 1);
		if (!write_file(NODE "/badblocks", range))
			return false;
	}
	return true;
}

bool flaky_page_fails(uint64_t index)
{
	char range[64];

	snprintf(range, sizeof(range), "+%llu-%llu", (unsigned long long)index * PAGE / 512,
		 (unsigned long long)(index + 1) * PAGE / 512 - 1);
	return write_file(NODE "/badblocks", range);
}

bool flaky_remove(void)
{
	return !rmdir(NODE);
}

bool flaky_swap_on(uint64_t bytes, unsigned int delay_ms)
{
	static uint8_t page[PAGE] __attribute__((aligned(PAGE)));
	int fd;

	if (!flaky_make(bytes, delay_ms))
		return false;
	fd = open(FLAKY, O_WRONLY | O_SYNC);
	swap_header(page, bytes);
	return pwrite(fd, page, PAGE, 0) == PAGE && !close(fd) &&
	       !swapon(FLAKY, SWAP_FLAG_PREFER | 100);
}
