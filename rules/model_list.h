/* SPDX-License-Identifier: MIT */
/* The model's lists, which all have one layout, and what they are of. */
#ifndef SLUICE_RULES_MODEL_LIST_H
#define SLUICE_RULES_MODEL_LIST_H

#include "rules/addr.h"
#include "rules/gateway.h"

/* Where something was written. */
struct model_at { const char *file; int line; };

struct model_string { const char *s; struct model_at at; };
struct model_range  { uint32_t first, last; struct model_at at; };
struct model_cidr   { struct cidr cidr; struct model_at at; };
/* name_canon_pattern() form; file indexes model.files (a million of them: kept small). */
struct model_host   { const char *key; uint32_t line; uint16_t file; uint8_t len; };
struct model_port   {
	uint16_t number, target;
	enum policy_protocol protocol;
	enum policy_server_tls tls; /* of a gateway's server; POLICY_SERVER_NONE: not written */
	struct model_at at;
};
struct model_endpoint {
	const char *name; /* canonical; NULL: addr */
	struct addr addr;
	uint16_t port;    /* 0: the target of the service's port */
	uint32_t weight;  /* 1 unless written */
	struct model_at at;
};

struct model_strings   { struct model_string *v; size_t n, room; };
struct model_ranges    { struct model_range *v; size_t n, room; };
struct model_cidrs     { struct model_cidr *v; size_t n, room; };
struct model_hosts     { struct model_host *v; size_t n, room; };
struct model_ports     { struct model_port *v; size_t n, room; };
struct model_endpoints { struct model_endpoint *v; size_t n, room; };

/* model.c. Appends a zeroed element to one of the lists above and returns it. */
#define model_push(list) \
	(model_grow((void **)&(list)->v, &(list)->n, &(list)->room, sizeof(*(list)->v)), \
	 &(list)->v[(list)->n - 1])
void model_grow(void **v, size_t *n, size_t *room, size_t size);
const char *model_text(const char *s, size_t len); /* a copy that lives as long as the process */

#endif
