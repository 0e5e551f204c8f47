/* SPDX-License-Identifier: MIT */
/* What routes and gateways do with a connection. */
#include "rules/explain.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "rules/gateway.h"

#define LABEL EXPLAIN_LABEL

/* Whether an address of a gateway is one that is never dialled. A gateway may be in private space. */
static bool is_refused(const struct policy_endpoint *e)
{
	return e->name == NULL && addr_classify(&e->addr) == ADDR_REFUSED;
}

static void print_endpoints(const struct policy *p, struct policy_run run, uint16_t port)
{
	for (uint32_t i = 0; i < run.n; i++) {
		struct policy_endpoint e;
		char text[ADDR_PORT_TEXT];
		uint16_t dialled;

		policy_endpoint(p, run.first + i, &e);
		dialled = e.port != 0 ? e.port : port;
		printf("%s", i > 0 ? ", " : "");
		if (e.name != NULL)
			printf("%s:%u", e.name, dialled);
		else
			printf("%s", addr_port_format(&e.addr, dialled, text));
		if (e.weight != 1)
			printf(" weight %u", e.weight);
		if (is_refused(&e))
			printf(" (not dialled: %s)", addr_class_name(&e.addr));
	}
}

static void print_destination(const struct policy *p, const struct policy_destination *d,
			      uint16_t port, uint32_t sum)
{
	struct policy_gateway g;
	struct policy_service s;
	struct policy_port its;
	int64_t service;

	printf(LABEL, "to:");
	if (d->host == NULL) {
		policy_gateway(p, d->gateway, &g);
		printf("gateway %s%s%s, via %s, at ", g.name, d->subset != NULL ? ", subset " : "",
		       d->subset != NULL ? d->subset : "", policy_via_name(g.via));
		print_endpoints(p, d->endpoints, port);
	} else {
		service = policy_destination_service(p, d, NULL, &its);
		policy_service(p, (uint32_t)service, &s);
		printf("%s:%u, as service %s has it", d->host, d->port, s.name);
	}
	printf("; weight %u of %u\n", d->weight, sum);
}

void explain_print_route(const struct policy *p, uint32_t route, uint16_t port, bool http)
{
	struct policy_destination d;
	struct policy_gateway g;
	struct policy_route r;

	policy_route(p, route, &r);
	printf(LABEL "%s\n", "route:", r.name);
	if (http)
		explain_print_rule(p, route);
	for (uint32_t i = 0; i < r.destinations.n; i++) {
		policy_destination(p, r.destinations.first + i, &d);
		print_destination(p, &d, port, r.weight);
		if (d.host == NULL)
			explain_print_gateway_tls(p, d.gateway);
	}
	for (uint32_t i = 0; i < r.destinations.n; i++) {
		policy_destination(p, r.destinations.first + i, &d);
		if (d.host == NULL)
			policy_gateway(p, d.gateway, &g);
		printf(LABEL "outbound|%u|%s|%s\n", "cluster:",
		       (unsigned)(d.host != NULL ? d.port : port),
		       d.host == NULL && d.subset != NULL ? d.subset : "",
		       d.host != NULL ? d.host : g.name);
	}
}

bool explain_route_undialled(const struct policy *p, uint32_t route)
{
	struct policy_destination d;
	struct policy_endpoint e;
	struct policy_route r;

	policy_route(p, route, &r);
	for (uint32_t i = 0; i < r.destinations.n; i++) {
		policy_destination(p, r.destinations.first + i, &d);
		if (d.weight == 0)
			continue;
		if (d.host != NULL)
			return false;
		for (uint32_t k = 0; k < d.endpoints.n; k++) {
			policy_endpoint(p, d.endpoints.first + k, &e);
			if (!is_refused(&e))
				return false;
		}
	}
	return r.destinations.n > 0;
}

/* How a client would have to speak to the server. */
static enum route_seen spoken(enum policy_protocol server)
{
	return policy_protocol_is_http(server)  ? ROUTE_SEEN_HTTP
	       : policy_protocol_is_tls(server) ? ROUTE_SEEN_TLS
						: ROUTE_SEEN_NOTHING;
}

int explain_own_gateway(const struct policy *p, uint32_t gateway, const struct ask *a)
{
	struct policy_port server = {.protocol = POLICY_PROTO_NONE};
	struct route_query q = { .src = a->client, .port = a->port, .seen = a->seen,
				 .name = a->name_len > 0 ? a->name : NULL, .name_len = a->name_len };
	struct policy_http request = ask_http(a);
	struct policy_gateway g;
	struct route r;
	enum policy_server_tls tls;
	bool http, known = policy_gateway_server(p, gateway, a->port, &server, &tls);

	policy_gateway(p, gateway, &g);
	http = policy_protocol_is_http(server.protocol);
	if (q.seen == ROUTE_SEEN_NOTHING && known)
		q.seen = spoken(server.protocol);
	/* Then what is inside decides. */
	q.ended = tls == POLICY_SERVER_SIMPLE || tls == POLICY_SERVER_MUTUAL;
	if (q.ended && a->seen == ROUTE_SEEN_NOTHING && server.protocol == POLICY_PROTO_HTTPS)
		q.seen = ROUTE_SEEN_HTTP;
	q.http = q.seen == ROUTE_SEEN_HTTP ? &request : NULL;
	route_find_gateway(p, gateway, &q, &r);
	printf(LABEL "%s, port %u, at gateway %s\n", "asked:", a->name_len > 0 ? a->name : "no host",
	       a->port, g.name);
	printf(LABEL "%s\n" LABEL "%s\n", "verdict:", r.routed ? "allowed" : "refused", "why:",
	       r.reason == ROUTE_WHY_NO_NAME ? "the client names no host"
					     : route_reason_text(r.reason));
	if (r.routed) {
		printf(LABEL "%s:%u\n", "server:", policy_protocol_name(server.protocol),
		       server.number);
		explain_print_route(p, r.route, a->port, q.seen == ROUTE_SEEN_HTTP);
		return EX_OK;
	}
	printf(LABEL "%s\n", "client:",
	       (http || q.ended) && q.seen == ROUTE_SEEN_HTTP
		       ? "HTTP/1.1 404 Not Found"
		       : "the connection is closed before a byte goes out");
	return EXPLAIN_REFUSED;
}
