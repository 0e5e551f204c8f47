/* SPDX-License-Identifier: MIT */
/* Host names: canonical form and hash. */
#include "rules/name.h"

#include <string.h>

enum { LABEL = 0, DOT = 1, FOREIGN = 16 };

#define FOREIGN_8  FOREIGN, FOREIGN, FOREIGN, FOREIGN, FOREIGN, FOREIGN, FOREIGN, FOREIGN
#define FOREIGN_32 FOREIGN_8, FOREIGN_8, FOREIGN_8, FOREIGN_8

/* What a byte of a canonical name is. */
static const uint8_t kinds[256] = {
	/* 0x00 */ FOREIGN_32,
	/* 0x20 */ FOREIGN_8, FOREIGN, FOREIGN, FOREIGN, FOREIGN, FOREIGN, LABEL, DOT, FOREIGN,
	/* 0x30 */ LABEL, LABEL, LABEL, LABEL, LABEL, LABEL, LABEL, LABEL,
	/* 0x38 */ LABEL, LABEL, FOREIGN, FOREIGN, FOREIGN, FOREIGN, FOREIGN, FOREIGN,
	/* 0x40 */ FOREIGN_8, FOREIGN_8, FOREIGN_8,
	/* 0x58 */ FOREIGN, FOREIGN, FOREIGN, FOREIGN, FOREIGN, FOREIGN, FOREIGN, LABEL,
	/* 0x60 */ FOREIGN, LABEL, LABEL, LABEL, LABEL, LABEL, LABEL, LABEL,
	/* 0x68 */ LABEL, LABEL, LABEL, LABEL, LABEL, LABEL, LABEL, LABEL,
	/* 0x70 */ LABEL, LABEL, LABEL, LABEL, LABEL, LABEL, LABEL, LABEL,
	/* 0x78 */ LABEL, LABEL, LABEL, FOREIGN, FOREIGN, FOREIGN, FOREIGN, FOREIGN,
	/* 0x80 */ FOREIGN_32, FOREIGN_32, FOREIGN_32, FOREIGN_32,
};

static uint8_t lower(uint8_t byte)
{
	return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A label that the WHATWG's host parser would take for the end of an IPv4 address. */
static bool label_is_number(const char *label, size_t len)
{
	size_t i = 0;

	if (len >= 2 && label[0] == '0' && label[1] == 'x') {
		for (i = 2; i < len && (is_digit(label[i]) || (label[i] >= 'a' && label[i] <= 'f'));
		     i++)
			;
		return i == len;
	}
	while (i < len && is_digit(label[i]))
		i++;
	return i == len;
}

/* src is at most NAME_MAX_LEN bytes without a trailing dot. */
static int labels_canon(char *dst, const char *src, size_t len)
{
	size_t label = 0;

	if (len == 0)
		return NAME_EMPTY;
	for (size_t i = 0; i <= len; i++) {
		uint8_t byte;

		if (i == len || src[i] == '.') {
			if (i == label)
				return NAME_LABEL_EMPTY;
			if (i - label > 63)
				return NAME_LABEL_LONG;
			if (i == len)
				break;
			label = i + 1;
		}
		byte = lower((uint8_t)src[i]);
		if (kinds[byte] == FOREIGN)
			return byte == '*' ? NAME_WILDCARD : NAME_BYTE;
		dst[i] = (char)byte;
	}
	if (label_is_number(dst + label, len - label))
		return NAME_NUMERIC;
	dst[len] = '\0';
	return (int)len;
}

static int canon(char *dst, const char *src, size_t len, size_t max)
{
	if (len > 0 && src[len - 1] == '.' && --len == 0)
		return NAME_EMPTY;
	if (len > max)
		return NAME_LONG;
	return labels_canon(dst, src, len);
}

int name_canon(char dst[static NAME_SIZE], const char *src, size_t len)
{
	return canon(dst, src, len, NAME_MAX_LEN);
}

int name_canon_pattern(char dst[static NAME_SIZE], const char *src, size_t len)
{
	int n;

	if (len == 1 && src[0] == '*') {
		dst[0] = '\0';
		return 0;
	}
	if (len < 2 || src[0] != '*' || src[1] != '.')
		return name_canon(dst, src, len);
	/* The shortest name it matches has one byte more than what follows the star. */
	n = canon(dst + 1, src + 2, len - 2, NAME_MAX_LEN - 2);
	dst[0] = '.';
	return n < 0 ? n : n + 1;
}

bool name_key_valid(const uint8_t *key, size_t len)
{
	const char *s = (const char *)key;
	char canonical[NAME_SIZE];
	size_t star = len > 0 && s[0] == '.';

	if (len == 0)
		return true;
	if (len - star > NAME_MAX_LEN - 2 * star || s[len - 1] == '.')
		return false;
	return labels_canon(canonical, s + star, len - star) == (int)(len - star) &&
	       memcmp(canonical, s + star, len - star) == 0;
}

const char *name_strerror(int error)
{
	switch (error) {
	case NAME_EMPTY:
		return "the name is empty";
	case NAME_LONG:
		return "the name is longer than 253 bytes";
	case NAME_LABEL_EMPTY:
		return "a label is empty";
	case NAME_LABEL_LONG:
		return "a label is longer than 63 bytes";
	case NAME_BYTE:
		return "only letters, digits, '-', '_' and '.' are allowed";
	case NAME_NUMERIC:
		return "the last label is a number, so this is an address form, not a name";
	case NAME_WILDCARD:
		return "'*' is allowed only alone or as the whole first label of a pattern";
	default:
		return "not a host name";
	}
}

uint32_t name_hash(uint32_t seed, const char *name, size_t len)
{
	uint32_t state = seed;

	while (len > 0)
		state = name_hash_step(state, (unsigned char)name[--len]);
	return name_hash_final(state);
}

/*
 * Without a branch for what the bytes are: a million keys are read in one go, and each would be
 * mispredicted. Four steps of the hash at once need not wait for each other.
 */
bool name_key_hash(uint32_t seed, const uint8_t *key, size_t len, uint32_t *hash)
{
	const uint32_t f = NAME_HASH_FACTOR, f2 = f * f, f3 = f2 * f, f4 = f3 * f;
	uint32_t state = seed;
	uint64_t dots = 0; /* bit i: key[i] is one */
	unsigned seen = 0;
	size_t i = len, label;

	if (len == 0 || len > 63) {
		*hash = name_hash(seed, (const char *)key, len);
		return name_key_valid(key, len);
	}
	for (; i >= 4; i -= 4) {
		const uint8_t *b = key + i - 4;
		unsigned k0 = kinds[b[0]], k1 = kinds[b[1]], k2 = kinds[b[2]], k3 = kinds[b[3]];

		seen |= k0 | k1 | k2 | k3;
		dots = dots << 4 | ((k3 << 3 | k2 << 2 | k1 << 1 | k0) & 15);
		state = state * f4 + b[3] * f3 + b[2] * f2 + b[1] * f + b[0];
	}
	for (; i > 0; i--) {
		seen |= kinds[key[i - 1]];
		dots = dots << 1 | (kinds[key[i - 1]] & DOT);
		state = name_hash_step(state, key[i - 1]);
	}
	*hash = name_hash_final(state);
	label = dots == 0 ? 0 : 64 - (size_t)__builtin_clzll(dots);
	/*
	 * A dot at the start stands for "*."; no other label may be empty, and the last is no
	 * number.
	 */
	return (seen & FOREIGN) == 0 && (dots & dots >> 1) == 0 && label < len &&
	       !label_is_number((const char *)key + label, len - label);
}
