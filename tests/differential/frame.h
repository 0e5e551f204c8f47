/* SPDX-License-Identifier: MIT */
/* How the drivers talk: questions and answers, each behind its length in four bytes. */
#ifndef TESTS_DIFFERENTIAL_FRAME_H
#define TESTS_DIFFERENTIAL_FRAME_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_MAX (1u << 20)

/* An answer under way. */
struct answer {
	uint8_t bytes[FRAME_MAX];
	size_t len;
};

static inline void frame_die(const char *why)
{
	fprintf(stderr, "driver: %s\n", why);
	exit(70);
}

static inline void answer_put(struct answer *a, const void *bytes, size_t len)
{
	if (len > sizeof(a->bytes) - a->len)
		frame_die("the answer is too large");
	if (len > 0)
		memcpy(a->bytes + a->len, bytes, len);
	a->len += len;
}

__attribute__((format(printf, 2, 3)))
static inline void answer_text(struct answer *a, const char *format, ...)
{
	char text[4096];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(text))
		frame_die("the text is too long");
	answer_put(a, text, (size_t)n);
}

/* Bytes in hexadecimal; "-" for none, so that words can be counted. */
static inline void answer_hex(struct answer *a, const void *bytes, size_t len)
{
	if (len == 0)
		answer_text(a, "-");
	for (size_t i = 0; i < len; i++)
		answer_text(a, "%02x", ((const uint8_t *)bytes)[i]);
}

/* The next question in memory of just its length, to be freed; NULL at the end of the input. */
static inline uint8_t *frame_read(size_t *len)
{
	uint8_t head[4], *bytes;

	if (fread(head, 1, sizeof(head), stdin) != sizeof(head))
		return NULL;
	*len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (*len > FRAME_MAX)
		frame_die("the question is too large");
	bytes = malloc(*len > 0 ? *len : 1);
	if (!bytes || fread(bytes, 1, *len, stdin) != *len)
		frame_die("the question is cut off");
	return bytes;
}

static inline void answer_send(const struct answer *a)
{
	const uint8_t head[4] = { (uint8_t)(a->len >> 24), (uint8_t)(a->len >> 16),
	                          (uint8_t)(a->len >> 8), (uint8_t)a->len };

	if (fwrite(head, 1, sizeof(head), stdout) != sizeof(head) ||
	    fwrite(a->bytes, 1, a->len, stdout) != a->len || fflush(stdout) != 0)
		frame_die("nobody reads the answers");
}

#endif
