/* SPDX-License-Identifier: MIT */
/* What someone asks about: a URL, HOST:PORT or ADDRESS:PORT; and who asks. */
#ifndef SLUICE_RULES_ASK_H
#define SLUICE_RULES_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/addr.h"
#include "rules/name.h"
#include "rules/route.h"

enum ask_kind { ASK_TCP = 0, ASK_UDP, ASK_DNS };

struct ask {
	enum ask_kind kind;
	enum route_seen seen; /* ROUTE_SEEN_NOTHING: the scheme was not said */
	char name[NAME_SIZE]; /* canonical; "": an address */
	size_t name_len;
	struct addr addr;     /* when there is no name */
	uint16_t port;
	struct addr client;   /* zero: not said */
	bool client_known;
	uint8_t alpn[255];    /* as in struct route_query; not said: what the service takes */
	size_t alpn_len;
	bool ech;             /* the ClientHello has encrypted_client_hello */
	const char *path;     /* of a URL, without its query; "/" where it has none */
	size_t path_len;
	const char *method;   /* GET, unless it was said */
	char **headers;       /* NAME=VALUE each */
	size_t n_headers;
};

/* "h2,http/1.1", into a->alpn. 0; or -1 with *why set to a phrase. */
int ask_parse_alpn(struct ask *a, const char *text, const char **why);
/* The request that is asked about; what it holds lives as long as a does. */
struct policy_http ask_http(const struct ask *a);
/* 0; or -1 with *why set to a phrase. */
int ask_parse(struct ask *a, const char *text, const char **why);

#endif
