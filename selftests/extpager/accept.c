// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects that an unprivileged pager made are mapped by its own user, and by those
 * users who have accepted it: whoever else was passed a descriptor does not come to
 * be at its mercy unknowingly.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <extpager.h>

#include "kselftest_harness.h"
#include "behaviours.h"
#include "support/object.h"
#include "support/pager.h"
#include "support/ways.h"

#define DEFAULT	"default"	/* what /dev/extpager is a client of */
#define BYTES	(4 * PAGE)
#define SEED	3
#define UNPRIVILEGED "/sys/module/extpager/parameters/unprivileged_pagers"

enum { ROOT, PAGER = 1000, CLIENT, OTHER };

static int call(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? -errno : 0;
}

/* ---- clients ---- */

static const struct { int prot, flags; } ways[] = {
	{ PROT_READ | PROT_WRITE, MAP_SHARED },
	{ PROT_READ, MAP_SHARED },
	{ PROT_READ | PROT_WRITE, MAP_PRIVATE },
	{ PROT_READ, MAP_PRIVATE },
	{ PROT_NONE, MAP_PRIVATE },
};

/* A process of @uid's that is passed @fd. */
struct visit {
	int fd;
	uid_t uid;
	bool accepts, touches;
};

enum { MAPS = 90, MAPS_SOME, SEES_ELSE, CANNOT };

/* Every way of mapping has one end: the errno, or MAPS. */
static int visit(void *arg)
{
	const struct visit *v = arg;
	unsigned int i, mapped = 0;
	int error = 0;
	void *map;

	if (setresuid(v->uid, v->uid, v->uid) || (v->accepts && extpager_accept(v->fd)))
		return CANNOT;
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		map = mmap(NULL, BYTES, ways[i].prot, ways[i].flags, v->fd, 0);
		if (map == MAP_FAILED) {
			if (error && errno != error)
				return MAPS_SOME;
			error = errno;
			continue;
		}
		mapped++;
		if (v->touches && ways[i].prot && !page_is(map, SEED, 0))
			return SEES_ELSE;
		munmap(map, BYTES);
	}
	return !mapped ? error : error ? MAPS_SOME : MAPS;
}

/* Of a pager that answers. */
static int serve_visit(struct pager *p, int fd, uid_t uid, bool accepts)
{
	struct visit v = { .fd = fd, .uid = uid, .accepts = accepts, .touches = true };
	struct client c = client_start(visit, &v);

	return serve_client(p, &c, SEED, NULL);
}

#define MAP(fd, uid)		serve_visit(&self->p, fd, uid, false)
#define ACCEPT_AND_MAP(fd, uid)	serve_visit(&self->p, fd, uid, true)

/* Of one that need not be there. */
static int visit_unserved(int fd, uid_t uid, bool accepts)
{
	struct visit v = { .fd = fd, .uid = uid, .accepts = accepts };
	struct client c = client_start(visit, &v);

	return client_result(&c, SOON);
}

/* ---- pagers ---- */

/* Needs no step. */
static int read_a_byte(void *arg)
{
	char c;

	return pread(*(int *)arg, &c, 1, 0) != 1;
}

/* @uid's port, and the fd of an object that is ready; we are root again afterwards. */
static int make_object(struct pager *p, uid_t uid, uint64_t *object)
{
	struct client c;
	int fd = -1;

	if (!seteuid(uid) && !pager_open(p, 1, 0))
		fd = pager_create(p, BYTES, 0, object);
	if (seteuid(ROOT) || fd < 0)
		return -1;
	c = client_start(read_a_byte, &fd);
	return object_ready(p, NULL) && !serve_client(p, &c, SEED, NULL) ? fd : -1;
}

FIXTURE(accept)
{
	struct pager p;			/* PAGER's */
	uint64_t object;
	int fd;
};

FIXTURE_SETUP(accept)
{
	ASSERT_TRUE(write_file(UNPRIVILEGED, "1"));
	self->fd = make_object(&self->p, PAGER, &self->object);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(accept)
{
	close(self->fd);
	pager_close(&self->p);
	EXPECT_TRUE(write_file(UNPRIVILEGED, "0"));
}

TEST_F(accept, a_user_maps_an_object_once_he_has_accepted_it)
{
	int other;

	BEHAVIOURS(112);
	EXPECT_EQ(EPERM, MAP(self->fd, CLIENT));
	/* The pager, which has the same open file, cannot do it for him. */
	ASSERT_EQ(0, seteuid(PAGER));
	EXPECT_EQ(0, extpager_accept(self->fd));
	ASSERT_EQ(0, seteuid(ROOT));
	EXPECT_EQ(EPERM, MAP(self->fd, CLIENT));
	EXPECT_EQ(MAPS, ACCEPT_AND_MAP(self->fd, CLIENT));
	/* Nor has he done it for others. */
	EXPECT_EQ(EPERM, MAP(self->fd, OTHER));
	EXPECT_EQ(MAPS, ACCEPT_AND_MAP(self->fd, OTHER));
	/* Once is enough, for all fds of it; and more is no error. */
	EXPECT_EQ(MAPS, MAP(self->fd, CLIENT));
	EXPECT_EQ(MAPS, ACCEPT_AND_MAP(self->fd, CLIENT));
	other = pager_reopen(&self->p, self->object, O_RDWR);
	ASSERT_LE(0, other);
	EXPECT_EQ(MAPS, MAP(other, CLIENT));
	close(other);
	/* Not for all that the pager has. */
	other = pager_create(&self->p, BYTES, 0, NULL);
	ASSERT_LE(0, other);
	EXPECT_EQ(EPERM, MAP(other, CLIENT));
	close(other);
}

TEST_F(accept, root_is_asked_too)
{
	BEHAVIOURS(112);
	EXPECT_EQ(EPERM, MAP(self->fd, ROOT));
	EXPECT_EQ(MAPS, ACCEPT_AND_MAP(self->fd, ROOT));
	EXPECT_EQ(EPERM, MAP(self->fd, CLIENT));
}

TEST_F(accept, what_one_makes_oneself_needs_not_be_accepted)
{
	BEHAVIOURS(112);
	EXPECT_EQ(MAPS, MAP(self->fd, PAGER));
	EXPECT_EQ(MAPS, ACCEPT_AND_MAP(self->fd, PAGER));
}

TEST_F(accept, what_a_privileged_pager_made_needs_not_be_accepted)
{
	struct pager roots;
	int fd = make_object(&roots, ROOT, NULL);

	BEHAVIOURS(112);
	ASSERT_LE(0, fd);
	EXPECT_EQ(MAPS, serve_visit(&roots, fd, CLIENT, false));
	EXPECT_EQ(MAPS, serve_visit(&roots, fd, CLIENT, true));
	close(fd);
	pager_close(&roots);
}

/* The administrator has said who serves it. */
TEST_F(accept, what_has_a_name_needs_not_be_accepted)
{
	int fd, node;

	BEHAVIOURS(112);
	if (target_state(DEFAULT))
		target_gone(DEFAULT);
	ASSERT_EQ(0, target_add(DEFAULT, &(struct target_options){ .bytes = BYTES,
								   .pager_uid = PAGER }));
	ASSERT_EQ(0, seteuid(PAGER));
	ASSERT_EQ(0, pager_attach(&self->p, DEFAULT, NULL, NULL));
	ASSERT_EQ(0, seteuid(ROOT));
	fd = target_open(DEFAULT, O_RDWR | O_NONBLOCK);
	node = open(EXTPAGER_DEVICE, O_RDWR);
	ASSERT_TRUE(fd >= 0 && node >= 0);
	ASSERT_TRUE(object_ready(&self->p, NULL));
	EXPECT_EQ(MAPS, MAP(fd, CLIENT));
	EXPECT_EQ(MAPS, ACCEPT_AND_MAP(fd, CLIENT));
	EXPECT_EQ(MAPS, MAP(node, CLIENT));
	EXPECT_EQ(MAPS, ACCEPT_AND_MAP(node, CLIENT));
	close(node);
	close(fd);
	EXPECT_TRUE(target_gone(DEFAULT));
}

/* Who was accepted is a user, and not whoever serves the object after him. */

struct reign {
	int port, sock;
	uid_t uid;
};

/* A pager's short life; the first one leaves an object. */
static int reign(void *arg)
{
	const struct reign *r = arg;
	struct pager p;

	CHECK(!setresuid(r->uid, r->uid, r->uid) && !pager_open_fd(&p, r->port, 1, 0));
	if (r->sock >= 0)
		CHECK(!extpager_send_fd(r->sock, pager_create(&p, BYTES, 0, NULL), NULL, 0));
	return 0;
}

static int reigns(int port, uid_t uid, int sock)
{
	struct client c = client_start(reign, &(struct reign){ port, sock, uid });

	return client_result(&c, SOON);
}

TEST_F(accept, another_users_pager_that_takes_over_is_accepted_anew)
{
	int port = open(EXTPAGER_DEVICE, O_RDWR), sock[2], fd;
	struct pager roots;

	BEHAVIOURS(112);
	ASSERT_LE(0, port);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	ASSERT_EQ(0, reigns(port, PAGER, sock[1]));
	fd = extpager_recv_fd(sock[0], NULL, NULL);
	ASSERT_LE(0, fd);
	EXPECT_EQ(EPERM, visit_unserved(fd, CLIENT, false));
	EXPECT_EQ(MAPS, visit_unserved(fd, CLIENT, true));
	/* One of the same user's is no news. */
	ASSERT_EQ(0, reigns(port, PAGER, -1));
	EXPECT_EQ(MAPS, visit_unserved(fd, CLIENT, false));
	ASSERT_EQ(0, reigns(port, OTHER, -1));
	EXPECT_EQ(EPERM, visit_unserved(fd, CLIENT, false));
	EXPECT_EQ(EPERM, visit_unserved(fd, PAGER, false));
	EXPECT_EQ(MAPS, visit_unserved(fd, OTHER, false));
	EXPECT_EQ(MAPS, visit_unserved(fd, CLIENT, true));
	/* And of the administrator's nobody is asked. */
	ASSERT_EQ(0, pager_open_fd(&roots, port, 1, 0));
	EXPECT_EQ(MAPS, visit_unserved(fd, PAGER, false));
	close(fd);
	close(sock[0]);
	close(sock[1]);
	pager_close(&roots);
}

/* ---- what is no new mapping, and no acceptance ---- */

static int keep_mapping(void *arg)
{
	int fd = *(int *)arg;
	uint8_t *map;

	CHECK(!seteuid(CLIENT) && !extpager_accept(fd));
	map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED && !seteuid(ROOT) && !seteuid(OTHER));
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM);
	map = mremap(map, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
	CHECK(map != MAP_FAILED);
	CHECK(page_is(map, SEED, 0) && page_is(map + PAGE, SEED, 1));
	return 0;
}

TEST_F(accept, what_is_mapped_stays_mapped)
{
	struct client c = client_start(keep_mapping, &self->fd);

	BEHAVIOURS(112);
	EXPECT_EQ(0, serve_client(&self->p, &c, SEED, NULL));
}

TEST_F(accept, an_acceptance_that_is_refused_is_none)
{
	struct { struct extpager_accept a; uint64_t tail; } newer = { .a.size = sizeof(newer) };
	struct extpager_accept a = { .size = sizeof(a), .flags = 1 };

	BEHAVIOURS(112);
	ASSERT_EQ(0, seteuid(CLIENT));
	EXPECT_EQ(-EOPNOTSUPP, call(self->fd, EXTPAGER_IOC_ACCEPT, &a));
	a = (struct extpager_accept){ .size = sizeof(a) - 1 };
	EXPECT_EQ(-EINVAL, call(self->fd, EXTPAGER_IOC_ACCEPT, &a));
	newer.tail = 1;
	EXPECT_EQ(-E2BIG, call(self->fd, EXTPAGER_IOC_ACCEPT, &newer));
	EXPECT_EQ(-EFAULT, call(self->fd, EXTPAGER_IOC_ACCEPT, NULL));
	EXPECT_EQ(-EINVAL, extpager_accept(self->p.fd));
	ASSERT_EQ(0, seteuid(ROOT));
	EXPECT_EQ(EPERM, MAP(self->fd, CLIENT));
	/* What is only longer says the same. */
	newer.tail = 0;
	ASSERT_EQ(0, seteuid(CLIENT));
	EXPECT_EQ(0, call(self->fd, EXTPAGER_IOC_ACCEPT, &newer));
	ASSERT_EQ(0, seteuid(ROOT));
	EXPECT_EQ(MAPS, MAP(self->fd, CLIENT));
}

TEST_HARNESS_MAIN
