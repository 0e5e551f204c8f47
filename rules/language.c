/* SPDX-License-Identifier: MIT */
/* The policy language as one table. */
#include "rules/language.h"

#include <string.h>

#include "rules/model.h"
#include "rules/value.h"

static const struct { const char *word; bool named; } sections[] = {
	[SECTION_POLICY] = { "policy", false },
	[SECTION_CAPTURE] = { "capture", false },
	[SECTION_SERVICE] = { "service", true },
	[SECTION_GATEWAY] = { "gateway", true },
	[SECTION_ROUTE] = { "route", true },
};
#define SECTIONS (sizeof(sections) / sizeof(sections[0]))

static const struct value_word
	outbounds[] = { { "registry-only", POLICY_REGISTRY_ONLY }, { "allow-any", POLICY_ALLOW_ANY }, { NULL, 0 } },
	enforcements[] = { { "enforce", POLICY_ENFORCE }, { "audit", POLICY_AUDIT }, { NULL, 0 } },
	log_formats[] = { { "text", POLICY_LOG_TEXT }, { "json", POLICY_LOG_JSON }, { NULL, 0 } },
	scopes[] = { { "pod", POLICY_SCOPE_POD }, { "router", POLICY_SCOPE_ROUTER }, { "both", POLICY_SCOPE_BOTH }, { NULL, 0 } },
	methods[] = { { "tproxy", POLICY_TPROXY }, { "redirect", POLICY_REDIRECT }, { NULL, 0 } },
	actions[] = { { "reject", POLICY_REJECT }, { "allow", POLICY_ALLOW }, { NULL, 0 } },
	tampers[] = { { "repair", POLICY_TAMPER_REPAIR }, { "lockdown", POLICY_TAMPER_LOCKDOWN }, { "log", POLICY_TAMPER_LOG }, { NULL, 0 } },
	holes[] = { { "packet-sockets", POLICY_ACCEPT_PACKET_SOCKETS }, { NULL, 0 } },
	dns_actions[] = { { "reject", POLICY_REJECT }, { "allow", POLICY_ALLOW }, { "capture", POLICY_CAPTURE }, { NULL, 0 } },
	resolutions[] = {
		{ "none", POLICY_NONE }, { "static", POLICY_STATIC }, { "dns", POLICY_DNS },
		{ "dns-round-robin", POLICY_DNS_ROUND_ROBIN }, { "dynamic-dns", POLICY_DYNAMIC_DNS }, { NULL, 0 },
	},
	locations[] = { { "external", POLICY_EXTERNAL }, { "internal", POLICY_INTERNAL }, { NULL, 0 } },
	upgrades[] = { { "websocket", 1 }, { "none", 0 }, { NULL, 0 } },
	echs[] = { { "allow", 0 }, { "deny", 1 }, { NULL, 0 } },
	alt_svcs[] = { { "keep", 0 }, { "strip", 1 }, { NULL, 0 } },
	yes_no[] = { { "yes", 1 }, { "no", 0 }, { NULL, 0 } },
	vias[] = {
		{ "plain", POLICY_VIA_PLAIN }, { "tls", POLICY_VIA_TLS }, { "mutual", POLICY_VIA_MUTUAL },
		{ "connect", POLICY_VIA_CONNECT }, { "socks5", POLICY_VIA_SOCKS5 }, { "proxy-v2", POLICY_VIA_PROXY_V2 }, { NULL, 0 },
	},
	balances[] = {
		{ "least-request", POLICY_LEAST_REQUEST }, { "round-robin", POLICY_ROUND_ROBIN }, { "random", POLICY_RANDOM },
		{ "consistent-hash", POLICY_CONSISTENT_HASH }, { NULL, 0 },
	},
	tls_modes[] = { { "none", MODEL_TLS_NONE }, { "simple", MODEL_TLS_SIMPLE }, { "mutual", MODEL_TLS_MUTUAL }, { NULL, 0 } },
	tls_mins[] = { { "1.2", false }, { "1.3", true }, { NULL, 0 } };

static const struct value_span
	any_port = { "port", 1, 65535, true },
	port = { "port", 1, 65535, false },
	flows = { "number of flows", 1, 65535, false },
	id = { "numeric id", 0, 4294967294, false },
	some = { "number", 1, FORMAT_MAX_NUMBER, false },
	any_number = { "number", 0, FORMAT_MAX_NUMBER, false },
	percent = { "percentage", 0, 100, false },
	retries = { "number of retries", 0, 100, false },
	status = { "status", 200, 599, false };
/* How long something may take: a whole number of its last unit, in ms. */
static const struct value_span
	duration = { "1ms", 1, FORMAT_MAX_TIME, false },
	any_duration = { "0", 0, FORMAT_MAX_TIME, false },
	seconds = { "1s", 1000, 32767000, false };

enum {
	LIST = LANGUAGE_LIST, FILES = LANGUAGE_FILES, NAMED = LANGUAGE_NAMED, BITS = LANGUAGE_BITS,
	FIELD = LANGUAGE_NAMED | LANGUAGE_FIELD,
};

#define POLICY(field)  offsetof(struct model, field)
#define CAPTURE(field) offsetof(struct model_capture, field)
#define SERVICE(field) offsetof(struct model_service, field)
#define GATEWAY(field) offsetof(struct model_gateway, field)
#define ROUTE(field)   offsetof(struct model_route, field)

/* How connections are made, in the words of Istio's DestinationRule. */
#define TRAFFIC(SECTION, IN) \
	{ SECTION, KEY_LOAD_BALANCER, "load-balancer", value_word, IN(traffic.balance), balances, 0 }, \
	{ SECTION, KEY_CONNECT_TIMEOUT, "connect-timeout", value_duration, IN(traffic.connect_timeout), &duration, 0 }, \
	{ SECTION, KEY_IDLE_TIMEOUT, "idle-timeout", value_duration, IN(traffic.idle_timeout), &duration, 0 }, \
	{ SECTION, KEY_KEEPALIVE, "keepalive", value_seconds, IN(traffic.keepalive_s), &seconds, 0 }, \
	{ SECTION, KEY_MAX_CONNECTIONS, "max-connections", value_count, IN(traffic.max_connections), &any_number, 0 }, \
	{ SECTION, KEY_MAX_REQUESTS, "max-requests-per-connection", value_count, IN(traffic.max_requests), &any_number, 0 }, \
	{ SECTION, KEY_CONSECUTIVE_5XX, "consecutive-5xx-errors", value_count, IN(traffic.consecutive_5xx), &any_number, 0 }, \
	{ SECTION, KEY_CONSECUTIVE_GATEWAY, "consecutive-gateway-errors", value_count, IN(traffic.consecutive_gateway), &any_number, 0 }, \
	{ SECTION, KEY_CONSECUTIVE_LOCAL, "consecutive-local-origin-failures", value_count, IN(traffic.consecutive_local), &any_number, 0 }, \
	{ SECTION, KEY_OUTLIER_INTERVAL, "outlier-interval", value_duration, IN(traffic.outlier_interval), &duration, 0 }, \
	{ SECTION, KEY_BASE_EJECTION_TIME, "base-ejection-time", value_duration, IN(traffic.base_ejection), &duration, 0 }, \
	{ SECTION, KEY_MAX_EJECTION, "max-ejection-percent", value_count, IN(traffic.max_ejection), &percent, 0 }, \
	{ SECTION, KEY_MIN_HEALTH, "min-health-percent", value_count, IN(traffic.min_health), &percent, 0 }, \
	{ SECTION, KEY_HEALTH_CHECK, "health-check", value_health, IN(traffic), NULL, 0 }, \
	{ SECTION, KEY_HEALTH_INTERVAL, "health-interval", value_duration, IN(traffic.health_interval), &duration, 0 }, \
	{ SECTION, KEY_HEALTH_TIMEOUT, "health-timeout", value_duration, IN(traffic.health_timeout), &duration, 0 }, \
	{ SECTION, KEY_UNHEALTHY_THRESHOLD, "unhealthy-threshold", value_count, IN(traffic.unhealthy), &some, 0 }, \
	{ SECTION, KEY_HEALTHY_THRESHOLD, "healthy-threshold", value_count, IN(traffic.healthy), &some, 0 }
#define TLS(SECTION, IN) \
	{ SECTION, KEY_CA, "ca", value_pem, IN(tls.ca), NULL, 0 }, \
	{ SECTION, KEY_CERTIFICATE, "certificate", value_pem, IN(tls.certificate), NULL, 0 }, \
	{ SECTION, KEY_PRIVATE_KEY, "private-key", value_pem, IN(tls.private_key), NULL, 0 }, \
	{ SECTION, KEY_SNI, "sni", value_host_name, IN(tls.sni), NULL, 0 }, \
	{ SECTION, KEY_SUBJECT_ALT_NAMES, "subject-alt-names", value_alt_name, IN(tls.alt_names), NULL, LIST }, \
	{ SECTION, KEY_PINS, "pins", value_pin, IN(tls.pins), NULL, LIST }, \
	{ SECTION, KEY_TLS_MIN, "tls-min", value_flag, IN(tls.only_13), tls_mins, 0 }

static const struct language_entry entries[] = {
	{ SECTION_POLICY, KEY_NAME, "name", value_label, POLICY(name), NULL, 0 },
	{ SECTION_POLICY, KEY_SEQUENCE, "sequence", value_sequence, POLICY(sequence), NULL, 0 },
	{ SECTION_POLICY, KEY_OUTBOUND, "outbound", value_word, POLICY(outbound), outbounds, 0 },
	{ SECTION_POLICY, KEY_ENFORCEMENT, "enforcement", value_word, POLICY(enforcement), enforcements, 0 },
	{ SECTION_POLICY, KEY_NAMESPACE, "namespace", value_label, POLICY(namespace_), NULL, 0 },
	{ SECTION_POLICY, KEY_ACCESS_LOG, "access-log", value_access_log, POLICY(access_log), NULL, 0 },
	{ SECTION_POLICY, KEY_LOG_FORMAT, "log-format", value_word, POLICY(log_format), log_formats, 0 },
	{ SECTION_POLICY, KEY_NAMESERVERS, "nameservers", value_nameserver, POLICY(nameservers), NULL, LIST },

	{ SECTION_CAPTURE, KEY_SCOPE, "scope", value_word, CAPTURE(scope), scopes, 0 },
	{ SECTION_CAPTURE, KEY_METHOD, "method", value_word, CAPTURE(method), methods, 0 },
	{ SECTION_CAPTURE, KEY_INTERFACES, "interfaces", value_interface, CAPTURE(interfaces), NULL, LIST },
	{ SECTION_CAPTURE, KEY_PORTS, "ports", value_range, CAPTURE(ports), &any_port, LIST },
	{ SECTION_CAPTURE, KEY_EXCLUDE_PORTS, "exclude-ports", value_range, CAPTURE(exclude_ports), &port, LIST },
	{ SECTION_CAPTURE, KEY_EXCLUDE_CIDRS, "exclude-cidrs", value_cidr, CAPTURE(exclude_cidrs), NULL, LIST },
	{ SECTION_CAPTURE, KEY_EXCLUDE_INTERFACES, "exclude-interfaces", value_interface, CAPTURE(exclude_interfaces), NULL, LIST },
	{ SECTION_CAPTURE, KEY_EXEMPT_UIDS, "exempt-uids", value_range, CAPTURE(exempt_uids), &id, LIST },
	{ SECTION_CAPTURE, KEY_EXEMPT_GIDS, "exempt-gids", value_range, CAPTURE(exempt_gids), &id, LIST },
	{ SECTION_CAPTURE, KEY_UDP, "udp", value_word, CAPTURE(udp), actions, 0 },
	{ SECTION_CAPTURE, KEY_UDP_FLOWS, "udp-flows", value_count, CAPTURE(udp_flows), &flows, 0 },
	{ SECTION_CAPTURE, KEY_OTHER, "other", value_word, CAPTURE(other), actions, 0 },
	{ SECTION_CAPTURE, KEY_DNS, "dns", value_word, CAPTURE(dns), dns_actions, 0 },
	{ SECTION_CAPTURE, KEY_TAMPER, "tamper", value_word, CAPTURE(tamper), tampers, 0 },
	{ SECTION_CAPTURE, KEY_ACCEPT, "accept", value_bit, CAPTURE(accept), holes, LIST | BITS },

	{ SECTION_SERVICE, KEY_HOSTS, "hosts", value_host, SERVICE(hosts), NULL, LIST },
	{ SECTION_SERVICE, KEY_HOSTS_FILE, "hosts-file", value_host, SERVICE(hosts), NULL, LIST | FILES },
	{ SECTION_SERVICE, KEY_PORTS, "ports", value_port, SERVICE(ports), NULL, LIST },
	{ SECTION_SERVICE, KEY_RESOLUTION, "resolution", value_word, SERVICE(resolution), resolutions, 0 },
	{ SECTION_SERVICE, KEY_LOCATION, "location", value_word, SERVICE(location), locations, 0 },
	{ SECTION_SERVICE, KEY_ENFORCEMENT, "enforcement", value_word, SERVICE(enforcement), enforcements, 0 },
	{ SECTION_SERVICE, KEY_EXPORT_TO, "export-to", value_export, SERVICE(export_to), NULL, LIST },
	{ SECTION_SERVICE, KEY_ADDRESSES, "addresses", value_cidr, SERVICE(addresses), NULL, LIST },
	{ SECTION_SERVICE, KEY_ENDPOINTS, "endpoints", value_endpoint, SERVICE(endpoints), NULL, LIST },
	{ SECTION_SERVICE, KEY_UPGRADE, "upgrade", value_flag, SERVICE(websocket), upgrades, 0 },
	{ SECTION_SERVICE, KEY_ALLOW_PRIVATE, "allow-private", value_flag, SERVICE(allow_private), yes_no, 0 },
	{ SECTION_SERVICE, KEY_AUTO_ADDRESS, "auto-address", value_flag, SERVICE(auto_address), yes_no, 0 },
	{ SECTION_SERVICE, KEY_CLIENTS, "clients", value_cidr, SERVICE(clients), NULL, LIST },
	{ SECTION_SERVICE, KEY_ALPN, "alpn", value_alpn, SERVICE(alpn), NULL, LIST },
	{ SECTION_SERVICE, KEY_ECH, "ech", value_flag, SERVICE(no_ech), echs, 0 },
	{ SECTION_SERVICE, KEY_SCRUB, "scrub", value_flag, SERVICE(scrub), yes_no, 0 },
	{ SECTION_SERVICE, KEY_ALT_SVC, "alt-svc", value_flag, SERVICE(no_alt_svc), alt_svcs, 0 },
	TRAFFIC(SECTION_SERVICE, SERVICE),
	{ SECTION_SERVICE, KEY_TLS, "tls", value_word, SERVICE(tls_mode), tls_modes, 0 },
	TLS(SECTION_SERVICE, SERVICE),

	{ SECTION_GATEWAY, KEY_ADDRESS, "address", value_endpoint, GATEWAY(addresses), NULL, LIST },
	{ SECTION_GATEWAY, KEY_SERVERS, "servers", value_server, GATEWAY(servers), NULL, LIST },
	{ SECTION_GATEWAY, KEY_HOSTS, "hosts", value_host, GATEWAY(hosts), NULL, LIST },
	{ SECTION_GATEWAY, KEY_VIA, "via", value_word, GATEWAY(via), vias, 0 },
	{ SECTION_GATEWAY, KEY_SUBSET, "subset", value_endpoint, GATEWAY(subsets), NULL, LIST | NAMED },
	TRAFFIC(SECTION_GATEWAY, GATEWAY),
	TLS(SECTION_GATEWAY, GATEWAY),
	{ SECTION_GATEWAY, KEY_PROXY_PROTOCOL_FROM, "proxy-protocol-from", value_cidr, GATEWAY(proxy_from), NULL, LIST },
	{ SECTION_GATEWAY, KEY_SERVER_CERTIFICATE, "server-certificate", value_pem, GATEWAY(server_tls.certificate), NULL, 0 },
	{ SECTION_GATEWAY, KEY_SERVER_PRIVATE_KEY, "server-private-key", value_pem, GATEWAY(server_tls.private_key), NULL, 0 },
	{ SECTION_GATEWAY, KEY_CLIENT_CA, "client-ca", value_pem, GATEWAY(server_tls.ca), NULL, 0 },
	{ SECTION_GATEWAY, KEY_CLIENT_SUBJECT_ALT_NAMES, "client-subject-alt-names", value_alt_name, GATEWAY(server_tls.alt_names), NULL, LIST },
	{ SECTION_GATEWAY, KEY_SERVER_TLS_MIN, "server-tls-min", value_flag, GATEWAY(server_tls.only_13), tls_mins, 0 },

	{ SECTION_ROUTE, KEY_HOSTS, "hosts", value_host, ROUTE(hosts), NULL, LIST },
	{ SECTION_ROUTE, KEY_PORT, "port", value_port_number, ROUTE(port), NULL, 0 },
	{ SECTION_ROUTE, KEY_FROM, "from", value_from, ROUTE(from), NULL, LIST },
	{ SECTION_ROUTE, KEY_TO, "to", value_destination, ROUTE(to), NULL, LIST },
	{ SECTION_ROUTE, KEY_PATH, "path", value_match_path, ROUTE(rule.paths), NULL, LIST },
	{ SECTION_ROUTE, KEY_METHOD, "method", value_method, ROUTE(rule.methods), NULL, LIST },
	{ SECTION_ROUTE, KEY_HEADER, "header", value_match_header, ROUTE(rule.headers), NULL, FIELD },
	{ SECTION_ROUTE, KEY_TIMEOUT, "timeout", value_duration, ROUTE(rule.timeout), &any_duration, 0 },
	{ SECTION_ROUTE, KEY_RETRIES, "retries", value_count, ROUTE(rule.retries), &retries, 0 },
	{ SECTION_ROUTE, KEY_PER_TRY_TIMEOUT, "per-try-timeout", value_duration, ROUTE(rule.per_try), &duration, 0 },
	{ SECTION_ROUTE, KEY_RETRY_ON, "retry-on", value_retry_on, ROUTE(rule.retry_on), NULL, LIST },
	{ SECTION_ROUTE, KEY_REQUEST_SET, "request-set", value_header, ROUTE(rule.request.set), NULL, FIELD },
	{ SECTION_ROUTE, KEY_REQUEST_ADD, "request-add", value_header, ROUTE(rule.request.add), NULL, FIELD },
	{ SECTION_ROUTE, KEY_REQUEST_REMOVE, "request-remove", value_header_name, ROUTE(rule.request.remove), NULL, LIST },
	{ SECTION_ROUTE, KEY_RESPONSE_SET, "response-set", value_header, ROUTE(rule.response.set), NULL, FIELD },
	{ SECTION_ROUTE, KEY_RESPONSE_ADD, "response-add", value_header, ROUTE(rule.response.add), NULL, FIELD },
	{ SECTION_ROUTE, KEY_RESPONSE_REMOVE, "response-remove", value_header_name, ROUTE(rule.response.remove), NULL, LIST },
	{ SECTION_ROUTE, KEY_REWRITE_URI, "rewrite-uri", value_uri, ROUTE(rule.rewrite_uri), NULL, 0 },
	{ SECTION_ROUTE, KEY_REWRITE_AUTHORITY, "rewrite-authority", value_authority, ROUTE(rule.rewrite_authority), NULL, 0 },
	{ SECTION_ROUTE, KEY_REDIRECT, "redirect", value_redirect, ROUTE(rule.redirect), NULL, LIST },
	{ SECTION_ROUTE, KEY_DIRECT_RESPONSE, "direct-response", value_count, ROUTE(rule.status), &status, 0 },
	{ SECTION_ROUTE, KEY_DIRECT_RESPONSE_BODY, "direct-response-body", value_body, ROUTE(rule.body), NULL, 0 },
};
#define ENTRIES (sizeof(entries) / sizeof(entries[0]))

enum language_section language_section(const char *word, struct diag_guess *guess)
{
	for (size_t i = SECTION_POLICY; i < SECTIONS; i++) {
		if (strcmp(word, sections[i].word) == 0)
			return (enum language_section)i;
		diag_guess(guess, sections[i].word);
	}
	return SECTION_NONE;
}

const char *language_section_word(enum language_section section)
{
	return sections[section].word;
}

bool language_section_named(enum language_section section)
{
	return sections[section].named;
}

/* What follows a named key's word, or NULL when the key is not that word. */
static const char *name_after(const char *key, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(key, word, len) != 0 || (key[len] != '\0' && key[len] != ' ' && key[len] != '\t'))
		return NULL;
	return key + len + strspn(key + len, " \t");
}

const struct language_entry *language_find(enum language_section section, const char *key, const char **name)
{
	for (size_t i = 0; i < ENTRIES; i++) {
		const struct language_entry *e = &entries[i];

		if (e->section != section)
			continue;
		*name = (e->flags & NAMED) != 0 ? name_after(key, e->word) : NULL;
		if ((e->flags & NAMED) != 0 ? *name != NULL : strcmp(e->word, key) == 0)
			return e;
	}
	return NULL;
}

const char *language_elsewhere(enum language_section section, const char *key, struct diag_guess *guess)
{
	const char *elsewhere = NULL;

	for (size_t i = 0; i < ENTRIES; i++) {
		if (entries[i].section == section)
			diag_guess(guess, entries[i].word);
		else if (strcmp(entries[i].word, key) == 0)
			elsewhere = sections[entries[i].section].word;
	}
	return elsewhere;
}
