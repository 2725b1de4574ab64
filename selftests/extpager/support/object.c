// SPDX-License-Identifier: GPL-2.0-only
/* The pager's first and usual steps with an object. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kernel-page-flags.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "object.h"

bool object_ready(struct pager *p, uint32_t *generation)
{
	struct extpager_event ev;

	if (!pager_expect(p, EXTPAGER_EV_INIT, &ev, SOON) || pager_ready(p, &ev, 0, 0))
		return false;
	if (generation)
		*generation = ev.generation;
	return true;
}

bool next_request(struct pager *p, struct extpager_event *ev)
{
	return pager_expect(p, EXTPAGER_EV_DATA_REQUEST, ev, SOON);
}

int prefetch(int fd, uint64_t index, uint64_t nr)
{
	return posix_fadvise(fd, index * PAGE, nr * PAGE, POSIX_FADV_WILLNEED);
}

int serve_client(struct pager *p, struct client *c, uint64_t seed, unsigned int *requests)
{
	uint64_t end = now_ms() + SOON;
	int result = CLIENT_RUNNING;
	struct extpager_event ev;

	while (result == CLIENT_RUNNING && now_ms() < end) {
		if (pager_event(p, &ev, 1)) {
			if (ev.op == EXTPAGER_EV_DATA_REQUEST) {
				pager_supply(p, &ev, seed);
				if (requests)
					++*requests;
			} else if (ev.op == EXTPAGER_EV_DATA_RETURN) {
				pager_return_done(p, &ev, 0);
			} else if (ev.op == EXTPAGER_EV_SYNC) {
				pager_sync_done(p, &ev, 0);
			}
		}
		result = client_result(c, 0);
	}
	return result;
}

int write_pages(void *arg)
{
	struct io *io = arg;
	uint8_t page[PAGE];
	uint64_t done;

	for (done = 0; done < io->length; done += PAGE) {
		fill_page(page, io->seed, (io->offset + done) / PAGE);
		if (pwrite(io->fd, page, PAGE, io->offset + done) != PAGE)
			return 1;
	}
	return 0;
}

int write_from_mapping(void *arg)
{
	struct knot *k = arg;
	uint8_t *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, k->object, k->index * PAGE);

	if (map == MAP_FAILED || madvise(map, PAGE, MADV_RANDOM))
		return 99;
	return pwrite(k->file, map, PAGE, k->pos) == (ssize_t)PAGE ? 0 : errno;
}

bool fill_pages(int fd, uint64_t base, uint64_t pages, uint64_t seed)
{
	uint8_t *page = aligned_alloc(PAGE, PAGE);
	uint64_t i;
	bool ok = true;

	for (i = 0; i < pages && ok; i++) {
		fill_page(page, seed, i);
		ok = pwrite(fd, page, PAGE, base + i * PAGE) == (ssize_t)PAGE;
	}
	free(page);
	return ok;
}

int pager_use(struct pager *p, int fd)
{
	int file = fd < 0 ? -EBADF : pager_register(p, fd);

	if (fd >= 0)
		close(fd);
	return file;
}

bool page_is_here(int fd, uint64_t index)
{
	unsigned char in = 0;
	void *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, index * PAGE);
	bool here = map != MAP_FAILED && !mincore(map, PAGE, &in) && in & 1;

	if (map != MAP_FAILED)
		munmap(map, PAGE);
	return here;
}

long pages_flagged(const void *map, uint64_t nr, uint64_t mask)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	int flags = open("/proc/kpageflags", O_RDONLY);
	uint64_t entry, bits, page = (uintptr_t)map / PAGE, end = page + nr;
	long found = 0;

	if (pagemap < 0 || flags < 0)
		found = -errno;
	for (; page < end && found >= 0; page++) {
		if (pread(pagemap, &entry, 8, page * 8) != 8)
			found = -EIO;
		else if (!(entry >> 63))
			continue;
		else if (pread(flags, &bits, 8, (entry & ((1ULL << 55) - 1)) * 8) != 8)
			found = -EIO;
		else
			found += (bits & mask) == mask;
	}
	if (pagemap >= 0)
		close(pagemap);
	if (flags >= 0)
		close(flags);
	return found;
}

bool pin(const uint8_t *page, int *pipe_end)
{
	struct iovec one = { .iov_base = (void *)page, .iov_len = PAGE };
	int fd[2];

	if (pipe(fd))
		return false;
	*pipe_end = fd[0];
	if (vmsplice(fd[1], &one, 1, 0) != (ssize_t)PAGE)
		return false;
	close(fd[1]);
	return true;
}

long in_large_folios(const uint8_t *map, uint64_t nr)
{
	return pages_flagged(map, nr, 1UL << KPF_COMPOUND_HEAD) +
	       pages_flagged(map, nr, 1UL << KPF_COMPOUND_TAIL);
}

bool some_are_large(const uint8_t *map, uint64_t nr, long least)
{
	long large = in_large_folios(map, nr);

	return kernel_version() < 612 ? !large : large >= least;
}

bool pages_are(int fd, uint64_t index, uint64_t nr, uint64_t seed)
{
	uint8_t page[PAGE];
	uint64_t i;

	for (i = index; i < index + nr; i++)
		if (!WAIT_FOR(SOON, page_is_here(fd, i)) ||
		    pread(fd, page, PAGE, i * PAGE) != (ssize_t)PAGE || !page_is(page, seed, i))
			return false;
	return true;
}
