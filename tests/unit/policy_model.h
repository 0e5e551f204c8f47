/* SPDX-License-Identifier: MIT */
/*
 * Models made by hand for the tests of the compiled format, and models read back from compiled
 * policies.
 */
#ifndef TESTS_UNIT_POLICY_MODEL_H
#define TESTS_UNIT_POLICY_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy_rule.h"
#include "rules/model.h"
#include "rules/name.h"

/* What model_text() and models hold lives until the process ends. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static inline void push_string(struct model_strings *list, const char *s)
{
	model_push(list)->s = s;
}

static inline void push_range(struct model_ranges *list, uint32_t first, uint32_t last)
{
	*model_push(list) = (struct model_range){.first = first, .last = last};
}

static inline void push_cidr(struct model_cidrs *list, const char *text)
{
	struct model_cidr *c = model_push(list);
	bool masked;

	if (cidr_parse(&c->cidr, text, strlen(text), &masked) != 0)
		fail_msg("%s is not a prefix", text);
}

/* A pattern as it is written. */
static inline void push_host(struct model_hosts *list, const char *pattern)
{
	char key[NAME_SIZE];
	int len = name_canon_pattern(key, pattern, strlen(pattern));

	if (len < 0)
		fail_msg("%s is not a host", pattern);
	*model_push(list) =
		(struct model_host){.key = model_text(key, (size_t)len), .len = (uint8_t)len};
}

static inline void push_port(struct model_ports *list, enum policy_protocol protocol,
			     uint16_t number, uint16_t target)
{
	*model_push(list) =
		(struct model_port){.number = number, .target = target, .protocol = protocol};
}

/* A name, or an address. */
static inline void push_endpoint(struct model_endpoints *list, const char *text, uint16_t port,
				 uint32_t weight)
{
	struct model_endpoint e = {.port = port, .weight = weight};

	if (addr_parse(&e.addr, text, strlen(text)) != 0) {
		e.name = text;
		e.addr = (struct addr){{0}};
	}
	*model_push(list) = e;
}

static inline struct model_service *push_service(struct model *m, const char *name,
						 enum policy_resolution resolution)
{
	struct model_service *s = model_push(&m->services);

	s->name = name;
	s->resolution = resolution;
	push_string(&s->export_to, "*");
	return s;
}

static inline struct model_gateway *push_gateway(struct model *m, const char *name,
						 enum policy_via via)
{
	struct model_gateway *g = model_push(&m->gateways);

	g->name = name;
	g->via = via;
	return g;
}

/* gateway, or host and port. */
static inline void push_destination(struct model_route *r, const char *gateway, const char *subset,
				    const char *host, uint16_t port, uint32_t weight)
{
	*model_push(&r->to) = (struct model_destination){
		.gateway = gateway, .subset = subset, .host = host, .port = port, .weight = weight};
}

/* What the node egress is and does; some of the services of model_full() are its hosts. */
static inline void model_routed(struct model *m)
{
	struct model_gateway *g = push_gateway(m, "next", POLICY_VIA_MUTUAL);
	struct model_route *r;

	push_host(&g->hosts, "*");
	push_port(&g->servers, POLICY_PROTO_TLS, 443, 443);
	push_port(&g->servers, POLICY_PROTO_HTTP, 80, 80);
	push_endpoint(&g->addresses, "next.example.net", 0, 1);
	push_endpoint(&g->addresses, "203.0.113.9", 8443, 2);
	model_push(&g->subsets)->name = "whole";
	model_push(&g->subsets)->name = "half";
	push_endpoint(&g->subsets.v[1].endpoints, "half.example.net", 0, 1);
	g = push_gateway(m, "egress", POLICY_VIA_PLAIN);
	push_host(&g->hosts, "www.example.com");
	push_host(&g->hosts, "*.example.com");
	push_port(&g->servers, POLICY_PROTO_HTTP, 80, 80);
	push_endpoint(&g->addresses, "2001:db8::9", 0, 1);
	push_cidr(&g->proxy_from, "192.0.2.0/24");
	push_cidr(&g->proxy_from, "10.1.0.0/16");
	full_gateway_tls(&m->gateways.v[0], g);
	r = model_push(&m->routes);
	r->name = "web";
	r->port = 80;
	push_host(&r->hosts, "www.example.com");
	push_host(&r->hosts, "*.example.com");
	push_destination(r, "next", "half", NULL, 0, 3);
	push_destination(r, "next", "whole", NULL, 0, 0);
	push_destination(r, "next", NULL, NULL, 0, 1);
	push_destination(r, NULL, NULL, "www.example.com", 443, 1000000);
	full_rule(&r->rule);
	r = model_push(&m->routes);
	r->name = "db";
	push_host(&r->hosts, "www.example.com");
	push_host(&r->hosts, "db.example.com");
	push_destination(r, "next", NULL, NULL, 0, 9);
	full_answers(m);
}

/* Something of everything that the format can hold. */
static inline void model_full(struct model *m)
{
	struct model_capture *c = &m->capture;
	struct model_service *s;

	model_init(m);
	m->name = "plant-7";
	m->namespace_ = "line-2";
	m->node = "egress";
	m->access_log = "/var/log/sluice.log";
	m->sequence = UINT64_C(0x123456789abcdef0);
	m->outbound = POLICY_ALLOW_ANY;
	m->enforcement = POLICY_AUDIT;
	m->log_format = POLICY_LOG_JSON;
	push_string(&m->nameservers, "192.0.2.53");
	push_string(&m->nameservers, "2001:db8::53");
	c->scope = POLICY_SCOPE_BOTH;
	c->method = POLICY_REDIRECT;
	c->udp = POLICY_ALLOW;
	c->other = POLICY_ALLOW;
	c->dns = POLICY_CAPTURE;
	c->tamper = POLICY_TAMPER_LOG;
	c->accept = POLICY_ACCEPT_PACKET_SOCKETS;
	c->udp_flows = UINT16_MAX;
	push_string(&c->interfaces, "wlan0");
	push_string(&c->interfaces, "br-lan");
	push_string(&c->exclude_interfaces, "tun0");
	c->ports.n = 0;
	push_range(&c->ports, 8000, 8100);
	push_range(&c->ports, 80, 80);
	push_range(&c->exclude_ports, 22, 22);
	push_range(&c->exempt_uids, 0, 0);
	push_range(&c->exempt_uids, 2, 4);
	push_range(&c->exempt_gids, 65534, UINT32_MAX - 1);
	push_cidr(&c->exclude_cidrs, "::/0");
	push_cidr(&c->exclude_cidrs, "10.0.0.0/8");

	s = push_service(m, "web", POLICY_DNS);
	push_host(&s->hosts, "www.example.com");
	push_host(&s->hosts, "*.example.com");
	push_host(&s->hosts, "*");
	push_port(&s->ports, POLICY_PROTO_HTTPS, 443, 8443);
	push_port(&s->ports, POLICY_PROTO_UDP, 443, 443);
	push_port(&s->ports, POLICY_PROTO_HTTP, 80, 80);
	push_port(&s->ports, POLICY_PROTO_AUTO, 7000, 7000);
	push_endpoint(&s->endpoints, "b.example.net", 0, 3);
	push_endpoint(&s->endpoints, "192.0.2.1", 8080, 1);
	push_endpoint(&s->endpoints, "2001:db8::1", 0, 1000000);
	s->websocket = s->allow_private = s->no_ech = true;
	s->scrub = s->no_alt_svc = true;
	push_string(&s->alpn, "http/1.1");
	push_string(&s->alpn, "h2");
	s->enforcement = POLICY_AUDIT;

	s = push_service(m, "db", POLICY_NONE);
	push_host(&s->hosts, "www.example.com");
	push_host(&s->hosts, "db.example.com");
	push_port(&s->ports, POLICY_PROTO_MYSQL, 3306, 3306);
	push_port(&s->ports, POLICY_PROTO_TCP, 4000, 4000);
	push_cidr(&s->addresses, "198.51.100.0/24");
	push_cidr(&s->addresses, "198.51.100.7");
	push_cidr(&s->addresses, "2001:db8:5::/48");
	push_cidr(&s->clients, "192.168.1.0/24");
	push_cidr(&s->clients, "2001:db8:1::/48");
	s->location = POLICY_INTERNAL;
	s->export_to.n = 0;
	push_string(&s->export_to, "line-3");
	push_string(&s->export_to, ".");

	s = push_service(m, "any", POLICY_NONE);
	push_host(&s->hosts, "any.example.org");
	push_port(&s->ports, POLICY_PROTO_TCP, 5000, 5000);
	push_cidr(&s->addresses, "198.51.100.0/25");
	push_cidr(&s->addresses, "::/0");

	s = push_service(m, "queue", POLICY_STATIC);
	push_host(&s->hosts, "mq.example.org");
	push_port(&s->ports, POLICY_PROTO_MQTT, 1883, 1883);
	push_port(&s->ports, POLICY_PROTO_REDIS, 6379, 6379);
	push_endpoint(&s->endpoints, "192.0.2.9", 0, 1);
	push_cidr(&s->addresses, "240.240.238.226"); /* what the compiler draws for the name */
	push_cidr(&s->addresses, "2001:2::f0f0:eee2");
	full_service_tls(&m->services.v[0], s);
	s->auto_address = true;
	model_routed(m);
}

static inline uint8_t *model_bytes(struct model *m, size_t *len)
{
	struct policy_error e;
	uint8_t *bytes = model_emit(m, len, &e);

	if (bytes == NULL)
		fail_msg("emit: %s", e.text);
	return bytes;
}

/* ---- a policy as a model again ---- */

static inline void read_strings(const struct policy *p, struct policy_list l,
				struct model_strings *out)
{
	for (uint32_t i = 0; i < l.n; i++)
		push_string(out, policy_string(p, policy_item(l, i)));
}

static inline void read_ranges(const struct policy *p, struct policy_run run,
			       struct model_ranges *out)
{
	for (uint32_t i = 0; i < run.n; i++) {
		uint32_t first, last;

		policy_range(p, run.first + i, &first, &last);
		push_range(out, first, last);
	}
}

static inline void read_cidrs(const struct policy *p, struct policy_run run,
			      struct model_cidrs *out)
{
	for (uint32_t i = 0; i < run.n; i++)
		policy_cidr(p, run.first + i, &model_push(out)->cidr);
}

static inline void read_endpoints(const struct policy *p, struct policy_run run,
				  struct model_endpoints *out)
{
	for (uint32_t i = 0; i < run.n; i++) {
		struct policy_endpoint e;

		policy_endpoint(p, run.first + i, &e);
		*model_push(out) = (struct model_endpoint){
			.name = e.name, .addr = e.addr, .port = e.port, .weight = e.weight};
	}
}

static inline void read_ports(const struct policy *p, struct policy_run run,
			      struct model_ports *out)
{
	for (uint32_t i = 0; i < run.n; i++) {
		struct policy_port port;

		policy_port(p, run.first + i, &port);
		push_port(out, port.protocol, port.number, port.target);
	}
}

static inline void read_key(struct model_hosts *out, const char *key)
{
	*model_push(out) = (struct model_host){.key = key, .len = (uint8_t)strlen(key)};
}

static inline void read_gateway(const struct policy *p, uint32_t i, struct model_gateway *out)
{
	struct policy_gateway g;

	policy_gateway(p, i, &g);
	*out = (struct model_gateway){.name = g.name, .via = g.via};
	for (uint32_t k = 0; k < g.hosts.n; k++)
		read_key(&out->hosts, policy_string(p, policy_item(g.hosts, k)));
	read_ports(p, g.servers, &out->servers);
	read_gateway_traffic(p, i, &g, out);
	read_cidrs(p, g.proxy_from, &out->proxy_from);
	read_endpoints(p, g.endpoints, &out->addresses);
	for (uint32_t k = 0; k < g.subsets.n; k++) {
		struct model_subset *subset = model_push(&out->subsets);
		struct policy_subset s;

		policy_subset(p, g.subsets.first + k, &s);
		subset->name = s.name;
		read_endpoints(p, s.endpoints, &subset->endpoints);
	}
}

static inline void read_route(const struct policy *p, uint32_t i, struct model_route *out)
{
	struct policy_route r;

	policy_route(p, i, &r);
	*out = (struct model_route){.name = r.name, .port = r.port};
	read_rule(p, i, &out->rule);
	for (uint32_t k = 0; k < p->n[FORMAT_ROUTE_HOSTS]; k++) {
		const uint8_t *h = p->at[FORMAT_ROUTE_HOSTS] + (size_t)k * ROUTE_HOST_SIZE;

		if (get_le32(h + ROUTE_HOST_ROUTE) == i)
			read_key(&out->hosts, policy_string(p, get_le32(h + ROUTE_HOST_KEY)));
	}
	for (uint32_t k = 0; k < r.destinations.n; k++) {
		struct policy_destination d;
		struct policy_gateway g = {.name = NULL};

		policy_destination(p, r.destinations.first + k, &d);
		if (d.host == NULL)
			policy_gateway(p, d.gateway, &g);
		push_destination(out, g.name, d.subset, d.host, d.port, d.weight);
	}
}

static inline void read_service(const struct policy *p, uint32_t i, struct model_service *out)
{
	struct policy_service s;

	policy_service(p, i, &s);
	out->name = s.name;
	out->resolution = s.resolution;
	out->location = s.location;
	out->enforcement = s.enforcement;
	out->websocket = s.websocket;
	out->allow_private = s.allow_private;
	out->no_ech = s.no_ech;
	out->scrub = s.scrub;
	out->no_alt_svc = s.no_alt_svc;
	out->auto_address = s.auto_address;
	read_strings(p, s.export_to, &out->export_to);
	read_strings(p, s.alpn, &out->alpn);
	read_cidrs(p, s.cidrs, &out->addresses);
	read_cidrs(p, s.clients, &out->clients);
	read_ports(p, s.ports, &out->ports);
	read_endpoints(p, s.endpoints, &out->endpoints);
	read_service_traffic(p, i, out);
}

static inline void read_hosts(const struct policy *p, struct model *m)
{
	for (uint32_t i = 0; i < p->n[FORMAT_HOSTS]; i++) {
		const uint8_t *slot = p->at[FORMAT_HOSTS] + (size_t)i * HOST_SIZE, *key;
		struct policy_list l = policy_list(p, get_le32(slot + HOST_LIST));

		key = p->at[FORMAT_NAMES] + get_le32(slot + HOST_NAME) - 1;
		for (uint32_t j = 0; j < l.n; j++)
			*model_push(&m->services.v[policy_item(l, j)].hosts) =
				(struct model_host){.key = (const char *)key + 1, .len = key[0]};
	}
}

/* Strings point into the policy. */
static inline void model_read(struct model *m, const struct policy *p)
{
	struct policy_capture c;
	struct policy_meta meta;

	policy_meta(p, &meta);
	policy_capture(p, &c);
	*m = (struct model){
		.name = meta.name,
		.namespace_ = meta.namespace_,
		.node = meta.node,
		.access_log = meta.access_log,
		.sequence = p->sequence,
		.outbound = meta.outbound,
		.enforcement = meta.enforcement,
		.log_format = meta.log_format,
		.capture = {.scope = c.scope,
			    .method = c.method,
			    .udp = c.udp,
			    .other = c.other,
			    .dns = c.dns,
			    .tamper = c.tamper,
			    .accept = c.accept,
			    .udp_flows = c.udp_flows},
	};
	read_strings(p, meta.nameservers, &m->nameservers);
	read_strings(p, c.interfaces, &m->capture.interfaces);
	read_strings(p, c.exclude_interfaces, &m->capture.exclude_interfaces);
	read_ranges(p, c.ports, &m->capture.ports);
	read_ranges(p, c.exclude_ports, &m->capture.exclude_ports);
	read_ranges(p, c.exempt_uids, &m->capture.exempt_uids);
	read_ranges(p, c.exempt_gids, &m->capture.exempt_gids);
	read_cidrs(p, c.exclude_cidrs, &m->capture.exclude_cidrs);
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES]; i++)
		read_service(p, i, model_push(&m->services));
	read_hosts(p, m);
	for (uint32_t i = 0; i < p->n[FORMAT_GATEWAYS]; i++)
		read_gateway(p, i, model_push(&m->gateways));
	for (uint32_t i = 0; i < p->n[FORMAT_ROUTES]; i++)
		read_route(p, i, model_push(&m->routes));
}

static inline void free_service(struct model_service *s)
{
	free(s->hosts.v);
	free(s->ports.v);
	free(s->export_to.v);
	free(s->alpn.v);
	free(s->addresses.v);
	free(s->clients.v);
	free(s->endpoints.v);
	free_tls(&s->tls);
}

static inline void free_gateway(struct model_gateway *g)
{
	free(g->addresses.v);
	free(g->servers.v);
	free(g->hosts.v);
	for (size_t i = 0; i < g->subsets.n; i++)
		free(g->subsets.v[i].endpoints.v);
	free(g->subsets.v);
	free_tls(&g->tls);
	free_tls(&g->server_tls);
	free(g->proxy_from.v);
}

/* The lists; texts stay. */
static inline void model_free(struct model *m)
{
	for (size_t i = 0; i < m->services.n; i++)
		free_service(&m->services.v[i]);
	free(m->services.v);
	for (size_t i = 0; i < m->gateways.n; i++)
		free_gateway(&m->gateways.v[i]);
	free(m->gateways.v);
	for (size_t i = 0; i < m->routes.n; i++) {
		free(m->routes.v[i].hosts.v);
		free(m->routes.v[i].from.v);
		free(m->routes.v[i].to.v);
		free_rule(&m->routes.v[i].rule);
	}
	free(m->routes.v);
	free(m->nameservers.v);
	free(m->capture.interfaces.v);
	free(m->capture.exclude_interfaces.v);
	free(m->capture.ports.v);
	free(m->capture.exclude_ports.v);
	free(m->capture.exempt_uids.v);
	free(m->capture.exempt_gids.v);
	free(m->capture.exclude_cidrs.v);
}

#endif
