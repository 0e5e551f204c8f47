/* SPDX-License-Identifier: MIT */
/* What is left of HTTPS and SVCB records, and which names are the stub's own. */
/* LINK: rules/name.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tproxy/dns_service.c"
#include "tproxy/stub_name.c"

#define ALPN      "\0\1\0\3\2h2"
#define NO_ALPN   "\0\2\0\0"
#define PORT      "\0\3\0\2\x20\xfb"
#define V4        "\0\4\0\4\x7f\0\0\1"
#define ECH       "\0\5\0\4\0\2\xfe\x0d"
#define V6        "\0\6\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
#define PATH      "\0\7\0\4/q{?"
#define UNKNOWN   "\xff\0\0\5hello"
#define MUST(key) "\0\0\0\2\0" key
#define A_TEST    "\1a\4test\0"
#define B_TEST    "\1b\4test\0"
#define EVIL      "\4evil\4test\0"

struct row { const char *what, *in; size_t in_len; const char *out; size_t out_len; };
#define ROW(what, in, out) { what, in, sizeof(in) - 1, out, sizeof(out) - 1 }

/* Asked of a.test; b.test is registered. */
static const struct row rows[] = {
	ROW("plain", "\0\1\0" ALPN, "\0\1\0" ALPN),
	ROW("all parameters", "\0\1\0" ALPN NO_ALPN PORT V4 ECH V6 PATH UNKNOWN,
	    "\0\1\0" ALPN NO_ALPN PORT),
	ROW("nothing but ECH", "\0\1\0" ECH, "\0\1\0"),
	ROW("its own name", "\0\1" A_TEST ALPN, "\0\1\0" ALPN),
	ROW("its own name, other case", "\0\1\1A\4TEST\0" ALPN, "\0\1\0" ALPN),
	ROW("a registered name", "\0\2" B_TEST PORT, "\0\2" B_TEST PORT),
	ROW("another name", "\0\1" EVIL ALPN, ""),
	ROW("no host name", "\0\1\2a \0" ALPN, ""),
	ROW("an alias", "\0\0" B_TEST, "\0\0" B_TEST),
	ROW("an alias with parameters", "\0\0" B_TEST ECH, "\0\0" B_TEST),
	ROW("an alias to another name", "\0\0" EVIL, ""),
	ROW("an alias to nothing", "\0\0\0", ""),
	ROW("an alias to itself", "\0\0" A_TEST, ""),
	ROW("mandatory alpn", "\0\1\0" MUST("\1") ALPN, "\0\1\0" MUST("\1") ALPN),
	ROW("mandatory ECH", "\0\1\0" MUST("\5") ALPN ECH, ""),
	ROW("mandatory unknown", "\0\1\0\0\0\0\2\xff\0" ALPN UNKNOWN, ""),
	ROW("mandatory mandatory", "\0\1\0" MUST("\0") ALPN, ""),
	ROW("alpn of nothing", "\0\1\0\0\1\0\1\0", ""),
	ROW("alpn cut", "\0\1\0\0\1\0\3\3h2", ""),
	ROW("port of one byte", "\0\1\0\0\3\0\1\1", ""),
	ROW("no-default-alpn with a value", "\0\1\0\0\2\0\1\1", ""),
	ROW("out of order", "\0\1\0" PORT ALPN, ""),
	ROW("a value too long", "\0\1\0\0\1\0\x84" "0123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789012345678901234567890123456789"
	    "0123456789012345678901", ""),
};

static bool only_b(void *ctx, const char *name, size_t len)
{
	(void)ctx;
	assert_int_equal(strlen(name), len);
	return strcmp(name, "b.test") == 0;
}

/* A response with the record; NULL: c-ares itself refuses it. */
static ares_dns_record_t *response(const struct row *r, uint8_t type)
{
	uint8_t m[1024] = "\0\0\x81\x80\0\1\0\1\0\0\0\0" A_TEST "\0\0\0\1\xc0\x0c\0\0\0\1\0\0\0\x3c";
	size_t n = 12 + 8 + 4 + 2 + 2 + 2 + 4;
	ares_dns_record_t *out = NULL;

	m[12 + 8 + 1] = m[12 + 8 + 4 + 2 + 1] = type;
	m[n++] = (uint8_t)(r->in_len >> 8);
	m[n++] = (uint8_t)r->in_len;
	memcpy(m + n, r->in, r->in_len);
	return ares_dns_parse(m, n + r->in_len, 0, &out) == ARES_SUCCESS ? out : NULL;
}

static void test_row(void **state)
{
	const struct row *r = *state;

	for (int svcb = 0; svcb < 2; svcb++) {
		uint8_t out[DNS_SERVICE_MAX];
		ares_dns_record_t *m = response(r, svcb ? 64 : 65);
		if (!m) {
			assert_int_equal(r->out_len, 0);
			continue;
		}
		size_t n = dns_service_write(ares_dns_record_rr_get_const(m, ARES_SECTION_ANSWER, 0),
		                             "a.test", only_b, NULL, out);
		assert_int_equal(n, r->out_len);
		assert_memory_equal(out, r->out, n);
		ares_dns_record_destroy(m);
	}
}

static void test_names(void **state)
{
	static const struct { const char *name; enum stub_name want; } names[] = {
		{ "localhost", STUB_NAME_LOOPBACK }, { "a.localhost", STUB_NAME_LOOPBACK },
		{ "xlocalhost", STUB_NAME_ORDINARY }, { "localhost.test", STUB_NAME_ORDINARY },
		{ "4.3.2.1.in-addr.arpa", STUB_NAME_NONE }, { "in-addr.arpa", STUB_NAME_NONE },
		{ "f.ip6.arpa", STUB_NAME_NONE }, { "arpa", STUB_NAME_ORDINARY },
		{ "use-application-dns.net", STUB_NAME_NONE }, { "x", STUB_NAME_ORDINARY },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(stub_name(names[i].name, strlen(names[i].name)), names[i].want);
}

int main(void)
{
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	static struct CMUnitTest tests[ROWS + 1];

	for (size_t i = 0; i < ROWS; i++) {
		tests[i].name = rows[i].what;
		tests[i].test_func = test_row;
		tests[i].initial_state = (void *)(uintptr_t)&rows[i];
	}
	tests[ROWS] = (struct CMUnitTest)cmocka_unit_test(test_names);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
