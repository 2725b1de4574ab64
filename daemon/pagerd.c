// SPDX-License-Identifier: GPL-2.0-only
/*
 * pagerd: serves the targets that name a store. This file is its life: start,
 * the control loop, the end.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <extpager.h>

#include "control.h"
#include "instance.h"
#include "log.h"
#include "notify.h"
#include "options.h"
#include "permanent.h"
#include "protect.h"
#include "queue.h"
#include "shutdown.h"
#include "watchdog.h"

/* Something is missing, or in the way, that a restart would not mend. */
#define EXIT_HOPELESS		3
/* What the queue threads get to end what they have in flight. */
#define DRAIN_MS		2000
#define STOP_MARGIN_MS		5000
/* How long a predecessor may need to die. */
#define TAKE_OVER_MS		1000
#define TAKE_OVER_STEP_MS	10

/* The port that a predecessor left with the service manager. */
static int take_port_over(struct extpager **port, const struct options *o, struct queue *queues)
{
	struct extpager_params params = {
		.size = sizeof(params),
		.flags = EXTPAGER_PORT_LARGE,
	};
	int tries = TAKE_OVER_MS / TAKE_OVER_STEP_MS, ret;

	params.port_fd = notify_stored_port();
	if (params.port_fd < 0)
		return -ENOENT;
	/* It is ours when the predecessor's memory is gone, which may lag behind it. */
	while ((ret = extpager_open(port, &params, &queue_ops, queues)) == -EBUSY && tries--) {
		struct timespec pause = { .tv_nsec = TAKE_OVER_STEP_MS * 1000000L };

		nanosleep(&pause, NULL);
	}
	if (ret) {
		close(params.port_fd);
		log_warn("the port of an earlier pagerd is not taken over: %s", strerror(-ret));
	} else if (extpager_nr_queues(*port) != o->nr_queues) {
		log_info("the port of an earlier pagerd has %u queues: a new one is made",
			 extpager_nr_queues(*port));
		extpager_close(*port);
		ret = -EINVAL;
	} else {
		log_info("took over the port of an earlier pagerd");
		return 0;
	}
	notify_drop_port();
	return ret;
}

static int open_port(struct extpager **port, const struct options *o, struct queue *queues)
{
	struct extpager_params params = {
		.size = sizeof(params),
		.nr_queues = o->nr_queues,
		.flags = EXTPAGER_PORT_LARGE,
	};
	int ret = take_port_over(port, o, queues);

	if (ret)
		ret = extpager_open(port, &params, &queue_ops, queues);
	switch (ret) {
	case 0:
		notify_store_port(extpager_fd(*port));
		break;
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		log_err("there is no /dev/extpager: modprobe extpager, or give this container the device");
		break;
	case -EPERM:
	case -EACCES:
		log_err("may not be a pager: needs CAP_SYS_ADMIN, or to be some target's --pager-uid");
		break;
	case -EPROTONOSUPPORT:
		log_err("the loaded extpager module speaks another version of the protocol: update one of them");
		break;
	default:
		log_err("cannot open a port: %s", strerror(-ret));
	}
	return ret;
}

/* Of what open_port() returns. */
static bool is_hopeless(int error)
{
	switch (error) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
	case -EPERM:
	case -EACCES:
	case -EPROTONOSUPPORT:
		return true;
	default:
		return false;
	}
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The service manager wants the time of the order, lest it takes an older answer. */
static void reload(struct control *c, struct options *o)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	notify("RELOADING=1\nMONOTONIC_USEC=%lld",
	       (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
	log_info("reading the configuration anew");
	options_reload(o);
	log_init(o->verbose);
	permanent_load(c, o->config_root);
	control_sync(c);
	log_info("read");
	notify("READY=1");
}

/* The sooner of two; -1 is never. */
static int sooner(int one, int other)
{
	if (one < 0 || other < 0)
		return one < 0 ? other : one;
	return one < other ? one : other;
}

/* Return: the signal that came, 0 for none. */
static int take_signal(int signal_fd)
{
	struct signalfd_siginfo info;

	return read(signal_fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

/* Until a signal says so, or a queue thread fails. Return: 0 or -EIO. */
static int control_loop(struct control *c, struct options *o, int signal_fd, int notes_fd)
{
	struct pollfd fds[] = {
		{ .fd = signal_fd, .events = POLLIN },
		{ .fd = queues_failed_fd(), .events = POLLIN },
		{ .fd = extpager_ctl_fd(c->events), .events = POLLIN },
		{ .fd = notes_fd, .events = POLLIN },
	};

	for (;;) {
		int ret = poll(fds, sizeof(fds) / sizeof(fds[0]),
			       sooner(control_timeout(), permanent_timeout()));
		int sig = 0;

		if (ret < 0 && errno != EINTR)
			return -EIO;
		if (ret < 0)
			continue;
		if (fds[0].revents)
			sig = take_signal(signal_fd);
		if (sig == SIGHUP)
			reload(c, o);
		else if (sig)
			return 0;
		if (fds[1].revents)
			return -EIO;
		if (fds[3].revents)
			control_notes();
		if (fds[2].revents)
			control_events(c);
		if (!ret) {
			permanent_retry(c);
			control_sync(c);
		}
	}
}

static int serve(struct options *o, int signal_fd, int notes_fd)
{
	struct queue *queues = queues_alloc(o->nr_queues);
	struct extpager *port;
	struct control control;
	int ret;

	if (!queues)
		return EXIT_FAILURE;
	ret = open_port(&port, o, queues);
	if (ret)
		return is_hopeless(ret) ? EXIT_HOPELESS : EXIT_FAILURE;
	protect_process(o->lock_memory);
	ret = control_init(&control, port, o);
	if (ret) {
		log_err("cannot ask for targets: %s", strerror(-ret));
		return EXIT_FAILURE;
	}
	ret = queues_start(queues, port);
	if (!ret)
		ret = watchdog_start(queues, extpager_nr_queues(port));
	if (ret) {
		log_err("cannot start threads: %s", strerror(-ret));
		return EXIT_FAILURE;
	}
	log_info("port %u, %u queues", extpager_port(port), extpager_nr_queues(port));
	permanent_load(&control, o->config_root);
	control_sync(&control);
	notify("READY=1");

	ret = control_loop(&control, o, signal_fd, notes_fd);
	notify("STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu",
	       1000ULL * (o->shutdown_ms + 2 * DRAIN_MS + STOP_MARGIN_MS));
	if (ret)
		return EXIT_FAILURE;

	log_info("stopping: writing back for %u ms at most", o->shutdown_ms);
	shutdown_flush(&control, o->shutdown_ms);
	watchdog_stop();
	if (queues_stop(queues, extpager_nr_queues(port), DRAIN_MS) ||
	    shutdown_writes(&control, DRAIN_MS)) {
		log_warn("some store does not answer: its operations are left to the kernel");
		return EXIT_SUCCESS;
	}
	permanent_free();
	control_exit(&control);
	extpager_close(port);
	free(queues);
	log_info("stopped");
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	int signal_fd, notes_fd, ret;
	struct options o;

	log_init(false);
	options_init(&o, argc, argv);
	log_init(o.verbose);
	if (instance_claim(!!o.only))
		return EXIT_HOPELESS;
	signal_fd = open_signals();
	notes_fd = target_table_init();
	if (signal_fd < 0 || notes_fd < 0) {
		log_err("cannot start: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	/* Exit ends whatever threads are left: nothing waits for them. */
	ret = serve(&o, signal_fd, notes_fd);
	options_free(&o);
	return ret;
}
