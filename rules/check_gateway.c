/* SPDX-License-Identifier: MIT */
/* Checks of gateways alone. */
#include "rules/check.h"

#include <stdio.h>
#include <string.h>

static void check_servers(struct check *c, const struct model_gateway *g,
			  const struct source_marks *marks)
{
	if (g->servers.n == 0 && !source_is_bad(marks, KEY_SERVERS))
		diag_error(c->diag, g->at, "gateway %s needs servers", g->name);
	for (size_t i = 0; i < g->servers.n; i++) {
		const struct model_port *p = &g->servers.v[i];

		if (p->protocol == POLICY_PROTO_UDP || p->protocol == POLICY_PROTO_AUTO)
			diag_error(c->diag, p->at, "gateway %s: servers: %s is not for gateways",
				   g->name, policy_protocol_name(p->protocol));
		if (p->target != p->number)
			diag_error(c->diag, p->at,
				   "gateway %s: servers: a target port is not for gateways",
				   g->name);
		for (size_t j = 0; j < i; j++)
			if (g->servers.v[j].number == p->number) {
				diag_error(c->diag, p->at,
					   "gateway %s: servers: port %u is listed twice", g->name,
					   p->number);
				break;
			}
	}
}

static void check_hosts(struct check *c, const struct model_gateway *g,
			const struct source_marks *marks)
{
	char text[HOSTS_TEXT];

	if (g->hosts.n == 0 && !source_is_bad(marks, KEY_HOSTS))
		diag_error(c->diag, g->at, "gateway %s needs hosts", g->name);
	for (size_t i = 0; i < g->hosts.n; i++) {
		const struct model_host *h = &g->hosts.v[i];
		struct model_at at = source_host_at(c->source, h);

		if (h->len == 0)
			diag_warning(c->diag, at,
				     "gateway %s: hosts: * accepts whatever a route sends there",
				     g->name);
		else if (memchr(h->key, '.', h->len) == NULL)
			diag_error(c->diag, at,
				   "gateway %s: hosts: %s is a short name: give the full one",
				   g->name, hosts_text(h, text));
		for (size_t j = 0; j < i; j++)
			if (h->len == g->hosts.v[j].len &&
			    memcmp(h->key, g->hosts.v[j].key, h->len) == 0) {
				diag_error(c->diag, at, "gateway %s: hosts: %s is listed twice",
					   g->name, hosts_text(h, text));
				break;
			}
	}
}

static void check_via(struct check *c, const struct model_gateway *g,
		      const struct source_marks *marks, const char *who)
{
	struct check_tls_words words = { who, KEY_VIA, "via", "tls", "gateway" };

	check_tls(c, &g->tls,
		  g->via == POLICY_VIA_MUTUAL ? MODEL_TLS_MUTUAL
		  : g->via == POLICY_VIA_TLS  ? MODEL_TLS_SIMPLE
					      : MODEL_TLS_NONE,
		  marks, &words);
}

void check_gateways(struct check *c)
{
	struct model *m = c->model;

	for (size_t i = 0; i < m->gateways.n; i++) {
		struct model_gateway *g = &m->gateways.v[i];
		const struct source_marks *marks = &c->source->gateways.v[i];
		char who[64];

		snprintf(who, sizeof(who), "gateway %s", g->name);
		if (strcmp(g->name, CHECK_MESH) == 0)
			diag_error(c->diag, g->at, "gateway mesh: the name stands for the nodes");
		if (g->addresses.n == 0 && !source_is_bad(marks, KEY_ADDRESS))
			diag_error(c->diag, g->at, "gateway %s needs address", g->name);
		for (size_t j = 0; j < g->addresses.n; j++)
			check_dialled(c, &g->addresses.v[j], "address");
		for (size_t j = 0; j < g->subsets.n; j++)
			for (size_t k = 0; k < g->subsets.v[j].endpoints.n; k++)
				check_dialled(c, &g->subsets.v[j].endpoints.v[k], "subset");
		check_servers(c, g, marks);
		check_hosts(c, g, marks);
		check_via(c, g, marks, who);
		check_server_tls(c, g, marks, who);
		check_traffic(c, &g->traffic, marks, who);
	}
}
