/* SPDX-License-Identifier: MIT */
/* What the language says and the proxy of this version does not do: refused, never silently dropped. */
#include "rules/check.h"

#include <string.h>

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

/* What leads to a gateway; the node's own is never dialled. */
static void check_via(struct source *s, const struct model_gateway *g)
{
	if ((g->via == POLICY_VIA_TLS || g->via == POLICY_VIA_MUTUAL) && strcmp(g->name, s->model.node) != 0)
		diag_error(&s->diag, g->at, "gateway %s: via = %s: " NOT_YET, g->name,
			   policy_via_name(g->via));
}

void check_able(struct source *s)
{
	const struct model *m = &s->model;

	for (size_t i = 0; i < m->services.n; i++)
		check_ports(s, "service", m->services.v[i].name, &m->services.v[i].ports);
	for (size_t i = 0; i < m->gateways.n; i++) {
		check_via(s, &m->gateways.v[i]);
		check_ports(s, "gateway", m->gateways.v[i].name, &m->gateways.v[i].servers);
	}
}
