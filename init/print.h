/* SPDX-License-Identifier: MIT */
/* The rules as text for other tools, on standard output. */
#ifndef SLUICE_INIT_PRINT_H
#define SLUICE_INIT_PRINT_H

#include <stdio.h>

#include "init/ruleset.h"

/* An interface whose name no tool would read back from text, or NULL. */
const char *print_unfit(const struct ruleset *r);

/* For nft -f: replaces our tables by the ruleset, as nft_apply does. */
void print_nft(const struct ruleset *r);
/*
 * For iptables-restore --noflush (v4) or ip6tables-restore --noflush, as far as they can say it; in
 * the words of iptables-save, so that save.h can hold one against the other.
 */
void print_iptables(FILE *out, const struct ruleset *r, bool v4);
/* As comments: the ip(8) commands that method = tproxy needs besides. */
void print_routes(const struct ruleset *r, bool v4, bool v6);

#endif
