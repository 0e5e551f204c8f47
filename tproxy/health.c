/* SPDX-License-Identifier: MIT */
/* Active health checks. */
#include "tproxy/health.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rules/gateway.h"
#include "tproxy/dial.h"
#include "tproxy/log.h"
#include "tproxy/upstream.h"

#define REQUEST_MAX 1024

static struct shared_policy *current(const struct worker *w)
{
	return w->policies[w->policy].shared;
}

/* Which */

static bool listed(const struct health *h, uint32_t endpoint)
{
	for (uint32_t i = 0; i < h->n; i++)
		if (h->checks[i].endpoint == endpoint)
			return true;
	return false;
}

/* False: the table is full. */
static bool add(struct worker *w, struct policy_run run, const struct policy_traffic *t,
                struct check *like)
{
	struct health *h = &w->health;

	if (t->health != POLICY_HEALTH_HTTP)
		like->path = NULL;
	like->interval_ms = t->health_interval;
	like->timeout_ms = t->health_timeout;
	like->healthy = t->healthy;
	like->unhealthy = t->unhealthy;
	for (uint32_t i = run.first; i < run.first + run.n && t->health; i++) {
		like->endpoint = i;
		like->key = current(w)->keys[i];
		if (listed(h, i))
			continue;
		if (h->n == HEALTH_CHECKS)
			return false;
		h->checks[h->n++] = *like;
	}
	return true;
}

static bool add_gateway(struct worker *w, const struct policy_destination *d)
{
	const struct policy *p = current(w)->policy;
	struct policy_traffic t;
	struct policy_gateway g;
	struct policy_port port;

	policy_gateway(p, d->gateway, &g);
	policy_port(p, g.servers.first, &port);
	policy_gateway_traffic(p, d->gateway, &t);
	return add(w, d->endpoints, &t, &(struct check){
		.owner = g.name, .host = g.name, .host_len = (uint8_t)strlen(g.name),
		.path = g.via == POLICY_VIA_PLAIN ? t.health_path : NULL,
		.port = port.number, .allow_private = true,
	});
}

static bool add_service(struct worker *w, uint32_t i)
{
	const struct policy *p = current(w)->policy;
	struct policy_traffic t;
	struct policy_service s;
	struct policy_port port;
	struct policy_tls tls;

	policy_service(p, i, &s);
	policy_port(p, s.ports.first, &port);
	policy_service_traffic(p, i, &t);
	struct check k = {
		.owner = s.name, .path = policy_service_tls(p, i, &tls) ? NULL : t.health_path,
		.port = port.target, .allow_private = s.location == POLICY_INTERNAL || s.allow_private,
	};
	if (s.first_host) {
		k.host_len = s.first_host[0];
		k.host = (const char *)s.first_host + 1;
	}
	return add(w, s.endpoints, &t, &k);
}

static void collect(struct worker *w)
{
	const struct policy *p = current(w)->policy;
	struct policy_destination d;
	bool room = true;

	for (uint32_t i = 0; i < p->n[FORMAT_DESTINATIONS] && room; i++) {
		policy_destination(p, i, &d);
		room = d.host || add_gateway(w, &d);
	}
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES] && room; i++)
		room = add_service(w, i);
	if (!room)
		log_warn("health: only the first %d endpoints are checked", HEALTH_CHECKS);
}

/* Results */

static void set_state(struct worker *w, struct check *k, uint8_t state)
{
	worker_count(w, STAT_UNHEALTHY,
	             (state == TARGET_UNHEALTHY) - (k->state == TARGET_UNHEALTHY));
	k->state = state;
	__atomic_store_n(&current(w)->health[k->endpoint], state, __ATOMIC_RELAXED);
}

static void turn_to(struct worker *w, struct check *k, uint8_t state, const char *why)
{
	char text[ADDR_TEXT];
	struct policy_endpoint e;

	if (k->state + state != TARGET_UNCHECKED + TARGET_HEALTHY) {
		policy_endpoint(current(w)->policy, k->endpoint, &e);
		addr_format(&e.addr, text);
		log_warn("health: %s: %s port %u: %s", k->owner, e.name ? e.name : text,
		         e.port ? e.port : k->port, why);
	}
	k->against = 0;
	set_state(w, k, state);
}

/* The first result decides alone, later ones need as many as the policy says. */
static void judge(struct worker *w, struct check *k, bool pass, const char *why)
{
	uint8_t state = pass ? TARGET_HEALTHY : TARGET_UNHEALTHY;

	worker_count(w, STAT_HEALTH_CHECKS, 1);
	worker_count(w, STAT_HEALTH_FAILURES, !pass);
	if (k->state == state)
		k->against = 0;
	else if (++k->against >= (pass ? k->healthy : k->unhealthy) || !k->state)
		turn_to(w, k, state, pass ? "healthy again" : why);
}

/* An interval, give or take an eighth: nodes that started together drift apart. */
static uint32_t spread(struct worker *w, uint32_t ms)
{
	return ms - ms / 8 + worker_random(w) % (ms / 4 + 1);
}

/* Probes */

static uint64_t waiter_of(const struct health *h, const struct probe *q)
{
	return HEALTH_WAITER | (uint64_t)(q->generation & 0x0fffffff) << 32 | (q - h->probes);
}

static void close_fd(struct probe *q)
{
	if (q->open)
		close(q->fd);
	q->open = false;
	q->generation++;
}

static void finish(struct worker *w, struct probe *q, bool pass)
{
	struct check *k = &w->health.checks[q->check];

	close_fd(q);
	q->busy = k->busy = false;
	k->due_ms = w->loop.now_ms + spread(w, k->interval_ms);
	judge(w, k, pass, q->why);
}

/* The next of its addresses. One that answers is enough, as it is for who dials. */
static void advance(struct worker *w, struct probe *q)
{
	struct check *k = &w->health.checks[q->check];
	uint32_t i = (uint32_t)(q - w->health.probes);

	while (q->next < q->answer.n) {
		const struct addr *a = &q->answer.addrs[q->next++];
		close_fd(q);
		q->sent = false;
		q->got = 0;
		q->deadline_ms = w->loop.now_ms + k->timeout_ms;
		q->why = "its address is refused";
		if (!dial_allowed(a, k->allow_private))
			continue;
		q->fd = up_connect(w, a, q->port);
		q->open = q->fd >= 0;
		if (q->open &&
		    loop_add(&w->loop, q->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		             loop_data(EVENT_HEALTH, q->generation, i)) == 0)
			return;
		q->why = strerror(errno);
	}
	finish(w, q, false);
}

static void begin(struct worker *w, struct probe *q, uint32_t check)
{
	struct check *k = &w->health.checks[check];
	struct policy_endpoint e;

	policy_endpoint(current(w)->policy, k->endpoint, &e);
	q->check = check;
	q->port = e.port ? e.port : k->port;
	q->next = 0;
	q->busy = k->busy = true;
	q->why = "its name is not found";
	q->answer.n = 0;
	q->deadline_ms = w->loop.now_ms + k->timeout_ms;
	if (!e.name) {
		q->answer = (struct resolve_answer){ .status = RESOLVE_OK, .n = 1 };
		q->answer.addrs[0] = e.addr;
	} else if (resolver_ask(w->resolver, e.name, strlen(e.name), waiter_of(&w->health, q),
	                        w->loop.now_ms, &q->answer) == 0) {
		return;
	} else if (q->answer.status != RESOLVE_OK) {
		q->answer.n = 0;
	}
	advance(w, q);
}

static bool send_request(struct probe *q, const struct check *k)
{
	char out[REQUEST_MAX];
	int n = snprintf(out, sizeof(out), "GET %s HTTP/1.1\r\nHost: %.*s\r\n"
	                 "User-Agent: sluice\r\nConnection: close\r\n\r\n", k->path,
	                 k->host_len, k->host);

	q->sent = true;
	return n > 0 && n < REQUEST_MAX && send(q->fd, out, (size_t)n, MSG_NOSIGNAL) == n;
}

/* 1: it is 200; 0: wait; -1: it is not. */
static int read_answer(struct probe *q)
{
	ssize_t n;

	do
		n = recv(q->fd, q->head + q->got, sizeof(q->head) - q->got, 0);
	while (n > 0 && (q->got = (uint8_t)(q->got + n)) < sizeof(q->head));
	if (q->got == sizeof(q->head))
		return memcmp(q->head, "HTTP/1.", 7) == 0 && memcmp(q->head + 8, " 200", 4) == 0
		       ? 1 : -1;
	return n < 0 && errno == EAGAIN ? 0 : -1;
}

/* As read_answer(), of a probe that is not connected yet too. */
static int look(const struct worker *w, struct probe *q, uint32_t events)
{
	const struct check *k = &w->health.checks[q->check];
	int error = 0;
	socklen_t len = sizeof(error);

	if (!q->sent && !(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return 0;
	if (getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	q->why = strerror(error);
	if (error)
		return -1;
	if (!k->path)
		return 1;
	q->why = "its answer is not 200";
	if (!q->sent && !send_request(q, k))
		return -1;
	return read_answer(q);
}

static void schedule(struct worker *w)
{
	struct health *h = &w->health;
	int64_t next = INT64_MAX;
	bool room = false;

	for (unsigned i = 0; i < HEALTH_PROBES; i++) {
		if (h->probes[i].busy && h->probes[i].deadline_ms < next)
			next = h->probes[i].deadline_ms;
		room |= !h->probes[i].busy;
	}
	for (uint32_t i = 0; i < h->n && room; i++)
		if (!h->checks[i].busy && h->checks[i].due_ms < next)
			next = h->checks[i].due_ms;
	timer_unset(&h->timer);
	if (next == INT64_MAX)
		return;
	next -= w->loop.now_ms;
	timer_set(&w->loop, &h->timer, next > 0 ? (uint32_t)next : 0);
}

void health_ready(struct worker *w, uint32_t probe, uint32_t generation, uint32_t events)
{
	struct probe *q = &w->health.probes[probe];

	if (!q->open || (q->generation & 0x0fffffff) != generation)
		return;
	int r = look(w, q, events);
	if (r > 0)
		finish(w, q, true);
	else if (r < 0)
		advance(w, q);
	schedule(w);
}

void health_resolved(struct worker *w, uint64_t waiter, const struct resolve_answer *a)
{
	struct probe *q = &w->health.probes[(uint32_t)waiter];

	if (!q->busy || waiter != waiter_of(&w->health, q))
		return;
	if (a->status == RESOLVE_OK)
		q->answer = *a;
	advance(w, q);
	schedule(w);
}

void health_timeout(struct worker *w)
{
	struct health *h = &w->health;
	uint32_t k = 0;

	for (unsigned i = 0; i < HEALTH_PROBES; i++) {
		struct probe *q = &h->probes[i];
		if (q->busy && q->deadline_ms <= w->loop.now_ms) {
			q->why = strerror(ETIMEDOUT);
			resolver_cancel(w->resolver, waiter_of(h, q));
			advance(w, q);
		}
		while (!q->busy && k < h->n) {
			if (!h->checks[k].busy && h->checks[k].due_ms <= w->loop.now_ms)
				begin(w, q, k);
			k++;
		}
	}
	schedule(w);
}

void health_end(struct worker *w)
{
	struct health *h = &w->health;

	timer_unset(&h->timer);
	for (unsigned i = 0; i < HEALTH_PROBES; i++) {
		if (!h->probes[i].busy)
			continue;
		resolver_cancel(w->resolver, waiter_of(h, &h->probes[i]));
		close_fd(&h->probes[i]);
		h->probes[i].busy = false;
	}
	for (uint32_t i = 0; i < h->n; i++)
		h->checks[i].busy = false;
}

void health_policy(struct worker *w)
{
	struct health *h = &w->health;
	struct check old[HEALTH_CHECKS];
	uint32_t n_old = h->n;

	if (w->number)
		return;
	health_end(w);
	memcpy(old, h->checks, n_old * sizeof(*old));
	stat_add(&w->stats.v[STAT_UNHEALTHY], -(int64_t)stat_get(&w->stats.v[STAT_UNHEALTHY]));
	h->n = 0;
	collect(w);
	for (uint32_t i = 0; i < h->n; i++)
		for (uint32_t j = 0; j < n_old; j++)
			if (old[j].key == h->checks[i].key) {
				h->checks[i].due_ms = old[j].due_ms;
				h->checks[i].against = old[j].against;
				set_state(w, &h->checks[i], old[j].state);
			}
	schedule(w);
}
