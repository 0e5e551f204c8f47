/* SPDX-License-Identifier: MIT */
/*
 * How many connections each client address has, so that none takes the whole table from the
 * others. One table per worker; it does not exist where a client may have as many as there are.
 */
#ifndef SLUICE_TPROXY_CLIENT_H
#define SLUICE_TPROXY_CLIENT_H

#include <stdbool.h>

#include "rules/addr.h"
#include "tproxy/slab.h"

#define CLIENT_BUCKETS 1024u

struct client {
	uint32_t link;  /* of the slab */
	uint32_t next;  /* in its bucket, plus 1 */
	uint32_t conns;
	struct addr addr;
};

struct client_table {
	struct slab entries;
	uint32_t buckets[CLIENT_BUCKETS]; /* index of the first plus 1 */
	uint32_t share;                   /* connections of one; 0: not counted */
	uint64_t key;                     /* secret, against addresses made to collide */
};

/* For at most max connections, share of them for each client. 0, or -1 with errno. */
int client_init(struct client_table *t, uint32_t max, uint32_t share);
void client_fini(struct client_table *t);
/* One more connection of a: false when it has its share. *index is for client_leave(). */
bool client_enter(struct client_table *t, const struct addr *a, uint32_t *index);
void client_leave(struct client_table *t, uint32_t index);

#endif
