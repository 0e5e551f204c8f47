/* SPDX-License-Identifier: MIT */
/*
 * What the backends have in common: settings and their memory, what is asked of a peer's chain
 * beyond what the library asks, and sessions kept for resumption.
 */
#ifndef SLUICE_TPROXY_TLS_COMMON_H
#define SLUICE_TPROXY_TLS_COMMON_H

#include <pthread.h>
#include <stdatomic.h>

#include "tproxy/tls_der.h"
#include "tproxy/tls_pem.h"

#define TLS_KEY_SIZE 32

/* Sessions for resumption, in sets of four, the least recently kept of which makes room. */
struct tls_kept {
	uint8_t key[TLS_KEY_SIZE];
	int64_t since, until;
	uint16_t len; /* 0: free */
	uint8_t session[];
};
struct tls_cache {
	pthread_mutex_t lock;
	uint8_t *kept;
	size_t n_sets, room; /* room: for a session */
};

/* The first member of each backend's struct tls_config. All but refs and cache is constant. */
struct tls_common {
	atomic_uint refs;
	bool server, tls13;
	const char *sni;
	const char **alt_names;
	size_t n_alt_names;
	const uint8_t (*pins)[TLS_PIN_SIZE];
	size_t n_pins;
	const char **alpn; /* ends with NULL */
	size_t n_alpn;
	struct tls_cache cache;
	uint8_t *free; /* of the mapping that all of it is in */
	size_t size, left;
};

/*
 * Zeroed memory for a config of config_size bytes whose first member is a struct tls_common, with
 * `more` bytes that tls_take() hands out and a cache for sessions of at most kept bytes; settings
 * are copied but for credentials. NULL: see problem.
 */
void *tls_common_open(const struct tls_settings *set, size_t config_size, size_t more, size_t kept,
                      struct tls_problem *problem);
/* One reference less; true: it was the last, and what is the backend's has to go. */
bool tls_common_last(struct tls_common *c);
void tls_common_free(struct tls_common *c); /* wipes it */
/* Aligned as for malloc(); NULL: there is no more. */
void *tls_take(struct tls_common *c, size_t len);

/*
 * Calls take() with each certificate, or key, of a file. What it returns unless TLS_FAULT_OK ends
 * that; TLS_FAULT_MISSING: there was none. nth: which it was.
 */
enum tls_fault tls_file_each(struct tls_bytes file, enum tls_pem_kind kind, unsigned *nth,
                             enum tls_fault (*take)(void *ctx, struct tls_bytes der), void *ctx);

/* Copies a session out. Its length, or 0: there is none, or it is not of now. */
size_t tls_cache_find(struct tls_cache *c, const uint8_t key[TLS_KEY_SIZE], int64_t now,
                      void *session, size_t room);
/* until: when the peer's certificate ends. What there is no room for is not kept. */
void tls_cache_keep(struct tls_cache *c, const uint8_t key[TLS_KEY_SIZE], int64_t now,
                    int64_t until, const void *session, size_t len);

/* What is known of a peer's chain while it comes. */
struct tls_chain {
	const struct tls_common *common;
	const char *name;        /* the session's */
	int64_t now, not_after;  /* not_after: the earliest */
	unsigned n;
	struct tls_bytes issuer; /* of the last one, in what was given to tls_chain_add() */
	enum tls_fault fault;    /* the first thing wrong with it besides trust */
	enum tls_fault untrusted; /* why it is not trusted, if it is not */
	char peer[TLS_PEER_SIZE];
};
void tls_chain_start(struct tls_chain *chain, const struct tls_common *c, const char *name,
                     int64_t now);
/* The next certificate, leaf first. key_hash: SHA-256 of the leaf's key, when there are pins. */
void tls_chain_add(struct tls_chain *chain, struct tls_bytes der,
                   void (*sha256)(uint8_t out[TLS_PIN_SIZE], struct tls_bytes in));

#endif
