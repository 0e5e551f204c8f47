/* SPDX-License-Identifier: MIT */
/* Formats text for people: printf's language without floating point. */
#include "rules/output.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum length { LENGTH_CHAR, LENGTH_SHORT, LENGTH_INT, LENGTH_LONG, LENGTH_LONG_LONG };

/* What stands between a % and its letter. */
struct spec {
	bool left, zero, alternate;
	char sign; /* before a number that is not negative; 0: nothing */
	size_t width;
	int precision; /* -1: none */
	enum length length;
};

/* A string's buffer, or the piece of a file that is being filled. */
struct sink {
	char *start, *at, *end;
	FILE *file;
	size_t total;
	bool failed;
};

/* Of one size in a call's arguments wherever it is passed on from. */
struct arguments { va_list v; };

static bool is_flushed(struct sink *s)
{
	size_t n = (size_t)(s->at - s->start);

	if (s->file == NULL)
		return false;
	s->failed |= fwrite(s->start, 1, n, s->file) != n;
	s->at = s->start;
	return !s->failed;
}

static void put(struct sink *s, const char *bytes, size_t n)
{
	s->total += n;
	while (n > 0) {
		size_t room = (size_t)(s->end - s->at), part = n < room ? n : room;

		memcpy(s->at, bytes, part);
		s->at += part;
		bytes += part;
		n -= part;
		if (n > 0 && !is_flushed(s))
			return;
	}
}

static void pad(struct sink *s, char c, size_t wanted, size_t there)
{
	for (; wanted > there; wanted--)
		put(s, &c, 1);
}

/* A field: what precedes its zeros, the zeros, and what follows them. */
static void put_field(struct sink *s, const struct spec *spec, const char *prefix, size_t zeros,
	const char *text, size_t len)
{
	size_t before = strlen(prefix), all = before + zeros + len;

	if (!spec->left)
		pad(s, ' ', spec->width, all);
	put(s, prefix, before);
	pad(s, '0', zeros, 0);
	put(s, text, len);
	if (spec->left)
		pad(s, ' ', spec->width, all);
}

static uintmax_t take_signed(enum length length, struct arguments *args, bool *negative)
{
	intmax_t v;

	if (length == LENGTH_LONG_LONG)
		v = va_arg(args->v, long long);
	else if (length == LENGTH_LONG)
		v = va_arg(args->v, long);
	else
		v = va_arg(args->v, int);
	if (length == LENGTH_SHORT)
		v = (short)v;
	if (length == LENGTH_CHAR)
		v = (signed char)v;
	*negative = v < 0;
	return v < 0 ? -(uintmax_t)v : (uintmax_t)v;
}

static uintmax_t take_unsigned(enum length length, struct arguments *args)
{
	unsigned v;

	if (length == LENGTH_LONG_LONG)
		return va_arg(args->v, unsigned long long);
	if (length == LENGTH_LONG)
		return va_arg(args->v, unsigned long);
	v = va_arg(args->v, unsigned);
	if (length == LENGTH_SHORT)
		return (unsigned short)v;
	return length == LENGTH_CHAR ? (unsigned char)v : v;
}

static void put_number(struct sink *s, const struct spec *spec, char letter, struct arguments *args)
{
	bool is_signed = letter == 'd' || letter == 'i', negative = false;
	const char *digits = letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	unsigned base = is_signed || letter == 'u' ? 10 : 16;
	char text[3 * sizeof(uintmax_t)], prefix[3] = {0};
	size_t at = sizeof(text), zeros = 0, len;
	uintmax_t v = is_signed ? take_signed(spec->length, args, &negative)
	                        : take_unsigned(spec->length, args);

	if (is_signed)
		prefix[0] = negative ? '-' : spec->sign;
	else if (base == 16 && spec->alternate && v != 0)
		memcpy(prefix, letter == 'X' ? "0X" : "0x", 2);
	for (; v != 0; v /= base)
		text[--at] = digits[v % base];
	if (at == sizeof(text) && spec->precision != 0)
		text[--at] = '0';
	len = sizeof(text) - at;
	if (spec->precision >= 0 && (size_t)spec->precision > len)
		zeros = (size_t)spec->precision - len;
	if (spec->precision < 0 && spec->zero && !spec->left &&
	    spec->width > len + strlen(prefix))
		zeros = spec->width - len - strlen(prefix);
	put_field(s, spec, prefix, zeros, text + at, len);
}

static void put_string(struct sink *s, const struct spec *spec, const char *text)
{
	size_t most = spec->precision < 0 ? SIZE_MAX : (size_t)spec->precision;

	if (text == NULL)
		text = "(null)";
	put_field(s, spec, "", 0, text, spec->precision < 0 ? strlen(text) : strnlen(text, most));
}

static const char *read_flags(const char *p, struct spec *spec)
{
	for (;; p++) {
		if (*p == '-')
			spec->left = true;
		else if (*p == '0')
			spec->zero = true;
		else if (*p == '#')
			spec->alternate = true;
		else if (*p == '+' || (*p == ' ' && spec->sign != '+'))
			spec->sign = *p;
		else if (*p != ' ')
			return p;
	}
}

/* A number in the format or among the arguments; it is cut where an int ends. */
static const char *read_number(const char *p, struct arguments *args, int *v)
{
	*v = 0;
	if (*p == '*') {
		*v = va_arg(args->v, int);
		return p + 1;
	}
	for (; *p >= '0' && *p <= '9'; p++)
		*v = *v > INT_MAX / 10 - 1 ? INT_MAX - 1 : *v * 10 + (*p - '0');
	return p;
}

static const char *read_length(const char *p, enum length *length)
{
	*length = LENGTH_INT;
	switch (*p) {
	case 'h':
		*length = p[1] == 'h' ? LENGTH_CHAR : LENGTH_SHORT;
		return p + 1 + (p[1] == 'h');
	case 'l':
		*length = p[1] == 'l' ? LENGTH_LONG_LONG : LENGTH_LONG;
		return p + 1 + (p[1] == 'l');
	case 'j':
		*length = LENGTH_LONG_LONG;
		return p + 1;
	case 'z': case 't':
		*length = LENGTH_LONG;
		return p + 1;
	default:
		return p;
	}
}

static const char *read_spec(const char *p, struct spec *spec, struct arguments *args)
{
	int width;

	*spec = (struct spec){.precision = -1};
	p = read_number(read_flags(p, spec), args, &width);
	spec->left |= width < 0;
	spec->width = width < 0 ? -(size_t)width : (size_t)width;
	if (*p == '.')
		p = read_number(p + 1, args, &spec->precision);
	return read_length(p, &spec->length);
}

static bool put_conversion(struct sink *s, struct spec *spec, char letter, struct arguments *args)
{
	char c;

	switch (letter) {
	case 'p':
		spec->alternate = true;
		spec->length = LENGTH_LONG;
		spec->precision = 2 * sizeof(void *);
		put_number(s, spec, letter, args);
		return true;
	case 'd': case 'i': case 'u': case 'x': case 'X':
		put_number(s, spec, letter, args);
		return true;
	case 's':
		put_string(s, spec, va_arg(args->v, const char *));
		return true;
	case 'c': case '%':
		c = letter == 'c' ? (char)va_arg(args->v, int) : '%';
		put_field(s, spec, "", 0, &c, 1);
		return true;
	default:
		errno = EINVAL;
		return false;
	}
}

static int put_all(struct sink *s, const char *format, va_list args)
{
	struct arguments a;
	struct spec spec;
	bool known = true;

	va_copy(a.v, args);
	while (known && *format != '\0') {
		size_t plain = strcspn(format, "%");

		put(s, format, plain);
		format += plain;
		if (*format == '%') {
			format = read_spec(format + 1, &spec, &a);
			known = put_conversion(s, &spec, *format, &a);
			format += known;
		}
	}
	va_end(a.v);
	if (known && s->total > INT_MAX)
		errno = EOVERFLOW;
	return known && s->total <= INT_MAX ? (int)s->total : -1;
}

int output_string(char *out, size_t size, const char *format, va_list args)
{
	char none = '\0';
	struct sink s = {.start = size > 0 ? out : &none};
	int n;

	s.at = s.start;
	s.end = s.start + (size > 0 ? size - 1 : 0);
	n = put_all(&s, format, args);
	*s.at = '\0';
	return n;
}

int output_file(FILE *file, const char *format, va_list args)
{
	char piece[OUTPUT_PIECE];
	struct sink s = {.start = piece, .at = piece, .end = piece + sizeof(piece), .file = file};
	int n = put_all(&s, format, args);

	(void)is_flushed(&s);
	return s.failed ? -1 : n;
}
