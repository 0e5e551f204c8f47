/* SPDX-License-Identifier: MIT */
/* Downstream connections: the state machine. See the invariants at the top of conn.c. */
#ifndef SLUICE_TPROXY_CONN_H
#define SLUICE_TPROXY_CONN_H

#include "rules/route.h"
#include "tproxy/worker_state.h"

/* Accepts everything that waits on a listener. */
void conn_accept(struct worker *w, int listener);
/* Watches the listeners again, after a time in which nothing could be accepted. */
void conn_resume(struct worker *w);
/* Readiness of the client's or the upstream's descriptor; c is live. */
void conn_ready(struct worker *w, struct conn *c, uint32_t events);
void conn_up_ready(struct worker *w, struct conn *c, struct up *u, uint32_t events);
void conn_timeout(struct worker *w, struct conn *c);
/* Work left over from an earlier turn. */
void conn_again(struct worker *w, struct conn *c);
/* Ends it: closes both sides (reset: with RST) and gives everything back. Does not log. */
void conn_close(struct worker *w, struct conn *c, bool reset);
/* Asks for another turn of the loop. */
void conn_want_again(struct worker *w, struct conn *c);
/* The process ends before it does: logged, closed with RST. */
void conn_end(struct worker *w, struct conn *c);
/* Draining: idle ones end now. */
void conn_drain(struct worker *w, struct conn *c);

/*
 * conn_route.c: what is captured is decided by the services, what is asked of a gateway by its hosts
 * and routes.
 */
void conn_find_route(const struct worker *w, const struct conn *c, const struct route_query *q,
                     struct route *r);
/*
 * Takes over what was let through: service and key, and of a route one destination, drawn by
 * weight, whose host is then the service. False: nothing was let through; or no destination is
 * for this client, and r is denied.
 */
bool conn_take_route(struct worker *w, struct conn *c, struct route *r);

/* What comes first of the client's is awaited, or not even that. May end c. */
void conn_first(struct worker *w, struct conn *c);

/* accept.c calls these; each may end c. conn_tunnel() carries out a verdict. */
void conn_tunnel(struct worker *w, struct conn *c, struct route *r, const char *name, size_t len);
/* Refused before any upstream byte: the log says so, with the name asked for and why. Ends c. */
void conn_block(struct worker *w, struct conn *c, const char *why);
uint64_t conn_data(struct worker *w, const struct conn *c); /* what its events carry */

/* dial.c calls these. */
void conn_connected(struct worker *w, struct conn *c);
void conn_dial_failed(struct worker *w, struct conn *c, enum access_flag flag, const char *failure);

/*
 * The name the client asked for, as it will stand in the log. Exact keys of the policy cost
 * nothing, others a name slot (without one: no name in the log).
 */
void conn_set_name(struct worker *w, struct conn *c, const char *name, size_t len);
struct access_text conn_name(struct worker *w, const struct conn *c);
/* Fills what connections and requests have in common in a log record. */
void conn_describe(struct worker *w, const struct conn *c, struct access_record *r);
/* Counts it and puts it into the log. */
void conn_finish_record(struct worker *w, struct access_record *r);
/* The line of a tunnel, or of a connection that was never let through. */
void conn_log(struct worker *w, struct conn *c, enum access_flag flag, const char *failure,
              const char *termination);

#endif
