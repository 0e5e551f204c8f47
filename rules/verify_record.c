/* SPDX-License-Identifier: MIT */
/* The check of what a policy says: META, CAPTURE, SERVICES and the runs they own. */
#include "rules/verify.h"

#define WEIGHT_MAX 1000000

static const uint8_t *record(const struct verify *v, enum format_section section, uint32_t i,
			     size_t size)
{
	return v->p->at[section] + (size_t)i * size;
}

static bool check_meta(struct verify *v)
{
	const uint8_t *r = v->p->at[FORMAT_META];

	if (r[META_OUTBOUND] > POLICY_ALLOW_ANY || r[META_ENFORCEMENT] > POLICY_AUDIT ||
	    r[META_LOG_FORMAT] > POLICY_LOG_JSON ||
	    !verify_zero(r + META_ZERO, META_SIZE - META_ZERO))
		return verify_fail(v, FORMAT_META, 0, "holds an unknown value");
	return verify_string(v, get_le32(r + META_NAME), VERIFY_STRING_LABEL, FORMAT_META, 0) &&
	       verify_string(v, get_le32(r + META_NAMESPACE), VERIFY_STRING_LABEL, FORMAT_META,
			     0) &&
	       verify_string(v, get_le32(r + META_NODE), VERIFY_STRING_LABEL, FORMAT_META, 0) &&
	       verify_string(v, get_le32(r + META_ACCESS_LOG), VERIFY_STRING_LOG, FORMAT_META, 0) &&
	       verify_list(v, get_le32(r + META_NAMESERVERS), VERIFY_LIST_NAMESERVERS, FORMAT_META,
			   0);
}

bool verify_run(struct verify *v, enum format_section section, const uint8_t *r,
		struct policy_run *run)
{
	*run = (struct policy_run){get_le32(r), get_le32(r + 4)};
	if (run->first != v->taken[section] || run->n > v->p->n[section] - run->first)
		return verify_fail(v, section, run->first,
				   "a run does not begin where the one before it ends");
	v->taken[section] += run->n;
	return true;
}

static bool check_ranges(struct verify *v, const uint8_t *r, uint32_t least,
			 uint32_t most)
{
	struct policy_run run;
	uint32_t before = 0;

	if (!verify_run(v, FORMAT_RANGES, r, &run))
		return false;
	for (uint32_t i = run.first; i < run.first + run.n; i++) {
		uint32_t first, last;

		policy_range(v->p, i, &first, &last);
		if (first > last || first < least || last > most)
			return verify_fail(v, FORMAT_RANGES, i, "not a range");
		if (i > run.first && (first <= before || first - before < 2))
			return verify_fail(v, FORMAT_RANGES, i, "out of order");
		before = last;
	}
	return true;
}

static bool cidr_is_masked(const struct cidr *c)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = c->bits > i * 8 ? c->bits - i * 8 : 0;

		if (keep < 8 && (uint8_t)(c->addr.b[i] << keep) != 0)
			return false;
	}
	return true;
}

bool verify_cidrs(struct verify *v, const uint8_t *r)
{
	struct policy_run run;
	struct cidr before = {.bits = 0};

	if (!verify_run(v, FORMAT_CIDRS, r, &run))
		return false;
	for (uint32_t i = run.first; i < run.first + run.n; i++) {
		struct cidr c;
		int order;

		policy_cidr(v->p, i, &c);
		if (c.bits > 128 || !cidr_is_masked(&c) ||
		    !verify_zero(record(v, FORMAT_CIDRS, i, CIDR_SIZE) + CIDR_ZERO,
				 CIDR_SIZE - CIDR_ZERO))
			return verify_fail(v, FORMAT_CIDRS, i, "not a prefix");
		order = addr_compare(&before.addr, &c.addr);
		if (i > run.first && (order > 0 || (order == 0 && before.bits >= c.bits)))
			return verify_fail(v, FORMAT_CIDRS, i, "out of order");
		before = c;
	}
	return true;
}

static bool check_capture(struct verify *v)
{
	const uint8_t *r = v->p->at[FORMAT_CAPTURE];

	if (r[CAPTURE_SCOPE] > POLICY_SCOPE_BOTH || r[CAPTURE_METHOD] > POLICY_REDIRECT ||
	    r[CAPTURE_UDP] > POLICY_ALLOW || r[CAPTURE_OTHER] > POLICY_ALLOW ||
	    r[CAPTURE_DNS] > POLICY_CAPTURE || r[CAPTURE_TAMPER] > POLICY_TAMPER_LOG ||
	    (r[CAPTURE_ACCEPT] & ~POLICY_ACCEPT_KNOWN) != 0 ||
	    get_le32(r + CAPTURE_UDP_FLOWS) - 1u >= UINT16_MAX ||
	    !verify_zero(r + CAPTURE_ZERO, CAPTURE_INTERFACES - CAPTURE_ZERO))
		return verify_fail(v, FORMAT_CAPTURE, 0, "holds an unknown value");
	return verify_list(v, get_le32(r + CAPTURE_INTERFACES), VERIFY_LIST_INTERFACES,
			   FORMAT_CAPTURE, 0) &&
	       verify_list(v, get_le32(r + CAPTURE_EXCLUDE_INTERFACES), VERIFY_LIST_INTERFACES,
			   FORMAT_CAPTURE, 0) &&
	       check_ranges(v, r + CAPTURE_PORTS, 1, UINT16_MAX) &&
	       check_ranges(v, r + CAPTURE_EXCLUDE_PORTS, 1, UINT16_MAX) &&
	       check_ranges(v, r + CAPTURE_EXEMPT_UIDS, 0, UINT32_MAX - 1) &&
	       check_ranges(v, r + CAPTURE_EXEMPT_GIDS, 0, UINT32_MAX - 1) &&
	       verify_cidrs(v, r + CAPTURE_EXCLUDE_CIDRS);
}

bool verify_ports(struct verify *v, const uint8_t *r, struct policy_run *run, bool gateway)
{
	uint32_t before = 0;

	if (!verify_run(v, FORMAT_PORTS, r, run))
		return false;
	if (run->n == 0)
		return verify_fail(v, FORMAT_PORTS, run->first, "a service without ports");
	for (uint32_t i = run->first; i < run->first + run->n; i++) {
		struct policy_port port;
		uint32_t order;

		policy_port(v->p, i, &port);
		order = port.number * 2u + (port.protocol == POLICY_PROTO_UDP);
		if (port.number == 0 || port.target == 0 || port.protocol == POLICY_PROTO_NONE ||
		    port.protocol >= POLICY_PROTOCOLS ||
		    !verify_zero(record(v, FORMAT_PORTS, i, PORT_SIZE) +
					 (gateway ? PORT_ZERO : PORT_TLS),
				 PORT_SIZE - (gateway ? PORT_ZERO : PORT_TLS)))
			return verify_fail(v, FORMAT_PORTS, i, "not a port");
		if (order <= before)
			return verify_fail(v, FORMAT_PORTS, i, "out of order");
		before = order;
	}
	return true;
}

bool verify_endpoints(struct verify *v, const uint8_t *r, struct policy_run *run)
{
	uint64_t weights = 0;

	if (!verify_run(v, FORMAT_ENDPOINTS, r, run))
		return false;
	for (uint32_t i = run->first; i < run->first + run->n; i++) {
		const uint8_t *e = record(v, FORMAT_ENDPOINTS, i, ENDPOINT_SIZE);
		uint32_t name = get_le32(e + ENDPOINT_NAME), weight = get_le32(e + ENDPOINT_WEIGHT);

		if (name != 0 && !verify_string(v, name, VERIFY_STRING_HOST, FORMAT_ENDPOINTS, i))
			return false;
		if ((name != 0 && !verify_zero(e + ENDPOINT_ADDR, 16)) || weight == 0 ||
		    weight > WEIGHT_MAX ||
		    !verify_zero(e + ENDPOINT_ZERO, ENDPOINT_SIZE - ENDPOINT_ZERO))
			return verify_fail(v, FORMAT_ENDPOINTS, i, "not an endpoint");
		weights += weight;
		if (weights > UINT32_MAX)
			return verify_fail(v, FORMAT_ENDPOINTS, i,
					   "the weights add up to 2^32 or more");
	}
	return true;
}

/* Ports by address, and no UDP. */
static bool is_tcp(const struct policy *p, struct policy_run ports)
{
	bool tcp = false;

	for (uint32_t i = 0; i < ports.n; i++) {
		struct policy_port port;

		policy_port(p, ports.first + i, &port);
		if (port.protocol == POLICY_PROTO_UDP)
			return false;
		tcp |= policy_protocol_is_tcp(port.protocol);
	}
	return tcp;
}

/* Whether the addresses are a pair that the compiler may have drawn. */
static bool is_auto_pair(const struct policy *p, struct policy_run cidrs)
{
	struct addr pair[2];
	struct cidr c[2];

	if (cidrs.n != 2)
		return false;
	policy_cidr(p, cidrs.first, &c[0]);
	policy_cidr(p, cidrs.first + 1, &c[1]);
	if (c[0].bits != 128 || c[1].bits != 128 || c[0].addr.b[14] == 255 ||
	    c[0].addr.b[15] == 0 || c[0].addr.b[15] == 255)
		return false;
	policy_auto_address(c[0].addr.b[14] * 254u + c[0].addr.b[15] - 1u, pair);
	return addr_equal(&c[0].addr, &pair[0]) && addr_equal(&c[1].addr, &pair[1]);
}

/* That synthetic addresses are the ones of services that have the flag, and nobody else's. */
static bool check_auto_address(struct verify *v, uint32_t i)
{
	struct policy_capture c;
	struct policy_service s;

	policy_capture(v->p, &c);
	policy_service(v->p, i, &s);
	if (s.auto_address)
		return (c.dns == POLICY_CAPTURE && s.resolution != POLICY_NONE &&
			s.resolution != POLICY_DYNAMIC_DNS && s.n_hosts == 1 &&
			is_tcp(v->p, s.ports) && is_auto_pair(v->p, s.cidrs)) ||
		       verify_fail(v, FORMAT_SERVICES, i, "cannot have synthetic addresses");
	for (uint32_t k = 0; k < s.cidrs.n && c.dns == POLICY_CAPTURE; k++) {
		struct cidr cidr;

		policy_cidr(v->p, s.cidrs.first + k, &cidr);
		if (policy_is_auto_address(&cidr.addr))
			return verify_fail(v, FORMAT_CIDRS, s.cidrs.first + k,
					   "lies among the synthetic addresses");
	}
	return true;
}

static bool check_service(struct verify *v, uint32_t i)
{
	const uint8_t *r = record(v, FORMAT_SERVICES, i, SERVICE_SIZE);
	struct policy_run run;

	if (r[SERVICE_RESOLUTION] > POLICY_DYNAMIC_DNS || r[SERVICE_LOCATION] > POLICY_INTERNAL ||
	    r[SERVICE_ENFORCEMENT] > POLICY_AUDIT ||
	    (r[SERVICE_FLAGS] & ~SERVICE_FLAGS_KNOWN) != 0)
		return verify_fail(v, FORMAT_SERVICES, i, "holds an unknown value");
	if (get_le32(r + SERVICE_TRAFFIC) > v->p->n[FORMAT_TRAFFIC] ||
	    get_le32(r + SERVICE_TLS) > v->p->n[FORMAT_TLS])
		return verify_fail(v, FORMAT_SERVICES, i, "points at no record");
	if (i > 0 && get_le32(r + SERVICE_NAME) <= get_le32(r - SERVICE_SIZE + SERVICE_NAME))
		return verify_fail(v, FORMAT_SERVICES, i, "out of order");
	return verify_string(v, get_le32(r + SERVICE_NAME), VERIFY_STRING_LABEL, FORMAT_SERVICES,
			     i) &&
	       verify_list(v, get_le32(r + SERVICE_EXPORT_TO), VERIFY_LIST_EXPORT, FORMAT_SERVICES,
			   i) &&
	       verify_ports(v, r + SERVICE_PORTS, &run, false) &&
	       verify_endpoints(v, r + SERVICE_ENDPOINTS, &run) &&
	       verify_cidrs(v, r + SERVICE_CIDRS) && verify_cidrs(v, r + SERVICE_CLIENTS) &&
	       verify_list(v, get_le32(r + SERVICE_ALPN), VERIFY_LIST_ITEMS, FORMAT_SERVICES, i) &&
	       check_auto_address(v, i);
}

static bool check_services(struct verify *v)
{
	for (uint32_t i = 0; i < v->p->n[FORMAT_SERVICES]; i++)
		if (!check_service(v, i))
			return false;
	return true;
}

bool verify_records(struct verify *v)
{
	return check_meta(v) && check_capture(v) && check_services(v);
}
