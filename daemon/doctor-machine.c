// SPDX-License-Identifier: GPL-2.0-only
/* pagerctl doctor: module, device, mount and pagerd. */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "version.h"

#define DEVICE		"/dev/extpager"
#define MOUNT		"/run/extpager/targets"
#define LOCK_PATH	"/run/extpager/pagerd/lock"
#define THP		"/sys/kernel/mm/transparent_hugepage/enabled"
#define OOM_PROTECTED	-900
#define EVERYBODY	0666

/* The first line of a file, without its end. Return: false if it cannot be read. */
static bool read_line(const char *path, char *text, size_t len)
{
	FILE *file = fopen(path, "re");
	bool ok = file && fgets(text, (int)len, file);

	if (file)
		fclose(file);
	if (ok)
		text[strcspn(text, "\n")] = '\0';
	return ok;
}

/* The first line of a file that has @word, from there on. */
static bool find_line(const char *path, const char *word, char *text, size_t len)
{
	FILE *file = fopen(path, "re");
	char line[4096], *at = NULL;

	while (file && !at && fgets(line, sizeof(line), file))
		at = strstr(line, word);
	if (file)
		fclose(file);
	if (!at)
		return false;
	at[strcspn(at, "\n")] = '\0';
	snprintf(text, len, "%s", at);
	return true;
}

/* ---- the module -------------------------------------------------------- */

static void no_module(void)
{
	char path[512], text[256], mend[512];
	struct utsname os;

	uname(&os);
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", os.release);
	if (!find_line(path, "extpager.ko", text, sizeof(text))) {
		snprintf(mend, sizeof(mend),
			 "apt install extpager-dkms linux-headers-%s, or dkms autoinstall if it is",
			 os.release);
		finding(PROBLEM, "module-installed", NULL, mend,
			"the module is not loaded, and not installed for this kernel, %s",
			os.release);
		return;
	}
	if (find_line("/sys/kernel/security/lockdown", "[integrity]", text, sizeof(text)) ||
	    find_line("/sys/kernel/security/lockdown", "[confidentiality]", text, sizeof(text)))
		finding(PROBLEM, "module-loaded", NULL,
			"sign it with a key that is enrolled (mokutil --import), then modprobe extpager",
			"the module is not loaded, and this kernel takes signed ones alone");
	else
		finding(PROBLEM, "module-loaded", NULL,
			"modprobe extpager; if that fails, dmesg says why",
			"the module is installed, but not loaded");
}

static void check_module(struct machine *m)
{
	char version[64];
	int ret = extpager_ctl_open(&m->ctl);

	if (ret) {
		m->ctl = NULL;
		if (ret == -ENOENT)
			no_module();
		else
			finding(PROBLEM, "netlink", NULL,
				"let this process open netlink sockets (RestrictAddressFamilies=, seccomp)",
				"the module cannot be talked to: %s", strerror(-ret));
		return;
	}
	if (read_line("/sys/module/extpager/version", version, sizeof(version)) &&
	    strcmp(version, EXTPAGER_VERSION))
		finding(PROBLEM, "module-version", NULL,
			"update the older of the two; to unload the module, delete its targets and stop pagerd",
			"the module that is loaded has version %s, pagerctl has " EXTPAGER_VERSION,
			version);
}

/* ---- the device and the mount ------------------------------------------ */

static void check_device(const struct machine *m)
{
	struct stat st;

	if (stat(DEVICE, &st)) {
		if (m->ctl)
			finding(PROBLEM, "device", NULL,
				"give this container the device, or see whether devtmpfs is mounted on /dev",
				"there is no " DEVICE ", though the module is loaded");
	} else if (!S_ISCHR(st.st_mode)) {
		finding(PROBLEM, "device", NULL, "rm " DEVICE "; rmmod extpager; modprobe extpager",
			DEVICE " is no device");
	} else if ((st.st_mode & EVERYBODY) != EVERYBODY) {
		finding(PROBLEM, "device-mode", NULL,
			"chmod 666 " DEVICE "; and look for a udev rule that changes it",
			DEVICE " has mode %03o: its targets have owners and modes of their own",
			st.st_mode & 0777);
	} else if (m->ctl) {
		int fd = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

		if (fd < 0 && errno != ENXIO)
			finding(PROBLEM, "device", NULL,
				"rm " DEVICE " if a leftover is in its place, or allow it (devices cgroup, DeviceAllow=)",
				DEVICE " cannot be opened: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
	}
}

static void check_mount(const struct machine *m)
{
	char text[64];

	if (m->ctl && !find_line("/proc/self/mountinfo", " - extpager ", text, sizeof(text)))
		finding(HINT, "mount", NULL,
			"systemctl start run-extpager-targets.mount, or mkdir -p " MOUNT
			" && mount -t extpager none " MOUNT,
			"targets have no paths: no file system of type extpager is mounted");
}

/* ---- pagerd ------------------------------------------------------------ */

/*
 * Whoever holds the lock lives. To try the lock could make a pagerd that starts
 * just now believe that there is another.
 */
static pid_t find_pagerd(void)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[256], inode[64];
	struct stat st;
	pid_t found = 0;
	int pid;

	if (!stat(LOCK_PATH, &st)) {
		snprintf(inode, sizeof(inode), " %02x:%02x:%lu ", major(st.st_dev),
			 minor(st.st_dev), (unsigned long)st.st_ino);
		while (locks && !found && fgets(line, sizeof(line), locks)) {
			if (strstr(line, inode) &&
			    sscanf(line, "%*d: FLOCK %*s %*s %d", &pid) == 1)
				found = pid > 0 ? pid : -1;
		}
	}
	if (locks)
		fclose(locks);
	return found;
}

static void check_limits(pid_t pid)
{
	char path[64], text[256];
	int score;

	snprintf(path, sizeof(path), "/proc/%d/limits", (int)pid);
	if (find_line(path, "Max locked memory", text, sizeof(text)) &&
	    !strstr(text, "unlimited")) {
		snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
		if (find_line(path, "VmLck:", text, sizeof(text)) && !atoi(text + strlen("VmLck:")))
			finding(HINT, "memlock", NULL,
				"set LimitMEMLOCK=infinity in a drop-in of pagerd.service (or ulimit -l unlimited) and restart it",
				"pagerd's memory is not locked: when memory is short it may have to wait for itself");
	}
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
	if (read_line(path, text, sizeof(text))) {
		score = atoi(text);
		if (score > OOM_PROTECTED)
			finding(HINT, "oom", NULL,
				"set OOMScoreAdjust=-1000 in a drop-in of pagerd.service and restart it",
				"pagerd may be killed when memory is short: its oom_score_adj is %d",
				score);
	}
}

static int count_alive(const struct extpager_port_info *info, void *arg)
{
	*(unsigned int *)arg += info->alive;
	return 0;
}

static void check_pagerd(struct machine *m)
{
	char text[16];
	unsigned int ports = 0;

	m->pagerd = find_pagerd();
	if (!m->pagerd && read_line("/proc/sys/kernel/io_uring_disabled", text, sizeof(text)) &&
	    atoi(text))
		finding(PROBLEM, "io-uring", NULL, "sysctl kernel.io_uring_disabled=0",
			"pagerd needs io_uring, which is disabled here");
	if (m->pagerd > 0)
		check_limits(m->pagerd);
	if (m->pagerd && m->ctl && !extpager_port_list(m->ctl, count_alive, &ports) && !ports)
		finding(PROBLEM, "pagerd-port", NULL,
			"journalctl -u pagerd says why; then systemctl restart pagerd",
			"pagerd runs, but has no port with the module");
}

/* ---- large pages ------------------------------------------------------- */

static void check_thp(const struct machine *m)
{
	char path[512], text[64];
	struct utsname os;

	uname(&os);
	snprintf(path, sizeof(path), "/boot/config-%s", os.release);
	if (m->ctl && find_line(THP, "[always]", text, sizeof(text)) &&
	    find_line(path, "CONFIG_READ_ONLY_THP_FOR_FS=y", text, sizeof(text)))
		finding(HINT, "thp", NULL, "echo madvise > " THP ", if that is too much",
			"large pages are always made: of a program that runs from a target whole 2 MiB may be read");
}

void check_machine(struct machine *m)
{
	m->privileged = !geteuid();
	check_module(m);
	check_device(m);
	check_mount(m);
	check_pagerd(m);
	check_thp(m);
	if (!m->privileged)
		finding(HINT, "root", NULL, "run it as root",
			"not all can be seen: neither stores nor limits of pagerd");
}
