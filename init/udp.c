/* SPDX-License-Identifier: MIT */
/* What a policy's UDP services have addresses for, as elements of a set. */
#include "init/udp.h"

#include <stdlib.h>
#include <string.h>

#include "init/message.h"

struct addr_list { struct addr *v; size_t n, capacity; };

static const struct addr lowest4 = {{[10] = 0xff, [11] = 0xff}};
static const struct addr highest4 = {{[10] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
static const struct addr lowest6;
static const struct addr highest6 = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

static void *grow(void *v, size_t n, size_t *capacity, size_t size)
{
	if (n < *capacity)
		return v;
	*capacity = *capacity == 0 ? 16 : *capacity * 2;
	v = realloc(v, *capacity * size);
	if (v == NULL)
		message_out_of_memory();
	return v;
}

static bool is_udp(const struct policy *p, const struct policy_service *s, uint32_t i,
	struct policy_port *port)
{
	policy_port(p, s->ports.first + i, port);
	return port->protocol == POLICY_PROTO_UDP;
}

static bool has_udp(const struct policy *p, const struct policy_service *s)
{
	struct policy_port port;

	for (uint32_t i = 0; i < s->ports.n; i++)
		if (is_udp(p, s, i, &port))
			return true;
	return false;
}

bool udp_is_used(const struct policy *p)
{
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES]; i++) {
		struct policy_service s;

		policy_service(p, i, &s);
		if (has_udp(p, &s))
			return true;
	}
	return false;
}

const char *udp_learned_service(const struct policy *p)
{
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES]; i++) {
		struct policy_service s;

		policy_service(p, i, &s);
		if (has_udp(p, &s) && policy_service_goes_by_name(&s))
			return s.name;
	}
	return NULL;
}

static bool is_family(const struct cidr *c, bool v4)
{
	return (addr_is_v4(&c->addr) && c->bits >= 96) == v4;
}

/* ---- sources ---- */

static int by_address(const void *a, const void *b)
{
	return addr_compare(a, b);
}

static void add_start(struct addr_list *l, const struct addr *a)
{
	l->v = grow(l->v, l->n, &l->capacity, sizeof(*l->v));
	l->v[l->n++] = *a;
}

/*
 * Where the clients of any service begin or end. What lies between two neighbours is served as a
 * whole or not at all, so ranges made of these are either the same or apart.
 */
static void find_starts(struct addr_list *l, const struct policy *p, bool v4)
{
	size_t n = 0;

	add_start(l, v4 ? &lowest4 : &lowest6);
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES]; i++) {
		struct policy_service s;

		policy_service(p, i, &s);
		for (uint32_t j = 0; j < s.clients.n && has_udp(p, &s); j++) {
			struct addr last;
			struct cidr c;

			policy_cidr(p, s.clients.first + j, &c);
			if (!is_family(&c, v4))
				continue;
			add_start(l, &c.addr);
			cidr_last(&c, &last);
			if (!addr_equal(&last, v4 ? &highest4 : &highest6) && addr_next(&last))
				add_start(l, &last);
		}
	}
	qsort(l->v, l->n, sizeof(*l->v), by_address);
	for (size_t i = 0; i < l->n; i++)
		if (n == 0 || !addr_equal(&l->v[i], &l->v[n - 1]))
			l->v[n++] = l->v[i];
	l->n = n;
}

static void last_before(const struct addr *a, struct addr *last)
{
	*last = *a;
	for (size_t i = sizeof(last->b); i-- > 0;)
		if (last->b[i]-- != 0)
			break;
}

/* ---- elements ---- */

struct box { struct addr first, last, to, to_last; uint16_t port; };

static void add_box(struct udp_list *l, const struct box *b, bool v4)
{
	size_t skip = v4 ? 12 : 0, len = 16 - skip;
	uint8_t port[2] = {(uint8_t)(b->port >> 8), (uint8_t)b->port};
	struct element *e;

	l->v = grow(l->v, l->n, &l->capacity, sizeof(*l->v));
	e = &l->v[l->n++];
	memset(e, 0, sizeof(*e));
	memcpy(e->first, b->first.b + skip, len);
	memcpy(e->last, b->last.b + skip, len);
	memcpy(e->first + len, b->to.b + skip, len);
	memcpy(e->last + len, b->to_last.b + skip, len);
	memcpy(e->first + 2 * len, port, sizeof(port));
	memcpy(e->last + 2 * len, port, sizeof(port));
}

/* Nobody translates destinations, so an endpoint is reached at its own port. */
static void add_port(struct udp_list *l, const struct policy *p, const struct policy_service *s,
	const struct policy_port *port, struct box *b, bool v4)
{
	b->port = port->number;
	for (uint32_t i = 0; i < s->cidrs.n && !s->auto_address; i++) {
		struct cidr c;

		policy_cidr(p, s->cidrs.first + i, &c);
		if (!is_family(&c, v4))
			continue;
		b->to = c.addr;
		cidr_last(&c, &b->to_last);
		add_box(l, b, v4);
	}
	for (uint32_t i = 0; i < s->endpoints.n; i++) {
		struct policy_endpoint e;

		policy_endpoint(p, s->endpoints.first + i, &e);
		if (e.name != NULL || addr_is_v4(&e.addr) != v4)
			continue;
		b->to = b->to_last = e.addr;
		b->port = e.port != 0 ? e.port : port->target;
		add_box(l, b, v4);
	}
}

static void add_source(struct udp_list *l, const struct policy *p, struct box *b, bool v4)
{
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES]; i++) {
		struct policy_service s;
		struct policy_port port;

		policy_service(p, i, &s);
		if (!policy_service_serves(p, i, &b->first))
			continue;
		for (uint32_t j = 0; j < s.ports.n; j++) {
			if (is_udp(p, &s, j, &port))
				add_port(l, p, &s, &port, b, v4);
		}
	}
}

/* One field of two elements' keys. */
struct field { size_t at, len; };

static int order(const struct element *a, const struct element *b, const struct field f[3])
{
	int by = 0;

	for (int i = 0; i < 3 && by == 0; i++)
		by = memcmp(a->first + f[i].at, b->first + f[i].at, f[i].len);
	return by;
}

/* The last field is the one that merge() looks at. */
static const struct field by_to4[] = {{0, 4}, {8, 2}, {4, 4}};
static const struct field by_to6[] = {{0, 16}, {32, 2}, {16, 16}};
static const struct field by_from4[] = {{8, 2}, {4, 4}, {0, 4}};
static const struct field by_from6[] = {{32, 2}, {16, 16}, {0, 16}};

static int order_to4(const void *a, const void *b)
{
	return order(a, b, by_to4);
}

static int order_to6(const void *a, const void *b)
{
	return order(a, b, by_to6);
}

static int order_from4(const void *a, const void *b)
{
	return order(a, b, by_from4);
}

static int order_from6(const void *a, const void *b)
{
	return order(a, b, by_from6);
}

/* Whether b, which comes behind a, differs only in the last field, and there begins in a or next. */
static bool touches(const struct element *a, const struct element *b, const struct field f[3])
{
	uint8_t next[16];
	size_t i = f[2].len;

	for (int n = 0; n < 2; n++)
		if (memcmp(a->first + f[n].at, b->first + f[n].at, f[n].len) != 0 ||
			memcmp(a->last + f[n].at, b->last + f[n].at, f[n].len) != 0)
			return false;
	memcpy(next, a->last + f[2].at, f[2].len);
	while (i-- > 0)
		if (++next[i] != 0)
			return memcmp(b->first + f[2].at, next, f[2].len) <= 0;
	return true; /* a reaches the highest address */
}

static void merge(struct udp_list *l, const struct field f[3])
{
	const size_t at = f[2].at, len = f[2].len;
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		struct element *e = &l->v[i];

		if (n == 0 || !touches(&l->v[n - 1], e, f))
			l->v[n++] = *e;
		else if (memcmp(e->last + at, l->v[n - 1].last + at, len) > 0)
			memcpy(l->v[n - 1].last + at, e->last + at, len);
	}
	l->n = n;
}

void udp_list_init(struct udp_list *l, const struct policy *p, bool v4)
{
	struct addr_list starts = {NULL, 0, 0};
	struct box b;

	*l = (struct udp_list){NULL, 0, 0};
	find_starts(&starts, p, v4);
	for (size_t i = 0; i < starts.n; i++) {
		b.first = starts.v[i];
		b.last = v4 ? highest4 : highest6;
		if (i + 1 < starts.n)
			last_before(&starts.v[i + 1], &b.last);
		add_source(l, p, &b, v4);
	}
	free(starts.v);
	if (l->n == 0)
		return;
	/* First destinations, which may lie inside one another; sources are apart as it is. */
	qsort(l->v, l->n, sizeof(*l->v), v4 ? order_to4 : order_to6);
	merge(l, v4 ? by_to4 : by_to6);
	qsort(l->v, l->n, sizeof(*l->v), v4 ? order_from4 : order_from6);
	merge(l, v4 ? by_from4 : by_from6);
}

void udp_list_fini(struct udp_list *l)
{
	free(l->v);
	*l = (struct udp_list){NULL, 0, 0};
}
