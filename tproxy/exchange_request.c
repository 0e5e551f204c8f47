/* SPDX-License-Identifier: MIT */
/* The upstream half of an exchange: the request's head, then its body. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "tproxy/exchange_rule.h"
#include "tproxy/relay.h"

#define READ_SIZE  (BUFFER_SIZE / 2) /* what is read at once of a body that is framed anew */
#define TURN_STEPS 16

static const char *waiting(struct worker *w, const struct exchange *x)
{
	return exchange_bytes(w, x) + x->body_at;
}

/* Appends what is already here of the body to out; false: its framing is wrong. */
static bool append_waiting(struct worker *w, struct exchange *x, char *out, size_t room, size_t *n)
{
	struct exchange_body *b = &x->rq_body;
	size_t have = x->in_len - x->body_at;

	*n = 0;
	if (b->framing == HTTP_BODY_LENGTH) {
		if (have > b->left)
			have = (size_t)b->left;
		if (have > room)
			have = room;
		memcpy(out, waiting(w, x), have);
		*n = have;
		b->left -= have;
		b->bytes += have;
		x->body_at += (uint32_t)have;
		return true;
	}
	if (b->framing != HTTP_BODY_CHUNKED || !have || room <= HTTP_CHUNK_SLACK)
		return true;
	if (have > room - HTTP_CHUNK_SLACK)
		have = room - HTTP_CHUNK_SLACK;
	long used = http_chunked_feed(&b->chunked, waiting(w, x), have, true, out, room, n);
	if (used < 0)
		return false;
	x->body_at += (uint32_t)used;
	b->bytes += b->chunked.used;
	return true;
}

static bool body_over(const struct exchange_body *b)
{
	return b->framing == HTTP_BODY_NONE ||
	       (b->framing == HTTP_BODY_LENGTH ? b->left == 0 : b->chunked.done);
}

/*
 * A kept connection may have ended while the request was on its way; one that changes nothing may
 * be asked again (RFC 9110 9.2.2).
 */
static enum body_result broken(struct worker *w, struct conn *c, struct exchange *x)
{
	if (up_at(w, c->up)->reused && x->rq.idempotent && x->rq.framing == HTTP_BODY_NONE)
		return BODY_RETRY;
	return BODY_UP_FAILED;
}

enum body_result exchange_send_head(struct worker *w, struct conn *c, struct exchange *x)
{
	char *out = (char *)w->scratch2;
	size_t n, more;

	if (x->head_sent)
		return BODY_WAIT;
	n = exchange_write_request(w, c, x, out, BUFFER_SIZE);
	if (!n)
		return BODY_TOO_LARGE;
	if (!append_waiting(w, x, out + n, BUFFER_SIZE - n, &more))
		return BODY_DOWN_INVALID;
	up_at(w, c->up)->io |= IO_WRITE;
	if (flow_send(w, &c->flow[UPWARD], flow_up(w, c), out, n + more) < 0)
		return errno == ENOBUFS ? BODY_UP_FAILED : broken(w, c, x);
	x->head_sent = true;
	x->rq_body.done = body_over(&x->rq_body);
	return BODY_WAIT;
}

int exchange_send_early(struct worker *w, struct conn *c, struct up *u)
{
	struct exchange *x = exchange_of(w, c);

	if (x->rq.framing != HTTP_BODY_NONE || w->buffers.used == w->buffers.cap)
		return 0;
	size_t n = exchange_write_request(w, c, x, (char *)w->scratch2, BUFFER_SIZE);
	if (!n)
		return 0;
	ssize_t sent = end_write(flow_end(u), w->scratch2, n);
	if (sent <= 0)
		return (int)sent;
	if ((size_t)sent < n) {
		if (flow_send(w, &c->flow[UPWARD], flow_end(u),
		              w->scratch2 + sent, n - (size_t)sent) < 0)
			return -1;
	}
	x->head_sent = true;
	return 1;
}

/*
 * Bytes from the client for a chunked body: what it can hold is decoded, what comes behind it is
 * kept for the next request.
 */
static enum body_result chunked_step(struct worker *w, struct conn *c, struct exchange *x)
{
	struct exchange_body *b = &x->rq_body;
	char *out = (char *)w->scratch2;
	size_t n;

	if (x->body_at == x->in_len) {
		if (!(c->io & IO_READ))
			return BODY_WAIT;
		/* The head stays for the log; the space behind it takes the body. */
		x->in_len = x->body_at = x->head_len;
		size_t room = buffer_room(x->in) - x->head_len;
		room = buffer_limit(w, room < READ_SIZE ? room : READ_SIZE);
		ssize_t got = end_read(flow_down(c), buffer_at(w, x->in) + x->head_len, room);
		if (got < 0 && errno == EAGAIN)
			return BODY_WAIT;
		if (got <= 0)
			return BODY_DOWN_FAILED;
		x->in_len += (uint32_t)got;
	}
	if (!append_waiting(w, x, out, BUFFER_SIZE, &n))
		return BODY_DOWN_INVALID;
	if (n && flow_send(w, &c->flow[UPWARD], flow_up(w, c), out, n) < 0)
		return BODY_UP_FAILED;
	return b->chunked.done ? BODY_DONE : BODY_AGAIN;
}

static enum body_result pump_chunked(struct worker *w, struct conn *c, struct exchange *x)
{
	for (int i = 0; i < TURN_STEPS; i++) {
		int r = flow_flush(w, &c->flow[UPWARD], flow_up(w, c));
		if (r <= 0)
			return r < 0 ? BODY_UP_FAILED : BODY_WAIT;
		if (!buffer_limit(w, READ_SIZE)) {
			w->starved = true;
			return BODY_AGAIN;
		}
		enum body_result step = chunked_step(w, c, x);
		if (step != BODY_AGAIN)
			return step;
	}
	return BODY_AGAIN;
}

static enum body_result pump_length(struct worker *w, struct conn *c, struct exchange *x)
{
	struct flow *f = &c->flow[UPWARD];
	struct exchange_body *b = &x->rq_body;
	uint64_t before;

	while (x->body_at < x->in_len && b->left) {
		size_t n;
		int r = flow_flush(w, f, flow_up(w, c));
		if (r <= 0)
			return r < 0 ? BODY_UP_FAILED : BODY_WAIT;
		if (!append_waiting(w, x, (char *)w->scratch2, BUFFER_SIZE, &n))
			return BODY_DOWN_INVALID;
		if (flow_send(w, f, flow_up(w, c), w->scratch2, n) < 0)
			return BODY_UP_FAILED;
	}
	before = b->left;
	enum flow_result r = flow_pump(w, f, flow_down(c), flow_up(w, c),
	                               &b->left);
	b->bytes += before - b->left;
	switch (r) {
	case FLOW_DONE: return b->left ? BODY_DOWN_FAILED : BODY_DONE;
	case FLOW_BUDGET: return BODY_AGAIN;
	case FLOW_SOURCE_FAILED: return BODY_DOWN_FAILED;
	case FLOW_SINK_FAILED: return BODY_UP_FAILED;
	case FLOW_WAIT: break;
	}
	return BODY_WAIT;
}

enum body_result exchange_pump_request(struct worker *w, struct conn *c, struct exchange *x)
{
	return x->rq_body.framing == HTTP_BODY_CHUNKED ? pump_chunked(w, c, x)
	       : pump_length(w, c, x);
}
