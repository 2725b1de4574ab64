// SPDX-License-Identifier: GPL-2.0-only
/* zero: reads as zeros, takes no writes. */
#include <errno.h>
#include <stdlib.h>

#include "store.h"

static int zero_open(const struct store_uri *uri, const struct store_want *want,
		     struct store **out, char *why, size_t len)
{
	struct store *store = calloc(1, sizeof(*store));

	(void)uri;
	if (!store)
		return store_refuse(-ENOMEM, why, len, "no memory");
	store->ops = &store_zero_ops;
	store->bytes = want->bytes;
	store->block = 1;
	store->read_only = true;
	*out = store;
	return 0;
}

static void zero_close(struct store *store)
{
	free(store);
}

static void zero_submit(struct store_io *io)
{
	io->data = NULL;
	store_done(io, 0);
}

const struct store_ops store_zero_ops = {
	.open = zero_open,
	.close = zero_close,
	.submit = zero_submit,
};
