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
struct kernel_key {
	uint8_t b[SET_KEY_MAX], last[SET_KEY_MAX];
	bool end, has_last;
};
struct kernel_keys { struct kernel_key *v; size_t n, capacity; bool strange; };

/* What there is in our tables, of both families. */
struct kernel {
	unsigned present;               /* NFT_INET, NFT_NETDEV */
	uint32_t flags[2], owner[2];    /* of the tables: inet, netdev; the latter a port, or 0 */
	struct kernel_list chains;      /* struct nftnl_chain */
	struct kernel_list sets;        /* struct nftnl_set */
	struct kernel_list rules;       /* struct nftnl_rule, chain by chain in order */
	struct kernel_keys keys[SETS];  /* of the sets that are ours */
};

struct compare_result {
	uint32_t differences;
	unsigned tables;                /* which of our tables they are in */
	bool lockdown;                  /* that is what there is instead of these rules */
};
/* Gets each difference as a sentence. */
typedef void compare_say(const char *text);

/* say may be NULL. Sorts k->keys. */
struct compare_result compare_kernel(const struct ruleset *r, const struct bytecode *code,
	struct kernel *k, compare_say *say);

#endif
