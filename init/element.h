/* SPDX-License-Identifier: MIT */
/* Learned destinations as elements of the kernel's sets. */
#ifndef SLUICE_INIT_ELEMENT_H
#define SLUICE_INIT_ELEMENT_H

#include "init/learned.h"
#include "init/netlink.h"

/*
 * The sets, in table inet: clients . destination . port, with intervals and time-outs; which of the
 * two an entry belongs to.
 */
#define ELEMENT_SET4 "udp_ipv4"
#define ELEMENT_SET6 "udp_ipv6"
bool element_is_v4(const struct learned_entry *e);

/* Bytes of one in a message at most. */
enum { ELEMENT_MAX = 160 };
/* Puts one into a message's list of elements, with what is left of its time at `now`. */
void element_put(struct nlmsghdr *nlh, const struct learned_entry *e, uint64_t now);

/*
 * One transaction. 0 or an errno: ENOENT: there is no such set, or what was to go was gone already;
 * EEXIST, ENOTEMPTY: the policy's own elements cover some of it.
 */
int element_change(struct netlink *nl, const struct learned_change *c, uint64_t now);

#endif
