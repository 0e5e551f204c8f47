/* SPDX-License-Identifier: MIT */
/* A compiled policy as source again. */
#ifndef SLUICE_RULES_SHOW_H
#define SLUICE_RULES_SHOW_H

#include <stdio.h>

#include "rules/gateway.h"

/*
 * Writes the policy as canonical INI: services and gateways by name,
 * routes in their order, lists sorted, comments none but the node's
 * name where it is not "mesh". Compiling that for the same node gives the same bytes. 0, or -1 with
 * errno: writing failed, or no memory.
 */
int show_policy(const struct policy *p, FILE *out);

/* ---- what its parts share ---- */

#define SHOW_ITEM (FORMAT_MAX_STRING + 64)

struct show {
	const struct policy *p;
	FILE *out;
	int width;            /* of the section's longest key */
	size_t column;        /* of the list that is being written */
	bool started;         /* it has an item */
	const uint8_t **keys; /* host keys, service by service */
};

void show_key(struct show *s, const char *key);
void show_word(struct show *s, const char *key, const char *word);
/* An item of the list whose key was written last; the end of that list. */
void show_item(struct show *s, const char *item);
void show_end(struct show *s);
/* Nothing, if the list is empty. */
void show_strings(struct show *s, const char *key, struct policy_list l);
void show_ports(struct show *s, const char *key, struct policy_run run);
void show_endpoints(struct show *s, const char *key, struct policy_run run);

void show_cidrs(struct show *s, const char *key, struct policy_run run);
void show_number(struct show *s, const char *key, unsigned long long n);

/* show_traffic.c */
void show_duration(struct show *s, const char *key, uint32_t ms);
void show_traffic(struct show *s, const struct policy_traffic *t);
void show_tls(struct show *s, const struct policy_tls *t);
void show_server_tls(struct show *s, const struct policy_server *t);
void show_rule(struct show *s, uint32_t route); /* show_rule.c */

void show_gateways(struct show *s); /* show_gateway.c: routes, too */

#endif
