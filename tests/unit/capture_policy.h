/* SPDX-License-Identifier: MIT */
/* Stands in for a policy's [capture] section: what the reader would say of it. */
#ifndef TESTS_UNIT_CAPTURE_POLICY_H
#define TESTS_UNIT_CAPTURE_POLICY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rules/policy.h"

static struct {
	struct policy_capture capture;
	uint32_t range[64][2], n_ranges;
	struct cidr cidr[20000];
	uint32_t n_cidrs;
	const char *name[8];
	uint32_t n_names;
} fake;

void policy_capture(const struct policy *p, struct policy_capture *c)
{
	(void)p;
	*c = fake.capture;
}

void policy_range(const struct policy *p, uint32_t i, uint32_t *first, uint32_t *last)
{
	(void)p;
	assert_true(i < fake.n_ranges);
	*first = fake.range[i][0];
	*last = fake.range[i][1];
}

void policy_cidr(const struct policy *p, uint32_t i, struct cidr *c)
{
	(void)p;
	assert_true(i < fake.n_cidrs);
	*c = fake.cidr[i];
}

uint32_t policy_item(struct policy_list l, uint32_t i)
{
	assert_true(i < l.n);
	return i;
}

const char *policy_string(const struct policy *p, uint32_t ref)
{
	(void)p;
	assert_true(ref < fake.n_names);
	return fake.name[ref];
}

static inline void fake_clear(void)
{
	memset(&fake.capture, 0, sizeof(fake.capture));
	fake.n_ranges = fake.n_cidrs = fake.n_names = 0;
}

static inline struct policy_run fake_range(uint32_t first, uint32_t last)
{
	struct policy_run run = {fake.n_ranges, 1};

	assert_true(fake.n_ranges < 64);
	fake.range[fake.n_ranges][0] = first;
	fake.range[fake.n_ranges++][1] = last;
	return run;
}

/* Adds to exclude-cidrs; prefixes are to come in ascending order. */
static inline void fake_cidr(const char *text)
{
	bool masked;

	assert_int_equal(cidr_parse(&fake.cidr[fake.n_cidrs], text, strlen(text), &masked), 0);
	fake.capture.exclude_cidrs = (struct policy_run){0, ++fake.n_cidrs};
}

static inline void fake_name(const char *name)
{
	fake.name[fake.n_names++] = name;
	fake.capture.exclude_interfaces.n = fake.n_names;
}

#endif
