/* SPDX-License-Identifier: MIT */
/* Paths that servers read in more than one way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/guard.h"
#include "tproxy/http_path.c"

static void test_paths(void **state)
{
	static const struct { const char *path; bool plain; } rows[] = {
		{ "/", true }, { "/a", true }, { "/a/", true }, { "/a/b.c", true }, { "/...", true },
		{ "/.a", true }, { "/..a", true }, { "/a.", true }, { "/a..", true }, { "/a;b", true },
		{ "/a;b/c", true }, { "/.../a", true }, { "/..a/b", true }, { "*", true }, { "", true },
		{ "/%20", true }, { "/a%C3%A4", true }, { "/%c3%a4/", true }, { "/a%2Cb", true },
		{ "//", false }, { "//a", false }, { "/a//b", false }, { "/a//", false },
		{ "/.", false }, { "/./", false }, { "/./a", false }, { "/a/.", false }, { "/a/./b", false },
		{ "/..", false }, { "/../a", false }, { "/a/..", false }, { "/a/../b", false },
		{ "/.;x/a", false }, { "/..;/a", false }, { "/..;", false }, { "/;a/b", false }, { "/a/;", false },
		{ "/%2e", false }, { "/%2E%2e/a", false }, { "/.%2e/", false }, { "/a%2Fb", false },
		{ "/a%2fb", false }, { "/a%5Cb", false }, { "/a%5cb", false }, { "/%61", false },
		{ "/%5a", false }, { "/%7A", false }, { "/%30", false }, { "/%2d", false }, { "/%5F", false },
		{ "/%7e", false }, { "/%252e", false }, { "/a%3bb", false }, { "/a%3F", false },
		{ "/%", false }, { "/%2", false },
	};
	struct guard guard;

	(void)state;
	guard_init(&guard, 4096);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].path);
		const char *path = (const char *)guard_copy(&guard, rows[i].path, len);

		if (http_path_is_plain(path, len) != rows[i].plain)
			fail_msg("%s", rows[i].path);
	}
	guard_fini(&guard);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_paths) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
