/* SPDX-License-Identifier: MIT */
/* What the language says and the proxy of this version does not do: refused, never silently dropped. */
#include "rules/check.h"

#include <string.h>

#define NOT_YET "the proxy of this version cannot do that"

static void check_protocols(struct source *source, const struct model_service *s)
{
	for (size_t i = 0; i < s->ports.n; i++) {
		const struct model_port *p = &s->ports.v[i];

		if (p->protocol == POLICY_PROTO_HTTP2 || p->protocol == POLICY_PROTO_GRPC)
			diag_error(&source->diag, p->at,
				   "service %s: %s:%u forwards HTTP/2 in the clear: " NOT_YET,
				   s->name, policy_protocol_name(p->protocol), p->number);
	}
}

void check_able(struct source *s)
{
	const struct model *m = &s->model;
	const struct model_gateway *g = check_find_gateway(m, m->node);

	if (strcmp(m->node, CHECK_MESH) != 0) {
		if (g != NULL)
			diag_error(&s->diag, g->at, "node %s is an egress gateway: " NOT_YET,
				   m->node);
		return;
	}
	for (size_t i = 0; i < m->services.n; i++)
		check_protocols(s, &m->services.v[i]);
	for (size_t i = 0; i < m->routes.n; i++)
		diag_error(&s->diag, m->routes.v[i].at,
			   "route %s routes the nodes' traffic (from = mesh): " NOT_YET,
			   m->routes.v[i].name);
}
