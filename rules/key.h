/* SPDX-License-Identifier: MIT */
/* Certificates and private keys, PEM or DER, as far as the compiler has to understand them. */
#ifndef SLUICE_RULES_KEY_H
#define SLUICE_RULES_KEY_H

#include <stddef.h>
#include <stdint.h>

/* Each returns NULL, or a phrase that says what is wrong. */

/* That there is a certificate at least, and nothing that is none. */
const char *key_check_certificates(const uint8_t *bytes, size_t len);
/* That there is one private key, RSA or EC, which is not encrypted. */
const char *key_check_private(const uint8_t *bytes, size_t len);
/* That the key is that of the first certificate; both are good alone. */
const char *key_check_pair(const uint8_t *certificate, size_t certificate_len, const uint8_t *key,
			   size_t key_len);

#endif
