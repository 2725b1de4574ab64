// SPDX-License-Identifier: GPL-2.0-only
/*
 * What pagers and clients may have of the machine's memory: what their memory cgroups
 * have, and what is there to be had goes before what is somebody's own.
 */
/* vm: swap=256M kernels=6.1,6.12 timeout=300 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <extpager.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/stamper.h"
#include "support/worker.h"

#define NAME	"bounds"
#define BYTES	(128 * MIB)
#define CGROUP	"/sys/fs/cgroup/extpager-bounds"
#define LIMIT	(32 * MIB)
#define NOBODY	65534
#define UNPRIVILEGED "/sys/module/extpager/parameters/unprivileged_pagers"
/* Counts of a CPU's own are rough. */
#define SLACK	(64 * PAGE)
#define LONG	60000		/* ms: for 128 MiB through a small door */

static long cgroup_number(const char *file, const char *key)
{
	char path[128];

	snprintf(path, sizeof(path), CGROUP "/%s", file);
	return read_number(path, key);
}

static bool join_cgroup(void)
{
	return write_file(CGROUP "/cgroup.procs", "0");
}

FIXTURE(bounds)
{
	uint64_t available;		/* bytes of the machine that are to be had */
};

static uint64_t available(void)
{
	return read_number("/proc/meminfo", "MemAvailable") * 1024;
}

FIXTURE_SETUP(bounds)
{
	if (target_state(NAME))
		target_gone(NAME);
	mkdir(CGROUP, 0755);
	ASSERT_TRUE(write_file(CGROUP "/memory.max", "32M"));
	ASSERT_TRUE(write_file(CGROUP "/memory.swap.max", "max"));
	self->available = available();
}

FIXTURE_TEARDOWN(bounds)
{
	if (target_state(NAME))
		EXPECT_TRUE(target_gone(NAME));
	EXPECT_TRUE(WAIT_FOR(SOON, !rmdir(CGROUP)));
}

/* ---- pagers ---- */

/* A pager that pushes all of its object, again and again, whoever wants it. */
static int flood(void *arg)
{
	uint64_t *pushed = arg, object, at;
	struct extpager_event ev;
	struct pager p;
	uint32_t done;
	int i, ret;

	if (!join_cgroup() || pager_open(&p, 1, 0) || pager_attach(&p, NAME, &object, NULL) ||
	    !pager_expect(&p, EXTPAGER_EV_INIT, &ev, SOON) ||
	    pager_ready(&p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE))
		return 1;
	for (i = 0; i < 3; i++) {
		for (at = 0; at < BYTES; at += MIB) {
			ret = pager_push(&p, object, ev.generation, 1, at, MIB, &done);
			if (ret && ret != -EEXIST && ret != -ENOMEM)
				return 2;
			*pushed += done;
		}
	}
	return 0;
}

TEST_F_TIMEOUT(bounds, a_pager_that_pushes_without_end_pays_for_it, 150)
{
	uint64_t *pushed = shared_memory(PAGE);
	struct client c;
	int fd;

	BEHAVIOURS(93);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES }));
	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	c = client_start(flood, pushed);
	EXPECT_EQ(0, client_result(&c, LONG));
	/* It gets on, its own pages making room for each other. */
	EXPECT_LT(2 * BYTES, *pushed);
	EXPECT_GE((long)LIMIT, cgroup_number("memory.current", NULL));
	EXPECT_LE((long)(LIMIT / 2), cgroup_number("memory.stat", "file"));
	EXPECT_EQ(0, cgroup_number("memory.events", "oom_kill"));
	EXPECT_LE(self->available, available() + LIMIT + 16 * MIB);
	close(fd);
	EXPECT_TRUE(target_gone(NAME));
	EXPECT_TRUE(WAIT_FOR(SOON, cgroup_number("memory.stat", "file") < (long)MIB));
	munmap(pushed, PAGE);
}

/* What one who is let has as much of as there is to be had, and how often he got it. */
struct hoard {
	int (*have)(struct pager *p);
	unsigned int most, had;
};

/* A port whose rings are a MiB. */
static int have_rings(struct pager *p)
{
	return pager_open(p, 8, 1024);
}

static int have_object(struct pager *p)
{
	uint64_t object;
	int fd = pager_create(p, PAGE, 0, &object);

	return fd < 0 ? fd : close(fd);
}

static int hoard_all(void *arg)
{
	struct hoard *h = arg;
	struct pager p;

	if (!join_cgroup() || setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY) ||
	    pager_open(&p, 1, 16))
		return 1;
	for (h->had = 0; h->had < h->most && !h->have(&p); h->had++)
		;
	return 0;
}

/* He is refused, or killed; nobody else is, and with him goes all that he had. */
static void hoards_at_his_own_cost(struct __test_metadata *_metadata,
				   int (*have)(struct pager *p), unsigned int most)
{
	struct hoard *h = shared_memory(sizeof(*h));
	struct client c;
	int result;

	ASSERT_TRUE(write_file(CGROUP "/memory.swap.max", "0"));
	ASSERT_TRUE(write_file(UNPRIVILEGED, "1"));
	*h = (struct hoard){ .have = have, .most = most };
	c = client_start(hoard_all, h);
	result = client_result(&c, LONG);
	EXPECT_TRUE(write_file(UNPRIVILEGED, "0"));
	EXPECT_TRUE(result == 0 || result == -SIGKILL) {
		TH_LOG("%d", result);
	}
	EXPECT_LT(1, h->had);
	EXPECT_GT(most, h->had);
	EXPECT_TRUE(WAIT_FOR(SOON, cgroup_number("memory.current", NULL) < (long)(4 * MIB)));
	munmap(h, sizeof(*h));
}

/* A request a page, and none is answered: so many are kept for page-outs. */
#define REQUESTS 32768
#define RESERVE	 16

/* One more page of an object of his own that he is asked for, and keeps waiting. */
static int have_request(struct pager *p)
{
	static uint64_t next;
	static int fd = -1;
	struct extpager_event ev;

	if (fd < 0) {
		fd = pager_create(p, REQUESTS * PAGE, 0, NULL);
		if (fd < 0 || mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ||
		    !object_ready(p, NULL))
			return -1;
	}
	return prefetch(fd, next++, 1) || !pager_expect(p, EXTPAGER_EV_DATA_REQUEST, &ev, 0);
}

/* What a stranger may have, in three parts: slots of rings, which are pinned, ... */
TEST_F_TIMEOUT(bounds, a_stranger_has_rings_at_his_own_cost, 150)
{
	PARTIAL(111);
	hoards_at_his_own_cost(_metadata, have_rings, 2 * LIMIT / MIB);
}

/* ... objects (of a port no more than objects.c tells), ... */
TEST_F_TIMEOUT(bounds, a_stranger_has_objects_at_his_own_cost, 150)
{
	PARTIAL(111);
	hoards_at_his_own_cost(_metadata, have_object, 60000);
}

/* ... and requests in flight, of a target no more than the next test tells: the last part. */
TEST_F_TIMEOUT(bounds, a_stranger_has_requests_in_flight_at_his_own_cost, 150)
{
	BEHAVIOURS(111);
	hoards_at_his_own_cost(_metadata, have_request, REQUESTS - RESERVE);
}

static unsigned int asked(void)
{
	struct extpager_target t = { .size = sizeof(t) };
	struct extpager_ctl *c;

	if (extpager_ctl_open(&c))
		return 0;
	extpager_target_get(c, NAME, &t);
	extpager_ctl_close(c);
	return t.pending;
}

static int write_and_sync(void *fd)
{
	struct io io = { *(int *)fd, 0, PAGE, 2 };

	return write_pages(&io) || fsync(io.fd);
}

TEST_F_TIMEOUT(bounds, page_ins_are_bounded_and_leave_page_outs_their_requests, 150)
{
	struct extpager_event ev;
	struct client c;
	uint64_t object, i;
	struct pager p;
	int fd;

	PARTIAL(111);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){
		.bytes = (REQUESTS + 100) * PAGE, .page_in_ms = 86400000 }));
	ASSERT_EQ(0, pager_open(&p, 1, 16));
	ASSERT_EQ(0, pager_attach(&p, NAME, &object, NULL));
	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(object_ready(&p, NULL));
	for (i = 1; i < REQUESTS + 100; i++)
		ASSERT_EQ(0, prefetch(fd, i, 1));
	EXPECT_EQ(REQUESTS - RESERVE, asked());
	c = client_start(write_and_sync, &fd);
	/* What it is asked for is in the ring before. */
	do {
		ASSERT_TRUE(pager_event(&p, &ev, SOON));
		if (ev.op == EXTPAGER_EV_DATA_RETURN)
			ASSERT_EQ(0, pager_return_done(&p, &ev, 0));
	} while (ev.op != EXTPAGER_EV_SYNC);
	ASSERT_EQ(0, pager_sync_done(&p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
	close(fd);
	pager_close(&p);
}

#define IN_HAND 64		/* returns at once */

/* Every second page, so that each is a return of its own. */
static int write_scattered(void *arg)
{
	struct io io = { .fd = *(int *)arg, .length = PAGE, .seed = 2 };

	for (io.offset = 0; io.offset < 6 * IN_HAND * PAGE; io.offset += 2 * PAGE)
		if (write_pages(&io))
			return 1;
	return fsync(io.fd);
}

/* The ring has room for all of them, and the target's quota, too. */
TEST_F(bounds, a_slow_pager_has_so_many_returns_in_hand_and_no_more)
{
	struct extpager_event hand[2 * IN_HAND], ev;
	unsigned int i, nr, done;
	struct client c;
	uint64_t object;
	struct pager p;
	int fd;

	BEHAVIOURS(92);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES }));
	ASSERT_EQ(0, pager_open(&p, 1, 1024));
	ASSERT_EQ(0, pager_attach(&p, NAME, &object, NULL));
	fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(object_ready(&p, NULL));
	c = client_start(write_scattered, &fd);
	/* What comes is kept until no more comes; there is always more to be had. */
	for (done = 0; done < 3 * IN_HAND; done += nr) {
		for (nr = 0; nr < ARRAY_SIZE(hand); nr++) {
			bool comes = !nr || (!done && nr < IN_HAND);

			if (!pager_event(&p, &hand[nr], comes ? SOON : QUIET))
				break;
			ASSERT_EQ(EXTPAGER_EV_DATA_RETURN, hand[nr].op);
		}
		ASSERT_LT(0, nr);
		EXPECT_GE(IN_HAND, nr);
		EXPECT_TRUE(done || nr == IN_HAND);
		for (i = 0; i < nr; i++)
			ASSERT_EQ(0, pager_return_done(&p, &hand[i], 0));
	}
	ASSERT_TRUE(pager_expect(&p, EXTPAGER_EV_SYNC, &ev, SOON));
	ASSERT_EQ(0, pager_sync_done(&p, &ev, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_EQ(3 * IN_HAND, target_stat(NAME, EXTPAGER_A_STATS_DATA_RETURNS));
	close(fd);
	pager_close(&p);
}

/* ---- clients ---- */

FIXTURE(served)
{
	struct stamper s;
	int fd;
	struct worker w;
};

FIXTURE_SETUP(served)
{
	if (target_state(NAME))
		target_gone(NAME);
	mkdir(CGROUP, 0755);
	ASSERT_TRUE(write_file(CGROUP "/memory.max", "32M"));
	ASSERT_TRUE(write_file(CGROUP "/memory.swap.max", "max"));
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = BYTES,
								.no_spill = true }));
	ASSERT_TRUE(stamper_start(&self->s, NAME, BYTES));
	self->fd = target_open(NAME, O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_TRUE(worker_start(&self->w, self->fd, BYTES));
}

FIXTURE_TEARDOWN(served)
{
	worker_stop(&self->w);
	close(self->fd);
	stamper_stop(&self->s);
	EXPECT_TRUE(target_gone(NAME));
	EXPECT_TRUE(WAIT_FOR(SOON, !rmdir(CGROUP)));
}

static long do_join(struct order *o)
{
	return join_cgroup() ? 0 : -errno;
}

/* MiB by MiB through the mapping; how many pages are wrong. */
static long do_look_through(struct order *o)
{
	struct order part = *o;
	long wrong = 0;

	part.length = MIB;
	madvise(o->map, o->bytes, MADV_SEQUENTIAL);
	for (; part.offset < o->offset + o->length; part.offset += MIB)
		wrong += do_check(&part);
	return wrong;
}

static long look_through(struct worker *w)
{
	worker_begin(w, do_look_through, 0, BYTES, 0);
	return worker_end(w, LONG);
}

/* What it reads is four times what it may have, what it writes may not leave. */
TEST_F_TIMEOUT(served, a_client_pays_for_what_it_touches_and_dirties_a_quarter_of_it, 150)
{
	struct worker *w = &self->w;

	BEHAVIOURS(132);
	PARTIAL(104);
	ASSERT_EQ(0, worker_do(w, do_join, 0, 0, 0));
	EXPECT_EQ(0, look_through(w));
	EXPECT_EQ(BYTES / PAGE, target_stat(NAME, EXTPAGER_A_STATS_PAGES_REQUESTED));
	EXPECT_GE((long)LIMIT, cgroup_number("memory.current", NULL));
	EXPECT_LE((long)(LIMIT / 2), cgroup_number("memory.stat", "file"));
	/* It was charged for each of them, and what was clean made room. */
	EXPECT_LE((long)((BYTES - LIMIT) / PAGE), cgroup_number("memory.stat", "pgsteal"));
	stamper_freeze(&self->s);
	worker_begin(w, do_write, 0, BYTES / 2, 1);
	EXPECT_TRUE(WAIT_FOR(SOON, target_stat(NAME, EXTPAGER_A_STATS_QUOTA_WAITS) > 0));
	EXPECT_GE(LIMIT / 4 + SLACK, target_dirty(NAME));
	stamper_thaw(&self->s);
	EXPECT_EQ((long)(BYTES / 2), worker_end(w, LONG));
	EXPECT_EQ(0, worker_do(w, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, stamper_wrong(&self->s, 0, BYTES / 2, 1));
	EXPECT_EQ(0, cgroup_number("memory.events", "oom_kill"));
}

/* How long is waited for what must not happen: that a writer gets through, or is killed. */
#define NEVER_MS 3000
#define A_DAY	86400000	/* ms: no deadline ends a wait */

/* Page by page, from a buffer that is no larger; 0 if all went. */
static long do_write_on(struct order *o)
{
	struct io io = { o->fd, o->offset, o->length, o->seed };

	return write_pages(&io);
}

/* So much of its own, in place of the cgroup's limit. */
static long do_have_too_much(struct order *o)
{
	uint8_t *memory = mmap(NULL, 2 * LIMIT, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	memset(memory, 1, 2 * LIMIT);
	return 0;
}

/*
 * The quota cannot be disabled: whatever is set, it is at most a quarter of the writer's
 * cgroup. So the dirty pages of one target kill nobody; what is his own does.
 */
TEST_F_TIMEOUT(served, by_the_largest_quota_a_writer_is_paused_and_killed_for_his_own_memory, 150)
{
	struct worker *w = &self->w, other;

	BEHAVIOURS(104);
	ASSERT_TRUE(write_file(CGROUP "/memory.swap.max", "0"));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){
		.no_spill = true, .quota = INT64_MAX, .return_ms = A_DAY }));
	ASSERT_TRUE(worker_start(&other, self->fd, BYTES));
	ASSERT_EQ(0, worker_do(w, do_join, 0, 0, 0));
	stamper_freeze(&self->s);
	worker_begin(w, do_write_on, 0, 2 * LIMIT, 1);
	EXPECT_TRUE(WAIT_FOR(SOON, target_stat(NAME, EXTPAGER_A_STATS_QUOTA_WAITS) > 0));
	EXPECT_FALSE(WAIT_FOR(NEVER_MS, !worker_busy(w)));
	EXPECT_GE(LIMIT / 4 + SLACK, target_dirty(NAME));
	EXPECT_EQ(0, cgroup_number("memory.events", "oom_kill"));
	stamper_thaw(&self->s);
	EXPECT_EQ(0, worker_end(w, LONG));
	EXPECT_EQ(0, worker_do(w, do_fsync, 0, 0, 0));

	stamper_freeze(&self->s);
	EXPECT_EQ(0, worker_do(w, do_write_on, 0, LIMIT / 8, 2));
	worker_begin(w, do_have_too_much, 0, 0, 0);
	EXPECT_EQ(-SIGKILL, client_result(&w->c, LONG));
	EXPECT_EQ(1, cgroup_number("memory.events", "oom_kill"));
	/* The pager lives, and gets all that he has written. */
	stamper_thaw(&self->s);
	EXPECT_EQ(0, worker_do(&other, do_fsync, 0, 0, 0));
	EXPECT_EQ(0, stamper_wrong(&self->s, 0, LIMIT / 8, 2));
	EXPECT_EQ(0, stamper_wrong(&self->s, LIMIT / 8, 2 * LIMIT - LIMIT / 8, 1));
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_ORPHANED));
	worker_stop(&other);
}

#define TARGETS	6
#define SHARE	(LIMIT / 4 - MIB)	/* dirty pages of a target for which no writer waits */

static int write_to_all(void *arg)
{
	struct io io = { .length = SHARE, .seed = 3 };
	int *fd = arg;
	unsigned int i;

	if (!join_cgroup())
		return 1;
	for (i = 0; i < TARGETS; i++) {
		io.fd = fd[i];
		if (write_pages(&io))
			return 2;
	}
	return 0;
}

static int sync_all(void *arg)
{
	int *fd = arg;
	unsigned int i;

	for (i = 0; i < TARGETS; i++)
		if (fsync(fd[i]))
			return 1;
	return 0;
}

/* Each target has a quota of its own: who writes to many of them has as good as none. */
TEST_F_TIMEOUT(bounds, who_dirties_pages_of_many_targets_is_killed_and_no_pager, 150)
{
	static struct stamper s[TARGETS];
	char name[TARGETS][16];
	uint64_t reached = 0;
	int fd[TARGETS];
	struct client c;
	unsigned int i;

	BEHAVIOURS(104);
	ASSERT_TRUE(write_file(CGROUP "/memory.swap.max", "0"));
	for (i = 0; i < TARGETS; i++) {
		snprintf(name[i], sizeof(name[i]), NAME "-%u", i);
		if (target_state(name[i]))
			target_gone(name[i]);
		ASSERT_EQ(0, target_add(name[i], &(struct target_options){
			.bytes = SHARE, .no_spill = true, .return_ms = A_DAY }));
		ASSERT_TRUE(stamper_start(&s[i], name[i], SHARE));
		fd[i] = target_open(name[i], O_RDWR);
		ASSERT_LE(0, fd[i]);
		stamper_freeze(&s[i]);
	}
	c = client_start(write_to_all, fd);
	EXPECT_EQ(-SIGKILL, client_result(&c, LONG));
	EXPECT_EQ(1, cgroup_number("memory.events", "oom_kill"));
	for (i = 0; i < TARGETS; i++) {
		EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(name[i]));
		reached += target_dirty(name[i]);
		stamper_thaw(&s[i]);
	}
	EXPECT_LE(LIMIT / 2, reached);
	c = client_start(sync_all, fd);
	EXPECT_EQ(0, client_result(&c, LONG));
	for (i = 0; i < TARGETS; i++) {
		uint64_t stored = s[i].pages - stamper_wrong(&s[i], 0, SHARE, 3);

		reached -= stored * PAGE;
		close(fd[i]);
		stamper_stop(&s[i]);
		EXPECT_TRUE(target_gone(name[i]));
	}
	EXPECT_EQ(0, reached);
}

#define OWN	(12 * MIB)	/* of memory that a client has for itself */

static uint8_t *own;

static long do_have(struct order *o)
{
	uint64_t at;

	own = mmap(NULL, OWN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (at = 0; own != MAP_FAILED && at < OWN; at += PAGE)
		own[at] = at / PAGE;
	return own == MAP_FAILED;
}

static bool swappiness(long value)
{
	return write_number("/proc/sys/vm/swappiness", value);
}

/* While there are clean pages of an object to be had, nobody's memory goes to swap. */
TEST_F_TIMEOUT(served, without_swappiness_clean_pages_go_and_no_others, 150)
{
	long usual = read_number("/proc/sys/vm/swappiness", NULL);
	struct worker *w = &self->w;

	BEHAVIOURS(103);
	ASSERT_LT(0, read_number("/proc/meminfo", "SwapFree"));
	ASSERT_TRUE(swappiness(0));
	ASSERT_EQ(0, worker_do(w, do_join, 0, 0, 0));
	EXPECT_EQ(0, worker_do(w, do_have, 0, 0, 0));
	EXPECT_EQ(0, look_through(w));
	EXPECT_EQ(0, look_through(w));
	EXPECT_EQ(0, cgroup_number("memory.swap.current", NULL));
	EXPECT_LE((long)OWN, cgroup_number("memory.stat", "anon"));
	EXPECT_LE((long)((BYTES - LIMIT) / PAGE), cgroup_number("memory.stat", "pgsteal"));
	/* It could have gone there. */
	EXPECT_TRUE(swappiness(usual));
	write_file(CGROUP "/memory.reclaim", "28M");
	EXPECT_LT(0, cgroup_number("memory.swap.current", NULL));
	EXPECT_EQ(0, cgroup_number("memory.events", "oom_kill"));
}

/* ---- a store that is slow ---- */

#define QUOTA	MIB
#define WRITTEN	(10 * MIB)
#define SLOW_MS	20		/* up to so long for each answer */

/* Shared with the writer, and with who counts pauses of a ms: the store's are such, too. */
struct pace {
	int fd;
	volatile uint64_t pauses;
	uint64_t longest, all_ms;	/* pauses from one page to the next; all pages' time */
};

/* A clock that stands still when the machine does, and is as slow as the store. */
static int count_pauses(void *arg)
{
	struct pace *pace = arg;

	do
		test_pause();
	while (++pace->pauses);
	return 0;
}

static int write_by_mapping(void *arg)
{
	struct pace *pace = arg;
	uint8_t *map = mmap(NULL, WRITTEN, PROT_READ | PROT_WRITE, MAP_SHARED, pace->fd, 0);
	uint64_t i, begin = now_ms(), last = pace->pauses, now;

	if (map == MAP_FAILED)
		return 1;
	for (i = 0; i < WRITTEN / PAGE; i++) {
		fill_page(map + i * PAGE, 2, i);
		now = pace->pauses;
		if (now - last > pace->longest)
			pace->longest = now - last;
		last = now;
	}
	pace->all_ms = now_ms() - begin;
	return msync(map, WRITTEN, MS_SYNC) ? 2 : 0;
}

/* He goes at his store's pace, page by page, and not by leaps between long waits. */
TEST_F_TIMEOUT(bounds, a_mapped_writer_is_slowed_to_his_stores_pace, 150)
{
	struct pace *pace = shared_memory(sizeof(*pace));
	struct client c, counter;
	struct server s;
	uint64_t i;

	ASSERT_EQ(0, target_add(NAME, &(struct target_options){ .bytes = WRITTEN,
								.quota = QUOTA }));
	ASSERT_TRUE(server_start(&s, NAME, WRITTEN, 1));
	pace->fd = target_open(NAME, O_RDWR);
	ASSERT_LE(0, pace->fd);
	*s.slow = SLOW_MS;
	counter = client_start(count_pauses, pace);
	c = client_start(write_by_mapping, pace);
	EXPECT_EQ(0, client_result(&c, LONG));
	printf("# 10 MiB in %lu ms, %lu pauses, %lu returns, the longest wait %lu pauses\n",
	       pace->all_ms, pace->pauses, s.stats->returns, pace->longest);
	client_kill(&counter);
	/* Page-ins and returns, each as slow as it may be, and as long again. */
	EXPECT_GT(2 * (s.stats->requests + s.stats->returns) * SLOW_MS + 5000, pace->all_ms);
	/* On a busy machine, where a pause takes nearly 2 ms, a second; else less. */
	EXPECT_GT(530, pace->longest);
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
	for (i = 0; i < WRITTEN / PAGE; i++)
		ASSERT_TRUE(page_is(s.store + i * PAGE, 2, i));
	close(pace->fd);
	server_stop(&s);
	munmap(pace, sizeof(*pace));
}

TEST_HARNESS_MAIN
