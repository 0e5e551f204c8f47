/* SPDX-License-Identifier: MIT */
/* What someone asks about: a URL, HOST:PORT or ADDRESS:PORT. */
#ifndef SLUICE_RULES_ASK_H
#define SLUICE_RULES_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/addr.h"
#include "rules/name.h"
#include "rules/route.h"

struct ask {
	enum route_seen seen; /* ROUTE_SEEN_NOTHING: the scheme was not said */
	char name[NAME_SIZE]; /* canonical; "": an address */
	size_t name_len;
	struct addr addr;     /* when there is no name */
	uint16_t port;
};

/* 0; or -1 with *why set to a phrase. */
int ask_parse(struct ask *a, const char *text, const char **why);

#endif
