/* SPDX-License-Identifier: MIT */
/* Reads DNS responses. */
#include "tproxy/dns_answer.h"

#include <string.h>
#include <strings.h>

/* RFC 2181 8: a TTL with the top bit set is zero. */
static uint32_t ttl_of(uint32_t seconds)
{
	return seconds > INT32_MAX ? 0 : seconds;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static bool owned(const ares_dns_rr_t *rr, const char *owner)
{
	const char *name = ares_dns_rr_get_name(rr);

	return name && ares_dns_rr_get_class(rr) == ARES_CLASS_IN && strcasecmp(name, owner) == 0;
}

static const ares_dns_rr_t *answer_at(const ares_dns_record_t *response, size_t i)
{
	return ares_dns_record_rr_get_const(response, ARES_SECTION_ANSWER, i);
}

/* The owner's next record of a type, from *at on. */
static const ares_dns_rr_t *next_record(const ares_dns_record_t *response, const char *owner,
                                        ares_dns_rec_type_t type, size_t *at)
{
	size_t n = ares_dns_record_rr_cnt(response, ARES_SECTION_ANSWER);

	while (*at < n) {
		const ares_dns_rr_t *rr = answer_at(response, (*at)++);
		if (rr && ares_dns_rr_get_type(rr) == type && owned(rr, owner))
			return rr;
	}
	return NULL;
}

/* Where the name's CNAMEs lead, or NULL: in a circle, or too far. */
static const char *follow(const ares_dns_record_t *response, const char *name, uint32_t *ttl)
{
	for (int hops = 0; hops <= DNS_ALIASES_MAX; hops++) {
		size_t at = 0;
		const ares_dns_rr_t *rr = next_record(response, name, ARES_REC_TYPE_CNAME, &at);
		if (!rr)
			return name;
		*ttl = least(*ttl, ttl_of(ares_dns_rr_get_ttl(rr)));
		name = ares_dns_rr_get_str(rr, ARES_RR_CNAME_CNAME);
		if (!name)
			return NULL;
	}
	return NULL;
}

static void add(struct dns_result *r, bool v6, const void *bytes)
{
	size_t size = v6 ? 16 : 4;
	uint8_t *to = v6 ? r->v6[0] : r->v4[0];

	for (size_t i = 0; i < r->n; i++)
		if (memcmp(to + i * size, bytes, size) == 0)
			return;
	if (r->n < RESOLVE_ADDRS_MAX)
		memcpy(to + r->n++ * size, bytes, size);
}

static void read_addresses(const ares_dns_record_t *response, const char *owner, bool v6,
                           struct dns_result *r)
{
	const ares_dns_rr_t *rr;
	ares_dns_rec_type_t type = v6 ? ARES_REC_TYPE_AAAA : ARES_REC_TYPE_A;
	size_t at = 0;

	while ((rr = next_record(response, owner, type, &at))) {
		const void *bytes = v6 ? (const void *)ares_dns_rr_get_addr6(rr, ARES_RR_AAAA_ADDR)
		                       : (const void *)ares_dns_rr_get_addr(rr, ARES_RR_A_ADDR);
		if (!bytes)
			continue;
		add(r, v6, bytes);
		r->ttl = least(r->ttl, ttl_of(ares_dns_rr_get_ttl(rr)));
	}
}

/* At least a second, or each asking would be a query. */
static uint32_t negative_ttl(const ares_dns_record_t *response, uint32_t max)
{
	size_t n = ares_dns_record_rr_cnt(response, ARES_SECTION_AUTHORITY);
	uint32_t ttl = DNS_TTL_NO_SOA;
	const ares_dns_rr_t *rr;

	for (size_t i = 0; i < n; i++) {
		rr = ares_dns_record_rr_get_const(response, ARES_SECTION_AUTHORITY, i);
		if (!rr || ares_dns_rr_get_type(rr) != ARES_REC_TYPE_SOA)
			continue;
		ttl = least(ttl_of(ares_dns_rr_get_ttl(rr)),
		            ttl_of(ares_dns_rr_get_u32(rr, ARES_RR_SOA_MINIMUM)));
		break;
	}
	ttl = least(ttl, max);
	return ttl ? ttl : 1;
}

/* Answers that have nothing to do with the question are no answer. */
static bool about(const ares_dns_record_t *response, const char *name)
{
	size_t n = ares_dns_record_rr_cnt(response, ARES_SECTION_ANSWER);

	for (size_t i = 0; i < n; i++) {
		const ares_dns_rr_t *rr = answer_at(response, i);
		if (rr && owned(rr, name))
			return true;
	}
	return n == 0;
}

void dns_answer_read(const ares_dns_record_t *response, const char *name, bool v6,
                     uint32_t negative_max, struct dns_result *r)
{
	ares_dns_rcode_t rcode = ares_dns_record_get_rcode(response);
	const char *owner;

	r->status = RESOLVE_FAIL;
	r->n = 0;
	r->ttl = DNS_TTL_MAX;
	if ((rcode != ARES_RCODE_NOERROR && rcode != ARES_RCODE_NXDOMAIN) || !about(response, name))
		return;
	owner = follow(response, name, &r->ttl);
	if (!owner)
		return;
	if (rcode == ARES_RCODE_NOERROR)
		read_addresses(response, owner, v6, r);
	if (r->n > 0) {
		r->status = RESOLVE_OK;
		return;
	}
	r->status = rcode == ARES_RCODE_NXDOMAIN ? RESOLVE_NXDOMAIN : RESOLVE_NODATA;
	r->ttl = negative_ttl(response, negative_max);
}
