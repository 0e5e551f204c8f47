/* SPDX-License-Identifier: MIT */
/* Where a connection or request goes: the decision, and the destination of its route. */
#include <string.h>

#include "rules/gateway.h"
#include "tproxy/conn.h"

void conn_find_route(const struct worker *w, const struct conn *c, const struct route_query *q,
                     struct route *r)
{
	if (!c->at_gateway) {
		route_find(conn_policy(w, c), q, r);
		return;
	}
	struct route_query at = *q;
	char sni[NAME_SIZE];
	const char *said = c->tls ? tls_sni(c->tls) : "";
	at.ended = c->tls != NULL;
	at.sni = name_canon(sni, said, strlen(said)) > 0 ? sni : NULL;
	route_find_gateway(conn_policy(w, c), (uint32_t)conn_gateway(w, c), &at, r);
}

static uint32_t draw(struct worker *w, const struct policy *p, const struct policy_route *route)
{
	uint64_t left = ((uint64_t)worker_random(w) << 32 | worker_random(w)) % route->weight;
	uint32_t i = route->destinations.first;

	for (uint32_t last = i + route->destinations.n - 1; i < last; i++) {
		struct policy_destination d;
		policy_destination(p, i, &d);
		if (left < d.weight)
			break;
		left -= d.weight;
	}
	return i;
}

bool conn_take_route(struct worker *w, struct conn *c, struct route *r)
{
	const struct policy *p = conn_policy(w, c);
	struct policy_destination d;
	struct policy_route route;

	c->service = r->verdict == ROUTE_SERVICE ? r->service : NONE;
	c->key = r->key && r->verdict == ROUTE_SERVICE
	         ? (uint32_t)(r->key - p->at[FORMAT_NAMES]) : NONE;
	c->destination = NONE;
	if (r->verdict == ROUTE_PASSTHROUGH)
		c->flags |= CONN_PASSTHROUGH;
	if (!r->routed)
		return r->verdict >= ROUTE_SERVICE;
	policy_route(p, r->route, &route);
	if (!route.weight) {
		r->verdict = ROUTE_DENY;
		r->reason = ROUTE_WHY_NO_ROUTE;
		return false;
	}
	c->destination = draw(w, p, &route);
	policy_destination(p, c->destination, &d);
	if (!d.host)
		return true;
	/* A gateway's clients are nodes: whom a service is for these have judged. */
	int64_t service = policy_destination_service(p, &d, c->at_gateway ? NULL : &c->src,
	                                             &r->port);
	if (service < 0) {
		r->verdict = ROUTE_DENY;
		r->reason = ROUTE_WHY_OTHER_CLIENT;
		return false;
	}
	c->service = (uint32_t)service;
	c->key = NONE;
	return true;
}
