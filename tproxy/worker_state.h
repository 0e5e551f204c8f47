/* SPDX-License-Identifier: MIT */
/*
 * What the parts of one worker share: its tables, the policy generations in use, and the records of
 * connections. Everything here belongs to one thread.
 *
 * A downstream connection is a struct conn, an upstream one a struct up; they point at each other
 * by index. A conn borrows what it needs only while it needs it: a buffer for bytes that could not
 * be passed on, a pipe while bulk bytes are in it, a struct dial while it resolves and connects, a
 * struct exchange while an HTTP request is under way, a name slot when the log will need a name
 * that the policy does not hold.
 */
#ifndef SLUICE_TPROXY_WORKER_STATE_H
#define SLUICE_TPROXY_WORKER_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "rules/name.h"
#include "tproxy/balance.h"
#include "tproxy/client.h"
#include "tproxy/end.h"
#include "tproxy/hop.h"
#include "tproxy/health.h"
#include "tproxy/learn.h"
#include "tproxy/loop.h"
#include "tproxy/slab.h"
#include "tproxy/stub.h"
#include "tproxy/worker.h"

#define NONE SLAB_NONE
#define BUFFER_SIZE  (CONFIG_BUFFER_SIZE * 1024u)
#define SCRATCH_SIZE (BUFFER_SIZE + 4096u) /* what a buffer can hold, and framing around it */
#define SMALL_SIZE   2048u                 /* of a small buffer: most heads and hellos fit */
#define SMALL        0x80000000u           /* in the index of a buffer: a small one */
#define SPARE_UPS    64u                   /* attempts that race beside others */
#define WORKER_CAPTURE 2                   /* listeners for what is captured: IPv4, IPv6 */
#define GENERATIONS  8
#define DIAL_MAX     16

/* What an event is for. */
enum {
	EVENT_LISTEN = 1, EVENT_DOWN, EVENT_UP, EVENT_RESOLVER, EVENT_MAIL, EVENT_STUB, EVENT_LEARN,
	EVENT_HEALTH,
};

enum { FLOW_EOF = 1, FLOW_SHUT = 2, FLOW_BULK = 4 };

/* One direction of payload. */
struct flow {
	uint64_t bytes;      /* taken from the source */
	uint32_t buf;        /* bytes that the sink did not take: off, len in this buffer */
	uint32_t off, len;
	uint32_t piped;      /* bytes in pipe */
	uint16_t pipe;       /* index plus 1; 0: none */
	uint8_t flags;
};

enum conn_state {
	CONN_FREE = 0,
	CONN_PROXY,    /* at a gateway: the PROXY header is awaited */
	CONN_HANDSHAKE,/* at a gateway: TLS that we end */
	CONN_SNIFF,    /* the first bytes are awaited */
	CONN_DIAL,     /* a tunnel's upstream is resolved and connected; conn.dial */
	CONN_RELAY,    /* bytes both ways */
	CONN_HTTP,     /* request by request; conn.exchange while there is one */
	CONN_DNS,      /* questions and answers; see stub_tcp.c */
	CONN_LINGER,   /* all was said; waits for the client's FIN so that no RST destroys it */
};

enum { UPWARD = 0, DOWNWARD = 1 };

enum {
	CONN_NAME_SLOT = 1, /* conn.name is a name slot; else an offset in NAMES, or NONE */
	CONN_AGAIN = 2,     /* on the worker's list of those with work left */
	CONN_AUDITED = 4,
	CONN_PASSTHROUGH = 8,
	CONN_UPGRADED = 16, /* a WebSocket tunnel: logged as its exchange */
	CONN_CLOSING = 32,  /* nothing more is read; ends when the client has what is left over */
	CONN_HELLO = 64,    /* a ClientHello was all so far; the server has to speak next */
	CONN_EARLY = 128,   /* it announced early data, which may come but waits for the server */
};

struct conn {
	uint32_t link;       /* of the slab; of the again list while in use */
	uint32_t generation; /* of this record: survives freeing */
	struct timer timer;
	int64_t start_ms;    /* monotonic */
	struct flow flow[2];
	struct addr dst, src;
	uint16_t dport, sport;
	int fd;
	uint32_t up, dial, exchange;
	uint32_t service;    /* NONE: passed through, unknown at a gateway, or not yet known */
	uint32_t destination;/* of the route it goes by (policy_destination()), or NONE */
	uint32_t key;        /* host pattern that matched: offset in NAMES, or NONE */
	uint32_t name;       /* what the client asked for; see CONN_NAME_SLOT */
	uint32_t client;     /* whose share it counts in; see client.h */
	struct tls_session *tls; /* that we end; NULL: none */
	uint8_t state, io, flags;
	uint8_t policy;      /* index in worker.policies */
	uint8_t questions;   /* under way, in CONN_DNS */
	bool at_gateway;     /* asked of one of our servers; else captured */
};

enum up_state { UP_FREE = 0, UP_CONNECTING, UP_GREETING, UP_ACTIVE, UP_IDLE };

struct up {
	uint32_t link;       /* of the slab; of the idle hash chain while idle */
	uint32_t generation;
	struct timer timer;  /* only while idle */
	struct tls_session *tls; /* NULL: in the clear */
	struct addr addr;
	int fd;
	uint32_t conn;       /* NONE while idle */
	uint16_t port;
	uint32_t idle_ms;    /* without progress */
	uint32_t requests;   /* that it has carried */
	uint16_t target[2];  /* whose state it counts in: its endpoint's, its address's; see balance.h */
	uint8_t state, io;
	bool reused;         /* came from the idle pool */
	uint16_t place;      /* of its endpoint, from 0 */
	bool single;         /* made for one client or name: never kept for another */
	uint32_t peer;       /* with tls: secure_peer.key; else NONE */
	const struct tls_config *config; /* with tls: whose */
};

/* An attempt to reach a service: candidate addresses, at most two connections racing (RFC 8305). */
struct dial {
	uint32_t link;
	struct addr addrs[DIAL_MAX];
	uint16_t ports[DIAL_MAX];
	uint8_t n, next;         /* candidates; the next to try */
	uint16_t targets[DIAL_MAX][2]; /* of its endpoint, of its address */
	uint8_t n_order, used;   /* endpoints there are, as far as they may be tried; chosen so far */
	uint16_t order[DIAL_MAX];/* these */
	uint16_t from[DIAL_MAX]; /* the endpoint (from 0) that a candidate is of */
	uint16_t endpoint;       /* the target of the last */
	bool asked;              /* the name itself was looked up */
	bool waiting;            /* for the resolver */
	bool refused;            /* an address rule refused a candidate */
	bool dialled;            /* a candidate passed the address rules */
	bool pooled;             /* idle connections may serve (HTTP) */
	uint8_t fail;            /* enum access_flag of the last failure */
	bool greeting;           /* ups[0] is connected, and the gateway has to answer first */
	struct hop hop;
	const char *why;         /* of the last greeting that failed */
	int64_t greet_ms;        /* how long this one may take */
	uint16_t port;           /* that was asked for: where an endpoint has none */
	uint16_t target;         /* of the addresses that are looked up */
	uint32_t ups[2];
	int last_errno;
	int64_t deadline_ms;
};

/* A policy and who uses it; shared by the workers, freed by the last. */
struct shared_policy {
	struct policy *policy;
	struct shared_sink *sink;
	struct policy_meta meta;
	int64_t gateway;          /* policy_own_gateway() */
	uint64_t *keys;           /* balance_keys(); they and health lie behind this record */
	uint8_t *health;          /* enum target_health of each endpoint; the first worker writes */
	struct secure_set *secure;
	bool dns_capture;
	atomic_uint refs;
};

struct shared_sink {
	bool off;                 /* nothing is logged: nothing needs to be found out for it */
	struct access_sink *sink; /* NULL: the access log is off */
	atomic_uint refs;
};

struct policy_slot {
	struct shared_policy *shared;
	uint32_t conns;          /* connections of this worker that point here */
};

struct pipe_pair { int in, out; };
struct dump;

struct worker {
	struct loop loop;
	struct workers *all;
	unsigned number;
	const struct workers_config *config;
	pthread_t thread;
	int *listeners;                     /* -1: closed, or a family that is not here */
	unsigned n_listeners;               /* the first two: for what is captured */
	int spare_fd;                       /* lent out to refuse with when no descriptor is left */
	int64_t resume_ms;                  /* nothing is accepted before; 0: accepting */
	struct slab conns, ups, dials, exchanges, buffers, smalls, names, sessions;
	struct client_table clients;
	struct pipe_pair *pipes;
	uint16_t *pipe_free;                /* indices of open pipes that nobody holds */
	uint16_t n_pipe_free, n_pipes;      /* on that list; open */
	uint32_t idle[256];                 /* idle upstream ones, by hash of address and port */
	uint32_t n_idle;
	struct policy_slot policies[GENERATIONS];
	uint8_t policy;                     /* the current one */
	struct resolver *resolver;
	struct stub stub;
	struct learn learn;
	struct balance balance;
	struct health health;               /* of the first worker */
	struct access_log *log;
	struct stats stats;
	uint32_t again;                     /* list of conns with work left, by conn.link */
	bool starved;                       /* what is on `again` only waits for a buffer */
	uint64_t random;
	int64_t wall_offset_ms;             /* CLOCK_REALTIME - CLOCK_MONOTONIC, anew each turn */
	uint8_t *scratch, *scratch2;        /* SCRATCH_SIZE each */
	struct shared_sink *sink;           /* where log goes */
	int mail_fd;                        /* eventfd: the control thread left an order */
	pthread_mutex_t mail_lock;          /* over the orders and resolver_stats */
	struct shared_policy *mail_policy;
	struct dump *mail_dump;
	uint32_t mail_drain_ms;
	bool mail_drain;
	struct resolver_stats resolver_stats; /* as of the resolver's last turn */
	bool draining;
	int64_t drain_ms;
	atomic_bool done;
	atomic_int_least64_t turned_ms;     /* when the loop last turned; 0 while asleep */
};

static inline struct conn *conn_at(struct worker *w, uint32_t i) { return slab_at(&w->conns, i); }
static inline struct up *up_at(struct worker *w, uint32_t i) { return slab_at(&w->ups, i); }
static inline struct dial *dial_at(struct worker *w, uint32_t i) { return slab_at(&w->dials, i); }
static inline uint8_t *buffer_at(struct worker *w, uint32_t i)
{
	return i & SMALL ? slab_at(&w->smalls, i & ~SMALL) : slab_at(&w->buffers, i);
}
static inline uint32_t buffer_room(uint32_t i) { return i & SMALL ? SMALL_SIZE : BUFFER_SIZE; }
static inline const struct policy *conn_policy(const struct worker *w, const struct conn *c)
{
	return w->policies[c->policy].shared->policy;
}
static inline void worker_count(struct worker *w, enum stat_id s, int64_t n)
{
	stat_add(&w->stats.v[s], n);
}
static inline int64_t conn_gateway(const struct worker *w, const struct conn *c)
{
	return w->policies[c->policy].shared->gateway;
}
/* A fast generator for spreading load; nothing secret depends on it. */
uint32_t worker_random(struct worker *w);
void worker_take_policy(struct worker *w, struct conn *c); /* points c at the current policy */
void worker_drop_policy(struct worker *w, struct conn *c);

#endif
