// SPDX-License-Identifier: GPL-2.0-only
/* The kinds of stores there are, and what holds for all of them. */
#include "store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "units.h"

static const struct store_ops *const kinds[] = {
	[STORE_BLOCK] = &store_block_ops,
	[STORE_NVME] = &store_block_ops,
	[STORE_FILE] = &store_file_ops,
	[STORE_ZERO] = &store_zero_ops,
	[STORE_MEM] = &store_mem_ops,
};

int store_refuse(int ret, char *why, size_t len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, len, fmt, ap);
	va_end(ap);
	return ret;
}

static int store_check(const struct store *store, const struct store_uri *uri,
		       const struct store_want *want, char *why, size_t len)
{
	char has[UNITS_MAX], needs[UNITS_MAX];

	if (store->bytes < want->bytes)
		return store_refuse(-ENOSPC, why, len,
				    "the store holds %s, the target has %s: make the store longer%s",
				    units_format_size(store->bytes, has, sizeof(has)),
				    units_format_size(want->bytes, needs, sizeof(needs)),
				    uri->kind == STORE_FILE && !uri->length ? " or say create=1" :
				    uri->length ? " (its length= says less)" : "");
	if (store->read_only && !want->read_only)
		return store_refuse(-EROFS, why, len,
				    "the store is read-only, the target is not: delete it and add it with --read-only");
	return 0;
}

int store_open(const char *text, const struct store_want *want,
	       struct store **store, char *why, size_t len)
{
	char detail[512];
	struct store_uri uri;
	int ret;

	ret = store_uri_parse(text, &uri, detail, sizeof(detail));
	if (!ret)
		ret = kinds[uri.kind]->open(&uri, want, store, detail, sizeof(detail));
	if (ret)
		return store_refuse(ret, why, len, "store '%s': %s", text, detail);
	ret = store_check(*store, &uri, want, detail, sizeof(detail));
	if (ret) {
		store_close(*store);
		*store = NULL;
		return store_refuse(ret, why, len, "store '%s': %s", text, detail);
	}
	return 0;
}

void store_close(struct store *store)
{
	store->ops->close(store);
}

void store_submit(struct store_io *io)
{
	struct store *store = io->store;

	io->error = 0;
	io->data = io->buf;
	io->pos = 0;
	io->step = 0;
	io->priv = NULL;
	if (io->op != STORE_FLUSH &&
	    (io->offset % store->block || io->offset > store->bytes ||
	     io->length > store->bytes - io->offset))
		store_done(io, -EIO);
	else if (store->read_only && (io->op == STORE_WRITE || io->op == STORE_WRITE_ZEROS))
		store_done(io, -EROFS);
	else
		store->ops->submit(io);
}
