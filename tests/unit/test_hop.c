/* SPDX-License-Identifier: MIT */
/* What is said to gateways of each kind, and what they may answer. */
/* LINK: tproxy/hop_proxy.c tproxy/http.c tproxy/http_head.c tproxy/clock.c rules/name.c rules/addr.c rules/crc32c.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/guard.h"
#include "tproxy/hop.c"

#define N(table)  (sizeof(table) / sizeof((table)[0]))
#define BYTES(s)  (s), sizeof(s) - 1
#define OK        "HTTP/1.1 200 OK\r\n"
#define LABEL_63  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_253  LABEL_63 "." LABEL_63 "." LABEL_63 "." \
                  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define NAME_253_LEN "\xfd"

static struct guard in_guard, out_guard;

/* name_or_addr as a policy would write it, without what only a PROXY header says. */
static struct hop_target target(const char *name_or_addr, uint16_t port)
{
	struct hop_target t = { .port = port };

	if (addr_parse(&t.addr, name_or_addr, strlen(name_or_addr)) != 0) {
		t.name = name_or_addr;
		t.name_len = strlen(name_or_addr);
	}
	return t;
}

/* What is said. */
struct request {
	const char *title, *to;
	uint16_t port;
	enum policy_via via;
	const char *first;   /* CONNECT: all of it; SOCKS5: what follows the choice of a method */
	size_t len;
};

static const struct request requests[] = {
	{ "connect to a name", "allowed.test", 443, POLICY_VIA_CONNECT,
	  BYTES("CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n") },
	{ "connect to the longest name", NAME_253, 65535, POLICY_VIA_CONNECT,
	  BYTES("CONNECT " NAME_253 ":65535 HTTP/1.1\r\nHost: " NAME_253 ":65535\r\n\r\n") },
	{ "connect to IPv4", "192.0.2.1", 80, POLICY_VIA_CONNECT,
	  BYTES("CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n") },
	{ "connect to IPv6", "2001:db8::1", 8443, POLICY_VIA_CONNECT,
	  BYTES("CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n\r\n") },
	{ "socks to a name", "allowed.test", 443, POLICY_VIA_SOCKS5,
	  BYTES("\5\1\0\3\x0c" "allowed.test\1\xbb") },
	{ "socks to the longest name", NAME_253, 65535, POLICY_VIA_SOCKS5,
	  BYTES("\5\1\0\3" NAME_253_LEN NAME_253 "\xff\xff") },
	{ "socks to IPv4", "192.0.2.1", 80, POLICY_VIA_SOCKS5, BYTES("\5\1\0\1\xc0\0\2\1\0\x50") },
	{ "socks to IPv6", "2001:db8::1", 8443, POLICY_VIA_SOCKS5,
	  BYTES("\5\1\0\4\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\xfb") },
};

/* Up to the message that names the target, in room bytes that end at the guard. */
static enum hop_result ask(const struct request *row, struct hop *h, size_t room, uint8_t **out,
                           size_t *n)
{
	struct hop_target t = target(row->to, row->port);
	size_t used;

	*out = guard_place(&out_guard, room);
	if (row->via == POLICY_VIA_CONNECT)
		return hop_begin(h, row->via, &t, *out, room, n);
	*out = guard_place(&out_guard, 3);
	assert_int_equal(hop_begin(h, row->via, &t, *out, 3, n), HOP_MORE);
	assert_int_equal(*n, 3);
	assert_memory_equal(*out, "\5\1\0", 3);
	*out = guard_place(&out_guard, room);
	return hop_feed(h, &t, guard_copy(&in_guard, "\5\0", 2), 2, &used, *out, room, n);
}

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(requests); i++) {
		const struct request *row = &requests[i];
		struct hop h;
		uint8_t *out;
		size_t n;

		print_message("# %s\n", row->title);
		assert_true(row->len <= HOP_OUT_MAX);
		assert_int_equal(ask(row, &h, row->len, &out, &n), HOP_MORE);
		assert_int_equal(n, row->len);
		assert_memory_equal(out, row->first, n);
		for (size_t room = 0; room < row->len; room++) {
			assert_int_equal(ask(row, &h, room, &out, &n), HOP_FAILED);
			assert_int_equal(n, 0);
			assert_string_equal(hop_reason(&h), "hop_overflow");
		}
	}
}

/* No room for a greeting, and names that cannot be: nothing is said, and never "nothing to say". */
static void test_no_room(void **state)
{
	static const enum policy_via vias[] = { POLICY_VIA_CONNECT, POLICY_VIA_SOCKS5,
	                                        POLICY_VIA_PROXY_V2 };
	struct hop_target t = target("allowed.test", 443);
	struct hop h;
	size_t n;

	(void)state;
	for (size_t i = 0; i < N(vias); i++) {
		uint8_t *out = guard_place(&out_guard, 2);

		assert_int_equal(hop_begin(&h, vias[i], &t, out, 2, &n), HOP_FAILED);
		assert_int_equal(n, 0);
		t.name_len = NAME_MAX_LEN + 1;
		out = guard_place(&out_guard, HOP_OUT_MAX);
		assert_int_equal(hop_begin(&h, vias[i], &t, out, HOP_OUT_MAX, &n), HOP_FAILED);
		assert_int_equal(n, 0);
		t.name_len = 12;
	}
}

static void test_silent(void **state)
{
	static const enum policy_via vias[] = { POLICY_VIA_PLAIN, POLICY_VIA_TLS, POLICY_VIA_MUTUAL };
	struct hop_target t = target("allowed.test", 443);
	size_t n, used;

	(void)state;
	for (size_t i = 0; i < N(vias); i++) {
		struct hop h;

		assert_int_equal(hop_begin(&h, vias[i], &t, guard_place(&out_guard, 0), 0, &n), HOP_DONE);
		assert_int_equal(n, 0);
		/* Whoever asks all the same is not let through. */
		assert_int_equal(hop_feed(&h, &t, guard_copy(&in_guard, "x", 1), 1, &used,
		                          guard_place(&out_guard, 0), 0, &n), HOP_FAILED);
	}
}

/* What is answered: want NULL accepts all but the last `behind` bytes; otherwise the reason. */
struct answer {
	const char *title, *bytes;
	size_t len;
	const char *want;
	size_t behind;
};

#define INTERIM "HTTP/1.1 100 Continue\r\n\r\n"

static const struct answer connects[] = {
	{ "squid", BYTES("HTTP/1.1 200 Connection established\r\n\r\n"), .want = NULL },
	{ "tinyproxy", BYTES("HTTP/1.0 200 Connection established\r\n"
	                     "Proxy-agent: tinyproxy/1.11.1\r\n\r\n"), .want = NULL },
	{ "envoy", BYTES(OK "date: Sun, 06 Nov 1994 08:49:37 GMT\r\nserver: envoy\r\n\r\n"),
	  .want = NULL },
	{ "payload behind it", BYTES(OK "\r\n\r\n\0\x16\3\1"), .behind = 6 },
	{ "no reason", BYTES("HTTP/1.1 200 \r\n\r\n"), .want = NULL },
	{ "no reason and no space", BYTES("HTTP/1.1 200\r\n\r\n"), .want = NULL },
	{ "204", BYTES("HTTP/1.1 204 No Content\r\n\r\n"), .want = NULL },
	{ "299", BYTES("HTTP/1.1 299 x\r\n\r\n"), .want = NULL },
	{ "a length, which means nothing", BYTES(OK "Content-Length: 5\r\n\r\nhello"), .behind = 5 },
	{ "a coding, which means nothing", BYTES(OK "Transfer-Encoding: chunked\r\n\r\n0"), .behind = 1 },
	{ "empty value, tabs, high bytes", BYTES(OK "A:\r\nB: \t\xff\t\r\n\r\n"), .want = NULL },
	{ "interim first", BYTES(INTERIM INTERIM OK "\r\nx"), .behind = 1 },
	{ "early hints first", BYTES("HTTP/1.1 103 x\r\nLink: a\r\n\r\n" OK "\r\n"), .want = NULL },

	{ "400", BYTES("HTTP/1.1 400 x\r\n\r\n"), .want = "connect_400" },
	{ "401", BYTES("HTTP/1.1 401 x\r\n\r\n"), .want = "connect_401" },
	{ "403", BYTES("HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhello"),
	  .want = "connect_403" },
	{ "404", BYTES("HTTP/1.1 404\r\n"), .want = "connect_404" },
	{ "405", BYTES("HTTP/1.1 405 x\r\n\r\n"), .want = "connect_405" },
	{ "407", BYTES("HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\n\r\n"), .want = "connect_407" },
	{ "429", BYTES("HTTP/1.1 429 x\r\n\r\n"), .want = "connect_429" },
	{ "500", BYTES("HTTP/1.1 500 x\r\n\r\n"), .want = "connect_500" },
	{ "502", BYTES("HTTP/1.1 502 Bad Gateway\r\n\r\n"), .want = "connect_502" },
	{ "503", BYTES("HTTP/1.1 503 x\r\n\r\n"), .want = "connect_503" },
	{ "504", BYTES("HTTP/1.1 504 x\r\n\r\n"), .want = "connect_504" },
	{ "redirect", BYTES("HTTP/1.1 302 x\r\nLocation: /\r\n\r\n"), .want = "connect_refused" },
	{ "599", BYTES("HTTP/1.1 599 x\r\n\r\n"), .want = "connect_refused" },
	{ "interim, then 403", BYTES(INTERIM "HTTP/1.1 403 x\r\n\r\n"), .want = "connect_403" },

	{ "101", BYTES("HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n"), .want = "connect_malformed" },
	{ "099", BYTES("HTTP/1.1 099 x\r\n\r\n"), .want = "connect_malformed" },
	{ "600", BYTES("HTTP/1.1 600 x\r\n\r\n"), .want = "connect_malformed" },
	{ "two digits", BYTES("HTTP/1.1 20 OK\r\n\r\n"), .want = "connect_malformed" },
	{ "four digits", BYTES("HTTP/1.1 2000 OK\r\n\r\n"), .want = "connect_malformed" },
	{ "a sign", BYTES("HTTP/1.1 +20 OK\r\n\r\n"), .want = "connect_malformed" },
	{ "a tab behind the status", BYTES("HTTP/1.1 200\tOK\r\n\r\n"), .want = "connect_malformed" },
	{ "two spaces", BYTES("HTTP/1.1  200 OK\r\n\r\n"), .want = "connect_malformed" },
	{ "version 1.2", BYTES("HTTP/1.2 200 OK\r\n\r\n"), .want = "connect_malformed" },
	{ "version 2", BYTES("HTTP/2 200\r\n\r\n"), .want = "connect_malformed" },
	{ "version 0.9", BYTES("HTTP/0.9 200\r\n\r\n"), .want = "connect_malformed" },
	{ "lower case", BYTES("http/1.1 200 OK\r\n\r\n"), .want = "connect_malformed" },
	{ "ICY", BYTES("ICY 200 OK\r\n\r\n"), .want = "connect_malformed" },
	{ "CRLF first", BYTES("\r\n" OK "\r\n"), .want = "connect_malformed" },
	{ "garbage", BYTES("SSH-2.0-OpenSSH_9.2\r\n"), .want = "connect_malformed" },
	{ "a SOCKS answer", BYTES("\5\0"), .want = "connect_malformed" },
	{ "LF behind the status", BYTES("HTTP/1.1 200 OK\n\r\n"), .want = "connect_malformed" },
	{ "LF behind a field", BYTES(OK "A: b\n\r\n"), .want = "connect_malformed" },
	{ "LF for the empty line", BYTES(OK "\n"), .want = "connect_malformed" },
	{ "CR alone in the reason", BYTES("HTTP/1.1 200 O\rK\r\n\r\n"), .want = "connect_malformed" },
	{ "CR alone behind the head", BYTES(OK "\rx"), .want = "connect_malformed" },
	{ "a NUL", BYTES(OK "A: \0\r\n\r\n"), .want = "connect_malformed" },
	{ "DEL", BYTES(OK "A: \x7f\r\n\r\n"), .want = "connect_malformed" },
	{ "a folded line", BYTES(OK "A: b\r\n c\r\n\r\n"), .want = "connect_malformed" },
	{ "a space before the colon", BYTES(OK "A : b\r\n\r\n"), .want = "connect_malformed" },
	{ "no colon", BYTES(OK "Abc\r\n\r\n"), .want = "connect_malformed" },
	{ "no name", BYTES(OK ": b\r\n\r\n"), .want = "connect_malformed" },
};

/* What follows the choice of a method, and the request. */
static const struct answer replies[] = {
	{ "IPv4", BYTES("\5\0\0\1\xc0\0\2\1\1\xbb"), .want = NULL },
	{ "IPv6", BYTES("\5\0\0\4" "0123456789abcdef" "\1\xbb"), .want = NULL },
	{ "a name", BYTES("\5\0\0\3\x0c" "allowed.test\1\xbb"), .want = NULL },
	{ "no name", BYTES("\5\0\0\3\0\0\0"), .want = NULL },
	{ "the longest there can be", BYTES("\5\0\0\3\xff" NAME_253 "xx\1\xbb"), .want = NULL },
	{ "nothing bound (tor, ssh)", BYTES("\5\0\0\1\0\0\0\0\0\0"), .want = NULL },
	{ "payload behind it", BYTES("\5\0\0\1\0\0\0\0\0\0\5\0\0"), .behind = 3 },
	{ "payload behind a name", BYTES("\5\0\0\3\1a\0\0SSH-2.0"), .behind = 7 },

	{ "failure", BYTES("\5\1\0\1\0\0\0\0\0\0"), .want = "socks_failure" },
	{ "not allowed", BYTES("\5\2\0\1\0\0\0\0\0\0"), .want = "socks_not_allowed" },
	{ "network unreachable", BYTES("\5\3\0\1\0\0\0\0\0\0"), .want = "socks_network_unreachable" },
	{ "host unreachable", BYTES("\5\4\0\1\0\0\0\0\0\0"), .want = "socks_host_unreachable" },
	{ "connection refused", BYTES("\5\5\0\1\0\0\0\0\0\0"), .want = "socks_connection_refused" },
	{ "TTL expired", BYTES("\5\6\0\1\0\0\0\0\0\0"), .want = "socks_ttl_expired" },
	{ "no such command", BYTES("\5\7\0\1\0\0\0\0\0\0"), .want = "socks_no_such_command" },
	{ "no such address type", BYTES("\5\x08\0\1\0\0\0\0\0\0"), .want = "socks_no_such_address" },
	{ "an unassigned reply", BYTES("\5\x09\0\1\0\0\0\0\0\0"), .want = "socks_refused" },
	{ "the last unassigned reply", BYTES("\5\xff"), .want = "socks_refused" },
	{ "version 4", BYTES("\4\0\0\1\0\0\0\0\0\0"), .want = "socks_malformed" },
	{ "version 0, as SOCKS4 answers", BYTES("\0\x5a\0\0\0\0\0\0"), .want = "socks_malformed" },
	{ "reserved", BYTES("\5\0\1\1\0\0\0\0\0\0"), .want = "socks_malformed" },
	{ "type 0", BYTES("\5\0\0\0\0\0\0\0\0\0"), .want = "socks_malformed" },
	{ "type 2", BYTES("\5\0\0\2\0\0\0\0\0\0"), .want = "socks_malformed" },
	{ "type 5", BYTES("\5\0\0\5\0\0\0\0\0\0"), .want = "socks_malformed" },
	{ "HTTP", BYTES("HTTP/1.1 400 Bad Request\r\n\r\n"), .want = "socks_malformed" },
};

/* Instead of the choice of a method. */
static const struct answer methods[] = {
	{ "none of them", BYTES("\5\xff"), .want = "socks_no_method" },
	{ "one that was not offered", BYTES("\5\2"), .want = "socks_malformed" },
	{ "GSSAPI", BYTES("\5\1"), .want = "socks_malformed" },
	{ "version 4", BYTES("\4\0"), .want = "socks_malformed" },
	{ "HTTP", BYTES("HTTP/1.1 400 Bad Request\r\n\r\n"), .want = "socks_malformed" },
	{ "an answer before the question", BYTES("\5\0\5\0\0\1\0\0\0\0\0\0"), .want = "socks_malformed" },
};

static void begin(struct hop *h, enum policy_via via, bool asked)
{
	struct request row = { .to = "allowed.test", .port = 443, .via = via };
	struct hop_target t = target(row.to, row.port);
	uint8_t *out;
	size_t n;

	if (asked)
		assert_int_equal(ask(&row, h, HOP_OUT_MAX, &out, &n), HOP_MORE);
	else
		assert_int_equal(hop_begin(h, via, &t, guard_place(&out_guard, 3), 3, &n), HOP_MORE);
}

/* Feeds bytes in pieces of step, as a caller would. *used: all that were taken. */
static enum hop_result feed(struct hop *h, const struct answer *row, size_t len, size_t step,
                            size_t *used)
{
	struct hop_target t = target("allowed.test", 443);

	*used = 0;
	while (*used < len) {
		size_t part = len - *used < step ? len - *used : step, took, n;
		enum hop_result r = hop_feed(h, &t, guard_copy(&in_guard, row->bytes + *used, part),
		                             part, &took, guard_place(&out_guard, 0), 0, &n);

		assert_true(took <= part);
		assert_int_equal(n, 0);
		*used += took;
		if (r != HOP_MORE)
			return r;
		assert_int_equal(took, part);
	}
	return HOP_MORE;
}

/* What a gateway's answer says of the gateway: a refusal is no failure of its own. */
static int status_of(const struct hop *h, const char *reason)
{
	static const char *const refusals[] = {
		"socks_no_method", "socks_refused", "socks_not_allowed", "socks_no_such_command",
		"socks_no_such_address",
	};

	if (strstr(reason, "malformed") || strstr(reason, "oversize") || strstr(reason, "overflow"))
		return 0;
	if (strcmp(reason, "connect_refused") == 0)
		return h->value;
	if (strncmp(reason, "connect_", 8) == 0)
		return atoi(reason + 8);
	for (size_t i = 0; i < N(refusals); i++)
		if (strcmp(reason, refusals[i]) == 0)
			return 403;
	return 503;
}

static void check_answer(const struct answer *row, enum policy_via via, bool asked, size_t step)
{
	size_t end = row->len - row->behind, used;
	struct hop h;

	begin(&h, via, asked);
	if (row->want) {
		assert_int_equal(feed(&h, row, row->len, step, &used), HOP_FAILED);
		assert_string_equal(hop_reason(&h), row->want);
		assert_int_equal(hop_status(&h), status_of(&h, row->want));
	} else {
		assert_int_equal(feed(&h, row, row->len, step, &used), HOP_DONE);
		assert_int_equal(used, end);
	}
	/* It is over: no byte is good any more. */
	assert_int_equal(feed(&h, &(struct answer){ .bytes = "\5\0" }, 2, 2, &used), HOP_FAILED);
}

static void check_answers(const struct answer *rows, size_t n, enum policy_via via, bool asked)
{
	for (size_t i = 0; i < n; i++) {
		const struct answer *row = &rows[i];
		struct hop h;
		size_t used;

		print_message("# %s\n", row->title);
		for (size_t step = 1; asked && step <= row->len; step++)
			check_answer(row, via, asked, step);
		check_answer(row, via, asked, row->len);
		/* Any part of what is accepted is not enough, and uses up all that it has. */
		for (size_t len = 0; !row->want && len < row->len - row->behind; len++) {
			begin(&h, via, asked);
			assert_int_equal(feed(&h, row, len, len, &used), HOP_MORE);
			assert_int_equal(used, len);
		}
	}
}

static void test_connect(void **state)
{
	(void)state;
	check_answers(connects, N(connects), POLICY_VIA_CONNECT, true);
}

static void test_reply(void **state)
{
	(void)state;
	check_answers(replies, N(replies), POLICY_VIA_SOCKS5, true);
}

static void test_method(void **state)
{
	(void)state;
	check_answers(methods, N(methods), POLICY_VIA_SOCKS5, false);
}

/* A head, and interim heads together, up to the bound; and one byte more. */
static void test_connect_bound(void **state)
{
	static char text[CONFIG_HTTP_HEAD_MAX + 1];
	static const char *const starts[] = { OK "A: ", INTERIM INTERIM OK "A: " };
	size_t used;
	struct hop h;

	(void)state;
	for (size_t i = 0; i < N(starts); i++)
		for (size_t more = 0; more <= 1; more++) {
			size_t len = CONFIG_HTTP_HEAD_MAX + more;
			struct answer row = { .bytes = text, .len = len };

			memset(text, 'a', sizeof(text));
			memcpy(text, starts[i], strlen(starts[i]));
			memcpy(text + len - 4, "\r\n\r\n", 4);
			begin(&h, POLICY_VIA_CONNECT, true);
			assert_int_equal(feed(&h, &row, len, len, &used), more ? HOP_FAILED : HOP_DONE);
			if (more)
				assert_string_equal(hop_reason(&h), "connect_oversize");
		}
	/* Interim responses without end. */
	begin(&h, POLICY_VIA_CONNECT, true);
	for (size_t i = 0; i < CONFIG_HTTP_HEAD_MAX / (sizeof(INTERIM) - 1); i++)
		assert_int_equal(feed(&h, &(struct answer){ .bytes = INTERIM }, sizeof(INTERIM) - 1,
		                      sizeof(INTERIM) - 1, &used), HOP_MORE);
	assert_int_equal(feed(&h, &(struct answer){ .bytes = INTERIM }, sizeof(INTERIM) - 1,
	                      sizeof(INTERIM) - 1, &used), HOP_FAILED);
	assert_string_equal(hop_reason(&h), "connect_oversize");
}

/* Each value of the status line's first byte, and of a field name's. */
static void test_every_byte(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		char text[] = OK "A?: b\r\n\r\n";
		char *at = strchr(text, '?');
		size_t used;
		struct hop h;
		bool token = strchr("!#$%&'*+-.^_`|~", (int)c) ? c != 0
		             : (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');

		*at = (char)c;
		begin(&h, POLICY_VIA_CONNECT, true);
		/* "A::" is a field whose value is ":". */
		assert_int_equal(feed(&h, &(struct answer){ .bytes = text }, sizeof(text) - 1, 64, &used),
		                 token || c == ':' ? HOP_DONE : HOP_FAILED);
		text[0] = (char)c;
		*at = 'B';
		begin(&h, POLICY_VIA_CONNECT, true);
		assert_int_equal(feed(&h, &(struct answer){ .bytes = text }, sizeof(text) - 1, 64, &used),
		                 c == 'H' ? HOP_DONE : HOP_FAILED);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_connect_bound),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_method),
		cmocka_unit_test(test_reply),
	};
	int failed;

	_Static_assert(sizeof(struct hop) <= 64, "lives in every struct dial");
	guard_init(&in_guard, 2 * CONFIG_HTTP_HEAD_MAX);
	guard_init(&out_guard, HOP_OUT_MAX);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	guard_fini(&out_guard);
	guard_fini(&in_guard);
	return failed;
}
