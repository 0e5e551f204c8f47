/* SPDX-License-Identifier: MIT */
/* The node that a policy is compiled for, and what it needs. */
#include "rules/check.h"

#include <stdlib.h>
#include <string.h>

/* What nodes say to the gateway has to be what it listens for, where it is sluice's own. */
static void check_listens(struct check *c, const struct model_gateway *g)
{
	bool by_tls = g->via == POLICY_VIA_TLS || g->via == POLICY_VIA_MUTUAL;

	if (g->via == POLICY_VIA_CONNECT || g->via == POLICY_VIA_SOCKS5)
		diag_warning(c->diag, g->at, "gateway %s: via = %s leads to gateways of others: no node can be one",
			   g->name, policy_via_name(g->via));
	if (g->via == POLICY_VIA_PROXY_V2 && g->proxy_from.n == 0)
		diag_warning(c->diag, g->at,
			   "gateway %s: via = proxy-v2 needs proxy-protocol-from at the gateway: it would refuse its nodes",
			   g->name);
	for (size_t i = 0; i < g->servers.n; i++) {
		const struct model_port *p = &g->servers.v[i];
		bool ends = p->tls == POLICY_SERVER_SIMPLE || p->tls == POLICY_SERVER_MUTUAL;

		if (by_tls && !ends)
			diag_warning(c->diag, p->at,
				   "gateway %s: servers: %s:%u ends no TLS, but nodes come via = %s: simple or mutual is needed",
				   g->name, policy_protocol_name(p->protocol), p->number,
				   policy_via_name(g->via));
	}
}

void check_node(struct check *c, const char *node)
{
	const struct model_gateway *g = check_find_gateway(c->model, node);
	struct diag_guess guess = { .word = node };

	if (g != NULL)
		check_listens(c, g);
	if (strcmp(node, CHECK_MESH) == 0 || g != NULL)
		return;
	diag_guess(&guess, CHECK_MESH);
	for (size_t i = 0; i < c->model->gateways.n; i++)
		diag_guess(&guess, c->model->gateways.v[i].name);
	diag_error(c->diag, (struct model_at){ c->source->file, 0 },
		   "node %s: there is no [gateway %s]%s", node, node, diag_guess_text(&guess));
}

/* Whether some route leads to the gateway and, unless it is NULL, to its subset. */
static bool is_led_to(const struct model *m, const char *gateway, const char *subset)
{
	for (size_t i = 0; i < m->routes.n; i++)
		for (size_t j = 0; j < m->routes.v[i].to.n; j++) {
			const struct model_destination *d = &m->routes.v[i].to.v[j];

			if (d->gateway == NULL || strcmp(d->gateway, gateway) != 0)
				continue;
			if (subset == NULL ||
			    (d->subset != NULL && strcmp(d->subset, subset) == 0))
				return true;
		}
	return false;
}

static bool has_port(const struct model_service *s, uint16_t number)
{
	for (size_t i = 0; i < s->ports.n; i++)
		if (s->ports.v[i].number == number)
			return true;
	return false;
}

/* Whether a destination may be the service: what is looked up is the most specific of those. */
static bool is_destination(const struct model *m, const struct model_service *s)
{
	for (size_t i = 0; i < m->routes.n; i++)
		for (size_t j = 0; j < m->routes.v[i].to.n; j++) {
			const struct model_destination *d = &m->routes.v[i].to.v[j];
			struct model_host key = { .key = d->host };

			if (d->gateway != NULL || !has_port(s, d->port))
				continue;
			key.len = (uint8_t)strlen(d->host);
			for (size_t k = 0; k < s->hosts.n; k++)
				if (hosts_cover(&s->hosts.v[k], &key))
					return true;
		}
	return false;
}

/* Each is by its first element's address, so that what is left out stays behind the others. */
#define KEEP(list, element, condition) \
	do { \
		size_t n_ = 0; \
		for (size_t i_ = 0; i_ < (list)->n; i_++) { \
			__typeof__(*(list)->v) kept_ = (list)->v[i_], *element = &kept_; \
			if (!(condition)) \
				continue; \
			(list)->v[i_] = (list)->v[n_]; \
			(list)->v[n_++] = kept_; \
		} \
		(list)->n = n_; \
	} while (0)

/*
 * What only the gateway itself needs, and what only those need who come to it: nobody gets the keys
 * of others. Keys go with via and with the servers' modes.
 */
static void split_gateway(struct model_gateway *g, bool own)
{
	bool mutual = false;

	if (own) {
		g->via = POLICY_VIA_PLAIN;
		policy_traffic_defaults(&g->traffic);
	} else {
		g->proxy_from.n = 0;
	}
	for (size_t i = 0; i < g->servers.n; i++) {
		enum policy_server_tls *mode = &g->servers.v[i].tls;

		*mode = own ? *mode : POLICY_SERVER_NONE;
		mutual |= *mode == POLICY_SERVER_MUTUAL;
	}
	g->server_tls.no_ca = !mutual;
}

void check_leave_out(struct source *s, const char *node, const bool *used)
{
	struct model *m = &s->model;
	bool mesh = strcmp(node, CHECK_MESH) == 0;
	size_t index = 0;

	KEEP(&m->routes, r, check_comes_from(r, node));
	KEEP(&m->services, service, used[index++] && (mesh || is_destination(m, service)));
	KEEP(&m->gateways, g, strcmp(g->name, node) == 0 || is_led_to(m, g->name, NULL));
	for (size_t i = 0; i < m->gateways.n; i++) {
		struct model_gateway *g = &m->gateways.v[i];

		split_gateway(g, strcmp(g->name, node) == 0);
		KEEP(&g->subsets, subset, is_led_to(m, g->name, subset->name));
	}
}
