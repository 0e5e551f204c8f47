/* SPDX-License-Identifier: MIT */
/* Destinations of UDP services that the proxy learned, for as long as they may be used. */
#ifndef SLUICE_INIT_LEARNED_H
#define SLUICE_INIT_LEARNED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/addr.h"

/* All addresses of one are of one family. */
struct learned_entry {
	struct addr first, last;  /* the clients that may */
	struct addr destination;
	uint16_t port;
	uint64_t until;           /* ms of the monotonic clock */
};

enum { LEARNED_MAX = 4096, LEARNED_SWAP = 16 };
struct learned {
	size_t n;
	struct learned_entry entry[LEARNED_MAX];
};

/* What one entry means for those that there are: at most LEARNED_SWAP go, and one comes, or none. */
struct learned_change {
	size_t n_gone;
	struct learned_entry gone[LEARNED_SWAP];
	bool comes;
	struct learned_entry entry;
};

/*
 * Works out what has to change for e to hold, at the time `now`; changes nothing. False: there is no
 * room. Kernel sets take no overlapping ranges: what another entry covers for as long already need
 * not come, and narrower ones than e go.
 */
bool learned_plan(struct learned *l, const struct learned_entry *e, uint64_t now,
	struct learned_change *c);
/* Does it. */
void learned_commit(struct learned *l, const struct learned_change *c);

#endif
