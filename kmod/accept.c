// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who maps an object has every touch of that memory wait for the object's pager,
 * and fail as it pleases. Of a target's the administrator has chosen it; one that
 * any user made, and passed on, is to be accepted first, by each user that maps it.
 */
#include <linux/cred.h>
#include <linux/uidgid.h>

#include "extpager.h"

/* Whom @uid is to accept, or INVALID_UID. */
static kuid_t to_accept(const struct extpager_object *obj, kuid_t uid)
{
	kuid_t pager = READ_ONCE(obj->target->to_accept);

	return uid_eq(pager, uid) ? INVALID_UID : pager;
}

/* May the caller map it? */
bool extpager_may_map(struct extpager_object *obj)
{
	kuid_t uid = current_euid(), pager = to_accept(obj, uid);

	return !uid_valid(pager) ||
	       xa_load(&obj->accepted, __kuid_val(uid)) == xa_mk_value(__kuid_val(pager));
}

/**
 * extpager_accept() - the caller accepts the object's pager
 * @obj: object
 * @arg: the ioctl's argument
 *
 * Of the user, not of the file, which the pager has open, too. What is accepted is
 * this pager's user: another one that takes the port over is not.
 *
 * Return: 0 or an errno.
 */
long extpager_accept(struct extpager_object *obj, const struct extpager_accept *arg)
{
	kuid_t uid = current_euid(), pager = to_accept(obj, uid);

	if (arg->flags)
		return -EOPNOTSUPP;
	if (!uid_valid(pager))
		return 0;
	return xa_err(xa_store(&obj->accepted, __kuid_val(uid), xa_mk_value(__kuid_val(pager)),
			       GFP_KERNEL_ACCOUNT));
}
