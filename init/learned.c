/* SPDX-License-Identifier: MIT */
/* Destinations of UDP services that the proxy learned: the memory behind the kernel's sets. */
#include "init/learned.h"

#include <string.h>

/* The kernel forgets by itself, at the same time. */
static void forget_old(struct learned *l, uint64_t now)
{
	for (size_t i = 0; i < l->n;) {
		if (l->entry[i].until > now)
			i++;
		else
			l->entry[i] = l->entry[--l->n];
	}
}

static bool is_same_target(const struct learned_entry *a, const struct learned_entry *b)
{
	return a->port == b->port && addr_equal(&a->destination, &b->destination);
}

static bool covers(const struct learned_entry *a, const struct learned_entry *b)
{
	return addr_compare(&a->first, &b->first) <= 0 && addr_compare(&a->last, &b->last) >= 0;
}

bool learned_plan(struct learned *l, const struct learned_entry *e, uint64_t now,
	struct learned_change *c)
{
	forget_old(l, now);
	c->n_gone = 0;
	c->comes = true;
	c->entry = *e;
	for (size_t i = 0; i < l->n; i++) {
		const struct learned_entry *old = &l->entry[i];

		if (!is_same_target(old, e))
			continue;
		/* Prefixes nest or are disjoint. A wider one stays as long as it may, and no longer. */
		if (covers(old, e) && (old->until >= e->until || !covers(e, old))) {
			c->n_gone = 0;
			c->comes = false;
			return true;
		}
		if (!covers(e, old))
			continue;
		if (c->n_gone == LEARNED_SWAP)
			return false;
		c->gone[c->n_gone++] = *old;
	}
	return l->n - c->n_gone < LEARNED_MAX;
}

static bool is_entry(const struct learned_entry *a, const struct learned_entry *b)
{
	return is_same_target(a, b) && addr_equal(&a->first, &b->first) &&
		addr_equal(&a->last, &b->last);
}

void learned_commit(struct learned *l, const struct learned_change *c)
{
	for (size_t g = 0; g < c->n_gone; g++)
		for (size_t i = 0; i < l->n; i++)
			if (is_entry(&l->entry[i], &c->gone[g])) {
				l->entry[i] = l->entry[--l->n];
				break;
			}
	if (c->comes && l->n < LEARNED_MAX)
		l->entry[l->n++] = c->entry;
}
