/* SPDX-License-Identifier: MIT */
/* Checks of what routes come to when they are followed: loops, and hosts that cannot be told apart. */
#include "rules/check.h"

#include <string.h>

/* What is on its way from a route: to a name, or several under a pattern; port 0: any. */
struct parcel { const struct model_host *host; uint16_t port; };

static bool ports_meet(uint16_t a, uint16_t b)
{
	return a == 0 || b == 0 || a == b;
}

/*
 * The route that a gateway applies to all of the parcel, which start sent, and whose conditions it
 * therefore met; NULL: there is none for all of it.
 */
static const struct model_route *find_applied(const struct model *m, const char *node,
					      const struct parcel *p,
					      const struct model_route *start)
{
	const struct model_route *best = NULL;
	uint8_t best_len = 0;

	for (size_t i = 0; i < m->routes.n; i++) {
		const struct model_route *r = &m->routes.v[i];

		if (!check_comes_from(r, node) || (r->port != 0 && r->port != p->port) ||
		    (check_http_only(&r->rule) && r != start))
			continue;
		for (size_t j = 0; j < r->hosts.n; j++) {
			const struct model_host *h = &r->hosts.v[j];

			if (hosts_cover(h, p->host) && (best == NULL || h->len > best_len)) {
				best = r;
				best_len = h->len;
			}
		}
	}
	return best;
}

static bool comes_back(const struct model *m, const struct model_route *start, const char *home,
		       const char *node, struct parcel p, size_t left);

static bool follow(const struct model *m, const struct model_route *start, const char *home,
		   const struct model_route *r, const char *node, struct parcel p, size_t left)
{
	struct model_host other;

	if (r->port != 0)
		p.port = r->port;
	if (r->rule.rewrite_authority != NULL) {
		other = (struct model_host){ .key = r->rule.rewrite_authority };
		other.len = (uint8_t)strcspn(other.key, ":");
		p.host = &other;
	}
	for (size_t i = 0; i < r->to.n; i++) {
		const char *next = r->to.v[i].gateway;

		if (next != NULL && check_find_gateway(m, next) != NULL && strcmp(next, node) != 0 &&
		    comes_back(m, start, home, next, p, left))
			return true;
	}
	return false;
}

/* Whether what start sent from home, and is at a node now, gets to home and to that route again. */
static bool comes_back(const struct model *m, const struct model_route *start, const char *home,
		       const char *node, struct parcel p, size_t left)
{
	const struct model_route *applied = find_applied(m, node, &p, start);

	if (strcmp(node, home) == 0)
		return applied == start;
	if (left == 0)
		return false;
	if (applied != NULL && follow(m, start, home, applied, node, p, left - 1))
		return true;
	/* What only a part of it meets: other routes there, for fewer names or one port. */
	for (size_t i = 0; i < m->routes.n; i++) {
		const struct model_route *r = &m->routes.v[i];

		if (r == applied || !check_comes_from(r, node) || !ports_meet(r->port, p.port))
			continue;
		for (size_t j = 0; j < r->hosts.n; j++) {
			const struct model_host *h = &r->hosts.v[j];
			bool wider = hosts_cover(h, p.host);
			struct parcel part = { wider ? p.host : h, r->port != 0 ? r->port : p.port };

			if ((wider || hosts_cover(p.host, h)) &&
			    (check_http_only(&r->rule) ||
			     find_applied(m, node, &part, start) == r) &&
			    follow(m, start, home, r, node, part, left - 1))
				return true;
		}
	}
	return false;
}

static void check_loops(struct check *c, const struct model_route *r, const char *home,
			const struct model_destination *d)
{
	const struct model *m = c->model;
	char text[HOSTS_TEXT];

	if (check_find_gateway(m, home) == NULL || d->gateway == NULL ||
	    check_find_gateway(m, d->gateway) == NULL || strcmp(d->gateway, home) == 0)
		return;
	for (size_t i = 0; i < r->hosts.n; i++) {
		struct parcel p = { &r->hosts.v[i], r->port };

		if (!comes_back(m, r, home, d->gateway, p, m->gateways.n))
			continue;
		diag_error(c->diag, d->at,
			   "route %s: what gateway %s sends to %s for host %s comes back to it: a loop",
			   r->name, home, d->gateway, hosts_text(p.host, text));
		return;
	}
}

/* ---- services that are found by address ---- */

struct untold { struct check *check; const struct model_route *route; const struct model_host *host; };

static bool covers_all(const struct model_route *r, const struct model_service *s)
{
	for (size_t i = 0; i < s->hosts.n; i++) {
		bool covered = false;

		for (size_t j = 0; j < r->hosts.n && !covered; j++)
			covered = hosts_cover(&r->hosts.v[j], &s->hosts.v[i]);
		if (!covered)
			return false;
	}
	return true;
}

static bool see_untold(const struct hosts_entry *e, void *user)
{
	struct untold *u = user;
	const struct model_service *s = &u->check->model->services.v[e->service];
	char text[HOSTS_TEXT];

	if (covers_all(u->route, s))
		return false;
	for (size_t i = 0; i < s->ports.n; i++) {
		const struct model_port *p = &s->ports.v[i];

		if (!policy_protocol_is_tcp(p->protocol) ||
		    !ports_meet(u->route->port, p->number))
			continue;
		diag_error(u->check->diag, source_host_at(u->check->source, u->host),
			   "route %s: service %s is found by address on port %u, and its other hosts are not told from %s: list them all",
			   u->route->name, s->name, p->number, hosts_text(u->host, text));
		return true;
	}
	return false;
}

void check_chains(struct check *c)
{
	for (size_t i = 0; i < c->model->routes.n; i++) {
		const struct model_route *r = &c->model->routes.v[i];

		for (size_t j = 0; j < r->from.n; j++)
			for (size_t k = 0; k < r->to.n; k++)
				check_loops(c, r, r->from.v[j].s, &r->to.v[k]);
		if (!check_comes_from(r, CHECK_MESH))
			continue;
		for (size_t j = 0; j < r->hosts.n; j++) {
			struct untold u = { c, r, &r->hosts.v[j] };

			hosts_find(&c->hosts, u.host, see_untold, &u);
		}
	}
}
