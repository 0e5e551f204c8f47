/* SPDX-License-Identifier: MIT */
/*
 * The policy reader: open, verify, look up. What devices link.
 *
 * policy_open() verifies every byte once, on the very bytes that are used afterwards;
 * the look-ups below need no checks and cannot fail. No heap. A struct policy is read-only
 * after it is opened and may be shared by threads.
 */
#ifndef SLUICE_RULES_POLICY_H
#define SLUICE_RULES_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/addr.h"
#include "rules/format.h"

/* Zero is the strict choice in each of these. */
enum policy_outbound    { POLICY_REGISTRY_ONLY = 0, POLICY_ALLOW_ANY };
enum policy_enforcement { POLICY_ENFORCE = 0, POLICY_AUDIT };
enum policy_log_format  { POLICY_LOG_TEXT = 0, POLICY_LOG_JSON };
enum policy_scope       { POLICY_SCOPE_POD = 0, POLICY_SCOPE_ROUTER, POLICY_SCOPE_BOTH };
enum policy_method      { POLICY_TPROXY = 0, POLICY_REDIRECT };
enum policy_action      { POLICY_REJECT = 0, POLICY_ALLOW, POLICY_CAPTURE };
enum policy_tamper      { POLICY_TAMPER_LOCKDOWN = 0, POLICY_TAMPER_REPAIR, POLICY_TAMPER_LOG };
enum policy_location    { POLICY_EXTERNAL = 0, POLICY_INTERNAL };
enum policy_resolution {
	POLICY_NONE = 0, POLICY_STATIC, POLICY_DNS, POLICY_DNS_ROUND_ROBIN, POLICY_DYNAMIC_DNS,
};
enum policy_protocol {
	POLICY_PROTO_NONE = 0,
	POLICY_PROTO_HTTP, POLICY_PROTO_HTTP2, /* by Host or :authority */
	POLICY_PROTO_GRPC,
	POLICY_PROTO_HTTPS, POLICY_PROTO_TLS,  /* by SNI */
	POLICY_PROTO_TCP, POLICY_PROTO_MONGO,  /* by address and port, never sniffed */
	POLICY_PROTO_MYSQL, POLICY_PROTO_REDIS, POLICY_PROTO_MQTT,
	POLICY_PROTO_UDP,
	POLICY_PROTO_AUTO,                     /* sniffed: HTTP, TLS, or else TCP */
	POLICY_PROTOCOLS,
};

/* Holes that a policy accepts where a backend of sluice-init cannot close them. */
enum { POLICY_ACCEPT_PACKET_SOCKETS = 1, POLICY_ACCEPT_KNOWN = 1 };

/* Which kinds of service a port has (struct policy_port_info.flags). */
enum {
	POLICY_PORT_HTTP = 1, POLICY_PORT_TLS = 2, POLICY_PORT_TCP = 4, POLICY_PORT_AUTO = 8,
	POLICY_PORT_UDP = 16, POLICY_PORT_KNOWN = 31,
};

struct policy {
	const uint8_t *base;
	size_t len;
	int fd;                                   /* the sealed memfd, or -1 */
	const uint8_t *at[FORMAT_SECTIONS];       /* start of each section */
	uint32_t n[FORMAT_SECTIONS];              /* records in each */
	uint32_t homes, probes;                   /* of the host table */
	uint64_t sequence;
};

/*
 * Why a policy was refused: a sentence without a final dot, e.g. "section HOSTS: slot 7: list 12 is
 * out of range".
 */
struct policy_error {
	char text[160];
};

/*
 * Opens a regular file or block device (symbolic links are followed: a ConfigMap's files are
 * links), copies it into a sealed memfd, verifies the copy and maps it. 0; or -1 with errno
 * (EBADMSG when the bytes are not a valid policy) and e->text.
 */
int policy_open(struct policy *p, const char *path, struct policy_error *e);
/* Verifies bytes in memory, which the caller keeps as long as p is used. 0, or -1 as above. */
int policy_open_bytes(struct policy *p, const void *bytes, size_t len, struct policy_error *e);
/*
 * policy_open() for a program that reads nothing of gateway.h: gateways and routes are not verified,
 * and the code that would is spared.
 */
int policy_open_direct(struct policy *p, const char *path, struct policy_error *e);
/*
 * Whether it has neither gateways, routes, nor what traffic.h reads: then policy_open_direct() has
 * verified all of it.
 */
bool policy_is_direct(const struct policy *p);
void policy_close(struct policy *p);

/* verify.c: p->base, len set; fills the rest. */
int policy_verify(struct policy *p, struct policy_error *e);
int policy_verify_direct(struct policy *p, struct policy_error *e);

/* Strings and lists. */
const char *policy_string(const struct policy *p, uint32_t ref);
struct policy_list { const uint8_t *words; uint32_t n; };
struct policy_list policy_list(const struct policy *p, uint32_t ref);
uint32_t policy_item(struct policy_list l, uint32_t i);

struct policy_run { uint32_t first, n; };

struct policy_meta {
	const char *name, *namespace_, *node, *access_log;
	struct policy_list nameservers; /* strings */
	enum policy_outbound outbound;
	enum policy_enforcement enforcement;
	enum policy_log_format log_format;
};
void policy_meta(const struct policy *p, struct policy_meta *m);

struct policy_capture {
	enum policy_scope scope;
	enum policy_method method;
	enum policy_action udp, other, dns;
	enum policy_tamper tamper;
	uint8_t accept;     /* POLICY_ACCEPT_* */
	uint32_t udp_flows; /* per client address, 1 to 65535 */
	struct policy_list interfaces, exclude_interfaces; /* strings */
	struct policy_run ports, exclude_ports, exempt_uids, exempt_gids; /* policy_range() */
	struct policy_run exclude_cidrs;                                  /* policy_cidr() */
};
void policy_capture(const struct policy *p, struct policy_capture *c);

struct policy_service {
	const char *name;
	struct policy_list export_to;
	enum policy_resolution resolution;
	enum policy_location location;
	enum policy_enforcement enforcement;
	bool websocket, allow_private;
	bool no_ech;              /* ClientHellos with encrypted_client_hello are refused */
	bool scrub;               /* requests lose what could stand for their Host and target */
	bool no_alt_svc;          /* responses lose Alt-Svc */
	bool auto_address;        /* cidrs are synthetic: names stand for them, nobody dials them */
	uint32_t n_hosts;
	struct policy_run ports, endpoints, cidrs;
	struct policy_run clients; /* policy_cidr(); empty: everybody */
	struct policy_list alpn;   /* strings: what a ClientHello may offer; empty: anything */
	const uint8_t *first_host; /* {length, bytes} of a host key for logs, or NULL */
};
void policy_service(const struct policy *p, uint32_t i, struct policy_service *s);

struct policy_port { uint16_t number, target; enum policy_protocol protocol; };
void policy_port(const struct policy *p, uint32_t i, struct policy_port *port);

/* name NULL: an address. */
struct policy_endpoint { const char *name; struct addr addr; uint32_t weight; uint16_t port; };
void policy_endpoint(const struct policy *p, uint32_t i, struct policy_endpoint *e);

void policy_cidr(const struct policy *p, uint32_t i, struct cidr *c);
void policy_range(const struct policy *p, uint32_t i, uint32_t *first, uint32_t *last);

/*
 * Name look-up, one probe per label: the most specific key that matches comes first. Start with
 * *at = 0; each call returns the services of the next matching key (exact, then "*.suffix" from the
 * longest, then "*") and advances *at; n == 0: no more. *key (if not NULL) points at the {length,
 * bytes} matched.
 */
struct policy_list policy_find_host(const struct policy *p, const char *name, size_t len,
                                    uint32_t *at, const uint8_t **key);
/* Services whose addresses contain a, narrowest prefix first. */
struct policy_list policy_find_addr(const struct policy *p, const struct addr *a);
/* What a TCP port has; flags 0 when no service has it. */
struct policy_port_info { uint8_t flags; struct policy_list services; };
struct policy_port_info policy_find_port(const struct policy *p, uint16_t port);
/* The service's port record with this number (TCP kinds only), or -1. */
int64_t policy_service_port(const struct policy *p, uint32_t service, uint16_t number,
                            struct policy_port *port);

/* Whether its addresses are what its names resolve to, and it has none of its own. */
bool policy_service_goes_by_name(const struct policy_service *s);
/* Whether a source address may use the service. */
bool policy_service_serves(const struct policy *p, uint32_t service, const struct addr *client);

/*
 * Synthetic addresses lie in 240.240.0.0/16 and 2001:2::/48. The pair with a number has
 * 240.240.X.Y, X being number / 254 and Y 1 + number % 254, and 2001:2::f0f0:XXYY.
 */
#define POLICY_AUTO_ADDRESSES 64770 /* X 0 to 254, Y 1 to 254 */
void policy_auto_address(uint32_t number, struct addr pair[static 2]);
bool policy_is_auto_address(const struct addr *a);

/* Words of the policy language, for show, explain, logs and /policy. */
const char *policy_protocol_name(enum policy_protocol v);
const char *policy_resolution_name(enum policy_resolution v);
bool policy_protocol_is_http(enum policy_protocol v); /* http, http2, grpc, auto */
bool policy_protocol_is_tls(enum policy_protocol v);  /* https, tls, auto */
bool policy_protocol_is_tcp(enum policy_protocol v);  /* tcp, mongo, mysql, redis, mqtt, auto */

#endif
