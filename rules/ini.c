/* SPDX-License-Identifier: MIT */
/* inih behind a reader of our own, which sees each line first. */
#include <ini.h>

#include "rules/ini.h"

#include <stdio.h>
#include <string.h>

#if !INI_HANDLER_LINENO || !INI_CALL_HANDLER_ON_NEW_SECTION || INI_ALLOW_MULTILINE ||              \
	INI_MAX_LINE < 2 * TEXT_LINE_MAX + 16
#error "inih has other build flags than rules/ini.h asks for"
#endif

struct feed {
	struct text *text;
	struct diag *diag;
	void (*take)(void *user, const struct ini_line *line);
	void *user;
	const char *line; /* being parsed */
	char key[TEXT_LINE_MAX +
		 1]; /* the last one, "" after a section line: what an indented line continues */
	bool section_lost; /* its line was refused: its keys belong nowhere */
	bool key_lost;	   /* the same for what continues a key */
	bool expected;	   /* inih has the line and is to call back */
	bool continued;
};

static struct model_at here(const struct feed *f)
{
	return (struct model_at){ f->text->file, f->text->line };
}

static void lose(struct feed *f, bool section)
{
	struct ini_line line = { .section = "", .lost = true, .at = here(f) };

	f->section_lost = f->section_lost || section;
	f->key_lost = true;
	f->key[0] = '\0';
	if (!f->section_lost)
		f->take(f->user, &line);
}

/* inih says nothing of a malformed line but the first. */
static void report_silence(struct feed *f)
{
	if (!f->expected)
		return;
	f->expected = false;
	lose(f, *f->line == '[');
	if (*f->line == '[')
		diag_error(f->diag, here(f), "a section needs its closing bracket: [section]");
	else
		diag_error(f->diag, here(f), "neither a [section], nor key = value, nor a comment");
}

/* False: the line was refused. */
static bool check_section(struct feed *f, const char *line)
{
	size_t len = strcspn(line + 1, "]");
	const char *rest = line + 1 + len;

	f->section_lost = f->key_lost = false;
	f->key[0] = '\0';
	if (*rest == '\0')
		return true; /* report_silence() */
	rest++;
	rest += strspn(rest, " \t");
	if (len > INI_SECTION_MAX)
		diag_error(f->diag, here(f), "the section's name is longer than %d bytes",
			   INI_SECTION_MAX);
	else if (*rest != '\0' && *rest != ';')
		diag_error(f->diag, here(f), "text after the section's closing bracket");
	else
		return true;
	lose(f, true);
	return false;
}

static bool check_key(struct feed *f, const char *line)
{
	size_t len = strcspn(line, "=:");

	f->key_lost = false;
	if (line[len] != ':')
		return true;
	lose(f, false);
	diag_error(f->diag, here(f), "write key = value, with an equals sign");
	return false;
}

/* inih's own way with indented lines cuts the key at 49 bytes: they become "KEY = LINE" here. False: nothing to parse. */
static bool continue_key(struct feed *f, const char *line, char *out, int size)
{
	f->continued = true;
	if (f->key[0] != '\0') {
		snprintf(out, (size_t)size, "%s = %s\n", f->key, line);
		return true;
	}
	if (!f->key_lost)
		diag_error(f->diag, here(f),
			"an indented line continues a list, and there is none: keys start the line");
	return false;
}

static bool next_line(struct feed *f, char **line)
{
	struct text *t = f->text;
	const char *raw = t->bytes + t->pos;
	bool section = t->pos < t->len && *raw == '[';
	size_t errors = f->diag->errors, len;

	if (t->line == 0 && t->len > 3 && memcmp(raw, "\xef\xbb\xbf", 3) == 0)
		section = raw[3] == '[';
	if (!text_next(t, f->diag, line, &len))
		return false;
	if (f->diag->errors != errors)
		lose(f, section);
	f->line = *line;
	return true;
}

/* inih's fgets: one whole line each time, so that it never cuts one. */
static char *read_line(char *out, int size, void *stream)
{
	struct feed *f = stream;
	char *line;
	size_t blank;

	report_silence(f);
	if (!next_line(f, &line))
		return NULL;
	f->continued = false;
	blank = strspn(line, " \t");
	snprintf(out, (size_t)size, "\n");
	if (line[blank] == '\0' || strchr(INI_START_COMMENT_PREFIXES, line[blank]) != NULL)
		return out;
	if (blank > 0) {
		f->expected = continue_key(f, line + blank, out, size);
		return out;
	}
	f->expected = *line == '[' ? check_section(f, line) : check_key(f, line);
	if (f->expected)
		snprintf(out, (size_t)size, "%s\n", line);
	return out;
}

static int handle(void *user, const char *section, const char *name, const char *value, int number)
{
	struct feed *f = user;
	struct ini_line line = {
		.section = section, .key = name, .continued = f->continued, .at = here(f)
	};

	(void)number;
	f->expected = false;
	if (name != NULL) {
		snprintf(f->key, sizeof(f->key), "%s", name);
		line.value = (char *)value; /* ours to change: see inih's ini.h */
	}
	if (!f->section_lost)
		f->take(f->user, &line);
	return 1;
}

void ini_read(struct text *t, struct diag *d, void (*take)(void *user, const struct ini_line *line),
	      void *user)
{
	struct feed f = { .text = t, .diag = d, .take = take, .user = user, .line = "" };
	size_t errors = d->errors;

	if (ini_parse_stream(read_line, &f, handle, &f) != 0 && d->errors == errors)
		diag_error(d, here(&f), "not understood");
}
