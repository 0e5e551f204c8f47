/* SPDX-License-Identifier: MIT */
/* What a DNS question is answered with. */
#include "rules/explain.h"

#include <stdio.h>
#include <sysexits.h>

#include "rules/lookup.h"

#define LABEL EXPLAIN_LABEL

static void print_addresses(const struct policy *p, const struct lookup *l)
{
	struct lookup_cursor at = { 0, 0 };
	struct addr a;
	char text[ADDR_TEXT];
	unsigned n = 0;

	while (lookup_address(p, l, &at, &a))
		printf("%s%s", n++ > 0 ? ", " : "", addr_format(&a, text));
	if (n == 0)
		printf("no address: the service has no endpoints");
	else if (l->verdict == LOOKUP_SYNTHETIC)
		printf(" (synthetic: the proxy takes what goes there for this host)");
	else
		printf(l->endpoints ? " (endpoints)" : " (addresses)");
}

static void print_opened(const struct policy *p, const struct lookup *l)
{
	struct lookup_cursor at = { 0, 0 };
	uint32_t service;
	uint16_t port;

	while (lookup_udp(p, l, &at, &service, &port)) {
		struct policy_service s;

		policy_service(p, service, &s);
		printf(LABEL "udp:%u of service %s, at what is answered and for as long as that lives\n",
		       "opens:", port, s.name);
	}
}

static void print_answer(const struct policy *p, const struct ask *a, const struct lookup *l)
{
	struct policy_service s;

	if (l->reason == ROUTE_WHY_NAME) {
		policy_service(p, l->service, &s);
		printf(LABEL "%s", "service:", s.name);
		explain_print_key(", by host ", l->key);
		putchar('\n');
	} else {
		printf(LABEL "none\n", "service:");
	}
	printf(LABEL, "answer:");
	if (l->verdict == LOOKUP_RESOLVE)
		printf("what the nameservers say of %s%s", a->name,
		       l->allow_private ? "" : "; never a private address");
	else if (l->verdict == LOOKUP_DENY)
		printf("NXDOMAIN, and nobody is asked");
	else
		print_addresses(p, l);
	putchar('\n');
	print_opened(p, l);
}

/* Without the stub: true when that settles it. */
static bool is_not_captured(const struct policy *p, int *code)
{
	struct policy_capture c;

	policy_capture(p, &c);
	if (c.dns == POLICY_CAPTURE)
		return false;
	*code = c.dns == POLICY_ALLOW ? EX_OK : EXPLAIN_REFUSED;
	printf(LABEL "%s\n" LABEL "[capture] dns = %s\n",
	       "verdict:", c.dns == POLICY_ALLOW ? "allowed" : "refused",
	       "why:", c.dns == POLICY_ALLOW ? "allow: it goes past the proxy, whatever is asked"
					     : "reject: the kernel refuses it");
	return true;
}

int explain_dns(const struct policy *p, const struct ask *a)
{
	static const char *const verdicts[] = {
		[LOOKUP_DENY] = "refused", [LOOKUP_RESOLVE] = "resolved",
		[LOOKUP_FIXED] = "answered", [LOOKUP_SYNTHETIC] = "answered",
	};
	struct lookup l;
	int code;

	printf(LABEL "DNS for %s", "asked:", a->name);
	explain_print_from(a);
	putchar('\n');
	if (is_not_captured(p, &code))
		return code;
	lookup_find(p, a->name, a->name_len, &a->client, &l);
	printf(LABEL "%s\n" LABEL, "verdict:", verdicts[l.verdict], "why:");
	if (l.reason == ROUTE_WHY_AUDIT)
		printf("%s (%s)\n", route_reason_text(l.reason), route_reason_text(l.denied));
	else
		explain_print_reason(a, l.reason);
	print_answer(p, a, &l);
	return l.verdict == LOOKUP_DENY ? EXPLAIN_REFUSED : EX_OK;
}
