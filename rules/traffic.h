/* SPDX-License-Identifier: MIT */
/*
 * How connections to a gateway or service are made: balancing, limits, health and TLS; and the TLS
 * that a gateway's own listeners speak. Of a policy that was opened as gateway.h says.
 */
#ifndef SLUICE_RULES_TRAFFIC_H
#define SLUICE_RULES_TRAFFIC_H

#include "rules/policy.h"

#define POLICY_CONNECT_TIMEOUT 10000   /* ms, unless the policy says otherwise */
#define POLICY_IDLE_TIMEOUT    3600000

enum policy_balance {
	POLICY_LEAST_REQUEST = 0, POLICY_ROUND_ROBIN, POLICY_RANDOM,
	POLICY_CONSISTENT_HASH, /* by the client's address */
};
enum policy_health { POLICY_HEALTH_NONE = 0, POLICY_HEALTH_TCP, POLICY_HEALTH_HTTP };

/* Times in ms, unless their name says otherwise. Those without a comment are never 0. */
struct policy_traffic {
	enum policy_balance balance;
	uint32_t connect_timeout, idle_timeout;
	uint32_t keepalive_s;             /* TCP_KEEPIDLE; 0: no keepalive */
	uint32_t max_connections;         /* 0: no limit */
	uint32_t max_requests;            /* per connection; 0: no limit */
	bool outliers;                    /* with it, up to the health check: */
	uint32_t consecutive_5xx, consecutive_gateway, consecutive_local; /* 0: not counted */
	uint32_t outlier_interval, base_ejection;
	uint32_t max_ejection, min_health; /* per cent, 0 to 100 */
	enum policy_health health;        /* with another than POLICY_HEALTH_NONE: */
	const char *health_path;          /* with POLICY_HEALTH_HTTP */
	uint32_t health_interval, health_timeout; /* the timeout is not the longer */
	uint32_t unhealthy, healthy;      /* thresholds */
};
/* What is not said has the default: of a gateway, of a service, of what is neither. */
void policy_gateway_traffic(const struct policy *p, uint32_t i, struct policy_traffic *t);
void policy_service_traffic(const struct policy *p, uint32_t i, struct policy_traffic *t);
void policy_traffic_defaults(struct policy_traffic *t);

/*
 * A certificate, bundle or key: a file of the device (path), or in the policy (path NULL): the
 * bytes of a PEM or DER file, behind which is a NUL that len does not count. Both NULL: not said.
 */
struct policy_pem { const char *path; const uint8_t *bytes; uint32_t len; };

#define POLICY_PIN_SIZE 32 /* SHA-256 of a SubjectPublicKeyInfo */

/* As a client. */
struct policy_tls {
	bool mutual;                     /* then with certificate and private_key, else without */
	bool only_13;                    /* not TLS 1.2 */
	struct policy_pem ca;            /* always said */
	struct policy_pem certificate, private_key;
	const char *sni;                 /* canonical; NULL: the name that was asked for */
	struct policy_list alt_names;    /* strings: what the certificate may say; empty: the name */
	const uint8_t *pins;             /* n_pins of POLICY_PIN_SIZE: one must be in the chain */
	uint32_t n_pins;                 /* 0: no pins */
};
/* False: no TLS of our own. */
bool policy_gateway_tls(const struct policy *p, uint32_t i, struct policy_tls *t);
bool policy_service_tls(const struct policy *p, uint32_t i, struct policy_tls *t);

/* What a server of the policy's own gateway does with TLS. */
enum policy_server_tls {
	POLICY_SERVER_NONE = 0,          /* there is none: http, http2, grpc, tcp... */
	POLICY_SERVER_PASSTHROUGH,       /* by SNI, as for a node */
	POLICY_SERVER_SIMPLE, POLICY_SERVER_MUTUAL, /* ended here */
	POLICY_SERVER_AUTO_PASSTHROUGH,  /* the SNI is outbound_.PORT_.SUBSET_.HOST */
};
/* port: of a gateway's servers, as for policy_port(). */
enum policy_server_tls policy_server_tls(const struct policy *p, uint32_t port);
const char *policy_server_tls_name(enum policy_server_tls v); /* "none", "passthrough", ... */

/* What servers with simple or mutual need, of the policy's own gateway alone. */
struct policy_server {
	bool only_13;
	struct policy_pem certificate, private_key; /* always said */
	struct policy_pem client_ca;     /* said if some server is mutual */
	struct policy_list alt_names;    /* strings: what a client's may say; empty: anything */
};
/* False: no server ends TLS. */
bool policy_server(const struct policy *p, uint32_t gateway, struct policy_server *s);

const char *policy_balance_name(enum policy_balance v);

#endif
