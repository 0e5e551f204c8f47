/* SPDX-License-Identifier: MIT */
/* What commands begin with: the policy, the state directory, netlink, and what is installed. */
#ifndef SLUICE_INIT_SESSION_H
#define SLUICE_INIT_SESSION_H

#include "init/bytecode.h"
#include "init/dump.h"
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
	const struct learned *learned; /* what outlives the tables, or NULL */
};
extern struct session session;

/* What there is in the kernel. */
struct present {
	struct dump_tables tables;
	struct compare_result wrong;   /* with the tables */
	unsigned routes, ours;         /* ROUTE_*: that serve, and that are ours */
};

/* All of these: 0, or a sysexits code after a message. */

/* Opens rtnetlink and, if `filter`, nf_tables. */
int session_open(struct session *s, bool filter);
/* Opens the policy. */
int session_policy(struct session *s, const struct options *o);
/* Opens the policy, reads the state, opens netlink and makes the rules that there should be. */
int session_begin(struct session *s, const struct options *o, bool filter);
/* The rules that there should be, from the policy and the interfaces in s->links. */
int session_build(struct session *s, const struct options *o, const struct policy *policy);
/* Reads what there is. */
int session_read(struct session *s, struct present *p);
/* And how it differs from what should be; say may be NULL. */
int session_compare(struct session *s, struct present *p, compare_say *say);
/*
 * Puts right what session_compare found: what is as it should be stays untouched. flags: NFT_HELD
 * makes the tables the process's own, or 0. NFT_NO_OWNER: see init/nft.h.
 */
int session_apply(struct session *s, struct present *p, uint32_t flags);
/* Says that something could not be read, for an errno. */
int session_complain(const char *what, int err);

/* The routing that the policy's method needs. */
unsigned session_routes(const struct session *s);
/* That the tables are another process's: EX_NOPERM after a message that names it, or 0. */
int session_foreign(const struct session *s, const struct present *p);

#endif
