// SPDX-License-Identifier: LGPL-2.1-or-later
/* Structs that start with their size, so that they can grow. */
#include <errno.h>
#include <string.h>

#include "sized.h"

/**
 * xp_copy_sized - take a struct of a caller that is older or newer than we
 * @dst: ours, all of it is written; starts with a size_t size
 * @dst_size: its size
 * @src: the caller's
 * @src_size: the caller's size
 *
 * Return: 0, -EINVAL, or -E2BIG if the caller uses members we do not know.
 */
int xp_copy_sized(void *dst, size_t dst_size, const void *src, size_t src_size)
{
	const unsigned char *tail = src;

	if (src_size < sizeof(size_t))
		return -EINVAL;
	for (size_t i = dst_size; i < src_size; i++)
		if (tail[i])
			return -E2BIG;
	memset(dst, 0, dst_size);
	memcpy(dst, src, src_size < dst_size ? src_size : dst_size);
	return 0;
}
