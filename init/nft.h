/* SPDX-License-Identifier: MIT */
/*
 * The ruleset as one netlink batch: the kernel takes all of it or nothing.
 *
 * Both functions return 0, or a sysexits code after a message that names the table, chain, set or
 * rule that the kernel refused: EX_NOPERM without CAP_NET_ADMIN, EX_UNAVAILABLE when the kernel
 * lacks what it takes.
 */
#ifndef SLUICE_INIT_NFT_H
#define SLUICE_INIT_NFT_H

#include <stdbool.h>

#include "init/bytecode.h"
#include "init/element.h"
#include "init/netlink.h"
#include "init/ruleset.h"

/* Which of our tables there are. */
enum { NFT_INET = 1, NFT_NETDEV = 2, NFT_BOTH = 3 };

/*
 * Flags of a table: only the socket that made it may change it; it outlives that socket, and may
 * then be taken over. Never the first alone: the table would vanish with the process, and everything
 * would be open. Linux 6.9; the header of an older one lacks the second.
 */
enum { NFT_OWNER = 2, NFT_PERSIST = 4, NFT_HELD = NFT_OWNER | NFT_PERSIST };

/*
 * Replaces those of our tables that are in `which` by the ruleset's, with these flags; `present` are
 * those that there are. EX_TEMPFAIL, without a message: by now there are others. (Deleting what is
 * not there would be no error, but costs a grace period of the kernel's, some 10 ms.) NFT_NO_OWNER,
 * without a message: the kernel does not know the flags.
 */
enum { NFT_NO_OWNER = -1 };
struct nft_request {
	unsigned which, present;
	uint32_t flags;
	const struct learned *learned; /* put into the new table's sets, if it has them; or NULL */
	uint64_t now;
};
int nft_apply(struct netlink *nl, const struct ruleset *r, const struct bytecode *code,
	const struct nft_request *q);
/* Takes over those of our tables that are in `which` and are nobody's, with what is in them. */
int nft_adopt(struct netlink *nl, unsigned which);
/* Deletes our tables that are in `present`. */
int nft_remove(struct netlink *nl, unsigned present);

/* NFPROTO_INET or NFPROTO_NETDEV. */
uint8_t nft_family(enum chain_id chain);
/* The type that nft shows a set's elements by (its enum datatypes). */
uint32_t nft_key_type(enum set_key key);
/* The kernel's flags of a set. */
uint32_t nft_set_flags(const struct set *set);

#endif
