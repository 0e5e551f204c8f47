/* SPDX-License-Identifier: MIT */
/* rules/name.c: the canonical form, patterns, and the hash of a name and of its suffixes. */
#include "rules/name.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "guard.h"

#define L10  "aaaaaaaaaa"
#define L60  L10 L10 L10 L10 L10 L10
#define L63  L60 "aaa"
#define L64  L60 "aaaa"
#define N251 L63 "." L63 "." L63 "." L10 L10 L10 L10 L10 "aaaaaaaaa"
#define N252 L63 "." L63 "." L63 "." L60

struct row {
	const char *in;
	int len;        /* -1: strlen(in) */
	const char *out; /* NULL: error */
	int error;
};

static const struct row names[] = {
	{"allowed.test", -1, "allowed.test", 0},
	{"localhost", -1, "localhost", 0},
	{"_dmarc.a-b.test", -1, "_dmarc.a-b.test", 0},
	{"xn--bcher-kva.example", -1, "xn--bcher-kva.example", 0},
	{"1password.com", -1, "1password.com", 0},
	{"1.2.3.4.nip.io", -1, "1.2.3.4.nip.io", 0},
	{"0xcafe.example", -1, "0xcafe.example", 0},
	{"a.0x1g", -1, "a.0x1g", 0},
	{"a.1-2", -1, "a.1-2", 0},
	/* NUL */
	{"allowed.test\0.evil.test", 23, NULL, NAME_BYTE},
	{"allowed.test\0", 13, NULL, NAME_BYTE},
	{"\0", 1, NULL, NAME_BYTE},
	/* case */
	{"ALLOWED.TEST", -1, "allowed.test", 0},
	{"AlLoWeD.tEsT", -1, "allowed.test", 0},
	{"@[.test", -1, NULL, NAME_BYTE},
	{"`{.test", -1, NULL, NAME_BYTE},
	/* trailing dots */
	{"allowed.test.", -1, "allowed.test", 0},
	{"allowed.test..", -1, NULL, NAME_LABEL_EMPTY},
	{".", -1, NULL, NAME_EMPTY},
	{"..", -1, NULL, NAME_LABEL_EMPTY},
	{".allowed.test", -1, NULL, NAME_LABEL_EMPTY},
	{"allowed..test", -1, NULL, NAME_LABEL_EMPTY},
	/* line ends, blanks, ports, paths */
	{"allowed.test\n", -1, NULL, NAME_BYTE},
	{"\nallowed.test", -1, NULL, NAME_BYTE},
	{"allowed.test\r\n", -1, NULL, NAME_BYTE},
	{"allowed.test ", -1, NULL, NAME_BYTE},
	{" allowed.test", -1, NULL, NAME_BYTE},
	{"allowed.test\t", -1, NULL, NAME_BYTE},
	{"allowed.test/x", -1, NULL, NAME_BYTE},
	{"allowed.test\\x", -1, NULL, NAME_BYTE},
	{"allowed.test#x", -1, NULL, NAME_BYTE},
	{"allowed.test?x", -1, NULL, NAME_BYTE},
	{"allowed.test:443", -1, NULL, NAME_BYTE},
	{"user@allowed.test", -1, NULL, NAME_BYTE},
	{"allowed.test\x7f", -1, NULL, NAME_BYTE},
	{"a%2eb.test", -1, NULL, NAME_BYTE},
	/* empty */
	{"", -1, NULL, NAME_EMPTY},
	/* addresses */
	{"10.0.0.1", -1, NULL, NAME_NUMERIC},
	{"10.0.0.1.", -1, NULL, NAME_NUMERIC},
	{"127.1", -1, NULL, NAME_NUMERIC},
	{"2130706433", -1, NULL, NAME_NUMERIC},
	{"0x7f000001", -1, NULL, NAME_NUMERIC},
	{"0X7F000001", -1, NULL, NAME_NUMERIC},
	{"0177.0.0.1", -1, NULL, NAME_NUMERIC},
	{"127.0.0.0x1", -1, NULL, NAME_NUMERIC},
	{"allowed.test.0x", -1, NULL, NAME_NUMERIC},
	{"allowed.test.1", -1, NULL, NAME_NUMERIC},
	{"::1", -1, NULL, NAME_BYTE},
	{"[::1]", -1, NULL, NAME_BYTE},
	{"[::ffff:127.0.0.1]", -1, NULL, NAME_BYTE},
	{"[fe80::1%eth0]", -1, NULL, NAME_BYTE},
	{"[v1.x]", -1, NULL, NAME_BYTE},
	/* not ASCII, wildcards */
	{"b\xc3\xbc" "cher.test", -1, NULL, NAME_BYTE},
	{"allowed.test\xff", -1, NULL, NAME_BYTE},
	{"\xe2\x80\xa4.test", -1, NULL, NAME_BYTE},
	{"*.allowed.test", -1, NULL, NAME_WILDCARD},
	{"*", -1, NULL, NAME_WILDCARD},
	/* lengths */
	{L63 ".test", -1, L63 ".test", 0},
	{L64 ".test", -1, NULL, NAME_LABEL_LONG},
	{"a." L64, -1, NULL, NAME_LABEL_LONG},
	{N252, -1, N252, 0},
	{N252 "a", -1, N252 "a", 0},
	{N252 "a.", -1, N252 "a", 0},
	{N252 "aa", -1, NULL, NAME_LONG},
	{N252 "aa.", -1, NULL, NAME_LONG},
	{N252 ".allowed.test", -1, NULL, NAME_LONG},
};

static const struct row patterns[] = {
	{"allowed.test", -1, "allowed.test", 0},
	{"Allowed.Test.", -1, "allowed.test", 0},
	{"*", -1, "", 0},
	{"*.allowed.test", -1, ".allowed.test", 0},
	{"*.ALLOWED.test.", -1, ".allowed.test", 0},
	{"*.com", -1, ".com", 0},
	{"*.", -1, NULL, NAME_EMPTY},
	{"*..", -1, NULL, NAME_EMPTY},
	{"**", -1, NULL, NAME_WILDCARD},
	{"*.*", -1, NULL, NAME_WILDCARD},
	{"*.*.test", -1, NULL, NAME_WILDCARD},
	{"*allowed.test", -1, NULL, NAME_WILDCARD},
	{"a*.test", -1, NULL, NAME_WILDCARD},
	{"a.*.test", -1, NULL, NAME_WILDCARD},
	{"allowed.*", -1, NULL, NAME_WILDCARD},
	{".allowed.test", -1, NULL, NAME_LABEL_EMPTY},
	{"*..allowed.test", -1, NULL, NAME_LABEL_EMPTY},
	{"*.10.0.0.1", -1, NULL, NAME_NUMERIC},
	{"", -1, NULL, NAME_EMPTY},
	{".", -1, NULL, NAME_EMPTY},
	{"*." N251, -1, "." N251, 0},
	{"*." N252, -1, NULL, NAME_LONG},
};

static void check_rows(const struct row *rows, size_t n, int (*canon)(char *, const char *, size_t))
{
	struct guard in, out;

	guard_init(&in, 512);
	guard_init(&out, NAME_SIZE);
	for (size_t i = 0; i < n; i++) {
		const struct row *r = &rows[i];
		size_t len = r->len < 0 ? strlen(r->in) : (size_t)r->len;
		char *dst = (char *)guard_place(&out, NAME_SIZE);
		int got = canon(dst, (char *)guard_copy(&in, r->in, len), len);

		if (got != (r->out != NULL ? (int)strlen(r->out) : r->error))
			fail_msg("\"%s\" gives %d", r->in, got);
		if (r->out != NULL)
			assert_string_equal(dst, r->out);
		/* dst may be src. */
		if (len < NAME_SIZE) {
			memcpy(dst, r->in, len);
			assert_int_equal(canon(dst, dst, len), got);
			if (r->out != NULL)
				assert_string_equal(dst, r->out);
		}
	}
	guard_fini(&in);
	guard_fini(&out);
}

static int canon_name(char *dst, const char *src, size_t len)
{
	return name_canon(dst, src, len);
}

static int canon_pattern(char *dst, const char *src, size_t len)
{
	return name_canon_pattern(dst, src, len);
}

static void test_names(void **state)
{
	(void)state;
	check_rows(names, sizeof(names) / sizeof(names[0]), canon_name);
}

static void test_patterns(void **state)
{
	(void)state;
	check_rows(patterns, sizeof(patterns) / sizeof(patterns[0]), canon_pattern);
}

/* Each byte alone: which names have it is written out once more. */
static void test_bytes(void **state)
{
	char dst[NAME_SIZE];

	(void)state;
	for (int c = 0; c < 256; c++) {
		char name[] = {'a', (char)c, 'a'};
		bool known =
			c != 0 &&
			strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.",
			       c) != NULL;

		if ((name_canon(dst, name, 3) == 3) != known)
			fail_msg("byte 0x%02x", c);
	}
}

static uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	return *state ^= *state << 5;
}

/* The pattern that a key would come from, or the length 0 for none. */
static size_t key_pattern(char *out, const char *key, size_t len)
{
	size_t star = len == 0 || key[0] == '.';

	out[0] = '*';
	memcpy(out + star, key, len);
	return len + star;
}

static void check_key(struct guard *g, const char *key, size_t len, uint32_t seed)
{
	const uint8_t *k = guard_copy(g, key, len);
	char pattern[400], canonical[NAME_SIZE];
	size_t n = key_pattern(pattern, key, len);
	int got = name_canon_pattern(canonical, pattern, n);
	bool valid = got == (int)len && memcmp(canonical, key, len) == 0;
	uint32_t hash = 0;

	if (name_key_valid(k, len) != valid || name_key_hash(seed, k, len, &hash) != valid)
		fail_msg("key \"%.*s\" is %s", (int)len, key, valid ? "valid" : "not valid");
	if (valid)
		assert_int_equal(hash, name_hash(seed, (const char *)k, len));
}

/*
 * Keys are what patterns become, and nothing else is one: on the tables above, and on many short
 * keys of few letters.
 */
static void test_keys(void **state)
{
	static const char letters[] = "aZ0x.-_*9f";
	struct guard g;
	char key[400];
	uint32_t seed = 1;

	(void)state;
	guard_init(&g, 400);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		check_key(&g, names[i].in,
			  names[i].len < 0 ? strlen(names[i].in) : (size_t)names[i].len, 0);
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		check_key(&g, patterns[i].in, strlen(patterns[i].in), 7);
		if (patterns[i].out != NULL)
			check_key(&g, patterns[i].out, strlen(patterns[i].out), 7);
	}
	for (int i = 0; i < 200000; i++) {
		size_t len = random_next(&seed) % (i % 10 == 0 ? 70 : 12);

		for (size_t j = 0; j < len; j++)
			key[j] = i % 10 == 0 && j % 9 != 8
					 ? 'q'
					 : letters[random_next(&seed) % (sizeof(letters) - 1)];
		check_key(&g, key, len, seed);
	}
	guard_fini(&g);
}

static void test_hash(void **state)
{
	const char *name = "x.y.allowed.test";
	uint32_t whole = 5, s;

	(void)state;
	for (size_t i = strlen(name); i > 0; i--)
		whole = name_hash_step(whole, (unsigned char)name[i - 1]);
	assert_int_equal(name_hash_final(whole), name_hash(5, name, strlen(name)));
	/* Walking forwards takes the steps back, to the hash of each suffix and to the start. */
	s = whole;
	for (size_t i = 0; name[i] != '\0'; i++) {
		s = name_hash_unstep(s, (unsigned char)name[i]);
		assert_int_equal(name_hash_final(s),
				 name_hash(5, name + i + 1, strlen(name + i + 1)));
	}
	assert_int_equal(s, 5);
	assert_true(name_hash(0, "a.test", 6) != name_hash(0, "b.test", 6));
	assert_true(name_hash(0, "ab.test", 7) != name_hash(0, "ba.test", 7));
}

/* Names that count up, as generated ones do, fill a table as evenly as chance would. */
static void test_hash_spread(void **state)
{
	enum { NAMES = 65536, BINS = 1024 };
	static unsigned bins[BINS];
	double chi = 0;

	(void)state;
	for (unsigned i = 0; i < NAMES; i++) {
		char name[32];
		size_t len = (size_t)snprintf(name, sizeof(name), "node-%u.site.example", i);

		bins[name_hash(0, name, len) >> 22]++;
	}
	for (unsigned i = 0; i < BINS; i++)
		chi += ((double)bins[i] - NAMES / BINS) * ((double)bins[i] - NAMES / BINS) /
		       (NAMES / BINS);
	/* 1023 degrees of freedom: six standard deviations either way. */
	assert_true(chi > 1023 - 6 * 45 && chi < 1023 + 6 * 45);
}

static void test_errors(void **state)
{
	(void)state;
	for (int e = NAME_WILDCARD; e <= NAME_EMPTY; e++) {
		assert_non_null(name_strerror(e));
		for (int f = NAME_WILDCARD; f < e; f++)
			assert_string_not_equal(name_strerror(e), name_strerror(f));
	}
	assert_string_equal(name_strerror(0), "not a host name");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_hash_spread),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
