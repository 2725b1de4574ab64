// SPDX-License-Identifier: GPL-2.0-only
/* Client processes, patterns and other small things of the tests. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pager.h"

uint64_t test_seed(uint64_t salt)
{
	const char *s = getenv("EXTPAGER_SEED");

	return (s ? strtoull(s, NULL, 10) : 1) * 0x9e3779b97f4a7c15ULL + salt;
}

uint64_t test_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

unsigned int kernel_version(void)
{
	unsigned int major, minor;
	struct utsname name;

	uname(&name);
	return sscanf(name.release, "%u.%u", &major, &minor) == 2 ? major * 100 + minor : 0;
}

static bool env_is(const char *name)
{
	const char *s = getenv(name);

	return s && !strcmp(s, "1");
}

bool on_debug_kernel(void)
{
	return env_is("EXTPAGER_DEBUG_KERNEL");
}

unsigned int test_rounds(unsigned int full, unsigned int usual, unsigned int debug)
{
	bool deep = env_is("EXTPAGER_DEEP");

	if (on_debug_kernel())
		return !deep ? debug : full < 10 * debug ? full : 10 * debug;
	return deep ? full : usual;
}

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

uint64_t now_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

uint64_t ticked_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC_COARSE);
}

void test_pause(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

bool test_patience(uint64_t *left, uint64_t *then)
{
	uint64_t passed;

	test_pause();
	passed = now_ms() - *then;
	*then += passed;
	passed = passed < 1000 ? passed : 1000;
	*left -= passed < *left ? passed : *left;
	return *left;
}

void fill_page(void *page, uint64_t seed, uint64_t index)
{
	uint64_t *word = page;
	unsigned int i;

	for (i = 0; i < PAGE / 8; i++)
		word[i] = (seed << 40) ^ (index << 12) ^ i * 8 ^ 0x5a5a000000000000ULL;
}

bool page_is(const void *page, uint64_t seed, uint64_t index)
{
	uint64_t want[PAGE / 8];

	fill_page(want, seed, index);
	return !memcmp(page, want, PAGE);
}

bool page_is_zero(const void *page)
{
	static const char zero[PAGE];

	return !memcmp(page, zero, PAGE);
}

void *shared_memory(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void die_of_sigbus(int sig)
{
	_exit(CLIENT_SIGBUS);
}

struct client client_start(int (*fn)(void *arg), void *arg)
{
	pid_t parent = getpid();
	struct client c;

	fflush(stdout);
	c.pid = fork();
	if (c.pid)
		return c;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(99);
	signal(SIGBUS, die_of_sigbus);
	_exit(fn(arg));
}

int client_result(struct client *c, unsigned int ms)
{
	int status;

	if (!WAIT_FOR(ms, waitpid(c->pid, &status, WNOHANG) == c->pid))
		return CLIENT_RUNNING;
	c->pid = 0;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

void client_kill(struct client *c)
{
	if (c->pid <= 0)
		return;
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	c->pid = 0;
}

bool stay_on(unsigned int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	return !sched_setaffinity(0, sizeof(cpus), &cpus) && sched_getcpu() == (int)cpu;
}

#define STAT_LINE 256

/* What /proc has of a task, with its name; where its letter is, or NULL: no such task. */
static const char *task_stat(const char *task, pid_t id, char line[STAT_LINE])
{
	char path[64], *at;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s%d/stat", task, id);
	f = id ? fopen(path, "r") : NULL;
	if (!f)
		return NULL;
	line[fread(line, 1, STAT_LINE - 1, f)] = '\0';
	fclose(f);
	at = strrchr(line, ')');
	return at ? at + 2 : NULL;
}

static char task_state(const char *task, pid_t id)
{
	char line[STAT_LINE];
	const char *at = task_stat(task, id, line);

	return at ? *at : 0;
}

bool thread_sleeps(pid_t tid)
{
	return task_state("self/task/", tid) == 'S';
}

bool client_stands(const struct client *c)
{
	return task_state("", c->pid) == 'D';
}

bool client_is_stopped(const struct client *c)
{
	return task_state("", c->pid) == 'T';
}

bool worker_stands(const char *queue)
{
	char line[STAT_LINE], name[32];
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	bool found = false;
	const char *at;

	snprintf(name, sizeof(name), "+%s", queue);
	while (proc && !found && (entry = readdir(proc))) {
		at = task_stat("", atoi(entry->d_name), line);
		found = at && *at == 'D' && strstr(line, name);
	}
	if (proc)
		closedir(proc);
	return found;
}

static __thread sigjmp_buf bus_jump;
static __thread int bus_code;
static __thread void *bus_address;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	bus_code = info->si_code;
	bus_address = info->si_addr;
	siglongjmp(bus_jump, 1);
}

static int try_access(volatile uint8_t *p, bool write, uint8_t value, void **where)
{
	struct sigaction sa = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO }, old;
	int ret = 0;

	sigaction(SIGBUS, &sa, &old);
	if (sigsetjmp(bus_jump, 1)) {
		ret = bus_code;
		if (where)
			*where = bus_address;
	} else if (write) {
		*p = value;
	} else {
		(void)*p;
	}
	sigaction(SIGBUS, &old, NULL);
	return ret;
}

int try_read(const volatile uint8_t *p, void **where)
{
	return try_access((volatile uint8_t *)p, false, 0, where);
}

int try_write(volatile uint8_t *p, uint8_t value, void **where)
{
	return try_access(p, true, value, where);
}

bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

bool write_number(const char *path, long n)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", n);
	return write_file(path, text);
}

long read_number(const char *path, const char *key)
{
	FILE *f = fopen(path, "r");
	char line[512];
	long n = -1;

	if (!f)
		return -1;
	while (n < 0 && fgets(line, sizeof(line), f)) {
		char *at = key ? strstr(line, key) : line;

		if (at)
			n = strtol(at + (key ? strlen(key) : 0) +
				   strspn(at + (key ? strlen(key) : 0), " :\t="), NULL, 10);
	}
	fclose(f);
	return n;
}

void drop_caches(void)
{
	write_file("/proc/sys/vm/drop_caches", "3");
}

long writeback_interval(long centisecs)
{
	static const char path[] = "/proc/sys/vm/dirty_writeback_centisecs";
	long before = read_number(path, NULL);

	return write_number(path, centisecs) ? before : -1;
}

/* Its name is there before it can be opened. */
static bool disk_opens(void)
{
	int fd = open(DISK, O_RDWR | O_CLOEXEC);
	bool opens = fd >= 0 && lseek(fd, 0, SEEK_END) > 0;

	if (fd >= 0)
		close(fd);
	return opens;
}

bool disk_ready(void)
{
	return !system("modprobe nvme") && WAIT_FOR(10000, disk_opens());
}

int loop_over(int file)
{
	struct loop_config config = {
		.fd = file, .info = { .lo_flags = LO_FLAGS_AUTOCLEAR },
	};
	int control, nr, fd;
	char path[32];

	if (system("modprobe -q loop"))
		return -1;
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	nr = ioctl(control, LOOP_CTL_GET_FREE);
	close(control);
	snprintf(path, sizeof(path), "/dev/loop%d", nr);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config)) {
		close(fd);
		fd = -1;
	}
	return fd;
}
