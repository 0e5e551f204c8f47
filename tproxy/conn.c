/* SPDX-License-Identifier: MIT */
/*
 * Downstream connections: SNIFF -> DIAL -> RELAY, or SNIFF -> HTTP (request by request) -> LINGER,
 * or DNS from the start.
 *
 * Invariants:
 *  - no byte of a connection is sent upstream before route_find() allowed it, and then only to
 *    addresses that passed the address rules (dial.c);
 *  - whatever goes wrong ends the connection: from no state does a failure lead to RELAY;
 *  - a conn points at one policy generation from the decision on; HTTP connections move to the
 *    current one with each request;
 *  - exactly one of dial, up is set while an upstream is being reached or used; both are NONE in
 *    SNIFF, LINGER, DNS and between HTTP requests;
 *  - in SNIFF and DIAL the client's bytes are in flow[UPWARD].buf and nowhere else;
 *  - each live conn has its timer set, unless it is on the `again` list;
 *  - functions that may end a connection say so; after them it is not touched.
 */
#include "tproxy/conn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rules/route.h"
#include "tproxy/dial.h"
#include "tproxy/exchange.h"
#include "tproxy/relay.h"
#include "tproxy/secure.h"
#include "tproxy/server.h"
#include "tproxy/sniff.h"
#include "tproxy/upstream.h"

#define LINGER_READS  16

uint64_t conn_data(struct worker *w, const struct conn *c)
{
	return loop_data(EVENT_DOWN, c->generation, slab_index(&w->conns, c));
}

/* Ending */

void conn_close(struct worker *w, struct conn *c, bool reset)
{
	worker_count(w, STAT_BYTES_UP, (int64_t)c->flow[UPWARD].bytes);
	worker_count(w, STAT_BYTES_DOWN, (int64_t)c->flow[DOWNWARD].bytes);
	dial_cancel(w, c);
	if (c->exchange != NONE)
		exchange_free(w, c);
	if (c->up != NONE)
		up_close(w, c->up, reset);
	flow_release(w, &c->flow[UPWARD]);
	flow_release(w, &c->flow[DOWNWARD]);
	secure_end(w, &c->tls, !reset);
	conn_set_name(w, c, NULL, 0);
	timer_unset(&c->timer);
	if (reset)
		fd_reset(c->fd);
	else
		close(c->fd);
	worker_drop_policy(w, c);
	client_leave(&w->clients, c->client);
	c->fd = -1;
	c->state = CONN_FREE;
	c->generation++;
	worker_count(w, STAT_CX_ACTIVE, -1);
	/* A record on the `again` list is given back when its turn comes. */
	if (!(c->flags & CONN_AGAIN))
		slab_give(&w->conns, slab_index(&w->conns, c));
}

void conn_block(struct worker *w, struct conn *c, const char *why)
{
	worker_count(w, STAT_CX_BLOCKED, 1);
	c->service = c->destination = NONE;
	c->flags &= (uint8_t)~CONN_PASSTHROUGH;
	conn_log(w, c, c->at_gateway ? FLAG_NR : FLAG_UH, NULL, why);
	conn_close(w, c, true);
}

/* Relay. Each of these may end c. */

static void relay_failed(struct worker *w, struct conn *c, bool upstream)
{
	conn_log(w, c, upstream ? FLAG_UR : FLAG_DC, NULL,
	         upstream ? "upstream_reset" : "downstream_reset");
	conn_close(w, c, true);
}

/*
 * Until the server has spoken a ClientHello is all that there is to say. More of it would be
 * another hello to be judged; early data is left in the socket until then. May end c: false.
 */
static bool relay_hello(struct worker *w, struct conn *c)
{
	uint8_t byte;

	if (c->flow[DOWNWARD].bytes) {
		if (c->flags & CONN_EARLY)
			c->io |= IO_READ;
		c->flags &= (uint8_t)~(CONN_HELLO | CONN_EARLY);
		return true;
	}
	if (!(c->io & IO_READ))
		return true;
	/* Under TLS nothing can be looked at: it waits, whatever it is. */
	if (c->tls) {
		c->flags |= CONN_EARLY;
		c->io &= (uint8_t)~IO_READ;
		return true;
	}
	ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n > 0 && (!(c->flags & CONN_EARLY) || (c->io & (IO_RDHUP | IO_ERROR)))) {
		stat_add(&w->stats.tls[-TLS_TRAILING], 1);
		conn_log(w, c, FLAG_DPE, NULL, tls_error_code(TLS_TRAILING));
		conn_close(w, c, true);
		return false;
	}
	/* An end and an error are for flow_pump() to see. */
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		c->io &= (uint8_t)~IO_READ;
	return true;
}

static bool relay_over(enum flow_result r, struct conn *c, int way)
{
	return r == FLOW_DONE || (c->flow[way].flags & FLOW_SHUT);
}

/* Who has closed for good looks like one who has only said all; neither is waited for so long. */
static uint32_t idle_time(struct worker *w, const struct conn *c)
{
	uint32_t half = w->config->half_closed_ms, idle = up_at(w, c->up)->idle_ms;
	bool shut = (c->flow[UPWARD].flags | c->flow[DOWNWARD].flags) & FLOW_SHUT;

	return shut && half < idle ? half : idle;
}

static void relay_turn(struct worker *w, struct conn *c)
{
	enum flow_result r[2];

	if ((c->flags & CONN_HELLO) && !relay_hello(w, c))
		return;
	for (int way = 0; way < 2; way++) {
		struct flow *f = &c->flow[way];
		struct end down = flow_down(c), up = flow_up(w, c);
		uint64_t left = UINT64_MAX;
		r[way] = f->flags & FLOW_SHUT ? FLOW_WAIT
		         : flow_pump(w, f, way == UPWARD ? down : up,
		                     way == UPWARD ? up : down, &left);
		if (r[way] == FLOW_SOURCE_FAILED || r[way] == FLOW_SINK_FAILED) {
			relay_failed(w, c, (r[way] == FLOW_SOURCE_FAILED) == (way == DOWNWARD));
			return;
		}
	}
	if (relay_over(r[UPWARD], c, UPWARD) && relay_over(r[DOWNWARD], c, DOWNWARD)) {
		conn_log(w, c, FLAG_NONE, NULL, NULL);
		conn_close(w, c, false);
		return;
	}
	for (int way = 0; way < 2; way++) {
		if (r[way] != FLOW_DONE || (c->flow[way].flags & FLOW_SHUT))
			continue;
		end_shut(way == UPWARD ? flow_up(w, c) : flow_down(c));
		c->flow[way].flags |= FLOW_SHUT;
	}
	/* The server has spoken: what the client had to wait with may be there already. */
	if ((c->flags & CONN_HELLO) && c->flow[DOWNWARD].bytes)
		conn_want_again(w, c);
	struct up *u = up_at(w, c->up);
	io_arm(w, c->fd, &c->io, conn_data(w, c));
	io_arm(w, u->fd, &u->io, loop_data(EVENT_UP, u->generation, c->up));
	timer_set(&w->loop, &c->timer, idle_time(w, c));
	if (r[0] == FLOW_BUDGET || r[1] == FLOW_BUDGET)
		conn_want_again(w, c);
}

void conn_want_again(struct worker *w, struct conn *c)
{
	if (c->flags & CONN_AGAIN)
		return;
	c->flags |= CONN_AGAIN;
	c->link = w->again;
	w->again = slab_index(&w->conns, c);
}

/* Deciding. Each of these may end c. */

void conn_tunnel(struct worker *w, struct conn *c, struct route *r, const char *name, size_t len)
{
	bool taken = conn_take_route(w, c, r);

	stat_add(&w->stats.reason[r->reason], 1);
	if (r->reason == ROUTE_WHY_AUDIT) {
		c->flags |= CONN_AUDITED;
		worker_count(w, STAT_AUDITED, 1);
	}
	conn_set_name(w, c, name, len);
	if (!taken) {
		conn_block(w, c, route_reason_code(r->reason));
		return;
	}
	uint32_t generation = c->generation;
	c->state = CONN_DIAL;
	dial_start(w, c, &r->port, name, len, false);
	if (c->generation == generation && c->state == CONN_DIAL)
		flow_shrink(w, &c->flow[UPWARD]);
}

/* hello: for TLS, else NULL. */
static void decide(struct worker *w, struct conn *c, enum route_seen seen,
                   const struct tls_hello *hello)
{
	struct route_query q = { .src = c->src, .dst = c->dst, .port = c->dport, .seen = seen };
	struct route r;

	if (hello) {
		q.name = hello->name_len ? hello->name : NULL;
		q.name_len = hello->name_len;
		q.alpn = hello->alpn;
		q.alpn_len = hello->alpn_len;
		q.ech = hello->ech;
	}
	conn_find_route(w, c, &q, &r);
	conn_tunnel(w, c, &r, q.name, q.name_len);
}

static void decide_tls(struct worker *w, struct conn *c, const uint8_t *buf, size_t len)
{
	struct tls_hello h;
	long n = sniff_tls(buf, len, &h);

	if (n == 0 && len < BUFFER_SIZE)
		return;
	if (n > 0) {
		c->flags |= (uint8_t)(CONN_HELLO | (h.early_data ? CONN_EARLY : 0));
		decide(w, c, ROUTE_SEEN_TLS, &h);
		return;
	}
	int error = n ? (int)n : TLS_OVERSIZE;
	stat_add(&w->stats.tls[-error], 1);
	conn_block(w, c, tls_error_code(error));
}

/*
 * HTTP where no service is found by Host, but one takes every byte of the port, is a tunnel; all
 * other HTTP goes request by request.
 */
static void decide_http(struct worker *w, struct conn *c)
{
	const struct policy *p = conn_policy(w, c);
	struct route_query q = {
		.src = c->src, .dst = c->dst, .port = c->dport, .seen = ROUTE_SEEN_HTTP,
	};
	struct route r;

	if (c->at_gateway ||
	    !(policy_find_port(p, c->dport).flags & (POLICY_PORT_HTTP | POLICY_PORT_AUTO))) {
		conn_find_route(w, c, &q, &r);
		if (r.verdict == ROUTE_SERVICE || r.reason == ROUTE_WHY_NO_SERVER) {
			conn_tunnel(w, c, &r, NULL, 0);
			return;
		}
	}
	c->state = CONN_HTTP;
	exchange_adopt(w, c);
}

static void sniff(struct worker *w, struct conn *c)
{
	struct flow *f = &c->flow[UPWARD];
	const uint8_t *buf = buffer_at(w, f->buf);

	switch (sniff_kind(buf, f->len)) {
	case SNIFF_MORE:
		return;
	case SNIFF_TLS:
		decide_tls(w, c, buf, f->len);
		return;
	case SNIFF_HTTP:
		decide_http(w, c);
		return;
	case SNIFF_HTTP2:
		/* Its names are inside; without reading them it is denied wherever names decide. */
		decide(w, c, ROUTE_SEEN_HTTP, NULL);
		return;
	case SNIFF_OTHER:
		decide(w, c, ROUTE_SEEN_OTHER, NULL);
		return;
	}
}

/* Whether these first bytes suffice for a decision. */
static bool decidable(const uint8_t *buf, size_t len)
{
	struct tls_hello h;
	size_t scanned = 0;

	switch (sniff_kind(buf, len)) {
	case SNIFF_MORE: return false;
	case SNIFF_TLS: return sniff_tls(buf, len, &h) != 0 || len >= BUFFER_SIZE;
	case SNIFF_HTTP: return exchange_head_whole((const char *)buf, len, &scanned);
	default: return true;
	}
}

/*
 * Those whose first bytes come slowly have all the buffers: who has said enough gets one of the last
 * ones, and who has not leaves his bytes in the socket. False: not now; c may be gone.
 */
static bool take_last(struct worker *w, struct conn *c)
{
	struct flow *f = &c->flow[UPWARD];
	ssize_t n = c->tls ? -1 : recv(c->fd, w->scratch, BUFFER_SIZE, MSG_DONTWAIT | MSG_PEEK);

	if (c->tls) {
		w->starved = true;
		conn_want_again(w, c);
		return false;
	}
	if (n > 0 && decidable(w->scratch, (size_t)n)) {
		f->buf = buffer_take_for(w, (size_t)n);
		if (f->buf != NONE)
			return true;
		w->starved = true;
		conn_want_again(w, c);
		return false;
	}
	c->io &= (uint8_t)~IO_READ;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0 || (c->io & IO_RDHUP)) {
		if (n)
			conn_log(w, c, FLAG_DC, NULL, "downstream_closed_before_decision");
		conn_close(w, c, n < 0);
	}
	return false;
}

/* Reads into the buffer that the first bytes are collected in. */
static void sniff_turn(struct worker *w, struct conn *c)
{
	struct flow *f = &c->flow[UPWARD];

	if (!(c->io & IO_READ))
		return;
	if (f->buf == NONE) {
		f->buf = buffer_take_spare(w);
		f->off = f->len = 0;
		if (f->buf == NONE && !take_last(w, c))
			return;
	}
	size_t room = buffer_room(f->buf) - f->len;
	ssize_t n = end_read(flow_down(c), buffer_at(w, f->buf) + f->len, room);
	if (n < 0 && errno == EAGAIN) {
		if (!f->len)
			flow_release(w, f);
		return;
	}
	if (n <= 0) {
		if (f->len || n < 0)
			conn_log(w, c, FLAG_DC, NULL, "downstream_closed_before_decision");
		conn_close(w, c, n < 0);
		return;
	}
	f->len += (uint32_t)n;
	f->bytes += (uint64_t)n;
	uint32_t generation = c->generation;
	sniff(w, c);
	/* Still undecided with an end in sight: read on to see it. */
	if (c->generation == generation && c->state == CONN_SNIFF && (c->io & IO_READ))
		conn_want_again(w, c);
}

/* Events. Each of these may end c. */

static void linger_turn(struct worker *w, struct conn *c)
{
	for (int i = 0; i < LINGER_READS; i++) {
		ssize_t n = end_read(flow_down(c), w->scratch, SCRATCH_SIZE);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			break;
	}
	conn_close(w, c, false);
}

static void turn(struct worker *w, struct conn *c)
{
	switch ((enum conn_state)c->state) {
	case CONN_PROXY: case CONN_HANDSHAKE: server_turn(w, c); return;
	case CONN_SNIFF: sniff_turn(w, c); return;
	case CONN_RELAY: relay_turn(w, c); return;
	case CONN_HTTP: exchange_turn(w, c); return;
	case CONN_DNS: stub_tcp_turn(w, c); return;
	case CONN_LINGER: linger_turn(w, c); return;
	case CONN_DIAL:
		/* Bytes wait in the socket; a client that is gone needs no upstream. */
		if (c->io & IO_ERROR) {
			conn_log(w, c, FLAG_DC, NULL, "downstream_reset");
			conn_close(w, c, true);
		}
		return;
	case CONN_FREE: return;
	}
}

void conn_ready(struct worker *w, struct conn *c, uint32_t events)
{
	io_events(&c->io, events);
	turn(w, c);
}

void conn_up_ready(struct worker *w, struct conn *c, struct up *u, uint32_t events)
{
	if (u->state == UP_CONNECTING || u->state == UP_GREETING) {
		dial_ready(w, c, u, events);
		return;
	}
	io_events(&u->io, events);
	turn(w, c);
}

void conn_again(struct worker *w, struct conn *c)
{
	if (c->state == CONN_FREE)
		slab_give(&w->conns, slab_index(&w->conns, c));
	else
		turn(w, c);
}

void conn_connected(struct worker *w, struct conn *c)
{
	if (c->state == CONN_HTTP) {
		exchange_connected(w, c);
		return;
	}
	c->state = CONN_RELAY;
	relay_turn(w, c);
}

void conn_dial_failed(struct worker *w, struct conn *c, enum access_flag flag, const char *failure)
{
	if (c->state == CONN_HTTP) {
		exchange_dial_failed(w, c, flag, failure);
		return;
	}
	conn_log(w, c, flag, failure, NULL);
	conn_close(w, c, true);
}

static void sniff_timeout(struct worker *w, struct conn *c)
{
	worker_count(w, STAT_CX_SNIFF_TIMEOUT, 1);
	/* Silence is what a client of a server-first protocol does; half a hello is not. */
	if (c->flow[UPWARD].len)
		conn_block(w, c, "sniff-timeout");
	else
		decide(w, c, ROUTE_SEEN_OTHER, NULL);
}

void conn_timeout(struct worker *w, struct conn *c)
{
	switch ((enum conn_state)c->state) {
	case CONN_PROXY: case CONN_HANDSHAKE: server_timeout(w, c); return;
	case CONN_SNIFF: sniff_timeout(w, c); return;
	case CONN_DIAL: dial_timeout(w, c); return;
	case CONN_HTTP: exchange_timeout(w, c); return;
	case CONN_RELAY:
		worker_count(w, STAT_CX_IDLE_TIMEOUT, 1);
		conn_log(w, c, FLAG_NONE, NULL, "idle_timeout");
		conn_close(w, c, true);
		return;
	case CONN_DNS: stub_tcp_timeout(w, c); return;
	case CONN_LINGER: conn_close(w, c, false); return;
	case CONN_FREE: return;
	}
}
