// SPDX-License-Identifier: GPL-2.0-only
/* A pager by hand, over the bare uapi. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pager.h"

static int pager_map(struct pager *p)
{
	const struct extpager_setup *s = &p->setup;
	unsigned int i;

	for (i = 0; i < s->nr_queues; i++) {
		struct queue *q = &p->queue[i];

		q->kernel = mmap(NULL, s->out_kernel_len, PROT_READ, MAP_SHARED, p->fd,
				 s->out_kernel_off + i * s->out_stride);
		q->user = mmap(NULL, s->out_user_len, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd,
			       s->out_user_off + i * s->out_stride);
		if (q->kernel == MAP_FAILED || q->user == MAP_FAILED)
			return -errno;
		q->events = (void *)((char *)q->kernel + q->kernel->events_off);
		q->replies = (void *)((char *)q->user + q->kernel->replies_off);
		q->event_head = 0;
		q->reply_tail = 0;
	}
	p->nr_queues = s->nr_queues;
	return 0;
}

static int open_fd(struct pager *p, int fd, unsigned int queues, unsigned int entries,
		   uint64_t features)
{
	int ret;

	memset(p, 0, sizeof(*p));
	p->fd = fd;
	p->setup = (struct extpager_setup){
		.size = sizeof(p->setup),
		.abi_version = EXTPAGER_ABI_VERSION,
		.nr_queues = queues,
		.ring_entries = entries,
		.features = features,
	};
	if (ioctl(fd, EXTPAGER_IOC_SETUP, &p->setup))
		return -errno;
	p->buffer = aligned_alloc(PAGE, EXTPAGER_REQUEST_MAX);
	if (!p->buffer)
		return -ENOMEM;
	ret = pager_map(p);
	return ret;
}

int pager_open_fd(struct pager *p, int fd, unsigned int queues, unsigned int entries)
{
	return open_fd(p, fd, queues, entries, 0);
}

static int open_new(struct pager *p, unsigned int queues, unsigned int entries, uint64_t features)
{
	int fd = open(EXTPAGER_DEVICE, O_RDWR | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = open_fd(p, fd, queues, entries, features);
	if (ret)
		close(fd);
	return ret;
}

int pager_open(struct pager *p, unsigned int queues, unsigned int entries)
{
	return open_new(p, queues, entries, 0);
}

int pager_open_large(struct pager *p)
{
	return open_new(p, 1, 0, EXTPAGER_FEATURE_LARGE);
}

void pager_close(struct pager *p)
{
	unsigned int i;

	for (i = 0; i < p->nr_queues; i++) {
		munmap(p->queue[i].kernel, p->setup.out_kernel_len);
		munmap(p->queue[i].user, p->setup.out_user_len);
	}
	free(p->buffer);
	close(p->fd);
	memset(p, 0, sizeof(*p));
	p->fd = -1;
}

int pager_attach(struct pager *p, const char *target, uint64_t *object, uint64_t *bytes)
{
	struct extpager_attach a = { .size = sizeof(a) };

	strncpy(a.name, target, sizeof(a.name) - 1);
	if (ioctl(p->fd, EXTPAGER_IOC_ATTACH, &a))
		return -errno;
	if (object)
		*object = a.out_object;
	if (bytes)
		*bytes = a.out_bytes;
	return 0;
}

int pager_detach(struct pager *p, uint64_t object)
{
	struct extpager_detach d = { .size = sizeof(d), .object = object };

	return ioctl(p->fd, EXTPAGER_IOC_DETACH, &d) ? -errno : 0;
}

int pager_create(struct pager *p, uint64_t bytes, unsigned int flags, uint64_t *object)
{
	struct extpager_object_create c = { .size = sizeof(c), .bytes = bytes, .flags = flags };

	if (ioctl(p->fd, EXTPAGER_IOC_OBJECT_CREATE, &c))
		return -errno;
	if (object)
		*object = c.out_object;
	return c.out_fd;
}

int pager_reopen(struct pager *p, uint64_t object, int flags)
{
	struct extpager_open o = { .size = sizeof(o), .object = object, .flags = flags };

	return ioctl(p->fd, EXTPAGER_IOC_OPEN, &o) ? -errno : o.out_fd;
}

static bool queue_take(struct queue *q, struct extpager_event *ev)
{
	/* Pairs with the kernel's release store after it wrote the entry. */
	if (__atomic_load_n(&q->kernel->event_tail, __ATOMIC_ACQUIRE) == q->event_head)
		return false;
	*ev = q->events[q->event_head & q->kernel->event_mask];
	q->event_head++;
	__atomic_store_n(&q->user->event_head, q->event_head, __ATOMIC_RELEASE);
	return true;
}

static bool take_any(struct pager *p, struct extpager_event *ev)
{
	unsigned int i;

	for (i = 0; i < p->nr_queues; i++)
		if (queue_take(&p->queue[i], ev)) {
			p->last_queue = i;
			return true;
		}
	return false;
}

/*
 * What is in the ring as the time is up, and nobody was woken for, does not count: a pager
 * that waits without an end would never see it. poll() itself looks once more then.
 */
bool pager_event(struct pager *p, struct extpager_event *ev, unsigned int ms)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
	uint64_t end = now_ms() + ms, now;

	while (!take_any(p, ev)) {
		now = now_ms();
		if (now >= end)
			return false;
		poll(&pfd, 1, end - now);
		if (pfd.revents & POLLHUP || now_ms() >= end)
			return false;
	}
	return true;
}

bool pager_expect(struct pager *p, unsigned int op, struct extpager_event *ev, unsigned int ms)
{
	return pager_event(p, ev, ms) && ev->op == op;
}

bool pager_silent(struct pager *p, unsigned int ms)
{
	struct extpager_event ev;

	return !pager_event(p, &ev, ms) && !take_any(p, &ev);
}

bool pager_event_on(struct pager *p, unsigned int queue, struct extpager_event *ev)
{
	return queue_take(&p->queue[queue], ev);
}

int pager_reply_on(struct pager *p, unsigned int queue, struct extpager_reply *re)
{
	struct extpager_enter enter = { .size = sizeof(enter), .queue = queue, .to_submit = 1 };
	struct queue *q = &p->queue[queue];
	struct extpager_reply *slot = &q->replies[q->reply_tail & q->kernel->reply_mask];
	int ret;

	*slot = *re;
	q->reply_tail++;
	__atomic_store_n(&q->user->reply_tail, q->reply_tail, __ATOMIC_RELEASE);
	ret = ioctl(p->fd, EXTPAGER_IOC_ENTER, &enter);
	if (ret != 1)
		return ret < 0 ? -errno : -EPROTO;
	re->out_done = slot->out_done;
	re->out_result = slot->out_result;
	return re->out_result;
}

int pager_reply(struct pager *p, struct extpager_reply *re)
{
	return pager_reply_on(p, 0, re);
}

struct extpager_reply reply_to(const struct extpager_event *ev, unsigned int op)
{
	return (struct extpager_reply){
		.op = op,
		.generation = ev->generation,
		.tag = ev->tag,
		.object = ev->object,
	};
}

int pager_ready(struct pager *p, const struct extpager_event *ev, unsigned int error,
		unsigned int attributes)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_READY);

	re.error = error;
	re.attributes = attributes;
	return pager_reply(p, &re);
}

int pager_supply_part(struct pager *p, const struct extpager_event *ev, uint64_t seed,
		      uint64_t offset, uint64_t length)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_SUPPLY);
	uint64_t i;

	for (i = 0; i * PAGE < length; i++)
		fill_page((char *)p->buffer + i * PAGE, seed, offset / PAGE + i);
	re.offset = offset;
	re.length = length;
	re.addr = (uintptr_t)p->buffer;
	return pager_reply(p, &re);
}

int pager_supply(struct pager *p, const struct extpager_event *ev, uint64_t seed)
{
	return pager_supply_part(p, ev, seed, ev->offset, ev->length);
}

int pager_supply_zero(struct pager *p, const struct extpager_event *ev)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_SUPPLY);

	re.flags = EXTPAGER_REF_ZERO;
	re.offset = ev->offset;
	re.length = ev->length;
	return pager_reply(p, &re);
}

int pager_register(struct pager *p, int fd)
{
	struct extpager_register r = { .size = sizeof(r), .fd = fd };

	return ioctl(p->fd, EXTPAGER_IOC_REGISTER, &r) ? -errno : (int)r.out_file;
}

int pager_unregister(struct pager *p, unsigned int file)
{
	struct extpager_unregister u = { .size = sizeof(u), .file = file };

	return ioctl(p->fd, EXTPAGER_IOC_UNREGISTER, &u) ? -errno : 0;
}

/* All of it, where the file has what begins at @base. */
static int reply_by_file(struct pager *p, const struct extpager_event *ev, unsigned int op,
			 unsigned int file, uint64_t base)
{
	struct extpager_reply re = reply_to(ev, op);

	re.flags = EXTPAGER_REF_FILE;
	re.file = file;
	re.offset = ev->offset;
	re.length = ev->length;
	re.addr = base + ev->offset;
	return pager_reply(p, &re);
}

int pager_supply_file(struct pager *p, const struct extpager_event *ev, unsigned int file,
		      uint64_t base)
{
	return reply_by_file(p, ev, EXTPAGER_RE_SUPPLY, file, base);
}

int pager_delegate(struct pager *p, uint64_t object, uint32_t generation, unsigned int flags,
		   const struct extpager_range *ranges, unsigned int nr)
{
	struct extpager_delegate d = {
		.size = sizeof(d),
		.flags = flags,
		.object = object,
		.ranges = (uintptr_t)ranges,
		.nr_ranges = nr,
		.generation = generation,
	};

	return ioctl(p->fd, EXTPAGER_IOC_DELEGATE, &d) ? -errno : 0;
}

int pager_error(struct pager *p, const struct extpager_event *ev, uint64_t offset,
		uint64_t length, unsigned int error)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_ERROR);

	re.offset = offset;
	re.length = length;
	re.error = error;
	return pager_reply(p, &re);
}

int pager_push(struct pager *p, uint64_t object, uint32_t generation, uint64_t seed,
	       uint64_t offset, uint64_t length, uint32_t *done)
{
	struct extpager_event ev = { .object = object, .generation = generation };
	struct extpager_reply re = reply_to(&ev, EXTPAGER_RE_SUPPLY);
	uint64_t i;
	int ret;

	for (i = 0; i * PAGE < length; i++)
		fill_page((char *)p->buffer + i * PAGE, seed, offset / PAGE + i);
	re.offset = offset;
	re.length = length;
	re.addr = (uintptr_t)p->buffer;
	ret = pager_reply(p, &re);
	if (done)
		*done = re.out_done;
	return ret;
}

int pager_fetch(struct pager *p, const struct extpager_event *ev, void *buf)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_RETURN_FETCH);

	re.offset = ev->offset;
	re.length = ev->length;
	re.addr = (uintptr_t)buf;
	return pager_reply(p, &re);
}

int pager_return_done(struct pager *p, const struct extpager_event *ev, unsigned int error)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_RETURN_DONE);

	re.error = error;
	return pager_reply(p, &re);
}

int pager_return_file(struct pager *p, const struct extpager_event *ev, unsigned int file,
		      uint64_t base)
{
	return reply_by_file(p, ev, EXTPAGER_RE_RETURN_DONE, file, base);
}

int pager_sync_done(struct pager *p, const struct extpager_event *ev, unsigned int error)
{
	struct extpager_reply re = reply_to(ev, EXTPAGER_RE_SYNC_DONE);

	re.error = error;
	return pager_reply(p, &re);
}
