/* SPDX-License-Identifier: MIT */
/* The life of an HTTP exchange: head, decision, answers of our own, log line, what comes next. */
#include "tproxy/exchange_rule.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tproxy/conn.h"
#include "tproxy/dial.h"
#include "tproxy/relay.h"
#include "tproxy/upstream.h"

#define DISCARD_MAX (1u << 20) /* of a refused request's body, so that its connection can be kept */
#define LINGER_MS   2000
#define RESET       (POLICY_RETRY_RESET | POLICY_RETRY_GATEWAY_ERROR | POLICY_RETRY_5XX)
#define BROKE       "upstream_reset_before_response_started"

/* Taking and giving back */

void exchange_free(struct worker *w, struct conn *c)
{
	struct exchange *x = exchange_of(w, c);

	if (x->in != NONE)
		buffer_give(w, x->in);
	if (x->rs_buf != NONE)
		buffer_give(w, x->rs_buf);
	slab_give(&w->exchanges, c->exchange);
	c->exchange = NONE;
	worker_count(w, STAT_RQ_ACTIVE, -1);
}

static void reset(struct worker *w, struct exchange *x)
{
	uint32_t in = x->in, in_len = x->in_len;

	memset(x, 0, sizeof(*x));
	x->in = in;
	x->in_len = in_len;
	x->rs_buf = x->route = NONE;
	x->start_ms = w->loop.now_ms;
}

bool exchange_take(struct worker *w, struct conn *c, uint32_t in, uint32_t in_len)
{
	uint32_t i = slab_take(&w->exchanges);
	if (i == NONE)
		return false;
	c->exchange = i;
	struct exchange *x = exchange_of(w, c);
	x->in = in;
	x->in_len = in_len;
	reset(w, x);
	worker_count(w, STAT_RQ_ACTIVE, 1);
	return true;
}

void exchange_adopt(struct worker *w, struct conn *c)
{
	struct flow *f = &c->flow[UPWARD];

	if (!exchange_take(w, c, f->buf, f->len)) {
		conn_close(w, c, true);
		return;
	}
	f->buf = NONE;
	f->len = f->off = 0;
	f->bytes = 0;
	exchange_turn(w, c);
}

static void release_upstream(struct worker *w, struct conn *c, bool keep)
{
	struct flow *f = &c->flow[UPWARD];
	bool clean = flow_empty(f) && !c->flow[DOWNWARD].piped;

	flow_release(w, f);
	f->flags = 0;
	c->flow[DOWNWARD].flags = 0;
	if (c->up == NONE)
		return;
	if (keep && clean && !dial_is_worn(w, c))
		up_keep(w, c->up);
	else
		up_close(w, c->up, true);
	c->up = NONE;
}

/* Ends the connection once the client has everything. May end c. */
static void linger(struct worker *w, struct conn *c)
{
	release_upstream(w, c, false);
	if (c->exchange != NONE)
		exchange_free(w, c);
	timer_set(&w->loop, &c->timer, LINGER_MS);
	if (!flow_empty(&c->flow[DOWNWARD])) {
		c->flags |= CONN_CLOSING;
		io_arm(w, c->fd, &c->io, conn_data(w, c));
		return;
	}
	end_shut(flow_down(c));
	if (c->io & IO_ERROR) {
		conn_close(w, c, false);
		return;
	}
	c->state = CONN_LINGER;
	conn_want_again(w, c);
}

void exchange_abort(struct worker *w, struct conn *c, enum access_flag flag,
                    const char *termination)
{
	struct exchange *x = exchange_of(w, c);

	if (x->parsed)
		exchange_log(w, c, x, flag, x->head_done ? "via_upstream" : NULL, NULL,
		             termination);
	conn_close(w, c, true);
}

/* The exchange is over and logged: the next one, or the end. May end c. */
static void next(struct worker *w, struct conn *c, struct exchange *x)
{
	if (x->close_client || w->draining) {
		linger(w, c);
		return;
	}
	uint32_t rest = x->in_len - x->body_at;
	if (rest) {
		memmove(exchange_bytes(w, x), exchange_bytes(w, x) + x->body_at, rest);
		x->in_len = rest;
		reset(w, x);
		timer_set(&w->loop, &c->timer, w->config->head_ms);
	} else {
		exchange_free(w, c);
		timer_set(&w->loop, &c->timer, w->config->keepalive_ms);
	}
	c->service = c->destination = c->key = NONE;
	c->flags &= (uint8_t)~(CONN_PASSTHROUGH | CONN_AUDITED);
	io_arm(w, c->fd, &c->io, conn_data(w, c));
	if (rest || (c->io & IO_READ))
		conn_want_again(w, c);
}

/* Answers */

void exchange_answer(struct worker *w, struct conn *c, struct exchange *x, int status,
                     enum access_flag flag, const char *details, const char *failure,
                     const char *termination)
{
	bool discardable = x->phase != EXCHANGE_RUN && x->rq.framing == HTTP_BODY_LENGTH &&
	                   x->rq.length <= DISCARD_MAX && !x->rq.expect_continue;
	bool keep = x->parsed && x->rq.keep_alive && !w->draining &&
	            (x->rq_body.done || discardable);
	size_t n = exchange_write_answer(w, c, x, status, !keep);

	x->status = (uint16_t)status;
	x->direct = c->service == NONE && c->destination == NONE &&
	            !(c->flags & CONN_PASSTHROUGH);
	x->close_client = !keep;
	exchange_log(w, c, x, flag, details, failure, termination);
	if (!n || flow_send(w, &c->flow[DOWNWARD], flow_down(c), w->scratch2, n) < 0) {
		conn_close(w, c, true);
		return;
	}
	release_upstream(w, c, false);
	if (!keep || x->rq_body.done) {
		next(w, c, x);
		return;
	}
	x->phase = EXCHANGE_DISCARD;
	x->rq_body.left = x->rq.length;
	timer_set(&w->loop, &c->timer, w->config->head_ms);
	conn_want_again(w, c);
}

/* Throws a body away. May end c. */
static void discard(struct worker *w, struct conn *c, struct exchange *x)
{
	uint64_t have = x->in_len - x->body_at;

	if (have > x->rq_body.left)
		have = x->rq_body.left;
	x->body_at += (uint32_t)have;
	x->rq_body.left -= have;
	while (x->rq_body.left) {
		size_t want = x->rq_body.left < BUFFER_SIZE ? (size_t)x->rq_body.left : BUFFER_SIZE;
		ssize_t n = end_read(flow_down(c), w->scratch, want);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			conn_close(w, c, false);
			return;
		}
		x->rq_body.left -= (uint64_t)n;
	}
	next(w, c, x);
}

/* Upstream and bodies */

/* Both bodies are over. May end c. */
static void complete(struct worker *w, struct conn *c, struct exchange *x)
{
	/* An answer before the request's end: the rest of it belongs to nobody. */
	if (!x->rq_body.done)
		x->close_client = true;
	exchange_log(w, c, x, exchange_flag(x, FLAG_NONE), "via_upstream", NULL, NULL);
	release_upstream(w, c, x->reusable && x->rq_body.done);
	next(w, c, x);
}

/* May end c. */
static void dial(struct worker *w, struct conn *c, struct exchange *x, bool pooled)
{
	dial_start(w, c, &x->port, x->rq.host_len ? x->rq.host : NULL, x->rq.host_len, pooled);
}

/* Back to where nothing of the request is sent. */
static void rewind_to_dial(struct worker *w, struct conn *c, struct exchange *x)
{
	release_upstream(w, c, false);
	x->phase = EXCHANGE_DIAL;
	x->head_sent = false;
	x->try_ms = 0;
}

/* Once more, after a while. */
static void try_again(struct worker *w, struct conn *c, struct exchange *x)
{
	dial_report(w, c, x->status);
	rewind_to_dial(w, c, x);
	x->status = 0;
	timer_set(&w->loop, &c->timer, exchange_pause(w, x));
}

/* The upstream broke. Before the response's head the client gets one of ours. May end c. */
static void upstream_failed(struct worker *w, struct conn *c, struct exchange *x,
                            enum access_flag flag, const char *details, const char *why)
{
	if (x->head_done) {
		exchange_abort(w, c, flag, why);
		return;
	}
	bool broken = flag != FLAG_UT || exchange_try_is_late(w, x);
	if (broken && exchange_tries_again(w, c, x, RESET, 0)) {
		try_again(w, c, x);
		return;
	}
	dial_report(w, c, 0);
	int status = flag == FLAG_UT ? 504 : flag == FLAG_UPE ? 502 : 503;
	exchange_answer(w, c, x, status, exchange_flag(x, flag), details, why, NULL);
}

/* The route's time is over. May end c. */
static void out_of_time(struct worker *w, struct conn *c, struct exchange *x)
{
	upstream_failed(w, c, x, FLAG_UT, "response_timeout", x->head_done ? "response_timeout" : NULL);
}

/* A chunk that is none. What the server has of the request stays incomplete. May end c. */
static void chunk_refused(struct worker *w, struct conn *c, struct exchange *x)
{
	const char *why = http_error_code(HTTP_CHUNK);

	stat_add(&w->stats.http[-HTTP_CHUNK], 1);
	if (x->head_done)
		exchange_abort(w, c, FLAG_DPE, why);
	else
		exchange_answer(w, c, x, http_error_status(HTTP_CHUNK), FLAG_DPE, why, NULL, NULL);
}

static void upgraded(struct worker *w, struct conn *c, struct exchange *x)
{
	struct up *u = up_at(w, c->up);
	struct flow *f = &c->flow[UPWARD];
	uint32_t rest = x->in_len - x->body_at;

	c->state = CONN_RELAY;
	c->flags |= CONN_UPGRADED;
	f->flags = 0;
	f->bytes = rest;
	if (rest && flow_send(w, f, flow_up(w, c),
	                      exchange_bytes(w, x) + x->body_at, rest) < 0) {
		exchange_log_upgraded(w, c, FLAG_UC, "upstream_reset");
		conn_close(w, c, true);
		return;
	}
	c->io |= IO_READ;
	u->io |= IO_READ;
	conn_want_again(w, c);
}

/* What a pump reported other than waiting. May end c. */
static void settle(struct worker *w, struct conn *c, struct exchange *x, enum body_result r)
{
	switch (r) {
	case BODY_DOWN_FAILED:
		exchange_abort(w, c, FLAG_DC, "downstream_remote_disconnect");
		return;
	case BODY_DOWN_INVALID:
		chunk_refused(w, c, x);
		return;
	case BODY_UP_FAILED:
		upstream_failed(w, c, x, FLAG_UC, BROKE, "connection_termination");
		return;
	case BODY_UP_INVALID:
		upstream_failed(w, c, x, FLAG_UPE, BROKE, "protocol_error");
		return;
	case BODY_RETRY:
		rewind_to_dial(w, c, x);
		dial(w, c, x, false);
		return;
	case BODY_TRY_AGAIN:
		try_again(w, c, x);
		return;
	case BODY_TOO_LARGE:
		exchange_answer(w, c, x, http_error_status(HTTP_TOO_LARGE), FLAG_DPE,
		                http_error_code(HTTP_TOO_LARGE), NULL, NULL);
		return;
	case BODY_AGAIN:
		conn_want_again(w, c);
		return;
	case BODY_WAIT:
	case BODY_DONE:
		return;
	}
}

/* May end c. */
static void run_turn(struct worker *w, struct conn *c, struct exchange *x)
{
	struct up *u = up_at(w, c->up);
	enum body_result up = BODY_DONE, down;

	if (!x->rq_body.done) {
		up = exchange_pump_request(w, c, x);
		if (up == BODY_DONE) {
			x->rq_body.done = true;
			exchange_set_limits(w, c, x);
		}
	} else if (flow_flush(w, &c->flow[UPWARD], flow_up(w, c)) < 0) {
		up = BODY_UP_FAILED;
	}
	/* A server may answer and close without reading on: its answer counts. */
	down = exchange_pump_response(w, c, x);
	if (down == BODY_DONE && x->status == 101) {
		upgraded(w, c, x);
		return;
	}
	if (down == BODY_DONE) {
		complete(w, c, x);
		return;
	}
	if (down == BODY_WAIT && (up != BODY_WAIT && up != BODY_DONE))
		down = up;
	else if (up == BODY_AGAIN && down == BODY_WAIT)
		down = BODY_AGAIN;
	if (down != BODY_WAIT && down != BODY_AGAIN) {
		settle(w, c, x, down);
		return;
	}
	if (c->io & IO_ERROR) {
		exchange_abort(w, c, FLAG_DC, "downstream_remote_disconnect");
		return;
	}
	io_arm(w, c->fd, &c->io, conn_data(w, c));
	io_arm(w, u->fd, &u->io, loop_data(EVENT_UP, u->generation, c->up));
	timer_set(&w->loop, &c->timer, exchange_run_time(w, c, x));
	settle(w, c, x, down);
}

void exchange_turn(struct worker *w, struct conn *c)
{
	if (c->flags & CONN_CLOSING) {
		int r = flow_flush(w, &c->flow[DOWNWARD], flow_down(c));
		if (r < 0)
			conn_close(w, c, true);
		else if (r > 0)
			linger(w, c);
		return;
	}
	if (c->exchange == NONE || exchange_of(w, c)->phase == EXCHANGE_HEAD) {
		/* An answer that the client has not taken yet goes before the next request. */
		int r = flow_flush(w, &c->flow[DOWNWARD], flow_down(c));
		if (r < 0) {
			conn_close(w, c, true);
			return;
		}
		if (r == 0)
			return;
		if (c->exchange == NONE && !exchange_begin(w, c))
			return;
	}
	struct exchange *x = exchange_of(w, c);
	switch (x->phase) {
	case EXCHANGE_HEAD: exchange_read_head(w, c, x); return;
	case EXCHANGE_RUN: run_turn(w, c, x); return;
	case EXCHANGE_DISCARD: discard(w, c, x); return;
	case EXCHANGE_DIAL:
		if (c->io & IO_ERROR)
			exchange_abort(w, c, FLAG_DC, "downstream_remote_disconnect");
		return;
	}
}

void exchange_connected(struct worker *w, struct conn *c)
{
	struct exchange *x = exchange_of(w, c);

	x->phase = EXCHANGE_RUN;
	c->flow[UPWARD].flags = c->flow[DOWNWARD].flags = 0;
	enum body_result r = exchange_send_head(w, c, x);
	exchange_set_limits(w, c, x);
	if (r == BODY_WAIT || r == BODY_DONE)
		run_turn(w, c, x);
	else
		settle(w, c, x, r);
}

void exchange_dial_failed(struct worker *w, struct conn *c, enum access_flag flag,
                          const char *failure)
{
	struct exchange *x = exchange_of(w, c);

	if (exchange_is_late(w, x))
		out_of_time(w, c, x);
	else if (flag == FLAG_UF &&
	         exchange_tries_again(w, c, x, RESET | POLICY_RETRY_CONNECT_FAILURE, 0))
		try_again(w, c, x);
	else
		exchange_answer(w, c, x, 503, exchange_flag(x, flag),
		                flag == FLAG_UH ? "no_healthy_upstream" : BROKE, failure, NULL);
}

void exchange_timeout(struct worker *w, struct conn *c)
{
	if (c->exchange == NONE) {
		/* An answer that was not taken is not left to the kernel to keep. */
		conn_close(w, c, !flow_empty(&c->flow[DOWNWARD]));
		return;
	}
	struct exchange *x = exchange_of(w, c);
	switch (x->phase) {
	case EXCHANGE_HEAD:
		exchange_answer(w, c, x, 408, FLAG_DT, "request_header_timeout", NULL, NULL);
		return;
	case EXCHANGE_DIAL:
		if (c->dial != NONE)
			dial_timeout(w, c);
		else if (exchange_is_late(w, x))
			out_of_time(w, c, x);
		else
			dial(w, c, x, true);
		return;
	case EXCHANGE_RUN:
		if (exchange_is_late(w, x)) {
			out_of_time(w, c, x);
			return;
		}
		if (exchange_try_is_late(w, x)) {
			upstream_failed(w, c, x, FLAG_UT, "upstream_per_try_timeout", NULL);
			return;
		}
		worker_count(w, STAT_CX_IDLE_TIMEOUT, 1);
		if (c->io & IO_RDHUP) {
			exchange_abort(w, c, FLAG_DC, "half_closed_timeout");
			return;
		}
		upstream_failed(w, c, x, FLAG_UT, BROKE,
		                x->head_done ? "stream_idle_timeout" : "response_timeout");
		return;
	case EXCHANGE_DISCARD:
		conn_close(w, c, true);
		return;
	}
}
