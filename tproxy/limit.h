/* SPDX-License-Identifier: MIT */
/* What memory the tables may take with these options: the promise that a device is planned with. */
#ifndef SLUICE_TPROXY_LIMIT_H
#define SLUICE_TPROXY_LIMIT_H

#include "tproxy/worker.h"

/* Prints a line for each table, and the total. Returns an exit status. */
int limit_print(const struct workers_config *c, const struct policy *p);

#endif
