/* SPDX-License-Identifier: MIT */
/* What the fuzz targets have in common. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads one input; the fuzzer, or replay.c for each seed, calls it. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* An invariant: its breach is a finding, as a crash is. */
#define must(condition) ((condition) ? (void)0 : must_fail(#condition, __LINE__))

static inline void must_fail(const char *condition, int line)
{
	fprintf(stderr, "line %d: not so: %s\n", line, condition);
	abort();
}

/* A copy that ends where its memory ends. */
static inline void *fuzz_copy(const void *data, size_t len)
{
	void *copy = malloc(len > 0 ? len : 1);

	if (!copy)
		abort();
	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

#endif
