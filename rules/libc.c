/* SPDX-License-Identifier: MIT */
/*
 * Short forms of functions of musl's, in the device programs.
 *
 * Its own are made for long inputs and every base: 7 KB. What is searched, sorted and read as a
 * number here is short: options, names of steps, lists that fit into a policy.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void *memmem(const void *text, size_t len, const void *word, size_t n)
{
	const char *at = text;

	for (; len >= n; at++, len--)
		if (memcmp(at, word, n) == 0)
			return (void *)at;
	return NULL;
}

char *strstr(const char *text, const char *word)
{
	return memmem(text, strlen(text), word, strlen(word));
}

/* ---- heapsort ---- */

static void swap(char *a, char *b, size_t size)
{
	while (size-- > 0) {
		char c = a[size];

		a[size] = b[size];
		b[size] = c;
	}
}

/* Lets the element at `from` sink to its place among the n of a heap. */
static void sink(char *v, size_t from, size_t n, size_t size,
	int (*order)(const void *, const void *))
{
	size_t child;

	while ((child = 2 * from + 1) < n) {
		if (child + 1 < n && order(v + child * size, v + (child + 1) * size) < 0)
			child++;
		if (order(v + from * size, v + child * size) >= 0)
			return;
		swap(v + from * size, v + child * size, size);
		from = child;
	}
}

void qsort(void *v, size_t n, size_t size, int (*order)(const void *, const void *))
{
	for (size_t i = n / 2; i-- > 0;)
		sink(v, i, n, size, order);
	while (n > 1) {
		n--;
		swap(v, (char *)v + n * size, size);
		sink(v, 0, n, size, order);
	}
}

/* ---- numbers ---- */

struct number { unsigned long long v; bool negative, over; };

static unsigned digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c |= 'a' - 'A';
	return c >= 'a' && c <= 'z' ? (unsigned)(c - 'a') + 10 : UINT_MAX;
}

/* Bases 2 to 36, and 0 for C's own prefixes. *end is text when there are no digits. */
static struct number read_number(const char *text, char **end, int base)
{
	struct number n = {0, false, false};
	const char *p = text, *digits;

	while (*p == ' ' || (*p >= '\t' && *p <= '\r'))
		p++;
	if (*p == '-' || *p == '+')
		n.negative = *p++ == '-';
	if ((base == 0 || base == 16) && p[0] == '0' && (p[1] | 0x20) == 'x' && digit_of(p[2]) < 16) {
		base = 16;
		p += 2;
	}
	if (base == 0)
		base = *p == '0' ? 8 : 10;
	for (digits = p; digit_of(*p) < (unsigned)base; p++) {
		n.over |= n.v > (ULLONG_MAX - digit_of(*p)) / (unsigned)base;
		n.v = n.v * (unsigned)base + digit_of(*p);
	}
	if (end != NULL)
		*end = (char *)(p == digits ? text : p);
	return n;
}

static unsigned long long read_unsigned(const char *text, char **end, int base,
	unsigned long long max)
{
	struct number n = read_number(text, end, base);

	if (n.over || n.v > max) {
		errno = ERANGE;
		return max;
	}
	return n.negative ? -n.v : n.v;
}

static long long read_signed(const char *text, char **end, int base, long long max)
{
	struct number n = read_number(text, end, base);

	if (n.over || n.v > (unsigned long long)max + n.negative) {
		errno = ERANGE;
		return n.negative ? -max - 1 : max;
	}
	return (long long)(n.negative ? -n.v : n.v);
}

unsigned long long strtoull(const char *text, char **end, int base)
{
	return read_unsigned(text, end, base, ULLONG_MAX);
}

unsigned long strtoul(const char *text, char **end, int base)
{
	return (unsigned long)read_unsigned(text, end, base, ULONG_MAX);
}

long long strtoll(const char *text, char **end, int base)
{
	return read_signed(text, end, base, LLONG_MAX);
}

long strtol(const char *text, char **end, int base)
{
	return (long)read_signed(text, end, base, LONG_MAX);
}
