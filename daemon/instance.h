/* SPDX-License-Identifier: GPL-2.0-only */
/* One pagerd at a time, unless each has its own targets. */
#ifndef PAGERD_INSTANCE_H
#define PAGERD_INSTANCE_H

#include <stdbool.h>

/**
 * instance_claim - see that no other pagerd is in the way
 * @shared: serves --only some targets, and so bears others that do, too
 *
 * Return: 0; -EBUSY, and the reason was logged. The claim ends with the process.
 */
int instance_claim(bool shared);

#endif /* PAGERD_INSTANCE_H */
