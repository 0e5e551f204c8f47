/* SPDX-License-Identifier: MIT */
/* What an address is for: which may be dialled, and which are private. */
#include "rules/addr.h"

#include <string.h>

struct class {
	uint8_t b[16];
	uint8_t bits;
	uint8_t class;
	const char *name;
};

/*
 * The first row that matches counts; no row: public. IANA's special-purpose registry and the
 * clouds' documents.
 */
static const struct class v4_classes[] = {
	{{100, 100, 100, 200}, 32, ADDR_REFUSED, "metadata service"}, /* Alibaba */
	{{168, 63, 129, 16}, 32, ADDR_REFUSED, "metadata service"},   /* Azure */
	{{169, 254}, 16, ADDR_REFUSED, "link-local"},
	{{127}, 8, ADDR_REFUSED, "loopback"},
	{{10}, 8, ADDR_PRIVATE, "private"},
	{{172, 16}, 12, ADDR_PRIVATE, "private"},
	{{192, 168}, 16, ADDR_PRIVATE, "private"},
	{{100, 64}, 10, ADDR_PRIVATE, "shared"},
	{{198, 18}, 15, ADDR_PRIVATE, "benchmarking"},
	{{0}, 32, ADDR_REFUSED, "unspecified"},
	{{0}, 8, ADDR_REFUSED, "reserved"},
	{{192, 0, 0}, 24, ADDR_REFUSED, "reserved"}, /* holds Oracle's 192.0.0.192 */
	{{192, 88, 99}, 24, ADDR_REFUSED, "reserved"},
	{{224}, 4, ADDR_REFUSED, "multicast"},
	{{255, 255, 255, 255}, 32, ADDR_REFUSED, "broadcast"},
	{{240}, 4, ADDR_REFUSED, "reserved"},
};

static const struct class v6_classes[] = {
	{{0xfd, 0, 0x0e, 0xc2, [14] = 2, 0x54}, 128, ADDR_REFUSED, "metadata service"}, /* Amazon */
	{{0xfd, 0x20, 0, 0xce, [14] = 2, 0x54}, 128, ADDR_REFUSED, "metadata service"}, /* Google */
	/* Oracle */
	{{0xfd, 0, 0, 0xc1, [12] = 169, 254, 169, 254}, 128, ADDR_REFUSED, "metadata service"},
	{{0xfc}, 7, ADDR_PRIVATE, "private"},
	{{0x20, 0x01, 0, 2}, 48, ADDR_PRIVATE, "benchmarking"},
	{{0x20}, 3, ADDR_PUBLIC, "public"},
	{{0}, 128, ADDR_REFUSED, "unspecified"},
	{{[15] = 1}, 128, ADDR_REFUSED, "loopback"},
	{{0xfe, 0x80}, 10, ADDR_REFUSED, "link-local"},
	{{0xfe, 0xc0}, 10, ADDR_REFUSED, "site-local"},
	{{0xff}, 8, ADDR_REFUSED, "multicast"},
	{{0, 0x64, 0xff, 0x9b}, 96, ADDR_PUBLIC, "public"},
	{{0, 0x64, 0xff, 0x9b, 0, 1}, 48, ADDR_PUBLIC, "public"},
	{{0}, 0, ADDR_REFUSED, "reserved"}, /* only 2000::/3 is given out */
};

static const struct class public = {{0}, 0, ADDR_PUBLIC, "public"};

static bool prefix_matches(const uint8_t *prefix, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	return memcmp(prefix, b, whole) == 0 &&
	       (rest == 0 || (prefix[whole] ^ b[whole]) >> (8 - rest) == 0);
}

static const struct class *class_find(const struct class *rows, size_t n, const uint8_t *b)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_matches(rows[i].b, b, rows[i].bits))
			return &rows[i];
	return &public;
}

static const struct class *worse(const struct class *a, const struct class *b)
{
	return b->class < a->class ? b : a;
}

static const struct class *v4_class(const struct class *so_far, uint8_t a, uint8_t b, uint8_t c,
				    uint8_t d)
{
	const uint8_t v4[4] = {a, b, c, d};

	return worse(so_far,
		     class_find(v4_classes, sizeof(v4_classes) / sizeof(v4_classes[0]), v4));
}

/*
 * 64:ff9b:1::/48 may be cut into translation prefixes of 48, 56, 64 or 96 bits (RFC 6052 2.2).
 * Which was chosen cannot be seen, so each reading that the zero bytes allow counts.
 */
static const struct class *local_nat64_class(const struct class *so_far, const uint8_t b[16])
{
	static const uint8_t zeros[6];

	if (memcmp(b + 6, zeros, 6) == 0)
		return v4_class(so_far, b[12], b[13], b[14], b[15]);
	if (memcmp(b + 12, zeros, 4) != 0)
		so_far = v4_class(so_far, b[12], b[13], b[14], b[15]);
	if (b[8] != 0)
		return so_far;
	so_far = v4_class(so_far, b[6], b[7], b[9], b[10]);
	so_far = v4_class(so_far, b[7], b[9], b[10], b[11]);
	return v4_class(so_far, b[9], b[10], b[11], b[12]);
}

static const struct class *classify(const struct addr *a)
{
	static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
	static const uint8_t local_nat64[6] = {0, 0x64, 0xff, 0x9b, 0, 1};
	static const uint8_t teredo[4] = {0x20, 0x01}, to4[2] = {0x20, 0x02};
	static const uint8_t isatap[4] = {0, 0, 0x5e, 0xfe};
	const uint8_t *b = a->b;
	const struct class *c;

	if (addr_is_v4(a))
		return v4_class(&public, b[12], b[13], b[14], b[15]);
	c = class_find(v6_classes, sizeof(v6_classes) / sizeof(v6_classes[0]), b);
	if (memcmp(b, nat64, 12) == 0)
		c = v4_class(c, b[12], b[13], b[14], b[15]);
	if (memcmp(b, local_nat64, 6) == 0)
		c = local_nat64_class(c, b);
	if (memcmp(b, to4, 2) == 0)
		c = v4_class(c, b[2], b[3], b[4], b[5]);
	if (memcmp(b, teredo, 4) == 0) { /* RFC 4380 4: server, and the client's address inverted */
		c = v4_class(c, b[4], b[5], b[6], b[7]);
		c = v4_class(c, b[12] ^ 0xff, b[13] ^ 0xff, b[14] ^ 0xff, b[15] ^ 0xff);
	}
	if ((b[8] & 0xfd) == isatap[0] && memcmp(b + 9, isatap + 1, 3) == 0)
		c = v4_class(c, b[12], b[13], b[14], b[15]);
	return c;
}

enum addr_class addr_classify(const struct addr *a)
{
	return (enum addr_class)classify(a)->class;
}

const char *addr_class_name(const struct addr *a)
{
	return classify(a)->name;
}
