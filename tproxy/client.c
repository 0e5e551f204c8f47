/* SPDX-License-Identifier: MIT */
/* Connections counted by client address. */
#include "tproxy/client.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

int client_init(struct client_table *t, uint32_t max, uint32_t share)
{
	memset(t, 0, sizeof(*t));
	if (share >= max)
		return 0;
	if (getrandom(&t->key, sizeof(t->key), 0) != sizeof(t->key))
		return -1;
	t->share = share;
	return slab_init(&t->entries, sizeof(struct client), max);
}

void client_fini(struct client_table *t)
{
	slab_fini(&t->entries);
}

static struct client *client_at(struct client_table *t, uint32_t i)
{
	return slab_at(&t->entries, i);
}

static uint32_t *bucket_of(struct client_table *t, const struct addr *a)
{
	uint64_t h = t->key, half[2];

	memcpy(half, a->b, sizeof(half));
	for (int i = 0; i < 2; i++) {
		h = (h ^ half[i]) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 32;
		h = (h ^ t->key) * UINT64_C(0xbf58476d1ce4e5b9);
		h ^= h >> 29;
	}
	return &t->buckets[h % CLIENT_BUCKETS];
}

bool client_enter(struct client_table *t, const struct addr *a, uint32_t *index)
{
	*index = SLAB_NONE;
	if (!t->share)
		return true;
	uint32_t *bucket = bucket_of(t, a);
	for (uint32_t i = *bucket; i; i = client_at(t, i - 1)->next) {
		struct client *c = client_at(t, i - 1);
		if (!addr_equal(&c->addr, a))
			continue;
		if (c->conns >= t->share)
			return false;
		c->conns++;
		*index = i - 1;
		return true;
	}
	uint32_t i = slab_take(&t->entries);
	if (i == SLAB_NONE)
		return false;
	*client_at(t, i) = (struct client){ .next = *bucket, .conns = 1, .addr = *a };
	*bucket = i + 1;
	*index = i;
	return true;
}

void client_leave(struct client_table *t, uint32_t index)
{
	if (index == SLAB_NONE)
		return;
	struct client *c = client_at(t, index);
	if (--c->conns)
		return;
	uint32_t *at = bucket_of(t, &c->addr);
	while (*at != index + 1)
		at = &client_at(t, *at - 1)->next;
	*at = c->next;
	slab_give(&t->entries, index);
}
