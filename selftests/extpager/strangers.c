// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whoever may do nothing is refused, whatever he tries: every call of the node,
 * every command, the files of targets, their mount, and what /sys shows. He may be
 * nobody, or nobody who is root in namespaces of his own; or have a port, or a node,
 * that somebody else opened.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/genl.h"
#include "support/pager.h"
#include "support/ways.h"

#define BYTES	MIB
#define SEED	5
#define NOBODY	65534
#define SOON	20000		/* ms; what must come has come long before */
#define SYSFS	"/sys/fs/extpager/" TARGET
#define PARAMETER "/sys/module/extpager/parameters/unprivileged_pagers"
#define MOUNTPOINT "/run/strangers"

/* What a stranger has when he begins. */
struct stranger {
	struct socket s;	/* his own */
	int node;		/* opened by himself */
	char path[256];		/* of the target */
};

struct attempt {
	const char *what;
	int (*try)(struct stranger *me);	/* 0 or -errno */
	int want;				/* errno */
};

static int errno_if(bool failed)
{
	return failed ? -errno : 0;
}

static int closed(int fd)
{
	return fd < 0 ? fd : -close(fd);
}

/* ---- the node ---- */

#define CALL(cmd, _struct, ...) ({							\
	struct _struct arg = { .size = sizeof(arg), ##__VA_ARGS__ };			\
											\
	errno_if(ioctl(me->node, cmd, &arg) < 0); })

static int try_setup(struct stranger *me)
{
	return CALL(EXTPAGER_IOC_SETUP, extpager_setup, .abi_version = EXTPAGER_ABI_VERSION);
}

static int try_attach(struct stranger *me)
{
	return CALL(EXTPAGER_IOC_ATTACH, extpager_attach, .name = TARGET);
}

static int try_detach(struct stranger *me)
{
	return CALL(EXTPAGER_IOC_DETACH, extpager_detach, .object = 1);
}

static int try_create(struct stranger *me)
{
	return CALL(EXTPAGER_IOC_OBJECT_CREATE, extpager_object_create, .bytes = PAGE);
}

static int try_enter(struct stranger *me)
{
	return CALL(EXTPAGER_IOC_ENTER, extpager_enter);
}

static int try_wake(struct stranger *me)
{
	return CALL(EXTPAGER_IOC_WAKE, extpager_wake);
}

static int try_open_object(struct stranger *me)
{
	return CALL(EXTPAGER_IOC_OPEN, extpager_open, .object = 1);
}

static int try_open_to_read(struct stranger *me)
{
	return CALL(EXTPAGER_IOC_OPEN, extpager_open, .name = TARGET, .flags = O_RDONLY);
}

static int try_open_to_write(struct stranger *me)
{
	return CALL(EXTPAGER_IOC_OPEN, extpager_open, .name = TARGET, .flags = O_WRONLY);
}

static int try_failures(struct stranger *me)
{
	return CALL(EXTPAGER_IOC_FAILURES, extpager_failures);
}

static int try_register(struct stranger *me)
{
	return CALL(EXTPAGER_IOC_REGISTER, extpager_register, .fd = me->node);
}

static int try_unregister(struct stranger *me)
{
	return CALL(EXTPAGER_IOC_UNREGISTER, extpager_unregister, .file = 1);
}

static int try_delegate(struct stranger *me)
{
	return CALL(EXTPAGER_IOC_DELEGATE, extpager_delegate, .object = 1);
}

static int try_accept(struct stranger *me)
{
	return CALL(EXTPAGER_IOC_ACCEPT, extpager_accept);
}

static int try_read_node(struct stranger *me)
{
	char c;

	return errno_if(pread(me->node, &c, 1, 0) < 0);
}

static int try_write_node(struct stranger *me)
{
	return errno_if(pwrite(me->node, "x", 1, 0) < 0);
}

static int try_map_node(struct stranger *me)
{
	void *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, me->node, 0);

	return map == MAP_FAILED ? -errno : -munmap(map, PAGE);
}

static int try_seek_node(struct stranger *me)
{
	return errno_if(lseek(me->node, 0, SEEK_END) < 0);
}

static int try_sync_node(struct stranger *me)
{
	return errno_if(fsync(me->node));
}

static int try_advise_node(struct stranger *me)
{
	return -posix_fadvise(me->node, 0, 0, POSIX_FADV_WILLNEED);
}

/* ---- netlink ---- */

static int configure(struct stranger *me, uint8_t cmd, const char *name)
{
	struct message m = message(me->s.family, cmd);

	put_string(&m, EXTPAGER_A_TARGET_NAME, name);
	if (cmd == EXTPAGER_CMD_TARGET_ADD)
		put_u64(&m, EXTPAGER_A_TARGET_BYTES, BYTES);
	return talk(&me->s, &m, 0, NULL, NULL);
}

static int try_add(struct stranger *me)
{
	return configure(me, EXTPAGER_CMD_TARGET_ADD, "strangers");
}

static int try_set(struct stranger *me)
{
	return configure(me, EXTPAGER_CMD_TARGET_SET, TARGET);
}

static int try_del(struct stranger *me)
{
	return configure(me, EXTPAGER_CMD_TARGET_DEL, TARGET);
}

/* ---- paths ---- */

static int try_path_to_read(struct stranger *me)
{
	return errno_if(open(me->path, O_RDONLY) < 0);
}

static int try_path_to_write(struct stranger *me)
{
	return errno_if(open(me->path, O_WRONLY) < 0);
}

static int try_chmod(struct stranger *me)
{
	return errno_if(chmod(me->path, 0666));
}

static int try_chown(struct stranger *me)
{
	int ret = errno_if(chown(me->path, NOBODY, NOBODY));

	/* In a namespace that does not map him he is not even somebody to give it to. */
	return ret == -EINVAL ? -EPERM : ret;
}

static int try_truncate(struct stranger *me)
{
	return errno_if(truncate(me->path, 0));
}

static int try_unlink(struct stranger *me)
{
	return errno_if(unlink(me->path));
}

static int try_mount(struct stranger *me)
{
	return errno_if(mount("none", MOUNTPOINT, EXTPAGER_FS_TYPE, 0, NULL));
}

/* ---- sysfs ---- */

/* -EACCES if it is so of every file of the directory, and there are some. */
static int try_write_files(const char *directory)
{
	DIR *dir = opendir(directory);
	unsigned int files = 0;
	struct dirent *entry;
	char path[512];
	int fd;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_type != DT_REG)
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		fd = open(path, O_WRONLY);
		if (fd >= 0 || errno != EACCES)
			return closed(fd);
		files++;
	}
	if (dir)
		closedir(dir);
	return files ? -EACCES : -ENOENT;
}

static int try_sysfs(struct stranger *me)
{
	return try_write_files(SYSFS);
}

static int try_sysfs_counters(struct stranger *me)
{
	return try_write_files(SYSFS "/stats");
}

static int try_parameter(struct stranger *me)
{
	return errno_if(open(PARAMETER, O_WRONLY) < 0);
}

static const struct attempt attempts[] = {
	{ "SETUP", try_setup, EPERM },
	{ "ATTACH without a port", try_attach, ENOTTY },
	{ "DETACH without a port", try_detach, ENOTTY },
	{ "CREATE without a port", try_create, ENOTTY },
	{ "ENTER without a port", try_enter, ENOTTY },
	{ "WAKE without a port", try_wake, ENOTTY },
	{ "REGISTER without a port", try_register, ENOTTY },
	{ "UNREGISTER without a port", try_unregister, ENOTTY },
	{ "DELEGATE without a port", try_delegate, ENOTTY },
	{ "OPEN of an object without a port", try_open_object, ENOTTY },
	{ "OPEN to read", try_open_to_read, EACCES },
	{ "OPEN to write", try_open_to_write, EACCES },
	{ "FAILURES", try_failures, EACCES },
	{ "ACCEPT", try_accept, EACCES },
	{ "read of the node", try_read_node, EACCES },
	{ "write to the node", try_write_node, EACCES },
	{ "mmap of the node", try_map_node, EACCES },
	{ "lseek of the node", try_seek_node, EACCES },
	{ "fsync of the node", try_sync_node, EACCES },
	{ "fadvise of the node", try_advise_node, EACCES },
	{ "adding a target", try_add, EPERM },
	{ "changing a target", try_set, EPERM },
	{ "deleting a target", try_del, EPERM },
	{ "open of a path to read", try_path_to_read, EACCES },
	{ "open of a path to write", try_path_to_write, EACCES },
	{ "chmod", try_chmod, EPERM },
	{ "chown", try_chown, EPERM },
	{ "truncate", try_truncate, EACCES },
	{ "unlink", try_unlink, EACCES },
	{ "mount", try_mount, EPERM },
	{ "writing to a target's files in /sys", try_sysfs, EACCES },
	{ "writing to its counters", try_sysfs_counters, EACCES },
	{ "writing a parameter", try_parameter, EACCES },
};

static bool become_nobody(void)
{
	return !setgroups(0, NULL) && !setgid(NOBODY) && !setuid(NOBODY);
}

/* How much of it went otherwise than it should; 99 if nothing could be tried. */
static int try_all(void *arg)
{
	struct stranger *me = arg;
	unsigned int i, wrong = 0;

	me->node = open(EXTPAGER_DEVICE, O_RDWR);
	if (me->node < 0 || !open_socket(&me->s))
		return 99;
	for (i = 0; i < ARRAY_SIZE(attempts); i++) {
		int ret = attempts[i].try(me);

		if (ret == -attempts[i].want)
			continue;
		printf("# %s: %s, not %s\n", attempts[i].what, strerrorname_np(-ret),
		       strerrorname_np(attempts[i].want));
		fflush(stdout);
		wrong++;
	}
	return wrong;
}

static int as_nobody(void *arg)
{
	return become_nobody() ? try_all(arg) : 99;
}

/* Root, with every capability, but of namespaces of his own. */
static int as_root_elsewhere(void *arg)
{
	return become_nobody() && !unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) ?
	       try_all(arg) : 99;
}

FIXTURE(strangers)
{
	struct server server;
	struct stranger me;
};

FIXTURE_SETUP(strangers)
{
	ASSERT_EQ(0, ways_add(&(struct target_options){ .bytes = BYTES, .mode = 0600 }));
	ASSERT_TRUE(server_start(&self->server, TARGET, BYTES, SEED));
	mkdir(MOUNTPOINT, 0777);
	strcpy(self->me.path, target_path(TARGET));
}

FIXTURE_TEARDOWN(strangers)
{
	server_stop(&self->server);
	EXPECT_TRUE(ways_end());
}

TEST_F(strangers, whatever_a_stranger_tries_is_refused)
{
	static int (*const strangers[])(void *arg) = { as_nobody, as_root_elsewhere };
	unsigned int i;
	struct stat st;

	for (i = 0; i < ARRAY_SIZE(strangers); i++) {
		struct client c = client_start(strangers[i], &self->me);

		EXPECT_EQ(0, client_result(&c, SOON)) {
			TH_LOG("stranger %u", i);
		}
	}
	/* And so it is as it was. */
	EXPECT_EQ(EXTPAGER_STATE_LIVE, target_state(TARGET));
	EXPECT_EQ(0, target_state("strangers"));
	ASSERT_EQ(0, stat(self->me.path, &st));
	EXPECT_EQ(S_IFREG | 0600, st.st_mode);
	EXPECT_EQ(0, st.st_uid);
	EXPECT_EQ(BYTES, st.st_size);
}

/* ---- with what others opened ---- */

static int setup(void *arg)
{
	struct stranger *me = arg;

	return -try_setup(me);
}

/* A port whose pager is gone is taken over by those who may be pagers. */
static int take_over(void *arg)
{
	struct stranger *me = arg;

	CHECK(become_nobody());
	CHECK(try_setup(me) == -EPERM);
	CHECK(try_attach(me) == -ESHUTDOWN);
	CHECK(try_create(me) == -ESHUTDOWN);
	CHECK(try_detach(me) == -ESHUTDOWN);
	CHECK(try_enter(me) == -ESHUTDOWN);
	CHECK(try_wake(me) == -ESHUTDOWN);
	CHECK(try_register(me) == -ESHUTDOWN);
	CHECK(try_unregister(me) == -ESHUTDOWN);
	CHECK(try_delegate(me) == -ESHUTDOWN);
	CHECK(try_open_object(me) == -ESHUTDOWN);
	return 0;
}

TEST_F(strangers, an_orphaned_port_is_not_a_strangers_to_take_over)
{
	struct client c;

	self->me.node = open(EXTPAGER_DEVICE, O_RDWR);
	ASSERT_LE(0, self->me.node);
	c = client_start(setup, &self->me);
	ASSERT_EQ(0, client_result(&c, SOON));
	c = client_start(take_over, &self->me);
	EXPECT_EQ(0, client_result(&c, SOON));
	close(self->me.node);
}

/* The node gives what who opened it may have, whoever uses it first. */
static int use_lent_node(void *arg)
{
	struct stranger *me = arg;
	int roots = open(EXTPAGER_DEVICE, O_RDWR);

	CHECK(roots >= 0 && !setegid(NOBODY) && !seteuid(NOBODY));
	me->node = open(EXTPAGER_DEVICE, O_RDWR);
	CHECK(me->node >= 0 && !seteuid(0));
	CHECK(try_read_node(me) == -EACCES);
	CHECK(try_map_node(me) == -EACCES);
	CHECK(become_nobody());
	me->node = roots;
	CHECK(!try_read_node(me));
	CHECK(!try_map_node(me));
	return 0;
}

TEST_F(strangers, a_node_has_the_rights_of_who_opened_it)
{
	struct client c = client_start(use_lent_node, &self->me);

	EXPECT_EQ(0, client_result(&c, SOON));
}

/* ---- what he is told ---- */

struct told {
	unsigned int requests;
	unsigned int secrets;		/* who asks, and for what */
};

static void look_at_request(struct nlmsghdr *nh, void *arg)
{
	static const uint16_t secret[] = {
		EXTPAGER_A_REQUEST_OBJECT, EXTPAGER_A_REQUEST_OFFSET, EXTPAGER_A_REQUEST_LENGTH,
		EXTPAGER_A_REQUEST_PID, EXTPAGER_A_REQUEST_COMM,
	};
	struct told *told = arg;
	unsigned int i;

	told->requests += number_of(find(nh, EXTPAGER_A_REQUEST_OP)) == EXTPAGER_EV_DATA_REQUEST;
	for (i = 0; i < ARRAY_SIZE(secret); i++)
		told->secrets += !!find(nh, secret[i]);
}

static int look(struct stranger *me, struct told *told)
{
	struct message m = { };

	CHECK(open_socket(&me->s));
	m = message(me->s.family, EXTPAGER_CMD_REQUEST_GET);
	CHECK(!talk(&me->s, &m, NLM_F_DUMP, look_at_request, told));
	CHECK(told->requests == 1);
	return 0;
}

static int look_as_root_and_as_nobody(void *arg)
{
	struct told roots = { }, nobodys = { };
	struct stranger *me = arg;

	CHECK(!look(me, &roots));
	CHECK(roots.secrets == 5);
	CHECK(become_nobody());
	CHECK(!look(me, &nobodys));
	CHECK(nobodys.secrets == 0);
	return 0;
}

static int read_a_page(void *arg)
{
	char page[PAGE];
	int fd = target_open(TARGET, O_RDWR);

	CHECK(fd >= 0 && !posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
	CHECK(pread(fd, page, PAGE, 0) == (ssize_t)PAGE);
	return 0;
}

TEST_F(strangers, a_stranger_is_not_told_who_asks_for_what)
{
	struct client reader, onlooker;

	/* It is ready before it holds still. */
	close(target_open(TARGET, O_RDWR));
	*self->server.stop = 1;
	reader = client_start(read_a_page, NULL);
	ASSERT_TRUE(WAIT_FOR(SOON, read_number(SYSFS "/pending", NULL) == 1));
	onlooker = client_start(look_as_root_and_as_nobody, &self->me);
	EXPECT_EQ(0, client_result(&onlooker, SOON));
	*self->server.stop = 0;
	EXPECT_EQ(0, client_result(&reader, SOON));
}

TEST_HARNESS_MAIN
