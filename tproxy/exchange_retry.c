/* SPDX-License-Identifier: MIT */
/* How long a route lets a request take, and when it is tried again. */
#include "tproxy/exchange_rule.h"
#include "tproxy/relay.h"

#define PAUSE_MS     25  /* Envoy's: doubled with each try, and a random part of that */
#define PAUSE_MAX_MS 250

static uint32_t least(uint32_t a, int64_t b)
{
	return b >= a ? a : b < 1 ? 1 : (uint32_t)b;
}

uint32_t exchange_run_time(struct worker *w, const struct conn *c, const struct exchange *x)
{
	const struct workers_config *f = w->config;
	bool body = x->head_done || !x->rq_body.done;
	uint32_t idle_ms = c->up == NONE ? f->idle_ms : up_at(w, c->up)->idle_ms;
	uint32_t ms = body ? idle_ms : f->response_ms;

	if (c->io & IO_RDHUP)
		ms = least(ms, f->half_closed_ms);
	if (body && f->min_rate) {
		uint64_t bytes = x->head_done ? x->rs_body.bytes : x->rq_body.bytes;
		int64_t start = x->head_done ? x->first_byte_ms : x->start_ms;
		ms = least(ms, start + idle_ms + (int64_t)(bytes * 1000 / f->min_rate) -
		               w->loop.now_ms);
	}
	return exchange_limit(w, x, ms);
}

void exchange_set_limits(struct worker *w, const struct conn *c, struct exchange *x)
{
	struct policy_route_http h;

	if (x->route == NONE || !x->rq_body.done)
		return;
	policy_route_http(conn_policy(w, c), x->route, &h);
	if (h.timeout && !x->deadline_ms)
		x->deadline_ms = w->loop.now_ms + h.timeout;
	if (h.per_try && !x->try_ms && x->phase == EXCHANGE_RUN)
		x->try_ms = w->loop.now_ms + h.per_try;
}

bool exchange_is_late(const struct worker *w, const struct exchange *x)
{
	return x->deadline_ms && w->loop.now_ms >= x->deadline_ms;
}

bool exchange_try_is_late(const struct worker *w, const struct exchange *x)
{
	return x->try_ms && !x->head_done && w->loop.now_ms >= x->try_ms;
}

uint32_t exchange_limit(const struct worker *w, const struct exchange *x, uint32_t ms)
{
	int64_t end = w->loop.now_ms + ms;

	if (x->deadline_ms && x->deadline_ms < end)
		end = x->deadline_ms;
	if (x->try_ms && !x->head_done && x->try_ms < end)
		end = x->try_ms;
	return end > w->loop.now_ms ? (uint32_t)(end - w->loop.now_ms) : 0;
}

static bool wants(const struct policy_route_http *h, uint32_t cause, uint16_t status)
{
	bool listed = false;

	if (status >= 502 && status <= 504)
		cause |= POLICY_RETRY_GATEWAY_ERROR;
	if (status >= 500)
		cause |= POLICY_RETRY_5XX;
	for (uint32_t i = 0; i < h->retry_statuses.n && !listed; i++)
		listed = policy_item(h->retry_statuses, i) == status;
	return listed || (h->retry_on & cause);
}

bool exchange_tries_again(struct worker *w, struct conn *c, struct exchange *x, uint32_t cause,
                          uint16_t status)
{
	bool bodiless = x->rq.framing == HTTP_BODY_NONE ||
	                (x->rq.framing == HTTP_BODY_LENGTH && !x->rq.length);
	struct policy_route_http h;

	if (x->route == NONE || x->head_done || x->interim ||
	    (!bodiless && x->phase != EXCHANGE_DIAL))
		return false;
	policy_route_http(conn_policy(w, c), x->route, &h);
	if (!h.retries || !wants(&h, cause, status) || exchange_is_late(w, x))
		return false;
	x->exhausted = x->tries >= h.retries;
	if (x->exhausted)
		return false;
	x->tries++;
	if (c->up != NONE && x->n_avoided < EXCHANGE_AVOIDED)
		x->avoided[x->n_avoided++] = up_at(w, c->up)->place;
	if (x->rs_buf != NONE)
		buffer_give(w, x->rs_buf);
	x->rs_buf = NONE;
	x->rs_len = 0;
	x->rs_scanned = 0;
	return true;
}

uint32_t exchange_pause(struct worker *w, const struct exchange *x)
{
	uint32_t most = x->tries < 5 ? PAUSE_MS << (x->tries - 1) : PAUSE_MAX_MS;

	return exchange_limit(w, x, worker_random(w) % most);
}

enum access_flag exchange_flag(const struct exchange *x, enum access_flag flag)
{
	if (!x->exhausted)
		return flag;
	switch (flag) {
	case FLAG_NONE: return FLAG_URX;
	case FLAG_UF: return FLAG_UF_URX;
	case FLAG_UT: return FLAG_UT_URX;
	case FLAG_UC: return FLAG_UC_URX;
	case FLAG_UPE: return FLAG_UPE_URX;
	default: return flag;
	}
}
