/* SPDX-License-Identifier: MIT */
/* The network interfaces of this node. */
#ifndef SLUICE_INIT_LINK_H
#define SLUICE_INIT_LINK_H

#include "init/netlink.h"
#include "init/ruleset.h"

enum { LINK_MAX = 1024 };

struct link_list {
	uint32_t n;
	bool overflow;
	bool blind; /* no /proc says whether the kernel can tell routes: as if it could not */
	struct link link[LINK_MAX];
	struct { int index, lower, master; bool keeps; } of[LINK_MAX];
};

/* Every interface but lo. nl: NETLINK_ROUTE. 0 or an errno (E2BIG: more than LINK_MAX). */
int link_list_read(struct link_list *l, struct netlink *nl);

#endif
