/* SPDX-License-Identifier: MIT */
/* All workers, as the control thread sees them. */
#include "tproxy/worker_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "rules/gateway.h"
#include "tproxy/access_sink.h"
#include "tproxy/exchange.h"
#include "tproxy/listen.h"
#include "tproxy/log.h"
#include "tproxy/secure.h"

#define STACK_SIZE      (256 * 1024)
#define DISCARD         "100::1" /* RFC 6666: what is asked there is never answered */

struct workers {
	struct workers_config config;
	struct shared_policy *current;
	struct worker *w;
	unsigned started;
	int event_fd;
};

/* Opening */

/*
 * In a pod all connections are one client's. Where others' are forwarded, none may take the whole
 * table from the others.
 */
static uint32_t client_share(const struct workers_config *c, const struct policy *p)
{
	struct policy_capture capture;

	if (c->client_conns)
		return c->client_conns;
	policy_capture(p, &capture);
	return capture.scope == POLICY_SCOPE_POD && policy_own_gateway(p) < 0
	       ? c->max_conns : (c->max_conns + 1) / 2;
}

static int open_tables(struct worker *w, const struct workers_config *c)
{
	if (slab_init(&w->conns, sizeof(struct conn), c->max_conns) < 0 ||
	    slab_init(&w->ups, sizeof(struct up), c->max_conns + c->idle_max + SPARE_UPS) < 0 ||
	    slab_init(&w->dials, sizeof(struct dial), c->max_conns) < 0 ||
	    slab_init(&w->exchanges, sizeof(struct exchange), c->max_http) < 0 ||
	    slab_init(&w->buffers, BUFFER_SIZE, c->buffers) < 0 ||
	    slab_init(&w->smalls, SMALL_SIZE, c->max_http) < 0 ||
	    slab_init(&w->names, NAME_SIZE + 2, c->max_conns) < 0 ||
	    (tls_session_size() > 0 && slab_init(&w->sessions, SECURE_SESSION, c->max_tls) < 0))
		return -1;
	uint32_t share = client_share(c, w->policies[0].shared->policy);
	if (client_init(&w->clients, c->max_conns, share) < 0)
		return -1;
	w->pipes = calloc(c->pipes ? c->pipes : 1, sizeof(*w->pipes));
	w->pipe_free = calloc(c->pipes ? c->pipes : 1, sizeof(*w->pipe_free));
	if (!w->pipes || !w->pipe_free)
		return -1;
	for (uint32_t i = 0; i < c->pipes; i++)
		w->pipes[i] = (struct pipe_pair){ -1, -1 };
	void *m = mmap(NULL, 2 * SCRATCH_SIZE, PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		return -1;
	w->scratch = m;
	w->scratch2 = w->scratch + SCRATCH_SIZE;
	return 0;
}

/* A gateway that runs without the rules of sluice-init captures nothing. */
static bool is_captured(const struct workers_config *c, const struct policy *p)
{
	return c->mark || policy_own_gateway(p) < 0;
}

static int open_listeners(struct worker *w, const struct workers_config *c, const char **step)
{
	const struct policy *p = w->policies[0].shared->policy;
	struct policy_run servers = policy_own_servers(p);
	static char failed[64];
	struct policy_port server;

	if (!w->listeners)
		return -1;
	if (is_captured(c, p) && listen_open(c->port, c->transparent, &c->share, &w->listeners[0],
	                                     &w->listeners[1], step) < 0)
		return -1;
	for (uint32_t i = 0; i < servers.n; i++) {
		int *pair = &w->listeners[WORKER_CAPTURE + 2 * i];
		policy_port(p, servers.first + i, &server);
		if (listen_open(server.number, false, &c->share, &pair[0], &pair[1], step) < 0) {
			snprintf(failed, sizeof(failed), "%s: port %u", *step, server.number);
			*step = failed;
			return -1;
		}
	}
	for (uint32_t i = 0; i < w->n_listeners; i++)
		if (w->listeners[i] >= 0 &&
		    loop_add(&w->loop, w->listeners[i], EPOLLIN, loop_data(EVENT_LISTEN, 0, i)) < 0)
			return -1;
	return 0;
}

static int open_resolver(struct worker *w, const struct workers_config *c, const struct policy *p)
{
	struct addr servers[RESOLVE_NAMESERVERS_MAX];
	struct resolve_config rc = {
		.nameservers = servers, .port = c->dns_port, .entries = c->dns_entries,
		.waiters = c->max_conns + STUB_QUERIES + LEARN_NAMES + HEALTH_PROBES, .mark = c->mark,
		.negative_ttl_max = 60, .stale_max = 3600, .timeout_ms = 2000,
		.done = worker_resolved, .record = stub_record, .ctx = w,
	};
	struct policy_meta m;

	policy_meta(p, &m);
	_Static_assert(FORMAT_MAX_NAMESERVERS <= RESOLVE_NAMESERVERS_MAX, "all must fit");
	for (uint32_t i = 0; i < m.nameservers.n; i++) {
		const char *text = policy_string(p, policy_item(m.nameservers, i));
		if (addr_parse(&servers[rc.n_nameservers], text, strlen(text)) == 0)
			rc.n_nameservers++;
	}
	w->resolver = resolver_open(&rc, w->loop.now_ms);
	if (!w->resolver && errno == EDESTADDRREQ) {
		if (!w->number)
			log_warn("resolver: no nameserver in the policy or /etc/resolv.conf: "
			         "no name will resolve");
		addr_parse(&servers[0], DISCARD, strlen(DISCARD));
		rc.n_nameservers = 1;
		w->resolver = resolver_open(&rc, w->loop.now_ms);
	}
	if (!w->resolver)
		return -1;
	return loop_add(&w->loop, resolver_fd(w->resolver), EPOLLIN,
	                loop_data(EVENT_RESOLVER, 0, 0));
}

/* So that close_worker() can take back a worker at any point of its opening. */
static void blank_worker(struct workers *all, unsigned number)
{
	struct worker *w = &all->w[number];

	w->all = all;
	w->number = number;
	w->config = &all->config;
	w->again = NONE;
	w->stub.udp[0] = w->stub.udp[1] = w->stub.from[0] = w->stub.from[1] = -1;
	learn_init(&w->learn);
	w->mail_fd = w->spare_fd = w->loop.epfd = -1;
	for (unsigned i = 0; i < sizeof(w->idle) / sizeof(*w->idle); i++)
		w->idle[i] = NONE;
	pthread_mutex_init(&w->mail_lock, NULL);
	atomic_init(&w->done, false);
	w->n_listeners = WORKER_CAPTURE + 2 * policy_own_servers(all->current->policy).n;
	w->listeners = malloc(w->n_listeners * sizeof(*w->listeners));
	for (unsigned i = 0; w->listeners && i < w->n_listeners; i++)
		w->listeners[i] = -1;
	w->policies[0].shared = all->current;
	atomic_fetch_add(&all->current->refs, 1);
	w->sink = all->current->sink;
	atomic_fetch_add(&w->sink->refs, 1);
}

static int open_worker(struct workers *all, unsigned number, const char **step)
{
	struct worker *w = &all->w[number];
	const struct workers_config *c = &all->config;

	*step = "getrandom";
	if (getrandom(&w->random, sizeof(w->random), 0) != sizeof(w->random))
		return -1;
	w->random |= 1;
	*step = "memory for connections";
	if (open_tables(w, c) < 0 ||
	    balance_init(&w->balance, c->n, w->random, &w->stats) < 0)
		return -1;
	*step = "epoll";
	if (loop_init(&w->loop) < 0)
		return -1;
	*step = "eventfd";
	w->mail_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->mail_fd < 0 ||
	    loop_add(&w->loop, w->mail_fd, EPOLLIN, loop_data(EVENT_MAIL, 0, 0)) < 0)
		return -1;
	w->spare_fd = fcntl(w->mail_fd, F_DUPFD_CLOEXEC, 0);
	*step = "access log";
	w->log = access_log_open(w->sink->sink, all->current->meta.log_format,
	                         CONFIG_LOG_RING * 1024u);
	if (!w->log)
		return -1;
	*step = "listen";
	if (open_listeners(w, c, step) < 0)
		return -1;
	if (is_captured(c, all->current->policy) &&
	    stub_init(w, all->current->dns_capture, step) < 0)
		return -1;
	*step = "resolver";
	if (open_resolver(w, c, all->current->policy) < 0)
		return -1;
	learn_policy(w);
	health_policy(w);
	return 0;
}

struct workers *workers_open(const struct workers_config *c, struct policy *p,
                             struct secure_set *secure, struct access_sink *sink,
                             const char **step)
{
	struct workers *all = calloc(1, sizeof(*all));

	*step = "memory";
	if (!all)
		return NULL;
	all->config = *c;
	all->config.share = listen_share(c->n, c->uid, p);
	all->w = calloc(c->n, sizeof(*all->w));
	all->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	all->current = shared_policy_new(p, secure, sink, NULL);
	if (!all->w || all->event_fd < 0 || !all->current) {
		if (all->event_fd >= 0)
			close(all->event_fd);
		if (all->current)
			shared_policy_drop(all->current);
		free(all->w);
		free(all);
		return NULL;
	}
	for (unsigned i = 0; i < c->n; i++)
		blank_worker(all, i);
	for (unsigned i = 0; i < c->n; i++) {
		if (open_worker(all, i, step) < 0) {
			int e = errno;
			workers_close(all);
			errno = e;
			return NULL;
		}
	}
	return all;
}

int workers_start(struct workers *all)
{
	pthread_attr_t a;
	int e = pthread_attr_init(&a);

	if (!e)
		e = pthread_attr_setstacksize(&a, STACK_SIZE);
	for (unsigned i = 0; !e && i < all->config.n; i++) {
		e = pthread_create(&all->w[i].thread, &a, worker_run, &all->w[i]);
		if (!e)
			all->started++;
	}
	errno = e;
	return e ? -1 : 0;
}

/* Orders */

void worker_wake(struct worker *w)
{
	uint64_t one = 1;
	(void)!write(w->mail_fd, &one, sizeof(one));
}

void workers_signal(struct workers *all)
{
	uint64_t one = 1;
	(void)!write(all->event_fd, &one, sizeof(one));
}

int workers_reload(struct workers *all, struct policy *p, struct secure_set *secure,
                   struct access_sink *sink)
{
	struct shared_policy *next = shared_policy_new(p, secure, sink, all->current);
	if (!next)
		return -1;
	atomic_fetch_add(&next->refs, all->config.n);
	for (unsigned i = 0; i < all->config.n; i++) {
		struct worker *w = &all->w[i];
		pthread_mutex_lock(&w->mail_lock);
		struct shared_policy *missed = w->mail_policy;
		w->mail_policy = next;
		pthread_mutex_unlock(&w->mail_lock);
		if (missed)
			shared_policy_drop(missed);
		worker_wake(w);
	}
	shared_policy_drop(all->current);
	all->current = next;
	return 0;
}

void workers_drain(struct workers *all, uint32_t deadline_ms)
{
	for (unsigned i = 0; i < all->config.n; i++) {
		struct worker *w = &all->w[i];
		pthread_mutex_lock(&w->mail_lock);
		w->mail_drain = true;
		w->mail_drain_ms = deadline_ms;
		pthread_mutex_unlock(&w->mail_lock);
		worker_wake(w);
	}
}

bool workers_done(const struct workers *all)
{
	for (unsigned i = 0; i < all->config.n; i++)
		if (!atomic_load(&all->w[i].done))
			return false;
	return true;
}

/* Closing */

static void check_empty(const struct worker *w)
{
	const struct { const char *what; uint32_t used; } tables[] = {
		{ "connections", w->conns.used },
		{ "upstream connections", w->ups.used },
		{ "dials", w->dials.used },
		{ "exchanges", w->exchanges.used },
		{ "buffers", w->buffers.used },
		{ "small buffers", w->smalls.used },
		{ "clients", w->clients.entries.used },
		{ "names", w->names.used },
		{ "TLS sessions", w->sessions.used },
		{ "DNS questions", w->stub.queries.used },
		{ "pipes", (uint32_t)(w->n_pipes - w->n_pipe_free) },
		{ "idle connections", w->n_idle },
	};
	for (unsigned i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		if (tables[i].used)
			log_error("worker %u: leak: %s: %u not given back", w->number,
			          tables[i].what, tables[i].used);
}

static void close_worker(struct worker *w)
{
	struct slab *slabs[] = {
		&w->conns, &w->ups, &w->dials, &w->exchanges, &w->buffers, &w->smalls, &w->names,
		&w->sessions,
	};

	check_empty(w);
	for (unsigned i = 0; w->listeners && i < w->n_listeners; i++)
		if (w->listeners[i] >= 0)
			close(w->listeners[i]);
	free(w->listeners);
	for (uint32_t i = 0; w->pipes && i < w->config->pipes; i++)
		if (w->pipes[i].in >= 0) {
			close(w->pipes[i].in);
			close(w->pipes[i].out);
		}
	if (w->resolver)
		resolver_close(w->resolver);
	stub_fini(&w->stub);
	learn_fini(&w->learn);
	balance_fini(&w->balance);
	if (w->log)
		access_log_close(w->log);
	client_fini(&w->clients);
	loop_fini(&w->loop);
	if (w->mail_fd >= 0)
		close(w->mail_fd);
	if (w->spare_fd >= 0)
		close(w->spare_fd);
	for (unsigned i = 0; i < sizeof(slabs) / sizeof(*slabs); i++)
		slab_fini(slabs[i]);
	if (w->scratch)
		munmap(w->scratch, 2 * SCRATCH_SIZE);
	free(w->pipes);
	free(w->pipe_free);
	if (w->mail_policy)
		shared_policy_drop(w->mail_policy);
	for (unsigned i = 0; i < GENERATIONS; i++)
		if (w->policies[i].shared)
			shared_policy_drop(w->policies[i].shared);
	shared_sink_drop(w->sink);
	pthread_mutex_destroy(&w->mail_lock);
}

void workers_close(struct workers *all)
{
	for (unsigned i = 0; i < all->started; i++)
		pthread_join(all->w[i].thread, NULL);
	for (unsigned i = 0; i < all->config.n; i++)
		close_worker(&all->w[i]);
	shared_policy_drop(all->current);
	close(all->event_fd);
	free(all->w);
	free(all);
}

/* Looking */

struct worker *workers_at(struct workers *all, unsigned i) { return &all->w[i]; }
unsigned workers_count(const struct workers *all) { return all->config.n; }
const struct stats *workers_stats(const struct workers *all, unsigned i)
{
	return &all->w[i].stats;
}
int workers_event_fd(const struct workers *all) { return all->event_fd; }

bool workers_alive(const struct workers *all, uint32_t within_ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	int64_t now = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
	for (unsigned i = 0; i < all->config.n; i++) {
		int64_t turned = atomic_load_explicit(&all->w[i].turned_ms, memory_order_relaxed);
		if (turned && now - turned > within_ms)
			return false;
	}
	return true;
}

void workers_resolver_stats(const struct workers *all, struct resolver_stats *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned i = 0; i < all->config.n; i++) {
		struct worker *w = &all->w[i];
		pthread_mutex_lock(&w->mail_lock);
		const struct resolver_stats *s = &w->resolver_stats;
		sum->asked += s->asked;
		sum->hits += s->hits;
		sum->negative_hits += s->negative_hits;
		sum->stale_served += s->stale_served;
		sum->queries += s->queries;
		sum->timeouts += s->timeouts;
		sum->failures += s->failures;
		sum->refused_full += s->refused_full;
		sum->entries += s->entries;
		sum->waiting += s->waiting;
		pthread_mutex_unlock(&w->mail_lock);
	}
}
