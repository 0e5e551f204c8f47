/* SPDX-License-Identifier: MIT */
/* From a policy's source to its bytes. */
#ifndef SLUICE_RULES_COMPILE_H
#define SLUICE_RULES_COMPILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/policy.h"
#include "rules/source.h"

/*
 * Reads the source, checks it for the node, and prints all findings on standard error. Returns 0 or an exit code:
 * EX_NOINPUT, or EX_DATAERR for errors and, if strict, for warnings.
 */
int compile_source(struct source *s, const char *path, const char *node, bool strict);

/* The bytes of a source that compile_source() found good, malloc'ed. 0 or an exit code, with a message. */
int compile_bytes(struct source *s, uint8_t **bytes, size_t *len);

/* policy_open() with a message. 0 or an exit code. */
int compile_open(struct policy *p, const char *path);

/* Whether the file begins as a compiled policy does. 0 or 1, or -1 with errno. */
int compile_is_policy(const char *path);

/* Host patterns in the model. */
size_t compile_hosts(const struct model *m);

#endif
