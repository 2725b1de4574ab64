// SPDX-License-Identifier: GPL-2.0-only
/*
 * Write-outs: the kernel writes what is returned to a registered file by itself.
 *
 * A return is written in parts of one bio each, straight from its folios, of which each
 * part has references: the return may end before, and its pages go another way. It stays
 * in target->written until the last part is over, and keeps other returns of its range, and
 * its zeroing, from overtaking it. As with transfers, a device is written by bios of our
 * own and a regular file by a worker of its port.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/uio.h>

#include "extpager.h"

struct writeout {
	struct extpager_request *req;
	struct extpager_port *port;
	struct extpager_object *object;
	struct extpager_backing *backing;
	u64 pos;			/* in the file */
	u32 bytes;
	int error;
	atomic_t left;			/* 2: the submitter, and the device; the last one ends it */
	struct extpager_file_job job;	/* its work is a device's end, too */
	struct bio bio;			/* its vectors follow */
};

/* Devices give back what their reserve has lent; files may hang. */
static struct bio_set device_writeouts, file_writeouts;

static void tell_failure(const struct writeout *w)
{
	const struct extpager_target *t = w->object->target;
	const struct folio *folio = page_folio(w->bio.bi_io_vec->bv_page);

	if (t->named)
		pr_warn_ratelimited("target %s: its store cannot be written at %llu, %u bytes: %d\n",
				    t->settings.name, (u64)folio->index << PAGE_SHIFT, w->bytes,
				    w->error);
}

static void writeout_end(struct writeout *w)
{
	struct extpager_object *obj = w->object;
	struct extpager_target *t = obj->target;
	struct extpager_port *port = w->port;
	struct bio *bio = &w->bio;
	unsigned int i;

	if (!w->error)
		extpager_count_add(t, PAGES_WRITTEN, bio->bi_vcnt);
	else if (w->error != -ECANCELED)
		tell_failure(w);
	if (extpager_request_written(w->req, w->error ? extpager_transfer_error(w->error) : 0))
		extpager_target_written(t);
	for (i = 0; i < bio->bi_vcnt; i++)
		put_page(bio->bi_io_vec[i].bv_page);
	extpager_backing_write_put(w->backing);
	bio_put(bio);
	/* The target's mount goes last: it keeps the module. */
	extpager_port_put(port);
	iput(&obj->inode);
	extpager_target_put(t);
}

static void device_written(struct writeout *w)
{
	/* Of what others have read through the device's cache; dirty, it is theirs. */
	invalidate_mapping_pages(w->backing->file->f_mapping, w->pos >> PAGE_SHIFT,
				 (w->pos + w->bytes - 1) >> PAGE_SHIFT);
	writeout_end(w);
}

static void file_write(struct writeout *w)
{
	/* What was given up is returned anew. */
	if (READ_ONCE(w->req->state) == EXTPAGER_REQUEST_PENDING)
		w->error = extpager_file_io(w->backing, ITER_SOURCE, w->pos, w->bio.bi_io_vec,
					    w->bio.bi_vcnt, w->bytes, w->bytes);
	else
		w->error = -ECANCELED;
	extpager_file_job_ended(w->backing, ITER_SOURCE);
	writeout_end(w);
}

static void writeout_work(struct work_struct *work)
{
	struct writeout *w = container_of(work, struct writeout, job.work);

	if (w->backing->bdev)
		device_written(w);
	else
		file_write(w);
}

static void writeout_end_io(struct bio *bio)
{
	struct writeout *w = container_of(bio, struct writeout, bio);

	w->error = blk_status_to_errno(bio->bi_status);
	if (atomic_dec_and_test(&w->left))
		queue_work(extpager_read_wq, &w->job.work);
}

/* @nr pages of the return from its @first on, to @pos; takes over the references to them. */
static void writeout_part(struct extpager_port *port, struct extpager_request *req,
			  struct extpager_backing *backing, unsigned int first, unsigned int nr,
			  u64 pos)
{
	struct extpager_object *obj = req->object;
	struct writeout *w;
	struct bio *bio;
	unsigned int i;

	/* From a reserve, if need be: what is being written gives it back. */
	bio = bio_alloc_bioset(backing->bdev, nr, REQ_OP_WRITE, GFP_NOIO,
			       backing->bdev ? &device_writeouts : &file_writeouts);
	w = container_of(bio, struct writeout, bio);
	w->req = req;
	w->port = port;
	w->object = obj;
	w->backing = backing;
	w->pos = pos;
	w->bytes = min_t(u64, (u64)nr << PAGE_SHIFT, req->length - ((u64)first << PAGE_SHIFT));
	w->error = 0;
	w->job.wq = port->files_wq;
	INIT_WORK(&w->job.work, writeout_work);
	refcount_inc(&port->ref);
	refcount_inc(&obj->target->users);
	ihold(&obj->inode);
	extpager_backing_write_ref(backing);
	for (i = 0; i < nr; i++)
		__bio_add_page(bio, folio_page(req->folios[first + i], 0),
			       min_t(u32, PAGE_SIZE, w->bytes - (i << PAGE_SHIFT)), 0);
	if (!backing->bdev) {
		extpager_file_job_begin(backing, ITER_SOURCE, &w->job);
		return;
	}
	bio->bi_iter.bi_sector = pos >> SECTOR_SHIFT;
	bio->bi_end_io = writeout_end_io;
	atomic_set(&w->left, 2);
	submit_bio(bio);
	/* A device that was faster costs no switch. */
	if (atomic_dec_and_test(&w->left))
		device_written(w);
}

/* Into how many parts does a return go? */
unsigned int extpager_writeout_parts(const struct extpager_request *req)
{
	return DIV_ROUND_UP(req->nr, BIO_MAX_VECS);
}

/**
 * extpager_writeout() - have a return written
 * @port: its pager's
 * @req: held, which ends here, and by extpager_request_write() ours
 * @backing: to where, from extpager_backing_write_get()
 * @pos: in the file, of the first page
 *
 * Does not wait for regular files; a device's queue may be full, for longer than the
 * deadline: write-back does not wait for that. It ends by itself, perhaps before this
 * returns.
 */
void extpager_writeout(struct extpager_port *port, struct extpager_request *req,
		       struct extpager_backing *backing, u64 pos)
{
	unsigned int all = req->nr, first, nr, i;

	for (i = 0; i < all; i++)
		folio_get(req->folios[i]);
	/* Parts that have not begun keep the request, and with it the array. */
	extpager_request_unhold(req);
	for (first = 0; first < all; first += nr) {
		nr = min_t(unsigned int, all - first, BIO_MAX_VECS);
		writeout_part(port, req, backing, first, nr, pos + ((u64)first << PAGE_SHIFT));
	}
}

int extpager_writeout_init(void)
{
	unsigned int pad = offsetof(struct writeout, bio);
	int ret;

	ret = bioset_init(&device_writeouts, BIO_POOL_SIZE, pad, BIOSET_NEED_BVECS);
	if (ret)
		return ret;
	ret = bioset_init(&file_writeouts, BIO_POOL_SIZE, pad, BIOSET_NEED_BVECS);
	if (ret)
		bioset_exit(&device_writeouts);
	return ret;
}

void extpager_writeout_exit(void)
{
	bioset_exit(&file_writeouts);
	bioset_exit(&device_writeouts);
}
