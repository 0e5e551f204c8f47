/* SPDX-License-Identifier: MIT */
/* Findings: what is wrong or doubtful in a policy's source, collected so that all of them are shown at once. */
#ifndef SLUICE_RULES_DIAG_H
#define SLUICE_RULES_DIAG_H

#include <stddef.h>
#include <stdio.h>

#include "rules/model.h"

enum diag_level { DIAG_ERROR, DIAG_WARNING };

struct diag_finding {
	struct model_at at; /* line 0: the file as a whole */
	enum diag_level level;
	const char *text;
	size_t order; /* as found */
};

/* Zero-initialised: nothing found. */
struct diag {
	struct diag_finding *v;
	size_t n, room;
	size_t errors, warnings;
};

void diag_error(struct diag *d, struct model_at at, const char *format, ...) __attribute__((format(printf, 3, 4)));
void diag_warning(struct diag *d, struct model_at at, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Sorts by file (those of `first` before the others) and line, and prints "FILE:LINE: error: TEXT" lines. */
void diag_print(struct diag *d, const char *first, FILE *out);

/* What someone may have meant. Zero-initialised except for word. */
struct diag_guess {
	const char *word;
	const char *best; /* NULL: nothing near enough */
	unsigned distance;
};
void diag_guess(struct diag_guess *g, const char *candidate);
/* " (did you mean \"BEST\"?)", or "". Lives as long as the process. */
const char *diag_guess_text(const struct diag_guess *g);

#endif
