/* SPDX-License-Identifier: MIT */
/* First bytes of many protocols through sniff_kind(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/guard.h"
#include "tproxy/sniff_http.c"

#define TCHARS31  "0123456789012345678901234567890"
#define TCHARS32  "abcdefghijklmnopqrstuvwxyz012345"
#define TCHARS128 TCHARS32 TCHARS32 TCHARS32 TCHARS32

struct row {
	const char *bytes;
	size_t len;        /* of bytes with a NUL in them; 0: a string */
	enum sniff_kind want;
	size_t decided_at; /* fewer bytes are SNIFF_MORE, so many are decided; 0: not checked */
};

static const struct row rows[] = {
	{ "GET / HTTP/1.1\r\n", 0, SNIFF_HTTP, 4 },
	{ "OPTIONS * HTTP/1.1\r\n", 0, SNIFF_HTTP, 8 },
	{ "POST http://allowed.test/ HTTP/1.0\r\n", 0, SNIFF_HTTP, 5 },
	{ "CONNECT evil.test:443 HTTP/1.1\r\n", 0, SNIFF_HTTP, 8 },
	{ "M-SEARCH * HTTP/1.1\r\n", 0, SNIFF_HTTP, 9 },
	{ "VERSION-CONTROL / HTTP/1.1\r\n", 0, SNIFF_HTTP, 16 },
	{ "get / HTTP/1.1\r\n", 0, SNIFF_HTTP, 4 },
	{ "G2 / HTTP/1.1\r\n", 0, SNIFF_HTTP, 4 },
	{ "X!~1 http://evil.test/ HTTP/1.1\r\n", 0, SNIFF_HTTP, 6 },
	{ "GET /\r\n", 0, SNIFF_HTTP, 4 },
	{ "GET /\x01 HTTP/1.1\r\n", 0, SNIFF_HTTP, 4 },
	{ "GET\t/ HTTP/1.1\r\n", 0, SNIFF_HTTP, 4 },
	{ "GET\v/ HTTP/1.1\r\n", 0, SNIFF_HTTP, 4 },
	{ "GET\r/ HTTP/1.1\r\n", 0, SNIFF_HTTP, 5 },
	{ "GET  / HTTP/1.1\r\n", 0, SNIFF_HTTP, 4 },
	{ "\r\nGET / HTTP/1.1\r\n", 0, SNIFF_HTTP, 6 },
	{ "\r\n\r\n\r\nGET / HTTP/1.1\r\n", 0, SNIFF_HTTP, 10 },
	{ "\nGET / HTTP/1.1\r\n", 0, SNIFF_HTTP, 5 },
	{ " GET / HTTP/1.1\r\n", 0, SNIFF_HTTP, 5 },
	{ TCHARS32 "-" TCHARS32 " / HTTP/1.1\r\n", 0, SNIFF_HTTP, 67 },
	{ TCHARS128 TCHARS128 "xyz", 0, SNIFF_HTTP, 256 },
	{ TCHARS128 TCHARS32 TCHARS32 TCHARS32 TCHARS31 "\rx", 0, SNIFF_HTTP, 256 },
	{ TCHARS128 TCHARS32 TCHARS32 TCHARS32 TCHARS31 "\r\n", 0, SNIFF_HTTP, 256 },
	{ TCHARS128 TCHARS32 TCHARS32 TCHARS32 TCHARS31 " x", 0, SNIFF_HTTP, 256 },

	{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4", 28, SNIFF_HTTP2, 24 },
	{ "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 0, SNIFF_HTTP, 0 },
	{ "PRI * HTTP/1.1\r\n", 0, SNIFF_HTTP, 12 },
	{ "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, SNIFF_HTTP, 6 },

	{ "\x16\x03\x01\x02\x00\x01", 6, SNIFF_TLS, 2 },
	{ "\x16\x03\xff", 3, SNIFF_TLS, 2 },
	{ "\x15\x03\x01\x00\x02\x01\x00", 7, SNIFF_TLS, 2 },
	{ "\x14\x03\x03\x00\x01\x01", 6, SNIFF_TLS, 2 },
	{ "\x17\x03\x03\x00\x01\x00", 6, SNIFF_TLS, 2 },
	{ "\x18\x03\x02\x00\x03\x01\x40\x00", 8, SNIFF_TLS, 2 },
	{ "\x80\x2e\x01\x03\x01\x00\x15", 7, SNIFF_TLS, 5 },
	{ "\x80\x2e\x01\x00\x02\x00\x15", 7, SNIFF_TLS, 5 },
	{ "\x16\x01\x00\x00\x01\x00\x00\x00", 8, SNIFF_OTHER, 2 }, /* MongoDB, 278 bytes */

	{ "\x16\x04\x01\x02\x00\x01", 6, SNIFF_OTHER, 2 },
	{ "\x13\x03\x01", 3, SNIFF_OTHER, 1 },
	{ "\x19\x03\x01", 3, SNIFF_OTHER, 1 },

	{ "\x80\x2e\x04\x03\x01", 5, SNIFF_OTHER, 3 },
	{ "\x80\x2e\x01\x07\x01", 5, SNIFF_OTHER, 5 },
	{ "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", 0, SNIFF_OTHER, 23 },
	{ "SSH-2.0-Go\r\n", 0, SNIFF_OTHER, 12 },
	{ "HTTP/1.1 200 OK\r\n", 0, SNIFF_OTHER, 5 },
	{ "220 mail.test ESMTP\r\n", 0, SNIFF_OTHER, 5 },
	{ "PING\r\n", 0, SNIFF_OTHER, 6 },
	{ "PING\n", 0, SNIFF_OTHER, 5 },
	{ "*1\r\n$4\r\nPING\r\n", 0, SNIFF_OTHER, 4 },
	{ "cpu.load 0.7 1700000000\n", 0, SNIFF_OTHER, 10 },
	{ "<?xml version='1.0'?>", 0, SNIFF_OTHER, 1 },
	{ "{\"id\":1}", 0, SNIFF_OTHER, 1 },
	{ "\x10\x0c\x00\x04MQTT\x04\x02", 10, SNIFF_OTHER, 1 },
	{ "\0\0\0\x08\x04\xd2\x16\x2f", 8, SNIFF_OTHER, 1 }, /* PostgreSQL's SSLRequest */
	{ "\0GET / HTTP/1.1\r\n", 17, SNIFF_OTHER, 1 },
	{ "G\x01" "ET / HTTP/1.1\r\n", 0, SNIFF_OTHER, 2 },
	{ "\xffGET / HTTP/1.1\r\n", 0, SNIFF_OTHER, 3 },
	{ "\x05\x01\x00", 3, SNIFF_OTHER, 1 }, /* SOCKS5 */
	{ "\x13" "BitTorrent protocol", 0, SNIFF_OTHER, 1 },

	{ "", 0, SNIFF_MORE, 0 },
	{ "\r\n", 0, SNIFF_MORE, 0 },
	{ "GE", 0, SNIFF_MORE, 0 },
	{ "G2 ", 0, SNIFF_MORE, 0 },
	{ "\x16", 1, SNIFF_MORE, 0 },
	{ "\x80\x2e\x01\x03", 4, SNIFF_MORE, 0 },
	{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r", 0, SNIFF_MORE, 0 },
};

static struct guard guard;

static void test_row(void **state)
{
	const struct row *row = *state;
	size_t len = row->len ? row->len : strlen(row->bytes);
	bool decided = false;

	/* Once decided it stays so, and all bytes together say the same. */
	for (size_t n = 0; n <= len; n++) {
		enum sniff_kind kind = sniff_kind(guard_copy(&guard, row->bytes, n), n);

		if (row->decided_at)
			assert_int_equal(kind != SNIFF_MORE, n >= row->decided_at);
		if (decided && kind == SNIFF_MORE)
			fail_msg("undecided again at %zu", n);
		decided = kind != SNIFF_MORE;
		if (decided || n == len)
			assert_int_equal(kind, row->want);
	}
}

/* However the bytes go on, there is an end to asking for more. */
static void test_bounded(void **state)
{
	static const char fill[] = "A1 \t\r\n-/", first[] = "A1\r\n \x16\x80";
	uint8_t bytes[300];

	(void)state;
	for (size_t f = 0; f < sizeof(first); f++) {
		for (size_t i = 0; i < sizeof(fill) * sizeof(fill) * 4; i++) {
			memset(bytes, fill[i / 4 % sizeof(fill)], sizeof(bytes));
			memset(bytes + 253 + i % 4, fill[i / 4 / sizeof(fill)], 1);
			bytes[0] = (uint8_t)first[f];
			assert_int_not_equal(sniff_kind(guard_copy(&guard, bytes, 256), 256), SNIFF_MORE);
			assert_int_not_equal(sniff_kind(guard_copy(&guard, bytes, 300), 300), SNIFF_MORE);
		}
	}
}

int main(void)
{
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	static struct CMUnitTest tests[ROWS + 1];
	static char titles[ROWS][64];
	int failed;

	guard_init(&guard, 4096);
	for (size_t i = 0; i < ROWS; i++) {
		snprintf(titles[i], sizeof(titles[i]), "row %zu: %.12s", i, (const char *)rows[i].bytes);
		for (char *p = titles[i]; *p; p++)
			if (*p < ' ' || *p > '~')
				*p = '?';
		tests[i].name = titles[i];
		tests[i].test_func = test_row;
		tests[i].initial_state = (void *)(uintptr_t)&rows[i];
	}
	tests[ROWS] = (struct CMUnitTest)cmocka_unit_test(test_bounded);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	guard_fini(&guard);
	return failed;
}
