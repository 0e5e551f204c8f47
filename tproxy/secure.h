/* SPDX-License-Identifier: MIT */
/*
 * TLS of our own for connections: credentials come with a policy, sessions from the worker's table.
 * Towards a gateway (via = tls, mutual), towards a service (tls = simple, mutual), and of clients at
 * a gateway's servers.
 */
#ifndef SLUICE_TPROXY_SECURE_H
#define SLUICE_TPROXY_SECURE_H

#include "tproxy/jail.h"
#include "tproxy/worker_state.h"

/* Bytes of a session in the worker's table. */
#define SECURE_SESSION ((tls_session_size() + 63) / 64 * 64)

/* The credentials of one policy; read-only, shared by workers. */
struct secure_set;
/*
 * Reads the files that the policy names. A policy without TLS has an empty set. NULL: text says
 * which file, and what is wrong with it.
 */
struct secure_set *secure_open(const struct policy *p, char *text, size_t size);
void secure_close(struct secure_set *s);
/*
 * Adds the directories of these files to those that may be read once the sandbox is closed, as
 * malloc'ed strings. False: some do not fit.
 */
bool secure_directories(const struct policy *p, struct jail_paths *paths);
/* What a connection upstream is beyond its address: who may use it again. */
struct secure_peer {
	struct tls_config *config; /* NULL: in the clear */
	char name[NAME_SIZE];      /* whom the certificate has to name; NUL-terminated */
	uint32_t key;              /* equal for equal names of one config; NONE: not known to be */
};
/* Who c's upstream has to be, at an address of that endpoint (from 0) of its gateway. */
void secure_peer(struct worker *w, const struct conn *c, uint16_t endpoint, const struct addr *a,
                 struct secure_peer *peer);
/* Whether it is reached by TLS of ours. */
bool secure_wanted(const struct worker *w, const struct conn *c);

/* A session for u, or for the client c at a server of the gateway's. False: the table is full. */
bool secure_call(struct worker *w, struct up *u, const struct secure_peer *peer);
bool secure_answer(struct worker *w, struct conn *c, bool mutual);
/* Ends one that there may be; graceful: with close_notify, as far as it can be sent at once. */
void secure_end(struct worker *w, struct tls_session **s, bool graceful);

#endif
