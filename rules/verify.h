/* SPDX-License-Identifier: MIT */
/* What the parts of the verification share. Each function returns false after verify_fail(). */
#ifndef SLUICE_RULES_VERIFY_H
#define SLUICE_RULES_VERIFY_H

#include "rules/policy.h"

/* What a string has been found good for. */
enum verify_string {
	VERIFY_STRING_START = 1,     /* a string begins at this byte */
	VERIFY_STRING_LABEL = 2,     /* of service, policy, namespace, node */
	VERIFY_STRING_LOG = 4,       /* access-log */
	VERIFY_STRING_ADDRESS = 8,
	VERIFY_STRING_INTERFACE = 16,
	VERIFY_STRING_EXPORT = 32,
	VERIFY_STRING_HOST = 64,
	VERIFY_STRING_ITEM = 128,    /* of a list, or a path: not empty, none of , ; # " */
	VERIFY_STRING_KEY = 256,     /* a host key */
};

enum verify_blob { VERIFY_BLOB_START = 1, VERIFY_BLOB_USED = 2 };

/* What a list has been found good for. */
enum verify_list {
	VERIFY_LIST_START = 1,       /* a list begins at this word */
	VERIFY_LIST_EXPORT = 2,      /* strings, ascending: "*", "." and namespaces; not empty */
	VERIFY_LIST_INTERFACES = 4,  /* strings, ascending */
	VERIFY_LIST_NAMESERVERS = 8, /* strings, no two equal */
	VERIFY_LIST_HOST = 16,       /* services, ascending; not empty */
	VERIFY_LIST_ADDRESS = 32,    /* services; their order depends on the address */
	VERIFY_LIST_PORT = 64,       /* one service or none */
	VERIFY_LIST_ITEMS = 128,     /* strings, ascending */
	VERIFY_LIST_KEYS = 256,      /* strings, ascending: host keys; not empty */
};

struct verify {
	struct policy *p;
	struct policy_error *e;
	/* Zeroed scratch memory, given back at the end; nothing in it outlives the verification. */
	void *scratch;
	size_t scratch_len;
	uint32_t *list_slots;    /* for each word of LISTS: host keys with the list that begins there */
	uint32_t *list_first;    /* the first of them by name: offset in NAMES plus 1 */
	uint32_t *service_hosts; /* the same for each service */
	uint32_t *service_first;
	uint16_t *string_flags;  /* for each byte of STRINGS: enum verify_string */
	uint16_t *list_flags;    /* for each word of LISTS: enum verify_list */
	uint8_t *port_flags;     /* for each port number: POLICY_PORT_* */
	uint8_t *blob_flags;     /* for each byte of BLOBS: enum verify_blob */
	uint8_t *traffic_used, *tls_used; /* for each of TRAFFIC and TLS: whether something points there */
	uint32_t taken[FORMAT_SECTIONS]; /* records that were found to belong to a run */
};

/* Says what is wrong with record i of a section. Returns false. */
bool verify_fail(struct verify *v, enum format_section section, uint32_t i, const char *text);
bool verify_zero(const uint8_t *bytes, size_t len);
uint32_t verify_bytes(const struct verify *v, enum format_section section); /* of a section */
/* That a string begins at ref, and is one of a kind. On failure blames record i of the section. */
bool verify_string(struct verify *v, uint32_t ref, enum verify_string kind,
		   enum format_section section, uint32_t i);
/* That a list begins at ref, and is one of a kind. On failure as above. */
bool verify_list(struct verify *v, uint32_t ref, enum verify_list kind, enum format_section section,
		 uint32_t i);

/* verify_record.c: META, CAPTURE, SERVICES and the runs they own. */
bool verify_records(struct verify *v);
/* That the run at r is the next of its section. */
bool verify_run(struct verify *v, enum format_section section, const uint8_t *r,
		struct policy_run *run);
bool verify_cidrs(struct verify *v, const uint8_t *r);
/* A run of PORTS, never empty, of a gateway or of a service; of ENDPOINTS. */
bool verify_ports(struct verify *v, const uint8_t *r, struct policy_run *run, bool gateway);
bool verify_endpoints(struct verify *v, const uint8_t *r, struct policy_run *run);
/* verify_table.c: what is derived from the services. The services are verified. */
bool verify_by_port(struct verify *v);
bool verify_addresses(struct verify *v);
bool verify_hosts(struct verify *v);
/* verify_traffic.c: BLOBS, TRAFFIC and TLS; after all else that all of these are used. */
bool verify_traffic(struct verify *v);
bool verify_traffic_used(struct verify *v);
/* That a record of TRAFFIC; that one of TLS in one of the roles (a bit for each) is at ref less 1; 0 is none. */
bool verify_uses_traffic(struct verify *v, uint32_t ref, enum format_section section, uint32_t i);
bool verify_uses_tls(struct verify *v, uint32_t ref, unsigned roles, enum format_section section,
		     uint32_t i);
/* That a blob begins at ref less 1. */
bool verify_blob(struct verify *v, uint32_t ref, enum format_section section, uint32_t i,
		 const uint8_t **bytes, uint32_t *len);
/* The same; and that it is one line of printable ASCII, blanks inside. */
bool verify_text(struct verify *v, uint32_t ref, enum format_section section, uint32_t i);
/* verify_rule.c: the rule of a route, which is the next of RULES, if it has one. */
bool verify_rule(struct verify *v, uint32_t ref, uint32_t route, bool *answers);
/* verify_gateway.c: gateways, routes and what they own. All the others are verified. */
bool verify_gateways(struct verify *v);

#endif
