/* SPDX-License-Identifier: MIT */
/* Warnings of gateways that traffic does not pass. */
#include "rules/check.h"

#include <string.h>

/* gateway NULL: any. */
static bool leads_to(const struct model_route *r, const char *gateway)
{
	for (size_t i = 0; i < r->to.n; i++)
		if (r->to.v[i].gateway != NULL &&
		    (gateway == NULL || strcmp(r->to.v[i].gateway, gateway) == 0))
			return true;
	return false;
}

/* It neither leads to a gateway nor answers. */
static bool goes_direct(const struct model_route *r)
{
	return r->to.n > 0 && !leads_to(r, NULL);
}

/* Whether some of the nodes' traffic for the host goes to the gateway; port 0: any. */
static bool is_led(const struct model *m, const struct model_host *h, uint16_t port,
		   const char *gateway)
{
	for (size_t i = 0; i < m->routes.n; i++) {
		const struct model_route *r = &m->routes.v[i];

		if (!check_comes_from(r, CHECK_MESH) ||
		    (gateway == NULL ? goes_direct(r) : !leads_to(r, gateway)) ||
		    (r->port != 0 && port != 0 && r->port != port))
			continue;
		for (size_t j = 0; j < r->hosts.n; j++)
			if (hosts_overlap(&r->hosts.v[j], h))
				return true;
	}
	return false;
}

/* A route at a gateway that nothing leads to. */
static void check_mesh(struct check *c, const struct model_route *r)
{
	char text[HOSTS_TEXT];

	for (size_t i = 0; i < r->from.n; i++) {
		const char *gateway = r->from.v[i].s;

		if (strcmp(gateway, CHECK_MESH) == 0 ||
		    check_find_gateway(c->model, gateway) == NULL)
			continue;
		for (size_t j = 0; j < r->hosts.n; j++)
			if (!is_led(c->model, &r->hosts.v[j], r->port, gateway))
				diag_warning(c->diag, r->at,
					"route %s: gateway %s is bypassed: no route from mesh leads host %s there, so nodes go direct",
					r->name, gateway, hosts_text(&r->hosts.v[j], text));
	}
}

struct direct {
	struct check *check;
	const struct model_route *route;
	const struct model_host *host;
	const struct model_service *last; /* each service once */
};

static bool see_direct(const struct hosts_entry *e, void *user)
{
	struct direct *d = user;
	struct check *c = d->check;
	const struct model_service *s = &c->model->services.v[e->service];
	char text[HOSTS_TEXT];

	if (s == d->last)
		return false;
	d->last = s;
	for (size_t i = 0; i < s->ports.n; i++) {
		const struct model_port *p = &s->ports.v[i];

		if (p->protocol == POLICY_PROTO_UDP && is_led(c->model, d->host, p->number, NULL))
			diag_warning(c->diag, p->at,
				"service %s: host %s goes direct by UDP on port %u, as no gateway takes UDP (route %s)",
				s->name, hosts_text(d->host, text), p->number, d->route->name);
		else if (!is_led(c->model, d->host, p->number, NULL))
			diag_warning(c->diag, p->at,
				"service %s: host %s goes direct on port %u, but through a gateway on port %u (route %s)",
				s->name, hosts_text(d->host, text), p->number, d->route->port,
				d->route->name);
	}
	return false;
}

/* Whether a route before r has said the same of the host. */
static bool is_told(const struct model *m, const struct model_route *r, const struct model_host *h)
{
	for (const struct model_route *o = m->routes.v; o < r; o++) {
		if (!check_comes_from(o, CHECK_MESH) || !leads_to(o, NULL) || o->port != r->port)
			continue;
		for (size_t j = 0; j < o->hosts.n; j++)
			if (hosts_same(&o->hosts.v[j], h))
				return true;
	}
	return false;
}

static void check_unused(struct check *c, const struct model_gateway *g)
{
	const struct model *m = c->model;
	bool used = false;

	for (size_t i = 0; i < m->routes.n && !used; i++)
		used = leads_to(&m->routes.v[i], g->name);
	if (!used)
		diag_warning(c->diag, g->at, "gateway %s is unused: no route leads to it", g->name);
	for (size_t k = 0; k < g->subsets.n; k++) {
		const struct model_subset *subset = &g->subsets.v[k];

		used = false;
		for (size_t i = 0; i < m->routes.n && !used; i++)
			for (size_t j = 0; j < m->routes.v[i].to.n && !used; j++) {
				const struct model_destination *d = &m->routes.v[i].to.v[j];

				used = d->gateway != NULL && d->subset != NULL &&
				       strcmp(d->gateway, g->name) == 0 &&
				       strcmp(d->subset, subset->name) == 0;
			}
		if (!used)
			diag_warning(c->diag, subset->at,
				     "gateway %s: subset %s is unused: no route leads to it",
				     g->name, subset->name);
	}
}

void check_bypass(struct check *c)
{
	const struct model *m = c->model;

	for (size_t i = 0; i < m->routes.n; i++) {
		const struct model_route *r = &m->routes.v[i];

		check_mesh(c, r);
		if (!check_comes_from(r, CHECK_MESH) || !leads_to(r, NULL) || r->port == 0)
			continue;
		for (size_t j = 0; j < r->hosts.n; j++) {
			struct direct d = { .check = c, .route = r, .host = &r->hosts.v[j] };

			if (is_told(m, r, d.host))
				continue;
			hosts_find(&c->hosts, d.host, see_direct, &d);
		}
	}
	for (size_t i = 0; i < m->gateways.n; i++)
		check_unused(c, &m->gateways.v[i]);
}
