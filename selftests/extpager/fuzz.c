// SPDX-License-Identifier: GPL-2.0-only
/* vm: mem=512M swap=128M timeout=400 */
/*
 * Every ioctl, every word of the rings and every attribute of the netlink family, with
 * values that were not meant for them: by pagers that lie, by clients who are in the
 * middle of something, by root and by nobody, at once. Meanwhile one target is served
 * well, by a pager that delegates parts of it, and its client sees no wrong byte and no
 * error; and after each round of it a new one works as if nothing had been.
 *
 * Every process takes its choices from the round's seed. Rounds of fuzz.corpus come
 * first. EXTPAGER_FUZZ_SECONDS says how long; `make fuzz` sets it.
 *
 * Where the kernel has KCOV, the debug one, it is counted how many places of the module they
 * reach; `make fuzz KERNEL=debug` names the functions that they do not. They are not guided
 * by it: lives that began as one that had reached something new, and then went on otherwise,
 * came to 2745, 2804 and 2799 places from three seeds, in some three minutes each, and lives
 * of fresh choices to 2735, 2772 and 2795. What is left needs another deed, not another value.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <extpager.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/fuzz.h"
#include "support/ways.h"

#define FRESH		"fuzz-fresh"
#define STUCK		45000		/* ms that no call may take */
#define ROUND		5000		/* ms; of the corpus half of it */
#define PAGES		(FUZZ_BYTES / PAGE)

static const struct {
	uint64_t seed;
	const char *why;
} corpus[] = {
#include "fuzz.corpus"
};

static const struct {
	const char *name;
	int (*fn)(void *fuzzer);
} roles[] = {
	{ "liar", fuzz_liar }, { "other liar", fuzz_liar }, { "client", fuzz_client },
	{ "other client", fuzz_client }, { "talker", fuzz_talker }, { "nobody", fuzz_nobody },
};

#define NR_ROLES ARRAY_SIZE(roles)

/* ---- the honest target's client ---- */

struct honest {
	struct fuzz *f;
	const struct server *server;
	uint64_t random;
	const char *name;
	unsigned int rounds;		/* 0: until it is killed */
	uint64_t pages;			/* it has looked at; shared */
	uint64_t version[PAGES];	/* 0: zeros */
};

static int fail(struct honest *h, const char *what, uint64_t page)
{
	fuzz_wrong(h->f, what, page);
	return 1;
}

static bool is_right(const struct honest *h, const void *page, uint64_t index)
{
	return h->version[index] ? page_is(page, h->version[index], index) : page_is_zero(page);
}

/* It alone writes, so that it knows every byte; nothing may fail. */
static int be_honest(void *arg)
{
	struct honest *h = arg;
	int fd = target_open(h->name, O_RDWR);
	uint8_t *map, page[PAGE];
	uint64_t n, i;

	if (fd < 0)
		return fail(h, "an honest target cannot be opened", -fd);
	map = mmap(NULL, FUZZ_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return fail(h, "an honest target cannot be mapped", errno);
	for (n = 1; !h->rounds || n <= h->rounds; n++) {
		i = test_random(&h->random) % PAGES;
		if (!is_right(h, map + i * PAGE, i))
			return fail(h, "a mapped byte is wrong", i);
		switch (test_random(&h->random) % 8) {
		case 0: case 1:
			h->version[i] = n + 1;
			fill_page(map + i * PAGE, h->version[i], i);
			break;
		case 2:
			h->version[i] = n + 1;
			fill_page(page, h->version[i], i);
			if (pwrite(fd, page, PAGE, i * PAGE) != (ssize_t)PAGE)
				return fail(h, "write failed", errno);
			break;
		case 3:
			h->version[i] = 0;
			if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, i * PAGE,
				      PAGE))
				return fail(h, "punch failed", errno);
			break;
		case 4:
			if (fsync(fd))
				return fail(h, "fsync failed", errno);
			if (!is_right(h, h->server->store + i * PAGE, i))
				return fail(h, "a synced byte is not in the store", i);
			break;
		case 5:
			madvise(map, FUZZ_BYTES, MADV_DONTNEED);
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
			break;
		default:
			if (pread(fd, page, PAGE, i * PAGE) != (ssize_t)PAGE)
				return fail(h, "read failed", errno);
			if (!is_right(h, page, i))
				return fail(h, "a byte that was read is wrong", i);
		}
		h->pages++;
	}
	return fsync(fd) ? fail(h, "fsync failed", errno) : 0;
}

static struct honest *honest_new(struct fuzz *f, const struct server *server, const char *name,
				 uint64_t seed)
{
	struct honest *h = shared_memory(sizeof(*h));
	unsigned int i;

	*h = (struct honest){ .f = f, .server = server, .name = name, .random = test_seed(seed) };
	for (i = 0; i < PAGES; i++)
		h->version[i] = seed;
	return h;
}

/* ---- fuzzers come and go ---- */

struct fuzzing {
	struct fuzz *f;
	struct fuzzer *fuzzer;		/* NR_ROLES, shared */
	struct client process[NR_ROLES], honest_client;
	uint64_t ends[NR_ROLES];	/* when it is killed, ms */
	unsigned int lives[NR_ROLES], all_lives, rounds;
	uint64_t seed, random;		/* of the round */
	struct server server;
	struct honest *honest;
	int port[2];			/* ports' fds that liars take over */
	unsigned int last_new;		/* the last round that reached a new place */
};

static uint64_t pick(struct fuzzing *s, uint64_t n)
{
	return test_random(&s->random) % n;
}

/*
 * Targets as they should be: there, and with short deadlines, so that nobody waits for
 * long, whatever the talkers have set.
 */
static void set_targets(struct fuzzing *s)
{
	static const char *const policies[] = { "hold", "fail", "spill" };
	struct target_options o = {
		.policy = policies[pick(s, 3)], .quota = 64 * PAGE,
		.handshake_ms = 300, .page_in_ms = 300, .return_ms = 300, .sync_ms = 300,
		.grace_ms = 300, .handshake_action = EXTPAGER_ACTION_ERROR,
		.page_in_action = EXTPAGER_ACTION_ERROR,
		.return_action = EXTPAGER_ACTION_ERROR + pick(s, 2),
		.pager_uid = pick(s, 2) ? FUZZ_NOBODY : -1,
	};
	unsigned int i;

	for (i = 0; i < FUZZ_NAMES; i++) {
		o.bytes = 0;
		if (target_set(fuzz_names[i], &o) == -ENOENT) {
			o.bytes = FUZZ_BYTES;
			target_add(fuzz_names[i], &o);
		}
	}
}

static void fuzzer_begins(struct fuzzing *s, unsigned int i)
{
	uint64_t state = s->seed + 1000 * i + s->lives[i]++;

	memset(&s->fuzzer[i], 0, sizeof(s->fuzzer[i]));
	s->fuzzer[i].f = s->f;
	s->fuzzer[i].number = i;
	s->fuzzer[i].random = test_random(&state);
	s->fuzzer[i].port = i < 2 ? s->port[i] : 0;
	s->ends[i] = now_ms() + 200 + pick(s, 2000);
	s->process[i] = client_start(roles[i].fn, &s->fuzzer[i]);
	s->all_lives++;
}

static void tell_stack(pid_t pid)
{
	char command[80];

	snprintf(command, sizeof(command), "sed 's/^/# /' /proc/%d/task/*/stack", pid);
	if (system(command))
		printf("# its stack cannot be told\n");
}

/*
 * Whoever lies may die of it; to be killed nobody may refuse, but for a syncfs() that the
 * kernel has wait for a deadline, which a talker may have put off.
 */
static void fuzzer_ends(struct fuzzing *s, unsigned int i)
{
	uint64_t end = now_ms() + STUCK;

	if (s->process[i].pid <= 0)
		return;
	kill(s->process[i].pid, SIGKILL);
	do {
		if (client_result(&s->process[i], 200) != CLIENT_RUNNING)
			return;
		set_targets(s);
	} while (now_ms() < end);
	printf("# the %s cannot be killed in \"%s\"\n", roles[i].name,
	       fuzz_op_names[s->fuzzer[i].slot[0].op]);
	tell_stack(s->process[i].pid);
	fuzz_wrong(s->f, "a process cannot be killed", i);
	s->process[i].pid = 0;
}

static void look_for_the_stuck(struct fuzzing *s, unsigned int i)
{
	unsigned int k;

	for (k = 0; k < FUZZ_SLOTS; k++) {
		struct fuzz_slot *slot = &s->fuzzer[i].slot[k];
		uint64_t begun = __atomic_load_n(&slot->begun, __ATOMIC_ACQUIRE);

		if (!begun || now_ms() < begun + STUCK)
			continue;
		printf("# the %s has not come back from \"%s\" for %u s\n", roles[i].name,
		       fuzz_op_names[slot->op], STUCK / 1000);
		tell_stack(slot->tid);
		fuzz_wrong(s->f, "a call does not end", slot->op);
	}
}

static void watch_over(struct fuzzing *s, uint64_t end)
{
	uint64_t told = 0, now;
	unsigned int i;

	while ((now = now_ms()) < end && !s->f->is_wrong) {
		if (now > told + 200) {
			set_targets(s);
			told = now;
		}
		for (i = 0; i < NR_ROLES; i++) {
			look_for_the_stuck(s, i);
			if (now < s->ends[i] &&
			    client_result(&s->process[i], 0) == CLIENT_RUNNING)
				continue;
			fuzzer_ends(s, i);
			fuzzer_begins(s, i);
		}
		if (client_result(&s->honest_client, 0) != CLIENT_RUNNING)
			fuzz_wrong(s->f, "the honest client is gone", 0);
		usleep(10000);
	}
}

/* ---- after a round ---- */

struct names {
	unsigned int nr;
	char name[64][EXTPAGER_NAME_MAX + 1];
};

static int take_name(const struct extpager_target *t, void *arg)
{
	struct names *n = arg;

	if (n->nr < ARRAY_SIZE(n->name) && strcmp(t->name, FUZZ_HONEST))
		strcpy(n->name[n->nr++], t->name);
	return 0;
}

/* With nobody left to serve them, and their bytes not wanted, they can go at once. */
static void delete_targets(struct fuzzing *s)
{
	struct extpager_ctl *c;
	struct names n;
	unsigned int i;

	do {
		n.nr = 0;
		if (extpager_ctl_open(&c))
			return;
		extpager_target_list(c, take_name, &n);
		extpager_ctl_close(c);
		for (i = 0; i < n.nr; i++)
			if (!target_gone(n.name[i])) {
				printf("# target %s\n", n.name[i]);
				fuzz_wrong(s->f, "a target cannot be deleted",
					   target_state(n.name[i]));
			}
	} while (n.nr && !s->f->is_wrong);
}

/* A pager, a target and a client that have seen nothing of it. */
static void try_fresh(struct fuzzing *s)
{
	struct target_options o = { .bytes = FUZZ_BYTES };
	struct client c = { };
	struct server server;
	struct honest *h;

	if (target_add(FRESH, &o) || !server_start(&server, FRESH, FUZZ_BYTES, 7)) {
		fuzz_wrong(s->f, "a new pager cannot serve a new target", 0);
		return;
	}
	h = honest_new(s->f, &server, FRESH, 7);
	h->rounds = 200;
	c = client_start(be_honest, h);
	if (client_result(&c, STUCK))
		fuzz_wrong(s->f, "the client of a new target does not end well", h->pages);
	client_kill(&c);
	server_stop(&server);
	munmap(h, sizeof(*h));
	if (!target_gone(FRESH))
		fuzz_wrong(s->f, "a new target cannot be deleted", target_state(FRESH));
}

static uint64_t calls_of(const struct fuzz *f, unsigned int op)
{
	uint64_t n = 0;
	unsigned int e;

	for (e = 0; e < FUZZ_ERRNOS; e++)
		n += f->count[op][e];
	return n;
}

static uint64_t all_calls(const struct fuzz *f)
{
	uint64_t n = 0;
	unsigned int op;

	for (op = 0; op < FUZZ_NR_OPS; op++)
		n += calls_of(f, op);
	return n;
}

static bool play_round(struct fuzzing *s, uint64_t seed, uint64_t ms)
{
	unsigned int i, reached = s->f->coverage->reached;

	s->seed = s->random = seed;
	s->rounds++;
	memset(s->lives, 0, sizeof(s->lives));
	for (i = 0; i < 2; i++)
		s->port[i] = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
	set_targets(s);
	for (i = 0; i < NR_ROLES; i++)
		fuzzer_begins(s, i);
	watch_over(s, now_ms() + ms);
	for (i = 0; i < NR_ROLES; i++)
		fuzzer_ends(s, i);
	for (i = 0; i < 2; i++)
		close(s->port[i]);
	set_targets(s);
	delete_targets(s);
	try_fresh(s);
	if (s->f->coverage->reached != reached)
		s->last_new = s->rounds;
	printf("# round %u, seed %" PRIu64 ": %" PRIu64 " calls so far, %" PRIu64
	       " honest pages, %u places\n", s->rounds, seed, all_calls(s->f), s->honest->pages,
	       s->f->coverage->reached);
	if (s->f->is_wrong)
		printf("# round %u: %s. A line for fuzz.corpus:\n# { %" PRIu64 "U, \"%s\" },\n",
		       s->rounds, s->f->wrong, seed, s->f->wrong);
	fflush(stdout);
	return !s->f->is_wrong;
}

/* ---- what is told ---- */

/* One line of JSON: of each operation how often which errno came, 0 for none. */
static void tell_report(struct fuzzing *s, uint64_t begin)
{
	const char *next = "";
	unsigned int op, e;

	printf("# fuzz report {\"seconds\": %" PRIu64 ", \"rounds\": %u, \"processes\": %u, ",
	       (now_ms() - begin) / 1000, s->rounds, s->all_lives);
	printf("\"honest_pages\": %" PRIu64 ", \"calls\": %" PRIu64 ", \"operations\": {",
	       s->honest->pages, all_calls(s->f));
	for (op = 0; op < FUZZ_NR_OPS; op++) {
		printf("%s\"%s\": {", op ? ", " : "", fuzz_op_names[op]);
		for (next = "", e = 0; e < FUZZ_ERRNOS; e++)
			if (s->f->count[op][e]) {
				printf("%s\"%s\": %u", next, strerrorname_np(e) ?: "other",
				       s->f->count[op][e]);
				next = ", ";
			}
		printf("}");
	}
	printf("}, \"coverage\": {\"reached\": %u, \"last_new_in_round\": %u, \"places\": ",
	       s->f->coverage->reached, s->last_new);
	coverage_print(s->f->coverage);
	printf("}}\n");
	fflush(stdout);
}

/* Nothing was left out, nor, where there is time for it, only refused but for what must be. */
static bool all_was_tried(const struct fuzz *f, bool tell)
{
	static const enum fuzz_op refused[] = {
		FUZZ_UNKNOWN_CALL, FUZZ_REPLY_UNKNOWN, FUZZ_CMD_UNSPEC, FUZZ_EVENT,
		FUZZ_UNKNOWN_CMD, FUZZ_TRUNCATE,
	};
	unsigned int op, i;
	bool all = true;

	for (op = 0; op < FUZZ_NR_OPS; op++) {
		bool may_fail = on_debug_kernel();

		for (i = 0; i < ARRAY_SIZE(refused); i++)
			may_fail |= op == refused[i];
		if (may_fail ? calls_of(f, op) : f->count[op][0])
			continue;
		if (tell)
			printf("# %s: %s\n", fuzz_op_names[op],
			       calls_of(f, op) ? "was only refused" : "was not tried");
		all = false;
	}
	return all;
}

/* ---- the test ---- */

FIXTURE(fuzz)
{
	struct fuzzing s;
};

static bool learn_honest(struct extpager_event *ev)
{
	struct extpager_target t = { .size = sizeof(t) };
	struct extpager_ctl *c;
	int ret;

	if (extpager_ctl_open(&c))
		return false;
	ret = extpager_target_get(c, FUZZ_HONEST, &t);
	extpager_ctl_close(c);
	*ev = (struct extpager_event){
		.op = EXTPAGER_EV_DATA_REQUEST, .generation = t.generation, .tag = 1,
		.object = t.object, .length = PAGE,
	};
	return !ret;
}

/* Whoever registered it, or delegated parts of it, has let go of it. */
static bool device_goes(int fd)
{
	struct stat st;
	char path[64];

	if (fstat(fd, &st) || close(fd))
		return false;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/loop", major(st.st_rdev),
		 minor(st.st_rdev));
	return WAIT_FOR(STUCK, access(path, F_OK));
}

FIXTURE_SETUP(fuzz)
{
	struct target_options o = { .bytes = FUZZ_BYTES };
	struct fuzzing *s = &self->s;
	int file;

	s->f = shared_memory(sizeof(*s->f));
	s->fuzzer = shared_memory(NR_ROLES * sizeof(*s->fuzzer));
	ASSERT_NE(NULL, s->f);
	s->f->coverage = coverage_new();
	ASSERT_NE(NULL, s->f->coverage);
	ASSERT_NE(NULL, s->fuzzer);
	if (target_state(FUZZ_HONEST))
		target_gone(FUZZ_HONEST);
	ASSERT_EQ(0, target_add(FUZZ_HONEST, &o));
	ASSERT_TRUE(server_make(&s->server, FUZZ_BYTES, 5, false));
	ASSERT_TRUE(server_lends(&s->server));
	ASSERT_TRUE(server_restart(&s->server, FUZZ_HONEST));
	/* Its own by now: those who try any fd must not get at what it delegates. */
	close(s->server.device);
	s->server.device = 0;
	file = memfd_create("fuzz-device", MFD_CLOEXEC);
	ASSERT_EQ(0, ftruncate(file, FUZZ_BYTES));
	s->f->device = loop_over(file);
	ASSERT_LT(0, s->f->device);
	close(file);
	s->honest = honest_new(s->f, &s->server, FUZZ_HONEST, 5);
	s->honest_client = client_start(be_honest, s->honest);
	ASSERT_TRUE(WAIT_FOR(STUCK, s->honest->pages));
	ASSERT_TRUE(learn_honest(&s->f->honest));
	/* Mounts the paths, which clients go. */
	target_path(FUZZ_HONEST);
}

FIXTURE_TEARDOWN(fuzz)
{
	struct fuzzing *s = &self->s;
	unsigned int i;

	for (i = 0; i < NR_ROLES; i++)
		fuzzer_ends(s, i);
	client_kill(&s->honest_client);
	server_stop(&s->server);
	/* Children of liars may still be dying. */
	EXPECT_TRUE(WAIT_FOR(STUCK, !ways_umount()));
	EXPECT_TRUE(target_gone(FUZZ_HONEST));
	EXPECT_TRUE(device_goes(s->f->device));
}

static unsigned int fuzz_seconds(void)
{
	const char *s = getenv("EXTPAGER_FUZZ_SECONDS");

	return s ? strtoul(s, NULL, 10) : test_rounds(600, 20, 20);
}

TEST_F_TIMEOUT(fuzz, nothing_that_is_called_harms_those_who_call_well, 1000000)
{
	struct fuzzing *s = &self->s;
	uint64_t begin = now_ms(), end = begin + fuzz_seconds() * 1000ULL, seeds = test_seed(0);
	unsigned int i;

	BEHAVIOURS(41, 109, 110);
	for (i = 0; i < ARRAY_SIZE(corpus); i++)
		ASSERT_TRUE(play_round(s, corpus[i].seed, ROUND / 2)) {
			TH_LOG("%s: of the corpus, %s", s->f->wrong, corpus[i].why);
		}
	do {
		ASSERT_TRUE(play_round(s, test_random(&seeds), ROUND)) TH_LOG("%s", s->f->wrong);
		/* A slow machine takes longer until all was tried. */
	} while (now_ms() < end || (!all_was_tried(s->f, false) && now_ms() < end + 3 * STUCK));
	tell_report(s, begin);
	EXPECT_TRUE(all_was_tried(s->f, true));
	if (!coverage_possible())
		printf("# what of the module was reached is not known: the kernel has no KCOV\n");
	else
		EXPECT_LT(0, s->f->coverage->reached) TH_LOG("the module is not built for KCOV");
	EXPECT_LT(100, s->honest->pages);
	EXPECT_EQ(0, s->server.stats->refused);
	EXPECT_LT(0, target_stat(FUZZ_HONEST, EXTPAGER_A_STATS_PAGES_WRITTEN));
	EXPECT_LT(0, target_stat(FUZZ_HONEST, EXTPAGER_A_STATS_PAGES_RETURNED));
}

TEST_HARNESS_MAIN
