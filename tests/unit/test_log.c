/* SPDX-License-Identifier: MIT */
/* Diagnostics: one line each, whatever they hold; levels, times, and budgets of call sites. */
/* LINK: tproxy/fd.c */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tproxy/clock.c"

/* The clock of this test. */
static int64_t now_now = 1790581587295;
static int64_t test_monotonic_ms(void) { return now_now; }
static int64_t test_real_ms(void) { return now_now; }
#define clock_monotonic_ms test_monotonic_ms
#define clock_real_ms test_real_ms
#include "tproxy/log.c"

static char said[1 << 16];

/* Lets f write to a pipe, and returns what it wrote. */
static const char *capture(void (*f)(void))
{
	int p[2];

	assert_int_equal(pipe(p), 0);
	out.fd = p[1];
	f();
	close(p[1]);
	ssize_t n = read(p[0], said, sizeof(said) - 1);
	close(p[0]);
	out.fd = STDERR_FILENO;
	said[n > 0 ? n : 0] = '\0';
	return said;
}

static void say_all(void)
{
	log_error("policy: %s: reason", "p.slp");
	log_warn("w");
	log_info("i");
	log_debug("d");
}

static void styles_and_levels(void **state)
{
	(void)state;
	out.style = STYLE_PLAIN;
	out.level = LOG_LEVEL_INFO;
	assert_string_equal(
		capture(say_all),
		"sluice-tproxy: policy: p.slp: reason\nsluice-tproxy: w\nsluice-tproxy: i\n");
	out.style = STYLE_TIMED;
	out.level = LOG_LEVEL_DEBUG;
	assert_string_equal(
		capture(say_all),
		"2026-09-28T07:46:27.295Z sluice-tproxy: error: policy: p.slp: reason\n2026-09-28T07:46:27.295Z sluice-tproxy: warning: w\n"
		"2026-09-28T07:46:27.295Z sluice-tproxy: i\n2026-09-28T07:46:27.295Z sluice-tproxy: debug: d\n");
	out.style = STYLE_JOURNAL;
	out.level = LOG_LEVEL_ERROR;
	assert_string_equal(capture(say_all), "<3>sluice-tproxy: error: policy: p.slp: reason\n");
	out.style = STYLE_PLAIN;
	out.level = LOG_LEVEL_INFO;
}

static void say_hostile(void)
{
	char text[5000];

	log_error("a%sb", "\n\r\x1b[2J\x7f\xff\t");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_error("%s", text);
}

static void one_line_each(void **state)
{
	(void)state;
	capture(say_hostile);
	static const char first[] = "sluice-tproxy: a???[2J???b\n";
	assert_memory_equal(said, first, sizeof(first) - 1);
	const char *second = said + sizeof(first) - 1;
	assert_int_equal(strspn(second + strlen(PROGRAM), "x"),
	                 strlen(second) - strlen(PROGRAM) - 1);
	assert_in_range(strlen(second), LINE_SIZE - 60, LINE_SIZE);
	assert_int_equal(second[strlen(second) - 1], '\n');
}

static struct log_limit limit;

static void say_often(void)
{
	for (int i = 0; i < 1000; i++)
		log_limited(&limit, "again %d", i);
	now_now += 1000;
	log_limited(&limit, "later");
	now_now += 5000;
	log_limited(&limit, "much later");
}

static void call_sites_have_a_budget(void **state)
{
	(void)state;
	assert_string_equal(
		capture(say_often),
		"sluice-tproxy: again 0\nsluice-tproxy: later (and 999 more)\nsluice-tproxy: much later\n");
}

static void say_errno(void)
{
	errno = EADDRINUSE;
	log_error("x");
	assert_int_equal(errno, EADDRINUSE);
}

/* A full pipe must not stop the process, whether it is our own or others' too. */
static void nothing_blocks(void **state)
{
	int p[2];
	char fill[4096] = { 0 };

	(void)state;
	capture(say_errno);
	assert_int_equal(pipe2(p, O_NONBLOCK), 0);
	while (write(p[1], fill, sizeof(fill)) > 0)
		;
	assert_int_equal(fcntl(p[1], F_SETFL, O_WRONLY), 0);
	int keep = dup(STDERR_FILENO);
	dup2(p[1], STDERR_FILENO);
	log_init(LOG_LEVEL_INFO);
	log_error("lost");
	assert_false(out.blocks);
	assert_int_equal(fcntl(p[1], F_GETFL) & O_NONBLOCK, 0);
	close(out.fd);
	out.fd = STDERR_FILENO;
	out.blocks = true;
	log_error("lost");
	dup2(keep, STDERR_FILENO);
	close(keep);
	close(p[0]);
	close(p[1]);
	out.style = STYLE_PLAIN;
	out.blocks = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(styles_and_levels),
		cmocka_unit_test(one_line_each),
		cmocka_unit_test(call_sites_have_a_budget),
		cmocka_unit_test(nothing_blocks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
