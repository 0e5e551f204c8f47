/* SPDX-License-Identifier: MIT */
/* Reading what routes say of HTTP, of a policy that has been verified. */
#include "rules/http_rule.h"

#include <string.h>

/* NULL: the route says nothing of HTTP. */
static const uint8_t *rule_of(const struct policy *p, uint32_t route)
{
	const uint8_t *r = p->at[FORMAT_ROUTES] + (size_t)route * ROUTE_SIZE;
	uint32_t rule = get_le32(r + ROUTE_RULE);

	return rule != 0 ? p->at[FORMAT_RULES] + (size_t)(rule - 1) * RULE_SIZE : NULL;
}

static struct policy_run run(const uint8_t *r)
{
	return (struct policy_run){get_le32(r), get_le32(r + 4)};
}

static const char *text_at(const struct policy *p, const uint8_t *r)
{
	return get_le32(r) != 0 ? policy_string(p, get_le32(r)) : NULL;
}

/* NULL, and a length of 0, for none. */
static const char *blob_at(const struct policy *p, const uint8_t *r, uint32_t *len)
{
	uint32_t ref = get_le32(r);
	const uint8_t *b = p->at[FORMAT_BLOBS] + ref + 3;

	*len = ref != 0 ? get_le32(b - 4) : 0;
	return ref != 0 ? (const char *)b : NULL;
}

static bool is_conditional(const uint8_t *r)
{
	return (get_le32(r + RULE_PATHS) | get_le32(r + RULE_METHODS) |
		get_le32(r + RULE_MATCHES + 4)) != 0;
}

void policy_route_http(const struct policy *p, uint32_t route, struct policy_route_http *h)
{
	const uint8_t *r = rule_of(p, route);
	const char *uri, *authority, *statuses;
	uint32_t len;

	*h = (struct policy_route_http){.retries = POLICY_RETRIES, .retry_on = POLICY_RETRY_DEFAULT};
	if (r == NULL)
		return;
	h->action = (enum policy_http_action)r[RULE_ACTION];
	h->conditional = is_conditional(r);
	h->timeout = get_le32(r + RULE_TIMEOUT);
	h->per_try = get_le32(r + RULE_PER_TRY);
	h->retries = r[RULE_RETRIES];
	h->retry_on = r[RULE_RETRY_ON];
	statuses = blob_at(p, r + RULE_STATUSES, &len);
	h->retry_statuses = (struct policy_list){(const uint8_t *)statuses, len / 4};
	h->request = run(r + RULE_REQUEST);
	h->response = run(r + RULE_RESPONSE);
	uri = text_at(p, r + RULE_URI);
	authority = text_at(p, r + RULE_AUTHORITY);
	if (h->action == POLICY_HTTP_FORWARD) {
		h->rewrite_uri = uri;
		h->rewrite_authority = authority;
	} else if (h->action == POLICY_HTTP_REDIRECT) {
		h->redirect = (struct policy_redirect){.https = r[RULE_HTTPS] != 0,
						       .authority = authority,
						       .uri = uri,
						       .port = get_le16(r + RULE_PORT),
						       .code = get_le16(r + RULE_CODE)};
	} else {
		h->status = get_le16(r + RULE_CODE);
		h->body = blob_at(p, r + RULE_BODY, &h->body_len);
	}
}

void policy_header_change(const struct policy *p, uint32_t i, struct policy_header_change *c)
{
	const uint8_t *r = p->at[FORMAT_CHANGES] + (size_t)i * CHANGE_SIZE;

	c->change = (enum policy_change)r[CHANGE_KIND];
	c->name = policy_string(p, get_le32(r + CHANGE_NAME));
	c->value = blob_at(p, r + CHANGE_VALUE, &c->value_len);
}

void policy_header_match(const struct policy *p, uint32_t i, struct policy_header_match *m)
{
	const uint8_t *r = p->at[FORMAT_MATCHES] + (size_t)i * MATCH_SIZE;

	m->name = policy_string(p, get_le32(r + MATCH_NAME));
	m->value = blob_at(p, r + MATCH_VALUE, &m->value_len);
	m->prefix = r[MATCH_PREFIX] != 0;
}

void policy_conditions(const struct policy *p, uint32_t route, struct policy_conditions *c)
{
	const uint8_t *r = rule_of(p, route);

	*c = (struct policy_conditions){.paths = policy_list(p, 0), .methods = policy_list(p, 0)};
	if (r == NULL)
		return;
	c->paths = policy_list(p, get_le32(r + RULE_PATHS));
	c->methods = policy_list(p, get_le32(r + RULE_METHODS));
	c->headers = run(r + RULE_MATCHES);
}

/* ---- matching ---- */

/* The bytes of a path that one of the list's matches: the longest such. -1: none does. */
static int64_t match_path(const struct policy *p, struct policy_list paths, const char *path,
			  size_t len)
{
	int64_t best = -1;

	for (uint32_t i = 0; i < paths.n; i++) {
		const char *s = policy_string(p, policy_item(paths, i));
		size_t n = strlen(s);
		bool prefix = s[n - 1] == '*';

		n -= prefix;
		if ((prefix ? n <= len : n == len) && memcmp(s, path, n) == 0 && (int64_t)n > best)
			best = (int64_t)n;
	}
	return best;
}

static bool match_method(const struct policy *p, struct policy_list methods,
			 const struct policy_http *http)
{
	for (uint32_t i = 0; i < methods.n; i++) {
		const char *s = policy_string(p, policy_item(methods, i));

		if (strlen(s) == http->method_len && memcmp(s, http->method, http->method_len) == 0)
			return true;
	}
	return methods.n == 0;
}

/* Compares the lines' values, joined by commas, piece by piece. */
static bool match_header(const struct policy_header_match *m, const struct policy_http *http)
{
	uint32_t left = m->value_len;
	const char *wanted = m->value, *s;
	size_t len;

	for (uint32_t n = 0; (s = http->header(http->user, m->name, n, &len)) != NULL; n++) {
		if (wanted == NULL || (m->prefix && left == 0))
			return true;
		if (n > 0) {
			if (left == 0 || *wanted != ',')
				return false;
			wanted++;
			left--;
		}
		if (len > left && !m->prefix)
			return false;
		len = len < left ? len : left;
		if (memcmp(wanted, s, len) != 0)
			return false;
		wanted += len;
		left -= (uint32_t)len;
	}
	return wanted != m->value && left == 0;
}

bool policy_route_meets(const struct policy *p, uint32_t route, const struct policy_http *http)
{
	const uint8_t *r = rule_of(p, route);
	struct policy_conditions c;

	if (r == NULL)
		return true;
	if (http == NULL)
		return !is_conditional(r) && r[RULE_ACTION] == POLICY_HTTP_FORWARD;
	policy_conditions(p, route, &c);
	if (c.paths.n > 0 && http->by_path != NULL)
		*http->by_path = true;
	if ((c.paths.n > 0 && match_path(p, c.paths, http->path, http->path_len) < 0) ||
	    !match_method(p, c.methods, http))
		return false;
	for (uint32_t i = 0; i < c.headers.n; i++) {
		struct policy_header_match m;

		policy_header_match(p, c.headers.first + i, &m);
		if (!match_header(&m, http))
			return false;
	}
	return true;
}

size_t policy_route_rewrites(const struct policy *p, uint32_t route, const char *path, size_t len)
{
	struct policy_conditions c;
	int64_t n;

	policy_conditions(p, route, &c);
	n = match_path(p, c.paths, path, len);
	return n >= 0 ? (size_t)n : len > 0;
}

/* ---- fields ---- */

bool policy_is_field(const char *name)
{
	return name[0] != '\0' &&
	       name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789!$%&'*+-.^_`|~")] == '\0';
}

bool policy_is_fixed_field(const char *name)
{
	static const char fixed[] = "connection\0content-length\0expect\0host\0http2-settings\0"
				    "keep-alive\0proxy-authenticate\0proxy-authorization\0"
				    "proxy-connection\0te\0trailer\0transfer-encoding\0upgrade\0";

	for (const char *s = fixed; *s != '\0'; s += strlen(s) + 1)
		if (strcmp(s, name) == 0)
			return true;
	return false;
}

const char *policy_retry_name(uint32_t bit)
{
	static const char *const names[] = {"connect-failure", "refused-stream", "unavailable",
					    "cancelled",       "reset",          "gateway-error",
					    "5xx"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (bit == 1u << i)
			return names[i];
	return "";
}
