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
static bool speaks(enum policy_protocol server, const struct route_query *q)
{
	if (q->ended)
		return q->seen != ROUTE_SEEN_OTHER || server == POLICY_PROTO_TLS;
	return (q->seen == ROUTE_SEEN_HTTP && policy_protocol_is_http(server)) ||
	       (q->seen == ROUTE_SEEN_TLS && policy_protocol_is_tls(server));
}

void route_find_gateway(const struct policy *p, uint32_t gateway, const struct route_query *q,
			struct route *r)
{
	bool by_sni = q->ended && q->seen == ROUTE_SEEN_OTHER;
	const char *name = by_sni ? q->sni : q->name;
	size_t len = !by_sni ? q->name_len : name != NULL ? strlen(name) : 0;
	enum policy_server_tls tls;
	struct policy_port server;

	memset(r, 0, sizeof(*r));
	if (!policy_gateway_server(p, gateway, q->port, &server, &tls))
		r->reason = ROUTE_WHY_NO_SERVER;
	else if (policy_protocol_is_tcp(server.protocol))
		take(r, policy_find_port_route(p, gateway, q->port));
	else if (q->seen == ROUTE_SEEN_NOTHING)
		r->verdict = ROUTE_SNIFF;
	else if (!speaks(server.protocol, q))
		r->reason = ROUTE_WHY_NO_SERVER;
	else if (name == NULL || len == 0)
		r->reason = ROUTE_WHY_NO_NAME;
	else if (!policy_gateway_accepts(p, gateway, name, len))
		r->reason = ROUTE_WHY_NO_HOST;
	else
		take(r, policy_find_route(p, name, len, q->port, q->http));
}
