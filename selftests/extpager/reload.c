// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module comes and goes, with traffic in between. What it leaves behind is little
 * each time: it is looked for by kmemleak where there is one, else by the kernel's sums.
 */
/* vm: timeout=400 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"

#define NAME	"reload"
#define PAGES	16UL
#define BYTES	(PAGES * PAGE)
#define SEED	1
/* What the kernel's sums are off by, and what a round may be: KiB, bytes. */
#define ROUGH	1024
#define A_ROUND	512

static bool load(void)
{
	int fd = open("/tests/extpager.ko", O_RDONLY | O_CLOEXEC);
	bool ok = !syscall(SYS_finit_module, fd, "", 0);

	close(fd);
	return ok;
}

/*
 * What a pager or a client has left is still being torn down. That waits for grace periods,
 * which on a slow kernel may take as long as its watchdog lets them.
 */
static bool unload(void)
{
	return WAIT_FOR(3 * SOON, !syscall(SYS_delete_module, "extpager", O_NONBLOCK));
}

/* What has kept it: how many references, and whose super blocks are still there. */
static const char *holders(void)
{
	static char text[256];
	FILE *f = fopen("/sys/module/extpager/refcnt", "r");
	DIR *d = opendir("/sys/class/bdi");
	struct dirent *e;

	if (!f || !fgets(text, 16, f))
		strcpy(text, "?");
	text[strcspn(text, "\n")] = 0;
	while (d && (e = readdir(d)))
		if (!strncmp(e->d_name, "extpager-", 9) &&
		    strlen(text) + strlen(e->d_name) + 2 < sizeof(text))
			strcat(strcat(text, " "), e->d_name);
	if (f)
		fclose(f);
	if (d)
		closedir(d);
	return text;
}

/* A client maps, reads, writes, syncs, punches; its own process, for the pager is another. */
static int use(void *arg)
{
	int fd = target_open(NAME, O_RDWR);
	struct io io = { fd, 2 * PAGE, 4 * PAGE, 7 };
	uint8_t *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd < 0 || map == MAP_FAILED || !page_is(map, SEED, 0) || write_pages(&io))
		return 1;
	fill_page(map + 9 * PAGE, 8, 9);
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 12 * PAGE, PAGE) || fsync(fd))
		return 2;
	return 0;
}

static bool traffic(void)
{
	const struct target_options o = { .bytes = BYTES };
	struct server s;
	struct client c;
	bool ok;

	if (target_add(NAME, &o) || !server_start(&s, NAME, BYTES, SEED))
		return false;
	c = client_start(use, NULL);
	ok = client_result(&c, SOON) == 0 && page_is(s.store + 5 * PAGE, 7, 5) &&
	     page_is(s.store + 9 * PAGE, 8, 9) && page_is_zero(s.store + 12 * PAGE);
	server_stop(&s);
	return target_gone(NAME) && ok;
}

/* KiB of the kernel's own that nobody can take back. */
static long kernel_kib(void)
{
	return read_number("/proc/meminfo", "SUnreclaim") + read_number("/proc/meminfo", "Percpu") +
	       read_number("/proc/meminfo", "VmallocUsed") +
	       read_number("/proc/meminfo", "KernelStack");
}

/* Is a cache of objects of ours still there? */
static bool cache_left(void)
{
	FILE *f = fopen("/proc/slabinfo", "r");
	char line[256];
	bool left = false;

	while (f && fgets(line, sizeof(line), f))
		left |= !strncmp(line, "extpager", 8);
	if (f)
		fclose(f);
	return left;
}

FIXTURE(reload)
{
};

FIXTURE_SETUP(reload)
{
	ASSERT_TRUE(unload());
}

FIXTURE_TEARDOWN(reload)
{
	if (access("/sys/module/extpager", F_OK))
		EXPECT_TRUE(load());
}

TEST_F_TIMEOUT(reload, loaded_and_unloaded_with_traffic_in_between_it_leaves_nothing, 3000)
{
	unsigned int i, whole = on_debug_kernel() ? 50 : 1000, rounds = test_rounds(1000, 50, 50);
	long before = 0;

	BEHAVIOURS_IF(rounds >= whole, 134);
	for (i = 0; i < rounds; i++) {
		ASSERT_TRUE(load());
		EXPECT_TRUE(traffic());
		ASSERT_TRUE(unload()) TH_LOG("references: %s", holders());
		EXPECT_FALSE(cache_left());
		/* The first rounds make what stays, as names in sysfs and files of workers. */
		if (i == rounds / 10)
			before = kernel_kib();
	}
	/* What KASAN keeps of freed memory, and kmemleak of all, is more than that. */
	if (!on_debug_kernel())
		EXPECT_TRUE(WAIT_FOR(SOON, kernel_kib() - before <
				     ROUGH + (long)(rounds * A_ROUND / 1024)));
	printf("# %u rounds: from %ld to %ld KiB\n", rounds, before, kernel_kib());
}

TEST_HARNESS_MAIN
