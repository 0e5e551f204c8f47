/* SPDX-License-Identifier: MIT */
/* Reading how connections are made, of a policy that has been verified. */
#include "rules/traffic.h"

#include <string.h>

static uint32_t number(const uint8_t *record, size_t at)
{
	return get_le32(record + at);
}

static const char *text_at(const struct policy *p, uint32_t ref)
{
	return ref != 0 ? policy_string(p, ref) : NULL;
}

static const uint8_t *blob_at(const struct policy *p, uint32_t offset)
{
	return p->at[FORMAT_BLOBS] + offset + 4;
}

/* ---- TRAFFIC ---- */

void policy_traffic_defaults(struct policy_traffic *t)
{
	*t = (struct policy_traffic){.connect_timeout = POLICY_CONNECT_TIMEOUT,
				     .idle_timeout = POLICY_IDLE_TIMEOUT};
}

static void read_traffic(const struct policy *p, uint32_t ref, struct policy_traffic *t)
{
	const uint8_t *r = p->at[FORMAT_TRAFFIC] + (size_t)(ref - 1) * TRAFFIC_SIZE;

	if (ref == 0) {
		policy_traffic_defaults(t);
		return;
	}
	*t = (struct policy_traffic){
		.balance = (enum policy_balance)r[TRAFFIC_BALANCE],
		.connect_timeout = number(r, TRAFFIC_CONNECT),
		.idle_timeout = number(r, TRAFFIC_IDLE),
		.keepalive_s = number(r, TRAFFIC_KEEPALIVE),
		.max_connections = number(r, TRAFFIC_CONNECTIONS),
		.max_requests = number(r, TRAFFIC_REQUESTS),
		.outliers = number(r, TRAFFIC_INTERVAL) != 0,
		.consecutive_5xx = number(r, TRAFFIC_5XX),
		.consecutive_gateway = number(r, TRAFFIC_GATEWAY),
		.consecutive_local = number(r, TRAFFIC_LOCAL),
		.outlier_interval = number(r, TRAFFIC_INTERVAL),
		.base_ejection = number(r, TRAFFIC_EJECTION),
		.max_ejection = number(r, TRAFFIC_MAX_EJECTION),
		.min_health = number(r, TRAFFIC_MIN_HEALTH),
		.health = (enum policy_health)r[TRAFFIC_HEALTH],
		.health_path = text_at(p, number(r, TRAFFIC_HEALTH_PATH)),
		.health_interval = number(r, TRAFFIC_HEALTH_INTERVAL),
		.health_timeout = number(r, TRAFFIC_HEALTH_TIMEOUT),
		.unhealthy = number(r, TRAFFIC_UNHEALTHY),
		.healthy = number(r, TRAFFIC_HEALTHY),
	};
}

static const uint8_t *gateway(const struct policy *p, uint32_t i)
{
	return p->at[FORMAT_GATEWAYS] + (size_t)i * GATEWAY_SIZE;
}

static const uint8_t *service(const struct policy *p, uint32_t i)
{
	return p->at[FORMAT_SERVICES] + (size_t)i * SERVICE_SIZE;
}

void policy_gateway_traffic(const struct policy *p, uint32_t i, struct policy_traffic *t)
{
	read_traffic(p, number(gateway(p, i), GATEWAY_TRAFFIC), t);
}

void policy_service_traffic(const struct policy *p, uint32_t i, struct policy_traffic *t)
{
	read_traffic(p, number(service(p, i), SERVICE_TRAFFIC), t);
}

/* ---- TLS ---- */

static void read_pem(const struct policy *p, const uint8_t *r, unsigned k, struct policy_pem *pem)
{
	uint32_t ref = get_le32(r + TLS_CA + 4 * k);

	*pem = (struct policy_pem){.path = NULL};
	if ((r[TLS_FLAGS] >> k & 1) == 0) {
		pem->path = text_at(p, ref);
		return;
	}
	pem->bytes = blob_at(p, ref);
	pem->len = get_le32(pem->bytes - 4);
}

static bool read_tls(const struct policy *p, uint32_t ref, struct policy_tls *t)
{
	const uint8_t *r = p->at[FORMAT_TLS] + (size_t)(ref - 1) * TLS_SIZE;
	uint32_t pins;

	*t = (struct policy_tls){.mutual = false};
	if (ref == 0)
		return false;
	t->mutual = r[TLS_ROLE] == TLS_ROLE_MUTUAL;
	t->only_13 = (r[TLS_FLAGS] & TLS_FLAG_ONLY_13) != 0;
	read_pem(p, r, 0, &t->ca);
	read_pem(p, r, 1, &t->certificate);
	read_pem(p, r, 2, &t->private_key);
	t->sni = text_at(p, number(r, TLS_SNI));
	t->alt_names = policy_list(p, number(r, TLS_ALT_NAMES));
	pins = number(r, TLS_PINS);
	if (pins != 0) {
		t->pins = blob_at(p, pins - 1);
		t->n_pins = get_le32(t->pins - 4) / POLICY_PIN_SIZE;
	}
	return true;
}

bool policy_gateway_tls(const struct policy *p, uint32_t i, struct policy_tls *t)
{
	return read_tls(p, number(gateway(p, i), GATEWAY_TLS), t);
}

bool policy_service_tls(const struct policy *p, uint32_t i, struct policy_tls *t)
{
	return read_tls(p, number(service(p, i), SERVICE_TLS), t);
}

bool policy_server(const struct policy *p, uint32_t i, struct policy_server *s)
{
	struct policy_tls t;
	bool said = read_tls(p, number(gateway(p, i), GATEWAY_SERVER_TLS), &t);

	*s = (struct policy_server){.only_13 = t.only_13,
				    .certificate = t.certificate,
				    .private_key = t.private_key,
				    .client_ca = t.ca,
				    .alt_names = t.alt_names};
	return said;
}

enum policy_server_tls policy_server_tls(const struct policy *p, uint32_t port)
{
	return (enum policy_server_tls)p->at[FORMAT_PORTS][(size_t)port * PORT_SIZE + PORT_TLS];
}

/* ---- words ---- */

const char *policy_server_tls_name(enum policy_server_tls v)
{
	static const char *const names[] = {
		[POLICY_SERVER_NONE] = "none",
		[POLICY_SERVER_PASSTHROUGH] = "passthrough",
		[POLICY_SERVER_SIMPLE] = "simple",
		[POLICY_SERVER_MUTUAL] = "mutual",
		[POLICY_SERVER_AUTO_PASSTHROUGH] = "auto-passthrough",
	};

	return (unsigned)v <= POLICY_SERVER_AUTO_PASSTHROUGH ? names[v] : "none";
}

const char *policy_balance_name(enum policy_balance v)
{
	static const char *const names[] = {
		[POLICY_LEAST_REQUEST] = "least-request",
		[POLICY_ROUND_ROBIN] = "round-robin",
		[POLICY_RANDOM] = "random",
		[POLICY_CONSISTENT_HASH] = "consistent-hash",
	};

	return (unsigned)v <= POLICY_CONSISTENT_HASH ? names[v] : "least-request";
}
