/* SPDX-License-Identifier: MIT */
/* The event loop of a worker. */
#include "tproxy/loop.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t monotonic_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint32_t tick_of(const struct loop *l, int64_t ms)
{
	return (uint32_t)((ms - l->base_ms) / LOOP_TICK_MS);
}

int loop_init(struct loop *l)
{
	memset(l, 0, sizeof(*l));
	l->base_ms = l->now_ms = monotonic_ms();
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	return l->epfd < 0 ? -1 : 0;
}

void loop_fini(struct loop *l)
{
	if (l->epfd >= 0)
		close(l->epfd);
	l->epfd = -1;
}

int loop_add(struct loop *l, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };
	return epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &e);
}

void loop_remove(struct loop *l, int fd)
{
	epoll_ctl(l->epfd, EPOLL_CTL_DEL, fd, NULL);
}

static void link_in(struct loop *l, struct timer *t)
{
	struct timer **head;
	uint32_t slot, ahead = t->due - l->tick;

	if (ahead < LOOP_FINE) {
		slot = t->due % LOOP_FINE;
		t->at = t->due;
		head = &l->fine[slot];
		l->fine_map[slot / 64] |= UINT64_C(1) << slot % 64;
	} else {
		uint32_t block = t->due / LOOP_FINE;
		if (block - l->tick / LOOP_FINE >= LOOP_COARSE)
			block = l->tick / LOOP_FINE + LOOP_COARSE - 1;
		slot = block % LOOP_COARSE;
		t->at = block * LOOP_FINE;
		head = &l->coarse[slot];
		l->coarse_map[slot / 64] |= UINT64_C(1) << slot % 64;
	}
	t->next = *head;
	if (t->next)
		t->next->link = &t->next;
	t->link = head;
	*head = t;
}

void timer_unset(struct timer *t)
{
	if (!t->link)
		return;
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	t->link = NULL;
}

void timer_set(struct loop *l, struct timer *t, uint32_t in_ms)
{
	/* One tick more than the division gives, so that a timer never fires early. */
	t->due = tick_of(l, l->now_ms + in_ms) + 1;
	if ((int32_t)(t->due - l->tick) < 1)
		t->due = l->tick + 1;
	if (t->link && (int32_t)(t->due - t->at) >= 0)
		return;
	timer_unset(t);
	link_in(l, t);
}

static int64_t map_next(const uint64_t *map, uint32_t slots, uint32_t from)
{
	for (uint32_t i = 0; i < slots;) {
		uint32_t slot = (from + i) % slots;
		uint64_t word = map[slot / 64] >> slot % 64;
		if (word)
			return i + (uint32_t)__builtin_ctzll(word);
		i += 64 - slot % 64;
	}
	return -1;
}

/* Ticks from l->tick until a slot wants a visit, or -1. */
static int64_t next_visit(const struct loop *l)
{
	int64_t fine = map_next(l->fine_map, LOOP_FINE, (l->tick + 1) % LOOP_FINE);
	int64_t coarse = map_next(l->coarse_map, LOOP_COARSE,
	                          (l->tick / LOOP_FINE + 1) % LOOP_COARSE);

	if (fine >= 0)
		fine += 1;
	if (coarse >= 0) {
		coarse = (coarse + 1) * LOOP_FINE - l->tick % LOOP_FINE;
		if (fine < 0 || coarse < fine)
			return coarse;
	}
	return fine;
}

int loop_wait(struct loop *l, struct epoll_event *events, int n, int max_ms)
{
	int64_t ticks = next_visit(l), wait = -1;

	if (ticks >= 0) {
		wait = l->base_ms + ((int64_t)l->tick + ticks) * LOOP_TICK_MS - l->now_ms;
		if (wait < 0)
			wait = 0;
	}
	if (max_ms >= 0 && (wait < 0 || max_ms < wait))
		wait = max_ms;
	int got = epoll_wait(l->epfd, events, n, wait > INT32_MAX ? INT32_MAX : (int)wait);
	l->now_ms = monotonic_ms();
	return got < 0 && errno == EINTR ? 0 : got;
}

/* Takes a slot's list off the wheel, onto *head. */
static void detach(struct timer **slot, struct timer **head)
{
	*head = *slot;
	*slot = NULL;
	if (*head)
		(*head)->link = head;
}

static void cascade(struct loop *l)
{
	uint32_t slot = l->tick / LOOP_FINE % LOOP_COARSE;
	struct timer *list;

	l->coarse_map[slot / 64] &= ~(UINT64_C(1) << slot % 64);
	detach(&l->coarse[slot], &list);
	while (list) {
		struct timer *t = list;
		timer_unset(t);
		link_in(l, t);
	}
}

void loop_run_timers(struct loop *l, void (*fire)(void *ctx, struct timer *t), void *ctx)
{
	uint32_t now = tick_of(l, l->now_ms);

	while (l->tick != now) {
		int64_t ahead = next_visit(l);
		if (ahead < 0 || ahead > (int64_t)(uint32_t)(now - l->tick)) {
			l->tick = now;
			return;
		}
		l->tick += (uint32_t)ahead;
		if (l->tick % LOOP_FINE == 0)
			cascade(l);
		uint32_t slot = l->tick % LOOP_FINE;
		struct timer *list;
		l->fine_map[slot / 64] &= ~(UINT64_C(1) << slot % 64);
		detach(&l->fine[slot], &list);
		while (list) {
			struct timer *t = list;
			timer_unset(t);
			if ((int32_t)(t->due - l->tick) > 0)
				link_in(l, t);
			else
				fire(ctx, t);
		}
	}
}
