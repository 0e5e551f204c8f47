/* SPDX-License-Identifier: MIT */
/* What is said to a gateway between connect() and the client's payload. */
#ifndef SLUICE_TPROXY_GREET_H
#define SLUICE_TPROXY_GREET_H

#include "tproxy/worker_state.h"

/* Whether something is, where c goes. Until it is over nothing of the client's may be sent. */
bool greet_needed(const struct worker *w, const struct conn *c);
/* Whether what is said is for this client or name alone, so that no kept connection may serve. */
bool greet_single(const struct worker *w, const struct conn *c);
/*
 * u is connected. 1: it is over, payload may flow; 0: until u is readable; -1: it failed, and
 * d->why says how.
 */
int greet_begin(struct worker *w, struct conn *c, struct dial *d, struct up *u);
int greet_continue(struct worker *w, struct conn *c, struct dial *d, struct up *u);

#endif
