/* SPDX-License-Identifier: MIT */
/* A worker's thread: its loop, what it dispatches to, the control thread's orders to it. */
#include "tproxy/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "tproxy/conn.h"
#include "tproxy/dial.h"
#include "tproxy/exchange.h"
#include "tproxy/log.h"
#include "tproxy/upstream.h"
#include "tproxy/worker_pool.h"

#define EVENTS_PER_TURN 64
#define STARVED_WAIT_MS 10  /* until a buffer is looked for again */
#define LOG_WAIT_MS     100 /* until a log that would block is tried again */
#define TRIM_ABOVE      256 /* connections there must have been for memory to be given back */

uint32_t worker_random(struct worker *w)
{
	/* xorshift64* */
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return (uint32_t)((w->random * UINT64_C(2685821657736338717)) >> 32);
}

/* Policies */

void worker_take_policy(struct worker *w, struct conn *c)
{
	c->policy = w->policy;
	w->policies[w->policy].conns++;
}

static void drop_slot(struct worker *w, uint8_t i)
{
	struct policy_slot *s = &w->policies[i];

	if (!s->shared || s->conns || i == w->policy)
		return;
	shared_policy_drop(s->shared);
	s->shared = NULL;
}

void worker_drop_policy(struct worker *w, struct conn *c)
{
	w->policies[c->policy].conns--;
	drop_slot(w, c->policy);
}

/* Whether what was decided is still to be carried out, by the policy that decided. */
static bool bound(struct worker *w, const struct conn *c)
{
	if (c->state == CONN_HTTP && c->exchange != NONE) {
		const struct exchange *x = exchange_of(w, c);
		return x->phase == EXCHANGE_DIAL || (x->phase == EXCHANGE_RUN && !x->head_done);
	}
	return c->state == CONN_DIAL;
}

/*
 * No slot is free for a new policy: the connections of one old policy stop pointing at it. What
 * is not decided yet is decided by the new one; what flows goes on, nameless in the log; what is
 * being reached by the old one, or has no answer yet, ends.
 */
static void retire(struct worker *w, uint8_t slot)
{
	for (uint32_t i = 0; i < w->conns.high; i++) {
		struct conn *c = conn_at(w, i);
		if (c->state == CONN_FREE || c->policy != slot)
			continue;
		if (bound(w, c)) {
			conn_close(w, c, true);
			continue;
		}
		if (!(c->flags & CONN_NAME_SLOT))
			c->name = NONE;
		c->service = c->destination = c->key = NONE;
		w->policies[slot].conns--;
		worker_take_policy(w, c);
	}
	drop_slot(w, slot);
}

static uint8_t free_slot(struct worker *w)
{
	uint32_t n_bound[GENERATIONS] = { 0 };
	uint8_t least = w->policy ? 0 : 1;

	for (uint8_t i = 0; i < GENERATIONS; i++)
		if (!w->policies[i].shared)
			return i;
	for (uint32_t i = 0; i < w->conns.high; i++)
		if (conn_at(w, i)->state != CONN_FREE)
			n_bound[conn_at(w, i)->policy] += bound(w, conn_at(w, i));
	for (uint8_t i = 0; i < GENERATIONS; i++)
		if (i != w->policy && n_bound[i] < n_bound[least])
			least = i;
	retire(w, least);
	return least;
}

static void switch_policy(struct worker *w, struct shared_policy *p)
{
	uint8_t old = w->policy, slot = free_slot(w);

	w->policies[slot] = (struct policy_slot){ .shared = p };
	w->policy = slot;
	drop_slot(w, old);
	if (p->sink != w->sink) {
		access_log_switch(w->log, p->sink->sink, p->meta.log_format);
		atomic_fetch_add(&p->sink->refs, 1);
		shared_sink_drop(w->sink);
		w->sink = p->sink;
	} else {
		access_log_switch(w->log, p->sink->sink, p->meta.log_format);
	}
	learn_policy(w);
	health_policy(w);
	if (p->dns_capture && w->stub.udp[0] < 0 && !w->number && !w->draining)
		log_warn("dns = capture: port 53 was not to be had at the start: no DNS over UDP "
		         "is answered before the next one");
}

/* Orders */

static void start_drain(struct worker *w, uint32_t in_ms)
{
	if (!w->draining)
		for (unsigned i = 0; i < w->n_listeners; i++) {
			if (w->listeners[i] < 0)
				continue;
			/* Those that the kernel already took in are served. */
			conn_accept(w, (int)i);
			loop_remove(&w->loop, w->listeners[i]);
			close(w->listeners[i]);
			w->listeners[i] = -1;
		}
	w->draining = true;
	w->drain_ms = w->loop.now_ms + in_ms;
	for (uint32_t i = 0; i < w->conns.high; i++)
		if (conn_at(w, i)->state != CONN_FREE)
			conn_drain(w, conn_at(w, i));
	up_close_idle(w);
}

static void read_mail(struct worker *w)
{
	uint64_t count;
	(void)!read(w->mail_fd, &count, sizeof(count));

	pthread_mutex_lock(&w->mail_lock);
	struct shared_policy *p = w->mail_policy;
	struct dump *d = w->mail_dump;
	bool drain = w->mail_drain;
	uint32_t drain_ms = w->mail_drain_ms;
	w->mail_policy = NULL;
	w->mail_dump = NULL;
	w->mail_drain = false;
	pthread_mutex_unlock(&w->mail_lock);

	if (p)
		switch_policy(w, p);
	if (d)
		dump_answer(w, d);
	if (drain)
		start_drain(w, drain_ms);
}

/* Dispatch */

static void on_down(struct worker *w, const struct epoll_event *e)
{
	struct conn *c = conn_at(w, loop_index(e->data.u64));
	if (c->state != CONN_FREE && (c->generation & 0x0fffffff) == loop_generation(e->data.u64))
		conn_ready(w, c, e->events);
}

static void on_up(struct worker *w, const struct epoll_event *e)
{
	struct up *u = up_at(w, loop_index(e->data.u64));
	if (u->state == UP_FREE || (u->generation & 0x0fffffff) != loop_generation(e->data.u64))
		return;
	if (u->state == UP_IDLE)
		up_expire(w, u);
	else
		conn_up_ready(w, conn_at(w, u->conn), u, e->events);
}

static void dispatch(struct worker *w, const struct epoll_event *e)
{
	switch (loop_kind(e->data.u64)) {
	case EVENT_LISTEN:
		if (w->listeners[loop_index(e->data.u64)] >= 0)
			conn_accept(w, (int)loop_index(e->data.u64));
		return;
	case EVENT_DOWN: on_down(w, e); return;
	case EVENT_UP: on_up(w, e); return;
	case EVENT_MAIL: read_mail(w); return;
	case EVENT_LEARN:
		learn_ready(w);
		stub_learned(w);
		return;
	case EVENT_HEALTH:
		health_ready(w, loop_index(e->data.u64), loop_generation(e->data.u64), e->events);
		return;
	case EVENT_STUB: stub_udp_ready(w, loop_index(e->data.u64)); return;
	case EVENT_RESOLVER: default: return; /* run once per turn */
	}
}

static void fire(void *ctx, struct timer *t)
{
	struct worker *w = ctx;

	if (t == &w->learn.timer)
		learn_timeout(w);
	else if (t == &w->health.timer)
		health_timeout(w);
	else if (t == &w->stub.timer)
		stub_learned(w);
	else if (slab_owns(&w->conns, t))
		conn_timeout(w, (struct conn *)(void *)((char *)t - offsetof(struct conn, timer)));
	else
		up_expire(w, (struct up *)(void *)((char *)t - offsetof(struct up, timer)));
}

void worker_resolved(void *ctx, uint64_t waiter, const struct resolve_answer *a)
{
	struct worker *w = ctx;

	if (waiter & STUB_WAITER) {
		stub_resolved(w, waiter, a);
		return;
	}
	if (waiter & LEARN_WAITER) {
		learn_resolved(w, waiter, a);
		return;
	}
	if (waiter & HEALTH_WAITER) {
		health_resolved(w, waiter, a);
		return;
	}
	struct conn *c = conn_at(w, (uint32_t)waiter);
	if (c->state != CONN_FREE && (c->generation & 0x0fffffff) == waiter >> 32 &&
	    c->dial != NONE)
		dial_resolved(w, c, a);
}

static void run_again(struct worker *w)
{
	uint32_t i = w->again;

	w->again = NONE;
	w->starved = false;
	while (i != NONE) {
		struct conn *c = conn_at(w, i);
		i = c->link;
		c->flags &= (uint8_t)~CONN_AGAIN;
		conn_again(w, c);
	}
}

static void run_resolver(struct worker *w)
{
	struct resolver_stats s;

	resolver_run(w->resolver, w->loop.now_ms);
	resolver_stats(w->resolver, &s);
	pthread_mutex_lock(&w->mail_lock);
	w->resolver_stats = s;
	pthread_mutex_unlock(&w->mail_lock);
}

static int sooner(int a, int b)
{
	return a < 0 ? b : b < 0 || a < b ? a : b;
}

static int wait_limit(struct worker *w, bool log_waits)
{
	int max = resolver_timeout(w->resolver, w->loop.now_ms);

	if (w->again != NONE)
		max = sooner(max, w->starved ? STARVED_WAIT_MS : 0);
	if (log_waits)
		max = sooner(max, LOG_WAIT_MS);
	if (w->resume_ms) {
		int64_t left = w->resume_ms - w->loop.now_ms;
		max = sooner(max, left > 0 ? (int)left : 0);
	}
	if (w->draining) {
		int64_t left = w->drain_ms - w->loop.now_ms;
		if (stub_udp_is_open(&w->stub) && w->stub.close_ms < w->drain_ms)
			left = w->stub.close_ms - w->loop.now_ms;
		max = sooner(max, left > 0 ? (int)left : 0);
	}
	return max;
}

static void end_all(struct worker *w)
{
	for (uint32_t i = 0; i < w->conns.high; i++)
		if (conn_at(w, i)->state != CONN_FREE)
			conn_end(w, conn_at(w, i));
	stub_end(w);
}

static void trim(struct worker *w)
{
	if (w->conns.used || w->ups.used || w->conns.high < TRIM_ABOVE)
		return;
	slab_trim(&w->conns);
	slab_trim(&w->ups);
	slab_trim(&w->dials);
	slab_trim(&w->exchanges);
	slab_trim(&w->sessions);
	slab_trim(&w->buffers);
	slab_trim(&w->smalls);
	slab_trim(&w->names);
}

static void read_clock(struct worker *w)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	w->wall_offset_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 - w->loop.now_ms;
}

/* One turn. False: the worker is done. */
static bool turn(struct worker *w, bool *log_waits)
{
	struct epoll_event events[EVENTS_PER_TURN];
	bool resolver_ready = false;
	int max = wait_limit(w, *log_waits);

	atomic_store_explicit(&w->turned_ms, 0, memory_order_relaxed);
	int n = loop_wait(&w->loop, events, EVENTS_PER_TURN, max);
	atomic_store_explicit(&w->turned_ms, w->loop.now_ms, memory_order_relaxed);
	if (n < 0) {
		log_error("worker %u: epoll_wait: %s", w->number, strerror(errno));
		return false;
	}
	read_clock(w);
	for (int i = 0; i < n; i++) {
		if (loop_kind(events[i].data.u64) == EVENT_RESOLVER)
			resolver_ready = true;
		else
			dispatch(w, &events[i]);
	}
	if (w->resume_ms && w->loop.now_ms >= w->resume_ms)
		conn_resume(w);
	if (resolver_ready || resolver_timeout(w->resolver, w->loop.now_ms) == 0)
		run_resolver(w);
	loop_run_timers(&w->loop, fire, w);
	if (w->again != NONE)
		run_again(w);
	*log_waits = access_flush(w->log) > 0;
	if (w->draining && w->loop.now_ms >= w->drain_ms)
		end_all(w);
	if (w->draining)
		stub_udp_drain(w);
	if (w->draining && w->again == NONE && !w->conns.used && !stub_udp_is_open(&w->stub))
		return false;
	trim(w);
	return true;
}

void *worker_run(void *arg)
{
	struct worker *w = arg;
	bool log_waits = false;

	while (turn(w, &log_waits))
		;
	end_all(w);
	if (w->again != NONE)
		run_again(w);
	up_close_idle(w);
	learn_end(w);
	health_end(w);
	access_flush(w->log);
	/* From here on the control thread finds out for itself that nothing is left. */
	pthread_mutex_lock(&w->mail_lock);
	struct dump *d = w->mail_dump;
	w->mail_dump = NULL;
	atomic_store(&w->done, true);
	pthread_mutex_unlock(&w->mail_lock);
	if (d)
		dump_answer(w, d);
	workers_signal(w->all);
	return NULL;
}
