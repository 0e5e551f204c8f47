/* SPDX-License-Identifier: MIT */
/* Request heads, legal and crafted: what is refused and why, and what goes upstream. */
/* LINK: tproxy/http.c tproxy/http_head.c tproxy/clock.c rules/name.c rules/addr.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/guard.h"
#include "tproxy/http_request.c"
#include "tests/unit/http_request_rows.h"

static struct guard guard, out_guard;

static void check_written(const struct row *row, const char *head, const struct http_request *r,
                          uint16_t port)
{
	size_t want = strlen(row->out);
	char *out = (char *)guard_place(&out_guard, want);

	if (http_request_write(head, r, port, row->upgrade, NULL, out, want) != want ||
	    memcmp(out, row->out, want) != 0) {
		char text[2048] = "";
		size_t n = http_request_write(head, r, port, row->upgrade, NULL, text, sizeof(text) - 1);

		text[n] = '\0';
		fail_msg("%s: wrote:\n%s", row->title, text);
	}
	for (size_t room = 0; room < want; room++) {
		out = (char *)guard_place(&out_guard, room);
		assert_int_equal(http_request_write(head, r, port, row->upgrade, NULL, out, room), 0);
	}
}

static void test_row(void **state)
{
	const struct row *row = *state;
	size_t len = row->len ? row->len : strlen(row->head), scanned = 0;
	uint16_t port = row->port ? row->port : 80;
	struct http_request r;
	char *head = (char *)guard_copy(&guard, row->head, len);
	int got = http_request_parse(head, len, port, &r);

	if (got != row->want)
		fail_msg("%s: %s instead of %s", row->title, http_error_code(got), http_error_code(row->want));
	if (got == HTTP_OK) {
		assert_int_equal(http_head_length(head, len, &scanned), len);
		check_written(row, head, &r, port);
	} else {
		assert_string_equal(r.host, row->host ? row->host : "");
		assert_int_equal(r.host_len, strlen(r.host));
	}
	/* A head that was cut is no head. */
	for (size_t n = 0; n < len; n++) {
		head = (char *)guard_copy(&guard, row->head, n);
		scanned = 0;
		if (http_request_parse(head, n, port, &r) == HTTP_OK)
			fail_msg("%s: accepted when cut at %zu", row->title, n);
		if (row->want == HTTP_OK)
			assert_int_equal(http_head_length(head, n, &scanned), 0);
	}
}

static int parse(const char *text, struct http_request *r)
{
	size_t len = strlen(text);

	return http_request_parse((char *)guard_copy(&guard, text, len), len, 80, r);
}

static void assert_slice(const char *text, struct http_slice s, const char *want)
{
	assert_int_equal(s.len, strlen(want));
	assert_memory_equal(text + s.at, want, s.len);
}

static void test_findings(void **state)
{
	static const char text[] = POST("User-Agent: a b\r\nX-Forwarded-For: 1\r\nX-Request-Id: 2\r\n"
	                                "Content-Length: 7\r\nExpect: 100-continue\r\n");
	struct http_request r;

	(void)state;
	assert_int_equal(parse(text, &r), HTTP_OK);
	assert_slice(text, r.method, "POST");
	assert_slice(text, r.target, "/");
	assert_slice(text, r.authority, "allowed.test");
	assert_slice(text, r.user_agent, "a b");
	assert_slice(text, r.x_forwarded_for, "1");
	assert_slice(text, r.x_request_id, "2");
	assert_int_equal(r.minor, 1);
	assert_int_equal(r.framing, HTTP_BODY_LENGTH);
	assert_int_equal(r.length, 7);
	assert_true(r.expect_continue && r.keep_alive);
	assert_false(r.head || r.idempotent || r.websocket || r.host_is_addr);
	assert_int_equal(r.n_fields, 6);
	assert_int_equal(parse("HEAD / HTTP/1.0\r\nHost: [::1]\r\n\r\n", &r), HTTP_OK);
	assert_true(r.head && r.idempotent && r.host_is_addr);
	assert_int_equal(r.host_addr.b[15], 1);
	assert_int_equal(r.host_len, 0);
	assert_int_equal(r.user_agent.len, 0);
	assert_int_equal(r.framing, HTTP_BODY_NONE);
}

/* A gateway takes whatever port Host says, and says it on. */
static void test_any_port(void **state)
{
	static const struct { const char *head; int error; uint16_t port; } rows[] = {
		{ "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", HTTP_OK, 80 },
		{ "GET / HTTP/1.1\r\nHost: a.test:8080\r\n\r\n", HTTP_OK, 8080 },
		{ "GET http://a.test:8080/ HTTP/1.1\r\nHost: a.test:8080\r\n\r\n", HTTP_OK, 8080 },
		{ "GET http://a.test/ HTTP/1.1\r\nHost: a.test:80\r\n\r\n", HTTP_OK, 80 },
		{ "GET http://a.test:81/ HTTP/1.1\r\nHost: a.test:8080\r\n\r\n", HTTP_HOST_TARGET, 0 },
		{ "GET / HTTP/1.1\r\nHost: a.test:0\r\n\r\n", HTTP_HOST_PORT, 0 },
		{ "GET / HTTP/1.1\r\nHost: a.test:65536\r\n\r\n", HTTP_HOST_PORT, 0 },
		{ "GET / HTTP/1.1\r\nHost: a.test:\r\n\r\n", HTTP_HOST_PORT, 0 },
		{ "GET / HTTP/1.1\r\nHost: a.test:080\r\n\r\n", HTTP_HOST_PORT, 0 },
	};
	struct http_request r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].head);
		char *head = (char *)guard_copy(&guard, rows[i].head, len);

		assert_int_equal(http_request_parse(head, len, 0, &r), rows[i].error);
		if (!rows[i].error)
			assert_int_equal(r.host_port, rows[i].port);
	}
}

static void test_keep_alive(void **state)
{
	static const struct { const char *head; bool want; } cases[] = {
		{ GET(""), true },
		{ GET("Connection: close\r\n"), false },
		{ GET("Connection: keep-alive, Close\r\n"), false },
		{ GET("Connection: closer\r\n"), true },
		{ GET("Proxy-Connection: close\r\n"), true },
		{ "GET / HTTP/1.0\r\n" HOST END, false },
		{ "GET / HTTP/1.0\r\n" HOST "Connection: Keep-Alive\r\n\r\n", true },
		{ "GET / HTTP/1.0\r\n" HOST "Connection: keep-alive, close\r\n\r\n", false },
	};
	struct http_request r;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].head, &r), HTTP_OK);
		assert_int_equal(r.keep_alive, cases[i].want);
	}
}

static void test_idempotent(void **state)
{
	static const struct { const char *method; bool want; } cases[] = {
		{ "GET", true }, { "HEAD", true }, { "PUT", true }, { "DELETE", true }, { "OPTIONS", true },
		{ "POST", false }, { "PATCH", false }, { "PROPPATCH", false },
	};
	char text[128];
	struct http_request r;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "%s / HTTP/1.1\r\n" HOST END, cases[i].method);
		assert_int_equal(parse(text, &r), HTTP_OK);
		assert_int_equal(r.idempotent, cases[i].want);
	}
}

/* H-27: as many fields as there may be, and one more. The last one is dropped as the first is. */
static void test_many_fields(void **state)
{
	char text[4096], out[4096];
	struct http_request r;
	size_t n, wrote;

	(void)state;
	for (int extra = 0; extra < 2; extra++) {
		n = (size_t)snprintf(text, sizeof(text), LINE HOST);
		for (int i = 0; i < HTTP_FIELDS_MAX - 2 + extra; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "F%d: %d\r\n", i, i);
		snprintf(text + n, sizeof(text) - n, "Connection: F0, F61\r\n\r\n");
		assert_int_equal(parse(text, &r), extra ? HTTP_TOO_MANY : HTTP_OK);
		if (extra)
			continue;
		assert_int_equal(r.n_fields, HTTP_FIELDS_MAX);
		wrote = http_request_write(text, &r, 80, false, NULL, out, sizeof(out) - 1);
		out[wrote] = '\0';
		assert_true(wrote > 0);
		assert_null(strstr(out, "F0:"));
		assert_null(strstr(out, "F61:"));
		assert_null(strcasestr(out, "connection"));
		assert_non_null(strstr(out, "F60: 60\r\n\r\n"));
	}
}

static void test_too_large(void **state)
{
	static char text[CONFIG_HTTP_HEAD_MAX + 64];
	size_t at = (size_t)snprintf(text, sizeof(text), LINE HOST "A: "), scanned;
	struct http_request r;

	(void)state;
	memset(text + at, 'b', sizeof(text) - at);
	memcpy(text + CONFIG_HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
	scanned = 0;
	assert_int_equal(http_head_length(text, sizeof(text), &scanned), CONFIG_HTTP_HEAD_MAX);
	assert_int_equal(http_request_parse(text, CONFIG_HTTP_HEAD_MAX, 80, &r), HTTP_OK);
	scanned = 0;
	assert_int_equal(http_head_length(text, CONFIG_HTTP_HEAD_MAX - 1, &scanned), 0);
	memcpy(text + CONFIG_HTTP_HEAD_MAX - 4, "b\r\n\r\n", 5);
	scanned = 0;
	assert_int_equal(http_head_length(text, CONFIG_HTTP_HEAD_MAX - 1, &scanned), 0);
	assert_int_equal(http_head_length(text, CONFIG_HTTP_HEAD_MAX, &scanned), HTTP_TOO_LARGE);
	assert_int_equal(http_head_length(text, sizeof(text), &scanned), HTTP_TOO_LARGE);
	assert_int_equal(http_request_parse(text, CONFIG_HTTP_HEAD_MAX + 1, 80, &r), HTTP_TOO_LARGE);
}

/* A head that comes byte by byte, with the next request behind it, is found where it ends. */
static void test_incremental(void **state)
{
	static const char text[] = "\r\n" GET("A: b\r\n") LINE;
	size_t end = sizeof(text) - sizeof(LINE), scanned = 0;

	(void)state;
	for (size_t n = 0; n < end; n++)
		assert_int_equal(http_head_length((char *)guard_copy(&guard, text, n), n, &scanned), 0);
	for (size_t n = end; n < sizeof(text); n++) {
		size_t again = scanned;

		assert_int_equal(http_head_length((char *)guard_copy(&guard, text, n), n, &again), end);
	}
}

static void test_not_one_head(void **state)
{
	static const char text[] = GET("") LINE, empty[] = "\r\n\r\n" GET("");
	struct http_request r;
	size_t scanned = 0;

	(void)state;
	assert_int_equal(http_request_parse(text, sizeof(text) - 2, 80, &r), HTTP_START_LINE);
	assert_int_equal(http_head_length(empty, sizeof(empty) - 1, &scanned), HTTP_START_LINE);
}

/* Every byte at every place in a head: what is accepted can be written and read again. */
static void test_every_byte(void **state)
{
	static const char text[] = "\r\nGET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n"
	                           "Connection: x\r\nContent-Length: 1\r\n\r\n";
	char out[512];
	struct http_request r, again;

	(void)state;
	for (size_t at = 0; at < sizeof(text) - 1; at++) {
		for (unsigned v = 0; v < 256; v++) {
			char *head = (char *)guard_copy(&guard, text, sizeof(text) - 1);
			size_t n;

			head[at] = (char)v;
			if (http_request_parse(head, sizeof(text) - 1, 80, &r) != HTTP_OK)
				continue;
			n = http_request_write(head, &r, 80, true, NULL, out, sizeof(out));
			assert_true(n > 0);
			assert_int_equal(http_request_parse(out, n, 80, &again), HTTP_OK);
			assert_string_equal(r.host, again.host);
			assert_int_equal(r.framing, again.framing);
			assert_int_equal(r.length, again.length);
		}
	}
}

/* Which fields are scrubbed, wherever they stand; the rest is as it was. */
static void test_scrub(void **state)
{
	static const struct { const char *name; bool gone; } names[] = {
		{ "Forwarded", true }, { "FORWARDED", true }, { "X-Host", true }, { "x_host", true },
		{ "X-HTTP-Host-Override", true }, { "x_http-host_OVERRIDE", true },
		{ "X-Forwarded", true }, { "X-Forwarded-Host", true }, { "X_Forwarded_Host", true }, { "X.Forwarded.Host", true },
		{ "x+original!url", true }, { "X~Host", true },
		{ "X-Forwarded-For", true }, { "x-forwarded-proto", true }, { "X-Forwarded-Port", true },
		{ "X-Forwarded-Server", true }, { "X-Forwarded-Prefix", true }, { "X-Forwarded-*a", true },
		{ "X-Original-URL", true }, { "X-Original-URI", true }, { "X-Original-Host", true },
		{ "x-original_url", true }, { "X-Rewrite-URL", true }, { "X_REWRITE_URL", true },
		{ "X-Rewrite-", true },
		{ "Forwarded-For", false }, { "Forwarde", false }, { "Forwardee", false },
		{ "X-Forwarde", false }, { "X-Hos", false }, { "X-Hosts", false }, { "X-Host-", false },
		{ "X-Original", false }, { "X-Rewrite", false }, { "X-Originals", false },
		{ "XForwarded-Host", false }, { "X-HTTP-Host-Overrid", false },
		{ "X-HTTP-Host-Overrides", false }, { "Via", false }, { "Accept", false }, { "X", false },
		{ "_", false },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char text[256], want[256], out[256], *head;
		struct http_request r;
		size_t n;

		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s: 1\r\nHost: a.test\r\nA: 2\r\n%s: 3\r\n\r\n",
		         names[i].name, names[i].name);
		if (names[i].gone)
			snprintf(want, sizeof(want), "GET / HTTP/1.1\r\nhost: a.test\r\nA: 2\r\n\r\n");
		else
			snprintf(want, sizeof(want), "GET / HTTP/1.1\r\nhost: a.test\r\n%s: 1\r\nA: 2\r\n%s: 3\r\n\r\n",
			         names[i].name, names[i].name);
		head = (char *)guard_copy(&guard, text, strlen(text));
		assert_int_equal(http_request_parse(head, strlen(text), 80, &r), HTTP_OK);
		http_request_scrub(head, &r);
		n = http_request_write(head, &r, 80, false, NULL, out, sizeof(out) - 1);
		out[n] = '\0';
		if (strcmp(out, want) != 0)
			fail_msg("%s: wrote:\n%s", names[i].name, out);
	}
}

/* What a route writes in the place of the path's first bytes, and of Host. */
static void test_rewrite(void **state)
{
	static const struct { const char *target; struct http_rewrite to; const char *out; } table[] = {
		{ "/old/a?b", { NULL, "/new", 4 }, "/new/a?b HTTP/1.1\r\nhost: a.test" },
		{ "/old/a?b", { NULL, "/new", 6 }, "/new?b HTTP/1.1\r\nhost: a.test" },
		{ "/old", { NULL, "/", 4 }, "/ HTTP/1.1\r\nhost: a.test" },
		{ "/", { NULL, "/n", 1 }, "/n HTTP/1.1\r\nhost: a.test" },
		{ "/old", { "b.test:8080", NULL, 4 }, "/old HTTP/1.1\r\nhost: b.test:8080" },
		{ "/old", { "b.test", "/new/", 1 }, "/new/old HTTP/1.1\r\nhost: b.test" },
		{ "http://a.test?b", { NULL, "/new", 1 }, "/new?b HTTP/1.1\r\nhost: a.test" },
		{ "http://a.test", { NULL, "/new", 1 }, "/new HTTP/1.1\r\nhost: a.test" },
		{ "*", { NULL, "/new", 1 }, "* HTTP/1.1\r\nhost: a.test" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char text[256], want[256], out[256];
		struct http_request r;
		size_t n;

		snprintf(text, sizeof(text), "OPTIONS %s HTTP/1.1\r\nHost: a.test\r\n\r\n", table[i].target);
		snprintf(want, sizeof(want), "OPTIONS %s\r\n\r\n", table[i].out);
		assert_int_equal(http_request_parse(text, strlen(text), 80, &r), HTTP_OK);
		n = http_request_write(text, &r, 80, false, &table[i].to, out, sizeof(out) - 1);
		out[n] = '\0';
		if (strcmp(out, want) != 0)
			fail_msg("%s: wrote:\n%s", table[i].target, out);
		for (size_t room = 0; room < n; room++)
			assert_int_equal(http_request_write(text, &r, 80, false, &table[i].to,
			                                    (char *)guard_place(&out_guard, room), room), 0);
	}
}

static void test_errors(void **state)
{
	(void)state;
	for (int e = 0; e > -HTTP_ERRORS; e--) {
		assert_non_null(http_error_text(e));
		assert_memory_equal(http_error_code(e), "http-", 5);
		assert_in_range(http_error_status(e), e ? 400 : 200, e ? 499 : 200);
	}
	assert_string_equal(http_error_code(HTTP_HOST_DUPLICATE), "http-host-duplicate");
	assert_int_equal(http_error_status(HTTP_TOO_LARGE), 431);
	assert_int_equal(http_error_status(HTTP_EXPECT), 417);
	assert_int_equal(http_error_status(1), 400);
	assert_int_equal(http_error_status(-HTTP_ERRORS), 400);
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(test_findings),
		cmocka_unit_test(test_any_port),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_idempotent),
		cmocka_unit_test(test_many_fields),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_incremental),
		cmocka_unit_test(test_not_one_head),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_scrub),
		cmocka_unit_test(test_rewrite),
		cmocka_unit_test(test_errors),
	};
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	static struct CMUnitTest tests[ROWS + sizeof(others) / sizeof(others[0])];
	int failed;

	guard_init(&guard, 4 * CONFIG_HTTP_HEAD_MAX);
	guard_init(&out_guard, 4 * CONFIG_HTTP_HEAD_MAX);
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
