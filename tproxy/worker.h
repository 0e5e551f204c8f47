/* SPDX-License-Identifier: MIT */
/*
 * Workers: one thread per core, each with its own listeners, epoll, slabs and DNS cache; they share
 * only read-only policies. This header is what the control thread (main.c, control.c, admin.c) sees
 * of them; worker_state.h is what the workers themselves share.
 */
#ifndef SLUICE_TPROXY_WORKER_H
#define SLUICE_TPROXY_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/policy.h"
#include "tproxy/access.h"
#include "tproxy/listen.h"
#include "tproxy/resolve.h"
#include "tproxy/stats.h"

struct secure_set; /* secure.h */

struct workers_config {
	unsigned n;                /* threads */
	uint16_t port;             /* our own port: connections to it are loops */
	bool transparent;          /* method tproxy: the accepted socket's local address is the
	                              destination; else SO_ORIGINAL_DST */
	uint32_t uid;              /* whom we become */
	struct listen_share share; /* workers_open() decides */
	uint32_t mark;             /* SO_MARK of upstream and DNS sockets; 0: none */
	uint32_t max_conns, buffers, pipes, idle_max, max_http, max_tls, dns_entries; /* per worker */
	const char *state;         /* the directory where the holder of the rules listens */
	uint32_t client_conns;     /* per worker and client address; 0: see worker_pool.c */
	uint32_t min_rate;         /* bytes per second of an HTTP body; 0: any */
	uint16_t dns_port;         /* of the nameservers; 0: 53 (tests use others) */
	/* Deadlines in milliseconds. */
	uint32_t sniff_ms;         /* for the whole ClientHello or the first request head: 5 s */
	uint32_t head_ms;          /* for a later request head, once its first byte came: 10 s */
	uint32_t connect_ms;       /* per request, all attempts: 10 s */
	uint32_t response_ms;      /* until the response head: 300 s */
	uint32_t idle_ms;          /* a tunnel or a body without progress: 1 h */
	uint32_t half_closed_ms;   /* without progress, once one side has said all: 60 s */
	uint32_t keepalive_ms;     /* an idle client connection between requests: 60 s */
	uint32_t upstream_idle_ms; /* an idle upstream connection: 60 s */
};

struct workers;

/*
 * Opens everything that needs privilege or files: listeners, resolvers (/etc/resolv.conf), memory.
 * Takes the policy (a malloc'ed struct policy) and its credentials over. NULL with errno and *step.
 */
struct workers *workers_open(const struct workers_config *c, struct policy *p,
                             struct secure_set *secure, struct access_sink *sink,
                             const char **step);
int workers_start(struct workers *w);                     /* starts the threads; 0 or -1 */
/*
 * Every worker uses p (and sink) for what is decided from now on; older policies are closed when
 * their last connection ends. Takes all three over. 0, or -1 with errno: no memory, nothing is taken.
 */
int workers_reload(struct workers *w, struct policy *p, struct secure_set *secure,
                   struct access_sink *sink);
/* Stops accepting; what runs may finish until deadline_ms from now, then ends. Returns at once. */
void workers_drain(struct workers *w, uint32_t deadline_ms);
bool workers_done(const struct workers *w);               /* after drain: all workers have ended */
/* Joins the threads, frees all; checks that every table is empty: logs what is not. */
void workers_close(struct workers *w);

unsigned workers_count(const struct workers *w);
const struct stats *workers_stats(const struct workers *w, unsigned i);
int workers_event_fd(const struct workers *w);            /* readable when a worker has ended */
/*
 * Text, one line per live connection, from all workers: "ID STATE client dst name upstream cluster
 * up-bytes down-bytes age-ms". malloc'ed; NULL after timeout_ms, or without memory.
 */
char *workers_connections(struct workers *w, size_t *len, uint32_t timeout_ms);
/*
 * The same of the endpoints of gateways and services, one line for each worker, endpoint and port:
 * "WORKER OWNER/SUBSET ENDPOINT:PORT STATE active kept ejections ejected-ms fails wait-ms LAST".
 */
char *workers_endpoints(struct workers *w, size_t *len, uint32_t timeout_ms);
/* Every worker's loop has turned within that time or is asleep in epoll_wait: for the watchdog. */
bool workers_alive(const struct workers *w, uint32_t within_ms);
void workers_resolver_stats(const struct workers *w, struct resolver_stats *sum);

#endif
