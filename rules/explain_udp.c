/* SPDX-License-Identifier: MIT */
/* What happens to a UDP packet: the kernel's rules, as sluice-init makes them of a policy. */
#include "rules/explain.h"

#include <stdio.h>
#include <sysexits.h>

#include "rules/lookup.h"

#define LABEL EXPLAIN_LABEL

struct udp_answer {
	bool allowed;
	const char *why;          /* NULL: reason */
	enum route_reason reason;
	bool found, learned;      /* a service lets it by; at what its name resolves to */
	uint32_t service;
	const uint8_t *key;       /* the host key that led there, or NULL */
	const char *name;
};

static bool find_port(const struct policy *p, uint32_t service, const struct ask *a,
		      struct policy_service *s)
{
	struct policy_port port;

	policy_service(p, service, s);
	for (uint32_t i = 0; i < s->ports.n; i++) {
		policy_port(p, s->ports.first + i, &port);
		if (port.protocol == POLICY_PROTO_UDP && port.number == a->port)
			return true;
	}
	return false;
}

static bool holds(const struct policy *p, const struct policy_service *s, const struct addr *to,
		  uint16_t port)
{
	for (uint32_t i = 0; i < s->cidrs.n; i++) {
		struct cidr c;

		policy_cidr(p, s->cidrs.first + i, &c);
		if (cidr_contains(&c, to))
			return true;
	}
	for (uint32_t i = 0; i < s->endpoints.n; i++) {
		struct policy_endpoint e;

		policy_endpoint(p, s->endpoints.first + i, &e);
		if (e.name == NULL && (e.port == 0 || e.port == port) && addr_equal(&e.addr, to))
			return true;
	}
	return false;
}

/* Whether some service has the address itself. */
static bool find_address(const struct policy *p, const struct ask *a, const struct addr *to,
			 struct udp_answer *out)
{
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES]; i++) {
		struct policy_service s;

		if (!find_port(p, i, a, &s) || !holds(p, &s, to, a->port))
			continue;
		if (!policy_service_serves(p, i, &a->client)) {
			out->reason = ROUTE_WHY_OTHER_CLIENT;
			continue;
		}
		out->allowed = out->found = true;
		out->service = i;
		out->reason = ROUTE_WHY_ADDRESS;
		return true;
	}
	return false;
}

/* A service of the name that has addresses of its own: these are open whoever tells them. */
static bool find_fixed(const struct policy *p, const struct ask *a, const struct lookup *l,
		       struct udp_answer *out)
{
	for (uint32_t i = 0; i < l->services.n; i++) {
		uint32_t service = policy_item(l->services, i);
		struct policy_service s;

		if (!find_port(p, service, a, &s) || s.cidrs.n + s.endpoints.n == 0 ||
		    !policy_service_serves(p, service, &a->client))
			continue;
		out->allowed = out->found = true;
		out->service = service;
		return true;
	}
	return false;
}

static bool find_learned(const struct policy *p, const struct ask *a, const struct lookup *l,
			 struct udp_answer *out)
{
	struct lookup_cursor at = { 0, 0 };
	uint16_t port;

	while (lookup_udp(p, l, &at, &out->service, &port))
		if (port == a->port)
			return true;
	return false;
}

/* By what the name is answered with. */
static void find_name(const struct policy *p, const struct ask *a, enum policy_action dns,
		      struct udp_answer *out)
{
	struct lookup_cursor at = { 0, 0 };
	struct addr to;
	struct lookup l;

	lookup_find(p, a->name, a->name_len, &a->client, &l);
	out->reason = l.reason;
	out->key = l.key;
	out->name = a->name;
	if (l.reason == ROUTE_WHY_ALLOW_ANY || l.reason == ROUTE_WHY_AUDIT)
		out->why = "no service lists this host, and neither outbound = allow-any nor enforcement = audit is for UDP";
	if (l.reason != ROUTE_WHY_NAME)
		return;
	if (dns == POLICY_CAPTURE && l.verdict == LOOKUP_SYNTHETIC) {
		out->why = "the name is answered with a synthetic address, where the proxy takes TCP alone";
		return;
	}
	if (dns == POLICY_CAPTURE && l.verdict == LOOKUP_FIXED) {
		while (lookup_address(p, &l, &at, &to))
			if (find_address(p, a, &to, out))
				return;
	} else if (find_fixed(p, a, &l, out)) {
		return;
	} else if (find_learned(p, a, &l, out)) {
		out->found = out->learned = out->allowed = dns == POLICY_CAPTURE;
		if (!out->allowed)
			out->why = "the kernel learns addresses from the proxy's answers alone: that takes [capture] dns = capture";
		return;
	}
	out->reason = ROUTE_WHY_OTHER_PORT;
}

/* What is settled before services count; true: it was. */
static bool find_captured(const struct policy *p, const struct policy_capture *c,
			  const struct ask *a, struct udp_answer *out)
{
	if (a->port == 53 && c->dns == POLICY_CAPTURE) {
		out->allowed = true;
		out->why = "[capture] dns = capture: the proxy answers, whatever server it is sent to; ask about dns://NAME";
		return true;
	}
	for (uint32_t i = 0; i < c->exclude_cidrs.n && a->name_len == 0; i++) {
		struct cidr cidr;

		policy_cidr(p, c->exclude_cidrs.first + i, &cidr);
		if (!cidr_contains(&cidr, &a->addr))
			continue;
		out->allowed = true;
		out->why = "[capture] exclude-cidrs holds this address: it goes past the proxy";
		return true;
	}
	return false;
}

/* What lets UDP out that no service has. */
static void find_open(const struct policy_capture *c, const struct ask *a, struct udp_answer *out)
{
	if (c->dns == POLICY_ALLOW && a->port == 53)
		out->why = "[capture] dns = allow: it goes past the proxy, wherever it leads";
	else if (c->udp == POLICY_ALLOW && a->port != 53)
		out->why = "[capture] udp = allow: it goes out, wherever it leads";
	else
		return;
	out->allowed = true;
}

static void find_answer(const struct policy *p, const struct ask *a, struct udp_answer *out)
{
	struct policy_capture c;

	policy_capture(p, &c);
	*out = (struct udp_answer){ .reason = ROUTE_WHY_UNLISTED_ADDR };
	if (find_captured(p, &c, a, out))
		return;
	if (a->name_len > 0)
		find_name(p, a, c.dns, out);
	else
		find_address(p, a, &a->addr, out);
	if (!out->allowed)
		find_open(&c, a, out);
}

static void print_goal(const struct policy *p, const struct udp_answer *out,
		       const struct policy_service *s, uint16_t port)
{
	char text[ADDR_TEXT];

	if (out->learned) {
		printf("what the proxy answers for %s, port %u, for as long as the answer lives",
		       out->name, port);
		return;
	}
	for (uint32_t i = 0; i < s->cidrs.n; i++) {
		struct cidr c;

		policy_cidr(p, s->cidrs.first + i, &c);
		printf("%s%s", i > 0 ? ", " : "", cidr_format(&c, text));
	}
	for (uint32_t i = 0; i < s->endpoints.n; i++) {
		struct policy_endpoint e;

		policy_endpoint(p, s->endpoints.first + i, &e);
		printf("%s%s", i + s->cidrs.n > 0 ? ", " : "", addr_format(&e.addr, text));
	}
	printf(", port %u", port);
}

static void print_service(const struct policy *p, const struct ask *a,
			  const struct udp_answer *out)
{
	struct policy_service s;

	policy_service(p, out->service, &s);
	printf(LABEL "%s, udp:%u", "service:", s.name, a->port);
	if (out->key != NULL)
		explain_print_key(", by host ", out->key);
	printf("\n" LABEL, "goes to:");
	print_goal(p, out, &s, a->port);
	putchar('\n');
}

int explain_udp(const struct policy *p, const struct ask *a)
{
	char text[ADDR_PORT_TEXT];
	struct udp_answer out;

	find_answer(p, a, &out);
	printf(LABEL, "asked:");
	if (a->name_len > 0)
		printf("UDP to %s, port %u", a->name, a->port);
	else
		printf("UDP to %s", addr_port_format(&a->addr, a->port, text));
	explain_print_from(a);
	printf("\n" LABEL "%s\n", "verdict:", out.allowed ? "allowed" : "refused");
	printf(LABEL, "why:");
	if (out.why != NULL)
		puts(out.why);
	else
		explain_print_reason(a, out.reason);
	if (out.found)
		print_service(p, a, &out);
	else if (!out.allowed)
		printf(LABEL "none\n" LABEL "an ICMP error, at once\n", "service:", "client:");
	return out.allowed ? EX_OK : EXPLAIN_REFUSED;
}
