/* SPDX-License-Identifier: MIT */
/* The client of the admin interface. */
#include "tproxy/ctl.h"

#include <errno.h>
#include <llhttp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "tproxy/endpoint.h"
#include "tproxy/log.h"

#define WAIT_S 10

static int connect_to(const char *path)
{
	const struct timeval wait = { .tv_sec = WAIT_S };
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(at.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(at.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
	    connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	int e = errno;
	close(fd);
	errno = e;
	return -1;
}

static int ask(int fd, const char *page)
{
	char path[ADMIN_PATH_SIZE], text[ADMIN_PATH_SIZE + 64];

	if (snprintf(path, sizeof(path), "%s%s", page[0] == '/' ? "" : "/", page) >=
	    (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (const char *p = path; *p; p++) {
		if (*p <= ' ' || *p > '~') {
			errno = EINVAL;
			return -1;
		}
	}
	int len = snprintf(text, sizeof(text),
	                   "%s %s HTTP/1.1\r\nhost: sluice\r\nconnection: close\r\n\r\n",
	                   endpoint_is_order(path) ? "POST" : "GET", path);
	/* Whoever may not ask is told so before the question is read. */
	if (send(fd, text, (size_t)len, MSG_NOSIGNAL) == len || errno == EPIPE)
		return 0;
	return -1;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
	(void)p;
	return fwrite(at, 1, len, stdout) == len ? 0 : -1;
}

static int on_complete(llhttp_t *p)
{
	*(bool *)p->data = true;
	return 0;
}

/* Reads the answer. Its status, or 0: it was not a whole one. */
static unsigned receive(int fd)
{
	llhttp_settings_t settings;
	llhttp_t parser;
	bool complete = false;
	char in[4096];
	ssize_t n;

	llhttp_settings_init(&settings);
	settings.on_body = on_body;
	settings.on_message_complete = on_complete;
	llhttp_init(&parser, HTTP_RESPONSE, &settings);
	parser.data = &complete;
	while (!complete && (n = recv(fd, in, sizeof(in), 0)) > 0)
		if (llhttp_execute(&parser, in, (size_t)n) != HPE_OK)
			break;
	if (fflush(stdout) != 0)
		return 0;
	return complete ? parser.status_code : 0;
}

int ctl_run(const char *socket_path, const char *page)
{
	int fd = connect_to(socket_path);

	page = page ? page : "/";
	if (fd < 0) {
		log_error("ctl: %s: %s", socket_path, strerror(errno));
		return EX_UNAVAILABLE;
	}
	if (ask(fd, page) < 0) {
		int e = errno;
		log_error("ctl: %s: %s", page, strerror(e));
		close(fd);
		return e == EINVAL || e == ENAMETOOLONG ? EX_USAGE : EX_UNAVAILABLE;
	}
	unsigned status = receive(fd);
	close(fd);
	if (status == 200)
		return EX_OK;
	if (status == 0) {
		log_error("ctl: %s: no whole answer", socket_path);
		return EX_PROTOCOL;
	}
	log_error("ctl: %s: status %u", socket_path, status);
	return EX_UNAVAILABLE;
}
