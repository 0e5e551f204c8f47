/* SPDX-License-Identifier: MIT */
/* Sessions kept for resumption: a bounded table for all threads. */
#include <string.h>

#include "tproxy/tls_common.h"

#define WAYS 4

static struct tls_kept *set_of(const struct tls_cache *c, const uint8_t key[TLS_KEY_SIZE])
{
	uint32_t hash;

	memcpy(&hash, key, sizeof(hash));
	return &c->kept[hash % c->n_sets * WAYS];
}

static struct tls_kept *kept_find(struct tls_kept *set, const uint8_t key[TLS_KEY_SIZE])
{
	for (struct tls_kept *k = set; k < set + WAYS; k++)
		if (k->len > 0 && memcmp(k->key, key, TLS_KEY_SIZE) == 0)
			return k;
	return NULL;
}

size_t tls_cache_find(struct tls_cache *c, const uint8_t key[TLS_KEY_SIZE], int64_t now,
                      void *session, size_t room)
{
	size_t len = 0;

	if (c->n_sets == 0)
		return 0;
	pthread_mutex_lock(&c->lock);
	struct tls_kept *k = kept_find(set_of(c, key), key);
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
	if (c->n_sets == 0 || len == 0 || len > TLS_KEPT_MAX)
		return;
	pthread_mutex_lock(&c->lock);
	struct tls_kept *set = set_of(c, key), *k = kept_find(set, key);
	if (!k) {
		k = set;
		for (struct tls_kept *other = set + 1; other < set + WAYS; other++)
			if (k->len > 0 && (other->len == 0 || other->since < k->since))
				k = other;
	}
	memcpy(k->key, key, TLS_KEY_SIZE);
	k->since = now;
	k->until = until < now + TLS_RESUME_S ? until : now + TLS_RESUME_S;
	memcpy(k->session, session, len);
	k->len = (uint16_t)len;
	pthread_mutex_unlock(&c->lock);
}
