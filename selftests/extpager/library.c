// SPDX-License-Identifier: GPL-2.0-only
/*
 * libextpager against the real kernel: the calls that the examples do without.
 * The test is the pager: a thread for each of two queues runs its callbacks,
 * which note what they were told and serve a store in memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <extpager.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"

#define NAME	"library"
#define BYTES	MIB
#define PAGES	(BYTES / PAGE)
#define QUEUES	2
#define NOTES	64

enum what { AN_INIT, A_REQUEST, A_RETURN, A_SYNC, A_TERMINATE, ATTRIBUTES_IN_FORCE };

/* What a callback was told. */
struct note {
	enum what what;
	uint64_t object, offset, length, wanted;
	uint32_t generation, attributes;
	unsigned int queue;
	bool write, resent, prefetch, zero, rdonly;
};

struct pagerd {
	struct extpager *p;
	pthread_t thread[QUEUES];
	unsigned int running;
	int ended_with[QUEUES];
	uint32_t attributes;		/* given with READY */
	atomic_bool drops;		/* it forgets what it is asked */
	atomic_uint file;		/* it has the kernel read this, from the first byte on */
	uint8_t *store;
	pthread_mutex_t lock;		/* of what follows */
	struct note note[NOTES];
	unsigned int nr_notes;
};

static void take_note(struct pagerd *d, const struct note *note)
{
	pthread_mutex_lock(&d->lock);
	if (d->nr_notes < NOTES)
		d->note[d->nr_notes++] = *note;
	pthread_mutex_unlock(&d->lock);
}

static struct note note_of(struct extpager_req *req, enum what kind)
{
	return (struct note){
		.what = kind,
		.object = extpager_req_object(req),
		.offset = extpager_req_offset(req),
		.length = extpager_req_length(req),
		.wanted = extpager_req_wanted(req),
		.generation = extpager_req_generation(req),
		.queue = extpager_req_queue(req),
		.write = extpager_req_write(req),
		.resent = extpager_req_resent(req),
		.prefetch = extpager_req_prefetch(req),
		.zero = extpager_req_zero(req),
		.rdonly = extpager_req_rdonly(req),
	};
}

/* ---- the pager's callbacks ---- */

static void on_init(struct extpager *p, struct extpager_req *req, void *user)
{
	struct note note = note_of(req, AN_INIT);
	struct pagerd *d = user;

	take_note(d, &note);
	extpager_ready(req, 0, d->attributes);
}

static void on_request(struct extpager *p, struct extpager_req *req, void *user)
{
	struct note note = note_of(req, A_REQUEST);
	struct pagerd *d = user;

	take_note(d, &note);
	if (atomic_load(&d->drops))
		extpager_req_drop(req);
	else if (atomic_load(&d->file))
		extpager_supply_file(req, note.offset, note.length, d->file, note.offset);
	else
		extpager_supply(req, note.offset, d->store + note.offset, note.length);
}

static void on_return(struct extpager *p, struct extpager_req *req, void *user)
{
	struct note note = note_of(req, A_RETURN);
	struct pagerd *d = user;

	if (note.zero)
		memset(d->store + note.offset, 0, note.length);
	else
		extpager_fetch(req, note.offset, d->store + note.offset, note.length);
	take_note(d, &note);
	extpager_return_done(req, 0);
}

static void on_sync(struct extpager *p, struct extpager_req *req, void *user)
{
	struct note note = note_of(req, A_SYNC);

	take_note(user, &note);
	extpager_sync_done(req, 0);
}

static void on_terminate(struct extpager *p, uint64_t object, uint32_t generation, void *user)
{
	take_note(user, &(struct note){ .what = A_TERMINATE, .object = object,
					.generation = generation });
}

static void on_attributes(struct extpager *p, uint64_t object, uint32_t attributes, void *user)
{
	take_note(user, &(struct note){ .what = ATTRIBUTES_IN_FORCE, .object = object,
					.attributes = attributes });
}

static const struct extpager_ops ops = {
	.size = sizeof(ops), .init = on_init, .data_request = on_request,
	.data_return = on_return, .sync = on_sync, .terminate = on_terminate,
	.attributes = on_attributes,
};

/* ---- its threads ---- */

struct queue_thread {
	struct pagerd *d;
	unsigned int queue;
};

static void *run_queue(void *arg)
{
	struct queue_thread *t = arg;

	t->d->ended_with[t->queue] = extpager_run_queue(t->d->p, t->queue);
	free(t);
	return NULL;
}

static bool start(struct pagerd *d, uint32_t attributes)
{
	const struct extpager_params params = { .size = sizeof(params), .nr_queues = QUEUES };
	unsigned int i;

	memset(d, 0, sizeof(*d));
	pthread_mutex_init(&d->lock, NULL);
	d->attributes = attributes;
	d->store = calloc(1, BYTES);
	for (i = 0; i < PAGES; i++)
		fill_page(d->store + i * PAGE, 5, i);
	if (extpager_open(&d->p, &params, &ops, d) || extpager_nr_queues(d->p) != QUEUES)
		return false;
	for (d->running = 0; d->running < QUEUES; d->running++) {
		struct queue_thread *t = malloc(sizeof(*t));

		*t = (struct queue_thread){ d, d->running };
		d->ended_with[d->running] = 1;
		if (pthread_create(&d->thread[d->running], NULL, run_queue, t))
			return false;
	}
	return true;
}

/* Both threads end well. */
static bool stop(struct pagerd *d)
{
	bool well = true;

	extpager_stop(d->p);
	while (d->running--) {
		pthread_join(d->thread[d->running], NULL);
		well &= !d->ended_with[d->running];
	}
	d->running = 0;
	return well;
}

static unsigned int notes(struct pagerd *d, enum what kind)
{
	unsigned int i, n = 0;

	pthread_mutex_lock(&d->lock);
	for (i = 0; i < d->nr_notes; i++)
		n += d->note[i].what == kind;
	pthread_mutex_unlock(&d->lock);
	return n;
}

/* The last note of its kind, of which there must be @n by now or soon; else one of no object. */
static struct note last_note(struct pagerd *d, enum what kind, unsigned int n)
{
	struct note note = { };
	unsigned int i;

	if (!WAIT_FOR(SOON, notes(d, kind) >= n) || notes(d, kind) != n)
		return note;
	pthread_mutex_lock(&d->lock);
	for (i = 0; i < d->nr_notes; i++)
		if (d->note[i].what == kind)
			note = d->note[i];
	pthread_mutex_unlock(&d->lock);
	return note;
}

/* ---- clients ---- */

struct access {
	int fd;
	unsigned int first, pages;
	uint64_t seed;
	int cpu;			/* to do it on, or -1 */
};

static int client_read(void *arg)
{
	struct access *a = arg;
	cpu_set_t cpus;
	char page[PAGE];
	unsigned int i;

	if (a->cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET(a->cpu, &cpus);
		if (sched_setaffinity(0, sizeof(cpus), &cpus))
			return 98;
	}
	posix_fadvise(a->fd, 0, 0, POSIX_FADV_RANDOM);
	for (i = a->first; i < a->first + a->pages; i++) {
		if (pread(a->fd, page, PAGE, i * PAGE) != (ssize_t)PAGE)
			return errno;
		if (!page_is(page, a->seed, i))
			return 99;
	}
	return 0;
}

static int client_write(void *arg)
{
	struct access *a = arg;

	return write_pages(&(struct io){ a->fd, a->first * PAGE, a->pages * PAGE, a->seed });
}

static int client_store(void *arg)
{
	struct access *a = arg;
	uint8_t *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);

	if (map == MAP_FAILED || madvise(map, BYTES, MADV_RANDOM))
		return 1;
	map[a->first * PAGE] = 1;
	return 0;
}

static int client_prefetch(void *arg)
{
	struct access *a = arg;

	return prefetch(a->fd, a->first, a->pages);
}

static int client_sync(void *arg)
{
	struct access *a = arg;

	return fsync(a->fd) ? errno : 0;
}

static int run(int (*fn)(void *arg), struct access a)
{
	struct client c = client_start(fn, &a);

	return client_result(&c, SOON);
}

#define ACCESS(fd, first, pages) ((struct access){ fd, first, pages, 5, -1 })

/* ---- a pager with an object of its own ---- */

FIXTURE(library)
{
	struct pagerd d;
	uint64_t object;
	int fd;
};

FIXTURE_SETUP(library)
{
	ASSERT_TRUE(start(&self->d, EXTPAGER_MAY_CACHE));
	self->fd = extpager_object_create(self->d.p, BYTES, 0, &self->object);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(library)
{
	EXPECT_TRUE(stop(&self->d));
	if (self->fd >= 0)
		close(self->fd);
	extpager_close(self->d.p);
	if (target_state(NAME))
		EXPECT_TRUE(target_gone(NAME));
	free(self->d.store);
}

TEST_F(library, each_queue_is_run_by_its_thread_until_the_pager_stops)
{
	struct access a = ACCESS(self->fd, 0, 1);
	struct note note;
	int cpu;

	BEHAVIOURS(12);
	for (cpu = 0; cpu < QUEUES; cpu++) {
		a.first = cpu;
		a.cpu = cpu;
		ASSERT_EQ(0, run(client_read, a));
		note = last_note(&self->d, A_REQUEST, cpu + 1);
		EXPECT_EQ(self->object, note.object);
		EXPECT_EQ(cpu, note.queue);
	}
	/* They sleep, and end all the same; whoever comes later does not begin. */
	EXPECT_EQ(1, self->d.ended_with[0]);
	EXPECT_TRUE(stop(&self->d));
	EXPECT_EQ(0, extpager_run_queue(self->d.p, 0));
	EXPECT_EQ(0, extpager_run_queue(self->d.p, 1));
	EXPECT_EQ(-EINVAL, extpager_run_queue(self->d.p, QUEUES));
}

TEST_F(library, a_request_tells_what_the_access_wants)
{
	uint64_t object;
	struct note note;
	int fd;

	BEHAVIOURS(12);
	ASSERT_EQ(0, run(client_read, ACCESS(self->fd, 3, 1)));
	note = last_note(&self->d, A_REQUEST, 1);
	EXPECT_EQ(3 * PAGE, note.offset);
	EXPECT_EQ(PAGE, note.length);
	EXPECT_EQ(3 * PAGE, note.wanted);
	EXPECT_FALSE(note.write);
	EXPECT_FALSE(note.prefetch);
	EXPECT_FALSE(note.resent);

	ASSERT_EQ(0, run(client_store, ACCESS(self->fd, 4, 1)));
	note = last_note(&self->d, A_REQUEST, 2);
	EXPECT_EQ(4 * PAGE, note.wanted);
	EXPECT_TRUE(note.write);
	EXPECT_FALSE(note.prefetch);

	ASSERT_EQ(0, run(client_prefetch, ACCESS(self->fd, 8, 4)));
	note = last_note(&self->d, A_REQUEST, 3);
	EXPECT_EQ(8 * PAGE, note.offset);
	EXPECT_EQ(4 * PAGE, note.length);
	EXPECT_EQ(UINT64_MAX, note.wanted);
	EXPECT_TRUE(note.prefetch);
	EXPECT_FALSE(note.write);

	/* INIT tells what may be done with the object. */
	note = last_note(&self->d, AN_INIT, 1);
	EXPECT_EQ(self->object, note.object);
	EXPECT_EQ(BYTES, note.length);
	EXPECT_FALSE(note.rdonly);
	EXPECT_FALSE(note.resent);
	fd = extpager_object_create(self->d.p, BYTES, EXTPAGER_CREATE_RDONLY, &object);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, run(client_read, ACCESS(fd, 0, 1)));
	note = last_note(&self->d, AN_INIT, 2);
	EXPECT_EQ(object, note.object);
	EXPECT_TRUE(note.rdonly);
	close(fd);
}

TEST_F(library, what_an_earlier_pager_left_is_told_to_be_resent)
{
	struct target_options o = { .bytes = BYTES };
	struct access a = ACCESS(-1, 3, 1);
	uint64_t object, bytes;
	struct client c;
	struct note note;

	BEHAVIOURS(86);
	ASSERT_TRUE(target_gone(NAME));
	ASSERT_EQ(0, target_add(NAME, &o));
	ASSERT_EQ(0, extpager_attach(self->d.p, NAME, &object, &bytes));
	EXPECT_EQ(BYTES, bytes);
	a.fd = target_open(NAME, O_RDWR);
	ASSERT_LE(0, a.fd);
	note = last_note(&self->d, AN_INIT, 1);
	EXPECT_EQ(object, note.object);
	EXPECT_FALSE(note.resent);

	atomic_store(&self->d.drops, true);
	c = client_start(client_read, &a);
	note = last_note(&self->d, A_REQUEST, 1);
	EXPECT_EQ(object, note.object);
	EXPECT_FALSE(note.resent);
	ASSERT_EQ(0, extpager_detach(self->d.p, object));
	atomic_store(&self->d.drops, false);
	ASSERT_EQ(0, extpager_attach(self->d.p, NAME, NULL, NULL));
	EXPECT_EQ(0, client_result(&c, SOON));
	note = last_note(&self->d, AN_INIT, 2);
	EXPECT_TRUE(note.resent);
	note = last_note(&self->d, A_REQUEST, 2);
	EXPECT_TRUE(note.resent);
	EXPECT_EQ(3 * PAGE, note.offset);
	close(a.fd);
}

TEST_F(library, a_dropped_request_is_left_to_its_deadline)
{
	struct target_options o = { .bytes = BYTES, .page_in_ms = 300 };
	struct access a = ACCESS(-1, 3, 1);

	BEHAVIOURS(37);
	ASSERT_TRUE(target_gone(NAME));
	ASSERT_EQ(0, target_add(NAME, &o));
	ASSERT_EQ(0, extpager_attach(self->d.p, NAME, NULL, NULL));
	a.fd = target_open(NAME, O_RDWR);
	ASSERT_LE(0, a.fd);
	atomic_store(&self->d.drops, true);
	EXPECT_EQ(EIO, run(client_read, a));
	EXPECT_EQ(1, target_stat(NAME, EXTPAGER_A_STATS_TIMEOUTS));
	/* The next one is asked anew, and the library has room for it: in its own time. */
	ASSERT_EQ(0, target_set(NAME, &(struct target_options){ .page_in_ms = SOON }));
	atomic_store(&self->d.drops, false);
	EXPECT_EQ(0, run(client_read, a));
	last_note(&self->d, A_REQUEST, 2);
	EXPECT_EQ(2, notes(&self->d, A_REQUEST));
	EXPECT_EQ(0, target_stat(NAME, EXTPAGER_A_STATS_BAD_REPLIES));
	close(a.fd);
}

TEST_F(library, pushed_pages_are_there_without_a_request)
{
	uint8_t *buf = aligned_alloc(PAGE, 4 * PAGE), zero[PAGE];
	struct note note;
	unsigned int i;

	BEHAVIOURS(15, 17);
	/* Not before the object is in use. */
	EXPECT_GT(0, extpager_push(self->d.p, self->object, 0, 0, NULL, PAGE));
	ASSERT_EQ(0, run(client_read, ACCESS(self->fd, 0, 1)));
	note = last_note(&self->d, AN_INIT, 1);
	for (i = 0; i < 4; i++)
		fill_page(buf + i * PAGE, 9, 10 + i);
	EXPECT_EQ(4 * PAGE, extpager_push(self->d.p, self->object, note.generation, 10 * PAGE, buf,
					  4 * PAGE));
	EXPECT_EQ(2 * PAGE, extpager_push(self->d.p, self->object, note.generation, 20 * PAGE,
					  NULL, 2 * PAGE));
	EXPECT_EQ(0, run(client_read, (struct access){ self->fd, 10, 4, 9, -1 }));
	ASSERT_EQ(PAGE, pread(self->fd, zero, PAGE, 21 * PAGE));
	EXPECT_TRUE(page_is_zero(zero));
	EXPECT_EQ(1, notes(&self->d, A_REQUEST));

	/* What is there is left alone; what is half there is filled up. */
	EXPECT_EQ(-EEXIST, extpager_push(self->d.p, self->object, note.generation, 10 * PAGE, NULL,
					 4 * PAGE));
	EXPECT_EQ(PAGE, extpager_push(self->d.p, self->object, note.generation, 13 * PAGE, NULL,
				      2 * PAGE));
	EXPECT_EQ(0, run(client_read, (struct access){ self->fd, 10, 4, 9, -1 }));
	EXPECT_EQ(-ESTALE, extpager_push(self->d.p, self->object, note.generation + 1, 30 * PAGE,
					 NULL, PAGE));
	EXPECT_EQ(-ENOENT, extpager_push(self->d.p, self->object + 1000, note.generation, 0, NULL,
					 PAGE));
	EXPECT_EQ(-ERANGE, extpager_push(self->d.p, self->object, note.generation, BYTES, NULL,
					 PAGE));
	EXPECT_EQ(-EINVAL, extpager_push(self->d.p, self->object, note.generation, 1, NULL, PAGE));
	EXPECT_EQ(-EFAULT, extpager_push(self->d.p, self->object, note.generation, 30 * PAGE,
					 (void *)16, PAGE));
	free(buf);
}

TEST_F(library, a_registered_file_is_read_by_the_kernel)
{
	uint8_t page[PAGE];
	unsigned int align = 0, i;
	int fd = memfd_create(NAME, MFD_CLOEXEC), file;

	PARTIAL(115);
	for (i = 0; i < 32; i++) {
		fill_page(page, 9, i);
		ASSERT_EQ(PAGE, pwrite(fd, page, PAGE, i * PAGE));
	}
	EXPECT_EQ(-EBADF, extpager_register(self->d.p, -1, NULL));
	EXPECT_EQ(-ELOOP, extpager_register(self->d.p, self->fd, NULL));
	file = extpager_register(self->d.p, fd, &align);
	ASSERT_LT(0, file);
	EXPECT_EQ(1, align);
	close(fd);
	atomic_store(&self->d.file, file);
	EXPECT_EQ(0, run(client_read, (struct access){ self->fd, 3, 5, 9, -1 }));
	/* Beyond its end there is nothing. */
	EXPECT_EQ(EIO, run(client_read, (struct access){ self->fd, 40, 1, 9, -1 }));
	EXPECT_EQ(0, extpager_unregister(self->d.p, file));
	EXPECT_EQ(-ENOENT, extpager_unregister(self->d.p, file));
	/* Answered inside the callback, refused later: an error, and at once. */
	EXPECT_EQ(EIO, run(client_read, (struct access){ self->fd, 9, 1, 9, -1 }));
}

TEST_F(library, attributes_are_in_force_when_the_callback_says_so)
{
	struct note note;

	BEHAVIOURS(4, 5);
	ASSERT_EQ(0, run(client_read, ACCESS(self->fd, 0, 2)));
	/* MAY_CACHE: the pages outlive the last file. */
	close(self->fd);
	self->fd = extpager_object_open(self->d.p, self->object, O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, run(client_read, ACCESS(self->fd, 0, 2)));
	EXPECT_EQ(2, notes(&self->d, A_REQUEST));
	EXPECT_EQ(0, notes(&self->d, A_TERMINATE));

	EXPECT_EQ(0, extpager_set_attributes(self->d.p, self->object, 0));
	note = last_note(&self->d, ATTRIBUTES_IN_FORCE, 1);
	EXPECT_EQ(self->object, note.object);
	EXPECT_EQ(0, note.attributes);
	close(self->fd);
	note = last_note(&self->d, A_TERMINATE, 1);
	EXPECT_EQ(self->object, note.object);
	EXPECT_EQ(1, note.generation);

	self->fd = extpager_object_open(self->d.p, self->object, O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, run(client_read, ACCESS(self->fd, 0, 2)));
	note = last_note(&self->d, AN_INIT, 2);
	EXPECT_EQ(2, note.generation);
	EXPECT_EQ(4, notes(&self->d, A_REQUEST));
	EXPECT_EQ(0, extpager_set_attributes(self->d.p, self->object, EXTPAGER_MAY_CACHE));
	note = last_note(&self->d, ATTRIBUTES_IN_FORCE, 2);
	EXPECT_EQ(EXTPAGER_MAY_CACHE, note.attributes);
	EXPECT_EQ(-EINVAL, extpager_set_attributes(self->d.p, self->object, ~0U));
	EXPECT_EQ(-ENOENT, extpager_set_attributes(self->d.p, self->object + 1000, 0));
}

TEST_F(library, a_destroyed_object_returns_its_dirty_pages_first)
{
	struct note note;

	PARTIAL(8);
	BEHAVIOURS(9);
	ASSERT_EQ(0, run(client_read, ACCESS(self->fd, 0, 1)));
	ASSERT_EQ(0, run(client_write, (struct access){ self->fd, 6, 2, 9, -1 }));
	EXPECT_EQ(0, extpager_object_destroy(self->d.p, self->object, false));
	note = last_note(&self->d, A_TERMINATE, 1);
	EXPECT_EQ(self->object, note.object);
	note = last_note(&self->d, A_RETURN, 1);
	EXPECT_EQ(6 * PAGE, note.offset);
	EXPECT_EQ(2 * PAGE, note.length);
	EXPECT_EQ(1, notes(&self->d, A_SYNC));
	EXPECT_TRUE(page_is(self->d.store + 6 * PAGE, 9, 6));
	EXPECT_TRUE(page_is(self->d.store + 7 * PAGE, 9, 7));
	/* What was here stays readable, the rest is not to be had. */
	EXPECT_EQ(0, run(client_read, (struct access){ self->fd, 6, 2, 9, -1 }));
	EXPECT_EQ(ENODEV, run(client_read, ACCESS(self->fd, 8, 1)));
	EXPECT_EQ(-ENOENT, extpager_object_open(self->d.p, self->object, O_RDWR));
	EXPECT_EQ(-ENOENT, extpager_object_destroy(self->d.p, self->object, false));
}

TEST_F(library, an_object_destroyed_with_discard_returns_nothing)
{
	PARTIAL(8);
	ASSERT_EQ(0, run(client_read, ACCESS(self->fd, 0, 1)));
	ASSERT_EQ(0, run(client_write, (struct access){ self->fd, 6, 2, 9, -1 }));
	EXPECT_EQ(0, extpager_object_destroy(self->d.p, self->object, true));
	EXPECT_EQ(self->object, last_note(&self->d, A_TERMINATE, 1).object);
	EXPECT_EQ(0, notes(&self->d, A_RETURN));
	EXPECT_TRUE(page_is(self->d.store + 6 * PAGE, 5, 6));
	EXPECT_EQ(ENODEV, run(client_read, ACCESS(self->fd, 6, 1)));
	EXPECT_EQ(0, run(client_sync, ACCESS(self->fd, 0, 0)));
}

TEST_HARNESS_MAIN
