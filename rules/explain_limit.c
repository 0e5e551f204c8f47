/* SPDX-License-Identifier: MIT */
/* What a service asks of what clients say. */
#include "rules/explain.h"

#include <stdio.h>
#include <string.h>

#define LABEL EXPLAIN_LABEL

size_t explain_alpn(const struct policy *p, uint32_t service, uint8_t out[256])
{
	struct policy_service s;
	const char *name;

	policy_service(p, service, &s);
	name = policy_string(p, policy_item(s.alpn, 0));
	out[0] = (uint8_t)strlen(name);
	memcpy(out + 1, name, out[0]);
	return 1u + out[0];
}

void explain_print_hello(const struct ask *a)
{
	for (size_t i = 0; i < a->alpn_len; i += 1u + a->alpn[i])
		printf("%s%.*s", i > 0 ? ", " : ", ALPN ", a->alpn[i],
		       (const char *)a->alpn + i + 1);
	if (a->ech)
		printf(", with encrypted_client_hello");
}

static void print_hellos(const struct policy *p, const struct policy_service *s)
{
	if (s->alpn.n == 0 && !s->no_ech)
		return;
	printf(LABEL, "takes:");
	for (uint32_t i = 0; i < s->alpn.n; i++)
		printf("%s%s", i > 0 ? ", " : "ALPN ", policy_string(p, policy_item(s->alpn, i)));
	printf("%s%s%s\n", s->alpn.n > 0 ? " and no other" : "",
	       s->alpn.n > 0 && s->no_ech ? "; " : "", s->no_ech ? "no encrypted_client_hello" : "");
}

void explain_print_limits(const struct policy *p, const struct policy_service *s,
			  enum route_seen seen)
{
	if (seen == ROUTE_SEEN_TLS)
		print_hellos(p, s);
	if (seen == ROUTE_SEEN_HTTP && s->scrub)
		printf(LABEL "requests of what could stand for their Host or target (scrub = yes)\n",
		       "strips:");
	if (seen == ROUTE_SEEN_HTTP && s->no_alt_svc)
		printf(LABEL "responses of Alt-Svc\n", "strips:");
}
