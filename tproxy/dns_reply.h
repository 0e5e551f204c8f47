/* SPDX-License-Identifier: MIT */
/*
 * Answers to clients: a header, the question as it was asked, records that all belong to the name
 * asked for, and an OPT record if the client sent one. Pure. Nothing of an upstream message gets
 * here but addresses, lifetimes and service parameters that were understood.
 */
#ifndef SLUICE_TPROXY_DNS_REPLY_H
#define SLUICE_TPROXY_DNS_REPLY_H

#include "rules/addr.h"
#include "tproxy/dns_question.h"

#define DNS_REPLY_MAX 4096 /* bytes of any answer */

struct dns_reply {
	uint8_t *bytes;
	size_t len, room;           /* room without what the OPT record takes */
	const struct dns_question *q;
	uint16_t answers, authority;
	unsigned rcode;             /* extended */
	bool truncated;
};

/*
 * Begins an answer to q, which outlives it, in room bytes: at least DNS_UDP_MIN. rcode may be
 * extended (RFC 6891 6.1.3).
 */
void dns_reply_start(struct dns_reply *r, uint8_t *bytes, size_t room,
                     const struct dns_question *q, unsigned rcode);
/* A record of the name asked for. What finds no room makes the answer a truncated one. */
void dns_reply_add(struct dns_reply *r, unsigned type, uint32_t ttl, const void *data, size_t len);
void dns_reply_add_address(struct dns_reply *r, const struct addr *a, uint32_t ttl);
/* For how long there is nothing: a SOA record (RFC 2308 5). */
void dns_reply_add_negative(struct dns_reply *r, uint32_t ttl);
/* Completes it; returns its length. A truncated answer has no records (RFC 2181 9). */
size_t dns_reply_end(struct dns_reply *r);

#endif
