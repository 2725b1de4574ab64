// SPDX-License-Identifier: GPL-2.0-only
/*
 * The queue threads. With nothing in flight a thread sleeps in ENTER, where
 * only events of its own queue wake it: those of its CPU, and what stands behind
 * another queue's busy thread. With I/O in flight it sleeps in its io_uring, which
 * also polls the port.
 */
#include "queue.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "protect.h"

#define ENGINE_ENTRIES	256
#define KICK_SIGNAL	SIGUSR1
#define KICK_MS		20
/* mlockall() locks whole stacks. */
#define STACK_BYTES	(256U << 10)

static int failed_fd = -1;

/* ---- Callbacks ---------------------------------------------------------- */

static struct jobs *jobs_of(void *user, const struct extpager_req *req)
{
	struct queue *queues = user;

	return &queues[extpager_req_queue(req)].jobs;
}

static void on_init(struct extpager *port, struct extpager_req *req, void *user)
{
	struct target *t = target_find(extpager_req_object(req));

	(void)port;
	(void)user;
	if (!t) {
		extpager_ready(req, EIO, 0);
		return;
	}
	target_hand_over(t, extpager_req_generation(req));
	extpager_ready(req, 0, EXTPAGER_MAY_CACHE);
	target_put(t);
}

static void on_data_request(struct extpager *port, struct extpager_req *req, void *user)
{
	(void)port;
	job_data_request(jobs_of(user, req), req);
}

static void on_data_return(struct extpager *port, struct extpager_req *req, void *user)
{
	(void)port;
	job_data_return(jobs_of(user, req), req);
}

static void on_sync(struct extpager *port, struct extpager_req *req, void *user)
{
	(void)port;
	job_sync(jobs_of(user, req), req);
}

struct extpager_ops queue_ops = {
	.size = sizeof(struct extpager_ops),
	.init = on_init,
	.data_request = on_data_request,
	.data_return = on_data_return,
	.sync = on_sync,
};

/* ---- Threads ------------------------------------------------------------ */

/* Only there to end a sleep with EINTR. */
static void on_kick(int sig)
{
	(void)sig;
}

/*
 * Events first, then completions. Answers to these are submitted when it comes back for
 * events, or by jobs_settle(). Return: 0 or -errno.
 */
static int queue_round(struct queue *q)
{
	int events = 0, ret;

	/* A stopping thread ends what it has; the rest is a successor's. */
	if (!atomic_load(&q->stop))
		events = extpager_dispatch(q->port, q->index, q->engine.in_flight ? 0 : -1);
	if (events < 0 && events != -EINTR)
		return events;
	ret = jobs_settle(&q->jobs);
	if (ret || !q->engine.in_flight)
		return ret;
	/* Nobody waits for an answer while this sleeps. */
	if (events <= 0)
		ret = extpager_submit(q->port, q->index);
	/* Its poll is armed before it sleeps, and finds what came since dispatch looked. */
	if (!ret)
		ret = engine_run(&q->engine, events <= 0);
	if (!ret || ret == -EINTR)
		ret = jobs_settle(&q->jobs);
	return ret;
}

static void *queue_main(void *arg)
{
	struct queue *q = arg;
	uint64_t one = 1;
	int ret;

	protect_thread();
	ret = engine_init(&q->engine, ENGINE_ENTRIES, extpager_fd(q->port));
	if (ret) {
		log_err("queue %u: io_uring: %s; is io_uring disabled (sysctl kernel.io_uring_disabled)?",
			q->index, strerror(-ret));
		goto failed;
	}
	extpager_defer(q->port, q->index);
	ret = jobs_init(&q->jobs, &q->engine, q->port, q->index);
	if (ret) {
		log_err("queue %u: no memory for buffers", q->index);
		goto failed;
	}
	while (!ret && (!atomic_load(&q->stop) || q->engine.in_flight)) {
		atomic_fetch_add_explicit(&q->rounds, 1, memory_order_relaxed);
		ret = queue_round(q);
	}
	if (!ret)
		ret = extpager_submit(q->port, q->index);
	if (!ret) {
		/* Which the jobs' buffers are lent to. */
		engine_exit(&q->engine);
		jobs_exit(&q->jobs);
		return NULL;
	}
	log_err("queue %u: %s", q->index, ret == -ESHUTDOWN ? "the port was taken over" :
		ret == -EPROTO ? "the rings were overwritten" : strerror(-ret));
failed:
	(void)!write(failed_fd, &one, sizeof(one));
	return NULL;
}

struct queue *queues_alloc(unsigned int nr)
{
	return calloc(nr, sizeof(struct queue));
}

int queues_start(struct queue *queues, struct extpager *port)
{
	struct sigaction kick = { .sa_handler = on_kick };
	unsigned int i, nr = extpager_nr_queues(port);
	pthread_attr_t attr;
	int ret = 0;

	failed_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (failed_fd < 0)
		return -errno;
	sigaction(KICK_SIGNAL, &kick, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (i = 0; i < nr && !ret; i++) {
		char name[16];

		queues[i].port = port;
		queues[i].index = i;
		ret = -pthread_create(&queues[i].thread, &attr, queue_main, &queues[i]);
		queues[i].started = !ret;
		snprintf(name, sizeof(name), "pagerd/%u", i % 1000);
		if (!ret)
			pthread_setname_np(queues[i].thread, name);
	}
	pthread_attr_destroy(&attr);
	return ret;
}

int queues_failed_fd(void)
{
	return failed_fd;
}

void queue_kick(struct queue *q)
{
	pthread_kill(q->thread, KICK_SIGNAL);
}

unsigned int queues_stop(struct queue *queues, unsigned int nr, unsigned int timeout_ms)
{
	unsigned int i, left, waited = 0;

	for (i = 0; i < nr; i++)
		atomic_store(&queues[i].stop, true);
	/* A kick that comes before the sleep is lost: repeat it. */
	for (;;) {
		struct timespec pause = { .tv_nsec = KICK_MS * 1000000L };

		left = 0;
		for (i = 0; i < nr; i++) {
			if (!queues[i].started)
				continue;
			if (!pthread_tryjoin_np(queues[i].thread, NULL)) {
				queues[i].started = false;
				continue;
			}
			queue_kick(&queues[i]);
			left++;
		}
		if (!left || waited >= timeout_ms)
			return left;
		nanosleep(&pause, NULL);
		waited += KICK_MS;
	}
}
