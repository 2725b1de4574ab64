/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Structs that start with their size, so that they can grow. */
#ifndef XP_SIZED_H
#define XP_SIZED_H

#include <stddef.h>

int xp_copy_sized(void *dst, size_t dst_size, const void *src, size_t src_size);

#endif /* XP_SIZED_H */
