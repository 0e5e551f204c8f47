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
