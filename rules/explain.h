/* SPDX-License-Identifier: MIT */
/* Parts of `sluice-rules explain`. */
#ifndef SLUICE_RULES_EXPLAIN_H
#define SLUICE_RULES_EXPLAIN_H

#include "rules/ask.h"
#include "rules/policy.h"

#define EXPLAIN_REFUSED 1
#define EXPLAIN_LABEL   "%-9s "

struct explain_options { const char *policy, *node; /* node NULL: not said */ };
/* explain_option.c: 0, or an exit code. */
int explain_parse_options(struct explain_options *o, struct ask *a, int argc, char **argv);

/* Each prints the answer to a question of its kind. Returns 0 or EXPLAIN_REFUSED. */
int explain_udp(const struct policy *p, const struct ask *a);
int explain_dns(const struct policy *p, const struct ask *a);

/* explain_limit.c: what a service asks of ClientHellos, and changes in requests and responses. */
void explain_print_limits(const struct policy *p, const struct policy_service *s,
			  enum route_seen seen);
/* Something that the service's ClientHellos may offer, as in struct route_query. Returns bytes. */
size_t explain_alpn(const struct policy *p, uint32_t service, uint8_t out[256]);
/* ", ALPN h2, http/1.1, with encrypted_client_hello", if that was said. */
void explain_print_hello(const struct ask *a);

/* explain_gateway.c: the route, where it leads, and the clusters that the log will name. */
void explain_print_route(const struct policy *p, uint32_t route, uint16_t port, bool http);
/* explain_rule.c: what becomes of a request that the route takes. */
void explain_print_rule(const struct policy *p, uint32_t route);
bool explain_route_answers(const struct policy *p, uint32_t route);
/* The TLS that is spoken to them, if there is any. */
void explain_print_gateway_tls(const struct policy *p, uint32_t gateway);
void explain_print_service_traffic(const struct policy *p, uint32_t service);
/* Whether all that the route leads to is never dialled. */
bool explain_route_undialled(const struct policy *p, uint32_t route);
/* The same for what comes to the gateway that the policy's node is. */
int explain_own_gateway(const struct policy *p, uint32_t gateway, const struct ask *a);

/* ", from 192.0.2.1", if it was said who asks. */
void explain_print_from(const struct ask *a);
/* The reason; and what to say besides, if it depends on who asks and that was not said. */
void explain_print_reason(const struct ask *a, enum route_reason reason);
/* A host key as it is written, after some text. */
void explain_print_key(const char *before, const uint8_t *key);

#endif
