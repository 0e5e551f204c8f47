/* SPDX-License-Identifier: MIT */
/* Messages to people, on standard error. */
#include "init/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

int message(int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs(MESSAGE_PROGRAM ": ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return code;
}

void message_out_of_memory(void)
{
	exit(message(EX_OSERR, "out of memory"));
}
