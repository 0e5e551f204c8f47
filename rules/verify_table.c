/* SPDX-License-Identifier: MIT */
/*
 * The check of the look-up tables: that they say what follows from the services, no more and no
 * less.
 */
#include "rules/verify.h"

#include <string.h>

#include "rules/name.h"

static struct policy_run cidrs_of(const struct policy *p, uint32_t service)
{
	const uint8_t *r = p->at[FORMAT_SERVICES] + (size_t)service * SERVICE_SIZE + SERVICE_CIDRS;

	return (struct policy_run){get_le32(r), get_le32(r + 4)};
}

/* ---- BY_PORT ---- */

static uint8_t port_flag(enum policy_protocol protocol)
{
	if (protocol == POLICY_PROTO_AUTO)
		return POLICY_PORT_AUTO;
	if (protocol == POLICY_PROTO_UDP)
		return POLICY_PORT_UDP;
	if (policy_protocol_is_http(protocol))
		return POLICY_PORT_HTTP;
	return policy_protocol_is_tls(protocol) ? POLICY_PORT_TLS : POLICY_PORT_TCP;
}

static bool check_port_records(struct verify *v)
{
	uint16_t before = 0;

	for (uint32_t i = 0; i < v->p->n[FORMAT_BY_PORT]; i++) {
		const uint8_t *r = v->p->at[FORMAT_BY_PORT] + (size_t)i * BY_PORT_SIZE;
		uint16_t number = get_le16(r + BY_PORT_NUMBER);

		if (number <= before || r[BY_PORT_FLAGS] == 0 ||
		    (r[BY_PORT_FLAGS] & ~POLICY_PORT_KNOWN) != 0 || r[BY_PORT_ZERO] != 0)
			return verify_fail(v, FORMAT_BY_PORT, i,
					   "out of order, or holds an unknown value");
		if (!verify_list(v, get_le32(r + BY_PORT_LIST), VERIFY_LIST_PORT, FORMAT_BY_PORT,
				 i))
			return false;
		before = number;
	}
	return true;
}

/*
 * Adds up what the services say of each port, and that the services that take a whole port are
 * found by it.
 */
static bool collect_ports(struct verify *v, uint32_t *numbers, uint32_t *takers)
{
	const struct policy *p = v->p;

	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES]; i++) {
		struct policy_service s;

		policy_service(p, i, &s);
		for (uint32_t j = s.ports.first; j < s.ports.first + s.ports.n; j++) {
			struct policy_port_info info;
			struct policy_port port;

			policy_port(p, j, &port);
			*numbers += v->port_flags[port.number] == 0;
			v->port_flags[port.number] |= port_flag(port.protocol);
			if (!policy_protocol_is_tcp(port.protocol) || s.cidrs.n > 0)
				continue;
			info = policy_find_port(p, port.number);
			if (info.flags == 0 || info.services.n != 1 ||
			    policy_item(info.services, 0) != i)
				return verify_fail(v, FORMAT_SERVICES, i,
						   "BY_PORT does not give it its port");
			++*takers;
		}
	}
	return true;
}

bool verify_by_port(struct verify *v)
{
	const struct policy *p = v->p;
	uint32_t numbers = 0, takers = 0, lists = 0;

	if (!check_port_records(v) || !collect_ports(v, &numbers, &takers))
		return false;
	for (uint32_t i = 0; i < p->n[FORMAT_BY_PORT]; i++) {
		const uint8_t *r = p->at[FORMAT_BY_PORT] + (size_t)i * BY_PORT_SIZE;

		if (r[BY_PORT_FLAGS] != v->port_flags[get_le16(r + BY_PORT_NUMBER)])
			return verify_fail(v, FORMAT_BY_PORT, i,
					   "not what the services say of this port");
		lists += policy_list(p, get_le32(r + BY_PORT_LIST)).n;
	}
	if (numbers != p->n[FORMAT_BY_PORT] || takers != lists)
		return verify_fail(v, FORMAT_BY_PORT, numbers, "not what the services say");
	return true;
}

/* ---- ADDRESSES ---- */

static unsigned common_bits(const struct addr *a, const struct addr *b)
{
	unsigned bits = 0;

	while (bits < 128 && a->b[bits / 8] == b->b[bits / 8])
		bits += 8;
	while (bits < 128 && ((a->b[bits / 8] ^ b->b[bits / 8]) >> (7 - bits % 8) & 1) == 0)
		bits++;
	return bits;
}

static struct addr masked(const struct addr *a, unsigned bits)
{
	struct addr m = *a;

	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = bits > i * 8 ? bits - i * 8 : 0;

		if (keep < 8)
			m.b[i] &= (uint8_t)(0xff00u >> keep);
	}
	return m;
}

/* The last prefix of the run that is not behind (a, bits). False: there is none. */
static bool cidr_before(const struct policy *p, struct policy_run run, const struct addr *a,
			unsigned bits, struct cidr *c)
{
	uint32_t low = run.first, high = run.first + run.n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order;

		policy_cidr(p, middle, c);
		order = addr_compare(&c->addr, a);
		if (order < 0 || (order == 0 && c->bits <= bits))
			low = middle + 1;
		else
			high = middle;
	}
	if (low == run.first)
		return false;
	policy_cidr(p, low - 1, c);
	return true;
}

/*
 * The narrowest prefix of the run, of at most so many bits, that contains a. A prefix that contains
 * a and begins before another that does not shares no more bits with a than the other does: each
 * round leaves fewer bits.
 */
static bool cidr_narrowest(const struct policy *p, struct policy_run run, const struct addr *a,
			   unsigned bits, struct cidr *c)
{
	for (;;) {
		struct addr m = masked(a, bits);
		unsigned common;

		if (!cidr_before(p, run, &m, bits, c))
			return false;
		if (c->bits <= bits && cidr_contains(c, a))
			return true;
		common = common_bits(&c->addr, a);
		/*
		 * Of the other family, if it would contain a; and a prefix of this one would lie
		 * behind it.
		 */
		if (common >= c->bits || common >= bits)
			return false;
		bits = common;
	}
}

/* What a list of ADDRESSES has to do with the range of addresses that it stands for. */
struct interval {
	struct addr first, last;
	bool begins, ends; /* some prefix does, there */
};

static bool check_interval(struct verify *v, uint32_t i, struct policy_list l, struct interval *in)
{
	unsigned bits_before = 129;
	uint32_t before = 0;

	in->begins = in->ends = false;
	for (uint32_t j = 0; j < l.n; j++) {
		uint32_t service = policy_item(l, j);
		struct addr first, last;
		struct cidr c;

		if (!cidr_narrowest(v->p, cidrs_of(v->p, service), &in->first, 128, &c))
			return verify_fail(v, FORMAT_ADDRESSES, i,
					   "lists a service without this address");
		if (!cidr_piece(&c, 0, &first, &last) || addr_compare(&last, &in->first) < 0)
			cidr_piece(&c, 1, &first, &last);
		if (addr_compare(&last, &in->last) < 0)
			return verify_fail(v, FORMAT_ADDRESSES, i,
					   "lists a service beyond its addresses");
		if (c.bits > bits_before || (c.bits == bits_before && service <= before))
			return verify_fail(v, FORMAT_ADDRESSES, i, "lists services out of order");
		in->begins |= addr_equal(&first, &in->first);
		in->ends |= addr_equal(&last, &in->last);
		bits_before = c.bits;
		before = service;
	}
	return true;
}

static const uint8_t *address_record(const struct policy *p, uint32_t i)
{
	return p->at[FORMAT_ADDRESSES] + (size_t)i * ADDRESS_SIZE;
}

/* Each interval by itself: what it lists is there. Adds up what is listed. */
static bool check_intervals(struct verify *v, uint64_t *listed)
{
	const struct policy *p = v->p;
	uint32_t n = p->n[FORMAT_ADDRESSES];
	bool ended = true;

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *r = address_record(p, i);
		struct interval in = {.begins = false};

		memcpy(in.first.b, r + ADDRESS_START, 16);
		memset(in.last.b, 0xff, 16);
		if (i == 0 ? !verify_zero(in.first.b, 16)
			   : memcmp(r - ADDRESS_SIZE + ADDRESS_START, in.first.b, 16) >= 0)
			return verify_fail(v, FORMAT_ADDRESSES, i, "out of order");
		if (i + 1 < n) {
			memcpy(in.last.b, r + ADDRESS_SIZE + ADDRESS_START, 16);
			for (int j = 15; j >= 0 && in.last.b[j]-- == 0; j--)
				;
		}
		if (!verify_list(v, get_le32(r + ADDRESS_LIST), VERIFY_LIST_ADDRESS,
				 FORMAT_ADDRESSES, i) ||
		    !check_interval(v, i, policy_list(p, get_le32(r + ADDRESS_LIST)), &in))
			return false;
		if (!in.begins && !ended)
			return verify_fail(v, FORMAT_ADDRESSES, i, "no prefix begins or ends here");
		ended = in.ends;
		*listed += policy_list(p, get_le32(r + ADDRESS_LIST)).n;
	}
	return true;
}

/* Which record begins at a; n when none does. */
static uint32_t address_find(const struct policy *p, const struct addr *a)
{
	uint32_t low = 0, high = p->n[FORMAT_ADDRESSES];

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = memcmp(address_record(p, middle) + ADDRESS_START, a->b, 16);

		if (order == 0)
			return middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return p->n[FORMAT_ADDRESSES];
}

/*
 * That the edges of a service's prefix are edges of intervals. Adds the intervals up, once for
 * prefixes within prefixes.
 */
static bool check_cidr_edges(struct verify *v, struct policy_run run, uint32_t i, uint64_t *covered)
{
	const struct policy *p = v->p;
	struct addr first, last;
	struct cidr c, wider;
	bool nested;

	policy_cidr(p, i, &c);
	nested = c.bits > 0 && cidr_narrowest(p, run, &c.addr, c.bits - 1u, &wider);
	for (unsigned piece = 0; cidr_piece(&c, piece, &first, &last); piece++) {
		uint32_t from = address_find(p, &first), to = p->n[FORMAT_ADDRESSES];

		if (from == to)
			return verify_fail(v, FORMAT_CIDRS, i,
					   "ADDRESSES has no record where it begins");
		if (addr_next(&last)) {
			to = address_find(p, &last);
			if (to == p->n[FORMAT_ADDRESSES])
				return verify_fail(v, FORMAT_CIDRS, i,
						   "ADDRESSES has no record where it ends");
		}
		if (!nested)
			*covered += to - from;
	}
	return true;
}

/*
 * Each list holds nothing but services with prefixes there, each once; every prefix's edges are
 * edges of intervals; and as many entries are listed as prefixes cover intervals. So no entry is
 * missing.
 */
bool verify_addresses(struct verify *v)
{
	const struct policy *p = v->p;
	uint64_t listed = 0, covered = 0;

	if (!check_intervals(v, &listed))
		return false;
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES]; i++) {
		struct policy_run run = cidrs_of(p, i);

		for (uint32_t j = run.first; j < run.first + run.n; j++)
			if (!check_cidr_edges(v, run, j, &covered))
				return false;
	}
	if (listed != covered || (covered == 0 && p->n[FORMAT_ADDRESSES] != 0))
		return verify_fail(v, FORMAT_ADDRESSES, 0, "not what the services say");
	return true;
}

/* ---- HOSTS and NAMES ---- */

struct key {
	const uint8_t *b; /* {length, bytes} */
	uint32_t hash;
};

/* As memcmp, the shorter first. */
static int key_compare(const uint8_t *a, const uint8_t *b)
{
	unsigned n = a[0] < b[0] ? a[0] : b[0];

	/* Most differ early: cheaper than a call. */
	for (unsigned i = 1; i <= n; i++)
		if (a[i] != b[i])
			return a[i] - b[i];
	return a[0] - b[0];
}

static void take_first(const struct policy *p, uint32_t *first, uint32_t name)
{
	const uint8_t *names = p->at[FORMAT_NAMES];

	if (*first == 0 || key_compare(names + name - 1, names + *first - 1) < 0)
		*first = name;
}

/* Where the keys are up to: what the next one is measured by. */
struct place {
	uint32_t next_name; /* offset in NAMES */
	uint32_t free_slot; /* behind the key before */
	uint32_t longest;
	uint32_t n;
	struct key before;
};

static bool check_slot(struct verify *v, struct place *at, uint32_t i, const uint8_t *slot,
		       uint32_t names_len)
{
	const struct policy *p = v->p;
	uint32_t name = get_le32(slot + HOST_NAME), list = get_le32(slot + HOST_LIST), home;
	struct key key = {p->at[FORMAT_NAMES] + at->next_name, 0};

	if (name - 1 != at->next_name || at->next_name >= names_len ||
	    key.b[0] > names_len - at->next_name - 1)
		return verify_fail(v, FORMAT_HOSTS, i, "its name is not the next");
	if (!name_key_hash(FORMAT_HASH_START, key.b + 1, key.b[0], &key.hash))
		return verify_fail(v, FORMAT_HOSTS, i, "its name is not a canonical host");
	if (at->n > 0 && (key.hash < at->before.hash ||
			  (key.hash == at->before.hash && key_compare(key.b, at->before.b) <= 0)))
		return verify_fail(v, FORMAT_HOSTS, i, "out of order");
	home = format_home(key.hash, p->homes);
	if (i != (home > at->free_slot ? home : at->free_slot))
		return verify_fail(v, FORMAT_HOSTS, i, "not where its name belongs");
	if (!verify_list(v, list, VERIFY_LIST_HOST, FORMAT_HOSTS, i))
		return false;
	v->list_slots[list]++;
	take_first(p, &v->list_first[list], name);
	if (i - home + 1 > at->longest)
		at->longest = i - home + 1;
	at->next_name += 1u + key.b[0];
	at->free_slot = i + 1;
	at->before = key;
	at->n++;
	return true;
}

static bool check_slots(struct verify *v)
{
	const struct policy *p = v->p;
	uint32_t names_len =
		(uint32_t)(p->base + p->len - p->at[FORMAT_NAMES]); /* the last section */
	struct place at = {.n = 0};

	for (uint32_t i = 0; i < p->n[FORMAT_HOSTS]; i++) {
		const uint8_t *slot = p->at[FORMAT_HOSTS] + (size_t)i * HOST_SIZE;

		if (get_le32(slot + HOST_NAME) != 0) {
			if (!check_slot(v, &at, i, slot, names_len))
				return false;
		} else if (get_le32(slot + HOST_LIST) != 0) {
			return verify_fail(v, FORMAT_HOSTS, i, "an empty slot with a list");
		}
	}
	if (at.n != p->n[FORMAT_NAMES] || at.next_name != names_len || at.longest != p->probes)
		return verify_fail(v, FORMAT_NAMES, at.n, "not the keys of the host table");
	return true;
}

/*
 * How many keys name each service, and which is first: from the lists, of which there are few, not
 * from the slots.
 */
static bool check_host_counts(struct verify *v)
{
	const struct policy *p = v->p;

	for (uint32_t ref = 0; ref < p->n[FORMAT_LISTS]; ref++) {
		struct policy_list l;

		if (v->list_slots[ref] == 0)
			continue;
		l = policy_list(p, ref);
		for (uint32_t i = 0; i < l.n; i++) {
			v->service_hosts[policy_item(l, i)] += v->list_slots[ref];
			take_first(p, &v->service_first[policy_item(l, i)], v->list_first[ref]);
		}
	}
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES]; i++) {
		const uint8_t *r = p->at[FORMAT_SERVICES] + (size_t)i * SERVICE_SIZE;
		uint32_t first = v->service_first[i];

		if (get_le32(r + SERVICE_HOSTS) != v->service_hosts[i] ||
		    get_le32(r + SERVICE_FIRST_HOST) != (first > 0 ? first - 1 : 0))
			return verify_fail(v, FORMAT_SERVICES, i,
					   "has other hosts than the host table");
	}
	return true;
}

bool verify_hosts(struct verify *v)
{
	struct policy *p = v->p;
	uint32_t keys = p->n[FORMAT_NAMES], slots = p->n[FORMAT_HOSTS];

	p->homes = format_homes(keys);
	if (keys == 0 ? p->probes != 0 || slots != 0
		      : p->probes == 0 || p->probes > FORMAT_MAX_PROBES ||
				slots != p->homes + p->probes - 1)
		return verify_fail(v, FORMAT_HOSTS, 0, "the table has another size");
	return check_slots(v) && check_host_counts(v);
}
