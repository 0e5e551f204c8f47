/* SPDX-License-Identifier: MIT */
/* Between worker.c (one worker) and worker_pool.c (all of them, seen from the control thread). */
#ifndef SLUICE_TPROXY_WORKER_POOL_H
#define SLUICE_TPROXY_WORKER_POOL_H

#include "tproxy/worker_state.h"

void *worker_run(void *worker); /* the thread */
void worker_resolved(void *worker, uint64_t waiter, const struct resolve_answer *a);

/*
 * shared_policy.c: a policy with one reference; sink is taken from like when it is the same. NULL: no
 * memory, nothing is taken over.
 */
struct shared_policy *shared_policy_new(struct policy *policy, struct secure_set *secure,
                                        struct access_sink *sink, struct shared_policy *like);
void shared_policy_drop(struct shared_policy *p); /* closes it with the last reference */
void shared_sink_drop(struct shared_sink *s);
void workers_signal(struct workers *all);         /* wakes the control thread */

struct worker *workers_at(struct workers *all, unsigned i);
void worker_wake(struct worker *w);               /* it has mail */

/* A listing of connections that the control thread waits for. */
void dump_answer(struct worker *w, struct dump *d);

#endif
