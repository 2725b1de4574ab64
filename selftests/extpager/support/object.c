// SPDX-License-Identifier: GPL-2.0-only
/* The pager's first and usual steps with an object. */
#include <fcntl.h>
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
