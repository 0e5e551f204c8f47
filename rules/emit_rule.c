/* SPDX-License-Identifier: MIT */
/* RULES, MATCHES and CHANGES: what routes say of HTTP. */
#include "rules/emit.h"

#include <stdlib.h>
#include <string.h>

static uint32_t text_ref(const struct emit *w, const char *s)
{
	return s != NULL ? pool_string(&w->strings, s) : 0;
}

static uint32_t blob_ref(const struct emit *w, const char *s)
{
	return s != NULL ? pool_blob(&w->blobs, s, strlen(s)) : 0;
}

/* ---- strings and blobs ---- */

static void add_text(struct emit *w, const char *s)
{
	if (s != NULL)
		pool_add_string(&w->strings, s);
}

static void add_blob(struct emit *w, const char *s)
{
	if (s != NULL)
		pool_add_blob(&w->blobs, s, strlen(s));
}

static void collect_fields(struct emit *w, const struct model_fields *list)
{
	for (size_t i = 0; i < list->n; i++) {
		add_text(w, list->v[i].name);
		add_blob(w, list->v[i].value);
	}
}

static void collect_changes(struct emit *w, const struct model_changes *c)
{
	emit_add_strings(w, &c->remove);
	collect_fields(w, &c->set);
	collect_fields(w, &c->add);
}

static int compare_statuses(const void *a, const void *b)
{
	const struct model_range *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

/* As they lie in BLOBS. The caller frees them. */
static uint8_t *take_statuses(struct model_ranges *list)
{
	uint8_t *b = emit_alloc(list->n, 4);

	emit_sort(list->v, list->n, sizeof(*list->v), compare_statuses);
	for (size_t i = 0; i < list->n; i++)
		put_le32(b + 4 * i, list->v[i].first);
	return b;
}

void emit_collect_rule(struct emit *w, struct model_rule *r)
{
	emit_add_strings(w, &r->paths);
	emit_add_strings(w, &r->methods);
	collect_fields(w, &r->headers);
	collect_changes(w, &r->request);
	collect_changes(w, &r->response);
	add_text(w, r->rewrite_uri);
	add_text(w, r->rewrite_authority);
	add_text(w, r->redirect.uri);
	add_text(w, r->redirect.authority);
	add_blob(w, r->body);
	if (r->retry_on.statuses.n > 0) {
		uint8_t *b = take_statuses(&r->retry_on.statuses);

		pool_add_blob(&w->blobs, b, 4 * r->retry_on.statuses.n);
		free(b);
	}
}

void emit_collect_rule_lists(struct emit *w, const struct model_rule *r)
{
	emit_string_list(w, &r->paths, true);
	emit_string_list(w, &r->methods, true);
}

/* ---- sections ---- */

static int compare_fields(const void *a, const void *b)
{
	const struct model_field *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int compare_texts(const void *a, const void *b)
{
	const struct model_string *x = a, *y = b;

	return strcmp(x->s, y->s);
}

static void write_matches(struct emit *w, uint8_t *run, struct model_fields *list)
{
	emit_sort(list->v, list->n, sizeof(*list->v), compare_fields);
	emit_put_run(run, w->records[FORMAT_MATCHES], list->n);
	for (size_t i = 0; i < list->n; i++) {
		uint8_t *r = emit_record(w, FORMAT_MATCHES, MATCH_SIZE);

		put_le32(r + MATCH_NAME, text_ref(w, list->v[i].name));
		put_le32(r + MATCH_VALUE, blob_ref(w, list->v[i].value));
		r[MATCH_PREFIX] = list->v[i].prefix;
	}
}

static void write_change(struct emit *w, enum policy_change kind, const char *name,
			 const char *value)
{
	uint8_t *r = emit_record(w, FORMAT_CHANGES, CHANGE_SIZE);

	put_le32(r + CHANGE_NAME, text_ref(w, name));
	put_le32(r + CHANGE_VALUE, blob_ref(w, value));
	r[CHANGE_KIND] = (uint8_t)kind;
}

static void write_changes(struct emit *w, uint8_t *run, struct model_changes *c)
{
	emit_sort(c->remove.v, c->remove.n, sizeof(*c->remove.v), compare_texts);
	emit_sort(c->set.v, c->set.n, sizeof(*c->set.v), compare_fields);
	emit_sort(c->add.v, c->add.n, sizeof(*c->add.v), compare_fields);
	emit_put_run(run, w->records[FORMAT_CHANGES], c->remove.n + c->set.n + c->add.n);
	for (size_t i = 0; i < c->remove.n; i++)
		write_change(w, POLICY_REMOVE, c->remove.v[i].s, NULL);
	for (size_t i = 0; i < c->set.n; i++)
		write_change(w, POLICY_SET, c->set.v[i].name, c->set.v[i].value);
	for (size_t i = 0; i < c->add.n; i++)
		write_change(w, POLICY_ADD, c->add.v[i].name, c->add.v[i].value);
}

static void put_retries(const struct emit *w, const struct model_rule *m, uint8_t *r)
{
	const struct model_retry_on *on = &m->retry_on;
	uint32_t retries = m->retries_said ? m->retries : POLICY_RETRIES;
	bool said = on->bits != 0 || on->statuses.n > 0;

	r[RULE_RETRIES] = (uint8_t)retries;
	r[RULE_RETRY_ON] = said			? (uint8_t)on->bits
			   : retries > 0	? POLICY_RETRY_DEFAULT
						: 0;
	if (on->statuses.n > 0) {
		struct model_ranges sorted = on->statuses;
		uint8_t *b = take_statuses(&sorted);

		put_le32(r + RULE_STATUSES, pool_blob(&w->blobs, b, 4 * sorted.n));
		free(b);
	}
	put_le32(r + RULE_TIMEOUT, m->timeout);
	put_le32(r + RULE_PER_TRY, m->per_try);
}

static void put_action(const struct emit *w, const struct model_rule *m, uint8_t *r)
{
	const struct model_redirect *to = &m->redirect;

	put_le32(r + RULE_URI, text_ref(w, to->code != 0 ? to->uri : m->rewrite_uri));
	put_le32(r + RULE_AUTHORITY,
		 text_ref(w, to->code != 0 ? to->authority : m->rewrite_authority));
	if (to->code != 0) {
		r[RULE_ACTION] = POLICY_HTTP_REDIRECT;
		r[RULE_HTTPS] = to->https;
		put_le16(r + RULE_CODE, (uint16_t)to->code);
		put_le16(r + RULE_PORT, (uint16_t)to->port);
	} else if (m->status != 0) {
		r[RULE_ACTION] = POLICY_HTTP_DIRECT;
		put_le16(r + RULE_CODE, (uint16_t)m->status);
		put_le32(r + RULE_BODY, blob_ref(w, m->body));
	}
}

/* Whether the record, the runs of which are not written yet, says nothing. */
static bool is_silent(const struct model_rule *m, const uint8_t *r)
{
	static const uint8_t silent[RULE_SIZE] = {[RULE_RETRIES] = POLICY_RETRIES,
						  [RULE_RETRY_ON] = POLICY_RETRY_DEFAULT};

	return memcmp(r, silent, RULE_SIZE) == 0 && m->headers.n == 0 && m->request.set.n == 0 &&
	       m->request.add.n == 0 && m->request.remove.n == 0 && m->response.set.n == 0 &&
	       m->response.add.n == 0 && m->response.remove.n == 0;
}

uint32_t emit_rule(struct emit *w, struct model_rule *m)
{
	uint8_t r[RULE_SIZE] = {0};

	put_le32(r + RULE_PATHS, emit_string_list_ref(w, &m->paths));
	put_le32(r + RULE_METHODS, emit_string_list_ref(w, &m->methods));
	put_retries(w, m, r);
	put_action(w, m, r);
	if (is_silent(m, r))
		return 0;
	write_matches(w, r + RULE_MATCHES, &m->headers);
	write_changes(w, r + RULE_REQUEST, &m->request);
	write_changes(w, r + RULE_RESPONSE, &m->response);
	memcpy(emit_record(w, FORMAT_RULES, RULE_SIZE), r, RULE_SIZE);
	return w->records[FORMAT_RULES];
}
