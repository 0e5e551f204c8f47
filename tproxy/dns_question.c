/* SPDX-License-Identifier: MIT */
/* Reads DNS queries. */
#include "tproxy/dns_question.h"

#include <string.h>

#include <ares.h>

#define TAIL      4  /* type and class */
#define NAME_WIRE 255
#define LABEL_MAX 63

static unsigned get_be16(const uint8_t *b)
{
	return (unsigned)(b[0] << 8 | b[1]);
}

/* Bytes of a question without compression, which nobody needs there; 0: it is none. */
static size_t question_len(const uint8_t *b, size_t len)
{
	size_t at = 0;

	while (at < len && b[at]) {
		if (b[at] > LABEL_MAX)
			return 0;
		at += b[at] + 1u;
	}
	at++;
	if (at > NAME_WIRE || at > len || len - at < TAIL)
		return 0;
	return at + TAIL;
}

static int read_edns(struct dns_question *q, const ares_dns_record_t *m)
{
	const ares_dns_rr_t *rr = ares_dns_record_rr_get_const(m, ARES_SECTION_ADDITIONAL, 0);

	if (!rr)
		return ARES_RCODE_NOERROR;
	if (ares_dns_rr_get_type(rr) != ARES_REC_TYPE_OPT || *ares_dns_rr_get_name(rr))
		return ARES_RCODE_FORMERR;
	uint16_t room = ares_dns_rr_get_u16(rr, ARES_RR_OPT_UDP_SIZE);
	q->edns = true;
	q->room = room < DNS_UDP_MIN ? DNS_UDP_MIN : room > DNS_UDP_MAX ? DNS_UDP_MAX : room;
	return ares_dns_rr_get_u8(rr, ARES_RR_OPT_VERSION) ? DNS_BADVERS : ARES_RCODE_NOERROR;
}

static int read_parsed(struct dns_question *q, char name[static NAME_SIZE],
                       const ares_dns_record_t *m)
{
	ares_dns_rec_type_t type;
	ares_dns_class_t class;
	const char *text;

	if (ares_dns_record_query_get(m, 0, &text, &type, &class) != ARES_SUCCESS)
		return ARES_RCODE_FORMERR;
	q->type = (uint16_t)type;
	int error = read_edns(q, m);
	if (error)
		return error;
	if (class != ARES_CLASS_IN)
		return ARES_RCODE_REFUSED;
	int len = name_canon(name, text, strlen(text));
	if (len < 0)
		*name = '\0';
	/* The root exists, and is nobody's to ask for. */
	return len == NAME_EMPTY ? ARES_RCODE_REFUSED : len < 0 ? ARES_RCODE_NXDOMAIN
	       : ARES_RCODE_NOERROR;
}

int dns_question_read(struct dns_question *q, char name[static NAME_SIZE], const uint8_t *bytes,
                      size_t len)
{
	ares_dns_record_t *m = NULL;

	if (len < DNS_HEADER || bytes[2] & DNS_QR)
		return DNS_QUESTION_DROP;
	*name = '\0';
	*q = (struct dns_question){
		.id = (uint16_t)get_be16(bytes), .room = DNS_UDP_MIN,
		.recursion = bytes[2] & DNS_RD, .unchecked = bytes[3] & DNS_CD,
	};
	if (bytes[2] & DNS_OPCODE)
		return ARES_RCODE_NOTIMP;
	if (get_be16(bytes + 4) != 1 || get_be16(bytes + 6) || get_be16(bytes + 8) ||
	    get_be16(bytes + 10) > 1)
		return ARES_RCODE_FORMERR;
	size_t n = question_len(bytes + DNS_HEADER, len - DNS_HEADER);
	if (!n || ares_dns_parse(bytes, len, 0, &m) != ARES_SUCCESS)
		return ARES_RCODE_FORMERR;
	memcpy(q->wire, bytes + DNS_HEADER, n);
	q->wire_len = (uint16_t)n;
	int error = read_parsed(q, name, m);
	ares_dns_record_destroy(m);
	return error;
}

size_t dns_question_name(const struct dns_question *q, char name[static NAME_SIZE])
{
	size_t n = 0;

	for (size_t at = 0; q->wire[at]; at += q->wire[at] + 1u) {
		if (n)
			name[n++] = '.';
		memcpy(name + n, q->wire + at + 1, q->wire[at]);
		n += q->wire[at];
	}
	int len = name_canon(name, name, n);
	return len < 0 ? 0 : (size_t)len;
}
