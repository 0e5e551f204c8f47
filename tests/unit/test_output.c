/* SPDX-License-Identifier: MIT */
/* The device programs' printf against the C library's: the same text, length and limits. */
#include "rules/output.c"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int __attribute__((format(printf, 3, 4))) ours(char *out, size_t size,
	const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = output_string(out, size, format, args);
	va_end(args);
	return n;
}

/* In room of every size from none to more than enough. */
#define SAME(...) do { \
	char wanted[300], got[300]; \
	int n = snprintf(wanted, sizeof(wanted), __VA_ARGS__); \
	for (size_t size = 0; size < (size_t)n + 3; size++) { \
		memset(got, 'x', sizeof(got)); \
		snprintf(wanted, size, __VA_ARGS__); \
		assert_int_equal(ours(got, size, __VA_ARGS__), n); \
		if (size > 0) \
			assert_string_equal(got, wanted); \
		assert_int_equal(got[size], 'x'); \
	} \
} while (0)

#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static const char *const flags[] = {
	"", "-", "0", "+", " ", "#", "-0", "+0", " 0", "#0", "-#", "- +"};
static const char *const widths[] = {"", "1", "5", "12", "23"};
static const char *const precisions[] = {"", ".", ".0", ".1", ".7", ".20"};
static const char *const types[] = {
	"hhd", "hhu", "hd", "hx", "d", "i", "u", "x", "X", "ld", "lu", "lx", "lld", "llu", "llX",
	"jd", "ju", "zu", "zx", "td"};
static const long long values[] = {
	0, 1, -1, 9, 10, 127, 128, 255, 256, -129, 32768, 65535, 2147483647, -2147483648LL,
	4294967295LL, 9223372036854775807LL, -9223372036854775807LL - 1};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void same_numbers(const char *format)
{
	for (size_t v = 0; v < COUNT(values); v++) {
		char wanted[64], got[64];
		int n = snprintf(wanted, sizeof(wanted), format, values[v]);

		assert_int_equal(ours(got, sizeof(got), format, values[v]), n);
		assert_string_equal(got, wanted);
	}
}

/* Every combination. */
static void test_numbers(void **state)
{
	size_t n = COUNT(flags) * COUNT(widths) * COUNT(precisions) * COUNT(types);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		size_t f = i, w = f / COUNT(flags), p = w / COUNT(widths);
		size_t t = p / COUNT(precisions);
		char format[40];

		snprintf(format, sizeof(format), "<%%%s%s%s%s>", flags[f % COUNT(flags)],
			widths[w % COUNT(widths)], precisions[p % COUNT(precisions)], types[t]);
		same_numbers(format);
	}
}

static void test_text(void **state)
{
	char unended[3] = {'a', 'b', 'c'};

	(void)state;
	SAME("plain");
	SAME("%s: %s: 100%%", "one", "");
	SAME("%c%c", 'a', 'b');
	SAME("<%5c|%-5c>", 'a', 'b');
	SAME("<%8s|%-8s|%2s>", "abc", "abc", "abc");
	SAME("<%.2s|%8.2s|%-8.0s>", "abc", "abc", "abc");
	SAME("<%.*s|%*s|%*s>", 3, unended, 6, "r", -6, "l");
	SAME("<%.*s|%.*d>", -1, "all", -1, 0);
	SAME("%08x %-4s %11llu %.5u", 0xbeefu, "ab", 12345678901ULL, 42u);
}

static void test_refused(void **state)
{
	static const char *const unknown[] = {
		"%f", "%g", "%a", "%n", "%o", "%", "%l", "%5", "a%zb"};
	char out[20];

	(void)state;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
		errno = 0;
		assert_int_equal(ours(out, sizeof(out), unknown[i], 1), -1);
		assert_int_equal(errno, EINVAL);
	}
}

static int __attribute__((format(printf, 2, 3))) more(struct sink *s, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = put_all(s, format, args);
	va_end(args);
	return n;
}

static void test_too_long(void **state)
{
	char out[4];
	struct sink s = {.start = out, .at = out, .end = out + 3, .total = INT_MAX - 2};

	(void)state;
	assert_int_equal(more(&s, "%s", "ab"), INT_MAX);
	errno = 0;
	assert_int_equal(more(&s, "%c", 'c'), -1);
	assert_int_equal(errno, EOVERFLOW);
}

static int __attribute__((format(printf, 2, 3))) ours_file(FILE *file, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = output_file(file, format, args);
	va_end(args);
	return n;
}

static void test_file(void **state)
{
	char *text = NULL, *longer = malloc(5 * OUTPUT_PIECE + 1);
	size_t len = 0;
	FILE *f = open_memstream(&text, &len), *full = fopen("/dev/full", "w");

	(void)state;
	memset(longer, 'y', 5 * OUTPUT_PIECE);
	longer[5 * OUTPUT_PIECE] = '\0';
	assert_int_equal(ours_file(f, "%s|%d\n", longer, 7), 5 * OUTPUT_PIECE + 3);
	fclose(f);
	assert_int_equal(len, 5 * OUTPUT_PIECE + 3);
	assert_memory_equal(text, longer, 5 * OUTPUT_PIECE);
	assert_string_equal(text + 5 * OUTPUT_PIECE, "|7\n");
	setvbuf(full, NULL, _IONBF, 0);
	assert_int_equal(ours_file(full, "%s", longer), -1);
	fclose(full);
	free(longer);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
