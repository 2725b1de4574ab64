/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests have in common. In most of them the test itself is the
 * pager: it reads events and gives replies by hand, over the bare uapi, so that
 * it can also lie. Its clients are forked processes, since a pager may not
 * wait for itself.
 */
#ifndef SELFTEST_PAGER_H
#define SELFTEST_PAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/extpager.h>
#include <linux/extpager_netlink.h>

#define PAGE 4096UL
#define MIB (1UL << 20)

/* ---- the environment ---- */

/* The runner's seed, made different for each use by @salt. */
uint64_t test_seed(uint64_t salt);
/* A cheap generator for patterns and choices; state is the caller's. */
uint64_t test_random(uint64_t *state);
/* Rounds: @full in check-deep, else @usual; on the debug kernel @debug, and ten times that. */
unsigned int test_rounds(unsigned int full, unsigned int usual, unsigned int debug);
bool on_debug_kernel(void);
/* 6.12 is 612. */
unsigned int kernel_version(void);
uint64_t now_ms(void);
/* By the kernel's ticks, of which a deadline is so many: for what must not come before. */
uint64_t ticked_ms(void);
/*
 * Poll @cond up to @ms milliseconds; false if it did not come true. A machine may stand still,
 * and with it what is waited for: of the time between two looks at most a second is counted.
 */
#define WAIT_FOR(ms, cond) ({						\
	uint64_t __left = (ms), __then = now_ms();			\
	bool __ok;							\
	while (!(__ok = (cond)) && test_patience(&__left, &__then))	\
		;							\
	__ok; })
/* Pauses; false if nothing is left. @then: the last look. Both in milliseconds. */
bool test_patience(uint64_t *left, uint64_t *then);
void test_pause(void);		/* a millisecond */

/* ---- patterns ---- */

/* Page @index of the stream named @seed; every 8 bytes tell seed and place. */
void fill_page(void *page, uint64_t seed, uint64_t index);
bool page_is(const void *page, uint64_t seed, uint64_t index);
bool page_is_zero(const void *page);

/* ---- a pager by hand ---- */

struct queue {
	struct extpager_kernel_region *kernel;
	struct extpager_user_region *user;
	struct extpager_event *events;
	struct extpager_reply *replies;
	uint32_t event_head, reply_tail;
};

struct pager {
	int fd;
	struct extpager_setup setup;
	unsigned int nr_queues;
	struct queue queue[EXTPAGER_QUEUES_MAX];
	unsigned int last_queue;	/* that pager_event() took from */
	void *buffer;			/* EXTPAGER_REQUEST_MAX bytes to supply from, fetch into */
};

/* 0 or -errno. Queues and entries may be 0: the kernel's choice. */
int pager_open(struct pager *p, unsigned int queues, unsigned int entries);
/* One queue; it may be asked for runs of pages. */
int pager_open_large(struct pager *p);
/* On an inherited or received port fd. */
int pager_open_fd(struct pager *p, int fd, unsigned int queues, unsigned int entries);
void pager_close(struct pager *p);
int pager_attach(struct pager *p, const char *target, uint64_t *object, uint64_t *bytes);
int pager_detach(struct pager *p, uint64_t object);
/* A client fd or -errno. */
int pager_create(struct pager *p, uint64_t bytes, unsigned int flags, uint64_t *object);
int pager_reopen(struct pager *p, uint64_t object, int flags);

/*
 * The next event of any queue, in @ms milliseconds; false if none came.
 * It is consumed.
 */
bool pager_event(struct pager *p, struct extpager_event *ev, unsigned int ms);
/* The same, and it must be of @op: events of other ops are an error (false). */
bool pager_expect(struct pager *p, unsigned int op, struct extpager_event *ev, unsigned int ms);
/* No event comes within @ms. */
bool pager_silent(struct pager *p, unsigned int ms);

/* Put @re in queue 0's ring, ENTER, copy the outcome back; out_result or -errno of ENTER. */
int pager_reply(struct pager *p, struct extpager_reply *re);
/* The same two with a queue of one's own, for a thread that has one; does not wait. */
bool pager_event_on(struct pager *p, unsigned int queue, struct extpager_event *ev);
int pager_reply_on(struct pager *p, unsigned int queue, struct extpager_reply *re);
/* A reply to @ev with op, tag, object and generation filled in. */
struct extpager_reply reply_to(const struct extpager_event *ev, unsigned int op);
int pager_ready(struct pager *p, const struct extpager_event *ev, unsigned int error,
		unsigned int attributes);
/* All of a DATA_REQUEST with the pattern of @seed. */
int pager_supply(struct pager *p, const struct extpager_event *ev, uint64_t seed);
/* A part: [offset, offset + length), absolute. */
int pager_supply_part(struct pager *p, const struct extpager_event *ev, uint64_t seed,
		      uint64_t offset, uint64_t length);
int pager_supply_zero(struct pager *p, const struct extpager_event *ev);
/* Registers a file; its name, or -errno. */
int pager_register(struct pager *p, int fd);
int pager_unregister(struct pager *p, unsigned int file);
/* All of a DATA_REQUEST from a registered file, whose byte @base is the object's first. */
int pager_supply_file(struct pager *p, const struct extpager_event *ev, unsigned int file,
		      uint64_t base);
/* Hand ranges over, or with REVOKE in @flags take them back. */
int pager_delegate(struct pager *p, uint64_t object, uint32_t generation, unsigned int flags,
		   const struct extpager_range *ranges, unsigned int nr);
int pager_error(struct pager *p, const struct extpager_event *ev, uint64_t offset,
		uint64_t length, unsigned int error);
/* Pages [offset, offset + length) unasked; *done bytes were installed. */
int pager_push(struct pager *p, uint64_t object, uint32_t generation, uint64_t seed,
	       uint64_t offset, uint64_t length, uint32_t *done);
/* All bytes of a DATA_RETURN to @buf. */
int pager_fetch(struct pager *p, const struct extpager_event *ev, void *buf);
int pager_return_done(struct pager *p, const struct extpager_event *ev, unsigned int error);
/* Have a DATA_RETURN written to a registered file, whose byte @base is the object's first. */
int pager_return_file(struct pager *p, const struct extpager_event *ev, unsigned int file,
		      uint64_t base);
int pager_sync_done(struct pager *p, const struct extpager_event *ev, unsigned int error);

/* ---- an honest pager in a process of its own, with a store that the test can see ---- */

struct server_stats {
	uint64_t inits, requests, pages_requested, returns, pages_returned, zeros, syncs,
		 terminates, resent, by_file, lent, taken_back, refused;
};

struct server {
	pid_t pid;
	uint8_t *store;			/* shared with the server: what was returned */
	int fd, registered;		/* the same as a file, and its name at the port */
	int device, lent;		/* and as a device, or 0; and that one's name */
	uint64_t bytes;
	uint8_t *platter;		/* and what of it a SYNC made survive power loss; or NULL */
	uint8_t *cached;		/* pages whose latest return is not there; shared */
	struct server_stats *stats;	/* shared */
	volatile int *stop;		/* shared: 1 = hold still (answer nothing), 0 = go on */
	volatile unsigned int *slow;	/* shared: up to so many ms pass before each answer */
	volatile int *leave;		/* shared: the pid of one that is to detach and exit */
	volatile int *behind;		/* shared: the platter lacks what the kernel had flushed */
	volatile int *sync_error;	/* shared: the errno, or 0, of each SYNC */
	int port;			/* the fd of a port to take over, or 0: one of its own */
	unsigned int started;		/* servers so far */
};

/*
 * Serve @target, which exists, from a shared buffer; waits until it is
 * attached. The store starts with the pattern of @seed, page by page.
 */
bool server_start(struct server *s, const char *target, uint64_t bytes, uint64_t seed);
/* The same in two steps: server_restart() starts what this made. With a platter or without. */
bool server_make(struct server *s, uint64_t bytes, uint64_t seed, bool platter);
/*
 * From its next start on it delegates parts of the store, and takes them back, at random. One
 * that is started with no @device again has all of it back.
 */
bool server_lends(struct server *s);
/* A new server over the same store, after server_kill(). */
bool server_restart(struct server *s, const char *target);
/* The same while one serves: the successor stands ready when its predecessor detaches. */
bool server_replace(struct server *s, const char *target);
void server_kill(struct server *s);	/* SIGKILL and reap */
void server_stop(struct server *s);	/* kill and free */

/* ---- clients ---- */

/*
 * Run @fn in a forked process; its return value, 0..99, is the result.
 * SIGBUS inside it ends it with CLIENT_SIGBUS unless it is expected there.
 */
#define CLIENT_SIGBUS 100
#define CLIENT_RUNNING (-1)
struct client {
	pid_t pid;
};
struct client client_start(int (*fn)(void *arg), void *arg);
/* Result if it ended within @ms, else CLIENT_RUNNING; -signal if it was killed. */
int client_result(struct client *c, unsigned int ms);
void client_kill(struct client *c);
/* Does it wait where no signal ends that, or just one that kills? */
bool client_stands(const struct client *c);
bool client_is_stopped(const struct client *c);
/* Does a kernel worker of the workqueue that is so called? */
bool worker_stands(const char *queue);
/* The calling thread is, and remains, on this CPU. */
bool stay_on(unsigned int cpu);
/* Does this thread of ours sleep? It sets @tid when there is one thing left to sleep in. */
bool thread_sleeps(pid_t tid);
/* Memory shared between the test and its clients. */
void *shared_memory(size_t bytes);
/* Reads a byte; 0, or SIGBUS's si_code if it came. The address is told in *where. */
int try_read(const volatile uint8_t *p, void **where);
int try_write(volatile uint8_t *p, uint8_t value, void **where);

/* ---- targets ---- */

struct target_options {
	uint64_t bytes;
	const char *policy;		/* "hold", "fail", "spill", NULL = default */
	unsigned int handshake_ms, page_in_ms, return_ms, sync_ms, grace_ms;
	unsigned int handshake_action, page_in_action, return_action;	/* EXTPAGER_ACTION_* */
	uint64_t quota;
	uint64_t spill_limit;		/* EXTPAGER_NO_LIMIT is the default */
	bool no_spill;			/* a spill_limit of 0 */
	bool read_only;
	unsigned int mode;		/* 0 = default */
	int pager_uid;			/* 0 = none */
};
/* 0 or -errno. */
int target_add(const char *name, const struct target_options *o);
int target_set(const char *name, const struct target_options *o);
int target_del(const char *name, bool discard);
/* Deletes, discarding, and waits until it is gone. */
bool target_gone(const char *name);
/* A counter of STATS_GET by attribute, UINT64_MAX if it cannot be had. */
uint64_t target_stat(const char *name, unsigned int attribute);
/* enum extpager_target_state, 0 if there is none. */
unsigned int target_state(const char *name);
uint64_t target_dirty(const char *name);
/* Bytes in the spill, UINT64_MAX if it cannot be had. */
uint64_t target_spilled(const char *name);
bool target_spill_full(const char *name);
/* open(2) flags; fd or -errno. Through the ioctl OPEN. */
int target_open(const char *name, int flags);
/* The path file system, mounted at first use; a target's path in a static buffer. */
const char *target_path(const char *name);
/* A module parameter or any small file. */
bool write_file(const char *path, const char *text);
bool write_number(const char *path, long n);
long read_number(const char *path, const char *key);
void drop_caches(void);
/*
 * How often the kernel looks for pages to write back, in hundredths of a second; the
 * one before is returned. Not 0: it would look at once when a page gets dirty.
 */
#define AN_HOUR 360000
long writeback_interval(long centisecs);
/* The emulated disk, which is anybody's; its driver is loaded when it is first asked for. */
#define DISK "/dev/nvme0n1"
bool disk_ready(void);
/* A new loop device over @file, which ends with the last fd of it; a fd, or -1. */
int loop_over(int file);

#endif
