// SPDX-License-Identifier: GPL-2.0-only
/* A target, its pager and clients of it. */
#include <fcntl.h>
#include <unistd.h>

#include "crew.h"

bool crew_start(struct crew *c, const char *target, uint64_t bytes, uint64_t seed,
		unsigned int nr)
{
	struct target_options o = { .bytes = bytes };

	c->target = target;
	c->nr = 0;
	if (target_state(target))
		target_gone(target);
	if (target_add(target, &o) || !server_start(&c->s, target, bytes, seed))
		return false;
	c->fd = target_open(target, O_RDWR);
	if (c->fd < 0)
		return false;
	while (c->nr < nr) {
		struct worker *w = &c->w[c->nr++];

		if (!worker_start(w, c->fd, bytes))
			return false;
		w->order->store = c->s.store;
	}
	return true;
}

bool crew_stop(struct crew *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		if (c->w[i].order)
			worker_stop(&c->w[i]);
	close(c->fd);
	server_stop(&c->s);
	return target_gone(c->target);
}
