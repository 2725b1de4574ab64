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
 * @end: of the piece, if it is read page by page
 * @single: it is: one bad page must not fail its neighbours
 */
struct piece {
	struct store_io io;
	struct job *job;
	void *buf;
	uint64_t end;
	bool single;
	SLIST_ENTRY(piece) link;
};

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
 */
struct job {
	struct jobs *jobs;
	struct extpager_req *req;
	struct target *target;
	enum job_class class;
	uint64_t offset, length, base;
	unsigned int next, nr, first, busy;
	int error;
	struct target_write write;
	struct store_io io;
	TAILQ_ENTRY(job) wait;
	SLIST_ENTRY(job) free;
};

TAILQ_HEAD(job_list, job);

struct jobs {
	struct engine *engine;
	struct piece pieces[PIECES];
	SLIST_HEAD(, piece) free_pieces;
	unsigned int nr_free;
	struct job_list waiting[NR_CLASSES];
	SLIST_HEAD(, job) free_jobs;
	bool pumping;
	size_t page_size;
	void *memory;
};

/** Allocate buffers; call it in the thread that will use them. Return: 0 or -ENOMEM. */
int jobs_init(struct jobs *jobs, struct engine *engine, size_t page_size);
void jobs_exit(struct jobs *jobs);

/* Take a request over; it will be answered. */
void job_data_request(struct jobs *jobs, struct extpager_req *req);
void job_data_return(struct jobs *jobs, struct extpager_req *req);
void job_sync(struct jobs *jobs, struct extpager_req *req);

/** The errno of the protocol for a store's negative errno. */
int job_errno(int error);

#endif /* PAGERD_JOB_H */
