/* SPDX-License-Identifier: MIT */
/* Findings: collected, sorted, printed; and guesses at what was meant. */
#include "rules/diag.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 1024
#define WORD_MAX 64 /* longer words are not guessed at */

/* A source's bytes reach the terminal only as printable ASCII. */
static void make_printable(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
			*s = '?';
}

__attribute__((format(printf, 4, 0))) static void add(struct diag *d, struct model_at at,
						      enum diag_level level, const char *format,
						      va_list args)
{
	char text[TEXT_MAX];
	struct diag_finding *f = model_push(d);

	vsnprintf(text, sizeof(text), format, args);
	make_printable(text);
	*f = (struct diag_finding){
		.at = at, .level = level, .text = model_text(text, strlen(text)), .order = d->n
	};
	if (level == DIAG_ERROR)
		d->errors++;
	else
		d->warnings++;
}

void diag_error(struct diag *d, struct model_at at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(d, at, DIAG_ERROR, format, args);
	va_end(args);
}

void diag_warning(struct diag *d, struct model_at at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(d, at, DIAG_WARNING, format, args);
	va_end(args);
}

static int compare(const void *a, const void *b)
{
	const struct diag_finding *x = a, *y = b;
	int c = strcmp(x->at.file, y->at.file);

	if (c != 0)
		return c;
	if (x->at.line != y->at.line)
		return x->at.line < y->at.line ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static void print_file(const struct diag *d, const char *file, bool same, FILE *out)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct diag_finding *f = &d->v[i];

		if ((strcmp(f->at.file, file) == 0) != same)
			continue;
		fputs(f->at.file, out);
		if (f->at.line > 0)
			fprintf(out, ":%d", f->at.line);
		fprintf(out, ": %s: %s\n", f->level == DIAG_ERROR ? "error" : "warning", f->text);
	}
}

void diag_print(struct diag *d, const char *first, FILE *out)
{
	if (d->n == 0)
		return;
	qsort(d->v, d->n, sizeof(*d->v), compare);
	print_file(d, first, true, out);
	print_file(d, first, false, out);
}

static unsigned fold(char c)
{
	return c == '_' ? '-' : (unsigned)tolower((unsigned char)c);
}

/* Levenshtein distance, two neighbours swapped counting as one; case and the kind of dash do not matter. */
static unsigned word_distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];
	size_t la = strlen(a), lb = strlen(b);

	for (unsigned j = 0; j <= lb; j++)
		above[j] = j;
	for (unsigned i = 1; i <= la; i++) {
		unsigned *spare = before;

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned best = above[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));

			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
			    fold(a[i - 2]) == fold(b[j - 1]) && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
		before = above;
		above = row;
		row = spare;
	}
	return above[lb];
}

void diag_guess(struct diag_guess *g, const char *candidate)
{
	size_t len = strlen(g->word);
	unsigned limit = len < 4 ? 1 : (unsigned)(len + 2) / 3;
	unsigned distance;

	if (len > WORD_MAX || strlen(candidate) > WORD_MAX)
		return;
	distance = word_distance(g->word, candidate);
	if (distance > limit || (g->best != NULL && distance >= g->distance))
		return;
	g->best = candidate;
	g->distance = distance;
}

const char *diag_guess_text(const struct diag_guess *g)
{
	char text[WORD_MAX + 32];
	int n;

	if (g->best == NULL)
		return "";
	n = snprintf(text, sizeof(text), " (did you mean \"%s\"?)", g->best);
	return model_text(text, (size_t)n);
}
