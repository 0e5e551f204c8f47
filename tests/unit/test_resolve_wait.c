/* SPDX-License-Identifier: MIT */
/* Who waits, for how long, and what they get when servers are slow, silent, gone or back again. */
/* LINK: tests/unit/dns_bench.c tests/unit/dns_server.c */
/* LINK: tproxy/resolve.c tproxy/resolve_lookup.c tproxy/dns_cache.c tproxy/dns_answer.c */
/* LINK: tproxy/dns_socket.c tproxy/slab.c rules/addr.c tproxy/dns_heap.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "tests/unit/dns_bench.h"

static void test_one_family_waits_50_ms_for_the_other(void **state)
{
	static const struct {
		const char *a, *aaaa, *first, *both;
		unsigned late;
		const char *late_text;
	} rows[] = {
		{ A1, "hold", "ok 192.0.2.1", "ok 2001:db8::1 192.0.2.1", 28, AAAA1 },
		{ "hold", AAAA1, "ok 2001:db8::1", "ok 2001:db8::1 192.0.2.1", 1, A1 },
		{ A1, "hold", "ok 192.0.2.1", "ok 192.0.2.1", 28, "rcode 2" },
		{ A1, "hold", "ok 192.0.2.1", "ok 192.0.2.1", 28, "rcode 3;soa 1 1" },
	};
	struct bench b;
	(void)state;

	for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
		bench_start(&b, rows[k].a, rows[k].aaaa);
		bench_expect_waiting(&b);
		bench_expect(&b, 0, NULL);
		bench_pass(&b, 50);
		bench_expect(&b, 1, rows[k].first);
		bench_expect_now(&b, rows[k].first);
		/* What comes late is for those who ask later, and nobody hears twice. */
		bench_release(&b, rows[k].late, rows[k].late_text);
		b.zone[0].a = b.zone[0].aaaa = "hold";
		bench_expect(&b, 1, rows[k].first);
		bench_expect_now(&b, rows[k].both);
		assert_int_equal(b.r->stats.queries, 2);
		bench_close(&b);
	}
}

static void test_addresses_that_come_within_50_ms_come_together(void **state)
{
	struct bench b;
	(void)state;

	bench_start(&b, A1, "hold");
	bench_expect_waiting(&b);
	bench_expect(&b, 0, NULL);
	b.now_ms += 49;
	bench_release(&b, 28, AAAA1);
	bench_expect(&b, 1, "ok 2001:db8::1 192.0.2.1");
	bench_close(&b);
}

static void test_that_there_are_none_must_be_said_for_both(void **state)
{
	struct bench b;
	(void)state;

	bench_start(&b, "rcode 3", "hold");
	bench_expect_waiting(&b);
	bench_expect(&b, 0, NULL);
	b.now_ms += 5000;
	bench_expect(&b, 0, NULL);
	bench_release(&b, 28, AAAA1);
	bench_expect(&b, 1, "ok 2001:db8::1");
	bench_close(&b);
}

static void test_a_family_that_hangs_does_not_lend_old_addresses(void **state)
{
	struct bench b;
	(void)state;

	bench_start(&b, "a 1 192.0.2.1", "hold");
	bench_expect_waiting(&b);
	bench_expect(&b, 0, NULL);
	b.now_ms += 50;
	bench_expect(&b, 1, "ok 192.0.2.1");
	bench_expect_now(&b, "ok 192.0.2.1");
	b.now_ms += 1000;
	b.zone[0].a = A2;
	bench_expect_waiting(&b);
	bench_expect(&b, 1, "ok 192.0.2.1");
	b.now_ms += 50;
	bench_expect(&b, 2, "ok 192.0.2.2");
	/* The first AAAA query is still out; what it brings now is nobody's. */
	bench_release(&b, 28, AAAA1);
	bench_expect(&b, 2, "ok 192.0.2.2");
	bench_expect_now(&b, "ok 192.0.2.2");
	bench_release(&b, 28, "aaaa 60 2001:db8::2");
	bench_expect(&b, 2, "ok 192.0.2.2");
	bench_expect_now(&b, "ok 2001:db8::2 192.0.2.2");
	assert_int_equal(b.r->lookups.used, 0);
	bench_close(&b);
}

static void test_TTL_0_serves_those_who_wait_and_nobody_else(void **state)
{
	struct bench b;
	(void)state;

	bench_start(&b, "hold", "hold");
	for (int k = 0; k < 3; k++)
		bench_expect_waiting(&b);
	bench_expect(&b, 0, NULL);
	bench_release(&b, 1, "a 0 192.0.2.1");
	bench_release(&b, 28, NULL);
	bench_expect(&b, 3, "ok 192.0.2.1");
	b.zone[0].a = A2;
	b.zone[0].aaaa = NULL;
	bench_expect_waiting(&b);
	bench_expect(&b, 4, "ok 192.0.2.2");
	bench_close(&b);
}

static void test_the_same_question_is_asked_once(void **state)
{
	enum { N = 100 };
	bool heard[N + 1] = { false };
	struct bench b;
	(void)state;

	bench_start(&b, A1, AAAA1);
	for (int k = 0; k < N; k++)
		bench_expect_waiting(&b);
	assert_int_equal(b.r->stats.waiting, N);
	bench_expect(&b, N, "ok 2001:db8::1 192.0.2.1");
	assert_int_equal(bench_asked(&b), 2);
	assert_int_equal(b.r->stats.waiting, 0);
	for (int k = 0; k < N; k++) {
		assert_false(heard[b.answers[k].waiter]);
		heard[b.answers[k].waiter] = true;
		assert_string_equal(bench_text(&b.answers[k].a), "ok 2001:db8::1 192.0.2.1");
	}
	bench_close(&b);
}

static void test_who_cancels_hears_nothing_and_the_answer_is_kept(void **state)
{
	struct bench b;
	(void)state;

	bench_start(&b, "hold", "hold");
	for (int k = 0; k < 4; k++)
		bench_expect_waiting(&b);
	bench_expect(&b, 0, NULL);
	resolver_cancel(b.r, 4);
	resolver_cancel(b.r, 1);
	resolver_cancel(b.r, 3);
	resolver_cancel(b.r, 3);
	for (uint64_t id = 5; id < 4000; id++)
		resolver_cancel(b.r, id);
	assert_int_equal(b.r->stats.waiting, 1);
	bench_release(&b, 1, A1);
	bench_release(&b, 28, NULL);
	bench_expect(&b, 1, "ok 192.0.2.1");
	assert_int_equal(b.answers[0].waiter, 2);
	/* All of them, before the answer. */
	b.now_ms += 60000;
	bench_expect_waiting(&b);
	bench_turn(&b);
	resolver_cancel(b.r, b.next_waiter);
	assert_int_equal(b.r->stats.waiting, 0);
	bench_release(&b, 1, A2);
	bench_release(&b, 28, NULL);
	bench_expect(&b, 1, "ok 192.0.2.1");
	bench_expect_now(&b, "ok 192.0.2.2");
	bench_close(&b);
}

static void cancel_and_ask(struct bench *b, uint64_t waiter)
{
	struct resolve_answer a;

	if (waiter == 3)
		resolver_cancel(b->r, 2);
	if (waiter <= 4)
		assert_int_equal(resolver_ask(b->r, "name.test", 9, 100 + waiter, b->now_ms, &a),
		                 0);
	if (waiter == 4) {
		resolver_cancel(b->r, 104);
		assert_int_equal(resolver_ask(b->r, "other.test", 10, 204, b->now_ms, &a), 0);
	}
	if (waiter == 204) {
		assert_int_equal(resolver_ask(b->r, "other.test", 10, 304, b->now_ms, &a), 1);
		assert_string_equal(bench_text(&a), "ok 192.0.2.2");
	}
}

static void test_callbacks_may_ask_and_cancel(void **state)
{
	static const struct {
		uint64_t waiter;
		const char *text;
	} want[] = { { 4, "ok 192.0.2.1" },   { 3, "ok 192.0.2.1" },   { 1, "ok 192.0.2.1" },
		     { 101, "ok 192.0.2.1" }, { 103, "ok 192.0.2.1" }, { 204, "ok 192.0.2.2" } };
	struct bench b;
	(void)state;

	bench_start(&b, "a 0 192.0.2.1", NULL);
	b.zone[1].a = A2;
	b.also = cancel_and_ask;
	for (int k = 0; k < 4; k++)
		bench_expect_waiting(&b);
	bench_turn(&b);
	assert_int_equal(b.n, sizeof(want) / sizeof(*want));
	for (unsigned k = 0; k < b.n; k++) {
		unsigned found = 0;
		for (unsigned i = 0; i < b.n; i++)
			if (b.answers[i].waiter == want[k].waiter &&
			    strcmp(bench_text(&b.answers[i].a), want[k].text) == 0)
				found++;
		assert_int_equal(found, 1);
	}
	bench_close(&b);
}

static void ask_for_the_other(struct bench *b, uint64_t waiter)
{
	struct resolve_answer a;

	if (waiter <= 2)
		assert_int_equal(resolver_ask(b->r, waiter == 1 ? "b.test" : "a.test", 6,
		                              10 + waiter, b->now_ms, &a),
		                 0);
}

static void test_who_asks_while_answers_are_handed_out_may_join(void **state)
{
	struct resolve_answer a;
	struct bench b;
	(void)state;

	bench_start(&b, "hold", "hold");
	assert_int_equal(bench_ask(&b, "a.test", &a), 0);
	assert_int_equal(bench_ask(&b, "b.test", &a), 0);
	bench_turn(&b);
	b.also = ask_for_the_other;
	/* Both are answered in one turn: whoever hears first joins the other's; the other's own
	 * must be asked anew. */
	while (b.server.n_held)
		dns_release(&b.server, 0, b.server.held[0].type == 1 ? "a 0 192.0.2.1" : NULL);
	resolver_run(b.r, b.now_ms);
	assert_int_equal(b.n, 3);
	assert_int_equal(b.r->stats.queries, 6);
	bench_turn(&b);
	assert_int_equal(b.server.n_held, 2);
	bench_close(&b);
}

static void test_an_answer_is_refreshed_before_it_ends(void **state)
{
	struct bench b;
	(void)state;

	bench_start(&b, A1, NULL);
	bench_expect_waiting(&b);
	bench_expect(&b, 1, "ok 192.0.2.1");
	b.zone[0].a = A2;
	b.now_ms += 53999;
	bench_expect_now(&b, "ok 192.0.2.1");
	bench_expect(&b, 1, "ok 192.0.2.1");
	assert_int_equal(bench_asked(&b), 2);
	b.now_ms += 1;
	bench_expect_now(&b, "ok 192.0.2.1");
	bench_expect_now(&b, "ok 192.0.2.1");
	bench_expect(&b, 1, "ok 192.0.2.1");
	assert_int_equal(bench_asked(&b), 4);
	bench_expect_now(&b, "ok 192.0.2.2");
	/* A refresh that fails takes nothing away before its time, and is not tried at once again.
	 */
	b.zone[0].a = b.zone[0].aaaa = "rcode 2";
	b.now_ms += 59000;
	bench_expect_now(&b, "ok 192.0.2.2");
	bench_expect(&b, 1, "ok 192.0.2.1");
	assert_int_equal(bench_asked(&b), 8);
	bench_expect_now(&b, "ok 192.0.2.2");
	bench_expect(&b, 1, "ok 192.0.2.1");
	assert_int_equal(bench_asked(&b), 8);
	bench_close(&b);
}

static void test_a_silent_server_means_stale_answers_after_a_while(void **state)
{
	struct bench b;
	(void)state;

	bench_start(&b, A1, NULL);
	b.config.timeout_ms = 40;
	bench_restart(&b);
	bench_expect_waiting(&b);
	bench_expect(&b, 1, "ok 192.0.2.1");
	b.zone[0].a = b.zone[0].aaaa = "hold";
	b.now_ms += 60000;
	bench_expect_waiting(&b);
	bench_expect(&b, 1, "ok 192.0.2.1");
	bench_pass(&b, 1800);
	bench_expect(&b, 2, "ok! 192.0.2.1");
	/* Whoever asks while it is still being tried need not wait. */
	bench_expect_now(&b, "ok! 192.0.2.1");
	assert_int_equal(b.r->lookups.used, 1);
	/* In its own time c-ares gives up. */
	time_t end = time(NULL) + 30;
	while (b.r->lookups.used > 0 && time(NULL) < end) {
		poll(NULL, 0, resolver_timeout(b.r, b.now_ms));
		bench_turn(&b);
	}
	assert_int_equal(b.r->lookups.used, 0);
	assert_true(b.r->stats.timeouts >= 2);
	bench_expect_now(&b, "ok! 192.0.2.1");
	assert_int_equal(b.r->stats.failures, 1);
	/* Back again: the next try after the pause finds out. */
	b.zone[0].a = A2;
	b.zone[0].aaaa = NULL;
	b.now_ms += 1000;
	bench_expect_waiting(&b);
	bench_expect(&b, 3, "ok 192.0.2.2");
	bench_expect_now(&b, "ok 192.0.2.2");
	bench_close(&b);
}

static void test_a_server_that_is_gone_means_stale_answers_at_once(void **state)
{
	struct bench b;
	(void)state;

	bench_start(&b, A1, AAAA1);
	bench_expect_waiting(&b);
	bench_expect(&b, 1, "ok 2001:db8::1 192.0.2.1");
	uint16_t port = b.server.port;
	dns_server_close(&b.server);
	b.now_ms += 60000;
	bench_expect_waiting(&b);
	bench_expect(&b, 2, "ok! 2001:db8::1 192.0.2.1");
	bench_expect_now(&b, "ok! 2001:db8::1 192.0.2.1");
	/* For as long as stale answers may be served, and no longer. */
	b.now_ms += 3600000 - 1;
	bench_expect_waiting(&b);
	bench_expect(&b, 3, "ok! 2001:db8::1 192.0.2.1");
	b.now_ms += 1;
	bench_expect_now(&b, "fail");
	b.now_ms += 60000;
	bench_expect_waiting(&b);
	bench_expect(&b, 4, "fail");
	bench_expect_now(&b, "fail");
	dns_server_open(&b.server, AF_INET, port, b.zone);
	b.now_ms += 60000;
	bench_expect_waiting(&b);
	bench_expect(&b, 5, "ok 2001:db8::1 192.0.2.1");
	assert_int_equal(b.r->stats.stale_served, 3);
	bench_close(&b);
}

static void test_stale_answers_can_be_forbidden_or_shortened(void **state)
{
	static const struct {
		uint32_t stale_max;
		int64_t after_ms;
		const char *want;
	} rows[] = {
		{ RESOLVE_STALE_NEVER, 0, "fail" },
		{ 10, 9999, "ok! 192.0.2.1" },
		{ 10, 10000, "fail" },
		{ 0, 3599999, "ok! 192.0.2.1" },
		{ 0, 3600000, "fail" },
	};
	struct bench b;
	(void)state;

	for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
		bench_start(&b, A1, NULL);
		b.config.stale_max = rows[k].stale_max;
		bench_restart(&b);
		bench_expect_waiting(&b);
		bench_expect(&b, 1, "ok 192.0.2.1");
		b.zone[0].a = b.zone[0].aaaa = "rcode 2";
		b.now_ms += 60000 + rows[k].after_ms;
		bench_expect_waiting(&b);
		bench_expect(&b, 2, rows[k].want);
		bench_expect_now(&b, rows[k].want);
		bench_close(&b);
	}
}

static void test_that_a_name_is_gone_is_no_reason_for_stale_answers(void **state)
{
	struct bench b;
	(void)state;

	bench_start(&b, A1, NULL);
	bench_expect_waiting(&b);
	bench_expect(&b, 1, "ok 192.0.2.1");
	b.zone[0].a = b.zone[0].aaaa = "rcode 3;soa 10 10";
	b.now_ms += 60000;
	bench_expect_waiting(&b);
	bench_expect(&b, 2, "nxdomain");
	bench_expect_now(&b, "nxdomain");
	uint32_t i = dns_cache_find(&b.r->cache, "name.test", 9);
	assert_int_equal(dns_cache_at(&b.r->cache, i)->n4, 0);
	b.zone[0].a = b.zone[0].aaaa = "rcode 2";
	b.now_ms += 10000;
	bench_expect_waiting(&b);
	bench_expect(&b, 3, "fail");
	bench_close(&b);
}

static void test_failures_are_not_repeated_for_longer_and_longer(void **state)
{
	static const int64_t pauses[] = { 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
	struct bench b;
	(void)state;

	bench_start(&b, "rcode 2", "rcode 2");
	bench_expect_waiting(&b);
	bench_expect(&b, 1, "fail");
	for (unsigned k = 0; k < sizeof(pauses) / sizeof(*pauses); k++) {
		assert_int_equal(bench_asked(&b), 4 * (k + 1));
		b.now_ms += pauses[k] - 1;
		bench_expect_now(&b, "fail");
		assert_int_equal(bench_asked(&b), 4 * (k + 1));
		b.now_ms += 1;
		bench_expect_waiting(&b);
		bench_expect(&b, k + 2, "fail");
	}
	/* An answer ends it. */
	b.zone[0].a = "a 1 192.0.2.1";
	b.now_ms += 30000;
	bench_expect_waiting(&b);
	bench_expect(&b, 9, "ok 192.0.2.1");
	b.zone[0].a = "rcode 2";
	b.now_ms += 4000000;
	bench_expect_waiting(&b);
	bench_expect(&b, 10, "fail");
	b.now_ms += 1000;
	bench_expect_waiting(&b);
	bench_expect(&b, 11, "fail");
	bench_close(&b);
}

/* c-ares is told to be patient for longer than anybody should wait. */
static void test_no_wait_is_endless(void **state)
{
	struct bench b;
	(void)state;

	bench_start(&b, "hold", "hold");
	bench_expect_waiting(&b);
	bench_expect(&b, 0, NULL);
	bench_pass(&b, 35000);
	bench_expect(&b, 1, "fail");
	assert_int_equal(b.r->lookups.used, 0);
	assert_int_equal(resolver_timeout(b.r, b.now_ms), -1);
	b.server.n_held = 0;
	b.zone[0].a = A1;
	b.zone[0].aaaa = NULL;
	b.now_ms += 1000;
	bench_expect_waiting(&b);
	bench_expect(&b, 2, "ok 192.0.2.1");
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_family_waits_50_ms_for_the_other),
		cmocka_unit_test(test_addresses_that_come_within_50_ms_come_together),
		cmocka_unit_test(test_that_there_are_none_must_be_said_for_both),
		cmocka_unit_test(test_a_family_that_hangs_does_not_lend_old_addresses),
		cmocka_unit_test(test_TTL_0_serves_those_who_wait_and_nobody_else),
		cmocka_unit_test(test_the_same_question_is_asked_once),
		cmocka_unit_test(test_who_cancels_hears_nothing_and_the_answer_is_kept),
		cmocka_unit_test(test_callbacks_may_ask_and_cancel),
		cmocka_unit_test(test_who_asks_while_answers_are_handed_out_may_join),
		cmocka_unit_test(test_an_answer_is_refreshed_before_it_ends),
		cmocka_unit_test(test_a_silent_server_means_stale_answers_after_a_while),
		cmocka_unit_test(test_a_server_that_is_gone_means_stale_answers_at_once),
		cmocka_unit_test(test_stale_answers_can_be_forbidden_or_shortened),
		cmocka_unit_test(test_that_a_name_is_gone_is_no_reason_for_stale_answers),
		cmocka_unit_test(test_failures_are_not_repeated_for_longer_and_longer),
		cmocka_unit_test(test_no_wait_is_endless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
