/* SPDX-License-Identifier: MIT */
/*
 * How a policy's cost grows with its hosts: time to emit, size, time to open, time of a look-up.
 * cc -O2 -std=c11 -D_GNU_SOURCE -I. tests/bench/policy_scale.c
 * rules/{addr,addr_class,address_table,crc32c,emit,host_table,model,name,policy,pool,
 * port_table,verify,verify_record,verify_table}.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "rules/crc32c.h"
#include "rules/model.h"
#include "rules/name.h"

#define ROUNDS 9

/* Processor time: what else runs on the machine counts little. */
static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double least(double a, double b)
{
	return a == 0 || b < a ? b : a;
}

/* 22 bytes, as the host lists of the field have on average. */
static size_t host_name(char *out, size_t size, size_t i)
{
	return (size_t)snprintf(out, size, "h%07zu.site%03zu.local", i, i % 1000);
}

static void fill(struct model *m, size_t n)
{
	struct model_service *s;
	struct model_port *port;
	char name[NAME_SIZE];

	model_init(m);
	s = model_push(&m->services);
	s->name = "bench";
	s->resolution = POLICY_DNS;
	model_push(&s->export_to)->s = "*";
	port = model_push(&s->ports);
	*port = (struct model_port){.number = 443, .target = 443, .protocol = POLICY_PROTO_HTTPS};
	for (size_t i = 0; i < n; i++) {
		struct model_host *h = model_push(&s->hosts);

		h->len = (uint8_t)host_name(name, sizeof(name), i);
		h->key = model_text(name, h->len);
	}
}

static double time_open(const char *path)
{
	double best = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct policy_error e;
		struct policy p;
		double start = now();

		if (policy_open(&p, path, &e) != 0) {
			fprintf(stderr, "%s: %s\n", path, e.text);
			exit(1);
		}
		best = least(best, now() - start);
		policy_close(&p);
	}
	return best;
}

static double time_verify(const uint8_t *bytes, size_t len, struct policy *p)
{
	double best = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct policy_error e;
		double start = now();

		if (policy_open_bytes(p, bytes, len, &e) != 0)
			exit(1);
		best = least(best, now() - start);
	}
	return best;
}

static double time_crc(const uint8_t *bytes, size_t len)
{
	volatile uint32_t sink = 0;
	double best = 0;

	for (int i = 0; i < ROUNDS; i++) {
		double start = now();

		sink += crc32c(0, bytes, len);
		best = least(best, now() - start);
	}
	return best;
}

/* Nanoseconds for a listed name, or for one that no key matches. */
static double time_lookup(const struct policy *p, size_t n, bool listed)
{
	enum { LOOKUPS = 1000000, NAMES = 4096 };
	static char names[NAMES][NAME_SIZE];
	static size_t lens[NAMES];
	double best = 0;
	size_t found = 0;

	for (size_t i = 0; i < NAMES; i++)
		lens[i] = host_name(names[i], NAME_SIZE, listed ? i * 2654435761u % n : n + i);
	for (int round = 0; round < ROUNDS; round++) {
		double start = now();

		for (size_t i = 0; i < LOOKUPS; i++) {
			uint32_t at = 0;

			found +=
				policy_find_host(p, names[i % NAMES], lens[i % NAMES], &at, NULL).n;
		}
		best = least(best, now() - start);
	}
	if (found != (listed ? (size_t)LOOKUPS * ROUNDS : 0))
		exit(1);
	return best * 1e6 / LOOKUPS;
}

static void measure(size_t n)
{
	char path[] = "/tmp/policy-scale-XXXXXX";
	struct model m;
	struct policy_error e;
	struct policy p;
	double start, emit, open, verify;
	uint8_t *bytes;
	size_t len;
	int fd;

	fill(&m, n);
	start = now();
	bytes = model_emit(&m, &len, &e);
	emit = now() - start;
	if (bytes == NULL) {
		fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	fd = mkstemp(path);
	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		exit(1);
	close(fd);
	open = time_open(path);
	unlink(path);
	verify = time_verify(bytes, len, &p);
	printf("%8zu %9.1f %10zu %8.2f %8.2f %8.2f %8.1f %8.1f %7u\n", n, emit, len, open, verify,
	       time_crc(bytes, len), time_lookup(&p, n, true), time_lookup(&p, n, false), p.probes);
	free(bytes);
}

int main(void)
{
	printf("%8s %9s %10s %8s %8s %8s %8s %8s %7s\n", "hosts", "emit ms", "bytes", "open ms",
	       "verify", "of it crc", "hit ns", "miss ns", "probes");
	for (size_t n = 10; n <= 1000000; n = n == 10 ? 1000 : n == 1000 ? 100000 : n * 10)
		measure(n);
	return 0;
}
