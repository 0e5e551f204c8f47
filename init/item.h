/* SPDX-License-Identifier: MIT */
/* What rules are made of. */
#ifndef SLUICE_INIT_ITEM_H
#define SLUICE_INIT_ITEM_H

#include <stdbool.h>
#include <stdint.h>

/* In this order: what is known about the packet, conntrack, what is in the packet, statements. */
enum item_kind {
	ITEM_END = 0,
	/* matches; `not` goes with names, sets of names, and ITEM_L4 */
	ITEM_IIFNAME, ITEM_OIFNAME,          /* text */
	ITEM_IIFNAME_IN, ITEM_OIFNAME_IN,    /* value: enum set_id, as for every _IN */
	ITEM_FORWARDED,                      /* in postrouting: it came in somewhere (Linux 5.7) */
	ITEM_MARK, ITEM_UID,                 /* value */
	ITEM_OWNED,                          /* sent by a process, not by the kernel itself */
	ITEM_ROUTED,                         /* it has a route: no packet socket's has (netdev) */
	ITEM_UID_IN, ITEM_GID_IN,
	ITEM_CT_MARK,                        /* value */
	ITEM_CT_NEW, ITEM_CT_UNKNOWN,        /* the latter: invalid or untracked */
	ITEM_CT_ORIGINAL, ITEM_CT_REPLY, ITEM_CT_DNAT,
	ITEM_TO_LOCAL, ITEM_FROM_LOCAL,      /* to or from an address of this node */
	ITEM_SOURCE_ASTRAY,                  /* no route back through the interface it came by */
	ITEM_L4,                             /* value: IPPROTO_* */
	ITEM_TCP_SYN,                        /* of FIN, SYN, RST, ACK only SYN; after ITEM_L4 */
	ITEM_DPORT, ITEM_DPORT_IN,           /* value; after ITEM_L4 TCP or UDP */
	ITEM_DADDR4_IN, ITEM_DADDR6_IN,
	ITEM_SADDR6_NONE,                    /* :: */
	ITEM_UDP4_IN, ITEM_UDP6_IN,          /* source . destination . port */
	ITEM_ICMPV6_IN,
	ITEM_HOPLIMIT, ITEM_LINK_MULTICAST,  /* value; ff02::/16; after ITEM_ICMPV6_IN */
	ITEM_ARP,
	/* statements */
	ITEM_COUNTER,
	ITEM_COUNT_FLOWS4, ITEM_COUNT_FLOWS6, /* value: at most; more, and the rule ends here */
	ITEM_SET_MARK, ITEM_SET_CT_MARK,     /* value */
	ITEM_TPROXY, ITEM_REDIRECT,          /* value: port */
	ITEM_REJECT_RESET, ITEM_REJECT_PORT, ITEM_REJECT_ADMIN,
	ITEM_ACCEPT, ITEM_DROP, ITEM_RETURN,
	ITEM_JUMP,                           /* value: enum chain_id */
	ITEM_KINDS,
};

struct item { enum item_kind kind; bool not; uint32_t value; const char *text; };
/* Whether its value is a set. */
bool item_is_set(enum item_kind kind);

#endif
