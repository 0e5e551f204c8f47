/* SPDX-License-Identifier: MIT */
/*
 * Other programs, run without a shell: found in a fixed list of directories, with an environment of
 * our own, nothing inherited but three descriptors, and a time limit.
 */
#ifndef SLUICE_INIT_PROGRAM_H
#define SLUICE_INIT_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* Where programs are looked for, in this order, in words. */
#define PROGRAM_DIRECTORIES "/usr/sbin, /sbin, /usr/bin and /bin"
enum { PROGRAM_PATH = 64, PROGRAM_LINE = 256 };
/* Seconds to the end, and bytes that it may write. */
enum { PROGRAM_SECONDS = 60, PROGRAM_OUTPUT = 64 << 20 };

/* What came of it. */
struct program_result {
	int err;                 /* an errno: it could not be run, or had to be ended */
	int status;              /* its exit status; 128 and more: ended by a signal */
	char *out;               /* standard output, ends with '\0'; to be freed */
	char line[PROGRAM_LINE]; /* the first line of standard error that says something */
};

/* Looks for an executable file of that name. false: there is none. */
bool program_find(const char *name, char path[static PROGRAM_PATH]);
/*
 * Runs it to its end with `input` on standard input; argv ends with NULL. The result has `out`
 * unless err is set. A program that is still running when the time is over is killed.
 */
void program_run(const char *path, const char *const argv[], const char *input,
	struct program_result *result);
#endif
