/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages of pagerd. A write to stderr may block for as long as its reader
 * likes: queue threads must not call these, they leave notes in their target.
 */
#ifndef PAGERD_LOG_H
#define PAGERD_LOG_H

#include <stdbool.h>
#include <syslog.h>

void log_init(bool verbose);
void log_message(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_err(...)	log_message(LOG_ERR, __VA_ARGS__)
#define log_warn(...)	log_message(LOG_WARNING, __VA_ARGS__)
#define log_info(...)	log_message(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	log_message(LOG_DEBUG, __VA_ARGS__)

#endif /* PAGERD_LOG_H */
