/* SPDX-License-Identifier: MIT */
/* What commands begin with: the policy, the state directory, netlink, and what is installed. */
#ifndef SLUICE_INIT_SESSION_H
#define SLUICE_INIT_SESSION_H

#include "init/bytecode.h"
#include "init/link.h"
#include "init/netlink.h"
#include "init/option.h"
#include "init/ruleset.h"
#include "init/state.h"

/* Exit status of `check`, beside those of sysexits.h. */
enum { EX_DIFFERENT = 1 };

/* Too large for a small board's stack; a process has one. */
struct session {
	struct netlink route, filter;
	struct link_list links;
	struct policy policy;
	struct ruleset ruleset;
	struct bytecode bytecode;
	struct state state;
};
extern struct session session;

/* What there is in the kernel. */
struct present {
	unsigned tables, routes, ours; /* NFT_*; ROUTE_*: that serve, and that are ours */
	uint32_t differences;          /* of the tables */
};

/* All of these: 0, or a sysexits code after a message. */

/* Opens rtnetlink and, if `filter`, nf_tables. */
int session_open(struct session *s, bool filter);
/* Opens the policy, reads the state, opens netlink and makes the rules that there should be. */
int session_begin(struct session *s, const struct options *o, bool filter);
/*
 * Reads what there is, and, if `compare`, how it differs from what should be, said on standard
 * output if `say`.
 */
int session_read(struct session *s, struct present *p, bool compare, bool say);

/* The routing that the policy's method needs. */
unsigned session_routes(const struct session *s);

#endif
