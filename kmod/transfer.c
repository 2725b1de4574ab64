// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transfers: the kernel reads claimed folios from a registered file by itself.
 *
 * A device is read by bios of our own. A regular file is read by a worker of
 * its port, never where a client or a pager could be holding what the file
 * system needs: the file's inode lock may be held by who waits for the page.
 * What ends in an interrupt is finished by a worker, as target->lock is none
 * that interrupts may take.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/highmem.h>
#include <linux/uio.h>

#include "extpager.h"

enum {
	READING,	/* the submitter is not back yet */
	LEFT,		/* it is: a worker finishes */
	DONE,		/* the device was faster: the submitter finishes */
};

struct extpager_transfer {
	struct extpager_claim claim;
	struct extpager_port *port;
	struct extpager_object *object;
	struct extpager_backing *backing;
	u64 pos;			/* in the file, of claim.folios[0] */
	u32 bytes;			/* to be read from the first folio on */
	u32 needed;			/* of them, inside the object */
	int error;
	atomic_t state;
	struct extpager_file_job job;	/* its work is a device's end, too */
	struct bio bio;			/* its vectors follow */
};

/* Devices give back what their reserve has lent; files may hang. */
static struct bio_set device_transfers, file_transfers;

/* -EAGAIN is our own: pages of a large folio, one of which is bad, are asked for one by one. */
static int read_error(int error)
{
	return error == -EAGAIN ? -EIO : error;
}

/* ---- one folio after the other, when all together failed ---- */

/* Bytes of the object from the folio's first on, as far as @most. */
static u32 object_bytes(const struct extpager_object *obj, struct folio *folio, u32 most)
{
	return min_t(u64, most, i_size_read(&obj->inode) - folio_pos(folio));
}

static int folio_read(struct extpager_transfer *tr, struct folio *folio, u64 pos)
{
	struct extpager_backing *backing = tr->backing;
	u32 size = folio_size(folio), needed = object_bytes(tr->object, folio, size);
	struct bio_vec vec = { .bv_page = folio_page(folio, 0), .bv_len = size };
	struct bio bio;
	int ret;

	if (!backing->bdev)
		return extpager_file_io(backing, ITER_DEST, pos, &vec, 1, size, needed);
	bio_init(&bio, backing->bdev, &vec, 1, REQ_OP_READ);
	bio.bi_iter.bi_sector = pos >> SECTOR_SHIFT;
	__bio_add_page(&bio, folio_page(folio, 0), round_up(needed, backing->align), 0);
	ret = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return ret;
}

/* ---- the end ---- */

/* The last page of an object need not be full. */
static void zero_tail(const struct extpager_object *obj, struct folio *folio)
{
	u32 bytes = object_bytes(obj, folio, folio_size(folio));

	if (unlikely(bytes < folio_size(folio)))
		folio_zero_segment(folio, bytes, folio_size(folio));
	flush_dcache_folio(folio);
}

/* What clients are told. */
int extpager_transfer_error(int error)
{
	return extpager_error_is_legal(-error) ? error : error == -EILSEQ ? -EBADMSG : -EIO;
}

void extpager_transfer_tell(const struct extpager_object *obj, pgoff_t index, unsigned int nr,
			    int error)
{
	if (obj->target->named)
		pr_warn_ratelimited("target %s: its store cannot be read at %llu, %u bytes: %d\n",
				    obj->target->settings.name, (u64)index << PAGE_SHIFT,
				    nr << PAGE_SHIFT, error);
}

static void claim_done(struct extpager_object *obj, struct extpager_claim *claim, int error)
{
	struct extpager_target *t = obj->target;
	unsigned int i;

	if (READ_ONCE(claim->lost)) {
		error = 0;
	} else if (error && error != -EAGAIN) {
		extpager_count_add(t, PAGES_FAILED, claim->nr);
		extpager_transfer_tell(obj, claim->req->index + claim->first, claim->nr, error);
		error = extpager_transfer_error(error);
	} else if (!error) {
		extpager_count_add(t, PAGES_READ, claim->nr);
		for (i = 0; i < claim->span; i++)
			if (claim->folios[i])
				zero_tail(obj, claim->folios[i]);
	}
	extpager_claim_end(claim, claim->span, error);
	for (i = 0; i < claim->span; i++)
		if (claim->folios[i])
			folio_put(claim->folios[i]);
}

static void transfer_end(struct extpager_transfer *tr)
{
	struct extpager_object *obj = tr->object;
	struct extpager_target *t = obj->target;
	struct extpager_port *port = tr->port;

	claim_done(obj, &tr->claim, tr->error);
	extpager_transfer_free(tr);
	/* The target's mount goes last: it keeps the module. */
	extpager_port_put(port);
	iput(&obj->inode);
	extpager_target_put(t);
}

/* Readahead brought the neighbours in: find out which page is bad. */
static void read_singly(struct extpager_transfer *tr)
{
	struct extpager_claim one;

	for (;;) {
		struct folio *folio = tr->claim.folios[0];
		unsigned int nr = folio_nr_pages(folio);

		tr->error = folio_read(tr, folio, tr->pos);
		if (tr->error && nr > 1) {
			extpager_large_pause(tr->object);
			tr->error = -EAGAIN;
		} else {
			tr->error = read_error(tr->error);
		}
		if (tr->claim.span == nr || READ_ONCE(tr->claim.lost))
			break;
		extpager_claim_split(&tr->claim, &one);
		claim_done(tr->object, &one, tr->error);
		tr->pos += (u64)nr << PAGE_SHIFT;
	}
}

/* ---- all together ---- */

static void transfer_work(struct work_struct *work)
{
	struct extpager_transfer *tr = container_of(work, struct extpager_transfer, job.work);
	struct extpager_backing *backing = tr->backing;
	struct bio *bio = &tr->bio;

	/* Once it is lost nobody waits. */
	if (!backing->bdev && !READ_ONCE(tr->claim.lost))
		tr->error = read_error(extpager_file_io(backing, ITER_DEST, tr->pos,
							bio->bi_io_vec, bio->bi_vcnt,
							tr->bytes, tr->needed));
	if (tr->error && tr->claim.nr > 1 && !READ_ONCE(tr->claim.lost))
		read_singly(tr);
	if (!backing->bdev)
		extpager_file_job_ended(backing, ITER_DEST);
	transfer_end(tr);
}

static void transfer_end_io(struct bio *bio)
{
	struct extpager_transfer *tr = container_of(bio, struct extpager_transfer, bio);

	tr->error = read_error(blk_status_to_errno(bio->bi_status));
	if (atomic_xchg(&tr->state, DONE) == LEFT)
		queue_work(extpager_read_wq, &tr->job.work);
}

struct extpager_transfer *extpager_transfer_alloc(struct extpager_port *port,
						  struct extpager_object *obj,
						  struct extpager_backing *backing,
						  unsigned int nr)
{
	struct extpager_transfer *tr;
	struct bio *bio;

	/* From a reserve, if need be: what is being read gives it back. */
	bio = bio_alloc_bioset(backing->bdev, min_t(unsigned int, nr, EXTPAGER_BATCH),
			       REQ_OP_READ, GFP_NOIO,
			       backing->bdev ? &device_transfers : &file_transfers);
	tr = container_of(bio, struct extpager_transfer, bio);
	tr->port = port;
	tr->object = obj;
	tr->backing = backing;
	refcount_inc(&backing->ref);
	tr->error = 0;
	atomic_set(&tr->state, READING);
	INIT_WORK(&tr->job.work, transfer_work);
	return tr;
}

void extpager_transfer_free(struct extpager_transfer *tr)
{
	extpager_backing_put(tr->backing);
	bio_put(&tr->bio);
}

struct extpager_claim *extpager_transfer_claim(struct extpager_transfer *tr)
{
	return &tr->claim;
}

/**
 * extpager_transfer_read() - have claimed folios filled
 * @tr: its claim has folios, and no hole behind the first of them
 * @pos: in the file, of the first page of the claim's span
 *
 * Does not wait for regular files; a device's queue may be full. The transfer
 * ends by itself, perhaps before this returns.
 */
void extpager_transfer_read(struct extpager_transfer *tr, u64 pos)
{
	struct extpager_object *obj = tr->object;
	struct extpager_claim *claim = &tr->claim;
	struct bio *bio = &tr->bio;
	unsigned int i, hole = claim->span - claim->nr;

	refcount_inc(&tr->port->ref);
	refcount_inc(&obj->target->users);
	ihold(&obj->inode);
	/* Its first pages were answered already. */
	for (; hole; hole--) {
		struct extpager_claim one;

		extpager_claim_split(claim, &one);
		extpager_claim_end(&one, 1, 0);
		pos += PAGE_SIZE;
	}
	tr->pos = pos;
	tr->needed = object_bytes(obj, claim->folios[0], claim->nr << PAGE_SHIFT);
	tr->bytes = claim->nr << PAGE_SHIFT;
	if (tr->backing->bdev)
		tr->bytes = round_up(tr->needed, tr->backing->align);
	for (i = 0; i < claim->nr; i++)
		if (claim->folios[i])
			__bio_add_page(bio, folio_page(claim->folios[i], 0),
				       min_t(u32, folio_size(claim->folios[i]),
					     tr->bytes - (i << PAGE_SHIFT)), 0);
	if (!tr->backing->bdev) {
		tr->job.wq = tr->port->files_wq;
		extpager_file_job_begin(tr->backing, ITER_DEST, &tr->job);
		return;
	}
	bio->bi_iter.bi_sector = pos >> SECTOR_SHIFT;
	bio->bi_end_io = transfer_end_io;
	submit_bio(bio);
	if (atomic_xchg(&tr->state, LEFT) != DONE)
		return;
	if (tr->error && claim->nr > 1)
		queue_work(extpager_read_wq, &tr->job.work);
	else
		transfer_end(tr);
}

int extpager_transfer_init(void)
{
	unsigned int pad = offsetof(struct extpager_transfer, bio);
	int ret;

	ret = bioset_init(&device_transfers, BIO_POOL_SIZE, pad, BIOSET_NEED_BVECS);
	if (ret)
		return ret;
	ret = bioset_init(&file_transfers, BIO_POOL_SIZE, pad, BIOSET_NEED_BVECS);
	if (ret)
		bioset_exit(&device_transfers);
	return ret;
}

void extpager_transfer_exit(void)
{
	bioset_exit(&file_transfers);
	bioset_exit(&device_transfers);
}
