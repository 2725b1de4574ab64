// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a pager answers. Each reply is a private copy, and everything in it is
 * hostile until checked here. Nothing that a client can hold is waited for:
 * no folio lock, write-back, inode lock or invalidate_lock.
 */
#include <linux/uaccess.h>

#include "extpager.h"

/* How often a buffer may fault between fault-in and copy before it is given up. */
#define COPY_TRIES	8

/* May clients be given this positive errno? */
bool extpager_error_is_legal(u32 error)
{
	switch (error) {
	case EIO:
	case ENODATA:
	case EBADMSG:
	case ENOSPC:
	case EDQUOT:
	case EROFS:
	case EACCES:
	case ETIMEDOUT:
		return true;
	}
	return false;
}

/*
 * Its own buffer is no answer yet: it may be a mapping that waits for any pager. What is in it
 * stays: fault_in_writeable() would put a zero there, over what may be the store.
 */
static bool fault_in(const void __user *from, void __user *to, size_t len)
{
	size_t missing;

	extpager_pager_answered();
	missing = to ? fault_in_safe_writeable(to, len) : fault_in_readable(from, len);
	extpager_pager_answers();
	return !missing;
}

/* The pages of a reply's range: whole ones, or up to the object's end. */
static int reply_pages(const struct extpager_object *obj, const struct extpager_reply *re,
		       pgoff_t *index, unsigned int *nr)
{
	u64 size = i_size_read(&obj->inode);

	if (!PAGE_ALIGNED(re->offset) || !re->length || re->length > EXTPAGER_REQUEST_MAX)
		return -EINVAL;
	if (re->offset >= size || re->length > PAGE_ALIGN(size) - re->offset)
		return -ERANGE;
	if (!PAGE_ALIGNED(re->length) && re->offset + re->length != size)
		return -EINVAL;
	*index = re->offset >> PAGE_SHIFT;
	*nr = DIV_ROUND_UP(re->length, PAGE_SIZE);
	return 0;
}

/* Bytes of @nr pages from @index on that lie inside the object. */
static u32 page_bytes(const struct extpager_object *obj, pgoff_t index, unsigned int nr)
{
	loff_t start = (loff_t)index << PAGE_SHIFT;

	return min_t(loff_t, (loff_t)nr << PAGE_SHIFT, i_size_read(&obj->inode) - start);
}

static const void __user *reply_buffer(const struct extpager_reply *re)
{
	return re->flags & EXTPAGER_REF_ZERO ? NULL : u64_to_user_ptr(re->addr);
}

/* Fills claimed folios; returns how many slots are done, counting empty ones. */
static unsigned int supply_claim(struct extpager_claim *claim, const void __user *buf)
{
	struct extpager_object *obj = claim->req->object;
	unsigned int i;

	for (i = 0; i < claim->span; i++) {
		if (!claim->folios[i])
			continue;
		if (extpager_copy_in(obj, claim->folios[i], claim->folios[i]->index,
				     buf ? buf + i * PAGE_SIZE : NULL))
			break;
	}
	return i;
}

/* The outcome of a supply that ended with @ret, and met unanswered pages or not. */
static int supply_result(struct extpager_reply *re, bool found, int ret)
{
	/* Answered to its end by others while this reply was half-way: no harm. */
	if (ret == -ENOENT && found)
		ret = 0;
	/* Not one page of it was unanswered. */
	if (!found) {
		re->out_done = 0;
		ret = ret ?: -ENOENT;
	}
	return ret;
}

static int reply_supply(struct extpager_target *t, struct extpager_object *obj,
			struct extpager_reply *re)
{
	const void __user *buf = reply_buffer(re);
	unsigned int nr, tries = 0;
	bool found = false;
	pgoff_t index;
	int ret;

	ret = reply_pages(obj, re, &index, &nr);
	if (ret)
		return ret;
	while (nr) {
		struct extpager_claim claim;
		unsigned int i, filled = 0, done, span, stuck = 0;

		ret = extpager_request_claim(t, re, index, nr, &claim);
		found |= claim.gave_up;
		if (ret)
			break;
		found |= claim.nr;
		span = claim.span;
		done = supply_claim(&claim, buf);
		for (i = 0; i < done; i++)
			if (claim.folios[i])
				filled += folio_nr_pages(claim.folios[i]);
		if (unlikely(done < span))
			stuck = folio_nr_pages(claim.folios[done]);
		if (buf)
			extpager_count_add(t, PAGES_COPIED, filled);
		else
			extpager_count_add(t, PAGES_ZEROED, filled);
		/* The last answer ends the request: nothing of it is touched after. */
		if (done)
			re->out_done += page_bytes(obj, index, done);
		extpager_claim_end(&claim, done, 0);
		index += done;
		nr -= done;
		if (buf)
			buf += (size_t)done * PAGE_SIZE;
		if (done == span)
			continue;
		tries = done ? 0 : tries + 1;
		if (tries == COPY_TRIES || !fault_in(buf, NULL, page_bytes(obj, index, stuck)))
			return -EFAULT;
	}
	return supply_result(re, found, ret);
}

/* The pager says where the content lies; the rest is done without it. */
static int reply_supply_file(struct extpager_port *port, struct extpager_target *t,
			     struct extpager_object *obj, struct extpager_reply *re)
{
	struct extpager_backing *backing;
	bool found = false;
	u64 pos = re->addr;
	unsigned int nr, missing = 0;
	pgoff_t index;
	u32 bytes;
	int ret;

	ret = reply_pages(obj, re, &index, &nr);
	if (ret)
		return ret;
	backing = extpager_backing_get(port, re->file);
	if (!backing)
		return -EBADF;
	bytes = page_bytes(obj, index, nr);
	ret = extpager_backing_check(backing, pos, bytes);
	if (!ret) {
		missing = nr - extpager_backing_pages(backing, pos, bytes);
		nr -= missing;
	}
	while (nr && !ret) {
		struct extpager_transfer *tr = extpager_transfer_alloc(port, obj, backing, nr);
		struct extpager_claim *claim = extpager_transfer_claim(tr);
		unsigned int span;

		ret = extpager_request_claim(t, re, index, nr, claim);
		found |= claim->gave_up;
		if (ret) {
			extpager_transfer_free(tr);
			break;
		}
		span = claim->span;
		re->out_done += page_bytes(obj, index, span);
		if (claim->nr) {
			found = true;
			extpager_transfer_read(tr, pos);
		} else {
			extpager_claim_end(claim, span, 0);
			extpager_transfer_free(tr);
		}
		index += span;
		nr -= span;
		pos += (u64)span << PAGE_SHIFT;
	}
	extpager_backing_put(backing);
	/* What the file has not may come another way. */
	if (missing && !ret) {
		extpager_transfer_tell(obj, index, missing, -ERANGE);
		return -ERANGE;
	}
	return supply_result(re, found, ret);
}

/* Pages nobody asked for; those that somebody waits for are filled all the same. */
static int reply_push(struct extpager_target *t, struct extpager_object *obj,
		      struct extpager_reply *re)
{
	const void __user *buf = reply_buffer(re);
	unsigned int nr, i, tries = 0, installed = 0;
	pgoff_t index;
	int ret;

	ret = reply_pages(obj, re, &index, &nr);
	if (ret)
		return ret;
	if (READ_ONCE(obj->generation) != re->generation)
		return -ESTALE;
	if (READ_ONCE(obj->state) != EXTPAGER_OBJECT_READY)
		return -ENOENT;
	for (i = 0; i < nr; ) {
		const void __user *page = buf ? buf + (size_t)i * PAGE_SIZE : NULL;
		struct extpager_claim claim;
		bool fault = false;

		if (extpager_request_take(obj, index + i, 1, re->generation, &claim)) {
			fault = supply_claim(&claim, page) != claim.span;
			extpager_claim_end(&claim, fault ? 0 : claim.span, 0);
			ret = fault ? -EFAULT : 0;
		} else {
			ret = extpager_push(obj, re->generation, index + i, page);
			fault = ret == -EFAULT;
		}
		if (fault) {
			if (++tries == COPY_TRIES ||
			    !fault_in(page, NULL, page_bytes(obj, index + i, 1)))
				break;
			continue;
		}
		tries = 0;
		if (!ret) {
			re->out_done += page_bytes(obj, index + i, 1);
			installed++;
		} else if (ret == -EEXIST && claim.gave_up) {
			/* Who waits for it was sent to ask anew, and has. */
			continue;
		} else if (ret != -EEXIST) {
			break;
		}
		i++;
	}
	extpager_count_add(t, PAGES_PUSHED, installed);
	if (ret == -EEXIST && installed)
		ret = 0;
	return ret;
}

static int reply_error(struct extpager_target *t, struct extpager_object *obj,
		       struct extpager_reply *re)
{
	unsigned int nr, i;
	bool gave_up = false;
	pgoff_t index;
	int ret;

	if (!extpager_error_is_legal(re->error))
		return -EINVAL;
	ret = reply_pages(obj, re, &index, &nr);
	if (ret)
		return ret;
	if (!re->tag && READ_ONCE(obj->generation) != re->generation)
		return -ESTALE;
	while (nr) {
		struct extpager_claim claim;
		pgoff_t next;

		if (re->tag) {
			ret = extpager_request_claim(t, re, index, nr, &claim);
			gave_up |= claim.gave_up;
			if (ret)
				break;
		} else {
			bool taken = extpager_request_take(obj, index, nr, re->generation, &claim);

			if (claim.gave_up)
				extpager_large_pause(obj);
			if (!taken)
				break;
		}
		/* Without a tag the next one may lie before it. */
		next = re->tag ? claim.req->index + claim.first + claim.span : index;
		extpager_count_add(t, PAGES_FAILED, claim.nr);
		for (i = 0; i < claim.span; i++)
			if (claim.folios[i])
				re->out_done += page_bytes(obj, claim.folios[i]->index,
							   folio_nr_pages(claim.folios[i]));
		extpager_claim_end(&claim, claim.span, -(int)re->error);
		nr -= min_t(pgoff_t, nr, next - index);
		index = next;
	}
	/* What was given up is asked for again. */
	if (ret == -ENOENT && (re->out_done || gave_up))
		ret = 0;
	/* Untagged, it may be about pages that nobody waits for. */
	if (!ret && re->tag && !re->out_done && !gave_up)
		ret = -ENOENT;
	return ret;
}

static int reply_fetch(struct extpager_target *t, struct extpager_reply *re)
{
	void __user *buf = u64_to_user_ptr(re->addr);
	unsigned int tries = 0;
	int ret;

	if (!re->length || re->length > EXTPAGER_REQUEST_MAX)
		return -EINVAL;
	while (re->out_done < re->length) {
		struct extpager_request *req;
		u32 before = re->out_done;

		ret = extpager_request_hold(t, re, &req);
		if (ret)
			return ret;
		while (re->out_done < re->length) {
			u64 pos = re->offset - ((u64)req->index << PAGE_SHIFT) + re->out_done;
			size_t in_page = offset_in_page(pos);
			size_t len = min_t(size_t, PAGE_SIZE - in_page,
					   re->length - re->out_done);

			ret = extpager_copy_out(req->folios[pos >> PAGE_SHIFT], in_page,
						buf + re->out_done, len);
			if (ret)
				break;
			re->out_done += len;
		}
		extpager_request_unhold(req);
		if (!ret)
			break;
		tries = re->out_done > before ? 0 : tries + 1;
		if (tries == COPY_TRIES ||
		    !fault_in(NULL, buf + re->out_done,
			      min_t(size_t, PAGE_SIZE, re->length - re->out_done)))
			return -EFAULT;
	}
	return 0;
}

/* The pager says where what it returned belongs; the rest is done without it. */
static int reply_return_file(struct extpager_port *port, struct extpager_target *t,
			     struct extpager_reply *re)
{
	struct extpager_backing *backing = NULL;
	struct extpager_request *req;
	int ret;

	ret = extpager_request_hold(t, re, &req);
	if (ret)
		return ret;
	if (re->length != req->length)
		ret = -ERANGE;
	if (!ret) {
		backing = extpager_backing_write_get(port, re->file);
		ret = backing ? extpager_backing_check(backing, re->addr, re->length) : -EBADF;
	}
	/* Bytes behind the object's end are not ours. */
	if (!ret && !IS_ALIGNED(re->length, backing->align))
		ret = -EINVAL;
	if (!ret && !extpager_request_write(req, extpager_writeout_parts(req)))
		ret = -ENOENT;
	if (!ret) {
		extpager_writeout(port, req, backing, re->addr);
		re->out_done = re->length;
	} else {
		extpager_request_unhold(req);
	}
	if (backing)
		extpager_backing_write_put(backing);
	return ret;
}

static int reply_answer(struct extpager_target *t, struct extpager_reply *re)
{
	if (re->error && !extpager_error_is_legal(re->error))
		return -EINVAL;
	if (re->offset || re->length || re->addr)
		return -EINVAL;
	if (re->attributes & ~(re->op == EXTPAGER_RE_READY ? EXTPAGER_ATTR_MAY_CACHE : 0))
		return -EINVAL;
	return extpager_request_answer(t, re);
}

static int reply_object(struct extpager_object *obj, struct extpager_reply *re)
{
	if (re->tag || re->offset || re->length || re->addr || re->error)
		return -EINVAL;
	if (READ_ONCE(obj->generation) != re->generation)
		return -ESTALE;
	if (re->op == EXTPAGER_RE_ATTRIBUTES) {
		if (re->attributes & ~EXTPAGER_ATTR_MAY_CACHE)
			return -EINVAL;
		extpager_object_set_attributes(obj, re->attributes);
		return 0;
	}
	if (re->attributes || obj->target->named)
		return -EINVAL;
	extpager_object_destroy(obj, re->flags & EXTPAGER_REF_DISCARD);
	return 0;
}

static u16 legal_flags(u16 op)
{
	return op == EXTPAGER_RE_SUPPLY ? EXTPAGER_REF_ZERO | EXTPAGER_REF_FILE :
	       op == EXTPAGER_RE_RETURN_DONE ? EXTPAGER_REF_FILE :
	       op == EXTPAGER_RE_DESTROY ? EXTPAGER_REF_DISCARD : 0;
}

static int reply_dispatch(struct extpager_port *port, struct extpager_target *t,
			  struct extpager_object *obj, struct extpager_reply *re)
{
	bool by_file = re->flags & EXTPAGER_REF_FILE;

	if (re->flags & ~legal_flags(re->op) || (re->file && !by_file))
		return -EINVAL;
	switch (re->op) {
	case EXTPAGER_RE_SUPPLY:
		if (re->error || re->attributes ||
		    (re->flags & EXTPAGER_REF_ZERO && (re->addr || by_file)))
			return -EINVAL;
		if (by_file)
			return re->tag ? reply_supply_file(port, t, obj, re) : -EINVAL;
		/* NULL means zeros from here on, which must be asked for. */
		if (!(re->flags & EXTPAGER_REF_ZERO) && !re->addr)
			return -EFAULT;
		return re->tag ? reply_supply(t, obj, re) : reply_push(t, obj, re);
	case EXTPAGER_RE_ERROR:
		if (re->addr || re->attributes)
			return -EINVAL;
		return reply_error(t, obj, re);
	case EXTPAGER_RE_RETURN_FETCH:
		if (re->error || re->attributes)
			return -EINVAL;
		return reply_fetch(t, re);
	case EXTPAGER_RE_RETURN_DONE:
		if (by_file)
			return re->error || re->attributes ? -EINVAL :
			       reply_return_file(port, t, re);
		fallthrough;
	case EXTPAGER_RE_READY:
	case EXTPAGER_RE_SYNC_DONE:
		return reply_answer(t, re);
	case EXTPAGER_RE_ATTRIBUTES:
	case EXTPAGER_RE_DESTROY:
		return reply_object(obj, re);
	}
	return -EINVAL;
}

/* A late answer is a sign of life, too. */
static bool shows_life(const struct extpager_reply *re)
{
	return !re->out_result || (re->out_result == -ENOENT && re->tag);
}

/* Has the pager been silent? */
static bool was_silent(const struct extpager_target *t)
{
	return READ_ONCE(t->state) == EXTPAGER_STATE_STALLED || READ_ONCE(t->slow);
}

/**
 * extpager_reply_handle() - do what a pager says
 * @port: its port
 * @re: private copy; out_result and out_done are filled in
 *
 * Context: the pager in ENTER, queue->submit held.
 */
void extpager_reply_handle(struct extpager_port *port, struct extpager_reply *re)
{
	struct extpager_target *t = extpager_port_target(port, re->object);
	struct extpager_object *obj = NULL;

	re->out_result = -ENOENT;
	if (!t) {
		/* It was under way when the port detached: legal, but nothing comes of it. */
		if (re->op == EXTPAGER_RE_RETURN_DONE && !(re->flags & EXTPAGER_REF_FILE) &&
		    extpager_port_has_detached(port, re->object))
			re->out_result = 0;
		return;
	}
	obj = extpager_object_find(t, re->object);
	if (obj) {
		extpager_pager_answers();
		re->out_result = reply_dispatch(port, t, obj, re);
		extpager_pager_answered();
		iput(&obj->inode);
	}
	if (re->out_result)
		extpager_count(t, BAD_REPLIES);
	if (unlikely(was_silent(t)) && shows_life(re))
		/* What comes late, or is yet to be written, has not made a full quota emptier. */
		extpager_target_answered(t, re->out_result || re->flags & EXTPAGER_REF_FILE ? 0 :
					    re->op);
	extpager_target_put(t);
}
