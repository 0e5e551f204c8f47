/* SPDX-License-Identifier: MIT */
/*
 * Which rules capture and contain a node's traffic, as data: nft.c makes netlink messages of them, dump.c
 * compares them with the kernel's, print.c makes text. Nothing else knows a rule.
 *
 * How a packet of this node goes (scope pod):
 *   own      output      who sent it? The proxy's and exempt users' flows get a conntrack mark
 *   capture  output      TCP that may not pass is turned round to the proxy (by mark and route, or by NAT)
 *   refuse   output      what may neither pass nor be captured is answered with a reset or an ICMP error
 *   guard    postrouting the promise: only what may pass leaves; all else is dropped, whatever came before
 *   egress   netdev      only what the guard passed leaves; stops packet sockets, which see no other hook
 *   pass     (called)    what may pass, asked by capture, refuse and guard alike
 *   inbound  prerouting  flows that were opened from outside get a mark, so that their replies may pass
 *   divert   prerouting  (tproxy) captured packets, now on lo, meet the proxy's socket
 *   input    input       nobody speaks to the proxy's port but through capture
 */
#ifndef SLUICE_INIT_RULESET_H
#define SLUICE_INIT_RULESET_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "rules/policy.h"

#define RULESET_TABLE "sluice"

/* Conntrack marks. Not secret: only who may change the rules can set them. */
#define RULESET_CT_OWN     0x736c7501u /* flows of the proxy and of exempt users and groups */
#define RULESET_CT_INBOUND 0x736c7502u /* flows that were opened from outside */

#define RULESET_NOBODY UINT32_MAX /* (uid_t)-1: no socket has this owner */

enum { RULESET_ITEMS = 8, RULESET_RULES = 64, RULESET_LINKS = 256 /* the kernel's limit per chain */ };

enum set_id {
	SET_PORTS, SET_EXCLUDE_PORTS, SET_EXCLUDE_IPV4, SET_EXCLUDE_IPV6, SET_EXCLUDE_INTERFACES,
	SET_EXEMPT_UIDS, SET_EXEMPT_GIDS, SET_MLD, SET_ND, SETS,
};
enum set_key { SET_KEY_PORT, SET_KEY_IPV4, SET_KEY_IPV6, SET_KEY_IFNAME, SET_KEY_UID, SET_KEY_GID, SET_KEY_ICMPV6, SET_KEYS };

enum chain_id {
	CHAIN_PASS /* before those that jump to it */, CHAIN_GUARD, CHAIN_OWN, CHAIN_CAPTURE, CHAIN_REFUSE, CHAIN_INBOUND, CHAIN_DIVERT, CHAIN_INPUT,
	CHAIN_EGRESS, CHAIN_EGRESS_UPPER, CHAINS,
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
	ITEM_OWNED,                          /* sent by a process's socket, not by the kernel itself */
	ITEM_UID_IN, ITEM_GID_IN,
	ITEM_CT_MARK, ITEM_CT_NEW, ITEM_CT_UNKNOWN /* invalid or untracked */,
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
struct set { bool used, interval; const char *name; enum set_key key; };
struct link { char name[IF_NAMESIZE]; bool upper; /* packets go on through another interface of this node */ };

struct ruleset {
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
 * links: every interface but lo. 0; or -1 when this program has no rules for what the policy asks, and *why says what.
 * The policy must stay open as long as the ruleset is used.
 */
int ruleset_init(struct ruleset *r, const struct policy *p, const struct ruleset_config *config,
                 const struct link *links, uint32_t n_links, const char **why);

bool chain_is_netdev(enum chain_id chain);
/* Elements of a set, in order, disjoint and not adjacent; start with *at = 0, false: no more. Keys are in network byte order, padded with zeros. */
struct element { uint8_t first[16], last[16]; };
bool set_next(const struct ruleset *r, enum set_id set, uint32_t *at, struct element *e);
uint32_t set_key_len(enum set_key key);
/* "80", "8000-9000", "10.0.0.0/8", "eth0": as nft writes it, but without quotes. */
enum { SET_TEXT = 2 * 48 };
void set_format(enum set_key key, const struct element *e, char out[static SET_TEXT]);

#endif
