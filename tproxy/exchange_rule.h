/* SPDX-License-Identifier: MIT */
/*
 * What a route says of a request: whether it is for it, what is changed of it and of its response,
 * how long it may take, and when it is tried again. Without a route none of these does anything.
 */
#ifndef SLUICE_TPROXY_EXCHANGE_RULE_H
#define SLUICE_TPROXY_EXCHANGE_RULE_H

#include "rules/http_rule.h"
#include "tproxy/exchange.h"

/*
 * The decision, with q->http filled in. False: routes go by a path that not all servers read alike;
 * then r says nothing.
 */
bool exchange_find_route(struct worker *w, struct conn *c, struct exchange *x,
                         struct route_query *q, struct route *r);
/* x goes by r->route: its name, and what it removes of the request. */
void exchange_take_rule(struct worker *w, struct conn *c, struct exchange *x,
                        const struct route *r);
/* Whether r->route answers instead of a server; and its answer. May end c. */
bool exchange_is_answered(const struct worker *w, const struct conn *c, const struct route *r);
void exchange_answer_rule(struct worker *w, struct conn *c, struct exchange *x,
                          const struct route *r);
/* An answer's head, and a route's body, in scratch2. Its length, or 0. */
size_t exchange_write_answer(struct worker *w, struct conn *c, struct exchange *x, int status,
                             bool close);

/* As http_request_write() and http_response_write(), with the route's changes. */
size_t exchange_write_request(struct worker *w, const struct conn *c, struct exchange *x, char *out,
                              size_t room);
size_t exchange_write_response(struct worker *w, const struct conn *c, const struct exchange *x,
                               const char *head, struct http_response *rs, bool close,
                               enum http_framing *promised, char *out, size_t room);

/* exchange_retry.c. The request is all there, or upstream has it all: what it may take now. */
void exchange_set_limits(struct worker *w, const struct conn *c, struct exchange *x);
/*
 * How long this may go on without progress, in ms. A client that has sent FIN may have closed for
 * good, and a body may be asked to come at a rate.
 */
uint32_t exchange_run_time(struct worker *w, const struct conn *c, const struct exchange *x);
/* ms, or less where the route's time is over sooner. */
uint32_t exchange_limit(const struct worker *w, const struct exchange *x, uint32_t ms);
/* Whether the route's time is over: for all of it, for this try. */
bool exchange_is_late(const struct worker *w, const struct exchange *x);
bool exchange_try_is_late(const struct worker *w, const struct exchange *x);
/*
 * What a try came to, by POLICY_RETRY_* and its status (0: no response). True: there is to be
 * another one, in exchange_pause() ms, for which x is ready; c->up is still what it was.
 */
bool exchange_tries_again(struct worker *w, struct conn *c, struct exchange *x, uint32_t cause,
                          uint16_t status);
uint32_t exchange_pause(struct worker *w, const struct exchange *x);
/* The flag of what failed at last. */
enum access_flag exchange_flag(const struct exchange *x, enum access_flag flag);

#endif
