/* SPDX-License-Identifier: MIT */
/* A compiled policy as source again. */
#ifndef SLUICE_RULES_SHOW_H
#define SLUICE_RULES_SHOW_H

#include <stdio.h>

#include "rules/policy.h"

/*
 * Writes the policy as canonical INI: services by name, lists sorted, comments none but the node's
 * name where it is not "mesh". Compiling that for the same node gives the same bytes. 0, or -1 with
 * errno: writing failed, or no memory.
 */
int show_policy(const struct policy *p, FILE *out);

#endif
