/* SPDX-License-Identifier: MIT */
/* Chunked bodies, whole and cut anywhere, through http_chunked_feed(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/guard.h"
#include "tproxy/http_body.c"

#define HELLO "5\r\nhello\r\n"
#define LAST  "0\r\n\r\n"

struct row {
	const char *title;
	const char *in;
	const char *data;  /* what it decodes to; NULL: HTTP_CHUNK */
	size_t left;       /* bytes behind the end */
};

static const struct row rows[] = {
	{ "one chunk", HELLO LAST, "hello", 0 },
	{ "no data", LAST, "", 0 },
	{ "two chunks", HELLO "7\r\n, world\r\n" LAST, "hello, world", 0 },
	{ "upper-case hexadecimal", "A\r\n0123456789\r\n" LAST, "0123456789", 0 },
	{ "leading zeros", "0005\r\nhello\r\n" "000\r\n\r\n", "hello", 0 },
	{ "data that looks like chunks", "a\r\n0\r\n\r\nGET /\r\n" LAST, "0\r\n\r\nGET /", 0 },
	{ "the next request behind it", HELLO LAST "GET / HTTP/1.1\r\n", "hello", 16 },
	{ "an extension (H-15)", "5;a=b\r\nhello\r\n" LAST, "hello", 0 },
	{ "an extension without a value", "5;a\r\nhello\r\n" LAST, "hello", 0 },
	{ "a quoted extension (H-15)", "5;a=\"b\\\"; c\"\r\nhello\r\n" LAST, "hello", 0 },
	{ "an extension of the last chunk", HELLO "0;a=b\r\n\r\n", "hello", 0 },
	{ "trailers (H-16)",
	  HELLO "0\r\nHost: evil.test\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\r\nX", "hello", 1 },
	{ "an empty trailer, and one with tabs and high bytes",
	  HELLO "0\r\nA:\r\nB: \t\xff \r\n\r\n", "hello", 0 },

	{ "size 0x5 (H-15)", "0x5\r\nhello\r\n" LAST, NULL, 0 },
	{ "size +5 (H-15)", "+5\r\nhello\r\n" LAST, NULL, 0 },
	{ "size -5", "-5\r\nhello\r\n" LAST, NULL, 0 },
	{ "a space behind the size (H-15)", "5 \r\nhello\r\n" LAST, NULL, 0 },
	{ "a space before the size (H-15)", " 5\r\nhello\r\n" LAST, NULL, 0 },
	{ "a tab before the size", "\t5\r\nhello\r\n" LAST, NULL, 0 },
	{ "no size", "\r\nhello\r\n" LAST, NULL, 0 },
	{ "no size but an extension", ";a\r\nhello\r\n" LAST, NULL, 0 },
	{ "size g", "g\r\nhello\r\n" LAST, NULL, 0 },
	{ "nine digits (H-15)", "100000000\r\nhello\r\n" LAST, NULL, 0 },
	{ "sixteen digits", "ffffffffffffffff\r\nhello\r\n" LAST, NULL, 0 },
	{ "seventeen digits (H-15)", "10000000000000005\r\nhello\r\n" LAST, NULL, 0 },
	{ "bare LF behind the size (H-15)", "5\nhello\r\n" LAST, NULL, 0 },
	{ "bare CR behind the size", "5\rhello\r\n" LAST, NULL, 0 },
	{ "two CR behind the size", "5\r\r\nhello\r\n" LAST, NULL, 0 },
	{ "bare LF behind the data (H-15)", "5\r\nhello\n" LAST, NULL, 0 },
	{ "nothing behind the data (H-15)", "5\r\nhello" LAST, NULL, 0 },
	{ "too much data", "5\r\nhello!\r\n" LAST, NULL, 0 },
	{ "too little data", "5\r\nhell\r\n" LAST, NULL, 0 },
	{ "bare LF in an extension (H-15)", "5;a\nhello\r\n" LAST, NULL, 0 },
	{ "bare CR in an extension (H-15)", "5;a\rb\r\nhello\r\n" LAST, NULL, 0 },
	{ "a control byte in an extension", "5;a=\x01\r\nhello\r\n" LAST, NULL, 0 },
	{ "LF in a quoted extension (H-15)", "5;a=\"\n\"\r\nhello\r\n" LAST, NULL, 0 },
	{ "CR LF in a quoted extension", "5;a=\"\r\n0\r\n\r\n\"\r\nhello\r\n" LAST, NULL, 0 },
	{ "an extension without a name", "5;\r\nhello\r\n" LAST, NULL, 0 },
	{ "bare LF behind the last chunk", HELLO "0\n\r\n", NULL, 0 },
	{ "bare CR at the end", HELLO "0\r\n\rX", NULL, 0 },
	{ "bare LF at the end", HELLO "0\r\n\n", NULL, 0 },
	{ "a trailer without a colon", HELLO "0\r\nA\r\n\r\n", NULL, 0 },
	{ "a trailer without a name", HELLO "0\r\n: a\r\n\r\n", NULL, 0 },
	{ "a space before a trailer's colon", HELLO "0\r\nA : b\r\n\r\n", NULL, 0 },
	{ "a folded trailer", HELLO "0\r\nA: b\r\n c\r\n\r\n", NULL, 0 },
	{ "bare CR in a trailer", HELLO "0\r\nA: b\rc\r\n\r\n", NULL, 0 },
	{ "bare LF in a trailer", HELLO "0\r\nA: b\nC: d\r\n\r\n", NULL, 0 },
	{ "a control byte in a trailer", HELLO "0\r\nA: \x7f\r\n\r\n", NULL, 0 },
	{ "a request where a chunk should be", "GET / HTTP/1.1\r\n", NULL, 0 },
};

static struct guard guard, out_guard;

/* What came out of a body that was fed in two pieces. */
struct result {
	char out[4096];
	size_t out_len, used;
	long error;
	bool done;
};

static void feed(struct http_chunked *c, const char *in, size_t len, bool reframe, struct result *r)
{
	size_t room = len + HTTP_CHUNK_SLACK, n = 0;
	char *out = (char *)guard_place(&out_guard, room);
	long used;

	if (r->error || r->done)
		return;
	used = http_chunked_feed(c, (char *)guard_copy(&guard, in, len), len, reframe, out, room, &n);
	assert_true(n <= room);
	if (used < 0) {
		assert_int_equal(n, 0);
		r->error = used;
		return;
	}
	assert_true((size_t)used == len || c->done);
	assert_true(r->out_len + n < sizeof(r->out));
	memcpy(r->out + r->out_len, out, n);
	r->out_len += n;
	r->used += (size_t)used;
	r->done = c->done;
}

static void feed_cut(const char *in, size_t len, size_t cut, bool response, bool reframe,
                     struct result *r)
{
	struct http_chunked c;

	memset(r, 0, sizeof(*r));
	http_chunked_init(&c, response);
	feed(&c, in, cut, reframe, r);
	feed(&c, in + cut, len - cut, reframe, r);
}

static void feed_bytes(const char *in, size_t len, bool reframe, struct result *r)
{
	struct http_chunked c;

	memset(r, 0, sizeof(*r));
	http_chunked_init(&c, false);
	for (size_t i = 0; i < len; i++)
		feed(&c, in + i, 1, reframe, r);
}

static void check(const struct row *row, const struct result *r, size_t cut)
{
	size_t len = strlen(row->in);

	if (!row->data) {
		if (r->error != HTTP_CHUNK || r->done)
			fail_msg("%s, cut at %zu: accepted", row->title, cut);
		return;
	}
	if (r->error || !r->done)
		fail_msg("%s, cut at %zu: error %ld, done %d", row->title, cut, r->error, r->done);
	assert_int_equal(r->used, len - row->left);
	assert_int_equal(r->out_len, strlen(row->data));
	assert_memory_equal(r->out, row->data, r->out_len);
}

static void test_row(void **state)
{
	const struct row *row = *state;
	struct row framed = { .title = row->title };
	static struct result r, again;
	size_t len = strlen(row->in);

	for (size_t cut = 0; cut <= len; cut++) {
		feed_cut(row->in, len, cut, cut & 1, false, &r);
		check(row, &r, cut);
		feed_cut(row->in, len, cut, cut & 1, true, &r);
		if (!row->data) {
			check(row, &r, cut);
			continue;
		}
		/* Framed anew, it is a body of the same data, and nothing else. */
		r.out[r.out_len] = '\0';
		framed.in = r.out;
		framed.data = row->data;
		feed_cut(r.out, r.out_len, 0, false, false, &again);
		check(&framed, &again, cut);
		assert_null(strchr(r.out, ';'));
	}
	feed_bytes(row->in, len, false, &r);
	check(row, &r, len);
	if (!row->data)
		return;
	/* Without its end a body is not over. */
	for (size_t n = 0; n < len - row->left; n++) {
		feed_cut(row->in, n, n / 2, false, true, &r);
		assert_int_equal(r.error, 0);
		assert_false(r.done);
	}
}

static void test_framing(void **state)
{
	static struct result r;
	static const char in[] = "1\r\nh\r\n4;x=y\r\nello\r\n" "0\r\nA: b\r\n\r\n";

	(void)state;
	feed_cut(in, sizeof(in) - 1, 0, false, true, &r);
	r.out[r.out_len] = '\0';
	assert_string_equal(r.out, "5\r\nhello\r\n0\r\n\r\n");
	/* 19 bytes in, two digits reserved, one needed; then many chunks of one byte. */
	feed_cut(in, sizeof(in) - 1, 19, false, true, &r);
	r.out[r.out_len] = '\0';
	assert_string_equal(r.out, "5\r\nhello\r\n0\r\n\r\n");
	feed_bytes(in, sizeof(in) - 1, true, &r);
	r.out[r.out_len] = '\0';
	assert_string_equal(r.out, "1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n");
}

/* A body behind its end is left alone, and there is never more written than there is room for. */
static void test_room(void **state)
{
	static const char in[] = "100\r\n" "0123456789abcdef0123456789abcdef"
	                         "0123456789abcdef0123456789abcdef";
	struct http_chunked c;
	char out[512];
	size_t n = 1;

	(void)state;
	for (size_t room = 0; room <= HTTP_CHUNK_SLACK + sizeof(in); room++) {
		long used, want = room > HTTP_CHUNK_SLACK ? (long)(room - HTTP_CHUNK_SLACK) : 0;

		if (want > (long)sizeof(in) - 1)
			want = sizeof(in) - 1;
		http_chunked_init(&c, false);
		used = http_chunked_feed(&c, in, sizeof(in) - 1, true,
		                         (char *)guard_place(&out_guard, room), room, &n);
		assert_int_equal(used, want);
		assert_true(n <= room);
	}
	http_chunked_init(&c, true);
	assert_int_equal(http_chunked_feed(&c, LAST, 5, false, out, sizeof(out), &n), 5);
	assert_true(c.done);
	assert_int_equal(n, 0);
	assert_int_equal(http_chunked_feed(&c, LAST, 5, true, out, sizeof(out), &n), 0);
	assert_int_equal(n, 0);
}

/* Extensions, zeros and trailers without end. */
static void test_endless(void **state)
{
	static const char *const starts[] = { "5;a=", "0", "0\r\nA: ", "0\r\n" };
	static const char *const goes_on[] = { "bbbbbbbbbbbbbbbb", "0000000000000000",
	                                       "bbbbbbbbbbbbbbbb", "A: bcdefghij\r\n" };
	static struct result r;

	(void)state;
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct http_chunked c;
		size_t fed = 0;

		memset(&r, 0, sizeof(r));
		http_chunked_init(&c, false);
		feed(&c, starts[i], strlen(starts[i]), true, &r);
		while (!r.error && fed < 2 * CONFIG_HTTP_HEAD_MAX) {
			feed(&c, goes_on[i], strlen(goes_on[i]), true, &r);
			fed += strlen(goes_on[i]);
		}
		assert_int_equal(r.error, HTTP_CHUNK);
		assert_in_range(fed, CONFIG_HTTP_HEAD_MAX - 64, CONFIG_HTTP_HEAD_MAX + 64);
	}
}

static void test_large(void **state)
{
	enum { SIZE = 20000 };
	static char in[SIZE + 16], out[SIZE + 16 + HTTP_CHUNK_SLACK];
	struct http_chunked c;
	size_t at = http_chunk_header(SIZE, in), n;

	(void)state;
	memset(in + at, 'x', SIZE);
	memcpy(in + at + SIZE, "\r\n" LAST, 7);
	at += SIZE + 7;
	http_chunked_init(&c, false);
	assert_int_equal(http_chunked_feed(&c, in, at, true, out, sizeof(out), &n), at);
	assert_int_equal(n, at);
	assert_memory_equal(in, out, n);
	/* Twice the data in one feed needs a digit more than either chunk alone. */
	http_chunked_init(&c, false);
	assert_int_equal(http_chunked_feed(&c, in, at - 5, false, out, sizeof(out), &n), at - 5);
	assert_int_equal(n, SIZE);
}

static void test_header(void **state)
{
	static const struct { size_t n; const char *want; } cases[] = {
		{ 0, "0\r\n" }, { 1, "1\r\n" }, { 15, "f\r\n" }, { 16, "10\r\n" }, { 255, "ff\r\n" },
		{ 256, "100\r\n" }, { 0xabcdef, "abcdef\r\n" }, { 0xffffffff, "ffffffff\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].want);
		char *out = (char *)guard_place(&out_guard, len);

		assert_int_equal(http_chunk_header(cases[i].n, out), len);
		assert_memory_equal(out, cases[i].want, len);
	}
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_header),
	};
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	static struct CMUnitTest tests[ROWS + sizeof(others) / sizeof(others[0])];
	int failed;

	guard_init(&guard, 4096);
	guard_init(&out_guard, 4096);
	for (size_t i = 0; i < ROWS; i++) {
		tests[i].name = rows[i].title;
		tests[i].test_func = test_row;
		tests[i].initial_state = (void *)(uintptr_t)&rows[i];
	}
	memcpy(tests + ROWS, others, sizeof(others));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	guard_fini(&out_guard);
	guard_fini(&guard);
	return failed;
}
