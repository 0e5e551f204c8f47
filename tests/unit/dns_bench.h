/* SPDX-License-Identifier: MIT */
/* A resolver and its name server, turned by hand; the clock is moved by hand too. */
#ifndef TESTS_UNIT_DNS_BENCH_H
#define TESTS_UNIT_DNS_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/dns_server.h"
#include "tproxy/dns_heap.h"
#include "tproxy/resolve_state.h"

#define A1    "a 60 192.0.2.1"
#define A2    "a 60 192.0.2.2"
#define AAAA1 "aaaa 60 2001:db8::1"

#define BENCH_ANSWERS 1024

struct bench {
	struct dns_server server;
	struct dns_zone zone[3]; /* name.test, and all others */
	struct resolver *r;
	struct resolve_config config;
	int64_t now_ms;
	struct {
		uint64_t waiter;
		struct resolve_answer a;
	} answers[BENCH_ANSWERS];
	unsigned n;                                     /* answers that done() brought */
	void (*also)(struct bench *b, uint64_t waiter); /* what done() does besides */
	uint64_t next_waiter;
};

void bench_resolver(struct bench *b);
void bench_open(struct bench *b, const struct dns_zone *zone);
void bench_close(struct bench *b);
/* Until nothing is left to do at this time of the clock. */
void bench_turn(struct bench *b);
/* Waits for the real clock, which is the one that c-ares has, until n answers are there. */
void bench_wait(struct bench *b, unsigned n);
int bench_ask(struct bench *b, const char *name, struct resolve_answer *a);
/* Asks and waits for what the name server can say at once. */
struct resolve_answer *bench_resolve(struct bench *b, const char *name);
/* "ok! 2001:db8::1 192.0.2.1"; '!' says stale. */
const char *bench_text(const struct resolve_answer *a);
unsigned bench_asked(const struct bench *b);
void bench_start(struct bench *b, const char *a, const char *aaaa);
/* Again with another configuration, set by the caller. */
void bench_restart(struct bench *b);
void bench_expect(struct bench *b, unsigned n, const char *text);
void bench_expect_now(struct bench *b, const char *text);
void bench_expect_waiting(struct bench *b);
void bench_release(struct bench *b, unsigned type, const char *text);
/* Moves the clock to just before a moment, checks that nothing happens, and on to it. */
void bench_pass(struct bench *b, int64_t ms);

#endif
