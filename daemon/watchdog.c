// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thread with nothing to do sleeps for as long as nothing comes, so it is
 * woken to show that it lives: each round of its loop counts.
 */
#include "watchdog.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "notify.h"

/* A wake-up may be lost, and the manager may be late: so often a period. */
#define LOOKS		4
#define STACK_BYTES	(64U << 10)

static struct {
	struct queue *queues;
	unsigned int nr;
	unsigned int *last;
	int look_ms;
	int stop_fd;
	bool started;
	pthread_t thread;
} dog;

/* Note how far they are, and wake them. */
static void whistle(void)
{
	unsigned int i;

	for (i = 0; i < dog.nr; i++) {
		dog.last[i] = atomic_load(&dog.queues[i].rounds);
		queue_kick(&dog.queues[i]);
	}
}

static bool all_came(void)
{
	unsigned int i;

	for (i = 0; i < dog.nr; i++) {
		if (atomic_load(&dog.queues[i].rounds) == dog.last[i])
			return false;
	}
	return true;
}

static void *watchdog_main(void *arg)
{
	struct pollfd stop = { .fd = dog.stop_fd, .events = POLLIN };

	(void)arg;
	for (;;) {
		whistle();
		if (poll(&stop, 1, dog.look_ms) > 0)
			return NULL;
		if (all_came())
			notify("WATCHDOG=1");
	}
}

int watchdog_start(struct queue *queues, unsigned int nr)
{
	uint64_t look_ms = notify_watchdog_usec() / 1000 / LOOKS;
	pthread_attr_t attr;
	int ret;

	if (!look_ms)
		return 0;
	dog.queues = queues;
	dog.nr = nr;
	dog.look_ms = look_ms > INT_MAX ? INT_MAX : (int)look_ms;
	dog.last = calloc(nr, sizeof(*dog.last));
	dog.stop_fd = eventfd(0, EFD_CLOEXEC);
	if (!dog.last || dog.stop_fd < 0)
		return -ENOMEM;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	ret = -pthread_create(&dog.thread, &attr, watchdog_main, NULL);
	pthread_attr_destroy(&attr);
	dog.started = !ret;
	if (!ret)
		pthread_setname_np(dog.thread, "pagerd/watchdog");
	return ret;
}

void watchdog_stop(void)
{
	uint64_t one = 1;

	if (!dog.started)
		return;
	(void)!write(dog.stop_fd, &one, sizeof(one));
	pthread_join(dog.thread, NULL);
	dog.started = false;
	close(dog.stop_fd);
	free(dog.last);
}
