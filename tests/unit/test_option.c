/* SPDX-License-Identifier: MIT */
/* The command line of sluice-tproxy. */
/* LINK: tproxy/log.c tproxy/clock.c tproxy/fd.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tproxy/option.c"

#define ARGS 12

static int parse(struct options *o, const char *const *args)
{
	char *argv[ARGS + 2] = { (char[]){ "sluice-tproxy" } };
	int argc = 1;

	for (; args[argc - 1]; argc++)
		argv[argc] = (char *)(uintptr_t)args[argc - 1];
	optind = 0; /* getopt starts afresh */
	return option_parse(o, argc, argv);
}

static void standards_are_the_builds(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, (const char *[]){ "--policy", "p.slp", NULL }), -1);
	assert_string_equal(o.policy, "p.slp");
	assert_string_equal(o.state, CONFIG_STATE_DIR);
	assert_null(o.admin);
	assert_null(o.ctl);
	assert_true(o.mark);
	assert_false(o.check);
	assert_int_equal(o.uid, CONFIG_PROXY_UID);
	assert_int_equal(o.gid, CONFIG_PROXY_GID);
	assert_int_equal(o.ready_fd, -1);
	assert_int_equal(o.level, LOG_LEVEL_INFO);
	assert_int_equal(o.drain_ms, 30000);
	assert_int_equal(o.workers.port, CONFIG_PROXY_PORT);
	assert_in_range(o.workers.n, 1, WORKERS_MAX);
	assert_int_equal(o.workers.mark, 0);
	assert_int_equal(o.workers.dns_port, 0);
	assert_int_equal(o.workers.max_conns, CONFIG_MAX_CONNS);
	assert_int_equal(o.workers.idle_max, CONFIG_UPSTREAM_IDLE);
	assert_int_equal(o.workers.sniff_ms, 5000);
	assert_int_equal(o.workers.idle_ms, 3600000);
	/* Nothing was forgotten. */
	for (const uint32_t *v = &o.workers.sniff_ms; v <= &o.workers.upstream_idle_ms; v++)
		assert_true(*v > 0);
}

static void values_are_taken(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, (const char *[]){ "-p", "p", "--port=1", "--workers", "16",
	                                             "--uid", "4294967294", "--admin=none",
	                                             "--mark=none", "-n", NULL }),
	                 -1);
	assert_int_equal(o.workers.port, 1);
	assert_int_equal(o.workers.n, 16);
	assert_int_equal(o.uid, 4294967294u);
	assert_string_equal(o.admin, "");
	assert_false(o.mark);
	assert_true(o.check);
	assert_int_equal(parse(&o, (const char *[]){ "-pp", "--drain", "0", "--log-level", "debug",
	                                             "--ready-fd", "3", "--state", "s", "--admin",
	                                             "a", NULL }),
	                 -1);
	assert_string_equal(o.policy, "p");
	assert_int_equal(o.drain_ms, 0);
	assert_int_equal(o.level, LOG_LEVEL_DEBUG);
	assert_int_equal(o.ready_fd, 3);
	assert_string_equal(o.state, "s");
	assert_string_equal(o.admin, "a");
}

static void each_name_sets_its_own(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(tunables); i++) {
		struct options o;
		char text[64];
		snprintf(text, sizeof(text), "%s=77", tunables[i].name);
		assert_int_equal(parse(&o, (const char *[]){ "-p", "p", "--set", text, NULL }), -1);
		for (size_t k = 0; k < LENGTH(tunables); k++)
			assert_int_equal(*tunable_at(&o, &tunables[k]),
			                 k == i ? 77 : tunables[k].standard);
		assert_in_range(tunables[i].standard, tunables[i].min, tunables[i].max);
	}
}

static void wrong_ones_are_refused(void **state)
{
	static const char *const rows[][5] = {
		{ NULL },
		{ "--policy" },
		{ "-p" },
		{ "--nope", "-p", "p" },
		{ "-x", "-p", "p" },
		{ "-p", "p", "x" },
		{ "-p", "p", "--", "x" },
		{ "-p", "p", "--port", "0" },
		{ "-p", "p", "--port", "65536" },
		{ "-p", "p", "--port", "99999999999999999999" },
		{ "-p", "p", "--port", " 1" },
		{ "-p", "p", "--port", "+1" },
		{ "-p", "p", "--port", "0x1" },
		{ "-p", "p", "--uid", "0" },
		{ "-p", "p", "--uid", "4294967295" },
		{ "-p", "p", "--gid", "0" },
		{ "-p", "p", "--workers", "17" },
		{ "-p", "p", "--mark", "auto" },
		{ "-p", "p", "--log-level", "" },
		{ "-p", "p", "--set", "sniff" },
		{ "-p", "p", "--set", "sniff=" },
		{ "-p", "p", "--set", "=1" },
		{ "-p", "p", "--set", "sniff=3600001" },
		{ "-p", "p", "--set", "idle-max=65537" },
		{ "-p", "p", "--set", "sniff = 1" },
		{ "-p", "p", "--ready-fd", "0" },
		{ "-p", "p", "--check=1" },
		{ "--ctl", "s", "/a", "/b" },
		{ "--ctl" },
	};
	struct options o;

	(void)state;
	for (size_t i = 0; i < LENGTH(rows); i++)
		if (parse(&o, rows[i]) != EX_USAGE)
			fail_msg("row %zu was taken", i);
}

static void client_mode_needs_no_policy(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, (const char *[]){ "--ctl", "s", NULL }), -1);
	assert_string_equal(o.ctl, "s");
	assert_null(o.page);
	assert_int_equal(parse(&o, (const char *[]){ "--ctl", "s", "/stats", NULL }), -1);
	assert_string_equal(o.page, "/stats");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(standards_are_the_builds),
		cmocka_unit_test(values_are_taken),
		cmocka_unit_test(each_name_sets_its_own),
		cmocka_unit_test(wrong_ones_are_refused),
		cmocka_unit_test(client_mode_needs_no_policy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
