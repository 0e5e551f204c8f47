/* SPDX-License-Identifier: MIT */
/* Accepting connections: original destination, a record each, refusing what finds no room. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tproxy/conn.h"
#include "tproxy/log.h"
#include "tproxy/server.h"
#include "tproxy/upstream.h"

#define ACCEPT_BATCH         64
#define PAUSE_MS             100 /* until accepting is tried again where nothing can be */
/* From linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h, which clash with musl's headers. */
#define SO_ORIGINAL_DST      80
#define IP6T_SO_ORIGINAL_DST 80

static int destination(struct worker *w, struct conn *c, int family)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int r;

	if (w->config->transparent || c->at_gateway)
		r = getsockname(c->fd, (struct sockaddr *)&ss, &len);
	else if (family == AF_INET)
		r = getsockopt(c->fd, SOL_IP, SO_ORIGINAL_DST, &ss, &len);
	else
		r = getsockopt(c->fd, SOL_IPV6, IP6T_SO_ORIGINAL_DST, &ss, &len);
	return r < 0 ? -1 : addr_from_sockaddr(&c->dst, &c->dport, &ss);
}

enum refusal { REFUSE_TABLE, REFUSE_CLIENT, REFUSE_DESCRIPTOR };

/* Counted each, said once a second. */
static void refuse(struct worker *w, int fd, enum refusal why, const char *who)
{
	static struct log_limit limits[3];
	static const struct { enum stat_id stat; const char *text; } reasons[] = {
		[REFUSE_TABLE] = { STAT_CX_OVERFLOW, "table full (max-conns)" },
		[REFUSE_CLIENT] = { STAT_CX_CLIENT, "a client has its share (client-conns)" },
		[REFUSE_DESCRIPTOR] = { STAT_CX_NOFD, "no descriptor left" },
	};

	worker_count(w, reasons[why].stat, 1);
	fd_reset(fd);
	if (!w->draining)
		log_limited(&limits[why], "connections: %s: refused %s", reasons[why].text, who);
}

static struct conn *admit(struct worker *w, int fd, const struct sockaddr_storage *peer)
{
	char who[ADDR_PORT_TEXT];
	struct addr src = { { 0 } };
	uint16_t sport = 0;
	uint32_t client, i = w->draining ? NONE : slab_take(&w->conns);

	if (addr_from_sockaddr(&src, &sport, peer) < 0)
		sport = 0;
	if (i == NONE) {
		refuse(w, fd, REFUSE_TABLE, addr_port_format(&src, sport, who));
		return NULL;
	}
	if (!client_enter(&w->clients, &src, &client)) {
		slab_give(&w->conns, i);
		refuse(w, fd, REFUSE_CLIENT, addr_port_format(&src, sport, who));
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
	c->up = c->dial = c->exchange = c->service = c->destination = c->key = c->name = NONE;
	c->flow[UPWARD].buf = c->flow[DOWNWARD].buf = NONE;
	c->src = src;
	c->sport = sport;
	c->client = client;
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
	/* What a gateway's policy lists is for its clients, not for processes beside it. */
	if (!c->at_gateway && conn_gateway(w, c) >= 0) {
		conn_block(w, c, "gateway-node");
		return;
	}
	if (loop_add(&w->loop, c->fd, EPOLLIN | EPOLLRDHUP | EPOLLET, conn_data(w, c)) < 0) {
		conn_close(w, c, true);
		return;
	}
	if (c->dport == STUB_PORT && !c->at_gateway &&
	    w->policies[c->policy].shared->dns_capture) {
		stub_tcp_begin(w, c);
		return;
	}
	if (c->at_gateway)
		server_begin(w, c);
	else
		conn_first(w, c);
}

void conn_first(struct worker *w, struct conn *c)
{
	struct route_query q = {
		.src = c->src, .dst = c->dst, .port = c->dport, .seen = ROUTE_SEEN_NOTHING,
	};
	struct route r;

	c->state = CONN_SNIFF;
	conn_find_route(w, c, &q, &r);
	if (r.verdict == ROUTE_SNIFF)
		timer_set(&w->loop, &c->timer, w->config->sniff_ms);
	else
		conn_tunnel(w, c, &r, NULL, 0);
}

static int spare(const struct worker *w)
{
	return fcntl(w->mail_fd, F_DUPFD_CLOEXEC, 0);
}

/*
 * No descriptor is left: the spare one is used to take the newest and refuse it. False with errno:
 * nothing was there, or another thread took the spare one meanwhile.
 */
static bool refuse_without_fd(struct worker *w, int listener)
{
	if (w->spare_fd < 0)
		w->spare_fd = spare(w);
	if (w->spare_fd < 0)
		return false;
	close(w->spare_fd);
	int fd = accept4(w->listeners[listener], NULL, NULL, SOCK_CLOEXEC);
	int e = errno;
	if (fd >= 0)
		refuse(w, fd, REFUSE_DESCRIPTOR, "the newest");
	w->spare_fd = spare(w);
	errno = e;
	return fd >= 0;
}

/* Instead of turning round for ever over listeners that stay ready. */
static void pause_listeners(struct worker *w)
{
	for (unsigned i = 0; i < w->n_listeners; i++)
		if (w->listeners[i] >= 0)
			loop_remove(&w->loop, w->listeners[i]);
	w->resume_ms = w->loop.now_ms + PAUSE_MS;
}

void conn_resume(struct worker *w)
{
	w->resume_ms = 0;
	for (unsigned i = 0; i < w->n_listeners; i++)
		if (w->listeners[i] >= 0 &&
		    loop_add(&w->loop, w->listeners[i], EPOLLIN,
		             loop_data(EVENT_LISTEN, 0, i)) < 0 && errno != EEXIST)
			w->resume_ms = w->loop.now_ms + PAUSE_MS;
}

/* Whether accept4(), having failed, is to be asked for the next one. */
static bool accept_goes_on(struct worker *w, int listener)
{
	if ((errno == EMFILE || errno == ENFILE) && refuse_without_fd(w, listener))
		return true;
	switch (errno) {
	case EAGAIN:
		return false;
	/* What befell the connection, not the listener: accept(2). */
	case ECONNABORTED: case EINTR: case EPROTO: case ENOPROTOOPT: case EOPNOTSUPP: case EPERM:
	case ENETDOWN: case ENETUNREACH: case EHOSTDOWN: case EHOSTUNREACH: case ENONET:
		return true;
	default:
		pause_listeners(w);
		return false;
	}
}

void conn_accept(struct worker *w, int listener)
{
	/* What another thread took has its place again before any connection. */
	if (w->spare_fd < 0)
		w->spare_fd = spare(w);
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof(peer);
		int fd = accept4(w->listeners[listener], (struct sockaddr *)&peer, &len,
		                 SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (accept_goes_on(w, listener))
				continue;
			return;
		}
		struct conn *c = admit(w, fd, &peer);
		if (!c)
			continue;
		c->at_gateway = listener >= WORKER_CAPTURE;
		begin(w, c, peer.ss_family);
	}
}
