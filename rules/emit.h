/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the writer share: growing bytes, pools in which equal things are one, and the
 * tables.
 */
#ifndef SLUICE_RULES_EMIT_H
#define SLUICE_RULES_EMIT_H

#include "rules/model.h"

/* ---- pool.c; memory lives until pool_fini() ---- */

struct bytes { uint8_t *v; size_t n, room; };
uint8_t *bytes_add(struct bytes *b, size_t len); /* zeroed; good until the next call */

/* Strings: add all, sort once, then ask for references. */
struct pool_strings { const char **v; uint32_t *refs; size_t n, room; };
void pool_add_string(struct pool_strings *p, const char *s);
void pool_sort_strings(struct pool_strings *p);
uint32_t pool_string(const struct pool_strings *p, const char *s);
void pool_fini_strings(struct pool_strings *p);

/* Lists: add gives a number, sort turns numbers into references. */
struct pool_list { size_t first; uint32_t n, hash, number; const struct pool_lists *of; };
struct pool_lists {
	uint32_t *words; size_t n_words, words_room;
	struct pool_list *v; size_t n, room;
	uint32_t *slots, *refs; size_t n_slots;
};
uint32_t pool_add_list(struct pool_lists *p, const uint32_t *items, uint32_t n);
void pool_sort_lists(struct pool_lists *p);
uint32_t pool_list(const struct pool_lists *p, uint32_t number);
void pool_fini_lists(struct pool_lists *p);

/* A list that is there, after sorting: its reference. */
uint32_t pool_find_list(const struct pool_lists *p, const uint32_t *items, uint32_t n);

/* Blobs, as strings: add all, sort once, then ask for references, which are offsets plus 1. */
struct pool_blob { uint8_t *v; size_t len; };
struct pool_blobs { struct pool_blob *v; uint32_t *refs; size_t n, room; };
void pool_add_blob(struct pool_blobs *p, const void *bytes, size_t len); /* copies them */
void pool_sort_blobs(struct pool_blobs *p);
uint32_t pool_blob(const struct pool_blobs *p, const void *bytes, size_t len);
void pool_fini_blobs(struct pool_blobs *p);

/* ---- emit.c ---- */

struct emit {
	struct model *m;
	struct policy_error *e;
	struct pool_strings strings;
	struct pool_lists lists;
	struct pool_blobs blobs;
	struct bytes sections[FORMAT_SECTIONS];
	uint32_t records[FORMAT_SECTIONS];
	uint32_t probes;
	/* Tables, with the numbers of their lists. */
	struct emit_key { const char *key; uint32_t hash, service; uint8_t len; } *keys;
	size_t n_keys;
	struct emit_interval { struct addr first; uint32_t list; } *intervals;
	size_t n_intervals;
	struct emit_port {
		uint32_t taker, list; /* taker: service plus 1 */
		uint8_t flags;
	} *ports; /* by number */
	uint32_t *key_lists; /* for each distinct key, in table order */
	uint32_t *export_lists, *alpn_lists, interfaces, exclude_interfaces, nameservers;
	uint32_t *n_hosts, *first_host; /* for each service */
	struct model_strings *gateway_keys;   /* host keys of each gateway */
	uint32_t *gateway_hosts;              /* their lists */
	struct emit_route_host { const char *key; uint32_t route; } *route_hosts; /* in order */
	size_t n_route_hosts;
};

/* Zeroed memory; does not return without it. */
void *emit_alloc(size_t n, size_t size);
bool emit_fail(struct emit *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void emit_sort(void *v, size_t n, size_t size, int (*compare)(const void *, const void *));
/* what and name say whose ports they are, for errors: "service", "web". */
bool emit_sort_ports(struct emit *w, const char *what, const char *name, struct model_ports *ports);
void emit_add_strings(struct emit *w, const struct model_strings *s);
/* The number of a list of strings, in their order or as they come. */
uint32_t emit_string_list(struct emit *w, const struct model_strings *s, bool ordered);
/* The reference of an ordered one that is there. */
uint32_t emit_string_list_ref(struct emit *w, const struct model_strings *s);
/* A new record, zeroed; good until the next one of its section. */
uint8_t *emit_record(struct emit *w, enum format_section section, size_t size);
/* Writes a run's place into its owner's record; the others write the run, too. */
void emit_put_run(uint8_t *r, uint32_t first, size_t n);
void emit_ports(struct emit *w, uint8_t *run, const struct model_ports *ports);
void emit_cidrs(struct emit *w, uint8_t *run, const struct model_cidrs *cidrs);
bool emit_sort_cidrs(struct emit *w, struct model_cidrs *list);
void emit_endpoints(struct emit *w, uint8_t *run, const struct model_endpoints *endpoints);

/*
 * The look-up tables, each in two steps, as references to lists are known only when all lists are:
 * collect, then write. Collecting returns false after emit_fail().
 */
bool emit_collect_hosts(struct emit *w);     /* host_table.c */
bool emit_write_hosts(struct emit *w);
bool emit_collect_addresses(struct emit *w); /* address_table.c */
void emit_write_addresses(struct emit *w);
bool emit_collect_ports(struct emit *w);     /* port_table.c */
void emit_write_ports(struct emit *w);

/* emit_gateway.c: gateways and routes. */
bool emit_sort_gateways(struct emit *w);
void emit_collect_gateway_strings(struct emit *w);
void emit_collect_gateway_lists(struct emit *w);
bool emit_write_gateways(struct emit *w);
void emit_fini_gateways(struct emit *w);

/* emit_traffic.c; written before what refers to it. */
void emit_collect_traffic(struct emit *w);
void emit_collect_traffic_lists(struct emit *w);
void emit_write_traffic(struct emit *w);
void emit_service_traffic(struct emit *w, uint8_t *r, const struct model_service *s);
void emit_gateway_traffic(struct emit *w, uint8_t *r, const struct model_gateway *g);

/* emit_rule.c. */
void emit_collect_rule(struct emit *w, struct model_rule *r);
void emit_collect_rule_lists(struct emit *w, const struct model_rule *r);
uint32_t emit_rule(struct emit *w, struct model_rule *m); /* what its route says of it */

#endif
