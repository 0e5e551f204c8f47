/* SPDX-License-Identifier: MIT */
/*
 * Which endpoint is chosen: shares of load within bounds that chance leaves once in 10^9 runs, and
 * what puts an endpoint aside, by a clock that only the table moves.
 */
/* LINK: tproxy/target.c tproxy/slab.c rules/addr.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tproxy/balance.c"

enum { MAX = 32, ROUNDS = 40000 };

/* A policy of nothing but endpoints. */
static uint32_t weights[MAX];
static uint64_t keys[MAX];
static uint8_t health[MAX];
static struct balance b;
static struct stats stats;
static struct policy_traffic traffic;
static struct balance_set set;
static bool same_addr;

void policy_endpoint(const struct policy *p, uint32_t i, struct policy_endpoint *e)
{
	(void)p;
	*e = (struct policy_endpoint){ .weight = weights[i], .port = 80 };
	e->addr.b[15] = same_addr ? 1 : (uint8_t)i;
}

void policy_service(const struct policy *p, uint32_t i, struct policy_service *s)
{
	(void)p;
	*s = (struct policy_service){ .name = i ? "b" : "a", .endpoints = { 2 * i, 2 } };
}

void policy_gateway(const struct policy *p, uint32_t i, struct policy_gateway *g)
{
	(void)p;
	*g = (struct policy_gateway){ .name = i ? "b" : "a", .endpoints = { 4 + 3 * i, 2 },
	                              .subsets = { i, 1 } };
}

void policy_subset(const struct policy *p, uint32_t i, struct policy_subset *s)
{
	(void)p;
	*s = (struct policy_subset){ .name = "s", .endpoints = { 6 + 3 * i, 1 } };
}

static int begin(void **state)
{
	(void)state;
	memset(&stats, 0, sizeof(stats));
	memset(health, 0, sizeof(health));
	assert_int_equal(balance_init(&b, 1, 42, &stats), 0);
	for (uint32_t i = 0; i < MAX; i++) {
		weights[i] = 1;
		keys[i] = balance_key((const char *)&i, sizeof(i));
	}
	traffic = (struct policy_traffic){ .outlier_interval = 10000, .base_ejection = 30000 };
	set = (struct balance_set){ .run = { 0, 4 }, .keys = keys, .health = health,
	                            .traffic = &traffic };
	return 0;
}

static int end(void **state)
{
	(void)state;
	balance_fini(&b);
	return 0;
}

static uint32_t pick(int64_t now_ms, uint16_t *target)
{
	struct balance_choice c;
	uint32_t at = balance_pick(&b, &set, now_ms, &c);

	if (target)
		*target = c.target;
	return at;
}

static uint16_t target_of(uint32_t i)
{
	return (uint16_t)slab_index(&b.targets, target_take(&b, with_port(keys[i], set.port), 0));
}

static enum access_flag refused(int64_t now_ms)
{
	struct balance_choice c;

	assert_int_equal(balance_pick(&b, &set, now_ms, &c), SLAB_NONE);
	assert_int_equal(c.target, TARGET_NONE);
	return c.flag;
}

/*
 * Of ROUNDS independent draws, how many at least and at most are those of a given share, but for
 * once in 10^9: 6.2 standard deviations, which are at most 100.
 */
static void assert_share(uint32_t n, double share)
{
	double off = n - share * ROUNDS;

	assert_true(off < 620 && off > -620);
}

static void shares(const uint32_t *w, enum policy_balance how)
{
	uint32_t n[MAX] = { 0 };
	uint64_t total = 0;
	struct addr a = { { 10 } };

	traffic.balance = how;
	set.source = &a;
	for (uint32_t i = 0; i < set.run.n; i++)
		total += weights[i] = w[i];
	for (uint32_t r = 0; r < ROUNDS; r++) {
		a.b[14] = (uint8_t)(r >> 8);
		a.b[15] = (uint8_t)r;
		a.b[13] = (uint8_t)(r >> 16);
		uint32_t at = pick(0, NULL);
		assert_true(at < set.run.n);
		n[at]++;
	}
	for (uint32_t i = 0; i < set.run.n; i++) {
		assert_share(n[i], (double)w[i] / (double)total);
		assert_int_equal(n[i] > 0, w[i] > 0);
	}
}

static void load_follows_weights(void **state)
{
	static const uint32_t rows[][4] = {
		{ 1, 1, 1, 1 }, { 3, 1, 0, 0 }, { 1, 2, 3, 4 }, { 0, 0, 1, 0 },
		{ 500, 1, 500, 1 }, { UINT32_MAX, UINT32_MAX, 0, UINT32_MAX },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int how = POLICY_LEAST_REQUEST; how <= POLICY_CONSISTENT_HASH; how++) {
			begin(state);
			shares(rows[i], (enum policy_balance)how);
			end(state);
		}
	begin(state);
}

/* Not only in the long run: after each round of as many as the weights, exactly. */
static void round_robin_is_smooth(void **state)
{
	static const uint32_t order[] = { 0, 0, 1, 0, 2, 0, 0 };

	(void)state;
	traffic.balance = POLICY_ROUND_ROBIN;
	set.run.n = 3;
	weights[0] = 5;
	for (int r = 0; r < 21; r++)
		assert_int_equal(pick(0, NULL), order[r % 7]);
}

static void the_less_loaded_of_two(void **state)
{
	uint32_t n[4] = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++)
		balance_use(&b, target_of(0), TARGET_FREE, TARGET_ACTIVE);
	for (uint32_t r = 0; r < ROUNDS; r++)
		n[pick(0, NULL)]++;
	/* The loaded one loses against any other. */
	assert_int_equal(n[0], 0);
	/* Three for the weight of three is as one for one. */
	weights[0] = 3;
	for (uint32_t i = 1; i < 4; i++)
		balance_use(&b, target_of(i), TARGET_FREE, TARGET_CONNECTING);
	memset(n, 0, sizeof(n));
	for (uint32_t r = 0; r < ROUNDS; r++)
		n[pick(0, NULL)]++;
	assert_share(n[0], 0.5);
	balance_use(&b, target_of(0), TARGET_ACTIVE, TARGET_FREE);
	balance_use(&b, target_of(0), TARGET_ACTIVE, TARGET_FREE);
	memset(n, 0, sizeof(n));
	for (uint32_t r = 0; r < ROUNDS; r++)
		n[pick(0, NULL)]++;
	assert_share(n[0], 0.5 + 0.5 * (3. / 5));
	balance_use(&b, target_of(0), TARGET_FREE, TARGET_ACTIVE);
	balance_use(&b, target_of(0), TARGET_FREE, TARGET_ACTIVE);
	/* Kept ones are no load. */
	for (int i = 0; i < 3; i++)
		balance_use(&b, target_of(0), TARGET_ACTIVE, TARGET_IDLE);
	memset(n, 0, sizeof(n));
	for (uint32_t r = 0; r < ROUNDS; r++)
		n[pick(0, NULL)]++;
	/* Drawn first at 1/2, or second at 1/6 * 3/5 after each of three others. */
	assert_share(n[0], 0.5 + 3 * (1. / 6) * (3. / 5));
}

/* Under load that never ends, everybody has about what is theirs. */
static void load_evens_out(void **state)
{
	uint16_t held[400], t;
	uint32_t n[4] = { 0 };

	(void)state;
	for (uint32_t r = 0; r < ROUNDS; r++) {
		if (r >= 400)
			balance_use(&b, held[r % 400], TARGET_ACTIVE, TARGET_FREE);
		n[pick(0, &t)]++;
		balance_use(&b, held[r % 400] = t, TARGET_FREE, TARGET_ACTIVE);
	}
	for (int i = 0; i < 4; i++)
		assert_in_range(target_find(&b, keys[i])->active, 90, 110);
}

/* Where a client goes changes only if that endpoint goes, and back when it comes back. */
static void hash_moves_few(void **state)
{
	enum { CLIENTS = 4000 };
	static uint32_t before[CLIENTS];
	struct addr a = { { 10 } };
	uint32_t moved = 0;

	(void)state;
	traffic.balance = POLICY_CONSISTENT_HASH;
	set.source = &a;
	weights[2] = 3;
	for (int lost = -1; lost < 4; lost++) {
		if (lost >= 0)
			health[lost] = TARGET_UNHEALTHY;
		for (uint32_t i = 0; i < CLIENTS; i++) {
			a.b[1] = (uint8_t)(i >> 8);
			a.b[2] = (uint8_t)i;
			uint32_t at = pick(0, NULL);
			set.port = (uint16_t)i; /* whatever the port */
			assert_int_equal(pick(0, NULL), at);
			if (lost < 0)
				before[i] = at;
			else if (before[i] != (uint32_t)lost)
				assert_int_equal(at, before[i]);
			else
				moved += at != (uint32_t)lost;
		}
		if (lost >= 0)
			health[lost] = TARGET_HEALTHY;
	}
	assert_int_equal(moved, CLIENTS);
}

static void nobody_is_better_than_the_wrong_one(void **state)
{
	(void)state;
	assert_int_not_equal(pick(0, NULL), SLAB_NONE);
	for (int i = 0; i < 4; i++)
		health[i] = TARGET_UNHEALTHY;
	assert_int_equal(refused(0), FLAG_UH);
	health[1] = TARGET_UNCHECKED;
	assert_int_equal(pick(0, NULL), 1);
	set.tried[set.n_tried++] = 1;
	assert_int_equal(refused(0), FLAG_UH);
	set.n_tried = 0;
	weights[1] = 0;
	assert_int_equal(refused(0), FLAG_UH);
	/* min-health: below it all are taken for healthy. */
	weights[1] = 1;
	traffic.outliers = true;
	for (traffic.min_health = 0; traffic.min_health <= 100; traffic.min_health++) {
		uint32_t seen = 0;
		for (int r = 0; r < 200; r++)
			seen |= 1u << pick(0, NULL);
		assert_int_equal(seen, traffic.min_health > 25 ? 15 : 2);
	}
}

static void without_a_policy_for_traffic(void **state)
{
	uint32_t seen = 0;

	(void)state;
	set.traffic = NULL;
	set.health = NULL;
	for (int r = 0; r < 200; r++)
		seen |= 1u << pick(0, NULL);
	assert_int_equal(seen, 15);
	set.run.n = 0;
	assert_int_equal(refused(0), FLAG_UH);
}

/* Outlier detection */

enum { OK = 200, LOCAL = 0, REFUSED = -1 };

struct step {
	int64_t ms;
	uint32_t at;
	int what, times; /* a status, LOCAL: no response, REFUSED: no connection */
	uint32_t out;    /* which are ejected then, as bits */
};

static uint32_t ejected(int64_t now_ms)
{
	uint32_t bits = 0;
	struct item it;

	for (uint32_t i = 0; i < set.run.n; i++) {
		look(&(struct pick){ .b = &b, .s = &set, .now_ms = now_ms }, i, &it);
		bits |= (uint32_t)!it.ok << i;
	}
	return bits;
}

static void play(const struct step *steps, size_t n)
{
	for (uint32_t i = 0; i < set.run.n; i++)
		while (pick(0, NULL) != i)
			;
	for (size_t i = 0; i < n; i++) {
		const struct step *s = &steps[i];
		for (int k = 0; k < s->times; k++) {
			if (s->what > 0)
				balance_answered(&b, target_of(s->at), &traffic, s->what, s->ms);
			else
				balance_failed(&b, target_of(s->at), &traffic,
				               s->what == REFUSED, s->ms);
		}
		if (ejected(s->ms) != s->out)
			fail_msg("step %zu, %d ms: ejected %#x instead of %#x", i, (int)s->ms,
			         ejected(s->ms), s->out);
	}
}
#define PLAY(steps) play(steps, sizeof(steps) / sizeof((steps)[0]))

static void outliers_5xx(void **state)
{
	static const struct step steps[] = {
		{ 1, 0, 500, 4, 0 }, { 1, 0, 404, 1, 0 }, { 1, 0, 500, 4, 0 }, { 1, 1, 503, 4, 0 },
		{ 1, 0, 500, 1, 1 },
		/* What was under way then changes nothing, nor is it counted later. */
		{ 2, 0, 500, 8, 1 },
		/* Until the first sweep after 30 s. */
		{ 30001, 0, 0, 0, 1 }, { 39999, 0, 0, 0, 1 }, { 40000, 0, 0, 0, 0 },
		/* It begins anew, and the second time takes twice as long: to 41 + 60, at 110. */
		{ 41000, 0, 500, 4, 0 }, { 41000, 0, 599, 1, 1 }, { 109999, 0, 0, 0, 1 },
		/* Each sweep without an ejection forgets one. */
		{ 110000, 0, 0, 0, 0 }, { 119999, 0, 500, 5, 1 }, { 209999, 0, 0, 0, 1 },
		{ 210000, 0, 0, 0, 0 }, { 250001, 0, 500, 5, 1 }, { 289999, 0, 0, 0, 1 },
		{ 290000, 0, 0, 0, 0 },
	};
	(void)state;
	traffic.outliers = true;
	traffic.consecutive_5xx = 5;
	traffic.max_ejection = 100;
	PLAY(steps);
	assert_int_equal(stats.v[STAT_OUTLIERS], 4);
}

static void outliers_gateway(void **state)
{
	static const struct step steps[] = {
		{ 1, 0, 503, 2, 0 }, { 1, 0, 500, 1, 0 }, { 1, 0, 502, 2, 0 }, { 1, 0, 504, 1, 1 },
		{ 1, 1, 500, 9, 1 }, { 1, 1, 505, 9, 1 }, { 1, 2, LOCAL, 2, 1 }, { 1, 2, OK, 1, 1 },
		{ 1, 2, LOCAL, 2, 1 }, { 1, 2, REFUSED, 1, 5 },
	};
	(void)state;
	traffic.outliers = true;
	traffic.consecutive_gateway = 3;
	traffic.max_ejection = 100;
	PLAY(steps);
}

/* Counted apart, they are no 5xx. */
static void outliers_local(void **state)
{
	static const struct step steps[] = {
		{ 1, 0, LOCAL, 2, 0 }, { 1, 0, REFUSED, 2, 0 }, { 1, 0, LOCAL, 1, 1 },
		{ 1, 1, REFUSED, 4, 1 }, { 1, 1, 500, 1, 1 }, { 1, 1, REFUSED, 4, 1 },
		{ 1, 2, 500, 2, 5 },
	};
	(void)state;
	traffic.outliers = true;
	traffic.consecutive_5xx = 2;
	traffic.consecutive_local = 5;
	traffic.max_ejection = 100;
	PLAY(steps);
	for (int i = 0; i < 4; i++) {
		balance_failed(&b, target_of(3), &traffic, true, 1);
		balance_connected(&b, target_of(3), 1);
	}
	assert_int_equal(ejected(1), 5);
}

/* The first may always go, the next only below the share; 0 ejects nobody. */
static void outliers_in_bounds(void **state)
{
	static const struct { uint32_t per_cent, n, out; } rows[] = {
		{ 0, 4, 0 }, { 10, 4, 1 }, { 25, 4, 1 }, { 26, 4, 2 }, { 50, 4, 2 }, { 51, 4, 3 },
		{ 100, 4, 4 }, { 10, 1, 1 }, { 10, 10, 1 }, { 10, 11, 2 }, { 50, 3, 2 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(state);
		set.run.n = rows[i].n;
		traffic.outliers = true;
		traffic.consecutive_5xx = 1;
		traffic.max_ejection = rows[i].per_cent;
		play(NULL, 0);
		for (uint32_t k = 0; k < set.run.n; k++)
			balance_answered(&b, target_of(k), &traffic, 500, 1);
		assert_int_equal(__builtin_popcount(ejected(1)), rows[i].out);
		/* Others' ejections are not in the way. */
		set.run.first = 16;
		set.run.n = 1;
		assert_int_equal(pick(0, NULL), 0);
		balance_answered(&b, target_of(16), &traffic, 500, 1);
		assert_int_equal(ejected(1), rows[i].per_cent > 0);
		end(state);
	}
	begin(state);
	/* Who was spared begins anew. */
	traffic.outliers = true;
	traffic.consecutive_5xx = 5;
	play((struct step[]){ { 1, 0, 500, 5, 0 } }, 1);
	traffic.max_ejection = 100;
	play((struct step[]){ { 1, 0, 500, 4, 0 }, { 1, 0, 500, 1, 1 } }, 2);
}

static void ejections_grow_to_a_limit(void **state)
{
	int64_t now = 5;

	(void)state;
	traffic.outliers = true;
	traffic.consecutive_5xx = 1;
	traffic.max_ejection = 100;
	play(NULL, 0);
	for (int i = 1; i <= 20; i++) {
		int64_t lasts = i < 10 ? 30000 * i : 300000, ends = (now + lasts + 9999) / 10000;
		balance_answered(&b, target_of(0), &traffic, 500, now);
		assert_int_equal(ejected(ends * 10000 - 1), 1);
		now = ends * 10000;
		assert_int_equal(ejected(now), 0);
	}
	/* The limit is not below the base. */
	traffic.base_ejection = 600000;
	balance_answered(&b, target_of(0), &traffic, 500, now);
	assert_int_equal(ejected(now + 599999), 1);
	assert_int_equal(ejected(now + 610000), 0);
}

static void no_outliers_nothing_ejected(void **state)
{
	static const struct step steps[] = { { 1, 0, 500, 99, 0 }, { 1, 0, LOCAL, 99, 0 } };

	(void)state;
	traffic.consecutive_5xx = traffic.consecutive_gateway = traffic.consecutive_local = 1;
	traffic.max_ejection = 100;
	PLAY(steps);
	/* A reload that drops the detection lets out who is in. */
	traffic.outliers = true;
	balance_answered(&b, target_of(0), &traffic, 500, 1);
	assert_int_equal(ejected(1), 1);
	traffic.outliers = false;
	assert_int_equal(ejected(1), 0);
}

/* Limits and back-off */

static void connections_have_a_limit(void **state)
{
	uint16_t t[8], other;

	(void)state;
	traffic.max_connections = 3;
	for (int i = 0; i < 3; i++) {
		assert_int_not_equal(pick(0, &t[i]), SLAB_NONE);
		balance_use(&b, t[i], TARGET_FREE, TARGET_CONNECTING);
		balance_use(&b, t[i], TARGET_CONNECTING, TARGET_GREETING);
		balance_use(&b, t[i], TARGET_GREETING, TARGET_ACTIVE);
	}
	assert_int_equal(refused(0), FLAG_UO);
	/* Another port is another limit, as it is another cluster of Envoy's. */
	set.port = 443;
	assert_int_not_equal(pick(0, &other), SLAB_NONE);
	set.port = 0;
	/* A kept connection counts, and serves. */
	balance_use(&b, t[1], TARGET_ACTIVE, TARGET_IDLE);
	assert_int_equal(refused(0), FLAG_UO);
	set.pooled = true;
	for (int i = 0; i < 50; i++) {
		assert_int_not_equal(pick(0, &other), SLAB_NONE);
		assert_int_equal(other, t[1]);
	}
	balance_use(&b, t[1], TARGET_IDLE, TARGET_FREE);
	assert_int_not_equal(pick(0, NULL), SLAB_NONE);
	/* Two workers: each half, rounded up. */
	set.pooled = false;
	b.workers = 2;
	assert_int_equal(refused(0), FLAG_UO);
	balance_use(&b, t[0], TARGET_ACTIVE, TARGET_FREE);
	assert_int_not_equal(pick(0, NULL), SLAB_NONE);
	balance_use(&b, t[2], TARGET_ACTIVE, TARGET_FREE);
	for (uint32_t i = 0; i < b.targets.high; i++) {
		const struct target *x = slab_at(&b.targets, i);
		assert_int_equal(x->connections + x->active + x->connecting, 0);
	}
}

static void who_failed_comes_last(void **state)
{
	(void)state;
	set.run.n = 2;
	for (int fails = 1; fails < 12; fails++) {
		uint64_t most = fails > 6 ? 30000 : 250u << fails;
		balance_failed(&b, target_of(0), &traffic, true, 1000);
		const struct target *t = target_find(&b, keys[0]);
		assert_int_equal(t->fails, fails);
		assert_in_range(t->retry_ms, 1000, 1000 + most);
		for (int r = 0; r < 50 && t->retry_ms > 1000; r++)
			assert_int_equal(pick(t->retry_ms - 1, NULL), 1);
		/* Where there is no other, it serves. */
		health[1] = TARGET_UNHEALTHY;
		assert_int_equal(pick(1000, NULL), 0);
		health[1] = TARGET_HEALTHY;
	}
	uint32_t seen = 0;
	for (int r = 0; r < 100; r++)
		seen |= 1u << pick(31001, NULL);
	assert_int_equal(seen, 3);
	/* What fails later than connect() is no reason to wait. */
	balance_failed(&b, target_of(1), &traffic, false, 1000);
	const struct target *other = target_find(&b, keys[1]);
	assert_int_equal(other->fails, 0);
	/* What went wrong last is kept for who asks. */
	assert_int_equal(other->last, TARGET_NO_ANSWER);
	assert_int_equal(target_find(&b, keys[0])->last, TARGET_NO_CONNECTION);
	balance_answered(&b, target_of(1), NULL, 503, 1000);
	balance_answered(&b, target_of(1), NULL, 404, 1000);
	assert_int_equal(other->last, 503);
}

/* All of the range is used: nodes that fail together come back apart. */
static void back_off_is_spread(void **state)
{
	(void)state;
	for (uint8_t fails = 0; fails < 9; fails++) {
		uint32_t most = fails < 6 ? 500u << fails : 30000, low = 0;
		for (int r = 0; r < ROUNDS; r++) {
			((struct target *)slab_at(&b.targets, target_of(0)))->fails = fails;
			balance_failed(&b, target_of(0), NULL, true, 0);
			low += target_find(&b, keys[0])->retry_ms < most / 2;
		}
		assert_share(low, (double)(most / 2) / (most + 1));
	}
}

static void one_at_a_time_in_an_outage(void **state)
{
	uint16_t t;

	(void)state;
	set.run.n = 1;
	for (int fails = 0; fails < 6; fails++) {
		assert_int_equal(pick(0, &t), 0);
		balance_use(&b, t, TARGET_FREE, TARGET_CONNECTING);
		/* At first all may try beside each other. */
		for (int greeting = 0; greeting < 2; greeting++) {
			if (fails < TARGET_OUTAGE)
				assert_int_equal(pick(0, NULL), 0);
			else
				assert_int_equal(refused(INT32_MAX), FLAG_UH);
			if (!greeting)
				balance_use(&b, t, TARGET_CONNECTING, TARGET_GREETING);
		}
		balance_failed(&b, t, NULL, true, 0);
		balance_use(&b, t, TARGET_GREETING, TARGET_FREE);
	}
	/* A client that gives up leaves the way free. */
	assert_int_equal(pick(0, &t), 0);
	balance_use(&b, t, TARGET_FREE, TARGET_CONNECTING);
	assert_int_equal(refused(0), FLAG_UH);
	balance_use(&b, t, TARGET_CONNECTING, TARGET_FREE);
	assert_int_equal(pick(0, &t), 0);
	balance_use(&b, t, TARGET_FREE, TARGET_CONNECTING);
	balance_connected(&b, t, 0);
	assert_int_equal(pick(0, NULL), 0);
}

/* Addresses of a name */

static void addresses_have_state(void **state)
{
	struct addr a[4];
	uint32_t seen = 0;
	uint16_t t;

	(void)state;
	for (int i = 0; i < 4; i++) {
		char text[] = "192.0.2.1", six[] = "2001:db8::1";
		text[8] = six[10] = (char)('1' + i);
		const char *one = i < 2 ? six : text;
		assert_int_equal(addr_parse(&a[i], one, strlen(one)), 0);
	}
	set = (struct balance_set){ .addrs = a, .n_addrs = 4, .key = keys[9], .family = 6,
	                            .traffic = &traffic };
	for (int r = 0; r < 100; r++)
		seen |= 1u << pick(0, NULL);
	assert_int_equal(seen, 3);
	set.family = 4;
	seen = 0;
	for (int r = 0; r < 100; r++)
		seen |= 1u << pick(0, NULL);
	assert_int_equal(seen, 12);
	/* One that failed comes after those of the other family. */
	set.tried[set.n_tried++] = 2;
	assert_int_equal(pick(0, &t), 3);
	balance_failed(&b, t, NULL, true, 0);
	for (int r = 0; r < 100 && target_find(&b, ((struct target *)slab_at(&b.targets, t))->key)
	                                   ->retry_ms > 0; r++)
		assert_true(pick(0, NULL) < 2);
	/* The same address of another name is another's. */
	set.key = keys[10];
	assert_int_equal(pick(0, NULL), 3);
}

/* The table */

static void full_of_used_ones(void **state)
{
	struct balance_choice c;
	static uint16_t held[BALANCE_TARGETS];

	(void)state;
	traffic.balance = POLICY_ROUND_ROBIN;
	set.run.n = 1;
	for (uint32_t i = 0; i < BALANCE_TARGETS; i++) {
		set.port = (uint16_t)i;
		assert_int_equal(balance_pick(&b, &set, i, &c), 0);
		balance_use(&b, held[i] = c.target, TARGET_FREE, TARGET_ACTIVE);
	}
	set.port = BALANCE_TARGETS;
	for (int r = 0; r < 100; r++) {
		assert_int_equal(balance_pick(&b, &set, 2000, &c), 0);
		assert_int_equal(c.target, TARGET_NONE);
		balance_use(&b, c.target, TARGET_FREE, TARGET_ACTIVE);
		balance_answered(&b, c.target, &traffic, 500, 1);
		balance_failed(&b, c.target, &traffic, true, 1);
		balance_connected(&b, c.target, 1);
	}
	/* Room for who comes later, and the others are where they were. */
	for (uint32_t i = 0; i < BALANCE_TARGETS; i += 2)
		balance_use(&b, held[i], TARGET_ACTIVE, TARGET_FREE);
	for (uint32_t i = 0; i < 4000; i++) {
		set.port = (uint16_t)(2000 + i);
		(void)balance_pick(&b, &set, 3000 + i, &c);
	}
	for (uint32_t i = 1; i < BALANCE_TARGETS; i += 2) {
		const struct target *t = balance_find(&b, keys[0], (uint16_t)i);
		assert_non_null(t);
		assert_int_equal(slab_index(&b.targets, t), held[i]);
		assert_int_equal(t->active, 1);
	}
	assert_int_equal(b.targets.used, BALANCE_TARGETS);
}

static void the_longest_unused_goes(void **state)
{
	struct balance_choice c;

	(void)state;
	set.run.n = 1;
	for (uint32_t i = 0; i < BALANCE_TARGETS; i++) {
		set.port = (uint16_t)i;
		(void)balance_pick(&b, &set, i, &c);
	}
	/* One of the youngest eighth: once in 8^16. */
	for (uint32_t i = 0; i < 100; i++) {
		set.port = (uint16_t)(5000 + i);
		(void)balance_pick(&b, &set, 2000, &c);
		assert_int_not_equal(c.target, TARGET_NONE);
	}
	for (uint32_t i = BALANCE_TARGETS * 7 / 8; i < BALANCE_TARGETS; i++)
		assert_non_null(balance_find(&b, keys[0], (uint16_t)i));
	/* What has just been chosen stays. */
	for (uint32_t i = 0; i < b.targets.high; i++)
		((struct target *)slab_at(&b.targets, i))->used_ms = 3000;
	set.port = 6000;
	assert_int_equal(balance_pick(&b, &set, 3000, &c), 0);
	assert_int_equal(c.target, TARGET_NONE);
}

static void ejected_ones_are_not_forgotten(void **state)
{
	struct balance_choice c;

	(void)state;
	traffic.outliers = true;
	traffic.consecutive_5xx = 1;
	traffic.max_ejection = 100;
	set.run.n = 1;
	assert_int_equal(pick(0, NULL), 0);
	balance_answered(&b, target_of(0), &traffic, 500, 1);
	for (uint32_t i = 1; i < 20000; i++) {
		set.port = (uint16_t)i;
		assert_int_equal(balance_pick(&b, &set, i, &c), 0);
	}
	set.port = 0;
	assert_int_equal(ejected(20000), 1);
}

static void each_record_has_a_key_of_its_own(void **state)
{
	static const int owner_of[10] = { 0, 0, 1, 1, 2, 2, 3, 4, 4, 5 };
	struct policy p = { .n = { [FORMAT_SERVICES] = 2, [FORMAT_GATEWAYS] = 2 } };
	uint64_t k[10], again[10];

	(void)state;
	memset(k, 0, sizeof(k));
	memset(again, 0xff, sizeof(again));
	balance_keys(&p, k);
	balance_keys(&p, again);
	assert_memory_equal(k, again, sizeof(k));
	for (int i = 0; i < 10; i++)
		for (int j = 0; j < i; j++)
			assert_true(k[i] != k[j]);
	/* The same address is one endpoint to each owner. */
	same_addr = true;
	balance_keys(&p, k);
	same_addr = false;
	for (int i = 0; i < 10; i++)
		for (int j = 0; j < i; j++)
			assert_int_equal(k[i] == k[j], owner_of[i] == owner_of[j]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(load_follows_weights),
		TEST(round_robin_is_smooth),
		TEST(the_less_loaded_of_two),
		TEST(load_evens_out),
		TEST(hash_moves_few),
		TEST(nobody_is_better_than_the_wrong_one),
		TEST(without_a_policy_for_traffic),
		TEST(outliers_5xx),
		TEST(outliers_gateway),
		TEST(outliers_local),
		TEST(outliers_in_bounds),
		TEST(ejections_grow_to_a_limit),
		TEST(no_outliers_nothing_ejected),
		TEST(connections_have_a_limit),
		TEST(who_failed_comes_last),
		TEST(back_off_is_spread),
		TEST(one_at_a_time_in_an_outage),
		TEST(addresses_have_state),
		TEST(full_of_used_ones),
		TEST(the_longest_unused_goes),
		TEST(ejected_ones_are_not_forgotten),
		TEST(each_record_has_a_key_of_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
