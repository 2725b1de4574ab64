// SPDX-License-Identifier: GPL-2.0-only
/* Memory locking, OOM protection and the I/O flusher state. */
#include "protect.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

static bool have_cap(unsigned int cap)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data))
		return false;
	return data[cap / 32].effective & (1U << (cap % 32));
}

static void lock_all(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	/*
	 * With a limit that counts, MCL_FUTURE would make some later mmap or
	 * thread start fail: worse than memory that is not locked.
	 */
	if (setrlimit(RLIMIT_MEMLOCK, &limit) && !have_cap(CAP_IPC_LOCK) &&
	    (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur != RLIM_INFINITY)) {
		log_warn("memory is not locked: RLIMIT_MEMLOCK is limited; set LimitMEMLOCK=infinity or --no-mlock");
		return;
	}
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		log_warn("memory is not locked: mlockall: %s", strerror(errno));
}

static void oom_protect(void)
{
	static const char score[] = "-1000";
	int fd;

	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, score, sizeof(score) - 1) < 0)
		log_warn("not protected from the OOM killer: oom_score_adj: %s; set OOMScoreAdjust=-1000",
			 strerror(errno));
	if (fd >= 0)
		close(fd);
}

void protect_process(bool lock_memory)
{
	oom_protect();
	if (lock_memory)
		lock_all();
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		log_warn("not an I/O flusher: PR_SET_IO_FLUSHER: %s; grant CAP_SYS_RESOURCE",
			 strerror(errno));
}

void protect_thread(void)
{
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}
