/* SPDX-License-Identifier: MIT */
/* What the language says and the proxy of this version does not do: refused, never silently dropped. */
#include "rules/check.h"

#include <string.h>

#define NOT_YET "the proxy of this version cannot do that"

static void check_ports(struct source *source, const char *kind, const char *name,
			const struct model_ports *ports)
{
	for (size_t i = 0; i < ports->n; i++) {
		const struct model_port *p = &ports->v[i];

		if (p->protocol == POLICY_PROTO_HTTP2 || p->protocol == POLICY_PROTO_GRPC)
			diag_error(&source->diag, p->at,
				   "%s %s: %s:%u forwards HTTP/2 in the clear: " NOT_YET, kind, name,
				   policy_protocol_name(p->protocol), p->number);
	}
}

/*
 * What is refused besides: whoever makes the proxy do it takes its line away. A line is about a field,
 * and what that holds where the key is not written.
 */
struct undone { const char *what; size_t offset, size; uint32_t unsaid; };
#define UNDONE(type, field, what, unsaid) { what, offsetof(struct type, field), sizeof(((struct type *)0)->field), unsaid }

static const struct undone rule[] = {
	UNDONE(model_rule, paths.n, "path", 0),
	UNDONE(model_rule, methods.n, "method", 0),
	UNDONE(model_rule, headers.n, "header", 0),
	UNDONE(model_rule, timeout, "timeout", 0),
	UNDONE(model_rule, retries_said, "retries", false),
	UNDONE(model_rule, per_try, "per-try-timeout", 0),
	UNDONE(model_rule, retry_on.bits, "retry-on", 0),
	UNDONE(model_rule, retry_on.statuses.n, "retry-on with statuses", 0),
	UNDONE(model_rule, request.set.n, "request-set", 0),
	UNDONE(model_rule, request.add.n, "request-add", 0),
	UNDONE(model_rule, request.remove.n, "request-remove", 0),
	UNDONE(model_rule, response.set.n, "response-set", 0),
	UNDONE(model_rule, response.add.n, "response-add", 0),
	UNDONE(model_rule, response.remove.n, "response-remove", 0),
	UNDONE(model_rule, rewrite_uri, "rewrite-uri", 0),
	UNDONE(model_rule, rewrite_authority, "rewrite-authority", 0),
	UNDONE(model_rule, redirect.code, "redirect", 0),
	UNDONE(model_rule, status, "direct-response", 0),
};

static void refuse(struct source *s, struct model_at at, const char *section, const char *name,
		   const void *fields, const struct undone *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const unsigned char *field = (const unsigned char *)fields + table[i].offset;
		union { unsigned char bytes[8]; uint32_t n; } is = { {0} }, unsaid = { {0} };

		memcpy(is.bytes, field, table[i].size);
		if (table[i].size == sizeof(unsaid.n))
			unsaid.n = table[i].unsaid;
		if (memcmp(is.bytes, unsaid.bytes, sizeof(is.bytes)) != 0)
			diag_error(&s->diag, at, "%s %s: %s: " NOT_YET, section, name,
				   table[i].what);
	}
}
#define REFUSE(s, at, section, name, fields, table) \
	refuse(s, at, section, name, fields, table, sizeof(table) / sizeof((table)[0]))

static void check_undone_gateway(struct source *s, const struct model_gateway *g)
{
	for (size_t i = 0; i < g->servers.n; i++)
		if (g->servers.v[i].tls == POLICY_SERVER_AUTO_PASSTHROUGH)
			diag_error(&s->diag, g->servers.v[i].at,
				   "gateway %s: servers: auto-passthrough: " NOT_YET, g->name);
}

void check_able(struct source *s)
{
	const struct model *m = &s->model;

	for (size_t i = 0; i < m->services.n; i++) {
		const struct model_service *v = &m->services.v[i];

		if (v->traffic.health != POLICY_HEALTH_NONE && v->endpoints.n == 0)
			diag_error(&s->diag, v->at,
				   "service %s: health-check without endpoints: " NOT_YET, v->name);
		check_ports(s, "service", v->name, &v->ports);
	}
	for (size_t i = 0; i < m->gateways.n; i++) {
		check_undone_gateway(s, &m->gateways.v[i]);
		check_ports(s, "gateway", m->gateways.v[i].name, &m->gateways.v[i].servers);
	}
	for (size_t i = 0; i < m->routes.n; i++)
		REFUSE(s, m->routes.v[i].at, "route", m->routes.v[i].name, &m->routes.v[i].rule,
		       rule);
}
