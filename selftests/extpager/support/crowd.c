// SPDX-License-Identifier: GPL-2.0-only
/* Threads that access an object all at once. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crowd.h"

struct member {
	struct crowd *crowd;
	struct access *access;
	uint8_t *map;
	pthread_t thread;
};

static __thread sigjmp_buf crowd_jump;
static __thread int crowd_code;
static __thread uint8_t *crowd_address;

/* One handler for all threads: a fault is told to the one that made it. */
static void on_crowd_bus(int sig, siginfo_t *info, void *context)
{
	crowd_code = info->si_code;
	crowd_address = info->si_addr;
	siglongjmp(crowd_jump, 1);
}

static void access_mapping(struct member *m)
{
	struct access *a = m->access;
	volatile uint8_t *page = m->map + a->offset;
	uint8_t want[PAGE];

	if (sigsetjmp(crowd_jump, 1)) {
		a->error = -crowd_code;
		a->where = crowd_address - m->map;
		return;
	}
	fill_page(want, m->crowd->seed, a->offset / PAGE);
	if (a->how == BY_STORE)
		page[0] = want[0];
	else
		(void)page[0];
	a->right = !memcmp((const void *)page, want, PAGE);
}

static void access_read(struct member *m)
{
	struct access *a = m->access;
	uint8_t page[PAGE];
	ssize_t n = pread(m->crowd->fd, page, PAGE, a->offset);

	if (n < 0)
		a->error = errno;
	a->right = n == PAGE && page_is(page, m->crowd->seed, a->offset / PAGE);
}

static void access_splice(struct member *m)
{
	struct access *a = m->access;
	loff_t at = a->offset;
	uint8_t page[PAGE];
	int fds[2];
	ssize_t n;

	if (pipe(fds))
		return;
	n = splice(m->crowd->fd, &at, fds[1], NULL, PAGE, 0);
	if (n < 0)
		a->error = errno;
	a->right = n == PAGE && read(fds[0], page, PAGE) == PAGE &&
		   page_is(page, m->crowd->seed, a->offset / PAGE);
	close(fds[0]);
	close(fds[1]);
}

static void *member_main(void *arg)
{
	struct member *m = arg;

	if (m->access->how == BY_READ)
		access_read(m);
	else if (m->access->how == BY_SPLICE)
		access_splice(m);
	else
		access_mapping(m);
	m->access->end_ms = now_ms();
	m->access->ended = true;
	return NULL;
}

static int crowd_main(void *arg)
{
	struct sigaction sa = { .sa_sigaction = on_crowd_bus, .sa_flags = SA_SIGINFO };
	struct crowd *c = arg;
	struct member *members = calloc(c->nr, sizeof(*members));
	pthread_attr_t attr;
	int prot = PROT_READ;
	unsigned int i;
	uint8_t *map;

	if ((fcntl(c->fd, F_GETFL) & O_ACCMODE) == O_RDWR)
		prot |= PROT_WRITE;
	map = mmap(NULL, c->bytes, prot, MAP_SHARED, c->fd, 0);
	if (!members || map == MAP_FAILED || madvise(map, c->bytes, c->advice))
		return 1;
	sigaction(SIGBUS, &sa, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (i = 0; i < c->nr; i++) {
		members[i] = (struct member){ .crowd = c, .access = &c->access[i], .map = map };
		if (pthread_create(&members[i].thread, &attr, member_main, &members[i]))
			return 2;
	}
	for (i = 0; i < c->nr; i++)
		pthread_join(members[i].thread, NULL);
	return 0;
}

struct crowd *crowd_new(int fd, uint64_t bytes, uint64_t seed, unsigned int nr)
{
	struct crowd *c = shared_memory(sizeof(*c) + nr * sizeof(c->access[0]));

	if (!c)
		abort();
	c->fd = fd;
	c->bytes = bytes;
	c->seed = seed;
	c->advice = MADV_RANDOM;
	c->nr = nr;
	return c;
}

void crowd_start(struct crowd *c)
{
	c->client = client_start(crowd_main, c);
}

bool crowd_waits(struct crowd *c, unsigned int nr, unsigned int ms)
{
	return WAIT_FOR(ms, tasks_waiting(c->client.pid) == nr);
}

unsigned int crowd_ended(const struct crowd *c)
{
	unsigned int i, n = 0;

	for (i = 0; i < c->nr; i++)
		n += c->access[i].ended;
	return n;
}

unsigned int crowd_right(const struct crowd *c)
{
	unsigned int i, n = 0;

	for (i = 0; i < c->nr; i++)
		n += c->access[i].ended && c->access[i].right;
	return n;
}

int crowd_join(struct crowd *c, unsigned int ms)
{
	return client_result(&c->client, ms);
}

void crowd_free(struct crowd *c)
{
	client_kill(&c->client);
	munmap(c, sizeof(*c) + c->nr * sizeof(c->access[0]));
}

static bool file_has(const char *path, const char *text)
{
	char buf[4096] = "";
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f)
		return false;
	n = fread(buf, 1, sizeof(buf) - 1, f);
	buf[n] = 0;
	fclose(f);
	return strstr(buf, text);
}

unsigned int tasks_waiting(pid_t pid)
{
	struct dirent *entry;
	unsigned int n = 0;
	char path[300];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", pid, entry->d_name);
		if (!file_has(path, ") D "))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stack", pid, entry->d_name);
		n += file_has(path, "[extpager]");
	}
	if (dir)
		closedir(dir);
	return n;
}
