// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A port's life: open, set-up, the mappings of its queues, what it is attached
 * to, close. Knows nothing of events and replies.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "port.h"
#include "sized.h"

static int queue_open(struct extpager *p, struct xp_queue *q, unsigned int index,
		      const struct extpager_setup *setup)
{
	off_t off = index * setup->out_stride;
	int ret;

	q->p = p;
	q->index = index;
	ret = xp_sys->mmap(&q->kernel_map, p->kernel_len, PROT_READ, p->fd,
			   setup->out_kernel_off + off);
	if (ret)
		return ret;
	ret = xp_sys->mmap(&q->user_map, p->user_len, PROT_READ | PROT_WRITE, p->fd,
			   setup->out_user_off + off);
	if (ret)
		goto err_kernel;
	ret = xp_ring_init(&q->ring, q->kernel_map, p->kernel_len, q->user_map, p->user_len);
	if (ret)
		goto err_user;
	q->reaped = q->ring.reply_tail;
	q->deferred = calloc(q->ring.reply_mask + 1UL, sizeof(*q->deferred));
	if (!q->deferred) {
		ret = -ENOMEM;
		goto err_user;
	}
	pthread_mutex_init(&q->lock, NULL);
	return 0;

err_user:
	xp_sys->munmap(q->user_map, p->user_len);
err_kernel:
	xp_sys->munmap(q->kernel_map, p->kernel_len);
	return ret;
}

static void queue_close(struct xp_queue *q)
{
	pthread_mutex_destroy(&q->lock);
	xp_req_pool_free(q);
	free(q->deferred);
	xp_sys->munmap(q->user_map, q->p->user_len);
	xp_sys->munmap(q->kernel_map, q->p->kernel_len);
}

static int queues_open(struct extpager *p, const struct extpager_setup *setup)
{
	size_t size = setup->nr_queues * sizeof(*p->queues);
	int ret;

	p->queues = aligned_alloc(__alignof__(*p->queues), size);
	if (!p->queues)
		return -ENOMEM;
	memset(p->queues, 0, size);
	for (unsigned int i = 0; i < setup->nr_queues; i++) {
		ret = queue_open(p, &p->queues[i], i, setup);
		if (ret)
			goto err_queues;
		p->nr_queues++;
	}
	return 0;

err_queues:
	while (p->nr_queues)
		queue_close(&p->queues[--p->nr_queues]);
	free(p->queues);
	return ret;
}

static int setup_port(struct extpager *p, const struct extpager_params *params)
{
	struct extpager_setup setup = {
		.size = sizeof(setup),
		.abi_version = EXTPAGER_ABI_VERSION,
		.nr_queues = params->nr_queues,
		.ring_entries = params->ring_entries,
		.features = params->flags & EXTPAGER_PORT_LARGE ? EXTPAGER_FEATURE_LARGE : 0,
	};
	int ret;

	ret = xp_sys->ioctl(p->fd, EXTPAGER_IOC_SETUP, &setup);
	if (ret < 0)
		return ret;
	p->port_id = setup.out_port;
	p->page_size = setup.out_page_size;
	p->kernel_len = setup.out_kernel_len;
	p->user_len = setup.out_user_len;
	if (!setup.nr_queues || p->page_size < 4096 || p->page_size & (p->page_size - 1))
		return -EPROTO;
	return queues_open(p, &setup);
}

int extpager_open(struct extpager **pp, const struct extpager_params *params,
		  const struct extpager_ops *ops, void *user)
{
	struct extpager_params par = { .size = sizeof(par) };
	struct extpager *p;
	int ret;

	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	if (params) {
		ret = xp_copy_sized(&par, sizeof(par), params, params->size);
		if (ret)
			goto err_free;
		ret = -EINVAL;
		if (par.flags & ~(uint64_t)EXTPAGER_PORT_LARGE)
			goto err_free;
	}
	ret = xp_copy_sized(&p->ops, sizeof(p->ops), ops, ops->size);
	if (ret)
		goto err_free;
	p->user = user;
	p->fd = par.port_fd;
	if (!par.port_fd) {
		ret = xp_sys->open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
		if (ret < 0)
			goto err_free;
		p->fd = ret;
	}
	ret = setup_port(p, &par);
	if (ret)
		goto err_close;
	pthread_mutex_init(&p->lock, NULL);
	*pp = p;
	return 0;

err_close:
	if (!par.port_fd)
		xp_sys->close(p->fd);
err_free:
	free(p);
	return ret;
}

void extpager_close(struct extpager *p)
{
	if (!p)
		return;
	if (xp_deferring && xp_deferring->p == p)
		xp_deferring = NULL;
	for (unsigned int i = 0; i < p->nr_queues; i++) {
		extpager_submit(p, i);
		queue_close(&p->queues[i]);
	}
	free(p->queues);
	xp_object_forget_all(p);
	pthread_mutex_destroy(&p->lock);
	xp_sys->close(p->fd);
	free(p);
}

int extpager_fd(const struct extpager *p)
{
	return p->fd;
}

unsigned int extpager_port(const struct extpager *p)
{
	return p->port_id;
}

unsigned int extpager_nr_queues(const struct extpager *p)
{
	return p->nr_queues;
}

size_t extpager_page_size(const struct extpager *p)
{
	return p->page_size;
}

int extpager_attach(struct extpager *p, const char *target,
		    uint64_t *object, uint64_t *bytes)
{
	struct extpager_attach attach = { .size = sizeof(attach) };
	int ret;

	if (strlen(target) > EXTPAGER_NAME_MAX)
		return -ENAMETOOLONG;
	strcpy(attach.name, target);
	ret = xp_sys->ioctl(p->fd, EXTPAGER_IOC_ATTACH, &attach);
	if (ret < 0)
		return ret;
	if (object)
		*object = attach.out_object;
	if (bytes)
		*bytes = attach.out_bytes;
	return 0;
}

int extpager_detach(struct extpager *p, uint64_t object)
{
	struct extpager_detach detach = { .size = sizeof(detach), .object = object };
	int ret;

	ret = xp_sys->ioctl(p->fd, EXTPAGER_IOC_DETACH, &detach);
	if (ret < 0)
		return ret;
	xp_object_forget(p, object);
	return 0;
}

int extpager_object_create(struct extpager *p, uint64_t bytes,
			   unsigned int flags, uint64_t *object)
{
	struct extpager_object_create create = {
		.size = sizeof(create),
		.flags = flags,
		.bytes = bytes,
	};
	int ret;

	_Static_assert(EXTPAGER_CREATE_RDONLY == EXTPAGER_OBJECT_RDONLY, "same flag");
	ret = xp_sys->ioctl(p->fd, EXTPAGER_IOC_OBJECT_CREATE, &create);
	if (ret < 0)
		return ret;
	if (object)
		*object = create.out_object;
	return create.out_fd;
}

int extpager_object_open(struct extpager *p, uint64_t object, int flags)
{
	struct extpager_open open = {
		.size = sizeof(open),
		.flags = flags,
		.object = object,
	};
	int ret;

	if (!object)
		return -ENOENT;
	ret = xp_sys->ioctl(p->fd, EXTPAGER_IOC_OPEN, &open);
	return ret < 0 ? ret : open.out_fd;
}

int extpager_register(struct extpager *p, int fd, unsigned int *align)
{
	struct extpager_register arg = { .size = sizeof(arg), .fd = fd };
	int ret;

	ret = xp_sys->ioctl(p->fd, EXTPAGER_IOC_REGISTER, &arg);
	if (ret < 0)
		return ret;
	if (align)
		*align = arg.out_align;
	return (int)arg.out_file;
}

int extpager_unregister(struct extpager *p, unsigned int file)
{
	struct extpager_unregister arg = { .size = sizeof(arg), .file = file };
	int ret = xp_sys->ioctl(p->fd, EXTPAGER_IOC_UNREGISTER, &arg);

	return ret < 0 ? ret : 0;
}

static int delegate(struct extpager *p, uint64_t object, uint32_t generation, uint32_t flags,
		    const struct extpager_delegation *ranges, size_t nr)
{
	struct extpager_delegate arg = {
		.size = sizeof(arg),
		.flags = flags,
		.object = object,
		.ranges = (uintptr_t)ranges,
		.nr_ranges = (uint32_t)nr,
		.generation = generation,
	};
	int ret;

	_Static_assert(sizeof(struct extpager_delegation) == sizeof(struct extpager_range) &&
		       offsetof(struct extpager_delegation, flags) ==
		       offsetof(struct extpager_range, flags), "same struct");
	_Static_assert(EXTPAGER_DELEGATE_RDONLY == EXTPAGER_RANGE_RDONLY, "same flag");
	_Static_assert(EXTPAGER_DELEGATIONS_MAX == EXTPAGER_RANGES_MAX, "same limit");
	if (nr > EXTPAGER_RANGES_MAX)
		return -EINVAL;
	ret = xp_sys->ioctl(p->fd, EXTPAGER_IOC_DELEGATE, &arg);
	return ret < 0 ? ret : 0;
}

int extpager_delegate(struct extpager *p, uint64_t object, uint32_t generation,
		      const struct extpager_delegation *ranges, size_t nr)
{
	return delegate(p, object, generation, 0, ranges, nr);
}

int extpager_revoke(struct extpager *p, uint64_t object, uint32_t generation,
		    uint64_t offset, uint64_t length)
{
	struct extpager_delegation range = { .offset = offset, .length = length };

	return delegate(p, object, generation, EXTPAGER_DELEGATE_REVOKE, &range, 1);
}
