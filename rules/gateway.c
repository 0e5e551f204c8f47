/* SPDX-License-Identifier: MIT */
/* Reading the gateways and routes of a policy that has been verified. */
#include "rules/gateway.h"

#include <string.h>

static const uint8_t *record(const struct policy *p, enum format_section section, uint32_t i,
			     size_t size)
{
	return p->at[section] + (size_t)i * size;
}

static struct policy_run run(const uint8_t *r)
{
	return (struct policy_run){get_le32(r), get_le32(r + 4)};
}

static const char *string_at(const struct policy *p, const uint8_t *r)
{
	return policy_string(p, get_le32(r));
}

/* NULL for the empty one. */
static const char *text_at(const struct policy *p, const uint8_t *r)
{
	return get_le32(r) != 0 ? string_at(p, r) : NULL;
}

void policy_gateway(const struct policy *p, uint32_t i, struct policy_gateway *g)
{
	const uint8_t *r = record(p, FORMAT_GATEWAYS, i, GATEWAY_SIZE);

	g->name = string_at(p, r + GATEWAY_NAME);
	g->via = (enum policy_via)r[GATEWAY_VIA];
	g->hosts = policy_list(p, get_le32(r + GATEWAY_HOSTS));
	g->servers = run(r + GATEWAY_SERVERS);
	g->endpoints = run(r + GATEWAY_ENDPOINTS);
	g->subsets = run(r + GATEWAY_SUBSETS);
	g->proxy_from = run(r + GATEWAY_PROXY_FROM);
}

int64_t policy_own_gateway(const struct policy *p)
{
	uint32_t node = get_le32(p->at[FORMAT_META] + META_NODE);

	for (uint32_t i = 0; i < p->n[FORMAT_GATEWAYS]; i++)
		if (get_le32(record(p, FORMAT_GATEWAYS, i, GATEWAY_SIZE) + GATEWAY_NAME) == node)
			return i;
	return -1;
}

struct policy_run policy_own_servers(const struct policy *p)
{
	int64_t own = policy_own_gateway(p);
	struct policy_gateway g;

	if (own < 0)
		return (struct policy_run){0, 0};
	policy_gateway(p, (uint32_t)own, &g);
	return g.servers;
}

/* As memcmp of a key that ends with a NUL and one of so many bytes, the shorter first. */
static int compare(const char *key, const char *b, size_t len)
{
	int order = strncmp(key, b, len);

	return order != 0 ? order : key[len] != '\0';
}

/* Whether a key may begin at this byte of a name or key: itself, what begins with a dot, nothing. */
static bool begins(const char *name, size_t len, size_t i)
{
	return i == 0 || i == len || name[i] == '.';
}

bool policy_gateway_accepts(const struct policy *p, uint32_t i, const char *name, size_t len)
{
	struct policy_gateway g;

	policy_gateway(p, i, &g);
	for (size_t at = 0; at <= len; at++) {
		uint32_t low = 0, high = begins(name, len, at) ? g.hosts.n : 0;

		while (low < high) {
			uint32_t middle = low + (high - low) / 2;
			const char *key = policy_string(p, policy_item(g.hosts, middle));
			int order = compare(key, name + at, len - at);

			if (order == 0)
				return true;
			if (order < 0)
				low = middle + 1;
			else
				high = middle;
		}
	}
	return false;
}

bool policy_gateway_server(const struct policy *p, uint32_t i, uint16_t number,
			   struct policy_port *server, enum policy_server_tls *tls)
{
	struct policy_gateway g;

	policy_gateway(p, i, &g);
	for (uint32_t k = 0; k < g.servers.n; k++) {
		policy_port(p, g.servers.first + k, server);
		*tls = policy_server_tls(p, g.servers.first + k);
		if (server->number == number)
			return true;
	}
	*tls = POLICY_SERVER_NONE;
	return false;
}

void policy_subset(const struct policy *p, uint32_t i, struct policy_subset *s)
{
	const uint8_t *r = record(p, FORMAT_SUBSETS, i, SUBSET_SIZE);

	s->name = string_at(p, r + SUBSET_NAME);
	s->endpoints = run(r + SUBSET_ENDPOINTS);
}

static const uint8_t *host_record(const struct policy *p, uint32_t i)
{
	return record(p, FORMAT_ROUTE_HOSTS, i, ROUTE_HOST_SIZE);
}

void policy_route(const struct policy *p, uint32_t i, struct policy_route *route)
{
	const uint8_t *r = record(p, FORMAT_ROUTES, i, ROUTE_SIZE);

	route->name = string_at(p, r + ROUTE_NAME);
	route->first_host =
		string_at(p, host_record(p, get_le32(r + ROUTE_FIRST_HOST)) + ROUTE_HOST_KEY);
	route->port = get_le16(r + ROUTE_PORT);
	route->weight = get_le32(r + ROUTE_WEIGHT);
	route->destinations = run(r + ROUTE_DESTINATIONS);
}

void policy_destination(const struct policy *p, uint32_t i, struct policy_destination *d)
{
	const uint8_t *r = record(p, FORMAT_DESTINATIONS, i, DESTINATION_SIZE);
	uint32_t gateway = get_le32(r + DESTINATION_GATEWAY),
		 subset = get_le32(r + DESTINATION_SUBSET);
	struct policy_subset s;

	*d = (struct policy_destination){
		.host = text_at(p, r + DESTINATION_HOST),
		.port = get_le16(r + DESTINATION_PORT),
		.weight = get_le32(r + DESTINATION_WEIGHT),
	};
	if (gateway == 0)
		return;
	d->gateway = gateway - 1;
	if (subset > 0) {
		policy_subset(p, subset - 1, &s);
		d->subset = s.name;
		d->endpoints = s.endpoints;
	}
	if (d->endpoints.n == 0)
		d->endpoints = run(record(p, FORMAT_GATEWAYS, d->gateway, GATEWAY_SIZE) +
				   GATEWAY_ENDPOINTS);
}

int64_t policy_destination_service(const struct policy *p, const struct policy_destination *d,
				   const struct addr *client, struct policy_port *port)
{
	struct policy_list services;
	size_t len = strlen(d->host);
	uint32_t at = 0;

	while ((services = policy_find_host(p, d->host, len, &at, NULL)).n > 0)
		for (uint32_t i = 0; i < services.n; i++) {
			uint32_t service = policy_item(services, i);

			if (policy_service_port(p, service, d->port, port) >= 0 &&
			    (client == NULL || policy_service_serves(p, service, client)))
				return service;
		}
	return -1;
}

/* The first record of ROUTE_HOSTS that is not before the key. */
static uint32_t first_host(const struct policy *p, const char *key, size_t len)
{
	uint32_t low = 0, high = p->n[FORMAT_ROUTE_HOSTS];

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (compare(string_at(p, host_record(p, middle) + ROUTE_HOST_KEY), key, len) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int64_t policy_find_route(const struct policy *p, const char *key, size_t len, uint16_t port,
			  const struct policy_http *http)
{
	uint32_t n = p->n[FORMAT_ROUTE_HOSTS];
	bool held = false;

	for (size_t at = 0; at <= len && n > 0 && !held; at++) {
		if (!begins(key, len, at))
			continue;
		for (uint32_t i = first_host(p, key + at, len - at); i < n; i++) {
			const uint8_t *r = host_record(p, i);
			uint32_t route = get_le32(r + ROUTE_HOST_ROUTE);
			uint16_t its;

			if (compare(string_at(p, r + ROUTE_HOST_KEY), key + at, len - at) != 0)
				break;
			its = get_le16(record(p, FORMAT_ROUTES, route, ROUTE_SIZE) + ROUTE_PORT);
			if (its != 0 && its != port)
				continue;
			if (policy_route_meets(p, route, http))
				return route;
			held = true;
		}
	}
	return held ? POLICY_ROUTE_REFUSED : POLICY_ROUTE_NONE;
}

int64_t policy_find_port_route(const struct policy *p, uint32_t i, uint16_t port)
{
	for (uint32_t k = 0; k < p->n[FORMAT_ROUTES]; k++) {
		struct policy_route r;

		policy_route(p, k, &r);
		if (r.port == port &&
		    policy_gateway_accepts(p, i, r.first_host, strlen(r.first_host)))
			return k;
	}
	return -1;
}

const char *policy_via_name(enum policy_via v)
{
	static const char *const names[] = {
		[POLICY_VIA_PLAIN] = "plain",     [POLICY_VIA_TLS] = "tls",
		[POLICY_VIA_MUTUAL] = "mutual",   [POLICY_VIA_CONNECT] = "connect",
		[POLICY_VIA_SOCKS5] = "socks5",   [POLICY_VIA_PROXY_V2] = "proxy-v2",
	};

	return (unsigned)v <= POLICY_VIA_PROXY_V2 ? names[v] : "plain";
}
