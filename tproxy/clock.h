/* SPDX-License-Identifier: MIT */
/* Times: the clocks that are asked, and the one form in which times are written. */
#ifndef SLUICE_TPROXY_CLOCK_H
#define SLUICE_TPROXY_CLOCK_H

#include <stdint.h>

#define CLOCK_DATE_LEN 20 /* "2026-09-28T07:46:27." */
#define CLOCK_TEXT_LEN 24 /* "2026-09-28T07:46:27.295Z" */

int64_t clock_monotonic_ms(void);
int64_t clock_real_ms(void);
/*
 * RFC 3339, UTC, up to and with the dot after the seconds; not NUL-ended. Years 0 to 9999; others
 * are shown as the nearest of these.
 */
void clock_date(int64_t second, char out[static CLOCK_DATE_LEN]);
/* The whole, with milliseconds; not NUL-ended. */
void clock_text(int64_t ms, char out[static CLOCK_TEXT_LEN]);

#endif
