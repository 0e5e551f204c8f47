/* SPDX-License-Identifier: MIT */
/* PROXY headers, version 2: written as others read them, and read as others write them. */
/* LINK: rules/name.c rules/addr.c rules/crc32c.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/guard.h"
#include "tproxy/hop_proxy.c"

#define N(table)   (sizeof(table) / sizeof((table)[0]))
#define BYTES(s)   (s), sizeof(s) - 1
#define SIGN       "\r\n\r\n\0\r\nQUIT\n"
#define V4         "\xc0\0\2\1\xc6\x33\x64\2\x9c\x40\1\xbb" /* 192.0.2.1:40000, 198.51.100.2:443 */
#define V6         "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2" \
                   "\x9c\x40\1\xbb"
#define AUTHORITY  "\2\0\x0c" "allowed.test"
#define LABEL_63   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_253   LABEL_63 "." LABEL_63 "." LABEL_63 "." \
                   "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct guard guard;

static struct addr addr(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(&a, text, strlen(text)), 0);
	return a;
}

/* Headers by others; rest follows the length. A checksum of "crc!" is made the right one. */
struct row {
	const char *title;
	uint8_t command, family;
	const char *rest;
	size_t len;
	long want;               /* 0: accepted */
	const char *name;        /* accepted: the authority; NULL: none */
	const char *alpn;
	bool local, v6, bad_crc;
};

static const struct row rows[] = {
	{ "haproxy, send-proxy-v2", 0x21, 0x11, BYTES(V4), .want = 0 },
	{ "IPv6", 0x21, 0x21, BYTES(V6), .v6 = true },
	{ "authority", 0x21, 0x11, BYTES(V4 AUTHORITY), .name = "allowed.test" },
	{ "authority, IPv6", 0x21, 0x21, BYTES(V6 AUTHORITY), .name = "allowed.test", .v6 = true },
	{ "authority as a client wrote it", 0x21, 0x11, BYTES(V4 "\2\0\x0d" "Allowed.Test."),
	  .name = "allowed.test" },
	{ "the longest authority", 0x21, 0x11, BYTES(V4 "\2\0\xfd" NAME_253), .name = NAME_253 },
	{ "ALPN", 0x21, 0x11, BYTES(V4 "\1\0\2h2" AUTHORITY), .name = "allowed.test", .alpn = "h2" },
	{ "an empty ALPN", 0x21, 0x11, BYTES(V4 "\1\0\0"), .want = 0 },
	{ "checksum", 0x21, 0x11, BYTES(V4 "\3\0\4crc!"), .want = 0 },
	{ "checksum first", 0x21, 0x21, BYTES(V6 "\3\0\4crc!" AUTHORITY), .name = "allowed.test",
	  .v6 = true },
	{ "checksum last, at an odd place", 0x21, 0x11, BYTES(V4 "\4\0\1x" AUTHORITY "\3\0\4crc!"),
	  .name = "allowed.test" },
	{ "TLS of the client", 0x21, 0x11, BYTES(V4 "\x20\0\x0f\1\0\0\0\0\x21\0\7TLSv1.3"), .want = 0 },
	{ "TLS of the client, nothing more", 0x21, 0x11, BYTES(V4 "\x20\0\5\0\0\0\0\1"), .want = 0 },
	{ "an authority inside of TLS is none", 0x21, 0x11,
	  BYTES(V4 "\x20\0\x14\1\0\0\0\0" AUTHORITY), .want = 0 },
	{ "types that are not known", 0x21, 0x11, BYTES(V4 "\xe0\0\3abc\xea\0\0\5\0\1x\xff\0\1y"),
	  .want = 0 },
	{ "one of those twice", 0x21, 0x11, BYTES(V4 "\4\0\0\4\0\0"), .want = 0 },
	{ "LOCAL", 0x20, 0, BYTES(""), .local = true },
	{ "LOCAL with addresses", 0x20, 0x11, BYTES(V4 AUTHORITY), .local = true },
	{ "LOCAL with whatever", 0x20, 0x7f, BYTES("\1\2\3"), .local = true },

	{ "version 1 in a version 2", 0x11, 0x11, BYTES(V4), .want = HOP_PROXY_COMMAND },
	{ "version 3", 0x31, 0x11, BYTES(V4), .want = HOP_PROXY_COMMAND },
	{ "command 2", 0x22, 0x11, BYTES(V4), .want = HOP_PROXY_COMMAND },
	{ "command 15", 0x2f, 0x11, BYTES(V4), .want = HOP_PROXY_COMMAND },
	{ "PROXY of nothing known", 0x21, 0x00, BYTES(""), .want = HOP_PROXY_FAMILY },
	{ "UDP over IPv4", 0x21, 0x12, BYTES(V4), .want = HOP_PROXY_FAMILY },
	{ "UDP over IPv6", 0x21, 0x22, BYTES(V6), .want = HOP_PROXY_FAMILY },
	{ "Unix", 0x21, 0x31, BYTES(V6 V6 V6 V6 V6 V6), .want = HOP_PROXY_FAMILY },
	{ "IPv4 without a transport", 0x21, 0x10, BYTES(V4), .want = HOP_PROXY_FAMILY },
	{ "another family", 0x21, 0x41, BYTES(V4), .want = HOP_PROXY_FAMILY },
	{ "no addresses", 0x21, 0x11, BYTES(""), .want = HOP_PROXY_LENGTH },
	{ "too short for IPv4", 0x21, 0x11, BYTES("12345678901"), .want = HOP_PROXY_LENGTH },
	{ "too short for IPv6", 0x21, 0x21, BYTES(V4 AUTHORITY), .want = HOP_PROXY_LENGTH },
	{ "a TLV cut at its type", 0x21, 0x11, BYTES(V4 "\2"), .want = HOP_PROXY_TLV },
	{ "a TLV cut at its length", 0x21, 0x11, BYTES(V4 "\2\0"), .want = HOP_PROXY_TLV },
	{ "a TLV cut in its value", 0x21, 0x11, BYTES(V4 "\4\0\2x"), .want = HOP_PROXY_TLV },
	{ "a TLV of 65535", 0x21, 0x11, BYTES(V4 "\4\xff\xff" "abc"), .want = HOP_PROXY_TLV },
	{ "two authorities", 0x21, 0x11, BYTES(V4 AUTHORITY AUTHORITY), .want = HOP_PROXY_TLV },
	{ "two ALPN", 0x21, 0x11, BYTES(V4 "\1\0\2h2\1\0\2h2"), .want = HOP_PROXY_TLV },
	{ "two checksums", 0x21, 0x11, BYTES(V4 "\3\0\4crc!\3\0\4\0\0\0\0"), .want = HOP_PROXY_TLV },
	{ "a checksum of 3 bytes", 0x21, 0x11, BYTES(V4 "\3\0\3\0\0\0"), .want = HOP_PROXY_TLV },
	{ "a checksum of 5 bytes", 0x21, 0x11, BYTES(V4 "\3\0\5\0\0\0\0\0"), .want = HOP_PROXY_TLV },
	{ "TLS of 4 bytes", 0x21, 0x11, BYTES(V4 "\x20\0\4\1\0\0\0"), .want = HOP_PROXY_TLV },
	{ "TLS with half a TLV", 0x21, 0x11, BYTES(V4 "\x20\0\7\1\0\0\0\0\x21\0"), .want = HOP_PROXY_TLV },
	{ "TLS with a TLV beyond it", 0x21, 0x11, BYTES(V4 "\x20\0\x08\1\0\0\0\0\x21\0\1\4\0\0"),
	  .want = HOP_PROXY_TLV },
	{ "another checksum", 0x21, 0x11, BYTES(V4 AUTHORITY "\3\0\4crc!"), .want = HOP_PROXY_CRC,
	  .bad_crc = true },
	{ "no checksum, where there is one", 0x21, 0x11, BYTES(V4 "\3\0\4\0\0\0\0"),
	  .want = HOP_PROXY_CRC },
	{ "an empty authority", 0x21, 0x11, BYTES(V4 "\2\0\0"), .want = HOP_PROXY_NAME },
	{ "an address", 0x21, 0x11, BYTES(V4 "\2\0\x09" "192.0.2.1"), .want = HOP_PROXY_NAME },
	{ "a port", 0x21, 0x11, BYTES(V4 "\2\0\x10" "allowed.test:443"), .want = HOP_PROXY_NAME },
	{ "a NUL", 0x21, 0x11, BYTES(V4 "\2\0\x0e" "allowed.test\0x"), .want = HOP_PROXY_NAME },
	{ "a star", 0x21, 0x11, BYTES(V4 "\2\0\6" "*.test"), .want = HOP_PROXY_NAME },
	{ "254 bytes", 0x21, 0x11, BYTES(V4 "\2\0\xfe" "b" NAME_253), .want = HOP_PROXY_NAME },
	{ "UTF-8", 0x21, 0x11, BYTES(V4 "\2\0\7b\xc3\xa9.test"), .want = HOP_PROXY_NAME },
};

/* The header of a row, and its length. */
static size_t make(const struct row *row, uint8_t *out)
{
	size_t len = HEADER + row->len;

	memcpy(out, SIGN, SIGNATURE_SIZE);
	out[AT_COMMAND] = row->command;
	out[AT_FAMILY] = row->family;
	put_be16(out + AT_LENGTH, row->len);
	memcpy(out + HEADER, row->rest, row->len);
	for (size_t i = 0; i + CRC_SIZE <= len; i++) {
		if (memcmp(out + i, "crc!", CRC_SIZE) != 0)
			continue;
		memset(out + i, 0, CRC_SIZE);
		uint32_t crc = crc32c(0, out, len) ^ row->bad_crc;
		put_be16(put_be16(out + i, crc >> 16), crc & 0xffff);
		break;
	}
	return len;
}

static void check_accepted(const struct row *row, const struct hop_proxy *p)
{
	assert_int_equal(p->local, row->local);
	assert_string_equal(p->name, row->name ? row->name : "");
	assert_int_equal(p->name_len, strlen(p->name));
	assert_int_equal(p->alpn_len, row->alpn ? strlen(row->alpn) : 0);
	if (row->alpn)
		assert_memory_equal(p->alpn, row->alpn, p->alpn_len);
	if (row->local)
		return;
	struct addr src = addr(row->v6 ? "2001:db8::1" : "192.0.2.1");
	struct addr dst = addr(row->v6 ? "2001:db8::2" : "198.51.100.2");
	assert_memory_equal(&p->src, &src, sizeof(src));
	assert_memory_equal(&p->dst, &dst, sizeof(dst));
	assert_int_equal(p->sport, 40000);
	assert_int_equal(p->dport, 443);
}

static void test_row(void **state)
{
	const struct row *row = *state;
	uint8_t bytes[2 * HOP_PROXY_MAX];
	size_t len = make(row, bytes);
	long want = row->want ? row->want : (long)len;
	struct hop_proxy p;

	/* What follows it is another's; a part of it is not enough, and refused for no other reason. */
	assert_int_equal(hop_proxy_read(guard_copy(&guard, bytes, len), len, &p), want);
	if (want > 0)
		check_accepted(row, &p);
	memset(bytes + len, 0x16, 16);
	assert_int_equal(hop_proxy_read(guard_copy(&guard, bytes, len + 16), len + 16, &p), want);
	for (size_t n = 0; n < len; n++) {
		long r = hop_proxy_read(guard_copy(&guard, bytes, n), n, &p);

		assert_true(r == 0 || (r < 0 && r == want));
	}
	if (want < 0)
		assert_string_not_equal(hop_proxy_reason(want), hop_proxy_reason(0));
}

static void test_bound(void **state)
{
	static uint8_t bytes[HEADER + 65535];
	struct hop_proxy p;

	(void)state;
	for (int command = LOCAL; command <= PROXY; command++)
		for (size_t len = HOP_PROXY_MAX; len <= sizeof(bytes); len++) {
			memset(bytes, 0, HOP_PROXY_MAX);
			memcpy(bytes, SIGN "\x21\x11", SIGNATURE_SIZE + 2);
			bytes[AT_COMMAND] = (uint8_t)command;
			put_be16(bytes + AT_LENGTH, len - HEADER);
			memcpy(bytes + HEADER, V4 "\4", 13);
			put_be16(bytes + HEADER + 13, len - HEADER - 15);
			/* By its first 16 bytes. */
			assert_int_equal(hop_proxy_read(bytes, HEADER, &p),
			                 len > HOP_PROXY_MAX ? HOP_PROXY_LENGTH : 0);
			if (len == HOP_PROXY_MAX)
				assert_int_equal(hop_proxy_read(bytes, len, &p), (long)len);
		}
}

/* What HAProxy 2.6 said of a TLS client with a certificate, all its options on. */
static void test_captured(void **state)
{
	static const char hex[] =
		"0d0a0d0a000d0a515549540a2111007f0a4d0102cb007129b6d41f4303000427f5627b010002683202001177"
		"77772e77696b6970656469612e6f726705000020004d0700000000210007544c5376312e332200066e6f6465"
		"2d31250005454332353624001165636473612d776974682d534841323536230016544c535f4145535f323536"
		"5f47434d5f534841333834";
	uint8_t bytes[sizeof(hex) / 2];
	struct addr src = addr("10.77.1.2"), dst = addr("203.0.113.41");
	struct hop_proxy p;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		unsigned v;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
		bytes[i] = (uint8_t)v;
	}
	assert_int_equal(hop_proxy_read(bytes, sizeof(bytes), &p), sizeof(bytes));
	assert_string_equal(p.name, "www.wikipedia.org");
	assert_int_equal(p.alpn_len, 2);
	assert_memory_equal(p.alpn, "h2", 2);
	assert_memory_equal(&p.src, &src, sizeof(src));
	assert_memory_equal(&p.dst, &dst, sizeof(dst));
	assert_int_equal(p.sport, 0xb6d4);
	assert_int_equal(p.dport, 8003);
	bytes[sizeof(bytes) - 1] ^= 1;
	assert_int_equal(hop_proxy_read(bytes, sizeof(bytes), &p), HOP_PROXY_CRC);
}

/* What begins otherwise is refused by the byte that does. */
static void test_signature(void **state)
{
	static const char *const others[] = {
		"PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n", "GET / HTTP/1.1\r\n\r\n", "\x16\3\1\2",
		"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
	};
	uint8_t bytes[] = SIGN "\x20\0\0\0";
	struct hop_proxy p;

	(void)state;
	for (size_t i = 0; i < N(others); i++)
		assert_int_equal(hop_proxy_read(guard_copy(&guard, others[i], strlen(others[i])),
		                                strlen(others[i]), &p), HOP_PROXY_SIGNATURE);
	assert_int_equal(hop_proxy_read((const uint8_t *)"P", 1, &p), HOP_PROXY_SIGNATURE);
	assert_int_equal(hop_proxy_read(bytes, HEADER, &p), HEADER);
	for (size_t i = 0; i < SIGNATURE_SIZE; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			bytes[i] ^= (uint8_t)(1u << bit);
			assert_int_equal(hop_proxy_read(bytes, HEADER, &p), HOP_PROXY_SIGNATURE);
			assert_int_equal(hop_proxy_read(bytes, i + 1, &p), HOP_PROXY_SIGNATURE);
			assert_int_equal(hop_proxy_read(bytes, i, &p), 0);
			bytes[i] ^= (uint8_t)(1u << bit);
		}
}

/* Every bit of a header with a checksum: none can change and be accepted. */
static void test_flips(void **state)
{
	const struct row row = { "", 0x21, 0x11, BYTES(V4 "\1\0\2h2" AUTHORITY "\3\0\4crc!"), .want = 0 };
	uint8_t bytes[HOP_PROXY_MAX];
	size_t len = make(&row, bytes);
	struct hop_proxy p;

	(void)state;
	for (size_t i = 0; i < 8 * len; i++) {
		bytes[i / 8] ^= (uint8_t)(1u << i % 8);
		/* LOCAL reads nothing; and the type of the checksum is not a checksum's any more. */
		if (!(i / 8 == AT_COMMAND && i % 8 == 0) && i / 8 != len - CRC_SIZE - TLV_HEADER)
			assert_true(hop_proxy_read(guard_copy(&guard, bytes, len), len, &p) <= 0);
		bytes[i / 8] ^= (uint8_t)(1u << i % 8);
	}
}

struct written {
	const char *title, *src, *dst, *name;
	size_t alpn;             /* bytes of ALPN given */
	uint8_t family;
	size_t len;
	bool alpn_left_out;
};

static const struct written writes[] = {
	{ "IPv4", "192.0.2.1", "198.51.100.2", "allowed.test", 0, 0x11, 16 + 12 + 15 + 7, false },
	{ "IPv6", "2001:db8::1", "2001:db8::2", "allowed.test", 0, 0x21, 16 + 36 + 15 + 7, false },
	{ "IPv4 to IPv6", "192.0.2.1", "2001:db8::2", "allowed.test", 0, 0x21, 16 + 36 + 15 + 7, false },
	{ "IPv6 to IPv4", "2001:db8::1", "192.0.2.1", "allowed.test", 0, 0x21, 16 + 36 + 15 + 7, false },
	{ "no name", "192.0.2.1", "198.51.100.2", "", 0, 0x11, 16 + 12 + 7, false },
	{ "ALPN", "192.0.2.1", "198.51.100.2", "allowed.test", 2, 0x11, 16 + 12 + 15 + 5 + 7, false },
	{ "ALPN, no name", "192.0.2.1", "198.51.100.2", "", 255, 0x11, 16 + 12 + 258 + 7, false },
	{ "the longest name", "2001:db8::1", "2001:db8::2", NAME_253, 0, 0x21, 315, false },
	{ "the most of ALPN beside it", "2001:db8::1", "2001:db8::2", NAME_253, 218, 0x21, 536, false },
	{ "one byte more", "2001:db8::1", "2001:db8::2", NAME_253, 219, 0x21, 315, true },
};

static void test_writes(void **state)
{
	static const uint8_t alpn[255] = { 2, 'h', '2' };

	(void)state;
	for (size_t i = 0; i < N(writes); i++) {
		const struct written *row = &writes[i];
		struct hop_target t = {
			.name = row->name, .name_len = strlen(row->name), .port = 1,
			.src = addr(row->src), .dst = addr(row->dst), .sport = 40000, .dport = 443,
			.alpn = alpn, .alpn_len = (uint8_t)row->alpn,
		};
		uint8_t *out = guard_place(&guard, row->len);
		struct hop_proxy p;

		print_message("# %s\n", row->title);
		assert_int_equal(hop_proxy_write(&t, out, row->len), row->len);
		assert_int_equal(out[AT_COMMAND], 0x21);
		assert_int_equal(out[AT_FAMILY], row->family);
		assert_int_equal(hop_proxy_read(out, row->len, &p), (long)row->len);
		assert_memory_equal(&p.src, &t.src, sizeof(t.src));
		assert_memory_equal(&p.dst, &t.dst, sizeof(t.dst));
		assert_int_equal(p.sport, 40000);
		assert_int_equal(p.dport, 443);
		assert_string_equal(p.name, row->name);
		assert_int_equal(p.alpn_len, row->alpn_left_out ? 0 : row->alpn);
		if (p.alpn_len > 0)
			assert_memory_equal(p.alpn, alpn, p.alpn_len);
		for (size_t room = 0; room < row->len; room++)
			assert_int_equal(hop_proxy_write(&t, guard_place(&guard, room), room), 0);
	}
}

/* Byte by byte, as the specification draws it; the checksum by another's program. */
static void test_written_bytes(void **state)
{
	static const char want[] = SIGN "\x21\x11\0\x22" V4 AUTHORITY "\3\0\4\xbc\x9b\x8e\xea";
	struct hop_target t = {
		.name = "allowed.test", .name_len = 12, .src = addr("192.0.2.1"),
		.dst = addr("198.51.100.2"), .sport = 40000, .dport = 443,
	};
	uint8_t out[HOP_PROXY_MAX];

	(void)state;
	assert_int_equal(hop_proxy_write(&t, out, sizeof(out)), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);
}

int main(void)
{
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	static struct CMUnitTest tests[ROWS + 6];
	int failed;

	guard_init(&guard, 2 * HOP_PROXY_MAX);
	for (size_t i = 0; i < ROWS; i++) {
		tests[i].name = rows[i].title;
		tests[i].test_func = test_row;
		tests[i].initial_state = (void *)(uintptr_t)&rows[i];
	}
	tests[ROWS] = (struct CMUnitTest)cmocka_unit_test(test_bound);
	tests[ROWS + 1] = (struct CMUnitTest)cmocka_unit_test(test_signature);
	tests[ROWS + 2] = (struct CMUnitTest)cmocka_unit_test(test_flips);
	tests[ROWS + 3] = (struct CMUnitTest)cmocka_unit_test(test_writes);
	tests[ROWS + 4] = (struct CMUnitTest)cmocka_unit_test(test_written_bytes);
	tests[ROWS + 5] = (struct CMUnitTest)cmocka_unit_test(test_captured);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	guard_fini(&guard);
	return failed;
}
