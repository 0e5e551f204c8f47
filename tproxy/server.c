/* SPDX-License-Identifier: MIT */
/* What stands before a client's first bytes at a gateway's server. */
#include "tproxy/server.h"

#include <errno.h>
#include <sys/socket.h>

#include "rules/gateway.h"
#include "rules/traffic.h"
#include "tproxy/conn.h"
#include "tproxy/hop.h"
#include "tproxy/secure.h"
#include "tproxy/upstream.h"

static void refuse(struct worker *w, struct conn *c, const char *why)
{
	conn_log(w, c, FLAG_DPE, NULL, why);
	conn_close(w, c, true);
}

/* What has come with all this makes no event any more. */
static void proceed(struct worker *w, struct conn *c)
{
	if (c->io & IO_READ)
		conn_want_again(w, c);
	conn_first(w, c);
}

static void handshake(struct worker *w, struct conn *c)
{
	switch (tls_handshake(c->tls)) {
	case TLS_WANT_READ:
		c->io &= (uint8_t)~IO_READ;
		return;
	case TLS_WANT_WRITE:
		c->io &= (uint8_t)~IO_WRITE;
		io_arm(w, c->fd, &c->io, conn_data(w, c));
		return;
	case TLS_FAILED:
		refuse(w, c, tls_fault_code(tls_session_fault(c->tls)));
		return;
	case TLS_DONE:
		break;
	}
	c->io |= IO_READ;
	proceed(w, c);
}

static void secure(struct worker *w, struct conn *c)
{
	enum policy_server_tls mode;
	struct policy_port server;
	bool known = policy_gateway_server(conn_policy(w, c), (uint32_t)conn_gateway(w, c), c->dport,
	                                   &server, &mode);

	if (!known) {
		refuse(w, c, "no-server");
		return;
	}
	if (mode != POLICY_SERVER_SIMPLE && mode != POLICY_SERVER_MUTUAL) {
		proceed(w, c);
		return;
	}
	c->state = CONN_HANDSHAKE;
	if (secure_answer(w, c, mode == POLICY_SERVER_MUTUAL))
		handshake(w, c);
	else
		refuse(w, c, "tls-overflow");
}

/* The header says who the client is; what it was asked for the payload has to say again. */
static void read_proxy(struct worker *w, struct conn *c)
{
	struct hop_proxy said;
	ssize_t got = recv(c->fd, w->scratch, HOP_PROXY_MAX + 1, MSG_DONTWAIT | MSG_PEEK);

	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		c->io &= (uint8_t)~IO_READ;
		return;
	}
	long n = got > 0 ? hop_proxy_read(w->scratch, (size_t)got, &said) : HOP_PROXY_LENGTH;
	if (n == 0) {
		/* It waits in the socket; its end would be seen as one more event. */
		c->io &= (uint8_t)~IO_READ;
		if (c->io & IO_RDHUP)
			refuse(w, c, hop_proxy_reason(HOP_PROXY_LENGTH));
		return;
	}
	if (n < 0 || recv(c->fd, w->scratch, (size_t)n, MSG_DONTWAIT) != n) {
		refuse(w, c, hop_proxy_reason(n < 0 ? n : HOP_PROXY_LENGTH));
		return;
	}
	if (!said.local) {
		c->src = said.src;
		c->sport = said.sport;
	}
	secure(w, c);
}

static bool has_proxy(const struct worker *w, const struct conn *c)
{
	const struct policy *p = conn_policy(w, c);
	struct policy_gateway g;
	struct cidr cidr;

	policy_gateway(p, (uint32_t)conn_gateway(w, c), &g);
	for (uint32_t i = 0; i < g.proxy_from.n; i++) {
		policy_cidr(p, g.proxy_from.first + i, &cidr);
		if (cidr_contains(&cidr, &c->src))
			return true;
	}
	return false;
}

void server_begin(struct worker *w, struct conn *c)
{
	timer_set(&w->loop, &c->timer, w->config->sniff_ms);
	if (!has_proxy(w, c)) {
		secure(w, c);
		return;
	}
	c->state = CONN_PROXY;
	c->io |= IO_READ;
	read_proxy(w, c);
}

void server_turn(struct worker *w, struct conn *c)
{
	if (c->state == CONN_HANDSHAKE)
		handshake(w, c);
	else if (c->io & IO_READ)
		read_proxy(w, c);
}

void server_timeout(struct worker *w, struct conn *c)
{
	refuse(w, c, c->state == CONN_PROXY ? "proxy-timeout" : "tls-timeout");
}
