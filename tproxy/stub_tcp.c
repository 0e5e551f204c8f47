/* SPDX-License-Identifier: MIT */
/*
 * DNS over TCP (RFC 7766): a connection to port 53, of whatever server, that was captured. Bytes of
 * an incomplete message are in flow[UPWARD].buf, answers that the client does not take yet in
 * flow[DOWNWARD].buf. A client that has many questions open, or does not read, is not read.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "tproxy/conn.h"
#include "tproxy/relay.h"
#include "tproxy/upstream.h"

#define IDLE_MS       10000
#define QUESTIONS_MAX 16 /* of one connection, under way */
#define MESSAGES      16 /* read in one turn */
#define LENGTH        2  /* bytes before each message */

void stub_tcp_begin(struct worker *w, struct conn *c)
{
	c->state = CONN_DNS;
	timer_set(&w->loop, &c->timer, IDLE_MS);
}

static bool may_ask(const struct conn *c)
{
	return c->questions < QUESTIONS_MAX && flow_empty(&c->flow[DOWNWARD]);
}

/* Takes one message off the buffer; false: none is complete. May end c. */
static bool take(struct worker *w, struct conn *c)
{
	struct flow *f = &c->flow[UPWARD];
	const uint8_t *at = f->len ? buffer_at(w, f->buf) + f->off : NULL;

	if (f->len < LENGTH)
		return false;
	size_t len = (size_t)(at[0] << 8 | at[1]);
	if (f->len - LENGTH < len)
		return false;
	struct stub_peer p = {
		.src = c->src, .sport = c->sport, .dst = c->dst, .dport = c->dport,
		.conn = slab_index(&w->conns, c), .generation = c->generation,
	};
	f->off += (uint32_t)(LENGTH + len);
	f->len -= (uint32_t)(LENGTH + len);
	c->questions++;
	timer_set(&w->loop, &c->timer, IDLE_MS);
	stub_receive(w, &p, at + LENGTH, len);
	return true;
}

/* 1: there are bytes; 0: none for now; -1: c has ended. */
static int fill(struct worker *w, struct conn *c)
{
	struct flow *f = &c->flow[UPWARD];

	if (!(c->io & IO_READ))
		return 0;
	if (f->buf == NONE) {
		f->buf = buffer_take_spare(w);
		f->off = f->len = 0;
		if (f->buf == NONE) {
			w->starved = true;
			conn_want_again(w, c);
			return 0;
		}
	}
	uint8_t *b = buffer_at(w, f->buf);
	memmove(b, b + f->off, f->len);
	f->off = 0;
	ssize_t n = recv(c->fd, b + f->len, BUFFER_SIZE - f->len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		c->io &= (uint8_t)~IO_READ;
		return 0;
	}
	if (n < 0 || (n == 0 && !c->questions)) {
		conn_close(w, c, n < 0);
		return -1;
	}
	if (n == 0) {
		c->flags |= CONN_CLOSING;
		return 0;
	}
	f->len += (uint32_t)n;
	return 1;
}

/* What was read and what can be sent. False: c has ended. */
static bool turn(struct worker *w, struct conn *c)
{
	uint32_t generation = c->generation;
	int got = 1;

	if (flow_flush(w, &c->flow[DOWNWARD], flow_down(c)) < 0) {
		conn_close(w, c, true);
		return false;
	}
	for (int i = 0; i < MESSAGES; i++) {
		if (!may_ask(c))
			return true;
		if (take(w, c)) {
			if (c->generation != generation)
				return false;
			continue;
		}
		got = c->flags & CONN_CLOSING ? 0 : fill(w, c);
		if (got < 0)
			return false;
		if (!got)
			return true;
	}
	conn_want_again(w, c);
	return true;
}

void stub_tcp_turn(struct worker *w, struct conn *c)
{
	if (c->io & IO_ERROR) {
		conn_close(w, c, true);
		return;
	}
	if (!turn(w, c))
		return;
	bool ends = c->flags & CONN_CLOSING || (w->draining && !c->flow[UPWARD].len);
	if (ends && !c->questions && flow_empty(&c->flow[DOWNWARD])) {
		conn_close(w, c, false);
		return;
	}
	if (!c->flow[UPWARD].len)
		flow_release(w, &c->flow[UPWARD]);
	io_arm(w, c->fd, &c->io, conn_data(w, c));
}

void stub_tcp_timeout(struct worker *w, struct conn *c)
{
	/* The resolver gives up by itself, after two tries with each server. */
	if (c->questions && flow_empty(&c->flow[DOWNWARD])) {
		timer_set(&w->loop, &c->timer, IDLE_MS);
		return;
	}
	worker_count(w, STAT_CX_IDLE_TIMEOUT, 1);
	conn_close(w, c, c->flow[UPWARD].len || c->flow[DOWNWARD].len);
}

void stub_tcp_drop(struct worker *w, const struct stub_peer *peer)
{
	struct conn *c = conn_at(w, peer->conn);

	if (c->state == CONN_DNS && c->generation == peer->generation)
		conn_close(w, c, true);
}

void stub_tcp_send(struct worker *w, const struct stub_peer *to, uint8_t *bytes, size_t len)
{
	struct conn *c = conn_at(w, to->conn);
	uint8_t *message = bytes - LENGTH;

	if (c->state != CONN_DNS || c->generation != to->generation)
		return;
	message[0] = (uint8_t)(len >> 8);
	message[1] = (uint8_t)len;
	c->questions--;
	if (flow_send(w, &c->flow[DOWNWARD], flow_down(c), message, LENGTH + len) < 0) {
		conn_close(w, c, true);
		return;
	}
	timer_set(&w->loop, &c->timer, IDLE_MS);
	/* It may be read on, or be over. */
	conn_want_again(w, c);
}
