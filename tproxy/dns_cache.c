/* SPDX-License-Identifier: MIT */
/* What is known of host names. */
#include "tproxy/dns_cache.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK_BYTES 60

struct block {
	uint32_t next;
	uint8_t bytes[BLOCK_BYTES];
};

/* A name with a few addresses fits into one or two blocks. */
#define BLOCKS_PER_ENTRY 3
#define BLOCKS_MIN       16

static size_t buckets_size(const struct dns_cache *c)
{
	return ((size_t)c->mask + 1) * sizeof(*c->buckets);
}

int dns_cache_init(struct dns_cache *c, uint32_t n, const uint64_t key[static 2])
{
	memset(c, 0, sizeof(*c));
	if (n == 0 || n > UINT32_MAX / 2 / BLOCKS_PER_ENTRY) {
		errno = EINVAL;
		return -1;
	}
	while (c->mask < n - 1)
		c->mask = c->mask << 1 | 1;
	memcpy(c->key, key, sizeof(c->key));
	for (int k = 0; k < 2; k++)
		c->idle[k] = (struct dns_lru){ DNS_NONE, DNS_NONE };
	void *m = mmap(NULL, buckets_size(c), PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED)
		return -1;
	c->buckets = m;
	if (slab_init(&c->entries, sizeof(struct dns_entry), n) == 0 &&
	    slab_init(&c->blocks, sizeof(struct block), n * BLOCKS_PER_ENTRY + BLOCKS_MIN) == 0)
		return 0;
	int e = errno;
	dns_cache_fini(c);
	errno = e;
	return -1;
}

void dns_cache_fini(struct dns_cache *c)
{
	if (c->buckets)
		munmap(c->buckets, buckets_size(c));
	slab_fini(&c->entries);
	slab_fini(&c->blocks);
	memset(c, 0, sizeof(*c));
}

static uint64_t rotate(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[static 4])
{
	v[0] += v[1]; v[1] = rotate(v[1], 13) ^ v[0]; v[0] = rotate(v[0], 32);
	v[2] += v[3]; v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3]; v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1]; v[1] = rotate(v[1], 17) ^ v[2]; v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein 2012): clients choose names; the policy's hash has no secret. */
static uint32_t hash_of(const struct dns_cache *c, const char *name, size_t len)
{
	uint64_t v[4] = { c->key[0] ^ 0x736f6d6570736575, c->key[1] ^ 0x646f72616e646f6d,
		          c->key[0] ^ 0x6c7967656e657261, c->key[1] ^ 0x7465646279746573 };
	size_t left = len;

	for (; left >= 8; left -= 8, name += 8) {
		uint64_t m;
		memcpy(&m, name, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	uint64_t last = (uint64_t)len << 56;
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)(uint8_t)name[i] << 8 * i;
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	uint64_t h = v[0] ^ v[1] ^ v[2] ^ v[3];
	return (uint32_t)(h ^ h >> 32);
}

static struct block *block_at(const struct dns_cache *c, uint32_t i)
{
	return slab_at(&c->blocks, i);
}

/* Steps *b and *at on to the block that holds byte *at of a chain. */
static void seek(const struct dns_cache *c, uint32_t *b, size_t *at)
{
	for (; *at >= BLOCK_BYTES; *at -= BLOCK_BYTES)
		*b = block_at(c, *b)->next;
}

static size_t piece(size_t at, size_t len)
{
	size_t room = BLOCK_BYTES - at;
	return len < room ? len : room;
}

static void chain_read(const struct dns_cache *c, const struct dns_entry *e, size_t at, void *to,
                       size_t len)
{
	uint32_t b = e->block;

	for (size_t n; len > 0; to = (char *)to + n, len -= n, at += n) {
		seek(c, &b, &at);
		n = piece(at, len);
		memcpy(to, block_at(c, b)->bytes + at, n);
	}
}

static void chain_write(struct dns_cache *c, const struct dns_entry *e, size_t at, const void *from,
                        size_t len)
{
	uint32_t b = e->block;

	for (size_t n; len > 0; from = (const char *)from + n, len -= n, at += n) {
		seek(c, &b, &at);
		n = piece(at, len);
		memcpy(block_at(c, b)->bytes + at, from, n);
	}
}

static bool chain_is(const struct dns_cache *c, const struct dns_entry *e, const char *name,
                     size_t len)
{
	uint32_t b = e->block;

	if (e->name_len != len)
		return false;
	for (size_t n, at = 0; len > 0; name += n, len -= n, at += n) {
		seek(c, &b, &at);
		n = piece(at, len);
		if (memcmp(block_at(c, b)->bytes + at, name, n) != 0)
			return false;
	}
	return true;
}

static bool make_room(struct dns_cache *c);

static uint32_t blocks_for(size_t len)
{
	return (uint32_t)((len + BLOCK_BYTES - 1) / BLOCK_BYTES);
}

/* Makes the chain as long as len bytes need. False: no room, and the chain is as long as it was. */
static bool chain_resize(struct dns_cache *c, struct dns_entry *e, size_t len)
{
	uint32_t have = blocks_for(e->len), want = blocks_for(len);
	uint32_t *link = &e->block;

	while (have < want && c->blocks.cap - c->blocks.used < want - have)
		if (!make_room(c))
			return false;
	for (uint32_t n = 0; n < have && n < want; n++)
		link = &block_at(c, *link)->next;
	for (; have > want; have--) {
		uint32_t b = *link;
		*link = block_at(c, b)->next;
		slab_give(&c->blocks, b);
	}
	for (; have < want; have++) {
		*link = slab_take(&c->blocks);
		link = &block_at(c, *link)->next;
	}
	e->len = (uint16_t)len;
	return true;
}

static struct dns_lru *lru_of(struct dns_cache *c, const struct dns_entry *e)
{
	return &c->idle[e->n6 + e->n4 > 0];
}

void dns_cache_hold(struct dns_cache *c, uint32_t i)
{
	struct dns_entry *e = dns_cache_at(c, i);
	struct dns_lru *l = lru_of(c, e);

	if (e->held)
		return;
	e->held = true;
	*(e->newer == DNS_NONE ? &l->newest : &dns_cache_at(c, e->newer)->older) = e->older;
	*(e->older == DNS_NONE ? &l->oldest : &dns_cache_at(c, e->older)->newer) = e->newer;
}

void dns_cache_idle(struct dns_cache *c, uint32_t i)
{
	struct dns_entry *e = dns_cache_at(c, i);
	struct dns_lru *l = lru_of(c, e);

	if (!e->held && e->newer == DNS_NONE)
		return;
	dns_cache_hold(c, i);
	e->held = false;
	e->newer = DNS_NONE;
	e->older = l->newest;
	*(l->newest == DNS_NONE ? &l->oldest : &dns_cache_at(c, l->newest)->newer) = i;
	l->newest = i;
}

/* A held entry is in no list but its bucket's. */
static void entry_remove(struct dns_cache *c, uint32_t i)
{
	struct dns_entry *e = dns_cache_at(c, i);
	uint32_t *link = &c->buckets[e->hash & c->mask];

	while (*link != i + 1)
		link = &dns_cache_at(c, *link - 1)->next;
	*link = e->next;
	chain_resize(c, e, 0);
	slab_give(&c->entries, i);
}

/* Removes the entry that is missed least; false: all are held. */
static bool make_room(struct dns_cache *c)
{
	uint32_t i = c->idle[0].oldest != DNS_NONE ? c->idle[0].oldest : c->idle[1].oldest;

	if (i == DNS_NONE)
		return false;
	dns_cache_hold(c, i);
	entry_remove(c, i);
	return true;
}

uint32_t dns_cache_find(const struct dns_cache *c, const char *name, size_t len)
{
	uint32_t h = hash_of(c, name, len);

	for (uint32_t i = c->buckets[h & c->mask]; i; i = dns_cache_at(c, i - 1)->next) {
		const struct dns_entry *e = dns_cache_at(c, i - 1);
		if (e->hash == h && chain_is(c, e, name, len))
			return i - 1;
	}
	return DNS_NONE;
}

uint32_t dns_cache_add(struct dns_cache *c, const char *name, size_t len)
{
	if (len == 0 || len > NAME_MAX_LEN || (c->entries.used == c->entries.cap && !make_room(c)))
		return DNS_NONE;
	uint32_t i = slab_take(&c->entries);
	struct dns_entry *e = dns_cache_at(c, i);
	memset(e, 0, sizeof(*e));
	e->held = true;
	if (!chain_resize(c, e, len)) {
		slab_give(&c->entries, i);
		return DNS_NONE;
	}
	e->name_len = (uint8_t)len;
	chain_write(c, e, 0, name, len);
	e->hash = hash_of(c, name, len);
	e->next = c->buckets[e->hash & c->mask];
	c->buckets[e->hash & c->mask] = i + 1;
	return i;
}

size_t dns_cache_name(const struct dns_cache *c, uint32_t i, char name[static NAME_SIZE])
{
	const struct dns_entry *e = dns_cache_at(c, i);

	chain_read(c, e, 0, name, e->name_len);
	name[e->name_len] = '\0';
	return e->name_len;
}

int dns_cache_store(struct dns_cache *c, uint32_t i, const uint8_t (*v6)[16], uint8_t n6,
                    const uint8_t (*v4)[4], uint8_t n4)
{
	struct dns_entry *e = dns_cache_at(c, i);
	const uint8_t half = RESOLVE_ADDRS_MAX / 2;

	if (n6 + n4 > RESOLVE_ADDRS_MAX) {
		uint8_t keep6 = n4 > half ? half : (uint8_t)(RESOLVE_ADDRS_MAX - n4);
		n6 = n6 < keep6 ? n6 : keep6;
		uint8_t keep4 = (uint8_t)(RESOLVE_ADDRS_MAX - n6);
		n4 = n4 < keep4 ? n4 : keep4;
	}
	e->n6 = e->n4 = 0;
	if (!chain_resize(c, e, e->name_len + 16u * n6 + 4u * n4)) {
		chain_resize(c, e, e->name_len);
		return -1;
	}
	if (n6)
		chain_write(c, e, e->name_len, v6, 16u * n6);
	if (n4)
		chain_write(c, e, e->name_len + 16u * n6, v4, 4u * n4);
	e->n6 = n6;
	e->n4 = n4;
	return 0;
}

void dns_cache_load(const struct dns_cache *c, uint32_t i, struct resolve_answer *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const struct dns_entry *e = dns_cache_at(c, i);
	uint8_t bytes[RESOLVE_ADDRS_MAX * 16];
	const uint8_t *v4 = bytes + 16u * e->n6;

	chain_read(c, e, e->name_len, bytes, e->len - e->name_len);
	a->n = 0;
	for (unsigned k = 0; k < e->n6 || k < e->n4; k++) {
		if (k < e->n6)
			memcpy(a->addrs[a->n++].b, bytes + 16 * k, 16);
		if (k < e->n4) {
			memcpy(a->addrs[a->n].b, mapped, 12);
			memcpy(a->addrs[a->n++].b + 12, v4 + 4 * k, 4);
		}
	}
}
