/* SPDX-License-Identifier: MIT */
/* What is read from certificates: names, dates, uses; and that no byte less or other passes. */
/* LINK: tproxy/tls_der.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/guard.h"
#include "tproxy/tls_der.h"

/* DER that is put together from the inside out. */
struct der {
	size_t len;
	uint8_t bytes[1500];
};

static struct der der_of(uint8_t tag, const void *bytes, size_t len)
{
	struct der d = { .bytes = { tag } };
	size_t head = 1;

	if (len > 255) {
		d.bytes[head++] = 0x82;
		d.bytes[head++] = (uint8_t)(len >> 8);
	} else if (len > 127) {
		d.bytes[head++] = 0x81;
	}
	d.bytes[head++] = (uint8_t)len;
	memcpy(d.bytes + head, bytes, len);
	d.len = head + len;
	return d;
}

static struct der der_text(uint8_t tag, const char *text)
{
	return der_of(tag, text, strlen(text));
}

static void der_add(struct der *to, struct der d)
{
	assert_true(d.len <= sizeof(to->bytes) - to->len);
	memcpy(to->bytes + to->len, d.bytes, d.len);
	to->len += d.len;
}

static struct der der_wrap(uint8_t tag, struct der inner)
{
	return der_of(tag, inner.bytes, inner.len);
}

struct parts {
	const char *before, *after;          /* UTCTime, or GeneralizedTime from 15 characters */
	struct der alt_names;                /* GeneralName elements */
	struct der purposes;                 /* OBJECT IDENTIFIER elements */
	bool twice;                          /* the alternative names come twice */
	bool ca;
};

static struct der extension(const char *oid, struct der value)
{
	struct der e = der_text(0x06, oid);

	der_add(&e, der_wrap(0x04, der_wrap(0x30, value)));
	return der_wrap(0x30, e);
}

static struct der date(const char *text)
{
	return der_text(strlen(text) > 13 ? 0x18 : 0x17, text);
}

static struct der certificate(const struct parts *p)
{
	struct der tbs = { 0 }, dates = date(p->before), extensions = { 0 }, whole = { 0 };

	der_add(&tbs, der_wrap(0xa0, der_of(0x02, "\2", 1)));
	der_add(&tbs, der_of(0x02, "\1", 1));
	der_add(&tbs, der_text(0x30, "algorithm"));
	der_add(&tbs, der_text(0x30, "issuer"));
	der_add(&dates, date(p->after));
	der_add(&tbs, der_wrap(0x30, dates));
	der_add(&tbs, der_text(0x30, "subject"));
	der_add(&tbs, der_text(0x30, "key"));
	if (p->alt_names.len > 0)
		der_add(&extensions, extension("\x55\x1d\x11", p->alt_names));
	if (p->twice)
		der_add(&extensions, extension("\x55\x1d\x11", p->alt_names));
	if (p->purposes.len > 0)
		der_add(&extensions, extension("\x55\x1d\x25", p->purposes));
	if (p->ca)
		der_add(&extensions, extension("\x55\x1d\x13", der_of(0x01, "\xff", 1)));
	if (extensions.len > 0)
		der_add(&tbs, der_wrap(0xa3, der_wrap(0x30, extensions)));
	whole = der_wrap(0x30, tbs);
	der_add(&whole, der_text(0x30, "algorithm"));
	der_add(&whole, der_of(0x03, "\0sig", 4));
	return der_wrap(0x30, whole);
}

#define OLD "700101000000Z"
#define NEW "491231235959Z"

static struct tls_der_cert parsed(struct guard *g, const struct parts *p)
{
	struct der d = certificate(p);
	struct tls_der_cert cert;

	assert_true(tls_der_cert(&cert, (struct tls_bytes){ guard_copy(g, d.bytes, d.len), d.len }));
	return cert;
}

static void test_names(void **state)
{
	static const struct {
		uint8_t tag;
		const char *in;
		size_t len; /* 0: strlen() */
		const char *name;
		bool matches;
	} rows[] = {
		{ 0x82, "a.test", 0, "a.test", true },
		{ 0x82, "A.TEST", 0, "a.test", true },
		{ 0x82, "a.test.", 0, "a.test", true },
		{ 0x82, "b.test", 0, "a.test", false },
		{ 0x82, "a.test\0.evil", 12, "a.test", false },
		{ 0x82, "", 0, "", false },
		{ 0x82, "*.w.test", 0, "x.w.test", true },
		{ 0x82, "*.w.test", 0, "w.test", false },
		{ 0x82, "*.w.test", 0, ".w.test", false },
		{ 0x82, "*.w.test", 0, "x.y.w.test", false },
		{ 0x82, "*.test", 0, "x.test", false },
		{ 0x82, "*", 0, "test", false },
		{ 0x82, "*.", 0, "x.", false },
		{ 0x82, "x*.w.test", 0, "xy.w.test", false },
		{ 0x82, "y.*.test", 0, "y.w.test", false },
		{ 0x82, "127.0.0.1", 0, "127.0.0.1", false },
		{ 0x82, "*.0.0.1", 0, "127.0.0.1", false },
		{ 0x87, "\x7f\0\0\1", 4, "127.0.0.1", true },
		{ 0x87, "\x7f\0\0\2", 4, "127.0.0.1", false },
		{ 0x87, "\x7f\0\0\1\xff\xff\xff\xff", 8, "127.0.0.1", false },
		{ 0x87, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16, "2001:db8::1", true },
		{ 0x87, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2", 16, "2001:db8::1", false },
		{ 0x86, "spiffe://a/b", 0, "spiffe://a/b", true },
		{ 0x86, "spiffe://a/b", 0, "spiffe://a/B", false },
		{ 0x86, "spiffe://a/b", 0, "spiffe://a/b/c", false },
		{ 0x86, "a.test", 0, "a.test", false },
		{ 0x82, "spiffe://a/b", 0, "spiffe://a/b", false },
		{ 0x81, "a.test", 0, "a.test", false }, /* an e-mail address */
	};
	struct guard g;
	(void)state;

	guard_init(&g, 4096);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t len = rows[i].len ? rows[i].len : strlen(rows[i].in);
		struct parts p = { .before = OLD, .after = NEW };
		p.alt_names = der_text(0x81, "someone@a.test");
		der_add(&p.alt_names, der_of(rows[i].tag, rows[i].in, len));
		struct tls_der_cert cert = parsed(&g, &p);
		print_message("# row %zu\n", i);
		assert_int_equal(tls_der_names(&cert, rows[i].name), rows[i].matches);
	}
	/* Without alternative names there is none. */
	struct tls_der_cert bare = parsed(&g, &(struct parts){ .before = OLD, .after = NEW });
	assert_false(tls_der_names(&bare, "subject"));
	guard_fini(&g);
}

static void test_dates(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds; /* -1: refused */
	} rows[] = {
		{ "700101000000Z", 0 },
		{ "700101000001Z", 1 },
		{ "000229235959Z", 951868799 },
		{ "491231235959Z", 2524607999 },
		{ "500101000000Z", -631152000 },
		{ "20500101000000Z", 2524608000 },
		{ "20261125120000Z", 1795608000 },
		{ "99991231235959Z", 253402300799 },
		{ "7001010000Z", -1 },
		{ "700101000000+", -1 },
		{ "701301000000Z", -1 },
		{ "700100000000Z", -1 },
		{ "700132000000Z", -1 },
		{ "700101240000Z", -1 },
		{ "700101006000Z", -1 },
		{ "7001010000x0Z", -1 },
		{ "2050010100000Z", -1 },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct parts p = { .before = rows[i].text, .after = NEW };
		struct der d = certificate(&p);
		struct tls_der_cert cert;
		bool fine = tls_der_cert(&cert, (struct tls_bytes){ d.bytes, d.len });
		print_message("# row %zu\n", i);
		assert_int_equal(fine, rows[i].seconds != -1);
		if (fine)
			assert_int_equal(cert.not_before, rows[i].seconds);
	}
}

static void test_purposes(void **state)
{
	static const char server[] = "\x2b\6\1\5\5\7\3\1", client[] = "\x2b\6\1\5\5\7\3\2",
			  any[] = "\x55\x1d\x25";
	struct parts p = { .before = OLD, .after = NEW };
	struct tls_der_cert cert;
	struct guard g;
	(void)state;

	guard_init(&g, 4096);
	cert = parsed(&g, &p);
	assert_true(tls_der_purpose(&cert, true) && tls_der_purpose(&cert, false));
	p.purposes = der_text(0x06, server);
	cert = parsed(&g, &p);
	assert_true(tls_der_purpose(&cert, true) && !tls_der_purpose(&cert, false));
	p.purposes = der_text(0x06, client);
	cert = parsed(&g, &p);
	assert_true(!tls_der_purpose(&cert, true) && tls_der_purpose(&cert, false));
	der_add(&p.purposes, der_text(0x06, server));
	cert = parsed(&g, &p);
	assert_true(tls_der_purpose(&cert, true) && tls_der_purpose(&cert, false));
	p.purposes = der_of(0x06, any, sizeof(any)); /* with the 0 at its end */
	cert = parsed(&g, &p);
	assert_true(tls_der_purpose(&cert, true) && tls_der_purpose(&cert, false));
	guard_fini(&g);
}

static void test_peer(void **state)
{
	struct parts p = { .before = OLD, .after = NEW };
	struct tls_der_cert cert;
	char peer[TLS_PEER_SIZE];
	struct guard g;
	(void)state;

	guard_init(&g, 4096);
	cert = parsed(&g, &p);
	tls_der_peer(&cert, peer);
	assert_string_equal(peer, "");
	p.alt_names = der_text(0x82, "a b"); /* a blank would be taken for two words in a log */
	der_add(&p.alt_names, der_text(0x82, "a.test"));
	der_add(&p.alt_names, der_text(0x82, "b.test"));
	cert = parsed(&g, &p);
	tls_der_peer(&cert, peer);
	assert_string_equal(peer, "a.test");
	der_add(&p.alt_names, der_text(0x86, "spiffe://x/y"));
	der_add(&p.alt_names, der_text(0x86, "spiffe://x/z"));
	cert = parsed(&g, &p);
	tls_der_peer(&cert, peer);
	assert_string_equal(peer, "spiffe://x/y");
	guard_fini(&g);
}

static void test_shape(void **state)
{
	struct parts p = { .before = OLD, .after = NEW, .ca = true };
	struct tls_der_cert cert;
	struct guard g;
	(void)state;

	guard_init(&g, 4096);
	p.alt_names = der_text(0x82, "a.test");
	cert = parsed(&g, &p);
	assert_true(cert.ca && !tls_der_self_issued(&cert));
	struct der d = certificate(&p);
	/* Every beginning of it, and what is longer, is refused. */
	for (size_t n = 0; n < d.len; n++)
		assert_false(tls_der_cert(&cert, (struct tls_bytes){ guard_copy(&g, d.bytes, n), n }));
	d.bytes[d.len] = 0;
	assert_false(tls_der_cert(&cert, (struct tls_bytes){ d.bytes, d.len + 1 }));
	p.ca = false;
	cert = parsed(&g, &p);
	assert_false(cert.ca);
	p.twice = true;
	d = certificate(&p);
	assert_false(tls_der_cert(&cert, (struct tls_bytes){ d.bytes, d.len }));
	guard_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names), cmocka_unit_test(test_dates),
		cmocka_unit_test(test_purposes), cmocka_unit_test(test_peer),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
