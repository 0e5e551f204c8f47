/* SPDX-License-Identifier: MIT */
/*
 * What a resolver is made of; for resolve.c, resolve_lookup.c and resolve_record.c only.
 *
 * An entry of the cache says what is known of a name. A lookup asks for its A and AAAA records and
 * belongs to one entry, which has one lookup at most; it lives until c-ares has reported both. A
 * waiter belongs to one entry. An entry is held (not evicted) while it has a lookup, waiters, or is
 * ready: waiters are due an answer, which only resolver_run() gives.
 */
#ifndef SLUICE_TPROXY_RESOLVE_STATE_H
#define SLUICE_TPROXY_RESOLVE_STATE_H

#include <ares.h>

#include "tproxy/dns_answer.h"
#include "tproxy/dns_cache.h"
#include "tproxy/dns_socket.h"

#define RESOLVE_TRIES       2
#define RESOLVE_SETTLE_MS   50    /* one family's addresses wait for the other's (RFC 8305 3) */
#define RESOLVE_STALE_MS    1800  /* until waiters get a stale answer (RFC 8767 5) */
#define RESOLVE_RETRY_MS    1000  /* after a failure, doubling */
#define RESOLVE_RETRY_MAX   30000
#define RESOLVE_NEVER       INT64_MAX

enum ready {
	READY_NO = 0,
	READY_ANSWER, /* waiters get what the entry says */
	READY_LATE,   /* waiters get the entry's stale addresses, or a failure */
};

struct query {
	struct resolver *resolver;
	struct lookup *lookup;
	bool v6;
};

struct lookup {
	uint32_t entry;          /* DNS_NONE: abandoned */
	uint8_t out;             /* queries that c-ares has; 0: the slot is free */
	bool published;          /* one family's addresses are in the entry already */
	int64_t started_ms;
	int64_t settle_ms, stale_ms, end_ms;
	struct query query[2];   /* A, AAAA */
	int64_t got_ms[2];
	struct dns_result result[2];
};

/* A question of resolver_ask_record(), from asking until c-ares reports. */
struct record_query {
	uint32_t link;           /* of the slab */
	struct resolver *resolver;
	uint64_t waiter;
};

struct waiter {
	uint32_t next, prev;     /* of the same entry */
	uint32_t bucket_next;    /* plus 1 */
	uint32_t entry;          /* DNS_NONE: an answer is being handed out */
	uint64_t id;
};
_Static_assert(sizeof(struct waiter) + sizeof(uint32_t) == RESOLVE_WAITER, "resolve.h");

struct resolver {
	void (*done)(void *ctx, uint64_t waiter, const struct resolve_answer *a);
	void (*record)(void *ctx, uint64_t waiter, const struct ares_dns_record *response);
	void *ctx;
	uint32_t negative_ttl_max;
	int64_t stale_max_ms;
	ares_channel_t *channel;
	struct dns_sockets sockets;
	int epoll;
	unsigned refusals;       /* of memory to c-ares, as of the last turn */
	bool sick;               /* c-ares must not be used before its queries are cancelled */
	int64_t now_ms;          /* as of the caller's last call */
	int64_t due_ms;          /* no lookup has a deadline before */
	struct dns_cache cache;
	struct slab lookups, waiters, records;
	uint32_t *buckets;       /* of waiters by id: index plus 1 */
	uint32_t mask;
	uint32_t ready;          /* entries, linked by ready_next */
	uint32_t delivered;      /* waiters whose answer is being handed out */
	struct resolver_stats stats;
};

static inline struct lookup *lookup_at(const struct resolver *r, uint32_t i)
{
	return slab_at(&r->lookups, i);
}

/* Whether an entry has addresses to believe now, or at least some to fall back on. */
bool entry_fresh(const struct resolver *r, const struct dns_entry *e);
bool entry_usable(const struct resolver *r, const struct dns_entry *e);
/* Its waiters, if any, are due an answer. */
void entry_ready(struct resolver *r, uint32_t i, enum ready how);
/* Lets an entry be evicted if nothing needs it any more. */
void entry_release(struct resolver *r, uint32_t i);

/* Asks for a held entry that has no lookup; c-ares may report at once. False: no room. */
bool lookup_start(struct resolver *r, uint32_t entry);
/* The lookup goes on, but nobody minds what it finds. */
void lookup_abandon(struct resolver *r, uint32_t entry);
/* Does what is due and sets due_ms. */
void lookups_expire(struct resolver *r);

#endif
