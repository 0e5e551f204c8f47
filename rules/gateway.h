/* SPDX-License-Identifier: MIT */
/*
 * The gateways and routes of a compiled policy, as its node needs them. The policy was opened with
 * policy_open() or policy_open_bytes(): others have not looked at what is read here.
 *
 * All that is returned points into the policy and lives as long as it does.
 */
#ifndef SLUICE_RULES_GATEWAY_H
#define SLUICE_RULES_GATEWAY_H

#include "rules/http_rule.h"
#include "rules/policy.h"
#include "rules/traffic.h"

/* How a connection is handed to a gateway. */
enum policy_via {
	POLICY_VIA_PLAIN = 0, POLICY_VIA_TLS, POLICY_VIA_MUTUAL, POLICY_VIA_CONNECT,
	POLICY_VIA_SOCKS5, POLICY_VIA_PROXY_V2,
};

struct policy_gateway {
	const char *name;
	enum policy_via via;
	struct policy_list hosts;     /* strings: host keys that it accepts */
	struct policy_run servers;    /* policy_port(): what it listens on; none is udp or auto */
	struct policy_run endpoints;  /* policy_endpoint(), never empty; port 0: the one asked for */
	struct policy_run subsets;    /* policy_subset() */
	/*
	 * policy_cidr(): whose connections begin with a PROXY v2 header, and nobody else's; of the
	 * policy's own gateway alone.
	 */
	struct policy_run proxy_from;
};
void policy_gateway(const struct policy *p, uint32_t i, struct policy_gateway *g);
/* The gateway that the policy's node is; -1: it is none. */
int64_t policy_own_gateway(const struct policy *p);
/* policy_port(): what the node listens on as a gateway; empty: it is none. */
struct policy_run policy_own_servers(const struct policy *p);
/* Whether the gateway's hosts hold a canonical name. */
bool policy_gateway_accepts(const struct policy *p, uint32_t i, const char *name, size_t len);
/* Its server on a port, and what that does with TLS. False: none listens there. */
bool policy_gateway_server(const struct policy *p, uint32_t i, uint16_t number,
			   struct policy_port *server, enum policy_server_tls *tls);

struct policy_subset { const char *name; struct policy_run endpoints; };
void policy_subset(const struct policy *p, uint32_t i, struct policy_subset *s);

struct policy_route {
	const char *name;
	const char *first_host;         /* its first host key, for logs */
	uint16_t port;                  /* 0: any */
	/* Empty, and 0, where the route answers itself (policy_route_http()); else from 1 both. */
	uint32_t weight;                /* the sum of the destinations' */
	struct policy_run destinations; /* policy_destination() */
};
void policy_route(const struct policy *p, uint32_t i, struct policy_route *r);

struct policy_destination {
	const char *host;            /* canonical; NULL: the gateway */
	uint16_t port;               /* with host */
	uint32_t gateway;            /* without */
	const char *subset;          /* without; NULL: all of the gateway */
	struct policy_run endpoints; /* without: of the subset, or where it has none, the gateway */
	uint32_t weight;             /* 0: never, while others are there */
};
void policy_destination(const struct policy *p, uint32_t i, struct policy_destination *d);
/*
 * The service of a destination that is a host, for a client, and the port it has there. -1: there is
 * one, but not for this client. client NULL: any.
 */
int64_t policy_destination_service(const struct policy *p, const struct policy_destination *d,
				   const struct addr *client, struct policy_port *port);

/*
 * The route for a host key (a canonical name is one) and port: of the most specific of the routes'
 * keys that match and have a route with that port, or any, the first such whose conditions the
 * request meets. What is not HTTP (http NULL) has neither met conditions nor an answer made here.
 */
enum {
	POLICY_ROUTE_NONE = -1,    /* no route has the name and port */
	POLICY_ROUTE_REFUSED = -2, /* some have, but not for this: it must not go out */
};
int64_t policy_find_route(const struct policy *p, const char *key, size_t len, uint16_t port,
			  const struct policy_http *http);
/* The first route that is for this port, not for any, and whose first host gateway i accepts, or -1. */
int64_t policy_find_port_route(const struct policy *p, uint32_t i, uint16_t port);

const char *policy_via_name(enum policy_via v);

#endif
