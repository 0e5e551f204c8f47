/* SPDX-License-Identifier: MIT */
/* What is said to a gateway between connect() and the client's payload. */
#include "tproxy/greet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "tproxy/conn.h"
#include "tproxy/dial.h"
#include "tproxy/exchange.h"
#include "tproxy/secure.h"

static enum policy_via via_of(const struct worker *w, const struct conn *c)
{
	struct policy_destination d;
	struct policy_gateway g;

	if (!dial_to_gateway(w, c, &d))
		return POLICY_VIA_PLAIN;
	policy_gateway(conn_policy(w, c), d.gateway, &g);
	return g.via;
}

bool greet_single(const struct worker *w, const struct conn *c)
{
	enum policy_via via = via_of(w, c);

	return via == POLICY_VIA_CONNECT || via == POLICY_VIA_SOCKS5 || via == POLICY_VIA_PROXY_V2;
}

bool greet_needed(const struct worker *w, const struct conn *c)
{
	return via_of(w, c) != POLICY_VIA_PLAIN || secure_wanted(w, c);
}

/* The host that the client said or, where it said none, the one that its service is for. */
static struct access_text name_of(struct worker *w, const struct conn *c)
{
	struct policy_service s;

	if (c->exchange != NONE) {
		const struct exchange *x = exchange_of(w, c);
		return (struct access_text){ x->rq.host, x->rq.host_len };
	}
	if (c->name == NONE && c->service != NONE) {
		policy_service(conn_policy(w, c), c->service, &s);
		if (s.first_host && s.first_host[0] && s.first_host[1] != '.')
			return (struct access_text){ (const char *)s.first_host + 1,
			                             s.first_host[0] };
	}
	return conn_name(w, c);
}

static struct hop_target target_of(struct worker *w, const struct conn *c)
{
	struct access_text name = name_of(w, c);

	return (struct hop_target){
		.name = name.s, .name_len = name.len, .addr = c->dst, .port = c->dport,
		.src = c->src, .sport = c->sport, .dst = c->dst, .dport = c->dport,
	};
}

/* The little that is said always fits into what a socket takes at once. */
static int say(struct dial *d, struct up *u, const uint8_t *bytes, size_t len)
{
	if (!len || send(u->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len)
		return 0;
	d->why = "greeting_not_sent";
	return -1;
}

static int outcome(struct dial *d, enum hop_result r)
{
	if (r == HOP_FAILED)
		d->why = hop_reason(&d->hop);
	return r == HOP_DONE ? 1 : r == HOP_MORE ? 0 : -1;
}

/* The endpoint that u's address is one of. */
static uint16_t endpoint_of(const struct dial *d, const struct up *u)
{
	for (uint8_t k = 0; k < d->n; k++)
		if (d->ports[k] == u->port && addr_equal(&d->addrs[k], &u->addr))
			return d->from[k];
	return 0;
}

static int handshake(struct dial *d, struct up *u)
{
	switch (tls_handshake(u->tls)) {
	case TLS_DONE: return 1;
	case TLS_WANT_READ: case TLS_WANT_WRITE: return 0;
	case TLS_FAILED: break;
	}
	d->why = tls_fault_code(tls_session_fault(u->tls));
	return -1;
}

static int call(struct worker *w, struct conn *c, struct dial *d, struct up *u)
{
	struct secure_peer peer;

	secure_peer(w, c, endpoint_of(d, u), &u->addr, &peer);
	if (!peer.config || !secure_call(w, u, &peer)) {
		d->why = "tls_overflow";
		return -1;
	}
	u->config = peer.config;
	u->peer = peer.key;
	u->single = peer.key == NONE;
	return handshake(d, u);
}

int greet_begin(struct worker *w, struct conn *c, struct dial *d, struct up *u)
{
	if (!greet_single(w, c))
		return call(w, c, d, u);
	struct hop_target t = target_of(w, c);
	uint8_t out[HOP_OUT_MAX];
	size_t n = 0;
	enum hop_result r = hop_begin(&d->hop, via_of(w, c), &t, out, sizeof(out), &n);

	u->single = true;
	return say(d, u, out, n) < 0 ? -1 : outcome(d, r);
}

/* Reads until nothing is left: an end of the stream right behind half an answer makes no event. */
int greet_continue(struct worker *w, struct conn *c, struct dial *d, struct up *u)
{
	if (u->tls)
		return handshake(d, u);
	struct hop_target t = target_of(w, c);
	enum hop_result r = HOP_MORE;
	uint8_t out[HOP_OUT_MAX];
	size_t used = 0, n = 0;

	while (r == HOP_MORE) {
		ssize_t got = recv(u->fd, w->scratch, BUFFER_SIZE, MSG_DONTWAIT | MSG_PEEK);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (got > 0)
			r = hop_feed(&d->hop, &t, w->scratch, (size_t)got, &used, out, sizeof(out),
			             &n);
		/* What comes behind the answer is payload, and stays in the socket. */
		if (got <= 0 || recv(u->fd, w->scratch, used, MSG_DONTWAIT) != (ssize_t)used) {
			d->why = "gateway_closed";
			return -1;
		}
		if (say(d, u, out, n) < 0)
			return -1;
	}
	return outcome(d, r);
}
