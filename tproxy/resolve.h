/* SPDX-License-Identifier: MIT */
/*
 * Asynchronous name resolution with a cache, one resolver per worker; c-ares asks. Not thread-safe;
 * a resolver belongs to one thread. All tables are sized at init; a full table refuses the newest.
 * One look-up yields the set that is dialled.
 */
#ifndef SLUICE_TPROXY_RESOLVE_H
#define SLUICE_TPROXY_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/addr.h"

#define RESOLVE_ADDRS_MAX       16
#define RESOLVE_NAMESERVERS_MAX 8
#define RESOLVE_LOOKUPS_MAX     256        /* names that may be asked for at one time */
#define RESOLVE_RECORDS_MAX     64         /* other questions under way at one time */
#define RESOLVE_STALE_NEVER     UINT32_MAX
#define RESOLVE_WAITER          28         /* bytes for each that may wait */

struct ares_dns_record; /* of c-ares */

enum resolve_status {
	RESOLVE_FAIL = 0, /* no server answered, SERVFAIL, REFUSED, a malformed answer */
	RESOLVE_OK,       /* n >= 1 addresses */
	RESOLVE_NXDOMAIN,
	RESOLVE_NODATA,   /* the name exists and has neither A nor AAAA */
};

struct resolve_answer {
	enum resolve_status status;
	bool stale; /* out of date, served because no server answers (RFC 8767) */
	uint8_t n;
	uint32_t ttl; /* seconds that it is good for; 0: not to be used again, or out of date */
	/* In the order received, IPv6 and IPv4 interleaved, IPv6 first (RFC 8305 4). */
	struct addr addrs[RESOLVE_ADDRS_MAX];
};

struct resolve_config {
	const struct addr *nameservers;
	size_t n_nameservers;           /* 0: those of /etc/resolv.conf, read at init */
	uint16_t port;                  /* of the nameservers; 0: 53 */
	uint32_t entries;               /* cache entries, 256 B of address space each */
	uint32_t waiters;               /* look-ups that may wait at one time */
	uint32_t mark;                  /* SO_MARK of the sockets; 0: none */
	uint32_t negative_ttl_max;      /* seconds; answers without a SOA are kept 5 s */
	uint32_t stale_max;             /* seconds to serve an expired answer; 0: 3600; or _NEVER */
	uint32_t timeout_ms;            /* per try; 0: 2000; 2 tries */
	/* Called by resolver_run() only. May call resolver_ask() and resolver_cancel(). */
	void (*done)(void *ctx, uint64_t waiter, const struct resolve_answer *a);
	/*
	 * Called by resolver_run() and resolver_ask_record(); NULL: no answer. What it says is hostile;
	 * its rcode may be NXDOMAIN. Must call nothing of the resolver's. May be NULL.
	 */
	void (*record)(void *ctx, uint64_t waiter, const struct ares_dns_record *response);
	void *ctx;
};

struct resolver;

/*
 * NULL with errno; EDESTADDRREQ: /etc/resolv.conf names no server (127.0.0.1 is never assumed: an
 * application may be listening there). Opens /etc/resolv.conf (before any sandbox), and nothing
 * later. One thread at a time may open or close resolvers.
 */
struct resolver *resolver_open(const struct resolve_config *c, int64_t now_ms);
void resolver_close(struct resolver *r);

/* One descriptor to wait on for input (an epoll instance). */
int resolver_fd(const struct resolver *r);
/* Milliseconds until resolver_run() wants to be called, or -1. Changes with each resolver_ask(). */
int resolver_timeout(const struct resolver *r, int64_t now_ms);
/* Reads answers, expires queries, calls done. */
void resolver_run(struct resolver *r, int64_t now_ms);

/*
 * Asks for the addresses of a canonical name. 1: *a is filled now, from the cache; 0: done() will
 * be called once with waiter; -1: a table is full, errno ENOBUFS (or EINVAL: no name at all, or
 * longer than 253 bytes).
 * Duplicate questions share one query. Fresh entries are refreshed in the background once 90 % of
 * their TTL has passed and they are asked for. Names that no server answers for are not asked again
 * for 1 s, doubling up to 30 s.
 */
int resolver_ask(struct resolver *r, const char *name, size_t len, uint64_t waiter, int64_t now_ms,
                 struct resolve_answer *a);
/*
 * Asks for the records of another type; nothing is kept, and no two questions are shared. 0:
 * record() is or was called once; -1: as above.
 */
int resolver_ask_record(struct resolver *r, const char *name, size_t len, uint16_t type,
                        uint64_t waiter, int64_t now_ms);
/* Forgets a waiter of resolver_ask(). */
void resolver_cancel(struct resolver *r, uint64_t waiter);

struct resolver_stats {
	uint64_t asked, hits, negative_hits, stale_served;
	uint64_t queries;       /* not counting what is sent again */
	uint64_t timeouts, failures, refused_full;
	uint32_t entries, waiting;
};
void resolver_stats(const struct resolver *r, struct resolver_stats *s);

#endif
