/* SPDX-License-Identifier: MIT */
/* Orders from the proxy to the process that holds the rules. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "rules/capture.h"

#define MAGIC 0x316f6c73u /* "slo1" */
enum { AT_KIND = 4, AT_SEQUENCE = 8, AT_SERVICE = 16, AT_PORT = 20, AT_ADDR = 24, AT_SECONDS = 40 };

static void put_le(uint8_t *p, size_t n, uint64_t v)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get_le(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

void capture_order_encode(const struct capture_order *o, uint8_t out[static CAPTURE_ORDER_LEN])
{
	memset(out, 0, CAPTURE_ORDER_LEN);
	put_le(out, 4, MAGIC);
	out[AT_KIND] = (uint8_t)o->kind;
	put_le(out + AT_SEQUENCE, 8, o->sequence);
	put_le(out + AT_SERVICE, 4, o->service);
	put_le(out + AT_PORT, 2, o->port);
	memcpy(out + AT_ADDR, o->addr.b, sizeof(o->addr.b));
	put_le(out + AT_SECONDS, 4, o->seconds);
}

/* There is one way to write an order: what does not come out as it went in was another. */
bool capture_order_decode(struct capture_order *o, const uint8_t *bytes, size_t len)
{
	uint8_t again[CAPTURE_ORDER_LEN];

	if (len != CAPTURE_ORDER_LEN || bytes[AT_KIND] != CAPTURE_ORDER_UDP)
		return false;
	o->kind = CAPTURE_ORDER_UDP;
	o->sequence = get_le(bytes + AT_SEQUENCE, 8);
	o->service = (uint32_t)get_le(bytes + AT_SERVICE, 4);
	o->port = (uint16_t)get_le(bytes + AT_PORT, 2);
	memcpy(o->addr.b, bytes + AT_ADDR, sizeof(o->addr.b));
	o->seconds = (uint32_t)get_le(bytes + AT_SECONDS, 4);
	capture_order_encode(o, again);
	return memcmp(again, bytes, sizeof(again)) == 0;
}

int capture_order_connect(const char *dir)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd, error;

	if (snprintf(at.sun_path, sizeof(at.sun_path), "%s/" CAPTURE_ORDER_FILE, dir) >=
		(int)sizeof(at.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	error = errno;
	(void)close(fd);
	errno = error;
	return -1;
}

int capture_order_send(int fd, const struct capture_order *o)
{
	uint8_t bytes[CAPTURE_ORDER_LEN];
	ssize_t n;

	capture_order_encode(o, bytes);
	n = send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
	return n == (ssize_t)sizeof(bytes) ? 0 : -1;
}

int capture_holder(const char *dir)
{
	struct ucred peer = {.pid = 0};
	socklen_t len = sizeof(peer);
	int fd = capture_order_connect(dir);

	if (fd < 0)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		peer.pid = 0;
	(void)close(fd);
	return peer.pid > 0 ? peer.pid : -1;
}
