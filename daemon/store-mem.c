// SPDX-License-Identifier: GPL-2.0-only
/*
 * mem: anonymous memory of pagerd; content goes with the process. For tests
 * and for scratch targets whose policy is to fail. For a target that an earlier
 * process served, pages are lost until they are written: reading zeros in their
 * place would be a lie.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "store.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define PAGE	4096ULL

/**
 * struct store_mem
 * @base: the memory
 * @known: for a target that was used before: a byte a page that was written
 *	since; NULL: all are known
 */
struct store_mem {
	struct store store;
	char *base;
	char *known;
};

static struct store_mem *to_mem(struct store *store)
{
	return (struct store_mem *)store;
}

static int mem_open(const struct store_uri *uri, const struct store_want *want,
		    struct store **out, char *why, size_t len)
{
	struct store_mem *mem = calloc(1, sizeof(*mem));
	size_t bytes = want->bytes;

	(void)uri;
	if (mem && want->used)
		mem->known = calloc(1, bytes / PAGE + 1);
	if (!mem || (want->used && !mem->known)) {
		free(mem);
		return store_refuse(-ENOMEM, why, len, "no memory");
	}
	/*
	 * mlockall(MCL_FUTURE) would fill all of it now. Without access nothing
	 * is filled; then: unlocked, accessible, locked page by page when used.
	 */
	mem->base = mmap(NULL, bytes, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem->base == MAP_FAILED || munlock(mem->base, bytes) ||
	    mprotect(mem->base, bytes, PROT_READ | PROT_WRITE)) {
		int ret = -errno;

		if (mem->base != MAP_FAILED)
			munmap(mem->base, bytes);
		free(mem->known);
		free(mem);
		return store_refuse(ret, why, len, "no address space: %s", strerror(-ret));
	}
	(void)!mlock2(mem->base, bytes, MLOCK_ONFAULT);
	(void)!madvise(mem->base, bytes, MADV_DONTDUMP);

	mem->store.ops = &store_mem_ops;
	mem->store.bytes = bytes;
	mem->store.block = PAGE;
	mem->store.is_volatile = true;
	*out = &mem->store;
	return 0;
}

static void mem_close(struct store *store)
{
	struct store_mem *mem = to_mem(store);

	munmap(mem->base, store->bytes);
	free(mem->known);
	free(mem);
}

static void mem_zero(char *at, uint64_t length)
{
	if (!((uintptr_t)at % PAGE) && !(length % PAGE) &&
	    (!madvise(at, length, MADV_DONTNEED_LOCKED) || !madvise(at, length, MADV_DONTNEED)))
		return;
	memset(at, 0, length);
}

static void mem_submit(struct store_io *io)
{
	struct store_mem *mem = to_mem(io->store);
	char *at = mem->base + io->offset;
	uint64_t page = io->offset / PAGE;
	uint64_t n = (io->length + PAGE - 1) / PAGE;

	switch (io->op) {
	case STORE_READ:
		if (mem->known && memchr(mem->known + page, 0, n)) {
			store_done(io, -ENODATA);
			return;
		}
		io->data = at;
		break;
	case STORE_WRITE:
		memcpy(at, io->buf, io->length);
		if (mem->known)
			memset(mem->known + page, 1, n);
		break;
	case STORE_WRITE_ZEROS:
		mem_zero(at, io->length);
		if (mem->known)
			memset(mem->known + page, 1, n);
		break;
	case STORE_FLUSH:
		break;
	}
	store_done(io, 0);
}

const struct store_ops store_mem_ops = {
	.open = mem_open,
	.close = mem_close,
	.submit = mem_submit,
};
