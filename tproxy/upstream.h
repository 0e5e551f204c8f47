/* SPDX-License-Identifier: MIT */
/* Upstream connections: opened, attached to a downstream one, kept alive between requests. */
#ifndef SLUICE_TPROXY_UPSTREAM_H
#define SLUICE_TPROXY_UPSTREAM_H

#include "tproxy/worker_state.h"

/*
 * Begins a connection for conn. Its index, or NONE with errno: ENOBUFS (table full), EADDRINUSE
 * (the destination is an address of this machine), or what the kernel says. The socket is not yet
 * watched: see up_watch().
 */
uint32_t up_open(struct worker *w, uint32_t conn, const struct addr *a, uint16_t port);
/*
 * A socket that is being connected, with all that up_open() sees to but for the table; or -1, as
 * there.
 */
int up_connect(struct worker *w, const struct addr *a, uint16_t port);
/* Whose state a connection counts in, from its beginning; TARGET_NONE: nobody's. */
void up_count(struct worker *w, uint32_t i, uint16_t endpoint, uint16_t address);
void up_turn(struct worker *w, struct up *u, enum up_state state);
/* Registers it; for writing too while it is not known to be connected. 0 or -1. */
int up_watch(struct worker *w, uint32_t i, bool connected);
void up_close(struct worker *w, uint32_t i, bool reset);

/* Keeps a connection whose exchange is over for the next one; closes it when it can't be kept. */
void up_keep(struct worker *w, uint32_t i);
/* What a kept connection must be: address, port, and who is there (secure_peer()). */
struct up_key {
	struct addr addr;
	uint16_t port;
	const struct tls_config *config; /* NULL: in the clear */
	uint32_t peer;                   /* NONE with config NULL */
};
/* Whether one is kept. */
bool up_has_idle(struct worker *w, const struct up_key *k);
/* A kept one, now attached to conn; or NONE. */
uint32_t up_reuse(struct worker *w, uint32_t conn, const struct up_key *k);
/* An idle connection became readable (it ended, or spoke out of turn) or timed out. */
void up_expire(struct worker *w, struct up *u);
void up_close_idle(struct worker *w); /* all of them */

/* EPOLLOUT is only asked for once a descriptor was full. */
void io_events(uint8_t *io, uint32_t events);
void io_arm(struct worker *w, int fd, uint8_t *io, uint64_t data);
/* close(2) with RST instead of FIN. */
void fd_reset(int fd);

#endif
