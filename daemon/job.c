// SPDX-License-Identifier: GPL-2.0-only
/*
 * From request to store and back:
 *
 *	DATA_REQUEST	of a store that the kernel can read: where the bytes are
 *			else for each piece: store READ -> supply
 *	DATA_RETURN	of a store that the kernel can write: where the bytes belong
 *			else for each piece: fetch -> store WRITE; at last done
 *	  flagged ZERO	store WRITE_ZEROS -> done
 *	SYNC		store FLUSH -> done
 *
 * A piece needs a buffer; a job that gets none waits in its class's list and
 * goes on when one is given back.
 *
 * What is asked of the kernel is deferred, so that a system call serves many: it goes on in
 * jobs_settle().
 */
#include "job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Pieces that a class leaves to the other one. */
static const unsigned int leave[NR_CLASSES] = {
	[CLASS_RETURN] = PIECES / 8,
	[CLASS_REQUEST] = PIECES / 4,
};

int job_errno(int error)
{
	switch (error) {
	case -ENODATA:
	case -EBADMSG:
	case -ENOSPC:
	case -EDQUOT:
	case -EROFS:
	case -EACCES:
	case -ETIMEDOUT:
		return -error;
	case -EPERM:
		return EACCES;
	case -EILSEQ:
		return EBADMSG;
	default:
		return error ? EIO : 0;
	}
}

int jobs_init(struct jobs *jobs, struct engine *engine, struct extpager *port, unsigned int queue)
{
	const size_t bytes = (size_t)PIECES * PIECE_BYTES;

	memset(jobs, 0, sizeof(*jobs));
	jobs->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (jobs->memory == MAP_FAILED)
		return -ENOMEM;
	engine_lend(engine, jobs->memory, bytes);
	jobs->engine = engine;
	jobs->port = port;
	jobs->queue = queue;
	jobs->page_size = extpager_page_size(port);
	STAILQ_INIT(&jobs->free_pieces);
	STAILQ_INIT(&jobs->fetching);
	STAILQ_INIT(&jobs->supplied);
	SLIST_INIT(&jobs->free_jobs);
	TAILQ_INIT(&jobs->offered);
	TAILQ_INIT(&jobs->waiting[CLASS_RETURN]);
	TAILQ_INIT(&jobs->waiting[CLASS_REQUEST]);
	for (unsigned int i = 0; i < PIECES; i++) {
		jobs->pieces[i].buf = (char *)jobs->memory + i * PIECE_BYTES;
		STAILQ_INSERT_HEAD(&jobs->free_pieces, &jobs->pieces[i], link);
	}
	jobs->nr_free = PIECES;
	return 0;
}

void jobs_exit(struct jobs *jobs)
{
	struct job *job;

	while ((job = SLIST_FIRST(&jobs->free_jobs))) {
		SLIST_REMOVE_HEAD(&jobs->free_jobs, free);
		free(job);
	}
	munmap(jobs->memory, (size_t)PIECES * PIECE_BYTES);
}

static struct job *job_new(struct jobs *jobs, struct extpager_req *req)
{
	struct job *job = SLIST_FIRST(&jobs->free_jobs);
	struct target *target;

	target = target_find(extpager_req_object(req));
	if (!target)
		return NULL;
	if (job)
		SLIST_REMOVE_HEAD(&jobs->free_jobs, free);
	else
		job = malloc(sizeof(*job));
	if (!job) {
		target_put(target);
		return NULL;
	}
	memset(job, 0, sizeof(*job));
	job->jobs = jobs;
	job->req = req;
	job->target = target;
	job->offset = extpager_req_offset(req);
	job->length = extpager_req_length(req);
	job->base = job->offset - job->offset % PIECE_BYTES;
	job->nr = (unsigned int)((job->offset + job->length - job->base + PIECE_BYTES - 1) /
				 PIECE_BYTES);
	return job;
}

static void job_free(struct job *job)
{
	target_put(job->target);
	SLIST_INSERT_HEAD(&job->jobs->free_jobs, job, free);
}

/* A return has ended, one way or the other. */
static void return_end(struct job *job)
{
	target_write_end(job->target, &job->write);
	extpager_return_done(job->req, job_errno(job->error));
	job_free(job);
}

/* ---- Pieces ------------------------------------------------------------ */

static void pump(struct jobs *jobs);

/* The piece of @job that is served as its @i-th: the wanted one first. */
static unsigned int piece_index(const struct job *job, unsigned int i)
{
	if (!i)
		return job->first;
	return i <= job->first ? i - 1 : i;
}

/* Most recently used first: it may still be in the processor's cache. */
static void piece_free(struct jobs *jobs, struct piece *piece)
{
	STAILQ_INSERT_HEAD(&jobs->free_pieces, piece, link);
	jobs->nr_free++;
}

static void job_piece_ended(struct job *job)
{
	struct jobs *jobs = job->jobs;

	if (!--job->busy && job->next == job->nr) {
		if (job->class == CLASS_RETURN)
			return_end(job);
		else
			job_free(job);
	}
	pump(jobs);
}

static void piece_end(struct piece *piece)
{
	struct job *job = piece->job;

	piece_free(job->jobs, piece);
	job_piece_ended(job);
}

/* The kind of failure that is of some bytes, and not of the whole store. */
static bool is_local(int error)
{
	return error == -EIO || error == -ENODATA || error == -EILSEQ || error == -EBADMSG;
}

/* Return: true if the buffer is needed until that is submitted. */
static bool answer_read(struct piece *piece)
{
	const struct store_io *io = &piece->io;
	struct job *job = piece->job;
	bool later = false;
	int ret;

	if (io->error) {
		target_note(job->target, STORE_READ, io->offset, io->error);
		extpager_error(job->req, io->offset, io->length, job_errno(io->error));
		return false;
	}
	/* A store's own memory may go, and a piece that is read page by page is read into again. */
	if (!io->data) {
		ret = extpager_supply_zero(job->req, io->offset, io->length);
	} else if (io->data != piece->buf || piece->single) {
		ret = extpager_supply(job->req, io->offset, io->data, io->length);
	} else {
		ret = extpager_supply_deferred(job->req, io->offset, io->data, io->length);
		later = !ret;
	}
	if (extpager_refused(ret))
		extpager_error(job->req, io->offset, io->length, EIO);
	return later;
}

static void read_done(struct store_io *io)
{
	struct piece *piece = (struct piece *)io;
	struct job *job = piece->job;
	size_t page = job->jobs->page_size;

	/* Readahead brought the neighbours in: find out which page is bad. */
	if (is_local(io->error) && io->length > page && !piece->single) {
		piece->single = true;
		piece->end = io->offset + io->length;
		io->length = page;
		store_submit(io);
		return;
	}
	if (answer_read(piece)) {
		STAILQ_INSERT_TAIL(&job->jobs->supplied, piece, link);
		job_piece_ended(job);
		return;
	}
	if (piece->single && io->offset + io->length < piece->end) {
		io->offset += io->length;
		io->length = piece->end - io->offset < page ? piece->end - io->offset : page;
		store_submit(io);
		return;
	}
	piece_end(piece);
}

static void write_done(struct store_io *io)
{
	struct piece *piece = (struct piece *)io;
	struct job *job = piece->job;

	if (io->error && !job->error) {
		target_note(job->target, STORE_WRITE, io->offset, io->error);
		job->error = io->error;
	}
	piece_end(piece);
}

static void piece_begin(struct job *job)
{
	struct jobs *jobs = job->jobs;
	struct piece *piece = STAILQ_FIRST(&jobs->free_pieces);
	uint64_t start = job->base + (uint64_t)piece_index(job, job->next) * PIECE_BYTES;
	uint64_t end = job->offset + job->length;
	struct store_io *io = &piece->io;
	int ret;

	STAILQ_REMOVE_HEAD(&jobs->free_pieces, link);
	jobs->nr_free--;
	job->next++;
	job->busy++;
	piece->job = job;
	piece->single = false;
	io->store = job->target->store;
	io->engine = jobs->engine;
	io->offset = start > job->offset ? start : job->offset;
	io->length = (end - start < PIECE_BYTES ? end : start + PIECE_BYTES) - io->offset;
	io->buf = piece->buf;
	if (job->class == CLASS_REQUEST) {
		io->op = STORE_READ;
		io->done = read_done;
		store_submit(io);
		return;
	}
	io->op = STORE_WRITE;
	io->done = write_done;
	/* Once a part has failed the whole return has: do no more of it. */
	ret = job->error ? job->error : extpager_fetch_deferred(job->req, io->offset, io->buf,
								io->length, &piece->result);
	if (ret) {
		if (!job->error)
			job->error = ret;
		piece_end(piece);
		return;
	}
	STAILQ_INSERT_TAIL(&jobs->fetching, piece, link);
}

static void fetched(struct piece *piece)
{
	struct job *job = piece->job;

	if (piece->result && !job->error)
		job->error = piece->result;
	if (job->error)
		piece_end(piece);
	else
		store_submit(&piece->io);
}

static bool may_begin(const struct jobs *jobs, enum job_class class)
{
	return jobs->nr_free > leave[class];
}

/*
 * Begin what waits. Operations that end at once come back here: the flag keeps
 * this a loop and not a recursion.
 */
static void pump(struct jobs *jobs)
{
	struct job *job;
	int class;

	if (jobs->pumping)
		return;
	jobs->pumping = true;
	for (class = 0; class < NR_CLASSES; class++) {
		while ((job = TAILQ_FIRST(&jobs->waiting[class])) && may_begin(jobs, class)) {
			/* A job whose last piece ends inside is freed there. */
			if (job->next + 1 == job->nr)
				TAILQ_REMOVE(&jobs->waiting[class], job, wait);
			piece_begin(job);
		}
	}
	jobs->pumping = false;
}

static void job_begin(struct job *job)
{
	TAILQ_INSERT_TAIL(&job->jobs->waiting[job->class], job, wait);
	pump(job->jobs);
}

/* ---- Requests ---------------------------------------------------------- */

static bool kernel_may_write(const struct job *job)
{
	const struct target *t = job->target;

	return t->write_file && !(job->length % t->store->block) && !extpager_req_zero(job->req);
}

/* Return: false if it is for us to write. */
static bool kernel_is_to_write(struct job *job)
{
	const struct target *t = job->target;
	int ret = extpager_return_file_deferred(job->req, t->write_file,
						t->store->start + job->offset, &job->result);

	if (!ret)
		TAILQ_INSERT_TAIL(&job->jobs->offered, job, wait);
	else if (!extpager_refused(ret))
		job_free(job);
	return !extpager_refused(ret);
}

/* Return: false if it is for us to read. */
static bool kernel_reads(const struct job *job)
{
	const struct target *t = job->target;

	return t->file &&
	       !extpager_refused(extpager_supply_file(job->req, job->offset, job->length, t->file,
						      t->store->start + job->offset));
}

void job_data_request(struct jobs *jobs, struct extpager_req *req)
{
	uint64_t wanted = extpager_req_wanted(req);
	struct job *job = job_new(jobs, req);

	if (!job) {
		extpager_error(req, extpager_req_offset(req), extpager_req_length(req), EIO);
		return;
	}
	if (kernel_reads(job)) {
		job_free(job);
		return;
	}
	job->class = CLASS_REQUEST;
	if (wanted >= job->offset && wanted - job->offset < job->length)
		job->first = (unsigned int)((wanted - job->base) / PIECE_BYTES);
	job_begin(job);
}

static void zeros_done(struct store_io *io)
{
	struct job *job = (struct job *)((char *)io - offsetof(struct job, io));

	job->error = io->error;
	if (io->error)
		target_note(job->target, STORE_WRITE_ZEROS, io->offset, io->error);
	return_end(job);
}

/* Return: false if it has ended: an earlier write is in its way. */
static bool return_begin(struct job *job)
{
	if (target_write_begin(job->target, &job->write, job->offset, job->length))
		return true;
	target_note_overlap(job->target, job->offset);
	extpager_return_done(job->req, ETIMEDOUT);
	job_free(job);
	return false;
}

void job_data_return(struct jobs *jobs, struct extpager_req *req)
{
	struct job *job = job_new(jobs, req);

	if (!job) {
		extpager_return_done(req, EIO);
		return;
	}
	if (!target_write_begin(job->target, &job->write, job->offset, job->length)) {
		/* Of one that is over, and comes anew here, a fetch may not have told so yet. */
		jobs_settle(jobs);
		if (!return_begin(job))
			return;
	}
	if (kernel_may_write(job)) {
		/*
		 * It returns nothing else of the range while it writes; and may have written, and
		 * have returned the pages anew to another thread, before it is back here.
		 */
		target_write_end(job->target, &job->write);
		if (kernel_is_to_write(job) || !return_begin(job))
			return;
	}
	job->class = CLASS_RETURN;
	if (!extpager_req_zero(req)) {
		job_begin(job);
		return;
	}
	job->io.store = job->target->store;
	job->io.engine = jobs->engine;
	job->io.op = STORE_WRITE_ZEROS;
	job->io.offset = job->offset;
	job->io.length = job->length;
	job->io.done = zeros_done;
	store_submit(&job->io);
}

/* The kernel will write it, or nobody waits any more; or it is for us after all. */
static void offer_taken(struct job *job)
{
	if (!extpager_refused(job->result)) {
		job_free(job);
		return;
	}
	if (!return_begin(job))
		return;
	job->class = CLASS_RETURN;
	job_begin(job);
}

static bool must_settle(const struct jobs *jobs)
{
	return !STAILQ_EMPTY(&jobs->fetching) || !TAILQ_EMPTY(&jobs->offered) ||
	       (!STAILQ_EMPTY(&jobs->supplied) &&
		(!TAILQ_EMPTY(&jobs->waiting[CLASS_RETURN]) ||
		 !TAILQ_EMPTY(&jobs->waiting[CLASS_REQUEST])));
}

int jobs_settle(struct jobs *jobs)
{
	struct job_list offered = TAILQ_HEAD_INITIALIZER(offered);
	struct piece_list fetching, supplied;
	struct piece *piece;
	struct job *job;
	int ret;

	/* To go on with one may defer more. */
	while (must_settle(jobs)) {
		ret = extpager_submit(jobs->port, jobs->queue);
		if (ret)
			return ret;
		STAILQ_INIT(&fetching);
		STAILQ_CONCAT(&fetching, &jobs->fetching);
		STAILQ_INIT(&supplied);
		STAILQ_CONCAT(&supplied, &jobs->supplied);
		TAILQ_CONCAT(&offered, &jobs->offered, wait);
		while ((piece = STAILQ_FIRST(&supplied))) {
			STAILQ_REMOVE_HEAD(&supplied, link);
			piece_free(jobs, piece);
		}
		while ((piece = STAILQ_FIRST(&fetching))) {
			STAILQ_REMOVE_HEAD(&fetching, link);
			fetched(piece);
		}
		while ((job = TAILQ_FIRST(&offered))) {
			TAILQ_REMOVE(&offered, job, wait);
			offer_taken(job);
		}
		pump(jobs);
	}
	return 0;
}

static void sync_end(struct store_io *io)
{
	struct job *job = (struct job *)((char *)io - offsetof(struct job, io));

	if (io->error)
		target_note(job->target, STORE_FLUSH, 0, io->error);
	extpager_sync_done(job->req, job_errno(io->error));
	job_free(job);
}

void job_sync(struct jobs *jobs, struct extpager_req *req)
{
	struct job *job = job_new(jobs, req);

	if (!job) {
		extpager_sync_done(req, EIO);
		return;
	}
	job->io.store = job->target->store;
	job->io.engine = jobs->engine;
	job->io.op = STORE_FLUSH;
	job->io.done = sync_end;
	store_submit(&job->io);
}
