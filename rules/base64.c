/* SPDX-License-Identifier: MIT */
/* Base64. */
#include "rules/base64.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(char *out, const uint8_t *bytes, size_t len)
{
	char *at = out;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)bytes[i] << 16 |
			     (i + 1 < len ? (uint32_t)bytes[i + 1] << 8 : 0) |
			     (i + 2 < len ? bytes[i + 2] : 0);

		*at++ = digits[v >> 18];
		*at++ = digits[v >> 12 & 63];
		*at++ = i + 1 < len ? digits[v >> 6 & 63] : '=';
		*at++ = i + 2 < len ? digits[v & 63] : '=';
	}
	*at = '\0';
	return out;
}

bool base64_decode(const char *text, uint8_t *out, size_t len)
{
	char again[5];

	if (strlen(text) != (len + 2) / 3 * 4)
		return false;
	for (size_t i = 0; i < len; i += 3, text += 4) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			const char *digit = text[k] != '\0' ? strchr(digits, text[k]) : NULL;

			v = v << 6 | (digit != NULL ? (uint32_t)(digit - digits) : 0);
		}
		out[i] = (uint8_t)(v >> 16);
		if (n > 1)
			out[i + 1] = (uint8_t)(v >> 8);
		if (n > 2)
			out[i + 2] = (uint8_t)v;
		/* What was no digit, and padding that is not there, is another text. */
		if (memcmp(base64_encode(again, out + i, n), text, 4) != 0)
			return false;
	}
	return true;
}
