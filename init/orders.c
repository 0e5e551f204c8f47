/* SPDX-License-Identifier: MIT */
/* The socket over which the proxy sends its orders. */
#include "init/orders.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { SECONDS_MIN = 60, SECONDS_MAX = 86400 };

static int fail(struct orders *o, const char **step, const char *what)
{
	int error = errno;

	*step = what;
	if (o->listener >= 0)
		(void)close(o->listener);
	o->listener = -1;
	errno = error;
	return -1;
}

/* Nobody but root and uid can connect, from the moment that the name is there. */
int orders_open(struct orders *o, const char *dir, uid_t uid, const char **step)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	mode_t before;
	int err;

	*o = (struct orders){.dir = dir, .uid = uid, .listener = -1};
	memset(o->client, 0xff, sizeof(o->client));
	errno = ENAMETOOLONG;
	if (snprintf(at.sun_path, sizeof(at.sun_path), "%s/" CAPTURE_ORDER_FILE, dir) >=
		(int)sizeof(at.sun_path))
		return fail(o, step, "path");
	o->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (o->listener < 0)
		return fail(o, step, "socket");
	if (unlink(at.sun_path) != 0 && errno != ENOENT)
		return fail(o, step, "unlink");
	before = umask(0177);
	err = bind(o->listener, (const struct sockaddr *)&at, sizeof(at));
	(void)umask(before);
	if (err != 0)
		return fail(o, step, "bind");
	if (lchown(at.sun_path, uid, (gid_t)-1) != 0)
		return fail(o, step, "chown");
	return listen(o->listener, ORDERS_CLIENTS) == 0 ? 0 : fail(o, step, "listen");
}

void orders_close(struct orders *o)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];

	if (o->listener < 0)
		return;
	(void)snprintf(path, sizeof(path), "%s/" CAPTURE_ORDER_FILE, o->dir);
	(void)unlink(path);
	(void)close(o->listener);
	o->listener = -1;
}

void orders_poll(struct orders *o, struct pollfd *p, uint64_t now)
{
	if (now / 1000 != o->second) {
		o->second = now / 1000;
		o->left = ORDERS_RATE;
	}
	for (int i = 0; i < ORDERS_CLIENTS; i++)
		p[i] = (struct pollfd){.fd = o->left > 0 ? o->client[i] : -1, .events = POLLIN};
	p[ORDERS_CLIENTS] = (struct pollfd){.fd = o->listener, .events = POLLIN};
}

static bool is_allowed(const struct orders *o, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
		(peer.uid == o->uid || peer.uid == 0);
}

/* The newest one is refused when the table is full. */
static void take_in(struct orders *o)
{
	int fd = accept4(o->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), i = 0;

	if (fd < 0)
		return;
	while (i < ORDERS_CLIENTS && o->client[i] >= 0)
		i++;
	if (i < ORDERS_CLIENTS && is_allowed(o, fd))
		o->client[i] = fd;
	else
		(void)close(fd);
}

static void let_go(struct orders *o, int i)
{
	(void)close(o->client[i]);
	o->client[i] = -1;
}

static void read_client(struct orders *o, int i,
	bool (*take)(void *ctx, const struct capture_order *order), void *ctx)
{
	while (o->left > 0) {
		uint8_t bytes[CAPTURE_ORDER_LEN + 1], done;
		struct capture_order order;
		ssize_t n = recv(o->client[i], bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		o->left--;
		if (n <= 0 || !capture_order_decode(&order, bytes, (size_t)n)) {
			o->refused += n > 0;
			let_go(o, i);
			return;
		}
		done = take(ctx, &order);
		o->refused += !done;
		/* Who does not read its answers does without. */
		(void)send(o->client[i], &done, sizeof(done), MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

void orders_read(struct orders *o, const struct pollfd *p,
	bool (*take)(void *ctx, const struct capture_order *order), void *ctx)
{
	for (int i = 0; i < ORDERS_CLIENTS; i++)
		if (p[i].fd >= 0 && p[i].revents != 0)
			read_client(o, i, take, ctx);
	if (p[ORDERS_CLIENTS].revents != 0)
		take_in(o);
}

static bool has_udp_port(const struct policy *p, const struct policy_service *s, uint16_t number)
{
	for (uint32_t i = 0; i < s->ports.n; i++) {
		struct policy_port port;

		policy_port(p, s->ports.first + i, &port);
		if (port.protocol == POLICY_PROTO_UDP && port.number == number)
			return true;
	}
	return false;
}

const char *orders_judge(const struct policy *p, const struct capture_order *order,
	struct policy_service *service, uint32_t *seconds)
{
	enum addr_class class = addr_classify(&order->addr);
	struct policy_meta meta;

	if (order->sequence != p->sequence)
		return "is about another policy";
	if (order->service >= p->n[FORMAT_SERVICES])
		return "names a service that there is not";
	policy_service(p, order->service, service);
	if (!has_udp_port(p, service, order->port))
		return "names a UDP port that the service does not have";
	if (class == ADDR_REFUSED)
		return "names an address that is never allowed";
	policy_meta(p, &meta);
	if (class == ADDR_PRIVATE && service->location != POLICY_INTERNAL &&
		!service->allow_private && service->enforcement != POLICY_AUDIT &&
		meta.enforcement != POLICY_AUDIT)
		return "names a private address, which the service may not have";
	*seconds = order->seconds < SECONDS_MIN ? SECONDS_MIN
		: order->seconds > SECONDS_MAX  ? SECONDS_MAX
						: order->seconds;
	return NULL;
}
