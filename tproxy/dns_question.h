/* SPDX-License-Identifier: MIT */
/* What a client asks: one DNS message in, one question out. Pure; the bytes are hostile. */
#ifndef SLUICE_TPROXY_DNS_QUESTION_H
#define SLUICE_TPROXY_DNS_QUESTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/name.h"

#define DNS_HEADER       12  /* bytes; RFC 1035 4.1.1 */
#define DNS_QUESTION_MAX 259 /* a name of 255 bytes, type and class */
#define DNS_UDP_MIN      512  /* RFC 1035 4.2.1 */
#define DNS_UDP_MAX      1232 /* what passes everywhere in one piece */

#define DNS_BADVERS      16   /* extended RCODE; RFC 6891 9 */

/* Of the header's third byte, and its fourth. */
enum { DNS_QR = 0x80, DNS_OPCODE = 0x78, DNS_TC = 0x02, DNS_RD = 0x01 };
enum { DNS_RA = 0x80, DNS_CD = 0x10 };

struct dns_question {
	uint16_t id, type;
	uint16_t room;      /* bytes that the client takes in a datagram, DNS_UDP_MIN to _MAX */
	uint16_t wire_len;  /* 0: what was asked could not be read */
	bool recursion, unchecked; /* RD and CD, which are sent back */
	bool edns;
	uint8_t wire[DNS_QUESTION_MAX]; /* the question section as it came, case and all */
};

#define DNS_QUESTION_DROP (-1) /* not a question at all: no answer either */

/*
 * Reads a message that must be one query with one question: opcode QUERY, class IN, no records but
 * at most one OPT (RFC 6891), a name as name_canon() has it. 0: *q and the canonical name are set;
 * above: the extended RCODE to answer with (FORMERR, NOTIMP, REFUSED, BADVERS, or NXDOMAIN for a
 * name that no policy can hold), *q is set, the name may be empty; or DNS_QUESTION_DROP. Options,
 * cookies and the client subnet among them, are read over.
 */
int dns_question_read(struct dns_question *q, char name[static NAME_SIZE], const uint8_t *bytes,
                      size_t len);
/* The canonical name of a question that dns_question_read() took; returns its length. */
size_t dns_question_name(const struct dns_question *q, char name[static NAME_SIZE]);

#endif
