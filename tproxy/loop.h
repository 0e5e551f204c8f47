/* SPDX-License-Identifier: MIT */
/*
 * The event loop of a worker: epoll, edge-triggered, and a coarse timer wheel. Callbacks may remove
 * any descriptor and any timer: an event carries {kind, generation, index} instead of a pointer,
 * and its owner ignores generations that are over.
 */
#ifndef SLUICE_TPROXY_LOOP_H
#define SLUICE_TPROXY_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#define LOOP_TICK_MS 32
#define LOOP_FINE    256 /* slots of one tick */
#define LOOP_COARSE  512 /* slots of LOOP_FINE ticks: 70 minutes; later timers go round again */

struct timer {
	struct timer *next, **link; /* link NULL: not set */
	uint32_t due;               /* tick */
	uint32_t at;                /* tick at which its slot is visited; <= due */
};

struct loop {
	int epfd;
	int64_t now_ms;                 /* CLOCK_MONOTONIC at the start of this turn */
	int64_t base_ms;
	uint32_t tick;                  /* visited up to here */
	struct timer *fine[LOOP_FINE], *coarse[LOOP_COARSE];
	/* May say "something" of an empty slot, never the reverse. */
	uint64_t fine_map[LOOP_FINE / 64], coarse_map[LOOP_COARSE / 64];
};

int loop_init(struct loop *l); /* 0, or -1 with errno */
void loop_fini(struct loop *l);

/* Events carry this back. */
static inline uint64_t loop_data(unsigned kind, uint32_t generation, uint32_t index)
{
	return (uint64_t)(kind & 15) << 60 | (uint64_t)(generation & 0x0fffffff) << 32 | index;
}
static inline unsigned loop_kind(uint64_t data) { return (unsigned)(data >> 60); }
static inline uint32_t loop_index(uint64_t data) { return (uint32_t)data; }
static inline uint32_t loop_generation(uint64_t data)
{
	return (uint32_t)(data >> 32) & 0x0fffffff;
}

int loop_add(struct loop *l, int fd, uint32_t events, uint64_t data);
void loop_remove(struct loop *l, int fd);

/*
 * Waits at most max_ms (-1: for ever) or until the next timer; updates now_ms. Returns events as
 * epoll_wait.
 */
int loop_wait(struct loop *l, struct epoll_event *events, int n, int max_ms);
/* Calls fire for each timer that is due, unset before the call. */
void loop_run_timers(struct loop *l, void (*fire)(void *ctx, struct timer *t), void *ctx);

/* Sets or moves a timer. Moving one later costs nothing until its old slot comes round. */
void timer_set(struct loop *l, struct timer *t, uint32_t in_ms);
void timer_unset(struct timer *t);
static inline bool timer_is_set(const struct timer *t) { return t->link; }

#endif
