/* SPDX-License-Identifier: MIT */
/* Who waits, for how long, and what they get when servers are slow, silent, gone or back again, or when there is no room. */
/* LINK: tproxy/resolve_lookup.c tproxy/dns_cache.c tproxy/dns_answer.c tproxy/dns_socket.c tproxy/slab.c rules/addr.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "tproxy/dns_heap.c"
#include "tests/unit/dns_bench.h"

#define A1 "a 60 192.0.2.1"
#define A2 "a 60 192.0.2.2"
#define AAAA1 "aaaa 60 2001:db8::1"

static struct dns_zone zone[] = { { "name.test", NULL, NULL }, { "*", NULL, NULL }, { NULL, NULL, NULL } };

static void start(struct bench *b, const char *a, const char *aaaa)
{
	zone[0].a = zone[1].a = a;
	zone[0].aaaa = zone[1].aaaa = aaaa;
	bench_open(b, zone);
}

/* Again with another configuration, set by the caller. */
static void restart(struct bench *b)
{
	resolver_close(b->r);
	bench_resolver(b);
}

static void expect(struct bench *b, unsigned n, const char *text)
{
	bench_turn(b);
	assert_int_equal(b->n, n);
	if (n > 0)
		assert_string_equal(bench_text(&b->answers[n - 1].a), text);
}

static void expect_now(struct bench *b, const char *text)
{
	struct resolve_answer a;

	assert_int_equal(bench_ask(b, "name.test", &a), 1);
	assert_string_equal(bench_text(&a), text);
}

static void expect_waiting(struct bench *b)
{
	struct resolve_answer a;

	assert_int_equal(bench_ask(b, "name.test", &a), 0);
}

static void release(struct bench *b, unsigned type, const char *text)
{
	for (unsigned k = 0; k < b->server.n_held; k++)
		if (b->server.held[k].type == type) {
			dns_release(&b->server, k, text);
			return;
		}
	fail_msg("nothing held of type %u", type);
}

/* Moves the clock to just before a moment, checks that nothing happens, and on to it. */
static void pass(struct bench *b, int64_t ms)
{
	unsigned n = b->n;

	b->now_ms += ms - 1;
	expect(b, n, n ? bench_text(&b->answers[n - 1].a) : NULL);
	b->now_ms += 1;
}

static unsigned open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_one_family_waits_50_ms_for_the_other(void **state)
{
	static const struct { const char *a, *aaaa, *first, *both; unsigned late; const char *late_text; } rows[] = {
		{ A1, "hold", "ok 192.0.2.1", "ok 2001:db8::1 192.0.2.1", 28, AAAA1 },
		{ "hold", AAAA1, "ok 2001:db8::1", "ok 2001:db8::1 192.0.2.1", 1, A1 },
		{ A1, "hold", "ok 192.0.2.1", "ok 192.0.2.1", 28, "rcode 2" },
		{ A1, "hold", "ok 192.0.2.1", "ok 192.0.2.1", 28, "rcode 3;soa 1 1" },
	};
	struct bench b;
	(void)state;

	for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
		start(&b, rows[k].a, rows[k].aaaa);
		expect_waiting(&b);
		expect(&b, 0, NULL);
		pass(&b, 50);
		expect(&b, 1, rows[k].first);
		expect_now(&b, rows[k].first);
		/* What comes late is for those who ask later, and nobody hears twice. */
		release(&b, rows[k].late, rows[k].late_text);
		zone[0].a = zone[0].aaaa = "hold";
		expect(&b, 1, rows[k].first);
		expect_now(&b, rows[k].both);
		assert_int_equal(b.r->stats.queries, 2);
		bench_close(&b);
	}
}

static void test_addresses_that_come_within_50_ms_come_together(void **state)
{
	struct bench b;
	(void)state;

	start(&b, A1, "hold");
	expect_waiting(&b);
	expect(&b, 0, NULL);
	b.now_ms += 49;
	release(&b, 28, AAAA1);
	expect(&b, 1, "ok 2001:db8::1 192.0.2.1");
	bench_close(&b);
}

static void test_that_there_are_none_must_be_said_for_both(void **state)
{
	struct bench b;
	(void)state;

	start(&b, "rcode 3", "hold");
	expect_waiting(&b);
	expect(&b, 0, NULL);
	b.now_ms += 5000;
	expect(&b, 0, NULL);
	release(&b, 28, AAAA1);
	expect(&b, 1, "ok 2001:db8::1");
	bench_close(&b);
}

static void test_a_family_that_hangs_does_not_lend_old_addresses(void **state)
{
	struct bench b;
	(void)state;

	start(&b, "a 1 192.0.2.1", "hold");
	expect_waiting(&b);
	expect(&b, 0, NULL);
	b.now_ms += 50;
	expect(&b, 1, "ok 192.0.2.1");
	expect_now(&b, "ok 192.0.2.1");
	b.now_ms += 1000;
	zone[0].a = A2;
	expect_waiting(&b);
	expect(&b, 1, "ok 192.0.2.1");
	b.now_ms += 50;
	expect(&b, 2, "ok 192.0.2.2");
	/* The first AAAA query is still out; what it brings now is nobody's. */
	release(&b, 28, AAAA1);
	expect(&b, 2, "ok 192.0.2.2");
	expect_now(&b, "ok 192.0.2.2");
	release(&b, 28, "aaaa 60 2001:db8::2");
	expect(&b, 2, "ok 192.0.2.2");
	expect_now(&b, "ok 2001:db8::2 192.0.2.2");
	assert_int_equal(b.r->lookups.used, 0);
	bench_close(&b);
}

static void test_TTL_0_serves_those_who_wait_and_nobody_else(void **state)
{
	struct bench b;
	(void)state;

	start(&b, "hold", "hold");
	for (int k = 0; k < 3; k++)
		expect_waiting(&b);
	expect(&b, 0, NULL);
	release(&b, 1, "a 0 192.0.2.1");
	release(&b, 28, NULL);
	expect(&b, 3, "ok 192.0.2.1");
	zone[0].a = A2;
	zone[0].aaaa = NULL;
	expect_waiting(&b);
	expect(&b, 4, "ok 192.0.2.2");
	bench_close(&b);
}

static void test_the_same_question_is_asked_once(void **state)
{
	enum { N = 100 };
	bool heard[N + 1] = { false };
	struct bench b;
	(void)state;

	start(&b, A1, AAAA1);
	for (int k = 0; k < N; k++)
		expect_waiting(&b);
	assert_int_equal(b.r->stats.waiting, N);
	expect(&b, N, "ok 2001:db8::1 192.0.2.1");
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

	start(&b, "hold", "hold");
	for (int k = 0; k < 4; k++)
		expect_waiting(&b);
	expect(&b, 0, NULL);
	resolver_cancel(b.r, 4);
	resolver_cancel(b.r, 1);
	resolver_cancel(b.r, 3);
	resolver_cancel(b.r, 3);
	resolver_cancel(b.r, 77);
	assert_int_equal(b.r->stats.waiting, 1);
	release(&b, 1, A1);
	release(&b, 28, NULL);
	expect(&b, 1, "ok 192.0.2.1");
	assert_int_equal(b.answers[0].waiter, 2);
	/* All of them, before the answer. */
	b.now_ms += 60000;
	expect_waiting(&b);
	bench_turn(&b);
	resolver_cancel(b.r, b.next_waiter);
	assert_int_equal(b.r->stats.waiting, 0);
	release(&b, 1, A2);
	release(&b, 28, NULL);
	expect(&b, 1, "ok 192.0.2.1");
	expect_now(&b, "ok 192.0.2.2");
	bench_close(&b);
}

static void cancel_and_ask(struct bench *b, uint64_t waiter)
{
	struct resolve_answer a;

	if (waiter == 3)
		resolver_cancel(b->r, 2);
	if (waiter <= 4)
		assert_int_equal(resolver_ask(b->r, "name.test", 9, 100 + waiter, b->now_ms, &a), 0);
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
	static const struct { uint64_t waiter; const char *text; } want[] = {
		{ 4, "ok 192.0.2.1" }, { 3, "ok 192.0.2.1" }, { 1, "ok 192.0.2.1" },
		{ 101, "ok 192.0.2.1" }, { 103, "ok 192.0.2.1" }, { 204, "ok 192.0.2.2" } };
	struct bench b;
	(void)state;

	start(&b, "a 0 192.0.2.1", NULL);
	zone[1].a = A2;
	b.also = cancel_and_ask;
	for (int k = 0; k < 4; k++)
		expect_waiting(&b);
	bench_turn(&b);
	assert_int_equal(b.n, sizeof(want) / sizeof(*want));
	for (unsigned k = 0; k < b.n; k++) {
		unsigned found = 0;
		for (unsigned i = 0; i < b.n; i++)
			if (b.answers[i].waiter == want[k].waiter && strcmp(bench_text(&b.answers[i].a), want[k].text) == 0)
				found++;
		assert_int_equal(found, 1);
	}
	bench_close(&b);
}

static void test_an_answer_is_refreshed_before_it_ends(void **state)
{
	struct bench b;
	(void)state;

	start(&b, A1, NULL);
	expect_waiting(&b);
	expect(&b, 1, "ok 192.0.2.1");
	zone[0].a = A2;
	b.now_ms += 53999;
	expect_now(&b, "ok 192.0.2.1");
	expect(&b, 1, "ok 192.0.2.1");
	assert_int_equal(bench_asked(&b), 2);
	b.now_ms += 1;
	expect_now(&b, "ok 192.0.2.1");
	expect_now(&b, "ok 192.0.2.1");
	expect(&b, 1, "ok 192.0.2.1");
	assert_int_equal(bench_asked(&b), 4);
	expect_now(&b, "ok 192.0.2.2");
	/* A refresh that fails takes nothing away before its time, and is not tried at once again. */
	zone[0].a = zone[0].aaaa = "rcode 2";
	b.now_ms += 59000;
	expect_now(&b, "ok 192.0.2.2");
	expect(&b, 1, "ok 192.0.2.1");
	assert_int_equal(bench_asked(&b), 8);
	expect_now(&b, "ok 192.0.2.2");
	expect(&b, 1, "ok 192.0.2.1");
	assert_int_equal(bench_asked(&b), 8);
	bench_close(&b);
}

static void test_a_silent_server_means_stale_answers_after_a_while(void **state)
{
	struct bench b;
	(void)state;

	start(&b, A1, NULL);
	b.config.timeout_ms = 40;
	restart(&b);
	expect_waiting(&b);
	expect(&b, 1, "ok 192.0.2.1");
	zone[0].a = zone[0].aaaa = "hold";
	b.now_ms += 60000;
	expect_waiting(&b);
	expect(&b, 1, "ok 192.0.2.1");
	pass(&b, 1800);
	expect(&b, 2, "ok! 192.0.2.1");
	/* Whoever asks while it is still being tried need not wait. */
	expect_now(&b, "ok! 192.0.2.1");
	assert_int_equal(b.r->lookups.used, 1);
	/* In its own time c-ares gives up. */
	time_t end = time(NULL) + 30;
	while (b.r->lookups.used > 0 && time(NULL) < end) {
		poll(NULL, 0, resolver_timeout(b.r, b.now_ms));
		bench_turn(&b);
	}
	assert_int_equal(b.r->lookups.used, 0);
	assert_true(b.r->stats.timeouts >= 2);
	expect_now(&b, "ok! 192.0.2.1");
	assert_int_equal(b.r->stats.failures, 1);
	/* Back again: the next try after the pause finds out. */
	zone[0].a = A2;
	zone[0].aaaa = NULL;
	b.now_ms += 1000;
	expect_waiting(&b);
	expect(&b, 3, "ok 192.0.2.2");
	expect_now(&b, "ok 192.0.2.2");
	bench_close(&b);
}

static void test_a_server_that_is_gone_means_stale_answers_at_once(void **state)
{
	struct bench b;
	(void)state;

	start(&b, A1, AAAA1);
	expect_waiting(&b);
	expect(&b, 1, "ok 2001:db8::1 192.0.2.1");
	uint16_t port = b.server.port;
	dns_server_close(&b.server);
	b.now_ms += 60000;
	expect_waiting(&b);
	expect(&b, 2, "ok! 2001:db8::1 192.0.2.1");
	expect_now(&b, "ok! 2001:db8::1 192.0.2.1");
	/* For as long as stale answers may be served, and no longer. */
	b.now_ms += 3600000 - 1;
	expect_waiting(&b);
	expect(&b, 3, "ok! 2001:db8::1 192.0.2.1");
	b.now_ms += 1;
	expect_now(&b, "fail");
	b.now_ms += 60000;
	expect_waiting(&b);
	expect(&b, 4, "fail");
	expect_now(&b, "fail");
	dns_server_open(&b.server, AF_INET, port, zone);
	b.now_ms += 60000;
	expect_waiting(&b);
	expect(&b, 5, "ok 2001:db8::1 192.0.2.1");
	assert_int_equal(b.r->stats.stale_served, 3);
	bench_close(&b);
}

static void test_stale_answers_can_be_forbidden_or_shortened(void **state)
{
	static const struct { uint32_t stale_max; int64_t after_ms; const char *want; } rows[] = {
		{ RESOLVE_STALE_NEVER, 0, "fail" }, { 10, 9999, "ok! 192.0.2.1" }, { 10, 10000, "fail" }, { 0, 3599999, "ok! 192.0.2.1" },
		{ 0, 3600000, "fail" },
	};
	struct bench b;
	(void)state;

	for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
		start(&b, A1, NULL);
		b.config.stale_max = rows[k].stale_max;
		restart(&b);
		expect_waiting(&b);
		expect(&b, 1, "ok 192.0.2.1");
		zone[0].a = zone[0].aaaa = "rcode 2";
		b.now_ms += 60000 + rows[k].after_ms;
		expect_waiting(&b);
		expect(&b, 2, rows[k].want);
		expect_now(&b, rows[k].want);
		bench_close(&b);
	}
}

static void test_that_a_name_is_gone_is_no_reason_for_stale_answers(void **state)
{
	struct bench b;
	(void)state;

	start(&b, A1, NULL);
	expect_waiting(&b);
	expect(&b, 1, "ok 192.0.2.1");
	zone[0].a = zone[0].aaaa = "rcode 3;soa 10 10";
	b.now_ms += 60000;
	expect_waiting(&b);
	expect(&b, 2, "nxdomain");
	expect_now(&b, "nxdomain");
	zone[0].a = zone[0].aaaa = "rcode 2";
	b.now_ms += 10000;
	expect_waiting(&b);
	expect(&b, 3, "fail");
	bench_close(&b);
}

static void test_failures_are_not_repeated_for_longer_and_longer(void **state)
{
	static const int64_t pauses[] = { 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
	struct bench b;
	(void)state;

	start(&b, "rcode 2", "rcode 2");
	expect_waiting(&b);
	expect(&b, 1, "fail");
	for (unsigned k = 0; k < sizeof(pauses) / sizeof(*pauses); k++) {
		assert_int_equal(bench_asked(&b), 4 * (k + 1));
		b.now_ms += pauses[k] - 1;
		expect_now(&b, "fail");
		assert_int_equal(bench_asked(&b), 4 * (k + 1));
		b.now_ms += 1;
		expect_waiting(&b);
		expect(&b, k + 2, "fail");
	}
	/* An answer ends it. */
	zone[0].a = "a 1 192.0.2.1";
	b.now_ms += 30000;
	expect_waiting(&b);
	expect(&b, 9, "ok 192.0.2.1");
	zone[0].a = "rcode 2";
	b.now_ms += 4000000;
	expect_waiting(&b);
	expect(&b, 10, "fail");
	b.now_ms += 1000;
	expect_waiting(&b);
	expect(&b, 11, "fail");
	bench_close(&b);
}

static void test_no_answer_at_all_is_a_failure(void **state)
{
	static const char *const silent[][2] = { { "loss", "loss" }, { "tc;hold", "loss" } };
	struct bench b;
	(void)state;

	for (size_t k = 0; k < 2; k++) {
		start(&b, silent[k][0], silent[k][1]);
		b.config.timeout_ms = 40;
		restart(&b);
		expect_waiting(&b);
		bench_wait(&b, 1);
		assert_string_equal(bench_text(&b.answers[0].a), "fail");
		assert_int_equal(b.r->stats.timeouts, 4);
		assert_int_equal(b.r->stats.failures, 1);
		assert_int_equal(b.server.asked[0] + b.server.asked[1], 4);
		bench_close(&b);
	}
}

static void test_full_tables_refuse_the_newest(void **state)
{
	struct resolve_answer a;
	struct bench b;
	char name[32];
	(void)state;

	start(&b, "hold", "hold");
	b.config.entries = 2;
	b.config.waiters = 3;
	restart(&b);
	assert_int_equal(bench_ask(&b, "a.test", &a), 0);
	assert_int_equal(bench_ask(&b, "b.test", &a), 0);
	assert_int_equal(bench_ask(&b, "c.test", &a), -1);
	assert_int_equal(errno, ENOBUFS);
	assert_int_equal(bench_ask(&b, "a.test", &a), 0);
	assert_int_equal(bench_ask(&b, "b.test", &a), -1);
	assert_int_equal(b.r->stats.refused_full, 2);
	assert_int_equal(b.r->stats.waiting, 3);
	/* A waiter less is room for one, but both names are still being asked for. */
	resolver_cancel(b.r, 2);
	assert_int_equal(bench_ask(&b, "c.test", &a), -1);
	assert_int_equal(bench_ask(&b, "b.test", &a), 0);
	bench_turn(&b);
	while (b.server.n_held)
		dns_release(&b.server, 0, b.server.held[0].type == 1 ? A1 : NULL);
	expect(&b, 3, "ok 192.0.2.1");
	zone[1].a = A2;
	zone[1].aaaa = NULL;
	assert_string_equal(bench_text(bench_resolve(&b, "c.test")), "ok 192.0.2.2");
	bench_close(&b);

	start(&b, "hold", "hold");
	b.config.entries = RESOLVE_LOOKUPS_MAX + 2;
	restart(&b);
	for (int k = 0; k <= RESOLVE_LOOKUPS_MAX; k++) {
		snprintf(name, sizeof(name), "n%d.test", k);
		assert_int_equal(bench_ask(&b, name, &a), k < RESOLVE_LOOKUPS_MAX ? 0 : -1);
		bench_turn(&b);
	}
	assert_int_equal(b.server.n_held, 2 * RESOLVE_LOOKUPS_MAX);
	while (b.server.n_held)
		dns_release(&b.server, b.server.n_held - 1, b.server.held[b.server.n_held - 1].type == 1 ? A1 : NULL);
	expect(&b, RESOLVE_LOOKUPS_MAX, "ok 192.0.2.1");
	bench_close(&b);
}

static void test_without_room_a_stale_answer_is_better_than_none(void **state)
{
	struct resolve_answer a;
	struct bench b;
	(void)state;

	start(&b, A1, NULL);
	b.config.waiters = 1;
	restart(&b);
	expect_waiting(&b);
	expect(&b, 1, "ok 192.0.2.1");
	b.now_ms += 60000;
	zone[0].a = zone[1].a = "hold";
	assert_int_equal(bench_ask(&b, "other.test", &a), 0);
	expect_now(&b, "ok! 192.0.2.1");
	bench_close(&b);
}

static void test_nothing_stays_open_once_all_is_answered(void **state)
{
	struct resolve_answer a;
	struct bench b;
	char name[32];
	(void)state;

	start(&b, "hold", "tc;hold");
	unsigned files = open_files();
	for (int round = 0; round < 3; round++) {
		for (int k = 0; k < 50; k++) {
			snprintf(name, sizeof(name), "n%d-%d.test", k, round);
			assert_int_equal(bench_ask(&b, name, &a), 0);
		}
		bench_turn(&b);
		assert_true(open_files() >= files + 50);
		while (b.server.n_held)
			dns_release(&b.server, 0, b.server.held[0].type == 1 ? A1 : AAAA1);
		expect(&b, 50 * (unsigned)(round + 1), "ok 2001:db8::1 192.0.2.1");
		if (b.server.stream >= 0)
			close(b.server.stream);
		b.server.stream = -1;
		assert_int_equal(open_files(), files);
		assert_int_equal(resolver_timeout(b.r, b.now_ms), -1);
	}
	struct resolver_stats s;
	resolver_stats(b.r, &s);
	assert_int_equal(s.entries, 64);
	assert_int_equal(s.waiting, 0);
	assert_int_equal(s.asked, 150);
	assert_int_equal(s.queries, 300);
	bench_close(&b);
}

/* Each limit on c-ares's memory lets it come a little further; whoever waits hears in every case, and then all is well again. */
static void test_memory_that_is_refused_costs_an_answer_and_no_more(void **state)
{
	unsigned failed = 0, worked = 0;
	struct bench b;
	(void)state;

	start(&b, "tc;" A1, AAAA1);
	for (size_t room = 0; room < 24000; room += 24) {
		unsigned n = b.n = 0;
		struct resolve_answer a;
		atomic_store(&limit, dns_heap_used() + room);
		b.now_ms += 4000000;
		int got = bench_ask(&b, "name.test", &a);
		assert_int_equal(got, 0);
		bench_turn(&b);
		if (b.n == n) {
			/* Lost by c-ares: the last resort. */
			b.now_ms += 36000;
			atomic_store(&limit, DNS_HEAP_MAX);
			bench_turn(&b);
		}
		assert_int_equal(b.n, n + 1);
		failed += b.answers[n].a.status == RESOLVE_FAIL;
		worked += b.answers[n].a.status == RESOLVE_OK;
		assert_int_equal(b.r->lookups.used, 0);
		assert_int_equal(b.r->stats.waiting, 0);
		atomic_store(&limit, DNS_HEAP_MAX);
		b.now_ms += 60000;
		bench_turn(&b);
		assert_string_equal(bench_text(bench_resolve(&b, "name.test")), "ok 2001:db8::1 192.0.2.1");
	}
	assert_true(failed > 10 && worked > 10);
	bench_close(&b);
}

static int in_child(int (*run)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int ask_with_mark(void)
{
	struct bench b;

	/* Without privilege no mark can be set, and what cannot be marked is not sent. */
	if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
		return 2;
	start(&b, A1, NULL);
	b.config.mark = 0x51;
	restart(&b);
	expect_waiting(&b);
	expect(&b, 1, "fail");
	return bench_asked(&b) == 0 ? 0 : 1;
}

static void test_what_cannot_be_marked_is_not_sent(void **state)
{
	struct bench b;
	uint32_t mark = 0;
	socklen_t len = sizeof(mark);
	(void)state;

	assert_int_equal(in_child(ask_with_mark), 0);
	if (geteuid() != 0) {
		print_message("# the mark itself is seen only as root\n");
		return;
	}
	start(&b, "hold", "hold");
	b.config.mark = 0x51;
	restart(&b);
	expect_waiting(&b);
	unsigned marked = 0;
	for (int fd = 0; fd < 64; fd++)
		marked += getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &len) == 0 && mark == 0x51;
	assert_int_equal(marked, 1);
	bench_close(&b);
}

/* Stands in for /etc/resolv.conf in a mount namespace of its own. */
static int with_resolv_conf(const char *text)
{
	char path[] = "/tmp/resolv.conf.XXXXXX";
	int fd = mkstemp(path);
	int user = geteuid() == 0 ? 0 : CLONE_NEWUSER;

	if (fd < 0 || write(fd, text, strlen(text)) < 0 || unshare(CLONE_NEWNS | user) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) < 0) {
		perror("# resolv.conf");
		return -1;
	}
	unlink(path);
	return 0;
}

static int without_servers(void)
{
	struct bench b;

	start(&b, A1, NULL);
	b.config.n_nameservers = 0;
	if (with_resolv_conf("search example.org\noptions ndots:5 timeout:1\n") < 0)
		return 2;
	return resolver_open(&b.config, 0) == NULL && errno == EDESTADDRREQ ? 0 : 1;
}

static int with_servers(void)
{
	struct bench b;

	start(&b, A1, NULL);
	resolver_close(b.r);
	b.config.n_nameservers = 0;
	if (with_resolv_conf("# comment\nsearch example.org test\nnameserver 127.0.0.1\noptions ndots:15 timeout:1 rotate\n") < 0)
		return 2;
	b.r = resolver_open(&b.config, b.now_ms);
	if (!b.r)
		return 3;
	if (strcmp(bench_text(bench_resolve(&b, "name.test")), "ok 192.0.2.1") != 0)
		return 4;
	zone[1].a = zone[1].aaaa = "rcode 3";
	/* No search list: neither name.example.org nor name.test. */
	if (strcmp(bench_text(bench_resolve(&b, "name")), "nxdomain") != 0)
		return 5;
	return bench_asked(&b) == 4 ? 0 : 6;
}

static void test_servers_come_from_resolv_conf_or_there_are_none(void **state)
{
	(void)state;

	assert_int_equal(in_child(without_servers), 0);
	assert_int_equal(in_child(with_servers), 0);
}

static void test_configurations_that_cannot_be_are_refused(void **state)
{
	struct addr many[RESOLVE_NAMESERVERS_MAX + 1] = { 0 };
	struct bench b;
	(void)state;

	start(&b, A1, NULL);
	static const size_t fields[] = { offsetof(struct resolve_config, entries), offsetof(struct resolve_config, waiters) };
	for (size_t k = 0; k < 2; k++)
		for (uint32_t v = 0; v != 1; v = v ? 1 : UINT32_MAX) {
			struct resolve_config c = b.config;
			memcpy((char *)&c + fields[k], &v, sizeof(v));
			if (v == 0 || k == 1)
				assert_null(resolver_open(&c, 0));
		}
	struct resolve_config c = b.config;
	c.nameservers = many;
	c.n_nameservers = RESOLVE_NAMESERVERS_MAX + 1;
	assert_null(resolver_open(&c, 0));
	c = b.config;
	c.done = NULL;
	assert_null(resolver_open(&c, 0));
	bench_close(&b);
	resolver_close(NULL);
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
		cmocka_unit_test(test_an_answer_is_refreshed_before_it_ends),
		cmocka_unit_test(test_a_silent_server_means_stale_answers_after_a_while),
		cmocka_unit_test(test_a_server_that_is_gone_means_stale_answers_at_once),
		cmocka_unit_test(test_stale_answers_can_be_forbidden_or_shortened),
		cmocka_unit_test(test_that_a_name_is_gone_is_no_reason_for_stale_answers),
		cmocka_unit_test(test_failures_are_not_repeated_for_longer_and_longer),
		cmocka_unit_test(test_no_answer_at_all_is_a_failure),
		cmocka_unit_test(test_full_tables_refuse_the_newest),
		cmocka_unit_test(test_without_room_a_stale_answer_is_better_than_none),
		cmocka_unit_test(test_nothing_stays_open_once_all_is_answered),
		cmocka_unit_test(test_memory_that_is_refused_costs_an_answer_and_no_more),
		cmocka_unit_test(test_what_cannot_be_marked_is_not_sent),
		cmocka_unit_test(test_servers_come_from_resolv_conf_or_there_are_none),
		cmocka_unit_test(test_configurations_that_cannot_be_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
