/* SPDX-License-Identifier: MIT */
/* What is installed, read back from the kernel and held against what should be. */
#ifndef SLUICE_INIT_DUMP_H
#define SLUICE_INIT_DUMP_H

#include <stdbool.h>

#include "init/bytecode.h"
#include "init/netlink.h"
#include "init/ruleset.h"

/* Which of our tables there are (NFT_INET, NFT_NETDEV). 0 or an errno. */
int dump_tables(struct netlink *nl, unsigned *present);

/*
 * Compares our tables, chains, sets, elements and rules. Prints each difference as a line on
 * standard output if `say`. Returns 0 with the number of differences, or an errno.
 */
int dump_compare(struct netlink *nl, const struct ruleset *r, const struct bytecode *code, bool say,
	uint32_t *differences);

#endif
