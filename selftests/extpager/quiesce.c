// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pager that quiesces: it answers what it has in hand and takes no more, and what is
 * asked meanwhile is kept, in its rings and behind them. When it goes on, or an heir of
 * its port does, all of that comes, once, as it was asked.
 */
/* vm: idle=1 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <extpager.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"

#define NAME	"quiesce"
#define BYTES	MIB
#define CPUS	2		/* of the machine, and queues of the port */
#define ENTRIES	4U		/* of a ring */
#define IN_HAND	3
#define READ	7		/* seeds: of what is supplied, and of what is written */
#define WRITTEN	9
/* Every second page, so that each is a request of its own. */
#define HAND(i)	(2 * (i))
#define IN(i)	(20 + 2 * (i))
#define OUT(i)	(120 + 2 * (i))
#define STORED	255UL		/* is to be made durable, whatever else is asked */
/* Half of it is waited for; the other half is enough for what then comes. */
#define DEADLINE_MS 24000
/* Those who wait are looked after every second. */
#define LATE_MS 2500

struct asked {
	unsigned int op, queue;
	uint64_t page;
	bool came;
};

#define MANY 48

/* Shared with pagers and clients. */
struct ledger {
	uint64_t page[MANY];		/* what came to the pager since it quiesced, as it came */
	unsigned int op[MANY], queue[MANY], flags[MANY];
	volatile unsigned int nr, wrong, in_hand, asked;
	volatile bool serves, quiesce, quiesced, resume, leave, late;
};

static struct ledger *ledger;

/* ---- pagers ---- */

static int answer(struct pager *p, const struct extpager_event *ev)
{
	int ret;

	switch (ev->op) {
	case EXTPAGER_EV_INIT:
		return pager_ready(p, ev, 0, EXTPAGER_ATTR_MAY_CACHE);
	case EXTPAGER_EV_DATA_REQUEST:
		return pager_supply(p, ev, READ);
	case EXTPAGER_EV_DATA_RETURN:
		ret = pager_fetch(p, ev, p->buffer);
		if (!ret && !page_is(p->buffer, WRITTEN, ev->offset / PAGE))
			ledger->wrong++;
		return ret ?: pager_return_done(p, ev, 0);
	}
	return pager_sync_done(p, ev, 0);
}

/* Tell what comes, and answer it, until no more does. */
static void serve_on(struct pager *p)
{
	struct extpager_event ev;
	unsigned int nr;

	while (pager_event(p, &ev, ledger->nr < ledger->asked ? SOON : QUIET)) {
		if (ev.op == EXTPAGER_EV_INIT) {
			if (ledger->late)
				usleep(LATE_MS * 1000);
			ledger->wrong += !!answer(p, &ev);
			continue;
		}
		nr = ledger->nr;
		if (nr == MANY)
			break;
		ledger->op[nr] = ev.op;
		ledger->queue[nr] = p->last_queue;
		ledger->flags[nr] = ev.flags;
		ledger->page[nr] = ev.offset / PAGE;
		ledger->wrong += ev.op != EXTPAGER_EV_SYNC && ev.length != PAGE;
		ledger->wrong += !!answer(p, &ev);
		ledger->nr++;
	}
}

/* Answers one thing at a time, then keeps some in hand, until it is to quiesce. */
static int pager_main(void *port)
{
	struct extpager_event ev, hand[IN_HAND];
	struct pager p;
	unsigned int i;

	if (pager_open_fd(&p, *(int *)port, CPUS, ENTRIES) || pager_attach(&p, NAME, NULL, NULL))
		return 1;
	ledger->serves = true;
	while (ledger->in_hand < IN_HAND) {
		if (!pager_event(&p, &ev, SOON))
			return 2;
		if (ev.op == EXTPAGER_EV_DATA_REQUEST)
			hand[ledger->in_hand++] = ev;
		else if (answer(&p, &ev))
			return 3;
	}
	while (!ledger->quiesce)
		test_pause();
	for (i = 0; i < IN_HAND; i++)
		if (answer(&p, &hand[i]))
			return 4;
	ledger->quiesced = true;
	while (!ledger->resume && !ledger->leave)
		test_pause();
	if (ledger->resume)
		serve_on(&p);
	return 0;
}

static int heir_main(void *port)
{
	struct pager p;

	if (pager_open_fd(&p, *(int *)port, 0, 0) || pager_attach(&p, NAME, NULL, NULL))
		return 1;
	serve_on(&p);
	return 0;
}

/* ---- clients ---- */

struct access {
	int fd;
	unsigned int cpu;
	uint64_t page;
};

static int read_page(void *arg)
{
	struct access *a = arg;
	char page[PAGE];

	if (!stay_on(a->cpu) || posix_fadvise(a->fd, 0, 0, POSIX_FADV_RANDOM))
		return 1;
	return pread(a->fd, page, PAGE, a->page * PAGE) != (ssize_t)PAGE ||
	       !page_is(page, READ, a->page);
}

/* Of a page that has long been returned: a barrier, and nothing else. */
static int sync_page(void *arg)
{
	struct access *a = arg;
	void *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, a->fd, a->page * PAGE);

	return !stay_on(a->cpu) || map == MAP_FAILED || msync(map, PAGE, MS_SYNC);
}

/* Sends one dirty page, and waits for nothing. */
static int send_page(int fd, uint64_t page)
{
	return sync_file_range(fd, page * PAGE, PAGE, SYNC_FILE_RANGE_WRITE);
}

static unsigned int pending(void)
{
	struct extpager_target t = { .size = sizeof(t) };
	struct extpager_ctl *c;

	if (extpager_ctl_open(&c))
		return ~0U;
	extpager_target_get(c, NAME, &t);
	extpager_ctl_close(c);
	return t.pending;
}

/* From now on; half of it is over before the deadline of what was asked earlier. */
static bool give_longer(void)
{
	const unsigned int ms = DEADLINE_MS + DEADLINE_MS / 2;

	return !target_set(NAME, &(struct target_options){ .page_in_ms = ms, .return_ms = ms,
							   .sync_ms = ms });
}

#define CLIENTS 28

FIXTURE(quiesce)
{
	int port, fd;
	long interval;
	struct client pager, client[CLIENTS];
	struct access access[CLIENTS];
	unsigned int nr_clients, nr;
	struct asked asked[MANY];
};

FIXTURE_VARIANT(quiesce)
{
	bool heir;		/* another one takes the port over; else the same goes on */
	bool slow;		/* half of the deadline is over by then, of what was asked first */
	bool late;		/* the heir takes its time before it is READY */
};

FIXTURE_VARIANT_ADD(quiesce, resumed) { };
FIXTURE_VARIANT_ADD(quiesce, resumed_late) { .slow = true };
FIXTURE_VARIANT_ADD(quiesce, inherited) { .heir = true };
FIXTURE_VARIANT_ADD(quiesce, inherited_by_a_slow_one) { .heir = true, .late = true };
FIXTURE_VARIANT_ADD(quiesce, inherited_late) { .heir = true, .slow = true };

FIXTURE_SETUP(quiesce)
{
	if (target_state(NAME))
		target_gone(NAME);
	ASSERT_EQ(CPUS, sysconf(_SC_NPROCESSORS_ONLN));
	ledger = shared_memory(sizeof(*ledger));
	/* Nothing is returned but what the test has returned. */
	self->interval = writeback_interval(AN_HOUR);
	ASSERT_LT(0, self->interval);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){
		.bytes = BYTES, .policy = "hold", .no_spill = true, .page_in_ms = DEADLINE_MS,
		.return_ms = DEADLINE_MS, .sync_ms = DEADLINE_MS }));
	self->port = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->port);
	self->pager = client_start(pager_main, &self->port);
	ASSERT_TRUE(WAIT_FOR(SOON, ledger->serves));
	self->fd = target_open(NAME, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(quiesce)
{
	unsigned int i;

	for (i = 0; i < self->nr_clients; i++)
		client_kill(&self->client[i]);
	client_kill(&self->pager);
	close(self->fd);
	close(self->port);
	EXPECT_TRUE(target_gone(NAME));
	writeback_interval(self->interval);
	munmap(ledger, sizeof(*ledger));
}

/* In the order of @asked, which ends when the kernel has all of it; false if it has not. */
#define ASK(op_, page_, cpu_, ...) do {							\
	self->asked[self->nr++] = (struct asked){ EXTPAGER_EV_##op_, cpu_, page_ };	\
	ASSERT_TRUE(stay_on(cpu_));							\
	__VA_ARGS__;									\
	ASSERT_TRUE(WAIT_FOR(SOON, pending() == self->nr)) {				\
		TH_LOG("%s, page %lu: %u of %u", #op_, (unsigned long)(page_),		\
		       pending(), self->nr);						\
	}										\
} while (0)

#define ASK_BY(fn, op, page_, cpu_) do {						\
	struct access *__a = &self->access[self->nr_clients];				\
											\
	*__a = (struct access){ self->fd, cpu_, page_ };				\
	ASK(op, page_, cpu_, self->client[self->nr_clients++] = client_start(fn, __a));	\
} while (0)

/* What the @i-th event that came was, of what was asked; @nr if nothing. */
static unsigned int which(const struct asked *asked, unsigned int nr, unsigned int i, bool heir)
{
	const struct asked *a = asked;

	for (; a < asked + nr; a++)
		if (!a->came && a->op == ledger->op[i] &&
		    (a->op == EXTPAGER_EV_SYNC || a->page == ledger->page[i]) &&
		    (heir || a->queue == ledger->queue[i]))
			break;
	return a - asked;
}

TEST_F_TIMEOUT(quiesce, what_is_asked_meanwhile_comes_once_and_in_order, 150)
{
	unsigned int line[CPUS][EXTPAGER_EV_SYNC + 1] = { }, kept[CPUS] = { };
	unsigned int i, j, cpu, first = 0;
	struct io io = { self->fd, STORED * PAGE, PAGE, WRITTEN };
	uint64_t random = test_seed(113);

	BEHAVIOURS(113);
	/* One page in the store, and not yet durable; others are to be returned. */
	ASSERT_EQ(0, write_pages(&io));
	ASSERT_EQ(0, send_page(self->fd, STORED));
	ASSERT_TRUE(WAIT_FOR(SOON, !target_dirty(NAME) && !pending()));
	for (i = 0; i < 12; i++) {
		io.offset = OUT(i) * PAGE;
		ASSERT_EQ(0, write_pages(&io));
	}
	for (i = 0; i < IN_HAND; i++)
		ASSERT_EQ(0, prefetch(self->fd, HAND(i), 1));
	ASSERT_TRUE(WAIT_FOR(SOON, ledger->in_hand == IN_HAND));
	ASSERT_EQ(IN_HAND, pending());
	ledger->quiesce = true;
	ASSERT_TRUE(WAIT_FOR(SOON, ledger->quiesced));
	EXPECT_EQ(0, pending());
	for (i = 0; i < IN_HAND; i++)
		EXPECT_TRUE(page_is_here(self->fd, HAND(i)));

	for (i = 0; i < 24; i++) {
		cpu = test_random(&random) % CPUS;
		/* Of many who wait hardly all take their turn by chance. */
		if (i % 6 && !variant->late)
			ASK(DATA_REQUEST, IN(i), cpu,
			    ASSERT_EQ(0, prefetch(self->fd, IN(i), 1)));
		else
			ASK_BY(read_page, DATA_REQUEST, IN(i), cpu);
		cpu = test_random(&random) % CPUS;
		if (i % 2)
			ASK(DATA_RETURN, OUT(i / 2), cpu,
			    ASSERT_EQ(0, send_page(self->fd, OUT(i / 2))));
		if (i % 10 == 5)
			ASK_BY(sync_page, SYNC, STORED, cpu);
		if (i == 14 && variant->slow) {
			ASSERT_TRUE(give_longer());
			first = self->nr;
		}
	}
	/* The kernel has warned of these; of the others, which came later, it does so later. */
	EXPECT_TRUE(WAIT_FOR(DEADLINE_MS, target_stat(NAME, EXTPAGER_A_STATS_WARNINGS) >= first));
	for (i = 0; i < self->nr; i++)
		kept[self->asked[i].queue]++;
	EXPECT_EQ(kept[0] + kept[1] - 2 * ENTRIES,
		  target_stat(NAME, EXTPAGER_A_STATS_BACKLOGGED));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&self->pager, QUIET));
	EXPECT_EQ(self->nr, pending());

	ledger->asked = self->nr;
	if (variant->heir) {
		ledger->late = variant->late;
		ledger->leave = true;
		ASSERT_EQ(0, client_result(&self->pager, SOON));
		self->pager = client_start(heir_main, &self->port);
	} else {
		ledger->resume = true;
	}
	EXPECT_TRUE(WAIT_FOR(SOON, ledger->nr == self->nr)) {
		TH_LOG("%u of %u", ledger->nr, self->nr);
	}
	for (i = 0; i < self->nr_clients; i++)
		EXPECT_EQ(0, client_result(&self->client[i], SOON));
	/* No more comes; the pager has waited for it. */
	EXPECT_EQ(0, client_result(&self->pager, SOON));
	EXPECT_EQ(self->nr, ledger->nr);
	EXPECT_EQ(0, ledger->wrong);
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_TIMEOUTS));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_BAD_REPLIES));
	for (i = 0; i < 24; i++)
		EXPECT_TRUE(pages_are(self->fd, IN(i), 1, READ));

	for (i = 0; i < ledger->nr; i++) {
		bool out = ledger->op[i] != EXTPAGER_EV_DATA_REQUEST;
		/* An heir is asked over any queue, for what its object needs of one kind. */
		unsigned int *next = &line[ledger->queue[i]][variant->heir ? ledger->op[i] : out];

		j = which(self->asked, self->nr, i, variant->heir);
		ASSERT_NE(self->nr, j) {
			TH_LOG("%u: op %u, page %lu", i, ledger->op[i], ledger->page[i]);
		}
		self->asked[j].came = true;
		EXPECT_LE(*next, j) {
			TH_LOG("%u: op %u, page %lu", i, ledger->op[i], ledger->page[i]);
		}
		*next = j;
		EXPECT_EQ(variant->heir, !!(ledger->flags[i] & EXTPAGER_EVF_RESENT));
	}
}

TEST_HARNESS_MAIN
