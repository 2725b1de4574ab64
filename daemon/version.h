/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef EXTPAGER_VERSION_H
#define EXTPAGER_VERSION_H

#define EXTPAGER_VERSION "0.1"

#endif /* EXTPAGER_VERSION_H */
