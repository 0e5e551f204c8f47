/* SPDX-License-Identifier: MIT */
/* What memory the tables may take. */
#include "tproxy/limit.h"

#include <stdio.h>
#include <sysexits.h>

#include "autoconf.h"
#include "tproxy/dns_heap.h"
#include "tproxy/exchange.h"
#include "tproxy/secure.h"
#include "tproxy/worker_state.h"

#define DNS_ENTRY      256 /* resolve.h */
#define WORKER_FIXED   (64u * 1024) /* timer wheel, stack as far as it is used, bookkeeping */
#define PROCESS_FIXED  (768u * 1024) /* the program itself, the control thread, admin pages */
#define CONNECTION_LINE 1024 /* of the page that lists connections */

struct row {
	const char *what;
	uint64_t n, bytes; /* of each */
};

/* Each table's pages are rounded up. */
static uint64_t row_bytes(const struct row *r)
{
	return (r->n * r->bytes + 4095) & ~UINT64_C(4095);
}

static uint64_t print_rows(const struct row *rows, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t bytes = row_bytes(&rows[i]);
		sum += bytes;
		printf("%-24s %8llu x %8llu B = %9llu KiB\n", rows[i].what,
		       (unsigned long long)rows[i].n, (unsigned long long)rows[i].bytes,
		       (unsigned long long)bytes / 1024);
	}
	return sum;
}

int limit_print(const struct workers_config *c, const struct policy *p)
{
	const struct row worker[] = {
		{ "connections", c->max_conns, sizeof(struct conn) },
		{ "upstream connections", (uint64_t)c->max_conns + c->idle_max + SPARE_UPS,
		  sizeof(struct up) },
		{ "being reached", c->max_conns, sizeof(struct dial) },
		{ "endpoints' state", BALANCE_TARGETS, sizeof(struct target) },
		{ "names", c->max_conns, NAME_SIZE + 2 },
		{ "clients", c->max_conns, sizeof(struct client) },
		{ "HTTP exchanges", c->max_http, sizeof(struct exchange) },
		{ "TLS sessions", c->max_tls, SECURE_SESSION },
		{ "buffers", c->buffers, BUFFER_SIZE },
		{ "small buffers", c->max_http, SMALL_SIZE },
		{ "scratch", 2, SCRATCH_SIZE },
		{ "pipes", c->pipes, sizeof(struct pipe_pair) + sizeof(uint16_t) },
		{ "DNS cache", c->dns_entries, DNS_ENTRY },
		{ "DNS waiters", 2 * (uint64_t)c->max_conns,
		  RESOLVE_WAITER },
		{ "DNS queries", 1, DNS_HEAP_MAX },
		{ "DNS questions", STUB_QUERIES, sizeof(struct stub_query) },
		{ "access log", 1, CONFIG_LOG_RING * 1024u },
		{ "other", 1, WORKER_FIXED },
	};
	const struct row process[] = {
		{ "policies", GENERATIONS + 1, p->len },
		{ "endpoints", (GENERATIONS + 1) * (uint64_t)p->n[FORMAT_ENDPOINTS],
		  sizeof(uint64_t) + sizeof(uint8_t) },
		{ "health checks", 2, sizeof(struct health) },
		{ "list of connections", (uint64_t)c->max_conns * c->n, CONNECTION_LINE },
		{ "program", 1, PROCESS_FIXED },
	};

	uint64_t each = print_rows(worker, sizeof(worker) / sizeof(*worker));
	printf("%-24s %8s   %8s     %9llu KiB\n", "each worker", "", "",
	       (unsigned long long)each / 1024);
	uint64_t sum = print_rows(process, sizeof(process) / sizeof(*process));
	printf("%-24s %8u workers         %11llu KiB\n", "total", c->n,
	       (unsigned long long)(sum + each * c->n) / 1024);
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}
