// SPDX-License-Identifier: GPL-2.0-only
/* add-target NAME STORE: as a program does that does not ask what pagerd can read. */
#include <stdio.h>
#include <string.h>

#include <extpager.h>

int main(int argc, char **argv)
{
	struct extpager_target t = {
		.size = sizeof(t),
		.set = EXTPAGER_SET_BYTES | EXTPAGER_SET_STORE,
		.bytes = 1 << 20,
	};
	struct extpager_ctl *c;
	int ret;

	if (argc != 3)
		return 2;
	snprintf(t.name, sizeof(t.name), "%s", argv[1]);
	snprintf(t.store, sizeof(t.store), "%s", argv[2]);
	ret = extpager_ctl_open(&c);
	if (!ret) {
		ret = extpager_target_add(c, &t);
		extpager_ctl_close(c);
	}
	if (ret)
		fprintf(stderr, "%s: %s\n", t.name, strerror(-ret));
	return !!ret;
}
