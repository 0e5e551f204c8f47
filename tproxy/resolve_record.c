/* SPDX-License-Identifier: MIT */
/* Questions for records other than addresses: passed to c-ares one by one, kept nowhere. */
#include "tproxy/resolve_state.h"

#include <errno.h>

#include "tproxy/dns_heap.h"

static void on_record(void *ctx, ares_status_t status, size_t timeouts,
                      const ares_dns_record_t *response)
{
	const struct record_query *q = ctx;
	struct resolver *r = q->resolver;
	uint64_t waiter = q->waiter;

	r->stats.timeouts += timeouts;
	slab_give(&r->records, slab_index(&r->records, q));
	if (status != ARES_EDESTRUCTION)
		r->record(r->ctx, waiter, response);
}

int resolver_ask_record(struct resolver *r, const char *name, size_t len, uint16_t type,
                        uint64_t waiter, int64_t now_ms)
{
	r->now_ms = now_ms;
	r->stats.asked++;
	if (len == 0 || len > NAME_MAX_LEN || !r->record) {
		errno = EINVAL;
		return -1;
	}
	uint32_t i = r->sick || dns_heap_tight() ? SLAB_NONE : slab_take(&r->records);
	if (i == SLAB_NONE) {
		r->stats.refused_full++;
		errno = ENOBUFS;
		return -1;
	}
	struct record_query *q = slab_at(&r->records, i);
	q->resolver = r;
	q->waiter = waiter;
	r->stats.queries++;
	ares_query_dnsrec(r->channel, name, ARES_CLASS_IN, (ares_dns_rec_type_t)type, on_record, q,
	                  NULL);
	return 0;
}
