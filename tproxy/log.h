/* SPDX-License-Identifier: MIT */
/*
 * Diagnostics on stderr (not the access log): "sluice-tproxy: what: object: reason". Thread-safe;
 * never blocks after log_init(): one write(2) per line, and a line that would block is lost. What
 * is not printable ASCII is shown as '?'. At most one line per second for each call site that goes
 * through log_limited().
 */
#ifndef SLUICE_TPROXY_LOG_H
#define SLUICE_TPROXY_LOG_H

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR = 0, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* From here on lines carry a level, and the time unless the journal adds it; before any thread. */
void log_init(enum log_level level);
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * A call site's budget: static struct log_limit l; log_limited(&l, ...). Warnings; it says how many
 * were left out when it speaks again.
 */
struct log_limit { int64_t last_s; unsigned suppressed; };
void log_limited(struct log_limit *l, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
