/* SPDX-License-Identifier: MIT */
/* A table, chain, set or rule as the attributes of a netlink message. */
#ifndef SLUICE_INIT_OBJECT_H
#define SLUICE_INIT_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

enum field_type {
	FIELD_FAMILY, /* in the message's head; read, never written */
	FIELD_NUMBER, /* 32 bits, big-endian */
	FIELD_TEXT,
	FIELD_BYTES,
	FIELD_PARTS,  /* bytes: the lengths of a set's concatenated fields; written, never read */
	FIELD_NAMES,  /* of a chain's devices */
};

/* What libnftnl calls attr is the attribute nla, inside the attribute nest unless that is 0. */
struct field { uint8_t attr, type, nla, nest; };

enum { OBJECT_FIELDS = 10 };

/* Its fields, in the order of a message; those of one nest stand together. */
struct object_kind { size_t n; struct field field[OBJECT_FIELDS]; };

/* A zero object of a kind has nothing set. Its owner calls object_clear() in the end. */
struct object {
	const struct object_kind *kind;
	uint32_t set; /* a bit for each field */
	struct { void *bytes; uint32_t number; } value[OBJECT_FIELDS];
};

void object_clear(struct object *o);

/* Each ends the program when the kind has no such field. Zero or NULL: not set. */
bool object_is_set(const struct object *o, uint16_t attr);
uint32_t object_number(const struct object *o, uint16_t attr);
const void *object_bytes(const struct object *o, uint16_t attr);
void object_set_number(struct object *o, uint16_t attr, uint32_t v);
/* -1: no memory. What is set is a copy; behind bytes there is a zero. */
int object_set_bytes(struct object *o, uint16_t attr, const void *data, size_t len);
/* Names up to a NULL; object_bytes() then is such an array too. */
int object_set_names(struct object *o, uint16_t attr, const char *const *names);

/* Appends what is set to a message. There must be room. */
void object_put(struct nlmsghdr *nlh, const struct object *o);
/* Sets what the message says. -1: no memory, or an attribute of a wrong size. */
int object_take(struct object *o, const struct nlmsghdr *nlh);

#endif
