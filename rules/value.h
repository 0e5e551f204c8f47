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
bool value_label(const struct value *v, void *field);       /* const char *, and this for the next three */
bool value_access_log(const struct value *v, void *field);
bool value_path(const struct value *v, void *field);
bool value_host_name(const struct value *v, void *field);

bool value_nameserver(const struct value *v, void *field); /* struct model_strings, and this for the next five */
bool value_interface(const struct value *v, void *field);
bool value_export(const struct value *v, void *field);
bool value_from(const struct value *v, void *field);
bool value_alt_name(const struct value *v, void *field);
bool value_alpn(const struct value *v, void *field);

struct value_span { const char *noun; uint32_t first, last; bool all; }; /* arg: what a range may hold; all: "*" is the whole of it */
bool value_count(const struct value *v, void *field);       /* uint32_t; arg: what it may be */
bool value_range(const struct value *v, void *field);       /* struct model_ranges */
bool value_cidr(const struct value *v, void *field);        /* struct model_cidrs */
bool value_host(const struct value *v, void *field);        /* struct model_hosts */
bool value_port(const struct value *v, void *field);        /* struct model_ports */
bool value_endpoint(const struct value *v, void *field);    /* struct model_endpoints */
bool value_destination(const struct value *v, void *field); /* struct model_destinations; a lone label may be either: gateway and host are set */

#endif
