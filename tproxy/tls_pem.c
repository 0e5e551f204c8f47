/* SPDX-License-Identifier: MIT */
/* Certificates and keys in files: PEM (RFC 7468), or DER as it is. */
#include <string.h>

#include "tproxy/tls_der.h"
#include "tproxy/tls_pem.h"

/* A line without its end and without blanks after it; the rest begins behind it. */
static struct tls_bytes line_take(struct tls_bytes *rest)
{
	const char *at = rest->at, *end = memchr(at, '\n', rest->len);
	size_t len = end ? (size_t)(end - at) : rest->len;

	rest->at = at + len + (end != NULL);
	rest->len -= len + (end != NULL);
	while (len > 0 && (at[len - 1] == '\r' || at[len - 1] == ' ' || at[len - 1] == '\t'))
		len--;
	return (struct tls_bytes){ at, len };
}

/* Whether a line is "-----WORD LABEL-----"; label NULL: any, and it becomes the line's. */
static bool line_is(struct tls_bytes line, const char *word, struct tls_bytes *label)
{
	const char *at = line.at;
	size_t n = strlen(word);

	if (line.len < n + 5 || memcmp(at, word, n) != 0 || memcmp(at + line.len - 5, "-----", 5) != 0)
		return false;
	struct tls_bytes found = { at + n, line.len - n - 5 };
	if (label->at && (label->len != found.len || memcmp(label->at, found.at, found.len) != 0))
		return false;
	*label = found;
	return true;
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

struct base64 {
	uint32_t bits;
	unsigned digits, pads; /* of the group that is under way */
	uint8_t *to;
	size_t len;
};

static bool base64_take(struct base64 *b, struct tls_bytes line)
{
	for (const char *c = line.at, *end = c + line.len; c < end; c++) {
		int digit = *c == '=' ? 0 : base64_digit(*c);
		if (digit < 0 || (b->pads > 0 && *c != '='))
			return false;
		b->pads += *c == '=';
		b->bits = b->bits << 6 | (uint32_t)digit;
		if (++b->digits < 4)
			continue;
		if (b->pads > 2 || (b->bits & ((1u << 8 * b->pads) - 1)) != 0)
			return false;
		for (unsigned k = 0; k < 3 - b->pads; k++)
			b->to[b->len++] = (uint8_t)(b->bits >> (16 - 8 * k));
		b->digits = 0;
	}
	return true;
}

static enum tls_pem_kind label_kind(struct tls_bytes label)
{
	static const struct {
		const char *label;
		enum tls_pem_kind kind;
	} known[] = {
		{ "CERTIFICATE", TLS_PEM_CERTIFICATE }, { "X509 CERTIFICATE", TLS_PEM_CERTIFICATE },
		{ "PRIVATE KEY", TLS_PEM_KEY },         { "RSA PRIVATE KEY", TLS_PEM_KEY },
		{ "EC PRIVATE KEY", TLS_PEM_KEY },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strlen(known[i].label) == label.len && memcmp(known[i].label, label.at, label.len) == 0)
			return known[i].kind;
	return TLS_PEM_OTHER;
}

static long der_next(struct tls_bytes *rest, uint8_t *to)
{
	struct tls_bytes whole;

	if (!tls_der_take(rest, TLS_DER_SEQUENCE, NULL, &whole))
		return -1;
	memcpy(to, whole.at, whole.len);
	return (long)whole.len;
}

/* What stands before the digits of an encrypted key: "Proc-Type: 4,ENCRYPTED". */
static bool is_header(struct tls_bytes line)
{
	return memchr(line.at, ':', line.len) != NULL;
}

long tls_pem_next(struct tls_bytes *rest, enum tls_pem_kind *kind, uint8_t *to)
{
	struct base64 b = { .to = to };
	struct tls_bytes label = { 0 }, end = { 0 };

	*kind = TLS_PEM_DER;
	if (rest->len > 0 && *(const uint8_t *)rest->at == TLS_DER_SEQUENCE)
		return der_next(rest, to);
	while (rest->len > 0 && !label.at)
		line_is(line_take(rest), "-----BEGIN ", &label);
	if (!label.at)
		return 0;
	*kind = label_kind(label);
	end = label;
	while (rest->len > 0) {
		struct tls_bytes line = line_take(rest);
		if (line_is(line, "-----END ", &end))
			return b.digits == 0 && b.len > 0 ? (long)b.len : -1;
		if (*kind == TLS_PEM_KEY && is_header(line))
			*kind = TLS_PEM_OTHER;
		if (*kind != TLS_PEM_OTHER && !base64_take(&b, line))
			return -1;
		b.len += *kind == TLS_PEM_OTHER && b.len == 0;
	}
	return -1;
}
