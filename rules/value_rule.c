/* SPDX-License-Identifier: MIT */
/* Values of what routes say of HTTP. */
#include "rules/value.h"

#include <string.h>

#include "rules/model.h"
#include "rules/name.h"

#define BLANKS " \t"
#define METHOD_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ-"

/* ---- conditions ---- */

bool value_match_path(const struct value *v, void *field)
{
	size_t plain = strcspn(v->text, "*?");

	if (!value_is_item(v) || v->text[0] != '/' || v->text[plain] == '?' ||
	    (v->text[plain] == '*' && v->text[plain + 1] != '\0')) {
		diag_error(v->diag, v->at, "%s: \"%s\" is neither /PATH nor /PREFIX*, without a query",
			   v->key, v->text);
		return false;
	}
	return value_push(v, v->text, field);
}

bool value_method(const struct value *v, void *field)
{
	if (v->text[strspn(v->text, METHOD_LETTERS)] != '\0' || v->len > FORMAT_MAX_STRING) {
		diag_error(v->diag, v->at, "%s: \"%s\" is not a method, such as GET", v->key,
			   v->text);
		return false;
	}
	return value_push(v, v->text, field);
}

/* One line of printable ASCII. */
static bool is_text(const struct value *v)
{
	for (size_t i = 0; i < v->len; i++)
		if (v->text[i] < ' ' || v->text[i] > '~') {
			diag_error(v->diag, v->at, "%s: holds a byte that is not printable ASCII",
				   v->key);
			return false;
		}
	return true;
}

bool value_match_header(const struct value *v, void *field)
{
	struct model_field *f = field;
	size_t len = v->len;

	if (!is_text(v))
		return false;
	f->prefix = v->text[len - 1] == '*';
	len -= f->prefix;
	while (f->prefix && len > 0 && v->text[len - 1] == ' ')
		len--; /* what ends with a blank is not text: the star covers it */
	f->prefix = f->prefix && len > 0;
	f->value = len > 0 ? model_text(v->text, len) : NULL;
	return true;
}

/* ---- changes ---- */

static bool may_change(const struct value *v, const char *name)
{
	if (!policy_is_fixed_field(name))
		return true;
	if (strcmp(name, "host") == 0)
		diag_error(v->diag, v->at, "%s: host is not changed so: write rewrite-authority",
			   v->key);
	else
		diag_error(v->diag, v->at,
			   "%s: %s frames the message or is for one hop: it is not changed", v->key,
			   name);
	return false;
}

bool value_header(const struct value *v, void *field)
{
	struct model_field *f = field;

	if (!is_text(v) || !may_change(v, f->name))
		return false;
	f->value = model_text(v->text, v->len);
	return true;
}

bool value_header_name(const struct value *v, void *field)
{
	char *lower = strdupa(v->text);

	for (char *c = lower; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	if (!policy_is_field(lower) || v->len > FORMAT_MAX_STRING) {
		diag_error(v->diag, v->at, "%s: \"%s\" is not a field's name", v->key, v->text);
		return false;
	}
	return may_change(v, lower) && value_push(v, lower, field);
}

bool value_uri(const struct value *v, void *field)
{
	if (!value_is_item(v) || v->text[0] != '/' || strchr(v->text, '?') != NULL) {
		diag_error(v->diag, v->at, "%s: \"%s\" is not a path: /..., without a query", v->key,
			   v->text);
		return false;
	}
	*(const char **)field = model_text(v->text, v->len);
	return true;
}

/* A host name or address, and perhaps a port, in canonical form. */
bool value_authority(const struct value *v, void *field)
{
	char *host = strdupa(v->text), name[NAME_SIZE], text[ADDR_TEXT],
	     out[NAME_SIZE + ADDR_TEXT + 8];
	char *port = strrchr(host, ':');
	uint64_t n = 0;
	struct addr a;
	bool good = true, bracket = host[0] == '[';
	int len;

	if (port != NULL && (!bracket || (port > host && port[-1] == ']'))) {
		good = value_number(port + 1, strlen(port + 1), UINT16_MAX, &n) && n > 0;
		*port = '\0';
	}
	if (good && bracket && host[strlen(host) - 1] == ']') {
		host[strlen(host) - 1] = '\0';
		good = addr_parse(&a, host + 1, strlen(host + 1)) == 0 && !addr_is_v4(&a);
		if (good)
			snprintf(out, sizeof(out), "[%s]", addr_format(&a, text));
	} else if (good && addr_parse(&a, host, strlen(host)) == 0 && addr_is_v4(&a)) {
		snprintf(out, sizeof(out), "%s", addr_format(&a, text));
	} else {
		len = name_canon(name, host, strlen(host));
		good = good && len >= 0;
		snprintf(out, sizeof(out), "%.*s", good ? len : 0, name);
	}
	if (!good) {
		diag_error(v->diag, v->at, "%s: \"%s\" is not HOST or HOST:PORT", v->key, v->text);
		return false;
	}
	if (n > 0)
		snprintf(out + strlen(out), 8, ":%u", (unsigned)n);
	*(const char **)field = model_text(out, strlen(out));
	return true;
}

/* ---- retries and answers ---- */

/* The bit of a word of POLICY_RETRY_*, or 0. */
static unsigned find_retry(const char *word, struct diag_guess *guess)
{
	for (unsigned bit = 1; bit <= POLICY_RETRY_5XX; bit <<= 1) {
		if (strcmp(word, policy_retry_name(bit)) == 0)
			return bit;
		diag_guess(guess, policy_retry_name(bit));
	}
	return 0;
}

bool value_retry_on(const struct value *v, void *field)
{
	struct model_retry_on *on = field;
	struct diag_guess guess = { .word = v->text };
	unsigned bit = find_retry(v->text, &guess);
	uint64_t status = 0;
	bool twice = (on->bits & bit) != 0;

	if (bit == 0 && (!value_number(v->text, v->len, 599, &status) || status < 100)) {
		diag_error(v->diag, v->at,
			"%s: \"%s\" is neither a status from 100 to 599 nor one of: connect-failure, refused-stream, unavailable, cancelled, reset, gateway-error, 5xx%s",
			v->key, v->text, diag_guess_text(&guess));
		return false;
	}
	for (size_t i = 0; bit == 0 && i < on->statuses.n; i++)
		twice |= on->statuses.v[i].first == status;
	if (twice) {
		diag_error(v->diag, v->at, "%s: \"%s\" is listed twice", v->key, v->text);
		return false;
	}
	on->bits |= bit;
	if (bit == 0)
		*model_push(&on->statuses) =
			(struct model_range){ (uint32_t)status, (uint32_t)status, v->at };
	return true;
}

/* The items of a redirect, each once: a word, and a value of its own. */
bool value_redirect(const struct value *v, void *field)
{
	static const char *const words[] = { "scheme", "authority", "uri", "port", "code" };
	static const uint16_t codes[] = { 301, 302, 303, 307, 308 };
	struct model_redirect *r = field;
	char *text = strdupa(v->text), *end = text + strcspn(text, BLANKS);
	char *rest = end + strspn(end, BLANKS);
	struct value part = *v;
	size_t word = 0;
	uint64_t n = 0;
	bool good = false;

	*end = '\0';
	part.text = rest;
	part.len = strlen(rest);
	while (word < 5 && strcmp(words[word], text) != 0)
		word++;
	if (part.len == 0)
		word = 5;
	if ((word == 0 && r->https) || (word == 1 && r->authority != NULL) ||
	    (word == 2 && r->uri != NULL) || (word == 3 && r->port != 0) ||
	    (word == 4 && r->code != 0)) {
		diag_error(v->diag, v->at, "%s: %s is listed twice", v->key, text);
		return false;
	}
	if (word == 1)
		return value_authority(&part, &r->authority);
	if (word == 2)
		return value_uri(&part, &r->uri);
	if (word == 0) {
		good = r->https = strcmp(rest, "https") == 0;
	} else if (word == 3) {
		good = value_number(rest, part.len, UINT16_MAX, &n) && n > 0;
		r->port = (uint32_t)n;
	} else if (word == 4 && value_number(rest, part.len, 308, &n)) {
		for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
			good |= codes[i] == n;
		r->code = (uint32_t)n;
	}
	if (!good)
		diag_error(v->diag, v->at,
			"%s: \"%s\" is not one of: scheme https, authority HOST, uri /PATH, port N, code 301, 302, 303, 307 or 308",
			v->key, v->text);
	return good;
}

bool value_body(const struct value *v, void *field)
{
	if (!is_text(v))
		return false;
	*(const char **)field = model_text(v->text, v->len);
	return true;
}
