/* SPDX-License-Identifier: MIT */
/* rules/addr.c: text forms, prefixes, socket addresses. */
#include "rules/addr.c"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "guard.h"

static struct addr parsed(const char *text)
{
	struct addr a;

	if (addr_parse(&a, text, strlen(text)) != 0)
		fail_msg("%s does not parse", text);
	return a;
}

static void test_forms(void **state)
{
	static const struct { const char *in, *out; } rows[] = {
		{"0.0.0.0", "0.0.0.0"},
		{"127.0.0.1", "127.0.0.1"},
		{"255.255.255.255", "255.255.255.255"},
		{"10.20.30.40", "10.20.30.40"},
		{"::", "::"},
		{"::1", "::1"},
		{"1::", "1::"},
		{"2001:DB8::A", "2001:db8::a"},
		{"2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"},
		{"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
		{"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
		{"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
		/* RFC 5952 4.2.2, 4.2.3 */
		{"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
		{"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
		{"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
		{"0:0:1:0:0:0:0:0", "0:0:1::"},
		/* IPv4 in IPv6 */
		{"::ffff:1.2.3.4", "1.2.3.4"},
		{"::FFFF:0102:0304", "1.2.3.4"},
		{"0:0:0:0:0:ffff:1.2.3.4", "1.2.3.4"},
		{"::1.2.3.4", "::102:304"},
		{"64:ff9b::169.254.169.254", "64:ff9b::a9fe:a9fe"},
		{"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
	};
	char text[ADDR_TEXT];
	struct guard g;

	(void)state;
	guard_init(&g, 64);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr a, again;

		if (addr_parse(&a, guard_text(&g, rows[i].in), strlen(rows[i].in)) != 0)
			fail_msg("%s does not parse", rows[i].in);
		assert_string_equal(addr_format(&a, text), rows[i].out);
		again = parsed(text);
		assert_true(addr_equal(&a, &again));
	}
	guard_fini(&g);
}

static void test_not_addresses(void **state)
{
	static const char *const rows[] = {
		"",
		" ",
		"1",
		"127.1",
		"1.2.3",
		"1.2.3.4.5",
		"1.2.3.",
		".1.2.3",
		"1..2.3",
		"1.2.3.4.",
		"2130706433",
		"0x7f000001",
		"0x7f.0.0.1",
		"0177.0.0.1",
		"01.2.3.4",
		"1.2.3.04",
		"00.0.0.0",
		"256.0.0.1",
		"1.2.3.256",
		"1.2.3.1000",
		"1.2.3.4 ",
		" 1.2.3.4",
		"1.2.3.4\n",
		"+1.2.3.4",
		"-1.2.3.4",
		"1.2.3.4/32",
		"1.2.3.4:80",
		"a.b.c.d",
		"localhost",
		":",
		":::",
		"1",
		"1:",
		":1",
		"1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7:8:",
		":1:2:3:4:5:6:7:8",
		"1::2::3",
		"1:::2",
		"::1:",
		":1::",
		"12345::",
		"::12345",
		"g::",
		"::g",
		"1:2:3:4::5:6:7:8",
		"::1:2:3:4:5:6:7:8",
		"1:2:3:4:5:6:7:8::",
		"fe80::1%eth0",
		"fe80::1%1",
		"[::1]",
		"::1/128",
		"::1.2.3",
		"::1.2.3.4.5",
		"::01.2.3.4",
		"1.2.3.4::",
		"::1.2.3.4:5",
		"1:2:3:4:5:6:7:1.2.3.4",
		"1.2.3.4:5:6:7:8:9:a:b",
		"::ffff:1.2.3.400",
		"v1.x",
		"0x1::",
		"::-1",
	};
	struct guard g;

	(void)state;
	guard_init(&g, 64);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr a;

		if (addr_parse(&a, guard_text(&g, rows[i]), strlen(rows[i])) != -1)
			fail_msg("\"%s\" parses", rows[i]);
	}
	guard_fini(&g);
}

/* NULs and every other byte in every place of a good text. */
static void test_foreign_bytes(void **state)
{
	static const char *const texts[] = {"192.0.2.17", "2001:db8::17", "::ffff:192.0.2.17",
					    "192.0.2.0/24", "2001:db8::/32"};
	struct guard g;

	(void)state;
	guard_init(&g, 64);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		for (size_t at = 0; at < strlen(texts[i]); at++)
			for (int c = 0; c < 256; c++) {
				char *text = guard_text(&g, texts[i]);
				struct addr a;
				struct cidr p;
				bool masked;

				text[at] = (char)c;
				if (strchr("0123456789abcdefABCDEF.:/", c) != NULL && c != 0)
					continue;
				assert_int_equal(addr_parse(&a, text, strlen(texts[i])), -1);
				assert_int_equal(cidr_parse(&p, text, strlen(texts[i]), &masked),
						 -1);
			}
	guard_fini(&g);
}

/* Every address has one text, which other parsers read as the same address. */
static void test_round_trip(void **state)
{
	uint32_t seed = 7;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		char text[ADDR_TEXT];
		struct addr a, back;
		uint8_t libc[16];

		for (int j = 0; j < 16; j++) {
			seed = seed * 1103515245 + 12345;
			/* Mostly zero groups, so that they run together. */
			a.b[j] = (seed >> 28) > 6 ? 0 : (uint8_t)(seed >> 16);
		}
		addr_format(&a, text);
		assert_int_equal(addr_parse(&back, text, strlen(text)), 0);
		assert_memory_equal(back.b, a.b, 16);
		if (addr_is_v4(&a))
			continue;
		assert_int_equal(inet_pton(AF_INET6, text, libc), 1);
		assert_memory_equal(libc, a.b, 16);
	}
}

static void test_port_format(void **state)
{
	char text[ADDR_PORT_TEXT];
	struct addr a = parsed("10.0.0.1");

	(void)state;
	assert_string_equal(addr_port_format(&a, 80, text), "10.0.0.1:80");
	a = parsed("2001:db8::1");
	assert_string_equal(addr_port_format(&a, 65535, text), "[2001:db8::1]:65535");
	a = parsed("1111:2222:3333:4444:5555:6666:7777:8888");
	assert_string_equal(addr_port_format(&a, 0, text),
			    "[1111:2222:3333:4444:5555:6666:7777:8888]:0");
}

static void test_cidrs(void **state)
{
	static const struct {
		const char *in, *out;
		int bits;
		bool masked;
		const char *last;
	} rows[] = {
		{"10.0.0.0/8", "10.0.0.0/8", 104, false, "10.255.255.255"},
		{"10.1.2.3/8", "10.0.0.0/8", 104, true, "10.255.255.255"},
		{"192.192.192.192/24", "192.192.192.0/24", 120, true, "192.192.192.255"},
		{"1.2.3.4", "1.2.3.4", 128, false, "1.2.3.4"},
		{"1.2.3.4/32", "1.2.3.4", 128, false, "1.2.3.4"},
		{"1.2.3.5/31", "1.2.3.4/31", 127, true, "1.2.3.5"},
		{"0.0.0.0/0", "0.0.0.0/0", 96, false, "255.255.255.255"},
		{"8.8.8.8/0", "0.0.0.0/0", 96, true, "255.255.255.255"},
		{"172.16.0.0/12", "172.16.0.0/12", 108, false, "172.31.255.255"},
		{"2001:db8::/32", "2001:db8::/32", 32, false,
		 "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"2001:db8::1/33", "2001:db8::/33", 33, true,
		 "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"},
		{"::/0", "::/0", 0, false, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"::1", "::1", 128, false, "::1"},
		{"::1/128", "::1", 128, false, "::1"},
		{"::ffff:10.0.0.0/104", "10.0.0.0/8", 104, false, "10.255.255.255"},
		{"::ffff:0:0/95", "::fffe:0:0/95", 95, true, "255.255.255.255"},
	};
	struct guard g;

	(void)state;
	guard_init(&g, 64);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[ADDR_TEXT];
		struct addr last;
		struct cidr c;
		bool masked;

		assert_int_equal(
			cidr_parse(&c, guard_text(&g, rows[i].in), strlen(rows[i].in), &masked), 0);
		assert_string_equal(cidr_format(&c, text), rows[i].out);
		assert_int_equal(c.bits, rows[i].bits);
		assert_int_equal(masked, rows[i].masked);
		cidr_last(&c, &last);
		assert_string_equal(addr_format(&last, text), rows[i].last);
	}
	guard_fini(&g);
}

static void test_not_cidrs(void **state)
{
	static const char *const rows[] = {
		"",
		"/",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/08",
		"10.0.0.0/8 ",
		"10.0.0.0/+8",
		"10.0.0.0/8/8",
		"10.0.0.0/255.0.0.0",
		"10/8",
		"10.0/16",
		"::/129",
		"::/0128",
		"::/",
		"fe80::1%eth0/64",
		"10.0.0.0/104",
		"[::]/0",
		"10.0.0.0/4294967304",
	};
	struct guard g;

	(void)state;
	guard_init(&g, 64);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cidr c;
		bool masked;

		if (cidr_parse(&c, guard_text(&g, rows[i]), strlen(rows[i]), &masked) != -1)
			fail_msg("\"%s\" parses", rows[i]);
	}
	guard_fini(&g);
}

static struct cidr cidr_of(const char *text)
{
	struct cidr c;
	bool masked;

	if (cidr_parse(&c, text, strlen(text), &masked) != 0)
		fail_msg("%s does not parse", text);
	return c;
}

static void test_contains(void **state)
{
	static const struct { const char *cidr, *addr; bool in; } rows[] = {
		{"10.0.0.0/8", "10.0.0.0", true}, {"10.0.0.0/8", "10.255.255.255", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.0.0.0/8", "9.255.255.255", false}, {"192.0.2.128/25", "192.0.2.127", false},
		{"192.0.2.128/25", "192.0.2.128", true},
		{"1.2.3.4", "1.2.3.4", true}, {"1.2.3.4", "1.2.3.5", false},
		{"0.0.0.0/0", "255.1.2.3", true},
		{"0.0.0.0/0", "::1", false}, {"0.0.0.0/0", "2001:db8::1", false},
		/* One family each. */
		{"::/0", "2001:db8::1", true}, {"::/0", "::", true}, {"::/0", "1.2.3.4", false},
		{"::/64", "1.2.3.4", false},
		{"::/64", "::1:0:0:0", true}, {"::fffe:0:0/95", "1.2.3.4", false},
		{"::fffe:0:0/95", "::fffe:1:2", true},
		{"2001:db8::/32", "2001:db8:ffff::", true}, {"2001:db8::/32", "2001:db9::", false},
		{"2001:db8::/29", "2001:dbf::", true}, {"2001:db8::/29", "2001:dc0::", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cidr c = cidr_of(rows[i].cidr);
		struct addr a = parsed(rows[i].addr);

		if (cidr_contains(&c, &a) != rows[i].in)
			fail_msg("%s in %s", rows[i].addr, rows[i].cidr);
	}
}

static void test_pieces(void **state)
{
	static const struct { const char *cidr, *first[2], *last[2]; } rows[] = {
		{"10.0.0.0/8", {"10.0.0.0"}, {"10.255.255.255"}},
		{"0.0.0.0/0", {"0.0.0.0"}, {"255.255.255.255"}},
		{"2001:db8::/32", {"2001:db8::"}, {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"}},
		{"::/0", {"::", "::1:0:0:0"},
		{"::fffe:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}},
		{"::/64", {"::", "::1:0:0:0"}, {"::fffe:ffff:ffff", "::ffff:ffff:ffff:ffff"}},
		{"::/80", {"::"}, {"::fffe:ffff:ffff"}},
		{"::fffe:0:0/95", {"::fffe:0:0"}, {"::fffe:ffff:ffff"}},
		{"::fffe:0:0/96", {"::fffe:0:0"}, {"::fffe:ffff:ffff"}},
		{"::1:0:0:0/80", {"::1:0:0:0"}, {"::1:ffff:ffff:ffff"}},
	};
	char text[ADDR_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cidr c = cidr_of(rows[i].cidr);
		struct addr first, last;
		unsigned piece;

		for (piece = 0; piece < 2 && rows[i].first[piece] != NULL; piece++) {
			assert_true(cidr_piece(&c, piece, &first, &last));
			assert_string_equal(addr_format(&first, text), rows[i].first[piece]);
			assert_string_equal(addr_format(&last, text), rows[i].last[piece]);
			assert_true(cidr_contains(&c, &first) && cidr_contains(&c, &last));
		}
		assert_false(cidr_piece(&c, piece, &first, &last));
		assert_false(cidr_piece(&c, 2, &first, &last));
	}
}

static void test_next(void **state)
{
	struct addr a = parsed("10.0.255.255");
	char text[ADDR_TEXT];

	(void)state;
	assert_true(addr_next(&a));
	assert_string_equal(addr_format(&a, text), "10.1.0.0");
	a = parsed("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	assert_false(addr_next(&a));
	a = parsed("255.255.255.255");
	assert_true(addr_next(&a));
	assert_string_equal(addr_format(&a, text), "::1:0:0:0");
}

static void test_sockets(void **state)
{
	struct addr a = parsed("192.0.2.1"), back;
	struct sockaddr_storage ss;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	uint16_t port;

	(void)state;
	assert_int_equal(addr_to_sockaddr(&a, 443, &ss), sizeof(in));
	memcpy(&in, &ss, sizeof(in));
	assert_int_equal(in.sin_family, AF_INET);
	assert_int_equal(ntohs(in.sin_port), 443);
	assert_int_equal(ntohl(in.sin_addr.s_addr), 0xc0000201);
	assert_int_equal(addr_from_sockaddr(&back, &port, &ss), 0);
	assert_true(addr_equal(&a, &back) && port == 443);

	a = parsed("2001:db8::1");
	assert_int_equal(addr_to_sockaddr(&a, 80, &ss), sizeof(in6));
	memcpy(&in6, &ss, sizeof(in6));
	assert_int_equal(in6.sin6_family, AF_INET6);
	assert_int_equal(in6.sin6_scope_id, 0);
	assert_memory_equal(&in6.sin6_addr, a.b, 16);
	assert_int_equal(addr_from_sockaddr(&back, &port, &ss), 0);
	assert_true(addr_equal(&a, &back) && port == 80);

	/* An IPv4-mapped address of an IPv6 socket is IPv4. */
	a = parsed("192.0.2.1");
	memcpy(&in6.sin6_addr, a.b, 16);
	memcpy(&ss, &in6, sizeof(in6));
	assert_int_equal(addr_from_sockaddr(&back, &port, &ss), 0);
	assert_true(addr_is_v4(&back));
	ss.ss_family = AF_UNIX;
	assert_int_equal(addr_from_sockaddr(&back, &port, &ss), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_not_addresses),
		cmocka_unit_test(test_foreign_bytes),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_port_format),
		cmocka_unit_test(test_cidrs),
		cmocka_unit_test(test_not_cidrs),
		cmocka_unit_test(test_contains),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
