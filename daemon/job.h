/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Jobs: a request of the kernel as operations on a store. A thread's own, no
 * locks; knows no threads and does not wait.
 */
#ifndef PAGERD_JOB_H
#define PAGERD_JOB_H

#include <stdbool.h>
#include <sys/queue.h>

#include <extpager.h>

#include "store.h"
#include "target.h"

/* A request of 2 MiB is served in pieces of this size. */
#define PIECE_BYTES	(256U << 10)
#define PIECES		16

/*
 * Page-outs must not wait behind page-ins, as they make the memory that page-ins
 * need; nor may a stream of them starve page-ins. So each class leaves some
 * pieces to the other.
 */
enum job_class {
	CLASS_RETURN,
	CLASS_REQUEST,
	NR_CLASSES,
};

struct job;
struct jobs;

/**
 * struct piece - a buffer and the operation that uses it
 * @result: of the fetch into it
 * @end: of the piece, if it is read page by page
 * @single: it is: one bad page must not fail its neighbours
 */
struct piece {
	struct store_io io;
	struct job *job;
	void *buf;
	int result;
	uint64_t end;
	bool single;
	STAILQ_ENTRY(piece) link;
};

STAILQ_HEAD(piece_list, piece);

/**
 * struct job - an unanswered request
 * @io: for operations without buffer
 * @base: where the first piece would begin if it were whole: at a multiple of a piece's size,
 *	as runs of pages do, which are answered as one
 * @next: pieces begun so far
 * @nr: pieces in all
 * @first: the piece to begin with
 * @busy: pieces in flight
 * @error: first failure of a return
 * @result: of having told the kernel where to write it
 */
struct job {
	struct jobs *jobs;
	struct extpager_req *req;
	struct target *target;
	enum job_class class;
	uint64_t offset, length, base;
	unsigned int next, nr, first, busy;
	int error, result;
	struct target_write write;
	struct store_io io;
	TAILQ_ENTRY(job) wait;
	SLIST_ENTRY(job) free;
};

TAILQ_HEAD(job_list, job);

/**
 * struct jobs - those of a thread
 * @fetching: pieces that a fetch was ordered for
 * @supplied: pieces without a job, whose bytes the kernel may not have taken yet
 * @offered: jobs that the kernel is to write, if it will
 * @waiting: jobs, for pieces
 */
struct jobs {
	struct extpager *port;
	unsigned int queue;
	struct engine *engine;
	struct piece pieces[PIECES];
	struct piece_list free_pieces, fetching, supplied;
	unsigned int nr_free;
	struct job_list offered, waiting[NR_CLASSES];
	SLIST_HEAD(, job) free_jobs;
	bool pumping;
	size_t page_size;
	void *memory;
};

/**
 * jobs_init - allocate buffers
 * @jobs: to be filled
 * @engine: for I/O; they are lent to it
 * @port: whose requests they are
 * @queue: of it; the caller is its thread, and defers answers
 *
 * Return: 0 or -ENOMEM.
 */
int jobs_init(struct jobs *jobs, struct engine *engine, struct extpager *port, unsigned int queue);
void jobs_exit(struct jobs *jobs);

/**
 * jobs_settle - go on with what was to be submitted first
 * @jobs: after requests were taken over, and after I/O has ended
 *
 * Return: 0 or an error of extpager_submit().
 */
int jobs_settle(struct jobs *jobs);

/* Take a request over; it will be answered. */
void job_data_request(struct jobs *jobs, struct extpager_req *req);
void job_data_return(struct jobs *jobs, struct extpager_req *req);
void job_sync(struct jobs *jobs, struct extpager_req *req);

/** The errno of the protocol for a store's negative errno. */
int job_errno(int error);

#endif /* PAGERD_JOB_H */
