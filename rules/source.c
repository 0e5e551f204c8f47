/* SPDX-License-Identifier: MIT */
/* A policy's source, walked through the language's table into the model. */
#include "rules/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ini.h"
#include "rules/value.h"

#define BLANKS " \t"

/* The section that is being read: what its keys are offsets into, and its marks. */
static void *section_base(struct source *s, struct source_marks **marks)
{
	struct model *m = &s->model;

	switch (s->section) {
	case SECTION_POLICY:
		*marks = &s->policy;
		return m;
	case SECTION_CAPTURE:
		*marks = &s->capture;
		return &m->capture;
	case SECTION_SERVICE:
		*marks = &s->services.v[s->services.n - 1];
		return &m->services.v[m->services.n - 1];
	case SECTION_GATEWAY:
		*marks = &s->gateways.v[s->gateways.n - 1];
		return &m->gateways.v[m->gateways.n - 1];
	case SECTION_ROUTE:
		*marks = &s->routes.v[s->routes.n - 1];
		return &m->routes.v[m->routes.n - 1];
	case SECTION_NONE:
		break;
	}
	*marks = NULL;
	return NULL;
}

static void start_once(struct source *s, struct source_marks *marks, struct model_at at)
{
	if (marks->at.line != 0)
		diag_error(&s->diag, at, "[%s] is already in line %d",
			   language_section_word(s->section), marks->at.line);
	else
		marks->at = at;
}

static void start_section(struct source *s, const char *name, struct model_at at)
{
	struct model *m = &s->model;

	switch (s->section) {
	case SECTION_SERVICE:
		*model_push(&m->services) = (struct model_service){ .name = name, .at = at };
		model_push(&s->services)->at = at;
		break;
	case SECTION_GATEWAY:
		*model_push(&m->gateways) = (struct model_gateway){ .name = name, .at = at };
		model_push(&s->gateways)->at = at;
		break;
	case SECTION_ROUTE:
		*model_push(&m->routes) = (struct model_route){ .name = name, .at = at };
		model_push(&s->routes)->at = at;
		break;
	case SECTION_POLICY:
		start_once(s, &s->policy, at);
		break;
	case SECTION_CAPTURE:
		start_once(s, &s->capture, at);
		m->capture.at = s->capture.at;
		break;
	case SECTION_NONE:
		break;
	}
}

static void take_section(struct source *s, const struct ini_line *line)
{
	const char *text = line->section + strspn(line->section, BLANKS);
	size_t len = strcspn(text, BLANKS);
	const char *name = text + len + strspn(text + len, BLANKS);
	const char *word = model_text(text, len);
	struct diag_guess guess = { .word = word };

	s->key = NULL;
	s->section = language_section(word, &guess);
	if (s->section == SECTION_NONE) {
		diag_error(&s->diag, line->at, "unknown section [%s]%s", line->section,
			   diag_guess_text(&guess));
		return;
	}
	len = strlen(name);
	while (len > 0 && strchr(BLANKS, name[len - 1]) != NULL)
		len--;
	if (!language_section_named(s->section) && len > 0)
		diag_error(&s->diag, line->at, "[%s] has no name: write [%s]", line->section, word);
	else if (language_section_named(s->section) && !value_is_name(name, len, VALUE_NAME_MAX))
		diag_error(&s->diag, line->at,
			   "[%s NAME]: a name is 1 to %d letters a-z, digits and inner dashes",
			   word, VALUE_NAME_MAX);
	start_section(s, len > 0 ? model_text(name, len) : "?", line->at);
}

static void refuse_key(struct source *s, const struct ini_line *line)
{
	struct diag_guess guess = { .word = line->key };
	const char *elsewhere = language_elsewhere(s->section, line->key, &guess);
	const char *word = language_section_word(s->section);

	if (elsewhere != NULL)
		diag_error(&s->diag, line->at, "\"%s\" is a key of [%s], not of [%s]", line->key,
			   elsewhere, word);
	else
		diag_error(&s->diag, line->at, "unknown key \"%s\" in [%s]%s", line->key, word,
			   diag_guess_text(&guess));
}

/* A named key's list: the one with this name, made by its first line. NULL: a finding was made. */
static void *open_subset(struct source *s, const struct ini_line *line, const char *name,
			 struct model_subsets *list)
{
	struct model_subset *subset;

	if (line->continued)
		return &list->v[list->n - 1].endpoints;
	if (!value_is_name(name, strlen(name), VALUE_NAME_MAX)) {
		diag_error(&s->diag, line->at,
			"write %s NAME = ENDPOINTS; a name is 1 to %d letters a-z, digits and inner dashes",
			s->key->word, VALUE_NAME_MAX);
		return NULL;
	}
	for (size_t i = 0; i < list->n; i++) {
		if (strcmp(list->v[i].name, name) != 0)
			continue;
		diag_error(&s->diag, line->at, "subset %s is already in line %d", name,
			   list->v[i].at.line);
		return NULL;
	}
	subset = model_push(list);
	subset->name = model_text(name, strlen(name));
	subset->at = line->at;
	return &subset->endpoints;
}

/* A named key's value: a field of HTTP, of that name. NULL: a finding was made. */
static void *open_named(struct source *s, const struct ini_line *line, const char *name,
			struct model_fields *list)
{
	char *lower = strdupa(name);
	struct model_field *f;

	for (char *c = lower; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	if (!policy_is_field(lower) || strlen(lower) > FORMAT_MAX_STRING) {
		diag_error(&s->diag, line->at, "write %s NAME = VALUE; \"%s\" is not a field's name",
			   s->key->word, name);
		return NULL;
	}
	for (size_t i = 0; i < list->n; i++) {
		if (strcmp(list->v[i].name, lower) != 0)
			continue;
		diag_error(&s->diag, line->at, "%s %s is already in line %d", s->key->word, lower,
			   list->v[i].at.line);
		return NULL;
	}
	f = model_push(list);
	f->name = model_text(lower, strlen(lower));
	f->at = line->at;
	return f;
}

/* Once written, a list holds nothing of its default. All lists of the model have one layout. */
static void drop_default(void *field)
{
	struct model_strings list;

	memcpy(&list, field, sizeof(list));
	list.n = 0;
	memcpy(field, &list, sizeof(list));
}

/* False: a finding was made. */
static bool open_key(struct source *s, const struct ini_line *line, struct source_marks *marks,
		     char *base, const char **name)
{
	const struct language_entry *e = language_find(s->section, line->key, name);

	if (e == NULL) {
		refuse_key(s, line);
		return false;
	}
	if (marks->line[e->key] != 0 && (e->flags & LANGUAGE_NAMED) == 0) {
		diag_error(&s->diag, line->at, "%s is already set in line %d", e->word,
			   marks->line[e->key]);
		return false;
	}
	if ((e->flags & LANGUAGE_LIST) != 0 && (e->flags & LANGUAGE_BITS) == 0 &&
	    !language_section_named(s->section))
		drop_default(base + e->offset);
	marks->line[e->key] = line->at.line;
	s->key = e;
	return true;
}

/* The field that the line's values go to. NULL: a finding was made, and the lines that continue the key are skipped. */
static void *open_field(struct source *s, const struct ini_line *line, struct source_marks *marks,
			char *base)
{
	const char *name = NULL;
	void *field = NULL;

	if (!line->continued) {
		s->key = NULL;
		if (!open_key(s, line, marks, base, &name))
			return NULL;
	} else if (s->key == NULL) {
		return NULL;
	} else if ((s->key->flags & LANGUAGE_LIST) == 0) {
		diag_error(&s->diag, line->at,
			   "%s has one value: an indented line cannot continue it", s->key->word);
		return NULL;
	}
	field = base + s->key->offset;
	if (s->key->flags & LANGUAGE_FIELD)
		field = open_named(s, line, name, field);
	else if (s->key->flags & LANGUAGE_NAMED)
		field = open_subset(s, line, name, field);
	if (field == NULL)
		s->key = NULL;
	return field;
}

static char *trim(char *s)
{
	size_t len;

	s += strspn(s, BLANKS);
	for (len = strlen(s); len > 0 && strchr(BLANKS, s[len - 1]) != NULL; len--)
		;
	s[len] = '\0';
	return s;
}

static bool take_file(struct source *s, const struct value *v, void *field)
{
	const char *path = value_beside(s->file, v->text);
	struct value item = *v;
	struct text t;
	size_t errors = s->diag.errors, len;
	char *line;

	if (s->model.files.n > UINT16_MAX) {
		diag_error(&s->diag, v->at, "%s: more than %d files", v->key, UINT16_MAX);
		return false;
	}
	if (text_open(&t, path) < 0) {
		diag_error(&s->diag, v->at, "%s: %s: %s", v->key, path, strerror(errno));
		return false;
	}
	item.file = (uint16_t)s->model.files.n;
	*model_push(&s->model.files) = (struct model_string){ .s = path, .at = v->at };
	while (text_next(&t, &s->diag, &line, &len)) {
		char *comment = line;

		while ((comment = strchr(comment, '#')) != NULL && comment > line &&
		       strchr(BLANKS, comment[-1]) == NULL)
			comment++;
		if (comment != NULL)
			*comment = '\0';
		item.text = trim(line);
		item.len = strlen(item.text);
		item.at = (struct model_at){ path, t.line };
		if (item.len > 0)
			s->key->parse(&item, field);
	}
	text_close(&t);
	return s->diag.errors == errors;
}

static bool take_item(struct source *s, char *text, struct model_at at, void *field)
{
	struct value v = {
		.text = text,
		.len = strlen(text),
		.key = s->key->word,
		.at = at,
		.arg = s->key->arg,
		.diag = &s->diag,
	};

	return (s->key->flags & LANGUAGE_FILES) != 0 ? take_file(s, &v, field)
						     : s->key->parse(&v, field);
}

static bool take_list(struct source *s, const struct ini_line *line, void *field)
{
	char *next = line->value;
	bool good = true;

	while (next != NULL) {
		char *item = next;

		next = strchr(item, ',');
		if (next != NULL)
			*next++ = '\0';
		item = trim(item);
		if (*item != '\0') {
			good = take_item(s, item, line->at, field) && good;
		} else if (next != NULL) {
			diag_error(&s->diag, line->at, "%s: nothing between two commas",
				   s->key->word);
			good = false;
		}
	}
	return good;
}

static void take_value(struct source *s, const struct ini_line *line)
{
	struct source_marks *marks;
	char *base = section_base(s, &marks);
	void *field;
	bool good;

	if (base == NULL) {
		if (line->section[0] == '\0' && !line->continued)
			diag_error(&s->diag, line->at, "\"%s\" stands before any section",
				   line->key);
		return;
	}
	field = open_field(s, line, marks, base);
	if (field == NULL)
		return;
	if (s->key->flags & LANGUAGE_LIST) {
		good = take_list(s, line, field);
	} else if (*line->value == '\0') {
		diag_error(&s->diag, line->at, "%s needs a value", s->key->word);
		good = false;
	} else {
		good = take_item(s, line->value, line->at, field);
	}
	if (!good)
		marks->bad[s->key->key] = true;
}

/* Whatever the section lacks may have been in that line. */
static void take_lost(struct source *s)
{
	struct source_marks *marks;

	s->key = NULL;
	if (section_base(s, &marks) != NULL)
		memset(marks->bad, true, sizeof(marks->bad));
}

static void take(void *user, const struct ini_line *line)
{
	if (line->lost)
		take_lost(user);
	else if (line->key == NULL)
		take_section(user, line);
	else
		take_value(user, line);
}

/* Istio's, of what is not written; those of outliers where one of their keys is. */
static void traffic_default(struct policy_traffic *t, const struct source_marks *marks)
{
	const struct { enum language_key key; uint32_t *field, value; bool outliers; } defaults[] = {
		{ KEY_CONNECT_TIMEOUT, &t->connect_timeout, POLICY_CONNECT_TIMEOUT, false },
		{ KEY_IDLE_TIMEOUT, &t->idle_timeout, POLICY_IDLE_TIMEOUT, false },
		{ KEY_CONSECUTIVE_5XX, &t->consecutive_5xx, 5, true },
		{ KEY_CONSECUTIVE_GATEWAY, &t->consecutive_gateway, 0, true },
		{ KEY_CONSECUTIVE_LOCAL, &t->consecutive_local, 5, true },
		{ KEY_OUTLIER_INTERVAL, &t->outlier_interval, 10000, true },
		{ KEY_BASE_EJECTION_TIME, &t->base_ejection, 30000, true },
		{ KEY_MAX_EJECTION, &t->max_ejection, 10, true },
		{ KEY_MIN_HEALTH, &t->min_health, 0, true },
		{ KEY_HEALTH_INTERVAL, &t->health_interval, 10000, false },
		{ KEY_HEALTH_TIMEOUT, &t->health_timeout, 5000, false },
		{ KEY_UNHEALTHY_THRESHOLD, &t->unhealthy, 3, false },
		{ KEY_HEALTHY_THRESHOLD, &t->healthy, 2, false },
	};

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
		if (marks->line[defaults[i].key] == 0 || marks->bad[defaults[i].key])
			*defaults[i].field = defaults[i].value;
		if (marks->line[defaults[i].key] != 0)
			t->outliers |= defaults[i].outliers;
	}
}

static void read_text(struct source *s, struct text *t)
{
	static const char *const export_default = "*", *const from_default = "mesh";
	struct model *m = &s->model;

	*s = (struct source){ .file = t->file,
			      .policy.at.file = t->file,
			      .capture.at.file = t->file };
	model_init(m);
	m->capture.at.file = t->file;
	m->files.n = 0;
	model_push(&m->files)->s = t->file;
	ini_read(t, &s->diag, take, s);
	for (size_t i = 0; i < m->services.n; i++)
		if (s->services.v[i].line[KEY_EXPORT_TO] == 0)
			model_push(&m->services.v[i].export_to)->s = export_default;
	for (size_t i = 0; i < m->routes.n; i++)
		if (s->routes.v[i].line[KEY_FROM] == 0)
			model_push(&m->routes.v[i].from)->s = from_default;
	for (size_t i = 0; i < m->services.n; i++)
		traffic_default(&m->services.v[i].traffic, &s->services.v[i]);
	for (size_t i = 0; i < m->gateways.n; i++)
		traffic_default(&m->gateways.v[i].traffic, &s->gateways.v[i]);
	for (size_t i = 0; i < m->routes.n; i++)
		m->routes.v[i].rule.retries_said = s->routes.v[i].line[KEY_RETRIES] != 0;
}

int source_read(struct source *s, const char *path)
{
	struct text t;

	if (text_open(&t, path) < 0)
		return -1;
	read_text(s, &t);
	text_close(&t);
	return 0;
}

void source_read_bytes(struct source *s, const char *file, const void *bytes, size_t len)
{
	struct text t;

	text_open_bytes(&t, file, bytes, len);
	read_text(s, &t);
	text_close(&t);
}

struct model_at source_at(const struct source_marks *m, enum language_key key)
{
	return (struct model_at){ m->at.file, m->line[key] != 0 ? m->line[key] : m->at.line };
}

bool source_is_bad(const struct source_marks *m, enum language_key key)
{
	return m->bad[key];
}

struct model_at source_host_at(const struct source *s, const struct model_host *h)
{
	return (struct model_at){ s->model.files.v[h->file].s, (int)h->line };
}
