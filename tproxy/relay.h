/* SPDX-License-Identifier: MIT */
/*
 * Moving payload in one direction. No bytes are lost: a leftover goes into a pooled buffer; where
 * these run short, bytes stay in the source's socket until the sink takes them, so that slow
 * readers who hold every buffer stop nobody else. Bulk goes through a pooled pipe with splice(2),
 * held only while bytes are in it.
 */
#ifndef SLUICE_TPROXY_RELAY_H
#define SLUICE_TPROXY_RELAY_H

#include "tproxy/worker_state.h"

enum flow_result {
	FLOW_WAIT = 0,  /* until a descriptor is ready */
	FLOW_DONE,      /* the source ended, or *left is 0, and the sink took everything */
	FLOW_BUDGET,    /* more could be done now; others first */
	FLOW_SOURCE_FAILED, /* errno */
	FLOW_SINK_FAILED,   /* errno */
};

struct flow_end { int fd; uint8_t *io; };

/* A connection's two ends. */
static inline struct flow_end flow_down(struct conn *c)
{
	return (struct flow_end){ c->fd, &c->io };
}

static inline struct flow_end flow_up(struct worker *w, const struct conn *c)
{
	struct up *u = up_at(w, c->up);
	return (struct flow_end){ u->fd, &u->io };
}

/* Moves at most *left bytes (UINT64_MAX: until the end), counting down. */
enum flow_result flow_pump(struct worker *w, struct flow *f, struct flow_end from,
                           struct flow_end to, uint64_t *left);
/*
 * Sends bytes of our own making after what f still holds; what the sink does not take is kept. 0,
 * or -1: the sink failed (errno) or no buffer was free (ENOBUFS).
 */
int flow_send(struct worker *w, struct flow *f, struct flow_end to, const void *data, size_t len);
/* Sends what is left over. 1: nothing left; 0: the sink is full; -1: it failed. */
int flow_flush(struct worker *w, struct flow *f, struct flow_end to);
static inline bool flow_empty(const struct flow *f) { return !f->len && !f->piped; }
/* Gives buffer and pipe back; a pipe with bytes in it is closed. */
void flow_release(struct worker *w, struct flow *f);

uint32_t buffer_take(struct worker *w); /* NONE: all are out */
uint32_t buffer_take_spare(struct worker *w); /* for what only begins: NONE while few are left */
void buffer_give(struct worker *w, uint32_t i);

#endif
