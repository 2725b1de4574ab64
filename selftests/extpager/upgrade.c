// SPDX-License-Identifier: GPL-2.0-only
/*
 * Planned upgrades: a pager answers what it has in hand, passes its port on to its
 * successor and goes, while clients go on. And successors that are of another
 * version than the module.
 */
/* vm: kernels=6.1,6.12 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <extpager.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/stamper.h"
#include "support/worker.h"

#define NAME	"upgrade"
#define PAGES	256UL
#define BYTES	(PAGES * PAGE)
/* The first ones are written, the others only read. */
#define WRITTEN	192UL

/* A target, and an object of the port's own. */
enum { TARGET, OWN, OBJECTS };

/* What the pagers of a port know, one after another; shared with the clients. */
struct ledger {
	uint64_t id[OBJECTS];
	uint64_t version[OBJECTS][PAGES];	/* in the store */
	uint64_t acknowledged[OBJECTS][PAGES];	/* how often */
	volatile unsigned int returns, requests, refused;
	volatile pid_t serving;			/* the present pager */
	volatile pid_t leave;			/* who is to go */
	volatile bool stop;			/* the clients are to */
	int will[2];				/* sockets: predecessors write, successors read */
};

static struct ledger *ledger;

static unsigned int object_of(const struct extpager_event *ev)
{
	return ev->object == ledger->id[TARGET] ? TARGET : OWN;
}

static int supply(struct pager *p, const struct extpager_event *ev)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_SUPPLY);
	uint64_t first = ev->offset / PAGE, i;

	for (i = 0; i * PAGE < ev->length; i++)
		fill_page((char *)p->buffer + i * PAGE, ledger->version[object_of(ev)][first + i],
			  first + i);
	re.offset = ev->offset;
	re.length = ev->length;
	re.addr = (uintptr_t)p->buffer;
	ledger->requests++;
	return pager_reply(p, &re);
}

static int take(struct pager *p, const struct extpager_event *ev)
{
	uint64_t first = ev->offset / PAGE, nr = ev->length / PAGE, i;
	unsigned int object = object_of(ev);
	int ret = pager_fetch(p, ev, p->buffer);

	if (ret)
		return ret;
	for (i = 0; i < nr; i++)
		ledger->version[object][first + i] =
			page_stamp((char *)p->buffer + i * PAGE, first + i);
	ret = pager_return_done(p, ev, 0);
	for (i = 0; i < nr && !ret; i++)
		ledger->acknowledged[object][first + i]++;
	ledger->returns++;
	return ret;
}

static int answer(struct pager *p, const struct extpager_event *ev)
{
	switch (ev->op) {
	case EXTPAGER_EV_INIT:
		return pager_ready(p, ev, 0, EXTPAGER_ATTR_MAY_CACHE);
	case EXTPAGER_EV_DATA_REQUEST:
		return supply(p, ev);
	case EXTPAGER_EV_DATA_RETURN:
		return take(p, ev);
	case EXTPAGER_EV_SYNC:
		return pager_sync_done(p, ev, 0);
	}
	return 0;
}

#define IN_HAND 4

/* Takes some events in hand, and answers them, until it is to leave. */
static void serve(struct pager *p)
{
	struct extpager_event ev[IN_HAND];
	unsigned int nr, i;

	while (ledger->leave != getpid()) {
		for (nr = 0; nr < IN_HAND && pager_event(p, &ev[nr], nr ? 0 : 10); nr++)
			;
		for (i = 0; i < nr; i++)
			ledger->refused += !!answer(p, &ev[i]);
	}
}

/* The first pager of a port makes an object of its own, and passes it to the test. */
static int found_port(struct pager *p)
{
	int fd;

	if (pager_open(p, 2, 0))
		return 1;
	fd = pager_create(p, BYTES, 0, &ledger->id[OWN]);
	return fd < 0 || extpager_send_fd(ledger->will[0], fd, NULL, 0) || close(fd);
}

/* The next ones are left it. */
static int inherit_port(struct pager *p)
{
	int fd = extpager_recv_fd(ledger->will[1], NULL, NULL), ret = -EBUSY;

	/* Its last pager is going, but may not have gone. */
	return fd < 0 || !WAIT_FOR(SOON, (ret = pager_open_fd(p, fd, 1, 0)) != -EBUSY) || ret;
}

static int pager_main(void *arg)
{
	int (*begin)(struct pager *p) = arg;
	struct pager p;

	if (begin(&p) ||
	    !WAIT_FOR(SOON, !pager_attach(&p, NAME, &ledger->id[TARGET], NULL)))
		return 1;
	ledger->serving = getpid();
	serve(&p);
	/* Nothing is in hand. What is in the rings is for whoever comes. */
	return extpager_send_fd(ledger->will[0], p.fd, NULL, 0);
}

static bool begins_to_serve(struct client *c)
{
	return WAIT_FOR(2 * SOON, ledger->serving == c->pid);
}

/* ---- clients: @seed is the object ---- */

/* Each version of a page is written once, and is in the store, once, after fsync; 0 if so. */
static long do_write_versions(struct order *o)
{
	uint64_t *stored = ledger->version[o->seed], *times = ledger->acknowledged[o->seed];
	struct order page = *o;
	uint64_t i;

	page.length = PAGE;
	for (page.seed = 1; !ledger->stop; page.seed++) {
		for (i = 0; i < WRITTEN; i++) {
			/* Not one after another, so that returns are many. */
			page.offset = i * 5 % WRITTEN * PAGE;
			if (do_write(&page) != (long)PAGE)
				return -errno;
		}
		if (fsync(o->fd))
			return -errno;
		for (i = 0; i < WRITTEN; i++)
			if (stored[i] != page.seed || times[i] != page.seed) {
				printf("# object %lu, page %lu: version %lu of %lu, %lu times\n",
				       o->seed, i, stored[i], page.seed, times[i]);
				fflush(stdout);
				return 1;
			}
	}
	return 0;
}

/* How many pages were wrong. */
static long do_read_on(struct order *o)
{
	struct order page = *o;
	long wrong = 0;

	page.length = PAGE;
	page.seed = 0;
	while (!ledger->stop && !wrong)
		for (page.offset = WRITTEN * PAGE; page.offset < BYTES; page.offset += PAGE)
			wrong += do_check(&page) || do_forget(&page);
	return wrong;
}

FIXTURE(upgrade)
{
	struct client pager;
	struct worker writer[OBJECTS], reader[OBJECTS];
	int fd[OBJECTS];
};

FIXTURE_SETUP(upgrade)
{
	unsigned int i;

	if (target_state(NAME))
		target_gone(NAME);
	ledger = shared_memory(sizeof(*ledger));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ledger->will));
	/* Nothing goes to the spill: all that is returned is acknowledged by a pager. */
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){
		.bytes = BYTES, .policy = "hold", .no_spill = true, .quota = 64 * PAGE }));
	self->pager = client_start(pager_main, found_port);
	self->fd[OWN] = extpager_recv_fd(ledger->will[1], NULL, NULL);
	ASSERT_LE(0, self->fd[OWN]);
	ASSERT_TRUE(begins_to_serve(&self->pager));
	self->fd[TARGET] = target_open(NAME, O_RDWR);
	ASSERT_LE(0, self->fd[TARGET]);
	for (i = 0; i < OBJECTS; i++) {
		ASSERT_TRUE(worker_start(&self->writer[i], self->fd[i], BYTES));
		ASSERT_TRUE(worker_start(&self->reader[i], self->fd[i], BYTES));
	}
}

FIXTURE_TEARDOWN(upgrade)
{
	unsigned int i;

	for (i = 0; i < OBJECTS; i++) {
		worker_stop(&self->writer[i]);
		worker_stop(&self->reader[i]);
		close(self->fd[i]);
	}
	client_kill(&self->pager);
	close(ledger->will[0]);
	close(ledger->will[1]);
	EXPECT_TRUE(target_gone(NAME));
	munmap(ledger, sizeof(*ledger));
}

TEST_F_TIMEOUT(upgrade, ports_passed_on_under_load_lose_nothing_and_answer_nothing_twice, 120)
{
	unsigned int rounds = test_rounds(200, 20, 5), i, returns, requests;
	uint64_t random = test_seed(113);

	PARTIAL(86, 113);
	for (i = 0; i < OBJECTS; i++) {
		worker_begin(&self->writer[i], do_write_versions, 0, 0, i);
		worker_begin(&self->reader[i], do_read_on, 0, 0, i);
	}
	for (i = 0; i < rounds; i++) {
		struct client old = self->pager;

		returns = ledger->returns;
		requests = ledger->requests;
		ASSERT_TRUE(WAIT_FOR(SOON, ledger->returns > returns + IN_HAND &&
					   ledger->requests > requests + IN_HAND));
		self->pager = client_start(pager_main, inherit_port);
		usleep(test_random(&random) % 20000);
		ledger->leave = old.pid;
		ASSERT_EQ(0, client_result(&old, SOON));
		ASSERT_TRUE(begins_to_serve(&self->pager));
	}
	ledger->stop = true;
	for (i = 0; i < OBJECTS; i++) {
		EXPECT_EQ(0, worker_end(&self->writer[i], SOON));
		EXPECT_EQ(0, worker_end(&self->reader[i], SOON));
	}
	EXPECT_EQ(0, ledger->refused);
	EXPECT_EQ(0, target_dirty(NAME));
	EXPECT_EQ(rounds, target_stat(NAME, EXTPAGER_A_STATS_ORPHANED));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_TIMEOUTS));
}

/* ---- successors of another version ---- */

static int setup_errno(int fd, unsigned int version)
{
	struct extpager_setup s = { .size = sizeof(s), .abi_version = version };

	return ioctl(fd, EXTPAGER_IOC_SETUP, &s) ? errno : 0;
}

static int attach_errno(int fd)
{
	struct pager p = { .fd = fd };

	return -pager_attach(&p, NAME, NULL, NULL);
}

TEST_F(upgrade, a_successor_of_another_version_is_refused_and_the_next_one_taken)
{
	static const unsigned int versions[] = {
		EXTPAGER_ABI_VERSION - 1, EXTPAGER_ABI_VERSION + 1, ~0U
	};
	int port, fresh = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
	struct worker *reader = &self->reader[TARGET];
	unsigned int i;

	PARTIAL(86);
	ASSERT_LE(0, fresh);
	ASSERT_EQ((long)PAGE, worker_do(&self->writer[TARGET], do_write, 0, PAGE, 7));
	ledger->leave = self->pager.pid;
	ASSERT_EQ(0, client_result(&self->pager, SOON));
	port = extpager_recv_fd(ledger->will[1], NULL, NULL);
	ASSERT_LE(0, port);
	ASSERT_TRUE(WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_ORPHANED));
	worker_begin(reader, do_check, WRITTEN * PAGE, PAGE, 0);

	for (i = 0; i < ARRAY_SIZE(versions); i++) {
		EXPECT_EQ(EPROTONOSUPPORT, setup_errno(port, versions[i]));
		EXPECT_EQ(EPROTONOSUPPORT, setup_errno(fresh, versions[i]));
	}
	/* They are no pagers for it, and nobody has noticed them. */
	EXPECT_EQ(ESHUTDOWN, attach_errno(port));
	EXPECT_EQ(ENOTTY, attach_errno(fresh));
	EXPECT_EQ(EXTPAGER_STATE_ORPHANED, target_state(NAME));
	EXPECT_EQ(PAGE, target_dirty(NAME));
	EXPECT_TRUE(worker_busy(reader));

	ASSERT_EQ(0, extpager_send_fd(ledger->will[0], port, NULL, 0));
	close(port);
	self->pager = client_start(pager_main, inherit_port);
	EXPECT_EQ(0, worker_end(reader, SOON));
	EXPECT_EQ(0, worker_do(&self->writer[TARGET], do_fsync, 0, 0, 0));
	EXPECT_EQ(7, ledger->version[TARGET][0]);
	EXPECT_EQ(1, ledger->acknowledged[TARGET][0]);
	EXPECT_EQ(0, worker_do(&self->reader[OWN], do_check, WRITTEN * PAGE, PAGE, 0));
	EXPECT_EQ(0, ledger->refused);
	close(fresh);
}

TEST_HARNESS_MAIN
