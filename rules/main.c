/* SPDX-License-Identifier: MIT */
/* sluice-rules: the policy compiler's command line. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "rules/command.h"
#include "rules/diag.h"

static int command_help(int argc, char **argv);
static int command_version(int argc, char **argv);

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *usage, *help;
} commands[] = {
	{ "check", command_check, " [--strict] [--node NAME] POLICY.ini", "say everything that is wrong or doubtful" },
	{ "compile", command_compile, " [--strict] [--node NAME] [-o FILE] POLICY.ini", "write the compiled policy (POLICY.slp)" },
	{ "show", command_show, " POLICY.slp", "print a compiled policy as INI" },
	{ "explain", command_explain, " [--node NAME] [--client ADDRESS] [--method M] [--header NAME=VALUE] [--alpn LIST] [--ech] POLICY URL|HOST:PORT|ADDRESS:PORT", "say what happens to a connection, and why" },
	{ "defaults", command_defaults, "", "print the effective defaults as INI" },
	{ "help", command_help, "", "print this" },
	{ "--help", command_help, NULL, NULL },
	{ "--version", command_version, "", "print the version" },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *out)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (commands[i].usage != NULL)
			fprintf(out, "%s sluice-rules %s%s\n\t%s\n", i == 0 ? "usage:" : "      ", commands[i].name, commands[i].usage,
				commands[i].help);
}

static int command_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	print_usage(stdout);
	return EX_OK;
}

static int command_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("sluice-rules " SLUICE_VERSION);
	return EX_OK;
}

int command_usage(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			fprintf(stderr, "usage: sluice-rules %s%s\n", name, commands[i].usage);
	return EX_USAGE;
}

int main(int argc, char **argv)
{
	struct diag_guess guess = { .word = argc > 1 ? argv[1] : "" };

	opterr = 0; /* command_usage() says more */
	setlinebuf(stderr); /* there may be a million findings */
	if (argc < 2) {
		print_usage(stderr);
		return EX_USAGE;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		int code;

		diag_guess(&guess, commands[i].name);
		if (strcmp(commands[i].name, argv[1]) != 0)
			continue;
		code = commands[i].run(argc - 1, argv + 1);
		if (fflush(stdout) != 0 || ferror(stdout)) {
			fprintf(stderr, "sluice-rules: write: standard output: %s\n", strerror(errno));
			return EX_IOERR;
		}
		return code;
	}
	fprintf(stderr, "sluice-rules: %s: no such command%s\n", argv[1], diag_guess_text(&guess));
	print_usage(stderr);
	return EX_USAGE;
}
