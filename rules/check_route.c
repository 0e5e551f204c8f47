/* SPDX-License-Identifier: MIT */
/* Checks of routes, and of what they leave to go direct. */
#include "rules/check.h"

#include <string.h>

static bool has_port(const struct model_ports *ports, uint16_t number)
{
	for (size_t i = 0; i < ports->n; i++)
		if (ports->v[i].number == number)
			return true;
	return false;
}

static bool accepts(const struct model_gateway *g, const struct model_host *h)
{
	for (size_t i = 0; i < g->hosts.n; i++)
		if (hosts_cover(&g->hosts.v[i], h))
			return true;
	return false;
}

/* A search for services of a host. */
struct search {
	const struct model *model;
	uint16_t port; /* 0: any */
	bool host, found;
	const struct model_service *service; /* of the first host that matched */
};

static bool see_service(const struct hosts_entry *e, void *user)
{
	struct search *s = user;
	const struct model_service *service = &s->model->services.v[e->service];

	if (!s->host)
		s->service = service;
	s->host = true;
	s->found = s->port == 0 || has_port(&service->ports, s->port);
	return s->found;
}

static void check_hosts(struct check *c, const struct model_route *r,
			const struct source_marks *marks)
{
	bool mesh = check_comes_from(r, CHECK_MESH);
	char text[HOSTS_TEXT];

	if (r->hosts.n == 0 && !source_is_bad(marks, KEY_HOSTS))
		diag_error(c->diag, r->at, "route %s needs hosts", r->name);
	for (size_t i = 0; i < r->hosts.n; i++) {
		const struct model_host *h = &r->hosts.v[i];
		struct model_at at = source_host_at(c->source, h);
		struct search s = { .model = c->model, .port = r->port };

		hosts_text(h, text);
		for (size_t j = 0; j < i; j++)
			if (hosts_overlap(h, &r->hosts.v[j])) {
				diag_error(c->diag, at,
					"route %s: hosts: %s is in the list before, wholly or in part",
					r->name, text);
				break;
			}
		if (!mesh || source_is_bad(marks, KEY_PORT))
			continue;
		if (h->len == 0)
			diag_error(c->diag, at,
				   "route %s: hosts: * is not for routes from the mesh", r->name);
		else if (!hosts_find(&c->hosts, h, see_service, &s) && s.host)
			diag_error(c->diag, at, "route %s: no service has host %s with port %u",
				   r->name, text, r->port);
		else if (!s.host)
			diag_error(c->diag, at, "route %s: no service has host %s", r->name, text);
	}
}

static void report_gateway(struct check *c, struct model_at at, const char *route, const char *name)
{
	struct diag_guess guess = { .word = name };

	for (size_t i = 0; i < c->model->gateways.n; i++)
		diag_guess(&guess, c->model->gateways.v[i].name);
	diag_error(c->diag, at, "route %s: there is no [gateway %s]%s", route, name,
		   diag_guess_text(&guess));
}

static void check_from(struct check *c, const struct model_route *r,
		       const struct source_marks *marks)
{
	char text[HOSTS_TEXT];

	if (r->from.n == 0 && !source_is_bad(marks, KEY_FROM))
		diag_error(c->diag, source_at(marks, KEY_FROM),
			   "route %s: from needs mesh or a gateway", r->name);
	for (size_t i = 0; i < r->from.n; i++) {
		const struct model_string *from = &r->from.v[i];
		const struct model_gateway *g;

		if (strcmp(from->s, CHECK_MESH) == 0)
			continue;
		g = check_find_gateway(c->model, from->s);
		if (g == NULL) {
			report_gateway(c, from->at, r->name, from->s);
			continue;
		}
		if (r->port != 0 && g->servers.n > 0 && !has_port(&g->servers, r->port))
			diag_warning(c->diag, from->at,
				     "route %s is unreachable at gateway %s: no server has port %u",
				     r->name, g->name, r->port);
		for (size_t j = 0; j < r->hosts.n && g->hosts.n > 0; j++)
			if (!accepts(g, &r->hosts.v[j]))
				diag_warning(c->diag, from->at,
					     "route %s: gateway %s does not accept host %s",
					     r->name, g->name, hosts_text(&r->hosts.v[j], text));
	}
}

/* Whether an address says a port of its own, and there is a server on it. */
static bool listens_elsewhere(const struct model_gateway *g)
{
	for (size_t i = 0; i < g->addresses.n; i++)
		if (g->addresses.v[i].port != 0 && has_port(&g->servers, g->addresses.v[i].port))
			return true;
	return false;
}

static void check_to_gateway(struct check *c, const struct model_route *r,
			     const struct model_destination *d)
{
	const struct model_gateway *g = check_find_gateway(c->model, d->gateway);
	char text[HOSTS_TEXT];
	bool known = d->subset == NULL;

	if (g == NULL) {
		report_gateway(c, d->at, r->name, d->gateway);
		return;
	}
	for (size_t i = 0; i < g->subsets.n && !known; i++)
		known = strcmp(g->subsets.v[i].name, d->subset) == 0;
	if (!known) {
		struct diag_guess guess = { .word = d->subset };

		for (size_t i = 0; i < g->subsets.n; i++)
			diag_guess(&guess, g->subsets.v[i].name);
		diag_error(c->diag, d->at, "route %s: gateway %s has no subset %s%s", r->name,
			   g->name, d->subset, diag_guess_text(&guess));
	}
	if (check_comes_from(r, g->name))
		diag_error(c->diag, d->at, "route %s leads from gateway %s to itself", r->name,
			   g->name);
	if (r->port != 0 && g->servers.n > 0 && !has_port(&g->servers, r->port) &&
	    !listens_elsewhere(g))
		diag_error(c->diag, d->at, "route %s: gateway %s has no server on port %u", r->name,
			   g->name, r->port);
	for (size_t i = 0; i < r->hosts.n && g->hosts.n > 0; i++)
		if (!accepts(g, &r->hosts.v[i]))
			diag_error(c->diag, d->at, "route %s: gateway %s does not accept host %s",
				   r->name, g->name, hosts_text(&r->hosts.v[i], text));
}

static void check_to_host(struct check *c, const struct model_route *r, struct model_destination *d)
{
	struct model_host key = { .key = d->host, .len = (uint8_t)strlen(d->host) };
	struct search s = { .model = c->model, .port = d->port != 0 ? d->port : r->port };

	if (hosts_find(&c->hosts, &key, see_service, &s) && s.port != 0) {
		d->port = s.port;
		return;
	}
	if (!s.host)
		diag_error(c->diag, d->at, "route %s: no service has host %s", r->name, d->host);
	else if (d->port != 0)
		diag_error(c->diag, d->at, "route %s: no service has host %s with port %u", r->name,
			   d->host, d->port);
	else if (s.service->ports.n == 1)
		d->port = s.service->ports.v[0].number;
	else
		diag_error(c->diag, d->at, "route %s: service %s has several ports: write %s:PORT",
			   r->name, s.service->name, d->host);
}

/* A lone label is a gateway if there is one of that name, else a host if a service has it. */
static void settle(struct check *c, struct model_destination *d)
{
	struct model_host key;
	struct search s = { .model = c->model };

	if (d->gateway == NULL || d->host == NULL)
		return;
	key = (struct model_host){ .key = d->host, .len = (uint8_t)strlen(d->host) };
	if (check_find_gateway(c->model, d->gateway) == NULL &&
	    hosts_find(&c->hosts, &key, see_service, &s))
		d->gateway = NULL;
	else
		d->host = NULL;
}

static void check_to(struct check *c, const struct model_route *r, const struct source_marks *marks)
{
	uint64_t sum = 0;

	if (r->to.n == 0 && !source_is_bad(marks, KEY_TO) && marks->line[KEY_REDIRECT] == 0 &&
	    marks->line[KEY_DIRECT_RESPONSE] == 0)
		diag_error(c->diag, source_at(marks, KEY_TO),
			   "route %s needs to, redirect or direct-response", r->name);
	for (size_t i = 0; i < r->to.n; i++) {
		struct model_destination *d = &r->to.v[i];

		settle(c, d);
		if (d->gateway != NULL)
			check_to_gateway(c, r, d);
		else
			check_to_host(c, r, d);
		sum += d->weight;
	}
	if (r->to.n > 1 && sum == 0)
		diag_error(c->diag, r->to.v[0].at, "route %s: the weights add up to 0", r->name);
}

/*
 * A route before r that matches whatever comes from the node for the host, or NULL. A wider pattern
 * of another route does not count: the most specific one is looked at first.
 */
static const struct model_route *find_before(const struct model *m, const struct model_route *r,
					     const char *node, const struct model_host *h)
{
	for (const struct model_route *other = m->routes.v; other < r; other++) {
		if (!check_comes_from(other, node) || (other->port != 0 && other->port != r->port) ||
		    !check_rule_covers(&other->rule, &r->rule))
			continue;
		for (size_t i = 0; i < other->hosts.n; i++)
			if (hosts_same(&other->hosts.v[i], h))
				return other;
	}
	return NULL;
}

static void check_reachable(struct check *c, const struct model_route *r)
{
	const struct model_route *other = NULL;

	for (size_t i = 0; i < r->from.n; i++)
		for (size_t j = 0; j < r->hosts.n; j++) {
			other = find_before(c->model, r, r->from.v[i].s, &r->hosts.v[j]);
			if (other == NULL)
				return;
		}
	if (other != NULL)
		diag_warning(c->diag, r->at,
			     "route %s is unreachable: route %s, line %d, matches first", r->name,
			     other->name, other->at.line);
}

void check_routes(struct check *c)
{
	struct model_routes *list = &c->model->routes;

	for (size_t i = 0; i < list->n; i++) {
		const struct source_marks *marks = &c->source->routes.v[i];

		check_hosts(c, &list->v[i], marks);
		check_from(c, &list->v[i], marks);
		check_to(c, &list->v[i], marks);
		check_rule(c, &list->v[i], marks);
		check_reachable(c, &list->v[i]);
	}
}
