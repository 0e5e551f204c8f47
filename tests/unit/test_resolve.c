/* SPDX-License-Identifier: MIT */
/* What answers mean: addresses, aliases, negative answers, truncation, forgeries; and how long they
 * count. */
/* LINK: tests/unit/dns_bench.c tests/unit/dns_server.c */
/* LINK: tproxy/resolve.c tproxy/resolve_lookup.c tproxy/dns_cache.c tproxy/dns_answer.c */
/* LINK: tproxy/dns_socket.c tproxy/slab.c rules/addr.c tproxy/dns_heap.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/dns_bench.h"

#define ALIAS(n, m) "cname l" #n ".test@90 l" #m ".test;"
#define ALIASES_15                                                                           \
	"cname 90 l1.test;" ALIAS(1, 2) ALIAS(2, 3) ALIAS(3, 4) ALIAS(4, 5) ALIAS(5, 6)      \
		ALIAS(6, 7) ALIAS(7, 8) ALIAS(8, 9) ALIAS(9, 10) ALIAS(10, 11) ALIAS(11, 12) \
			ALIAS(12, 13) ALIAS(13, 14) ALIAS(14, 15)
#define MIXED_50                                                                           \
	"a 60 192.0.2.1;a 60 192.0.2.2;a 60 192.0.2.3;a 60 192.0.2.4;a 60 192.0.2.5;a 60 " \
	"192.0.2.6;"                                                                       \
	"a 60 192.0.2.7;a 60 192.0.2.8;a 60 192.0.2.9;a 60 192.0.2.10"

#define QUESTION "046e616d65047465737400" /* name.test */

struct row {
	const char *what, *a, *aaaa, *want;
	int64_t ttl; /* seconds that it is believed, 0: not at all; -1: a failure */
	unsigned asked;
};

static const struct row rows[] = {
	{ "A", "a 60 192.0.2.1", NULL, "ok 192.0.2.1", 60, 2 },
	{ "AAAA", NULL, "aaaa 60 2001:db8::1", "ok 2001:db8::1", 60, 2 },
	{ "families alternate, order is kept", "a 60 192.0.2.2;a 60 192.0.2.1",
	  "aaaa 60 2001:db8::2;aaaa 60 2001:db8::1;aaaa 60 2001:db8::3",
	  "ok 2001:db8::2 192.0.2.2 2001:db8::1 192.0.2.1 2001:db8::3", 60, 2 },
	{ "the least TTL of all records", "a 60 192.0.2.2;a 40 192.0.2.1", "aaaa 50 2001:db8::2",
	  "ok 2001:db8::2 192.0.2.2 192.0.2.1", 40, 2 },
	{ "the least TTL, when AAAA has it", "a 60 192.0.2.2", "aaaa 30 2001:db8::2",
	  "ok 2001:db8::2 192.0.2.2", 30, 2 },
	{ "the negative TTL of one family does not count", "a 60 192.0.2.2", "soa 5 5",
	  "ok 192.0.2.2", 60, 2 },
	{ "TTL of a day counts an hour", "a 86400 192.0.2.2", NULL, "ok 192.0.2.2", 3600, 2 },
	{ "TTL with the top bit", "a 2147483648 192.0.2.2", NULL, "ok 192.0.2.2", 0, 2 },
	{ "TTL 0", "a 0 192.0.2.2", NULL, "ok 192.0.2.2", 0, 2 },
	{ "TTL 1", "a 1 192.0.2.2", NULL, "ok 192.0.2.2", 1, 2 },
	{ "the same address twice", "a 60 192.0.2.2;a 60 192.0.2.2;a 60 192.0.2.1", NULL,
	  "ok 192.0.2.2 192.0.2.1", 60, 2 },
	{ "an alias", "cname 50 b.test;a b.test@60 192.0.2.3", "cname 50 b.test;soa 300 300",
	  "ok 192.0.2.3", 50, 2 },
	{ "an alias with different case", "cname 50 B.Test;a b.tEST@60 192.0.2.3", NULL,
	  "ok 192.0.2.3", 50, 2 },
	{ "aliases in any order", "a c.test@60 192.0.2.3;cname b.test@70 c.test;cname 50 b.test",
	  NULL, "ok 192.0.2.3", 50, 2 },
	{ "16 aliases", ALIASES_15 "cname l15.test@90 l16.test;a l16.test@100 192.0.2.3", NULL,
	  "ok 192.0.2.3", 90, 2 },
	{ "17 aliases",
	  ALIASES_15
	  "cname l15.test@90 l16.test;cname l16.test@90 l17.test;a l17.test@100 192.0.2.3",
	  NULL, "fail", -1, 2 },
	{ "aliases in a circle", "cname 50 b.test;cname b.test@50 name.test;a 60 192.0.2.3", NULL,
	  "fail", -1, 2 },
	{ "an alias of itself", "cname 50 name.test", NULL, "fail", -1, 2 },
	{ "an alias that leads nowhere", "cname 50 b.test;soa 40 300", "cname 50 b.test;soa 300 30",
	  "nodata", 30, 2 },
	{ "NXDOMAIN: SOA's minimum", "rcode 3;soa 600 70", "rcode 3;soa 600 80", "nxdomain", 70,
	  2 },
	{ "NXDOMAIN: SOA's own TTL", "rcode 3;soa 50 70", "rcode 3;soa 90 80", "nxdomain", 50, 2 },
	{ "NXDOMAIN behind an alias", "rcode 3;cname 9 b.test;soa 50 70",
	  "rcode 3;cname 9 b.test;soa 50 70", "nxdomain", 50, 2 },
	{ "NXDOMAIN with addresses", "rcode 3;a 9 192.0.2.3;soa 50 70", "rcode 3;soa 50 70",
	  "nxdomain", 50, 2 },
	{ "NXDOMAIN without SOA", "rcode 3", "rcode 3", "nxdomain", 5, 2 },
	{ "NXDOMAIN for more than the most", "rcode 3;soa 86400 86400", "rcode 3;soa 86400 86400",
	  "nxdomain", 600, 2 },
	{ "NXDOMAIN for no time", "rcode 3;soa 0 60", "rcode 3;soa 60 0", "nxdomain", 1, 2 },
	{ "NODATA", "soa 100 90", "soa 100 80", "nodata", 80, 2 },
	{ "NODATA without SOA", "", "", "nodata", 5, 2 },
	{ "the name exists for one family at least", "rcode 3;soa 100 90", "soa 100 80", "nodata",
	  80, 2 },
	{ "NXDOMAIN for AAAA only", "a 60 192.0.2.3", "rcode 3;soa 9 9", "ok 192.0.2.3", 60, 2 },
	{ "SERVFAIL, both tries", "rcode 2", "rcode 2", "fail", -1, 4 },
	{ "REFUSED, both tries", "rcode 5", "rcode 5", "fail", -1, 4 },
	{ "NOTIMP", "rcode 4", "rcode 4", "fail", -1, 4 },
	{ "FORMERR, with and without EDNS", "rcode 1", "rcode 1", "fail", -1, 4 },
	{ "an unknown code", "rcode 11;a 60 192.0.2.3", "rcode 11", "fail", -1, 2 },
	{ "SERVFAIL for AAAA only", "a 60 192.0.2.3", "rcode 2", "ok 192.0.2.3", 60, 3 },
	{ "SERVFAIL for A only", "rcode 2", "aaaa 60 2001:db8::1", "ok 2001:db8::1", 60, 3 },
	{ "NODATA and SERVFAIL: not known", "soa 100 90", "rcode 2", "fail", -1, 3 },
	{ "addresses of another name", "a evil.test@60 192.0.2.66", NULL, "fail", -1, 2 },
	{ "addresses of another name, too", "a evil.test@9 192.0.2.66;a 60 192.0.2.3", NULL,
	  "ok 192.0.2.3", 60, 2 },
	{ "an alias that nobody asked for", "cname evil.test@60 name.test;a 60 192.0.2.3", NULL,
	  "ok 192.0.2.3", 60, 2 },
	{ "addresses behind the wrong alias",
	  "cname 60 b.test;a c.test@60 192.0.2.66;a 60 192.0.2.67;soa 9 9", "soa 8 8", "nodata", 8,
	  2 },
	{ "the additional section", "soa 9 9;extra name.test 60 192.0.2.66", "soa 9 9", "nodata", 9,
	  2 },
	{ "another class", "class 3;a 60 192.0.2.66", NULL, "fail", -1, 2 },
	{ "A records for AAAA", "soa 9 9", "a 60 192.0.2.66;soa 7 7", "nodata", 7, 2 },
	{ "50 addresses", "many 50", NULL,
	  "ok 10.0.0.0 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7 10.0.0.8 "
	  "10.0.0.9 "
	  "10.0.0.10 10.0.0.11 10.0.0.12 10.0.0.13 10.0.0.14 10.0.0.15",
	  60, 2 },
	{ "half of 20", MIXED_50,
	  "aaaa 60 2001:db8::1;aaaa 60 2001:db8::2;aaaa 60 2001:db8::3;aaaa 60 2001:db8::4;aaaa 60 "
	  "2001:db8::5;"
	  "aaaa 60 2001:db8::6;aaaa 60 2001:db8::7;aaaa 60 2001:db8::8;aaaa 60 2001:db8::9",
	  "ok 2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 2001:db8::3 192.0.2.3 2001:db8::4 "
	  "192.0.2.4 2001:db8::5 192.0.2.5 "
	  "2001:db8::6 192.0.2.6 2001:db8::7 192.0.2.7 2001:db8::8 192.0.2.8",
	  60, 2 },
	{ "truncated: over TCP", "tc;a 60 192.0.2.3", "tc;aaaa 60 2001:db8::1",
	  "ok 2001:db8::1 192.0.2.3", 60, 4 },
	{ "1000 addresses over TCP", "tc;many 1000", NULL,
	  "ok 10.0.0.0 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7 10.0.0.8 "
	  "10.0.0.9 10.0.0.10 10.0.0.11 10.0.0.12 10.0.0.13 10.0.0.14 10.0.0.15",
	  60, 3 },
	{ "NXDOMAIN over TCP", "tc;rcode 3;soa 9 9", "tc;rcode 3;soa 9 9", "nxdomain", 9, 4 },
	{ "records that are too short, and that name themselves",
	  "raw 81800001000100000000" QUESTION "0001"
	  "0001"
	  "c00c0001000100000e10000a01020304",
	  "raw 81800001000100000000" QUESTION "001c"
	  "0001"
	  "c01b001c000100000e10000400000000",
	  "fail", -1, 4 },
	{ "bytes after the end", "a 60 192.0.2.1;raw +ffff", NULL, "ok 192.0.2.1", 60, 2 },
};

static void check_row(const struct row *row)
{
	const struct dns_zone zone[] = { { "name.test", row->a, row->aaaa }, { NULL, NULL, NULL } };
	struct bench b;
	struct resolve_answer a;

	bench_open(&b, zone);
	print_message("# %s\n", row->what);
	assert_string_equal(bench_text(bench_resolve(&b, "name.test")), row->want);
	assert_int_equal(bench_asked(&b), row->asked);
	if (row->ttl > 0) {
		/* Up to its last tenth; in it, the same answer still, and a refresh. */
		b.now_ms += row->ttl * 900 - 1;
		assert_int_equal(bench_ask(&b, "name.test", &a), 1);
		assert_string_equal(bench_text(&a), row->want);
		bench_turn(&b);
		assert_int_equal(bench_asked(&b), row->asked);
		b.now_ms += row->ttl * 100;
		assert_int_equal(bench_ask(&b, "name.test", &a), 1);
		assert_string_equal(bench_text(&a), row->want);
		bench_turn(&b);
		assert_in_range(bench_asked(&b), row->asked + 2, 2 * row->asked);
	} else if (row->ttl == 0) {
		assert_string_equal(bench_text(bench_resolve(&b, "name.test")), row->want);
		assert_int_equal(bench_asked(&b), 2 * row->asked);
	} else {
		b.now_ms += 999;
		assert_int_equal(bench_ask(&b, "name.test", &a), 1);
		assert_string_equal(bench_text(&a), "fail");
		assert_int_equal(bench_asked(&b), row->asked);
		b.now_ms += 1;
		assert_string_equal(bench_text(bench_resolve(&b, "name.test")), "fail");
		assert_in_range(bench_asked(&b), row->asked + 2, 2 * row->asked);
	}
	bench_close(&b);
}

static void test_answers_mean_what_the_RFCs_say(void **state)
{
	(void)state;

	for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++)
		check_row(&rows[k]);
}

static void test_an_answer_ends_when_its_TTL_does(void **state)
{
	struct dns_zone zone[] = { { "name.test", "a 60 192.0.2.1", NULL }, { NULL, NULL, NULL } };
	struct bench b;
	(void)state;

	bench_open(&b, zone);
	assert_string_equal(bench_text(bench_resolve(&b, "name.test")), "ok 192.0.2.1");
	zone[0].a = "a 60 192.0.2.2";
	b.now_ms += 60000;
	assert_string_equal(bench_text(bench_resolve(&b, "name.test")), "ok 192.0.2.2");
	zone[0].a = "rcode 3;soa 20 20";
	b.now_ms += 60000;
	assert_string_equal(bench_text(bench_resolve(&b, "name.test")), "nodata");
	zone[0].a = "a 60 192.0.2.1";
	b.now_ms += 20000;
	assert_string_equal(bench_text(bench_resolve(&b, "name.test")), "ok 192.0.2.1");
	bench_close(&b);
}

/* Each of these arrives from the right address and port before the answer does, and counts for
 * nothing. */
static void test_forgeries_are_ignored(void **state)
{
	static const char *const forged[] = {
		"id;a 60 192.0.2.66",
		"question evil.test;a 60 192.0.2.66",
		"question name.tes;a 60 192.0.2.66",
		"raw 01",
		"raw ",
		"raw ffff",
		"raw 01000001000000000000",
		"raw 81800002000000000000" QUESTION "00010001",
		"rcode 3;question other.test",
		"rcode 2;id",
		"tc;id",
		"raw 81800001ffffffffffff" QUESTION "00010001",
		"raw 81800001000100000000" QUESTION "00010001",
		"raw 9180000100000000000004",
		"raw 01000001000100000000" QUESTION "00010001c00c000100010000003c0004c0000242",
		"raw 91800001000100000000" QUESTION "00010001c00c000100010000003c0004c0000242",
	};
	static const struct dns_zone zone[] = { { "name.test", "hold", "hold" },
		                                { NULL, NULL, NULL } };
	struct bench b;
	struct resolve_answer a;
	(void)state;

	for (size_t k = 0; k < sizeof(forged) / sizeof(*forged); k++) {
		print_message("# %s\n", forged[k]);
		bench_open(&b, zone);
		assert_int_equal(bench_ask(&b, "name.test", &a), 0);
		bench_turn(&b);
		assert_int_equal(b.server.n_held, 2);
		for (unsigned i = 0; i < 2; i++) {
			struct dns_question q = b.server.held[i];
			dns_answer(&b.server, &q, forged[k]);
			/* Nor an empty datagram, nor one that is far too long, nor the right answer
			 * from another port. */
			assert_int_equal(
				sendto(q.fd, "", 0, 0, (struct sockaddr *)&q.peer, q.peer_len), 0);
			static uint8_t large[5000];
			memcpy(large,
			       (uint8_t[]){ (uint8_t)(q.id >> 8), (uint8_t)q.id, 0x81, 0x80, 0, 1 },
			       6);
			assert_int_equal(sendto(q.fd, large, sizeof(large), 0,
			                        (struct sockaddr *)&q.peer, q.peer_len),
			                 sizeof(large));
			q.fd = socket(AF_INET, SOCK_DGRAM, 0);
			dns_answer(&b.server, &q, "a 60 192.0.2.66");
			close(q.fd);
		}
		bench_turn(&b);
		assert_int_equal(b.n, 0);
		assert_int_equal(b.server.n_held, 2);
		while (b.server.n_held)
			dns_release(&b.server, 0,
			            b.server.held[0].type == 1 ? "a 60 192.0.2.1"
			                                       : "aaaa 60 2001:db8::1");
		bench_turn(&b);
		assert_int_equal(b.n, 1);
		assert_string_equal(bench_text(&b.answers[0].a), "ok 2001:db8::1 192.0.2.1");
		bench_close(&b);
	}
}

static void test_ports_are_not_used_for_two_names(void **state)
{
	static const struct dns_zone zone[] = { { "*", "hold", "hold" }, { NULL, NULL, NULL } };
	enum { N = 20 };
	struct bench b;
	struct resolve_answer a;
	char name[32];
	(void)state;

	bench_open(&b, zone);
	for (int k = 0; k < N; k++) {
		snprintf(name, sizeof(name), "n%d.test", k);
		assert_int_equal(bench_ask(&b, name, &a), 0);
	}
	bench_turn(&b);
	assert_int_equal(b.server.n_held, 2 * N);
	for (unsigned i = 0; i < 2 * N; i++)
		for (unsigned k = i + 1; k < 2 * N; k++) {
			const struct sockaddr_in *x = (void *)&b.server.held[i].peer,
						 *y = (void *)&b.server.held[k].peer;
			if (strcmp(b.server.held[i].name, b.server.held[k].name) != 0)
				assert_int_not_equal(x->sin_port, y->sin_port);
		}
	bench_close(&b);
}

static void test_names_arrive_as_they_were_asked(void **state)
{
	static const struct dns_zone zone[] = { { "*", "hold", "hold" }, { NULL, NULL, NULL } };
	char longest[NAME_SIZE];
	const char *const names[] = { "a", "a.b", "_sip._tcp.example-1.org",
		                      "xn--bcher-kva.example", longest };
	struct bench b;
	struct resolve_answer a;
	(void)state;

	memset(longest, 'x', NAME_MAX_LEN);
	longest[63] = longest[127] = longest[191] = '.';
	longest[NAME_MAX_LEN] = '\0';
	bench_open(&b, zone);
	for (unsigned k = 0; k < sizeof(names) / sizeof(*names); k++) {
		assert_int_equal(bench_ask(&b, names[k], &a), 0);
		bench_turn(&b);
		assert_int_equal(b.server.n_held, 2 * k + 2);
		assert_string_equal(b.server.held[2 * k].name, names[k]);
		assert_string_equal(b.server.held[2 * k + 1].name, names[k]);
		assert_int_equal(b.server.held[2 * k].type + b.server.held[2 * k + 1].type, 1 + 28);
	}
	assert_int_equal(resolver_ask(b.r, "", 0, 1, b.now_ms, &a), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(resolver_ask(b.r, longest, NAME_MAX_LEN + 1, 1, b.now_ms, &a), -1);
	assert_int_equal(errno, EINVAL);
	bench_close(&b);
}

static void test_a_server_reached_over_IPv6(void **state)
{
	static const struct dns_zone zone[] = { { "name.test", "tc;a 60 192.0.2.1", NULL },
		                                { NULL, NULL, NULL } };
	struct bench b;
	(void)state;

	bench_open(&b, zone);
	resolver_close(b.r);
	dns_server_close(&b.server);
	dns_server_open(&b.server, AF_INET6, 0, zone);
	bench_resolver(&b);
	assert_string_equal(bench_text(bench_resolve(&b, "name.test")), "ok 192.0.2.1");
	assert_int_equal(b.server.asked_tcp, 1);
	bench_close(&b);
}

static void test_the_second_server_answers_for_the_first(void **state)
{
	static const struct dns_zone zone[] = { { "name.test", "a 60 192.0.2.1", NULL },
		                                { NULL, NULL, NULL } };
	struct addr servers[2];
	struct bench b;
	(void)state;

	bench_open(&b, zone);
	resolver_close(b.r);
	/* Nobody listens at the first, which the kernel says at once. */
	assert_int_equal(addr_parse(&servers[0], "127.0.0.9", 9), 0);
	assert_int_equal(addr_parse(&servers[1], "127.0.0.1", 9), 0);
	b.config.nameservers = servers;
	b.config.n_nameservers = 2;
	b.r = resolver_open(&b.config, b.now_ms);
	assert_non_null(b.r);
	assert_string_equal(bench_text(bench_resolve(&b, "name.test")), "ok 192.0.2.1");
	bench_close(&b);
}

static void test_no_answer_at_all_is_a_failure(void **state)
{
	static const char *const silent[][2] = { { "loss", "loss" }, { "tc;hold", "loss" } };
	struct bench b;
	(void)state;

	for (size_t k = 0; k < 2; k++) {
		bench_start(&b, silent[k][0], silent[k][1]);
		b.config.timeout_ms = 40;
		bench_restart(&b);
		bench_expect_waiting(&b);
		bench_wait(&b, 1);
		assert_string_equal(bench_text(&b.answers[0].a), "fail");
		assert_int_equal(b.r->stats.timeouts, 4);
		assert_int_equal(b.r->stats.failures, 1);
		assert_int_equal(b.server.asked[0] + b.server.asked[1], 4);
		bench_close(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_mean_what_the_RFCs_say),
		cmocka_unit_test(test_an_answer_ends_when_its_TTL_does),
		cmocka_unit_test(test_forgeries_are_ignored),
		cmocka_unit_test(test_ports_are_not_used_for_two_names),
		cmocka_unit_test(test_names_arrive_as_they_were_asked),
		cmocka_unit_test(test_a_server_reached_over_IPv6),
		cmocka_unit_test(test_the_second_server_answers_for_the_first),
		cmocka_unit_test(test_no_answer_at_all_is_a_failure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
