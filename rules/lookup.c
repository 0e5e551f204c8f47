/* SPDX-License-Identifier: MIT */
/* DNS by policy: which names a client may ask for, and what it is told. */
#include "rules/lookup.h"

#include <string.h>

/* What a service wants its names to be answered with; the largest of all services counts. */
enum wish { WISH_NONE = 0, WISH_ENDPOINTS, WISH_RESOLVE, WISH_ADDRESSES, WISH_SYNTHETIC };

static bool has_single(const struct policy *p, struct policy_run cidrs)
{
	for (uint32_t i = 0; i < cidrs.n; i++) {
		struct cidr c;

		policy_cidr(p, cidrs.first + i, &c);
		if (c.bits == 128)
			return true;
	}
	return false;
}

static bool has_name(const struct policy *p, struct policy_run endpoints)
{
	for (uint32_t i = 0; i < endpoints.n; i++) {
		struct policy_endpoint e;

		policy_endpoint(p, endpoints.first + i, &e);
		if (e.name != NULL)
			return true;
	}
	return false;
}

static enum wish service_wish(const struct policy *p, const struct policy_service *s)
{
	if (s->auto_address)
		return WISH_SYNTHETIC;
	if (has_single(p, s->cidrs))
		return WISH_ADDRESSES;
	if (s->cidrs.n == 0 && s->resolution != POLICY_NONE && !has_name(p, s->endpoints) &&
	    (s->endpoints.n > 0 || s->resolution == POLICY_STATIC))
		return WISH_ENDPOINTS;
	return WISH_RESOLVE;
}

/* Sets all but the verdict's reason. False: none of the services serves the client. */
static bool settle(const struct policy *p, struct lookup *l)
{
	static const enum lookup_verdict verdicts[] = {
		[WISH_NONE] = LOOKUP_DENY,          [WISH_ENDPOINTS] = LOOKUP_FIXED,
		[WISH_RESOLVE] = LOOKUP_RESOLVE,    [WISH_ADDRESSES] = LOOKUP_FIXED,
		[WISH_SYNTHETIC] = LOOKUP_SYNTHETIC,
	};
	enum wish most = WISH_NONE;

	for (uint32_t i = 0; i < l->services.n; i++) {
		uint32_t service = policy_item(l->services, i);
		struct policy_service s;
		enum wish wish;

		if (!policy_service_serves(p, service, &l->client))
			continue;
		policy_service(p, service, &s);
		wish = service_wish(p, &s);
		if (wish > most) {
			most = wish;
			l->service = service;
		}
		l->allow_private |= s.allow_private || s.location == POLICY_INTERNAL ||
				    s.enforcement == POLICY_AUDIT;
	}
	l->verdict = verdicts[most];
	l->endpoints = most == WISH_ENDPOINTS;
	return most != WISH_NONE;
}

static void refuse(const struct policy_meta *m, enum route_reason why, struct lookup *l)
{
	l->services = (struct policy_list){NULL, 0};
	l->key = NULL;
	l->reason = why;
	if (m->outbound != POLICY_ALLOW_ANY && m->enforcement != POLICY_AUDIT)
		return;
	l->verdict = LOOKUP_RESOLVE;
	l->allow_private = true;
	l->reason = m->outbound == POLICY_ALLOW_ANY ? ROUTE_WHY_ALLOW_ANY : ROUTE_WHY_AUDIT;
	if (l->reason == ROUTE_WHY_AUDIT)
		l->denied = why;
}

void lookup_find(const struct policy *p, const char *name, size_t len, const struct addr *client,
		 struct lookup *l)
{
	enum route_reason why = ROUTE_WHY_UNLISTED;
	struct policy_meta m;
	uint32_t at = 0;

	memset(l, 0, sizeof(*l));
	l->client = *client;
	policy_meta(p, &m);
	for (;;) {
		l->services = policy_find_host(p, name, len, &at, &l->key);
		if (l->services.n == 0)
			break;
		if (settle(p, l)) {
			l->reason = ROUTE_WHY_NAME;
			l->allow_private |= m.enforcement == POLICY_AUDIT;
			return;
		}
		why = ROUTE_WHY_OTHER_CLIENT;
	}
	refuse(&m, why, l);
}

/* The next address, whether or not it was there before. */
static bool next_address(const struct policy *p, const struct lookup *l, struct lookup_cursor *at,
			 struct addr *a)
{
	for (; at->service < l->services.n; at->service++, at->item = 0) {
		uint32_t service = policy_item(l->services, at->service);
		struct policy_service s;

		if (!policy_service_serves(p, service, &l->client))
			continue;
		policy_service(p, service, &s);
		while (l->endpoints && at->item < s.endpoints.n) {
			struct policy_endpoint e;

			policy_endpoint(p, s.endpoints.first + at->item++, &e);
			*a = e.addr;
			return true;
		}
		if (s.auto_address != (l->verdict == LOOKUP_SYNTHETIC))
			continue;
		while (!l->endpoints && at->item < s.cidrs.n) {
			struct cidr c;

			policy_cidr(p, s.cidrs.first + at->item++, &c);
			*a = c.addr;
			if (c.bits == 128)
				return true;
		}
	}
	return false;
}

static bool was_there(const struct policy *p, const struct lookup *l,
		      const struct lookup_cursor *now, const struct addr *a)
{
	struct lookup_cursor at = {0, 0};
	struct addr before;

	while (next_address(p, l, &at, &before)) {
		if (at.service == now->service && at.item == now->item)
			return false;
		if (addr_equal(&before, a))
			return true;
	}
	return false;
}

bool lookup_address(const struct policy *p, const struct lookup *l, struct lookup_cursor *at,
		    struct addr *a)
{
	if (l->verdict != LOOKUP_FIXED && l->verdict != LOOKUP_SYNTHETIC)
		return false;
	while (next_address(p, l, at, a))
		if (!was_there(p, l, at, a))
			return true;
	return false;
}

bool lookup_udp(const struct policy *p, const struct lookup *l, struct lookup_cursor *at,
		uint32_t *service, uint16_t *port)
{
	if (l->verdict != LOOKUP_RESOLVE)
		return false;
	for (; at->service < l->services.n; at->service++, at->item = 0) {
		struct policy_service s;

		*service = policy_item(l->services, at->service);
		if (!policy_service_serves(p, *service, &l->client))
			continue;
		policy_service(p, *service, &s);
		while (policy_service_goes_by_name(&s) && at->item < s.ports.n) {
			struct policy_port record;

			policy_port(p, s.ports.first + at->item++, &record);
			*port = record.number;
			if (record.protocol == POLICY_PROTO_UDP)
				return true;
		}
	}
	return false;
}
