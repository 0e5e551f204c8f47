/* SPDX-License-Identifier: MIT */
/* The downstream half of an exchange: the response's head, then its body. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "tproxy/dial.h"
#include "tproxy/exchange_rule.h"
#include "tproxy/relay.h"

#define READ_SIZE   (BUFFER_SIZE / 2)
#define TURN_STEPS  16
#define INTERIM_MAX 8

/*
 * Bytes of the body in its new framing, to out. Returns how many of in were used, or -1: the
 * framing is wrong.
 */
static long transform(struct exchange_body *b, const char *in, size_t len, char *out, size_t room,
                      size_t *n)
{
	*n = 0;
	if (b->framing == HTTP_BODY_NONE)
		return 0;
	if (b->framing == HTTP_BODY_CHUNKED) {
		long used = http_chunked_feed(&b->chunked, in, len,
		                              b->promised == HTTP_BODY_CHUNKED, out, room, n);
		if (used < 0)
			return -1;
		b->bytes += b->chunked.used;
		return used;
	}
	if (b->framing == HTTP_BODY_LENGTH) {
		if (len > b->left)
			len = (size_t)b->left;
		b->left -= len;
	}
	if (b->framing == HTTP_BODY_CLOSE && b->promised == HTTP_BODY_CHUNKED && len) {
		*n = http_chunk_header(len, out);
		memcpy(out + *n, in, len);
		memcpy(out + *n + len, "\r\n", 2);
		*n += len + 2;
	} else {
		memcpy(out, in, len);
		*n = len;
	}
	b->bytes += len;
	return (long)len;
}

static bool body_over(const struct exchange_body *b)
{
	switch (b->framing) {
	case HTTP_BODY_NONE: return true;
	case HTTP_BODY_LENGTH: return b->left == 0;
	case HTTP_BODY_CHUNKED: return b->chunked.done;
	case HTTP_BODY_CLOSE: break;
	}
	return false;
}

/* Reads at most room bytes. > 0; 0: nothing there; -1: it ended; -2: it failed. */
static long read_up(struct worker *w, struct conn *c, void *to, size_t room)
{
	struct up *u = up_at(w, c->up);

	if (!(u->io & IO_READ))
		return 0;
	ssize_t n = end_read(flow_end(u), to, room);
	if (n < 0 && errno == EAGAIN)
		return 0;
	return n > 0 ? n : n ? -2 : -1;
}

static void plan_body(struct worker *w, struct exchange *x, const struct http_response *rs,
                      enum http_framing promised)
{
	struct exchange_body *b = &x->rs_body;

	x->head_done = true;
	x->status = rs->status;
	x->first_byte_ms = w->loop.now_ms;
	x->reusable = rs->keep_alive && rs->framing != HTTP_BODY_CLOSE;
	b->framing = rs->framing;
	b->promised = promised;
	b->left = rs->length;
	if (b->framing == HTTP_BODY_CHUNKED)
		http_chunked_init(&b->chunked, true);
	if (promised == HTTP_BODY_CLOSE)
		x->close_client = true;
}

/*
 * Writes one head to scratch2 behind *n. 1: the final one; 0: an interim one; -1: refused; -2: the
 * request is tried again.
 */
static int pass_head(struct worker *w, struct conn *c, struct exchange *x, const char *head,
                     size_t len, size_t *n)
{
	struct http_response rs;
	enum http_framing promised;
	char *out = (char *)w->scratch2 + *n;
	size_t room = BUFFER_SIZE - *n, wrote;

	if (http_response_parse(head, len, x->rq.head, x->upgrade, &rs))
		return -1;
	if (x->no_alt_svc)
		http_response_strip(head, &rs);
	bool interim = rs.status < 200 && rs.status != 101;
	if (interim && ++x->interim > INTERIM_MAX)
		return -1;
	/* HTTP/1.0 knows no interim responses. */
	if (interim && !x->rq.minor)
		return 0;
	if (!interim && exchange_tries_again(w, c, x, 0, rs.status)) {
		x->status = rs.status;
		return -2;
	}
	wrote = exchange_write_response(w, c, x, head, &rs,
	                                x->close_client && !interim && rs.status != 101,
	                                &promised, out, room);
	if (!wrote)
		return -1;
	*n += wrote;
	if (interim)
		return 0;
	plan_body(w, x, &rs, promised);
	return 1;
}

/*
 * Heads in data: interim ones are passed on, the final one with what is already here of the body.
 * Returns bytes used, *failed when the client did not get them; -1: refused; -2: tried again.
 */
static long pass_heads(struct worker *w, struct conn *c, struct exchange *x, const char *data,
                       size_t len, bool *failed)
{
	size_t at = 0, n = 0, more;

	while (!x->head_done) {
		long head = http_head_length(data + at, len - at, &x->rs_scanned);
		if (head < 0 || (head == 0 && len - at >= CONFIG_HTTP_HEAD_MAX))
			return -1;
		if (head == 0)
			break;
		x->rs_scanned = 0;
		int passed = pass_head(w, c, x, data + at, (size_t)head, &n);
		if (passed < 0)
			return passed;
		at += (size_t)head;
	}
	if (x->head_done && x->status != 101 && at < len) {
		/* A buffer must be able to hold all of it, framing included. */
		size_t take = BUFFER_SIZE - n > HTTP_CHUNK_SLACK
		              ? BUFFER_SIZE - n - HTTP_CHUNK_SLACK : 0;
		long used = transform(&x->rs_body, data + at, take < len - at ? take : len - at,
		                      (char *)w->scratch2 + n, SCRATCH_SIZE - n, &more);
		if (used < 0)
			return -1;
		n += more;
		at += (size_t)used;
	}
	if (n && flow_send(w, &c->flow[DOWNWARD], flow_down(c), w->scratch2, n) < 0)
		*failed = true;
	return (long)at;
}

/* Keeps an incomplete head. */
static bool stash(struct worker *w, struct exchange *x, const char *data, size_t len)
{
	if (x->rs_buf == NONE)
		x->rs_buf = buffer_scarce(w) ? buffer_take_for(w, len) : buffer_take(w);
	if (x->rs_buf == NONE || len > buffer_room(x->rs_buf))
		return false;
	memmove(buffer_at(w, x->rs_buf), data, len);
	x->rs_len = (uint32_t)len;
	return true;
}

/* Bytes behind the final head that found no place: of an upgraded protocol, or of the body. */
static enum body_result behind_head(struct worker *w, struct conn *c, struct exchange *x,
                                    const char *data, size_t len)
{
	if (x->status == 101) {
		c->flow[DOWNWARD].bytes = len;
		if (len && flow_send(w, &c->flow[DOWNWARD], flow_down(c), data, len) < 0)
			return BODY_DOWN_FAILED;
		return BODY_DONE;
	}
	if (!len)
		return BODY_AGAIN;
	if (body_over(&x->rs_body)) {
		/* More than was announced: it belongs to no request. */
		x->reusable = false;
		return BODY_AGAIN;
	}
	return stash(w, x, data, len) ? BODY_AGAIN : BODY_UP_INVALID;
}

static enum body_result pump_head(struct worker *w, struct conn *c, struct exchange *x)
{
	char *data = (char *)(x->rs_buf != NONE ? buffer_at(w, x->rs_buf) : w->scratch);
	size_t room = x->rs_buf != NONE ? buffer_room(x->rs_buf) - x->rs_len
	              : buffer_scarce(w) ? SMALL_SIZE / 2 : READ_SIZE;
	bool failed = false;
	long got = room ? read_up(w, c, data + x->rs_len, room) : -2;

	if (got == 0)
		return BODY_WAIT;
	if (got < 0) {
		/* A kept connection ended before it said a word: the request may go out again. */
		bool untouched = !x->rs_len && !x->interim && up_at(w, c->up)->reused;
		if (untouched && x->rq.idempotent && x->rq.framing == HTTP_BODY_NONE)
			return BODY_RETRY;
		return BODY_UP_FAILED;
	}
	size_t len = x->rs_len + (size_t)got;
	long used = pass_heads(w, c, x, data, len, &failed);
	if (used < 0)
		return used == -2 ? BODY_TRY_AGAIN : BODY_UP_INVALID;
	if (x->head_done)
		dial_report(w, c, x->status);
	if (failed)
		return BODY_DOWN_FAILED;
	x->rs_len = 0;
	if (x->head_done)
		return behind_head(w, c, x, data + used, len - (size_t)used);
	if (len > (size_t)used)
		return stash(w, x, data + used, len - (size_t)used) ? BODY_AGAIN : BODY_UP_FAILED;
	return BODY_AGAIN;
}

static enum body_result pump_plain(struct worker *w, struct conn *c, struct exchange *x)
{
	struct exchange_body *b = &x->rs_body;
	struct flow *f = &c->flow[DOWNWARD];
	uint64_t before = f->bytes;
	enum flow_result r = flow_pump(w, f, flow_up(w, c), flow_down(c), &b->left);

	b->bytes += f->bytes - before;
	switch (r) {
	case FLOW_DONE:
		return b->framing == HTTP_BODY_CLOSE || !b->left ? BODY_DONE : BODY_UP_FAILED;
	case FLOW_BUDGET: return BODY_AGAIN;
	case FLOW_SOURCE_FAILED: return BODY_UP_FAILED;
	case FLOW_SINK_FAILED: return BODY_DOWN_FAILED;
	case FLOW_WAIT: break;
	}
	return BODY_WAIT;
}

/* The upstream closed: that is the end of a close-delimited body, and too early for any other. */
static enum body_result framed_end(struct worker *w, struct conn *c, struct exchange *x)
{
	if (x->rs_body.framing != HTTP_BODY_CLOSE)
		return BODY_UP_FAILED;
	x->rs_body.framing = HTTP_BODY_NONE;
	if (flow_send(w, &c->flow[DOWNWARD], flow_down(c), "0\r\n\r\n", 5) < 0)
		return BODY_DOWN_FAILED;
	return BODY_AGAIN;
}

static enum body_result framed_step(struct worker *w, struct conn *c, struct exchange *x)
{
	struct flow *f = &c->flow[DOWNWARD];
	char *data = (char *)w->scratch;
	size_t n, len;

	if (x->rs_buf != NONE) {
		data = (char *)buffer_at(w, x->rs_buf);
		len = x->rs_len;
	} else {
		long got = read_up(w, c, data, buffer_limit(w, READ_SIZE));
		if (got == -1)
			return framed_end(w, c, x);
		if (got <= 0)
			return got ? BODY_UP_FAILED : BODY_WAIT;
		len = (size_t)got;
	}
	long used = transform(&x->rs_body, data, len, (char *)w->scratch2, SCRATCH_SIZE, &n);
	if (used < 0)
		return BODY_UP_INVALID;
	if (x->rs_buf != NONE) {
		buffer_give(w, x->rs_buf);
		x->rs_buf = NONE;
		x->rs_len = 0;
	}
	if ((size_t)used < len)
		x->reusable = false;
	f->bytes += n;
	if (n && flow_send(w, f, flow_down(c), w->scratch2, n) < 0)
		return BODY_DOWN_FAILED;
	return BODY_AGAIN;
}

static enum body_result pump_framed(struct worker *w, struct conn *c, struct exchange *x)
{
	for (int i = 0; i < TURN_STEPS; i++) {
		int r = flow_flush(w, &c->flow[DOWNWARD], flow_down(c));
		if (r <= 0)
			return r < 0 ? BODY_DOWN_FAILED : BODY_WAIT;
		if (body_over(&x->rs_body))
			return BODY_DONE;
		if (x->rs_buf == NONE && !buffer_limit(w, READ_SIZE)) {
			w->starved = true;
			return BODY_AGAIN;
		}
		enum body_result step = framed_step(w, c, x);
		if (step != BODY_AGAIN)
			return step;
	}
	return BODY_AGAIN;
}

/* Whether more of the head can be read now. */
static bool room_for_head(struct worker *w, struct exchange *x)
{
	if (x->rs_buf == NONE)
		return buffer_limit(w, READ_SIZE) > 0;
	if (x->rs_len < buffer_room(x->rs_buf) || !(x->rs_buf & SMALL))
		return true;
	uint32_t large = buffer_grow(w, x->rs_buf, x->rs_len);
	x->rs_buf = large == NONE ? x->rs_buf : large;
	return large != NONE;
}

enum body_result exchange_pump_response(struct worker *w, struct conn *c, struct exchange *x)
{
	struct exchange_body *b = &x->rs_body;

	while (!x->head_done) {
		int sent = flow_flush(w, &c->flow[DOWNWARD], flow_down(c));
		if (sent <= 0)
			return sent < 0 ? BODY_DOWN_FAILED : BODY_WAIT;
		if (!room_for_head(w, x)) {
			w->starved = true;
			return BODY_AGAIN;
		}
		enum body_result r = pump_head(w, c, x);
		if (r != BODY_AGAIN)
			return r;
	}
	if (x->rs_buf == NONE &&
	    (b->framing == HTTP_BODY_LENGTH ||
	     (b->framing == HTTP_BODY_CLOSE && b->promised == HTTP_BODY_CLOSE))) {
		if (b->framing == HTTP_BODY_CLOSE)
			b->left = UINT64_MAX;
		return pump_plain(w, c, x);
	}
	return pump_framed(w, c, x);
}
