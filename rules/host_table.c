/* SPDX-License-Identifier: MIT */
/* HOSTS and NAMES: every host key where its hash puts it (see format.h). */
#include "rules/emit.h"

#include <stdlib.h>
#include <string.h>

#include "rules/name.h"

static int compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare_keys(const void *a, const void *b)
{
	const struct emit_key *x = a, *y = b;
	int order;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	order = compare_bytes(x->key, x->len, y->key, y->len);
	if (order != 0)
		return order;
	return (x->service > y->service) - (x->service < y->service);
}

static bool same_key(const struct emit_key *a, const struct emit_key *b)
{
	return a->hash == b->hash && a->len == b->len && memcmp(a->key, b->key, a->len) == 0;
}

static void gather(struct emit *w)
{
	const struct model_services *services = &w->m->services;
	size_t n = 0;

	for (size_t i = 0; i < services->n; i++)
		n += services->v[i].hosts.n;
	w->keys = emit_alloc(n, sizeof(*w->keys));
	for (size_t i = 0; i < services->n; i++)
		for (size_t j = 0; j < services->v[i].hosts.n; j++) {
			const struct model_host *h = &services->v[i].hosts.v[j];
			uint32_t hash = name_hash(FORMAT_HASH_START, h->key, h->len);

			w->keys[w->n_keys++] = (struct emit_key){h->key, hash, (uint32_t)i, h->len};
		}
	qsort(w->keys, w->n_keys, sizeof(*w->keys), compare_keys);
}

/* How many of the sorted entries from i on have the same key. */
static size_t run_length(const struct emit *w, size_t i)
{
	size_t n = 1;

	while (i + n < w->n_keys && same_key(&w->keys[i], &w->keys[i + n]))
		n++;
	return n;
}

bool emit_collect_hosts(struct emit *w)
{
	uint32_t items[FORMAT_MAX_SERVICES];
	size_t keys = 0;

	gather(w);
	w->key_lists = emit_alloc(w->n_keys, sizeof(*w->key_lists));
	for (size_t i = 0, n; i < w->n_keys; i += n) {
		const struct emit_key *k = &w->keys[i];
		bool wild = k->len == 0 || k->key[0] == '.';

		n = run_length(w, i);
		if (n > FORMAT_MAX_SERVICES)
			return emit_fail(w, "host %s%.*s is in more than %d services",
					 wild ? "*" : "", k->len, k->key, FORMAT_MAX_SERVICES);
		for (size_t j = 0; j < n; j++) {
			items[j] = k[j].service;
			if (j > 0 && items[j] == items[j - 1])
				return emit_fail(w, "service %s lists %s%.*s twice",
						 w->m->services.v[items[j]].name, wild ? "*" : "",
						 k->len, k->key);
		}
		w->key_lists[keys++] = pool_add_list(&w->lists, items, (uint32_t)n);
	}
	return true;
}

/* Appends the key to NAMES and makes it known to its services. Returns its offset. */
static uint32_t write_name(struct emit *w, size_t i, size_t n)
{
	const struct emit_key *k = &w->keys[i];
	struct bytes *names = &w->sections[FORMAT_NAMES];
	uint32_t offset = (uint32_t)names->n;
	uint8_t *b = bytes_add(names, 1u + k->len);

	b[0] = k->len;
	memcpy(b + 1, k->key, k->len);
	w->records[FORMAT_NAMES]++;
	for (size_t j = 0; j < n; j++) {
		uint32_t service = k[j].service;
		const uint8_t *first = names->v + w->first_host[service];

		if (w->n_hosts[service]++ == 0 ||
		    compare_bytes(k->key, k->len, (const char *)first + 1, first[0]) < 0)
			w->first_host[service] = offset;
	}
	return offset;
}

bool emit_write_hosts(struct emit *w)
{
	struct bytes *table = &w->sections[FORMAT_HOSTS];
	uint32_t homes, free_slot = 0;
	size_t keys = 0;

	for (size_t i = 0; i < w->n_keys; i += run_length(w, i))
		keys++;
	if (keys > FORMAT_MAX_SIZE / HOST_SIZE)
		return emit_fail(w, "too many hosts");
	homes = format_homes((uint32_t)keys);
	keys = 0;
	for (size_t i = 0, n; i < w->n_keys; i += n) {
		uint32_t home = format_home(w->keys[i].hash, homes),
			 slot = home > free_slot ? home : free_slot;
		uint8_t *b = bytes_add(table, (size_t)(slot - free_slot + 1) * HOST_SIZE) +
			     (size_t)(slot - free_slot) * HOST_SIZE;

		n = run_length(w, i);
		put_le32(b + HOST_NAME, write_name(w, i, n) + 1);
		put_le32(b + HOST_LIST, pool_list(&w->lists, w->key_lists[keys++]));
		free_slot = slot + 1;
		if (slot - home + 1 > w->probes)
			w->probes = slot - home + 1;
	}
	if (w->probes > FORMAT_MAX_PROBES)
		return emit_fail(w, "too many host names have the same hash");
	if (keys > 0)
		bytes_add(table, (size_t)(homes + w->probes - 1 - free_slot) * HOST_SIZE);
	w->records[FORMAT_HOSTS] = (uint32_t)(table->n / HOST_SIZE);
	return true;
}
