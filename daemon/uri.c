// SPDX-License-Identifier: GPL-2.0-only
/*
 * The store URI parser. Opens nothing: see uri-size.c and the stores.
 */
#include "uri.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "units.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

enum {
	OPT_OFFSET = 1 << 0,
	OPT_LENGTH = 1 << 1,
	OPT_FORCE = 1 << 2,
	OPT_CREATE = 1 << 3,
};

static const struct scheme {
	const char *name;
	enum store_kind kind;
	bool path;
	unsigned int options;
} schemes[] = {
	{ "block", STORE_BLOCK, true, OPT_OFFSET | OPT_LENGTH | OPT_FORCE },
	{ "nvme", STORE_NVME, true, OPT_OFFSET | OPT_LENGTH | OPT_FORCE },
	{ "file", STORE_FILE, true, OPT_OFFSET | OPT_LENGTH | OPT_CREATE },
	{ "zero", STORE_ZERO, false, 0 },
	{ "mem", STORE_MEM, false, 0 },
};

static const struct option {
	const char *name;
	unsigned int bit;
} options[] = {
	{ "offset", OPT_OFFSET },
	{ "length", OPT_LENGTH },
	{ "force", OPT_FORCE },
	{ "create", OPT_CREATE },
};

static int __attribute__((format(printf, 3, 4)))
refuse(char *why, size_t len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

const char *store_kind_name(enum store_kind kind)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(schemes); i++) {
		if (schemes[i].kind == kind)
			return schemes[i].name;
	}
	return "unknown";
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* %3f in a path means '?': decode in place. */
static int decode(char *s, char *why, size_t len)
{
	char *out = s;

	for (; *s; s++) {
		if (*s == '%') {
			int high = hex_digit(s[1]);
			int low = high < 0 ? -1 : hex_digit(s[2]);

			if (low < 0 || (!high && !low))
				return refuse(why, len, "'%%' in a path must be written %%25");
			*out++ = (char)(high * 16 + low);
			s += 2;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
	return 0;
}

static int parse_bool(const char *name, const char *value, bool *out, char *why, size_t len)
{
	if (strcmp(value, "0") && strcmp(value, "1"))
		return refuse(why, len, "option '%s' must be 0 or 1, not '%s'", name, value);
	*out = value[0] == '1';
	return 0;
}

static int parse_bytes(const char *name, const char *value, uint64_t *out, char *why, size_t len)
{
	if (units_parse_size(value, out))
		return refuse(why, len, "option '%s': '%s' is no size; write it as 4096, 64M or 1G",
			      name, value);
	return 0;
}

static int parse_option(const struct scheme *scheme, char *text, unsigned int *seen,
			struct store_uri *uri, char *why, size_t len)
{
	const struct option *option = NULL;
	char *value = strchr(text, '=');
	size_t i;
	int ret;

	if (!value || value == text || !value[1])
		return refuse(why, len, "'%s' must be written option=value", text);
	*value++ = '\0';
	for (i = 0; i < ARRAY_SIZE(options); i++) {
		if (!strcmp(options[i].name, text))
			option = &options[i];
	}
	if (!option || !(option->bit & scheme->options))
		return refuse(why, len, "a %s: store has no option '%s'", scheme->name, text);
	if (*seen & option->bit)
		return refuse(why, len, "option '%s' is given twice", text);
	*seen |= option->bit;

	switch (option->bit) {
	case OPT_OFFSET:
		return parse_bytes(text, value, &uri->offset, why, len);
	case OPT_LENGTH:
		ret = parse_bytes(text, value, &uri->length, why, len);
		if (!ret && !uri->length)
			ret = refuse(why, len, "option 'length' must not be 0");
		return ret;
	case OPT_FORCE:
		return parse_bool(text, value, &uri->force, why, len);
	default:
		return parse_bool(text, value, &uri->create, why, len);
	}
}

static const struct scheme *find_scheme(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(schemes); i++) {
		if (!strcmp(schemes[i].name, name))
			return &schemes[i];
	}
	return NULL;
}

int store_uri_parse(const char *text, struct store_uri *uri, char *why, size_t len)
{
	char copy[STORE_URI_MAX], *path, *query, *next;
	const struct scheme *scheme;
	unsigned int seen = 0;
	int ret;

	memset(uri, 0, sizeof(*uri));
	if (strlen(text) >= sizeof(copy))
		return refuse(why, len, "longer than %d bytes", STORE_URI_MAX - 1);
	strcpy(copy, text);

	path = strchr(copy, ':');
	if (!path)
		return refuse(why, len,
			      "no scheme; write block:, nvme:, file:, zero: or mem: in front");
	*path++ = '\0';
	scheme = find_scheme(copy);
	if (!scheme)
		return refuse(why, len, "unknown scheme '%s'; there are block, nvme, file, zero, mem",
			      copy);
	uri->kind = scheme->kind;

	query = strchr(path, '?');
	if (query)
		*query++ = '\0';
	ret = decode(path, why, len);
	if (ret)
		return ret;
	if (!scheme->path && path[0])
		return refuse(why, len, "a %s: store takes no path", scheme->name);
	if (scheme->path && path[0] != '/')
		return refuse(why, len, "a %s: store needs an absolute path", scheme->name);
	strcpy(uri->path, path);

	for (; query; query = next) {
		next = strchr(query, '&');
		if (next)
			*next++ = '\0';
		ret = parse_option(scheme, query, &seen, uri, why, len);
		if (ret)
			return ret;
	}
	if (uri->length && uri->offset + uri->length < uri->offset)
		return refuse(why, len, "offset and length together are too large");
	return 0;
}
