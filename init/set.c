/* SPDX-License-Identifier: MIT */
/* The elements of the rules' sets, as they follow from the policy. */
#include <netinet/icmp6.h>
#include <stdio.h>
#include <string.h>

#include "init/ruleset.h"
#include "rules/addr.h"

#define MLD2_LISTENER_REPORT 143 /* RFC 3810 5.2 */

static const uint8_t mld_types[] = {
	MLD_LISTENER_REPORT, MLD_LISTENER_REDUCTION, MLD2_LISTENER_REPORT};
static const uint8_t nd_types[] = {ND_ROUTER_SOLICIT, ND_NEIGHBOR_SOLICIT, ND_NEIGHBOR_ADVERT};

uint32_t set_key_len(enum set_key key)
{
	static const uint8_t len[SET_KEYS] = {
		[SET_KEY_PORT] = 2, [SET_KEY_IPV4] = 4, [SET_KEY_IPV6] = 16, [SET_KEY_IFNAME] = 16,
		[SET_KEY_UID] = 4, [SET_KEY_GID] = 4, [SET_KEY_ICMPV6] = 1, [SET_KEY_UDP4] = 12,
		[SET_KEY_UDP6] = 36,
	};

	return len[key];
}

uint32_t set_key_parts(enum set_key key, uint8_t len[static SET_PARTS])
{
	if (key != SET_KEY_UDP4 && key != SET_KEY_UDP6) {
		len[0] = (uint8_t)set_key_len(key);
		return 1;
	}
	len[0] = len[1] = key == SET_KEY_UDP4 ? 4 : 16;
	len[2] = 2;
	return SET_PARTS;
}

static void put_be(uint8_t *p, uint32_t len, uint32_t v)
{
	while (len-- > 0) {
		p[len] = (uint8_t)v;
		v >>= 8;
	}
}

static bool range_next(const struct ruleset *r, struct policy_run run, uint32_t len, uint32_t *at,
	struct element *e)
{
	uint32_t first, last;

	if (*at >= run.n)
		return false;
	policy_range(r->policy, run.first + (*at)++, &first, &last);
	put_be(e->first, len, first);
	put_be(e->last, len, last);
	return true;
}

/* The next prefix of the family, as a range at the start of e. */
static bool prefix_next(const struct ruleset *r, bool v4, uint32_t *at, struct element *e)
{
	size_t skip = v4 ? 12 : 0;

	while (*at < r->capture.exclude_cidrs.n) {
		struct cidr c;
		struct addr last;

		policy_cidr(r->policy, r->capture.exclude_cidrs.first + (*at)++, &c);
		if ((addr_is_v4(&c.addr) && c.bits >= 96) != v4)
			continue;
		cidr_last(&c, &last);
		memcpy(e->first, c.addr.b + skip, 16 - skip);
		memcpy(e->last, last.b + skip, 16 - skip);
		return true;
	}
	return false;
}

static bool is_adjacent(const uint8_t *last, const uint8_t *first, size_t len)
{
	uint8_t next[16];

	memcpy(next, last, len);
	for (size_t i = len; i-- > 0 && ++next[i] == 0;)
		;
	return memcmp(next, first, len) == 0;
}

/*
 * Prefixes are in ascending order, but may lie inside one another, which the kernel's intervals may
 * not.
 */
static bool cidr_next(const struct ruleset *r, bool v4, uint32_t *at, struct element *e)
{
	size_t len = v4 ? 4 : 16;

	if (!prefix_next(r, v4, at, e))
		return false;
	for (;;) {
		struct element next = {{0}, {0}};
		uint32_t ahead = *at;

		if (!prefix_next(r, v4, &ahead, &next) ||
			(memcmp(next.first, e->last, len) > 0 &&
				!is_adjacent(e->last, next.first, len)))
			return true;
		if (memcmp(next.last, e->last, len) > 0)
			memcpy(e->last, next.last, len);
		*at = ahead;
	}
}

static bool name_next(const struct ruleset *r, struct policy_list l, uint32_t *at,
	struct element *e)
{
	while (*at < l.n) {
		const char *name = policy_string(r->policy, policy_item(l, *at));
		uint32_t earlier = 0;

		while (earlier < *at && policy_item(l, earlier) != policy_item(l, *at))
			earlier++;
		if (earlier == (*at)++) {
			memcpy(e->first, name, strnlen(name, IF_NAMESIZE - 1));
			memcpy(e->last, e->first, sizeof(e->last));
			return true;
		}
	}
	return false;
}

static bool udp_next(const struct udp_list *l, uint32_t *at, struct element *e)
{
	if (*at >= l->n)
		return false;
	*e = l->v[(*at)++];
	return true;
}

static bool type_next(const uint8_t *types, uint32_t n, uint32_t *at, struct element *e)
{
	if (*at >= n)
		return false;
	e->first[0] = e->last[0] = types[(*at)++];
	return true;
}

bool set_next(const struct ruleset *r, enum set_id set, uint32_t *at, struct element *e)
{
	const struct policy_capture *c = &r->capture;

	memset(e, 0, sizeof(*e));
	switch (set) {
	case SET_PORTS:
		return range_next(r, c->ports, 2, at, e);
	case SET_EXCLUDE_PORTS:
		return range_next(r, c->exclude_ports, 2, at, e);
	case SET_EXCLUDE_IPV4:
		return cidr_next(r, true, at, e);
	case SET_EXCLUDE_IPV6:
		return cidr_next(r, false, at, e);
	case SET_EXCLUDE_INTERFACES:
		return name_next(r, c->exclude_interfaces, at, e);
	case SET_EXEMPT_UIDS:
		return range_next(r, c->exempt_uids, 4, at, e);
	case SET_EXEMPT_GIDS:
		return range_next(r, c->exempt_gids, 4, at, e);
	case SET_MLD:
		return type_next(mld_types, sizeof(mld_types), at, e);
	case SET_ND:
		return type_next(nd_types, sizeof(nd_types), at, e);
	case SET_INTERFACES:
		return name_next(r, c->interfaces, at, e);
	case SET_UDP_STATIC4: case SET_UDP_STATIC6:
		return udp_next(&r->udp[set == SET_UDP_STATIC6], at, e);
	default: /* not the policy's */
		break;
	}
	return false;
}

/* ---- text ---- */

static void addr_of(struct addr *a, const uint8_t *key, size_t len)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memcpy(a->b, mapped, sizeof(mapped));
	memcpy(a->b + 16 - len, key, len);
}

/* Whether all bits behind the first `bits` are zero. */
static bool is_masked(const struct addr *a, unsigned bits)
{
	for (unsigned i = bits / 8; i < sizeof(a->b); i++)
		if (a->b[i] & (i == bits / 8 ? 0xff >> (bits & 7) : 0xff))
			return false;
	return true;
}

static void format_addrs(const struct element *e, size_t len, char *out)
{
	struct addr first, last, end;
	struct cidr c;

	addr_of(&first, e->first, len);
	addr_of(&last, e->last, len);
	c.addr = first;
	for (c.bits = (uint8_t)((16 - len) * 8); c.bits < 128; c.bits++) {
		cidr_last(&c, &end);
		if (addr_equal(&end, &last) && is_masked(&first, c.bits))
			break;
	}
	if (c.bits < 128) {
		cidr_format(&c, out);
		return;
	}
	addr_format(&first, out);
	if (!addr_equal(&first, &last)) {
		strcat(out, "-");
		addr_format(&last, out + strlen(out));
	}
}

static void format_udp(const struct element *e, size_t len, char *out)
{
	struct element to;

	format_addrs(e, len, out);
	strcat(out, " . ");
	memset(&to, 0, sizeof(to));
	memcpy(to.first, e->first + len, len);
	memcpy(to.last, e->last + len, len);
	format_addrs(&to, len, out + strlen(out));
	sprintf(out + strlen(out), " . %u",
		(unsigned)e->first[2 * len] << 8 | e->first[2 * len + 1]);
}

void set_format(enum set_key key, const struct element *e, char out[static SET_TEXT])
{
	uint32_t len = set_key_len(key), first = 0, last = 0;

	switch (key) {
	case SET_KEY_UDP4: case SET_KEY_UDP6:
		format_udp(e, key == SET_KEY_UDP4 ? 4 : 16, out);
		return;
	case SET_KEY_IPV4: case SET_KEY_IPV6:
		format_addrs(e, len, out);
		return;
	case SET_KEY_IFNAME:
		snprintf(out, SET_TEXT, "%.*s", (int)len, (const char *)e->first);
		return;
	default:
		break;
	}
	for (uint32_t i = 0; i < len; i++) {
		first = first << 8 | e->first[i];
		last = last << 8 | e->last[i];
	}
	if (first == last)
		snprintf(out, SET_TEXT, "%u", first);
	else
		snprintf(out, SET_TEXT, "%u-%u", first, last);
}
