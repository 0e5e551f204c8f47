/* SPDX-License-Identifier: MIT */
/* Name resolution: what is asked of it, who waits, when answers are handed out. */
#include "tproxy/resolve_state.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "tproxy/dns_heap.h"

#define TIMEOUT_MS    2000
#define STALE_SECONDS 3600
#define EVENTS        16
#define DNS_PORT      53
#define SICK_MS       100
#define REFRESH_SHARE 10 /* the last tenth of a TTL */

static struct waiter *waiter_at(const struct resolver *r, uint32_t i)
{
	return slab_at(&r->waiters, i);
}

static uint32_t *bucket_of(const struct resolver *r, uint64_t id)
{
	return &r->buckets[id * UINT64_C(0x9e3779b97f4a7c15) >> 32 & r->mask];
}

/* Where the first waiter of a chain is named. */
static uint32_t *head_of(struct resolver *r, uint32_t entry)
{
	return entry == DNS_NONE ? &r->delivered : &dns_cache_at(&r->cache, entry)->waiters;
}

static uint32_t waiter_add(struct resolver *r, uint32_t entry, uint64_t id)
{
	uint32_t i = slab_take(&r->waiters);

	if (i == SLAB_NONE)
		return i;
	struct waiter *w = waiter_at(r, i);
	uint32_t *head = head_of(r, entry), *bucket = bucket_of(r, id);
	*w = (struct waiter){ *head, SLAB_NONE, *bucket, entry, id };
	if (*head != SLAB_NONE)
		waiter_at(r, *head)->prev = i;
	*head = i;
	*bucket = i + 1;
	r->stats.waiting++;
	return i;
}

static void waiter_remove(struct resolver *r, uint32_t i)
{
	struct waiter *w = waiter_at(r, i);
	uint32_t *link = bucket_of(r, w->id);

	while (*link != i + 1)
		link = &waiter_at(r, *link - 1)->bucket_next;
	*link = w->bucket_next;
	*(w->prev == SLAB_NONE ? head_of(r, w->entry) : &waiter_at(r, w->prev)->next) = w->next;
	if (w->next != SLAB_NONE)
		waiter_at(r, w->next)->prev = w->prev;
	slab_give(&r->waiters, i);
	r->stats.waiting--;
}

bool entry_fresh(const struct resolver *r, const struct dns_entry *e)
{
	return e->status != RESOLVE_FAIL && r->now_ms < e->expires_ms;
}

bool entry_usable(const struct resolver *r, const struct dns_entry *e)
{
	return e->status == RESOLVE_OK && r->now_ms - e->expires_ms < r->stale_max_ms;
}

void entry_ready(struct resolver *r, uint32_t i, enum ready how)
{
	struct dns_entry *e = dns_cache_at(&r->cache, i);

	if (e->waiters == SLAB_NONE)
		return;
	if (e->ready == READY_NO) {
		e->ready_next = r->ready;
		r->ready = i;
	}
	e->ready = (uint8_t)how;
}

void entry_release(struct resolver *r, uint32_t i)
{
	const struct dns_entry *e = dns_cache_at(&r->cache, i);

	if (e->lookup == DNS_NONE && e->waiters == SLAB_NONE && e->ready == READY_NO)
		dns_cache_idle(&r->cache, i);
}

static void answer(struct resolver *r, uint32_t i, enum ready how, struct resolve_answer *a)
{
	const struct dns_entry *e = dns_cache_at(&r->cache, i);
	bool late = how == READY_LATE;

	a->n = 0;
	a->stale = late && entry_usable(r, e);
	a->status = late && !a->stale ? RESOLVE_FAIL : (enum resolve_status)e->status;
	if (a->status == RESOLVE_OK)
		dns_cache_load(&r->cache, i, a);
	int64_t left_ms = a->status == RESOLVE_FAIL ? 0 : e->expires_ms - r->now_ms;
	a->ttl = left_ms > 0 ? (uint32_t)((left_ms + 999) / 1000) : 0;
	r->stats.stale_served += a->stale;
}

/* Whether an entry answers at once, and how. */
static enum ready answerable(const struct resolver *r, const struct dns_entry *e)
{
	if (entry_fresh(r, e))
		return READY_ANSWER;
	if (r->now_ms < e->retry_ms)
		return READY_LATE;
	if (e->lookup != DNS_NONE && entry_usable(r, e) &&
	    r->now_ms - lookup_at(r, e->lookup)->started_ms >= RESOLVE_STALE_MS)
		return READY_LATE;
	return READY_NO;
}

static int answer_at_once(struct resolver *r, uint32_t i, enum ready how, struct resolve_answer *a)
{
	const struct dns_entry *e = dns_cache_at(&r->cache, i);

	answer(r, i, how, a);
	r->stats.hits += a->status == RESOLVE_OK;
	r->stats.negative_hits += a->status != RESOLVE_OK;
	dns_cache_hold(&r->cache, i);
	if (how == READY_ANSWER && e->lookup == DNS_NONE && r->now_ms >= e->retry_ms &&
	    r->now_ms >= e->expires_ms - e->ttl_ms / REFRESH_SHARE)
		lookup_start(r, i);
	entry_release(r, i);
	return 1;
}

static bool ensure_lookup(struct resolver *r, uint32_t i)
{
	const struct dns_entry *e = dns_cache_at(&r->cache, i);

	if (e->ready != READY_NO)
		return true;
	/* What it has found is out of date already, and the other family may hang. */
	if (e->lookup != DNS_NONE && lookup_at(r, e->lookup)->published)
		lookup_abandon(r, i);
	return e->lookup != DNS_NONE || lookup_start(r, i);
}

/* 0: waits; -1: a table is full. */
static int wait_for(struct resolver *r, uint32_t i, uint64_t waiter)
{
	dns_cache_hold(&r->cache, i);
	uint32_t w = waiter_add(r, i, waiter);
	if (w != SLAB_NONE && ensure_lookup(r, i))
		return 0;
	if (w != SLAB_NONE)
		waiter_remove(r, w);
	entry_release(r, i);
	return -1;
}

static void entry_init(struct dns_entry *e)
{
	e->lookup = DNS_NONE;
	e->waiters = SLAB_NONE;
}

int resolver_ask(struct resolver *r, const char *name, size_t len, uint64_t waiter, int64_t now_ms,
                 struct resolve_answer *a)
{
	enum ready how = READY_NO;

	r->now_ms = now_ms;
	r->stats.asked++;
	if (len == 0 || len > NAME_MAX_LEN) {
		errno = EINVAL;
		return -1;
	}
	uint32_t i = dns_cache_find(&r->cache, name, len);
	if (i != DNS_NONE) {
		how = answerable(r, dns_cache_at(&r->cache, i));
	} else {
		i = dns_cache_add(&r->cache, name, len);
		if (i != DNS_NONE)
			entry_init(dns_cache_at(&r->cache, i));
	}
	if (how != READY_NO)
		return answer_at_once(r, i, how, a);
	if (i != DNS_NONE && wait_for(r, i, waiter) == 0)
		return 0;
	if (i != DNS_NONE && entry_usable(r, dns_cache_at(&r->cache, i)))
		return answer_at_once(r, i, READY_LATE, a);
	r->stats.refused_full++;
	errno = ENOBUFS;
	return -1;
}

void resolver_cancel(struct resolver *r, uint64_t waiter)
{
	for (uint32_t next, i = *bucket_of(r, waiter); i; i = next) {
		const struct waiter *w = waiter_at(r, i - 1);
		uint32_t entry = w->entry;
		next = w->bucket_next;
		if (w->id != waiter)
			continue;
		waiter_remove(r, i - 1);
		if (entry != DNS_NONE)
			entry_release(r, entry);
	}
}

/* Callbacks may ask again and cancel; what becomes ready meanwhile waits for the next turn. */
static void deliver(struct resolver *r)
{
	struct resolve_answer a;
	uint32_t next, i = r->ready;

	r->ready = DNS_NONE;
	for (; i != DNS_NONE; i = next) {
		struct dns_entry *e = dns_cache_at(&r->cache, i);
		next = e->ready_next;
		answer(r, i, (enum ready)e->ready, &a);
		e->ready = READY_NO;
		r->delivered = e->waiters;
		e->waiters = SLAB_NONE;
		for (uint32_t w = r->delivered; w != SLAB_NONE; w = waiter_at(r, w)->next)
			waiter_at(r, w)->entry = DNS_NONE;
		entry_release(r, i);
		while (r->delivered != SLAB_NONE) {
			uint64_t id = waiter_at(r, r->delivered)->id;
			waiter_remove(r, r->delivered);
			r->done(r->ctx, id, &a);
		}
	}
}

/*
 * After a refused allocation nothing is safe but to cancel all queries, which takes a little memory
 * itself. False: none was to be had.
 */
static bool recover(struct resolver *r)
{
	if (r->refusals != dns_heap_refusals()) {
		r->refusals = dns_heap_refusals();
		r->sick = true;
	}
	if (r->sick) {
		ares_cancel(r->channel);
		r->sick = ares_queue_active_queries(r->channel) > 0;
	}
	return !r->sick;
}

void resolver_run(struct resolver *r, int64_t now_ms)
{
	struct epoll_event events[EVENTS];
	ares_fd_events_t fds[EVENTS];
	int n = epoll_wait(r->epoll, events, EVENTS, 0);

	r->now_ms = now_ms;
	r->sockets.budget = DNS_SOCKETS_BUDGET;
	for (int i = 0; i < n; i++) {
		/* It would wake us until it can be read; to be cancelled is to be closed. */
		if (r->sick)
			epoll_ctl(r->epoll, EPOLL_CTL_DEL, events[i].data.fd, NULL);
		fds[i].fd = events[i].data.fd;
		fds[i].events = events[i].events & EPOLLOUT ? ARES_FD_EVENT_WRITE : 0;
		if (events[i].events & ~(uint32_t)EPOLLOUT)
			fds[i].events |= ARES_FD_EVENT_READ;
	}
	if (!r->sick && n > 0)
		ares_process_fds(r->channel, fds, (size_t)n, ARES_PROCESS_FLAG_SKIP_NON_FD);
	if (recover(r))
		ares_process_fds(r->channel, NULL, 0, ARES_PROCESS_FLAG_NONE);
	lookups_expire(r);
	deliver(r);
}

int resolver_fd(const struct resolver *r)
{
	return r->epoll;
}

int resolver_timeout(const struct resolver *r, int64_t now_ms)
{
	struct timeval tv;
	int64_t ms = r->due_ms == RESOLVE_NEVER ? INT_MAX : r->due_ms - now_ms;

	if (r->ready != DNS_NONE || ms < 0)
		return 0;
	if (ares_timeout(r->channel, NULL, &tv)) {
		int64_t left = (int64_t)tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000;
		ms = left < ms ? left : ms;
	} else if (r->due_ms == RESOLVE_NEVER) {
		return -1;
	}
	if (r->sick && ms > SICK_MS)
		ms = SICK_MS;
	return ms < INT_MAX ? (int)ms : INT_MAX;
}

void resolver_stats(const struct resolver *r, struct resolver_stats *s)
{
	*s = r->stats;
	s->entries = r->cache.entries.used;
}

static void on_socket(void *ctx, ares_socket_t fd, int readable, int writable)
{
	const struct resolver *r = ctx;
	uint32_t want = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);
	struct epoll_event ev = { .events = want, .data.fd = fd };

	/* A socket that cannot be waited for costs its queries their timeout. */
	if (!want)
		epoll_ctl(r->epoll, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 && errno == EEXIST)
		epoll_ctl(r->epoll, EPOLL_CTL_MOD, fd, &ev);
}

static int set_servers(ares_channel_t *channel, const struct resolve_config *c)
{
	char list[RESOLVE_NAMESERVERS_MAX * ADDR_PORT_TEXT], *end = list;

	for (size_t i = 0; i < c->n_nameservers; i++) {
		if (i > 0)
			*end++ = ',';
		addr_port_format(&c->nameservers[i], c->port ? c->port : DNS_PORT, end);
		end += strlen(end);
	}
	return ares_set_servers_ports_csv(channel, list);
}

/* All that files and environment could say is said here, but for servers if we know none. */
static int open_channel(struct resolver *r, const struct resolve_config *c)
{
	uint16_t port = c->port ? c->port : DNS_PORT;
	int ms = (int)(c->timeout_ms && c->timeout_ms < INT_MAX ? c->timeout_ms : TIMEOUT_MS);
	int servers = c->n_nameservers ? ARES_OPT_RESOLVCONF : 0;
	char no_hosts[] = "b", no_file[] = "/dev/null";
	struct ares_options o = {
		.flags =
			ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | (servers ? 0 : ARES_FLAG_NO_DFLT_SVR),
		.timeout = ms,
		.maxtimeout = ms,
		.tries = RESOLVE_TRIES,
		.udp_port = port,
		.tcp_port = port,
		.lookups = no_hosts,
		.resolvconf_path = no_file,
		.sock_state_cb = on_socket,
		.sock_state_cb_data = r,
		/* A port for a name's A and AAAA queries, never for two names' (RFC 5452 9.2). */
		.udp_max_queries = 2,
	};
	int set = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_MAXTIMEOUTMS | ARES_OPT_TRIES |
	          ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT | ARES_OPT_LOOKUPS | ARES_OPT_DOMAINS |
	          ARES_OPT_SOCK_STATE_CB | ARES_OPT_UDP_MAX_QUERIES | ARES_OPT_QUERY_CACHE |
	          ARES_OPT_NOROTATE | servers;

	int e = ares_init_options(&r->channel, &o, set);
	if (e == ARES_SUCCESS && servers)
		e = set_servers(r->channel, c);
	if (e == ARES_SUCCESS && dns_sockets_use(r->channel, &r->sockets) < 0)
		e = ARES_EFORMERR;
	errno = e == ARES_ENOSERVER ? EDESTADDRREQ : e == ARES_ENOMEM ? ENOMEM : EINVAL;
	return e == ARES_SUCCESS ? 0 : -1;
}

static size_t size_of(const struct resolver *r)
{
	return sizeof(*r) + ((size_t)r->mask + 1) * sizeof(*r->buckets);
}

static int open_tables(struct resolver *r, const struct resolve_config *c)
{
	uint64_t key[2];

	if (getrandom(key, sizeof(key), 0) != sizeof(key) ||
	    dns_cache_init(&r->cache, c->entries, key) < 0 ||
	    slab_init(&r->waiters, sizeof(struct waiter), c->waiters) < 0 ||
	    slab_init(&r->lookups, sizeof(struct lookup), RESOLVE_LOOKUPS_MAX) < 0 ||
	    slab_init(&r->records, sizeof(struct record_query), RESOLVE_RECORDS_MAX) < 0)
		return -1;
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	return r->epoll < 0 || open_channel(r, c) < 0 ? -1 : 0;
}

static int64_t stale_ms(uint32_t seconds)
{
	if (seconds == RESOLVE_STALE_NEVER)
		return 0;
	return (int64_t)(seconds ? seconds : STALE_SECONDS) * 1000;
}

struct resolver *resolver_open(const struct resolve_config *c, int64_t now_ms)
{
	struct resolver sizes = { .mask = 0 };

	if (!c->done || !c->waiters || c->waiters > INT32_MAX ||
	    c->n_nameservers > RESOLVE_NAMESERVERS_MAX) {
		errno = EINVAL;
		return NULL;
	}
	while (sizes.mask < c->waiters - 1)
		sizes.mask = sizes.mask << 1 | 1;
	struct resolver *r = mmap(NULL, size_of(&sizes), PROT_READ | PROT_WRITE,
	                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r == MAP_FAILED)
		return NULL;
	*r = (struct resolver){
		.done = c->done,
		.record = c->record,
		.ctx = c->ctx,
		.negative_ttl_max = c->negative_ttl_max,
		.stale_max_ms = stale_ms(c->stale_max),
		.sockets.mark = c->mark,
		.epoll = -1,
		.now_ms = now_ms,
		.due_ms = RESOLVE_NEVER,
		.buckets = (uint32_t *)(r + 1),
		.mask = sizes.mask,
		.ready = DNS_NONE,
		.delivered = SLAB_NONE,
	};
	if (dns_heap_open() < 0) {
		munmap(r, size_of(r));
		errno = ENOMEM;
		return NULL;
	}
	if (open_tables(r, c) == 0)
		return r;
	int e = errno;
	resolver_close(r);
	errno = e;
	return NULL;
}

void resolver_close(struct resolver *r)
{
	if (!r)
		return;
	if (r->channel)
		ares_destroy(r->channel);
	if (r->epoll >= 0)
		close(r->epoll);
	dns_cache_fini(&r->cache);
	slab_fini(&r->waiters);
	slab_fini(&r->lookups);
	slab_fini(&r->records);
	dns_heap_close();
	munmap(r, size_of(r));
}
