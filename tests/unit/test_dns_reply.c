/* SPDX-License-Identifier: MIT */
/* Answers: what c-ares reads in them, how much room they take, when they are truncated. */
/* LINK: rules/name.c rules/addr.c tproxy/dns_question.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/guard.h"
#include "tproxy/dns_reply.c"

static struct guard guard;

static struct dns_question question(const char *name, bool edns, uint16_t room)
{
	struct dns_question q = { .id = 0xbeef, .type = ARES_REC_TYPE_A, .room = room,
		                  .recursion = true, .edns = edns };
	uint8_t *at = q.wire;

	while (*name) {
		size_t n = strcspn(name, ".");
		*at++ = (uint8_t)n;
		memcpy(at, name, n);
		at += n;
		name += n + (name[n] == '.');
	}
	memcpy(at, "\0\0\1\0\1", 5);
	q.wire_len = (uint16_t)(at + 5 - q.wire);
	return q;
}

static void address(struct dns_reply *r, const char *text, uint32_t ttl)
{
	struct addr a;

	assert_int_equal(addr_parse(&a, text, strlen(text)), 0);
	dns_reply_add_address(r, &a, ttl);
}

/* The memory that it may write ends where the room does. */
static uint8_t *room_of(const struct dns_question *q)
{
	return guard_place(&guard, q->room);
}

static ares_dns_record_t *parse(const struct dns_reply *r)
{
	ares_dns_record_t *m = NULL;

	assert_int_equal(ares_dns_parse(r->bytes, r->len, 0, &m), ARES_SUCCESS);
	assert_int_equal(ares_dns_record_get_id(m), 0xbeef);
	assert_true(ares_dns_record_get_flags(m) & ARES_FLAG_QR);
	assert_true(ares_dns_record_get_flags(m) & ARES_FLAG_RA);
	assert_false(ares_dns_record_get_flags(m) & (ARES_FLAG_AA | ARES_FLAG_AD));
	return m;
}

static void addresses_are_read_back(void **state)
{
	struct dns_question q = question("WwW.example.org", true, 512);
	struct dns_reply r;

	(void)state;
	dns_reply_start(&r, room_of(&q), q.room, &q, 0);
	address(&r, "192.0.2.1", 300);
	address(&r, "2001:db8::1", 7);
	assert_true(dns_reply_end(&r) <= q.room);
	ares_dns_record_t *m = parse(&r);
	assert_int_equal(ares_dns_record_rr_cnt(m, ARES_SECTION_ANSWER), 2);
	const ares_dns_rr_t *rr = ares_dns_record_rr_get_const(m, ARES_SECTION_ANSWER, 0);
	assert_string_equal(ares_dns_rr_get_name(rr), "WwW.example.org");
	assert_int_equal(ares_dns_rr_get_ttl(rr), 300);
	assert_memory_equal(ares_dns_rr_get_addr(rr, ARES_RR_A_ADDR), "\xc0\0\2\1", 4);
	rr = ares_dns_record_rr_get_const(m, ARES_SECTION_ANSWER, 1);
	assert_int_equal(ares_dns_rr_get_ttl(rr), 7);
	rr = ares_dns_record_rr_get_const(m, ARES_SECTION_ADDITIONAL, 0);
	assert_int_equal(ares_dns_rr_get_type(rr), ARES_REC_TYPE_OPT);
	assert_int_equal(ares_dns_rr_get_u16(rr, ARES_RR_OPT_FLAGS), 0);
	assert_int_equal(ares_dns_rr_get_opt_cnt(rr, ARES_RR_OPT_OPTIONS), 0);
	ares_dns_record_destroy(m);
}

static void nothing_is_said_for_how_long(void **state)
{
	struct dns_question q = question("missing.test", false, 512);
	struct dns_reply r;

	(void)state;
	dns_reply_start(&r, room_of(&q), q.room, &q, ARES_RCODE_NXDOMAIN);
	dns_reply_add_negative(&r, 60);
	dns_reply_end(&r);
	ares_dns_record_t *m = parse(&r);
	assert_int_equal(ares_dns_record_get_rcode(m), ARES_RCODE_NXDOMAIN);
	assert_int_equal(ares_dns_record_rr_cnt(m, ARES_SECTION_ANSWER), 0);
	assert_int_equal(ares_dns_record_rr_cnt(m, ARES_SECTION_ADDITIONAL), 0);
	const ares_dns_rr_t *rr = ares_dns_record_rr_get_const(m, ARES_SECTION_AUTHORITY, 0);
	assert_int_equal(ares_dns_rr_get_type(rr), ARES_REC_TYPE_SOA);
	assert_int_equal(ares_dns_rr_get_ttl(rr), 60);
	assert_int_equal(ares_dns_rr_get_u32(rr, ARES_RR_SOA_MINIMUM), 60);
	assert_int_equal(ares_dns_rr_get_u32(rr, ARES_RR_SOA_REFRESH), 3600);
	assert_int_equal(ares_dns_rr_get_u32(rr, ARES_RR_SOA_EXPIRE), 604800);
	assert_string_equal(ares_dns_rr_get_str(rr, ARES_RR_SOA_RNAME), "nobody.invalid");
	ares_dns_record_destroy(m);
}

/* One address after the other: until there is no room, and then none at all. */
static void what_does_not_fit_is_truncated(void **state)
{
	(void)state;
	for (int edns = 0; edns < 2; edns++) {
		struct dns_question q = question("www.example.org", edns, 512);
		/* 12 + 21 + n * 16 and, with EDNS, 11; room for it is always kept. */
		for (unsigned n = 0; n < 40; n++) {
			struct dns_reply r;
			dns_reply_start(&r, room_of(&q), q.room, &q, 0);
			for (unsigned k = 0; k < n; k++)
				address(&r, "192.0.2.1", 1);
			bool fits = 12 + 21 + n * 16 + 11 <= 512;
			size_t len = dns_reply_end(&r);
			assert_true(len <= q.room);
			assert_int_equal(r.truncated, !fits);
			assert_int_equal(r.answers, fits ? n : 0);
			ares_dns_record_t *m = parse(&r);
			assert_int_equal(!!(ares_dns_record_get_flags(m) & ARES_FLAG_TC), !fits);
			ares_dns_record_destroy(m);
		}
	}
}

/* The longest name, in the least room, with all that there may be. */
static void the_longest_name_fits(void **state)
{
	char name[254];
	struct dns_reply r;

	(void)state;
	memset(name, 'a', 253);
	name[63] = name[127] = name[191] = '.';
	name[253] = '\0';
	struct dns_question q = question(name, true, 512);
	assert_int_equal(q.wire_len, DNS_QUESTION_MAX);
	dns_reply_start(&r, room_of(&q), q.room, &q, ARES_RCODE_NXDOMAIN);
	dns_reply_add_negative(&r, 1);
	dns_reply_end(&r);
	assert_false(r.truncated);
	ares_dns_record_destroy(parse(&r));
}

static void errors_have_what_could_be_read(void **state)
{
	struct dns_question q = { .id = 0xbeef, .room = 512 };
	struct dns_reply r;

	(void)state;
	dns_reply_start(&r, room_of(&q), q.room, &q, ARES_RCODE_FORMERR);
	assert_int_equal(dns_reply_end(&r), DNS_HEADER);
	assert_memory_equal(r.bytes, "\xbe\xef\x80\x81\0\0\0\0\0\0\0\0", DNS_HEADER);
	q = question("a.test", true, 512);
	dns_reply_start(&r, room_of(&q), q.room, &q, 16);
	dns_reply_end(&r);
	ares_dns_record_t *m = parse(&r);
	/* 16 is BADVERS in an OPT record. */
	assert_int_equal(ares_dns_record_get_rcode(m), ARES_RCODE_BADSIG);
	ares_dns_record_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_back),
		cmocka_unit_test(nothing_is_said_for_how_long),
		cmocka_unit_test(what_does_not_fit_is_truncated),
		cmocka_unit_test(the_longest_name_fits),
		cmocka_unit_test(errors_have_what_could_be_read),
	};
	int failed;

	guard_init(&guard, 4096);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	guard_fini(&guard);
	return failed;
}
