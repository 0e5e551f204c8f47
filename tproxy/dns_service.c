/* SPDX-License-Identifier: MIT */
/* Rewrites service binding records. */
#include "tproxy/dns_service.h"

#include <string.h>

#include "rules/name.h"

#define ALPN_MAX 128 /* bytes of a list of protocols */

enum { KEY_MANDATORY = 0, KEY_ALPN = 1, KEY_NO_DEFAULT_ALPN = 2, KEY_PORT = 3 };

struct keys { ares_dns_rr_key_t priority, target, params; };

static struct keys keys_of(const ares_dns_rr_t *rr)
{
	if (ares_dns_rr_get_type(rr) == ARES_REC_TYPE_SVCB)
		return (struct keys){ ARES_RR_SVCB_PRIORITY, ARES_RR_SVCB_TARGET,
			              ARES_RR_SVCB_PARAMS };
	return (struct keys){ ARES_RR_HTTPS_PRIORITY, ARES_RR_HTTPS_TARGET, ARES_RR_HTTPS_PARAMS };
}

/* Length-prefixed protocol names, none empty. */
static bool alpn_valid(const uint8_t *v, size_t len)
{
	size_t at = 0;

	if (!len || len > ALPN_MAX)
		return false;
	while (at < len) {
		if (!v[at] || v[at] > len - at - 1)
			return false;
		at += v[at] + 1u;
	}
	return true;
}

/* Which of the keys that we keep, in ascending order. */
static bool mandatory_valid(const uint8_t *v, size_t len)
{
	if (!len || len % 2 || len > 6)
		return false;
	for (size_t at = 0; at < len; at += 2)
		if (v[at] || v[at + 1] < KEY_ALPN || v[at + 1] > KEY_PORT ||
		    (at && v[at + 1] <= v[at - 1]))
			return false;
	return true;
}

/* 1: kept; 0: left out; -1: the record is of no use. */
static int judge(unsigned key, const uint8_t *v, size_t len)
{
	switch (key) {
	case KEY_MANDATORY: return mandatory_valid(v, len) ? 1 : -1;
	case KEY_ALPN: return alpn_valid(v, len) ? 1 : -1;
	case KEY_NO_DEFAULT_ALPN: return len == 0 ? 1 : -1;
	case KEY_PORT: return len == 2 ? 1 : -1;
	default: return 0;
	}
}

static size_t put_param(uint8_t *out, unsigned key, const uint8_t *v, size_t len)
{
	out[0] = 0;
	out[1] = (uint8_t)key;
	out[2] = 0;
	out[3] = (uint8_t)len;
	if (len)
		memcpy(out + 4, v, len);
	return 4 + len;
}

/* The parameters, each once and in order. 0 and above: bytes; -1: not to be believed. */
static int put_params(const ares_dns_rr_t *rr, ares_dns_rr_key_t params, uint8_t *out)
{
	size_t used = 0, n = ares_dns_rr_get_opt_cnt(rr, params);
	int last = -1;

	for (size_t i = 0; i < n; i++) {
		const unsigned char *v = NULL;
		size_t len = 0;
		unsigned key = ares_dns_rr_get_opt(rr, params, i, &v, &len);
		if ((int)key <= last)
			return -1;
		last = (int)key;
		int keep = judge(key, v, len);
		if (keep < 0)
			return -1;
		if (keep)
			used += put_param(out + used, key, v, len);
	}
	return (int)used;
}

/* A canonical name as labels, uncompressed (RFC 9460 2.2). */
static size_t put_name(uint8_t *out, const char *name, size_t len)
{
	uint8_t *count = out;
	size_t used = 1;

	for (size_t i = 0; i < len; i++, used++) {
		if (name[i] == '.') {
			*count = (uint8_t)(out + used - count - 1);
			count = out + used;
		} else {
			out[used] = (uint8_t)name[i];
		}
	}
	*count = (uint8_t)(out + used - count - 1);
	out[used++] = 0;
	return used;
}

/* Bytes of the target, or 0. The name itself is written as "." where there are parameters. */
static size_t put_target(uint8_t *out, const char *target, bool alias, const char *name,
                         bool (*registered)(void *ctx, const char *name, size_t len), void *ctx)
{
	char canonical[NAME_SIZE];
	bool self = !*target || strcmp(target, ".") == 0;
	int len = self ? 0 : name_canon(canonical, target, strlen(target));

	if (len < 0)
		return 0;
	self = self || strcmp(canonical, name) == 0;
	if (self) {
		*out = 0;
		return !alias;
	}
	return registered(ctx, canonical, (size_t)len) ? put_name(out, canonical, (size_t)len) : 0;
}

size_t dns_service_write(const ares_dns_rr_t *rr, const char *name,
                         bool (*registered)(void *ctx, const char *name, size_t len), void *ctx,
                         uint8_t out[static DNS_SERVICE_MAX])
{
	struct keys k = keys_of(rr);
	uint16_t priority = ares_dns_rr_get_u16(rr, k.priority);
	const char *target = ares_dns_rr_get_str(rr, k.target);

	if (!target)
		return 0;
	out[0] = (uint8_t)(priority >> 8);
	out[1] = (uint8_t)priority;
	size_t n = put_target(out + 2, target, priority == 0, name, registered, ctx);
	if (!n)
		return 0;
	/* An alias has no parameters (RFC 9460 2.4.2). */
	int params = priority ? put_params(rr, k.params, out + 2 + n) : 0;
	return params < 0 ? 0 : 2 + n + (size_t)params;
}
