/* SPDX-License-Identifier: MIT */
/*
 * The decision: what was seen of a connection, and the policy, give a verdict. No I/O, no state.
 * The proxy asks it for each connection and each HTTP request, `sluice-rules explain` for people.
 *
 * Order (Envoy's, and Istio's for sidecars):
 *  1. a service of a TCP kind whose addresses contain the destination and that has the port:
 *     narrowest prefix wins, nothing is sniffed;
 *  2. a port that only a TCP-kind service without addresses has: that service, nothing is sniffed;
 *  3. else the first bytes are looked at: HTTP by Host among the services that have the port as an
 *     HTTP kind, TLS by SNI among those that have it as a TLS kind; exact name before the longest
 *     *.suffix before *; a name whose services lack the port falls through to the next wider
 *     pattern. A Host that is an address matches services by `addresses`;
 *  4. what no name settled goes to the auto-kind service whose addresses contain the destination
 *     and that has the port, else to the TCP- or auto-kind service without addresses on that port;
 *     but not TLS where a TLS-kind service has the port, and not HTTP where an HTTP- or auto-kind
 *     service has it: there the name decides alone;
 *  5. nothing matched: denied under registry-only, passed through under allow-any; under audit
 *     passed through and marked.
 * A service whose `clients` do not hold the source is passed over as if it lacked the port. One that
 * is found but does not take such a ClientHello (`alpn`, `ech`) refuses it: no other is tried, and neither
 * does allow-any let it through. Under audit, its own or the policy's, the service takes it, marked.
 *
 * What is let through follows the route of its name, if there is one (policy_find_route()): the name
 * that the client said, or else, as that is all that is known, the first host of the service. Then
 * it goes to the route's destinations and nowhere else, whatever becomes of them. Where the name has
 * routes on the port, but none for this request, it is denied, under audit and allow-any as well.
 */
#ifndef SLUICE_RULES_ROUTE_H
#define SLUICE_RULES_ROUTE_H

#include "rules/gateway.h"

enum route_seen {
	ROUTE_SEEN_NOTHING = 0, /* only the destination is known so far */
	ROUTE_SEEN_HTTP,
	ROUTE_SEEN_TLS,
	ROUTE_SEEN_OTHER,       /* sniffed, neither; or silent until the sniff deadline */
};

struct route_query {
	struct addr src;         /* the client */
	struct addr dst;         /* the destination the client asked for */
	uint16_t port;
	enum route_seen seen;
	const char *name;        /* canonical Host or SNI (name_canon()); NULL: none */
	size_t name_len;
	const struct addr *host; /* HTTP whose Host is an address; NULL: it is not */
	/* TLS: what ALPN offers, as {u8 length, bytes} one after the other; none is http/1.1. */
	const uint8_t *alpn;
	size_t alpn_len;
	bool ech;                /* TLS: with encrypted_client_hello */
	const struct policy_http *http; /* HTTP: the request; NULL: it meets no route's conditions */
	/* What is seen was under TLS that the gateway's server ended; its SNI, canonical, or NULL. */
	bool ended;
	const char *sni;
};

enum route_verdict {
	ROUTE_DENY = 0,
	ROUTE_SNIFF,       /* ask again with what was seen; only after ROUTE_SEEN_NOTHING */
	ROUTE_SERVICE,     /* r->service, r->port */
	ROUTE_ALONG,       /* by r->route alone: what a gateway was asked for */
	ROUTE_PASSTHROUGH, /* to the original destination */
};

enum route_reason {
	ROUTE_WHY_NONE = 0,
	ROUTE_WHY_NAME,          /* allowed: a service lists the name */
	ROUTE_WHY_ADDRESS,       /* allowed: a service lists the address */
	ROUTE_WHY_PORT,          /* allowed: a service takes the whole port */
	ROUTE_WHY_ROUTE,         /* allowed: the gateway accepts it, and a route has it */
	ROUTE_WHY_ALLOW_ANY,     /* allowed: outbound = allow-any */
	ROUTE_WHY_AUDIT,         /* let through: enforcement = audit; would be refused */
	ROUTE_WHY_UNLISTED,      /* denied: no service lists the name */
	ROUTE_WHY_OTHER_PORT,    /* denied: the name is listed, not with this port and protocol */
	ROUTE_WHY_NO_NAME,       /* denied: no SNI or Host, and no service lists the address */
	ROUTE_WHY_UNLISTED_ADDR, /* denied: neither name nor address is listed */
	ROUTE_WHY_SERVER_FIRST,  /* denied at once: a server-first port that no service has */
	ROUTE_WHY_OTHER_CLIENT,  /* denied: what was asked for is listed, for other clients */
	ROUTE_WHY_ECH,           /* denied: r->service does not take encrypted_client_hello */
	ROUTE_WHY_ALPN,          /* denied: r->service does not take a protocol that ALPN offers */
	ROUTE_WHY_NO_SERVER,     /* denied: the gateway listens for something else there */
	ROUTE_WHY_NO_HOST,       /* denied: the gateway's hosts do not hold the name */
	ROUTE_WHY_NO_ROUTE,      /* denied: no route has it, or none of those that have the name is for
	                            this (404, flag NR) */
	ROUTE_REASONS,
};

struct route {
	enum route_verdict verdict;
	enum route_reason reason;
	uint32_t service;        /* with ROUTE_SERVICE, and the service that refuses a ClientHello */
	struct policy_port port; /* with ROUTE_SERVICE */
	bool routed;             /* it goes by route; never when denied */
	uint32_t route;          /* with routed: policy_route() */
	const uint8_t *key;      /* the host pattern that matched {length, bytes}, or NULL */
	enum route_reason denied;/* with ROUTE_WHY_AUDIT: what it would have been denied for; also
	                            with ROUTE_DENY when it is r->service that refuses */
};

void route_find(const struct policy *p, const struct route_query *q, struct route *r);
/*
 * The same for what was asked of a gateway (policy_own_gateway()), whose server has q->port: what
 * its hosts hold and one of its routes has goes on by that route. A name is what an HTTP server has
 * by Host and a TLS server by SNI, and nothing else is taken there; a server of a TCP kind sniffs
 * nothing, and the first route that is for its port has it all. Where the server ended TLS, either is
 * taken inside, and with the protocol tls, by the SNI, anything.
 */
void route_find_gateway(const struct policy *p, uint32_t gateway, const struct route_query *q,
			struct route *r);
const char *route_reason_text(enum route_reason r); /* "no service lists this host", ... */
const char *route_reason_code(enum route_reason r); /* "unlisted", ...: for logs and metrics */

/*
 * Ports whose servers speak first (Istio's list: 25, 53, 3306, 27017; and 21, 22, 110, 143, 587):
 * waiting for client bytes is of no use.
 */
bool route_server_first(uint16_t port);

#endif
