/* SPDX-License-Identifier: MIT */
/* IP addresses of both families in one shape, prefixes, and what class an address is of. */
#ifndef SLUICE_RULES_ADDR_H
#define SLUICE_RULES_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>

/* Network byte order; IPv4 as IPv4-mapped IPv6, ::ffff:a.b.c.d (RFC 4291 2.5.5.2). */
struct addr {
	uint8_t b[16];
};

struct cidr {
	struct addr addr; /* host bits are zero */
	uint8_t bits;     /* 0..128; an IPv4 prefix counts 96 more */
};

#define ADDR_TEXT 48 /* bytes that hold any address or prefix as text, with its NUL */
#define ADDR_PORT_TEXT 56

/* Strict: dotted quad without leading zeros, or IPv6 without zone. 0, or -1. */
int addr_parse(struct addr *a, const char *text, size_t len);
/*
 * "10.0.0.0/8", "2001:db8::/32" or a bare address. Host bits are masked; *masked says whether any
 * were set. 0, or -1.
 */
int cidr_parse(struct cidr *c, const char *text, size_t len, bool *masked);

/* Text form (RFC 5952; IPv4 as dotted quad). Returns out. */
char *addr_format(const struct addr *a, char out[static ADDR_TEXT]);
char *cidr_format(const struct cidr *c, char out[static ADDR_TEXT]);
/* "10.0.0.1:80", "[2001:db8::1]:80". */
char *addr_port_format(const struct addr *a, uint16_t port, char out[static ADDR_PORT_TEXT]);

bool addr_is_v4(const struct addr *a);
bool addr_equal(const struct addr *a, const struct addr *b);
int addr_compare(const struct addr *a, const struct addr *b); /* memcmp order */
/*
 * A prefix has one family: ::/0 and its like do not contain the IPv4-mapped addresses that lie
 * among theirs.
 */
bool cidr_contains(const struct cidr *c, const struct addr *a);
/*
 * The addresses it contains as one range, or, where the IPv4-mapped ones cut it, as two: piece 0,
 * then 1. False: no such piece.
 */
bool cidr_piece(const struct cidr *c, unsigned i, struct addr *first, struct addr *last);
void cidr_last(const struct cidr *c, struct addr *last);      /* highest address of the prefix */
bool addr_next(struct addr *a);                               /* a + 1; false when it wraps */

/*
 * Between struct addr and the kernel's shapes. An IPv4-mapped address becomes AF_INET. Port in host
 * order. addr_from_sockaddr(): 0, or -1: other family.
 */
socklen_t addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ss);
int addr_from_sockaddr(struct addr *a, uint16_t *port, const struct sockaddr_storage *ss);

/*
 * What an address is for. Forms that carry an IPv4 address inside (mapped, compatible, NAT64
 * 64:ff9b::/96 and 64:ff9b:1::/48, 6to4 2002::/16, Teredo 2001::/32, ISATAP) are unfolded first and
 * get the worse of the two classes.
 */
enum addr_class {
	ADDR_REFUSED = 0, /* never dialled: unspecified, loopback, link-local (169.254.0.0/16,
	                     fe80::/10), multicast, broadcast, reserved, metadata services
	                     (fd00:ec2::254), site-local */
	ADDR_PRIVATE,     /* RFC 1918, RFC 6598 100.64.0.0/10, fc00::/7, benchmarking
	                     198.18.0.0/15 */
	ADDR_PUBLIC,      /* everything else */
};
enum addr_class addr_classify(const struct addr *a);
/* "loopback", "link-local", "private", "public", ...: for messages. */
const char *addr_class_name(const struct addr *a);

#endif
