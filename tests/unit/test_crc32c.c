/* SPDX-License-Identifier: MIT */
/*
 * rules/crc32c.c: the published values, and that instruction and table agree at every length and
 * alignment.
 */
#include "rules/crc32c.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "guard.h"

/* From the definition, bit by bit. */
static uint32_t slow(const uint8_t *p, size_t len)
{
	uint32_t crc = ~0u;

	while (len-- > 0) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void test_published(void **state)
{
	/* RFC 3720 B.4 */
	static const uint8_t read_command[48] = {
		0x01, 0xc0, 0, 0, 0, 0, 0,    0, 0,    0, 0, 0,    0, 0, 0, 0,
		0x14, 0,    0, 0, 0, 0, 0x04, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
		0x28, 0,    0, 0, 0, 0, 0,    0, 0x02, 0, 0, 0,    0, 0, 0, 0,
	};
	uint8_t b[32];

	(void)state;
	memset(b, 0, 32);
	assert_int_equal(crc32c(0, b, 32), 0x8a9136aa);
	memset(b, 0xff, 32);
	assert_int_equal(crc32c(0, b, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		b[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, b, 32), 0x46dd794e);
	for (int i = 0; i < 32; i++)
		b[i] = (uint8_t)(31 - i);
	assert_int_equal(crc32c(0, b, 32), 0x113fdb5c);
	assert_int_equal(crc32c(0, read_command, 48), 0xd9963a56);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, b, 0), 0);
}

static void test_lengths(void **state)
{
	struct guard g;
	uint8_t data[80];

	(void)state;
	guard_init(&g, sizeof(data));
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 37 + 11);
	for (size_t len = 0; len <= sizeof(data); len++) {
		const uint8_t *p = guard_copy(&g, data, len);

		assert_int_equal(crc32c(0, p, len), slow(p, len));
		assert_int_equal(~portable(~0u, p, len), slow(p, len));
		if (has_instruction())
			assert_int_equal(~instruction(~0u, p, len), slow(p, len));
		for (size_t cut = 0; cut <= len; cut++)
			assert_int_equal(crc32c(crc32c(0, p, cut), p + cut, len - cut),
					 slow(p, len));
	}
	guard_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published),
		cmocka_unit_test(test_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
