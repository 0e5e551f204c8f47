/* SPDX-License-Identifier: MIT */
/* What a parsed DNS response says about one name and one family. Pure; the response is hostile. */
#ifndef SLUICE_TPROXY_DNS_ANSWER_H
#define SLUICE_TPROXY_DNS_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include <ares.h>

#include "tproxy/resolve.h"

#define DNS_TTL_MAX       3600 /* seconds an address is believed */
#define DNS_TTL_NO_SOA    5    /* seconds "there is none" is believed when no SOA says how long */
#define DNS_ALIASES_MAX   16   /* CNAMEs from the name asked for to the one that has addresses */

struct dns_result {
	uint8_t status; /* enum resolve_status */
	uint8_t n;
	uint32_t ttl;   /* seconds; 0 only for addresses: not to be used again */
	union {
		uint8_t v4[RESOLVE_ADDRS_MAX][4];
		uint8_t v6[RESOLVE_ADDRS_MAX][16];
	};
};

/*
 * Reads the A or AAAA records of a canonical name out of the answer section: those of the name
 * itself or of where its CNAMEs lead (RFC 1034 3.6.2), the first RESOLVE_ADDRS_MAX different ones,
 * with the least TTL on the way. Without any, the TTL is that of the SOA (RFC 2308 5), 1 s at
 * least, negative_max at most. Nothing else in the response counts.
 */
void dns_answer_read(const ares_dns_record_t *response, const char *name, bool v6,
                     uint32_t negative_max, struct dns_result *r);

#endif
