/* SPDX-License-Identifier: MIT */
/* Where the addresses come from that are dialled, and which of them may be. */
#include <string.h>

#include "rules/gateway.h"
#include "tproxy/conn.h"
#include "tproxy/dial.h"
#include "tproxy/exchange.h"

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

bool dial_traffic(const struct worker *w, const struct conn *c, struct policy_traffic *t)
{
	struct policy_destination gateway;

	if (dial_to_gateway(w, c, &gateway))
		policy_gateway_traffic(conn_policy(w, c), gateway.gateway, t);
	else if (c->service != NONE)
		policy_service_traffic(conn_policy(w, c), c->service, t);
	else
		return false;
	return true;
}

static void add(struct dial *d, const struct addr *a, uint16_t port, uint16_t target)
{
	if (d->n == DIAL_MAX)
		return;
	d->addrs[d->n] = *a;
	d->from[d->n] = d->used ? d->order[d->used - 1] : 0;
	d->targets[d->n][0] = d->endpoint;
	d->targets[d->n][1] = target;
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

static uint32_t pick(struct worker *w, const struct conn *c, struct dial *d, struct balance_set *s,
                     uint16_t *target)
{
	struct balance_choice choice;
	struct policy_traffic t;

	s->traffic = dial_traffic(w, c, &t) ? &t : NULL;
	s->source = &c->src;
	s->pooled = d->pooled;
	uint32_t at = balance_pick(&w->balance, s, w->loop.now_ms, &choice);
	*target = choice.target;
	if (at == NONE && choice.flag == FLAG_UO) {
		d->fail = FLAG_UO;
		d->why = "max_connections";
	}
	return at;
}

/* The next endpoint, from 0, or NONE. */
static uint32_t pick_endpoint(struct worker *w, const struct conn *c, struct dial *d)
{
	const struct shared_policy *p = w->policies[c->policy].shared;
	struct balance_set s = {
		.policy = p->policy, .run = endpoints(w, c), .keys = p->keys, .health = p->health,
		.port = d->port, .n_tried = d->used,
	};

	memcpy(s.tried, d->order, sizeof(s.tried));
	/* Where an earlier try of the request went comes last. */
	const struct exchange *x = c->exchange != NONE ? exchange_of(w, c) : NULL;
	for (int i = 0; x && i < x->n_avoided && s.n_tried < BALANCE_TRIED; i++)
		s.tried[s.n_tried++] = x->avoided[i];
	uint32_t at = pick(w, c, d, &s, &d->endpoint);
	if (at == NONE && s.n_tried > d->used) {
		s.n_tried = d->used;
		at = pick(w, c, d, &s, &d->endpoint);
	}
	if (at == NONE)
		d->n_order = d->used;
	else
		d->order[d->used++] = (uint16_t)at;
	return at;
}

void dial_begin(const struct worker *w, const struct conn *c, struct dial *d)
{
	uint32_t n = endpoints(w, c).n;

	d->n_order = n < DIAL_MAX ? (uint8_t)n : DIAL_MAX;
	d->endpoint = TARGET_NONE;
}

/* Whose state the addresses of a name are. */
static uint64_t name_key(const struct worker *w, const struct conn *c, const struct dial *d)
{
	const struct shared_policy *p = w->policies[c->policy].shared;
	struct policy_service s;

	if (d->used)
		return p->keys[endpoints(w, c).first + d->order[d->used - 1]];
	policy_service(p->policy, c->service, &s);
	return balance_key(s.name, strlen(s.name));
}

/*
 * In the order in which they would be chosen, families in turn and IPv6 first; round-robin over DNS
 * means the order received.
 */
void dial_add_answer(struct worker *w, const struct conn *c, struct dial *d,
                     const struct resolve_answer *a, uint16_t port)
{
	struct balance_set s = {
		.addrs = a->addrs, .n_addrs = a->n, .key = name_key(w, c, d), .port = port,
		.family = 6,
	};
	uint16_t target;
	uint32_t at;

	_Static_assert(BALANCE_TRIED >= RESOLVE_ADDRS_MAX && BALANCE_TRIED >= DIAL_MAX, "all fit");
	for (int i = 0; i < a->n && in_turn(w, c); i++)
		add(d, &a->addrs[i], port, TARGET_NONE);
	if (in_turn(w, c))
		return;
	while ((at = pick(w, c, d, &s, &target)) != NONE) {
		add(d, &a->addrs[at], port, target);
		s.tried[s.n_tried++] = (uint16_t)at;
		s.family = addr_is_v4(&a->addrs[at]) ? 6 : 4;
	}
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
		add(d, &c->dst, c->dport, TARGET_NONE);
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
		uint32_t i = pick_endpoint(w, c, d);
		if (i == NONE)
			return -1;
		policy_endpoint(p, endpoints(w, c).first + i, &e);
		uint16_t at = e.port ? e.port : d->port;
		if (e.name)
			return ask(w, c, d, e.name, strlen(e.name), at);
		add(d, &e.addr, at, TARGET_NONE);
		return 1;
	}
	if (d->asked || dial_to_gateway(w, c, &to))
		return -1;
	d->asked = true;
	if (c->service == NONE) {
		if (!(c->flags & CONN_PASSTHROUGH))
			return -1;
		add(d, &c->dst, c->dport, TARGET_NONE);
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
	return ask(w, c, d, name, len, port ? port->target : d->port);
}
