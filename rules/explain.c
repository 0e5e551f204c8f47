/* SPDX-License-Identifier: MIT */
/* sluice-rules explain: what happens to a connection, and why. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "rules/check.h"
#include "rules/command.h"
#include "rules/compile.h"
#include "rules/explain.h"
#include "rules/gateway.h"
#include "rules/policy.h"
#include "rules/route.h"

#define LABEL EXPLAIN_LABEL

struct answer {
	enum route_seen
		seen; /* as which the connection was asked about; ROUTE_SEEN_NOTHING: settled by its destination */
	struct addr dst;
	bool dst_known, dst_assumed;
	struct route route;
};

static bool in_run(const struct policy *p, struct policy_run run, uint32_t n)
{
	uint32_t first, last;

	for (uint32_t i = 0; i < run.n; i++) {
		policy_range(p, run.first + i, &first, &last);
		if (first <= n && n <= last)
			return true;
	}
	return false;
}

/* Why the kernel does not hand the connection to the proxy; NULL: it does. *open: it goes out all the same. */
static const char *find_uncaptured(const struct policy *p, const struct ask *a, bool *open)
{
	struct policy_capture c;
	struct cidr cidr;

	policy_capture(p, &c);
	*open = true;
	if (c.dns == POLICY_CAPTURE && a->port == 53)
		return "[capture] dns = capture: the proxy answers, whatever server it is sent to; ask about dns://NAME";
	for (uint32_t i = 0; i < c.exclude_cidrs.n && a->name_len == 0; i++) {
		policy_cidr(p, c.exclude_cidrs.first + i, &cidr);
		if (cidr_contains(&cidr, &a->addr))
			return "[capture] exclude-cidrs holds this address: it goes past the proxy";
	}
	if (in_run(p, c.exclude_ports, a->port))
		return "[capture] exclude-ports holds this port: it goes past the proxy, wherever it leads";
	if (c.dns == POLICY_ALLOW && a->port == 53)
		return "[capture] dns = allow: it goes past the proxy, wherever it leads";
	*open = false;
	return in_run(p, c.ports, a->port)
		       ? NULL
		       : "[capture] ports does not hold this port: the kernel refuses it";
}

/* The proxy's decision if the client were to say what a asks about, in the given way. */
static void decide(const struct policy *p, const struct ask *a, enum route_seen seen,
		   struct answer *out)
{
	struct route_query q = { .src = a->client, .dst = out->dst, .port = a->port,
				 .alpn = a->alpn, .alpn_len = a->alpn_len, .ech = a->ech };
	struct policy_http http = ask_http(a);
	uint8_t fits[256];

	q.http = seen == ROUTE_SEEN_HTTP ? &http : NULL;
	out->seen = ROUTE_SEEN_NOTHING;
	route_find(p, &q, &out->route);
	if (out->route.verdict != ROUTE_SNIFF)
		return;
	out->seen = q.seen = seen;
	if (seen == ROUTE_SEEN_HTTP && a->name_len == 0)
		q.host = &a->addr;
	if (seen != ROUTE_SEEN_OTHER && a->name_len > 0) {
		q.name = a->name;
		q.name_len = a->name_len;
	}
	route_find(p, &q, &out->route);
	if (out->route.denied != ROUTE_WHY_ALPN || a->alpn_len > 0)
		return;
	q.alpn_len = explain_alpn(p, out->route.service, fits);
	q.alpn = fits;
	route_find(p, &q, &out->route);
}

/* An address of a service that has the name and takes connections on the port by address, if there is one. */
static bool assume_address(const struct policy *p, const struct ask *a, struct addr *dst)
{
	struct policy_list services;
	uint32_t at = 0;

	while ((services = policy_find_host(p, a->name, a->name_len, &at, NULL)).n > 0)
		for (uint32_t i = 0; i < services.n; i++) {
			uint32_t index = policy_item(services, i);
			struct policy_service s;
			struct policy_port port;
			struct cidr cidr;

			policy_service(p, index, &s);
			if (s.cidrs.n == 0 || !policy_service_serves(p, index, &a->client) ||
			    policy_service_port(p, index, a->port, &port) < 0 ||
			    !policy_protocol_is_tcp(port.protocol))
				continue;
			policy_cidr(p, s.cidrs.first, &cidr);
			*dst = cidr.addr;
			return true;
		}
	return false;
}

/* The first way to speak, of those that the target leaves open, that is let through; else the likeliest. */
static void find_answer(const struct policy *p, const struct ask *a, struct answer *out)
{
	static const enum route_seen by_name[] = { ROUTE_SEEN_TLS, ROUTE_SEEN_HTTP };
	static const enum route_seen by_address[] = { ROUTE_SEEN_OTHER, ROUTE_SEEN_HTTP,
						      ROUTE_SEEN_TLS };
	const enum route_seen *ways = a->name_len > 0 ? by_name : by_address;
	size_t n = a->name_len > 0 ? 2 : 3;
	bool tls = (policy_find_port(p, a->port).flags & POLICY_PORT_TLS) != 0 || a->port == 443;
	enum route_seen likely = a->name_len == 0 ? ROUTE_SEEN_OTHER
				 : tls		  ? ROUTE_SEEN_TLS
						  : ROUTE_SEEN_HTTP;

	*out = (struct answer){ .dst_known = a->name_len == 0, .dst = a->addr };
	if (a->name_len > 0)
		out->dst_assumed = assume_address(p, a, &out->dst);
	if (a->seen != ROUTE_SEEN_NOTHING) {
		decide(p, a, a->seen, out);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		decide(p, a, ways[i], out);
		if (out->route.verdict == ROUTE_SERVICE)
			return;
	}
	decide(p, a, likely, out);
}

void explain_print_from(const struct ask *a)
{
	char text[ADDR_TEXT];

	if (a->client_known)
		printf(", from %s", addr_format(&a->client, text));
}

void explain_print_reason(const struct ask *a, enum route_reason reason)
{
	printf("%s%s\n", route_reason_text(reason),
	       reason == ROUTE_WHY_OTHER_CLIENT && !a->client_known
		       ? " (--client ADDRESS says who asks)"
		       : "");
}

static void print_asked(const struct ask *a, const struct answer *out)
{
	char text[ADDR_PORT_TEXT], address[ADDR_TEXT];

	if (a->name_len > 0)
		printf(LABEL "%s, port %u", "asked:", a->name, a->port);
	else
		printf(LABEL "%s", "asked:", addr_port_format(&a->addr, a->port, text));
	if (out->seen == ROUTE_SEEN_HTTP && a->name_len > 0)
		printf(", HTTP with Host %s", a->name);
	else if (out->seen == ROUTE_SEEN_HTTP)
		printf(addr_is_v4(&a->addr) ? ", HTTP with Host %s" : ", HTTP with Host [%s]",
		       addr_format(&a->addr, address));
	else if (out->seen == ROUTE_SEEN_TLS)
		printf(", TLS %s%s", a->name_len > 0 ? "with SNI " : "without SNI", a->name);
	else if (out->seen == ROUTE_SEEN_OTHER)
		printf(", neither HTTP nor TLS");
	else
		printf(", judged by destination alone");
	if (out->dst_assumed)
		printf(", connecting to %s", addr_format(&out->dst, address));
	if (out->seen == ROUTE_SEEN_TLS)
		explain_print_hello(a);
	explain_print_from(a);
	putchar('\n');
}

void explain_print_key(const char *before, const uint8_t *key)
{
	bool wild = key[0] == 0 || key[1] == '.';

	printf("%s%s%.*s", before, wild ? "*" : "", key[0], (const char *)key + 1);
}

static void print_host(const uint8_t *key, uint16_t port)
{
	explain_print_key("", key);
	printf(":%u", port);
}

/* What the proxy does with an address it would dial, for a service or, NULL, passed through. NULL: it dials it. */
static const char *find_refused(const struct policy *p, const struct policy_service *s,
				const struct addr *a)
{
	struct policy_meta m;
	enum addr_class class = addr_classify(a);

	policy_meta(p, &m);
	if (class == ADDR_PUBLIC ||
	    (class == ADDR_PRIVATE &&
	     (s == NULL || s->location == POLICY_INTERNAL || s->allow_private ||
	      s->enforcement == POLICY_AUDIT || m.enforcement == POLICY_AUDIT)))
		return NULL;
	return addr_class_name(a);
}

/* Why nothing can be dialled although the verdict is not to deny; NULL: as far as one can tell, something can. */
static const char *find_undialled(const struct policy *p, const struct answer *out)
{
	struct policy_service s;
	struct policy_endpoint e;

	if (out->route.routed)
		return explain_route_undialled(p, out->route.route) ? "all of the route" : NULL;
	if (out->route.verdict == ROUTE_PASSTHROUGH)
		return out->dst_known ? find_refused(p, NULL, &out->dst) : NULL;
	policy_service(p, out->route.service, &s);
	if (s.resolution == POLICY_NONE)
		return out->dst_known ? find_refused(p, &s, &out->dst) : NULL;
	for (uint32_t i = 0; i < s.endpoints.n; i++) {
		policy_endpoint(p, s.endpoints.first + i, &e);
		if (e.name != NULL || find_refused(p, &s, &e.addr) == NULL)
			return NULL;
	}
	if (s.endpoints.n > 0)
		return "none of the endpoints";
	return s.resolution == POLICY_STATIC ? "no endpoints" : NULL;
}

static void print_endpoints(const struct policy *p, const struct policy_service *s, uint16_t target)
{
	for (uint32_t i = 0; i < s->endpoints.n; i++) {
		struct policy_endpoint e;
		char text[ADDR_PORT_TEXT];
		uint16_t port;

		policy_endpoint(p, s->endpoints.first + i, &e);
		port = e.port != 0 ? e.port : target;
		printf("%s", i > 0 ? ", " : "");
		if (e.name != NULL)
			printf("%s:%u", e.name, port);
		else
			printf("%s", addr_port_format(&e.addr, port, text));
		if (e.weight != 1)
			printf(" weight %u", e.weight);
		if (e.name == NULL && find_refused(p, s, &e.addr) != NULL)
			printf(" (not dialled: %s)", find_refused(p, s, &e.addr));
	}
}

static void print_dialled(const struct policy *p, const struct ask *a, const struct answer *out,
			  const struct policy_service *s)
{
	uint16_t target = out->route.port.target;

	printf(LABEL, "dials:");
	if (s->resolution == POLICY_NONE)
		printf("the address that the client connected to, port %u", target);
	else if (s->endpoints.n > 0)
		print_endpoints(p, s, target);
	else if (s->resolution == POLICY_STATIC)
		printf("nothing, since the service has no endpoints");
	else if (s->resolution == POLICY_DYNAMIC_DNS ||
		 (out->route.key != NULL && out->route.key[0] > 0))
		printf("%s:%u", a->name, target);
	else
		print_host(s->first_host, target);
	printf(" (resolution = %s%s)\n", policy_resolution_name(s->resolution),
	       s->location == POLICY_EXTERNAL && !s->allow_private ? "; never a private address"
								   : "");
}

static void print_client(const struct answer *out, bool dialled)
{
	const char *sees = "the connection is closed before a byte goes out";

	if (out->route.verdict != ROUTE_DENY && dialled)
		sees = "what the server answers";
	else if (out->seen == ROUTE_SEEN_HTTP && out->route.reason == ROUTE_WHY_NO_ROUTE)
		sees = "HTTP/1.1 404 Not Found";
	else if (out->seen == ROUTE_SEEN_HTTP)
		sees = out->route.verdict == ROUTE_DENY ? "HTTP/1.1 502 Bad Gateway"
							: "HTTP/1.1 503 Service Unavailable";
	printf(LABEL "%s\n", "client:", sees);
}

static void print_service(const struct policy *p, const struct ask *a, const struct answer *out)
{
	struct policy_service s;
	const uint8_t *key;

	policy_service(p, out->route.service, &s);
	key = out->route.key != NULL ? out->route.key : s.first_host;
	printf(LABEL "%s, %s:%u", "service:", s.name,
	       policy_protocol_name(out->route.port.protocol), out->route.port.number);
	if (out->route.key != NULL)
		explain_print_key(", by host ", out->route.key);
	putchar('\n');
	if (!out->route.routed) {
		printf(LABEL "direct, through no gateway\n", "route:");
		print_dialled(p, a, out, &s);
	}
	explain_print_limits(p, &s, out->seen);
	if (!out->route.routed || !explain_route_answers(p, out->route.route))
		print_client(out, find_undialled(p, out) == NULL);
	if (!out->route.routed)
		explain_print_service_traffic(p, out->route.service);
	if (out->route.routed) {
		explain_print_route(p, out->route.route, a->port, out->seen == ROUTE_SEEN_HTTP);
		return;
	}
	printf(LABEL "outbound|%u||", "cluster:", a->port);
	if (key != NULL)
		explain_print_key("", key);
	putchar('\n');
}

static void print_why(const struct ask *a, const struct route *r, const char *undialled)
{
	printf(LABEL, "why:");
	if (r->verdict == ROUTE_DENY) {
		explain_print_reason(a, r->reason);
		return;
	}
	printf("%s", route_reason_text(r->reason));
	if (r->reason == ROUTE_WHY_AUDIT)
		printf(" (%s)", route_reason_text(r->denied));
	if (undialled != NULL)
		printf(", but what it leads to is never dialled: %s", undialled);
	putchar('\n');
}

/* None took it; one may have refused it. */
static void print_no_service(const struct policy *p, const struct answer *out)
{
	struct policy_service s;

	if (out->route.verdict != ROUTE_DENY || out->route.denied == ROUTE_WHY_NONE) {
		printf(LABEL "none\n", "service:");
		return;
	}
	policy_service(p, out->route.service, &s);
	printf(LABEL "%s, which refuses it\n", "service:", s.name);
	explain_print_limits(p, &s, out->seen);
}

static int print_verdict(const struct policy *p, const struct ask *a, const struct answer *out)
{
	const struct route *r = &out->route;
	const char *undialled = r->verdict == ROUTE_DENY ? NULL : find_undialled(p, out);
	bool allowed = r->verdict != ROUTE_DENY && undialled == NULL;

	printf(LABEL "%s\n", "verdict:", allowed ? "allowed" : "refused");
	print_why(a, r, undialled);
	if (r->verdict == ROUTE_SERVICE) {
		print_service(p, a, out);
		return allowed ? EX_OK : EXPLAIN_REFUSED;
	}
	print_no_service(p, out);
	if (r->routed) {
		if (!explain_route_answers(p, r->route))
			print_client(out, undialled == NULL);
		explain_print_route(p, r->route, a->port, out->seen == ROUTE_SEEN_HTTP);
		return allowed ? EX_OK : EXPLAIN_REFUSED;
	}
	if (r->verdict == ROUTE_PASSTHROUGH) {
		printf(LABEL "the address that the client connected to\n", "dials:");
		print_client(out, undialled == NULL);
		printf(LABEL "PassthroughCluster\n", "cluster:");
		return allowed ? EX_OK : EXPLAIN_REFUSED;
	}
	print_client(out, false);
	printf(LABEL "%s\n", "cluster:",
	       out->seen != ROUTE_SEEN_HTTP		? "BlackHoleCluster"
	       : r->reason == ROUTE_WHY_NO_ROUTE	? "none (flag NR)"
							: "none (route block_all)");
	return EXPLAIN_REFUSED;
}

static int explain(const struct policy *p, const struct ask *a)
{
	struct answer out;
	const char *uncaptured;
	bool open;

	if (a->kind != ASK_TCP)
		return a->kind == ASK_UDP ? explain_udp(p, a) : explain_dns(p, a);
	if (policy_own_gateway(p) >= 0)
		return explain_own_gateway(p, (uint32_t)policy_own_gateway(p), a);
	uncaptured = find_uncaptured(p, a, &open);
	if (uncaptured == NULL) {
		find_answer(p, a, &out);
		print_asked(a, &out);
		return print_verdict(p, a, &out);
	}
	out = (struct answer){ .seen = ROUTE_SEEN_NOTHING };
	print_asked(a, &out);
	printf(LABEL "%s\n" LABEL "%s\n", "verdict:", open ? "allowed" : "refused",
	       "why:", uncaptured);
	return open ? EX_OK : EXPLAIN_REFUSED;
}

static int explain_source(const char *path, const char *node, const struct ask *a)
{
	static struct source s; /* all else that is read hangs from it */
	struct policy_error e;
	struct policy p;
	uint8_t *bytes;
	size_t len;
	int code = compile_source(&s, path, node, false);

	if (code == EX_OK)
		code = compile_bytes(&s, &bytes, &len);
	if (code != EX_OK)
		return code;
	if (policy_open_bytes(&p, bytes, len, &e) == 0) {
		code = explain(&p, a);
		policy_close(&p);
	}
	free(bytes);
	return code;
}

int command_explain(int argc, char **argv)
{
	struct explain_options o;
	struct policy p;
	struct ask a;
	int compiled, code = explain_parse_options(&o, &a, argc, argv);

	if (code != EX_OK)
		return code;
	compiled = compile_is_policy(o.policy);
	if (compiled < 0) {
		fprintf(stderr, "sluice-rules: open: %s: %s\n", o.policy, strerror(errno));
		return EX_NOINPUT;
	}
	if (compiled == 0)
		return explain_source(o.policy, o.node != NULL ? o.node : CHECK_MESH, &a);
	if (o.node != NULL) {
		fprintf(stderr,
			"sluice-rules: explain: --node is about a source: %s is compiled for its node\n",
			o.policy);
		return EX_USAGE;
	}
	code = compile_open(&p, o.policy);
	if (code != EX_OK)
		return code;
	code = explain(&p, &a);
	policy_close(&p);
	return code;
}
