/* SPDX-License-Identifier: MIT */
/* A policy's source read into the model, with what only the checks need to know of it. */
#ifndef SLUICE_RULES_SOURCE_H
#define SLUICE_RULES_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/diag.h"
#include "rules/language.h"
#include "rules/model.h"

/* What checks know of a section besides its values. */
struct source_marks {
	struct model_at at;      /* the section's line; line 0: not written */
	int line[LANGUAGE_KEYS]; /* 0: not written */
	bool bad[LANGUAGE_KEYS]; /* its value had an error */
};
struct source_marks_list { struct source_marks *v; size_t n, room; };

struct source {
	struct model model;
	struct diag diag;
	struct source_marks policy, capture;
	struct source_marks_list services, gateways, routes; /* by index, as the model's */

	/* While reading. */
	enum language_section section;
	const struct language_entry *key; /* NULL: refused, what continues it is skipped */
	const char *file;
};

/*
 * Reads a source and the files that it names. What is wrong in them becomes findings in s->diag.
 * 0; or -1 with errno when the source itself cannot be read.
 */
int source_read(struct source *s, const char *path);
/* The same from memory; file is for findings, and relative names are relative to its directory. */
void source_read_bytes(struct source *s, const char *file, const void *bytes, size_t len);

/* The key's line, or the section's where it is not written. */
struct model_at source_at(const struct source_marks *m, enum language_key key);
bool source_is_bad(const struct source_marks *m, enum language_key key);
struct model_at source_host_at(const struct source *s, const struct model_host *h);

#endif
