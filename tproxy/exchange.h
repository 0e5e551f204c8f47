/* SPDX-License-Identifier: MIT */
/*
 * HTTP on a connection: one exchange is one request and its response. Heads are read whole,
 * checked, and written anew; bodies are passed on with framing of our own. A request is decided
 * alone: what an earlier one on the connection was allowed says nothing about it.
 */
#ifndef SLUICE_TPROXY_EXCHANGE_H
#define SLUICE_TPROXY_EXCHANGE_H

#include "rules/route.h"
#include "tproxy/http.h"
#include "tproxy/worker_state.h"

enum exchange_phase {
	EXCHANGE_HEAD = 0, /* the request head is being read */
	EXCHANGE_DIAL,     /* its upstream is being reached; without conn.dial: soon, once more */
	EXCHANGE_RUN,      /* bodies and the response */
	EXCHANGE_DISCARD,  /* answered by us; the rest of its body is thrown away */
};

/* What still has to come of a body, and how the other side will see it. */
struct exchange_body {
	enum http_framing framing; /* as it arrives */
	enum http_framing promised;/* as it leaves */
	uint64_t left;             /* LENGTH */
	uint64_t bytes;            /* payload so far */
	struct http_chunked chunked;
	bool done;
};

#define EXCHANGE_AVOIDED 4

struct exchange {
	uint32_t link;
	uint32_t in;               /* buffer: the request head, then what came behind it */
	uint32_t in_len, head_len; /* bytes in it; of them the head */
	uint32_t body_at;          /* first byte behind the head not yet passed on */
	uint32_t rs_buf, rs_len;   /* an incomplete response head */
	size_t scanned, rs_scanned;
	int64_t start_ms, first_byte_ms; /* monotonic; first_byte 0: none yet */
	enum exchange_phase phase;
	uint8_t interim;           /* 1xx responses passed on */
	uint16_t status;
	bool close_client, reusable, head_done, direct;
	bool head_sent;            /* the request head is on its way */
	bool upgrade;              /* WebSocket is allowed and asked for */
	bool no_alt_svc;           /* the service strips it */
	bool parsed;               /* rq is valid as far as the log needs it */
	const char *route_name;
	uint32_t route;            /* that it goes by (policy_route()), or NONE */
	int64_t deadline_ms, try_ms; /* the route's: of all of it, of this try; 0: none */
	uint8_t tries;             /* besides the first */
	bool exhausted;            /* there would be one more, but for the route's number */
	bool answered;             /* by the route */
	uint8_t n_avoided;
	uint16_t avoided[EXCHANGE_AVOIDED]; /* up.place of earlier tries */
	struct policy_port port;
	struct http_request rq;
	struct exchange_body rq_body, rs_body;
};

/* c's first bytes look like HTTP; they are in c->flow[UPWARD]'s buffer. */
void exchange_adopt(struct worker *w, struct conn *c);
/* Goes on with whatever can be done; c may be gone afterwards. */
void exchange_turn(struct worker *w, struct conn *c);
void exchange_connected(struct worker *w, struct conn *c);
void exchange_dial_failed(struct worker *w, struct conn *c, enum access_flag flag,
                          const char *failure);
void exchange_timeout(struct worker *w, struct conn *c);
/* The connection ends in the middle: logs the exchange. */
void exchange_abort(struct worker *w, struct conn *c, enum access_flag flag,
                    const char *termination);
/* exchange_log.c: its line, once. The connection's flows count anew. */
void exchange_log(struct worker *w, struct conn *c, struct exchange *x, enum access_flag flag,
                  const char *details, const char *failure, const char *termination);
/* An upgraded connection has ended. */
void exchange_log_upgraded(struct worker *w, struct conn *c, enum access_flag flag,
                           const char *termination);
void exchange_free(struct worker *w, struct conn *c);

/* Between exchange.c and its parts. */

static inline struct exchange *exchange_of(struct worker *w, const struct conn *c)
{
	return slab_at(&w->exchanges, c->exchange);
}

static inline char *exchange_bytes(struct worker *w, const struct exchange *x)
{
	return (char *)buffer_at(w, x->in);
}

/* False: none is free. */
bool exchange_take(struct worker *w, struct conn *c, uint32_t in, uint32_t in_len);
/* A direct response, logged; the connection is kept where that is safe. May end c. */
void exchange_answer(struct worker *w, struct conn *c, struct exchange *x, int status,
                     enum access_flag flag, const char *details, const char *failure,
                     const char *termination);

/* exchange_head.c. Whether a head is whole, or refused already; *scanned begins at 0. */
bool exchange_head_whole(const char *head, size_t len, size_t *scanned);
/* Both may end c. */
void exchange_read_head(struct worker *w, struct conn *c, struct exchange *x);
/* Between requests: a readable client needs an exchange again. False: none now, c may be gone. */
bool exchange_begin(struct worker *w, struct conn *c);

enum body_result {
	BODY_WAIT = 0,      /* for a descriptor */
	BODY_DONE,
	BODY_AGAIN,         /* more could be done now, or a buffer is missing */
	BODY_DOWN_FAILED,   /* the client's side broke */
	BODY_UP_FAILED,     /* the upstream's side broke */
	BODY_DOWN_INVALID,  /* the client's framing is wrong */
	BODY_UP_INVALID,    /* the upstream's is, or it ended too early */
	BODY_RETRY,         /* a kept connection was already over; nothing was answered */
	BODY_TRY_AGAIN,     /* x->status is one that the route has tried again */
	BODY_TOO_LARGE,     /* the request's head, with what the route adds */
};

/* exchange_request.c: the head to upstream, then the body. */
enum body_result exchange_send_head(struct worker *w, struct conn *c, struct exchange *x);
/*
 * For dial.c: a connection that may be open already is tried with the head of a request without a
 * body. 1: sent; 0: not open yet; -1: errno.
 */
int exchange_send_early(struct worker *w, struct conn *c, struct up *u);
enum body_result exchange_pump_request(struct worker *w, struct conn *c, struct exchange *x);
/*
 * exchange_response.c: the head to the client (1xx too), then the body. BODY_DONE with x->status
 * 101: upgraded.
 */
enum body_result exchange_pump_response(struct worker *w, struct conn *c, struct exchange *x);

#endif
