/* SPDX-License-Identifier: MIT */
/* Response heads: how they are framed, what is refused, what the client gets. */
/* LINK: tproxy/http.c tproxy/http_head.c tproxy/clock.c rules/addr.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/guard.h"
#include "tproxy/http_response.c"

#define END        "\r\n"
#define OK         "HTTP/1.1 200 OK\r\n"
#define CLEN       "content-length: 5\r\n"
#define CHUNKED    "transfer-encoding: chunked\r\n"
#define CLOSE      "connection: close\r\n"
#define KEEP       "connection: keep-alive\r\n"
#define SWITCH     "HTTP/1.1 101 Switching Protocols\r\n"
#define UPGRADE    "connection: upgrade\r\nupgrade: websocket\r\n"
#define TE_CHUNKED "Transfer-Encoding: chunked\r\n"

struct row {
	const char *title, *head;
	size_t len;               /* of a head with a NUL in it */
	bool to_head, to_websocket;
	int want;                 /* enum http_error */
	enum http_framing framing;
	bool once;                /* the upstream connection is not used again */
	const char *out;          /* to an HTTP/1.1 client that stays */
	const char *out_close;    /* to one that goes; NULL: not looked at */
	const char *out_old;      /* to an HTTP/1.0 client that stays; NULL: not looked at */
};

static const struct row rows[] = {
	{ .title = "a length", .head = OK "Server: x\r\nContent-Length: 5\r\nA: \xff\r\n\r\n",
	  .framing = HTTP_BODY_LENGTH, .out = OK "Server: x\r\nA: \xff\r\n" CLEN END,
	  .out_close = OK "Server: x\r\nA: \xff\r\n" CLEN CLOSE END,
	  .out_old = OK "Server: x\r\nA: \xff\r\n" CLEN KEEP END },
	{ .title = "chunked", .head = OK "Transfer-Encoding: CHUNKED\r\n\r\n",
	  .framing = HTTP_BODY_CHUNKED,
	  .out = OK CHUNKED END, .out_close = OK CHUNKED CLOSE END, .out_old = OK CLOSE END },
	{ .title = "neither (H-24)", .head = OK END, .framing = HTTP_BODY_CLOSE, .once = true,
	  .out = OK CHUNKED END, .out_close = OK CLOSE END, .out_old = OK CLOSE END },
	{ .title = "HTTP/1.0", .head = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
	  .framing = HTTP_BODY_LENGTH, .once = true, .out = OK CLEN END },
	{ .title = "HTTP/1.0 that stays", .framing = HTTP_BODY_LENGTH, .out = OK CLEN END,
	  .head = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n" },
	{ .title = "close", .head = OK "Connection: close\r\nContent-Length: 5\r\n\r\n",
	  .framing = HTTP_BODY_LENGTH, .once = true, .out = OK CLEN END },
	{ .title = "no reason", .head = "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
	  .framing = HTTP_BODY_LENGTH, .out = "HTTP/1.1 404 \r\ncontent-length: 0\r\n\r\n" },
	{ .title = "no reason and no space", .head = "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
	  .framing = HTTP_BODY_LENGTH, .out = "HTTP/1.1 404 \r\ncontent-length: 0\r\n\r\n" },
	{ .title = "a long reason", .head = "HTTP/1.1 599 a\tb  \xe9\r\nContent-Length: 0\r\n\r\n",
	  .framing = HTTP_BODY_LENGTH, .out = "HTTP/1.1 599 a\tb  \xe9\r\ncontent-length: 0\r\n\r\n" },
	{ .title = "hop-by-hop fields go", .framing = HTTP_BODY_LENGTH,
	  .out = OK "B: 2\r\nAlt-Svc: h3\r\n" CLEN END,
	  .head = OK "X-A: 1\r\nConnection: x-a\r\nKeep-Alive: 5\r\n"
	          "Proxy-Authenticate: b\r\nTrailer: c\r\nUpgrade: h2c\r\n"
	          "B: 2\r\nAlt-Svc: h3\r\nContent-Length: 5\r\n\r\n" },

	/* Without a body, whatever the fields say: H-24. */
	{ .title = "to HEAD, a length (H-24)", .head = OK "Content-Length: 5\r\n\r\n", .to_head = true,
	  .out = OK CLEN END, .out_close = OK CLEN CLOSE END, .out_old = OK CLEN KEEP END },
	{ .title = "to HEAD, chunked (H-24)", .head = OK TE_CHUNKED END, .to_head = true,
	  .out = OK END },
	{ .title = "to HEAD, neither", .head = OK END, .to_head = true, .out = OK END },
	{ .title = "204", .head = "HTTP/1.1 204 No Content\r\n\r\n",
	  .out = "HTTP/1.1 204 No Content\r\n\r\n" },
	{ .title = "204 and a length (H-24)", .head = "HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\n",
	  .once = true,
	  .out = "HTTP/1.1 204 X\r\n\r\n" },
	{ .title = "204 and length 0", .head = "HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n",
	  .out = "HTTP/1.1 204 X\r\n\r\n" },
	{ .title = "204, chunked (H-24)", .head = "HTTP/1.1 204 X\r\n" TE_CHUNKED END, .once = true,
	  .out = "HTTP/1.1 204 X\r\n\r\n" },
	{ .title = "304 and a length (H-24)", .head = "HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n",
	  .out = "HTTP/1.1 304 X\r\n" CLEN END },
	{ .title = "100 (H-23)", .head = "HTTP/1.1 100 Continue\r\n\r\n",
	  .out = "HTTP/1.1 100 Continue\r\n\r\n",
	  .out_close = "HTTP/1.1 100 Continue\r\n\r\n", .out_old = "HTTP/1.1 100 Continue\r\n\r\n" },
	{ .title = "103 with a length (H-23)", .out = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
	  .head = "HTTP/1.1 103 Early Hints\r\nLink: a\r\nContent-Length: 5\r\n\r\n" },
	{ .title = "205 has a body like others", .head = "HTTP/1.1 205 X\r\n\r\n",
	  .framing = HTTP_BODY_CLOSE, .once = true,
	  .out = "HTTP/1.1 205 X\r\n" CHUNKED END },

	/* 101: H-22, H-23. */
	{ .title = "101 for WebSocket", .to_websocket = true,
	  .head = SWITCH "Upgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
	  .out = SWITCH "Sec-WebSocket-Accept: x\r\n" UPGRADE END,
	  .out_close = SWITCH "Sec-WebSocket-Accept: x\r\n" UPGRADE END },
	{ .title = "101 that nobody asked for (H-23)", .want = HTTP_STATUS,
	  .head = SWITCH "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n" },
	{ .title = "101 for something else", .to_websocket = true, .want = HTTP_STATUS,
	  .head = SWITCH "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n" },
	{ .title = "101 without Upgrade", .to_websocket = true, .head = SWITCH END,
	  .want = HTTP_STATUS },
	{ .title = "101 without Connection", .to_websocket = true,
	  .head = SWITCH "Upgrade: websocket\r\n\r\n",
	  .want = HTTP_STATUS },
	{ .title = "101 of HTTP/1.0", .to_websocket = true, .want = HTTP_STATUS,
	  .head = "HTTP/1.0 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" },
	{ .title = "200 to an upgrade request", .to_websocket = true,
	  .head = OK "Content-Length: 5\r\n\r\n",
	  .framing = HTTP_BODY_LENGTH, .out = OK CLEN END },

	/* Ambiguous framing: H-24. */
	{ .title = "length and coding (H-24)", .head = OK "Content-Length: 5\r\n" TE_CHUNKED END,
	  .want = HTTP_LENGTH_AND_CODING },
	{ .title = "coding and length (H-24)", .head = OK TE_CHUNKED "Content-Length: 5\r\n\r\n",
	  .want = HTTP_LENGTH_AND_CODING },
	{ .title = "length and coding to HEAD", .head = OK "Content-Length: 5\r\n" TE_CHUNKED END,
	  .to_head = true,
	  .want = HTTP_LENGTH_AND_CODING },
	{ .title = "a list of lengths (H-24)", .head = OK "Content-Length: 5, 5\r\n\r\n",
	  .want = HTTP_LENGTH },
	{ .title = "two lengths (H-24)", .head = OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
	  .want = HTTP_LENGTH },
	{ .title = "two equal lengths", .head = OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
	  .want = HTTP_LENGTH },
	{ .title = "a signed length", .head = OK "Content-Length: +5\r\n\r\n", .want = HTTP_LENGTH },
	{ .title = "an endless length", .head = OK "Content-Length: 99999999999999999999\r\n\r\n",
	  .want = HTTP_LENGTH },
	{ .title = "an empty length", .head = OK "Content-Length:\r\n\r\n", .want = HTTP_LENGTH },
	{ .title = "gzip", .head = OK "Transfer-Encoding: gzip\r\n\r\n", .want = HTTP_CODING },
	{ .title = "gzip, chunked", .head = OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
	  .want = HTTP_CODING },
	{ .title = "chunked twice", .head = OK TE_CHUNKED TE_CHUNKED END, .want = HTTP_CODING },
	{ .title = "identity", .head = OK "Transfer-Encoding: identity\r\n\r\n", .want = HTTP_CODING },
	{ .title = "chunked in HTTP/1.0", .head = "HTTP/1.0 200 OK\r\n" TE_CHUNKED END,
	  .want = HTTP_CODING },
	{ .title = "Connection names Content-Length",
	  .head = OK "Connection: content-length\r\nContent-Length: 5\r\n\r\n",
	  .want = HTTP_FIELD },

	/* Status lines: H-24. */
	{ .title = "CRLF before the status (H-24)", .head = "\r\n" OK END, .want = HTTP_START_LINE },
	{ .title = "garbage before the status (H-24)", .head = "x" OK END, .want = HTTP_START_LINE },
	{ .title = "a space before the status", .head = " " OK END, .want = HTTP_START_LINE },
	{ .title = "bare LF behind the status (H-24)", .head = "HTTP/1.1 200 OK\n\r\n",
	  .want = HTTP_LINE_END },
	{ .title = "bare CR in the reason", .head = "HTTP/1.1 200 O\rK\r\n\r\n",
	  .want = HTTP_LINE_END },
	{ .title = "a NUL in the reason", .head = "HTTP/1.1 200 \0\r\n\r\n", .len = 18,
	  .want = HTTP_LINE_END },
	{ .title = "status 099", .head = "HTTP/1.1 099 X\r\n\r\n", .want = HTTP_STATUS },
	{ .title = "status 600", .head = "HTTP/1.1 600 X\r\n\r\n", .want = HTTP_STATUS },
	{ .title = "status 20", .head = "HTTP/1.1 20 OK\r\n\r\n", .want = HTTP_STATUS },
	{ .title = "status 2000", .head = "HTTP/1.1 2000 OK\r\n\r\n", .want = HTTP_STATUS },
	{ .title = "status 20x", .head = "HTTP/1.1 20x OK\r\n\r\n", .want = HTTP_STATUS },
	{ .title = "status 200OK", .head = "HTTP/1.1 200OK\r\n\r\n", .want = HTTP_STATUS },
	{ .title = "two spaces before the status", .head = "HTTP/1.1  200 OK\r\n\r\n",
	  .want = HTTP_STATUS },
	{ .title = "a tab before the status", .head = "HTTP/1.1\t200 OK\r\n\r\n",
	  .want = HTTP_VERSION },
	{ .title = "HTTP/2.0", .head = "HTTP/2.0 200 OK\r\n\r\n", .want = HTTP_VERSION },
	{ .title = "HTTP/0.9", .head = "HTTP/0.9 200 OK\r\n\r\n", .want = HTTP_VERSION },
	{ .title = "HTTP/1.2", .head = "HTTP/1.2 200 OK\r\n\r\n", .want = HTTP_VERSION },
	{ .title = "ICY", .head = "ICY 200 OK\r\n\r\n", .want = HTTP_START_LINE },
	{ .title = "RTSP", .head = "RTSP/1.0 200 OK\r\n\r\n", .want = HTTP_START_LINE },

	/* Fields. */
	{ .title = "obs-fold", .head = OK "A: b\r\n c\r\n\r\n", .want = HTTP_FIELD },
	{ .title = "a space before the colon", .head = OK "Content-Length : 5\r\n\r\n",
	  .want = HTTP_FIELD },
	{ .title = "a space before the first name", .head = OK " A: b\r\n\r\n", .want = HTTP_FIELD },
	{ .title = "an empty name", .head = OK ": b\r\n\r\n", .want = HTTP_FIELD },
	{ .title = "no colon", .head = OK "A\r\n\r\n", .want = HTTP_FIELD },
	{ .title = "Content_Length", .head = OK "Content_Length: 5\r\n\r\n", .want = HTTP_FIELD },
	{ .title = "a NUL in a value", .head = OK "A: \0\r\n\r\n", .len = 24, .want = HTTP_LINE_END },
};

static struct guard guard, out_guard;

static void check_written(const struct row *row, const char *head, const struct http_response *r,
                          uint8_t minor, bool close, const char *want)
{
	size_t len = strlen(want), n;
	char text[2048] = "", *out = (char *)guard_place(&out_guard, len);
	enum http_framing framing, again;

	n = http_response_write(head, r, minor, close, &framing, out, len);
	if (n != len || memcmp(out, want, len) != 0) {
		n = http_response_write(head, r, minor, close, &framing, text, sizeof(text) - 1);
		text[n] = '\0';
		fail_msg("%s: wrote:\n%s", row->title, text);
	}
	for (size_t room = 0; room < len; room++) {
		out = (char *)guard_place(&out_guard, room);
		assert_int_equal(http_response_write(head, r, minor, close, &again, out, room), 0);
	}
	/* What the head says is what *framing says. */
	if (r->framing == HTTP_BODY_NONE)
		assert_int_equal(framing, HTTP_BODY_NONE);
	else if (strstr(want, CHUNKED))
		assert_int_equal(framing, HTTP_BODY_CHUNKED);
	else if (strstr(want, "content-length"))
		assert_int_equal(framing, HTTP_BODY_LENGTH);
	else
		assert_int_equal(framing, HTTP_BODY_CLOSE);
}

static void test_row(void **state)
{
	const struct row *row = *state;
	size_t len = row->len ? row->len : strlen(row->head);
	char *head = (char *)guard_copy(&guard, row->head, len);
	struct http_response r;
	int got = http_response_parse(head, len, row->to_head, row->to_websocket, &r);

	if (got != row->want)
		fail_msg("%s: %s instead of %s", row->title, http_error_code(got), http_error_code(row->want));
	if (got == HTTP_OK) {
		assert_int_equal(r.framing, row->framing);
		assert_int_equal(r.keep_alive, !row->once);
		assert_int_equal(r.websocket, r.status == 101);
		check_written(row, head, &r, 1, false, row->out);
		if (row->out_close)
			check_written(row, head, &r, 1, true, row->out_close);
		if (row->out_old)
			check_written(row, head, &r, 0, false, row->out_old);
	}
	for (size_t n = 0; n < len; n++) {
		head = (char *)guard_copy(&guard, row->head, n);
		if (http_response_parse(head, n, row->to_head, row->to_websocket, &r) == HTTP_OK)
			fail_msg("%s: accepted when cut at %zu", row->title, n);
	}
}

static void test_every_byte(void **state)
{
	static const char text[] = OK "Connection: close\r\nContent-Length: 15\r\n\r\n";
	struct http_response r, again;
	enum http_framing framing;
	char out[512];

	(void)state;
	for (size_t at = 0; at < sizeof(text) - 1; at++) {
		for (unsigned v = 0; v < 256; v++) {
			char *head = (char *)guard_copy(&guard, text, sizeof(text) - 1);
			size_t n;

			head[at] = (char)v;
			if (http_response_parse(head, sizeof(text) - 1, false, false, &r) != HTTP_OK)
				continue;
			n = http_response_write(head, &r, 1, false, &framing, out, sizeof(out));
			assert_true(n > 0);
			assert_int_equal(http_response_parse(out, n, false, false, &again), HTTP_OK);
			assert_int_equal(again.status, r.status);
			assert_int_equal(again.framing, framing);
			if (framing == HTTP_BODY_LENGTH)
				assert_int_equal(again.length, r.length);
		}
	}
}

/* Alt-Svc goes wherever it stands and however it is written; what only looks like it stays. */
static void test_strip(void **state)
{
	static const char text[] = OK "alt-svc: h3=\":443\"\r\nAlt-Svcs: 1\r\nALT-SVC: clear\r\nAlt-Sv: 2\r\n"
	                           "Alt_Svc: 3\r\nContent-Length: 5\r\nAlt-Svc:\r\n\r\n";
	static const char stripped[] = OK "Alt-Svcs: 1\r\nAlt-Sv: 2\r\nAlt_Svc: 3\r\n" CLEN END;
	static const char hints[] = "HTTP/1.1 103 Early Hints\r\nAlt-Svc: h3=\":443\"\r\nLink: x\r\n\r\n";
	static const char hints_stripped[] = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
	static const struct { const char *head, *want; } heads[] = {
		{ text, stripped }, { hints, hints_stripped },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		size_t len = strlen(heads[i].head), n;
		char *head = (char *)guard_copy(&guard, heads[i].head, len), out[512];
		enum http_framing framing;
		struct http_response r;

		assert_int_equal(http_response_parse(head, len, false, false, &r), HTTP_OK);
		http_response_strip(head, &r);
		n = http_response_write(head, &r, 1, false, &framing, out, sizeof(out) - 1);
		out[n] = '\0';
		assert_string_equal(out, heads[i].want);
	}
}

static void test_direct(void **state)
{
	static const char kept[] = "HTTP/1.1 502 Bad Gateway\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
	                           "server: sluice\r\ncontent-length: 0\r\n\r\n";
	static const char closed[] = "HTTP/1.1 431 Request Header Fields Too Large\r\n"
	                             "date: Thu, 01 Jan 1970 00:00:00 GMT\r\nserver: sluice\r\n"
	                             "connection: close\r\ncontent-length: 0\r\n\r\n";
	char out[256];

	(void)state;
	assert_int_equal(http_direct_response(502, false, 784111777, 0, out, sizeof(out)), strlen(kept));
	assert_memory_equal(out, kept, strlen(kept));
	assert_int_equal(http_direct_response(431, true, 0, 0, out, sizeof(out)), strlen(closed));
	assert_memory_equal(out, closed, strlen(closed));
	memset(out, 0, sizeof(out));
	assert_true(http_direct_response(599, true, 253402300799, 0, out, sizeof(out)) > 0);
	assert_non_null(strstr(out, "Fri, 31 Dec 9999 23:59:59 GMT"));
	assert_true(http_direct_response(308, false, 0, 4096, out, sizeof(out)) > 0);
	assert_non_null(strstr(out, "HTTP/1.1 308 Permanent Redirect\r\n"));
	assert_non_null(strstr(out, "\r\ncontent-length: 4096\r\n\r\n"));
	for (size_t room = 0; room < strlen(kept); room++) {
		char *place = (char *)guard_place(&out_guard, room);

		assert_int_equal(http_direct_response(502, false, 784111777, 0, place, room), 0);
	}
}

int main(void)
{
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	static struct CMUnitTest tests[ROWS + 3];
	int failed;

	guard_init(&guard, 4096);
	guard_init(&out_guard, 4096);
	for (size_t i = 0; i < ROWS; i++) {
		tests[i].name = rows[i].title;
		tests[i].test_func = test_row;
		tests[i].initial_state = (void *)(uintptr_t)&rows[i];
	}
	tests[ROWS] = (struct CMUnitTest)cmocka_unit_test(test_every_byte);
	tests[ROWS + 1] = (struct CMUnitTest)cmocka_unit_test(test_direct);
	tests[ROWS + 2] = (struct CMUnitTest)cmocka_unit_test(test_strip);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	guard_fini(&out_guard);
	guard_fini(&guard);
	return failed;
}
