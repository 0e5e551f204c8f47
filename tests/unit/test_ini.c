/* SPDX-License-Identifier: MIT */
/* rules/text.c and rules/ini.c: what is handed on of a source, and what becomes a finding. */
/* LINK: rules/diag.c rules/model.c */
#include "rules/ini.c"
#include "rules/text.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "guard.h"

/* What is read lives until the process ends (model_text()). */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

/* Events and findings as text: "[section]" "key=value" "+key=value" (continued), "!line part-of-the-finding", each ended by a newline. */
static const struct {
	const char *name, *source;
	size_t len; /* 0: strlen */
	const char *events, *findings;
} rows[] = {
	{ "nothing", "", 0, "", "" },
	{ "comments", "; a\n# b\n  ; c\n\t# d\n\n   \n", 0, "", "" },
	{ "keys", "[a]\nk = v\nl=w\n m \n", 0, "[a]\nk=v\nl=w\n+l=m\n", "" },
	{ "no newline at the end", "[a]\nk = v", 0, "[a]\nk=v\n", "" },
	{ "an equals sign in the value", "[a]\nk = v = w : x\n", 0, "[a]\nk=v = w : x\n", "" },
	{ "an empty value", "[a]\nk =\nl = ; c\n", 0, "[a]\nk=\nl=\n", "" },
	{ "inline comments", "[a] ; c\nk = v ; c\nl = v;w\n m ; c\n", 0, "[a]\nk=v\nl=v;w\n+l=m\n", "" },
	{ "tabs", "[a]\nk\t=\tv\t;c\n\tw\n", 0, "[a]\nk=v\n+k=w\n", "" },
	{ "CRLF", "[a]\r\nk = v\r\n w\r\n", 0, "[a]\nk=v\n+k=w\n", "" },
	{ "continued over blank and comment lines", "[a]\nk = v\n\n; c\n w\n", 0, "[a]\nk=v\n+k=w\n", "" },
	{ "an indented section is a value", "[a]\nk = v\n [b]\n l = w\n", 0, "[a]\nk=v\n+k=[b]\n+k=l = w\n", "" },
	{ "an empty section", "[a]\n[b]\n", 0, "[a]\n[b]\n", "" },
	{ "before any section", "k = v\n", 0, "k=v\n", "" },
	{ "a section named nothing", "[]\nk = v\n", 0, "[]\nk=v\n", "" },
	{ "indented at the start", " k = v\n", 0, "", "!1 there is none\n" },
	{ "indented after a section", "[a]\n k = v\nl = w\n", 0, "[a]\nl=w\n", "!2 there is none\n" },
	{ "no bracket, twice", "[a\nk = v\n w\n[b\nk = v\n[c]\nk = v\n", 0, "[c]\nk=v\n", "!1 closing bracket\n!4 closing bracket\n" },
	{ "a bracket in a comment", "[a ; ]\nk = v\n", 0, "", "!1 closing bracket\n" },
	{ "text after a section", "[a] k = v\nk = v\n[b] # c\nk = v\n[c]\n", 0, "[c]\n", "!1 text after\n!3 text after\n" },
	{ "neither, at the end", "[a]\nword\n words\nk = v\nword", 0, "[a]\nlost\nk=v\nlost\n", "!2 neither\n!5 neither\n" },
	{ "a colon", "[a]\nk: v\n w\nl = v:w\n", 0, "[a]\nlost\nl=v:w\n", "!2 equals sign\n" },
	{ "a section of 49 bytes", "[1234567890123456789012345678901234567890123456789]\n", 0,
	  "[1234567890123456789012345678901234567890123456789]\n", "" },
	{ "a section of 50 bytes", "[a]\n[12345678901234567890123456789012345678901234567890]\nk = v\n", 0, "[a]\n", "!2 longer than 49\n" },
	{ "a key of 60 bytes, continued", "[a]\n123456789012345678901234567890123456789012345678901234567890 = v\n w\n", 0,
	  "[a]\n123456789012345678901234567890123456789012345678901234567890=v\n"
	  "+123456789012345678901234567890123456789012345678901234567890=w\n", "" },
	{ "NUL", "[a]\nk = v\0w\nl = x\n", sizeof("[a]\nk = v\0w\nl = x\n") - 1, "[a]\nlost\nl=x\n", "!2 NUL\n" },
	{ "NUL in a section", "[a]\nk = v\n[b\0]\nk = w\n[c]\n", sizeof("[a]\nk = v\n[b\0]\nk = w\n[c]\n") - 1, "[a]\nk=v\n[c]\n", "!3 NUL\n" },
	{ "what continues a refused line", "[a]\nk = \1\n v\nl = w\n", 0, "[a]\nlost\nl=w\n", "!2 control\n" },
	{ "a byte order mark", "\xef\xbb\xbf; c\n[a]\nk = v\n", 0, "lost\n[a]\nk=v\n", "!1 byte order mark\n" },
	{ "a byte order mark and a section", "\xef\xbb\xbf[a]\nk = v\n[b]\n", 0, "[b]\n", "!1 byte order mark\n" },
	{ "CR alone", "[a]\rk = v\n", 0, "", "!1 carriage return\n" },
	{ "CR at the end of the file", "[a]\r", 0, "", "!1 carriage return\n" },
	{ "UTF-8", "[a]\nk = \xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82\n", 0, "[a]\nk=\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82\n", "" },
	{ "not UTF-8", "; \x80\n; \xc3\n; \xe2\x82\n; \xf0\x9f\x99\n; \xc1\xbf\n; \xf4\x90\x80\x80\n; \xc2\x85\n", 0, "lost\nlost\nlost\nlost\nlost\nlost\nlost\n",
	  "!1 UTF-8\n!2 UTF-8\n!3 UTF-8\n!4 UTF-8\n!5 UTF-8\n!6 UTF-8\n!7 UTF-8\n" },
	{ "not UTF-8, at the very end", "; \xf0\x9f\x99", 0, "lost\n", "!1 UTF-8\n" },
};

static char events[20000];

static void record(void *user, const struct ini_line *line)
{
	size_t len = strlen(events);

	(void)user;
	if (line->lost)
		snprintf(events + len, sizeof(events) - len, "lost\n");
	else if (line->key == NULL)
		snprintf(events + len, sizeof(events) - len, "[%s]\n", line->section);
	else
		snprintf(events + len, sizeof(events) - len, "%s%s=%s\n", line->continued ? "+" : "", line->key, line->value);
}

static void read_source(struct guard *g, const char *source, size_t len, struct diag *d)
{
	struct text t;

	events[0] = '\0';
	*d = (struct diag){ 0 };
	text_open_bytes(&t, "f.ini", guard_copy(g, source, len), len);
	ini_read(&t, d, record, NULL);
	text_close(&t);
}

static void check_findings(const struct diag *d, const char *wanted)
{
	size_t n = 0;

	for (; *wanted != '\0'; n++) {
		char part[100];
		int line, used;

		assert_int_equal(sscanf(wanted, "!%d %99[^\n]\n%n", &line, part, &used), 2);
		wanted += used;
		assert_true(n < d->n);
		assert_int_equal(d->v[n].at.line, line);
		assert_string_equal(d->v[n].at.file, "f.ini");
		assert_int_equal(d->v[n].level, DIAG_ERROR);
		if (strstr(d->v[n].text, part) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", d->v[n].text, part);
	}
	assert_int_equal(d->n, n);
	assert_int_equal(d->errors, n);
}

static void test_rows(void **state)
{
	struct guard g;
	struct diag d;

	(void)state;
	guard_init(&g, 20000);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("# %s\n", rows[i].name);
		read_source(&g, rows[i].source, rows[i].len > 0 ? rows[i].len : strlen(rows[i].source), &d);
		assert_string_equal(events, rows[i].events);
		check_findings(&d, rows[i].findings);
		free(d.v);
	}
	guard_fini(&g);
}

/* A line of every length around the limit, as a comment, a key, a value and what continues one. */
static void test_length(void **state)
{
	static const char *const starts[] = { "; ", "k = ", "k = v\n w", "[" };
	struct guard g;
	struct diag d;
	char source[4096];

	(void)state;
	guard_init(&g, sizeof(source));
	for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++)
		for (size_t len = TEXT_LINE_MAX - 3; len <= TEXT_LINE_MAX + 3; len++) {
			const char *last = strrchr(starts[s], '\n');
			size_t used = strlen(starts[s]);
			size_t line = last != NULL ? strlen(last + 1) : used;

			memcpy(source, starts[s], used);
			memset(source + used, 'x', len - line);
			read_source(&g, source, used + len - line, &d);
			if (s == 3)
				assert_int_equal(d.n, 1); /* no closing bracket, or too long */
			else
				assert_int_equal(d.n, len > TEXT_LINE_MAX);
			if (len > TEXT_LINE_MAX)
				assert_non_null(strstr(d.v[0].text, "longer than"));
			free(d.v);
		}
	guard_fini(&g);
}

/* Every file of two bytes, and of three out of those that mean something: no crash, and nothing both handed on and refused. */
static void test_small(void **state)
{
	static const char some[] = "\0\n\r\t ;#[]=:a\x7f\x80\xc3\xa9\xef\xbb\xbf";
	struct guard g;
	struct diag d;
	char source[4];

	(void)state;
	guard_init(&g, 4);
	for (unsigned i = 0; i < 0x10000; i++) {
		source[0] = (char)i;
		source[1] = (char)(i >> 8);
		read_source(&g, source, 2, &d);
		assert_true(d.errors == 0 || events[0] == '\0' || strncmp(events, "lost", 4) == 0 || source[0] == '\n');
		free(d.v);
	}
	for (size_t i = 0; i < sizeof(some) - 1; i++)
		for (size_t j = 0; j < sizeof(some) - 1; j++)
			for (size_t k = 0; k < sizeof(some) - 1; k++) {
				source[0] = some[i];
				source[1] = some[j];
				source[2] = some[k];
				read_source(&g, source, 3, &d);
				free(d.v);
			}
	guard_fini(&g);
}

static void test_order(void **state)
{
	struct diag d = { 0 };
	char out[1000];
	FILE *f = fmemopen(out, sizeof(out), "w");

	(void)state;
	diag_error(&d, (struct model_at){ "b.txt", 2 }, "fourth");
	diag_warning(&d, (struct model_at){ "p.ini", 10 }, "third \x1b[31m\xc3\xa9");
	diag_error(&d, (struct model_at){ "p.ini", 9 }, "first");
	diag_error(&d, (struct model_at){ "a.txt", 0 }, "whole file");
	diag_error(&d, (struct model_at){ "p.ini", 9 }, "second");
	assert_int_equal(d.errors, 4);
	assert_int_equal(d.warnings, 1);
	diag_print(&d, "p.ini", f);
	fclose(f);
	assert_string_equal(out, "p.ini:9: error: first\np.ini:9: error: second\np.ini:10: warning: third ?[31m??\n"
				 "a.txt: error: whole file\nb.txt:2: error: fourth\n");
	free(d.v);
}

static void test_guess(void **state)
{
	static const struct { const char *word, *candidates[4], *best; } guesses[] = {
		{ "hostz", { "ports", "hosts", "hosts-file" }, "hosts" },
		{ "REGISTER_ONLY", { "allow-any", "registry-only" }, "registry-only" },
		{ "exprot-to", { "export-to", "endpoints" }, "export-to" },
		{ "up", { "udp", "upgrade" }, "udp" },
		{ "something", { "scope", "sni" }, NULL },
		{ "", { "a", "bb" }, "a" },
		{ "x", { "yy" }, NULL },
		{ "0123456789012345678901234567890123456789012345678901234567890123456789", { "0123" }, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(guesses) / sizeof(guesses[0]); i++) {
		struct diag_guess g = { .word = guesses[i].word };

		for (size_t j = 0; j < 4 && guesses[i].candidates[j] != NULL; j++)
			diag_guess(&g, guesses[i].candidates[j]);
		if (guesses[i].best == NULL)
			assert_null(g.best);
		else
			assert_string_equal(g.best, guesses[i].best);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_guess),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
