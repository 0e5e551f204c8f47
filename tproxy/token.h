/* SPDX-License-Identifier: MIT */
/* The bytes that an HTTP token is made of. */
#ifndef SLUICE_TPROXY_TOKEN_H
#define SLUICE_TPROXY_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

/* Is c a tchar (RFC 9110 5.6.2)? */
static inline bool token_byte(char c)
{
	static const uint32_t set[8] = { 0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff };
	uint8_t b = (uint8_t)c;

	return set[b >> 5] >> (b & 31) & 1;
}

#endif
