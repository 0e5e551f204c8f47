/* SPDX-License-Identifier: MIT */
/* Base64 (RFC 4648 4), strictly: padded, and no bits behind the end. */
#ifndef SLUICE_RULES_BASE64_H
#define SLUICE_RULES_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether text stands for exactly len bytes, which are put into out. */
bool base64_decode(const char *text, uint8_t *out, size_t len);
/* Of len bytes, with its NUL: (len + 2) / 3 * 4 + 1 bytes of out. */
char *base64_encode(char *out, const uint8_t *bytes, size_t len);

#endif
