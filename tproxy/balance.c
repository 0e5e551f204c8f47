/* SPDX-License-Identifier: MIT */
/* The choice among endpoints. */
#include "tproxy/balance.h"

#include <string.h>

#include "rules/gateway.h"
#include "tproxy/target.h"

/* What names begin from: apart by more than their first byte can be. */
#define OWNER_SERVICE UINT64_C(0x100)
#define OWNER_GATEWAY UINT64_C(0x200)

enum rank {
	RANK_OUT = 0,
	RANK_WAITING, /* failed lately: comes after all others */
	RANK_READY,
	RANK_FIRST,   /* and of the family that comes first */
};

struct item {
	uint64_t base, key; /* without the port, with it */
	uint32_t weight;
	bool ok;            /* neither unhealthy nor ejected */
	struct target *t;   /* NULL: none yet */
};

struct pick {
	struct balance *b;
	const struct balance_set *s;
	int64_t now_ms;
	uint32_t n;
	bool panic; /* too few are ok: all may be chosen */
	bool full;  /* no new connection may be opened */
	enum rank rank;
};

static uint64_t key_bytes(uint64_t key, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < len; i++)
		key = (key ^ b[i]) * UINT64_C(0x100000001b3);
	return target_mix(key);
}

uint64_t balance_key(const char *name, size_t len)
{
	return key_bytes(0, name, len);
}

static void keys_of(const struct policy *p, struct policy_run run, uint64_t owner, uint64_t *keys)
{
	for (uint32_t i = run.first; i < run.first + run.n; i++) {
		struct policy_endpoint e;
		policy_endpoint(p, i, &e);
		keys[i] = e.name ? key_bytes(owner + e.port, e.name, strlen(e.name))
		                 : key_bytes(owner + e.port, e.addr.b, sizeof(e.addr.b));
	}
}

void balance_keys(const struct policy *p, uint64_t *keys)
{
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES]; i++) {
		struct policy_service s;
		policy_service(p, i, &s);
		keys_of(p, s.endpoints, key_bytes(OWNER_SERVICE, s.name, strlen(s.name)), keys);
	}
	for (uint32_t i = 0; i < p->n[FORMAT_GATEWAYS]; i++) {
		struct policy_gateway g;
		policy_gateway(p, i, &g);
		uint64_t owner = key_bytes(OWNER_GATEWAY, g.name, strlen(g.name));
		keys_of(p, g.endpoints, owner, keys);
		for (uint32_t k = 0; k < g.subsets.n; k++) {
			struct policy_subset s;
			policy_subset(p, g.subsets.first + k, &s);
			keys_of(p, s.endpoints, key_bytes(owner, s.name, strlen(s.name)), keys);
		}
	}
}

static uint64_t with_port(uint64_t key, uint16_t port)
{
	return key + port * UINT64_C(0x9e3779b97f4a7c15);
}

const struct target *balance_find(const struct balance *b, uint64_t key, uint16_t port)
{
	return target_find(b, with_port(key, port));
}

static uint64_t group_of(const struct balance_set *s)
{
	return with_port(s->n_addrs ? s->key : s->keys[s->run.first], s->port);
}

static void look(const struct pick *p, uint32_t i, struct item *out)
{
	const struct balance_set *s = p->s;

	out->weight = 1;
	out->ok = true;
	if (s->n_addrs) {
		out->base = key_bytes(s->key, s->addrs[i].b, sizeof(s->addrs[i].b));
	} else {
		struct policy_endpoint e;
		policy_endpoint(s->policy, s->run.first + i, &e);
		out->base = s->keys[s->run.first + i];
		out->weight = e.weight;
		out->ok = !s->health || __atomic_load_n(&s->health[s->run.first + i],
		                                        __ATOMIC_RELAXED) != TARGET_UNHEALTHY;
	}
	out->key = with_port(out->base, s->port);
	out->t = target_find(p->b, out->key);
	if (out->t && target_ejected(out->t, s->traffic, p->now_ms))
		out->ok = false;
}

static enum rank rank_of(const struct pick *p, uint32_t i, struct item *it)
{
	const struct balance_set *s = p->s;

	look(p, i, it);
	const struct target *t = it->t;
	if (!it->weight || !(it->ok || p->panic))
		return RANK_OUT;
	for (uint8_t k = 0; k < s->n_tried; k++)
		if (s->tried[k] == i)
			return RANK_OUT;
	if (p->full && !(s->pooled && t && t->connections > t->active))
		return RANK_OUT;
	if (t && t->fails >= TARGET_OUTAGE && t->connecting)
		return RANK_OUT;
	if (t && t->fails && p->now_ms < t->retry_ms)
		return RANK_WAITING;
	return s->n_addrs && s->family == (addr_is_v4(&s->addrs[i]) ? 4 : 6) ? RANK_FIRST
	                                                                      : RANK_READY;
}

/* What holds for the whole set, then the best rank that is there. */
static void survey(struct pick *p)
{
	const struct policy_traffic *t = p->s->traffic;
	uint64_t n = 0, n_ok = 0, connections = 0;
	struct item it;

	for (uint32_t i = 0; t && i < p->n; i++) {
		look(p, i, &it);
		n += it.weight > 0;
		n_ok += it.weight > 0 && it.ok;
		connections += it.t ? it.t->connections : 0;
	}
	p->panic = t && t->outliers && n_ok * 100 < n * t->min_health;
	p->full = t && t->max_connections && connections * p->b->workers >= t->max_connections;
	for (uint32_t i = 0; i < p->n && p->rank != RANK_FIRST; i++) {
		enum rank r = rank_of(p, i, &it);
		if (r > p->rank)
			p->rank = r;
	}
}

/* One by weight. SLAB_NONE: all are skipped. */
static uint32_t draw(const struct pick *p, uint32_t skip, struct item *out)
{
	uint32_t at = SLAB_NONE;
	uint64_t total = 0;
	struct item it;

	for (uint32_t i = 0; i < p->n; i++) {
		if (i == skip || rank_of(p, i, &it) != p->rank)
			continue;
		total += it.weight;
		if (total == it.weight || target_random(p->b) % total < it.weight) {
			at = i;
			*out = it;
		}
	}
	return at;
}

/*
 * Of two that are drawn by weight, the one with fewer connections for its weight; of equal ones the
 * first, so that without load weights hold as they are.
 */
static uint32_t least(const struct pick *p, struct item *out)
{
	struct item other;
	uint32_t at = draw(p, SLAB_NONE, out), next = draw(p, at, &other);

	if (next == SLAB_NONE)
		return at;
	uint64_t a = out->t ? out->t->active : 0, b = other.t ? other.t->active : 0;
	if (a * other.weight <= b * out->weight)
		return at;
	*out = other;
	return next;
}

/* Smooth weighted round-robin: everybody earns its weight, the richest pays for all. */
static uint32_t rotate(const struct pick *p, struct item *out)
{
	uint32_t at = SLAB_NONE;
	int64_t total = 0;
	struct item it;

	for (uint32_t i = 0; i < p->n; i++) {
		if (rank_of(p, i, &it) != p->rank)
			continue;
		it.t = target_take(p->b, it.key, p->now_ms);
		if (!it.t)
			return draw(p, SLAB_NONE, out);
		it.t->current += it.weight;
		total += it.weight;
		if (at == SLAB_NONE || it.t->current > out->t->current) {
			at = i;
			*out = it;
		}
	}
	if (at != SLAB_NONE)
		out->t->current -= total;
	return at;
}

/* 32 - log2(h), with 24 bits of fraction; h is not 0. Each squaring yields a bit. */
static uint32_t distance(uint32_t h)
{
	uint32_t whole = (uint32_t)__builtin_clz(h), log = 31 - whole;
	uint64_t x = (uint64_t)h << whole;

	for (int i = 0; i < 24; i++) {
		x = x * x >> 31;
		log = log << 1 | (uint32_t)(x >> 32);
		x >>= x >> 32;
	}
	return (UINT32_C(32) << 24) - log;
}

/*
 * Rendezvous: the client's distance to each is exponential, and shorter by its weight; whoever goes
 * or comes moves only clients of its own.
 */
static uint32_t nearest(const struct pick *p, struct item *out)
{
	uint32_t at = SLAB_NONE;
	uint64_t least_far = 0;
	struct item it;

	for (uint32_t i = 0; i < p->n; i++) {
		if (rank_of(p, i, &it) != p->rank)
			continue;
		uint64_t h = key_bytes(it.base, p->s->source->b, sizeof(p->s->source->b));
		uint64_t far = distance((uint32_t)(h >> 32) | 1);
		if (at == SLAB_NONE || far * out->weight < least_far * it.weight) {
			at = i;
			least_far = far;
			*out = it;
		}
	}
	return at;
}

static uint32_t choose(const struct pick *p, struct item *out)
{
	switch (p->s->traffic ? p->s->traffic->balance : POLICY_LEAST_REQUEST) {
	case POLICY_ROUND_ROBIN: return rotate(p, out);
	case POLICY_CONSISTENT_HASH:
		return p->s->source ? nearest(p, out) : draw(p, SLAB_NONE, out);
	case POLICY_RANDOM: return draw(p, SLAB_NONE, out);
	default: return least(p, out);
	}
}

uint32_t balance_pick(struct balance *b, const struct balance_set *s, int64_t now_ms,
                      struct balance_choice *c)
{
	struct pick p = { .b = b, .s = s, .now_ms = now_ms,
	                  .n = s->n_addrs ? s->n_addrs : s->run.n };
	struct item it = { .t = NULL };

	*c = (struct balance_choice){ .target = TARGET_NONE };
	survey(&p);
	if (p.rank == RANK_OUT) {
		c->flag = p.full ? FLAG_UO : FLAG_UH;
		return SLAB_NONE;
	}
	uint32_t at = choose(&p, &it);
	struct target *t = target_take(b, it.key, now_ms);
	if (t) {
		t->group = group_of(s);
		t->size = p.n;
		c->target = (uint16_t)slab_index(&b->targets, t);
	}
	return at;
}
