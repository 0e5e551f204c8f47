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

/* A connection's two ends. */
static inline struct end flow_down(struct conn *c)
{
	return (struct end){ c->fd, &c->io, c->tls };
}

static inline struct end flow_end(struct up *u)
{
	return (struct end){ u->fd, &u->io, u->tls };
}

static inline struct end flow_up(struct worker *w, const struct conn *c)
{
	return flow_end(up_at(w, c->up));
}

/* Moves at most *left bytes (UINT64_MAX: until the end), counting down. */
enum flow_result flow_pump(struct worker *w, struct flow *f, struct end from,
                           struct end to, uint64_t *left);
/*
 * Sends bytes of our own making after what f still holds; what the sink does not take is kept. 0,
 * or -1: the sink failed (errno) or no buffer was free (ENOBUFS).
 */
int flow_send(struct worker *w, struct flow *f, struct end to, const void *data, size_t len);
/* Sends what is left over. 1: nothing left; 0: the sink is full; -1: it failed. */
int flow_flush(struct worker *w, struct flow *f, struct end to);
static inline bool flow_empty(const struct flow *f) { return !f->len && !f->piped; }
/* The bytes it holds may have to wait long: see buffer_shrink(). */
void flow_shrink(struct worker *w, struct flow *f);
/* Gives buffer and pipe back; a pipe with bytes in it is closed. */
void flow_release(struct worker *w, struct flow *f);

uint32_t buffer_take(struct worker *w); /* NONE: all are out */
uint32_t buffer_take_for(struct worker *w, size_t len); /* a small one where that suffices */
/*
 * What waits for others and fits into a small buffer does not keep a large one while these are half
 * used up. Returns the buffer that now holds the first len bytes of i.
 */
uint32_t buffer_shrink(struct worker *w, uint32_t i, size_t len);
uint32_t buffer_grow(struct worker *w, uint32_t i, size_t len); /* the reverse; NONE: i stays */
bool buffer_scarce(const struct worker *w); /* the last are for what is under way */
/*
 * How much may be read when what it becomes may have to wait: 0: nothing now. At most want, and
 * what a small buffer can hold where the others are scarce.
 */
size_t buffer_limit(const struct worker *w, size_t want);
uint32_t buffer_take_spare(struct worker *w); /* for what only begins: NONE while few are left */
void buffer_give(struct worker *w, uint32_t i);

#endif
