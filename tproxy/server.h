/* SPDX-License-Identifier: MIT */
/*
 * What stands before a client's first bytes at a gateway's server: the PROXY header of those who
 * have to begin with one, and TLS that the server ends. Each of these may end c.
 */
#ifndef SLUICE_TPROXY_SERVER_H
#define SLUICE_TPROXY_SERVER_H

#include "tproxy/worker_state.h"

void server_begin(struct worker *w, struct conn *c);
void server_turn(struct worker *w, struct conn *c);
void server_timeout(struct worker *w, struct conn *c);

#endif
