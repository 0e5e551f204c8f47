/* SPDX-License-Identifier: MIT */
/* Writes DNS responses. */
#include "tproxy/dns_reply.h"

#include <string.h>

#include <ares.h>

#define RECORD    10 /* bytes between owner and data */
#define OPT_LEN   11
#define OWN_NAME  (0xc000u + DNS_HEADER) /* a pointer to the name asked for */
#define EXT_SHIFT 4

static void put_be16(uint8_t *to, unsigned v)
{
	to[0] = (uint8_t)(v >> 8);
	to[1] = (uint8_t)v;
}

static void put_be32(uint8_t *to, uint32_t v)
{
	put_be16(to, v >> 16);
	put_be16(to + 2, v & 0xffff);
}

void dns_reply_start(struct dns_reply *r, uint8_t *bytes, size_t room,
                     const struct dns_question *q, unsigned rcode)
{
	*r = (struct dns_reply){
		.bytes = bytes, .q = q, .rcode = rcode, .room = room - OPT_LEN,
		.len = DNS_HEADER + (size_t)q->wire_len,
	};
	memset(bytes, 0, DNS_HEADER);
	memcpy(bytes + DNS_HEADER, q->wire, q->wire_len);
}

/* Type, class, lifetime, length and data behind an owner of owner_len bytes. False: no room. */
static bool put_record(struct dns_reply *r, const uint8_t *owner, size_t owner_len, unsigned type,
                       uint32_t ttl, const void *data, size_t len)
{
	size_t left = r->room - r->len;

	if (r->truncated || left < owner_len + RECORD || left - owner_len - RECORD < len) {
		r->truncated = true;
		return false;
	}
	uint8_t *at = r->bytes + r->len;
	memcpy(at, owner, owner_len);
	at += owner_len;
	put_be16(at, type);
	put_be16(at + 2, ARES_CLASS_IN);
	put_be32(at + 4, ttl);
	put_be16(at + 8, (unsigned)len);
	memcpy(at + RECORD, data, len);
	r->len += owner_len + RECORD + len;
	return true;
}

void dns_reply_add(struct dns_reply *r, unsigned type, uint32_t ttl, const void *data, size_t len)
{
	uint8_t owner[2];

	put_be16(owner, OWN_NAME);
	r->answers += put_record(r, owner, sizeof(owner), type, ttl, data, len);
}

void dns_reply_add_address(struct dns_reply *r, const struct addr *a, uint32_t ttl)
{
	if (addr_is_v4(a))
		dns_reply_add(r, ARES_REC_TYPE_A, ttl, a->b + 12, 4);
	else
		dns_reply_add(r, ARES_REC_TYPE_AAAA, ttl, a->b, 16);
}

/*
 * The root's, as it were: whose zone the name would be in is not ours to know. Primary server ".",
 * mailbox nobody.invalid (as RFC 6303 has it), serial 1, then intervals, the last of which counts.
 */
void dns_reply_add_negative(struct dns_reply *r, uint32_t ttl)
{
	uint8_t soa[] = "\0\6nobody\7invalid\0\0\0\0\1\0\0\x0e\x10\0\0\4\xb0\0\x09\x3a\x80....";

	put_be32(soa + sizeof(soa) - 5, ttl);
	r->authority += put_record(r, (const uint8_t *)"", 1, ARES_REC_TYPE_SOA, ttl, soa,
	                           sizeof(soa) - 1);
}

static void put_opt(struct dns_reply *r)
{
	uint8_t *at = r->bytes + r->len;

	memset(at, 0, OPT_LEN);
	put_be16(at + 1, ARES_REC_TYPE_OPT);
	put_be16(at + 3, DNS_UDP_MAX);
	at[5] = (uint8_t)(r->rcode >> EXT_SHIFT);
	r->len += OPT_LEN;
}

size_t dns_reply_end(struct dns_reply *r)
{
	uint8_t *b = r->bytes;

	if (r->truncated) {
		r->len = DNS_HEADER + (size_t)r->q->wire_len;
		r->answers = r->authority = 0;
	}
	put_be16(b, r->q->id);
	b[2] = (uint8_t)(DNS_QR | (r->truncated ? DNS_TC : 0) | (r->q->recursion ? DNS_RD : 0));
	b[3] = (uint8_t)(DNS_RA | (r->q->unchecked ? DNS_CD : 0) | (r->rcode & 15));
	put_be16(b + 4, r->q->wire_len > 0);
	put_be16(b + 6, r->answers);
	put_be16(b + 8, r->authority);
	put_be16(b + 10, r->q->edns);
	if (r->q->edns)
		put_opt(r);
	return r->len;
}
