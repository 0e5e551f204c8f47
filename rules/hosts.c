/* SPDX-License-Identifier: MIT */
/* All host patterns of a policy's services in one table. */
#include "rules/hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "rules/name.h"

static void *allocate(size_t n, size_t size)
{
	void *p = calloc(n > 0 ? n : 1, size);

	if (p == NULL) {
		perror("sluice-rules");
		exit(EX_OSERR);
	}
	return p;
}

static bool same_key(const struct model_host *a, const char *key, size_t len)
{
	return a->len == len && memcmp(a->key, key, len) == 0;
}

/* The key's slot, or the empty one where it belongs. */
static struct hosts_slot *find_slot(const struct hosts *h, const char *key, size_t len)
{
	size_t i = name_hash(0, key, len) & h->mask;

	while (h->slots[i].first != 0 && !same_key(h->v[h->slots[i].first - 1].host, key, len))
		i = (i + 1) & h->mask;
	return &h->slots[i];
}

static void add(struct hosts *h, const struct model_host *host, uint32_t service)
{
	struct hosts_slot *slot = find_slot(h, host->key, host->len);

	h->v[h->n++] = (struct hosts_entry){ .host = host, .service = service };
	if (slot->first == 0)
		slot->first = (uint32_t)h->n;
	else
		h->v[slot->last - 1].next = (uint32_t)h->n;
	slot->last = (uint32_t)h->n;
}

void hosts_open(struct hosts *h, const struct model *m, const bool *use)
{
	size_t n = 0, slots = 8;

	for (size_t i = 0; i < m->services.n; i++)
		n += use[i] ? m->services.v[i].hosts.n : 0;
	if (n >= UINT32_MAX) {
		fprintf(stderr, "sluice-rules: too many hosts\n");
		exit(EX_DATAERR);
	}
	while (slots < n * 2)
		slots *= 2;
	*h = (struct hosts){ .v = allocate(n, sizeof(*h->v)),
			     .slots = allocate(slots, sizeof(*h->slots)),
			     .mask = slots - 1 };
	for (size_t i = 0; i < m->services.n; i++)
		for (size_t j = 0; use[i] && j < m->services.v[i].hosts.n; j++)
			add(h, &m->services.v[i].hosts.v[j], (uint32_t)i);
}

void hosts_close(struct hosts *h)
{
	free(h->v);
	free(h->slots);
	*h = (struct hosts){ .v = NULL };
}

bool hosts_find(const struct hosts *h, const struct model_host *key,
		bool (*each)(const struct hosts_entry *e, void *user), void *user)
{
	const char *suffix = key->key, *end = key->key + key->len;

	for (;;) {
		for (uint32_t i = find_slot(h, suffix, (size_t)(end - suffix))->first; i != 0;
		     i = h->v[i - 1].next)
			if (each(&h->v[i - 1], user))
				return true;
		if (suffix == end)
			break;
		do
			suffix++;
		while (suffix < end && *suffix != '.');
	}
	if (key->len > 0 && key->key[0] != '.')
		return false;
	for (size_t i = 0; i < h->n; i++)
		if (hosts_cover(key, h->v[i].host) && !same_key(h->v[i].host, key->key, key->len) &&
		    each(&h->v[i], user))
			return true;
	return false;
}

bool hosts_cover(const struct model_host *a, const struct model_host *b)
{
	if (a->len == 0)
		return true;
	if (a->key[0] != '.')
		return same_key(a, b->key, b->len);
	return b->len >= a->len && memcmp(b->key + b->len - a->len, a->key, a->len) == 0;
}

bool hosts_same(const struct model_host *a, const struct model_host *b)
{
	return a->len == b->len && memcmp(a->key, b->key, a->len) == 0;
}

bool hosts_overlap(const struct model_host *a, const struct model_host *b)
{
	return hosts_cover(a, b) || hosts_cover(b, a);
}

char *hosts_text(const struct model_host *h, char out[static HOSTS_TEXT])
{
	bool wild = h->len == 0 || h->key[0] == '.';

	snprintf(out, HOSTS_TEXT, "%s%.*s", wild ? "*" : "", h->len, h->key);
	return out;
}

/* Which entry has a port, by transport and number; good for one run of equal keys. */
struct claim {
	size_t run; /* of the slot that claimed it; 0: none */
	size_t entry;
};

/* Whether some source address may use both services. */
static bool share_clients(const struct model_service *a, const struct model_service *b)
{
	if (a->clients.n == 0 || b->clients.n == 0)
		return true;
	for (size_t i = 0; i < a->clients.n; i++)
		for (size_t j = 0; j < b->clients.n; j++) {
			const struct cidr *x = &a->clients.v[i].cidr, *y = &b->clients.v[j].cidr;

			if (cidr_contains(x, &y->addr) || cidr_contains(y, &x->addr))
				return true;
		}
	return false;
}

static bool has_port(const struct model_service *s, const struct model_port *p)
{
	for (size_t i = 0; i < s->ports.n; i++)
		if (s->ports.v[i].number == p->number &&
		    (s->ports.v[i].protocol == POLICY_PROTO_UDP) ==
			    (p->protocol == POLICY_PROTO_UDP))
			return true;
	return false;
}

/*
 * The first entry from i on with the port, of a service that shares clients with entry `end`'s;
 * `end` when there is none before it.
 */
static size_t find_rival(const struct hosts *h, const struct model *m, size_t i, size_t end,
			 const struct model_port *p)
{
	const struct model_service *service = &m->services.v[h->v[end].service];

	for (; i != end; i = h->v[i].next - 1) {
		const struct model_service *other = &m->services.v[h->v[i].service];

		if (other != service && has_port(other, p) && share_clients(other, service))
			break;
	}
	return i;
}

static void check_ports(const struct hosts *h, struct source *s, size_t i, size_t run,
			struct claim (*claims)[65536])
{
	const struct hosts_entry *e = &h->v[i];
	const struct model_service *service = &s->model.services.v[e->service];
	char text[HOSTS_TEXT];

	for (size_t j = 0; j < service->ports.n; j++) {
		const struct model_port *p = &service->ports.v[j];
		struct claim *c = &claims[p->protocol == POLICY_PROTO_UDP][p->number];
		const struct hosts_entry *other;
		struct model_at at;
		size_t rival;

		if (c->run != run) {
			*c = (struct claim){ run, i };
			continue;
		}
		rival = find_rival(h, &s->model, c->entry, i, p);
		if (rival == i)
			continue;
		other = &h->v[rival];
		at = source_host_at(s, other->host);
		diag_error(&s->diag, source_host_at(s, e->host),
			   "service %s: host %s with port %u is already in service %s, %s:%d",
			   service->name, hosts_text(e->host, text), p->number,
			   s->model.services.v[other->service].name, at.file, at.line);
	}
}

void hosts_check(const struct hosts *h, struct source *s)
{
	struct claim(*claims)[65536] = allocate(2, sizeof(*claims));
	char text[HOSTS_TEXT];

	for (size_t slot = 0; slot <= h->mask; slot++) {
		const struct hosts_entry *before = NULL;

		for (uint32_t i = h->slots[slot].first; i != 0; i = h->v[i - 1].next) {
			const struct hosts_entry *e = &h->v[i - 1];

			if (before == NULL || before->service != e->service) {
				check_ports(h, s, i - 1, slot + 1, claims);
			} else {
				struct model_at at = source_host_at(s, before->host);

				diag_error(&s->diag, source_host_at(s, e->host),
					   "host %s is already in %s:%d", hosts_text(e->host, text),
					   at.file, at.line);
			}
			before = e;
		}
	}
	free(claims);
}
