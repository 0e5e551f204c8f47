/* SPDX-License-Identifier: MIT */
/* A rule as the kernel's expressions. */
#ifndef SLUICE_INIT_BYTECODE_H
#define SLUICE_INIT_BYTECODE_H

#include "init/ruleset.h"

struct nftnl_rule;

/* One for each rule of the ruleset, without table and chain. */
struct bytecode {
	uint32_t n;
	struct nftnl_rule *rule[RULESET_RULES];
};

/* The program ends with EX_OSERR when memory is out. */
void bytecode_init(struct bytecode *b, const struct ruleset *r);
void bytecode_fini(struct bytecode *b);

#endif
