/* SPDX-License-Identifier: MIT */
/* What the language says and the proxy of this version does not do: refused, never silently dropped. */
#include "rules/check.h"

#include <string.h>

#define NOT_YET "the proxy of this version cannot do that"

static void check_protocols(struct check *c, const struct model_service *s)
{
	for (size_t i = 0; i < s->ports.n; i++) {
		const struct model_port *p = &s->ports.v[i];

		if (p->protocol == POLICY_PROTO_HTTP2 || p->protocol == POLICY_PROTO_GRPC)
			diag_error(c->diag, p->at,
				   "service %s: %s:%u forwards HTTP/2 in the clear: " NOT_YET,
				   s->name, policy_protocol_name(p->protocol), p->number);
	}
}

static void check_gateway_node(struct check *c, const char *node)
{
	const struct model_gateway *g = check_find_gateway(c->model, node);
	struct diag_guess guess = { .word = node };

	if (g != NULL) {
		diag_error(c->diag, g->at, "node %s is an egress gateway: " NOT_YET, node);
		return;
	}
	diag_guess(&guess, CHECK_MESH);
	for (size_t i = 0; i < c->model->gateways.n; i++)
		diag_guess(&guess, c->model->gateways.v[i].name);
	diag_error(c->diag, (struct model_at){ c->source->file, 0 },
		   "node %s: there is no [gateway %s]%s", node, node, diag_guess_text(&guess));
}

void check_node(struct check *c, const char *node)
{
	const struct model *m = c->model;

	if (strcmp(node, CHECK_MESH) != 0) {
		check_gateway_node(c, node);
		return;
	}
	for (size_t i = 0; i < m->services.n; i++)
		if (c->used[i])
			check_protocols(c, &m->services.v[i]);
	for (size_t i = 0; i < m->routes.n; i++)
		for (size_t j = 0; j < m->routes.v[i].from.n; j++)
			if (strcmp(m->routes.v[i].from.v[j].s, CHECK_MESH) == 0)
				diag_error(c->diag, m->routes.v[i].at,
					"route %s routes the nodes' traffic (from = mesh): " NOT_YET,
					m->routes.v[i].name);
}
