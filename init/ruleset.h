/* SPDX-License-Identifier: MIT */
/*
 * Which rules capture and contain a node's traffic, as data: bytecode.c and nft.c make netlink
 * messages of them, compare.c holds the kernel's against them, print.c and iptables.c make text.
 * Nothing else knows a rule.
 *
 * The chains, as a packet of this node meets them (scope pod or both):
 *   own       output       whose is it? The proxy's and exempt users' flows get a conntrack mark
 *   capture   output       TCP that may not pass is turned round to the proxy
 *   refuse    output       what may neither pass nor be captured is answered at once
 *   guard     postrouting  the promise: all but what may pass is dropped, whatever came before
 *   egress    netdev       only what the guard passed; stops packet sockets, which no hook sees
 *   pass      (called)     what may pass, asked by capture, refuse and guard alike
 *   count     (called)     a client's flows to UDP services, which are so many at most
 * and one that comes in; source, turn and forward are for what comes from inside, that is, from the
 * policy's `interfaces` (scope router or both):
 *   inbound   prerouting   flows opened from outside get a mark, so that their replies may pass
 *   source    prerouting   only addresses that are behind the interface
 *   turn      prerouting   as capture does, for what is to be forwarded
 *   divert    prerouting   (tproxy) captured packets meet the proxy's socket
 *   input     input        nobody speaks to the proxy's port but through capture
 *   forward   forward      the promise, for what is forwarded; refuses too
 */
#ifndef SLUICE_INIT_RULESET_H
#define SLUICE_INIT_RULESET_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "init/item.h"
#include "init/set.h"
#include "init/udp.h"
#include "rules/policy.h"

#define RULESET_TABLE "sluice"

/* Conntrack marks. Not secret: only who may change the rules can set them. */
#define RULESET_CT_OWN     0x736c7501u /* flows of the proxy and of exempt users and groups */
#define RULESET_CT_INBOUND 0x736c7502u /* flows that were opened from outside */
#define RULESET_CT_UDP     0x736c7503u /* flows to UDP services that were counted */
#define RULESET_CT_TOO_MANY 0x736c7504u /* one of them too many */

#define RULESET_NOBODY   UINT32_MAX /* (uid_t)-1: no socket has this owner */
#define RULESET_NO_REALM UINT32_MAX /* a realm is a byte or two */

enum { RULESET_ITEMS = 8, RULESET_RULES = 112 };
enum { RULESET_LINKS = 256 }; /* the kernel's limit for one chain */

enum chain_id {
	CHAIN_COUNT, CHAIN_PASS, /* before those that jump to them */
	CHAIN_GUARD, CHAIN_OWN, CHAIN_CAPTURE, CHAIN_REFUSE, CHAIN_FORWARD, CHAIN_INBOUND,
	CHAIN_SOURCE, CHAIN_TURN, CHAIN_DIVERT, CHAIN_INPUT, CHAIN_EGRESS, CHAIN_EGRESS_LOWER,
	CHAIN_EGRESS_UPPER, CHAIN_LOCKDOWN, CHAINS,
};
enum chain_type { CHAIN_FILTER, CHAIN_ROUTE, CHAIN_NAT };
enum { CHAIN_NO_HOOK = -1 };

struct rule { enum chain_id chain; const char *comment; struct item item[RULESET_ITEMS]; };
struct chain { bool used; const char *name; enum chain_type type; int hook, priority; bool drop; };
struct link {
	char name[IF_NAMESIZE];
	bool upper;  /* packets go on through another interface of this node */
	bool routed; /* those that are not a packet socket's have their route with them */
	char master[IF_NAMESIZE]; /* the bridge or the like that it is a port of, or empty */
};

struct ruleset {
	bool lockdown;
	const struct policy *policy;
	struct policy_capture capture;
	struct set sets[SETS];
	struct chain chains[CHAINS];
	bool has_udp; /* services with UDP ports */
	uint32_t n_rules, n_links;
	struct rule rules[RULESET_RULES];
	struct link links[RULESET_LINKS]; /* those with an egress chain */
	struct udp_list udp[2];           /* what UDP services have addresses for: IPv4, IPv6 */
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
/* Frees what ruleset_init() took, whether it succeeded or not. */
void ruleset_fini(struct ruleset *r);

/*
 * Closes everything but lo, with no policy: nothing leaves this node, nor is anything forwarded, not
 * even ARP. 0, or -1: more interfaces than there can be egress chains for.
 */
int ruleset_lockdown(struct ruleset *r, const struct link *links, uint32_t n_links, bool egress_hook);

bool chain_is_netdev(enum chain_id chain);
/* The egress chain of an interface. */
enum chain_id chain_of(const struct link *link);
#endif
