/* SPDX-License-Identifier: MIT */
/* The checks in their order, and those of names, of visibility and of the policy's own section. */
#include "rules/check.h"

#include "rules/auto_address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct named {
	const char *name;
	struct model_at at;
	size_t index;
};

bool check_has_protocol(const struct model_ports *ports, bool (*is)(enum policy_protocol))
{
	for (size_t i = 0; i < ports->n; i++)
		if (is(ports->v[i].protocol))
			return true;
	return false;
}

void check_dialled(struct check *c, const struct model_endpoint *e, const char *key)
{
	char text[ADDR_TEXT];

	if (e->name == NULL && addr_classify(&e->addr) == ADDR_REFUSED)
		diag_error(c->diag, e->at, "%s: %s is %s: never dialled", key,
			   addr_format(&e->addr, text), addr_class_name(&e->addr));
}

const struct model_gateway *check_find_gateway(const struct model *m, const char *name)
{
	for (size_t i = 0; i < m->gateways.n; i++)
		if (strcmp(m->gateways.v[i].name, name) == 0)
			return &m->gateways.v[i];
	return NULL;
}

bool check_comes_from(const struct model_route *r, const char *node)
{
	for (size_t i = 0; i < r->from.n; i++)
		if (strcmp(r->from.v[i].s, node) == 0)
			return true;
	return false;
}

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c != 0 ? c : x->index < y->index ? -1 : x->index > y->index;
}

static void check_names(struct check *c, const char *word, struct named *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare_named);
	for (size_t i = 1; i < n; i++)
		if (strcmp(v[i].name, v[i - 1].name) == 0)
			diag_error(c->diag, v[i].at, "[%s %s] is already in line %d", word,
				   v[i].name, v[i - 1].at.line);
}

static void check_all_names(struct check *c)
{
	const struct model *m = c->model;
	size_t n = m->services.n + m->gateways.n + m->routes.n;
	struct named *v = calloc(n + 1, sizeof(*v));

	if (v == NULL) {
		perror("sluice-rules");
		exit(EX_OSERR);
	}
	for (size_t i = 0; i < m->services.n; i++)
		v[i] = (struct named){ m->services.v[i].name, m->services.v[i].at, i };
	check_names(c, "service", v, m->services.n);
	for (size_t i = 0; i < m->gateways.n; i++)
		v[i] = (struct named){ m->gateways.v[i].name, m->gateways.v[i].at, i };
	check_names(c, "gateway", v, m->gateways.n);
	for (size_t i = 0; i < m->routes.n; i++)
		v[i] = (struct named){ m->routes.v[i].name, m->routes.v[i].at, i };
	check_names(c, "route", v, m->routes.n);
	free(v);
}

static void check_policy(struct check *c)
{
	const struct model *m = c->model;
	const struct source_marks *marks = &c->source->policy;

	if (m->nameservers.n > FORMAT_MAX_NAMESERVERS)
		diag_error(c->diag, source_at(marks, KEY_NAMESERVERS),
			   "nameservers: %zu of them; %d at most", m->nameservers.n,
			   FORMAT_MAX_NAMESERVERS);
	if (m->outbound == POLICY_ALLOW_ANY)
		diag_warning(c->diag, source_at(marks, KEY_OUTBOUND),
			     "outbound = allow-any: what no service lists goes out, too");
	if (m->enforcement == POLICY_AUDIT)
		diag_warning(c->diag, source_at(marks, KEY_ENFORCEMENT),
			     "enforcement = audit: nothing is refused, only logged");
}

/* Services belong to the policy's namespace, so "." is that namespace. */
static bool visible(const struct model *m, const struct model_service *s)
{
	for (size_t i = 0; i < s->export_to.n; i++) {
		const char *to = s->export_to.v[i].s;

		if (strcmp(to, "*") == 0 || strcmp(to, ".") == 0 || strcmp(to, m->namespace_) == 0)
			return true;
	}
	return false;
}

static bool *find_visible(struct check *c)
{
	const struct model *m = c->model;
	bool *used = calloc(m->services.n + 1, sizeof(*used));

	if (used == NULL) {
		perror("sluice-rules");
		exit(EX_OSERR);
	}
	for (size_t i = 0; i < m->services.n; i++) {
		const struct source_marks *marks = &c->source->services.v[i];

		used[i] = visible(m, &m->services.v[i]);
		if (!used[i] && m->services.v[i].export_to.n > 0)
			diag_warning(c->diag, source_at(marks, KEY_EXPORT_TO),
				     "service %s is not exported to namespace %s: left out",
				     m->services.v[i].name, m->namespace_);
	}
	return used;
}

void check_source(struct source *s, const char *node)
{
	struct check c = { .source = s, .model = &s->model, .diag = &s->diag };
	bool *used = find_visible(&c);

	c.used = used;
	hosts_open(&c.hosts, c.model, used);
	auto_address_draw(s, used, &c.hosts);
	check_all_names(&c);
	check_policy(&c);
	check_capture(&c);
	for (size_t i = 0; i < s->services.n; i++)
		check_service(&c, &c.model->services.v[i], &s->services.v[i]);
	hosts_check(&c.hosts, s);
	check_conflicts(&c);
	check_gateways(&c);
	check_routes(&c);
	check_chains(&c);
	check_bypass(&c);
	check_node(&c, node);
	hosts_close(&c.hosts);
	check_leave_out(s, node, used);
	check_secrets(&s->model, &s->diag);
	free(used);
	s->model.node = model_text(node, strlen(node));
}
