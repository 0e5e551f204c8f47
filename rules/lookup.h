/* SPDX-License-Identifier: MIT */
/*
 * What a DNS query for a name gets under dns = capture. No I/O, no state: the proxy's DNS stub asks
 * it for each question, `sluice-rules explain` for people.
 *
 * The services of the most specific host key that serve the client count, all of them; a wider key
 * counts only where no service of the narrower one serves the client. Of those services
 *  1. any with synthetic addresses: these are the answer;
 *  2. else any whose `addresses` hold single addresses: these are;
 *  3. else any that is reached by what its name resolves to, or whose `addresses` are prefixes
 *     alone: the name is resolved;
 *  4. else they are reached by endpoints that are addresses, or static without any: these are, and
 *     there may be none.
 * No such service: denied under registry-only, resolved under allow-any; under audit resolved and
 * marked. A name that the policy answers is asked of nobody, and what is asked is a name that the
 * policy lists: no query carries what a client made up, but below a wildcard.
 */
#ifndef SLUICE_RULES_LOOKUP_H
#define SLUICE_RULES_LOOKUP_H

#include "rules/route.h"

enum lookup_verdict {
	LOOKUP_DENY = 0,  /* the name does not exist for this client */
	LOOKUP_RESOLVE,   /* ask the nameservers */
	LOOKUP_FIXED,     /* the policy's addresses, see lookup_address(); none: no data */
	LOOKUP_SYNTHETIC, /* the same, and they stand for the name alone: nobody has them */
};

struct lookup {
	enum lookup_verdict verdict;
	enum route_reason reason; /* ROUTE_WHY_NAME: services list it; else as in route_find() */
	enum route_reason denied; /* with ROUTE_WHY_AUDIT: what it would have been denied for */
	uint32_t service;         /* with ROUTE_WHY_NAME: the first of those behind the verdict */
	bool allow_private;       /* some of the services allow it; or no service has it */
	const uint8_t *key;       /* ROUTE_WHY_NAME: what matched, {length, bytes}; else NULL */
	/* For the functions below. */
	struct policy_list services;
	struct addr client;
	bool endpoints;           /* the addresses are endpoints */
};

/* The name is canonical (name_canon()). */
void lookup_find(const struct policy *p, const char *name, size_t len, const struct addr *client,
		 struct lookup *l);

struct lookup_cursor { uint32_t service, item; }; /* starts as zero */

/* The next address to answer, of either family, each once; false: no more. */
bool lookup_address(const struct policy *p, const struct lookup *l, struct lookup_cursor *at,
		    struct addr *a);

/*
 * The next UDP port that the client may reach at what the name resolves to, and the service whose
 * it is (its `clients` are who may); false: no more. None unless the verdict is LOOKUP_RESOLVE.
 */
bool lookup_udp(const struct policy *p, const struct lookup *l, struct lookup_cursor *at,
		uint32_t *service, uint16_t *port);

#endif
