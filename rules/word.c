/* SPDX-License-Identifier: MIT */
/* What is known of any policy: synthetic addresses, and the words of the language. */
#include "rules/policy.h"

#include <string.h>

/* ---- synthetic addresses ---- */

static const struct cidr auto_ranges[2] = {
	{{{[10] = 0xff, 0xff, 240, 240}}, 96 + 16},
	{{{0x20, 0x01, 0x00, 0x02}}, 48},
};

void policy_auto_address(uint32_t number, struct addr pair[static 2])
{
	const uint8_t tail[4] = {240, 240, (uint8_t)(number / 254), (uint8_t)(1 + number % 254)};

	for (size_t i = 0; i < 2; i++) {
		pair[i] = auto_ranges[i].addr;
		memcpy(pair[i].b + 12, tail, sizeof(tail));
	}
}

bool policy_is_auto_address(const struct addr *a)
{
	return cidr_contains(&auto_ranges[0], a) || cidr_contains(&auto_ranges[1], a);
}

/* ---- words ---- */

const char *policy_protocol_name(enum policy_protocol v)
{
	static const char *const names[] = {
		[POLICY_PROTO_NONE] = "none",   [POLICY_PROTO_HTTP] = "http",
		[POLICY_PROTO_HTTP2] = "http2", [POLICY_PROTO_GRPC] = "grpc",
		[POLICY_PROTO_HTTPS] = "https", [POLICY_PROTO_TLS] = "tls",
		[POLICY_PROTO_TCP] = "tcp",     [POLICY_PROTO_MONGO] = "mongo",
		[POLICY_PROTO_MYSQL] = "mysql", [POLICY_PROTO_REDIS] = "redis",
		[POLICY_PROTO_MQTT] = "mqtt",   [POLICY_PROTO_UDP] = "udp",
		[POLICY_PROTO_AUTO] = "auto",
	};

	return (unsigned)v < POLICY_PROTOCOLS ? names[v] : "none";
}

const char *policy_resolution_name(enum policy_resolution v)
{
	static const char *const names[] = {
		[POLICY_NONE] = "none", [POLICY_STATIC] = "static", [POLICY_DNS] = "dns",
		[POLICY_DNS_ROUND_ROBIN] = "dns-round-robin", [POLICY_DYNAMIC_DNS] = "dynamic-dns",
	};

	return (unsigned)v <= POLICY_DYNAMIC_DNS ? names[v] : "none";
}

bool policy_protocol_is_http(enum policy_protocol v)
{
	return v == POLICY_PROTO_HTTP || v == POLICY_PROTO_HTTP2 || v == POLICY_PROTO_GRPC ||
	       v == POLICY_PROTO_AUTO;
}

bool policy_protocol_is_tls(enum policy_protocol v)
{
	return v == POLICY_PROTO_HTTPS || v == POLICY_PROTO_TLS || v == POLICY_PROTO_AUTO;
}

bool policy_protocol_is_tcp(enum policy_protocol v)
{
	return v == POLICY_PROTO_TCP || v == POLICY_PROTO_MONGO || v == POLICY_PROTO_MYSQL ||
	       v == POLICY_PROTO_REDIS || v == POLICY_PROTO_MQTT || v == POLICY_PROTO_AUTO;
}
