/* SPDX-License-Identifier: MIT */
/* init/program.c: what becomes of programs that write too much, or do not end. */
#include <time.h>

static int clock_fast(clockid_t clock, struct timespec *t);

#define clock_gettime clock_fast
#include "init/program.c"
#undef clock_gettime

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* LINK: init/message.c */

static int faster = 1;

/* With 50 a minute is little more than a second. */
static int clock_fast(clockid_t clock, struct timespec *t)
{
	int err = clock_gettime(clock, t);
	int64_t ms = ((int64_t)t->tv_sec * 1000 + t->tv_nsec / 1000000) * faster;

	t->tv_sec = ms / 1000;
	t->tv_nsec = ms % 1000 * 1000000;
	return err;
}

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

/* Without its output, and with it: its time is over all the same. */
static void no_end(void **state)
{
	static const char *const scripts[] = {
		"exec sleep 1000 >&- 2>&-", "exec yes >&2",
	};
	struct program_result result;

	(void)state;
	faster = 50;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		run_shell(scripts[i], &result);
		assert_int_equal(result.err, ETIMEDOUT);
		assert_true(result.status > 128); /* SIGKILL, or SIGPIPE before */
	}
	faster = 1;
}

/* Who starts us may ignore the end of children. */
static void ignored(void **state)
{
	struct program_result result;

	(void)state;
	(void)signal(SIGCHLD, SIG_IGN);
	run_shell("exit 3", &result);
	assert_int_equal(result.err, 0);
	assert_int_equal(result.status, 3);
	free(result.out);
	run_shell("kill -9 $$", &result);
	assert_int_equal(result.status, 128 + SIGKILL);
	free(result.out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(too_much),
		cmocka_unit_test(no_end),
		cmocka_unit_test(ignored),
	};

	return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}
