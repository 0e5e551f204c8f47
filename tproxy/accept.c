/* SPDX-License-Identifier: MIT */
/* Accepting connections: original destination, a record each, refusing what finds no room. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tproxy/conn.h"
#include "tproxy/upstream.h"

#define ACCEPT_BATCH         64
/* From linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h, which clash with musl's headers. */
#define SO_ORIGINAL_DST      80
#define IP6T_SO_ORIGINAL_DST 80

static int destination(struct worker *w, struct conn *c, int family)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int r;

	if (w->config->transparent)
		r = getsockname(c->fd, (struct sockaddr *)&ss, &len);
	else if (family == AF_INET)
		r = getsockopt(c->fd, SOL_IP, SO_ORIGINAL_DST, &ss, &len);
	else
		r = getsockopt(c->fd, SOL_IPV6, IP6T_SO_ORIGINAL_DST, &ss, &len);
	return r < 0 ? -1 : addr_from_sockaddr(&c->dst, &c->dport, &ss);
}

static struct conn *admit(struct worker *w, int fd, const struct sockaddr_storage *peer)
{
	uint32_t i = w->draining ? NONE : slab_take(&w->conns);
	if (i == NONE) {
		worker_count(w, STAT_CX_OVERFLOW, 1);
		fd_reset(fd);
		return NULL;
	}
	struct conn *c = conn_at(w, i);
	uint32_t generation = c->generation;
	memset(c, 0, sizeof(*c));
	c->generation = generation;
	c->fd = fd;
	c->start_ms = w->loop.now_ms;
	c->state = CONN_SNIFF;
	c->io = IO_WRITE;
	c->up = c->dial = c->exchange = c->service = c->key = c->name = NONE;
	c->flow[UPWARD].buf = c->flow[DOWNWARD].buf = NONE;
	if (addr_from_sockaddr(&c->src, &c->sport, peer) < 0)
		c->sport = 0;
	worker_take_policy(w, c);
	worker_count(w, STAT_CX_TOTAL, 1);
	worker_count(w, STAT_CX_ACTIVE, 1);
	return c;
}

static void begin(struct worker *w, struct conn *c, int family)
{
	/* Not captured: somebody dialled our own port, or we ourselves through a loop. */
	if (destination(w, c, family) < 0 || c->dport == w->config->port) {
		worker_count(w, STAT_CX_LOOP, 1);
		conn_block(w, c, "loop");
		return;
	}
	if (loop_add(&w->loop, c->fd, EPOLLIN | EPOLLRDHUP | EPOLLET, conn_data(w, c)) < 0) {
		conn_close(w, c, true);
		return;
	}
	if (c->dport == STUB_PORT && w->policies[c->policy].shared->dns_capture) {
		stub_tcp_begin(w, c);
		return;
	}
	struct route_query q = {
		.src = c->src, .dst = c->dst, .port = c->dport, .seen = ROUTE_SEEN_NOTHING,
	};
	struct route r;
	route_find(conn_policy(w, c), &q, &r);
	if (r.verdict == ROUTE_SNIFF)
		timer_set(&w->loop, &c->timer, w->config->sniff_ms);
	else
		conn_tunnel(w, c, &r, NULL, 0);
}

/*
 * No descriptor is left: the spare one is used to take the newest and refuse it, instead of turning
 * round for ever.
 */
static bool refuse_without_fd(struct worker *w, int listener)
{
	if (w->spare_fd < 0)
		return false;
	close(w->spare_fd);
	int fd = accept4(w->listeners[listener], NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0) {
		worker_count(w, STAT_CX_NOFD, 1);
		fd_reset(fd);
	}
	w->spare_fd = fcntl(w->mail_fd, F_DUPFD_CLOEXEC, 0);
	return fd >= 0;
}

void conn_accept(struct worker *w, int listener)
{
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof(peer);
		int fd = accept4(w->listeners[listener], (struct sockaddr *)&peer, &len,
		                 SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if ((errno == EMFILE || errno == ENFILE) && refuse_without_fd(w, listener))
				continue;
			if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return;
		}
		struct conn *c = admit(w, fd, &peer);
		if (c)
			begin(w, c, peer.ss_family);
	}
}
