/* SPDX-License-Identifier: MIT */
/*
 * The ruleset through the board's own iptables programs, for kernels without nf_tables: one
 * transaction for each table of each family, the one that is to close first, IPv6 before IPv4.
 *
 * All functions return 0, or a sysexits code after a message: EX_UNAVAILABLE where a program or
 * something in the kernel is missing, EX_NOPERM, EX_TEMPFAIL where others keep changing the rules.
 */
#ifndef SLUICE_INIT_XTABLES_H
#define SLUICE_INIT_XTABLES_H

#include <stdbool.h>
#include <stdint.h>

#include "init/ruleset.h"

/* What these programs cannot do of the ruleset, unless its policy accepts that; or NULL. */
const char *xtables_refusal(const struct ruleset *r);

/* The number of differences between what is installed and the ruleset; printed if `say`. */
int xtables_compare(const struct ruleset *r, bool say, uint32_t *differences);
/*
 * Installs what differs. When it fails nothing is open that was closed before: families and tables
 * that were done stay.
 */
int xtables_apply(const struct ruleset *r);
/*
 * Deletes our chains, and the rules that lead to them, from whatever program shows them. One of a
 * family's programs must be able to, if it has any.
 */
int xtables_remove(void);
#endif
