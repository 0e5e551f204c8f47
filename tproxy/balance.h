/* SPDX-License-Identifier: MIT */
/*
 * Which endpoint is dialled: the state of endpoints and of their names' addresses, kept by each
 * worker for itself, and the choice among them. No I/O, and no clock but what callers say.
 *
 * State is found by a key, not by a place in a policy: it outlives reloads, and is shared by the
 * generations that have the same endpoint of the same gateway or service. No state means healthy.
 */
#ifndef SLUICE_TPROXY_BALANCE_H
#define SLUICE_TPROXY_BALANCE_H

#include "rules/traffic.h"
#include "tproxy/slab.h"
#include "tproxy/stats.h"

#define BALANCE_TARGETS 1024   /* with state at one time, per worker; 80 B each once used */
#define BALANCE_BUCKETS 256
#define BALANCE_TRIED   16     /* choices of one dial */
#define TARGET_NONE     UINT16_MAX /* without state, as the table is full: counts nowhere */

/* What a connection is to its target; the numbers are those of enum up_state. */
enum target_use {
	TARGET_FREE = 0, TARGET_CONNECTING, TARGET_GREETING, TARGET_ACTIVE, TARGET_IDLE,
};

/* What an active check found; a byte for each endpoint of a policy. */
enum target_health { TARGET_UNCHECKED = 0, TARGET_HEALTHY, TARGET_UNHEALTHY };

enum { TARGET_NO_CONNECTION = 1, TARGET_NO_ANSWER };

struct target {
	uint32_t link;        /* of the slab; of its bucket while in use */
	uint32_t connections; /* of all uses */
	uint32_t active;      /* all but the kept ones */
	uint32_t connecting;  /* or being greeted */
	uint64_t key, group;  /* group: of the set it was last chosen from */
	int64_t used_ms;      /* last chosen or reported on */
	int64_t ejected_ms;   /* until then, and on to the next sweep; 0: it is not */
	int64_t swept;        /* sweeps up to here have been carried out */
	int64_t retry_ms;     /* back-off: others come first before then */
	int64_t current;      /* of smooth weighted round-robin */
	uint32_t size;        /* of that set */
	uint16_t errors[3];   /* in a row: 5xx, gateway, local */
	uint8_t ejections;    /* times the base ejection time */
	uint8_t fails;        /* connects in a row that failed */
	uint16_t last;        /* what went wrong last: a status, TARGET_*; 0: nothing so far */
};

struct balance {
	struct slab targets;
	uint16_t buckets[BALANCE_BUCKETS]; /* index plus 1 */
	uint64_t random;
	uint32_t workers;
	struct stats *stats;
};

int balance_init(struct balance *b, uint32_t workers, uint64_t seed, struct stats *stats);
void balance_fini(struct balance *b);

/* The keys of a policy's endpoints, one for each record. */
void balance_keys(const struct policy *p, uint64_t *keys);
/* The key of a name that is no endpoint's. */
uint64_t balance_key(const char *name, size_t len);

/* What there is to choose from: the endpoints of a gateway, subset or service... */
struct balance_set {
	const struct policy *policy;
	struct policy_run run;
	const uint64_t *keys;          /* of the policy's endpoints */
	const uint8_t *health;         /* likewise, enum target_health, atomic; NULL: no checks */
	/* ... or, with n_addrs, the addresses that one name has, all of weight 1. */
	const struct addr *addrs;
	uint32_t n_addrs;
	uint64_t key;                  /* of what has the name: an endpoint's, or balance_key() */
	uint16_t port;                 /* asked for: each has state of its own, as Envoy's clusters */
	const struct policy_traffic *traffic; /* NULL: least-request, no limits */
	const struct addr *source;     /* the client's, for consistent-hash */
	bool pooled;                   /* kept connections may serve */
	uint8_t family;                /* 4, 6: these addresses come first; 0: either */
	uint8_t n_tried;
	uint16_t tried[BALANCE_TRIED]; /* places that are not chosen again */
};

struct balance_choice {
	uint16_t target;       /* for balance_use(); or TARGET_NONE */
	enum access_flag flag; /* where nothing is chosen: FLAG_UH, or FLAG_UO: max-connections */
};
/*
 * A place in the set (from 0), or SLAB_NONE. Not chosen: weight 0, tried, unhealthy, ejected.
 * What failed to connect lately comes after all others; after three failures in a row one
 * connection at a time tries it, and who else asks is told FLAG_UH at once, so that nobody waits
 * for a dead gateway, nor for one that is back. max_connections counts the kept ones too, and each
 * worker has its equal part of it, rounded up; that reached, only kept ones are chosen, if pooled.
 */
uint32_t balance_pick(struct balance *b, const struct balance_set *s, int64_t now_ms,
                      struct balance_choice *c);

/*
 * A connection to a target begins (from TARGET_FREE), changes its use, ends (to TARGET_FREE). One
 * to an address of an endpoint's name is one of both targets.
 */
void balance_use(struct balance *b, uint16_t target, enum target_use from, enum target_use to);

/* How it went, for both likewise; t may be NULL. connect() is over: */
void balance_connected(struct balance *b, uint16_t target, int64_t now_ms);
/*
 * connect(), or what is said before payload, failed or took too long (connecting); or the
 * connection ended, or time ran out, before a response.
 */
void balance_failed(struct balance *b, uint16_t target, const struct policy_traffic *t,
                    bool connecting, int64_t now_ms);
/* A response came; of a tunnel, its connection stands: 200. */
void balance_answered(struct balance *b, uint16_t target, const struct policy_traffic *t,
                      int status, int64_t now_ms);

/* The state of an endpoint for a port, for who shows it. NULL: it has none. */
const struct target *balance_find(const struct balance *b, uint64_t key, uint16_t port);

#endif
