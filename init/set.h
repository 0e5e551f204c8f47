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
	SETS,
};
enum set_key {
	SET_KEY_PORT, SET_KEY_IPV4, SET_KEY_IPV6, SET_KEY_IFNAME, SET_KEY_UID, SET_KEY_GID,
	SET_KEY_ICMPV6, SET_KEYS,
};

struct set {
	bool used, interval;
	const char *name;
	enum set_key key;
};

/*
 * Elements of a set, in order, disjoint and not adjacent; start with *at = 0, false: no more. Keys
 * are in network byte order, padded with zeros.
 */
struct element { uint8_t first[16], last[16]; };
bool set_next(const struct ruleset *r, enum set_id set, uint32_t *at, struct element *e);
uint32_t set_key_len(enum set_key key);
/* "80", "8000-9000", "10.0.0.0/8", "eth0": as nft writes it, but without quotes. */
enum { SET_TEXT = 2 * 48 };
void set_format(enum set_key key, const struct element *e, char out[static SET_TEXT]);

#endif
