/* SPDX-License-Identifier: MIT */
/* Lookups: two queries each, what their answers mean for the entry, and deadlines. */
#include "tproxy/resolve_state.h"

#include "tproxy/dns_heap.h"

/* c-ares ends queries by itself well before, unless an allocation failed at the wrong moment. */
#define LOOKUP_MAX_MS   35000
#define LOOKUP_AGAIN_MS 1000

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t expiry(const struct lookup *l, int family)
{
	return l->got_ms[family] + (int64_t)l->result[family].ttl * 1000;
}

static bool found(const struct lookup *l, int family)
{
	return l->result[family].status == RESOLVE_OK;
}

static void believe(struct resolver *r, uint32_t i, uint8_t status, int64_t expires_ms)
{
	struct dns_entry *e = dns_cache_at(&r->cache, i);

	e->status = status;
	e->expires_ms = expires_ms;
	e->ttl_ms = expires_ms > r->now_ms ? (uint32_t)(expires_ms - r->now_ms) : 0;
	e->failures = 0;
	e->retry_ms = 0;
	entry_ready(r, i, READY_ANSWER);
}

/* Old addresses stay as long as they may be of use. */
static void give_up(struct resolver *r, uint32_t i)
{
	struct dns_entry *e = dns_cache_at(&r->cache, i);
	int64_t wait_ms = (int64_t)RESOLVE_RETRY_MS << e->failures;

	r->stats.failures++;
	e->retry_ms = r->now_ms + earlier(wait_ms, RESOLVE_RETRY_MAX);
	if (wait_ms < RESOLVE_RETRY_MAX)
		e->failures++;
	if (!entry_usable(r, e)) {
		dns_cache_store(&r->cache, i, NULL, 0, NULL, 0);
		e->status = RESOLVE_FAIL;
	}
	entry_ready(r, i, READY_LATE);
}

/* One family's addresses are an answer without the other's; that there are none is said by both. */
static void publish(struct resolver *r, const struct lookup *l)
{
	const struct dns_result *a = &l->result[0], *aaaa = &l->result[1];
	uint8_t n4 = found(l, 0) ? a->n : 0, n6 = found(l, 1) ? aaaa->n : 0;
	int64_t expires_ms = earlier(expiry(l, 0), expiry(l, 1));

	if (n4 > 0 || n6 > 0) {
		if (n4 == 0 || n6 == 0)
			expires_ms = expiry(l, n6 > 0);
		if (dns_cache_store(&r->cache, l->entry, aaaa->v6, n6, a->v4, n4) < 0)
			give_up(r, l->entry);
		else
			believe(r, l->entry, RESOLVE_OK, expires_ms);
	} else if (a->status == RESOLVE_FAIL || aaaa->status == RESOLVE_FAIL) {
		give_up(r, l->entry);
	} else {
		dns_cache_store(&r->cache, l->entry, NULL, 0, NULL, 0);
		believe(r, l->entry, a->status == aaaa->status ? a->status : RESOLVE_NODATA,
		        expires_ms);
	}
}

static void finish(struct resolver *r, struct lookup *l)
{
	uint32_t i = l->entry;

	if (i != DNS_NONE) {
		publish(r, l);
		dns_cache_at(&r->cache, i)->lookup = DNS_NONE;
		entry_release(r, i);
	}
	slab_give(&r->lookups, slab_index(&r->lookups, l));
	if (r->lookups.used == 0)
		r->due_ms = RESOLVE_NEVER;
}

static void on_answer(void *ctx, ares_status_t status, size_t timeouts,
                      const ares_dns_record_t *response)
{
	const struct query *q = ctx;
	struct resolver *r = q->resolver;
	struct lookup *l = q->lookup;
	char name[NAME_SIZE];

	l->out--;
	r->stats.timeouts += timeouts;
	if (status == ARES_EDESTRUCTION)
		return;
	l->got_ms[q->v6] = r->now_ms;
	if (response && l->entry != DNS_NONE) {
		dns_cache_name(&r->cache, l->entry, name);
		dns_answer_read(response, name, q->v6, r->negative_ttl_max, &l->result[q->v6]);
	}
	if (l->out == 0) {
		finish(r, l);
	} else if (found(l, q->v6)) {
		l->settle_ms = r->now_ms + RESOLVE_SETTLE_MS;
		r->due_ms = earlier(r->due_ms, l->settle_ms);
	}
}

static void send_query(struct query *q, const char *name)
{
	ares_dns_rec_type_t type = q->v6 ? ARES_REC_TYPE_AAAA : ARES_REC_TYPE_A;

	ares_query_dnsrec(q->resolver->channel, name, ARES_CLASS_IN, type, on_answer, q, NULL);
}

bool lookup_start(struct resolver *r, uint32_t entry)
{
	struct dns_entry *e = dns_cache_at(&r->cache, entry);
	uint32_t i = r->sick || dns_heap_tight() ? SLAB_NONE : slab_take(&r->lookups);
	char name[NAME_SIZE];

	if (i == SLAB_NONE)
		return false;
	struct lookup *l = lookup_at(r, i);
	l->entry = entry;
	l->out = 2;
	l->published = false;
	l->started_ms = r->now_ms;
	l->settle_ms = RESOLVE_NEVER;
	l->stale_ms = entry_usable(r, e) ? r->now_ms + RESOLVE_STALE_MS : RESOLVE_NEVER;
	l->end_ms = r->now_ms + LOOKUP_MAX_MS;
	for (int f = 0; f < 2; f++) {
		l->query[f] = (struct query){ r, l, f == 1 };
		l->result[f].status = RESOLVE_FAIL;
		l->result[f].ttl = 0;
	}
	r->due_ms = earlier(r->due_ms, earlier(l->stale_ms, l->end_ms));
	r->stats.queries += 2;
	e->lookup = i;
	dns_cache_name(&r->cache, entry, name);
	/* Each may report at once; the second report frees the lookup. */
	send_query(&l->query[1], name);
	send_query(&l->query[0], name);
	return true;
}

void lookup_abandon(struct resolver *r, uint32_t entry)
{
	struct dns_entry *e = dns_cache_at(&r->cache, entry);

	lookup_at(r, e->lookup)->entry = DNS_NONE;
	e->lookup = DNS_NONE;
}

/* What an entry's lookup does by itself when time passes. */
static void expire(struct resolver *r, struct lookup *l)
{
	if (r->now_ms >= l->settle_ms) {
		l->settle_ms = RESOLVE_NEVER;
		l->published = true;
		publish(r, l);
	}
	if (r->now_ms >= l->stale_ms) {
		l->stale_ms = RESOLVE_NEVER;
		entry_ready(r, l->entry, READY_LATE);
	}
}

void lookups_expire(struct resolver *r)
{
	bool overdue = false;

	if (r->now_ms < r->due_ms)
		return;
	r->due_ms = RESOLVE_NEVER;
	for (uint32_t i = 0; i < r->lookups.high; i++) {
		struct lookup *l = lookup_at(r, i);
		if (!l->out)
			continue;
		if (l->entry != DNS_NONE) {
			expire(r, l);
			r->due_ms = earlier(r->due_ms, earlier(l->settle_ms, l->stale_ms));
		}
		if (r->now_ms >= l->end_ms) {
			overdue = true;
			l->end_ms = r->now_ms + LOOKUP_AGAIN_MS;
		}
		r->due_ms = earlier(r->due_ms, l->end_ms);
	}
	/* A query that c-ares has lost can only be ended together with all others. */
	if (overdue)
		ares_cancel(r->channel);
}
