/* SPDX-License-Identifier: MIT */
/* How the parts of the ruleset write their rules; ruleset_init() knows which a policy takes. */
#ifndef SLUICE_INIT_RULESET_PART_H
#define SLUICE_INIT_RULESET_PART_H

#include "init/ruleset.h"

/* Items: without a value, with one, with a name; and those that are turned round. */
#define JUST(k)     {.kind = ITEM_##k}
#define WITH(k, v)  {.kind = ITEM_##k, .value = (v)}
#define NAMED(k, s) {.kind = ITEM_##k, .text = (s)}
#define NOT(k, v)   {.kind = ITEM_##k, .not = true, .value = (v)}
#define NOT_NAMED(k, s) {.kind = ITEM_##k, .not = true, .text = (s)}
#define ADD(r, chain, comment, ...) \
	ruleset_add(r, chain, comment, (const struct item[]){__VA_ARGS__, {.kind = ITEM_END}})

/* Adds a rule; the sets that it names and its chain are used from now on. */
void ruleset_add(struct ruleset *r, enum chain_id chain, const char *comment,
	const struct item *items);
/* Whether the policy puts anything into the set. */
bool ruleset_has(const struct ruleset *r, enum set_id set);
/* Whether the policy's ports are all there are. */
bool ruleset_has_every_port(const struct ruleset *r);

static inline bool ruleset_is_pod(const struct ruleset *r)
{
	return r->capture.scope != POLICY_SCOPE_ROUTER;
}

static inline bool ruleset_is_router(const struct ruleset *r)
{
	return r->capture.scope != POLICY_SCOPE_POD;
}

/* ruleset_pass.c: what may pass. */
void ruleset_add_pass(struct ruleset *r);
/* ruleset_pod.c: what this node itself sends. */
void ruleset_add_pod(struct ruleset *r, const struct ruleset_config *config);
void ruleset_add_egress(struct ruleset *r, enum chain_id chain, const struct ruleset_config *config);
/* ruleset_router.c: what is forwarded from `interfaces`. */
void ruleset_add_router(struct ruleset *r, const struct ruleset_config *config);
/* ruleset_proxy.c: what comes in, and how it gets to the proxy. */
void ruleset_add_proxy(struct ruleset *r, const struct ruleset_config *config);

#endif
