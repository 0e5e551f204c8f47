/* SPDX-License-Identifier: MIT */
/*
 * Policy routing for method = tproxy: marked packets are delivered to this node, through lo,
 * whatever their address: `ip rule fwmark CAPTURE_MARK lookup 133` and `ip route local default dev
 * lo table 133`, for IPv4 and, where lo has it, IPv6.
 */
#ifndef SLUICE_INIT_ROUTE_H
#define SLUICE_INIT_ROUTE_H

#include <stdbool.h>

#include "init/netlink.h"

enum { ROUTE_PROTOCOL = 133 }; /* says whose they are: `proto 133` */

/* Bits: what there is, what is missing. */
enum { ROUTE_RULE4 = 1, ROUTE_ROUTE4 = 2, ROUTE_RULE6 = 4, ROUTE_ROUTE6 = 8 };

/* What tproxy needs on this node. */
unsigned route_needed(void);
/*
 * What there is that serves, whoever added it, and what of ours there is, whether it is needed or
 * not. 0 or an errno. nl: NETLINK_ROUTE.
 */
int route_read(struct netlink *nl, unsigned *present, unsigned *ours);
/* Adds what is set in `missing`. 0, or a sysexits code after a message. */
int route_add(struct netlink *nl, unsigned missing);
/* Deletes what is set in `ours`. The same. */
int route_delete(struct netlink *nl, unsigned ours);
/* "ip rule", "ip -6 route", ... for one bit. */
const char *route_name(unsigned bit);

#endif
