/* SPDX-License-Identifier: MIT */
/* The kernel's tables held against the ruleset. */
#ifndef SLUICE_INIT_COMPARE_H
#define SLUICE_INIT_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "init/bytecode.h"
#include "init/ruleset.h"

struct kernel_list { void **v; size_t n, capacity; };
struct kernel_key { uint8_t b[16]; bool end; };
struct kernel_keys { struct kernel_key *v; size_t n, capacity; bool strange; };

/* What there is in our tables, of both families. */
struct kernel {
	unsigned present;               /* NFT_INET, NFT_NETDEV */
	uint32_t flags[2];              /* of the tables: inet, netdev */
	struct kernel_list chains;      /* struct nftnl_chain */
	struct kernel_list sets;        /* struct nftnl_set */
	struct kernel_list rules;       /* struct nftnl_rule, chain by chain in order */
	struct kernel_keys keys[SETS];  /* of the sets that are ours */
};

/*
 * Returns the number of differences, and prints each as a line on standard output if `say`. Sorts
 * k->keys.
 */
uint32_t compare_kernel(
	const struct ruleset *r, const struct bytecode *code, struct kernel *k, bool say);

#endif
