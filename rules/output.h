/* SPDX-License-Identifier: MIT */
/* printf's language without floating point and wide characters, for the device programs. */
#ifndef SLUICE_RULES_OUTPUT_H
#define SLUICE_RULES_OUTPUT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

/*
 * As vsnprintf() and vfprintf(), for the conversions d i u x X p c s %, with all of C's flags,
 * widths, precisions and lengths. Another conversion (f, n, o, ...) is an error: -1 with errno
 * EINVAL. output_file() writes up to OUTPUT_PIECE bytes at once, so that a line of a message is one
 * write.
 */
int output_string(char *out, size_t size, const char *format, va_list args);
int output_file(FILE *file, const char *format, va_list args);

enum { OUTPUT_PIECE = 1024 };

#endif
