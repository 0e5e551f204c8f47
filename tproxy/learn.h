/* SPDX-License-Identifier: MIT */
/*
 * UDP services that go by name: the addresses that such a name resolves to are handed to the holder
 * of the rules (sluice-init hold), which opens them for the service's clients. A worker hands on
 * what the stub is about to tell a client; the first worker also looks up exact names by itself, so
 * that their addresses stay open.
 */
#ifndef SLUICE_TPROXY_LEARN_H
#define SLUICE_TPROXY_LEARN_H

#include "rules/lookup.h"
#include "tproxy/loop.h"
#include "tproxy/resolve.h"

struct worker;

#define LEARN_SECONDS 3600 /* that an address stays open, at least */
#define LEARN_AGAIN_S 60   /* until the same addresses are handed on again */
#define LEARN_NAMES   512  /* that are looked up */
#define LEARN_MEMO    256
#define LEARN_WAITER  (UINT64_C(1) << 62) /* marks waiters at the resolver */

struct learn {
	int fd;               /* the holder's socket, or -1 */
	uint32_t sent, done;  /* orders; those that the holder has answered */
	int64_t retry_ms;     /* it is not looked for before */
	int64_t warned_ms;
	struct { uint32_t what; int64_t until_ms; } memo[LEARN_MEMO];
	/* Of the first worker. */
	struct timer timer;
	uint32_t names[LEARN_NAMES]; /* exact ones of such services: offsets in NAMES */
	int64_t due_ms[LEARN_NAMES];
	uint32_t n_names;
	uint32_t generation;  /* of the list: older answers do not count */
};

void learn_init(struct learn *l);
void learn_fini(struct learn *l);
/* A policy is in force, from now on. */
void learn_policy(struct worker *w);
/*
 * Called before anybody is told the answer to a name that a client may ask for. True: the holder is
 * at work on it, and will have done what it was told when learn.done reaches learn.sent.
 */
bool learn_answer(struct worker *w, const struct lookup *l, const struct resolve_answer *a);
void learn_ready(struct worker *w); /* the holder answers, or is gone */
void learn_resolved(struct worker *w, uint64_t waiter, const struct resolve_answer *a);
void learn_timeout(struct worker *w);
void learn_end(struct worker *w); /* nothing waits any more */

#endif
