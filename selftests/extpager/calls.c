// SPDX-License-Identifier: GPL-2.0-only
/*
 * Garbage at the door: random ioctls on a port, on an fd used as a client, and
 * on fresh fds. Whatever is refused is refused with an errno that the header
 * documents for that command, what is nonsense changes nothing, and the module
 * works afterwards.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/stats.h"

#define DEFAULT		"default"	/* what /dev/extpager is a client of */
#define OTHER		"calls"
#define BYTES		MIB
#define LONG_NAME	(EXTPAGER_NAME_MAX + 1)

enum place { PORT, CLIENT, FRESH, PLACES };

struct caller {
	struct pager *p;
	uint64_t object[2];		/* of the targets */
	uint32_t generation[2];
	int fd[PLACES];
	unsigned int fresh_calls;	/* on the present fresh fd */
	unsigned int last;		/* command */
	uint8_t *page, *no_page;	/* neighbours; the second is not there */
	uint64_t random;
	/* What was not refused, and what of it leaves a trace. */
	uint64_t taken, created, replies, bad_of_target;
	uint64_t refused;
};

#define REFUSED_IOCTLS "/sys/class/extpager/extpager/refused_ioctls"

/* What the header documents of every struct, and of every command of a port. */
#define OF_ALL		E2BIG, EINVAL, EFAULT
#define OF_A_PORT	OF_ALL, ENOTTY, EPERM, ESHUTDOWN

static const struct known {
	unsigned long cmd;
	uint32_t size;
	unsigned int name;		/* offset of a name, 0 if it has none */
	unsigned int fd;		/* offset of a new fd, 0 if there is none */
	int errors[16];			/* that are documented, up to a 0 */
} known[] = {
	{ EXTPAGER_IOC_SETUP, sizeof(struct extpager_setup), 0, 0,
	  { OF_ALL, EOPNOTSUPP, EPERM, EBUSY, EPROTONOSUPPORT } },
	{ EXTPAGER_IOC_ENTER, sizeof(struct extpager_enter), 0, 0,
	  { OF_A_PORT, EINTR, ETIME, EPROTO } },
	{ EXTPAGER_IOC_ATTACH, sizeof(struct extpager_attach),
	  offsetof(struct extpager_attach, name), 0,
	  { OF_A_PORT, EOPNOTSUPP, ENOENT, EBUSY } },
	{ EXTPAGER_IOC_DETACH, sizeof(struct extpager_detach), 0, 0,
	  { OF_A_PORT, EOPNOTSUPP, ENOENT } },
	{ EXTPAGER_IOC_OBJECT_CREATE, sizeof(struct extpager_object_create), 0,
	  offsetof(struct extpager_object_create, out_fd),
	  { OF_A_PORT, EOPNOTSUPP, ENOSPC, EFBIG } },
	/* No pager gives an errno of its own with READY here. */
	{ EXTPAGER_IOC_OPEN, sizeof(struct extpager_open), offsetof(struct extpager_open, name),
	  offsetof(struct extpager_open, out_fd),
	  { OF_A_PORT, EOPNOTSUPP, ENOENT, EACCES, EROFS, ETIMEDOUT, EIO, ENODEV } },
	{ EXTPAGER_IOC_WAKE, sizeof(struct extpager_wake), 0, 0, { OF_A_PORT, EOPNOTSUPP } },
	{ EXTPAGER_IOC_FAILURES, sizeof(struct extpager_failures), 0, 0,
	  { OF_ALL, EOPNOTSUPP, EPERM, ESHUTDOWN, ENOENT, ENXIO, EACCES, EROFS, ENODEV } },
	{ EXTPAGER_IOC_REGISTER, sizeof(struct extpager_register), 0, 0,
	  { OF_A_PORT, EOPNOTSUPP, EBADF, ELOOP, ENOSPC, EIO } },
	{ EXTPAGER_IOC_UNREGISTER, sizeof(struct extpager_unregister), 0, 0,
	  { OF_A_PORT, EOPNOTSUPP, ENOENT } },
	{ EXTPAGER_IOC_DELEGATE, sizeof(struct extpager_delegate), 0, 0,
	  { OF_A_PORT, EOPNOTSUPP, ENOENT, ESTALE, ERANGE, EBADF, EROFS, ENOSPC, EINTR } },
	{ EXTPAGER_IOC_ACCEPT, sizeof(struct extpager_accept), 0, 0,
	  { OF_ALL, EOPNOTSUPP, ENXIO, EACCES, EROFS, ESHUTDOWN, ENODEV } },
};

#define SETUP_NR	_IOC_NR(EXTPAGER_IOC_SETUP)
#define ENTER_NR	_IOC_NR(EXTPAGER_IOC_ENTER)
#define DETACH_NR	_IOC_NR(EXTPAGER_IOC_DETACH)
#define CREATE_NR	_IOC_NR(EXTPAGER_IOC_OBJECT_CREATE)

/* The table's line that the kernel takes @cmd for, or NULL. */
static const struct known *meaning(unsigned int cmd)
{
	unsigned int nr = _IOC_NR(cmd);

	return _IOC_TYPE(cmd) == EXTPAGER_IOC_MAGIC && nr < ARRAY_SIZE(known) &&
	       _IOC_DIR(cmd) == _IOC_DIR(known[nr].cmd) ? &known[nr] : NULL;
}

static unsigned int some_command(uint64_t r)
{
	unsigned int cmd = known[r % ARRAY_SIZE(known)].cmd;

	r >>= 8;
	switch (r % 16) {
	case 0:				/* any number at all */
		return r >> 8;
	case 1:				/* a neighbour */
		return cmd + (r >> 8) % 12;
	case 2:				/* another direction */
		return cmd ^ ((r >> 8) % 4 << _IOC_DIRSHIFT);
	case 3:				/* another version's struct, which it may be */
		return cmd ^ ((r >> 8) % 512 << _IOC_SIZESHIFT);
	}
	return cmd;
}

/* A word that is often nothing, seldom anything. */
static uint32_t some_word(uint64_t r)
{
	switch (r % 16) {
	case 0:
		return r >> 32;
	case 1:
		return 1U << (r >> 8) % 32;
	case 2:
		return ~0U;
	case 3:
	case 4:
		return (r >> 8) % 9;
	}
	return 0;
}

static void some_name(char *name, uint64_t r)
{
	static const char *const names[] = { DEFAULT, OTHER, "", "no-such", ".", "../calls" };
	unsigned int i;

	memset(name, 0, LONG_NAME);
	if (r % 8 < ARRAY_SIZE(names))
		strcpy(name, names[r % 8]);
	else
		for (i = 0; i < LONG_NAME; i++)
			name[i] = r >> (i % 50);
}

/* A struct for @k, or for nothing known, at the beginning of the page. */
static void some_struct(struct caller *c, const struct known *k)
{
	uint64_t r = test_random(&c->random);
	uint32_t *word = (uint32_t *)c->page;
	unsigned int i, size = k ? k->size : 64;

	memset(c->page, 0, PAGE);
	for (i = 0; i < size / 4; i++)
		word[i] = r % 3 ? some_word(test_random(&c->random)) : 0;
	if (k && k->name)
		some_name((char *)c->page + k->name, test_random(&c->random));
	if (k == &known[SETUP_NR] && r & 0x100)
		((struct extpager_setup *)c->page)->abi_version = EXTPAGER_ABI_VERSION;
	/* Nobody has time for long sleeps, and small numbers may name a target. */
	if (k == &known[ENTER_NR])
		((struct extpager_enter *)c->page)->timeout_ns %= 50000;
	if (k == &known[DETACH_NR])
		((struct extpager_detach *)c->page)->object |= 1ULL << 63;
	word[0] = size;
	switch (r >> 16 & 15) {
	case 0:
		word[0] = r >> 32;
		break;
	case 1:
		word[0] = (r >> 32) % (2 * PAGE);
		break;
	case 2:				/* a newer one, perhaps with something in it */
		word[0] = size + 8;
		c->page[size + 4] = r >> 40 & 1;
		break;
	}
}

/* Where the struct is said to be. */
static void *some_address(struct caller *c, unsigned int size)
{
	uint64_t r = test_random(&c->random);

	switch (r % 32) {
	case 0:
		return NULL;
	case 1:				/* the kernel's */
		return (void *)(r | 1ULL << 63);
	case 2:				/* anybody's: no memory there */
		return (void *)(r % (16 * PAGE));
	case 3:				/* its end is not there */
		memmove(c->no_page - size / 2, c->page, size / 2);
		return c->no_page - size / 2;
	case 4:
		return c->no_page;
	}
	return c->page;
}

/* Replies that cannot be; sometimes about an object that is. */
static void some_replies(struct caller *c)
{
	struct queue *q = &c->p->queue[0];
	unsigned int i, n = test_random(&c->random) % 3;

	/* Those of an ENTER that was refused are still there. */
	if (q->reply_tail != q->kernel->reply_head)
		return;

	for (i = 0; i < n; i++) {
		struct extpager_reply *re = &q->replies[q->reply_tail & q->kernel->reply_mask];
		uint64_t r = test_random(&c->random);
		unsigned int word;

		for (word = 0; word < sizeof(*re) / 4; word++)
			((uint32_t *)re)[word] = some_word(test_random(&c->random));
		re->op = (r >> 8) % 10;
		re->tag = r | 1ULL << 63;	/* nobody has it */
		re->object = 0;
		if (r & 1) {
			re->object = c->object[r >> 1 & 1];
			re->generation = c->generation[r >> 1 & 1];
		}
		q->reply_tail++;
	}
	__atomic_store_n(&q->user->reply_tail, q->reply_tail, __ATOMIC_RELEASE);
}

/* Of the @n replies that were taken last: which the targets count. */
static void count_replies(struct caller *c, unsigned int n)
{
	struct queue *q = &c->p->queue[0];
	uint32_t head = q->kernel->reply_head;

	c->replies += n;
	for (; n; n--)
		c->bad_of_target += !!q->replies[(head - n) & q->kernel->reply_mask].object;
}

/* Of what no command is, there is nothing else to say. */
static bool is_documented(const struct known *k, int error)
{
	unsigned int i;

	if (!k)
		return error == ENOTTY;
	for (i = 0; k->errors[i]; i++)
		if (k->errors[i] == error)
			return true;
	return false;
}

/* One call; false if it did what it must not. */
static bool call_once(struct caller *c)
{
	uint64_t r = test_random(&c->random);
	unsigned int cmd = some_command(r >> 8);
	const struct known *k = meaning(cmd);
	enum place place = r % PLACES;
	void *arg;
	int ret;

	if (place == FRESH && c->fresh_calls++ > 20) {
		close(c->fd[FRESH]);
		c->fd[FRESH] = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
		c->fresh_calls = 0;
	}
	some_struct(c, k);
	arg = some_address(c, k ? k->size : 64);
	if (place == PORT && k == &known[ENTER_NR])
		some_replies(c);
	ret = ioctl(c->fd[place], cmd, arg);
	c->last = cmd;
	if (ret < 0) {
		c->refused += errno != EINTR && errno != ETIME;
		return is_documented(k, errno);
	}
	c->taken++;
	/* Nothing but these can succeed, and only in their places. */
	if (!k || (k == &known[SETUP_NR] && place != FRESH))
		return false;
	if (k->fd)
		close(*(int *)((uint8_t *)arg + k->fd));
	if (place == PORT && k == &known[CREATE_NR])
		c->created++;
	if (place == PORT && k == &known[ENTER_NR])
		count_replies(c, ret);
	return k == &known[ENTER_NR] || !ret;
}

static unsigned int open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int read_a_page(void *arg)
{
	char page[PAGE];

	posix_fadvise(*(int *)arg, 0, 0, POSIX_FADV_RANDOM);
	if (pread(*(int *)arg, page, PAGE, 7 * PAGE) != (ssize_t)PAGE)
		return errno;
	return page_is(page, 3, 7) ? 0 : 99;
}

static int open_and_read(void *arg)
{
	int fd = open(EXTPAGER_DEVICE, O_RDWR);

	return read_a_page(&fd);
}

FIXTURE(calls)
{
	struct pager p;
	struct caller c;
	int fd[2];
};

FIXTURE_SETUP(calls)
{
	static const char *const names[] = { DEFAULT, OTHER };
	struct target_options o = { .bytes = BYTES };
	struct caller *c = &self->c;
	struct extpager_event ev;
	unsigned int i;

	ASSERT_EQ(0, pager_open(&self->p, 1, 16));
	c->p = &self->p;
	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(target_gone(names[i]));
		ASSERT_EQ(0, target_add(names[i], &o));
		ASSERT_EQ(0, pager_attach(&self->p, names[i], &c->object[i], NULL));
		self->fd[i] = target_open(names[i], O_RDWR | O_NONBLOCK);
		ASSERT_LE(0, self->fd[i]);
		ASSERT_TRUE(pager_expect(&self->p, EXTPAGER_EV_INIT, &ev, SOON));
		ASSERT_EQ(0, pager_ready(&self->p, &ev, 0, EXTPAGER_ATTR_MAY_CACHE));
		c->generation[i] = ev.generation;
	}
	c->fd[PORT] = self->p.fd;
	c->fd[CLIENT] = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
	c->fd[FRESH] = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_EQ(BYTES, lseek(c->fd[CLIENT], 0, SEEK_END));
	c->page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, c->page);
	c->no_page = c->page + PAGE;
	ASSERT_EQ(0, mprotect(c->no_page, PAGE, PROT_NONE));
}

FIXTURE_TEARDOWN(calls)
{
	close(self->c.fd[CLIENT]);
	close(self->c.fd[FRESH]);
	close(self->fd[0]);
	close(self->fd[1]);
	EXPECT_TRUE(target_gone(DEFAULT));
	EXPECT_TRUE(target_gone(OTHER));
	pager_close(&self->p);
}

#define SECONDS 15

TEST_F_TIMEOUT(calls, garbage_is_refused_and_nothing_else_happens, 120)
{
	unsigned int i, rounds = test_rounds(2000000, 60000, 20000), ports, files;
	uint64_t before[2][STATS], after[2][STATS], counted = 0, end;
	struct caller *c = &self->c;
	struct extpager_enter enter = { .size = sizeof(enter) };
	struct extpager_port_info info;
	struct extpager_event ev;
	uint64_t last = 0;
	struct client reader;
	unsigned int attr;
	long refused;

	BEHAVIOURS(41, 109);
	c->random = test_seed(9);
	printf("# EXTPAGER_SEED=%s\n", getenv("EXTPAGER_SEED") ?: "1");
	ASSERT_TRUE(stats_get(DEFAULT, 0, before[0]));
	ASSERT_TRUE(stats_get(OTHER, 0, before[1]));
	ports = ports_and_targets();
	files = open_files();
	ASSERT_TRUE(port_info(self->p.setup.out_port, &info));
	c->replies = info.queue[0].replies;
	refused = read_number(REFUSED_IOCTLS, NULL);
	ASSERT_LE(0, refused);

	end = now_ms() + test_rounds(10, 1, 1) * SECONDS * 1000;
	/* However slow it is, some calls in a thousand must have made an object. */
	for (i = 0; i < rounds && (now_ms() < end || i <= 1000 || !c->created); i++) {
		last = c->random;
		ASSERT_TRUE(call_once(c)) {
			TH_LOG("call %u, %#x, with the generator at %#" PRIx64 ": errno %d", i,
			       c->last, last, errno);
		}
	}
	enter.to_submit = 16;
	count_replies(c, ioctl(self->p.fd, EXTPAGER_IOC_ENTER, &enter));
	/* Not all of it was nonsense, or it would try nothing. */
	EXPECT_LT(1000, i);
	EXPECT_LT(i / 1000, c->taken);
	EXPECT_GT(i, c->taken);
	EXPECT_LT(0, c->created);
	EXPECT_LT(0, c->bad_of_target);
	EXPECT_LT(0, c->refused);
	EXPECT_EQ(refused + (long)c->refused, read_number(REFUSED_IOCTLS, NULL));

	/* What was taken shows where it must, and nowhere else. */
	close(c->fd[FRESH]);
	EXPECT_EQ(files - 1, open_files());
	EXPECT_TRUE(WAIT_FOR(SOON, ports_and_targets() == ports));
	ASSERT_TRUE(port_info(self->p.setup.out_port, &info));
	EXPECT_EQ(2, info.targets);
	EXPECT_EQ(c->created, info.objects);
	EXPECT_EQ(c->replies, info.queue[0].replies);
	EXPECT_EQ(c->replies - 2, info.queue[0].bad_replies);
	ASSERT_TRUE(stats_get(DEFAULT, 0, after[0]));
	ASSERT_TRUE(stats_get(OTHER, 0, after[1]));
	for (i = 0; i < 2; i++) {
		for (attr = EXTPAGER_A_STATS_INITS; attr < STATS; attr++) {
			if (attr == EXTPAGER_A_STATS_BAD_REPLIES)
				counted += after[i][attr] - before[i][attr];
			else
				EXPECT_EQ(before[i][attr], after[i][attr]) {
					TH_LOG("%s", stat_name(attr));
				}
		}
	}
	EXPECT_EQ(c->bad_of_target, counted);
	EXPECT_TRUE(pager_silent(&self->p, QUIET));

	/* And all three places still do what they are for. */
	reader = client_start(read_a_page, &c->fd[CLIENT]);
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(c->object[0], ev.object);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 3));
	EXPECT_EQ(0, client_result(&reader, SOON));
	reader = client_start(open_and_read, NULL);
	EXPECT_EQ(0, client_result(&reader, SOON));
	reader = client_start(read_a_page, &self->fd[1]);
	ASSERT_TRUE(next_request(&self->p, &ev));
	EXPECT_EQ(c->object[1], ev.object);
	ASSERT_EQ(0, pager_supply(&self->p, &ev, 3));
	EXPECT_EQ(0, client_result(&reader, SOON));
	c->fd[FRESH] = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
	EXPECT_LE(0, c->fd[FRESH]);
}

TEST_HARNESS_MAIN
