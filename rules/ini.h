/* SPDX-License-Identifier: MIT */
/*
 * INI as the policy language has it: inih, fed through a reader that refuses what inih would cut or skip with success.
 *
 * inih is to be built, and this compiled, with -DINI_HANDLER_LINENO=1 -DINI_CALL_HANDLER_ON_NEW_SECTION=1
 * -DINI_ALLOW_MULTILINE=0 and -DINI_MAX_LINE=8192 (at least two lines of TEXT_LINE_MAX bytes).
 */
#ifndef SLUICE_RULES_INI_H
#define SLUICE_RULES_INI_H

#include <stdbool.h>

#include "rules/diag.h"
#include "rules/text.h"

#define INI_SECTION_MAX 49 /* bytes between the brackets that inih keeps */

struct ini_line {
	const char *section; /* between the brackets; "": before any section */
	const char *key;     /* NULL: the section starts here, or a line of it is lost */
	char *value;         /* trimmed, without its comment; may be written to */
	bool continued;      /* an indented line: more of the value of the key before */
	bool lost;           /* a finding was made of the line; what it would have said is not known */
	struct model_at at;
};

/* Hands every section start, value and lost line to take(), in order; what is wrong becomes a finding. */
void ini_read(struct text *t, struct diag *d, void (*take)(void *user, const struct ini_line *line), void *user);

#endif
