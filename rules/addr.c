/* SPDX-License-Identifier: MIT */
/* IP addresses: parsing, formatting, order, prefixes, socket addresses. */
#include "rules/addr.h"

#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* ---- text to address ---- */

/*
 * Decimal without leading zeros, at most max. Returns the characters taken, 0 if there is no such
 * number.
 */
static size_t decimal_parse(const char *s, size_t len, unsigned max, unsigned *value)
{
	unsigned v = 0;
	size_t i;

	for (i = 0; i < len && s[i] >= '0' && s[i] <= '9'; i++) {
		if (i > 0 && v == 0)
			return 0;
		v = v * 10 + (unsigned)(s[i] - '0');
		if (v > max)
			return 0;
	}
	*value = v;
	return i;
}

static int v4_parse(uint8_t b[4], const char *s, size_t len)
{
	size_t at = 0;

	for (int i = 0; i < 4; i++) {
		unsigned v;
		size_t n;

		if (i > 0 && (at == len || s[at++] != '.'))
			return -1;
		n = decimal_parse(s + at, len - at, 255, &v);
		if (n == 0)
			return -1;
		b[i] = (uint8_t)v;
		at += n;
	}
	return at == len ? 0 : -1;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * One to four hex digits. Returns the characters taken, 0 if there are none, 5 if there are too
 * many.
 */
static size_t group_parse(const char *s, size_t len, unsigned *value)
{
	unsigned v = 0;
	size_t i;

	for (i = 0; i < len && i < 5 && hex_value(s[i]) >= 0; i++)
		v = v << 4 | (unsigned)hex_value(s[i]);
	*value = v;
	return i;
}

/*
 * RFC 4291 2.2: groups fill b from the left; at "::" the place is kept, and what
 * follows it is moved to the right end afterwards.
 */
static int v6_parse(uint8_t b[16], const char *s, size_t len)
{
	size_t at = 0, n = 0, gap = SIZE_MAX;

	memset(b, 0, 16);
	if (len >= 2 && s[0] == ':' && s[1] == ':') {
		gap = 0;
		at = 2;
	}
	while (at < len) {
		unsigned v;
		size_t digits = group_parse(s + at, len - at, &v);

		if (digits > 0 && at + digits < len && s[at + digits] == '.') {
			if (n > 12 || v4_parse(b + n, s + at, len - at) != 0)
				return -1;
			n += 4;
			break;
		}
		if (digits == 0 || digits > 4 || n > 14)
			return -1;
		b[n++] = (uint8_t)(v >> 8);
		b[n++] = (uint8_t)v;
		at += digits;
		if (at == len)
			break;
		if (s[at++] != ':' || at == len)
			return -1;
		if (s[at] == ':') {
			if (gap != SIZE_MAX)
				return -1;
			gap = n;
			at++;
		}
	}
	if (gap == SIZE_MAX)
		return n == 16 ? 0 : -1;
	if (n > 14)
		return -1;
	memmove(b + 16 - (n - gap), b + gap, n - gap);
	memset(b + gap, 0, 16 - n);
	return 0;
}

int addr_parse(struct addr *a, const char *text, size_t len)
{
	if (len > 0 && memchr(text, ':', len) != NULL)
		return v6_parse(a->b, text, len);
	memcpy(a->b, mapped, sizeof(mapped));
	return v4_parse(a->b + 12, text, len);
}

/* Clears the host bits and says whether any was set. */
static bool cidr_mask(struct cidr *c)
{
	bool masked = false;

	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = c->bits > i * 8 ? c->bits - i * 8 : 0;
		uint8_t mask = keep >= 8 ? 0xff : (uint8_t)(0xff00u >> keep);

		masked |= (c->addr.b[i] & ~mask) != 0;
		c->addr.b[i] &= mask;
	}
	return masked;
}

int cidr_parse(struct cidr *c, const char *text, size_t len, bool *masked_out)
{
	const char *slash = len > 0 ? memchr(text, '/', len) : NULL;
	size_t addr_len = slash != NULL ? (size_t)(slash - text) : len;
	bool v6 = addr_len > 0 && memchr(text, ':', addr_len) != NULL;
	unsigned bits = v6 ? 128 : 32;

	if (addr_parse(&c->addr, text, addr_len) != 0)
		return -1;
	if (slash != NULL) {
		size_t n = len - addr_len - 1;

		if (n == 0 || decimal_parse(slash + 1, n, bits, &bits) != n)
			return -1;
	}
	c->bits = (uint8_t)(v6 ? bits : bits + 96);
	*masked_out = cidr_mask(c);
	return 0;
}

/* ---- address to text ---- */

static char *decimal_format(char *out, unsigned v)
{
	char digits[10];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	while (n > 0)
		*out++ = digits[--n];
	return out;
}

static char *group_format(char *out, unsigned v)
{
	bool started = false;

	for (int shift = 12; shift >= 0; shift -= 4) {
		unsigned digit = v >> shift & 15;

		started |= digit != 0 || shift == 0;
		if (started)
			*out++ = "0123456789abcdef"[digit];
	}
	return out;
}

static unsigned group(const uint8_t b[16], unsigned i)
{
	return (unsigned)b[i * 2] << 8 | b[i * 2 + 1];
}

/* RFC 5952 4.2: the first of the longest runs of two or more zero groups. */
static void longest_zeros(const uint8_t b[16], unsigned *first, unsigned *n)
{
	*first = *n = 0;
	for (unsigned i = 0; i < 8; i++) {
		unsigned run = 0;

		while (i + run < 8 && group(b, i + run) == 0)
			run++;
		if (run > 1 && run > *n) {
			*first = i;
			*n = run;
		}
	}
}

static char *v6_format(char *out, const uint8_t b[16])
{
	unsigned first, n;

	longest_zeros(b, &first, &n);
	for (unsigned i = 0; i < 8; i++) {
		if (n > 0 && i == first) {
			*out++ = ':';
			i += n - 1;
			if (i == 7)
				*out++ = ':';
			continue;
		}
		if (i > 0)
			*out++ = ':';
		out = group_format(out, group(b, i));
	}
	return out;
}

static char *v4_format(char *out, const uint8_t b[4])
{
	for (int i = 0; i < 4; i++) {
		if (i > 0)
			*out++ = '.';
		out = decimal_format(out, b[i]);
	}
	return out;
}

static char *any_format(char *out, const struct addr *a)
{
	return addr_is_v4(a) ? v4_format(out, a->b + 12) : v6_format(out, a->b);
}

char *addr_format(const struct addr *a, char out[static ADDR_TEXT])
{
	*any_format(out, a) = '\0';
	return out;
}

char *cidr_format(const struct cidr *c, char out[static ADDR_TEXT])
{
	/* Fewer than 96 bits mask part of the ffff away, so what still looks like IPv4 is. */
	bool v4 = addr_is_v4(&c->addr);
	char *end = any_format(out, &c->addr);

	if (c->bits < 128) {
		*end++ = '/';
		end = decimal_format(end, v4 ? c->bits - 96u : c->bits);
	}
	*end = '\0';
	return out;
}

char *addr_port_format(const struct addr *a, uint16_t port, char out[static ADDR_PORT_TEXT])
{
	bool v4 = addr_is_v4(a);
	char *end = out;

	if (!v4)
		*end++ = '[';
	end = any_format(end, a);
	if (!v4)
		*end++ = ']';
	*end++ = ':';
	*decimal_format(end, port) = '\0';
	return out;
}

/* ---- order and prefixes ---- */

bool addr_is_v4(const struct addr *a)
{
	return memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

int addr_compare(const struct addr *a, const struct addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

bool cidr_contains(const struct cidr *c, const struct addr *a)
{
	unsigned whole = c->bits / 8, rest = c->bits % 8;

	if (memcmp(c->addr.b, a->b, whole) != 0)
		return false;
	if (rest != 0 && (c->addr.b[whole] ^ a->b[whole]) >> (8 - rest) != 0)
		return false;
	return c->bits >= 96 || !addr_is_v4(a);
}

void cidr_last(const struct cidr *c, struct addr *last)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = c->bits > i * 8 ? c->bits - i * 8 : 0;

		last->b[i] = c->addr.b[i] | (keep >= 8 ? 0 : (uint8_t)(0xffu >> keep));
	}
}

bool cidr_piece(const struct cidr *c, unsigned i, struct addr *first, struct addr *last)
{
	static const struct addr before = {{[10] = 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff}};
	static const struct addr behind = {{[9] = 1}};
	const struct addr in = {{[10] = 0xff, 0xff}};
	bool cut;

	*first = c->addr;
	cidr_last(c, last);
	cut = c->bits < 96 && addr_compare(first, &in) < 0 && addr_compare(last, &in) > 0;
	if (!cut)
		return i == 0;
	if (i == 0) {
		*last = before;
		return true;
	}
	*first = behind;
	return i == 1 && addr_compare(first, last) <= 0;
}

bool addr_next(struct addr *a)
{
	for (int i = 15; i >= 0; i--)
		if (++a->b[i] != 0)
			return true;
	return false;
}

/* ---- sockets ---- */

socklen_t addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ss)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	memset(ss, 0, sizeof(*ss));
	if (addr_is_v4(a)) {
		memcpy(&in.sin_addr, a->b + 12, 4);
		memcpy(ss, &in, sizeof(in));
		return sizeof(in);
	}
	memcpy(&in6.sin6_addr, a->b, 16);
	memcpy(ss, &in6, sizeof(in6));
	return sizeof(in6);
}

int addr_from_sockaddr(struct addr *a, uint16_t *port, const struct sockaddr_storage *ss)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	switch (ss->ss_family) {
	case AF_INET:
		memcpy(&in, ss, sizeof(in));
		memcpy(a->b, mapped, sizeof(mapped));
		memcpy(a->b + 12, &in.sin_addr, 4);
		*port = ntohs(in.sin_port);
		return 0;
	case AF_INET6:
		memcpy(&in6, ss, sizeof(in6));
		memcpy(a->b, &in6.sin6_addr, 16);
		*port = ntohs(in6.sin6_port);
		return 0;
	default:
		return -1;
	}
}
