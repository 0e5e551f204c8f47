/* SPDX-License-Identifier: MIT */
/* What a route says of HTTP, as source again. */
#include "rules/show.h"

#include <string.h>

#include "rules/gateway.h"

static void show_field(struct show *s, const char *key, const char *name, const char *value,
		       uint32_t len, const char *end)
{
	char word[SHOW_ITEM];

	snprintf(word, sizeof(word), "%s %s", key, name);
	show_key(s, word);
	fprintf(s->out, " %.*s%s\n", (int)len, value, end);
}

static void show_conditions(struct show *s, uint32_t route)
{
	struct policy_conditions c;

	policy_conditions(s->p, route, &c);
	show_strings(s, "path", c.paths);
	show_strings(s, "method", c.methods);
	for (uint32_t i = 0; i < c.headers.n; i++) {
		struct policy_header_match m;

		policy_header_match(s->p, c.headers.first + i, &m);
		show_field(s, "header", m.name, m.value != NULL ? m.value : "", m.value_len,
			   m.value == NULL || m.prefix ? "*" : "");
	}
}

static void show_changes(struct show *s, const char *word, struct policy_run run)
{
	static const char *const kinds[] = {"remove", "set", "add"};
	struct policy_header_change c;
	char key[32];
	uint32_t i = 0;

	for (; i < run.n; i++) {
		policy_header_change(s->p, run.first + i, &c);
		if (c.change != POLICY_REMOVE)
			break;
		snprintf(key, sizeof(key), "%s-remove", word);
		if (i == 0)
			show_key(s, key);
		show_item(s, c.name);
	}
	if (i > 0)
		show_end(s);
	for (; i < run.n; i++) {
		policy_header_change(s->p, run.first + i, &c);
		snprintf(key, sizeof(key), "%s-%s", word, kinds[c.change]);
		show_field(s, key, c.name, c.value, c.value_len, "");
	}
}

static void show_retries(struct show *s, const struct policy_route_http *h)
{
	char item[8];

	if (h->timeout != 0)
		show_duration(s, "timeout", h->timeout);
	if (h->retries != POLICY_RETRIES)
		show_number(s, "retries", h->retries);
	if (h->per_try != 0)
		show_duration(s, "per-try-timeout", h->per_try);
	if (h->retries == 0 || (h->retry_on == POLICY_RETRY_DEFAULT && h->retry_statuses.n == 0))
		return;
	show_key(s, "retry-on");
	for (uint32_t bit = 1; bit <= POLICY_RETRY_5XX; bit <<= 1)
		if ((h->retry_on & bit) != 0)
			show_item(s, policy_retry_name(bit));
	for (uint32_t i = 0; i < h->retry_statuses.n; i++) {
		snprintf(item, sizeof(item), "%u", policy_item(h->retry_statuses, i));
		show_item(s, item);
	}
	show_end(s);
}

static void show_redirect(struct show *s, const struct policy_redirect *r)
{
	char item[SHOW_ITEM];

	show_key(s, "redirect");
	if (r->https)
		show_item(s, "scheme https");
	if (r->authority != NULL) {
		snprintf(item, sizeof(item), "authority %s", r->authority);
		show_item(s, item);
	}
	if (r->uri != NULL) {
		snprintf(item, sizeof(item), "uri %s", r->uri);
		show_item(s, item);
	}
	if (r->port != 0) {
		snprintf(item, sizeof(item), "port %u", r->port);
		show_item(s, item);
	}
	snprintf(item, sizeof(item), "code %u", r->code);
	show_item(s, item);
	show_end(s);
}

void show_rule(struct show *s, uint32_t route)
{
	struct policy_route_http h;

	policy_route_http(s->p, route, &h);
	show_conditions(s, route);
	if (h.action == POLICY_HTTP_REDIRECT) {
		show_redirect(s, &h.redirect);
	} else if (h.action == POLICY_HTTP_DIRECT) {
		show_number(s, "direct-response", h.status);
		if (h.body != NULL) {
			show_key(s, "direct-response-body");
			fprintf(s->out, " %.*s\n", (int)h.body_len, h.body);
		}
	} else {
		show_retries(s, &h);
		if (h.rewrite_uri != NULL)
			show_word(s, "rewrite-uri", h.rewrite_uri);
		if (h.rewrite_authority != NULL)
			show_word(s, "rewrite-authority", h.rewrite_authority);
	}
	show_changes(s, "request", h.request);
	show_changes(s, "response", h.response);
}
