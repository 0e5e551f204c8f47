/* SPDX-License-Identifier: MIT */
/* What models say of traffic, TLS and HTTP: something of everything, and read back from a policy. */
#ifndef TESTS_UNIT_POLICY_RULE_H
#define TESTS_UNIT_POLICY_RULE_H

#include <stdlib.h>
#include <string.h>

#include "rules/base64.h"
#include "rules/model.h"

#define PIN_A "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PIN_B "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

static inline void push_text(struct model_strings *list, const char *s)
{
	model_push(list)->s = s;
}

static inline struct model_pem pem_inline(const char *text)
{
	return (struct model_pem){.path = "x.pem", .bytes = (const uint8_t *)text,
				  .len = strlen(text)};
}

static inline struct model_pem pem_path(const char *path)
{
	return (struct model_pem){.path = path};
}

static inline void push_field(struct model_fields *list, const char *name, const char *value,
			      bool prefix)
{
	*model_push(list) = (struct model_field){.name = name, .value = value, .prefix = prefix};
}

static inline void full_traffic(struct policy_traffic *t)
{
	*t = (struct policy_traffic){
		.balance = POLICY_CONSISTENT_HASH, .connect_timeout = 250, .idle_timeout = 61000,
		.keepalive_s = 75, .max_connections = 100, .max_requests = 7, .outliers = true,
		.consecutive_5xx = 3, .consecutive_gateway = 4, .consecutive_local = 0,
		.outlier_interval = 9000, .base_ejection = 31000, .max_ejection = 100,
		.min_health = 50, .health = POLICY_HEALTH_HTTP, .health_path = "/healthz",
		.health_interval = 5000, .health_timeout = 5000, .unhealthy = 2, .healthy = 1};
}

/* Of services; the gateways next, which is reached, and egress, which the node is; of the routes. */
static inline void full_service_tls(struct model_service *web, struct model_service *queue)
{
	full_traffic(&web->traffic);
	queue->traffic.connect_timeout = 250;
	queue->traffic.health = POLICY_HEALTH_TCP;
	queue->traffic.health_interval = 3;
	queue->traffic.health_timeout = 2;
	queue->traffic.unhealthy = queue->traffic.healthy = 1;
	queue->tls_mode = MODEL_TLS_SIMPLE;
	queue->tls.ca = pem_inline("a bundle");
	queue->tls.only_13 = true;
	push_text(&queue->tls.pins, PIN_B);
	push_text(&queue->tls.pins, PIN_A);
}

static inline void full_gateway_tls(struct model_gateway *next, struct model_gateway *egress)
{
	full_traffic(&next->traffic); /* as that of web: one record */
	next->tls.ca = pem_path("/etc/ca.pem");
	next->tls.certificate = pem_path("/etc/node.pem");
	next->tls.private_key = pem_inline("a key");
	next->tls.sni = "next.example.net";
	push_text(&next->tls.alt_names, "spiffe://plant/next");
	push_text(&next->tls.alt_names, "next.example.net");
	*model_push(&egress->servers) =
		(struct model_port){.number = 443, .target = 443, .protocol = POLICY_PROTO_HTTPS,
				    .tls = POLICY_SERVER_MUTUAL};
	*model_push(&egress->servers) =
		(struct model_port){.number = 8443, .target = 8443, .protocol = POLICY_PROTO_TLS,
				    .tls = POLICY_SERVER_AUTO_PASSTHROUGH};
	egress->server_tls.ca = pem_inline("a bundle");
	egress->server_tls.certificate = pem_path("/etc/egress.pem");
	egress->server_tls.private_key = pem_path("/etc/egress.key");
	push_text(&egress->server_tls.alt_names, "spiffe://plant/node");
}

static inline void full_rule(struct model_rule *r)
{
	push_text(&r->paths, "/exact");
	push_text(&r->paths, "/a*");
	push_text(&r->methods, "HEAD");
	push_text(&r->methods, "GET");
	push_field(&r->headers, "x-kind", "red, or green", false);
	push_field(&r->headers, "accept", NULL, false);
	push_field(&r->headers, "user-agent", "curl/", true);
	r->timeout = 5000;
	r->per_try = 1000;
	r->retries = 5;
	r->retries_said = true;
	r->retry_on.bits = POLICY_RETRY_RESET | POLICY_RETRY_CONNECT_FAILURE;
	*model_push(&r->retry_on.statuses) = (struct model_range){503, 503, {NULL, 0}};
	*model_push(&r->retry_on.statuses) = (struct model_range){429, 429, {NULL, 0}};
	push_text(&r->request.remove, "x-secret");
	push_text(&r->request.remove, "trailes"); /* beside "trailer", which stays */
	push_field(&r->request.set, "x-plant", "7", false);
	push_field(&r->request.add, "via", "1.1 plant", false);
	push_field(&r->response.set, "x-plant", "7", false);
	push_text(&r->response.remove, "server");
	r->rewrite_uri = "/b";
	r->rewrite_authority = "other.example:8080";
}

static inline void full_answers(struct model *m)
{
	struct model_route *r = model_push(&m->routes);

	r->name = "moved";
	*model_push(&r->hosts) = (struct model_host){.key = "a.example.com", .len = 13};
	push_text(&r->rule.paths, "/old");
	r->rule.redirect = (struct model_redirect){
		.https = true, .authority = "b.example.com", .uri = "/new", .port = 8443, .code = 308};
	r = model_push(&m->routes);
	r->name = "denied";
	*model_push(&r->hosts) = (struct model_host){.key = "a.example.com", .len = 13};
	r->rule.status = 403;
	r->rule.body = "not from here";
	push_field(&r->rule.response.add, "x-why", "policy", false);
}

/* ---- back from a policy ---- */

static inline void read_texts(const struct policy *p, struct policy_list l, struct model_strings *out)
{
	for (uint32_t i = 0; i < l.n; i++)
		push_text(out, policy_string(p, policy_item(l, i)));
}

static inline const char *copy(const char *s, uint32_t len)
{
	return s != NULL ? model_text(s, len) : NULL;
}

static inline struct model_pem read_pem(const struct policy_pem *pem)
{
	return (struct model_pem){.path = pem->path != NULL ? pem->path : "",
				  .bytes = pem->bytes, .len = pem->len};
}

static inline void read_tls(const struct policy *p, const struct policy_tls *t, struct model_tls *out)
{
	out->ca = read_pem(&t->ca);
	if (t->mutual) {
		out->certificate = read_pem(&t->certificate);
		out->private_key = read_pem(&t->private_key);
	}
	out->sni = t->sni;
	out->only_13 = t->only_13;
	read_texts(p, t->alt_names, &out->alt_names);
	for (uint32_t i = 0; i < t->n_pins; i++) {
		char text[64] = "sha256/";

		base64_encode(text + 7, t->pins + (size_t)i * POLICY_PIN_SIZE, POLICY_PIN_SIZE);
		push_text(&out->pins, model_text(text, strlen(text)));
	}
}

static inline void read_service_traffic(const struct policy *p, uint32_t i,
					struct model_service *out)
{
	struct policy_tls t;

	policy_service_traffic(p, i, &out->traffic);
	if (!policy_service_tls(p, i, &t))
		return;
	out->tls_mode = t.mutual ? MODEL_TLS_MUTUAL : MODEL_TLS_SIMPLE;
	read_tls(p, &t, &out->tls);
}

static inline void read_gateway_traffic(const struct policy *p, uint32_t i,
					const struct policy_gateway *g, struct model_gateway *out)
{
	struct policy_server s;
	struct policy_tls t;

	policy_gateway_traffic(p, i, &out->traffic);
	if (policy_gateway_tls(p, i, &t))
		read_tls(p, &t, &out->tls);
	for (size_t k = 0; k < out->servers.n; k++)
		out->servers.v[k].tls = policy_server_tls(p, g->servers.first + (uint32_t)k);
	if (!policy_server(p, i, &s))
		return;
	out->server_tls.certificate = read_pem(&s.certificate);
	out->server_tls.private_key = read_pem(&s.private_key);
	if (s.client_ca.path != NULL || s.client_ca.bytes != NULL)
		out->server_tls.ca = read_pem(&s.client_ca);
	out->server_tls.only_13 = s.only_13;
	read_texts(p, s.alt_names, &out->server_tls.alt_names);
}

static inline void read_changes(const struct policy *p, struct policy_run run,
				struct model_changes *out)
{
	for (uint32_t i = run.first; i < run.first + run.n; i++) {
		struct policy_header_change c;

		policy_header_change(p, i, &c);
		if (c.change == POLICY_REMOVE)
			push_text(&out->remove, c.name);
		else
			push_field(c.change == POLICY_SET ? &out->set : &out->add, c.name,
				   copy(c.value, c.value_len), false);
	}
}

static inline void read_rule(const struct policy *p, uint32_t route, struct model_rule *out)
{
	struct policy_conditions c;
	struct policy_route_http h;

	policy_conditions(p, route, &c);
	policy_route_http(p, route, &h);
	read_texts(p, c.paths, &out->paths);
	read_texts(p, c.methods, &out->methods);
	for (uint32_t i = c.headers.first; i < c.headers.first + c.headers.n; i++) {
		struct policy_header_match m;

		policy_header_match(p, i, &m);
		push_field(&out->headers, m.name, copy(m.value, m.value_len), m.prefix);
	}
	out->timeout = h.timeout;
	out->per_try = h.per_try;
	out->retries = h.retries;
	out->retries_said = true;
	out->retry_on.bits = h.retry_on;
	for (uint32_t i = 0; i < h.retry_statuses.n; i++) {
		uint32_t status = policy_item(h.retry_statuses, i);

		*model_push(&out->retry_on.statuses) =
			(struct model_range){status, status, {NULL, 0}};
	}
	read_changes(p, h.request, &out->request);
	read_changes(p, h.response, &out->response);
	out->rewrite_uri = h.rewrite_uri;
	out->rewrite_authority = h.rewrite_authority;
	out->redirect = (struct model_redirect){h.redirect.https, h.redirect.authority,
						h.redirect.uri, h.redirect.port, h.redirect.code};
	out->status = h.status;
	out->body = copy(h.body, h.body_len);
}

/* ---- their memory ---- */

static inline void free_tls(struct model_tls *t)
{
	free(t->alt_names.v);
	free(t->pins.v);
}

static inline void free_changes(struct model_changes *c)
{
	free(c->set.v);
	free(c->add.v);
	free(c->remove.v);
}

static inline void free_rule(struct model_rule *r)
{
	free(r->paths.v);
	free(r->methods.v);
	free(r->headers.v);
	free(r->retry_on.statuses.v);
	free_changes(&r->request);
	free_changes(&r->response);
}

#endif
