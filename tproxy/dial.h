/* SPDX-License-Identifier: MIT */
/*
 * Reaching a service: from a decision to a connected upstream. Candidates come from the original
 * destination, the service's endpoints or the resolver; each passes the address rules before it is
 * dialled; two may race (RFC 8305). The outcome is one call of conn_connected() or
 * conn_dial_failed(), possibly before dial_start() returns: the caller must not touch the
 * connection afterwards.
 */
#ifndef SLUICE_TPROXY_DIAL_H
#define SLUICE_TPROXY_DIAL_H

#include "rules/gateway.h"
#include "rules/traffic.h"
#include "tproxy/worker_state.h"

/* The address rules: what is checked is what is dialled, or told to a client that asks for it. */
bool dial_allowed(const struct addr *a, bool allow_private);

/*
 * c->service, key and flags are set. name (canonical, may be NULL): what the client asked for;
 * looked up by resolution = dns or dynamic-dns when it is what the service was found by (c->key).
 */
void dial_start(struct worker *w, struct conn *c, const struct policy_port *port, const char *name,
                size_t len, bool pooled);
void dial_resolved(struct worker *w, struct conn *c, const struct resolve_answer *a);
/* u is UP_CONNECTING. */
void dial_ready(struct worker *w, struct conn *c, struct up *u, uint32_t events);
void dial_timeout(struct worker *w, struct conn *c);
/* What the policy says of connections to where it goes. False: it says nothing of it. */
bool dial_traffic(const struct worker *w, const struct conn *c, struct policy_traffic *t);
/* What came back on c->up, if there is one: a status, or 0: nothing, or not in time. */
void dial_report(struct worker *w, const struct conn *c, int status);
/* c->up has carried one more request. Whether it is to carry no other. */
bool dial_is_worn(struct worker *w, const struct conn *c);
void dial_cancel(struct worker *w, struct conn *c); /* gives everything back, calls nothing */

/* Between dial.c and dial_source.c. */

/* Whether it goes to a gateway, which is d then; else to a service, or to where the client wanted. */
bool dial_to_gateway(const struct worker *w, const struct conn *c, struct policy_destination *d);
/* Asked of each address at the moment it would be used. */
bool dial_candidate_allowed(struct worker *w, const struct conn *c, struct dial *d, uint8_t at);
void dial_begin(const struct worker *w, const struct conn *c, struct dial *d);
/*
 * Turns the next source of addresses into candidates. 1: there may be some; 0: waits for the
 * resolver; -1: no source is left.
 */
int dial_more(struct worker *w, struct conn *c, struct dial *d, const struct policy_port *port,
              const char *name, size_t len);
void dial_add_answer(struct worker *w, const struct conn *c, struct dial *d,
                     const struct resolve_answer *a, uint16_t port);
uint64_t dial_waiter(struct worker *w, const struct conn *c);

#endif
