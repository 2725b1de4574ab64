/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Store URIs: scheme:path?option=value&... Shared by pagerd, which opens
 * stores, and pagerctl, which tells mistakes before the kernel has the target.
 */
#ifndef EXTPAGER_URI_H
#define EXTPAGER_URI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_URI_MAX	1024

enum store_kind {
	STORE_BLOCK = 1,
	STORE_NVME,
	STORE_FILE,
	STORE_ZERO,
	STORE_MEM,
};

/**
 * struct store_uri - a store URI taken apart
 * @kind: which store
 * @path: absolute path, "" for stores without
 * @offset: first byte of the path that the store uses
 * @length: bytes that the store uses, 0 = up to the end
 * @force: use a device in spite of the signature it carries
 * @create: make or extend the file
 */
struct store_uri {
	enum store_kind kind;
	char path[STORE_URI_MAX];
	uint64_t offset;
	uint64_t length;
	bool force;
	bool create;
};

/**
 * store_uri_parse - take @text apart
 * @text: the URI
 * @uri: out
 * @why: out: what is wrong, in words, if it fails
 * @len: room in @why
 *
 * Return: 0 or -EINVAL.
 */
int store_uri_parse(const char *text, struct store_uri *uri, char *why, size_t len);

/** Name of a kind, as URIs write it. */
const char *store_kind_name(enum store_kind kind);

/**
 * store_uri_size - how long the store is, without claiming it
 *
 * Return: 0; -ENODATA if a store of this kind has no length of its own (@why
 * says so); or the errno of opening it.
 */
int store_uri_size(const struct store_uri *uri, uint64_t *bytes, char *why, size_t len);

#endif /* EXTPAGER_URI_H */
