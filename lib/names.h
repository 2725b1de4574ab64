/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that only the library needs; the others are in extpager.h. */
#ifndef XP_NAMES_H
#define XP_NAMES_H

const char *xp_counter_name(unsigned int attr);
const char *xp_request_name(unsigned int op);
const char *xp_phase_name(unsigned int phase);
const char *xp_place_name(unsigned int place);

#endif /* XP_NAMES_H */
