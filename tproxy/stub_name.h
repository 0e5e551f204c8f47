/* SPDX-License-Identifier: MIT */
/* Names that the stub answers by itself, whatever the policy says. Pure. */
#ifndef SLUICE_TPROXY_STUB_NAME_H
#define SLUICE_TPROXY_STUB_NAME_H

#include <stddef.h>

enum stub_name {
	STUB_NAME_ORDINARY = 0,
	STUB_NAME_NONE,     /* does not exist */
	STUB_NAME_LOOPBACK, /* localhost and names below (RFC 6761 6.3) */
};

/*
 * Of a canonical name. Not existing: reverse names, which would carry addresses out, and
 * use-application-dns.net, so that Firefox keeps to the system's resolver.
 */
enum stub_name stub_name(const char *name, size_t len);

#endif
