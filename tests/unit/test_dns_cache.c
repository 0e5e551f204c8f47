/* SPDX-License-Identifier: MIT */
/* The table of names: what goes in comes out, who makes room for whom, and nothing is lost or
 * touched without need. */
/* LINK: rules/addr.c tproxy/slab.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "tproxy/dns_cache.c"
#include "tests/unit/guard.h"

static const uint64_t key[2] = { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) };

static void open_cache(struct dns_cache *c, uint32_t n)
{
	assert_int_equal(dns_cache_init(c, n, key), 0);
}

static uint32_t add(struct dns_cache *c, const char *name)
{
	return dns_cache_add(c, name, strlen(name));
}

static uint32_t find(const struct dns_cache *c, const char *name)
{
	return dns_cache_find(c, name, strlen(name));
}

/* Stores n6 and n4 addresses that can be told apart. */
static int fill(struct dns_cache *c, uint32_t i, uint8_t n6, uint8_t n4)
{
	uint8_t v6[RESOLVE_ADDRS_MAX][16], v4[RESOLVE_ADDRS_MAX][4];

	for (uint8_t k = 0; k < RESOLVE_ADDRS_MAX; k++) {
		memset(v6[k], 0x60 + k, sizeof(v6[k]));
		memset(v4[k], 0x40 + k, sizeof(v4[k]));
	}
	return dns_cache_store(c, i, (const uint8_t(*)[16])v6, n6, (const uint8_t(*)[4])v4, n4);
}

/* Everything that the table says of itself must agree. */
static void check(struct dns_cache *c)
{
	uint32_t entries = 0, blocks = 0, idle = 0, held = 0;

	for (uint32_t b = 0; b <= c->mask; b++)
		for (uint32_t i = c->buckets[b]; i; i = dns_cache_at(c, i - 1)->next) {
			const struct dns_entry *e = dns_cache_at(c, i - 1);
			assert_int_equal(e->hash & c->mask, b);
			assert_int_equal(e->len, e->name_len + 16 * e->n6 + 4 * e->n4);
			entries++;
			held += e->held;
			blocks += blocks_for(e->len);
		}
	for (int k = 0; k < 2; k++) {
		uint32_t newer = DNS_NONE;
		for (uint32_t i = c->idle[k].newest; i != DNS_NONE; i = dns_cache_at(c, i)->older) {
			const struct dns_entry *e = dns_cache_at(c, i);
			assert_false(e->held);
			assert_int_equal(e->newer, newer);
			assert_int_equal(e->n6 + e->n4 > 0, k);
			newer = i;
			idle++;
		}
		assert_int_equal(c->idle[k].oldest, newer);
	}
	assert_int_equal(entries, c->entries.used);
	assert_int_equal(idle + held, entries);
	assert_int_equal(blocks, c->blocks.used);
}

static void test_names_of_every_length_come_back_from_the_last_byte_of_a_page(void **state)
{
	struct dns_cache c;
	struct guard g;
	char name[NAME_SIZE], back[NAME_SIZE];
	(void)state;

	open_cache(&c, 300);
	guard_init(&g, NAME_SIZE);
	for (size_t len = 1; len <= NAME_MAX_LEN; len++) {
		for (size_t k = 0; k < len; k++)
			name[k] = (char)('a' + (k * 7 + len) % 26);
		const char *placed = (const char *)guard_copy(&g, name, len);
		assert_int_equal(dns_cache_find(&c, placed, len), DNS_NONE);
		uint32_t i = dns_cache_add(&c, placed, len);
		assert_int_not_equal(i, DNS_NONE);
		assert_int_equal(dns_cache_find(&c, placed, len), i);
		if (len > 1) {
			assert_int_equal(dns_cache_find(&c, placed, len - 1), DNS_NONE);
			assert_int_equal(dns_cache_find(&c, placed + 1, len - 1), DNS_NONE);
		}
		assert_int_equal(dns_cache_name(&c, i, back), len);
		assert_memory_equal(back, placed, len);
		assert_int_equal(back[len], '\0');
	}
	assert_int_equal(dns_cache_add(&c, name, 0), DNS_NONE);
	memset(name, 'a', sizeof(name));
	assert_int_equal(dns_cache_add(&c, name, NAME_MAX_LEN + 1), DNS_NONE);
	check(&c);
	guard_fini(&g);
	dns_cache_fini(&c);
}

static void test_a_name_is_only_itself(void **state)
{
	static const char *const others[] = {
		"www.example.or",   "ww.example.org",  "www.example.orga",
		"xwww.example.org", "www.example.orh", "WWW.example.org",
		"www.example.org.", "www-example.org", "w"
	};
	struct dns_cache c;
	(void)state;

	open_cache(&c, 1);
	uint32_t i = add(&c, "www.example.org");
	assert_int_equal(find(&c, "www.example.org"), i);
	for (size_t k = 0; k < sizeof(others) / sizeof(*others); k++) {
		assert_int_equal(find(&c, others[k]), DNS_NONE);
		/* Nor when the hashes are the same. */
		dns_cache_at(&c, i)->hash = hash_of(&c, others[k], strlen(others[k]));
		assert_int_equal(find(&c, others[k]), DNS_NONE);
		dns_cache_at(&c, i)->hash = hash_of(&c, "www.example.org", 15);
	}
	dns_cache_fini(&c);
}

static void test_addresses_alternate_and_each_family_keeps_its_share(void **state)
{
	struct dns_cache c;
	struct resolve_answer a;
	(void)state;

	open_cache(&c, 2);
	uint32_t i = add(&c, "www.example.org");
	for (uint8_t n6 = 0; n6 <= RESOLVE_ADDRS_MAX; n6++)
		for (uint8_t n4 = 0; n4 <= RESOLVE_ADDRS_MAX; n4++) {
			int got[2] = { 0, 0 }, before = -1;
			assert_int_equal(fill(&c, i, n6, n4), 0);
			dns_cache_load(&c, i, &a);
			assert_int_equal(a.n,
			                 n6 + n4 < RESOLVE_ADDRS_MAX ? n6 + n4 : RESOLVE_ADDRS_MAX);
			for (int k = 0; k < a.n; k++) {
				int v4 = addr_is_v4(&a.addrs[k]);
				assert_int_equal(a.addrs[k].b[15], (v4 ? 0x40 : 0x60) + got[v4]++);
				if (k == 0)
					assert_int_equal(v4, n6 == 0);
				/* The same family twice only when the other has no more. */
				if (v4 == before)
					assert_int_equal(got[!v4],
					                 dns_cache_at(&c, i)->n6 <
					                                 dns_cache_at(&c, i)->n4
					                         ? dns_cache_at(&c, i)->n6
					                         : dns_cache_at(&c, i)->n4);
				before = v4;
			}
			if (n6 + n4 <= RESOLVE_ADDRS_MAX)
				assert_true(got[0] == n6 && got[1] == n4);
			assert_true(got[0] >= (n6 < 8 ? n6 : 8) && got[1] >= (n4 < 8 ? n4 : 8));
			assert_int_equal(find(&c, "www.example.org"), i);
			check(&c);
		}
	dns_cache_fini(&c);
}

static void test_room_is_made_by_the_least_recently_used_without_addresses_first(void **state)
{
	struct dns_cache c;
	uint32_t i[5];
	char name[2] = "a";
	(void)state;

	open_cache(&c, 5);
	for (int k = 0; k < 5; k++, name[0]++) {
		i[k] = add(&c, name);
		assert_int_equal(fill(&c, i[k], 0, k < 3), 0);
		dns_cache_idle(&c, i[k]);
	}
	check(&c);
	dns_cache_idle(&c, i[0]); /* used again: now b is the oldest with addresses */
	dns_cache_idle(&c, i[3]); /* and e the oldest without */
	dns_cache_idle(&c, i[3]);
	static const char *const leaving[] = { "e", "d", "b", "c", "a" };
	for (int k = 0; k < 5; k++) {
		char new_name[3] = { 'n', (char)('0' + k), '\0' };
		assert_int_not_equal(find(&c, leaving[k]), DNS_NONE);
		assert_int_not_equal(add(&c, new_name), DNS_NONE);
		assert_int_equal(find(&c, leaving[k]), DNS_NONE);
		check(&c);
	}
	/* All are held now. */
	assert_int_equal(add(&c, "x"), DNS_NONE);
	check(&c);
	dns_cache_idle(&c, find(&c, "n2"));
	assert_int_not_equal(add(&c, "x"), DNS_NONE);
	assert_int_equal(find(&c, "n2"), DNS_NONE);
	dns_cache_fini(&c);
}

static void test_without_blocks_an_entry_loses_its_addresses_and_nothing_else(void **state)
{
	enum { N = 40 };
	struct dns_cache c;
	char name[NAME_SIZE], back[NAME_SIZE];
	int failed = 0;
	(void)state;

	open_cache(&c, N);
	memset(name, 'a', sizeof(name));
	/* Five blocks each for a name of 253 bytes, nine with 16 IPv6 addresses; the table has
	 * three and a few for each. */
	uint32_t n = 0;
	for (; n < N; n++) {
		snprintf(name + 240, 14, "%013u", n);
		uint32_t i = dns_cache_add(&c, name, NAME_MAX_LEN);
		if (i == DNS_NONE)
			break;
		uint8_t n6 = n ? RESOLVE_ADDRS_MAX : 0;
		assert_int_equal(fill(&c, i, 0, 1), 0);
		if (fill(&c, i, n6, 0) == 0) {
			assert_int_equal(dns_cache_at(&c, i)->n6, n6);
		} else {
			failed++;
			assert_int_equal(dns_cache_at(&c, i)->n6 + dns_cache_at(&c, i)->n4, 0);
		}
		dns_cache_name(&c, i, back);
		assert_string_equal(back, name);
		check(&c);
	}
	assert_true(n < N && failed > 0);
	/* As soon as one is not held, there is room again. */
	snprintf(name + 240, 14, "%013u", 0u);
	dns_cache_idle(&c, dns_cache_find(&c, name, NAME_MAX_LEN));
	snprintf(name + 240, 14, "%013u", N);
	assert_int_not_equal(dns_cache_add(&c, name, NAME_MAX_LEN), DNS_NONE);
	check(&c);
	dns_cache_fini(&c);
}

struct model {
	bool known;
	bool held;
	uint8_t n6, n4;
	uint64_t used;
};

/* Random use, against the plainest description of what the table does: held entries and what was
 * stored last stay. */
static void test_random_use_agrees_with_a_model(void **state)
{
	enum { NAMES = 300, ENTRIES = 64, STEPS = 40000 };
	static struct model m[NAMES];
	struct dns_cache c;
	char name[NAME_SIZE], back[NAME_SIZE];
	(void)state;

	srand(1);
	open_cache(&c, ENTRIES);
	for (uint32_t step = 0; step < STEPS; step++) {
		unsigned k = (unsigned)rand() % NAMES;
		size_t len = 1 + k * 17 % 120;
		for (size_t b = 0; b < len; b++)
			name[b] = (char)('a' + (k + b * k) % 26);
		len += (size_t)snprintf(name + len, 8, "-%u", k);
		uint32_t i = dns_cache_find(&c, name, len);
		if (i == DNS_NONE) {
			assert_false(m[k].held);
			i = dns_cache_add(&c, name, len);
			m[k] = (struct model){ .known = i != DNS_NONE, .held = i != DNS_NONE };
			if (i == DNS_NONE) {
				for (unsigned h = 0; h < NAMES; h++)
					m[h].held = false;
				for (uint32_t e = 0; e < ENTRIES; e++)
					dns_cache_idle(&c, e);
				continue;
			}
			dns_cache_at(&c, i)->waiters = k;
		}
		assert_true(m[k].known);
		const struct dns_entry *e = dns_cache_at(&c, i);
		assert_int_equal(e->waiters, k);
		assert_int_equal(e->n6, m[k].n6);
		assert_int_equal(e->n4, m[k].n4);
		dns_cache_name(&c, i, back);
		assert_int_equal(strlen(back), len);
		assert_memory_equal(back, name, len);
		switch (rand() % 4) {
		case 0:
			dns_cache_idle(&c, i);
			m[k].held = false;
			break;
		case 1:
			dns_cache_hold(&c, i);
			m[k].held = true;
			break;
		default:
			dns_cache_hold(&c, i);
			m[k].held = true;
			m[k].n6 = (uint8_t)(rand() % 8);
			m[k].n4 = (uint8_t)(rand() % 8);
			if (fill(&c, i, m[k].n6, m[k].n4) < 0)
				m[k].n6 = m[k].n4 = 0;
			if (rand() % 4) {
				dns_cache_idle(&c, i);
				m[k].held = false;
			}
		}
		if (step % 64 == 0)
			check(&c);
	}
	check(&c);
	dns_cache_fini(&c);
}

/* Vectors of SipHash-1-3 with this key and the bytes 00, 01, 02...; folded to 32 bits as the table
 * does it. */
static void test_the_hash_depends_on_key_and_every_byte(void **state)
{
	struct dns_cache a = { .key = { 0 } }, b;
	char name[64];
	(void)state;

	memcpy(a.key, key, sizeof(key));
	b = a;
	b.key[1] ^= 1;
	for (size_t k = 0; k < sizeof(name); k++)
		name[k] = (char)k;
	static const struct {
		size_t len;
		uint64_t want;
	} vectors[] = {
		{ 0, UINT64_C(0xabac0158050fc4dc) },
		{ 1, UINT64_C(0xc9f49bf37d57ca93) },
		{ 8, UINT64_C(0x369095118d299a8e) },
	};
	for (size_t k = 0; k < sizeof(vectors) / sizeof(*vectors); k++)
		assert_int_equal(hash_of(&a, name, vectors[k].len),
		                 (uint32_t)(vectors[k].want ^ vectors[k].want >> 32));
	for (size_t k = 0; k < sizeof(name); k++) {
		uint32_t before = hash_of(&a, name, sizeof(name));
		assert_int_not_equal(before, hash_of(&b, name, sizeof(name)));
		name[k] ^= 1;
		assert_int_not_equal(before, hash_of(&a, name, sizeof(name)));
		name[k] ^= 1;
	}
}

static size_t resident_pages(const void *base, size_t len)
{
	static unsigned char there[1 << 16];
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0;

	assert_true(len / page < sizeof(there));
	assert_int_equal(mincore((void *)(uintptr_t)base, len, there), 0);
	for (size_t k = 0; k < (len + page - 1) / page; k++)
		n += there[k] & 1;
	return n;
}

static void test_pages_are_touched_only_by_what_is_stored(void **state)
{
	struct dns_cache c;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	(void)state;

	open_cache(&c, 65536);
	assert_int_equal(resident_pages(c.entries.base, c.entries.size * c.entries.cap), 0);
	assert_int_equal(resident_pages(c.blocks.base, c.blocks.size * c.blocks.cap), 0);
	for (int k = 0; k < 100; k++) {
		char name[32];
		snprintf(name, sizeof(name), "host-%d.example.org", k);
		assert_int_equal(fill(&c, add(&c, name), 2, 2), 0);
	}
	assert_true(resident_pages(c.entries.base, c.entries.size * c.entries.cap) <=
	            100 * sizeof(struct dns_entry) / page + 1);
	assert_true(resident_pages(c.blocks.base, c.blocks.size * c.blocks.cap) <=
	            200 * sizeof(struct block) / page + 1);
	dns_cache_fini(&c);
}

static void test_sizes_that_cannot_be_are_refused(void **state)
{
	static const uint32_t sizes[] = { 0, UINT32_MAX, UINT32_MAX / 6 + 1 };
	struct dns_cache c;
	(void)state;

	for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++) {
		assert_int_equal(dns_cache_init(&c, sizes[k], key), -1);
		assert_int_equal(errno, EINVAL);
	}
	assert_true(sizeof(struct dns_entry) + BLOCKS_PER_ENTRY * sizeof(struct block) <= 272);
	assert_int_equal(sizeof(struct block), 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_every_length_come_back_from_the_last_byte_of_a_page),
		cmocka_unit_test(test_a_name_is_only_itself),
		cmocka_unit_test(test_addresses_alternate_and_each_family_keeps_its_share),
		cmocka_unit_test(
			test_room_is_made_by_the_least_recently_used_without_addresses_first),
		cmocka_unit_test(test_without_blocks_an_entry_loses_its_addresses_and_nothing_else),
		cmocka_unit_test(test_random_use_agrees_with_a_model),
		cmocka_unit_test(test_the_hash_depends_on_key_and_every_byte),
		cmocka_unit_test(test_pages_are_touched_only_by_what_is_stored),
		cmocka_unit_test(test_sizes_that_cannot_be_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
