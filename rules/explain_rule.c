/* SPDX-License-Identifier: MIT */
/* What becomes of a request that a route takes, and how connections to where it leads are made. */
#include "rules/explain.h"

#include <stdio.h>

#include "rules/gateway.h"

#define LABEL EXPLAIN_LABEL

bool explain_route_answers(const struct policy *p, uint32_t route)
{
	struct policy_route_http h;

	policy_route_http(p, route, &h);
	return h.action != POLICY_HTTP_FORWARD;
}

static void print_time(const char *what, uint32_t ms)
{
	printf(ms % 1000 == 0 ? "%s %us" : "%s %u.%03us", what, ms / 1000, ms % 1000);
}

static void print_changes(const struct policy *p, const char *label, struct policy_run run)
{
	static const char *const words[] = {"without", "sets", "adds"};

	for (uint32_t i = 0; i < run.n; i++) {
		struct policy_header_change c;

		policy_header_change(p, run.first + i, &c);
		printf(LABEL "%s %s", label, words[c.change], c.name);
		if (c.value != NULL)
			printf(": %.*s", (int)c.value_len, c.value);
		putchar('\n');
	}
}

static void print_answer(const struct policy_route_http *h)
{
	const struct policy_redirect *r = &h->redirect;

	if (h->action == POLICY_HTTP_DIRECT) {
		printf(LABEL "HTTP/1.1 %u, answered here%s%.*s\n", "client:", h->status,
		       h->body != NULL ? ": " : "", (int)h->body_len, h->body != NULL ? h->body : "");
		return;
	}
	printf(LABEL "HTTP/1.1 %u, to", "client:", r->code);
	if (r->https)
		printf(" scheme https");
	if (r->authority != NULL)
		printf(" authority %s", r->authority);
	if (r->port != 0)
		printf(" port %u", r->port);
	if (r->uri != NULL)
		printf(" uri %s", r->uri);
	putchar('\n');
}

static void print_retries(const struct policy_route_http *h)
{
	const char *before = " on ";

	if (h->timeout != 0 || h->per_try != 0) {
		printf(LABEL, "timeout:");
		if (h->timeout != 0)
			print_time("all", h->timeout);
		else
			printf("none");
		if (h->per_try != 0)
			print_time(", each try", h->per_try);
		putchar('\n');
	}
	if (h->retries == POLICY_RETRIES && h->retry_on == POLICY_RETRY_DEFAULT &&
	    h->retry_statuses.n == 0)
		return; /* as without a route */
	printf(LABEL "%u", "retries:", h->retries);
	for (uint32_t bit = 1; bit <= POLICY_RETRY_5XX; bit <<= 1)
		if ((h->retry_on & bit) != 0) {
			printf("%s%s", before, policy_retry_name(bit));
			before = ", ";
		}
	for (uint32_t i = 0; i < h->retry_statuses.n; i++) {
		printf("%s%u", before, policy_item(h->retry_statuses, i));
		before = ", ";
	}
	putchar('\n');
}

void explain_print_rule(const struct policy *p, uint32_t route)
{
	struct policy_route_http h;

	policy_route_http(p, route, &h);
	if (h.action != POLICY_HTTP_FORWARD) {
		print_answer(&h);
		print_changes(p, "response:", h.response);
		return;
	}
	print_retries(&h);
	if (h.rewrite_uri != NULL)
		printf(LABEL "the path's matched part becomes %s\n", "rewrite:", h.rewrite_uri);
	if (h.rewrite_authority != NULL)
		printf(LABEL "Host becomes %s\n", "rewrite:", h.rewrite_authority);
	print_changes(p, "request:", h.request);
	print_changes(p, "response:", h.response);
}

static const char *pem_name(const struct policy_pem *pem)
{
	return pem->path != NULL ? pem->path : "in the policy";
}

static void print_tls(const struct policy *p, const char *whom, const struct policy_tls *t)
{
	printf(LABEL "to %s: TLS %s, ca %s", "tls:", whom, t->only_13 ? "1.3" : "1.2 or 1.3",
	       pem_name(&t->ca));
	if (t->mutual)
		printf(", with certificate %s", pem_name(&t->certificate));
	if (t->sni != NULL)
		printf(", SNI %s", t->sni);
	for (uint32_t i = 0; i < t->alt_names.n; i++)
		printf("%s %s", i == 0 ? ", named" : ",",
		       policy_string(p, policy_item(t->alt_names, i)));
	if (t->n_pins > 0)
		printf(", %u pinned key%s", t->n_pins, t->n_pins == 1 ? "" : "s");
	putchar('\n');
}

void explain_print_gateway_tls(const struct policy *p, uint32_t gateway)
{
	struct policy_gateway g;
	struct policy_tls t;

	policy_gateway(p, gateway, &g);
	if (policy_gateway_tls(p, gateway, &t))
		print_tls(p, g.name, &t);
}

void explain_print_service_traffic(const struct policy *p, uint32_t service)
{
	struct policy_service s;
	struct policy_tls t;

	policy_service(p, service, &s);
	if (policy_service_tls(p, service, &t))
		print_tls(p, s.name, &t);
}
