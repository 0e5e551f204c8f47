/* SPDX-License-Identifier: MIT */
/* What a policy's UDP services have addresses for, as elements of a set. */
#ifndef SLUICE_INIT_UDP_H
#define SLUICE_INIT_UDP_H

#include <stdbool.h>
#include <stddef.h>

#include "init/set.h"
#include "rules/policy.h"

struct udp_list { struct element *v; size_t n, capacity; };

/* Whether any service has a UDP port. */
bool udp_is_used(const struct policy *p);
/* A service with a UDP port whose addresses come from the answers of name servers, or NULL. */
const char *udp_learned_service(const struct policy *p);
/*
 * Source . destination . port of every UDP service's addresses and endpoints, for one family: boxes
 * that do not overlap, which the kernel would not take. The program ends with EX_OSERR when memory
 * is out.
 */
void udp_list_init(struct udp_list *l, const struct policy *p, bool v4);
void udp_list_fini(struct udp_list *l);

#endif
