/* SPDX-License-Identifier: MIT */
/* The verification: bytes that were damaged, cut, or changed by someone who mends the checksum. */
/* LINK: rules/show_gateway.c */
/* LINK: rules/emit_gateway.c rules/gateway.c rules/verify_gateway.c rules/word.c */
/* LINK: rules/http_rule.c rules/traffic.c */
/* LINK: rules/addr.c rules/addr_class.c rules/address_table.c rules/crc32c.c rules/emit.c */
/* LINK: rules/host_table.c rules/model.c rules/name.c rules/policy.c rules/pool.c */
/* LINK: rules/port_table.c rules/show.c rules/verify.c rules/verify_record.c */
/* LINK: rules/verify_table.c */
/* LINK: rules/verify_rule.c rules/verify_traffic.c rules/base64.c rules/emit_rule.c */
/* LINK: rules/emit_traffic.c rules/show_rule.c rules/show_traffic.c */
#include <errno.h>

#include "guard.h"
#include "policy_model.h"
#include "rules/crc32c.h"
#include "rules/show.h"

static uint32_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state % n;
}

static void fix_crc(uint8_t *b, size_t len)
{
	put_le32(b + HEADER_CRC, 0);
	put_le32(b + HEADER_CRC, crc32c(0, b, len));
}

static void expect_refused(const uint8_t *bytes, size_t len, const char *what, size_t where)
{
	struct policy_error e = {.text = ""};
	struct policy p;

	errno = 0;
	if (policy_open_bytes(&p, bytes, len, &e) != -1)
		fail_msg("%s %zu is accepted", what, where);
	if (errno != EBADMSG || e.text[0] == '\0' || p.base != NULL || p.fd != -1)
		fail_msg("%s %zu: errno %d, \"%s\"", what, where, errno, e.text);
}

static void test_truncated(void **state)
{
	struct model m;
	struct guard g;
	size_t len;
	uint8_t *bytes;

	(void)state;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	guard_init(&g, len);
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *b = guard_copy(&g, bytes, cut);

		expect_refused(b, cut, "length", cut);
		if (cut < HEADER_SIZE)
			continue;
		/* Cut by someone who mends length and checksum. */
		put_le32(b + HEADER_LENGTH, (uint32_t)cut);
		fix_crc(b, cut);
		expect_refused(b, cut, "mended length", cut);
	}
	guard_fini(&g);
	model_free(&m);
	free(bytes);
}

static void test_longer(void **state)
{
	struct model m;
	size_t len;
	uint8_t *bytes, *b;

	(void)state;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	b = calloc(1, len + 16);
	assert_non_null(b);
	memcpy(b, bytes, len);
	for (size_t more = 1; more <= 16; more++) {
		expect_refused(b, len + more, "longer by", more);
		put_le32(b + HEADER_LENGTH, (uint32_t)(len + more));
		fix_crc(b, len + more);
		expect_refused(b, len + more, "mended, longer by", more);
		memcpy(b, bytes, len);
	}
	free(b);
	model_free(&m);
	free(bytes);
}

static void test_bits(void **state)
{
	struct model m;
	struct guard g;
	size_t len;
	uint8_t *bytes, *b;

	(void)state;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	guard_init(&g, len);
	b = guard_copy(&g, bytes, len);
	for (size_t bit = 0; bit < len * 8; bit++) {
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		expect_refused(b, len, "bit", bit);
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	guard_fini(&g);
	model_free(&m);
	free(bytes);
}

static void look_up_all(const struct policy *p)
{
	static const char *const hosts[] = {"www.example.com", "a.b.example.com", "nowhere.test",
					    "x"};
	static const char *const addrs[] = {"198.51.100.7", "198.51.100.9",    "2001:db8:5::1",
					    "::",           "255.255.255.255", "ff::"};

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		for (uint32_t at = 0;;) {
			const uint8_t *key = NULL;
			struct policy_list l =
				policy_find_host(p, hosts[i], strlen(hosts[i]), &at, &key);

			if (l.n == 0)
				break;
			assert_true(key != NULL && policy_item(l, l.n - 1) < p->n[FORMAT_SERVICES]);
		}
	for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
		struct policy_list l;
		struct addr a;

		assert_int_equal(addr_parse(&a, addrs[i], strlen(addrs[i])), 0);
		l = policy_find_addr(p, &a);
		for (uint32_t j = 0; j < l.n; j++)
			assert_true(policy_item(l, j) < p->n[FORMAT_SERVICES]);
	}
	for (unsigned port = 0; port < 65536; port += port < 10000 ? 1 : 997) {
		struct policy_port_info info = policy_find_port(p, (uint16_t)port);

		assert_true((info.flags != 0 || info.services.n == 0) && info.services.n <= 1);
	}
}

/*
 * Bytes that were changed by someone who mends the checksum: refused, or exactly what some model is
 * written as.
 */
static bool check_mended(uint8_t *b, size_t len)
{
	struct policy_error e = {.text = ""};
	struct policy p;
	struct model m;
	uint8_t *again;
	size_t len_again;
	char *text = NULL;
	size_t text_len;
	FILE *out;

	fix_crc(b, len);
	if (policy_open_bytes(&p, b, len, &e) != 0) {
		assert_true(e.text[0] != '\0');
		return false;
	}
	model_read(&m, &p);
	again = model_emit(&m, &len_again, &e);
	if (again == NULL)
		fail_msg("accepted, but: %s", e.text);
	if (len_again != len || memcmp(again, b, len) != 0)
		fail_msg("accepted, but a model is written otherwise");
	out = open_memstream(&text, &text_len);
	assert_non_null(out);
	assert_int_equal(show_policy(&p, out), 0);
	fclose(out);
	free(text);
	look_up_all(&p);
	free(again);
	model_free(&m);
	return true;
}

static void test_mended_bytes(void **state)
{
	struct model m;
	struct guard g;
	size_t len, accepted = 0;
	uint8_t *bytes, *b;

	(void)state;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	guard_init(&g, len);
	b = guard_copy(&g, bytes, len);
	for (size_t i = 0; i < len; i++) {
		const uint8_t old = bytes[i];
		const uint8_t values[] = {0,
					  1,
					  2,
					  0x7f,
					  0x80,
					  0xff,
					  (uint8_t)(old + 1),
					  (uint8_t)(old - 1),
					  old ^ 0x20,
					  old ^ 0x80,
					  'z',
					  '.'};

		if (i >= HEADER_CRC && i < HEADER_CRC + 4)
			continue;
		for (size_t j = 0; j < sizeof(values); j++) {
			if (values[j] == old)
				continue;
			b[i] = values[j];
			accepted += check_mended(b, len);
		}
		b[i] = old;
	}
	/* The sequence, a port's target, a flag: some bytes may be anything. */
	assert_true(accepted > 100);
	guard_fini(&g);
	model_free(&m);
	free(bytes);
}

/* Several bytes at once, copied about and swapped, so that two wrongs may look right. */
static void test_mended_many(void **state)
{
	struct model m;
	struct guard g;
	size_t len;
	uint8_t *bytes;

	(void)state;
	random_state = 2;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	guard_init(&g, len);
	for (int round = 0; round < 30000; round++) {
		uint8_t *b = guard_copy(&g, bytes, len);
		uint32_t body = (uint32_t)len - HEADER_SIZE;

		for (uint32_t n = 1 + random_below(3); n > 0; n--) {
			uint8_t *at = b + HEADER_SIZE + (random_below(body / 4) * 4),
				*from = b + HEADER_SIZE + (random_below(body / 4) * 4);

			if (random_below(2) == 0)
				memmove(at, from, 4);
			else if (random_below(2) == 0)
				put_le32(at,
					 get_le32(at) + (random_below(2) == 0 ? 1 : UINT32_MAX));
			else
				put_le32(at, random_below(64));
		}
		check_mended(b, len);
	}
	guard_fini(&g);
	model_free(&m);
	free(bytes);
}

static void test_reasons(void **state)
{
	static const struct { size_t at; uint8_t value; bool mend; const char *text; } rows[] = {
		{HEADER_MAGIC, 'x', true, "not a compiled policy"},
		{HEADER_MAGIC + 4, '\n', true, "not a compiled policy"},
		{HEADER_VERSION, 7, true, "policy format 7; this program reads 3"},
		{HEADER_VERSION, 2, true, "policy format 2; this program reads 3"},
		{HEADER_VERSION + 1, 1, true, "policy format 259; this program reads 3"},
		{HEADER_SIZE_AT, 65, true, "the header has another size"},
		{HEADER_SECTIONS, 14, true, "the header has another size"},
		{HEADER_LENGTH + 3, 1, true, "but the header says"},
		{HEADER_SEQUENCE, 1, false, "the checksum is wrong: the file is damaged"},
		{HEADER_ZERO, 1, true, "the header's reserved bytes are not zero"},
		{HEADER_PROBES, 0, true, "section HOSTS: record 0: the table has another size"},
		{HEADER_SIZE + SECTION_OFFSET, 8, true,
		 "section META: record 0: the section lies elsewhere"},
		{HEADER_SIZE + SECTION_ZERO, 1, true,
		 "section META: record 0: the section lies elsewhere"},
		{HEADER_SIZE + SECTION_RECORDS, 2, true,
		 "section META: record 2: the section has another size"},
	};
	struct model m;
	size_t len;
	uint8_t *bytes;

	(void)state;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_error e;
		struct policy p;
		uint8_t old = bytes[rows[i].at];

		bytes[rows[i].at] = rows[i].value;
		if (rows[i].mend)
			fix_crc(bytes, len);
		assert_int_equal(policy_open_bytes(&p, bytes, len, &e), -1);
		if (strstr(e.text, rows[i].text) == NULL)
			fail_msg("\"%s\", not \"%s\"", e.text, rows[i].text);
		bytes[rows[i].at] = old;
		fix_crc(bytes, len);
	}
	model_free(&m);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_longer),
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_mended_bytes),
		cmocka_unit_test(test_mended_many),
		cmocka_unit_test(test_reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
