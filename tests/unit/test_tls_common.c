/* SPDX-License-Identifier: MIT */
/* The memory of TLS settings, and sessions kept for resumption. */
/* LINK: tproxy/tls_common.c tproxy/tls_cache.c tproxy/tls_pem.c tproxy/tls_der.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tproxy/tls_common.h"

#define ROOM 100

static struct tls_common *opened(unsigned sessions)
{
	static const char *const names[] = { "a.test", "spiffe://x/y" };
	static const uint8_t pins[2][TLS_PIN_SIZE] = { { 1 }, { 2 } };
	struct tls_settings set = { .ca = { "x", 1 },
		                    .sni = "s.test",
		                    .alt_names = names,
		                    .n_alt_names = 2,
		                    .pins = pins,
		                    .n_pins = 2,
		                    .alpn = names,
		                    .n_alpn = 1,
		                    .sessions = sessions };
	struct tls_problem problem;
	struct tls_common *c = tls_common_open(&set, sizeof(*c), 1000, ROOM, &problem);

	assert_non_null(c);
	return c;
}

static void test_copies(void **state)
{
	struct tls_common *c = opened(0);
	(void)state;

	assert_string_equal(c->sni, "s.test");
	assert_string_equal(c->alt_names[1], "spiffe://x/y");
	assert_null(c->alt_names[2]);
	assert_string_equal(c->alpn[0], "a.test");
	assert_null(c->alpn[1]);
	assert_int_equal(c->pins[1][0], 2);
	/* What is left is what was asked for, and no more. */
	assert_non_null(tls_take(c, 900));
	assert_null(tls_take(c, 200));
	assert_null(tls_take(c, SIZE_MAX));
	tls_config_take((struct tls_config *)c);
	assert_false(tls_common_last(c));
	assert_true(tls_common_last(c));
	tls_common_free(c);
}

/* The flags of a mapping, from /proc/self/smaps. */
static void flags_of(const void *at, char *flags, size_t size)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	unsigned long from, to;
	bool inside = false;
	char line[512];

	assert_non_null(maps);
	flags[0] = '\0';
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (uintptr_t)at >= from && (uintptr_t)at < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(flags, size, "%s", line);
	}
	fclose(maps);
}

static void test_no_core(void **state)
{
	struct tls_common *c = opened(0);
	char flags[512];
	(void)state;

	flags_of(c, flags, sizeof(flags));
	assert_non_null(strstr(flags, " dd"));
	tls_common_free(c);
}

static void test_cache(void **state)
{
	struct tls_common *c = opened(3); /* one set of four */
	uint8_t key[TLS_KEY_SIZE] = { 0 }, out[ROOM];
	(void)state;

	assert_int_equal(tls_cache_find(&c->cache, key, 100, out, sizeof(out)), 0);
	tls_cache_keep(&c->cache, key, 100, INT64_MAX, "zero", 4);
	assert_int_equal(tls_cache_find(&c->cache, key, 100, out, sizeof(out)), 4);
	assert_memory_equal(out, "zero", 4);
	/* Not before it was kept, nor after an hour, nor into less room, nor larger than there is. */
	assert_int_equal(tls_cache_find(&c->cache, key, 99, out, sizeof(out)), 0);
	assert_int_equal(tls_cache_find(&c->cache, key, 100 + TLS_RESUME_S - 1, out, sizeof(out)), 4);
	assert_int_equal(tls_cache_find(&c->cache, key, 100 + TLS_RESUME_S, out, sizeof(out)), 0);
	assert_int_equal(tls_cache_find(&c->cache, key, 100, out, 3), 0);
	key[31] = 1;
	uint8_t large[ROOM + 1] = { 0 };
	tls_cache_keep(&c->cache, key, 100, INT64_MAX, large, sizeof(large));
	assert_int_equal(tls_cache_find(&c->cache, key, 100, out, sizeof(out)), 0);
	/* No longer than the certificate. */
	tls_cache_keep(&c->cache, key, 100, 110, "one", 3);
	assert_int_equal(tls_cache_find(&c->cache, key, 109, out, sizeof(out)), 3);
	assert_int_equal(tls_cache_find(&c->cache, key, 110, out, sizeof(out)), 0);
	/* The same key again takes no other's place; a fifth key takes the oldest's. */
	tls_cache_keep(&c->cache, key, 101, INT64_MAX, "ONE", 3);
	for (uint8_t k = 2; k < 5; k++) {
		key[31] = k;
		tls_cache_keep(&c->cache, key, 100 + k, INT64_MAX, "more", 4);
	}
	key[31] = 0;
	assert_int_equal(tls_cache_find(&c->cache, key, 200, out, sizeof(out)), 0);
	for (uint8_t k = 1; k < 5; k++) {
		key[31] = k;
		assert_int_equal(tls_cache_find(&c->cache, key, 200, out, sizeof(out)), k == 1 ? 3 : 4);
	}
	tls_common_free(c);
}

static void test_cache_none(void **state)
{
	struct tls_common *c = opened(0);
	uint8_t key[TLS_KEY_SIZE] = { 0 }, out[ROOM];
	(void)state;

	tls_cache_keep(&c->cache, key, 100, INT64_MAX, "zero", 4);
	assert_int_equal(tls_cache_find(&c->cache, key, 100, out, sizeof(out)), 0);
	tls_common_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copies), cmocka_unit_test(test_no_core),
		cmocka_unit_test(test_cache), cmocka_unit_test(test_cache_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
