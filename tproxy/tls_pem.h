/* SPDX-License-Identifier: MIT */
/* Certificates and keys in files: PEM (RFC 7468), or DER as it is. Pure functions. */
#ifndef SLUICE_TPROXY_TLS_PEM_H
#define SLUICE_TPROXY_TLS_PEM_H

#include "tproxy/tls.h"

enum tls_pem_kind {
	TLS_PEM_OTHER = 0, /* parameters, a CRL, a key that is encrypted, ... */
	TLS_PEM_CERTIFICATE,
	TLS_PEM_KEY,
	TLS_PEM_DER, /* a SEQUENCE; which is for the caller to know */
};

/*
 * Takes the next object off rest and decodes it to `to`, which has room for rest's bytes. > 0:
 * bytes of DER; 0: there is no more; -1: damaged. Text between objects is passed over.
 */
long tls_pem_next(struct tls_bytes *rest, enum tls_pem_kind *kind, uint8_t *to);

#endif
