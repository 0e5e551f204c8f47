/* SPDX-License-Identifier: MIT */
/* The glibc symbols that Debian's static libmnl and libnftnl ask for, on top of musl.
 *
 * The archives were compiled against glibc with _FORTIFY_SOURCE and, on 32-bit ARM, with 64-bit time. Each
 * of these is what the plain function is in musl, whose time is 64 bits wide everywhere. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int __fprintf_chk(FILE *file, int flag, const char *format, ...);
int __snprintf_chk(char *buf, size_t size, int flag, size_t room, const char *format, ...);
int __getsockopt64(int fd, int level, int option, void *value, socklen_t *len);
int __setsockopt64(int fd, int level, int option, const void *value, socklen_t len);
ssize_t __recvmsg64(int fd, struct msghdr *msg, int flags);

int __attribute__((format(printf, 3, 4)))
__fprintf_chk(FILE *file, int flag, const char *format, ...)
{
	va_list args;
	int n;

	(void)flag;
	va_start(args, format);
	n = vfprintf(file, format, args);
	va_end(args);
	return n;
}

int __attribute__((format(printf, 5, 6)))
__snprintf_chk(char *buf, size_t size, int flag, size_t room, const char *format, ...)
{
	va_list args;
	int n;

	(void)flag;
	if (size > room)
		abort();
	va_start(args, format);
	n = vsnprintf(buf, size, format, args);
	va_end(args);
	return n;
}

int __getsockopt64(int fd, int level, int option, void *value, socklen_t *len)
{
	return getsockopt(fd, level, option, value, len);
}

int __setsockopt64(int fd, int level, int option, const void *value, socklen_t len)
{
	return setsockopt(fd, level, option, value, len);
}

ssize_t __recvmsg64(int fd, struct msghdr *msg, int flags)
{
	return recvmsg(fd, msg, flags);
}
