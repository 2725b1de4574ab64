// SPDX-License-Identifier: GPL-2.0-only
/* One table: an option of the command line is a key of the file. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "log.h"
#include "setting.h"
#include "units.h"
#include "version.h"

#define CONF_NAME		"pagerd.conf"
#define SECTION			"pagerd"
#define DEFAULT_QUEUES_MAX	8
#define QUEUES_MAX		64

enum {
	EXIT_USAGE = 2,
};

static const char help[] =
"Usage: pagerd [options]\n"
"\n"
"Serves extpager's targets that name a store: block:, nvme:, file:, zero:, mem:.\n"
"Targets are made with pagerctl(8), or by files: see pagerd.conf(5).\n"
"\n"
"  --only NAME,...           serve these targets only; may be repeated\n"
"  --queues N                threads, 1 to 64 (default: one per CPU, 8 at most)\n"
"  --shutdown-timeout TIME   longest write-back at the end (default: 10s)\n"
"  --no-mlock                do not lock memory\n"
"  --no-delegate             be asked for each page of devices, too\n"
"  --no-kernel-reads         read and write stores here, not in the kernel\n"
"  --verbose                 say more\n"
"  --config-root DIR         look for etc, run and usr/lib below DIR\n"
"  --foreground              stay in the foreground (always the case)\n"
"  --version                 print the version\n"
"  --help                    print this text\n"
"\n"
"The first seven are also keys of /etc/extpager/pagerd.conf, section [pagerd]:\n"
"only, queues, shutdown-timeout, mlock, delegate, kernel-reads, verbose. The\n"
"command line wins.\n"
"Targets are added as /etc/extpager/targets.d/NAME.conf say, at start and SIGHUP.\n";

/* ---- the table --------------------------------------------------------- */

static int __attribute__((format(printf, 3, 4)))
refuse(char *why, size_t len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int set_only(struct options *o, const char *text, char *why, size_t len)
{
	char *names = strdup(text), *name, *rest;
	size_t nr = 0;

	while (o->only && o->only[nr])
		nr++;
	for (name = names ? strtok_r(names, ", ", &rest) : NULL; name;
	     name = strtok_r(NULL, ", ", &rest)) {
		o->only = reallocarray(o->only, nr + 2, sizeof(*o->only));
		if (!o->only)
			exit(EXIT_FAILURE);
		o->only[nr++] = strdup(name);
		o->only[nr] = NULL;
	}
	free(names);
	return nr ? 0 : refuse(why, len, "'%s' names no target", text);
}

static int set_queues(struct options *o, const char *text, char *why, size_t len)
{
	unsigned long nr;
	char *end;

	errno = 0;
	nr = strtoul(text, &end, 10);
	if (errno || *end || end == text || !nr || nr > QUEUES_MAX)
		return refuse(why, len, "'%s' is not 1 to %d", text, QUEUES_MAX);
	o->nr_queues = (unsigned int)nr;
	return 0;
}

static int set_shutdown(struct options *o, const char *text, char *why, size_t len)
{
	if (units_parse_time(text, &o->shutdown_ms))
		return refuse(why, len, "'%s' is no time; write it as 500ms, 10s or 1m", text);
	return 0;
}

static int set_flag(bool *flag, const char *text, char *why, size_t len)
{
	if (setting_parse_flag(text, flag))
		return refuse(why, len, "'%s' is neither yes nor no", text);
	return 0;
}

static int set_mlock(struct options *o, const char *text, char *why, size_t len)
{
	return set_flag(&o->lock_memory, text, why, len);
}

static int set_delegate(struct options *o, const char *text, char *why, size_t len)
{
	return set_flag(&o->delegate, text, why, len);
}

static int set_kernel_reads(struct options *o, const char *text, char *why, size_t len)
{
	return set_flag(&o->kernel_reads, text, why, len);
}

static int set_verbose(struct options *o, const char *text, char *why, size_t len)
{
	return set_flag(&o->verbose, text, why, len);
}

static const struct key {
	const char *name;
	int (*set)(struct options *o, const char *text, char *why, size_t len);
} keys[] = {
	{ "only", set_only },
	{ "queues", set_queues },
	{ "shutdown-timeout", set_shutdown },
	{ "mlock", set_mlock },
	{ "delegate", set_delegate },
	{ "kernel-reads", set_kernel_reads },
	{ "verbose", set_verbose },
};

#define NR_KEYS		(sizeof(keys) / sizeof(keys[0]))

static const struct key *find_key(const char *name)
{
	size_t i;

	for (i = 0; i < NR_KEYS; i++) {
		if (!strcmp(keys[i].name, name))
			return &keys[i];
	}
	return NULL;
}

/* ---- the command line -------------------------------------------------- */

static void __attribute__((noreturn, format(printf, 1, 2)))
usage(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "pagerd: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; see `pagerd --help`\n");
	exit(EXIT_USAGE);
}

static void give(struct options *o, const char *name, const char *text)
{
	const struct key *key = find_key(name);
	char why[512];

	if (key->set(o, text, why, sizeof(why)))
		usage("--%s: %s", name, why);
	o->given |= 1U << (key - keys);
}

static void parse_command_line(struct options *o, int argc, char **argv)
{
	enum {
		OPT_KEY = 256, OPT_NO_MLOCK, OPT_NO_DELEGATE, OPT_NO_READS, OPT_VERBOSE, OPT_ROOT,
		OPT_FOREGROUND, OPT_VERSION,
	};
	static const struct option longs[] = {
		{ "only", required_argument, NULL, OPT_KEY },
		{ "queues", required_argument, NULL, OPT_KEY },
		{ "shutdown-timeout", required_argument, NULL, OPT_KEY },
		{ "no-mlock", no_argument, NULL, OPT_NO_MLOCK },
		{ "no-delegate", no_argument, NULL, OPT_NO_DELEGATE },
		{ "no-kernel-reads", no_argument, NULL, OPT_NO_READS },
		{ "verbose", no_argument, NULL, OPT_VERBOSE },
		{ "config-root", required_argument, NULL, OPT_ROOT },
		{ "foreground", no_argument, NULL, OPT_FOREGROUND },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int opt, index;

	while ((opt = getopt_long(argc, argv, "vh", longs, &index)) != -1) {
		switch (opt) {
		case OPT_KEY:
			give(o, longs[index].name, optarg);
			break;
		case OPT_NO_MLOCK:
			give(o, "mlock", "no");
			break;
		case OPT_NO_DELEGATE:
			give(o, "delegate", "no");
			break;
		case OPT_NO_READS:
			give(o, "kernel-reads", "no");
			break;
		case 'v':
		case OPT_VERBOSE:
			give(o, "verbose", "yes");
			break;
		case OPT_ROOT:
			o->config_root = optarg;
			break;
		case OPT_FOREGROUND:
			break;
		case OPT_VERSION:
			printf("pagerd %s\n", EXTPAGER_VERSION);
			exit(EXIT_SUCCESS);
		case 'h':
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

/* ---- the file ---------------------------------------------------------- */

struct reading {
	struct options *o;
	unsigned int seen;
};

static int take(const struct conf_line *line, void *arg, char *why, size_t len)
{
	const struct key *key = find_key(line->key);
	struct reading *r = arg;
	char detail[512];
	unsigned int bit;

	if (!key)
		return refuse(why, len, "there is no option '%s'", line->key);
	bit = 1U << (key - keys);
	if (r->seen & bit)
		return refuse(why, len, "'%s' is said twice", key->name);
	r->seen |= bit;
	if (r->o->given & bit)
		return 0;
	if (key->set(r->o, line->value, detail, sizeof(detail)))
		return refuse(why, len, "%s: %s", key->name, detail);
	return 0;
}

static void complain(const char *path, unsigned int line, const char *text, void *arg)
{
	(void)arg;
	if (line)
		log_err("%s:%u: %s: this line is left out", path, line, text);
	else
		log_err("%s: %s", path, text);
}

static void read_conf(struct options *o)
{
	struct reading reading = { .o = o };
	const struct conf_reader reader = {
		.section = SECTION, .take = take, .complain = complain, .arg = &reading,
	};
	char path[PATH_MAX];

	if (!conf_find(o->config_root, CONF_NAME, path))
		conf_read(path, &reader);
}

/* ---- both -------------------------------------------------------------- */

static unsigned int default_queues(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (cpus < 1)
		return 1;
	return cpus > DEFAULT_QUEUES_MAX ? DEFAULT_QUEUES_MAX : (unsigned int)cpus;
}

static void set_defaults(struct options *o)
{
	memset(o, 0, sizeof(*o));
	o->nr_queues = default_queues();
	o->lock_memory = true;
	o->kernel_reads = true;
	o->delegate = true;
	o->shutdown_ms = 10000;
	o->config_root = "";
}

void options_init(struct options *o, int argc, char **argv)
{
	set_defaults(o);
	o->argc = argc;
	o->argv = argv;
	parse_command_line(o, argc, argv);
	read_conf(o);
}

static bool same_names(char **a, char **b)
{
	if (!a || !b)
		return a == b;
	while (*a && *b && !strcmp(*a, *b)) {
		a++;
		b++;
	}
	return !*a && !*b;
}

void options_reload(struct options *o)
{
	struct options now;

	/* All over again. */
	optind = 0;
	options_init(&now, o->argc, o->argv);
	o->shutdown_ms = now.shutdown_ms;
	o->verbose = now.verbose;
	if (now.nr_queues != o->nr_queues || now.lock_memory != o->lock_memory ||
	    now.kernel_reads != o->kernel_reads || now.delegate != o->delegate ||
	    !same_names(now.only, o->only))
		log_warn(CONF_NAME ": queues, mlock, delegate, kernel-reads and only are taken at start: restart pagerd for what has changed");
	options_free(&now);
}

void options_free(struct options *o)
{
	size_t i;

	for (i = 0; o->only && o->only[i]; i++)
		free(o->only[i]);
	free(o->only);
	o->only = NULL;
}
