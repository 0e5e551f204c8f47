/* SPDX-License-Identifier: MIT */
/* The decision: what was seen of a connection, and the policy, give a verdict. */
#include "rules/route.h"

#include <string.h>

#include "rules/gateway.h"

static bool is_http(enum policy_protocol v)
{
	return policy_protocol_is_http(v);
}

static bool is_tls(enum policy_protocol v)
{
	return policy_protocol_is_tls(v);
}

/* By address and port alone, never sniffed. */
static bool is_plain_tcp(enum policy_protocol v)
{
	return v != POLICY_PROTO_AUTO && policy_protocol_is_tcp(v);
}

static bool is_auto(enum policy_protocol v)
{
	return v == POLICY_PROTO_AUTO;
}

static bool allow(struct route *r, uint32_t service, enum route_reason reason)
{
	r->verdict = ROUTE_SERVICE;
	r->reason = reason;
	r->service = service;
	return true;
}

/*
 * The first service of the list that has the port as one of the kind and serves the client. One
 * that serves only others is remembered in r->reason.
 */
static bool find_service(const struct policy *p, const struct route_query *q,
			 struct policy_list services, bool (*kind)(enum policy_protocol),
			 enum route_reason reason, struct route *r)
{
	for (uint32_t i = 0; i < services.n; i++) {
		uint32_t service = policy_item(services, i);
		struct policy_port record;

		if (policy_service_port(p, service, q->port, &record) < 0 ||
		    !kind(record.protocol))
			continue;
		if (!policy_service_serves(p, service, &q->src)) {
			r->reason = ROUTE_WHY_OTHER_CLIENT;
			continue;
		}
		r->port = record;
		return allow(r, service, reason);
	}
	return false;
}

/* Sets *why to what to say when no service is found. */
static bool find_name(const struct policy *p, const struct route_query *q,
		      bool (*kind)(enum policy_protocol), struct route *r, enum route_reason *why)
{
	uint32_t at = 0;

	*why = ROUTE_WHY_UNLISTED;
	for (;;) {
		struct policy_list services =
			policy_find_host(p, q->name, q->name_len, &at, &r->key);

		if (services.n == 0)
			break;
		if (find_service(p, q, services, kind, ROUTE_WHY_NAME, r))
			return true;
		*why = ROUTE_WHY_OTHER_PORT;
	}
	r->key = NULL;
	return false;
}

static bool find_address(const struct policy *p, const struct route_query *q, const struct addr *a,
			 bool (*kind)(enum policy_protocol), struct route *r)
{
	return find_service(p, q, policy_find_addr(p, a), kind, ROUTE_WHY_ADDRESS, r);
}

static enum route_reason why_address(const struct policy *p, const struct addr *a)
{
	return policy_find_addr(p, a).n > 0 ? ROUTE_WHY_OTHER_PORT : ROUTE_WHY_UNLISTED_ADDR;
}

/* Step 3: by what the client said. */
static bool find_said(const struct policy *p, const struct route_query *q, struct route *r,
		      enum route_reason *why)
{
	bool (*kind)(enum policy_protocol) = q->seen == ROUTE_SEEN_HTTP ? is_http : is_tls;

	if (q->seen == ROUTE_SEEN_OTHER) {
		*why = why_address(p, &q->dst);
		return false;
	}
	if (q->name != NULL)
		return find_name(p, q, kind, r, why);
	if (q->seen == ROUTE_SEEN_HTTP && q->host != NULL) {
		*why = why_address(p, q->host);
		return find_address(p, q, q->host, is_http, r);
	}
	*why = ROUTE_WHY_NO_NAME;
	return false;
}

/* Step 4: what no name settled. */
static bool find_rest(const struct policy *p, const struct route_query *q,
		      struct policy_port_info info, struct route *r)
{
	uint8_t by_name = 0;

	if (q->seen == ROUTE_SEEN_HTTP)
		by_name = POLICY_PORT_HTTP | POLICY_PORT_AUTO;
	else if (q->seen == ROUTE_SEEN_TLS)
		by_name = POLICY_PORT_TLS;
	if ((info.flags & by_name) != 0)
		return false;
	return find_address(p, q, &q->dst, is_auto, r) ||
	       find_service(p, q, info.services, policy_protocol_is_tcp, ROUTE_WHY_PORT, r);
}

/* Step 5. */
static void refuse(const struct policy *p, enum route_reason why, struct route *r)
{
	struct policy_meta m;

	if (r->reason == ROUTE_WHY_OTHER_CLIENT)
		why = ROUTE_WHY_OTHER_CLIENT;
	policy_meta(p, &m);
	if (m.outbound == POLICY_ALLOW_ANY) {
		r->verdict = ROUTE_PASSTHROUGH;
		r->reason = ROUTE_WHY_ALLOW_ANY;
	} else if (m.enforcement == POLICY_AUDIT) {
		r->verdict = ROUTE_PASSTHROUGH;
		r->reason = ROUTE_WHY_AUDIT;
		r->denied = why;
	} else {
		r->verdict = ROUTE_DENY;
		r->reason = why;
	}
}

static bool lists(const struct policy *p, struct policy_list alpn, const uint8_t *name, size_t len)
{
	for (uint32_t i = 0; i < alpn.n; i++) {
		const char *s = policy_string(p, policy_item(alpn, i));

		if (strlen(s) == len && memcmp(s, name, len) == 0)
			return true;
	}
	return false;
}

/* Whether all that is offered is listed. */
static bool takes_alpn(const struct policy *p, struct policy_list alpn, const struct route_query *q)
{
	static const uint8_t unsaid[] = "\010http/1.1";
	const uint8_t *at = q->alpn_len > 0 ? q->alpn : unsaid;
	size_t left = q->alpn_len > 0 ? q->alpn_len : sizeof(unsaid) - 1;

	while (alpn.n > 0 && left > 0) {
		if (at[0] > left - 1 || !lists(p, alpn, at + 1, at[0]))
			return false;
		left -= 1u + at[0];
		at += 1u + at[0];
	}
	return true;
}

/* What a service that was found says to the ClientHello. */
static void judge_hello(const struct policy *p, const struct route_query *q, struct route *r)
{
	struct policy_service s;
	struct policy_meta m;

	policy_service(p, r->service, &s);
	if (s.no_ech && q->ech)
		r->denied = ROUTE_WHY_ECH;
	else if (!takes_alpn(p, s.alpn, q))
		r->denied = ROUTE_WHY_ALPN;
	else
		return;
	policy_meta(p, &m);
	r->reason = ROUTE_WHY_AUDIT;
	if (s.enforcement == POLICY_AUDIT || m.enforcement == POLICY_AUDIT)
		return;
	r->verdict = ROUTE_DENY;
	r->reason = r->denied;
}

/* The route of what is let through. */
static void find_route(const struct policy *p, const struct route_query *q, struct route *r)
{
	const char *name = q->name;
	size_t len = q->name_len;
	struct policy_service s;
	int64_t route;

	if (r->verdict == ROUTE_SERVICE && r->key == NULL) {
		policy_service(p, r->service, &s);
		name = s.first_host != NULL ? (const char *)s.first_host + 1 : NULL;
		len = s.first_host != NULL ? s.first_host[0] : 0;
	}
	if (name == NULL || r->verdict < ROUTE_SERVICE)
		return;
	route = policy_find_route(p, name, len, q->port, q->http);
	if (route == POLICY_ROUTE_REFUSED) {
		r->verdict = ROUTE_DENY;
		r->reason = ROUTE_WHY_NO_ROUTE;
	}
	r->routed = route >= 0;
	r->route = r->routed ? (uint32_t)route : 0;
}

static void decide(const struct policy *p, const struct route_query *q, struct route *r)
{
	struct policy_port_info info = policy_find_port(p, q->port);
	uint8_t tcp_flags = info.flags & (uint8_t)~POLICY_PORT_UDP;
	enum route_reason why = ROUTE_WHY_NONE;

	memset(r, 0, sizeof(*r));
	if (find_address(p, q, &q->dst, is_plain_tcp, r))
		return;
	if (tcp_flags == POLICY_PORT_TCP &&
	    find_service(p, q, info.services, is_plain_tcp, ROUTE_WHY_PORT, r))
		return;
	if (q->seen == ROUTE_SEEN_NOTHING) {
		if (tcp_flags == 0 && route_server_first(q->port))
			refuse(p, ROUTE_WHY_SERVER_FIRST, r);
		else if ((tcp_flags & ~POLICY_PORT_TCP) == 0 && route_server_first(q->port))
			refuse(p, why_address(p, &q->dst), r);
		else
			*r = (struct route){.verdict = ROUTE_SNIFF};
		return;
	}
	if (!find_said(p, q, r, &why) && !find_rest(p, q, info, r))
		refuse(p, why, r);
	else if (q->seen == ROUTE_SEEN_TLS && !is_plain_tcp(r->port.protocol))
		judge_hello(p, q, r);
}

void route_find(const struct policy *p, const struct route_query *q, struct route *r)
{
	decide(p, q, r);
	find_route(p, q, r);
}

static const struct {
	const char *code, *text;
} reasons[] = {
	[ROUTE_WHY_NONE] = {"none", "nothing is decided"},
	[ROUTE_WHY_NAME] = {"name", "a service lists this host"},
	[ROUTE_WHY_ADDRESS] = {"address", "a service lists this address"},
	[ROUTE_WHY_PORT] = {"port", "a service takes the whole port"},
	[ROUTE_WHY_ROUTE] = {"route", "the gateway accepts this host, and a route has it"},
	[ROUTE_WHY_ALLOW_ANY] = {"allow-any", "outbound = allow-any"},
	[ROUTE_WHY_AUDIT] = {"audit", "enforcement = audit lets it through"},
	[ROUTE_WHY_UNLISTED] = {"unlisted", "no service lists this host"},
	[ROUTE_WHY_OTHER_PORT] = {"other-port", "listed, but not with this port and protocol"},
	[ROUTE_WHY_NO_NAME] = {"no-name", "the client named no host, and no service takes the "
					  "address and port without one"},
	[ROUTE_WHY_UNLISTED_ADDR] = {"unlisted-address", "no service lists this address"},
	[ROUTE_WHY_SERVER_FIRST] = {"server-first",
				    "no service has this port, whose servers speak first"},
	[ROUTE_WHY_OTHER_CLIENT] = {"other-client", "listed, but for other clients"},
	[ROUTE_WHY_ECH] = {"ech", "the service does not take encrypted_client_hello"},
	[ROUTE_WHY_ALPN] = {"alpn", "the service does not take what ALPN offers"},
	[ROUTE_WHY_NO_SERVER] = {"no-server", "no server of the gateway has this port and protocol"},
	[ROUTE_WHY_NO_HOST] = {"no-host", "the gateway's hosts do not hold this host"},
	[ROUTE_WHY_NO_ROUTE] = {"no-route", "no route has this host and port, or none of its routes is for this"},
};

const char *route_reason_text(enum route_reason r)
{
	return reasons[(unsigned)r < ROUTE_REASONS ? r : ROUTE_WHY_NONE].text;
}

const char *route_reason_code(enum route_reason r)
{
	return reasons[(unsigned)r < ROUTE_REASONS ? r : ROUTE_WHY_NONE].code;
}

bool route_server_first(uint16_t port)
{
	static const uint16_t ports[] = {21, 22, 25, 53, 110, 143, 587, 3306, 27017};

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (ports[i] == port)
			return true;
	return false;
}
