/* SPDX-License-Identifier: MIT */
/* What the model has of TLS, and of a route's HTTP. */
#ifndef SLUICE_RULES_MODEL_RULE_H
#define SLUICE_RULES_MODEL_RULE_H

#include "rules/model_list.h"

/* path: as written. bytes: of a file that is to be in the policy. */
struct model_pem {
	const char *path; /* NULL: not written */
	const uint8_t *bytes;
	size_t len;
	struct model_at at;
};

enum model_tls_mode { MODEL_TLS_NONE = 0, MODEL_TLS_SIMPLE, MODEL_TLS_MUTUAL };

struct model_tls {
	struct model_pem ca, certificate, private_key;
	const char *sni;
	struct model_strings alt_names, pins; /* pins: sha256/BASE64 */
	bool only_13;
	bool no_ca; /* no server is mutual: ca and alt_names are not for this node */
};

/* A named key of a route: a condition or a change. */
struct model_field {
	const char *name;  /* lower case */
	const char *value; /* NULL: any; without a final star */
	bool prefix;       /* of a condition: there was a star */
	struct model_at at;
};
struct model_fields { struct model_field *v; size_t n, room; };

/* Statuses are ranges of one. */
struct model_retry_on { struct model_ranges statuses; unsigned bits; };

struct model_redirect { bool https; const char *authority, *uri; uint32_t port, code; };

struct model_changes { struct model_fields set, add; struct model_strings remove; };

struct model_rule {
	struct model_strings paths, methods;
	struct model_fields headers;
	uint32_t timeout, per_try;   /* ms */
	uint32_t retries;            /* with retries_said */
	bool retries_said;
	struct model_retry_on retry_on; /* empty: the default */
	struct model_changes request, response;
	const char *rewrite_uri, *rewrite_authority;
	struct model_redirect redirect; /* code 0: none */
	uint32_t status;             /* 0: no direct answer */
	const char *body;
};

#endif
