// SPDX-License-Identifier: GPL-2.0-only
/*
 * pagerd: serves the targets that name a store. This file is its life: options,
 * start, the control loop, the end.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <extpager.h>

#include "control.h"
#include "instance.h"
#include "log.h"
#include "notify.h"
#include "protect.h"
#include "queue.h"
#include "shutdown.h"
#include "units.h"
#include "version.h"

#define DEFAULT_QUEUES_MAX	8
#define QUEUES_MAX		64
/* What the queue threads get to end what they have in flight. */
#define DRAIN_MS		2000

enum {
	EXIT_USAGE = 2,
};

struct options {
	unsigned int nr_queues;
	bool verbose;
	bool lock_memory;
	uint32_t shutdown_ms;
	char **only;
};

static const char help[] =
"Usage: pagerd [options]\n"
"\n"
"Serves the extpager targets that name a store: block:, nvme:, file:, zero:, mem:.\n"
"Targets are made with pagerctl(8).\n"
"\n"
"  --only NAME,...           serve these targets only; may be repeated\n"
"  --queues N                threads, 1 to 64 (default: one per CPU, 8 at most)\n"
"  --shutdown-timeout TIME   longest write-back at the end (default: 10s)\n"
"  --no-mlock                do not lock memory\n"
"  --foreground              stay in the foreground (always the case)\n"
"  --verbose                 say more\n"
"  --version                 print the version\n"
"  --help                    print this text\n";

static int usage(const char *fmt, const char *arg)
{
	fprintf(stderr, "pagerd: ");
	fprintf(stderr, fmt, arg);
	fprintf(stderr, "; see `pagerd --help`\n");
	exit(EXIT_USAGE);
}

static void add_only(struct options *o, char *names)
{
	size_t nr = 0;
	char *name;

	while (o->only && o->only[nr])
		nr++;
	for (name = strtok(names, ","); name; name = strtok(NULL, ",")) {
		o->only = realloc(o->only, (nr + 2) * sizeof(*o->only));
		if (!o->only)
			exit(EXIT_FAILURE);
		o->only[nr++] = name;
		o->only[nr] = NULL;
	}
	if (!nr)
		usage("%s names no target", "--only");
}

static unsigned int default_queues(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (cpus < 1)
		return 1;
	return cpus > DEFAULT_QUEUES_MAX ? DEFAULT_QUEUES_MAX : (unsigned int)cpus;
}

static void parse_options(int argc, char **argv, struct options *o)
{
	enum { OPT_ONLY = 256, OPT_QUEUES, OPT_SHUTDOWN, OPT_NO_MLOCK, OPT_FOREGROUND,
	       OPT_VERBOSE, OPT_VERSION, OPT_HELP };
	static const struct option longs[] = {
		{ "only", required_argument, NULL, OPT_ONLY },
		{ "queues", required_argument, NULL, OPT_QUEUES },
		{ "shutdown-timeout", required_argument, NULL, OPT_SHUTDOWN },
		{ "no-mlock", no_argument, NULL, OPT_NO_MLOCK },
		{ "foreground", no_argument, NULL, OPT_FOREGROUND },
		{ "verbose", no_argument, NULL, OPT_VERBOSE },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "help", no_argument, NULL, OPT_HELP },
		{ NULL, 0, NULL, 0 },
	};
	char *end;
	int opt;

	while ((opt = getopt_long(argc, argv, "vh", longs, NULL)) != -1) {
		switch (opt) {
		case OPT_ONLY:
			add_only(o, optarg);
			break;
		case OPT_QUEUES:
			errno = 0;
			o->nr_queues = (unsigned int)strtoul(optarg, &end, 10);
			if (errno || *end || end == optarg || !o->nr_queues ||
			    o->nr_queues > QUEUES_MAX)
				usage("--queues: '%s' is not 1 to 64", optarg);
			break;
		case OPT_SHUTDOWN:
			if (units_parse_time(optarg, &o->shutdown_ms))
				usage("--shutdown-timeout: '%s' is no time; write it as 500ms, 10s or 1m",
				      optarg);
			break;
		case OPT_NO_MLOCK:
			o->lock_memory = false;
			break;
		case OPT_FOREGROUND:
			break;
		case 'v':
		case OPT_VERBOSE:
			o->verbose = true;
			break;
		case OPT_VERSION:
			printf("pagerd %s\n", EXTPAGER_VERSION);
			exit(EXIT_SUCCESS);
		case 'h':
		case OPT_HELP:
			fputs(help, stdout);
			exit(EXIT_SUCCESS);
		default:
			fprintf(stderr, "See `pagerd --help`.\n");
			exit(EXIT_USAGE);
		}
	}
	if (optind < argc)
		usage("'%s' is one argument too many", argv[optind]);
}

static int open_port(struct extpager **port, const struct options *o, struct queue *queues)
{
	struct extpager_params params = {
		.size = sizeof(params),
		.nr_queues = o->nr_queues,
	};
	int ret = extpager_open(port, &params, &queue_ops, queues);

	switch (ret) {
	case 0:
		break;
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		log_err("extpager is not loaded: modprobe extpager");
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

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Until a signal, or a queue thread fails. Return: 0 or -EIO. */
static int control_loop(struct control *c, int signal_fd, int notes_fd)
{
	struct pollfd fds[] = {
		{ .fd = signal_fd, .events = POLLIN },
		{ .fd = queues_failed_fd(), .events = POLLIN },
		{ .fd = extpager_ctl_fd(c->events), .events = POLLIN },
		{ .fd = notes_fd, .events = POLLIN },
	};

	for (;;) {
		int ret = poll(fds, sizeof(fds) / sizeof(fds[0]), control_timeout());

		if (ret < 0 && errno != EINTR)
			return -EIO;
		if (ret < 0)
			continue;
		if (fds[0].revents)
			return 0;
		if (fds[1].revents)
			return -EIO;
		if (fds[3].revents)
			control_notes();
		if (fds[2].revents)
			control_events(c);
		if (!ret)
			control_sync(c);
	}
}

static int serve(const struct options *o, int signal_fd, int notes_fd)
{
	struct queue *queues = queues_alloc(o->nr_queues);
	struct extpager *port;
	struct control control;
	int ret;

	if (!queues || open_port(&port, o, queues))
		return EXIT_FAILURE;
	protect_process(o->lock_memory);
	ret = control_init(&control, port, o->only);
	if (ret) {
		log_err("cannot ask for targets: %s", strerror(-ret));
		return EXIT_FAILURE;
	}
	ret = queues_start(queues, port);
	if (ret) {
		log_err("cannot start threads: %s", strerror(-ret));
		return EXIT_FAILURE;
	}
	log_info("port %u, %u queues", extpager_port(port), extpager_nr_queues(port));
	control_sync(&control);
	notify("READY=1");

	ret = control_loop(&control, signal_fd, notes_fd);
	notify("STOPPING=1");
	if (ret)
		return EXIT_FAILURE;

	log_info("stopping: writing back for %u ms at most", o->shutdown_ms);
	shutdown_flush(&control, o->shutdown_ms);
	if (queues_stop(queues, extpager_nr_queues(port), DRAIN_MS)) {
		log_warn("some store does not answer: its operations are left to the kernel");
		return EXIT_SUCCESS;
	}
	control_exit(&control);
	extpager_close(port);
	free(queues);
	log_info("stopped");
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options o = {
		.nr_queues = default_queues(),
		.lock_memory = true,
		.shutdown_ms = 10000,
	};
	int signal_fd, notes_fd, ret;

	parse_options(argc, argv, &o);
	log_init(o.verbose);
	if (instance_claim(!!o.only))
		return EXIT_FAILURE;
	signal_fd = open_signals();
	notes_fd = target_table_init();
	if (signal_fd < 0 || notes_fd < 0) {
		log_err("cannot start: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	/* Exit ends whatever threads are left: nothing waits for them. */
	ret = serve(&o, signal_fd, notes_fd);
	free(o.only);
	return ret;
}
