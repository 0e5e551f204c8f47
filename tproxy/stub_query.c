/* SPDX-License-Identifier: MIT */
/* The table of questions that wait. */
#include "tproxy/stub.h"

#include "tproxy/worker_state.h"

int stub_init(struct worker *w, bool needed, const char **step)
{
	*step = "memory for DNS queries";
	if (slab_init(&w->stub.queries, sizeof(struct stub_query), STUB_QUERIES) < 0)
		return -1;
	return stub_udp_open(w, needed, step);
}

uint64_t stub_waiter(struct worker *w, const struct stub_query *s)
{
	return STUB_WAITER | (uint64_t)(s->generation & 0x0fffffff) << 32 |
	       slab_index(&w->stub.queries, s);
}

struct stub_query *stub_query_of(struct worker *w, uint64_t waiter)
{
	struct stub_query *s = slab_at(&w->stub.queries, (uint32_t)waiter);

	return s->live && stub_waiter(w, s) == waiter ? s : NULL;
}

/* Clients choose their addresses within their prefix: an IPv6 client is its /64. */
static uint8_t bucket_of(const struct worker *w, const struct addr *a)
{
	size_t len = addr_is_v4(a) ? sizeof(a->b) : 8;

	return (uint8_t)name_hash((uint32_t)w->number + 1, (const char *)a->b, len);
}

struct stub_query *stub_hold(struct worker *w, const struct stub_peer *peer,
                             const struct dns_question *q)
{
	uint8_t bucket = bucket_of(w, &peer->src);
	uint32_t i = w->stub.clients[bucket] < STUB_PER_CLIENT ? slab_take(&w->stub.queries) : NONE;

	if (i == NONE)
		return NULL;
	struct stub_query *s = slab_at(&w->stub.queries, i);
	s->live = true;
	s->learning = false;
	s->bucket = bucket;
	s->peer = *peer;
	s->question = *q;
	w->stub.clients[bucket]++;
	worker_count(w, STAT_DNS_ACTIVE, 1);
	return s;
}

void stub_release(struct worker *w, struct stub_query *s)
{
	w->stub.clients[s->bucket]--;
	s->live = false;
	s->generation++;
	slab_give(&w->stub.queries, slab_index(&w->stub.queries, s));
	worker_count(w, STAT_DNS_ACTIVE, -1);
}

void stub_end(struct worker *w)
{
	for (uint32_t i = 0; i < w->stub.queries.high; i++) {
		struct stub_query *s = slab_at(&w->stub.queries, i);
		if (!s->live)
			continue;
		resolver_cancel(w->resolver, stub_waiter(w, s));
		stub_release(w, s);
	}
}
