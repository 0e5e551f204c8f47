/* SPDX-License-Identifier: MIT */
/* Each client address's share of the connections: counted up and down, whatever else comes. */
/* LINK: tproxy/slab.c rules/addr.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tproxy/client.c"

enum { MAX = 64, ADDRS = 24, SHARE = 5, STEPS = 200000 };

static struct addr numbered(unsigned i)
{
	struct addr a = { { 0x20, 0x01, 0x0d, 0xb8 } };

	a.b[14] = (uint8_t)(i >> 8);
	a.b[15] = (uint8_t)i;
	return a;
}

static void a_share_and_no_more(void **state)
{
	static struct client_table t;
	struct addr a = numbered(1), b = numbered(2);
	uint32_t of_a[SHARE], of_b;

	(void)state;
	assert_int_equal(client_init(&t, MAX, SHARE), 0);
	for (int i = 0; i < SHARE; i++)
		assert_true(client_enter(&t, &a, &of_a[i]));
	uint32_t none = 7;
	assert_false(client_enter(&t, &a, &none));
	assert_int_equal(none, SLAB_NONE);
	assert_true(client_enter(&t, &b, &of_b));
	client_leave(&t, of_a[0]);
	assert_true(client_enter(&t, &a, &of_a[0]));
	assert_false(client_enter(&t, &a, &none));
	for (int i = 0; i < SHARE; i++)
		client_leave(&t, of_a[i]);
	client_leave(&t, of_b);
	assert_int_equal(t.entries.used, 0);
	client_fini(&t);
}

static void not_counted_where_all_is_one_client(void **state)
{
	static struct client_table t;
	struct addr a = numbered(1);
	uint32_t index;

	(void)state;
	for (uint32_t share = MAX; share <= MAX + 1; share++) {
		assert_int_equal(client_init(&t, MAX, share), 0);
		for (int i = 0; i < 3 * MAX; i++) {
			assert_true(client_enter(&t, &a, &index));
			assert_int_equal(index, SLAB_NONE);
			client_leave(&t, index);
		}
		client_fini(&t);
	}
}

/* Against a plain count for each address. */
static void any_order(void **state)
{
	static struct client_table t;
	struct { uint32_t index; unsigned addr; } held[MAX];
	unsigned n = 0, count[ADDRS] = { 0 };

	(void)state;
	srand(1);
	assert_int_equal(client_init(&t, MAX, SHARE), 0);
	for (int step = 0; step < STEPS; step++) {
		unsigned i = (unsigned)rand() % ADDRS;
		struct addr a = numbered(i);
		uint32_t index;
		if (n == MAX || rand() % 2) {
			if (!n)
				continue;
			unsigned at = (unsigned)rand() % n;
			client_leave(&t, held[at].index);
			count[held[at].addr]--;
			held[at] = held[--n];
			continue;
		}
		bool entered = client_enter(&t, &a, &index);
		assert_int_equal(entered, count[i] < SHARE);
		if (!entered)
			continue;
		held[n].index = index;
		held[n++].addr = i;
		count[i]++;
	}
	while (n)
		client_leave(&t, held[--n].index);
	assert_int_equal(t.entries.used, 0);
	for (unsigned i = 0; i < CLIENT_BUCKETS; i++)
		assert_int_equal(t.buckets[i], 0);
	client_fini(&t);
}

/* Two tables put the same addresses into other buckets: nobody can make them collide. */
static void keyed(void **state)
{
	static struct client_table t[2];
	unsigned same = 0;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(client_init(&t[i], MAX, SHARE), 0);
	for (unsigned i = 0; i < 10000; i++) {
		struct addr a = numbered(i);
		same += bucket_of(&t[0], &a) - t[0].buckets == bucket_of(&t[1], &a) - t[1].buckets;
	}
	assert_true(same < 100);
	client_fini(&t[0]);
	client_fini(&t[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_share_and_no_more),
		cmocka_unit_test(not_counted_where_all_is_one_client),
		cmocka_unit_test(any_order),
		cmocka_unit_test(keyed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
