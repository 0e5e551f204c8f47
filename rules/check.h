/* SPDX-License-Identifier: MIT */
/* What a policy must hold besides well-formed values: errors as Istio's validation has them, warnings where Istio is silent. */
#ifndef SLUICE_RULES_CHECK_H
#define SLUICE_RULES_CHECK_H

#include <stdbool.h>

#include "rules/hosts.h"
#include "rules/source.h"

#define CHECK_MESH "mesh" /* the node that every policy has; the others are its gateways */

/*
 * Adds all findings to s->diag, for the policy as a whole and for the node that it is to be compiled for; leaves out of the model
 * what that node does not need, and sets its node.
 */
void check_source(struct source *s, const char *node);
/*
 * Adds findings for what is left in the model and the proxy of this version does not do; after
 * check_source(). check_able.c
 */
void check_able(struct source *s);

/* Its parts. used[i]: service i is visible. */
struct check {
	struct source *source;
	struct model *model;
	struct diag *diag;
	const bool *used;
	struct hosts hosts; /* of the services that are used */
};
void check_service(struct check *c, const struct model_service *s, const struct source_marks *marks); /* check_service.c */
void check_conflicts(struct check *c);  /* check_service.c */
void check_udp(struct check *c, const struct model_service *s, const struct source_marks *marks);     /* check_udp.c */
void check_capture(struct check *c);    /* check_capture.c */
void check_gateways(struct check *c);   /* check_gateway.c */
/* check_traffic.c. who: "gateway egress", ... */
void check_traffic(struct check *c, const struct policy_traffic *t, const struct source_marks *marks, const char *who);
struct check_tls_words { const char *who; enum language_key key; const char *word, *simple, *peer; };
void check_tls(struct check *c, const struct model_tls *t, enum model_tls_mode mode, const struct source_marks *marks, const struct check_tls_words *words);
void check_server_tls(struct check *c, struct model_gateway *g, const struct source_marks *marks, const char *who); /* and what servers do that do not say */
void check_origination(struct check *c, const struct model_service *s, const struct source_marks *marks);
/* check_key.c: that a certificate and a key are one's own, and that a bundle holds certificates, as far as they can be read here. */
void check_pair(struct check *c, const struct model_pem *certificate, const struct model_pem *key);
void check_bundle(struct check *c, const struct model_pem *ca);
/* Whether a private key is in what is left of the model; warns of each, unless d is NULL. */
bool check_secrets(const struct model *m, struct diag *d);
/* check_rule.c: what a route says of HTTP. */
void check_rule(struct check *c, struct model_route *r, const struct source_marks *marks);
bool check_http_only(const struct model_rule *r); /* what is not HTTP is not for it */
bool check_rule_covers(const struct model_rule *a, const struct model_rule *b); /* whatever meets b meets a */
void check_routes(struct check *c);     /* check_route.c; settles destinations that may be a gateway or a host */
void check_bypass(struct check *c);     /* check_bypass.c; after check_routes() */
void check_chains(struct check *c);     /* check_chain.c; after check_routes() */
void check_node(struct check *c, const char *node); /* check_node.c: that there is such a node */
/* check_node.c: leaves out of the model what the node does not need. used: as below. */
void check_leave_out(struct source *s, const char *node, const bool *used);

/* What they share. */
bool check_comes_from(const struct model_route *r, const char *node);
bool check_has_protocol(const struct model_ports *ports, bool (*is)(enum policy_protocol));
/* An address that is always refused when dialled. */
void check_dialled(struct check *c, const struct model_endpoint *e, const char *key);
const struct model_gateway *check_find_gateway(const struct model *m, const char *name);

#endif
