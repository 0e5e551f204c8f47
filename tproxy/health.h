/* SPDX-License-Identifier: MIT */
/*
 * Active health checks of endpoints. The first worker asks for all of them; what it finds is a byte
 * for each endpoint in the shared policy (enum target_health), which every worker reads when it
 * chooses. Checked are the endpoints of gateways that a route leads to, and of services, where the
 * policy says so: with TCP, that a connection stands; with HTTP, that GET of a path is answered
 * with 200, except where something else comes first (TLS, another proxy's protocol): as with TCP.
 */
#ifndef SLUICE_TPROXY_HEALTH_H
#define SLUICE_TPROXY_HEALTH_H

#include "rules/traffic.h"
#include "tproxy/loop.h"
#include "tproxy/resolve.h"

struct worker;

#define HEALTH_CHECKS 128 /* endpoints of a policy; those beyond count as healthy */
#define HEALTH_PROBES 8   /* under way at one time */
#define HEALTH_WAITER (UINT64_C(1) << 61) /* marks waiters at the resolver */

struct check {
	uint64_t key;        /* of the endpoint, by which it is known after a reload */
	int64_t due_ms;
	const char *owner;   /* gateway or service; this and the next two are the policy's */
	const char *path;    /* NULL: no HTTP */
	const char *host;    /* of host_len, for HTTP */
	uint32_t endpoint;   /* policy_endpoint() */
	uint32_t interval_ms, timeout_ms, healthy, unhealthy;
	uint32_t against;    /* results in a row that speak against state */
	uint16_t port;       /* for an endpoint that has none */
	uint8_t host_len;
	uint8_t state;       /* enum target_health */
	bool allow_private, busy;
};

struct probe {
	int fd;            /* while it is open */
	bool busy, open, sent;
	uint8_t next, got; /* address; bytes of head */
	uint16_t port;
	uint32_t check;
	uint32_t generation;
	int64_t deadline_ms;
	const char *why;   /* it failed, if it has */
	char head[12];     /* "HTTP/1.1 200" */
	struct resolve_answer answer;
};

struct health {
	struct timer timer;
	uint32_t n;
	struct check checks[HEALTH_CHECKS];
	struct probe probes[HEALTH_PROBES];
};

/* A policy is in force, from now on: what was known of its endpoints goes on, the rest begins. */
void health_policy(struct worker *w);
void health_ready(struct worker *w, uint32_t probe, uint32_t generation, uint32_t events);
void health_resolved(struct worker *w, uint64_t waiter, const struct resolve_answer *a);
void health_timeout(struct worker *w);
void health_end(struct worker *w); /* nothing is under way any more */

#endif
