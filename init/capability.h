/* SPDX-License-Identifier: MIT */
/* Least privilege of a process that stays. */
#ifndef SLUICE_INIT_CAPABILITY_H
#define SLUICE_INIT_CAPABILITY_H

#include <stdbool.h>

/*
 * Keeps CAP_NET_ADMIN, and with `child` CAP_KILL in effect and, without effect for this process, what
 * a proxy that is started by it needs; of each what there was. No program that is executed gains
 * more. 0, or -1 with errno.
 */
int capability_drop(bool child);

#endif
