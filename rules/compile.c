/* SPDX-License-Identifier: MIT */
/* sluice-rules check, compile and show. */
#include "rules/compile.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "rules/check.h"
#include "rules/command.h"
#include "rules/file.h"
#include "rules/show.h"

struct options {
	const char *source, *output, *node;
	bool strict;
};

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

size_t compile_hosts(const struct model *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->services.n; i++)
		n += m->services.v[i].hosts.n;
	return n;
}

int compile_source(struct source *s, const char *path, const char *node, bool strict)
{
	const struct diag *d = &s->diag;

	if (source_read(s, path) < 0) {
		fprintf(stderr, "sluice-rules: open: %s: %s\n", path, strerror(errno));
		return EX_NOINPUT;
	}
	check_source(s, node);
	check_able(s);
	diag_print(&s->diag, path, stderr);
	if (d->errors == 0 && (!strict || d->warnings == 0))
		return EX_OK;
	fprintf(stderr, "%s: refused, %zu error%s, %zu warning%s%s\n", path, d->errors,
		plural(d->errors), d->warnings, plural(d->warnings),
		d->errors == 0 ? " (--strict)" : "");
	return EX_DATAERR;
}

int compile_bytes(struct source *s, uint8_t **bytes, size_t *len)
{
	struct policy_error e;

	*bytes = model_emit(&s->model, len, &e);
	if (*bytes != NULL)
		return EX_OK;
	fprintf(stderr, "%s: error: %s\n", s->file, e.text);
	return EX_DATAERR;
}

int compile_open(struct policy *p, const char *path)
{
	struct policy_error e;
	int code;

	if (policy_open(p, path, &e) == 0)
		return EX_OK;
	code = errno == EBADMSG ? EX_DATAERR : EX_NOINPUT;
	fprintf(stderr, "sluice-rules: open: %s: %s\n", path, e.text);
	return code;
}

int compile_is_policy(const char *path)
{
	char magic[sizeof(FORMAT_MAGIC) - 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, magic, sizeof(magic));
	close(fd);
	if (n < 0)
		return -1;
	return (size_t)n == sizeof(magic) && memcmp(magic, FORMAT_MAGIC, sizeof(magic)) == 0;
}

static int parse_options(struct options *o, int argc, char **argv, bool compile)
{
	static const struct option longs[] = {
		{ "strict", no_argument, NULL, 's' },
		{ "node", required_argument, NULL, 'n' },
		{ "output", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct options){ .node = CHECK_MESH };
	while ((c = getopt_long(argc, argv, compile ? "o:" : "", longs, NULL)) != -1) {
		if (c == 's')
			o->strict = true;
		else if (c == 'n')
			o->node = optarg;
		else if (c == 'o' && compile)
			o->output = optarg;
		else
			return command_usage(argv[0]);
	}
	if (argc - optind != 1)
		return command_usage(argv[0]);
	o->source = argv[optind];
	return EX_OK;
}

int command_check(int argc, char **argv)
{
	static struct source s; /* all else that is read hangs from it */
	struct options o;
	int code = parse_options(&o, argc, argv, false);

	if (code == EX_OK)
		code = compile_source(&s, o.source, o.node, o.strict);
	if (code != EX_OK)
		return code;
	printf("%s: ok, %zu service%s, %zu host%s, %zu warning%s\n", o.source, s.model.services.n,
	       plural(s.model.services.n), compile_hosts(&s.model), plural(compile_hosts(&s.model)),
	       s.diag.warnings, plural(s.diag.warnings));
	return EX_OK;
}

/* The source's name with .slp for .ini. */
static const char *default_output(const char *source)
{
	size_t len = strlen(source);
	char output[PATH_MAX];

	if (len > 4 && strcmp(source + len - 4, ".ini") == 0)
		len -= 4;
	if ((size_t)snprintf(output, sizeof(output), "%.*s.slp", (int)len, source) >=
	    sizeof(output))
		return source; /* then opening the source fails, too */
	return model_text(output, strlen(output));
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* What can be told before any work is done. */
static int check_output(const struct options *o)
{
	if (strcmp(o->output, "-") == 0 && isatty(STDOUT_FILENO)) {
		fprintf(stderr,
			"sluice-rules: compile: standard output is a terminal, and a compiled policy is not text\n");
		return EX_USAGE;
	}
	if (same_file(o->output, o->source)) {
		fprintf(stderr, "sluice-rules: compile: %s: would overwrite its own source\n",
			o->output);
		return EX_USAGE;
	}
	return EX_OK;
}

static int write_output(const char *path, const void *bytes, size_t len, bool secret)
{
	if (strcmp(path, "-") == 0) {
		if (file_write(STDOUT_FILENO, bytes, len) == 0)
			return EX_OK;
		fprintf(stderr, "sluice-rules: write: standard output: %s\n", strerror(errno));
		return EX_IOERR;
	}
	if (file_replace(path, bytes, len, secret) == 0)
		return EX_OK;
	fprintf(stderr, "sluice-rules: write: %s: %s\n", path,
		errno == EEXIST ? "not a regular file" : strerror(errno));
	return EX_CANTCREAT;
}

int command_compile(int argc, char **argv)
{
	static struct source s; /* all else that is read hangs from it */
	struct options o;
	uint8_t *bytes;
	size_t len;
	int code = parse_options(&o, argc, argv, true);

	if (code != EX_OK)
		return code;
	if (o.output == NULL)
		o.output = default_output(o.source);
	code = check_output(&o);
	if (code == EX_OK)
		code = compile_source(&s, o.source, o.node, o.strict);
	if (code == EX_OK)
		code = compile_bytes(&s, &bytes, &len);
	if (code != EX_OK)
		return code;
	code = write_output(o.output, bytes, len, check_secrets(&s.model, NULL));
	free(bytes);
	if (code == EX_OK && strcmp(o.output, "-") != 0)
		printf("%s: %zu bytes, %zu service%s, %zu host%s\n", o.output, len,
		       s.model.services.n, plural(s.model.services.n), compile_hosts(&s.model),
		       plural(compile_hosts(&s.model)));
	return code;
}

int command_show(int argc, char **argv)
{
	struct policy p;
	int code;

	if (argc != 2 || argv[1][0] == '-')
		return command_usage(argv[0]);
	code = compile_open(&p, argv[1]);
	if (code != EX_OK)
		return code;
	if (show_policy(&p, stdout) < 0) {
		fprintf(stderr, "sluice-rules: show: %s: %s\n", argv[1], strerror(errno));
		code = EX_IOERR;
	}
	policy_close(&p);
	return code;
}
