/* SPDX-License-Identifier: MIT */
/* The short forms of the C library's functions against the library's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"

#define memmem short_memmem
#define strstr short_strstr
#define qsort short_qsort
#define strtoull short_strtoull
#define strtoul short_strtoul
#define strtoll short_strtoll
#define strtol short_strtol
void *memmem(const void *text, size_t len, const void *word, size_t n);
char *strstr(const char *text, const char *word);
void qsort(void *v, size_t n, size_t size, int (*order)(const void *, const void *));
unsigned long long strtoull(const char *text, char **end, int base);
unsigned long strtoul(const char *text, char **end, int base);
long long strtoll(const char *text, char **end, int base);
long strtol(const char *text, char **end, int base);
#include "rules/libc.c"
#undef memmem
#undef strstr
#undef qsort
#undef strtoull
#undef strtoul
#undef strtoll
#undef strtol

/* Every text of up to six letters of two, and every word of up to three. */
static void test_search(void **state)
{
	struct guard g;

	(void)state;
	guard_init(&g, 8);
	for (unsigned t = 1; t < 128; t++)
		for (unsigned w = 1; w < 16; w++) {
			char text[8] = "", word[8] = "", *copy;
			size_t len = 0, n = 0;

			for (unsigned bits = t; bits > 1; bits >>= 1)
				text[len++] = bits & 1 ? 'a' : 'b';
			for (unsigned bits = w; bits > 1; bits >>= 1)
				word[n++] = bits & 1 ? 'a' : 'b';
			assert_ptr_equal(short_strstr(text, word), strstr(text, word));
			assert_ptr_equal(short_memmem(text, len, word, n),
					 memmem(text, len, word, n));
			copy = (char *)guard_copy(&g, text, len);
			assert_ptr_equal(short_memmem(copy, len, word, n),
					 memmem(copy, len, word, n));
		}
	guard_fini(&g);
}

static int by_first(const void *a, const void *b)
{
	const uint8_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* In order, and with each element as often as before and in one piece. */
static void test_sort(void **state)
{
	uint8_t v[600], seen[256];
	unsigned seed = 1;

	(void)state;
	for (size_t size = 1; size < 6; size++)
		for (size_t n = 0; n < 100; n++) {
			memset(seen, 0, sizeof(seen));
			for (size_t i = 0; i < n; i++) {
				seed = seed * 1103515245 + 12345;
				memset(v + i * size, (int)(seed >> 16) % 64, size);
				seen[v[i * size]]++;
			}
			short_qsort(v, n, size, by_first);
			for (size_t i = 0; i < n; i++) {
				assert_true(i == 0 || v[(i - 1) * size] <= v[i * size]);
				for (size_t k = 1; k < size; k++)
					assert_int_equal(v[i * size + k], v[i * size]);
				seen[v[i * size]]--;
			}
			for (size_t i = 0; i < sizeof(seen); i++)
				assert_int_equal(seen[i], 0);
		}
}

#define SAME_NUMBER(type, function) do { \
	char *end, *other; \
	errno = 0; \
	type wanted = function(text, &end, base); \
	int err = errno; \
	errno = 0; \
	assert_true(short_##function(text, &other, base) == wanted); \
	assert_ptr_equal(other, end); \
	assert_int_equal(errno == ERANGE, err == ERANGE); \
	assert_true(short_##function(text, NULL, base) == wanted); \
} while (0)

static void test_numbers(void **state)
{
	static const char *const texts[] = {
		"", " ", "-", "+", "0", "00", "-0", "7", "8", "08", "0x", "0xg", "0x1F", "0X1f", "-0x10",
		" \t\n42x", "+17", "-17", "- 1", "--1", "zZ", "a", "4294967295", "4294967296",
		"2147483647", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
		"-9223372036854775809", "18446744073709551615", "18446744073709551616",
		"-18446744073709551615", "99999999999999999999999", "ffffffffffffffff",
		"10000000000000000", "0777777777777777777777", "02000000000000000000000", "1:2", "12 "};
	static const int bases[] = {0, 2, 8, 10, 16, 36};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		for (size_t k = 0; k < sizeof(bases) / sizeof(*bases); k++) {
			const char *text = texts[i];
			int base = bases[k];

			SAME_NUMBER(unsigned long long, strtoull);
			SAME_NUMBER(unsigned long, strtoul);
			SAME_NUMBER(long long, strtoll);
			SAME_NUMBER(long, strtol);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_search),
		cmocka_unit_test(test_sort),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
