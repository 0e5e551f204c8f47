/* SPDX-License-Identifier: MIT */
/* Sessions kept for resumption: a bounded table for all threads. */
#include <string.h>

#include "tproxy/tls_common.h"

#define WAYS 4

static struct tls_kept *kept_at(const struct tls_cache *c, size_t i)
{
	size_t size = (sizeof(struct tls_kept) + c->room + 15) & ~(size_t)15;

	return (struct tls_kept *)(c->kept + i * size);
}

/* The first of the key's set. */
static size_t set_of(const struct tls_cache *c, const uint8_t key[TLS_KEY_SIZE])
{
	uint32_t hash;

	memcpy(&hash, key, sizeof(hash));
	return hash % c->n_sets * WAYS;
}

static struct tls_kept *kept_find(const struct tls_cache *c, const uint8_t key[TLS_KEY_SIZE])
{
	size_t set = set_of(c, key);

	for (size_t i = set; i < set + WAYS; i++)
		if (kept_at(c, i)->len > 0 && memcmp(kept_at(c, i)->key, key, TLS_KEY_SIZE) == 0)
			return kept_at(c, i);
	return NULL;
}

/* The one that makes room. */
static struct tls_kept *kept_oldest(const struct tls_cache *c, const uint8_t key[TLS_KEY_SIZE])
{
	size_t set = set_of(c, key);
	struct tls_kept *oldest = kept_at(c, set);

	for (size_t i = set + 1; i < set + WAYS && oldest->len > 0; i++)
		if (kept_at(c, i)->len == 0 || kept_at(c, i)->since < oldest->since)
			oldest = kept_at(c, i);
	return oldest;
}

size_t tls_cache_find(struct tls_cache *c, const uint8_t key[TLS_KEY_SIZE], int64_t now,
                      void *session, size_t room)
{
	size_t len = 0;

	if (c->n_sets == 0)
		return 0;
	pthread_mutex_lock(&c->lock);
	const struct tls_kept *k = kept_find(c, key);
	if (k && k->len <= room && now >= k->since && now < k->until) {
		len = k->len;
		memcpy(session, k->session, len);
	}
	pthread_mutex_unlock(&c->lock);
	return len;
}

void tls_cache_keep(struct tls_cache *c, const uint8_t key[TLS_KEY_SIZE], int64_t now,
                    int64_t until, const void *session, size_t len)
{
	if (c->n_sets == 0 || len == 0 || len > c->room)
		return;
	pthread_mutex_lock(&c->lock);
	struct tls_kept *k = kept_find(c, key);
	if (!k)
		k = kept_oldest(c, key);
	memcpy(k->key, key, TLS_KEY_SIZE);
	k->since = now;
	k->until = until < now + TLS_RESUME_S ? until : now + TLS_RESUME_S;
	memcpy(k->session, session, len);
	k->len = (uint16_t)len;
	pthread_mutex_unlock(&c->lock);
}
