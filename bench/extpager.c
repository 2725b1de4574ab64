// SPDX-License-Identifier: GPL-2.0-only
/*
 * extpager by COPY: a pager in a process of its own reads the store into its
 * buffer; one ENTER supplies that and waits for the next request. By FILE it says
 * where the bytes lie, and the kernel reads or writes them; by DELEGATE it has said so
 * for all of them before anybody asked. And by COPY
 * while somebody watches: all that the kernel tells of a target is read, by
 * netlink and in sysfs, twelve times as often as one does who watches, once a
 * second. A pager that is to be succeeded leaves all but the first requests
 * unanswered. Two that are spoilt sleep, and supply what is a word off.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <extpager.h>
#include <extpager-control.h>

#include "bench.h"

#define ENTRIES		64
#define REQUEST_MAX	(2UL << 20)
#define READAHEAD	REQUEST_MAX
#define TARGET		"bench"
#define PATIENCE	10000		/* ms */
#define INTERVAL	20000L		/* ns, for each page that is timed: not all of it */

static pid_t pager, watcher;
static int object;
static char *buffers;
static uint64_t noted_before;
/* Of a pager that is spoilt: done to what it has read. */
static void (*spoil)(char *buf, size_t length);

/* By FILE and DELEGATE: the store, as the port names it. */
static bool by_file, delegates;
static unsigned int file;

/* How often this pager was asked. */
static uint64_t asked(void)
{
	return requests_noted() - noted_before;
}

/* A deferred supply's buffer is reused after as many callbacks as entries. */
static char *next_buffer(void)
{
	static unsigned int n;

	return buffers + n++ % ENTRIES * REQUEST_MAX;
}

static void data_request(struct extpager *p, struct extpager_req *req, void *user)
{
	uint64_t offset = extpager_req_offset(req), length = extpager_req_length(req);
	const struct testcase *t = user;
	char *buf;

	note_request();
	if ((t->succession && asked() > WARM) || is_held(t, offset))
		return;
	if (by_file) {
		extpager_supply_file(req, offset, length, file, offset);
		return;
	}
	buf = next_buffer();
	store_read(buf, length, offset);
	if (spoil)
		spoil(buf, length);
	extpager_supply_deferred(req, offset, buf, length);
}

static void init(struct extpager *p, struct extpager_req *req, void *user)
{
	const struct testcase *t = user;
	const struct extpager_delegation all = {
		.length = STORE_BYTES,
		.file = file,
		.flags = t->batch ? 0 : EXTPAGER_DELEGATE_RDONLY,
	};
	int ret = delegates ? extpager_delegate(p, extpager_req_object(req),
						extpager_req_generation(req), &all, 1) : 0;

	if (ret) {
		errno = -ret;
		die("extpager_delegate");
	}
	extpager_ready(req, 0, EXTPAGER_MAY_CACHE);
}

/* What was returned in one round: fetched, or ordered to be written, in one system call. */
static struct returned {
	struct extpager_req *req;
	uint64_t offset, length;
	char *buf;
	int result;
} returned[ENTRIES];
static unsigned int nr_returned;

static void data_return(struct extpager *p, struct extpager_req *req, void *unused)
{
	struct returned *r = &returned[nr_returned++];
	int ret;

	note_request();
	r->req = req;
	r->offset = extpager_req_offset(req);
	r->length = extpager_req_length(req);
	r->buf = next_buffer();
	if (by_file)
		ret = extpager_return_file_deferred(req, file, r->offset, &r->result);
	else
		ret = extpager_fetch_deferred(req, r->offset, r->buf, r->length, &r->result);
	if (ret)
		r->result = ret;
}

static int write_returned(struct extpager *p)
{
	int ret = nr_returned ? extpager_submit(p, 0) : 0;

	for (unsigned int i = 0; i < nr_returned && !ret; i++) {
		struct returned *r = &returned[i];

		if (r->result) {
			errno = -r->result;
			die("what is returned");
		}
		if (by_file)
			continue;
		store_write(r->buf, r->length, r->offset);
		extpager_return_done(r->req, 0);
	}
	nr_returned = 0;
	return ret;
}

/* A system call takes the answers of one round and waits for the next. */
static int serve(struct extpager *p)
{
	int ret;

	extpager_defer(p, 0);
	do {
		ret = extpager_dispatch(p, 0, -1);
		if (ret >= 0)
			ret = write_returned(p);
	} while (ret >= 0 || ret == -EINTR);
	return ret;
}

static void sync_request(struct extpager *p, struct extpager_req *req, void *unused)
{
	note_request();
	store_sync();
	extpager_sync_done(req, 0);
}

/* An object of the pager's own; its id. */
static int make_object(struct extpager *p, const struct testcase *t, uint64_t *id)
{
	int fd = extpager_object_create(p, STORE_BYTES, t->batch ? 0 : EXTPAGER_CREATE_RDONLY, id);

	if (fd >= 0)
		close(fd);
	return fd;
}

/* A target's: what nobody configured cannot be watched. */
static int make_target(struct extpager *p, const struct testcase *t, uint64_t *id)
{
	struct extpager_target target = {
		.size = sizeof(target),
		.set = EXTPAGER_SET_BYTES | EXTPAGER_SET_READ_ONLY,
		.name = TARGET,
		.bytes = STORE_BYTES,
		.read_only = !t->batch,
	};
	struct extpager_ctl *c;
	int ret = extpager_ctl_open(&c);

	if (ret)
		return ret;
	ret = extpager_target_add(c, &target);
	extpager_ctl_close(c);
	return ret ? ret : extpager_attach(p, TARGET, id, NULL);
}

typedef int make_fn(struct extpager *p, const struct testcase *t, uint64_t *id);

static noreturn void be_pager(int sock, const struct testcase *t, make_fn *make)
{
	const struct extpager_params params = {
		.size = sizeof(params),
		.nr_queues = 1,
		.ring_entries = ENTRIES,
		.flags = EXTPAGER_PORT_LARGE,
	};
	const struct extpager_ops ops = {
		.size = sizeof(ops),
		.init = init,
		.data_request = data_request,
		.data_return = data_return,
		.sync = sync_request,
	};
	struct extpager *p;
	int ret, fd;

	buffers = resident(ENTRIES * REQUEST_MAX);
	ret = extpager_open(&p, &params, &ops, (void *)t);
	if (!ret && (by_file || delegates)) {
		fd = store_open_flags(t->batch ? O_RDWR : O_RDONLY);
		ret = extpager_register(p, fd, NULL);
		file = ret;
		ret = ret < 0 ? ret : 0;
		close(fd);
	}
	if (!ret) {
		uint64_t id;

		ret = make(p, t, &id);
		if (ret >= 0) {
			set_readahead("extpager-*", READAHEAD);
			/* Who answers INIT does not wait for READY. */
			ret = fd = extpager_object_open(p, id, open_flags(t) | O_NONBLOCK);
		}
		if (ret >= 0) {
			ret = extpager_send_fd(sock, fd, NULL, 0);
			close(fd);
		}
	}
	if (!ret)
		ret = serve(p);
	errno = -ret;
	die("pager");
}

static void start_with(const struct testcase *t, make_fn *make)
{
	int sock[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sock))
		die("socketpair");
	noted_before = requests_noted();
	pager = fork();
	if (pager < 0)
		die("fork");
	if (!pager) {
		close(sock[0]);
		be_pager(sock[1], t, make);
	}
	close(sock[1]);
	object = extpager_recv_fd(sock[0], NULL, NULL);
	if (object < 0) {
		errno = -object;
		die("extpager_recv_fd");
	}
	close(sock[0]);
}

static void start(const struct testcase *t)
{
	start_with(t, t->succession ? make_target : make_object);
}

static void start_by_file(const struct testcase *t)
{
	by_file = true;
	start(t);
	by_file = false;
}

static void start_delegated(const struct testcase *t)
{
	delegates = true;
	start(t);
	delegates = false;
}

static void idle(char *unused, size_t length)
{
	usleep(1000);
}

static void start_slow(const struct testcase *t)
{
	spoil = idle;
	start(t);
}

static void shift(char *buf, size_t length)
{
	memmove(buf, buf + sizeof(uint64_t), length - sizeof(uint64_t));
}

static void start_shifted(const struct testcase *t)
{
	spoil = shift;
	start(t);
}

static int see(const struct extpager_stats *s, void *seen)
{
	*(bool *)seen = s->nr;
	return 0;
}

static void watch(struct extpager_ctl *c, const glob_t *files)
{
	struct extpager_target target = { .size = sizeof(target) };
	bool seen = false;
	char text[64];

	if (extpager_target_get(c, TARGET, &target) ||
	    extpager_stats_get(c, TARGET, see, &seen) || !seen)
		die("statistics");
	for (size_t i = 0; i < files->gl_pathc; i++) {
		int fd = open(files->gl_pathv[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0 || (read(fd, text, sizeof(text)) <= 0 && errno != EISDIR))
			die(files->gl_pathv[i]);
		close(fd);
	}
}

/* Of this process, in ns: where each instruction takes one, what it and the kernel did. */
static uint64_t cpu_time(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t))
		die("clock_gettime");
	return t.tv_sec * 1000000000UL + t.tv_nsec;
}

static noreturn void be_watcher(const struct testcase *t)
{
	const struct timespec interval = { .tv_nsec = t->pages * INTERVAL };
	struct extpager_ctl *c;
	glob_t files;

	if (extpager_ctl_open(&c))
		die("extpager_ctl_open");
	if (glob("/sys/fs/extpager/" TARGET "/*", 0, NULL, &files) ||
	    glob("/sys/fs/extpager/" TARGET "/stats/*", GLOB_APPEND, NULL, &files))
		die("/sys/fs/extpager");
	for (;;) {
		uint64_t before = cpu_time();

		watch(c, &files);
		note_watch(cpu_time() - before);
		nanosleep(&interval, NULL);
	}
}

static void start_watched(const struct testcase *t)
{
	start_with(t, make_target);
	watcher = fork();
	if (watcher < 0)
		die("fork");
	if (!watcher)
		be_watcher(t);
}

static bool is_random_reading(const struct testcase *t)
{
	return t->random && !t->cached && !t->threads;
}

/* Pages that are here are the same however they came; a successor is to be asked. */
static bool is_of_pages(const struct testcase *t)
{
	return (!t->cached || t->batch) && !t->succession;
}

static char *map(const struct testcase *t)
{
	return map_file(object, t);
}

static void kill_pager(void)
{
	kill(pager, SIGKILL);
	waitpid(pager, NULL, 0);
}

static void delete_target(void)
{
	struct extpager_ctl *c;

	if (extpager_ctl_open(&c) || extpager_target_del(c, TARGET, true))
		die("extpager_target_del");
	extpager_ctl_close(c);
}

static void stop(const struct testcase *t)
{
	if (t->succession)
		delete_target();
	else
		kill_pager();
}

static void stop_watched(const struct testcase *t)
{
	int status;

	/* It must not have ended by itself. */
	if (waitpid(watcher, &status, WNOHANG))
		die("watcher");
	kill(watcher, SIGKILL);
	waitpid(watcher, NULL, 0);
	kill_pager();
	delete_target();
}

/* What a successor was asked for. */
struct inheritance {
	struct extpager_req **reqs;
	uint64_t *cost, last;
	size_t nr, max;
};

static void inherit(struct extpager *p, struct extpager_req *req, void *user)
{
	struct inheritance *in = user;
	uint64_t now = __rdtsc();

	if (extpager_req_resent(req))
		note_request();
	if (in->nr == in->max)
		return;
	in->cost[in->nr] = now - in->last;
	in->reqs[in->nr++] = req;
	in->last = now;
}

static void wait_for_orphan(void)
{
	struct extpager_target target = { .size = sizeof(target) };
	struct extpager_ctl *c;

	if (extpager_ctl_open(&c))
		die("extpager_ctl_open");
	for (;;) {
		if (extpager_target_get(c, TARGET, &target))
			die("extpager_target_get");
		if (!strcmp(extpager_state_name(target.state), "orphaned"))
			break;
		usleep(1000);
	}
	extpager_ctl_close(c);
}

static void succeed(const struct testcase *t, uint64_t *cost, struct counts *counts)
{
	const struct extpager_ops ops = { .size = sizeof(ops), .data_request = inherit };
	struct inheritance in = { .cost = cost, .max = t->pages };
	char *buf = resident(PAGE);
	struct extpager *p;

	in.reqs = resident(t->pages * sizeof(*in.reqs));
	if (extpager_open(&p, NULL, &ops, &in))
		die("successor");
	while (asked() < WARM + t->pages)
		usleep(1000);
	kill_pager();
	wait_for_orphan();

	begin_counting(counts, &extpager_copy_system);
	in.last = __rdtsc();
	if (extpager_attach(p, TARGET, NULL, NULL))
		die("extpager_attach");
	while (in.nr < in.max)
		if (extpager_dispatch(p, 0, PATIENCE) <= 0)
			die("extpager_dispatch");
	end_counting(counts, &extpager_copy_system);

	for (size_t i = 0; i < in.nr; i++) {
		uint64_t offset = extpager_req_offset(in.reqs[i]);

		store_read(buf, PAGE, offset);
		if (extpager_supply(in.reqs[i], offset, buf, PAGE))
			die("extpager_supply");
	}
}

const struct system extpager_copy_system = {
	.name = "extpager-copy",
	.holds = true,
	.start = start,
	.map = map,
	.stop = stop,
	.succeed = succeed,
};

const struct system extpager_file_system = {
	.name = "extpager-file",
	.can = is_of_pages,
	.start = start_by_file,
	.map = map,
	.stop = stop,
};

const struct system extpager_delegate_system = {
	.name = "extpager-delegate",
	.can = is_of_pages,
	.start = start_delegated,
	.map = map,
	.requests = major_faults,
	.stop = stop,
};

const struct system extpager_watched_system = {
	.name = "extpager-watched",
	.can = is_random_reading,
	.start = start_watched,
	.map = map,
	.stop = stop_watched,
};

const struct system extpager_slow_system = {
	.name = "extpager-slow",
	.can = is_random_reading,
	.start = start_slow,
	.map = map,
	.stop = stop,
};

const struct system extpager_shifted_system = {
	.name = "extpager-shifted",
	.can = is_random_reading,
	.start = start_shifted,
	.map = map,
	.stop = stop,
};
