/* SPDX-License-Identifier: MIT */
/* Where the addresses come from that are dialled, and which of them may be. */
#include <string.h>

#include "rules/gateway.h"
#include "tproxy/conn.h"
#include "tproxy/dial.h"

bool dial_allowed(const struct addr *a, bool allow_private)
{
	enum addr_class class = addr_classify(a);

	return class == ADDR_PUBLIC || (class == ADDR_PRIVATE && allow_private);
}

bool dial_to_gateway(const struct worker *w, const struct conn *c, struct policy_destination *d)
{
	if (c->destination == NONE)
		return false;
	policy_destination(conn_policy(w, c), c->destination, d);
	return !d->host;
}

/* Gateways may be anywhere in the plant; who they are the policy says. */
static bool private_allowed(struct worker *w, const struct conn *c)
{
	struct policy_destination gateway;
	struct policy_service s;

	if (dial_to_gateway(w, c, &gateway))
		return true;
	if (c->service == NONE)
		return c->flags & CONN_PASSTHROUGH;
	policy_service(conn_policy(w, c), c->service, &s);
	return s.location == POLICY_INTERNAL || s.allow_private ||
	       s.enforcement == POLICY_AUDIT ||
	       w->policies[c->policy].shared->meta.enforcement == POLICY_AUDIT;
}

static void add(struct dial *d, const struct addr *a, uint16_t port)
{
	if (d->n == DIAL_MAX)
		return;
	d->addrs[d->n] = *a;
	d->from[d->n] = d->used ? d->order[d->used - 1] : 0;
	d->ports[d->n++] = port;
}

bool dial_candidate_allowed(struct worker *w, const struct conn *c, struct dial *d, uint8_t at)
{
	if (dial_allowed(&d->addrs[at], private_allowed(w, c)))
		return true;
	d->refused = true;
	worker_count(w, STAT_ADDR_REFUSED, 1);
	return false;
}

/* Of the gateway or service; empty: it goes by name, or to where the client wanted. */
static struct policy_run endpoints(const struct worker *w, const struct conn *c)
{
	struct policy_destination gateway;
	struct policy_service s;

	if (dial_to_gateway(w, c, &gateway))
		return gateway.endpoints;
	if (c->service == NONE)
		return (struct policy_run){ 0, 0 };
	policy_service(conn_policy(w, c), c->service, &s);
	return s.endpoints;
}

static bool in_turn(const struct worker *w, const struct conn *c)
{
	struct policy_service s;

	if (c->service == NONE)
		return false;
	policy_service(conn_policy(w, c), c->service, &s);
	return s.resolution == POLICY_DNS_ROUND_ROBIN;
}

void dial_draw(struct worker *w, struct conn *c, struct dial *d)
{
	const struct policy *p = conn_policy(w, c);
	struct policy_run run = endpoints(w, c);
	struct policy_endpoint e;
	uint64_t total = 0;

	for (uint32_t i = 0; i < run.n; i++) {
		policy_endpoint(p, run.first + i, &e);
		total += e.weight;
	}
	if (!total)
		return;
	uint64_t draw = ((uint64_t)worker_random(w) << 32 | worker_random(w)) % total;
	uint32_t first = 0;
	for (; first < run.n - 1; first++) {
		policy_endpoint(p, run.first + first, &e);
		if (draw < e.weight)
			break;
		draw -= e.weight;
	}
	for (uint32_t i = 0; i < run.n && d->n_order < DIAL_MAX; i++) {
		uint32_t at = (first + i) % run.n;
		policy_endpoint(p, run.first + at, &e);
		/* Weight 0 takes no share, as a fallback neither. */
		if (e.weight)
			d->order[d->n_order++] = (uint16_t)at;
	}
}

void dial_add_answer(struct worker *w, const struct conn *c, struct dial *d,
                       const struct resolve_answer *a, uint16_t port)
{
	uint32_t turn = 0;

	if (a->n > 1 && !in_turn(w, c))
		turn = worker_random(w);
	/*
	 * Families alternate in the answer; each starts at a place of its own, so that load spreads
	 * and IPv6 still comes first.
	 */
	struct addr by_family[2][RESOLVE_ADDRS_MAX];
	uint32_t n[2] = { 0, 0 };
	for (int i = 0; i < a->n; i++) {
		int v4 = addr_is_v4(&a->addrs[i]);
		by_family[v4][n[v4]++] = a->addrs[i];
	}
	for (uint32_t i = 0; i < n[0] || i < n[1]; i++)
		for (int f = 0; f < 2; f++)
			if (i < n[f])
				add(d, &by_family[f][(i + turn) % n[f]], port);
}

/* 1: asked and answered; 0: waits; -1: the table is full. */
static int ask(struct worker *w, struct conn *c, struct dial *d, const char *name, size_t len,
               uint16_t port)
{
	struct resolve_answer a;

	d->target = port;
	int r = resolver_ask(w->resolver, name, len, dial_waiter(w, c), w->loop.now_ms, &a);
	if (r < 0) {
		d->fail = FLAG_UO;
		return -1;
	}
	if (r == 0) {
		d->waiting = true;
		return 0;
	}
	if (a.status == RESOLVE_OK)
		dial_add_answer(w, c, d, &a, port);
	else
		d->fail = FLAG_DF;
	return 1;
}

/*
 * resolution = none dials what the client chose; a service that lists addresses means these and no
 * others, whatever name was said.
 */
static void add_original(struct worker *w, const struct conn *c, struct dial *d,
                         const struct policy_service *s)
{
	const struct policy *p = conn_policy(w, c);
	bool listed = !s->cidrs.n;
	struct cidr cidr;

	for (uint32_t i = 0; i < s->cidrs.n && !listed; i++) {
		policy_cidr(p, s->cidrs.first + i, &cidr);
		listed = cidr_contains(&cidr, &c->dst);
	}
	if (listed) {
		add(d, &c->dst, c->dport);
		return;
	}
	d->refused = true;
	worker_count(w, STAT_ADDR_REFUSED, 1);
}

int dial_more(struct worker *w, struct conn *c, struct dial *d, const struct policy_port *port,
                const char *name, size_t len)
{
	const struct policy *p = conn_policy(w, c);
	struct policy_destination to = { .host = NULL };
	struct policy_service s;

	if (d->used < d->n_order) {
		struct policy_endpoint e;
		policy_endpoint(p, endpoints(w, c).first + d->order[d->used++], &e);
		uint16_t at = e.port ? e.port : d->target;
		if (e.name)
			return ask(w, c, d, e.name, strlen(e.name), at);
		add(d, &e.addr, at);
		return 1;
	}
	if (d->asked || dial_to_gateway(w, c, &to))
		return -1;
	d->asked = true;
	if (c->service == NONE) {
		if (!(c->flags & CONN_PASSTHROUGH))
			return -1;
		add(d, &c->dst, c->dport);
		return 1;
	}
	policy_service(p, c->service, &s);
	if (s.resolution == POLICY_NONE) {
		/* The destination that a gateway's client chose is the gateway. */
		if (c->at_gateway)
			return -1;
		add_original(w, c, d, &s);
		return 1;
	}
	/*
	 * Only a name that the policy lists is looked up: a service found by address or port goes
	 * by its own.
	 */
	if (to.host) {
		name = to.host;
		len = strlen(name);
	} else if (c->key == NONE && s.first_host && s.first_host[0] && s.first_host[1] != '.') {
		name = (const char *)s.first_host + 1;
		len = s.first_host[0];
	} else if (c->key == NONE) {
		return -1;
	}
	if (s.resolution == POLICY_STATIC || s.endpoints.n || !name || !len)
		return -1;
	return ask(w, c, d, name, len, port ? port->target : d->target);
}
