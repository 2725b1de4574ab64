// SPDX-License-Identifier: GPL-2.0-only
/* Clients that do everything to an object that a program may do. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "torment.h"

#define MOST_CELLS	64		/* that one deed is about */
#define RUN_CELLS	(7 * PAGE_CELLS)	/* of eight pages, those with a single writer */

const char *const deed_names[DEEDS] = {
	[LOAD] = "load", [READ] = "read", [STORE] = "store", [WRITE] = "write", [PUNCH] = "punch",
	[FSYNC] = "fsync", [MSYNC] = "msync", [PRIVATE] = "private", [ADVISE] = "advise",
	[DROP] = "drop", [REMAP] = "remap", [FORK] = "fork", [REPLACE] = "replace",
};

/* In a hundred; who only reads does LOAD or READ instead of what changes bytes. */
static const unsigned int deed_weights[DEEDS] = {
	[LOAD] = 20, [READ] = 14, [STORE] = 21, [WRITE] = 19, [PUNCH] = 5, [FSYNC] = 1, [MSYNC] = 2,
	[PRIVATE] = 3, [ADVISE] = 5, [DROP] = 5, [REMAP] = 1, [FORK] = 2, [REPLACE] = 2,
};

struct me {
	struct tormented *shared;
	struct torment *t;
	struct model *m;
	uint64_t random;
	int fd;
	uint8_t *map;
	uint8_t *buffer;		/* MOST_CELLS */
	uint32_t least[CELLS];
};

struct range {
	unsigned int cell, nr;
};

#define count(me, what, n) __atomic_fetch_add(&(me)->t->what, n, __ATOMIC_RELAXED)

static size_t pick(struct me *me, size_t n)
{
	return test_random(&me->random) % n;
}

/* Half of all deeds are about a few pages, where they meet. */
static unsigned int pick_run(struct me *me)
{
	unsigned int runs = STAMP_PAGES / 8;

	return pick(me, 2) ? pick(me, runs / 64) : pick(me, runs);
}

static struct range pick_any(struct me *me)
{
	struct range r = { .nr = 1 + pick(me, pick(me, 4) ? 8 : MOST_CELLS) };

	r.cell = pick_run(me) * 8 * PAGE_CELLS + pick(me, 8 * PAGE_CELLS);
	if (r.cell + r.nr > CELLS)
		r.cell = CELLS - r.nr;
	return r;
}

/* Of this writer alone: whole pages, parts of pages, or its share of a page. */
static struct range pick_own(struct me *me)
{
	unsigned int writer = me->shared->number;
	struct range r;

	do {
		r.cell = pick_run(me) * 8 * PAGE_CELLS;
		if (pick(me, 4)) {
			unsigned int first = pick(me, RUN_CELLS);

			r.nr = 1 + pick(me, RUN_CELLS - first);
			if (pick(me, 2)) {
				first = first / PAGE_CELLS * PAGE_CELLS;
				r.nr = (r.nr + PAGE_CELLS - 1) / PAGE_CELLS * PAGE_CELLS;
				if (first + r.nr > RUN_CELLS)
					r.nr = RUN_CELLS - first;
			}
			r.cell += first;
		} else {
			r.cell += RUN_CELLS + pick(me, PAGE_CELLS);
			r.nr = 1;
		}
	} while (cell_writer(r.cell) != writer);
	return r;
}

/* ---- faults that end badly ---- */

static __thread sigjmp_buf fault_jump;
static __thread volatile int guarded, faulted;

static void on_fault(int sig)
{
	if (!guarded) {
		signal(sig, SIG_DFL);
		raise(sig);
		return;
	}
	siglongjmp(fault_jump, 1);
}

/*
 * Runs statements that touch mapped memory, until a signal says that one cannot. What
 * they change and is needed afterwards must be volatile, or in memory.
 */
#define GUARDED(...) do {			\
	if (!sigsetjmp(fault_jump, 1)) {	\
		faulted = 0;			\
		guarded = 1;			\
		__VA_ARGS__;			\
	} else {				\
		faulted = 1;			\
	}					\
	guarded = 0;				\
} while (0)

bool torment_allows(int error)
{
	return error == EIO || error == ETIMEDOUT;
}

/* The kernel refused: by the rules? */
static bool refused(struct me *me, const char *what, struct range r)
{
	count(me, failed, 1);
	if (torment_allows(errno))
		return true;
	if (!__atomic_exchange_n(&me->m->failed, 1, __ATOMIC_SEQ_CST)) {
		printf("# FIRST DIFFERENCE: client %u: %s of cells %u to %u: %m\n",
		       me->shared->number, what, r.cell, r.cell + r.nr - 1);
		fflush(stdout);
	}
	return false;
}

static bool bus_error(struct me *me)
{
	count(me, sigbus, 1);
	return true;
}

/* ---- deeds: false if something was seen that may not be ---- */

static bool look_at(struct me *me, const uint8_t *map, struct range r, const char *how)
{
	volatile bool right = true;

	model_done(me->m, me->least, r.cell, r.nr);
	GUARDED(right = cells_right(me->m, map + r.cell * CELL, r.cell, r.nr, me->least, how,
				    me->shared->number));
	if (faulted)
		return bus_error(me);
	count(me, bytes_read, r.nr * CELL);
	return right;
}

static bool do_load(struct me *me)
{
	return look_at(me, me->map, pick_any(me), "loaded from a mapping");
}

static bool do_read(struct me *me)
{
	struct range r = pick_any(me);
	ssize_t n;

	model_done(me->m, me->least, r.cell, r.nr);
	n = pread(me->fd, me->buffer, r.nr * CELL, r.cell * CELL);
	if (n < 0)
		return refused(me, "read", r);
	count(me, bytes_read, n);
	return cells_right(me->m, me->buffer, r.cell, n / CELL, me->least, "read",
			   me->shared->number);
}

/* Through the mapping, cell by cell. */
static bool do_store(struct me *me)
{
	struct range r = pick_own(me);
	unsigned int i, who = me->shared->number;

	for (i = r.cell; i < r.cell + r.nr; i++) {
		uint32_t sequence = cell_begin(me->m, i, STORE_BEGUN, who);

		GUARDED(cell_fill((uint64_t *)(me->map + i * CELL), STAMP_SHARED, i, sequence));
		if (faulted) {
			cell_end(me->m, i, sequence, STORE_FAILED, who);
			return bus_error(me);
		}
		cell_end(me->m, i, sequence, STORE_DONE, who);
		count(me, bytes_written, CELL);
	}
	return true;
}

static bool do_write(struct me *me)
{
	uint32_t sequence[MOST_CELLS];
	struct range r = pick_own(me);
	unsigned int i, who = me->shared->number;
	ssize_t n;
	int error;

	for (i = 0; i < r.nr; i++) {
		sequence[i] = cell_begin(me->m, r.cell + i, WRITE_BEGUN, who);
		cell_fill((uint64_t *)(me->buffer + i * CELL), STAMP_SHARED, r.cell + i,
			  sequence[i]);
	}
	n = pwrite(me->fd, me->buffer, r.nr * CELL, r.cell * CELL);
	error = errno;
	for (i = 0; i < r.nr; i++)
		cell_end(me->m, r.cell + i, sequence[i],
			 n >= (ssize_t)((i + 1) * CELL) ? WRITE_DONE : WRITE_FAILED, who);
	errno = error;
	if (n < 0)
		return refused(me, "write", r);
	count(me, bytes_written, n);
	return true;
}

static bool do_punch(struct me *me)
{
	uint32_t sequence[MOST_CELLS];
	struct range r = pick_own(me);
	unsigned int i, who = me->shared->number;
	int mode = FALLOC_FL_KEEP_SIZE |
		   (pick(me, 2) ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
	int error = 0;

	for (i = 0; i < r.nr; i++)
		sequence[i] = cell_begin(me->m, r.cell + i, PUNCH_BEGUN, who);
	if (fallocate(me->fd, mode, r.cell * CELL, r.nr * CELL))
		error = errno;
	for (i = 0; i < r.nr; i++)
		cell_end(me->m, r.cell + i, sequence[i], error ? PUNCH_FAILED : PUNCH_DONE, who);
	errno = error;
	return !error || refused(me, "punch", r);
}

/* Of everything: what was done before by anybody is in the store after. */
static bool do_fsync(struct me *me)
{
	bool data = pick(me, 2);
	int ret;

	model_done(me->m, me->least, 0, CELLS);
	ret = data ? fdatasync(me->fd) : fsync(me->fd);
	model_event(me->m, ret ? FSYNC_FAILED : FSYNC_DONE, me->shared->number);
	if (ret)
		return refused(me, "fsync", (struct range){ 0, CELLS });
	model_is_synced(me->m, me->least, 0, CELLS);
	return true;
}

static bool do_msync(struct me *me)
{
	struct range r = pick_any(me);
	int ret;

	r.cell = r.cell / PAGE_CELLS * PAGE_CELLS;
	r.nr = (r.nr + PAGE_CELLS - 1) / PAGE_CELLS * PAGE_CELLS;
	model_done(me->m, me->least, r.cell, r.nr);
	ret = msync(me->map + r.cell * CELL, r.nr * CELL, MS_SYNC);
	model_event(me->m, ret ? MSYNC_FAILED : MSYNC_DONE, me->shared->number);
	if (ret)
		return refused(me, "msync", r);
	model_is_synced(me->m, me->least, r.cell, r.nr);
	return true;
}

/* A private mapping shows the object's bytes; what is written to it nobody else sees. */
static bool do_private(struct me *me)
{
	struct range r = pick_any(me);
	volatile bool right = true;
	uint64_t want[CELL_WORDS];
	uint8_t *map, *page;

	map = mmap(NULL, STAMP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, me->fd, 0);
	if (map == MAP_FAILED)
		return refused(me, "private map", r);
	right = look_at(me, map, r, "loaded from a private mapping");
	page = map + r.cell * CELL;
	cell_fill(want, STAMP_PRIVATE, r.cell, 0);
	if (right) {
		GUARDED(memcpy(page, want, CELL); right = !memcmp(page, want, CELL));
		if (faulted)
			bus_error(me);
	}
	munmap(map, STAMP_BYTES);
	if (right)
		return true;
	if (!__atomic_exchange_n(&me->m->failed, 1, __ATOMIC_SEQ_CST)) {
		printf("# FIRST DIFFERENCE: cell %u of a private mapping lost its bytes\n", r.cell);
		fflush(stdout);
	}
	return false;
}

/* Nothing of this changes a byte, whatever comes of it. */
static bool do_advise(struct me *me)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_DONTNEED, MADV_PAGEOUT, MADV_PAGEOUT, MADV_COLD, MADV_WILLNEED,
		MADV_RANDOM, MADV_SEQUENTIAL, MADV_NORMAL, MADV_POPULATE_READ,
	};
	struct range r = pick_any(me);
	uint8_t *from = me->map + r.cell / PAGE_CELLS * PAGE;
	size_t length = (r.nr + PAGE_CELLS - 1) / PAGE_CELLS * PAGE;

	if (!pick(me, 16)) {
		mlock(from, length);
		munlock(from, length);
		return true;
	}
	madvise(from, length, advice[pick(me, sizeof(advice) / sizeof(advice[0]))]);
	return true;
}

static void drop(struct me *me, struct range r)
{
	madvise(me->map + r.cell / PAGE_CELLS * PAGE, (r.nr + PAGE_CELLS - 1) / PAGE_CELLS * PAGE,
		MADV_DONTNEED);
	posix_fadvise(me->fd, r.cell * CELL, r.nr * CELL, POSIX_FADV_DONTNEED);
}

static bool do_drop(struct me *me)
{
	struct range r = pick_any(me);

	/* Now and then all that is clean goes. */
	if (!pick(me, 64))
		r = (struct range){ 0, CELLS };
	drop(me, r);
	return true;
}

static uint8_t *map_all(struct me *me, void *at)
{
	uint8_t *map = mmap(at, STAMP_BYTES, PROT_READ | PROT_WRITE,
			    MAP_SHARED | (at ? MAP_FIXED : 0), me->fd, 0);

	return map == MAP_FAILED ? NULL : map;
}

static bool do_remap(struct me *me)
{
	if (pick(me, 2)) {
		uint8_t *map = mremap(me->map, STAMP_BYTES, STAMP_BYTES, MREMAP_MAYMOVE);

		if (map != MAP_FAILED)
			me->map = map;
	} else if (pick(me, 2)) {
		map_all(me, me->map);
	} else {
		munmap(me->map, STAMP_BYTES);
		me->map = map_all(me, NULL);
	}
	return me->map || refused(me, "map", (struct range){ 0, CELLS });
}

/* ---- what goes on while somebody waits for a page ---- */

struct toucher {
	const volatile uint8_t *map;
	struct range r;
	pthread_t thread;
};

static void *touch(void *arg)
{
	struct toucher *t = arg;

	/* Its pages may come, fail or be unmapped; all that is fine. */
	GUARDED({
		unsigned int i;

		for (i = 0; i < t->r.nr; i++)
			(void)t->map[i * CELL];
	});
	return NULL;
}

/* Cold pages of @r, mapped at @map, are being touched; false if there is no thread. */
static bool touch_cold(struct me *me, struct toucher *t, const uint8_t *map, struct range r)
{
	pthread_attr_t attr;
	bool ok;

	drop(me, r);
	*t = (struct toucher){ map, r, 0 };
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	ok = !pthread_create(&t->thread, &attr, touch, t);
	pthread_attr_destroy(&attr);
	if (ok)
		nanosleep(&(struct timespec){ .tv_nsec = pick(me, 2000000) }, NULL);
	return ok;
}

static bool do_fork(struct me *me)
{
	struct range r = pick_any(me);
	pid_t parent = getpid(), child;
	struct toucher t;
	int status = 0;
	bool right;

	if (!touch_cold(me, &t, me->map + r.cell * CELL, r))
		return true;
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		_exit(!look_at(me, me->map, r, "loaded in a forked child"));
	}
	right = look_at(me, me->map, r, "loaded while forking");
	pthread_join(t.thread, NULL);
	if (child > 0)
		waitpid(child, &status, 0);
	if (!WIFEXITED(status) && !__atomic_exchange_n(&me->m->failed, 1, __ATOMIC_SEQ_CST)) {
		printf("# FIRST DIFFERENCE: a forked child ended with status %x\n", status);
		fflush(stdout);
	}
	return right && !status;
}

/* Other pages take the place of those that are being waited for. */
static bool do_replace(struct me *me)
{
	struct range old = pick_any(me), new = pick_any(me);
	size_t length = (MOST_CELLS / PAGE_CELLS + 1) * PAGE;
	off_t old_at, new_at;
	uint8_t *map, *seen;
	struct toucher t;
	bool right = true;
	int how = pick(me, 3);

	old_at = old.cell / PAGE_CELLS * PAGE;
	new_at = new.cell / PAGE_CELLS * PAGE;
	map = mmap(NULL, length, PROT_READ, MAP_SHARED, me->fd, old_at);
	if (map == MAP_FAILED)
		return refused(me, "map", old);
	if (!touch_cold(me, &t, map + (old.cell * CELL - old_at), old)) {
		munmap(map, length);
		return true;
	}
	seen = MAP_FAILED;
	if (how == 0) {
		seen = mmap(map, length, PROT_READ, MAP_SHARED | MAP_FIXED, me->fd, new_at);
	} else if (how == 1) {
		/* Elsewhere they are the same. */
		new = old;
		new_at = old_at;
		seen = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (seen != MAP_FAILED)
			seen = mremap(map, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, seen);
	}
	/* A view of the object's bytes, as if it were all mapped. */
	if (seen != MAP_FAILED)
		right = look_at(me, seen - new_at, new, "loaded from a mapping replaced");
	munmap(seen != MAP_FAILED ? seen : map, length);
	pthread_join(t.thread, NULL);
	return right;
}

static bool (*const deeds[DEEDS])(struct me *me) = {
	[LOAD] = do_load, [READ] = do_read, [STORE] = do_store, [WRITE] = do_write,
	[PUNCH] = do_punch, [FSYNC] = do_fsync, [MSYNC] = do_msync, [PRIVATE] = do_private,
	[ADVISE] = do_advise, [DROP] = do_drop, [REMAP] = do_remap, [FORK] = do_fork,
	[REPLACE] = do_replace,
};

static enum deed pick_deed(struct me *me)
{
	size_t n = pick(me, 100);
	unsigned int i = 0;

	while (i < DEEDS - 1 && n >= deed_weights[i])
		n -= deed_weights[i++];
	if (me->shared->number >= WRITERS && (i == STORE || i == WRITE || i == PUNCH))
		return i == WRITE ? READ : LOAD;
	return i;
}

/* By path or not; when it is told to wait for the pager no longer, it tries again. */
static int open_somehow(struct me *me)
{
	int fd;

	do {
		if (pick(me, 2)) {
			fd = target_open(me->t->target, O_RDWR);
		} else {
			fd = open(target_path(me->t->target), O_RDWR | O_CLOEXEC);
			fd = fd < 0 ? -errno : fd;
		}
	} while (fd < 0 && torment_allows(-fd) && !__atomic_load_n(&me->t->stop, __ATOMIC_SEQ_CST));
	return fd;
}

int torment_client(void *arg)
{
	struct sigaction sa = { .sa_handler = on_fault };
	struct tormented *shared = arg;
	struct me *me = calloc(1, sizeof(*me));

	if (!me)
		return 2;
	me->shared = shared;
	me->t = shared->t;
	me->m = me->t->model;
	me->random = shared->random;
	me->buffer = malloc(MOST_CELLS * CELL);
	if (me->t->cgroup && !write_file(me->t->cgroup, "0"))
		return 3;
	me->fd = open_somehow(me);
	if (me->fd < 0)
		return torment_allows(-me->fd) ? 0 : 4;
	me->map = map_all(me, NULL);
	if (!me->buffer || !me->map)
		return 5;
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	while (!__atomic_load_n(&me->t->stop, __ATOMIC_SEQ_CST) && !model_failed(me->m)) {
		shared->deed = pick_deed(me);
		__atomic_fetch_add(&shared->beats, 1, __ATOMIC_SEQ_CST);
		if (!deeds[shared->deed](me))
			return 1;
		count(me, done[shared->deed], 1);
	}
	return 0;
}
