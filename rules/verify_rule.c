/* SPDX-License-Identifier: MIT */
/* The check of RULES, MATCHES and CHANGES. */
#include "rules/verify.h"

#include <string.h>

#include "rules/http_rule.h"

#define RETRIES_MAX 100

static bool fail(struct verify *v, uint32_t i, const char *text)
{
	return verify_fail(v, FORMAT_RULES, i, text);
}

/* ---- what it is for ---- */

/* Whether a list's strings are paths: of a slash and what follows, perhaps a star at the end. */
static bool are_paths(const struct policy *p, struct policy_list l)
{
	for (uint32_t k = 0; k < l.n; k++) {
		const char *s = policy_string(p, policy_item(l, k));
		size_t plain = strcspn(s, "*?");

		if (s[0] != '/' || s[plain] == '?' || (s[plain] == '*' && s[plain + 1] != '\0'))
			return false;
	}
	return true;
}

static bool are_methods(const struct policy *p, struct policy_list l)
{
	for (uint32_t k = 0; k < l.n; k++) {
		const char *s = policy_string(p, policy_item(l, k));

		if (s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-")] != '\0')
			return false;
	}
	return true;
}

/* A field's name. */
static bool check_field(struct verify *v, uint32_t ref, enum format_section section, uint32_t i)
{
	return verify_string(v, ref, VERIFY_STRING_ITEM, section, i) &&
	       (policy_is_field(policy_string(v->p, ref)) ||
		verify_fail(v, section, i, "is not of a field"));
}

static bool check_matches(struct verify *v, const uint8_t *r)
{
	struct policy_run run;

	if (!verify_run(v, FORMAT_MATCHES, r, &run))
		return false;
	for (uint32_t i = run.first; i < run.first + run.n; i++) {
		const uint8_t *m = v->p->at[FORMAT_MATCHES] + (size_t)i * MATCH_SIZE;
		uint32_t value = get_le32(m + MATCH_VALUE);

		if (m[MATCH_PREFIX] > (value != 0) ||
		    !verify_zero(m + MATCH_ZERO, MATCH_SIZE - MATCH_ZERO) ||
		    (i > run.first &&
		     get_le32(m - MATCH_SIZE + MATCH_NAME) >= get_le32(m + MATCH_NAME)))
			return verify_fail(v, FORMAT_MATCHES, i, "not a condition, or out of order");
		if (!check_field(v, get_le32(m + MATCH_NAME), FORMAT_MATCHES, i) ||
		    (value != 0 && !verify_text(v, value, FORMAT_MATCHES, i)))
			return false;
	}
	return true;
}

/* ---- what becomes of it ---- */

static uint64_t change_order(const uint8_t *c)
{
	return (uint64_t)c[CHANGE_KIND] << 32 | get_le32(c + CHANGE_NAME);
}

static bool check_changes(struct verify *v, const uint8_t *r)
{
	struct policy_run run;

	if (!verify_run(v, FORMAT_CHANGES, r, &run))
		return false;
	for (uint32_t i = run.first; i < run.first + run.n; i++) {
		const uint8_t *c = v->p->at[FORMAT_CHANGES] + (size_t)i * CHANGE_SIZE;
		uint32_t name = get_le32(c + CHANGE_NAME), value = get_le32(c + CHANGE_VALUE);

		if (c[CHANGE_KIND] > POLICY_ADD || (value == 0) != (c[CHANGE_KIND] == POLICY_REMOVE) ||
		    !verify_zero(c + CHANGE_ZERO, CHANGE_SIZE - CHANGE_ZERO) ||
		    (i > run.first && change_order(c - CHANGE_SIZE) >= change_order(c)))
			return verify_fail(v, FORMAT_CHANGES, i, "not a change, or out of order");
		if (!check_field(v, name, FORMAT_CHANGES, i) ||
		    (value != 0 && !verify_text(v, value, FORMAT_CHANGES, i)))
			return false;
		if (policy_is_fixed_field(policy_string(v->p, name)))
			return verify_fail(v, FORMAT_CHANGES, i, "is of a field that stays");
	}
	return true;
}

static bool check_statuses(struct verify *v, uint32_t ref, uint32_t i)
{
	const uint8_t *b;
	uint32_t len, before = 99;

	if (ref == 0)
		return true;
	if (!verify_blob(v, ref, FORMAT_RULES, i, &b, &len))
		return false;
	for (uint32_t at = 0; at < len; at += 4) {
		if (len - at < 4 || get_le32(b + at) <= before || get_le32(b + at) > 599)
			return fail(v, i, "points at what are not statuses");
		before = get_le32(b + at);
	}
	return true;
}

static bool check_retries(struct verify *v, const uint8_t *r, uint32_t i)
{
	uint32_t per_try = get_le32(r + RULE_PER_TRY), statuses = get_le32(r + RULE_STATUSES);
	bool why = (r[RULE_RETRY_ON] | statuses) != 0;

	if (get_le32(r + RULE_TIMEOUT) > FORMAT_MAX_TIME || per_try > FORMAT_MAX_TIME ||
	    r[RULE_RETRIES] > RETRIES_MAX || (r[RULE_RETRY_ON] & ~POLICY_RETRY_KNOWN) != 0 ||
	    (r[RULE_RETRIES] == 0 ? why || per_try != 0 : !why))
		return fail(v, i, "has retries that are none");
	return check_statuses(v, statuses, i);
}

/* Text of a URI's path, or of an authority: nothing that would end it. */
static bool check_texts(struct verify *v, const uint8_t *r, uint32_t i)
{
	uint32_t uri = get_le32(r + RULE_URI), authority = get_le32(r + RULE_AUTHORITY);
	const char *s;

	if ((uri != 0 && !verify_string(v, uri, VERIFY_STRING_ITEM, FORMAT_RULES, i)) ||
	    (authority != 0 && !verify_string(v, authority, VERIFY_STRING_ITEM, FORMAT_RULES, i)))
		return false;
	s = policy_string(v->p, uri);
	if (uri != 0 && (s[0] != '/' || strchr(s, '?') != NULL))
		return fail(v, i, "has another URI than a path");
	s = policy_string(v->p, authority);
	return s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.:[]")] == '\0' ||
	       fail(v, i, "has another authority than a host and port");
}

static bool is_redirect(const uint8_t *r)
{
	static const uint16_t codes[] = {301, 302, 303, 307, 308};
	bool known = false;

	for (size_t k = 0; k < sizeof(codes) / sizeof(codes[0]); k++)
		known |= codes[k] == get_le16(r + RULE_CODE);
	return known && get_le32(r + RULE_BODY) == 0 &&
	       (get_le32(r + RULE_URI) | get_le32(r + RULE_AUTHORITY) | get_le16(r + RULE_PORT) |
		r[RULE_HTTPS]) != 0;
}

static bool is_direct(const uint8_t *r)
{
	uint16_t code = get_le16(r + RULE_CODE);

	return code >= 200 && code <= 599 &&
	       (get_le32(r + RULE_BODY) == 0 || (code != 204 && code != 205 && code != 304)) &&
	       (get_le32(r + RULE_URI) | get_le32(r + RULE_AUTHORITY) | get_le16(r + RULE_PORT) |
		r[RULE_HTTPS]) == 0;
}

static bool check_action(struct verify *v, const uint8_t *r, uint32_t i)
{
	bool plain = (get_le32(r + RULE_TIMEOUT) | get_le32(r + RULE_PER_TRY) |
		      get_le32(r + RULE_STATUSES) | get_le32(r + RULE_REQUEST + 4)) == 0 &&
		     r[RULE_RETRIES] == POLICY_RETRIES && r[RULE_RETRY_ON] == POLICY_RETRY_DEFAULT;
	bool good = false, says = (get_le32(r + RULE_PATHS) | get_le32(r + RULE_METHODS) |
				   get_le32(r + RULE_MATCHES + 4) | get_le32(r + RULE_RESPONSE + 4) |
				   get_le32(r + RULE_URI) | get_le32(r + RULE_AUTHORITY)) != 0;

	if (r[RULE_ACTION] == POLICY_HTTP_FORWARD)
		good = (says || !plain) && (get_le32(r + RULE_BODY) | get_le16(r + RULE_CODE) |
					    get_le16(r + RULE_PORT) | r[RULE_HTTPS]) == 0;
	else if (r[RULE_ACTION] == POLICY_HTTP_REDIRECT)
		good = plain && r[RULE_HTTPS] <= 1 && is_redirect(r);
	else if (r[RULE_ACTION] == POLICY_HTTP_DIRECT)
		good = plain && is_direct(r);
	return good || fail(v, i, "says nothing, or what does not go together");
}

bool verify_rule(struct verify *v, uint32_t ref, uint32_t route, bool *answers)
{
	uint32_t i = ref - 1, body;
	const uint8_t *r;

	*answers = false;
	if (ref == 0)
		return true;
	if (i != v->taken[FORMAT_RULES] || i >= v->p->n[FORMAT_RULES])
		return verify_fail(v, FORMAT_ROUTES, route, "has not the next rule");
	v->taken[FORMAT_RULES]++;
	r = v->p->at[FORMAT_RULES] + (size_t)i * RULE_SIZE;
	*answers = r[RULE_ACTION] != POLICY_HTTP_FORWARD;
	body = get_le32(r + RULE_BODY);
	if (!check_action(v, r, i) ||
	    !verify_list(v, get_le32(r + RULE_PATHS), VERIFY_LIST_ITEMS, FORMAT_RULES, i) ||
	    !verify_list(v, get_le32(r + RULE_METHODS), VERIFY_LIST_ITEMS, FORMAT_RULES, i))
		return false;
	if (!are_paths(v->p, policy_list(v->p, get_le32(r + RULE_PATHS))) ||
	    !are_methods(v->p, policy_list(v->p, get_le32(r + RULE_METHODS))))
		return fail(v, i, "is for what is not a path, or not a method");
	return check_matches(v, r + RULE_MATCHES) && check_changes(v, r + RULE_REQUEST) &&
	       check_changes(v, r + RULE_RESPONSE) && check_retries(v, r, i) &&
	       check_texts(v, r, i) && (body == 0 || verify_text(v, body, FORMAT_RULES, i));
}
