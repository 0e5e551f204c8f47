/* SPDX-License-Identifier: MIT */
/* A resolver and its name server, turned by hand; the clock is moved by hand too. Includes the resolver itself. */
#ifndef TESTS_UNIT_DNS_BENCH_H
#define TESTS_UNIT_DNS_BENCH_H

#include <time.h>

#include "tproxy/resolve.c"
#include "tests/unit/dns_server.h"

#define BENCH_ANSWERS 1024

struct bench {
	struct dns_server server;
	struct resolver *r;
	struct resolve_config config;
	int64_t now_ms;
	struct { uint64_t waiter; struct resolve_answer a; } answers[BENCH_ANSWERS];
	unsigned n;                                       /* answers that done() brought */
	void (*also)(struct bench *b, uint64_t waiter);   /* what done() does besides */
	uint64_t next_waiter;
};

static inline void bench_done(void *ctx, uint64_t waiter, const struct resolve_answer *a)
{
	struct bench *b = ctx;

	assert_in_range(b->n, 0, BENCH_ANSWERS - 1);
	b->answers[b->n].waiter = waiter;
	b->answers[b->n++].a = *a;
	if (b->also)
		b->also(b, waiter);
}

static inline void bench_resolver(struct bench *b)
{
	static struct addr loopback;

	assert_int_equal(addr_parse(&loopback, b->server.family == AF_INET ? "127.0.0.1" : "::1", b->server.family == AF_INET ? 9 : 3), 0);
	b->config.nameservers = &loopback;
	b->config.n_nameservers = 1;
	b->config.port = b->server.port;
	b->config.done = bench_done;
	b->config.ctx = b;
	b->r = resolver_open(&b->config, b->now_ms);
	assert_non_null(b->r);
}

static inline void bench_open(struct bench *b, const struct dns_zone *zone)
{
	memset(b, 0, sizeof(*b));
	dns_server_open(&b->server, AF_INET, 0, zone);
	b->now_ms = 1000000;
	b->config = (struct resolve_config){ .entries = 64, .waiters = 512, .negative_ttl_max = 600, .timeout_ms = 60000 };
	bench_resolver(b);
}

static inline void bench_close(struct bench *b)
{
	resolver_close(b->r);
	dns_server_close(&b->server);
	assert_int_equal(dns_heap_used(), 0);
}

/* Until nothing is left to do at this time of the clock. */
static inline void bench_turn(struct bench *b)
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

/* Waits for the real clock, which is the one that c-ares has, until n answers are there. */
static inline void bench_wait(struct bench *b, unsigned n)
{
	time_t end = time(NULL) + 30;

	while (b->n < n) {
		struct pollfd p[4] = { { .fd = resolver_fd(b->r), .events = POLLIN }, { .fd = b->server.udp, .events = POLLIN },
		                       { .fd = b->server.listener, .events = POLLIN }, { .fd = b->server.stream, .events = POLLIN } };
		poll(p, 4, resolver_timeout(b->r, b->now_ms));
		dns_serve(&b->server);
		resolver_run(b->r, b->now_ms);
		assert_true(time(NULL) < end);
	}
}

static inline int bench_ask(struct bench *b, const char *name, struct resolve_answer *a)
{
	memset(a, 0xee, sizeof(*a));
	return resolver_ask(b->r, name, strlen(name), ++b->next_waiter, b->now_ms, a);
}

/* Asks and waits for what the name server can say at once. */
static inline struct resolve_answer *bench_resolve(struct bench *b, const char *name)
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

/* "ok! 2001:db8::1 192.0.2.1"; '!' says stale. */
static inline const char *bench_text(const struct resolve_answer *a)
{
	static const char *const names[] = { "fail", "ok", "nxdomain", "nodata" };
	static char text[RESOLVE_ADDRS_MAX * ADDR_TEXT + 16];
	char addr[ADDR_TEXT];
	int len = snprintf(text, sizeof(text), "%s%s", names[a->status], a->stale ? "!" : "");

	for (int k = 0; k < a->n; k++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, " %s", addr_format(&a->addrs[k], addr));
	return text;
}

static inline unsigned bench_asked(const struct bench *b)
{
	return b->server.asked[0] + b->server.asked[1];
}

#endif
