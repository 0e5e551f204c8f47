/* SPDX-License-Identifier: MIT */
/* The state of endpoints: who uses them, outlier detection as Envoy has it, back-off. */
#include "tproxy/target.h"

#include <string.h>

#define BACKOFF_MS      500
#define BACKOFF_MAX_MS  30000
#define EJECTION_MAX_MS 300000
#define SAMPLE          16 /* that are looked at for one to give up */

enum { ERROR_5XX, ERROR_GATEWAY, ERROR_LOCAL };

int balance_init(struct balance *b, uint32_t workers, uint64_t seed, struct stats *stats)
{
	memset(b, 0, sizeof(*b));
	b->workers = workers;
	b->random = seed | 1;
	b->stats = stats;
	return slab_init(&b->targets, sizeof(struct target), BALANCE_TARGETS);
}

void balance_fini(struct balance *b)
{
	slab_fini(&b->targets);
}

uint64_t target_mix(uint64_t h)
{
	h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 31;
}

uint64_t target_random(struct balance *b)
{
	return target_mix(b->random += UINT64_C(0x9e3779b97f4a7c15));
}

/* Finding */

static struct target *at(const struct balance *b, uint32_t i)
{
	return slab_at(&b->targets, i);
}

static uint16_t *bucket_of(const struct balance *b, uint64_t key)
{
	return (uint16_t *)&b->buckets[key % BALANCE_BUCKETS];
}

struct target *target_find(const struct balance *b, uint64_t key)
{
	for (uint32_t i = *bucket_of(b, key); i; i = at(b, i - 1)->link)
		if (at(b, i - 1)->key == key)
			return at(b, i - 1);
	return NULL;
}

static void forget(struct balance *b, struct target *t)
{
	uint16_t *head = bucket_of(b, t->key);
	uint32_t i = slab_index(&b->targets, t) + 1;

	if (*head == i) {
		*head = (uint16_t)t->link;
	} else {
		struct target *before = at(b, *head - 1u);
		while (before->link != i)
			before = at(b, before->link - 1);
		before->link = t->link;
	}
	slab_give(&b->targets, i - 1);
}

/*
 * The table is full: the longest unused of a few goes, if it is in no use and nothing is held
 * against it.
 */
static void make_room(struct balance *b, int64_t now_ms)
{
	struct target *oldest = NULL;

	for (int i = 0; i < SAMPLE; i++) {
		struct target *t = at(b, (uint32_t)(target_random(b) % BALANCE_TARGETS));
		if (!t->connections && t->used_ms < now_ms && t->ejected_ms <= now_ms &&
		    (!oldest || t->used_ms < oldest->used_ms))
			oldest = t;
	}
	if (oldest)
		forget(b, oldest);
}

struct target *target_take(struct balance *b, uint64_t key, int64_t now_ms)
{
	struct target *t = target_find(b, key);

	if (!t) {
		if (b->targets.used == BALANCE_TARGETS)
			make_room(b, now_ms);
		uint32_t i = slab_take(&b->targets);
		if (i == SLAB_NONE)
			return NULL;
		t = at(b, i);
		memset(t, 0, sizeof(*t));
		t->key = key;
		t->link = *bucket_of(b, key);
		*bucket_of(b, key) = (uint16_t)(i + 1);
	}
	t->used_ms = now_ms;
	return t;
}

/* Use */

static int is_connecting(enum target_use u)
{
	return u == TARGET_CONNECTING || u == TARGET_GREETING;
}

void balance_use(struct balance *b, uint16_t target, enum target_use from, enum target_use to)
{
	if (target == TARGET_NONE)
		return;
	struct target *t = at(b, target);
	t->connections += (uint32_t)((to != TARGET_FREE) - (from != TARGET_FREE));
	t->active += (uint32_t)((to % TARGET_IDLE != 0) - (from % TARGET_IDLE != 0));
	t->connecting += (uint32_t)(is_connecting(to) - is_connecting(from));
}

/* Outlier detection */

/* Ejections end, and are forgotten one by one, at fixed times: multiples of the interval. */
bool target_ejected(struct target *t, const struct policy_traffic *r, int64_t now_ms)
{
	if (!t->ejections || !r || !r->outliers)
		return false;
	int64_t turn = now_ms / r->outlier_interval;
	if (t->ejected_ms) {
		int64_t end = (t->ejected_ms + r->outlier_interval - 1) / r->outlier_interval;
		if (turn < end)
			return true;
		t->ejected_ms = 0;
		t->swept = end;
		memset(t->errors, 0, sizeof(t->errors));
	}
	/* Another policy may count in longer intervals: then nothing is forgotten at first. */
	for (; t->swept < turn && t->ejections; t->swept++)
		t->ejections--;
	t->swept = turn;
	return false;
}

/* Whether one more of its group may go; the first may, whatever the share. */
static bool may_eject(const struct balance *b, const struct target *t,
                      const struct policy_traffic *r, int64_t now_ms)
{
	uint64_t ejected = 0;

	for (uint32_t i = 0; i < b->targets.high; i++) {
		struct target *o = at(b, i);
		ejected += o->group == t->group && target_ejected(o, r, now_ms);
	}
	return ejected * 100 < (uint64_t)t->size * r->max_ejection;
}

static void count_error(struct balance *b, struct target *t, const struct policy_traffic *r,
                        int which, uint32_t limit, int64_t now_ms)
{
	if (!limit || ++t->errors[which] < limit)
		return;
	t->errors[which] = 0;
	if (target_ejected(t, r, now_ms) || !may_eject(b, t, r, now_ms))
		return;
	uint64_t max = r->base_ejection > EJECTION_MAX_MS ? r->base_ejection : EJECTION_MAX_MS;
	t->ejections += t->ejections < UINT8_MAX;
	uint64_t ms = (uint64_t)r->base_ejection * t->ejections;
	t->ejected_ms = now_ms + (int64_t)(ms < max ? ms : max);
	stat_add(&b->stats->v[STAT_OUTLIERS], 1);
}

static void count_answer(struct balance *b, struct target *t, const struct policy_traffic *r,
                         int status, int64_t now_ms)
{
	if (!r || !r->outliers)
		return;
	bool gateway = status == 502 || status == 503 || status == 504;
	t->errors[ERROR_LOCAL] = 0;
	if (!gateway)
		t->errors[ERROR_GATEWAY] = 0;
	else
		count_error(b, t, r, ERROR_GATEWAY, r->consecutive_gateway, now_ms);
	if (status < 500)
		t->errors[ERROR_5XX] = 0;
	else
		count_error(b, t, r, ERROR_5XX, r->consecutive_5xx, now_ms);
}

void balance_answered(struct balance *b, uint16_t target, const struct policy_traffic *r,
                      int status, int64_t now_ms)
{
	if (target == TARGET_NONE)
		return;
	struct target *t = at(b, target);
	t->used_ms = now_ms;
	if (status >= 500)
		t->last = (uint16_t)status;
	count_answer(b, t, r, status, now_ms);
}

void balance_connected(struct balance *b, uint16_t target, int64_t now_ms)
{
	if (target == TARGET_NONE)
		return;
	struct target *t = at(b, target);
	t->used_ms = now_ms;
	t->fails = 0;
	t->errors[ERROR_LOCAL] = 0;
}

/* Full jitter: nodes that lost a gateway together do not come back together. */
static void back_off(struct balance *b, struct target *t, int64_t now_ms)
{
	uint32_t most = BACKOFF_MAX_MS;

	if (t->fails < 6)
		most = BACKOFF_MS << t->fails;
	t->fails += t->fails < UINT8_MAX;
	t->retry_ms = now_ms + (int64_t)(target_random(b) % (most + 1));
}

void balance_failed(struct balance *b, uint16_t target, const struct policy_traffic *r,
                    bool connecting, int64_t now_ms)
{
	if (target == TARGET_NONE)
		return;
	struct target *t = at(b, target);
	t->used_ms = now_ms;
	t->last = connecting ? TARGET_NO_CONNECTION : TARGET_NO_ANSWER;
	if (connecting)
		back_off(b, t, now_ms);
	/* As Envoy: counted apart, or else as the 503 that the client gets. */
	if (r && r->outliers && r->consecutive_local)
		count_error(b, t, r, ERROR_LOCAL, r->consecutive_local, now_ms);
	else
		count_answer(b, t, r, 503, now_ms);
}
