/* SPDX-License-Identifier: MIT */
/* What is behind a descriptor. */
#include "tproxy/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436 /* on every architecture */
#endif

enum fd_kind fd_kind(int fd)
{
	struct stat st;
	int type = 0;
	socklen_t len = sizeof(type);

	if (fstat(fd, &st) < 0)
		return FD_OTHER;
	if (S_ISREG(st.st_mode))
		return FD_FILE;
	if (!S_ISSOCK(st.st_mode) || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return FD_OTHER;
	return type == SOCK_STREAM ? FD_STREAM : FD_DATAGRAM;
}

int fd_open_again(int number)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", number);
	return open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void fd_close_range(unsigned first, unsigned last)
{
	(void)syscall(SYS_close_range, first, last, 0);
}
