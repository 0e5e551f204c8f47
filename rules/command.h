/* SPDX-License-Identifier: MIT */
/* The subcommands of sluice-rules. Each takes its own words, its name first, and returns the exit code. */
#ifndef SLUICE_RULES_COMMAND_H
#define SLUICE_RULES_COMMAND_H

int command_check(int argc, char **argv);
int command_compile(int argc, char **argv);
int command_show(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_defaults(int argc, char **argv);

/* main.c: says how the command is used, on standard error. Returns EX_USAGE. */
int command_usage(const char *name);

#endif
