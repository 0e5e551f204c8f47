/* SPDX-License-Identifier: MIT */
/*
 * Which rules capture and contain a node's traffic, as data: bytecode.c and nft.c make netlink
 * messages of them, compare.c holds the kernel's against them, print.c and iptables.c make text.
 * Nothing else knows a rule.
 *
 * The chains, as a packet of this node meets them (scope pod):
 *   own       output       whose is it? The proxy's and exempt users' flows get a conntrack mark
 *   capture   output       TCP that may not pass is turned round to the proxy
 *   refuse    output       what may neither pass nor be captured is answered at once
 *   guard     postrouting  the promise: all but what may pass is dropped, whatever came before
 *   egress    netdev       only what the guard passed; stops packet sockets, which no hook sees
 *   pass      (called)     what may pass, asked by capture, refuse and guard alike
 *   inbound   prerouting   flows opened from outside get a mark, so that their replies may pass
 *   divert    prerouting   (tproxy) captured packets, now on lo, meet the proxy's socket
 *   input     input        nobody speaks to the proxy's port but through capture
 */
#ifndef SLUICE_INIT_RULESET_H
#define SLUICE_INIT_RULESET_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "init/set.h"
#include "rules/policy.h"

#define RULESET_TABLE "sluice"

/* Conntrack marks. Not secret: only who may change the rules can set them. */
#define RULESET_CT_OWN     0x736c7501u /* flows of the proxy and of exempt users and groups */
#define RULESET_CT_INBOUND 0x736c7502u /* flows that were opened from outside */

#define RULESET_NOBODY UINT32_MAX /* (uid_t)-1: no socket has this owner */

enum { RULESET_ITEMS = 8, RULESET_RULES = 64 };
enum { RULESET_LINKS = 256 }; /* the kernel's limit for one chain */

enum chain_id {
	CHAIN_PASS, /* before those that jump to it */
	CHAIN_GUARD, CHAIN_OWN, CHAIN_CAPTURE, CHAIN_REFUSE, CHAIN_INBOUND, CHAIN_DIVERT,
	CHAIN_INPUT, CHAIN_EGRESS, CHAIN_EGRESS_UPPER, CHAIN_LOCKDOWN, CHAINS,
};
enum chain_type { CHAIN_FILTER, CHAIN_ROUTE, CHAIN_NAT };
enum { CHAIN_NO_HOOK = -1 };

/* In this order: what is known about the packet, conntrack, what is in the packet, statements. */
enum item_kind {
	ITEM_END = 0,
	/* matches; `not` goes with names and ITEM_L4 */
	ITEM_IIFNAME, ITEM_OIFNAME,          /* text */
	ITEM_OIFNAME_IN,                     /* value: enum set_id, as for every _IN */
	ITEM_MARK, ITEM_UID,                 /* value */
	ITEM_OWNED,                          /* sent by a process, not by the kernel itself */
	ITEM_UID_IN, ITEM_GID_IN,
	ITEM_CT_MARK,                        /* value */
	ITEM_CT_NEW, ITEM_CT_UNKNOWN,        /* the latter: invalid or untracked */
	ITEM_CT_ORIGINAL, ITEM_CT_REPLY, ITEM_CT_DNAT,
	ITEM_L4,                             /* value: IPPROTO_* */
	ITEM_TCP_SYN,                        /* of FIN, SYN, RST, ACK only SYN; after ITEM_L4 */
	ITEM_DPORT, ITEM_DPORT_IN,           /* value; after ITEM_L4 TCP or UDP */
	ITEM_DADDR4_IN, ITEM_DADDR6_IN,
	ITEM_ICMPV6_IN,
	ITEM_HOPLIMIT, ITEM_LINK_MULTICAST,  /* value; ff02::/16; after ITEM_ICMPV6_IN */
	ITEM_ARP,
	/* statements */
	ITEM_COUNTER,
	ITEM_SET_MARK, ITEM_SET_CT_MARK,     /* value */
	ITEM_TPROXY, ITEM_REDIRECT,          /* value: port */
	ITEM_REJECT_RESET, ITEM_REJECT_PORT, ITEM_REJECT_ADMIN,
	ITEM_ACCEPT, ITEM_DROP, ITEM_RETURN,
	ITEM_JUMP,                           /* value: enum chain_id */
	ITEM_KINDS,
};

struct item { enum item_kind kind; bool not; uint32_t value; const char *text; };
struct rule { enum chain_id chain; const char *comment; struct item item[RULESET_ITEMS]; };
struct chain { bool used; const char *name; enum chain_type type; int hook, priority; bool drop; };
struct link {
	char name[IF_NAMESIZE];
	bool upper; /* packets go on through another interface of this node */
};

struct ruleset {
	bool lockdown;
	const struct policy *policy;
	struct policy_capture capture;
	struct set sets[SETS];
	struct chain chains[CHAINS];
	uint32_t n_rules, n_links;
	struct rule rules[RULESET_RULES];
	struct link links[RULESET_LINKS]; /* those with an egress chain */
};

struct ruleset_config {
	uint32_t secret, uid;
	uint16_t port;
	bool egress_hook;
};

/*
 * links: every interface but lo. 0; or -1 when there are no rules for what the policy asks, and
 * *why says what. The policy must stay open as long as the ruleset is used.
 */
int ruleset_init(struct ruleset *r, const struct policy *p, const struct ruleset_config *config,
	const struct link *links, uint32_t n_links, const char **why);

/*
 * Closes everything but lo, with no policy: nothing leaves this node, nor is anything forwarded, not
 * even ARP. 0, or -1: more interfaces than there can be egress chains for.
 */
int ruleset_lockdown(struct ruleset *r, const struct link *links, uint32_t n_links, bool egress_hook);

bool chain_is_netdev(enum chain_id chain);
#endif
