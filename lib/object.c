// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The last generation of each object that INIT was seen of, for the replies
 * that name an object and no request. An object never used has none yet: 0.
 */
#include <errno.h>
#include <stdlib.h>

#include "port.h"

struct xp_object {
	struct xp_object *next;
	uint64_t id;
	uint32_t generation;
};

static struct xp_object **find(struct extpager *p, uint64_t id)
{
	struct xp_object **at = &p->objects[id % XP_OBJECT_BUCKETS];

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

/** xp_object_seen - INIT came. Return: 0 or -ENOMEM. */
int xp_object_seen(struct extpager *p, uint64_t object, uint32_t generation)
{
	struct xp_object **at;
	int ret = 0;

	pthread_mutex_lock(&p->lock);
	at = find(p, object);
	if (!*at)
		*at = calloc(1, sizeof(**at));
	if (*at) {
		(*at)->id = object;
		(*at)->generation = generation;
	} else {
		ret = -ENOMEM;
	}
	pthread_mutex_unlock(&p->lock);
	return ret;
}

/** xp_object_generation - the last one, 0 before the first. */
uint32_t xp_object_generation(struct extpager *p, uint64_t object)
{
	uint32_t generation = 0;
	struct xp_object **at;

	pthread_mutex_lock(&p->lock);
	at = find(p, object);
	if (*at)
		generation = (*at)->generation;
	pthread_mutex_unlock(&p->lock);
	return generation;
}

/** xp_object_forget - the object is no longer ours. */
void xp_object_forget(struct extpager *p, uint64_t object)
{
	struct xp_object **at, *obj;

	pthread_mutex_lock(&p->lock);
	at = find(p, object);
	obj = *at;
	if (obj)
		*at = obj->next;
	pthread_mutex_unlock(&p->lock);
	free(obj);
}

/** xp_object_forget_all - at close. */
void xp_object_forget_all(struct extpager *p)
{
	for (int i = 0; i < XP_OBJECT_BUCKETS; i++) {
		while (p->objects[i]) {
			struct xp_object *obj = p->objects[i];

			p->objects[i] = obj->next;
			free(obj);
		}
	}
}
