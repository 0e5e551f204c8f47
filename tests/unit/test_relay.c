/* SPDX-License-Identifier: MIT */
/*
 * One direction of payload over real TCP sockets: every byte arrives, in order, whatever the sink
 * takes at a time.
 */
/* LINK: tproxy/end.c tproxy/tls_none.c tproxy/slab.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "tproxy/relay.c"

enum { TOTAL = 9 * 1024 * 1024 + 12345 };

struct bench {
	struct worker w;
	struct workers_config config;
	struct flow f;
	int source[2], sink[2]; /* [0] is the far end, [1] the one the flow uses */
	uint8_t from_io, to_io;
};

static void tcp_pair(int fds[2], int buffer)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(l >= 0);
	setsockopt(l, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&a, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	setsockopt(fds[0], SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	assert_int_equal(connect(fds[0], (struct sockaddr *)&a, len), 0);
	fds[1] = accept(l, NULL, NULL);
	assert_true(fds[1] >= 0);
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	for (int i = 0; i < 2; i++)
		fcntl(fds[i], F_SETFL, O_NONBLOCK);
	close(l);
}

static void start(struct bench *b, uint32_t buffers, uint32_t pipes)
{
	memset(b, 0, sizeof(*b));
	b->config.pipes = pipes;
	b->w.config = &b->config;
	assert_int_equal(slab_init(&b->w.buffers, BUFFER_SIZE, buffers), 0);
	assert_int_equal(slab_init(&b->w.smalls, SMALL_SIZE, 4), 0);
	b->w.scratch = malloc(SCRATCH_SIZE);
	b->w.pipes = calloc(pipes + 1, sizeof(*b->w.pipes));
	b->w.pipe_free = calloc(pipes + 1, sizeof(*b->w.pipe_free));
	for (uint32_t i = 0; i < pipes; i++)
		b->w.pipes[i] = (struct pipe_pair){ -1, -1 };
	b->f.buf = NONE;
	b->to_io = IO_WRITE;
	tcp_pair(b->source, 65536);
	tcp_pair(b->sink, 8192);
}

static void stop(struct bench *b)
{
	flow_release(&b->w, &b->f);
	assert_int_equal(b->w.buffers.used, 0);
	assert_int_equal(b->w.smalls.used, 0);
	assert_int_equal(b->w.n_pipes - b->w.n_pipe_free, 0);
	assert_int_equal(stat_get(&b->w.stats.v[STAT_BUFFERS]), 0);
	assert_int_equal(stat_get(&b->w.stats.v[STAT_PIPES]), 0);
	for (uint32_t i = 0; i < b->config.pipes; i++)
		if (b->w.pipes[i].in >= 0) {
			close(b->w.pipes[i].in);
			close(b->w.pipes[i].out);
		}
	for (int i = 0; i < 2; i++) {
		close(b->source[i]);
		close(b->sink[i]);
	}
	slab_fini(&b->w.buffers);
	slab_fini(&b->w.smalls);
	free(b->w.scratch);
	free(b->w.pipes);
	free(b->w.pipe_free);
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 13));
}

/*
 * Feeds the far source, pumps, drains the far sink in odd portions. Returns bytes that arrived
 * before the end.
 */
static size_t run(struct bench *b, uint64_t *left, bool close_source, enum flow_result *last)
{
	size_t fed = 0, got = 0;
	uint8_t chunk[7001];
	bool ended = false;

	*last = FLOW_WAIT;
	for (int idle = 0; idle < 1000; idle++) {
		if (fed < TOTAL) {
			size_t n = TOTAL - fed < sizeof(chunk) ? TOTAL - fed : sizeof(chunk);
			for (size_t i = 0; i < n; i++)
				chunk[i] = pattern(fed + i);
			ssize_t sent = send(b->source[0], chunk, n, MSG_NOSIGNAL);
			if (sent > 0) {
				fed += (size_t)sent;
				idle = 0;
			}
		} else if (close_source && !ended) {
			shutdown(b->source[0], SHUT_WR);
			b->from_io |= IO_RDHUP;
			ended = true;
		}
		b->from_io |= IO_READ;
		b->to_io |= IO_WRITE;
		*last = flow_pump(&b->w, &b->f, (struct end){ b->source[1], &b->from_io, NULL },
		                  (struct end){ b->sink[1], &b->to_io, NULL }, left);
		if (*last == FLOW_SOURCE_FAILED || *last == FLOW_SINK_FAILED)
			return got;
		ssize_t n = recv(b->sink[0], chunk, 3001, 0);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(chunk[i], pattern(got + (size_t)i));
		if (n > 0) {
			got += (size_t)n;
			idle = 0;
		} else if (*last == FLOW_DONE) {
			break;
		}
	}
	return got;
}

static void transfer(uint32_t buffers, uint32_t pipes)
{
	struct bench b;
	enum flow_result last;
	uint64_t left = UINT64_MAX;

	start(&b, buffers, pipes);
	assert_int_equal(run(&b, &left, true, &last), TOTAL);
	assert_int_equal(last, FLOW_DONE);
	assert_int_equal(b.f.bytes, TOTAL);
	assert_true(left == UINT64_MAX);
	assert_true((stat_get(&b.w.stats.v[STAT_BYTES_SPLICED]) > 0) == (pipes > 0));
	stop(&b);
}

static void test_every_byte_arrives_through_buffers(void **state)
{
	(void)state;
	transfer(4, 0);
	transfer(1, 0);
}

static void test_every_byte_arrives_through_pipes(void **state)
{
	(void)state;
	transfer(4, 2);
}

static void test_a_limit_is_exact(void **state)
{
	struct bench b;
	enum flow_result last;
	(void)state;

	for (uint32_t pipes = 0; pipes < 2; pipes++) {
		uint64_t left = 5000001;
		start(&b, 4, pipes);
		assert_int_equal(run(&b, &left, false, &last), 5000001);
		assert_int_equal(last, FLOW_DONE);
		assert_int_equal(left, 0);
		stop(&b);
	}
}

/* Slow readers elsewhere may hold all buffers: a flow goes on without one. */
static void test_every_byte_arrives_without_a_buffer(void **state)
{
	struct bench b;
	enum flow_result last;
	uint64_t left = UINT64_MAX;
	(void)state;

	start(&b, 1, 0);
	uint32_t taken = buffer_take(&b.w);
	assert_int_equal(run(&b, &left, true, &last), TOTAL);
	assert_int_equal(last, FLOW_DONE);
	assert_int_equal(b.f.bytes, TOTAL);
	assert_int_equal(b.f.buf, NONE);
	buffer_give(&b.w, taken);
	stop(&b);
}

static void test_what_begins_leaves_a_reserve(void **state)
{
	struct bench b;
	uint32_t taken[64];
	(void)state;

	start(&b, 64, 0);
	for (int i = 0; i < 56; i++)
		assert_true((taken[i] = buffer_take_spare(&b.w)) != NONE);
	assert_int_equal(buffer_take_spare(&b.w), NONE);
	for (int i = 56; i < 64; i++)
		assert_true((taken[i] = buffer_take(&b.w)) != NONE);
	assert_int_equal(buffer_take(&b.w), NONE);
	for (int i = 0; i < 64; i++)
		buffer_give(&b.w, taken[i]);
	stop(&b);
}

static void test_a_broken_sink_is_told_from_a_broken_source(void **state)
{
	struct linger hard = { .l_onoff = 1 };
	uint64_t left = UINT64_MAX;
	struct bench b;
	(void)state;

	start(&b, 2, 0);
	setsockopt(b.source[0], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(b.source[0]);
	b.from_io = IO_READ;
	assert_int_equal(flow_pump(&b.w, &b.f, (struct end){ b.source[1], &b.from_io, NULL },
	                           (struct end){ b.sink[1], &b.to_io, NULL }, &left),
	                 FLOW_SOURCE_FAILED);
	b.source[0] = dup(b.sink[0]);
	stop(&b);

	start(&b, 2, 0);
	setsockopt(b.sink[0], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(b.sink[0]);
	assert_int_equal(send(b.source[0], "x", 1, 0), 1);
	b.from_io = IO_READ;
	assert_int_equal(flow_pump(&b.w, &b.f, (struct end){ b.source[1], &b.from_io, NULL },
	                           (struct end){ b.sink[1], &b.to_io, NULL }, &left),
	                 FLOW_SINK_FAILED);
	b.sink[0] = dup(b.source[0]);
	stop(&b);
}

static void test_own_bytes_wait_behind_kept_ones(void **state)
{
	struct bench b;
	char got[64];
	(void)state;

	start(&b, 2, 0);
	struct end to = { b.sink[1], &b.to_io, NULL };
	b.to_io = 0;
	assert_int_equal(flow_send(&b.w, &b.f, to, "first ", 6), 0);
	b.to_io = IO_WRITE;
	assert_int_equal(flow_send(&b.w, &b.f, to, "second", 6), 0);
	assert_int_equal(b.f.len, 12);
	assert_int_equal(flow_flush(&b.w, &b.f, to), 1);
	assert_int_equal(recv(b.sink[0], got, sizeof(got), 0), 12);
	assert_memory_equal(got, "first second", 12);
	/* More than a buffer holds is refused, not cut. */
	uint8_t *big = calloc(1, BUFFER_SIZE);
	b.to_io = 0;
	assert_int_equal(flow_send(&b.w, &b.f, to, big, BUFFER_SIZE), 0);
	assert_int_equal(flow_send(&b.w, &b.f, to, big, 1), -1);
	free(big);
	stop(&b);
}

/* Short left-overs are kept in a small buffer, and move on when they become long ones. */
static void test_left_overs_outgrow_a_small_buffer(void **state)
{
	struct bench b;
	uint8_t *in = malloc(BUFFER_SIZE), *got = malloc(BUFFER_SIZE);
	size_t sent = 0, have = 0;
	(void)state;

	start(&b, 8, 0);
	struct end to = { b.sink[1], &b.to_io, NULL };
	for (size_t i = 0; i < BUFFER_SIZE; i++)
		in[i] = pattern(i);
	b.to_io = 0;
	for (size_t n = 1; sent + n <= 6000; sent += n, n = n * 2 + 1)
		assert_int_equal(flow_send(&b.w, &b.f, to, in + sent, n), 0);
	assert_int_equal(b.f.buf & SMALL, 0);
	assert_int_equal(b.w.smalls.used, 0);
	assert_int_equal(b.f.len, sent);
	while (have < sent) {
		b.to_io = IO_WRITE;
		assert_true(flow_flush(&b.w, &b.f, to) >= 0);
		ssize_t n = recv(b.sink[0], got + have, BUFFER_SIZE - have, MSG_DONTWAIT);
		have += n > 0 ? (size_t)n : 0;
	}
	assert_memory_equal(got, in, sent);
	free(in);
	free(got);
	stop(&b);
}

static void test_what_waits_gives_its_large_buffer_back(void **state)
{
	struct bench b;
	uint32_t taken[8], i;
	(void)state;

	start(&b, 8, 0);
	for (int n = 0; n < 3; n++)
		taken[n] = buffer_take(&b.w);
	assert_int_equal(buffer_shrink(&b.w, taken[0], 10), taken[0]); /* there are enough */
	taken[3] = buffer_take(&b.w);
	memcpy(buffer_at(&b.w, taken[3]), "0123456789", 10);
	assert_int_equal(buffer_shrink(&b.w, taken[3], SMALL_SIZE + 1), taken[3]);
	i = buffer_shrink(&b.w, taken[3], 10);
	assert_true(i & SMALL);
	assert_memory_equal(buffer_at(&b.w, i), "0123456789", 10);
	assert_int_equal(b.w.buffers.used, 3);
	assert_int_equal(buffer_shrink(&b.w, i, 10), i);
	i = buffer_grow(&b.w, i, 10);
	assert_int_equal(i & SMALL, 0);
	assert_memory_equal(buffer_at(&b.w, i), "0123456789", 10);
	assert_int_equal(buffer_grow(&b.w, i, 10), NONE);
	buffer_give(&b.w, i);
	for (int n = 0; n < 3; n++)
		buffer_give(&b.w, taken[n]);
	stop(&b);
}

static void test_the_last_buffers_are_not_read_into(void **state)
{
	struct bench b;
	uint32_t taken[64], small[4];
	(void)state;

	start(&b, 64, 0);
	for (int i = 0; i < 59; i++)
		taken[i] = buffer_take(&b.w);
	assert_false(buffer_scarce(&b.w));
	assert_int_equal(buffer_limit(&b.w, 16384), 16384);
	for (int i = 59; i < 64; i++)
		taken[i] = buffer_take(&b.w);
	assert_true(buffer_scarce(&b.w));
	assert_true(buffer_limit(&b.w, 16384) <= SMALL_SIZE - HTTP_CHUNK_SLACK);
	assert_int_equal(buffer_limit(&b.w, 100), 100);
	for (int i = 0; i < 4; i++)
		assert_true((small[i] = buffer_take_for(&b.w, 10)) & SMALL);
	assert_int_equal(buffer_limit(&b.w, 100), 0);
	assert_int_equal(buffer_take_for(&b.w, 10), NONE);
	for (int i = 0; i < 4; i++)
		buffer_give(&b.w, small[i]);
	for (int i = 0; i < 64; i++)
		buffer_give(&b.w, taken[i]);
	stop(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_byte_arrives_through_buffers),
		cmocka_unit_test(test_every_byte_arrives_through_pipes),
		cmocka_unit_test(test_a_limit_is_exact),
		cmocka_unit_test(test_every_byte_arrives_without_a_buffer),
		cmocka_unit_test(test_what_begins_leaves_a_reserve),
		cmocka_unit_test(test_a_broken_sink_is_told_from_a_broken_source),
		cmocka_unit_test(test_own_bytes_wait_behind_kept_ones),
		cmocka_unit_test(test_left_overs_outgrow_a_small_buffer),
		cmocka_unit_test(test_what_waits_gives_its_large_buffer_back),
		cmocka_unit_test(test_the_last_buffers_are_not_read_into),
	};
	return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
