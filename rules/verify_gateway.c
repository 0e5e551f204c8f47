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

static bool check_optional(struct verify *v, const uint8_t *r, enum verify_string kind, uint32_t i)
{
	uint32_t ref = get_le32(r);

	return ref == 0 || verify_string(v, ref, kind, FORMAT_GATEWAYS, i);
}

/* That who the gateway is, and who comes to it, is said where it is asked for and nowhere else. */
static bool check_via(struct verify *v, const uint8_t *r, uint32_t i)
{
	uint8_t via = r[GATEWAY_VIA];
	bool ca = get_le32(r + GATEWAY_CA) != 0,
	     certificate = get_le32(r + GATEWAY_CERTIFICATE) != 0,
	     private_key = get_le32(r + GATEWAY_PRIVATE_KEY) != 0;
	bool tls = via == POLICY_VIA_TLS || via == POLICY_VIA_MUTUAL;

	if (via > POLICY_VIA_PROXY_V2 || !verify_zero(r + GATEWAY_ZERO, GATEWAY_SIZE - GATEWAY_ZERO))
		return verify_fail(v, FORMAT_GATEWAYS, i, "holds an unknown value");
	if (ca != tls || certificate != (via == POLICY_VIA_MUTUAL) || private_key != certificate ||
	    (!tls && (get_le32(r + GATEWAY_SNI) | get_le32(r + GATEWAY_ALT_NAMES)) != 0))
		return verify_fail(v, FORMAT_GATEWAYS, i, "has other keys than its via needs");
	return check_optional(v, r + GATEWAY_CA, VERIFY_STRING_ITEM, i) &&
	       check_optional(v, r + GATEWAY_CERTIFICATE, VERIFY_STRING_ITEM, i) &&
	       check_optional(v, r + GATEWAY_PRIVATE_KEY, VERIFY_STRING_ITEM, i) &&
	       check_optional(v, r + GATEWAY_SNI, VERIFY_STRING_HOST, i) &&
	       verify_list(v, get_le32(r + GATEWAY_ALT_NAMES), VERIFY_LIST_ITEMS, FORMAT_GATEWAYS,
			   i);
}

static bool check_servers(struct verify *v, const uint8_t *r)
{
	struct policy_run run;

	if (!verify_ports(v, r, &run))
		return false;
	for (uint32_t i = run.first; i < run.first + run.n; i++) {
		struct policy_port port;

		policy_port(v->p, i, &port);
		if (port.protocol == POLICY_PROTO_UDP || port.protocol == POLICY_PROTO_AUTO ||
		    port.target != port.number)
			return verify_fail(v, FORMAT_PORTS, i, "is not for gateways");
	}
	return true;
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
	struct policy_run endpoints;

	if (i > 0 && get_le32(r + GATEWAY_NAME) <= get_le32(r - GATEWAY_SIZE + GATEWAY_NAME))
		return verify_fail(v, FORMAT_GATEWAYS, i, "out of order");
	if (!verify_string(v, get_le32(r + GATEWAY_NAME), VERIFY_STRING_LABEL, FORMAT_GATEWAYS,
			   i) ||
	    !verify_list(v, get_le32(r + GATEWAY_HOSTS), VERIFY_LIST_KEYS, FORMAT_GATEWAYS, i) ||
	    !check_via(v, r, i) || !check_servers(v, r + GATEWAY_SERVERS) ||
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

static bool check_destinations(struct verify *v, const uint8_t *route)
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
	if (weights == 0 || weights != get_le32(route + ROUTE_WEIGHT))
		return verify_fail(v, FORMAT_DESTINATIONS, run.first, "has another sum of weights");
	return true;
}

static bool check_route(struct verify *v, uint32_t i)
{
	const uint8_t *r = record(v, FORMAT_ROUTES, i, ROUTE_SIZE);
	uint32_t first = get_le32(r + ROUTE_FIRST_HOST);

	if (!verify_zero(r + ROUTE_ZERO, ROUTE_SIZE - ROUTE_ZERO))
		return verify_fail(v, FORMAT_ROUTES, i, "holds an unknown value");
	if (first >= v->p->n[FORMAT_ROUTE_HOSTS] ||
	    get_le32(record(v, FORMAT_ROUTE_HOSTS, first, ROUTE_HOST_SIZE) + ROUTE_HOST_ROUTE) != i)
		return verify_fail(v, FORMAT_ROUTES, i, "has no hosts");
	return verify_string(v, get_le32(r + ROUTE_NAME), VERIFY_STRING_LABEL, FORMAT_ROUTES, i) &&
	       check_destinations(v, r);
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
