/* SPDX-License-Identifier: MIT */
/* The check of BLOBS, TRAFFIC and TLS. */
#include "rules/verify.h"

#include <string.h>

#include "rules/traffic.h"

static const uint8_t *record(const struct verify *v, enum format_section section, uint32_t i,
			     size_t size)
{
	return v->p->at[section] + (size_t)i * size;
}

/* ---- blobs ---- */

static bool check_blobs(struct verify *v)
{
	const uint8_t *start = v->p->at[FORMAT_BLOBS], *before = NULL;
	uint32_t bytes = verify_bytes(v, FORMAT_BLOBS), n = 0, len_before = 0;

	for (uint32_t at = 0; at < bytes; n++) {
		const uint8_t *b = start + at + 4;
		uint32_t len = bytes - at < 5 ? 0 : get_le32(start + at);

		if (len == 0 || len > FORMAT_MAX_BLOB || len > bytes - at - 5 || b[len] != 0)
			return verify_fail(v, FORMAT_BLOBS, n, "not a blob");
		if (len < len_before || (len == len_before && memcmp(before, b, len) >= 0))
			return verify_fail(v, FORMAT_BLOBS, n, "out of order");
		v->blob_flags[at] = VERIFY_BLOB_START;
		before = b;
		len_before = len;
		at += len + 5;
	}
	return n == v->p->n[FORMAT_BLOBS] ||
	       verify_fail(v, FORMAT_BLOBS, n, "the section has another number of blobs");
}

bool verify_blob(struct verify *v, uint32_t ref, enum format_section section, uint32_t i,
		 const uint8_t **bytes, uint32_t *len)
{
	uint32_t at = ref - 1;

	if (at >= verify_bytes(v, FORMAT_BLOBS) || v->blob_flags[at] == 0)
		return verify_fail(v, section, i, "points at no blob");
	if (v->blob_flags[at] == VERIFY_BLOB_START)
		v->taken[FORMAT_BLOBS]++;
	v->blob_flags[at] |= VERIFY_BLOB_USED;
	*bytes = v->p->at[FORMAT_BLOBS] + at + 4;
	*len = get_le32(*bytes - 4);
	return true;
}

bool verify_text(struct verify *v, uint32_t ref, enum format_section section, uint32_t i)
{
	const uint8_t *b;
	uint32_t len;
	bool good;

	if (!verify_blob(v, ref, section, i, &b, &len))
		return false;
	good = len <= FORMAT_MAX_BODY && b[0] != ' ' && b[len - 1] != ' ';
	for (uint32_t k = 0; k < len; k++)
		good = good && b[k] >= ' ' && b[k] <= '~';
	return good || verify_fail(v, section, i, "points at what is not a line of text");
}

/* ---- how connections are made ---- */

enum { ALWAYS, OUTLIERS, HEALTH };
static const struct { uint8_t at, when; uint32_t least, most; } numbers[] = {
	{TRAFFIC_CONNECT, ALWAYS, 1, FORMAT_MAX_TIME},
	{TRAFFIC_IDLE, ALWAYS, 1, FORMAT_MAX_TIME},
	{TRAFFIC_KEEPALIVE, ALWAYS, 0, 32767},
	{TRAFFIC_CONNECTIONS, ALWAYS, 0, FORMAT_MAX_NUMBER},
	{TRAFFIC_REQUESTS, ALWAYS, 0, FORMAT_MAX_NUMBER},
	{TRAFFIC_5XX, OUTLIERS, 0, FORMAT_MAX_NUMBER},
	{TRAFFIC_GATEWAY, OUTLIERS, 0, FORMAT_MAX_NUMBER},
	{TRAFFIC_LOCAL, OUTLIERS, 0, FORMAT_MAX_NUMBER},
	{TRAFFIC_INTERVAL, OUTLIERS, 1, FORMAT_MAX_TIME},
	{TRAFFIC_EJECTION, OUTLIERS, 1, FORMAT_MAX_TIME},
	{TRAFFIC_MAX_EJECTION, OUTLIERS, 0, 100},
	{TRAFFIC_MIN_HEALTH, OUTLIERS, 0, 100},
	{TRAFFIC_HEALTH_INTERVAL, HEALTH, 1, FORMAT_MAX_TIME},
	{TRAFFIC_HEALTH_TIMEOUT, HEALTH, 1, FORMAT_MAX_TIME},
	{TRAFFIC_UNHEALTHY, HEALTH, 1, FORMAT_MAX_NUMBER},
	{TRAFFIC_HEALTHY, HEALTH, 1, FORMAT_MAX_NUMBER},
};

static bool is_default(const uint8_t *r)
{
	return get_le32(r + TRAFFIC_CONNECT) == POLICY_CONNECT_TIMEOUT &&
	       get_le32(r + TRAFFIC_IDLE) == POLICY_IDLE_TIMEOUT &&
	       verify_zero(r + TRAFFIC_KEEPALIVE, TRAFFIC_SIZE - TRAFFIC_KEEPALIVE);
}

static bool check_traffic(struct verify *v, uint32_t i)
{
	const uint8_t *r = record(v, FORMAT_TRAFFIC, i, TRAFFIC_SIZE);
	uint32_t path = get_le32(r + TRAFFIC_HEALTH_PATH);
	bool when[] = {[ALWAYS] = true, [OUTLIERS] = get_le32(r + TRAFFIC_INTERVAL) != 0,
		       [HEALTH] = r[TRAFFIC_HEALTH] != POLICY_HEALTH_NONE};

	for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]); k++) {
		uint32_t n = get_le32(r + numbers[k].at);

		if (when[numbers[k].when] ? n < numbers[k].least || n > numbers[k].most : n != 0)
			return verify_fail(v, FORMAT_TRAFFIC, i, "a number is out of bounds");
	}
	if (r[TRAFFIC_HEALTH] > POLICY_HEALTH_HTTP || r[TRAFFIC_BALANCE] > POLICY_CONSISTENT_HASH ||
	    !verify_zero(r + TRAFFIC_ZERO, TRAFFIC_SIZE - TRAFFIC_ZERO) || is_default(r) ||
	    get_le32(r + TRAFFIC_HEALTH_TIMEOUT) > get_le32(r + TRAFFIC_HEALTH_INTERVAL) ||
	    (path != 0) != (r[TRAFFIC_HEALTH] == POLICY_HEALTH_HTTP))
		return verify_fail(v, FORMAT_TRAFFIC, i, "holds an unknown value");
	if (path != 0 && (!verify_string(v, path, VERIFY_STRING_ITEM, FORMAT_TRAFFIC, i) ||
			  policy_string(v->p, path)[0] != '/'))
		return verify_fail(v, FORMAT_TRAFFIC, i, "has no path to check");
	return true;
}

/* ---- TLS ---- */

/* What a role needs and may have of the first three. */
static const struct { uint8_t needs, takes; } roles[] = {
	[TLS_ROLE_CLIENT] = {TLS_FLAG_CA, TLS_FLAG_CA},
	[TLS_ROLE_MUTUAL] = {7, 7},
	[TLS_ROLE_SERVER] = {TLS_FLAG_CERTIFICATE | TLS_FLAG_PRIVATE_KEY, 7},
};

static bool check_pem(struct verify *v, uint32_t ref, bool blob, uint32_t i)
{
	const uint8_t *b;
	uint32_t len;

	if (blob)
		return verify_blob(v, ref + 1, FORMAT_TLS, i, &b, &len);
	return ref == 0 || (verify_string(v, ref, VERIFY_STRING_ITEM, FORMAT_TLS, i) &&
			    (policy_string(v->p, ref)[0] == '/' ||
			     verify_fail(v, FORMAT_TLS, i, "names no absolute path")));
}

static bool check_pins(struct verify *v, uint32_t ref, uint32_t i)
{
	const uint8_t *b;
	uint32_t len;

	if (ref == 0)
		return true;
	if (!verify_blob(v, ref, FORMAT_TLS, i, &b, &len))
		return false;
	if (len % POLICY_PIN_SIZE != 0)
		return verify_fail(v, FORMAT_TLS, i, "points at what are not pins");
	for (uint32_t at = POLICY_PIN_SIZE; at < len; at += POLICY_PIN_SIZE)
		if (memcmp(b + at - POLICY_PIN_SIZE, b + at, POLICY_PIN_SIZE) >= 0)
			return verify_fail(v, FORMAT_TLS, i, "has pins that are out of order");
	return true;
}

static bool check_tls(struct verify *v, uint32_t i)
{
	const uint8_t *r = record(v, FORMAT_TLS, i, TLS_SIZE);
	uint8_t flags = r[TLS_FLAGS], said = 0;

	if (r[TLS_ROLE] > TLS_ROLE_SERVER || (flags & ~TLS_FLAGS_KNOWN) != 0 ||
	    !verify_zero(r + TLS_ZERO, TLS_SIZE - TLS_ZERO))
		return verify_fail(v, FORMAT_TLS, i, "holds an unknown value");
	for (unsigned k = 0; k < 3; k++) {
		uint32_t ref = get_le32(r + TLS_CA + 4 * k);
		bool blob = (flags >> k & 1) != 0;

		if (!check_pem(v, ref, blob, i))
			return false;
		said |= (uint8_t)((blob || ref != 0) << k);
	}
	if ((said & roles[r[TLS_ROLE]].needs) != roles[r[TLS_ROLE]].needs ||
	    (said & ~roles[r[TLS_ROLE]].takes) != 0 ||
	    (r[TLS_ROLE] == TLS_ROLE_SERVER &&
	     (get_le32(r + TLS_SNI) != 0 || get_le32(r + TLS_PINS) != 0)) ||
	    ((said & TLS_FLAG_CA) == 0 && get_le32(r + TLS_ALT_NAMES) != 0))
		return verify_fail(v, FORMAT_TLS, i, "has other keys than it needs");
	return (get_le32(r + TLS_SNI) == 0 || verify_string(v, get_le32(r + TLS_SNI),
							    VERIFY_STRING_HOST, FORMAT_TLS, i)) &&
	       verify_list(v, get_le32(r + TLS_ALT_NAMES), VERIFY_LIST_ITEMS, FORMAT_TLS, i) &&
	       check_pins(v, get_le32(r + TLS_PINS), i);
}

/* ---- both ---- */

static bool check_shared(struct verify *v, enum format_section section, size_t size,
			 bool (*check)(struct verify *v, uint32_t i))
{
	for (uint32_t i = 0; i < v->p->n[section]; i++) {
		const uint8_t *r = record(v, section, i, size);

		if (i > 0 && memcmp(r - size, r, size) >= 0)
			return verify_fail(v, section, i, "out of order");
		if (!check(v, i))
			return false;
	}
	return true;
}

bool verify_uses_traffic(struct verify *v, uint32_t ref, enum format_section section, uint32_t i)
{
	if (ref > v->p->n[FORMAT_TRAFFIC])
		return verify_fail(v, section, i, "points at no record of TRAFFIC");
	if (ref > 0)
		v->traffic_used[ref - 1] = 1;
	return true;
}

bool verify_uses_tls(struct verify *v, uint32_t ref, unsigned role, enum format_section section,
		     uint32_t i)
{
	if (ref == 0)
		return true;
	if (ref > v->p->n[FORMAT_TLS] ||
	    (role >> record(v, FORMAT_TLS, ref - 1, TLS_SIZE)[TLS_ROLE] & 1) == 0)
		return verify_fail(v, section, i, "points at no such record of TLS");
	v->tls_used[ref - 1] = 1;
	return true;
}

bool verify_traffic(struct verify *v)
{
	if (!check_blobs(v) || !check_shared(v, FORMAT_TRAFFIC, TRAFFIC_SIZE, check_traffic) ||
	    !check_shared(v, FORMAT_TLS, TLS_SIZE, check_tls))
		return false;
	for (uint32_t i = 0; i < v->p->n[FORMAT_SERVICES]; i++) {
		const uint8_t *r = record(v, FORMAT_SERVICES, i, SERVICE_SIZE);

		if (!verify_uses_traffic(v, get_le32(r + SERVICE_TRAFFIC), FORMAT_SERVICES, i) ||
		    !verify_uses_tls(v, get_le32(r + SERVICE_TLS),
				     1 << TLS_ROLE_CLIENT | 1 << TLS_ROLE_MUTUAL, FORMAT_SERVICES,
				     i))
			return false;
	}
	return true;
}

bool verify_traffic_used(struct verify *v)
{
	const uint8_t *used = v->traffic_used;
	uint32_t n = v->p->n[FORMAT_TRAFFIC];

	/* Those of TLS follow. */
	for (uint32_t i = 0; i < n + v->p->n[FORMAT_TLS]; i++)
		if (used[i] == 0)
			return verify_fail(v, i < n ? FORMAT_TRAFFIC : FORMAT_TLS,
					   i < n ? i : i - n, "is used by nothing");
	return true;
}
