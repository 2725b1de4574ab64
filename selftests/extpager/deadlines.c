// SPDX-License-Identifier: GPL-2.0-only
/* vm: timeout=300 idle=1 */
/* Half of a deadline brings a warning; at its end, who is to wait on does so, holding nothing. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <extpager.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/crowd.h"
#include "support/object.h"
#include "support/pager.h"

#define NAME	"deadlines"
#define BYTES	(2 * MIB)
#define NEVER	60000		/* ms: a deadline that no test lives to see */
#define TICK	10		/* ms, with the slowest clock */
#define SEED	96
#define TRACING	"/sys/kernel/tracing/"

/* Half of it is enough for a look at the counters. */
static unsigned int deadline(void)
{
	return on_debug_kernel() ? 6000 : 2000;
}

/* ---- what is told ---- */

struct listener {
	struct extpager_ctl *ctl;
	unsigned int event;		/* of NAME, the last one read */
};

static bool listen_begin(struct listener *l)
{
	return !extpager_ctl_open(&l->ctl) && !extpager_ctl_subscribe(l->ctl);
}

static void listen_end(struct listener *l)
{
	extpager_ctl_close(l->ctl);
}

static int take_event(unsigned int event, const struct extpager_target *t, void *arg)
{
	struct listener *l = arg;

	/* That the last test's target of this name is gone may be told as late as now. */
	if (strcmp(t->name, NAME) || event == EXTPAGER_EVENT_DELETED)
		return 0;
	l->event = event;
	return 1;
}

/* The next event of NAME, which lives on, within @ms; 0 if there is none. */
static unsigned int next_told(struct listener *l, unsigned int ms)
{
	struct pollfd pfd = { .fd = extpager_ctl_fd(l->ctl), .events = POLLIN };
	uint64_t end = now_ms() + ms, now;

	l->event = 0;
	while (!l->event && (now = now_ms()) < end && poll(&pfd, 1, end - now) >= 0)
		extpager_ctl_read(l->ctl, take_event, l);
	return l->event;
}

/* Has @event been told by @ms from now? Others are passed over. */
static bool is_told(struct listener *l, unsigned int event, unsigned int ms)
{
	uint64_t end = now_ms() + ms, now;

	while ((now = now_ms()) < end)
		if (next_told(l, end - now) == event)
			return true;
	return false;
}

static int log_begin(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	lseek(fd, 0, SEEK_END);
	return fd;
}

/* How many new lines of the kernel's log have @text. */
static unsigned int log_lines(int fd, const char *text)
{
	char line[1024];
	unsigned int n = 0;
	ssize_t len;

	while ((len = read(fd, line, sizeof(line) - 1)) > 0 || (len < 0 && errno == EPIPE)) {
		line[len > 0 ? len : 0] = 0;
		n += !!strstr(line, text);
	}
	return n;
}

/* Ages of the requests that the trace calls slow: how many, and the last one's. */
static unsigned int traced(const char *want, unsigned long *age)
{
	FILE *trace = fopen(TRACING "trace", "r");
	unsigned int n = 0;
	char line[1024], *at;

	while (trace && fgets(line, sizeof(line), trace)) {
		at = strstr(line, "extpager_slow:");
		at = at ? strstr(at, want) : NULL;
		if (at && sscanf(at + strlen(want), " age_ms=%lu", age) == 1)
			n++;
	}
	if (trace)
		fclose(trace);
	return n;
}

#define warnings()	target_stat(NAME, EXTPAGER_A_STATS_WARNINGS)
#define timeouts()	target_stat(NAME, EXTPAGER_A_STATS_TIMEOUTS)

struct asked {
	uint64_t offset;
	struct extpager_pending p;
	unsigned int nr;		/* requests of NAME with that offset */
};

static int take_pending(const struct extpager_pending *p, void *arg)
{
	struct asked *a = arg;

	if (!strcmp(p->target, NAME) && p->offset == a->offset) {
		a->p = *p;
		a->nr++;
	}
	return 0;
}

/* The page-in of page @index that is not answered; its place is NULL if there is none. */
static struct asked asked_for(uint64_t index)
{
	struct asked a = { .offset = index * PAGE };
	struct extpager_ctl *c;

	if (!extpager_ctl_open(&c)) {
		extpager_pending_list(c, take_pending, &a);
		extpager_ctl_close(c);
	}
	return a;
}

static bool is_parked(uint64_t index)
{
	struct asked a = asked_for(index);

	return a.nr == 1 && !strcmp(a.p.place, "parked") && !strcmp(a.p.request, "page-in");
}

/* ---- clients ---- */

/* 0, 1 if other bytes came, or an errno. */
static int read_page(void *arg)
{
	struct io *io = arg;
	char page[PAGE];

	posix_fadvise(io->fd, 0, 0, POSIX_FADV_RANDOM);
	if (pread(io->fd, page, PAGE, io->offset) != (ssize_t)PAGE)
		return errno;
	return io->seed ? !page_is(page, io->seed, io->offset / PAGE) : !page_is_zero(page);
}

static int touch_page(void *arg)
{
	struct io *io = arg;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, io->fd, 0);

	madvise(map, BYTES, MADV_RANDOM);
	return !page_is(map + io->offset, io->seed, io->offset / PAGE);
}

/* Its neighbours too, as the kernel chooses. */
static int read_around(void *arg)
{
	struct io *io = arg;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, io->fd, 0);

	return !page_is(map + io->offset, io->seed, io->offset / PAGE);
}

static int write_and_sync(void *arg)
{
	struct io *io = arg;

	return write_pages(io) || fsync(io->fd) ? errno : 0;
}

static int punch_page(void *arg)
{
	struct io *io = arg;

	return fallocate(io->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, io->offset,
			 io->length) ? errno : 0;
}

static int open_target(void *arg)
{
	int fd = target_open(NAME, O_RDWR);

	return fd < 0 ? -fd : 0;
}

/* Pages of the range in the cache, the locked ones of a page-in too, or -errno. */
static long in_cache(int fd, uint64_t index, uint64_t nr)
{
	struct { uint64_t offset, len; } range = { index * PAGE, nr * PAGE };
	struct { uint64_t cached, other[4]; } found;

	/* cachestat(2), which is younger than this machine's headers. */
	return syscall(451, fd, &range, &found, 0) ? -errno : (long)found.cached;
}

#define EXPECT_CACHED(nr, index) do {							\
	long here = in_cache(self->fd, index, 1);					\
											\
	if (here != -ENOSYS)								\
		EXPECT_EQ(nr, here);							\
} while (0)

/* ---- the target, with the test as its pager ---- */

FIXTURE(deadlines)
{
	struct pager p;
	uint64_t object;
	int fd;
};

FIXTURE_SETUP(deadlines)
{
	/* Left over from a test that failed. */
	if (target_state(NAME))
		target_gone(NAME);
	self->p.fd = -1;
	self->fd = -1;
}

FIXTURE_TEARDOWN(deadlines)
{
	if (self->fd >= 0)
		close(self->fd);
	if (self->p.fd >= 0)
		pager_close(&self->p);
	EXPECT_TRUE(target_gone(NAME));
}

static bool serve_target(struct pager *p, uint64_t *object, int *fd,
			 const struct target_options *options)
{
	if (target_add(NAME, options) || pager_open(p, 1, 0) ||
	    pager_attach(p, NAME, object, NULL))
		return false;
	/* The open is the first use; a pager must not wait for itself. */
	*fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	return *fd >= 0 && object_ready(p, NULL);
}

#define SERVE(...) ASSERT_TRUE(serve_target(&self->p, &self->object, &self->fd,		\
			&(struct target_options){ .bytes = BYTES, .handshake_ms = NEVER,\
						  .page_in_ms = NEVER, .return_ms = NEVER,\
						  .sync_ms = NEVER, __VA_ARGS__ }))
/* Its page-ins have a deadline at which their clients wait on. */
#define SERVE_WAITERS(...) SERVE(.page_in_ms = deadline(),				\
				 .page_in_action = EXTPAGER_ACTION_WAIT, __VA_ARGS__)

/* ---- the warning ---- */

FIXTURE(warned)
{
	struct pager p;
	uint64_t object;
	int fd;
};

FIXTURE_VARIANT(warned)
{
	const char *a_request;		/* as the log calls it */
	const char *traced;
	unsigned int op;		/* that is not answered */
	int (*fn)(void *arg);
	int error;			/* of the client's access, at the deadline */
	bool handshake, page_in, returned, sync;
};

FIXTURE_VARIANT_ADD(warned, handshake) {
	.a_request = "a handshake", .traced = "op=INIT index=0", .op = EXTPAGER_EV_INIT,
	.fn = open_target, .error = ETIMEDOUT, .handshake = true,
};
FIXTURE_VARIANT_ADD(warned, page_in) {
	.a_request = "a page-in", .traced = "op=DATA_REQUEST index=5",
	.op = EXTPAGER_EV_DATA_REQUEST, .fn = read_page, .error = EIO, .page_in = true,
};
FIXTURE_VARIANT_ADD(warned, returned) {
	.a_request = "a return", .traced = "op=DATA_RETURN index=5",
	.op = EXTPAGER_EV_DATA_RETURN, .fn = write_and_sync, .error = EIO, .returned = true,
};
FIXTURE_VARIANT_ADD(warned, sync) {
	.a_request = "a sync", .traced = "op=SYNC index=0", .op = EXTPAGER_EV_SYNC,
	.fn = write_and_sync, .error = EIO, .sync = true,
};

FIXTURE_SETUP(warned)
{
	if (target_state(NAME))
		target_gone(NAME);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){
		.bytes = BYTES, .return_action = EXTPAGER_ACTION_ERROR,
		.handshake_ms = variant->handshake ? deadline() : NEVER,
		.page_in_ms = variant->page_in ? deadline() : NEVER,
		.return_ms = variant->returned ? deadline() : NEVER,
		.sync_ms = variant->sync ? deadline() : NEVER,
	}));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, &self->object, NULL));
	self->fd = -1;
	if (variant->handshake)
		return;
	self->fd = target_open(NAME, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_TRUE(object_ready(&self->p, NULL));
}

FIXTURE_TEARDOWN(warned)
{
	if (self->fd >= 0)
		close(self->fd);
	pager_close(&self->p);
	EXPECT_TRUE(target_gone(NAME));
}

TEST_F(warned, half_of_a_deadline_is_told_once_and_before_its_end)
{
	struct io io = { self->fd, 5 * PAGE, PAGE, SEED };
	struct extpager_event ev;
	char line[160], want[96];
	struct listener told;
	unsigned long age = 0;
	struct client c;
	uint64_t start;
	int log;

	BEHAVIOURS(96);
	PARTIAL(116);
	ASSERT_TRUE(listen_begin(&told));
	ASSERT_TRUE(write_file(TRACING "trace", "\n"));
	ASSERT_TRUE(write_file(TRACING "events/extpager/extpager_slow/enable", "1"));
	log = log_begin();
	ASSERT_LE(0, log);
	start = ticked_ms();
	c = client_start(variant->fn, &io);
	do {
		ASSERT_TRUE(pager_event(&self->p, &ev, SOON));
		if (ev.op == EXTPAGER_EV_DATA_RETURN && variant->sync)
			ASSERT_EQ(0, pager_return_done(&self->p, &ev, 0));
	} while (ev.op != variant->op);

	ASSERT_TRUE(is_told(&told, EXTPAGER_EVENT_SLOW, SOON));
	EXPECT_EQ(0, timeouts());
	EXPECT_EQ(1, warnings());
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 0));
	EXPECT_LE(deadline() / 2, ticked_ms() - start);

	/* It is about to happen, and does. */
	EXPECT_EQ(EXTPAGER_EVENT_STALLED, next_told(&told, SOON));
	EXPECT_LE(deadline(), ticked_ms() - start);
	EXPECT_EQ(1, timeouts());
	EXPECT_EQ(1, warnings());
	EXPECT_EQ(variant->error, client_result(&c, SOON));
	ASSERT_TRUE(write_file(TRACING "events/extpager/extpager_slow/enable", "0"));
	snprintf(want, sizeof(want), "object=%#llx %s", (unsigned long long)self->object,
		 variant->traced);
	EXPECT_EQ(1, traced(want, &age));
	/* The clock may be ahead of the tick by which the time was counted. */
	EXPECT_LE(deadline() / 2 - TICK, age);
	EXPECT_GT(deadline(), age);
	snprintf(line, sizeof(line),
		 "target " NAME ": its pager has not answered %s for %u ms, half of its deadline",
		 variant->a_request, deadline() / 2);
	EXPECT_EQ(1, log_lines(log, line));
	close(log);
	listen_end(&told);
}

/* As long as nothing is answered it is one and the same silence. */
TEST_F(deadlines, a_silence_is_told_once_however_many_requests_it_keeps)
{
	struct extpager_event events[4];
	unsigned int i, round;
	struct listener told;
	struct client c[4];
	struct io io[4];
	int log;

	BEHAVIOURS(96);
	/* Enough of it is left after the last of them. */
	SERVE(.page_in_ms = 3 * deadline());
	ASSERT_TRUE(listen_begin(&told));
	log = log_begin();
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 4; i++) {
			io[i] = (struct io){ self->fd, (10 * round + i) * PAGE, PAGE, SEED };
			c[i] = client_start(read_page, &io[i]);
			ASSERT_TRUE(next_request(&self->p, &events[i]));
			/* Each is to be late at a time of its own. */
			(void)WAIT_FOR(deadline() / 8, warnings() > 4 * round);
		}
		ASSERT_TRUE(WAIT_FOR(SOON, warnings() == 4 * (round + 1)));
		EXPECT_EQ(EXTPAGER_EVENT_SLOW, next_told(&told, SOON));
		EXPECT_EQ(0, next_told(&told, QUIET));
		EXPECT_EQ(1, log_lines(log, "target " NAME ": its pager has not answered"));
		/* One answer is enough for a new one to be worth a word. */
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, pager_supply(&self->p, &events[i], SEED));
			EXPECT_EQ(0, client_result(&c[i], SOON));
		}
	}
	EXPECT_EQ(0, timeouts());
	close(log);
	listen_end(&told);
}

TEST_F(deadlines, what_is_answered_in_time_is_not_told)
{
	struct io io = { self->fd, 5 * PAGE, PAGE, SEED };
	struct extpager_event ev;
	struct listener told;
	struct client c;

	BEHAVIOURS(96);
	SERVE(.page_in_ms = deadline());
	io.fd = self->fd;
	ASSERT_TRUE(listen_begin(&told));
	c = client_start(read_page, &io);
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, SEED));
	EXPECT_EQ(0, client_result(&c, SOON));
	EXPECT_EQ(0, next_told(&told, deadline()));
	EXPECT_EQ(0, warnings());
	listen_end(&told);
}

/* Whoever waits sees the new deadline, its warning too. */
TEST_F(deadlines, a_deadline_that_is_shortened_warns_at_its_own_half)
{
	struct io io = { self->fd, 5 * PAGE, PAGE, SEED };
	struct extpager_event ev;
	struct listener told;
	struct client c;

	BEHAVIOURS(96);
	SERVE();
	io.fd = self->fd;
	c = client_start(read_page, &io);
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_TRUE(listen_begin(&told));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .page_in_ms = deadline() }));
	EXPECT_EQ(EXTPAGER_EVENT_CHANGED, next_told(&told, SOON));
	EXPECT_EQ(EXTPAGER_EVENT_SLOW, next_told(&told, SOON));
	EXPECT_EQ(0, timeouts());
	EXPECT_EQ(EXTPAGER_EVENT_STALLED, next_told(&told, SOON));
	EXPECT_EQ(EIO, client_result(&c, SOON));
	EXPECT_EQ(1, warnings());
	listen_end(&told);
}

/* ---- page-in: wait ---- */

/* The next event of @op; a silent pager's page-ins that are asked again come between. */
static bool next_of(struct pager *p, unsigned int op, struct extpager_event *ev)
{
	uint64_t end = now_ms() + SOON;

	while (now_ms() < end)
		if (pager_event(p, ev, SOON) && ev->op == op)
			return true;
	return false;
}

FIXTURE(parked)
{
	struct pager p;
	uint64_t object;
	int fd;
};

FIXTURE_VARIANT(parked)
{
	int (*fn)(void *arg);
};

FIXTURE_VARIANT_ADD(parked, read) { .fn = read_page };
FIXTURE_VARIANT_ADD(parked, touch) { .fn = touch_page };

FIXTURE_SETUP(parked)
{
	if (target_state(NAME))
		target_gone(NAME);
	SERVE_WAITERS();
}

FIXTURE_TEARDOWN(parked)
{
	close(self->fd);
	pager_close(&self->p);
	EXPECT_TRUE(target_gone(NAME));
}

TEST_F(parked, a_client_waits_on_and_a_late_answer_has_its_page_asked_again)
{
	struct io io = { self->fd, 5 * PAGE, PAGE, SEED };
	struct extpager_event first, ev;
	uint64_t start = ticked_ms();
	struct client c;
	struct asked a;

	BEHAVIOURS(96);
	c = client_start(variant->fn, &io);
	ASSERT_TRUE(next_request(&self->p, &first));
	EXPECT_FALSE(first.flags & EXTPAGER_EVF_RESENT);
	ASSERT_TRUE(WAIT_FOR(SOON, is_parked(5)));
	EXPECT_LE(deadline(), ticked_ms() - start);
	/* It is on the list a moment before its page goes; when this is told, that has gone. */
	EXPECT_TRUE(WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_STALLED));
	EXPECT_CACHED(0, 5);
	EXPECT_EQ(1, timeouts());
	EXPECT_EQ(1, warnings());
	EXPECT_EQ(1, tasks_waiting(c.pid));

	/* Now and then it is asked again, and parked again. */
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(first.offset, ev.offset);
	EXPECT_TRUE(ev.flags & EXTPAGER_EVF_RESENT);
	EXPECT_LE(2 * deadline(), ticked_ms() - start);
	a = asked_for(5);
	EXPECT_EQ(1, a.nr);
	EXPECT_EQ(c.pid, a.p.pid);
	EXPECT_LE(2 * deadline(), a.p.age_ms);
	ASSERT_TRUE(WAIT_FOR(SOON, is_parked(5)));
	/* Of a second time nothing is told. */
	EXPECT_TRUE(WAIT_FOR(SOON, in_cache(self->fd, 5, 1) != 1));
	EXPECT_CACHED(0, 5);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 0));

	EXPECT_EQ(-ENOENT, pager_supply(&self->p, &first, SEED));
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(NAME));
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(5 * PAGE, ev.offset);
	EXPECT_EQ(PAGE, ev.length);
	EXPECT_TRUE(ev.flags & EXTPAGER_EVF_RESENT);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, SEED));
	EXPECT_EQ(0, client_result(&c, SOON));
	/* The record of the first one ends by itself, when it has been asked again. */
	EXPECT_TRUE(WAIT_FOR(SOON, !asked_for(5).nr));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

TEST_F(parked, any_answer_has_the_page_asked_again)
{
	struct io io = { self->fd, 5 * PAGE, PAGE, SEED };
	struct io other = { self->fd, 90 * PAGE, PAGE, SEED };
	struct extpager_event ev;
	struct client c, d;

	BEHAVIOURS(96);
	c = client_start(variant->fn, &io);
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_TRUE(WAIT_FOR(SOON, is_parked(5)));
	ASSERT_TRUE(WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_STALLED));
	d = client_start(read_page, &other);
	do {
		ASSERT_TRUE(next_request(&self->p, &ev));
	} while (ev.offset != other.offset);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, SEED));
	EXPECT_EQ(0, client_result(&d, SOON));
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(io.offset, ev.offset);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, SEED));
	EXPECT_EQ(0, client_result(&c, SOON));
}

TEST_F(parked, a_waiter_dies_at_once)
{
	unsigned int i, limit = on_debug_kernel() ? 1000 : 100;
	uint64_t best = UINT64_MAX, start;
	struct extpager_event ev;

	BEHAVIOURS(96);
	BEHAVIOURS_IF(!on_debug_kernel(), 99);
	/* Another program may keep the machine's CPUs for a while: the best of three counts. */
	for (i = 0; i < 3 && best > limit; i++) {
		struct io io = { self->fd, (10 + i) * PAGE, PAGE, SEED };
		struct client c = client_start(variant->fn, &io);

		do {
			ASSERT_TRUE(next_request(&self->p, &ev));
		} while (ev.offset != io.offset);
		ASSERT_TRUE(WAIT_FOR(SOON, is_parked(10 + i)));
		start = now_ms();
		kill(c.pid, SIGKILL);
		ASSERT_EQ(-SIGKILL, client_result(&c, SOON));
		if (now_ms() - start < best)
			best = now_ms() - start;
	}
	EXPECT_GE(limit, best);
}

/* What nothing holds can be punched, and reads as zeros, for who has waited too. */
TEST_F(deadlines, a_parked_page_and_its_neighbour_can_be_punched)
{
	struct io io, near, zero;
	struct extpager_event ev, punched[2];
	struct client c, puncher[2];
	unsigned int i;

	BEHAVIOURS(96);
	SERVE_WAITERS();
	near = (struct io){ self->fd, 6 * PAGE, PAGE, 0 };
	io = zero = (struct io){ self->fd, 5 * PAGE, PAGE, 0 };
	c = client_start(read_page, &io);
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_TRUE(WAIT_FOR(SOON, is_parked(5)));
	ASSERT_TRUE(WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_STALLED));
	EXPECT_CACHED(0, 5);
	puncher[0] = client_start(punch_page, &near);
	ASSERT_TRUE(next_of(&self->p, EXTPAGER_EV_DATA_RETURN, &punched[0]));
	EXPECT_EQ(near.offset, punched[0].offset);
	puncher[1] = client_start(punch_page, &zero);
	ASSERT_TRUE(next_of(&self->p, EXTPAGER_EV_DATA_RETURN, &punched[1]));
	EXPECT_EQ(zero.offset, punched[1].offset);
	EXPECT_EQ(0, client_result(&c, SOON));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(EXTPAGER_EVF_ZERO, punched[i].flags & EXTPAGER_EVF_ZERO);
		ASSERT_EQ(0, pager_return_done(&self->p, &punched[i], 0));
		EXPECT_EQ(0, client_result(&puncher[i], SOON));
	}
}

TEST_F(deadlines, a_parked_page_is_not_asked_for_with_its_neighbours)
{
	struct io io, near;
	struct extpager_event first, ev;
	struct client c, d;
	bool after = false;

	BEHAVIOURS(96);
	SERVE_WAITERS();
	io = (struct io){ self->fd, 5 * PAGE, PAGE, SEED };
	near = (struct io){ self->fd, 6 * PAGE, PAGE, SEED };
	c = client_start(touch_page, &io);
	ASSERT_TRUE(next_request(&self->p, &first));
	ASSERT_TRUE(WAIT_FOR(SOON, is_parked(5)));
	d = client_start(read_around, &near);
	while (!after) {
		ASSERT_TRUE(next_request(&self->p, &ev));
		/* That it is asked again by itself is another matter. */
		if (ev.offset == first.offset && ev.length == first.length)
			continue;
		EXPECT_TRUE(ev.offset > io.offset || ev.offset + ev.length <= io.offset);
		after = ev.offset == near.offset;
	}
	ASSERT_EQ(0, pager_supply(&self->p, &ev, SEED));
	EXPECT_EQ(0, client_result(&d, SOON));
	ASSERT_EQ(0, serve_client(&self->p, &c, SEED, NULL));
}

#define CROWD 16

/* Those who come while it is parked do not ask either. */
TEST_F_TIMEOUT(deadlines, a_crowd_asks_once_a_deadline, 120)
{
	uint64_t last = 0, now, start = now_ms();
	struct extpager_event ev;
	unsigned int i, round, asked = 0;
	struct crowd *c[2];

	BEHAVIOURS(96);
	PARTIAL(13);
	SERVE_WAITERS();
	for (round = 0; round < 2; round++) {
		c[round] = crowd_new(self->fd, BYTES, SEED, CROWD);
		for (i = 0; i < CROWD; i++) {
			c[round]->access[i].offset = 5 * PAGE;
			c[round]->access[i].how = i % 2 ? BY_READ : BY_TOUCH;
		}
		crowd_start(c[round]);
		/* The clock begins with the first of them, whenever the last one comes. */
		if (!round) {
			ASSERT_TRUE(next_request(&self->p, &ev));
			last = now_ms();
		}
		ASSERT_TRUE(crowd_waits(c[round], CROWD, SOON));
		if (!round)
			ASSERT_TRUE(WAIT_FOR(SOON, is_parked(5)));
	}
	while (now_ms() < start + 5 * deadline()) {
		if (!pager_event(&self->p, &ev, 10))
			continue;
		now = now_ms();
		ASSERT_EQ(EXTPAGER_EV_DATA_REQUEST, ev.op);
		EXPECT_EQ(5 * PAGE, ev.offset);
		/* It is parked for a deadline after one. */
		EXPECT_LE(deadline() * 3 / 2, now - last);
		last = now;
		asked++;
	}
	/* It is asked at all, or a pager that answers only what is new is never noticed. */
	EXPECT_LE(1, asked);
	EXPECT_GE(5, asked);
	EXPECT_EQ(0, crowd_ended(c[0]));
	EXPECT_EQ(0, crowd_ended(c[1]));
	for (round = 0; round < 2; round++) {
		EXPECT_EQ(0, serve_client(&self->p, &c[round]->client, SEED, NULL));
		EXPECT_EQ(CROWD, crowd_right(c[round]));
		crowd_free(c[round]);
	}
}

/* Those who look ahead do not wait, and leave nothing. */
TEST_F(deadlines, what_nobody_waits_for_is_not_parked)
{
	struct extpager_event ev;

	BEHAVIOURS(96);
	SERVE_WAITERS();
	ASSERT_EQ(0, prefetch(self->fd, 20, 4));
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_TRUE(WAIT_FOR(SOON, timeouts() == 1));
	EXPECT_TRUE(WAIT_FOR(SOON, !asked_for(ev.offset / PAGE).nr));
	EXPECT_TRUE(WAIT_FOR(SOON, target_state(NAME) == EXTPAGER_STATE_STALLED));
	EXPECT_CACHED(0, 20);
	EXPECT_TRUE(pager_silent(&self->p, 2 * deadline()));
}

TEST_F(deadlines, who_is_to_wait_no_more_gets_the_error_a_deadline_later)
{
	struct io io;
	struct extpager_event ev;
	struct client c;

	BEHAVIOURS(96);
	SERVE_WAITERS();
	io = (struct io){ self->fd, 5 * PAGE, PAGE, SEED };
	c = client_start(read_page, &io);
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_TRUE(WAIT_FOR(SOON, is_parked(5)));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){
		.page_in_action = EXTPAGER_ACTION_ERROR }));
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(EIO, client_result(&c, SOON));
	EXPECT_FALSE(asked_for(5).nr);
}

/* ---- a pager that is stopped, or dies, while its clients wait on ---- */

FIXTURE(silent)
{
	struct server s;
	int fd;
};

FIXTURE_VARIANT(silent)
{
	const char *policy;
	bool dies;
	int result;			/* of the clients */
};

FIXTURE_VARIANT_ADD(silent, stopped) { .policy = "hold" };
FIXTURE_VARIANT_ADD(silent, killed_hold) { .policy = "hold", .dies = true };
FIXTURE_VARIANT_ADD(silent, killed_fail) { .policy = "fail", .dies = true, .result = EIO };

FIXTURE_SETUP(silent)
{
	if (target_state(NAME))
		target_gone(NAME);
	ASSERT_EQ(0, target_add(NAME, &(struct target_options){
		.bytes = BYTES, .policy = variant->policy, .page_in_ms = deadline(),
		.page_in_action = EXTPAGER_ACTION_WAIT }));
	ASSERT_TRUE(server_start(&self->s, NAME, BYTES, SEED));
	self->fd = target_open(NAME, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(silent)
{
	close(self->fd);
	server_stop(&self->s);
	EXPECT_TRUE(target_gone(NAME));
}

TEST_F(silent, clients_get_their_pages_when_somebody_serves_again)
{
	struct io io[3];
	struct client c[3];
	unsigned int i;

	BEHAVIOURS(96);
	PARTIAL(86);
	kill(self->s.pid, SIGSTOP);
	for (i = 0; i < 3; i++) {
		io[i] = (struct io){ self->fd, (5 + 50 * i) * PAGE, PAGE, SEED };
		c[i] = client_start(i % 2 ? touch_page : read_page, &io[i]);
	}
	for (i = 0; i < 3; i++)
		ASSERT_TRUE(WAIT_FOR(SOON, is_parked(io[i].offset / PAGE)));
	/* Two and a half deadlines. */
	ASSERT_TRUE(WAIT_FOR(SOON, timeouts() > 3 ||
			     (timeouts() == 3 && warnings() > 3)));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(CLIENT_RUNNING, client_result(&c[i], 0));
	if (variant->dies)
		server_kill(&self->s);
	else
		kill(self->s.pid, SIGCONT);
	if (variant->dies && !variant->result)
		ASSERT_TRUE(server_restart(&self->s, NAME));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(variant->result ? i % 2 ? CLIENT_SIGBUS : EIO : 0,
			  client_result(&c[i], SOON));
}

/* ---- handshake: wait ---- */

TEST_F(deadlines, an_opener_waits_on_until_its_pager_is_ready)
{
	struct target_options o = {
		.bytes = BYTES, .handshake_ms = deadline(),
		.handshake_action = EXTPAGER_ACTION_WAIT,
	};
	struct extpager_event first, ev;
	struct client c, killed;
	uint64_t start;

	BEHAVIOURS(96);
	PARTIAL(2);
	ASSERT_EQ(0, target_add(NAME, &o));
	/* With nobody there at all, */
	start = ticked_ms();
	c = client_start(open_target, NULL);
	killed = client_start(open_target, NULL);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, deadline() * 3 / 2));
	kill(killed.pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, client_result(&killed, SOON));
	/* and with one that says nothing. */
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	ASSERT_EQ(0, pager_attach(&self->p, NAME, NULL, NULL));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &first, SOON));
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
	EXPECT_LT(first.generation, ev.generation);
	EXPECT_LE(deadline() * 5 / 2, ticked_ms() - start);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, 0));
	EXPECT_EQ(-ESTALE, pager_ready(&self->p, &first, 0, 0));
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
	EXPECT_EQ(0, client_result(&c, SOON));
}

TEST_F(deadlines, an_opener_that_is_to_wait_no_more_times_out)
{
	struct target_options o = {
		.bytes = BYTES, .handshake_ms = deadline(),
		.handshake_action = EXTPAGER_ACTION_WAIT,
	};
	struct client c;

	BEHAVIOURS(96);
	ASSERT_EQ(0, target_add(NAME, &o));
	c = client_start(open_target, NULL);
	EXPECT_EQ(CLIENT_RUNNING, client_result(&c, deadline() * 3 / 2));
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){
		.handshake_action = EXTPAGER_ACTION_ERROR }));
	EXPECT_EQ(ETIMEDOUT, client_result(&c, SOON));
}

TEST_HARNESS_MAIN
