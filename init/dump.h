/* SPDX-License-Identifier: MIT */
/* What is installed, read back from the kernel and held against what should be. */
#ifndef SLUICE_INIT_DUMP_H
#define SLUICE_INIT_DUMP_H

#include <stdbool.h>

#include "init/bytecode.h"
#include "init/compare.h"
#include "init/netlink.h"
#include "init/ruleset.h"

/* Which of our tables there are, and whose they are. */
struct dump_tables {
	unsigned present;            /* NFT_INET, NFT_NETDEV */
	uint32_t flags[2], owner[2]; /* of the two, in this order */
};
/* 0 or an errno. */
int dump_tables(struct netlink *nl, struct dump_tables *t);

/* Compares our tables, chains, sets, elements and rules. 0 or an errno. */
int dump_compare(struct netlink *nl, const struct ruleset *r, const struct bytecode *code,
	compare_say *say, struct compare_result *result);

#endif
