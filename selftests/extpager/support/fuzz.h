/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the processes of fuzz.c do: calls whose arguments are made from what each
 * field of the uapi means, some of them then spoiled. All choices come from a seed.
 */
#ifndef SELFTEST_FUZZ_H
#define SELFTEST_FUZZ_H

#include <errno.h>

#include "coverage.h"
#include "pager.h"

#define FUZZ_NOBODY	65534
/* More than the least quota. */
#define FUZZ_BYTES	(96 * PAGE)
/* The target that is served well all the while; whoever may change it keeps off. */
#define FUZZ_HONEST	"fuzz-honest"

/* ---- what is done ---- */

#define FUZZ_OPS(X)									\
	/* ioctls */									\
	X(SETUP) X(ENTER) X(ATTACH) X(DETACH) X(CREATE) X(OPEN) X(WAKE) X(FAILURES)	\
	X(REGISTER) X(UNREGISTER) X(DELEGATE) X(REVOKE) X(ACCEPT) X(UNKNOWN_CALL)		\
	/* rings */									\
	X(REPLY_UNKNOWN) X(READY) X(SUPPLY) X(ERROR) X(RETURN_FETCH) X(RETURN_DONE)	\
	X(SYNC_DONE) X(ATTRIBUTES) X(DESTROY) X(SUPPLY_FILE) X(REPLIES_AT_RANDOM)		\
	X(SCRIBBLE) X(MAP)								\
	/* netlink */									\
	X(CMD_UNSPEC) X(TARGET_ADD) X(TARGET_DEL) X(TARGET_SET) X(TARGET_GET)		\
	X(STATS_GET) X(PORT_GET) X(EVENT) X(REQUEST_GET) X(UNKNOWN_CMD) X(FRAMES)	\
	/* clients */									\
	X(OPEN_PATH) X(READ) X(WRITE) X(LOAD) X(STORE) X(FSYNC) X(MSYNC) X(PUNCH)	\
	X(ADVISE) X(TRUNCATE) X(SEEK) X(SPLICE) X(POLL) X(ATTRIBUTE) X(LOOK)

enum fuzz_op {
#define X(name) FUZZ_##name,
	FUZZ_OPS(X)
#undef X
	FUZZ_NR_OPS
};

extern const char *const fuzz_op_names[FUZZ_NR_OPS];

#define FUZZ_ERRNOS	160	/* the last stands for all above */
#define FUZZ_SEEN	64
#define FUZZ_SLOTS	3	/* of a fuzzer: its threads, and its child */
#define FUZZ_CHILD	2

/* What a thread is about, for the watchdog. */
struct fuzz_slot {
	uint64_t begun;			/* ms; 0: in no call */
	uint32_t op;
	pid_t tid;
};

/* Shared by all. */
struct fuzz {
	uint32_t count[FUZZ_NR_OPS][FUZZ_ERRNOS];
	/* The last events that came to any liar, for others to lie with; torn ones do. */
	struct extpager_event seen[FUZZ_SEEN];
	uint32_t nr_seen;
	struct extpager_event honest;	/* as one of the honest target's might be */
	int device;			/* of FUZZ_BYTES, inherited; the liars' to delegate */
	struct coverage *coverage;
	int is_wrong;
	char wrong[200];		/* the first thing that must not be */
};

/* One process; shared with it. */
struct fuzzer {
	struct fuzz *f;
	unsigned int number;
	uint64_t random;		/* the state that it starts with */
	int port;			/* the fd of a port to take over, or 0 */
	struct fuzz_slot slot[FUZZ_SLOTS];
};

/* For client_start(), each until it is killed. */
int fuzz_liar(void *fuzzer);
int fuzz_client(void *fuzzer);
int fuzz_talker(void *fuzzer);
int fuzz_nobody(void *fuzzer);

/* The targets that anything may happen to. */
#define FUZZ_NAMES	3
extern const char *const fuzz_names[FUZZ_NAMES];

/* ---- among themselves ---- */

#define FUZZ_FDS	8

/* A thread. */
struct fuzz_me {
	struct fuzz *f;
	struct fuzzer *shared;
	struct fuzz_slot *slot;
	uint64_t random;
	uint8_t *arena;			/* pages: writable, none, read-only, none */
	int fd[FUZZ_FDS];		/* of objects; 0: none */
	int file;			/* one to be registered */
	struct extpager_event about;	/* names what the present call is about */
	struct extpager_range *ranges;	/* of a call; nothing is mapped behind them */
	int plain;			/* the node, no port to begin with; 0: not open */
	struct pager *p;		/* of a liar */
	int lent;			/* of a liar: what the device is registered as */
	struct client child;		/* of a liar */
	uint8_t *map;			/* of a client */
};

void fuzz_me(struct fuzz_me *me, struct fuzzer *shared, unsigned int slot);
uint64_t fuzz_pick(struct fuzz_me *me, uint64_t n);
/* Any value of so many bytes, more often one at which something ends. */
uint64_t fuzz_value(struct fuzz_me *me, unsigned int width);
const char *fuzz_name(struct fuzz_me *me);
struct extpager_event fuzz_event(struct fuzz_me *me);
void fuzz_saw(struct fuzz_me *me, const struct extpager_event *ev);
/* Kept to be used, and closed in time. */
void fuzz_keep(struct fuzz_me *me, int fd);
int fuzz_some_fd(struct fuzz_me *me);
void fuzz_begin(struct fuzz_me *me, enum fuzz_op op);
void fuzz_end(struct fuzz_me *me, enum fuzz_op op, int error);
void fuzz_wrong(struct fuzz *f, const char *what, uint64_t number);

/* Counts and watches a call that gives -1 and errno, or what it should. */
#define FUZZ(me, op, call) ({						\
	long __ret;							\
									\
	fuzz_begin(me, op);						\
	__ret = (long)(call);						\
	fuzz_end(me, op, __ret == -1 ? errno : 0);			\
	__ret; })

/* An ioctl of the uapi to @fd. */
void fuzz_call(struct fuzz_me *me, int fd);
/* A part of @ev's object is handed over, or taken back. */
void fuzz_delegate(struct fuzz_me *me, int fd, const struct extpager_event *ev);
/* The same to the node, which may become a port by it that nobody serves: not for long. */
void fuzz_call_plain(struct fuzz_me *me);
/* A deed of a client with one of its fds, which it opens if it has none. */
void fuzz_deed(struct fuzz_me *me);

#endif
