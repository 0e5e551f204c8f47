/* SPDX-License-Identifier: MIT */
/* CRC32C (Castagnoli), as in RFC 3720 appendix B.4. */
#ifndef SLUICE_RULES_CRC32C_H
#define SLUICE_RULES_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues crc (start with 0) over len bytes, by the processor's instruction where it has one. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
