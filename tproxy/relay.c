/* SPDX-License-Identifier: MIT */
/* Moving payload in one direction. */
#include "tproxy/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tproxy/http_body.h"

#define READ_SIZE   (16u * 1024)                /* of one read; a full one makes a flow bulk */
#define PIPE_SIZE   (CONFIG_PIPE_SIZE * 1024u)
#define TURN_STEPS  16                          /* reads or splices before others get their turn */

/* An eighth of the buffers is kept from what has just begun, so that what is under way can end. */
static uint32_t reserve(const struct worker *w)
{
	return w->buffers.cap / 8;
}

uint32_t buffer_take_spare(struct worker *w)
{
	if (w->buffers.cap - w->buffers.used <= reserve(w)) {
		worker_count(w, STAT_BUFFER_STARVED, 1);
		return NONE;
	}
	return buffer_take(w);
}

uint32_t buffer_take(struct worker *w)
{
	uint32_t i = slab_take(&w->buffers);
	if (i == NONE)
		worker_count(w, STAT_BUFFER_STARVED, 1);
	else
		worker_count(w, STAT_BUFFERS, 1);
	return i;
}

uint32_t buffer_take_for(struct worker *w, size_t len)
{
	if (len > SMALL_SIZE)
		return buffer_take(w);
	uint32_t i = slab_take(&w->smalls);
	if (i == NONE)
		return buffer_take(w);
	worker_count(w, STAT_SMALLS, 1);
	return i | SMALL;
}

void buffer_give(struct worker *w, uint32_t i)
{
	if (i & SMALL)
		slab_give(&w->smalls, i & ~SMALL);
	else
		slab_give(&w->buffers, i);
	worker_count(w, i & SMALL ? STAT_SMALLS : STAT_BUFFERS, -1);
}

static uint32_t move(struct worker *w, uint32_t from, uint32_t to, size_t len)
{
	memcpy(buffer_at(w, to), buffer_at(w, from), len);
	buffer_give(w, from);
	return to;
}

uint32_t buffer_shrink(struct worker *w, uint32_t i, size_t len)
{
	if ((i & SMALL) || len > SMALL_SIZE || w->buffers.used < w->buffers.cap / 2 ||
	    w->smalls.used == w->smalls.cap)
		return i;
	return move(w, i, buffer_take_for(w, len), len);
}

uint32_t buffer_grow(struct worker *w, uint32_t i, size_t len)
{
	uint32_t to = i & SMALL ? buffer_take(w) : NONE;
	return to == NONE ? NONE : move(w, i, to, len);
}

bool buffer_scarce(const struct worker *w)
{
	return w->buffers.cap - w->buffers.used <= reserve(w) / 2;
}

size_t buffer_limit(const struct worker *w, size_t want)
{
	size_t most = SMALL_SIZE - HTTP_CHUNK_SLACK;

	if (!buffer_scarce(w))
		return want;
	if (w->smalls.used == w->smalls.cap && w->buffers.used == w->buffers.cap)
		return 0;
	return want < most ? want : most;
}

/* An empty pipe's index plus 1, or 0. */
static uint16_t pipe_take(struct worker *w)
{
	if (w->n_pipe_free) {
		worker_count(w, STAT_PIPES, 1);
		return (uint16_t)(w->pipe_free[--w->n_pipe_free] + 1);
	}
	for (uint16_t i = 0; w->n_pipes < w->config->pipes && i < w->config->pipes; i++) {
		int fds[2];
		if (w->pipes[i].in >= 0)
			continue;
		if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
			return 0;
		/* A smaller pipe only makes more calls. */
		(void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE);
		w->pipes[i] = (struct pipe_pair){ .in = fds[1], .out = fds[0] };
		w->n_pipes++;
		worker_count(w, STAT_PIPES, 1);
		return (uint16_t)(i + 1);
	}
	return 0;
}

static void pipe_give(struct worker *w, struct flow *f)
{
	uint16_t i = (uint16_t)(f->pipe - 1);

	if (f->piped) {
		close(w->pipes[i].in);
		close(w->pipes[i].out);
		w->pipes[i].in = w->pipes[i].out = -1;
		w->n_pipes--;
	} else {
		w->pipe_free[w->n_pipe_free++] = i;
	}
	f->pipe = 0;
	f->piped = 0;
	worker_count(w, STAT_PIPES, -1);
}

void flow_release(struct worker *w, struct flow *f)
{
	if (f->buf != NONE)
		buffer_give(w, f->buf);
	f->buf = NONE;
	f->off = f->len = 0;
	if (f->pipe)
		pipe_give(w, f);
}

static bool would_block(int e)
{
	return e == EAGAIN || e == EWOULDBLOCK || e == EINTR;
}

int flow_flush(struct worker *w, struct flow *f, struct end to)
{
	while (f->len) {
		if (!(*to.io & IO_WRITE))
			return 0;
		ssize_t n = end_write(to, buffer_at(w, f->buf) + f->off, f->len);
		if (n < 0)
			return -1;
		f->off += (uint32_t)n;
		f->len -= (uint32_t)n;
	}
	if (f->buf != NONE) {
		buffer_give(w, f->buf);
		f->buf = NONE;
	}
	f->off = 0;
	return end_flush(to);
}

void flow_shrink(struct worker *w, struct flow *f)
{
	if (f->buf != NONE && !f->off)
		f->buf = buffer_shrink(w, f->buf, f->len);
}

/* A buffer with room for len bytes more. */
static bool make_room(struct worker *w, struct flow *f, size_t len)
{
	if (f->buf == NONE) {
		f->buf = buffer_take_for(w, len);
		f->off = f->len = 0;
	} else if ((f->buf & SMALL) && len > SMALL_SIZE - f->len) {
		uint32_t large = buffer_grow(w, f->buf, f->off + f->len);
		f->buf = large == NONE ? f->buf : large;
	}
	return f->buf != NONE && len <= buffer_room(f->buf) - f->len;
}

/* Keeps bytes behind those already kept. */
static int keep(struct worker *w, struct flow *f, const uint8_t *data, size_t len)
{
	if (!make_room(w, f, len)) {
		errno = ENOBUFS;
		return -1;
	}
	uint8_t *b = buffer_at(w, f->buf);
	if (len > buffer_room(f->buf) - f->off - f->len) {
		memmove(b, b + f->off, f->len);
		f->off = 0;
	}
	memcpy(b + f->off + f->len, data, len);
	f->len += (uint32_t)len;
	return 0;
}

int flow_send(struct worker *w, struct flow *f, struct end to, const void *data, size_t len)
{
	const uint8_t *p = data;

	if (!f->len && (*to.io & IO_WRITE)) {
		ssize_t n = end_write(to, p, len);
		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return len ? keep(w, f, p, len) : 0;
}

/* 1: progress; else an enum flow_result as its negative, minus one so that FLOW_WAIT is not 0. */
#define RESULT(r) (-(int)(r) - 1)

static int splice_out(struct worker *w, struct flow *f, struct end to)
{
	while (f->piped) {
		if (!(*to.io & IO_WRITE))
			return 0;
		ssize_t n = splice(w->pipes[f->pipe - 1].out, NULL, to.fd, NULL, f->piped,
		                   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n < 0 && !would_block(errno))
			return -1;
		if (n <= 0) {
			*to.io &= (uint8_t)~IO_WRITE;
			return 0;
		}
		f->piped -= (uint32_t)n;
		worker_count(w, STAT_BYTES_SPLICED, n);
	}
	return 1;
}

static int splice_in(struct worker *w, struct flow *f, struct end from, uint64_t *left)
{
	size_t want = *left < PIPE_SIZE ? (size_t)*left : PIPE_SIZE;
	ssize_t n = splice(from.fd, NULL, w->pipes[f->pipe - 1].in, NULL, want,
	                   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n < 0) {
		if (!would_block(errno))
			return RESULT(FLOW_SOURCE_FAILED);
		*from.io &= (uint8_t)~IO_READ;
		return 1;
	}
	if (n == 0) {
		f->flags |= FLOW_EOF;
		return 1;
	}
	if ((size_t)n < READ_SIZE)
		f->flags &= (uint8_t)~FLOW_BULK;
	f->piped = (uint32_t)n;
	f->bytes += (uint64_t)n;
	*left -= *left == UINT64_MAX ? 0 : (uint64_t)n;
	return 1;
}

/* No place for what the sink may leave: it is looked at first, and taken as far as it was sent. */
static int peek_write(struct worker *w, struct flow *f, struct end from, struct end to,
                      uint64_t *left, size_t want)
{
	ssize_t n = recv(from.fd, w->scratch, want, MSG_DONTWAIT | MSG_PEEK);

	if (n < 0 && !would_block(errno))
		return RESULT(FLOW_SOURCE_FAILED);
	if (n < 0)
		*from.io &= (uint8_t)~IO_READ;
	if (n <= 0) {
		f->flags |= n ? 0 : FLOW_EOF;
		return 1;
	}
	ssize_t sent = end_write(to, w->scratch, (size_t)n);

	if (sent < 0)
		return RESULT(FLOW_SINK_FAILED);
	if (sent > 0 && recv(from.fd, w->scratch, (size_t)sent, MSG_DONTWAIT | MSG_TRUNC) != sent)
		return RESULT(FLOW_SOURCE_FAILED);
	f->bytes += (uint64_t)sent;
	*left -= *left == UINT64_MAX ? 0 : (uint64_t)sent;
	return 1;
}

static int read_write(struct worker *w, struct flow *f, struct end from, struct end to,
                      uint64_t *left)
{
	size_t want = *left < READ_SIZE ? (size_t)*left : READ_SIZE;

	if (buffer_scarce(w) && !from.tls)
		return peek_write(w, f, from, to, left, want);
	want = buffer_limit(w, want);
	if (!want) {
		w->starved = true;
		return RESULT(FLOW_BUDGET);
	}
	ssize_t n = end_read(from, w->scratch, want);
	if (n < 0)
		return errno == EAGAIN ? 1 : RESULT(FLOW_SOURCE_FAILED);
	if (n == 0) {
		f->flags |= FLOW_EOF;
		return 1;
	}
	if ((size_t)n == READ_SIZE)
		f->flags |= FLOW_BULK;
	f->bytes += (uint64_t)n;
	*left -= *left == UINT64_MAX ? 0 : (uint64_t)n;
	return flow_send(w, f, to, w->scratch, (size_t)n) < 0 ? RESULT(FLOW_SINK_FAILED) : 1;
}

/* Sends what is held. 1: nothing is held; else a RESULT. */
static int drain_held(struct worker *w, struct flow *f, struct end to)
{
	int r = flow_flush(w, f, to);
	if (r == 1 && f->piped)
		r = splice_out(w, f, to);
	if (r < 0)
		return RESULT(FLOW_SINK_FAILED);
	return r ? 1 : RESULT(FLOW_WAIT);
}

static int step(struct worker *w, struct flow *f, struct end from, struct end to,
                uint64_t *left)
{
	int r = drain_held(w, f, to);
	if (r != 1)
		return r;
	if ((f->flags & FLOW_EOF) || !*left)
		return RESULT(FLOW_DONE);
	if (!(*from.io & IO_READ) || !(*to.io & IO_WRITE))
		return RESULT(FLOW_WAIT);
	if ((f->flags & FLOW_BULK) && !f->pipe && !from.tls && !to.tls)
		f->pipe = pipe_take(w);
	if ((f->flags & FLOW_BULK) && f->pipe)
		return splice_in(w, f, from, left);
	return read_write(w, f, from, to, left);
}

enum flow_result flow_pump(struct worker *w, struct flow *f, struct end from,
                           struct end to, uint64_t *left)
{
	enum flow_result result = FLOW_BUDGET;

	for (int i = 0; i < TURN_STEPS; i++) {
		int r = step(w, f, from, to, left);
		if (r < 0) {
			result = (enum flow_result)(-r - 1);
			break;
		}
	}
	if (f->pipe && !f->piped)
		pipe_give(w, f);
	return result;
}
