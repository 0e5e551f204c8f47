/* SPDX-License-Identifier: MIT */
/* The start of an exchange: the request head is read, checked and decided. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "rules/gateway.h"
#include "tproxy/conn.h"
#include "tproxy/dial.h"
#include "tproxy/exchange.h"
#include "tproxy/exchange_rule.h"
#include "tproxy/relay.h"

#define CHUNK_ROOM 512u

/* Not HTTP as we read it. May end c. */
static void refuse(struct worker *w, struct conn *c, struct exchange *x, int error)
{
	stat_add(&w->stats.http[-error], 1);
	x->parsed = false;
	x->rq.framing = HTTP_BODY_NONE;
	exchange_answer(w, c, x, http_error_status(error), FLAG_DPE, http_error_code(error), NULL,
	                NULL);
}

/* May end c. */
static void block(struct worker *w, struct conn *c, struct exchange *x, const struct route *r)
{
	worker_count(w, STAT_RQ_BLOCKED, 1);
	x->route_name = "block_all";
	c->service = NONE;
	if (c->at_gateway || r->reason == ROUTE_WHY_NO_ROUTE)
		exchange_answer(w, c, x, 404, FLAG_NR, "route_not_found", NULL,
		                route_reason_code(r->reason));
	else
		exchange_answer(w, c, x, 502, FLAG_NONE, "direct_response", NULL,
		                route_reason_code(r->reason));
}

/* What the policy says of requests that go this way. */
static void adopt(struct worker *w, struct conn *c, struct exchange *x, const struct route *r)
{
	const struct policy *p = conn_policy(w, c);
	struct policy_service s;

	x->port = r->port;
	x->route_name = r->verdict == ROUTE_SERVICE ? "default"
	                : r->reason == ROUTE_WHY_AUDIT ? "audit" : "allow_any";
	if (r->routed)
		exchange_take_rule(w, c, x, r);
	if (r->verdict == ROUTE_PASSTHROUGH) {
		x->upgrade = x->rq.websocket;
		return;
	}
	/* A gateway that hands on to another knows no service; then nothing special is allowed. */
	uint32_t service = r->verdict == ROUTE_SERVICE ? r->service : c->service;
	if (service == NONE)
		return;
	policy_service(p, service, &s);
	x->upgrade = x->rq.websocket && s.websocket;
	x->no_alt_svc = s.no_alt_svc;
	if (s.scrub)
		http_request_scrub(exchange_bytes(w, x), &x->rq);
}

/* The decision. May end c. */
static void decide(struct worker *w, struct conn *c, struct exchange *x)
{
	struct route_query q = {
		.src = c->src, .dst = c->dst, .port = c->dport, .seen = ROUTE_SEEN_HTTP,
		.name = x->rq.host_len ? x->rq.host : NULL, .name_len = x->rq.host_len,
		.host = x->rq.host_is_addr ? &x->rq.host_addr : NULL,
	};
	struct route r;

	worker_drop_policy(w, c);
	worker_take_policy(w, c);
	if (!exchange_find_route(w, c, x, &q, &r)) {
		refuse(w, c, x, HTTP_PATH);
		return;
	}
	bool answered = exchange_is_answered(w, c, &r);
	bool taken = answered || conn_take_route(w, c, &r);
	stat_add(&w->stats.reason[r.reason], 1);
	worker_count(w, STAT_RQ_TOTAL, 1);
	if (r.reason == ROUTE_WHY_AUDIT)
		worker_count(w, STAT_AUDITED, 1);
	if (!taken) {
		block(w, c, x, &r);
		return;
	}
	if (answered) {
		exchange_answer_rule(w, c, x, &r);
		return;
	}
	adopt(w, c, x, &r);
	x->phase = EXCHANGE_DIAL;
	exchange_set_limits(w, c, x);
	dial_start(w, c, &x->port, q.name, q.name_len, true);
}

bool exchange_head_whole(const char *head, size_t len, size_t *scanned)
{
	return http_head_length(head, len, scanned) != 0 || len >= CONFIG_HTTP_HEAD_MAX;
}

/* A chunked body is read into the room behind the head. False: there is none to be had. */
static bool fit_buffer(struct worker *w, struct exchange *x)
{
	if (x->rq_body.framing != HTTP_BODY_CHUNKED) {
		x->in = buffer_shrink(w, x->in, x->in_len);
		return true;
	}
	if (buffer_room(x->in) - x->head_len >= CHUNK_ROOM)
		return true;
	uint32_t large = buffer_grow(w, x->in, x->in_len);
	x->in = large == NONE ? x->in : large;
	return large != NONE;
}

/* May end c. */
static void head_complete(struct worker *w, struct conn *c, struct exchange *x, size_t len)
{
	x->head_len = x->body_at = (uint32_t)len;
	int error = http_request_parse(exchange_bytes(w, x), len, c->at_gateway ? 0 : c->dport,
	                               &x->rq);
	if (error) {
		refuse(w, c, x, error);
		return;
	}
	x->parsed = true;
	x->close_client = !x->rq.keep_alive;
	x->rq_body.framing = x->rq_body.promised = x->rq.framing;
	x->rq_body.left = x->rq.length;
	x->rq_body.done = x->rq.framing == HTTP_BODY_NONE;
	if (x->rq.framing == HTTP_BODY_CHUNKED)
		http_chunked_init(&x->rq_body.chunked, false);
	if (fit_buffer(w, x))
		decide(w, c, x);
	else
		conn_close(w, c, true);
}

/* Reads on. True: bytes came. May end c when it returns false. */
static bool read_in(struct worker *w, struct conn *c, struct exchange *x)
{
	size_t room = buffer_room(x->in) - x->in_len;

	if (!room) {
		uint32_t large = buffer_grow(w, x->in, x->in_len);
		if (large == NONE) {
			w->starved = true;
			conn_want_again(w, c);
			return false;
		}
		x->in = large;
		room = BUFFER_SIZE - x->in_len;
	}
	ssize_t n = end_read(flow_down(c), exchange_bytes(w, x) + x->in_len, room);

	if (n < 0 && errno == EAGAIN) {
		if (!x->in_len)
			exchange_free(w, c);
		return false;
	}
	if (n <= 0) {
		conn_close(w, c, n < 0);
		return false;
	}
	if (!x->in_len)
		timer_set(&w->loop, &c->timer, w->config->head_ms);
	x->in_len += (uint32_t)n;
	return true;
}

void exchange_read_head(struct worker *w, struct conn *c, struct exchange *x)
{
	for (;;) {
		long n = x->in_len ? http_head_length(exchange_bytes(w, x), x->in_len, &x->scanned)
		         : 0;
		if (n < 0 || n > CONFIG_HTTP_HEAD_MAX ||
		    (n == 0 && x->in_len >= CONFIG_HTTP_HEAD_MAX)) {
			refuse(w, c, x, n < 0 ? (int)n : HTTP_TOO_LARGE);
			return;
		}
		if (n > 0) {
			head_complete(w, c, x, (size_t)n);
			return;
		}
		if (!(c->io & IO_READ) || !read_in(w, c, x))
			return;
	}
}

/* As in conn.c: one of the last buffers is for a head that is there. May end c. */
static uint32_t take_last(struct worker *w, struct conn *c)
{
	size_t scanned = 0;
	ssize_t n = c->tls ? -1 : recv(c->fd, w->scratch, BUFFER_SIZE, MSG_DONTWAIT | MSG_PEEK);

	if (c->tls) {
		w->starved = true;
		conn_want_again(w, c);
		return NONE;
	}
	if (n > 0 && exchange_head_whole((const char *)w->scratch, (size_t)n, &scanned)) {
		uint32_t in = buffer_take_for(w, (size_t)n);
		if (in != NONE)
			return in;
		w->starved = true;
		conn_want_again(w, c);
		return NONE;
	}
	c->io &= (uint8_t)~IO_READ;
	bool waits = n < 0 && (errno == EAGAIN || errno == EINTR);
	if (!waits && (n <= 0 || (c->io & IO_RDHUP)))
		conn_close(w, c, n < 0);
	return NONE;
}

bool exchange_begin(struct worker *w, struct conn *c)
{
	if (!flow_empty(&c->flow[DOWNWARD]) || !(c->io & IO_READ))
		return false;
	uint32_t in = buffer_take_spare(w);
	if (in == NONE) {
		in = take_last(w, c);
		if (in == NONE)
			return false;
	}
	if (!exchange_take(w, c, in, 0)) {
		buffer_give(w, in);
		conn_close(w, c, true);
		return false;
	}
	return true;
}
