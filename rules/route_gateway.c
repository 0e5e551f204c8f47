/* SPDX-License-Identifier: MIT */
/* The decision of a gateway on what nodes ask it for. */
#include "rules/route.h"

#include <string.h>

#include "rules/gateway.h"

static void take(struct route *r, int64_t route)
{
	if (route < 0) {
		r->reason = ROUTE_WHY_NO_ROUTE;
		return;
	}
	r->verdict = ROUTE_ALONG;
	r->reason = ROUTE_WHY_ROUTE;
	r->routed = true;
	r->route = (uint32_t)route;
}

/* Whether a server of the protocol is asked for as it has to be. */
static bool speaks(enum policy_protocol server, enum route_seen seen)
{
	return (seen == ROUTE_SEEN_HTTP && policy_protocol_is_http(server)) ||
	       (seen == ROUTE_SEEN_TLS && policy_protocol_is_tls(server));
}

void route_find_gateway(const struct policy *p, uint32_t gateway, const struct route_query *q,
			struct route *r)
{
	struct policy_port server;

	memset(r, 0, sizeof(*r));
	if (!policy_gateway_server(p, gateway, q->port, &server))
		r->reason = ROUTE_WHY_NO_SERVER;
	else if (policy_protocol_is_tcp(server.protocol))
		take(r, policy_find_port_route(p, gateway, q->port));
	else if (q->seen == ROUTE_SEEN_NOTHING)
		r->verdict = ROUTE_SNIFF;
	else if (!speaks(server.protocol, q->seen))
		r->reason = ROUTE_WHY_NO_SERVER;
	else if (q->name == NULL)
		r->reason = ROUTE_WHY_NO_NAME;
	else if (!policy_gateway_accepts(p, gateway, q->name, q->name_len))
		r->reason = ROUTE_WHY_NO_HOST;
	else
		take(r, policy_find_route(p, q->name, q->name_len, q->port, q->http));
}
