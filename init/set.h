/* SPDX-License-Identifier: MIT */
/* The named sets of the rules, and what they hold by the policy. */
#ifndef SLUICE_INIT_SET_H
#define SLUICE_INIT_SET_H

#include <stdbool.h>
#include <stdint.h>

struct ruleset;

enum set_id {
	SET_PORTS, SET_EXCLUDE_PORTS, SET_EXCLUDE_IPV4, SET_EXCLUDE_IPV6, SET_EXCLUDE_INTERFACES,
	SET_EXEMPT_UIDS, SET_EXEMPT_GIDS,
	SET_MLD, SET_ND, /* ICMPv6 types: listener reports, neighbour discovery */
	SET_INTERFACES,
	SET_UDP_STATIC4, SET_UDP_STATIC6, /* UDP services' destinations by the policy */
	SET_UDP4, SET_UDP6,               /* those that others add while they are known */
	SET_UDP_FLOWS4, SET_UDP_FLOWS6,   /* clients with their number of flows, kept by the kernel */
	SETS,
};
enum set_key {
	SET_KEY_PORT, SET_KEY_IPV4, SET_KEY_IPV6, SET_KEY_IFNAME, SET_KEY_UID, SET_KEY_GID,
	SET_KEY_ICMPV6, SET_KEY_UDP4, SET_KEY_UDP6, /* the last two: source . destination . port */
	SET_KEYS,
};

struct set {
	bool used, interval;
	bool timeout; /* others add elements, which go by themselves */
	bool dynamic; /* rules add elements */
	const char *name;
	enum set_key key;
};

/*
 * Elements of a set, in order, disjoint and not adjacent; start with *at = 0, false: no more. Keys
 * are in network byte order, padded with zeros.
 */
enum { SET_KEY_MAX = 36, SET_FLOWS_MAX = 65535 /* elements of a dynamic set */ };
struct element { uint8_t first[SET_KEY_MAX], last[SET_KEY_MAX]; };
bool set_next(const struct ruleset *r, enum set_id set, uint32_t *at, struct element *e);
uint32_t set_key_len(enum set_key key);
/* A concatenation, whose parts are padded to four bytes: how many, and how long each is. */
enum { SET_PARTS = 3 };
uint32_t set_key_parts(enum set_key key, uint8_t len[static SET_PARTS]);
/*
 * "80", "8000-9000", "10.0.0.0/8", "eth0", "10.0.0.0/8 . 192.0.2.1 . 123": as nft writes it, but
 * without quotes.
 */
enum { SET_TEXT = 4 * 48 + 24 };
void set_format(enum set_key key, const struct element *e, char out[static SET_TEXT]);

#endif
