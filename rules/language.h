/* SPDX-License-Identifier: MIT */
/* The policy language: which sections and keys there are, and what each key's values are (sluice-policy(5)). */
#ifndef SLUICE_RULES_LANGUAGE_H
#define SLUICE_RULES_LANGUAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/diag.h"

struct value;

enum language_section { SECTION_NONE, SECTION_POLICY, SECTION_CAPTURE, SECTION_SERVICE, SECTION_GATEWAY, SECTION_ROUTE };

/* The words that stand left of an equals sign, each once even if several sections have it. */
enum language_key {
	KEY_NAME, KEY_SEQUENCE, KEY_OUTBOUND, KEY_ENFORCEMENT, KEY_NAMESPACE, KEY_ACCESS_LOG, KEY_LOG_FORMAT, KEY_NAMESERVERS,
	KEY_SCOPE, KEY_METHOD, KEY_INTERFACES, KEY_PORTS, KEY_EXCLUDE_PORTS, KEY_EXCLUDE_CIDRS, KEY_EXCLUDE_INTERFACES,
	KEY_EXEMPT_UIDS, KEY_EXEMPT_GIDS, KEY_UDP, KEY_UDP_FLOWS, KEY_OTHER, KEY_DNS, KEY_TAMPER, KEY_ACCEPT,
	KEY_HOSTS, KEY_HOSTS_FILE, KEY_RESOLUTION, KEY_LOCATION, KEY_EXPORT_TO, KEY_ADDRESSES, KEY_ENDPOINTS, KEY_UPGRADE,
	KEY_ALLOW_PRIVATE, KEY_CLIENTS, KEY_AUTO_ADDRESS, KEY_ALPN, KEY_ECH, KEY_SCRUB, KEY_ALT_SVC,
	KEY_ADDRESS, KEY_SERVERS, KEY_VIA, KEY_SUBSET, KEY_PROXY_PROTOCOL_FROM,
	KEY_SERVER_CERTIFICATE, KEY_SERVER_PRIVATE_KEY, KEY_CLIENT_CA, KEY_CLIENT_SUBJECT_ALT_NAMES, KEY_SERVER_TLS_MIN,
	KEY_TLS, KEY_CA, KEY_CERTIFICATE, KEY_PRIVATE_KEY, KEY_SNI, KEY_SUBJECT_ALT_NAMES, KEY_PINS, KEY_TLS_MIN,
	KEY_LOAD_BALANCER, KEY_CONNECT_TIMEOUT, KEY_IDLE_TIMEOUT, KEY_KEEPALIVE, KEY_MAX_CONNECTIONS, KEY_MAX_REQUESTS,
	KEY_CONSECUTIVE_5XX, KEY_CONSECUTIVE_GATEWAY, KEY_CONSECUTIVE_LOCAL, KEY_OUTLIER_INTERVAL, KEY_BASE_EJECTION_TIME,
	KEY_MAX_EJECTION, KEY_MIN_HEALTH, KEY_HEALTH_CHECK, KEY_HEALTH_INTERVAL, KEY_HEALTH_TIMEOUT,
	KEY_UNHEALTHY_THRESHOLD, KEY_HEALTHY_THRESHOLD,
	KEY_PORT, KEY_FROM, KEY_TO, KEY_PATH, KEY_HEADER, KEY_TIMEOUT, KEY_RETRIES, KEY_PER_TRY_TIMEOUT,
	KEY_RETRY_ON, KEY_REQUEST_SET, KEY_REQUEST_ADD, KEY_REQUEST_REMOVE, KEY_RESPONSE_SET, KEY_RESPONSE_ADD,
	KEY_RESPONSE_REMOVE, KEY_REWRITE_URI, KEY_REWRITE_AUTHORITY, KEY_REDIRECT, KEY_DIRECT_RESPONSE,
	KEY_DIRECT_RESPONSE_BODY,
	LANGUAGE_KEYS,
};

enum {
	LANGUAGE_LIST = 1,  /* items between commas, continued by indented lines; the field is one of the model's lists */
	LANGUAGE_FILES = 2, /* each item names a file of items, one a line */
	LANGUAGE_NAMED = 4, /* a name follows the key's word: of a subset, each with a list of its own */
	LANGUAGE_BITS = 8,  /* with LIST: the items are words, and the field an unsigned with a bit for each */
	LANGUAGE_FIELD = 16, /* with NAMED and without LIST: the name is an HTTP field's, each with one value */
};

struct language_entry {
	enum language_section section;
	enum language_key key;
	const char *word;
	bool (*parse)(const struct value *v, void *field);
	size_t offset; /* of the field in the section's struct of the model */
	const void *arg;
	unsigned flags;
};

/* SECTION_NONE: unknown, and *guess has looked at those that there are. */
enum language_section language_section(const char *word, struct diag_guess *guess);
const char *language_section_word(enum language_section section);
bool language_section_named(enum language_section section); /* [word NAME] */

/* NULL: unknown. *name: what follows a named key's word, else NULL. */
const struct language_entry *language_find(enum language_section section, const char *key, const char **name);
/* For a key that was not found: another section that has it, or NULL; *guess has looked at this section's keys. */
const char *language_elsewhere(enum language_section section, const char *key, struct diag_guess *guess);

#endif
