/* SPDX-License-Identifier: MIT */
/* The pages of the admin interface. */
#include "tproxy/endpoint.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tproxy/clock.h"
#include "tproxy/control.h"
#include "tproxy/metrics.h"

#define CONNECTIONS_WAIT_MS 500

static void page_index(struct control *c, struct admin_answer *a);

static void page_ready(struct control *c, struct admin_answer *a)
{
	if (c->state == CONTROL_RUN) {
		page_text(&a->body, "ready\n");
		return;
	}
	a->status = 503;
	page_text(&a->body, c->state == CONTROL_DRAIN ? "draining\n" : "starting\n");
}

/* The second figure of statm counts pages in memory. */
static uint64_t resident_bytes(const struct control *c)
{
	char text[128];
	ssize_t n = c->statm_fd < 0 ? -1 : pread(c->statm_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	const char *second = strchr(text, ' ');
	return second ? strtoull(second, NULL, 10) * (uint64_t)getpagesize() : 0;
}

static uint64_t cpu_us(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u) < 0)
		return 0;
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static struct metrics gather(const struct control *c)
{
	struct metrics m = {
		.policy = c->policy, .workers = workers_count(c->workers),
		.started_s = c->started_s, .loaded_s = c->loaded_s,
		.cpu_us = cpu_us(), .resident_bytes = resident_bytes(c),
		.reloads = c->reloads, .reload_failures = c->reload_failures,
		.draining = c->state == CONTROL_DRAIN,
	};

	for (unsigned i = 0; i < m.workers; i++)
		metrics_add(&m.stats, workers_stats(c->workers, i));
	workers_resolver_stats(c->workers, &m.resolver);
	return m;
}

static void page_stats(struct control *c, struct admin_answer *a)
{
	struct metrics m = gather(c);
	metrics_plain(&m, &a->body);
}

static void page_prometheus(struct control *c, struct admin_answer *a)
{
	struct metrics m = gather(c);
	a->type = "text/plain; version=0.0.4; charset=utf-8";
	metrics_prometheus(&m, &a->body);
}

static void json_string(struct page *out, const char *key, const char *value)
{
	page_format(out, "\"%s\":", key);
	page_json(out, value, strlen(value));
	page_text(out, ",");
}

static void json_service(struct page *out, const struct policy *p, uint32_t i)
{
	struct policy_service s;

	policy_service(p, i, &s);
	page_text(out, i ? ",\n  {" : "\n  {");
	json_string(out, "name", s.name);
	page_format(out,
	            "\"hosts\":%" PRIu32 ",\"addresses\":%" PRIu32 ",\"endpoints\":%" PRIu32
	            ",\"ports\":[",
	            s.n_hosts, s.cidrs.n, s.endpoints.n);
	for (uint32_t k = 0; k < s.ports.n; k++) {
		struct policy_port port;
		policy_port(p, s.ports.first + k, &port);
		page_format(out, "%s{\"number\":%u,\"target\":%u,\"protocol\":\"%s\"}",
		            k ? "," : "", port.number, port.target,
		            policy_protocol_name(port.protocol));
	}
	page_text(out, "],");
	json_string(out, "resolution", policy_resolution_name(s.resolution));
	json_string(out, "location", s.location == POLICY_INTERNAL ? "internal" : "external");
	page_format(out, "\"enforcement\":\"%s\"}",
	            s.enforcement == POLICY_AUDIT ? "audit" : "enforce");
}

static void page_policy(struct control *c, struct admin_answer *a)
{
	const struct policy *p = c->policy;
	struct page *out = &a->body;
	struct policy_meta m;

	policy_meta(p, &m);
	a->type = "application/json";
	page_text(out, "{");
	json_string(out, "name", m.name);
	page_format(out, "\"sequence\":%" PRIu64 ",", p->sequence);
	json_string(out, "node", m.node);
	json_string(out, "namespace", m.namespace_);
	json_string(out, "outbound",
	            m.outbound == POLICY_ALLOW_ANY ? "allow-any" : "registry-only");
	json_string(out, "enforcement", m.enforcement == POLICY_AUDIT ? "audit" : "enforce");
	json_string(out, "access-log", m.access_log);
	json_string(out, "log-format", m.log_format == POLICY_LOG_JSON ? "json" : "text");
	page_format(out, "\"hosts\":%" PRIu32 ",\"services\":[", p->n[FORMAT_NAMES]);
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES]; i++)
		json_service(out, p, i);
	page_text(out, "]}\n");
}

static void page_gathered(struct admin_answer *a, char *text, size_t len)
{
	if (!text) {
		a->status = 503;
		page_text(&a->body, "the workers did not answer in time\n");
		return;
	}
	page_bytes(&a->body, text, len);
	free(text);
}

static void page_connections(struct control *c, struct admin_answer *a)
{
	size_t len = 0;
	char *text = workers_connections(c->workers, &len, CONNECTIONS_WAIT_MS);
	page_gathered(a, text, len);
}

static void page_gateways(struct control *c, struct admin_answer *a)
{
	size_t len = 0;
	char *text = workers_endpoints(c->workers, &len, CONNECTIONS_WAIT_MS);
	page_gathered(a, text, len);
}

static void order_drain(struct control *c, struct admin_answer *a)
{
	control_drain(c);
	page_text(&a->body, "draining\n");
}

static void order_reload(struct control *c, struct admin_answer *a)
{
	char text[256];

	if (!control_reload(c, text, sizeof(text)))
		a->status = 422;
	page_format(&a->body, "%s\n", text);
}

static const struct endpoint {
	const char *path;
	bool order;
	const char *help;
	void (*answer)(struct control *c, struct admin_answer *a);
} endpoints[] = {
	{ "/", false, "this page", page_index },
	{ "/ready", false, "200 while connections are accepted, 503 while draining", page_ready },
	{ "/stats", false, "figures, one a line", page_stats },
	{ "/stats/prometheus", false, "the same for Prometheus", page_prometheus },
	{ "/policy", false, "the policy in use, as JSON", page_policy },
	{ "/connections", false, "live connections, one a line", page_connections },
	{ "/gateways", false, "endpoints of gateways and services, one a line", page_gateways },
	{ "/reload", true, "load the policy file again", order_reload },
	{ "/quitquitquit", true, "finish what runs, then exit", order_drain },
};
#define N_ENDPOINTS (sizeof(endpoints) / sizeof(endpoints[0]))

static void page_index(struct control *c, struct admin_answer *a)
{
	page_ready(c, a);
	a->status = 200;
	for (size_t i = 0; i < N_ENDPOINTS; i++)
		page_format(&a->body, "%-4s %-18s %s\n", endpoints[i].order ? "POST" : "GET",
		            endpoints[i].path, endpoints[i].help);
}

static const struct endpoint *find(const char *path)
{
	for (size_t i = 0; i < N_ENDPOINTS; i++)
		if (strcmp(endpoints[i].path, path) == 0)
			return &endpoints[i];
	return NULL;
}

bool endpoint_is_order(const char *path)
{
	const struct endpoint *e = find(path);
	return e && e->order;
}

void endpoint_answer(void *ctx, const struct admin_request *q, struct admin_answer *a)
{
	const struct endpoint *e = find(q->path);

	if (!e) {
		a->status = 404;
		page_text(&a->body, "no such page; / lists them\n");
	} else if (e->order != q->post) {
		a->status = 405;
		a->allow = e->order ? "POST" : "GET, HEAD";
	} else {
		e->answer(ctx, a);
	}
}
