/* SPDX-License-Identifier: MIT */
/*
 * What is known of host names: a table of fixed size, keyed by canonical name. An entry's name and
 * addresses lie in a chain of small blocks, so that an entry costs what it holds. Entries that
 * nobody holds make room for new ones, least recently used first, those without addresses before
 * those with. No I/O, no clock.
 */
#ifndef SLUICE_TPROXY_DNS_CACHE_H
#define SLUICE_TPROXY_DNS_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/name.h"
#include "tproxy/resolve.h"
#include "tproxy/slab.h"

#define DNS_NONE SLAB_NONE

struct dns_entry {
	/* The table's own. */
	uint32_t newer, older;   /* idle entries, by last use */
	uint32_t next;           /* in its bucket, plus 1 */
	uint32_t hash;
	uint32_t block;          /* the first of the chain */
	uint16_t len;            /* bytes in the chain: name, IPv6 addresses, IPv4 addresses */
	uint8_t name_len;
	uint8_t n6, n4;
	bool held;
	/* For whoever uses the table; zero in a new entry. */
	uint8_t status;          /* enum resolve_status */
	uint8_t failures;        /* attempts in a row that got no answer */
	uint8_t ready;           /* what its waiters get */
	uint32_t ready_next;
	uint32_t waiters;
	uint32_t lookup;
	uint32_t ttl_ms;
	int64_t expires_ms;
	int64_t retry_ms;        /* no query before */
};

struct dns_lru {
	uint32_t newest, oldest;
};

struct dns_cache {
	struct slab entries, blocks;
	uint32_t *buckets;       /* index of the first entry plus 1 */
	uint32_t mask;
	uint64_t key[2];
	struct dns_lru idle[2];  /* without addresses, with */
};

/* A table of n entries, n >= 1. key: secret, against names made to collide. 0, or -1 with errno. */
int dns_cache_init(struct dns_cache *c, uint32_t n, const uint64_t key[static 2]);
void dns_cache_fini(struct dns_cache *c);

static inline struct dns_entry *dns_cache_at(const struct dns_cache *c, uint32_t i)
{
	return slab_at(&c->entries, i);
}

/* The entry of a name, or DNS_NONE. */
uint32_t dns_cache_find(const struct dns_cache *c, const char *name, size_t len);
/* A new, held entry for a name that has none, 1 to 253 bytes; DNS_NONE when everything is held. */
uint32_t dns_cache_add(struct dns_cache *c, const char *name, size_t len);
/* Writes an entry's name and a NUL; returns its length. */
size_t dns_cache_name(const struct dns_cache *c, uint32_t i, char name[static NAME_SIZE]);

/* What is held stays; what is let go becomes the newest idle entry. Both may be called twice. */
void dns_cache_hold(struct dns_cache *c, uint32_t i);
void dns_cache_idle(struct dns_cache *c, uint32_t i);

/*
 * Replaces the addresses of a held entry; both counts up to RESOLVE_ADDRS_MAX. Of more than
 * RESOLVE_ADDRS_MAX in all, each family keeps its first ones. 0, or -1: no room, and the entry has
 * none.
 */
int dns_cache_store(struct dns_cache *c, uint32_t i, const uint8_t (*v6)[16], uint8_t n6,
                    const uint8_t (*v4)[4], uint8_t n4);
/* Fills a->n and a->addrs, families alternating, IPv6 first. */
void dns_cache_load(const struct dns_cache *c, uint32_t i, struct resolve_answer *a);

#endif
