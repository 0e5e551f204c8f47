/* SPDX-License-Identifier: MIT */
/*
 * Lists live connections, or endpoints: the control thread asks, each worker writes, here it is
 * gathered.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rules/gateway.h"
#include "tproxy/conn.h"
#include "tproxy/exchange.h"
#include "tproxy/worker_pool.h"

#define LINE_MAX_LEN 1024

struct dump {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	unsigned refs, left;
	char *text;
	size_t len, room;
	bool failed;
	bool endpoints; /* these are asked for */
};

static void drop(struct dump *d)
{
	pthread_mutex_lock(&d->lock);
	bool last = --d->refs == 0;
	pthread_mutex_unlock(&d->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->answered);
	free(d->text);
	free(d);
}

static const char *state_name(const struct conn *c)
{
	static const char *const names[] = {
		[CONN_FREE] = "free", [CONN_SNIFF] = "sniff", [CONN_PROXY] = "proxy",
		[CONN_HANDSHAKE] = "handshake", [CONN_DIAL] = "dial",
		[CONN_RELAY] = "relay", [CONN_HTTP] = "http", [CONN_LINGER] = "linger",
		[CONN_DNS] = "dns",
	};
	return c->state == CONN_HTTP && c->exchange == NONE ? "keepalive" : names[c->state];
}

static int write_line(struct worker *w, const struct conn *c, char *out, size_t room)
{
	char src[ADDR_PORT_TEXT], dst[ADDR_PORT_TEXT], up[ADDR_PORT_TEXT] = "-";
	struct access_text name = conn_name(w, c);
	struct access_record r;

	if (c->exchange != NONE) {
		const struct exchange *x = exchange_of(w, c);
		name = (struct access_text){ x->rq.host, x->rq.host_len };
	}
	conn_describe(w, c, &r);
	addr_port_format(&c->src, c->sport, src);
	addr_port_format(&c->dst, c->dport, dst);
	if (c->up != NONE)
		addr_port_format(&r.up_addr, r.up_port, up);
	return snprintf(out, room,
	                "%u.%" PRIu32 " %s %s %s %.*s %s %s|%u|%s|%s%.*s"
	                " %" PRIu64 " %" PRIu64 " %" PRId64 "\n",
	                w->number, slab_index(&w->conns, c), state_name(c), src, dst,
	                name.len ? (int)name.len : 1, name.len ? name.s : "-", up,
	                r.cluster ? r.cluster : "outbound", r.cluster_port,
	                r.cluster_subset ? r.cluster_subset : "", r.cluster_wildcard ? "*" : "",
	                (int)r.cluster_host.len,
	                r.cluster_host.len ? r.cluster_host.s : "",
	                c->flow[UPWARD].bytes, c->flow[DOWNWARD].bytes, r.duration_ms);
}

static bool make_room(struct dump *d)
{
	if (d->room - d->len >= LINE_MAX_LEN)
		return true;
	size_t room = d->room ? d->room * 2 : 16 * LINE_MAX_LEN;
	char *text = realloc(d->text, room);
	if (!text)
		return false;
	d->text = text;
	d->room = room;
	return true;
}

static const char *last_error(const struct target *t, char out[static 8])
{
	static const char *const names[] = { "-", "no_connection", "no_answer" };

	if (t->last < sizeof(names) / sizeof(*names))
		return names[t->last];
	snprintf(out, 8, "%u", t->last);
	return out;
}

static int write_endpoint(struct worker *w, uint32_t i, const char *owner, const char *subset,
                          uint16_t port, char *out, size_t room)
{
	static const char *const names[] = { "unchecked", "healthy", "unhealthy" };
	static const struct target none;
	const struct shared_policy *p = w->policies[w->policy].shared;
	uint8_t health = __atomic_load_n(&p->health[i], __ATOMIC_RELAXED);
	const struct target *t = balance_find(&w->balance, p->keys[i], port);
	int64_t out_ms = t ? t->ejected_ms - w->loop.now_ms : 0;
	int64_t wait_ms = t && t->fails ? t->retry_ms - w->loop.now_ms : 0;
	char at[ADDR_PORT_TEXT], last[8];
	struct policy_endpoint e;

	policy_endpoint(p->policy, i, &e);
	t = t ? t : &none;
	port = e.port ? e.port : port;
	addr_port_format(&e.addr, port, at);
	int n = e.name ? snprintf(out, room, "%u %s/%s %s:%u", w->number, owner, subset, e.name, port)
	        : snprintf(out, room, "%u %s/%s %s", w->number, owner, subset, at);
	if (n < 0 || (size_t)n >= room)
		return n;
	int more = snprintf(out + n, room - (size_t)n, " %s %" PRIu32 " %" PRIu32 " %u %" PRId64
	                    " %u %" PRId64 " %s\n",
	                    health != TARGET_UNHEALTHY && t->ejected_ms ? "ejected" : names[health],
	                    t->active, t->connections - t->active, t->ejections,
	                    out_ms > 0 ? out_ms : 0, t->fails, wait_ms > 0 ? wait_ms : 0,
	                    last_error(t, last));
	return more < 0 ? more : n + more;
}

static void list_run(struct worker *w, struct dump *d, struct policy_run run,
                     struct policy_run ports, const char *owner, const char *subset)
{
	const struct policy *p = w->policies[w->policy].shared->policy;

	for (uint32_t i = run.first; i < run.first + run.n; i++)
		for (uint32_t k = 0; k < ports.n && !d->failed; k++) {
			struct policy_port port;
			policy_port(p, ports.first + k, &port);
			d->failed = !make_room(d);
			int n = d->failed ? 0 : write_endpoint(w, i, owner, subset,
			                                       port.target, d->text + d->len,
			                                       LINE_MAX_LEN);
			if (n > 0 && n < LINE_MAX_LEN)
				d->len += (size_t)n;
		}
}

/* Of the policy in use. */
static void list_endpoints(struct worker *w, struct dump *d)
{
	const struct policy *p = w->policies[w->policy].shared->policy;

	for (uint32_t i = 0; i < p->n[FORMAT_GATEWAYS]; i++) {
		struct policy_gateway g;
		policy_gateway(p, i, &g);
		list_run(w, d, g.endpoints, g.servers, g.name, "");
		for (uint32_t k = 0; k < g.subsets.n; k++) {
			struct policy_subset s;
			policy_subset(p, g.subsets.first + k, &s);
			list_run(w, d, s.endpoints, g.servers, g.name, s.name);
		}
	}
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES]; i++) {
		struct policy_service s;
		policy_service(p, i, &s);
		list_run(w, d, s.endpoints, s.ports, s.name, "");
	}
}

void dump_answer(struct worker *w, struct dump *d)
{
	pthread_mutex_lock(&d->lock);
	if (d->endpoints)
		list_endpoints(w, d);
	for (uint32_t i = 0; i < w->conns.high && !d->failed && !d->endpoints; i++) {
		const struct conn *c = conn_at(w, i);
		if (c->state == CONN_FREE)
			continue;
		if (!make_room(d)) {
			d->failed = true;
			break;
		}
		int n = write_line(w, c, d->text + d->len, LINE_MAX_LEN);
		if (n > 0 && n < LINE_MAX_LEN)
			d->len += (size_t)n;
	}
	d->left--;
	pthread_cond_signal(&d->answered);
	pthread_mutex_unlock(&d->lock);
	drop(d);
}

static void order(struct workers *all, struct dump *d)
{
	for (unsigned i = 0; i < workers_count(all); i++) {
		struct worker *w = workers_at(all, i);
		pthread_mutex_lock(&w->mail_lock);
		bool ended = atomic_load(&w->done);
		struct dump *missed = w->mail_dump;
		w->mail_dump = ended ? NULL : d;
		pthread_mutex_unlock(&w->mail_lock);
		if (missed)
			drop(missed);
		if (ended)
			dump_answer(w, d);
		else
			worker_wake(w);
	}
}

static char *gather(struct workers *all, bool endpoints, size_t *len, uint32_t timeout_ms)
{
	struct dump *d = calloc(1, sizeof(*d));
	pthread_condattr_t monotonic;
	struct timespec until;
	char *text = NULL;
	int e = 0;

	if (!d)
		return NULL;
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&d->answered, &monotonic);
	pthread_condattr_destroy(&monotonic);
	d->left = workers_count(all);
	d->refs = d->left + 1;
	d->endpoints = endpoints;
	order(all, d);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&d->lock);
	while (d->left && e != ETIMEDOUT)
		e = pthread_cond_timedwait(&d->answered, &d->lock, &until);
	if (!d->left && !d->failed) {
		text = d->text ? d->text : calloc(1, 1);
		*len = d->len;
		d->text = NULL;
	}
	pthread_mutex_unlock(&d->lock);
	drop(d);
	return text;
}

char *workers_connections(struct workers *all, size_t *len, uint32_t timeout_ms)
{
	return gather(all, false, len, timeout_ms);
}

char *workers_endpoints(struct workers *all, size_t *len, uint32_t timeout_ms)
{
	return gather(all, true, len, timeout_ms);
}
