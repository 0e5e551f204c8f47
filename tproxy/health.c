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

void health_init(struct health *h)
{
	for (unsigned i = 0; i < HEALTH_PROBES; i++)
		h->probes[i].fd = -1;
}

static void traffic_of(const struct worker *w, const struct check *k, struct policy_traffic *t)
{
	if (k->gateway)
		policy_gateway_traffic(current(w)->policy, k->owner, t);
	else
		policy_service_traffic(current(w)->policy, k->owner, t);
}

/* Which */

static void publish(struct worker *w, const struct check *k)
{
	__atomic_store_n(&current(w)->health[k->endpoint], k->state, __ATOMIC_RELAXED);
}

static bool listed(const struct health *h, uint32_t endpoint)
{
	for (uint32_t i = 0; i < h->n; i++)
		if (h->checks[i].endpoint == endpoint)
			return true;
	return false;
}

/* False: the table is full. */
static bool add(struct worker *w, struct policy_run run, struct check like)
{
	struct health *h = &w->health;
	struct policy_traffic t;

	traffic_of(w, &like, &t);
	for (uint32_t i = 0; i < run.n && t.health != POLICY_HEALTH_NONE; i++) {
		like.endpoint = run.first + i;
		like.key = current(w)->keys[like.endpoint];
		if (listed(h, like.endpoint))
			continue;
		if (h->n == HEALTH_CHECKS)
			return false;
		h->checks[h->n++] = like;
	}
	return true;
}

static void collect(struct worker *w, const struct policy *p)
{
	struct policy_port port;
	bool room = true;

	for (uint32_t i = 0; i < p->n[FORMAT_DESTINATIONS] && room; i++) {
		struct policy_destination d;
		struct policy_gateway g;
		policy_destination(p, i, &d);
		if (d.host)
			continue;
		policy_gateway(p, d.gateway, &g);
		policy_port(p, g.servers.first, &port);
		room = add(w, d.endpoints, (struct check){ .owner = d.gateway, .gateway = true,
		                                           .port = port.number });
	}
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES] && room; i++) {
		struct policy_service s;
		policy_service(p, i, &s);
		policy_port(p, s.ports.first, &port);
		room = add(w, s.endpoints, (struct check){ .owner = i, .port = port.target });
	}
	if (!room)
		log_warn("health: only the first %d endpoints are checked", HEALTH_CHECKS);
}

/* Results */

static void describe(const struct worker *w, const struct check *k, char *out, size_t size)
{
	const struct policy *p = current(w)->policy;
	char at[ADDR_PORT_TEXT];
	struct policy_endpoint e;
	struct policy_gateway g;
	struct policy_service s;

	policy_endpoint(p, k->endpoint, &e);
	uint16_t port = e.port ? e.port : k->port;
	addr_port_format(&e.addr, port, at);
	if (k->gateway)
		policy_gateway(p, k->owner, &g);
	else
		policy_service(p, k->owner, &s);
	if (e.name)
		snprintf(out, size, "%s: %s:%u", k->gateway ? g.name : s.name, e.name, port);
	else
		snprintf(out, size, "%s: %s", k->gateway ? g.name : s.name, at);
}

static void turn_to(struct worker *w, struct check *k, bool healthy, const char *why)
{
	char text[512];

	describe(w, k, text, sizeof(text));
	if (!healthy)
		log_warn("health: %s: unhealthy: %s", text, why);
	else if (k->state == TARGET_UNHEALTHY)
		log_info("health: %s: healthy", text);
	worker_count(w, STAT_UNHEALTHY, healthy ? -(k->state == TARGET_UNHEALTHY) : 1);
	k->state = healthy ? TARGET_HEALTHY : TARGET_UNHEALTHY;
	k->against = 0;
	publish(w, k);
}

/* The first result decides alone, later ones need as many as the policy says. */
static void judge(struct worker *w, struct check *k, const struct policy_traffic *t, bool pass,
                  const char *why)
{
	uint32_t needed = k->state == TARGET_UNCHECKED ? 1 : pass ? t->healthy : t->unhealthy;

	worker_count(w, STAT_HEALTH_CHECKS, 1);
	if (!pass)
		worker_count(w, STAT_HEALTH_FAILURES, 1);
	if (k->state == (pass ? TARGET_HEALTHY : TARGET_UNHEALTHY))
		k->against = 0;
	else if (++k->against >= needed || k->against == UINT8_MAX)
		turn_to(w, k, pass, why);
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
	if (q->fd >= 0)
		close(q->fd);
	q->fd = -1;
	q->generation++;
}

static void finish(struct worker *w, struct probe *q, bool pass)
{
	struct check *k = &w->health.checks[q->check];
	struct policy_traffic t;

	traffic_of(w, k, &t);
	close_fd(q);
	q->busy = k->busy = false;
	k->due_ms = w->loop.now_ms + spread(w, t.health_interval);
	judge(w, k, &t, pass, q->why);
}

static bool allowed(const struct worker *w, const struct check *k, const struct addr *a)
{
	struct policy_service s;

	if (k->gateway)
		return dial_allowed(a, true);
	policy_service(current(w)->policy, k->owner, &s);
	return dial_allowed(a, s.location == POLICY_INTERNAL || s.allow_private);
}

/* The next of its addresses. One that answers is enough, as it is for who dials. */
static void advance(struct worker *w, struct probe *q)
{
	struct check *k = &w->health.checks[q->check];
	uint32_t i = (uint32_t)(q - w->health.probes);
	struct policy_traffic t;

	traffic_of(w, k, &t);
	while (q->next < q->answer.n) {
		const struct addr *a = &q->answer.addrs[q->next++];
		close_fd(q);
		q->sent = false;
		q->got = 0;
		q->deadline_ms = w->loop.now_ms + t.health_timeout;
		q->why = "its address is refused";
		if (!allowed(w, k, a))
			continue;
		q->fd = up_connect(w, a, q->port);
		if (q->fd >= 0 &&
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
	struct policy_traffic t;

	traffic_of(w, k, &t);
	policy_endpoint(current(w)->policy, k->endpoint, &e);
	q->check = check;
	q->port = e.port ? e.port : k->port;
	q->next = 0;
	q->busy = k->busy = true;
	q->why = "its name is not found";
	q->answer.n = 0;
	q->deadline_ms = w->loop.now_ms + t.health_timeout;
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

/* Only where nothing has to be said first. */
static bool asks_http(const struct worker *w, const struct check *k, const struct policy_traffic *t)
{
	const struct policy *p = current(w)->policy;
	struct policy_gateway g;
	struct policy_tls tls;

	if (t->health != POLICY_HEALTH_HTTP)
		return false;
	if (!k->gateway)
		return !policy_service_tls(p, k->owner, &tls);
	policy_gateway(p, k->owner, &g);
	return g.via == POLICY_VIA_PLAIN;
}

/* Host is the gateway's name, or the first of the service's hosts. */
static bool send_request(const struct worker *w, struct probe *q, const struct policy_traffic *t)
{
	const struct policy *p = current(w)->policy;
	const struct check *k = &w->health.checks[q->check];
	const char *host;
	int len;
	char out[REQUEST_MAX];
	struct policy_gateway g;
	struct policy_service s;

	if (k->gateway) {
		policy_gateway(p, k->owner, &g);
		host = g.name;
		len = (int)strlen(host);
	} else {
		policy_service(p, k->owner, &s);
		len = s.first_host ? s.first_host[0] : 0;
		host = s.first_host ? (const char *)s.first_host + 1 : "";
	}
	int n = snprintf(out, sizeof(out), "GET %s HTTP/1.1\r\nHost: %.*s\r\n"
	                 "User-Agent: sluice\r\nConnection: close\r\n\r\n", t->health_path, len,
	                 host);
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
	struct policy_traffic t;

	if (!q->sent && !(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return 0;
	if (getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	q->why = strerror(error);
	if (error)
		return -1;
	traffic_of(w, k, &t);
	if (!asks_http(w, k, &t))
		return 1;
	q->why = "its answer is not 200";
	if (!q->sent && !send_request(w, q, &t))
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

	if (!q->busy || q->fd < 0 || (q->generation & 0x0fffffff) != generation)
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
	worker_count(w, STAT_UNHEALTHY, -(int64_t)stat_get(&w->stats.v[STAT_UNHEALTHY]));
	h->n = 0;
	collect(w, current(w)->policy);
	for (uint32_t i = 0; i < h->n; i++) {
		struct check *k = &h->checks[i];
		for (uint32_t j = 0; j < n_old; j++) {
			if (old[j].key != k->key)
				continue;
			k->due_ms = old[j].due_ms;
			k->state = old[j].state;
			k->against = old[j].against;
			worker_count(w, STAT_UNHEALTHY, k->state == TARGET_UNHEALTHY);
		}
		publish(w, k);
	}
	schedule(w);
}
