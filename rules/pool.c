/* SPDX-License-Identifier: MIT */
/* Growing bytes, and pools in which equal strings and equal lists are one. */
#include "rules/emit.h"

#include <stdlib.h>
#include <string.h>

#define GROW(list, wanted) \
	grow((void **)&(list)->v, (list)->n, &(list)->room, sizeof(*(list)->v), wanted)

static void grow(void **v, size_t n, size_t *room, size_t size, size_t wanted)
{
	size_t more = *room > 0 ? *room : 64;
	void *new;

	if (n + wanted <= *room)
		return;
	while (more < n + wanted)
		more *= 2;
	new = emit_alloc(more, size);
	if (n > 0)
		memcpy(new, *v, n * size);
	free(*v);
	*v = new;
	*room = more;
}

uint8_t *bytes_add(struct bytes *b, size_t len)
{
	GROW(b, len);
	b->n += len;
	return b->v + b->n - len;
}

/* ---- strings ---- */

void pool_add_string(struct pool_strings *p, const char *s)
{
	GROW(p, 1);
	p->v[p->n++] = s;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void pool_sort_strings(struct pool_strings *p)
{
	size_t n = 0;
	uint32_t ref = 0;

	qsort(p->v, p->n, sizeof(*p->v), compare_strings);
	for (size_t i = 0; i < p->n; i++)
		if (n == 0 || strcmp(p->v[n - 1], p->v[i]) != 0)
			p->v[n++] = p->v[i];
	p->n = n;
	p->refs = emit_alloc(n, sizeof(*p->refs));
	for (size_t i = 0; i < n; i++) {
		p->refs[i] = ref;
		ref += (uint32_t)strlen(p->v[i]) + 1;
	}
}

uint32_t pool_string(const struct pool_strings *p, const char *s)
{
	const char **found = bsearch(&s, p->v, p->n, sizeof(*p->v), compare_strings);

	return found != NULL ? p->refs[found - p->v] : UINT32_MAX;
}

void pool_fini_strings(struct pool_strings *p)
{
	free(p->v);
	free(p->refs);
}

/* ---- lists ---- */

static uint32_t list_hash(const uint32_t *items, uint32_t n)
{
	uint32_t h = n;

	for (uint32_t i = 0; i < n; i++)
		h = (h ^ items[i] ^ h >> 15) * UINT32_C(0x9e3779b1);
	return h ^ h >> 16;
}

/* Where a list with these items is, or is to be. */
static uint32_t *slot_find(const struct pool_lists *p, uint32_t hash, const uint32_t *items,
			   uint32_t n)
{
	for (size_t i = hash & (p->n_slots - 1);; i = (i + 1) & (p->n_slots - 1)) {
		const struct pool_list *l;

		if (p->slots[i] == 0)
			return &p->slots[i];
		l = &p->v[p->slots[i] - 1];
		if (l->hash == hash && l->n == n &&
		    (n == 0 || memcmp(p->words + l->first, items, n * sizeof(*items)) == 0))
			return &p->slots[i];
	}
}

static void grow_slots(struct pool_lists *p)
{
	if (p->n_slots > 0 && p->n < p->n_slots / 2)
		return;
	free(p->slots);
	p->n_slots = p->n_slots > 0 ? p->n_slots * 2 : 64;
	p->slots = emit_alloc(p->n_slots, sizeof(*p->slots));
	for (size_t i = 0; i < p->n; i++)
		*slot_find(p, p->v[i].hash, p->words + p->v[i].first, p->v[i].n) = (uint32_t)i + 1;
}

uint32_t pool_add_list(struct pool_lists *p, const uint32_t *items, uint32_t n)
{
	uint32_t hash = list_hash(items, n), *slot;

	grow_slots(p);
	slot = slot_find(p, hash, items, n);
	if (*slot == 0) {
		GROW(p, 1);
		grow((void **)&p->words, p->n_words, &p->words_room, sizeof(*p->words), n);
		p->v[p->n] = (struct pool_list){p->n_words, n, hash, (uint32_t)p->n, p};
		if (n > 0)
			memcpy(p->words + p->n_words, items, n * sizeof(*items));
		p->n_words += n;
		*slot = (uint32_t)++p->n;
	}
	return *slot - 1;
}

/* By count, then by items. */
static int compare_lists(const void *a, const void *b)
{
	const struct pool_list *x = a, *y = b;
	const uint32_t *words = x->of->words;

	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	for (uint32_t i = 0; i < x->n; i++)
		if (words[x->first + i] != words[y->first + i])
			return words[x->first + i] < words[y->first + i] ? -1 : 1;
	return 0;
}

void pool_sort_lists(struct pool_lists *p)
{
	uint32_t ref = 0;

	qsort(p->v, p->n, sizeof(*p->v), compare_lists);
	p->refs = emit_alloc(p->n, sizeof(*p->refs));
	for (size_t i = 0; i < p->n; i++) {
		p->refs[p->v[i].number] = ref;
		ref += p->v[i].n + 1;
	}
}

uint32_t pool_list(const struct pool_lists *p, uint32_t number)
{
	return p->refs[number];
}

uint32_t pool_find_list(const struct pool_lists *p, const uint32_t *items, uint32_t n)
{
	size_t low = 0, high = p->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct pool_list *l = &p->v[middle];
		int order = l->n != n ? (l->n < n ? -1 : 1) : 0;

		for (uint32_t i = 0; i < n && order == 0; i++)
			order = (p->words[l->first + i] > items[i]) - (p->words[l->first + i] < items[i]);
		if (order == 0)
			return p->refs[l->number];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return UINT32_MAX;
}

void pool_fini_lists(struct pool_lists *p)
{
	free(p->words);
	free(p->v);
	free(p->slots);
	free(p->refs);
}

/* ---- blobs ---- */

void pool_add_blob(struct pool_blobs *p, const void *bytes, size_t len)
{
	uint8_t *copy = emit_alloc(len, 1);

	memcpy(copy, bytes, len);
	GROW(p, 1);
	p->v[p->n++] = (struct pool_blob){copy, len};
}

static int compare_blobs(const void *a, const void *b)
{
	const struct pool_blob *x = a, *y = b;

	return x->len != y->len ? (x->len < y->len ? -1 : 1) : memcmp(x->v, y->v, x->len);
}

void pool_sort_blobs(struct pool_blobs *p)
{
	size_t n = 0;
	uint32_t ref = 1;

	emit_sort(p->v, p->n, sizeof(*p->v), compare_blobs);
	for (size_t i = 0; i < p->n; i++)
		if (n > 0 && compare_blobs(&p->v[n - 1], &p->v[i]) == 0)
			free(p->v[i].v);
		else
			p->v[n++] = p->v[i];
	p->n = n;
	p->refs = emit_alloc(n, sizeof(*p->refs));
	for (size_t i = 0; i < n; i++) {
		p->refs[i] = ref;
		ref += (uint32_t)p->v[i].len + 5;
	}
}

uint32_t pool_blob(const struct pool_blobs *p, const void *bytes, size_t len)
{
	union { const void *from; uint8_t *to; } same = {bytes};
	struct pool_blob wanted = {same.to, len};
	const struct pool_blob *found =
		p->n > 0 ? bsearch(&wanted, p->v, p->n, sizeof(*p->v), compare_blobs) : NULL;

	return found != NULL ? p->refs[found - p->v] : UINT32_MAX;
}

void pool_fini_blobs(struct pool_blobs *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i].v);
	free(p->v);
	free(p->refs);
}
