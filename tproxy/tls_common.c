/* SPDX-License-Identifier: MIT */
/* Settings of TLS in memory of their own, which is in no core file and wiped before it goes. */
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "tproxy/tls_common.h"

#define ALIGN 16u
#define WAYS  4u

static size_t aligned(size_t len)
{
	return (len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

void *tls_take(struct tls_common *c, size_t len)
{
	uint8_t *at = c->free;

	if (len > c->left || aligned(len) > c->left)
		return NULL;
	c->free += aligned(len);
	c->left -= aligned(len);
	return at;
}

static size_t names_room(const char *const *names, size_t n)
{
	size_t room = aligned((n + 1) * sizeof(*names));

	for (size_t i = 0; i < n; i++)
		room += aligned(strlen(names[i]) + 1);
	return room;
}

/* A copy of names that ends with NULL; it was measured before, so there is room. */
static const char **names_copy(struct tls_common *c, const char *const *names, size_t n)
{
	const char **copy = tls_take(c, (n + 1) * sizeof(*copy));

	for (size_t i = 0; i < n; i++)
		copy[i] = strcpy(tls_take(c, strlen(names[i]) + 1), names[i]);
	return copy;
}

static size_t cache_sets(const struct tls_settings *set)
{
	return (set->sessions + WAYS - 1) / WAYS;
}

/* Names end up in messages whose fields have 255 bytes. */
static bool names_fit(const char *const *names, size_t n, const char *object,
                      struct tls_problem *problem)
{
	for (size_t i = 0; i < n; i++)
		if (names[i][0] == '\0' || strlen(names[i]) > 255) {
			*problem = (struct tls_problem){ TLS_FAULT_BAD_NAME, object, (unsigned)i + 1 };
			return false;
		}
	return true;
}

static bool settings_fit(const struct tls_settings *set, struct tls_problem *problem)
{
	const char *missing = set->server && set->certificate.len == 0        ? "certificate" :
	                      !set->server && set->ca.len == 0                ? "ca" :
	                      set->certificate.len > 0 && !set->private_key.len ? "private-key" :
	                      set->private_key.len > 0 && !set->certificate.len ? "certificate" :
	                                                                          NULL;

	if (missing) {
		*problem = (struct tls_problem){ TLS_FAULT_MISSING, missing, 0 };
		return false;
	}
	return names_fit(&set->sni, set->sni != NULL, "sni", problem) &&
	       names_fit(set->alt_names, set->n_alt_names, "subject-alt-names", problem) &&
	       names_fit(set->alpn, set->n_alpn, "alpn", problem);
}

void *tls_common_open(const struct tls_settings *set, size_t config_size, size_t more, size_t kept,
                      struct tls_problem *problem)
{
	size_t sni = set->sni != NULL;
	size_t cache = cache_sets(set) * WAYS * aligned(sizeof(struct tls_kept) + kept);

	if (!settings_fit(set, problem))
		return NULL;
	size_t size = aligned(config_size) + names_room(&set->sni, sni) +
	              names_room(set->alt_names, set->n_alt_names) +
	              names_room(set->alpn, set->n_alpn) + aligned(set->n_pins * TLS_PIN_SIZE) +
	              aligned(cache) + more;
	struct tls_common *c = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                            -1, 0);
	if (c == MAP_FAILED) {
		*problem = (struct tls_problem){ TLS_FAULT_INTERNAL, "memory", 0 };
		return NULL;
	}
	madvise(c, size, MADV_DONTDUMP);
	*c = (struct tls_common){ .refs = 1,
		                  .server = set->server,
		                  .tls13 = set->tls13,
		                  .n_alt_names = set->n_alt_names,
		                  .n_pins = set->n_pins,
		                  .n_alpn = set->n_alpn,
		                  .cache = { .n_sets = cache_sets(set), .room = kept },
		                  .free = (uint8_t *)c + aligned(config_size),
		                  .size = size,
		                  .left = size - aligned(config_size) };
	pthread_mutex_init(&c->cache.lock, NULL);
	c->cache.kept = tls_take(c, cache);
	c->sni = names_copy(c, &set->sni, sni)[0];
	c->alt_names = names_copy(c, set->alt_names, set->n_alt_names);
	c->alpn = names_copy(c, set->alpn, set->n_alpn);
	void *pins = tls_take(c, set->n_pins * TLS_PIN_SIZE);
	if (set->n_pins > 0)
		memcpy(pins, set->pins, set->n_pins * TLS_PIN_SIZE);
	c->pins = pins;
	return c;
}

bool tls_common_last(struct tls_common *c)
{
	return atomic_fetch_sub(&c->refs, 1) == 1;
}

void tls_common_free(struct tls_common *c)
{
	size_t size = c->size;

	pthread_mutex_destroy(&c->cache.lock);
	explicit_bzero(c, size);
	munmap(c, size);
}

struct tls_config *tls_config_take(struct tls_config *c)
{
	atomic_fetch_add(&((struct tls_common *)c)->refs, 1);
	return c;
}

enum tls_fault tls_file_each(struct tls_bytes file, enum tls_pem_kind kind, unsigned *nth,
                             enum tls_fault (*take)(void *ctx, struct tls_bytes der), void *ctx)
{
	size_t room = file.len > 0 ? file.len : 1;
	enum tls_fault fault = TLS_FAULT_OK;
	enum tls_pem_kind found;
	long len;

	*nth = 0;
	void *der = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (der == MAP_FAILED)
		return TLS_FAULT_INTERNAL;
	madvise(der, room, MADV_DONTDUMP);
	while (fault == TLS_FAULT_OK && (len = tls_pem_next(&file, &found, der)) != 0) {
		if (len > 0 && found != kind && found != TLS_PEM_DER)
			continue;
		++*nth;
		fault = len < 0 ? TLS_FAULT_BAD_PEM : take(ctx, (struct tls_bytes){ der, (size_t)len });
	}
	explicit_bzero(der, room);
	munmap(der, room);
	return *nth == 0 ? TLS_FAULT_MISSING : fault;
}
