/* SPDX-License-Identifier: MIT */
/* What stands behind a key's equals sign: one parser for each kind of value. */
#ifndef SLUICE_RULES_VALUE_H
#define SLUICE_RULES_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/diag.h"

#define VALUE_NAME_MAX  40 /* bytes of a service's, gateway's, route's or subset's name */
#define VALUE_LABEL_MAX 63 /* RFC 1123 label */
#define VALUE_WEIGHT_MAX 1000000

struct value {
	char *text; /* trimmed, NUL-ended, not empty; may be written to */
	size_t len;
	const char *key;
	struct model_at at;
	uint16_t file;    /* of at, in model.files */
	const void *arg;  /* from the language's table */
	struct diag *diag;
};

/* [a-z0-9]([a-z0-9-]*[a-z0-9])? of at most max bytes. */
bool value_is_name(const char *s, size_t len, size_t max);
/* Plain decimal without sign and leading zeros, at most max. */
bool value_number(const char *s, size_t len, uint64_t max, uint64_t *out);

/*
 * The parsers. Each takes one value, or one item of a list, and sets or appends to the model's field of the type named
 * here. False: a finding was made and the field is as before.
 */
struct value_word { const char *word; int value; }; /* arg of the first two: words up to a NULL */
bool value_word(const struct value *v, void *field);        /* an enum */
bool value_flag(const struct value *v, void *field);        /* bool */
bool value_bit(const struct value *v, void *field);         /* unsigned: the word's bit is added */
bool value_sequence(const struct value *v, void *field);    /* uint64_t */
bool value_port_number(const struct value *v, void *field); /* uint16_t */
bool value_label(const struct value *v, void *field);       /* const char *, and this for the next two */
bool value_access_log(const struct value *v, void *field);
bool value_host_name(const struct value *v, void *field);

bool value_uri(const struct value *v, void *field);         /* const char *: a path */
bool value_authority(const struct value *v, void *field);   /* const char * */
bool value_body(const struct value *v, void *field);        /* const char * */
/* uint32_t, in ms and in whole seconds; arg: a value_span, in ms, with the least as people write it */
bool value_duration(const struct value *v, void *field);
bool value_seconds(const struct value *v, void *field);
bool value_health(const struct value *v, void *field);      /* struct policy_traffic */
bool value_pem(const struct value *v, void *field);         /* struct model_pem */

bool value_nameserver(const struct value *v, void *field); /* struct model_strings, and this for the next five */
bool value_interface(const struct value *v, void *field);
bool value_export(const struct value *v, void *field);
bool value_from(const struct value *v, void *field);
bool value_alt_name(const struct value *v, void *field);
bool value_alpn(const struct value *v, void *field);
bool value_pin(const struct value *v, void *field);         /* struct model_strings, and the next three */
bool value_match_path(const struct value *v, void *field);
bool value_method(const struct value *v, void *field);
bool value_header_name(const struct value *v, void *field);
/* Appends text, unless it is there. */
bool value_push(const struct value *v, const char *text, struct model_strings *list);

struct value_span { const char *noun; uint32_t first, last; bool all; }; /* arg: what a range may hold; all: "*" is the whole of it */
bool value_count(const struct value *v, void *field);       /* uint32_t; arg: what it may be */
bool value_range(const struct value *v, void *field);       /* struct model_ranges */
bool value_cidr(const struct value *v, void *field);        /* struct model_cidrs */
bool value_host(const struct value *v, void *field);        /* struct model_hosts */
bool value_port(const struct value *v, void *field);        /* struct model_ports */
bool value_server(const struct value *v, void *field);      /* the same, of a gateway */
bool value_match_header(const struct value *v, void *field); /* struct model_field */
bool value_header(const struct value *v, void *field);      /* the same */
bool value_retry_on(const struct value *v, void *field);    /* struct model_retry_on */
bool value_redirect(const struct value *v, void *field);    /* struct model_redirect */
/* A path as it is meant in a file: beside it, unless it is absolute. */
const char *value_beside(const char *file, const char *path);
/* A regular file of at most FORMAT_MAX_BLOB bytes, whole, and not empty. NULL: *why. */
uint8_t *value_read_file(const char *path, size_t *len, const char **why);
/* What a list in a compiled policy can hold: no blank, and nothing that means something in a source. */
bool value_is_item(const struct value *v);
bool value_endpoint(const struct value *v, void *field);    /* struct model_endpoints */
bool value_destination(const struct value *v, void *field); /* struct model_destinations; a lone label may be either: gateway and host are set */

#endif
