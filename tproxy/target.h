/* SPDX-License-Identifier: MIT */
/* Between balance.c (the choice) and target.c (the state that it goes by). */
#ifndef SLUICE_TPROXY_TARGET_H
#define SLUICE_TPROXY_TARGET_H

#include "tproxy/balance.h"

#define TARGET_OUTAGE 3 /* failures in a row after which one connection at a time tries */

/* A number's bits spread over all of another's. */
uint64_t target_mix(uint64_t h);
uint64_t target_random(struct balance *b);

struct target *target_find(const struct balance *b, uint64_t key);
/* The same, begun where there is none. NULL: the table is full of those in use. */
struct target *target_take(struct balance *b, uint64_t key, int64_t now_ms);
/* Carries outlier detection on to now. */
bool target_ejected(struct target *t, const struct policy_traffic *r, int64_t now_ms);

#endif
