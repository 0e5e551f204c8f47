/* SPDX-License-Identifier: MIT */
/*
 * The device programs' printf, in the place of musl's.
 *
 * In musl printf, snprintf and all their kin come down to these two. Its own also print floating
 * point, which nobody here does: 9 KB of each program, and more where long double is software.
 */
#include <stdarg.h>
#include <stdio.h>

#include "rules/output.h"

int vfprintf(FILE *file, const char *format, va_list args)
{
	return output_file(file, format, args);
}

int vsnprintf(char *out, size_t size, const char *format, va_list args)
{
	return output_string(out, size, format, args);
}
