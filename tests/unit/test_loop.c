/* SPDX-License-Identifier: MIT */
/*
 * The timer wheel: nothing fires early, nothing is lost, removal from inside callbacks is safe. The
 * clock is moved by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tproxy/loop.c"

struct row { struct timer timer; int64_t want_ms; int64_t fired_ms; int fired; };
struct bench { struct loop loop; struct row *kill; };

static void fire(void *ctx, struct timer *t)
{
	struct bench *b = ctx;
	struct row *r = (struct row *)(void *)t;

	assert_false(timer_is_set(t));
	r->fired++;
	r->fired_ms = b->loop.now_ms;
	if (b->kill)
		timer_unset(&b->kill->timer);
}

static void start(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	assert_int_equal(loop_init(&b->loop), 0);
}

static void advance(struct bench *b, int64_t ms)
{
	b->loop.now_ms += ms;
	loop_run_timers(&b->loop, fire, b);
}

static void test_each_delay_fires_once_and_never_early(void **state)
{
	static const uint32_t delays[] = {
		0, 1, 31, 32, 33, 250, 8191, 8192, 8193, 60000, 262144, 3600000, 4194303, 4194304,
		9000000,
	};
	(void)state;

	for (unsigned step = 1; step <= 40000; step = step * 7 + 3)
		for (unsigned i = 0; i < sizeof(delays) / sizeof(*delays); i++) {
			struct bench b;
			struct row r = { 0 };
			start(&b);
			advance(&b, 12345);
			int64_t set = b.loop.now_ms;
			int64_t latest = (int64_t)delays[i] + 2 * LOOP_TICK_MS + step;
			timer_set(&b.loop, &r.timer, delays[i]);
			for (int64_t t = 0; !r.fired && t <= latest; t += step)
				advance(&b, step);
			assert_int_equal(r.fired, 1);
			assert_true(r.fired_ms - set >= delays[i]);
			assert_true(r.fired_ms - set <= latest);
			advance(&b, 20000000);
			assert_int_equal(r.fired, 1);
			loop_fini(&b.loop);
		}
}

static void test_moving(void **state)
{
	struct bench b;
	struct row r = { 0 };
	(void)state;

	start(&b);
	timer_set(&b.loop, &r.timer, 1000);
	for (int i = 0; i < 100; i++) {
		advance(&b, 900);
		assert_int_equal(r.fired, 0);
		timer_set(&b.loop, &r.timer, 1000);
	}
	timer_set(&b.loop, &r.timer, 100);
	advance(&b, 200);
	assert_int_equal(r.fired, 1);
	timer_set(&b.loop, &r.timer, 3600000);
	timer_set(&b.loop, &r.timer, 50);
	advance(&b, 120);
	assert_int_equal(r.fired, 2);
	timer_set(&b.loop, &r.timer, 500);
	timer_unset(&r.timer);
	advance(&b, 10000);
	assert_int_equal(r.fired, 2);
	loop_fini(&b.loop);
}

static void test_removal_inside_a_callback(void **state)
{
	struct bench b;
	struct row r[3] = { 0 };
	(void)state;

	for (int victim = 0; victim < 3; victim++) {
		start(&b);
		memset(r, 0, sizeof(r));
		for (int i = 0; i < 3; i++)
			timer_set(&b.loop, &r[i].timer, 100);
		b.kill = &r[victim];
		advance(&b, 1000);
		int fired = r[0].fired + r[1].fired + r[2].fired;
		/* The first to fire takes the victim along, unless it is the victim itself. */
		assert_true(fired == 2 || r[victim].fired == 1);
		for (int i = 0; i < 3; i++)
			assert_false(timer_is_set(&r[i].timer));
		loop_fini(&b.loop);
	}
}

static void test_many(void **state)
{
	enum { N = 5000 };
	struct row *r = calloc(N, sizeof(*r));
	struct bench b;
	uint32_t seed = 1;
	(void)state;

	start(&b);
	for (int i = 0; i < N; i++) {
		seed = seed * 1664525 + 1013904223;
		r[i].want_ms = seed >> 10;
		timer_set(&b.loop, &r[i].timer, (uint32_t)r[i].want_ms);
	}
	int64_t begin = b.loop.now_ms;
	for (int i = 0; i < 5000; i++)
		advance(&b, 1000);
	for (int i = 0; i < N; i++) {
		assert_int_equal(r[i].fired, 1);
		assert_true(r[i].fired_ms - begin >= r[i].want_ms);
		assert_true(r[i].fired_ms - begin <= r[i].want_ms + 1100);
	}
	loop_fini(&b.loop);
	free(r);
}

static void test_sleeps_until_the_next_timer_only(void **state)
{
	struct bench b;
	struct row r = { 0 };
	(void)state;

	start(&b);
	assert_int_equal(next_visit(&b.loop), -1);
	timer_set(&b.loop, &r.timer, 320);
	assert_int_equal(next_visit(&b.loop), 11);
	timer_unset(&r.timer);
	/* An emptied slot costs at most one turn. */
	advance(&b, 1000);
	assert_int_equal(next_visit(&b.loop), -1);
	loop_fini(&b.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_delay_fires_once_and_never_early),
		cmocka_unit_test(test_moving),
		cmocka_unit_test(test_removal_inside_a_callback),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_sleeps_until_the_next_timer_only),
	};
	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
