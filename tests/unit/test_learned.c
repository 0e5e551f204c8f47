/* SPDX-License-Identifier: MIT */
/* init/learned.c and rules/capture_order.c: what the holder remembers, and how it is told. */
/* LINK: init/learned.c rules/capture_order.c rules/addr.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "init/learned.h"
#include "rules/capture.h"

static struct learned learned;

static struct learned_entry entry(const char *clients, const char *to, uint16_t port, uint64_t until)
{
	struct learned_entry e = {.port = port, .until = until};
	struct cidr c;
	bool masked;

	assert_int_equal(cidr_parse(&c, clients, strlen(clients), &masked), 0);
	assert_int_equal(addr_parse(&e.destination, to, strlen(to)), 0);
	e.first = c.addr;
	cidr_last(&c, &e.last);
	return e;
}

/* One step after the other: what goes and whether it comes, and how many there are then. */
static void test_ranges(void **state)
{
	static const struct {
		const char *clients;
		uint16_t port;
		uint64_t until, now;
		size_t gone;
		bool comes;
		size_t n;
	} rows[] = {
		{"10.1.0.0/16", 123, 1000, 0, 0, true, 1},
		{"10.1.0.0/16", 123, 900, 0, 0, false, 1},  /* there already, for longer */
		{"10.1.0.0/16", 123, 2000, 0, 1, true, 1},  /* for longer */
		{"10.1.2.0/24", 123, 9000, 0, 0, false, 1}, /* a wider one covers it, while it lasts */
		{"10.2.0.0/16", 123, 1000, 0, 0, true, 2},
		{"10.1.0.0/16", 124, 1000, 0, 0, true, 3},
		{"10.0.0.0/8", 123, 1500, 0, 2, true, 2},   /* covers both of the port's */
		{"10.1.2.0/24", 123, 9000, 1600, 0, true, 1}, /* everything else is over */
	};

	(void)state;
	learned.n = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct learned_entry e = entry(rows[i].clients, "192.0.2.1", rows[i].port, rows[i].until);
		struct learned_change c;

		assert_true(learned_plan(&learned, &e, rows[i].now, &c));
		if (c.n_gone != rows[i].gone || c.comes != rows[i].comes)
			fail_msg("row %zu: %zu go, %d comes", i, c.n_gone, c.comes);
		learned_commit(&learned, &c);
		if (learned.n != rows[i].n)
			fail_msg("row %zu: %zu entries", i, learned.n);
	}
}

static void test_full(void **state)
{
	struct learned_change c;
	struct learned_entry e;
	char text[32];

	(void)state;
	learned.n = 0;
	for (int i = 0; i <= LEARNED_MAX; i++) {
		snprintf(text, sizeof(text), "198.51.%d.%d", i >> 8, i & 255);
		e = entry("0.0.0.0/0", text, 123, 1000);
		assert_int_equal(learned_plan(&learned, &e, 0, &c), i < LEARNED_MAX);
		if (i < LEARNED_MAX)
			learned_commit(&learned, &c);
	}
	assert_int_equal(learned.n, LEARNED_MAX);
	e = entry("0.0.0.0/0", "198.51.0.0", 123, 2000); /* one that is there may last longer */
	assert_true(learned_plan(&learned, &e, 0, &c));
	e = entry("0.0.0.0/0", text, 123, 3000); /* and when they are over there is room */
	assert_true(learned_plan(&learned, &e, 1000, &c));
	assert_int_equal(learned.n, 0);
}

static void test_orders(void **state)
{
	struct capture_order o = {.kind = CAPTURE_ORDER_UDP, .sequence = 0x0102030405060708, .service = 0x11121314,
		.seconds = 0x21222324, .port = 0x3132}, back;
	uint8_t bytes[CAPTURE_ORDER_LEN + 1] = {0};
	static const uint8_t head[] = {'s', 'l', 'o', '1', 1, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 0x14, 0x13, 0x12, 0x11,
		0x32, 0x31, 0, 0};

	(void)state;
	memset(o.addr.b, 0xab, sizeof(o.addr.b));
	capture_order_encode(&o, bytes);
	assert_memory_equal(bytes, head, sizeof(head));
	assert_true(capture_order_decode(&back, bytes, CAPTURE_ORDER_LEN));
	assert_int_equal(back.sequence, o.sequence);
	assert_int_equal(back.service, o.service);
	assert_int_equal(back.seconds, o.seconds);
	assert_int_equal(back.port, o.port);
	assert_memory_equal(back.addr.b, o.addr.b, sizeof(o.addr.b));
	assert_false(capture_order_decode(&back, bytes, CAPTURE_ORDER_LEN - 1));
	assert_false(capture_order_decode(&back, bytes, CAPTURE_ORDER_LEN + 1));
	for (size_t i = 0; i < CAPTURE_ORDER_LEN; i++) {
		bool is_value = (i >= 8 && i < 22) || (i >= 24 && i < 44);

		bytes[i] ^= 0x40;
		if (capture_order_decode(&back, bytes, CAPTURE_ORDER_LEN) != is_value)
			fail_msg("byte %zu changed", i);
		bytes[i] ^= 0x40;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_orders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
