/* SPDX-License-Identifier: MIT */
/*
 * A policy as the compiler holds it: filled by the language front (ini.c, language.c), checked
 * (check.c), written as bytes (emit.c). Host side only; everything lives until the process ends,
 * and running out of memory exits with EX_OSERR.
 */
#ifndef SLUICE_RULES_MODEL_H
#define SLUICE_RULES_MODEL_H

#include "rules/model_list.h"
#include "rules/model_rule.h"

#define MODEL_UDP_FLOWS 128 /* per client address, unless the policy says otherwise */

struct model_capture {
	enum policy_scope scope;
	enum policy_method method;
	enum policy_action udp, other, dns;
	enum policy_tamper tamper;
	unsigned accept; /* POLICY_ACCEPT_* */
	uint32_t udp_flows;
	struct model_strings interfaces, exclude_interfaces;
	struct model_ranges ports, exclude_ports, exempt_uids, exempt_gids;
	struct model_cidrs exclude_cidrs;
	struct model_at at;
};

struct model_service {
	const char *name;
	struct model_hosts hosts;
	struct model_ports ports;
	enum policy_resolution resolution;
	enum policy_location location;
	enum policy_enforcement enforcement;
	bool websocket, allow_private, no_ech, scrub, no_alt_svc;
	bool auto_address; /* addresses were drawn by the compiler */
	struct model_strings export_to, alpn;
	struct model_cidrs addresses, clients;
	struct model_endpoints endpoints;
	struct policy_traffic traffic; /* times that are 0 have their defaults */
	enum model_tls_mode tls_mode;
	struct model_tls tls;          /* said in part, whatever the mode */
	struct model_at at;
};

struct model_subset { const char *name; struct model_endpoints endpoints; struct model_at at; };
struct model_subsets { struct model_subset *v; size_t n, room; };

struct model_gateway {
	const char *name;
	struct model_endpoints addresses;
	struct model_ports servers;
	struct model_hosts hosts;
	enum policy_via via;
	struct model_subsets subsets;
	struct policy_traffic traffic;
	struct model_tls tls;          /* to it */
	struct model_tls server_tls;   /* of its own servers */
	struct model_cidrs proxy_from;
	struct model_at at;
};

struct model_destination {
	const char *gateway, *subset; /* "egress/wikipedia": gateway set, subset or NULL */
	const char *host;             /* "www.wikipedia.org:80": host set */
	uint16_t port;                /* 0: not written */
	uint32_t weight;
	struct model_at at;
};
struct model_destinations { struct model_destination *v; size_t n, room; };

struct model_route {
	const char *name;
	struct model_hosts hosts;
	uint16_t port;                /* 0: any */
	struct model_strings from;    /* "mesh" and gateway names */
	struct model_destinations to;
	struct model_rule rule;
	struct model_at at;
};

struct model_services { struct model_service *v; size_t n, room; };
struct model_gateways { struct model_gateway *v; size_t n, room; };
struct model_routes   { struct model_route *v; size_t n, room; };

struct model {
	const char *name, *namespace_, *node, *access_log;
	uint64_t sequence;
	enum policy_outbound outbound;
	enum policy_enforcement enforcement;
	enum policy_log_format log_format;
	struct model_strings nameservers;
	struct model_capture capture;
	struct model_services services;
	struct model_gateways gateways;
	struct model_routes routes;
	struct model_strings files; /* every file read, by index */
};

/* The effective defaults (`sluice-rules defaults`). */
void model_init(struct model *m);

/*
 * emit.c. Writes a checked model as the one canonical encoding (see format.h). Sorts the model's
 * lists in place (services by name, ports, addresses; capture's ranges are merged). Returns
 * malloc'ed bytes, which have been verified, and their number; NULL with e->text when the format
 * cannot hold the model.
 */
uint8_t *model_emit(struct model *m, size_t *len, struct policy_error *e);

#endif
