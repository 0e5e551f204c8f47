/* SPDX-License-Identifier: MIT */
/* ADDRESSES: the services' prefixes, flattened into intervals. */
#include "rules/emit.h"

#include <stdlib.h>
#include <string.h>

struct piece {
	struct addr first, last;
	uint8_t bits;
	uint32_t service;
};

struct pieces { struct piece *v; size_t n, room; };
struct edges { struct addr *v; size_t n, room; };

/* By where they begin, the wider first. */
static int compare_pieces(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;
	int order = addr_compare(&x->first, &y->first);

	if (order != 0)
		return order;
	if (x->bits != y->bits)
		return x->bits < y->bits ? -1 : 1;
	return (x->service > y->service) - (x->service < y->service);
}

static int compare_edges(const void *a, const void *b)
{
	return addr_compare(a, b);
}

/* All pieces of all prefixes, and the addresses where one begins or has just ended. */
static void gather(const struct model *m, struct pieces *pieces, struct edges *edges)
{
	size_t n = 0;

	for (size_t i = 0; i < m->services.n; i++)
		for (size_t j = 0; j < m->services.v[i].addresses.n; j++) {
			const struct cidr *c = &m->services.v[i].addresses.v[j].cidr;
			struct piece p = {.bits = c->bits, .service = (uint32_t)i};

			for (unsigned k = 0; cidr_piece(c, k, &p.first, &p.last); k++) {
				struct addr end = p.last;

				*model_push(pieces) = p;
				*model_push(edges) = p.first;
				if (addr_next(&end))
					*model_push(edges) = end;
			}
		}
	if (pieces->n == 0)
		return;
	*model_push(edges) = (struct addr){{0}};
	qsort(pieces->v, pieces->n, sizeof(*pieces->v), compare_pieces);
	qsort(edges->v, edges->n, sizeof(*edges->v), compare_edges);
	for (size_t i = 0; i < edges->n; i++)
		if (n == 0 || !addr_equal(&edges->v[n - 1], &edges->v[i]))
			edges->v[n++] = edges->v[i];
	edges->n = n;
}

/*
 * The services of the open pieces, narrowest first, then by index; of several of one service the
 * narrowest counts.
 */
static bool list_services(struct emit *w, const struct pieces *open, uint32_t *list)
{
	uint32_t items[FORMAT_MAX_SERVICES], n = 0;

	for (size_t i = open->n; i > 0;) {
		size_t group = i;

		/* Pieces of one prefix lie together, by service. */
		while (group > 0 && open->v[group - 1].bits == open->v[i - 1].bits)
			group--;
		for (size_t j = group; j < i; j++) {
			uint32_t k = 0;

			while (k < n && items[k] != open->v[j].service)
				k++;
			if (k < n)
				continue;
			if (n == FORMAT_MAX_SERVICES)
				return emit_fail(w, "an address belongs to more than %d services",
						 FORMAT_MAX_SERVICES);
			items[n++] = open->v[j].service;
		}
		i = group;
	}
	*list = pool_add_list(&w->lists, items, n);
	return true;
}

/* Prefixes lie in each other or apart: those that are open at an address are a stack. */
static bool sweep(struct emit *w, const struct pieces *pieces, const struct edges *edges)
{
	struct pieces open = {NULL, 0, 0};
	size_t next = 0;
	bool good = true;

	w->intervals = emit_alloc(edges->n, sizeof(*w->intervals));
	for (size_t i = 0; good && i < edges->n; i++) {
		const struct addr *at = &edges->v[i];

		while (open.n > 0 && addr_compare(&open.v[open.n - 1].last, at) < 0)
			open.n--;
		while (next < pieces->n && addr_equal(&pieces->v[next].first, at))
			*model_push(&open) = pieces->v[next++];
		w->intervals[i].first = *at;
		good = list_services(w, &open, &w->intervals[i].list);
		w->n_intervals++;
	}
	free(open.v);
	return good;
}

bool emit_collect_addresses(struct emit *w)
{
	struct pieces pieces = {NULL, 0, 0};
	struct edges edges = {NULL, 0, 0};
	bool good;

	gather(w->m, &pieces, &edges);
	good = sweep(w, &pieces, &edges);
	free(pieces.v);
	free(edges.v);
	return good;
}

void emit_write_addresses(struct emit *w)
{
	for (size_t i = 0; i < w->n_intervals; i++) {
		uint8_t *r = bytes_add(&w->sections[FORMAT_ADDRESSES], ADDRESS_SIZE);

		memcpy(r + ADDRESS_START, w->intervals[i].first.b, 16);
		put_le32(r + ADDRESS_LIST, pool_list(&w->lists, w->intervals[i].list));
	}
	w->records[FORMAT_ADDRESSES] = (uint32_t)w->n_intervals;
}
