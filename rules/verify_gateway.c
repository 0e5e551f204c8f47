/* SPDX-License-Identifier: MIT */
/* The check of GATEWAYS, SUBSETS, ROUTES, DESTINATIONS and ROUTE_HOSTS. */
#include "rules/verify.h"

#include "rules/gateway.h"

#define WEIGHT_MAX 1000000

static const uint8_t *record(const struct verify *v, enum format_section section, uint32_t i,
			     size_t size)
{
	return v->p->at[section] + (size_t)i * size;
}

/* ---- gateways ---- */

/*
 * That how it is reached is said where it is, and what its listeners need where the node is the gateway
 * itself: it gets no keys of others, and they none of its.
 */
static bool check_via(struct verify *v, const uint8_t *r, uint32_t i, bool own)
{
	uint8_t via = r[GATEWAY_VIA];
	bool tls = via == POLICY_VIA_TLS || via == POLICY_VIA_MUTUAL;
	uint32_t client = get_le32(r + GATEWAY_TLS), server = get_le32(r + GATEWAY_SERVER_TLS);

	if (via > POLICY_VIA_PROXY_V2 || !verify_zero(r + GATEWAY_ZERO, GATEWAY_SIZE - GATEWAY_ZERO))
		return verify_fail(v, FORMAT_GATEWAYS, i, "holds an unknown value");
	if ((client != 0) != tls || (own ? via != POLICY_VIA_PLAIN || get_le32(r + GATEWAY_TRAFFIC) != 0
					 : server != 0))
		return verify_fail(v, FORMAT_GATEWAYS, i, "has other keys than its via needs");
	return verify_uses_traffic(v, get_le32(r + GATEWAY_TRAFFIC), FORMAT_GATEWAYS, i) &&
	       verify_uses_tls(v, client,
			       1u << (via == POLICY_VIA_MUTUAL ? TLS_ROLE_MUTUAL : TLS_ROLE_CLIENT),
			       FORMAT_GATEWAYS, i) &&
	       verify_uses_tls(v, server, 1u << TLS_ROLE_SERVER, FORMAT_GATEWAYS, i);
}

/* What a server does with TLS: only those of its own kind, and only at the gateway, say so. */
static bool is_tls_mode(const struct policy *p, uint32_t i, enum policy_protocol protocol, bool own)
{
	enum policy_server_tls mode = policy_server_tls(p, i);

	return own && policy_protocol_is_tls(protocol)
		       ? mode != POLICY_SERVER_NONE && mode <= POLICY_SERVER_AUTO_PASSTHROUGH
		       : mode == POLICY_SERVER_NONE;
}

static bool check_servers(struct verify *v, const uint8_t *r, bool own)
{
	struct policy_run run;
	struct policy_server server;
	bool ends = false, mutual = false;
	uint32_t gateway = (uint32_t)((r - v->p->at[FORMAT_GATEWAYS]) / GATEWAY_SIZE);

	if (!verify_ports(v, r + GATEWAY_SERVERS, &run, true))
		return false;
	for (uint32_t i = run.first; i < run.first + run.n; i++) {
		struct policy_port port;

		policy_port(v->p, i, &port);
		if (port.protocol == POLICY_PROTO_UDP || port.protocol == POLICY_PROTO_AUTO ||
		    port.target != port.number || !is_tls_mode(v->p, i, port.protocol, own))
			return verify_fail(v, FORMAT_PORTS, i, "is not for gateways");
		mutual |= policy_server_tls(v->p, i) == POLICY_SERVER_MUTUAL;
		ends |= mutual || policy_server_tls(v->p, i) == POLICY_SERVER_SIMPLE;
	}
	if (policy_server(v->p, gateway, &server) != ends ||
	    (server.client_ca.path != NULL || server.client_ca.bytes != NULL) != mutual)
		return verify_fail(v, FORMAT_GATEWAYS, gateway, "has other keys than its servers need");
	return true;
}

/* Whose connections begin with a PROXY header. */
static bool check_proxy_from(struct verify *v, const uint8_t *r, uint32_t i, bool own)
{
	if (!own && get_le32(r + GATEWAY_PROXY_FROM + 4) != 0)
		return verify_fail(v, FORMAT_GATEWAYS, i, "takes PROXY headers elsewhere");
	return verify_cidrs(v, r + GATEWAY_PROXY_FROM);
}

static bool check_subsets(struct verify *v, const uint8_t *r)
{
	struct policy_run run, endpoints;

	if (!verify_run(v, FORMAT_SUBSETS, r, &run))
		return false;
	for (uint32_t i = run.first; i < run.first + run.n; i++) {
		const uint8_t *s = record(v, FORMAT_SUBSETS, i, SUBSET_SIZE);

		if (!verify_string(v, get_le32(s + SUBSET_NAME), VERIFY_STRING_LABEL,
				   FORMAT_SUBSETS, i) ||
		    !verify_endpoints(v, s + SUBSET_ENDPOINTS, &endpoints))
			return false;
		if (i > run.first &&
		    get_le32(s + SUBSET_NAME) <= get_le32(s - SUBSET_SIZE + SUBSET_NAME))
			return verify_fail(v, FORMAT_SUBSETS, i, "out of order");
	}
	return true;
}

static bool check_gateway(struct verify *v, uint32_t i)
{
	const uint8_t *r = record(v, FORMAT_GATEWAYS, i, GATEWAY_SIZE);
	bool own = (int64_t)i == policy_own_gateway(v->p);
	struct policy_run endpoints;

	if (i > 0 && get_le32(r + GATEWAY_NAME) <= get_le32(r - GATEWAY_SIZE + GATEWAY_NAME))
		return verify_fail(v, FORMAT_GATEWAYS, i, "out of order");
	if (!verify_string(v, get_le32(r + GATEWAY_NAME), VERIFY_STRING_LABEL, FORMAT_GATEWAYS,
			   i) ||
	    !verify_list(v, get_le32(r + GATEWAY_HOSTS), VERIFY_LIST_KEYS, FORMAT_GATEWAYS, i) ||
	    !check_via(v, r, i, own) || !check_servers(v, r, own) ||
	    !check_proxy_from(v, r, i, own) ||
	    !verify_endpoints(v, r + GATEWAY_ENDPOINTS, &endpoints))
		return false;
	if (endpoints.n == 0)
		return verify_fail(v, FORMAT_GATEWAYS, i, "has no endpoints");
	return check_subsets(v, r + GATEWAY_SUBSETS);
}

/* ---- routes ---- */

static bool check_to_gateway(struct verify *v, const uint8_t *d, uint32_t i)
{
	uint32_t gateway = get_le32(d + DESTINATION_GATEWAY) - 1,
		 subset = get_le32(d + DESTINATION_SUBSET);
	struct policy_gateway g;

	if (gateway >= v->p->n[FORMAT_GATEWAYS] || get_le32(d + DESTINATION_HOST) != 0 ||
	    get_le16(d + DESTINATION_PORT) != 0)
		return verify_fail(v, FORMAT_DESTINATIONS, i, "leads to no gateway");
	policy_gateway(v->p, gateway, &g);
	if (subset != 0 && subset - 1 - g.subsets.first >= g.subsets.n)
		return verify_fail(v, FORMAT_DESTINATIONS, i, "leads to no subset of its gateway");
	if (gateway == policy_own_gateway(v->p))
		return verify_fail(v, FORMAT_DESTINATIONS, i, "leads to the node itself");
	return true;
}

static bool check_to_host(struct verify *v, const uint8_t *r, uint32_t i)
{
	struct policy_destination d;
	struct policy_port port;

	if (!verify_string(v, get_le32(r + DESTINATION_HOST), VERIFY_STRING_HOST,
			   FORMAT_DESTINATIONS, i))
		return false;
	policy_destination(v->p, i, &d);
	if (get_le32(r + DESTINATION_SUBSET) != 0 || d.port == 0 ||
	    policy_destination_service(v->p, &d, NULL, &port) < 0)
		return verify_fail(v, FORMAT_DESTINATIONS, i, "leads to no service");
	return true;
}

static bool check_destinations(struct verify *v, const uint8_t *route, bool none)
{
	struct policy_run run;
	uint64_t weights = 0;

	if (!verify_run(v, FORMAT_DESTINATIONS, route + ROUTE_DESTINATIONS, &run))
		return false;
	for (uint32_t i = run.first; i < run.first + run.n; i++) {
		const uint8_t *d = record(v, FORMAT_DESTINATIONS, i, DESTINATION_SIZE);
		uint32_t weight = get_le32(d + DESTINATION_WEIGHT);

		if (weight > WEIGHT_MAX || (run.n == 1 && weight != 1) ||
		    !verify_zero(d + DESTINATION_ZERO, DESTINATION_SIZE - DESTINATION_ZERO))
			return verify_fail(v, FORMAT_DESTINATIONS, i, "not a destination");
		if (get_le32(d + DESTINATION_GATEWAY) != 0 ? !check_to_gateway(v, d, i)
							   : !check_to_host(v, d, i))
			return false;
		weights += weight;
	}
	if ((weights == 0) != none || (run.n == 0) != none ||
	    weights != get_le32(route + ROUTE_WEIGHT))
		return verify_fail(v, FORMAT_DESTINATIONS, run.first, "has another sum of weights");
	return true;
}

static bool check_route(struct verify *v, uint32_t i)
{
	const uint8_t *r = record(v, FORMAT_ROUTES, i, ROUTE_SIZE);
	uint32_t first = get_le32(r + ROUTE_FIRST_HOST);
	bool answers;

	if (!verify_zero(r + ROUTE_ZERO, ROUTE_SIZE - ROUTE_ZERO))
		return verify_fail(v, FORMAT_ROUTES, i, "holds an unknown value");
	if (first >= v->p->n[FORMAT_ROUTE_HOSTS] ||
	    get_le32(record(v, FORMAT_ROUTE_HOSTS, first, ROUTE_HOST_SIZE) + ROUTE_HOST_ROUTE) != i)
		return verify_fail(v, FORMAT_ROUTES, i, "has no hosts");
	return verify_string(v, get_le32(r + ROUTE_NAME), VERIFY_STRING_LABEL, FORMAT_ROUTES, i) &&
	       verify_rule(v, get_le32(r + ROUTE_RULE), i, &answers) &&
	       check_destinations(v, r, answers);
}

/* The routes are verified but for their hosts: that none has one before its first. */
static bool check_route_host(struct verify *v, uint32_t i)
{
	const uint8_t *r = record(v, FORMAT_ROUTE_HOSTS, i, ROUTE_HOST_SIZE);
	uint32_t key = get_le32(r + ROUTE_HOST_KEY), route = get_le32(r + ROUTE_HOST_ROUTE);

	if (!verify_string(v, key, VERIFY_STRING_KEY, FORMAT_ROUTE_HOSTS, i))
		return false;
	if (route >= v->p->n[FORMAT_ROUTES] ||
	    i < get_le32(record(v, FORMAT_ROUTES, route, ROUTE_SIZE) + ROUTE_FIRST_HOST))
		return verify_fail(v, FORMAT_ROUTE_HOSTS, i, "not the first of its route");
	if (i > 0) {
		const uint8_t *before = r - ROUTE_HOST_SIZE;
		uint32_t key_before = get_le32(before + ROUTE_HOST_KEY);

		if (key < key_before ||
		    (key == key_before && route <= get_le32(before + ROUTE_HOST_ROUTE)))
			return verify_fail(v, FORMAT_ROUTE_HOSTS, i, "out of order");
	}
	return true;
}

bool verify_gateways(struct verify *v)
{
	for (uint32_t i = 0; i < v->p->n[FORMAT_GATEWAYS]; i++)
		if (!check_gateway(v, i))
			return false;
	for (uint32_t i = 0; i < v->p->n[FORMAT_ROUTES]; i++)
		if (!check_route(v, i))
			return false;
	for (uint32_t i = 0; i < v->p->n[FORMAT_ROUTE_HOSTS]; i++)
		if (!check_route_host(v, i))
			return false;
	return true;
}
