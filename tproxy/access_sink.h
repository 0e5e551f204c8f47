/* SPDX-License-Identifier: MIT */
/* What the rings of the access log see of the place their lines go to. */
#ifndef SLUICE_TPROXY_ACCESS_SINK_H
#define SLUICE_TPROXY_ACCESS_SINK_H

#include <stddef.h>
#include <sys/uio.h>

#include "tproxy/access.h"

bool access_sink_is_off(const struct access_sink *s);

/*
 * Writes lines from the two pieces of a ring (the second may be empty), without blocking; both
 * together end with a newline, and no line is longer than ACCESS_LINE_MAX. Returns the bytes taken,
 * usually whole lines; 0: none for the time being.
 */
size_t access_sink_write(struct access_sink *s, const struct iovec piece[2]);

#endif
