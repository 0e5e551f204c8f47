/* SPDX-License-Identifier: MIT */
/* Tells the supervisor how we are. */
#include "rules/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int connect_to(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	size_t len = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || len < 2 || len >= sizeof(at.sun_path)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(at.sun_path, path, len);
	if (path[0] == '@')
		at.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	socklen_t size =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (path[0] == '/'));
	if (connect(fd, (struct sockaddr *)&at, size) < 0) {
		int e = errno;
		close(fd);
		errno = e;
		return -1;
	}
	return fd;
}

/* systemd names the process it means; a child of that process is not meant. */
static uint32_t watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (!usec || (pid && strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	unsigned long long ms = strtoull(usec, NULL, 10) / 1000;
	return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

int notify_open(struct notify *n, int ready_fd)
{
	const char *path = getenv("NOTIFY_SOCKET");

	n->socket = -1;
	n->ready_fd = ready_fd;
	n->watchdog_ms = 0;
	if (!path || !*path)
		return 0;
	n->socket = connect_to(path);
	if (n->socket < 0)
		return -1;
	n->watchdog_ms = watchdog();
	return 0;
}

/* A supervisor that does not listen is no reason to stop. */
static void say(const struct notify *n, const char *text, size_t len)
{
	if (n->socket >= 0)
		(void)!send(n->socket, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void notify_ready(struct notify *n)
{
	say(n, "READY=1", 7);
	if (n->ready_fd < 0)
		return;
	(void)!write(n->ready_fd, "\n", 1);
	close(n->ready_fd);
	n->ready_fd = -1;
}

void notify_reloading(struct notify *n)
{
	char text[64];
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	unsigned long long usec =
		(unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000;
	int len = snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu", usec);
	say(n, text, (size_t)len);
}

void notify_stopping(struct notify *n)
{
	say(n, "STOPPING=1", 10);
}

void notify_status(struct notify *n, const char *text)
{
	char line[256];
	int len = snprintf(line, sizeof(line), "STATUS=%s", text);

	say(n, line, (size_t)len < sizeof(line) ? (size_t)len : sizeof(line) - 1);
}

void notify_watchdog(struct notify *n)
{
	say(n, "WATCHDOG=1", 10);
}
