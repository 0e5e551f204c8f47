/* SPDX-License-Identifier: MIT */
/* Other tables' chains that see packets before ours. */
#ifndef SLUICE_INIT_FOREIGN_H
#define SLUICE_INIT_FOREIGN_H

#include "init/netlink.h"

/*
 * They cannot let out what ours drop, since a packet must pass every chain; but with notrack, nat or
 * marks they can keep it from being captured. Hands each to say, as "ip raw output". Returns how
 * many there are, or a negative errno.
 */
int foreign_list(struct netlink *nl, void (*say)(const char *text));
/* Says on standard error how many there are, when that is another number than last time. */
void foreign_warn(struct netlink *nl);

#endif
