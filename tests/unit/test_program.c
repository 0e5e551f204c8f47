/* SPDX-License-Identifier: MIT */
/* init/program.c: what becomes of programs that write too much, or do not end. */
#include "init/program.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* LINK: init/message.c */

static void run_shell(const char *script, struct program_result *result)
{
	const char *const argv[] = {"sh", "-c", script, NULL};

	program_run("/bin/sh", argv, "", result);
}

/* The sanitizer sees whether what was read is given back. */
static void too_much(void **state)
{
	struct program_result result;

	(void)state;
	run_shell("exec head -c 80000000 /dev/zero", &result);
	assert_int_equal(result.err, EFBIG);
	assert_null(result.out);
	run_shell("exec head -c 8000000 /dev/zero", &result);
	assert_int_equal(result.err, 0);
	assert_int_equal(result.status, 0);
	assert_non_null(result.out);
	free(result.out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(too_much),
	};

	return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}
