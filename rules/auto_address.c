/* SPDX-License-Identifier: MIT */
/* Which services get synthetic addresses, and which ones. */
#include "rules/auto_address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "rules/check.h"
#include "rules/name.h"

#define REASON_SIZE 192

struct draw {
	const struct model_host *host;
	uint32_t service;
};

static bool is_udp(enum policy_protocol p)
{
	return p == POLICY_PROTO_UDP;
}

/* Another service of the host that is reached at the host's real address, or at one of its own. */
struct rival {
	const struct model *m;
	const struct model_host *host;
	uint32_t service, found;
	const char *why; /* NULL: none */
};

static bool see_rival(const struct hosts_entry *e, void *user)
{
	struct rival *r = user;
	const struct model_service *s = &r->m->services.v[e->service];

	if (!hosts_cover(r->host, e->host) || !hosts_cover(e->host, r->host))
		return true; /* the host's own entries come first */
	if (e->service == r->service)
		return false;
	if (check_has_protocol(&s->ports, is_udp))
		r->why = "its UDP goes to the real address";
	else if (s->resolution == POLICY_NONE)
		r->why = "which dials the address that the client chose";
	else if (s->addresses.n > 0)
		r->why = "which has addresses";
	r->found = e->service;
	return r->why != NULL;
}

/* Why the service alone cannot have an address; NULL: it can. */
static const char *find_obstacle(const struct model *m, const struct model_service *s)
{
	if (m->capture.dns != POLICY_CAPTURE)
		return "without dns = capture nobody would be told the address";
	if (s->resolution == POLICY_NONE)
		return "resolution = none dials the address that the client chose";
	if (s->resolution == POLICY_DYNAMIC_DNS)
		return "resolution = dynamic-dns needs the name that the client says";
	if (s->addresses.n > 0)
		return "the service has addresses";
	if (!check_has_protocol(&s->ports, policy_protocol_is_tcp))
		return "no port is taken by its address (tcp, mongo, mysql, redis, mqtt, auto)";
	if (check_has_protocol(&s->ports, is_udp))
		return "the service's UDP goes to the real address";
	if (s->hosts.n != 1 || s->hosts.v[0].len == 0 || s->hosts.v[0].key[0] == '.')
		return "an address stands for one host that is no wildcard";
	return NULL;
}

static bool can_have(const struct source *s, const struct hosts *h, uint32_t i,
		     char why[static REASON_SIZE])
{
	const struct model *m = &s->model;
	const char *obstacle = find_obstacle(m, &m->services.v[i]);
	struct rival r = { .m = m, .service = i };
	char text[HOSTS_TEXT];

	if (obstacle != NULL) {
		snprintf(why, REASON_SIZE, "%s", obstacle);
		return false;
	}
	r.host = &m->services.v[i].hosts.v[0];
	hosts_find(h, r.host, see_rival, &r);
	if (r.why != NULL)
		snprintf(why, REASON_SIZE, "host %.64s is in service %s, too, %s",
			 hosts_text(r.host, text), m->services.v[r.found].name, r.why);
	return r.why == NULL;
}

static bool is_bad(const struct source_marks *marks)
{
	return source_is_bad(marks, KEY_HOSTS) || source_is_bad(marks, KEY_HOSTS_FILE) ||
	       source_is_bad(marks, KEY_PORTS) || source_is_bad(marks, KEY_RESOLUTION) ||
	       source_is_bad(marks, KEY_ADDRESSES) || source_is_bad(marks, KEY_AUTO_ADDRESS);
}

/* Sets auto_address of each service to whether it gets addresses. Returns how many do. */
static size_t choose(struct source *s, const bool *used, const struct hosts *h)
{
	size_t n = 0;

	for (size_t i = 0; i < s->model.services.n; i++) {
		struct model_service *service = &s->model.services.v[i];
		const struct source_marks *marks = &s->services.v[i];
		bool written = marks->line[KEY_AUTO_ADDRESS] != 0, wanted = service->auto_address;
		char why[REASON_SIZE];

		service->auto_address = false;
		if (!used[i] || is_bad(marks) || (written && !wanted))
			continue;
		service->auto_address = can_have(s, h, (uint32_t)i, why);
		n += service->auto_address;
		if (written && !service->auto_address)
			diag_error(&s->diag, source_at(marks, KEY_AUTO_ADDRESS),
				   "service %s: auto-address = yes: %s", service->name, why);
	}
	return n;
}

static int compare_draws(const void *a, const void *b)
{
	const struct draw *x = a, *y = b;
	const struct model_host *p = x->host, *q = y->host;
	int order = memcmp(p->key, q->key, p->len < q->len ? p->len : q->len);

	if (order != 0 || p->len != q->len)
		return order != 0 ? order : p->len - q->len;
	return (x->service > y->service) - (x->service < y->service);
}

static void give(struct source *s, const struct draw *d, uint32_t number)
{
	struct model_service *service = &s->model.services.v[d->service];
	struct model_at at = source_host_at(s, d->host);
	struct addr pair[2];

	policy_auto_address(number, pair);
	for (size_t i = 0; i < 2; i++)
		*model_push(&service->addresses) =
			(struct model_cidr){ .cidr = { .addr = pair[i], .bits = 128 }, .at = at };
}

/* Names in their order, each to its home or to the next number that is free. */
static void give_all(struct source *s, const struct draw *v, size_t n)
{
	static bool taken[POLICY_AUTO_ADDRESSES];
	size_t names = 0;
	uint32_t number = 0;

	memset(taken, 0, sizeof(taken));
	for (size_t i = 0; i < n; i++) {
		const struct model_host *h = v[i].host;

		if (i > 0 && hosts_cover(v[i - 1].host, h)) {
			give(s, &v[i], number);
			continue;
		}
		if (names++ == POLICY_AUTO_ADDRESSES) {
			diag_error(&s->diag, source_host_at(s, h),
				   "service %s: more than %d hosts have synthetic addresses: give addresses, or auto-address = no",
				   s->model.services.v[v[i].service].name, POLICY_AUTO_ADDRESSES);
			return;
		}
		number = (uint32_t)((uint64_t)name_hash(FORMAT_HASH_START, h->key, h->len) *
				    POLICY_AUTO_ADDRESSES >> 32);
		while (taken[number])
			number = (number + 1) % POLICY_AUTO_ADDRESSES;
		taken[number] = true;
		give(s, &v[i], number);
	}
}

void auto_address_draw(struct source *s, const bool *used, const struct hosts *h)
{
	size_t n = choose(s, used, h), k = 0;
	struct draw *v = calloc(n + 1, sizeof(*v));

	if (v == NULL) {
		perror("sluice-rules");
		exit(EX_OSERR);
	}
	for (size_t i = 0; i < s->model.services.n; i++)
		if (s->model.services.v[i].auto_address)
			v[k++] = (struct draw){ &s->model.services.v[i].hosts.v[0], (uint32_t)i };
	qsort(v, n, sizeof(*v), compare_draws);
	give_all(s, v, n);
	free(v);
}
