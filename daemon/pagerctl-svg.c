// SPDX-License-Identifier: GPL-2.0-only
/*
 * pagerctl latency --svg: histograms drawn by gnuplot. It is given all by its
 * standard input and gives all by its standard output, so that no name that a
 * user chose is read as a command.
 */
#include "pagerctl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "histogram.h"

#define NO_GNUPLOT	127

/* One picture a sort of request, its phases beside each other. */
static bool same_picture(const struct extpager_stats *s, unsigned int i, unsigned int j)
{
	return !strcmp(s->latency[i].request, s->latency[j].request);
}

static bool begins_picture(const struct extpager_stats *s, unsigned int i)
{
	unsigned int j;

	for (j = 0; j < i && !same_picture(s, i, j); j++)
		;
	return j == i;
}

static void plot_data(FILE *out, const struct extpager_stats *s, unsigned int first,
		      unsigned int from, unsigned int to)
{
	char bound[HISTOGRAM_TEXT];
	unsigned int i, bucket;

	fprintf(out, "$data%u << END\n\"\"", first);
	for (i = first; i < s->nr_latencies; i++) {
		if (same_picture(s, first, i))
			fprintf(out, " \"%s\"", s->latency[i].phase);
	}
	fprintf(out, "\n");
	for (bucket = from; bucket < to; bucket++) {
		fprintf(out, "\"%s\"", histogram_bound(bucket, bound));
		for (i = first; i < s->nr_latencies; i++) {
			if (same_picture(s, first, i))
				fprintf(out, " %" PRIu64, s->latency[i].bucket[bucket]);
		}
		fprintf(out, "\n");
	}
	fprintf(out, "END\n");
}

static void plot_request(FILE *out, const struct extpager_stats *s, unsigned int first)
{
	unsigned int from = UINT32_MAX, to = 0, columns = 0, i, begin, end;

	for (i = first; i < s->nr_latencies; i++) {
		if (!same_picture(s, first, i))
			continue;
		histogram_range(&s->latency[i], &begin, &end);
		from = begin < from ? begin : from;
		to = end > to ? end : to;
		columns++;
	}
	plot_data(out, s, first, from, to);
	fprintf(out, "set title '%s of %s'\n", s->latency[first].request,
		s->target[0] ? s->target : "unnamed objects");
	fprintf(out, "plot for [i=2:%u] $data%u using i:xtic(1) title columnheader(i)\n",
		columns + 1, first);
}

static void plot(FILE *out, const struct extpager_stats *s)
{
	unsigned int i, pictures = 0;

	for (i = 0; i < s->nr_latencies; i++)
		pictures += begins_picture(s, i);
	fprintf(out,
		"set terminal svg noenhanced size 900,%u background '#ffffff'\n"
		"set multiplot layout %u,1\n"
		"set style data histograms\n"
		"set style histogram clustered gap 1\n"
		"set style fill solid 0.8 noborder\n"
		"set grid ytics\n"
		"set xtics out nomirror rotate by -45\n"
		"set ytics out nomirror\n"
		"set yrange [0:*]\n"
		"set xlabel 'from, each up to the next'\n"
		"set ylabel 'requests'\n"
		"set key outside right top\n", 60 + 320 * pictures, pictures);
	for (i = 0; i < s->nr_latencies; i++) {
		if (begins_picture(s, i))
			plot_request(out, s, i);
	}
	fprintf(out, "unset multiplot\n");
}

/* The child: gnuplot from @in to @out. */
static void run_gnuplot(int in, int out)
{
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	execlp("gnuplot", "gnuplot", "-", NULL);
	_exit(NO_GNUPLOT);
}

/* Return: gnuplot's exit status, or -1. */
static int draw(const struct extpager_stats *s, int out)
{
	int pipes[2], status;
	FILE *script;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid)
		run_gnuplot(pipes[0], out);
	close(pipes[0]);
	script = fdopen(pipes[1], "w");
	if (pid < 0 || !script)
		return -1;
	/* It may be gone: its status tells more. */
	signal(SIGPIPE, SIG_IGN);
	plot(script, s);
	fclose(script);
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int latency_svg(const struct extpager_stats *s, const char *file)
{
	struct stat st;
	char *fresh;
	int fd, ret;

	if (!s->nr_latencies)
		return fail("target '%s': there is nothing to draw: no request was answered yet",
			    s->target);
	/* Beside the file, which stays as it is if this fails. */
	if (asprintf(&fresh, "%s.XXXXXX", file) < 0)
		return fail("no memory");
	fd = mkostemp(fresh, O_CLOEXEC);
	if (fd < 0) {
		ret = fail("%s: %s", file, strerror(errno));
		free(fresh);
		return ret;
	}
	ret = draw(s, fd);
	if (ret == NO_GNUPLOT)
		ret = fail("there is no gnuplot: apt install gnuplot-nox");
	else if (ret || fstat(fd, &st) || !st.st_size)
		ret = fail("%s: gnuplot failed", file);
	else if (fchmod(fd, 0666 & ~umask(0)) || rename(fresh, file))
		ret = fail("%s: %s", file, strerror(errno));
	if (ret)
		unlink(fresh);
	close(fd);
	free(fresh);
	return ret;
}
