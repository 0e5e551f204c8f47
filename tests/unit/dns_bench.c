/* SPDX-License-Identifier: MIT */
/* A resolver and its name server, turned by hand. */
#include "tests/unit/dns_bench.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void bench_done(void *ctx, uint64_t waiter, const struct resolve_answer *a)
{
	struct bench *b = ctx;

	assert_in_range(b->n, 0, BENCH_ANSWERS - 1);
	b->answers[b->n].waiter = waiter;
	b->answers[b->n++].a = *a;
	if (b->also)
		b->also(b, waiter);
}

void bench_resolver(struct bench *b)
{
	static struct addr loopback;

	assert_int_equal(addr_parse(&loopback, b->server.family == AF_INET ? "127.0.0.1" : "::1",
	                            b->server.family == AF_INET ? 9 : 3),
	                 0);
	b->config.nameservers = &loopback;
	b->config.n_nameservers = 1;
	b->config.port = b->server.port;
	b->config.done = bench_done;
	b->config.ctx = b;
	b->r = resolver_open(&b->config, b->now_ms);
	assert_non_null(b->r);
}

void bench_open(struct bench *b, const struct dns_zone *zone)
{
	memset(b, 0, sizeof(*b));
	dns_server_open(&b->server, AF_INET, 0, zone);
	b->now_ms = 1000000;
	b->config = (struct resolve_config){
		.entries = 64, .waiters = 512, .negative_ttl_max = 600, .timeout_ms = 60000
	};
	bench_resolver(b);
}

void bench_close(struct bench *b)
{
	resolver_close(b->r);
	dns_server_close(&b->server);
	assert_int_equal(dns_heap_used(), 0);
}

void bench_turn(struct bench *b)
{
	struct pollfd p = { .fd = resolver_fd(b->r), .events = POLLIN };

	for (bool some = true; some;) {
		some = dns_serve(&b->server);
		while (poll(&p, 1, 0) > 0 || resolver_timeout(b->r, b->now_ms) == 0) {
			resolver_run(b->r, b->now_ms);
			some = true;
		}
	}
}

void bench_wait(struct bench *b, unsigned n)
{
	time_t end = time(NULL) + 30;

	while (b->n < n) {
		struct pollfd p[4] = { { .fd = resolver_fd(b->r), .events = POLLIN },
			               { .fd = b->server.udp, .events = POLLIN },
			               { .fd = b->server.listener, .events = POLLIN },
			               { .fd = b->server.stream, .events = POLLIN } };
		poll(p, 4, resolver_timeout(b->r, b->now_ms));
		dns_serve(&b->server);
		resolver_run(b->r, b->now_ms);
		assert_true(time(NULL) < end);
	}
}

int bench_ask(struct bench *b, const char *name, struct resolve_answer *a)
{
	memset(a, 0xee, sizeof(*a));
	return resolver_ask(b->r, name, strlen(name), ++b->next_waiter, b->now_ms, a);
}

struct resolve_answer *bench_resolve(struct bench *b, const char *name)
{
	static struct resolve_answer a;
	unsigned before = b->n;
	int got = bench_ask(b, name, &a);

	assert_in_range(got, 0, 1);
	if (got == 1)
		return &a;
	bench_turn(b);
	assert_int_equal(b->n, before + 1);
	assert_int_equal(b->answers[before].waiter, b->next_waiter);
	return &b->answers[before].a;
}

const char *bench_text(const struct resolve_answer *a)
{
	static const char *const names[] = { "fail", "ok", "nxdomain", "nodata" };
	static char text[RESOLVE_ADDRS_MAX * ADDR_TEXT + 16];
	char addr[ADDR_TEXT];
	int len = snprintf(text, sizeof(text), "%s%s", names[a->status], a->stale ? "!" : "");

	for (int k = 0; k < a->n; k++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, " %s",
		                addr_format(&a->addrs[k], addr));
	return text;
}

unsigned bench_asked(const struct bench *b)
{
	return b->server.asked[0] + b->server.asked[1];
}

void bench_start(struct bench *b, const char *a, const char *aaaa)
{
	bench_open(b, b->zone);
	b->zone[0] = (struct dns_zone){ "name.test", a, aaaa };
	b->zone[1] = (struct dns_zone){ "*", a, aaaa };
}

void bench_restart(struct bench *b)
{
	resolver_close(b->r);
	bench_resolver(b);
}

void bench_expect(struct bench *b, unsigned n, const char *text)
{
	bench_turn(b);
	assert_int_equal(b->n, n);
	if (n > 0)
		assert_string_equal(bench_text(&b->answers[n - 1].a), text);
}

void bench_expect_now(struct bench *b, const char *text)
{
	struct resolve_answer a;

	assert_int_equal(bench_ask(b, "name.test", &a), 1);
	assert_string_equal(bench_text(&a), text);
}

void bench_expect_waiting(struct bench *b)
{
	struct resolve_answer a;

	assert_int_equal(bench_ask(b, "name.test", &a), 0);
}

void bench_release(struct bench *b, unsigned type, const char *text)
{
	for (unsigned k = 0; k < b->server.n_held; k++)
		if (b->server.held[k].type == type) {
			dns_release(&b->server, k, text);
			return;
		}
	fail_msg("nothing held of type %u", type);
}

void bench_pass(struct bench *b, int64_t ms)
{
	unsigned n = b->n;

	b->now_ms += ms - 1;
	bench_expect(b, n, n ? bench_text(&b->answers[n - 1].a) : NULL);
	b->now_ms += 1;
}
