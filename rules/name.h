/* SPDX-License-Identifier: MIT */
/* Host names: the one canonical form and the one way to compare them. */
#ifndef SLUICE_RULES_NAME_H
#define SLUICE_RULES_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_MAX_LEN 253 /* RFC 1035 2.3.4, text form without the trailing dot */
#define NAME_SIZE    (NAME_MAX_LEN + 1)

/* Why bytes are not a host name; all negative, so that 0 and above are lengths. */
enum name_error {
	NAME_EMPTY = -1,       /* nothing, or nothing but a dot */
	NAME_LONG = -2,        /* more than 253 bytes */
	NAME_LABEL_EMPTY = -3, /* "a..b", ".a" */
	NAME_LABEL_LONG = -4,  /* a label of more than 63 bytes */
	NAME_BYTE = -5,        /* a byte outside [A-Za-z0-9_.-] */
	NAME_NUMERIC = -6,     /* last label is a number (decimal, octal or 0x hex): an address
	                          form, not a name */
	NAME_WILDCARD = -7,    /* a '*' where no pattern may be, or not alone in the first label */
};

/*
 * Canonical form: ASCII lower case, one trailing dot dropped, labels of 1 to 63 bytes
 * out of [a-z0-9_-], 253 bytes at most, last label not numeric. Writes the name and
 * a NUL to dst and returns its length, or a negative enum name_error (dst undefined).
 * dst may be src.
 */
int name_canon(char dst[static NAME_SIZE], const char *src, size_t len);

/*
 * The same for a policy's host pattern: a name, "*.name" (stored as ".name") or
 * "*" (stored as ""). Returns the length of the stored key, which may be 0 for "*".
 * A "*.name" that no name of 253 bytes could match is NAME_LONG.
 */
int name_canon_pattern(char dst[static NAME_SIZE], const char *src, size_t len);

/* Whether these bytes are what name_canon_pattern() writes for some pattern. */
bool name_key_valid(const uint8_t *key, size_t len);

/* A sentence for people, e.g. "a label is longer than 63 bytes". */
const char *name_strerror(int error);

/*
 * Hashes run from the last byte to the first, so that one pass over a name yields
 * the hash of each of its suffixes: step over the bytes backwards, finish at each dot.
 * A step can be taken back, so a walk may also go forwards from the whole name to its suffixes.
 */
#define NAME_HASH_FACTOR  UINT32_C(0x9e3779b1)
#define NAME_HASH_INVERSE UINT32_C(0x0e8b2f51) /* FACTOR * INVERSE is 1, modulo 2^32 */

static inline uint32_t name_hash_step(uint32_t state, unsigned char byte)
{
	return state * NAME_HASH_FACTOR + byte;
}

static inline uint32_t name_hash_unstep(uint32_t state, unsigned char byte)
{
	return (state - byte) * NAME_HASH_INVERSE;
}

static inline uint32_t name_hash_final(uint32_t state)
{
	state = (state ^ state >> 16) * UINT32_C(0x85ebca6b);
	state = (state ^ state >> 13) * UINT32_C(0xc2b2ae35);
	return state ^ state >> 16;
}

uint32_t name_hash(uint32_t seed, const char *name, size_t len);
/* name_key_valid() and name_hash() in one pass, for a million keys. *hash is set for valid keys. */
bool name_key_hash(uint32_t seed, const uint8_t *key, size_t len, uint32_t *hash);

#endif
