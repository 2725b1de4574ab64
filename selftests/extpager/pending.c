// SPDX-License-Identifier: GPL-2.0-only
/* While a page is with the pager: what its waiters and everybody else can do. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/borrow.h"
#include "support/crowd.h"
#include "support/object.h"
#include "support/pager.h"

#define BYTES		(64 * MIB)

/* A ready object; the test maps it too, but touches only what is there. */
FIXTURE(pending)
{
	struct pager p;
	uint64_t object;
	uint32_t generation;
	int fd;
	uint8_t *map;
};

FIXTURE_SETUP(pending)
{
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	self->fd = pager_create(&self->p, BYTES, 0, &self->object);
	ASSERT_LE(0, self->fd);
	self->map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	ASSERT_TRUE(object_ready(&self->p, &self->generation));
}

FIXTURE_TEARDOWN(pending)
{
	munmap(self->map, BYTES);
	close(self->fd);
	pager_close(&self->p);
}

/* ---- whoever waits can be killed ---- */

static int kill_in_touch(void *arg)
{
	struct borrow *b = arg;
	const uint8_t *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, b->lender->fd, 0);

	return page_is(map + b->offset, 0, 0);
}

static int kill_in_store(void *arg)
{
	struct borrow *b = arg;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->lender->fd, 0);

	*(volatile uint8_t *)(map + b->offset) = 1;
	return 0;
}

static int kill_in_read(void *arg)
{
	struct borrow *b = arg;
	char c;

	return pread(b->lender->fd, &c, 1, b->offset) != 1;
}

static int kill_in_write(void *arg)
{
	struct borrow *b = arg;

	return pwrite(b->lender->fd, "x", 1, b->offset) != 1;
}

static int kill_in_splice(void *arg)
{
	struct borrow *b = arg;
	loff_t offset = b->offset;
	int pipefd[2];

	return pipe(pipefd) || splice(b->lender->fd, &offset, pipefd[1], NULL, PAGE, 0) < 0;
}

/* read() of something else into the mapping: the kernel's own store faults. */
static int kill_in_copy(void *arg)
{
	struct borrow *b = arg;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->lender->fd, 0);
	int pipefd[2];

	if (pipe(pipefd) || write(pipefd[1], "x", 1) != 1)
		return 1;
	return read(pipefd[0], map + b->offset, 1) != 1;
}

static int kill_in_mlock(void *arg)
{
	struct borrow *b = arg;
	uint8_t *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, b->lender->fd, b->offset);

	return mlock(map, PAGE);
}

static int kill_in_direct_io(void *arg)
{
	struct borrow *b = arg;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, b->lender->fd, 0);
	int disk = open(DISK, O_RDWR | O_DIRECT);

	return pwrite(disk, map + b->offset, PAGE, MIB) != PAGE;
}

/* How long a client that waits takes to die of SIGKILL. */
static uint64_t dying_ms(struct client *c)
{
	uint64_t start = now_ms();

	kill(c->pid, SIGKILL);
	return client_result(c, SOON) == -SIGKILL ? now_ms() - start : UINT64_MAX;
}

static unsigned int dying_limit(void)
{
	return on_debug_kernel() ? 1000 : 100;
}

FIXTURE(killable)
{
	struct pager p;
	int fd;
	void *map;
};

FIXTURE_VARIANT(killable)
{
	int (*fn)(void *arg);
};

#define KILLABLE(_name, _fn) \
	FIXTURE_VARIANT_ADD(killable, _name) { .fn = _fn }

KILLABLE(touch, kill_in_touch);
KILLABLE(store, kill_in_store);
KILLABLE(read, kill_in_read);
KILLABLE(write, kill_in_write);
KILLABLE(splice, kill_in_splice);
KILLABLE(copy, kill_in_copy);
KILLABLE(mlock, kill_in_mlock);
KILLABLE(direct_io, kill_in_direct_io);
KILLABLE(process_vm_readv, borrow_readv);
KILLABLE(process_vm_writev, borrow_writev);
KILLABLE(proc_mem, borrow_proc_mem);
KILLABLE(ptrace, borrow_ptrace);

FIXTURE_SETUP(killable)
{
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	self->fd = pager_create(&self->p, BYTES, 0, NULL);
	ASSERT_LE(0, self->fd);
	self->map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	ASSERT_TRUE(object_ready(&self->p, NULL));
}

FIXTURE_TEARDOWN(killable)
{
	munmap(self->map, PAGE);
	close(self->fd);
	pager_close(&self->p);
}

/* Another program may keep the machine's CPUs for a while: the best of three counts. */
TEST_F(killable, a_waiter_dies_at_once)
{
	uint64_t best = UINT64_MAX, ms;
	struct extpager_event ev;
	unsigned int i;

	BEHAVIOURS_IF(!on_debug_kernel(), 30);
	ASSERT_TRUE(variant->fn != kill_in_direct_io || disk_ready());
	posix_fadvise(self->fd, 0, 0, POSIX_FADV_RANDOM);
	for (i = 0; i < 3 && best > dying_limit(); i++) {
		struct client owner, client;
		struct borrow b = { .offset = (10 + i) * PAGE + 8, .seed = 30 };

		b.lender = lender_start(self->fd, BYTES, &owner);
		ASSERT_NE(NULL, b.lender);
		if (variant->fn == kill_in_direct_io || variant->fn == kill_in_mlock)
			b.offset -= 8;
		client = client_start(variant->fn, &b);
		ASSERT_TRUE(next_request(&self->p, &ev));
		ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(client.pid) == 1));
		ms = dying_ms(&client);
		ASSERT_GT(5000, ms);
		if (ms < best)
			best = ms;
		/* The question stands, and its answer is for whoever comes next. */
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 30));
		client = client_start(kill_in_touch, &b);
		EXPECT_EQ(0, client_result(&client, SOON));
		client_kill(&owner);
	}
	EXPECT_GE(dying_limit(), best);
}

struct copier {
	int fd;
	volatile bool refused;
};

static int copy_into_mapping(void *arg)
{
	struct copier *c = arg;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	int pipefd[2];

	madvise(map, BYTES, MADV_RANDOM);
	if (pipe(pipefd) || write(pipefd[1], "kernel", 6) != 6)
		return 1;
	if (read(pipefd[0], map, 6) >= 0 || errno != EFAULT)
		return 2;
	c->refused = true;
	/* What could not be delivered is still there. */
	if (read(pipefd[0], map, 6) != 6)
		return 3;
	return memcmp(map, "kernel", 6) ? 4 : 0;
}

TEST_F(pending, a_copy_of_the_kernel_fails_with_efault_or_completes)
{
	struct copier *c = shared_memory(sizeof(*c));
	struct extpager_event ev;
	struct client client;

	BEHAVIOURS(30);
	c->fd = self->fd;
	client = client_start(copy_into_mapping, c);
	/* The copy may be tried again byte by byte: an access of its own. */
	for (;;) {
		ASSERT_TRUE(next_request(&self->p, &ev));
		if (c->refused)
			break;
		ASSERT_EQ(0, pager_error(&self->p, &ev, ev.offset, ev.length, EIO));
	}
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 1));
	EXPECT_EQ(0, client_result(&client, SOON));
}

static int do_sync(void *arg)
{
	sync();
	return 0;
}

static int do_compact(void *arg)
{
	return !write_file("/proc/sys/vm/compact_memory", "1");
}

struct punch {
	int fd;
	uint64_t offset, length;
	volatile int error;
};

static int do_punch(void *arg)
{
	struct punch *p = arg;

	p->error = fallocate(p->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, p->offset,
			     p->length) ? errno : 0;
	return 0;
}

static uint64_t run_ms(int (*fn)(void *arg), void *arg)
{
	uint64_t start = now_ms();
	struct client c = client_start(fn, arg);

	return client_result(&c, SOON) ? UINT64_MAX : now_ms() - start;
}

TEST(sync_compaction_and_punch_end_by_the_deadline)
{
	unsigned int deadline = on_debug_kernel() ? 4000 : 2000;
	struct target_options o = {
		.bytes = BYTES, .page_in_ms = deadline, .return_ms = deadline,
		.sync_ms = deadline, .return_action = EXTPAGER_ACTION_ERROR,
	};
	struct punch *punch = shared_memory(sizeof(*punch));
	uint64_t usual, again, took, timeouts;
	struct extpager_event ev;
	struct client client;
	struct crowd *c;
	struct io io;
	struct pager p;
	int fd;

	BEHAVIOURS(30);
	usual = run_ms(do_compact, NULL);
	ASSERT_GT(SOON, usual);
	ASSERT_EQ(0, target_add("mute", &o));
	ASSERT_EQ(0, pager_open(&p, 1, 0));
	ASSERT_EQ(0, pager_attach(&p, "mute", NULL, NULL));
	fd = target_open("mute", O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(object_ready(&p, NULL));

	/* Pages that are asked for are locked; compaction waits for some. */
	c = crowd_new(fd, BYTES, 9, 1);
	ASSERT_EQ(0, prefetch(fd, 0, 2048));
	crowd_start(c);
	ASSERT_TRUE(crowd_waits(c, 1, SOON));
	took = run_ms(do_compact, NULL);
	EXPECT_EQ(0, crowd_join(c, SOON));
	/* The machine may be busier than it was before. */
	again = run_ms(do_compact, NULL);
	if (again > usual)
		usual = again;
	ASSERT_GT(SOON, usual);
	EXPECT_GE(deadline * 3 / 2 + 2 * usual, took);
	EXPECT_EQ(-BUS_ADRERR, c->access[0].error);
	crowd_free(c);
	while (pager_event(&p, &ev, QUIET))
		EXPECT_EQ(EXTPAGER_EV_DATA_REQUEST, ev.op);

	/* The return of a dirty page is never acknowledged. */
	io = (struct io){ fd, 3000 * PAGE, 4 * PAGE, 30 };
	client = client_start(write_pages, &io);
	EXPECT_EQ(0, client_result(&client, SOON));
	/* What has failed once is not tried again. */
	timeouts = target_stat("mute", EXTPAGER_A_STATS_TIMEOUTS);
	took = run_ms(do_sync, NULL);
	EXPECT_GE(deadline * 3 / 2, took);
	/* It was about these pages: they were asked back, and in vain. */
	EXPECT_LE(deadline / 2, took);
	EXPECT_LT(timeouts, target_stat("mute", EXTPAGER_A_STATS_TIMEOUTS));
	EXPECT_EQ(4 * PAGE, target_dirty("mute"));
	*punch = (struct punch){ .fd = fd, .offset = 100 * PAGE, .length = 10 * PAGE };
	EXPECT_GE(deadline * 3 / 2, run_ms(do_punch, punch));
	EXPECT_EQ(EIO, punch->error);
	close(fd);
	EXPECT_TRUE(target_gone("mute"));
	pager_close(&p);
}

/* ---- what others do meanwhile ---- */

/* Ends within @ms, or the machine is busy beyond measure. */
static bool maps_are_readable(pid_t pid)
{
	char path[40], buf[256];
	int fd, n;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fd = open(path, O_RDONLY);
	n = read(fd, buf, sizeof(buf));
	close(fd);
	return n > 0;
}

/* Zeros for page @index, which nobody is in the way of. */
static bool punch_ends(struct pager *p, int fd, uint64_t index)
{
	struct punch *punch = shared_memory(sizeof(*punch));
	struct extpager_event ev;
	struct client client;
	bool ended;

	*punch = (struct punch){ .fd = fd, .offset = index * PAGE, .length = PAGE };
	client = client_start(do_punch, punch);
	ended = pager_expect(p, EXTPAGER_EV_DATA_RETURN, &ev, SOON) &&
		ev.flags == EXTPAGER_EVF_ZERO && ev.offset == index * PAGE && ev.length == PAGE &&
		!pager_return_done(p, &ev, 0) && !client_result(&client, SOON) && !punch->error;
	munmap(punch, sizeof(*punch));
	return ended;
}

/* Its result is an errno. */
static int truncate_object(void *arg)
{
	struct io *io = arg;

	return ftruncate(io->fd, io->length) ? errno : 0;
}

TEST_F(pending, an_unanswered_page_delays_nobody_else)
{
	struct crowd *stuck = crowd_new(self->fd, BYTES, 144, 2);
	struct crowd *other = crowd_new(self->fd, BYTES, 144, 2);
	struct crowd *near = crowd_new(self->fd, BYTES, 144, 1);
	struct io io = { self->fd, 700 * PAGE, 3 * PAGE, 144 };
	struct io whole = { .fd = self->fd, .length = BYTES };
	struct io less = { .fd = self->fd, .length = BYTES - PAGE };
	struct extpager_event asked, ev, before;
	struct client client;
	unsigned int i;

	BEHAVIOURS(144);
	posix_fadvise(self->fd, 0, 0, POSIX_FADV_RANDOM);
	for (i = 0; i < 2; i++) {
		stuck->access[i].offset = 5 * PAGE;
		other->access[i].offset = (600 + i) * PAGE;
		stuck->access[i].how = other->access[i].how = i ? BY_READ : BY_TOUCH;
	}
	crowd_start(stuck);
	ASSERT_TRUE(next_request(&self->p, &asked));
	ASSERT_TRUE(crowd_waits(stuck, 2, SOON));

	crowd_start(other);
	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(next_request(&self->p, &ev));
		EXPECT_LE(600 * PAGE, ev.offset);
		ASSERT_EQ(0, pager_supply(&self->p, &ev, 144));
	}
	EXPECT_EQ(0, crowd_join(other, SOON));
	EXPECT_EQ(2, crowd_right(other));

	/* What is read around its neighbour goes round it. */
	near->advice = MADV_NORMAL;
	near->access[0].offset = 6 * PAGE;
	crowd_start(near);
	ASSERT_TRUE(next_request(&self->p, &before));
	EXPECT_EQ(0, before.offset);
	EXPECT_EQ(5 * PAGE, before.length);
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(6 * PAGE, ev.offset);
	EXPECT_EQ(6 * PAGE, ev.wanted);
	EXPECT_LT(PAGE, ev.length);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 144));
	EXPECT_EQ(0, crowd_join(near, SOON));
	EXPECT_EQ(1, crowd_right(near));
	EXPECT_EQ(0, crowd_ended(stuck));
	ASSERT_EQ(0, pager_supply(&self->p, &before, 144));

	/* The size is fixed, which needs no pager. */
	client = client_start(truncate_object, &whole);
	EXPECT_EQ(0, client_result(&client, SOON));
	client = client_start(truncate_object, &less);
	EXPECT_EQ(EPERM, client_result(&client, SOON));

	EXPECT_TRUE(punch_ends(&self->p, self->fd, 4));
	client = client_start(write_pages, &io);
	EXPECT_EQ(0, client_result(&client, SOON));
	EXPECT_TRUE(maps_are_readable(stuck->client.pid));

	EXPECT_EQ(0, crowd_ended(stuck));
	ASSERT_EQ(0, pager_supply(&self->p, &asked, 144));
	EXPECT_EQ(0, crowd_join(stuck, SOON));
	EXPECT_EQ(2, crowd_right(stuck));
	crowd_free(stuck);
	crowd_free(other);
	crowd_free(near);
}

static int write_byte(void *arg)
{
	struct io *io = arg;

	return pwrite(io->fd, "x", 1, io->offset) != 1;
}

/* The gate comes before the inode lock, which all writers and punchers take. */
TEST_F(pending, a_write_that_waits_for_its_page_delays_no_other)
{
	struct io part = { self->fd, 5 * PAGE + 8, 1, 0 };
	struct io whole = { self->fd, 9 * PAGE, PAGE, 144 };
	struct io other = { self->fd, 700 * PAGE, 3 * PAGE, 144 };
	struct extpager_event asked, coming;
	struct client writer[2], client;
	unsigned int i;

	BEHAVIOURS(144);
	/* One wants the rest of its page, the other finds its page on the way. */
	ASSERT_EQ(0, prefetch(self->fd, 9, 1));
	ASSERT_TRUE(next_request(&self->p, &coming));
	writer[0] = client_start(write_byte, &part);
	ASSERT_TRUE(next_request(&self->p, &asked));
	EXPECT_EQ(5 * PAGE, asked.offset);
	writer[1] = client_start(write_pages, &whole);
	for (i = 0; i < 2; i++)
		ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(writer[i].pid) == 1));

	client = client_start(write_pages, &other);
	EXPECT_EQ(0, client_result(&client, SOON));
	EXPECT_TRUE(punch_ends(&self->p, self->fd, 20));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(1, tasks_waiting(writer[i].pid));

	ASSERT_EQ(0, pager_supply(&self->p, &asked, 0));
	ASSERT_EQ(0, pager_supply(&self->p, &coming, 0));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, client_result(&writer[i], SOON));
	EXPECT_EQ('x', self->map[5 * PAGE + 8]);
	EXPECT_TRUE(page_is(self->map + 9 * PAGE, 144, 9));
}

static int write_and_sync(void *arg)
{
	struct io *io = arg;

	return write_pages(io) || fsync(io->fd);
}

TEST_F(pending, a_punch_that_waits_keeps_nobody_from_dying)
{
	struct punch *punch = shared_memory(2 * sizeof(*punch));
	uint64_t best = UINT64_MAX, worst, ms;
	struct extpager_event asked, late, returned, zeroed;
	unsigned int i, round;

	BEHAVIOURS_IF(!on_debug_kernel(), 99);
	posix_fadvise(self->fd, 0, 0, POSIX_FADV_RANDOM);
	for (round = 0; round < 3 && best > dying_limit(); round++) {
		struct crowd *c = crowd_new(self->fd, BYTES, 99, 1);
		struct crowd *comers = crowd_new(self->fd, BYTES, 99, 2);
		struct io io = { self->fd, 300 * PAGE, PAGE, 99 };
		struct io dirty = { self->fd, 100 * PAGE, PAGE, 99 };
		struct client puncher[2], writer, syncer, *dying[6];

		c->access[0].offset = (5 + round) * PAGE;
		crowd_start(c);
		ASSERT_TRUE(next_request(&self->p, &asked));
		ASSERT_TRUE(crowd_waits(c, 1, SOON));
		syncer = client_start(write_and_sync, &dirty);
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &returned, SOON));
		/* One waits for the return of a page in its range, the other for the first. */
		for (i = 0; i < 2; i++) {
			punch[i] = (struct punch){ self->fd, (100 + 50 * i) * PAGE, 10 * PAGE, 0 };
			puncher[i] = client_start(do_punch, &punch[i]);
			ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(puncher[i].pid) == 1));
		}
		/* Those who come now wait for a page, or as the second does for the first. */
		comers->access[0].offset = comers->access[1].offset = (30 + round) * PAGE;
		comers->access[1].how = BY_READ;
		crowd_start(comers);
		ASSERT_TRUE(next_request(&self->p, &late));
		ASSERT_TRUE(crowd_waits(comers, 2, SOON));
		writer = client_start(write_pages, &io);
		ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(writer.pid) == 1));

		dying[0] = &comers->client;
		dying[1] = &writer;
		dying[2] = &c->client;
		dying[3] = &puncher[1];
		dying[4] = &puncher[0];
		dying[5] = &syncer;
		worst = 0;
		for (i = 0; i < ARRAY_SIZE(dying); i++) {
			ms = dying_ms(dying[i]);
			if (ms > worst)
				worst = ms;
		}
		ASSERT_GT(5000, worst);
		if (worst < best)
			best = worst;
		/* What they asked for stands. */
		EXPECT_EQ(100 * PAGE, returned.offset);
		EXPECT_EQ(0, pager_return_done(&self->p, &returned, 0));
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &zeroed, SOON));
		EXPECT_EQ(EXTPAGER_EVF_ZERO, zeroed.flags);
		EXPECT_EQ(100 * PAGE, zeroed.offset);
		EXPECT_EQ(10 * PAGE, zeroed.length);
		EXPECT_EQ(0, pager_return_done(&self->p, &zeroed, 0));
		EXPECT_EQ(0, pager_supply(&self->p, &asked, 99));
		EXPECT_EQ(0, pager_supply(&self->p, &late, 99));
		EXPECT_TRUE(page_is(self->map + c->access[0].offset, 99, 5 + round));
		EXPECT_TRUE(page_is(self->map + late.offset, 99, 30 + round));
		EXPECT_TRUE(pager_silent(&self->p, QUIET));
		crowd_free(c);
		crowd_free(comers);
	}
	EXPECT_GE(dying_limit(), best);
}

static int touch_io(void *arg)
{
	struct io *io = arg;
	const uint8_t *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, io->fd, 0);

	madvise((void *)map, BYTES, MADV_RANDOM);
	return !page_is(map + io->offset, io->seed, io->offset / PAGE);
}

TEST_F(pending, a_stop_takes_effect_when_the_fault_is_answered)
{
	struct io io = { self->fd, 30 * PAGE, 0, 100 };
	struct extpager_event ev;
	struct client client;

	BEHAVIOURS(100);
	client = client_start(touch_io, &io);
	ASSERT_TRUE(next_request(&self->p, &ev));
	ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(client.pid) == 1));
	ASSERT_EQ(0, kill(client.pid, SIGSTOP));
	EXPECT_FALSE(WAIT_FOR(QUIET, client_is_stopped(&client)));
	EXPECT_EQ(1, tasks_waiting(client.pid));
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 100));
	EXPECT_TRUE(WAIT_FOR(SOON, client_is_stopped(&client)));
	EXPECT_EQ(CLIENT_RUNNING, client_result(&client, QUIET));
	ASSERT_EQ(0, kill(client.pid, SIGCONT));
	EXPECT_EQ(0, client_result(&client, SOON));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

/* ---- the address space changes under a waiter ---- */

/*
 * A client one thread of which touches page 40, and whose main thread then
 * changes the address space when it is told to.
 */
enum change { UNMAP, MOVE, REPLACE, PROTECT, FORK };

struct scene {
	int fd, other_fd;
	enum change change;
	bool store;			/* the thread: to the page, once it was read */
	volatile bool go;		/* the test: change it now */
	volatile bool changed;		/* the client: done */
	volatile pid_t child;
	uint8_t *map;
	int signal;			/* that the thread got */
	bool right, other_right;	/* what the thread read */
};

#define SCENE_PAGE 40UL

static __thread sigjmp_buf scene_jump;

static void on_scene_signal(int sig)
{
	siglongjmp(scene_jump, sig);
}

static void *touch_scene(void *arg)
{
	struct scene *s = arg;
	uint8_t *page = s->map + SCENE_PAGE * PAGE;

	s->signal = sigsetjmp(scene_jump, 1);
	if (!s->signal) {
		s->right = page_is(page, 101, SCENE_PAGE);
		if (s->store)
			*(volatile uint8_t *)page = *page;
		s->other_right = page_is(page, 102, SCENE_PAGE);
	}
	return NULL;
}

static uint8_t *map_scene(int fd)
{
	uint8_t *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return map == MAP_FAILED || madvise(map, BYTES, MADV_RANDOM) ? NULL : map;
}

/* Where the object is mapped then; NULL if it did not work. */
static uint8_t *change_scene(struct scene *s)
{
	uint8_t *to;
	pid_t child;

	switch (s->change) {
	case UNMAP:
		return munmap(s->map, BYTES) ? NULL : s->map;
	case MOVE:
		to = mmap(NULL, BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		to = mremap(s->map, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, to);
		return to == MAP_FAILED ? NULL : to;
	case REPLACE:
		to = mmap(s->map, BYTES, PROT_READ, MAP_SHARED | MAP_FIXED, s->other_fd, 0);
		return to == s->map && !madvise(to, BYTES, MADV_RANDOM) ? to : NULL;
	case PROTECT:
		return mprotect(s->map, BYTES, PROT_NONE) ? NULL : map_scene(s->fd);
	case FORK:
		child = fork();
		if (!child)
			_exit(!page_is(s->map + SCENE_PAGE * PAGE, 101, SCENE_PAGE));
		s->child = child;
		return child < 0 ? NULL : s->map;
	}
	return NULL;
}

static int scene_main(void *arg)
{
	struct scene *s = arg;
	uint8_t *map = map_scene(s->fd);
	pthread_t thread;
	int status;

	s->map = map;
	signal(SIGBUS, on_scene_signal);
	signal(SIGSEGV, on_scene_signal);
	if (!map || pthread_create(&thread, NULL, touch_scene, s))
		return 1;
	while (!s->go)
		test_pause();
	map = change_scene(s);
	if (!map)
		return 2;
	s->changed = true;
	pthread_join(thread, NULL);
	if (s->change == FORK && (waitpid(s->child, &status, 0) != s->child || status))
		return 3;
	if (s->change == UNMAP)
		map = map_scene(s->fd);
	return !page_is(map + SCENE_PAGE * PAGE, s->change == REPLACE ? 102 : 101, SCENE_PAGE);
}

/* The change is made while the page is unanswered; then the answer comes. */
static struct scene *scene_play(struct __test_metadata *_metadata, struct pager *p, int fd,
				enum change change, int other_fd, struct client *client)
{
	struct scene *s = shared_memory(sizeof(*s));
	struct extpager_event ev;

	*s = (struct scene){ .fd = fd, .other_fd = other_fd, .change = change };
	*client = client_start(scene_main, s);
	ASSERT_TRUE(next_request(p, &ev));
	EXPECT_EQ(SCENE_PAGE * PAGE, ev.offset);
	EXPECT_EQ(PAGE, ev.length);
	ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(client->pid) == 1));
	s->go = true;
	ASSERT_TRUE(WAIT_FOR(SOON, s->changed));
	if (change == FORK) {
		/* The child asks for the same page, of which one request is enough. */
		ASSERT_TRUE(WAIT_FOR(SOON, tasks_waiting(s->child) == 1));
		ASSERT_TRUE(pager_silent(p, QUIET));
	}
	ASSERT_EQ(1, tasks_waiting(client->pid));
	ASSERT_EQ(0, pager_supply(p, &ev, 101));
	return s;
}

TEST_F(pending, a_fork_does_not_wait_and_both_get_the_page)
{
	struct client client;
	struct scene *s;

	BEHAVIOURS(101);
	s = scene_play(_metadata, &self->p, self->fd, FORK, -1, &client);
	EXPECT_EQ(0, client_result(&client, SOON));
	EXPECT_EQ(0, s->signal);
	EXPECT_TRUE(s->right);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

TEST_F(pending, an_answer_for_what_was_unmapped_harms_nobody)
{
	struct client client;
	struct scene *s;

	BEHAVIOURS(102);
	s = scene_play(_metadata, &self->p, self->fd, UNMAP, -1, &client);
	/* And the page is there for the next mapping. */
	EXPECT_EQ(0, client_result(&client, SOON));
	EXPECT_EQ(SIGSEGV, s->signal);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

TEST_F(pending, an_answer_for_what_was_moved_is_found_there)
{
	struct client client;
	struct scene *s;

	BEHAVIOURS(102);
	s = scene_play(_metadata, &self->p, self->fd, MOVE, -1, &client);
	EXPECT_EQ(0, client_result(&client, SOON));
	EXPECT_EQ(SIGSEGV, s->signal);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
}

TEST_F(pending, a_mapping_in_the_place_of_another_asks_anew)
{
	struct extpager_event ev;
	struct client client;
	struct scene *s;
	uint64_t other;
	void *map;
	int fd;

	BEHAVIOURS(102);
	fd = pager_create(&self->p, BYTES, 0, &other);
	ASSERT_LE(0, fd);
	map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_TRUE(object_ready(&self->p, NULL));
	s = scene_play(_metadata, &self->p, self->fd, REPLACE, fd, &client);
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(other, ev.object);
	EXPECT_EQ(SCENE_PAGE * PAGE, ev.offset);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 102));
	EXPECT_EQ(0, client_result(&client, SOON));
	EXPECT_EQ(0, s->signal);
	EXPECT_FALSE(s->right);
	EXPECT_TRUE(s->other_right);
	EXPECT_TRUE(page_is(self->map + SCENE_PAGE * PAGE, 101, SCENE_PAGE));
	EXPECT_TRUE(pager_silent(&self->p, QUIET));
	munmap(map, PAGE);
	close(fd);
}

/* ---- the same while a waiter is not waiting for its page ---- */

#define STUCK		"stuck"
#define QUOTA		(256UL << 10)
#define LONG_MS		120000		/* no deadline comes into it */

FIXTURE(stuck)
{
	struct pager p;
	uint64_t object;
	int fd;
	/* What the pager was told and does not answer. */
	struct extpager_event held[QUOTA / PAGE];
	unsigned int nr_held;
};

FIXTURE_VARIANT(stuck)
{
	enum { FULL_QUOTA, NO_READY, NO_PAGER } why;
};

FIXTURE_VARIANT_ADD(stuck, full_quota) { .why = FULL_QUOTA };
FIXTURE_VARIANT_ADD(stuck, no_ready) { .why = NO_READY };
FIXTURE_VARIANT_ADD(stuck, no_pager) { .why = NO_PAGER };

FIXTURE_SETUP(stuck)
{
	struct target_options o = {
		.bytes = BYTES, .quota = QUOTA, .policy = "hold", .handshake_ms = LONG_MS,
		.return_ms = LONG_MS,
	};
	struct extpager_event ev;
	struct client filler;
	struct io io;
	uint64_t held;

	target_gone(STUCK);
	ASSERT_EQ(0, target_add(STUCK, &o));
	ASSERT_EQ(0, pager_open(&self->p, 1, 0));
	ASSERT_EQ(0, pager_attach(&self->p, STUCK, &self->object, NULL));
	self->fd = target_open(STUCK, O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
	if (variant->why == NO_READY) {
		self->held[0] = ev;
		return;
	}
	ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, 0));
	if (variant->why == NO_PAGER) {
		ASSERT_EQ(0, pager_detach(&self->p, self->object));
		return;
	}
	/* The page of the scene is here and clean: what waits is a store to it. */
	ASSERT_EQ(0, pager_push(&self->p, self->object, ev.generation, 101, SCENE_PAGE * PAGE,
				PAGE, NULL));
	io = (struct io){ self->fd, 1000 * PAGE, QUOTA, 53 };
	filler = client_start(write_pages, &io);
	ASSERT_EQ(0, client_result(&filler, SOON));
	/* On its way to write-back a page is not counted for a moment. */
	for (held = 0; held < QUOTA; held += ev.length) {
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_DATA_RETURN, &ev, SOON));
		self->held[self->nr_held++] = ev;
	}
}

FIXTURE_TEARDOWN(stuck)
{
	close(self->fd);
	pager_close(&self->p);
	EXPECT_TRUE(target_gone(STUCK));
}

static struct scene *stuck_scene(int fd, enum change change, bool store, struct client *client)
{
	struct scene *s = shared_memory(sizeof(*s));

	*s = (struct scene){ .fd = fd, .change = change, .store = store };
	*client = client_start(scene_main, s);
	return WAIT_FOR(SOON, tasks_waiting(client->pid) == 1) ? s : NULL;
}

TEST_F(stuck, the_address_space_of_a_waiter_can_change)
{
	static const enum change changes[] = { UNMAP, MOVE, PROTECT, FORK };
	struct client client[ARRAY_SIZE(changes)];
	struct scene *s[ARRAY_SIZE(changes)];
	unsigned int i;

	BEHAVIOURS(101, 102);
	PARTIAL(143);
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = stuck_scene(self->fd, changes[i], variant->why == FULL_QUOTA, &client[i]);
		ASSERT_NE(NULL, s[i]);
	}
	for (i = 0; i < ARRAY_SIZE(s); i++)
		s[i]->go = true;
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		ASSERT_TRUE(WAIT_FOR(SOON, s[i]->changed)) {
			TH_LOG("change %u", changes[i]);
		}
		EXPECT_TRUE(maps_are_readable(client[i].pid));
		/* A writer at the quota looks up now and then. */
		EXPECT_TRUE(WAIT_FOR(SOON, tasks_waiting(client[i].pid) == 1));
	}

	for (i = 0; i < self->nr_held; i++)
		ASSERT_EQ(0, pager_return_done(&self->p, &self->held[i], 0));
	if (variant->why == NO_READY)
		ASSERT_EQ(0, pager_ready(&self->p, &self->held[0], 0, 0));
	if (variant->why == NO_PAGER) {
		ASSERT_EQ(0, pager_attach(&self->p, STUCK, NULL, NULL));
		ASSERT_TRUE(object_ready(&self->p, NULL));
	}
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		EXPECT_EQ(0, serve_client(&self->p, &client[i], 101, NULL));
		EXPECT_EQ(changes[i] == FORK ? 0 : SIGSEGV, s[i]->signal);
	}
}

TEST_F(stuck, a_waiter_dies_at_once)
{
	uint64_t best = UINT64_MAX, ms;
	unsigned int i;

	BEHAVIOURS(99);
	for (i = 0; i < 3 && best > dying_limit(); i++) {
		struct client client;

		ASSERT_NE(NULL, stuck_scene(self->fd, FORK, variant->why == FULL_QUOTA, &client));
		ms = dying_ms(&client);
		ASSERT_GT(5000, ms);
		if (ms < best)
			best = ms;
	}
	EXPECT_GE(dying_limit(), best);
}

TEST_HARNESS_MAIN
