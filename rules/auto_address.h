/* SPDX-License-Identifier: MIT */
/* Synthetic addresses: what stands for a host whose traffic says no name (auto-address in sluice-policy(5)). */
#ifndef SLUICE_RULES_AUTO_ADDRESS_H
#define SLUICE_RULES_AUTO_ADDRESS_H

#include "rules/hosts.h"

/*
 * Gives each service that is used and takes them its addresses, and sets its auto_address; clears that of all others. The hosts
 * are those of the services that are used. An address follows from the name and, where two names meet, from the other names; so
 * the same services get the same ones. Findings: a service that was to have one and cannot; no address left.
 */
void auto_address_draw(struct source *s, const bool *used, const struct hosts *h);

#endif
