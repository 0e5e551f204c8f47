/* SPDX-License-Identifier: MIT */
/* Checks of what routes say of HTTP. */
#include "rules/check.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- one rule and another ---- */

static bool is_conditional(const struct model_rule *r)
{
	return r->paths.n > 0 || r->methods.n > 0 || r->headers.n > 0;
}

bool check_http_only(const struct model_rule *r)
{
	return is_conditional(r) || r->redirect.code != 0 || r->status != 0;
}

static bool path_covers(const char *a, const char *b)
{
	size_t len = strlen(a);

	return a[len - 1] == '*' ? strncmp(a, b, len - 1) == 0 : strcmp(a, b) == 0;
}

static bool paths_cover(const struct model_strings *a, const struct model_strings *b)
{
	for (size_t i = 0; i < b->n && a->n > 0; i++) {
		bool covered = false;

		for (size_t j = 0; j < a->n && !covered; j++)
			covered = path_covers(a->v[j].s, b->v[i].s);
		if (!covered)
			return false;
	}
	return a->n == 0 || b->n > 0;
}

static bool strings_hold(const struct model_strings *list, const char *s)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i].s, s) == 0)
			return true;
	return false;
}

static bool methods_cover(const struct model_strings *a, const struct model_strings *b)
{
	for (size_t i = 0; i < b->n && a->n > 0; i++)
		if (!strings_hold(a, b->v[i].s))
			return false;
	return a->n == 0 || b->n > 0;
}

static const struct model_field *find_field(const struct model_fields *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i].name, name) == 0)
			return &list->v[i];
	return NULL;
}

static bool field_covers(const struct model_field *a, const struct model_field *b)
{
	if (a->value == NULL || b->value == NULL)
		return a->value == NULL;
	if (a->prefix)
		return strncmp(a->value, b->value, strlen(a->value)) == 0;
	return !b->prefix && strcmp(a->value, b->value) == 0;
}

bool check_rule_covers(const struct model_rule *a, const struct model_rule *b)
{
	if (check_http_only(a) && !check_http_only(b))
		return false;
	for (size_t i = 0; i < a->headers.n; i++) {
		const struct model_field *f = find_field(&b->headers, a->headers.v[i].name);

		if (f == NULL || !field_covers(&a->headers.v[i], f))
			return false;
	}
	return paths_cover(&a->paths, &b->paths) && methods_cover(&a->methods, &b->methods);
}

/* ---- conditions ---- */

static void check_conditions(struct check *c, const struct model_route *r,
			     const struct source_marks *marks)
{
	const struct model_strings *paths = &r->rule.paths;

	if (paths->n > FORMAT_MAX_ITEMS)
		diag_error(c->diag, source_at(marks, KEY_PATH),
			   "route %s: path: %zu of them; %d at most", r->name, paths->n,
			   FORMAT_MAX_ITEMS);
	if (r->rule.methods.n > FORMAT_MAX_ITEMS)
		diag_error(c->diag, source_at(marks, KEY_METHOD),
			   "route %s: method: %zu of them; %d at most", r->name, r->rule.methods.n,
			   FORMAT_MAX_ITEMS);
	for (size_t i = 0; i < paths->n; i++)
		for (size_t j = 0; j < paths->n; j++)
			if (i != j && path_covers(paths->v[j].s, paths->v[i].s))
				diag_warning(c->diag, paths->v[i].at,
					     "route %s: path: %s has no effect beside %s", r->name,
					     paths->v[i].s, paths->v[j].s);
	if ((marks->line[KEY_PATH] != 0 && paths->n == 0 && !source_is_bad(marks, KEY_PATH)) ||
	    (marks->line[KEY_METHOD] != 0 && r->rule.methods.n == 0 &&
	     !source_is_bad(marks, KEY_METHOD)))
		diag_error(c->diag, source_at(marks, KEY_PATH),
			   "route %s: an empty path or method would be for any", r->name);
}

/* What carries a host's requests: a service's port, or a gateway's server. */
struct carrier { const struct model_route *route; bool http, other; uint16_t other_port; };

static void see_port(struct carrier *s, const struct model_port *p)
{
	bool ends = p->tls == POLICY_SERVER_SIMPLE || p->tls == POLICY_SERVER_MUTUAL;

	if ((s->route->port != 0 && s->route->port != p->number) ||
	    p->protocol == POLICY_PROTO_UDP)
		return;
	if (policy_protocol_is_http(p->protocol) || (p->protocol == POLICY_PROTO_HTTPS && ends)) {
		s->http = true;
		return;
	}
	s->other = true;
	s->other_port = p->number;
}

struct service_carrier { struct carrier *carrier; const struct model *model; };

static bool see_service(const struct hosts_entry *e, void *user)
{
	struct service_carrier *s = user;
	const struct model_service *service = &s->model->services.v[e->service];

	for (size_t i = 0; i < service->ports.n; i++)
		see_port(s->carrier, &service->ports.v[i]);
	return false;
}

/* Whether some route of the node takes what of the host is not HTTP, on the port. */
static bool takes_rest(const struct model *m, const char *node, const struct model_host *h,
		       uint16_t port)
{
	for (size_t i = 0; i < m->routes.n; i++) {
		const struct model_route *r = &m->routes.v[i];

		if (!check_comes_from(r, node) || check_http_only(&r->rule) ||
		    (r->port != 0 && r->port != port))
			continue;
		for (size_t j = 0; j < r->hosts.n; j++)
			if (hosts_same(&r->hosts.v[j], h))
				return true;
	}
	return false;
}

static void report_carriers(struct check *c, const struct model_route *r, const char *node,
			    const struct model_host *h, const struct carrier *s)
{
	char text[HOSTS_TEXT];

	if (s->other && !s->http)
		diag_error(c->diag, r->at,
			"route %s: no request of host %s is HTTP that is read at %s: it would never match",
			r->name, hosts_text(h, text), node);
	else if (s->other && !takes_rest(c->model, node, h, s->other_port))
		diag_warning(c->diag, r->at,
			"route %s is for HTTP alone: host %s is refused on port %u, unless another route has it",
			r->name, hosts_text(h, text), s->other_port);
}

/* That there is HTTP for what is for HTTP alone. */
static void check_carriers(struct check *c, const struct model_route *r)
{
	for (size_t i = 0; i < r->from.n && check_http_only(&r->rule); i++) {
		const char *node = r->from.v[i].s;
		const struct model_gateway *g = check_find_gateway(c->model, node);
		bool mesh = strcmp(node, CHECK_MESH) == 0;

		for (size_t j = 0; j < r->hosts.n && (mesh || g != NULL); j++) {
			struct carrier s = { .route = r };
			struct service_carrier services = { &s, c->model };

			if (mesh)
				hosts_find(&c->hosts, &r->hosts.v[j], see_service, &services);
			for (size_t k = 0; k < (mesh ? 0 : g->servers.n); k++)
				see_port(&s, &g->servers.v[k]);
			report_carriers(c, r, node, &r->hosts.v[j], &s);
		}
	}
}

/* ---- what becomes of it ---- */

static void check_retries(struct check *c, const struct model_route *r,
			  const struct source_marks *marks)
{
	const struct model_rule *rule = &r->rule;

	if (rule->retries_said && rule->retries == 0 && !source_is_bad(marks, KEY_RETRIES) &&
	    (marks->line[KEY_PER_TRY_TIMEOUT] != 0 || marks->line[KEY_RETRY_ON] != 0))
		diag_error(c->diag, source_at(marks, KEY_RETRIES),
			   "route %s: per-try-timeout and retry-on need retries", r->name);
	if (rule->timeout != 0 && rule->per_try > rule->timeout)
		diag_warning(c->diag, source_at(marks, KEY_PER_TRY_TIMEOUT),
			     "route %s: per-try-timeout is longer than timeout", r->name);
	if (marks->line[KEY_RETRY_ON] != 0 && rule->retry_on.bits == 0 &&
	    rule->retry_on.statuses.n == 0 && !source_is_bad(marks, KEY_RETRY_ON))
		diag_error(c->diag, source_at(marks, KEY_RETRY_ON),
			   "route %s: retry-on is empty: write retries = 0", r->name);
}

static void check_changes(struct check *c, const struct model_route *r, const char *word,
			  const struct model_changes *changes)
{
	for (size_t i = 0; i < changes->set.n; i++) {
		const struct model_field *f = &changes->set.v[i];

		if (find_field(&changes->add, f->name) != NULL ||
		    strings_hold(&changes->remove, f->name))
			diag_error(c->diag, f->at,
				   "route %s: %s-set %s, and the same is added or removed", r->name,
				   word, f->name);
	}
	for (size_t i = 0; i < changes->add.n; i++)
		if (strings_hold(&changes->remove, changes->add.v[i].name))
			diag_error(c->diag, changes->add.v[i].at,
				   "route %s: %s-add %s, and the same is removed", r->name, word,
				   changes->add.v[i].name);
}

static void check_answer(struct check *c, const struct model_route *r,
			 const struct source_marks *marks)
{
	static const struct { enum language_key key; const char *word; } forwarded[] = {
		{ KEY_TIMEOUT, "timeout" }, { KEY_RETRIES, "retries" },
		{ KEY_PER_TRY_TIMEOUT, "per-try-timeout" }, { KEY_RETRY_ON, "retry-on" },
		{ KEY_REQUEST_SET, "request-set" }, { KEY_REQUEST_ADD, "request-add" },
		{ KEY_REQUEST_REMOVE, "request-remove" }, { KEY_REWRITE_URI, "rewrite-uri" },
		{ KEY_REWRITE_AUTHORITY, "rewrite-authority" } };
	uint32_t status = r->rule.status;

	for (size_t i = 0; i < COUNT(forwarded); i++)
		if (marks->line[forwarded[i].key] != 0)
			diag_error(c->diag, source_at(marks, forwarded[i].key),
				   "route %s: %s is for what is forwarded, and this route answers",
				   r->name, forwarded[i].word);
	if (r->rule.body != NULL && (status == 204 || status == 205 || status == 304))
		diag_error(c->diag, source_at(marks, KEY_DIRECT_RESPONSE_BODY),
			   "route %s: an answer with status %u has no body", r->name, status);
}

void check_rule(struct check *c, struct model_route *r, const struct source_marks *marks)
{
	struct model_redirect *to = &r->rule.redirect;
	bool redirect = marks->line[KEY_REDIRECT] != 0, direct = marks->line[KEY_DIRECT_RESPONSE] != 0;

	if (redirect && to->code == 0)
		to->code = 301;
	if (redirect && !to->https && to->authority == NULL && to->uri == NULL && to->port == 0 &&
	    !source_is_bad(marks, KEY_REDIRECT))
		diag_error(c->diag, source_at(marks, KEY_REDIRECT),
			"route %s: redirect leads back to itself: it needs scheme, authority, uri or port",
			r->name);
	if (redirect + direct + (marks->line[KEY_TO] != 0) > 1)
		diag_error(c->diag,
			   source_at(marks, redirect ? KEY_REDIRECT : KEY_DIRECT_RESPONSE),
			   "route %s: only one of to, redirect and direct-response", r->name);
	if (marks->line[KEY_DIRECT_RESPONSE_BODY] != 0 && !direct)
		diag_error(c->diag, source_at(marks, KEY_DIRECT_RESPONSE_BODY),
			   "route %s: direct-response-body needs direct-response", r->name);
	check_conditions(c, r, marks);
	check_carriers(c, r);
	if (redirect || direct)
		check_answer(c, r, marks);
	else
		check_retries(c, r, marks);
	check_changes(c, r, "request", &r->rule.request);
	check_changes(c, r, "response", &r->rule.response);
}
