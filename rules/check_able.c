/* SPDX-License-Identifier: MIT */
/* What the language says and the proxy of this version does not do: refused, never silently dropped. */
#include "rules/check.h"

#define NOT_YET "the proxy of this version cannot do that"

static void check_ports(struct source *source, const char *kind, const char *name,
			const struct model_ports *ports)
{
	for (size_t i = 0; i < ports->n; i++) {
		const struct model_port *p = &ports->v[i];

		if (p->protocol == POLICY_PROTO_HTTP2 || p->protocol == POLICY_PROTO_GRPC)
			diag_error(&source->diag, p->at,
				   "%s %s: %s:%u forwards HTTP/2 in the clear: " NOT_YET, kind, name,
				   policy_protocol_name(p->protocol), p->number);
	}
}

static void check_undone_gateway(struct source *s, const struct model_gateway *g)
{
	for (size_t i = 0; i < g->servers.n; i++)
		if (g->servers.v[i].tls == POLICY_SERVER_AUTO_PASSTHROUGH)
			diag_error(&s->diag, g->servers.v[i].at,
				   "gateway %s: servers: auto-passthrough: " NOT_YET, g->name);
}

void check_able(struct source *s)
{
	const struct model *m = &s->model;

	for (size_t i = 0; i < m->services.n; i++) {
		const struct model_service *v = &m->services.v[i];

		if (v->traffic.health != POLICY_HEALTH_NONE && v->endpoints.n == 0)
			diag_error(&s->diag, v->at,
				   "service %s: health-check without endpoints: " NOT_YET, v->name);
		check_ports(s, "service", v->name, &v->ports);
	}
	for (size_t i = 0; i < m->gateways.n; i++) {
		check_undone_gateway(s, &m->gateways.v[i]);
		check_ports(s, "gateway", m->gateways.v[i].name, &m->gateways.v[i].servers);
	}
}
