// SPDX-License-Identifier: GPL-2.0-only
/* vm: mem=512M swap=256M timeout=400 */
/*
 * Clients do all they can to an object while its pager is killed, stopped, slowed
 * and replaced, they themselves are killed, and memory is squeezed; some pagers delegate
 * parts of it, and take them back. A judge, which never touches the object, looks at the
 * pager's store all the time.
 *
 * Every process takes its choices from a seed, which is printed; how they are
 * scheduled nobody can repeat. EXTPAGER_TORTURE_SECONDS says how long; `make torture`
 * sets it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/stamp.h"
#include "support/torment.h"
#include "support/ways.h"

#define NAME		"torture"
#define CGROUP		"/sys/fs/cgroup/extpager-torture"
#define READERS		2
#define CLIENTS		(WRITERS + READERS)
#define JUDGE		CLIENTS
#define DEADLINE	1000		/* ms; page-in, return and sync */
#define STUCK		45000		/* ms that no deed may take */
#define PROGRESS	5000		/* ms */

struct counts {
	unsigned int kills, stops, slow_spells, replacements, take_overs, policies, squeezes,
		     hogs, drops, compactions, syncs, client_kills, lenders;
	uint64_t most_dirty, most_spilled;
};

struct torturer {
	struct server server;
	struct torment *t;
	struct tormented *client;	/* CLIENTS */
	struct client process[CLIENTS], judge, errand;
	uint64_t beats[CLIENTS], beat_ms[CLIENTS];
	uint64_t random, salt;
	unsigned int turns;		/* acts so far */
	uint64_t begin, told;
	int port;			/* a port's fd that servers take over from each other */
	int device;			/* that has the store */
	struct counts n;
};

static uint64_t pick(struct torturer *s, uint64_t n)
{
	return test_random(&s->random) % n;
}

static void pause_ms(unsigned int ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

static struct model *model(struct torturer *s)
{
	return s->t->model;
}

/* ---- the judge ---- */

/*
 * The store, a page at a time: what is synced is there, and would survive power loss; and
 * nothing that was never written. What the kernel itself has made to survive it cannot see.
 */
static int judge(void *arg)
{
	struct torturer *s = arg;
	struct model *m = model(s);
	uint32_t least[PAGE_CELLS];
	unsigned int cell;

	/* It has time; the pager has not. */
	setpriority(PRIO_PROCESS, 0, 19);
	for (;;) {
		for (cell = 0; cell < CELLS; cell += PAGE_CELLS) {
			if (__atomic_load_n(&s->t->stop, __ATOMIC_SEQ_CST) || model_failed(m))
				return model_failed(m);
			model_synced(m, least, cell, PAGE_CELLS);
			if ((!*s->server.behind &&
			     !cells_right(m, s->server.platter + cell * CELL, cell, PAGE_CELLS,
					  least, "on the platter", JUDGE)) ||
			    !cells_right(m, s->server.store + cell * CELL, cell, PAGE_CELLS,
					 least, "in the store", JUDGE))
				return 1;
			if (cell % 64 == 0)
				test_pause();
		}
	}
}

/* ---- clients come and go ---- */

static void client_begins(struct torturer *s, unsigned int i)
{
	s->client[i] = (struct tormented){
		.t = s->t, .number = i, .random = test_seed(++s->salt),
	};
	s->beats[i] = 0;
	s->beat_ms[i] = now_ms();
	s->process[i] = client_start(torment_client, &s->client[i]);
}

static bool stuck(struct torturer *s, unsigned int i)
{
	char command[64];

	if (model_failed(model(s)))
		return true;
	printf("# FIRST DIFFERENCE: client %u has not come back from \"%s\" for %u s\n", i,
	       deed_names[s->client[i].deed], STUCK / 1000);
	fflush(stdout);
	snprintf(command, sizeof(command), "sed 's/^/# /' /proc/%d/task/*/stack",
		 s->process[i].pid);
	if (system(command))
		printf("# its stack cannot be told\n");
	return true;
}

/* Is one of them dead that should live, or stuck? */
static bool client_trouble(struct torturer *s)
{
	unsigned int i;

	for (i = 0; i < CLIENTS; i++) {
		uint64_t beats = __atomic_load_n(&s->client[i].beats, __ATOMIC_SEQ_CST);
		int result = client_result(&s->process[i], 0);

		if (result != CLIENT_RUNNING) {
			printf("# client %u ended with %d in \"%s\"\n", i, result,
			       deed_names[s->client[i].deed]);
			fflush(stdout);
			return true;
		}
		if (beats != s->beats[i]) {
			s->beats[i] = beats;
			s->beat_ms[i] = now_ms();
		} else if (now_ms() - s->beat_ms[i] > STUCK) {
			return stuck(s, i);
		}
	}
	return model_failed(model(s));
}

/* ---- what is done to the pager ---- */

/* Half of them delegate parts of the store. */
static void choose_device(struct torturer *s)
{
	s->server.device = pick(s, 2) ? s->device : 0;
	s->n.lenders += s->server.device != 0;
}

/* Now and then on the same port as before, which others may hold. */
static bool pager_begins(struct torturer *s)
{
	choose_device(s);
	s->server.port = pick(s, 3) ? 0 : s->port;
	s->n.take_overs += s->server.port != 0;
	if (!server_restart(&s->server, NAME))
		return false;
	model_event(model(s), PAGER_STARTED, 0);
	return true;
}

static bool kill_pager(struct torturer *s)
{
	server_kill(&s->server);
	model_event(model(s), PAGER_KILLED, 0);
	s->n.kills++;
	if (!pick(s, 4))
		pause_ms(pick(s, 500));
	return pager_begins(s);
}

/* Shorter than the deadlines, or longer; some of them die of it. */
static bool stop_pager(struct torturer *s)
{
	kill(s->server.pid, SIGSTOP);
	model_event(model(s), PAGER_STOPPED, 0);
	s->n.stops++;
	pause_ms(pick(s, pick(s, 4) ? DEADLINE / 8 : 2 * DEADLINE));
	if (!pick(s, 4))
		return kill_pager(s);
	kill(s->server.pid, SIGCONT);
	model_event(model(s), PAGER_CONTINUED, 0);
	return true;
}

static bool slow_pager(struct torturer *s)
{
	model_event(model(s), PAGER_SLOW, 0);
	s->n.slow_spells++;
	*s->server.slow = 2 + pick(s, 30);
	pause_ms(pick(s, DEADLINE / 2));
	if (!pick(s, 4) && !kill_pager(s))
		return false;
	*s->server.slow = 0;
	return true;
}

static bool replace_pager(struct torturer *s)
{
	s->n.replacements++;
	choose_device(s);
	if (!server_replace(&s->server, NAME))
		return false;
	model_event(model(s), PAGER_REPLACED, 0);
	return true;
}

/* What becomes of dirty pages when the next pager is lost. */
static bool change_policy(struct torturer *s)
{
	struct target_options o = { .policy = pick(s, 2) ? "spill" : "hold" };

	model_event(model(s), POLICY_CHANGED, 0);
	s->n.policies++;
	return !target_set(NAME, &o);
}

/* ---- what is done to everybody ---- */

static bool kill_client(struct torturer *s)
{
	unsigned int i = pick(s, CLIENTS);

	client_kill(&s->process[i]);
	model_event(model(s), CLIENT_KILLED, i);
	s->n.client_kills++;
	client_begins(s, i);
	return true;
}

static bool squeeze(struct torturer *s)
{
	model_event(model(s), SQUEEZED, 0);
	s->n.squeezes++;
	write_file(CGROUP "/memory.high", pick(s, 2) ? "4M" : "8M");
	pause_ms(pick(s, 500));
	write_file(CGROUP "/memory.high", "max");
	return true;
}

/* More than there is, for a second; should somebody have to die of it, it is this one. */
static void hog_memory(void)
{
	size_t length = (read_number("/proc/meminfo", "MemAvailable") << 10) + 32 * MIB, at;
	uint64_t end = now_ms() + 1000;
	volatile char *p = mmap(NULL, length, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	write_file("/proc/self/oom_score_adj", "1000");
	for (at = 0; p != MAP_FAILED && at < length && now_ms() < end; at += PAGE)
		p[at] = 1;
}

/* What may wait for the pager is a process of its own, one at a time. */
static int run_errand(void *arg)
{
	enum stamp_what what = *(enum stamp_what *)arg;

	if (what == SYNCED)
		sync();
	else if (what == HOGGED)
		hog_memory();
	else if (what == COMPACTED)
		write_file("/proc/sys/vm/compact_memory", "1");
	else
		drop_caches();
	return 0;
}

static bool send_errand(struct torturer *s)
{
	static const enum stamp_what whats[] = {
		CACHES_DROPPED, CACHES_DROPPED, SYNCED, COMPACTED, HOGGED, HOGGED,
	};
	enum stamp_what what = whats[pick(s, 6)];

	if (s->errand.pid > 0 && client_result(&s->errand, 0) == CLIENT_RUNNING)
		return true;
	model_event(model(s), what, 0);
	s->n.drops += what == CACHES_DROPPED;
	s->n.syncs += what == SYNCED;
	s->n.hogs += what == HOGGED;
	s->n.compactions += what == COMPACTED;
	s->errand = client_start(run_errand, &what);
	return true;
}

static bool do_something(struct torturer *s)
{
	static bool (*const acts[])(struct torturer *s) = {
		kill_pager, kill_pager, stop_pager, stop_pager, slow_pager, replace_pager,
		change_policy, kill_client, squeeze, send_errand, send_errand,
	};
	unsigned int turn = s->turns++;

	/* Each has its turn once; then it is chance. */
	return acts[turn < ARRAY_SIZE(acts) ? turn : pick(s, ARRAY_SIZE(acts))](s);
}

/* ---- what is told ---- */

static uint64_t deeds_done(struct torturer *s)
{
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; i < DEEDS; i++)
		n += s->t->done[i];
	return n;
}

/* Everything has happened, if only once. */
static bool it_was_no_walk(struct torturer *s)
{
	const struct server_stats *stats = s->server.stats;
	unsigned int i;

	for (i = 0; i < DEEDS; i++)
		if (!s->t->done[i])
			return false;
	return s->n.kills && s->n.stops && s->n.slow_spells && s->n.replacements &&
	       s->n.client_kills && s->n.squeezes && stats->pages_requested > STAMP_PAGES &&
	       stats->pages_returned && stats->zeros && stats->resent && stats->lent &&
	       stats->taken_back && target_stat(NAME, EXTPAGER_A_STATS_PAGES_READ) &&
	       target_stat(NAME, EXTPAGER_A_STATS_PAGES_WRITTEN);
}

static void tell_progress(struct torturer *s)
{
	uint64_t dirty = target_dirty(NAME), spilled = target_spilled(NAME);

	if (dirty != UINT64_MAX && dirty > s->n.most_dirty)
		s->n.most_dirty = dirty;
	if (spilled != UINT64_MAX && spilled > s->n.most_spilled)
		s->n.most_spilled = spilled;
	if (now_ms() < s->told + PROGRESS)
		return;
	s->told = now_ms();
	printf("# torture %4u s: %" PRIu64 " operations, %" PRIu64 " errors, ",
	       (unsigned int)((s->told - s->begin) / 1000), deeds_done(s),
	       s->t->failed + s->t->sigbus);
	printf("%" PRIu64 " MiB written, %" PRIu64 " verified, %" PRIu64 " KiB dirty, %" PRIu64
	       " spilled; ",
	       s->t->bytes_written >> 20, model(s)->words >> 17, dirty >> 10, spilled >> 10);
	printf("%u kills, %u stops, %u slow, %u replaced, %u clients killed, %u squeezes\n",
	       s->n.kills, s->n.stops, s->n.slow_spells, s->n.replacements, s->n.client_kills,
	       s->n.squeezes + s->n.hogs);
	fflush(stdout);
}

/* One line of JSON for selftests/torture, which adds what the machine said. */
static void tell_report(struct torturer *s)
{
	const struct server_stats *stats = s->server.stats;
	const struct counts *n = &s->n;
	const struct { const char *name; uint64_t value; } numbers[] = {
		{ "seconds", (now_ms() - s->begin) / 1000 },
		{ "errors", s->t->failed }, { "sigbus", s->t->sigbus },
		{ "kills", n->kills }, { "take_overs", n->take_overs }, { "stops", n->stops },
		{ "slow_spells", n->slow_spells }, { "replacements", n->replacements },
		{ "policy_changes", n->policies },
		{ "client_kills", n->client_kills }, { "squeezes", n->squeezes },
		{ "hogs", n->hogs },
		{ "cache_drops", n->drops }, { "compactions", n->compactions },
		{ "syncs", n->syncs }, { "most_dirty_bytes", n->most_dirty },
		{ "most_spilled_bytes", n->most_spilled },
		{ "pages_spilled", target_stat(NAME, EXTPAGER_A_STATS_PAGES_SPILLED) },
		{ "requests", stats->requests }, { "pages_requested", stats->pages_requested },
		{ "returns", stats->returns }, { "pages_returned", stats->pages_returned },
		{ "zeros", stats->zeros }, { "store_syncs", stats->syncs },
		{ "resent", stats->resent }, { "lenders", n->lenders },
		{ "ranges_delegated", stats->lent }, { "ranges_revoked", stats->taken_back },
		{ "pages_read", target_stat(NAME, EXTPAGER_A_STATS_PAGES_READ) },
		{ "pages_written", target_stat(NAME, EXTPAGER_A_STATS_PAGES_WRITTEN) },
		{ "bytes_written", s->t->bytes_written },
		{ "pages_verified", model(s)->words / (PAGE / 8) },
		{ "words_torn", model(s)->torn }, { "bytes_wrong", model(s)->words_wrong * 8 },
	};
	unsigned int i;

	printf("# torture report {\"operations\": {");
	for (i = 0; i < DEEDS; i++)
		printf("%s\"%s\": %" PRIu64, i ? ", " : "", deed_names[i], s->t->done[i]);
	printf("}");
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		printf(", \"%s\": %" PRIu64, numbers[i].name, numbers[i].value);
	printf("}\n");
	fflush(stdout);
}

/* ---- the test ---- */

FIXTURE(torture)
{
	struct torturer s;
};

FIXTURE_SETUP(torture)
{
	struct target_options o = {
		.bytes = STAMP_BYTES, .policy = "hold", .quota = MIB / 2, .handshake_ms = 10000,
		.page_in_ms = DEADLINE, .return_ms = DEADLINE, .sync_ms = DEADLINE,
		.grace_ms = 60000,
	};
	struct torturer *s = &self->s;

	s->t = shared_memory(sizeof(*s->t));
	s->client = shared_memory(CLIENTS * sizeof(*s->client));
	ASSERT_NE(NULL, s->t);
	ASSERT_NE(NULL, s->client);
	s->t->model = model_new();
	ASSERT_NE(NULL, s->t->model);
	s->t->target = NAME;
	mkdir(CGROUP, 0755);
	if (write_file(CGROUP "/memory.high", "max"))
		s->t->cgroup = CGROUP "/cgroup.procs";
	target_gone(NAME);
	ASSERT_EQ(0, target_add(NAME, &o));
	s->port = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, s->port);
	ASSERT_TRUE(server_make(&s->server, STAMP_BYTES, 0, true));
	model_fill(s->server.store);
	model_fill(s->server.platter);
	ASSERT_TRUE(server_lends(&s->server));
	s->device = s->server.device;
	ASSERT_TRUE(server_restart(&s->server, NAME));
	/* Mounts the paths: clients that did so at once would leave one mount each. */
	target_path(NAME);
}

FIXTURE_TEARDOWN(torture)
{
	struct torturer *s = &self->s;
	unsigned int i;

	for (i = 0; i < CLIENTS; i++)
		client_kill(&s->process[i]);
	client_kill(&s->judge);
	client_kill(&s->errand);
	s->server.device = s->device;
	server_stop(&s->server);
	close(s->port);
	EXPECT_EQ(0, ways_umount());
	EXPECT_TRUE(target_gone(NAME));
	rmdir(CGROUP);
}

static unsigned int torture_seconds(void)
{
	const char *s = getenv("EXTPAGER_TORTURE_SECONDS");

	return s ? strtoul(s, NULL, 10) : test_rounds(120, 60, 20);
}

/* All that is in the cache is in the store, and it is what was written last. */
static bool all_is_there(struct torturer *s, int fd)
{
	uint8_t page[PAGE];
	uint32_t least[PAGE_CELLS];
	unsigned int cell;

	for (cell = 0; cell < CELLS; cell += PAGE_CELLS) {
		model_done(model(s), least, cell, PAGE_CELLS);
		if (pread(fd, page, PAGE, cell * CELL) != (ssize_t)PAGE ||
		    !cells_right(model(s), page, cell, PAGE_CELLS, least, "in the end", JUDGE))
			return false;
		if (memcmp(page, s->server.store + cell * CELL, PAGE) ||
		    memcmp(page, s->server.platter + cell * CELL, PAGE)) {
			printf("# cells %u to %lu of the store are not those of the cache\n", cell,
			       cell + PAGE_CELLS - 1);
			return false;
		}
	}
	return true;
}

TEST_F_TIMEOUT(torture, no_byte_is_lost_or_wrong, 1000000)
{
	struct torturer *s = &self->s;
	uint64_t end;
	unsigned int i;
	int fd;

	BEHAVIOURS(86, 101, 102);
	BEHAVIOURS_IF(torture_seconds() >= 60, 120);
	s->random = test_seed(0);
	s->begin = s->told = now_ms();
	end = s->begin + torture_seconds() * 1000ULL;
	s->judge = client_start(judge, s);
	for (i = 0; i < CLIENTS; i++)
		client_begins(s, i);
	/* A slow machine takes longer until all has happened. */
	while (now_ms() < end || (!it_was_no_walk(s) && now_ms() < end + 3 * STUCK)) {
		pause_ms(pick(s, 200));
		ASSERT_FALSE(client_trouble(s));
		ASSERT_TRUE(do_something(s)) TH_LOG("a pager did not start");
		tell_progress(s);
	}

	/* In peace all of them come to an end, and all that they did is in the store. */
	__atomic_store_n(&s->t->stop, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < CLIENTS; i++)
		EXPECT_EQ(0, client_result(&s->process[i], STUCK)) {
			TH_LOG("client %u, in \"%s\"", i, deed_names[s->client[i].deed]);
		}
	EXPECT_EQ(0, client_result(&s->judge, STUCK));
	if (s->errand.pid > 0)
		EXPECT_NE(CLIENT_RUNNING, client_result(&s->errand, STUCK));
	/* The last pager lends nothing, so that the platter has all, too. */
	s->server.device = 0;
	ASSERT_TRUE(server_replace(&s->server, NAME));
	fd = target_open(NAME, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(WAIT_FOR(STUCK, !fsync(fd)));
	EXPECT_TRUE(all_is_there(s, fd));
	close(fd);
	EXPECT_FALSE(model_failed(model(s)));
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_EQ(0, *s->server.behind);
	EXPECT_EQ(0, s->server.stats->refused);
	tell_report(s);
	EXPECT_TRUE(it_was_no_walk(s));
}

TEST_HARNESS_MAIN
