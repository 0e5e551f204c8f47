/* SPDX-License-Identifier: MIT */
/* Reaching a service. */
#include "tproxy/dial.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "rules/gateway.h"
#include "tproxy/conn.h"
#include "tproxy/exchange.h"
#include "tproxy/relay.h"
#include "tproxy/upstream.h"

#define ATTEMPT_DELAY_MS 250 /* RFC 8305 8: Connection Attempt Delay */

static struct dial *dial_of(struct worker *w, const struct conn *c)
{
	return dial_at(w, c->dial);
}

static uint64_t waiter_of(struct worker *w, const struct conn *c)
{
	return (uint64_t)(c->generation & 0x0fffffff) << 32 | slab_index(&w->conns, c);
}

void dial_cancel(struct worker *w, struct conn *c)
{
	if (c->dial == NONE)
		return;
	struct dial *d = dial_of(w, c);
	if (d->waiting)
		resolver_cancel(w->resolver, waiter_of(w, c));
	for (int i = 0; i < 2; i++)
		if (d->ups[i] != NONE)
			up_close(w, d->ups[i], true);
	slab_give(&w->dials, c->dial);
	c->dial = NONE;
}

static void fail(struct worker *w, struct conn *c, enum access_flag flag, const char *why)
{
	dial_cancel(w, c);
	conn_dial_failed(w, c, flag, why);
}

static const char *errno_reason(int e)
{
	switch (e) {
	case ECONNREFUSED: return "connection_refused";
	case ETIMEDOUT: return "connection_timeout";
	case EHOSTUNREACH: case ENETUNREACH: case EADDRNOTAVAIL: return "unreachable";
	case EADDRINUSE: return "own_address";
	case EMFILE: case ENFILE: case ENOBUFS: case ENOMEM: return "out_of_descriptors";
	case EPERM: case EACCES: return "refused_by_guard";
	default: return "connection_failure";
	}
}

bool dial_allowed(const struct addr *a, bool allow_private)
{
	enum addr_class class = addr_classify(a);

	return class == ADDR_PUBLIC || (class == ADDR_PRIVATE && allow_private);
}

/* Whether it goes to a gateway, which is d then; else to a service. */
static bool to_gateway(const struct worker *w, const struct conn *c, struct policy_destination *d)
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

	if (to_gateway(w, c, &gateway))
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
	d->ports[d->n++] = port;
}

/* Asked of each address at the moment it would be used. */
static bool candidate_allowed(struct worker *w, const struct conn *c, struct dial *d, uint8_t at)
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

	if (to_gateway(w, c, &gateway))
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

/* The first endpoint is drawn by weight, the others follow in their order. */
static void draw_endpoints(struct worker *w, struct conn *c, struct dial *d)
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

static void add_answer(struct worker *w, const struct conn *c, struct dial *d,
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
	int r = resolver_ask(w->resolver, name, len, waiter_of(w, c), w->loop.now_ms, &a);
	if (r < 0) {
		d->fail = FLAG_UO;
		return -1;
	}
	if (r == 0) {
		d->waiting = true;
		return 0;
	}
	if (a.status == RESOLVE_OK)
		add_answer(w, c, d, &a, port);
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

/*
 * Turns the next source of addresses into candidates. 1: there may be some; 0: waits for the
 * resolver; -1: no source is left.
 */
static int more(struct worker *w, struct conn *c, struct dial *d, const struct policy_port *port,
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
	if (d->asked || to_gateway(w, c, &to))
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

static void connected(struct worker *w, struct conn *c, uint32_t i)
{
	struct dial *d = dial_of(w, c);

	for (int k = 0; k < 2; k++)
		if (d->ups[k] == i)
			d->ups[k] = NONE;
	dial_cancel(w, c);
	up_at(w, i)->state = UP_ACTIVE;
	c->up = i;
	conn_connected(w, c);
}

/* One candidate. 1: connected (c may be gone); 0: under way; -1: failed. */
static int attempt(struct worker *w, struct conn *c, struct dial *d, uint8_t at)
{
	if (!candidate_allowed(w, c, d, at))
		return -1;
	d->dialled = true;
	uint32_t i = up_open(w, slab_index(&w->conns, c), &d->addrs[at], d->ports[at]);
	if (i == NONE) {
		d->last_errno = errno;
		d->fail = errno == ENOBUFS || errno == EMFILE || errno == ENFILE ? FLAG_UO
		          : FLAG_UF;
		return -1;
	}
	struct up *u = up_at(w, i);
	struct flow *f = &c->flow[UPWARD];
	uint32_t before = f->len;
	int sent = 0;
	/*
	 * On short paths the handshake is already over: what can be sent now spares a wait. Bytes
	 * that went out mean it is connected.
	 */
	u->io |= IO_WRITE;
	if (c->state == CONN_HTTP)
		sent = exchange_send_early(w, c, u);
	else if (before)
		sent = flow_flush(w, f, (struct flow_end){ u->fd, &u->io });
	if (sent < 0) {
		d->last_errno = errno;
		d->fail = FLAG_UF;
		up_close(w, i, true);
		worker_count(w, STAT_UP_CX_FAILED, 1);
		return -1;
	}
	bool done = sent > 0 ? before || c->state == CONN_HTTP : f->len < before;
	if (!done)
		u->io = 0;
	if (up_watch(w, i, done) < 0) {
		d->last_errno = errno;
		d->fail = FLAG_UO;
		up_close(w, i, true);
		return -1;
	}
	if (done) {
		connected(w, c, i);
		return 1;
	}
	d->ups[d->ups[0] == NONE ? 0 : 1] = i;
	return 0;
}

static bool reuse(struct worker *w, struct conn *c, struct dial *d)
{
	if (!d->pooled)
		return false;
	for (uint8_t k = d->next; k < d->n; k++) {
		if (!up_has_idle(w, &d->addrs[k], d->ports[k]) || !candidate_allowed(w, c, d, k))
			continue;
		connected(w, c, up_reuse(w, slab_index(&w->conns, c), &d->addrs[k], d->ports[k]));
		return true;
	}
	return false;
}

static void set_timer(struct worker *w, struct conn *c, struct dial *d, bool race)
{
	int64_t left = d->deadline_ms - w->loop.now_ms;
	if (race && left > ATTEMPT_DELAY_MS)
		left = ATTEMPT_DELAY_MS;
	timer_set(&w->loop, &c->timer, left > 0 ? (uint32_t)left : 0);
}

/* Nothing is left to try, or the deadline passed. */
static void give_up(struct worker *w, struct conn *c, struct dial *d)
{
	struct policy_destination gateway;
	bool lost = to_gateway(w, c, &gateway) && d->fail == FLAG_UF;

	if (!d->dialled && d->refused)
		fail(w, c, FLAG_UH, "address_refused");
	else if (d->fail == FLAG_DF)
		fail(w, c, FLAG_DF, "dns_resolution_failure");
	else if (d->fail == FLAG_UO)
		fail(w, c, FLAG_UO, d->last_errno ? errno_reason(d->last_errno) : "dns_overflow");
	else if (!d->dialled)
		fail(w, c, FLAG_UH, "no_healthy_upstream");
	else
		/* Not one of the gateway's endpoints is there, and nothing goes round it. */
		fail(w, c, lost ? FLAG_UH : FLAG_UF, errno_reason(d->last_errno));
}

/* Starts attempts until one is under way, connected, or nothing is left. */
static void proceed(struct worker *w, struct conn *c, const struct policy_port *port,
                    const char *name, size_t len)
{
	struct dial *d = dial_of(w, c);

	for (;;) {
		if (reuse(w, c, d))
			return;
		while (d->next < d->n && d->ups[1] == NONE && d->ups[0] == NONE) {
			int r = attempt(w, c, d, d->next++);
			if (r > 0)
				return;
		}
		if (d->ups[0] != NONE || d->ups[1] != NONE) {
			set_timer(w, c, d, d->next < d->n);
			return;
		}
		int r = more(w, c, d, port, name, len);
		if (r == 0) {
			set_timer(w, c, d, false);
			return;
		}
		if (r < 0) {
			give_up(w, c, d);
			return;
		}
	}
}

void dial_start(struct worker *w, struct conn *c, const struct policy_port *port, const char *name,
                size_t len, bool pooled)
{
	c->dial = slab_take(&w->dials);
	if (c->dial == NONE) {
		conn_dial_failed(w, c, FLAG_UO, "overflow");
		return;
	}
	struct policy_destination gateway;
	struct dial *d = dial_of(w, c);
	memset(d, 0, sizeof(*d));
	d->ups[0] = d->ups[1] = NONE;
	d->pooled = pooled;
	d->target = c->service == NONE || !port || to_gateway(w, c, &gateway) ? c->dport
	            : port->target;
	d->deadline_ms = w->loop.now_ms + w->config->connect_ms;
	draw_endpoints(w, c, d);
	proceed(w, c, port, name, len);
}

void dial_resolved(struct worker *w, struct conn *c, const struct resolve_answer *a)
{
	struct dial *d = dial_of(w, c);

	d->waiting = false;
	if (a->status == RESOLVE_OK)
		add_answer(w, c, d, a, d->target);
	else
		d->fail = FLAG_DF;
	proceed(w, c, NULL, NULL, 0);
}

void dial_ready(struct worker *w, struct conn *c, struct up *u, uint32_t events)
{
	struct dial *d = dial_of(w, c);
	uint32_t i = slab_index(&w->ups, u);
	int error = 0;
	socklen_t len = sizeof(error);

	if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return;
	if (getsockopt(u->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (!error) {
		io_events(&u->io, events);
		u->io |= IO_WRITE;
		connected(w, c, i);
		return;
	}
	d->last_errno = error;
	d->fail = FLAG_UF;
	worker_count(w, STAT_UP_CX_FAILED, 1);
	d->ups[d->ups[0] == i ? 0 : 1] = NONE;
	up_close(w, i, true);
	/* A failure does not wait for the delay. */
	if (d->next < d->n && attempt(w, c, d, d->next++) > 0)
		return;
	proceed(w, c, NULL, NULL, 0);
}

void dial_timeout(struct worker *w, struct conn *c)
{
	struct dial *d = dial_of(w, c);

	if (w->loop.now_ms >= d->deadline_ms) {
		worker_count(w, STAT_UP_CX_TIMEOUT, 1);
		d->last_errno = ETIMEDOUT;
		if (d->waiting)
			d->fail = FLAG_DF;
		else if (d->fail != FLAG_UO)
			d->fail = FLAG_UF;
		give_up(w, c, d);
		return;
	}
	/* The first attempt is slow: the next candidate runs beside it, or the faster of two. */
	if (d->next < d->n) {
		int k = d->ups[0] == NONE ? 0 : d->ups[1] == NONE ? 1 : -1;
		if (k >= 0 && attempt(w, c, d, d->next++) > 0)
			return;
	}
	set_timer(w, c, d, d->next < d->n && (d->ups[0] == NONE || d->ups[1] == NONE));
}
