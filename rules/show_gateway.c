/* SPDX-License-Identifier: MIT */
/* The gateways and routes of a compiled policy as source again. */
#include "rules/show.h"

#include <string.h>

#include "rules/gateway.h"

static void show_host_key(struct show *s, const char *key)
{
	char item[SHOW_ITEM];

	snprintf(item, sizeof(item), "%s%s", key[0] == '\0' || key[0] == '.' ? "*" : "", key);
	show_item(s, item);
}

static void show_gateway(struct show *s, uint32_t i)
{
	struct policy_gateway g;
	struct policy_server server;
	struct policy_traffic traffic;
	struct policy_tls t;

	policy_gateway(s->p, i, &g);
	fprintf(s->out, "\n[gateway %s]\n", g.name);
	s->width = (int)strlen("subject-alt-names");
	show_endpoints(s, "address", g.endpoints);
	show_ports(s, "servers", g.servers);
	show_key(s, "hosts");
	for (uint32_t k = 0; k < g.hosts.n; k++)
		show_host_key(s, policy_string(s->p, policy_item(g.hosts, k)));
	show_end(s);
	show_word(s, "via", policy_via_name(g.via));
	if (policy_gateway_tls(s->p, i, &t))
		show_tls(s, &t);
	if (policy_server(s->p, i, &server))
		show_server_tls(s, &server);
	show_cidrs(s, "proxy-protocol-from", g.proxy_from);
	policy_gateway_traffic(s->p, i, &traffic);
	show_traffic(s, &traffic);
	for (uint32_t k = g.subsets.first; k < g.subsets.first + g.subsets.n; k++) {
		struct policy_subset subset;
		char key[SHOW_ITEM];

		policy_subset(s->p, k, &subset);
		snprintf(key, sizeof(key), "subset %s", subset.name);
		show_endpoints(s, key, subset.endpoints);
	}
}

static void show_destination(struct show *s, uint32_t i, bool alone)
{
	struct policy_destination d;
	struct policy_gateway g;
	char item[SHOW_ITEM];
	size_t n;

	policy_destination(s->p, i, &d);
	if (d.host != NULL) {
		n = (size_t)snprintf(item, sizeof(item), "%s:%u", d.host, d.port);
	} else {
		policy_gateway(s->p, d.gateway, &g);
		n = (size_t)snprintf(item, sizeof(item), "%s%s%s", g.name,
				     d.subset != NULL ? "/" : "", d.subset != NULL ? d.subset : "");
	}
	if (!alone)
		snprintf(item + n, sizeof(item) - n, " weight %u", d.weight);
	show_item(s, item);
}

static void show_route(struct show *s, uint32_t i)
{
	struct policy_meta m;
	struct policy_route r;
	char port[8];

	policy_meta(s->p, &m);
	policy_route(s->p, i, &r);
	fprintf(s->out, "\n[route %s]\n", r.name);
	s->width = (int)strlen("hosts");
	show_key(s, "hosts");
	for (uint32_t k = 0; k < s->p->n[FORMAT_ROUTE_HOSTS]; k++) {
		const uint8_t *h = s->p->at[FORMAT_ROUTE_HOSTS] + (size_t)k * ROUTE_HOST_SIZE;

		if (get_le32(h + ROUTE_HOST_ROUTE) == i)
			show_host_key(s, policy_string(s->p, get_le32(h + ROUTE_HOST_KEY)));
	}
	show_end(s);
	if (r.port != 0) {
		snprintf(port, sizeof(port), "%u", r.port);
		show_word(s, "port", port);
	}
	show_word(s, "from", m.node);
	show_rule(s, i);
	if (r.destinations.n == 0)
		return;
	show_key(s, "to");
	for (uint32_t k = 0; k < r.destinations.n; k++)
		show_destination(s, r.destinations.first + k, r.destinations.n == 1);
	show_end(s);
}

void show_gateways(struct show *s)
{
	for (uint32_t i = 0; i < s->p->n[FORMAT_GATEWAYS]; i++)
		show_gateway(s, i);
	for (uint32_t i = 0; i < s->p->n[FORMAT_ROUTES]; i++)
		show_route(s, i);
}
